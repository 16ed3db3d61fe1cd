/* L-BFGS against the dense BFGS recursion, and what it owes on quadratics and along curved valleys.

   reference cases: lbfgs */

#include "quadratics.h"

#include "base/random.h"

#include <omp.h>

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-10, minimum = 1e-9;
#else
static const double tolerance = 2e-4, minimum = 1e-5; /* differences of rounded gradients; condition below 100 */
#endif

/* H = B'B + 1/2 I from draws, condition below 100. */
static quadratic drawn_quadratic(int n) {
    quadratic q = { .n = n };
    double b[MOST * MOST];
    for (int i = 0; i < n * n; i++) b[i] = random_uniform(3, 3, 1, (uint64_t)i) - 0.5;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            q.h[i * n + j] = i == j ? 0.5 : 0;
            for (int k = 0; k < n; k++) q.h[i * n + j] += b[k * n + i] * b[k * n + j];
        }
        q.b[i] = random_uniform(3, 3, 2, (uint64_t)i);
        q.x[i] = (pitot_real)(4 * random_uniform(3, 3, 3, (uint64_t)i) - 2);
    }
    return q;
}

/* ---- the recursion ---- */

/* h = (I - r s y') h (I - r y s') + r s s', r = 1/s'y */
static void bfgs(int n, double *h, const double *s, const double *y) {
    double hy[MOST] = { 0 }, sy = 0, yhy = 0;
    for (int i = 0; i < n; i++) {
        sy += s[i] * y[i];
        for (int j = 0; j < n; j++) hy[i] += h[i * n + j] * y[j];
    }
    for (int i = 0; i < n; i++) yhy += y[i] * hy[i];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) h[i * n + j] += (1 + yhy / sy) * s[i] * s[j] / sy - (hy[i] * s[j] + s[i] * hy[j]) / sy;
}

typedef struct pairs {
    int n;
    double s[40][MOST], y[40][MOST];
} pairs;

/* -H g with H from the last m pairs, from gamma I */
static void dense_direction(const pairs *p, int made, int m, const double *g, double *d) {
    double h[MOST * MOST] = { 0 }, sy = 0, yy = 0;
    for (int i = 0; i < p->n && made; i++) {
        sy += p->s[made - 1][i] * p->y[made - 1][i];
        yy += p->y[made - 1][i] * p->y[made - 1][i];
    }
    for (int i = 0; i < p->n; i++) h[i * p->n + i] = made ? sy / yy : 1;
    for (int k = made > m ? made - m : 0; k < made; k++) bfgs(p->n, h, p->s[k], p->y[k]);
    for (int i = 0; i < p->n; i++) {
        d[i] = 0;
        for (int j = 0; j < p->n; j++) d[i] -= h[i * p->n + j] * g[j];
    }
}

/* Steps of a fixed length, memory of 3: more pairs than it holds. */
static void test_recursion(void **state) {
    (void)state;
    enum { N = 6, STEPS = 8 };
    quadratic q = drawn_quadratic(N);
    pairs p = { .n = N };
    double x[N], g[N], d[MOST];
    for (int i = 0; i < N; i++) x[i] = (double)q.x[i];
    quadratic_begin(&q, "lbfgs", (const char *const[]){ "line_search", "none", "lr", "0.5", "history_size", "3", NULL });
    for (int t = 0; t < STEPS; t++) {
        double sum = 0;
        for (int i = 0; i < N; i++) {
            g[i] = -q.b[i];
            for (int j = 0; j < N; j++) g[i] += q.h[i * N + j] * x[j];
            sum += fabs(g[i]);
        }
        dense_direction(&p, t, 3, g, d);
        double a = t ? 0.5 : 0.5 / fmax(1, sum);
        for (int i = 0; i < N; i++) {
            p.s[t][i] = a * d[i];
            x[i] += a * d[i];
            p.y[t][i] = 0;
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) p.y[t][i] += q.h[i * N + j] * p.s[t][j];
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        for (int i = 0; i < N; i++)
            if (!(fabs((double)q.x[i] - x[i]) <= tolerance * (1 + fabs(x[i]))))
                fail_msg("step %d, value %d: %.17g, the recursion has %.17g", t + 1, i, (double)q.x[i], x[i]);
    }
    assert_int_equal(q.gradients, STEPS);
    quadratic_end(&q);
}

/* ---- quadratics ---- */

