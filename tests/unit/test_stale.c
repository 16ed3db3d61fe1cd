/* pitot/stale.h against constructed cases (a basis turned by a known angle, an inverse of something else), an identity, and brute force: the
   preconditioners as dense matrices over all values of the block. */

#include "base/blas.h"
#include "base/random.h"
#include "pitot/stale.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { M = 4, N = 3, MN = M * N };

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-11;
#else
static const double tolerance = 2e-5;
#endif

static void near(double value, double want, const char *what) {
    if (!(fabs(value - want) <= tolerance * (1 + fabs(want)))) fail_msg("%s: %.17g, not %.17g", what, value, want);
}

/* ---- dense matrices ---- */

/* out = (A + damping)^power for symmetric A (n,n) */
static void power_of(int n, const double *A, double damping, double power, double *out) {
    double a[MN * MN], value[MN], work[4096];
    assert_true(blas_eigenvectors_work(n) <= 4096);
    memcpy(a, A, (size_t)(n * n) * sizeof *a);
    assert_int_equal(blas_eigenvectors(n, a, value, work), 0);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            out[i * n + j] = 0;
            for (int k = 0; k < n; k++) out[i * n + j] += a[k * n + i] * a[k * n + j] * pow(value[k] + damping, power);
        }
}

static void kron(const double *L, const double *R, double *out) {
    for (int i = 0; i < MN; i++)
        for (int j = 0; j < MN; j++) out[i * MN + j] = L[i / N * M + j / N] * R[i % N * N + j % N];
}

static void times(const double *P, const double *x, double *y) {
    for (int i = 0; i < MN; i++) {
        y[i] = 0;
        for (int j = 0; j < MN; j++) y[i] += P[i * MN + j] * x[j];
    }
}

static double dot(const double *x, const double *y) {
    double sum = 0;
    for (int i = 0; i < MN; i++) sum += x[i] * y[i];
    return sum;
}

/* A random symmetric positive matrix, exact in pitot_real. */
static void positive(int n, uint64_t seed, pitot_real *out) {
    double x[64];
    for (int i = 0; i < n * n; i++) x[i] = random_uniform(seed, 7, 0, (uint64_t)i) - 0.5;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = i == j ? 0.3 : 0;
            for (int k = 0; k < n; k++) sum += x[i * n + k] * x[j * n + k];
            out[i * n + j] = (pitot_real)sum;
        }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) out[i * n + j] = out[j * n + i];
}

static void widen(const pitot_real *x, int n, double by, double *out) {
    for (int i = 0; i < n; i++) out[i] = by * (double)x[i];
}

/* basis (columns) and eigenvalues of by * A */
static void eigen_of(int n, const pitot_real *A, double by, pitot_real *basis, pitot_real *value) {
    double a[64], v[8], work[4096];
    widen(A, n * n, by, a);
    assert_int_equal(blas_eigenvectors(n, a, v, work), 0);
    for (int j = 0; j < n; j++) {
        value[j] = (pitot_real)v[j];
        for (int i = 0; i < n; i++) basis[i * n + j] = (pitot_real)a[j * n + i];
    }
}

/* ---- one factor ---- */

static pitot_stale_factor factor_of(const pitot_preconditioner *p) {
    pitot_stale_factor out;
    assert_int_equal(pitot_stale(p, NULL, p->n, 1, NULL, 1, NULL, &out, NULL, NULL), PITOT_OK);
    return out;
}

/* A = diag(5,2,1), the basis turned by phi in the first plane: |offdiag| = |l1 - l2| |sin 2 phi| / sqrt 2. */
static void test_turned_basis(void **state) {
    (void)state;
    pitot_real A[9] = { 5, 0, 0, 0, 2, 0, 0, 0, 1 }, values[3] = { 5, 2, 1 };
    for (int k = 0; k <= 8; k++) {
        double phi = k * M_PI / 16, c = cos(phi), s = sin(phi), norm = sqrt(30);
        pitot_real Q[9] = { (pitot_real)c, (pitot_real)-s, 0, (pitot_real)s, (pitot_real)c, 0, 0, 0, 1 };
        pitot_preconditioner p = { .n = 3, .factor = A, .basis = Q, .eigenvalues = values, .power = -0.25, .damping = 0.5 };
        pitot_stale_factor f = factor_of(&p);
        double off = 3 * fabs(sin(2 * phi)) / sqrt(2), moved = 3 * s * s * sqrt(2); /* diagonal: 5 - 3 s^2, 2 + 3 s^2 */
        near(f.basis_error, off / norm, "basis error");
        near(f.value_error, moved / norm, "value error");
        near(f.error * f.error, f.basis_error * f.basis_error + f.value_error * f.value_error, "Pythagoras");
        near(f.condition, 5.5 / 1.5, "condition");
        if (k == 0) near(f.inverse_error, 0, "inverse error");
        if (k == 0) near(f.condition_after, 1, "condition after");
        if (k) assert_true(f.condition_after > 1 + 1e-3 && f.inverse_error > 1e-3);
    }
}

