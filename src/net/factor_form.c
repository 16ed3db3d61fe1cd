/* factor_form.c: see factor_conv.h. The image lies with zeros around it and its channels innermost, so that a row of a window is one run of
   values: nothing is unfolded. */

#include "net/factor_conv.h"

#include "base/alloc.h"
#include "pitot/hot.h"

#include <string.h>

enum { IMAGES = 1 << 18 }; /* bytes of images that stay in cache beside all else */

struct form_room {
    pitot_real *image; /* (slots, in0 + 2 padding, wide, channels) */
    pitot_real *tile;  /* (GATHER_ROWS, ld) */
    pitot_real *l;     /* (slots, P, GATHER_ROWS): a channel's entries */
    int64_t *at;       /* (slots P + 1): their positions, then where their windows begin */
    int32_t *some;     /* (P) */
};

static int64_t lanes(int64_t n) {
    return (n + GATHER_LANES - 1) / GATHER_LANES * GATHER_LANES;
}

static int make_room(const forming *f, form_room *r) {
    /* a kernel reads whole lanes, the last ones behind the image */
    r->image = mem_alloc(f->slots * f->image + GATHER_LANES, sizeof *r->image);
    r->tile = mem_alloc(GATHER_ROWS, (size_t)f->ld * sizeof *r->tile);
    r->l = mem_alloc(f->slots * f->c.p, GATHER_ROWS * sizeof *r->l);
    r->at = mem_alloc(f->slots * f->c.p + 1, sizeof *r->at);
    r->some = mem_alloc(f->c.p, sizeof *r->some);
    return r->image && r->tile && r->l && r->at && r->some;
}

int form_begin(forming *f, const node *n, int32_t threads, int32_t slots) {
    *f = (forming){ .c = conv_of(n), .threads = threads, .kernel = gather_choose(GATHER_BEST) };
    const window *w = &f->c.w;
    f->wide = w->in[1] + 2 * w->padding[1];
    f->image = (w->in[0] + 2 * w->padding[0]) * f->wide * w->channels;
    f->row = w->dilation[1] == 1 ? w->kernel[1] * w->channels : w->channels;
    f->ld = lanes(f->c.k + GATHER_LANES) | GATHER_LANES;
    while (slots > 1 && slots * f->image * (int64_t)sizeof(pitot_real) > IMAGES) slots--;
    f->slots = slots;
    f->offset = mem_alloc(f->c.p, sizeof *f->offset);
    f->room = mem_alloc(threads, sizeof *f->room);
    int ready = f->offset && f->room;
    for (int64_t p = 0; ready && p < f->c.p; p++)
        f->offset[p] = (p / w->out[1] * w->stride[0] * f->wide + p % w->out[1] * w->stride[1]) * w->channels;
    for (int32_t t = 0; ready && t < threads; t++) ready = make_room(f, &f->room[t]);
    return ready;
}

void form_end(forming *f) {
    for (int32_t t = 0; f->room && t < f->threads; t++) {
        void *const blocks[] = { f->room[t].image, f->room[t].tile, f->room[t].l, f->room[t].at, f->room[t].some };
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    }
    mem_free(f->room);
    mem_free(f->offset);
}

/* to (columns, rows) = from (rows, columns)' */
PITOT_HOT static void transpose(const pitot_real *from, int64_t rows, int64_t next, int64_t columns, pitot_real *to) {
    enum { BLOCK = 16 };
    for (int64_t j = 0; j < columns; j += BLOCK)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = j; k < columns && k < j + BLOCK; k++) to[k * rows + i] = from[i * next + k];
}

void form_image(const forming *f, const pitot_real *x, int64_t slot, int thread) {
    const window *w = &f->c.w;
    for (int64_t y = 0; y < w->in[0]; y++)
        transpose(x + y * w->in[1], w->channels, w->in[0] * w->in[1], w->in[1],
                  f->room[thread].image + slot * f->image + ((y + w->padding[0]) * f->wide + w->padding[1]) * w->channels);
}

PITOT_HOT static void mark(const pitot_real *s, int64_t positions, int first, int32_t *some) {
    for (int64_t i = 0; i < positions; i++) some[i] = (first ? 0 : some[i]) | (s[i] != 0);
}

int64_t form_entries(const pitot_real *s, int64_t next, int64_t columns, int64_t positions, int64_t *at, int32_t *some) {
    int64_t n = 0;
    for (int64_t c = 0; c < columns; c++) mark(s + c * next, positions, c == 0, some);
    for (int64_t p = 0; p < positions; p++) {
        at[n] = p;
        n += some[p];
    }
    return n;
}

/* The tile of what the lists hold: entries end[i-1]..end[i] of slot i. */
static void multiply(const forming *f, const form_room *r, int64_t rows, int64_t slots, const int64_t *end) {
    const window *w = &f->c.w;
    gather_run run[FORM_SLOTS];
    gather g = { rows, r->l, r->at, slots, run };
    /* what is beyond a row's own values goes to where the next row's come after it */
    for (int64_t i = 0; i < f->c.k / f->row; i++) {
        int64_t across = f->c.k / f->row / w->kernel[0], ky = i / across, kx = i % across;
        int64_t at = (ky * w->dilation[0] * f->wide + kx * w->dilation[1]) * w->channels;
        for (int64_t s = 0; s < slots; s++) run[s] = (gather_run){ s ? end[s - 1] : 0, end[s], at + s * f->image };
        f->kernel(&g, r->image, lanes(f->row), r->tile + i * f->row, f->ld);
    }
}

const pitot_real *form_channel(const forming *f, const pitot_real *s, int64_t next, int64_t columns, int thread) {
    const form_room *r = &f->room[thread];
    int64_t rows = gather_rows(columns), n = form_entries(s, next, columns, f->c.p, r->at, r->some);
    if (columns < rows) memset(r->l, 0, (size_t)(n * rows) * sizeof *r->l);
    for (int64_t c = 0; c < columns; c++)
        for (int64_t e = 0; e < n; e++) r->l[e * rows + c] = s[c * next + r->at[e]];
    for (int64_t e = 0; e < n; e++) r->at[e] = f->offset[r->at[e]];
    multiply(f, r, rows, 1, &n);
    return r->tile;
}

/* l (rows) = sum over columns of an entry's values times c (columns, rows) */
PITOT_HOT static void combine(const pitot_real *s, int64_t next, int64_t columns, const pitot_real *c, int64_t rows,
                              pitot_real *l) {
    pitot_real sum[GATHER_ROWS] = { 0 };
    for (int64_t i = 0; i < columns; i++, c += rows)
        for (int64_t r = 0; r < rows; r++) sum[r] += s[i * next] * c[r];
    for (int64_t r = 0; r < rows; r++) l[r] = sum[r];
}

const pitot_real *form_sum(const forming *f, form_sums *of, int thread) {
    const form_room *r = &f->room[thread];
    int64_t n = 0, end[FORM_SLOTS], rows = of->rows;
    for (int64_t i = 0; i < of->samples; i++) {
        int64_t *at = r->at + n, found = form_entries(of->s[i], of->next, of->columns, f->c.p, at, r->some);
        for (int64_t e = 0; e < found; e++) {
            combine(of->s[i] + at[e], of->next, of->columns, of->c[i], rows, r->l + (n + e) * rows);
            for (int64_t k = 0; k < rows; k++) of->bias[k] += (double)r->l[(n + e) * rows + k];
            at[e] = f->offset[at[e]];
        }
        n += found;
        end[i] = n;
    }
    multiply(f, r, rows, of->samples, end);
    return r->tile;
}
