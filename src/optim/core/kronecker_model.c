/* kronecker_model.c: K-FAC's own step (Martens, Grosse 2015, arXiv 1503.05671, sections 6.4 to 6.6 and 7). With h the batch's loss and half of
   weight_decay |x|^2, D = -P^-1 grad h the preconditioned direction, d0 the step before, e = lambda + weight_decay,

       M(d) = d'(F + e I)d / 2 + d'grad h,   F d by products with the whole net's Fisher (Gauss-Newton) matrix

   is made as small as it gets by d = alpha D + mu d0, two unknowns; without momentum mu is 0. lr times that is the step. Each T_damping steps

       rho = (h(x + d) - h(x)) / M(d);   lambda *= w1 if rho > 3/4, lambda /= w1 if rho < 1/4, w1 = (19/20)^T_damping

   a step to where the loss is not finite being taken back; and each T_gamma steps the damping of the factors, gamma^2, is the best by M of gamma,
   gamma w2 and gamma / w2, w2 = (19/20)^(T_gamma/2). Parameters that are not a layer's move along their gradient, as much longer as the
   preconditioner makes the layers'. */

#include "optim/core/flat.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/optimizer.h"

#include <math.h>
#include <string.h>

enum { H, DELTA, F_DELTA, F_BEFORE, VECTOR, N_VECTORS }; /* (D) each: grad h; D; F D; F d0; d0, then d */

int64_t kronecker_model_values(int64_t parameters) {
    return N_VECTORS * parameters;
}

static pitot_real *vector(const kronecker_job *j, int k) {
    return j->room.model + k * j->s->parameters;
}

static double *state_of(const pitot_stepping *s) {
    return s->run[KRONECKER_DAMPING];
}

void kronecker_model_begin(const kronecker *k, pitot_stepping *s) {
    double *state = state_of(s);
    state[KRONECKER_LAMBDA] = k->damping;
    state[KRONECKER_GAMMA] = sqrt(k->damping + k->weight_decay);
}

double kronecker_model_damping(const pitot_stepping *s) {
    double gamma = state_of(s)[KRONECKER_GAMMA];
    return gamma * gamma;
}

/* ---- directions ---- */

/* grad h, in which tensors without a gradient are 0; from now on what they have for gradients. */
static void take_gradients(kronecker_job *j) {
    pitot_real *h = vector(j, H);
    flat_gradient(j->s, h);
    for (int64_t i = 0; i < j->s->n; i++) {
        pitot_tensor_state *t = &j->s->tensor[i];
        if (!t->g) continue;
        if (j->k->weight_decay > 0) flat_add(h + t->at, j->k->weight_decay, t->x, t->size);
        t->g = h + t->at;
    }
}

static double copy_negative(const kronecker_job *j, int64_t tensor, double *squares) {
    const pitot_tensor_state *t = &j->s->tensor[tensor];
    const pitot_real *from = j->room.direction + t->at;
    pitot_real *to = vector(j, DELTA) + t->at;
    if (!t->g) return 0;
    for (int64_t i = 0; i < t->size; i++) to[i] = -from[i];
    *squares += flat_dot(t->g, t->g, t->size);
    return flat_dot(from, from, t->size);
}

/* DELTA: -P^-1 grad h. */
static int32_t make_delta(kronecker_job *j) {
    pitot_real *delta = vector(j, DELTA);
    const pitot_real *h = vector(j, H);
    double before = 0, after = 0;
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < j->s->parameters; i++) delta[i] = 0;
    for (int64_t i = 0; i < j->n && !status; i++) {
        const layer *l = &j->room.layer[i];
        status = kronecker_direction(j, l);
        after += copy_negative(j, l->weight, &before);
        if (kronecker_bias(l) >= 0) after += copy_negative(j, kronecker_bias(l), &before);
    }
    double gain = before > 0 ? sqrt(after / before) : 1;
    for (int64_t i = 0; i < j->s->n && !status; i++) {
        const pitot_tensor_state *t = &j->s->tensor[i];
        int of_layer = 0;
        for (int64_t k = 0; k < j->n; k++) of_layer |= j->room.layer[k].weight == i || kronecker_bias(&j->room.layer[k]) == i;
        if (t->g && !of_layer) flat_add(delta + t->at, -gain, h + t->at, t->size);
    }
    return !status && !finite_values(delta, j->s->parameters) ? PITOT_EHOST : status;
}

