/* dial_counts.c: histograms of gradient elements: how often which value, and against the parameters that they belong to. See dial.h. */

#include "term/dial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "counts.h"
#include "term/gauge.h"
#include "term/heat.h"

enum { WORDS = 96, MARGINAL = 6, LABELS = 7 };

typedef struct range { /* of bins */
    int64_t from, to;
} range;

/* Those of `all` that column k of n covers, at least one. */
static range bins_of(range all, int k, int n) {
    double bins = (double)(all.to - all.from);
    range r = { (int64_t)((double)k / n * bins), (int64_t)ceil((double)(k + 1) / n * bins) };
    if (r.to <= r.from) r.to = r.from + 1;
    r.from += all.from, r.to += all.from;
    if (r.to > all.to) r.to = all.to;
    if (r.from >= r.to) r.from = r.to - 1;
    return r;
}

static double sum_of(const counts *n, int along_y, int64_t i) {
    double sum = 0;
    for (int64_t o = 0; o < (along_y ? n->nx : n->ny); o++) sum += n->count[along_y ? o * n->ny + i : i * n->ny + o];
    return sum;
}

/* From the first to the last bin with counts, an empty one more at each side. */
static range crop(const counts *n, int along_y) {
    int64_t bins = along_y ? n->ny : n->nx;
    range r = { 0, bins };
    while (r.from + 4 < r.to && !(sum_of(n, along_y, r.from) > 0)) r.from++;
    while (r.from + 4 < r.to && !(sum_of(n, along_y, r.to - 1) > 0)) r.to--;
    if (r.from > 0) r.from--;
    if (r.to < bins) r.to++;
    return r;
}

/* Counts span decades: log(n+1), as a share of that of the most. */
static double share_of(double n, double most) {
    return n > 0 && most > 0 ? log1p(fmin(n, most)) / log1p(most) : 0;
}

/* Below a picture: its ends, and 0 where that lies within. */
static void draw_ends(canvas *c, place at, double lo, double hi, const char *name) {
    char text[2][32];
    format_value(lo, 3, text[0], sizeof text[0]);
    format_value(hi, 3, text[1], sizeof text[1]);
    int left = at.col + canvas_text(c, at.row, at.col, at.cols, text[0], PEN_DIM) + 1;
    int right = canvas_text_right(c, at.row, at.col + at.cols, at.cols, text[1], PEN_DIM) - 1;
    int width = (int)strlen(name), zero = lo < 0 && hi > 0 ? at.col + (int)(-lo / (hi - lo) * at.cols) : -1;
    if (zero >= left && zero < right) canvas_put(c, at.row, zero, '0', PEN_DIM);
    if (zero + 2 + width < right) canvas_text(c, at.row, zero >= left ? zero + 2 : left, width, name, PEN_DIM);
}

/* What dial_find has found cannot be read. */
static int32_t say_damaged(const dial_view *v, const dial *d) {
    dial_say(v, d, "its counts and edges do not fit together");
    return PITOT_OK;
}

/* ---- one-dimensional ------------------------------------------------------------------------------------------------- */

static void draw_bars(canvas *c, place at, const counts *n, range all) {
    int columns = 2 * at.cols;
    for (int x = 0; x < columns; x++) {
        range r = bins_of(all, x, columns);
        double most = 0;
        for (int64_t i = r.from; i < r.to; i++) most = fmax(most, n->count[i]);
        bar_up(c, at, x, share_of(most, n->most), PEN_MAIN);
    }
}

int32_t dial_histogram(const dial_view *v, const dial *d) {
    counts n;
    char words[WORDS], number[32];
    int has = counts_read(shown_at(v->all)->log, "grad_hist_1d.counts", "grad_hist_1d.edges", NULL, v->step, &n);
    if (has < 0) return has;
    if (!has) return say_damaged(v, d);
    double cut = n.total > 0 ? 100 * (n.count[0] + n.count[n.nx - 1]) / n.total : 0;
    format_value(cut, 2, number, sizeof number);
    snprintf(words, sizeof words, "%s %% cut", cut > 0 && cut < 0.01 ? "<.01" : number);
    place at = dial_head_words(v, d, words, "log counts of gradient elements"), below = dial_padded(at);
    range x = crop(&n, 0);
    if (below.rows >= 3) {
        draw_bars(&v->s->canvas, (place){ at.row, at.col, below.rows - 1, at.cols }, &n, x);
        draw_ends(&v->s->canvas, (place){ at.row + below.rows - 1, at.col, 1, at.cols }, n.x[x.from], n.x[x.to], "gradient");
    } else draw_bars(&v->s->canvas, at, &n, x);
    counts_free(&n);
    return PITOT_OK;
}

