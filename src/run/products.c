/* products.c: what a step's captures give beside lengths and moments: histograms of all samples' gradient values, products of samples
   with each other and with the update, the layers' inputs. Only for steps that come in one piece. */

#include "base/alloc.h"
#include "base/bulk.h"
#include "base/sums.h"
#include "base/threads.h"
#include "pitot/hot.h"
#include "run/run.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST_BINS = 65536 };

/* ---- histograms ---- */

static int counts_now(const slot *s) {
    return s->due && !s->off && s->probe->bins && s->probe->needs & PITOT_NEED_HISTOGRAM;
}

static int good_axis(int64_t n, double lo, double hi) {
    return n >= 1 && n <= MOST_BINS && isfinite(lo) && isfinite(hi) && lo < hi && isfinite(hi - lo);
}

/* lo + k w as numpy's linspace rounds it */
static void make_edges(int64_t n, double lo, double hi, double *edges) {
    double w = (hi - lo) / (double)n;
    for (int64_t k = 0; k < n; k++) edges[k] = lo + (double)k * w;
    edges[n] = hi;
}

static int prepare_histogram(pitot_run *run, slot *s) {
    sampling *m = &run->sampling;
    pitot_bins *b = &s->bins;
    *b = (pitot_bins){ 0 };
    s->frame = slot_frame(run, s, run->step);
    s->probe->bins(&s->frame, b);
    if (!good_axis(b->n, b->lo, b->hi) || (b->y_n && !good_axis(b->y_n, b->y_lo, b->y_hi)) ||
        b->n * (b->y_n ? b->y_n : 1) > MOST_BINS)
        return slot_waits(s, PITOT_STATE_UNDEFINED, "its bins make no sense: lowest below highest, and at most 65536 in all"), 1;
    int64_t each = b->n * (b->y_n ? b->y_n : 1);
    if (!run_room(run, &s->edges, &s->room_edges, b->n + b->y_n + 2, sizeof *s->edges) ||
        !run_room(run, &s->counts, &s->room_counts, run->n_live * each, sizeof *s->counts) ||
        !run_room(run, &s->by_target, &s->room_by_target, m->n_targets * each, sizeof *s->by_target))
        return sampling_over_budget(run, "histograms"), 0;
    make_edges(b->n, b->lo, b->hi, s->edges);
    if (b->y_n) make_edges(b->y_n, b->y_lo, b->y_hi, s->edges + b->n + 1);
    s->histogram = (pitot_histogram){
        .n = b->n, .y_n = b->y_n, .edges = s->edges, .y_edges = b->y_n ? s->edges + b->n + 1 : NULL, .counts = s->counts
    };
    return 1;
}

static int prepare_histograms(pitot_run *run, sweep_job *job) {
    sampling *m = &run->sampling;
    int32_t n = 0;
    for (int32_t i = 0; i < run->n_slots; i++) {
        run->slot[i].histogram.n = 0;
        if (counts_now(&run->slot[i]) && slot_prepare(run, &run->slot[i]) && !prepare_histogram(run, &run->slot[i])) return 0;
        n += run->slot[i].histogram.n > 0;
    }
    if (n == 0) return 1;
    if (!run_reserve(&m->histogram, 0, n, &m->room_histograms, sizeof *m->histogram) ||
        !run_room(run, &m->largest, &m->room_largest, m->n_targets + run->n_live, sizeof *m->largest))
        return sampling_over_budget(run, "histograms"), 0;
    job->wants |= SWEEP_HISTOGRAMS;
    job->histogram = m->histogram;
    job->largest = m->largest;
    job->counts = m->counted == run->batch.n ? NULL : m->counts + m->listed;
    for (int32_t i = 0; i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        if (s->histogram.n == 0) continue;
        m->histogram[job->n_histograms++] =
            (sweep_histogram){ s->bins.n, s->bins.y_n, s->edges, s->histogram.y_edges, s->by_target };
    }
    return 1;
}

