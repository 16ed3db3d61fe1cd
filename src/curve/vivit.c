/* vivit.c: see pitot/vivit.h. Groups, and Gram matrices from factor.h. */

#include "curve/vivit.h"

#include "base/alloc.h"
#include "base/blas.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int64_t usual_memory = (int64_t)1 << 31;

/* ---- groups ---- */

/* "fc1" is fc1.weight and fc1.bias */
static int matches(const char *param, const char *name, size_t length) {
    return strncmp(param, name, length) == 0 && (param[length] == 0 || (param[length] == '.' && !strchr(param + length + 1, '.')));
}

static int32_t add_name(pitot_vivit *v, vivit_group *g, const char *name, size_t length, pitot_error *error) {
    int64_t found = 0;
    for (int64_t i = 0; i < v->n_params; i++) {
        if (!matches(v->net->param[i].name, name, length)) continue;
        g->at[i] = 0;
        found++;
    }
    if (found) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL, "groups: nothing is called \"%.*s\"; name layers or parameters", (int)length, name);
}

/* Names from..to, separated by commas. */
static int32_t add_names(pitot_vivit *v, vivit_group *g, const char *from, const char *to, pitot_error *error) {
    int32_t status = PITOT_OK;
    while (!status && from <= to) {
        const char *end = from, *last;
        while (end < to && *end != ',') end++;
        last = end;
        while (from < last && isspace((unsigned char)*from)) from++;
        while (last > from && isspace((unsigned char)last[-1])) last--;
        status = add_name(v, g, from, (size_t)(last - from), error);
        from = end + 1;
    }
    return status;
}

static int32_t begin_group(pitot_vivit *v, const char *name, size_t length, pitot_error *error) {
    vivit_group *more = mem_grow(v->group, v->n_groups, v->n_groups + 1, sizeof *more), *g;
    if (!more) return pitot_fail(error, PITOT_ENOMEM, "no memory for a group");
    v->group = more;
    g = &v->group[v->n_groups++];
    g->at = mem_alloc(v->n_params, sizeof *g->at);
    g->name = mem_alloc((int64_t)length + 1, 1);
    if (!g->at || !g->name) return pitot_fail(error, PITOT_ENOMEM, "no memory for a group");
    memcpy(g->name, name, length);
    for (int64_t i = 0; i < v->n_params; i++) g->at[i] = -1;
    return PITOT_OK;
}

static void finish_group(pitot_vivit *v, vivit_group *g) {
    for (int64_t i = 0; i < v->n_params; i++) {
        if (g->at[i] < 0) continue;
        g->at[i] = g->size;
        g->size += v->net->param[i].size;
        v->wanted[i] = 1;
    }
}

static int32_t all_in_one(pitot_vivit *v, pitot_error *error) {
    int32_t status = begin_group(v, "", 0, error);
    for (int64_t i = 0; !status && i < v->n_params; i++) v->group->at[i] = 0;
    return status;
}

static int32_t each_layer(pitot_vivit *v, pitot_error *error) {
    int32_t status = PITOT_OK;
    for (int32_t k = 0; !status && k < v->net->n_nodes; k++) {
        const buffers *b = &v->net->buffer[k];
        if (b->weight < 0 && b->bias < 0) continue;
        status = begin_group(v, v->net->node[k].name, strlen(v->net->node[k].name), error);
        if (!status && b->weight >= 0) v->group[v->n_groups - 1].at[b->weight] = 0;
        if (!status && b->bias >= 0) v->group[v->n_groups - 1].at[b->bias] = 0;
    }
    return status;
}

static int32_t named(pitot_vivit *v, const char *text, pitot_error *error) {
    int32_t status = PITOT_OK;
    while (!status && *text) {
        size_t length = strcspn(text, ";");
        status = begin_group(v, text, length, error);
        if (!status) status = add_names(v, &v->group[v->n_groups - 1], text, text + length, error);
        text += length + (text[length] == ';');
    }
    if (!status && !v->n_groups)
        return pitot_fail(error, PITOT_EINVAL, "groups: the text is empty; NULL stands for all parameters");
    return status;
}

static int32_t make_groups(pitot_vivit *v, const pitot_vivit_config *c, pitot_error *error) {
    int32_t status = c->groups ? named(v, c->groups, error) : c->per_layer ? each_layer(v, error) : all_in_one(v, error);
    for (int32_t i = 0; !status && i < v->n_groups; i++) finish_group(v, &v->group[i]);
    return status;
}

