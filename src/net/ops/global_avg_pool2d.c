/* global_avg_pool2d.c: (C,H,W) to (C): the mean of each channel. */

#include "net/op.h"

static int32_t pool_shape(node *n, pitot_error *error) {
    char text[128];
    if (n->in[0].n != 3)
        return pitot_fail(error, PITOT_EMISMATCH, "its input has the shape %s; it needs (channels, height, width)",
                          shape_text(&n->in[0], text));
    n->out = (shape){ .n = 1, .dim = { n->in[0].dim[0] } };
    return PITOT_OK;
}

static void forward(const node *n, const span *s) {
    int64_t plane = n->in[0].dim[1] * n->in[0].dim[2];
    for (int64_t c = 0; c < s->n * n->out.size; c++) {
        double sum = 0;
        for (int64_t i = 0; i < plane; i++) sum += (double)s->x[0][c * plane + i];
        s->y[c] = (pitot_real)(sum / (double)plane);
    }
}

static void spread(const node *n, const span *s, pitot_real count) {
    int64_t plane = n->in[0].dim[1] * n->in[0].dim[2];
    if (!s->dx[0]) return;
    for (int64_t c = 0; c < s->n * n->out.size; c++)
        for (int64_t i = 0; i < plane; i++) s->dx[0][c * plane + i] = s->dy[c] / count;
}

static void backward(const node *n, const span *s) {
    spread(n, s, (pitot_real)(n->in[0].dim[1] * n->in[0].dim[2]));
}

static void hesscale(const node *n, const span *s) {
    pitot_real plane = (pitot_real)(n->in[0].dim[1] * n->in[0].dim[2]);
    spread(n, s, plane * plane);
}

const op op_global_avg_pool2d = {
    .name = "global_avg_pool2d",
    .summary = "mean of each channel: (C,H,W) to (C)",
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_LINEAR,
    .shape = pool_shape,
    .forward = forward,
    .backward = backward,
    .hesscale = hesscale,
};
