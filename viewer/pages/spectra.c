/* spectra.c: the page of spectral densities: the newest record, or an earlier one. */

#include <stdio.h>

#include "term/page.h"
#include "term/spectrum.h"
#include "term/term.h"

enum { OWN_NEXT = DO_OWN };

static const key keys[] = {
    { DO_LEFT, { TERM_LEFT, 'h' }, "Left", "earlier", "an earlier spectrum" },
    { DO_RIGHT, { TERM_RIGHT, 'l' }, "Right", "later", "a later one, up to the newest, which is then followed" },
    { OWN_NEXT, { ' ' }, "Space", "play", "the next one; from the newest to the first" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

typedef struct spectra {
    int64_t record; /* which one, from 1; 0: the newest, whatever comes */
} spectra;

static int is_empty(const shown *all) {
    return spectrum_records(shown_at(all)->log) < 1;
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    spectra *own = memory;
    return spectrum_screen(s, all, &own->record);
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    spectra *own = memory;
    int64_t last = spectrum_records(shown_at(all)->log), at = own->record ? own->record : last;
    (void)s;
    switch (e->action) {
    case DO_WHEEL_UP:
    case DO_LEFT:
    case DO_PAGE_UP: own->record = at > 1 ? at - 1 : 1; return 1;
    case DO_WHEEL_DOWN:
    case DO_RIGHT:
    case DO_PAGE_DOWN: own->record = at + 1 < last ? at + 1 : 0; return 1;
    case OWN_NEXT: own->record = at == last ? 1 : at + 1 < last ? at + 1 : 0; return 1;
    case DO_FIRST: own->record = 1; return 1;
    case DO_LAST: own->record = 0; return 1;
    default: return 0;
    }
}

static void where(const screen *s, const shown *all, const void *memory, char *text, size_t size) {
    const spectra *own = memory;
    int64_t last = spectrum_records(shown_at(all)->log);
    (void)s;
    if (last > 0) snprintf(text, size, "spectrum %lld of %lld", (long long)(own->record ? own->record : last), (long long)last);
}

const page page_spectra = {
    .name = "spectra",
    .code = 'd',
    .about = "spectra: density of the Hessian's eigenvalues, and their ends over the run",
    .rank = 3,
    .keys = keys,
    .size = sizeof(spectra),
    .is_empty = is_empty,
    .draw = draw,
    .act = act,
    .where = where,
};
