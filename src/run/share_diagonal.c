/* share_diagonal.c: diagonals of curvature that probes ask for: made when the first of them does, kept until the next step begins. Where
   the host leaves weights as factors, their values are made only for those who want to see them all: a sum takes the factors' lengths, and
   the sweep makes tiles of them beside those of the moments. */

#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"
#include "net/net.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

enum {
    MOST_UNITS = 4096, /* values of D up to which a diagonal is made column by column */
    PASSES = 4         /* over a weight, that one ahead of the sweep saves */
};

static int64_t offset_of(const pitot_run *run, int64_t tensor) {
    int64_t at = 0;
    for (int64_t i = 0; i < tensor; i++) at += run->tensor[i].grad ? run->param[i].layout.size : 0;
    return at;
}

/* ---- by the host ---- */

static pitot_call call_for(const pitot_run *run, const diagonal *d) {
    return (pitot_call){ .struct_size = sizeof(pitot_call),
                         .diagonal = d->kind,
                         .draws = d->draws,
                         .seed = random_bits(run->seed, random_purpose("curvature"), (uint64_t)run->step, 0),
                         .per_sample = d->per_sample,
                         .n_out = run->curving.size * (d->per_sample ? run->batch.n : 1) };
}

/* Each of a weight that has a gradient, once, and of its size. */
static int factors_fit(const pitot_run *run, const pitot_call *call) {
    const sharing *s = &run->sharing;
    if (call->n_factors < 0 || call->n_factors > call->most_factors) return 0;
    for (int64_t i = 0; i < call->n_factors; i++) {
        const pitot_diagonal_factor *f = &s->factor[i];
        int64_t size;
        if (f->weight < 1 || f->weight > run->n_live || !run->tensor[f->weight - 1].grad || !f->a || !f->q) return 0;
        if (f->n != run->curving.batch.n || f->din < 1 || f->dout < 1 || __builtin_mul_overflow(f->din, f->dout, &size) ||
            size != run->param[f->weight - 1].layout.size)
            return 0;
        for (int64_t k = 0; k < i; k++)
            if (s->factor[k].weight == f->weight) return 0;
    }
    return 1;
}

/* All of it, or, where the host knows that it changes nothing else, without what it leaves as factors. */
static int32_t ask_host(pitot_run *run, diagonal *d, int all) {
    sharing *s = &run->sharing;
    pitot_call call = call_for(run, d);
    int leaves = !all && !d->per_sample && run->curving.host.untouched &&
                 run_room(run, &s->factor, &s->room_factors, run->n_live, sizeof *s->factor);
    call.out = d->values;
    call.factor = leaves ? s->factor : NULL;
    call.most_factors = leaves ? run->n_live : 0;
    int32_t status = callback_call(run, CALL_DIAGONAL, &call);
    d->gradients = call.gradients;
    d->complete = !leaves || call.n_factors == 0;
    if (status || d->complete) return status;
    if (!factors_fit(run, &call)) {
        callback_break(run, CALL_DIAGONAL, "gave factors that do not fit the parameters or the batch");
        return PITOT_EHOST;
    }
    s->n_factors = call.n_factors;
    s->factors_of = (int32_t)(d - s->diagonal);
    return PITOT_OK;
}

/* About how many gradients the host's diagonal of this kind costs; infinite: it has none. */
static double price(pitot_run *run, int32_t kind, int64_t draws) {
    diagonal d = { .kind = kind, .draws = draws };
    pitot_call call = call_for(run, &d);
    if (!callback_there(run, CALL_DIAGONAL) || callback_call(run, CALL_DIAGONAL, &call) || !(call.gradients > 0)) return INFINITY;
    return call.gradients;
}

