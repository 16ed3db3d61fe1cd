/* The hooks, called as any host would call them: what comes back is compared with direct computation; parameters, schedules, misuse. */

#include "toy.h"

#include <lapacke.h>

/* ---- values against direct computation: a probe without a reference here fails ---- */

typedef struct moment { /* one step of the toy loop: copies of everything that a probe may look at */
    toy start, before, after;
    double wall_from, wall_to;
} moment;

static double ref_loss(const moment *m, int tensor) {
    return tensor < 0 ? m->before.loss : NAN;
}

static double ref_grad_norm(const moment *m, int tensor) {
    double a = sum_squares(m->before.grad_a, NULL, N_A), b = sum_squares(m->before.grad_b, NULL, N_B);
    return sqrt(tensor == 0 ? a : tensor == 1 ? b : a + b);
}

static double ref_update_size(const moment *m, int tensor) {
    return length(&m->after, &m->before, tensor);
}

static double ref_update_ratio(const moment *m, int tensor) {
    return length(&m->after, &m->before, tensor) / length(&m->before, NULL, tensor);
}

static double ref_distance(const moment *m, int tensor) {
    return length(&m->before, &m->start, tensor);
}

/* Singular values of net.a's matrix (2,3), from the other factorisation than the library's. */
static void singular(const pitot_real *x, const pitot_real *y, double sigma[2]) {
    double m[N_A], scratch[2];
    for (int i = 0; i < N_A; i++) m[i] = (double)(pitot_real)(y ? x[i] - y[i] : x[i]);
    assert_int_equal(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'N', 'N', 2, 3, m, 3, sigma, NULL, 1, NULL, 1, scratch), 0);
}

/* The whole is that of the only matrix. */
static double effective_rank(const pitot_real *x, const pitot_real *y, int tensor) {
    double sigma[2];
    if (tensor == 1) return NAN;
    singular(x, y, sigma);
    double p = sigma[0] / (sigma[0] + sigma[1]), q = 1 - p;
    return exp(-p * log(p) - q * log(q));
}

static double ref_weight_rank(const moment *m, int tensor) {
    return effective_rank(m->before.a, NULL, tensor);
}

static double ref_gradient_rank(const moment *m, int tensor) {
    return effective_rank(m->before.grad_a, NULL, tensor);
}

static double ref_update_rank(const moment *m, int tensor) {
    return effective_rank(m->after.a, m->before.a, tensor);
}

static int check_grad(const moment *m, const pitot_reading *r) {
    int first = strcmp(r->tensor, "net.a") == 0;
    assert_int_equal(r->kind, PITOT_READ_VALUES);
    assert_int_equal(r->n, first ? N_A : N_B);
    assert_int_equal(r->n_dim, first ? 2 : 1);
    assert_int_equal(r->shape[0], first ? 2 : 4);
    assert_memory_equal(r->reals, first ? m->before.grad_a : m->before.grad_b, (size_t)r->n * sizeof(pitot_real));
    return first ? 1 : 2;
}

static int check_parameters(const moment *m, const pitot_reading *r) {
    int first = strcmp(r->tensor, "net.a") == 0;
    assert_int_equal(r->kind, PITOT_READ_VALUES);
    assert_int_equal(r->n, first ? N_A : N_B);
    assert_memory_equal(r->reals, first ? m->before.a : m->before.b, (size_t)r->n * sizeof(pitot_real));
    return first ? 1 : 2;
}

/* Two eigenvalues have edges and no tail; test_probes_structure.c has more. */
static int check_weight_spectrum(const moment *m, const pitot_reading *r) {
    double sigma[2], ratio = (sqrt(3) - sqrt(2)) / (sqrt(3) + sqrt(2));
    static double upper, lower;
    singular(m->before.a, NULL, sigma);
    if (strcmp(r->field, "lambda_max") == 0) return assert_near(r->value, sigma[0] * sigma[0], r->field), 1;
    if (strcmp(r->field, "edges.lower") == 0) lower = r->value;
    if (strcmp(r->field, "edges.upper") == 0) upper = r->value, assert_near(lower / upper, ratio * ratio, r->field);
    assert_true(strcmp(r->field, "alpha") && (!r->tensor || strcmp(r->tensor, "net.a") == 0));
    return *r->field ? 0 : (assert_near(r->value, 0, "outliers"), r->tensor ? 2 : 4);
}

