/* weight_spectrum.c: eigenvalues lambda of W'W, of each parameter with two axes or more as a matrix W, first axis by the rest; M and N its
   smaller and its larger side. Two readings of them, from the weights alone, without data:

   Heavy tail (Martin, Mahoney 2021). A density lambda^-alpha from lambda_min on, with Clauset, Shalizi, Newman 2009, eq. 3.1: of the n
   eigenvalues from lambda_min on

       alpha = 1 + n / sum ln(lambda_i / lambda_min),   standard error (alpha - 1) / sqrt(n)

   and lambda_min that of the eigenvalues for which the Kolmogorov-Smirnov distance between tail and fit is smallest. Well trained layers
   are found at 2 to 4, hardly trained ones above 6. alpha log10 lambda_max weighs that with the layer's scale. The wholes are means over
   matrices, as WeightWatcher has them. No exponent has a matrix without `tail` eigenvalues that differ.

   Noise and what stands out of it. Independent entries of variance s^2 have their eigenvalues between the edges of Marchenko, Pastur 1967

       s^2 (sqrt N -+ sqrt M)^2

   s^2 is taken from the bulk: from the median of the eigenvalues, which is s^2 N times the law's median (Gavish, Donoho 2014, sec. III.E);
   the entries' own variance would count the outliers as noise. An outlier lies above the upper edge by more than the largest eigenvalue
   of noise does, three standard deviations above its mean (Johnstone 2001; Tracy, Widom 1996):

       s^2 ( (sqrt N + sqrt M)^2 + (-1.2065 + 3 * 1.2680) (sqrt N + sqrt M) (1 / sqrt N + 1 / sqrt M)^(1/3) )

   Where more than half of the eigenvalues are 0, so is s^2, and all others are outliers.

   Cost: min^2 max + 4/3 min^3 flops a matrix, which is why large ones are left out. */

#include "pitot/probe.h"

#include <math.h>
#include <stdio.h>

static const double least_spread = 1e-5; /* mean of ln(lambda_i / lambda_min): below, what differs is rounding */

typedef struct options {
    int64_t tail, largest, values;
} options;

static const pitot_option table[] = {
    { "tail", PITOT_INT, 1, offsetof(options, tail), "10", 2, 1048576, NULL, "", "fewest eigenvalues that make a tail" },
    { "largest", PITOT_INT, 1, offsetof(options, largest), "2048", 1, 1048576, NULL, "",
      "matrices whose smaller side exceeds this are left out" },
    { "values", PITOT_BOOL, 1, offsetof(options, values), "false", 0, 0, NULL, "", "the eigenvalues themselves, too" },
    { 0 },
};

static const pitot_band band = {
    .warn_below = 2,
    .warn_above = 4,
    .alarm_below = 2,
    .alarm_above = 6,
    .says = "above 6, a layer is hardly better than random: train longer or give it less room; below 2, a few directions hold "
            "nearly all "
            "of it, as in layers that have learned samples by heart: regularise it",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "eigenvalues that stand out of the noise", NULL },
    { "alpha", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "exponent of the eigenvalues' tail", &band },
    { "error", PITOT_PER_TENSOR, PITOT_NOT_DRAWN, "", "standard error of the exponent", NULL },
    { "ks", PITOT_PER_TENSOR, PITOT_NOT_DRAWN, "", "Kolmogorov-Smirnov distance of tail and fit", NULL },
    { "lambda_min", PITOT_PER_TENSOR, PITOT_NOT_DRAWN, "", "where the tail begins", NULL },
    { "tail", PITOT_PER_TENSOR, PITOT_NOT_DRAWN, "", "eigenvalues in the tail", NULL },
    { "weighted", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "exponent times log10 of the largest eigenvalue", NULL },
    { "lambda_max", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "", "largest eigenvalue of W'W", NULL },
    { "edges.lower", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "", "lower edge of the noise's eigenvalues", NULL },
    { "edges.upper", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "", "upper edge of the noise's eigenvalues", NULL },
    { "edges.variance", PITOT_PER_TENSOR, PITOT_NOT_DRAWN, "", "variance of the entries that are noise", NULL },
    { "eigenvalues", PITOT_TABLE, PITOT_NOT_DRAWN, "", "eigenvalues of W'W, descending", NULL },
    { 0 },
};

