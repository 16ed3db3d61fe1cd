/* optimizer.c: making an optimizer of a method and wrappers; options; the learning rate. */

#include "optim/core/optimizer.h"

#include "base/alloc.h"
#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

static void unknown(const char *what, const pitot_optimizer *const *table, const char *name, pitot_error *error) {
    const char *names[256];
    char list[512];
    int n = 0;
    for (; *table && n < 256; table++) names[n++] = (*table)->name;
    nearest_list(name, names, n, list, sizeof list);
    pitot_fail(error, PITOT_EINVAL, "unknown %s \"%.60s\"; %s", what, name, list);
}

static void no_name(pitot_error *error) {
    pitot_fail(error, PITOT_EINVAL, "an optimizer's name is empty; write sgd, or with wrappers sgd+clip_norm+cosine");
}

static void unknown_optimizer(const char *name, pitot_error *error) {
    if (!*name) no_name(error);
    else if (pitot_wrapper_find(name))
        pitot_fail(error, PITOT_EINVAL, "\"%.60s\" is a wrapper; put it around an optimizer, as in sgd+%.60s", name, name);
    else unknown("optimizer", pitot_optimizers(), name, error);
}

static void unknown_wrapper(const char *name, pitot_error *error) {
    if (!*name) no_name(error);
    else if (pitot_optimizer_find(name))
        pitot_fail(error, PITOT_EINVAL, "\"%.60s\" is an optimizer; name one, and then wrappers around it, as in %.60s+clip_norm",
                   name, name);
    else unknown("wrapper", wrapper_table, name, error);
}

/* ---- parts ---- */

static int32_t add_part(pitot_optim *o, const pitot_optimizer *method, pitot_error *error) {
    if (o->n_parts == OPTIM_PARTS) return pitot_fail(error, PITOT_EINVAL, "more than %d wrappers", OPTIM_PARTS - 1);
    optim_part *p = &o->part[o->n_parts];
    *p = (optim_part){ .method = method, .options = mem_alloc(1, method->options_size), .optim = o };
    if (!p->options) return pitot_fail(error, PITOT_ENOMEM, "no memory for an optimizer");
    if (method->options) pitot_options_default(method->options, p->options);
    o->n_parts++;
    return PITOT_OK;
}

static optim_part *part_called(pitot_optim *o, const char *wrapper) {
    for (int32_t k = 1; k < o->n_parts; k++)
        if (strcmp(o->part[k].method->name, wrapper) == 0) return &o->part[k];
    return NULL;
}

static int32_t add_wrapper(pitot_optim *o, const char *name, pitot_error *error) {
    const pitot_optimizer *w = pitot_wrapper_find(name);
    if (!w) return unknown_wrapper(name, error), PITOT_EINVAL;
    if (part_called(o, name)) return pitot_fail(error, PITOT_EINVAL, "wrapper %s is there twice; name it once", name);
    return add_part(o, w, error);
}

/* The names between plus signs. */
static int32_t add_parts(pitot_optim *o, const char *names, pitot_error *error) {
    char name[OPTIM_NAME];
    for (int first = 1;; first = 0) {
        size_t n = strcspn(names, "+");
        snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, names);
        const pitot_optimizer *m = first ? pitot_optimizer_find(name) : NULL;
        if (first && !m) return unknown_optimizer(name, error), PITOT_EINVAL;
        int32_t status = first ? add_part(o, m, error) : add_wrapper(o, name, error);
        if (status || !names[n]) return status;
        names += n + 1;
    }
}

static double lr_in(const pitot_optim *o) {
    double lr;
    memcpy(&lr, (const char *)o->part[0].options + o->part[0].method->options[0].offset, sizeof lr);
    return lr;
}

void optim_set_lr(pitot_optim *o, double lr) {
    memcpy((char *)o->part[0].options + o->part[0].method->options[0].offset, &lr, sizeof lr);
}

pitot_optim *pitot_optim_new(const char *name, pitot_error *error) {
    pitot_optim *o = mem_alloc(1, sizeof *o);
    if (!o) return pitot_fail(error, PITOT_ENOMEM, "no memory for an optimizer"), NULL;
    if (add_parts(o, name, error)) return pitot_optim_free(o), NULL;
    o->source.struct_size = sizeof o->source;
    o->lr = lr_in(o);
    return o;
}

void pitot_optim_free(pitot_optim *o) {
    if (!o) return;
    optim_release(o);
    for (int32_t k = 0; k < o->n_parts; k++) mem_free(o->part[k].options);
    mem_free(o);
}

/* ---- options ---- */

