/* layout.c: an optimizer's tensors and the state of its parts. */

#include "base/alloc.h"
#include "optim/core/optimizer.h"

#include <stdio.h>
#include <string.h>

static const int64_t MOST_PARAMETERS = INT64_C(1) << 48; /* sizes of work space are multiples of it */

/* ---- what a method says ---- */

void pitot_slot_add(pitot_layout *l, const char *name, int32_t dtype, int32_t n_dim, const int64_t *shape) {
    if (l->n_slots == PITOT_SLOTS) return;
    pitot_slot *s = &l->slot[l->n_slots++];
    *s = (pitot_slot){ .name = name, .dtype = dtype };
    if (n_dim == 0) s->shape[0] = 1;
    for (int32_t d = 0; d < n_dim && d < PITOT_DIMS; d++) s->shape[d] = shape[d];
}

void pitot_slot_like(pitot_layout *l, const char *name, int64_t i, int in_use) {
    pitot_slot_add(l, name, 0, in_use ? l->tensor[i].n_dim : -1, l->tensor[i].shape);
}

int64_t slot_bytes(const pitot_slot *s) {
    int64_t bytes = s->dtype == PITOT_F64 ? 8 : s->dtype == PITOT_BF16 ? 2 : (int64_t)sizeof(pitot_real);
    if (s->shape[0] <= 0) return 0;
    for (int d = 0; d < PITOT_DIMS && s->shape[d]; d++)
        if (s->shape[d] < 0 || __builtin_mul_overflow(bytes, s->shape[d], &bytes)) return -1;
    return bytes;
}

static void simple_layout(const pitot_optimizer *m, pitot_layout *l) {
    uint32_t uses = m->uses ? m->uses(l->options) : UINT32_MAX;
    for (int32_t j = 0; l->i >= 0 && m->slots && m->slots[j]; j++) pitot_slot_like(l, m->slots[j], l->i, (int)(uses >> j & 1));
}

/* ---- one part ---- */

static int32_t make_slots(optim_slots *slots, void **state, const pitot_layout *l) {
    slots->n = l->n_slots;
    memcpy(slots->slot, l->slot, sizeof l->slot);
    for (int32_t j = 0; j < l->n_slots; j++) {
        int64_t bytes = slot_bytes(&l->slot[j]);
        if (bytes == 0) continue;
        state[j] = bytes > 0 ? mem_alloc(bytes, 1) : NULL;
        if (!state[j]) return PITOT_ENOMEM;
    }
    return PITOT_OK;
}

static int32_t ask(optim_part *p, int64_t i, int64_t *scratch, pitot_error *error) {
    pitot_optim *o = p->optim;
    pitot_layout l = { .struct_size = sizeof l,
                       .options = p->options,
                       .source = &o->source,
                       .tensor = p->s.tensor,
                       .n = o->n,
                       .i = i,
                       .parameters = o->parameters,
                       .threads = o->threads,
                       .data_samples = o->data_samples };
    int32_t status = PITOT_OK;
    if (p->method->layout) status = p->method->layout(&l, error);
    else simple_layout(p->method, &l);
    if (status) return status;
    if (l.scratch > *scratch) *scratch = l.scratch;
    status = make_slots(&p->slots[i < 0 ? o->n : i], i < 0 ? p->run : p->s.tensor[i].state, &l);
    return status ? pitot_fail(error, status, "no memory for the state of %s", p->method->name) : PITOT_OK;
}

static void list_tensors(optim_part *p, const pitot_optim_tensor *from) {
    int64_t at = 0;
    for (int64_t i = 0; i < p->optim->n; i++) {
        pitot_tensor_state *t = &p->s.tensor[i];
        *t = (pitot_tensor_state){ .name = p->optim->name[i], .size = from[i].size, .at = at, .x = from[i].data };
        memcpy(t->shape, from[i].shape, sizeof t->shape);
        if (!t->shape[0]) t->shape[0] = t->size;
        while (t->n_dim < PITOT_DIMS && t->shape[t->n_dim]) t->n_dim++;
        at += t->size;
    }
}

