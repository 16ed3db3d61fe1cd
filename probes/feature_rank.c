/* feature_rank.c: how many directions the features that a layer reads have. Its inputs A as a matrix, samples by units (channels of a
   convolution), not centred, with singular values sigma:

       effective rank   exp(-sum p log p), p = sigma / sum sigma                       (Roy, Vetterli 2007)
       stable rank      |A|_F^2 / |A|_2^2
       srank            min { k : sum_{i<=k} sigma_i >= (1 - delta) sum sigma }        (Kumar et al. 2021)

   Features that collapse onto few directions leave the layers behind them nothing to tell samples apart by. srank_share is the srank
   beside the largest that the run has seen in that layer, at steps with as many rows; more rows begin anew, fewer are not compared. Its
   whole is the lowest of all layers, that of the others the mean weighted by units; 0 throughout for features that are all 0.

   Rows: samples that count. Positions (pixels, tokens) are rows of their own, as are the uses of one weight; of P positions, so many are
   taken that there are about `rows` rows, at least one of each sample, spread evenly, the same at every step. Left out are inputs that
   are the samples themselves. Positions of weight 0 (padding) are not told apart from others.

   Cost: min^2 max + 4/3 min^3 flops a layer, min and max of rows and units. */

#include "pitot/probe.h"

#include <math.h>
#include <stdio.h>

enum { MOST_TENSORS = 2048 }; /* those beyond are not compared with their past */

typedef struct options {
    double delta;
    int64_t rows, largest;
} options;

static const pitot_option table[] = {
    { "delta", PITOT_REAL, 1, offsetof(options, delta), "0.01", 0, 1, NULL, "", "srank: what the directions left out may hold" },
    { "rows", PITOT_INT, 1, offsetof(options, rows), "4096", 1, 1073741824, NULL, "", "about so many rows are made of positions" },
    { "largest", PITOT_INT, 1, offsetof(options, largest), "2048", 1, 1048576, NULL, "",
      "layers whose rows and units both exceed this are left out" },
    { 0 },
};

typedef struct past { /* largest srank of each tensor's layer, and the rows of those steps */
    int64_t srank[MOST_TENSORS], rows[MOST_TENSORS];
} past;

static const pitot_band band = {
    .warn_below = 0.75,
    .warn_above = INFINITY,
    .alarm_below = 0.5,
    .alarm_above = INFINITY,
    .says =
        "a layer's features have lost half of their directions: lower the learning rate or the regularisation, or look for dormant "
        "units",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "effective rank of the features", NULL },
    { "stable", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "stable rank of the features", NULL },
    { "srank", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "directions that hold 1 - delta of the features", NULL },
    { "srank_share", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "srank beside its largest so far", &band },
    { 0 },
};

typedef struct features { /* one tensor's */
    const pitot_layer *layer;
    int64_t uses, counted, rows, units;
} features;

typedef struct totals {
    double effective, stable, srank, units, lowest;
    int64_t left_out;
} totals;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- rows ---- */

static int is_read(const features *x, const pitot_layer *l) {
    return l->a && !l->data && l->units == x->units;
}

/* How many of a use's positions become rows. */
static int64_t taken(const features *x, const pitot_layer *l, int64_t rows) {
    int64_t share = rows / (x->counted * x->uses);
    return least(l->positions, share > 1 ? share : 1);
}

/* From one position to the next, modulo `positions`: about the golden section of them and without a common factor, so that all are hit
   before one comes again and neither rows nor columns of an image are favoured. */
static int64_t stride_of(int64_t positions) {
    for (int64_t s = (int64_t)(0.6180339887498949 * (double)positions);; s++) {
        int64_t a = positions, b = s;
        while (b) {
            int64_t r = a % b;
            a = b;
            b = r;
        }
        if (a == 1) return s % positions;
    }
}

/* One use's rows (n counted * taken, units) from `out` on; returns where the next begin. */
static pitot_real *gather(const pitot_frame *f, const pitot_layer *l, int64_t positions, pitot_real *out) {
    int64_t stride = positions < l->positions ? stride_of(l->positions) : 1, first = stride % l->positions;
    for (int64_t n = 0; n < l->n; n++) {
        if (!f->samples->counts[n]) continue;
        for (int64_t k = 0, p = first; k < positions; k++, p = (p + stride) % l->positions, out += l->units) {
            const pitot_real *a = l->a + n * l->a_sample + p * l->a_position;
            for (int64_t u = 0; u < l->units; u++) out[u] = a[u * l->a_unit];
        }
    }
    return out;
}

/* ---- what is said ---- */

static int64_t srank_of(const double *sigma, int64_t n, double delta) {
    double all = 0, part = 0;
    int64_t k = 0;
    for (int64_t i = 0; i < n && sigma[i] > PITOT_RANK_NOTHING * sigma[0]; i++) all += sigma[i];
    while (k < n && part < (1 - delta) * all) part += sigma[k++];
    return k;
}

