/* plain.c: see plain.h: what is done when, and where it lies. */

#include "sweep/plain.h"

#include "base/blas.h"
#include "pitot/hot.h"
#include "base/threads.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 16, HEAD = 25, MOST_EXPONENT = 120, MODERATE = 40, MODERATE_Q = 70, MOST_OF_Q = 100 };

static const double FEW = 0.8; /* of the values: so many entries cost less than all */

int plain_fits(const sweep_target *t) {
    const sweep_use *u = t->use;
    return t->n_uses == 1 && u->kind == SWEEP_LINEAR && u->t == 1 && u->a_sample >= u->din && u->g_sample >= u->dout;
}

static plain plain_of(const sweep_job *job, const sweep_target *t) {
    const sweep_use *u = t->use;
    plain p = { .job = job, .t = t, .scale = job->scale * u->scale };
    factor a = { .x = u->a, .d = u->din, .ld = u->a_sample }, g = { .x = u->g, .d = u->dout, .ld = u->g_sample };
    p.left = u->transposed ? a : g;
    p.right = u->transposed ? g : a;
    p.kernel = panel_choose(job->kernel);
    p.left.panel = p.kernel ? PANEL_ROWS : most(1, p.left.d);
    p.right.panel = p.kernel ? PANEL_COLUMNS : most(1, p.right.d);
    p.g = grid_of(p.left.d, p.right.d);
    p.gram = gram_pays(job->n, p.left.d, p.right.d);
    p.curves = job->wants & SWEEP_CURVATURE && sweep_curves(t, job->n);
    p.gather = panel_choose_gather(job->kernel);
    double values = job->wants & SWEEP_MOMENTS ? 2 * (double)t->size : 4 * (double)(u->din + u->dout);
    p.threads = sweep_threads(job, (double)job->n * values, INT32_MAX);
    return p;
}

int64_t plain_tiles(const sweep_target *t) {
    const sweep_use *u = t->use;
    grid g = u->transposed ? grid_of(u->din, u->dout) : grid_of(u->dout, u->din);
    return g.across == 1 ? g.down : (u->transposed ? u->din : u->dout) * g.across;
}

static void lay_out_factor(const sweep_job *job, factor *f, arena *a) {
    int along = (job->wants & SWEEP_ALONG) != 0, moments = (job->wants & SWEEP_MOMENTS) != 0;
    f->norm = arena_take(a, 1, job->n, sizeof *f->norm);
    f->copy = arena_take(a, along * job->n, f->d, sizeof *f->copy);
    f->square = arena_take(a, moments * job->n, whole(f->d, f->panel), sizeof *f->square);
}

static void lay_out(plain *p, arena *a) {
    int along = (p->job->wants & SWEEP_ALONG) != 0, moments = (p->job->wants & SWEEP_MOMENTS) != 0;
    int64_t n = p->job->n, block = moments * to_lines(p->g.rows * p->g.columns);
    lay_out_factor(p->job, &p->left, a);
    lay_out_factor(p->job, &p->right, a);
    p->along = arena_take(a, along, n, sizeof *p->along);
    p->deviation = arena_take(a, along, n, sizeof *p->deviation);
    p->part = arena_take(a, along * p->threads, to_lines(n), sizeof *p->part);
    p->products = arena_take(a, along * p->threads, along_room(), sizeof *p->products);
    p->variance = arena_take(a, p->threads, block, sizeof *p->variance);
    p->mean = arena_take(a, p->threads, block, sizeof *p->mean);
    p->norm_q = arena_take(a, p->curves, n, sizeof *p->norm_q);
    p->q = arena_take(a, p->curves * n, whole(p->left.d, p->left.panel), sizeof *p->q);
    p->curvature = arena_take(a, p->curves * p->threads, block, sizeof *p->curvature);
    int64_t gathers = p->curves && p->gather, columns = whole(p->left.d, PANEL_ROWS);
    p->entry = arena_take(a, gathers * columns, n, sizeof *p->entry);
    p->entries = arena_take(a, gathers * parts(n, RUN), columns, sizeof *p->entries);
}

static factor *smaller(plain *p) {
    return p->left.d < p->right.d ? &p->left : &p->right;
}

void plain_work(const sweep_job *job, const sweep_target *t, arena *a) {
    plain p = plain_of(job, t);
    lay_out(&p, a);
    a->used = 0;
    arena_take(a, job->n, smaller(&p)->d, sizeof *p.products); /* of a weighted sum */
}

/* ---- norms, copies ---- */

