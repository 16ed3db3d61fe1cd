/* step.c: the hooks of a step, in the order in which they are called. */

#include "base/sums.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

/* ---- inside hooks: time is counted, and arithmetic is plain: nearest rounding, no traps, subnormals kept, whatever the host's is ---- */

static void enter(pitot_run *run) {
    run->entered = run_now();
    fegetenv(&run->host_mode);
    fesetenv(FE_DFL_ENV);
    sums_set_threads(run->threads);
}

static void leave(pitot_run *run) {
    fesetenv(&run->host_mode);
    double spent = run_now() - run->entered;
    run->inside += spent;
    run->step_inside += spent;
}

/* ---- the hooks ---- */

/* Needs that the core fulfils, as what the host will be asked to have ready. */
static uint32_t mask_of(uint32_t needs, uint32_t captures) {
    uint32_t mask = 0;
    if (!needs) return 0;
    if (needs & PITOT_NEED_LOSS) mask |= PITOT_DUE_LOSS;
    if (needs & PITOT_NEED_GRADS) mask |= PITOT_DUE_GRADS;
    if (needs & PITOT_NEED_LOSSES) mask |= PITOT_DUE_LOSSES;
    if (needs & FROM_CAPTURES) mask |= captures | PITOT_DUE_GRADS;
    if (needs & PITOT_NEED_OUTPUT) mask |= PITOT_DUE_OUTPUT;
    if (needs & PITOT_NEED_PROJECTION) mask |= PITOT_DUE_UPDATE;
    if (needs & PITOT_NEED_DIAGONAL) mask |= PITOT_DUE_CALLBACKS | PITOT_DUE_GRADS | PITOT_DUE_OUTPUT;
    if (needs & PITOT_NEED_STEP) mask |= PITOT_DUE_GRADS | PITOT_DUE_UPDATE | PITOT_DUE_LATE;
    if (needs & PITOT_NEED_MICRO) mask |= PITOT_DUE_GRADS;
    if (needs & (PITOT_NEED_HESSIAN | PITOT_NEED_GGN)) mask |= PITOT_DUE_CALLBACKS | PITOT_DUE_GRADS;
    if (needs & PITOT_NEED_GGN) mask |= PITOT_DUE_OUTPUT;
    if (needs & PITOT_NEED_PRECONDITIONER) mask |= PITOT_DUE_PRECONDITIONER | PITOT_DUE_UPDATE;
    if (needs & (PITOT_NEED_BEFORE | PITOT_NEED_LENGTH | PITOT_NEED_LR)) mask |= PITOT_DUE_UPDATE;
    return mask | PITOT_DUE_LOSS;
}

static void drop_pending(pitot_run *run) {
    for (int32_t i = 0; i < run->n_slots; i++) {
        run->unfinished += run->slot[i].pending >= 0;
        run->slot[i].pending = -1;
    }
}

static void write_header(pitot_run *run) {
    run->has_header = 1;
    log_begin(&run->log);
    log_text(&run->log, "pitot", PITOT_VERSION);
    log_integer(&run->log, "segment", run->segment++);
    log_integer(&run->log, "step", run->step);
    log_wall(&run->log, run_wall());
    log_integer(&run->log, "steps", run->steps);
    if (log_end(&run->log, 0))
        run_fail(run, PITOT_EIO, "%s/events.jsonl: the header could not be written; is the disk full?", run->dir);
}

static void first_of_segment(pitot_run *run, int64_t step) {
    drop_pending(run);
    if (run->first_step < 0 || step < run->first_step) run->first_step = step;
    run->step = step;
    if (run->log.fd >= 0) write_header(run);
}

static void describe(pitot_run *run) {
    pitot_error error = { 0 };
    run->manifest_done = 1;
    if (run->dir && manifest_write(run, &error)) run_fail(run, error.status, "%s", error.text);
}

