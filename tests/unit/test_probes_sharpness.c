/* Probes that hold curvature against the step: sharpness, batch_sharpness, directional_sharpness, critical_step, reduction_ratio,
   tiny_subspace. Against the dense Hessian of two nets (situation.h); against what optimizers do on quadratics at either side of their
   stability limit; where there is no value. */

#include "situation.h"

/* ---- against the dense Hessian ---- */

static int64_t gradient_of(const situation *s, double *g) {
    int64_t at = 0;
    for (int32_t k = 0; k < s->t.n_tensors; k++)
        for (int64_t j = 0; j < s->t.size[k]; j++) g[at++] = s->t.mean[k][j];
    assert_int_equal(at, s->size);
    return at;
}

static double product_of(const situation *s, const double *x, const double *y) { /* x'Hy */
    double all = 0;
    for (int64_t i = 0; i < s->size; i++)
        for (int64_t j = 0; j < s->size; j++) all += x[i] * s->hessian[i * s->size + j] * y[j];
    return all;
}

static double dot_of(const double *x, const double *y, int64_t n) {
    double all = 0;
    for (int64_t i = 0; i < n; i++) all += x[i] * y[i];
    return all;
}

static void step_of_net(const situation *s, double *step) {
    int64_t at = 0;
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        for (int64_t j = 0; j < p->size; j++, at++) step[at] = (double)p->data[j] - (double)s->before[at];
    }
}

static double size_of_hessian(const situation *s) {
    return fmax(fabs(s->values[0]), fabs(s->values[s->size - 1]));
}

static void check_sharpness(const situation *s) {
    double lambda = value_of(s->run, "sharpness.lambda"), residual = value_of(s->run, "sharpness.residual"),
           exact = s->values[s->size - 1], noise = 16 * close_by * size_of_hessian(s) * sqrt((double)s->size);
    assert_close(lambda, exact, 1, residual + noise, "largest eigenvalue");
    assert_true(residual <= 0.01 * size_of_hessian(s) * (1 + 1e-6) && lambda <= exact + noise);
    assert_close(value_of(s->run, "sharpness.limit"), 2 / s->lr, 1e-15, 2 / s->lr, "limit");
    assert_close(value_of(s->run, "sharpness"), lambda * s->lr / 2, 1e-14, fabs(lambda) * s->lr, "sharpness");
    assert_string_equal(why_of(s->run, "sharpness"), "against the limit of gradient descent");
}

static void check_batch_sharpness(const situation *s) {
    static double sum, weight;
    double g[MOST_D], square = dot_of(g, g, gradient_of(s, g)), value = product_of(s, g, g) / square,
                      scale = s->t.by * size_of_hessian(s) * sqrt((double)s->size);
    if (s->step == 0) sum = weight = 0;
    sum = 0.9 * sum + value, weight = 0.9 * weight + 1;
    assert_close(value_of(s->run, "batch_sharpness"), value, 4, scale, "batch sharpness");
    assert_close(value_of(s->run, "batch_sharpness.mean"), sum / weight, 4, scale, "its average");
    assert_close(value_of(s->run, "batch_sharpness.ratio"), sum / weight * s->lr / 2, 4 * s->lr, scale, "its ratio");
}

static void check_directional(const situation *s) {
    double d[MOST_D];
    step_of_net(s, d);
    assert_close(value_of(s->run, "directional_sharpness"), product_of(s, d, d) / dot_of(d, d, s->size), 4 * rounding,
                 size_of_hessian(s), "directional sharpness");
}

/* Of net and batch as they stand, with the parameters that the update left. */
static double loss_now(const situation *s) {
    double loss;
    pitot_net_batch b = batch_of(s, 0, s->c->n);
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    return loss;
}

static void check_critical_step(const situation *s) {
    double d[MOST_D], g[MOST_D], value;
    step_of_net(s, d), gradient_of(s, g);
    double slope = dot_of(g, d, s->size), bend = product_of(s, d, d), off = size_of_hessian(s) * dot_of(d, d, s->size) * rounding;
    if (bend > 4 * off) { /* gradient descent with lr reaches back to its start at 2 / (lr g'Hg/|g|^2) */
        value = value_of(s->run, "critical_step");
        assert_close(value, -2 * slope / bend, 8 * (rounding + off / bend), fabs(value), "critical step");
        assert_int_equal(step_of(s->run, "critical_step"), s->step);
    } else assert_true(step_of(s->run, "critical_step") < s->step);
}

static void check_reduction_ratio(const situation *s) {
    double d[MOST_D], g[MOST_D];
    step_of_net(s, d), gradient_of(s, g);
    double model = dot_of(g, d, s->size) + 0.5 * product_of(s, d, d), actual = loss_now(s) - s->loss, by = rounding * 10;
    assert_close(value_of(s->run, "reduction_ratio.model"), model, by, fabs(model), "the model's change");
    assert_close(value_of(s->run, "reduction_ratio.actual"), actual, 4 * close_by, fabs(s->loss), "the loss's change");
    assert_close(value_of(s->run, "reduction_ratio"), actual / model, by, fabs(actual / model), "reduction ratio");
}

static const slot *slot_of(const pitot_run *run, const char *name) {
    for (int32_t i = 0; i < run->n_slots; i++)
        if (strcmp(run->slot[i].probe->name, name) == 0) return &run->slot[i];
    fail_msg("there is no probe %s", name);
    return NULL;
}

/* The k vectors that the probe has kept: u (k,D). */
static void kept_vectors(const situation *s, const char *probe, int k, double *u) {
    const slot *p = slot_of(s->run, probe);
    for (int a = 0; a < k; a++)
        for (int64_t i = 0, at = 0; i < s->n_params; i++)
            for (int64_t j = 0, size = pitot_net_params(s->net)[i].size; j < size; j++)
                u[a * s->size + at++] = (double)p->tensor_state[s->attached.first - 1 + i][a * size + j];
}

