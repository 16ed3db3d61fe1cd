/* alarms.c: see alarms.h. */

#include "term/alarms.h"

#include <stdio.h>
#include <string.h>

enum { SENTENCE = 1024, INDENT = 9 };

static int pen_of(const alarm_entry *a) {
    if (a->silenced || a->e.ended >= 0) return PEN_DIM;
    return a->e.level == ALARM_RAISED ? PEN_ALARM : PEN_WARN;
}

static const char *word_of(const alarm_entry *a) {
    if (a->silenced && a->e.ended < 0) return "silenced";
    return a->e.highest == ALARM_RAISED && (a->e.ended >= 0 || a->e.level == ALARM_RAISED) ? "alarm" : "warning";
}

void alarms_line(canvas *c, place where, const alarm_list *list) {
    const alarm_entry *a = alarm_first(list);
    char text[SENTENCE];
    int64_t more = -1;
    int col = where.col, end = where.col + where.cols;
    if (!a || where.rows < 1) return;
    for (int64_t i = 0; i < list->active; i++) more += !list->alarm[i].silenced;
    snprintf(text, sizeof text, "and %lld more", (long long)more);
    if (more > 0 && where.cols >= 48) end = canvas_text_right(c, where.row, end, where.cols, text, PEN_DIM) - 2;
    col += canvas_text(c, where.row, col, end - col, word_of(a), pen_of(a)) + 1;
    alarm_headline(a, text, sizeof text);
    if (col < end) canvas_text(c, where.row, col, end - col, text, PEN_TEXT);
}

/* ---- the page ---- */

/* Breaks text between words; draws nothing where c is NULL. Returns the rows it takes. */
static int wrap(canvas *c, place at, const char *text, int pen) {
    int rows = 0;
    while (*text && at.cols > 0) {
        size_t n = strlen(text), room = (size_t)at.cols;
        char line[SENTENCE];
        if (n > room) {
            n = room;
            while (n > 0 && text[n] != ' ') n--;
            if (n == 0) n = room;
        }
        if (n >= sizeof line) n = sizeof line - 1;
        memcpy(line, text, n);
        line[n] = 0;
        if (c && rows < at.rows) canvas_text(c, at.row + rows, at.col, at.cols, line, pen);
        rows++;
        text += n;
        while (*text == ' ') text++;
    }
    return rows;
}

static void evidence(const alarm_entry *a, char *text, size_t size) {
    char worst[32];
    *text = 0;
    if (a->side >= ALARM_ODD) return;
    format_value(a->e.worst, 3, worst, sizeof worst);
    snprintf(text, size, "%lld of the %s%lld values beyond, the farthest %s", (long long)a->e.beyond,
             a->e.ended < 0 ? "latest " : "first ", (long long)a->e.of, worst);
}

/* One alarm; returns the rows it takes. What is over is one line. */
static int draw_one(canvas *c, place at, const pitot_log *log, const alarm_entry *a, int chosen) {
    char text[SENTENCE];
    int pen = pen_of(a), word = pen == PEN_DIM ? PEN_DIM : PEN_TEXT, left = at.cols > 40 ? INDENT : 2, rows = 1;
    place below = { at.row + 1, at.col + left, at.rows - 1, at.cols - left };
    if (c && at.rows > 0) {
        canvas_text(c, at.row, at.col, left - 1, word_of(a), pen);
        alarm_headline(a, text, sizeof text);
        canvas_text(c, at.row, at.col + left, at.cols - left, text, chosen ? PEN_CHOSEN : word);
    }
    if (a->e.ended >= 0) return 1;
    alarm_sentence(log, a, text, sizeof text);
    const char *says = strstr(text, ": ");
    rows += wrap(c, below, says ? says + 2 : text, word);
    evidence(a, text, sizeof text);
    below.row = at.row + rows;
    below.rows = at.rows - rows;
    return rows + wrap(c, below, text, PEN_DIM);
}

static int64_t first_shown(const alarm_list *list, place where, const pitot_log *log, int64_t selected) {
    int rows = 0;
    int64_t i = selected < list->n ? selected : list->n - 1;
    for (; i >= 0; i--) {
        rows += draw_one(NULL, where, log, &list->alarm[i], 0);
        if (rows > where.rows) return i < selected ? i + 1 : i;
    }
    return 0;
}

void alarms_page(canvas *c, place where, const pitot_log *log, const alarm_list *list, int64_t selected, int mark) {
    int row = 0;
    if (where.rows < 1 || where.cols < 1) return;
    if (!list->n)
        canvas_text(c, where.row, where.col, where.cols, "no alarms: all values with bounds are, and were, within them", PEN_DIM);
    for (int64_t i = first_shown(list, where, log, selected); i < list->n && row < where.rows; i++) {
        place at = { where.row + row, where.col, where.rows - row, where.cols };
        row += draw_one(c, at, log, &list->alarm[i], mark && i == selected);
    }
}

int64_t alarms_at(place where, const pitot_log *log, const alarm_list *list, int64_t selected, int row) {
    int at = where.row;
    for (int64_t i = list->n ? first_shown(list, where, log, selected) : 0; i < list->n && at < where.row + where.rows; i++) {
        at += draw_one(NULL, where, log, &list->alarm[i], 0);
        if (row >= where.row && row < at) return i;
    }
    return -1;
}