uint32_t pitot_begin(pitot_run *run, int64_t step) {
    if (run_idle(run)) return 0;
    if (run_calling(run)) return 0;                 /* from inside a callback */
    if (run->curving.calling) callback_finish(run); /* one that never came back */
    if (run->open_step && step == run->step) return run->mask;
    if (step < 0) return (uint32_t)(0 * run_fail(run, PITOT_EINVAL, "pitot_begin: step %lld is negative", (long long)step));
    enter(run);
    if (run->first_begin == 0) run->first_begin = run->entered;
    emit_flush(run);
    emit_begin(run);
    run->step_inside = 0;
    if (run->step < 0 || step <= run->step) first_of_segment(run, step);
    if (!run->manifest_done) describe(run);
    run->step = step;
    run->open_step = 1;
    run->n_live = run->n_params;
    run->seen_forward = run->seen_backward = 0;
    run->lr = NAN;
    budget_begin(run, run->entered);
    for (int32_t i = 0; i < run->n_slots; i++) run->slot[i].seconds = 0, run->slot[i].curved = 0;
    run->needs = plan_due(run, step);
    if (run->needs & PITOT_NEED_STEP) run->needs |= PITOT_NEED_BEFORE;
    run->mask = mask_of(run->needs, run->sampling.wrong ? 0 : PITOT_DUE_CAPTURES);
    run->batch = (pitot_batch){ .loss = NAN };
    run->loss_sum = run->weight_sum = run->weight_last = 0;
    run->samples = run->n_factors = 0;
    sampling_begin(run);
    share_begin(run);
    update_begin(run);
    if (run->flags & PITOT_CARRIED && run->mask & PITOT_DUE_GRADS) params_carry(run);
    leave(run);
    return run->mask;
}

int64_t pitot_step(const pitot_run *run) {
    return run ? run->step : 0;
}

uint32_t pitot_due(const pitot_run *run) {
    return run && !run->off && run->open_step && !run_calling(run) ? run->mask : 0;
}

/* PITOT_OK with *go 0 if nothing is due. */
static int32_t allowed(pitot_run *run, const char *function, int *go) {
    *go = 0;
    if (!run || run->off) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_OK; /* from inside a callback */
    if (!run->open_step)
        return run_idle(run) ? PITOT_EOFF : run_fail(run, PITOT_EORDER, "%s: no step is open; call pitot_begin first", function);
    if (run->mask == 0) return PITOT_OK;
    if (run_idle(run)) return PITOT_EOFF;
    *go = 1;
    return PITOT_OK;
}

/* A mean that is given as a sum, or the other way round, makes every per-sample value wrong by a factor of N. */
static void check_reduction(pitot_run *run) {
    const pitot_batch *b = &run->batch;
    int64_t terms = b->n * (b->t ? b->t : 1);
    double sum = 0, weight = 0;
    if (!b->losses || terms < 2) return;
    for (int64_t i = 0; i < terms; i++) {
        double w = b->weight ? (double)b->weight[i] : 1;
        if (w != 0) sum += w * (double)b->losses[i];
        weight += w;
    }
    double mean = sum / weight, is = run->reduction == PITOT_SUM ? sum : mean, other = run->reduction == PITOT_SUM ? mean : sum;
    if (!(fabs(b->loss - is) > 0.1 * fabs(is)) || !(fabs(b->loss - other) <= 1e-3 * fabs(other))) return;
    run_fail(run, PITOT_EMISMATCH, "pitot_after_forward: the loss is the %s of the losses, but config.reduction says %s",
             run->reduction == PITOT_SUM ? "mean" : "sum", run->reduction == PITOT_SUM ? "PITOT_SUM" : "a mean");
}

int32_t pitot_after_forward(pitot_run *run, const pitot_batch *batch) {
    int go;
    int32_t status = allowed(run, "pitot_after_forward", &go);
    if (!go) return status;
    size_t theirs = batch ? batch->struct_size : 0;
    if (theirs < offsetof(pitot_batch, losses) || batch->n < 1 || batch->n > INT32_MAX)
        return run_fail(run, PITOT_EINVAL, "pitot_after_forward: the batch has no samples, or no struct_size");
    run_copy_struct(&run->batch, sizeof run->batch, batch);
    if (run->batch.t < 0 || run->batch.t > INT32_MAX) run->batch.t = 0;
    run->seen_forward = 1;
    check_reduction(run);
    return PITOT_OK;
}

