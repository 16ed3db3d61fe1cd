/* curve_ops.c: what products of a point's operators cost beside a gradient (forward and backward) of the same samples of a model file, on
   made-up samples:

       curve_ops MODEL SAMPLES THREADS SECONDS   prints: gradient ms; then for Hessian, GGN, sampled GGN, empirical Fisher and the GGN of
                                                 the last layer alone the time of a product over a gradient's: all samples in one chunk, in
                                                 four chunks, and in four chunks a vector of four at once (medians, in turn)

   Public API only. */

#include "bench.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 10000, OPERATORS = 5, WAYS = 3, TOGETHER = 4, CHUNKS = 4 };

typedef struct bench {
    pitot_net *net[2]; /* room for all samples, for a quarter */
    pitot_net_batch batch;
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
            pitot_point_config c = { .struct_size = sizeof c, .net = b->net[j], .batch = &b->batch };
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

static void measure(const bench *b, double seconds) {
    static double gradient[MOST], ratio[OPERATORS][WAYS][MOST];
    int n = 0, warm = 2;
    for (double end = now() + seconds; (now() < end || n == 0) && n<MOST; n += warm> 0 ? 0 : 1, warm--) {
        double t = now(), loss;
        pitot_net_forward(b->net[0], &b->batch, &loss);
        pitot_net_backward(b->net[0]);
        gradient[n] = now() - t;
        for (int i = 0; i < OPERATORS; i++)
            for (int w = 0; w < WAYS; w++) ratio[i][w][n] = product(b, i, w > 0, w == 2 ? TOGETHER : 1) / gradient[n];
    }
    printf("%.3f", 1e3 * median(gradient, n));
    for (int i = 0; i < OPERATORS; i++)
        for (int w = 0; w < WAYS; w++) printf(" %.2f", median(ratio[i][w], n));
    printf("\n");
}

static void make_samples(bench *b, int64_t n, const pitot_net_facts *facts) {
    pitot_real *x = calloc((size_t)(n * facts->input), sizeof *x);
    int32_t *y = calloc((size_t)n, sizeof *y);
    if (!x || !y) exit(1);
    for (int64_t i = 0; i < n * facts->input; i++) x[i] = (pitot_real)((double)(i * 7919 % 1000) / 500.0 - 1);
    for (int64_t i = 0; i < n; i++) y[i] = (int32_t)(i % facts->output);
    b->batch = (pitot_net_batch){ .struct_size = sizeof b->batch, .n = n, .x = x, .classes = y };
    b->x = calloc((size_t)(TOGETHER * facts->parameters), sizeof *b->x);
    b->y = calloc((size_t)(TOGETHER * facts->parameters), sizeof *b->y);
    if (!b->x || !b->y) exit(1);
    for (int64_t i = 0; i < TOGETHER * facts->parameters; i++) b->x[i] = (pitot_real)((double)(i * 104729 % 1000) / 500.0 - 1);
}

int main(int argc, char **argv) {
    static bench b;
    pitot_error error = { 0 };
    pitot_net_facts facts;
    if (argc != 5) return fputs("usage: curve_ops MODEL SAMPLES THREADS SECONDS\n", stderr), 2;
    int64_t n = strtoll(argv[2], NULL, 10);
    int threads = (int)strtol(argv[3], NULL, 10);
    omp_set_num_threads(threads);
    for (int j = 0; j < 2; j++) {
        b.net[j] = pitot_net_read(argv[1], &error);
        if (!b.net[j] || pitot_net_prepare(b.net[j], j ? (n + CHUNKS - 1) / CHUNKS : n, threads, &error))
            return fprintf(stderr, "%s\n", error.text), 1;
        pitot_net_init(b.net[j], 1);
    }
    pitot_net_get_facts(b.net[0], &facts);
    make_samples(&b, n, &facts);
    open_points(&b);
    measure(&b, strtod(argv[4], NULL));
    for (int i = 0; i < OPERATORS; i++)
        for (int j = 0; j < 2; j++) pitot_point_free(b.point[i][j]);
    for (int j = 0; j < 2; j++) pitot_net_free(b.net[j]);
    free((void *)b.batch.x);
    free((void *)b.batch.classes);
    free(b.x);
    free(b.y);
    return 0;
}
