/* winograd.c: see winograd.h. A few samples at a time: their images with channels side by side, the points of their tiles, a product of
   matrices at each point. What belongs to the weight is made at a thread's first span and kept; the weight's gradient is summed at the
   points, and made of them at the last. */

#include "net/winograd.h"

#include "base/blas.h"
#include "net/winograd_tile.h"

#include <string.h>

enum {
    FEWEST = 16,      /* channels on either side for which the transforms pay */
    CACHED = 1 << 20, /* bytes that points of input and output take together, if they are of more than one sample */
    WEIGHTS = 1 << 20 /* values of points of a weight, which every few samples pass: no more than stay in cache */
};

typedef struct side { /* of the input, or of the output */
    int64_t channels, size[2], border[2];
    tiles tiles;
    int64_t image; /* values */
} side;

typedef struct room { /* of a thread; begins of `points` values of each point's (tiles of all samples, deep) */
    pitot_real *image, *input, *output, *second_output; /* scratch */
    pitot_real *weight, *weight_t, *dweight;            /* own: (points, rows, ld) */
} room;

typedef struct plan {
    const conv *c;
    side in, out;
    int64_t count, points, together; /* tiles of a sample, points of a tile; samples at a time */
    int64_t image, weight;           /* values */
} plan;

static int64_t lanes(int64_t n) {
    return (n + TILE_LANES - 1) / TILE_LANES * TILE_LANES;
}

static int64_t largest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static side side_of(int64_t channels, const int64_t *size, const int64_t *border, const int64_t *count, int64_t side_of_tile,
                    int64_t step, int64_t reach) {
    side s = { .channels = channels };
    s.tiles = (tiles){ .side = side_of_tile, .step = step, .deep = lanes(channels) };
    s.tiles.wide = ((count[1] - 1) * step + reach) * s.tiles.deep;
    s.image = ((count[0] - 1) * step + reach) * s.tiles.wide;
    for (int i = 0; i < 2; i++) {
        s.size[i] = size[i];
        s.border[i] = border[i];
        s.tiles.count[i] = count[i];
    }
    return s;
}

static plan plan_with(const conv *c, int64_t side_of_tile) {
    static const int64_t none[2] = { 0 };
    const window *w = &c->w;
    int64_t step = side_of_tile + 1 - w->kernel[0], count[2];
    for (int i = 0; i < 2; i++) count[i] = (w->out[i] + step - 1) / step;
    plan p = { .c = c, .count = count[0] * count[1], .points = side_of_tile * side_of_tile };
    p.in = side_of(w->channels, w->in, w->padding, count, side_of_tile, step, side_of_tile);
    p.out = side_of(c->m, w->out, none, count, side_of_tile, step, step);
    int64_t bytes = p.points * p.count * (p.in.tiles.deep + p.out.tiles.deep) * (int64_t)sizeof(pitot_real);
    p.together = bytes > CACHED ? 1 : CACHED / bytes < OP_SAMPLES ? CACHED / bytes : OP_SAMPLES;
    p.image = largest(p.in.image, p.out.image);
    p.weight = p.points * largest(w->channels * p.out.tiles.deep, c->m * p.in.tiles.deep);
    return p;
}

/* The small tiles where large ones, more of which lies beyond the edges, take no fewer multiplications. */
static plan plan_of(const conv *c) {
    plan large = plan_with(c, 6);
    if (c->w.kernel[0] != 3) return large;
    plan small = plan_with(c, 4);
    return small.count * small.points <= large.count * large.points ? small : large;
}

/* Whether tiles have clearly fewer multiplications than windows, what lies beyond the edges and behind the channels counted in. */
static int is_worth_it(const conv *c) {
    const window *w = &c->w;
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != w->kernel[0] || w->stride[i] != 1 || w->dilation[i] != 1) return 0;
    if ((w->kernel[0] != 3 && w->kernel[0] != 5) || c->groups > 1 || w->channels < FEWEST || c->m < FEWEST) return 0;
    if ((double)w->channels * (double)c->m > WEIGHTS) return 0; /* from here on nothing overflows */
    plan p = plan_of(c);
    double tiled = (double)p.points * (double)p.count * (double)p.in.tiles.deep * (double)p.out.tiles.deep;
    return p.weight <= WEIGHTS && 1.5 * tiled < (double)c->p * (double)c->k * (double)c->m;
}

int64_t winograd_scratch(const conv *c) {
    if (!is_worth_it(c)) return 0;
    plan p = plan_of(c);
    return p.image + p.points * p.together * p.count * (p.in.tiles.deep + 2 * p.out.tiles.deep);
}

