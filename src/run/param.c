/* param.c: the host's tensors: where they are, and what probes see of them. Tensors that are pitot_real without gaps are used where they
   lie; others are gathered. */

#include "base/alloc.h"
#include "base/bulk.h"
#include "run/run.h"

#include <string.h>

enum { MOST_PARAMS = 1 << 20, STACK_DIGITS = 12 };

void param_free(param *p) {
    void *const blocks[] = { p->name,    p->values,    p->gradient,  p->carried, p->before,  p->earlier,    p->share,
                             p->scatter, p->kept_data, p->kept_grad, p->step,    p->samples, p->outer_place };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}

/* ---- adding ---- */

static int32_t find_param(const pitot_run *run, const char *name) {
    for (int32_t i = 0; i < run->n_params; i++)
        if (strcmp(run->param[i].name, name) == 0) return i;
    return -1;
}

static int grow_slot(pitot_run *run, slot *s, int32_t room) {
    if (s->tensor_state) {
        pitot_real **states = mem_grow(s->tensor_state, run->n_params, room, sizeof *states);
        if (!states) return 0;
        s->tensor_state = states;
    }
    if (s->sums) {
        double *sums = mem_grow(s->sums, (int64_t)run->n_params * s->probe->n_sums, (int64_t)room * s->probe->n_sums, sizeof *sums);
        if (!sums) return 0;
        s->sums = sums;
    }
    return 1;
}

static int grow_params(pitot_run *run, int32_t more) {
    if (run->n_params + more <= run->room_params) return 1;
    int32_t room = 2 * run->room_params + more + 16;
    param *params = mem_grow(run->param, run->n_params, room, sizeof *params);
    if (!params) return 0;
    run->param = params;
    pitot_tensor *tensors = mem_grow(run->tensor, run->n_params, room, sizeof *tensors);
    if (!tensors) return 0;
    run->tensor = tensors;
    for (int32_t i = 0; i < run->n_slots; i++)
        if (!grow_slot(run, &run->slot[i], room)) return 0;
    run->room_params = room;
    return 1;
}

static int32_t check_shape(pitot_run *run, const pitot_param *p, array_layout *out) {
    int64_t size = 1;
    while (out->n_dim < PITOT_DIMS && p->shape[out->n_dim]) {
        int64_t d = p->shape[out->n_dim];
        if (d < 1 || __builtin_mul_overflow(size, d, &size) || size > INT64_MAX / 64)
            return run_fail(run, PITOT_EINVAL, "pitot_add_param: %.60s: the shape makes no sense", p->name);
        out->shape[out->n_dim++] = d;
    }
    if (out->n_dim == 0)
        return run_fail(run, PITOT_EINVAL, "pitot_add_param: %.60s: the shape is empty; a scalar has shape 1", p->name);
    out->size = size;
    return PITOT_OK;
}

/* As given, or row-major without gaps. Strides must keep every offset within what can be counted. */
static int32_t check_strides(pitot_run *run, const pitot_param *p, array_layout *out) {
    int64_t dense = 1, reach = 0;
    int given = 0;
    for (int32_t d = 0; d < out->n_dim; d++) given |= p->stride[d] != 0;
    for (int32_t d = out->n_dim - 1; d >= 0; d--) {
        int64_t extent;
        out->stride[d] = given ? p->stride[d] : dense;
        dense *= out->shape[d];
        if (out->stride[d] < 0 || __builtin_mul_overflow(out->stride[d], out->shape[d], &extent) ||
            __builtin_add_overflow(reach, extent, &reach) || reach > INT64_MAX / 64)
            return run_fail(run, PITOT_EINVAL, "pitot_add_param: %.60s: stride[%d] is negative or too large", p->name, d);
    }
    return PITOT_OK;
}

