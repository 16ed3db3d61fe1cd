/* approximations.c: see approximations.h. Every block of the truth is seen once, by unit vectors or by random signs, beside the same products
   with each approximation. */

#include "approximations.h"
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VECTORS = 16 }; /* of Lanczos iteration */

/* ---- what is compared ---- */

enum { DIAGONAL, KRON, POINT };

static const struct kind {
    const char *name;
    int form;
    int32_t which, sharing, corrected; /* PITOT_DIAGONAL_..., PITOT_KRON_..., PITOT_OP_... */
} kinds[] = {
    { "diagonal", DIAGONAL, 0, 0, 0 }, /* the truth's */
    { "diagonal_ggn_mc", DIAGONAL, PITOT_DIAGONAL_GGN_MC, 0, 0 },
    { "hesscale", DIAGONAL, PITOT_DIAGONAL_HESSCALE, 0, 0 },
    { "hesscale_gn", DIAGONAL, PITOT_DIAGONAL_HESSCALE_GN, 0, 0 },
    { "bl89", DIAGONAL, PITOT_DIAGONAL_BL89, 0, 0 },
    { "kfac", KRON, PITOT_KRON_KFAC, PITOT_KRON_EXPAND, 0 },
    { "kfac_reduce", KRON, PITOT_KRON_KFAC, PITOT_KRON_REDUCE, 0 },
    { "ekfac", KRON, PITOT_KRON_KFAC, PITOT_KRON_EXPAND, 1 },
    { "kflr", KRON, PITOT_KRON_KFLR, PITOT_KRON_EXPAND, 0 },
    { "kflr_reduce", KRON, PITOT_KRON_KFLR, PITOT_KRON_REDUCE, 0 },
    { "ekflr", KRON, PITOT_KRON_KFLR, PITOT_KRON_EXPAND, 1 },
    { "kfra", KRON, PITOT_KRON_KFRA, PITOT_KRON_EXPAND, 0 },
    { "kfac_empirical", KRON, PITOT_KRON_EMPIRICAL, PITOT_KRON_EXPAND, 0 },
    { "kfac_input", KRON, PITOT_KRON_INPUT, PITOT_KRON_EXPAND, 0 },
    { "ggn_mc", POINT, PITOT_OP_GGN_MC, 0, 0 },
    { "empirical_fisher", POINT, PITOT_OP_EMPIRICAL_FISHER, 0, 0 },
    { "ggn", POINT, PITOT_OP_GGN, 0, 0 }, /* where the Hessian is the truth */
};
enum { KINDS = sizeof kinds / sizeof *kinds };

typedef struct candidate { /* one of them at the batch; not `ready`: it is not to be had */
    int ready;
    pitot_linop op;
    pitot_real *diagonal; /* (D) */
    pitot_kron *kron;
    pitot_kron_inverse inverse;
} candidate;

typedef struct study { /* everything under way */
    approximations *a;
    pitot_net *net;
    pitot_point *point;
    pitot_error *error;
    int64_t d;
    pitot_linop exact, truth; /* truth: exact, its products counted */
    pitot_real *gradient;
    candidate c[KINDS];
    pitot_real *x, *y, *z;     /* (D) */
    pitot_real *step, *other;  /* (D) solutions */
    pitot_real *cg;            /* (3,D) */
    pitot_real *lanczos, *top; /* (VECTORS,D), (D) */
    pitot_real *in, *out;      /* (D) of restrictions */
} study;

/* ---- operators ---- */

static int32_t multiply_truth(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    study *s = self;
    s->a->products += k;
    return s->exact.apply(s->exact.self, x, y, k);
}

static int32_t multiply_diagonal(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    const candidate *c = self;
    int64_t d = c->op.n;
    for (int64_t i = 0; i < k * d; i++) y[i] = c->diagonal[i % d] * x[i];
    return PITOT_OK;
}

typedef struct restriction { /* rows and columns from..from+n of an operator */
    pitot_linop op;
    const pitot_linop *inner;
    int64_t from;
    pitot_real *in, *out;
} restriction;

