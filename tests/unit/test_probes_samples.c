/* What probes make of samples' gradients, outputs and curvature: on small nets (situation.h) beside sums over all pairs in double, and on
   a layer whose numbers the test chooses (slab.h): masks, one sample, equal samples, zeros, numbers that are not finite. */

#include "base/random.h"
#include "situation.h"
#include "slab.h"

static const char all_nine[] = "m_coherence, gradient_diversity, batch_efficiency, stiffness, gradient_confusion, grand, el2n, "
                               "fisher_trace, curvature_noise";

/* ---- readings ---- */

typedef struct wanted_list {
    const char *probe, *field;
    double *out;
    int64_t n, room, rows;
} wanted_list;

static void take_list(void *user, const pitot_reading *r) {
    wanted_list *w = user;
    if (!r->probe || strcmp(r->probe, w->probe) || strcmp(r->field, w->field)) return;
    if (r->kind != PITOT_READ_LIST && r->kind != PITOT_READ_TABLE) return;
    assert_true(r->n <= w->room);
    memcpy(w->out, r->numbers, (size_t)r->n * sizeof *w->out);
    w->n = r->n;
    w->rows = r->rows;
}

/* Numbers of a list or table of the last step; -1: there is none. */
static int64_t list_of(const pitot_run *run, const char *probe, const char *field, double *out, int64_t room) {
    wanted_list w = { probe, field, out, -1, room, 0 };
    pitot_readings(run, take_list, &w);
    return w.n;
}

static int has_value(const pitot_run *run, const char *name) {
    return pitot_value(run, name, NULL, NULL) == PITOT_OK;
}

static int at_step(const pitot_run *run, const char *name, int64_t step) {
    return has_value(run, name) && step_of(run, name) == step;
}

static void assert_value(const pitot_run *run, const char *name, double expected, double within) {
    assert_close(value_of(run, name), expected, 1, within, name);
}

/* ---- nets: what is compared with ---- */

typedef struct products { /* of a situation's samples */
    int64_t n;
    double k[MOST_N][MOST_N], sum, along[MOST_N], mean_square;
} products;

static products products_of(const situation *s) {
    const truth *t = &s->t;
    products p = { .n = t->n };
    for (int64_t i = 0; i < p.n; i++) {
        for (int64_t j = 0; j < p.n; j++) {
            for (int32_t q = 0; q < t->n_tensors; q++)
                for (int64_t v = 0; v < t->size[q]; v++) p.k[i][j] += t->g[q][i * t->size[q] + v] * t->g[q][j * t->size[q] + v];
            p.along[i] += p.k[i][j] / (double)p.n;
        }
        p.sum += p.k[i][i];
        p.mean_square += p.along[i] / (double)p.n;
    }
    return p;
}

/* The parameters, with those before the update; again: back. */
static void swap_parameters(const situation *s) {
    static pitot_real other[MOST_D];
    int64_t at = 0;
    situation *mutable = (situation *)(uintptr_t)s;
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        memcpy(other, p->data, (size_t)p->size * sizeof *other);
        memcpy(p->data, s->before + at, (size_t)p->size * sizeof *other);
        memcpy(mutable->before + at, other, (size_t)p->size * sizeof *other);
        at += p->size;
    }
}

static void pass_again(const situation *s) {
    double loss;
    pitot_net_batch b = batch_of(s, 0, s->c->n);
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
}

/* (D,D), column by column. */
static void make_ggn(const situation *s, double *out) {
    static pitot_real e[MOST_D], column[MOST_D];
    swap_parameters(s);
    pass_again(s);
    for (int64_t j = 0; j < s->size; j++) {
        memset(e, 0, sizeof e);
        e[j] = 1;
        assert_int_equal(pitot_net_ggnvp(s->net, e, column), PITOT_OK);
        for (int64_t i = 0; i < s->size; i++) out[i * s->size + j] = (double)column[i];
    }
    swap_parameters(s);
}

/* ---- nets: the probes ---- */

static void check_coherence(const situation *s) {
    products p = products_of(s);
    double n = (double)p.n, c = n * n * p.mean_square / p.sum, r[MOST_N], mean = 0, square = 0;
    assert_value(s->run, "m_coherence", c, n * s->t.by);
    for (int64_t i = 0; i < p.n; i++) {
        r[i] = 0;
        for (int64_t j = 0; j < p.n; j++) r[i] += i == j ? 0 : p.k[i][j] / n;
        mean += r[i] / n;
    }
    for (int64_t i = 0; i < p.n; i++) square += (r[i] - mean) * (r[i] - mean);
    double deviation = sqrt(2 * n * (n - 1) * n * n / ((n - 1) * (n - 2)) * square) / p.sum;
    assert_value(s->run, "m_coherence.sigmas", (c - 1) / deviation, n * n * s->t.by / deviation * (1 + fabs(c - 1) / deviation));
}

static void check_diversity(const situation *s) {
    products p = products_of(s);
    double n = (double)p.n, value = p.sum / (n * n * p.mean_square);
    assert_value(s->run, "gradient_diversity", value, n * s->t.by * value * (1 + value));
}

static void check_efficiency(const situation *s) {
    double n = (double)s->t.n, spread, g2, range[2], critical[2], of_noise[2];
    spread_without(&s->t, -1, &spread, &g2);
    double off = s->t.by * (s->t.mean_square + spread), value = g2 > 0 ? n * g2 / (n * g2 + spread) : 0;
    assert_value(s->run, "batch_efficiency", value, n * off / spread);
    assert_int_equal(list_of(s->run, "batch_efficiency", "interval", range, 2), 2);
    assert_int_equal(list_of(s->run, "batch_efficiency", "critical_interval", critical, 2), 2);
    assert_int_equal(list_of(s->run, "noise_scale", "interval", of_noise, 2), 2); /* checked with the other instruments */
    for (int e = 0; e < 2; e++) {
        assert_true(critical[e] == of_noise[e]);
        assert_near(range[e], n / (n + critical[1 - e]), "end of the interval");
    }
    assert_true(0 <= range[0] && range[0] <= value + n * off / spread && value - n * off / spread <= range[1] && range[1] <= 1);
    assert_int_equal(at_step(s->run, "batch_efficiency.steps", s->step), value_of(s->run, "batch_efficiency") > 0);
    if (!at_step(s->run, "batch_efficiency.steps", s->step)) return;
    double simple = value_of(s->run, "noise_scale.unbiased.b_simple");
    assert_near(value_of(s->run, "batch_efficiency.critical_batch"), simple, "critical batch");
    assert_near(value_of(s->run, "batch_efficiency.steps"), 1 + simple / n, "steps");
}