static int check_individual_losses(const moment *m, const pitot_reading *r) {
    assert_int_equal(r->kind, PITOT_READ_SAMPLES);
    assert_int_equal(r->n, SAMPLES);
    assert_memory_equal(r->reals, m->before.losses, sizeof m->before.losses);
    return 1;
}

static int check_time(const moment *m, const pitot_reading *r) {
    assert_true(r->value >= m->wall_from && r->value <= m->wall_to);
    return 1;
}

static const struct reference {
    const char *name;
    double (*value)(const moment *m, int tensor);            /* NaN: there is none of a single tensor */
    int (*reading)(const moment *m, const pitot_reading *r); /* or this, for what is no number; returns bits of what it has seen */
    int all;                                                 /* bits */
} references[] = {
    { "loss", ref_loss, NULL, 0 },
    { "grad_norm", ref_grad_norm, NULL, 0 },
    { "update_size", ref_update_size, NULL, 0 },
    { "update_ratio", ref_update_ratio, NULL, 0 },
    { "distance", ref_distance, NULL, 0 },
    { "grad", NULL, check_grad, 3 },
    { "individual_losses", NULL, check_individual_losses, 1 },
    { "time", NULL, check_time, 1 },
    { "parameters", NULL, check_parameters, 3 },
    { "weight_rank", ref_weight_rank, NULL, 0 },
    { "gradient_rank", ref_gradient_rank, NULL, 0 },
    { "update_rank", ref_update_rank, NULL, 0 },
    { "weight_spectrum", NULL, check_weight_spectrum, 7 },
};

static const struct reference *reference_of(const char *name) {
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (strcmp(references[i].name, name) == 0) return &references[i];
    return NULL;
}

typedef struct checking {
    const struct reference *reference;
    const moment *m;
    int seen;
} checking;

static void check_reading(void *user, const pitot_reading *r) {
    checking *c = user;
    if (r->probe && strcmp(r->probe, c->reference->name) == 0) c->seen |= c->reference->reading(c->m, r);
}

static void check_probe(const pitot_run *run, const struct reference *r, const moment *m, int64_t step) {
    static const char *const tensors[] = { "net.a", "net.b" };
    char name[128];
    checking c = { r, m, 0 };
    if (r->reading) {
        pitot_readings(run, check_reading, &c);
        assert_int_equal(c.seen, r->all);
        return;
    }
    assert_near(value_of(run, r->name), r->value(m, -1), r->name);
    assert_int_equal(step_of(run, r->name), step);
    for (int t = 0; t < 2; t++) {
        double expected = r->value(m, t);
        if (isnan(expected)) continue;
        snprintf(name, sizeof name, "%s/%s", r->name, tensors[t]);
        assert_near(value_of(run, name), expected, name);
    }
}

static void test_values(void **state) {
    (void)state;
    moment m;
    toy t;
    pitot_run *run = open_toy(&t, path_of("values"), names_of_all());
    m.start = t;
    for (int64_t step = 0; step < 6; step++) {
        m.wall_from = run_wall();
        assert_true(pitot_begin(run, step) & PITOT_DUE_LOSS);
        toy_forward(&t, step);
        toy_tell_forward(&t, run);
        toy_backward(&t, step);
        m.before = t;
        pitot_after_backward(run);
        toy_update(&t, 0.1 * (double)(step + 1));
        m.after = t;
        pitot_after_update(run, 0.1 * (double)(step + 1));
        m.wall_to = run_wall();
        for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
            if (is_mine(*p) || is_beyond(*p)) continue;
            const struct reference *r = reference_of((*p)->name);
            if (!r) fail_msg("probe %s has no reference case", (*p)->name);
            check_probe(run, r, &m, step);
            assert_int_equal(state_of(run, (*p)->name), PITOT_STATE_OK);
        }
    }
    assert_int_equal(health_of(run).errors, 0);
    assert_int_equal(health_of(run).tracked, 6);
    assert_int_equal(pitot_close(run, PITOT_DONE), PITOT_OK);
}

