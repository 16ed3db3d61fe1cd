/* screen.c: see screen.h. What a key does is asked of the page at hand first, then of all pages. */

#include "term/screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/alarms.h"
#include "term/footer.h"
#include "term/page.h"
#include "term/term.h"
#include "term/theme.h"
#include "term/title.h"

enum { CLEAR = 21 /* Ctrl-U */, HELP_PAGE = 10 };

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

const page *page_by_rank(int k) {
    for (const page *const *p = page_table; *p; p++) {
        int before = 0;
        for (const page *const *q = page_table; *q; q++) before += (*q)->rank < (*p)->rank || ((*q)->rank == (*p)->rank && q < p);
        if (before == k) return *p;
    }
    return NULL;
}

/* Memory for what the pages keep. 1, or 0: there is none. */
static int make_pages(screen *s) {
    int n = 0;
    if (s->own) return 1;
    while (page_table[n]) n++;
    s->own = calloc((size_t)n + 1, sizeof *s->own);
    if (!s->own) return 0;
    for (int k = 0; k < n; k++) {
        s->own[k] = calloc(1, page_by_rank(k)->size + 1);
        s->pages = s->own[k] ? k + 1 : s->pages;
        if (!s->own[k]) {
            screen_free(s);
            return 0;
        }
    }
    return 1;
}

static int find_page(const char *name) {
    for (int k = 0; page_by_rank(k); k++)
        if (!strcmp(page_by_rank(k)->name, name)) return k;
    return -1;
}

int screen_open(screen *s, const char *name) {
    int k = find_page(name);
    if (k >= 0) s->page = k;
    return k >= 0;
}

void *screen_own(screen *s, const char *name) {
    int k = find_page(name);
    return k >= 0 && make_pages(s) ? s->own[k] : NULL;
}

