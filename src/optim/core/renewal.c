/* renewal.c: see renewal.h. The scratch holds the list of factors, then the threads' rooms. */

#include "optim/core/renewal.h"

#include "base/alloc.h"
#include "optim/core/overlap.h"
#include "optim/core/pieces.h"
#include "optim/core/room.h"

#include <string.h>

/* Adds the factors of tensor i to the list from place `at` on, or with NULL counts them; returns the place behind them. */
static int64_t list_tensor(const renewal *r, const void *options, const pitot_tensor_state *t, int64_t i, int64_t at, piece *list) {
    blocks b = r->cut(options, t);
    for (int64_t j = 0; j < blocks_count(&b); j++) {
        block k = blocks_at(&b, j);
        for (int side = 0; side < 2; side++) {
            if (!b.has[side]) continue;
            if (list) list[at] = (piece){ r->bytes(options, k.n[side]), i, 2 * j + side };
            at++;
        }
    }
    return at;
}

/* ---- layout ---- */

/* Bytes of a step's scratch; -1: no memory to count them. */
static int64_t room_for(const renewal *r, const pitot_layout *l) {
    int64_t n = 0, at = 0;
    room total = { 0 };
    for (int64_t i = 0; i < l->n; i++) n = list_tensor(r, l->options, &l->tensor[i], i, n, NULL);
    if (n == 0) return 0;
    piece *list = mem_alloc(n, sizeof *list);
    if (!list) return -1;
    for (int64_t i = 0; i < l->n; i++) at = list_tensor(r, l->options, &l->tensor[i], i, at, list);
    room_take(&total, n * (int64_t)sizeof *list);
    room_take(&total, pieces_sort(list, n, l->threads));
    mem_free(list);
    return total.used;
}

int32_t renewal_layout_run(const renewal *r, pitot_layout *l, int64_t front, pitot_error *error) {
    int64_t bytes = room_for(r, l);
    l->scratch = front + bytes;
    overlap_slot(l, r->overlap(l->options));
    return bytes < 0 ? pitot_fail(error, PITOT_ENOMEM, "no memory for a list of factors") : PITOT_OK;
}

int32_t renewal_layout(const renewal *r, pitot_layout *l, blocks *b, const char *method, const char *rows, const char *columns,
                       pitot_error *error) {
    const pitot_tensor_state *t = &l->tensor[l->i];
    *b = r->cut(l->options, t);
    if (!blocks_fit(b, method, t->name, error)) return PITOT_ENOTSUP;
    blocks_slots(l, b, "factor_rows", "factor_columns");
    blocks_slots(l, b, rows, columns);
    pitot_slot_add(l, "computed", PITOT_F64, 2, (int64_t[]){ blocks_count(b), 2 });
    return PITOT_OK;
}

/* ---- within a step ---- */

typedef struct renewal_job {
    const renewal *r;
    const pitot_stepping *s;
} renewal_job;

static void make_piece(void *job, const piece *p, void *at) {
    const renewal_job *j = job;
    blocks b = j->r->cut(j->s->options, &j->s->tensor[p->i]);
    block k = blocks_at(&b, p->k / 2);
    j->r->make(j->s, p->i, &k, (int)(p->k % 2), at);
}

void renewal_run(const renewal *r, const pitot_stepping *s, int64_t at) {
    renewal_job job = { r, s };
    room space = { (char *)s->scratch + at, 0 };
    piece *list = room_take(&space, 0);
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g && r->due(s->options, &s->tensor[i])) n = list_tensor(r, s->options, &s->tensor[i], i, n, list);
    room_take(&space, n * (int64_t)sizeof *list);
    pieces_sort(list, n, s->threads);
    pieces_run(list, n, s->threads, space.base + space.used, make_piece, &job);
}

/* ---- beside the steps ---- */

void renewal_next_slots(const renewal *r, pitot_layout *l, const blocks *b, const char *rows, const char *columns) {
    int in_use = r->overlap(l->options) > 0;
    for (int a = 0; a < 2; a++)
        pitot_slot_add(l, a ? columns : rows, 0, in_use && b->has[a] ? 1 : -1, (int64_t[]){ blocks_factors(b, a) });
    pitot_slot_add(l, "next_computed", PITOT_F64, in_use ? 2 : -1, (int64_t[]){ blocks_count(b), 2 });
}

static int64_t values_of(const blocks *b) {
    return blocks_factors(b, 0) + blocks_factors(b, 1);
}

