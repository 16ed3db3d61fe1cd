/* curve_ops.c: what products of a point's operators cost beside a gradient (forward and backward) of the same samples of a model file, on
   made-up samples:

       curve_ops MODEL SAMPLES THREADS SECONDS   prints: gradient ms; then for Hessian, GGN, sampled GGN, empirical Fisher and the GGN of
                                                 the last layer alone the time of a product over a gradient's: all samples in one chunk, in
                                                 four chunks, and in four chunks a vector of four at once (medians, in turn)

   Public API only. */

#include "bench.h"

#include <string.h>

enum { MOST = 10000, OPERATORS = 5, WAYS = 3, TOGETHER = 4, CHUNKS = 4 };

typedef struct bench {
    setup s;
    pitot_net *net[2]; /* room for all samples, for a quarter */
    pitot_point *point[OPERATORS][2];
    pitot_linop op[OPERATORS][2];
    pitot_real *x, *y;
} bench;

static void open_points(bench *b) {
    static const int32_t kind[OPERATORS] = { PITOT_OP_HESSIAN, PITOT_OP_GGN, PITOT_OP_GGN_MC, PITOT_OP_EMPIRICAL_FISHER,
                                             PITOT_OP_GGN };
    pitot_error error = { 0 };
    char last[256];
    snprintf(last, sizeof last, "%s", pitot_net_params(b->net[0])[pitot_net_param_count(b->net[0]) - 1].name);
    *strrchr(last, '.') = 0;
    for (int i = 0; i < OPERATORS; i++)
        for (int j = 0; j < 2; j++) {
            pitot_point_config c = { .struct_size = sizeof c, .net = b->net[j], .batch = &b->s.batch };
            if (i == OPERATORS - 1) c.group = last;
            b->point[i][j] = pitot_point_new(&c, &error);
            if (!b->point[i][j] || pitot_point_operator(b->point[i][j], kind[i], &b->op[i][j])) exit(1);
        }
}

/* One product with k vectors, in seconds for each. With one chunk the passes are there. */
static double product(const bench *b, int i, int j, int64_t k) {
    if (j == 0 && b->op[i][j].apply(b->op[i][j].self, b->x, b->y, 1)) exit(1);
    double t = now();
    if (b->op[i][j].apply(b->op[i][j].self, b->x, b->y, k)) exit(1);
    return (now() - t) / (double)k;
}

static void measure(const bench *b) {
    static double gradient[MOST], ratio[OPERATORS][WAYS][MOST];
    int n = 0, warm = 2;
    for (double end = now() + b->s.seconds; (now() < end || n == 0) && n<MOST; n += warm> 0 ? 0 : 1, warm--) {
        gradient[n] = both_passes(b->net[0], &b->s.batch);
        for (int i = 0; i < OPERATORS; i++)
            for (int w = 0; w < WAYS; w++) ratio[i][w][n] = product(b, i, w > 0, w == 2 ? TOGETHER : 1) / gradient[n];
    }
    printf("%.3f", 1e3 * median(gradient, n));
    for (int i = 0; i < OPERATORS; i++)
        for (int w = 0; w < WAYS; w++) printf(" %.2f", median(ratio[i][w], n));
    printf("\n");
}

int main(int argc, char **argv) {
    static bench b;
    pitot_error error = { 0 };
    b.s = set_up(argc, argv, 4, 4, "curve_ops MODEL SAMPLES THREADS SECONDS", 0);
    b.s.batch.training = 0;
    b.net[0] = b.s.net;
    b.net[1] = pitot_net_read(argv[1], &error);
    or_end(&error, b.net[1] && !pitot_net_prepare(b.net[1], (b.s.batch.n + CHUNKS - 1) / CHUNKS, b.s.threads, &error));
    pitot_net_init(b.net[1], 1);
    b.x = values_of(TOGETHER * b.s.facts.parameters);
    b.y = values_of(TOGETHER * b.s.facts.parameters);
    make_up(b.x, TOGETHER * b.s.facts.parameters);
    open_points(&b);
    measure(&b);
    for (int i = 0; i < OPERATORS; i++)
        for (int j = 0; j < 2; j++) pitot_point_free(b.point[i][j]);
    pitot_net_free(b.net[1]);
    clear_up(&b.s);
    free(b.x);
    free(b.y);
    return 0;
}
