/* alarms.c: the page of alarms: what, since when, on what evidence, what to try. */

#include "term/alarms.h"

#include "term/page.h"
#include "term/plots.h"
#include "term/term.h"

enum { OWN_SILENCE = DO_OWN };

static const key keys[] = {
    { DO_ENTER, { TERM_ENTER }, "Enter", "its panel", "the selected alarm's panel" },
    { OWN_SILENCE, { 's' }, "s", "silence", "silence the selected alarm's kind, or hear it again" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

typedef struct alarms {
    int64_t selected;
} alarms;

static int is_empty(const shown *all) {
    return !shown_at(all)->alarms || shown_at(all)->alarms->n < 1;
}

/* There may be fewer than when it was chosen. */
static void clamp(alarms *own, const alarm_list *list) {
    if (own->selected >= list->n) own->selected = list->n - 1;
    if (own->selected < 0) own->selected = 0;
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    static const alarm_list none = { 0, 0, NULL, NULL, 0 };
    alarms *own = memory;
    const shown_run *run = shown_at(all);
    const alarm_list *list = run->alarms ? run->alarms : &none;
    clamp(own, list);
    alarms_page(&s->canvas, s->layout.body, run->log, list, own->selected, !s->still);
    return PITOT_OK;
}

/* A click selects, and on what is selected opens its panel. */
static int click(screen *s, const shown *all, alarms *own, const event *e) {
    const alarm_list *list = shown_at(all)->alarms;
    int64_t at = alarms_at(s->layout.body, shown_at(all)->log, list, own->selected, e->row);
    if (at < 0 || at >= list->n) return 0;
    if (at == own->selected) plots_open(s, list->alarm[at].output);
    own->selected = at;
    return 1;
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    alarms *own = memory;
    alarm_list *list = shown_at(all)->alarms;
    if (!list) return 0;
    clamp(own, list);
    switch (e->action) {
    case DO_WHEEL_DOWN:
    case DO_DOWN: own->selected++; break;
    case DO_WHEEL_UP:
    case DO_UP: own->selected--; break;
    case DO_FIRST: own->selected = 0; break;
    case DO_LAST: own->selected = list->n; break;
    case DO_CLICK: return click(s, all, own, e);
    case OWN_SILENCE:
        if (list->n) alarm_silence(list, list->alarm[own->selected].output);
        break;
    case DO_ENTER:
        if (list->n) plots_open(s, list->alarm[own->selected].output);
        break;
    default: return 0;
    }
    clamp(own, list);
    return 1;
}

const page page_alarms = {
    .name = "alarms",
    .code = 'a',
    .about = "alarms: what, since when, on what evidence, and what to try",
    .rank = 5,
    .keys = keys,
    .size = sizeof(alarms),
    .is_empty = is_empty,
    .draw = draw,
    .act = act,
};
