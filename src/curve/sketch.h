/* sketch.h: the range of a symmetric operator from products with k test vectors, and what leaving one of them out makes of it:

       Y = Op Omega = Q R,  Z = Op Q;  without test vector i the range is Q (I - s_i s_i') Q'

   (Epperly, Tropp, Webber 2024, "XTrace: making the most of every sample in stochastic trace estimation"). Omega, random signs, is not
   kept but made again. Where Y has the rank r < k, Q has r rows. */

#ifndef PITOT_SRC_SKETCH_H
#define PITOT_SRC_SKETCH_H

#include "curve/drawing.h"

typedef struct sketch {
    drawing d;
    int64_t k, r;      /* test vectors, rank */
    pitot_real *q, *z; /* (r,n) each: rows of Q' and of Z' */
    double *y;         /* (k,r_most = k): row i: R e_i, what Op omega_i is along Q */
    double *s;         /* (k,k): row i: s_i (r), unit; or zeros, where the range without i is the same */
    double *small;     /* room of (k,k) */
    pitot_real *part;  /* room: (k, SKETCH_PART) twice */
} sketch;

enum { SKETCH_PART = 512 }; /* values of a vector at a time */

/* Everything but the products; `what`: "xtrace". On PITOT_OK sketch_close must follow. */
int32_t sketch_open(sketch *k, const pitot_linop *op, const pitot_draws *set, pitot_estimate *out, pitot_error *error,
                    const char *what);
void sketch_close(sketch *k);

/* All products, R and s. Stopped: d.stopped, and no more than that. */
int32_t sketch_make(sketch *k);

/* out (r,b) = Q'B in double; rows of b (count,n), NULL: of the test vectors, count = k. */
void sketch_products(const sketch *k, const pitot_real *b, int64_t count, double *out);

/* Mean of Op omega's lengths times that of omega: what an error of products is relative to. */
double sketch_size(const sketch *k);

#endif
