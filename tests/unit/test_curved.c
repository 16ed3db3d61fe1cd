/* Diagonals of curvature beside the moments of the same step: tic_diag and hess_trace against their formulas, from the values that diag_ggn_mc
   and sum_grad_squared give at the same step and from the net's own diagonal; the same bits whichever probes are on; several kinds at
   once, several micro-batches, and a host whose callback gives no factors. */

#include "host.h"

#include "base/random.h"
#include "net/net.h"
#include "run/run.h"

enum { N = 24, INPUT = 48, MOST_VALUES = 4096, MOST_PARAMS = 8 };

typedef struct scene { /* one net on one run */
    pitot_net *net;
    pitot_run *run;
    pitot_attached attached;
    pitot_real x[N * INPUT], *sum; /* sum: gradients of the step, where it comes in two */
    int32_t y[N];
    double diagonal[MOST_VALUES], second[MOST_VALUES]; /* as diag_ggn_mc and sum_grad_squared / n gave them */
    int64_t size;
} scene;

enum { MLP, CONVOLUTION, NETS, MOSTLY_CONVOLUTION = NETS, ALL_NETS }; /* the last: its diagonal is not made ahead of the sweep */

static pitot_net *net_of(int which) {
    pitot_error error = { 0 };
    const int64_t flat[] = { INPUT, 0 }, image[] = { 2, 6, 4, 0 };
    pitot_net *net = pitot_net_new("scene", which == MLP ? flat : image, "cross_entropy", &error);
    if (which != MLP) {
        pitot_net_add(net, "conv2d", NULL, NULL, "out_channels=4, kernel=3", &error);
        pitot_net_add(net, "relu", NULL, NULL, NULL, &error);
        pitot_net_add(net, "flatten", NULL, NULL, NULL, &error);
    }
    if (which != MOSTLY_CONVOLUTION) {
        pitot_net_add(net, "linear", NULL, NULL, "out_features=40", &error);
        pitot_net_add(net, "relu", NULL, NULL, NULL, &error);
    }
    pitot_net_add(net, "linear", NULL, NULL, "out_features=3", &error);
    if (pitot_net_prepare(net, N, 2, &error)) fail_msg("%s", error.text);
    pitot_net_init(net, 4);
    return net;
}

static void open_scene(scene *s, int which, const char *probes, const char *options) {
    uint64_t seed = 9;
    memset(s, 0, sizeof *s);
    s->net = net_of(which);
    s->run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = probes, .options = options, .threads = 2 });
    assert_int_equal(pitot_attach(&s->attached, s->net, s->run), PITOT_OK);
    for (int i = 0; i < N * INPUT; i++) s->x[i] = (pitot_real)draw_normal(&seed);
    for (int i = 0; i < N; i++) s->y[i] = (int32_t)(1.5 + 1.5 * draw_uniform(&seed));
    s->sum = calloc(MOST_VALUES, sizeof *s->sum);
}

static void close_scene(scene *s) {
    assert_string_equal(pitot_last_error(s->run), "");
    pitot_close(s->run, PITOT_DONE);
    pitot_net_free(s->net);
    free(s->sum);
}

static void one_step(scene *s) {
    double loss;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = s->x, .classes = s->y, .training = 1 };
    pitot_begin(s->run, 1);
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_attached_forward(&s->attached, &b, loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    assert_int_equal(pitot_attached_backward(&s->attached), PITOT_OK);
    assert_int_equal(pitot_after_update(s->run, 0), PITOT_OK);
}

static double value(const scene *s, const char *name) {
    double v = NAN;
    assert_int_equal(pitot_value(s->run, name, &v, NULL), PITOT_OK);
    return v;
}

static void read_values(void *user, const pitot_reading *r) {
    scene *s = user;
    int64_t at = 0;
    int curved = r->probe && strcmp(r->probe, "diag_ggn_mc") == 0, squares = r->probe && strcmp(r->probe, "sum_grad_squared") == 0;
    if (r->kind != PITOT_READ_VALUES || (!curved && !squares)) return;
    for (int64_t i = 0; strcmp(pitot_net_params(s->net)[i].name, r->tensor); i++) at += pitot_net_params(s->net)[i].size;
    for (int64_t k = 0; k < r->n; k++)
        if (curved) s->diagonal[at + k] = (double)r->reals[k];
        else s->second[at + k] = (double)r->reals[k] / N;
    s->size = at + r->n > s->size ? at + r->n : s->size;
}

/* From the readings, which must be there. */
static void check_formulas(scene *s) {
    const double within = 64 * close_by;
    double tic = 0, all = 0;
    pitot_readings(s->run, read_values, s);
    assert_int_equal(s->size, s->net->size);
    for (int64_t i = 0, at = 0; i < pitot_net_param_count(s->net); i++) {
        char key[64];
        double trace = 0;
        for (int64_t k = 0; k < pitot_net_params(s->net)[i].size; k++, at++) {
            trace += s->diagonal[at];
            tic += s->second[at] / (s->diagonal[at] + 1e-7);
        }
        snprintf(key, sizeof key, "hess_trace/%s", pitot_net_params(s->net)[i].name);
        assert_true(fabs(value(s, key) - trace) <= within * trace);
        all += trace;
    }
    assert_true(all > 0 && tic > 0);
    assert_true(fabs(value(s, "hess_trace") - all) <= within * all);
    assert_true(fabs(value(s, "tic_diag") - tic) <= within * tic);
}