static double slope_left(quadratic *q) {
    double most = 0;
    quadratic_gradient(q);
    for (int64_t i = 0; i < q->n; i++) most = fmax(most, fabs((double)q->g[i]));
    return most;
}

/* With searches that are all but exact, n steps are enough for n variables, and one fewer is not. */
static void test_termination(void **state) {
    (void)state;
    enum { N = 7 };
    quadratic q = drawn_quadratic(N);
    double before = 0;
    quadratic_begin(&q, "lbfgs", (const char *const[]){ "c2", "1e-9", "c1", "0", "max_eval", "60", NULL });
    for (int t = 0; t < N; t++) {
        before = slope_left(&q);
        assert_int_equal(quadratic_step(&q), PITOT_OK);
    }
    if (!(slope_left(&q) <= minimum && before > 100 * minimum))
        fail_msg("after n steps the slope is %g, before the last %g", slope_left(&q), before);
    quadratic_end(&q);
}

/* ---- a curved valley ---- */

typedef struct valley { /* Rosenbrock: (1-x)^2 + 100 (y-x^2)^2 */
    pitot_real x[2], g[2];
    int wall; /* 1: no values for x > 0.5 */
    int made;
} valley;

static double valley_loss(const valley *v) {
    double x = (double)v->x[0], y = (double)v->x[1];
    return v->wall && x > 0.5 ? NAN : (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x);
}

static int32_t valley_gradient(void *user, double *loss) {
    valley *v = user;
    double x = (double)v->x[0], y = (double)v->x[1];
    v->made++;
    v->g[0] = (pitot_real)(-2 * (1 - x) - 400 * x * (y - x * x));
    v->g[1] = (pitot_real)(200 * (y - x * x));
    if (v->wall && x > 0.5) v->g[0] = NAN;
    *loss = valley_loss(v);
    return PITOT_OK;
}

static int32_t valley_value(void *user, double *loss) {
    *loss = valley_loss(user);
    return PITOT_OK;
}

static pitot_optim *valley_optim(valley *v, const pitot_real **at) {
    pitot_optim *o = pitot_optim_new("lbfgs", NULL);
    pitot_optim_source source = { .struct_size = sizeof source, .user = v, .gradient = valley_gradient, .loss = valley_value };
    pitot_optim_tensor tensors[2] = { { "x", 1, &v->x[0], &at[0], { 0 } }, { "y", 1, &v->x[1], &at[1], { 0 } } };
    at[0] = &v->g[0];
    at[1] = &v->g[1];
    pitot_optim_offer(o, &source);
    assert_int_equal(pitot_optim_prepare(o, tensors, 2, 1, NULL), PITOT_OK);
    return o;
}

/* Each step satisfies both conditions, with c1 = 1e-4 and c2 = 0.9; the valley's end is reached in 60 steps. */
static void test_valley(void **state) {
    (void)state;
    valley v = { .x = { (pitot_real)-1.2, 1 } };
    const pitot_real *at[2];
    pitot_optim *o = valley_optim(&v, at);
    const double slack = sizeof(pitot_real) == 8 ? 1e-12 : 1e-4; /* rounding of the parameters, times slopes of hundreds */
    for (int t = 0; t < 60; t++) {
        double loss, after, ignored, x[2] = { (double)v.x[0], (double)v.x[1] };
        valley_gradient(&v, &loss);
        double g[2] = { (double)v.g[0], (double)v.g[1] };
        if (loss < (sizeof(pitot_real) == 8 ? 1e-16 : 1e-8)) break;
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        double s[2] = { (double)v.x[0] - x[0], (double)v.x[1] - x[1] };
        valley_gradient(&v, &after);
        double slope = g[0] * s[0] + g[1] * s[1], then = (double)v.g[0] * s[0] + (double)v.g[1] * s[1];
        assert_true(slope < 0);
        if (!(after <= loss + 1e-4 * slope + slack) || !(fabs(then) <= -0.9 * slope + slack))
            fail_msg("step %d: losses %g, %g, slopes %g, %g", t, loss, after, slope, then);
        valley_gradient(&v, &ignored);
    }
    if (!(fabs((double)v.x[0] - 1) < (sizeof(pitot_real) == 8 ? 1e-7 : 1e-3))) fail_msg("stopped at %g", (double)v.x[0]);
    pitot_optim_free(o);
}