int64_t winograd_own(const conv *c) {
    return is_worth_it(c) ? 3 * plan_of(c).weight : 0;
}

static room room_of(const plan *p, const span *s) {
    int64_t places = p->points * p->together * p->count;
    room r = { .image = s->scratch, .input = s->scratch + p->image };
    r.output = r.input + places * p->in.tiles.deep;
    r.second_output = r.output + places * p->out.tiles.deep;
    r.dweight = s->own;
    r.weight = r.dweight + p->weight;
    r.weight_t = r.weight + p->weight;
    return r;
}

/* ---- images and their points: of samples at..at+n, from or to x (samples, channels, size) ---- */

static tiles tiles_for(const plan *p, const side *d, int64_t n) {
    tiles t = d->tiles;
    t.stride = n * p->count * t.deep;
    return t;
}

/* With zeros around it. */
static void open_image(const side *d, const pitot_real *x, pitot_real *image) {
    const tiles *t = &d->tiles;
    memset(image, 0, (size_t)d->image * sizeof *image);
    tiles_interleave(x, d->channels, d->size[0], d->size[1], image + d->border[0] * t->wide + d->border[1] * t->deep, t->wide,
                     t->deep);
}

static void close_image(const side *d, const pitot_real *image, const pitot_real *bias, pitot_real *x) {
    const tiles *t = &d->tiles;
    tiles_separate(image + d->border[0] * t->wide + d->border[1] * t->deep, t->wide, t->deep, d->channels, d->size[0], d->size[1],
                   bias, x);
}

static int64_t values_of(const side *d) {
    return d->channels * d->size[0] * d->size[1];
}

typedef void (*transform)(const tiles *t, const pitot_real *image, pitot_real *points);

static void to_points(const plan *p, const side *d, transform of, int64_t n, const pitot_real *x, pitot_real *image,
                      pitot_real *points) {
    tiles t = tiles_for(p, d, n);
    for (int64_t k = 0; k < n; k++, points += p->count * t.deep) {
        open_image(d, x + k * values_of(d), image);
        of(&t, image, points);
    }
}

static void from_points_of_output(const plan *p, int64_t n, const room *r, const pitot_real *bias, pitot_real *y) {
    tiles t = tiles_for(p, &p->out, n);
    for (int64_t k = 0; k < n; k++) {
        tiles_to_output(&t, r->output + k * p->count * t.deep, r->image);
        close_image(&p->out, r->image, bias, y + k * values_of(&p->out));
    }
}

static void from_points_of_input(const plan *p, int64_t n, const room *r, pitot_real *dx) {
    tiles t = tiles_for(p, &p->in, n);
    for (int64_t k = 0; k < n; k++) {
        memset(r->image, 0, (size_t)p->in.image * sizeof *r->image);
        tiles_to_input(&t, r->input + k * p->count * t.deep, r->image);
        close_image(&p->in, r->image, NULL, dx + k * values_of(&p->in));
    }
}

/* ---- the weight: (C,M) at each point on the way up, (M,C) on the way down ---- */

static kernels kernels_of(const plan *p, int down) {
    const window *w = &p->c->w;
    int64_t size = w->kernel[0], of_row = p->c->k, of_channel = size * size;
    kernels k = { w->channels, p->c->m, of_channel, of_row, size, p->in.tiles.side, p->out.tiles.deep, 0 };
    if (down) k = (kernels){ p->c->m, w->channels, of_row, of_channel, size, p->in.tiles.side, p->in.tiles.deep, 0 };
    k.stride = k.rows * k.ld;
    return k;
}

/* c (rows of both, columns) = beta c + a (rows, depth) b (depth, columns), at each point; lda, ldb of whole lanes */
static void multiply(int64_t points, int64_t rows, int64_t columns, int64_t depth, const pitot_real *a, int64_t lda,
                     const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc) {
    for (int64_t i = 0; i < points; i++, a += rows * lda, b += depth * ldb, c += rows * ldc)
        blas_gemm(0, 0, rows, columns, depth, 1, a, lda, b, ldb, beta, c, ldc);
}

/* output (tiles,M) = beta output + input (tiles,C) weight (C,M) */
static void up(const plan *p, int64_t n, const room *r, const pitot_real *weight, double beta) {
    multiply(p->points, n * p->count, p->out.tiles.deep, p->in.channels, r->input, p->in.tiles.deep, weight, p->out.tiles.deep,
             beta, r->output, p->out.tiles.deep);
}

