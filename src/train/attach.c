/* attach.c: the hooks around a pitot_net. What a host writes for its own engine, written once for ours. */

#include "base/alloc.h"
#include "net/net.h"
#include "pitot/optim.h"
#include "pitot/train.h"
#include "pitot/vivit.h"

#include <math.h>
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

static int32_t make_diagonal(const pitot_attached *a, pitot_call *call) {
    if (!call->factor || call->per_sample || call->most_factors < a->net->n_params)
        return pitot_net_diagonal(a->net, call->diagonal, call->draws, call->seed, call->per_sample, call->out, NULL);
    int32_t status =
        diagonal_factored(a->net, call->diagonal, call->draws, call->seed, call->out, call->factor, &call->n_factors, NULL);
    for (int64_t i = 0; i < call->n_factors; i++) call->factor[i].weight += a->first - 1;
    return status;
}

static void diagonal(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    call->gradients = pitot_net_diagonal_cost(a->net, call->diagonal, call->draws);
    call->status = !(call->gradients > 0) ? PITOT_EINVAL : call->out ? make_diagonal(a, call) : PITOT_OK;
}

/* What cannot be had of values that are not finite is NaN: that is no failure of the callback's. */
static int32_t all_nan(pitot_ggn_spectrum *q, int64_t size) {
    double *const lists[] = { q->top, q->gamma_mean, q->gamma_snr, q->lambda_mean, q->lambda_snr };
    q->trace = NAN;
    for (int64_t i = 0; q->value && i < q->n; i++) q->value[i] = NAN;
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (int64_t i = 0; i < q->k; i++) lists[l][i] = NAN;
    for (int64_t i = 0; i < q->k * size; i++) q->vectors[i] = 0;
    return PITOT_OK;
}

static int32_t fill_spectrum(pitot_vivit *v, pitot_ggn_spectrum *q, double *gram_vectors) {
    pitot_vivit_derivatives d = { .struct_size = sizeof d,
                                  .gamma_mean = q->gamma_mean,
                                  .gamma_snr = q->gamma_snr,
                                  .lambda_mean = q->lambda_mean,
                                  .lambda_snr = q->lambda_snr };
    int32_t status = pitot_vivit_trace(v, 0, &q->trace, NULL);
    if (!status && q->value) status = pitot_vivit_eigenvalues(v, 0, q->value, NULL);
    if (!status && q->k) status = pitot_vivit_top(v, 0, q->k, q->top, gram_vectors, NULL);
    if (!status && q->k) status = pitot_vivit_vectors(v, 0, q->k, gram_vectors, q->vectors, NULL);
    return !status && q->k ? pitot_vivit_derive(v, 0, q->k, q->top, gram_vectors, &d, NULL) : status;
}

static int64_t columns_a_sample(const pitot_net *net, const pitot_ggn_spectrum *q) {
    return q->draws ? q->draws : net->node[net->n_nodes - 1].out.size - net->loss->less;
}

static int32_t make_spectrum(pitot_net *net, pitot_ggn_spectrum *q) {
    int64_t *sample = mem_alloc(q->samples, sizeof *sample);
    double *gram_vectors = mem_alloc(q->k, (size_t)q->n * sizeof *gram_vectors);
    pitot_vivit_config c = { .struct_size = sizeof c, .net = net, .draws = q->draws, .seed = q->seed };
    pitot_error error = { 0 };
    for (int64_t i = 0; sample && i < q->samples; i++) sample[i] = i;
    if (q->samples) c.ggn_samples = sample, c.n_ggn = q->samples;
    pitot_vivit *v = sample && gram_vectors ? pitot_vivit_new(&c, &error) : NULL;
    int32_t status = v ? fill_spectrum(v, q, gram_vectors) : error.status ? error.status : PITOT_ENOMEM;
    pitot_vivit_free(v);
    mem_free(sample);
    mem_free(gram_vectors);
    return status == PITOT_EHOST ? all_nan(q, net->size) : status;
}

static void ggn_spectrum(void *user, pitot_call *call) {
    const pitot_attached *a = user;
    pitot_ggn_spectrum *q = call->spectrum;
    if (q->samples > a->net->last.n) q->samples = a->net->last.n;
    q->n = (q->samples ? q->samples : a->net->last.n) * columns_a_sample(a->net, q);
    if (q->k > q->n) q->k = q->n;
    call->status = q->top ? make_spectrum(a->net, q) : PITOT_OK;
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
                                                        .jvp = jvp, .vjp = vjp, .diagonal = diagonal, .ggn_spectrum = ggn_spectrum,
                                                        .untouched = 1 });
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

/* What the optimizer multiplies its updates by, as its last update left it. Update u of t was made in the step t - u + 1 before this one. */
static void show_preconditioner(const pitot_attached *a) {
    pitot_preconditioner p;
    if (!a->optim || !(pitot_due(a->run) & PITOT_DUE_PRECONDITIONER)) return;
    for (int64_t i = 0; i < pitot_net_param_count(a->net); i++)
        for (int32_t k = 0; pitot_optim_view(a->optim, i, k, &p) == PITOT_OK; k++) {
            if (p.diagonal) continue;
            p.param = a->first + (int32_t)i;
            p.bias += p.bias > 0 ? a->first - 1 : 0;
            if (p.axis >= 0 || p.computed > 0) p.computed += pitot_step(a->run) - pitot_optim_steps(a->optim) - 1;
            pitot_add_preconditioner(a->run, &p);
        }
}

int32_t pitot_attached_backward(const pitot_attached *a) {
    show_preconditioner(a);
    if (a->untouched && a->optim && pitot_optim_is_plain(a->optim)) pitot_plain_update(a->run);
    if (pitot_due(a->run) & PITOT_DUE_CAPTURES) {
        pitot_capture c;
        int32_t status = PITOT_OK;
        int again = a->optim && pitot_optim_wants(a->optim) & (PITOT_WANTS_GRADIENT | PITOT_WANTS_LOSS | PITOT_WANTS_DATA);
        for (int64_t i = 0; status == PITOT_OK || status == PITOT_ENOTSUP; i++) {
            status = pitot_net_capture(a->net, i, &c);
            if (status) continue; /* no gradient reaches this one, or there are no more */
            c.weight += c.weight ? a->first - 1 : 0;
            c.bias += c.bias ? a->first - 1 : 0;
            if (again) c.flags |= PITOT_COPY;
            pitot_add_capture(a->run, &c);
        }
    }
    return pitot_after_backward(a->run);
}
