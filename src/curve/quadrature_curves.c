/* quadrature_curves.c: cumulative curve and density from nodes and weights, at the points asked for. */

#include "pitot/quadrature.h"

#include <math.h>

enum { RESOLUTION = 3 }; /* widths of a step, evenly */

/* The coordinate of a value. */
static double place(double x, double linear) {
    if (!(linear > 0)) return x;
    double size = fabs(x);
    return size <= linear ? x / linear : copysign(1 + log10(size / linear), x);
}

void pitot_quadrature_cumulative(const pitot_quadrature *q, const double *x, int64_t m, double *out) {
    for (int64_t i = 0; i < m; i++) {
        double sum = 0;
        for (int32_t d = 0; d < q->draws; d++) {
            const double *node = q->node + (int64_t)d * q->steps, *weight = q->weight + (int64_t)d * q->steps;
            for (int32_t k = 0; k < q->used[d] && node[k] <= x[i]; k++) sum += weight[k];
        }
        out[i] = q->draws > 0 ? fmin(sum / q->draws, 1) : NAN;
    }
}

double pitot_quadrature_width(const pitot_quadrature *q, const double *x, int64_t m, double linear) {
    double low, high, gap = 0;
    pitot_quadrature_range(q, &low, &high);
    for (int64_t i = 1; i < m; i++) gap = fmax(gap, fabs(place(x[i], linear) - place(x[i - 1], linear)));
    double width = fmax((place(high, linear) - place(low, linear)) / (RESOLUTION * q->steps), gap);
    return width > 0 ? width : fmax(fabs(place(high, linear)), 1) / (RESOLUTION * q->steps);
}

void pitot_quadrature_density(const pitot_quadrature *q, const double *x, int64_t m, double linear, double width, double *out) {
    if (!(width > 0)) width = pitot_quadrature_width(q, x, m, linear);
    for (int64_t i = 0; i < m; i++) out[i] = q->draws > 0 ? 0 : NAN;
    for (int32_t d = 0; d < q->draws; d++)
        for (int32_t k = 0; k < q->used[d]; k++) {
            int64_t at = (int64_t)d * q->steps + k;
            double centre = place(q->node[at], linear), height = q->weight[at] / (width * sqrt(2 * M_PI) * q->draws);
            for (int64_t i = 0; i < m; i++) {
                double z = (place(x[i], linear) - centre) / width;
                out[i] += height * exp(-z * z / 2);
            }
        }
}