/* |A - Q L Q'| made whole, of a random basis of something else. */
static void test_error_by_hand(void **state) {
    (void)state;
    pitot_real A[16], other[16], Q[16], values[4];
    double whole = 0, square = 0;
    positive(M, 1, A);
    positive(M, 2, other);
    eigen_of(M, other, 1, Q, values);
    pitot_preconditioner p = {
        .n = M, .factor = A, .basis = Q, .eigenvalues = values, .power = -1, .damping = 0.1, .bias_correction = 2
    };
    pitot_stale_factor f = factor_of(&p);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double r = 2 * (double)A[i * M + j];
            whole += r * r;
            for (int k = 0; k < M; k++) r -= (double)Q[i * M + k] * (double)values[k] * (double)Q[j * M + k];
            square += r * r;
        }
    near(f.error, sqrt(square / whole), "error");
}

/* X a root of another matrix: (A + damping) X^q - 1 and its eigenvalues by dense products. */
static void test_inverse(void **state) {
    (void)state;
    const double powers[] = { -1, -0.5, -0.25, -1 / 3.0, -0.2, -1 / 6.0, -1 / 7.0 };
    pitot_real A[16], other[16], X[16];
    positive(M, 3, A);
    positive(M, 4, other);
    for (int k = 0; k < 7; k++) {
        double d[16], x[16], root[16], xq[16], e[16], wide[16], mid[16];
        int q = (int)round(-1 / powers[k]);
        widen(other, 16, 1, d);
        power_of(M, d, 0.2, powers[k], x);
        for (int i = 0; i < 16; i++) X[i] = (pitot_real)x[i];
        pitot_preconditioner p = { .n = M, .factor = A, .inverse = X, .power = powers[k], .damping = 0.2 };
        pitot_stale_factor f = factor_of(&p);
        widen(X, 16, 1, x);
        power_of(M, x, 0, q, xq);
        widen(A, 16, 1, wide);
        power_of(M, wide, 0.2, 0.5, root);
        for (int i = 0; i < M; i++) wide[i * M + i] += 0.2;
        blas_gemm_double(0, 0, M, M, M, 1, wide, M, xq, M, 0, e, M);
        double sum = 0;
        for (int i = 0; i < 16; i++) sum += pow(e[i] - (i % (M + 1) == 0), 2);
        near(f.inverse_error, sqrt(sum / M), "inverse error");
        blas_gemm_double(0, 0, M, M, M, 1, root, M, xq, M, 0, e, M);
        blas_gemm_double(0, 0, M, M, M, 1, e, M, root, M, 0, mid, M);
        double value[M], work[4096];
        assert_int_equal(blas_eigenvectors(M, mid, value, work), 0);
        near(f.condition_after, value[M - 1] / value[0], "condition after");
        assert_true(isnan(f.basis_error) && isnan(f.error));
        pitot_real Q[16], v[4];
        eigen_of(M, A, 1, Q, v);
        p.basis = Q; /* shown beside the root that is used, without eigenvalues */
        pitot_stale_factor both = factor_of(&p);
        near(both.inverse_error, f.inverse_error, "inverse error beside a basis");
        near(both.condition_after, f.condition_after, "condition after beside a basis");
        near(both.basis_error, 0, "basis error beside a root");
    }
}

/* ---- the update ---- */

static pitot_real gradient[MN];

static void make_gradient(void) {
    for (int i = 0; i < MN; i++) gradient[i] = (pitot_real)(random_uniform(9, 1, 0, (uint64_t)i) - 0.5);
}

