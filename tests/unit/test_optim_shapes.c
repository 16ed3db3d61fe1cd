/* Every method on its own, of those that want no layers: single tensors of every odd shape, gradients of 1e-30 to 1e30, every option at both ends
   of its range. Parameters stay finite, and ordinary gradients afterwards bring the function down again. */

#include "optim_settings.h"

#include "base/number.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LARGEST = 400, SAMPLES = 8 };

/* f = 1/2 sum h_i (x_i - 1)^2 */
typedef struct bowl {
    int64_t n;
    double scale; /* of gradients */
    pitot_real x[LARGEST], g[LARGEST];
    const pitot_real *at;
    pitot_optim *optim;
} bowl;

static double curvature(int64_t i) {
    return 0.5 + (double)(i % 5) / 4;
}

static double value_of(const bowl *b) {
    double value = 0;
    for (int64_t i = 0; i < b->n; i++) value += curvature(i) * ((double)b->x[i] - 1) * ((double)b->x[i] - 1) / 2;
    return value;
}

static void make_gradient(bowl *b) {
    for (int64_t i = 0; i < b->n; i++) b->g[i] = (pitot_real)(b->scale * curvature(i) * ((double)b->x[i] - 1));
}

/* ---- what it provides ---- */

static int32_t on_batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    *samples = SAMPLES;
    *columns = 1;
    *loss = value_of(user);
    return PITOT_OK;
}

static int32_t on_loss(void *user, double *loss) {
    const bowl *b = user;
    *loss = b->scale * value_of(b);
    return PITOT_OK;
}

static int32_t on_gradient(void *user, double *loss) {
    make_gradient(user);
    return on_loss(user, loss);
}

static int32_t on_product(void *user, const pitot_real *v, pitot_real *out) {
    const bowl *b = user;
    for (int64_t i = 0; i < b->n; i++) out[i] = (pitot_real)(b->scale * curvature(i) * (double)v[i]);
    return PITOT_OK;
}

static int32_t on_drawn(void *user, uint64_t seed, pitot_real *out) {
    const bowl *b = user;
    for (int64_t i = 0; i < b->n; i++) out[i] = (pitot_real)(b->scale * sqrt(curvature(i) / SAMPLES) * (seed % 2 ? 1 : -1));
    return PITOT_OK;
}

static int32_t on_squares(void *user, pitot_real *out) {
    const bowl *b = user;
    for (int64_t i = 0; i < b->n; i++) out[i] = b->g[i] * b->g[i] + 1;
    return PITOT_OK;
}

/* NULL: it wants layers, or does not take these options. */
static bowl *open_bowl(bowl *b, const char *name, const char *option, const char *text, const int64_t *shape, double start) {
    pitot_optim_tensor t = { "w", 1, b->x, &b->at, { 0 } };
    pitot_optim_source source = { .struct_size = sizeof source,
                                  .user = b,
                                  .batch = on_batch,
                                  .gradient = on_gradient,
                                  .loss = on_loss,
                                  .hvp = on_product,
                                  .ggnvp = on_product,
                                  .drawn = on_drawn,
                                  .squares = on_squares };
    for (int d = 0; d < PITOT_DIMS && shape[d]; d++) t.size *= t.shape[d] = shape[d];
    assert_true(t.size <= LARGEST);
    *b = (bowl){ .n = t.size, .scale = 1, .at = b->g, .optim = pitot_optim_new(name, NULL) };
    for (int64_t i = 0; i < b->n; i++) b->x[i] = (pitot_real)(start + 0.1 * (double)(i % 3));
    pitot_optim_plan(b->optim, 0, 3);
    pitot_error error = { 0 };
    int32_t status = option ? pitot_optim_set(b->optim, option, text, &error) : PITOT_OK;
    assert_int_equal(pitot_optim_offer(b->optim, &source), PITOT_OK);
    if (!status) status = pitot_optim_prepare(b->optim, &t, 1, 1, &error);
    if (!status) return b;
    if (!error.text[0]) fail_msg("%s: %s=%s: status %d and no word", name, option ? option : "", text ? text : "", status);
    pitot_optim_free(b->optim);
    return NULL;
}

static int32_t one_step(bowl *b) {
    make_gradient(b);
    return pitot_optim_step(b->optim);
}

static int is_finite(const bowl *b) {
    for (int64_t i = 0; i < b->n; i++)
        if (!isfinite((double)b->x[i])) return 0;
    return 1;
}

static int complaints;

#define complain(...) (complaints++, print_error(__VA_ARGS__), print_error("\n"))

static void end_of_test(void) {
    int n = complaints;
    complaints = 0;
    if (n) fail_msg("%d complaints", n);
}

/* ---- shapes ---- */

static const int64_t shapes[][PITOT_DIMS] = { { 1 },       { 1, 1 },       { 1, 7 },          { 7, 1 },  { 1, 1, 1, 1 },
                                              { 3, 1, 2 }, { 2, 3, 1, 1 }, { 1, 1, 3, 3 },    { 17 },    { 5, 3, 1, 1, 1 },
                                              { 33, 5 },   { 1, 300 },     { 2, 2, 2, 2, 2 }, { 13, 29 } };

