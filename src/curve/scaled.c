/* scaled.c: an operator between two diagonal factors, column by column: there is one vector of work. */

#include "base/sums.h"
#include "base/threads.h"
#include "curve/check.h"
#include "pitot/solve.h"

typedef struct scale_job {
    const pitot_real *root, *x;
    pitot_real *y;
} scale_job;

static void scale_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const scale_job *s = job;
    for (int64_t i = begin; i < end; i++) s->y[i] = s->root[i] * s->x[i];
}

/* y = root * x, element by element; y may be x. */
static void scale(const pitot_real *root, const pitot_real *x, pitot_real *y, int64_t n) {
    scale_job job = { root, x, y };
    threads_run(sums_threads(n), n, scale_task, &job);
}

static int32_t apply_scaled(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_scaled *s = self;
    const int64_t n = s->op.n;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) {
        scale(s->root, x + j * n, s->work, n);
        status = s->inner->apply(s->inner->self, s->work, y + j * n, 1);
        if (!status) scale(s->root, y + j * n, y + j * n, n);
    }
    s->op.error = s->inner->error;
    return status;
}

void pitot_scaled_init(pitot_scaled *s, const pitot_linop *inner, const pitot_real *root, pitot_real *work) {
    *s = (pitot_scaled){ .inner = inner, .root = root, .work = work };
    s->op = (pitot_linop){ .struct_size = sizeof s->op,
                           .name = "scaled",
                           .n = inner->n,
                           .symmetric = inner->symmetric,
                           .exact = inner->exact,
                           .apply = apply_scaled,
                           .self = s,
                           .error = inner->error,
                           .checked = !check_is_due(inner) };
}
