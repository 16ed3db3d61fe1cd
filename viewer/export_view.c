/* export_view.c: see export_view.h. */

#include "export_view.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "figure/cells.h"
#include "figure/figure.h"
#include "term/page.h"

static int32_t no_memory(pitot_error *error) {
    return pitot_fail(error, PITOT_ENOMEM, "out of memory");
}

/* ---- the frame ------------------------------------------------------------------------------------------------------- */

/* As --once shows it. */
static int32_t draw_still(screen *s, const shown *all, pitot_error *error) {
    int held = s->still;
    s->still = 1;
    int32_t status = screen_draw(s, all, s->canvas.rows, s->canvas.cols);
    s->still = held;
    return status == PITOT_OK ? status : no_memory(error);
}

int32_t export_frame(const char *path, screen *s, const shown *all, pitot_error *error) {
    int32_t status = draw_still(s, all, error);
    return status == PITOT_OK ? cells_write(path, &s->canvas, s->theme, error) : status;
}

/* Whole or not there: beside it first. */
static int32_t write_text(const char *path, int (*write)(FILE *out, void *user), void *user, pitot_error *error) {
    char part[4096];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return pitot_fail(error, PITOT_EINVAL, "the name is too long");
    FILE *out = fopen(part, "w");
    if (!out) return pitot_fail(error, PITOT_EIO, "%.100s: %s", path, strerror(errno));
    errno = 0;
    int good = write(out, user), why = errno;
    good = fclose(out) == 0 && good;
    if (good && rename(part, path) == 0) return PITOT_OK;
    why = why ? why : errno;
    unlink(part);
    return pitot_fail(error, PITOT_EIO, "%.100s: %s", path, why ? strerror(why) : "cannot be written");
}

static int write_rows(FILE *out, void *user) {
    const canvas *c = user;
    char *text = malloc((size_t)c->cols * 4 + 1);
    for (int row = 0; text && row < c->rows; row++) {
        canvas_row(c, row, text);
        fprintf(out, "%s\n", text);
    }
    int good = text && !ferror(out);
    free(text);
    return good;
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

typedef struct values {
    const screen *screen;
    const shown *all;
    const page_view *view;
} values;

/* 1: the comma-separated list has that title. */
static int is_in(const char *list, const char *title) {
    size_t n = strlen(title);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, title, n) == 0 && (at[n] == ',' || !at[n])) return 1;
    }
    return 0;
}

static void write_series(FILE *out, const values *v, const shown_run *run, int64_t index) {
    pitot_series x;
    if (pitot_log_series(run->log, index, &x) != PITOT_OK) return;
    char *name = export_utf8(x.name), *of = export_utf8(run->name);
    for (int64_t i = 0; name && of && i < x.n; i++) {
        if (x.step[i] < v->view->from || x.step[i] > v->view->to) continue;
        export_put_field(out, of);
        putc(',', out);
        export_put_field(out, name);
        fprintf(out, ",%lld,", (long long)x.step[i]);
        if (isfinite(x.wall[i])) export_put_number(out, x.wall[i]);
        putc(',', out);
        export_put_number(out, x.value[i]);
        putc('\n', out);
    }
    free(name);
    free(of);
}

static int write_values(FILE *out, void *user) {
    const values *v = user;
    fputs("run,name,step,wall,value\n", out);
    for (int k = 0; k < v->all->runs; k++) {
        const shown_run *run = &v->all->run[k];
        if (!screen_shows(v->screen, run) && k != v->all->at) continue;
        for (int64_t i = 0; i < run->panels->n; i++) {
            const panel *p = &run->panels->panel[i];
            if (!is_in(v->view->panels, p->title)) continue;
            if (p->main >= 0) write_series(out, v, run, p->main);
            for (int64_t t = 0; t < p->n; t++) write_series(out, v, run, run->panels->series[p->first + t]);
        }
    }
    return !ferror(out);
}

typedef struct page_table_of {
    const page *page;
    const screen *screen;
    const shown *all;
} page_table_of;

static int write_page_table(FILE *out, void *user) {
    const page_table_of *t = user;
    t->page->table(t->screen, t->all, t->screen->own[t->screen->page], out);
    return !ferror(out);
}

static int32_t write_csv(const char *path, const screen *s, const shown *all, const page_view *view, pitot_error *error) {
    const page *p = page_by_rank(s->page);
    page_table_of table = { p, s, all };
    values v = { s, all, view };
    if (p->table && s->own) return write_text(path, write_page_table, &table, error);
    if (!*view->panels) return pitot_fail(error, PITOT_EINVAL, "this page has no values for a .csv");
    return write_text(path, write_values, &v, error);
}

/* ---- figures --------------------------------------------------------------------------------------------------------- */

/* The run at hand first, then the others that are drawn. */
static int32_t write_figure(const char *path, const screen *s, const shown *all, const page_view *view, pitot_error *error) {
    figure_options options = { .smooth = -1, .panels = *view->panels ? view->panels : NULL };
    figure_run run[FIGURE_RUNS];
    int n = 0;
    run[n++] = (figure_run){ shown_at(all)->name, shown_at(all)->log };
    for (int k = 0; k < all->runs && n < FIGURE_RUNS && !view->alone; k++)
        if (k != all->at && screen_shows(s, &all->run[k]) && all->run[k].panels->n)
            run[n++] = (figure_run){ all->run[k].name, all->run[k].log };
    return figure_write(path, run, n, &options, error);
}

static int ends_in(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n > m && strcmp(path + n - m, end) == 0;
}

int32_t export_view(const char *path, screen *s, const shown *all, pitot_error *error) {
    const page *p = page_by_rank(s->page);
    page_view view = { .from = INT64_MIN, .to = INT64_MAX };
    int has_view = p->view && s->own && p->view(s, all, s->own[s->page], &view);
    if (ends_in(path, ".txt")) {
        int32_t status = draw_still(s, all, error);
        return status == PITOT_OK ? write_text(path, write_rows, &s->canvas, error) : status;
    }
    if (ends_in(path, ".csv")) return write_csv(path, s, all, &view, error);
    if (!ends_in(path, ".png") && !ends_in(path, ".svg") && !ends_in(path, ".pdf"))
        return pitot_fail(error, PITOT_EINVAL, "the name should end in .png, .svg, .pdf, .csv or .txt");
    return has_view ? write_figure(path, s, all, &view, error) : export_frame(path, s, all, error);
}
