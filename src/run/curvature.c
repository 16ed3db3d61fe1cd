/* curvature.c: Hessian and GGN of the step's (last micro-)batch as operators over the host's callbacks. */

#include "base/alloc.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

enum { OFTEN = 2, SELDOM = 32 }; /* promises are checked at the first points, then at every SELDOM-th */

static const double same_twice = sizeof(pitot_real) == 8 ? 1e-9 : 1e-4; /* two products with one vector, relative */
static const double same_gradient = 1e-3, same_low_precision = 3e-2;    /* `grad` at the step's point beside the step's gradient */
static const double least_rise = 1e-4; /* of the loss, relative, from which its slope can be told from round-off */

enum { PROVEN_HESSIAN = 1, PROVEN_GGN = 2 };

double curvature_share(const pitot_run *run) {
    if (!run->sampling.several || run->reduction == PITOT_SUM) return 1;
    return run->weight_sum / run->weight_last;
}

/* 1 once a point, if this is one at which promises are checked. */
static int proves(pitot_run *run, uint32_t what) {
    curving *c = &run->curving;
    if (c->proven & what || (c->points > OFTEN && c->points % SELDOM)) return 0;
    c->proven |= what;
    return 1;
}

/* Whether a callback left everything in its place, and gave twice the same (n). */
static int32_t same(pitot_run *run, int which, const pitot_real *first, const pitot_real *second, int64_t n, double within) {
    double off = sqrt(pitot_sum_squared_difference(first, second, n)), length = sqrt(pitot_sum_squares(first, n));
    callback_check(run);
    if (!callback_there(run, which)) return PITOT_EHOST;
    if (!(off > within * length)) return PITOT_OK;
    callback_break(run, which,
                   "gave two results for the same that differ by %.2g of their length: same samples, same dropout masks?",
                   off / length);
    return PITOT_EHOST;
}

/* ---- exact products ---- */

static int32_t product(pitot_run *run, int which, const pitot_real *v, int64_t n, pitot_real *out, int64_t n_out) {
    pitot_call call = { .struct_size = sizeof call, .n = n, .v = v, .n_out = n_out, .out = out };
    return callback_call(run, which, &call);
}

static int32_t prove_product(pitot_run *run, const pitot_real *v, const pitot_real *first) {
    curving *c = &run->curving;
    if (!run_room(run, &c->vector, &c->room_vector, c->size, sizeof *c->vector)) return PITOT_OK; /* then unproven */
    int32_t status = product(run, CALL_HVP, v, c->size, c->vector, c->size);
    return status ? status : same(run, CALL_HVP, first, c->vector, c->size, same_twice);
}

static int32_t apply_hvp(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_run *run = self;
    int64_t n = run->curving.size;
    for (int64_t j = 0; j < k; j++) {
        int32_t status = product(run, CALL_HVP, x + j * n, n, y + j * n, n);
        if (!status && proves(run, PROVEN_HESSIAN)) status = prove_product(run, x, y);
        if (status) return status;
    }
    return PITOT_OK;
}

/* ---- finite differences of the host's gradient ---- */

static int32_t gradient_at(void *self, const pitot_real *direction, double h, pitot_real *g) {
    pitot_run *run = self;
    pitot_call call = { .struct_size = sizeof call, .n = run->curving.size };
    int32_t status = callback_prepare(run);
    if (status) return status;
    callback_move(run, direction, h);
    callback_clear_gradients(run);
    status = callback_call(run, CALL_GRAD, &call);
    if (status) return status;
    callback_gradient(run, g);
    run->curving.loss = call.loss;
    return PITOT_OK;
}

static double parameter_length(const pitot_run *run) {
    double square = 0;
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->tensor[i].grad) square += pitot_sum_squares(run->tensor[i].data, run->param[i].layout.size);
    return sqrt(square);
}

static int is_low_precision(const pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->param[i].grad_layout.dtype == PITOT_F16 || run->param[i].grad_layout.dtype == PITOT_BF16) return 1;
    return 0;
}

static int32_t prove_gradient(pitot_run *run, pitot_real *ours, pitot_real *theirs) {
    curving *c = &run->curving;
    int32_t status = gradient_at(run, NULL, 0, theirs);
    callback_check(run);
    if (!callback_there(run, CALL_GRAD)) return PITOT_EHOST;
    if (status || run->sampling.several) return status; /* the step's gradient is then that of more samples */
    params_gather_gradient(run, ours);
    double off = sqrt(pitot_sum_squared_difference(ours, theirs, c->size)), length = sqrt(pitot_sum_squares(ours, c->size));
    if (!(off > (is_low_precision(run) ? same_low_precision : same_gradient) * length)) return PITOT_OK;
    callback_break(run, CALL_GRAD, "gave a gradient %.2g of its length away from the step's: same samples, same dropout masks?",
                   off / length);
    return PITOT_EHOST;
}

