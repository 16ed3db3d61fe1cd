/* adafactor.c: squared gradients kept by row and column alone (Shazeer, Stern 2018, arXiv 1804.04235, algorithms 4 and 5):

       b = 1 - t^beta2_decay,  U = g^2 + eps_1,  R = b R + (1-b) mean of U over columns,  C = b C + (1-b) mean of U over rows
       V_ij = R_i C_j / mean R,  u = g/sqrt(V),  u /= max(1, rms(u)/d),  alpha = max(eps_2, rms(x)) rho,  x -= alpha u

   rho = min(lr, 1/sqrt(t)); with beta1, m = beta1 m + (1-beta1) alpha u goes off x. Rows and columns are a tensor's two largest axes, each
   combination of the others a matrix by itself, as in the authors' Mesh TensorFlow; vectors keep all of V.

   A tensor is seen as (outer, A, middle, B, inner), A and B the two axes: outer A middle rows of B inner values that lie side by side. A row
   has `inner` values of R; A rows share B inner values of C. Rows are cut into SLICES that threads share: sums do not depend on how many.

   rms(u) is known as soon as C is, without another pass: sum u^2 = sum_j mean R / C_j sum_i g_ij^2 / R_i, and R_i is final when its row has been
   read. So a row's squares are added up twice while it is in the nearest cache, as they are and over R_i. One pass reads g and x of all tensors into
   work space, the second takes the step: until the first is through, and all of g was finite, nothing has changed. */

#include "base/threads.h"
#include "optim/core/moment.h"
#include "optim/core/optimizer.h"
#include "optim/core/room.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

#include <float.h>
#include <math.h>
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

enum { SLICES = 8, LANES = 64 / sizeof(pitot_real), RUN = 1024, ROWS = 8 };

/* Sums of squares of RUN values between these have lost nothing to range in float. */
static const pitot_real SMALL = (pitot_real)1e-20, LARGE = (pitot_real)1e30;
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

/* ---- one tensor, one step ---- */

typedef struct job {
    const adafactor_options *o;
    const pitot_tensor_state *t;
    form f;
    double *sums;                /* (SLICES, 2, columns): of squares, of squares over R */
    pitot_real *next;            /* (rows inner): R as it will be */
    pitot_real *row, *column;    /* (rows inner), (columns): 1/R, then 1/sqrt of R / mean R; 1/sqrt of C */
    double stays, comes;         /* shares of the averages */
    double step, keep;           /* of u; of x */
    double x[SLICES], u[SLICES]; /* sums of squares; of factored tensors u[0] alone */
} job;

typedef struct all_jobs {
    job *job;
    int64_t n, taken[SLICES]; /* tensors; slices that were begun, of each run */
    int odd, runs;            /* a gradient is not finite; runs that threads begin with */
    void (*each)(struct all_jobs *all, struct job *j, int64_t slice);
} all_jobs;

static void take_room(room *r, const form *f, job *j) {
    int64_t rows = f->rows * f->inner * (int64_t)sizeof(pitot_real);
    j->sums = room_take(r, 2 * f->columns * SLICES * (int64_t)sizeof(double));
    j->next = room_take(r, rows);
    j->row = room_take(r, rows);
    j->column = room_take(r, f->columns * (int64_t)sizeof(pitot_real));
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const adafactor_options *o = l->options;
    room r = { 0 };
    (void)error;
    if (l->i < 0) {
        room_take(&r, l->n * (int64_t)sizeof(job));
        for (int64_t i = 0; i < l->n; i++) {
            form f = form_of(&l->tensor[i], o->least);
            take_room(&r, &f, &(job){ 0 });
        }
        l->scratch = r.used;
        return PITOT_OK;
    }
    form f = form_of(&l->tensor[l->i], o->least);
    int64_t row = f.rows * f.inner;
    pitot_slot_add(l, "exp_avg_sq_row", 0, f.a ? 1 : -1, &row);
    pitot_slot_add(l, "exp_avg_sq_col", 0, f.a ? 1 : -1, &f.columns);
    pitot_slot_like(l, "exp_avg_sq", l->i, !f.a);
    pitot_slot_like(l, "exp_avg", l->i, o->beta1 > 0);
    return PITOT_OK;
}

