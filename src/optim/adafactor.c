/* adafactor.c: squared gradients kept by row and column alone (Shazeer, Stern 2018, arXiv 1804.04235, algorithms 4 and 5):

       b = 1 - t^beta2_decay,  U = g^2 + eps_1,  R = b R + (1-b) mean of U over columns,  C = b C + (1-b) mean of U over rows
       V_ij = R_i C_j / mean R,  u = g/sqrt(V),  u /= max(1, rms(u)/d),  alpha = max(eps_2, rms(x)) rho,  x -= alpha u

   rho = min(lr, 1/sqrt(t)); with beta1, m = beta1 m + (1-beta1) alpha u goes off x. Rows and columns are a tensor's two largest axes, each
   combination of the others a matrix by itself, as in the authors' Mesh TensorFlow; vectors keep all of V.

   A tensor is seen as (outer, A, middle, B, inner), A and B the two axes: outer A middle rows of B inner values that lie side by side. A row
   has `inner` values of R; A rows share B inner values of C. Rows are cut into SLICES that threads share: sums do not depend on how many. */

#include "base/threads.h"
#include "net/real.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

#include <float.h>
#include <string.h>

typedef struct adafactor_options {
    double lr, beta2_decay, eps[2], d, weight_decay, beta1;
    int64_t relative_step, scale_parameter, warmup_init, least;
} adafactor_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(adafactor_options, lr), "0.01", 0, 1e6, NULL, "",
      "largest relative step; without relative_step, the relative step" },
    { "beta2_decay", PITOT_REAL, 1, offsetof(adafactor_options, beta2_decay), "-0.8", -1e3, 0, NULL, "",
      "the average of squared gradients decays by 1 - t^beta2_decay" },
    { "eps", PITOT_REAL, 2, offsetof(adafactor_options, eps), "1e-30,0.001", 1e-37, 1e6, NULL, "",
      "added to squared gradients; least size of a tensor" },
    { "d", PITOT_REAL, 1, offsetof(adafactor_options, d), "1", PITOT_ABOVE_ZERO, 1e6, NULL, "",
      "largest root mean square of a step" },
    { "weight_decay", PITOT_REAL, 1, offsetof(adafactor_options, weight_decay), "0", 0, 1e6, NULL, "",
      "x is multiplied by 1 - alpha weight_decay before the step" },
    { "beta1", PITOT_REAL, 1, offsetof(adafactor_options, beta1), "0", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of an average of steps; 0: none is kept" },
    { "relative_step", PITOT_BOOL, 1, offsetof(adafactor_options, relative_step), "true", 0, 0, NULL, "",
      "1/sqrt(t) bounds the learning rate" },
    { "scale_parameter", PITOT_BOOL, 1, offsetof(adafactor_options, scale_parameter), "true", 0, 0, NULL, "",
      "steps are relative to a tensor's root mean square" },
    { "warmup_init", PITOT_BOOL, 1, offsetof(adafactor_options, warmup_init), "false", 0, 0, NULL, "",
      "1e-4 t lr bounds the learning rate: 1e-6 t by default; needs relative_step" },
    { "min_dim_size_to_factor", PITOT_INT, 1, offsetof(adafactor_options, least), "1", 1, 1e9, NULL, "",
      "tensors whose second largest axis is shorter keep all of V; Mesh TensorFlow has 128" },
    { 0 },
};

enum { SLICES = 8, LANES = 16 };
enum { ROW, COLUMN, SQUARE, MEAN };

/* ---- shapes ---- */

typedef struct form {
    int64_t outer, a, middle, b, inner; /* a 0: not factored */
    int64_t rows, width, columns;       /* values of R are rows inner; of C: columns */
} form;

/* Axes of one value are none. Of equal axes the last. */
static form form_of(const pitot_tensor_state *t, int64_t least) {
    form f = { 1, 0, 1, 1, 1, 0, 0, 0 };
    int32_t first = -1, second = -1;
    for (int32_t k = 0; k < t->n_dim; k++)
        if (first < 0 || t->shape[k] >= t->shape[first]) second = first, first = k;
        else if (second < 0 || t->shape[k] >= t->shape[second]) second = k;
    if (second < 0 || t->shape[second] < least) return f;
    int32_t low = first < second ? first : second, high = first < second ? second : first;
    for (int32_t k = 0; k < low; k++) f.outer *= t->shape[k];
    for (int32_t k = low + 1; k < high; k++) f.middle *= t->shape[k];
    for (int32_t k = high + 1; k < t->n_dim; k++) f.inner *= t->shape[k];
    f.a = t->shape[low];
    f.b = t->shape[high];
    f.rows = f.outer * f.a * f.middle;
    f.width = f.b * f.inner;
    f.columns = f.outer * f.middle * f.width;
    return f;
}

