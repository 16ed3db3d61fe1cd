/* flatten.c: all axes of a sample into one. */

#include "net/op.h"

static int32_t flat_shape(node *n, pitot_error *error) {
    (void)error;
    n->out = (shape){ .n = 1, .dim = { n->in[0].size }, .size = n->in[0].size };
    return PITOT_OK;
}

const op op_flatten = {
    .name = "flatten",
    .summary = "all axes of a sample into one",
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_VIEW,
    .shape = flat_shape,
};
