/* hooks.c: what the probes' machinery costs, on a model file and made-up samples:

       hooks MODEL BATCH THREADS SECONDS     prints: gradient ms, Hessian-vector product ms, their ratio (median of ratios, in turn);
                                             products of hess_max_ev per step along a run on one batch, warm, the first left out
       hooks                                 prints: nanoseconds of the four hooks of a step with nothing due; microseconds of a
                                             tracked step with one value, that go into its log record

   Public API only. */

#include "bench.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 100000, RUN = 50 };

/* ---- products ---- */

typedef struct bench {
    pitot_net *net;
    pitot_net_batch batch;
    int64_t size; /* D */
} bench;

static void gradient(bench *b) {
    double loss;
    pitot_net_forward(b->net, &b->batch, &loss);
    pitot_net_backward(b->net);
}

static void time_products(bench *b, double seconds) {
    static double ratio[MOST], grad[MOST], product[MOST];
    pitot_real *v = calloc((size_t)b->size, sizeof *v), *out = calloc((size_t)b->size, sizeof *out);
    int n = 0;
    for (int64_t i = 0; i < b->size; i++) v[i] = (pitot_real)((double)(i * 7919 % 1000) / 500.0 - 1);
    gradient(b);
    pitot_net_hvp(b->net, v, out);
    for (double end = now() + seconds; now() < end && n < MOST; n++) {
        double t0 = now();
        gradient(b);
        double t1 = now();
        pitot_net_hvp(b->net, v, out);
        double t2 = now();
        grad[n] = 1e3 * (t1 - t0);
        product[n] = 1e3 * (t2 - t1);
        ratio[n] = (t2 - t1) / (t1 - t0);
    }
    printf("%.3f %.3f %.3f", median(grad, n), median(product, n), median(ratio, n));
    free(v);
    free(out);
}

/* Gradient descent on one batch, hess_max_ev at every step. */
static void count_products(bench *b, int threads) {
    pitot_run *run = pitot_open(NULL, &(pitot_config){ .struct_size = sizeof(pitot_config),
                                                       .probes = "hess_max_ev",
                                                       .options = "hess_max_ev.warm=100",
                                                       .threads = threads });
    pitot_attached a;
    double loss, products, sum = 0;
    pitot_attach(&a, b->net, run);
    for (int64_t step = 0; step < RUN; step++) {
        pitot_begin(run, step);
        pitot_net_forward(b->net, &b->batch, &loss);
        pitot_attached_forward(&a, &b->batch, loss);
        pitot_net_backward(b->net);
        pitot_attached_backward(&a);
        for (int64_t i = 0; i < pitot_net_param_count(b->net); i++) {
            const pitot_net_param *p = &pitot_net_params(b->net)[i];
            for (int64_t k = 0; k < p->size; k++) p->data[k] -= (pitot_real)0.05 * p->grad[k];
        }
        pitot_after_update(run, 0.05);
        if (step > 0 && !pitot_value(run, "hess_max_ev.products", &products, NULL)) sum += products;
    }
    printf(" %.2f\n", sum / (RUN - 1));
    pitot_close(run, PITOT_DONE);
}

static int products(char **argv) {
    pitot_error error = { 0 };
    bench b = { .net = pitot_net_read(argv[1], &error) };
    int64_t n = strtoll(argv[2], NULL, 10);
    int threads = (int)strtol(argv[3], NULL, 10);
    omp_set_num_threads(threads);
    if (!b.net || pitot_net_prepare(b.net, n, threads, &error)) return fprintf(stderr, "%s\n", error.text), 1;
    pitot_net_facts f;
    pitot_net_init(b.net, 1);
    pitot_net_get_facts(b.net, &f);
    b.size = f.parameters;
    pitot_real *x = calloc((size_t)(n * f.input), sizeof *x);
    int32_t *y = calloc((size_t)n, sizeof *y);
    for (int64_t i = 0; i < n * f.input; i++) x[i] = (pitot_real)((double)(i * 7919 % 1000) / 500.0 - 1);
    for (int64_t i = 0; i < n; i++) y[i] = (int32_t)(i % f.output);
    b.batch = (pitot_net_batch){ .struct_size = sizeof b.batch, .n = n, .x = x, .classes = y, .training = 1 };
    time_products(&b, strtod(argv[4], NULL));
    count_products(&b, threads);
    pitot_net_free(b.net);
    free(x);
    free(y);
    return 0;
}

/* ---- hooks ---- */

/* Seconds a step of `steps` steps of a loop that does nothing else. */
static double time_steps(const char *dir, const char *probes, int64_t steps) {
    pitot_real w[16] = { 0 }, g[16] = { 0 };
    pitot_run *run = pitot_open(dir, &(pitot_config){ .struct_size = sizeof(pitot_config), .probes = probes });
    pitot_add_param(run, &(pitot_param){ .struct_size = sizeof(pitot_param), .name = "w", .data = w, .grad = g, .shape = { 16 } });
    double t0 = 0;
    for (int64_t step = 1; step <= steps + 1; step++) {
        if (step == 2) t0 = now();
        pitot_begin(run, step);
        pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = 1 });
        pitot_after_backward(run);
        pitot_after_update(run, 0.1);
    }
    double spent = (now() - t0) / (double)steps;
    pitot_close(run, PITOT_DONE);
    return spent;
}

static int hooks(void) {
    char folder[] = "/tmp/pitot-bench-XXXXXX", logged[64];
    double idle[9], with[9], without[9];
    if (!mkdtemp(folder)) return 1;
    for (int i = 0; i < 9; i++) {
        snprintf(logged, sizeof logged, "%s/%d", folder, i);
        idle[i] = time_steps(NULL, "loss@1000000000", 200000);
        with[i] = time_steps(logged, "loss", 5000);
        without[i] = time_steps(NULL, "loss", 5000);
    }
    double a = median(with, 9), b = median(without, 9);
    printf("%.1f %.2f %.2f\n", 1e9 * median(idle, 9), 1e6 * a, 1e6 * (a - b));
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 1) return hooks();
    if (argc == 5) return products(argv);
    return fputs("usage: hooks [MODEL BATCH THREADS SECONDS]\n", stderr), 2;
}