typedef struct list_seen {
    const char *probe, *field;
    int64_t n;
    double values[64];
} list_seen;

static void see_list(void *user, const pitot_reading *r) {
    list_seen *l = user;
    if (!r->probe || strcmp(r->probe, l->probe) || strcmp(r->field, l->field) || r->kind != PITOT_READ_LIST) return;
    l->n = r->n;
    memcpy(l->values, r->numbers, (size_t)r->n * sizeof *r->numbers);
}

static void check_tiny_subspace(const situation *s) {
    static double u[2][16 * MOST_D];
    double g[MOST_D], share = 0, overlap = 0, noise = 32 * close_by * size_of_hessian(s) * sqrt((double)s->size),
                      residual = value_of(s->run, "tiny_subspace.residual"), by = 64 * close_by;
    int k = strcmp(s->c->loss, "mse") ? 3 : 10; /* classes; or not known */
    double *now = u[s->step & 1], *last = u[!(s->step & 1)];
    list_seen l = { "tiny_subspace", "eigenvalues", 0, { 0 } };
    pitot_readings(s->run, see_list, &l);
    assert_int_equal(l.n, k);
    kept_vectors(s, "tiny_subspace", k, now);
    double square = dot_of(g, g, gradient_of(s, g));
    for (int a = 0; a < k; a++) {
        const double *x = now + a * s->size;
        for (int b = 0; b <= a; b++) assert_close(dot_of(x, now + b * s->size, s->size), a == b, by, 1, "orthonormal vectors");
        for (int b = 0; b < k; b++) overlap += pow(dot_of(x, last + b * s->size, s->size), 2) / k;
        share += pow(dot_of(g, x, s->size), 2) / square;
        assert_close(product_of(s, x, x), l.values[a], 1, noise, "u'Hu");
        assert_close(l.values[a], s->values[s->size - 1 - a], 1, residual + noise, "eigenvalue");
    }
    assert_true(residual <= 0.01 * size_of_hessian(s) * (1 + 1e-6));
    assert_close(value_of(s->run, "tiny_subspace"), share, by + s->t.by, 1, "share");
    assert_close(value_of(s->run, "tiny_subspace.chance"), (double)k / (double)s->size, 1e-15, 1, "chance");
    if (s->step) assert_close(value_of(s->run, "tiny_subspace.overlap"), overlap, by, 1, "overlap");
    else assert_int_equal(step_of(s->run, "tiny_subspace.overlap"), -1);
}

