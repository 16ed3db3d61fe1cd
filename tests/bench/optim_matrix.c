/* optim_matrix.c: what steps of methods on matrices cost, and where the time goes, on a model file and made-up samples:

       optim_matrix MODEL BATCH THREADS SECONDS [METHOD]

   prints two lines for each method, one of steps that leave decompositions (or the fitting of factors) out, one of steps that have them; the
   first of both is made before the clock runs:

       NAME often|seldom PERIOD SGD STEP OPTIM FACTORS DECOMPOSITIONS PRECONDITIONING PASSES REST NEEDED SLOWER OVER

   PERIOD: of steps, one has the second kind's work, by default. Milliseconds: a whole step (forward, backward, update) of SGD and of the method,
   medians of steps in turn; of the method's, its update, and means of what is in it, by the clock: updates of factors and of second moments in
   their bases, decompositions, preconditioning (with SOAP's turning of averages, and EKFAC's of rows where it shares them), passes through the
   net, and the rest. PSGD's factors are what its update has more than one without them. NEEDED: passes, products and decompositions, one after the
   other, as the same calls alone take them right after each step, from caches that one such call before has filled; decompositions of the same
   matrices, on one thread. SLOWER: a step of the method over SGD's, OVER: its update over what is needed, medians of these ratios in turn.
   PITOT_PARTS in the environment shows products and decompositions call by call.

   The linker puts watched calls in the place of those of base/blas.h and of the methods' parts (Makefile: -Wl,--wrap). */

#include "bench.h"

#include "base/blas.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/newton_schulz.h"
#include "optim/core/optimizer.h"
#include "optim/core/renewal.h"
#include "optim/core/singd.h"

#include <string.h>

enum { MOST = 4000, CALLS = 512 };
enum { GEMM, TRSM, SYRK, GRAM, INVERSE, EIGEN, ORTHONORMAL, PASS };

static const struct {
    const char *title, *name, *often, *seldom; /* options */
    int period;
} methods[] = {
    { "muon", "muon", "", "", 1 },
    { "shampoo", "shampoo", "precondition_frequency=1000000", "precondition_frequency=1", 1 },
    { "soap", "soap", "precondition_frequency=1000000", "precondition_frequency=1", 10 },
    { "eshampoo", "eshampoo", "precondition_frequency=1000000", "precondition_frequency=1", 1 },
    { "psgd_kron", "psgd_kron", "preconditioner_update_probability=0", "preconditioner_update_probability=1", 1 },
    { "kfac", "kfac", "T_first=0 T_inv=1000000", "T_first=0 T_inv=1", 20 },
    { "ekfac", "ekfac", "update_freq=1000000", "update_freq=1", 1 },
    { "singd", "singd", "T=1000000", "T=1", 10 },
    { "singd_diagonal", "singd", "structure=diagonal T=1000000", "structure=diagonal T=1", 10 },
};

/* ---- calls, watched ---- */

typedef struct call {
    int64_t kind, a, b, m, n, k; /* a, b: whether transposed, or what the call has else */
    int64_t count, now;          /* of all steps; of this one */
    double seconds, spent;       /* of all steps; of this one */
    double alone;                /* of all steps: with nothing else around */
    double *matrix;              /* (n,n): what was decomposed; or NULL */
} call;

static call calls[CALLS];
static int n_calls, watching;
static double looking; /* seconds spent in keeping matrices */

static call *call_of(const call *like, const double *matrix) {
    int i = 0;
    for (; i < n_calls; i++)
        if (memcmp(&calls[i], like, offsetof(call, count)) == 0) return &calls[i];
    if (n_calls == CALLS) exit(1);
    n_calls++;
    calls[i] = *like;
    if (matrix) {
        double t = now();
        size_t bytes = (size_t)(like->n * like->n) * sizeof *matrix;
        calls[i].matrix = malloc(bytes);
        if (!calls[i].matrix) exit(1);
        memcpy(calls[i].matrix, matrix, bytes);
        looking += now() - t;
    }
    return &calls[i];
}