/* Second halves of what spans two steps; those whose second step has not come are dropped. */
static void finish_pending(pitot_run *run) {
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (s->pending >= 0 && s->pending == run->step - 1 && slot_has_needs(run, s))
            slot_call(run, s, s->probe->next, s->pending, 0);
        else if (s->pending >= 0) run->unfinished++;
        s->pending = -1;
    }
}

/* A loss per sample: where it lies, or gathered over micro-batches and terms. */
static void take_losses(pitot_run *run) {
    const pitot_batch *b = &run->batch;
    sampling *m = &run->sampling;
    int64_t t = b->t ? b->t : 1;
    if (!b->losses || !(run->needs & PITOT_NEED_LOSSES) || (t == 1 && !b->more && run->samples == 0)) return;
    if (!run_reserve(&m->losses, run->samples, b->n, &m->room_losses, sizeof *m->losses)) return;
    for (int64_t k = 0; k < b->n; k++) {
        double sum = 0, weight = 0;
        for (int64_t i = 0; i < t; i++) {
            double w = b->weight ? (double)b->weight[k * t + i] : 1;
            if (w != 0) sum += w * (double)b->losses[k * t + i];
            weight += w;
        }
        m->losses[run->samples + k] = (pitot_real)(weight != 0 ? sum / weight : 0);
    }
    m->n_losses += b->n;
}

/* What a micro-batch's loss, which is its own mean, weighs in the step's. */
static double weight_of(const pitot_run *run) {
    const pitot_batch *b = &run->batch;
    double sum = 0;
    if (run->reduction == PITOT_SUM) return 1;
    if (run->reduction != PITOT_MEAN_TERMS || !b->weight)
        return (double)(b->n * (run->reduction == PITOT_MEAN_TERMS && b->t ? b->t : 1));
    for (int64_t i = 0; i < b->n * (b->t ? b->t : 1); i++) sum += (double)b->weight[i];
    return sum;
}

/* The batch as the whole step has it, once the last micro-batch is in. */
static void sum_up(pitot_run *run) {
    pitot_batch *b = &run->batch;
    int gathered = run->samples > 0 || b->t > 1, single = run->samples == 0 && !b->more;
    run->weight_last = weight_of(run);
    run->weight_sum += run->weight_last;
    if (run->weight_last != 0) run->loss_sum += b->loss * run->weight_last; /* 0: of padding alone, its loss may be 0 / 0 */
    run->samples += b->n;
    if (b->more) return;
    if (!single) b->loss = run->reduction == PITOT_SUM ? run->loss_sum : run->loss_sum / run->weight_sum;
    b->n = run->samples;
    if (gathered && b->losses) b->losses = run->sampling.n_losses == run->samples ? run->sampling.losses : NULL;
}

static void run_those(pitot_run *run, int heavy) {
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (!s->due || slot_is_heavy(s) != heavy || !slot_has_needs(run, s)) continue;
        slot_call(run, s, s->probe->backward, run->step, 0);
        s->started = 1;
    }
}

/* Last come those whose callbacks overwrite what the host has shown. */
static void run_probes(pitot_run *run) {
    finish_pending(run);
    run_those(run, 0);
    run_those(run, 1);
    callback_finish(run);
}

/* Probes whose callback has just failed say why. */
static void say_what_broke(pitot_run *run) {
    for (int32_t i = 0; run->curving.broken && i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (s->due && s->condition != PITOT_STATE_OK && slot_is_heavy(s)) slot_has_needs(run, s);
    }
}

/* What the update will be measured by. */
static void keep_before(pitot_run *run) {
    int lengths = (run->needs & (PITOT_NEED_LENGTH | PITOT_NEED_PROJECTION)) != 0;
    if (run->plain && lengths) update_promised(run);
    if (run->needs & PITOT_NEED_BEFORE || (lengths && !run->plain)) params_copy_before(run);
}

