/* Probes on per-sample gradients, fed by hosts of every kind: values against sums over the samples' gradients, one by one. */

#include "host.h"

static const int64_t widths[] = { 4, 6, 6, 3 }; /* of the perceptron */

/* One step of a perceptron of n samples and t positions, fed like this; every probe's values. */
static void check_step(host *h, pitot_config c, const feeding *f) {
    pitot_run *run = open_host(h, c);
    assert_true(host_step(h, run, f, 3) & PITOT_DUE_CAPTURES);
    truth t = host_truth(h, f->without);
    t.in_parts = f->cut[0] > 0;
    check_truth(run, &t, 3);
    assert_string_equal(pitot_last_error(run), "");
    assert_int_equal(health_of(run).errors, 0);
    truth_free(&t);
    assert_int_equal(pitot_close(run, PITOT_DONE), PITOT_OK);
}

static void check_feeding(int64_t n, int64_t t, const feeding *f) {
    host h;
    host_start(&h, widths, 3, 0);
    host_batch(&h, n, t);
    host_pass(&h);
    check_step(&h, (pitot_config){ 0 }, f);
    host_free(&h);
}

static void test_plain(void **state) {
    (void)state;
    for (int64_t n = 2; n <= 23; n += 3) check_feeding(n, 1, &(feeding){ 0 });
    check_feeding(3, 1, &(feeding){ 0 });
}

static void test_positions(void **state) {
    (void)state;
    for (int64_t t = 2; t <= 5; t++) check_feeding(7, t, &(feeding){ 0 });
}

/* Each way of handing over A and G, alone and with the others. */
static void test_ways(void **state) {
    (void)state;
    for (int bits = 0; bits < 16; bits++)
        for (int64_t t = 1; t <= 3; t += 2) {
            feeding f = { .flags = (bits & 1 ? PITOT_COPY : 0) | (bits & 2 ? PITOT_TIME_FIRST : 0),
                          .split = (bits & 4) != 0,
                          .odd = (bits & 8) != 0 };
            check_feeding(5, t, &f);
        }
}

/* The same layer twice in one pass: one tensor, the Gs come in reverse. */
static void test_tied(void **state) {
    (void)state;
    for (int bits = 0; bits < 8; bits++) {
        host h;
        feeding f = { .flags = bits & 1 ? PITOT_COPY : 0, .split = (bits & 2) != 0 };
        host_start(&h, (int64_t[]){ 5, 5, 5, 3 }, 3, 1);
        assert_int_equal(h.layer[1].weight, h.layer[0].weight);
        host_batch(&h, 6, bits & 4 ? 2 : 1);
        host_pass(&h);
        check_step(&h, (pitot_config){ 0 }, &f);
        host_free(&h);
    }
}

static void test_transposed(void **state) {
    (void)state;
    for (int64_t t = 1; t <= 3; t += 2) {
        host h;
        host_start(&h, widths, 3, 0);
        h.transposed = 1;
        host_batch(&h, 6, t);
        host_pass(&h);
        check_step(&h, (pitot_config){ 0 }, &(feeding){ .flags = PITOT_TIME_FIRST });
        host_free(&h);
    }
}

/* ---- types and layouts of values ---- */

/* With whole numbers nothing is rounded in any type: the same tolerances as for pitot_real. */
static void test_types(void **state) {
    (void)state;
    static const int32_t types[] = { 0, PITOT_F32, PITOT_F64, PITOT_F16, PITOT_BF16 };
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            host h;
            host_start(&h, widths, 3, 0);
            for (int32_t k = 0; k < h.n_tensors; k++) h.tensor[k].dtype = types[i], h.tensor[k].grad_dtype = types[j];
            host_batch(&h, 8, i % 2 + 1);
            host_whole_numbers(&h);
            check_step(&h, (pitot_config){ 0 }, &(feeding){ .a_dtype = types[j], .g_dtype = types[(i + j) % 5], .split = i == 1 });
            host_free(&h);
        }
}