/* ---- samples ---- */

static int32_t check_samples(const pitot_net *net, const int64_t *sample, int64_t n, const char *what, pitot_error *error) {
    if (!sample) return PITOT_OK;
    unsigned char *seen = mem_alloc(net->last.n, 1);
    int32_t status = !seen ? PITOT_ENOMEM : n < 1 ? PITOT_EINVAL : PITOT_OK;
    if (status) pitot_fail(error, status, "%s: %lld samples; at least one is needed", what, (long long)n);
    for (int64_t j = 0; !status && j < n; j++) {
        if (sample[j] < 0 || sample[j] >= net->last.n || seen[sample[j]])
            status = pitot_fail(error, PITOT_EINVAL, "%s: %lld is no sample of this batch of %lld, or comes twice", what,
                                (long long)sample[j], (long long)net->last.n);
        else seen[sample[j]] = 1;
    }
    mem_free(seen);
    return status;
}

static int32_t take_samples(pitot_vivit *v, const pitot_vivit_config *c, pitot_error *error) {
    int32_t status = check_samples(v->net, c->ggn_samples, c->n_ggn, "ggn_samples", error);
    if (!status) status = check_samples(v->net, c->grad_samples, c->n_grad, "grad_samples", error);
    if (status) return status;
    v->n_grad = c->grad_samples ? c->n_grad : v->net->last.n;
    v->grad_sample = mem_alloc(v->n_grad, sizeof *v->grad_sample);
    if (!v->grad_sample) return pitot_fail(error, PITOT_ENOMEM, "no memory for the list of samples");
    for (int64_t j = 0; j < v->n_grad; j++) v->grad_sample[j] = c->grad_samples ? c->grad_samples[j] : j;
    return PITOT_OK;
}

/* ---- making one ---- */

static int32_t make_factor(pitot_vivit *v, const pitot_vivit_config *c, pitot_error *error) {
    const pitot_net *net = v->net;
    roots r = { .n = net->node[net->n_nodes - 1].out.size - net->loss->less };
    if (c->draws) r = (roots){ .n = c->draws, .drawn = 1, .seed = c->seed };
    int64_t n = c->ggn_samples ? c->n_ggn : net->last.n, columns;
    if (__builtin_mul_overflow(n, r.n, &columns) || columns > INT32_MAX / 64)
        return pitot_fail(error, PITOT_EBUDGET, "%lld columns of each of %lld samples are too many; use draws or fewer samples",
                          (long long)r.n, (long long)n);
    return factor_new(&v->v, v->net, &r, c->ggn_samples, n, v->wanted, c->memory ? c->memory : usual_memory, error);
}

static int32_t make(pitot_vivit *v, const pitot_vivit_config *c, pitot_error *error) {
    if (!v->net->has_gradient) return pitot_fail(error, PITOT_EORDER, "there was no backward pass; call pitot_net_backward first");
    v->n_params = v->net->n_params;
    v->wanted = mem_alloc(v->n_params, 1);
    int32_t status = v->wanted ? take_samples(v, c, error) : PITOT_ENOMEM;
    if (!status) status = make_groups(v, c, error);
    return status ? status : make_factor(v, c, error);
}

pitot_vivit *pitot_vivit_new(const pitot_vivit_config *c, pitot_error *error) {
    if (!c || !c->net || c->draws < 0 || c->memory < 0) {
        pitot_fail(error, PITOT_EINVAL, "a net is needed, and neither draws nor memory below 0");
        return NULL;
    }
    pitot_vivit *v = mem_alloc(1, sizeof *v);
    if (!v) pitot_fail(error, PITOT_ENOMEM, "no memory");
    if (!v) return NULL;
    v->net = c->net;
    int32_t status = make(v, c, error);
    if (status == PITOT_OK) return v;
    pitot_fail(error, status, "no memory"); /* unless something better has been said */
    pitot_vivit_free(v);
    return NULL;
}

void pitot_vivit_free(pitot_vivit *v) {
    if (!v) return;
    for (int32_t i = 0; i < v->n_groups; i++) {
        mem_free(v->group[i].name);
        mem_free(v->group[i].at);
        mem_free(v->group[i].gram);
        mem_free(v->group[i].cross);
    }
    factor_free(&v->v);
    mem_free(v->group);
    mem_free(v->grad_sample);
    mem_free(v->wanted);
    mem_free(v);
}

int32_t pitot_vivit_groups(const pitot_vivit *v) {
    return v->n_groups;
}

