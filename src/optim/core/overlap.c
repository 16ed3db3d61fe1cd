/* overlap.c: see overlap.h. A thread for each time: it is there for milliseconds at least, and none is left over. */

#include "optim/core/overlap.h"

#include "base/alloc.h"
#include "base/threads.h"
#include "optim/core/optimizer.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct overlap_work {
    overlap open;
    pthread_t thread;
    int running;
    int64_t n;
    void (*make)(void *job, const piece *p, void *room);
    void *job;
};

void overlap_slot(pitot_layout *l, int64_t steps) {
    pitot_slot_add(l, "overlap", PITOT_F64, steps > 0 ? 1 : -1, (int64_t[]){ OVERLAP_NUMBERS });
}

static struct overlap_work *of(const pitot_stepping *s) {
    return ((const optim_part *)s->private_)->overlap;
}

void overlap_prepare(const pitot_stepping *s, int64_t most, int64_t work, int64_t scratch, int64_t copies) {
    optim_part *p = s->private_;
    struct overlap_work *o = mem_alloc(1, sizeof *o);
    p->overlap = o;
    p->no_overlap = 1;
    if (!o) return;
    o->open.most = most;
    o->open.piece = mem_alloc(most + 1, sizeof *o->open.piece);
    o->open.s.tensor = mem_alloc(s->n, sizeof *s->tensor);
    o->open.work = mem_alloc(work + 1, 1);
    o->open.scratch = mem_alloc(scratch + 1, 1);
    o->open.copies = mem_alloc(copies + 1, 1);
    p->no_overlap = !o->open.piece || !o->open.s.tensor || !o->open.work || !o->open.scratch || !o->open.copies;
}

overlap *overlap_open(const pitot_stepping *s) {
    overlap *o = &of(s)->open;
    pitot_tensor_state *own = o->s.tensor;
    overlap_wait(s);
    o->s = *s;
    o->s.tensor = own;
    memcpy(own, s->tensor, (size_t)s->n * sizeof *own);
    return o;
}

static void make_all(struct overlap_work *o) {
    for (int64_t i = 0; i < o->n; i++) o->make(o->job, &o->open.piece[i], o->open.work);
}

static void *work(void *argument) {
    threads_alone();
    make_all(argument);
    return NULL;
}

/* Signals are for the threads that the host knows. */
void overlap_start(overlap *open, int64_t n, void (*make)(void *job, const piece *p, void *room), void *job) {
    struct overlap_work *o = (struct overlap_work *)open;
    sigset_t all, before;
    o->n = n;
    o->make = make;
    o->job = job;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    o->running = pthread_create(&o->thread, NULL, work, o) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!o->running) make_all(o);
}

static void wait_for(struct overlap_work *o) {
    if (o && o->running) pthread_join(o->thread, NULL);
    if (o) o->running = 0;
}

void overlap_wait(const pitot_stepping *s) {
    wait_for(of(s));
}

void optim_part_wait(optim_part *p) {
    wait_for(p->overlap);
}

void optim_part_end_overlap(optim_part *p) {
    struct overlap_work *o = p->overlap;
    wait_for(o);
    if (o) {
        mem_free(o->open.piece);
        mem_free(o->open.s.tensor);
        mem_free(o->open.work);
        mem_free(o->open.scratch);
        mem_free(o->open.copies);
    }
    mem_free(o);
    p->overlap = NULL;
    p->no_overlap = 0;
}

int overlap_ends(const double *numbers, int64_t t, int64_t steps, int due) {
    double begun = numbers[OVERLAP_BEGUN];
    return begun > 0 && (due || (double)t >= begun + (double)steps);
}
