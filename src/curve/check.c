/* check.c: whether an operator stands still, from a product made once more; and whether it is symmetric and finite, too, from three products with
   random signs. */

#include "curve/check.h"

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/curve.h"
#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static const double BOUND = 1e4 * (sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON);

static void random_signs(pitot_real *x, int64_t n, uint64_t seed, uint64_t stream) {
    const uint64_t purpose = random_purpose("linop_check");
    for (int64_t i = 0; i < n; i++) x[i] = random_bits(seed, purpose, stream, (uint64_t)i) & 1 ? 1 : -1;
}

/* ---- two products with one vector ---- */

typedef struct mismatch {
    int64_t differing, first, most; /* values; the first of them and the one that differs most, -1: none */
    double share;                   /* by which that one does, of the larger of the two */
    double length;                  /* of the difference, as a share of the product's */
} mismatch;

/* Bits, so that NaN equals itself and 0 is not -0. */
static mismatch compare(const pitot_real *a, const pitot_real *b, int64_t n) {
    mismatch m = { .first = -1, .most = -1 };
    double most = -1;
    if (memcmp(a, b, (size_t)n * sizeof *a) == 0) return m;
    for (int64_t i = 0; i < n; i++) {
        double off = fabs((double)a[i] - (double)b[i]);
        if (memcmp(&a[i], &b[i], sizeof *a) == 0) continue;
        if (m.first < 0) m.first = m.most = i;
        if (off > most) most = off, m.most = i;
        m.differing++;
    }
    double length = sqrt(pitot_sum_squares(a, n)), size = fmax(fabs((double)a[m.most]), fabs((double)b[m.most]));
    m.share = most > 0 ? most / size : 0;
    m.length = sqrt(pitot_sum_squared_difference(a, b, n)) / (length > 0 ? length : 1);
    return m;
}

static const char *name_of(const pitot_linop *op) {
    return op->name ? op->name : "operator";
}

/* By its own account products are no better than `error`. */
static int32_t judge_mismatch(const pitot_linop *op, const mismatch *m, pitot_error *error) {
    char share[32], length[32];
    if (m->differing == 0 || (isfinite(m->length) && m->length <= 2 * op->error)) return PITOT_OK;
    pitot_number_text(m->share, share, sizeof share);
    pitot_number_text(m->length, length, sizeof length);
    return pitot_fail(
        error, PITOT_EMISMATCH,
        "%s: two products with one vector differ in %lld of %lld values, first in value %lld, most in value %lld, there by %s of "
        "it, "
        "in all by %s of their length; freeze what changes: dropout or batch norm in training mode, samples that are others at "
        "each product, random numbers drawn for each",
        name_of(op), (long long)m->differing, (long long)op->n, (long long)m->first, (long long)m->most, share, length);
}

int check_is_due(const pitot_linop *op) {
    return op->struct_size < offsetof(pitot_linop, checked) + sizeof op->checked || !op->checked;
}

static int32_t repeat(const pitot_linop *op, const pitot_real *x, const pitot_real *y, int64_t k, pitot_real *room,
                      int64_t *products, pitot_error *error) {
    int32_t status = op->apply(op->self, x, room, 1);
    ++*products;
    if (!status && k > 1) {
        y = room + op->n;
        status = op->apply(op->self, x, room + op->n, 1);
        ++*products;
    }
    if (status) return status;
    mismatch m = compare(y, room, op->n);
    if (m.differing && !isfinite(pitot_sum_squares(y, op->n) + pitot_sum_squares(room, op->n))) return PITOT_EHOST;
    return judge_mismatch(op, &m, error);
}

int32_t check_repeat(const pitot_linop *op, const pitot_real *x, const pitot_real *y, int64_t k, pitot_real *room,
                     int64_t *products, pitot_error *error) {
    if (!check_is_due(op)) return PITOT_OK;
    if (room) return repeat(op, x, y, k, room, products, error);
    pitot_real *own = mem_alloc(k > 1 ? 2 : 1, (size_t)op->n * sizeof *own);
    if (!own)
        return pitot_fail(error, PITOT_ENOMEM, "%s: no memory to make a product of %lld values once more", name_of(op),
                          (long long)op->n);
    int32_t status = repeat(op, x, y, k, own, products, error);
    mem_free(own);
    return status;
}

/* ---- the whole check ---- */

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
    if (status) return pitot_fail(error, status, "%s: a product failed: %s", name_of(op), pitot_strerror(status));
    r->finite = r->finite && isfinite(pitot_sum_squares(y, op->n));
    return PITOT_OK;
}

static int32_t judge(const pitot_linop *op, const pitot_linop_report *r, const mismatch *m, pitot_error *error) {
    char text[32];
    if (!r->finite) return pitot_fail(error, PITOT_EHOST, "%s: a product has values that are not finite", name_of(op));
    int32_t status = judge_mismatch(op, m, error);
    if (status || !op->symmetric || r->symmetric) return status;
    pitot_number_text(r->asymmetry, text, sizeof text);
    return pitot_fail(error, PITOT_EMISMATCH, "%s: it calls itself symmetric, and u'Av and v'Au differ by %s of their scale",
                      name_of(op), text);
}

static void hand_out(pitot_linop_report *to, pitot_linop_report *r) {
    size_t theirs = to->struct_size && to->struct_size < sizeof *r ? to->struct_size : sizeof *r;
    r->struct_size = theirs;
    memcpy(to, r, theirs);
}

int32_t pitot_linop_check(pitot_linop *op, pitot_real *work, uint64_t seed, pitot_linop_report *report, pitot_error *error) {
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
    mismatch m = compare(one, other, n);
    r.repeatable = m.differing == 0;
    r.differing = m.differing;
    r.first = m.first;
    r.difference = m.length;
    status = multiply(op, u, other, &r, error);
    if (status) return status;
    compare_sides(op, u, v, other, one, &r);
    if (report) hand_out(report, &r);
    status = judge(op, &r, &m, error);
    if (op->struct_size >= offsetof(pitot_linop, checked) + sizeof op->checked) op->checked = !status;
    return status;
}
