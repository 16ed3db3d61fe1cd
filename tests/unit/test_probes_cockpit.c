/* Cockpit's quantities and BackPACK's (situation.h), from the samples' gradients, losses and the dense Hessian. */

#include "situation.h"

#include <float.h>

static const double by = sizeof(pitot_real) == 8 ? 1e-10 : 2e-3; /* of what is made of many rounded numbers */

/* Value j of D of sample n's gradient. */
static double gradient(const truth *t, int64_t n, int64_t j) {
    int32_t k = 0;
    while (j >= t->size[k]) j -= t->size[k++];
    return t->g[k][n * t->size[k] + j];
}

static double mean_gradient(const truth *t, int64_t j) {
    double sum = 0;
    for (int64_t n = 0; n < t->n; n++) sum += gradient(t, n, j);
    return sum / (double)t->n;
}

static double product(const situation *s, int64_t n, int64_t m) { /* m = -1: with the mean */
    double all = 0;
    for (int64_t j = 0; j < s->size; j++) all += gradient(&s->t, n, j) * (m < 0 ? mean_gradient(&s->t, j) : gradient(&s->t, m, j));
    return all;
}

static void check(const situation *s, const char *probe, double expected, double size) {
    assert_int_equal(step_of(s->run, probe), s->step);
    assert_close(value_of(s->run, probe), expected, by, size, probe);
}

/* ---- the gradient tests and what else noise says ---- */

typedef struct sums {
    double n, square, along_square, mean_square;
} sums;

static sums sums_of(const situation *s) {
    sums a = { .n = (double)s->t.n };
    for (int64_t n = 0; n < s->t.n; n++) a.square += product(s, n, n), a.along_square += product(s, n, -1) * product(s, n, -1);
    for (int64_t j = 0; j < s->size; j++) a.mean_square += mean_gradient(&s->t, j) * mean_gradient(&s->t, j);
    return a;
}

/* As Cockpit writes them: with the mean taken off at the end. */
static void check_norm_test(const situation *s) {
    sums a = sums_of(s);
    double v = sqrt((a.square / a.mean_square - a.n) / (a.n * (a.n - 1)));
    check(s, "norm_test", v, v);
}

static void check_inner_test(const situation *s) {
    sums a = sums_of(s);
    double v = sqrt((a.along_square / (a.mean_square * a.mean_square) - a.n) / (a.n * (a.n - 1)));
    check(s, "inner_test", v, v);
}

static void check_ortho_test(const situation *s) {
    sums a = sums_of(s);
    double v = sqrt((a.square / a.mean_square - a.along_square / (a.mean_square * a.mean_square)) / (a.n * (a.n - 1)));
    check(s, "ortho_test", v, v);
    double norm = value_of(s->run, "norm_test"), inner = value_of(s->run, "inner_test"), ortho = value_of(s->run, "ortho_test");
    assert_close(norm * norm, inner * inner + ortho * ortho, by, norm * norm, "norm^2 = inner^2 + ortho^2");
}

static void check_cabs(const situation *s) {
    sums a = sums_of(s);
    double v = s->lr * (a.square - a.n * a.mean_square) / (a.n * s->loss);
    check(s, "cabs", v, v);
}

static void check_early_stopping(const situation *s) {
    double n = (double)s->t.n, ratios = 0;
    for (int64_t j = 0; j < s->size; j++) {
        double g = mean_gradient(&s->t, j), variance = 0;
        for (int64_t i = 0; i < s->t.n; i++) variance += pow(gradient(&s->t, i, j) - g, 2) / (n - 1);
        ratios += g * g / (variance + 1e-5);
    }
    check(s, "early_stopping", 1 - n * ratios / (double)s->size, n * ratios / (double)s->size);
}

/* ---- alpha: by least squares of LAPACK's, in lengths of parameters ---- */

typedef struct end {
    double loss, loss_noise, slope, slope_noise;
} end;

static end end_of(const situation *s, const double *direction, double length) {
    double n = (double)s->t.n, slopes[MOST_N], mean = 0;
    end e = { .loss = s->loss };
    for (int64_t i = 0; i < s->t.n; i++) {
        slopes[i] = 0;
        for (int64_t j = 0; j < s->size; j++) slopes[i] += gradient(&s->t, i, j) * direction[j] / length;
        e.slope += slopes[i] / n;
        mean += s->losses[i] / n;
    }
    for (int64_t i = 0; i < s->t.n; i++) {
        e.loss_noise += pow(s->losses[i] - mean, 2) / (n - 1);
        e.slope_noise += pow(slopes[i] - e.slope, 2) / (n - 1);
    }
    return e;
}

