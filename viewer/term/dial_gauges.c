/* dial_gauges.c: dials whose value lies on a scale: tests against their limits, alpha between start and mirror point, the sharpness against
   the stability limit, and the scatter of single gradients as a target. See dial.h. */

#include "term/dial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/gauge.h"
#include "term/reading.h"

enum { NAME_TEXT = 128, WORDS = 96 };

static double value_of(const dial_view *v, const dial *d) {
    char name[NAME_TEXT];
    pitot_series s;
    return dial_find(v->all, d, name, sizeof name, &s) == 1 ? reading_at(shown_at(v->all)->log, name, v->step) : NAN;
}

/* ---- a value against its band ---------------------------------------------------------------------------------------- */

static void add_tick(gauge *g, double v) {
    if (isfinite(v) && g->ticks < 4) g->tick[g->ticks++] = v;
}

int32_t dial_gauge(const dial_view *v, const dial *d) {
    gauge g = { .a = d->scale, .value = value_of(v, d), .band = dial_band(v->all, d) };
    char words[WORDS], bound[32];
    if (g.band) add_tick(&g, g.band->warn_above);
    if (g.band) add_tick(&g, g.band->alarm_above);
    reading_text(g.band ? g.band->warn_above : NAN, 3, bound, sizeof bound);
    snprintf(words, sizeof words, "to be below %s", bound);
    gauge_draw(&v->s->canvas, dial_head(v, d, g.value, g.band ? words : NULL), &g);
    return PITOT_OK;
}

/* ---- alpha ----------------------------------------------------------------------------------------------------------- */

enum { LATEST = 1000 };

static const double edge = 1.5, top = 1.75; /* the parabola is drawn over [-edge, edge] x [0, top] */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the finite ones of at most LATEST values. */
static double median(const double *v, int64_t n) {
    double sorted[LATEST];
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i])) sorted[m++] = v[i];
    qsort(sorted, (size_t)m, sizeof *sorted, by_size);
    return m ? (sorted[(m - 1) / 2] + sorted[m / 2]) / 2 : NAN;
}

/* How many values fall into each column of dots; returns the most of a column. */
static int64_t count(bin *out, int columns, const double *v, int64_t n) {
    int64_t most = 0;
    for (int x = 0; x < columns; x++) out[x].n = 0;
    for (int64_t i = 0; i < n; i++) {
        double share = (v[i] + edge) / (2 * edge);
        if (!(share >= 0 && share < 1)) continue;
        int64_t now = ++out[(int)(share * columns)].n;
        if (now > most) most = now;
    }
    return most;
}

static void draw_parabola(canvas *c, place at) {
    int columns = 2 * at.cols, dots = 4 * at.rows, before = -1;
    for (int x = 0; x < columns; x++) {
        double a = ((x + 0.5) / columns * 2 - 1) * edge;
        int y = (int)((1 - a * a / top) * (dots - 1) + 0.5);
        int from = before < 0 ? y : before < y ? before + 1 : before > y ? before - 1 : y;
        for (int k = from; a * a <= top && k != y; k += from < y ? 1 : -1) dot_put(c, at, x, k, PEN_AXIS);
        if (a * a <= top) dot_put(c, at, x, y, PEN_AXIS);
        before = a * a <= top ? y : -1;
    }
}

/* All values so far in the back, the latest in front, each in shares of its own most. */
static int32_t draw_distribution(screen *s, place at, const pitot_series *alpha, int64_t last, int64_t latest) {
    int columns = 2 * at.cols;
    if (!screen_reserve(s, 2 * (int64_t)columns)) return PITOT_ENOMEM;
    bin *all = s->bins, *late = s->bins + columns;
    double most = (double)count(all, columns, alpha->value, last + 1);
    double most_late = (double)count(late, columns, alpha->value + last + 1 - latest, latest);
    for (int x = 0; x < columns; x++) {
        if (most > 0) bar_up(&s->canvas, at, x, 0.9 * (double)all[x].n / most, PEN_RAW);
        if (most_late > 0) bar_up(&s->canvas, at, x, 0.9 * (double)late[x].n / most_late, PEN_MAIN);
    }
    return PITOT_OK;
}