/* Along the gradient the loss rises by |g|^2 for each unit: finds a wrong sign or scale, which captures and gradient may share. */
static int32_t prove_slope(pitot_run *run, const pitot_real *g, pitot_real *scratch) {
    curving *c = &run->curving;
    double square = pitot_sum_squares(g, c->size), loss = c->loss, best = INFINITY, ratio = 0;
    if (!isfinite(loss) || !(square > 0) || run->sampling.several) return PITOT_OK;
    double reach = fmin((fabs(loss) + 1e-3) / square, (1 + parameter_length(run)) / sqrt(square));
    for (double part = 1e-2; part > 5e-4;
         part /= 10) { /* the loss moves by about this share of itself, parameters by no larger one */
        double h = part * reach, up, down;
        if (2 * h * square < least_rise * fabs(loss)) break;
        int32_t status = gradient_at(run, g, h, scratch);
        up = c->loss;
        if (!status) status = gradient_at(run, g, -h, scratch);
        down = c->loss;
        if (status) return status;
        double r = (up - down) / (2 * h * square);
        if (fabs(r - 1) < best) best = fabs(r - 1), ratio = r;
        c->sloped = 1;
    }
    if (!c->sloped || !(best > 0.2)) return PITOT_OK;
    callback_break(run, CALL_GRAD, "gave gradients that are %.4g times the slope of its losses: is grad_scale or loss_scale wrong?",
                   ratio != 0 ? 1 / ratio : INFINITY);
    return PITOT_EHOST;
}

static int32_t prove_grad(pitot_run *run) {
    curving *c = &run->curving;
    pitot_real *a = c->vector, *b = c->vector + c->size, *s = c->vector + 2 * c->size;
    int32_t status = prove_gradient(run, a, b);
    return status || c->sloped ? status : prove_slope(run, b, s);
}

static int32_t apply_difference(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_run *run = self;
    curving *c = &run->curving;
    if (!c->can_differ) return PITOT_EBUDGET;
    int32_t status = callback_prepare(run);
    if (!status && proves(run, PROVEN_HESSIAN)) status = prove_grad(run);
    if (!status) status = c->difference.op.apply(&c->difference, x, y, k);
    c->hessian.error = c->difference.op.error;
    if (c->moved) callback_move(run, NULL, 0); /* other callbacks and probes find parameters where they are */
    return status;
}

/* ---- level 3: G v = J' (d2 loss / df2) J v ---- */

static int64_t outputs(const pitot_run *run) {
    const pitot_batch *b = &run->curving.batch;
    return b->n * (b->t ? b->t : 1) * b->c;
}

/* (n,t,c) from rows that may be wider. */
static void gather_output(const pitot_run *run, const pitot_real *f, pitot_real *out) {
    const pitot_batch *b = &run->curving.batch;
    int64_t stride = b->c_stride ? b->c_stride : b->c;
    for (int64_t k = 0; k < outputs(run) / b->c; k++) memcpy(out + k * b->c, f + k * stride, (size_t)b->c * sizeof *out);
}

/* The step's outputs, where `grad` and `forward` may leave others in their place. */
static void keep_output(pitot_run *run) {
    curving *c = &run->curving;
    int moves = !callback_there(run, CALL_JVP) || (run->needs & PITOT_NEED_HESSIAN && !callback_there(run, CALL_HVP));
    c->has_output = 0;
    if (!c->batch.output || !moves) return;
    c->has_output = run_room(run, &c->output, &c->room_output, outputs(run), sizeof *c->output) ? 1 : -1;
    if (c->has_output > 0) gather_output(run, c->batch.output, c->output);
}

static int32_t outputs_at(pitot_run *run, const pitot_real *v, double h, pitot_real *out) {
    pitot_call call = { .struct_size = sizeof call, .n = run->curving.size };
    callback_move(run, v, h);
    int32_t status = callback_call(run, CALL_FORWARD, &call);
    if (!status && !call.output) {
        callback_break(run, CALL_FORWARD, "did not say where the outputs are");
        status = PITOT_EHOST;
    }
    if (!status) gather_output(run, call.output, out);
    return status;
}

