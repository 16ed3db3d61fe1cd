/* Operators of a point, of every op and of nets of all kinds: against dense matrices made sample by sample, the Hessian against differences
   of gradients; whatever the chunks, the group, the blocks; their diagonals; and what is refused. */

#include "nets.h"

#include "pitot/curve.h"

static const double close_to = sizeof(pitot_real) == 8 ? 1e-10 : 3e-4; /* of two ways through a net, of the largest value */

enum { KINDS = 4, DRAWS = 3, MOST_D = 2000, VECTORS = 3 };
static const uint64_t SEED = 12;

/* ---- dense matrices, sample by sample ---- */

typedef struct truth {
    const net_case *c;
    int64_t n, d, outputs;
    int64_t *layer;         /* (d): which layer each parameter belongs to */
    double *matrix[KINDS];  /* (d,d) */
    double *jacobian;       /* (n,outputs,d) */
    double *gradient, loss; /* (d) */
} truth;

static pitot_net_batch quiet(int64_t from, int64_t n, const pitot_net *net) {
    pitot_net_batch b = *batch_of(n);
    b.training = 0;
    b.x += from * net->input.size;
    b.classes += from;
    b.targets += from * outputs_of(net);
    return b;
}

static void add_outer(double *m, double share, const double *g, int64_t d) {
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) m[i * d + j] += share * g[i] * g[j];
}

/* The Hessian in f of the loss of one sample, (c,c), by its definition. */
static void output_hessian(const pitot_net *net, double *h) {
    int64_t c = outputs_of(net);
    const pitot_real *f = pitot_net_output(net);
    double total = 0;
    for (int64_t i = 0; i < c; i++) total += exp((double)f[i]);
    for (int64_t i = 0; i < c; i++)
        for (int64_t j = 0; j < c; j++) {
            double p = exp((double)f[i]) / total, q = exp((double)f[j]) / total, s = 1 / (1 + exp(-(double)f[i]));
            h[i * c + j] = i == j ? 2 / (double)c : 0;
            if (net->loss->name[0] == 'c') h[i * c + j] = (i == j ? p : 0) - p * q;
            if (net->loss->name[0] == 'b') h[i * c + j] = i == j ? s * (1 - s) / (double)c : 0;
        }
}

/* J' (row) for a vector of outputs. */
static void pull(const truth *t, const double *j, const pitot_real *s, double *g) {
    memset(g, 0, (size_t)t->d * sizeof *g);
    for (int64_t i = 0; i < t->outputs; i++)
        for (int64_t k = 0; k < t->d; k++) g[k] += (double)s[i] * j[i * t->d + k];
}

static void add_ggn(truth *t, const pitot_net *net, const double *j) {
    int64_t c = t->outputs, d = t->d;
    double *h = mem_alloc(c * c, sizeof *h), *hj = mem_alloc(d, sizeof *hj);
    output_hessian(net, h);
    for (int64_t i = 0; i < c; i++) {
        memset(hj, 0, (size_t)d * sizeof *hj);
        for (int64_t l = 0; l < c; l++)
            for (int64_t k = 0; h[i * c + l] != 0 && k < d; k++) hj[k] += h[i * c + l] * j[l * d + k];
        for (int64_t a = 0; a < d; a++)
            for (int64_t b = 0; j[i * d + a] != 0 && b < d; b++)
                t->matrix[PITOT_OP_GGN - 1][a * d + b] += j[i * d + a] * hj[b] / (double)t->n;
    }
    mem_free(h);
    mem_free(hj);
}

static void add_drawn(truth *t, const pitot_net *net, int64_t sample, const double *j, uint64_t seed) {
    pitot_real *s = vector(DRAWS * t->outputs);
    double *g = mem_alloc(t->d, sizeof *g);
    net->loss->draw(t->outputs, pitot_net_output(net), &(draw_key){ seed, sample }, 0, DRAWS, s);
    for (int i = 0; i < DRAWS; i++) {
        pull(t, j, s + i * t->outputs, g);
        add_outer(t->matrix[PITOT_OP_GGN_MC - 1], 1.0 / (DRAWS * (double)t->n), g, t->d);
    }
    mem_free(g);
    mem_free(s);
}

static void add_hessian(truth *t, pitot_net *net) {
    pitot_real *e = vector(t->d), *column = vector(t->d);
    memset(e, 0, (size_t)t->d * sizeof *e);
    for (int64_t i = 0; i < t->d; i++) {
        e[i] = 1;
        assert_int_equal(pitot_net_hvp(net, e, column), PITOT_OK);
        for (int64_t k = 0; k < t->d; k++) t->matrix[PITOT_OP_HESSIAN - 1][i * t->d + k] += (double)column[k] / (double)t->n;
        e[i] = 0;
    }
    mem_free(e);
    mem_free(column);
}

