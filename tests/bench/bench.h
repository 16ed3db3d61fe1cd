/* bench.h: what the benches share. */

#ifndef PITOT_TESTS_BENCH_H
#define PITOT_TESTS_BENCH_H

#include "pitot.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Seconds. */
static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v (n). */
static inline double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[n / 2];
}

/* SGD on all parameters of a prepared net. */
static inline pitot_optim *make_optim(pitot_net *net, int threads) {
    const pitot_net_param *p = pitot_net_params(net);
    int64_t n = pitot_net_param_count(net);
    pitot_optim *o = pitot_optim_new("sgd", NULL);
    pitot_optim_tensor *list = calloc((size_t)n, sizeof *list);
    if (!o || !list) exit(1);
    for (int64_t i = 0; i < n; i++)
        list[i] = (pitot_optim_tensor){ p[i].name, p[i].size, p[i].data, (const pitot_real *const *)&p[i].grad, { 0 } };
    if (pitot_optim_prepare(o, list, n, threads, NULL)) exit(1);
    free(list);
    return o;
}

/* Of sgemm, GFLOP/s: the best of some sizes, a few times each. */
static inline double best_rate(void) {
    double best = 0;
    for (int round = 0; round < 2; round++)
        for (int64_t n = 512; n <= 1536; n += 512) {
            double rate = pitot_blas_speed(n, 4);
            if (rate > best) best = rate;
        }
    return best;
}

#endif