static void finish_histogram(pitot_run *run, slot *s) {
    const sampling *m = &run->sampling;
    int64_t each = s->bins.n * (s->bins.y_n ? s->bins.y_n : 1);
    memset(s->counts, 0, (size_t)(run->n_live * each) * sizeof *s->counts);
    for (int32_t k = 0; k < m->n_targets; k++)
        memcpy(s->counts + m->target[k].tensor * each, s->by_target + k * each, (size_t)each * sizeof *s->counts);
    s->histogram.largest = m->largest + m->n_targets;
}

static void finish_histograms(pitot_run *run) {
    sampling *m = &run->sampling;
    int any = 0;
    for (int32_t i = 0; i < run->n_slots; i++)
        if (run->slot[i].histogram.n) finish_histogram(run, &run->slot[i]), any = 1;
    if (!any) return;
    double *by_tensor = m->largest + m->n_targets;
    memset(by_tensor, 0, (size_t)run->n_live * sizeof *by_tensor);
    for (int32_t k = 0; k < m->n_targets; k++) by_tensor[m->target[k].tensor] = m->largest[k];
}

/* ---- products of samples ---- */

static int prepare_gram(pitot_run *run, sweep_job *job) {
    sampling *m = &run->sampling;
    if (!(run->needs & PITOT_NEED_GRAM)) return 1;
    if (!run_room(run, &m->gram, &m->room_gram, run->batch.n * run->batch.n, sizeof *m->gram))
        return sampling_over_budget(run, "products of all pairs of samples"), 0;
    job->wants |= SWEEP_GRAM;
    job->gram = m->gram;
    m->has_gram = 1;
    return 1;
}

static int aim_along_moved(pitot_run *run) {
    sampling *m = &run->sampling;
    for (int32_t k = 0; k < m->n_targets; k++) {
        const param *p = &run->param[m->target[k].tensor];
        m->target[k].direction = p->moved;
        m->target[k].outer = p->outer;
        if (p->outer.n ? !sweep_outer_fits(&m->target[k], &p->outer) : !p->moved) return 0;
    }
    return run_room(run, &m->projection, &m->room_projection, run->batch.n, sizeof *m->projection);
}

/* The second half of what looks along the last update. */
static void prepare_projection(pitot_run *run, sweep_job *job) {
    int pending = 0;
    for (int32_t i = 0; i < run->n_slots; i++)
        pending |= run->slot[i].probe->needs & PITOT_NEED_PROJECTION && run->slot[i].pending == run->step - 1 && run->step > 0;
    if (!pending || !aim_along_moved(run)) return;
    job->wants |= SWEEP_PROJECTION;
    job->projection = run->sampling.projection;
    run->sampling.has_projection = 1;
}

int products_prepare(pitot_run *run, sweep_job *job) {
    sampling *m = &run->sampling;
    if (m->several) return 1;
    for (int32_t k = 0; k < m->n_targets; k++) m->target[k].values = run->tensor[m->target[k].tensor].data;
    prepare_projection(run, job);
    return prepare_gram(run, job) && (!(run->needs & PITOT_NEED_HISTOGRAM) || prepare_histograms(run, job));
}

void products_finish(pitot_run *run) {
    if (run->sampling.several) return;
    if (run->needs & PITOT_NEED_HISTOGRAM) finish_histograms(run);
    if (run->needs & PITOT_NEED_LAYERS) products_layers(run);
}

/* ---- along the update ---- */

typedef struct descent { /* s = after - before; is it -lr g up to the rounding of theta? */
    const pitot_real *after, *before, *g;
    pitot_real *s; /* may be `before` */
    double lr;
    int differs[SUMS_MOST_THREADS];
} descent;

