/* export_csv.c: a run as one wide table: step, wall, and a column for every series; nothing where a series has no value at a step.
   Fields are quoted as RFC 4180 says, lines end in a newline alone. */

#include "export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 32 };

void export_put_field(FILE *out, const char *text) {
    if (*text && !strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"') putc('"', out);
        putc(*text, out);
    }
    putc('"', out);
}

/* 15 digits where they read back as the same double, else 17; nan, inf and -inf are words that readers of tables know. */
void export_put_number(FILE *out, double v) {
    char text[NUMBER];
    if (isnan(v)) fputs("nan", out);
    else if (isinf(v)) fputs(v > 0 ? "inf" : "-inf", out);
    else {
        snprintf(text, sizeof text, "%.15g", v);
        if (strtod(text, NULL) != v) snprintf(text, sizeof text, "%.17g", v);
        fputs(text, out);
    }
}

/* When the step's last record was written; NaN: no record said. */
static double wall_of(const export_table *t, int64_t step) {
    double wall = NAN;
    for (int64_t i = 0; i < t->n; i++)
        if (export_has(t, i, step)) wall = fmax(wall, t->series[i].wall[t->at[i]]);
    return wall;
}

static void put_row(const export_table *t, FILE *out, int64_t step) {
    double wall = wall_of(t, step);
    fprintf(out, "%lld,", (long long)step);
    if (isfinite(wall)) export_put_number(out, wall);
    for (int64_t i = 0; i < t->n; i++) {
        putc(',', out);
        if (export_has(t, i, step)) export_put_number(out, t->series[i].value[t->at[i]]);
    }
    putc('\n', out);
}

int export_csv(export_table *t, FILE *out) {
    int64_t step;
    fputs("step,wall", out);
    for (int64_t i = 0; i < t->n; i++) {
        putc(',', out);
        export_put_field(out, t->name[i]);
    }
    putc('\n', out);
    while ((step = export_next(t)) != INT64_MAX && !ferror(out)) {
        put_row(t, out, step);
        export_done(t, step);
    }
    progress_end(&t->line);
    return !ferror(out);
}