void renewal_begin(const renewal *r, const pitot_stepping *s, int64_t scratch) {
    int64_t pieces = 0, values = 0, work = 0;
    for (int64_t i = 0; i < s->n; i++) {
        blocks b = r->cut(s->options, &s->tensor[i]);
        blocks_identity(&b, s->tensor[i].state + r->made);
        int64_t side = blocks_side(&b), bytes = side ? r->bytes(s->options, side) : 0;
        pieces += 2 * blocks_count(&b);
        values += values_of(&b);
        work = bytes > work ? bytes : work;
    }
    if (r->overlap(s->options) > 0) overlap_prepare(s, pieces, work, scratch, values * (int64_t)sizeof(pitot_real));
}

static void copy(const pitot_stepping *s, int64_t i, int from, int to, int64_t n, size_t size) {
    void *const *state = s->tensor[i].state;
    if (state[from]) memcpy(state[to], state[from], (size_t)n * size);
}

/* From the slots in use to those behind `next`, or back. */
static void copy_made(const renewal *r, const pitot_stepping *s, int64_t i, int back) {
    blocks b = r->cut(s->options, &s->tensor[i]);
    for (int a = 0; a < 2; a++)
        copy(s, i, back ? r->next + a : r->made + a, back ? r->made + a : r->next + a, blocks_factors(&b, a), sizeof(pitot_real));
    copy(s, i, back ? r->next + 2 : r->computed, back ? r->computed : r->next + 2, 2 * blocks_count(&b), sizeof(double));
}

void renewal_take(const renewal *r, const pitot_stepping *s, int64_t i) {
    copy_made(r, s, i, 1);
}

/* Factors of tensor i are copied to `at`; what is made of them goes to the slots behind `next`. Returns the place behind the copies. */
static pitot_real *redirect(const renewal *r, overlap *o, int64_t i, pitot_real *at) {
    void **state = o->s.tensor[i].state;
    blocks b = r->cut(o->s.options, &o->s.tensor[i]);
    copy_made(r, &o->s, i, 0);
    for (int a = 0; a < 2; a++) {
        if (!b.has[a]) continue;
        int64_t n = blocks_factors(&b, a);
        memcpy(at, state[r->factor + a], (size_t)n * sizeof *at);
        state[r->factor + a] = at;
        state[r->made + a] = state[r->next + a];
        at += n;
    }
    state[r->computed] = state[r->next + 2];
    return at;
}

static void make_beside(void *job, const piece *p, void *at) {
    const overlap *o = job;
    renewal_job j = { o->with, &o->s };
    make_piece(&j, p, at);
}

static void start(const renewal *r, const pitot_stepping *s) {
    overlap *o = overlap_open(s);
    int64_t n = 0;
    pitot_real *at = (pitot_real *)o->copies;
    for (int64_t i = 0; i < s->n; i++) {
        at = redirect(r, o, i, at);
        if (s->tensor[i].g && r->due(s->options, &s->tensor[i])) n = list_tensor(r, s->options, &s->tensor[i], i, n, o->piece);
    }
    pieces_sort(o->piece, n, 1);
    o->with = r;
    o->s.scratch = o->scratch;
    overlap_start(o, n, make_beside, o);
}

static void take_all(const renewal *r, const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) renewal_take(r, s, i);
}

void renewal_step(const renewal *r, const pitot_stepping *s, int64_t at, void (*take)(const pitot_stepping *s)) {
    int64_t steps = r->overlap(s->options);
    double *number = steps > 0 ? s->run[0] : NULL;
    int due = 0;
    for (int64_t i = 0; i < s->n; i++) due |= s->tensor[i].g && r->due(s->options, &s->tensor[i]);
    if (number && overlap_ends(number, s->t, steps, due)) {
        overlap_wait(s);
        if (take) take(s);
        else take_all(r, s);
        number[OVERLAP_BEGUN] = 0;
    }
    if (!due) return;
    if (number && number[OVERLAP_MADE]++ > 0) {
        number[OVERLAP_BEGUN] = (double)s->t;
        start(r, s);
    } else renewal_run(r, s, at);
}

/* ---- what it shows ---- */

int renewal_view(const renewal *r, const pitot_stepping *s, int64_t i, int32_t n, blocks *b, block *k, int *side,
                 pitot_preconditioner *view) {
    const pitot_tensor_state *t = &s->tensor[i];
    *b = r->cut(s->options, t);
    if (!block_of_view(b, n, k, side)) return 0;
    block_view(k, *side, t->state[r->factor + *side], view);
    view->computed = (int64_t)((const double *)t->state[r->computed])[2 * k->index + *side];
    return 1;
}