typedef struct pairs { /* means over pairs, as a slow host would take them: n and m in both orders */
    double cosine, sign, n;
} pairs;

static int in_part(const situation *s, int part, int64_t i, int64_t j) {
    return part == 0 || (part == 1) == (s->classes[i] == s->classes[j]);
}

static void check_stiffness(const situation *s) {
    static const char *const names[3][2] = { { "stiffness", "stiffness.sign" },
                                             { "stiffness.within.cosine", "stiffness.within.sign" },
                                             { "stiffness.between.cosine", "stiffness.between.sign" } };
    products p = products_of(s);
    int classes = strcmp(s->c->loss, "mse") != 0;
    double table[16], expected[16] = { 0 }, count[16] = { 0 };
    int64_t c = s->c->outputs;
    for (int part = 0; part < 3; part++) {
        pairs all = { 0 };
        for (int64_t i = 0; i < p.n; i++)
            for (int64_t j = 0; j < p.n; j++) {
                double cosine = p.k[i][j] / sqrt(p.k[i][i] * p.k[j][j]);
                if (i == j || (part && !classes) || !in_part(s, part, i, j)) continue;
                all.cosine += cosine, all.sign += cosine > 0 ? 1 : -1, all.n += 1;
                if (part == 0 && classes) expected[s->classes[i] * c + s->classes[j]] += cosine;
                if (part == 0 && classes) count[s->classes[i] * c + s->classes[j]] += 1;
            }
        if (all.n == 0) assert_false(at_step(s->run, names[part][0], s->step));
        if (all.n == 0) continue;
        assert_value(s->run, names[part][0], all.cosine / all.n, s->t.by);
        assert_value(s->run, names[part][1], all.sign / all.n, 1e-12);
    }
    assert_int_equal(list_of(s->run, "stiffness", "classes", table, 16), classes ? c * c : -1);
    for (int64_t i = 0; classes && i < c * c; i++) {
        assert_int_equal(isnan(table[i]) != 0, count[i] == 0);
        if (count[i] > 0) assert_close(table[i], expected[i] / count[i], 1, s->t.by, "class by class");
    }
}

static void check_confusion(const situation *s) {
    products p = products_of(s);
    double least = INFINITY, pair[2], largest = 0;
    for (int64_t i = 0; i < p.n; i++)
        for (int64_t j = 0; j < p.n; j++) {
            largest = fmax(largest, p.k[i][j]);
            if (i != j) least = fmin(least, p.k[i][j]);
        }
    assert_value(s->run, "gradient_confusion", -least, s->t.by * largest);
    assert_int_equal(list_of(s->run, "gradient_confusion", "pair", pair, 2), 2);
    int64_t a = (int64_t)pair[0], b = (int64_t)pair[1];
    assert_true(a != b && a >= 0 && b >= 0 && a < p.n && b < p.n);
    assert_close(p.k[a][b], least, s->t.by, largest, "the pair");
    assert_value(s->run, "gradient_confusion.cosine", p.k[a][b] / sqrt(p.k[a][a] * p.k[b][b]), s->t.by);
}

/* A mean of scores, and the hardest: all of them here, in falling order. */
static void check_scores(const situation *s, const char *probe, const double *score) {
    int64_t n = s->c->n;
    double ids[64], scores[64], mean = 0;
    int seen[MOST_N] = { 0 };
    for (int64_t i = 0; i < n; i++) mean += score[i] / (double)n;
    assert_value(s->run, probe, mean, s->t.by * mean);
    assert_int_equal(list_of(s->run, probe, "hardest.ids", ids, 64), n);
    assert_int_equal(list_of(s->run, probe, "hardest.scores", scores, 64), n);
    for (int64_t k = 0; k < n; k++) {
        assert_true(k == 0 || scores[k] <= scores[k - 1]);
        assert_close(scores[k], score[(int64_t)ids[k]], s->t.by, mean, "score");
        assert_int_equal(seen[(int64_t)ids[k]]++, 0);
    }
}

static void check_grand(const situation *s) {
    double score[MOST_N];
    for (int64_t i = 0; i < s->t.n; i++) score[i] = sqrt(s->t.square[i]);
    check_scores(s, "grand", score);
}

/* With cross-entropy |p - y| is the length of the last bias's gradient; with squared errors it follows from the loss. */
static void check_el2n(const situation *s) {
    double score[MOST_N], loss;
    int classes = strcmp(s->c->loss, "mse") != 0;
    int32_t last = s->t.n_tensors - 1;
    if (!classes) swap_parameters(s);
    for (int64_t i = 0; i < s->c->n; i++) {
        double square = 0;
        pitot_net_batch one = batch_of(s, i, 1);
        for (int64_t j = 0; classes && j < s->t.size[last]; j++) square += pow(s->t.g[last][i * s->t.size[last] + j], 2);
        if (!classes) assert_int_equal(pitot_net_forward(s->net, &one, &loss), PITOT_OK);
        score[i] = sqrt(classes ? square : (double)s->c->outputs * loss);
    }
    if (!classes) swap_parameters(s);
    check_scores(s, "el2n", score);
}