static int32_t multiply_restriction(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    const restriction *r = self;
    int64_t n = r->op.n, d = r->inner->n;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; !status && j < k; j++) {
        memset(r->in, 0, (size_t)d * sizeof *r->in);
        memcpy(r->in + r->from, x + j * n, (size_t)n * sizeof *x);
        status = r->inner->apply(r->inner->self, r->in, r->out, 1);
        memcpy(y + j * n, r->out + r->from, (size_t)n * sizeof *y);
    }
    return status;
}

static void restrict_to(restriction *r, const study *s, const pitot_linop *inner, int64_t block) {
    *r = (restriction){ .op = *inner, .inner = inner, .from = s->a->from[block], .in = s->in, .out = s->out };
    r->op.n = s->a->truth[block].parameters;
    r->op.apply = multiply_restriction;
    r->op.self = r;
}

/* ---- candidates ---- */

static int has_planes(const pitot_net *net) {
    for (int64_t i = 0; i < pitot_net_param_count(net); i++)
        if (pitot_net_params(net)[i].n_dim > 2) return 1;
    return 0;
}

static int32_t make_diagonal(study *s, candidate *c, const struct kind *k, pitot_error *error) {
    int32_t which = k->which ? k->which : s->a->hessian ? PITOT_DIAGONAL_HESSIAN : PITOT_DIAGONAL_GGN;
    c->diagonal = calloc((size_t)s->d, sizeof *c->diagonal);
    if (!c->diagonal) return PITOT_ENOMEM;
    c->op = (pitot_linop){ .struct_size = sizeof c->op, .name = k->name, .n = s->d, .symmetric = 1, .exact = 1, .checked = 1 };
    c->op.apply = multiply_diagonal;
    c->op.self = c;
    return pitot_net_diagonal(s->net, which, s->a->draws, s->a->seed, 0, c->diagonal, error);
}

static int32_t make_kron(study *s, candidate *c, const struct kind *k, pitot_error *error) {
    pitot_kron_config config = { .struct_size = sizeof config,
                                 .net = s->net,
                                 .kind = k->which,
                                 .sharing = k->sharing,
                                 .corrected = k->corrected,
                                 .draws = s->a->draws,
                                 .seed = s->a->seed };
    if (k->sharing == PITOT_KRON_REDUCE && !has_planes(s->net))
        return pitot_fail(error, PITOT_ENOTSUP,
                          "no layer of this net shares its weight between positions: the same as without reduce");
    c->kron = pitot_kron_new(&config, error);
    if (!c->kron) return error->status;
    int32_t status = pitot_kron_operator(c->kron, &c->op);
    return status ? status : pitot_kron_invert(c->kron, s->a->damping, PITOT_KRON_EXACT, &c->inverse, error);
}

static int32_t make_candidate(study *s, candidate *c, const struct kind *k, pitot_error *error) {
    if (k->form == DIAGONAL) return make_diagonal(s, c, k, error);
    if (k->form == KRON) return make_kron(s, c, k, error);
    if (k->which == PITOT_OP_GGN && !s->a->hessian)
        return pitot_fail(error, PITOT_ENOTSUP, "it is the truth here; see truth=hessian");
    return pitot_point_operator(s->point, k->which, &c->op);
}

static void make_candidates(study *s) {
    for (int i = 0; i < KINDS; i++) {
        pitot_error error = { 0 };
        int32_t status = make_candidate(s, &s->c[i], &kinds[i], &error);
        s->c[i].ready = !status;
        if (status) snprintf(s->a->why[i], sizeof *s->a->why, "%.250s", error.text[0] ? error.text : pitot_strerror(status));
    }
}

/* ---- |C - G|_F ---- */

static double next_sign(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64: Steele, Lea, Flood 2014 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) >> 63 ? 1 : -1;
}

typedef struct squares { /* over vectors v: e = |(C - G) v|^2, t = |G v|^2 */
    double e, t, ee, et, tt;
} squares;

static void add(squares *q, double e, double t) {
    q->e += e, q->t += t, q->ee += e * e, q->et += e * t, q->tt += t * t;
}

static double distance(const pitot_real *a, const pitot_real *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double by = (double)a[i] - (b ? (double)b[i] : 0);
        sum += by * by;
    }
    return sum;
}

