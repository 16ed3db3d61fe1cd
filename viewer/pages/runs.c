/* runs.c: the page of runs: a table of their states, their best values and the options in which they differ. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "export.h"
#include "settings.h"
#include "term/page.h"
#include "term/runs_table.h"
#include "term/term.h"

enum { OWN_SHOW = DO_OWN, OWN_PIN, OWN_SORT, OWN_REVERSE, OWN_FILTER };
enum { MARKS = 2, GAP = 2, MOST_COLUMNS = 64, LEAST_NAME = 8, WHEEL = 3, CELL = 128 };

static const key keys[] = {
    { DO_ENTER, { TERM_ENTER }, "Enter", "its plots", "plots of the selected run" },
    { OWN_SHOW, { ' ' }, "Space", "hide", "hide the selected run in the plots, or show it" },
    { OWN_PIN, { 'P' }, "P", "pin", "pin the selected run: drawn whatever filters say, and above the others" },
    { OWN_SORT, { 's' }, "s", "sort", "sort by the next column; a click on its heading: by that one" },
    { OWN_REVERSE, { 'S' }, "S", "reverse", "the other way round" },
    { OWN_FILTER, { 'F' }, "F", "filter", "runs whose name or KEY=VALUE matches a regular expression; nothing: all of them" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

typedef struct column { /* of the screen */
    int what, col, width;
} column;

typedef struct runs_page {
    runs_table table;
    int ready;  /* `table.sort` has its first value */
    int first;  /* row at the top */
    int skip;   /* options that are left of the screen */
    int height; /* rows that fit */
    column column[MOST_COLUMNS];
    int columns;
} runs_page;

/* ---- columns --------------------------------------------------------------------------------------------------------- */

/* What column `what` wants over the rows in sight. */
static int wanted(const runs_page *own, const canvas *c, const shown *all, int what) {
    const runs_table *t = &own->table;
    char text[CELL];
    runs_table_head(t, what, text, sizeof text);
    int width = canvas_text_width(c, text) + (t->sort == what);
    for (int i = own->first; i < t->rows && i < own->first + own->height; i++) {
        runs_table_cell(t, all, t->row[i], what, text, sizeof text);
        int w = canvas_text_width(c, text);
        if (w > width) width = w;
    }
    return width;
}