static void norm_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    (void)thread;
    for (int64_t n = begin; n < end; n++) {
        p->left.norm[n] = loop_square(p->left.x + n * p->left.ld, p->left.d);
        p->right.norm[n] = loop_square(p->right.x + n * p->right.ld, p->right.d);
        if (p->curves) p->norm_q[n] = loop_square(p->t->q + n * p->left.d, p->left.d);
    }
}

/* Of the longest finite vector: its length is below 2 to this. */
static int exponent_of(const double *norm, int64_t n) {
    double longest = 0;
    int e;
    for (int64_t i = 0; i < n; i++)
        if (norm[i] > longest && isfinite(norm[i])) longest = norm[i];
    frexp(sqrt(longest), &e);
    return e;
}

static void choose_exponents(factor *f, int64_t n) {
    int e = exponent_of(f->norm, n), moderate = e > -MODERATE && e < MODERATE;
    f->exponent = (int)most(-MOST_EXPONENT, least(HEAD - e, MOST_EXPONENT));
    f->y = moderate ? f->x : f->copy;
    f->ld_y = moderate ? f->ld : f->d;
    f->exponent_y = moderate ? 0 : f->exponent;
}

/* Best is what the right factor's exponent makes up for: then sums are what is wanted. */
static void choose_exponent_of_q(plain *p) {
    int scale, e = exponent_of(p->norm_q, p->job->n), back = -2 * p->right.exponent;
    frexp(p->t->q_scale, &scale);
    e += scale;
    int moderate = e + back > -MODERATE_Q && e + back < MODERATE_Q && e > -MODERATE_Q && e < MODERATE_Q;
    p->exponent_q = moderate ? back : (int)most(-MOST_OF_Q, least(2 * HEAD - e, MOST_OF_Q));
}

PITOT_HOT static void copy_scaled(const pitot_real *x, pitot_real power, int64_t n, pitot_real *copy) {
    for (int64_t i = 0; i < n; i++) copy[i] = power * x[i];
}

/* Samples begin..end. */
static void copy_factor(const factor *f, const sweep_job *job, int64_t begin, int64_t end) {
    pitot_real power = (pitot_real)ldexp(1, f->exponent);
    for (int64_t n = begin; job->wants & SWEEP_ALONG && f->y == f->copy && n < end; n++)
        copy_scaled(f->x + n * f->ld, power, f->d, f->copy + n * f->d);
    for (int64_t i = 0; job->wants & SWEEP_MOMENTS && i < f->d; i += f->panel)
        panel_square(f->x + begin * f->ld + i, f->ld, end - begin, least(f->panel, f->d - i), f->panel, power,
                     f->square + i * job->n + begin * f->panel);
}

/* By a power of two more than its scale alone: the same bits, where these are in range. */
static void copy_q(const plain *p, int64_t begin, int64_t end) {
    pitot_real by = (pitot_real)ldexp((double)(pitot_real)p->t->q_scale, p->exponent_q);
    int64_t d = p->left.d, panel = p->left.panel;
    for (int64_t i = 0; i < d; i += panel)
        panel_scale(p->t->q + begin * d + i, d, end - begin, least(panel, d - i), panel, by, p->q + i * p->job->n + begin * panel);
}

/* A few samples at a time: their rows stay in cache from panel to panel. */
static void copy_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    (void)thread;
    for (int64_t n = begin; n < end; n += GRAIN) {
        copy_factor(&p->left, p->job, n, least(n + GRAIN, end));
        copy_factor(&p->right, p->job, n, least(n + GRAIN, end));
        if (p->curves) copy_q(p, n, least(n + GRAIN, end));
    }
}

/* ---- entries ---- */

/* Of one panel, RUN samples at most; l, q: its first. */
static void list_run(const plain *p, const pitot_real *l, const pitot_real *q, int64_t samples, panel_entry *entry,
                     int32_t *entries) {
    int32_t count[PANEL_ROWS] = { 0 }, at = 0;
    for (int64_t k = 0; k < samples; k++, l += PANEL_ROWS, q += PANEL_ROWS, at += PANEL_COLUMNS)
        for (int i = 0; i < PANEL_ROWS; i++) {
            entry[i * p->job->n + count[i]] = (panel_entry){ at, { l[i], q[i] } };
            count[i] += (l[i] != 0) | (q[i] != 0);
        }
    memcpy(entries, count, sizeof count);
}

static void list_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    int64_t n = p->job->n, columns = whole(p->left.d, PANEL_ROWS);
    (void)thread;
    for (int64_t i = begin * PANEL_ROWS; i < end * PANEL_ROWS; i += PANEL_ROWS)
        for (int64_t run = 0, k = 0; k < n; run++, k += RUN)
            list_run(p, p->left.square + i * n + k * PANEL_ROWS, p->q + i * n + k * PANEL_ROWS, least(RUN, n - k),
                     p->entry + i * n + k, p->entries + run * columns + i);
}

