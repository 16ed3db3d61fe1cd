/* winograd.h: convolutions of 3x3 and 5x5 kernels with stride 1 by minimal filtering (Winograd 1980; Lavin, Gray 2016, "Fast algorithms for
   convolutional neural networks", arXiv 1509.09308), forward, backward and along tangents: with tiles of 6x6 or 4x4 values of the
   input, overlapping so that each gives its own `step` x `step` outputs,

       y = A' [(G w G') o (B' x B)] A     summed over input channels, so that each of the 36 or 16 points is a product of matrices,

   2.8 (5x5, step 2), 4 (3x3, step 4) or 2.3 (3x3, step 2) times fewer multiplications than unfolded. In single precision the rounding error
   is up to a few times that of the plain sum: coefficients grow as powers of the points 0, 1, -1, 2, -2, infinity. */

#ifndef PITOT_SRC_NET_WINOGRAD_H
#define PITOT_SRC_NET_WINOGRAD_H

#include "net/conv.h"

/* Values of scratch, and of what each thread keeps between spans of one way, that these take; 0: the convolution is not of the kind, or plain
   products are as fast. */
int64_t winograd_scratch(const conv *c);
int64_t winograd_own(const conv *c);

/* As op.forward, op.tangent, op.backward and op.tangent_backward, with span.own. */
void winograd_forward(const conv *c, const span *s);
void winograd_tangent(const conv *c, const span *s);
void winograd_backward(const conv *c, const span *s);

#endif