/* The GGN column by column, its eigenvectors from LAPACK, samples' gradients along them. */
static void check_ggn_spectrum(const situation *s) {
    static double a[MOST_D * MOST_D], value[MOST_D], u[2][16 * MOST_D];
    static pitot_real e[MOST_D], column[MOST_D], theta[MOST_D];
    int64_t n = s->size, columns = strcmp(s->c->loss, "mse") ? 2 * s->c->n : 3 * s->c->n;
    int k = strcmp(s->c->loss, "mse") ? 3 : 10;
    double trace = 0, by = 64 * close_by, g[MOST_D], share = 0, overlap = 0, *now = u[s->step & 1], *last = u[!(s->step & 1)];
    list_seen l = { "ggn_spectrum", "eigenvalues", 0, { 0 } }, slope = { "ggn_spectrum", "gamma_mean", 0, { 0 } },
              snr = { "ggn_spectrum", "gamma_snr", 0, { 0 } }, bend = { "ggn_spectrum", "lambda_mean", 0, { 0 } };
    list_seen *const all[] = { &l, &slope, &snr, &bend };
    for (int i = 0; i < 4; i++) pitot_readings(s->run, see_list, all[i]);
    /* back to where the step was made */
    for (int64_t i = 0, at = 0; i < s->n_params; at += pitot_net_params(s->net)[i++].size) {
        const pitot_net_param *p = &pitot_net_params(s->net)[i];
        memcpy(theta + at, p->data, (size_t)p->size * sizeof *theta);
        memcpy(p->data, s->before + at, (size_t)p->size * sizeof *theta);
    }
    pitot_net_batch b = batch_of(s, 0, s->c->n);
    assert_int_equal(pitot_net_forward(s->net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    for (int64_t j = 0; j < n; j++) {
        memset(e, 0, sizeof e);
        e[j] = 1;
        assert_int_equal(pitot_net_ggnvp(s->net, e, column), PITOT_OK);
        for (int64_t i = 0; i < n; i++) a[i * n + j] = (double)column[i];
        trace += a[j * n + j];
    }
    for (int64_t i = 0, at = 0; i < s->n_params; at += pitot_net_params(s->net)[i++].size) {
        const pitot_net_param *p = &pitot_net_params(s->net)[i];
        memcpy(p->data, theta + at, (size_t)p->size * sizeof *theta);
    }
    kept_vectors(s, "ggn_spectrum", k, now);
    assert_close(value_of(s->run, "ggn_spectrum.trace"), trace, by, trace, "trace");
    double square = dot_of(g, g, gradient_of(s, g));
    for (int q = 0; q < k; q++) {
        double *x = now + q * n, mean = 0, squares = 0, product = 0;
        for (int64_t i = 0; i < n; i++) product += x[i] * dot_of(a + i * n, x, n);
        for (int64_t j = 0; j < s->c->n; j++) {
            double along = 0;
            for (int64_t i = 0, at = 0; i < s->n_params; at += pitot_net_params(s->net)[i++].size)
                along += dot_of(s->t.g[i] + j * pitot_net_params(s->net)[i].size, x + at, pitot_net_params(s->net)[i].size);
            mean += along / (double)s->c->n;
            squares += along * along;
        }
        double variance = (squares - (double)s->c->n * mean * mean) / (double)(s->c->n - 1);
        assert_close(l.values[l.n - 1 - q], product, by, trace, "u'Gu");
        assert_close(bend.values[k - 1 - q], product, by, trace, "mean curvature");
        assert_close(slope.values[k - 1 - q], fabs(mean), 1e3 * by, 1, "slope");
        assert_close(snr.values[k - 1 - q] * variance, mean * mean, 1e3 * by, 1 + squares, "its signal to noise");
        for (int r = 0; r < k; r++) overlap += pow(dot_of(x, last + r * n, n), 2) / k;
        share += pow(dot_of(g, x, n), 2) / square;
    }
    assert_close(value_of(s->run, "ggn_spectrum.share"), share, by, 1, "share");
    if (s->step) assert_close(value_of(s->run, "ggn_spectrum.overlap"), overlap, by, 1, "overlap");
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', (int)n, a, (int)n, value), 0);
    assert_true(l.n <= columns && l.n <= n && l.n >= k);
    for (int64_t i = 0; i < l.n; i++) assert_close(l.values[i], value[n - l.n + i], by, trace, "eigenvalue");
    for (int64_t i = 0; i < n - l.n; i++) assert_true(fabs(value[i]) <= 1e2 * by * trace);
}

/* Nodes lie inside of the spectrum and reach its ends; the trace is that of two vectors of signs, whose variance each is twice the sum of
   squares beside the diagonal (Hutchinson 1989). */
static void check_hess_spectrum(const situation *s) {
    list_seen nodes = { "hess_spectrum", "nodes", 0, { 0 } }, weights = { "hess_spectrum", "weights", 0, { 0 } };
    pitot_readings(s->run, see_list, &nodes);
    pitot_readings(s->run, see_list, &weights);
    assert_true(nodes.n == weights.n && nodes.n == 64);
    double mass = 0, first = 0, negative = 0, lo = nodes.values[0], hi = lo, exact = 0, beside = 0, size = size_of_hessian(s),
           noise = 64 * close_by * size * sqrt((double)s->size);
    for (int64_t k = 0; k < nodes.n; k++) {
        assert_true(weights.values[k] >= 0 && (k % 32 == 0 || nodes.values[k] >= nodes.values[k - 1]));
        mass += weights.values[k], first += weights.values[k] * nodes.values[k];
        negative += nodes.values[k] < 0 ? weights.values[k] : 0;
        lo = fmin(lo, nodes.values[k]), hi = fmax(hi, nodes.values[k]);
    }
    for (int64_t i = 0; i < s->size; i++)
        for (int64_t j = 0; j < s->size; j++)
            if (i == j) exact += s->hessian[i * s->size + i];
            else beside += pow(s->hessian[i * s->size + j], 2);
    double trace = value_of(s->run, "hess_spectrum");
    assert_close(mass, 1, 1e-10, 1, "mass");
    assert_close(trace, (double)s->size * first, 1e-10, (double)s->size * size, "trace of the nodes");
    assert_close(trace, exact, 6, sqrt(2 * beside / 2) + noise, "trace");
    assert_close(value_of(s->run, "hess_spectrum.negative_mass"), negative, 1e-10, 1, "negative mass");
    assert_close(value_of(s->run, "hess_spectrum.max"), hi, 1e-15, size, "largest node");
    assert_close(value_of(s->run, "hess_spectrum.min"), lo, 1e-15, size, "smallest node");
    assert_true(hi <= s->values[s->size - 1] + noise && lo >= s->values[0] - noise);
    assert_close(hi, s->values[s->size - 1], 0.05, size, "largest node");
    assert_close(lo, s->values[0], 0.05, size, "smallest node");
    assert_int_equal((int64_t)value_of(s->run, "hess_spectrum.parameters"), s->size);
    assert_int_equal((int64_t)value_of(s->run, "hess_spectrum.products"), 64);
}

static const reference references[] = {
    { "sharpness", check_sharpness, 0 },         { "batch_sharpness", check_batch_sharpness, 0 },
    { "tiny_subspace", check_tiny_subspace, 0 }, { "directional_sharpness", check_directional, 0 },
    { "critical_step", check_critical_step, 0 }, { "ggn_spectrum", check_ggn_spectrum, 0 },
    { "hess_spectrum", check_hess_spectrum, 0 }, { "reduction_ratio", check_reduction_ratio, 0 },
};

static void test_references(void **state) {
    (void)state;
    run_family("sharpness", references, sizeof references / sizeof *references, NULL);
}

/* ---- a run of one probe on one of the nets ---- */

static void open_alone(situation *s, const net_case *c, const char *optimizer, const char *probes, const char *options) {
    open_case(s, c);
    pitot_close(s->run, PITOT_DONE);
    s->run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = probes, .options = options, .optimizer = optimizer,
                                              .flags = PITOT_LATE });
    assert_int_equal(pitot_attach(&s->attached, s->net, s->run), PITOT_OK);
}

static double pass_alone(situation *s, int64_t step) {
    double loss;
    pitot_net_batch b = batch_of(s, 0, s->c->n);
    pitot_begin(s->run, step);
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    pitot_attached_forward(&s->attached, &b, loss);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    pitot_attached_backward(&s->attached);
    return loss;
}

/* With eigenvectors known to many digits, the share is that in the span of LAPACK's. */
static void test_exact_subspace(void **state) {
    (void)state;
    static situation s;
    const double tight = sizeof(pitot_real) == 8 ? 1e-9 : 2e-5;
    char options[120];
    uint64_t seed = 12;
    snprintf(options, sizeof options, "tiny_subspace.tolerance=%g\ntiny_subspace.products=1000\ntiny_subspace.k=5", tight);
    open_alone(&s, &cases[1], "sgd", "tiny_subspace", options);
    assert_int_equal(slot_of(s.run, "tiny_subspace")->per_value, 5);
    draw_batch(&s, &seed);
    pass_samples(&s);
    pass_alone(&s, 0);
    make_hessian(&s);
    pitot_after_update(s.run, 0.1);
    double g[MOST_D], share = 0, square = dot_of(g, g, gradient_of(&s, g));
    for (int a = 0; a < 5; a++) {
        double along = 0;
        for (int64_t i = 0; i < s.size; i++) along += g[i] * s.vectors[i * s.size + s.size - 1 - a];
        share += along * along / square;
    }
    double gap = (s.values[s.size - 5] - s.values[s.size - 6]) / size_of_hessian(&s);
    assert_true(gap > 0.01);
    assert_close(value_of(s.run, "tiny_subspace"), share, 8 * (tight + rounding) / gap, 1, "share");
    truth_free(&s.t);
    close_case(&s);
}