/* The same labels drawn once more. */
static void check_fisher(const situation *s) {
    static pitot_real d[MOST_D];
    uint64_t seed = random_bits(s->run->seed, random_purpose("curvature"), (uint64_t)s->step, 0);
    double all = 0;
    int64_t at = 0;
    char key[64];
    swap_parameters(s);
    pass_again(s);
    assert_int_equal(pitot_net_diagonal(s->net, PITOT_DIAGONAL_GGN_MC, 1, seed, 0, d, NULL), PITOT_OK);
    swap_parameters(s);
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        double sum = 0;
        for (int64_t j = 0; j < p->size; j++) sum += (double)d[at++];
        snprintf(key, sizeof key, "fisher_trace/%s", p->name);
        assert_value(s->run, key, sum, close_by * sum);
        all += sum;
    }
    assert_value(s->run, "fisher_trace", all, close_by * all);
}

static double quadratic(const double *matrix, const double *u, int64_t size) {
    double sum = 0;
    for (int64_t i = 0; i < size; i++)
        for (int64_t j = 0; j < size; j++) sum += u[i] * matrix[i * size + j] * u[j];
    return sum;
}

/* sum of weight[i] g_i (D) */
static void combine(const situation *s, const double *weight, double *out) {
    int64_t at = 0;
    for (int32_t k = 0; k < s->t.n_tensors; k++)
        for (int64_t j = 0; j < s->t.size[k]; j++, at++) {
            out[at] = 0;
            for (int64_t i = 0; i < s->t.n; i++) out[at] += weight[i] * s->t.g[k][i * s->t.size[k] + j];
        }
}

typedef struct fraction {
    double numerator, error, denominator, scale; /* scale: of what is summed up */
} fraction;

/* From the same signs, written down as in the paper: u = sum eps_n (g_n - g) / sqrt(N-1). */
static fraction noise_of(const situation *s, const double *matrix, int draws) {
    double n = (double)s->t.n, q[8], u[MOST_D], mean[MOST_D], eps[MOST_N], all[MOST_N], off = 0, one[MOST_N];
    fraction f = { 0 };
    for (int64_t i = 0; i < s->t.n; i++) all[i] = 1 / n;
    combine(s, all, mean);
    for (int k = 0; k < draws; k++) {
        for (int64_t i = 0; i < s->t.n; i++)
            eps[i] =
                random_uniform(s->run->seed, random_purpose("curvature_noise"), (uint64_t)s->step, (uint64_t)(k * s->t.n + i)) < 0.5
                    ? -1
                    : 1;
        for (int64_t j = 0; j < s->size; j++) u[j] = 0;
        for (int64_t i = 0; i < s->t.n; i++) {
            double g[MOST_D];
            memset(one, 0, sizeof one);
            one[i] = 1;
            combine(s, one, g);
            for (int64_t j = 0; j < s->size; j++) u[j] += eps[i] * (g[j] - mean[j]) / sqrt(n - 1);
        }
        q[k] = quadratic(matrix, u, s->size);
        f.numerator += q[k] / draws;
    }
    for (int k = 0; k < draws; k++) off += (q[k] - f.numerator) * (q[k] - f.numerator);
    f.error = sqrt(off / (draws - 1) / draws);
    f.denominator = quadratic(matrix, mean, s->size) - f.numerator / n;
    for (int64_t j = 0; j < s->size * s->size; j++) f.scale = fmax(f.scale, fabs(matrix[j]));
    f.scale *= (s->t.scatter / (n - 1) + s->t.mean_square) * sqrt((double)s->size);
    return f;
}

static void check_curvature_noise(const situation *s) {
    static double ggn[MOST_D * MOST_D];
    int with_ggn = value_of(s->run, "curvature_noise.ggn") == 1;
    fraction h = noise_of(s, s->hessian, 4);
    double sure = 100 * s->t.by * h.scale;
    assert_int_equal(step_of(s->run, "curvature_noise.ggn"), s->step);
    if (h.numerator > sure && h.denominator > sure) assert_false(with_ggn);
    if (h.numerator < -sure || h.denominator < -sure) assert_true(with_ggn);
    if (with_ggn) make_ggn(s, ggn);
    fraction f = with_ggn ? noise_of(s, ggn, 4) : h;
    assert_value(s->run, "curvature_noise.numerator", f.numerator, s->t.by * f.scale);
    assert_value(s->run, "curvature_noise.numerator_stderr", f.error, s->t.by * f.scale);
    assert_value(s->run, "curvature_noise.denominator", f.denominator, s->t.by * f.scale);
    double numerator = value_of(s->run, "curvature_noise.numerator"), denominator = value_of(s->run, "curvature_noise.denominator");
    int defined = numerator >= 0 && denominator > 0;
    assert_int_equal(state_of(s->run, "curvature_noise"), defined ? PITOT_STATE_OK : PITOT_STATE_UNDEFINED);
    assert_int_equal(at_step(s->run, "curvature_noise", s->step), defined);
    if (defined) assert_near(value_of(s->run, "curvature_noise"), numerator / denominator, "B_noise");
}

static const reference references[] = {
    { "batch_efficiency", check_efficiency, 0 },
    { "curvature_noise", check_curvature_noise, 1 },
    { "el2n", check_el2n, 0 },
    { "fisher_trace", check_fisher, 0 },
    { "gradient_confusion", check_confusion, 0 },
    { "gradient_diversity", check_diversity, 0 },
    { "grand", check_grand, 0 },
    { "m_coherence", check_coherence, 0 },
    { "stiffness", check_stiffness, 0 },
};

static void test_nets(void **state) {
    (void)state;
    run_family("samples", references, sizeof references / sizeof *references, NULL);
}

/* ---- identities ---- */

