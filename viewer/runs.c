/* runs.c: see runs.h. */

#include "runs.h"

#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PATH_ROOM = 4096, WORTH_AN_INDEX = 32 << 20 /* bytes */ };

static const double between_scans = 3; /* seconds */
static const double between_looks = 2; /* seconds, at a run that has ended */
static const double out_of_sight = 20; /* seconds after which a run that is no longer seen is parked */
static const double live_for = 300;    /* seconds after its last record that a run is thought to grow */

struct watched {
    char *path;
    char name[256];
    pitot_log *log;
    panel_list panels;
    alarm_list alarms;
    run_summary summary;
    int64_t series;   /* that `panels` was made from */
    int32_t restarts; /* likewise */
    int64_t size;     /* of the events file when it was last looked at */
    int64_t alarmed;  /* bytes read when `alarms` was made */
    int64_t indexed;  /* bytes of the log that its index holds, or that none could be written of */
    int of_folder, live;
    int parked;              /* the log holds nothing; `summary` says what it held */
    int whole;               /* it was read to its end at least once */
    int gone;                /* its files are no longer there */
    double looked, seen;     /* when; by the monotonic clock */
    struct timespec changed; /* of the events file when it was parked */
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

/* 1: it is there. */
static int look_at_events(const watched *w, struct stat *st) {
    char path[PATH_ROOM];
    if (stat(w->path, st) == 0 && S_ISREG(st->st_mode)) return 1;
    int n = snprintf(path, sizeof path, "%s/events.jsonl", w->path);
    return n > 0 && n < (int)sizeof path && stat(path, st) == 0;
}

static int64_t size_of_events(const watched *w) {
    struct stat st;
    return look_at_events(w, &st) ? (int64_t)st.st_size : 0;
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
    w->series = w->alarmed = w->restarts = -1;
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

static int plotted(const shown *all) {
    int n = 0;
    for (int k = 0; k < all->runs; k++) n += !all->run[k].hidden;
    return n;
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
        .summary = &w->summary,
        .trouble = "",
        .unread = 1,
        .hidden = w->of_folder && plotted(&r->all) >= RUNS_PLOTTED,
    };
    seen[n - 1].hidden_at_first = seen[n - 1].hidden;
    r->all.runs++;
    give_pens(&r->all);
    return 1;
}

static int add_named(runs *r, const char *path, double wait) {
    watched *w = watched_new(path);
    int status = w ? open_log(w, wait) : fail("watch: out of memory");
    if (status == EXIT_DONE) {
        name_run(w);
        refresh_panels(w);
        summary_make(w->log, &w->summary);
        if (add(r, w)) return EXIT_DONE;
        status = fail("watch: out of memory");
    }
    watched_free(w);
    return status;
}

int runs_ended(const runs *r, int k) {
    return r->run[k]->summary.ended != PITOT_LOG_OPEN;
}

const pitot_error *runs_trouble(const runs *r, int k) {
    return &r->run[k]->trouble;
}

/* ---- folders --------------------------------------------------------------------------------------------------------- */

static int is_watched(const runs *r, const char *path) {
    struct stat a, b;
    if (stat(path, &a) != 0) return 1;
    for (int k = 0; k < r->all.runs; k++)
        if (strcmp(r->run[k]->path, path) == 0 ||
            (!r->run[k]->of_folder && stat(r->run[k]->path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino))
            return 1;
    return 0;
}

/* A run that cannot be opened is left out: it is gone again, or there is no memory. */
static void add_found(runs *r, const found_run *found) {
    watched *w = is_watched(r, found->path) ? NULL : watched_new(found->path);
    if (!w) return;
    w->of_folder = 1;
    snprintf(w->name, sizeof w->name, "%.255s", found->name);
    w->log = pitot_log_open(w->path, NULL);
    if (w->log) summary_make(w->log, &w->summary);
    if (w->log && add(r, w)) return;
    watched_free(w);
}

/* Returns how many runs came. */
static int scan_folders(runs *r) {
    int before = r->all.runs;
    r->all.left_out = 0;
    for (int i = 0; i < r->folders; i++) {
        int known = folder_known(r->folder[i]), n = folder_scan(r->folder[i]);
        for (int k = known; k < n; k++) add_found(r, folder_run(r->folder[i], k));
        r->all.left_out += folder_left_out(r->folder[i]);
    }
    r->scanned = monotonic();
    return r->all.runs - before;
}

static int add_folder(runs *r, const char *path, double wait) {
    double until = monotonic() + wait;
    runs_folder **more = realloc(r->folder, ((size_t)r->folders + 1) * sizeof *more);
    if (more) r->folder = more;
    runs_folder *f = more ? folder_open(path) : NULL;
    if (!f) return fail("watch: out of memory");
    more[r->folders++] = f;
    if (scan_folders(r) == 0 && wait > 0 && r->all.runs == 0) fprintf(stderr, "pitot: waiting %g s for a run in %s\n", wait, path);
    while (r->all.runs == 0 && monotonic() < until && folder_known(f) == 0) {
        sleep_for(0.1);
        scan_folders(r);
    }
    if (r->all.runs) return EXIT_DONE;
    return fail("%s: there is no run in it, nor in its folders; give a run, or a folder that holds some", path);
}

static int is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int runs_open(runs *r, const char *path, double wait) {
    return is_folder(path) && !folder_is_run(path) ? add_folder(r, path, wait) : add_named(r, path, wait);
}

int runs_has_folder(const runs *r) {
    return r->folders > 0;
}

/* ---- what is kept ---------------------------------------------------------------------------------------------------- */

static int in_sight(const runs *r, int k) {
    const shown_run *seen = &r->all.run[k];
    return !r->run[k]->of_folder || k == r->all.at || !seen->hidden || seen->pinned;
}

static void set_live(runs *r, watched *w, double now) {
    int grows = w->of_folder && w->summary.ended == PITOT_LOG_OPEN && now - w->summary.last_wall < live_for;
    if (!grows == !w->live || (grows && r->live >= RUNS_LIVE)) return;
    w->live = grows;
    r->live += grows ? 1 : -1;
}

/* Lets go of a run's values. The summary stays. */
static void park(runs *r, int k, const struct stat *st) {
    watched *w = r->run[k];
    pitot_log *empty = pitot_log_open(w->path, NULL);
    if (!empty) return;
    pitot_log_close(w->log);
    r->all.run[k].log = w->log = empty;
    w->changed = st->st_mtim;
    w->parked = 1;
    refresh_panels(w);
    if (!w->alarms.silences) alarm_list_free(&w->alarms);
    w->alarmed = -1;
}

/* 1: there is nothing to read of a parked run: it is not in sight, and its file is as it was. */
static int may_stay_parked(const runs *r, int k, const struct stat *st) {
    const watched *w = r->run[k];
    return w->parked && !in_sight(r, k) && st->st_size == w->size && st->st_mtim.tv_sec == w->changed.tv_sec &&
           st->st_mtim.tv_nsec == w->changed.tv_nsec;
}

int runs_wanting(const runs *r) {
    for (int k = 0; k < r->all.runs; k++)
        if (in_sight(r, k) && r->run[k]->parked && !r->run[k]->gone) return 1;
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

/* Of a run whose files are gone, what was read stays. */
static void set_gone(runs *r, int k, int gone, int *news) {
    watched *w = r->run[k];
    struct stat st;
    if (gone && stat(w->path, &st) == 0) gone = 0; /* the folder is there, and waits for events */
    if (gone != w->gone) *news = 1;
    w->gone = gone;
    r->all.run[k].trouble = gone ? "deleted; what was read is shown" : "";
}

/* Keeps an index of a log that was read to its end, if it is new by `share` of it and long to read. Where none can be written, there
   is none. */
static void keep_index(const runs *r, watched *w, double share) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(w->log, &state);
    if (state.bytes < w->indexed || w->indexed < state.indexed) w->indexed = state.indexed;
    double fresh = (double)(state.bytes - w->indexed);
    if (!r->indexes || !w->whole || w->parked || fresh < WORTH_AN_INDEX || fresh < share * (double)state.bytes) return;
    pitot_log_index(w->log, NULL);
    w->indexed = state.bytes;
}

/* Reads at most `budget` bytes of run k. Returns how many. */
static int64_t read_run(runs *r, int k, int64_t budget, int *news) {
    watched *w = r->run[k];
    pitot_log_state before = { .struct_size = sizeof before }, after = before;
    int had_trouble = w->trouble.status != PITOT_OK;
    pitot_log_get_state(w->log, &before);
    w->trouble.status = PITOT_OK;
    w->parked = 0;
    int fresh = pitot_log_poll(w->log, budget, &w->trouble) > 0;
    if (fresh || had_trouble != (w->trouble.status != PITOT_OK)) *news = 1;
    if (w->trouble.status != PITOT_OK) r->all.run[k].trouble = w->trouble.text;
    else if (!w->gone) r->all.run[k].trouble = "";
    pitot_log_get_state(w->log, &after);
    refresh_panels(w);
    int64_t got = after.restarts == before.restarts ? after.bytes - before.bytes : after.bytes;
    int end = budget <= 0 || got < budget;
    if ((fresh || !w->whole) && (end || !w->whole)) summary_make(w->log, &w->summary);
    w->whole |= end;
    r->all.run[k].unread = !w->whole;
    if (fresh && end) keep_index(r, w, 0.5);
    return got;
}

/* Looks at run k and reads what is new of it. Returns the bytes read. */
static int64_t visit(runs *r, int k, int64_t budget, int *news) {
    watched *w = r->run[k];
    struct stat st = { 0 };
    double now = monotonic();
    int there, idle = w->whole && (w->parked || w->summary.ended != PITOT_LOG_OPEN || w->gone);
    if (in_sight(r, k)) w->seen = now;
    if (idle && now - w->looked < between_looks && !(w->parked && in_sight(r, k))) return 0;
    w->looked = now;
    there = look_at_events(w, &st);
    if (w->of_folder) set_gone(r, k, !there, news);
    if (w->gone || (there && may_stay_parked(r, k, &st))) return 0;
    w->size = st.st_size;
    r->all.run[k].file_size = st.st_size;
    int64_t got = read_run(r, k, budget, news);
    if (!w->of_folder || (budget > 0 && got >= budget)) return got;
    set_live(r, w, (double)time(NULL));
    if (there && !in_sight(r, k) && !w->live && now - w->seen > out_of_sight) park(r, k, &st);
    return got;
}

int runs_poll(runs *r, int64_t budget, int *news) {
    int64_t left = budget > 0 ? budget : INT64_MAX;
    int n = r->all.runs;
    if (r->folders && monotonic() - r->scanned >= between_scans && scan_folders(r)) *news = 1;
    for (int i = 0; i < n && left > 0; i++) left -= visit(r, (r->all.at + i) % n, budget > 0 ? left : 0, news);
    return left <= 0;
}

void runs_refresh(runs *r, int k) {
    watched *w = r->run[k];
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(w->log, &state);
    int64_t mark = state.bytes + ((int64_t)state.restarts << 48);
    if (k == r->all.at || !w->of_folder) r->all.run[k].file_size = size_of_events(w);
    if (mark == w->alarmed || w->parked) return;
    alarm_list_make(w->log, &w->panels, &w->alarms);
    w->alarmed = mark;
}

void runs_free(runs *r) {
    for (int k = 0; k < r->all.runs; k++) {
        keep_index(r, r->run[k], 0);
        watched_free(r->run[k]);
    }
    for (int k = 0; k < r->folders; k++) folder_close(r->folder[k]);
    free(r->run);
    free(r->folder);
    free(r->all.run);
    *r = (runs){ 0 };
}