static int32_t make_part(optim_part *p, const pitot_optim_tensor *tensors, pitot_error *error) {
    pitot_optim *o = p->optim;
    int64_t scratch = 0;
    p->slots = mem_alloc(o->n + 1, sizeof *p->slots);
    p->count = mem_alloc(o->n + 1, sizeof *p->count);
    p->left = mem_alloc(o->n, sizeof *p->left);
    p->s.tensor = mem_alloc(o->n, sizeof *p->s.tensor);
    if (!p->slots || !p->count || !p->left || !p->s.tensor)
        return pitot_fail(error, PITOT_ENOMEM, "no memory for the state of %s", p->method->name);
    list_tensors(p, tensors);
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < o->n && !status; i++) status = ask(p, i, &scratch, error);
    if (!status) status = ask(p, -1, &scratch, error);
    if (!status && scratch && !(p->s.scratch = mem_alloc(scratch, 1)))
        status = pitot_fail(error, PITOT_ENOMEM, "no memory for the work space of %s", p->method->name);
    if (status) return status;
    p->s.struct_size = sizeof p->s;
    p->s.n = o->n;
    p->s.parameters = o->parameters;
    p->s.run = p->run;
    p->s.options = p->options;
    p->s.source = &o->source;
    p->s.threads = o->threads;
    p->s.private_ = p;
    optim_tell_plan(p);
    if (p->method->begin) p->method->begin(&p->s);
    if (p->no_overlap)
        return pitot_fail(error, PITOT_ENOMEM, "no memory for decompositions beside the steps of %s", p->method->name);
    return PITOT_OK;
}

static void free_part(optim_part *p, int64_t n) {
    optim_part_end_overlap(p);
    for (int64_t i = 0; p->s.tensor && i < n; i++)
        for (int32_t j = 0; j < PITOT_SLOTS; j++) mem_free(p->s.tensor[i].state[j]);
    for (int32_t j = 0; j < PITOT_SLOTS; j++) {
        mem_free(p->run[j]);
        p->run[j] = NULL;
    }
    mem_free(p->s.tensor);
    mem_free(p->s.scratch);
    mem_free(p->slots);
    mem_free(p->count);
    mem_free(p->left);
    p->s = (pitot_stepping){ .seed = p->s.seed };
    p->slots = NULL;
    p->count = NULL;
    p->left = NULL;
}

/* ---- the whole ---- */

void optim_release(pitot_optim *o) {
    for (int32_t k = 0; k < o->n_parts; k++) free_part(&o->part[k], o->n);
    for (int64_t i = 0; o->name && i < o->n; i++) mem_free(o->name[i]);
    mem_free(o->name);
    mem_free(o->grad_at);
    mem_free(o->kept_g);
    mem_free(o->kept_x);
    o->name = NULL;
    o->grad_at = NULL;
    o->kept_g = o->kept_x = NULL;
    o->n = o->parameters = 0;
}

/* What a part wants and the loop does not provide: "a, b, c"; 0: nothing. */
static int list_missing(const pitot_optim_source *s, uint32_t wants, char *out, size_t size) {
    const struct {
        uint32_t want;
        int there;
        const char *what;
    } list[] = {
        { PITOT_WANTS_GRADIENT, s->gradient != NULL, "loss and gradients at other parameters (source.gradient)" },
        { PITOT_WANTS_LOSS, s->loss != NULL, "the loss at other parameters (source.loss)" },
        { PITOT_WANTS_HVP, s->hvp != NULL, "products with the Hessian (source.hvp)" },
        { PITOT_WANTS_GGNVP, s->ggnvp != NULL, "products with the Gauss-Newton matrix (source.ggnvp)" },
        { PITOT_WANTS_DRAWN, s->drawn != NULL, "gradients of drawn labels (source.drawn)" },
        { PITOT_WANTS_SQUARES, s->squares != NULL, "squares of the samples' gradients (source.squares)" },
        { PITOT_WANTS_SAMPLES, s->norms && s->weigh && s->batch, "the samples' norms (source.batch, norms and weigh)" },
        { PITOT_WANTS_LAYERS, s->layer && s->batch, "what layers saw (source.layer and batch)" },
        { PITOT_WANTS_ROOT, s->send && s->layer && s->batch, "drawn or exact output gradients (source.send, layer and batch)" },
        { PITOT_WANTS_DATA, s->data != NULL, "a pass over the data (source.data)" },
        { PITOT_WANTS_BATCH, s->batch != NULL, "the batch's samples and loss (source.batch)" },
        { PITOT_WANTS_DIAGONAL, s->diagonal != NULL, "diagonals of the curvature (source.diagonal)" },
    };
    size_t used = 0;
    int n = 0;
    for (size_t i = 0; i < sizeof list / sizeof *list && used < size; i++)
        if (wants & list[i].want && !list[i].there)
            used += (size_t)snprintf(out + used, size - used, "%s%s", n++ ? ", " : "", list[i].what);
    return n;
}