static double alpha_of(end a, end b, double tau) {
    const double phi[4][3] = { { 1, 0, 0 }, { 1, tau, tau * tau }, { 0, 1, 0 }, { 0, 1, 2 * tau } };
    const double y[4] = { a.loss, b.loss, a.slope, b.slope };
    const double noise[4] = { a.loss_noise, b.loss_noise, a.slope_noise, b.slope_noise };
    double m[12], w[4];
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 3; j++) m[i * 3 + j] = phi[i][j] / sqrt(noise[i]);
        w[i] = y[i] / sqrt(noise[i]);
    }
    assert_int_equal(LAPACKE_dgels(LAPACK_ROW_MAJOR, 'N', 4, 3, 1, m, 3, w, 1), 0);
    return w[2] <= 0 ? -1 : -2 * tau * w[2] / w[1] - 1;
}

static void check_alpha(const situation *s) {
    static double direction[MOST_D], length;
    static end start;
    if (s->step > 0) {
        double v = alpha_of(start, end_of(s, direction, length), length);
        assert_int_equal(step_of(s->run, "alpha"), s->step - 1);
        assert_close(value_of(s->run, "alpha"), v, by, 10 * (1 + fabs(v)) * (1 + fabs(v)), "alpha");
    }
    length = 0;
    for (int64_t k = 0, j = 0; k < s->n_params; k++)
        for (int64_t i = 0; i < pitot_net_params(s->net)[k].size; i++, j++) {
            direction[j] = (double)(pitot_net_params(s->net)[k].data[i] - s->before[j]);
            length += direction[j] * direction[j];
        }
    length = sqrt(length);
    start = end_of(s, direction, length);
}

/* ---- readings ---- */

typedef struct seen {
    const situation *s;
    const char *probe;
    void (*look)(const situation *s, const pitot_reading *r, int64_t at); /* at: of the tensor's first value in vectors of D */
    int n;
} seen;

static void see(void *user, const pitot_reading *r) {
    seen *c = user;
    int64_t at = 0;
    if (!r->probe || strcmp(r->probe, c->probe)) return;
    for (int64_t k = 0; r->tensor && strcmp(pitot_net_params(c->s->net)[k].name, r->tensor); k++)
        at += pitot_net_params(c->s->net)[k].size;
    c->look(c->s, r, at);
    c->n++;
}

static void look_at(const situation *s, const char *probe, void (*look)(const situation *s, const pitot_reading *r, int64_t at),
                    int n) {
    seen c = { s, probe, look, 0 };
    pitot_readings(s->run, see, &c);
    assert_int_equal(c.n, n);
}

/* ---- histograms ---- */

static int64_t bin_of(double v, double lo, double hi, int64_t bins) {
    int64_t k = 0;
    while (k + 1 < bins && v >= lo + (double)(k + 1) * ((hi - lo) / (double)bins)) k++;
    return k;
}

/* A value within rounding of an edge may fall on either side in float. */
static void look_at_counts(const situation *s, const pitot_reading *r, int64_t bins, int64_t y_bins) {
    static double counts[2000];
    double off = 0, all = 0;
    memset(counts, 0, sizeof counts);
    for (int64_t j = 0; j < s->size; j++)
        for (int64_t i = 0; i < s->t.n; i++) {
            double g = gradient(&s->t, i, j);
            if (y_bins) counts[bin_of(g, -1, 1, bins) * y_bins + bin_of((double)s->before[j], -2, 2, y_bins)]++;
            else counts[bin_of(g, -2, 2, bins)]++;
        }
    for (int64_t k = 0; k < r->n; k++) off += fabs(r->numbers[k] - counts[k]), all += r->numbers[k];
    assert_true(all == (double)(s->size * s->t.n));
    assert_true(off <= (sizeof(pitot_real) == 8 ? 0 : 4));
}

static void look_1d(const situation *s, const pitot_reading *r, int64_t at) {
    (void)at;
    if (strcmp(r->field, "counts") == 0) look_at_counts(s, r, 100, 0);
    else assert_true(r->n == 101 && r->numbers[0] == -2 && r->numbers[50] == 0 && r->numbers[100] == 2);
}

static void look_2d(const situation *s, const pitot_reading *r, int64_t at) {
    (void)at;
    if (strcmp(r->field, "counts") == 0) look_at_counts(s, r, 40, 50);
    else assert_true(r->n == (*r->field == 'x' ? 41 : 51));
}

static void check_grad_hist_1d(const situation *s) {
    look_at(s, "grad_hist_1d", look_1d, 2);
}

static void check_grad_hist_2d(const situation *s) {
    look_at(s, "grad_hist_2d", look_2d, 3);
}

/* ---- curvature ---- */

static double hessian_at(const situation *s, int64_t j) {
    return s->hessian[j * s->size + j];
}

