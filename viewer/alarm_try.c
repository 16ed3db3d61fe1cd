/* alarm_try.c: what follows from the log for an alarm: what the loss does meanwhile, and the number to try; see alarm.h.

   Limits of stability go with the learning rate: at lr / value a ratio to them is 1. A step's length goes with it, too. */

#include "alarm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_LOSSES = 4, MOST_LOSSES = 48 };

static const double surely = 3; /* standard errors */

enum borne { ALWAYS, UNLESS_FALLS, IF_RISES, NEVER_WHILE_FALLS };

enum try_kind {
    TRY_NOTHING,
    TRY_DIVIDE,   /* the learning rate over the value */
    TRY_MULTIPLY, /* times the value */
    TRY_FIELD     /* what another series says */
};

static const struct {
    const char *output;
    enum borne below, above; /* an alarm on that side is one if the loss ... */
    enum try_kind kind;
    double by;         /* TRY_DIVIDE, TRY_MULTIPLY: and times this */
    const char *field; /* TRY_FIELD: name of the series */
    const char *words; /* %s: the number */
} table[] = {
    { "sharpness", ALWAYS, IF_RISES, TRY_DIVIDE, 1, NULL, "a learning rate below %s" },
    { "batch_sharpness.ratio", ALWAYS, IF_RISES, TRY_DIVIDE, 1, NULL, "a learning rate below %s" },
    { "critical_step", IF_RISES, ALWAYS, TRY_MULTIPLY, 1, NULL, "a learning rate below %s" },
    { "update_ratio", UNLESS_FALLS, IF_RISES, TRY_DIVIDE, 1e-3, NULL, "a learning rate of about %s, at which it is a thousandth" },
    { "batch_efficiency", ALWAYS, ALWAYS, TRY_FIELD, 0, "batch_efficiency.critical_batch", "a batch of about %s" },
    { "precond_staleness", ALWAYS, ALWAYS, TRY_FIELD, 0, "precond_staleness.interval", "a refresh every %s steps" },
    { "precond_staleness.lost", ALWAYS, ALWAYS, TRY_FIELD, 0, "precond_staleness.interval", "a refresh every %s steps" },
    { "early_stopping", ALWAYS, NEVER_WHILE_FALLS, TRY_NOTHING, 0, NULL, NULL },
    { "reduction_ratio", IF_RISES, ALWAYS, TRY_NOTHING, 0, NULL, NULL },
};

enum { ROWS = sizeof table / sizeof *table };

static int row_of(const char *output) {
    for (int i = 0; i < ROWS; i++)
        if (strcmp(table[i].output, output) == 0) return i;
    return -1;
}

int alarm_most(const char *output, enum alarm_side side, int loss) {
    int i = row_of(output);
    enum borne by = i < 0 ? ALWAYS : side == ALARM_BELOW ? table[i].below : side == ALARM_ABOVE ? table[i].above : ALWAYS;
    if (by == NEVER_WHILE_FALLS) return loss == LOSS_FALLS ? ALARM_NONE : ALARM_RAISED;
    return by == ALWAYS || (loss != LOSS_FALLS && (by == UNLESS_FALLS || loss != LOSS_LEVEL)) ? ALARM_RAISED : ALARM_WARN;
}

/* ---- numbers ---- */

/* The newest value at or before `step`; NaN if there is none. */
static double newest(const pitot_log *log, const char *name, int64_t step) {
    pitot_series s;
    if (pitot_log_series(log, pitot_log_find(log, name), &s) != PITOT_OK) return NAN;
    for (int64_t i = s.n - 1; i >= 0; i--)
        if (s.step[i] <= step) return s.value[i];
    return NAN;
}

/* The learning rate: logged by the host, or the optimizer's setting in the manifest; NaN: not known. */
static double learning_rate(const pitot_log *log, int64_t step) {
    char text[64], *end;
    double v = newest(log, "lr", step);
    if (v > 0) return v;
    if (pitot_log_fact(log, "optimizer.options.lr", text, sizeof text) <= 0) return NAN;
    v = strtod(text, &end);
    return end != text && !*end && v > 0 ? v : NAN;
}

/* To two digits, never up: what is to be kept below is not exceeded by its rounding. */
static double round_down(double v) {
    double unit = pow(10, floor(log10(v)) - 1);
    return floor(v / unit * (1 + 1e-12)) * unit;
}

/* "0.012", or "0.59 times what it is" where the rate is not known. */
static int rate_text(const pitot_log *log, double factor, int64_t step, char *text, size_t size) {
    double lr = learning_rate(log, step);
    if (!(factor > 0) || !isfinite(factor)) return 0;
    format_value(round_down(isnan(lr) ? factor : lr * factor), 2, text, size);
    size_t n = strlen(text);
    if (isnan(lr)) snprintf(text + n, size - n, " times what it is");
    return 1;
}

void alarm_try(const pitot_log *log, const char *output, double value, int64_t step, char *text, size_t size) {
    char number[64] = "";
    int i = row_of(output), known = 0;
    *text = 0;
    if (i < 0) return;
    if (table[i].kind == TRY_DIVIDE) known = rate_text(log, table[i].by / value, step, number, sizeof number);
    if (table[i].kind == TRY_MULTIPLY) known = rate_text(log, table[i].by * value, step, number, sizeof number);
    if (table[i].kind == TRY_FIELD) {
        double v = newest(log, table[i].field, step);
        known = v > 0 && isfinite(v);
        format_value(fmax(1, round(v)), 3, number, sizeof number);
    }
    const char *at = known ? strstr(table[i].words, "%s") : NULL;
    if (at) snprintf(text, size, "%.*s%s%s", (int)(at - table[i].words), table[i].words, number, at + 2);
}

/* ---- the loss ---- */

typedef struct line { /* sums over points (x, y) around the first */
    double n, x, y, xx, xy, yy;
} line;

static int direction(const line *l) {
    double xx = l->xx - l->x * l->x / l->n, xy = l->xy - l->x * l->y / l->n, yy = l->yy - l->y * l->y / l->n;
    if (l->n < LEAST_LOSSES || !(xx > 0)) return LOSS_UNKNOWN;
    double slope = xy / xx, rest = fmax(0, yy - slope * xy), error = sqrt(rest / (l->n - 2) / xx);
    if (!(fabs(slope) > surely * error) || slope == 0) return LOSS_LEVEL;
    return slope > 0 ? LOSS_RISES : LOSS_FALLS;
}

int alarm_loss(const pitot_log *log, int64_t from, int64_t to) {
    pitot_series s;
    line l = { 0 };
    int64_t i, first = -1;
    if (pitot_log_series(log, pitot_log_find(log, "loss"), &s) != PITOT_OK) return LOSS_UNKNOWN;
    for (i = s.n - 1; i >= 0 && s.step[i] > to; i--) {}
    for (; i >= 0 && s.step[i] >= from && l.n < MOST_LOSSES; i--) {
        if (!isfinite(s.value[i])) return LOSS_ODD;
        if (first < 0) first = i;
        double x = (double)(s.step[i] - s.step[first]), y = s.value[i] - s.value[first];
        l.n++;
        l.x += x, l.y += y;
        l.xx += x * x, l.xy += x * y, l.yy += y * y;
    }
    return direction(&l);
}
