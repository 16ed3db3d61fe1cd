/* hessian_free.c: Martens 2010, "Deep learning via Hessian-free optimization". A step: conjugate gradients on

       q(d) = g'd + d'(G + lambda I) d / 2,   preconditioner (mean_n g_n^2 + lambda)^0.75 value by value,

   from `decay` times the previous solution, until q gains less than k 5e-4 of itself in the last k = max(10, i/10) iterations; back over the
   iterates 1.3^j, as long as the loss falls; lambda times 3/2 if the loss fell by less than a quarter of what q said there, 2/3 if by more
   than three quarters; from a length of lr on, times 0.8 until the loss is below f + 0.01 length g'd. G is the batch's; gradient and losses, too,
   or with `data` those of the whole data set. Where no length lowers the loss the parameters stay. */

#include "net/real.h"
#include "optim/core/flat.h"
#include "optim/core/optimizer.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

typedef struct hessian_free_options {
    double lr, damping, decay, tolerance;
    int64_t most, precondition, adapt, data;
} hessian_free_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(hessian_free_options, lr), "1", 0, 1e6, NULL, "", "first length of the line search" },
    { "damping", PITOT_REAL, 1, offsetof(hessian_free_options, damping), "1", 0, 1e12, NULL, "", "lambda at the start" },
    { "decay", PITOT_REAL, 1, offsetof(hessian_free_options, decay), "0.95", 0, 1, NULL, "",
      "share of the previous solution to start from" },
    { "tolerance", PITOT_REAL, 1, offsetof(hessian_free_options, tolerance), "5e-4", 0, 1, NULL, "",
      "relative gain of q an iteration at which to stop" },
    { "max_iterations", PITOT_INT, 1, offsetof(hessian_free_options, most), "250", 1, 100000, NULL, "",
      "products a step, at most" },
    { "precondition", PITOT_BOOL, 1, offsetof(hessian_free_options, precondition), "true", 0, 0, NULL, "",
      "by squares of the samples' gradients" },
    { "adapt", PITOT_BOOL, 1, offsetof(hessian_free_options, adapt), "true", 0, 0, NULL, "",
      "lambda by what the loss did; it rises to 1e12 at most, where steps that fail do not shorten further" },
    { "data", PITOT_BOOL, 1, offsetof(hessian_free_options, data), "false", 0, 0, NULL, "",
      "gradient and losses of the whole data set, as in the paper" },
    { 0 },
};

enum { DIRECTION, LAMBDA };                                /* slots of the run: the last solution (D); one value */
enum { X, G, D_, R, Z, P, AP, M, FIRST, VECTORS = FIRST }; /* scratch: (D) each; the stored iterates from FIRST on */

static const double SPACING = 1.3, POWER = 0.75, SHRINK = 0.8, LEAST = 1e-2, MOST_DAMPING = 1e12;
enum { SHORTER = 60, WINDOW = 10, MOST_STORED = 64 };

static uint32_t wants(const void *options) {
    const hessian_free_options *o = options;
    return (o->precondition ? PITOT_WANTS_SQUARES : 0) | (o->data ? PITOT_WANTS_DATA | PITOT_WANTS_GRADIENT : 0);
}

/* ---- layout ---- */

/* Iterates are stored after ceil(1.3^j) iterations, and the last one: the next such number above i. */
static int64_t next_stored(int64_t i) {
    double at = 1;
    while (ceil(at) <= (double)i) at *= SPACING;
    return (int64_t)ceil(at);
}

static int64_t stored_most(int64_t most) {
    int64_t n = 1;
    for (int64_t i = 1; i < most; i = next_stored(i)) n++;
    return n;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const hessian_free_options *o = l->options;
    int64_t bytes;
    if (l->i >= 0) return PITOT_OK;
    if (__builtin_mul_overflow(l->parameters, (VECTORS + stored_most(o->most)) * (int64_t)sizeof(pitot_real), &bytes) ||
        __builtin_add_overflow(bytes, (o->most + 1) * (int64_t)sizeof(double), &l->scratch))
        return pitot_fail(error, PITOT_EINVAL, "optimizer hessian_free: too many parameters");
    pitot_slot_add(l, "direction", 0, 1, &l->parameters);
    pitot_slot_add(l, "lambda", PITOT_F64, 0, NULL);
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    *(double *)s->run[LAMBDA] = ((const hessian_free_options *)s->options)->damping;
}

static double *values_of_q(const pitot_stepping *s) {
    return s->scratch;
}

static pitot_real *vector(const pitot_stepping *s, int64_t k) {
    const hessian_free_options *o = s->options;
    return (pitot_real *)((double *)s->scratch + o->most + 1) + k * s->parameters;
}

