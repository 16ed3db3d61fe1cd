/* cockpit.c: the page of dials: the quantities of Cockpit's screen at one step, in groups. */

#include <stdio.h>

#include "term/page.h"
#include "term/reading.h"
#include "term/shelf.h"

typedef struct cockpit {
    int top; /* rows scrolled down */
    shelf shelf;
} cockpit;

static void clamp(cockpit *own) {
    if (own->top > own->shelf.over) own->top = own->shelf.over;
    if (own->top < 0) own->top = 0;
}

static void draw_title(canvas *c, place at, const char *text) {
    int used = canvas_text(c, at.row, at.col, at.cols, text, PEN_KEY) + 1;
    for (int i = used; i < at.cols; i++) canvas_put(c, at.row, at.col + i, c->ascii ? '-' : 0x2500, PEN_AXIS);
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    cockpit *own = memory;
    dial_view v = { .s = s, .all = all, .step = reading_step(s, all) };
    int32_t status = PITOT_OK;
    s->window.dots = 2 * s->layout.body.cols;
    shelf_plan(&own->shelf, s->layout.body, all);
    clamp(own);
    for (int k = 0; k < own->shelf.slots && status == PITOT_OK; k++) {
        const slot *t = &own->shelf.slot[k];
        v.at = shelf_place(&own->shelf, k, own->top);
        if (v.at.rows < 1 || v.at.cols < 1) continue;
        if (t->dial) status = dial_draw(&v, t->dial);
        else draw_title(&s->canvas, v.at, dial_group(t->group));
    }
    return status;
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    cockpit *own = memory;
    int screenful = s->layout.body.rows > 1 ? s->layout.body.rows - 1 : 1;
    (void)all;
    switch (e->action) {
    case DO_UP:
    case DO_WHEEL_UP: own->top--; break;
    case DO_DOWN:
    case DO_WHEEL_DOWN: own->top++; break;
    case DO_PAGE_UP: own->top -= screenful; break;
    case DO_PAGE_DOWN: own->top += screenful; break;
    case DO_FIRST: own->top = 0; break;
    case DO_LAST: own->top = own->shelf.over; break;
    default: return 0;
    }
    clamp(own);
    return 1;
}

static void where(const screen *s, const shown *all, const void *memory, char *text, size_t size) {
    const cockpit *own = memory;
    (void)all;
    if (!s->still && own->shelf.over > 0)
        snprintf(text, size, "rows %d to %d of %d", own->top + 1, own->top + own->shelf.area.rows,
                 own->shelf.over + own->shelf.area.rows);
}

const page page_cockpit = {
    .name = "cockpit",
    .code = 'c',
    .about = "cockpit: dials of step size, gradients, curvature at the newest step; Up and Down where they need more room",
    .rank = 1,
    .windowed = 1,
    .size = sizeof(cockpit),
    .draw = draw,
    .act = act,
    .where = where,
};
