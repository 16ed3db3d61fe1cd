/* project.c: see parts.h. Each use by itself, since g_n'd is linear in the tiles:

   linear        sum over positions t of G_t'y_t, y = A D' (transposed: A D), as one product over all samples, or over all positions
   convolution   sum over its values of G (m,P) times D U, U the unfolded input, if positions are fewer than the columns of the tile

   y is what a forward pass with the weights D would make of A, in pitot_real; the sums over it run in double. */

#include "sweep/parts.h"

#include "base/blas.h"
#include "base/threads.h"

#include <string.h>

/* Rows and columns of y at once; outputs, the least for one thread; values of D U. */
enum { RUN = 128, OUTPUTS = 512, GRAIN = 16, CHUNK = 1 << 14 };

typedef struct project {
    const sweep_job *job;
    const sweep_target *t;
    const sweep_use *u; /* the one at hand */
    int threads;
    int64_t products, unfolded, planes; /* values for one thread */
    pitot_real *room_products, *room_unfolded, *room_planes;
    double *part; /* (threads,n) */
} project;

static int is_shorter(const sweep_use *u) {
    return u->kind == SWEEP_LINEAR || (u->kind == SWEEP_CONV && use_positions(u) < use_width(u));
}

int project_pays(const sweep_target *t) {
    for (int32_t i = 0; i < t->n_uses; i++)
        if (!is_shorter(&t->use[i])) return 0;
    return 1;
}

/* Rows of D that one product takes. */
static int64_t conv_rows(const sweep_use *u) {
    return least(u->m, most(1, CHUNK / use_positions(u)));
}

static project project_of(const sweep_job *job, const sweep_target *t, arena *a) {
    project p = { .job = job, .t = t };
    double flops = 0;
    for (int32_t i = 0; i < t->n_uses; i++) {
        const sweep_use *u = &t->use[i];
        int64_t products = u->kind == SWEEP_CONV ? conv_rows(u) * use_positions(u) : RUN * least(OUTPUTS, u->dout);
        flops += 2 * (double)job->n * (double)t->size * (double)use_positions(u);
        p.products = most(p.products, to_lines(products));
        p.unfolded = most(p.unfolded, to_lines(use_unfolded(u)));
        p.planes = most(p.planes, to_lines(use_planes(u)));
    }
    p.threads = sweep_threads(job, flops, INT32_MAX);
    p.room_products = arena_take(a, p.threads, p.products, sizeof *p.room_products);
    p.room_unfolded = arena_take(a, p.threads, p.unfolded, sizeof *p.room_unfolded);
    p.room_planes = arena_take(a, p.threads, p.planes, sizeof *p.room_planes);
    p.part = arena_take(a, p.threads, to_lines(job->n), sizeof *p.part);
    return p;
}

void project_work(const sweep_job *job, const sweep_target *t, arena *a) {
    project_of(job, t, a);
}

/* ---- linear ---- */

typedef struct run { /* rows of A and G that lie at equal distances: samples at a position, or positions of a sample */
    const pitot_real *a, *g;
    int64_t rows, a_step, g_step;
    double *sum;
    int64_t sum_step; /* 0: all into one */
} run;

/* Outputs begin..end. */
static void add_run(const project *p, const run *r, int64_t begin, int64_t end, pitot_real *y) {
    const sweep_use *u = p->u;
    int64_t a_step = r->rows == 1 ? most(r->a_step, u->din) : r->a_step;
    for (int64_t from = begin; from < end; from += OUTPUTS) {
        int64_t outputs = least(OUTPUTS, end - from), ld = u->transposed ? u->dout : u->din;
        const pitot_real *d = p->t->direction + from * (u->transposed ? 1 : u->din);
        blas_gemm(0, !u->transposed, r->rows, outputs, u->din, 1, r->a, a_step, d, ld, 0, y, outputs);
        for (int64_t i = 0; i < r->rows; i++)
            r->sum[i * r->sum_step] += u->scale * loop_dot(y + i * outputs, r->g + i * r->g_step + from, outputs);
    }
}

