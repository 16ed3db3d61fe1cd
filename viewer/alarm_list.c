/* alarm_list.c: the alarms of a whole run, from its panels; see alarm.h. The episodes of a panel's whole and of its tensors that overlap in
   time are one alarm, named after the worst. */

#include "alarm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPISODES = 16 /* of one series that are kept */, MOST_ALARMS = 4096 };

/* Numbers without a band whose being finite everything hangs on. */
static const pitot_band vital_band = {
    -INFINITY,
    INFINITY,
    -INFINITY,
    INFINITY,
    "it is not a finite number, and what is computed from it is lost: lower the learning rate, and look for overflow, division by "
    "zero or "
    "bad samples",
};
static const char *const vital[] = { "loss", "val/loss", "grad_norm" };

static int is_vital(const char *title) {
    for (size_t i = 0; i < sizeof vital / sizeof *vital; i++)
        if (strcmp(title, vital[i]) == 0) return 1;
    return 0;
}

/* ---- episodes of one panel and side ---- */

typedef struct found {
    alarm_episode e;
    int64_t member; /* of the panel: -1 the whole, 0.. a tensor */
} found;

typedef struct crowd {
    found *f;
    int64_t n, room;
} crowd;

static int compare_began(const void *left, const void *right) {
    const found *a = left, *b = right;
    return (a->e.began > b->e.began) - (a->e.began < b->e.began);
}

static int is_active(const alarm_episode *e) {
    return e->ended < 0;
}

/* Active before ended, then level, then how far beyond. */
static int is_worse(const alarm_episode *a, const alarm_episode *b) {
    if (is_active(a) != is_active(b)) return is_active(a);
    if (a->level != b->level) return a->level > b->level;
    return a->excess > b->excess;
}

static int32_t add_series(crowd *c, const pitot_series *s, const pitot_band *band, enum alarm_side side, int64_t member) {
    alarm_episode e[EPISODES];
    int64_t n = alarm_scan(s, band, side, e, EPISODES);
    if (c->n + n > c->room) {
        int64_t room = 2 * (c->n + n);
        found *more = realloc(c->f, (size_t)room * sizeof *more);
        if (!more) return PITOT_ENOMEM;
        c->f = more;
        c->room = room;
    }
    for (int64_t i = 0; i < n; i++) c->f[c->n++] = (found){ e[i], member };
    return PITOT_OK;
}

static int32_t gather(crowd *c, const pitot_log *log, const panel_list *panels, const panel *p, const pitot_band *band,
                      enum alarm_side side) {
    int32_t status = PITOT_OK;
    c->n = 0;
    for (int64_t k = -1; k < p->n && !status; k++) {
        pitot_series s;
        int64_t i = k < 0 ? p->main : panels->series[p->first + k];
        if (i >= 0 && pitot_log_series(log, i, &s) == PITOT_OK) status = add_series(c, &s, band, side, k);
    }
    if (c->n > 1) qsort(c->f, (size_t)c->n, sizeof *c->f, compare_began);
    return status;
}

/* ---- one alarm ---- */

static void name_tensor(const pitot_log *log, const panel_list *panels, const panel *p, int64_t member, char *out, size_t size) {
    pitot_series s;
    *out = 0;
    if (member < 0 || pitot_log_series(log, panels->series[p->first + member], &s) != PITOT_OK) return;
    const char *slash = strchr(s.name, '/');
    snprintf(out, size, "%.*s", (int)size - 1, slash ? slash + 1 : s.name);
}

/* Of episodes first .. last-1 that overlap; a tensor has one active episode at most. */
static alarm_entry merge(const found *first, const found *last, int64_t *worst) {
    alarm_entry a = { .began = first->e.began };
    const found *w = first;
    for (const found *f = first; f < last; f++) {
        if (is_worse(&f->e, &w->e)) w = f;
        if (f->e.last > a.last) a.last = f->e.last;
        a.tensors += f->member >= 0 && is_active(&f->e);
    }
    a.e = w->e;
    *worst = w->member;
    return a;
}

