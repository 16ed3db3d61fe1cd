/* cheap_diagonals.c: how good the cheap diagonals of curvature are, and what they cost: HesScale, HesScaleGN, BL89, one draw of the GGN, and
   the exact GGN's beside the exact Hessian's, on small nets of smooth and of piecewise linear ops, as they are initialised and trained on
   generated digits:

       cheap_diagonals STEPS SECONDS     of each: relative L1 error, cosine and Spearman's rank correlation to the Hessian's diagonal, relative
                                         L1 error to the GGN's, and the time over a gradient's (medians of ratios, in turn), measured and said

   Public API only. */

#include "bench.h"

#include <math.h>
#include <string.h>

enum { BATCH = 128, MOST = 2000, KINDS = 5 };

static const struct {
    const char *name;
    int32_t kind;
} kinds[KINDS] = { { "hesscale", PITOT_DIAGONAL_HESSCALE },
                   { "hesscale_gn", PITOT_DIAGONAL_HESSCALE_GN },
                   { "bl89", PITOT_DIAGONAL_BL89 },
                   { "ggn, one draw", PITOT_DIAGONAL_GGN_MC },
                   { "ggn, exact", PITOT_DIAGONAL_GGN } };

typedef struct layer {
    const char *op, *attributes;
} layer;

static const struct {
    const char *name;
    layer layer[12];
} nets[] = {
    { "mlp, tanh",
      { { "avg_pool2d", "kernel=4" },
        { "flatten", NULL },
        { "linear", "out_features=24" },
        { "tanh", NULL },
        { "linear", "out_features=24" },
        { "tanh", NULL },
        { "linear", "out_features=10" } } },
    { "mlp, relu",
      { { "avg_pool2d", "kernel=4" },
        { "flatten", NULL },
        { "linear", "out_features=24" },
        { "relu", NULL },
        { "linear", "out_features=24" },
        { "relu", NULL },
        { "linear", "out_features=10" } } },
    { "cnn, tanh",
      { { "avg_pool2d", "kernel=2" },
        { "conv2d", "out_channels=8, kernel=3, padding=1" },
        { "tanh", NULL },
        { "max_pool2d", "kernel=2" },
        { "conv2d", "out_channels=8, kernel=3, padding=1" },
        { "tanh", NULL },
        { "max_pool2d", "kernel=2" },
        { "flatten", NULL },
        { "linear", "out_features=10" } } },
};

/* ---- how alike two vectors are ---- */

static double relative_l1(const pitot_real *want, const pitot_real *got, int64_t n) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        off += fabs((double)got[i] - (double)want[i]);
        all += fabs((double)want[i]);
    }
    return off / all;
}

static double cosine(const double *a, const double *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

static const pitot_real *sorted; /* what by_value compares */

static int by_value(const void *a, const void *b) {
    pitot_real x = sorted[*(const int64_t *)a], y = sorted[*(const int64_t *)b];
    return (x > y) - (x < y);
}

/* Ranks less their mean; equal values share theirs. */
static double *ranks(const pitot_real *v, int64_t n) {
    int64_t *order = calloc((size_t)n, sizeof *order), end;
    double *rank = calloc((size_t)n, sizeof *rank);
    if (!order || !rank) exit(1);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    sorted = v;
    qsort(order, (size_t)n, sizeof *order, by_value);
    for (int64_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && v[order[end]] == v[order[i]];) end++;
        for (int64_t j = i; j < end; j++) rank[order[j]] = (double)(i + end - 1) / 2 - (double)(n - 1) / 2;
    }
    free(order);
    return rank;
}

static double spearman(const pitot_real *a, const pitot_real *b, int64_t n) {
    double *x = ranks(a, n), *y = ranks(b, n), c = cosine(x, y, n);
    free(x);
    free(y);
    return c;
}

