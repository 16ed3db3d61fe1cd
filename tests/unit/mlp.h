/* mlp.h: the net of the golden traces (4 -> 5 tanh -> 3, six samples) with an optimizer, and recorded draws in place of drawn ones. */

#ifndef PITOT_TESTS_MLP_H
#define PITOT_TESTS_MLP_H

#include "optim/core/optimizer.h"
#include "pitot/train.h"
#include "quadratics.h"

enum { MLP_N = 6, MLP_D = 43 };

typedef struct mlp {
    pitot_provided provided; /* first: the source's user */
    pitot_net *net;
    pitot_optim *optim;
    pitot_real x[MLP_N * 4], z[MLP_D];
    int32_t classes[MLP_N];
    int64_t steps;
    double loss;
} mlp;

static inline void mlp_backward(mlp *m, const int32_t *classes) {
    pitot_net_batch b = { .struct_size = sizeof b, .n = MLP_N, .x = m->x, .classes = classes, .training = 1 };
    assert_int_equal(pitot_net_forward(m->net, &b, &m->loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(m->net), PITOT_OK);
}

static inline void mlp_values(const mlp *m, int gradients, double *out) {
    const pitot_net_param *p = pitot_net_params(m->net);
    for (int64_t i = 0; i < pitot_net_param_count(m->net); i++)
        for (int64_t k = 0; k < p[i].size; k++) *out++ = (double)(gradients ? p[i].grad : p[i].data)[k];
}

/* H z of the recorded z: as the signs drawn only change signs, the same magnitudes. */
static inline int32_t recorded_product(void *user, const pitot_real *v, pitot_real *out) {
    mlp *m = user;
    (void)v;
    return pitot_net_hvp(m->net, m->z, out);
}

/* The gradient of the labels (n + steps made - 1) mod 3. */
static inline int32_t recorded_labels(void *user, uint64_t seed, pitot_real *out) {
    mlp *m = user;
    int32_t classes[MLP_N];
    double g[MLP_D];
    (void)seed;
    for (int n = 0; n < MLP_N; n++) classes[n] = (int32_t)((n + m->steps - 1) % 3);
    mlp_backward(m, classes);
    mlp_values(m, 1, g);
    for (int i = 0; i < MLP_D; i++) out[i] = (pitot_real)g[i];
    mlp_backward(m, m->classes);
    return PITOT_OK;
}

/* The optimizer not yet prepared. */
static inline void mlp_make(mlp *m, const cJSON *golden, const char *name, const char *const *set, int recorded) {
    const cJSON *data = cJSON_GetObjectItem(golden, "mlp"), *w = cJSON_GetObjectItem(data, "weights")->child;
    pitot_error error = { 0 };
    *m = (mlp){ .net = pitot_net_new("mlp", (const int64_t[]){ 4, 0 }, "cross_entropy", &error) };
    pitot_net_add(m->net, "linear", "fc1", NULL, "out_features=5", &error);
    pitot_net_add(m->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(m->net, "linear", "fc2", NULL, "out_features=3", &error);
    assert_int_equal(pitot_net_prepare(m->net, MLP_N, 1, &error), PITOT_OK);
    const pitot_net_param *p = pitot_net_params(m->net);
    for (int i = 0; i < 4; i++)
        for (int64_t k = 0; k < p[i].size; k++, w = w->next) p[i].data[k] = (pitot_real)w->valuedouble;
    for (int i = 0; i < MLP_N * 4; i++) m->x[i] = (pitot_real)cJSON_GetArrayItem(cJSON_GetObjectItem(data, "X"), i)->valuedouble;
    for (int i = 0; i < MLP_N; i++) m->classes[i] = cJSON_GetArrayItem(cJSON_GetObjectItem(data, "y"), i)->valueint;
    m->optim = pitot_optim_new(name, &error);
    if (!m->optim) fail_msg("%s", error.text);
    for (; set && *set; set += 2)
        if (pitot_optim_set(m->optim, set[0], set[1], &error)) fail_msg("%s", error.text);
    m->provided = (pitot_provided){ .struct_size = sizeof m->provided };
    assert_int_equal(pitot_provide(&m->provided, m->net, m->optim, &error), PITOT_OK);
    pitot_optim_source source = m->optim->source;
    if (recorded) source.hvp = recorded_product;
    if (recorded) source.drawn = recorded_labels;
    assert_int_equal(pitot_optim_offer(m->optim, &source), PITOT_OK);
}

static inline void mlp_prepare(mlp *m) {
    const pitot_net_param *p = pitot_net_params(m->net);
    pitot_error error = { 0 };
    pitot_optim_tensor list[4];
    for (int i = 0; i < 4; i++) {
        list[i] = (pitot_optim_tensor){ p[i].name, p[i].size, p[i].data, (const pitot_real *const *)&p[i].grad, { 0 } };
        memcpy(list[i].shape, p[i].shape, sizeof list[i].shape);
    }
    if (pitot_optim_prepare(m->optim, list, 4, 1, &error)) fail_msg("%s: %s", pitot_optim_method(m->optim)->name, error.text);
}

static inline void mlp_begin(mlp *m, const cJSON *golden, const char *name, const char *const *set, int recorded) {
    mlp_make(m, golden, name, set, recorded);
    mlp_prepare(m);
}

static inline int32_t mlp_step(mlp *m) {
    mlp_backward(m, m->classes);
    int32_t status = pitot_optim_step(m->optim);
    m->steps += !status;
    return status;
}

static inline void mlp_end(mlp *m) {
    pitot_optim_free(m->optim);
    pitot_provide_end(&m->provided);
    pitot_net_free(m->net);
}

#endif
