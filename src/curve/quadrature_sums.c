/* quadrature_sums.c: sums over all eigenvalues from nodes and weights. Draw by draw, so that their spread gives the error. */

#include "pitot/quadrature.h"

#include <math.h>

typedef double (*function)(const void *user, double x);

static double of_draw(const pitot_quadrature *q, int32_t draw, function f, const void *user) {
    const double *node = q->node + (int64_t)draw * q->steps, *weight = q->weight + (int64_t)draw * q->steps;
    double sum = 0;
    for (int32_t k = 0; k < q->used[draw]; k++)
        if (weight[k] > 0) sum += weight[k] * f(user, node[k]);
    return sum;
}

static double mean(const pitot_quadrature *q, function f, const void *user) {
    double sum = 0;
    for (int32_t d = 0; d < q->draws; d++) sum += of_draw(q, d, f, user);
    return q->draws > 0 ? sum / q->draws : NAN;
}

static double standard_error(double squares, int32_t draws) {
    return draws > 1 ? sqrt(squares / ((double)draws * (draws - 1))) : NAN;
}

static double mean_and_error(const pitot_quadrature *q, function f, const void *user, double scale, double *error) {
    double centre = mean(q, f, user), squares = 0;
    for (int32_t d = 0; d < q->draws; d++) squares += pow(of_draw(q, d, f, user) - centre, 2);
    if (error) *error = scale * standard_error(squares, q->draws);
    return scale * centre;
}

double pitot_quadrature_sum(const pitot_quadrature *q, double (*f)(const void *user, double x), const void *user, double *error) {
    return mean_and_error(q, f, user, (double)q->n, error);
}

static double identity(const void *user, double x) {
    (void)user;
    return x;
}

static double square(const void *user, double x) {
    (void)user;
    return x * x;
}

static double log_above(const void *user, double x) {
    double sum = x + *(const double *)user;
    return sum > 0 ? log(sum) : NAN;
}

static double share_kept(const void *user, double x) {
    return x > 0 ? x / (x + *(const double *)user) : 0;
}

static double is_negative(const void *user, double x) {
    return x < -*(const double *)user;
}

static double magnitude(const void *user, double x) {
    (void)user;
    return fabs(x);
}

static double negative_magnitude(const void *user, double x) {
    return x < -*(const double *)user ? -x : 0;
}

double pitot_quadrature_trace(const pitot_quadrature *q, double *error) {
    return pitot_quadrature_sum(q, identity, NULL, error);
}

double pitot_quadrature_frobenius(const pitot_quadrature *q, double *error) {
    return pitot_quadrature_sum(q, square, NULL, error);
}

double pitot_quadrature_logdet(const pitot_quadrature *q, double delta, double *error) {
    return pitot_quadrature_sum(q, log_above, &delta, error);
}

double pitot_quadrature_effective_dimension(const pitot_quadrature *q, double delta, double *error) {
    if (delta > 0) return pitot_quadrature_sum(q, share_kept, &delta, error);
    if (error) *error = NAN;
    return NAN;
}

double pitot_quadrature_negative_mass(const pitot_quadrature *q, double *error) {
    return mean_and_error(q, is_negative, &q->floor, 1, error);
}

double pitot_quadrature_negative_energy(const pitot_quadrature *q, double *error) {
    double all = mean(q, magnitude, NULL), ratio = all > 0 ? mean(q, negative_magnitude, &q->floor) / all : q->draws > 0 ? 0 : NAN;
    double squares = 0;
    for (int32_t d = 0; d < q->draws; d++)
        squares += pow(of_draw(q, d, negative_magnitude, &q->floor) - ratio * of_draw(q, d, magnitude, NULL), 2);
    if (error) *error = all > 0 || q->draws < 2 ? standard_error(squares, q->draws) / all : 0;
    return ratio;
}

void pitot_quadrature_range(const pitot_quadrature *q, double *low, double *high) {
    *low = *high = NAN;
    for (int32_t d = 0; d < q->draws; d++) {
        const double *node = q->node + (int64_t)d * q->steps;
        *low = fmin(*low, node[0]);
        *high = fmax(*high, node[q->used[d] - 1]);
    }
}
