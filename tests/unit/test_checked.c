/* Every solver refuses an operator that gives one vector two products, and says what differs; takes one that stands still, for a product that it
   counts, or two where several vectors go by a call; and makes none of them where the operator is checked. The table of solvers is held
   against the headers. */

#include "pitot/curve.h"
#include "pitot/kron.h"
#include "pitot/precond.h"
#include "pitot/quadrature.h"
#include "pitot/solve.h"
#include "pitot/trace.h"

#include "operators.h"

enum { N = 40, K = 3, ROWS = 110, STEPS = 12, SPOT = 7 };

/* ---- an operator that may change ---- */

enum { STILL, DRIFTS, NOISY, SPOTTED, ALTERNATES };

typedef struct moving {
    int how;
    double by;     /* relative */
    int64_t calls; /* products */
    uint64_t drawn;
    int64_t nan_at; /* 0: never */
} moving;

static const double small = sizeof(pitot_real) == 8 ? 1e-11 : 1e-4;

static int32_t apply_moving(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    moving *m = self;
    for (int64_t j = 0; j < k; j++, x += N, y += N) {
        double along = 0, sum = 0;
        for (int i = 0; i < N; i++) along += 0.1 * (double)x[i], sum += fabs((double)x[i]);
        m->calls++;
        for (int i = 0; i < N; i++) {
            double value = (1 + i / 10.0) * (double)x[i] + 0.1 * along;
            if (m->how == DRIFTS) value *= 1 + m->by * (double)m->calls;
            if (m->how == NOISY) value += m->by * sum / N * gauss(&m->drawn);
            if (m->how == SPOTTED && i == SPOT) value += m->by * sum / N * (double)m->calls;
            y[i] = (pitot_real)value;
        }
        if (m->how == ALTERNATES && m->calls % 2 == 0) y[SPOT] = (pitot_real)((double)y[SPOT] + m->by * sum);
        if (m->calls == m->nan_at) y[SPOT] = NAN;
    }
    return PITOT_OK;
}

static pitot_linop operator_over(moving *m) {
    return (pitot_linop){
        .struct_size = sizeof(pitot_linop), .name = "moving", .n = N, .symmetric = 1, .exact = 1, .apply = apply_moving, .self = m
    };
}

/* ---- the solvers ---- */

typedef struct outcome {
    double value;     /* something that the result depends on */
    int64_t products; /* as reported; -1: not reported */
    pitot_error error;
} outcome;

static pitot_real work[ROWS * N], basis[K * N], right[K * N], found[K * N];

static pitot_lanczos lanczos_settings(outcome *o, int64_t vectors) {
    memset(basis, 0, sizeof basis);
    return (pitot_lanczos){ .struct_size = sizeof(pitot_lanczos),
                            .tolerance = 1e-3,
                            .products = 60,
                            .vectors = vectors,
                            .work = work,
                            .error = &o->error };
}

static int32_t extremes(const pitot_linop *op, outcome *o) {
    pitot_lanczos set = lanczos_settings(o, 12);
    pitot_extremes e = { .struct_size = sizeof e };
    int32_t status = pitot_lanczos_extremes(op, &set, basis, basis + N, &e);
    *o = (outcome){ e.largest.value + e.smallest.value, e.products, o->error };
    return status;
}

/* From vectors given: its first product is another. */
static int32_t extremes_warm(const pitot_linop *op, outcome *o) {
    pitot_lanczos set = lanczos_settings(o, 12);
    pitot_extremes e = { .struct_size = sizeof e };
    basis[N - 1] = 1;
    basis[N] = 1;
    int32_t status = pitot_lanczos_extremes(op, &set, basis, basis + N, &e);
    *o = (outcome){ e.largest.value + e.smallest.value, e.products, o->error };
    return status;
}

static int32_t pairs(const pitot_linop *op, outcome *o, int64_t vectors, int64_t products, int32_t top, int32_t bottom) {
    pitot_lanczos set = lanczos_settings(o, vectors);
    pitot_eigenpair pair[K];
    set.products = products;
    int32_t status = top && bottom ? pitot_lanczos_ends(op, &set, top, bottom, basis, pair, &o->products)
                     : top         ? pitot_lanczos_top(op, &set, top, basis, pair, &o->products)
                                   : pitot_lanczos_bottom(op, &set, bottom, basis, pair, &o->products);
    o->value = pair[0].value;
    return status;
}

