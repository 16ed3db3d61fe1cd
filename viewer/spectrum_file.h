/* spectrum_file.h: a spectrum as `pitot spectrum` measures it, and its file spectrum.json. */

#ifndef PITOT_VIEWER_SPECTRUM_FILE_H
#define PITOT_VIEWER_SPECTRUM_FILE_H

#include "pitot.h"

enum { SPECTRUM_PAIRS = 50, SPECTRUM_TEXT = 256 };

typedef struct spectrum_pair {
    double value, residual; /* theta, |Op u - theta u| with |u| = 1 */
    double error;           /* how far an eigenvalue is from theta: residual, or residual^2 over the gap where that is smaller */
    int converged;
} spectrum_pair;

typedef struct spectrum_estimate {
    double value, error; /* standard error over the draws */
} spectrum_estimate;

typedef struct spectrum {
    char kind[32];           /* "hessian" */
    char preconditioned[48]; /* optimizer whose preconditioner it is seen through; "": it is not */
    char model[SPECTRUM_TEXT], weights[SPECTRUM_TEXT], data[SPECTRUM_TEXT], group[SPECTRUM_TEXT], precision[16];
    int64_t parameters, samples; /* parameters: of the group */
    int64_t step;                /* of the checkpoint; -1: not known */
    int64_t seed, products;
    double loss;
    int32_t n_top, n_bottom;
    spectrum_pair top[SPECTRUM_PAIRS], bottom[SPECTRUM_PAIRS]; /* largest first; smallest first */
    spectrum_estimate trace, frobenius, negative_mass, negative_energy, dimension;
    double damping;        /* of the effective dimension: sum lambda / (lambda + damping) */
    double condition;      /* largest over smallest |lambda| seen: where none is negative a lower bound, otherwise about that */
    double limit;          /* largest eigenvalue at which the optimizer is stable; NaN: not known */
    char limit_name[48];   /* "2/lr" */
    int32_t draws, steps;  /* of the quadrature; 0: none */
    double *node, *weight; /* (draws,steps), ascending; weights of a draw sum to 1 */
    int32_t *used;         /* (draws): nodes there are */
    int converged;         /* all pairs */
    int complete;          /* 0: interrupted */
} spectrum;

/* Room for a quadrature; 0 or PITOT_ENOMEM. spectrum_free frees it, and clears. */
int32_t spectrum_reserve(spectrum *s, int64_t draws, int64_t steps);
void spectrum_free(spectrum *s);

/* 1 if the quadrature shows a density, and what follows from it; a few steps show traces of powers alone. */
int spectrum_is_density(const spectrum *s);

/* All nodes of all draws in one list, weights over the number of draws: (room) each; returns how many there are. */
int64_t spectrum_nodes_of(const spectrum *s, double *node, double *weight, int64_t room);

/* Written whole or not at all. Numbers that are not finite are null, and named in "nonfinite". */
int32_t spectrum_write(const spectrum *s, const char *path, pitot_error *error);
/* Reads what spectrum_write wrote; `s` is cleared before. */
int32_t spectrum_read(spectrum *s, const char *path, pitot_error *error);

#endif
