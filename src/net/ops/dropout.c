/* dropout.c: in training, each value is 0 with probability p and else multiplied by 1/(1-p) (Srivastava et al. 2014); otherwise y = x.
   The mask is a function of (seed, step, sample, value), so that any pass over a batch can be made again. */

#include "base/random.h"
#include "net/op.h"

#include <string.h>

typedef struct attributes_dropout {
    double p;
} attributes_dropout;

static const pitot_option table[] = {
    { "p", PITOT_REAL, 1, offsetof(attributes_dropout, p), "0.5", 0, 1, NULL, "", "probability of a zero" },
    { 0 },
};

static int32_t same_shape(node *n, pitot_error *error) {
    (void)error;
    n->out = n->in[0];
    n->kept = (n->out.size + 3) / 4 * 4 * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

/* The factors of one sample, four to a block of the generator. */
static void draw(const node *n, const span *s, int64_t sample, pitot_real *factor) {
    double p = ((const attributes_dropout *)n->attributes)->p;
    pitot_real on = p < 1 ? (pitot_real)(1 / (1 - p)) : 0;
    double threshold = p * 4294967296.0;
    uint32_t words[4];
    const uint32_t key[2] = { (uint32_t)s->seed, (uint32_t)(s->seed >> 32) };
    for (int64_t i = 0; i < n->out.size; i += 4) {
        const uint32_t counter[4] = { (uint32_t)(i / 4), (uint32_t)((uint64_t)(i / 4) >> 32) ^ (uint32_t)sample << 8,
                                      (uint32_t)s->step, (uint32_t)((uint64_t)s->step >> 32) ^ (uint32_t)(sample >> 24) << 8 };
        random_block(counter, key, words);
        for (int j = 0; j < 4; j++) factor[i + j] = words[j] < threshold ? 0 : on;
    }
}

/* to = from, in training times the factors kept */
static void scale(const node *n, const span *s, const pitot_real *from, pitot_real *to) {
    int64_t size = n->out.size, room = n->kept / (int64_t)sizeof(pitot_real);
    if (!s->training) {
        if (to != from) memcpy(to, from, (size_t)(s->n * size) * sizeof(pitot_real));
        return;
    }
    for (int64_t k = 0; k < s->n; k++) {
        const pitot_real *factor = (const pitot_real *)s->kept + k * room;
        for (int64_t i = 0; i < size; i++) to[k * size + i] = factor[i] * from[k * size + i];
    }
}

static void forward(const node *n, const span *s) {
    int64_t room = n->kept / (int64_t)sizeof(pitot_real);
    for (int64_t k = 0; s->training && k < s->n; k++) draw(n, s, s->sample + k, (pitot_real *)s->kept + k * room);
    scale(n, s, s->x[0], s->y);
}

static void backward(const node *n, const span *s) {
    if (s->dx[0]) scale(n, s, s->dy, s->dx[0]);
}

static void tangent(const node *n, const span *s) {
    scale(n, s, s->xt[0], s->yt);
}

/* By the factors twice. */
static void hesscale(const node *n, const span *s) {
    if (!s->dx[0]) return;
    scale(n, s, s->dy, s->dx[0]);
    scale(n, s, s->dx[0], s->dx[0]);
}

const op op_dropout = {
    .name = "dropout",
    .summary = "in training, values become 0 with probability p, the others are multiplied by 1/(1-p)",
    .attributes_size = sizeof(attributes_dropout),
    .attributes = table,
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_DRAWS,
    .shape = same_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .hesscale = hesscale,
};
