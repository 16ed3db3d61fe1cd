/* Levels 2, 3 and P: what probes get from the host's callbacks, beside dense matrices; over parameters of every type and place, losses,
   reductions, micro-batches; preconditioners; what is asked for, and when. What hosts break is in test_promises.c. */

#include "smooth.h"

#include <lapacke.h>

enum {
    GRAD = 1 << CALL_GRAD,
    HVP = 1 << CALL_HVP,
    FORWARD = 1 << CALL_FORWARD,
    JVP = 1 << CALL_JVP,
    VJP = 1 << CALL_VJP,
    ROOT = 1 << CALL_ROOT
};

static const int is_double = sizeof(pitot_real) == 8;

/* Exact products are rounded to pitot_real, and the dense matrix is good to 1e-11. Differences of gradients kept to a unit u lose it
   twice: best at about u^(2/3), 4e-11 and 3e-5, and a factor for the search of the step, which takes the best of ten. */
static double exact_off(void) {
    return is_double ? 1e-10 : 4e-7;
}

static double difference_off(int32_t dtype) {
    return dtype == PITOT_F64 && is_double ? 1e-8 : 2e-3;
}

/* ---- eigenvalues ---- */

static void extremes_of(const double *dense, double *least, double *most) {
    double a[D_ALL * D_ALL], value[D_ALL];
    memcpy(a, dense, sizeof a);
    for (int i = 0; i < D_ALL; i++)
        for (int j = 0; j < i; j++) a[i * D_ALL + j] = a[j * D_ALL + i] = 0.5 * (a[i * D_ALL + j] + a[j * D_ALL + i]);
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', D_ALL, a, D_ALL, value), 0);
    *least = value[0];
    *most = value[D_ALL - 1];
}

static void check_eigenvalues(int differences, int32_t kind) {
    static double dense[D_ALL * D_ALL];
    static host h;
    double least, most, wanted = is_double ? 1e-7 : 1e-3;
    host_start(&h);
    h.p.kind = kind;
    h.offers = differences ? GRAD : HVP;
    host_open(&h, NULL, "hess_max_ev", is_double ? "hess_max_ev.tolerance=1e-7" : "hess_max_ev.tolerance=1e-3");
    for (int64_t step = 0; step < 6; step++) {
        assert_true(host_step(&h, step) & PITOT_DUE_CALLBACKS);
        dense_hessian(&h.p, h.home, h.from, h.to, dense);
        extremes_of(dense, &least, &most);
        double scale = fmax(fabs(least), fabs(most)), product = exact_off();
        if (differences) {
            product = value_of(h.run, "hess_max_ev.product_error");
            assert_true(product > 0 && product < difference_off(ARRAY_REAL));
        } else assert_int_equal(step_of(h.run, "hess_max_ev.product_error"), -1);
        double bound = 10 * product * scale + 1e-10; /* beyond the residual, the products' own error */
        double top = value_of(h.run, "hess_max_ev"), bottom = value_of(h.run, "hess_max_ev.min");
        double first = value_of(h.run, "hess_max_ev.residual"), second = value_of(h.run, "hess_max_ev.min_residual");
        assert_true(first <= wanted * scale + bound && second <= wanted * scale + bound);
        if (!(fabs(top - most) <= first + bound)) fail_msg("largest %.12g, not %.12g", top, most);
        if (!(fabs(bottom - least) <= second + bound)) fail_msg("smallest %.12g, not %.12g", bottom, least);
        assert_true(value_of(h.run, "hess_max_ev.products") <= 40);
        assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_OK);
    }
    assert_int_equal(health_of(h.run).errors, 0);
    assert_as_alone(&h, 6);
    pitot_close(h.run, PITOT_DONE);
}

static void test_eigenvalues(void **state) {
    (void)state;
    for (int differences = 0; differences < 2; differences++) {
        check_eigenvalues(differences, PITOT_CROSS_ENTROPY);
        check_eigenvalues(differences, PITOT_MEAN_SQUARED_ERROR);
    }
}