static void test_strided(void **state) {
    (void)state;
    for (int transposed = 0; transposed < 2; transposed++) {
        host h;
        host_start(&h, widths, 3, 0);
        h.transposed = transposed;
        for (int32_t l = 0; l < h.n_layers; l++) { /* stored (din,dout) whatever the shape says */
            host_tensor *w = &h.tensor[h.layer[l].weight];
            if (transposed) w->rows = h.layer[l].dout, w->columns = h.layer[l].din;
            w->across = !transposed;
        }
        host_batch(&h, 5, 2);
        host_pass(&h);
        check_step(&h, (pitot_config){ 0 }, &(feeding){ 0 });
        host_free(&h);
    }
}

/* A tensor in a stack of three with gaps between; ids are one after another, names "x.0" ... */
static void test_stacked(void **state) {
    (void)state;
    enum { COUNT = 3, DIN = 3, DOUT = 2, STRIDE = 10, N = 6 };
    pitot_real data[COUNT * STRIDE] = { 0 }, grad[COUNT * STRIDE], a[COUNT][N * DIN], g[COUNT][N * DOUT];
    uint64_t seed = 3;
    pitot_run *run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = all_five });
    pitot_param p = { .struct_size = sizeof p,
                      .name = "x",
                      .data = data,
                      .grad = grad,
                      .shape = { DOUT, DIN },
                      .stack = COUNT,
                      .stack_stride = STRIDE };
    assert_int_equal(pitot_add_param(run, &p), 1);
    truth t = new_truth(N);
    pitot_begin(run, 0);
    pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = N, .loss = 1 });
    for (int k = 0; k < COUNT; k++) {
        double *u = truth_add(&t, (const char *[]){ "x.0", "x.1", "x.2" }[k], (int64_t)DOUT * DIN);
        for (int i = 0; i < N * DIN; i++) a[k][i] = (pitot_real)draw_uniform(&seed);
        for (int i = 0; i < N * DOUT; i++) g[k][i] = (pitot_real)(draw_uniform(&seed) / N);
        for (int j = 0; j < DOUT * DIN; j++) {
            double sum = 0;
            for (int i = 0; i < N; i++) {
                u[i * DOUT * DIN + j] = N * (double)g[k][i * DOUT + j / DIN] * (double)a[k][i * DIN + j % DIN];
                sum += u[i * DOUT * DIN + j] / N;
            }
            grad[k * STRIDE + j] = (pitot_real)sum;
        }
        pitot_capture c = { .struct_size = sizeof c, .kind = PITOT_LINEAR, .weight = 1 + k, .A = a[k], .G = g[k] };
        assert_int_equal(pitot_add_capture(run, &c), PITOT_OK);
    }
    pitot_after_backward(run);
    pitot_after_update(run, 1);
    truth_settle(&t);
    check_truth(run, &t, 0);
    truth_free(&t);
    pitot_close(run, PITOT_DONE);
}

/* ---- kinds of layers ---- */

typedef struct conv { /* A (n,cin,h,w), G (n,cout,oh,ow), the weight (cout,cin/groups,kh,kw) */
    int64_t n, cin, cout, h, w, kernel[2], stride[2], padding[2], dilation[2], groups, oh, ow;
} conv;

static void conv_fit(conv *c) {
    c->oh = (c->h + 2 * c->padding[0] - c->dilation[0] * (c->kernel[0] - 1) - 1) / c->stride[0] + 1;
    c->ow = (c->w + 2 * c->padding[1] - c->dilation[1] * (c->kernel[1] - 1) - 1) / c->stride[1] + 1;
}

/* u (cout,cin/groups,kh,kw) += sample's gradient, of a (cin,h,w) and g (cout,oh,ow) */
static void conv_gradient(const conv *c, const double *a, const double *g, double *u) {
    int64_t per_in = c->cin / c->groups, per_out = c->cout / c->groups;
    for (int64_t o = 0; o < c->cout; o++)
        for (int64_t i = 0; i < per_in; i++)
            for (int64_t k = 0; k < c->kernel[0] * c->kernel[1]; k++)
                for (int64_t p = 0; p < c->oh * c->ow; p++) {
                    int64_t y = p / c->ow * c->stride[0] - c->padding[0] + k / c->kernel[1] * c->dilation[0];
                    int64_t x = p % c->ow * c->stride[1] - c->padding[1] + k % c->kernel[1] * c->dilation[1];
                    if (y < 0 || y >= c->h || x < 0 || x >= c->w) continue;
                    u[(o * per_in + i) * c->kernel[0] * c->kernel[1] + k] +=
                        g[o * c->oh * c->ow + p] * a[((o / per_out * per_in + i) * c->h + y) * c->w + x];
                }
}