/* Where row `row` finds its C, in values. */
static int64_t columns_of(const form *f, int64_t row) {
    return (row / (f->a * f->middle) * f->middle + row % f->middle) * f->width;
}

static int32_t check(const void *options, pitot_error *error) {
    const adafactor_options *o = options;
    if (!o->warmup_init || o->relative_step) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL, "optimizer adafactor: warmup_init needs relative_step; leave one of them out");
}

/* Work space: sums of C of each slice, then R's and C's factors of the step. */
static int32_t layout(pitot_layout *l, pitot_error *error) {
    const adafactor_options *o = l->options;
    (void)error;
    if (l->i < 0) return PITOT_OK;
    form f = form_of(&l->tensor[l->i], o->least);
    int64_t row = f.rows * f.inner;
    pitot_slot_add(l, "exp_avg_sq_row", 0, f.a ? 1 : -1, &row);
    pitot_slot_add(l, "exp_avg_sq_col", 0, f.a ? 1 : -1, &f.columns);
    pitot_slot_like(l, "exp_avg_sq", l->i, !f.a);
    pitot_slot_like(l, "exp_avg", l->i, o->beta1 > 0);
    l->scratch = (f.columns * SLICES + 8) * (int64_t)sizeof(double) + (row + f.columns + 16) * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

/* ---- one tensor, one step ---- */

typedef struct job {
    const adafactor_options *o;
    const pitot_tensor_state *t;
    form f;
    double *sums;                   /* (SLICES, columns) of squares */
    pitot_real *by_row, *by_column; /* (rows inner), (columns): 1/sqrt of R / mean R, and of C */
    double stays, comes;            /* shares of the averages */
    double step, keep;              /* of u; of x */
    double square[SLICES];          /* of x, then of u */
} job;

static void slice_of(int64_t n, int64_t slice, int64_t *begin, int64_t *end) {
    *begin = n * slice / SLICES;
    *end = n * (slice + 1) / SLICES;
}

static inline __attribute__((always_inline)) double lanes(double lane[LANES]) {
    for (int half = LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++) lane[j] += lane[j + half];
    return lane[0];
}

PITOT_HOT static double squares_of(const pitot_real *x, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int64_t j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < n; i++) lane[0] += (double)x[i] * (double)x[i];
    return lanes(lane);
}

PITOT_HOT static void add_squares(double *restrict sum, const pitot_real *restrict g, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += (double)g[i] * (double)g[i];
}

/* What is stored stays finite. */
static pitot_real average(const job *j, pitot_real old, double mean) {
    double v = j->stays * (double)old + j->comes * (mean + j->o->eps[0]);
    return (pitot_real)(v < (double)FLT_MAX / 4 ? v : (double)FLT_MAX / 4);
}

static void row_average(const job *j, const pitot_real *g, pitot_real *r) {
    const form *f = &j->f;
    if (f->inner == 1) {
        *r = average(j, *r, squares_of(g, f->width) / (double)f->b);
        return;
    }
    for (int64_t k = 0; k < f->inner; k++) {
        double sum = 0;
        for (int64_t i = k; i < f->width; i += f->inner) sum += (double)g[i] * (double)g[i];
        r[k] = average(j, r[k], sum / (double)f->b);
    }
}

/* R, the slice's share of C, and x's squares. */
static void measure(void *argument, int64_t from, int64_t to, int thread) {
    job *j = argument;
    const form *f = &j->f;
    (void)thread;
    for (int64_t s = from; s < to; s++) {
        double *sums = j->sums + s * f->columns;
        int64_t row, end;
        slice_of(f->rows, s, &row, &end);
        memset(sums, 0, (size_t)f->columns * sizeof *sums);
        j->square[s] = squares_of(j->t->x + row * f->width, (end - row) * f->width);
        for (; row < end; row++) {
            const pitot_real *g = j->t->g + row * f->width;
            add_squares(sums + columns_of(f, row), g, f->width);
            row_average(j, g, (pitot_real *)j->t->state[ROW] + row * f->inner);
        }
    }
}