static int32_t top_few(const pitot_linop *op, outcome *o) {
    return pairs(op, o, 12, 60, K, 0);
}

static int32_t top_many(const pitot_linop *op, outcome *o) {
    return pairs(op, o, ROWS, 60, K, 0);
}

static int32_t top_at_once(const pitot_linop *op, outcome *o) {
    return pairs(op, o, 12, 1, 1, 0);
}

static int32_t bottom(const pitot_linop *op, outcome *o) {
    return pairs(op, o, 12, 60, 0, K);
}

static int32_t ends(const pitot_linop *op, outcome *o) {
    return pairs(op, o, 12, 60, 2, 1);
}

static int32_t quadrature(const pitot_linop *op, outcome *o, int32_t kind, int32_t together) {
    double node[4 * STEPS], weight[4 * STEPS];
    int32_t used[4];
    pitot_quadrature q = { .struct_size = sizeof q, .node = node, .weight = weight, .used = used };
    pitot_quadrature_config c = {
        .struct_size = sizeof c, .steps = STEPS, .draws = 4, .reorthogonalise = kind, .together = together
    };
    c.work = work;
    assert_true(pitot_quadrature_vectors(&c) <= ROWS);
    int32_t status = pitot_quadrature_run(op, &c, &q, &o->error);
    *o = (outcome){ node[STEPS - 1], q.products, o->error };
    return status;
}

static int32_t quadrature_plain(const pitot_linop *op, outcome *o) {
    return quadrature(op, o, PITOT_REORTH_AUTO, 1);
}

static int32_t quadrature_semi(const pitot_linop *op, outcome *o) {
    return quadrature(op, o, PITOT_REORTH_SEMI, 1);
}

static int32_t quadrature_full(const pitot_linop *op, outcome *o) {
    return quadrature(op, o, PITOT_REORTH_FULL, 1);
}

static int32_t quadrature_together(const pitot_linop *op, outcome *o) {
    return quadrature(op, o, PITOT_REORTH_NONE, 3);
}

static int32_t draw(const pitot_linop *op, outcome *o, int which, int64_t vectors) {
    pitot_real *out = found, *spread = found + N;
    pitot_draws set = { .struct_size = sizeof set, .products = 18, .work = work, .vectors = vectors };
    pitot_estimate e = { .struct_size = sizeof e };
    int32_t status = which == 0   ? pitot_trace_hutchinson(op, &set, &e, &o->error)
                     : which == 1 ? pitot_trace_hutchpp(op, &set, &e, &o->error)
                     : which == 2 ? pitot_trace_xtrace(op, &set, &e, &o->error)
                     : which == 3 ? pitot_diagonal_hutchinson(op, &set, out, spread, &e, &o->error)
                                  : pitot_diagonal_xdiag(op, &set, out, spread, &e, &o->error);
    *o = (outcome){ e.value, e.products, o->error };
    return status;
}

static int32_t hutchinson(const pitot_linop *op, outcome *o) {
    return draw(op, o, 0, 2);
}

static int32_t hutchinson_together(const pitot_linop *op, outcome *o) {
    return draw(op, o, 0, 10);
}

static int32_t hutchpp(const pitot_linop *op, outcome *o) {
    return draw(op, o, 1, 18);
}

static int32_t xtrace(const pitot_linop *op, outcome *o) {
    return draw(op, o, 2, 18);
}

static int32_t diagonal_hutchinson(const pitot_linop *op, outcome *o) {
    return draw(op, o, 3, 2);
}

static int32_t diagonal_xdiag(const pitot_linop *op, outcome *o) {
    return draw(op, o, 4, 18);
}

static int32_t cg(const pitot_linop *op, const pitot_linop *preconditioner, outcome *o, int64_t k, int warm) {
    pitot_cg_column column[K];
    pitot_cg_config set = { .struct_size = sizeof set, .tolerance = 1e-2, .preconditioner = preconditioner, .work = work };
    for (int64_t i = 0; i < K * N; i++) right[i] = (pitot_real)(1 + i % 5), found[i] = (pitot_real)(warm && i >= N * (k - 1));
    int32_t status = pitot_cg(op, &set, k, right, found, column, &o->error);
    o->value = (double)found[0];
    o->products = 0;
    for (int64_t j = 0; j < k; j++) o->products += column[j].products;
    return status;
}

