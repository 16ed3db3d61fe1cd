/* loops.c: see parts.h. Partial sums side by side: the order of additions follows from the length alone. */

#include "pitot/hot.h"
#include "sweep/parts.h"

enum { LANES = 16 }; /* with 8, gcc takes the lanes apart into scalars */

static inline double total(const double lane[LANES]) {
    double all = 0;
    for (int l = 0; l < LANES; l++) all += lane[l];
    return all;
}

PITOT_HOT static double dot(const pitot_real *x, const pitot_real *y, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)y[i + l];
    for (; i < n; i++) lane[0] += (double)x[i] * (double)y[i];
    return total(lane);
}

PITOT_HOT static double deviation(const pitot_real *x, double scale, const pitot_real *mean, double mean_scale, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            double d = scale * (double)x[i + l] - mean_scale * (double)mean[i + l];
            lane[l] += d * d;
        }
    for (; i < n; i++) {
        double d = scale * (double)x[i] - mean_scale * (double)mean[i];
        lane[0] += d * d;
    }
    return total(lane);
}

PITOT_HOT static loop_sums centre(const pitot_real *x, double scale, const pitot_real *mean, double mean_scale, int64_t n,
                                  double *restrict sum) {
    double square[LANES] = { 0 }, along[LANES] = { 0 }, away[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            double g = scale * (double)x[i + l], m = mean_scale * (double)mean[i + l], d = (g - m) * (g - m);
            square[l] += g * g;
            along[l] += g * m;
            away[l] += d;
            sum[i + l] += d;
        }
    for (; i < n; i++) {
        double g = scale * (double)x[i], m = mean_scale * (double)mean[i], d = (g - m) * (g - m);
        square[0] += g * g;
        along[0] += g * m;
        away[0] += d;
        sum[i] += d;
    }
    return (loop_sums){ total(square), total(along), total(away) };
}

PITOT_HOT static void scale_values(const pitot_real *x, double factor, int64_t n, pitot_real *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (pitot_real)(factor * (double)x[i]);
}

double loop_square(const pitot_real *x, int64_t n) {
    return dot(x, x, n);
}

double loop_dot(const pitot_real *x, const pitot_real *y, int64_t n) {
    return dot(x, y, n);
}

loop_sums loop_centre(const pitot_real *x, double scale, const pitot_real *mean, double mean_scale, int64_t n, double *sum) {
    return centre(x, scale, mean, mean_scale, n, sum);
}

double loop_deviation(const pitot_real *x, double scale, const pitot_real *mean, double mean_scale, int64_t n) {
    return deviation(x, scale, mean, mean_scale, n);
}

void loop_scale(const pitot_real *x, double factor, int64_t n, pitot_real *out) {
    scale_values(x, factor, n, out);
}
