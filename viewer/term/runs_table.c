/* runs_table.c: see runs_table.h. */

#include "term/runs_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int pen;
} states[] = {
    [RUN_WAITING] = { "waiting", PEN_DIM }, [RUN_RUNNING] = { "running", PEN_GOOD },
    [RUN_SILENT] = { "silent", PEN_WARN },  [RUN_DONE] = { "done", PEN_TEXT },
    [RUN_FAILED] = { "failed", PEN_ALARM }, [RUN_INTERRUPTED] = { "interrupted", PEN_WARN },
};

run_summary runs_table_summary(const shown_run *run) {
    run_summary s;
    if (run->summary) return *run->summary;
    summary_make(run->log, &s);
    return s;
}

/* ---- cells ----------------------------------------------------------------------------------------------------------- */

int runs_table_columns(const runs_table *t) {
    return COLUMN_OPTION + t->manifests.columns;
}

int runs_table_is_number(const runs_table *t, int column) {
    if (column < COLUMN_OPTION) return column >= COLUMN_STEP;
    return t->manifests.column[column - COLUMN_OPTION].numeric;
}

void runs_table_head(const runs_table *t, int column, char *text, size_t size) {
    static const char *const names[] = { "run", "state", "step", "loss", "best", "val acc", "time" };
    snprintf(text, size, "%s", column < COLUMN_OPTION ? names[column] : t->manifests.column[column - COLUMN_OPTION].title);
}

static void number_text(double v, char *text, size_t size) {
    *text = 0;
    if (isfinite(v)) format_value(v, 4, text, size);
}

/* "5 s", "7 min", "30 h", "4 d": one unit is enough for a silence. */
static void time_text(double seconds, char *text, size_t size) {
    static const char *const units[] = { "s", "min", "h", "d" };
    static const double parts[] = { 1, 60, 3600, 86400 };
    int k = seconds < 60 ? 0 : seconds < 3600 ? 1 : seconds < 2 * 86400 ? 2 : 3;
    snprintf(text, size, "%.0f %s", floor(fmin(seconds / parts[k], 999999)), units[k]);
}

static int state_cell(const shown *all, const shown_run *run, const run_summary *s, char *text, size_t size) {
    int is = summary_state(s, all->now);
    char since[32];
    if (*run->trouble) {
        snprintf(text, size, "%.7s", run->trouble);
        return PEN_WARN;
    }
    snprintf(text, size, "%s", states[is].name);
    if (is == RUN_SILENT) {
        time_text(all->now - s->last_wall, since, sizeof since);
        snprintf(text, size, "silent %s", since);
    }
    return states[is].pen;
}

static int loss_cell(const run_summary *s, char *text, size_t size) {
    number_text(s->loss, text, size);
    if (!s->odd) return PEN_TEXT;
    snprintf(text, size, "%s", isnan(s->loss) ? "nan" : s->loss > 0 ? "inf" : "-inf");
    return PEN_ALARM;
}

int runs_table_cell(const runs_table *t, const shown *all, int k, int column, char *text, size_t size) {
    const shown_run *run = &all->run[k];
    run_summary s = runs_table_summary(run);
    *text = 0;
    switch (column) {
    case COLUMN_NAME: snprintf(text, size, "%s", run->name); return run->hidden ? PEN_DIM : PEN_TEXT;
    case COLUMN_STATE: return state_cell(all, run, &s, text, size);
    case COLUMN_STEP:
        if (s.step >= 0) format_value((double)s.step, 16, text, size);
        return PEN_TEXT;
    case COLUMN_LOSS: return loss_cell(&s, text, size);
    case COLUMN_BEST: number_text(s.best, text, size); return PEN_TEXT;
    case COLUMN_ACCURACY: number_text(s.accuracy, text, size); return PEN_TEXT;
    case COLUMN_TIME:
        if (s.last_wall > s.first_wall) format_seconds(s.last_wall - s.first_wall, text, size);
        return PEN_TEXT;
    default:
        if (k < t->runs) snprintf(text, size, "%s", manifests_value(&t->manifests, k, column - COLUMN_OPTION));
        return PEN_DIM;
    }
}

/* ---- order ----------------------------------------------------------------------------------------------------------- */

static double option_of(const runs_table *t, int k, int column) {
    const char *value = k < t->runs && column >= COLUMN_OPTION ? manifests_value(&t->manifests, k, column - COLUMN_OPTION) : "";
    return *value ? strtod(value, NULL) : NAN;
}

