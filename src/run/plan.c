/* plan.c: which probes a run has, with which options and schedules, and what those due at a step need. */

#include "base/alloc.h"
#include "base/nearest.h"
#include "run/run.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROBES = 256, TEXT_ROOM = 1024 };

/* ---- the registry, and those that hosts add ---- */

static const pitot_probe *all[MOST_PROBES + 1];

static int32_t registered(void) {
    int32_t n = 0;
    if (!all[0])
        while (probe_table[n] && n < MOST_PROBES) all[n] = probe_table[n], n++;
    for (n = 0; all[n];) n++;
    return n;
}

const pitot_probe *const *pitot_probes(void) {
    registered();
    return all;
}

const pitot_probe *pitot_probe_find(const char *name) {
    int32_t n = registered();
    for (int32_t i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}

int32_t pitot_probe_register(const pitot_probe *p) {
    int32_t n = registered();
    if (!p || p->struct_size < sizeof *p || p->abi != PITOT_ABI || !p->name || !p->summary || !p->outputs ||
        pitot_probe_find(p->name))
        return PITOT_EINVAL;
    if (n == MOST_PROBES) return PITOT_ENOMEM;
    all[n] = p;
    return PITOT_OK;
}

/* ---- schedules ---- */

/* 0..9, then 20 a decade: the first step at or behind each of 10^(k/20). */
static int logarithmic_due(int64_t step) {
    const double ratio = 1.1220184543019633; /* 10^(1/20) */
    double at = 10;
    if (step < 10) return 1;
    while ((double)step >= 10 * at) at *= 10; /* whole powers of ten are exact */
    while ((double)step >= at * ratio) at *= ratio;
    return (double)(step - 1) < at;
}

int schedule_due(const schedule *s, int64_t step) {
    return s->kind == LOGARITHMIC ? logarithmic_due(step) : step % s->every == 0;
}

void schedule_text(const schedule *s, char out[32]) {
    if (s->kind == LOGARITHMIC) snprintf(out, 32, "log");
    else snprintf(out, 32, "%lld", (long long)s->every);
}

/* ---- probes by name and configuration ---- */

static uint32_t preset_of(const char *name) {
    static const struct {
        const char *name;
        uint32_t bit;
    } presets[] = { { "economy", PITOT_ECONOMY }, { "business", PITOT_BUSINESS }, { "full", PITOT_FULL }, { "all", UINT32_MAX } };
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) return presets[i].bit;
    return 0;
}

static int in_preset(const pitot_probe *p, uint32_t preset) {
    if (preset == UINT32_MAX) return !(p->presets & PITOT_ON_REQUEST);
    return (p->presets & preset) != 0;
}

static slot *find_slot(pitot_run *run, const char *name) {
    for (int32_t i = 0; i < run->n_slots; i++)
        if (strcmp(run->slot[i].probe->name, name) == 0) return &run->slot[i];
    return NULL;
}

static int32_t add_slot(pitot_run *run, const pitot_probe *p, schedule when) {
    slot *s = find_slot(run, p->name);
    if (s) {
        s->when = when;
        return PITOT_OK;
    }
    slot *larger = mem_grow(run->slot, run->n_slots, run->n_slots + 1, sizeof *larger);
    if (!larger) return PITOT_ENOMEM;
    run->slot = larger;
    pitot_emitter *emitters = mem_grow(run->emitter, run->n_slots, run->n_slots + 1, sizeof *emitters);
    if (!emitters) return PITOT_ENOMEM;
    run->emitter = emitters;
    s = &larger[run->n_slots++];
    *s = (slot){ .probe = p, .when = when, .condition = PITOT_STATE_WAITING, .pending = -1 };
    s->options = mem_alloc(1, p->options_size);
    s->state = mem_alloc(1, p->state_size);
    if (!s->options || !s->state) return PITOT_ENOMEM;
    pitot_options_default(p->options, s->options);
    return PITOT_OK;
}

static int32_t unknown(pitot_run *run, const char *name) {
    const char *names[MOST_PROBES + 5] = { "economy", "business", "full", "all", "none" };
    char list[TEXT_ROOM];
    int n = 5;
    for (int32_t i = 0; all[i]; i++) names[n++] = all[i]->name;
    nearest_list(name, names, n, list, sizeof list);
    return run_fail(run, PITOT_EINVAL, "probes: unknown probe \"%.60s\"; %s", name, list);
}

static int read_schedule(const char *text, schedule *when) {
    char *end;
    if (strcmp(text, "log") == 0) return *when = (schedule){ LOGARITHMIC, 1 }, 1;
    long long n = strtoll(text, &end, 10);
    *when = (schedule){ EVERY, n };
    return *text >= '0' && *text <= '9' && *end == 0 && n >= 1;
}

static int32_t plan_item(pitot_run *run, char *item) {
    schedule when = { EVERY, 1 };
    char *at = strchr(item, '@');
    if (at) {
        *at++ = 0;
        if (!read_schedule(at, &when))
            return run_fail(run, PITOT_EINVAL,
                            "probes: \"%.40s@%.40s\": behind the @ stands a number of steps from 1 on, or \"log\"", item, at);
    }
    if (strcmp(item, "none") == 0) return PITOT_OK;
    uint32_t preset = preset_of(item);
    const pitot_probe *one = preset ? NULL : pitot_probe_find(item);
    if (!preset && !one) return unknown(run, item);
    if (one) return add_slot(run, one, when);
    int32_t status = PITOT_OK;
    for (int32_t i = 0; all[i] && !status; i++)
        if (in_preset(all[i], preset)) status = add_slot(run, all[i], when);
    return status;
}

