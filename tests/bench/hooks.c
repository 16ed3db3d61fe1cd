/* hooks.c: what the probes' machinery costs, on a model file and made-up samples:

       hooks MODEL BATCH THREADS SECONDS     prints: gradient ms, Hessian-vector product ms, their ratio (median of ratios, in turn);
                                             products of hess_max_ev per step along a run on one batch, warm, the first left out
       hooks                                 prints: nanoseconds of the four hooks of a step with nothing due; microseconds of a
                                             tracked step with one value, that go into its log record

   Public API only. */

#include "bench.h"

enum { MOST = 100000, RUN = 50 };

/* ---- products ---- */

static void time_products(const setup *s) {
    static double ratio[MOST], grad[MOST], product[MOST];
    pitot_real *v = values_of(s->facts.parameters), *out = values_of(s->facts.parameters);
    int n = 0;
    make_up(v, s->facts.parameters);
    both_passes(s->net, &s->batch);
    pitot_net_hvp(s->net, v, out);
    for (double end = now() + s->seconds; now() < end && n < MOST; n++) {
        grad[n] = 1e3 * both_passes(s->net, &s->batch);
        double t = now();
        pitot_net_hvp(s->net, v, out);
        product[n] = 1e3 * (now() - t);
        ratio[n] = product[n] / grad[n];
    }
    printf("%.3f %.3f %.3f", median(grad, n), median(product, n), median(ratio, n));
    free(v);
    free(out);
}

/* Gradient descent on one batch, hess_max_ev at every step. */
static void count_products(const setup *s) {
    pitot_run *run = pitot_open(NULL, &(pitot_config){ .struct_size = sizeof(pitot_config),
                                                       .probes = "hess_max_ev",
                                                       .options = "hess_max_ev.warm=100",
                                                       .threads = s->threads });
    pitot_attached a;
    double loss, products, sum = 0;
    pitot_attach(&a, s->net, run);
    for (int64_t step = 0; step < RUN; step++) {
        pitot_begin(run, step);
        pitot_net_forward(s->net, &s->batch, &loss);
        pitot_attached_forward(&a, &s->batch, loss);
        pitot_net_backward(s->net);
        pitot_attached_backward(&a);
        for (int64_t i = 0; i < pitot_net_param_count(s->net); i++) {
            const pitot_net_param *p = &pitot_net_params(s->net)[i];
            for (int64_t k = 0; k < p->size; k++) p->data[k] -= (pitot_real)0.05 * p->grad[k];
        }
        pitot_after_update(run, 0.05);
        if (step > 0 && !pitot_value(run, "hess_max_ev.products", &products, NULL)) sum += products;
    }
    printf(" %.2f\n", sum / (RUN - 1));
    pitot_close(run, PITOT_DONE);
}

static int products(int argc, char **argv) {
    setup s = set_up(argc, argv, 4, 4, "hooks [MODEL BATCH THREADS SECONDS]", 0);
    time_products(&s);
    count_products(&s);
    clear_up(&s);
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
    return argc == 1 ? hooks() : products(argc, argv);
}
