/* callback.c: calling the host, and making sure that nothing of it stays behind: parameters, gradient buffers and guards are kept bit by
   bit before the first call of a step and compared and put back after the last. */

#include "base/alloc.h"
#include "base/sums.h"
#include "run/run.h"

#include <stdarg.h>
#include <string.h>

enum { MOST_GUARDS = 4096, CALL_DEPTH = 4096 /* bytes */ };

static const char *const names[] = { "grad", "hvp", "forward", "jvp", "vjp", "hessian_root", "diagonal", "ggn_spectrum" };

static pitot_fn function(const pitot_run *run, int which) {
    const pitot_callbacks *h = &run->curving.host;
    const pitot_fn all[] = { h->grad, h->hvp, h->forward, h->jvp, h->vjp, h->hessian_root, h->diagonal, h->ggn_spectrum };
    return all[which];
}

static int overwrites_gradients(int which) {
    return which == CALL_GRAD || which == CALL_VJP;
}

int callback_there(const pitot_run *run, int which) {
    if (run->refused_params && overwrites_gradients(which)) return 0;
    return function(run, which) && !(run->curving.broken & 1u << which);
}

void callback_break(pitot_run *run, int which, const char *format, ...) {
    char text[WHY_ROOM - 32];
    va_list list;
    if (run->curving.broken & 1u << which) return; /* the first reason stands */
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    run->curving.broken |= 1u << which;
    snprintf(run->curving.why[which], WHY_ROOM, "callback `%s` %s", names[which], text);
    run_fail(run, PITOT_EHOST, "step %lld: %s; it is not called again", (long long)run->step, run->curving.why[which]);
}

int32_t pitot_set_callbacks(pitot_run *run, const pitot_callbacks *callbacks) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    if (run->curving.calling) callback_finish(run);
    run_copy_struct(&run->curving.host, sizeof run->curving.host, callbacks);
    run->curving.broken = run->curving.refused = 0;
    run->curving.points = run->curving.sloped = 0;
    return PITOT_OK;
}

/* ---- guards ---- */

static void drop_guard(pitot_run *run, int32_t i) {
    guard *g = &run->curving.guard[i];
    mem_free(g->name);
    run_release(run, g->kept, g->bytes, 1);
    *g = run->curving.guard[--run->curving.n_guards];
}

int32_t pitot_add_guard(pitot_run *run, const char *name, void *address, int64_t bytes) {
    if (run_idle(run)) return PITOT_EOFF;
    curving *c = &run->curving;
    if (run_calling(run)) return PITOT_EORDER;
    if (!name || !*name || bytes < 0 || (bytes && !address))
        return run_fail(run, PITOT_EINVAL, "pitot_add_guard: the name, address or size makes no sense");
    for (int32_t i = 0; i < c->n_guards; i++)
        if (strcmp(c->guard[i].name, name) == 0) drop_guard(run, i--);
    if (bytes == 0) return PITOT_OK;
    int64_t room = c->room_guards;
    if (c->n_guards == MOST_GUARDS) return run_fail(run, PITOT_EBUDGET, "pitot_add_guard: there are %d already", MOST_GUARDS);
    if (!run_reserve(&c->guard, c->n_guards, 1, &room, sizeof *c->guard))
        return run_fail(run, PITOT_ENOMEM, "no memory for a guard");
    c->room_guards = (int32_t)room;
    guard g = { mem_strdup(name), address, run_hold(run, bytes, 1), bytes };
    if (!g.name || !g.kept) {
        mem_free(g.name);
        run_release(run, g.kept, bytes, 1);
        return run_fail(run, PITOT_EBUDGET, "no room to guard %.60s, %lld bytes; raise config.memory", name, (long long)bytes);
    }
    c->guard[c->n_guards++] = g;
    return PITOT_OK;
}

/* ---- keeping and putting back ---- */

static int keep_array(pitot_run *run, const array_layout *a, const void *from, void **kept) {
    int64_t bytes = a->size * array_width(a->dtype);
    if (!from) return 1;
    if (!*kept) *kept = run_hold(run, bytes, 1);
    if (!*kept) return 0;
    array_keep(a, from, *kept);
    return 1;
}