/* sqrt(sum e / sum t), and its standard error from m draws (delta method) */
static void relative_error(const squares *q, int64_t m, int exact, comparison *to) {
    double ratio = q->e / q->t, n = (double)m;
    double variance = (q->ee - 2 * ratio * q->et + ratio * ratio * q->tt) / n / (n - 1) / (q->t / n) / (q->t / n);
    to->error = sqrt(ratio);
    to->error_spread = exact || to->error == 0 ? 0 : sqrt(fmax(variance, 0)) / (2 * to->error);
    to->exact = exact;
}

static void norm_of(const squares *q, int64_t m, int exact, comparison *to) {
    double n = (double)m, mean = q->t / n, variance = (q->tt / n - mean * mean) / (n - 1);
    to->norm = sqrt(exact ? q->t : mean);
    to->norm_spread = exact || to->norm == 0 ? 0 : sqrt(fmax(variance, 0)) / (2 * to->norm);
    to->exact = exact;
}

static comparison *result_of(const approximations *a, int64_t kind, int64_t block) {
    return a->result + kind * a->n_blocks + block;
}

static int32_t measure_errors(study *s, int64_t block) {
    approximations *a = s->a;
    int64_t n = a->truth[block].parameters, exact = n <= a->dense, m = exact ? n : a->vectors;
    uint64_t state = a->seed ^ (uint64_t)block << 32;
    squares truth = { 0 }, q[KINDS] = { { 0 } };
    restriction g, c;
    restrict_to(&g, s, &s->truth, block);
    for (int64_t j = 0; j < m; j++) {
        for (int64_t i = 0; i < n; i++) s->x[i] = (pitot_real)(exact ? i == j : next_sign(&state));
        int32_t status = g.op.apply(&g, s->x, s->y, 1);
        double t = distance(s->y, NULL, n);
        add(&truth, 0, t);
        for (int k = 0; !status && k < KINDS; k++) {
            if (!s->c[k].ready) continue;
            restrict_to(&c, s, &s->c[k].op, block);
            status = c.op.apply(&c, s->x, s->z, 1);
            add(&q[k], distance(s->z, s->y, n), t);
        }
        if (status) return status;
    }
    norm_of(&truth, m, (int)exact, &a->truth[block]);
    for (int k = 0; k < KINDS; k++)
        if (s->c[k].ready) relative_error(&q[k], m, (int)exact, result_of(a, k, block));
    return PITOT_OK;
}

/* ---- the largest eigenvalue ---- */

static int32_t measure_top(study *s, const pitot_linop *op, int64_t block, comparison *to) {
    restriction r;
    restrict_to(&r, s, op, block);
    pitot_lanczos set = {
        .struct_size = sizeof set, .tolerance = 1e-3, .products = 200, .vectors = VECTORS, .work = s->lanczos, .seed = s->a->seed
    };
    pitot_eigenpair pair;
    int64_t products;
    memset(s->top, 0, (size_t)r.op.n * sizeof *s->top);
    int32_t status = pitot_lanczos_top(&r.op, &set, 1, s->top, &pair, &products);
    to->top = pair.value;
    to->top_converged = pair.converged;
    return status;
}

/* ---- damped Newton steps ---- */

