/* vr_adam.c: Adam on gradients that are weighted with their signal-to-noise ratio (Jiang et al. 2023, arXiv 2309.13681, VR-Adam). The paper
   takes the noise from the gradients of k devices; here the samples of the batch are these:

       r = g^2/sigma^2,  sigma^2 = mean_n g_n^2 - g^2;   r /= mean over the tensor;   r = clip(r, gamma, 1)
       p = beta3 p + (1-beta3) r,   h = p/(1-beta3^t) g,   Adam's step with h, in both averages

   sigma^2 is taken as 1e-30 where it is less, r as 1e30 where it is more: a batch of one sample gives plain Adam but where g is 0. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/chunks.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"

typedef struct vr_options {
    double lr, betas[2], beta3, eps, gamma;
} vr_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(vr_options, lr), "0.001", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(vr_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared gradient" },
    { "beta3", PITOT_REAL, 1, offsetof(vr_options, beta3), "0.9", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the average of the ratio" },
    { "eps", PITOT_REAL, 1, offsetof(vr_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "gamma", PITOT_REAL, 1, offsetof(vr_options, gamma), "0.1", 0, 1, NULL, "", "least weight of a gradient" },
    { 0 },
};

enum { BLOCK = 512 };
enum { M, V, P };

static const char *const slots[] = { "exp_avg", "exp_avg_sq", "exp_avg_gsnr", NULL };

/* Doubles that a mean for each of n tensors takes. */
static int64_t means_room(int64_t n) {
    return (n + 7) / 8 * 8;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    for (int j = 0; l->i >= 0 && slots[j]; j++) pitot_slot_like(l, slots[j], l->i, 1);
    if (l->i < 0)
        l->scratch =
            (chunks_room(l->parameters) + means_room(l->n)) * (int64_t)sizeof(double) + l->parameters * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

typedef struct numbers {
    pitot_real *r; /* (size): the mean square comes, the ratio stays */
    double mean;   /* of r over the tensor */
    double *sums;
} numbers;

/* A bound a loop: compilers make vectors of these. Gradients that are not good are counted. */
PITOT_HOT static void measure(const pitot_update *u) {
    const numbers *n = u->step;
    pitot_real *restrict r = n->r;
    const pitot_real *restrict g = u->g;
    double *out = chunks_at(n->sums, u);
    if (!good_run(g + u->begin, u->end - u->begin)) __atomic_add_fetch(u->left, 1, __ATOMIC_RELAXED);
    for (int64_t i = u->begin; i < u->end; i++) {
        pitot_real square = g[i] * g[i], noise = r[i] - square;
        r[i] = square / (noise > (pitot_real)1e-30 ? noise : (pitot_real)1e-30);
    }
    for (int64_t i = u->begin; i < u->end; i++) r[i] = r[i] < (pitot_real)1e30 ? r[i] : (pitot_real)1e30;
    out[0] = chunks_total(r + u->begin, u->end - u->begin);
    out[1] = 0;
}

/* In blocks that stay in the nearest cache. */
PITOT_HOT static void update(const pitot_update *u) {
    const vr_options *o = u->options;
    const numbers *n = u->step;
    double t = (double)u->t, bc1 = 1 - pow(o->betas[0], t), bc2 = 1 - pow(o->betas[1], t), bc3 = 1 - pow(o->beta3, t);
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], b3 = (pitot_real)o->beta3,
               c1 = (pitot_real)(1 - o->betas[0]), c2 = (pitot_real)(1 - o->betas[1]), c3 = (pitot_real)(1 - o->beta3),
               step = (pitot_real)(o->lr / bc1), root = (pitot_real)(1 / sqrt(bc2)), corrected = (pitot_real)(1 / bc3),
               eps = (pitot_real)o->eps, least = (pitot_real)o->gamma, scale = (pitot_real)(n->mean > 0 ? 1 / n->mean : 0);
    pitot_real *restrict x = u->x, *restrict m = u->state[M], *restrict v = u->state[V], *restrict p = u->state[P];
    const pitot_real *restrict g = u->g, *restrict ratio = n->r;
    pitot_real r[BLOCK];
    for (int64_t at = u->begin; at < u->end; at += BLOCK) {
        int64_t size = at + BLOCK < u->end ? BLOCK : u->end - at;
        for (int64_t i = 0; i < size; i++) {
            pitot_real relative = ratio[at + i] * scale;
            r[i] = relative > least ? relative : least;
        }
        for (int64_t i = 0; i < size; i++) r[i] = r[i] < 1 ? r[i] : 1;
        for (int64_t i = 0, k = at; i < size; i++, k++) {
            p[k] = b3 * p[k] + c3 * r[i];
            pitot_real h = corrected * p[k] * g[k];
            m[k] = b1 * m[k] + c1 * h;
            v[k] = b2 * v[k] + c2 * h * h;
            x[k] -= quotient(step * m[k], REAL(sqrt)(v[k]) * root + eps);
        }
    }
}

static int32_t step(pitot_stepping *s) {
    double *sums = s->scratch, *mean = sums + chunks_room(s->parameters);
    pitot_real *squares = (pitot_real *)(mean + means_room(s->n));
    int32_t status = s->source->squares(s->source->user, squares);
    for (int64_t i = 0; i < s->n && !status; i++) {
        double total[CHUNK_SUMS] = { 0 };
        if (!s->tensor[i].g) continue;
        if (!chunks_measure(s, i, measure, &(numbers){ squares + s->tensor[i].at, 0, sums })) status = PITOT_EHOST;
        chunks_add(sums, s->tensor[i].size, total);
        mean[i] = total[0] / (double)s->tensor[i].size;
    }
    for (int64_t i = 0; i < s->n && !status; i++)
        if (s->tensor[i].g) pitot_elementwise(s, i, update, &(numbers){ squares + s->tensor[i].at, mean[i], sums });
    return status;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const vr_options *o = s->options;
    return moment_view(&s->tensor[i], k, s->tensor[i].state[V], o->betas[1], o->eps, view);
}

const pitot_optimizer pitot_optimizer_vr_adam = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_SQUARES,
    .name = "vr_adam",
    .summary = "Adam on gradients weighted with their signal-to-noise ratio over the batch's samples",
    .paper = "Jiang et al. 2023, arXiv 2309.13681, VR-Adam, the samples its k gradients",
    .formula = "r = g^2/sigma^2; r = clip(r / mean r, gamma, 1); p = b3 p + (1-b3) r; Adam's step with p/(1-b3^t) g in place of g",
    .memory = "3 D values; D of work space",
    .cost = "squares of the samples' gradients; two passes over D",
    .options_size = sizeof(vr_options),
    .options = table,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
};
