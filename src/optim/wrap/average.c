/* average.c: an average of the parameters beside them, there for evaluating and saving: exponential (Polyak, Juditsky 1992 with forgetting, as
   PyTorch's AveragedModel), or plain (stochastic weight averaging: Izmailov et al. 2018, arXiv 1803.05407). It begins as the parameters after
   step `start`. */

#include "pitot/hot.h"
#include "pitot/optim.h"

#include <string.h>

typedef struct average_options {
    int64_t kind;
    double decay;
    int64_t start, every;
} average_options;

static const pitot_option table[] = {
    { "kind", PITOT_CHOICE, 1, offsetof(average_options, kind), "ema", 0, 0, "ema|swa", "", "exponential, or plain" },
    { "decay", PITOT_REAL, 1, offsetof(average_options, decay), "0.999", 0, 1, NULL, "", "ema: share of the average that stays" },
    { "start", PITOT_INT, 1, offsetof(average_options, start), "1", 1, 1e15, NULL, "steps", "first step that counts" },
    { "every", PITOT_INT, 1, offsetof(average_options, every), "1", 1, 1e15, NULL, "steps", "between two that count" },
    { 0 },
};

enum { EMA, SWA };

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i >= 0) pitot_slot_like(l, "average", l->i, 1);
    return PITOT_OK;
}

PITOT_HOT static void move(pitot_real *restrict average, const pitot_real *restrict x, pitot_real by, int64_t n) {
    for (int64_t i = 0; i < n; i++) average[i] += by * (x[i] - average[i]);
}

static int32_t step(pitot_stepping *s) {
    const average_options *o = s->options;
    int32_t status = pitot_inner(s);
    int64_t since = s->t - o->start;
    if (status || since < 0 || since % o->every) return status;
    double by = o->kind == EMA ? 1 - o->decay : 1 / ((double)(since / o->every) + 1);
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (since == 0) memcpy(t->state[0], t->x, (size_t)t->size * sizeof *t->x);
        else move(t->state[0], t->x, (pitot_real)by, t->size);
    }
    return PITOT_OK;
}

static void evaluate(pitot_stepping *s) {
    const average_options *o = s->options;
    for (int64_t i = 0; i < s->n && s->t >= o->start; i++)
        memcpy(s->tensor[i].x, s->tensor[i].state[0], (size_t)s->tensor[i].size * sizeof(pitot_real));
}

const pitot_optimizer pitot_wrapper_average = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "average",
    .summary = "an average of the parameters, to evaluate and save",
    .paper = "Polyak, Juditsky 1992; swa: Izmailov et al. 2018, arXiv 1803.05407",
    .formula = "ema: a += (1 - decay) (x - a); swa: a += (x - a) / count; a = x at step `start`",
    .memory = "D values",
    .cost = "one pass over D",
    .options_size = sizeof(average_options),
    .options = table,
    .layout = layout,
    .step = step,
    .evaluate = evaluate,
};