/* One channel-first sample (channels, places) into an array of pitot_real, channels last if so. */
static void put_image(const double *image, int64_t channels, int64_t places, int last, pitot_real *to) {
    for (int64_t ch = 0; ch < channels; ch++)
        for (int64_t p = 0; p < places; p++) to[last ? p * channels + ch : ch * places + p] = (pitot_real)image[ch * places + p];
}

static void conv_tell(const conv *k, pitot_run *run, int32_t flags, const pitot_real *a, const pitot_real *g) {
    pitot_capture c = { .struct_size = sizeof c,
                        .kind = PITOT_CONV2D,
                        .flags = flags,
                        .weight = 1,
                        .bias = 2,
                        .A = a,
                        .G = g,
                        .h = k->h,
                        .w = k->w,
                        .groups = (int32_t)(k->groups == 1 ? 0 : k->groups) };
    for (int i = 0; i < 2; i++) {
        c.stride[i] = (int32_t)(k->stride[i] == 1 ? 0 : k->stride[i]);
        c.padding[i] = (int32_t)k->padding[i];
        c.dilation[i] = (int32_t)(k->dilation[i] == 1 ? 0 : k->dilation[i]);
    }
    assert_int_equal(pitot_add_capture(run, &c), PITOT_OK);
}

static void sum_samples(const truth *t, int32_t k, pitot_real *out) {
    for (int64_t j = 0; j < t->size[k]; j++) {
        double sum = 0;
        for (int64_t i = 0; i < t->n; i++) sum += t->g[k][i * t->size[k] + j] / (double)t->n;
        out[j] = (pitot_real)sum;
    }
}

static void check_conv(conv k, int32_t flags) {
    conv_fit(&k);
    uint64_t seed = 11;
    int64_t of_a = k.cin * k.h * k.w, of_g = k.cout * k.oh * k.ow, size = k.cout * (k.cin / k.groups) * k.kernel[0] * k.kernel[1];
    int last = (flags & PITOT_CHANNELS_LAST) != 0;
    double *a = new_doubles(of_a), *g = new_doubles(of_g);
    pitot_real *A = (pitot_real *)new_doubles(k.n * of_a), *G = (pitot_real *)new_doubles(k.n * of_g);
    pitot_real *data = (pitot_real *)new_doubles(size + k.cout), *grad = (pitot_real *)new_doubles(size + k.cout);
    truth t = new_truth(k.n);
    double *weight = truth_add(&t, "conv.weight", size), *bias = truth_add(&t, "conv.bias", k.cout);
    for (int64_t i = 0; i < k.n; i++) {
        for (int64_t j = 0; j < of_a; j++) a[j] = in_real(draw_uniform(&seed));
        for (int64_t j = 0; j < of_g; j++) g[j] = in_real(draw_uniform(&seed) / (double)k.n);
        put_image(a, k.cin, k.h * k.w, last, A + i * of_a);
        put_image(g, k.cout, k.oh * k.ow, last, G + i * of_g);
        for (int64_t j = 0; j < of_g; j++) g[j] *= (double)k.n;
        conv_gradient(&k, a, g, weight + i * size);
        for (int64_t j = 0; j < of_g; j++) bias[i * k.cout + j / (k.oh * k.ow)] += g[j];
    }
    sum_samples(&t, 0, grad);
    sum_samples(&t, 1, grad + size);
    truth_settle(&t);
    pitot_run *run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = all_five });
    pitot_param w = { .struct_size = sizeof w,
                      .name = "conv.weight",
                      .data = data,
                      .grad = grad,
                      .shape = { k.cout, k.cin / k.groups, k.kernel[0], k.kernel[1] } };
    pitot_param b = { .struct_size = sizeof b, .name = "conv.bias", .data = data + size, .grad = grad + size, .shape = { k.cout } };
    pitot_add_param(run, &w);
    pitot_add_param(run, &b);
    pitot_begin(run, 0);
    pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = k.n, .loss = 1 });
    conv_tell(&k, run, flags, A, G);
    if (flags & PITOT_COPY) memset(A, 0xff, (size_t)(k.n * of_a) * sizeof *A), memset(G, 0xff, (size_t)(k.n * of_g) * sizeof *G);
    pitot_after_backward(run);
    pitot_after_update(run, 1);
    check_truth(run, &t, 0);
    pitot_close(run, PITOT_DONE);
    truth_free(&t);
    free(a), free(g), free(A), free(G), free(data), free(grad);
}