/* C and the factors of the step. */
static void make_factors(const job *j) {
    const form *f = &j->f;
    pitot_real *r = j->t->state[ROW], *c = j->t->state[COLUMN];
    for (int64_t k = 0; k < f->columns; k++) {
        double sum = 0;
        for (int s = 0; s < SLICES; s++) sum += j->sums[s * f->columns + k];
        c[k] = average(j, c[k], sum / (double)f->a);
        j->by_column[k] = (pitot_real)(1 / sqrt((double)c[k]));
    }
    int64_t apart = f->middle * f->inner;
    for (int64_t o = 0; o < f->outer; o++)
        for (int64_t k = 0; k < apart; k++) {
            int64_t at = o * f->a * apart + k;
            double mean = 0;
            for (int64_t i = 0; i < f->a; i++) mean += (double)r[at + i * apart];
            mean /= (double)f->a;
            for (int64_t i = 0; i < f->a; i++) j->by_row[at + i * apart] = (pitot_real)sqrt(mean / (double)r[at + i * apart]);
        }
}

/* Sum of (g by_row by_column)^2 over a row. */
PITOT_HOT static double step_squares(const pitot_real *restrict g, const pitot_real *restrict row,
                                     const pitot_real *restrict column, int64_t width, int64_t inner) {
    double lane[LANES] = { 0 };
    if (inner > 1) {
        for (int64_t i = 0; i < width; i += inner)
            for (int64_t k = 0; k < inner; k++) {
                pitot_real u = g[i + k] * row[k] * column[i + k];
                lane[0] += (double)u * (double)u;
            }
        return lane[0];
    }
    pitot_real by = row[0];
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int64_t k = 0; k < LANES; k++) {
            pitot_real u = g[i + k] * by * column[i + k];
            lane[k] += (double)u * (double)u;
        }
    for (; i < width; i++) {
        pitot_real u = g[i] * by * column[i];
        lane[0] += (double)u * (double)u;
    }
    return lanes(lane);
}

static void measure_step(void *argument, int64_t from, int64_t to, int thread) {
    job *j = argument;
    const form *f = &j->f;
    (void)thread;
    for (int64_t s = from; s < to; s++) {
        int64_t row, end;
        slice_of(f->rows, s, &row, &end);
        j->square[s] = 0;
        for (; row < end; row++)
            j->square[s] += step_squares(j->t->g + row * f->width, j->by_row + row * f->inner, j->by_column + columns_of(f, row),
                                         f->width, f->inner);
    }
}

/* x and m by `n` values of u = g row column; m NULL: none. */
PITOT_HOT static void move(const job *j, pitot_real *restrict x, const pitot_real *restrict g, pitot_real row,
                           const pitot_real *restrict column, pitot_real *restrict m, int64_t n) {
    pitot_real by = (pitot_real)(j->step * (double)row), keep = (pitot_real)j->keep, b1 = (pitot_real)j->o->beta1,
               c1 = (pitot_real)(1 - j->o->beta1);
    if (!m) {
        for (int64_t i = 0; i < n; i++) x[i] = keep * x[i] - by * g[i] * column[i];
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * (by * g[i] * column[i]);
        x[i] = keep * x[i] - m[i];
    }
}

static void take_step(void *argument, int64_t from, int64_t to, int thread) {
    const job *j = argument;
    const form *f = &j->f;
    pitot_real *m = j->t->state[MEAN];
    int64_t n = f->inner == 1 ? f->width : 1, row, end;
    (void)thread;
    slice_of(f->rows, from, &row, &(int64_t){ 0 });
    slice_of(f->rows, to - 1, &(int64_t){ 0 }, &end);
    for (; row < end; row++)
        for (int64_t i = 0, at = row * f->width; i < f->width; i += n, at += n)
            move(j, j->t->x + at, j->t->g + at, j->by_row[row * f->inner + i % f->inner], j->by_column + columns_of(f, row) + i,
                 m ? m + at : NULL, n);
}

/* ---- tensors that keep all of V ---- */

static void measure_whole(void *argument, int64_t from, int64_t to, int thread) {
    job *j = argument;
    pitot_real *v = j->t->state[SQUARE];
    (void)thread;
    for (int64_t s = from; s < to; s++) {
        int64_t i, end;
        slice_of(j->t->size, s, &i, &end);
        j->square[s] = squares_of(j->t->x + i, end - i);
        for (; i < end; i++) v[i] = average(j, v[i], (double)j->t->g[i] * (double)j->t->g[i]);
    }
}