/* Before and after a call; `at` goes from one to the other. */
static double begin(const call *like, const double *matrix) {
#pragma omp critical(calls)
    call_of(like, matrix);
    return now();
}

static void end(const call *like, double at) {
    double t = now() - at;
#pragma omp critical(calls)
    {
        call *c = call_of(like, NULL);
        c->count++;
        c->now++;
        c->seconds += t;
        c->spent += t;
    }
}

#define WATCH(call_, matrix, ...)                    \
    const call like = call_;                         \
    double at = watching ? begin(&like, matrix) : 0; \
    __VA_ARGS__;                                     \
    if (watching) end(&like, at)
#define CALL(...) ((call){ __VA_ARGS__, 0, 0, 0, 0, 0, NULL })

void __real_blas_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda,
                      const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc);
void __wrap_blas_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda,
                      const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc);
void __real_blas_syrk(int trans, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda, double beta, pitot_real *c,
                      int64_t ldc);
void __wrap_blas_syrk(int trans, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda, double beta, pitot_real *c,
                      int64_t ldc);
void __real_blas_trsm(int right, int trans, int64_t m, int64_t n, const pitot_real *a, pitot_real *b, int64_t ldb);
void __wrap_blas_trsm(int right, int trans, int64_t m, int64_t n, const pitot_real *a, pitot_real *b, int64_t ldb);
int __real_blas_orthonormal(int64_t n, pitot_real *a, pitot_real *r, pitot_real *work);
int __wrap_blas_orthonormal(int64_t n, pitot_real *a, pitot_real *r, pitot_real *work);
int __real_blas_inverse(int64_t n, double *a);
int __wrap_blas_inverse(int64_t n, double *a);
void __real_blas_gram(int64_t n, int64_t k, const double *a, int add, double *g);
void __wrap_blas_gram(int64_t n, int64_t k, const double *a, int add, double *g);
int __real_blas_eigenvectors(int64_t n, double *a, double *value, double *work);
int __wrap_blas_eigenvectors(int64_t n, double *a, double *value, double *work);

void __wrap_blas_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda,
                      const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc) {
    WATCH(CALL(GEMM, ta, tb, m, n, k), NULL, __real_blas_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc));
}

void __wrap_blas_syrk(int trans, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda, double beta, pitot_real *c,
                      int64_t ldc) {
    WATCH(CALL(SYRK, trans, 0, n, n, k), NULL, __real_blas_syrk(trans, n, k, alpha, a, lda, beta, c, ldc));
}

void __wrap_blas_trsm(int right, int trans, int64_t m, int64_t n, const pitot_real *a, pitot_real *b, int64_t ldb) {
    WATCH(CALL(TRSM, right, trans, m, n, right ? n : m), NULL, __real_blas_trsm(right, trans, m, n, a, b, ldb));
}

int __wrap_blas_orthonormal(int64_t n, pitot_real *a, pitot_real *r, pitot_real *work) {
    int failed;
    WATCH(CALL(ORTHONORMAL, r != NULL, 0, n, n, n), NULL, failed = __real_blas_orthonormal(n, a, r, work));
    return failed;
}

int __wrap_blas_inverse(int64_t n, double *a) {
    int failed;
    WATCH(CALL(INVERSE, 0, 0, n, n, n), a, failed = __real_blas_inverse(n, a));
    return failed;
}

void __wrap_blas_gram(int64_t n, int64_t k, const double *a, int add, double *g) {
    WATCH(CALL(GRAM, 0, 0, n, n, k), NULL, __real_blas_gram(n, k, a, add, g));
}

int __wrap_blas_eigenvectors(int64_t n, double *a, double *value, double *work) {
    int failed;
    WATCH(CALL(EIGEN, 0, 0, n, n, n), a, failed = __real_blas_eigenvectors(n, a, value, work));
    return failed;
}

/* ---- parts of an update, watched ---- */

enum { FACTORS, DECOMPOSITIONS, PRECONDITIONING, PARTS };

static double part[PARTS], passes, since; /* seconds, of all steps; when the part that is going on began */
static int going_on = PARTS;              /* PARTS: none of them */