/* ---- Adam: its averages made anew in doubles from the samples' gradients ---- */

typedef struct adam_case {
    const char *optimizer;
    double decay;
    int amsgrad;
} adam_case;

static const adam_case adams[] = { { "adam", 0, 0 }, { "adam", 0.3, 0 }, { "adamw", 0.4, 0 }, { "adam", 0.1, 1 } };

static pitot_optim *make_adam(situation *s, const adam_case *a) {
    pitot_error error = { 0 };
    pitot_optim_tensor list[8];
    char decay[20];
    pitot_optim *o = pitot_optim_new(a->optimizer, &error);
    snprintf(decay, sizeof decay, "%g", a->decay);
    assert_int_equal(pitot_optim_set(o, "lr", "0.02", &error), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "betas", "0.8,0.95", &error), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "eps", "1e-4", &error), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "weight_decay", decay, &error), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "amsgrad", a->amsgrad ? "true" : "false", &error), PITOT_OK);
    for (int64_t i = 0; i < s->n_params; i++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[i];
        list[i] = (pitot_optim_tensor){ p->name, p->size, p->data, (const pitot_real *const *)&p->grad, { 0 } };
    }
    assert_int_equal(pitot_optim_prepare(o, list, s->n_params, 1, &error), PITOT_OK);
    s->attached.optim = o;
    static const struct {
        const char *name;
        double value;
    } told[] = { { "beta1", 0.8 }, { "beta2", 0.95 }, { "eps", 1e-4 } };
    for (int i = 0; i < 3; i++) pitot_hyper(s->run, -1, told[i].name, told[i].value);
    pitot_hyper(s->run, -1, "lr", 0.02), pitot_hyper(s->run, -1, "weight_decay", a->decay);
    pitot_hyper(s->run, -1, "amsgrad", a->amsgrad);
    return o;
}

/* Largest eigenvalue of P^(-1/2) (H + decay) P^(-1/2). */
static double largest_of(situation *s, const double *p, double decay, double *size) {
    int64_t n = s->size;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) s->vectors[i * n + j] = (s->hessian[i * n + j] + (i == j ? decay : 0)) / sqrt(p[i] * p[j]);
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', (int)n, s->vectors, (int)n, s->values), 0);
    *size = fmax(fabs(s->values[0]), fabs(s->values[n - 1]));
    return s->values[n - 1];
}

static void check_adam(const adam_case *a, const net_case *c) {
    static situation s;
    double v[MOST_D] = { 0 }, most[MOST_D] = { 0 }, p[MOST_D], g[MOST_D], size;
    uint64_t seed = 77;
    open_alone(&s, c, a->optimizer, "sharpness", sizeof(pitot_real) == 8 ? "sharpness.tolerance=1e-7" : "sharpness.tolerance=1e-4");
    pitot_optim *o = make_adam(&s, a);
    int in_gradient = strcmp(a->optimizer, "adam") == 0;
    double decay = in_gradient ? a->decay : 0, limit = 2 * 1.8 / (0.2 * 0.02) * (in_gradient ? 1 : 1 - 0.02 * a->decay / 2);
    for (int64_t step = 0; step < 6; step++) {
        draw_batch(&s, &seed);
        pass_samples(&s);
        keep_before(&s);
        pass_alone(&s, step);
        make_hessian(&s);
        gradient_of(&s, g);
        for (int64_t i = 0; i < s.size; i++) {
            double in = g[i] + decay * (double)s.before[i];
            v[i] = 0.95 * v[i] + 0.05 * in * in;
            most[i] = a->amsgrad ? fmax(most[i], v[i]) : v[i];
            p[i] = (1 - pow(0.8, (double)step + 1)) * (sqrt(most[i] / (1 - pow(0.95, (double)step + 1))) + 1e-4);
        }
        pitot_optim_step(o);
        pitot_after_update(s.run, 0.02);
        double exact = largest_of(&s, p, decay, &size), by = sizeof(pitot_real) == 8 ? 1e-6 : 2e-3;
        if (step == 0) {
            assert_int_equal(state_of(s.run, "sharpness"), PITOT_STATE_UNDEFINED);
            assert_non_null(strstr(why_of(s.run, "sharpness"), "before the first update"));
        } else {
            double lambda = value_of(s.run, "sharpness.lambda");
            if (!a->amsgrad) assert_close(lambda, exact, by, size, "preconditioned sharpness");
            /* the host shows the largest average, not the one that it is the largest of: P is known to a factor of sqrt(2) */
            assert_true(lambda >= exact - by * size && lambda <= sqrt(2) * exact + by * size);
            assert_close(value_of(s.run, "sharpness.limit"), limit, 1e-14, limit, "limit of Adam");
            assert_close(value_of(s.run, "sharpness"), value_of(s.run, "sharpness.lambda") / limit, 1e-14, 1e3, "ratio");
            assert_string_equal(why_of(s.run, "sharpness"), "against the limit of Adam");
        }
        assert_string_equal(pitot_last_error(s.run), "");
        truth_free(&s.t);
    }
    pitot_optim_free(o);
    close_case(&s);
}

static void test_adam(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof adams / sizeof *adams; i++)
        for (int c = 0; c < CASES; c++) check_adam(&adams[i], &cases[c]);
}

/* ---- quadratics: the oracle of stability ---- */

enum { Q = 6 };

typedef struct bowl { /* theta'A theta / 2 */
    double a[Q][Q];
    pitot_real theta[Q], grad[Q], v[Q];
    double x[Q], m[Q], scale; /* x: in double, for training; scale: what the products are off by (NaN) */
    pitot_run *run;
    int calls;
} bowl;

