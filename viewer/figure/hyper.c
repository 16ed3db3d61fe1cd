/* hyper.c: hyper-parameters: those that vary as curves, those that stand as words. See page.h. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURVES = 3, WORDS = 24 };

typedef struct words { /* "lr", "0.1" */
    int n;
    struct {
        char name[48], value[64];
    } word[WORDS];
} words;

static void add_word(words *w, const char *name, size_t length, const char *value, size_t value_length) {
    for (int i = 0; i < w->n; i++)
        if (strlen(w->word[i].name) == length && memcmp(w->word[i].name, name, length) == 0) return;
    if (w->n == WORDS) return;
    snprintf(w->word[w->n].name, sizeof w->word[0].name, "%.*s", (int)length, name);
    snprintf(w->word[w->n].value, sizeof w->word[0].value, "%.*s", (int)value_length, value);
    w->n++;
}

/* "sgd: lr=0.1, momentum=0.9" of the manifest, and the batch size. */
static void add_facts(const view *v, words *w) {
    const char *at = header_value(v->facts, "optimizer"), *batch = header_value(v->facts, "batch");
    const char *colon = strchr(at, ':');
    size_t name = colon ? (size_t)(colon - at) : strlen(at);
    if (name) add_word(w, "optimizer", 9, at, name);
    for (at = colon ? colon + 2 : ""; *at;) {
        const char *end = strstr(at, ", "), *equal = strchr(at, '=');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (equal && equal < at + n) add_word(w, at, (size_t)(equal - at), equal + 1, n - (size_t)(equal + 1 - at));
        at += n + (end ? 2 : 0);
    }
    if (*batch) add_word(w, "batch", 5, batch, strlen(batch));
}

static int is_hyper(const char *name) {
    return strcmp(name, "lr") == 0 || strncmp(name, "hyper.", 6) == 0;
}

static int varies(const pitot_series *s) {
    for (int64_t i = 1; i < s->n; i++)
        if (s->value[i] != s->value[0]) return 1;
    return 0;
}

/* Series that vary become lines, up to CURVES; of all others the newest value is a word. */
static int sort_series(const view *v, line *curve, words *w) {
    int n = 0;
    pitot_series s;
    for (int64_t i = 0; pitot_log_series(v->log, i, &s) == PITOT_OK; i++) {
        char text[40];
        if (!is_hyper(s.name) || s.n == 0) continue;
        const char *name = strncmp(s.name, "hyper.", 6) == 0 ? s.name + 6 : s.name;
        if (varies(&s) && n < CURVES) {
            curve[n++] = (line){ name, s.step, s.value, s.n, v->accent, 0, NULL, 0 };
            continue;
        }
        format_value(s.value[s.n - 1], 6, text, sizeof text);
        add_word(w, name, strlen(name), text, strlen(text));
    }
    return n;
}

static int has_curve(const line *curve, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(curve[i].name, name) == 0) return 1;
    return 0;
}

/* Two columns, as many rows as fit. */
static double draw_words(const view *v, rect a, const words *w, const line *curve, int n) {
    const ink name = { v->font, 0, INK_LEFT, ink_grey }, value = { v->font, 0, INK_LEFT, ink_text };
    double row = 1.5 * v->font, half = a.w / 2, y = a.y + 1.1 * v->font;
    int drawn = 0;
    for (int i = 0; i < w->n; i++) {
        if (has_curve(curve, n, w->word[i].name)) continue;
        double x = a.x + (drawn % 2) * half, room = half - v->font;
        if (y + drawn / 2 * row > a.y + a.h) break;
        x += ink_fit(v->cr, &name, x, y + drawn / 2 * row, 0.6 * room, w->word[i].name) + 0.5 * v->font;
        ink_fit(v->cr, &value, x, y + drawn / 2 * row, a.x + (drawn % 2) * half + room - x, w->word[i].value);
        drawn++;
    }
    return (drawn + 1) / 2 * row + 0.7 * v->font;
}

static plot plot_of(const view *v, const line *l, int upper) {
    return (plot){
        .title = l->name,
        .label = "",
        .unit = "",
        .x = v->steps,
        .main = l,
        .n_main = 1,
        .font = v->font,
        .upper = upper,
        .column = v->column,
        .snap = v->snap,
    };
}

static int32_t draw_curves(const view *v, rect a, const line *curve, int n) {
    double foot = 2.35 * v->font, h = (a.h - foot) / n, left = 0, right = 0;
    int32_t status = PITOT_OK;
    for (int i = 0; i < n; i++) {
        plot p = plot_of(v, &curve[i], 1);
        plot_margins(v->cr, &p, h, &left, &right);
    }
    for (int i = 0; i < n && status == PITOT_OK; i++) {
        plot p = plot_of(v, &curve[i], i < n - 1);
        p.left = left;
        p.right = right;
        status = plot_draw(v->cr, (rect){ a.x, a.y + i * h, a.w, i == n - 1 ? h + foot : h }, &p);
    }
    return status;
}

int32_t hyper_draw(const view *v) {
    line curve[CURVES];
    words w = { 0 };
    int n = sort_series(v, curve, &w);
    add_facts(v, &w);
    if (n + w.n == 0) return view_hint(v, NULL, "not in this log: hosts tell them with pitot_hyper");
    rect body = view_head(v, v->what->label, "");
    double used = draw_words(v, (rect){ body.x, body.y, body.w, n ? 0.4 * body.h : body.h }, &w, curve, n);
    if (n == 0) return PITOT_OK;
    return draw_curves(v, (rect){ body.x, body.y + used, body.w, body.h - used }, curve, n);
}
