/* runs_folder.c: see runs_folder.h. */

#include "runs_folder.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PATH_ROOM = 4096, LEVELS = 2, LISTED = 4000 /* folders that are no runs */ };

typedef struct listed { /* a folder that is no run */
    char *path;
    int level;            /* 0: the one that is watched */
    int left_out;         /* runs in it that had no room */
    struct timespec time; /* of its last change when it was gone through; 0: never was */
} listed;

struct runs_folder {
    listed *list;
    found_run *run;
    int lists, runs;
    int counted;   /* runs that had no room since a folder was begun */
    size_t length; /* of the watched folder's path, with the slash behind it */
};

static double seconds(struct timespec t) {
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* When folder/name was written to last; 0: there is none. */
static double written(const char *folder, const char *name) {
    char path[PATH_ROOM];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && n < PATH_ROOM && stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fmax(seconds(st.st_mtim), 1e-9) : 0;
}

int folder_is_run(const char *path) {
    return written(path, "events.jsonl") > 0 || written(path, "run.json") > 0;
}

/* ---- lists ----------------------------------------------------------------------------------------------------------- */

static int has_list(const runs_folder *f, const char *path) {
    for (int k = 0; k < f->lists; k++)
        if (strcmp(f->list[k].path, path) == 0) return 1;
    return 0;
}

static int has_run(const runs_folder *f, const char *path) {
    for (int k = 0; k < f->runs; k++)
        if (strcmp(f->run[k].path, path) == 0) return 1;
    return 0;
}

/* Memory that is missing is missing later as well: the folder is then found again. */
static void add_list(runs_folder *f, const char *path, int level) {
    if (f->lists >= LISTED || has_list(f, path)) return;
    listed *more = realloc(f->list, ((size_t)f->lists + 1) * sizeof *more);
    if (more) f->list = more;
    char *copy = more ? strdup(path) : NULL;
    if (copy) more[f->lists++] = (listed){ .path = copy, .level = level };
}

static void add_run(runs_folder *f, const char *path, double active) {
    if (has_run(f, path)) return;
    if (f->runs >= FOLDER_RUNS) {
        f->counted++;
        return;
    }
    found_run *more = realloc(f->run, ((size_t)f->runs + 1) * sizeof *more);
    if (more) f->run = more;
    char *copy = more ? strdup(path) : NULL;
    if (copy) more[f->runs++] = (found_run){ copy, copy + f->length, active };
}

/* ---- looking --------------------------------------------------------------------------------------------------------- */

static void look_at(runs_folder *f, const char *path, int level) {
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return;
    double events = written(path, "events.jsonl"), manifest = written(path, "run.json");
    if (events > 0 || manifest > 0) add_run(f, path, events > 0 ? events : manifest);
    else if (level <= LEVELS) add_list(f, path, level);
}

static void go_through(runs_folder *f, const char *folder, int level) {
    char path[PATH_ROOM];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)) continue;
        int n = snprintf(path, sizeof path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", e->d_name);
        if (n > 0 && n < PATH_ROOM) look_at(f, path, level + 1);
    }
    if (d) closedir(d);
}

/* Goes through a folder that changed. A change within the clock's grain of the last look could be missed: a folder changed just now is
   gone through again. 1: it has become a run. */
static int check(runs_folder *f, int k) {
    struct stat st;
    struct timespec now, seen = f->list[k].time;
    if (stat(f->list[k].path, &st) != 0) return 0;
    if (seen.tv_sec == st.st_mtim.tv_sec && seen.tv_nsec == st.st_mtim.tv_nsec) return 0;
    if (k > 0 && folder_is_run(f->list[k].path)) return 1;
    clock_gettime(CLOCK_REALTIME, &now);
    f->list[k].time = seconds(now) - seconds(st.st_mtim) < 2 ? (struct timespec){ 0, 0 } : st.st_mtim;
    f->counted = 0;
    if (f->list[k].level < LEVELS) go_through(f, f->list[k].path, f->list[k].level);
    f->list[k].left_out = f->counted;
    return 0;
}

static int compare(const void *a, const void *b) {
    const found_run *p = a, *q = b;
    if (p->active != q->active) return p->active < q->active ? 1 : -1;
    return strcmp(p->path, q->path);
}

int folder_scan(runs_folder *f) {
    int before = f->runs;
    for (int k = 0; k < f->lists; k++) {
        if (!check(f, k)) continue;
        look_at(f, f->list[k].path, f->list[k].level);
        free(f->list[k].path);
        f->list[k--] = f->list[--f->lists];
    }
    if (f->runs > before + 1) qsort(f->run + before, (size_t)(f->runs - before), sizeof *f->run, compare);
    return f->runs;
}

/* ---- the folder ------------------------------------------------------------------------------------------------------ */

runs_folder *folder_open(const char *path) {
    runs_folder *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->length = strlen(path);
    f->length += f->length > 0 && path[f->length - 1] != '/';
    add_list(f, path, 0);
    if (f->lists == 1) return f;
    folder_close(f);
    return NULL;
}

void folder_close(runs_folder *f) {
    if (!f) return;
    for (int k = 0; k < f->lists; k++) free(f->list[k].path);
    for (int k = 0; k < f->runs; k++) free(f->run[k].path);
    free(f->list);
    free(f->run);
    free(f);
}

int folder_known(const runs_folder *f) {
    return f->runs;
}

const found_run *folder_run(const runs_folder *f, int k) {
    return k >= 0 && k < f->runs ? &f->run[k] : NULL;
}

int folder_left_out(const runs_folder *f) {
    int n = 0;
    for (int k = 0; k < f->lists; k++) n += f->list[k].left_out;
    return n;
}