/* The page of that key; the same key again leads back to the first page. 1 if there is one. */
static int open_by_key(screen *s, int code) {
    const page *p;
    for (int k = 0; code > 0 && (p = page_by_rank(k)); k++) {
        if (p->code != code) continue;
        s->page = s->page == k && !s->help ? 0 : k;
        s->help = 0;
        return 1;
    }
    return 0;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

int screen_shows(const screen *s, const shown_run *run) {
    return run->pinned || (!run->hidden && filter_matches(&s->drawn, run->name));
}

void screen_draw_title(screen *s, const shown *all) {
    const page *p = page_by_rank(s->page);
    char where[64] = "";
    if (s->still && p->where) p->where(s, all, s->own[s->page], where, sizeof where);
    title_line(&s->canvas, s->layout.title, all, where);
}

int32_t screen_draw(screen *s, const shown *all, int rows, int cols) {
    int32_t status = canvas_resize(&s->canvas, rows, cols);
    if (status != PITOT_OK) return status;
    if (!make_pages(s)) return PITOT_ENOMEM;
    const page *p = page_by_rank(s->page);
    alarm_list *alarms = shown_at(all)->alarms;
    int lined = alarms && alarm_first(alarms) && strcmp(p->name, "alarms") != 0 && strcmp(p->name, "runs") != 0;
    s->layout = layout_screen(rows, cols, !s->still, lined);
    if (window_refresh(s, all) != PITOT_OK) return PITOT_ENOMEM;
    if (lined) alarms_line(&s->canvas, s->layout.line, alarms);
    if (s->help) footer_help(s, s->layout.body);
    else status = p->draw(s, all, s->own[s->page]);
    screen_draw_title(s, all);
    footer_pages(s, all, s->layout.pages);
    footer_keys(s, all, s->layout.keys);
    return status;
}

/* ---- prompts and notes ----------------------------------------------------------------------------------------------- */

void screen_ask(screen *s, int asked, const char *question) {
    s->prompt = (prompt){ .asked = asked };
    snprintf(s->prompt.question, sizeof s->prompt.question, "%s", question);
}

void screen_propose(screen *s, int asked, const char *question, const char *answer) {
    screen_ask(s, asked, question);
    snprintf(s->prompt.text, sizeof s->prompt.text, "%s", answer);
    s->prompt.length = (int)strlen(s->prompt.text);
}

void screen_say(screen *s, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(s->note, sizeof s->note, format, list);
    va_end(list);
}

static void type(prompt *p, uint32_t code) {
    char utf8[4];
    int n = canvas_utf8(utf8, code);
    if (p->length + n >= PROMPT_ROOM) return;
    memcpy(p->text + p->length, utf8, (size_t)n);
    p->text[p->length += n] = 0;
}

static void erase(prompt *p) {
    while (p->length > 0 && ((unsigned char)p->text[--p->length] & 0xc0) == 0x80) continue;
    p->text[p->length] = 0;
}

/* A file's name without what would lead elsewhere or be hard to type. */
static void propose_file(screen *s, const shown *all) {
    const page *p = page_by_rank(s->page);
    char name[PROMPT_ROOM];
    int n = snprintf(name, sizeof name, "%.100s-%s", shown_at(all)->name, p->name);
    for (int i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.-_=", name[i])) name[i] = '-';
    snprintf(name + n, sizeof name - (size_t)n, ".png");
    screen_propose(s, DO_EXPORT, "write to:", name[0] == '.' || name[0] == '-' ? name + 1 : name);
}

/* An answer about the file to write. 1: it was one. */
static int take_file(screen *s, const prompt *done) {
    if (done->asked == DO_EXPORT) {
        snprintf(s->file, sizeof s->file, "%s", done->text);
        s->file_sure = 0;
        s->file_due = *s->file != 0;
    } else if (done->asked == DO_OVERWRITE) s->file_due = s->file_sure = *done->text == 'y' || *done->text == 'Y';
    else return 0;
    return 1;
}

/* A key while a line is typed. Always to be drawn. */
static int edit(screen *s, shown *all, int code) {
    prompt *p = &s->prompt;
    const page *at = page_by_rank(s->page);
    if (code == TERM_ENTER) {
        prompt done = *p;
        event e = { .action = DO_ANSWER, .asked = done.asked, .text = done.text };
        p->asked = DO_NOTHING;
        if (take_file(s, &done)) return 1;
        if (at->windowed && window_act(s, all, &e)) return 1;
        if (at->act) at->act(s, all, s->own[s->page], &e);
    } else if (code == TERM_ESCAPE) p->asked = DO_NOTHING;
    else if (code == TERM_BACKSPACE) erase(p);
    else if (code == CLEAR) p->text[p->length = 0] = 0;
    else if (code >= ' ' && code < 0x110000 && code != 127) type(p, (uint32_t)code);
    return 1;
}

/* ---- what keys do ---------------------------------------------------------------------------------------------------- */

/* What all pages do alike. */
static int act_anywhere(screen *s, shown *all, const event *e) {
    switch (e->action) {
    case DO_HELP: s->help = !s->help; return 1;
    case DO_GO_BACK: s->page = 0; return 1;
    case DO_NEXT_RUN: all->at = (all->at + 1) % all->runs; return 1;
    case DO_LAST_RUN: all->at = (all->at + all->runs - 1) % all->runs; return 1;
    case DO_REDRAW: return 1;
    case DO_EXPORT: propose_file(s, all); return 1;
    case DO_THEME:
        s->theme = (s->theme + 1) % THEMES;
        screen_say(s, "theme: %s", theme_name(s->theme));
        return 1;
    case DO_CLICK:
        if (s->layout.pages.rows && e->row == s->layout.pages.row) {
            int k = footer_page_at(s, all, e->col);
            if (k >= 0) s->page = k;
            return k >= 0;
        }
        return 0;
    default: return open_by_key(s, e->code);
    }
}

int screen_act(screen *s, shown *all, const event *e) {
    if (!make_pages(s) || s->prompt.asked != DO_NOTHING) return 0;
    if (s->help && footer_scroll_help(s, e->action)) return 1;
    if (s->help && e->action != DO_HELP && e->action != DO_THEME) {
        s->help = 0;
        return 1;
    }
    const page *p = page_by_rank(s->page);
    if (p->windowed && window_act(s, all, e)) return 1;
    return (p->act && p->act(s, all, s->own[s->page], e)) || act_anywhere(s, all, e);
}

int screen_key(screen *s, shown *all, int code) {
    int noted = *s->note != 0;
    if (!make_pages(s)) return 0;
    s->note[0] = 0;
    if (s->prompt.asked != DO_NOTHING) return edit(s, all, code);
    const page *p = page_by_rank(s->page);
    event e = { .action = key_find(p->keys, code), .code = code };
    if (e.action == DO_NOTHING && p->windowed) e.action = key_find(window_keys, code);
    if (e.action == DO_NOTHING && code >= '1' && code <= '9') e.action = DO_DIGIT;
    if (e.action == DO_NOTHING) e.action = key_find(key_table, code);
    return screen_act(s, all, &e) || noted;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

int screen_reserve(screen *s, int64_t need) {
    if (need <= s->bins_room) return 1;
    bin *larger = calloc((size_t)need, sizeof *larger);
    if (!larger) return 0;
    free(s->bins);
    s->bins = larger;
    s->bins_room = need;
    return 1;
}

void screen_free(screen *s) {
    for (int k = 0; k < s->pages; k++) {
        if (page_by_rank(k)->free) page_by_rank(k)->free(s->own[k]);
        free(s->own[k]);
    }
    free(s->own);
    canvas_free(&s->canvas);
    free(s->bins);
    window_free(&s->window);
    filter_free(&s->drawn);
    s->own = NULL;
    s->bins = NULL;
    s->pages = 0;
    s->bins_room = 0;
}