static double dot(const pitot_real *a, const pitot_real *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* x with (Op + delta I) x = b; *residual: |b - (Op + delta I) x| / |b|; infinite where the matrix is not positive definite. */
static int32_t solve(study *s, const pitot_linop *op, const pitot_real *b, pitot_real *x, double *residual) {
    pitot_cg_column column;
    pitot_cg_config how = { .struct_size = sizeof how,
                            .tolerance = pitot_real_size() == 8 ? 1e-10 : 1e-5,
                            .products = s->a->iterations,
                            .damping = s->a->damping,
                            .work = s->cg };
    memset(x, 0, (size_t)op->n * sizeof *x);
    int32_t status = pitot_cg(op, &how, 1, b, x, &column, NULL);
    *residual = column.indefinite ? INFINITY : column.residual;
    return status;
}

/* (C + delta I)^-1 of the block's gradient, where that is known without iterating */
static int32_t step_of(study *s, const candidate *c, const struct kind *k, int64_t block, double *residual) {
    int64_t from = s->a->from[block], n = s->a->truth[block].parameters;
    restriction r;
    *residual = 0;
    if (k->form == DIAGONAL)
        for (int64_t i = 0; i < n; i++)
            s->other[i] = (pitot_real)((double)s->gradient[from + i] / ((double)c->diagonal[from + i] + s->a->damping));
    if (k->form == DIAGONAL) return PITOT_OK;
    restrict_to(&r, s, k->form == KRON ? &c->inverse.op : &c->op, block);
    if (k->form == KRON) return r.op.apply(&r, s->gradient + from, s->other, 1);
    return solve(s, &r.op, s->gradient + from, s->other, residual);
}

static int32_t measure_steps(study *s, int64_t block) {
    approximations *a = s->a;
    int64_t n = a->truth[block].parameters;
    restriction g;
    restrict_to(&g, s, &s->truth, block);
    int32_t status = solve(s, &g.op, s->gradient + a->from[block], s->step, &a->truth[block].residual);
    for (int k = 0; !status && k < KINDS; k++) {
        comparison *to = result_of(a, k, block);
        if (!s->c[k].ready) continue;
        status = step_of(s, &s->c[k], &kinds[k], block, &to->residual);
        to->cosine = dot(s->step, s->other, n) / sqrt(dot(s->step, s->step, n) * dot(s->other, s->other, n));
        if (!isfinite(a->truth[block].residual) || !isfinite(to->residual)) to->cosine = NAN;
    }
    return status;
}

/* ---- blocks ---- */

/* The layer of "conv1.weight" is conv1. */
static size_t layer_length(const char *name) {
    const char *dot_at = strrchr(name, '.');
    return dot_at ? (size_t)(dot_at - name) : strlen(name);
}

static int32_t find_blocks(approximations *a, const pitot_net *net, pitot_error *error) {
    int64_t params = pitot_net_param_count(net), at = 0;
    const pitot_net_param *p = pitot_net_params(net);
    a->layer = calloc((size_t)params + 1, sizeof *a->layer);
    a->from = calloc((size_t)params + 1, sizeof *a->from);
    a->truth = calloc((size_t)params + 1, sizeof *a->truth);
    a->result = calloc((size_t)params + 1, KINDS * sizeof *a->result);
    a->why = calloc(KINDS, sizeof *a->why);
    if (!a->layer || !a->from || !a->truth || !a->result || !a->why || !(a->layer[0] = strdup("overall")))
        return pitot_fail(error, PITOT_ENOMEM, "approximations: no memory");
    a->n_blocks = 1;
    a->n_kinds = KINDS;
    for (int64_t i = 0; i < params; at += p[i++].size) {
        size_t n = layer_length(p[i].name);
        const char *last = a->layer[a->n_blocks - 1];
        if (a->n_blocks == 1 || strlen(last) != n || strncmp(last, p[i].name, n)) {
            a->layer[a->n_blocks] = strndup(p[i].name, n);
            if (!a->layer[a->n_blocks]) return pitot_fail(error, PITOT_ENOMEM, "approximations: no memory");
            a->from[a->n_blocks++] = at;
        }
        a->truth[a->n_blocks - 1].parameters += p[i].size;
        a->truth[0].parameters += p[i].size;
    }
    return a->n_blocks > 1 ? PITOT_OK : pitot_fail(error, PITOT_EINVAL, "approximations: the net has no parameters");
}

/* ---- the whole ---- */

static void announce(const approximations *a) {
    double products = 0;
    for (int64_t i = 0; i < a->n_blocks; i++)
        products += (double)(a->truth[i].parameters <= a->dense ? a->truth[i].parameters : a->vectors);
    fprintf(stderr,
            "pitot: approximations: at least %.0f products with the %s, and as many with each of %d approximations; "
            "approximations.dense and .vectors make it less\n",
            products, a->hessian ? "Hessian" : "GGN", KINDS);
}

static int32_t open_study(study *s, approximations *a, pitot_net *net, const pitot_net_batch *batch, pitot_error *error) {
    int64_t d = a->truth[0].parameters, from = 0;
    pitot_real **vectors[] = { &s->gradient, &s->x, &s->y, &s->z, &s->step, &s->other, &s->top, &s->in, &s->out };
    s->a = a;
    s->net = net;
    s->d = d;
    s->error = error;
    int good = (s->lanczos = calloc((size_t)d, VECTORS * sizeof *s->lanczos)) != NULL;
    good &= (s->cg = calloc((size_t)d, 3 * sizeof *s->cg)) != NULL;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        good &= (*vectors[i] = calloc((size_t)d, sizeof **vectors[i])) != NULL;
    if (!good) return pitot_fail(error, PITOT_ENOMEM, "approximations: no memory for %lld parameters", (long long)d);
    for (int64_t i = 0; i < pitot_net_param_count(net); from += pitot_net_params(net)[i++].size)
        memcpy(s->gradient + from, pitot_net_params(net)[i].grad, (size_t)pitot_net_params(net)[i].size * sizeof *s->gradient);
    pitot_point_config at = { .struct_size = sizeof at, .net = net, .batch = batch, .seed = a->seed, .draws = a->draws };
    pitot_error inner = { 0 };
    s->point = pitot_point_new(&at, &inner);
    if (!s->point) return pitot_fail(error, PITOT_EHOST, "approximations: %s", inner.text);
    int32_t status = pitot_point_operator(s->point, a->hessian ? PITOT_OP_HESSIAN : PITOT_OP_GGN, &s->exact);
    s->truth = s->exact;
    s->truth.apply = multiply_truth;
    s->truth.self = s;
    return status;
}

static void close_study(study *s) {
    pitot_real *vectors[] = { s->gradient, s->x, s->y, s->z, s->step, s->other, s->top, s->in, s->out, s->lanczos, s->cg };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) free(vectors[i]);
    pitot_point_free(s->point);
    for (int k = 0; k < KINDS; k++) {
        free(s->c[k].diagonal);
        pitot_kron_free(s->c[k].kron);
    }
}

