/* update.c: how long the step was. A host that knows its update to be theta -= lr g says so (pitot_plain_update): then no parameters are
   copied, and lengths follow from g. Its promise is looked at in a few values of each tensor; once broken, it is not believed again. */

#include "run/run.h"

#include <float.h>
#include <math.h>

enum { KNOWS_GRADIENT = 1, KNOWS_STEP = 2 };

void update_begin(pitot_run *run) {
    run->plain = run->broke_plain = 0;
    for (int32_t i = 0; i < run->n_params; i++) run->param[i].lengths = run->param[i].has_before = 0;
}

int32_t pitot_plain_update(pitot_run *run) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run) || (run->open_step && !run->mask)) return PITOT_OK;
    if (!run->open_step || run->seen_backward)
        return run_fail(run, PITOT_EORDER, "pitot_plain_update: is said between pitot_begin and pitot_after_backward");
    run->plain = !run->distrusts_plain;
    return PITOT_OK;
}

/* ---- the promise ---- */

static int64_t spot(int64_t size, int k) {
    return (size - 1) / (SPOTS - 1) * k;
}

void update_promised(pitot_run *run) {
    for (int32_t i = 0; i < run->n_live; i++) {
        param *p = &run->param[i];
        const pitot_tensor *t = &run->tensor[i];
        for (int k = 0; t->data && k < SPOTS; k++) {
            int64_t at = spot(p->layout.size, k);
            p->spot[0][k] = t->data[at];
            p->spot[1][k] = t->grad ? t->grad[at] : 0;
        }
        update_gradient_square(run, i); /* of the gradient as it is now */
    }
}

/* after = before - lr g up to the rounding of theta, or nothing that can be compared */
static int kept(double after, double before, double lr, double g) {
    const double unit = sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON;
    double off = after - before + lr * g, within = 4 * unit * (fabs(after) + fabs(before) + fabs(lr * g));
    return !isfinite(off) || fabs(off) <= within;
}

void update_check(pitot_run *run) {
    for (int32_t i = 0; run->plain && i < run->n_live; i++) {
        const param *p = &run->param[i];
        const pitot_tensor *t = &run->tensor[i];
        int good = 1;
        for (int k = 0; t->data && k < SPOTS; k++)
            good &= kept((double)t->data[spot(p->layout.size, k)], (double)p->spot[0][k], run->lr, (double)p->spot[1][k]);
        if (good) continue;
        run->plain = 0;
        run->broke_plain = run->distrusts_plain = 1;
        run_fail(run, PITOT_EHOST,
                 "step %lld: %.60s did not move by lr times its gradient, as pitot_plain_update had said; it is not believed again",
                 (long long)run->step, p->name);
    }
}

/* ---- lengths ---- */

double update_gradient_square(pitot_run *run, int32_t tensor) {
    param *p = &run->param[tensor];
    const pitot_real *g = run->tensor[tensor].grad;
    if (!(p->lengths & KNOWS_GRADIENT)) p->gradient_square = g ? pitot_sum_squares(g, p->layout.size) : 0;
    p->lengths |= KNOWS_GRADIENT;
    return p->gradient_square;
}

void update_gradient_is(pitot_run *run, int32_t tensor, double square) {
    run->param[tensor].gradient_square = square;
    run->param[tensor].lengths |= KNOWS_GRADIENT;
}

int update_is_known(const pitot_run *run, int32_t tensor) {
    return run->plain || run->param[tensor].has_before;
}

double pitot_gradient_square(const pitot_frame *f, int64_t tensor) {
    return update_gradient_square(f->out->run, (int32_t)tensor);
}

static double step_square(pitot_run *run, int32_t tensor) {
    const param *p = &run->param[tensor];
    const pitot_real *data = run->tensor[tensor].data;
    if (!data || !update_is_known(run, tensor)) return 0;
    if (run->plain) return run->lr * run->lr * update_gradient_square(run, tensor);
    return pitot_sum_squared_difference(data, p->before, p->layout.size);
}

double pitot_step_square(const pitot_frame *f, int64_t tensor) {
    pitot_run *run = f->out->run;
    param *p = &run->param[tensor];
    if (!run->curving.late) return NAN;
    if (!(p->lengths & KNOWS_STEP)) p->step_square = step_square(run, (int32_t)tensor);
    p->lengths |= KNOWS_STEP;
    return p->step_square;
}
