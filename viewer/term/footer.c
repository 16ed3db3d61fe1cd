/* footer.c: see footer.h. */

#include "term/footer.h"

#include <stdio.h>
#include <string.h>

#include "term/term.h"

enum { GAP = 3, KEY_COLS = 12, HELP_COLS = 78 };

static int is_empty(const page *p, const shown *all) {
    return p->is_empty && p->is_empty(all);
}

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

/* Columns of the name of page k on the line: its key and its name. */
static int tab_width(const canvas *c, const page *p) {
    return 2 + canvas_text_width(c, p->name);
}

void footer_pages(screen *s, const shown *all, place at) {
    canvas *c = &s->canvas;
    int col = at.col, end = at.col + at.cols;
    for (int k = 0; at.rows && k < s->pages; k++) {
        const page *p = page_by_rank(k);
        char code[2] = { (char)p->code, 0 };
        if (is_empty(p, all) && k != s->page) continue;
        if (end - col < tab_width(c, p)) return;
        canvas_text(c, at.row, col, 1, code, PEN_KEY);
        canvas_text(c, at.row, col + 2, end - col - 2, p->name, k == s->page ? PEN_CHOSEN : PEN_DIM);
        col += tab_width(c, p) + GAP;
    }
}

int footer_page_at(const screen *s, const shown *all, int col) {
    int from = s->layout.pages.col;
    for (int k = 0; k < s->pages; k++) {
        const page *p = page_by_rank(k);
        if (is_empty(p, all) && k != s->page) continue;
        int to = from + tab_width(&s->canvas, p);
        if (col >= from && col < to) return k;
        from = to + GAP;
    }
    return -1;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static int is_useful(const screen *s, const shown *all, const page *p, const key *k) {
    if (k->action >= DO_OWN && p->is_useful) return p->is_useful(s, all, s->own[s->page], k->action);
    if (k->action == DO_NEXT_RUN) return all->runs > 1;
    if (k->action == DO_GO_BACK) return s->help;
    return 1;
}

/* Draws as many of a table's keys as fit from `col` on; returns the column behind them, or -1: the line is full. */
static int draw_table(screen *s, const shown *all, const page *p, const key *table, place at, int col) {
    canvas *c = &s->canvas;
    int end = at.col + at.cols;
    for (const key *k = table; k && k->action != DO_NOTHING; k++) {
        if (!k->label || !is_useful(s, all, p, k)) continue;
        int width = canvas_text_width(c, k->keys) + 1 + canvas_text_width(c, k->label);
        if (end - col < width) return -1;
        col += canvas_text(c, at.row, col, end - col, k->keys, PEN_KEY) + 1;
        col += canvas_text(c, at.row, col, end - col, k->label, PEN_DIM) + GAP;
    }
    return col;
}

/* A question, what was typed, and a cursor; of what is too long the end. */
static void draw_prompt(screen *s, place at) {
    canvas *c = &s->canvas;
    const char *text = s->prompt.text;
    int col = at.col + canvas_text(c, at.row, at.col, at.cols, s->prompt.question, PEN_KEY) + 1, room = at.col + at.cols - col - 1;
    while (*text && canvas_text_width(c, text) > room) {
        text++;
        while (((unsigned char)*text & 0xc0) == 0x80) text++;
    }
    col += canvas_text(c, at.row, col, room, text, PEN_TEXT);
    canvas_put(c, at.row, col, ' ', PEN_CHOSEN);
}

void footer_keys(screen *s, const shown *all, place at) {
    canvas *c = &s->canvas;
    const page *p = page_by_rank(s->page);
    char where[64] = "";
    if (!at.rows) return;
    if (s->prompt.asked != DO_NOTHING) {
        draw_prompt(s, at);
        return;
    }
    if (*s->note) {
        canvas_text(c, at.row, at.col, at.cols, s->note, PEN_TEXT);
        return;
    }
    if (s->help && s->help_more) snprintf(where, sizeof where, "PgDn for more");
    if (p->where && !s->help) p->where(s, all, s->own[s->page], where, sizeof where);
    if (canvas_text_width(c, where) + 8 < at.cols)
        at.cols = canvas_text_right(c, at.row, at.col + at.cols, at.cols, where, PEN_TEXT) - 2 - at.col;
    int col = draw_table(s, all, p, key_table, (place){ at.row, at.col, 1, at.cols }, at.col);
    if (col >= 0) col = draw_table(s, all, p, p->keys, at, col);
    if (col >= 0 && p->windowed) draw_table(s, all, p, window_keys, at, col);
}

/* ---- help ------------------------------------------------------------------------------------------------------------ */

typedef struct writer { /* lines into columns, from top to bottom; without a canvas they are only counted */
    canvas *c;
    place at;
    int line, across; /* lines before 0 are above the top */
} writer;

static void write_key(writer *w, const char *keys, const char *help, int pen) {
    int width = w->at.cols / w->across, column = w->at.rows > 0 ? w->line / w->at.rows : w->across;
    int row = w->at.row + (w->at.rows > 0 ? w->line % w->at.rows : 0), col = w->at.col + column * width;
    w->line++;
    if (w->line <= 0 || column >= w->across) return;
    canvas_text(w->c, row, col, width - 2, keys, pen);
    canvas_text(w->c, row, col + KEY_COLS, width - KEY_COLS - 2, help, PEN_TEXT);
}

static void write_table(writer *w, const key *table) {
    for (const key *k = table; k && k->action != DO_NOTHING; k++) write_key(w, k->keys, k->help, PEN_KEY);
}

static void write_help(writer *w, const screen *s) {
    const page *p = page_by_rank(s->page);
    if (p->keys) write_key(w, p->name, p->about, PEN_TITLE);
    write_table(w, p->keys);
    if (p->windowed) write_table(w, window_keys);
    for (int k = 0; k < s->pages; k++) {
        char code[2] = { (char)page_by_rank(k)->code, 0 };
        write_key(w, code, page_by_rank(k)->about, PEN_KEY);
    }
    write_table(w, key_table);
}

void footer_help(screen *s, place at) {
    writer w = { &s->canvas, at, 0, at.cols >= 2 * HELP_COLS ? 2 : 1 }, all = { &s->canvas, { 0 }, 0, 1 };
    write_help(&all, s);
    int most = all.line - at.rows * w.across + 1; /* of s->help */
    s->help_more = s->help < most;
    if (s->help > most) s->help = most;
    if (s->help < 1) s->help = 1;
    w.line = 1 - s->help;
    write_help(&w, s);
}

int footer_scroll_help(screen *s, int action) {
    int rows = s->layout.body.rows;
    switch (action) {
    case DO_DOWN: s->help++; return 1;
    case DO_UP: s->help--; break;
    case DO_PAGE_DOWN: s->help += rows; return 1;
    case DO_PAGE_UP: s->help -= rows; break;
    default: return 0;
    }
    if (s->help < 1) s->help = 1;
    return 1;
}
