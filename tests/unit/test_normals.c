/* test_normals.c: many normal numbers at once, against Philox's blocks one by one with the C library's functions, and against the moments of the
   normal distribution. */

#include "base/random.h"
#include "optim/core/normals.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 5, PURPOSE = 77, STEP = 3 };

/* Number i of a stream, from its two words. */
static double number(uint64_t block, int i) {
    int lane = i % 64, which = i / 64;
    uint64_t key = random_bits(SEED, PURPOSE, STEP, UINT64_MAX), counter = block * 64 + (uint64_t)lane;
    uint32_t out[4], at[4] = { (uint32_t)counter, (uint32_t)(counter >> 32), 0, 0 },
                     k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
    random_block(at, k, out);
    double u = ((double)(out[which / 2 * 2] >> 9) + 0.5) / 8388608,
           angle = 6.283185307179586 * (double)out[which / 2 * 2 + 1] / 4294967296.0;
    return sqrt(-2 * log(u)) * (which % 2 ? sin(angle) : cos(angle));
}

/* Single precision: at most 6 from 0, a few units in the last place. */
static void test_against_words(void **state) {
    pitot_real x[NORMALS_BLOCK * 40];
    (void)state;
    normals(SEED, PURPOSE, STEP, (UINT64_C(1) << 28) - 20, 2, NORMALS_BLOCK * 40, x);
    for (int i = 0; i < NORMALS_BLOCK * 40; i++) {
        double want = number((UINT64_C(1) << 28) - 20 + (uint64_t)(i / NORMALS_BLOCK), i % NORMALS_BLOCK);
        assert_true(fabs((double)x[i] - want) < 4e-6);
    }
}

/* n numbers: means of powers of a normal variable, within 5 standard deviations of them. */
static void test_moments(void **state) {
    enum { N = 400000 };
    static pitot_real x[N];
    double sum[5] = { 0 }, together = 0;
    (void)state;
    normals(1, 2, 3, 0, 2, N, x);
    for (int i = 0; i < N; i++) {
        double p = 1;
        for (int k = 0; k < 5; k++, p *= (double)x[i]) sum[k] += p / N;
        together += (double)x[i] * (double)x[(i + 64) % N] / N;
    }
    double sd = 5 / sqrt(N);
    assert_true(fabs(sum[1]) < sd);
    assert_true(fabs(sum[2] - 1) < sd * sqrt(2));
    assert_true(fabs(sum[3]) < sd * sqrt(15));
    assert_true(fabs(sum[4] - 3) < sd * sqrt(96));
    assert_true(fabs(together) < sd);
}

/* The same numbers in pieces, on any number of threads, and not beyond the end; others for another step. */
static void test_streams(void **state) {
    enum { N = 256 * 80 + 7 };
    static pitot_real a[N + 1], b[N + 1];
    (void)state;
    a[N] = b[N] = 9;
    normals(1, 2, 3, 4, 1, N, a);
    normals(1, 2, 3, 4, 3, N, b);
    assert_memory_equal(a, b, sizeof a);
    assert_true(a[N] == 9);
    normals(1, 2, 3, 4 + 25, 1, N - 6400, b);
    assert_memory_equal(a + 6400, b, (N - 6400) * sizeof *a);
    normals(1, 2, 4, 4, 1, N, b);
    int same = 0;
    for (int i = 0; i < N; i++) same += a[i] == b[i];
    assert_true(same < 10);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_words), cmocka_unit_test(test_moments),
                                        cmocka_unit_test(test_streams) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