static void compare(const pitot_frame *f, const features *x, int64_t srank, totals *t) {
    past *p = f->state;
    int64_t tensor = x->layer->tensor;
    if (tensor >= MOST_TENSORS || x->rows < p->rows[tensor]) return;
    if (x->rows > p->rows[tensor] || srank > p->srank[tensor]) p->srank[tensor] = srank;
    p->rows[tensor] = x->rows;
    if (p->srank[tensor] == 0) return;
    double share = (double)srank / (double)p->srank[tensor];
    pitot_emit_tensor(f, "srank_share", tensor, share);
    t->lowest = fmin(t->lowest, share);
}

static void say(const pitot_frame *f, const features *x, const double *sigma, totals *t) {
    int64_t n = least(x->rows, x->units), tensor = x->layer->tensor;
    int64_t srank = srank_of(sigma, n, ((const options *)f->options)->delta);
    pitot_rank r = pitot_rank_of(sigma, n);
    double units = (double)x->units;
    pitot_emit_tensor(f, "", tensor, r.effective);
    pitot_emit_tensor(f, "stable", tensor, r.stable);
    pitot_emit_tensor(f, "srank", tensor, (double)srank);
    compare(f, x, srank, t);
    t->effective += units * r.effective;
    t->stable += units * r.stable;
    t->srank += units * (double)srank;
    t->units += units;
}

/* All uses of one weight, layer[0] to layer[count-1]. PITOT_EHOST: a value is not finite. */
static int32_t look(const pitot_frame *f, const pitot_layer *layer, int64_t count, totals *t) {
    const options *o = f->options;
    features x = { .layer = layer, .counted = f->samples->n, .units = layer->units };
    for (int64_t i = 0; i < count; i++) x.uses += is_read(&x, &layer[i]);
    for (int64_t i = 0; i < count; i++) x.rows += is_read(&x, &layer[i]) ? x.counted * taken(&x, &layer[i], o->rows) : 0;
    if (x.rows == 0) return PITOT_OK;
    int64_t n = least(x.rows, x.units), work = pitot_singular_work(x.rows, x.units), values;
    if (n > o->largest) return t->left_out++, PITOT_OK;
    if (work < 0 || __builtin_mul_overflow(x.rows, x.units, &values)) return PITOT_EBUDGET;
    double *sigma = pitot_scratch(f, n + work + values);
    if (!sigma) return PITOT_EBUDGET;
    pitot_real *rows = (pitot_real *)(sigma + n + work), *out = rows;
    for (int64_t i = 0; i < count; i++)
        if (is_read(&x, &layer[i])) out = gather(f, &layer[i], taken(&x, &layer[i], o->rows), out);
    int32_t status = pitot_singular_values(rows, x.rows, x.units, x.units, 1, sigma, sigma + n);
    if (!status) say(f, &x, sigma, t);
    return status;
}

static int32_t backward(const pitot_frame *f) {
    totals t = { .lowest = INFINITY };
    char text[120];
    for (int64_t i = 0, end; i < f->n_layers; i = end) {
        for (end = i; end < f->n_layers && f->layer[end].tensor == f->layer[i].tensor;) end++;
        int32_t status = look(f, &f->layer[i], end - i, &t);
        if (status == PITOT_EHOST) return pitot_undefined(f, "a layer's input has a value that is not finite"), PITOT_OK;
        if (status) return status;
    }
    snprintf(text, sizeof text, "layers left out: %lld, of more than %lld rows and units (option largest)", (long long)t.left_out,
             (long long)((const options *)f->options)->largest);
    if (t.units == 0) return pitot_undefined(f, t.left_out ? text : "no layer reads what another has made"), PITOT_OK;
    if (t.left_out) pitot_remark(f, text);
    pitot_emit(f, "", t.effective / t.units);
    pitot_emit(f, "stable", t.stable / t.units);
    pitot_emit(f, "srank", t.srank / t.units);
    if (isfinite(t.lowest)) pitot_emit(f, "srank_share", t.lowest);
    return PITOT_OK;
}

const pitot_probe pitot_probe_feature_rank = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LAYERS,
    .presets = 0,
    .spans = 1,
    .name = "feature_rank",
    .summary = "effective rank, stable rank and srank of the features that each layer reads, against the run's largest",
    .paper = "Kumar, Agarwal, Ghosh, Levine 2021, arXiv 2010.14498 (srank); Roy, Vetterli 2007 (effective rank)",
    .formula = "exp(-sum p log p); |A|_F^2 / |A|_2^2; min { k : sum_{i<=k} sigma_i >= (1 - delta) sum sigma }",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(past),
    .outputs = outputs,
    .backward = backward,
};