/* J v, exact or by central differences of the outputs. */
static int32_t jacobian(pitot_run *run, const pitot_real *v, pitot_real *out, pitot_real *scratch) {
    curving *c = &run->curving;
    if (callback_there(run, CALL_JVP)) return product(run, CALL_JVP, v, c->size, out, outputs(run));
    double length = sqrt(pitot_sum_squares(v, c->size)), unit = sizeof(pitot_real) == 8 ? 6e-6 : 5e-3;
    if (length == 0) return memset(out, 0, (size_t)outputs(run) * sizeof *out), PITOT_OK;
    double h = unit * (1 + parameter_length(run)) / length / sqrt((double)c->size);
    int32_t status = callback_prepare(run);
    if (!status) status = outputs_at(run, v, h, out);
    if (!status) status = outputs_at(run, v, -h, scratch);
    callback_move(run, v, 0);
    for (int64_t i = 0; !status && i < outputs(run); i++) out[i] = (pitot_real)(((double)out[i] - (double)scratch[i]) / (2 * h));
    return status;
}

/* How much term k counts in the reduced loss. */
static double term_weight(const pitot_run *run, int64_t k, double total) {
    const pitot_batch *b = &run->curving.batch;
    double w = b->weight ? (double)b->weight[k] : 1;
    if (run->reduction == PITOT_SUM) return w;
    return run->reduction == PITOT_MEAN_TERMS ? w / total : w / (double)(b->n * (b->t ? b->t : 1));
}

/* u = (d2 l / df2) d for one term's outputs f (c) */
static void output_hessian(const pitot_batch *b, const pitot_real *f, double weight, pitot_real *d) {
    double most = -INFINITY, sum = 0, along = 0;
    double factor = b->loss_kind == PITOT_SQUARED_ERROR ? 2 : b->loss_kind == PITOT_MEAN_SQUARED_ERROR ? 2 / (double)b->c : 1;
    if (b->loss_kind == PITOT_CROSS_ENTROPY) {
        for (int64_t i = 0; i < b->c; i++) most = fmax(most, (double)f[i]);
        for (int64_t i = 0; i < b->c; i++) {
            double e = exp((double)f[i] - most);
            sum += e;
            along += e * (double)d[i];
        }
    }
    for (int64_t i = 0; i < b->c; i++) {
        if (weight == 0) d[i] = 0; /* padding, whatever its outputs are */
        if (weight == 0) continue;
        double u = factor * (double)d[i];
        if (b->loss_kind == PITOT_CROSS_ENTROPY) u = exp((double)f[i] - most) / sum * ((double)d[i] - along / sum);
        if (b->loss_kind == PITOT_BINARY_CROSS_ENTROPY) {
            double e = exp(-fabs((double)f[i]));
            u = e / ((1 + e) * (1 + e)) * (double)d[i] / (double)b->c;
        }
        d[i] = (pitot_real)(weight * u);
    }
}

static void known_hessian(pitot_run *run, pitot_real *d) {
    const pitot_batch *b = &run->curving.batch;
    const pitot_real *f = run->curving.has_output ? run->curving.output : b->output;
    int64_t terms = outputs(run) / b->c, stride = b->c_stride && !run->curving.has_output ? b->c_stride : b->c;
    double total = 0;
    for (int64_t k = 0; k < terms; k++) total += b->weight ? (double)b->weight[k] : 1;
    for (int64_t k = 0; k < terms; k++) output_hessian(b, f + k * stride, term_weight(run, k, total), d + k * b->c);
}

/* u = sum_r S_r (S_r'd), term by term */
static int32_t rooted_hessian(pitot_run *run, pitot_real *d, pitot_real *sum) {
    curving *c = &run->curving;
    int64_t n = outputs(run), width = c->batch.c;
    pitot_call call = { .struct_size = sizeof call };
    int32_t status = callback_call(run, CALL_ROOT, &call);
    if (status) return status;
    if (call.n_out < n || call.n_out % n) {
        callback_break(run, CALL_ROOT, "wants %lld values, which is not a multiple of %lld", (long long)call.n_out, (long long)n);
        return PITOT_EHOST;
    }
    if (!run_room(run, &c->root, &c->room_root, call.n_out, sizeof *c->root)) return PITOT_EBUDGET;
    status = product(run, CALL_ROOT, NULL, 0, c->root, call.n_out);
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t at = 0; !status && at < call.n_out; at += width) {
        pitot_real *part = sum + at % n;
        double along = pitot_dot(c->root + at, d + at % n, width);
        for (int64_t i = 0; i < width; i++) part[i] += (pitot_real)(along * (double)c->root[at + i]);
    }
    if (!status) memcpy(d, sum, (size_t)n * sizeof *d);
    return status;
}

