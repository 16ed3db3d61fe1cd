/* optim.c: time of optimizers' updates on the tensors of mnist_mlp (1.34 M values), or of a net that many times as large:

       optim THREADS SECONDS SCALE [METHOD]

   prints a line for each method: name, milliseconds (median), streams (arrays read, and arrays written, of D values), and its time over the
   limit's: that of as many streams at the memory's rate. The rate is that of a[i] += s b[i], built as updates are, on arrays as large together as
   what the method touches, so from the same level of the caches, in turn with the method; medians of ratios of neighbouring blocks of both. All
   arrays stand in large pages where they are large, as a net's do. The last number is the time over the larger of the limit and of what as many
   roots and divisions take, a / (sqrt(b) + eps) in the nearest cache: in caches that is the larger one for methods that write little.

   Diagonals of methods of second order are made once, squares of samples' gradients are copied: what is timed is the update.

   Public API only. */

#include "bench.h"

#include "pitot/hot.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TENSORS = 8, BLOCK = 8, MOST = 20000, PAGE = 1 << 21, NEAR = 1024 };

#ifdef PITOT_DOUBLE
#define ROOT sqrt
#else
#define ROOT sqrtf
#endif

static const struct {
    const char *label, *name, *option, *text;
    int arrays, streams; /* of D values: touched; read and written */
    int roots;           /* of a value: a square root and a division */
} methods[] = {
    { "sgd", "sgd", NULL, NULL, 2, 3, 0 },
    { "sgd_momentum", "sgd", "momentum", "0.9", 3, 5, 0 },
    { "adagrad", "adagrad", NULL, NULL, 3, 5, 1 },
    { "rmsprop", "rmsprop", NULL, NULL, 3, 5, 1 },
    { "rmsprop_centered", "rmsprop", "centered", "true", 4, 7, 1 },
    { "lion", "lion", NULL, NULL, 3, 5, 0 },
    { "adam", "adam", NULL, NULL, 4, 7, 1 },
    { "adam_amsgrad", "adam", "amsgrad", "true", 5, 9, 1 },
    { "adamw", "adamw", NULL, NULL, 4, 7, 1 },
    { "nadam", "nadam", NULL, NULL, 4, 7, 1 },
    { "radam", "radam", NULL, NULL, 4, 7, 1 },
    { "adamw_schedule_free", "adamw_schedule_free", NULL, NULL, 4, 7, 1 },
    { "prodigy", "prodigy", NULL, NULL, 6, 13, 1 },
    { "adafactor", "adafactor", NULL, NULL, 2, 5, 0 },
    { "vr_adam", "vr_adam", NULL, NULL, 7, 15, 1 }, /* the copy of squares; ratios; step */
    { "adahessian", "adahessian", "every", "1000000000", 4, 6, 1 },
    { "sophia", "sophia", "every", "1000000000", 4, 6, 0 },
};

typedef struct subject {
    pitot_optim_tensor tensor[TENSORS];
    pitot_real *g[TENSORS];
    int64_t d;
} subject;

static void *room(int64_t n) {
    size_t bytes = (size_t)n * sizeof(pitot_real);
    void *p = NULL;
    if (posix_memalign(&p, bytes < 4 * PAGE ? 64 : PAGE, bytes)) exit(1);
    if (bytes >= 4 * PAGE) madvise(p, bytes, MADV_HUGEPAGE);
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

/* ---- what methods ask for ---- */

static pitot_real *squares_kept;
static int64_t squares_size;

static void copy_some(const pitot_real *from, pitot_real *to, int64_t n, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < threads; k++) {
        int64_t begin = n * k / threads, end = n * (k + 1) / threads;
        memcpy(to + begin, from + begin, (size_t)(end - begin) * sizeof *to);
    }
}

static int32_t squares(void *threads, pitot_real *out) {
    copy_some(squares_kept, out, squares_size, *(int *)threads);
    return PITOT_OK;
}

static int32_t product(void *threads, const pitot_real *v, pitot_real *out) {
    copy_some(v, out, squares_size, *(int *)threads);
    return PITOT_OK;
}

static int32_t batch(void *threads, int64_t *samples, int64_t *columns, double *loss) {
    (void)threads;
    *samples = 128;
    *columns = 10;
    *loss = 1;
    return PITOT_OK;
}

static int32_t drawn(void *threads, uint64_t seed, pitot_real *out) {
    (void)seed;
    return squares(threads, out);
}