static void top_of_diagonal(const study *s, const candidate *c, int64_t block, comparison *to) {
    const pitot_real *v = c->diagonal + s->a->from[block];
    to->top = (double)v[0];
    for (int64_t i = 1; i < s->a->truth[block].parameters; i++) to->top = fmax(to->top, (double)v[i]);
    to->top_converged = 1;
}

static int32_t measure_block(study *s, int64_t block) {
    int32_t status = measure_errors(s, block);
    if (!status) status = measure_top(s, &s->truth, block, &s->a->truth[block]);
    for (int k = 0; !status && k < KINDS; k++) {
        const candidate *c = &s->c[k];
        if (c->ready && kinds[k].form == DIAGONAL) top_of_diagonal(s, c, block, result_of(s->a, k, block));
        else if (c->ready) status = measure_top(s, &c->op, block, result_of(s->a, k, block));
    }
    return status ? status : measure_steps(s, block);
}

int32_t approximations_measure(approximations *a, pitot_net *net, const pitot_net_batch *batch, pitot_error *error) {
    study s = { 0 };
    if (!a->asked) return PITOT_OK;
    int32_t status = find_blocks(a, net, error);
    if (!status) status = open_study(&s, a, net, batch, error);
    if (!status) {
        announce(a);
        make_candidates(&s);
    }
    for (int64_t i = 0; !status && i < a->n_blocks; i++) {
        status = measure_block(&s, i);
        if (status)
            pitot_fail(error, status, "approximations: %s: %s; are weights and samples finite?", a->layer[i],
                       pitot_strerror(status));
    }
    close_study(&s);
    return status;
}

void approximations_free(approximations *a) {
    for (int64_t i = 0; a->layer && i < a->n_blocks; i++) free(a->layer[i]);
    free(a->layer);
    free(a->from);
    free(a->truth);
    free(a->result);
    free(a->why);
}

/* ---- options ---- */

static int number(const char *text, double lo, double hi, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && *out >= lo && *out <= hi;
}

static int read_option(approximations *a, const char *item) {
    const char *equals = strchr(item, '='), *value = equals ? equals + 1 : "";
    size_t n = equals ? (size_t)(equals - item) : 0;
    double v = 0;
#define IS(key) (n == strlen(key) && strncmp(item, key, n) == 0)
    if (IS("truth") && (strcmp(value, "ggn") == 0 || strcmp(value, "hessian") == 0)) a->hessian = *value == 'h';
    else if (IS("damping") && number(value, 1e-30, 1e30, &v)) a->damping = v;
    else if (IS("draws") && number(value, 1, 1e6, &v)) a->draws = (int64_t)v;
    else if (IS("dense") && number(value, 0, 1e6, &v)) a->dense = (int64_t)v;
    else if (IS("vectors") && number(value, 2, 1e6, &v)) a->vectors = (int64_t)v;
    else if (IS("iterations") && number(value, 1, 1e6, &v)) a->iterations = (int64_t)v;
    else if (IS("seed") && number(value, 0, 1e15, &v)) a->seed = (uint64_t)v;
    else return 0;
#undef IS
    return 1;
}