PITOT_HOT static int is_descent(const descent *d, int64_t begin, int64_t end) {
    const pitot_real unit = sizeof(pitot_real) == 8 ? (pitot_real)(2 * DBL_EPSILON) : (pitot_real)(2 * FLT_EPSILON);
    const pitot_real lr = (pitot_real)d->lr;
    int differs = 0;
    for (int64_t i = begin; i < end; i++) {
        pitot_real a = d->after[i], b = d->before[i], s = a - b, off = s + lr * d->g[i];
        pitot_real within = unit * ((a < 0 ? -a : a) + (b < 0 ? -b : b) + (s < 0 ? -s : s));
        differs |= !((off < 0 ? -off : off) <= within);
    }
    return !differs;
}

/* From both ends, or, of a promised step, from g. */
PITOT_HOT static void subtract(const descent *d, int64_t begin, int64_t end) {
    const pitot_real lr = (pitot_real)d->lr;
    for (int64_t i = begin; d->g && i < end; i++) d->s[i] = -lr * d->g[i];
    for (int64_t i = begin; !d->g && i < end; i++) d->s[i] = d->after[i] - d->before[i];
}

static void compare_task(void *job, int64_t begin, int64_t end, int thread) {
    descent *d = job;
    d->differs[thread] = !is_descent(d, begin, end);
}

static void subtract_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    subtract(job, begin, end);
}

static int descends(const pitot_run *run, int32_t i) {
    int64_t n = run->param[i].layout.size;
    descent d = { run->tensor[i].data, run->param[i].before, run->tensor[i].grad, NULL, run->lr, { 0 } };
    int threads = sums_threads(n);
    threads_run(threads, n, compare_task, &d);
    for (int t = 0; t < threads; t++)
        if (d.differs[t]) return 0;
    return 1;
}

/* 1 if the update was a step of plain gradient descent with the step's own gradient, clipped by nobody. */
static int is_plain(pitot_run *run) {
    sampling *m = &run->sampling;
    double square = 0, to_mean = run->reduction == PITOT_SUM ? 1 / (double)m->counted : 1;
    if (!isfinite(run->lr) || !m->out.along || m->counted != m->listed) return 0;
    for (int32_t k = 0; k < m->n_targets; k++) {
        int32_t i = m->target[k].tensor;
        if (!run->plain && !descends(run, i)) return 0;
        square += run->plain ? update_gradient_square(run, i) : pitot_sum_squares(run->tensor[i].grad, run->param[i].layout.size);
    }
    return fabs(to_mean * to_mean * square - m->out.mean_square) <= 1e-5 * m->out.mean_square;
}

static int both_ends_known(const pitot_run *run) {
    for (int32_t k = 0; k < run->sampling.n_targets; k++) {
        int32_t i = run->sampling.target[k].tensor;
        if (!run->tensor[i].data || !update_is_known(run, i) || !run->tensor[i].grad) return 0;
    }
    return 1;
}

/* param.moved of a target, in a place of its own or over theta_t. 0: no room. */
static int move(pitot_run *run, int32_t tensor, int in_place) {
    param *p = &run->param[tensor];
    pitot_real **place = in_place ? &p->before : &p->step;
    if (!*place) *place = run_hold(run, p->layout.size, sizeof **place);
    p->moved = *place;
    if (!p->moved) return 0;
    descent d = { run->tensor[tensor].data, p->before, run->plain ? run->tensor[tensor].grad : NULL, p->moved, run->lr, { 0 } };
    threads_run(sums_threads(p->layout.size), p->layout.size, subtract_task, &d);
    if (in_place) p->has_before = 0;
    return 1;
}

static int move_all(pitot_run *run) {
    for (int32_t k = 0; k < run->sampling.n_targets; k++)
        if (!move(run, run->sampling.target[k].tensor, 0)) return 0;
    return 1;
}

static void copy_rows(const pitot_real *x, int64_t rows, int64_t columns, int64_t ld, pitot_real *out) {
    if (ld == columns) bulk_copy(out, x, rows * columns * (int64_t)sizeof *out);
    for (int64_t i = 0; ld != columns && i < rows; i++) memcpy(out + i * columns, x + i * ld, (size_t)columns * sizeof *out);
}