static int32_t check_source(const pitot_optim *o, pitot_error *error) {
    char missing[720];
    for (int32_t k = 0; k < o->n_parts; k++)
        if (list_missing(&o->source, optim_part_wants(&o->part[k]), missing, sizeof missing))
            return pitot_fail(error, PITOT_ENOTSUP, "%s %s needs %s, which this loop does not provide", k ? "wrapper" : "optimizer",
                              o->part[k].method->name, missing);
    return PITOT_OK;
}

/* Shapes are taken at their word later on. */
static int32_t check_tensor(const pitot_optim_tensor *t, pitot_error *error) {
    int64_t size = 1;
    int fits = t->size > 0;
    if (!t->name || !t->data || !t->grad_at)
        return pitot_fail(error, PITOT_EINVAL, "a tensor without %s; give one", !t->name ? "a name" : "an address");
    for (int d = 0; d < PITOT_DIMS && t->shape[d] && fits; d++)
        fits = t->shape[d] > 0 && !__builtin_mul_overflow(size, t->shape[d], &size);
    if (fits && (!t->shape[0] || size == t->size)) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL, "tensor %.80s: its shape does not make %lld values; give shape and size that agree",
                      t->name, (long long)t->size);
}

static int32_t check_tensors(const pitot_optim_tensor *tensors, int64_t n, pitot_error *error) {
    int64_t parameters = 0;
    int32_t status = PITOT_OK;
    if (n < 1) return pitot_fail(error, PITOT_EINVAL, "an optimizer needs at least one tensor; give it one");
    for (int64_t i = 0; i < n && !status; i++) {
        status = check_tensor(&tensors[i], error);
        if (!status && __builtin_add_overflow(parameters, tensors[i].size, &parameters)) parameters = INT64_MAX;
        if (!status && parameters > MOST_PARAMETERS)
            status = pitot_fail(error, PITOT_EINVAL, "tensor %.80s: too many parameters; are the sizes right?", tensors[i].name);
    }
    return status;
}

static int32_t list_names(pitot_optim *o, const pitot_optim_tensor *tensors, int64_t n) {
    o->name = mem_alloc(n, sizeof *o->name);
    o->grad_at = mem_alloc(n, sizeof *o->grad_at);
    if (!o->name || !o->grad_at) return PITOT_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        o->n = i + 1;
        o->grad_at[i] = tensors[i].grad_at;
        o->parameters += tensors[i].size;
        if (!(o->name[i] = mem_strdup(tensors[i].name))) return PITOT_ENOMEM;
    }
    return PITOT_OK;
}

static int32_t make_kept(pitot_optim *o) {
    int elsewhere = 0;
    for (int32_t k = 0; k < o->n_parts; k++) elsewhere |= o->part[k].method->evaluate != NULL;
    if (elsewhere && !(o->kept_x = mem_alloc(o->parameters, sizeof *o->kept_x))) return PITOT_ENOMEM;
    if (!(pitot_optim_wants(o) & (PITOT_WANTS_GRADIENT | PITOT_WANTS_DATA))) return PITOT_OK;
    return (o->kept_g = mem_alloc(o->parameters, sizeof *o->kept_g)) ? PITOT_OK : PITOT_ENOMEM;
}

int32_t pitot_optim_prepare(pitot_optim *o, const pitot_optim_tensor *tensors, int64_t n, int32_t threads, pitot_error *error) {
    int32_t status = check_tensors(tensors, n, error);
    if (!status) status = optim_check_parts(o, error);
    if (!status) status = check_source(o, error);
    for (int32_t k = 0; k < o->n_parts && !status; k++)
        if (o->part[k].method->check) status = o->part[k].method->check(o->part[k].options, error);
    if (status) return status;
    optim_release(o);
    o->threads = threads > 0 ? threads : 1;
    o->first_lr = o->lr;
    status = list_names(o, tensors, n);
    if (status) pitot_fail(error, status, "no memory for the state of optimizer %s", o->part[0].method->name);
    for (int32_t k = 0; k < o->n_parts && !status; k++) status = make_part(&o->part[k], tensors, error);
    if (!status && (status = make_kept(o))) pitot_fail(error, status, "no memory for optimizer %s", o->part[0].method->name);
    if (status) optim_release(o);
    return status;
}
