/* attach.c: the hooks around a pitot_net. What a host writes for its own engine, written once for ours. */

#include "pitot/train.h"

#include <string.h>

static void hvp(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    call->status = pitot_net_hvp(a->net, call->v, call->out);
}

static void jvp(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    call->status = pitot_net_jvp(a->net, call->v, call->out);
}

static void vjp(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    call->in_out = 1;
    call->status = pitot_net_vjp(a->net, call->v, call->out);
}

int32_t pitot_attach(pitot_attached *a, pitot_net *net, pitot_run *run) {
    *a = (pitot_attached){ .struct_size = sizeof *a, .net = net, .run = run };
    for (int64_t i = 0; i < pitot_net_param_count(net); i++) {
        const pitot_net_param *p = &pitot_net_params(net)[i];
        pitot_param q = { .struct_size = sizeof q, .name = p->name, .data = p->data, .grad = p->grad };
        memcpy(q.shape, p->shape, sizeof q.shape);
        int32_t id = pitot_add_param(run, &q);
        if (id < 0) return id;
        if (i == 0) a->first = id;
        if (id != a->first + i) return PITOT_EMISMATCH; /* the run knows some of these names already */
    }
    return pitot_set_callbacks(run, &(pitot_callbacks){ sizeof(pitot_callbacks), .user = a, .hvp = hvp, .jvp = jvp, .vjp = vjp });
}

static int32_t kind_of(const char *loss) {
    if (strcmp(loss, "cross_entropy") == 0) return PITOT_CROSS_ENTROPY;
    if (strcmp(loss, "mse") == 0) return PITOT_MEAN_SQUARED_ERROR;
    return strcmp(loss, "bce_with_logits") == 0 ? PITOT_BINARY_CROSS_ENTROPY : PITOT_LOSS_UNKNOWN;
}

int32_t pitot_attached_forward(const pitot_attached *a, const pitot_net_batch *batch, double loss) {
    pitot_net_facts f;
    if (!pitot_due(a->run)) return PITOT_OK;
    pitot_net_get_facts(a->net, &f);
    pitot_batch b = { .struct_size = sizeof b,
                      .n = batch->n,
                      .loss = loss,
                      .losses = pitot_net_losses(a->net),
                      .output = pitot_net_output(a->net),
                      .target = batch->classes ? (const void *)batch->classes : batch->targets,
                      .c = f.output,
                      .loss_kind = kind_of(f.loss) };
    return pitot_after_forward(a->run, &b);
}

int32_t pitot_attached_backward(const pitot_attached *a) {
    if (pitot_due(a->run) & PITOT_DUE_CAPTURES) {
        pitot_capture c;
        int32_t status = PITOT_OK;
        for (int64_t i = 0; status == PITOT_OK || status == PITOT_ENOTSUP; i++) {
            status = pitot_net_capture(a->net, i, &c);
            if (status) continue; /* no gradient reaches this one, or there are no more */
            c.weight += c.weight ? a->first - 1 : 0;
            c.bias += c.bias ? a->first - 1 : 0;
            pitot_add_capture(a->run, &c);
        }
    }
    return pitot_after_backward(a->run);
}
