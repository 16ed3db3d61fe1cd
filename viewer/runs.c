/* runs.c: see runs.h. */

#include "runs.h"

#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PATH_ROOM = 4096 };

struct watched {
    char *path;
    char name[256];
    pitot_log *log;
    panel_list panels;
    alarm_list alarms;
    int64_t series;   /* that `panels` was made from */
    int32_t restarts; /* likewise */
    int64_t looked;   /* bytes of the log that `alarms` was made from; -1: none */
    int32_t looked_restarts;
    pitot_error trouble;
};

static double monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_for(double seconds) {
    struct timespec t = { (time_t)seconds, (long)(fmod(seconds, 1) * 1e9) };
    nanosleep(&t, NULL);
}

/* ---- one run --------------------------------------------------------------------------------------------------------- */

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

static void watched_free(watched *w) {
    if (!w) return;
    panel_list_free(&w->panels);
    alarm_list_free(&w->alarms);
    pitot_log_close(w->log);
    free(w->path);
    free(w);
}

static watched *watched_new(const char *path) {
    watched *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->series = w->restarts = -1;
    w->looked = -1;
    w->path = strdup(path);
    if (w->path) return w;
    watched_free(w);
    return NULL;
}

static int open_log(watched *w, double wait) {
    double until = monotonic() + wait;
    int told = 0;
    for (;;) {
        pitot_error error = { 0 };
        w->log = pitot_log_open(w->path, &error);
        if (w->log) return EXIT_DONE;
        if (error.status != PITOT_EIO || monotonic() >= until) return fail_error(&error);
        if (!told++) fprintf(stderr, "pitot: waiting %g s for %s\n", wait, w->path);
        sleep_for(0.1);
    }
}

/* ---- all of them ----------------------------------------------------------------------------------------------------- */

/* Several runs have a colour each, by the order in which they came; one alone has the main one. */
static void give_pens(shown *all) {
    for (int k = 0; k < all->runs; k++) all->run[k].pen = all->runs > 1 ? PEN_RUN + k % PEN_RUNS : PEN_MAIN;
}

/* 1, or 0: out of memory. */
static int add(runs *r, watched *w) {
    size_t n = (size_t)r->all.runs + 1;
    watched **run = realloc(r->run, n * sizeof *run);
    if (run) r->run = run;
    shown_run *seen = run ? realloc(r->all.run, n * sizeof *seen) : NULL;
    if (!seen) return 0;
    r->all.run = seen;
    r->run[n - 1] = w;
    seen[n - 1] = (shown_run){
        .name = w->name,
        .path = w->path,
        .log = w->log,
        .panels = &w->panels,
        .alarms = &w->alarms,
        .trouble = "",
    };
    r->all.runs++;
    give_pens(&r->all);
    return 1;
}

int runs_open(runs *r, const char *path, double wait) {
    watched *w = watched_new(path);
    int status = w ? open_log(w, wait) : fail("watch: out of memory");
    if (status == EXIT_DONE) {
        name_run(w);
        refresh_panels(w);
        if (add(r, w)) return EXIT_DONE;
        status = fail("watch: out of memory");
    }
    watched_free(w);
    return status;
}

int64_t runs_poll(runs *r, int k, int64_t budget, int *news) {
    watched *w = r->run[k];
    pitot_log_state before = { .struct_size = sizeof before }, after = before;
    int had_trouble = w->trouble.status != PITOT_OK;
    pitot_log_get_state(w->log, &before);
    w->trouble.status = PITOT_OK;
    if (pitot_log_poll(w->log, budget, &w->trouble) > 0) *news = 1;
    if (had_trouble != (w->trouble.status != PITOT_OK)) *news = 1;
    r->all.run[k].trouble = w->trouble.status != PITOT_OK ? w->trouble.text : "";
    pitot_log_get_state(w->log, &after);
    refresh_panels(w);
    return after.restarts == before.restarts ? after.bytes - before.bytes : after.bytes;
}

/* Looking for alarms costs O(values): it is done once per change of the log, not once per frame. */
static void refresh_alarms(watched *w) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(w->log, &state);
    if (state.bytes == w->looked && state.restarts == w->looked_restarts) return;
    int32_t status = alarm_list_make(w->log, &w->panels, &w->alarms);
    w->looked = status == PITOT_OK ? state.bytes : -1;
    w->looked_restarts = state.restarts;
}

void runs_refresh(runs *r, int k) {
    watched *w = r->run[k];
    refresh_alarms(w);
    r->all.run[k].file_size = size_of_events(w);
}

const pitot_error *runs_trouble(const runs *r, int k) {
    return &r->run[k]->trouble;
}

int runs_ended(const runs *r, int k) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(r->run[k]->log, &state);
    return state.ended != PITOT_LOG_OPEN;
}

void runs_free(runs *r) {
    for (int k = 0; k < r->all.runs; k++) watched_free(r->run[k]);
    free(r->run);
    free(r->all.run);
    *r = (runs){ 0 };
}
