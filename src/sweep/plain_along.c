/* plain_along.c: see plain.h. With K^L = LL', K^R = RR':  g_n'g = scale^2/N sum_m K^L_nm K^R_nm, or  L_n'(M R_n) with the mean M. Then
   |g|^2 is the mean of the g_n'g, and |g_n - g|^2 = |g_n|^2 - 2 g_n'g + |g|^2 unless that cancels. */

#include "sweep/plain.h"

#include "base/blas.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

enum { SAMPLES = 64, ROWS = 128 }; /* of a block of the products with the mean */

int64_t along_room(void) {
    return most(pairs_room(), SAMPLES * ROWS);
}

int gram_pays(int64_t n, int64_t rows, int64_t columns) {
    return (double)n * (double)(rows + columns) < 2 * (double)rows * (double)columns;
}

/* ---- Gram matrices: blocks from the diagonal on ---- */

typedef struct block {
    const plain *p;
    pairs pairs;
    int64_t row, column;
} block;

/* part_i += sums over the columns of K^L_ij K^R_ij; part_j += sums over the rows beside the diagonal's block */
static void row_task(void *job, int64_t begin, int64_t end, int thread) {
    const block *b = job;
    double *part = b->p->part + thread * to_lines(b->p->job->n);
    for (int64_t i = begin; i < end; i++) part[b->row + i] += pairs_row(&b->pairs, i, part + b->column);
}

static pair_side side_of(const factor *f, int64_t row, int64_t column) {
    return (pair_side){ f->y + row * f->ld_y, f->y + column * f->ld_y, f->ld_y, f->ld_y, f->d };
}

void gram_products(const plain *p) {
    int64_t n = p->job->n, blocks = parts(n, PAIRS);
    memset(p->part, 0, (size_t)(p->threads * to_lines(n)) * sizeof *p->part);
    for (int64_t i = 0; i < blocks; i++)
        for (int64_t j = i; j < blocks; j++) {
            block b = { .p = p, .row = pairs_cut(n, i), .column = pairs_cut(n, j) };
            b.pairs = (pairs){ { side_of(&p->left, b.row, b.column), side_of(&p->right, b.row, b.column) },
                               pairs_cut(n, i + 1) - b.row,
                               pairs_cut(n, j + 1) - b.column,
                               i == j,
                               p->threads,
                               p->products };
            pairs_run(&b.pairs, row_task, &b);
        }
}

/* ---- products with the mean ---- */

/* along_n = L_n'(M R_n), samples from..from+samples */
static void mean_products(const plain *p, int64_t from, int64_t samples, int thread) {
    const factor *l = &p->left, *r = &p->right;
    pitot_real *y = p->products + thread * along_room();
    for (int64_t n = from; n < from + samples; n++) p->along[n] = 0;
    for (int64_t row = 0; row < l->d; row += ROWS) {
        int64_t rows = least(ROWS, l->d - row);
        blas_gemm(0, 1, samples, rows, r->d, 1, r->y + from * r->ld_y, r->ld_y, p->t->mean + row * r->d, r->d, 0, y, ROWS);
        for (int64_t k = 0; k < samples; k++) p->along[from + k] += loop_dot(l->y + (from + k) * l->ld_y + row, y + k * ROWS, rows);
    }
}

void along_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    int64_t n = p->job->n, runs = parts(n, SAMPLES);
    for (int64_t k = runs * begin / p->threads; k < runs * end / p->threads; k++)
        mean_products(p, k * SAMPLES, least(SAMPLES, n - k * SAMPLES), thread);
}

/* ---- both ---- */

static double finish_along(plain *p) {
    int64_t n = p->job->n;
    int exponent = p->left.exponent_y + p->right.exponent_y;
    double to_values = p->gram ? p->scale * p->scale * ldexp(1, -2 * exponent) / (double)n
                               : p->scale * p->job->mean_scale * ldexp(1, -exponent),
           all = 0;
    for (int64_t i = 0; i < n; i++) {
        double sum = p->gram ? 0 : p->along[i];
        for (int k = 0; p->gram && k < p->threads; k++) sum += p->part[k * to_lines(n) + i];
        p->along[i] = to_values * sum;
        all += p->along[i];
    }
    return all / (double)n;
}

int64_t along_finish(plain *p) {
    double mean_square = finish_along(p);
    int64_t cancelled = 0;
    for (int64_t i = 0; i < p->job->n; i++) {
        double square = p->scale * p->scale * p->left.norm[i] * p->right.norm[i];
        p->deviation[i] = square - 2 * p->along[i] + mean_square;
        if (!(p->deviation[i] < 0x1p-8 * square)) continue;
        p->deviation[i] = -1;
        cancelled++;
    }
    return cancelled;
}

void deviation_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    (void)thread;
    for (int64_t n = begin; n < end; n++) {
        if (p->deviation[n] != -1) continue;
        p->deviation[n] = 0;
        for (int64_t i = 0; i < p->left.d; i++)
            p->deviation[n] += loop_deviation(p->right.x + n * p->right.ld, p->scale * (double)p->left.x[n * p->left.ld + i],
                                              p->t->mean + i * p->right.d, p->job->mean_scale, p->right.d);
    }
}