/* With a = |g|^2, b = mean |g_n|^2, c = N a / b; and the rows of the products' table. */
static void test_identities(void **state) {
    (void)state;
    for (int64_t n = 3; n <= SLAB_N; n += 7) {
        slab s = slab_draw(n, 70 + (uint64_t)n);
        slab_run(&s, "m_coherence, gradient_diversity, noise_scale, batch_efficiency, stiffness, sample_grad_l2", NULL);
        const sampling *m = &s.run->sampling;
        double c = value_of(s.run, "m_coherence"), sigma = 64 * close_by * (double)n, of_n = (double)n;
        assert_value(s.run, "gradient_diversity", 1 / c, sigma);
        assert_value(s.run, "noise_scale", of_n * (of_n / c - 1) / (of_n - 1), sigma * of_n); /* N times the norm test */
        assert_true(c > 1);
        assert_value(s.run, "noise_scale.unbiased.b_simple", (of_n - c) / (c - 1), sigma * of_n / (c - 1));
        assert_value(s.run, "batch_efficiency", of_n * (c - 1) / (of_n * (c - 1) + of_n - c), sigma * of_n);
        for (int64_t i = 0; i < n; i++) {
            double row = 0, k = m->gram[i * n + i];
            for (int64_t j = 0; j < n; j++) row += m->gram[i * n + j];
            assert_close(row / of_n, m->along[i], sigma, m->out.mean_square + k, "row of the table");
            assert_close(k, m->square[i], sigma, k, "diagonal of the table");
            assert_close(k - 2 * row / of_n + m->out.mean_square, m->deviation[i], sigma, k + m->out.mean_square, "|g_n - g|^2");
        }
        pitot_close(s.run, PITOT_DONE);
    }
}

/* ---- where there is little or nothing to be said ---- */

enum { YES = PITOT_STATE_OK, NO = PITOT_STATE_UNDEFINED };

/* What each of the nine says, in the order of all_nine. */
static void expect_states(slab *s, const int32_t states[9]) {
    char list[sizeof all_nine], *rest = list;
    memcpy(list, all_nine, sizeof list);
    slab_run(s, all_nine, NULL);
    assert_string_equal(pitot_last_error(s->run), "");
    for (int i = 0; i < 9; i++) {
        const char *name = strtok_r(rest, ", ", &rest);
        if (state_of(s->run, name) != states[i])
            fail_msg("%s: state %d, not %d: %s", name, state_of(s->run, name), states[i], why_of(s->run, name));
        double v = 0;
        if (states[i] == NO) assert_true(*why_of(s->run, name));
        if (states[i] == YES) v = value_of(s->run, name);
        if (!isfinite(v)) fail_msg("%s: %g", name, v);
    }
}

static void test_one_sample(void **state) {
    (void)state;
    slab s = slab_draw(1, 1);
    expect_states(&s, (int32_t[]){ YES, YES, NO, NO, NO, YES, YES, YES, NO });
    assert_value(s.run, "m_coherence", 1, close_by);
    assert_value(s.run, "gradient_diversity", 1, close_by);
    assert_value(s.run, "grand", sqrt(slab_product(&s, 0, 0)), close_by * sqrt(slab_product(&s, 0, 0)));
    pitot_close(s.run, PITOT_DONE);
}

static void test_two_samples(void **state) {
    (void)state;
    slab s = slab_draw(2, 2);
    expect_states(&s, (int32_t[]){ YES, YES, YES, YES, YES, YES, YES, YES, YES });
    double cosine = slab_product(&s, 0, 1) / sqrt(slab_product(&s, 0, 0) * slab_product(&s, 1, 1)), range[2];
    assert_value(s.run, "stiffness", cosine, 4 * close_by);
    assert_value(s.run, "gradient_confusion", -slab_product(&s, 0, 1), close_by * slab_product(&s, 0, 0));
    assert_false(has_value(s.run, "m_coherence.sigmas")); /* one pair has no spread */
    assert_int_equal(list_of(s.run, "batch_efficiency", "interval", range, 2), -1);
    pitot_close(s.run, PITOT_DONE);
}

static void test_equal_samples(void **state) {
    (void)state;
    double range[2];
    slab s = slab_draw(8, 3);
    for (int i = 1; i < 8; i++) memcpy(s.a[i], s.a[0], sizeof *s.a), memcpy(s.g[i], s.g[0], sizeof *s.g);
    expect_states(&s, (int32_t[]){ YES, YES, YES, YES, YES, YES, YES, YES, YES });
    double square = slab_product(&s, 0, 0), off = 16 * close_by;
    assert_value(s.run, "m_coherence", 8, 8 * off);
    assert_value(s.run, "gradient_diversity", 1 / 8.0, off);
    assert_value(s.run, "batch_efficiency", 1, off);
    assert_value(s.run, "batch_efficiency.critical_batch", 0, off);
    assert_int_equal(list_of(s.run, "batch_efficiency", "interval", range, 2), 2);
    assert_close(range[0] + range[1], 2, off, 1, "interval");
    assert_value(s.run, "stiffness", 1, off);
    assert_value(s.run, "stiffness.sign", 1, 0);
    assert_value(s.run, "gradient_confusion", -square, off * square);
    assert_value(s.run, "gradient_confusion.cosine", 1, off);
    assert_value(s.run, "curvature_noise", 0, off);
    pitot_close(s.run, PITOT_DONE);
}

static void test_zero_gradients(void **state) {
    (void)state;
    double ids[64];
    slab s = slab_draw(6, 4);
    memset(s.g, 0, sizeof s.g);
    expect_states(&s, (int32_t[]){ NO, NO, NO, NO, YES, YES, YES, YES, NO });
    assert_true(value_of(s.run, "gradient_confusion") == 0 && !signbit(value_of(s.run, "gradient_confusion")));
    assert_false(has_value(s.run, "gradient_confusion.cosine"));
    assert_true(value_of(s.run, "grand") == 0);
    assert_int_equal(list_of(s.run, "grand", "hardest.ids", ids, 64), 6);
    for (int i = 0; i < 6; i++) assert_true(ids[i] == (double)s.ids[i]); /* ties: in order */
    pitot_close(s.run, PITOT_DONE);
}

/* One sample without a gradient: it has no direction, and opposes nobody. */
static void test_one_zero(void **state) {
    (void)state;
    slab s = slab_draw(3, 5);
    memset(s.g[1], 0, sizeof *s.g);
    slab_run(&s, all_nine, NULL);
    double cosine = slab_product(&s, 0, 2) / sqrt(slab_product(&s, 0, 0) * slab_product(&s, 2, 2));
    assert_value(s.run, "stiffness", cosine, 4 * close_by);
    assert_value(s.run, "gradient_confusion", fmax(0, -slab_product(&s, 0, 2)), close_by * slab_product(&s, 0, 0));
    pitot_close(s.run, PITOT_DONE);
}

