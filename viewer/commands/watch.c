/* watch.c: `pitot watch`, the terminal viewer. A loop of small turns: read at most 8 MiB, draw what changed, wait for a key. */

#include "command.h"
#include "view.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "term/draw.h"
#include "term/keys.h"
#include "term/term.h"

enum { BUDGET = 8 << 20, LEAST_FRAME = 100 /* ms between frames while a log is being read */, PATH_ROOM = 4096 };

static const double patience = 5; /* seconds that a run may take to appear */

typedef struct watched { /* one run */
    const char *path;
    char name[256];
    pitot_log *log;
    panel_list panels;
    alarm_list alarms;
    int64_t series;   /* that `panels` was made from */
    int32_t restarts; /* likewise */
    pitot_error trouble;
} watched;

typedef struct viewer {
    watched *run;
    int runs, at;
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

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

/* The last part of a path that says something: "runs/a/" and "runs/a/events.jsonl" are both "a". */
static void name_run(watched *w) {
    char whole[PATH_ROOM], *slash;
    if (!realpath(w->path, whole)) snprintf(whole, sizeof whole, "%s", w->path);
    size_t n = strlen(whole);
    while (n > 1 && whole[n - 1] == '/') whole[--n] = 0;
    slash = strrchr(whole, '/');
    if (slash && slash > whole && strcmp(slash, "/events.jsonl") == 0) {
        *slash = 0;
        slash = strrchr(whole, '/');
    }
    snprintf(w->name, sizeof w->name, "%.255s", slash && slash[1] ? slash + 1 : whole);
}

static int64_t size_of_events(const watched *w) {
    char path[PATH_ROOM];
    struct stat st;
    if (stat(w->path, &st) == 0 && S_ISREG(st.st_mode)) return (int64_t)st.st_size;
    int n = snprintf(path, sizeof path, "%s/events.jsonl", w->path);
    return n > 0 && n < (int)sizeof path && stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* Panels are made from series; they are made again when there are more of them, or others. */
static void refresh_panels(watched *w) {
    pitot_log_state state = { .struct_size = sizeof state };
    int64_t series = pitot_log_series_count(w->log);
    pitot_log_get_state(w->log, &state);
    if (series == w->series && state.restarts == w->restarts) return;
    panel_list_free(&w->panels);
    w->series = w->restarts = -1;
    if (panel_list_make(w->log, &w->panels) != PITOT_OK) return;
    w->series = series;
    w->restarts = state.restarts;
}

/* Reads at most `budget` bytes (0: all). Returns how many; *news is set if there was anything new. */
static int64_t poll_run(watched *w, int64_t budget, int *news) {
    pitot_log_state before = { .struct_size = sizeof before }, after = before;
    int had_trouble = w->trouble.status != PITOT_OK;
    pitot_log_get_state(w->log, &before);
    w->trouble.status = PITOT_OK;
    if (pitot_log_poll(w->log, budget, &w->trouble) > 0) *news = 1;
    if (had_trouble != (w->trouble.status != PITOT_OK)) *news = 1;
    pitot_log_get_state(w->log, &after);
    refresh_panels(w);
    return after.restarts == before.restarts ? after.bytes - before.bytes : after.bytes;
}

/* Alarms of what has been read; if there is no memory for them, none. */
static void refresh_alarms(watched *w) {
    alarm_list_make(w->log, &w->panels, &w->alarms);
}

static int has_ended(const watched *w) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(w->log, &state);
    return state.ended != PITOT_LOG_OPEN;
}

/* Seconds until the viewer closes by itself: --linger after all runs have ended and the last key; < 0: it stays. */
static double closes_in(const viewer *v) {
    if (v->linger < 0 || v->behind) return -1;
    for (int i = 0; i < v->runs; i++)
        if (!has_ended(&v->run[i])) return -1;
    return fmax(0, v->linger - (now_on(CLOCK_MONOTONIC) - v->last_key));
}

static shown show_run(const viewer *v) {
    watched *w = &v->run[v->at];
    return (shown){
        .name = w->name,
        .log = w->log,
        .panels = &w->panels,
        .alarms = &w->alarms,
        .run = v->at + 1,
        .runs = v->runs,
        .now = now_on(CLOCK_REALTIME),
        .file_size = size_of_events(w),
        .closes_in = closes_in(v),
        .trouble = w->trouble.status != PITOT_OK ? w->trouble.text : "",
    };
}

static void sleep_for(double seconds) {
    struct timespec t = { (time_t)seconds, (long)(fmod(seconds, 1) * 1e9) };
    nanosleep(&t, NULL);
}

/* A trainer started at the same moment may not have made its run directory yet: `wait` seconds are given to that. */
static int open_run(watched *w, const char *path, double wait) {
    double until = now_on(CLOCK_MONOTONIC) + wait;
    int told = 0;
    w->path = path;
    w->series = w->restarts = -1;
    for (;;) {
        pitot_error error = { 0 };
        w->log = pitot_log_open(path, &error);
        if (w->log) break;
        if (error.status != PITOT_EIO || now_on(CLOCK_MONOTONIC) >= until) return fail_error(&error);
        if (!told++) fprintf(stderr, "pitot: waiting %g s for %s\n", wait, path);
        sleep_for(0.1);
    }
    name_run(w);
    refresh_panels(w);
    return EXIT_DONE;
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

/* The run on the screen first; the budget is for all together. */
static void poll_all(viewer *v) {
    int64_t left = BUDGET;
    for (int i = 0; i < v->runs && left > 0; i++) {
        int k = (v->at + i) % v->runs, news = 0;
        left -= poll_run(&v->run[k], left, &news);
        if (news && k == v->at) v->changed = 1;
    }
    v->behind = left <= 0;
    v->last_poll = now_on(CLOCK_MONOTONIC);
}

static int draw_frame(viewer *v) {
    double start = now_on(CLOCK_MONOTONIC);
    shown run = show_run(v);
    int rows, cols;
    refresh_alarms(&v->run[v->at]);
    term_size(&rows, &cols);
    if (screen_draw(&v->screen, &run, rows, cols) != PITOT_OK) return 0;
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
        shown run = show_run(v);
        screen_draw_title(&v->screen, &run);
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
    int action = key_action(code), draw;
    shown run = show_run(v);
    v->last_key = now_on(CLOCK_MONOTONIC);
    if (action == DO_QUIT) return 0;
    if (action == DO_NEXT_RUN) v->at = (v->at + 1) % v->runs;
    if (action == DO_LAST_RUN) v->at = (v->at + v->runs - 1) % v->runs;
    if (action == DO_REDRAW) term_redraw();
    draw = action == DO_NEXT_RUN || action == DO_LAST_RUN || code == TERM_RESIZE || screen_act(&v->screen, &run, action, code);
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
    int status = EXIT_DONE;
    v->screen.still = 1;
    v->screen.canvas.ascii = !term_is_unicode();
    for (v->at = 0; v->at < v->runs && status == EXIT_DONE; v->at++) {
        watched *w = &v->run[v->at];
        int news = 0;
        poll_run(w, 0, &news);
        if (w->trouble.status != PITOT_OK) return fail_error(&w->trouble);
        refresh_alarms(w);
        shown run = show_run(v);
        if (screen_draw(&v->screen, &run, rows, cols) != PITOT_OK) return fail("watch: out of memory");
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

static int open_runs(viewer *v, const args *a, double wait) {
    int status = EXIT_DONE;
    for (; v->runs < args_rest(a) && status == EXIT_DONE; v->runs += status == EXIT_DONE)
        status = open_run(&v->run[v->runs], args_rest_at(a, v->runs), wait);
    return status;
}

static void close_runs(viewer *v) {
    for (int i = 0; i < v->runs; i++) {
        panel_list_free(&v->run[i].panels);
        alarm_list_free(&v->run[i].alarms);
        pitot_log_close(v->run[i].log);
    }
    free(v->run);
    screen_free(&v->screen);
}

static int watch(const args *a) {
    viewer v = { 0 };
    int rows, cols, status, bad = 0, once = args_get(a, "--once") != NULL;
    v.interval = seconds_flag(a, "--interval", 0.5, 0.02, 3600, &bad);
    v.linger = seconds_flag(a, "--linger", -1, 0, 1e9, &bad);
    size_flag(a, &rows, &cols, &bad);
    v.screen.spectrum = args_get(a, "--density") != NULL;
    v.screen.alarms = args_get(a, "--alarms") != NULL;
    if (bad) return EXIT_USAGE;
    if (args_rest(a) < 1) return fail_usage("watch", "no run is named");
    setlocale(LC_CTYPE, "");
    v.run = calloc((size_t)args_rest(a), sizeof *v.run);
    if (!v.run) return fail("watch: out of memory");
    status = open_runs(&v, a, once ? 0 : patience);
    if (status == EXIT_DONE) {
        v.at = 0;
        status = once ? print_frames(&v, rows, cols) : watch_live(&v);
    }
    close_runs(&v);
    return status;
}

static const flag watch_flags[] = {
    { "--once", NULL, "print one frame as plain text and exit", 0 },
    { "--size", "COLSxROWS", "size of that frame (default: the terminal's, otherwise 100x30)", 0 },
    { "--interval", "SECONDS", "time between looks at the log (default 0.5)", 0 },
    { "--linger", "SECONDS", "quit that long after the run has ended, unless a key is pressed (default: stay)", 0 },
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
               "  pitot watch runs/adam runs/sgd     Tab goes from one to the other\n"
               "  pitot watch --once --size 80x24 runs/adam > frame.txt",
    .flags = watch_flags,
    .run = watch,
};