static void draw_places(canvas *c, place at) {
    static const struct {
        double at;
        const char *name, *brief;
    } places[] = { { -1, "-1 start", "-1" }, { 0, "0 minimum", "0" }, { 1, "1 mirrored", "1" } };
    for (int i = 0; i < 3; i++) {
        const char *text = at.cols >= 40 ? places[i].name : places[i].brief;
        int col = at.col + (int)((places[i].at + edge) / (2 * edge) * at.cols) - (int)strlen(text) / 2;
        if (col >= at.col) canvas_text(c, at.row, col, at.col + at.cols - col, text, PEN_DIM);
    }
}

int32_t dial_alpha(const dial_view *v, const dial *d) {
    pitot_series s;
    canvas *c = &v->s->canvas;
    if (!reading_series(shown_at(v->all)->log, d->key, &s)) return PITOT_OK;
    int64_t last = reading_index(&s, v->step), latest = (last + 10) / 10;
    char words[WORDS], number[32];
    if (latest > LATEST) latest = LATEST;
    if (latest < 1) latest = 1;
    gauge g = { .a = { AXIS_LINEAR, -edge, edge, 0 }, .value = last >= 0 ? s.value[last] : NAN, .tick = { -1, 0, 1 }, .ticks = 3 };
    reading_text(last >= 0 ? median(s.value + last + 1 - latest, latest) : NAN, 3, number, sizeof number);
    if (v->at.cols >= 52) snprintf(words, sizeof words, "median of the latest %lld: %s", (long long)latest, number);
    else snprintf(words, sizeof words, "median %s", number);
    place at = dial_head(v, d, g.value, words), below = dial_padded(at);
    if (below.rows < 4) {
        gauge_draw(c, at, &g);
        return PITOT_OK;
    }
    place bars = { at.row, at.col, below.rows - 2, at.cols };
    if (bars.rows >= 3) draw_parabola(c, bars);
    int32_t status = last >= 0 ? draw_distribution(v->s, bars, &s, last, latest) : PITOT_OK;
    gauge_draw(c, (place){ bars.row + bars.rows, at.col, 1, at.cols }, &g);
    draw_places(c, (place){ bars.row + bars.rows + 1, at.col, 1, at.cols });
    return status;
}

/* ---- the sharpness --------------------------------------------------------------------------------------------------- */

static void factor_words(double ratio, char *text, size_t size) {
    char number[32];
    *text = 0;
    if (!(ratio > 0) || isinf(ratio)) return;
    format_value(ratio < 1 ? 1 / ratio : ratio, 2, number, sizeof number);
    if (ratio < 0.95) snprintf(text, size, "%sx below the limit", number);
    else if (ratio > 1.05) snprintf(text, size, "%sx above the limit", number);
    else snprintf(text, size, "at the limit");
}

/* The largest eigenvalue and its limit, by the probe or from the Hessian's; 1, or 0: not both are known. */
static int find_limit(const shown *all, int64_t step, double *lambda, double *limit, char *name, size_t size) {
    const pitot_log *log = shown_at(all)->log;
    snprintf(name, size, "limit");
    *lambda = reading_at(log, "sharpness.lambda", step), *limit = reading_at(log, "sharpness.limit", step);
    if (pitot_log_find(log, "sharpness") >= 0) return 1;
    *lambda = reading_at(log, "hess_max_ev", step), *limit = reading_limit(log, step, name, size);
    return pitot_log_find(log, "hess_max_ev") >= 0 && isfinite(*limit);
}

int dial_has_limit(const shown *all) {
    double lambda, limit;
    char name[48];
    return find_limit(all, INT64_MAX, &lambda, &limit, name, sizeof name);
}

int32_t dial_sharpness(const dial_view *v, const dial *d) {
    char words[WORDS], detail[2 * WORDS], name[48], number[2][32];
    double lambda, limit, ratio = reading_at(shown_at(v->all)->log, d->key, v->step);
    find_limit(v->all, v->step, &lambda, &limit, name, sizeof name);
    if (pitot_log_find(shown_at(v->all)->log, d->key) < 0) ratio = lambda / limit;
    factor_words(ratio, words, sizeof words);
    gauge g = { .a = d->scale, .value = ratio, .band = dial_band(v->all, d), .tick = { 1 }, .ticks = 1 };
    place at = dial_head(v, d, ratio, words);
    gauge_draw(&v->s->canvas, at, &g);
    reading_text(lambda, 4, number[0], sizeof number[0]);
    reading_text(limit, 4, number[1], sizeof number[1]);
    snprintf(detail, sizeof detail, "eigenvalue %s, %s %s", number[0], name, number[1]);
    if (at.rows >= 2) canvas_text(&v->s->canvas, at.row + 1, at.col, at.cols, detail, PEN_DIM);
    return PITOT_OK;
}