static void must_match(const pitot_stale_update *u, const double *P, const double *fresh) {
    double g[MN], stale_step[MN], fresh_step[MN], back[MN], inverse[MN * MN];
    widen(gradient, MN, 1, g);
    power_of(MN, fresh, 0, -1, inverse);
    times(P, g, stale_step);
    times(fresh, g, fresh_step);
    times(inverse, stale_step, back);
    double cosine = dot(stale_step, fresh_step) / sqrt(dot(stale_step, stale_step) * dot(fresh_step, fresh_step));
    near(cos(u->angle * M_PI / 180), cosine, "cosine");
    near(u->lost, 1 - pow(dot(g, stale_step), 2) / (dot(stale_step, back) * dot(g, fresh_step)), "lost");
    near(u->along, dot(g, stale_step), "along");
    near(u->fresh, dot(g, fresh_step), "fresh");
}

static void test_update(void **state) {
    (void)state;
    pitot_real L[16], R[9], old_l[16], old_r[9], ql[16], vl[4], xr[9];
    positive(M, 11, L);
    positive(N, 12, R);
    positive(M, 13, old_l);
    positive(N, 14, old_r);
    make_gradient();
    for (int k = 0; k < 3; k++) {
        double power = k == 0 ? -1 : k == 1 ? -0.25 : -0.5, l[16], r[9], pl[16], pr[9], P[MN * MN], fresh[MN * MN];
        eigen_of(M, old_l, 1.5, ql, vl);
        widen(old_r, 9, 1, r);
        power_of(N, r, 0.3, power, pr);
        for (int i = 0; i < 9; i++) xr[i] = (pitot_real)pr[i];
        widen(old_l, 16, 1.5, l);
        power_of(M, l, 0.1, power, pl);
        kron(pl, pr, P);
        widen(L, 16, 1.5, l);
        widen(R, 9, 1, r);
        power_of(M, l, 0.1, power, pl);
        power_of(N, r, 0.3, power, pr);
        kron(pl, pr, fresh);
        pitot_preconditioner
            left = { .n = M, .factor = L, .basis = ql, .eigenvalues = vl, .power = power, .damping = 0.1, .bias_correction = 1.5 },
            right = { .n = N, .factor = R, .inverse = xr, .power = power, .damping = 0.3, .axis = 1 };
        pitot_stale_update u;
        assert_int_equal(pitot_stale(&left, &right, M, N, gradient, N, NULL, NULL, NULL, &u), PITOT_OK);
        must_match(&u, P, fresh);
        assert_true(u.lost > 1e-3 && u.angle > 1);
    }
}

/* One factor alone; the same with the bias as a last column. */
static void test_one_sided_and_bias(void **state) {
    (void)state;
    pitot_real R[9], old[9], q[9], v[3], weight[M * 2], bias[M];
    pitot_stale_update u, with;
    positive(N, 21, R);
    positive(N, 22, old);
    eigen_of(N, old, 1, q, v);
    make_gradient();
    pitot_preconditioner right = { .n = N, .factor = R, .basis = q, .eigenvalues = v, .power = -1, .damping = 0.2, .axis = 1 };
    double one[16] = { 0 }, r[9], p[9], P[MN * MN], fresh[MN * MN];
    for (int i = 0; i < M; i++) one[i * M + i] = 1;
    widen(old, 9, 1, r);
    power_of(N, r, 0.2, -1, p);
    kron(one, p, P);
    widen(R, 9, 1, r);
    power_of(N, r, 0.2, -1, p);
    kron(one, p, fresh);
    assert_int_equal(pitot_stale(NULL, &right, M, N, gradient, N, NULL, NULL, NULL, &u), PITOT_OK);
    must_match(&u, P, fresh);
    for (int i = 0; i < M; i++) {
        weight[2 * i] = gradient[3 * i];
        weight[2 * i + 1] = gradient[3 * i + 1];
        bias[i] = gradient[3 * i + 2];
    }
    right.bias_column = 1;
    assert_int_equal(pitot_stale(NULL, &right, M, N, weight, 2, bias, NULL, NULL, &with), PITOT_OK);
    assert_true(with.lost == u.lost && with.angle == u.angle);
}