static void add_sample(truth *t, pitot_net *net, int64_t k, uint64_t seed) {
    pitot_net_batch b = quiet(k, 1, net);
    double loss, *j = t->jacobian + k * t->outputs * t->d, *g = mem_alloc(t->d, sizeof *g);
    pitot_real *row = vector(t->d), *u = vector(t->outputs);
    assert_int_equal(pitot_net_forward(net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    t->loss += loss / (double)t->n;
    memset(row, 0, (size_t)t->d * sizeof *row);
    flat_gradient(net, row);
    for (int64_t i = 0; i < t->d; i++) g[i] = (double)row[i];
    for (int64_t i = 0; i < t->d; i++) t->gradient[i] += g[i] / (double)t->n;
    add_outer(t->matrix[PITOT_OP_EMPIRICAL_FISHER - 1], 1 / (double)t->n, g, t->d);
    memset(u, 0, (size_t)t->outputs * sizeof *u);
    for (int64_t i = 0; i < t->outputs; i++) {
        u[i] = 1;
        assert_int_equal(pitot_net_vjp(net, u, row), PITOT_OK);
        for (int64_t l = 0; l < t->d; l++) j[i * t->d + l] = (double)row[l];
        u[i] = 0;
    }
    add_ggn(t, net, j);
    add_drawn(t, net, k, j, seed);
    add_hessian(t, net);
    mem_free(g);
    mem_free(row);
    mem_free(u);
}

static truth truth_of(const net_case *c, int64_t n, uint64_t seed) {
    pitot_net *net = prepared(c, 1, 1);
    truth t = { .c = c, .n = n, .d = net->size, .outputs = outputs_of(net) };
    for (int i = 0; i < KINDS; i++) t.matrix[i] = mem_alloc(t.d * t.d, sizeof(double));
    t.jacobian = mem_alloc(n * t.outputs * t.d, sizeof(double));
    t.gradient = mem_alloc(t.d, sizeof(double));
    t.layer = mem_alloc(t.d, sizeof *t.layer);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++)
            for (int64_t l = 0; of[i] >= 0 && l < net->param[of[i]].size; l++) t.layer[net->flat[of[i]] + l] = k;
    }
    for (int64_t k = 0; k < n; k++) add_sample(&t, net, k, seed);
    pitot_net_free(net);
    return t;
}

static void truth_free(truth *t) {
    for (int i = 0; i < KINDS; i++) mem_free(t->matrix[i]);
    mem_free(t->jacobian);
    mem_free(t->gradient);
    mem_free(t->layer);
}

/* ---- a point, and which values of all its vectors hold ---- */

typedef struct place {
    pitot_net *net;
    pitot_net_batch batch;
    pitot_point *point;
    int64_t d, *index; /* (d) */
} place;

static int has_name(const char *group, const char *name) {
    size_t length = strlen(name);
    for (const char *s = group; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
        if (strncmp(s, name, length) == 0 && (s[length] == 0 || s[length] == ',')) return 1;
    return 0;
}

static place place_of(const net_case *c, int64_t n, int64_t chunk, const char *group, int32_t threads) {
    place p = { .net = prepared(c, chunk, threads) };
    pitot_error error = { 0 };
    p.batch = quiet(0, n, p.net);
    p.batch.training = 1; /* is not listened to */
    pitot_point_config config = {
        .struct_size = sizeof config, .net = p.net, .batch = &p.batch, .group = group, .seed = SEED, .draws = DRAWS, .columns = 2
    };
    p.point = pitot_point_new(&config, &error);
    if (!p.point) fail_msg("%s: %s", c->what, error.text);
    p.index = mem_alloc(p.net->size, sizeof *p.index);
    for (int32_t k = 0; k < p.net->n_nodes; k++) {
        const int32_t of[] = { p.net->buffer[k].weight, p.net->buffer[k].bias };
        for (int i = 0; i < 2; i++) {
            if (of[i] < 0 || (group && !has_name(group, p.net->node[k].name) && !has_name(group, p.net->param[of[i]].name)))
                continue;
            for (int64_t l = 0; l < p.net->param[of[i]].size; l++) p.index[p.d++] = p.net->flat[of[i]] + l;
        }
    }
    assert_int_equal(pitot_point_size(p.point), p.d);
    assert_int_equal(pitot_point_samples(p.point), n);
    return p;
}

static void place_free(place *p) {
    pitot_point_free(p->point);
    pitot_net_free(p->net);
    mem_free(p->index);
}

static void same(const truth *t, const char *what, const double *want, const pitot_real *got, int64_t n, double floor) {
    double scale = floor;
    for (int64_t i = 0; i < n; i++) scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(want[i] - (double)got[i]) <= close_to * scale))
            fail_msg("%s: %s: %lld is %.12g, must be %.12g", t->c->what, what, (long long)i, (double)got[i], want[i]);
}

