/* drawing.c: see drawing.h. */

#include "curve/drawing.h"

#include "base/random.h"
#include "curve/check.h"
#include "curve/draws.h"

#include <math.h>

enum { PRODUCTS = 30 };

static const double TOLERANCE = 1e-2;

int32_t drawing_open(drawing *d, const pitot_linop *op, const pitot_draws *set, pitot_estimate *out, pitot_error *error,
                     const char *what, int64_t least_products, int symmetric) {
    if (!op || !op->apply || op->n <= 0 || !set || !set->work || !out)
        return pitot_fail(error, PITOT_EINVAL, "%s: no operator, work space or result; hand them in", what);
    if (symmetric && !op->symmetric)
        return pitot_fail(error, PITOT_EINVAL, "%s: operator %s is not symmetric; Hutchinson's estimator takes any", what,
                          op->name ? op->name : "");
    int64_t products = set->products ? set->products : PRODUCTS, values;
    if (products < least_products || !(set->tolerance >= 0) || set->vectors < 0 ||
        __builtin_mul_overflow(op->n, set->vectors, &values))
        return pitot_fail(error, PITOT_EINVAL, "%s: settings make no sense; %d products or more, a tolerance from 0 on", what,
                          (int)least_products);
    *d = (drawing){ .op = op, .set = set, .out = out, .error = error, .n = op->n, .products = products, .of = products };
    d->purpose = random_purpose("trace");
    *out = (pitot_estimate){ .struct_size = sizeof *out, .value = NAN, .error = NAN };
    return PITOT_OK;
}

int32_t drawing_need(const drawing *d, const char *what, int64_t vectors) {
    if (d->set->vectors >= vectors) return PITOT_OK;
    return pitot_fail(d->error, PITOT_EINVAL,
                      "%s: work space for %lld vectors, %lld are needed; enlarge it or spend fewer products", what,
                      (long long)d->set->vectors, (long long)vectors);
}

void drawing_signs(const drawing *d, pitot_real *x, int64_t i) {
    draws_signs(x, d->n, d->set->seed, d->purpose, (uint64_t)i);
}

int32_t drawing_apply(drawing *d, const pitot_real *x, pitot_real *y, int64_t k) {
    int32_t status = d->op->apply(d->op->self, x, y, k);
    if (!status && d->out->products == 0) status = check_repeat(d->op, x, y, k, NULL, &d->repeated, d->error);
    d->out->products += k;
    if (!status && d->set->progress && d->set->progress(d->set->user, d->out->products, d->of)) d->stopped = 1;
    return status;
}

int32_t drawing_close(drawing *d, int32_t status, double size) {
    pitot_estimate *out = d->out;
    double tolerance = d->set->tolerance > 0 ? d->set->tolerance : TOLERANCE;
    out->products += d->repeated;
    out->complete = !status && !d->stopped;
    out->converged = !status && hypot(out->error, out->floor) <= tolerance * size;
    if (!status) return PITOT_OK;
    out->value = out->error = NAN;
    if (status == PITOT_EHOST)
        pitot_fail(d->error, status, "trace: a product of %s is not finite, or failed, by number %lld; are the weights?",
                   d->op->name ? d->op->name : "the operator", (long long)out->products);
    if (status == PITOT_ENOMEM)
        pitot_fail(d->error, status, "trace: no memory for matrices as wide as the sketch; spend fewer products");
    return status;
}

double running_error(const running *r) {
    return r->count > 1 ? sqrt(r->squares / ((double)r->count * (double)(r->count - 1))) : NAN;
}