static int32_t cg_cold(const pitot_linop *op, outcome *o) {
    return cg(op, NULL, o, 1, 0);
}

static int32_t cg_warm(const pitot_linop *op, outcome *o) {
    return cg(op, NULL, o, 1, 1);
}

static int32_t cg_several(const pitot_linop *op, outcome *o) {
    return cg(op, NULL, o, K, 0);
}

/* Started from something in its last column alone: the others' first product is with zeros, which are the same under any operator. */
static int32_t cg_several_warm(const pitot_linop *op, outcome *o) {
    return cg(op, NULL, o, K, 1);
}

static int32_t apply_same(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    (void)self;
    memcpy(y, x, (size_t)(k * N) * sizeof *y);
    return PITOT_OK;
}

static int32_t cg_preconditioner(const pitot_linop *op, outcome *o) {
    pitot_linop same = { .struct_size = sizeof same, .n = N, .symmetric = 1, .apply = apply_same, .checked = 1 };
    int32_t status = cg(&same, op, o, K, 0);
    o->products = -1;
    return status;
}

static int32_t inverse_cg(const pitot_linop *op, outcome *o) {
    pitot_inverse_cg s;
    int32_t status = pitot_inverse_cg_init(&s, op, 1e-2, 0, work);
    for (int64_t i = 0; i < 2 * N; i++) right[i] = (pitot_real)(i < N ? 0 : 1 + i % 5); /* nothing to be seen in the first column */
    if (!status) status = s.op.apply(s.op.self, right, found, 2);
    *o = (outcome){ (double)found[N], s.solved.products, o->error };
    return status;
}

static int32_t inverse_neumann(const pitot_linop *op, outcome *o) {
    pitot_inverse_neumann s;
    int32_t status = pitot_inverse_neumann_init(&s, op, 0.3, 10, 1e-2, work);
    for (int64_t i = 0; i < 2 * N; i++) right[i] = (pitot_real)(i < N ? 0 : 1 + i % 5);
    if (!status) status = s.op.apply(s.op.self, right, found, 2);
    *o = (outcome){ (double)found[N], s.solved.products, o->error };
    return status;
}

static int32_t spectral(const pitot_linop *op, outcome *o) {
    pitot_spectral s = { .power = 1 };
    int32_t status = pitot_spectral_init(&s, op, 1, 0, &o->error);
    *o = (outcome){ status ? 0 : s.value[N - 1], -1, o->error };
    if (!status) pitot_spectral_free(&s);
    return status;
}

static const struct solver {
    const char *what, *function;
    int32_t (*run)(const pitot_linop *op, outcome *o);
    int64_t more; /* products with an operator that is not checked */
    int silent;   /* 1: there is no place for a message */
} solvers[] = {
    { "extremes", "pitot_lanczos_extremes", extremes, 1, 0 },
    { "extremes, warm", "pitot_lanczos_extremes", extremes_warm, 1, 0 },
    { "top, few vectors", "pitot_lanczos_top", top_few, 1, 0 },
    { "top, many vectors", "pitot_lanczos_top", top_many, 1, 0 },
    { "top, one product", "pitot_lanczos_top", top_at_once, 1, 0 },
    { "bottom", "pitot_lanczos_bottom", bottom, 1, 0 },
    { "ends", "pitot_lanczos_ends", ends, 1, 0 },
    { "quadrature", "pitot_quadrature_run", quadrature_plain, 1, 0 },
    { "quadrature, semi-orthogonal", "pitot_quadrature_run", quadrature_semi, 1, 0 },
    { "quadrature, orthogonal", "pitot_quadrature_run", quadrature_full, 1, 0 },
    { "quadrature, together", "pitot_quadrature_run", quadrature_together, 2, 0 },
    { "hutchinson", "pitot_trace_hutchinson", hutchinson, 1, 0 },
    { "hutchinson, together", "pitot_trace_hutchinson", hutchinson_together, 2, 0 },
    { "hutch++", "pitot_trace_hutchpp", hutchpp, 1, 0 },
    { "xtrace", "pitot_trace_xtrace", xtrace, 2, 0 },
    { "diagonal, hutchinson", "pitot_diagonal_hutchinson", diagonal_hutchinson, 1, 0 },
    { "diagonal, xdiag", "pitot_diagonal_xdiag", diagonal_xdiag, 2, 0 },
    { "cg", "pitot_cg", cg_cold, 1, 0 },
    { "cg, warm", "pitot_cg", cg_warm, 1, 0 },
    { "cg, several", "pitot_cg", cg_several, 2, 0 },
    { "cg, several, warm", "pitot_cg", cg_several_warm, 2, 0 },
    { "cg, preconditioner", "pitot_cg", cg_preconditioner, 2, 0 },
    { "inverse_cg", "pitot_inverse_cg_init", inverse_cg, 1, 1 },
    { "inverse_neumann", "pitot_inverse_neumann_init", inverse_neumann, 1, 1 },
    { "spectral", "pitot_spectral_init", spectral, 2, 0 },
};