/* ---- the model ---- */

typedef struct step_model { /* of alpha D + mu d0 */
    double a[3];            /* D'(F + e I)D, D'(F + e I)d0, d0'(F + e I)d0 */
    double b[2];            /* grad h'D, grad h'd0 */
    double alpha, mu, value;
} step_model;

/* Where it is least; D alone if the two are, nearly, one direction or d0 is none. */
static void minimise(step_model *m) {
    double determinant = m->a[0] * m->a[2] - m->a[1] * m->a[1];
    int both = m->a[2] > 0 && determinant > 1e-9 * m->a[0] * m->a[2];
    m->alpha = both ? -(m->b[0] * m->a[2] - m->b[1] * m->a[1]) / determinant : m->a[0] > 0 ? -m->b[0] / m->a[0] : 0;
    m->mu = both ? -(m->b[1] * m->a[0] - m->b[0] * m->a[1]) / determinant : 0;
    m->value = (m->alpha * m->b[0] + m->mu * m->b[1]) / 2;
}

static int32_t product(const kronecker_job *j, int from, int to) {
    const pitot_optim_source *source = j->s->source;
    int32_t status = source->ggnvp(source->user, vector(j, from), vector(j, to));
    return !status && !finite_values(vector(j, to), j->s->parameters) ? PITOT_EHOST : status;
}

/* d0 and F d0, zeros before there was a step. */
static int32_t recall(const kronecker_job *j) {
    pitot_real *d0 = vector(j, VECTOR);
    for (int64_t i = 0; i < j->s->n; i++) {
        const pitot_tensor_state *t = &j->s->tensor[i];
        const pitot_real *buffer = t->state[KRONECKER_MOMENTUM];
        if (t->g && buffer) memcpy(d0 + t->at, buffer, (size_t)t->size * sizeof *d0);
        else memset(d0 + t->at, 0, (size_t)t->size * sizeof *d0);
    }
    memset(vector(j, F_BEFORE), 0, (size_t)j->s->parameters * sizeof *d0);
    return flat_dot(d0, d0, j->s->parameters) > 0 ? product(j, VECTOR, F_BEFORE) : PITOT_OK;
}

/* The model along D with the preconditioner as it is. */
static int32_t look_ahead(kronecker_job *j, step_model *m) {
    const pitot_real *h = vector(j, H), *d = vector(j, DELTA), *d0 = vector(j, VECTOR);
    int64_t n = j->s->parameters;
    double e = state_of(j->s)[KRONECKER_LAMBDA] + j->k->weight_decay;
    int32_t status = make_delta(j);
    if (!status) status = product(j, DELTA, F_DELTA);
    if (status) return status;
    *m = (step_model){ .a = { flat_dot(d, vector(j, F_DELTA), n) + e * flat_dot(d, d, n),
                              flat_dot(d, vector(j, F_BEFORE), n) + e * flat_dot(d, d0, n),
                              flat_dot(d0, vector(j, F_BEFORE), n) + e * flat_dot(d0, d0, n) },
                       .b = { flat_dot(h, d, n), flat_dot(h, d0, n) } };
    minimise(m);
    return isfinite(m->value) ? PITOT_OK : PITOT_EHOST;
}

/* ---- damping of the factors ---- */

static void use_gamma(kronecker_job *j, kronecker *own, double gamma) {
    own->damping = gamma * gamma;
    kronecker_decompose_all(j);
}

