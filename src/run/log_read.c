/* log_read.c: the reader's calls. See pitot/log.h and, for its parts, run/log_read.h. */

#include "run/log_read.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

int32_t pitot_log_poll(pitot_log *log, int64_t budget, pitot_error *error) {
    int32_t news = 0, again;
    if (!log) return pitot_fail(error, PITOT_EINVAL, "pitot_log_poll: there is no log");
    again = log_follow(log, error);
    if (again < 0) return again;
    if (log->fd >= 0) news = log_read_events(log, budget, error);
    if (!log_settle(log) && news >= 0) news = PITOT_ENOMEM;
    log->state.tail = log->skipped + log->length;
    if (news == PITOT_ENOMEM) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory for its values", log->events_path);
    return news < 0 ? news : news || again;
}

static char *join(const char *folder, int64_t length, const char *name) {
    char *path = mem_alloc(length + (int64_t)strlen(name) + 2, 1);
    if (!path) return NULL;
    memcpy(path, folder, (size_t)length);
    if (length && folder[length - 1] != '/') path[length++] = '/';
    memcpy(path + length, name, strlen(name) + 1);
    return path;
}

/* Both paths of a run directory, or of the directory that an events file lies in. */
static int find_paths(pitot_log *log, const char *run) {
    const char *slash = strrchr(run, '/');
    struct stat st;
    if (stat(run, &st) != 0 || S_ISDIR(st.st_mode)) {
        log->events_path = join(run, (int64_t)strlen(run), "events.jsonl");
        log->manifest_path = join(run, (int64_t)strlen(run), "run.json");
    } else {
        log->events_path = mem_strdup(run);
        log->manifest_path = join(run, slash ? slash + 1 - run : 0, "run.json");
    }
    return log->events_path && log->manifest_path;
}

pitot_log *pitot_log_open(const char *run, pitot_error *error) {
    pitot_log *log;
    if (!run || !*run) return pitot_fail(error, PITOT_EINVAL, "no run is named; give a run directory"), NULL;
    log = mem_alloc(1, sizeof *log);
    if (log) log->fd = -1;
    if (!log || !find_paths(log, run)) {
        pitot_fail(error, PITOT_ENOMEM, "%s: no memory to open it", run);
        pitot_log_close(log);
        return NULL;
    }
    log_start_over(log);
    if (!file_exists(run)) pitot_fail(error, PITOT_EIO, "%s: there is no such run; give a run directory, or its events.jsonl", run);
    else if (!file_exists(log->events_path) && !file_exists(log->manifest_path))
        pitot_fail(error, PITOT_EIO, "%s: has neither run.json nor events.jsonl; give a directory that pitot wrote", run);
    else {
        log_follow_manifest(log);
        return log;
    }
    pitot_log_close(log);
    return NULL;
}

void pitot_log_close(pitot_log *log) {
    if (!log) return;
    if (log->fd >= 0) close(log->fd);
    log_columns_free(&log->columns);
    mem_free(log->events_path);
    mem_free(log->manifest_path);
    mem_free(log->buffer);
    mem_free(log->item);
    mem_free(log->guess);
    mem_free(log->name);
    mem_free(log->manifest);
    cJSON_Delete(log->facts);
    mem_free(log);
}

void pitot_log_get_state(const pitot_log *log, pitot_log_state *state) {
    size_t size = state->struct_size;
    if (!log) return;
    if (size == 0 || size > sizeof log->state) size = sizeof log->state;
    memcpy(state, &log->state, size);
    state->struct_size = size;
}

/* The column of rank i, or NULL. */
static const log_column *ranked(const pitot_log *log, int kind, int64_t i) {
    return log && i >= 0 && i < log->columns.count[kind] ? &log->columns.column[log->columns.ranked[kind][i]] : NULL;
}

static const int64_t *steps_of(const log_column *c) {
    return c->rows ? c->rows->step : NULL;
}

static const double *walls_of(const log_column *c) {
    return c->rows ? c->rows->wall : NULL;
}

static int64_t find(const pitot_log *log, int kind, const char *name) {
    int64_t at = log ? log_columns_find(&log->columns, kind, name, (int64_t)strlen(name)) : -1;
    return at < 0 ? -1 : log->columns.column[at].rank;
}

int64_t pitot_log_series_count(const pitot_log *log) {
    return log ? log->columns.count[LOG_NUMBERS] : 0;
}

int32_t pitot_log_series(const pitot_log *log, int64_t i, pitot_series *series) {
    const log_column *c = ranked(log, LOG_NUMBERS, i);
    if (!c) return PITOT_EINVAL;
    *series = (pitot_series){ c->name, log_column_length(c), steps_of(c), walls_of(c), c->value };
    return PITOT_OK;
}

int64_t pitot_log_find(const pitot_log *log, const char *name) {
    return find(log, LOG_NUMBERS, name);
}

int64_t pitot_log_list_count(const pitot_log *log) {
    return log ? log->columns.count[LOG_LISTS] : 0;
}

int32_t pitot_log_list(const pitot_log *log, int64_t i, pitot_list *list) {
    const log_column *c = ranked(log, LOG_LISTS, i);
    if (!c) return PITOT_EINVAL;
    *list = (pitot_list){ c->name, log_column_length(c), steps_of(c), walls_of(c) };
    return PITOT_OK;
}

int64_t pitot_log_find_list(const pitot_log *log, const char *name) {
    return find(log, LOG_LISTS, name);
}

int log_list_place(const pitot_log *log, int64_t i, int64_t step, log_place *place) {
    const log_column *c = ranked(log, LOG_LISTS, i);
    int64_t n = c ? log_column_length(c) : 0, k = n ? log_lower_bound(c->rows->step, n, step) : 0;
    if (!n || log->fd < 0) return 0;
    if (k == n || c->rows->step[k] > step) k--; /* the newest one up to `step` */
    if (k < 0) return 0;
    *place = (log_place){ log->fd, c->name, c->name_length, c->rows->step[k], (int64_t)c->value[k] };
    return 1;
}

const char *pitot_log_manifest(const pitot_log *log) {
    return log && log->manifest ? log->manifest : "";
}