/* What is read from the log is what pitot_value said, to the last bit, for every key. */
static void test_values_in_log(void **state) {
    (void)state;
    enum { STEPS = 20 };
    static double kept[STEPS][8];
    static const char *const names[8] = {
        "loss", "grad_norm", "update_size", "distance", "grad_norm/net.a", "update_size/net.b", "distance/net.a", "mine"
    };
    toy t;
    pitot_log_state s;
    pitot_run *run = open_toy(&t, path_of("in_log"), "economy");
    for (int64_t step = 0; step < STEPS; step++) {
        toy_step(&t, run, step);
        pitot_scalar(run, "mine", sin((double)step));
        for (int i = 0; i < 8; i++) kept[step][i] = value_of(run, names[i]);
    }
    pitot_close(run, PITOT_INTERRUPTED);
    pitot_log *log = read_log(path_of("in_log"), &s);
    assert_int_equal(s.ended, PITOT_LOG_INTERRUPTED);
    assert_int_equal(s.tail, 0);
    for (int i = 0; i < 8; i++) {
        pitot_series v = series_of(log, names[i]);
        assert_int_equal(v.n, STEPS);
        for (int64_t step = 0; step < STEPS; step++) {
            assert_int_equal(v.step[step], step);
            assert_memory_equal(&v.value[step], &kept[step][i], sizeof(double));
        }
    }
    pitot_log_close(log);
}

static void test_grad_scale(void **state) {
    (void)state;
    toy t;
    pitot_config c = { .struct_size = sizeof c, .probes = "grad_norm, grad", .grad_scale = 0.25 };
    pitot_run *run = must_open(NULL, &c);
    toy_start(&t);
    toy_add(&t, run);
    toy_step(&t, run, 0);
    assert_near(value_of(run, "grad_norm"), 0.25 * sqrt(sum_squares(t.grad_a, NULL, N_A) + sum_squares(t.grad_b, NULL, N_B)),
                "scaled");
    assert_int_equal(health_of(run).bytes, (N_A + N_B) * (int64_t)sizeof(pitot_real));
    pitot_close(run, PITOT_DONE);
}

/* ---- parameters ---- */

static void test_late_pointers(void **state) {
    (void)state;
    toy t, place[2];
    pitot_real *data = NULL, *grad = NULL; /* the host's own variables: memory that appears late and moves */
    pitot_config c = { .struct_size = sizeof c, .probes = "grad_norm, update_size, distance" };
    pitot_run *run = must_open(NULL, &c);
    pitot_param p = param_a;
    p.data_at = &data, p.grad_at = &grad;
    int32_t id = pitot_add_param(run, &p);
    assert_int_equal(id, 1);
    toy_start(&t);
    for (int64_t step = 0; step < 4; step++) {
        toy *here = &place[step % 2];
        *here = t;
        data = here->a, grad = here->grad_a;
        toy_step(here, run, step);
        assert_near(value_of(run, "grad_norm"), sqrt(sum_squares(here->grad_a, NULL, N_A)), "grad_norm");
        assert_near(value_of(run, "update_size"), sqrt(sum_squares(here->a, t.a, N_A)), "update_size");
        t = *here;
    }
    grad = NULL; /* no gradient this step: no norm of it, and that is said */
    toy_step(&t, run, 4);
    assert_int_equal(step_of(run, "grad_norm"), 3);
    assert_int_equal(state_of(run, "grad_norm"), PITOT_STATE_UNDEFINED);
    assert_int_equal(pitot_bind_param(run, id, NULL, NULL), PITOT_OK);
    toy_step(&t, run, 5);
    assert_non_null(strstr(why_of(run, "update_size"), "net.a"));
    assert_int_equal(step_of(run, "distance"), 4);
    assert_int_equal(pitot_bind_param(run, id, t.a, t.grad_a), PITOT_OK);
    toy_step(&t, run, 6);
    assert_int_equal(step_of(run, "distance"), 6);
    assert_string_equal(why_of(run, "update_size"), "");
    assert_near(value_of(run, "grad_norm"), sqrt(sum_squares(t.grad_a, NULL, N_A)), "bound again");
    assert_int_equal(pitot_bind_param(run, 2, t.a, t.grad_a), PITOT_EINVAL);
    assert_int_equal(pitot_bind_param(run, 0, t.a, t.grad_a), PITOT_EINVAL);
    pitot_close(run, PITOT_DONE);
}

