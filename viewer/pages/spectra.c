/* spectra.c: the page of spectral densities: the newest record, or an earlier one. */

#include <stdio.h>

#include "term/page.h"
#include "term/spectrum.h"

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
    .about = "spectral density of the Hessian; Left and Right: earlier and later ones",
    .rank = 3,
    .size = sizeof(spectra),
    .is_empty = is_empty,
    .draw = draw,
    .act = act,
    .where = where,
};