static int32_t transposed(pitot_run *run, const pitot_real *u, pitot_real *out) {
    curving *c = &run->curving;
    pitot_call call = { .struct_size = sizeof call, .n = outputs(run), .v = u, .n_out = c->size, .out = out };
    int32_t status = callback_ready(run, CALL_VJP);
    if (status) return status;
    callback_clear_gradients(run);
    status = callback_call(run, CALL_VJP, &call);
    if (!status && !call.in_out) callback_gradient(run, out);
    return status;
}

/* J v once more; or, where it comes from differences, outputs at the step's point beside the step's. */
static int32_t prove_jacobian(pitot_run *run, const pitot_real *v) {
    curving *c = &run->curving;
    int64_t n = outputs(run);
    if (callback_there(run, CALL_JVP)) {
        int32_t status = product(run, CALL_JVP, v, c->size, c->out[1], n);
        return status ? status : same(run, CALL_JVP, c->out[0], c->out[1], n, same_twice);
    }
    if (!c->has_output) return PITOT_OK;
    int32_t status = outputs_at(run, NULL, 0, c->out[1]);
    return status ? status : same(run, CALL_FORWARD, c->output, c->out[1], n, same_gradient);
}

static int32_t prove_transposed(pitot_run *run, const pitot_real *first) {
    curving *c = &run->curving;
    if (!run_room(run, &c->vector, &c->room_vector, c->size, sizeof *c->vector)) return PITOT_OK; /* then unproven */
    int32_t status = transposed(run, c->out[0], c->vector);
    return status ? status : same(run, CALL_VJP, first, c->vector, c->size, same_twice);
}

static int32_t apply_ggn(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_run *run = self;
    curving *c = &run->curving;
    int64_t n = outputs(run);
    for (int i = 0; i < 2; i++)
        if (!run_room(run, &c->out[i], &c->room_out[i], n, sizeof *c->out[i])) return PITOT_EBUDGET;
    if (c->has_output < 0) return PITOT_EBUDGET;
    int32_t status = callback_ready(run, CALL_VJP);
    int proof = !status && proves(run, PROVEN_GGN);
    for (int64_t j = 0; j < k && !status; j++, proof = 0) {
        status = jacobian(run, x + j * c->size, c->out[0], c->out[1]);
        if (!status && proof) status = prove_jacobian(run, x + j * c->size);
        if (!status && c->batch.loss_kind) known_hessian(run, c->out[0]);
        else if (!status) status = rooted_hessian(run, c->out[0], c->out[1]);
        if (proof) callback_check(run);
        if (!status) status = transposed(run, c->out[0], y + j * c->size);
        if (!status && proof) status = prove_transposed(run, y + j * c->size);
    }
    return status;
}

/* ---- what can be had ---- */

/* Why a callback that the host offers is not called, if so. */
static const char *why(const pitot_run *run, int which, const char *otherwise, int32_t *condition) {
    if (run->refused_params && ((which == CALL_GRAD && run->curving.host.grad) || (which == CALL_VJP && run->curving.host.vjp)))
        return "callbacks that overwrite gradients are not called: a parameter could not be added, and its gradient not be put "
               "back";
    if (!(run->curving.broken & 1u << which)) return otherwise;
    *condition = PITOT_STATE_ERROR;
    return run->curving.why[which];
}

/* Finite differences move parameters where they lie: single and double precision can be. */
static int movable(const pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->tensor[i].grad && run->param[i].layout.dtype != PITOT_F32 && run->param[i].layout.dtype != PITOT_F64) return 0;
    return 1;
}

/* Both must be offered to be called after the update. */
static const char *late_unoffered(const pitot_run *run, int32_t *condition) {
    const char *what = "needs exact Hessian products and losses after the update, too: callbacks `hvp`, `forward`, flag PITOT_LATE";
    *condition = PITOT_STATE_LEVEL;
    if (!(run->flags & PITOT_LATE)) return what;
    if (!callback_there(run, CALL_HVP)) return why(run, CALL_HVP, what, condition);
    return callback_there(run, CALL_FORWARD) ? NULL : why(run, CALL_FORWARD, what, condition);
}