static int32_t resolve(pitot_run *run, int32_t kind) {
    if (kind != PITOT_CURVATURE_AUTO) return kind;
    if (!callback_there(run, CALL_DIAGONAL)) return PITOT_CURVATURE_HUTCHINSON;
    if (run->flags & PITOT_EXACT) return PITOT_CURVATURE_HESSIAN;
    return price(run, PITOT_CURVATURE_HESSIAN, 1) <= 1.01 * price(run, PITOT_CURVATURE_GGN, 1) ? PITOT_CURVATURE_HESSIAN
                                                                                               : PITOT_CURVATURE_GGN_MC;
}

/* ---- by products ---- */

/* Column by column: exact, and only for what is small. */
static int32_t by_units(pitot_run *run, diagonal *d) {
    sharing *s = &run->sharing;
    const pitot_linop *of = d->kind == PITOT_CURVATURE_GGN ? &run->curving.ggn : &run->curving.hessian;
    int64_t n = run->curving.size;
    if (of->n == 0 || n > MOST_UNITS || d->per_sample) return PITOT_ENOTSUP;
    if (!run_room(run, &s->unit, &s->room_unit, 2 * n, sizeof *s->unit)) return PITOT_EBUDGET;
    memset(s->unit, 0, (size_t)n * sizeof *s->unit);
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < n && !status; i++) {
        s->unit[i] = 1;
        status = of->apply(of->self, s->unit, s->unit + n, 1);
        s->unit[i] = 0;
        d->values[i] = s->unit[n + i];
    }
    d->gradients = 2 * (double)n;
    return status;
}

/* mean over draws of z o Hz, z of random signs (Hutchinson 1990; Bekas, Kokiopoulou, Saad 2007 for the diagonal) */
static int32_t by_signs(pitot_run *run, diagonal *d) {
    sharing *s = &run->sharing;
    const pitot_linop *of = &run->curving.hessian;
    int64_t n = run->curving.size;
    uint64_t purpose = random_purpose("hutchinson");
    if (of->n == 0 || d->per_sample) return PITOT_ENOTSUP;
    if (!run_room(run, &s->unit, &s->room_unit, 2 * n, sizeof *s->unit)) return PITOT_EBUDGET;
    memset(d->values, 0, (size_t)n * sizeof *d->values);
    for (int64_t k = 0; k < d->draws; k++) {
        for (int64_t i = 0; i < n; i += 64) {
            uint64_t bits = random_bits(run->seed, purpose, (uint64_t)run->step, (uint64_t)(k * ((n + 63) / 64) + i / 64));
            for (int64_t j = i; j < n && j < i + 64; j++, bits >>= 1) s->unit[j] = bits & 1 ? 1 : -1;
        }
        int32_t status = of->apply(of->self, s->unit, s->unit + n, 1);
        if (status) return status;
        for (int64_t i = 0; i < n; i++) d->values[i] += s->unit[i] * s->unit[n + i] / (pitot_real)d->draws;
    }
    d->gradients = 2 * (double)d->draws;
    return PITOT_OK;
}

/* ---- values ---- */

/* What a factor stands for, in its place. */
static int32_t fill_in(pitot_run *run, const diagonal *d, const pitot_diagonal_factor *f) {
    sharing *s = &run->sharing;
    if (f->din > INT32_MAX || f->dout > INT32_MAX ||
        !run_room(run, &s->squares, &s->room_squares, squares_room(f->n, f->din, f->dout), sizeof *s->squares))
        return PITOT_EBUDGET;
    squares_sum(&(square_sum){ .n = f->n,
                               .din = f->din,
                               .dout = f->dout,
                               .a = f->a,
                               .q = f->q,
                               .scale = f->scale,
                               .weight = d->values + offset_of(run, f->weight - 1),
                               .room = s->squares,
                               .threads = run->threads });
    return PITOT_OK;
}

/* The rest of it, from its factors, or, where others have taken their place, once more. */
static int32_t complete(pitot_run *run, diagonal *d) {
    sharing *s = &run->sharing;
    if (d->complete || d->status) return d->status;
    if (s->factors_of != d - s->diagonal) return d->status = ask_host(run, d, 1);
    for (int64_t i = 0; i < s->n_factors && !d->status; i++) d->status = fill_in(run, d, &s->factor[i]);
    d->complete = 1;
    return d->status;
}

