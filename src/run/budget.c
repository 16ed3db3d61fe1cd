/* budget.c: what probes cost, and what they may. Probes that share their cost are one group: those that only read what lies there; those
   fed by the sweep; those that look at a diagonal of curvature; each other that calls the host's callbacks is its own.

   Of config.overhead, the share of the run's time that all may take, each group may take the same part w; what a group does not use at
   its own schedule goes to the others: w is the water level at which sum over groups of min(demand, w) = overhead. */

#include "base/alloc.h"
#include "run/run.h"

#include <math.h>

enum { READERS, SWEPT, DIAGONALS, OTHERS };

int32_t budget_groups(pitot_run *run) {
    run->n_groups = OTHERS;
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        uint32_t needs = s->probe->needs | s->probe->needs_one | s->probe->wants;
        s->group = !slot_is_heavy(s)                                                 ? (needs & FROM_CAPTURES ? SWEPT : READERS)
                   : needs & (PITOT_NEED_HESSIAN | PITOT_NEED_GGN | PITOT_NEED_STEP) ? run->n_groups++
                                                                                     : DIAGONALS;
    }
    run->group = mem_alloc(run->n_groups, sizeof *run->group);
    return run->group ? PITOT_OK : PITOT_ENOMEM;
}

static int counts(const slot *s) {
    return !s->off && s->condition != PITOT_STATE_LEVEL && s->condition != PITOT_STATE_ERROR;
}

static void look_at_slots(pitot_run *run) {
    for (int32_t i = 0; i < run->n_groups; i++) run->group[i].active = 0, run->group[i].spans = 1, run->group[i].every = INT64_MAX;
    for (int32_t i = 0; i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        cost_group *g = &run->group[s->group];
        if (!counts(s)) continue;
        g->active = 1;
        if (s->probe->spans == 2) g->spans = 2;
        if (s->when.kind == EVERY && s->when.every < g->every) g->every = s->when.every;
    }
}

/* What a group would take if it were tracked whenever it is due: a share of the run's time. */
static double demand(const pitot_run *run, const cost_group *g, double elapsed) {
    if (!g->active || !(elapsed > 0)) return 0;
    return g->cost / (double)g->every * (double)run->begun / elapsed;
}

static double water_level(const pitot_run *run, double elapsed) {
    double level = run->overhead;
    for (int round = 0; round < run->n_groups + 1; round++) {
        double used = 0;
        int above = 0;
        for (int32_t i = 0; i < run->n_groups; i++) {
            double d = demand(run, &run->group[i], elapsed);
            if (d > level || (round == 0 && run->group[i].active)) above++;
            else used += d;
        }
        double next = above ? (run->overhead - used) / above : run->overhead;
        if (next == level) break;
        level = next;
    }
    return level;
}

void budget_begin(pitot_run *run, double now) {
    double elapsed = now - run->first_begin;
    for (int32_t i = 0; i < run->n_groups; i++) run->group[i].step = 0;
    run->swept = 0;
    run->begun++;
    if (run->overhead <= 0) return;
    run->group[READERS].spent = run->inside;
    for (int32_t i = SWEPT; i < run->n_groups; i++) run->group[READERS].spent -= run->group[i].spent;
    look_at_slots(run);
    run->level = water_level(run, elapsed) * elapsed;
}

/* The first step is always tracked. Probes that span two steps make the next step a tracked one, too. */
int budget_allows(const pitot_run *run, const slot *s) {
    const cost_group *g = &run->group[s->group];
    if (run->overhead <= 0 || run->tracked == 0) return 1;
    return g->spent + g->spans * g->cost <= run->level;
}

/* Time in hooks that no probe took goes to those that read. */
void budget_book(pitot_run *run) {
    double rest = run->step_inside - run->swept;
    run->group[SWEPT].step += run->swept;
    for (int32_t i = 0; i < run->n_slots; i++) {
        run->group[run->slot[i].group].step += run->slot[i].seconds;
        rest -= run->slot[i].seconds;
    }
    run->group[READERS].step += rest > 0 ? rest : 0;
    for (int32_t i = 0; i < run->n_groups; i++) {
        cost_group *g = &run->group[i];
        g->spent += g->step;
        if (g->step > 0) g->cost = g->cost > 0 ? 0.5 * (g->cost + g->step) : g->step;
    }
}

/* More digits say nothing. */
static double nanoseconds(double seconds) {
    return rint(1e9 * seconds) / 1e9;
}

void budget_say(pitot_run *run) {
    char name[96];
    for (int32_t i = 0; i < run->n_slots; i++) {
        if (!(run->slot[i].seconds > 0)) continue;
        snprintf(name, sizeof name, "%.80s.seconds", run->slot[i].probe->name);
        emit_host(run, name, nanoseconds(run->slot[i].seconds));
    }
    if (run->swept > 0) emit_host(run, "sweep.seconds", nanoseconds(run->swept));
}