static void test_convolution(void **state) {
    (void)state;
    static const conv cases[] = {
        { 4, 2, 3, 5, 5, { 3, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1, 0, 0 },
        { 5, 2, 4, 6, 7, { 3, 2 }, { 2, 1 }, { 1, 1 }, { 1, 1 }, 1, 0, 0 },
        { 3, 4, 6, 7, 6, { 2, 3 }, { 1, 2 }, { 0, 2 }, { 2, 1 }, 2, 0, 0 },
        { 3, 4, 4, 5, 6, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 2 }, 4, 0, 0 }, /* depthwise */
        { 6, 5, 2, 3, 3, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1, 0, 0 },
        { 6, 2, 5, 4, 3, { 4, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 }, 1, 0, 0 }, /* one position */
        { 2, 3, 8, 9, 9, { 3, 3 }, { 3, 3 }, { 2, 2 }, { 2, 2 }, 1, 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int bits = 0; bits < 4; bits++)
            check_conv(cases[i], (bits & 1 ? PITOT_CHANNELS_LAST : 0) | (bits & 2 ? PITOT_COPY : 0));
}

/* The affine part of a normalisation, and its shift; and per-sample gradients that the host made itself, for a tensor of any shape. */
static void check_scale_shift(int32_t flags, int64_t t) {
    enum { N = 6, D = 5, MOST = 4 };
    pitot_real a[N * MOST * D], g[N * MOST * D], given[N * 8], data[2 * D + 8] = { 0 }, grad[2 * D + 8];
    uint64_t seed = 5;
    truth x = new_truth(N);
    double *scale = truth_add(&x, "norm.weight", D), *shift = truth_add(&x, "norm.bias", D), *other = truth_add(&x, "other", 8);
    for (int64_t i = 0; i < N; i++)
        for (int64_t p = 0; p < t; p++)
            for (int64_t j = 0; j < D; j++) {
                int64_t at = (flags & PITOT_TIME_FIRST ? p * N + i : i * t + p) * D + j;
                a[at] = (pitot_real)draw_normal(&seed);
                g[at] = (pitot_real)(draw_normal(&seed) / N);
                scale[i * D + j] += N * (double)a[at] * (double)g[at];
                shift[i * D + j] += N * (double)g[at];
            }
    for (int64_t i = 0; i < N * 8; i++) {
        given[i] = (pitot_real)(draw_normal(&seed) / N);
        other[i] = N * (double)given[i];
    }
    sum_samples(&x, 0, grad);
    sum_samples(&x, 1, grad + D);
    sum_samples(&x, 2, grad + 2 * D);
    truth_settle(&x);
    pitot_run *run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = all_five });
    pitot_param w = { .struct_size = sizeof w, .name = "norm.weight", .data = data, .grad = grad, .shape = { D } };
    pitot_param b = { .struct_size = sizeof b, .name = "norm.bias", .data = data + D, .grad = grad + D, .shape = { D } };
    pitot_param o = { .struct_size = sizeof o, .name = "other", .data = data + 2 * D, .grad = grad + 2 * D, .shape = { 2, 2, 2 } };
    pitot_add_param(run, &w);
    pitot_add_param(run, &b);
    pitot_add_param(run, &o);
    pitot_begin(run, 0);
    pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = N, .t = t, .loss = 1 });
    pitot_capture c = {
        .struct_size = sizeof c, .kind = PITOT_SCALE_SHIFT, .flags = flags, .weight = 1, .bias = 2, .A = a, .G = g
    };
    pitot_capture d = { .struct_size = sizeof d, .kind = PITOT_PER_SAMPLE, .flags = flags & PITOT_COPY, .weight = 3, .G = given };
    assert_int_equal(pitot_add_capture(run, &c), PITOT_OK);
    assert_int_equal(pitot_add_capture(run, &d), PITOT_OK);
    if (flags & PITOT_COPY) memset(a, 0xff, sizeof a), memset(g, 0xff, sizeof g), memset(given, 0xff, sizeof given);
    pitot_after_backward(run);
    pitot_after_update(run, 1);
    check_truth(run, &x, 0);
    pitot_close(run, PITOT_DONE);
    truth_free(&x);
}

