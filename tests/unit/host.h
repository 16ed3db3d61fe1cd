/* host.h: a perceptron with its loop as a host would write them, in plain sums of doubles: losses, what every layer saw and what came
   back, each sample's gradient, and all of it in the memory layouts that hosts have. And what the probes on per-sample gradients must say,
   computed from those gradients one by one. */

#ifndef PITOT_TESTS_HOST_H
#define PITOT_TESTS_HOST_H

#include "toy.h"

enum { MOST_LAYERS = 3, MOST_TENSORS = 2 * MOST_LAYERS, MOST_CUTS = 8, MOST_SAMPLES = 64 };

/* Sixteen roundings of pitot_real: the captures are exact, the gradient buffers rounded once, the library's sums run in double or over
   few terms. */
static const double close_by = sizeof(pitot_real) == 8 ? 0x1p-48 : 0x1p-19;

/* ---- numbers ---- */

static inline double draw_uniform(uint64_t *state) { /* in (-1,1) */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ z >> 31) >> 11) + 0.5) * 0x1p-52 - 1;
}

static inline double draw_normal(uint64_t *state) {
    double u = 0.5 + 0.5 * draw_uniform(state), v = draw_uniform(state);
    return sqrt(-2 * log(u)) * cos(3.14159265358979323846 * v);
}

static inline double *new_doubles(int64_t n) {
    double *x = calloc((size_t)(n ? n : 1), sizeof *x);
    assert_non_null(x);
    return x;
}

static inline double in_real(double x) {
    return (double)(pitot_real)x;
}

static inline size_t width_of(int32_t dtype) {
    return dtype == PITOT_F64 ? 8 : dtype == PITOT_F32 ? 4 : dtype ? 2 : sizeof(pitot_real);
}

