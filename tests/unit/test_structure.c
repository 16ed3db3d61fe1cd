/* Structured matrices against the dense ones that they stand for, and the map onto them against its definition. */

#include "base/alloc.h"
#include "base/random.h"
#include "optim/core/structure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 131, N = 7 };

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-11;
#else
static const double tolerance = 2e-4; /* sums of 131 products of values up to 12, in float */
#endif

static double k[MOST][MOST], m[MOST][MOST], want[MOST][MOST];
static pitot_real x[MOST * MOST], y[MOST * MOST];

static double normal(int64_t seed, int64_t i) {
    double z[2];
    random_normal((uint64_t)seed, 77, 0, (uint64_t)i, z);
    return z[0];
}

/* Whether M_ij may differ from 0. */
static int in_pattern(const structure *s, int64_t i, int64_t j) {
    int64_t d = s->d, t = s->top, from = d - s->bottom;
    int i_top = i < t, i_mid = !i_top && i < from, j_top = j < t, j_mid = !j_top && j < from;
    switch (s->kind) {
    case STRUCTURE_DENSE: return 1;
    case STRUCTURE_DIAGONAL: return i == j;
    case STRUCTURE_BLOCK: return i / s->block == j / s->block;
    case STRUCTURE_HIERARCHICAL: return i_top || i == j || (!i_mid && !j_top && (j_mid || !i_mid));
    case STRUCTURE_TRIL_TOP_LEFT_DIAG: return i == j || (i > j && i >= d - t);
    case STRUCTURE_TRIL_BOTTOM_RIGHT_DIAG: return i == j || (i > j && j < t);
    case STRUCTURE_TRIU_TOP_LEFT_DIAG: return i == j || (i < j && j >= d - t);
    case STRUCTURE_TRIU_BOTTOM_RIGHT_DIAG: return i == j || (i < j && i < t);
    case STRUCTURE_TRIL_TOEPLITZ: return i >= j;
    default: return i <= j;
    }
}

static int is_toeplitz(const structure *s) {
    return s->kind >= STRUCTURE_TRIL_TOEPLITZ;
}

/* Dense from packed, by rows of the identity. */
static void write_out(const structure *s, const pitot_real *packed, double out[MOST][MOST], pitot_real *room) {
    int64_t d = s->d;
    memset(x, 0, sizeof x);
    for (int64_t i = 0; i < d; i++) x[i * d + i] = 1;
    structure_rows(s, packed, 0, x, d, y, room);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) out[i][j] = (double)y[i * d + j];
}

/* Pi of the symmetric `a`, from its definition: what is kept stands for the entry across the diagonal that is not. */
static void project(const structure *s, double a[MOST][MOST]) {
    static double p[MOST][MOST];
    int64_t d = s->d;
    memset(p, 0, sizeof p);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            if (in_pattern(s, i, j)) p[i][j] = a[i][j] * (in_pattern(s, j, i) ? 1 : 2);
    for (int64_t off = 0; off < d && is_toeplitz(s); off++) {
        double sum = 0;
        for (int64_t i = 0; i + off < d; i++) sum += (s->kind == STRUCTURE_TRIL_TOEPLITZ ? p[i + off][i] : p[i][i + off]);
        for (int64_t i = 0; i + off < d; i++)
            *(s->kind == STRUCTURE_TRIL_TOEPLITZ ? &p[i + off][i] : &p[i][i + off]) = sum / (double)(d - off);
    }
    memcpy(a, p, sizeof p);
}

static void must_be(const structure *s, double got[MOST][MOST], const char *what) {
    for (int64_t i = 0; i < s->d; i++)
        for (int64_t j = 0; j < s->d; j++)
            if (!(fabs(got[i][j] - want[i][j]) <= tolerance * (1 + fabs(want[i][j]))))
                fail_msg("kind %d, d %d: %s: (%d,%d) is %g, not %g", (int)s->kind, (int)s->d, what, (int)i, (int)j, got[i][j],
                         want[i][j]);
}

static void random_packed(const structure *s, int64_t seed, pitot_real *out) {
    for (int64_t i = 0; i < structure_size(s); i++) out[i] = (pitot_real)normal(seed, i);
    if (s->kind >= STRUCTURE_TRIL_TOP_LEFT_DIAG && !is_toeplitz(s)) /* the stored zeros of a triangle */
        for (int64_t i = 0; i < s->top; i++)
            for (int64_t j = 0; j < s->top; j++)
                if (s->kind <= STRUCTURE_TRIL_BOTTOM_RIGHT_DIAG ? j > i : j < i) out[i * s->top + j] = 0;
}

