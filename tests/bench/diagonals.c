/* diagonals.c: what diagonals of curvature cost beside a training step (forward, backward, SGD update) of a model file on made-up samples:

       diagonals MODEL BATCH THREADS SECONDS     prints: step ms; of the exact GGN, of one draw and of HesScale the time over a step's
                                                 (medians of ratios, in turn), each before what pitot_net_diagonal_cost says

   Public API only. */

#include "bench.h"

enum { MOST = 100000, KINDS = 3 };

static const int32_t kind_of[KINDS] = { PITOT_DIAGONAL_GGN, PITOT_DIAGONAL_GGN_MC, PITOT_DIAGONAL_HESSCALE };

static void measure(const setup *s, pitot_optim *optim, pitot_real *out) {
    static double step[MOST], ratio[KINDS][MOST];
    int n = 0, warm = 3;
    for (double end = now() + s->seconds; (now() < end || n == 0) && n<MOST; warm> 0 ? warm-- : n++) {
        step[n] = 1e3 * one_step(s->net, &s->batch, optim);
        for (int k = 0; k < KINDS; k++) {
            both_passes(s->net, &s->batch);
            double t = now();
            if (pitot_net_diagonal(s->net, kind_of[k], 1, (uint64_t)n, 0, out, NULL)) exit(1);
            ratio[k][n] = 1e3 * (now() - t) / step[n];
        }
    }
    printf("%.3f", median(step, n));
    for (int k = 0; k < KINDS; k++) printf(" %.2f %.2f", median(ratio[k], n), pitot_net_diagonal_cost(s->net, kind_of[k], 1));
    printf("\n");
}

int main(int argc, char **argv) {
    setup s = set_up(argc, argv, 4, 4, "diagonals MODEL BATCH THREADS SECONDS", 0);
    pitot_optim *optim = make_optim("sgd", s.net, s.threads);
    pitot_real *out = values_of(s.facts.parameters);
    measure(&s, optim, out);
    pitot_optim_free(optim);
    clear_up(&s);
    free(out);
    return 0;
}