/* Moments in the bases in use (SOAP, EKFAC): P = Q diag(1/(s^a + eps)) Q', carried over as the diagonal of that matrix's own s in fresh bases. */
static void test_corrected(void **state) {
    (void)state;
    pitot_real L[16], R[9], old_l[16], old_r[9], ql[16], qr[9], v[4], s[MN];
    positive(M, 31, L);
    positive(N, 32, R);
    positive(M, 33, old_l);
    positive(N, 34, old_r);
    eigen_of(M, old_l, 1, ql, v);
    eigen_of(N, old_r, 1, qr, v);
    make_gradient();
    for (int i = 0; i < MN; i++) s[i] = (pitot_real)(0.1 + random_uniform(35, 1, 0, (uint64_t)i));
    for (int k = 0; k < 2; k++) {
        double power = k ? -0.5 : -1, eps = k ? 0.01 : 0, by = 1.25, Q[MN * MN], U[MN * MN], S[MN * MN], P[MN * MN], fresh[MN * MN],
               wide_l[16], wide_r[9], carried[MN];
        pitot_preconditioner left = { .n = M,
                                      .factor = L,
                                      .basis = ql,
                                      .power = -1,
                                      .corrected = s,
                                      .corrected_power = power,
                                      .damping = 0.05,
                                      .eps = eps,
                                      .correction = by },
                             right = { .n = N, .factor = R, .basis = qr, .power = -1, .axis = 1 };
        pitot_stale_update u;
        assert_int_equal(pitot_stale(&left, &right, M, N, gradient, N, NULL, NULL, NULL, &u), PITOT_OK);
        widen(ql, 16, 1, wide_l);
        widen(qr, 9, 1, wide_r);
        kron(wide_l, wide_r, Q);
        pitot_real ul[16], ur[9];
        eigen_of(M, L, 1, ul, v);
        eigen_of(N, R, 1, ur, v);
        widen(ul, 16, 1, wide_l);
        widen(ur, 9, 1, wide_r);
        kron(wide_l, wide_r, U);
        for (int i = 0; i < MN; i++)
            for (int j = 0; j < MN; j++) {
                S[i * MN + j] = P[i * MN + j] = 0;
                for (int e = 0; e < MN; e++) {
                    double both = Q[i * MN + e] * Q[j * MN + e], value = by * (double)s[e];
                    S[i * MN + j] += both * value;
                    P[i * MN + j] += both / (pow(value + 0.05, -power) + eps);
                }
            }
        for (int e = 0; e < MN; e++) {
            carried[e] = 0;
            for (int i = 0; i < MN; i++)
                for (int j = 0; j < MN; j++) carried[e] += U[i * MN + e] * S[i * MN + j] * U[j * MN + e];
        }
        for (int i = 0; i < MN; i++)
            for (int j = 0; j < MN; j++) {
                fresh[i * MN + j] = 0;
                for (int e = 0; e < MN; e++)
                    fresh[i * MN + j] += U[i * MN + e] * U[j * MN + e] / (pow(carried[e] + 0.05, -power) + eps);
            }
        must_match(&u, P, fresh);
    }
}

/* A factor of rank 2 of 4 in a basis of its own eigenvectors that differs from every other within the null space: nothing has aged, whatever the
   gradient does there. Its inverse is not what multiplies, and is not judged. */
