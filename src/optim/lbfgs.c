/* lbfgs.c: Liu, Nocedal 1989, algorithm 2.1: d = -H g with H the BFGS matrix of the last pairs s = x+ - x, y = g+ - g from gamma I, gamma = s'y/y'y
   of the newest; x+ = x + a d with a step length of the strong Wolfe conditions, a = 1 tried first (times lr; in the first step over
   max(1, |g|_1)). Both gradients of a pair are of the same batch. Pairs without curvature, s'y <= 1e-10 y'y, are left out; a direction that does
   not descend, or along which nothing is found, empties the memory. */

#include "optim/core/flat.h"
#include "optim/core/optimizer.h"
#include "optim/core/wolfe.h"

#include <math.h>
#include <string.h>

typedef struct lbfgs_options {
    double lr;
    int64_t history, search, most;
    double c1, c2;
} lbfgs_options;

enum { STRONG_WOLFE, NONE };

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(lbfgs_options, lr), "1", 0, 1e6, NULL, "",
      "first step length tried; without a search, the step's; less, 0.03 say, where batches are small" },
    { "history_size", PITOT_INT, 1, offsetof(lbfgs_options, history), "10", 1, 1000, NULL, "", "pairs kept" },
    { "line_search", PITOT_CHOICE, 1, offsetof(lbfgs_options, search), "strong_wolfe", 0, 0, "strong_wolfe|none", "",
      "step length" },
    { "max_eval", PITOT_INT, 1, offsetof(lbfgs_options, most), "20", 1, 1e6, NULL, "", "gradients a step, at most" },
    { "c1", PITOT_REAL, 1, offsetof(lbfgs_options, c1), "1e-4", 0, 0.5, NULL, "", "least decrease, of what the slope promises" },
    { "c2", PITOT_REAL, 1, offsetof(lbfgs_options, c2), "0.9", 0, 1, NULL, "", "largest slope, of the first" },
    { 0 },
};

enum { S, Y, CURVATURE, MEMORY };          /* slots of the run: (m,D), (m,D), s'y (m), below */
enum { COUNT, NEWEST, GAMMA, N_MEMORY };   /* pairs; where the newest is; s'y/y'y of it */
enum { X, G, D_, AFTER, WORK, N_VECTORS }; /* scratch, (D) each */

static const double LEAST_CURVATURE = 1e-10;

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const lbfgs_options *o = l->options;
    int64_t pairs[2] = { o->history, l->parameters }, bytes;
    if (l->i >= 0) return PITOT_OK;
    if (__builtin_mul_overflow(l->parameters, N_VECTORS * (int64_t)sizeof(pitot_real), &bytes) ||
        __builtin_add_overflow(bytes, o->history * (int64_t)sizeof(double) + l->n, &l->scratch))
        return pitot_fail(error, PITOT_EINVAL, "optimizer lbfgs: too many parameters");
    pitot_slot_add(l, "s", 0, 2, pairs);
    pitot_slot_add(l, "y", 0, 2, pairs);
    pitot_slot_add(l, "curvature", PITOT_F64, 1, pairs);
    pitot_slot_add(l, "memory", PITOT_F64, 1, (const int64_t[]){ N_MEMORY });
    return PITOT_OK;
}

static pitot_real *vector(const pitot_stepping *s, int64_t k) {
    const lbfgs_options *o = s->options;
    return (pitot_real *)((double *)s->scratch + o->history) + k * s->parameters;
}

static pitot_real *pair_row(const pitot_stepping *s, int slot, int64_t k) {
    return (pitot_real *)s->run[slot] + k * s->parameters;
}

/* State may have been read from a file: numbers that cannot be are a memory without pairs. */
static int64_t count_of(const pitot_stepping *s) {
    const lbfgs_options *o = s->options;
    const double *memory = s->run[MEMORY];
    double most = (double)o->history;
    int fine = memory[COUNT] >= 0 && memory[COUNT] <= most && memory[NEWEST] >= 0 && memory[NEWEST] < most;
    return fine ? (int64_t)memory[COUNT] : 0;
}

/* ---- the direction ---- */

/* d = -H g by two loops, newest to oldest and back; the k-th newest pair stands in row (newest - k) mod m. */
static void two_loops(const pitot_stepping *s, const pitot_real *g, pitot_real *d) {
    const lbfgs_options *o = s->options;
    const double *memory = s->run[MEMORY], *curvature = s->run[CURVATURE];
    int64_t count = count_of(s), newest = count ? (int64_t)memory[NEWEST] : 0, m = o->history, n = s->parameters;
    double *alpha = s->scratch;
    for (int64_t i = 0; i < n; i++) d[i] = -g[i];
    for (int64_t k = 0; k < count; k++) {
        int64_t row = (newest - k + m) % m;
        alpha[k] = flat_dot(pair_row(s, S, row), d, n) / curvature[row];
        flat_add(d, -alpha[k], pair_row(s, Y, row), n);
    }
    for (int64_t i = 0; count && i < n; i++) d[i] *= (pitot_real)memory[GAMMA];
    for (int64_t k = count - 1; k >= 0; k--) {
        int64_t row = (newest - k + m) % m;
        flat_add(d, alpha[k] - flat_dot(pair_row(s, Y, row), d, n) / curvature[row], pair_row(s, S, row), n);
    }
}