static void bowl_hvp(void *user, pitot_call *call) {
    bowl *b = user;
    b->calls++;
    for (int i = 0; i < Q; i++) {
        double sum = 0;
        for (int j = 0; j < Q; j++) sum += b->a[i][j] * (double)call->v[j];
        call->out[i] = (pitot_real)(b->scale * sum);
    }
    call->status = PITOT_OK;
}

static void bowl_forward(void *user, pitot_call *call) {
    const bowl *b = user;
    call->loss = 0;
    for (int i = 0; i < Q; i++)
        for (int j = 0; j < Q; j++) call->loss += 0.5 * (double)b->theta[i] * b->a[i][j] * (double)b->theta[j];
    call->status = PITOT_OK;
}

static void bowl_gradient(const bowl *b, const double *x, double *g) {
    for (int i = 0; i < Q; i++) {
        g[i] = 0;
        for (int j = 0; j < Q; j++) g[i] += b->a[i][j] * x[j];
    }
}

/* Eigenvalues between 0.2 and 3, turned by reflections. */
static bowl new_bowl(void) {
    static const double value[Q] = { 3, 2.2, 1.3, 0.8, 0.4, 0.2 };
    bowl b = { .scale = 1 };
    double u[Q], q[Q][Q];
    uint64_t seed = 5;
    for (int i = 0; i < Q; i++) u[i] = draw_normal(&seed);
    double square = dot_of(u, u, Q);
    for (int i = 0; i < Q; i++)
        for (int j = 0; j < Q; j++) q[i][j] = (i == j) - 2 * u[i] * u[j] / square;
    for (int i = 0; i < Q; i++)
        for (int j = 0; j < Q; j++)
            for (int k = 0; k < Q; k++) b.a[i][j] += q[i][k] * value[k] * q[j][k];
    for (int i = 0; i < Q; i++) b.v[i] = (pitot_real)(0.01 * (i + 1) * (i + 1)), b.x[i] = 1 + 0.1 * i;
    return b;
}

static void open_bowl(bowl *b, const char *optimizer, const char *probes, int groups) {
    b->run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = probes, .optimizer = optimizer, .flags = PITOT_LATE,
                                              .options = sizeof(pitot_real) == 8 ? "sharpness.tolerance=1e-9"
                                                                                 : "sharpness.tolerance=2e-5" });
    pitot_param p = { .struct_size = sizeof p, .name = "a", .data = b->theta, .grad = b->grad, .shape = { groups ? 2 : Q } };
    assert_int_equal(pitot_add_param(b->run, &p), 1);
    if (groups) {
        p = (pitot_param){
            .struct_size = sizeof p, .name = "b", .data = b->theta + 2, .grad = b->grad + 2, .shape = { Q - 2 }, .group = 1
        };
        assert_int_equal(pitot_add_param(b->run, &p), 2);
    }
    pitot_set_callbacks(b->run, &(pitot_callbacks){ sizeof(pitot_callbacks), .user = b, .hvp = bowl_hvp, .forward = bowl_forward });
}

/* A step at x, with an update that moves by `move` times the gradient; lr NaN: the host says none. */
static void look_at_bowl(bowl *b, int64_t step, double move, double lr) {
    double g[Q], loss = 0;
    bowl_gradient(b, b->x, g);
    for (int i = 0; i < Q; i++) b->theta[i] = (pitot_real)b->x[i], b->grad[i] = (pitot_real)g[i], loss += 0.5 * b->x[i] * g[i];
    pitot_begin(b->run, step);
    pitot_after_forward(b->run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = loss });
    pitot_preconditioner p = { .struct_size = sizeof p, .axis = -1, .n = Q, .factor = b->v, .power = -0.5, .eps = 1e-3 };
    pitot_add_preconditioner(b->run, &p);
    pitot_after_backward(b->run);
    for (int i = 0; i < Q; i++) b->theta[i] -= (pitot_real)move * b->grad[i];
    pitot_after_update(b->run, lr);
}

/* As many steps as there are eigenvalues: nodes are the eigenvalues, whatever the random vector; their weights are those of a vector of
   signs, (u'v)^2 / n. */
static void test_whole_spectrum(void **state) {
    (void)state;
    static const double value[Q] = { 0.2, 0.4, 0.8, 1.3, 2.2, 3 };
    bowl b = new_bowl();
    list_seen nodes = { "hess_spectrum", "nodes", 0, { 0 } };
    const double by = sizeof(pitot_real) == 8 ? 1e-9 : 1e-4;
    b.run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "hess_spectrum", .flags = PITOT_LATE,
                                             .options = "hess_spectrum.steps=6\nhess_spectrum.draws=3" });
    pitot_param p = { .struct_size = sizeof p, .name = "a", .data = b.theta, .grad = b.grad, .shape = { Q } };
    assert_int_equal(pitot_add_param(b.run, &p), 1);
    pitot_set_callbacks(b.run, &(pitot_callbacks){ sizeof(pitot_callbacks), .user = &b, .hvp = bowl_hvp });
    look_at_bowl(&b, 0, 0.1, 0.1);
    pitot_readings(b.run, see_list, &nodes);
    assert_int_equal(nodes.n, 3 * Q);
    for (int k = 0; k < 3 * Q; k++) assert_close(nodes.values[k], value[k % Q], by, 3, "node");
    assert_true(value_of(b.run, "hess_spectrum.negative_mass") == 0);
    b.scale = NAN;
    look_at_bowl(&b, 1, 0.1, 0.1);
    assert_int_equal(state_of(b.run, "hess_spectrum"), PITOT_STATE_UNDEFINED);
    pitot_close(b.run, PITOT_DONE);
}