static void leave_out(const pitot_stepping *s, pitot_real *v) {
    for (int64_t i = 0; i < s->n; i++)
        if (!s->tensor[i].g) memset(v + s->tensor[i].at, 0, (size_t)s->tensor[i].size * sizeof *v);
}

/* ---- conjugate gradients ---- */

PITOT_HOT static void power_of(pitot_real *m, pitot_real lambda, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        pitot_real v = REAL(pow)((m[i] > 0 ? m[i] : 0) + lambda, (pitot_real)POWER);
        m[i] = v > 0 ? 1 / v : 1;
    }
}

/* The preconditioner's inverse. */
static int32_t precondition(const pitot_stepping *s, double lambda) {
    const hessian_free_options *o = s->options;
    pitot_real *m = vector(s, M);
    if (!o->precondition) {
        for (int64_t i = 0; i < s->parameters; i++) m[i] = 1;
        return PITOT_OK;
    }
    int32_t status = s->source->squares(s->source->user, m);
    if (!status && !finite_values(m, s->parameters)) status = PITOT_EHOST;
    if (!status) power_of(m, (pitot_real)lambda, s->parameters);
    return status;
}

/* out = (G + lambda I) v */
static int32_t apply(const pitot_stepping *s, double lambda, const pitot_real *v, pitot_real *out) {
    int32_t status = s->source->ggnvp(s->source->user, v, out);
    if (status) return status;
    leave_out(s, out);
    flat_add(out, lambda, v, s->parameters);
    return finite_values(out, s->parameters) ? PITOT_OK : PITOT_EHOST;
}

PITOT_HOT static void multiply(pitot_real *restrict z, const pitot_real *restrict m, const pitot_real *restrict r, int64_t n) {
    for (int64_t i = 0; i < n; i++) z[i] = m[i] * r[i];
}

/* q(d) = -(r - g)'d/2, r = -g - (G + lambda I) d */
static double value_of_q(const pitot_stepping *s) {
    const pitot_real *d = vector(s, D_);
    return (flat_dot(vector(s, G), d, s->parameters) - flat_dot(vector(s, R), d, s->parameters)) / 2;
}

static int gains_little(const pitot_stepping *s, int64_t i) {
    const hessian_free_options *o = s->options;
    const double *q = values_of_q(s);
    int64_t k = i / 10 > WINDOW ? i / 10 : WINDOW;
    return i > k && q[i] < 0 && (q[i] - q[i - k]) / q[i] < (double)k * o->tolerance;
}

typedef struct stored { /* the iterates kept for going back */
    int64_t n, last;    /* how many; after how many iterations the last one is from */
    double q[MOST_STORED];
} stored;

static void store(const pitot_stepping *s, stored *k, int64_t i) {
    memcpy(vector(s, FIRST + k->n), vector(s, D_), (size_t)s->parameters * sizeof(pitot_real));
    k->q[k->n++] = values_of_q(s)[i];
    k->last = i;
}

/* d = decay times the last solution, r, z, p. Returns r'z. */
static int32_t start(const pitot_stepping *s, double lambda, double *rz) {
    const hessian_free_options *o = s->options;
    int64_t n = s->parameters;
    const pitot_real *last = s->run[DIRECTION], *g = vector(s, G);
    pitot_real *d = vector(s, D_), *r = vector(s, R), *z = vector(s, Z);
    for (int64_t i = 0; i < n; i++) d[i] = (pitot_real)o->decay * last[i];
    leave_out(s, d);
    int32_t status = apply(s, lambda, d, r);
    for (int64_t i = 0; i < n; i++) r[i] = -g[i] - r[i];
    multiply(z, vector(s, M), r, n);
    memcpy(vector(s, P), z, (size_t)n * sizeof *z);
    *rz = flat_dot(r, z, n);
    return status;
}

/* Products that are not finite or not positive end it with what there is. */
static int32_t solve(const pitot_stepping *s, double lambda, stored *k) {
    const hessian_free_options *o = s->options;
    pitot_real *d = vector(s, D_), *r = vector(s, R), *z = vector(s, Z), *p = vector(s, P), *ap = vector(s, AP);
    int64_t n = s->parameters, i = 0, next = 1;
    double rz, *q = values_of_q(s);
    int32_t status = start(s, lambda, &rz);
    if (status) return status;
    q[0] = value_of_q(s);
    while (i < o->most && rz > 0) {
        status = apply(s, lambda, p, ap);
        if (status && status != PITOT_EHOST) return status;
        double pap = status ? 0 : flat_dot(p, ap, n), a = rz / pap, before = rz;
        if (!(pap > 0) || !isfinite(a)) break;
        flat_add(d, a, p, n);
        flat_add(r, -a, ap, n);
        multiply(z, vector(s, M), r, n);
        rz = flat_dot(r, z, n);
        flat_scale_add(p, rz / before, z, n);
        q[++i] = value_of_q(s);
        int last = i == o->most || !(rz > 0) || gains_little(s, i);
        if (last || i == next) store(s, k, i);
        if (i == next) next = next_stored(i);
        if (last) return PITOT_OK;
    }
    if (i != k->last || i == 0) store(s, k, i);
    return PITOT_OK;
}

