/* hess_spectrum.c: spectral density of the Hessian of the mini-batch loss by stochastic Lanczos quadrature: nodes and weights that stand for
   all D eigenvalues, and what follows from them. With f any function, tr f(H) is about D sum_k weight[k] f(node[k]); polynomials up to
   degree 2 steps - 1 are exact but for the random vectors. Blurs and bins are left to whoever draws it.

   The largest and the smallest node are inside of the spectrum, and close to its ends only where `steps` suffice: hess_max_ev says how
   close it comes. */

#include "pitot/probe.h"

typedef struct options {
    int64_t steps, draws;
} options;

enum { MOST_STEPS = 512, MOST_DRAWS = 64 };

static const pitot_option table[] = {
    { "steps", PITOT_INT, 1, offsetof(options, steps), "32", 2, MOST_STEPS, NULL, "", "Lanczos steps of each draw" },
    { "draws", PITOT_INT, 1, offsetof(options, draws), "2", 1, MOST_DRAWS, NULL, "", "random vectors" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "trace of the Hessian, by random vectors", NULL },
    { "stderr", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "standard error of the trace", NULL },
    { "max", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "largest node", NULL },
    { "min", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "smallest node", NULL },
    { "negative_mass", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "share of the eigenvalues below 0", NULL },
    { "parameters", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "eigenvalues in all", NULL },
    { "products", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "products with the Hessian", NULL },
    { "nodes", PITOT_LIST, PITOT_SYMLOG_AXIS, "", "nodes of the spectral density, draw by draw, ascending", NULL },
    { "weights", PITOT_LIST, PITOT_NOT_DRAWN, "", "shares of the eigenvalues that they stand for; sum 1", NULL },
    { 0 },
};

static pitot_quadrature_config config_of(const options *o) {
    return (pitot_quadrature_config){ .struct_size = sizeof(pitot_quadrature_config),
                                      .steps = (int32_t)o->steps,
                                      .draws = (int32_t)o->draws };
}

static void room(const void *chosen, int32_t *tensor_state, int32_t *work_vectors) {
    pitot_quadrature_config c = config_of(chosen);
    *tensor_state = 0;
    *work_vectors = (int32_t)pitot_quadrature_vectors(&c);
}

/* Lists without gaps, weights over the number of draws; the ends of the nodes. */
static void emit_nodes(const pitot_frame *f, const pitot_quadrature *q, double *node, double *weight) {
    int64_t n = 0;
    for (int64_t i = 0; i < q->draws; i++)
        for (int64_t k = 0; k < q->used[i]; k++, n++) {
            node[n] = q->node[i * q->steps + k];
            weight[n] = q->weight[i * q->steps + k] / q->draws;
        }
    double least = node[0], most = node[0];
    for (int64_t i = 1; i < n; i++) {
        if (node[i] < least) least = node[i];
        if (node[i] > most) most = node[i];
    }
    pitot_emit(f, "max", most);
    pitot_emit(f, "min", least);
    pitot_emit_list(f, "nodes", node, n);
    pitot_emit_list(f, "weights", weight, n);
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    int32_t used[MOST_DRAWS];
    int64_t all = o->draws * o->steps;
    double *node = pitot_scratch(f, 2 * all), error;
    if (!node) return PITOT_EBUDGET;
    pitot_quadrature_config c = config_of(o);
    pitot_quadrature q = { .struct_size = sizeof q, .node = node, .weight = node + all, .used = used };
    c.work = f->work;
    c.seed = (uint64_t)(pitot_random(f, 0) * 0x1p53);
    int32_t status = pitot_quadrature_run(f->hessian, &c, &q, NULL);
    if (status == PITOT_EHOST) return pitot_undefined(f, "a product with the Hessian failed or is not finite"), PITOT_OK;
    if (status) return status;
    pitot_emit(f, "", pitot_quadrature_trace(&q, &error));
    if (q.draws > 1) pitot_emit(f, "stderr", error);
    pitot_emit(f, "negative_mass", pitot_quadrature_negative_mass(&q, NULL));
    pitot_emit(f, "parameters", (double)f->size);
    pitot_emit(f, "products", (double)q.products);
    emit_nodes(f, &q, node, node + all);
    return PITOT_OK;
}

const pitot_probe pitot_probe_hess_spectrum = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_HESSIAN,
    .presets = 0,
    .spans = 1,
    .name = "hess_spectrum",
    .summary = "spectral density of the Hessian: nodes and weights, trace, share of negative eigenvalues",
    .paper = "Ubaru, Chen, Saad 2017, SIAM J. Matrix Anal. Appl. 38; Ghorbani, Krishnan, Xiao 2019, arXiv 1901.10159",
    .formula = "tr f(H) ~ D sum_k w_k f(t_k), t and w eigenvalues and squared first components of Lanczos' tridiagonal matrix",
    .options_size = sizeof(options),
    .options = table,
    .room = room,
    .outputs = outputs,
    .backward = backward,
};
