/* sample.c: per-sample sums of a step, over its micro-batches: lengths and products of the samples' gradients for frame.samples, moments
   for the probes' tiles. Sums over micro-batches are put together as Chan, Golub, LeVeque 1983 put together variances: each part centred
   on its own mean, and a term for the distance of the means. */

#include "base/alloc.h"
#include "base/sums.h"
#include "base/threads.h"
#include "run/run.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { TILE = 16384 }; /* values of a tile where moments stand in memory */

double sampling_factor(const pitot_run *run) {
    return run->grad_scale / (run->batch.loss_scale != 0 ? run->batch.loss_scale : 1);
}

void sampling_begin(pitot_run *run) {
    sampling *s = &run->sampling;
    captures_clear(run);
    s->listed = s->counted = s->n_micro = s->covered = s->swept = s->n_losses = s->n_targets = 0;
    s->several = s->ready = s->has_gram = s->has_projection = s->curves = 0;
    s->n_layers = 0;
    s->scatter = 0;
    if (s->wrong) return;
    s->condition = PITOT_STATE_LEVEL;
    s->why[0] = 0;
}

void sampling_free(pitot_run *run) {
    sampling *s = &run->sampling;
    void *const blocks[] = { s->capture, s->store,     s->use,    s->target, s->first_tile, s->work, s->parts,      s->square,
                             s->along,   s->deviation, s->counts, s->losses, s->micro,      s->sum,  s->tile_square };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    products_free(run);
}

static void give_up(sampling *s, int32_t condition, const char *format, ...) PITOT_PRINTF(3, 4);
static void give_up(sampling *s, int32_t condition, const char *format, ...) {
    va_list list;
    if (s->why[0]) return;
    va_start(list, format);
    vsnprintf(s->why, sizeof s->why, format, list);
    va_end(list);
    s->condition = condition;
}

void sampling_over_budget(pitot_run *run, const char *what) {
    give_up(&run->sampling, PITOT_STATE_BUDGET, "%s would exceed the byte budget of %lld; raise config.memory", what,
            (long long)run->memory);
}

/* ---- samples of this micro-batch: which count, and their losses ---- */

static int grow_lists(pitot_run *run) {
    sampling *s = &run->sampling;
    int64_t n = run->batch.n, each = 3 * sizeof(double) + 1;
    if (s->listed + n > run->memory / each) return 0; /* as many samples as nobody has */
    return run_reserve(&s->square, s->listed, n, &s->room_lists[0], sizeof *s->square) &&
           run_reserve(&s->along, s->listed, n, &s->room_lists[1], sizeof *s->along) &&
           run_reserve(&s->deviation, s->listed, n, &s->room_lists[2], sizeof *s->deviation) &&
           run_reserve(&s->counts, s->listed, n, &s->room_lists[3], sizeof *s->counts);
}

static int64_t count_samples(pitot_run *run) {
    const pitot_batch *b = &run->batch;
    int64_t t = b->t ? b->t : 1, counted = 0;
    for (int64_t k = 0; k < b->n; k++) {
        unsigned char *counts = &run->sampling.counts[run->sampling.listed + k];
        *counts = b->weight == NULL;
        for (int64_t i = 0; b->weight && i < t; i++) *counts |= b->weight[k * t + i] != 0;
        counted += *counts;
    }
    return counted;
}

/* ---- this micro-batch's part of the gradient ---- */

static int make_shares(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        const pitot_real *g = run->tensor[i].grad;
        if (run->sampling.listed == 0 && p->earlier) memset(p->earlier, 0, (size_t)p->layout.size * sizeof *p->earlier);
        if (!g) continue;
        if (!p->share) p->share = run_hold(run, p->layout.size, sizeof *p->share);
        if (!p->earlier) p->earlier = run_hold(run, p->layout.size, sizeof *p->earlier);
        if (!p->share || !p->earlier) return sampling_over_budget(run, "each micro-batch's gradient"), 0;
        for (int64_t k = 0; k < p->layout.size; k++) p->share[k] = g[k] - p->earlier[k];
    }
    return 1;
}