/* ---- losses ---- */

static double loss_at(const pitot_stepping *s, double length, const pitot_real *d, int32_t *status) {
    const hessian_free_options *o = s->options;
    double loss = NAN;
    flat_move(s, vector(s, X), length, d);
    if (!*status) *status = o->data ? s->source->data(s->source->user, &loss) : s->source->loss(s->source->user, &loss);
    return isfinite(loss) ? loss : INFINITY;
}

/* The iterate with the lowest loss, from the last one back as long as it falls; its loss. */
static int64_t go_back(const pitot_stepping *s, const stored *k, double *loss, int32_t *status) {
    int64_t j = k->n - 1;
    *loss = loss_at(s, 1, vector(s, FIRST + j), status);
    while (j > 0 && !*status) {
        double earlier = loss_at(s, 1, vector(s, FIRST + j - 1), status);
        if (!(earlier < *loss) && isfinite(*loss)) break;
        *loss = earlier;
        j--;
    }
    return j;
}

static double search(const pitot_stepping *s, const pitot_real *d, double before, double at_one, int32_t *status) {
    const hessian_free_options *o = s->options;
    double slope = flat_dot(vector(s, G), d, s->parameters), length = o->lr;
    for (int k = 0; k < SHORTER && !*status; k++, length *= SHRINK) {
        double loss = length == 1 ? at_one : loss_at(s, length, d, status);
        if (loss <= before + fmin(0, LEAST * length * slope) && isfinite(loss)) return length;
    }
    return 0;
}

static double adapted(double lambda, double ratio) {
    if (ratio < 0.25 || isnan(ratio)) return fmin(1.5 * lambda, MOST_DAMPING);
    return ratio > 0.75 ? lambda / 1.5 : lambda;
}

/* ---- the step ---- */

/* The gradient into G and the loss at x; with `data` of the data set, and then the batch's back for the products. */
static int32_t where_we_are(pitot_stepping *s, double *loss) {
    const hessian_free_options *o = s->options;
    double of_batch;
    flat_parameters(s, vector(s, X));
    int32_t status = o->data ? pitot_gradient(s, &of_batch) : PITOT_OK; /* so that s->tensor[i].g is where `data` writes */
    if (!status) status = o->data ? s->source->data(s->source->user, loss) : flat_loss(s, loss);
    flat_gradient(s, vector(s, G));
    if (!status && o->data) status = pitot_gradient(s, &of_batch);
    if (!status && (!isfinite(*loss) || !finite_values(vector(s, G), s->parameters))) status = PITOT_EHOST;
    return status;
}

static int32_t step(pitot_stepping *s) {
    const hessian_free_options *o = s->options;
    double before, after = NAN, length = 0, *lambda = s->run[LAMBDA];
    stored k = { 0 };
    if (o->lr == 0) return PITOT_OK;
    int32_t status = where_we_are(s, &before);
    if (!status) status = precondition(s, *lambda);
    if (!status) status = solve(s, *lambda, &k);
    if (status) return status;
    int64_t chosen = go_back(s, &k, &after, &status);
    const pitot_real *d = vector(s, FIRST + chosen);
    if (!status) length = search(s, d, before, after, &status);
    flat_move(s, vector(s, X), status ? 0 : length, status || length == 0 ? NULL : d);
    if (status) return status;
    if (o->adapt && k.q[chosen] < 0) *lambda = adapted(*lambda, (after - before) / k.q[chosen]);
    memcpy(s->run[DIRECTION], vector(s, D_), (size_t)s->parameters * sizeof(pitot_real));
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_hessian_free = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_GGNVP | PITOT_WANTS_LOSS,
    .name = "hessian_free",
    .summary = "conjugate gradients on the Gauss-Newton matrix, damped by what the loss did; for large batches",
    .paper = "Martens 2010, Deep learning via Hessian-free optimization",
    .formula = "d = argmin g'd + d'(G + lambda I)d/2 by CG from 0.95 of the last; best of the iterates 1.3^j; line search; "
               "lambda 3/2 or 2/3 as the loss fell by < 1/4 or > 3/4 of that",
    .memory = "D values; about 30 D of work space",
    .cost = "a product with G an iteration, tens to hundreds; ten or so forward passes",
    .options_size = sizeof(hessian_free_options),
    .options = table,
    .wants = wants,
    .layout = layout,
    .begin = begin,
    .step = step,
};