typedef struct totals {
    double alpha, weighted, outliers;
    int64_t fitted, matrices, left_out;
} totals;

/* ---- the tail ---- */

typedef struct fit {
    double alpha, distance;
    int64_t n; /* eigenvalues in the tail; 0: there is none */
} fit;

/* Distance of the n largest from a power law with exponent alpha from the smallest of them on. log_value: ln lambda, descending. What
   exceeds `bound` is of no use. */
static double distance_of(const double *log_value, int64_t n, double alpha, double bound) {
    double most = 0;
    for (int64_t i = 0; i < n && most <= bound; i++) {
        double below = 1 - exp((1 - alpha) * (log_value[i] - log_value[n - 1])); /* what the law has below the i-th */
        double high = (double)(n - i) / (double)n - below, low = below - (double)(n - i - 1) / (double)n;
        most = fmax(most, fmax(high, low));
    }
    return most;
}

static fit fit_tail(const double *log_value, int64_t count, int64_t tail) {
    fit best = { NAN, INFINITY, 0 };
    double sum = 0; /* of log_value[i] - log_value[0] */
    for (int64_t n = 1; n <= count; n++) {
        double smallest = log_value[n - 1] - log_value[0];
        sum += smallest;
        double spread = sum / (double)n - smallest;
        if (n < tail || spread < least_spread || (n < count && log_value[n] == log_value[n - 1])) continue;
        fit now = { .alpha = 1 + 1 / spread, .n = n };
        now.distance = distance_of(log_value, n, now.alpha, best.distance);
        if (now.distance <= best.distance) best = now;
    }
    return best;
}

static void say_tail(const pitot_frame *f, int64_t tensor, const fit *x, const double *log_value, totals *t) {
    double weighted = x->alpha * log_value[0] / log(10);
    pitot_emit_tensor(f, "alpha", tensor, x->alpha);
    pitot_emit_tensor(f, "error", tensor, (x->alpha - 1) / sqrt((double)x->n));
    pitot_emit_tensor(f, "ks", tensor, x->distance);
    pitot_emit_tensor(f, "lambda_min", tensor, exp(log_value[x->n - 1]));
    pitot_emit_tensor(f, "tail", tensor, (double)x->n);
    pitot_emit_tensor(f, "weighted", tensor, weighted);
    t->alpha += x->alpha;
    t->weighted += weighted;
    t->fitted++;
}

/* ---- the noise ---- */

/* Median of the law for s^2 N = 1, b = M / N. With x = 1 + b - 2 sqrt(b) cos(angle) its density is smooth in the angle, from 0 to pi:
   2 sin^2(angle) / (pi x). */
static double median_of_law(double b) {
    enum { PARTS = 2048 };
    const double part = 3.141592653589793 / PARTS;
    double passed = 0, angle = 0;
    for (int k = 0; k < PARTS; k++) {
        angle = ((double)k + 0.5) * part;
        double mass = 2 * sin(angle) * sin(angle) / (1 + b - 2 * sqrt(b) * cos(angle)) / PARTS;
        if (passed + mass >= 0.5) {
            angle += (0.5 - passed) / mass * part - 0.5 * part;
            break;
        }
        passed += mass;
    }
    return 1 + b - 2 * sqrt(b) * cos(angle);
}