static double largest_of(const double *m, int64_t n) {
    double most = 1e-30;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(m[i]));
    return most;
}

/* Several columns, with the matrix's rows and columns `index`, without what lies between two layers if `blocks`. */
static void check_operator(const truth *t, place *p, int32_t kind, int blocks) {
    const double *m = t->matrix[kind - 1];
    pitot_linop linop;
    int64_t d = p->d, requests;
    pitot_real *x = random_vector(VECTORS * d, 3), *y = vector(VECTORS * d), *one = vector(d);
    double *want = mem_alloc(d, sizeof *want), scale = 0.01 * largest_of(m, t->d * t->d) * largest(x, VECTORS * d);
    assert_int_equal((blocks ? pitot_point_blocks : pitot_point_operator)(p->point, kind, &linop), PITOT_OK);
    assert_true(linop.n == d && linop.symmetric && linop.exact == (kind != PITOT_OP_GGN_MC) && linop.error == 0);
    requests = mem_count().requests;
    assert_int_equal(linop.apply(linop.self, x, y, VECTORS), PITOT_OK);
    assert_int_equal(mem_count().requests, requests);
    for (int64_t j = 0; j < VECTORS; j++) {
        for (int64_t a = 0; a < d; a++) {
            want[a] = 0;
            for (int64_t b = 0; b < d; b++)
                if (!blocks || t->layer[p->index[a]] == t->layer[p->index[b]])
                    want[a] += m[p->index[a] * t->d + p->index[b]] * (double)x[j * d + b];
        }
        same(t, linop.name, want, y + j * d, d, scale);
        assert_int_equal(linop.apply(linop.self, x + j * d, one, 1), PITOT_OK);
        compare(t->c, "alone and together", y + j * d, one, d, 0);
    }
    mem_free(x);
    mem_free(y);
    mem_free(one);
    mem_free(want);
}

static void check_diagonal(const truth *t, place *p, int32_t kind) {
    const double *m = t->matrix[kind - 1];
    pitot_real *got = vector(p->d);
    double *want = mem_alloc(p->d, sizeof *want);
    pitot_error error = { 0 };
    for (int64_t i = 0; i < p->d; i++) want[i] = m[p->index[i] * (t->d + 1)];
    if (pitot_point_diagonal(p->point, kind, got, &error)) fail_msg("%s", error.text);
    same(t, "diagonal", want, got, p->d, 0.01 * largest_of(m, t->d * t->d));
    mem_free(got);
    mem_free(want);
}

static void check_gradient(const truth *t, place *p) {
    pitot_real *got = vector(p->d);
    double *want = mem_alloc(p->d, sizeof *want), loss, alone;
    for (int64_t i = 0; i < p->d; i++) want[i] = t->gradient[p->index[i]];
    assert_int_equal(pitot_point_gradient(p->point, &loss, got), PITOT_OK);
    assert_int_equal(pitot_point_gradient(p->point, &alone, NULL), PITOT_OK);
    same(t, "gradient", want, got, p->d, 0.01 * largest_of(t->gradient, t->d));
    assert_true(fabs(loss - t->loss) <= close_to * fabs(t->loss) && alone == loss);
    mem_free(got);
    mem_free(want);
}

static void check_jacobian(const truth *t, place *p) {
    int64_t rows = t->n * t->outputs, d = p->d;
    pitot_real *v = random_vector(d, 5), *u = random_vector(rows, 6), *jv = vector(rows), *ju = vector(d);
    double *want = mem_alloc(rows + d, sizeof *want), *back = want + rows, floor = 0.01 * largest_of(t->jacobian, rows * t->d);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < d; k++) {
            double j = t->jacobian[i * t->d + p->index[k]];
            want[i] += j * (double)v[k];
            back[k] += j * (double)u[i];
        }
    assert_int_equal(pitot_point_jvp(p->point, v, jv), PITOT_OK);
    assert_int_equal(pitot_point_vjp(p->point, u, ju), PITOT_OK);
    same(t, "J v", want, jv, rows, floor * largest(v, d));
    same(t, "J'u", back, ju, d, floor * largest(u, rows));
    mem_free(v);
    mem_free(u);
    mem_free(jv);
    mem_free(ju);
    mem_free(want);
}

static void check_all(const truth *t, int64_t chunk, const char *group, int32_t threads) {
    place p = place_of(t->c, t->n, chunk, group, threads);
    check_gradient(t, &p);
    check_jacobian(t, &p);
    for (int32_t kind = 1; kind <= KINDS; kind++) {
        check_operator(t, &p, kind, 0);
        check_operator(t, &p, kind, 1);
        check_diagonal(t, &p, kind);
    }
    place_free(&p);
}