static const char drawn[] = "tic_diag.curvature=ggn_mc\nhess_trace.curvature=ggn_mc\ntic_diag.draws=2\nhess_trace.draws=2\n"
                            "diag_ggn_mc.draws=2";

static void values_are_those_of_the_diagonal(void **state) {
    (void)state;
    for (int which = MLP; which < ALL_NETS; which++) {
        scene s;
        pitot_real own[MOST_VALUES];
        open_scene(&s, which, "tic_diag,hess_trace,diag_ggn_mc,sum_grad_squared", drawn);
        one_step(&s);
        check_formulas(&s);
        uint64_t seed = random_bits(s.run->seed, random_purpose("curvature"), 1, 0);
        assert_int_equal(pitot_net_diagonal(s.net, PITOT_DIAGONAL_GGN_MC, 2, seed, 0, own, NULL), PITOT_OK);
        for (int64_t k = 0; k < s.size; k++) assert_true((double)own[k] == s.diagonal[k]);
        close_scene(&s);
    }
}

static void no_bit_depends_on_other_probes(void **state) {
    static const char *const kinds[] = { "auto", "hessian", "ggn", "ggn_mc", "hesscale", "hutchinson" };
    static const char *const sets[] = {
        "tic_diag,hess_trace", "tic_diag", "hess_trace",
        "diag_ggn,diag_ggn_mc,fisher_trace,hess_trace,mean_gsnr,tic_diag,sample_diag_ggn,norm_test"
    };
    (void)state;
    for (int which = MLP; which < ALL_NETS; which++)
        for (int i = 0; i < 6; i++) {
            double want[2] = { NAN, NAN };
            char options[128];
            snprintf(options, sizeof options, "tic_diag.curvature=%s\nhess_trace.curvature=%s", kinds[i], kinds[(i + which) % 6]);
            for (int k = 0; k < 4; k++) {
                scene s;
                open_scene(&s, which, sets[k], options);
                one_step(&s);
                for (int j = 0; j < 2; j++) {
                    const char *name = j ? "hess_trace" : "tic_diag";
                    if (!strstr(sets[k], name)) continue;
                    if (isnan(want[j])) want[j] = value(&s, name);
                    assert_true(isfinite(want[j]) && value(&s, name) == want[j]);
                }
                close_scene(&s);
            }
        }
}

/* ---- a probe of the host's, with another kind than tic_diag ---- */

static const pitot_output outputs[] = { { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "sum of the diagonal", NULL }, { 0 } };

static void look(const pitot_frame *f, const pitot_moments *m, double *sums) {
    (void)f;
    for (int64_t i = 0; m->curvature && i < m->end - m->begin; i++) sums[0] += (double)m->curvature[i];
    sums[1] += m->curvature == NULL;
}

static int32_t tell(const pitot_frame *f) {
    double all = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) all += f->sums[2 * i] + (f->sums[2 * i + 1] > 0 ? NAN : 0);
    pitot_emit(f, "", all);
    return PITOT_OK;
}

static void exact_ggn(const void *options, int32_t *kind, int64_t *draws) {
    (void)options;
    *kind = PITOT_CURVATURE_GGN;
    *draws = 1;
}

static const pitot_probe other = { .struct_size = sizeof other,
                                   .abi = PITOT_ABI,
                                   .needs = PITOT_NEED_MOMENTS | PITOT_NEED_DIAGONAL,
                                   .presets = PITOT_ON_REQUEST,
                                   .spans = 1,
                                   .name = "a_sum",
                                   .summary = "sum of the GGN's diagonal over tiles",
                                   .paper = "",
                                   .formula = "",
                                   .outputs = outputs,
                                   .n_sums = 2,
                                   .backward = tell,
                                   .moments = look,
                                   .curvature = exact_ggn };

static void two_kinds_at_once(void **state) {
    (void)state;
    assert_int_equal(pitot_probe_register(&other), PITOT_OK);
    for (int which = MLP; which < NETS; which++)
        for (int order = 0; order < 2; order++) {
            scene s;
            open_scene(&s, which,
                       order ? "tic_diag,a_sum,hess_trace,diag_ggn_mc,sum_grad_squared"
                             : "a_sum,tic_diag,hess_trace,diag_ggn_mc,sum_grad_squared",
                       drawn);
            one_step(&s);
            check_formulas(&s);
            pitot_real own[MOST_VALUES];
            assert_int_equal(pitot_net_diagonal(s.net, PITOT_DIAGONAL_GGN, 1, 0, 0, own, NULL), PITOT_OK);
            double all = pitot_sum(own, s.size);
            assert_true(fabs(value(&s, "a_sum") - all) <= 64 * close_by * all);
            close_scene(&s);
        }
}

