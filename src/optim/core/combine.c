/* combine.c: which wrappers go around what. A wrapper that changes the gradient works on what is inside as far as that takes the gradient it is
   given. SAM and clipping by samples make one of their own; line searches and methods that look at the loss hold it against losses and
   gradients that know nothing of the change. SAM changes gradient and batch's loss together. */

#include "optim/core/optimizer.h"

#include <stdio.h>
#include <string.h>

/* Weighing samples happens where the latest gradient was taken, and so SAM may be outside of it. */
static int undone(const optim_part *outer, const optim_part *inner) {
    const uint32_t anew = PITOT_WANTS_GRADIENT | PITOT_WANTS_LOSS | PITOT_WANTS_DATA;
    if (!outer->method->changes) return 0;
    if (optim_part_wants(inner) & anew) return 1;
    return (optim_part_wants(inner) & (PITOT_WANTS_SAMPLES | PITOT_WANTS_MATCH)) &&
           !(optim_part_wants(outer) & PITOT_WANTS_GRADIENT);
}

/* "sgd+clip_norm+sam": part `outer` in front of part `inner`. */
static void swapped(const pitot_optim *o, int32_t inner, int32_t outer, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int32_t k = 0; k < o->n_parts && used < size; k++) {
        const char *name = o->part[k].method->name;
        if (k == outer) continue;
        if (k == inner) used += (size_t)snprintf(text + used, size - used, "+%s+%s", o->part[outer].method->name, name);
        else used += (size_t)snprintf(text + used, size - used, "%s%s", k ? "+" : "", name);
    }
}

static int32_t refuse(const pitot_optim *o, int32_t inner, int32_t outer, pitot_error *error) {
    const char *in = o->part[inner].method->name, *out = o->part[outer].method->name;
    char better[256];
    if (inner == 0)
        return pitot_fail(
            error, PITOT_EINVAL,
            "wrapper %s around %s: %s holds the gradient against losses or gradients that it asks for by itself, and %s "
            "would change the one and not the others; leave %s away",
            out, in, in, out, out);
    swapped(o, inner, outer, better, sizeof better);
    return pitot_fail(error, PITOT_EINVAL,
                      "wrapper %s around %s: %s makes the gradient anew, so that what %s made of it is lost; the first is the "
                      "innermost: --optimizer %s",
                      out, in, in, out, better);
}

int32_t optim_check_parts(const pitot_optim *o, pitot_error *error) {
    const char *elsewhere = NULL;
    for (int32_t k = 0; k < o->n_parts; k++)
        for (int32_t j = 0; j < k; j++)
            if (undone(&o->part[k], &o->part[j])) return refuse(o, j, k, error);
    for (int32_t k = 0; k < o->n_parts; k++) {
        if (!o->part[k].method->evaluate) continue;
        if (elsewhere)
            return pitot_fail(error, PITOT_EINVAL,
                              "wrapper %s around %s: %s has an average of its own to evaluate and save; leave %s away",
                              o->part[k].method->name, elsewhere, elsewhere, o->part[k].method->name);
        elsewhere = o->part[k].method->name;
    }
    return PITOT_OK;
}

int64_t optim_planned(const pitot_optim *o, int32_t part) {
    int64_t steps = o->steps;
    for (int32_t k = o->n_parts - 1; k > part && steps > 0; k--)
        if (o->part[k].method->inner_steps) steps = o->part[k].method->inner_steps(o->part[k].options, steps);
    return steps;
}
