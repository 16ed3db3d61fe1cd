/* tridiagonal.c: see tridiagonal.h. d: diagonal, e: below it, z: first row of the eigenvectors so far. */

#include "curve/tridiagonal.h"

#include <float.h>
#include <math.h>

enum { MOST_SWEEPS = 80 };

/* The first row from `low` on behind which the matrix falls apart. */
static int block_end(const double *d, const double *e, int low, int m, double negligible) {
    int i = low;
    while (i < m - 1 && !(fabs(e[i]) <= DBL_EPSILON * (fabs(d[i]) + fabs(d[i + 1])) || fabs(e[i]) <= negligible)) i++;
    return i;
}

/* One implicitly shifted sweep over rows low to high; Wilkinson's shift. */
static void sweep(double *d, double *e, double *z, int low, int high) {
    double g = (d[low + 1] - d[low]) / (2 * e[low]), s = 1, c = 1, p = 0;
    g = d[high] - d[low] + e[low] / (g + copysign(hypot(g, 1), g));
    for (int i = high - 1; i >= low; i--) {
        double f = s * e[i], b = c * e[i], r = hypot(f, g);
        e[i + 1] = r;
        if (r <= 0) { /* fell apart on the way */
            d[i + 1] -= p;
            e[high] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        f = z[i + 1];
        z[i + 1] = s * z[i] + c * f;
        z[i] = c * z[i] - s * f;
    }
    d[low] -= p;
    e[low] = g;
    e[high] = 0;
}

static void sort(double *d, double *z, int m) {
    for (int i = 1; i < m; i++) {
        double value = d[i], part = z[i];
        int j = i;
        for (; j > 0 && d[j - 1] > value; j--) d[j] = d[j - 1], z[j] = z[j - 1];
        d[j] = value;
        z[j] = part;
    }
}

int tridiagonal_rule(int m, double *node, double *weight, double *work) {
    double size = 0, sum = 0;
    for (int i = 0; i < m; i++) {
        work[i] = i == 0;
        if (i == m - 1) weight[i] = 0;
        if (!isfinite(node[i]) || !isfinite(weight[i])) return 0;
        size = fmax(size, fmax(fabs(node[i]), fabs(weight[i])));
    }
    for (int low = 0; low < m; low++) {
        int sweeps = 0;
        for (;;) {
            int high = block_end(node, weight, low, m, 0x1p-58 * size);
            if (high == low) break;
            if (++sweeps > MOST_SWEEPS) return 0;
            sweep(node, weight, work, low, high);
        }
    }
    sort(node, work, m);
    for (int i = 0; i < m; i++) sum += work[i] * work[i];
    for (int i = 0; i < m; i++) weight[i] = work[i] * work[i] / sum;
    return 1;
}
