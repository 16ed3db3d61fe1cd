/* ghost.c: see parts.h. Bands of positions against all that follow: the products' symmetry halves the work and bounds the room. */

#include "sweep/parts.h"

#include "base/blas.h"

enum { BAND = 64 };

int ghost_pays(const sweep_target *t) {
    const sweep_use *u = t->use;
    if (t->n_uses != 1) return 0;
    double positions = (double)use_positions(u), width = (double)use_width(u);
    if (u->kind == SWEEP_CONV) return u->groups == 1 && positions * (width + (double)u->m) < width * (double)u->m;
    return u->kind == SWEEP_LINEAR && positions * (double)(u->din + u->dout) < (double)u->din * (double)u->dout;
}

int64_t ghost_room(const sweep_target *t) {
    int64_t positions = use_positions(t->use);
    return to_lines(2 * least(BAND, positions) * positions);
}

typedef struct vectors { /* of all positions: rows of x, or its columns */
    const pitot_real *x;
    int64_t ld, depth;
    int columns;
} vectors;

/* K (rows, positions-from): products of vectors from..from+rows with those from `from` on */
static void band_products(const vectors *v, int64_t from, int64_t rows, int64_t positions, pitot_real *products) {
    const pitot_real *x = v->x + from * (v->columns ? 1 : v->ld);
    blas_gemm(v->columns, !v->columns, rows, positions - from, v->depth, 1, x, v->ld, x, v->ld, 0, products, positions - from);
}

static double trace(const pitot_real *products, int64_t rows, int64_t width) {
    double all = 0;
    for (int64_t i = 0; i < rows; i++) all += (double)products[i * width + i];
    return all;
}

/* Whether sums of products near `trace` keep their digits. */
static int in_range(double trace) {
    return trace > 0x1p-60 && trace < 0x1p100;
}

static void both_vectors(const sweep_use *u, int64_t n, const tile_room *room, vectors v[2]) {
    const pitot_real *g = u->g + n * u->g_sample;
    if (u->kind == SWEEP_CONV) {
        int64_t positions = use_positions(u);
        v[0] = (vectors){ use_input(u, n, 0, room), positions, use_width(u), 1 };
        v[1] = (vectors){ g, u->channels_last ? u->m : positions, u->m, !u->channels_last };
    } else {
        v[0] = (vectors){ u->a + n * u->a_sample, u->t == 1 ? most(u->a_position, u->din) : u->a_position, u->din, 0 };
        v[1] = (vectors){ g, u->t == 1 ? most(u->g_position, u->dout) : u->g_position, u->dout, 0 };
    }
}

double ghost_square(const sweep_use *u, int64_t n, const tile_room *room, pitot_real *products) {
    int64_t positions = use_positions(u), band = least(BAND, positions);
    double square = 0, traces[2] = { 0 };
    pitot_real *k[2] = { products, products + band * positions };
    vectors v[2];
    both_vectors(u, n, room, v);
    for (int64_t from = 0; from < positions; from += band) {
        int64_t rows = least(band, positions - from), width = positions - from;
        for (int i = 0; i < 2; i++) {
            band_products(&v[i], from, rows, positions, k[i]);
            traces[i] += trace(k[i], rows, width);
        }
        for (int64_t r = 0; r < rows; r++) {
            const pitot_real *a = k[0] + r * width, *g = k[1] + r * width;
            square += loop_dot(a, g, rows) + 2 * loop_dot(a + rows, g + rows, width - rows);
        }
    }
    /* uncorrelated positions give traces[0]*traces[1]/positions */
    int holds = in_range(traces[0]) && in_range(traces[1]) && square * (double)positions > 0x1p-8 * traces[0] * traces[1];
    return holds ? square : -1;
}
