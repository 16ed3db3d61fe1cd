/* state.c: an optimizer's state by name, the preconditioner in use, and the parameters to evaluate. */

#include "optim/core/optimizer.h"

#include <stdio.h>
#include <string.h>

/* ---- arrays ---- */

static void fill(pitot_optim_array *out, const optim_part *p, const char *tensor, const pitot_slot *slot, void *data) {
    int wrapper = p != &p->optim->part[0];
    *out = (pitot_optim_array){ .struct_size = sizeof *out, .bytes = slot_bytes(slot), .data = data };
    snprintf(out->name, sizeof out->name, "%.180s:%.32s%s%.40s", tensor, wrapper ? p->method->name : "", wrapper ? "." : "",
             slot->name);
    memcpy(out->shape, slot->shape, sizeof out->shape);
    out->dtype = slot->dtype ? slot->dtype : sizeof(pitot_real) == 8 ? PITOT_F64 : PITOT_F32;
}

int32_t pitot_optim_state(pitot_optim *o, int64_t j, pitot_optim_array *out) {
    if (!o || !o->n || j < 0) return PITOT_EINVAL;
    for (int32_t k = 0; k < o->n_parts; k++) {
        optim_part *p = &o->part[k];
        optim_part_wait(p);
        if (j-- == 0) {
            fill(out, p, "", &(pitot_slot){ "steps", { o->n + 1 }, PITOT_F64, 0 }, p->count);
            return PITOT_OK;
        }
        for (int64_t i = 0; i <= o->n; i++)
            for (int32_t l = 0; l < p->slots[i].n; l++) {
                void *data = i < o->n ? p->s.tensor[i].state[l] : p->run[l];
                if (!data || j-- > 0) continue;
                fill(out, p, i < o->n ? p->s.tensor[i].name : "", &p->slots[i].slot[l], data);
                return PITOT_OK;
            }
    }
    return PITOT_EINVAL;
}

/* Counters may have been read from a checkpoint since the last step. */
static void renew_counts(optim_part *p) {
    p->s.t = (int64_t)p->count[0];
    for (int64_t i = 0; i < p->s.n; i++) p->s.tensor[i].t = (int64_t)p->count[i + 1];
}

/* ---- views ---- */

int32_t pitot_optim_view(const pitot_optim *o, int64_t i, int32_t k, pitot_preconditioner *view) {
    if (!o || i < 0 || i >= o->n || k < 0) return PITOT_EINVAL;
    optim_part *p = (optim_part *)&o->part[0];
    if (!p->method->view) return PITOT_ENOTSUP;
    renew_counts(p);
    if (p->s.tensor[i].t == 0) return PITOT_EORDER;
    *view = (pitot_preconditioner){ .struct_size = sizeof *view };
    return p->method->view(&p->s, i, k, view);
}

/* ---- evaluation ---- */

static void copy_parameters(const pitot_optim *o, int back) {
    const pitot_tensor_state *t = o->part[0].s.tensor;
    for (int64_t i = 0; i < o->n; i++) {
        pitot_real *kept = o->kept_x + t[i].at;
        memcpy(back ? t[i].x : kept, back ? kept : t[i].x, (size_t)t[i].size * sizeof *kept);
    }
}

int32_t pitot_optim_evaluate(pitot_optim *o, int32_t on) {
    if (!o->n) return PITOT_EORDER;
    if (!o->kept_x || !on == !o->evaluating) return PITOT_OK;
    o->evaluating = on != 0;
    copy_parameters(o, !on);
    for (int32_t k = o->n_parts - 1; on && k >= 0; k--)
        if (o->part[k].method->evaluate) {
            renew_counts(&o->part[k]);
            o->part[k].method->evaluate(&o->part[k].s);
            break;
        }
    return PITOT_OK;
}