int approximations_read(approximations *a, const args *from) {
    *a = (approximations){ .asked = 1, .damping = 1e-2, .draws = 1, .dense = 2000, .vectors = 20, .iterations = 500 };
    for (int k = 0; args_at(from, "--set", k); k++) {
        const char *item = args_at(from, "--set", k);
        if (strncmp(item, "approximations.", 15) == 0 && !read_option(a, item + 15))
            return fail_usage("inspect",
                              "inspect: --set %s: approximations has truth=ggn|hessian, damping > 0, draws, dense, vectors >= 2, "
                              "iterations, seed",
                              item);
    }
    return EXIT_DONE;
}

/* ---- the answer ---- */

static void write_field(writer *w, const char *path, const char *name, double v) {
    char place[160];
    snprintf(place, sizeof place, "%s/%s", path, name);
    fprintf(w->out, "\"%s\": ", name);
    write_value(w, place, -1, v);
}

static void write_number(writer *w, const char *path, const char *name, double v) {
    fputs(", ", w->out);
    write_field(w, path, name, v);
}

static void write_comparison(writer *w, const approximations *a, const char *path, int64_t block, const comparison *c) {
    const comparison *truth = &a->truth[block];
    int itself = c == truth;
    fputs("{", w->out);
    write_field(w, path, itself ? "frobenius" : "relative_frobenius_error", itself ? c->norm : c->error);
    write_number(w, path, "standard_error", itself ? c->norm_spread : c->error_spread);
    write_number(w, path, "vectors", (double)(truth->exact ? truth->parameters : a->vectors));
    write_number(w, path, "top_eigenvalue", c->top);
    if (!itself) write_number(w, path, "top_eigenvalue_ratio", c->top / truth->top);
    fprintf(w->out, ", \"top_converged\": %s", c->top_converged ? "true" : "false");
    if (!itself) write_number(w, path, "newton_cosine", c->cosine);
    write_number(w, path, "solver_residual", c->residual);
    if (itself) write_number(w, path, "parameters", (double)c->parameters);
    fputs("}", w->out);
}

/* list: (n_blocks) */
static void write_blocks(writer *w, const approximations *a, const char *name, const comparison *list) {
    char path[100];
    for (int64_t i = 0; i < a->n_blocks; i++) {
        snprintf(path, sizeof path, "%s/%s", name, a->layer[i]);
        if (i == 0) fputs("\"overall\": ", w->out);
        else {
            fputs(i == 1 ? ", \"per_layer\": {" : ", ", w->out);
            write_string(w->out, a->layer[i]);
            fputs(": ", w->out);
        }
        write_comparison(w, a, path, i, list + i);
    }
    fputs("}", w->out);
}

void approximations_write(writer *w, const approximations *a) {
    w->odd_used = 0;
    fprintf(w->out, "\"approximations\": {\"status\": \"ok\", \"truth\": \"%s\", ", a->hessian ? "hessian" : "ggn");
    write_field(w, "", "damping", a->damping);
    write_number(w, "", "draws", (double)a->draws);
    write_number(w, "", "seed", (double)a->seed);
    write_number(w, "", "products", (double)a->products);
    fputs(", \"exact\": {", w->out);
    write_blocks(w, a, "exact", a->truth);
    fputs("}", w->out);
    for (int64_t k = 0; k < a->n_kinds; k++) {
        fprintf(w->out, ", \"%s\": {\"status\": ", kinds[k].name);
        if (a->why[k][0]) {
            fputs("\"unavailable\", \"reason\": ", w->out);
            write_string(w->out, a->why[k]);
        } else {
            fputs("\"ok\", ", w->out);
            write_blocks(w, a, kinds[k].name, a->result + k * a->n_blocks);
        }
        fputs("}", w->out);
    }
    if (w->odd_used) fprintf(w->out, ", \"nonfinite\": [%s]", w->odd);
    fputc('}', w->out);
}