/* ---- measuring ---- */

PITOT_HOT static void triad(pitot_real *restrict a, const pitot_real *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) a[i] += (pitot_real)1e-6 * b[i];
}

static double time_triad(pitot_real *a, const pitot_real *b, int64_t n, int threads) {
    double t = now();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < threads; k++) triad(a + n * k / threads, b + n * k / threads, n * (k + 1) / threads - n * k / threads);
    return now() - t;
}

PITOT_HOT static void roots(pitot_real *restrict y, const pitot_real *restrict a, const pitot_real *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] / (ROOT(b[i]) + (pitot_real)1e-8);
}

/* Seconds of a root and a division of each of n values. */
static double time_roots(int64_t n, int threads) {
    double t = now();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < threads; k++) {
        pitot_real y[NEAR], a[NEAR], b[NEAR];
        for (int i = 0; i < NEAR; i++) a[i] = b[i] = (pitot_real)(i + 1);
        for (int64_t at = n * k / threads; at < n * (k + 1) / threads; at += NEAR) roots(y, a, b, NEAR);
    }
    return now() - t;
}

static double time_step(pitot_optim *o) {
    double t = now();
    pitot_optim_step(o);
    return now() - t;
}

static pitot_optim *prepared(const subject *s, int k, int *threads) {
    pitot_error error = { 0 };
    pitot_optim_source source = {
        .struct_size = sizeof source, .user = threads, .batch = batch, .squares = squares, .hvp = product, .drawn = drawn
    };
    pitot_optim *o = pitot_optim_new(methods[k].name, &error);
    if (!o || pitot_optim_offer(o, &source) || pitot_optim_set(o, "lr", "1e-6", &error)) exit(1);
    if (methods[k].option && pitot_optim_set(o, methods[k].option, methods[k].text, &error)) exit(1);
    if (pitot_optim_prepare(o, s->tensor, TENSORS, *threads, &error)) exit(1);
    return o;
}

static void measure(const subject *s, int k, int threads, double seconds) {
    static double steps[MOST], ratios[MOST], bounded[MOST];
    int64_t n = s->d * methods[k].arrays / 2;
    pitot_optim *o = prepared(s, k, &threads);
    pitot_real *a = room(n), *b = room(n);
    double limit = (double)methods[k].streams * (double)s->d / (3 * (double)n); /* of a triad's time */
    int blocks = 0;
    for (int64_t i = 0; i < n; i++) a[i] = b[i] = 1;
    for (double end = now() + seconds; (now() < end || blocks < 3) && blocks < MOST; blocks++) {
        double step[BLOCK], stream[BLOCK], root[BLOCK];
        time_triad(a, b, n, threads); /* brings the arrays into the caches */
        for (int j = 0; j < BLOCK; j++) stream[j] = time_triad(a, b, n, threads);
        for (int j = 0; j < BLOCK; j++) root[j] = methods[k].roots ? time_roots(s->d, threads) : 0;
        time_step(o);
        for (int j = 0; j < BLOCK; j++) step[j] = time_step(o);
        double least = limit * median(stream, BLOCK), of_roots = median(root, BLOCK);
        steps[blocks] = median(step, BLOCK);
        ratios[blocks] = steps[blocks] / least;
        bounded[blocks] = steps[blocks] / (least > of_roots ? least : of_roots);
    }
    printf("%s %.4f %d %.2f %.2f\n", methods[k].label, 1e3 * median(steps, blocks), methods[k].streams, median(ratios, blocks),
           median(bounded, blocks));
    fflush(stdout);
    pitot_optim_free(o);
    free(a);
    free(b);
}

int main(int argc, char **argv) {
    subject s = { .d = 0 };
    if (argc != 4 && argc != 5) return fputs("usage: optim THREADS SECONDS SCALE [METHOD]\n", stderr), 2;
    make_tensors(&s, strtoll(argv[3], NULL, 10));
    squares_kept = room(squares_size = s.d);
    for (int64_t i = 0; i < s.d; i++) squares_kept[i] = (pitot_real)0.5;
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
        if (argc == 4 || strcmp(argv[4], methods[k].label) == 0)
            measure(&s, (int)k, (int)strtol(argv[1], NULL, 10), strtod(argv[2], NULL));
    for (int k = 0; k < TENSORS; k++) {
        free(s.tensor[k].data);
        free(s.g[k]);
    }
    free(squares_kept);
    return 0;
}