/* Passes through the net count by themselves. */
static void change_to(int which) {
    double t = now() - passes;
    if (going_on < PARTS) part[going_on] += t - since;
    since = t;
    going_on = which;
}

/* A part within another one is not the other's. */
#define PART(which, result, name, parameters, arguments) \
    result __real_##name parameters;                     \
    result __wrap_##name parameters;                     \
    result __wrap_##name parameters {                    \
        int before = going_on;                           \
        change_to(which);                                \
        result is = __real_##name arguments;             \
        change_to(before);                               \
        return is;                                       \
    }
#define PART_VOID(which, name, parameters, arguments) \
    void __real_##name parameters;                    \
    void __wrap_##name parameters;                    \
    void __wrap_##name parameters {                   \
        int before = going_on;                        \
        change_to(which);                             \
        __real_##name arguments;                      \
        change_to(before);                            \
    }

PART(FACTORS, int32_t, kronecker_average, (kronecker_job * j), (j))
PART(FACTORS, int32_t, kronecker_moments, (kronecker_job * j), (j))
PART_VOID(FACTORS, kronecker_squares,
          (const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t group, pitot_real *sum), (j, l, c, group, sum))
PART_VOID(FACTORS, kronecker_add_squares,
          (const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t n, pitot_real *sum), (j, l, c, n, sum))
PART(DECOMPOSITIONS, int, kronecker_renew, (kronecker_job * j, int due), (j, due))
PART(PRECONDITIONING, int32_t, kronecker_direction, (kronecker_job * j, const layer *l), (j, l))
PART(FACTORS, int32_t, singd_renew, (singd_job * j), (j))
PART(PRECONDITIONING, int32_t, singd_direction, (singd_job * j, const layer *l), (j, l))
PART_VOID(FACTORS, blocks_gather, (const blocks *b, const pitot_real *g, double keep, double add, void *const factors[2]),
          (b, g, keep, add, factors))
PART_VOID(FACTORS, block_gather, (const block *k, int side, const pitot_real *g, double keep, double add, pitot_real *factors),
          (k, side, g, keep, add, factors))
PART_VOID(DECOMPOSITIONS, renewal_run, (const renewal *r, const pitot_stepping *s, int64_t at_byte), (r, s, at_byte))
PART_VOID(DECOMPOSITIONS, renewal_step,
          (const renewal *r, const pitot_stepping *s, int64_t at_byte, void (*take)(const pitot_stepping *s)),
          (r, s, at_byte, take))
PART_VOID(PRECONDITIONING, block_apply,
          (const block *k, int trans, const pitot_real *left, const pitot_real *right, const pitot_real *x, pitot_real *out,
           pitot_real *work),
          (k, trans, left, right, x, out, work))
PART(PRECONDITIONING, pitot_real *, newton_schulz,
     (int64_t rows, int64_t cols, int steps, double eps, pitot_real *x, pitot_real *work), (rows, cols, steps, eps, x, work))

static int32_t (*net_send)(void *user, int32_t root, uint64_t seed, int64_t column);

static int32_t send(void *user, int32_t root, uint64_t seed, int64_t column) {
    const call like = CALL(PASS, 0, 0, 0, 0, 0);
    int before = watching;
    watching = 0;
    double at = now();
    int32_t status = net_send(user, root, seed, column);
    watching = before;
    passes += now() - at;
    if (watching) end(&like, at);
    return status;
}

/* ---- calls, alone ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static pitot_real *values(int64_t n) {
    pitot_real *x = values_of(n);
    make_up(x, n);
    return x;
}

static struct {
    int64_t size, more; /* values */
    pitot_real *x, *y, *z;
    double *a, *work;
} room;

/* Room for call c: side^2 values each, what LAPACK takes in `work`. */
static void make_room(const call *c) {
    int64_t side = larger(c->k, larger(c->m, c->n)), size = larger(side * side, 64);
    if (size <= room.size) return;
    free(room.x);
    free(room.y);
    free(room.z);
    free(room.a);
    free(room.work);
    room.size = size;
    room.more = 3 * size + 64 * side + 64;
    room.x = values(size);
    room.y = values(size);
    room.z = values(size);
    room.a = calloc((size_t)size, sizeof *room.a);
    room.work = calloc((size_t)room.more, sizeof *room.work);
    if (!room.a || !room.work) exit(1);
}

