/* slot.c: calling a probe: what it needs is there or the slot says what is missing; its state and scratch are made; its frame is filled
   in. */

#include "base/alloc.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

void slot_waits(slot *s, int32_t condition, const char *why) {
    if (s->off) return;
    s->condition = condition;
    snprintf(s->why, sizeof s->why, "%s", why);
}

/* ---- what is there ---- */

static const char *missing_of(pitot_run *run, uint32_t need, int32_t *condition) {
    const sampling *s = &run->sampling;
    *condition = PITOT_STATE_LEVEL;
    switch (need) {
    case PITOT_NEED_LOSS: return run->seen_forward ? NULL : "needs pitot_after_forward, the loss";
    case PITOT_NEED_LOSSES: return run->batch.losses ? NULL : "needs batch.losses, the loss of each sample";
    case PITOT_NEED_SAMPLES:
    case PITOT_NEED_MOMENTS: *condition = s->condition; return s->ready ? NULL : s->why;
    case PITOT_NEED_HISTOGRAM:
    case PITOT_NEED_PROJECTION:
    case PITOT_NEED_GRAM:
    case PITOT_NEED_LAYERS:
        *condition = s->condition;
        return !s->ready ? s->why : s->several ? "needs the step's samples in one piece, not in several micro-batches" : NULL;
    case PITOT_NEED_OUTPUT:
        return share_prediction(run) ? NULL : "needs outputs, targets and the loss kind (pitot_batch), of a step in one piece";
    case PITOT_NEED_DIAGONAL:
    case PITOT_NEED_STEP: return curvature_missing(run, need, condition);
    case PITOT_NEED_LENGTH: return run->broke_plain ? "the update was not lr times the gradient, as the host had promised" : NULL;
    case PITOT_NEED_MICRO: return s->n_micro > 1 ? NULL : "needs a step of several micro-batches (batch.more)";
    case PITOT_NEED_HESSIAN:
    case PITOT_NEED_GGN: return curvature_missing(run, need, condition);
    case PITOT_NEED_PRECONDITIONER:
        return run->n_factors ? NULL : "needs the optimizer's preconditioner (level P): pitot_add_preconditioner";
    default: return NULL;
    }
}

int slot_has_needs(pitot_run *run, slot *s) {
    int32_t condition, first = PITOT_STATE_LEVEL;
    const char *missing = NULL;
    for (uint32_t need = 1; need && need <= s->probe->needs; need <<= 1) {
        if (!(s->probe->needs & need)) continue;
        if ((missing = missing_of(run, need, &condition)) != NULL) return slot_waits(s, condition, missing), 0;
    }
    for (uint32_t need = 1; need && need <= s->probe->needs_one; need <<= 1) {
        if (!(s->probe->needs_one & need)) continue;
        const char *this_one = missing_of(run, need, &condition);
        if (!this_one) return 1;
        if (!missing) missing = this_one, first = condition;
    }
    return missing ? slot_waits(s, first, missing), 0 : 1;
}

/* 1 if the parameters are all there for this probe, as far as they are there at all. */
static int complete(pitot_run *run, slot *s) {
    char why[WHY_ROOM];
    int64_t there = 0;
    int copies = s->probe->needs & PITOT_NEED_BEFORE || (s->probe->needs & PITOT_NEED_LENGTH && !run->plain);
    if (!(s->probe->needs & (PITOT_NEED_GRADS | PITOT_NEED_BEFORE | PITOT_NEED_LENGTH)) || run->n_live == 0) return 1;
    for (int32_t i = 0; i < run->n_live; i++) {
        const param *p = &run->param[i];
        there += run->tensor[i].data != NULL;
        if (p->data_now && !run->tensor[i].data)
            return slot_off(s, PITOT_STATE_BUDGET, "a copy of %.60s would exceed the byte budget of %lld; raise config.memory",
                            p->name, (long long)run->memory),
                   0;
        if (s->probe->needs & PITOT_NEED_GRADS && p->no_room)
            return slot_off(s, PITOT_STATE_BUDGET,
                            "a copy of the gradient of %.60s would exceed the byte budget of %lld; raise config.memory", p->name,
                            (long long)run->memory),
                   0;
        if (copies && run->tensor[i].data && !p->before && run->seen_backward)
            return slot_off(s, PITOT_STATE_BUDGET,
                            "the copy of the parameters would exceed the byte budget of %lld; raise config.memory",
                            (long long)run->memory),
                   0;
    }
    if (there) return 1;
    snprintf(why, sizeof why, "parameter %.100s has no address; bind it", run->param[0].name);
    return slot_waits(s, PITOT_STATE_LEVEL, why), 0;
}

/* ---- what is made for it ---- */