/* The last and the first layer, the middle's first parameter with the last, the first parameter: two of them, in turn. */
static void check_groups(const truth *t, int i) {
    pitot_net *net = prepared(t->c, 1, 1);
    char group[4][128] = { { 0 } };
    int64_t n = net->n_params, chunk = (int64_t[]){ BATCH, 3, 1, ROOM }[i % 4];
    snprintf(group[0], sizeof group[0], "%.40s", net->param[n - 1].name);
    *strrchr(group[0], '.') = 0;
    snprintf(group[1], sizeof group[1], "%.40s", net->param[0].name);
    *strrchr(group[1], '.') = 0;
    snprintf(group[2], sizeof group[2], "%.40s,%.40s", net->param[n / 2].name, net->param[n - 1].name);
    snprintf(group[3], sizeof group[3], "%.40s", net->param[0].name);
    for (int k = i % 2; k < 4; k += 2) check_all(t, chunk, group[k], 1);
    pitot_net_free(net);
}

static void test_everything(void **state) {
    (void)state;
    int done = 0;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = prepared(&cases[i], 1, 1);
        int64_t d = net->size;
        pitot_net_free(net);
        if (d == 0 || d > MOST_D) continue;
        truth t = truth_of(&cases[i], BATCH, SEED);
        check_all(&t, (int64_t[]){ BATCH, 3, 1, ROOM }[i % 4], NULL, 1 + (i % 16 == 0));
        check_all(&t, (int64_t[]){ 3, 1, ROOM, BATCH }[i % 4], NULL, 1);
        check_groups(&t, i);
        truth_free(&t);
        done++;
    }
    assert_true(done > CASES / 2);
}

static void test_one_sample(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i += 9) {
        pitot_net *net = prepared(&cases[i], 1, 1);
        int64_t d = net->size;
        pitot_net_free(net);
        if (d == 0 || d > MOST_D) continue;
        truth t = truth_of(&cases[i], 1, SEED);
        check_all(&t, 1 + i % 2, NULL, 1);
        truth_free(&t);
    }
}

/* Targets that are met: no gradient, an empirical Fisher matrix of zeros, and a GGN as ever. */
static void test_no_gradient(void **state) {
    (void)state;
    pitot_net *net = prepared(&cases[1], 2, 1);
    pitot_net_batch b = quiet(0, 2, net);
    int64_t d = net->size, outputs = 2 * outputs_of(net);
    pitot_real *met = vector(outputs), *v = random_vector(d, 1), *y = vector(d);
    pitot_linop linop;
    double loss;
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    memcpy(met, pitot_net_output(net), (size_t)outputs * sizeof *met);
    b.targets = met;
    pitot_point_config config = { .struct_size = sizeof config, .net = net, .batch = &b };
    pitot_point *p = pitot_point_new(&config, NULL);
    assert_int_equal(pitot_point_gradient(p, &loss, y), PITOT_OK);
    assert_true(loss == 0 && largest(y, d) == 0);
    assert_int_equal(pitot_point_operator(p, PITOT_OP_EMPIRICAL_FISHER, &linop), PITOT_OK);
    assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_OK);
    assert_true(largest(y, d) == 0);
    assert_int_equal(pitot_point_operator(p, PITOT_OP_GGN, &linop), PITOT_OK);
    assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_OK);
    assert_true(largest(y, d) > 0);
    mem_free(met);
    mem_free(v);
    mem_free(y);
    pitot_point_free(p);
    pitot_net_free(net);
}

/* What solvers may rely on, over chunks and threads. */
static void test_check(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i += 5)
        for (int32_t kind = 1; kind <= KINDS; kind++) {
            pitot_net *net = prepared(&cases[i], 1, 1);
            int64_t d = net->size;
            pitot_net_free(net);
            if (d == 0) continue;
            place p = place_of(&cases[i], BATCH, 3, NULL, 1 + (i == 5));
            pitot_real *work = vector(4 * d);
            pitot_linop linop;
            pitot_error error = { 0 };
            assert_int_equal(pitot_point_operator(p.point, kind, &linop), PITOT_OK);
            if (pitot_linop_check(&linop, work, 1, NULL, &error)) fail_msg("%s: %s", cases[i].what, error.text);
            mem_free(work);
            place_free(&p);
        }
}

/* ---- differences of gradients ---- */

#ifdef PITOT_DOUBLE