static void check_rows(const structure *s, const pitot_real *packed, pitot_real *room) {
    static pitot_real a[N * MOST], b[N * MOST];
    int64_t d = s->d;
    for (int64_t i = 0; i < N * d; i++) a[i] = (pitot_real)normal(9, i);
    for (int trans = 0; trans < 2; trans++) {
        structure_rows(s, packed, trans, a, N, b, room);
        for (int64_t n = 0; n < N; n++)
            for (int64_t j = 0; j < d; j++) {
                double sum = 0;
                for (int64_t i = 0; i < d; i++) sum += (double)a[n * d + i] * (trans ? k[j][i] : k[i][j]);
                if (!(fabs((double)b[n * d + j] - sum) <= tolerance * (1 + fabs(sum))))
                    fail_msg("kind %d, d %d: row %d times K%s: %g, not %g", (int)s->kind, (int)d, (int)n, trans ? "'" : "",
                             (double)b[n * d + j], sum);
            }
    }
}

/* In two goes, the second added to the first. */
static void check_gram(const structure *s, pitot_real *packed, pitot_real *room) {
    static pitot_real a[N * MOST];
    static double got[MOST][MOST];
    int64_t d = s->d;
    for (int64_t i = 0; i < N * d; i++) a[i] = (pitot_real)normal(11, i);
    memset(want, 0, sizeof want);
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++) want[i][j] += 0.25 * (double)a[n * d + i] * (double)a[n * d + j];
    double trace = 0;
    for (int64_t i = 0; i < d; i++) trace += want[i][i];
    project(s, want);
    structure_gram(s, a, 3, 0.25, 0, packed);
    structure_gram(s, a + 3 * d, N - 3, 0.25, 1, packed);
    write_out(s, packed, got, room);
    must_be(s, got, "Pi(x'x)");
    if (!(fabs(structure_trace(s, packed) - trace) <= tolerance * trace)) fail_msg("kind %d: trace", (int)s->kind);
}

static void check_products(const structure *s, const pitot_real *a, const pitot_real *b, pitot_real *out, pitot_real *room) {
    static double got[MOST][MOST];
    int64_t d = s->d;
    write_out(s, b, m, room);
    memset(want, 0, sizeof want);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            for (int64_t l = 0; l < d; l++) want[i][j] += k[i][l] * m[l][j];
    structure_product(s, a, b, out, room);
    write_out(s, out, got, room);
    must_be(s, got, "K M");
    memset(want, 0, sizeof want);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            for (int64_t l = 0; l < d; l++) want[i][j] += k[l][i] * k[l][j];
    project(s, want);
    structure_square(s, a, out, room);
    write_out(s, out, got, room);
    must_be(s, got, "Pi(K'K)");
}

static void check(int64_t kind, int64_t d, int64_t block, int64_t top, int64_t bottom, int64_t rank) {
    structure s = structure_of(kind, d, block, top, bottom, rank);
    int64_t size = structure_size(&s);
    pitot_real *a = mem_alloc(size, sizeof *a), *b = mem_alloc(size, sizeof *b), *out = mem_alloc(size, sizeof *out),
               *room = mem_alloc(structure_room(&s), sizeof *room);
    structure_identity(&s, a);
    write_out(&s, a, k, room);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) assert_true(k[i][j] == (i == j));
    assert_true(structure_trace(&s, a) == (double)d);
    random_packed(&s, 1, a);
    random_packed(&s, 2, b);
    write_out(&s, a, k, room);
    int64_t values = 0;
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) {
            if (!in_pattern(&s, i, j) && k[i][j] != 0) fail_msg("kind %d: (%d,%d) is not 0", (int)kind, (int)i, (int)j);
            values += k[i][j] != 0;
        }
    if (!is_toeplitz(&s) && kind < STRUCTURE_TRIL_TOP_LEFT_DIAG) assert_true(values == size);
    check_rows(&s, a, room);
    check_products(&s, a, b, out, room);
    check_gram(&s, out, room);
    mem_free(a);
    mem_free(b);
    mem_free(out);
    mem_free(room);
}

static void test_structures(void **state) {
    (void)state;
    static const int64_t sizes[] = { 1, 2, 5, 30, 64, 65, MOST };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int64_t kind = 0; kind <= STRUCTURE_TRIU_TOEPLITZ; kind++) {
            check(kind, sizes[i], 30, 15, 15, 1);
            check(kind, sizes[i], 7, 2, 3, 4);
            check(kind, sizes[i], 1, 0, 0, 0);
            check(kind, sizes[i], 1000, 1000, 1000, 1000);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_structures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