/* What differences say of their own error is what it is, within a factor of 10. */
static void test_product_error(void **state) {
    (void)state;
    static double dense[D_ALL * D_ALL];
    static host h;
    host_start(&h);
    h.offers = GRAD;
    columns_wanted = 1; /* the error is of the first product at a point */
    host_open(&h, NULL, "t_dense_hessian", NULL);
    for (int64_t step = 0; step < 12; step++) {
        double off = 0, length = 0;
        host_step(&h, step);
        dense_hessian(&h.p, h.home, h.from, h.to, dense);
        for (int i = 0; i < D_ALL; i++) {
            double is = dense[i * D_ALL], d = dense_seen[i * D_ALL] - is;
            off += d * d;
            length += is * is;
        }
        double is = sqrt(off / length);
        assert_false(exact_seen);
        assert_true(error_seen < difference_off(ARRAY_REAL) && is < difference_off(ARRAY_REAL));
        if (!(error_seen > is / 10 && error_seen < 10 * is)) fail_msg("%g is said, %g it is", error_seen, is);
    }
    columns_wanted = D_ALL;
    pitot_close(h.run, PITOT_DONE);
}

/* ---- memory of every kind ---- */

typedef struct variant {
    const char *name;
    int32_t dtype, grad_dtype, reduction;
    int strided, stacked, by_address, moving, carried, frozen;
    double grad_scale, loss_scale;
} variant;

static const variant variants[] = {
    { "plain", 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1 },
    { "strided", 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1 },
    { "stacked", 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1 },
    { "strided, stacked, by address", 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1 },
    { "F64", PITOT_F64, PITOT_F64, 0, 0, 0, 0, 0, 0, 0, 1, 1 },
    { "F32", PITOT_F32, PITOT_F32, 0, 0, 0, 0, 0, 0, 0, 1, 1 },
    { "F64 with gradients in F32", PITOT_F64, PITOT_F32, 0, 1, 0, 0, 0, 0, 0, 1, 1 },
    { "F32 with gradients in F64", PITOT_F32, PITOT_F64, 0, 0, 0, 1, 0, 0, 0, 1, 1 },
    { "moving gradients", 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1 },
    { "moving gradients by address", 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1 },
    { "moving gradients, stacked, F64", PITOT_F64, PITOT_F64, 0, 0, 1, 0, 1, 0, 0, 1, 1 },
    { "carried", 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1 },
    { "carried, strided, moving", 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1 },
    { "descent directions", 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 1 },
    { "scaled", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.25, 512 },
    { "scaled, carried, descent", 0, 0, 0, 0, 0, 0, 0, 1, 0, -2, 8 },
    { "a sum", 0, 0, PITOT_SUM, 0, 0, 0, 0, 0, 0, 1, 1 },
    { "terms", 0, 0, PITOT_MEAN_TERMS, 0, 0, 0, 0, 0, 0, -1, 4 },
    { "first tensor frozen", 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 },
    { "frozen within a stack", 0, 0, 0, 1, 0, 1, 1, 0, 6, 1, 1 },
};

static void start_variant(host *h, const variant *v) {
    host_start(h);
    if (v->dtype) h->dtype = v->dtype, h->grad_dtype = v->grad_dtype;
    h->strided = v->strided, h->stacked = v->stacked, h->by_address = v->by_address, h->moving = v->moving;
    h->carried = v->carried, h->frozen = v->frozen, h->p.reduction = v->reduction, h->p.weighted = v->reduction != PITOT_SUM;
    h->grad_scale = v->grad_scale, h->loss_scale = v->loss_scale;
}

/* The probe's columns beside the dense matrix of the step's last micro-batch. */
static void check_dense(const host *h, void (*dense_of)(const problem *, const double *, int, int, double *), double most,
                        const char *name) {
    static double dense[D_ALL * D_ALL];
    dense_of(&h->p, h->home, h->from, h->to, dense);
    double off = dense_apart(h, dense);
    if (!(off <= most)) fail_msg("%s: off by %g", name, off);
    for (int i = 0; i < D_ALL; i++) dense_seen[i * (D_ALL + 1)] = NAN; /* the next step must fill it anew */
}

