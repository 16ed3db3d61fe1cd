/* step.c: one step, from the outermost wrapper inwards. */

#include "base/threads.h"
#include "optim/core/optimizer.h"

#include <string.h>

enum { WORTH_THREADS = 1 << 15 };

/* ---- element by element ---- */

typedef struct update_job {
    void (*update)(const pitot_update *u);
    pitot_update u;
    int64_t *skipped; /* chunks */
} update_job;

static void update_chunks(void *argument, int64_t begin, int64_t end, int thread) {
    const update_job *j = argument;
    (void)thread;
    for (int64_t c = begin; c < end; c++) {
        pitot_update u = j->u;
        u.begin = c * OPTIM_CHUNK;
        u.end = u.begin + OPTIM_CHUNK < j->u.end ? u.begin + OPTIM_CHUNK : j->u.end;
        if (finite_values(u.g + u.begin, u.end - u.begin)) j->update(&u);
        else __atomic_add_fetch(j->skipped, 1, __ATOMIC_RELAXED);
    }
}

void pitot_elementwise(const pitot_stepping *s, int64_t i, void (*update)(const pitot_update *u), const void *step) {
    pitot_tensor_state *t = &s->tensor[i];
    optim_part *p = s->private_;
    int64_t skipped = 0, chunks = (t->size + OPTIM_CHUNK - 1) / OPTIM_CHUNK;
    update_job job = { update, { t->t, 0, t->size, t->x, t->g, t->state, s->options, step }, &skipped };
    if (!t->g) return;
    threads_run(t->size >= WORTH_THREADS ? s->threads : 1, chunks, update_chunks, &job);
    if (skipped > 0) p->optim->skipped = 1;
    if (skipped < chunks) p->optim->moved = 1;
    if (skipped < chunks || skipped == 0) return;
    t->t--; /* nothing of it moved: this was no step */
    p->count[i + 1]--;
}

/* ---- parts ---- */

static void count(optim_part *p, double by) {
    p->count[0] += by;
    p->s.t = (int64_t)p->count[0];
    for (int64_t i = 0; i < p->s.n; i++) {
        if (p->s.tensor[i].g) p->count[i + 1] += by;
        p->s.tensor[i].t = (int64_t)p->count[i + 1];
    }
}

static int32_t step_part(optim_part *p) {
    int32_t status = PITOT_OK;
    count(p, 1);
    if (p->method->step) status = p->method->step(&p->s);
    else if (p == &p->optim->part[0])
        for (int64_t i = 0; i < p->s.n; i++) pitot_elementwise(&p->s, i, p->method->update, NULL);
    else status = pitot_inner(&p->s);
    if (status) count(p, -1);
    return status;
}

int32_t pitot_inner(pitot_stepping *s) {
    optim_part *p = (optim_part *)s->private_ - 1;
    for (int64_t i = 0; i < s->n; i++) p->s.tensor[i].g = s->tensor[i].g;
    return step_part(p);
}

/* ---- the whole ---- */

static int all_finite(const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g && !finite_values(s->tensor[i].g, s->tensor[i].size)) return 0;
    return 1;
}

/* The loop's gradient arrays, kept or put back. */
static void keep_gradients(pitot_optim *o, int back) {
    const pitot_tensor_state *t = o->part[0].s.tensor;
    for (int64_t i = 0; o->kept_g && i < o->n; i++) {
        pitot_real *g = (pitot_real *)*o->grad_at[i], *kept = o->kept_g + t[i].at;
        if (g) memcpy(back ? g : kept, back ? kept : g, (size_t)t[i].size * sizeof *g);
    }
}

static void find_gradients(const pitot_optim *o, pitot_stepping *s) {
    for (int64_t i = 0; i < o->n; i++) s->tensor[i].g = *o->grad_at[i];
}

int32_t pitot_gradient(pitot_stepping *s, double *loss) {
    int32_t status = s->source->gradient(s->source->user, loss);
    find_gradients(((const optim_part *)s->private_)->optim, s);
    return status ? status : all_finite(s) ? PITOT_OK : PITOT_EHOST;
}

int32_t pitot_optim_step(pitot_optim *o) {
    if (!o->n || o->evaluating) return PITOT_EORDER;
    optim_part *outer = &o->part[o->n_parts - 1];
    find_gradients(o, &outer->s);
    int alone = o->n_parts == 1 && !outer->method->step;
    if (!alone && !all_finite(&outer->s)) return PITOT_EHOST;
    keep_gradients(o, 0);
    optim_set_lr(o, pitot_optim_next_lr(o));
    o->skipped = o->moved = 0;
    int32_t status = step_part(outer);
    keep_gradients(o, 1);
    if (o->skipped && !o->moved) outer->count[0]--;
    return status ? status : o->skipped ? PITOT_EHOST : PITOT_OK;
}