static const char *first_option(const char *wrapper) {
    const pitot_optimizer *w = pitot_wrapper_find(wrapper);
    return w->options ? w->options[0].name : "";
}

int32_t pitot_optim_set(pitot_optim *o, const char *option, const char *text, pitot_error *error) {
    char owner[96], name[OPTIM_NAME];
    const char *dot = strchr(option, '.');
    optim_part *p = &o->part[0];
    if (o->n && strcmp(option, "lr"))
        return pitot_fail(error, PITOT_EORDER, "optimizer %s: only lr may change while it works", p->method->name);
    if (dot) {
        snprintf(name, sizeof name, "%.*s", dot - option < OPTIM_NAME ? (int)(dot - option) : OPTIM_NAME - 1, option);
        p = part_called(o, name);
        int32_t status = p ? PITOT_OK : add_wrapper(o, name, error);
        if (status) return status;
        p = part_called(o, name);
    }
    if (!dot && pitot_wrapper_find(option) && !pitot_options_find(p->method->options, option))
        return pitot_fail(error, PITOT_EINVAL, "%.60s is a wrapper: give one of its options a value, as in %.60s.%s=%s", option,
                          option, first_option(option), text);
    snprintf(owner, sizeof owner, "%s %s", dot ? "wrapper" : "optimizer", p->method->name);
    if (p == &o->part[0]) optim_set_lr(o, o->lr);
    int32_t status = pitot_options_set(p->method->options, p->options, owner, dot ? dot + 1 : option, text, error);
    if (p == &o->part[0]) o->lr = lr_in(o);
    return status;
}

int32_t pitot_optim_offer(pitot_optim *o, const pitot_optim_source *source) {
    if (!o || !source) return PITOT_EINVAL;
    if (o->n) return PITOT_EORDER;
    size_t size = source->struct_size < sizeof o->source ? source->struct_size : sizeof o->source;
    memset(&o->source, 0, sizeof o->source);
    memcpy(&o->source, source, size);
    o->source.struct_size = sizeof o->source;
    return PITOT_OK;
}

void pitot_optim_plan(pitot_optim *o, int64_t steps, uint64_t seed) {
    o->steps = steps;
    for (int32_t k = 0; k < OPTIM_PARTS; k++) o->part[k].s.seed = seed;
}

uint32_t optim_part_wants(const optim_part *p) {
    return p->method->needs | (p->method->wants ? p->method->wants(p->options) : 0);
}

void pitot_optim_plan_data(pitot_optim *o, int64_t samples) {
    o->data_samples = samples > 0 ? samples : 0;
}

void optim_tell_plan(optim_part *p) {
    p->s.steps = optim_planned(p->optim, (int32_t)(p - p->optim->part));
    p->s.data_samples = p->optim->data_samples;
    p->s.first_lr = p->optim->first_lr;
}

uint32_t pitot_optim_wants(const pitot_optim *o) {
    uint32_t wants = 0;
    for (int32_t k = 0; k < o->n_parts; k++) wants |= optim_part_wants(&o->part[k]);
    return wants;
}

/* ---- learning rate ---- */

double optim_factor(const pitot_optim *o) {
    double factor = 1;
    for (int32_t k = 1; k < o->n_parts; k++) {
        const optim_part *p = &o->part[k];
        if (p->method->factor)
            factor *= p->method->factor(p->options, p->count ? (int64_t)p->count[0] + 1 : 1, optim_planned(o, k));
    }
    return factor;
}

/* Schedules leave it what it is. */
int32_t pitot_optim_is_plain(const pitot_optim *o) {
    for (int32_t k = 1; k < o->n_parts; k++)
        if (o->part[k].method->step) return 0;
    return o->part[0].method->plain && o->part[0].method->plain(o->part[0].options);
}

double pitot_optim_lr(const pitot_optim *o) {
    return o->n && o->part[o->n_parts - 1].count[0] > 0 ? lr_in(o) : pitot_optim_next_lr(o);
}

double pitot_optim_next_lr(const pitot_optim *o) {
    return o->lr * optim_factor(o);
}

int64_t pitot_optim_steps(const pitot_optim *o) {
    return o->n ? (int64_t)o->part[o->n_parts - 1].count[0] : 0;
}

const pitot_optimizer *pitot_optim_method(const pitot_optim *o) {
    return o->part[0].method;
}

const void *pitot_optim_options(const pitot_optim *o) {
    return o->part[0].options;
}

const pitot_optimizer *pitot_optim_wrapper(const pitot_optim *o, int32_t j, const void **options) {
    if (j < 0 || j + 1 >= o->n_parts) return NULL;
    if (options) *options = o->part[j + 1].options;
    return o->part[j + 1].method;
}
