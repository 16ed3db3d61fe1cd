/* kron.c: what Kronecker factors cost beside a gradient (forward, backward) of a model file on made-up samples:

       kron MODEL BATCH THREADS SECONDS     prints: gradient ms; over it (medians of ratios, in turn) each kind's factors (with EKFAC's
                                            eigenvectors), a product with C; once each, finding the eigenvectors, a product with
                                            (C + delta I)^-1

   Public API only. */

#include "bench.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 1000, KINDS = 5 };

static const struct {
    const char *name;
    int32_t kind, sharing, corrected;
} kinds[KINDS] = { { "kfac", PITOT_KRON_KFAC, PITOT_KRON_EXPAND, 0 },
                   { "kfac, reduce", PITOT_KRON_KFAC, PITOT_KRON_REDUCE, 0 },
                   { "ekfac", PITOT_KRON_KFAC, PITOT_KRON_EXPAND, 1 },
                   { "kflr", PITOT_KRON_KFLR, PITOT_KRON_EXPAND, 0 },
                   { "empirical", PITOT_KRON_EMPIRICAL, PITOT_KRON_EXPAND, 0 } };

static void or_end(const pitot_error *error, int good) {
    if (good) return;
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

/* Seconds for: gradient, factors, product; where `inverts`, eigenvectors, product with the inverse */
static void once(pitot_net *net, const pitot_net_batch *b, int k, const pitot_real *x, pitot_real *y, int inverts, double t[5]) {
    pitot_error error = { 0 };
    pitot_linop op;
    pitot_kron_inverse inverse;
    double begin = now(), loss;
    pitot_net_forward(net, b, &loss);
    pitot_net_backward(net);
    t[0] = now() - begin, begin = now();
    pitot_kron *made = pitot_kron_new(&(pitot_kron_config){ .struct_size = sizeof(pitot_kron_config),
                                                            .net = net,
                                                            .kind = kinds[k].kind,
                                                            .sharing = kinds[k].sharing,
                                                            .corrected = kinds[k].corrected },
                                      &error);
    or_end(&error, made != NULL);
    t[1] = now() - begin;
    pitot_kron_operator(made, &op);
    begin = now();
    op.apply(op.self, x, y, 1);
    t[2] = now() - begin, begin = now();
    if (inverts) {
        or_end(&error, pitot_kron_invert(made, 1e-3, PITOT_KRON_EXACT, &inverse, &error) == PITOT_OK);
        t[3] = now() - begin, begin = now();
        inverse.op.apply(inverse.op.self, x, y, 1);
        t[4] = now() - begin;
    }
    pitot_kron_free(made);
}

static void measure(pitot_net *net, const pitot_net_batch *b, double seconds, const pitot_real *x, pitot_real *y) {
    static double time_of[3][MOST];
    for (int k = 0; k < KINDS; k++) {
        int n = 0;
        double t[5];
        once(net, b, k, x, y, 1, t);
        double vectors = t[3], inverse = t[4];
        for (double end = now() + seconds / KINDS; n < 1 || (now() < end && n < MOST); n++) {
            once(net, b, k, x, y, 0, t);
            time_of[0][n] = 1e3 * t[0];
            for (int i = 1; i < 3; i++) time_of[i][n] = t[i] / t[0];
        }
        double gradient = median(time_of[0], n);
        printf("%-14s %10.2f %10.2f %10.2f %10.2f %10.2f\n", kinds[k].name, gradient, median(time_of[1], n), median(time_of[2], n),
               1e3 * vectors / gradient, 1e3 * inverse / gradient);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    pitot_error error = { 0 };
    if (argc != 5) return fputs("usage: kron MODEL BATCH THREADS SECONDS\n", stderr), 2;
    int64_t batch = strtoll(argv[2], NULL, 10);
    int threads = (int)strtol(argv[3], NULL, 10);
    omp_set_num_threads(threads);
    pitot_net *net = pitot_net_read(argv[1], &error);
    if (!net || pitot_net_prepare(net, batch, threads, &error)) return fprintf(stderr, "%s\n", error.text), 1;
    pitot_net_facts facts;
    pitot_net_init(net, 1);
    pitot_net_get_facts(net, &facts);
    pitot_real *x = calloc((size_t)(batch * facts.input), sizeof *x), *v = calloc((size_t)facts.parameters, 2 * sizeof *v);
    int32_t *y = calloc((size_t)batch, sizeof *y);
    if (!x || !v || !y) return 1;
    for (int64_t i = 0; i < batch * facts.input; i++) x[i] = (pitot_real)((double)(i * 7919 % 1000) / 500.0 - 1);
    for (int64_t i = 0; i < facts.parameters; i++) v[i] = (pitot_real)((double)(i * 104729 % 1000) / 500.0 - 1);
    for (int64_t i = 0; i < batch; i++) y[i] = (int32_t)(i % facts.output);
    printf("%-14s %10s %10s %10s %10s %10s\n", "", "gradient", "factors", "product", "vectors", "inverse");
    measure(net, &(pitot_net_batch){ .struct_size = sizeof(pitot_net_batch), .n = batch, .x = x, .classes = y },
            strtod(argv[4], NULL), v, v + facts.parameters);
    pitot_net_free(net);
    free(x);
    free(v);
    free(y);
    return 0;
}
