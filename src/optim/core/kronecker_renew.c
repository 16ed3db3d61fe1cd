/* kronecker_renew.c: when factors are decomposed: in their step, or beside the steps (core/overlap.h). */

#include "optim/core/kronecker_parts.h"
#include "optim/core/optimizer.h"

#include <string.h>

typedef struct beside { /* what a decomposition beside the steps sees */
    kronecker k;
    kronecker_job j;
    layer list[];
} beside;

int64_t kronecker_beside_bytes(int64_t layers) {
    return (int64_t)sizeof(beside) + layers * (int64_t)sizeof(layer);
}

static int64_t bytes_of(const pitot_stepping *s, int64_t i, int slot) {
    return slot_bytes(&((const optim_part *)s->private_)->slots[i].slot[slot]);
}

static void copy_group(const pitot_stepping *s, int64_t i, int from, int to, int64_t group, int64_t groups) {
    int64_t bytes = bytes_of(s, i, from) / groups;
    char *x = s->tensor[i].state[from], *y = s->tensor[i].state[to];
    if (x) memcpy(y + group * bytes, x + group * bytes, (size_t)bytes);
}

static int64_t groups_of(const pitot_stepping *s, int64_t i) {
    return bytes_of(s, i, KRONECKER_NUMBERS) / (KRONECKER_PER_GROUP * (int64_t)sizeof(double));
}

/* Where tensor i has slots for what is made beside the steps, what is in use is copied there: pieces that fail leave it. */
static void copy_used(const pitot_stepping *s, int64_t i) {
    for (int k = 0; k < KRONECKER_MADE && s->tensor[i].state[KRONECKER_NEXT]; k++)
        copy_group(s, i, KRONECKER_S_USED + k, KRONECKER_NEXT + k, 0, 1);
}

/* Factors of layer l are copied to `at`; what is made of them goes to the slots behind KRONECKER_NEXT. Returns the place behind the copies. */
static char *redirect(overlap *o, const layer *l, char *at) {
    void **state = o->s.tensor[l->weight].state;
    for (int k = KRONECKER_S; k <= KRONECKER_A; k++) {
        int64_t bytes = bytes_of(&o->s, l->weight, k);
        memcpy(at, state[k], (size_t)bytes);
        state[k] = at;
        at += bytes;
    }
    for (int k = 0; k < KRONECKER_MADE; k++) state[KRONECKER_S_USED + k] = state[KRONECKER_NEXT + k];
    return at;
}

static void start(const kronecker_job *j) {
    overlap *o = overlap_open(j->s);
    beside *b = o->scratch;
    char *at = o->copies;
    b->k = *j->k;
    b->j = (kronecker_job){ .k = &b->k, .s = &o->s, .room = { .layer = b->list }, .n = j->n };
    memcpy(b->list, j->room.layer, (size_t)j->n * sizeof *b->list);
    memcpy(o->piece, j->room.piece, (size_t)j->room.pieces * sizeof *o->piece);
    for (int64_t i = 0; i < j->s->n; i++) copy_used(j->s, i);
    for (int64_t i = 0; i < j->n; i++) at = redirect(o, &b->list[i], at);
    overlap_start(o, j->room.pieces, kronecker_decompose, &b->j);
}

/* Groups that have been decomposed since. */
static void take(const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        if (!s->tensor[i].state[KRONECKER_NEXT]) continue;
        double *now = s->tensor[i].state[KRONECKER_NUMBERS], *next = s->tensor[i].state[KRONECKER_NEXT + KRONECKER_MADE - 1];
        int64_t groups = groups_of(s, i);
        for (int64_t g = 0; g < groups; g++, now += KRONECKER_PER_GROUP, next += KRONECKER_PER_GROUP) {
            if (next[KRONECKER_COMPUTED] == now[KRONECKER_COMPUTED]) continue;
            for (int k = 0; k < KRONECKER_MADE - 1; k++) copy_group(s, i, KRONECKER_NEXT + k, KRONECKER_S_USED + k, g, groups);
            for (int k = KRONECKER_COMPUTED; k < KRONECKER_PER_GROUP; k++) now[k] = next[k];
        }
    }
}

void kronecker_decompose_all(kronecker_job *j) {
    pieces_run(j->room.piece, j->room.pieces, j->s->threads, j->room.work, kronecker_decompose, j);
}

int kronecker_renew(kronecker_job *j, int due) {
    double *number = j->k->overlap > 0 ? j->s->run[KRONECKER_OVERLAP] : NULL;
    int taken = number && overlap_ends(number, j->s->t, j->k->overlap, due);
    if (taken) {
        overlap_wait(j->s);
        take(j->s);
        number[OVERLAP_BEGUN] = 0;
    }
    if (!due) return taken;
    if (number && number[OVERLAP_MADE]++ > 0 && j->s->t > j->k->t_first) {
        number[OVERLAP_BEGUN] = (double)j->s->t;
        start(j);
        return taken;
    }
    kronecker_decompose_all(j);
    return 1;
}