/* Buffers are overwritten from now on: who looks for the step's gradient finds it in the copy. */
static void look_at_copies(pitot_run *run) {
    for (int64_t i = 0; i < run->n_emissions; i++) {
        emission *e = &run->emission[i];
        if (e->kind != PITOT_READ_VALUES || e->tensor >= run->n_live) continue;
        const param *p = &run->param[e->tensor];
        if (p->grad_now && e->reals == p->grad_now) e->reals = p->kept_grad;
    }
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->tensor[i].grad && run->tensor[i].grad == run->param[i].grad_now) run->tensor[i].grad = run->param[i].kept_grad;
}

static int keep_gradients(pitot_run *run) {
    curving *c = &run->curving;
    if (c->kept_gradients) return 1;
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!keep_array(run, &p->grad_layout, p->grad_now, &p->kept_grad)) return 0;
        p->had_grad = p->grad_now != NULL;
    }
    look_at_copies(run);
    return c->kept_gradients = 1;
}

/* The first call at this point. */
static void open_point(curving *c) {
    if (c->open) return;
    c->open = 1;
    c->used = c->suspects = 0;
    c->points++;
}

/* Parameters and guards, which no callback may change. */
static int keep_rest(pitot_run *run) {
    curving *c = &run->curving;
    if (c->kept) return 1;
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!keep_array(run, &p->layout, p->data_now, &p->kept_data)) return 0;
    }
    for (int32_t i = 0; i < c->n_guards; i++) memcpy(c->guard[i].kept, c->guard[i].address, (size_t)c->guard[i].bytes);
    return c->kept = 1;
}

/* Those that were moved; what a callback did to others is its own. */
static void restore_parameters(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (run->tensor[i].grad && p->data_now && p->kept_data) array_restore(&p->layout, p->kept_data, p->data_now);
    }
    run->curving.moved = 0;
}

static void restore_gradients(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!p->had_grad || !p->grad_now || array_unchanged(&p->grad_layout, p->kept_grad, p->grad_now)) continue;
        array_restore(&p->grad_layout, p->kept_grad, p->grad_now);
    }
}

static void blame(pitot_run *run, const char *what) {
    for (int which = CALL_GRAD; which <= CALL_SPECTRUM; which++)
        if (run->curving.suspects & 1u << which) callback_break(run, which, "changed %.80s, which it promised to leave", what);
}

void callback_check(pitot_run *run) {
    curving *c = &run->curving;
    const char *changed = NULL;
    if (!c->kept) return;
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!p->data_now || !p->kept_data || array_unchanged(&p->layout, p->kept_data, p->data_now)) continue;
        array_restore(&p->layout, p->kept_data, p->data_now);
        changed = p->name;
    }
    for (int32_t i = 0; i < c->n_guards; i++) {
        guard *g = &c->guard[i];
        if (memcmp(g->kept, g->address, (size_t)g->bytes) == 0) continue;
        memcpy(g->address, g->kept, (size_t)g->bytes);
        changed = g->name;
    }
    if (changed) blame(run, changed);
    c->suspects = 0;
}

static void last_call(pitot_run *run) {
    curving *c = &run->curving;
    uint32_t used = c->used & ~c->refused;
    pitot_call call = { .struct_size = sizeof call, .last = 1, .n = c->size };
    if (used & 1u << CALL_GRAD) callback_call(run, CALL_GRAD, &call);
    else if (used & 1u << CALL_FORWARD) callback_call(run, CALL_FORWARD, &call);
}

/* A callback was jumped out of, and the host has gone on since: memory may lie elsewhere, and guards, gradients and parameters that
   stood where they belong may have changed for good reason. What was moved goes back to where it was, and buffers that carry. */
static void recover(pitot_run *run) {
    curving *c = &run->curving;
    params_locate(run);
    if (c->moved) restore_parameters(run);
    if (run->flags & PITOT_CARRIED && c->kept_gradients) restore_gradients(run);
    c->calling = c->open = c->kept = c->kept_gradients = c->late = 0;
    callback_break(run, c->current, "did not come back");
}

void callback_finish(pitot_run *run) {
    curving *c = &run->curving;
    if (c->calling) {
        recover(run);
        return;
    }
    if (!c->open) return;
    if (c->moved) restore_parameters(run);
    if (!c->late) last_call(run);
    callback_check(run);
    if (c->kept_gradients) restore_gradients(run);
    c->open = c->kept = c->kept_gradients = 0;
}

/* ---- calling ---- */

static int32_t prepare(pitot_run *run, int gradients) {
    open_point(&run->curving);
    if (keep_rest(run) && (!gradients || keep_gradients(run))) return PITOT_OK;
    return run_fail(run, PITOT_EBUDGET, "no room to keep parameters and gradients while callbacks run; raise config.memory");
}