/* ---- sums ---- */

typedef struct tracing {
    const pitot_diagonal_factor *f;
    double part[SUMS_MOST_THREADS];
} tracing;

static void trace_task(void *job, int64_t begin, int64_t end, int thread) {
    tracing *t = job;
    const pitot_diagonal_factor *f = t->f;
    t->part[thread] = 0;
    for (int64_t n = begin; n < end; n++)
        t->part[thread] += pitot_sum_squares(f->a + n * f->din, f->din) * pitot_sum(f->q + n * f->dout, f->dout);
}

/* Of scale sum_n q_n (a_n^2)': scale sum_n (sum of q_n) |a_n|^2 */
static double trace_of(const pitot_diagonal_factor *f) {
    tracing t = { .f = f };
    int threads = sums_threads(f->n * (f->din + f->dout));
    double all = 0;
    threads_run(threads, f->n, trace_task, &t);
    for (int i = 0; i < threads; i++) all += t.part[i];
    return f->scale * all;
}

static const pitot_diagonal_factor *factor_of(const pitot_run *run, const diagonal *d, int64_t tensor) {
    const sharing *s = &run->sharing;
    for (int64_t i = 0; s->factors_of == d - s->diagonal && i < s->n_factors; i++)
        if (s->factor[i].weight == tensor + 1) return &s->factor[i];
    return NULL;
}

static int32_t make_traces(pitot_run *run, diagonal *d) {
    d->has_trace = 0;
    if (!run_room(run, &d->trace, &d->room_trace, run->n_live, sizeof *d->trace)) return PITOT_EBUDGET;
    for (int64_t i = 0, at = 0; i < run->n_live; i++) {
        const pitot_diagonal_factor *f = factor_of(run, d, i);
        int64_t size = run->tensor[i].grad ? run->param[i].layout.size : 0;
        d->trace[i] = f ? trace_of(f) : pitot_sum(d->values + at, size);
        at += size;
    }
    d->has_trace = 1;
    return PITOT_OK;
}

/* ---- all ---- */

/* The host's is of the mean loss over its batch; so are products, but for sums. Traces are taken from factors while these are there, whoever
   asks for what later. */
static int32_t make(pitot_run *run, diagonal *d) {
    int64_t n = run->curving.size, values;
    if (__builtin_mul_overflow(n, d->per_sample ? run->batch.n : 1, &values) ||
        !run_room(run, &d->values, &d->room, values, sizeof *d->values))
        return PITOT_EBUDGET;
    d->complete = 1;
    if (d->kind != PITOT_CURVATURE_HUTCHINSON && callback_there(run, CALL_DIAGONAL)) {
        int32_t asked = ask_host(run, d, 0);
        return asked || d->complete ? asked : make_traces(run, d);
    }
    int32_t status = d->kind == PITOT_CURVATURE_HUTCHINSON                                  ? by_signs(run, d)
                     : d->kind == PITOT_CURVATURE_HESSIAN || d->kind == PITOT_CURVATURE_GGN ? by_units(run, d)
                                                                                            : PITOT_ENOTSUP;
    double to_mean = run->reduction == PITOT_SUM ? 1 / (double)run->batch.n : 1;
    for (int64_t i = 0; !status && to_mean != 1 && i < n; i++) d->values[i] = (pitot_real)(to_mean * (double)d->values[i]);
    return status;
}