static void check_variant(const variant *v, uint32_t offers) {
    static host h;
    start_variant(&h, v);
    h.offers = offers;
    h.in_out = v->strided;
    host_open(&h, NULL, "t_early, t_dense_hessian, t_dense_ggn, t_late, t_other", NULL);
    for (int64_t step = 0; step < 4; step++) {
        host_step(&h, step);
        if (state_of(h.run, "t_dense_hessian") != PITOT_STATE_OK)
            fail_msg("%s, %x: %s; %s", v->name, offers, why_of(h.run, "t_dense_hessian"), pitot_last_error(h.run));
        if (state_of(h.run, "t_dense_ggn") != PITOT_STATE_OK)
            fail_msg("%s, %x: %s; %s", v->name, offers, why_of(h.run, "t_dense_ggn"), pitot_last_error(h.run));
        if (value_of(h.run, "t_early") != value_of(h.run, "t_late"))
            fail_msg("%s, %x: a probe behind the callbacks sees moved parameters", v->name, offers);
        if (value_of(h.run, "t_early.grad") != value_of(h.run, "t_late.grad"))
            fail_msg("%s, %x: a probe behind the callbacks sees another gradient", v->name, offers);
        if (value_of(h.run, "t_early.losses") != value_of(h.run, "t_other.losses"))
            fail_msg("%s, %x: a probe behind the callbacks sees other losses", v->name, offers);
    }
    assert_int_equal(h.away, 0);
    assert_string_equal(pitot_last_error(h.run), "");
    assert_as_alone(&h, 4);
    pitot_close(h.run, PITOT_DONE);
}

/* The Hessian alone, for its values. */
static void check_variant_hessian(const variant *v, uint32_t offers) {
    static host h;
    int32_t worse = v->dtype == PITOT_F32 || v->grad_dtype == PITOT_F32 ? PITOT_F32 : ARRAY_REAL;
    start_variant(&h, v);
    h.offers = offers;
    host_open(&h, NULL, "t_dense_hessian", NULL);
    for (int64_t step = 0; step < 4; step++) {
        host_step(&h, step);
        if (state_of(h.run, "t_dense_hessian") != PITOT_STATE_OK)
            fail_msg("%s, %x: %s; %s", v->name, offers, why_of(h.run, "t_dense_hessian"), pitot_last_error(h.run));
        check_dense(&h, dense_hessian, offers & HVP ? exact_off() : difference_off(worse), v->name);
        assert_int_equal(exact_seen, (offers & HVP) != 0);
        assert_int_equal(h.last_calls, (offers & HVP) == 0);
        assert_int_equal(h.calls_after_last, 0);
    }
    assert_string_equal(pitot_last_error(h.run), "");
    assert_as_alone(&h, 4);
    pitot_close(h.run, PITOT_DONE);
}

static void test_memory(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        check_variant_hessian(&variants[i], GRAD);
        check_variant_hessian(&variants[i], HVP | GRAD);
        check_variant(&variants[i], GRAD | FORWARD | VJP);
        check_variant(&variants[i], GRAD | JVP | VJP);
        check_variant(&variants[i], HVP | JVP | VJP);
    }
}

/* Parameters of 16 bits cannot be moved by small steps: said, and exact products go on. */
static void test_half_precision(void **state) {
    (void)state;
    static host h;
    host_start(&h);
    h.offers = GRAD | HVP;
    host_open(&h, NULL, "hess_max_ev", NULL);
    pitot_param p = {
        .struct_size = sizeof p, .name = "half", .data = h.output, .grad = h.output, .shape = { 2 }, .dtype = PITOT_F16
    };
    assert_int_equal(pitot_add_param(h.run, &p), 5);
    host_half(&h, 0, &(int){ 0 });
    assert_true(h.calls[CALL_HVP] > 0 && h.calls[CALL_GRAD] == 0);
    h.offers = GRAD;
    host_offer(&h);
    host_half(&h, 1, &(int){ 0 });
    assert_int_equal(h.calls[CALL_GRAD], 0);
    assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_LEVEL);
    assert_non_null(strstr(why_of(h.run, "hess_max_ev"), "16 bits"));
    p.dtype = PITOT_F64; /* would not fit into what was kept of it */
    assert_int_equal(pitot_add_param(h.run, &p), PITOT_EMISMATCH);
    p.dtype = PITOT_F16, p.grad_dtype = PITOT_F32;
    assert_int_equal(pitot_add_param(h.run, &p), PITOT_EMISMATCH);
    p.grad_dtype = 0;
    assert_int_equal(pitot_add_param(h.run, &p), 5);
    pitot_close(h.run, PITOT_DONE);
}

