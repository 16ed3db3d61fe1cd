/* optimizer.c: the registry, and an optimizer at work: options, state, steps. */

#include "optim/core/optimizer.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/threads.h"

#include <stdio.h>
#include <string.h>

enum { WORTH_THREADS = 1 << 15, LINE = 64 / sizeof(pitot_real) };

const pitot_optimizer *const *pitot_optimizers(void) {
    return optimizer_table;
}

const pitot_optimizer *pitot_optimizer_find(const char *name) {
    for (const pitot_optimizer *const *m = optimizer_table; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

static void unknown(const char *name, pitot_error *error) {
    const char *names[256];
    char list[512];
    int n = 0;
    for (const pitot_optimizer *const *m = optimizer_table; *m && n < 256; m++) names[n++] = (*m)->name;
    nearest_list(name, names, n, list, sizeof list);
    pitot_fail(error, PITOT_EINVAL, "unknown optimizer \"%.60s\"; %s", name, list);
}

pitot_optim *pitot_optim_new(const char *name, pitot_error *error) {
    const pitot_optimizer *method = pitot_optimizer_find(name);
    if (!method) return unknown(name, error), NULL;
    pitot_optim *o = mem_alloc(1, sizeof *o);
    void *options = mem_alloc(1, method->options_size);
    if (!o || !options) {
        mem_free(o);
        mem_free(options);
        return pitot_fail(error, PITOT_ENOMEM, "no memory for an optimizer"), NULL;
    }
    o->method = method;
    o->options = options;
    while (method->slots && method->slots[o->n_slots]) o->n_slots++;
    pitot_options_default(method->options, options);
    return o;
}

static void free_tensors(pitot_optim *o) {
    for (int64_t i = 0; i < o->n; i++) {
        mem_free(o->tensor[i].name);
        for (int32_t j = 0; j < o->n_slots; j++) mem_free(o->tensor[i].state[j]);
    }
    mem_free(o->tensor);
    o->tensor = NULL;
    o->n = 0;
}

void pitot_optim_free(pitot_optim *o) {
    if (!o) return;
    free_tensors(o);
    mem_free(o->options);
    mem_free(o);
}

int32_t pitot_optim_set(pitot_optim *o, const char *option, const char *text, pitot_error *error) {
    char owner[96];
    if (o->n && strcmp(option, "lr"))
        return pitot_fail(error, PITOT_EORDER, "optimizer %s: only lr may change while it works", o->method->name);
    snprintf(owner, sizeof owner, "optimizer %s", o->method->name);
    return pitot_options_set(o->method->options, o->options, owner, option, text, error);
}

static int make_tensor(const pitot_optim *o, optim_tensor *t, const pitot_optim_tensor *from) {
    uint32_t uses = o->method->uses ? o->method->uses(o->options) : UINT32_MAX;
    *t = (optim_tensor){ .name = mem_strdup(from->name), .size = from->size, .data = from->data, .grad_at = from->grad_at };
    if (!t->name) return 0;
    for (int32_t j = 0; j < o->n_slots; j++) {
        if (!(uses >> j & 1)) continue;
        t->state[j] = mem_alloc(t->size, sizeof(pitot_real));
        if (!t->state[j]) return 0;
    }
    return 1;
}

int32_t pitot_optim_prepare(pitot_optim *o, const pitot_optim_tensor *tensors, int64_t n, int32_t threads, pitot_error *error) {
    int32_t status = o->method->check ? o->method->check(o->options, error) : PITOT_OK;
    if (status) return status;
    free_tensors(o);
    o->threads = threads > 0 ? threads : 1;
    o->tensor = mem_alloc(n, sizeof *o->tensor);
    for (int64_t i = 0; o->tensor && i < n; i++) {
        o->n = i + 1;
        if (make_tensor(o, &o->tensor[i], &tensors[i])) continue;
        free_tensors(o);
    }
    return o->tensor ? PITOT_OK : pitot_fail(error, PITOT_ENOMEM, "no memory for the state of optimizer %s", o->method->name);
}

typedef struct update_job {
    const pitot_optimizer *method;
    pitot_update update;
} update_job;

/* Ranges in whole cache lines, so that no two threads write to one. */
static void update_range(void *argument, int64_t begin, int64_t end, int thread) {
    const update_job *j = argument;
    pitot_update u = j->update;
    (void)thread;
    u.begin = begin * LINE;
    u.end = end * LINE < j->update.end ? end * LINE : j->update.end;
    j->method->update(&u);
}

int32_t pitot_optim_step(pitot_optim *o) {
    if (!o->tensor) return PITOT_EORDER;
    for (int64_t i = 0; i < o->n; i++) {
        optim_tensor *t = &o->tensor[i];
        const pitot_real *g = *t->grad_at;
        if (!g) continue;
        t->t++;
        update_job job = { o->method, { t->t, 0, t->size, t->data, g, t->state, o->options } };
        threads_run(t->size >= WORTH_THREADS ? o->threads : 1, (t->size + LINE - 1) / LINE, update_range, &job);
    }
    return PITOT_OK;
}

int32_t pitot_optim_view(const pitot_optim *o, int64_t i, pitot_preconditioner *view) {
    if (!o || i < 0 || i >= o->n) return PITOT_EINVAL;
    const optim_tensor *t = &o->tensor[i];
    if (!o->method->view) return PITOT_ENOTSUP;
    if (t->t == 0) return PITOT_EORDER;
    pitot_update u = { t->t, 0, t->size, t->data, NULL, t->state, o->options };
    *view = (pitot_preconditioner){ .struct_size = sizeof *view };
    o->method->view(&u, view);
    return PITOT_OK;
}

double pitot_optim_lr(const pitot_optim *o) {
    double lr;
    memcpy(&lr, (const char *)o->options + o->method->options[0].offset, sizeof lr);
    return lr;
}

const pitot_optimizer *pitot_optim_method(const pitot_optim *o) {
    return o->method;
}

const void *pitot_optim_options(const pitot_optim *o) {
    return o->options;
}
