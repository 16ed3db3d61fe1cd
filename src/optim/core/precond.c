/* precond.c: the preconditioner of an optimizer at work, from what its method shows. See pitot/precond.h. */

#include "pitot/precond.h"

#include "base/alloc.h"

/* A factor of which no inverse or root has been made yet: until then steps are plain. */
static int is_idle(const pitot_preconditioner *v) {
    return v->axis >= 0 && !v->diagonal && !v->inverse && !v->basis;
}

/* How many are in use, into `out` unless that is NULL; -1: there are some that cannot be shown. */
static int64_t count_factors(const pitot_optim *optim, int64_t n_tensors, pitot_preconditioner *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < n_tensors; i++) {
        pitot_preconditioner v;
        int32_t status;
        for (int32_t k = 0; (status = pitot_optim_view(optim, i, k, &v)) == PITOT_OK; k++) {
            v.param = (int32_t)i + 1;
            if (is_idle(&v)) continue;
            if (out) out[n] = v;
            n++;
        }
        if (status == PITOT_ENOTSUP) return -1;
    }
    return n;
}

pitot_precond *pitot_precond_of(const pitot_optim *optim, const pitot_precond_tensor *tensors, int64_t n_tensors,
                                pitot_error *error) {
    const char *name = pitot_optim_method(optim)->name;
    if (!pitot_optim_method(optim)->view) return pitot_fail(error, PITOT_ENOTSUP, "optimizer %s has no preconditioner", name), NULL;
    int64_t n = count_factors(optim, n_tensors, NULL);
    if (n < 0)
        return pitot_fail(error, PITOT_ENOTSUP, "optimizer %s cannot show its preconditioner with these options", name), NULL;
    if (!n)
        return pitot_fail(error, PITOT_EORDER, "optimizer %s has no preconditioner in use yet; it takes more steps", name), NULL;
    pitot_preconditioner *list = mem_alloc(n, sizeof *list);
    if (!list) return pitot_fail(error, PITOT_ENOMEM, "no memory for the preconditioner"), NULL;
    count_factors(optim, n_tensors, list);
    pitot_precond *p = pitot_precond_new(list, n, tensors, n_tensors, error);
    mem_free(list);
    return p;
}
