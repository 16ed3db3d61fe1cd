/* sums.c: sums over tensors in double. Eight partial sums per thread keep the adder busy and make the order of additions, and so the
   bits, a function of the length and the thread count alone. */

#include "pitot/hot.h"
#include "base/threads.h"
#include "pitot/probe.h"
#include "base/sums.h"

#include <math.h>

enum { LANES = 8, WORTH_THREADS = 1 << 17 };

static _Thread_local int sum_threads; /* 0: OpenMP's setting */

static int allowed(int threads) {
    return threads < 1 ? 1 : threads > SUMS_MOST_THREADS ? SUMS_MOST_THREADS : threads;
}

void sums_set_threads(int threads) {
    sum_threads = allowed(threads);
}

int sums_threads(int64_t n) {
    return n < WORTH_THREADS ? 1 : sum_threads ? sum_threads : allowed(threads_default());
}

typedef struct sum_job {
    const pitot_real *x, *y;
    double epsilon;
    double part[SUMS_MOST_THREADS];
} sum_job;

static double total(const double lane[LANES]) {
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

PITOT_HOT static double product(const pitot_real *x, const pitot_real *y, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)y[i + j];
    for (; i < n; i++) lane[0] += (double)x[i] * (double)y[i];
    return total(lane);
}

PITOT_HOT static double difference(const pitot_real *x, const pitot_real *y, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double d = (double)x[i + j] - (double)y[i + j];
            lane[j] += d * d;
        }
    for (; i < n; i++) lane[0] += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return total(lane);
}

PITOT_HOT static double plain(const pitot_real *x, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j];
    for (; i < n; i++) lane[0] += (double)x[i];
    return total(lane);
}

/* Four ratios by one division: products of four floats are within a double's range. */
PITOT_HOT static double ratio_by_four(const pitot_real *x, const pitot_real *y, double epsilon, int64_t n) {
    double lane[LANES] = { 0 };
    for (int64_t i = 0; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < LANES; j++) {
            double y0 = (double)y[i + j] + epsilon, y1 = (double)y[i + LANES + j] + epsilon,
                   y2 = (double)y[i + 2 * LANES + j] + epsilon, y3 = (double)y[i + 3 * LANES + j] + epsilon,
                   x01 = (double)x[i + j] * y1 + (double)x[i + LANES + j] * y0,
                   x23 = (double)x[i + 2 * LANES + j] * y3 + (double)x[i + 3 * LANES + j] * y2;
            lane[j] += (x01 * (y2 * y3) + x23 * (y0 * y1)) / ((y0 * y1) * (y2 * y3));
        }
    return total(lane);
}

PITOT_HOT static double ratio(const pitot_real *x, const pitot_real *y, double epsilon, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] / ((double)y[i + j] + epsilon);
    for (; i < n; i++) lane[0] += (double)x[i] / ((double)y[i] + epsilon);
    return total(lane);
}

static void plain_task(void *job, int64_t begin, int64_t end, int thread) {
    sum_job *j = job;
    j->part[thread] = plain(j->x + begin, end - begin);
}

/* What is not finite by four may be so one by one. */
static void ratio_task(void *job, int64_t begin, int64_t end, int thread) {
    sum_job *j = job;
    const pitot_real *x = j->x + begin, *y = j->y + begin;
    int64_t n = end - begin, fours = sizeof(pitot_real) == sizeof(float) ? n / (4 * LANES) * (4 * LANES) : 0;
    double most = ratio_by_four(x, y, j->epsilon, fours);
    if (!isfinite(most)) most = ratio(x, y, j->epsilon, fours);
    j->part[thread] = most + ratio(x + fours, y + fours, j->epsilon, n - fours);
}

static void product_task(void *job, int64_t begin, int64_t end, int thread) {
    sum_job *j = job;
    j->part[thread] = product(j->x + begin, j->y + begin, end - begin);
}

static void difference_task(void *job, int64_t begin, int64_t end, int thread) {
    sum_job *j = job;
    j->part[thread] = difference(j->x + begin, j->y + begin, end - begin);
}

static double sum(thread_task task, const pitot_real *x, const pitot_real *y, double epsilon, int64_t n) {
    sum_job job = { x, y, epsilon, { 0 } };
    int threads = sums_threads(n);
    threads_run(threads, n, task, &job);
    double all = 0;
    for (int i = 0; i < threads; i++) all += job.part[i];
    return all;
}

double pitot_sum_squares(const pitot_real *x, int64_t n) {
    return sum(product_task, x, x, 0, n);
}

double pitot_dot(const pitot_real *x, const pitot_real *y, int64_t n) {
    return sum(product_task, x, y, 0, n);
}

double pitot_sum_squared_difference(const pitot_real *x, const pitot_real *y, int64_t n) {
    return sum(difference_task, x, y, 0, n);
}

double pitot_sum(const pitot_real *x, int64_t n) {
    return sum(plain_task, x, x, 0, n);
}

double pitot_sum_ratios(const pitot_real *x, const pitot_real *y, double epsilon, int64_t n) {
    return sum(ratio_task, x, y, epsilon, n);
}