/* ---- the generalised Gauss-Newton matrix ---- */

static void check_ggn(int32_t kind, int32_t reduction, int t, int weighted, int padded, uint32_t offers, int in_out) {
    static host h;
    char name[100];
    snprintf(name, sizeof name, "loss %d, reduction %d, t %d, weights %d, padded %d, callbacks %x, in_out %d", kind, reduction, t,
             weighted, padded, offers, in_out);
    host_start(&h);
    h.p.kind = kind, h.p.reduction = reduction, h.p.t = t, h.p.weighted = weighted, h.padded = padded;
    h.offers = offers, h.in_out = in_out, h.rooted = (offers & ROOT) != 0;
    h.carried = t == 2, h.grad_scale = padded ? -1 : 1;
    if (weighted) h.p.x[3][0] = NAN; /* a term of weight 0 whose outputs are nonsense */
    host_open(&h, NULL, "t_dense_ggn", NULL);
    for (int64_t step = 0; step < 3; step++) {
        assert_int_equal(host_step(&h, step) & (PITOT_DUE_CALLBACKS | PITOT_DUE_OUTPUT), PITOT_DUE_CALLBACKS | PITOT_DUE_OUTPUT);
        if (state_of(h.run, "t_dense_ggn") != PITOT_STATE_OK) fail_msg("%s: %s", name, why_of(h.run, "t_dense_ggn"));
        assert_int_equal(exact_seen, (offers & JVP) != 0);
        /* differences of outputs in float: 6e-8 of the outputs over a step of 3e-3, and as much from a third derivative */
        check_dense(&h, dense_ggn, offers & JVP ? exact_off() * 2 : is_double ? 1e-8 : 1e-3, name);
        assert_int_equal(h.last_calls, (offers & JVP) == 0);
        assert_int_equal(h.wrong_inside, 0);
        assert_int_equal(h.away, 0);
    }
    assert_string_equal(pitot_last_error(h.run), "");
    assert_as_alone(&h, 3);
    pitot_close(h.run, PITOT_DONE);
}

static void test_ggn(void **state) {
    (void)state;
    for (int32_t kind = PITOT_CROSS_ENTROPY; kind <= PITOT_BINARY_CROSS_ENTROPY; kind++)
        for (int32_t reduction = PITOT_MEAN; reduction <= PITOT_SUM; reduction++)
            for (int i = 0; i < 8; i++) {
                int t = 1 + (i & 1), weighted = i >> 1 & 1, padded = i >> 2 & 1;
                check_ggn(kind, reduction, t, weighted, padded, JVP | VJP, i & 1);
                check_ggn(kind, reduction, t, weighted, padded, FORWARD | VJP, !(i & 1));
            }
}

static void test_hessian_root(void **state) {
    (void)state;
    static const int32_t kinds[] = { PITOT_CROSS_ENTROPY, PITOT_HALF_SQUARED_ERROR };
    for (int i = 0; i < 2; i++)
        for (int32_t reduction = PITOT_MEAN; reduction <= PITOT_SUM; reduction++) {
            check_ggn(kinds[i], reduction, 2, 0, 0, JVP | VJP | ROOT, 1);
            check_ggn(kinds[i], reduction, 1, 0, 1, FORWARD | VJP | ROOT, 0);
        }
}

