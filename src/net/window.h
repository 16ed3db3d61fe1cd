/* window.h: sliding windows over (channels, height, width), shared by convolution and pooling. */

#ifndef PITOT_SRC_WINDOW_H
#define PITOT_SRC_WINDOW_H

#include "net/op.h"

typedef struct window { /* index 0 vertical, 1 horizontal */
    int64_t channels, in[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
} window;

/* Fills w.channels, w.in from a (C,H,W) input and w.out by PyTorch's rule; ceil: a last window that starts inside input or leading
   padding counts even if it sticks out. A complaint goes to error. */
int32_t window_fit(window *w, const shape *in, int ceil_mode, pitot_error *error);

/* U (channels*kernel0*kernel1, out0*out1) from x (channels, in0, in1): column p holds what window p sees, 0 outside. ldu: values from
   one row of U to the next. */
void window_unfold(const window *w, const pitot_real *x, pitot_real *u, int64_t ldu);
/* Row i of U alone; u (out0*out1). */
void window_unfold_row(const window *w, const pitot_real *x, int64_t i, pitot_real *u);
/* The transpose: x = sum of what the windows hold. Overwrites x. */
void window_fold(const window *w, const pitot_real *u, int64_t ldu, pitot_real *x);

#endif
