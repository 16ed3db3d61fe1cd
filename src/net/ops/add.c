/* add.c: the sum of two or more inputs of one shape: where branches meet. */

#include "pitot/hot.h"
#include "net/op.h"

#include <string.h>

static int32_t add_shape(node *n, pitot_error *error) {
    char a[128], b[128];
    for (int32_t i = 1; i < n->n_inputs; i++)
        if (!shape_equal(&n->in[i], &n->in[0]))
            return pitot_fail(error, PITOT_EMISMATCH, "its inputs have the shapes %s and %s; they must be equal",
                              shape_text(&n->in[0], a), shape_text(&n->in[i], b));
    n->out = n->in[0];
    return PITOT_OK;
}

PITOT_HOT static void add_to(pitot_real *y, const pitot_real *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += x[i];
}

static void forward(const node *n, const span *s) {
    int64_t count = s->n * n->out.size;
    memcpy(s->y, s->x[0], (size_t)count * sizeof(pitot_real));
    for (int32_t i = 1; i < n->n_inputs; i++) add_to(s->y, s->x[i], count);
}

static void backward(const node *n, const span *s) {
    size_t bytes = (size_t)(s->n * n->out.size) * sizeof(pitot_real);
    for (int32_t i = 0; i < n->n_inputs; i++)
        if (s->dx[i]) memcpy(s->dx[i], s->dy, bytes);
}

static void tangent(const node *n, const span *s) {
    int64_t count = s->n * n->out.size;
    int begun = 0;
    for (int32_t i = 0; i < n->n_inputs; i++) {
        if (!s->xt[i]) continue;
        if (begun) add_to(s->yt, s->xt[i], count);
        else memcpy(s->yt, s->xt[i], (size_t)count * sizeof(pitot_real));
        begun = 1;
    }
}

const op op_add = {
    .name = "add",
    .summary = "sum of two or more inputs of one shape",
    .inputs_min = 2,
    .inputs_max = OP_INPUTS,
    .shape = add_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .hesscale = backward, /* coefficients of 1 */
};