static double cosine_of(const pitot_real *a, const pitot_real *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* ---- a net ---- */

typedef struct subject {
    pitot_net *net;
    pitot_net_batch batch;
    int64_t d;
    pitot_real *hessian, *ggn, *got; /* (D) */
} subject;

static void make_diagonal(const subject *s, int32_t kind, pitot_real *out) {
    pitot_error error = { 0 };
    or_end(&error, pitot_net_diagonal(s->net, kind, 1, 0, 0, out, &error) == PITOT_OK);
}

static double time_over_gradient(const subject *s, int32_t kind, double seconds) {
    static double ratio[MOST];
    int n = 0;
    for (double end = now() + seconds; n < 3 || (now() < end && n < MOST); n++) {
        double gradient = both_passes(s->net, &s->batch), t = now();
        make_diagonal(s, kind, s->got);
        ratio[n] = (now() - t) / gradient;
    }
    return median(ratio, n);
}

static void compare(const subject *s, const char *name, const char *state, double seconds) {
    both_passes(s->net, &s->batch);
    make_diagonal(s, PITOT_DIAGONAL_HESSIAN, s->hessian);
    make_diagonal(s, PITOT_DIAGONAL_GGN, s->ggn);
    for (int k = 0; k < KINDS; k++) {
        double ratio = time_over_gradient(s, kinds[k].kind, seconds);
        printf("%-10s %-8s %-14s %10.3f %8.3f %9.3f %10.3f %9.2f (%5.2f)\n", name, state, kinds[k].name,
               relative_l1(s->hessian, s->got, s->d), cosine_of(s->hessian, s->got, s->d), spearman(s->hessian, s->got, s->d),
               relative_l1(s->ggn, s->got, s->d), ratio, pitot_net_diagonal_cost(s->net, kinds[k].kind, 1));
    }
}

static void train(const subject *s, const pitot_data *data, int64_t steps) {
    pitot_optim *o = make_optim("adam", s->net, 1);
    int64_t ids[BATCH];
    for (int64_t step = 1; step <= steps; step++) {
        for (int64_t i = 0; i < BATCH; i++) ids[i] = (step * BATCH + i) % data->n;
        pitot_data_batch(data, ids, BATCH, (pitot_real *)s->batch.x, (int32_t *)s->batch.classes, NULL);
        one_step(s->net, &s->batch, o);
    }
    pitot_optim_free(o);
}

static void study(int i, const pitot_data *data, int64_t steps, double seconds) {
    pitot_error error = { 0 };
    const int64_t shape[] = { 1, 16, 16, 0 };
    subject s = { .net = pitot_net_new(nets[i].name, shape, "cross_entropy", &error) };
    for (const layer *l = nets[i].layer; s.net && l->op; l++)
        or_end(&error, pitot_net_add(s.net, l->op, NULL, NULL, l->attributes, &error) == PITOT_OK);
    or_end(&error, s.net && pitot_net_prepare(s.net, BATCH, 1, &error) == PITOT_OK);
    pitot_net_init(s.net, 1);
    pitot_net_facts f;
    pitot_net_get_facts(s.net, &f);
    s.d = f.parameters;
    pitot_real *x = calloc((size_t)(BATCH * f.input), sizeof *x), *room = calloc((size_t)s.d, 3 * sizeof *room);
    int32_t *classes = calloc(BATCH, sizeof *classes);
    or_end(&error, x && room && classes);
    s.hessian = room, s.ggn = room + s.d, s.got = room + 2 * s.d;
    s.batch = (pitot_net_batch){ .struct_size = sizeof s.batch, .n = BATCH, .x = x, .classes = classes };
    pitot_data_batch(data, NULL, BATCH, x, classes, NULL);
    compare(&s, nets[i].name, "init", seconds);
    train(&s, data, steps);
    compare(&s, nets[i].name, "trained", seconds);
    pitot_net_free(s.net);
    free(x);
    free(room);
    free(classes);
}

int main(int argc, char **argv) {
    pitot_error error = { 0 };
    if (argc != 3) return fputs("usage: cheap_diagonals STEPS SECONDS\n", stderr), 2;
    pitot_data *data = pitot_data_open("glyphs:2000", &error);
    or_end(&error, data != NULL);
    printf("%-10s %-8s %-14s %10s %8s %9s %10s %17s\n", "net", "", "diagonal", "L1 to H", "cosine", "Spearman", "L1 to G",
           "gradients (said)");
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) study((int)i, data, strtoll(argv[1], NULL, 10), strtod(argv[2], NULL));
    pitot_data_free(data);
    return 0;
}