static void test_null_space(void **state) {
    (void)state;
    pitot_real any[16], E[16], A[16], Q[16], value[4], s[4] = { (pitot_real)0.01, 3, 5, 1 }, g[4] = { 1, -2, 3, 4 };
    positive(4, 61, any);
    eigen_of(4, any, 1, E, value);
    value[0] = value[1] = 0, value[2] = 1, value[3] = 2;
    for (int i = 0; i < 4; i++) {
        const pitot_real *a = &E[4 * i];
        for (int j = 0; j < 4; j++) A[i * 4 + j] = a[2] * E[4 * j + 2] + 2 * a[3] * E[4 * j + 3];
        Q[4 * i] = (pitot_real)(cos(0.7) * (double)a[0] - sin(0.7) * (double)a[1]);
        Q[4 * i + 1] = (pitot_real)(sin(0.7) * (double)a[0] + cos(0.7) * (double)a[1]);
        Q[4 * i + 2] = a[2];
        Q[4 * i + 3] = a[3];
    }
    pitot_preconditioner p = { .n = 4,
                               .factor = A,
                               .basis = Q,
                               .eigenvalues = value,
                               .power = -0.5,
                               .damping = 0.1,
                               .corrected = s,
                               .corrected_power = -0.5 };
    pitot_stale_factor f;
    pitot_stale_update u;
    assert_int_equal(pitot_stale(&p, NULL, 4, 1, g, 1, NULL, &f, NULL, &u), PITOT_OK);
    near(f.basis_error, 0, "basis error");
    near(f.error, 0, "error");
    near(u.lost, 0, "lost in the null space");
    if (!(u.angle < 0.05)) fail_msg("an angle of %g in the null space", u.angle);
    near(f.condition, 21, "condition");
    assert_true(isnan(f.inverse_error) && isnan(f.condition_after));
}

/* ---- the interval, and refusals ---- */

static void test_interval(void **state) {
    (void)state;
    const double costs[] = { 0.5, 3, 40 }, losts[] = { 0.001, 0.02, 0.2 };
    for (int c = 0; c < 3; c++)
        for (int l = 0; l < 3; l++) {
            double best = 0, at = 0, s = losts[l] / 10;
            for (double t = 1; t < 1 / s + 1; t += 0.01) {
                double gain = (t - s * t * t / 2) / (t + costs[c]);
                if (gain > best) best = gain, at = t;
            }
            double value = pitot_stale_interval(costs[c], losts[l], 10);
            if (!(fabs(value - at) < 0.02)) fail_msg("interval %g, by search %g", value, at);
        }
    assert_true(isinf(pitot_stale_interval(1, 0, 10)) && isnan(pitot_stale_interval(1, 0.1, 0)) &&
                isnan(pitot_stale_interval(1, NAN, 1)));
    assert_true(pitot_stale_interval(0.001, 0.9, 1) == 1);
}

