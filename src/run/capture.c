/* capture.c: A and G from the host, paired, checked against the tensors' shapes, and described to the sweep. */

#include "base/alloc.h"
#include "run/run.h"

#include <string.h>

typedef struct geometry { /* of one capture: what the sweep is told, and how many values A and G have */
    int64_t n, t, din, dout, a_values, g_values;
    window w;
    int64_t groups, m;
} geometry;

void captures_clear(pitot_run *run) {
    run->sampling.n_captures = run->sampling.stored = 0;
}

/* ---- geometry ---- */

static const param *tensor_of(const pitot_run *run, int32_t id) {
    return id > 0 ? &run->param[id - 1] : NULL;
}

static int multiply(int64_t a, int64_t b, int64_t c, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out) && !__builtin_mul_overflow(*out, c, out) && *out <= INT64_MAX / 64;
}

static const char *linear_geometry(const pitot_run *run, const pitot_capture *c, geometry *g) {
    const param *weight = tensor_of(run, c->weight), *bias = tensor_of(run, c->bias);
    if (weight) {
        if (weight->layout.n_dim < 2) return "a linear layer's weight has two axes, (dout,din)";
        int64_t first = weight->layout.shape[0], rest = weight->layout.size / first;
        g->dout = c->flags & PITOT_TRANSPOSED ? rest : first;
        g->din = c->flags & PITOT_TRANSPOSED ? first : rest;
    } else g->dout = bias->layout.size;
    if (bias && bias->layout.size != g->dout) return "the bias has not as many values as the layer has outputs";
    return multiply(g->n, g->t, g->din, &g->a_values) && multiply(g->n, g->t, g->dout, &g->g_values) ? NULL
                                                                                                     : "n and t are too large";
}

static const char *conv_geometry(const pitot_run *run, const pitot_capture *c, geometry *g) {
    const param *weight = tensor_of(run, c->weight), *bias = tensor_of(run, c->bias);
    if (!weight || weight->layout.n_dim != 4) return "a convolution's weight has four axes, (cout,cin/groups,kh,kw)";
    const int64_t *shape_of_weight = weight->layout.shape;
    g->groups = c->groups ? c->groups : 1;
    if (g->groups < 1 || shape_of_weight[0] % g->groups) return "groups does not divide the output channels";
    shape in = { .n = 3, .dim = { shape_of_weight[1] * g->groups, c->h, c->w } };
    for (int i = 0; i < 2; i++) {
        g->w.kernel[i] = shape_of_weight[2 + i];
        g->w.stride[i] = c->stride[i] ? c->stride[i] : 1;
        g->w.padding[i] = c->padding[i];
        g->w.dilation[i] = c->dilation[i] ? c->dilation[i] : 1;
        if (g->w.stride[i] < 1 || g->w.padding[i] < 0 || g->w.dilation[i] < 1 || in.dim[1 + i] < 1 || in.dim[1 + i] > INT32_MAX)
            return "h, w, stride, padding or dilation make no sense";
    }
    if (!shape_close(&in) || window_fit(&g->w, &in, 0, NULL)) return "the kernel does not fit into (h,w)";
    g->w.channels = shape_of_weight[1];
    g->m = shape_of_weight[0] / g->groups;
    g->dout = shape_of_weight[0];
    g->t = 1;
    if (bias && bias->layout.size != g->dout) return "the bias has not as many values as the layer has channels";
    return multiply(g->n, in.size, 1, &g->a_values) && multiply(g->n, g->dout, g->w.out[0] * g->w.out[1], &g->g_values)
               ? NULL
               : "it is too large";
}

static const char *scale_geometry(const pitot_run *run, const pitot_capture *c, geometry *g) {
    const param *weight = tensor_of(run, c->weight), *bias = tensor_of(run, c->bias);
    g->din = g->dout = (weight ? weight : bias)->layout.size;
    if (weight && bias && bias->layout.size != g->dout) return "scale and shift have not the same size";
    return multiply(g->n, g->t, g->dout, &g->g_values) && multiply(g->n, g->t, g->din, &g->a_values) ? NULL
                                                                                                     : "n and t are too large";
}