static void shares_are_earlier(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!run->tensor[i].grad) continue;
        for (int64_t k = 0; k < p->layout.size; k++) p->earlier[k] += p->share[k];
    }
}

/* Not if no sample of it counts, nor where buffers hold more than the samples' gradients. */
static void add_micro(pitot_run *run, int64_t counted) {
    sampling *s = &run->sampling;
    double square = 0;
    if (counted == 0 || run->flags & PITOT_UNCHECKED) return;
    if (!run_reserve(&s->micro, s->n_micro, 1, &s->room_micro, sizeof *s->micro)) return;
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->tensor[i].grad) square += pitot_sum_squares(run->param[i].share, run->param[i].layout.size);
    s->micro[s->n_micro++] = (pitot_micro){ counted, square };
}

/* ---- moments: from tiles of the sweep to the probes ---- */

/* What the step's unit makes of u: g_n = unit * u_n. Known only when all micro-batches are in. */
static double unit_of(const pitot_run *run) {
    return run->reduction == PITOT_SUM ? 1 : (double)run->sampling.counted;
}

static int wants_moments(const slot *s) {
    return s->due && !s->off && s->probe->moments && s->probe->needs & PITOT_NEED_MOMENTS;
}

static int prepare_slots(pitot_run *run) {
    run->sampling.n_parts = 0;
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        s->takes_tiles = wants_moments(s) && slot_prepare(run, s);
        if (!s->takes_tiles) continue;
        int64_t n = (int64_t)run->room_params * s->probe->n_sums;
        if (!s->sums) s->sums = mem_alloc(n, sizeof *s->sums);
        if (!s->sums) return 0;
        memset(s->sums, 0, (size_t)n * sizeof *s->sums);
        s->frame = slot_frame(run, s, run->step);
        run->sampling.n_parts += s->probe->n_sums;
    }
    return 1;
}

/* parts (n_parts) of one tile: every due probe's sums, one after another. curvature: what the sweep made beside it, or NULL. */
static void tile_to_probes(const pitot_run *run, pitot_moments m, const pitot_real *curvature, double *parts) {
    for (int32_t i = 0; i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        if (!s->takes_tiles) continue;
        m.state = s->tensor_state ? s->tensor_state[m.tensor] : NULL;
        m.curvature = share_tile(run, s, m.tensor, m.begin, curvature);
        memset(parts, 0, (size_t)s->probe->n_sums * sizeof *parts);
        s->probe->moments(&s->frame, &m, parts);
        parts += s->probe->n_sums;
    }
}

static void add_parts(pitot_run *run, int64_t tensor, const double *parts, int64_t tiles) {
    for (int64_t t = 0; t < tiles; t++)
        for (int32_t i = 0; i < run->n_slots; i++) {
            slot *s = &run->slot[i];
            if (!s->takes_tiles) continue;
            for (int32_t j = 0; j < s->probe->n_sums; j++) s->sums[tensor * s->probe->n_sums + j] += *parts++;
        }
}

/* Samples that do not count are among the n of the sweep, with gradients of 0: their share in mean and variance is taken out. */
static void without_uncounted(const pitot_run *run, const sweep_tile *tile, pitot_real *mean, pitot_real *variance) {
    double ratio = (double)run->batch.n / (double)run->sampling.counted;
    for (int64_t i = 0; i < tile->end - tile->begin; i++) {
        double m = (double)tile->mean[i], second = ratio * ((double)tile->variance[i] + m * m), v = second - ratio * m * ratio * m;
        mean[i] = (pitot_real)(ratio * m);
        variance[i] = (pitot_real)(v > 0 ? v : isnan(v) ? v : 0);
    }
}

