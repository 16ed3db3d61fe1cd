/* layer.h: layers as methods with Kronecker factors see them: rows of inputs A, one a sample and position, the bias's 1 last, and rows of
   output gradients G, so that the gradient of a layer is G'A. Linear layers, and convolutions group by group.

   Two treatments of positions (Eschenhagen et al. 2023, arXiv 2311.00636): expand: every position is a row; reduce: a row of A is the mean
   over the sample's positions, a row of G the sum. */

#ifndef PITOT_SRC_OPTIM_LAYER_H
#define PITOT_SRC_OPTIM_LAYER_H

#include "net/window.h"
#include "pitot/optim.h"

typedef struct layer {
    int64_t index;                 /* for source.layer */
    int64_t weight, bias;          /* tensors; bias -1: none */
    int64_t groups, rows, columns; /* of a group: outputs; inputs, with the bias's */
    int64_t values, positions;     /* inputs without it; positions of a sample */
    int64_t samples;               /* whose rows make a block */
    int64_t sums, views;           /* the method's: where in its work space this layer's begin */
    int64_t apart;                 /* the method's: the bias where it is not a column of A, bias then being -1; -1: none */
    int32_t conv, reserved;
    window w; /* convolution: of one group's channels */
} layer;

/* PITOT_ENOTSUP: layer `index` has no weight that is used once, gets no gradient, or is of another kind. */
int32_t layer_read(const pitot_optim_source *source, const pitot_tensor_state *tensor, int64_t n, int64_t index, layer *out);
/* All layers that fit and whose factors have at most `most` rows; returns how many. out: (source->layers). */
int64_t layers_read(const pitot_optim_source *source, const pitot_tensor_state *tensor, int64_t n, int64_t most, layer *out);
/* Those of a list of n whose weight has a gradient in this step, moved to its front; returns how many. */
int64_t layers_moving(const pitot_tensor_state *tensor, layer *list, int64_t n);
/* The one that tensor i is the weight of. */
const layer *layer_of(const layer *list, int64_t n, int64_t i);

/* Values of room that the two below take. */
int64_t layer_room(const layer *l);
/* Rows of samples from..from+n (at most l->samples) of a group: (n * positions, columns), or with `reduce` (n, columns); made in `room`, or
   where they stand. The second: (.., rows), as the capture has them. */
const pitot_real *layer_inputs(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, int reduce,
                               pitot_real *room);
const pitot_real *layer_gradients(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, int reduce,
                                  pitot_real *room);

/* Of convolutions, every position a row: the transposes, which take less time to make: (columns, n * positions), (rows, n * positions). On the
   calling thread. */
const pitot_real *layer_inputs_across(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n,
                                      pitot_real *room);
const pitot_real *layer_gradients_across(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n,
                                         pitot_real *room);

/* out (columns) += squares of the rows of A of samples from..from+n, summed; for convolutions of all positions' at once, without unfolding
   samples. room: layer_room values. */
void layer_input_squares(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, pitot_real *room,
                         double *out);

/* (rows, columns) of a group from the gradient arrays, and back into vectors of D values. */
void layer_gather(const layer *l, const pitot_tensor_state *tensor, int64_t group, pitot_real *out);
void layer_scatter(const layer *l, const pitot_tensor_state *tensor, int64_t group, const pitot_real *from, pitot_real *out);
/* From now on weight and bias have what stands in a vector of D values for their gradient; a bias that has none stays without. */
void layer_point(const layer *l, pitot_tensor_state *tensor, const pitot_real *direction);

#endif