static const char *given_geometry(const pitot_run *run, const pitot_capture *c, geometry *g) {
    const param *weight = tensor_of(run, c->weight);
    if (!weight || c->bias) return "per-sample gradients come one tensor at a time, as `weight`";
    g->dout = weight->layout.size;
    g->t = 1;
    return multiply(g->n, g->dout, 1, &g->g_values) ? NULL : "n is too large";
}

/* NULL, or what is wrong. */
static const char *geometry_of(const pitot_run *run, const pitot_capture *c, geometry *g) {
    int known = run->seen_forward; /* otherwise the batch is that of the micro-batch before */
    int64_t n = c->n || !known ? c->n : run->batch.n, t = c->t || !known ? c->t : run->batch.t;
    *g = (geometry){ .n = n, .t = t ? t : 1 };
    if (g->n < 1 || g->t < 1) return "n and t are not known yet; give them, or call pitot_after_forward first";
    switch (c->kind) {
    case PITOT_LINEAR: return linear_geometry(run, c, g);
    case PITOT_CONV2D: return conv_geometry(run, c, g);
    case PITOT_SCALE_SHIFT: return scale_geometry(run, c, g);
    default: return given_geometry(run, c, g);
    }
}

/* ---- taking ---- */

static int wants_a(const pitot_capture *c) {
    return c->kind != PITOT_PER_SAMPLE && c->weight > 0;
}

/* Where callbacks run the net anew, A and G change under probes that want them and products, too. */
static int must_outlive(const pitot_run *run) {
    if (callback_there(run, CALL_HVP)) return 0;
    for (int32_t i = 0; i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        if (s->due && s->probe->needs & PITOT_NEED_LAYERS && slot_is_heavy(s)) return 1;
    }
    return 0;
}

/* The place in the store of a copy of `values` values at `from`; -1: there is no room. */
static int64_t copy_in(pitot_run *run, const void *from, int32_t dtype, int64_t values) {
    sampling *s = &run->sampling;
    if (values == 0) return s->stored; /* the A of per-sample gradients, which is not used */
    if (s->stored + values > s->room_store) {
        int64_t room = s->stored + values + s->room_store;
        pitot_real *larger = run_hold(run, room, sizeof *larger);
        if (!larger) larger = run_hold(run, room = s->stored + values, sizeof *larger);
        if (!larger) return -1;
        if (s->stored) memcpy(larger, s->store, (size_t)s->stored * sizeof *larger);
        run_release(run, s->store, s->room_store, sizeof *larger);
        s->store = larger;
        s->room_store = room;
    }
    array_layout row = { dtype, 1, { values }, { 1 }, values };
    array_read(&row, from, s->store + s->stored);
    s->stored += values;
    return s->stored - values;
}

/* Keeps one of A and G: as an address, or copied. */
static int32_t take(pitot_run *run, taken *k, const pitot_capture *c, int is_g) {
    const void *from = is_g ? c->G : c->A;
    int32_t dtype = is_g ? c->g_dtype : c->a_dtype;
    int64_t at = -1;
    geometry g;
    int strange = (dtype && dtype != ARRAY_REAL) || (uintptr_t)from % sizeof(pitot_real);
    if (strange || c->flags & PITOT_COPY || must_outlive(run)) {
        const char *wrong = geometry_of(run, c, &g);
        if (wrong) return run_fail(run, PITOT_EINVAL, "pitot_add_capture: %s", wrong);
        *(is_g ? &k->g_values : &k->a_values) = is_g ? g.g_values : g.a_values;
        at = copy_in(run, from, dtype ? dtype : ARRAY_REAL, is_g ? g.g_values : g.a_values);
        if (at < 0) sampling_over_budget(run, "copies of A and G");
        if (at < 0) return run_fail(run, PITOT_EBUDGET, "no room for a copy of a capture; raise config.memory");
    }
    if (is_g) k->c.G = from, k->c.g_dtype = dtype, k->g_at = at, k->has_g = 1;
    else k->c.A = from, k->a_at = at, k->has_a = 1;
    return PITOT_OK;
}

/* The last capture that waits for the G of this layer. */
static taken *waiting(pitot_run *run, const pitot_capture *c) {
    for (int64_t i = run->sampling.n_captures - 1; i >= 0; i--) {
        taken *k = &run->sampling.capture[i];
        if (k->has_a && !k->has_g && k->c.kind == c->kind && k->c.weight == c->weight && k->c.bias == c->bias) return k;
    }
    return NULL;
}

