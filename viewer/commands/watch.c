/* watch.c: `pitot watch`, the terminal viewer. A loop of small turns: read at most 8 MiB, draw what changed, wait for a key. */

#include "command.h"
#include "runs.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "term/keys.h"
#include "term/page.h"
#include "term/term.h"

enum { BUDGET = 8 << 20, LEAST_FRAME = 100 /* ms between frames while a log is being read */ };

static const double patience = 5; /* seconds that a run may take to appear */

typedef struct viewer {
    runs runs;
    double interval, linger; /* seconds; linger < 0: stay */
    screen screen;
    double frame_cost; /* seconds that the last frame took */
    double frame_end;  /* when it was done */
    double last_poll, last_key, last_tick;
    int changed, behind; /* there is something to draw; there is more to read at once */
} viewer;

static double now_on(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds until the viewer closes by itself: --linger after all runs have ended and the last key; < 0: it stays. */
static double closes_in(const viewer *v) {
    if (v->linger < 0 || v->behind) return -1;
    for (int k = 0; k < v->runs.all.runs; k++)
        if (!runs_ended(&v->runs, k)) return -1;
    return fmax(0, v->linger - (now_on(CLOCK_MONOTONIC) - v->last_key));
}

static void tell_time(viewer *v) {
    v->runs.all.now = now_on(CLOCK_REALTIME);
    v->runs.all.closes_in = closes_in(v);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

/* The run on the screen first; the budget is for all together. */
static void poll_all(viewer *v) {
    int64_t left = BUDGET;
    for (int i = 0; i < v->runs.all.runs && left > 0; i++)
        left -= runs_poll(&v->runs, (v->runs.all.at + i) % v->runs.all.runs, left, &v->changed);
    v->behind = left <= 0;
    v->last_poll = now_on(CLOCK_MONOTONIC);
}

static int draw_frame(viewer *v) {
    double start = now_on(CLOCK_MONOTONIC);
    int rows, cols;
    tell_time(v);
    for (int k = 0; k < v->runs.all.runs; k++) runs_refresh(&v->runs, k);
    term_size(&rows, &cols);
    if (screen_draw(&v->screen, &v->runs.all, rows, cols) != PITOT_OK) return 0;
    term_show(&v->screen.canvas);
    v->frame_end = v->last_tick = now_on(CLOCK_MONOTONIC);
    v->frame_cost = v->frame_end - start;
    v->changed = 0;
    return 1;
}

/* Frames that take long come seldom, so that drawing never costs more than a fifth of the time. */
static double next_frame(const viewer *v) {
    return v->frame_end + fmax(4 * v->frame_cost, v->behind ? LEAST_FRAME / 1000.0 : 0);
}

static int draw_if_due(viewer *v) {
    double now = now_on(CLOCK_MONOTONIC);
    if (v->changed && now >= next_frame(v)) return draw_frame(v);
    if (now - v->last_tick >= 1) {
        tell_time(v);
        runs_refresh(&v->runs, v->runs.all.at);
        screen_draw_title(&v->screen, &v->runs.all);
        term_show(&v->screen.canvas);
        v->last_tick = now;
    }
    return 1;
}

static int wait_milliseconds(const viewer *v) {
    double now = now_on(CLOCK_MONOTONIC), until = v->last_poll + v->interval;
    if (v->behind) return 0;
    if (v->changed && next_frame(v) < until) until = next_frame(v);
    if (v->last_tick + 1 < until) until = v->last_tick + 1;
    return until > now ? (int)((until - now) * 1000) + 1 : 0;
}

/* 1: go on, 0: quit, -1: out of memory. */
static int handle_key(viewer *v, int code) {
    int typing = v->screen.prompt.asked != DO_NOTHING, action = typing ? DO_NOTHING : key_find(key_table, code);
    v->last_key = now_on(CLOCK_MONOTONIC);
    if (action == DO_QUIT) return 0;
    if (action == DO_REDRAW) term_redraw();
    int draw = screen_key(&v->screen, &v->runs.all, code) || code == TERM_RESIZE;
    return draw && !draw_frame(v) ? -1 : 1;
}

/* Keys that came together are all taken before the next reading. */
static int handle_keys(viewer *v, int wait) {
    int code = term_key(wait), go_on = 1;
    while (code != TERM_NONE && go_on > 0 && !term_stopped()) {
        go_on = handle_key(v, code);
        code = go_on > 0 ? term_key(0) : TERM_NONE;
    }
    return go_on;
}

static int watch_live(viewer *v) {
    char why[256];
    int go_on = 1;
    if (term_open(why, sizeof why) < 0) return fail("watch: %s", why);
    v->screen.canvas.ascii = !term_is_unicode();
    v->last_key = now_on(CLOCK_MONOTONIC);
    v->changed = 1;
    while (go_on > 0 && !term_stopped()) {
        double now = now_on(CLOCK_MONOTONIC);
        if (v->behind || now - v->last_poll >= v->interval) poll_all(v);
        go_on = draw_if_due(v) ? handle_keys(v, wait_milliseconds(v)) : -1;
        if (closes_in(v) < 0) v->last_key = v->linger < 0 ? 0 : now;
        else if (go_on > 0 && closes_in(v) == 0) break;
    }
    term_close();
    return go_on < 0 ? fail("watch: out of memory") : EXIT_DONE;
}

/* ---- --once ---------------------------------------------------------------------------------------------------------- */

static int print_canvas(const canvas *c) {
    char *line = malloc((size_t)c->cols * 4 + 1);
    if (!line) return fail("watch: out of memory");
    for (int row = 0; row < c->rows; row++) {
        canvas_row(c, row, line);
        puts(line);
    }
    free(line);
    return EXIT_DONE;
}

static int print_frames(viewer *v, int rows, int cols) {
    shown *all = &v->runs.all;
    int status = EXIT_DONE, news = 0;
    v->screen.still = 1;
    v->screen.canvas.ascii = !term_is_unicode();
    for (int k = 0; k < all->runs; k++) {
        runs_poll(&v->runs, k, 0, &news);
        if (runs_trouble(&v->runs, k)->status != PITOT_OK) return fail_error(runs_trouble(&v->runs, k));
        runs_refresh(&v->runs, k);
    }
    tell_time(v);
    for (all->at = 0; all->at < all->runs && status == EXIT_DONE; all->at++) {
        if (screen_draw(&v->screen, all, rows, cols) != PITOT_OK) return fail("watch: out of memory");
        status = print_canvas(&v->screen.canvas);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) return fail("watch: standard output cannot be written");
    return status;
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static double seconds_flag(const args *a, const char *name, double otherwise, double lo, double hi, int *bad) {
    const char *text = args_get(a, name);
    char *end;
    double v;
    if (!text) return otherwise;
    v = strtod(text, &end);
    if (end != text && !*end && v >= lo && v <= hi) return v;
    fail_usage("watch", "%s %s: give a number of seconds from %g to %g", name, text, lo, hi);
    *bad = 1;
    return otherwise;
}

static void size_flag(const args *a, int *rows, int *cols, int *bad) {
    const char *text = args_get(a, "--size");
    char rest;
    *rows = 30;
    *cols = 100;
    if (!text) {
        if (isatty(STDOUT_FILENO)) term_window(STDOUT_FILENO, rows, cols);
        return;
    }
    if (sscanf(text, "%5dx%5d%c", cols, rows, &rest) == 2 && *cols >= 1 && *rows >= 1 && *cols <= 1000 && *rows <= 1000) return;
    fail_usage("watch", "--size %s: give COLUMNSxROWS, each from 1 to 1000, such as 100x30", text);
    *bad = 1;
}

/* The page to begin with. */
static int page_flag(screen *s, const args *a, int *bad) {
    const char *name = args_get(a, "--page");
    if (args_get(a, "--density")) name = "spectra";
    if (args_get(a, "--alarms")) name = "alarms";
    if (!name || screen_open(s, name)) return 1;
    char names[256] = "";
    int n = 0;
    for (int k = 0; page_by_rank(k) && n < (int)sizeof names; k++)
        n += snprintf(names + n, sizeof names - (size_t)n, " %s", page_by_rank(k)->name);
    fail_usage("watch", "--page %s: there is no such page; there are%s", name, names);
    *bad = 1;
    return 0;
}

static int watch(const args *a) {
    viewer v = { 0 };
    int rows, cols, status = EXIT_DONE, bad = 0, once = args_get(a, "--once") != NULL;
    v.interval = seconds_flag(a, "--interval", 0.5, 0.02, 3600, &bad);
    v.linger = seconds_flag(a, "--linger", -1, 0, 1e9, &bad);
    size_flag(a, &rows, &cols, &bad);
    page_flag(&v.screen, a, &bad);
    if (bad) return EXIT_USAGE;
    if (args_rest(a) < 1) return fail_usage("watch", "no run is named");
    setlocale(LC_CTYPE, "");
    for (int i = 0; i < args_rest(a) && status == EXIT_DONE; i++)
        status = runs_open(&v.runs, args_rest_at(a, i), once ? 0 : patience);
    if (status == EXIT_DONE) status = once ? print_frames(&v, rows, cols) : watch_live(&v);
    runs_free(&v.runs);
    screen_free(&v.screen);
    return status;
}

static const flag watch_flags[] = {
    { "--once", NULL, "print one frame as plain text and exit", 0 },
    { "--size", "COLSxROWS", "size of that frame (default: the terminal's, otherwise 100x30)", 0 },
    { "--interval", "SECONDS", "time between looks at the log (default 0.5)", 0 },
    { "--linger", "SECONDS", "quit that long after the run has ended, unless a key is pressed (default: stay)", 0 },
    { "--page", "NAME", "begin with that page: plots, spectra, alarms", 0 },
    { "--density", NULL, "begin with the spectral density (key d), if the run has any", 0 },
    { "--alarms", NULL, "begin with the alarms (key a): what, since when, on what evidence, and what to try", 0 },
    { NULL, NULL, NULL, 0 },
};

const command command_watch = {
    .name = "watch",
    .synopsis = "RUN...",
    .summary = "the terminal viewer: runs while they train, or afterwards",
    .details = "RUN is a run directory, or an events.jsonl. It may appear a few seconds later. Press ? for the keys, q to quit.\n"
               "Values that are not finite are marked at the upper edge: x is NaN, ^ is infinite (v, below: minus infinite).\n"
               "A line below the title names the most urgent alarm, if a probe's value stays beyond its bounds.\n"
               "NO_COLOR is honoured; without a UTF-8 locale, lines are drawn in ASCII.\n"
               "\n"
               "  pitot watch runs/adam              look at a run while it trains\n"
               "  pitot watch runs/adam runs/sgd     both in one plot; Tab goes from one to the other\n"
               "  pitot watch --once --size 80x24 runs/adam > frame.txt",
    .flags = watch_flags,
    .run = watch,
};