static void forget(const pitot_stepping *s) {
    memset(s->run[MEMORY], 0, N_MEMORY * sizeof(double));
}

/* Tensors without a gradient in this step stay: 0 in directions and pairs. */
static unsigned char *absent_tensors(const pitot_stepping *s) {
    return (unsigned char *)vector(s, N_VECTORS);
}

static void leave_out(const pitot_stepping *s, pitot_real *v) {
    const unsigned char *absent = absent_tensors(s);
    for (int64_t i = 0; i < s->n; i++)
        if (absent[i]) memset(v + s->tensor[i].at, 0, (size_t)s->tensor[i].size * sizeof *v);
}

/* Returns g'd < 0, or 0: there is nowhere to go. */
static double direct(const pitot_stepping *s, const pitot_real *g, pitot_real *d) {
    for (int again = 0; again < 2; again++) {
        two_loops(s, g, d);
        leave_out(s, d);
        double slope = flat_dot(g, d, s->parameters);
        if (slope < 0 && isfinite(slope) && finite_values(d, s->parameters)) return slope;
        forget(s);
    }
    return 0;
}

/* ---- the pair ---- */

/* s = a d, y = after - g */
static void remember(const pitot_stepping *s, const pitot_real *g, const pitot_real *after, double a, const pitot_real *d) {
    const lbfgs_options *o = s->options;
    double *memory = s->run[MEMORY], *curvature = s->run[CURVATURE];
    int64_t n = s->parameters, count = count_of(s), row = count ? ((int64_t)memory[NEWEST] + 1) % o->history : 0;
    pitot_real *y = vector(s, WORK);
    for (int64_t i = 0; i < n; i++) y[i] = after[i] - g[i];
    leave_out(s, y);
    double sy = a * flat_dot(d, y, n), yy = flat_dot(y, y, n);
    if (!(sy > LEAST_CURVATURE * yy) || !isfinite(sy) || !isfinite(yy)) return;
    pitot_real *to = pair_row(s, S, row);
    for (int64_t i = 0; i < n; i++) to[i] = (pitot_real)a * d[i];
    memcpy(pair_row(s, Y, row), y, (size_t)n * sizeof *y);
    curvature[row] = sy;
    memory[NEWEST] = (double)row;
    memory[GAMMA] = sy / yy;
    memory[COUNT] = (double)(count < o->history ? count + 1 : count);
}

static double first_length(const pitot_stepping *s, const pitot_real *g) {
    const lbfgs_options *o = s->options;
    double sum = 0;
    if (count_of(s) > 0) return o->lr;
    for (int64_t i = 0; i < s->parameters; i++) sum += fabs((double)g[i]);
    return o->lr / fmax(1, sum);
}

/* ---- the step ---- */

/* A step of that length, whatever comes of it: 0 if there are no finite values. */
static int32_t fixed_step(pitot_stepping *s, double length, pitot_real *after, double *made) {
    double loss;
    flat_move(s, vector(s, X), length, vector(s, D_));
    int32_t status = pitot_gradient(s, &loss);
    if (status) flat_move(s, vector(s, X), 0, NULL);
    else flat_gradient(s, after);
    *made = status ? 0 : length;
    return status;
}

static int32_t search(pitot_stepping *s, double slope, double length, pitot_real *after, double *made) {
    const lbfgs_options *o = s->options;
    wolfe w = { s, vector(s, X), vector(s, D_), after, vector(s, WORK), 0, slope, o->c1, o->c2, length, o->most, 0 };
    int32_t status = flat_loss(s, &w.loss);
    if (!status) status = isfinite(w.loss) ? wolfe_search(&w) : PITOT_EHOST;
    *made = w.length;
    return status;
}

static int32_t step(pitot_stepping *s) {
    const lbfgs_options *o = s->options;
    pitot_real *g = vector(s, G), *d = vector(s, D_), *after = vector(s, AFTER);
    double made;
    if (o->lr == 0) return PITOT_OK;
    for (int64_t i = 0; i < s->n; i++) absent_tensors(s)[i] = !s->tensor[i].g;
    flat_parameters(s, vector(s, X));
    flat_gradient(s, g);
    double slope = direct(s, g, d), length = first_length(s, g);
    if (slope == 0) return PITOT_OK;
    int32_t status = o->search == NONE ? fixed_step(s, length, after, &made) : search(s, slope, length, after, &made);
    if (status) return status;
    if (made > 0) remember(s, g, after, made, d);
    else forget(s);
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_lbfgs = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_GRADIENT | PITOT_WANTS_LOSS,
    .name = "lbfgs",
    .summary = "quasi-Newton, for large batches: BFGS from the last changes of the gradient, a line search",
    .paper = "Liu, Nocedal 1989, algorithm 2.1; Nocedal, Wright 2006, algorithms 3.5, 3.6, 7.4",
    .formula =
        "d = -H g, H by two loops over pairs s = x+ - x, y = g+ - g from s'y/y'y I; x += a d, a by the strong Wolfe conditions",
    .memory = "2 history_size D values; 5 D of work space",
    .cost = "4 history_size D; a forward and backward pass for each length tried, mostly one",
    .options_size = sizeof(lbfgs_options),
    .options = table,
    .layout = layout,
    .step = step,
};