static diagonal *find(pitot_run *run, int32_t kind, int64_t draws, int per_sample) {
    sharing *s = &run->sharing;
    int sampled = kind == PITOT_CURVATURE_GGN_MC || kind == PITOT_CURVATURE_HUTCHINSON;
    for (int32_t i = 0; i < s->n_diagonals; i++) {
        diagonal *d = &s->diagonal[i];
        if (d->kind == kind && d->per_sample == per_sample && (!sampled || d->draws == draws)) return d;
    }
    if (s->n_diagonals == MOST_DIAGONALS) return NULL;
    diagonal *d = &s->diagonal[s->n_diagonals++];
    d->kind = kind;
    d->draws = draws;
    d->per_sample = per_sample;
    d->has_trace = 0;
    d->status = make(run, d);
    return d;
}

static void say(pitot_run *run, const pitot_frame *f, int32_t asked, const diagonal *d) {
    slot *s = &run->slot[f->out->slot];
    if (d->status == PITOT_ENOTSUP)
        slot_waits(s, PITOT_STATE_LEVEL,
                   "needs the callback `diagonal`, or, for few parameters or curvature=hutchinson, products with the Hessian");
    if (d->status == PITOT_EBUDGET)
        slot_waits(s, PITOT_STATE_BUDGET, "the diagonal would exceed the byte budget; raise config.memory");
    if (asked == PITOT_CURVATURE_AUTO && d->kind == PITOT_CURVATURE_GGN_MC)
        pitot_remark(f,
                     "the sampled GGN's diagonal: the exact Hessian's costs more than the GGN's here; curvature=hessian takes it");
    if (asked == PITOT_CURVATURE_AUTO && d->kind == PITOT_CURVATURE_HUTCHINSON)
        pitot_remark(f, "estimated from products with random vectors: this host has no callback `diagonal`");
}

/* NULL: *status says why. */
static diagonal *asked_for(const pitot_frame *f, int32_t kind, int64_t draws, int per_sample, int32_t *status) {
    pitot_run *run = f->out->run;
    *status = PITOT_EINVAL;
    if (kind < PITOT_CURVATURE_AUTO || kind > PITOT_CURVATURE_HUTCHINSON || draws < 1) return NULL;
    diagonal *d = find(run, resolve(run, kind), draws, per_sample);
    *status = d ? d->status : PITOT_EBUDGET;
    if (d) say(run, f, kind, d);
    return d;
}

static int32_t diagonal_of(const pitot_frame *f, int32_t kind, int64_t draws, int per_sample, pitot_curvature *out) {
    int32_t status;
    diagonal *d = asked_for(f, kind, draws, per_sample, &status);
    if (!d) return status;
    if (!status) status = complete(f->out->run, d);
    *out = (pitot_curvature){ .kind = d->kind, .draws = d->draws, .gradients = d->gradients, .values = d->values };
    return status;
}

int32_t pitot_diagonal(const pitot_frame *f, int32_t kind, int64_t draws, pitot_curvature *out) {
    return diagonal_of(f, kind, draws, 0, out);
}

int32_t pitot_sample_diagonal(const pitot_frame *f, int32_t kind, int64_t draws, pitot_curvature *out) {
    return diagonal_of(f, kind, draws, 1, out);
}

int32_t pitot_diagonal_traces(const pitot_frame *f, int32_t kind, int64_t draws, pitot_curvature *out, const double **trace) {
    int32_t status;
    diagonal *d = asked_for(f, kind, draws, 0, &status);
    if (!d) return status;
    if (trace && !status && !d->has_trace) status = make_traces(f->out->run, d);
    if (trace) *trace = d->trace;
    *out = (pitot_curvature){ .kind = d->kind, .draws = d->draws, .gradients = d->gradients };
    return status;
}

/* ---- ahead of the sweep, for probes that look at it beside moments ---- */

static int is_of(const diagonal *d, int32_t kind, int64_t draws) {
    return d->kind == kind && !d->per_sample && (kind != PITOT_CURVATURE_GGN_MC || d->draws == draws);
}