/* Gradients that cancel each other. */
static void test_opposed_samples(void **state) {
    (void)state;
    slab s = slab_draw(2, 6);
    memcpy(s.a[1], s.a[0], sizeof *s.a);
    for (int j = 0; j < SLAB_OUT; j++) s.g[1][j] = -s.g[0][j];
    expect_states(&s, (int32_t[]){ YES, NO, NO, YES, YES, YES, YES, YES, NO });
    assert_value(s.run, "m_coherence", 0, close_by);
    assert_value(s.run, "stiffness", -1, 4 * close_by);
    assert_value(s.run, "gradient_confusion", slab_product(&s, 0, 0), close_by * slab_product(&s, 0, 0));
    pitot_close(s.run, PITOT_DONE);
}

static void test_not_finite(void **state) {
    (void)state;
    static const double odd[] = { NAN, INFINITY, -INFINITY };
    for (int i = 0; i < 3; i++) {
        slab s = slab_draw(5, 7);
        s.g[3][1] = odd[i];
        expect_states(&s, (int32_t[]){ NO, NO, NO, NO, NO, NO, YES, YES, NO });
        pitot_close(s.run, PITOT_DONE);
        s = slab_draw(5, 7);
        s.f[7] = (pitot_real)(i < 2 ? odd[i] : INFINITY); /* -infinity is a probability of 0 */
        expect_states(&s, (int32_t[]){ YES, YES, YES, YES, YES, YES, NO, YES, YES });
        pitot_close(s.run, PITOT_DONE);
        s = slab_draw(5, 7);
        s.diagonal[2] = odd[i];
        expect_states(&s, (int32_t[]){ YES, YES, YES, YES, YES, YES, YES, NO, YES });
        pitot_close(s.run, PITOT_DONE);
        s = slab_draw(5, 7);
        s.hessian[0][1] = odd[i];
        slab_run(&s, "curvature_noise", NULL);
        assert_int_equal(state_of(s.run, "curvature_noise"), NO);
        pitot_close(s.run, PITOT_DONE);
    }
}

/* ---- samples that do not count; what others are on ---- */

/* With weights of 0 in the batch, and without those samples. */
static void test_masks(void **state) {
    (void)state;
    static const char *const names[] = { "m_coherence",
                                         "m_coherence.sigmas",
                                         "gradient_diversity",
                                         "batch_efficiency",
                                         "stiffness",
                                         "stiffness.within.cosine",
                                         "stiffness.between.sign",
                                         "gradient_confusion",
                                         "gradient_confusion.cosine",
                                         "grand",
                                         "el2n",
                                         "noise_scale.unbiased.b_simple" };
    static const char *const lists[][2] = { { "grand", "hardest.ids" },         { "grand", "hardest.scores" },
                                            { "el2n", "hardest.ids" },          { "el2n", "hardest.scores" },
                                            { "gradient_confusion", "pair" },   { "stiffness", "classes" },
                                            { "batch_efficiency", "interval" }, { "noise_scale", "interval" } };
    char probes[256];
    snprintf(probes, sizeof probes, "%s, noise_scale", all_nine);
    slab masked = slab_draw(9, 8), plain = slab_draw(9, 8);
    masked.masked = 1;
    masked.weight[2] = masked.weight[7] = 0;
    for (int64_t i = 0, k = 0; i < 9; i++) {
        if (masked.weight[i] == 0) continue;
        memcpy(plain.a[k], masked.a[i], sizeof *plain.a);
        memcpy(plain.g[k], masked.g[i], sizeof *plain.g);
        memcpy(plain.f + k * SLAB_OUT, masked.f + i * SLAB_OUT, SLAB_OUT * sizeof *plain.f);
        plain.label[k] = masked.label[i];
        plain.ids[k++] = masked.ids[i];
    }
    plain.n = 7;
    slab_run(&masked, probes, NULL);
    slab_run(&plain, probes, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_value(masked.run, names[i], value_of(plain.run, names[i]),
                     256 * close_by * (1 + fabs(value_of(plain.run, names[i]))));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        double a[64], b[64];
        int64_t n = list_of(plain.run, lists[i][0], lists[i][1], a, 64);
        assert_true(n > 0);
        assert_int_equal(list_of(masked.run, lists[i][0], lists[i][1], b, 64), n);
        for (int64_t k = 0; k < n; k++)
            if (!(isnan(a[k]) && isnan(b[k])) && a[k] != b[k])
                assert_close(b[k], a[k], 1024 * close_by, 1 + fabs(a[k]), lists[i][1]);
    }
    pitot_close(masked.run, PITOT_DONE);
    pitot_close(plain.run, PITOT_DONE);
}

/* All products are above 0: a sample that does not count is not the one that opposes most. */
static void test_masked_pair(void **state) {
    (void)state;
    double pair[2];
    slab s = slab_draw(4, 19);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < SLAB_OUT; j++) s.a[i][j % SLAB_IN] = 1, s.g[i][j] = 1 + i;
    s.masked = 1;
    s.weight[1] = 0;
    slab_run(&s, "gradient_confusion", NULL);
    assert_value(s.run, "gradient_confusion", -slab_product(&s, 0, 2), 16 * close_by * slab_product(&s, 0, 2));
    assert_int_equal(list_of(s.run, "gradient_confusion", "pair", pair, 2), 2);
    assert_true(pair[0] == (double)s.ids[0] && pair[1] == (double)s.ids[2]);
    pitot_close(s.run, PITOT_DONE);
}

static void keep_scalar(void *user, const pitot_reading *r) {
    char(*lines)[96] = user;
    int at = 0;
    while (*lines[at]) at++;
    assert_true(at < 511);
    if (r->probe && r->kind == PITOT_READ_SCALAR) snprintf(lines[at], sizeof *lines, "%s.%s %a", r->probe, r->field, r->value);
}

