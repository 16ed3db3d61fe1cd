/* factor_apply.c: V c for several vectors c at once. At each layer the columns of a sample are added up first, then go into the gradient
   of the weight as one would: of a linear layer one product over all samples, of a convolution one over all vectors for each sample. */

#include "net/factor.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"
#include "net/conv.h"

#include <string.h>

typedef struct applying {
    const factor *f;
    const int64_t *at;
    int64_t rows, ld;
    const pitot_real *c; /* (n, rows, m), scaled */
    pitot_real *out;
    int32_t k;
    const pitot_real *x; /* linear: (n, in) */
    pitot_real *w;       /* linear: (n, rows, out); convolution: (threads, rows, out) */
    pitot_real *sums;    /* convolution: (threads, weight, bias) of all rows */
    pitot_real *unfolded;
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

static int64_t sums_size(const applying *j, const conv *c) {
    return j->rows * c->groups * c->m * (c->k + 1);
}

static void add_positions(const pitot_real *w, int64_t rows, int64_t positions, pitot_real *to) {
    for (int64_t i = 0; i < rows; i++, w += positions) {
        double sum = 0;
        for (int64_t p = 0; p < positions; p++) sum += (double)w[p];
        to[i] += (pitot_real)sum;
    }
}

/* Sums (rows, groups m, K) += W U', bias sums behind them */
static void conv_samples(void *job, int64_t begin, int64_t end, int thread) {
    const applying *j = job;
    const node *d = &j->f->net->node[j->k];
    conv c = conv_of(d);
    int64_t out = d->out.size, channels = c.groups * c.m, plane = c.w.channels * c.w.in[0] * c.w.in[1];
    pitot_real *w = j->w + thread * j->rows * out, *u = j->unfolded + thread * c.k * c.p,
               *sums = j->sums + thread * sums_size(j, &c);
    for (int64_t i = begin; i < end; i++) {
        span s = walk_span(j->f->net, j->k, j->f->sample[i], 1, 0);
        add_columns(j, i, w);
        add_positions(w, j->rows * channels, c.p, sums + j->rows * channels * c.k);
        for (int64_t g = 0; g < c.groups; g++) {
            window_unfold(&c.w, s.x[0] + g * plane, u, c.p);
            int64_t together = c.groups == 1 ? j->rows : 1;
            for (int64_t r = 0; r < j->rows; r += together)
                blas_gemm(0, 1, together * c.m, c.k, c.p, 1, w + r * out + g * c.m * c.p, c.p, u, c.p, 1,
                          sums + (r * channels + g * c.m) * c.k, c.k);
        }
    }
}

static void gather_sums(const applying *j, const conv *c) {
    int64_t channels = c->groups * c->m;
    for (int64_t r = 0; r < j->rows; r++) {
        const buffers *b = &j->f->net->buffer[j->k];
        pitot_real *weight = place(j, r, b->weight), *bias = place(j, r, b->bias);
        for (int64_t i = 0; weight && i < channels * c->k; i++) weight[i] = 0;
        for (int64_t i = 0; bias && i < channels; i++) bias[i] = 0;
        for (int t = 0; t < j->f->net->threads; t++) {
            const pitot_real *sums = j->sums + t * sums_size(j, c);
            for (int64_t i = 0; weight && i < channels * c->k; i++) weight[i] += sums[r * channels * c->k + i];
            for (int64_t i = 0; bias && i < channels; i++) bias[i] += sums[(j->rows * c->k + r) * channels + i];
        }
    }
}

static int convolution(applying *j) {
    const factor *f = j->f;
    conv c = conv_of(&f->net->node[j->k]);
    int64_t threads = f->net->threads;
    j->w = mem_alloc(threads * j->rows, (size_t)f->net->node[j->k].out.size * sizeof *j->w);
    j->sums = mem_alloc(threads, (size_t)sums_size(j, &c) * sizeof *j->sums);
    j->unfolded = mem_alloc(threads, (size_t)(c.k * c.p) * sizeof *j->unfolded);
    int ready = j->w && j->sums && j->unfolded;
    if (ready) {
        threads_run(f->net->threads, f->n, conv_samples, j);
        gather_sums(j, &c);
    }
    mem_free(j->w);
    mem_free(j->sums);
    mem_free(j->unfolded);
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
