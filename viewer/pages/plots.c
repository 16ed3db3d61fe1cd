/* plots.c: the page of panels: a grid of them, or one alone. */

#include <stdio.h>

#include "term/page.h"
#include "term/plot.h"
#include "term/plots.h"
#include "term/term.h"

enum { OWN_SCALE = DO_OWN, OWN_SMOOTH };

static const key keys[] = {
    { DO_ENTER, { TERM_ENTER }, "Enter", "enlarge", "the selected panel alone, and back; a digit: that panel of the page" },
    { OWN_SCALE, { 'y' }, "y", "y axis", "logarithmic y axes, and back" },
    { OWN_SMOOTH, { 's' }, "s", "smooth", "smoothed lines over the values, and back" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

static int64_t page_of(const plots *own) {
    return own->grid.per_page > 0 ? own->selected / own->grid.per_page : 0;
}

static void clamp(plots *own, const shown *all) {
    int64_t last = shown_at(all)->panels->n - 1;
    if (own->selected > last) own->selected = last;
    if (own->selected < 0) own->selected = 0;
}

static void draw_nothing(screen *s) {
    static const char text[] = "no values yet";
    place at = s->layout.body;
    int width = (int)sizeof text - 1, left = at.cols > width ? (at.cols - width) / 2 : 0;
    if (at.rows) canvas_text(&s->canvas, at.row + at.rows / 2, at.col + left, at.cols - left, text, PEN_DIM);
}

static int32_t draw_grid(screen *s, const shown *all, plots *own) {
    const panel_list *list = shown_at(all)->panels;
    int64_t from = page_of(own) * own->grid.per_page;
    for (int k = 0; k < own->grid.per_page && from + k < list->n; k++) {
        plot_look look = { .log_y = own->log_y, .raw = own->raw };
        if (!s->still) look.number = k < 9 ? k + 1 : 0;
        if (!s->still && list->n > 1) look.chosen = from + k == own->selected;
        int32_t status = plot_panel(s, all, &list->panel[from + k], grid_place(&own->grid, k), look);
        if (status != PITOT_OK) return status;
    }
    return PITOT_OK;
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    plots *own = memory;
    const panel_list *list = shown_at(all)->panels;
    own->grid = grid_choose(s->layout.body, list->n);
    clamp(own, all);
    if (!list->n) draw_nothing(s);
    else if (own->enlarged)
        return plot_panel(s, all, &list->panel[own->selected], s->layout.body,
                          (plot_look){ .enlarged = 1, .log_y = own->log_y, .raw = own->raw });
    else return draw_grid(s, all, own);
    return PITOT_OK;
}

/* By pages, or by panels if one is enlarged. The last page stays where it is. */
static void turn(plots *own, int by) {
    int64_t wanted = page_of(own) + by;
    if (own->enlarged) own->selected += by;
    else if (wanted >= 0 && wanted < own->grid.pages) own->selected = wanted * own->grid.per_page;
}

static void enlarge(plots *own, const shown *all, int64_t k) {
    int64_t wanted = page_of(own) * own->grid.per_page + k;
    if (k < 0 || k >= own->grid.per_page || wanted >= shown_at(all)->panels->n) return;
    own->selected = wanted;
    own->enlarged = 1;
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    plots *own = memory;
    (void)s;
    switch (e->action) {
    case DO_UP: own->selected -= own->enlarged || own->selected < own->grid.across ? 1 : own->grid.across; break;
    case DO_DOWN: own->selected += own->enlarged ? 1 : own->grid.across; break;
    case DO_LEFT: own->selected--; break;
    case DO_RIGHT: own->selected++; break;
    case DO_PAGE_UP: turn(own, -1); break;
    case DO_PAGE_DOWN: turn(own, 1); break;
    case DO_FIRST: own->selected = 0; break;
    case DO_LAST: own->selected = INT64_MAX; break;
    case DO_ENTER: own->enlarged = !own->enlarged; break;
    case DO_DIGIT: enlarge(own, all, e->code - '1'); break;
    case DO_GO_BACK: own->enlarged = 0; break;
    case OWN_SCALE: own->log_y = !own->log_y; break;
    case OWN_SMOOTH: own->raw = !own->raw; break;
    default: return 0;
    }
    clamp(own, all);
    return 1;
}

static void where(const screen *s, const shown *all, const void *memory, char *text, size_t size) {
    const plots *own = memory;
    int64_t n = shown_at(all)->panels->n;
    if (own->enlarged) snprintf(text, size, "panel %lld of %lld", (long long)own->selected + 1, (long long)n);
    else if (own->grid.pages > 1 && s->still) snprintf(text, size, "%d of %lld panels", own->grid.per_page, (long long)n);
    else if (own->grid.pages > 1)
        snprintf(text, size, "page %lld of %lld", (long long)page_of(own) + 1, (long long)own->grid.pages);
}

const page page_plots = {
    .name = "plots",
    .code = 'p',
    .about = "plots of everything that was logged",
    .rank = 0,
    .keys = keys,
    .size = sizeof(plots),
    .draw = draw,
    .act = act,
    .where = where,
};
