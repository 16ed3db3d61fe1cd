/* renewal.c: see renewal.h. The scratch holds the list of factors, then the threads' rooms. */

#include "optim/core/renewal.h"

#include "base/alloc.h"
#include "optim/core/pieces.h"
#include "optim/core/room.h"

static blocks cut(const renewal *r, const void *options, const pitot_tensor_state *t) {
    return r->cut ? r->cut(options, t) : blocks_of(t, r->most, 0);
}

/* Adds the factors of tensor i to the list from place `at` on, or with NULL counts them; returns the place behind them. */
static int64_t list_tensor(const renewal *r, const void *options, const pitot_tensor_state *t, int64_t i, int64_t at, piece *list) {
    blocks b = cut(r, options, t);
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

int64_t renewal_room(const renewal *r, const pitot_layout *l) {
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

typedef struct renewal_job {
    const renewal *r;
    const pitot_stepping *s;
} renewal_job;

static void make_piece(void *job, const piece *p, void *at) {
    const renewal_job *j = job;
    pitot_tensor_state *t = &j->s->tensor[p->i];
    blocks b = cut(j->r, j->s->options, t);
    block k = blocks_at(&b, p->k / 2);
    j->r->make(j->s->options, t, &k, (int)(p->k % 2), at);
}

void renewal_run(const renewal *r, const pitot_stepping *s) {
    renewal_job job = { r, s };
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g && r->due(s->options, &s->tensor[i])) n = list_tensor(r, s->options, &s->tensor[i], i, n, s->scratch);
    room space = { s->scratch, 0 };
    piece *list = room_take(&space, n * (int64_t)sizeof *list);
    pieces_sort(list, n, s->threads);
    pieces_run(list, n, s->threads, (char *)s->scratch + space.used, make_piece, &job);
}