/* (g(theta + h e) - g(theta - h e)) / 2h of the mean loss. */
static void difference(pitot_net *net, int64_t j, double width, double *out) {
    int32_t i = net->n_params - 1;
    while (net->flat[i] > j) i--;
    pitot_real *at = &net->param[i].data[j - net->flat[i]], kept = *at, *g = vector(net->size);
    for (int side = -1; side <= 1; side += 2) {
        pitot_net_batch b = quiet(0, BATCH, net);
        *at = kept + side * width;
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        memset(g, 0, (size_t)net->size * sizeof *g);
        flat_gradient(net, g);
        for (int64_t k = 0; k < net->size; k++) out[k] = (side < 0 ? 0 : out[k]) + side * g[k] / (2 * width);
    }
    *at = kept;
    mem_free(g);
}

/* Columns where two widths disagree lie at a kink and are passed over: at most a quarter. */
static void test_differences(void **state) {
    (void)state;
    enum { MANY = 12 };
    int64_t tried = 0, good = 0;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = prepared(&cases[i], BATCH, 1);
        int64_t d = net->size;
        double *wide = mem_alloc(2 * d + 1, sizeof *wide), *narrow = wide + d;
        if (d > 0) {
            place p = place_of(&cases[i], BATCH, 3, NULL, 1);
            truth t = { .c = &cases[i] };
            pitot_linop linop;
            pitot_real *e = vector(d), *column = vector(d);
            memset(e, 0, (size_t)d * sizeof *e);
            assert_int_equal(pitot_point_operator(p.point, PITOT_OP_HESSIAN, &linop), PITOT_OK);
            for (int64_t j = 0; j < d; j += d / MANY + 1, tried++) {
                difference(net, j, 2e-4, wide);
                difference(net, j, 1e-4, narrow);
                double apart = 0, scale = largest_of(narrow, d);
                for (int64_t k = 0; k < d; k++) {
                    apart = fmax(apart, fabs(wide[k] - narrow[k]));
                    narrow[k] = (4 * narrow[k] - wide[k]) / 3; /* free of the term in width^2 */
                }
                if (apart > 1e-5 * scale + 1e-9) continue;
                good++;
                e[j] = 1;
                assert_int_equal(linop.apply(linop.self, e, column, 1), PITOT_OK);
                e[j] = 0;
                for (int64_t k = 0; k < d; k++)
                    if (!(fabs(narrow[k] - column[k]) <= 1e-7 * scale + 1e-10)) /* round-off of a gradient over the width */
                        fail_msg("%s: H[%lld,%lld] is %.12g, differences say %.12g", t.c->what, (long long)k, (long long)j,
                                 column[k], narrow[k]);
            }
            mem_free(e);
            mem_free(column);
            place_free(&p);
        }
        mem_free(wide);
        pitot_net_free(net);
    }
    if (good < tried - tried / 4) fail_msg("only %lld of %lld columns could be used", (long long)good, (long long)tried);
}

#endif

/* ---- the sampled matrix is the exact one in the mean ---- */

/* v'(MC - G)v over many seeds, by its own standard error: below 5 of them; and labels do differ from seed to seed. */
static void test_expectation(void **state) {
    (void)state;
    enum { SEEDS = 400 };
    for (int i = 0; i < 3; i++) {
        pitot_net *net = prepared(&cases[i], 3, 1);
        int64_t d = net->size;
        pitot_net_batch b = quiet(0, BATCH, net);
        pitot_real *v = random_vector(d, 9), *y = vector(d);
        double sum = 0, squares = 0, exact = 0;
        for (int s = 0; s <= SEEDS; s++) {
            pitot_point_config config = { .struct_size = sizeof config, .net = net, .batch = &b, .seed = (uint64_t)s, .draws = 2 };
            pitot_point *p = pitot_point_new(&config, NULL);
            pitot_linop linop;
            assert_int_equal(pitot_point_operator(p, s ? PITOT_OP_GGN_MC : PITOT_OP_GGN, &linop), PITOT_OK);
            assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_OK);
            double value = dot(v, y, d);
            if (!s) exact = value;
            else sum += value - exact, squares += (value - exact) * (value - exact);
            pitot_point_free(p);
        }
        double mean = sum / SEEDS, error = sqrt((squares / SEEDS - mean * mean) / SEEDS);
        assert_true(error > 1e-4 * exact && error < 0.1 * exact);
        if (!(fabs(mean) <= 5 * error)) fail_msg("%s: off by %g, error %g", cases[i].what, mean, error);
        mem_free(v);
        mem_free(y);
        pitot_net_free(net);
    }
}

/* ---- data sets ---- */

static pitot_data made_up(const pitot_net *net, int with_classes) {
    (void)batch_of(1);
    pitot_data set = { .struct_size = sizeof set, .n = ROOM, .n_train = ROOM, .size = net->input.size, .reals = data.x };
    memcpy(set.shape, net->input.dim, sizeof set.shape);
    if (with_classes) set.classes = data.classes, set.n_classes = outputs_of(net);
    else set.targets = data.targets, set.target_size = outputs_of(net);
    return set;
}

