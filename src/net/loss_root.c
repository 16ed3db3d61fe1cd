/* loss_root.c: roots S of the losses' Hessians in the outputs, S S' = d2 l / df2, column by column, and columns drawn at random. In double
   up to the result. */

#include "base/random.h"
#include "net/net.h"

#include <math.h>

/* ---- exact ---- */

/* softmax_c = exp(f_c - most) / sum; returns the sum from class `from` on. */
static double rest_of(int64_t c, const pitot_real *f, double most, int64_t from) {
    double sum = 0;
    for (int64_t i = c - 1; i >= from; i--) sum += exp((double)f[i] - most);
    return sum;
}

/* NaN, if there is one, so that it reaches everything. */
static double largest(int64_t c, const pitot_real *f) {
    double most = (double)f[0];
    for (int64_t i = 1; i < c; i++)
        if (!((double)f[i] <= most) && most == most) most = (double)f[i];
    return most;
}

/* The Cholesky factor of diag p - p p', with r_j = p_j + ... + p_C the probability of what is left:
   s_j = sqrt(p_j r_j+1 / r_j) at j, - p_i sqrt(p_j / (r_j r_j+1)) at i > j; the C-th column is 0. Nothing is subtracted. */
void root_cross_entropy(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s) {
    double most = largest(c, f), sum = rest_of(c, f, most, 0);
    for (int64_t j = from; j < to; j++, s += c) {
        double p = exp((double)f[j] - most), left = rest_of(c, f, most, j + 1);
        double all = p + left, below = left == 0 ? 0 : sqrt(p / all) / sqrt(left);
        for (int64_t i = 0; i < j; i++) s[i] = 0;
        s[j] = (pitot_real)(left * below / sqrt(sum));
        for (int64_t i = j + 1; i < c; i++) s[i] = (pitot_real)(-exp((double)f[i] - most) * below / sqrt(sum));
    }
}

static void one_place(int64_t c, int64_t column, double value, pitot_real *s) {
    for (int64_t i = 0; i < c; i++) s[i] = 0;
    s[column] = (pitot_real)value;
}

/* 2/C I */
void root_mse(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s) {
    for (int64_t j = from; j < to; j++, s += c) one_place(c, j, f[j] == f[j] ? sqrt(2.0 / (double)c) : (double)f[j], s);
}

/* sigmoid' / C on the diagonal */
void root_bce(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s) {
    for (int64_t j = from; j < to; j++, s += c) {
        double e = exp(-fabs((double)f[j]));
        one_place(c, j, sqrt(e / (double)c) / (1 + e), s);
    }
}

/* ---- the diagonal of S S' alone ---- */

/* p - p^2 = p (1 - p), 1 - p of the largest being the sum of the others: nothing cancels. */
void diagonal_cross_entropy(int64_t c, const pitot_real *f, pitot_real *q) {
    double most = largest(c, f), others = 0;
    int64_t best = 0;
    while (best < c - 1 && (double)f[best] != most) best++;
    for (int64_t i = 0; i < c; i++) others += i == best ? 0 : exp((double)f[i] - most);
    double sum = others + exp((double)f[best] - most);
    for (int64_t i = 0; i < c; i++) {
        double e = exp((double)f[i] - most);
        q[i] = (pitot_real)(e / sum * ((i == best ? others : sum - e) / sum));
    }
}

void diagonal_mse(int64_t c, const pitot_real *f, pitot_real *q) {
    for (int64_t i = 0; i < c; i++) q[i] = f[i] == f[i] ? (pitot_real)(2.0 / (double)c) : f[i];
}

void diagonal_bce(int64_t c, const pitot_real *f, pitot_real *q) {
    for (int64_t i = 0; i < c; i++) {
        double e = exp(-fabs((double)f[i]));
        q[i] = (pitot_real)(e / (double)c / ((1 + e) * (1 + e)));
    }
}

/* ---- drawn: gradients of the loss at labels from the model's own distribution, whose second moment is the Hessian (the Fisher matrix) ---- */

/* p - [c = y], y from softmax(f) */
void draw_cross_entropy(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s) {
    double most = largest(c, f), sum = rest_of(c, f, most, 0);
    for (int64_t j = from; j < to; j++, s += c) {
        double left = sum * random_uniform(key->seed, RANDOM_LABELS, (uint64_t)key->sample, (uint64_t)j);
        int64_t y = -1;
        for (int64_t i = 0; i < c; i++) {
            double p = exp((double)f[i] - most);
            s[i] = (pitot_real)(p / sum);
            left -= p;
            if (y < 0 && (left < 0 || i == c - 1)) y = i;
        }
        s[y] -= 1;
    }
}

/* Gaussian around f, of variance C/2 in each output: the negative logarithm of its density is the loss. */
void draw_mse(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s) {
    double normal[2] = { 0 };
    for (int64_t j = from; j < to; j++)
        for (int64_t i = 0; i < c; i++) {
            uint64_t at = (uint64_t)(j * ((c + 1) / 2) + i / 2);
            if (i % 2 == 0) random_normal(key->seed, RANDOM_LABELS, (uint64_t)key->sample, at, normal);
            *s++ = (pitot_real)(f[i] == f[i] ? sqrt(2.0 / (double)c) * normal[i % 2] : (double)f[i]);
        }
}

/* (sigmoid(f) - [1 drawn]) / sqrt(C): its mean square is the Hessian's diagonal, its outputs are independent. */
void draw_bce(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s) {
    for (int64_t j = from; j < to; j++)
        for (int64_t i = 0; i < c; i++) {
            double e = exp(-fabs((double)f[i])), p = f[i] >= 0 ? 1 / (1 + e) : e / (1 + e);
            double u = random_uniform(key->seed, RANDOM_LABELS, (uint64_t)key->sample, (uint64_t)(j * c + i));
            *s++ = (pitot_real)((p - (u < p)) / sqrt((double)c));
        }
}
