/* share.c: what several probes ask for: made when the first of them does, kept until the next step begins. */

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/net.h"
#include "run/run.h"

#include <math.h>
#include <string.h>

void share_begin(pitot_run *run) {
    sharing *s = &run->sharing;
    s->n_diagonals = s->has_gradient = s->has_gradient_product = s->has_step_product = s->has_loss = 0;
    s->factors_of = NO_FACTORS;
    s->prediction.n = 0;
}

void share_free(pitot_run *run) {
    sharing *s = &run->sharing;
    for (int i = 0; i < MOST_DIAGONALS; i++) mem_free(s->diagonal[i].values), mem_free(s->diagonal[i].trace);
    void *const blocks[] = { s->gradient_product, s->gradient, s->step,   s->step_product, s->unit,
                             s->scratch,          s->spectrum, s->factor, s->squares };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}

double *pitot_scratch(const pitot_frame *f, int64_t count) {
    pitot_run *run = f->out->run;
    sharing *s = &run->sharing;
    return count >= 0 && run_room(run, &s->scratch, &s->room_scratch, count, sizeof *s->scratch) ? s->scratch : NULL;
}

int64_t pitot_offset(const pitot_frame *f, int64_t tensor) {
    int64_t at = 0;
    if (!f->tensor[tensor].grad) return -1;
    for (int64_t i = 0; i < tensor; i++) at += f->tensor[i].grad ? f->out->run->param[i].layout.size : 0;
    return at;
}

void pitot_gather_gradient(const pitot_frame *f, pitot_real *out) {
    params_gather_gradient(f->out->run, out);
}

/* The rows of state that belong to one tensor, from or to vectors (count,D). */
static void move_state(const pitot_frame *f, int32_t first, int32_t count, pitot_real *out, const pitot_real *in) {
    int64_t at = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *t = &f->tensor[i];
        if (!t->grad) continue;
        for (int32_t k = 0; k < count; k++) {
            pitot_real *s = t->state + (first + k) * t->size;
            if (in) memcpy(s, in + k * f->size + at, (size_t)t->size * sizeof *s);
            else memcpy(out + k * f->size + at, s, (size_t)t->size * sizeof *s);
        }
        at += t->size;
    }
}

void pitot_gather_state(const pitot_frame *f, int32_t first, int32_t count, pitot_real *out) {
    move_state(f, first, count, out, NULL);
}

void pitot_scatter_state(const pitot_frame *f, int32_t first, int32_t count, const pitot_real *vectors) {
    move_state(f, first, count, NULL, vectors);
}

/* ---- the GGN's spectrum ---- */

static int32_t ask_spectrum(pitot_run *run, pitot_ggn_spectrum *s) {
    pitot_call call = { .struct_size = sizeof call, .spectrum = s };
    return callback_call(run, CALL_SPECTRUM, &call);
}

int32_t pitot_spectrum_of(const pitot_frame *f, int64_t k, int64_t draws, int64_t samples, pitot_real *vectors,
                          pitot_spectrum *out) {
    pitot_run *run = f->out->run;
    sharing *s = &run->sharing;
    if (k < 1 || draws < 0 || samples < 0 || !vectors) return PITOT_EINVAL;
    if (!callback_there(run, CALL_SPECTRUM)) return PITOT_ENOTSUP;
    pitot_ggn_spectrum q = { .struct_size = sizeof q,
                             .k = k,
                             .draws = draws,
                             .samples = samples,
                             .seed = random_bits(run->seed, random_purpose("curvature"), (uint64_t)run->step, 0) };
    int32_t status = ask_spectrum(run, &q);
    if (status) return status;
    int all = (run->flags & PITOT_EXACT) != 0;
    if (q.k < 0 || q.k > k || q.n < q.k || q.n > INT32_MAX) return PITOT_EHOST;
    if (!run_room(run, &s->spectrum, &s->room_spectrum, 5 * k + (all ? q.n : 0), sizeof *s->spectrum)) return PITOT_EBUDGET;
    double *room = s->spectrum;
    q.top = room, q.gamma_mean = room + k, q.gamma_snr = room + 2 * k, q.lambda_mean = room + 3 * k, q.lambda_snr = room + 4 * k;
    q.value = all ? room + 5 * k : NULL;
    q.vectors = vectors;
    status = ask_spectrum(run, &q);
    *out = (pitot_spectrum){ q.k, q.n, q.trace, q.value, q.top, q.gamma_mean, q.gamma_snr, q.lambda_mean, q.lambda_snr };
    return status;
}

/* ---- products ---- */

int32_t pitot_gradient_product(const pitot_frame *f, const pitot_real **out) {
    pitot_run *run = f->out->run;
    sharing *s = &run->sharing;
    int64_t n = run->curving.size;
    *out = NULL;
    if (!f->hessian) return PITOT_EORDER;
    if (!s->has_gradient_product) {
        s->has_gradient_product = 1;
        s->status[0] = PITOT_EBUDGET;
        if (run_room(run, &s->gradient_product, &s->room_gradient_product, n, sizeof *s->gradient_product) &&
            run_room(run, &s->unit, &s->room_unit, 2 * n, sizeof *s->unit)) {
            params_gather_gradient(run, s->unit);
            s->status[0] = f->hessian->apply(f->hessian->self, s->unit, s->gradient_product, 1);
        }
    }
    *out = s->gradient_product;
    return s->status[0];
}