/* ---- two micro-batches, gradients added up by the host ---- */

static void micro_batch(scene *s, int64_t from, int64_t n) {
    double loss, share = (double)n / N;
    pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = s->x + from * INPUT, .classes = s->y + from, .training = 1 };
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    pitot_batch told = { .struct_size = sizeof told, .n = n, .loss = loss, .more = from + n < N };
    assert_int_equal(pitot_after_forward(s->run, &told), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    for (int64_t i = 0, at = 0; i < pitot_net_param_count(s->net); i++)
        for (int64_t k = 0; k < pitot_net_params(s->net)[i].size; k++, at++)
            s->sum[at] += (pitot_real)(share * (double)pitot_net_params(s->net)[i].grad[k]);
    pitot_capture c;
    for (int64_t i = 0; pitot_net_capture(s->net, i, &c) == PITOT_OK; i++) {
        c.scale = share * (c.scale != 0 ? c.scale : 1);
        pitot_add_capture(s->run, &c);
    }
    assert_int_equal(pitot_after_backward(s->run), PITOT_OK);
}

static void micro_batches(void **state) {
    (void)state;
    for (int which = MLP; which < ALL_NETS; which++) {
        scene s;
        open_scene(&s, which, "tic_diag,hess_trace,diag_ggn_mc,sum_grad_squared", drawn);
        for (int64_t i = 0, at = 0; i < pitot_net_param_count(s.net); at += pitot_net_params(s.net)[i].size, i++)
            pitot_bind_param(s.run, s.attached.first + (int32_t)i, pitot_net_params(s.net)[i].data, s.sum + at);
        pitot_begin(s.run, 1);
        micro_batch(&s, 0, 14);
        micro_batch(&s, 14, N - 14);
        assert_int_equal(pitot_after_update(s.run, 0), PITOT_OK);
        check_formulas(&s);
        close_scene(&s);
    }
}

/* ---- other hosts ---- */

static pitot_fn of_net;

/* One that knows nothing of factors. */
static void without_factors(void *user, pitot_call *call) {
    pitot_diagonal_factor *factor = call->factor;
    call->factor = NULL;
    of_net(user, call);
    call->factor = factor;
}

static int bad;

/* Factors of another weight, or of other sizes. */
static void bad_factors(void *user, pitot_call *call) {
    of_net(user, call);
    for (int64_t i = 0; i < call->n_factors; i++) {
        if (bad == 0) call->factor[i].din++;
        if (bad == 1) call->factor[i].weight = 99;
        if (bad == 2) call->factor[i].weight = call->factor[0].weight;
        if (bad == 3) call->factor[i].q = NULL;
    }
    if (bad == 4 && call->out) call->n_factors = call->most_factors + 1;
}

static void set_diagonal(scene *s, pitot_fn f, int32_t untouched) {
    pitot_callbacks c = s->run->curving.host;
    of_net = c.diagonal;
    c.diagonal = f;
    c.untouched = untouched;
    assert_int_equal(pitot_set_callbacks(s->run, &c), PITOT_OK);
}

static void hosts_without_factors(void **state) {
    (void)state;
    for (int which = MLP; which < ALL_NETS; which++)
        for (int32_t untouched = 0; untouched < 2; untouched++) {
            scene s;
            open_scene(&s, which, "tic_diag,hess_trace,diag_ggn_mc,sum_grad_squared", drawn);
            set_diagonal(&s, without_factors, untouched);
            one_step(&s);
            check_formulas(&s);
            close_scene(&s);
        }
}

static void factors_that_do_not_fit(void **state) {
    (void)state;
    for (bad = 0; bad < 5; bad++) {
        scene s;
        double v;
        int32_t condition;
        open_scene(&s, MLP, "tic_diag,hess_trace,grad_norm", drawn);
        set_diagonal(&s, bad_factors, 1);
        one_step(&s);
        assert_true(pitot_value(s.run, "tic_diag", &v, NULL) != PITOT_OK);
        assert_true(pitot_value(s.run, "hess_trace", &v, NULL) != PITOT_OK);
        assert_true(value(&s, "grad_norm") > 0);
        assert_int_equal(pitot_probe_state(s.run, "tic_diag", &condition, NULL), PITOT_OK);
        assert_true(condition != PITOT_STATE_OK);
        assert_int_equal(pitot_probe_state(s.run, "hess_trace", &condition, NULL), PITOT_OK);
        assert_int_equal(condition, PITOT_STATE_ERROR);
        assert_non_null(strstr(s.run->curving.why[CALL_DIAGONAL], "factors"));
        pitot_close(s.run, PITOT_DONE);
        pitot_net_free(s.net);
        free(s.sum);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_diagonal),
        cmocka_unit_test(no_bit_depends_on_other_probes),
        cmocka_unit_test(two_kinds_at_once),
        cmocka_unit_test(micro_batches),
        cmocka_unit_test(hosts_without_factors),
        cmocka_unit_test(factors_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