/* x as the i-th value of that type; half types only take what they can hold exactly, normal numbers. */
static inline void store_value(int32_t dtype, void *to, int64_t i, double x) {
    float single = (float)x;
    pitot_real real = (pitot_real)x;
    uint32_t bits;
    memcpy(&bits, &single, 4);
    uint16_t half = (uint16_t)(bits >> 16);
    if (dtype == PITOT_F16) { /* sign, 5 bits of exponent, 10 of fraction */
        int exponent = (int)(bits >> 23 & 255) - 127 + 15;
        if (x != 0 && ((double)single != x || bits & 0x1fff || exponent < 1 || exponent > 30)) fail_msg("%g is no half", x);
        half = x == 0 ? 0 : (uint16_t)((bits >> 31) << 15 | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
    } else if (dtype == PITOT_BF16 && ((double)single != x || bits & 0xffff)) fail_msg("%g is no bfloat", x);
    if (dtype == PITOT_F64) memcpy((char *)to + 8 * i, &x, 8);
    else if (dtype == PITOT_F32) memcpy((char *)to + 4 * i, &single, 4);
    else if (dtype) memcpy((char *)to + 2 * i, &half, 2);
    else memcpy((char *)to + sizeof real * (size_t)i, &real, sizeof real);
}

/* |value - expected| <= tolerance * scale, and neither is a NaN */
static inline void assert_close(double value, double expected, double tolerance, double scale, const char *what) {
    if (!(fabs(value - expected) <= tolerance * scale))
        fail_msg("%s: %.17g, not %.17g: %.3g of %.3g away", what, value, expected, fabs(value - expected) / scale, scale);
}

/* ---- what the probes must say ---- */

typedef struct truth { /* per-sample gradients g_n of the tensors that have captures; all else is made from them by truth_settle */
    int64_t n;         /* samples, of which n_counted count */
    int32_t n_tensors;
    const char *name[MOST_TENSORS];
    int64_t size[MOST_TENSORS];
    double *g[MOST_TENSORS]; /* (n,size) */
    unsigned char counts[MOST_SAMPLES];
    double covered; /* share of D */
    double by;      /* relative error of the g_n beside what the library was given, and of what it makes of that */
    int in_parts;   /* the step comes in micro-batches */

    int64_t n_counted;
    double *mean[MOST_TENSORS], *variance[MOST_TENSORS]; /* (size) */
    double gsnr[MOST_TENSORS], gsnr_of_all;
    double square[MOST_SAMPLES], mean_square, scatter;
} truth;

static inline void truth_free(truth *t) {
    for (int32_t k = 0; k < t->n_tensors; k++) free(t->g[k]), free(t->mean[k]), free(t->variance[k]);
}

static inline truth new_truth(int64_t n) {
    truth t = { .n = n, .covered = 1, .by = close_by };
    memset(t.counts, 1, sizeof t.counts);
    return t;
}

/* Another tensor; its gradients (n,size), cleared. */
static inline double *truth_add(truth *t, const char *name, int64_t size) {
    int32_t k = t->n_tensors++;
    t->name[k] = name;
    t->size[k] = size;
    return t->g[k] = new_doubles(t->n * size);
}

static inline void truth_settle(truth *t) {
    const double epsilon = 1e-5; /* of mean_gsnr */
    double values = 0;
    long double square[MOST_SAMPLES] = { 0 }, scatter = 0, mean_square = 0, ratios = 0, of_tensor; /* many terms */
    t->n_counted = 0;
    for (int64_t i = 0; i < t->n; i++) t->n_counted += t->counts[i];
    double n = (double)t->n_counted;
    for (int32_t k = 0; k < t->n_tensors; k++) {
        of_tensor = 0;
        t->mean[k] = new_doubles(t->size[k]), t->variance[k] = new_doubles(t->size[k]);
        for (int64_t j = 0; j < t->size[k]; j++) {
            for (int64_t i = 0; i < t->n; i++) t->mean[k][j] += t->counts[i] ? t->g[k][i * t->size[k] + j] / n : 0;
            for (int64_t i = 0; i < t->n; i++) {
                double g = t->g[k][i * t->size[k] + j], d = g - t->mean[k][j];
                if (!t->counts[i]) continue;
                square[i] += (long double)(g * g);
                t->variance[k][j] += d * d / n;
                scatter += (long double)(d * d);
            }
            mean_square += (long double)(t->mean[k][j] * t->mean[k][j]);
            of_tensor += (long double)(t->mean[k][j] * t->mean[k][j] / (t->variance[k][j] + epsilon));
        }
        t->gsnr[k] = (double)of_tensor / (double)t->size[k];
        ratios += of_tensor;
        values += (double)t->size[k];
    }
    for (int64_t i = 0; i < t->n; i++) t->square[i] = (double)square[i];
    t->scatter = (double)scatter;
    t->mean_square = (double)mean_square;
    t->gsnr_of_all = (double)ratios / values;
}

/* S and G2 without sample i (-1: of all), summed up anew. */
static inline void spread_without(const truth *t, int64_t without, double *s, double *g2) {
    double n = (double)(t->n_counted - (without >= 0));
    long double length = 0, scatter = 0;
    for (int32_t k = 0; k < t->n_tensors; k++)
        for (int64_t j = 0; j < t->size[k]; j++) {
            double mean = 0;
            for (int64_t i = 0; i < t->n; i++) mean += i == without || !t->counts[i] ? 0 : t->g[k][i * t->size[k] + j] / n;
            for (int64_t i = 0; i < t->n; i++) {
                double d = t->g[k][i * t->size[k] + j] - mean;
                scatter += (long double)(i == without || !t->counts[i] ? 0 : d * d);
            }
            length += (long double)(mean * mean);
        }
    *s = (double)scatter / (n - 1);
    *g2 = (double)length - *s / n;
}

/* The ends of the interval solve (S - R G2)^2 = z^2 var(S - R G2), var the jackknife's; S / G2 lies between. */
static inline void check_interval(const truth *t, const double range[2]) {
    const double z2 = 3.841458820694124; /* the 95 % quantile of chi-squared with one degree */
    double n = (double)t->n_counted, s, g2, si[MOST_SAMPLES], gi[MOST_SAMPLES], ms = 0, mg = 0, ss = 0, gg = 0, sg = 0;
    spread_without(t, -1, &s, &g2);
    for (int64_t i = 0; i < t->n; i++) {
        if (!t->counts[i]) continue;
        spread_without(t, i, &si[i], &gi[i]);
        ms += si[i] / n, mg += gi[i] / n;
    }
    for (int64_t i = 0; i < t->n; i++) {
        if (!t->counts[i]) continue;
        ss += (n - 1) / n * (si[i] - ms) * (si[i] - ms);
        gg += (n - 1) / n * (gi[i] - mg) * (gi[i] - mg);
        sg += (n - 1) / n * (si[i] - ms) * (gi[i] - mg);
    }
    int bounded = g2 > 0 && g2 * g2 > z2 * gg;
    assert_true(range[0] >= 0 && range[1] > range[0]);
    assert_int_equal(isinf(range[1]) != 0, !bounded);
    if (g2 > 0) assert_true(range[0] <= s / g2 && s / g2 <= range[1]);
    if (s * s <= z2 * ss) assert_true(range[0] == 0); /* R = 0 belongs to it */
    for (int e = 0; e < 2; e++) {
        double r = range[e], left = (s - r * g2) * (s - r * g2), right = z2 * (ss - 2 * r * sg + r * r * gg);
        if (r > 0 && isfinite(r)) assert_close(left, right, 1e4 * t->by, s * s + r * r * g2 * g2, "end of the interval");
    }
}

typedef struct checked_readings {
    const truth *t;
    int lists, variances, sums, intervals;
} checked_readings;

static inline int32_t tensor_of_reading(const truth *t, const pitot_reading *r) {
    for (int32_t k = 0; k < t->n_tensors; k++)
        if (strcmp(t->name[k], r->tensor) == 0) return assert_int_equal(r->n, t->size[k]), k;
    fail_msg("%s of %s, which has no captures", r->probe, r->tensor);
    return 0;
}

/* What cancels may cost 2^-8 of its precision, and is made again if it would cost more. */
static inline double scale_of(const truth *t, double value, double magnitude) {
    return fmin(magnitude, 256 * value + t->by * magnitude);
}

static inline void check_one_reading(void *user, const pitot_reading *r) {
    checked_readings *c = user;
    const truth *t = c->t;
    if (!r->probe) return;
    if (strcmp(r->probe, "sample_grad_l2") == 0) {
        assert_int_equal(r->n, t->n);
        for (int64_t i = 0; i < t->n; i++) assert_close(r->numbers[i], t->square[i], t->by, t->square[i], "|g_n|^2");
        c->lists++;
    }
    if (strcmp(r->probe, "noise_scale") == 0 && strcmp(r->field, "interval") == 0) {
        assert_int_equal(r->n, 2);
        check_interval(t, r->numbers);
        c->intervals++;
    }
    int is_sum = strcmp(r->probe, "sum_grad_squared") == 0;
    if (!is_sum && strcmp(r->probe, "grad_variance")) return;
    int32_t k = tensor_of_reading(t, r);
    double n = (double)t->n_counted;
    for (int64_t j = 0; j < t->size[k]; j++) {
        double v = t->variance[k][j], second = v + t->mean[k][j] * t->mean[k][j];
        if (is_sum) assert_close((double)r->reals[j], n * second, t->by, n * second, "sum of squares");
        else
            assert_close((double)r->reals[j], v, t->by, t->in_parts || t->n != t->n_counted ? second : scale_of(t, v, second),
                         "variance");
        assert_true(r->reals[j] >= 0);
    }
    *(is_sum ? &c->sums : &c->variances) += 1;
}

static const char all_five[] = "sample_grad_l2, sum_grad_squared, grad_variance, mean_gsnr, noise_scale";

static inline void check_noise_scale(const pitot_run *run, const truth *t) {
    double n = (double)t->n_counted, s, g2, all = t->scatter + n * t->mean_square;
    double loose = t->by * (t->in_parts || t->n != t->n_counted ? all : scale_of(t, t->scatter, all)) / (n - 1);
    spread_without(t, -1, &s, &g2);
    assert_close(value_of(run, "noise_scale.unbiased.s"), s, 1, loose, "S");
    assert_close(value_of(run, "noise_scale.unbiased.g2"), g2, 1, t->by * t->mean_square + loose / n, "G2");
    double value = s / t->mean_square, off = loose / t->mean_square + t->by * value;
    assert_close(value_of(run, "noise_scale"), value, 1, off, "noise_scale");
    double simple = value_of(run, "noise_scale.unbiased.b_simple");
    if (g2 <= 0) assert_true(isinf(simple));
    else assert_close(simple, s / g2, 1, loose / g2 + s / g2 * (t->by * t->mean_square + loose / n) / g2, "b_simple");
}

static inline void check_gsnr(const pitot_run *run, const truth *t, int64_t step) {
    for (int32_t k = 0; k < t->n_tensors; k++) {
        char key[64];
        snprintf(key, sizeof key, "mean_gsnr/%s", t->name[k]);
        assert_int_equal(step_of(run, key), step);
        assert_close(value_of(run, key), t->gsnr[k], 256 * t->by, t->gsnr[k], key);
    }
    assert_close(value_of(run, "mean_gsnr"), t->gsnr_of_all, 256 * t->by, t->gsnr_of_all, "mean_gsnr");
}

static inline checked_readings check_readings(const pitot_run *run, const truth *t) {
    checked_readings c = { .t = t };
    pitot_readings(run, check_one_reading, &c);
    return c;
}

/* Everything that the five probes have said at this step. */
static inline void check_truth(const pitot_run *run, const truth *t, int64_t step) {
    static const char *const names[] = { "noise_scale", "mean_gsnr" };
    for (int i = 0; i < 2; i++)
        if (step_of(run, names[i]) != step)
            fail_msg("%s: no value at step %d: %s; %s", names[i], (int)step, why_of(run, names[i]), pitot_last_error(run));
    checked_readings c = check_readings(run, t);
    assert_int_equal(c.lists, 1);
    assert_int_equal(c.variances, t->n_tensors);
    assert_int_equal(c.sums, t->n_tensors);
    assert_int_equal(c.intervals, !t->in_parts && t->n_counted >= 3);
    check_noise_scale(run, t);
    check_gsnr(run, t, step);
    assert_close(health_of(run).covered, t->covered, 1e-15, 1, "covered");
}

/* ---- the perceptron ---- */

typedef struct host_tensor {
    char name[16];
    int64_t rows, columns, size;
    double *theta, *sum, *sample; /* (size); (size): gradient passed back so far; (n,size): each sample's part of the gradient */
    int32_t dtype, grad_dtype;    /* of what hooks see; 0: pitot_real */
    int across;                   /* 1: stored column by column */
    int frozen;                   /* 1: no gradient */
    void *data, *grad;
    int32_t id;
} host_tensor;

typedef struct host_layer {
    int64_t din, dout;
    int32_t weight, bias; /* indices of tensors */
    double *a, *g;        /* (n,t,din), (n,t,dout): exact in pitot_real */
    void *A, *G;          /* what hooks are given */
} host_layer;

typedef struct host {
    int32_t n_layers, n_tensors;
    int32_t reduction, squared; /* squared: mean squared error in place of softmax and cross-entropy */
    int transposed;             /* weights are (din,dout) */
    int64_t n, t;
    host_layer layer[MOST_LAYERS];
    host_tensor tensor[MOST_TENSORS];
    double *output;              /* (n,t,c) */
    pitot_real *losses, *weight; /* (n,t); weights: 1, or what the test makes of them */
    int32_t *label;              /* (n,t) */
    double loss;
    uint64_t seed;
} host;

static inline int32_t host_add_tensor(host *h, const char *name, int64_t rows, int64_t columns) {
    host_tensor *x = &h->tensor[h->n_tensors];
    x->rows = rows, x->columns = columns, x->size = rows * columns;
    snprintf(x->name, sizeof x->name, "%s", name);
    x->theta = new_doubles(x->size), x->sum = new_doubles(x->size);
    x->data = new_doubles(x->size), x->grad = new_doubles(x->size);
    for (int64_t j = 0; j < x->size; j++) x->theta[j] = in_real(draw_uniform(&h->seed));
    return h->n_tensors++;
}

/* width[0] inputs, width[1] ... : layers w0, b0, w1, ... The last `tied` of its hidden layers share weight and bias with the one before. */
static inline void host_start(host *h, const int64_t *width, int32_t n_layers, int tied) {
    char name[16];
    *h = (host){ .n_layers = n_layers, .seed = 7 };
    for (int32_t l = 0; l < n_layers; l++) {
        host_layer *x = &h->layer[l];
        x->din = width[l], x->dout = width[l + 1];
        if (tied && l == tied) {
            assert_true(x->din == x->dout && h->layer[l - 1].din == x->din && h->layer[l - 1].dout == x->dout);
            x->weight = h->layer[l - 1].weight, x->bias = h->layer[l - 1].bias;
            continue;
        }
        snprintf(name, sizeof name, "w%d", (int)l);
        x->weight = host_add_tensor(h, name, x->dout, x->din);
        snprintf(name, sizeof name, "b%d", (int)l);
        x->bias = host_add_tensor(h, name, 1, x->dout);
    }
}

static inline void host_drop_batch(host *h) {
    for (int32_t l = 0; l < h->n_layers; l++) free(h->layer[l].a), free(h->layer[l].g), free(h->layer[l].A), free(h->layer[l].G);
    for (int32_t k = 0; k < h->n_tensors; k++) free(h->tensor[k].sample);
    free(h->output), free(h->losses), free(h->weight), free(h->label);
}

static inline void host_free(host *h) {
    host_drop_batch(h);
    for (int32_t k = 0; k < h->n_tensors; k++) {
        host_tensor *x = &h->tensor[k];
        free(x->theta), free(x->sum), free(x->data), free(x->grad);
    }
}

/* A new batch of n samples of t positions. */
static inline void host_batch(host *h, int64_t n, int64_t t) {
    assert_true(n <= MOST_SAMPLES);
    host_drop_batch(h);
    h->n = n, h->t = t;
    for (int32_t l = 0; l < h->n_layers; l++) {
        host_layer *x = &h->layer[l];
        x->a = new_doubles(n * t * x->din), x->g = new_doubles(n * t * x->dout);
        x->A = new_doubles(n * t * x->din + 1), x->G = new_doubles(n * t * x->dout + 1);
    }
    for (int32_t k = 0; k < h->n_tensors; k++) h->tensor[k].sample = new_doubles(n * h->tensor[k].size);
    host_layer *last = &h->layer[h->n_layers - 1];
    h->output = new_doubles(n * t * last->dout);
    h->losses = (pitot_real *)new_doubles(n * t), h->weight = (pitot_real *)new_doubles(n * t);
    h->label = (int32_t *)new_doubles(n * t);
    for (int64_t i = 0; i < n * t * h->layer[0].din; i++) h->layer[0].a[i] = in_real(draw_uniform(&h->seed));
    for (int64_t i = 0; i < n * t; i++) {
        h->label[i] = (int32_t)((double)last->dout * (0.5 + 0.5 * draw_uniform(&h->seed)));
        h->weight[i] = 1;
    }
}

/* Place of a weight's value (output o, input i) in its tensor. */
static inline int64_t place_of(const host *h, const host_layer *x, int64_t o, int64_t i) {
    return h->transposed ? i * x->dout + o : o * x->din + i;
}

/* What each loss term's derivative is multiplied by. */
static inline double share_of(const host *h, int64_t term) {
    double all = 0;
    for (int64_t i = 0; i < h->n * h->t; i++) all += (double)h->weight[i];
    return h->reduction == PITOT_SUM ? (double)h->weight[term] : (double)h->weight[term] / all;
}

/* Losses, and the derivative of the reduced loss with respect to the outputs. */
static inline void host_loss(host *h) {
    host_layer *last = &h->layer[h->n_layers - 1];
    int64_t c = last->dout;
    h->loss = 0;
    for (int64_t r = 0; r < h->n * h->t; r++) {
        const double *f = h->output + r * c;
        double sum = 0, loss = 0, share = share_of(h, r);
        for (int64_t o = 0; o < c; o++) sum += exp(f[o]);
        for (int64_t o = 0; o < c; o++) {
            double y = o == h->label[r], d = h->squared ? 2 * (f[o] - y) / (double)c : exp(f[o]) / sum - y;
            loss += h->squared ? (f[o] - y) * (f[o] - y) / (double)c : y * (log(sum) - f[o]);
            last->g[r * c + o] = share * d;
        }
        h->losses[r] = (pitot_real)loss;
        h->loss += share * loss;
    }
}

static inline void host_forward(host *h) {
    for (int32_t l = 0; l < h->n_layers; l++) {
        host_layer *x = &h->layer[l];
        const double *w = h->tensor[x->weight].theta, *b = h->tensor[x->bias].theta;
        double *y = l + 1 < h->n_layers ? h->layer[l + 1].a : h->output;
        for (int64_t r = 0; r < h->n * h->t; r++)
            for (int64_t o = 0; o < x->dout; o++) {
                double z = b[o];
                for (int64_t i = 0; i < x->din; i++) z += w[place_of(h, x, o, i)] * x->a[r * x->din + i];
                y[r * x->dout + o] = l + 1 < h->n_layers ? in_real(tanh(z)) : z;
            }
    }
}

static inline void host_backward(host *h) {
    host_loss(h);
    for (int32_t l = h->n_layers - 1; l >= 0; l--) {
        host_layer *x = &h->layer[l];
        const double *w = h->tensor[x->weight].theta;
        for (int64_t i = 0; i < h->n * h->t * x->dout; i++) x->g[i] = in_real(x->g[i]);
        for (int64_t r = 0; l > 0 && r < h->n * h->t; r++)
            for (int64_t i = 0; i < x->din; i++) {
                double sum = 0, y = x->a[r * x->din + i];
                for (int64_t o = 0; o < x->dout; o++) sum += w[place_of(h, x, o, i)] * x->g[r * x->dout + o];
                h->layer[l - 1].g[r * x->din + i] = sum * (1 - y * y);
            }
    }
}

/* Each sample's part of the gradient, from what the layers saw and what came back. */
static inline void host_part(host *h) {
    for (int32_t k = 0; k < h->n_tensors; k++) memset(h->tensor[k].sample, 0, (size_t)(h->n * h->tensor[k].size) * sizeof(double));
    for (int32_t l = 0; l < h->n_layers; l++) {
        const host_layer *x = &h->layer[l];
        host_tensor *w = &h->tensor[x->weight], *b = &h->tensor[x->bias];
        for (int64_t r = 0; r < h->n * h->t; r++) {
            double *gw = w->sample + r / h->t * w->size, *gb = b->sample + r / h->t * b->size;
            for (int64_t o = 0; o < x->dout; o++) {
                double g = x->g[r * x->dout + o];
                gb[o] += g;
                for (int64_t i = 0; i < x->din; i++) gw[place_of(h, x, o, i)] += g * x->a[r * x->din + i];
            }
        }
    }
}

static inline void host_pass(host *h) {
    host_forward(h);
    host_backward(h);
    host_part(h);
}

/* In place of what the net gives: A and G that any type of values can hold, sums of them, too. G is a whole number over n. */
static inline void host_whole_numbers(host *h) {
    assert_true(h->n * h->t <= 32 && (h->n & (h->n - 1)) == 0);
    for (int32_t l = 0; l < h->n_layers; l++) {
        host_layer *x = &h->layer[l];
        for (int64_t i = 0; i < h->n * h->t * x->din; i++) x->a[i] = round(2 * draw_uniform(&h->seed));
        for (int64_t i = 0; i < h->n * h->t * x->dout; i++) x->g[i] = round(2 * draw_uniform(&h->seed)) / (double)h->n;
    }
    host_part(h);
}

/* What the probes must say of this pass; `without`: 1 + a layer without captures, 0: none. */
static inline truth host_truth(const host *h, int32_t without) {
    truth t = new_truth(h->n);
    double with = 0, all = 0, counted = 0;
    for (int64_t i = 0; i < h->n; i++) {
        t.counts[i] = 0;
        for (int64_t p = 0; p < h->t; p++) t.counts[i] |= h->weight[i * h->t + p] != 0;
        counted += t.counts[i];
    }
    double unit = h->reduction == PITOT_SUM ? 1 : counted;
    for (int32_t k = 0; k < h->n_tensors; k++) {
        const host_tensor *x = &h->tensor[k];
        if (x->frozen) continue;
        all += (double)x->size;
        if (without && (k == h->layer[without - 1].weight || k == h->layer[without - 1].bias)) continue;
        with += (double)x->size;
        double *g = truth_add(&t, x->name, x->size);
        for (int64_t i = 0; i < h->n * x->size; i++) g[i] = unit * x->sample[i];
    }
    t.covered = with / all;
    truth_settle(&t);
    return t;
}

/* ---- its loop ---- */

typedef struct feeding {      /* how the host hands over what it has */
    int32_t flags;            /* of captures. PITOT_COPY: A and G are overwritten when the call returns */
    int split;                /* 1: A in the forward pass, G in the backward pass */
    int32_t a_dtype, g_dtype; /* 0: pitot_real */
    int odd;                  /* 1: A and G lie at odd addresses */
    int32_t without;          /* 1 + layer without captures; 0: none */
    double scale;             /* gradient buffers and G are this times the derivatives; 0: 1 */
    double g_scale;           /* capture.scale; 0: 1 */
    double loss_scale;
    double carried, decay;  /* left in the buffers at begin; times theta, added to the gradient */
    int masked;             /* 1: weights are told */
    int64_t cut[MOST_CUTS]; /* samples of each micro-batch; none: one batch */
} feeding;

static inline double one_if_zero(double x) {
    return x != 0 ? x : 1;
}

static inline void host_write(host_tensor *x, const double *values, int32_t dtype, double factor, double plus, void *to) {
    for (int64_t j = 0; j < x->size; j++)
        store_value(dtype, to, x->across ? j % x->columns * x->rows + j / x->columns : j, factor * values[j] + plus);
}

static inline void host_add(host *h, pitot_run *run) {
    for (int32_t k = 0; k < h->n_tensors; k++) {
        host_tensor *x = &h->tensor[k];
        pitot_param p = { .struct_size = sizeof p,
                          .name = x->name,
                          .data = x->data,
                          .grad = x->frozen ? NULL : x->grad,
                          .dtype = x->dtype,
                          .grad_dtype = x->grad_dtype };
        int64_t dims[2] = { h->transposed ? x->columns : x->rows, h->transposed ? x->rows : x->columns };
        if (x->name[0] == 'b') p.shape[0] = x->size;
        else memcpy(p.shape, dims, sizeof dims);
        if (x->across) p.stride[0] = 1, p.stride[1] = dims[0];
        if (x->dtype != PITOT_F16 && x->dtype != PITOT_BF16) host_write(x, x->theta, x->dtype, 1, 0, x->data);
        x->id = pitot_add_param(run, &p);
        assert_int_equal(x->id, k + 1);
    }
}

/* Rows from .. of (n,t,width) values, in the layout wanted, at `to` (odd: one byte later); returns where they begin. */
static inline void *host_lay_out(const host *h, const feeding *f, const double *values, int64_t width, int64_t from, int64_t n,
                                 int32_t dtype, double factor, void *to) {
    int first = (f->flags & PITOT_TIME_FIRST) != 0;
    to = (char *)to + f->odd;
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < h->t; p++)
            for (int64_t v = 0; v < width; v++)
                store_value(dtype, to, (first ? p * n + i : i * h->t + p) * width + v,
                            factor * values[((from + i) * h->t + p) * width + v]);
    return to;
}