static void test_scale_shift(void **state) {
    (void)state;
    for (int bits = 0; bits < 8; bits++)
        check_scale_shift((bits & 1 ? PITOT_TIME_FIRST : 0) | (bits & 2 ? PITOT_COPY : 0), bits & 4 ? 4 : 1);
}

/* ---- scales, reductions, what else is in the buffers ---- */

static void check_config(pitot_config c, feeding f, int64_t n, int64_t t) {
    host h;
    host_start(&h, widths, 3, 0);
    h.reduction = c.reduction;
    host_batch(&h, n, t);
    for (int64_t i = 0; f.masked && i < n * t; i++) h.weight[i] = (pitot_real)(i / t % 5 == 3 || i % 3 == 1 ? 0 : 1 + i % 2);
    host_pass(&h);
    check_step(&h, c, &f);
    host_free(&h);
}

static void test_scales(void **state) {
    (void)state;
    for (int parts = 0; parts < 2; parts++) {
        int64_t a = parts ? 3 : 0, b = parts ? 4 : 0;
        check_config((pitot_config){ .grad_scale = -1 }, (feeding){ .scale = -1, .cut = { a, b } }, 7, 1);
        check_config((pitot_config){ .grad_scale = 0.5 }, (feeding){ .scale = 2, .cut = { a, b } }, 7, 2);
        check_config((pitot_config){ 0 }, (feeding){ .scale = 128, .loss_scale = 128, .cut = { a, b } }, 7, 1);
        check_config((pitot_config){ .grad_scale = -0.5 }, (feeding){ .scale = -256, .loss_scale = 128, .cut = { a, b } }, 7, 1);
        check_config((pitot_config){ 0 }, (feeding){ .g_scale = 0.25, .split = 1, .cut = { a, b } }, 7, 1);
        check_config((pitot_config){ .reduction = PITOT_SUM }, (feeding){ .cut = { a, b } }, 7, 1);
        check_config((pitot_config){ .reduction = PITOT_SUM }, (feeding){ .cut = { a, b } }, 7, 3);
        check_config((pitot_config){ .flags = PITOT_UNCHECKED }, (feeding){ .decay = 0.5, .cut = { a, b } }, 7, 2);
        check_config((pitot_config){ .flags = PITOT_COUPLED }, (feeding){ .cut = { a, b } }, 7, 2);
        check_config((pitot_config){ .threads = 2 }, (feeding){ .cut = { a, b } }, 7, 2);
    }
}

/* Whole numbers: what was in the buffers is taken away without rounding. */
static void test_carried(void **state) {
    (void)state;
    for (int parts = 0; parts < 2; parts++) {
        host h;
        feeding f = { .carried = 16, .cut = { parts ? 3 : 0, parts ? 5 : 0 } };
        host_start(&h, widths, 3, 0);
        host_batch(&h, 8, 2);
        host_whole_numbers(&h);
        check_step(&h, (pitot_config){ .flags = PITOT_CARRIED }, &f);
        host_free(&h);
    }
}

/* Positions and whole samples without weight: those samples do not count, in the mean over terms and in the sum. */
static void test_masked(void **state) {
    (void)state;
    static const int32_t reductions[] = { PITOT_MEAN_TERMS, PITOT_SUM };
    static const feeding cuts[] = { { .masked = 1 },
                                    { .masked = 1, .cut = { 4, 4, 4 } },
                                    { .masked = 1, .cut = { 1, 7, 4 } },
                                    { .masked = 1, .cut = { 3, 1, 8 } } };
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < 4; i++) /* sample 3 is masked: alone in a micro-batch of the last */
            for (int64_t t = 1; t <= 4; t++) check_config((pitot_config){ .reduction = reductions[r] }, cuts[i], 12, t);
}

/* ---- micro-batches ---- */