static int32_t check_capture(pitot_run *run, const pitot_capture *c) {
    if (c->kind < PITOT_LINEAR || c->kind > PITOT_PER_SAMPLE)
        return run_fail(run, PITOT_ENOTSUP, "pitot_add_capture: there is no kind %d", c->kind);
    if (c->weight < 0 || c->weight > run->n_params || c->bias < 0 || c->bias > run->n_params || !(c->weight || c->bias))
        return run_fail(run, PITOT_EINVAL, "pitot_add_capture: weight %d or bias %d is not a parameter's id", c->weight, c->bias);
    if (c->a_dtype && !array_width(c->a_dtype))
        return run_fail(run, PITOT_ENOTSUP, "pitot_add_capture: there is no dtype %d", c->a_dtype);
    if (c->g_dtype && !array_width(c->g_dtype))
        return run_fail(run, PITOT_ENOTSUP, "pitot_add_capture: there is no dtype %d", c->g_dtype);
    if (c->n < 0 || c->t < 0 || !(c->A || c->G))
        return run_fail(run, PITOT_EINVAL, "pitot_add_capture: A and G are both missing, or n or t is negative");
    return PITOT_OK;
}

int32_t pitot_add_capture(pitot_run *run, const pitot_capture *given) {
    pitot_capture c;
    if (!run || run->off) return PITOT_EOFF;
    if (!(run->mask & PITOT_DUE_CAPTURES) || !run->open_step || run->seen_backward || run->curving.calling) return PITOT_OK;
    if (run_idle(run)) return PITOT_EOFF;
    run_copy_struct(&c, sizeof c, given);
    int32_t status = check_capture(run, &c);
    if (status) return status;
    taken *k = c.G && !c.A && wants_a(&c) ? waiting(run, &c) : NULL;
    if (k) {
        if (c.scale != 0) k->c.scale = c.scale;
        return take(run, k, &c, 1);
    }
    if (c.G && !c.A && wants_a(&c))
        return run_fail(run, PITOT_EORDER, "pitot_add_capture: G of %s comes without an A before it",
                        run->param[c.weight - 1].name);
    sampling *s = &run->sampling;
    if (!run_reserve(&s->capture, s->n_captures, 1, &s->room_captures, sizeof *s->capture))
        return run_fail(run, PITOT_ENOMEM, "no memory for a capture");
    k = &s->capture[s->n_captures];
    *k = (taken){ .c = c, .a_at = -1, .g_at = -1 };
    if (c.A) status = take(run, k, &c, 0);
    if (c.G && !status) status = take(run, k, &c, 1);
    if (!status) s->n_captures++;
    return status;
}

/* ---- for the sweep ---- */

static sweep_use base_use(const pitot_run *run, const taken *k, const geometry *g) {
    const pitot_real *store = run->sampling.store;
    int time_first = (k->c.flags & PITOT_TIME_FIRST) != 0;
    return (sweep_use){ .a = k->a_at >= 0 ? store + k->a_at : k->c.A,
                        .g = k->g_at >= 0 ? store + k->g_at : k->c.G,
                        .t = g->t,
                        .a_sample = time_first ? g->din : g->t * g->din,
                        .a_position = time_first ? g->n * g->din : g->din,
                        .g_sample = time_first ? g->dout : g->t * g->dout,
                        .g_position = time_first ? g->n * g->dout : g->dout,
                        .g_value = 1,
                        .din = g->din,
                        .dout = g->dout,
                        .scale = k->c.scale != 0 ? k->c.scale : 1 };
}

static sweep_use weight_use(const pitot_run *run, const taken *k, const geometry *g) {
    static const int32_t kinds[] = { 0, SWEEP_LINEAR, SWEEP_CONV, SWEEP_SCALE, SWEEP_GIVEN };
    sweep_use u = base_use(run, k, g);
    u.kind = kinds[k->c.kind];
    u.tag = k->c.flags & PITOT_DATA;
    u.transposed = u.kind == SWEEP_LINEAR && k->c.flags & PITOT_TRANSPOSED;
    if (u.kind == SWEEP_GIVEN) u.g_sample = g->dout;
    if (u.kind != SWEEP_CONV) return u;
    u.w = g->w;
    u.groups = g->groups;
    u.m = g->m;
    u.channels_last = (k->c.flags & PITOT_CHANNELS_LAST) != 0;
    u.a_sample = g->a_values / g->n;
    u.g_sample = g->g_values / g->n;
    return u;
}

