/* precond_axis.c: see precond.h. */

#include "curve/precond.h"

#include "base/alloc.h"
#include "base/blas.h"

#include <math.h>
#include <string.h>

int32_t precond_decompose(int64_t n, const double *from, double *basis, double *value) {
    int64_t room = blas_eigenvectors_work(n);
    double *work = room < 0 ? NULL : mem_alloc(room, sizeof *work);
    if (!work) return PITOT_ENOMEM;
    memcpy(basis, from, (size_t)(n * n) * sizeof *basis);
    int failed = blas_eigenvectors(n, basis, value, work);
    mem_free(work);
    return failed ? PITOT_EHOST : PITOT_OK;
}

int precond_applies(const pitot_preconditioner *p) {
    return p->inverse || (p->basis && p->eigenvalues);
}

/* x, or 0 where it is less. What is not a number stays so, unlike with fmax. */
static double above_zero(double x) {
    return x < 0 ? 0 : x;
}

int32_t precond_in_use(const pitot_preconditioner *p, double *basis, double *value, double *work) {
    int64_t n = p->n;
    for (int64_t i = 0; p->basis && i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            basis[j * n + i] = (double)p->basis[i * n + j];
            if (!isfinite(basis[j * n + i])) return PITOT_EHOST;
        }
    for (int64_t i = 0; p->basis && p->eigenvalues && i < n; i++)
        value[i] = pow(above_zero((double)p->eigenvalues[i]) + p->damping, p->power);
    if (!p->inverse || (p->basis && (p->eigenvalues || p->corrected))) return PITOT_OK;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) work[i * n + j] = ((double)p->inverse[i * n + j] + (double)p->inverse[j * n + i]) / 2;
    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(work[i])) return PITOT_EHOST;
    return precond_decompose(n, work, basis, value);
}

double precond_corrected(const pitot_preconditioner *c, double value) {
    double by = c->correction != 0 ? c->correction : 1;
    return 1 / (pow(above_zero(by * value) + c->damping, -c->corrected_power) + c->eps);
}