/* A parameter that joins in the middle of a step counts from the next on, its distance from there; one that is added twice is one. */
static void test_parameters_later(void **state) {
    (void)state;
    toy t, joined;
    pitot_config c = { .struct_size = sizeof c, .probes = "economy" };
    pitot_run *run = must_open(path_of("later"), &c);
    pitot_param a = param_a, b = param_b;
    toy_start(&t);
    a.data = t.a, a.grad = t.grad_a, b.data = t.b, b.grad = t.grad_b;
    assert_int_equal(pitot_add_param(run, &a), 1);
    toy_step(&t, run, 0);
    pitot_begin(run, 1);
    toy_tell_forward(&t, run);
    toy_backward(&t, 1);
    pitot_after_backward(run);
    assert_int_equal(pitot_add_param(run, &b), 2);
    toy_update(&t, 0.5);
    pitot_after_update(run, 0.5);
    assert_near(value_of(run, "grad_norm"), sqrt(sum_squares(t.grad_a, NULL, N_A)), "before it joined");
    assert_int_equal(step_of(run, "update_size"), 1);
    joined = t;
    toy_step(&t, run, 2);
    assert_near(value_of(run, "grad_norm"), sqrt(sum_squares(t.grad_a, NULL, N_A) + sum_squares(t.grad_b, NULL, N_B)), "joined");
    assert_near(value_of(run, "distance/net.b"), 0, "distance from where it joined");
    double moved = sqrt(sum_squares(t.b, joined.b, N_B));
    toy_step(&t, run, 3);
    assert_near(value_of(run, "distance/net.b"), moved, "a step later");
    assert_int_equal(pitot_add_param(run, &a), 1);
    assert_int_equal(pitot_add_param(run, &b), 2);
    b.shape[0] = 2, b.shape[1] = 2;
    assert_int_equal(pitot_add_param(run, &b), PITOT_EMISMATCH);
    toy_step(&t, run, 4);
    assert_int_equal(step_of(run, "update_size/net.b"), 4);
    pitot_close(run, PITOT_DONE);
    char *manifest = read_text(path_of("later/run.json"));
    assert_non_null(strstr(manifest, "net.b"));
    free(manifest);
}

static void test_bad_parameters(void **state) {
    (void)state;
    pitot_run *run = must_open(NULL, NULL);
    char name[400];
    memset(name, 'x', sizeof name - 1), name[sizeof name - 1] = 0;
    const char *const names[] = { NULL, "", "a/b", "a\"b", "a\\b", "a#b", name };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pitot_param p = param_a;
        p.name = names[i];
        assert_int_equal(pitot_add_param(run, &p), PITOT_EINVAL);
    }
    static const int64_t shapes[][PITOT_DIMS] = {
        { 0 }, { -1 }, { 2, -3 }, { INT64_MAX, 2 }, { INT64_C(1) << 62, 8 }, { INT64_MAX / 2 }
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        pitot_param p = param_a;
        memcpy(p.shape, shapes[i], sizeof p.shape);
        assert_int_equal(pitot_add_param(run, &p), PITOT_EINVAL);
    }
    assert_int_equal(pitot_add_param(run, NULL), PITOT_EINVAL);
    assert_int_equal(health_of(run).errors, (int64_t)(sizeof names / sizeof *names + sizeof shapes / sizeof *shapes + 1));
    assert_int_equal(pitot_begin(run, 0) & PITOT_DUE_LOSS, PITOT_DUE_LOSS);
    pitot_close(run, PITOT_DONE);
}

/* ---- schedules and configurations ---- */

static int tracked_steps(const char *probes, const char *probe, int64_t steps, int64_t *which) {
    toy t;
    int n = 0;
    pitot_run *run = open_toy(&t, NULL, probes);
    for (int64_t step = 0; step < steps; step++) {
        toy_step(&t, run, step);
        if (step_of(run, probe) == step) which[n++] = step;
    }
    pitot_close(run, PITOT_DONE);
    return n;
}

