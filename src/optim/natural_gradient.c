/* natural_gradient.c: Amari 1998; Martens 2014 (arXiv 1412.1193): x -= lr (F + damping I)^-1 g with the whole of F, for small nets and as what
   approximations are to be compared with.

       F = 1/N sum_n sum_k j_nk j_nk',   j_nk sample n's gradient of column k of the root of its loss's Hessian in the outputs (exact: the Fisher
       matrix of what the model predicts, and the Gauss-Newton matrix); of a drawn label (drawn); of the label given (empirical)

   Products and Cholesky's factors in double, on one thread. A matrix that is not positive definite to rounding gets 1e-12 of its mean diagonal
   more, then ten times that, until it is. Parameters that no layer has are stepped along g / damping. */

#include "base/blas.h"
#include "base/random.h"
#include "optim/core/flat.h"
#include "optim/core/optimizer.h"
#include "optim/core/sample_rows.h"

#include <math.h>
#include <string.h>

typedef struct natural_options {
    double lr, damping;
    int64_t fisher, most;
} natural_options;

enum { EXACT, DRAWN, EMPIRICAL };
enum { PANEL = 32 /* samples whose rows are there at a time */, TRIES = 12, LARGEST = 20000 };

static const double JITTER = 1e-12;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(natural_options, lr), "0.1", 0, 1e6, NULL, "", "learning rate" },
    { "damping", PITOT_REAL, 1, offsetof(natural_options, damping), "0.01", 0, 1e12, NULL, "", "added to the matrix's diagonal" },
    { "fisher", PITOT_CHOICE, 1, offsetof(natural_options, fisher), "exact", 0, 0, "exact|drawn|empirical", "",
      "labels: all that the model predicts, one drawn from them, the one given" },
    { "most", PITOT_INT, 1, offsetof(natural_options, most), "3000", 1, LARGEST, NULL, "", "parameters, at most" },
    { 0 },
};

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const natural_options *o = l->options;
    int64_t n = l->parameters;
    if (n > o->most)
        return pitot_fail(
            error, PITOT_ENOTSUP,
            "optimizer natural_gradient: %lld parameters, more than most=%lld; take kfac, or set most (up to %d: a matrix of "
            "its square)",
            (long long)n, (long long)o->most, LARGEST);
    if (l->i < 0) l->scratch = (n * n + (PANEL + 2) * n) * (int64_t)sizeof(double) + 2 * n * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

typedef struct room {                /* scratch */
    double *f, *rows, *diagonal, *x; /* (D,D), (PANEL,D), (D), (D) */
    pitot_real *g, *step;            /* (D) each */
} room;

static room room_of(const pitot_stepping *s) {
    int64_t n = s->parameters;
    room r = { .f = s->scratch };
    r.rows = r.f + n * n;
    r.diagonal = r.rows + PANEL * n;
    r.x = r.diagonal + n;
    r.g = (pitot_real *)(r.x + n);
    r.step = r.g + n;
    return r;
}

/* ---- the matrix ---- */

/* The upper triangle of f gets the rows' products of the latest `send`. */
static int32_t add_products(const pitot_stepping *s, int64_t samples, int *begun, const room *r) {
    for (int64_t first = 0; first < samples; first += PANEL) {
        int64_t count = samples - first < PANEL ? samples - first : PANEL;
        int32_t status = sample_rows(s, samples, first, count, r->rows);
        if (status) return status;
        blas_gram_alone(s->parameters, count, r->rows, *begun, r->f);
        *begun = 1;
    }
    return PITOT_OK;
}