/* A loss that is a sum over samples says the same of each of them. */
static void test_sums(void **state) {
    (void)state;
    static char mean[512][96], sum[512][96];
    for (int operator= 0; operator<2; operator++) {
        slab s = slab_draw(9, 9);
        const char *options = operator? "curvature_noise.operator=ggn\nfisher_trace.curvature=ggn" : NULL;
        if (operator) s.offers &= ~(1u << CALL_DIAGONAL);
        memset(mean, 0, sizeof mean), memset(sum, 0, sizeof sum);
        slab_run(&s, all_nine, options);
        pitot_readings(s.run, keep_scalar, mean);
        pitot_close(s.run, PITOT_DONE);
        s.summed = 1;
        slab_run(&s, all_nine, options);
        pitot_readings(s.run, keep_scalar, sum);
        pitot_close(s.run, PITOT_DONE);
        assert_true(*mean[10]);
        for (int i = 0; *mean[i]; i++) {
            double a = strtod(strchr(mean[i], ' '), NULL), b = strtod(strchr(sum[i], ' '), NULL);
            assert_memory_equal(mean[i], sum[i], (size_t)(strchr(mean[i], ' ') - mean[i]));
            assert_close(b, a, 1024 * close_by, 1 + fabs(a), mean[i]);
        }
    }
}

/* Each of them alone, and with all others: the same bits. */
static void test_alone(void **state) {
    (void)state;
    static char together[512][96], alone[512][96];
    char list[sizeof all_nine], *rest = list, *name;
    slab s = slab_draw(9, 9);
    memset(together, 0, sizeof together), memset(alone, 0, sizeof alone);
    slab_run(&s, "all", NULL);
    pitot_readings(s.run, keep_scalar, together);
    pitot_close(s.run, PITOT_DONE);
    memcpy(list, all_nine, sizeof list);
    while ((name = strtok_r(rest, ", ", &rest))) {
        int found = 0;
        memset(alone, 0, sizeof alone);
        slab_run(&s, name, NULL);
        pitot_readings(s.run, keep_scalar, alone);
        pitot_close(s.run, PITOT_DONE);
        for (int i = 0; *alone[i]; i++) {
            int same = 0;
            for (int k = 0; *together[k]; k++) same |= strcmp(alone[i], together[k]) == 0;
            if (!same) fail_msg("alone: %s", alone[i]);
            found++;
        }
        assert_true(found > 0);
    }
}

/* In micro-batches there are lengths, and nothing of pairs. */
static void test_micro_batches(void **state) {
    (void)state;
    slab s = slab_draw(8, 10);
    slab_run(&s, "m_coherence, gradient_diversity, batch_efficiency, grand", NULL);
    double c = value_of(s.run, "m_coherence"), e = value_of(s.run, "batch_efficiency"), length = value_of(s.run, "grand"), list[64];
    pitot_close(s.run, PITOT_DONE);
    s.first = 3;
    slab_run(&s, all_nine, NULL);
    assert_value(s.run, "m_coherence", c, 256 * close_by * c);
    assert_value(s.run, "batch_efficiency", e, 256 * close_by);
    assert_value(s.run, "grand", length, 16 * close_by * length);
    assert_false(has_value(s.run, "m_coherence.sigmas"));
    assert_int_equal(list_of(s.run, "batch_efficiency", "interval", list, 64), -1);
    assert_int_equal(list_of(s.run, "grand", "hardest.ids", list, 64), 8);
    for (int i = 0; i < 8; i++) assert_true(list[i] >= 0 && list[i] < 8); /* ids of one micro-batch would not do */
    assert_int_equal(state_of(s.run, "stiffness"), PITOT_STATE_LEVEL);
    assert_int_equal(state_of(s.run, "el2n"), PITOT_STATE_LEVEL);
    assert_int_equal(state_of(s.run, "curvature_noise"), PITOT_STATE_LEVEL);
    pitot_close(s.run, PITOT_DONE);
}

/* ---- scores ---- */

static void test_top(void **state) {
    (void)state;
    double ids[64], scores[64];
    slab s = slab_draw(SLAB_N, 11);
    slab_run(&s, "grand, el2n", "grand.top=5\nel2n.top=1");
    assert_int_equal(list_of(s.run, "grand", "hardest.ids", ids, 64), 5);
    assert_int_equal(list_of(s.run, "grand", "hardest.scores", scores, 64), 5);
    for (int k = 0; k < 5; k++) {
        int64_t longer = 0, at = -1;
        for (int64_t i = 0; i < s.n; i++)
            if ((double)s.ids[i] == ids[k]) at = i;
        assert_true(at >= 0);
        for (int64_t i = 0; i < s.n; i++) longer += slab_product(&s, i, i) > slab_product(&s, at, at);
        assert_int_equal(longer, k);
        assert_close(scores[k], sqrt(slab_product(&s, at, at)), close_by, scores[k], "score");
    }
    assert_int_equal(list_of(s.run, "el2n", "hardest.ids", ids, 64), 1);
    pitot_close(s.run, PITOT_DONE);
    s.named = 0; /* then places in the batch */
    slab_run(&s, "grand", "grand.top=1");
    assert_int_equal(list_of(s.run, "grand", "hardest.ids", ids, 64), 1);
    for (int64_t i = 0; i < s.n; i++) assert_true(slab_product(&s, i, i) <= slab_product(&s, (int64_t)ids[0], (int64_t)ids[0]));
    pitot_close(s.run, PITOT_DONE);
}

/* The trainer tells which samples of the data set a batch holds. */
static void test_ids_of_trainer(void **state) {
    (void)state;
    pitot_error error = { 0 };
    FILE *out = fopen(path_of("m.json"), "w");
    assert_non_null(out);
    fputs("{\"input\": [256], \"loss\": \"cross_entropy\", \"layers\": [{\"op\": \"linear\", \"out_features\": 10}]}", out);
    assert_int_equal(fclose(out), 0);
    pitot_train_config c = { .struct_size = sizeof c,
                             .model = path_of("m.json"),
                             .data = "glyphs:640",
                             .probes = "grand, el2n",
                             .steps = 3,
                             .batch = 16,
                             .no_shuffle = 1,
                             .out = path_of("ids") };
    if (pitot_train(&c, &error)) fail_msg("%s", error.text);
    char *text = read_text(path_of("ids/events.jsonl")), *at = text;
    static const char *const keys[] = { "\"grand.hardest.ids\":", "\"el2n.hardest.ids\":" };
    for (int k = 0; k < 2; k++) {
        at = text;
        for (int step = 0; step < 3; step++) {
            at = strstr(at, keys[k]);
            assert_non_null(at);
            at += strcspn(at, "[") + 1;
            for (int i = 0; i < 10; i++, at++) {
                long id = strtol(at, &at, 10);
                assert_true(id >= 16 * step && id < 16 * step + 16);
            }
        }
    }
    free(text);
}