static void test_shapes(void **state) {
    (void)state;
    static bowl b;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            if (!open_bowl(&b, (*m)->name, NULL, NULL, shapes[k], 3)) continue;
            double before = value_of(&b);
            for (int i = 0; i < 12; i++) {
                int32_t status = one_step(&b);
                if (status) complain("%s: shape %d: step %d: status %d", (*m)->name, (int)k, i + 1, status);
            }
            if (!is_finite(&b) || !(value_of(&b) < before))
                complain("%s: shape %d: from %g to %g", (*m)->name, (int)k, before, value_of(&b));
            pitot_optim_free(b.optim);
        }
    end_of_test();
}

/* ---- magnitudes ---- */

/* Which values the steps to come will move, without the gradients that are odd. */
static uint32_t moved_by(const char *name, int before, int after) {
    static bowl b;
    pitot_real x[LARGEST];
    uint32_t moved = 0;
    if (!open_bowl(&b, name, NULL, NULL, (const int64_t[PITOT_DIMS]){ 5, 3 }, 3)) return 0;
    for (int i = 0; i < before; i++) one_step(&b);
    memcpy(x, b.x, sizeof x);
    for (int i = 0; i < after; i++) one_step(&b);
    for (int64_t i = 0; i < b.n; i++) moved |= (uint32_t)(b.x[i] != x[i]) << i;
    pitot_optim_free(b.optim);
    return moved;
}

/* Squares of floats above 1e19 are not finite, those below 1e-23 are 0. An average of squares that has become infinite would hold its value for
   good. */
static void check_scale(const char *name, double scale, int before) {
    enum { AFTER = 10 };
    static bowl b;
    pitot_real x[LARGEST];
    const double too_large = sizeof(pitot_real) == 8 ? 1e150 : 1e20;
    uint32_t moved = 0, moves = moved_by(name, before, AFTER);
    if (!open_bowl(&b, name, NULL, NULL, (const int64_t[PITOT_DIMS]){ 5, 3 }, 3)) return;
    for (int i = 0; i < before; i++) one_step(&b);
    b.scale = scale;
    int32_t status = one_step(&b);
    if (status && status != PITOT_EHOST) complain("%s: gradients of %g: status %d", name, scale, status);
    if (!is_finite(&b)) complain("%s: gradients of %g: parameters are not finite", name, scale);
    b.scale = 1;
    memcpy(x, b.x, sizeof x);
    for (int i = 0; i < AFTER; i++) {
        status = one_step(&b);
        if (status) complain("%s: after gradients of %g: step %d: status %d", name, scale, i + 1, status);
    }
    for (int64_t i = 0; i < b.n; i++) moved |= (uint32_t)(b.x[i] != x[i]) << i;
    if (scale >= too_large && (moves & ~moved))
        complain("%s: after gradients of %g in step %d: values stand still", name, scale, before + 1);
    if (!is_finite(&b)) complain("%s: after gradients of %g: parameters are not finite", name, scale);
    pitot_optim_free(b.optim);
}

static void test_magnitudes(void **state) {
    (void)state;
    static const double scale[] = { 1e-30, 1e-38, 1e15, 1e18, 1e20, 1e30, 1e37, 1e160, 1e290 };
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++)
        for (size_t k = 0; k < sizeof scale / sizeof *scale; k++)
            for (int before = 0; before < 3 && scale[k] < (sizeof(pitot_real) == 8 ? INFINITY : 1e38); before += 2)
                check_scale((*m)->name, scale[k], before);
    end_of_test();
}

/* ---- options at the ends of their ranges ---- */

static void check_end(const char *name, const pitot_option *p, const char *text) {
    static bowl b;
    if (!open_bowl(&b, name, p->name, text, (const int64_t[PITOT_DIMS]){ 4, 3 }, 1.5)) return;
    for (int i = 0; i < 3; i++) {
        int32_t status = i < 2 || is_finite(&b) ? one_step(&b) : PITOT_EHOST;
        if (status && status != PITOT_EHOST) complain("%s: %s=%s: step %d: status %d", name, p->name, text, i + 1, status);
        if (!is_finite(&b)) complain("%s: %s=%s: step %d: parameters are not finite", name, p->name, text, i + 1);
    }
    pitot_optim_free(b.optim);
}

static void check_number(const char *name, const pitot_option *p, double value) {
    char text[NUMBER_ROOM * 4], number[NUMBER_ROOM];
    number_write(value, number);
    snprintf(text, sizeof text, "%s", number);
    for (int k = 1; k < p->count; k++) snprintf(text + strlen(text), sizeof text - strlen(text), ",%s", number);
    check_end(name, p, text);
}

static void check_choices(const char *name, const pitot_option *p) {
    char text[64];
    for (const char *at = p->choices; *at; at += *at == '|') {
        size_t n = strcspn(at, "|");
        snprintf(text, sizeof text, "%.*s", (int)n, at);
        check_end(name, p, text);
        at += n;
    }
}

static void test_ends(void **state) {
    (void)state;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++)
        for (const pitot_option *p = (*m)->options; p->name; p++) {
            if (p->kind == PITOT_CHOICE) check_choices((*m)->name, p);
            else if (p->kind == PITOT_BOOL) check_end((*m)->name, p, "true"), check_end((*m)->name, p, "false");
            else check_number((*m)->name, p, p->min), check_number((*m)->name, p, p->max);
        }
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_magnitudes),
                                        cmocka_unit_test(test_ends) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
