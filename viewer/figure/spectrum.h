/* spectrum.h: a spectrum on a page, and how it changes over checkpoints. */

#ifndef PITOT_VIEWER_FIGURE_SPECTRUM_H
#define PITOT_VIEWER_FIGURE_SPECTRUM_H

#include "spectrum_file.h"
#include "surface.h"

typedef struct spectrum_look {
    double width, height, dpi; /* inches, dots per inch; 0: as suits */
} spectrum_look;

/* Density and cumulative curve over a symmetric-log axis, a stem for each eigenvalue with its residual as error bar, numbers beside. */
int32_t spectrum_figure(const char *path, const spectrum *s, const spectrum_look *look, pitot_error *error);
/* Densities of n spectra in the order given as columns of a map over the steps, the eigenvalues at both ends as lines; the trace below. */
int32_t spectrum_evolution_figure(const char *path, const spectrum *s, int n, const spectrum_look *look, pitot_error *error);

/* ---- spectrum_numbers.c: the column of numbers ---- */

/* Draws them into `area`, as many as fit. */
void spectrum_numbers(cairo_t *cr, const spectrum *s, rect area, double font);
/* "the Hessian", "the GGN, fc2", "the Hessian preconditioned by adam"; what it is of: model, parameters, samples. */
void spectrum_title(const spectrum *s, char *out, size_t size);
void spectrum_subtitle(const spectrum *s, char *out, size_t size);
fact_list spectrum_facts(const spectrum *s);
/* Rotates text to stand upright beside an axis, its middle at (x, y). */
void spectrum_upright(cairo_t *cr, const ink *i, double x, double y, const char *text);

#endif