static void choose_columns(runs_page *own, const canvas *c, const shown *all, place at) {
    int col = at.col + MARKS, end = at.col + at.cols, all_columns = runs_table_columns(&own->table);
    own->columns = 0;
    for (int what = 0; what < all_columns && own->columns < MOST_COLUMNS; what++) {
        if (what >= COLUMN_OPTION && what < COLUMN_OPTION + own->skip) continue;
        int width = wanted(own, c, all, what), most = at.cols / 3 > LEAST_NAME ? at.cols / 3 : LEAST_NAME;
        if (width > most) width = most;
        if (what == COLUMN_NAME && width > end - col) width = end - col;
        if (width > end - col) return;
        own->column[own->columns++] = (column){ what, col, width };
        col += width + GAP;
    }
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

static void draw_text(canvas *c, int row, const column *x, int right, const char *text, int pen) {
    if (right) canvas_text_right(c, row, x->col + x->width, x->width, text, pen);
    else canvas_text(c, row, x->col, x->width, text, pen);
}

static void draw_heads(const runs_page *own, canvas *c, int row) {
    for (int i = 0; i < own->columns; i++) {
        const column *x = &own->column[i];
        char text[CELL], marked[CELL + 1];
        int sorts = own->table.sort == x->what;
        runs_table_head(&own->table, x->what, text, sizeof text);
        snprintf(marked, sizeof marked, "%s%s", text, !sorts ? "" : own->table.reverse ? "^" : "v");
        draw_text(c, row, x, runs_table_is_number(&own->table, x->what), marked, sorts ? PEN_TITLE : PEN_DIM);
    }
}

static void draw_row(const runs_page *own, screen *s, const shown *all, int row, int k) {
    const shown_run *run = &all->run[k];
    canvas *c = &s->canvas;
    place at = s->layout.body;
    int chosen = k == all->at && !s->still;
    if (at.cols > MARKS) canvas_put(c, row, at.col, run->pinned ? '#' : run->hidden ? ' ' : 0x2022, run->pen);
    for (int i = 0; i < own->columns; i++) {
        char text[CELL];
        const column *x = &own->column[i];
        int pen = runs_table_cell(&own->table, all, k, x->what, text, sizeof text);
        if (x->what == COLUMN_NAME && chosen) pen = PEN_CHOSEN;
        draw_text(c, row, x, runs_table_is_number(&own->table, x->what), text, pen);
    }
}

/* The selected row stays in sight, and no room is left below the last. */
static void scroll(runs_page *own, int at) {
    int last = own->table.rows - own->height;
    if (at >= 0 && at < own->first) own->first = at;
    if (at >= own->first + own->height) own->first = at - own->height + 1;
    if (own->first > last) own->first = last;
    if (own->first < 0) own->first = 0;
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    runs_page *own = memory;
    place at = s->layout.body;
    if (!own->ready) own->table.sort = SORT_ACTIVE, own->ready = 1;
    int32_t status = runs_table_make(&own->table, all);
    if (status != PITOT_OK) return status;
    int headed = at.rows >= 3, options = own->table.manifests.columns;
    own->height = at.rows - headed > 0 ? at.rows - headed : 0;
    if (own->skip >= options) own->skip = options > 0 ? options - 1 : 0;
    if (at.rows < 1 || at.cols < 1) return PITOT_OK;
    scroll(own, runs_table_row(&own->table, all->at));
    choose_columns(own, &s->canvas, all, at);
    if (headed) draw_heads(own, &s->canvas, at.row);
    if (!own->table.rows) canvas_text(&s->canvas, at.row + headed, at.col, at.cols, "no run matches the filter", PEN_DIM);
    for (int i = 0; i < own->height && own->first + i < own->table.rows; i++)
        draw_row(own, s, all, at.row + headed + i, own->table.row[own->first + i]);
    return PITOT_OK;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static void select_row(const runs_page *own, shown *all, int row) {
    if (row >= own->table.rows) row = own->table.rows - 1;
    if (row < 0) row = 0;
    if (row < own->table.rows && own->table.row[row] < all->runs) all->at = own->table.row[row];
}

static void sort_by(runs_table *t, int what) {
    if (t->sort == what) t->reverse = !t->reverse;
    else t->sort = what, t->reverse = 0;
}

static void take_filter(screen *s, runs_page *own, const char *text) {
    regex_t pattern;
    char why[100];
    int bad = regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB);
    if (bad) {
        regerror(bad, &pattern, why, sizeof why);
        screen_say(s, "%.40s: %s", text, why);
        return;
    }
    regfree(&pattern);
    snprintf(own->table.filter, sizeof own->table.filter, "%s", text);
}

static int click(screen *s, shown *all, runs_page *own, const event *e) {
    place at = s->layout.body;
    int headed = at.rows >= 3, line = e->row - at.row - headed, row = own->first + line;
    if (e->row < at.row || e->row >= at.row + at.rows) return 0;
    if (line < 0) {
        for (int i = 0; i < own->columns; i++)
            if (e->col >= own->column[i].col && e->col < own->column[i].col + own->column[i].width + GAP)
                sort_by(&own->table, own->column[i].what);
        return 1;
    }
    if (row >= own->table.rows || own->table.row[row] >= all->runs) return 1;
    int again = own->table.row[row] == all->at;
    select_row(own, all, row);
    if (e->col < at.col + MARKS) shown_at(all)->hidden = !shown_at(all)->hidden;
    else if (again) screen_open(s, "plots");
    return 1;
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    runs_page *own = memory;
    int row = runs_table_row(&own->table, all->at), height = own->height > 1 ? own->height : 1;
    if (all->runs < 1) return 0;
    switch (e->action) {
    case DO_UP: select_row(own, all, row - 1); return 1;
    case DO_DOWN: select_row(own, all, row + 1); return 1;
    case DO_WHEEL_UP: select_row(own, all, row - WHEEL); return 1;
    case DO_WHEEL_DOWN: select_row(own, all, row + WHEEL); return 1;
    case DO_PAGE_UP: select_row(own, all, row - height); return 1;
    case DO_PAGE_DOWN: select_row(own, all, row + height); return 1;
    case DO_FIRST: select_row(own, all, 0); return 1;
    case DO_LAST: select_row(own, all, own->table.rows); return 1;
    case DO_LEFT: own->skip -= own->skip > 0; return 1;
    case DO_RIGHT: own->skip++; return 1;
    case DO_ENTER: return screen_open(s, "plots");
    case DO_CLICK: return click(s, all, own, e);
    case OWN_SHOW: shown_at(all)->hidden = !shown_at(all)->hidden; return 1;
    case OWN_PIN: shown_at(all)->pinned = !shown_at(all)->pinned; return 1;
    case OWN_SORT: own->table.sort = (own->table.sort + 2) % (runs_table_columns(&own->table) + 1) - 1; return 1;
    case OWN_REVERSE: own->table.reverse = !own->table.reverse; return 1;
    case OWN_FILTER: screen_ask(s, OWN_FILTER, "runs with (regular expression):"); return 1;
    case DO_ANSWER:
        if (e->asked == OWN_FILTER) take_filter(s, own, e->text);
        return e->asked == OWN_FILTER;
    default: return 0;
    }
}

static void where(const screen *s, const shown *all, const void *memory, char *text, size_t size) {
    const runs_page *own = memory;
    int unread = 0;
    (void)s;
    for (int k = 0; k < all->runs; k++) unread += all->run[k].unread;
    if (unread) snprintf(text, size, "%d of %d runs read", all->runs - unread, all->runs);
    else if (*own->table.filter) snprintf(text, size, "%d of %d runs: %.24s", own->table.rows, all->runs, own->table.filter);
    else if (all->left_out) snprintf(text, size, "%d runs, %d left out", all->runs, all->left_out);
    else snprintf(text, size, "%d run%s", all->runs, all->runs == 1 ? "" : "s");
}

/* All columns of the rows that match, in their order. Options by their whole keys. */
static void table(const screen *s, const shown *all, const void *memory, FILE *out) {
    const runs_page *own = memory;
    const runs_table *t = &own->table;
    char text[CELL];
    (void)s;
    for (int i = -1; i < t->rows; i++)
        for (int what = 0, n = runs_table_columns(t); what < n; what++) {
            if (i >= 0) runs_table_cell(t, all, t->row[i], what, text, sizeof text);
            else runs_table_head(t, what, text, sizeof text);
            char *good = export_utf8(i < 0 && what >= COLUMN_OPTION ? t->manifests.column[what - COLUMN_OPTION].key : text);
            if (good && *good) export_put_field(out, good);
            free(good);
            putc(what + 1 < n ? ',' : '\n', out);
        }
}

static int is_empty(const shown *all) {
    return all->runs < 2;
}

static void save(const void *memory, cJSON *to) {
    const runs_page *own = memory;
    cJSON_AddNumberToObject(to, "sort", own->ready ? own->table.sort : SORT_ACTIVE);
    cJSON_AddBoolToObject(to, "reverse", own->table.reverse);
    cJSON_AddStringToObject(to, "filter", own->table.filter);
}

static void load(void *memory, const cJSON *from) {
    runs_page *own = memory;
    own->table.sort = settings_int(from, "sort", SORT_ACTIVE, SORT_ACTIVE, COLUMN_OPTION + 1000);
    own->table.reverse = settings_int(from, "reverse", 0, 0, 1);
    settings_text(from, "filter", own->table.filter, sizeof own->table.filter);
    own->ready = 1;
}

static void release(void *memory) {
    runs_page *own = memory;
    runs_table_free(&own->table);
}

const page page_runs = {
    .name = "runs",
    .code = 'r',
    .about = "runs: their states, their best values, and the options in which they differ",
    .rank = 4,
    .keys = keys,
    .size = sizeof(runs_page),
    .is_empty = is_empty,
    .draw = draw,
    .act = act,
    .where = where,
    .table = table,
    .save = save,
    .load = load,
    .free = release,
};