/* Micro-batches' lengths alone, and together with captures; formulas of McCandlish et al., with sizes that may differ. */
static void check_two_batch(const host *h, const pitot_run *run, const int64_t *cut, double average[2], int first) {
    double small = 0, inverse = 0, all = 0, counted = 0;
    int64_t from = 0;
    truth t = host_truth(h, 0);
    for (int parts = 0; parts < MOST_CUTS && cut[parts]; parts++) {
        double n = 0, square = 0, k = 0;
        while (k < MOST_CUTS && cut[(int)k]) k++;
        for (int64_t i = from; i < from + cut[parts]; i++) n += t.counts[i];
        for (int32_t x = 0; x < t.n_tensors; x++)
            for (int64_t j = 0; j < t.size[x]; j++) {
                double mean = 0;
                for (int64_t i = from; i < from + cut[parts]; i++) mean += t.g[x][i * t.size[x] + j] / n;
                square += mean * mean;
            }
        small += square / k;
        inverse += 1 / n / k;
        from += cut[parts];
    }
    all = t.mean_square;
    counted = (double)t.n_counted;
    double s = (small - all) / (inverse - 1 / counted), g2 = all - s / counted;
    average[0] = first ? s : 0.75 * average[0] + 0.25 * s;
    average[1] = first ? g2 : 0.75 * average[1] + 0.25 * g2;
    double off = 64 * close_by * (small + all) / (inverse - 1 / counted);
    assert_close(value_of(run, "noise_scale.two_batch.s"), s, 1, off, "two_batch.s");
    assert_close(value_of(run, "noise_scale.two_batch.g2"), g2, 1, off, "two_batch.g2");
    double simple = value_of(run, "noise_scale.two_batch.b_simple");
    if (average[1] <= 0) assert_true(isinf(simple));
    else
        assert_close(simple, average[0] / average[1], 1, 2 * off * (1 + average[0] / average[1]) / average[1],
                     "two_batch.b_simple");
    truth_free(&t);
}

static void check_micro_batches(int32_t reduction, int64_t t, int masked, int32_t without) {
    static const int64_t cuts[][MOST_CUTS] = { { 6, 6 }, { 1, 11 }, { 3, 4, 5 }, { 1, 1, 1, 1, 1, 1, 6 }, { 2, 2, 2, 2, 2, 2 } };
    double average[2] = { 0 };
    host h;
    host_start(&h, widths, 3, 0);
    h.reduction = reduction;
    host_batch(&h, 12, t);
    pitot_config c = { .options = "noise_scale.memory=0.75", .probes = without == -1 ? "noise_scale, loss" : NULL };
    pitot_run *run = open_host(&h, c);
    for (int step = 0; step < 5; step++) {
        feeding f = { .masked = masked, .without = without };
        memcpy(f.cut, cuts[step], sizeof f.cut);
        host_batch(&h, 12, t);
        for (int64_t i = 0; masked && i < 12 * t; i++) h.weight[i] = (pitot_real)(i % t == 1 || i / t == 7 ? 0 : 1 + i % 2);
        host_pass(&h);
        if (without == -1) { /* level 0: gradients alone */
            f.without = 0;
            int64_t from = 0;
            host_begin(&h, &f);
            pitot_begin(run, step);
            for (int k = 0; k < MOST_CUTS && f.cut[k]; from += f.cut[k++]) {
                pitot_batch b = host_batch_of(&h, &f, from, f.cut[k], from + f.cut[k] < 12);
                pitot_after_forward(run, &b);
                host_gradients(&h, &f, from, f.cut[k]);
                pitot_after_backward(run);
            }
            pitot_after_update(run, 1);
            assert_close(value_of(run, "noise_scale"),
                         value_of(run, "noise_scale.two_batch.s") / (value_of(run, "noise_scale.two_batch.g2") +
                                                                     value_of(run, "noise_scale.two_batch.s") / (masked ? 11 : 12)),
                         1e-12, fabs(value_of(run, "noise_scale")), "noise_scale from micro-batches");
        } else {
            host_step(&h, run, &f, step);
            truth x = host_truth(&h, without);
            x.in_parts = 1;
            check_truth(run, &x, step);
            truth_free(&x);
        }
        check_two_batch(&h, run, f.cut, average, step == 0);
    }
    assert_string_equal(pitot_last_error(run), "");
    pitot_close(run, PITOT_DONE);
    host_free(&h);
}

