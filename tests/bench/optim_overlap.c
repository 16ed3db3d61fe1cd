/* optim_overlap.c: what decompositions beside the steps save, on a model file and made-up samples:

       optim_overlap MODEL BATCH THREADS SECONDS METHOD

   prints NAME PERIOD WITHIN BESIDE RATIO: milliseconds of a step, forward and backward pass included, means over periods of PERIOD steps with
   one decomposition each, made within its step or beside the steps and used PERIOD steps later; medians, of periods in turn, and of their ratios. */

#include "bench.h"

#include <omp.h>
#include <string.h>

static const struct {
    const char *name, *period;
    int steps, before; /* steps up to the first that decomposes */
} methods[] = { { "shampoo", "precondition_frequency", 10, 9 },
                { "soap", "precondition_frequency", 10, 0 },
                { "eshampoo", "precondition_frequency", 10, 9 },
                { "kfac", "T_inv", 20, 0 },
                { "ekfac", "update_freq", 10, 0 } };

typedef struct side {
    pitot_optim *optim;
    pitot_provided provided;
} side;

static void set(side *s, const char *option, int value) {
    pitot_error error = { 0 };
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    if (pitot_optim_set(s->optim, option, text, &error)) exit(fprintf(stderr, "%s\n", error.text));
}

static void open_side(side *s, int k, int overlap, pitot_net *net, int threads) {
    pitot_error error = { 0 };
    *s = (side){ .optim = pitot_optim_new(methods[k].name, &error), .provided = { .struct_size = sizeof s->provided } };
    set(s, methods[k].period, methods[k].steps);
    set(s, "overlap", overlap);
    pitot_optim_set(s->optim, "lr", "1e-7", NULL);
    if (pitot_provide_prepare(&s->provided, net, s->optim, threads, &error)) exit(fprintf(stderr, "%s\n", error.text));
}

/* The first step decomposes; at the end nothing is being made. */
static double period(side *s, int steps, pitot_net *net, const pitot_net_batch *b) {
    pitot_optim_array first;
    double loss, t = now();
    for (int i = 0; i < steps; i++) {
        pitot_net_forward(net, b, &loss);
        pitot_net_backward(net);
        if (pitot_optim_step(s->optim)) fputs("a step failed\n", stderr);
    }
    pitot_optim_state(s->optim, 0, &first);
    return (now() - t) / steps;
}

static void measure(int k, pitot_net *net, const pitot_net_batch *b, int threads, double seconds) {
    enum { MOST = 100 };
    static double time[2][MOST], ratio[MOST];
    side s[2];
    int n = 0, steps = methods[k].steps;
    for (int i = 0; i < 2; i++) {
        open_side(&s[i], k, i ? steps : 0, net, threads);
        period(&s[i], methods[k].before, net, b);
        period(&s[i], steps, net, b);
    }
    for (double t = now() + seconds; (now() < t || n < 3) && n < MOST; n++) {
        for (int i = 0; i < 2; i++) time[i][n] = period(&s[i], steps, net, b);
        ratio[n] = time[1][n] / time[0][n];
    }
    printf("%s %d %.2f %.2f %.3f\n", methods[k].name, steps, 1e3 * median(time[0], n), 1e3 * median(time[1], n), median(ratio, n));
    for (int i = 0; i < 2; i++) {
        pitot_optim_free(s[i].optim);
        pitot_provide_end(&s[i].provided);
    }
}

int main(int argc, char **argv) {
    pitot_error error = { 0 };
    if (argc != 6) return fputs("usage: optim_overlap MODEL BATCH THREADS SECONDS METHOD\n", stderr), 2;
    int64_t batch = strtoll(argv[2], NULL, 10);
    int threads = (int)strtol(argv[3], NULL, 10);
    omp_set_num_threads(threads);
    pitot_net *net = pitot_net_read(argv[1], &error);
    if (!net || pitot_net_prepare(net, batch, threads, &error)) return fprintf(stderr, "%s\n", error.text), 1;
    pitot_net_facts facts;
    pitot_net_init(net, 1);
    pitot_net_get_facts(net, &facts);
    pitot_real *x = malloc((size_t)(batch * facts.input) * sizeof *x);
    int32_t *y = calloc((size_t)batch, sizeof *y);
    if (!x || !y) return 1;
    for (int64_t i = 0; i < batch * facts.input; i++) x[i] = (pitot_real)((double)((uint64_t)i * 2654435761u % 4093) / 2046.0 - 1);
    for (int64_t i = 0; i < batch; i++) y[i] = (int32_t)(i % facts.output);
    pitot_net_batch b = { .struct_size = sizeof b, .n = batch, .x = x, .classes = y, .training = 1 };
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
        if (strcmp(argv[5], methods[k].name) == 0) measure((int)k, net, &b, threads, strtod(argv[4], NULL));
    pitot_net_free(net);
    free(x);
    free(y);
    return 0;
}
