/* tile.c: see parts.h: one sample's gradient with respect to a run of a tensor's values, for every kind of use. */

#include "sweep/parts.h"

#include "base/blas.h"
#include "pitot/hot.h"

/* ---- geometry ---- */

static int64_t conv_columns(const sweep_use *u) {
    return u->w.channels * u->w.kernel[0] * u->w.kernel[1];
}

/* 1x1, stride 1, no padding: the input is its own unfolding. */
static int is_bare(const window *w) {
    return w->kernel[0] * w->kernel[1] == 1 && w->stride[0] * w->stride[1] == 1 && w->padding[0] + w->padding[1] == 0 &&
           w->in[0] == w->out[0] && w->in[1] == w->out[1];
}

int64_t use_width(const sweep_use *u) {
    return u->kind == SWEEP_LINEAR ? (u->transposed ? u->dout : u->din) : u->kind == SWEEP_CONV ? conv_columns(u) : 1;
}

int64_t use_positions(const sweep_use *u) {
    return u->kind == SWEEP_CONV ? u->w.out[0] * u->w.out[1] : u->t;
}

int64_t use_unfolded(const sweep_use *u) {
    return u->kind == SWEEP_CONV && !is_bare(&u->w) ? conv_columns(u) * use_positions(u) : 0;
}

int64_t use_planes(const sweep_use *u) {
    return u->kind == SWEEP_CONV && u->channels_last ? u->w.channels * u->w.in[0] * u->w.in[1] : 0;
}

/* ---- loops ---- */

PITOT_HOT static void to_planes(const pitot_real *a, int64_t positions, int64_t ld, int64_t channels, pitot_real *planes) {
    enum { RUN = 16 };
    for (int64_t from = 0; from < positions; from += RUN) {
        int64_t to = least(from + RUN, positions);
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = from; p < to; p++) planes[c * positions + p] = a[p * ld + c];
    }
}

PITOT_HOT static void add_values(const pitot_real *g, int64_t n, pitot_real alpha, int add, pitot_real *out) {
    if (add)
        for (int64_t i = 0; i < n; i++) out[i] += alpha * g[i];
    else
        for (int64_t i = 0; i < n; i++) out[i] = alpha * g[i];
}

PITOT_HOT static void add_products(const pitot_real *g, const pitot_real *a, int64_t n, pitot_real alpha, int add,
                                   pitot_real *out) {
    if (add)
        for (int64_t i = 0; i < n; i++) out[i] += alpha * g[i] * a[i];
    else
        for (int64_t i = 0; i < n; i++) out[i] = alpha * g[i] * a[i];
}

PITOT_HOT static double sum_run(const pitot_real *g, int64_t n) {
    enum { LANES = 16 };
    double lane[LANES] = { 0 }, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)g[i + l];
    for (; i < n; i++) all += (double)g[i];
    for (int l = 0; l < LANES; l++) all += lane[l];
    return all;
}

static double sum_strided(const pitot_real *g, int64_t n, int64_t stride) {
    double all = 0;
    for (int64_t i = 0; i < n; i++) all += (double)g[i * stride];
    return all;
}

/* ---- kinds ---- */

/* The first of values begin..end of a matrix with rows of `width` values: whole rows up to the next multiple of `group` rows, or a part
   of one. */
static matrix_block first_block(int64_t begin, int64_t end, int64_t width, int64_t group) {
    int64_t row = begin / width, column = begin % width, left = end - begin;
    if (column || left < width) return (matrix_block){ row, 1, column, least(width - column, left) };
    return (matrix_block){ row, least(left / width, group - row % group), 0, width };
}

static int64_t row_step(int64_t t, int64_t position, int64_t values) {
    return t == 1 ? most(position, values) : position;
}

/* (rows,columns) = L (t,rows)' R (t,columns), L = G and R = A, or the other way round */
static void linear_block(const sweep_use *u, int64_t n, const matrix_block *b, double alpha, int add, pitot_real *out) {
    int64_t lda = row_step(u->t, u->a_position, u->din), ldg = row_step(u->t, u->g_position, u->dout);
    const pitot_real *a = u->a + n * u->a_sample, *g = u->g + n * u->g_sample;
    const pitot_real *left = u->transposed ? a : g, *right = u->transposed ? g : a;
    int64_t ld_left = u->transposed ? lda : ldg, ld_right = u->transposed ? ldg : lda;
    blas_gemm(1, 0, b->rows, b->columns, u->t, alpha, left + b->row, ld_left, right + b->column, ld_right, add, out, b->columns);
}

static void linear_make(const sweep_use *u, int64_t n, int64_t begin, int64_t end, double alpha, int add, pitot_real *out) {
    int64_t rows = u->transposed ? u->din : u->dout;
    while (begin < end) {
        matrix_block b = first_block(begin, end, use_width(u), rows);
        linear_block(u, n, &b, alpha, add, out);
        begin += b.rows * b.columns;
        out += b.rows * b.columns;
    }
}

