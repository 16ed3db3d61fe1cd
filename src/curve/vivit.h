/* vivit.h: the inside of a pitot_vivit.

   vivit.c         making one, groups, Gram matrices        vivit_top.c  leading eigenpairs of a dense matrix
   vivit_derive.c  derivatives along eigenvectors, steps */

#ifndef PITOT_SRC_VIVIT_H
#define PITOT_SRC_VIVIT_H

#include "net/factor.h"
#include "pitot/vivit.h"

typedef struct vivit_group {
    char *name;
    int64_t *at;   /* (n_params): where a parameter lies in the group's vectors; -1: not in it */
    int64_t size;  /* d */
    double *gram;  /* (n,n); NULL: not made yet */
    double *cross; /* (n,n_grad): V'g_n */
} vivit_group;

struct pitot_vivit {
    pitot_net *net;
    int64_t n_params, n_grad;
    int64_t *grad_sample;  /* (n_grad) */
    unsigned char *wanted; /* (n_params) */
    factor v;
    int32_t n_groups;
    vivit_group *group;
};

/* The k largest eigenpairs of a (n,n), symmetric, n > 0: value (k) descending, vector (k,n). PITOT_ENOMEM; PITOT_EHOST: no convergence. */
int32_t vivit_leading(int64_t n, const double *a, int64_t k, double *value, double *vector);

/* PITOT_EINVAL and a message if there is no such group or something is NULL. */
int32_t vivit_check(const pitot_vivit *v, int32_t group, const void *needed, pitot_error *error);
/* Below this share of the largest an eigenvalue is round-off. */
double vivit_round_off(const pitot_vivit *v);

#endif