static void check_hess_trace(const situation *s) {
    double all = 0, size = 0;
    for (int64_t k = 0, j = 0; k < s->n_params; k++) {
        double trace = 0, part = 0;
        char key[64];
        for (int64_t i = 0; i < pitot_net_params(s->net)[k].size; i++, j++)
            trace += hessian_at(s, j), part += fabs(hessian_at(s, j));
        snprintf(key, sizeof key, "hess_trace/%s", pitot_net_params(s->net)[k].name);
        check(s, key, trace, part);
        all += trace, size += part;
    }
    check(s, "hess_trace", all, size);
}

static void check_tic_diag(const situation *s) {
    double all = 0, size = 0;
    for (int64_t j = 0; j < s->size; j++) {
        double second = 0, c = hessian_at(s, j) + 1e-7;
        for (int64_t i = 0; i < s->t.n; i++) second += gradient(&s->t, i, j) * gradient(&s->t, i, j) / (double)s->t.n;
        all += second / c;
        size += second / fabs(c) * (1 + fabs(s->values[s->size - 1] / c)); /* of a diagonal as good as its largest value is */
    }
    check(s, "tic_diag", all, size);
}

static void check_tic_trace(const situation *s) {
    double trace = 0, size = 0, v = sums_of(s).square / (double)s->t.n;
    for (int64_t j = 0; j < s->size; j++) trace += hessian_at(s, j), size += fabs(hessian_at(s, j));
    v /= trace + 1e-7;
    check(s, "tic_trace", v, fabs(v) * (1 + size / fabs(trace)));
}

static double largest_of(const double *m, int64_t n) {
    double most = 0;
    for (int64_t j = 0; j < n; j++) most = fmax(most, fabs(m[j * n + j]));
    return most;
}

static void look_hessian(const situation *s, const pitot_reading *r, int64_t at) {
    double size = largest_of(s->hessian, s->size);
    for (int64_t j = 0; j < r->n; j++) assert_close((double)r->reals[j], hessian_at(s, at + j), by, size, "H_jj");
}

/* Products, which leave no trace, at the point of the step. */
static void dense_ggn(const situation *s, double *ggn, int64_t samples_from, int64_t samples) {
    static pitot_real after[MOST_D], e[MOST_D], column[MOST_D];
    double loss;
    pitot_net_batch b = batch_of(s, samples_from, samples);
    for (int64_t k = 0, j = 0; k < s->n_params; j += pitot_net_params(s->net)[k++].size) {
        size_t bytes = (size_t)pitot_net_params(s->net)[k].size * sizeof *e;
        memcpy(after + j, pitot_net_params(s->net)[k].data, bytes);
        memcpy(pitot_net_params(s->net)[k].data, s->before + j, bytes);
    }
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    for (int64_t j = 0; j < s->size; j++) {
        memset(e, 0, sizeof e);
        e[j] = 1;
        assert_int_equal(pitot_net_ggnvp(s->net, e, column), PITOT_OK);
        for (int64_t i = 0; i < s->size; i++) ggn[i * s->size + j] = (double)column[i];
        assert_int_equal(pitot_net_hvp(s->net, e, column), PITOT_OK);
        ggn[s->size * s->size + j] = (double)column[j];
    }
    for (int64_t k = 0, j = 0; k < s->n_params; j += pitot_net_params(s->net)[k++].size)
        memcpy(pitot_net_params(s->net)[k].data, after + j, (size_t)pitot_net_params(s->net)[k].size * sizeof *e);
}

static double matrix[MOST_D * (MOST_D + 1)]; /* the GGN, and behind it the diagonal of the Hessian of those samples */

static void look_ggn(const situation *s, const pitot_reading *r, int64_t at) {
    double size = largest_of(matrix, s->size);
    for (int64_t j = 0; j < r->n; j++) assert_close((double)r->reals[j], matrix[(at + j) * (s->size + 1)], by, size, "G_jj");
}

static void look_signs(const situation *s, const pitot_reading *r, int64_t at) {
    (void)s, (void)at;
    for (int64_t j = 0; j < r->n; j++) assert_true(r->reals[j] >= 0 && isfinite(r->reals[j]));
}

static void check_diag_hessian(const situation *s) {
    look_at(s, "diag_hessian", look_hessian, (int)s->n_params);
}

static void check_diag_ggn(const situation *s) {
    dense_ggn(s, matrix, 0, s->c->n);
    look_at(s, "diag_ggn", look_ggn, (int)s->n_params);
}

/* Signs alone: test_diagonal.c has the mean over draws. */
static void check_diag_ggn_mc(const situation *s) {
    look_at(s, "diag_ggn_mc", look_signs, (int)s->n_params);
}