int32_t plan_probes(pitot_run *run, const char *spec) {
    char *copy = mem_strdup(spec ? spec : "economy"), *rest = copy, *item;
    int32_t status = copy ? PITOT_OK : PITOT_ENOMEM;
    registered();
    while (!status && (item = strtok_r(rest, ", \t\n", &rest))) status = plan_item(run, item);
    mem_free(copy);
    if (status == PITOT_ENOMEM) run_fail(run, status, "no memory for the probes");
    return status;
}

/* One "probe.option=value". */
static int32_t plan_option(pitot_run *run, char *line) {
    char *dot = strchr(line, '.'), *equals = strchr(line, '='), owner[96];
    pitot_error inner = { 0 };
    if (!dot || !equals || dot > equals) return run_fail(run, PITOT_EINVAL, "options: \"%.60s\" is not probe.option=value", line);
    *dot = *equals = 0;
    const pitot_probe *p = pitot_probe_find(line);
    if (!p) return unknown(run, line);
    slot *s = find_slot(run, line);
    if (!s) return PITOT_OK; /* an option of a probe that this run does not have */
    snprintf(owner, sizeof owner, "probe %s", line);
    int32_t status = pitot_options_set(p->options, s->options, owner, dot + 1, equals + 1, &inner);
    return status ? run_fail(run, status, "%s", inner.text) : PITOT_OK;
}

int32_t plan_options(pitot_run *run, const char *options) {
    char *copy = mem_strdup(options ? options : ""), *rest = copy, *line;
    int32_t status = copy ? PITOT_OK : PITOT_ENOMEM;
    while (!status && (line = strtok_r(rest, "\n", &rest))) status = plan_option(run, line);
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        s->per_value = s->probe->tensor_state, s->vectors = s->probe->work_vectors;
        if (s->probe->room) s->probe->room(s->options, &s->per_value, &s->vectors);
    }
    mem_free(copy);
    if (status == PITOT_ENOMEM) run_fail(run, status, "no memory for the options");
    return status;
}

/* ---- what is due ---- */

void slot_off(slot *s, int32_t condition, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(s->why, sizeof s->why, format, list);
    va_end(list);
    s->off = 1;
    s->condition = condition;
}

enum {
    LATE = FROM_CAPTURES | PITOT_NEED_PRECONDITIONER | PITOT_NEED_OUTPUT /* known only when the host has been asked for it */
};

/* What the host would have to offer, and how; NULL: nothing is known to be missing. */
static const char *missing(const pitot_run *run, uint32_t needs, int32_t *condition) {
    const char *what = NULL;
    *condition = PITOT_STATE_LEVEL;
    if (needs & FROM_CAPTURES && !run->sampling.seen)
        return "needs layer inputs and output gradients (level 1): pitot_add_capture in each backward pass";
    if (needs & PITOT_NEED_HESSIAN) what = curvature_unoffered(run, PITOT_NEED_HESSIAN, condition);
    if (needs & PITOT_NEED_GGN && !what) what = curvature_unoffered(run, PITOT_NEED_GGN, condition);
    if (needs & PITOT_NEED_DIAGONAL && !what) what = curvature_unoffered(run, PITOT_NEED_DIAGONAL, condition);
    if (needs & PITOT_NEED_STEP && !what) what = curvature_unoffered(run, PITOT_NEED_STEP, condition);
    if (what) return what;
    if (needs & PITOT_NEED_PRECONDITIONER && !run->room_factors)
        return "needs the optimizer's preconditioner (level P): pitot_add_preconditioner";
    return NULL;
}

/* Whether the probe may run: not without callbacks that are not there; what comes with the step is asked for when due. */
static int offered(pitot_run *run, slot *s) {
    int32_t condition;
    const char *what = missing(run, s->probe->needs, &condition);
    if (!what) {
        if (s->unoffered) slot_waits(s, PITOT_STATE_WAITING, "");
        s->unoffered = 0;
        return 1;
    }
    slot_waits(s, condition, what);
    s->unoffered = missing(run, s->probe->needs & ~(uint32_t)LATE, &condition) != NULL;
    return !s->unoffered;
}

static int wanted(const pitot_run *run, const slot *s, int64_t step) {
    if (s->requested || (s->probe->start_always && !s->started)) return 1;
    return schedule_due(&s->when, step) && budget_allows(run, s);
}

int slot_is_heavy(const slot *s) {
    return ((s->probe->needs | s->probe->needs_one | s->probe->wants) &
            (PITOT_NEED_HESSIAN | PITOT_NEED_GGN | PITOT_NEED_DIAGONAL | PITOT_NEED_STEP)) != 0;
}

uint32_t plan_due(pitot_run *run, int64_t step) {
    uint32_t needs = 0;
    int any = 0;
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        s->due = !s->off && offered(run, s) && wanted(run, s, step);
        any |= s->due || s->pending >= 0;
        if (s->due || s->pending >= 0) needs |= s->probe->needs | s->probe->needs_one | s->probe->wants;
    }
    return any ? needs | UINT32_C(1) << 31 : 0;
}