/* What an optimizer with a frozen preconditioner makes of the bowl: 1 if it diverges. */
static int diverges(bowl *b, double lr, double momentum, double takes, int nesterov, int adaptive) {
    double length = 0;
    for (int i = 0; i < Q; i++) b->x[i] = 1 + 0.1 * i, b->m[i] = 0;
    for (int64_t step = 0; step < 100000; step++) {
        double g[Q];
        bowl_gradient(b, b->x, g);
        for (int i = 0; i < Q; i++) {
            b->m[i] = momentum * b->m[i] + takes * g[i];
            double d = nesterov ? g[i] + momentum * b->m[i] : b->m[i];
            b->x[i] -= lr * d / (adaptive ? sqrt((double)b->v[i]) + 1e-3 : 1);
        }
        length = sqrt(dot_of(b->x, b->x, Q));
        if (length > 1e3 || length < 1e-4) break;
    }
    assert_true(length > 1e3 || length < 1e-4);
    return length > 1e3;
}

typedef struct stability {
    const char *optimizer;
    double momentum, dampening;
    int nesterov;
    double times; /* limit times lr */
    const char *name;
} stability;

static const stability limits[] = {
    { "sgd", 0, 0, 0, 2, "gradient descent" },
    { "sgd", 0, 0.5, 0, 2, "gradient descent" }, /* without a buffer, dampening does nothing */
    { "", 0, 0, 0, 2, "gradient descent, as the host does not name its optimizer" },
    { "sgd", 0.9, 0, 0, 3.8, "heavy ball" },
    { "sgd", 0.5, 0, 0, 3, "heavy ball" },
    { "sgd", 0.9, 0.4, 0, 3.8 / 0.6, "heavy ball" },
    { "sgd", 0.9, 0, 1, 3.8 / 2.8, "Nesterov's momentum" },
    { "sgd", 0.5, 0, 1, 1.5, "Nesterov's momentum" },
    { "adam", 0.9, 0.9, 0, 38, "Adam" },
    { "adamw", 0.9, 0.9, 0, 38, "Adam" },
    { "adam", 0, 0, 0, 2, "Adam" },
};

/* A little below its limit each optimizer converges and the probe says so; a little above, it diverges. */
static void test_edge_of_stability(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const stability *l = &limits[i];
        int adaptive = l->optimizer[0] == 'a';
        bowl b = new_bowl();
        double scaled[Q][Q], value[Q];
        for (int r = 0; r < Q; r++)
            for (int c = 0; c < Q; c++)
                scaled[r][c] = b.a[r][c] / (adaptive ? sqrt((sqrt((double)b.v[r]) + 1e-3) * (sqrt((double)b.v[c]) + 1e-3)) : 1);
        assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', Q, scaled[0], Q, value), 0);
        for (int side = -1; side <= 1; side += 2) {
            double ratio = 1 + 1e-3 * side, lr = ratio * l->times / value[Q - 1];
            char why[100];
            open_bowl(&b, l->optimizer, "sharpness", 0);
            pitot_hyper(b.run, -1, "lr", lr), pitot_hyper(b.run, -1, adaptive ? "beta1" : "momentum", l->momentum);
            pitot_hyper(b.run, -1, "dampening", l->dampening), pitot_hyper(b.run, -1, "nesterov", l->nesterov);
            pitot_hyper(b.run, -1, "beta2", 1); /* v stays as it is */
            for (int r = 0; r < Q; r++) b.x[r] = 1;
            look_at_bowl(&b, 0, 0, lr);
            assert_close(value_of(b.run, "sharpness"), ratio, sizeof(pitot_real) == 8 ? 1e-9 : 1e-4, 1, l->name);
            assert_int_equal(value_of(b.run, "sharpness") > 1, side > 0);
            snprintf(why, sizeof why, "against the limit of %s", l->name);
            assert_string_equal(why_of(b.run, "sharpness"), why);
            pitot_close(b.run, PITOT_DONE);
            assert_int_equal(diverges(&b, lr, l->momentum, l->momentum != 0 ? 1 - l->dampening : 1, l->nesterov, adaptive),
                             side > 0);
        }
    }
}

/* L2 decay is part of what is descended on; a decay apart from the gradient takes its share of the limit. */
static void test_decay(void **state) {
    (void)state;
    bowl b = new_bowl();
    const double lr = 0.1, decay = 0.7;
    for (int apart = 0; apart < 2; apart++) {
        open_bowl(&b, apart ? "adamw" : "sgd", "sharpness", 0);
        pitot_hyper(b.run, -1, "lr", lr), pitot_hyper(b.run, -1, "weight_decay", decay), pitot_hyper(b.run, -1, "beta2", 1);
        for (int i = 0; i < Q; i++) b.v[i] = 1, b.x[i] = 1;
        look_at_bowl(&b, 0, 0, lr);
        double lambda = apart ? 3 / 1.001 : 3 + decay, limit = apart ? 38 / lr * (1 - lr * decay / 2) : 2 / lr;
        assert_close(value_of(b.run, "sharpness.lambda"), lambda, 1e-4, 1, "lambda with decay");
        assert_close(value_of(b.run, "sharpness.limit"), limit, 1e-13, limit, "limit with decay");
        pitot_close(b.run, PITOT_DONE);
    }
}

/* x -= lr (decay x + m / P), m = b m + (1-b) g: the limit with a decay apart is where an eigenvalue of that passes -1. */
static void test_decay_oracle(void **state) {
    (void)state;
    const double b = 0.9, lr = 0.5, decay = 0.3;
    for (int side = -1; side <= 1; side += 2) {
        double limit = 2 * (1 + b) / ((1 - b) * lr) * (1 - lr * decay / 2), lambda = limit * (1 + 1e-3 * side), x = 1, m = 0;
        for (int step = 0; step < 20000 && fabs(x) < 1e6; step++) {
            m = b * m + (1 - b) * lambda * x;
            x = (1 - lr * decay) * x - lr * m;
        }
        assert_int_equal(fabs(x) > 1e3, side > 0);
        assert_int_equal(fabs(x) < 1e-3, side < 0);
    }
}