/* The best of three; the preconditioner, D and the model are then its. */
static int32_t choose_gamma(kronecker_job *j, kronecker *own, step_model *m) {
    double *gamma = &state_of(j->s)[KRONECKER_GAMMA], w = pow(0.95, (double)own->t_gamma / 2), best = *gamma,
           tried[] = { *gamma * w, *gamma / w, *gamma };
    double least = INFINITY;
    for (int i = 0; i < 3; i++) {
        use_gamma(j, own, tried[i]);
        int32_t status = look_ahead(j, m);
        if (status) return status;
        if (m->value <= least) least = m->value, best = tried[i];
    }
    if (best == *gamma) return PITOT_OK;
    *gamma = best;
    use_gamma(j, own, best);
    return look_ahead(j, m);
}

/* ---- the step ---- */

/* x += lr (alpha D + mu d0), which becomes the next step's d0; d in VECTOR. */
static void move(const kronecker_job *j, const step_model *m) {
    pitot_real *d = vector(j, VECTOR);
    const pitot_real *delta = vector(j, DELTA);
    for (int64_t i = 0; i < j->s->parameters; i++)
        d[i] = (pitot_real)(j->k->lr * (m->alpha * (double)delta[i] + m->mu * (double)d[i]));
    for (int64_t i = 0; i < j->s->n; i++) {
        const pitot_tensor_state *t = &j->s->tensor[i];
        if (!t->g) continue;
        flat_add(t->x, 1, d + t->at, t->size);
        if (t->state[KRONECKER_MOMENTUM]) memcpy(t->state[KRONECKER_MOMENTUM], d + t->at, (size_t)t->size * sizeof *d);
    }
}

static double decay_of(const kronecker_job *j) {
    double sum = 0;
    for (int64_t i = 0; i < j->s->n && j->k->weight_decay > 0; i++)
        sum += flat_dot(j->s->tensor[i].x, j->s->tensor[i].x, j->s->tensor[i].size);
    return j->k->weight_decay * sum / 2;
}

/* What became of the model's promise; x holds the parameters before the step. */
static int32_t adapt_lambda(const kronecker_job *j, double before, double promised, const pitot_real *x) {
    const pitot_optim_source *source = j->s->source;
    double *lambda = &state_of(j->s)[KRONECKER_LAMBDA], w = pow(0.95, (double)j->k->t_damping), loss = NAN;
    int32_t status = source->loss(source->user, &loss);
    if (status && status != PITOT_EHOST) return status;
    double rho = promised < 0 ? (loss + decay_of(j) - before) / promised : 1;
    if (status || !isfinite(rho)) {
        flat_move(j->s, x, 0, NULL);
        for (int64_t i = 0; i < j->s->n; i++) {
            const pitot_tensor_state *t = &j->s->tensor[i];
            if (t->state[KRONECKER_MOMENTUM]) memset(t->state[KRONECKER_MOMENTUM], 0, (size_t)t->size * sizeof(pitot_real));
        }
        rho = -1;
    }
    if (rho > 0.75) *lambda = fmax(*lambda * w, 1e-20);
    if (rho < 0.25) *lambda = fmin(*lambda / w, 1e20);
    return PITOT_OK;
}

int32_t kronecker_model_step(kronecker_job *j, int cov, int renew) {
    kronecker own = *j->k;
    int64_t t = j->s->t;
    int gamma = own.adapt >= KRONECKER_ADAPT_GAMMA && t % own.t_gamma == 0;
    int lambda = own.adapt >= KRONECKER_ADAPT_LAMBDA && t % own.t_damping == 0;
    double before = 0;
    step_model m;
    if (own.lr == 0) return PITOT_OK;
    j->k = &own;
    own.damping = kronecker_model_damping(j->s);
    int32_t status = lambda ? flat_loss(j->s, &before) : PITOT_OK;
    before += decay_of(j);
    take_gradients(j);
    if (!status && (own.stat_decay > 0 ? cov : renew)) status = kronecker_average(j);
    if (!status) kronecker_renew(j, renew && !gamma);
    if (!status) status = recall(j);
    if (!status) status = gamma ? choose_gamma(j, &own, &m) : look_ahead(j, &m);
    if (status) return status;
    if (lambda) flat_parameters(j->s, vector(j, F_DELTA));
    move(j, &m);
    return lambda ? adapt_lambda(j, before, own.lr * (2 - own.lr) * m.value, vector(j, F_DELTA)) : PITOT_OK;
}