static int make_state(pitot_run *run, slot *s) {
    int64_t per = s->per_value;
    if (!per) return 1;
    if (!s->tensor_state) s->tensor_state = mem_alloc(run->room_params, sizeof *s->tensor_state);
    for (int32_t i = 0; s->tensor_state && i < run->n_live; i++) {
        run->tensor[i].fresh = 0;
        if (s->tensor_state[i] || run->tensor[i].size == 0) continue;
        s->tensor_state[i] = run_hold(run, per * run->param[i].layout.size, sizeof(pitot_real));
        run->tensor[i].fresh = 1;
        if (s->tensor_state[i]) continue;
        slot_off(s, PITOT_STATE_BUDGET, "its state would exceed the byte budget of %lld; raise config.memory",
                 (long long)run->memory);
        return 0;
    }
    return s->tensor_state != NULL;
}

static int make_work(pitot_run *run, slot *s) {
    curving *c = &run->curving;
    int64_t values, size = params_size(run);
    if (!s->vectors) return 1;
    if (!__builtin_mul_overflow(size, (int64_t)s->vectors, &values) &&
        run_room(run, &c->work, &c->room_probe, values, sizeof *c->work))
        return 1;
    slot_off(s, PITOT_STATE_BUDGET, "%d vectors of %lld values would exceed the byte budget of %lld; raise config.memory",
             s->vectors, (long long)size, (long long)run->memory);
    return 0;
}

int slot_prepare(pitot_run *run, slot *s) {
    return !s->off && make_state(run, s) && make_work(run, s) && complete(run, s);
}

/* ---- calling ---- */

pitot_frame slot_frame(pitot_run *run, slot *s, int64_t step) {
    const sampling *m = &run->sampling;
    run->emitter[s - run->slot] = (pitot_emitter){ run, (int32_t)(s - run->slot) };
    return (pitot_frame){ .struct_size = sizeof run->frame,
                          .step = step,
                          .first_step = run->first_step,
                          .wall = run_wall(),
                          .lr = isnan(run->lr) ? setting_of(run, -1, "lr", NAN) : run->lr,
                          .loss = run->batch.loss,
                          .n = run->batch.n,
                          .n_last = run->curving.batch.n,
                          .losses = run->batch.losses,
                          .n_tensors = run->n_live,
                          .tensor = run->tensor,
                          .to_mean = run->reduction == PITOT_SUM ? 1 / (double)(m->counted ? m->counted : run->batch.n) : 1,
                          .samples = m->ready ? &m->out : NULL,
                          .hessian = run->curving.hessian.n ? &run->curving.hessian : NULL,
                          .ggn = run->curving.ggn.n ? &run->curving.ggn : NULL,
                          .preconditioner = run->n_factors ? run->factor : NULL,
                          .n_preconditioners = run->n_factors,
                          .micro = m->n_micro > 1 ? m->micro : NULL,
                          .n_micro = m->n_micro > 1 ? m->n_micro : 0,
                          .sums = s->sums,
                          .work = run->curving.work,
                          .size = params_size(run),
                          .histogram = s->histogram.n ? &s->histogram : NULL,
                          .projection = m->has_projection ? m->projection : NULL,
                          .gram = m->has_gram && m->ready ? m->gram : NULL,
                          .layer = m->layer,
                          .n_layers = m->n_layers,
                          .prediction = (s->probe->needs | s->probe->wants) & PITOT_NEED_OUTPUT ? share_prediction(run) : NULL,
                          .optimizer = run->optimizer ? run->optimizer : "",
                          .options = s->options,
                          .state = s->state,
                          .out = &run->emitter[s - run->slot] };
}

void slot_call(pitot_run *run, slot *s, phase f, int64_t step, int before) {
    if (!f || !slot_prepare(run, s)) return;
    if (f == s->probe->backward && s->probe->needs & PITOT_NEED_MOMENTS && !s->takes_tiles) return; /* it was not ready in time */
    if (f == s->probe->backward && s->probe->needs & PITOT_NEED_HISTOGRAM && !s->histogram.n) return;
    for (int32_t i = 0; i < run->n_live; i++) {
        pitot_tensor *t = &run->tensor[i];
        t->state = s->tensor_state ? s->tensor_state[i] : NULL;
        t->before = before && run->param[i].has_before ? run->param[i].before : NULL;
        int left_out = before && ((s->probe->needs & PITOT_NEED_BEFORE && !t->before) ||
                                  (s->probe->needs & PITOT_NEED_LENGTH && !update_is_known(run, i)));
        t->size = t->data && !left_out ? run->param[i].layout.size : 0;
    }
    run->frame = slot_frame(run, s, step);
    if (f == s->probe->backward || !s->probe->backward) s->remark[0] = 0; /* what was said of this step stays */
    double from = run_now();
    int32_t status = f(&run->frame);
    s->seconds += run_now() - from;
    if (status == PITOT_ENOTSUP || (status == PITOT_EBUDGET && s->condition == PITOT_STATE_BUDGET)) {
        /* the slot says why */
    } else if (status == PITOT_EBUDGET) {
        slot_off(s, PITOT_STATE_BUDGET, "what its products need would exceed the byte budget of %lld; raise config.memory",
                 (long long)run->memory);
    } else if (status) {
        slot_off(s, PITOT_STATE_ERROR, "%s at step %lld", pitot_strerror(status), (long long)step);
        run_fail(run, status, "probe %s: %s; it is off", s->probe->name, s->why);
    }
}
