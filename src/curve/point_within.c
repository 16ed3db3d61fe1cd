/* point_within.c: see point_within.h. Products are cut along the wider side of their results, one slice a thread, as linear.c does. */

#include "curve/point_within.h"

#include "base/blas.h"
#include "base/threads.h"
#include "pitot/hot.h"

#include <string.h>

enum { GRAIN = 16 };

typedef struct job {
    const slim *w;
    const span *s;
    const pitot_real *x;
    pitot_real *y;
} job;

static void run(int threads, const job *j, int64_t width, thread_task task) {
    threads_run(threads, (width + GRAIN - 1) / GRAIN, task, (void *)(uintptr_t)j);
}

static int64_t slice(int64_t begin, int64_t end, int64_t width, int64_t *from) {
    *from = begin * GRAIN;
    return (end * GRAIN < width ? end * GRAIN : width) - *from;
}

/* ---- tangents ---- */

/* Yt = A Q' X' + At W' + bt, columns from..from+n */
static void tangent_slice(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    const span *s = j->s;
    int64_t from, n = slice(begin, end, w->dout, &from);
    pitot_real *yt = s->yt + from;
    (void)thread;
    for (int64_t k = 0; s->bias_t && k < s->n; k++) memcpy(yt + k * w->dout, s->bias_t + from, (size_t)n * sizeof *yt);
    blas_gemm(0, 1, s->n, n, w->r, 1, w->a, w->r, s->weight_t + from * w->r, w->r, s->bias_t ? 1 : 0, yt, w->dout);
    if (s->xt[0]) blas_gemm(0, 1, s->n, n, w->din, 1, s->xt[0], w->din, s->weight + from * w->din, w->din, 1, yt, w->dout);
}

static void tangent(const node *n, const span *s) {
    const slim *w = n->attributes;
    run(s->threads, &(job){ .w = w, .s = s }, w->dout, tangent_slice);
}

/* ---- and back ---- */

PITOT_HOT static void sum_rows(const pitot_real *dy, int64_t rows, int64_t ld, int64_t columns, pitot_real *sum) {
    memset(sum, 0, (size_t)columns * sizeof *sum);
    for (int64_t k = 0; k < rows; k++)
        for (int64_t i = 0; i < columns; i++) sum[i] += dy[k * ld + i];
}

/* At Q', columns from..from+n; U X - Y Q', so that what Y should not have along Q does nothing. */
static void small_slice(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    const span *s = j->s;
    int64_t from, n = slice(begin, end, w->r, &from);
    (void)thread;
    blas_gemm(0, 1, s->n, n, w->din, 1, s->xt[0], w->din, w->q + from * w->din, w->din, 0, w->at_q + from, w->r);
    blas_gemm(0, 0, w->r, n, w->dout, 1, w->u, w->dout, s->weight_t + from, w->r, 0, w->ux + from, w->r);
    blas_gemm(0, 1, w->r, n, w->din, -1, s->weight_t + w->r * w->dout, w->din, w->q + from * w->din, w->din, 1, w->ux + from, w->r);
}

/* dX = Gt'A Q' + G'At Q', rows from..from+n; db. */
static void weight_slice(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    const span *s = j->s;
    int64_t from, n = slice(begin, end, w->dout, &from);
    (void)thread;
    blas_gemm(1, 0, n, w->r, s->n, 1, s->dy + from, w->dout, w->a, w->r, 0, s->dweight + from * w->r, w->r);
    if (w->u && s->g) blas_gemm(1, 0, n, w->r, s->n, 1, s->g + from, w->dout, w->at_q, w->r, 1, s->dweight + from * w->r, w->r);
    if (s->dbias) sum_rows(s->dy + from, s->n, w->dout, n, s->dbias + from);
}

/* dY = U G'At (I - Q'Q), columns from..from+n. */
static void other_side(const slim *w, const span *s, int64_t from, int64_t n) {
    for (int64_t k = 0; k < s->n; k++)
        memcpy(w->rest + k * w->din + from, s->xt[0] + k * w->din + from, (size_t)n * sizeof *w->rest);
    blas_gemm(0, 0, s->n, n, w->r, -1, w->at_q, w->r, w->q + from, w->din, 1, w->rest + from, w->din);
    blas_gemm(1, 0, w->r, n, s->n, 1, w->g, w->r, w->rest + from, w->din, 0, s->dweight + w->r * w->dout + from, w->din);
}