static void test_schedules(void **state) {
    (void)state;
    static const struct {
        const char *probes, *probe;
        int64_t every; /* 0: never */
    } cases[] = {
        { "loss", "loss", 1 },
        { "loss@7", "loss", 7 },
        { "economy@4", "grad_norm", 4 },
        { "economy@4, grad_norm@6", "grad_norm", 6 },
        { "economy@4,grad_norm@6", "loss", 4 },
        { "grad_norm@6 economy@4", "grad_norm", 4 }, /* the later one wins */
        { "all@5", "update_ratio", 5 },
        { "full", "distance", 1 },
        { "business@3", "update_size", 3 },
        { "none", "loss", 0 },
        { "none, loss@2", "loss", 2 },
        { "", "loss", 0 },
        { "all", "grad", 0 },
        { NULL, "loss", 1 },
        { "loss@9223372036854775807", "loss", 100 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t which[40];
        int n = tracked_steps(cases[i].probes, cases[i].probe, 30, which), expected = 0;
        for (int64_t step = 0; cases[i].every && step < 30; step += cases[i].every, expected++) {
            if (expected < n && which[expected] == step) continue;
            fail_msg("%s: %s was not due at step %lld", cases[i].probes, cases[i].probe, (long long)step);
        }
        assert_int_equal(n, expected);
    }
}

/* @log: 0 to 9, then 20 steps a decade, each the first at or behind 10^(k/20). */
static void test_logarithmic(void **state) {
    (void)state;
    schedule s = { LOGARITHMIC, 1 };
    int counts[7] = { 0 }, decade = 0;
    int64_t last = -1;
    for (int64_t step = 0, end = 10; step < 1000000; step++) {
        if (step == end) end *= 10, decade++;
        if (!schedule_due(&s, step)) continue;
        counts[decade]++;
        if (step >= 100) assert_true((double)step / (double)last < 1.15 && (double)step / (double)last > 1.09);
        last = step;
    }
    assert_int_equal(counts[0], 10);
    for (int i = 1; i < 6; i++) assert_int_equal(counts[i], 20);
    for (int64_t step = 1; step <= INT64_C(1000000000000); step *= 10) assert_true(schedule_due(&s, step));
    assert_false(schedule_due(&s, 1000001));
}

static void must_refuse(const char *probes, const char *options, const char *fragment) {
    pitot_config c = { .struct_size = sizeof c, .probes = probes, .options = options };
    int64_t blocks = mem_count().blocks;
    pitot_run *run = pitot_open(path_of("refused"), &c);
    assert_non_null(run);
    if (!strstr(pitot_last_error(run), fragment)) fail_msg("\"%s\" does not contain \"%s\"", pitot_last_error(run), fragment);
    assert_int_equal(pitot_begin(run, 0), 0);
    assert_int_equal(pitot_after_backward(run), PITOT_EOFF);
    pitot_close(run, PITOT_DONE);
    assert_int_not_equal(access(path_of("refused"), F_OK), 0);
    assert_int_equal(mem_count().blocks, blocks);
}

static void test_refused(void **state) {
    (void)state;
    must_refuse("los", NULL, "unknown probe \"los\"; did you mean \"loss\"?");
    must_refuse("econmy", NULL, "did you mean \"economy\"?");
    must_refuse("loss, grad_nrm@10", NULL, "did you mean \"grad_norm\"?");
    must_refuse("zzzzzz", NULL, "known: economy, business, full, all, none");
    must_refuse("loss@0", NULL, "\"loss@0\"");
    must_refuse("loss@", NULL, "number of steps from 1 on");
    must_refuse("loss@-3", NULL, "number of steps");
    must_refuse("loss@ 3", NULL, "number of steps");
    must_refuse("loss@1.5", NULL, "or \"log\"");
    must_refuse("loss@log10", NULL, "or \"log\"");
    must_refuse("loss", "nonsense", "is not probe.option=value");
    must_refuse("loss", "los.x=1", "did you mean \"loss\"?");
    must_refuse("loss", "loss.x=1", "unknown option \"x\"");
}

/* ---- calls that make no sense ---- */

static void ignore_reading(void *user, const pitot_reading *r) {
    (void)user, (void)r;
}

/* Every function, on a run that is NULL or off. */
static void call_everything(pitot_run *run) {
    pitot_health h = { .struct_size = sizeof h };
    pitot_param p = param_a;
    char text[16] = "x";
    int32_t status;
    double value;
    pitot_real x[N_A] = { 0 };
    p.data = x, p.grad = x;
    assert_int_equal(pitot_add_param(run, &p), PITOT_EOFF);
    assert_int_equal(pitot_bind_param(run, 1, x, x), PITOT_EOFF);
    assert_int_equal(pitot_begin(run, 3), 0);
    assert_int_equal(pitot_due(run), 0);
    assert_int_equal(pitot_request(run, "loss"), PITOT_EOFF);
    assert_int_equal(pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1 }), PITOT_EOFF);
    assert_int_equal(pitot_after_forward(run, NULL), PITOT_EOFF);
    assert_int_equal(pitot_after_backward(run), PITOT_EOFF);
    assert_int_equal(pitot_after_update(run, 0.1), PITOT_EOFF);
    assert_int_equal(pitot_scalar(run, "val/loss", 1), PITOT_EOFF);
    assert_int_equal(pitot_checkpoint(run, path_of("never")), PITOT_EOFF);
    assert_int_equal(pitot_restore(run, path_of("never")), PITOT_EOFF);
    assert_int_equal(access(path_of("never"), F_OK), -1);
    pitot_readings(run, ignore_reading, NULL);
    assert_true(pitot_probe_state(run, "loss", &status, NULL) == (run ? PITOT_OK : PITOT_EOFF));
    assert_true(pitot_value(run, "loss", &value, NULL) < 0);
    assert_true(pitot_get_health(run, &h) == (run ? PITOT_OK : PITOT_EOFF));
    assert_true(pitot_report(run, text, sizeof text) >= 0);
    assert_true(pitot_report(run, NULL, 0) >= 0);
    assert_true(pitot_last_error(run)[0]);
}

