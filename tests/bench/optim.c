/* optim.c: time of optimizers' updates on the tensors of mnist_mlp (1.34 M values), or of a net that many times as large:

       optim THREADS SECONDS SCALE [METHOD]

   prints a line for each method: name, milliseconds (median), streams (arrays read, and arrays written, of D values), and its time over that
   of as many streams at the memory's rate. The rate is that of a[i] += s b[i] on arrays as large together as what the method touches, so from
   the same level of the caches, in turn with the method.

   Public API only. */

#include "bench.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS = 8, BLOCK = 20, MOST = 20000 };

static const struct {
    const char *name, *option, *text;
    int arrays, streams; /* of D values: touched; read and written */
} methods[] = {
    { "sgd", NULL, NULL, 2, 3 },      { "sgd", "momentum", "0.9", 3, 5 },
    { "adagrad", NULL, NULL, 3, 5 },  { "rmsprop", NULL, NULL, 3, 5 },
    { "lion", NULL, NULL, 3, 5 },     { "adam", NULL, NULL, 4, 7 },
    { "adamw", NULL, NULL, 4, 7 },    { "nadam", NULL, NULL, 4, 7 },
    { "radam", NULL, NULL, 4, 7 },    { "adamw_schedule_free", NULL, NULL, 4, 7 },
    { "prodigy", NULL, NULL, 6, 13 }, { "adafactor", NULL, NULL, 2, 6 },
};

typedef struct subject {
    pitot_optim_tensor tensor[TENSORS];
    pitot_real *g[TENSORS];
    int64_t d;
} subject;

static void *room(int64_t n) {
    void *p = NULL;
    if (posix_memalign(&p, 64, (size_t)n * sizeof(pitot_real))) exit(1);
    return p;
}

/* Rows of weights are `scale` times as many; values differ in every way. */
static void make_tensors(subject *s, int64_t scale) {
    static const int64_t shape[TENSORS][2] = { { 1000, 784 }, { 1000 }, { 500, 1000 }, { 500 },
                                               { 100, 500 },  { 100 },  { 10, 100 },   { 10 } };
    for (int k = 0; k < TENSORS; k++) {
        int64_t rows = shape[k][0] * scale, n = rows * (shape[k][1] ? shape[k][1] : 1);
        pitot_real *x = room(n);
        s->g[k] = room(n);
        for (int64_t i = 0; i < n; i++) {
            x[i] = (pitot_real)((double)(i * 7919 % 10007) / 10007 - 0.5);
            s->g[k][i] = (pitot_real)((double)(i * 104729 % 10007) / 10007 - 0.5);
        }
        s->tensor[k] = (pitot_optim_tensor){ "w", n, x, (const pitot_real *const *)&s->g[k], { rows, shape[k][1] } };
        s->d += n;
    }
}

static double time_triad(pitot_real *a, const pitot_real *b, int64_t n, int threads) {
    double t = now();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; i++) a[i] += (pitot_real)1e-6 * b[i];
    return now() - t;
}

static void measure(const subject *s, int k, int threads, double seconds) {
    static double steps[MOST], triads[MOST];
    pitot_error error = { 0 };
    int64_t n = s->d * methods[k].arrays / 2;
    pitot_optim *o = pitot_optim_new(methods[k].name, &error);
    pitot_real *a = room(n), *b = room(n);
    if (!o || pitot_optim_set(o, "lr", "1e-6", &error)) exit(1);
    if (methods[k].option && pitot_optim_set(o, methods[k].option, methods[k].text, &error)) exit(1);
    if (pitot_optim_prepare(o, s->tensor, TENSORS, threads, &error)) exit(1);
    for (int64_t i = 0; i < n; i++) a[i] = b[i] = 1;
    int n_steps = 0, n_triads = 0;
    for (double end = now() + seconds; now() < end || n_steps < 2 * BLOCK;) {
        for (int j = -1; j < BLOCK && n_triads < MOST; j++) { /* the first brings the arrays into the caches */
            double t = time_triad(a, b, n, threads);
            if (j >= 0) triads[n_triads++] = t;
        }
        for (int j = -1; j < BLOCK && n_steps < MOST; j++) {
            double t = now();
            pitot_optim_step(o);
            if (j >= 0) steps[n_steps++] = now() - t;
        }
    }
    double step = median(steps, n_steps), stream = median(triads, n_triads) / 3 / (double)n * (double)s->d;
    printf("%s%s %.4f %d %.2f\n", methods[k].name, methods[k].option ? "_momentum" : "", 1e3 * step, methods[k].streams,
           step / (stream * methods[k].streams));
    pitot_optim_free(o);
    free(a);
    free(b);
}

int main(int argc, char **argv) {
    subject s = { .d = 0 };
    if (argc != 4 && argc != 5) return fputs("usage: optim THREADS SECONDS SCALE [METHOD]\n", stderr), 2;
    make_tensors(&s, strtoll(argv[3], NULL, 10));
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
        if (argc == 4 || strcmp(argv[4], methods[k].name) == 0)
            measure(&s, (int)k, (int)strtol(argv[1], NULL, 10), strtod(argv[2], NULL));
    for (int k = 0; k < TENSORS; k++) {
        free(s.tensor[k].data);
        free(s.g[k]);
    }
    return 0;
}
