/* pieces.c: see pieces.h. The k-th of the threads begins with the k-th piece, and its room is as large as that takes: all later ones take less. */

#include "optim/core/pieces.h"

#include "base/threads.h"

static int64_t aligned(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static int before(const piece *a, const piece *b) {
    if (a->bytes != b->bytes) return a->bytes > b->bytes;
    return a->i != b->i ? a->i < b->i : a->k < b->k;
}

int64_t pieces_sort(piece *p, int64_t n, int threads) {
    int64_t gap = 1, room = 0;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (int64_t i = gap; i < n; i++) {
            piece x = p[i];
            int64_t j = i;
            for (; j >= gap && before(&x, &p[j - gap]); j -= gap) p[j] = p[j - gap];
            p[j] = x;
        }
    for (int64_t i = 0; i < n && (i < 1 || i < threads); i++) room += aligned(p[i].bytes);
    return room;
}

typedef struct pieces_job {
    const piece *p;
    int64_t n;
    int threads;
    int64_t next; /* the first that nobody has begun */
    char *room;
    void (*make)(void *job, const piece *p, void *room);
    void *job;
} pieces_job;

static void make_some(void *job, int64_t begin, int64_t end, int thread) {
    pieces_job *j = job;
    char *room = j->room;
    (void)end;
    (void)thread;
    if (begin >= j->threads) return;
    for (int64_t i = 0; i < begin && i < j->n; i++) room += aligned(j->p[i].bytes);
    for (int64_t i = begin; i < j->n; i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) j->make(j->job, &j->p[i], room);
}

/* At least two, one of them idle if need be: inside a region BLAS stays on its thread. */
void pieces_run(const piece *p, int64_t n, int threads, void *room, void (*make)(void *job, const piece *p, void *room),
                void *job) {
    threads = threads < 1 ? 1 : threads;
    pieces_job j = { p, n, threads, threads, room, make, job };
    int runs = threads > 1 ? threads : 2;
    if (n > 0) threads_run(runs, runs, make_some, &j);
}
