/* What methods owe to the loop that provides what they want (pitot_optim_source): whatever call of a step fails, the parameters are as they were,
   bit for bit, and the step made again is the one that it would have been. What a call gives that is not finite leaves finite parameters. And
   what a host may bring: a method of its own, which is told of the run. */

#include "base/alloc.h"
#include "method_cases.h"
#include "mlp.h"

enum { STEPS = 4, MOST_CALLS = 12 };

typedef struct broken {     /* a source that fails */
    mlp m;                  /* first: what mlp.h makes its user */
    pitot_optim_source all; /* what works */
    int64_t calls, at;      /* of this step; the one that fails, from 1 */
    int poison;             /* it gives NaN instead */
} broken;

static int fails(broken *b) {
    return ++b->calls == b->at;
}

static void poison_gradients(broken *b) {
    const pitot_net_param *p = pitot_net_params(b->m.net);
    for (int64_t i = 0; i < pitot_net_param_count(b->m.net); i++) p[i].grad[p[i].size - 1] = NAN;
}

static int32_t give_loss(broken *b, int32_t (*make)(void *user, double *loss), int gradients, double *loss) {
    int bad = fails(b);
    int32_t status = bad && !b->poison ? PITOT_ENOMEM : make(b->all.user, loss);
    if (bad && !status && gradients) poison_gradients(b);
    if (bad && !status) *loss = NAN;
    return status;
}

static int32_t give_vector(int bad, const broken *b, int32_t status, pitot_real *out, int64_t at) {
    if (bad && !b->poison) return PITOT_ENOMEM;
    if (bad && out) out[at] = NAN;
    return status;
}

static int32_t gradient(void *user, double *loss) {
    broken *b = user;
    return give_loss(b, b->all.gradient, 1, loss);
}

static int32_t loss_again(void *user, double *loss) {
    broken *b = user;
    return give_loss(b, b->all.loss, 0, loss);
}

/* The batch is all the data there is. */
static int32_t data(void *user, double *loss) {
    broken *b = user;
    return give_loss(b, b->all.gradient, 1, loss);
}

static int32_t batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    broken *b = user;
    return fails(b) && !b->poison ? PITOT_ENOMEM : b->all.batch(b->all.user, samples, columns, loss);
}

static int32_t hvp(void *user, const pitot_real *v, pitot_real *out) {
    broken *b = user;
    return give_vector(fails(b), b, b->all.hvp(b->all.user, v, out), out, 3);
}

static int32_t ggnvp(void *user, const pitot_real *v, pitot_real *out) {
    broken *b = user;
    return give_vector(fails(b), b, b->all.ggnvp(b->all.user, v, out), out, 3);
}

static int32_t drawn(void *user, uint64_t seed, pitot_real *out) {
    broken *b = user;
    return give_vector(fails(b), b, b->all.drawn(b->all.user, seed, out), out, 3);
}

static int32_t squares(void *user, pitot_real *out) {
    broken *b = user;
    return give_vector(fails(b), b, b->all.squares(b->all.user, out), out, 3);
}

static int32_t diagonal(void *user, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out) {
    broken *b = user;
    return give_vector(out && fails(b), b, b->all.diagonal(b->all.user, kind, draws, seed, out), out, 3);
}

static int32_t weigh(void *user, const double *weight, pitot_real *out) {
    broken *b = user;
    return give_vector(fails(b), b, b->all.weigh(b->all.user, weight, out), out, 3);
}

static int32_t norms(void *user, double *out) {
    broken *b = user;
    return fails(b) && !b->poison ? PITOT_ENOMEM : b->all.norms(b->all.user, out);
}

static int32_t send(void *user, int32_t root, uint64_t seed, int64_t column) {
    broken *b = user;
    return fails(b) && !b->poison ? PITOT_ENOMEM : b->all.send(b->all.user, root, seed, column);
}

/* Asked for shapes it always answers: that is no step's. */
static int32_t layer(void *user, int64_t i, int32_t shape, pitot_capture *capture) {
    broken *b = user;
    return !shape && fails(b) && !b->poison ? PITOT_ENOMEM : b->all.layer(b->all.user, i, shape, capture);
}

static void offer_broken(broken *b) {
    pitot_optim_source s = b->all = b->m.optim->source;
    s.user = b;
    s.gradient = gradient, s.loss = loss_again, s.data = data, s.batch = batch, s.hvp = hvp, s.ggnvp = ggnvp, s.drawn = drawn;
    s.squares = squares, s.diagonal = diagonal, s.weigh = weigh, s.norms = norms, s.send = send, s.layer = layer;
    assert_int_equal(pitot_optim_offer(b->m.optim, &s), PITOT_OK);
}

/* ---- a run ---- */

GOLDEN_FILE("tests/golden/optimizers_curvature.json");

static broken *open_broken(const char *name, const char *const *set) {
    broken *b = mem_alloc(1, sizeof *b);
    mlp_make(&b->m, golden, name, set, 0);
    pitot_optim_plan(b->m.optim, STEPS, 11);
    pitot_optim_plan_data(b->m.optim, MLP_N);
    offer_broken(b);
    mlp_prepare(&b->m);
    return b;
}