/* Exact at the last layer; test_diagonal.c has the rest. */
static void look_last(const situation *s, const pitot_reading *r, int64_t at) {
    const pitot_net_param *last = &pitot_net_params(s->net)[s->n_params - 1];
    if (strcmp(r->tensor, last->name) == 0) look_hessian(s, r, at);
}

static void check_hesscale(const situation *s) {
    look_at(s, "hesscale", look_last, (int)s->n_params);
}

static int64_t sample;

static void look_sample_ggn(const situation *s, const pitot_reading *r, int64_t at) {
    double size = largest_of(matrix, s->size);
    const pitot_real *row = r->reals + sample * r->stride;
    int64_t n = r->n / r->rows;
    assert_int_equal(r->rows, s->c->n);
    for (int64_t j = 0; j < n; j++) assert_close((double)row[j], matrix[(at + j) * (s->size + 1)], by, size, "G_jj of a sample");
}

static void look_sample_hessian(const situation *s, const pitot_reading *r, int64_t at) {
    double size = 0;
    const pitot_real *row = r->reals + sample * r->stride;
    int64_t n = r->n / r->rows;
    assert_int_equal(r->rows, s->c->n);
    for (int64_t j = 0; j < s->size; j++) size = fmax(size, fabs(matrix[s->size * s->size + j]));
    for (int64_t j = 0; j < n; j++) assert_close((double)row[j], matrix[s->size * s->size + at + j], by, size, "H_jj of a sample");
}

static void check_sample_diag_ggn(const situation *s) {
    for (sample = 0; sample < s->c->n; sample++) {
        dense_ggn(s, matrix, sample, 1);
        look_at(s, "sample_diag_ggn", look_sample_ggn, (int)s->n_params);
    }
}

static void check_sample_diag_hessian(const situation *s) {
    for (sample = 0; sample < s->c->n; sample++) {
        dense_ggn(s, matrix, sample, 1);
        look_at(s, "sample_diag_hessian", look_sample_hessian, (int)s->n_params);
    }
}

/* ---- per sample ---- */

static void look_dots(const situation *s, const pitot_reading *r, int64_t at) {
    (void)at;
    assert_int_equal(r->rows, s->t.n);
    for (int64_t n = 0; n < s->t.n; n++)
        for (int64_t m = 0; m < s->t.n; m++)
            assert_close(r->numbers[n * s->t.n + m], product(s, n, m), by, sqrt(product(s, n, n) * product(s, m, m)), "g_n'g_m");
}

static void look_gradients(const situation *s, const pitot_reading *r, int64_t at) {
    assert_int_equal(r->rows, s->t.n);
    for (int64_t n = 0; n < s->t.n; n++)
        for (int64_t j = 0; j < r->n / r->rows; j++)
            assert_close((double)r->reals[n * r->stride + j], gradient(&s->t, n, at + j), by, sqrt(product(s, n, n)), "g_n");
}

static void check_sample_dots(const situation *s) {
    look_at(s, "sample_dots", look_dots, 1);
}

static void check_sample_grad(const situation *s) {
    look_at(s, "sample_grad", look_gradients, (int)s->n_params);
}

static const reference references[] = {
    { "alpha", check_alpha, 0 },
    { "cabs", check_cabs, 0 },
    { "diag_ggn", check_diag_ggn, 0 },
    { "diag_ggn_mc", check_diag_ggn_mc, 0 },
    { "diag_hessian", check_diag_hessian, 0 },
    { "early_stopping", check_early_stopping, 0 },
    { "grad_hist_1d", check_grad_hist_1d, 0 },
    { "grad_hist_2d", check_grad_hist_2d, 0 },
    { "hess_trace", check_hess_trace, 0 },
    { "hesscale", check_hesscale, 0 },
    { "inner_test", check_inner_test, 0 },
    { "norm_test", check_norm_test, 0 },
    { "ortho_test", check_ortho_test, 0 },
    { "sample_diag_ggn", check_sample_diag_ggn, 0 },
    { "sample_diag_hessian", check_sample_diag_hessian, 0 },
    { "sample_dots", check_sample_dots, 0 },
    { "sample_grad", check_sample_grad, 0 },
    { "tic_diag", check_tic_diag, 0 },
    { "tic_trace", check_tic_trace, 0 },
};

static void test_cockpit(void **state) {
    (void)state;
    run_family("cockpit", references, sizeof references / sizeof *references, NULL);
}

/* An update that is not along the gradient: slopes of the samples come from captures once more. */
static void momentum(situation *s) {
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        for (int64_t j = 0; j < p->size; j++) p->data[j] -= (pitot_real)(0.1 * (double)p->grad[j] * (1 + (double)(j % 3)) + 0.01);
    }
}

static void test_other_updates(void **state) {
    (void)state;
    run_family("cockpit", references, sizeof references / sizeof *references, momentum);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cockpit), cmocka_unit_test(test_other_updates) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