/* Groups with learning rates of their own: the largest eigenvalue of L^(1/2) A L^(1/2) / lr, L = diag(lr_g). */
static void test_groups(void **state) {
    (void)state;
    bowl b = new_bowl();
    double scaled[Q][Q], value[Q];
    for (int r = 0; r < Q; r++)
        for (int c = 0; c < Q; c++) scaled[r][c] = (b.a[r][c] + (r == c && r < 2 ? 0.5 : 0)) * (r < 2 ? 1 : 2) * (c < 2 ? 1 : 2);
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', Q, scaled[0], Q, value), 0);
    open_bowl(&b, "sgd", "sharpness", 1);
    pitot_hyper(b.run, 1, "lr", 0.4), pitot_hyper(b.run, 0, "weight_decay", 0.5);
    look_at_bowl(&b, 0, 0, 0.1); /* 0.1 comes too late to say what 0.4 is beside it */
    assert_int_equal(state_of(b.run, "sharpness"), PITOT_STATE_UNDEFINED);
    assert_non_null(strstr(why_of(b.run, "sharpness"), "groups have learning rates"));
    pitot_hyper(b.run, -1, "lr", 0.1);
    look_at_bowl(&b, 1, 0, 0.1);
    assert_close(value_of(b.run, "sharpness"), value[Q - 1] * 0.1 / 2, 1e-4, 1, "sharpness with two learning rates");
    pitot_close(b.run, PITOT_DONE);
}

/* A host that says its learning rate with the update only. */
static void test_late_rate(void **state) {
    (void)state;
    bowl b = new_bowl();
    open_bowl(&b, "sgd", "sharpness, batch_sharpness", 0);
    for (int64_t step = 0; step < 3; step++) {
        double g[Q], h[Q], lr = 0.1 * (double)(step + 1);
        bowl_gradient(&b, b.x, g), bowl_gradient(&b, g, h);
        look_at_bowl(&b, step, 0, lr);
        assert_close(value_of(b.run, "sharpness"), 3 * lr / 2, 1e-4, 1, "sharpness");
        assert_close(value_of(b.run, "batch_sharpness.ratio"), dot_of(g, h, Q) / dot_of(g, g, Q) * lr / 2, 1e-5, 1, "ratio");
        assert_int_equal(state_of(b.run, "sharpness"), PITOT_STATE_OK);
    }
    look_at_bowl(&b, 3, 0, 0); /* no update was made */
    assert_int_equal(state_of(b.run, "sharpness"), PITOT_STATE_UNDEFINED);
    assert_int_equal(step_of(b.run, "sharpness"), 2);
    assert_int_equal(step_of(b.run, "batch_sharpness"), 3);
    assert_int_equal(step_of(b.run, "batch_sharpness.ratio"), 2);
    pitot_close(b.run, PITOT_DONE);
}

/* On a quadratic the model is exact, and the critical step is known: 2 / (lr g'Ag/|g|^2). */
static void test_model(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const double lr[3] = { 0.2, 0.9, 3 };
        bowl b = new_bowl();
        double g[Q], h[Q];
        bowl_gradient(&b, b.x, g), bowl_gradient(&b, g, h);
        double along = dot_of(g, h, Q) / dot_of(g, g, Q);
        open_bowl(&b, "sgd", "directional_sharpness, critical_step, reduction_ratio", 0);
        look_at_bowl(&b, 0, lr[i], lr[i]);
        assert_close(value_of(b.run, "directional_sharpness"), along, 1e-5, 1, "directional sharpness");
        assert_close(value_of(b.run, "critical_step"), 2 / (lr[i] * along), 1e-5, 10, "critical step");
        assert_close(value_of(b.run, "reduction_ratio"), 1, 1e-4, 1, "reduction ratio");
        assert_int_equal(b.calls, 1); /* one product for all three */
        pitot_close(b.run, PITOT_DONE);
    }
}

/* ---- where there is no value ---- */

static void must_be_undefined(const bowl *b, const char *probe, const char *why) {
    if (state_of(b->run, probe) != PITOT_STATE_UNDEFINED || !strstr(why_of(b->run, probe), why))
        fail_msg("%s: state %d: \"%s\", not \"%s\"", probe, state_of(b->run, probe), why_of(b->run, probe), why);
}

static const char six[] = "sharpness, batch_sharpness, tiny_subspace, directional_sharpness, critical_step, reduction_ratio";

static void test_undefined(void **state) {
    (void)state;
    bowl b = new_bowl(), good = b;
    open_bowl(&b, "sgd", six, 0);
    pitot_hyper(b.run, -1, "lr", 0.1);
    memset(b.x, 0, sizeof b.x); /* the gradient is zero, and so is the step */
    look_at_bowl(&b, 0, 0.1, 0.1);
    assert_close(value_of(b.run, "sharpness"), 0.15, 1e-4, 1, "sharpness at the minimum");
    must_be_undefined(&b, "batch_sharpness", "zero"), must_be_undefined(&b, "tiny_subspace", "zero");
    must_be_undefined(&b, "directional_sharpness", "move"), must_be_undefined(&b, "critical_step", "move");
    must_be_undefined(&b, "reduction_ratio", "move");
    memcpy(b.x, good.x, sizeof b.x);
    b.x[2] = NAN;
    look_at_bowl(&b, 1, 0.1, 0.1);
    must_be_undefined(&b, "batch_sharpness", "not finite"), must_be_undefined(&b, "tiny_subspace", "not finite");
    must_be_undefined(&b, "directional_sharpness", "not finite"), must_be_undefined(&b, "critical_step", "not finite");
    must_be_undefined(&b, "reduction_ratio", "not finite");
    memcpy(b.x, good.x, sizeof b.x);
    b.scale = NAN;
    look_at_bowl(&b, 2, 0.1, 0.1);
    must_be_undefined(&b, "sharpness", "not finite"), must_be_undefined(&b, "batch_sharpness", "not finite");
    must_be_undefined(&b, "tiny_subspace", "not finite"), must_be_undefined(&b, "directional_sharpness", "not finite");
    b.scale = -1; /* a hill */
    look_at_bowl(&b, 3, 0.1, 0.1);
    must_be_undefined(&b, "critical_step", "bottom");
    assert_true(value_of(b.run, "sharpness") < 0 && value_of(b.run, "batch_sharpness") < 0);
    b.scale = 1;
    look_at_bowl(&b, 4, sizeof(pitot_real) == 8 ? 1e-15 : 1e-7, 0.1); /* less than losses can show */
    must_be_undefined(&b, "reduction_ratio", "too small");
    look_at_bowl(&b, 5, 0.1, 0.1); /* and all is well again */
    for (const char *const *p = (const char *const[]){ "sharpness", "batch_sharpness", "tiny_subspace", "directional_sharpness",
                                                       "critical_step", "reduction_ratio", NULL };
         *p; p++) {
        assert_int_equal(state_of(b.run, *p), PITOT_STATE_OK);
        assert_int_equal(step_of(b.run, *p), 5);
    }
    assert_close(value_of(b.run, "tiny_subspace"), 1, 1e-5, 1, "share in all directions there are");
    assert_string_equal(pitot_last_error(b.run), "");
    pitot_close(b.run, PITOT_DONE);
}