enum { SOLVERS = sizeof solvers / sizeof *solvers };

/* ---- what they do ---- */

static void test_refused(void **state) {
    (void)state;
    for (int s = 0; s < SOLVERS; s++)
        for (int how = DRIFTS; how <= ALTERNATES; how++) {
            moving m = { .how = how, .by = small };
            pitot_linop op = operator_over(&m);
            outcome o = { 0 };
            int32_t status = solvers[s].run(&op, &o);
            if (status != PITOT_EMISMATCH) fail_msg("%s, operator %d: status %d", solvers[s].what, how, (int)status);
            if (solvers[s].silent) continue;
            const char *text = o.error.text;
            if (o.error.status != PITOT_EMISMATCH || !strstr(text, "moving: two products with one vector differ in ") ||
                !strstr(text, "dropout") || !strstr(text, "random numbers"))
                fail_msg("%s, operator %d: \"%s\"", solvers[s].what, how, text);
            if (how >= SPOTTED && !strstr(text, " 1 of 40 values, first in value 7, most in value 7, there by "))
                fail_msg("%s, operator %d: \"%s\"", solvers[s].what, how, text);
        }
}

/* Products cost what the header says, are counted, and change no bit of the result. */
static void test_accepted(void **state) {
    (void)state;
    for (int s = 0; s < SOLVERS; s++) {
        moving m = { 0 }, n = { 0 };
        pitot_linop op = operator_over(&m), sure = operator_over(&n);
        outcome o = { 0 }, p = { 0 };
        sure.checked = 1;
        int32_t status = solvers[s].run(&op, &o), other = solvers[s].run(&sure, &p);
        if (status || other) fail_msg("%s: status %d, %d: %s", solvers[s].what, (int)status, (int)other, o.error.text);
        if (m.calls != n.calls + solvers[s].more)
            fail_msg("%s: %d products, %d if checked", solvers[s].what, (int)m.calls, (int)n.calls);
        if (o.products >= 0 && (o.products != m.calls || p.products != n.calls))
            fail_msg("%s: says %d and %d products, made %d and %d", solvers[s].what, (int)o.products, (int)p.products, (int)m.calls,
                     (int)n.calls);
        if (memcmp(&o.value, &p.value, sizeof o.value) != 0)
            fail_msg("%s: %.17g, checked %.17g", solvers[s].what, o.value, p.value);
    }
}

/* By its own account it is no better; the struct of a host that was built before there was `checked`; a product that is NaN once. */
static void test_borders(void **state) {
    (void)state;
    for (int s = 0; s < SOLVERS; s++) {
        moving m = { .how = ALTERNATES, .by = small };
        pitot_linop op = operator_over(&m);
        outcome o = { 0 };
        op.error = 100 * small;
        int32_t status = solvers[s].run(&op, &o);
        if (status) fail_msg("%s: an error that is owned up to: status %d, %s", solvers[s].what, (int)status, o.error.text);
        m = (moving){ .how = DRIFTS, .by = small };
        op = operator_over(&m);
        op.checked = 1;
        op.struct_size = offsetof(pitot_linop, checked);
        status = solvers[s].run(&op, &o);
        if (status != PITOT_EMISMATCH) fail_msg("%s: before `checked`: status %d", solvers[s].what, (int)status);
        m = (moving){ .nan_at = 2 };
        op = operator_over(&m);
        memset(&o, 0, sizeof o);
        status = solvers[s].run(&op, &o);
        if (status != PITOT_EHOST && (status != PITOT_EMISMATCH || solvers[s].more == 1))
            fail_msg("%s: NaN in the second product: status %d", solvers[s].what, (int)status);
    }
}

/* ---- who is checked from the start ---- */