static void test_null_and_off(void **state) {
    (void)state;
    toy t;
    call_everything(NULL);
    assert_int_equal(pitot_close(NULL, PITOT_DONE), PITOT_EOFF);
    pitot_config c = { .struct_size = sizeof c, .probes = "loss", .options = "loss.nonsense=1" };
    pitot_run *off = pitot_open(NULL, &c);
    call_everything(off);
    assert_int_equal(pitot_close(off, PITOT_DONE), PITOT_OK);
    off = pitot_open("/proc/nowhere/run", NULL); /* a folder that cannot be made */
    call_everything(off);
    pitot_close(off, PITOT_FAILED);
    pitot_run *run = open_toy(&t, NULL, "loss");
    assert_int_equal(pitot_request(run, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_request(run, "grad_norm"), PITOT_EINVAL);
    assert_int_equal(pitot_probe_state(run, NULL, NULL, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_probe_state(run, "grad_norm", NULL, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_value(run, NULL, NULL, NULL), PITOT_ENOTSUP);
    assert_int_equal(pitot_checkpoint(run, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_restore(run, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_restore(run, path_of("no such file")), PITOT_EIO);
    assert_int_equal(pitot_get_health(run, NULL), PITOT_EOFF);
    toy_step(&t, run, 0);
    assert_int_equal(pitot_scalar(run, NULL, 1), PITOT_EINVAL);
    assert_near(value_of(run, "loss"), t.loss, "still works");
    pitot_close(run, 77); /* an end that there is not */
}

/* Out of order: the step's values are lost, nothing else, and what was wrong is said. */
static void test_order(void **state) {
    (void)state;
    toy t;
    pitot_run *run = open_toy(&t, path_of("order"), "economy");
    assert_int_equal(pitot_after_forward(run,
                                         &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = 1, .losses = NULL }),
                     PITOT_EORDER);
    assert_int_equal(pitot_after_backward(run), PITOT_EORDER);
    assert_int_equal(pitot_after_update(run, 1), PITOT_EORDER);
    assert_int_equal(pitot_scalar(run, "early", 1), PITOT_EORDER);
    assert_int_equal(pitot_begin(run, -1), 0);
    assert_int_equal(health_of(run).errors, 5);
    pitot_begin(run, 0); /* no forward: no loss, but gradients */
    assert_int_equal(pitot_begin(run, 0), pitot_due(run));
    toy_backward(&t, 0);
    assert_int_equal(pitot_after_backward(run), PITOT_OK);
    assert_int_equal(pitot_after_backward(run), PITOT_EORDER);
    assert_int_equal(pitot_after_update(run, 0.1), PITOT_OK);
    assert_int_equal(step_of(run, "loss"), -1);
    assert_non_null(strstr(why_of(run, "loss"), "pitot_after_forward"));
    assert_int_equal(step_of(run, "grad_norm"), 0);
    pitot_begin(run, 1); /* no backward */
    toy_tell_forward(&t, run);
    assert_int_equal(pitot_after_update(run, 0.1), PITOT_OK);
    assert_int_equal(step_of(run, "grad_norm"), 0);
    pitot_begin(run, 2); /* no update: the next begin closes the step */
    toy_tell_forward(&t, run);
    pitot_after_backward(run);
    toy_step(&t, run, 3);
    assert_int_equal(step_of(run, "loss"), 3);
    pitot_begin(run, 4); /* batches that make no sense */
    assert_int_equal(pitot_after_forward(run, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_after_forward(run,
                                         &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 0, .loss = 1, .losses = NULL }),
                     PITOT_EINVAL);
    assert_int_equal(pitot_after_forward(run, &(pitot_batch){ .struct_size = 0, .n = 1, .loss = 1 }), PITOT_EINVAL);
    toy_step(&t, run, 2); /* back: a new segment */
    toy_step(&t, run, 3);
    pitot_close(run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("order"), &s);
    assert_int_equal(s.segments, 2);
    assert_int_equal(series_of(log, "loss").n, 2);
    assert_int_equal(series_of(log, "grad_norm").n, 3);
    pitot_log_close(log);
}

/* A host built with an older header hands in shorter structs; nothing behind their end is read or written. */
static void test_older_header(void **state) {
    (void)state;
    pitot_run *run = must_open(NULL, NULL);
    assert_int_equal(state_of(run, "loss"), PITOT_STATE_WAITING); /* NULL: economy */
    pitot_close(run, PITOT_DONE);
    pitot_config c = {
        .struct_size = offsetof(pitot_config, options), .probes = "loss", .options = "nonsense", .facts = "{", .flags = 99
    };
    run = must_open(NULL, &c);
    pitot_param p = param_a;
    pitot_real x[N_A] = { 1 };
    p.struct_size = offsetof(pitot_param, data_at);
    p.data = x, p.grad = x, p.data_at = p.grad_at = (void *)8;
    p.shape[0] = 3;
    assert_int_equal(pitot_add_param(run, &p), PITOT_EINVAL); /* a struct without a shape has none */
    p = param_a;
    p.struct_size = offsetof(pitot_param, group);
    p.data = x, p.grad = x, p.group = 12;
    assert_int_equal(pitot_add_param(run, &p), 1);
    pitot_begin(run, 0);
    assert_int_equal(pitot_after_forward(run, &(pitot_batch){ .struct_size = offsetof(pitot_batch, losses),
                                                              .n = 2,
                                                              .loss = 0.5,
                                                              .losses = (pitot_real *)8 }),
                     PITOT_OK);
    pitot_after_backward(run);
    pitot_after_update(run, 1);
    assert_near(value_of(run, "loss"), 0.5, "loss");
    pitot_health h;
    memset(&h, 0x5a, sizeof h);
    h.struct_size = offsetof(pitot_health, unfinished);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(pitot_get_health(run, &h), PITOT_OK);
        assert_int_equal(h.struct_size, offsetof(pitot_health, unfinished));
        assert_int_equal(h.tracked, 1);
        assert_int_equal(h.unfinished, 0x5a5a5a5a5a5a5a5a);
    }
    pitot_close(run, PITOT_DONE);
}

static void test_register(void **state) {
    (void)state;
    pitot_probe p = mine[0];
    assert_int_equal(pitot_probe_register(NULL), PITOT_EINVAL);
    assert_int_equal(pitot_probe_register(&mine[0]), PITOT_EINVAL); /* taken */
    p.name = "loss";
    assert_int_equal(pitot_probe_register(&p), PITOT_EINVAL);
    p.name = "t_new", p.abi = PITOT_ABI + 1;
    assert_int_equal(pitot_probe_register(&p), PITOT_EINVAL);
    p.abi = PITOT_ABI, p.struct_size = 8;
    assert_int_equal(pitot_probe_register(&p), PITOT_EINVAL);
    p.struct_size = sizeof p, p.outputs = NULL;
    assert_int_equal(pitot_probe_register(&p), PITOT_EINVAL);
    assert_null(pitot_probe_find("t_new"));
    assert_ptr_equal(pitot_probe_find("t_two"), &mine[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_register),       cmocka_unit_test(test_values),        cmocka_unit_test(test_values_in_log),
        cmocka_unit_test(test_grad_scale),     cmocka_unit_test(test_late_pointers), cmocka_unit_test(test_parameters_later),
        cmocka_unit_test(test_bad_parameters), cmocka_unit_test(test_schedules),     cmocka_unit_test(test_logarithmic),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_null_and_off),  cmocka_unit_test(test_order),
        cmocka_unit_test(test_older_header),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
