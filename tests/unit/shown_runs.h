/* shown_runs.h: runs for tests of the viewer's pages: logs written by the test, read, and given to a screen. */

#ifndef PITOT_TESTS_SHOWN_RUNS_H
#define PITOT_TESTS_SHOWN_RUNS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "term/page.h"
#include "term/plots.h"
#include "term/term.h"

enum { SHOWN_MOST = 4 };

typedef struct shown_runs { /* clear it at first */
    screen screen;
    shown all;
    shown_run run[SHOWN_MOST];
    panel_list panels[SHOWN_MOST];
    alarm_list alarms[SHOWN_MOST];
    char folder[SHOWN_MOST][32], events[SHOWN_MOST][48], manifest[SHOWN_MOST][48];
} shown_runs;

/* Appends ",\"name\":value" for each of a record's numbers. */
typedef void shown_record(char *body, size_t size, int i);

static inline PITOT_PRINTF(3, 4) void shown_add(char *body, size_t size, const char *format, ...) {
    size_t n = strlen(body);
    va_list list;
    va_start(list, format);
    vsnprintf(body + n, size - n, format, list);
    va_end(list);
}

static inline void shown_value(char *body, size_t size, const char *name, double v) {
    if (isfinite(v)) shown_add(body, size, ",\"%s\":%.9g", name, v);
    else shown_add(body, size, ",\"%s\":null,\"%s#nf\":\"%s\"", name, name, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

static inline void shown_line(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body)));
}

/* Writes records from..to-1 of run k: step i * apart, wall time wall + i / 4; the first ones begin the log. */
static inline void shown_write(shown_runs *r, int k, int from, int to, int apart, double wall, shown_record *record) {
    char body[8192];
    FILE *f = fopen(r->events[k], from ? "a" : "w");
    assert_non_null(f);
    snprintf(body, sizeof body, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"wall\":%.3f", wall);
    if (!from) shown_line(f, body);
    for (int i = from; i < to; i++) {
        snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%.3f", i * apart, wall + i / 4.0);
        record(body, sizeof body, i);
        shown_line(f, body);
    }
    assert_int_equal(fclose(f), 0);
}

/* What was written since. */
static inline void shown_poll(shown_runs *r, int k) {
    assert_true(pitot_log_poll((pitot_log *)(uintptr_t)r->run[k].log, 0, NULL) >= 0);
    panel_list_free(&r->panels[k]);
    assert_int_equal(panel_list_make(r->run[k].log, &r->panels[k]), PITOT_OK);
    assert_int_equal(alarm_list_make(r->run[k].log, &r->panels[k], &r->alarms[k]), PITOT_OK);
}

/* Adds a run. `manifest`: run.json; NULL: there is none. */
static inline void shown_open(shown_runs *r, const char *name, int records, int apart, double wall, shown_record *record,
                              const char *manifest) {
    int k = r->all.runs++;
    char folder[] = "/tmp/pitot-shown-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(r->folder[k], sizeof r->folder[k], "%s", folder);
    snprintf(r->events[k], sizeof r->events[k], "%s/events.jsonl", folder);
    snprintf(r->manifest[k], sizeof r->manifest[k], "%s/run.json", folder);
    if (manifest) {
        FILE *f = fopen(r->manifest[k], "w");
        assert_non_null(f);
        fputs(manifest, f);
        fclose(f);
    }
    shown_write(r, k, 0, records, apart, wall, record);
    r->run[k] = (shown_run){ .name = name, .path = r->folder[k], .trouble = "", .log = pitot_log_open(r->folder[k], NULL) };
    assert_non_null(r->run[k].log);
    r->run[k].panels = &r->panels[k];
    r->run[k].alarms = &r->alarms[k];
    r->all.run = r->run;
    r->all.now = 2000;
    for (int i = 0; i < r->all.runs; i++) r->run[i].pen = r->all.runs > 1 ? PEN_RUN + i : PEN_MAIN;
    shown_poll(r, k);
}

static inline void shown_close(shown_runs *r) {
    screen_free(&r->screen);
    for (int k = 0; k < r->all.runs; k++) {
        panel_list_free(&r->panels[k]);
        alarm_list_free(&r->alarms[k]);
        pitot_log_close((pitot_log *)(uintptr_t)r->run[k].log);
        unlink(r->events[k]);
        unlink(r->manifest[k]);
        rmdir(r->folder[k]);
    }
    *r = (shown_runs){ 0 };
}

/* Keys one after the other; '\r' is Enter. */
static inline void shown_type(shown_runs *r, const char *keys) {
    for (; *keys; keys++) screen_key(&r->screen, &r->all, *keys);
}

static inline void shown_draw(shown_runs *r, int rows, int cols) {
    assert_int_equal(screen_draw(&r->screen, &r->all, rows, cols), PITOT_OK);
}

/* One row of what was drawn. */
static inline const char *shown_row(const shown_runs *r, int row) {
    static char line[4096];
    canvas_row(&r->screen.canvas, row, line);
    return line;
}

/* 1: some row has that text. */
static inline int shown_has(const shown_runs *r, const char *text) {
    for (int row = 0; row < r->screen.canvas.rows; row++)
        if (strstr(shown_row(r, row), text)) return 1;
    return 0;
}

#endif