static void slice_of(int64_t n, int64_t slice, int64_t *begin, int64_t *end) {
    *begin = n * slice / SLICES;
    *end = n * (slice + 1) / SLICES;
}

/* Many rows: in ROWS, so that few are left over. */
static void rows_of(const form *f, int64_t slice, int64_t *begin, int64_t *end) {
    int64_t unit = f->rows >= 4 * ROWS * SLICES ? ROWS : 1;
    slice_of((f->rows + unit - 1) / unit, slice, begin, end);
    *begin *= unit;
    *end = *end * unit < f->rows ? *end * unit : f->rows;
}

static double exact_squares(const pitot_real *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

#ifdef PITOT_DOUBLE
typedef int64_t lane_bit;
#else
typedef int32_t lane_bit;
#endif
typedef pitot_real lanes __attribute__((vector_size(64)));
typedef lane_bit lane_bits __attribute__((vector_size(64)));

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void add_lanes(lanes *sum, const pitot_real *x) {
    lanes v;
    memcpy(&v, x, sizeof v);
    *sum += v * v;
}

/* The last size % LANES of `size` values: the last LANES, those before them as zeros. */
ALWAYS void add_rest(lanes *sum, const pitot_real *x, int64_t size) {
    lane_bit rest = (lane_bit)(size % LANES);
    lane_bits bits = { 0 }, index;
    for (int k = 0; k < LANES; k++) index[k] = (lane_bit)k;
    if (size < LANES) memcpy(&bits, x, (size_t)rest * sizeof *x);
    else {
        memcpy(&bits, x + size - LANES, sizeof bits);
        bits &= index >= LANES - rest;
    }
    lanes v = (lanes)bits;
    *sum += v * v;
}

/* RUN values at a time as pitot_real, where that is safe. The same order of additions whatever the processor's vectors. */
PITOT_HOT static double squares_of(const pitot_real *x, int64_t n) {
    double sum = 0;
    for (int64_t at = 0; at < n; at += RUN) {
        int64_t size = n - at < RUN ? n - at : RUN, i = 0;
        lanes a = { 0 }, b = { 0 };
        for (; i + 2 * LANES <= size; i += 2 * LANES) {
            add_lanes(&a, x + at + i);
            add_lanes(&b, x + at + i + LANES);
        }
        if (i + LANES <= size) add_lanes(&a, x + at + i);
        if (size % LANES) add_rest(&b, x + at, size);
        pitot_real lane[LANES];
        a += b;
        memcpy(lane, &a, sizeof lane);
        for (int half = LANES / 2; half; half /= 2)
            for (int j = 0; j < half; j++) lane[j] += lane[j + half];
        sum += lane[0] > SMALL && lane[0] < LARGE ? (double)lane[0] : exact_squares(x + at, size);
    }
    return sum;
}

/* Squares of ROWS rows of g, each less than LARGE together, onto sum, over R onto weighted. What float has no range for is nothing beside eps_1. */
PITOT_HOT static void add_rows(double *restrict sum, double *restrict weighted, const pitot_real *restrict g,
                               const pitot_real *restrict by, int64_t width) {
    const pitot_real *a = g, *b = a + width, *c = b + width, *d = c + width, *e = d + width, *f = e + width, *p = f + width,
                     *q = p + width;
    pitot_real of_a = by[0], of_b = by[1], of_c = by[2], of_d = by[3], of_e = by[4], of_f = by[5], of_p = by[6], of_q = by[7];
    for (int64_t i = 0; i < width; i++) {
        pitot_real aa = a[i] * a[i], bb = b[i] * b[i], cc = c[i] * c[i], dd = d[i] * d[i];
        pitot_real ee = e[i] * e[i], ff = f[i] * f[i], pp = p[i] * p[i], qq = q[i] * q[i];
        sum[i] += (double)(((aa + bb) + (cc + dd)) + ((ee + ff) + (pp + qq)));
        weighted[i] +=
            (double)(((of_a * aa + of_b * bb) + (of_c * cc + of_d * dd)) + ((of_e * ee + of_f * ff) + (of_p * pp + of_q * qq)));
    }
}

/* The same of one row, by of `inner` values. */
PITOT_HOT static void add_row(double *restrict sum, double *restrict weighted, const pitot_real *restrict g,
                              const pitot_real *restrict by, int64_t width, int64_t inner) {
    for (int64_t i = 0; inner == 1 && i < width; i++) {
        double square = (double)g[i] * (double)g[i];
        sum[i] += square;
        weighted[i] += (double)by[0] * square;
    }
    for (int64_t i = 0; inner > 1 && i < width; i += inner)
        for (int64_t k = 0; k < inner; k++) {
            double square = (double)g[i + k] * (double)g[i + k];
            sum[i + k] += square;
            weighted[i + k] += (double)by[k] * square;
        }
}

/* What is stored stays finite. */
static pitot_real average(const job *j, pitot_real old, double mean) {
    double v = j->stays * (double)old + j->comes * (mean + j->o->eps[0]);
    return (pitot_real)(v < (double)FLT_MAX / 4 ? v : (double)FLT_MAX / 4);
}

/* R as it will be, and 1/R, of a row. Returns the sum of its squares. */
static double row_average(const job *j, int64_t row) {
    const form *f = &j->f;
    const pitot_real *g = j->t->g + row * f->width, *r = (const pitot_real *)j->t->state[ROW] + row * f->inner;
    pitot_real *next = j->next + row * f->inner, *by = j->row + row * f->inner;
    double all = 0;
    for (int64_t k = 0; k < f->inner; k++) {
        double sum = f->inner == 1 ? squares_of(g, f->width) : 0;
        for (int64_t i = k; f->inner > 1 && i < f->width; i += f->inner) sum += (double)g[i] * (double)g[i];
        next[k] = average(j, r[k], sum / (double)f->b);
        by[k] = (pitot_real)(1 / (double)next[k]);
        all += sum;
    }
    return all;
}

/* How many rows from `row` on are taken at once: ROWS that share their C, or one. */
static int64_t rows_at_once(const form *f, int64_t row, int64_t end) {
    int together = f->inner == 1 && f->middle == 1 && row + ROWS <= end && row / f->a == (row + ROWS - 1) / f->a;
    return together ? ROWS : 1;
}

/* A slice's share of what R, C and rms(u) are made of. 0: some of its g is not finite. */
static int measure(job *j, int64_t slice) {
    const form *f = &j->f;
    double *sums = j->sums + 2 * slice * f->columns;
    int64_t row, end;
    int good = 1;
    rows_of(f, slice, &row, &end);
    memset(sums, 0, 2 * (size_t)f->columns * sizeof *sums);
    j->x[slice] = squares_of(j->t->x + row * f->width, (end - row) * f->width);
    for (int64_t n; row < end && good; row += n) {
        double *sum = sums + columns_of(f, row), *weighted = sum + f->columns, squares = 0;
        const pitot_real *g = j->t->g + row * f->width, *by = j->row + row * f->inner;
        n = rows_at_once(f, row, end);
        for (int64_t k = 0; k < n; k++) squares += row_average(j, row + k);
        if (n == ROWS && squares < (double)LARGE) add_rows(sum, weighted, g, by, f->width);
        else
            for (int64_t k = 0; k < n; k++) add_row(sum, weighted, g + k * f->width, by + k * f->inner, f->width, f->inner);
        good = squares < (double)LARGE || good_values(g, n * f->width);
    }
    return good;
}

/* C and its factor; what `weighted` adds up to, over C, into the first slice's. */
PITOT_HOT static void make_columns(const job *j) {
    pitot_real *restrict c = j->t->state[COLUMN], *restrict by = j->column;
    double *restrict sum = j->sums, *restrict weighted = sum + j->f.columns;
    int64_t n = j->f.columns;
    double of_sum = j->comes / (double)j->f.a, added = j->comes * j->o->eps[0], stays = j->stays, most = (double)FLT_MAX / 4;
    for (int s = 1; s < SLICES; s++) {
        const double *more = j->sums + 2 * s * n;
        for (int64_t k = 0; k < 2 * n; k++) sum[k] += more[k];
    }
    for (int64_t k = 0; k < n; k++) {
        double v = stays * (double)c[k] + (of_sum * sum[k] + added);
        c[k] = (pitot_real)(v < most ? v : most);
    }
    for (int64_t k = 0; k < n; k++) {
        by[k] = (pitot_real)(1 / sqrt((double)c[k]));
        weighted[k] /= (double)c[k];
    }
}

/* R's factor, of one matrix; its mean. */
PITOT_HOT static double make_rows(const pitot_real *restrict r, pitot_real *restrict by, int64_t n, int64_t apart) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)r[i * apart];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) by[i * apart] = (pitot_real)sqrt(mean / (double)r[i * apart]);
    return mean;
}

