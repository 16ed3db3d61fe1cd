/* step.c: the hooks of a step, in the order in which they are called. */

#include "base/alloc.h"
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

/* Whether a tracked step would keep the hooks' share below the limit; the first step is always tracked. Two-step probes make the
   next step a tracked one, too. */
static int affordable(const pitot_run *run, double now) {
    int spans = 1;
    if (run->overhead <= 0 || run->tracked == 0) return 1;
    for (int32_t i = 0; i < run->n_slots; i++)
        if (run->slot[i].probe->spans == 2 && !run->slot[i].off) spans = 2;
    return run->inside + spans * run->cost <= run->overhead * (now - run->first_begin);
}

/* ---- what probes see ---- */

static void *pointer_at(const void *address) {
    void *p;
    memcpy(&p, address, sizeof p);
    return p;
}

static const pitot_real *scaled_gradient(pitot_run *run, param *p, const pitot_real *grad) {
    if (run->grad_scale == 1 || !grad) return grad;
    if (!p->scaled) p->scaled = run_hold(run, p->size);
    if (!p->scaled) return run_fail(run, PITOT_EBUDGET, "no room for the scaled gradient of %s", p->name), NULL;
    for (int64_t i = 0; i < p->size; i++) p->scaled[i] = (pitot_real)(run->grad_scale * (double)grad[i]);
    return p->scaled;
}

static void look(pitot_run *run, int gradients) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        pitot_tensor *t = &run->tensor[i];
        const pitot_real *data = p->data_at ? pointer_at(p->data_at) : p->data,
                         *grad = p->grad_at ? pointer_at(p->grad_at) : p->grad;
        *t = (pitot_tensor){ .name = p->name,
                             .size = p->size,
                             .n_dim = p->n_dim,
                             .group = p->group,
                             .data = data,
                             .grad = gradients ? scaled_gradient(run, p, grad) : t->grad };
        memcpy(t->shape, p->shape, sizeof t->shape);
    }
}

static void copy_before(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!p->before) p->before = run_hold(run, p->size);
        if (p->before && run->tensor[i].data) memcpy(p->before, run->tensor[i].data, (size_t)p->size * sizeof *p->before);
    }
}

/* 1 if the parameters are all there for this probe. */
static int complete(pitot_run *run, slot *s) {
    if (!(s->probe->needs & (PITOT_NEED_BEFORE | PITOT_NEED_GRADS))) return 1;
    for (int32_t i = 0; i < run->n_live; i++) {
        const pitot_tensor *t = &run->tensor[i];
        if (!t->data) {
            s->condition = PITOT_STATE_LEVEL;
            snprintf(s->why, sizeof s->why, "parameter %.100s has no address; bind it", t->name);
            return 0;
        }
        if (s->probe->needs & PITOT_NEED_BEFORE && !run->param[i].before) {
            slot_off(s, PITOT_STATE_BUDGET, "the copy of the parameters would exceed the byte budget of %lld; raise config.memory",
                     (long long)run->memory);
            return 0;
        }
    }
    return 1;
}

static int make_state(pitot_run *run, slot *s) {
    int64_t per = s->probe->tensor_state;
    if (!per) return 1;
    if (!s->tensor_state) s->tensor_state = mem_alloc(run->room_params, sizeof *s->tensor_state);
    for (int32_t i = 0; s->tensor_state && i < run->n_live; i++) {
        if (s->tensor_state[i]) continue;
        s->tensor_state[i] = run_hold(run, per * run->param[i].size);
        if (s->tensor_state[i]) continue;
        slot_off(s, PITOT_STATE_BUDGET, "its state would exceed the byte budget of %lld; raise config.memory",
                 (long long)run->memory);
        return 0;
    }
    return s->tensor_state != NULL;
}

typedef int32_t (*phase)(const pitot_frame *frame);

static void call(pitot_run *run, slot *s, phase f, int64_t step, int before) {
    if (!f || s->off || !make_state(run, s) || !complete(run, s)) return;
    for (int32_t i = 0; i < run->n_live; i++) {
        run->tensor[i].state = s->tensor_state ? s->tensor_state[i] : NULL;
        run->tensor[i].before = before ? run->param[i].before : NULL;
    }
    run->emitter = (pitot_emitter){ run, (int32_t)(s - run->slot) };
    run->frame = (pitot_frame){ .struct_size = sizeof run->frame,
                                .step = step,
                                .first_step = run->first_step,
                                .wall = run_wall(),
                                .lr = run->lr,
                                .loss = run->batch.loss,
                                .n = run->batch.n,
                                .losses = run->batch.losses,
                                .n_tensors = run->n_live,
                                .tensor = run->tensor,
                                .options = s->options,
                                .state = s->state,
                                .out = &run->emitter };
    int32_t status = f(&run->frame);
    if (status) {
        slot_off(s, PITOT_STATE_ERROR, "%s at step %lld", pitot_strerror(status), (long long)step);
        run_fail(run, status, "probe %s: %s; it is off", s->probe->name, s->why);
    }
}

/* ---- the hooks ---- */