static void take_tile(void *user, const sweep_tile *tile) {
    pitot_run *run = user;
    sampling *s = &run->sampling;
    pitot_moments m = { .tensor = s->target[tile->target].tensor,
                        .begin = tile->begin,
                        .end = tile->end,
                        .n = s->counted,
                        .mean = tile->mean,
                        .variance = tile->variance };
    if (s->counted != run->batch.n) {
        param *p = &run->param[m.tensor];
        without_uncounted(run, tile, p->earlier + tile->begin, p->scatter + tile->begin);
        m.mean = p->earlier + tile->begin;
        m.variance = p->scatter + tile->begin;
    }
    tile_to_probes(run, m, tile->curvature, s->parts + (s->first_tile[tile->target] + tile->index) * s->n_parts);
    s->tile_square[s->first_tile[tile->target] + tile->index] = pitot_sum_squares(tile->mean, tile->end - tile->begin);
}

/* scatter += n_k v + (n_a n_k / (n_a + n_k)) (m_k - m_a)^2, a: the micro-batches before */
static void add_tile(void *user, const sweep_tile *tile) {
    pitot_run *run = user;
    param *p = &run->param[run->sampling.target[tile->target].tensor];
    double n = (double)run->batch.n, before = (double)run->sampling.listed, weight = before * n / (before + n);
    for (int64_t i = tile->begin; i < tile->end; i++) {
        double d = (double)p->share[i] / n - (before > 0 ? (double)p->earlier[i] / before : 0);
        double sum = n * (double)tile->variance[i - tile->begin] + weight * d * d;
        p->scatter[i] = (pitot_real)(before > 0 ? (double)p->scatter[i] + sum : sum);
    }
}

/* ---- the sweep over one micro-batch ---- */

static int hold_per_tensor(pitot_run *run, pitot_real *(*field)(pitot_run *run, param *p)) {
    for (int32_t k = 0; k < run->sampling.n_targets; k++)
        if (!field(run, &run->param[run->sampling.target[k].tensor]))
            return sampling_over_budget(run, "moments of the gradient"), 0;
    return 1;
}

static pitot_real *hold_scatter(pitot_run *run, param *p) {
    if (!p->scatter) p->scatter = run_hold(run, p->layout.size, sizeof *p->scatter);
    return p->scatter;
}

static pitot_real *hold_share(pitot_run *run, param *p) {
    if (!p->share) p->share = run_hold(run, p->layout.size, sizeof *p->share);
    return p->share;
}

static pitot_real *hold_earlier(pitot_run *run, param *p) {
    if (!p->earlier) p->earlier = run_hold(run, p->layout.size, sizeof *p->earlier);
    return p->earlier;
}

static sweep_job job_of(pitot_run *run) {
    sampling *s = &run->sampling;
    double unit = s->several ? 1 : unit_of(run);
    sweep_job j = { .n = run->batch.n,
                    .scale = unit * sampling_factor(run),
                    .mean_scale = unit / (double)run->batch.n,
                    .wants = SWEEP_NORMS | SWEEP_ALONG,
                    .n_targets = s->n_targets,
                    .target = s->target,
                    .square = s->square + s->listed,
                    .along = s->along + s->listed,
                    .deviation = s->deviation + s->listed,
                    .moments = s->several ? add_tile : take_tile,
                    .user = run,
                    .threads = run->threads };
    if (!(run->needs & PITOT_NEED_SAMPLES)) j.wants = 0;
    if (run->needs & PITOT_NEED_MOMENTS) j.wants |= SWEEP_MOMENTS | (s->curves ? SWEEP_CURVATURE : 0);
    return j;
}

int sampling_job(pitot_run *run, sweep_job *job, uint32_t wants) {
    sampling *s = &run->sampling;
    if (!s->ready || s->several || run->batch.n != s->listed) return 0;
    s->listed = 0; /* as it was when these captures came in */
    *job = job_of(run);
    s->listed = run->batch.n;
    job->wants = wants;
    int64_t work = sweep_work(job);
    if (work < 0 || !run_room(run, &s->work, &s->room_work, work, sizeof *s->work)) return 0;
    job->work = s->work;
    return 1;
}