/* The factors of one alone can stay. */
static void make_ahead(pitot_run *run, slot *s) {
    sharing *all = &run->sharing;
    int32_t kind = PITOT_CURVATURE_AUTO;
    int64_t draws = 1;
    s->probe->curvature(s->options, &kind, &draws);
    if (kind < PITOT_CURVATURE_AUTO || kind > PITOT_CURVATURE_HUTCHINSON || draws < 1) return;
    kind = resolve(run, kind);
    if (kind == PITOT_CURVATURE_HUTCHINSON) return;
    if (all->factors_of != NO_FACTORS && !is_of(&all->diagonal[all->factors_of], kind, draws))
        complete(run, &all->diagonal[all->factors_of]);
    diagonal *d = find(run, kind, draws, 0);
    if (d && run->sampling.several) complete(run, d);
    if (d && !d->status) s->curved = 1 + (int32_t)(d - all->diagonal);
}

static int looks_ahead(const pitot_run *run, const slot *s) {
    const uint32_t both = PITOT_NEED_MOMENTS | PITOT_NEED_DIAGONAL;
    return s->due && !s->off && s->probe->curvature && (s->probe->needs & both) == both && run->curving.host.untouched &&
           callback_there(run, CALL_DIAGONAL) && run->curving.size > 0;
}

/* The sweep leaves convolutions' captures in the cache, where a diagonal made after it finds them; one made before it saves a few passes over
   the weights of linear layers. Known from the captures' sizes alone. */
static int pays_ahead(const pitot_run *run) {
    const sampling *m = &run->sampling;
    double linear = 0, conv = 0;
    for (int64_t i = 0; i < m->n_captures; i++) {
        const pitot_capture *c = &m->capture[i].c;
        if (c->weight <= 0) continue;
        const array_layout *w = &run->param[c->weight - 1].layout;
        double groups = c->groups > 0 ? c->groups : 1, down = c->stride[0] > 0 ? c->stride[0] : 1,
               across = c->stride[1] > 0 ? c->stride[1] : 1;
        if (c->kind == PITOT_LINEAR) linear += (double)w->size;
        if (c->kind == PITOT_CONV2D)
            conv += (double)run->batch.n * (double)c->h * (double)c->w *
                    ((double)w->shape[1] * groups + (double)w->shape[0] / down / across);
    }
    return PASSES * linear >= conv;
}

void share_ahead(pitot_run *run) {
    if (!pays_ahead(run)) return;
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        double from = run_now();
        if (!looks_ahead(run, s)) continue;
        make_ahead(run, s);
        s->seconds += run_now() - from;
    }
}

/* The sweep makes tiles of it. */
static int takes(const pitot_run *run, const sweep_target *t, const pitot_diagonal_factor *f) {
    const sweep_use *u = t->use;
    return sweep_curves(t, run->batch.n) && f->din == u->din && f->dout == u->dout && f->n == run->batch.n && f->a == u->a &&
           u->a_sample == u->din;
}

static int aim_at(pitot_run *run, const diagonal *d) {
    sampling *m = &run->sampling;
    for (int32_t k = 0; k < m->n_targets; k++) {
        sweep_target *t = &m->target[k];
        const pitot_diagonal_factor *f = factor_of(run, d, t->tensor);
        if (!f) continue;
        if (!takes(run, t, f) && fill_in(run, d, f)) return 0;
        if (!takes(run, t, f)) continue;
        t->q = f->q;
        t->q_scale = f->scale;
        m->curves = 1;
    }
    return 1;
}

void share_aim(pitot_run *run) {
    sharing *all = &run->sharing;
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (s->curved && s->curved - 1 == all->factors_of && !aim_at(run, &all->diagonal[s->curved - 1])) s->curved = 0;
    }
}

const pitot_real *share_tile(const pitot_run *run, const slot *s, int64_t tensor, int64_t begin, const pitot_real *made) {
    const diagonal *d = s->curved ? &run->sharing.diagonal[s->curved - 1] : NULL;
    if (!d || d->status) return NULL;
    return made && run->sharing.factors_of == s->curved - 1 ? made : d->values + offset_of(run, tensor) + begin;
}
