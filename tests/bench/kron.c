/* kron.c: what Kronecker factors cost beside a gradient (forward, backward) of a model file on made-up samples:

       kron MODEL BATCH THREADS SECONDS     prints: gradient ms; over it (medians of ratios, in turn) each kind's factors (with EKFAC's
                                            eigenvectors), a product with C; once each, finding the eigenvectors, a product with
                                            (C + delta I)^-1

   Public API only. */

#include "bench.h"

enum { MOST = 1000, KINDS = 5 };

static const struct {
    const char *name;
    int32_t kind, sharing, corrected;
} kinds[KINDS] = { { "kfac", PITOT_KRON_KFAC, PITOT_KRON_EXPAND, 0 },
                   { "kfac, reduce", PITOT_KRON_KFAC, PITOT_KRON_REDUCE, 0 },
                   { "ekfac", PITOT_KRON_KFAC, PITOT_KRON_EXPAND, 1 },
                   { "kflr", PITOT_KRON_KFLR, PITOT_KRON_EXPAND, 0 },
                   { "empirical", PITOT_KRON_EMPIRICAL, PITOT_KRON_EXPAND, 0 } };

/* Seconds for: gradient, factors, product; where `inverts`, eigenvectors, product with the inverse */
static void once(const setup *s, int k, const pitot_real *x, pitot_real *y, int inverts, double t[5]) {
    pitot_error error = { 0 };
    pitot_linop op;
    pitot_kron_inverse inverse;
    t[0] = both_passes(s->net, &s->batch);
    double begin = now();
    pitot_kron *made = pitot_kron_new(&(pitot_kron_config){ .struct_size = sizeof(pitot_kron_config),
                                                            .net = s->net,
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

static void measure(const setup *s, const pitot_real *x, pitot_real *y) {
    static double time_of[3][MOST];
    for (int k = 0; k < KINDS; k++) {
        int n = 0;
        double t[5];
        once(s, k, x, y, 1, t);
        double vectors = t[3], inverse = t[4];
        for (double end = now() + s->seconds / KINDS; n < 1 || (now() < end && n < MOST); n++) {
            once(s, k, x, y, 0, t);
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
    setup s = set_up(argc, argv, 4, 4, "kron MODEL BATCH THREADS SECONDS", 0);
    int64_t d = s.facts.parameters;
    pitot_real *v = values_of(2 * d);
    make_up(v, d);
    printf("%-14s %10s %10s %10s %10s %10s\n", "", "gradient", "factors", "product", "vectors", "inverse");
    measure(&s, v, v + d);
    clear_up(&s);
    free(v);
    return 0;
}