/* Points without values are too far: the search comes back from them, and x stays on this side. */
static void test_wall(void **state) {
    (void)state;
    valley v = { .x = { (pitot_real)-1.2, 1 }, .wall = 1 };
    const pitot_real *at[2];
    double first, last;
    pitot_optim *o = valley_optim(&v, at);
    valley_gradient(&v, &first);
    for (int t = 0; t < 40; t++) {
        valley_gradient(&v, &last);
        assert_true(isfinite(last));
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    assert_true(last < first / 10);
    pitot_optim_free(o);
}

/* A tensor without a gradient stays; the other goes on. */
static void test_left_out(void **state) {
    (void)state;
    valley v = { .x = { (pitot_real)-1.2, 1 } };
    const pitot_real *at[2];
    double loss;
    pitot_optim *o = valley_optim(&v, at);
    for (int t = 0; t < 6; t++) {
        pitot_real y = v.x[1], x = v.x[0];
        at[1] = t % 2 ? NULL : &v.g[1];
        valley_gradient(&v, &loss);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        assert_true(v.x[0] != x);
        if (t % 2) assert_memory_equal(&v.x[1], &y, sizeof y);
    }
    pitot_optim_free(o);
}

/* A memory that cannot be, as of a damaged file, is none: the first step along the gradient again. */
static void test_impossible_memory(void **state) {
    (void)state;
    static const double odd[][2] = { { 5, 0 }, { -1, 0 }, { 1, 4 }, { 1, -1 }, { NAN, 0 }, { 1, NAN }, { 1e300, 1e300 } };
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        quadratic q = drawn_quadratic(6), fresh = drawn_quadratic(6);
        pitot_optim_array a;
        quadratic_begin(&q, "lbfgs", (const char *const[]){ "history_size", "4", NULL });
        quadratic_begin(&fresh, "lbfgs", (const char *const[]){ "history_size", "4", NULL });
        for (int64_t j = 0; pitot_optim_state(q.optim, j, &a) == PITOT_OK; j++)
            if (strcmp(a.name, ":memory") == 0) memcpy(a.data, odd[k], sizeof odd[k]);
        for (int t = 0; t < 3; t++) {
            assert_int_equal(quadratic_step(&q), PITOT_OK);
            assert_int_equal(quadratic_step(&fresh), PITOT_OK);
        }
        assert_memory_equal(q.x, fresh.x, sizeof q.x);
        quadratic_end(&q);
        quadratic_end(&fresh);
    }
}

/* ---- threads ---- */

enum { LARGE = 140000 };

typedef struct bowl { /* sum of h x^2/2 - x, h from 1 to 2 */
    pitot_real x[LARGE], g[LARGE];
} bowl;

static int32_t bowl_gradient(void *user, double *loss) {
    bowl *b = user;
    *loss = 0;
    for (int i = 0; i < LARGE; i++) {
        double h = 1 + (double)i / LARGE, x = (double)b->x[i];
        b->g[i] = (pitot_real)(h * x - 1);
        *loss += (h * x / 2 - 1) * x / LARGE;
    }
    for (int i = 0; i < LARGE; i++) b->g[i] /= LARGE;
    return PITOT_OK;
}

static void run_bowl(bowl *b, int threads) {
    const pitot_real *at = b->g;
    double loss;
    pitot_optim *o = pitot_optim_new("lbfgs", NULL);
    pitot_optim_source source = { .struct_size = sizeof source, .user = b, .gradient = bowl_gradient, .loss = bowl_gradient };
    pitot_optim_tensor tensor = { "w", LARGE, b->x, &at, { 0 } };
    pitot_optim_offer(o, &source);
    omp_set_num_threads(threads);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, threads, NULL), PITOT_OK);
    for (int t = 0; t < 4; t++) {
        bowl_gradient(b, &loss);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    pitot_optim_free(o);
}

/* More values than sums in one thread: the same bits on one thread and on three. */
static void test_threads(void **state) {
    (void)state;
    bowl *one = mem_alloc(1, sizeof *one), *three = mem_alloc(1, sizeof *three);
    run_bowl(one, 1);
    run_bowl(three, 3);
    assert_true(one->x[7] != 0);
    assert_memory_equal(one->x, three->x, sizeof one->x);
    mem_free(one);
    mem_free(three);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recursion), cmocka_unit_test(test_termination), cmocka_unit_test(test_valley),
        cmocka_unit_test(test_wall),      cmocka_unit_test(test_left_out),    cmocka_unit_test(test_impossible_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
