/* krylov_semi.c: a step that keeps rows orthogonal only up to sqrt(u); see krylov.h. y = Op p_0 loses what L, H being symmetric, says that it
   has along V, and what P has of it: two rows, mostly. Of the other rows i < first it is then off by

       omega(i,y) |y| = sum_l H(i,l) omega(l,p_0) + sum_q>0 L(q,i) omega(q,p_0) - sum_l>=first along(l) omega(i,l)

   and by noise: u |Op p_0| over the length, times a factor that is set anew whenever products with all rows are made, so that the
   recurrence, linear in it, says LOUD times what there was; it rises with what products are off by along the row before. */

#include "curve/krylov.h"

#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LOUD = 4, RENEWED = 2, PASSES = 3 };

#define UNIT (sizeof(pitot_real) == 4 ? (double)FLT_EPSILON : DBL_EPSILON)

static const double SHORT = 0.1, LOUDEST = 1e6, NEAR_UNIT = UNIT;

static double *omega(const krylov *z, int i, int j) {
    return z->omega + i * z->apart + j;
}

static void set_omega(krylov *z, int i, int j, double value) {
    *omega(z, i, j) = *omega(z, j, i) = value;
}

static double length_of(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static void be_orthogonal(krylov *z, int i, double up_to) {
    for (int j = 0; j < i; j++) set_omega(z, i, j, up_to);
    *omega(z, i, i) = 0;
}

double krylov_welcome(krylov *z, int i, double least) {
    double along[KRYLOV_MOST], square, rest = 0, whole = sqrt(pitot_sum_squares(krylov_row(z, i), z->n)), off = 1;
    for (int pass = 0; pass < PASSES && off > z->most; pass++) {
        basis_products(z->row, i, z->n, krylov_row(z, i), 0, 1, along);
        basis_subtract(z->row, i, z->n, krylov_row(z, i), 0, 1, along, &square, NULL);
        rest = sqrt(square);
        off = length_of(along, i) / rest * z->most;
    }
    if (!(rest > fmax(4 * UNIT * whole, least))) return 0;
    be_orthogonal(z, i, off + UNIT);
    return rest;
}

void krylov_renew(krylov *z) {
    for (int i = 0; i < z->k; i++) be_orthogonal(z, i, UNIT);
    for (int i = z->k; i < z->k + z->p; i++) {
        double rest = krylov_welcome(z, i, 0);
        if (rest > 0) basis_scale(krylov_row(z, i), z->n, 1 / rest);
        else be_orthogonal(z, i, UNIT);
    }
    z->again = RENEWED;
}

/* ---- the rows that L names ---- */

/* Of a product of that length along one row. */
static double unit_noise(const krylov *z, double length) {
    return 2 * (UNIT + z->op->error) * length;
}

/* From there on y has something along them. */
static int first_along(const krylov *z) {
    int i = 0;
    while (i < z->k && z->link[i] == 0) i++; /* exactly: rows that never met */
    return i;
}

/* What the product is off by along the row before: the first noise that is known; where it rises, so has that. */
static void watch(krylov *z, double off, double length) {
    double slip = fabs(off) / unit_noise(z, length);
    if (!(slip > z->slip)) return;
    z->noise = fmax(z->noise * (z->learnt ? slip / z->slip : 1), z->learnt ? 0 : slip / LOUD);
    z->slip = slip;
}

/* Once more where little is left, whose errors count. y becomes unit; returns the length that was left. */
static double part_locally(krylov *z, int first, pitot_real *y, double *along) {
    double more[KRYLOV_MOST], square = 0, before = 0;
    int m = z->k + z->p - first;
    memset(along, 0, (size_t)(first + m) * sizeof *along);
    for (int pass = 0; pass < PASSES; pass++) {
        basis_products(krylov_row(z, first), m, z->n, y, 0, 1, more);
        for (int i = 0; i < m; i++) along[first + i] += more[i];
        basis_subtract(krylov_row(z, first), m, z->n, y, 0, 1, more, &square, NULL);
        before = length_of(more, m);
        if (!(square < SHORT * SHORT * before * before)) break;
    }
    if (square > 0 && isfinite(square)) basis_scale(y, z->n, 1 / sqrt(square));
    return sqrt(square);
}

/* The same where p_0 and the row before it are all there is, the length foreseen; 0: it is too short for that, and y as it was. */
static double part_of_three(krylov *z, pitot_real *y, double *along) {
    pitot_real *u = krylov_row(z, z->k), *v = z->k ? krylov_row(z, z->k - 1) : u;
    double product[3];
    basis_three_products(y, u, v, z->n, product);
    double b = z->k ? product[2] : 0, square = product[0] - product[1] * product[1] - b * b;
    if (!(square > SHORT * SHORT * product[0]) || !isfinite(square)) return isfinite(product[0]) ? 0 : NAN;
    if (z->k) watch(z, b - z->link[z->k - 1], sqrt(product[0]));
    memset(along, 0, (size_t)z->k * sizeof *along);
    if (z->k) along[z->k - 1] = b;
    along[z->k] = product[1];
    double length = sqrt(square), off = sqrt(basis_three(y, product[1], u, b, v, 1 / length, z->n));
    if (!(fabs(off - 1) > NEAR_UNIT)) return length;
    basis_scale(y, z->n, 1 / off);
    return length * off;
}

/* ---- omega ---- */

static double recurrence(const krylov *z, int first, int i, const double *along) {
    double sum = 0;
    int k = z->k;
    for (int l = 0; l < k; l++) sum += z->h[i * z->apart + l] * *omega(z, l, k);
    for (int q = 1; q < z->p; q++) sum += z->link[q * z->apart + i] * *omega(z, k + q, k);
    for (int l = first; l < k + z->p; l++) sum -= along[l] * *omega(z, i, l);
    return sum;
}

/* Of the new row with all others. Returns the largest. */
static double foresee(krylov *z, int first, const double *along, double rest) {
    int rows = z->k + z->p;
    double length = hypot(length_of(along, rows), rest), most = 0, noise = z->noise * unit_noise(z, length) / rest;
    *omega(z, rows, rows) = 0;
    for (int i = 0; i < rows; i++) {
        double sum = i < first ? recurrence(z, first, i, along) / rest : 0;
        set_omega(z, rows, i, sum + copysign(noise, sum));
        most = fmax(most, fabs(*omega(z, rows, i)));
    }
    return most;
}

/* ---- against all of them ---- */

static double largest_of(const double *x, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* The factor of the noise, as there were products up to `true` where `said` was foreseen. */
static void learn(krylov *z, double truth, double said) {
    if (!(said > 0) || z->again == RENEWED) return;
    z->learnt = z->slip > 0;
    z->noise = fmin(fmax(z->noise * LOUD * truth / said, fmax(z->slip / LOUD, 1 / sqrt((double)z->n))), LOUDEST);
}

/* Row i, mostly noise, until it is orthogonal; it becomes unit. Returns the length that was left; 0: nothing was. */
static double part_again(krylov *z, int i) {
    double rest = krylov_welcome(z, i, 0);
    if (rest > 0) basis_scale(krylov_row(z, i), z->n, 1 / rest);
    return rest;
}

/* p_0 and y, both unit, with one pass to learn what they have along the rows before them, and one to take it away. `rest`: y's length before;
   returns what it is then. */
static double part_both(krylov *z, double rest) {
    double c[BASIS_PAIR * KRYLOV_MOST], square[BASIS_PAIR];
    int k = z->k, rows = k + z->p;
    pitot_real *pair = krylov_row(z, k);
    int64_t step = z->p * z->n;
    if (k == 0) return rest;
    basis_products(z->row, k, z->n, pair, step, 2, c);
    double before = length_of(c, k), after = length_of(c + k, k), said = largest_of(omega(z, rows, 0), k);
    if (!isfinite(before) || !isfinite(after)) return NAN;
    learn(z, largest_of(c + k, k), said);
    double left = fmax(before, after) * z->most + z->noise * UNIT;
    basis_subtract(z->row, k, z->n, pair, step, 2, c, square, NULL);
    for (int i = 0; i < k; i++) {
        set_omega(z, k, i, left);
        set_omega(z, rows, i, left);
    }
    for (int a = 0; a < 2; a++)
        if (square[a] > 0 && fabs(square[a] - 1) > NEAR_UNIT) basis_scale(pair + a * step, z->n, 1 / sqrt(square[a]));
    rest *= sqrt(square[1]);
    set_omega(z, rows, k, fabs(*omega(z, rows, k)) + before * after);
    return after > SHORT ? rest * part_again(z, rows) : rest;
}

double krylov_part(krylov *z, double *along) {
    int rows = z->k + z->p, first = first_along(z);
    pitot_real *y = krylov_row(z, rows);
    double rest = z->p == 1 && first >= z->k - 1 ? part_of_three(z, y, along) : 0;
    if (!(rest > 0) && !isnan(rest)) rest = part_locally(z, first, y, along);
    double length = hypot(length_of(along, rows), rest);
    if (!isfinite(rest) || !isfinite(length)) return NAN;
    double negligible = 4 * UNIT * fmax(z->largest, length);
    if (rest <= negligible) return 0;
    int due = foresee(z, first, along, rest) > z->most;
    if (due || z->again) rest = part_both(z, rest);
    if (z->again) z->again--;
    return rest <= negligible ? 0 : rest;
}
