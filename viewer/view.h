/* view.h: what a run looks like, apart from where it is drawn. Pure functions on numbers; the terminal and the figures share them.

   A panel is one plot: one scalar, or the per-tensor values of a quantity drawn together. Panels are made from the names of the
   log's series and from the registry's output tables (axis, unit, label) when the name belongs to a registered probe. */

#ifndef PITOT_VIEW_H
#define PITOT_VIEW_H

#include "pitot.h"

/* ---- axis.c: ranges, scales and ticks -------------------------------------------------------------------------------- */

enum { AXIS_LINEAR, AXIS_LOG, AXIS_SYMLOG, AXIS_ASINH };

typedef struct axis {
    int scale;     /* AXIS_LINEAR ... */
    double lo, hi; /* lo < hi, both finite; > 0 on a log axis */
    double linear; /* symlog: half width of the linear part; asinh: about that */
} axis;

/* An axis that shows the finite ones of v[0..n): padded, never of zero width; a log axis falls back to linear if nothing is > 0. */
axis axis_fit(int scale, const double *v, int64_t n);
/* Position of v on the axis in [0,1] when inside; values outside give < 0 or > 1; NaN for what the axis cannot show. */
double axis_at(const axis *a, double v);
/* The value at a position: axis_at's inverse, in and outside [0,1]; always finite. */
double axis_value(const axis *a, double at);

typedef struct tick {
    double value;
    char label[24];
    int minor; /* 1: no label */
} tick;

/* At most `room` ticks (at most 64), labels distinct and with as many digits as the steps between them need. Returns how many. */
int axis_ticks(const axis *a, int wanted, tick *ticks, int room);

/* "0.0123", "1.2e-05", "12,345": the shortest text that shows `digits` significant digits. */
void format_value(double v, int digits, char *text, size_t size);
/* "3 h 05 min", "12.3 s" */
void format_seconds(double seconds, char *text, size_t size);

/* ---- panel.c: which plots a run has ---------------------------------------------------------------------------------- */

typedef struct panel {
    char title[64]; /* "grad_norm" */
    char label[96]; /* what it means, from the registry; "" if unknown */
    char unit[24];
    int scale;              /* AXIS_... that the registry proposes */
    int rank;               /* panels stand by rank, those of one by name */
    const pitot_band *band; /* of the registry, or NULL */
    int64_t main;           /* index of the scalar series, or -1 */
    int64_t first, n;       /* the per-tensor series are list->series[first .. first+n) */
} panel;

typedef struct panel_list {
    int64_t n, n_series;
    panel *panel;
    int64_t *series;
} panel_list;

/* Panels in a fixed order: loss first, validation next, the other probes by name, then everything else. 0 or PITOT_ENOMEM. */
int32_t panel_list_make(const pitot_log *log, panel_list *list);
void panel_list_free(panel_list *list);

/* Exponential average with bias correction, weight w of the past; not-finite values are skipped and left not finite. */
void smooth(const double *v, int64_t n, double w, double *out);

#endif
