/* step.c: one step, from the outermost wrapper inwards. */

#include "base/threads.h"
#include "optim/core/chunks.h"

#include <string.h>

enum {
    WORTH_THREADS = 1 << 15,
    MOST_RUNS = 64,
    RUN_BLOCKS = 16,  /* a thread takes its run in so many blocks or more */
    MOST_CHUNKS = 32, /* of this many chunks at most */
    APART = 128       /* bytes: counters that do not share cache lines */
};

/* ---- tensors in a row, cut into chunks that threads share ---- */

typedef struct chunk_job {
    const pitot_stepping *s;
    int64_t first, n; /* tensors; those without a gradient have no chunks */
    void (*each)(const struct chunk_job *j, int64_t i, int64_t begin, int64_t end); /* values of tensor i, from a chunk's first */
    void (*update)(const pitot_update *u);
    const void *step;
    int64_t *left; /* (n): values that were left alone */
} chunk_job;

static int64_t chunks_of(const pitot_tensor_state *t) {
    return t->g ? (t->size + OPTIM_CHUNK - 1) / OPTIM_CHUNK : 0;
}

/* Chunks begin..end of the job's. */
static void each_chunk(const chunk_job *j, int64_t begin, int64_t end) {
    int64_t at = 0;
    for (int64_t i = j->first; i < j->first + j->n && at < end; i++) {
        const pitot_tensor_state *t = &j->s->tensor[i];
        int64_t chunks = chunks_of(t), from = begin > at ? begin - at : 0, to = end - at < chunks ? end - at : chunks;
        if (from < to) j->each(j, i, from * OPTIM_CHUNK, to < chunks ? to * OPTIM_CHUNK : t->size);
        at += chunks;
    }
}

/* Each thread goes through a run of its own, the same in every step, block by block, and then helps others with theirs: none waits for one that
   woke up late or is slower, and what is in a core's cache stays of use there. */
typedef struct chunk_runs {
    const chunk_job *j;
    int64_t chunks, block; /* of all runs; of a block */
    int n;
    struct {
        int64_t blocks; /* taken */
        char apart[APART - sizeof(int64_t)];
    } run[MOST_RUNS];
} chunk_runs;

static void each_run(void *argument, int64_t begin, int64_t end, int thread) {
    chunk_runs *r = argument;
    (void)end;
    (void)thread;
    for (int64_t k = 0; k < r->n; k++) {
        int64_t i = (begin + k) % r->n, first = r->chunks * i / r->n, last = r->chunks * (i + 1) / r->n, at;
        while ((at = first + r->block * __atomic_fetch_add(&r->run[i].blocks, 1, __ATOMIC_RELAXED)) < last)
            each_chunk(r->j, at, at + r->block < last ? at + r->block : last);
    }
}

static void share_chunks(const chunk_job *j) {
    int64_t chunks = 0, values = 0, runs = j->s->threads < MOST_RUNS ? j->s->threads : MOST_RUNS;
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        chunks += chunks_of(&j->s->tensor[i]);
        values += j->s->tensor[i].size;
    }
    if (values < WORTH_THREADS || runs < 2) {
        each_chunk(j, 0, chunks);
        return;
    }
    int64_t block = chunks / (runs * RUN_BLOCKS);
    chunk_runs r = { j, chunks, block < 1 ? 1 : block < MOST_CHUNKS ? block : MOST_CHUNKS, (int)runs, { { 0 } } };
    threads_run((int)runs, runs, each_run, &r);
}

/* ---- element by element ---- */

static void update_range(const chunk_job *j, int64_t i, int64_t begin, int64_t end) {
    const pitot_tensor_state *t = &j->s->tensor[i];
    j->update(&(pitot_update){ t->t, begin, end, t->x, t->g, t->state, j->s->options, j->step, &j->left[i - j->first] });
}

static void update_chunks(const chunk_job *j, int64_t i, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += OPTIM_CHUNK) update_range(j, i, at, end - at < OPTIM_CHUNK ? end : at + OPTIM_CHUNK);
}

static void look_and_update(const chunk_job *j, int64_t i, int64_t begin, int64_t end) {
    for (int64_t at = begin, n; at < end; at += n) {
        n = end - at < OPTIM_CHUNK ? end - at : OPTIM_CHUNK;
        if (finite_values(j->s->tensor[i].g + at, n)) update_range(j, i, at, at + n);
        else __atomic_add_fetch(&j->left[i - j->first], n, __ATOMIC_RELAXED);
    }
}