int32_t callback_prepare(pitot_run *run) {
    return prepare(run, 1);
}

int32_t callback_ready(pitot_run *run, int which) {
    const uint32_t products = 1u << CALL_HVP | 1u << CALL_JVP | 1u << CALL_VJP | 1u << CALL_DIAGONAL | 1u << CALL_SPECTRUM;
    if (!run->curving.host.untouched || !(products & 1u << which))
        return prepare(run, which != CALL_DIAGONAL && which != CALL_SPECTRUM);
    open_point(&run->curving);
    return PITOT_OK;
}

int callback_lost(const pitot_run *run) {
    const curving *c = &run->curving;
    if (!c->calling) return 0;
    return !pthread_equal(c->thread, pthread_self()) || (uintptr_t)__builtin_frame_address(0) >= (uintptr_t)c->frame;
}

static __attribute__((noinline)) void call_host(curving *c, pitot_fn f, pitot_call *call) {
    c->frame = __builtin_frame_address(0);
    c->thread = pthread_self();
    c->calling = 1;
    f(c->host.user, call);
    c->calling = 0;
}

/* The host is called from some way down the stack: from where it called the hook that a callback jumped out of, no other hook gets as deep. */
static __attribute__((noinline)) void call_from_below(curving *c, pitot_fn f, pitot_call *call) {
    char room[CALL_DEPTH];
    call_host(c, f, call);
    __asm__ volatile("" : : "r"(room) : "memory"); /* or the compiler would do without it */
}

int32_t callback_call(pitot_run *run, int which, pitot_call *call) {
    curving *c = &run->curving;
    pitot_fn f = function(run, which);
    if (!f || (c->broken & 1u << which && !call->last)) return PITOT_EHOST;
    int32_t ready = callback_ready(run, which);
    if (ready) return ready;
    call->status = PITOT_EHOST;
    if (which != CALL_DIAGONAL || call->out) run->sharing.factors_of = NO_FACTORS;
    c->used |= 1u << which;
    c->suspects |= 1u << which;
    c->current = which;
    fesetenv(&run->host_mode);
    call_from_below(c, f, call);
    fesetenv(FE_DFL_ENV);
    sums_set_threads(run->threads); /* it may have called hooks of another run */
    params_locate_gradients(run);
    if (call->status == PITOT_OK) return PITOT_OK;
    if (c->moved) restore_parameters(run);
    if (call->status == PITOT_ENOTSUP) c->refused |= 1u << which;
    if (call->status == PITOT_ENOTSUP) callback_break(run, which, "says that it cannot");
    else if (call->status == PITOT_EHOST) callback_break(run, which, "failed, or ended without a status");
    else callback_break(run, which, "failed (status %d)", call->status);
    return PITOT_EHOST;
}

void callback_move(pitot_run *run, const pitot_real *direction, double h) {
    run->curving.moved = h != 0;
    if (h == 0) restore_parameters(run);
    for (int32_t i = 0; h != 0 && i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!run->tensor[i].grad) continue;
        array_move(&p->layout, p->kept_data, direction, h, p->data_now);
        direction += p->layout.size;
    }
}

void callback_clear_gradients(pitot_run *run) {
    if (run->flags & PITOT_CARRIED && run->curving.kept_gradients) restore_gradients(run);
}

void callback_gradient(pitot_run *run, pitot_real *out) {
    double factor = sampling_factor(run) * curvature_share(run);
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!run->tensor[i].grad) continue;
        if (p->grad_now) array_read(&p->grad_layout, p->grad_now, out);
        else memset(out, 0, (size_t)p->layout.size * sizeof *out);
        for (int64_t k = 0; k < p->layout.size; k++) {
            double g = (double)out[k];
            if (run->flags & PITOT_CARRIED && p->kept_grad) g -= array_value(p->grad_layout.dtype, p->kept_grad, k);
            out[k] = (pitot_real)(factor * g);
        }
        out += p->layout.size;
    }
}

void callback_free(pitot_run *run) {
    curving *c = &run->curving;
    for (int32_t i = 0; i < c->n_guards; i++) {
        mem_free(c->guard[i].name);
        mem_free(c->guard[i].kept);
    }
    void *const blocks[] = { c->guard, c->vector, c->out[0], c->out[1], c->root, c->output, c->work };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}