static int is_low(int32_t dtype) {
    return dtype == PITOT_F16 || dtype == PITOT_BF16;
}

/* Sums of 16-bit products, or kept in 16 bits. */
static int is_coarse(const pitot_run *run, int32_t tensor) {
    const sampling *s = &run->sampling;
    for (int64_t i = 0; i < s->n_captures; i++) {
        const pitot_capture *c = &s->capture[i].c;
        if ((c->weight == tensor + 1 || c->bias == tensor + 1) && (is_low(c->a_dtype) || is_low(c->g_dtype))) return 1;
    }
    return is_low(run->param[tensor].grad_layout.dtype);
}

static double root_of_squares(const pitot_real *x, int64_t n) {
    return sqrt(pitot_sum_squares(x, n));
}

/* How far rounding takes a sum of products of A and G. Where the sum cancels, as that of a bias before a normalisation does,
   nothing else is left of the gradient. */
static double rounding_of(const pitot_run *run, const sweep_target *t) {
    double all = 0;
    int64_t n = run->batch.n;
    for (int32_t i = 0; i < t->n_uses; i++) {
        const sweep_use *u = &t->use[i];
        int conv = u->kind == SWEEP_CONV, sum = u->kind == SWEEP_SUM || u->kind == SWEEP_GIVEN;
        double g = root_of_squares(u->g, conv ? n * u->g_sample : n * u->t * u->dout);
        double a = sum ? sqrt((double)(n * u->t)) : root_of_squares(u->a, conv ? n * u->a_sample : n * u->t * u->din);
        if (conv) a *= sqrt((double)(u->w.kernel[0] * u->w.kernel[1]));
        all += fabs(u->scale) * a * g;
    }
    return (is_coarse(run, t->tensor) ? 3e-4 : 2e-5) * fabs(sampling_factor(run)) * all;
}

/* Do the captures add up to the gradient? The first time that a tensor has any. */
static int check_target(pitot_run *run, const sweep_job *job, int32_t k) {
    const sweep_target *t = &job->target[k];
    param *p = &run->param[t->tensor];
    sweep_job plain = *job;
    if (p->checked) return 1;
    double wide = is_coarse(run, t->tensor) ? 3e-2 : 2e-3;
    if (!run_room(run, &run->sampling.sum, &run->sampling.room_sum, t->size, sizeof(pitot_real)))
        return sampling_over_budget(run, "the check of captures"), 0;
    plain.scale = sampling_factor(run);
    sweep_sum(&plain, k, run->sampling.sum);
    double have = pitot_sum_squares(t->mean, t->size), off = pitot_sum_squared_difference(run->sampling.sum, t->mean, t->size),
           along = pitot_dot(run->sampling.sum, t->mean, t->size);
    if (!isfinite(have) || !isfinite(off) || have == 0) return 1; /* says nothing */
    if (off <= wide * wide * have) return p->checked = 1;
    if (sqrt(off) <= rounding_of(run, t)) return 1; /* neither does this */
    run->sampling.wrong = 1;
    give_up(&run->sampling, PITOT_STATE_ERROR,
            "captures of %.60s make %.4g times its gradient, %.2g of it away: is it the right layer, kind and scale?", p->name,
            along / have, sqrt(off / have));
    run_fail(run, PITOT_EMISMATCH, "%s", run->sampling.why);
    return 0;
}

static int aim(pitot_run *run) {
    sampling *s = &run->sampling;
    int unchecked = (run->flags & PITOT_UNCHECKED) != 0;
    if (unchecked && !hold_per_tensor(run, hold_share)) return 0;
    for (int32_t k = 0; k < s->n_targets; k++) {
        sweep_target *t = &s->target[k];
        t->mean = s->several || unchecked ? run->param[t->tensor].share : run->tensor[t->tensor].grad;
    }
    return 1;
}