/* |p - y| of row r of the outputs, written down for each loss. */
static double distance_of(const slab *s, int64_t r) {
    double square = 0, sum = 0;
    const pitot_real *f = s->f + r * SLAB_OUT, *y = s->targets + r * SLAB_OUT;
    for (int k = 0; k < SLAB_OUT; k++) sum += exp((double)f[k]);
    for (int k = 0; k < SLAB_OUT; k++) {
        double d = (double)f[k] - (double)y[k];
        if (s->kind == PITOT_CROSS_ENTROPY) d = exp((double)f[k]) / sum - (k == s->label[r]);
        if (s->kind == PITOT_BINARY_CROSS_ENTROPY) d = exp((double)f[k]) / (1 + exp((double)f[k])) - (double)y[k];
        square += d * d;
    }
    return sqrt(square);
}

static void test_el2n_losses(void **state) {
    (void)state;
    for (int32_t kind = PITOT_CROSS_ENTROPY; kind <= PITOT_BINARY_CROSS_ENTROPY; kind++) {
        slab s = slab_draw(12, 12);
        double mean = 0;
        s.kind = kind;
        slab_run(&s, "el2n", NULL);
        for (int64_t i = 0; i < s.n; i++) mean += distance_of(&s, i) / (double)s.n;
        assert_value(s.run, "el2n", mean, 64 * close_by);
        pitot_close(s.run, PITOT_DONE);
    }
}

/* Two terms a sample, of different weights, some ignored by weight, some by class; one sample without any. */
static void test_el2n_terms(void **state) {
    (void)state;
    slab s = slab_draw(6, 13);
    double ids[64], scores[64], expected[6], mean = 0;
    s.t = 2;
    s.masked = 1;
    for (int r = 0; r < 12; r++) s.weight[r] = (pitot_real)(1 + r % 3);
    s.weight[3] = s.weight[8] = s.weight[9] = 0;
    s.label[10] = -100;
    s.f[3 * SLAB_OUT] = (pitot_real)NAN; /* of a term that does not count */
    slab_run(&s, "el2n", NULL);
    for (int i = 0; i < 6; i++) {
        double sum = 0, weight = 0;
        for (int r = 2 * i; r < 2 * i + 2; r++) {
            if (s.weight[r] == 0 || s.label[r] < 0) continue;
            sum += (double)s.weight[r] * distance_of(&s, r), weight += (double)s.weight[r];
        }
        expected[i] = weight > 0 ? sum / weight : -1;
        mean += expected[i] < 0 ? 0 : expected[i] / 5;
    }
    assert_value(s.run, "el2n", mean, 64 * close_by);
    assert_int_equal(list_of(s.run, "el2n", "hardest.ids", ids, 64), 5);
    assert_int_equal(list_of(s.run, "el2n", "hardest.scores", scores, 64), 5);
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < 6; i++)
            if (ids[k] == (double)s.ids[i]) assert_close(scores[k], expected[i], 64 * close_by, 1, "score");
    pitot_close(s.run, PITOT_DONE);
    memset(s.weight, 0, sizeof s.weight);
    slab_run(&s, "el2n", NULL);
    assert_int_equal(state_of(s.run, "el2n"), NO);
    pitot_close(s.run, PITOT_DONE);
}

/* ---- Fisher ---- */

static void test_fisher_of_host(void **state) {
    (void)state;
    slab s = slab_draw(4, 14);
    double sum = 0;
    for (int j = 0; j < SLAB_D; j++) sum += s.diagonal[j];
    slab_run(&s, "fisher_trace", "fisher_trace.draws=7");
    assert_value(s.run, "fisher_trace", sum, close_by * sum);
    assert_value(s.run, "fisher_trace/w", sum, close_by * sum);
    assert_int_equal(s.diagonal_kind, PITOT_CURVATURE_GGN_MC);
    assert_int_equal(s.diagonal_draws, 7);
    pitot_close(s.run, PITOT_DONE);
    slab_run(&s, "fisher_trace", "fisher_trace.curvature=ggn");
    assert_int_equal(s.diagonal_kind, PITOT_CURVATURE_GGN);
    pitot_close(s.run, PITOT_DONE);
}

/* One linear layer and cross-entropy: tr F = mean_n |a_n|^2 (1 - |p_n|^2), here column by column from products. */
static void test_fisher_of_layer(void **state) {
    (void)state;
    slab s = slab_draw(9, 15);
    double trace = 0;
    s.offers &= ~(1u << CALL_DIAGONAL);
    slab_run(&s, "fisher_trace", "fisher_trace.curvature=ggn");
    for (int64_t i = 0; i < s.n; i++) {
        double inputs = 0, sum = 0, squares = 0;
        for (int j = 0; j < SLAB_IN; j++) inputs += s.a[i][j] * s.a[i][j];
        for (int k = 0; k < SLAB_OUT; k++) sum += exp((double)s.f[i * SLAB_OUT + k]);
        for (int k = 0; k < SLAB_OUT; k++) squares += pow(exp((double)s.f[i * SLAB_OUT + k]) / sum, 2);
        trace += inputs * (1 - squares) / (double)s.n;
    }
    assert_value(s.run, "fisher_trace", trace, 64 * close_by * trace);
    pitot_close(s.run, PITOT_DONE);
    slab_run(&s, "fisher_trace", NULL); /* labels are drawn by the callback alone */
    assert_int_equal(state_of(s.run, "fisher_trace"), PITOT_STATE_LEVEL);
    pitot_close(s.run, PITOT_DONE);
}