/* Exact and differenced products in one step: outputs of the step are not those that `grad` and `forward` leave behind. */
static void test_both_levels(void **state) {
    (void)state;
    static host h;
    static const uint32_t offers[] = { GRAD | FORWARD | VJP, GRAD | JVP | VJP, HVP | FORWARD | VJP };
    for (int i = 0; i < 6; i++) {
        host_start(&h);
        h.offers = offers[i / 2];
        h.in_out = i % 2;
        host_open(&h, NULL, i % 2 ? "t_dense_ggn, hess_max_ev" : "hess_max_ev, t_dense_ggn", NULL);
        for (int64_t step = 0; step < 3; step++) {
            host_step(&h, step);
            check_dense(&h, dense_ggn, offers[i / 2] & JVP ? 2 * exact_off() : is_double ? 1e-8 : 1e-3, "both");
            assert_int_equal(h.away, 0);
            assert_int_equal(step_of(h.run, "hess_max_ev"), step);
            assert_int_equal(h.last_calls, 1);
        }
        assert_string_equal(pitot_last_error(h.run), "");
        assert_as_alone(&h, 3);
        pitot_close(h.run, PITOT_DONE);
    }
}

/* What level 3 lacks is said by name. */
static void test_what_is_missing(void **state) {
    (void)state;
    static host h;
    static const struct {
        uint32_t offers;
        const char *says;
    } cases[] = {
        { 0, "level 3" }, { JVP, "level 3" }, { VJP, "level 3" }, { JVP | FORWARD, "level 3" }, { VJP | JVP, "loss_kind" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char report[500];
        host_start(&h);
        h.offers = cases[i].offers;
        h.rooted = 1;
        host_open(&h, NULL, "t_dense_ggn, hess_max_ev", NULL);
        uint32_t due = host_step(&h, 0);
        if (cases[i].offers != (VJP | JVP)) assert_int_equal(due, 0);
        pitot_report(h.run, report, sizeof report);
        assert_non_null(strstr(report, "t_dense_ggn      off: "));
        assert_non_null(strstr(report, cases[i].says));
        assert_non_null(strstr(report, "hess_max_ev      off: needs a gradient or Hessian-product callback (level 2)"));
        for (int which = 0; which < 6; which++) assert_int_equal(h.calls[which], 0);
        assert_int_equal(health_of(h.run).errors, 0);
        pitot_close(h.run, PITOT_DONE);
    }
}

/* Sizes that make no sense, or no number: said, not computed with. */
static void test_odd_batches(void **state) {
    (void)state;
    static host h;
    const int64_t most = INT32_MAX;
    const pitot_batch odd[] = {
        { .n = 3, .c = -1 },
        { .n = 3, .c = 0 },
        { .n = 3, .c = WIDTH, .c_stride = 2 },
        { .n = 3, .c = 1, .c_stride = -5 },
        { .n = most, .t = most, .c = most },
        { .n = most, .t = most, .c = 2 },
        { .n = most, .c = INT64_MAX },
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (int32_t kind = -1; kind < 8; kind++) {
            pitot_batch b = odd[i];
            host_start(&h);
            h.offers = JVP | VJP;
            host_open(&h, NULL, "t_dense_ggn", NULL);
            b.struct_size = sizeof b, b.output = h.output, b.loss_kind = kind, b.loss = 1;
            assert_true(pitot_begin(h.run, 0) != 0);
            pitot_after_forward(h.run, &b);
            pitot_after_backward(h.run);
            pitot_after_update(h.run, 1);
            assert_int_equal(state_of(h.run, "t_dense_ggn"), PITOT_STATE_LEVEL);
            assert_int_equal(h.calls[CALL_JVP] + h.calls[CALL_VJP], 0);
            pitot_close(h.run, PITOT_DONE);
        }
}

/* ---- micro-batches ---- */

/* Products are those of the last one, for the mean over it alone. */
static void test_micro_batches(void **state) {
    (void)state;
    static host h;
    static const uint32_t offers[] = { GRAD, HVP, GRAD | JVP | VJP, HVP | FORWARD | VJP };
    for (int32_t reduction = PITOT_MEAN; reduction <= PITOT_SUM; reduction++)
        for (int i = 0; i < 4; i++)
            for (int with = 0; with < 2; with++) {
                host_start(&h);
                h.p.reduction = reduction, h.p.weighted = reduction == PITOT_MEAN_TERMS;
                h.n = 5, h.micro = 2; /* of 2 and 3 samples */
                h.in_out = 0, h.carried = i == 2, h.loss_scale = 3;
                h.offers = offers[i];
                host_open(&h, NULL, with ? "loss, t_dense_hessian, t_dense_ggn" : "loss, t_dense_hessian", NULL);
                for (int64_t step = 0; step < 4; step++) {
                    host_step(&h, step);
                    if (state_of(h.run, "t_dense_hessian") != PITOT_STATE_OK) fail_msg("%s", why_of(h.run, "t_dense_hessian"));
                    assert_near(value_of(h.run, "loss"), model(&h.p, h.home, 0, h.n, NULL, NULL), "the step's loss");
                    if (!with)
                        check_dense(&h, dense_hessian, offers[i] & HVP ? exact_off() : difference_off(ARRAY_REAL), "Hessian");
                    else if (offers[i] & VJP)
                        check_dense(&h, dense_ggn, offers[i] & JVP ? 2 * exact_off() : is_double ? 1e-8 : 1e-3, "GGN");
                }
                assert_string_equal(pitot_last_error(h.run), "");
                assert_as_alone(&h, 4);
                pitot_close(h.run, PITOT_DONE);
            }
}

/* ---- preconditioners ---- */

static pitot_preconditioner factor_seen[4];
static int64_t factors_seen;

static int32_t look_at_factors(const pitot_frame *f) {
    factors_seen = f->n_preconditioners;
    for (int64_t i = 0; i < f->n_preconditioners && i < 4; i++) factor_seen[i] = f->preconditioner[i];
    pitot_emit(f, "", (double)f->n_preconditioners);
    return PITOT_OK;
}

static const pitot_probe factors = LOOKS("t_factors", PITOT_NEED_PRECONDITIONER, .update = look_at_factors);

static void test_preconditioners(void **state) {
    (void)state;
    static host h;
    pitot_real values[81] = { 1, 2, 3 };
    host_start(&h);
    host_open(&h, NULL, "t_factors@2, loss", NULL);
    pitot_preconditioner f = {
        .struct_size = sizeof f, .param = 1, .axis = 1, .n = 3, .factor = values, .power = -0.25, .damping = 0.5, .computed = -7
    };
    for (int64_t step = 0; step < 4; step++) {
        uint32_t due = pitot_begin(h.run, step);
        assert_int_equal((due & PITOT_DUE_PRECONDITIONER) != 0, step % 2 == 0);
        pitot_after_forward(h.run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = 1 });
        assert_int_equal(pitot_add_preconditioner(h.run, &f), PITOT_OK);
        pitot_after_backward(h.run);
        f.axis = -1, f.n = 9, f.bias_column = 0;
        assert_int_equal(pitot_add_preconditioner(h.run, &f), PITOT_OK);
        f.axis = 1, f.n = 3;
        factors_seen = -1;
        pitot_after_update(h.run, 1);
        assert_int_equal(factors_seen, step % 2 == 0 ? 2 : -1);
        assert_int_equal(factor_seen[0].axis, 1);
        assert_int_equal(factor_seen[1].axis, -1);
        assert_ptr_equal(factor_seen[1].factor, values);
        assert_true(factor_seen[0].power == -0.25 && factor_seen[0].damping == 0.5 && factor_seen[0].computed == -7);
    }
    assert_int_equal(state_of(h.run, "t_factors"), PITOT_STATE_OK);
    pitot_begin(h.run, 4); /* none this time: the level is said, with the call that would give it */
    pitot_after_backward(h.run);
    pitot_after_update(h.run, 1);
    assert_int_equal(state_of(h.run, "t_factors"), PITOT_STATE_LEVEL);
    assert_non_null(strstr(why_of(h.run, "t_factors"), "pitot_add_preconditioner"));
    pitot_close(h.run, PITOT_DONE);
}

static void test_bad_factors(void **state) {
    (void)state;
    static host h;
    pitot_real values[81] = { 1 };
    static const struct {
        int32_t param, axis, bias_column;
        int64_t n;
        int good;
    } cases[] = {
        { 1, 0, 0, 3, 1 },  { 1, 1, 1, 4, 1 },  { 1, -1, 0, 9, 1 },        { 0, -1, 0, 24, 1 }, { 3, 0, 0, 3, 1 },
        { 1, 0, 0, 9, 1 }, /* flat */
        { 5, 0, 0, 3, 0 },  { -1, 0, 0, 3, 0 }, { 1, 2, 0, 3, 0 },         { 1, -2, 0, 9, 0 },  { 3, 1, 0, 3, 0 },
        { 1, 7, 0, 3, 0 },  { 0, 0, 0, 24, 0 }, { 1, 0, 0, 0, 0 },         { 1, 0, 0, -3, 0 },  { 1, 0, 0, 4, 0 },
        { 1, -1, 0, 3, 0 }, { 1, 1, 1, 3, 0 },  { 1, INT32_MAX, 0, 3, 0 },
    };
    host_start(&h);
    host_open(&h, NULL, "t_factors", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pitot_preconditioner f = { .struct_size = sizeof f,
                                   .param = cases[i].param,
                                   .axis = cases[i].axis,
                                   .bias_column = cases[i].bias_column,
                                   .n = cases[i].n,
                                   .factor = values };
        pitot_begin(h.run, (int64_t)i);
        pitot_after_backward(h.run);
        int32_t status = pitot_add_preconditioner(h.run, &f);
        if (status != (cases[i].good ? PITOT_OK : PITOT_EINVAL)) fail_msg("case %d: status %d", (int)i, status);
        f.factor = NULL;
        assert_int_equal(pitot_add_preconditioner(h.run, &f), PITOT_EINVAL);
        assert_int_equal(pitot_add_preconditioner(h.run, NULL), PITOT_EINVAL);
        factors_seen = 0;
        pitot_after_update(h.run, 1);
        assert_int_equal(factors_seen, cases[i].good);
    }
    pitot_close(h.run, PITOT_DONE);
}

/* ---- when ---- */

static void test_late_callbacks(void **state) {
    (void)state;
    static host h;
    char report[300];
    host_start(&h);
    host_open(&h, path_of("late"), "loss, hess_max_ev@3", NULL);
    for (int64_t step = 0; step < 4; step++) assert_int_equal(host_step(&h, step) & PITOT_DUE_CALLBACKS, 0);
    pitot_report(h.run, report, sizeof report);
    assert_non_null(
        strstr(report, "hess_max_ev      off: needs a gradient or Hessian-product callback (level 2): pitot_set_callbacks"));
    assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_LEVEL);
    assert_int_equal(health_of(h.run).probes_off, 1);
    h.offers = GRAD;
    host_offer(&h);
    for (int64_t step = 4; step < 12; step++) {
        uint32_t due = host_step(&h, step);
        assert_int_equal((due & PITOT_DUE_CALLBACKS) != 0, step % 3 == 0);
        assert_int_equal(h.calls[CALL_GRAD] != 0, step % 3 == 0);
        assert_int_equal(h.last_calls, step % 3 == 0);
        if (step == 5) assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_WAITING);
    }
    pitot_report(h.run, report, sizeof report);
    assert_non_null(strstr(report, "hess_max_ev      on, every 3 steps\n"));
    assert_int_equal(health_of(h.run).probes_off, 0);
    assert_int_equal(step_of(h.run, "hess_max_ev"), 9);
    assert_int_equal(pitot_request(h.run, "hess_max_ev"), PITOT_OK);
    assert_true(host_step(&h, 13) & PITOT_DUE_CALLBACKS);
    assert_int_equal(step_of(h.run, "hess_max_ev"), 13);
    assert_int_equal(pitot_set_callbacks(h.run, NULL), PITOT_OK); /* and taken away again */
    assert_int_equal(host_step(&h, 15) & PITOT_DUE_CALLBACKS, 0);
    assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_LEVEL);
    assert_as_alone(&h, 14);
    pitot_close(h.run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("late"), &s);
    assert_int_equal(series_of(log, "hess_max_ev").n, 3);
    assert_int_equal(series_of(log, "hess_max_ev.product_error").n, 3);
    pitot_log_close(log);
}

