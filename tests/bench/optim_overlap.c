/* optim_overlap.c: what decompositions beside the steps save, on a model file and made-up samples:

       optim_overlap MODEL BATCH THREADS SECONDS METHOD

   prints NAME PERIOD WITHIN BESIDE RATIO: milliseconds of a step, forward and backward pass included, means over periods of PERIOD steps with
   one decomposition each, made within its step or beside the steps and used PERIOD steps later; medians, of periods in turn, and of their ratios. */

#include "bench.h"

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

static void open_side(side *s, int k, int overlap, const setup *u) {
    pitot_error error = { 0 };
    *s = (side){ .optim = pitot_optim_new(methods[k].name, &error), .provided = { .struct_size = sizeof s->provided } };
    set(s, methods[k].period, methods[k].steps);
    set(s, "overlap", overlap);
    pitot_optim_set(s->optim, "lr", "1e-7", NULL);
    if (pitot_provide_prepare(&s->provided, u->net, s->optim, u->threads, &error)) exit(fprintf(stderr, "%s\n", error.text));
}

/* The first step decomposes; at the end nothing is being made. */
static double period(side *s, int steps, const setup *u) {
    pitot_optim_array first;
    double t = now();
    for (int i = 0; i < steps; i++) {
        both_passes(u->net, &u->batch);
        if (pitot_optim_step(s->optim)) fputs("a step failed\n", stderr);
    }
    pitot_optim_state(s->optim, 0, &first);
    return (now() - t) / steps;
}

static void measure(int k, const setup *u) {
    enum { MOST = 100 };
    static double time[2][MOST], ratio[MOST];
    side s[2];
    int n = 0, steps = methods[k].steps;
    for (int i = 0; i < 2; i++) {
        open_side(&s[i], k, i ? steps : 0, u);
        period(&s[i], methods[k].before, u);
        period(&s[i], steps, u);
    }
    for (double t = now() + u->seconds; (now() < t || n < 3) && n < MOST; n++) {
        for (int i = 0; i < 2; i++) time[i][n] = period(&s[i], steps, u);
        ratio[n] = time[1][n] / time[0][n];
    }
    printf("%s %d %.2f %.2f %.3f\n", methods[k].name, steps, 1e3 * median(time[0], n), 1e3 * median(time[1], n), median(ratio, n));
    for (int i = 0; i < 2; i++) {
        pitot_optim_free(s[i].optim);
        pitot_provide_end(&s[i].provided);
    }
}

int main(int argc, char **argv) {
    setup u = set_up(argc, argv, 5, 5, "optim_overlap MODEL BATCH THREADS SECONDS METHOD", 0);
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
        if (strcmp(argv[5], methods[k].name) == 0) measure((int)k, &u);
    clear_up(&u);
    return 0;
}