static void test_inherited(void **state) {
    (void)state;
    moving m = { 0 };
    pitot_real room[2 * N], root[N];
    int64_t index[] = { 1, 5, 9 };
    for (int is = 0; is <= 1; is++) {
        pitot_linop a = operator_over(&m), other = operator_over(&m);
        pitot_damped damped;
        pitot_combined sum;
        pitot_submatrix part;
        pitot_scaled scaled;
        pitot_inverse_cg inverse;
        pitot_inverse_neumann series;
        a.checked = is;
        other.checked = 1;
        assert_int_equal(pitot_damped_init(&damped, &a, 1), PITOT_OK);
        assert_int_equal(pitot_combined_init(&sum, 1, &other, 2, &a, room), PITOT_OK);
        assert_int_equal(pitot_submatrix_init(&part, &a, index, 3, room), PITOT_OK);
        pitot_scaled_init(&scaled, &a, root, room);
        assert_int_equal(pitot_inverse_cg_init(&inverse, &a, 1e-3, 0, work), PITOT_OK);
        assert_int_equal(pitot_inverse_neumann_init(&series, &a, 0.1, 3, 1e-3, work), PITOT_OK);
        assert_true(damped.op.checked == is && sum.op.checked == is && part.op.checked == is && scaled.op.checked == is);
        assert_true(inverse.op.checked == is && series.op.checked == is);
    }
}

/* An inverse's inner operator is checked once, however many calls and columns there are. */
static void test_inverse_checks_once(void **state) {
    (void)state;
    moving m = { 0 };
    pitot_linop op = operator_over(&m);
    pitot_inverse_neumann s;
    pitot_inverse_cg c;
    for (int64_t i = 0; i < 2 * N; i++) right[i] = 1;
    assert_int_equal(pitot_inverse_neumann_init(&s, &op, 0.3, 4, 1e-2, work), PITOT_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(s.op.apply(s.op.self, right, found, 2), PITOT_OK);
    assert_true(m.calls == 3 * 2 * 5 + 1 && s.op.checked);
    m.calls = 0;
    assert_int_equal(pitot_inverse_cg_init(&c, &op, 1e-2, 4, work), PITOT_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(c.op.apply(c.op.self, right, found, 2), PITOT_OK);
    int64_t unchecked = m.calls;
    m.calls = 0;
    for (int i = 0; i < 3; i++) assert_int_equal(c.op.apply(c.op.self, right, found, 2), PITOT_OK);
    assert_true(c.op.checked && unchecked == m.calls + 1);
}

/* ---- none is missing ---- */

static const char *const headers[] = { "solve.h", "quadrature.h", "trace.h", "curve.h", "precond.h", "kron.h" };

/* Those that take an operator and make no product, or are the check. */
static const char *const others[] = { "pitot_scaled_init",    "pitot_damped_init",      "pitot_combined_init",
                                      "pitot_submatrix_init", "pitot_precond_operator", "pitot_linop_check" };

static int is_known(const char *name) {
    for (int i = 0; i < SOLVERS; i++)
        if (strcmp(solvers[i].function, name) == 0) return 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i], name) == 0) return 1;
    return 0;
}

/* Declarations with a parameter `const pitot_linop *` of one header. */
static int count_in(const char *path) {
    static char text[200000];
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("%s is not there; run from the project's folder", path);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_true(length < sizeof text - 1);
    text[length] = 0;
    int seen = 0;
    for (char *at = strstr(text, "PITOT_API "); at; at = strstr(at, "PITOT_API ")) {
        char *end = strchr(at, ';'), *open = strchr(at, '(');
        assert_true(end && open);
        *end = *open = 0;
        int takes = strstr(open + 1, "const pitot_linop *") != NULL;
        char *name = strrchr(at, ' ') + 1;
        name += *name == '*';
        if (takes && !is_known(name)) fail_msg("%s: %s takes an operator and is not in the table of solvers", path, name);
        seen += takes;
        at = end + 1;
    }
    return seen;
}

static void test_none_is_missing(void **state) {
    (void)state;
    int seen = 0;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char path[64];
        snprintf(path, sizeof path, "include/pitot/%s", headers[i]);
        seen += count_in(path);
    }
    assert_true(seen >= 18); /* of those there were when this was written: the search finds them */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_inverse_checks_once),
        cmocka_unit_test(test_none_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