/* 0: nothing of the tensor moved; it has made no step, however many passes find that. */
static int settle(optim_part *p, int64_t i, int64_t left) {
    pitot_tensor_state *t = &p->s.tensor[i];
    if (!t->g) return 0;
    if (left > 0) p->optim->skipped = 1;
    if (left < t->size) return p->optim->moved = 1;
    t->t = (int64_t)(p->count[i + 1] -= (double)(p->left[i] > 0));
    p->left[i] = 0;
    return 0;
}

int32_t pitot_elementwise(const pitot_stepping *s, int64_t i, void (*update)(const pitot_update *u), const void *step) {
    optim_part *p = s->private_;
    int64_t left = 0;
    int good = p->optim->looked && s->tensor[i].g == *p->optim->grad_at[i];
    chunk_job j = { s, i, 1, p->method->careful ? update_range : good ? update_chunks : look_and_update, update, step, &left };
    share_chunks(&j);
    return settle(p, i, left);
}

int chunks_measure(const pitot_stepping *s, int64_t i, void (*pass)(const pitot_update *u), const void *step) {
    int64_t left = 0;
    share_chunks(&(chunk_job){ s, i, 1, update_chunks, pass, step, &left });
    return left == 0;
}

/* All tensors, by the method's own update. */
static void update_all(optim_part *p) {
    memset(p->left, 0, (size_t)p->s.n * sizeof *p->left);
    share_chunks(
        &(chunk_job){ &p->s, 0, p->s.n, p->method->careful ? update_range : look_and_update, p->method->update, NULL, p->left });
    for (int64_t i = 0; i < p->s.n; i++) settle(p, i, p->left[i]);
}

/* ---- parts ---- */

static void count(optim_part *p) {
    p->s.t = (int64_t)++p->count[0];
    for (int64_t i = 0; i < p->s.n; i++) {
        p->left[i] = p->s.tensor[i].g != NULL;
        p->s.tensor[i].t = (int64_t)(p->count[i + 1] += (double)p->left[i]);
    }
}

/* Gradients may have come or gone since: the tensors that were counted. */
static void count_back(optim_part *p) {
    p->s.t = (int64_t)--p->count[0];
    for (int64_t i = 0; i < p->s.n; i++) p->s.tensor[i].t = (int64_t)(p->count[i + 1] -= (double)p->left[i]);
}

static int32_t step_part(optim_part *p) {
    int32_t status = PITOT_OK;
    optim_tell_plan(p);
    count(p);
    if (p->method->step) status = p->method->step(&p->s);
    else if (p == &p->optim->part[0]) update_all(p);
    else status = pitot_inner(&p->s);
    if (status) count_back(p);
    return status;
}

int32_t pitot_inner(pitot_stepping *s) {
    optim_part *p = (optim_part *)s->private_ - 1;
    for (int64_t i = 0; i < s->n; i++) p->s.tensor[i].g = s->tensor[i].g;
    return step_part(p);
}

/* ---- the whole ---- */

static void look(const chunk_job *j, int64_t i, int64_t begin, int64_t end) {
    if (!finite_values(j->s->tensor[i].g + begin, end - begin)) __atomic_store_n(j->left, 1, __ATOMIC_RELAXED);
}

static int all_finite(const pitot_stepping *s) {
    int64_t odd = 0;
    share_chunks(&(chunk_job){ s, 0, s->n, look, NULL, NULL, &odd });
    return !odd;
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

static int32_t gradient_by(pitot_stepping *s, int32_t (*make)(void *user, double *loss), double *loss) {
    int32_t status = make(s->source->user, loss);
    pitot_optim *o = ((const optim_part *)s->private_)->optim;
    find_gradients(o, s);
    o->looked = !status && all_finite(s);
    return status ? status : o->looked ? PITOT_OK : PITOT_EHOST;
}

int32_t pitot_gradient(pitot_stepping *s, double *loss) {
    return gradient_by(s, s->source->gradient, loss);
}

int32_t pitot_data_gradient(pitot_stepping *s, double *loss) {
    return gradient_by(s, s->source->data, loss);
}

int32_t pitot_optim_step(pitot_optim *o) {
    if (!o->n || o->evaluating) return PITOT_EORDER;
    optim_part *outer = &o->part[o->n_parts - 1];
    find_gradients(o, &outer->s);
    int alone = o->n_parts == 1 && (!outer->method->step || outer->method->careful);
    o->looked = !alone && all_finite(&outer->s);
    if (!alone && !o->looked) return PITOT_EHOST;
    keep_gradients(o, 0);
    optim_set_lr(o, pitot_optim_next_lr(o));
    o->skipped = o->moved = 0;
    int32_t status = step_part(outer);
    keep_gradients(o, 1);
    if (!status && o->skipped && !o->moved) outer->count[0]--;
    return status ? status : o->skipped ? PITOT_EHOST : PITOT_OK;
}