static void test_no_allocation(void **state) {
    (void)state;
    static host h;
    static const uint32_t offers[] = { GRAD | FORWARD | VJP, HVP | JVP | VJP | ROOT, HVP | JVP | VJP };
    for (int i = 0; i < 3; i++) {
        int64_t blocks = mem_count().blocks;
        host_start(&h);
        h.offers = offers[i], h.strided = i == 0, h.rooted = i == 1, h.in_out = i;
        host_open(&h, path_of(name_of[0][i]), "loss, hess_max_ev, t_dense_ggn, t_dense_hessian, t_factors", NULL);
        pitot_add_guard(h.run, "guard", h.guarded, sizeof h.guarded);
        for (int64_t step = 0; step < 3; step++) host_step(&h, step);
        int64_t requests = mem_count().requests;
        for (int64_t step = 3; step < 40; step++) host_step(&h, step);
        assert_int_equal(mem_count().requests, requests);
        assert_int_equal(step_of(h.run, "hess_max_ev"), 39);
        assert_int_equal(health_of(h.run).errors, 0);
        assert_as_alone(&h, 40);
        pitot_close(h.run, PITOT_DONE);
        assert_int_equal(mem_count().blocks, blocks);
    }
}

/* With every budget: within it, and what does not fit is off and says what to raise; training and the other probes go on. */
static void test_budget(void **state) {
    (void)state;
    static host h;
    static const uint32_t offers[] = { GRAD | FORWARD | VJP, HVP | JVP | VJP | ROOT };
    int on = 0, off = 0;
    for (int64_t memory = 16; memory < 16384; memory += memory < 2048 ? 40 : 400)
        for (int i = 0; i < 2; i++) {
            static const char *const probes[] = { "hess_max_ev", "t_dense_ggn" };
            pitot_config c = { .struct_size = sizeof c, .probes = "loss, hess_max_ev, t_dense_ggn", .memory = memory };
            host_start(&h);
            h.offers = offers[i], h.rooted = i;
            host_fill(&h);
            h.run = must_open(NULL, &c);
            host_add_tensors(&h);
            host_offer(&h);
            for (int64_t step = 0; step < 3; step++) host_step(&h, step);
            assert_true(health_of(h.run).peak <= memory);
            assert_int_equal(step_of(h.run, "loss"), 2);
            for (int k = 0; k < 2; k++) {
                int32_t is = state_of(h.run, probes[k]);
                on += is == PITOT_STATE_OK;
                off += is == PITOT_STATE_BUDGET;
                if (is == PITOT_STATE_OK) continue;
                assert_int_equal(is, PITOT_STATE_BUDGET);
                if (!strstr(why_of(h.run, probes[k]), "raise config.memory"))
                    fail_msg("%s with %lld bytes: %s", probes[k], (long long)memory, why_of(h.run, probes[k]));
            }
            assert_as_alone(&h, 3);
            pitot_close(h.run, PITOT_DONE);
        }
    assert_true(on > 20 && off > 20);
}

static int set_up_callbacks(void **state) {
    return pitot_probe_register(&factors) ? -1 : set_up_smooth(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eigenvalues),
        cmocka_unit_test(test_product_error),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_half_precision),
        cmocka_unit_test(test_ggn),
        cmocka_unit_test(test_hessian_root),
        cmocka_unit_test(test_both_levels),
        cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_odd_batches),
        cmocka_unit_test(test_micro_batches),
        cmocka_unit_test(test_preconditioners),
        cmocka_unit_test(test_bad_factors),
        cmocka_unit_test(test_late_callbacks),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, set_up_callbacks, remove_folder);
}
