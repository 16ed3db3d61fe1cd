/* roots_newton.c: inverse p-th roots by coupled Newton iteration (Guo, Higham 2006, SIAM J. Matrix Anal. Appl. 28, equation 3.2; in Shampoo: Anil et
   al. 2020, arXiv 2002.09018), from products of matrices alone:

       z = (1+p) / (2 |M|_F),  X = z^(1/p) I,  Y = z M;   T = ((p+1) I - Y) / p,  X = X T,  Y = T^p Y,  until Y = I

   All of them are polynomials of M and commute. What is small beside |M|_F grows by ((p+1)/p)^p a turn, 2.4 for p = 4. */

#include "base/blas.h"
#include "optim/core/roots.h"

#include <math.h>

static const double GROWTH = 1.2, HOPELESS = 0.1; /* an error that grows by more ends it; one as large is no root */

typedef struct newton {
    int64_t n, p;
    double *x, *y, *t, *next, *more; /* (n,n) each; next: X T */
} newton;

static void exchange(double **a, double **b) {
    double *c = *a;
    *a = *b;
    *b = c;
}

static void multiply(int64_t n, const double *a, const double *b, double *out) {
    blas_gemm_double(0, 0, n, n, n, 1, a, n, b, n, 0, out, n);
}

/* |Y - I|_F. The largest element, by which some decide, may grow at first though every eigenvalue comes nearer to 1. */
static double distance(const newton *w) {
    double sum = 0;
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t j = 0; j < w->n; j++) {
            double off = w->y[i * w->n + j] - (i == j);
            sum += off * off;
        }
    return sqrt(sum);
}

/* T from Y; next = X T; Y = T^p Y by squares of T. */
static void turn(newton *w) {
    int64_t n = w->n;
    for (int64_t i = 0; i < n * n; i++) w->t[i] = -w->y[i] / (double)w->p;
    for (int64_t i = 0; i < n; i++) w->t[i * (n + 1)] += (double)(w->p + 1) / (double)w->p;
    multiply(n, w->x, w->t, w->next);
    for (int64_t q = w->p; q > 0; q /= 2) {
        if (q % 2) {
            multiply(n, w->t, w->y, w->more);
            exchange(&w->y, &w->more);
        }
        if (q > 1) {
            multiply(n, w->t, w->t, w->more);
            exchange(&w->t, &w->more);
        }
    }
}

/* Y = M over what bounds it, X that to the power 1/p; 0: M is zero or not finite. */
static int begin(newton *w, const pitot_real *m, double scale, double eps) {
    int64_t n = w->n;
    double squares = 0;
    for (int64_t i = 0; i < n * n; i++) {
        w->x[i] = 0;
        w->y[i] = scale * (double)m[i] + (i % (n + 1) ? 0 : eps);
        squares += w->y[i] * w->y[i];
    }
    if (!(squares > 0 && squares < INFINITY)) return 0;
    double z = (double)(1 + w->p) / (2 * sqrt(squares));
    for (int64_t i = 0; i < n * n; i++) w->y[i] *= z;
    for (int64_t i = 0; i < n; i++) w->x[i * (n + 1)] = pow(z, 1 / (double)w->p);
    return 1;
}

int64_t roots_newton_work(int64_t n) {
    return 5 * n * n;
}

int roots_newton(int64_t n, const pitot_real *m, double scale, double eps, int64_t p, double tolerance, int64_t most,
                 pitot_real *out, double *work) {
    newton w = { n, p, work, work + n * n, work + 2 * n * n, work + 3 * n * n, work + 4 * n * n };
    if (!begin(&w, m, scale, eps)) return 1;
    double error = distance(&w);
    for (int64_t k = 0; k < most && error > tolerance; k++) {
        turn(&w);
        double now = distance(&w);
        if (!(now <= GROWTH * error)) break;
        exchange(&w.x, &w.next);
        error = now;
    }
    if (!(error <= HOPELESS)) return 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) out[i * n + j] = out[j * n + i] = (pitot_real)((w.x[i * n + j] + w.x[j * n + i]) / 2);
    return 0;
}