int32_t pitot_after_backward(pitot_run *run) {
    int go;
    int32_t status = allowed(run, "pitot_after_backward", &go);
    if (!go) return status;
    if (run->seen_backward)
        return run_fail(run, PITOT_EORDER, "pitot_after_backward: called twice in step %lld", (long long)run->step);
    enter(run);
    params_look(run, 1);
    take_losses(run);
    run->curving.batch = run->batch;
    int more = run->batch.more;
    if (!more) curvature_begin(run);
    if (!more && (run->sampling.n_captures || run->sampling.several)) share_ahead(run);
    double from = run_now();
    sampling_add(run);
    if (run->needs & FROM_CAPTURES) run->swept += run_now() - from;
    if (run->seen_forward) sum_up(run);
    if (more) {
        run->seen_forward = 0;
        leave(run);
        return PITOT_OK;
    }
    run->seen_backward = 1;
    run->tracked++;
    sampling_finish(run);
    keep_before(run);
    if (run->needs & PITOT_NEED_STEP) share_keep_gradient(run);
    run_probes(run);
    run->sharing.factors_of = NO_FACTORS;
    say_what_broke(run);
    leave(run);
    return PITOT_OK;
}

int32_t pitot_after_update(pitot_run *run, double lr) {
    int go;
    int32_t ready = allowed(run, "pitot_after_update", &go);
    if (ready || run_calling(run)) return ready;
    if (!go && run->n_emissions == run->flushed) return run->open_step = 0, PITOT_OK;
    if (run_idle(run)) return PITOT_EOFF;
    enter(run);
    run->lr = lr;
    int looks = run->seen_backward && !run->curving.calling; /* a callback that never came back costs the step's values */
    callback_finish(run);
    if (looks) params_look(run, 0);
    if (looks && run->needs & (PITOT_NEED_LENGTH | PITOT_NEED_PROJECTION)) update_check(run);
    double from = run_now();
    if (looks) products_project(run);
    if (run->needs & PITOT_NEED_PROJECTION) run->swept += run_now() - from;
    run->curving.late = 1;
    for (int32_t i = 0; looks && i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (!s->due || !slot_has_needs(run, s)) continue;
        slot_call(run, s, s->probe->update, run->step, 1);
        if (s->probe->spans == 2 && !s->off) s->pending = run->step;
        s->requested = 0;
    }
    callback_finish(run);
    say_what_broke(run);
    run->curving.late = 0;
    products_settle(run);
    emit_remarks(run);
    if (run->n_emissions > 0) budget_say(run);
    emit_flush(run);
    run->open_step = 0;
    leave(run);
    if (run->mask) budget_book(run);
    return PITOT_OK;
}

/* Of a block of the tensor as a matrix (rows, columns), the bias perhaps its last column: for certain where its own factor says so, and
   perhaps where the rows' does not. */
static int block_fits(const pitot_preconditioner *f, int64_t size) {
    if (f->rows < 1 || f->rows > size || size % f->rows) return 0;
    int64_t own = size / f->rows, with = f->columns - own;
    if (with != (f->bias_column != 0) && !(with == 1 && f->axis == 0)) return 0;
    if (f->first_row < 0 || f->n_rows < 1 || f->n_rows > f->rows - f->first_row) return 0;
    if (f->first_column < 0 || f->n_columns < 1 || f->n_columns > f->columns - f->first_column) return 0;
    return f->axis == 0 ? f->n == f->n_rows : f->axis == 1 && f->n == f->n_columns;
}

/* A factor is as large as its axis, or as that and the ones behind it laid flat, and one more if the bias is folded in; a diagonal as
   its tensor. */
static int factor_fits(const pitot_run *run, const pitot_preconditioner *f) {
    if (f->param < 0 || f->param > run->n_params || f->n < 1 || !f->factor || f->axis < -1 || f->diagonal) return 0;
    if (f->param == 0) return f->axis == -1;
    if (f->bias < 0 || f->bias > run->n_params) return 0;
    if (f->bias && f->rows && run->param[f->bias - 1].layout.size != f->rows) return 0;
    const array_layout *a = &run->param[f->param - 1].layout;
    int64_t n = 1;
    if (f->rows) return block_fits(f, a->size);
    if (f->axis == -1) return f->n == a->size;
    for (int32_t d = f->axis; d < a->n_dim; d++) {
        n *= a->shape[d];
        if (f->n == n + (f->bias_column != 0)) return 1;
    }
    return 0;
}