/* Samples 4..11 of a data set and the same as a batch with ids; labels too, which follow the place in the data set. */
static void check_data(const net_case *c, int with_classes, int64_t chunk) {
    enum { FIRST = 4 };
    pitot_net *net = prepared(c, chunk, 1);
    pitot_data set = made_up(net, with_classes);
    pitot_real hot[ROOM * MOST_OUTPUT] = { 0 };
    int64_t ids[ROOM], d = net->size, outputs = outputs_of(net);
    for (int64_t k = 0; k < ROOM; k++) {
        ids[k] = k;
        hot[k * outputs + data.classes[k]] = 1;
    }
    pitot_net_batch b = quiet(FIRST, ROOM - FIRST, net);
    b.ids = ids + FIRST;
    if (with_classes) b.targets = hot + FIRST * outputs;
    pitot_point_config config = { .struct_size = sizeof config, .net = net, .data = &set, .first = FIRST, .seed = 5, .draws = 2 };
    pitot_point *of_data = pitot_point_new(&config, NULL);
    config.data = NULL;
    config.batch = &b;
    pitot_point *of_batch = pitot_point_new(&config, NULL);
    assert_true(of_data && of_batch && pitot_point_samples(of_data) == ROOM - FIRST);
    pitot_real *v = random_vector(d, 1), *y = vector(d), *z = vector(d);
    for (int32_t kind = 1; kind <= KINDS; kind++) { /* two points on one net, in turn */
        pitot_linop one, other;
        assert_int_equal(pitot_point_operator(of_data, kind, &one), PITOT_OK);
        assert_int_equal(pitot_point_operator(of_batch, kind, &other), PITOT_OK);
        assert_int_equal(one.apply(one.self, v, y, 1), PITOT_OK);
        assert_int_equal(other.apply(other.self, v, z, 1), PITOT_OK);
        compare(c, "data set and batch", y, z, d, 0);
        assert_true(largest(y, d) > 0);
    }
    mem_free(v);
    mem_free(y);
    mem_free(z);
    pitot_point_free(of_data);
    pitot_point_free(of_batch);
    pitot_net_free(net);
}

static void test_data(void **state) {
    (void)state;
    for (int64_t chunk = 2; chunk <= ROOM; chunk += 9) {
        check_data(&cases[0], 1, chunk);
        check_data(&cases[1], 1, chunk);
        check_data(&cases[1], 0, chunk);
        check_data(&cases[2], 0, chunk);
    }
}

/* ---- what is kept, and what is made again ---- */

static void test_kept(void **state) {
    (void)state;
    place p = place_of(&cases[4], BATCH, BATCH, NULL, 1), q = place_of(&cases[4], BATCH, 3, NULL, 1);
    int64_t d = p.d, passes;
    pitot_real *v = random_vector(d, 1), *y = vector(d), *z = vector(d);
    pitot_linop linop, many;
    double loss, after;
    assert_int_equal(pitot_point_operator(p.point, PITOT_OP_HESSIAN, &linop), PITOT_OK);
    assert_int_equal(pitot_point_operator(q.point, PITOT_OP_HESSIAN, &many), PITOT_OK);
    assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_OK);
    passes = p.net->passes;
    assert_int_equal(linop.apply(linop.self, v, z, 1), PITOT_OK);
    assert_int_equal(pitot_point_gradient(p.point, &loss, z), PITOT_OK);
    assert_int_equal(p.net->passes, passes);
    pass(p.net, 2); /* somebody else's */
    assert_int_equal(linop.apply(linop.self, v, z, 1), PITOT_OK);
    compare(&cases[4], "after another pass", y, z, d, 0);
    memset(p.net->gradient, 0, (size_t)p.net->room * sizeof(pitot_real)); /* an optimizer's */
    assert_int_equal(pitot_point_gradient(p.point, &loss, z), PITOT_OK);
    assert_true(largest(z, d) > 0);
    p.net->theta[0] += (pitot_real)0.5;
    pitot_point_changed(p.point);
    assert_int_equal(linop.apply(linop.self, v, z, 1), PITOT_OK);
    assert_int_equal(pitot_point_gradient(p.point, &after, NULL), PITOT_OK);
    assert_true(memcmp(y, z, (size_t)d * sizeof *y) != 0 && after != loss);
    passes = q.net->passes;
    pitot_real *x = random_vector(4 * d, 2), *w = vector(4 * d);
    assert_int_equal(many.apply(many.self, x, w, 4), PITOT_OK);
    assert_int_equal(q.net->passes - passes, 6); /* two columns at once, three chunks */
    pitot_real *const all[] = { v, y, z, x, w };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
    place_free(&p);
    place_free(&q);
}

