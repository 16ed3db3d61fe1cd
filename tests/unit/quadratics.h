/* quadratics.h: f(x) = x'Hx/2 - b'x with H written out, and all that an optimizer may want of it (pitot_optim_source). */

#ifndef PITOT_TESTS_QUADRATICS_H
#define PITOT_TESTS_QUADRATICS_H

#include "golden.h"

#include "base/number.h"
#include "pitot/optim.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 24 };

typedef struct quadratic {
    int64_t n;
    double h[MOST * MOST], b[MOST];
    pitot_real x[MOST], g[MOST];
    const pitot_real *at;
    int gradients, losses, products;
    double squares[MOST]; /* what `squares` answers */
    pitot_real drawn[MOST];
    int fail_at; /* gradients: that one, from 1, fails */
    pitot_optim *optim;
} quadratic;

/* ---- the function ---- */

static inline double quadratic_value(const quadratic *q) {
    double value = 0;
    for (int64_t i = 0; i < q->n; i++) {
        double row = 0;
        for (int64_t j = 0; j < q->n; j++) row += q->h[i * q->n + j] * (double)q->x[j];
        value += (row / 2 - q->b[i]) * (double)q->x[i];
    }
    return value;
}

static inline void quadratic_gradient(quadratic *q) {
    for (int64_t i = 0; i < q->n; i++) {
        double row = -q->b[i];
        for (int64_t j = 0; j < q->n; j++) row += q->h[i * q->n + j] * (double)q->x[j];
        q->g[i] = (pitot_real)row;
    }
}

/* ---- the source ---- */

static inline int32_t source_gradient(void *user, double *loss) {
    quadratic *q = user;
    if (++q->gradients == q->fail_at) return PITOT_EHOST;
    quadratic_gradient(q);
    *loss = quadratic_value(q);
    return PITOT_OK;
}

static inline int32_t source_loss(void *user, double *loss) {
    quadratic *q = user;
    q->losses++;
    *loss = quadratic_value(q);
    return PITOT_OK;
}

static inline int32_t source_product(void *user, const pitot_real *v, pitot_real *out) {
    quadratic *q = user;
    q->products++;
    for (int64_t i = 0; i < q->n; i++) {
        double row = 0;
        for (int64_t j = 0; j < q->n; j++) row += q->h[i * q->n + j] * (double)v[j];
        out[i] = (pitot_real)row;
    }
    return PITOT_OK;
}

static inline int32_t source_squares(void *user, pitot_real *out) {
    const quadratic *q = user;
    for (int64_t i = 0; i < q->n; i++) out[i] = (pitot_real)q->squares[i];
    return PITOT_OK;
}

static inline int32_t source_drawn(void *user, uint64_t seed, pitot_real *out) {
    const quadratic *q = user;
    (void)seed;
    memcpy(out, q->drawn, (size_t)q->n * sizeof *out);
    return PITOT_OK;
}

static inline int32_t source_batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    const quadratic *q = user;
    *samples = 4;
    *columns = 1;
    *loss = quadratic_value(q);
    return PITOT_OK;
}

/* ---- an optimizer on it ---- */

static inline void quadratic_source(quadratic *q, pitot_optim_source *source) {
    *source = (pitot_optim_source){ .struct_size = sizeof *source, .user = q };
    source->gradient = source_gradient;
    source->loss = source_loss;
    source->hvp = source->ggnvp = source_product;
    source->squares = source_squares;
    source->drawn = source_drawn;
    source->batch = source_batch;
    q->at = q->g;
}

/* x has that shape, or with {0} none. */
static inline void quadratic_begin_shaped(quadratic *q, const char *name, const char *const *set, const int64_t shape[4]) {
    pitot_error error = { 0 };
    pitot_optim_source source;
    quadratic_source(q, &source);
    q->optim = pitot_optim_new(name, &error);
    if (!q->optim) fail_msg("%s", error.text);
    for (; set && *set; set += 2)
        if (pitot_optim_set(q->optim, set[0], set[1], &error)) fail_msg("%s", error.text);
    pitot_optim_tensor tensor = { "w", q->n, q->x, &q->at, { shape[0], shape[1], shape[2], shape[3] } };
    assert_int_equal(pitot_optim_offer(q->optim, &source), PITOT_OK);
    if (pitot_optim_prepare(q->optim, &tensor, 1, 1, &error)) fail_msg("%s: %s", name, error.text);
}

static inline void quadratic_begin(quadratic *q, const char *name, const char *const *set) {
    quadratic_begin_shaped(q, name, set, (const int64_t[4]){ 0 });
}

static inline int32_t quadratic_step(quadratic *q) {
    quadratic_gradient(q);
    return pitot_optim_step(q->optim);
}

static inline void quadratic_end(quadratic *q) {
    pitot_optim_free(q->optim);
    q->optim = NULL;
}

/* (3x0^2 + x1^2)/2 + x0x1 from (1,-2) */
static inline quadratic problem_a(void) {
    return (quadratic){ .n = 2, .h = { 3, 1, 1, 1 }, .x = { 1, -2 } };
}

/* ---- golden files ---- */

enum { SET_ROOM = 32 };

typedef struct set_list { /* hyperparams as options */
    char text[SET_ROOM][64];
    const char *set[SET_ROOM + 1];
} set_list;

/* Of {OPTION: VALUE, ..} */
static inline void list_options(const cJSON *object, set_list *out) {
    char number[NUMBER_ROOM];
    int n = 0;
    for (const cJSON *h = object->child; h; h = h->next, n += 2) {
        assert_true(n < SET_ROOM);
        size_t used = 0;
        if (cJSON_IsBool(h)) snprintf(out->text[n], sizeof out->text[n], "%s", cJSON_IsTrue(h) ? "true" : "false");
        if (cJSON_IsString(h)) snprintf(out->text[n], sizeof out->text[n], "%s", h->valuestring);
        for (const cJSON *v = cJSON_IsArray(h)    ? h->child
                              : cJSON_IsNumber(h) ? h
                                                  : NULL;
             v; v = cJSON_IsArray(h) ? v->next : NULL) {
            number_write(v->valuedouble, number);
            used += (size_t)snprintf(out->text[n] + used, sizeof out->text[n] - used, "%s%s", used ? "," : "", number);
        }
        out->set[n] = h->string;
        out->set[n + 1] = out->text[n];
    }
    out->set[n] = NULL;
}

static inline void golden_options(const cJSON *trace, set_list *out) {
    list_options(cJSON_GetObjectItem(trace, "hyperparams"), out);
}

#endif