static void test_micro_batches(void **state) {
    (void)state;
    for (int32_t without = -1; without <= 2; without++) {
        check_micro_batches(PITOT_MEAN, 1, 0, without);
        check_micro_batches(PITOT_MEAN, 3, 0, without);
        check_micro_batches(PITOT_SUM, 2, 1, without);
        check_micro_batches(PITOT_MEAN_TERMS, 3, 1, without);
    }
}

/* The loss of the whole batch, from those of the micro-batches, however it is reduced. */
static void test_loss_of_micro_batches(void **state) {
    (void)state;
    static const int32_t reductions[] = { PITOT_MEAN, PITOT_MEAN_TERMS, PITOT_SUM };
    for (int r = 0; r < 3; r++) {
        host h;
        host_start(&h, widths, 3, 0);
        h.reduction = reductions[r];
        host_batch(&h, 12, 3);
        feeding f = { .masked = r > 0, .cut = { 2, 7, 3 } };
        for (int64_t i = 0; f.masked && i < 36; i++) h.weight[i] = (pitot_real)(i % 5 == 1 || i / 3 == 4 ? 0 : 1 + i % 4);
        host_pass(&h);
        pitot_run *run = open_host(&h, (pitot_config){ .probes = "loss, individual_losses" });
        host_step(&h, run, &f, 0);
        assert_close(value_of(run, "loss"), h.loss, close_by, h.loss, "loss");
        pitot_close(run, PITOT_DONE);
        host_free(&h);
    }
}

/* ---- what changes from step to step ---- */

static void test_changing_sizes(void **state) {
    (void)state;
    static const int64_t n[] = { 9, 2, 16, 5, 5, 30 }, t[] = { 1, 3, 2, 1, 4, 1 };
    host h;
    host_start(&h, widths, 3, 0);
    host_batch(&h, 4, 1);
    pitot_run *run = open_host(&h, (pitot_config){ 0 });
    for (int step = 0; step < 12; step++) {
        host_batch(&h, n[step % 6], t[step % 6]);
        host_pass(&h);
        feeding f = { .cut = { step % 4 == 3 ? n[step % 6] - 1 : 0, 1 }, .flags = step % 3 == 1 ? PITOT_COPY : 0 };
        host_step(&h, run, &f, 10 * step);
        truth x = host_truth(&h, 0);
        x.in_parts = f.cut[0] > 0;
        check_truth(run, &x, 10 * step);
        truth_free(&x);
    }
    assert_string_equal(pitot_last_error(run), "");
    pitot_close(run, PITOT_DONE);
    host_free(&h);
}

/* Pointers of the host's own variables, memory that appears late and moves. */
static void test_moving(void **state) {
    (void)state;
    enum { N = 6, DIN = 4, DOUT = 3 };
    static pitot_real place[2][2][DIN * DOUT];
    pitot_real *data = NULL, *grad = NULL, a[N * DIN], g[N * DOUT];
    uint64_t seed = 2;
    pitot_run *run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = all_five });
    pitot_param p = { .struct_size = sizeof p, .name = "w", .shape = { DOUT, DIN }, .data_at = &data, .grad_at = &grad };
    assert_int_equal(pitot_add_param(run, &p), 1);
    pitot_param frozen = { .struct_size = sizeof frozen, .name = "frozen", .shape = { 2 }, .data = place[0][0] };
    assert_int_equal(pitot_add_param(run, &frozen), 2);
    for (int step = 0; step < 5; step++) {
        pitot_bind_param(run, 2, place[0][0], NULL);
        truth t = new_truth(N);
        double *u = truth_add(&t, "w", (int64_t)DIN * DOUT);
        pitot_begin(run, step);
        data = place[step % 2][0], grad = place[step % 2][1];
        pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = N, .loss = 1 });
        for (int i = 0; i < N * DIN; i++) a[i] = (pitot_real)draw_uniform(&seed);
        for (int i = 0; i < N * DOUT; i++) g[i] = (pitot_real)(draw_uniform(&seed) / N);
        for (int i = 0; i < N * DIN * DOUT; i++) {
            int s = i / (DIN * DOUT), j = i % (DIN * DOUT);
            u[i] = N * (double)g[s * DOUT + j / DIN] * (double)a[s * DIN + j % DIN];
        }
        sum_samples(&t, 0, grad);
        pitot_capture c = { .struct_size = sizeof c, .kind = PITOT_LINEAR, .weight = 1, .A = a, .G = g };
        pitot_add_capture(run, &c);
        pitot_after_backward(run);
        if (step == 2) pitot_bind_param(run, 2, place[0][0], place[0][1]); /* thawed before the update is told */
        if (step == 3) data = NULL, grad = NULL;                           /* gone before the update is told */
        pitot_after_update(run, 1);
        truth_settle(&t);
        check_truth(run, &t, step);
        truth_free(&t);
    }
    pitot_close(run, PITOT_DONE);
}