static sweep_use bias_use(const pitot_run *run, const taken *k, const geometry *g) {
    sweep_use u = base_use(run, k, g);
    u.kind = SWEEP_SUM;
    u.a = NULL;
    if (k->c.kind != PITOT_CONV2D) return u;
    int64_t positions = g->w.out[0] * g->w.out[1];
    u.t = positions;
    u.g_sample = g->dout * positions;
    u.g_position = k->c.flags & PITOT_CHANNELS_LAST ? g->dout : 1;
    u.g_value = k->c.flags & PITOT_CHANNELS_LAST ? 1 : positions;
    return u;
}

static int usable(const taken *k) {
    return k->has_g && (k->has_a || !wants_a(&k->c));
}

/* Where this tensor's uses stand; NULL: it takes no part. */
static param *takes_part(pitot_run *run, int32_t id) {
    return id > 0 && id <= run->n_live && run->tensor[id - 1].grad ? &run->param[id - 1] : NULL;
}

static int64_t count_uses(pitot_run *run) {
    int64_t n = 0;
    for (int32_t i = 0; i < run->n_live; i++) run->param[i].n_uses = 0;
    for (int64_t i = 0; i < run->sampling.n_captures; i++) {
        const taken *k = &run->sampling.capture[i];
        param *of[] = { takes_part(run, k->c.weight), takes_part(run, k->c.bias) };
        for (int j = 0; j < 2; j++)
            if (of[j] && usable(k)) of[j]->n_uses++, n++;
    }
    return n;
}

/* One target for each tensor with uses; param.first_use says where its uses go. */
static void place_targets(pitot_run *run) {
    sampling *s = &run->sampling;
    int32_t at = 0;
    s->n_targets = 0;
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        if (!p->n_uses) continue;
        s->target[s->n_targets++] = (sweep_target){ .tensor = i, .n_uses = p->n_uses, .use = s->use + at, .size = p->layout.size };
        p->first_use = at;
        at += p->n_uses;
        p->n_uses = 0;
    }
}

static int32_t fill_uses(pitot_run *run) {
    sampling *s = &run->sampling;
    for (int64_t i = 0; i < s->n_captures; i++) {
        const taken *k = &s->capture[i];
        geometry g;
        if (!usable(k)) continue;
        const char *wrong = geometry_of(run, &k->c, &g);
        if (!wrong && g.n != run->batch.n) wrong = "n differs from the batch's";
        if (!wrong && ((k->a_at >= 0 && k->a_values != g.a_values) || (k->g_at >= 0 && k->g_values != g.g_values)))
            wrong = "t was not known when it was copied; give it, or call pitot_after_forward first";
        if (wrong)
            return run_fail(run, PITOT_EMISMATCH, "captures of %s: %s",
                            run->param[(k->c.weight ? k->c.weight : k->c.bias) - 1].name, wrong);
        param *weight = takes_part(run, k->c.weight), *bias = takes_part(run, k->c.bias);
        if (weight) s->use[weight->first_use + weight->n_uses++] = weight_use(run, k, &g);
        if (bias) s->use[bias->first_use + bias->n_uses++] = bias_use(run, k, &g);
    }
    return PITOT_OK;
}

int32_t captures_targets(pitot_run *run) {
    sampling *s = &run->sampling;
    int64_t n = count_uses(run);
    s->n_targets = 0;
    if (n == 0) return PITOT_OK;
    if (n > INT32_MAX || !run_reserve(&s->use, 0, n, &s->room_uses, sizeof *s->use) ||
        !run_reserve(&s->target, 0, run->n_live, &s->room_targets, sizeof *s->target) ||
        !run_reserve(&s->first_tile, 0, run->n_live, &s->room_first, sizeof *s->first_tile))
        return run_fail(run, PITOT_ENOMEM, "no memory for the captures of %lld layers", (long long)n);
    place_targets(run);
    return fill_uses(run);
}
