/* spectra.c: what eigenvalues and densities of the Hessian of a model file cost, on normally distributed samples with random classes, weights as
   initialised:

       spectra MODEL BATCH THREADS SECONDS   prints: gradient ms; a product ms, of 8 vectors one by one, and its share of the sgemm rate
                                             seen in the same process; ms of each of those 8 products asked for at once; the ten largest
                                             eigenvalues with residuals of 1e-3 of the largest: ms, products, how many converged; 100
                                             Lanczos steps of a density: ms without reorthogonalisation, ms with all of it (medians, in turn)

   Public API only. */

#include "bench.h"

#include <math.h>
#include <string.h>

enum { MOST = 1000, TOP = 10, VECTORS = 103, STEPS = 100, TOGETHER = 8 };

/* Uniform in (0,1); standard normal. */
static double draw(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 33) + 0.5) / 2147483648.0;
}

static double draw_normal(uint64_t *state) {
    double r = sqrt(-2 * log(draw(state)));
    return r * cos(2 * M_PI * draw(state));
}

typedef struct bench {
    pitot_point *point;
    pitot_linop op;
    pitot_real *basis, *work; /* (TOP,n), (STEPS+3,n) */
    int64_t products;
    int converged;
} bench;

static double gradient(bench *b) {
    double t = now(), loss;
    pitot_point_changed(b->point);
    if (pitot_point_gradient(b->point, &loss, NULL)) exit(1);
    pitot_point_gradient(b->point, &loss, b->basis);
    return now() - t;
}

static double products(bench *b, int64_t k) {
    double t = now();
    if (b->op.apply(b->op.self, b->basis, b->work, k)) exit(1);
    return (now() - t) / (double)k;
}

/* The same vectors, one call each. */
static double one_by_one(bench *b) {
    double t = now();
    for (int64_t j = 0; j < TOGETHER; j++)
        if (b->op.apply(b->op.self, b->basis + j * b->op.n, b->work + j * b->op.n, 1)) exit(1);
    return (now() - t) / TOGETHER;
}

static double top(bench *b) {
    pitot_eigenpair pair[TOP];
    pitot_lanczos how = { .struct_size = sizeof how, .tolerance = 1e-3, .products = 2000, .vectors = VECTORS, .work = b->work };
    double t = now();
    memset(b->basis, 0, (size_t)(TOP * b->op.n) * sizeof *b->basis);
    if (pitot_lanczos_top(&b->op, &how, TOP, b->basis, pair, &b->products)) exit(1);
    t = now() - t;
    b->converged = 0;
    for (int i = 0; i < TOP; i++) b->converged += pair[i].converged;
    return t;
}

static double density(bench *b, int32_t reorthogonalise) {
    static double node[STEPS], weight[STEPS];
    int32_t used;
    pitot_quadrature q = { .struct_size = sizeof q, .node = node, .weight = weight, .used = &used };
    pitot_quadrature_config c = {
        .struct_size = sizeof c, .steps = STEPS, .draws = 1, .reorthogonalise = reorthogonalise, .work = b->work
    };
    double t = now();
    if (pitot_quadrature_run(&b->op, &c, &q, NULL)) exit(1);
    return now() - t;
}

static void measure(bench *b, double flops, double seconds) {
    static double times[6][MOST];
    int n = 0;
    for (double end = now() + seconds; (now() < end || n < 1) && n < MOST; n++) {
        times[0][n] = gradient(b);
        products(b, 1);
        times[1][n] = one_by_one(b);
        times[2][n] = products(b, TOGETHER);
        times[3][n] = top(b);
        times[4][n] = density(b, PITOT_REORTH_NONE);
        times[5][n] = density(b, PITOT_REORTH_FULL);
    }
    double product = 1e3 * median(times[1], n);
    printf("%.3f %.3f %.3f %.3f %.1f %lld %d %.1f %.1f\n", 1e3 * median(times[0], n), product,
           flops / (1e6 * product) / best_rate(), 1e3 * median(times[2], n), 1e3 * median(times[3], n), (long long)b->products,
           b->converged, 1e3 * median(times[4], n), 1e3 * median(times[5], n));
}

int main(int argc, char **argv) {
    bench b = { 0 };
    pitot_error error = { 0 };
    setup s = set_up(argc, argv, 4, 4, "spectra MODEL BATCH THREADS SECONDS", 0);
    int64_t n = s.batch.n, d = s.facts.parameters;
    uint64_t state = 1;
    for (int64_t i = 0; i < n * s.facts.input; i++) ((pitot_real *)s.batch.x)[i] = (pitot_real)draw_normal(&state);
    for (int64_t i = 0; i < n; i++) ((int32_t *)s.batch.classes)[i] = (int32_t)(draw(&state) * (double)s.facts.output);
    s.batch.training = 0;
    b.basis = values_of(TOP * d);
    b.work = values_of((STEPS + 3) * d);
    b.point = pitot_point_new(&(pitot_point_config){ .struct_size = sizeof(pitot_point_config), .net = s.net, .batch = &s.batch },
                              &error);
    or_end(&error, b.point && pitot_point_operator(b.point, PITOT_OP_HESSIAN, &b.op) == PITOT_OK);
    measure(&b, 2 * s.facts.step_flops * (double)n, s.seconds);
    pitot_point_free(b.point);
    clear_up(&s);
    free(b.basis);
    free(b.work);
    return 0;
}