static void linear_share(const project *p, int64_t sample, int64_t last, int64_t begin, int64_t end, int thread) {
    const sweep_use *u = p->u;
    pitot_real *y = p->room_products + thread * p->products;
    double *part = p->part + thread * to_lines(p->job->n);
    int over_samples = u->a_sample >= u->din && last - sample >= u->t; /* the longer runs */
    for (int64_t t = 0; over_samples && t < u->t; t++)
        for (int64_t n = sample; n < last; n += RUN) {
            run r = { u->a + n * u->a_sample + t * u->a_position,
                      u->g + n * u->g_sample + t * u->g_position,
                      least(RUN, last - n),
                      u->a_sample,
                      u->g_sample,
                      part + n,
                      1 };
            add_run(p, &r, begin, end, y);
        }
    for (int64_t n = sample; !over_samples && n < last; n++)
        for (int64_t t = 0; t < u->t; t += RUN) {
            run r = { u->a + n * u->a_sample + t * u->a_position,
                      u->g + n * u->g_sample + t * u->g_position,
                      least(RUN, u->t - t),
                      u->a_position,
                      u->g_position,
                      part + n,
                      0 };
            add_run(p, &r, begin, end, y);
        }
}

static void output_task(void *job, int64_t begin, int64_t end, int thread) {
    const project *p = job;
    linear_share(p, 0, p->job->n, begin * GRAIN, least(end * GRAIN, p->u->dout), thread);
}

/* ---- convolution ---- */

/* y'G of rows row..row+rows of D, which are those of one group. */
static double conv_rows_along(const project *p, int64_t n, int64_t row, int64_t rows, const pitot_real *input, pitot_real *y) {
    const sweep_use *u = p->u;
    int64_t positions = use_positions(u), width = use_width(u), channels = u->groups * u->m;
    const pitot_real *g = u->g + n * u->g_sample, *d = p->t->direction + row * width;
    double sum = 0;
    if (!u->channels_last) {
        blas_gemm(0, 0, rows, positions, width, 1, d, width, input, positions, 0, y, positions);
        return loop_dot(y, g + row * positions, rows * positions);
    }
    blas_gemm(1, 1, positions, rows, width, 1, input, positions, d, width, 0, y, rows);
    for (int64_t k = 0; k < positions; k++) sum += loop_dot(y + k * rows, g + k * channels + row, rows);
    return sum;
}

static double conv_along(const project *p, int64_t n, int thread) {
    const sweep_use *u = p->u;
    tile_room room = { p->room_unfolded + thread * p->unfolded, p->room_planes + thread * p->planes };
    int64_t step = conv_rows(u);
    double sum = 0;
    for (int64_t group = 0; group < u->groups; group++) {
        const pitot_real *input = use_input(u, n, group, &room);
        for (int64_t row = 0; row < u->m; row += step)
            sum +=
                conv_rows_along(p, n, group * u->m + row, least(step, u->m - row), input, p->room_products + thread * p->products);
    }
    return u->scale * sum;
}

/* ---- the walk ---- */

static void sample_task(void *job, int64_t begin, int64_t end, int thread) {
    const project *p = job;
    double *part = p->part + thread * to_lines(p->job->n);
    if (p->u->kind == SWEEP_LINEAR) linear_share(p, begin, end, 0, p->u->dout, thread);
    else
        for (int64_t n = begin; n < end; n++) part[n] += conv_along(p, n, thread);
}

void project_run(const sweep_job *job, int32_t target, arena *a) {
    project p = project_of(job, &job->target[target], a);
    memset(p.part, 0, (size_t)(p.threads * to_lines(job->n)) * sizeof *p.part);
    for (int32_t i = 0; i < p.t->n_uses && p.t->size > 0; i++) {
        p.u = &p.t->use[i];
        int64_t grains = parts(p.u->dout, GRAIN);
        if (p.u->kind == SWEEP_LINEAR && grains >= 4 * p.threads) threads_run(p.threads, grains, output_task, &p);
        else threads_run(p.threads, job->n, sample_task, &p);
    }
    for (int64_t n = 0; n < job->n; n++) {
        double sum = 0;
        for (int k = 0; k < p.threads; k++) sum += p.part[k * to_lines(job->n) + n];
        job->projection[n] += job->scale * sum;
    }
}