static int make_parts(pitot_run *run) {
    sampling *s = &run->sampling;
    int64_t tiles = 0;
    for (int32_t k = 0; k < s->n_targets; k++) {
        s->first_tile[k] = tiles;
        tiles += sweep_tiles(&s->target[k]);
    }
    return run_reserve(&s->parts, 0, tiles * s->n_parts, &s->room_parts, sizeof *s->parts) &&
           run_reserve(&s->tile_square, 0, tiles, &s->room_tiles, sizeof *s->tile_square);
}

static int make_room(pitot_run *run, sweep_job *j) {
    sampling *s = &run->sampling;
    if (!products_prepare(run, j)) return 0;
    int64_t work = sweep_work(j);
    if (work < 0 || !run_room(run, &s->work, &s->room_work, work, sizeof *s->work))
        return sampling_over_budget(run, "the sweep"), 0;
    j->work = s->work;
    if (!(j->wants & SWEEP_MOMENTS)) return 1;
    int masked = !s->several && s->counted != run->batch.n;
    if ((s->several || masked) && !hold_per_tensor(run, hold_scatter)) return 0;
    if (masked && !hold_per_tensor(run, hold_earlier)) return 0;
    if (s->several) return 1;
    if (prepare_slots(run) && make_parts(run)) return 1;
    return give_up(s, PITOT_STATE_BUDGET, "no memory for the moments"), 0;
}

static int check_all(pitot_run *run, const sweep_job *j) {
    for (int32_t k = 0; k < j->n_targets; k++) {
        sweep_job plain = *j;
        plain.scale = sampling_factor(run);
        if (run->flags & PITOT_UNCHECKED) sweep_sum(&plain, k, run->param[j->target[k].tensor].share);
        else if (!check_target(run, j, k)) return 0;
    }
    return 1;
}

/* Tiles were read while they were in cache: |g|^2 comes from there, too. */
static void gather_parts(pitot_run *run, double mean_scale) {
    const sampling *s = &run->sampling;
    for (int32_t k = 0; k < s->n_targets; k++) {
        const sweep_target *t = &s->target[k];
        int64_t tiles = sweep_tiles(t);
        double square = 0;
        add_parts(run, t->tensor, s->parts + s->first_tile[k] * s->n_parts, tiles);
        for (int64_t i = 0; i < tiles; i++) square += s->tile_square[s->first_tile[k] + i];
        if (t->mean == run->tensor[t->tensor].grad) update_gradient_is(run, t->tensor, square / (mean_scale * mean_scale));
    }
}

/* |m_k - m_a|^2 over all targets: how far this micro-batch's mean is from that of those before. */
static double means_apart(const pitot_run *run) {
    const sampling *s = &run->sampling;
    double n = (double)run->batch.n, before = (double)s->listed, all = 0;
    for (int32_t k = 0; before > 0 && k < s->n_targets; k++) {
        const param *p = &run->param[s->target[k].tensor];
        for (int64_t i = 0; i < p->layout.size; i++) {
            double d = (double)p->share[i] / n - (double)p->earlier[i] / before;
            all += d * d;
        }
    }
    return before > 0 ? all * before * n / (before + n) : 0;
}

/* Gradients that should be there, and could not be copied. */
static int gradients_fit(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->param[i].no_room) return sampling_over_budget(run, "a copy of the gradient"), 0;
    return 1;
}

/* Lengths of micro-batches are added up sample by sample, so each must hold the same tensors. */
static void count_swept(pitot_run *run) {
    sampling *s = &run->sampling;
    for (int32_t i = 0; s->swept == 0 && i < run->n_live; i++) run->param[i].swept = 0;
    for (int32_t k = 0; k < s->n_targets; k++) run->param[s->target[k].tensor].swept++;
    s->swept++;
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->param[i].swept && run->param[i].swept != s->swept)
            give_up(s, PITOT_STATE_LEVEL, "captures of %.60s came in some of the step's micro-batches only", run->param[i].name);
}