static void close_broken(broken *b) {
    mlp_end(&b->m);
    mem_free(b);
}

static int32_t one_step(broken *b, int64_t at, int poison) {
    b->calls = 0;
    b->at = at;
    b->poison = poison;
    int32_t status = mlp_step(&b->m);
    b->at = 0;
    return status;
}

/* K-FAC has averaged factors, or some of them, by the time that a later call fails: as good as before, but not the same bits. */
static int keeps_averages(const char *name) {
    return strcmp(name, "kfac") == 0;
}

static void must_be(const double *x, const double *want, const char *name, int64_t at, const char *when) {
    if (memcmp(x, want, MLP_D * sizeof *x)) fail_msg("%s: call %d of a step fails: %s other bits", name, (int)at, when);
}

static void check_failure(const char *name, const char *const *set, int when, int64_t at, const double *want) {
    double before[MLP_D], after[MLP_D];
    broken *b = open_broken(name, set);
    for (int i = 0; i < STEPS; i++) {
        mlp_values(&b->m, 0, before);
        if (i == when) {
            if (one_step(b, at, 0) == PITOT_OK) fail_msg("%s: call %d of a step fails, and nothing is said", name, (int)at);
            mlp_values(&b->m, 0, after);
            must_be(after, before, name, at, "then");
        }
        if (one_step(b, 0, 0)) fail_msg("%s: call %d of step %d failed: step %d, too", name, (int)at, when, i);
    }
    mlp_values(&b->m, 0, after);
    if (!keeps_averages(name)) must_be(after, want, name, at, "at last");
    for (int k = 0; k < MLP_D; k++) assert_true(isfinite(after[k]));
    close_broken(b);
}

static int state_is_finite(pitot_optim *o) {
    pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(o, j, &a) == PITOT_OK; j++)
        for (int64_t i = 0; a.dtype != PITOT_BF16 && i < a.bytes / (a.dtype == PITOT_F64 ? 8 : 4); i++)
            if (!isfinite(a.dtype == PITOT_F64 ? ((const double *)a.data)[i] : (double)((const float *)a.data)[i])) return 0;
    return 1;
}

static void check_poison(const char *name, const char *const *set, int when, int64_t at) {
    double x[MLP_D];
    broken *b = open_broken(name, set);
    for (int i = 0; i < STEPS; i++) {
        one_step(b, i == when ? at : 0, 1);
        mlp_values(&b->m, 0, x);
        for (int k = 0; k < MLP_D; k++)
            if (!isfinite(x[k])) fail_msg("%s: call %d of a step gives NaN: so does step %d", name, (int)at, i);
        if (!state_is_finite(b->m.optim))
            fail_msg("%s: call %d of a step gives NaN, which is in the state after step %d", name, (int)at, i);
    }
    close_broken(b);
}

static void check(const char *name, const char *const *set) {
    double want[MLP_D];
    int64_t calls[STEPS], all = 0;
    broken *b = open_broken(name, set);
    for (int i = 0; i < STEPS; i++) {
        if (one_step(b, 0, 0)) fail_msg("%s: step %d", name, i);
        all += calls[i] = b->calls;
    }
    mlp_values(&b->m, 0, want);
    if (!all != !pitot_optim_wants(b->m.optim)) fail_msg("%s: %d calls of what it wants", name, (int)all);
    close_broken(b);
    for (int when = 0; when < STEPS; when++)
        for (int64_t at = 1; at <= calls[when] && at <= MOST_CALLS; at++) {
            check_failure(name, set, when, at, want);
            check_poison(name, set, when, at);
        }
}

static void check_setting(const char *optimizer, const cJSON *one, void *user) {
    set_list options;
    (void)user;
    list_options(one, &options);
    check(optimizer, options.set);
}

static void test_failures(void **state) {
    char name[96];
    (void)state;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) check((*m)->name, NULL);
    for (const pitot_optimizer *const *w = pitot_wrappers(); *w; w++) {
        snprintf(name, sizeof name, "sgd+%s", (*w)->name);
        check(name, (const char *const[]){ "lr", "0.1", NULL });
    }
    method_cases("settings", check_setting, NULL);
}

/* ---- a host's own method ---- */

typedef struct own_options {
    double lr;
} own_options;

static const pitot_option own_table[] = {
    { "lr", PITOT_REAL, 1, offsetof(own_options, lr), "0.5", 0, 1e6, NULL, "", "learning rate" },
    { 0 },
};

static struct told { /* what the last step was told */
    int64_t steps, data_samples;
    double first_lr, lr;
} told;

static int32_t own_step(pitot_stepping *s) {
    const own_options *o = s->options;
    told = (struct told){ s->steps, s->data_samples, s->first_lr, o->lr };
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t k = 0; s->tensor[i].g && k < s->tensor[i].size; k++)
            s->tensor[i].x[k] -= (pitot_real)o->lr * s->tensor[i].g[k];
    return PITOT_OK;
}

static int32_t own_layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    assert_int_equal(l->data_samples, 77);
    return PITOT_OK;
}