/* R and C, the factors of the step, and the sum of u^2. */
static void make_factors(job *j) {
    const form *f = &j->f;
    int64_t apart = f->middle * f->inner;
    memset(j->u, 0, sizeof j->u);
    memcpy(j->t->state[ROW], j->next, (size_t)(f->rows * f->inner) * sizeof *j->next);
    make_columns(j);
    for (int64_t o = 0; o < f->outer; o++)
        for (int64_t k = 0; k < apart; k++) {
            int64_t at = o * f->a * apart + k;
            const double *weighted = j->sums + f->columns + (o * f->middle + k / f->inner) * f->width + k % f->inner;
            double sum = 0, mean = make_rows(j->next + at, j->row + at, f->a, apart);
            for (int64_t i = 0; i < f->width; i += f->inner) sum += weighted[i];
            j->u[0] += mean * sum;
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

static void take_step(const job *j, int64_t slice) {
    const form *f = &j->f;
    pitot_real *m = j->t->state[MEAN];
    int64_t n = f->inner == 1 ? f->width : 1, row, end;
    rows_of(f, slice, &row, &end);
    for (; row < end; row++)
        for (int64_t i = 0, at = row * f->width; i < f->width; i += n, at += n)
            move(j, j->t->x + at, j->t->g + at, j->row[row * f->inner + i % f->inner], j->column + columns_of(f, row) + i,
                 m ? m + at : NULL, n);
}

/* ---- tensors that keep all of V ---- */

static int measure_whole(job *j, int64_t slice) {
    const pitot_real *v = j->t->state[SQUARE], *g = j->t->g;
    int64_t i, end;
    slice_of(j->t->size, slice, &i, &end);
    j->x[slice] = squares_of(j->t->x + i, end - i);
    if (!good_values(g + i, end - i)) return 0;
    for (j->u[slice] = 0; i < end; i++) {
        double square = (double)g[i] * (double)g[i];
        j->u[slice] += square / (double)average(j, v[i], square);
    }
    return 1;
}

static void take_whole_step(const job *j, int64_t slice) {
    const pitot_real *g = j->t->g;
    pitot_real *x = j->t->x, *m = j->t->state[MEAN], *v = j->t->state[SQUARE];
    int64_t i, end;
    slice_of(j->t->size, slice, &i, &end);
    for (; i < end; i++) {
        v[i] = average(j, v[i], (double)g[i] * (double)g[i]);
        double u = j->step * (double)g[i] / sqrt((double)v[i]);
        if (m) u = (double)(m[i] = (pitot_real)(j->o->beta1 * (double)m[i] + (1 - j->o->beta1) * u));
        x[i] = (pitot_real)(j->keep * (double)x[i] - u);
    }
}

/* ---- the step ---- */

static double root_mean_square(const job *j, const double *square) {
    double sum = 0;
    for (int s = 0; s < SLICES; s++) sum += square[s];
    return sqrt(sum / (double)j->t->size);
}

static double relative_step(const adafactor_options *o, int64_t t) {
    double rho = o->warmup_init ? 1e-4 * (double)t * o->lr : o->lr, most = 1 / sqrt((double)t);
    return o->relative_step && most < rho ? most : rho;
}

/* What the second pass multiplies with. */
static void settle(job *j) {
    double alpha = relative_step(j->o, j->t->t), size = root_mean_square(j, j->x);
    if (j->o->scale_parameter) alpha *= size > j->o->eps[1] ? size : j->o->eps[1];
    if (j->f.a) make_factors(j);
    double length = root_mean_square(j, j->u) / j->o->d;
    j->step = alpha / (length > 1 ? length : 1);
    j->keep = 1 - alpha * j->o->weight_decay;
}

static void measure_slice(all_jobs *all, job *j, int64_t slice) {
    if (!(j->f.a ? measure(j, slice) : measure_whole(j, slice))) __atomic_store_n(&all->odd, 1, __ATOMIC_RELAXED);
}

static void step_slice(all_jobs *all, job *j, int64_t slice) {
    (void)all;
    if (j->f.a) take_step(j, slice);
    else take_whole_step(j, slice);
}

/* Each thread takes its run of slices of tensors, one by one, and then helps others with theirs. */
static void each_run(void *argument, int64_t begin, int64_t end, int thread) {
    all_jobs *all = argument;
    int64_t slices = all->n * SLICES;
    (void)end;
    (void)thread;
    for (int64_t k = 0, at; k < all->runs; k++) {
        int64_t i = (begin + k) % all->runs, first = slices * i / all->runs, last = slices * (i + 1) / all->runs;
        while ((at = first + __atomic_fetch_add(&all->taken[i], 1, __ATOMIC_RELAXED)) < last)
            all->each(all, &all->job[at % all->n], at / all->n);
    }
}

static void each_slice(all_jobs *all, void (*each)(all_jobs *all, job *j, int64_t slice)) {
    memset(all->taken, 0, sizeof all->taken);
    all->each = each;
    threads_run(all->runs, all->runs, each_run, all);
}

static all_jobs make_jobs(const pitot_stepping *s) {
    const adafactor_options *o = s->options;
    room r = { s->scratch, 0 };
    all_jobs all = { .job = room_take(&r, s->n * (int64_t)sizeof(job)) };
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (!t->g) continue;
        job *j = &all.job[all.n++];
        *j = (job){ .o = o, .t = t, .f = form_of(t, o->least) };
        take_room(&r, &j->f, j);
        j->comes = pow((double)t->t, o->beta2_decay);
        j->stays = 1 - j->comes;
    }
    return all;
}

static int32_t step(pitot_stepping *s) {
    enum { WORTH_THREADS = 1 << 15 };
    all_jobs all = make_jobs(s);
    all.runs = s->parameters < WORTH_THREADS ? 1 : s->threads < SLICES ? s->threads : SLICES;
    each_slice(&all, measure_slice);
    if (all.odd) return PITOT_EHOST;
    for (int64_t i = 0; i < all.n; i++) settle(&all.job[i]);
    each_slice(&all, step_slice);
    return PITOT_OK;
}

/* P = sqrt(V) of tensors that keep all of it; of others V is nowhere. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    if (!s->tensor[i].state[SQUARE]) return PITOT_ENOTSUP;
    return diagonal_view(&s->tensor[i], k, s->tensor[i].state[SQUARE], -0.5, 1, 0, view);
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
    .tensors = "of a tensor of more than two axes, each matrix on its two largest; vectors, and where the shorter of these is "
               "below min_dim_size_to_factor: all of V is kept",
    .cost = "two passes over D",
    .options_size = sizeof(adafactor_options),
    .options = table,
    .check = check,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
};