/* ---- B_noise ---- */

/* mean_n d_n'M d_n and g'Mg, d_n = g_n - g. */
static fraction exact_noise(const slab *s, double m[SLAB_D][SLAB_D]) {
    double n = slab_counted(s), g[SLAB_D] = { 0 };
    fraction f = { 0 };
    for (int64_t i = 0; i < s->n; i++)
        for (int j = 0; j < SLAB_D; j++) g[j] += slab_gradient(s, i, j) / n;
    for (int64_t i = 0; i < s->n; i++)
        for (int j = 0; j < SLAB_D && slab_weight(s, i) != 0; j++)
            for (int k = 0; k < SLAB_D; k++)
                f.numerator += (slab_gradient(s, i, j) - g[j]) * m[j][k] * (slab_gradient(s, i, k) - g[k]) / (n - 1);
    for (int j = 0; j < SLAB_D; j++)
        for (int k = 0; k < SLAB_D; k++) f.denominator += g[j] * m[j][k] * g[k];
    f.denominator -= f.numerator / n;
    return f;
}

/* Many draws come to the exact trace, within what they say of themselves; masks count. */
static void test_noise_is_unbiased(void **state) {
    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        slab s = slab_draw(12, 16);
        s.masked = masked;
        if (masked) s.weight[0] = s.weight[5] = 0;
        slab_run(&s, "curvature_noise", "curvature_noise.draws=4000");
        fraction f = exact_noise(&s, s.hessian);
        double error = value_of(s.run, "curvature_noise.numerator_stderr");
        assert_true(error > 0 && error < 0.05 * f.numerator);
        assert_value(s.run, "curvature_noise.numerator", f.numerator, 4 * error);
        assert_value(s.run, "curvature_noise.denominator", f.denominator,
                     4 * error / slab_counted(&s) + 64 * close_by * f.numerator);
        assert_value(s.run, "curvature_noise", f.numerator / f.denominator, 4 * value_of(s.run, "curvature_noise.stderr"));
        assert_value(s.run, "curvature_noise.ggn", 0, 0);
        pitot_close(s.run, PITOT_DONE);
    }
}

/* A Hessian that is negative definite: no answer from it, one from the GGN. */
static void test_noise_with_ggn(void **state) {
    (void)state;
    static double ggn[SLAB_D][SLAB_D];
    slab s = slab_draw(12, 17);
    for (int64_t r = 0; r < SLAB_D * SLAB_D; r++) s.hessian[r / SLAB_D][r % SLAB_D] *= -1, ggn[r / SLAB_D][r % SLAB_D] = 0;
    for (int64_t i = 0; i < s.n; i++) {
        double p[SLAB_OUT], sum = 0;
        for (int k = 0; k < SLAB_OUT; k++) sum += p[k] = exp((double)s.f[i * SLAB_OUT + k]);
        for (int r = 0; r < SLAB_D * SLAB_D; r++) {
            int j = r / SLAB_D, k = r % SLAB_D, o = j / SLAB_IN, q = k / SLAB_IN;
            ggn[j][k] +=
                ((o == q) * p[o] / sum - p[o] * p[q] / sum / sum) * s.a[i][j % SLAB_IN] * s.a[i][k % SLAB_IN] / (double)s.n;
        }
    }
    slab_run(&s, "curvature_noise", "curvature_noise.operator=hessian");
    assert_int_equal(state_of(s.run, "curvature_noise"), NO);
    assert_true(value_of(s.run, "curvature_noise.numerator") < 0);
    assert_false(has_value(s.run, "curvature_noise"));
    pitot_close(s.run, PITOT_DONE);
    fraction f = exact_noise(&s, ggn);
    for (int asked = 0; asked < 2; asked++) {
        slab_run(&s, "curvature_noise",
                 asked ? "curvature_noise.operator=ggn\ncurvature_noise.draws=4000" : "curvature_noise.draws=4000");
        assert_value(s.run, "curvature_noise.numerator", f.numerator, 4 * value_of(s.run, "curvature_noise.numerator_stderr"));
        assert_value(s.run, "curvature_noise", f.numerator / f.denominator, 4 * value_of(s.run, "curvature_noise.stderr"));
        assert_value(s.run, "curvature_noise.ggn", 1, 0);
        assert_int_equal(strstr(why_of(s.run, "curvature_noise"), "indefinite") != NULL, !asked);
        pitot_close(s.run, PITOT_DONE);
    }
}

/* A host that runs its net anew for each difference, over what it has shown as A and G: other probes do so first. */
static void test_noise_by_differences(void **state) {
    (void)state;
    slab s = slab_draw(10, 18);
    slab_run(&s, "curvature_noise", NULL);
    double numerator = value_of(s.run, "curvature_noise.numerator"), denominator = value_of(s.run, "curvature_noise.denominator");
    pitot_close(s.run, PITOT_DONE);
    s.offers = 1 << CALL_GRAD;
    slab_run(&s, "hess_max_ev, curvature_noise", NULL);
    assert_string_equal(pitot_last_error(s.run), "");
    double near = sizeof(pitot_real) == 8 ? 1e-7 : 1e-2;
    assert_value(s.run, "curvature_noise.numerator", numerator, near * numerator);
    assert_value(s.run, "curvature_noise.denominator", denominator, near * (denominator + numerator));
    pitot_close(s.run, PITOT_DONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nets),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_one_sample),
        cmocka_unit_test(test_two_samples),
        cmocka_unit_test(test_equal_samples),
        cmocka_unit_test(test_zero_gradients),
        cmocka_unit_test(test_one_zero),
        cmocka_unit_test(test_opposed_samples),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_micro_batches),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_masked_pair),
        cmocka_unit_test(test_ids_of_trainer),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_el2n_losses),
        cmocka_unit_test(test_el2n_terms),
        cmocka_unit_test(test_fisher_of_host),
        cmocka_unit_test(test_fisher_of_layer),
        cmocka_unit_test(test_noise_is_unbiased),
        cmocka_unit_test(test_noise_with_ggn),
        cmocka_unit_test(test_noise_by_differences),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
