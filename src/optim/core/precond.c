/* precond.c: the preconditioner of an optimizer at work, from what its method shows. See pitot/precond.h. */

#include "pitot/precond.h"

#include "base/alloc.h"

static int64_t count_factors(const pitot_optim *optim, int64_t n_tensors, pitot_preconditioner *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < n_tensors; i++) {
        pitot_preconditioner v;
        for (int32_t k = 0; pitot_optim_view(optim, i, k, &v) == PITOT_OK; k++, n++) {
            v.param = (int32_t)i + 1;
            if (out) out[n] = v;
        }
    }
    return n;
}

pitot_precond *pitot_precond_of(const pitot_optim *optim, const pitot_precond_tensor *tensors, int64_t n_tensors,
                                pitot_error *error) {
    pitot_preconditioner v;
    int32_t status = PITOT_EORDER;
    const char *name = pitot_optim_method(optim)->name;
    for (int64_t i = 0; i < n_tensors && status == PITOT_EORDER; i++) status = pitot_optim_view(optim, i, 0, &v);
    if (status == PITOT_ENOTSUP) return pitot_fail(error, status, "optimizer %s has no preconditioner", name), NULL;
    if (status == PITOT_EORDER) return pitot_fail(error, status, "optimizer %s has made no step", name), NULL;
    int64_t n = count_factors(optim, n_tensors, NULL);
    pitot_preconditioner *list = mem_alloc(n, sizeof *list);
    if (!list) return pitot_fail(error, PITOT_ENOMEM, "no memory for the preconditioner"), NULL;
    count_factors(optim, n_tensors, list);
    pitot_precond *p = pitot_precond_new(list, n, tensors, n_tensors, error);
    mem_free(list);
    return p;
}