typedef struct watch {
    int64_t calls, done, of, stop_at;
} watch;

static int32_t watch_progress(void *user, int64_t done, int64_t of) {
    watch *w = user;
    assert_true(done > w->done || w->done == w->of);
    w->calls++;
    w->done = done;
    w->of = of;
    return w->calls == w->stop_at ? 77 : 0;
}

static void test_progress(void **state) {
    (void)state;
    watch w = { 0 };
    pitot_net *net = prepared(&cases[4], 3, 1);
    pitot_net_batch b = quiet(0, BATCH, net);
    pitot_point_config config = { .struct_size = sizeof config, .net = net, .batch = &b, .progress = watch_progress, .user = &w };
    pitot_point *p = pitot_point_new(&config, NULL);
    int64_t d = net->size, rows = BATCH * outputs_of(net);
    pitot_real *v = random_vector(d > rows ? d : rows, 1), *y = vector(d > rows ? d : rows);
    pitot_linop linop;
    assert_int_equal(pitot_point_operator(p, PITOT_OP_GGN, &linop), PITOT_OK);
    assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_OK);
    assert_true(w.calls == 3 && w.done == BATCH && w.of == BATCH);
    for (int i = 0; i < 5; i++) {
        w = (watch){ .stop_at = 2 };
        int32_t status = i == 0   ? linop.apply(linop.self, v, y, 1)
                         : i == 1 ? pitot_point_gradient(p, NULL, y)
                         : i == 2 ? pitot_point_diagonal(p, PITOT_OP_GGN_MC, y, NULL)
                         : i == 3 ? pitot_point_jvp(p, v, y)
                                  : pitot_point_vjp(p, v, y);
        assert_true(status == 77 && w.calls == 2 && w.done == 6);
        assert_non_null(strstr(pitot_point_error(p)->text, "6 of 7"));
    }
    mem_free(v);
    mem_free(y);
    pitot_point_free(p);
    pitot_net_free(net);
}

/* ---- what is refused ---- */

static void refused(const pitot_point_config *c, int32_t status, const char *says) {
    pitot_error error = { 0 };
    assert_null(pitot_point_new(c, &error));
    if (error.status != status || !strstr(error.text, says))
        fail_msg("%d: \"%s\" should say \"%s\"", (int)error.status, error.text, says);
}

static void test_refused(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    pitot_net *net = prepared(&cases[4], 3, 1), *empty = pitot_net_new("empty", (int64_t[]){ 3, 0 }, "mse", NULL);
    pitot_data set = made_up(net, 1), wrong = made_up(net, 0);
    pitot_net_batch b = quiet(0, BATCH, net), bad = b, none = b;
    int32_t classes[BATCH] = { 0, 1, 4 };
    bad.classes = classes;
    none.classes = NULL;
    const pitot_point_config good = { .struct_size = sizeof good, .net = net, .batch = &b },
                             of_data = { .struct_size = sizeof good, .net = net, .data = &set };
    pitot_point_config c = good;
    refused(NULL, PITOT_EINVAL, "net");
#define REFUSED(from, field, value, status, says) (c = (from), c.field = (value), refused(&c, status, says))
    REFUSED(good, net, empty, PITOT_EORDER, "pitot_net_prepare");
    REFUSED(good, data, &set, PITOT_EINVAL, "not both");
    REFUSED(good, batch, NULL, PITOT_EINVAL, "either");
    REFUSED(good, batch, &bad, PITOT_EINVAL, "0..3");
    REFUSED(good, batch, &none, PITOT_EINVAL, "classes");
    REFUSED(good, draws, -1, PITOT_EINVAL, "draws");
    REFUSED(good, draws, INT64_MAX / 2, PITOT_EINVAL, "draws");
    REFUSED(good, columns, -1, PITOT_EINVAL, "columns");
    REFUSED(of_data, first, ROOM, PITOT_EINVAL, "has 11");
    REFUSED(of_data, samples, ROOM + 1, PITOT_EINVAL, "has 11");
    REFUSED(of_data, samples, -1, PITOT_EINVAL, "has 11");
    REFUSED(of_data, data, &wrong, PITOT_EMISMATCH, "classes");
    REFUSED(good, group, "0,2.wight", PITOT_EINVAL, "did you mean \"2.weight\"? known: 0, 2, 0.weight, 0.bias, 2.weight, 2.bias");
    REFUSED(good, group, "", PITOT_EINVAL, "known");
    REFUSED(good, group, "0,", PITOT_EINVAL, "known");
    REFUSED(good, group, "1", PITOT_EINVAL, "known"); /* a tanh */
    net->param[2].data[1] = NAN;
    REFUSED(good, net, net, PITOT_EINVAL, "2.weight[1] is nan");
    net->param[2].data[1] = 0;
    pitot_net *bare = prepared(&cases[CASES - 1], 3, 1);
    REFUSED(good, net, bare, PITOT_EINVAL, "no parameters");
    pitot_net_free(bare);
    pitot_net_free(net);
    pitot_net_free(empty);
    assert_int_equal(mem_count().blocks, blocks);
}