static const pitot_optimizer own = {
    .struct_size = sizeof own,
    .abi = PITOT_ABI,
    .name = "own",
    .summary = "a host's",
    .paper = "none",
    .formula = "x -= lr g",
    .memory = "none",
    .cost = "one pass over D",
    .options_size = sizeof(own_options),
    .options = own_table,
    .layout = own_layout,
    .step = own_step,
};

static void must_refuse(pitot_optimizer m) {
    static pitot_optimizer kept;
    kept = m;
    assert_int_equal(pitot_optimizer_register(&kept), PITOT_EINVAL);
}

static void refuse_bad_tables(void) {
    pitot_optimizer m = own;
    m.name = "adam", must_refuse(m);
    m.name = "own+", must_refuse(m);
    m.name = "sam", must_refuse(m);
    m.name = "a_name_that_is_longer_than_what_is_read_of_one_between_plus_signs", must_refuse(m);
    m = own, m.memory = NULL, must_refuse(m);
    m = own, m.abi--, must_refuse(m);
    m = own, m.struct_size--, must_refuse(m);
    m = own, m.step = NULL, must_refuse(m);
    m = own, m.options = NULL, must_refuse(m);
    assert_int_equal(pitot_optimizer_register(NULL), PITOT_EINVAL);
}

static int64_t count_methods(void) {
    int64_t n = 0;
    while (pitot_optimizers()[n]) n++;
    return n;
}

/* The learning rate of the third of four steps is half the one that was set after preparing; steps and samples are as planned. */
static void test_own_method(void **state) {
    pitot_real x[2] = { 1, 1 }, g[2] = { 1, 0 };
    const pitot_real *at = g;
    const pitot_optimizer *const *before = pitot_optimizers(), *first = before[0];
    int64_t n = count_methods();
    pitot_error error = { 0 };
    (void)state;
    refuse_bad_tables();
    assert_null(pitot_optim_new("own", NULL));
    assert_int_equal(pitot_optimizer_register(&own), PITOT_OK);
    assert_int_equal(pitot_optimizer_register(&own), PITOT_EINVAL);
    assert_int_equal(count_methods(), n + 1);
    assert_ptr_equal(pitot_optimizers()[n], &own);
    assert_true(pitot_optimizers()[0] == first && before[n - 1] == pitot_optimizers()[n - 1] && !before[n]);
    pitot_optim *o = pitot_optim_new("own+linear", &error);
    if (!o) fail_msg("%s", error.text);
    pitot_optim_plan_data(o, 77);
    assert_int_equal(pitot_optim_prepare(o, &(pitot_optim_tensor){ "w", 2, x, &at, { 0 } }, 1, 1, &error), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "lr", "0.25", NULL), PITOT_OK);
    pitot_optim_plan(o, 4, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(pitot_optim_step(o), PITOT_OK);
    assert_true(told.steps == 4 && told.data_samples == 77 && told.first_lr == 0.5 && told.lr == 0.125);
    assert_true(fabs((double)x[0] - (1 - 0.25 * (1 + 0.75 + 0.5))) < 1e-6 && x[1] == 1);
    pitot_optim_free(o);
    assert_null(pitot_optim_new("owm", &error));
    assert_non_null(strstr(error.text, "own"));
}

/* Goes over each tensor twice and looks for what is not finite by itself. */
static void leave_alone_or_move(const pitot_update *u) {
    for (int64_t i = u->begin; i < u->end; i++)
        if (isnan(u->g[i])) *u->left += 1;
        else u->x[i] -= u->g[i];
}

static int32_t two_passes(pitot_stepping *s) {
    for (int64_t i = 0; i < 2 * s->n; i++) pitot_elementwise(s, i / 2, leave_alone_or_move, NULL);
    return s->options && told.steps < 0 ? PITOT_EHOST : PITOT_OK;
}

/* A step in which nothing moves is none of the tensor, and none at all, however often the method finds that and whatever it says of it. */
static void test_counts_once(void **state) {
    static pitot_optimizer twice;
    pitot_real x[1] = { 1 }, g[1] = { NAN };
    const pitot_real *at = g;
    (void)state;
    twice = own, twice.name = "twice", twice.layout = NULL, twice.step = two_passes, twice.careful = 1;
    assert_int_equal(pitot_optimizer_register(&twice), PITOT_OK);
    pitot_optim *o = pitot_optim_new("twice", NULL);
    assert_int_equal(pitot_optim_prepare(o, &(pitot_optim_tensor){ "w", 1, x, &at, { 0 } }, 1, 1, NULL), PITOT_OK);
    for (told.steps = -1; told.steps < 1; told.steps++) {
        assert_int_equal(pitot_optim_step(o), PITOT_EHOST);
        assert_true(o->part[0].count[0] == 0 && o->part[0].count[1] == 0 && o->part[0].s.tensor[0].t == 0 && x[0] == 1);
    }
    g[0] = 0.25;
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    assert_true(o->part[0].count[0] == 1 && o->part[0].count[1] == 1 && x[0] == 0.5);
    pitot_optim_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_failures), cmocka_unit_test(test_own_method),
                                        cmocka_unit_test(test_counts_once) };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