/* What is not finite in R is not left out where it meets a 0. */
static int lists_entries(plain *p) {
    int64_t n = p->job->n, columns = whole(p->left.d, PANEL_ROWS), count = 0;
    if (!p->curves || !p->gather || !p->kernel) return 0;
    for (int64_t k = 0; k < n; k++)
        if (!isfinite(p->right.norm[k])) return 0;
    threads_run(p->threads, columns / PANEL_ROWS, list_task, p);
    for (int64_t i = 0; i < parts(n, RUN) * columns; i++) count += p->entries[i];
    return (double)count < FEW * (double)n * (double)p->left.d;
}

/* ---- the walk ---- */

static void share_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    int64_t blocks = p->g.down * p->g.across;
    if (p->job->wants & SWEEP_ALONG && !p->gram) along_task(job, begin, end, thread);
    if (p->job->wants & SWEEP_MOMENTS) block_task(job, blocks * begin / p->threads, blocks * end / p->threads, thread);
}

static void add_squares(const plain *p) {
    for (int64_t n = 0; n < p->job->n; n++) p->job->square[n] += p->scale * p->scale * p->left.norm[n] * p->right.norm[n];
}

static void add_along(plain *p) {
    int64_t n = p->job->n;
    if (along_finish(p)) threads_run(p->threads, n, deviation_task, p);
    for (int64_t i = 0; i < n; i++) {
        p->job->along[i] += p->along[i];
        p->job->deviation[i] += p->deviation[i];
    }
}

void plain_run(const sweep_job *job, int32_t target, arena *a) {
    plain p = plain_of(job, &job->target[target]);
    p.index = target;
    lay_out(&p, a);
    p.curves = p.curves && p.t->q;
    if (p.t->size <= 0 || !(job->wants & (SWEEP_NORMS | SWEEP_ALONG | SWEEP_MOMENTS))) return;
    threads_run(p.threads, job->n, norm_task, &p);
    choose_exponents(&p.left, job->n);
    choose_exponents(&p.right, job->n);
    if (p.curves) choose_exponent_of_q(&p);
    if (job->wants & SWEEP_NORMS) add_squares(&p);
    if (!(job->wants & (SWEEP_ALONG | SWEEP_MOMENTS))) return;
    if (job->wants & SWEEP_MOMENTS || p.left.exponent_y || p.right.exponent_y) threads_run(p.threads, job->n, copy_task, &p);
    if (job->wants & SWEEP_MOMENTS) p.sparse = lists_entries(&p);
    if (job->wants & SWEEP_ALONG && p.gram) gram_products(&p);
    threads_run(p.threads, p.threads, share_task, &p);
    if (job->wants & SWEEP_ALONG) add_along(&p);
}

/* ---- the sum: L'R, cut along its larger side ---- */

typedef struct sum_job {
    plain p;
    pitot_real *out;
} sum_job;

static void sum_task(void *job, int64_t begin, int64_t end, int thread) {
    const sum_job *s = job;
    const factor *l = &s->p.left, *r = &s->p.right;
    int down = l->d >= r->d;
    int64_t from = begin * GRAIN, size = least(end * GRAIN, down ? l->d : r->d) - from;
    const pitot_real *left = l->x + (down ? from : 0), *right = r->x + (down ? 0 : from);
    pitot_real *out = s->out + from * (down ? r->d : 1);
    (void)thread;
    blas_gemm(1, 0, down ? size : l->d, down ? r->d : size, s->p.job->n, s->p.scale, left, l->ld, right, r->ld, 0, out, r->d);
}

/* f (n,d), row n multiplied by weight[n] */
static void weigh(factor *f, const double *weight, int64_t n, arena *a) {
    pitot_real *x = arena_take(a, n, f->d, sizeof *x);
    for (int64_t k = 0; k < n; k++) loop_scale(f->x + k * f->ld, weight[k], f->d, x + k * f->d);
    f->x = x;
    f->ld = f->d;
}

void plain_sum(const sweep_job *job, const sweep_target *t, const double *weight, arena *a, pitot_real *out) {
    sum_job s = { plain_of(job, t), out };
    double flops = 2 * (double)job->n * (double)t->size;
    if (weight) weigh(smaller(&s.p), weight, job->n, a);
    threads_run(sweep_threads(job, flops, INT32_MAX), parts(most(s.p.left.d, s.p.right.d), GRAIN), sum_task, &s);
}
