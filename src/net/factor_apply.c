/* factor_apply.c: V c for several vectors c at once. At each layer the columns of a sample are added up first, then go into the gradient
   of the weight as one would: of a linear layer one product over all samples, of a convolution, for each output channel, one over the
   entries of a few samples. */

#include "net/factor_conv.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct applying {
    const factor *f;
    const int64_t *at;
    int64_t rows, ld;
    const pitot_real *c; /* (n, rows, m), scaled */
    pitot_real *out;
    int32_t k;
    const pitot_real *x; /* linear: (n, in) */
    pitot_real *w;       /* linear: (n, rows, out) */
    const forming *how;  /* convolution */
    pitot_real *sums;    /* convolution: (threads, weight, bias) of all rows, K in the order of its tiles */
    pitot_real *turned;  /* convolution: (threads, FORM_SLOTS, m, GATHER_ROWS): coefficients of some rows */
} applying;

static pitot_real *place(const applying *j, int64_t row, int32_t param) {
    return param < 0 || j->at[param] < 0 ? NULL : j->out + row * j->ld + j->at[param];
}

/* (rows, out) = c_n (rows, m) S_n (m, out) */
static void add_columns(const applying *j, int64_t sample, pitot_real *to) {
    const factor *f = j->f;
    int64_t out = f->net->node[j->k].out.size;
    blas_gemm(0, 0, j->rows, out, f->m, 1, j->c + sample * j->rows * f->m, f->m, f->s[j->k] + sample * f->m * out, out, 0, to, out);
}

/* ---- linear ---- */

static void add_all_columns(void *job, int64_t begin, int64_t end, int thread) {
    const applying *j = job;
    (void)thread;
    for (int64_t i = begin; i < end; i++) add_columns(j, i, j->w + i * j->rows * j->f->net->node[j->k].out.size);
}

/* dW = W' A, db = column sums of W */
static void linear_rows(void *job, int64_t begin, int64_t end, int thread) {
    const applying *j = job;
    const node *d = &j->f->net->node[j->k];
    const buffers *b = &j->f->net->buffer[j->k];
    int64_t in = d->in[0].size, out = d->out.size, ld = j->rows * out;
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const pitot_real *w = j->w + r * out;
        pitot_real *weight = place(j, r, b->weight), *bias = place(j, r, b->bias);
        if (weight) blas_gemm(1, 0, out, in, j->f->n, 1, w, ld, j->x, in, 0, weight, in);
        for (int64_t i = 0; bias && i < out; i++) {
            double sum = 0;
            for (int64_t n = 0; n < j->f->n; n++) sum += (double)w[n * ld + i];
            bias[i] = (pitot_real)sum;
        }
    }
}

static int linear(applying *j) {
    const factor *f = j->f;
    const node *d = &f->net->node[j->k];
    pitot_real *inputs = mem_alloc(f->n, (size_t)d->in[0].size * sizeof *inputs);
    j->w = mem_alloc(f->n * j->rows, (size_t)d->out.size * sizeof *j->w);
    int ready = inputs && j->w;
    if (ready) {
        j->x = factor_inputs(f, j->k, inputs);
        threads_run(f->net->threads, f->n, add_all_columns, j);
        threads_run(f->net->threads, j->rows, linear_rows, j);
    }
    mem_free(inputs);
    mem_free(j->w);
    return ready;
}

/* ---- convolution ---- */

static int64_t sums_size(const applying *j) {
    const conv *c = &j->how->c;
    return j->rows * c->groups * c->m * (c->k + 1);
}

/* c (m, width) of rows first..first+rows, zeros behind them */
static void turn(const applying *j, int64_t sample, int64_t first, int64_t rows, int64_t width, pitot_real *to) {
    const pitot_real *from = j->c + (sample * j->rows + first) * j->f->m;
    for (int64_t m = 0; m < j->f->m; m++)
        for (int64_t r = 0; r < width; r++) to[m * width + r] = r < rows ? from[r * j->f->m + m] : 0;
}