/* What a call overwrites, as it is to be before. */
static void fill_room(const call *c) {
    int64_t size = c->n * c->n;
    if (c->kind == INVERSE || c->kind == EIGEN) memcpy(room.a, c->matrix, (size_t)size * sizeof *room.a);
    if (c->kind == GRAM)
        for (int64_t i = 0; i < c->k * c->n; i++) room.a[i] = (double)room.y[i];
    if (c->kind == TRSM)
        for (int64_t i = 0, n = c->k; i < n * n; i++) room.x[i] = (pitot_real)(i % (n + 1) == 0);
    if (c->kind == ORTHONORMAL || c->kind == TRSM)
        memcpy(room.z, room.y, (size_t)(c->kind == TRSM ? c->m * c->n : size) * sizeof *room.z);
}

static double time_call(const call *c) {
    int64_t m = c->m, n = c->n, k = c->k;
    int ta = (int)c->a, tb = (int)c->b;
    pitot_real *x = room.x, *y = room.y, *z = room.z;
    double *a = room.a, *work = room.work, t = now();
    if (c->kind == GEMM) __real_blas_gemm(ta, tb, m, n, k, 1e-3, x, ta ? m : k, y, tb ? k : n, 0, z, n);
    if (c->kind == SYRK) __real_blas_syrk(ta, n, k, 1e-3, x, ta ? n : k, 0, z, n);
    if (c->kind == TRSM) __real_blas_trsm(ta, tb, m, n, x, z, n);
    if (c->kind == ORTHONORMAL) __real_blas_orthonormal(n, z, c->a ? y : NULL, (pitot_real *)work);
    if (c->kind == INVERSE) __real_blas_inverse(n, a);
    if (c->kind == GRAM) __real_blas_gram(n, k, a, 0, work);
    if (c->kind == EIGEN) __real_blas_eigenvectors(n, a, work, work + n);
    return now() - t;
}

/* Seconds of one such call: the mean of `most`. Products are made once before. */
static double time_alone(const call *c, int64_t most) {
    double sum = 0;
    if (c->kind == PASS) return c->spent / (double)c->now;
    make_room(c);
    fill_room(c);
    if (c->kind <= SYRK) time_call(c);
    for (int64_t i = 0; i < most; i++) {
        if (c->kind > SYRK || c->kind == TRSM) fill_room(c);
        sum += time_call(c);
    }
    return sum / (double)most;
}

/* Of the step that was made last; forgets what it did. */
static double needed(void) {
    enum { AT_MOST = 4 };
    double sum = 0;
    for (int i = 0; i < n_calls; i++) {
        call *c = &calls[i];
        if (!c->now) continue;
        double t = (double)c->now * time_alone(c, c->now < AT_MOST ? c->now : AT_MOST);
        c->alone += t;
        sum += t;
        c->now = 0;
        c->spent = 0;
    }
    return sum;
}

static void forget(int all) {
    for (int i = 0; i < n_calls; i++) {
        calls[i].count = calls[i].now = 0;
        calls[i].seconds = calls[i].spent = calls[i].alone = 0;
        if (all) free(calls[i].matrix);
    }
    if (all) n_calls = 0;
    looking = 0;
    memset(part, 0, sizeof part);
    passes = 0;
}

/* PITOT_PARTS in the environment: call by call. */
static void show_calls(int steps) {
    static const char *const names[] = { "gemm", "trsm", "syrk", "gram", "inverse", "eigen", "orthonormal", "pass" };
    for (int i = 0; i < n_calls; i++) {
        const call *c = &calls[i];
        if (c->count)
            fprintf(stderr, "  %-12s %d %d %5d %5d %5d  %6.1f a step  %9.4f ms, alone %9.4f ms\n", names[c->kind], (int)c->a,
                    (int)c->b, (int)c->m, (int)c->n, (int)c->k, (double)c->count / steps, 1e3 * c->seconds / (double)c->count,
                    1e3 * c->alone / (double)c->count);
    }
}