static int32_t check_param(pitot_run *run, const pitot_param *p, param *out) {
    if (!p->name || !*p->name || strpbrk(p->name, "/\"\\#") || strlen(p->name) > KEY_ROOM / 2)
        return run_fail(run, PITOT_EINVAL, "pitot_add_param: a parameter's name is missing, too long, or contains / \" \\ or #");
    int32_t status = check_shape(run, p, &out->layout);
    if (!status) status = check_strides(run, p, &out->layout);
    if (status) return status;
    out->grad_layout = out->layout;
    out->layout.dtype = p->dtype ? p->dtype : ARRAY_REAL;
    out->grad_layout.dtype = p->grad_dtype ? p->grad_dtype : out->layout.dtype;
    out->group = p->group;
    if (!array_width(out->layout.dtype) || !array_width(out->grad_layout.dtype))
        return run_fail(run, PITOT_ENOTSUP, "pitot_add_param: %.60s: there is no dtype %d", p->name, p->dtype);
    if (p->stack < 0 || p->stack > MOST_PARAMS || p->stack_stride < 0 ||
        p->stack_stride > INT64_MAX / 64 / (p->stack ? p->stack : 1))
        return run_fail(run, PITOT_EINVAL, "pitot_add_param: %.60s: the stack makes no sense", p->name);
    return PITOT_OK;
}

/* One tensor under its name; its index, or a status. There is room for it. */
static int32_t add_one(pitot_run *run, const char *name, const pitot_param *p, const param *made) {
    int32_t i = find_param(run, name);
    if (i >= 0 && memcmp(run->param[i].layout.shape, made->layout.shape, sizeof made->layout.shape))
        return run_fail(run, PITOT_EMISMATCH, "pitot_add_param: %.60s is known with another shape", name);
    if (i >= 0 && (run->param[i].layout.dtype != made->layout.dtype || run->param[i].grad_layout.dtype != made->grad_layout.dtype))
        return run_fail(run, PITOT_EMISMATCH, "pitot_add_param: %.60s is known with values of another type", name);
    if (i < 0) {
        char *copy = mem_strdup(name);
        if (!copy) return run_fail(run, PITOT_ENOMEM, "no memory for parameter %.60s", name);
        i = run->n_params++;
        run->param[i] = (param){ .name = copy };
        run->manifest_done = 0;
    }
    param *r = &run->param[i];
    r->data = p->data;
    r->grad = p->grad;
    r->data_at = p->data_at;
    r->grad_at = p->grad_at;
    r->layout = made->layout;
    r->grad_layout = made->grad_layout;
    r->offset = made->offset;
    r->group = made->group;
    return i;
}

/* The index of the first tensor, or a status. */
static int32_t add_tensors(pitot_run *run, const pitot_param *given) {
    pitot_param p;
    param made = { 0 };
    run_copy_struct(&p, sizeof p, given);
    int32_t status = check_param(run, &p, &made), first = -1;
    if (status) return status;
    int32_t count = p.stack ? p.stack : 1;
    if (run->n_params > MOST_PARAMS - count || !grow_params(run, count))
        return run_fail(run, PITOT_ENOMEM, "no memory for parameter %.60s", p.name);
    for (int32_t k = 0; k < count; k++) {
        char name[KEY_ROOM / 2 + STACK_DIGITS];
        if (p.stack) snprintf(name, sizeof name, "%s.%d", p.name, k);
        else snprintf(name, sizeof name, "%s", p.name);
        made.offset = k * (p.stack_stride ? p.stack_stride : made.layout.size);
        int32_t i = add_one(run, name, &p, &made);
        if (i < 0) return i;
        if (k == 0) first = i;
    }
    return first;
}

int32_t pitot_add_param(pitot_run *run, const pitot_param *given) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    int32_t first = add_tensors(run, given);
    if (first >= 0) return first + 1;
    run->refused_params = 1;
    return first;
}

int32_t pitot_bind_param(pitot_run *run, int32_t id, void *data, void *grad) {
    if (run_idle(run)) return PITOT_EOFF;
    if (id < 1 || id > run->n_params) return run_fail(run, PITOT_EINVAL, "pitot_bind_param: there is no parameter %d", id);
    param *p = &run->param[id - 1];
    if (!run_calling(run)) p->data = data; /* a callback may put its gradient elsewhere, not the parameter */
    p->grad = grad;
    p->data_at = run_calling(run) ? p->data_at : NULL;
    p->grad_at = NULL;
    return PITOT_OK;
}

/* ---- looking ---- */