/* input (tiles,C) = beta input + output (tiles,M) weight (M,C) */
static void down(const plan *p, int64_t n, const room *r, const pitot_real *output, const pitot_real *weight, double beta) {
    multiply(p->points, n * p->count, p->in.tiles.deep, p->out.channels, output, p->out.tiles.deep, weight, p->in.tiles.deep, beta,
             r->input, p->in.tiles.deep);
}

/* dweight (C,M) = beta dweight + input' output */
static void add_to_weight(const plan *p, int64_t n, const room *r, const pitot_real *output, double beta) {
    int64_t rows = n * p->count, c = p->in.channels, m = p->out.tiles.deep, deep = p->in.tiles.deep;
    for (int64_t i = 0; i < p->points; i++)
        blas_gemm(1, 0, c, m, rows, 1, r->input + i * rows * deep, deep, output + i * rows * m, m, beta, r->dweight + i * c * m, m);
}

/* ---- the ways ---- */

static void make_weights(const plan *p, const span *s, const room *r, int is_down) {
    kernels k = kernels_of(p, is_down);
    if (!s->first) return;
    tiles_of_kernels(&k, s->weight, r->weight);
    if (s->weight_t) tiles_of_kernels(&k, s->weight_t, r->weight_t);
}

void winograd_forward(const conv *c, const span *s) {
    plan p = plan_of(c);
    room r = room_of(&p, s);
    make_weights(&p, s, &r, 0);
    for (int64_t i = 0, n; i < s->n; i += n) {
        n = s->n - i < p.together ? s->n - i : p.together;
        to_points(&p, &p.in, tiles_of_input, n, s->x[0] + i * values_of(&p.in), r.image, r.input);
        up(&p, n, &r, r.weight, 0);
        from_points_of_output(&p, n, &r, s->bias, s->y + i * values_of(&p.out));
    }
}

/* Yt = Wt X + W Xt + bt */
void winograd_tangent(const conv *c, const span *s) {
    plan p = plan_of(c);
    room r = room_of(&p, s);
    make_weights(&p, s, &r, 0);
    for (int64_t i = 0, n; i < s->n; i += n) {
        n = s->n - i < p.together ? s->n - i : p.together;
        if (s->weight_t) {
            to_points(&p, &p.in, tiles_of_input, n, s->x[0] + i * values_of(&p.in), r.image, r.input);
            up(&p, n, &r, r.weight_t, 0);
        }
        if (s->xt[0]) {
            to_points(&p, &p.in, tiles_of_input, n, s->xt[0] + i * values_of(&p.in), r.image, r.input);
            up(&p, n, &r, r.weight, s->weight_t ? 1 : 0);
        }
        if (!s->weight_t && !s->xt[0]) memset(r.output, 0, (size_t)(p.points * n * p.count * p.out.tiles.deep) * sizeof *r.output);
        from_points_of_output(&p, n, &r, s->bias_t, s->yt + i * values_of(&p.out));
    }
}

/* dX = W' G, dW += G X'; of tangents, where G and X move as well: dX = W' Gt + Wt' G, dW += Gt X' + G Xt' */
static void backward_some(const plan *p, const span *s, const room *r, int64_t i, int64_t n) {
    int64_t in = i * values_of(&p->in), out = i * values_of(&p->out);
    int bends = s->g && s->weight_t && s->dx[0];
    to_points(p, &p->out, tiles_of_output, n, s->dy + out, r->image, r->output);
    if (s->dweight) {
        to_points(p, &p->in, tiles_of_input, n, s->x[0] + in, r->image, r->input);
        add_to_weight(p, n, r, r->output, s->first && i == 0 ? 0 : 1);
    }
    if (bends) to_points(p, &p->out, tiles_of_output, n, s->g + out, r->image, r->second_output);
    if (bends && s->dweight) {
        to_points(p, &p->in, tiles_of_input, n, s->xt[0] + in, r->image, r->input);
        add_to_weight(p, n, r, r->second_output, 1);
    }
    if (!s->dx[0]) return;
    down(p, n, r, r->output, r->weight, 0);
    if (bends) down(p, n, r, r->second_output, r->weight_t, 1);
    from_points_of_input(p, n, r, s->dx[0] + in);
}

void winograd_backward(const conv *c, const span *s) {
    plan p = plan_of(c);
    room r = room_of(&p, s);
    if (s->dx[0]) make_weights(&p, s, &r, 1);
    for (int64_t i = 0, n; i < s->n; i += n) {
        n = s->n - i < p.together ? s->n - i : p.together;
        backward_some(&p, s, &r, i, n);
    }
    if (!s->dweight || !s->last) return;
    kernels k = kernels_of(&p, 0);
    tiles_to_kernels(&k, r.dweight, s->dweight);
}