static int all_finite(const pitot_real *x, int64_t n) {
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

/* `corrected` has the values of its block, which are those of the tensor where it is of all of it (and the bias's, if that is folded in). */
static int factor_finite(const pitot_run *run, const pitot_preconditioner *f) {
    if (f->axis < 0) return all_finite(f->factor, f->n);
    int64_t square = f->n * f->n, block = f->rows ? f->n_rows * f->n_columns : run->param[f->param - 1].layout.size;
    return all_finite(f->factor, square) && all_finite(f->basis, square) && all_finite(f->inverse, square) &&
           all_finite(f->eigenvalues, f->n) && all_finite(f->corrected, block);
}

static int same_factor(const pitot_preconditioner *a, const pitot_preconditioner *b) {
    return a->param == b->param && a->axis == b->axis && a->rows == b->rows && a->first_row == b->first_row &&
           a->first_column == b->first_column;
}

/* A factor shown again (with each micro-batch) takes the place of what it was. */
static int32_t keep_factor(pitot_run *run, const pitot_preconditioner *f) {
    for (int64_t i = 0; i < run->n_factors; i++)
        if (same_factor(&run->factor[i], f)) return run->factor[i] = *f, PITOT_OK;
    if (!run_reserve(&run->factor, run->n_factors, 1, &run->room_factors, sizeof *f))
        return run_fail(run, PITOT_ENOMEM, "no memory for a preconditioner");
    run->factor[run->n_factors++] = *f;
    return PITOT_OK;
}

int32_t pitot_add_preconditioner(pitot_run *run, const pitot_preconditioner *given) {
    int go;
    int32_t status = allowed(run, "pitot_add_preconditioner", &go);
    pitot_preconditioner f;
    if (!go || !(run->mask & PITOT_DUE_PRECONDITIONER)) return status;
    run_copy_struct(&f, sizeof f, given);
    if (!factor_fits(run, &f))
        return run_fail(run, PITOT_EINVAL, "pitot_add_preconditioner: param, axis, n or factor makes no sense");
    const char *name = f.param ? run->param[f.param - 1].name : "all parameters";
    if (f.computed > run->step)
        return run_fail(run, PITOT_EINVAL,
                        "pitot_add_preconditioner: a factor of %.80s was computed in step %lld, and this is %lld", name,
                        (long long)f.computed, (long long)run->step);
    if (!factor_finite(run, &f))
        return run_fail(run, PITOT_EHOST, "pitot_add_preconditioner: a factor on axis %d of %.80s is not finite: it is left out",
                        f.axis, name);
    return keep_factor(run, &f);
}

int32_t pitot_hyper(pitot_run *run, int32_t group, const char *name, double value) {
    char key[96];
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    if (!name || !*name || strlen(name) >= sizeof run->setting->name || group < -1)
        return run_fail(run, PITOT_EINVAL, "pitot_hyper: the name is missing or too long, or the group is negative");
    int64_t i = 0;
    while (i < run->n_settings && (run->setting[i].group != group || strcmp(run->setting[i].name, name))) i++;
    if (i == run->n_settings) {
        if (!run_reserve(&run->setting, i, 1, &run->room_settings, sizeof *run->setting))
            return run_fail(run, PITOT_ENOMEM, "no memory for a setting");
        run->setting[i].group = group;
        snprintf(run->setting[i].name, sizeof run->setting[i].name, "%s", name);
        run->n_settings++;
    }
    run->setting[i].value = value;
    if (run->step < 0) return PITOT_OK;
    if (group < 0) snprintf(key, sizeof key, "hyper.%s", name);
    else snprintf(key, sizeof key, "hyper.%s/%d", name, group);
    return pitot_scalar(run, key, value);
}

int32_t pitot_scalar(pitot_run *run, const char *name, double value) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    if (run->step < 0) return run_fail(run, PITOT_EORDER, "pitot_scalar: there is no step yet; call pitot_begin first");
    enter(run);
    int32_t status = name ? emit_host(run, name, value) : PITOT_EINVAL;
    if (!run->open_step) emit_flush(run);
    leave(run);
    return status;
}