static int32_t make_matrix(const pitot_stepping *s, const room *r, int64_t *samples) {
    const natural_options *o = s->options;
    const pitot_optim_source *from = s->source;
    int64_t columns;
    double loss;
    int begun = 0;
    int32_t root = o->fisher == EXACT ? PITOT_ROOT_COLUMN : o->fisher == DRAWN ? PITOT_ROOT_DRAWN : PITOT_ROOT_GIVEN;
    uint64_t seed = random_bits(s->seed, random_purpose("natural_gradient"), (uint64_t)s->t, 0);
    int32_t status = from->batch(from->user, samples, &columns, &loss);
    if (!status && *samples < 1) status = PITOT_EORDER;
    if (root != PITOT_ROOT_COLUMN) columns = 1;
    for (int64_t k = 0; k < columns && !status; k++) {
        status = from->send(from->user, root, seed, root == PITOT_ROOT_COLUMN ? k : 0);
        if (!status) status = add_products(s, *samples, &begun, r);
    }
    return status;
}

/* Over the samples; tensors without a gradient in this step as if they were not there. The lower triangle is the upper's copy, the diagonal apart:
   what is factored in place can be made again. PITOT_EHOST: not finite. */
static int32_t finish_matrix(const pitot_stepping *s, const room *r, int64_t samples) {
    int64_t n = s->parameters;
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        for (int64_t a = 0; !t->g && a < n; a++)
            for (int64_t b = 0; b < t->size; b++) r->f[(a < t->at + b ? a * n + t->at + b : (t->at + b) * n + a)] = 0;
    }
    double sum = 0;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = a; b < n; b++) {
            r->f[a * n + b] /= (double)samples;
            r->f[b * n + a] = r->f[a * n + b];
            sum += fabs(r->f[a * n + b]);
        }
        r->diagonal[a] = r->f[a * n + a];
    }
    return isfinite(sum) ? PITOT_OK : PITOT_EHOST;
}

/* ---- the step ---- */

static void put_diagonal(const pitot_stepping *s, const room *r, double add) {
    int64_t n = s->parameters;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = a + 1; b < n; b++) r->f[a * n + b] = r->f[b * n + a];
        r->f[a * n + a] = r->diagonal[a] + add;
    }
}

/* x = (F + damping I)^-1 g */
static int32_t solve(const pitot_stepping *s, const room *r) {
    const natural_options *o = s->options;
    double mean = 0, jitter = 0;
    for (int64_t i = 0; i < s->parameters; i++) mean += r->diagonal[i] / (double)s->parameters;
    for (int k = 0; k < TRIES; k++) {
        put_diagonal(s, r, o->damping + jitter);
        for (int64_t i = 0; i < s->parameters; i++) r->x[i] = (double)r->g[i];
        if (blas_solve_positive(s->parameters, r->f, r->x) == 0) return PITOT_OK;
        jitter = jitter > 0 ? 10 * jitter : JITTER * (mean > 0 ? mean : 1);
    }
    return PITOT_EHOST;
}

static int32_t step(pitot_stepping *s) {
    const natural_options *o = s->options;
    room r = room_of(s);
    int64_t samples = 0;
    int32_t status = make_matrix(s, &r, &samples);
    if (!status) status = finish_matrix(s, &r, samples);
    flat_gradient(s, r.g);
    if (!status) status = solve(s, &r);
    for (int64_t i = 0; i < s->parameters && !status; i++) r.step[i] = (pitot_real)(-o->lr * r.x[i]);
    if (!status && !finite_values(r.step, s->parameters)) status = PITOT_EHOST;
    for (int64_t i = 0; i < s->n && !status; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (t->g) flat_add(t->x, 1, r.step + t->at, t->size);
    }
    return status;
}

const pitot_optimizer pitot_optimizer_natural_gradient = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_ROOT,
    .name = "natural_gradient",
    .summary = "the gradient through the inverse of the whole Fisher matrix, for small nets",
    .paper = "Amari 1998, Natural gradient works efficiently in learning; Martens 2014, arXiv 1412.1193",
    .formula = "x -= lr (F + damping I)^-1 g, F = mean_n sum_k j_nk j_nk'",
    .memory = "none; D^2 of work space in double",
    .tensors = "those of linear layers, convolutions and normalisations; all else: the gradient over damping",
    .cost = "N C D^2 + D^3/3, C columns of the root, 1 for drawn and empirical; C backward passes",
    .options_size = sizeof(natural_options),
    .options = table,
    .layout = layout,
    .step = step,
};
