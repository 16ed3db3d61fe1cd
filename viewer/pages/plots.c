/* plots.c: the page of panels: a grid of them, or one alone; all runs in each. */

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#include "term/page.h"
#include "term/plot.h"
#include "term/term.h"

enum { OWN_SCALE = DO_OWN, OWN_SMOOTH, OWN_LINES, OWN_SEARCH, OWN_TITLES, OWN_RUNS };

static const key keys[] = {
    { DO_ENTER, { TERM_ENTER }, "Enter", "enlarge", "the selected panel alone, and back; a digit: that panel of the page" },
    { OWN_SCALE, { 'y' }, "y", "y axis", "the next y axis: as proposed, linear, logarithmic, symlog, asinh" },
    { OWN_SMOOTH, { 's' }, "s", "smooth", "the next smoothing: as suits the line, none, weight 0.6, 0.9, 0.99" },
    { OWN_SEARCH, { '/' }, "/", "search", "the next panel of that name; with nothing typed, of the last one" },
    { OWN_TITLES, { 'f' }, "f", "filter", "only panels that match a regular expression; with nothing typed, all" },
    { OWN_RUNS, { 'F' }, "F", "runs", "only runs that match a regular expression, and pinned ones" },
    { OWN_LINES, { 'v' }, "v", NULL, "lines as braille, blocks or ASCII" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

/* ---- which panel ----------------------------------------------------------------------------------------------------- */

static int64_t page_of(const plots *own) {
    return own->grid.per_page > 0 ? own->selected / own->grid.per_page : 0;
}

static void clamp(plots *own) {
    if (own->selected >= own->board.n) own->selected = own->board.n - 1;
    if (own->selected < 0) own->selected = 0;
}

static const char *title_of(const plots *own, const shown *all, int64_t k) {
    const panel *p = board_any(&own->board, all, k);
    return p ? p->title : "";
}

/* The panel that was selected may stand elsewhere than when it was drawn last. */
static void find_selected(plots *own, const shown *all) {
    int64_t k = 0;
    while (*own->title && k < own->board.n && strcmp(title_of(own, all, k), own->title) != 0) k++;
    if (*own->title && k < own->board.n && strcmp(title_of(own, all, own->selected), own->title) != 0) own->selected = k;
    clamp(own);
    if (own->board.n) snprintf(own->title, sizeof own->title, "%s", title_of(own, all, own->selected));
}

static void select_panel(plots *own, const shown *all, int64_t k) {
    own->selected = k;
    clamp(own);
    snprintf(own->title, sizeof own->title, "%s", title_of(own, all, own->selected));
}

void plots_open(screen *s, const char *title) {
    plots *own = screen_own(s, "plots");
    if (!own || !screen_open(s, "plots")) return;
    if (!filter_matches(&own->titles, title)) filter_free(&own->titles);
    snprintf(own->title, sizeof own->title, "%s", title);
    own->enlarged = 1;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

static const char *why_nothing(const plots *own, const screen *s, const shown *all) {
    int drawn = 0;
    for (int k = 0; k < all->runs; k++) drawn += screen_shows(s, &all->run[k]);
    if (!drawn) return "all runs are hidden";
    return *own->titles.text ? "no panel matches" : "no values yet";
}

static void draw_nothing(screen *s, const char *text) {
    place at = s->layout.body;
    int width = (int)strlen(text), left = at.cols > width ? (at.cols - width) / 2 : 0;
    if (at.rows) canvas_text(&s->canvas, at.row + at.rows / 2, at.col + left, at.cols - left, text, PEN_DIM);
}

/* Memory for where n plots are. */
static int reserve_plots(plots *own, int n) {
    own->plots = 0;
    if (n <= own->plot_room) return 1;
    place *larger = realloc(own->plot, (size_t)n * sizeof *larger);
    if (!larger) return 0;
    own->plot = larger;
    own->plot_room = n;
    return 1;
}

static int32_t draw_one(screen *s, const shown *all, plots *own, int64_t k, place where, plot_look look) {
    return plot_panel(s, all, own, k, where, look, &own->plot[own->plots++]);
}

static int32_t draw_grid(screen *s, const shown *all, plots *own) {
    int64_t from = page_of(own) * own->grid.per_page;
    for (int k = 0; k < own->grid.per_page && from + k < own->board.n; k++) {
        plot_look look = { .number = !s->still && k < 9 ? k + 1 : 0 };
        if (!s->still && own->board.n > 1) look.chosen = from + k == own->selected;
        int32_t status = draw_one(s, all, own, from + k, grid_place(&own->grid, k), look);
        if (status != PITOT_OK) return status;
    }
    return PITOT_OK;
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    plots *own = memory;
    if (board_make(&own->board, s, all, &own->titles) != PITOT_OK) return PITOT_ENOMEM;
    columns_begin(&own->cache);
    own->grid = grid_choose(s->layout.body, own->board.n);
    if (!reserve_plots(own, own->grid.per_page)) return PITOT_ENOMEM;
    find_selected(own, all);
    s->window.dots = 0;
    if (!own->board.n) draw_nothing(s, why_nothing(own, s, all));
    else if (own->enlarged) return draw_one(s, all, own, own->selected, s->layout.body, (plot_look){ .enlarged = 1 });
    else return draw_grid(s, all, own);
    return PITOT_OK;
}

/* ---- what keys do ---------------------------------------------------------------------------------------------------- */

/* By pages, or by panels if one is enlarged. The last page stays where it is. */
static void turn(plots *own, const shown *all, int by) {
    int64_t wanted = page_of(own) + by;
    if (own->enlarged) select_panel(own, all, own->selected + by);
    else if (wanted >= 0 && wanted < own->grid.pages) select_panel(own, all, wanted * own->grid.per_page);
}

static void enlarge(plots *own, const shown *all, int64_t k) {
    int64_t wanted = page_of(own) * own->grid.per_page + k;
    if (k < 0 || k >= own->grid.per_page || wanted >= own->board.n) return;
    select_panel(own, all, wanted);
    own->enlarged = 1;
}

static void next_scale(screen *s, plots *own) {
    static const char *const names[] = { "as proposed", "linear", "logarithmic", "symmetric-logarithmic", "asinh" };
    own->scale = (own->scale + 1) % 5;
    screen_say(s, "y axes: %s", names[own->scale]);
}

static void next_smoothing(screen *s, plots *own) {
    own->smoothing = (own->smoothing + 1) % SMOOTH_END;
    if (own->smoothing == SMOOTH_SUITED) screen_say(s, "smoothing: as suits the line");
    else if (own->smoothing == SMOOTH_NONE) screen_say(s, "smoothing: none");
    else screen_say(s, "smoothing: exponential average, weight %g of the past", columns_weight(own->smoothing));
}

static void next_lines(screen *s) {
    static const char *const names[] = { "braille", "blocks", "ASCII" };
    canvas *c = &s->canvas;
    if (!c->ascii) c->lines = (c->lines + 1) % LINES_END;
    screen_say(s, c->ascii ? "lines: ASCII, for this locale has no other" : "lines: %s", names[c->lines]);
}

/* The highest value of the selected panel's lines. */
static void go_to_most(screen *s, const shown *all, const plots *own) {
    double most = -INFINITY, x = NAN;
    for (int run = 0; run < all->runs && run < s->window.runs; run++) {
        const panel *p = board_panel(&own->board, all, own->selected, run);
        int whole = p && p->main >= 0;
        for (int64_t k = 0; p && k < (whole ? 1 : p->n); k++) {
            pitot_series v;
            if (pitot_log_series(all->run[run].log, whole ? p->main : all->run[run].panels->series[p->first + k], &v) != PITOT_OK)
                continue;
            for (int64_t i = 0; i < v.n; i++)
                if (isfinite(v.value[i]) && v.value[i] > most) most = v.value[i], x = window_x(&s->window.run[run], &v, i);
        }
    }
    window_go(&s->window, x);
}

static void search(screen *s, const shown *all, plots *own, const char *text) {
    filter wanted = { 0 };
    char why[8];
    if (*text) snprintf(own->search, sizeof own->search, "%s", text);
    filter_set(&wanted, own->search, why, sizeof why);
    for (int64_t i = 1; *own->search && i <= own->board.n; i++) {
        int64_t k = (own->selected + i) % own->board.n;
        const char *title = title_of(own, all, k);
        if (!strstr(title, own->search) && !(*wanted.text && filter_matches(&wanted, title))) continue;
        select_panel(own, all, k);
        filter_free(&wanted);
        return;
    }
    filter_free(&wanted);
    screen_say(s, "no panel matches %.60s", own->search);
}

static int ask(screen *s, int asked, const char *question) {
    screen_ask(s, asked, question);
    return 1;
}

static int answer(screen *s, const shown *all, plots *own, const event *e) {
    char why[160];
    int known = 1;
    if (e->asked == OWN_SEARCH) search(s, all, own, e->text);
    else if (e->asked == OWN_TITLES) known = filter_set(&own->titles, e->text, why, sizeof why);
    else if (e->asked == OWN_RUNS) known = filter_set(&s->drawn, e->text, why, sizeof why);
    else return 0;
    if (!known) screen_say(s, "%s", why);
    return 1;
}

/* ---- what the mouse does --------------------------------------------------------------------------------------------- */

/* Position on x of a cell that belongs to a plot drawn last, or NAN. */
static double position_at(const plots *own, int row, int col) {
    for (int k = 0; k < own->plots; k++) {
        place p = own->plot[k];
        if (row < p.row || row >= p.row + p.rows || col < p.col || col >= p.col + p.cols) continue;
        return fmin((2 * (col - p.col) + 0.5) / (2 * p.cols - 1), 1);
    }
    return NAN;
}

/* A click selects a panel and, in a plot, puts the cursor there; drawn along, the cursor follows; the wheel zooms about the mouse. */
static int point(screen *s, const shown *all, plots *own, const event *e) {
    window *w = &s->window;
    double at = position_at(own, e->row, e->col);
    int k = own->enlarged ? -1 : grid_at(&own->grid, e->row, e->col);
    if (e->action == DO_CLICK && k >= 0 && page_of(own) * own->grid.per_page + k < own->board.n)
        select_panel(own, all, page_of(own) * own->grid.per_page + k);
    if (isnan(at)) return k >= 0;
    if (e->action == DO_WHEEL_UP || e->action == DO_WHEEL_DOWN) window_zoom(w, at, e->action == DO_WHEEL_UP ? 0.8 : 1.25);
    else window_go(w, axis_value(&w->x, at));
    return 1;
}

static int move(plots *own, const shown *all, int action) {
    int64_t row = own->enlarged || own->selected < own->grid.across ? 1 : own->grid.across;
    switch (action) {
    case DO_UP: select_panel(own, all, own->selected - row); return 1;
    case DO_DOWN: select_panel(own, all, own->selected + (own->enlarged ? 1 : own->grid.across)); return 1;
    case DO_LEFT: select_panel(own, all, own->selected - 1); return 1;
    case DO_RIGHT: select_panel(own, all, own->selected + 1); return 1;
    case DO_PAGE_UP: turn(own, all, -1); return 1;
    case DO_PAGE_DOWN: turn(own, all, 1); return 1;
    case DO_FIRST: select_panel(own, all, 0); return 1;
    case DO_LAST: select_panel(own, all, own->board.n - 1); return 1;
    default: return 0;
    }
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    plots *own = memory;
    switch (e->action) {
    case DO_ENTER: own->enlarged = !own->enlarged; return 1;
    case DO_DIGIT: enlarge(own, all, e->code - '1'); return 1;
    case DO_GO_BACK: own->enlarged = 0; return 1;
    case DO_CLICK:
    case DO_DRAG:
    case DO_WHEEL_UP:
    case DO_WHEEL_DOWN: return point(s, all, own, e);
    case DO_ANSWER: return answer(s, all, own, e);
    case SHARED_MOST: go_to_most(s, all, own); return 1;
    case OWN_SCALE: next_scale(s, own); return 1;
    case OWN_SMOOTH: next_smoothing(s, own); return 1;
    case OWN_LINES: next_lines(s); return 1;
    case OWN_SEARCH: return ask(s, OWN_SEARCH, "search:");
    case OWN_TITLES: return ask(s, OWN_TITLES, "panels that match:");
    case OWN_RUNS: return ask(s, OWN_RUNS, "runs that match:");
    default: return move(own, all, e->action);
    }
}

/* ---- the bottom line ------------------------------------------------------------------------------------------------- */

static int is_useful(const screen *s, const shown *all, const void *memory, int action) {
    (void)s;
    (void)memory;
    return action != OWN_RUNS || all->runs > 1;
}

static void where(const screen *s, const shown *all, const void *memory, char *text, size_t size) {
    const plots *own = memory;
    long long n = (long long)own->board.n, at = (long long)own->selected + 1;
    char which[64] = "", cursor[40] = "", titles[32] = "", runs[32] = "";
    (void)all;
    if (own->enlarged) snprintf(which, sizeof which, "panel %lld of %lld", at, n);
    else if (own->grid.pages > 1 && s->still) snprintf(which, sizeof which, "%d of %lld panels", own->grid.per_page, n);
    else if (own->grid.pages > 1)
        snprintf(which, sizeof which, "page %lld of %lld", (long long)page_of(own) + 1, (long long)own->grid.pages);
    if (*own->titles.text) snprintf(titles, sizeof titles, "f %.12s  ", own->titles.text);
    if (*s->drawn.text) snprintf(runs, sizeof runs, "F %.12s  ", s->drawn.text);
    if (s->window.cursor) window_say(&s->window, s->window.at, cursor, sizeof cursor);
    snprintf(text, size, "%s%s%s%s%s", titles, runs, cursor, *cursor && *which ? "  " : "", which);
}

static void save(const void *memory, cJSON *to) {
    const plots *own = memory;
    cJSON_AddNumberToObject(to, "scale", own->scale);
    cJSON_AddNumberToObject(to, "smoothing", own->smoothing);
    cJSON_AddStringToObject(to, "filter", own->titles.text);
}

static void load(void *memory, const cJSON *from) {
    plots *own = memory;
    char text[FILTER_ROOM] = "", why[8];
    own->scale = settings_int(from, "scale", 0, 0, AXIS_ASINH + 1);
    own->smoothing = settings_int(from, "smoothing", 0, 0, SMOOTH_END - 1);
    settings_text(from, "filter", text, sizeof text);
    filter_set(&own->titles, text, why, sizeof why);
}

static void free_own(void *memory) {
    plots *own = memory;
    board_free(&own->board);
    columns_forget(&own->cache);
    free(own->plot);
    filter_free(&own->titles);
}

/* The panel alone, or those of the page. */
static int view(const screen *s, const shown *all, const void *memory, page_view *out) {
    const plots *own = memory;
    int64_t from = own->enlarged ? own->selected : page_of(own) * own->grid.per_page, n = own->enlarged ? 1 : own->grid.per_page;
    size_t used = 0;
    (void)s;
    for (int64_t i = from; i < from + n && i < own->board.n; i++) {
        const char *title = board_any(&own->board, all, i)->title;
        if (strchr(title, ',') || used + strlen(title) + 2 > sizeof out->panels) continue;
        used += (size_t)snprintf(out->panels + used, sizeof out->panels - used, "%s%s", used ? "," : "", title);
    }
    return used > 0;
}

const page page_plots = {
    .name = "plots",
    .code = 'p',
    .about = "plots of everything that was logged",
    .rank = 0,
    .keys = keys,
    .windowed = 1,
    .size = sizeof(plots),
    .draw = draw,
    .act = act,
    .where = where,
    .is_useful = is_useful,
    .free = free_own,
    .view = view,
    .save = save,
    .load = load,
};
