/* vivit.c: what the GGN's spectrum in Gram space costs beside a training step (forward, backward, SGD update) of a model file on made-up
   samples:

       vivit MODEL BATCH THREADS SECONDS     prints: step ms; over a step's time (medians of ratios, in turn): all eigenvalues; the ten
                                             leading eigenpairs of the GGN; those with derivatives of all samples and a Newton step; all
                                             eigenvalues from an eighth of the samples, and from one draw a sample

   Public API only. */

#include "bench.h"

enum { MOST = 1000, KINDS = 5, TOP = 10 };

typedef struct room {
    double *value, *vector;
    pitot_real *out;
} room;

static void leading(pitot_vivit *v, const room *r, int more) {
    double snr[4 * TOP];
    pitot_vivit_derivatives d = { sizeof d, NULL, NULL, snr, snr + TOP, snr + 2 * TOP, snr + 3 * TOP, NULL };
    pitot_vivit_damping how = { .struct_size = sizeof how, .kind = PITOT_DAMPING_BOOTSTRAP };
    if (pitot_vivit_top(v, 0, TOP, r->value, r->vector, NULL)) exit(1);
    if (pitot_vivit_vectors(v, 0, TOP, r->vector, r->out, NULL)) exit(1);
    if (!more) return;
    if (pitot_vivit_derive(v, 0, TOP, r->value, r->vector, &d, NULL)) exit(1);
    if (pitot_vivit_newton(v, 0, TOP, r->value, r->vector, &how, r->out, NULL, NULL)) exit(1);
}

/* With forward and backward, as the peers' figures have them. */
static double once(const setup *s, int kind, const room *r) {
    int64_t first[MOST];
    double t = now();
    both_passes(s->net, &s->batch);
    pitot_vivit_config c = { .struct_size = sizeof c, .net = s->net };
    for (int64_t i = 0; i < MOST; i++) first[i] = i;
    if (kind == 3) c.ggn_samples = first, c.n_ggn = s->batch.n / 8 ? s->batch.n / 8 : 1;
    if (kind == 4) c.draws = 1;
    pitot_vivit *v = pitot_vivit_new(&c, NULL);
    if (!v) exit(1);
    if (kind == 1 || kind == 2) leading(v, r, kind == 2);
    else if (pitot_vivit_eigenvalues(v, 0, r->value, NULL)) exit(1);
    pitot_vivit_free(v);
    return now() - t;
}

/* PITOT_PARTS in the environment: where the time of one call goes. */
static void parts(const setup *s, const room *r) {
    double t[8], snr[2 * TOP];
    const double *gram;
    pitot_vivit_derivatives d = { sizeof d, NULL, NULL, snr, snr + TOP, NULL, NULL, NULL };
    both_passes(s->net, &s->batch);
    t[0] = now();
    pitot_vivit *v = pitot_vivit_new(&(pitot_vivit_config){ .struct_size = sizeof(pitot_vivit_config), .net = s->net }, NULL);
    t[1] = now();
    if (!v || pitot_vivit_gram(v, 0, &gram, NULL)) exit(1);
    t[2] = now();
    pitot_vivit_eigenvalues(v, 0, r->value, NULL);
    t[3] = now();
    pitot_vivit_top(v, 0, TOP, r->value, r->vector, NULL);
    t[4] = now();
    pitot_vivit_vectors(v, 0, TOP, r->vector, r->out, NULL);
    t[5] = now();
    pitot_vivit_derive(v, 0, TOP, r->value, r->vector, &d, NULL);
    t[6] = now();
    fprintf(stderr, "ms: columns %.1f, Gram %.1f, eigenvalues %.1f, top %.1f, vectors %.1f, derivatives %.1f\n",
            1e3 * (t[1] - t[0]), 1e3 * (t[2] - t[1]), 1e3 * (t[3] - t[2]), 1e3 * (t[4] - t[3]), 1e3 * (t[5] - t[4]),
            1e3 * (t[6] - t[5]));
    pitot_vivit_free(v);
}

static void measure(const setup *s, pitot_optim *optim, const room *r) {
    static double step[MOST], ratio[KINDS][MOST];
    int n = 0, warm = 1;
    for (double end = now() + s->seconds; (now() < end || n == 0) && n < MOST; n += !warm, warm = 0) {
        for (int k = 0; k < KINDS; k++) {
            one_step(s->net, &s->batch, optim);
            step[n] = 1e3 * one_step(s->net, &s->batch, optim);
            ratio[k][n] = 1e3 * once(s, k, r) / step[n];
        }
    }
    printf("%.3f", median(step, n));
    for (int k = 0; k < KINDS; k++) printf(" %.2f", median(ratio[k], n));
    printf("\n");
}

int main(int argc, char **argv) {
    setup s = set_up(argc, argv, 4, 4, "vivit MODEL BATCH THREADS SECONDS", 0);
    pitot_optim *optim = make_optim("sgd", s.net, s.threads);
    size_t columns = (size_t)(s.batch.n * s.facts.output);
    room r = { calloc(columns, sizeof *r.value), calloc(TOP * columns, sizeof *r.vector), values_of(TOP * s.facts.parameters) };
    if (!r.value || !r.vector) return 1;
    if (getenv("PITOT_PARTS")) parts(&s, &r);
    measure(&s, optim, &r);
    pitot_optim_free(optim);
    clear_up(&s);
    free(r.value);
    free(r.vector);
    free(r.out);
    return 0;
}