static inline void host_give(host *h, pitot_run *run, const feeding *f, int32_t l, int64_t from, int64_t n, int what) {
    host_layer *x = &h->layer[l];
    if (f->without == l + 1) return;
    pitot_capture c = { .struct_size = sizeof c,
                        .kind = PITOT_LINEAR,
                        .flags = f->flags | (h->transposed ? PITOT_TRANSPOSED : 0),
                        .weight = h->tensor[x->weight].id,
                        .bias = h->tensor[x->bias].id,
                        .a_dtype = f->a_dtype,
                        .g_dtype = f->g_dtype,
                        .n = n,
                        .t = h->t };
    if (what & 1) c.A = host_lay_out(h, f, x->a, x->din, from, n, f->a_dtype, 1, x->A);
    if (what & 2) c.scale = f->g_scale;
    if (what & 2)
        c.G = host_lay_out(h, f, x->g, x->dout, from, n, f->g_dtype, one_if_zero(f->scale) / one_if_zero(f->g_scale), x->G);
    int32_t status = pitot_add_capture(run, &c);
    assert_true(status == PITOT_OK || status == PITOT_EBUDGET);
    if (!(f->flags & PITOT_COPY)) return;
    if (what & 1) memset(x->A, 0xff, (size_t)(h->n * h->t * x->din) * 8);
    if (what & 2) memset(x->G, 0xff, (size_t)(h->n * h->t * x->dout) * 8);
}