/* value (m): eigenvalues, descending */
static void say_noise(const pitot_frame *f, int64_t tensor, const double *value, int64_t m, int64_t n, totals *t) {
    double low = sqrt((double)n) - sqrt((double)m), high = sqrt((double)n) + sqrt((double)m);
    double median = (value[m / 2] + value[(m - 1) / 2]) / 2;
    double variance = median / ((double)n * median_of_law((double)m / (double)n));
    double width = high * cbrt(1 / sqrt((double)n) + 1 / sqrt((double)m));
    double bound = variance * (high * high + (-1.2065335745820 + 3 * 1.2679803) * width);
    int64_t outliers = 0;
    while (outliers < m && value[outliers] > bound) outliers++;
    pitot_emit_tensor(f, "lambda_max", tensor, value[0]);
    pitot_emit_tensor(f, "", tensor, (double)outliers);
    pitot_emit_tensor(f, "edges.lower", tensor, variance * low * low);
    pitot_emit_tensor(f, "edges.upper", tensor, variance * high * high);
    pitot_emit_tensor(f, "edges.variance", tensor, variance);
    t->outliers += (double)outliers;
}

/* ---- matrices ---- */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* PITOT_EHOST: a value is not finite. */
static int32_t look(const pitot_frame *f, int64_t tensor, totals *t) {
    const pitot_tensor *w = &f->tensor[tensor];
    const options *o = f->options;
    int64_t rows = w->shape[0], cols = w->size / rows, m = least(rows, cols), work = pitot_singular_work(rows, cols), positive = 0;
    double *value = work < 0 ? NULL : pitot_scratch(f, 2 * m + work);
    if (!value) return PITOT_EBUDGET;
    double *log_value = value + m;
    int32_t status = pitot_singular_values(w->data, rows, cols, cols, 1, value, value + 2 * m);
    if (status) return status;
    double nothing = PITOT_RANK_NOTHING * value[0];
    for (int64_t i = 0; i < m; i++) {
        if (value[i] > nothing) log_value[positive++] = 2 * log(value[i]);
        value[i] = value[i] > nothing ? value[i] * value[i] : 0;
    }
    fit x = fit_tail(log_value, positive, o->tail);
    if (x.n) say_tail(f, tensor, &x, log_value, t);
    say_noise(f, tensor, value, m, rows < cols ? cols : rows, t);
    if (o->values) pitot_emit_table(f, "eigenvalues", tensor, value, 1, m);
    t->matrices++;
    return PITOT_OK;
}

static void say_whole(const pitot_frame *f, const totals *t) {
    const options *o = f->options;
    char text[120];
    snprintf(text, sizeof text, "matrices left out: %lld, with a smaller side above %lld (option largest)", (long long)t->left_out,
             (long long)o->largest);
    if (t->matrices == 0) {
        pitot_undefined(f, t->left_out ? text : "there is no matrix: parameters have one axis");
        return;
    }
    if (t->left_out) pitot_remark(f, text);
    else if (t->fitted == 0) pitot_remark(f, "no exponent: no matrix has enough eigenvalues that differ (option tail)");
    if (t->fitted) pitot_emit(f, "alpha", t->alpha / (double)t->fitted);
    if (t->fitted) pitot_emit(f, "weighted", t->weighted / (double)t->fitted);
    pitot_emit(f, "", t->outliers);
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    totals t = { 0 };
    char text[120];
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *w = &f->tensor[i];
        if (w->size == 0 || w->n_dim < 2) continue;
        if (least(w->shape[0], w->size / w->shape[0]) > o->largest) {
            t.left_out++;
            continue;
        }
        int32_t status = look(f, i, &t);
        if (status == PITOT_EHOST) {
            snprintf(text, sizeof text, "%.60s has a value that is not finite", w->name);
            return pitot_undefined(f, text), PITOT_OK;
        }
        if (status) return status;
    }
    say_whole(f, &t);
    return PITOT_OK;
}

const pitot_probe pitot_probe_weight_spectrum = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = 0,
    .spans = 1,
    .name = "weight_spectrum",
    .summary = "each weight's eigenvalues: how many stand out of the noise, its edges, and the exponent of their tail",
    .paper = "Martin, Mahoney 2021, arXiv 1810.01075; Clauset, Shalizi, Newman 2009, arXiv 0706.1062; Gavish, Donoho 2014, arXiv "
             "1305.5870",
    .formula = "alpha = 1 + n / sum ln(lambda_i / lambda_min); edges s^2 (sqrt N -+ sqrt M)^2",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