static void measure_whole_step(void *argument, int64_t from, int64_t to, int thread) {
    job *j = argument;
    const pitot_real *v = j->t->state[SQUARE], *g = j->t->g;
    (void)thread;
    for (int64_t s = from; s < to; s++) {
        int64_t i, end;
        slice_of(j->t->size, s, &i, &end);
        for (j->square[s] = 0; i < end; i++) j->square[s] += (double)g[i] * (double)g[i] / (double)v[i];
    }
}

static void take_whole_step(void *argument, int64_t from, int64_t to, int thread) {
    const job *j = argument;
    const pitot_real *v = j->t->state[SQUARE], *g = j->t->g;
    pitot_real *x = j->t->x, *m = j->t->state[MEAN];
    int64_t i, end;
    (void)thread;
    slice_of(j->t->size, from, &i, &(int64_t){ 0 });
    slice_of(j->t->size, to - 1, &(int64_t){ 0 }, &end);
    for (; i < end; i++) {
        double u = j->step * (double)g[i] / sqrt((double)v[i]);
        if (m) u = (double)(m[i] = (pitot_real)(j->o->beta1 * (double)m[i] + (1 - j->o->beta1) * u));
        x[i] = (pitot_real)(j->keep * (double)x[i] - u);
    }
}

/* ---- the step ---- */

static double root_mean_square(const job *j) {
    double sum = 0;
    for (int s = 0; s < SLICES; s++) sum += j->square[s];
    return sqrt(sum / (double)j->t->size);
}

static double relative_step(const adafactor_options *o, int64_t t) {
    double rho = o->warmup_init ? 1e-4 * (double)t * o->lr : o->lr, most = 1 / sqrt((double)t);
    return o->relative_step && most < rho ? most : rho;
}

static void step_tensor(const pitot_stepping *s, job *j) {
    enum { WORTH_THREADS = 1 << 15 };
    int threads = j->t->size >= WORTH_THREADS ? s->threads : 1;
    threads_run(threads, SLICES, j->f.a ? measure : measure_whole, j);
    double alpha = relative_step(j->o, j->t->t), size = root_mean_square(j);
    if (j->o->scale_parameter) alpha *= size > j->o->eps[1] ? size : j->o->eps[1];
    if (j->f.a) make_factors(j);
    threads_run(threads, SLICES, j->f.a ? measure_step : measure_whole_step, j);
    double length = root_mean_square(j) / j->o->d;
    j->step = alpha / (length > 1 ? length : 1);
    j->keep = 1 - alpha * j->o->weight_decay;
    threads_run(threads, SLICES, j->f.a ? take_step : take_whole_step, j);
}

static int32_t step(pitot_stepping *s) {
    const adafactor_options *o = s->options;
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (!t->g) continue;
        job j = { .o = o, .t = t, .f = form_of(t, o->least), .sums = s->scratch };
        j.by_row = (pitot_real *)(j.sums + j.f.columns * SLICES);
        j.by_column = j.by_row + j.f.rows * j.f.inner;
        j.comes = pow((double)t->t, o->beta2_decay);
        j.stays = 1 - j.comes;
        step_tensor(s, &j);
    }
    return PITOT_OK;
}

/* P = sqrt(V) of tensors that keep all of it; of others V is nowhere. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    if (!s->tensor[i].state[SQUARE]) return PITOT_ENOTSUP;
    if (k > 0) return PITOT_EINVAL;
    view->axis = -1;
    view->n = s->tensor[i].size;
    view->factor = s->tensor[i].state[SQUARE];
    view->power = -0.5;
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_adafactor = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "adafactor",
    .summary = "divides by the root of squared gradients kept by row and column alone; steps relative to the tensor",
    .paper = "Shazeer, Stern 2018, arXiv 1804.04235, algorithms 4 and 5",
    .formula = "b = 1 - t^-0.8; R, C = b R, C + (1-b) mean of g^2 + eps1 by row, column; u = g / sqrt(R C' / mean R); u /= max(1, "
               "rms(u)/d); "
               "x -= max(eps2, rms(x)) min(lr, 1/sqrt(t)) u",
    .memory = "rows + columns; D for vectors; D more with beta1",
    .cost = "three passes over D",
    .options_size = sizeof(adafactor_options),
    .options = table,
    .check = check,
    .layout = layout,
    .step = step,
    .view = view,
};
