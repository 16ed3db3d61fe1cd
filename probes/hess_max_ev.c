/* hess_max_ev.c: largest and smallest eigenvalue of the Hessian of the mini-batch loss, by sign, from a Lanczos iteration that goes on
   from the eigenvectors of the step tracked before. Of a mini-batch, not of the data set: on average the largest is larger than there.

   From one mini-batch to another the Hessian may have changed so much that both ends take tens of products; a tracked step then stops at
   `warm` of them, says by its residuals how far it came, and the next goes on from there. */

#include "pitot/probe.h"

typedef struct options {
    double tolerance;
    int64_t products, warm;
} options;

typedef struct state {
    int64_t started; /* 1: there are eigenvectors to go on from */
} state;

static const pitot_option table[] = {
    { "tolerance", PITOT_REAL, 1, offsetof(options, tolerance), "0.01", 1e-12, 1, NULL, "",
      "residual of both eigenpairs, as a share of the largest magnitude" },
    { "products", PITOT_INT, 1, offsetof(options, products), "100", 4, 100000, NULL, "", "most products with the Hessian" },
    { "warm", PITOT_INT, 1, offsetof(options, warm), "0", 0, 100000, NULL, "",
      "most products where an earlier step is gone on from; 0: 8, or `products` if a tolerance below 0.01 is asked for" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "largest eigenvalue of the Hessian", NULL },
    { "min", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "smallest eigenvalue of the Hessian", NULL },
    { "residual", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "|H u - theta u| of the largest", NULL },
    { "min_residual", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "|H u - theta u| of the smallest", NULL },
    { "products", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "products with the Hessian", NULL },
    { "product_error", PITOT_SCALAR, PITOT_NOT_DRAWN, "",
      "relative error of a product, where differences of gradients stand for it", NULL },
    { 0 },
};

enum { TOP, BOTTOM, PAIR, BASIS = 20 }; /* vectors of D values */

static int64_t most_products(const options *o, const state *s) {
    int64_t warm = o->warm ? o->warm : o->tolerance < 0.01 ? o->products : 8;
    return s->started && warm < o->products ? warm : o->products;
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    state *s = f->state;
    pitot_real *pair = f->work;
    pitot_lanczos how = { .struct_size = sizeof how,
                          .tolerance = o->tolerance,
                          .products = most_products(o, s),
                          .vectors = BASIS,
                          .work = f->work + PAIR * f->size,
                          .seed = (uint64_t)(pitot_random(f, 0) * 0x1p53),
                          .step = (uint64_t)f->step };
    pitot_extremes e = { .struct_size = sizeof e };
    pitot_gather_state(f, 0, PAIR, pair);
    int32_t status = pitot_lanczos_extremes(f->hessian, &how, pair + TOP * f->size, pair + BOTTOM * f->size, &e);
    if (status == PITOT_EHOST) return pitot_undefined(f, "a product with the Hessian failed or is not finite"), PITOT_OK;
    if (status) return status;
    pitot_scatter_state(f, 0, PAIR, pair);
    s->started = 1;
    pitot_emit(f, "", e.largest.value);
    pitot_emit(f, "min", e.smallest.value);
    pitot_emit(f, "residual", e.largest.residual);
    pitot_emit(f, "min_residual", e.smallest.residual);
    pitot_emit(f, "products", (double)e.products);
    if (!f->hessian->exact) pitot_emit(f, "product_error", f->hessian->error);
    return PITOT_OK;
}

const pitot_probe pitot_probe_hess_max_ev = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_HESSIAN,
    .presets = PITOT_FULL,
    .spans = 1,
    .name = "hess_max_ev",
    .summary = "largest and smallest eigenvalue of the Hessian, with their residuals and the products they took",
    .paper = "Lanczos 1950; Wu, Simon 2000, SIAM J. Matrix Anal. Appl. 22 (thick restart); Schneider, Dangel, Hennig 2021, arXiv "
             "2102.06604",
    .formula = "max and min of u'Hu over |u| = 1",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(state),
    .tensor_state = PAIR,
    .work_vectors = BASIS + PAIR,
    .outputs = outputs,
    .backward = backward,
};