int64_t pitot_vivit_columns(const pitot_vivit *v) {
    return v->v.columns;
}

int64_t pitot_vivit_parameters(const pitot_vivit *v, int32_t group) {
    return group < 0 || group >= v->n_groups ? 0 : v->group[group].size;
}

const char *pitot_vivit_name(const pitot_vivit *v, int32_t group) {
    return group < 0 || group >= v->n_groups ? "" : v->group[group].name;
}

/* ---- Gram matrices ---- */

int32_t vivit_check(const pitot_vivit *v, int32_t group, const void *needed, pitot_error *error) {
    if (v && needed && group >= 0 && group < v->n_groups) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL, "there is no group %ld, or room for the result is missing", (long)group);
}

double vivit_round_off(const pitot_vivit *v) {
    return (double)v->v.columns * (sizeof(pitot_real) == 8 ? 0x1p-52 : 0x1p-23);
}

enum { SQUARE = 32 };

/* The lower triangle from the upper, square by square; 0 if a value is not finite. */
static int mirror(double *k, int64_t n) {
    double bad = 0;
    for (int64_t p = 0; p < n; p += SQUARE)
        for (int64_t q = p; q < n; q += SQUARE)
            for (int64_t i = p; i < p + SQUARE && i < n; i++)
                for (int64_t j = q < i ? i : q; j < q + SQUARE && j < n; j++) {
                    bad += k[i * n + j] - k[i * n + j];
                    k[j * n + i] = k[i * n + j];
                }
    return bad == 0;
}

int32_t pitot_vivit_gram(pitot_vivit *v, int32_t group, const double **gram, pitot_error *error) {
    int32_t status = vivit_check(v, group, gram, error);
    if (status) return status;
    vivit_group *g = &v->group[group];
    int64_t n = v->v.columns;
    if (!g->gram) {
        double *k = mem_alloc(n, (size_t)n * sizeof *k);
        status = k ? factor_product(&v->v, &v->v, g->at, k) : PITOT_ENOMEM;
        if (status) pitot_fail(error, status, "no memory for a Gram matrix of %lld rows", (long long)n);
        else if (!mirror(k, n))
            status =
                pitot_fail(error, PITOT_EHOST, "the Gram matrix is not finite; weights, samples or outputs are not, or too large");
        if (!status) g->gram = k;
        else mem_free(k);
    }
    *gram = g->gram;
    return status;
}

int32_t pitot_vivit_trace(pitot_vivit *v, int32_t group, double *trace, pitot_error *error) {
    const double *k;
    int32_t status = vivit_check(v, group, trace, error);
    if (!status) status = pitot_vivit_gram(v, group, &k, error);
    if (status) return status;
    *trace = 0;
    for (int64_t i = 0; i < v->v.columns; i++) *trace += k[i * (v->v.columns + 1)];
    return PITOT_OK;
}

int32_t pitot_vivit_eigenvalues(pitot_vivit *v, int32_t group, double *value, pitot_error *error) {
    const double *k;
    int32_t status = vivit_check(v, group, value, error);
    if (!status) status = pitot_vivit_gram(v, group, &k, error);
    int threads = status ? 1 : v->net->threads;
    int64_t n = status ? 0 : v->v.columns, more = blas_real_eigenvalues_work(threads, n);
    if (n == 0) return status;
    pitot_real *work = more < 0 ? NULL : mem_alloc(more, sizeof *work);
    if (!work) return pitot_fail(error, PITOT_ENOMEM, "no memory for %lld eigenvalues", (long long)n);
    if (blas_real_eigenvalues(threads, n, k, value, work))
        status = pitot_fail(error, PITOT_EHOST, "LAPACK's iteration did not converge");
    mem_free(work);
    return status;
}

int32_t pitot_vivit_top(pitot_vivit *v, int32_t group, int64_t k, double *value, double *vector, pitot_error *error) {
    const double *gram;
    int32_t status = vivit_check(v, group, value && vector ? value : NULL, error);
    if (status) return status;
    if (k < 1 || k > v->v.columns)
        return pitot_fail(error, PITOT_EINVAL, "k: %lld; there are %lld eigenpairs", (long long)k, (long long)v->v.columns);
    status = pitot_vivit_gram(v, group, &gram, error);
    if (status) return status;
    status = vivit_leading(v->v.columns, gram, k, value, vector);
    if (status) return pitot_fail(error, status, "no memory for eigenvectors, or LAPACK's iteration did not converge");
    return PITOT_OK;
}