PITOT_HOT static void add_to(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* Sums (rows, channels, K) and (rows, channels) of the bias behind them += those of samples first..first+n, for rows from..from+rows. */
static void add_some(const applying *j, int64_t first, int64_t n, int64_t from, int64_t rows, int thread) {
    const factor *f = j->f;
    const conv *c = &j->how->c;
    int64_t channels = c->groups * c->m, plane = c->w.channels * c->w.in[0] * c->w.in[1], width = gather_rows(rows);
    pitot_real *sums = j->sums + thread * sums_size(j), *bias = sums + j->rows * channels * c->k;
    form_sums of = { .samples = n, .next = channels * c->p, .columns = f->m, .rows = width };
    for (int64_t i = 0; i < n; i++) {
        pitot_real *turned = j->turned + (thread * FORM_SLOTS + i) * f->m * GATHER_ROWS;
        turn(j, first + i, from, rows, width, turned);
        of.c[i] = turned;
    }
    for (int64_t k = 0; k < channels; k++) {
        for (int64_t i = 0; i < n; i++) {
            span s = walk_span(f->net, j->k, f->sample[first + i], 1, 0);
            if (k % c->m == 0) form_image(j->how, s.x[0] + k / c->m * plane, i, thread);
            of.s[i] = f->s[j->k] + (first + i) * f->m * of.next + k * c->p;
        }
        memset(of.bias, 0, sizeof of.bias);
        const pitot_real *tile = form_sum(j->how, &of, thread);
        for (int64_t r = 0; r < rows; r++) {
            add_to(sums + ((from + r) * channels + k) * c->k, tile + r * j->how->ld, c->k);
            bias[(from + r) * channels + k] += (pitot_real)of.bias[r];
        }
    }
}

static void conv_samples(void *job, int64_t begin, int64_t end, int thread) {
    const applying *j = job;
    for (int64_t i = begin, n; i < end; i += n) {
        n = end - i < j->how->slots ? end - i : j->how->slots;
        for (int64_t r = 0, rows; r < j->rows; r += rows) {
            rows = j->rows - r < GATHER_ROWS ? j->rows - r : GATHER_ROWS;
            add_some(j, i, n, r, rows, thread);
        }
    }
}

/* A channel's weights (channels, kernel) += its sums (kernel, channels) */
static void add_channel(pitot_real *to, const pitot_real *from, const conv *c) {
    int64_t kernel = c->k / c->w.channels;
    for (int64_t i = 0; i < c->w.channels; i++)
        for (int64_t k = 0; k < kernel; k++) to[i * kernel + k] += from[k * c->w.channels + i];
}

static void gather_row(const applying *j, int64_t row, const pitot_real *sums) {
    const conv *c = &j->how->c;
    const buffers *b = &j->f->net->buffer[j->k];
    int64_t channels = c->groups * c->m;
    pitot_real *weight = place(j, row, b->weight), *bias = place(j, row, b->bias);
    for (int64_t i = 0; weight && i < channels; i++) add_channel(weight + i * c->k, sums + (row * channels + i) * c->k, c);
    if (bias) add_to(bias, sums + (j->rows * c->k + row) * channels, channels);
}

/* Threads' sums, in their order. */
static void gather_rows_of(void *job, int64_t begin, int64_t end, int thread) {
    const applying *j = job;
    const pitot_net *net = j->f->net;
    const int32_t of[] = { net->buffer[j->k].weight, net->buffer[j->k].bias };
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        for (int i = 0; i < 2; i++)
            if (place(j, r, of[i])) memset(place(j, r, of[i]), 0, (size_t)net->param[of[i]].size * sizeof *j->out);
        for (int t = 0; t < net->threads; t++) gather_row(j, r, j->sums + t * sums_size(j));
    }
}

static int convolution(applying *j) {
    const factor *f = j->f;
    int64_t threads = f->net->threads;
    forming how;
    int ready = form_begin(&how, &f->net->node[j->k], f->net->threads, FORM_SLOTS);
    j->how = &how;
    j->sums = mem_alloc(threads, (size_t)sums_size(j) * sizeof *j->sums);
    j->turned = mem_alloc(threads * FORM_SLOTS, (size_t)(f->m * GATHER_ROWS) * sizeof *j->turned);
    ready = ready && j->sums && j->turned;
    if (ready) {
        threads_run(f->net->threads, f->n, conv_samples, j);
        threads_run(f->net->threads, j->rows, gather_rows_of, j);
    }
    mem_free(j->sums);
    mem_free(j->turned);
    form_end(&how);
    return ready;
}

/* ---- the whole ---- */

/* Zeros for parameters that the output does not depend on. */
static void clear(const applying *j) {
    const pitot_net *net = j->f->net;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        if (j->f->s[k] && j->f->columns > 0) continue;
        for (int64_t r = 0; r < 2 * j->rows; r++) {
            pitot_real *to = place(j, r / 2, of[r % 2]);
            if (to) memset(to, 0, (size_t)net->param[of[r % 2]].size * sizeof *to);
        }
    }
}

static pitot_real *coefficients(const factor *f, int64_t rows, const double *c) {
    pitot_real *to = mem_alloc(f->columns, (size_t)rows * sizeof *to);
    for (int64_t j = 0; to && j < f->n; j++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t m = 0; m < f->m; m++)
                to[(j * rows + r) * f->m + m] = (pitot_real)(f->scale * c[r * f->columns + j * f->m + m]);
    return to;
}

int32_t factor_apply(const factor *f, const int64_t *at, int64_t rows, const double *c, pitot_real *out, int64_t ld) {
    pitot_real *scaled = coefficients(f, rows, c);
    int ready = scaled != NULL;
    applying j = { .f = f, .at = at, .rows = rows, .ld = ld, .c = scaled, .out = out };
    clear(&j);
    for (j.k = 0; ready && j.k < f->net->n_nodes && f->columns > 0; j.k++) {
        const buffers *b = &f->net->buffer[j.k];
        int wanted = f->s[j.k] && ((b->weight >= 0 && at[b->weight] >= 0) || (b->bias >= 0 && at[b->bias] >= 0));
        if (wanted) ready = f->net->node[j.k].op->square_gradient ? convolution(&j) : linear(&j);
    }
    mem_free(scaled);
    return ready ? PITOT_OK : PITOT_ENOMEM;
}