/* Other optimizers' limits are not known; 2/lr is no limit of Adam's for batch_sharpness. */
static void test_other_optimizers(void **state) {
    (void)state;
    bowl b = new_bowl();
    open_bowl(&b, "shampoo", six, 0);
    pitot_hyper(b.run, -1, "lr", 0.1);
    look_at_bowl(&b, 0, 0.1, 0.1);
    must_be_undefined(&b, "sharpness", "no stability limit");
    assert_int_equal(step_of(b.run, "batch_sharpness"), 0);
    assert_int_equal(step_of(b.run, "batch_sharpness.ratio"), -1);
    assert_non_null(strstr(why_of(b.run, "batch_sharpness"), "gradient descent"));
    pitot_close(b.run, PITOT_DONE);
}

/* Averages and eigenvectors go on after a resume: from a checkpoint, the same values as without the break, and the overlap at once. */
static void test_resume(void **state) {
    (void)state;
    bowl a = new_bowl(), b = a;
    static const char probes[] = "batch_sharpness, tiny_subspace, sharpness";
    open_bowl(&a, "sgd", probes, 0);
    for (int64_t step = 0; step < 3; step++) a.x[step] += 0.5, look_at_bowl(&a, step, 0.1, 0.1);
    assert_int_equal(pitot_checkpoint(a.run, path_of("state")), PITOT_OK);
    open_bowl(&b, "sgd", probes, 0);
    assert_int_equal(pitot_restore(b.run, path_of("state")), PITOT_OK);
    memcpy(b.x, a.x, sizeof b.x);
    look_at_bowl(&a, 3, 0.1, 0.1), look_at_bowl(&b, 3, 0.1, 0.1);
    static const char *const names[] = {
        "batch_sharpness.mean", "batch_sharpness.ratio", "tiny_subspace", "tiny_subspace.overlap", "sharpness", "sharpness.products"
    };
    for (int i = 0; i < 6; i++) assert_true(value_of(a.run, names[i]) == value_of(b.run, names[i]));
    pitot_close(a.run, PITOT_DONE);
    pitot_close(b.run, PITOT_DONE);
}

/* ---- training goes the same way with these probes and without ---- */

static void train(situation *s, const char *optimizer, const char *momentum, int64_t steps) {
    pitot_error error = { 0 };
    pitot_optim_tensor list[8];
    uint64_t seed = 31;
    pitot_optim *o = pitot_optim_new(optimizer, &error);
    if (momentum) assert_int_equal(pitot_optim_set(o, "momentum", momentum, &error), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "lr", "0.05", &error), PITOT_OK);
    for (int64_t i = 0; i < s->n_params; i++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[i];
        list[i] = (pitot_optim_tensor){ p->name, p->size, p->data, (const pitot_real *const *)&p->grad, { 0 } };
    }
    assert_int_equal(pitot_optim_prepare(o, list, s->n_params, 1, &error), PITOT_OK);
    s->attached.optim = o;
    pitot_hyper(s->run, -1, "lr", 0.05);
    for (int64_t step = 0; step < steps; step++) {
        draw_batch(s, &seed);
        s->loss = pass_alone(s, step);
        pitot_optim_step(o);
        pitot_after_update(s->run, 0.05);
    }
    pitot_optim_free(o);
}

static void test_training_undisturbed(void **state) {
    (void)state;
    static situation with, without;
    static const char *const optimizers[][2] = { { "sgd", NULL }, { "sgd", "0.9" }, { "adam", NULL }, { "adamw", NULL } };
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < CASES; c++) {
            open_alone(&with, &cases[c], optimizers[i][0], six, NULL);
            open_alone(&without, &cases[c], optimizers[i][0], "none", NULL);
            train(&with, optimizers[i][0], optimizers[i][1], 12);
            train(&without, optimizers[i][0], optimizers[i][1], 12);
            assert_int_equal(step_of(with.run, "directional_sharpness"), 11);
            assert_int_equal(step_of(with.run, "sharpness"), 11);
            assert_true(with.loss == without.loss);
            for (int64_t k = 0; k < with.n_params; k++) {
                const pitot_net_param *p = &pitot_net_params(with.net)[k], *q = &pitot_net_params(without.net)[k];
                assert_memory_equal(p->data, q->data, (size_t)p->size * sizeof *p->data);
            }
            close_case(&with), close_case(&without);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_exact_subspace),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_whole_spectrum),
        cmocka_unit_test(test_edge_of_stability),
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_decay_oracle),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_late_rate),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_undefined),
        cmocka_unit_test(test_other_optimizers),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_training_undisturbed),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
