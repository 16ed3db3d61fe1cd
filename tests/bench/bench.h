/* bench.h: what the benches share. */

#ifndef PITOT_TESTS_BENCH_H
#define PITOT_TESTS_BENCH_H

#include "pitot.h"

#include <omp.h>
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

static inline void or_end(const pitot_error *error, int good) {
    if (good) return;
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

/* ---- a net and its samples ---- */

/* What is not random and has no short period, in [-1,1]. */
static inline void make_up(pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)((double)((uint64_t)i * 2654435761u % 4093) / 2046.0 - 1);
}

/* n zeros. */
static inline pitot_real *values_of(int64_t n) {
    pitot_real *x = calloc((size_t)n, sizeof *x);
    if (!x) exit(1);
    return x;
}

typedef struct setup { /* what the arguments MODEL BATCH THREADS SECONDS say */
    pitot_net *net;    /* prepared for it */
    pitot_net_facts facts;
    pitot_net_batch batch; /* of made-up samples, the first of them */
    int64_t samples;
    int threads;
    double seconds;
} setup;

/* With the first four of the `least` to `most` arguments, whose names are in `usage`, and room for `samples`, or for a batch if that is more;
   ends the process where they will not do. */
static inline setup set_up(int argc, char **argv, int least, int most, const char *usage, int64_t samples) {
    pitot_error error = { 0 };
    if (argc <= least || argc - 1 > most) exit((fprintf(stderr, "usage: %s\n", usage), 2));
    int64_t batch = strtoll(argv[2], NULL, 10);
    setup s = { .threads = (int)strtol(argv[3], NULL, 10), .seconds = strtod(argv[4], NULL) };
    omp_set_num_threads(s.threads);
    s.net = pitot_net_read(argv[1], &error);
    or_end(&error, s.net && pitot_net_prepare(s.net, batch, s.threads, &error) == PITOT_OK);
    pitot_net_init(s.net, 1);
    pitot_net_get_facts(s.net, &s.facts);
    s.samples = batch > samples ? batch : samples;
    pitot_real *x = values_of(s.samples * s.facts.input);
    int32_t *y = calloc((size_t)s.samples, sizeof *y);
    if (!y) exit(1);
    make_up(x, s.samples * s.facts.input);
    for (int64_t i = 0; i < s.samples; i++) y[i] = (int32_t)(i % s.facts.output);
    s.batch = (pitot_net_batch){ .struct_size = sizeof s.batch, .n = batch, .x = x, .classes = y, .training = 1 };
    return s;
}

static inline void clear_up(setup *s) {
    pitot_net_free(s->net);
    free((void *)s->batch.x);
    free((void *)s->batch.classes);
}

/* ---- steps ---- */

/* Forward and backward pass, in seconds. */
static inline double both_passes(pitot_net *net, const pitot_net_batch *b) {
    double t = now(), loss;
    pitot_net_forward(net, b, &loss);
    pitot_net_backward(net);
    return now() - t;
}

static inline double one_step(pitot_net *net, const pitot_net_batch *b, pitot_optim *optim) {
    double t = now();
    both_passes(net, b);
    pitot_optim_step(optim);
    return now() - t;
}

/* On all parameters of a prepared net. */
static inline pitot_optim *make_optim(const char *name, pitot_net *net, int threads) {
    const pitot_net_param *p = pitot_net_params(net);
    int64_t n = pitot_net_param_count(net);
    pitot_optim *o = pitot_optim_new(name, NULL);
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
