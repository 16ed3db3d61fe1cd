/* rank.c: what singular values say of a matrix's rank; and that of tensors, for the probes on weights, gradients and updates. */

#include "pitot/probe.h"

#include <math.h>
#include <stdio.h>

pitot_rank pitot_rank_of(const double *sigma, int64_t n) {
    double sum = 0, squares = 0, entropy = 0; /* of sigma / sigma_1 */
    if (n < 1 || !(sigma[0] > 0)) return (pitot_rank){ 0, 0 };
    for (int64_t i = 0; i < n && sigma[i] > PITOT_RANK_NOTHING * sigma[0]; i++) {
        double r = sigma[i] / sigma[0];
        sum += r;
        squares += r * r;
        entropy -= r * log(r);
    }
    return (pitot_rank){ .effective = sum * exp(entropy / sum), .stable = squares };
}

typedef struct means { /* over matrices, weighted by values */
    double effective, stable, values;
    int64_t left_out;
} means;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* NULL: the tensor has no such matrix. */
static const pitot_real *values_of(const pitot_tensor *t, int32_t of) {
    if (t->size == 0 || t->n_dim < 2 || (of == PITOT_RANK_OF_UPDATE && !t->before)) return NULL;
    return of == PITOT_RANK_OF_GRAD ? t->grad : t->data;
}

static const pitot_real *subtract(const pitot_tensor *t, pitot_real *out) {
    for (int64_t i = 0; i < t->size; i++) out[i] = t->data[i] - t->before[i];
    return out;
}

/* PITOT_EHOST: a value is not finite. */
static int32_t add_matrix(const pitot_frame *f, int64_t tensor, int32_t of, means *m) {
    const pitot_tensor *t = &f->tensor[tensor];
    int64_t rows = t->shape[0], cols = t->size / rows, n = least(rows, cols), work = pitot_singular_work(rows, cols);
    int64_t room = of == PITOT_RANK_OF_UPDATE ? t->size : 0;
    double *sigma = work < 0 ? NULL : pitot_scratch(f, n + work + room);
    if (!sigma) return PITOT_EBUDGET;
    const pitot_real *x = room ? subtract(t, (pitot_real *)(sigma + n + work)) : values_of(t, of);
    int32_t status = pitot_singular_values(x, rows, cols, cols, 1, sigma, sigma + n);
    if (status) return status;
    pitot_rank r = pitot_rank_of(sigma, n);
    pitot_emit_tensor(f, "", tensor, r.effective);
    pitot_emit_tensor(f, "stable", tensor, r.stable);
    m->effective += r.effective * (double)t->size;
    m->stable += r.stable * (double)t->size;
    m->values += (double)t->size;
    return PITOT_OK;
}

int32_t pitot_emit_ranks(const pitot_frame *f, int32_t of, int64_t largest) {
    means m = { 0 };
    char text[120];
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *t = &f->tensor[i];
        if (!values_of(t, of)) continue;
        if (least(t->shape[0], t->size / t->shape[0]) > largest) {
            m.left_out++;
            continue;
        }
        int32_t status = add_matrix(f, i, of, &m);
        if (status == PITOT_EHOST) {
            snprintf(text, sizeof text, "%.60s has a value that is not finite", t->name);
            return pitot_undefined(f, text), PITOT_OK;
        }
        if (status) return status;
    }
    snprintf(text, sizeof text, "matrices left out: %lld, with a smaller side above %lld (option largest)", (long long)m.left_out,
             (long long)largest);
    if (m.values == 0)
        return pitot_undefined(f, m.left_out ? text : "there is no matrix: parameters have one axis, or no gradient"), PITOT_OK;
    if (m.left_out) pitot_remark(f, text);
    pitot_emit(f, "", m.effective / m.values);
    pitot_emit(f, "stable", m.stable / m.values);
    return PITOT_OK;
}
