/* check.c: whether an operator stands still, is symmetric and finite, from three products with random signs. */

#include "pitot/curve.h"

#include "base/random.h"
#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double BOUND = 1e4 * (sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON);

static void random_signs(pitot_real *x, int64_t n, uint64_t seed, uint64_t stream) {
    const uint64_t purpose = random_purpose("linop_check");
    for (int64_t i = 0; i < n; i++) x[i] = random_bits(seed, purpose, stream, (uint64_t)i) & 1 ? 1 : -1;
}

/* Bits, so that NaN equals itself and 0 is not -0. */
static void compare(const pitot_real *a, const pitot_real *b, int64_t n, pitot_linop_report *r) {
    r->first = -1;
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) == 0) continue;
        if (r->first < 0) r->first = i;
        r->differing++;
    }
    double length = sqrt(pitot_sum_squares(a, n));
    r->repeatable = r->differing == 0;
    r->difference = r->repeatable ? 0 : sqrt(pitot_sum_squared_difference(a, b, n)) / (length > 0 ? length : 1);
}

/* u'Av and v'Au */
static void compare_sides(const pitot_linop *op, const pitot_real *u, const pitot_real *v, const pitot_real *au,
                          const pitot_real *av, pitot_linop_report *r) {
    const int64_t n = op->n;
    double lengths = sqrt(pitot_sum_squares(au, n)) * sqrt(pitot_sum_squares(av, n)) * (double)n;
    double defect = fabs(pitot_dot(u, av, n) - pitot_dot(v, au, n));
    r->asymmetry = defect == 0 ? 0 : defect / sqrt(lengths);
    r->symmetric = r->asymmetry <= fmax(BOUND, 2 * op->error);
}

static int32_t multiply(const pitot_linop *op, const pitot_real *x, pitot_real *y, pitot_linop_report *r, pitot_error *error) {
    r->products++;
    int32_t status = op->apply(op->self, x, y, 1);
    if (status)
        return pitot_fail(error, status, "%s: a product failed: %s", op->name ? op->name : "operator", pitot_strerror(status));
    r->finite = r->finite && isfinite(pitot_sum_squares(y, op->n));
    return PITOT_OK;
}

static int32_t judge(const pitot_linop *op, const pitot_linop_report *r, pitot_error *error) {
    const char *name = op->name ? op->name : "operator";
    char text[32];
    if (!r->finite) return pitot_fail(error, PITOT_EHOST, "%s: a product has values that are not finite", name);
    pitot_number_text(r->difference, text, sizeof text);
    if (!r->repeatable)
        return pitot_fail(
            error, PITOT_EMISMATCH,
            "%s: two products with one vector differ in %lld of %lld values, first in value %lld, by %s of their length; "
            "freeze its samples, dropout and normalisation",
            name, (long long)r->differing, (long long)op->n, (long long)r->first, text);
    pitot_number_text(r->asymmetry, text, sizeof text);
    if (op->symmetric && !r->symmetric)
        return pitot_fail(error, PITOT_EMISMATCH, "%s: it calls itself symmetric, and u'Av and v'Au differ by %s of their scale",
                          name, text);
    return PITOT_OK;
}

int32_t pitot_linop_check(const pitot_linop *op, pitot_real *work, uint64_t seed, pitot_linop_report *report, pitot_error *error) {
    if (!op || !op->apply || op->n < 1 || !work)
        return pitot_fail(error, PITOT_EINVAL, "an operator and room for four vectors are needed");
    pitot_linop_report r = { .struct_size = sizeof r, .finite = 1 };
    const int64_t n = op->n;
    pitot_real *u = work, *v = work + n, *one = work + 2 * n, *other = work + 3 * n;
    random_signs(u, n, seed, 0);
    random_signs(v, n, seed, 1);
    int32_t status = multiply(op, v, one, &r, error);
    if (!status) status = multiply(op, v, other, &r, error);
    if (status) return status;
    compare(one, other, n, &r);
    status = multiply(op, u, other, &r, error);
    if (status) return status;
    compare_sides(op, u, v, other, one, &r);
    if (report) {
        size_t theirs = report->struct_size && report->struct_size < sizeof r ? report->struct_size : sizeof r;
        r.struct_size = theirs;
        memcpy(report, &r, theirs);
    }
    return judge(op, &r, error);
}