/* param.outer of a target that takes it, after a step of plain descent: -lr times the sum of the samples' tiles. */
static int keep_outer(pitot_run *run, const sweep_target *t) {
    param *p = &run->param[t->tensor];
    int64_t n = run->batch.n;
    if (!sweep_outer_pays(t, n)) return 0;
    const sweep_use *u = t->use;
    if (!run_room(run, &p->outer_place, &p->room_outer, n * (u->din + u->dout), sizeof *p->outer_place)) return 0;
    pitot_real *g = p->outer_place + n * u->din;
    copy_rows(u->a, n, u->din, u->a_sample, p->outer_place);
    copy_rows(u->g, n, u->dout, u->g_sample, g);
    p->outer = (sweep_outer){ n, u->din, u->dout, u->transposed, p->outer_place, g, -run->lr * sampling_factor(run) * u->scale };
    return 1;
}

void products_project(pitot_run *run) {
    sampling *m = &run->sampling;
    sweep_job job;
    m->has_projection = m->moves_late = 0;
    for (int32_t i = 0; i < run->n_params; i++) run->param[i].moved = NULL, run->param[i].outer.n = 0;
    if (!(run->needs & PITOT_NEED_PROJECTION) || !m->ready || m->several || !both_ends_known(run)) return;
    m->moves_late = is_plain(run);
    if (m->moves_late) {
        double factor = -run->lr * (run->reduction == PITOT_SUM ? (double)m->counted : 1);
        if (!run_room(run, &m->projection, &m->room_projection, m->listed, sizeof *m->projection)) return;
        for (int64_t k = 0; k < m->listed; k++) m->projection[k] = factor * m->along[k];
    } else {
        if (!move_all(run) || !aim_along_moved(run) || !sampling_job(run, &job, SWEEP_PROJECTION)) return;
        job.projection = m->projection;
        sweep_run(&job);
    }
    m->has_projection = 1;
}

/* What the next step's samples are measured along. Nobody wants theta_t any more: its place will do. */
void products_settle(pitot_run *run) {
    sampling *m = &run->sampling;
    for (int32_t k = 0; m->moves_late && k < m->n_targets; k++)
        if (!keep_outer(run, &m->target[k])) move(run, m->target[k].tensor, 1);
    m->moves_late = 0;
}

/* ---- layers ---- */

static pitot_layer layer_of(const pitot_run *run, int32_t tensor, const sweep_use *u) {
    pitot_layer l = { .tensor = tensor, .n = run->batch.n, .positions = u->t, .units = u->din, .a = u->a, .data = u->tag != 0 };
    l.a_sample = u->a_sample;
    l.a_position = u->a_position;
    l.a_unit = 1;
    if (u->kind != SWEEP_CONV) return l;
    int64_t plane = u->w.in[0] * u->w.in[1], channels = u->groups * u->w.channels;
    l.positions = plane;
    l.units = channels;
    l.a_position = u->channels_last ? channels : 1;
    l.a_unit = u->channels_last ? 1 : plane;
    return l;
}

void products_layers(pitot_run *run) {
    sampling *m = &run->sampling;
    m->n_layers = 0;
    for (int32_t k = 0; k < m->n_targets; k++)
        for (int32_t i = 0; i < m->target[k].n_uses; i++) {
            const sweep_use *u = &m->target[k].use[i];
            if (u->kind != SWEEP_LINEAR && u->kind != SWEEP_CONV) continue;
            if (!run_reserve(&m->layer, m->n_layers, 1, &m->room_layers, sizeof *m->layer)) return;
            m->layer[m->n_layers++] = layer_of(run, m->target[k].tensor, u);
        }
}

void products_free(pitot_run *run) {
    sampling *m = &run->sampling;
    void *const blocks[] = { m->gram, m->projection, m->largest, m->histogram, m->layer };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}