/* Gradient buffers once these samples have been passed back. */
static inline void host_gradients(host *h, const feeding *f, int64_t from, int64_t n) {
    for (int32_t k = 0; k < h->n_tensors; k++) {
        host_tensor *x = &h->tensor[k];
        double *whole = new_doubles(x->size);
        for (int64_t i = from; i < from + n; i++)
            for (int64_t j = 0; j < x->size; j++) x->sum[j] += x->sample[i * x->size + j];
        for (int64_t j = 0; j < x->size; j++) whole[j] = x->sum[j] + f->decay * x->theta[j];
        host_write(x, whole, x->grad_dtype ? x->grad_dtype : x->dtype, one_if_zero(f->scale), f->carried, x->grad);
        free(whole);
    }
}

static inline void host_begin(host *h, const feeding *f) {
    for (int32_t k = 0; k < h->n_tensors; k++) {
        host_tensor *x = &h->tensor[k];
        memset(x->sum, 0, (size_t)x->size * sizeof *x->sum);
        host_write(x, x->sum, x->grad_dtype ? x->grad_dtype : x->dtype, 0, f->carried, x->grad);
    }
}

static inline pitot_batch host_batch_of(const host *h, const feeding *f, int64_t from, int64_t n, int more) {
    double sum = 0, weight = 0;
    for (int64_t i = from * h->t; i < (from + n) * h->t; i++) {
        sum += (double)h->weight[i] * (double)h->losses[i];
        weight += (double)h->weight[i];
    }
    return (pitot_batch){ .struct_size = sizeof(pitot_batch),
                          .n = n,
                          .t = h->t,
                          .loss = h->reduction == PITOT_SUM ? sum : sum / weight,
                          .losses = h->losses + from * h->t,
                          .loss_scale = f->loss_scale,
                          .weight = f->masked ? h->weight + from * h->t : NULL,
                          .more = more };
}