static void *address_of(void *direct, const void *at, int64_t bytes) {
    if (at) memcpy(&direct, at, sizeof direct);
    return direct ? (char *)direct + bytes : NULL;
}

static void locate(param *p) {
    p->data_now = address_of(p->data, p->data_at, p->offset * array_width(p->layout.dtype));
    p->grad_now = address_of(p->grad, p->grad_at, p->offset * array_width(p->grad_layout.dtype));
}

void params_locate(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) locate(&run->param[i]);
}

void params_locate_gradients(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        p->grad_now = address_of(p->grad, p->grad_at, p->offset * array_width(p->grad_layout.dtype));
    }
}

static int usable(const array_layout *a, const void *address) {
    return array_is_plain(a) && (uintptr_t)address % sizeof(pitot_real) == 0;
}

static pitot_real *hold(pitot_run *run, param *p, pitot_real **array) {
    if (!*array) *array = run_hold(run, p->layout.size, sizeof **array);
    return *array;
}

static const pitot_real *look_at_data(pitot_run *run, param *p) {
    if (!p->data_now || usable(&p->layout, p->data_now)) return p->data_now;
    if (!hold(run, p, &p->values)) {
        run_fail(run, PITOT_EBUDGET, "no room for a copy of %s, which is strided or of another type; raise config.memory", p->name);
        return NULL;
    }
    array_read(&p->layout, p->data_now, p->values);
    return p->values;
}

static const pitot_real *look_at_gradient(pitot_run *run, param *p) {
    double factor = sampling_factor(run);
    if (run->flags & PITOT_CARRIED && !p->carried) return NULL; /* not due, or no room: what is in the buffer is not the step's */
    if (!p->grad_now || (factor == 1 && !p->carried && usable(&p->grad_layout, p->grad_now))) return p->grad_now;
    if (!hold(run, p, &p->gradient)) {
        run_fail(run, PITOT_EBUDGET, "no room for a copy of the gradient of %s; raise config.memory", p->name);
        return NULL;
    }
    array_read(&p->grad_layout, p->grad_now, p->gradient);
    for (int64_t i = 0; i < p->layout.size; i++) {
        double g = (double)p->gradient[i] - (p->carried ? (double)p->carried[i] : 0);
        p->gradient[i] = (pitot_real)(factor * g);
    }
    return p->gradient;
}

void params_look(pitot_run *run, int gradients) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        pitot_tensor *t = &run->tensor[i];
        locate(p);
        const pitot_real *data = look_at_data(run, p);
        *t = (pitot_tensor){ .name = p->name,
                             .size = data ? p->layout.size : 0,
                             .n_dim = p->layout.n_dim,
                             .group = p->group,
                             .data = data,
                             .grad = !data       ? NULL
                                     : gradients ? look_at_gradient(run, p)
                                                 : t->grad };
        memcpy(t->shape, p->layout.shape, sizeof t->shape);
        if (gradients) p->no_room = data && p->grad_now && !t->grad;
    }
}

void params_carry(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        locate(p);
        if (!hold(run, p, &p->carried)) run_fail(run, PITOT_EBUDGET, "no room for what the gradient of %s carries", p->name);
        else if (p->grad_now) array_read(&p->grad_layout, p->grad_now, p->carried);
        else memset(p->carried, 0, (size_t)p->layout.size * sizeof *p->carried);
    }
}

void params_copy_before(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        p->has_before = run->tensor[i].data && hold(run, p, &p->before);
        if (p->has_before) bulk_copy(p->before, run->tensor[i].data, p->layout.size * (int64_t)sizeof *p->before);
    }
}

void params_gather_gradient(const pitot_run *run, pitot_real *out) {
    for (int32_t i = 0; i < run->n_live; i++) {
        int64_t n = run->param[i].layout.size;
        if (!run->tensor[i].grad) continue;
        memcpy(out, run->tensor[i].grad, (size_t)n * sizeof *out);
        out += n;
    }
}

int64_t params_size(const pitot_run *run) {
    int64_t size = 0;
    for (int32_t i = 0; i < run->n_live; i++)
        if (run->tensor[i].grad) size += run->param[i].layout.size;
    return size;
}