const char *curvature_unoffered(const pitot_run *run, uint32_t need, int32_t *condition) {
    if (need == PITOT_NEED_STEP) return late_unoffered(run, condition);
    if (need == PITOT_NEED_DIAGONAL && callback_there(run, CALL_DIAGONAL)) return NULL;
    if (need == PITOT_NEED_DIAGONAL) need = PITOT_NEED_HESSIAN;
    const char *what = need == PITOT_NEED_HESSIAN
                           ? "needs a gradient or Hessian-product callback (level 2): pitot_set_callbacks"
                           : "needs vector-Jacobian and Jacobian-vector callbacks and the loss kind (level 3): pitot_set_callbacks";
    int first = need == PITOT_NEED_HESSIAN ? CALL_HVP : CALL_JVP, second = need == PITOT_NEED_HESSIAN ? CALL_GRAD : CALL_FORWARD;
    *condition = PITOT_STATE_LEVEL;
    if (need == PITOT_NEED_GGN && !callback_there(run, CALL_VJP)) return why(run, CALL_VJP, what, condition);
    if (need == PITOT_NEED_GGN && run->curving.batch.loss_kind == PITOT_LOSS_UNKNOWN) {
        const char *broken = why(run, CALL_ROOT, NULL, condition); /* not offered at all is said when the loss kind is known */
        if (broken) return broken;
    }
    if (callback_there(run, first) || callback_there(run, second)) return NULL;
    what = why(run, second, what, condition);
    return why(run, first, what, condition);
}

static const char *hessian_missing(const pitot_run *run, int moves) {
    if ((!moves && callback_there(run, CALL_HVP)) || movable(run)) return NULL;
    return "parameters of 16 bits cannot be moved by small steps: register the master weights, or offer `hvp`";
}

static int countable(const pitot_batch *b) {
    int64_t all;
    if (b->c < 1 || b->c > INT32_MAX || (b->c_stride && b->c_stride < b->c)) return 0;
    return !__builtin_mul_overflow(b->n * (b->t ? b->t : 1), b->c_stride ? b->c_stride : b->c, &all) && all <= INT64_MAX / 64;
}

static const char *ggn_missing(const pitot_run *run) {
    const pitot_batch *b = &run->curving.batch;
    if (!countable(b)) return "needs the number of outputs (level 3): pitot_batch.c";
    if (b->loss_kind == PITOT_LOSS_UNKNOWN)
        return callback_there(run, CALL_ROOT) ? NULL : "needs pitot_batch.loss_kind or the callback `hessian_root` (level 3)";
    if (b->loss_kind < 0 || b->loss_kind > PITOT_BINARY_CROSS_ENTROPY) return "pitot_batch.loss_kind is none that is known";
    return b->output ? NULL : "needs the outputs (level 3): pitot_batch.output";
}

const char *curvature_missing(const pitot_run *run, uint32_t need, int32_t *condition) {
    const char *what = curvature_unoffered(run, need, condition);
    if (what) return what;
    if (run->curving.size == 0) return "no parameter has a gradient";
    if (need == PITOT_NEED_DIAGONAL && callback_there(run, CALL_DIAGONAL)) return NULL;
    if (need == PITOT_NEED_STEP && run->sampling.several)
        return "needs the step's samples in one piece, not in several micro-batches";
    return need == PITOT_NEED_GGN ? ggn_missing(run) : hessian_missing(run, need == PITOT_NEED_STEP);
}

static void open_difference(pitot_run *run) {
    curving *c = &run->curving;
    c->can_differ = run_room(run, &c->vector, &c->room_vector, DIFFERENCE_VECTORS * c->size, sizeof *c->vector);
    if (!c->can_differ) return;
    if (c->difference.work != c->vector || c->difference.op.n != c->size)
        difference_init(&c->difference, gradient_at, run, c->size, parameter_length(run), c->vector);
    else difference_moved(&c->difference, parameter_length(run));
}

/* The operators are `checked`: what they are made of is proven here, at the first points and then now and again. */
void curvature_begin(pitot_run *run) {
    curving *c = &run->curving;
    int32_t condition;
    int by_products = run->needs & PITOT_NEED_DIAGONAL && (callback_there(run, CALL_HVP) || !callback_there(run, CALL_DIAGONAL));
    c->size = params_size(run);
    c->proven = 0;
    c->hessian.n = c->ggn.n = 0;
    if ((run->needs & PITOT_NEED_HESSIAN || by_products) && !curvature_missing(run, PITOT_NEED_HESSIAN, &condition)) {
        int exact = callback_there(run, CALL_HVP);
        if (!exact) open_difference(run);
        c->hessian =
            (pitot_linop){ sizeof c->hessian, "hessian", c->size, 1, exact, exact ? apply_hvp : apply_difference, run, 0, 1, 0 };
    }
    if ((run->needs & PITOT_NEED_GGN || by_products) && !curvature_missing(run, PITOT_NEED_GGN, &condition)) {
        keep_output(run);
        c->ggn = (pitot_linop){ sizeof c->ggn, "ggn", c->size, 1, callback_there(run, CALL_JVP), apply_ggn, run, 0, 1, 0 };
    }
}