/* dA = Gt W + G U' (U X Q + Y), columns from..from+n; dY. */
static void input_slice(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    const span *s = j->s;
    int64_t from, n = slice(begin, end, w->din, &from);
    (void)thread;
    blas_gemm(0, 0, s->n, n, w->dout, 1, s->dy, w->dout, s->weight + from, w->din, 0, s->dx[0] + from, w->din);
    if (!s->g) return;
    const pitot_real *y = s->weight_t + w->r * w->dout;
    for (int64_t k = 0; k < w->r; k++) memcpy(w->s + k * w->din + from, y + k * w->din + from, (size_t)n * sizeof *y);
    blas_gemm(0, 0, w->r, n, w->r, 1, w->ux, w->r, w->q + from, w->din, 1, w->s + from, w->din);
    blas_gemm(0, 0, s->n, n, w->r, 1, w->g, w->r, w->s + from, w->din, 1, s->dx[0] + from, w->din);
    other_side(w, s, from, n);
}

static void backward(const node *n, const span *s) {
    const slim *w = n->attributes;
    job j = { .w = w, .s = s };
    if (w->u && s->g) run(s->threads, &j, w->r, small_slice);
    if (w->u && !s->g) memset(s->dweight + w->r * w->dout, 0, (size_t)(w->r * w->din) * sizeof *s->dweight);
    run(s->threads, &j, w->dout, weight_slice);
    if (w->u) run(s->threads, &j, w->din, input_slice);
}

const op slim_op = {
    .name = "linear", .flags = OP_WHOLE_BATCH, .tangent = tangent, .backward = backward, .tangent_backward = backward
};

/* ---- vectors ---- */

/* Rows of X = V Q'. */
static void restrict_rows(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    int64_t from, n = slice(begin, end, w->dout, &from);
    (void)thread;
    blas_gemm(0, 1, n, w->r, w->din, 1, j->x + from * w->din, w->din, w->q, w->din, 0, j->y + from * w->r, w->r);
}

/* Columns of U X. */
static void along_slice(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    int64_t from, n = slice(begin, end, w->r, &from);
    (void)thread;
    blas_gemm(0, 0, w->r, n, w->dout, 1, w->u, w->dout, j->y + from, w->r, 0, w->ux + from, w->r);
}

/* Columns of Y = U V - U X Q; U X is there. */
static void restrict_columns(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    int64_t from, n = slice(begin, end, w->din, &from);
    pitot_real *y = j->y + w->r * w->dout + from;
    (void)thread;
    blas_gemm(0, 0, w->r, n, w->dout, 1, w->u, w->dout, j->x + from, w->din, 0, y, w->din);
    blas_gemm(0, 0, w->r, n, w->r, -1, w->ux, w->r, w->q + from, w->din, 1, y, w->din);
}

void slim_restrict(const slim *w, int threads, const pitot_real *x, pitot_real *y) {
    job j = { .w = w, .x = x, .y = y };
    run(threads, &j, w->dout, restrict_rows);
    if (!w->u) return;
    run(threads, &j, w->r, along_slice);
    run(threads, &j, w->din, restrict_columns);
}

/* Rows of V = X Q + U'Y. */
static void lift_rows(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    int64_t from, n = slice(begin, end, w->dout, &from);
    pitot_real *y = j->y + from * w->din;
    (void)thread;
    blas_gemm(0, 0, n, w->din, w->r, 1, j->x + from * w->r, w->r, w->q, w->din, 0, y, w->din);
    if (w->u) blas_gemm(1, 0, n, w->din, w->r, 1, w->u + from, w->dout, j->x + w->r * w->dout, w->din, 1, y, w->din);
}

/* Columns of Y Q'. */
static void beside_slice(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    int64_t from, n = slice(begin, end, w->r, &from);
    (void)thread;
    blas_gemm(0, 1, w->r, n, w->din, 1, j->y + w->r * w->dout, w->din, w->q + from * w->din, w->din, 0, w->ux + from, w->r);
}

/* Y -= Y Q'Q, columns; Y Q' is there. */
static void project_columns(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const slim *w = j->w;
    int64_t from, n = slice(begin, end, w->din, &from);
    pitot_real *y = j->y + w->r * w->dout + from;
    (void)thread;
    blas_gemm(0, 0, w->r, n, w->r, -1, w->ux, w->r, w->q + from, w->din, 1, y, w->din);
}

void slim_project(const slim *w, int threads, pitot_real *y) {
    job j = { .w = w, .y = y };
    if (!w->u) return;
    run(threads, &j, w->r, beside_slice);
    run(threads, &j, w->din, project_columns);
}

void slim_lift(const slim *w, int threads, const pitot_real *x, pitot_real *y) {
    run(threads, &(job){ .w = w, .x = x, .y = y }, w->dout, lift_rows);
}