/* One micro-batch; what it lent is overwritten if another follows. */
static inline void host_micro(host *h, pitot_run *run, const feeding *f, int64_t from, int64_t n, int more) {
    for (int32_t l = 0; l < h->n_layers && f->split; l++) host_give(h, run, f, l, from, n, 1);
    pitot_batch b = host_batch_of(h, f, from, n, more);
    assert_int_equal(pitot_after_forward(run, &b), PITOT_OK);
    for (int32_t l = h->n_layers - 1; l >= 0; l--) host_give(h, run, f, l, from, n, f->split ? 2 : 3);
    host_gradients(h, f, from, n);
    assert_int_equal(pitot_after_backward(run), PITOT_OK);
    for (int32_t l = 0; l < h->n_layers && more; l++) {
        memset(h->layer[l].A, 0xff, (size_t)(h->n * h->t * h->layer[l].din) * 8);
        memset(h->layer[l].G, 0xff, (size_t)(h->n * h->t * h->layer[l].dout) * 8);
    }
}

/* A step with the batch and the pass as they are. */
static inline uint32_t host_step(host *h, pitot_run *run, const feeding *f, int64_t step) {
    int64_t from = 0;
    host_begin(h, f);
    uint32_t due = pitot_begin(run, step);
    for (int k = 0; f->cut[k]; k++) {
        host_micro(h, run, f, from, f->cut[k], from + f->cut[k] < h->n);
        from += f->cut[k];
    }
    if (!f->cut[0]) host_micro(h, run, f, 0, h->n, 0);
    else assert_int_equal(from, h->n);
    assert_int_equal(pitot_after_update(run, 0.1), PITOT_OK);
    return due;
}

static inline pitot_run *open_host(host *h, pitot_config c) {
    c.struct_size = sizeof c;
    if (!c.probes) c.probes = all_five;
    if (!c.reduction) c.reduction = h->reduction;
    pitot_run *run = must_open(NULL, &c);
    host_add(h, run);
    return run;
}

#endif
