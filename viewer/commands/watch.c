/* watch.c: `pitot watch`, the terminal viewer. A loop of small turns: read at most 8 MiB, draw what changed, wait for a key. */

#include "command.h"
#include "export_view.h"
#include "runs.h"
#include "settings.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "term/keys.h"
#include "term/page.h"
#include "term/term.h"
#include "term/theme.h"

enum { BUDGET = 8 << 20, LEAST_FRAME = 100 /* ms between frames while a log is being read */ };

static const double patience = 5;      /* seconds that a run may take to appear */
static const double between_saves = 5; /* seconds between writings of the settings */

typedef struct viewer {
    runs runs;
    double interval, linger; /* seconds; linger < 0: stay */
    screen screen;
    settings settings;
    int settled; /* runs that settings were applied to */
    double last_save;
    int touched;       /* by a key or the mouse since then */
    double frame_cost; /* seconds that the last frame took */
    double frame_end;  /* when it was done */
    double last_poll, last_key, last_tick;
    int mouse;           /* it is wanted */
    const char *picture; /* file for one frame; NULL: none */
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

static void poll_all(viewer *v) {
    v->behind = runs_poll(&v->runs, BUDGET, &v->changed);
    v->last_poll = now_on(CLOCK_MONOTONIC);
}

static int draw_frame(viewer *v) {
    double start = now_on(CLOCK_MONOTONIC);
    int rows, cols;
    tell_time(v);
    for (int k = 0; k < v->runs.all.runs; k++) runs_refresh(&v->runs, k);
    term_size(&rows, &cols);
    if (screen_draw(&v->screen, &v->runs.all, rows, cols) != PITOT_OK) return 0;
    term_theme(v->screen.theme);
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

/* Writes the file that was asked for; one that is there already only after another question. */
static void write_file(viewer *v) {
    screen *s = &v->screen;
    pitot_error error = { 0 };
    char question[sizeof s->prompt.question];
    s->file_due = 0;
    if (!s->file_sure && access(s->file, F_OK) == 0) {
        snprintf(question, sizeof question, "%.25s is there; overwrite?", s->file);
        screen_propose(s, DO_OVERWRITE, question, "n");
        return;
    }
    if (export_view(s->file, s, &v->runs.all, &error) == PITOT_OK) screen_say(s, "wrote %s", s->file);
    else screen_say(s, "not written: %s", error.text);
}

/* Movements that change nothing cost no frame. */
static int handle_mouse(viewer *v) {
    event e;
    term_mouse(&e);
    v->last_key = now_on(CLOCK_MONOTONIC);
    v->touched = 1;
    return screen_act(&v->screen, &v->runs.all, &e) && !draw_frame(v) ? -1 : 1;
}

/* 1: go on, 0: quit, -1: out of memory. */
static int handle_key(viewer *v, int code) {
    if (code == TERM_MOUSE) return handle_mouse(v);
    int typing = v->screen.prompt.asked != DO_NOTHING, action = typing ? DO_NOTHING : key_find(key_table, code);
    v->last_key = now_on(CLOCK_MONOTONIC);
    v->touched = 1;
    if (action == DO_QUIT) return 0;
    if (action == DO_REDRAW) term_redraw();
    int draw = screen_key(&v->screen, &v->runs.all, code) || code == TERM_RESIZE;
    if (v->screen.file_due) write_file(v);
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

/* Settings are kept at the end, and not long after a key. */
static void keep_settings(viewer *v) {
    double now = now_on(CLOCK_MONOTONIC);
    if (v->settled < v->runs.all.runs) settings_apply(&v->settings, &v->runs.all, v->settled);
    v->settled = v->runs.all.runs;
    if (!v->touched || now - v->last_save < between_saves) return;
    v->touched = 0;
    settings_write(&v->settings, &v->screen, &v->runs.all);
    v->last_save = now;
}

static int watch_live(viewer *v) {
    char why[256];
    int go_on = 1;
    if (term_open(v->mouse, why, sizeof why) < 0) return fail("watch: %s", why);
    v->screen.canvas.ascii = !term_is_unicode();
    v->last_key = now_on(CLOCK_MONOTONIC);
    v->changed = 1;
    settings_write(&v->settings, &v->screen, &v->runs.all);
    while (go_on > 0 && !term_stopped()) {
        double now = now_on(CLOCK_MONOTONIC);
        if (v->behind || now - v->last_poll >= v->interval) poll_all(v);
        v->behind |= runs_wanting(&v->runs);
        go_on = draw_if_due(v) ? handle_keys(v, wait_milliseconds(v)) : -1;
        if (closes_in(v) < 0) v->last_key = v->linger < 0 ? 0 : now;
        else if (go_on > 0 && closes_in(v) == 0) break;
        keep_settings(v);
    }
    term_close();
    settings_write(&v->settings, &v->screen, &v->runs.all);
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

static int write_picture(viewer *v, const char *path, int rows, int cols) {
    pitot_error error = { 0 };
    if (canvas_resize(&v->screen.canvas, rows, cols) != PITOT_OK) return fail("watch: out of memory");
    return export_frame(path, &v->screen, &v->runs.all, &error) == PITOT_OK ? EXIT_DONE : fail_error(&error);
}

static int print_frame(viewer *v, int rows, int cols) {
    shown *all = &v->runs.all;
    int status, news = 0;
    v->screen.still = 1;
    v->screen.canvas.ascii = !v->picture && !term_is_unicode();
    while (runs_poll(&v->runs, 0, &news)) continue;
    for (int k = 0; k < all->runs; k++) {
        if (runs_trouble(&v->runs, k)->status != PITOT_OK) return fail_error(runs_trouble(&v->runs, k));
        runs_refresh(&v->runs, k);
    }
    tell_time(v);
    if (v->picture) return write_picture(v, v->picture, rows, cols);
    if (screen_draw(&v->screen, all, rows, cols) != PITOT_OK) return fail("watch: out of memory");
    status = print_canvas(&v->screen.canvas);
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

static void theme_flag(screen *s, const args *a, int *bad) {
    const char *name = args_get(a, "--theme");
    s->theme = name ? theme_find(name) : theme_suited(getenv("COLORFGBG"));
    if (s->theme >= 0) return;
    fail_usage("watch", "--theme %s: there are dark, light, high-contrast, colour-blind and mono", name);
    *bad = 1;
}

/* A frame for scripts depends on no settings that they do not name. */
static void find_settings(viewer *v, const args *a, int once) {
    const char *file = args_get(a, "--settings");
    int opened = args_get(a, "--page") || args_get(a, "--density") || args_get(a, "--alarms");
    if (args_get(a, "--no-settings") || (once && !file)) return;
    if (file) snprintf(v->settings.path[0], SETTINGS_ROOM, "%s", file);
    else settings_choose(&v->settings, args_rest_at(a, 0), runs_has_folder(&v->runs) && !folder_is_run(args_rest_at(a, 0)));
    v->settings.fixed = once;
    settings_read(&v->settings, &v->screen, &v->runs.all, opened, args_get(a, "--theme") != NULL);
    v->settled = v->runs.all.runs;
}

static int watch(const args *a) {
    viewer v = { 0 };
    int rows, cols, status = EXIT_DONE, bad = 0, once = args_get(a, "--once") || args_get(a, "--png");
    v.interval = seconds_flag(a, "--interval", 0.5, 0.02, 3600, &bad);
    v.linger = seconds_flag(a, "--linger", -1, 0, 1e9, &bad);
    size_flag(a, &rows, &cols, &bad);
    page_flag(&v.screen, a, &bad);
    theme_flag(&v.screen, a, &bad);
    v.picture = args_get(a, "--png");
    v.mouse = !args_get(a, "--no-mouse");
    v.runs.indexes = !once && !args_get(a, "--no-index");
    if (bad) return EXIT_USAGE;
    if (args_rest(a) < 1) return fail_usage("watch", "no run is named");
    setlocale(LC_CTYPE, "");
    for (int i = 0; i < args_rest(a) && status == EXIT_DONE; i++)
        status = runs_open(&v.runs, args_rest_at(a, i), once ? 0 : patience);
    if (status == EXIT_DONE) find_settings(&v, a, once);
    if (status == EXIT_DONE) status = once ? print_frame(&v, rows, cols) : watch_live(&v);
    settings_free(&v.settings);
    runs_free(&v.runs);
    screen_free(&v.screen);
    return status;
}

static const flag watch_flags[] = {
    { "--once", NULL, "print one frame as plain text and exit", 0 },
    { "--png", "FILE", "draw that frame as a picture instead, in the theme's colours: .png, .svg or .pdf", 0 },
    { "--size", "COLSxROWS", "size of that frame (default: the terminal's, otherwise 100x30)", 0 },
    { "--interval", "SECONDS", "time between looks at the log (default 0.5)", 0 },
    { "--linger", "SECONDS", "quit that long after the run has ended, unless a key is pressed (default: stay)", 0 },
    { "--page", "NAME", "begin with that page: plots, cockpit, layers, spectra, runs, alarms", 0 },
    { "--theme", "NAME", "dark, light, high-contrast, colour-blind or mono (default: dark, or what COLORFGBG asks for)", 0 },
    { "--settings", "FILE", "keep settings there (default: .pitot-watch.json in the folder, or beside the run; of --once: none)",
      0 },
    { "--no-settings", NULL, "neither use nor keep settings", 0 },
    { "--no-index", NULL, "keep no index beside logs of over 32 MB, by which they open at once the next time", 0 },
    { "--no-mouse", NULL, "leave the mouse to the terminal", 0 },
    { "--density", NULL, "begin with the spectral density (key d), if the run has any", 0 },
    { "--alarms", NULL, "begin with the alarms (key a): what, since when, on what evidence, and what to try", 0 },
    { NULL, NULL, NULL, 0 },
};

const command command_watch = {
    .name = "watch",
    .synopsis = "RUN|FOLDER...",
    .summary = "the terminal viewer: runs while they train, or afterwards",
    .details = "RUN is a run directory, or an events.jsonl. It may appear a few seconds later. Press ? for the keys, q to quit.\n"
               "Of a FOLDER, all runs up to two levels deep are watched, 1000 at most, and new ones as they come; the last active\n"
               "eight are in the plots, until Space on the page of runs says otherwise.\n"
               "Values that are not finite are marked at the upper edge: x is NaN, ^ is infinite (v, below: minus infinite).\n"
               "A line below the title names the most urgent alarm, if a probe's value stays beyond its bounds.\n"
               "NO_COLOR is honoured; without a UTF-8 locale, lines are drawn in ASCII.\n"
               "\n"
               "  pitot watch runs/adam              look at a run while it trains\n"
               "  pitot watch runs/adam runs/sgd     both in one plot; Tab goes from one to the other\n"
               "  pitot watch runs                   all of them; r shows the table\n"
               "  pitot watch --png now.png runs/adam\n"
               "  pitot watch --once --size 80x24 runs/adam > frame.txt",
    .flags = watch_flags,
    .run = watch,
};