/* ---- steps ---- */

static double watched_step(const setup *u, pitot_optim *optim, double *update) {
    double both = both_passes(u->net, &u->batch), at = now();
    watching = 1;
    int32_t status = pitot_optim_step(optim);
    watching = 0;
    if (status) fprintf(stderr, "a step failed: %d\n", status);
    *update = now() - at;
    return both + *update;
}

static pitot_optim *make_method(const char *name, const char *options, pitot_provided *p, const setup *u) {
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(name, &error);
    char text[256];
    snprintf(text, sizeof text, "%s lr=1e-7", options);
    for (char *option = strtok(text, " "); o && option; option = strtok(NULL, " ")) {
        char *value = strchr(option, '=');
        *value = 0;
        if (pitot_optim_set(o, option, value + 1, &error)) exit(fprintf(stderr, "%s\n", error.text));
    }
    if (!o || pitot_provide_prepare(p, u->net, o, u->threads, &error)) exit(fprintf(stderr, "%s\n", error.text));
    net_send = o->source.send;
    o->source.send = send;
    return o;
}

/* Of n updates that took `sum` seconds, all of a kind: those without the fitting of factors come first. */
static void part_by_difference(int fits, int n, double sum) {
    static double without;
    if (!fits) without = sum / n;
    part[PRECONDITIONING] = without * n;
    part[FACTORS] = sum - part[PRECONDITIONING];
}

static void measure(int k, int seldom, const setup *u, pitot_optim *sgd) {
    static double plain[MOST], whole[MOST], update[MOST], need[MOST], slower[MOST], over[MOST];
    pitot_provided p = { .struct_size = sizeof p };
    pitot_optim *o = make_method(methods[k].name, seldom ? methods[k].seldom : methods[k].often, &p, u);
    int n = 0;
    double sum = 0;
    watched_step(u, o, update);
    forget(0);
    for (double t = now() + u->seconds; (now() < t || n < 3) && n < MOST; n++) {
        one_step(u->net, &u->batch, sgd);
        plain[n] = one_step(u->net, &u->batch, sgd);
        whole[n] = watched_step(u, o, &update[n]) - looking;
        update[n] -= looking;
        looking = 0;
        sum += update[n];
        need[n] = needed();
        slower[n] = whole[n] / plain[n];
        over[n] = need[n] > 0 ? update[n] / need[n] : 0;
    }
    double by = 1e3 / n, rest = sum - passes;
    if (strcmp(methods[k].name, "psgd_kron") == 0) part_by_difference(seldom, n, sum);
    for (int i = 0; i < PARTS; i++) rest -= part[i];
    if (getenv("PITOT_PARTS")) show_calls(n);
    printf("%s %s %d %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f\n", methods[k].title, seldom ? "seldom" : "often",
           methods[k].period, 1e3 * median(plain, n), 1e3 * median(whole, n), 1e3 * median(update, n), by * part[FACTORS],
           by * part[DECOMPOSITIONS], by * part[PRECONDITIONING], by * passes, by * rest, 1e3 * median(need, n), median(slower, n),
           median(over, n));
    fflush(stdout);
    forget(1);
    pitot_optim_free(o);
    pitot_provide_end(&p);
}

int main(int argc, char **argv) {
    setup u = set_up(argc, argv, 4, 5, "optim_matrix MODEL BATCH THREADS SECONDS [METHOD]", 0);
    pitot_optim *sgd = make_optim("sgd", u.net, u.threads);
    pitot_optim_set(sgd, "lr", "1e-7", NULL);
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
        for (int seldom = 0; seldom < 2; seldom++)
            if ((argc == 5 || strcmp(argv[5], methods[k].title) == 0) && (!seldom || methods[k].seldom[0]))
                measure((int)k, seldom, &u, sgd);
    pitot_optim_free(sgd);
    clear_up(&u);
    return 0;
}