/* Of values that turn up later: a status and the name, from every call; and afterwards all is as before. */
static void test_not_finite(void **state) {
    (void)state;
    place p = place_of(&cases[4], BATCH, 3, "2", 1);
    pitot_real *v = random_vector(p.d, 1), *y = vector(p.d), bad[2] = { (pitot_real)NAN, (pitot_real)INFINITY };
    pitot_linop linop;
    pitot_error error = { 0 };
    double loss;
    assert_int_equal(pitot_point_operator(p.point, 9, &linop), PITOT_EINVAL);
    assert_int_equal(pitot_point_operator(p.point, PITOT_OP_HESSIAN, &linop), PITOT_OK);
    for (int i = 0; i < 2; i++) {
        pitot_real kept = p.net->param[1].data[0];
        p.net->param[1].data[0] = bad[i];
        assert_int_equal(pitot_point_gradient(p.point, &loss, y), i ? PITOT_OK : PITOT_EINVAL); /* tanh of infinity is 1 */
        assert_int_equal(pitot_point_diagonal(p.point, PITOT_OP_GGN, y, &error), i ? PITOT_OK : PITOT_EINVAL);
        if (!i) assert_non_null(strstr(pitot_point_error(p.point)->text, "0.bias[0] is nan"));
        p.net->param[1].data[0] = kept;
        pitot_real was = v[1];
        v[1] = bad[i];
        assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_EINVAL);
        assert_non_null(strstr(pitot_point_error(p.point)->text, "hessian: 2.weight["));
        v[1] = was;
        assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_OK);
        assert_int_equal(pitot_point_error(p.point)->status, PITOT_OK);
    }
    assert_non_null(strstr(error.text, "0.bias[0]"));
    assert_int_equal(pitot_net_prepare(p.net, 5, 1, NULL), PITOT_OK);
    assert_int_equal(linop.apply(linop.self, v, y, 1), PITOT_EORDER);
    assert_int_equal(pitot_point_jvp(p.point, v, y), PITOT_EORDER);
    mem_free(v);
    mem_free(y);
    place_free(&p);
}

static void test_memory(void **state) {
    (void)state;
    pitot_net *net = prepared(&cases[4], 3, 1);
    pitot_data set = made_up(net, 1);
    pitot_point_config config = { .struct_size = sizeof config, .net = net, .data = &set, .group = "0.weight" };
    pitot_linop linop;
    assert_int_equal(pitot_net_prepare_products(net, NULL), PITOT_OK);
    int64_t blocks = mem_count().blocks, failed = 0;
    for (int64_t k = 1; k < 100; k++) {
        mem_fail_at(k, 0);
        pitot_point *p = pitot_point_new(&config, NULL);
        int32_t status = p ? pitot_point_operator(p, PITOT_OP_EMPIRICAL_FISHER, &linop) : PITOT_ENOMEM;
        if (p && !status) status = pitot_point_operator(p, PITOT_OP_GGN_MC, &linop);
        mem_fail_at(0, 0);
        pitot_point_free(p);
        assert_int_equal(mem_count().blocks, blocks);
        if (!status) break;
        assert_int_equal(status, PITOT_ENOMEM);
        failed++;
    }
    assert_true(failed >= 10);
    pitot_net_free(net);
}

static void test_names(void **state) {
    (void)state;
    for (int32_t kind = 1; kind <= KINDS; kind++) assert_int_equal(pitot_operator_find(pitot_operator_name(kind)), kind);
    assert_null(pitot_operator_name(0));
    assert_null(pitot_operator_name(KINDS + 1));
    assert_int_equal(pitot_operator_find("fisher"), 0);
    assert_int_equal(pitot_operator_find(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),  cmocka_unit_test(test_one_sample),  cmocka_unit_test(test_no_gradient),
        cmocka_unit_test(test_check),       cmocka_unit_test(test_expectation), cmocka_unit_test(test_data),
        cmocka_unit_test(test_kept),        cmocka_unit_test(test_progress),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_not_finite),  cmocka_unit_test(test_memory),      cmocka_unit_test(test_names),
#ifdef PITOT_DOUBLE
        cmocka_unit_test(test_differences),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