/* Needs that the core fulfils, as what the host will be asked to have ready. */
static uint32_t mask_of(uint32_t needs) {
    uint32_t mask = 0;
    if (!needs) return 0;
    if (needs & PITOT_NEED_LOSS) mask |= PITOT_DUE_LOSS;
    if (needs & PITOT_NEED_GRADS) mask |= PITOT_DUE_GRADS;
    if (needs & PITOT_NEED_LOSSES) mask |= PITOT_DUE_LOSSES;
    if (needs & (PITOT_NEED_BEFORE | PITOT_NEED_LR)) mask |= PITOT_DUE_UPDATE;
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
    run->needs = plan_due(run, step, affordable(run, run->entered));
    run->mask = mask_of(run->needs);
    run->batch = (pitot_batch){ .loss = NAN };
    leave(run);
    return run->mask;
}

uint32_t pitot_due(const pitot_run *run) {
    return run && !run->off && run->open_step ? run->mask : 0;
}

/* PITOT_OK with *go 0 if nothing is due. */
static int32_t allowed(pitot_run *run, const char *function, int *go) {
    *go = 0;
    if (!run || run->off) return PITOT_EOFF;
    if (!run->open_step)
        return run_idle(run) ? PITOT_EOFF : run_fail(run, PITOT_EORDER, "%s: no step is open; call pitot_begin first", function);
    if (run->mask == 0) return PITOT_OK;
    if (run_idle(run)) return PITOT_EOFF;
    *go = 1;
    return PITOT_OK;
}

int32_t pitot_after_forward(pitot_run *run, const pitot_batch *batch) {
    int go;
    int32_t status = allowed(run, "pitot_after_forward", &go);
    if (!go) return status;
    size_t theirs = batch ? batch->struct_size : 0;
    if (theirs < offsetof(pitot_batch, losses) || batch->n < 1)
        return run_fail(run, PITOT_EINVAL, "pitot_after_forward: the batch has no samples, or no struct_size");
    run->batch = (pitot_batch){ 0 };
    memcpy(&run->batch, batch, theirs < sizeof run->batch ? theirs : sizeof run->batch);
    run->seen_forward = 1;
    return PITOT_OK;
}

/* What a probe needs of the forward pass, and whether the host gave it. */
static int has_inputs(pitot_run *run, slot *s) {
    uint32_t needs = s->probe->needs;
    const char *missing = NULL;
    if (needs & PITOT_NEED_LOSS && !run->seen_forward) missing = "needs pitot_after_forward, the loss";
    if (needs & PITOT_NEED_LOSSES && !run->batch.losses) missing = "needs batch.losses, the loss of each sample";
    if (!missing) return 1;
    if (!s->off) {
        s->condition = PITOT_STATE_LEVEL;
        snprintf(s->why, sizeof s->why, "%s", missing);
    }
    return 0;
}

/* Second halves of what spans two steps; those whose second step has not come are dropped. */
static void finish_pending(pitot_run *run) {
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (s->pending >= 0 && s->pending == run->step - 1 && has_inputs(run, s)) call(run, s, s->probe->next, s->pending, 0);
        else if (s->pending >= 0) run->unfinished++;
        s->pending = -1;
    }
    emit_flush(run);
}

int32_t pitot_after_backward(pitot_run *run) {
    int go;
    int32_t status = allowed(run, "pitot_after_backward", &go);
    if (!go) return status;
    if (run->seen_backward)
        return run_fail(run, PITOT_EORDER, "pitot_after_backward: called twice in step %lld", (long long)run->step);
    enter(run);
    run->seen_backward = 1;
    run->tracked++;
    look(run, 1);
    if (run->needs & PITOT_NEED_BEFORE) copy_before(run);
    finish_pending(run);
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (!s->due || !has_inputs(run, s)) continue;
        call(run, s, s->probe->backward, run->step, 0);
        s->started = 1;
    }
    leave(run);
    return PITOT_OK;
}

int32_t pitot_after_update(pitot_run *run, double lr) {
    int go;
    int32_t ready = allowed(run, "pitot_after_update", &go);
    if (ready) return ready;
    if (!go && run->n_emissions == run->flushed) return run->open_step = 0, PITOT_OK;
    if (run_idle(run)) return PITOT_EOFF;
    enter(run);
    run->lr = lr;
    if (run->seen_backward) look(run, 0);
    for (int32_t i = 0; run->seen_backward && i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        if (!s->due || !has_inputs(run, s)) continue;
        call(run, s, s->probe->update, run->step, 1);
        if (s->probe->spans == 2 && !s->off) s->pending = run->step;
        s->due = s->requested = 0;
    }
    emit_flush(run);
    run->open_step = 0;
    leave(run);
    if (run->mask) run->cost = run->cost > 0 ? 0.5 * (run->cost + run->step_inside) : run->step_inside;
    return PITOT_OK;
}

int32_t pitot_scalar(pitot_run *run, const char *name, double value) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run->step < 0) return run_fail(run, PITOT_EORDER, "pitot_scalar: there is no step yet; call pitot_begin first");
    enter(run);
    int32_t status = name ? emit_host(run, name, value) : PITOT_EINVAL;
    if (!run->open_step) emit_flush(run);
    leave(run);
    return status;
}
