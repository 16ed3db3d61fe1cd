/* own_shampoo.c: somebody's own Shampoo, in plain loops, shows pitot its two factors and the roots that it is using ("// pitot P"), and is told
   how stale they are, what that loses and how often to renew them: `own_shampoo [FOLDER [INTERVAL]]`, INTERVAL the steps between roots.
   What is lost is of the update's direction, whatever its length: its factors are sums, and old roots of sums also make longer steps. */

#include "pitot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 128, OUT = 12, IN = 20, STEPS = 200, MOST = IN > OUT ? IN : OUT };

static float x[N][IN], y[N][OUT], f[N][OUT], W[OUT][IN], g[OUT][IN];
static float L[OUT * OUT], R[IN * IN], rootL[OUT * OUT],
    rootR[IN * IN]; /* sums of G G' and G'G; their -1/4th powers, now and then */

static float noise(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1;
}

static void make_data(void) {
    unsigned s = 1;
    for (int n = 0; n < N; n++) {
        for (int j = 0; j < IN; j++) x[n][j] = noise(&s) / (float)(1 + j);
        for (int i = 0; i < OUT; i++) y[n][i] = sinf((float)(i + 1) * x[n][0] + 3 * x[n][i % IN]);
    }
}

static double gradient(void) {
    double loss = 0;
    for (int k = 0; k < OUT * IN; k++) g[k / IN][k % IN] = 0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < OUT; i++) {
            f[n][i] = -y[n][i];
            for (int j = 0; j < IN; j++) f[n][i] += W[i][j] * x[n][j];
            loss += (double)(f[n][i] * f[n][i]) / N;
            for (int j = 0; j < IN; j++) g[i][j] += 2 * f[n][i] * x[n][j] / N;
        }
    return loss;
}

static void multiply(int n, const double *a, const double *b, double *c) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            c[i * n + j] = 0;
            for (int k = 0; k < n; k++) c[i * n + j] += a[i * n + k] * b[k * n + j];
        }
}

/* X = (A + damping)^(-1/4) by the coupled Newton iteration: M -> 1 as X -> the root. */
static void root(int n, const float *A, double damping, float *out) {
    static double X[MOST * MOST], M[MOST * MOST], T[MOST * MOST], a[MOST * MOST], b[MOST * MOST];
    double trace = 0;
    for (int i = 0; i < n; i++) trace += (double)A[i * n + i] + damping;
    for (int k = 0; k < n * n; k++) {
        int same = k % (n + 1) == 0;
        M[k] = ((double)A[k] + (same ? damping : 0)) / trace;
        X[k] = same ? pow(trace, -0.25) : 0;
    }
    for (int step = 0; step < 60; step++) {
        for (int k = 0; k < n * n; k++) T[k] = ((k % (n + 1) == 0 ? 5 : 0) - M[k]) / 4;
        multiply(n, X, T, a);
        for (int k = 0; k < n * n; k++) X[k] = a[k];
        multiply(n, T, T, a);
        multiply(n, a, a, b);
        multiply(n, b, M, a);
        for (int k = 0; k < n * n; k++) M[k] = a[k];
    }
    for (int k = 0; k < n * n; k++) out[k] = (float)X[k];
}

static void update(int step, int interval, float lr) {
    static float t[OUT][IN];
    for (int i = 0; i < OUT; i++)
        for (int k = 0; k < OUT; k++)
            for (int j = 0; j < IN; j++) L[i * OUT + k] += g[i][j] * g[k][j];
    for (int j = 0; j < IN; j++)
        for (int k = 0; k < IN; k++)
            for (int i = 0; i < OUT; i++) R[j * IN + k] += g[i][j] * g[i][k];
    if (step % interval == 0) {
        root(OUT, L, 1e-4, rootL);
        root(IN, R, 1e-4, rootR);
    }
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < IN; j++) {
            t[i][j] = 0;
            for (int k = 0; k < OUT; k++) t[i][j] += rootL[i * OUT + k] * g[k][j];
        }
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < IN; j++)
            for (int k = 0; k < IN; k++) W[i][j] -= lr * t[i][k] * rootR[k * IN + j];
}

/* What the update multiplies by: (factor + damping)^power on each axis, and the root that stands for it since step `computed`. */
static void show(pitot_run *run, int32_t w, int64_t computed) {                                               // pitot P
    pitot_preconditioner p = { sizeof p, .param = w, .power = -0.25, .damping = 1e-4, .computed = computed }; // pitot P
    p.axis = 0, p.n = OUT, p.factor = L, p.inverse = rootL;                                                   // pitot P
    pitot_add_preconditioner(run, &p);                                                                        // pitot P
    p.axis = 1, p.n = IN, p.factor = R, p.inverse = rootR;                                                    // pitot P
    pitot_add_preconditioner(run, &p);                                                                        // pitot P
} // pitot P

static double value(const pitot_run *run, const char *name) {
    double v = NAN;
    int64_t step;
    pitot_value(run, name, &v, &step);
    return v;
}

int main(int argc, char **argv) {
    int interval = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 50;
    if (interval < 1) return fprintf(stderr, "own_shampoo: the interval is a number of steps, 1 or more\n"), 2;
    make_data();
    pitot_run *run = pitot_open(argc > 1 ? argv[1] : "runs/own_shampoo",
                                &(pitot_config){ sizeof(pitot_config), .probes = "loss,precond_staleness@10" });
    int32_t w = pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "W", W, g, .shape = { OUT, IN } });
    printf("step     loss    stale  inverse error  angle    lost  refresh every\n");
    for (int step = 0; step < STEPS; step++) {
        pitot_begin(run, step);
        double loss = gradient();
        pitot_after_forward(run, &(pitot_batch){ sizeof(pitot_batch), .n = N, .loss = loss });
        if (step) show(run, w, (step - 1) / interval * interval); // pitot P
        pitot_after_backward(run);
        if (step % 20 == 0 && step >= 40)
            printf("%4d  %.5f  %3.0f steps  %11.3g  %4.1f°  %5.1f%%  %8.0f steps\n", step, loss,
                   value(run, "precond_staleness.age"), value(run, "precond_staleness.inverse_error"),
                   value(run, "precond_staleness.angle"), 100 * value(run, "precond_staleness.lost"),
                   value(run, "precond_staleness.interval"));
        update(step, interval, 0.1f);
        pitot_after_update(run, 0.1);
    }
    printf("end   %.5f\n", gradient());
    pitot_close(run, PITOT_DONE);
    return 0;
}