static int32_t append(alarm_list *list, int64_t *room, const alarm_entry *a) {
    if (list->n >= MOST_ALARMS) return PITOT_OK;
    if (list->n == *room) {
        int64_t more = *room ? 2 * *room : 16;
        alarm_entry *grown = realloc(list->alarm, (size_t)more * sizeof *grown);
        if (!grown) return PITOT_ENOMEM;
        list->alarm = grown;
        *room = more;
    }
    list->alarm[list->n++] = *a;
    return PITOT_OK;
}

/* 0: it is none, after all. */
static int weigh(alarm_entry *a, const pitot_log *log) {
    a->loss = a->side >= ALARM_ODD ? LOSS_UNKNOWN : alarm_loss(log, a->e.since, is_active(&a->e) ? INT64_MAX : a->e.until);
    int most = alarm_most(a->output, a->side, a->loss);
    if (a->e.level > most) a->e.level = most;
    if (a->e.highest > most) a->e.highest = most;
    return a->e.highest > ALARM_NONE;
}

static int is_silent(const alarm_list *list, const char *output) {
    for (int64_t i = 0; i < list->silences; i++)
        if (strcmp(list->silent[i], output) == 0) return 1;
    return 0;
}

typedef struct making {
    const pitot_log *log;
    const panel_list *panels;
    alarm_list *list;
    int64_t room;
    crowd crowd;
} making;

static int32_t add_side(making *m, int64_t number, const pitot_band *band, enum alarm_side side) {
    const panel *p = &m->panels->panel[number];
    crowd *c = &m->crowd;
    int32_t status = gather(c, m->log, m->panels, p, band, side);
    for (int64_t i = 0, next; i < c->n && !status; i = next) {
        int64_t end = is_active(&c->f[i].e) ? INT64_MAX : c->f[i].e.ended, worst;
        for (next = i + 1; next < c->n && c->f[next].e.began <= end; next++) {
            int64_t ended = is_active(&c->f[next].e) ? INT64_MAX : c->f[next].e.ended;
            if (ended > end) end = ended;
        }
        alarm_entry a = merge(c->f + i, c->f + next, &worst);
        a.panel = number;
        a.side = side;
        a.band = band;
        a.of = p->n;
        snprintf(a.output, sizeof a.output, "%s", p->title);
        name_tensor(m->log, m->panels, p, worst, a.tensor, sizeof a.tensor);
        a.silenced = is_silent(m->list, a.output);
        if (weigh(&a, m->log)) status = append(m->list, &m->room, &a);
    }
    return status;
}

/* ---- order ---- */

static int compare(const void *left, const void *right) {
    const alarm_entry *a = left, *b = right;
    int active = is_active(&a->e);
    if (active != is_active(&b->e)) return active ? -1 : 1;
    if (!active && a->e.ended != b->e.ended) return a->e.ended > b->e.ended ? -1 : 1;
    if (a->e.level != b->e.level) return b->e.level - a->e.level;
    if (a->e.excess != b->e.excess) return a->e.excess > b->e.excess ? -1 : 1;
    if (a->panel != b->panel) return a->panel < b->panel ? -1 : 1;
    return (a->e.began > b->e.began) - (a->e.began < b->e.began);
}

int32_t alarm_list_make(const pitot_log *log, const panel_list *panels, alarm_list *list) {
    making m = { .log = log, .panels = panels, .list = list };
    int32_t status = PITOT_OK;
    free(list->alarm);
    list->alarm = NULL;
    list->n = list->active = 0;
    for (int64_t i = 0; i < panels->n && !status; i++) {
        int whole = is_vital(panels->panel[i].title);
        const pitot_band *band = panels->panel[i].band ? panels->panel[i].band : whole ? &vital_band : NULL;
        if (!band) continue;
        status = add_side(&m, i, band, whole ? ALARM_STRICT : ALARM_ODD);
        if (!status && band != &vital_band) status = add_side(&m, i, band, ALARM_BELOW);
        if (!status && band != &vital_band) status = add_side(&m, i, band, ALARM_ABOVE);
    }
    free(m.crowd.f);
    if (status) {
        free(list->alarm);
        list->alarm = NULL;
        list->n = 0;
        return status;
    }
    if (list->n > 1) qsort(list->alarm, (size_t)list->n, sizeof *list->alarm, compare);
    while (list->active < list->n && is_active(&list->alarm[list->active].e)) list->active++;
    return PITOT_OK;
}

