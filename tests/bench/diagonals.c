/* diagonals.c: what diagonals of curvature cost beside a training step (forward, backward, SGD update) of a model file on made-up samples:

       diagonals MODEL BATCH THREADS SECONDS     prints: step ms; of the exact GGN, of one draw and of HesScale the time over a step's
                                                 (medians of ratios, in turn), each before what pitot_net_diagonal_cost says

   Public API only. */

#include "bench.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 100000, KINDS = 3 };

static const int32_t kind_of[KINDS] = { PITOT_DIAGONAL_GGN, PITOT_DIAGONAL_GGN_MC, PITOT_DIAGONAL_HESSCALE };

static double one_step(pitot_net *net, const pitot_net_batch *b, pitot_optim *optim) {
    double t = now(), loss;
    pitot_net_forward(net, b, &loss);
    pitot_net_backward(net);
    pitot_optim_step(optim);
    return now() - t;
}

static void measure(pitot_net *net, const pitot_net_batch *b, pitot_optim *optim, double seconds, pitot_real *out) {
    static double step[MOST], ratio[KINDS][MOST];
    int n = 0, warm = 3;
    double loss;
    for (double end = now() + seconds; (now() < end || n == 0) && n<MOST; warm> 0 ? warm-- : n++) {
        step[n] = 1e3 * one_step(net, b, optim);
        for (int k = 0; k < KINDS; k++) {
            pitot_net_forward(net, b, &loss);
            pitot_net_backward(net);
            double t = now();
            if (pitot_net_diagonal(net, kind_of[k], 1, (uint64_t)n, 0, out, NULL)) exit(1);
            ratio[k][n] = 1e3 * (now() - t) / step[n];
        }
    }
    printf("%.3f", median(step, n));
    for (int k = 0; k < KINDS; k++) printf(" %.2f %.2f", median(ratio[k], n), pitot_net_diagonal_cost(net, kind_of[k], 1));
    printf("\n");
}

int main(int argc, char **argv) {
    pitot_error error = { 0 };
    if (argc != 5) return fputs("usage: diagonals MODEL BATCH THREADS SECONDS\n", stderr), 2;
    int64_t batch = strtoll(argv[2], NULL, 10);
    int threads = (int)strtol(argv[3], NULL, 10);
    omp_set_num_threads(threads);
    pitot_net *net = pitot_net_read(argv[1], &error);
    if (!net || pitot_net_prepare(net, batch, threads, &error)) return fprintf(stderr, "%s\n", error.text), 1;
    pitot_net_facts facts;
    pitot_net_init(net, 1);
    pitot_net_get_facts(net, &facts);
    pitot_optim *optim = make_optim(net, threads);
    pitot_real *x = calloc((size_t)(batch * facts.input), sizeof *x), *out = calloc((size_t)facts.parameters, sizeof *out);
    int32_t *y = calloc((size_t)batch, sizeof *y);
    for (int64_t i = 0; i < batch * facts.input; i++) x[i] = (pitot_real)((double)(i * 7919 % 1000) / 500.0 - 1);
    for (int64_t i = 0; i < batch; i++) y[i] = (int32_t)(i % facts.output);
    measure(net, &(pitot_net_batch){ .struct_size = sizeof(pitot_net_batch), .n = batch, .x = x, .classes = y, .training = 1 },
            optim, strtod(argv[4], NULL), out);
    pitot_optim_free(optim);
    pitot_net_free(net);
    free(x);
    free(y);
    free(out);
    return 0;
}