static void test_refusals(void **state) {
    (void)state;
    pitot_real A[9] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, zero[9] = { 0 }, g[9] = { 1 };
    pitot_stale_factor f;
    pitot_stale_update u;
    pitot_preconditioner p = { .n = 3, .factor = A, .basis = A, .power = -1 };
    assert_int_equal(pitot_stale(NULL, NULL, 3, 3, g, 3, NULL, &f, NULL, &u), PITOT_EINVAL);
    assert_int_equal(pitot_stale(&p, NULL, 4, 1, g, 1, NULL, &f, NULL, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_stale(&p, NULL, 3, 1, g, 1, NULL, &f, NULL, &u), PITOT_OK);
    assert_true(isnan(u.lost) && isnan(f.inverse_error) && f.basis_error == 0); /* a basis without eigenvalues cannot be applied */
    p.factor = zero;
    assert_int_equal(pitot_stale(&p, NULL, 3, 1, g, 1, NULL, &f, NULL, NULL), PITOT_OK);
    assert_true(f.basis_error == 0 && isinf(f.condition));
    A[4] = NAN;
    p.factor = A;
    assert_int_equal(pitot_stale(&p, NULL, 3, 1, g, 1, NULL, &f, NULL, NULL), PITOT_EHOST);
}

/* Fresh, but for what round-off leaves: lost is 0, not 1e-16, or an interval of millions of steps came of it. */
static void test_nothing_lost(void **state) {
    (void)state;
    pitot_real L[16], Q[16], value[4];
    positive(M, 51, L);
    eigen_of(M, L, 1, Q, value);
    make_gradient();
    for (int k = 0; k < 40; k++) {
        pitot_real one = (pitot_real)(0.1 + random_uniform(52, 1, 0, (uint64_t)k)), root = (pitot_real)(1 / sqrt((double)one)),
                   g = (pitot_real)(1 + k);
        pitot_preconditioner p = { .n = 1, .factor = &one, .inverse = &root, .power = -0.5 };
        pitot_stale_update u;
        assert_int_equal(pitot_stale(&p, NULL, 1, 1, &g, 1, NULL, NULL, NULL, &u), PITOT_OK);
        assert_true(u.lost == 0);
    }
    pitot_preconditioner p = { .n = M, .factor = L, .basis = Q, .eigenvalues = value, .power = -1 };
    pitot_stale_update u;
    assert_int_equal(pitot_stale(&p, NULL, M, N, gradient, N, NULL, NULL, NULL, &u), PITOT_OK);
    assert_true(u.lost <= (sizeof(pitot_real) == 8 ? 0 : 1e-9));
}

/* A view of somebody else's that is none of a preconditioner. */
static void test_hostile(void **state) {
    (void)state;
    const pitot_real I[9] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, triangle[9] = { 2, 1, 1, 0, 2, 1, 0, 0, 2 },
                     minus[9] = { 1, 0, 0, 0, 1, 0, 0, 0, -1 }, all_minus[9] = { -1, 0, 0, 0, -1, 0, 0, 0, -1 },
                     almost[9] = { 1, 0, 0, 0, 1, 0, 0, 0, (pitot_real)-1e-9 }, oblique[9] = { 1, 1, 0, 0, 1, 0, 0, 0, 1 },
                     empty[9] = { 0 }, odd[9] = { 1, 0, 0, 0, NAN, 0, 0, 0, 1 }, g[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    const pitot_preconditioner good = { .n = 3, .factor = I, .basis = I, .eigenvalues = I, .power = -0.5, .damping = 0.1 };
    pitot_stale_factor f;
    pitot_stale_update u;
    assert_int_equal(pitot_stale(&good, NULL, 3, 3, g, 3, NULL, &f, NULL, &u), PITOT_OK);
#define GIVES(want, ...)                                                             \
    do {                                                                             \
        pitot_preconditioner p = good;                                               \
        __VA_ARGS__;                                                                 \
        int32_t is = pitot_stale(&p, NULL, 3, 3, g, 3, NULL, &f, NULL, &u);          \
        if (is != (want)) fail_msg("%s: status %d, not %d", #__VA_ARGS__, is, want); \
    } while (0)
    GIVES(PITOT_EHOST, p.factor = triangle);
    GIVES(PITOT_EHOST, p.factor = minus);
    GIVES(PITOT_EHOST, p.factor = all_minus);
    GIVES(PITOT_EHOST, p.factor = odd);
    GIVES(PITOT_OK, p.factor = almost);
    GIVES(PITOT_EHOST, p.basis = oblique);
    GIVES(PITOT_EHOST, p.basis = empty);
    GIVES(PITOT_EHOST, p.basis = odd);
    GIVES(PITOT_EHOST, p.eigenvalues = odd + 2);
    GIVES(PITOT_EHOST, p.basis = NULL, p.inverse = odd);
    GIVES(PITOT_EHOST, p.corrected = odd);
    GIVES(PITOT_OK, p.corrected = I);
    GIVES(PITOT_OK, p.corrected = I, p.n_rows = 3, p.n_columns = 3);
    GIVES(PITOT_EINVAL, p.corrected = I, p.n_rows = 3, p.n_columns = 2);
    GIVES(PITOT_EHOST, p.bias_correction = NAN);
    GIVES(PITOT_EINVAL, p.damping = NAN);
    GIVES(PITOT_EINVAL, p.damping = -1);
    GIVES(PITOT_EINVAL, p.power = NAN);
    GIVES(PITOT_EINVAL, p.n = 0);
    GIVES(PITOT_EINVAL, p.factor = NULL);
    GIVES(PITOT_OK, p.basis = NULL, p.eigenvalues = NULL);
    assert_true(isnan(u.lost) && isnan(f.basis_error) && isfinite(f.condition)); /* nothing is in use yet */
    assert_int_equal(pitot_stale(&good, NULL, 3, 3, NULL, 3, NULL, &f, NULL, &u), PITOT_EINVAL);
    assert_int_equal(pitot_stale(&good, NULL, 3, 0, g, 3, NULL, &f, NULL, &u), PITOT_EINVAL);
    assert_int_equal(pitot_stale(&good, NULL, 3, 3, odd, 3, NULL, &f, NULL, &u), PITOT_EHOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turned_basis),
        cmocka_unit_test(test_error_by_hand),
        cmocka_unit_test(test_inverse),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_one_sided_and_bias),
        cmocka_unit_test(test_corrected),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_null_space),
        cmocka_unit_test(test_nothing_lost),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