/* ---- two-dimensional ------------------------------------------------------------------------------------------------- */

typedef struct joint {
    canvas *c;
    const counts *n;
    range x, y;                             /* the bins that are drawn: around all that have counts */
    place map, above, beside, labels, ends; /* what has no room is empty */
} joint;

static void divide(joint *j, place at) {
    int left = at.cols >= 36 ? LABELS : 0, right = at.cols >= 36 ? MARGINAL : 0, top = at.rows >= 9 ? 2 : at.rows >= 6,
        foot = at.rows >= 4;
    j->map = (place){ at.row + top, at.col + left, at.rows - top - foot, at.cols - left - right };
    j->above = (place){ at.row, j->map.col, top, j->map.cols };
    j->beside = (place){ j->map.row, j->map.col + j->map.cols, right ? j->map.rows : 0, right };
    j->labels = (place){ j->map.row, at.col, left ? j->map.rows : 0, left };
    j->ends = (place){ j->map.row + j->map.rows, j->map.col, foot, j->map.cols };
}

/* The largest count of the bins that a cell covers; rows count from the top, parameters from the bottom. */
static double cell_most(const joint *j, int row, int col) {
    range x = bins_of(j->x, col, j->map.cols), y = bins_of(j->y, j->map.rows - 1 - row, j->map.rows);
    double most = 0;
    for (int64_t i = x.from; i < x.to; i++)
        for (int64_t k = y.from; k < y.to; k++) most = fmax(most, j->n->count[i * j->n->ny + k]);
    return most;
}

static void draw_map(const joint *j) {
    for (int row = 0; row < j->map.rows; row++)
        for (int col = 0; col < j->map.cols; col++) {
            double n = cell_most(j, row, col);
            if (n > 0) heat_put(j->c, j->map.row + row, j->map.col + col, heat_level(share_of(n, j->n->most)));
        }
}

/* Of the bins of column (or, along y, of row) k of `of`: the largest sum over the other direction. */
static double marginal(const joint *j, int along_y, int k, int of) {
    range r = bins_of(along_y ? j->y : j->x, k, of);
    double most = 0;
    for (int64_t i = r.from; i < r.to; i++) most = fmax(most, sum_of(j->n, along_y, i));
    return most;
}

static void draw_marginals(const joint *j) {
    const place *a = &j->above, *b = &j->beside;
    for (int x = 0; x < 2 * a->cols && a->rows; x++)
        bar_up(j->c, *a, x, share_of(marginal(j, 0, x, 2 * a->cols), j->n->total), PEN_RAW);
    for (int row = 0; row < b->rows; row++)
        bar_right(j->c, *b, b->row + row, share_of(marginal(j, 1, b->rows - 1 - row, b->rows), j->n->total), PEN_RAW);
}

static void draw_labels(const joint *j) {
    char text[32];
    const counts *n = j->n;
    if (j->ends.rows) draw_ends(j->c, j->ends, n->x[j->x.from], n->x[j->x.to], "gradient");
    for (int k = 0; k < 2 && j->labels.rows > 1; k++) {
        format_value(k ? n->y[j->y.from] : n->y[j->y.to], 3, text, sizeof text);
        canvas_text_right(j->c, k ? j->labels.row + j->labels.rows - 1 : j->labels.row, j->labels.col + LABELS - 1, LABELS - 1,
                          text, PEN_DIM);
    }
    if (j->labels.rows > 4)
        canvas_text_right(j->c, j->labels.row + j->labels.rows / 2, j->labels.col + LABELS - 1, LABELS - 1, "param.", PEN_DIM);
}

int32_t dial_joint(const dial_view *v, const dial *d) {
    counts n;
    joint j = { .c = &v->s->canvas, .n = &n };
    char words[WORDS];
    int has =
        counts_read(shown_at(v->all)->log, "grad_hist_2d.counts", "grad_hist_2d.x_edges", "grad_hist_2d.y_edges", v->step, &n);
    if (has < 0) return has;
    if (!has) return say_damaged(v, d);
    snprintf(words, sizeof words, "%lld x %lld", (long long)n.nx, (long long)n.ny);
    place at = dial_padded(dial_head_words(v, d, words, "log counts of gradient and parameter elements"));
    if (at.rows > 0 && at.cols > 0) {
        j.x = crop(&n, 0), j.y = crop(&n, 1);
        divide(&j, at);
        draw_map(&j);
        draw_marginals(&j);
        draw_labels(&j);
    }
    counts_free(&n);
    return PITOT_OK;
}