/* Rows of U for `channels` of a group's channels, `from` on. */
static const pitot_real *unfolded(const sweep_use *u, int64_t n, int64_t group, int64_t from, int64_t channels,
                                  const tile_room *room) {
    int64_t plane = u->w.in[0] * u->w.in[1];
    const pitot_real *a = u->a + n * u->a_sample + (group * u->w.channels + from) * (u->channels_last ? 1 : plane);
    window w = u->w;
    w.channels = channels;
    if (u->channels_last) {
        to_planes(a, plane, u->groups * u->w.channels, channels, room->planes);
        a = room->planes;
    }
    if (is_bare(&w)) return a;
    window_unfold(&w, a, room->unfolded, use_positions(u));
    return room->unfolded;
}

const pitot_real *use_input(const sweep_use *u, int64_t n, int64_t group, const tile_room *room) {
    return unfolded(u, n, group, 0, u->w.channels, room);
}

/* Rows of one group: G (rows,P) times the transpose of these rows of U. */
static void conv_product(const sweep_use *u, int64_t n, const matrix_block *b, const pitot_real *rows_of_u, double alpha, int add,
                         pitot_real *out) {
    int64_t positions = use_positions(u), channels = u->groups * u->m;
    const pitot_real *g = u->g + n * u->g_sample + b->row * (u->channels_last ? 1 : positions);
    blas_gemm(u->channels_last, 1, b->rows, b->columns, positions, alpha, g, u->channels_last ? channels : positions, rows_of_u,
              positions, add, out, b->columns);
}

/* (m,k) = G (m,P) U' of each group */
static void conv_make(const sweep_use *u, int64_t n, int64_t begin, int64_t end, double alpha, int add, const tile_room *room,
                      pitot_real *out) {
    int64_t group = -1;
    const pitot_real *input = NULL;
    while (begin < end) {
        matrix_block b = first_block(begin, end, conv_columns(u), u->m);
        if (b.row / u->m != group) input = use_input(u, n, b.row / u->m, room);
        group = b.row / u->m;
        conv_product(u, n, &b, input + b.column * use_positions(u), alpha, add, out);
        begin += b.rows * b.columns;
        out += b.rows * b.columns;
    }
}

/* Group by group. */
static void conv_block(const sweep_use *u, int64_t n, const matrix_block *whole_block, double alpha, int add, const tile_room *room,
                       pitot_real *out) {
    int64_t area = u->w.kernel[0] * u->w.kernel[1], end = whole_block->row + whole_block->rows;
    int64_t channel = whole_block->column / area, last = parts(whole_block->column + whole_block->columns, area);
    for (matrix_block b = *whole_block; b.row < end; b.row += b.rows) {
        int64_t group = b.row / u->m;
        b.rows = least(end, (group + 1) * u->m) - b.row;
        const pitot_real *input = unfolded(u, n, group, channel, last - channel, room);
        conv_product(u, n, &b, input + (b.column - channel * area) * use_positions(u), alpha, add, out);
        out += b.rows * b.columns;
    }
}

static void scale_make(const sweep_use *u, int64_t n, int64_t begin, int64_t end, double alpha, int add, pitot_real *out) {
    const pitot_real *a = u->a + n * u->a_sample + begin, *g = u->g + n * u->g_sample + begin;
    for (int64_t t = 0; t < u->t; t++)
        add_products(g + t * u->g_position, a + t * u->a_position, end - begin, (pitot_real)alpha, add || t, out);
}

static void sum_make(const sweep_use *u, int64_t n, int64_t begin, int64_t end, double alpha, int add, pitot_real *out) {
    const pitot_real *g = u->g + n * u->g_sample + begin * u->g_value;
    if (u->g_value == 1)
        for (int64_t t = 0; t < u->t; t++) add_values(g + t * u->g_position, end - begin, (pitot_real)alpha, add || t, out);
    else
        for (int64_t i = 0; i < end - begin; i++, g += u->g_value) {
            double all = u->g_position == 1 ? sum_run(g, u->t) : sum_strided(g, u->t, u->g_position);
            out[i] = (pitot_real)(alpha * all) + (add ? out[i] : 0);
        }
}

void tile_make(const sweep_use *u, int64_t n, int64_t begin, int64_t end, double alpha, int add, const tile_room *room,
               pitot_real *out) {
    if (u->kind == SWEEP_LINEAR) linear_make(u, n, begin, end, alpha, add, out);
    else if (u->kind == SWEEP_CONV) conv_make(u, n, begin, end, alpha, add, room, out);
    else if (u->kind == SWEEP_SCALE) scale_make(u, n, begin, end, alpha, add, out);
    else if (u->kind == SWEEP_SUM) sum_make(u, n, begin, end, alpha, add, out);
    else add_values(u->g + n * u->g_sample + begin, end - begin, (pitot_real)alpha, add, out);
}

void tile_block(const sweep_use *u, int64_t n, const matrix_block *b, int64_t width, double alpha, int add, const tile_room *room,
                pitot_real *out) {
    int64_t run = b->columns == width ? b->rows * width : b->columns;
    if (u->kind == SWEEP_LINEAR && use_width(u) == width) linear_block(u, n, b, alpha, add, out);
    else if (u->kind == SWEEP_CONV && use_width(u) == width) conv_block(u, n, b, alpha, add, room, out);
    else
        for (int64_t k = 0; k < b->rows * b->columns; k += run) {
            int64_t begin = (b->row + k / b->columns) * width + b->column;
            tile_make(u, n, begin, begin + run, alpha, add, room, out + k);
        }
}
