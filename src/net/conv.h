/* conv.h: the geometry of a convolution, one group of its channels: rows of the weight M, its columns K = cin/groups * kernel, output
   positions P. */

#ifndef PITOT_SRC_NET_CONV_H
#define PITOT_SRC_NET_CONV_H

#include "net/window.h"

typedef struct conv {
    window w; /* of one group's channels */
    int64_t groups, m, k, p;
    int64_t together; /* samples in one product */
    int plain;        /* 1x1, stride 1, no padding, one sample at a time: the input is its own unfolding */
} conv;

/* ops/conv2d.c */
conv conv_of(const node *n);

/* conv_squares.c: op.square_gradient of a convolution, and the scratch it needs */
void conv_square_gradient(const node *n, const span *s);
int64_t conv_squares_scratch(const conv *c);

#endif
