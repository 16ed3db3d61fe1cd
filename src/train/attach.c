/* attach.c: the hooks around a pitot_net. What a host writes for its own engine, written once for ours. */

#include "net/net.h"
#include "pitot/optim.h"
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

/* The last batch with the parameters as they stand now. */
static void forward(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    const pitot_net_batch last = a->net->last;
    call->status = last.n ? pitot_net_forward(a->net, &last, &call->loss) : PITOT_EORDER;
    call->output = pitot_net_output(a->net);
}

static void diagonal(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    call->gradients = pitot_net_diagonal_cost(a->net, call->diagonal, call->draws);
    call->status = !(call->gradients > 0) ? PITOT_EINVAL
                   : !call->out
                       ? PITOT_OK
                       : pitot_net_diagonal(a->net, call->diagonal, call->draws, call->seed, call->per_sample, call->out, NULL);
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
    return pitot_set_callbacks(run, &(pitot_callbacks){ sizeof(pitot_callbacks), .user = a, .hvp = hvp, .forward = forward,
                                                        .jvp = jvp, .vjp = vjp, .diagonal = diagonal, .untouched = 1 });
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
                      .ids = batch->ids,
                      .output = pitot_net_output(a->net),
                      .target = batch->classes ? (const void *)batch->classes : batch->targets,
                      .c = f.output,
                      .loss_kind = kind_of(f.loss) };
    return pitot_after_forward(a->run, &b);
}

/* What the optimizer multiplies its updates by, as its last update left it. */
static void show_preconditioner(const pitot_attached *a) {
    pitot_preconditioner p;
    if (!a->optim || !(pitot_due(a->run) & PITOT_DUE_PRECONDITIONER)) return;
    for (int64_t i = 0; i < pitot_net_param_count(a->net); i++) {
        if (pitot_optim_view(a->optim, i, &p)) continue;
        p.param = a->first + (int32_t)i;
        pitot_add_preconditioner(a->run, &p);
    }
}

int32_t pitot_attached_backward(const pitot_attached *a) {
    show_preconditioner(a);
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