/* Frozen, without captures, back again, new in the middle: values are those of what has captures at that step. */
static void test_coming_and_going(void **state) {
    (void)state;
    host h;
    host_start(&h, widths, 3, 0);
    pitot_run *run = open_host(&h, (pitot_config){ 0 });
    for (int step = 0; step < 12; step++) {
        int frozen = step % 4;                                               /* tensor 1 ..: 0 none */
        feeding f = { .without = step % 3, .cut = { step > 5 ? 4 : 0, 3 } }; /* layer 1 ..: 0 none */
        host_batch(&h, 7, step % 2 + 1);
        for (int32_t k = 0; k < h.n_tensors; k++) {
            h.tensor[k].frozen = k + 1 == frozen;
            assert_int_equal(pitot_bind_param(run, k + 1, h.tensor[k].data, k + 1 == frozen ? NULL : h.tensor[k].grad), PITOT_OK);
        }
        host_pass(&h);
        host_step(&h, run, &f, step);
        truth t = host_truth(&h, f.without);
        t.in_parts = f.cut[0] > 0;
        check_truth(run, &t, step);
        truth_free(&t);
    }
    assert_string_equal(pitot_last_error(run), "");
    pitot_close(run, PITOT_DONE);
    host_free(&h);
}

/* A gradient that appears with the second micro-batch, as autograd's do, with another step before it. */
static void test_late_gradient(void **state) {
    (void)state;
    host h;
    feeding whole = { 0 }, parts = { .cut = { 3, 4 } };
    host_start(&h, widths, 3, 0);
    pitot_run *run = open_host(&h, (pitot_config){ .probes = "noise_scale", .options = "noise_scale.memory=0" });
    for (int step = 0; step < 4; step++) {
        double average[2];
        host_batch(&h, 7, 1);
        host_pass(&h);
        if (step % 2 == 0) host_step(&h, run, step ? &parts : &whole, step);
        if (step % 2 == 0) continue;
        for (int64_t i = 0; i < 3 * h.tensor[2].size; i++) h.tensor[2].sample[i] = 0; /* the first three do not use w1 */
        host_begin(&h, &parts);
        pitot_begin(run, step);
        pitot_bind_param(run, 3, h.tensor[2].data, NULL);
        for (int64_t from = 0; from < 7; from += 3 + from) {
            pitot_batch b = host_batch_of(&h, &parts, from, from ? 4 : 3, from == 0);
            pitot_after_forward(run, &b);
            host_gradients(&h, &parts, from, b.n);
            if (from) pitot_bind_param(run, 3, h.tensor[2].data, h.tensor[2].grad);
            pitot_after_backward(run);
            if (from) break;
        }
        pitot_after_update(run, 1);
        assert_int_equal(step_of(run, "noise_scale.two_batch.s"), step);
        check_two_batch(&h, run, parts.cut, average, 1);
    }
    pitot_close(run, PITOT_DONE);
    host_free(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),          cmocka_unit_test(test_positions),     cmocka_unit_test(test_ways),
        cmocka_unit_test(test_tied),           cmocka_unit_test(test_transposed),    cmocka_unit_test(test_types),
        cmocka_unit_test(test_strided),        cmocka_unit_test(test_stacked),       cmocka_unit_test(test_convolution),
        cmocka_unit_test(test_scale_shift),    cmocka_unit_test(test_scales),        cmocka_unit_test(test_carried),
        cmocka_unit_test(test_masked),         cmocka_unit_test(test_micro_batches), cmocka_unit_test(test_loss_of_micro_batches),
        cmocka_unit_test(test_changing_sizes), cmocka_unit_test(test_moving),        cmocka_unit_test(test_coming_and_going),
        cmocka_unit_test(test_late_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
