/* lanczos.c: what keeping vectors orthogonal costs, on a diagonal operator of D values, in processor time beyond the products:

       lanczos D              prints: ms of a plain pass over one vector; ms a step of pitot_lanczos_top with 8, 16, 32 steps and no
                              restart, and that in plain passes over the vectors kept on average; ms a step of quadrature with 32 steps
                              without, with semi- and with full reorthogonalisation. The least of three rounds

   Public API only. */

#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS = 32, ROUNDS = 3 };

typedef struct diagonal {
    int64_t n;
    const pitot_real *value;
    double seconds;
} diagonal;

static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    diagonal *d = self;
    double begin = now();
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < d->n; i++) y[j * d->n + i] = d->value[i] * x[j * d->n + i];
    d->seconds += now() - begin;
    return PITOT_OK;
}

static void fill(pitot_real *value, int64_t n) {
    uint64_t state = 12345;
    for (int64_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double u = (double)(state >> 11) * 0x1p-53;
        value[i] = (pitot_real)(i < 10 ? 2 * pow(25, (double)i / 9) : u * u * u);
    }
}

/* A plain pass over `rows` vectors: sums in double. */
static double pass(const pitot_real *v, int64_t rows, int64_t n) {
    double best = INFINITY, sum = 0;
    for (int round = 0; round < 5; round++) {
        double begin = now();
        for (int64_t j = 0; j < rows; j++) sum += pitot_dot(v + j * n, v + j * n, n);
        best = fmin(best, now() - begin);
    }
    return sum > -1 ? best / (double)rows : 0;
}

/* Seconds for each product beyond the products. */
static double top(pitot_linop *op, pitot_real *work, int64_t vectors, int64_t products) {
    diagonal *d = op->self;
    pitot_real *basis = calloc((size_t)d->n, sizeof *basis);
    pitot_lanczos set = { .struct_size = sizeof set, .vectors = vectors, .work = work, .products = products, .tolerance = 1e-9 };
    pitot_eigenpair pair;
    int64_t made = 1;
    d->seconds = 0;
    double begin = now();
    pitot_lanczos_top(op, &set, 1, basis, &pair, &made);
    double rest = (now() - begin - d->seconds) / (double)made;
    free(basis);
    return rest;
}

static double quadrature(pitot_linop *op, pitot_real *work, int32_t kind) {
    diagonal *d = op->self;
    double node[STEPS], weight[STEPS];
    int32_t used[1];
    pitot_quadrature_config set = { .struct_size = sizeof set, .steps = STEPS, .draws = 1, .reorthogonalise = kind, .work = work };
    pitot_quadrature q = { .struct_size = sizeof q, .node = node, .weight = weight, .used = used };
    d->seconds = 0;
    double begin = now();
    pitot_quadrature_run(op, &set, &q, NULL);
    return (now() - begin - d->seconds) / (double)q.products;
}

int main(int argc, char **argv) {
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 1300000, vectors = STEPS + 8;
    pitot_real *value = malloc((size_t)n * sizeof *value), *work = calloc((size_t)(vectors * n), sizeof *work);
    diagonal d = { .n = n, .value = value };
    pitot_linop op = {
        .struct_size = sizeof op, .name = "diagonal", .n = n, .symmetric = 1, .exact = 1, .apply = apply, .self = &d
    };
    if (!value || !work) return 1;
    fill(value, n);
    memset(work, 0, (size_t)(vectors * n) * sizeof *work);
    double plain = pass(work, 16, n);
    printf("pass over a vector %.3f ms\n", 1e3 * plain);
    for (int64_t products = 8; products <= STEPS; products *= 2) {
        double best = INFINITY, kept = (double)products / 2;
        for (int round = 0; round < ROUNDS; round++) best = fmin(best, top(&op, work, vectors, products));
        printf("top, %2d steps: %6.2f ms a step, %.2f plain passes over the vectors kept\n", (int)products, 1e3 * best,
               best / (plain * kept));
    }
    for (int32_t kind = PITOT_REORTH_NONE; kind <= PITOT_REORTH_FULL; kind++) {
        double best = INFINITY;
        for (int round = 0; round < ROUNDS; round++) best = fmin(best, quadrature(&op, work, kind));
        printf("quadrature, %s: %6.2f ms a step\n",
               kind == PITOT_REORTH_NONE   ? "none"
               : kind == PITOT_REORTH_SEMI ? "semi"
                                           : "full",
               1e3 * best);
    }
    free(value);
    free(work);
    return 0;
}