static double key_of(const runs_table *t, const shown *all, int k, int column) {
    run_summary s = runs_table_summary(&all->run[k]);
    switch (column) {
    case SORT_ACTIVE: return -s.last_wall;
    case COLUMN_STATE: return summary_state(&s, all->now);
    case COLUMN_STEP: return (double)s.step;
    case COLUMN_LOSS: return s.loss;
    case COLUMN_BEST: return s.best;
    case COLUMN_ACCURACY: return -s.accuracy;
    case COLUMN_TIME: return s.last_wall - s.first_wall;
    default: return option_of(t, k, column);
    }
}

typedef struct sorted {
    int run, missing; /* what has no value stands last in either direction */
    double key;
    const char *text; /* NULL: the key decides */
} sorted;

static int compare(const void *a, const void *b) {
    const sorted *p = a, *q = b;
    int by = p->missing - q->missing;
    if (!by && p->text) by = strcmp(p->text, q->text);
    else if (!by) by = (p->key > q->key) - (p->key < q->key);
    return by ? by : p->run - q->run;
}

static int compare_back(const void *a, const void *b) {
    const sorted *p = a, *q = b;
    return p->missing != q->missing ? p->missing - q->missing : compare(b, a);
}

static sorted sorted_of(const runs_table *t, const shown *all, int k) {
    int text = t->sort == COLUMN_NAME || (t->sort >= COLUMN_OPTION && !runs_table_is_number(t, t->sort));
    sorted s = { .run = k };
    if (t->sort == COLUMN_NAME) s.text = all->run[k].name;
    else if (text) s.text = k < t->runs ? manifests_value(&t->manifests, k, t->sort - COLUMN_OPTION) : "";
    else s.key = key_of(t, all, k, t->sort);
    s.missing = text ? !*s.text : isnan(s.key);
    if (s.missing) s.key = 0;
    return s;
}

static int32_t order(runs_table *t, const shown *all) {
    sorted *list = calloc((size_t)all->runs + 1, sizeof *list);
    int *row = list ? realloc(t->row, ((size_t)all->runs + 1) * sizeof *row) : NULL;
    if (row) t->row = row;
    t->rows = 0;
    for (int k = 0; row && k < all->runs; k++)
        if (t->hit[k]) list[t->rows++] = sorted_of(t, all, k);
    if (row) qsort(list, (size_t)t->rows, sizeof *list, t->reverse ? compare_back : compare);
    for (int i = 0; i < t->rows; i++) row[i] = list[i].run;
    free(list);
    return row ? PITOT_OK : PITOT_ENOMEM;
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

/* FNV-1a over all texts. */
static uint64_t mark_of(const shown *all) {
    uint64_t h = 0xcbf29ce484222325u;
    for (int k = 0; k < all->runs; k++) {
        const char *text = pitot_log_manifest(all->run[k].log);
        do h = (h ^ (unsigned char)*text) * 0x100000001b3u;
        while (*text++);
    }
    return h ? h : 1;
}

static int32_t read_manifests(runs_table *t, const shown *all) {
    const char **text = calloc((size_t)all->runs + 1, sizeof *text);
    if (!text) return PITOT_ENOMEM;
    for (int k = 0; k < all->runs; k++) text[k] = pitot_log_manifest(all->run[k].log);
    manifests_free(&t->manifests);
    int32_t status = manifests_make(text, all->runs, &t->manifests);
    t->runs = all->runs;
    free(text);
    return status;
}

/* A pattern that is none lets all runs through. */
static int32_t match(runs_table *t, const shown *all) {
    regex_t pattern;
    unsigned char *hit = realloc(t->hit, (size_t)all->runs + 1);
    if (!hit) return PITOT_ENOMEM;
    t->hit = hit;
    int all_hit = !*t->filter || regcomp(&pattern, t->filter, REG_EXTENDED | REG_NOSUB) != 0;
    for (int k = 0; k < all->runs; k++) hit[k] = all_hit || regexec(&pattern, all->run[k].name, 0, NULL, 0) == 0;
    if (all_hit) return PITOT_OK;
    manifests_match(&t->manifests, &pattern, hit);
    regfree(&pattern);
    return PITOT_OK;
}

int32_t runs_table_make(runs_table *t, const shown *all) {
    uint64_t mark = mark_of(all);
    int32_t status = PITOT_OK;
    if (mark != t->mark || t->runs != all->runs) status = read_manifests(t, all);
    t->mark = status == PITOT_OK ? mark : 0;
    if (t->sort >= runs_table_columns(t)) t->sort = SORT_ACTIVE;
    if (status == PITOT_OK) status = match(t, all);
    return status == PITOT_OK ? order(t, all) : status;
}

int runs_table_row(const runs_table *t, int run) {
    for (int i = 0; i < t->rows; i++)
        if (t->row[i] == run) return i;
    return -1;
}

void runs_table_free(runs_table *t) {
    manifests_free(&t->manifests);
    free(t->row);
    free(t->hit);
    *t = (runs_table){ 0 };
}
