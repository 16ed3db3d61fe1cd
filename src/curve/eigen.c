/* eigen.c: see eigen.h. */

#include "curve/eigen.h"

#include <math.h>

enum { MOST_SWEEPS = 60 };

typedef double row[EIGEN_MOST];

static void rotate_columns(row *m, int n, int p, int q, double c, double s) {
    for (int i = 0; i < n; i++) {
        double x = m[i][p], y = m[i][q];
        m[i][p] = c * x - s * y;
        m[i][q] = s * x + c * y;
    }
}

static void rotate_rows(row *m, int n, int p, int q, double c, double s) {
    for (int i = 0; i < n; i++) {
        double x = m[p][i], y = m[q][i];
        m[p][i] = c * x - s * y;
        m[q][i] = s * x + c * y;
    }
}

/* Makes a[p][q] zero; returns 0 if it is negligible already. */
static int annihilate(row *a, row *s, int n, int p, int q, double negligible) {
    double off = a[p][q];
    if (fabs(off) <= negligible) return 0;
    double tau = (a[q][q] - a[p][p]) / (2 * off), t = (tau < 0 ? -1 : 1) / (fabs(tau) + hypot(1, tau)), c = 1 / hypot(1, t);
    rotate_columns(a, n, p, q, c, t * c);
    rotate_rows(a, n, p, q, c, t * c);
    a[p][q] = a[q][p] = 0;
    rotate_columns(s, n, p, q, c, t * c);
    return 1;
}

static void swap_pairs(row *s, double *value, int n, int i, int j) {
    double v = value[i];
    value[i] = value[j];
    value[j] = v;
    for (int k = 0; k < n; k++) {
        v = s[k][i];
        s[k][i] = s[k][j];
        s[k][j] = v;
    }
}

static void sort(row *s, double *value, int n) {
    for (int i = 0; i < n; i++) {
        int least = i;
        for (int j = i + 1; j < n; j++)
            if (value[j] < value[least]) least = j;
        if (least != i) swap_pairs(s, value, n, i, least);
    }
}

void eigen_symmetric(int n, double a[EIGEN_MOST][EIGEN_MOST], double value[EIGEN_MOST], double s[EIGEN_MOST][EIGEN_MOST]) {
    double largest = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            s[i][j] = i == j;
            largest = fmax(largest, fabs(a[i][j]));
        }
    int left = n > 1;
    for (int sweep = 0; left && sweep < MOST_SWEEPS; sweep++) {
        left = 0;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) left |= annihilate(a, s, n, p, q, 0x1p-58 * largest);
    }
    for (int i = 0; i < n; i++) value[i] = a[i][i];
    sort(s, value, n);
}