void alarm_list_free(alarm_list *list) {
    free(list->alarm);
    free(list->silent);
    *list = (alarm_list){ 0 };
}

/* ---- silence ---- */

static void mark(alarm_list *list) {
    for (int64_t i = 0; i < list->n; i++) list->alarm[i].silenced = is_silent(list, list->alarm[i].output);
}

int32_t alarm_silence(alarm_list *list, const char *output) {
    for (int64_t i = 0; i < list->silences; i++) {
        if (strcmp(list->silent[i], output) != 0) continue;
        memmove(list->silent + i, list->silent + i + 1, (size_t)(--list->silences - i) * sizeof *list->silent);
        mark(list);
        return PITOT_OK;
    }
    char(*more)[64] = realloc(list->silent, (size_t)(list->silences + 1) * sizeof *more);
    if (!more) return PITOT_ENOMEM;
    list->silent = more;
    snprintf(more[list->silences++], sizeof *more, "%s", output);
    mark(list);
    return PITOT_OK;
}

const alarm_entry *alarm_first(const alarm_list *list) {
    for (int64_t i = 0; i < list->active; i++)
        if (!list->alarm[i].silenced) return &list->alarm[i];
    return NULL;
}

/* ---- words ---- */

static void number_text(double v, char *text, size_t size) {
    if (isnan(v)) snprintf(text, size, "nan");
    else if (isinf(v)) snprintf(text, size, v > 0 ? "inf" : "-inf");
    else format_value(v, 3, text, size);
}

static void bound_text(const alarm_entry *a, char *text, size_t size) {
    char bound[32];
    double v = alarm_bound(a->band, a->side, a->e.level);
    if (!isfinite(v)) v = alarm_bound(a->band, a->side, ALARM_WARN + ALARM_RAISED - a->e.level);
    number_text(v, bound, sizeof bound);
    *text = 0;
    if (a->side < ALARM_ODD) snprintf(text, size, ", %s %s,", a->side == ALARM_ABOVE ? "above" : "below", bound);
}

static void time_text(const alarm_entry *a, char *text, size_t size) {
    char from[32], to[32];
    int64_t steps = a->e.last - a->e.since;
    format_value((double)(is_active(&a->e) ? steps : a->e.since), 16, from, sizeof from);
    format_value((double)a->e.until, 16, to, sizeof to);
    if (!is_active(&a->e)) snprintf(text, size, "from step %s to %s", from, to);
    else if (steps > 0) snprintf(text, size, "for %s step%s", from, steps == 1 ? "" : "s");
    else {
        format_value((double)a->e.since, 16, from, sizeof from);
        snprintf(text, size, "at step %s", from);
    }
}

void alarm_headline(const alarm_entry *a, char *text, size_t size) {
    static const char *const loss[] = { "", " though the loss falls", " while the loss stays", " while the loss rises",
                                        " while the loss is not finite" };
    char value[32], bound[48], when[96], which[128] = "";
    number_text(a->side >= ALARM_ODD || !is_active(&a->e) ? a->e.worst : a->e.value, value, sizeof value);
    bound_text(a, bound, sizeof bound);
    time_text(a, when, sizeof when);
    if (a->tensors > 1) snprintf(which, sizeof which, " (%lld of %lld tensors)", (long long)a->tensors, (long long)a->of);
    snprintf(text, size, "%s%s%s%s %s%s %s%s", a->output, *a->tensor ? " of " : "", a->tensor, which, value, bound, when,
             loss[a->loss]);
}

void alarm_sentence(const pitot_log *log, const alarm_entry *a, char *text, size_t size) {
    char head[384], remedy[128] = "";
    alarm_headline(a, head, sizeof head);
    if (a->side < ALARM_ODD && is_active(&a->e)) alarm_try(log, a->output, a->e.value, a->e.last, remedy, sizeof remedy);
    const char *says = a->side == ALARM_ODD ? vital_band.says : a->band->says;
    snprintf(text, size, "%s: %s%s%s", head, says ? says : "", *remedy ? "; try " : "", remedy);
}