static void sweep_micro(pitot_run *run) {
    sampling *s = &run->sampling;
    if (s->why[0] || !gradients_fit(run)) return;
    if (captures_targets(run)) {
        give_up(s, PITOT_STATE_ERROR, "%s", run->error.text);
        return;
    }
    if (s->n_targets == 0) {
        give_up(s, PITOT_STATE_LEVEL, "needs layer inputs and output gradients (level 1): pitot_add_capture in each backward pass");
        return;
    }
    s->seen = 1;
    count_swept(run);
    if (s->why[0] || !aim(run)) return;
    if (!s->several) share_aim(run);
    sweep_job j = job_of(run);
    if (!make_room(run, &j) || !check_all(run, &j)) return;
    sweep_run(&j);
    if (j.wants & SWEEP_MOMENTS && !s->several) gather_parts(run, j.mean_scale);
    products_finish(run);
    s->covered = 0;
    for (int32_t k = 0; k < s->n_targets; k++) s->covered += s->target[k].size;
    if (!(j.wants & SWEEP_ALONG)) return;
    for (int64_t k = 0; k < run->batch.n; k++) s->scatter += s->deviation[s->listed + k];
    if (s->several) s->scatter += means_apart(run);
}

void sampling_add(pitot_run *run) {
    sampling *s = &run->sampling;
    s->several |= run->batch.more;
    if (!(run->needs & (FROM_CAPTURES | PITOT_NEED_MICRO))) return;
    if (!run->seen_forward || !grow_lists(run)) {
        if (run->seen_forward) sampling_over_budget(run, "the lists of samples");
        else give_up(s, PITOT_STATE_LEVEL, "needs pitot_after_forward, the number of samples");
        captures_clear(run);
        return;
    }
    int64_t counted = count_samples(run);
    s->counted += counted;
    if (s->counted == 0 && !run->batch.more) give_up(s, PITOT_STATE_UNDEFINED, "no term of any sample has weight");
    int shares = !s->several || make_shares(run);
    if (shares && s->several) add_micro(run, counted);
    if (shares && run->needs & FROM_CAPTURES) sweep_micro(run);
    if (shares && s->several) shares_are_earlier(run);
    s->listed += run->batch.n;
    if (s->several) captures_clear(run); /* else what probes ask for later in the step is made from them */
}

/* ---- after the last micro-batch ---- */

typedef struct late_job { /* tiles of one tensor whose moments stand in memory */
    pitot_run *run;
    int64_t tensor;
} late_job;

static void late_tiles(void *job, int64_t begin, int64_t end, int thread) {
    late_job *j = job;
    pitot_run *run = j->run;
    sampling *s = &run->sampling;
    param *p = &run->param[j->tensor];
    double n = (double)s->counted, unit = unit_of(run), listed = (double)s->listed;
    (void)thread;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t from = tile * TILE, to = p->layout.size < from + TILE ? p->layout.size : from + TILE;
        for (int64_t i = from; i < to; i++) {
            double total = (double)p->earlier[i], sum = (double)p->scatter[i];
            if (listed != n) sum += total * total * (1 / listed - 1 / n); /* those that do not count were centred, too */
            p->share[i] = (pitot_real)(unit / n * total);
            p->scatter[i] = (pitot_real)(unit * unit * (sum < 0 ? 0 : sum) / n);
        }
        tile_to_probes(run, (pitot_moments){ j->tensor, from, to, s->counted, p->share + from, p->scatter + from, NULL, NULL },
                       NULL, s->parts + tile * s->n_parts);
    }
}