/* ---- the target ------------------------------------------------------------------------------------------------------ */

enum { NORM, INNER, ORTHO, TESTS };

static const char *const test_name[TESTS] = { "norm_test", "inner_test", "ortho_test" };
static const int test_pen[TESTS] = { PEN_MAIN, PEN_TENSOR + 1, PEN_TENSOR + 2 };

typedef struct target {
    canvas *c;
    place at; /* as high as wide, in dots */
    int dots;
    axis a;
} target;

/* As far as all of it reaches, the length of g included; of a value that is far out only that. */
static axis range_of(const double *value) {
    double most = 1;
    for (int k = 0; k < TESTS; k++)
        if (isfinite(value[k])) most = fmax(most, fabs(value[k]));
    most = fmin(1.1 * most, 1e300);
    return (axis){ AXIS_LINEAR, -most, most, 0 };
}

static int dot_of(const target *t, double v) {
    double share = axis_at(&t->a, v);
    return share >= 0 && share <= 1 ? (int)(share * (t->dots - 1) + 0.5) : -1;
}

static void draw_circle(const target *t, double radius, int pen, int dotted) {
    static const double turn = 6.283185307179586;
    int n = 8 * t->dots;
    for (int i = 0; i < n && isfinite(radius); i++) {
        if (dotted && i / 8 % 2) continue;
        int x = dot_of(t, radius * cos(turn * i / n)), y = dot_of(t, radius * sin(turn * i / n));
        if (x >= 0 && y >= 0) dot_put(t->c, t->at, x, y, pen);
    }
}

static void draw_pair(const target *t, double v, int upright, int pen) {
    for (int side = -1; side <= 1 && isfinite(v); side += 2) {
        int k = dot_of(t, side * v);
        for (int i = 0; i < t->dots && k >= 0; i++) dot_put(t->c, t->at, upright ? k : i, upright ? i : k, pen);
    }
}

static void draw_key(const dial_view *v, place at, const double *value) {
    static const char *const means[TESTS] = { "circle", "along g", "across g" };
    char number[32], words[WORDS];
    for (int k = 0; k < TESTS && k + 1 < at.rows; k++) {
        reading_text(value[k], 3, number, sizeof number);
        int name = (int)strcspn(test_name[k], "_");
        snprintf(words, sizeof words, "%-5.*s %-5s %s", name, test_name[k], number, at.cols >= 20 ? means[k] : "");
        canvas_text(&v->s->canvas, at.row + 1 + k, at.col, at.cols, words, test_pen[k]);
    }
    if (at.rows > TESTS + 1) canvas_text(&v->s->canvas, at.row + TESTS + 1, at.col, at.cols, "dotted: |g|", PEN_DIM);
}

int32_t dial_target(const dial_view *v, const dial *d) {
    double value[TESTS];
    for (int k = 0; k < TESTS; k++) value[k] = reading_at(shown_at(v->all)->log, test_name[k], v->step);
    place at = dial_padded(dial_head_words(v, d, "", d->label));
    if (at.rows < 3) return PITOT_OK;
    int side = 2 * at.rows < at.cols ? 2 * at.rows : at.cols;
    target t = { &v->s->canvas, { at.row, at.col, at.rows, side }, 2 * side, range_of(value) };
    draw_circle(&t, 1, PEN_AXIS, 1);
    draw_pair(&t, value[ORTHO], 1, test_pen[ORTHO]);
    draw_pair(&t, value[INNER], 0, test_pen[INNER]);
    draw_circle(&t, value[NORM], test_pen[NORM], 0);
    if (at.cols >= side + 12) draw_key(v, (place){ at.row, at.col + side + 2, at.rows, at.cols - side - 2 }, value);
    return PITOT_OK;
}