int32_t pitot_weighted_gradient(const pitot_frame *f, const double *weight, pitot_real *out) {
    pitot_run *run = f->out->run;
    sweep_job job;
    if (!sampling_job(run, &job, 0)) return PITOT_EORDER;
    memset(out, 0, (size_t)run->curving.size * sizeof *out);
    for (int32_t k = 0; k < job.n_targets; k++) sweep_weighted_sum(&job, k, weight, out + pitot_offset(f, job.target[k].tensor));
    return PITOT_OK;
}

int32_t pitot_sample_gradients(const pitot_frame *f, int64_t tensor, const pitot_real **out) {
    pitot_run *run = f->out->run;
    sweep_job job;
    int64_t values;
    *out = NULL;
    if (!sampling_job(run, &job, 0)) return PITOT_EORDER;
    for (int32_t k = 0; k < job.n_targets; k++) {
        if (job.target[k].tensor != tensor) continue;
        param *p = &run->param[tensor];
        if (__builtin_mul_overflow(job.n, p->layout.size, &values) ||
            !run_room(run, &p->samples, &p->room_samples, values, sizeof *p->samples))
            return PITOT_EBUDGET;
        sweep_samples(&job, k, 0, job.n, p->samples, p->layout.size);
        *out = p->samples;
    }
    return PITOT_OK;
}

/* ---- around the update ---- */

void share_keep_gradient(pitot_run *run) {
    sharing *s = &run->sharing;
    s->has_gradient = run_room(run, &s->gradient, &s->room_gradient, run->curving.size, sizeof *s->gradient) ? 1 : -1;
    if (s->has_gradient > 0) params_gather_gradient(run, s->gradient);
}

int32_t pitot_step_gradient(const pitot_frame *f, const pitot_real **out) {
    const pitot_run *run = f->out->run;
    if (!run->curving.late || !run->sharing.has_gradient) return PITOT_EORDER;
    *out = run->sharing.gradient;
    return run->sharing.has_gradient > 0 ? PITOT_OK : PITOT_EBUDGET;
}

/* s = theta_{t+1} - theta_t as a vector (D) */
static void gather_step(const pitot_run *run, pitot_real *s) {
    for (int32_t i = 0; i < run->n_live; i++) {
        int64_t n = run->param[i].layout.size;
        const pitot_real *after = run->tensor[i].data, *before = run->param[i].before;
        if (!run->tensor[i].grad) continue;
        for (int64_t k = 0; k < n; k++) s[k] = run->param[i].has_before ? after[k] - before[k] : 0;
        s += n;
    }
}

/* A status, once everything is back in its place: what a callback gave that did not leave it there is not trusted. */
static int32_t checked(pitot_run *run, int which, int32_t status) {
    if (run->curving.kept) callback_check(run);
    return !status && !callback_there(run, which) ? PITOT_EHOST : status;
}

static int32_t step_product(pitot_run *run) {
    sharing *s = &run->sharing;
    int64_t n = run->curving.size;
    if (!run_room(run, &s->step, &s->room_step, n, sizeof *s->step) ||
        !run_room(run, &s->step_product, &s->room_step_product, n, sizeof *s->step_product))
        return PITOT_EBUDGET;
    if (params_size(run) != n) return PITOT_EHOST; /* a tensor has gone since */
    gather_step(run, s->step);
    int32_t status = callback_prepare(run);
    if (status) return status;
    callback_move(run, s->step, -1);
    pitot_call call = { .struct_size = sizeof call, .n = n, .v = s->step, .n_out = n, .out = s->step_product };
    status = callback_call(run, CALL_HVP, &call);
    callback_move(run, NULL, 0);
    return checked(run, CALL_HVP, status);
}

int32_t pitot_step_product(const pitot_frame *f, const pitot_real **step, const pitot_real **out) {
    pitot_run *run = f->out->run;
    sharing *s = &run->sharing;
    if (!run->curving.late) return PITOT_EORDER;
    if (!s->has_step_product) s->status[1] = step_product(run);
    s->has_step_product = 1;
    *step = s->step;
    *out = s->step_product;
    return s->status[1];
}

/* After the product, which wants the activations of the step. */
int32_t pitot_loss_after(const pitot_frame *f, double *loss) {
    pitot_run *run = f->out->run;
    sharing *s = &run->sharing;
    const pitot_real *step, *product;
    int32_t status = pitot_step_product(f, &step, &product);
    if (status) return status;
    if (!s->has_loss) {
        pitot_call call = { .struct_size = sizeof call, .n = run->curving.size };
        s->status[2] = checked(run, CALL_FORWARD, callback_call(run, CALL_FORWARD, &call));
        s->loss_after = call.loss;
        s->has_loss = 1;
    }
    *loss = s->loss_after;
    return s->status[2];
}

/* ---- outputs ---- */

const pitot_prediction *share_prediction(pitot_run *run) {
    sharing *s = &run->sharing;
    const pitot_batch *b = &run->curving.batch;
    if (s->prediction.n) return &s->prediction;
    if (!b->output || !b->target || b->c < 1 || run->sampling.several || b->loss_kind == PITOT_LOSS_UNKNOWN) return NULL;
    int classes = b->loss_kind == PITOT_CROSS_ENTROPY;
    s->prediction = (pitot_prediction){ .n = b->n,
                                        .t = b->t ? b->t : 1,
                                        .c = b->c,
                                        .stride = b->c_stride ? b->c_stride : b->c,
                                        .f = b->output,
                                        .classes = classes ? b->target : NULL,
                                        .targets = classes ? NULL : b->target,
                                        .ids = b->ids,
                                        .loss_kind = b->loss_kind,
                                        .weight = b->weight };
    return &s->prediction;
}