static int late_moments(pitot_run *run) {
    sampling *s = &run->sampling;
    if (!prepare_slots(run)) return 0;
    for (int32_t k = 0; k < s->n_targets; k++) {
        int64_t tiles = (s->target[k].size + TILE - 1) / TILE;
        late_job j = { run, s->target[k].tensor };
        if (!run_reserve(&s->parts, 0, tiles * s->n_parts, &s->room_parts, sizeof *s->parts)) return 0;
        threads_run(run->threads, tiles, late_tiles, &j);
        add_parts(run, j.tensor, s->parts, tiles);
    }
    return 1;
}

/* |g|^2: the mean of the g_n'g where they are known. */
static double mean_square(const pitot_run *run) {
    const sampling *s = &run->sampling;
    double unit = unit_of(run) / (double)s->counted, ratio = (double)s->listed / (double)s->counted, all = 0;
    if (!s->several && run->needs & PITOT_NEED_SAMPLES) {
        for (int64_t k = 0; k < s->listed; k++) all += s->along[k];
        return ratio * all / (double)s->counted;
    }
    if (!(run->needs & PITOT_NEED_SAMPLES)) return 0;
    for (int32_t k = 0; k < s->n_targets; k++) {
        const param *p = &run->param[s->target[k].tensor];
        const pitot_real *g = s->several                     ? p->earlier
                              : run->flags & PITOT_UNCHECKED ? p->share
                                                             : run->tensor[s->target[k].tensor].grad;
        all += pitot_sum_squares(g, p->layout.size);
    }
    return unit * unit * all;
}

/* Lists in units of g_n; entries of samples that do not count are 0. */
static void settle_lists(pitot_run *run) {
    sampling *s = &run->sampling;
    double unit = s->several ? unit_of(run) : 1, ratio = (double)s->listed / (double)s->counted;
    s->scatter *= unit * unit;
    for (int64_t k = 0; k < s->listed; k++) {
        s->square[k] *= unit * unit;
        if (s->several || s->counted == s->listed) continue;
        s->along[k] *= ratio;
        double d = s->square[k] - 2 * s->along[k] + s->out.mean_square;
        s->deviation[k] = !s->counts[k] ? 0 : d < 0 ? 0 : d;
    }
    if (s->counted == s->listed) return;
    s->scatter = 0; /* sum |g_n - g|^2 = sum |g_n|^2 - N |g|^2 over those that count */
    for (int64_t k = 0; k < s->listed; k++) s->scatter += s->square[k];
    s->scatter -= (double)s->counted * s->out.mean_square;
    if (s->scatter < 0) s->scatter = 0;
}

void sampling_finish(pitot_run *run) {
    sampling *s = &run->sampling;
    int64_t all = 0;
    for (int64_t k = 0; k < s->n_micro; k++) { /* from parts of the step's gradient to gradients of the parts' own means */
        double unit = unit_of(run) / (double)s->micro[k].n;
        s->micro[k].square *= unit * unit;
    }
    if (s->why[0] || s->n_targets == 0 || s->counted == 0) return;
    for (int32_t i = 0; i < run->n_live; i++) all += run->tensor[i].grad ? run->tensor[i].size : 0;
    s->ready = 1;
    s->out = (pitot_samples){ .struct_size = sizeof s->out,
                              .n = s->counted,
                              .listed = s->listed,
                              .mean_square = mean_square(run),
                              .covered = all ? (double)s->covered / (double)all : 0,
                              .coupled = (run->flags & PITOT_COUPLED) != 0,
                              .counts = s->counts,
                              .ids = s->several ? NULL : run->batch.ids };
    if (run->needs & PITOT_NEED_SAMPLES) {
        settle_lists(run);
        s->out.square = s->square;
        s->out.along = s->several ? NULL : s->along;
        s->out.deviation = s->several ? NULL : s->deviation;
        s->out.scatter = s->scatter;
    }
    if (s->several && run->needs & PITOT_NEED_MOMENTS && !late_moments(run)) {
        sampling_over_budget(run, "the moments");
        s->ready = 0;
    }
}
