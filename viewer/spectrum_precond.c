/* spectrum_precond.c: see spectrum_precond.h. */

#include "spectrum_precond.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- from the manifest ---- */

/* "sam.rho=0.1" of a wrapper, or "lr=0.1": the rest is of probes. */
static int is_of_optimizer(const char *item) {
    char name[64];
    size_t n = strcspn(item, ".=");
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, item);
    return item[n] != '.' || pitot_wrapper_find(name);
}

static int32_t set_option(pitot_optim *optim, const char *item, pitot_error *error) {
    char key[128];
    const char *equals = item ? strchr(item, '=') : NULL;
    if (!equals) return pitot_fail(error, PITOT_EFORMAT, "train.set holds something that is not KEY=VALUE");
    if (!is_of_optimizer(item)) return PITOT_OK;
    snprintf(key, sizeof key, "%.*s", (int)(equals - item < 127 ? equals - item : 127), item);
    return pitot_optim_set(optim, key, equals + 1, error);
}

static double number(const cJSON *of, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(of, key);
    return cJSON_IsNumber(v) && fabs(v->valuedouble) < 9e15 ? v->valuedouble : 0;
}

static int32_t make_optim(spectrum_precond *p, const cJSON *train, pitot_error *error) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(train, "optimizer"));
    const cJSON *set = cJSON_GetObjectItemCaseSensitive(train, "set");
    if (!name) return pitot_fail(error, PITOT_ENOTSUP, "does not say how its optimizer was set up; runs of `pitot train` do");
    p->optim = pitot_optim_new(name, error);
    if (!p->optim) return error->status;
    if (!pitot_optim_method(p->optim)->view)
        return pitot_fail(error, PITOT_ENOTSUP, "optimizer %s has no preconditioner", precond_name(p));
    int32_t status = PITOT_OK;
    for (const cJSON *e = cJSON_IsArray(set) ? set->child : NULL; e && !status; e = e->next)
        status = set_option(p->optim, cJSON_GetStringValue(e), error);
    pitot_optim_plan(p->optim, (int64_t)number(train, "steps"), (uint64_t)fmax(number(train, "seed"), 0));
    return status;
}

static int32_t read_manifest(spectrum_precond *p, const char *run, pitot_error *error) {
    pitot_log *log = pitot_log_open(run, error);
    if (!log) return error->status;
    cJSON *all = cJSON_Parse(pitot_log_manifest(log));
    int32_t status = make_optim(p, cJSON_GetObjectItemCaseSensitive(all, "train"), error);
    cJSON_Delete(all);
    pitot_log_close(log);
    return status;
}

int32_t precond_open(spectrum_precond *p, const char *run, pitot_net *net, pitot_error *error) {
    pitot_error inner = { 0 };
    const pitot_net_param *param = pitot_net_params(net);
    int32_t status = read_manifest(p, run, &inner);
    if (!status) status = pitot_provide_prepare(&p->provided, net, p->optim, 1, &inner);
    if (status)
        return pitot_fail(error, status == PITOT_EINVAL ? PITOT_EFORMAT : status, "--preconditioned: %.200s: %s", run, inner.text);
    p->n = pitot_net_param_count(net);
    p->tensor = calloc((size_t)p->n + 1, sizeof *p->tensor);
    if (!p->tensor) return pitot_fail(error, PITOT_ENOMEM, "no memory for a list of parameters");
    for (int64_t i = 0; i < p->n; i++) p->tensor[i] = (pitot_precond_tensor){ param[i].size, param[i].shape[0] };
    return PITOT_OK;
}

void precond_close(spectrum_precond *p) {
    pitot_precond_free(p->at);
    pitot_optim_free(p->optim);
    pitot_provide_end(&p->provided);
    free(p->tensor);
    memset(p, 0, sizeof *p);
}

int32_t precond_read(spectrum_precond *p, const char *checkpoint, pitot_net *net, pitot_error *error) {
    pitot_error inner = { 0 };
    pitot_precond_free(p->at);
    p->at = NULL;
    int32_t status = pitot_checkpoint_read(checkpoint, net, p->optim, NULL, error);
    if (status) return status;
    p->at = pitot_precond_of(p->optim, p->tensor, p->n, &inner);
    if (p->at) return PITOT_OK;
    status = inner.status == PITOT_EINVAL ? PITOT_EFORMAT : inner.status;
    return pitot_fail(error, status, "%.300s: %s", checkpoint, inner.text);
}

const char *precond_name(const spectrum_precond *p) {
    return pitot_optim_method(p->optim)->name;
}

/* ---- stability ---- */

typedef struct rule {
    const char *name;
    int average;           /* 1: m is an average with the first of betas; 0: a buffer with `momentum`, where there is one */
    const char *absent[3]; /* options that must be 0 for the formula to hold */
} rule;

static const rule rules[] = {
    { "adam", 1, { "weight_decay" } },
    { "adamw", 1, { NULL } },
    { "adahessian", 1, { NULL } },
    { "eshampoo", 1, { NULL } },
    { "soap", 1, { "normalize_grads" } },
    { "shampoo", 1, { "momentum", "grafting", "weight_decay" } },
    { "adagrad", 0, { "weight_decay", "lr_decay" } },
    { "rmsprop", 0, { "weight_decay" } },
    { "kfac", 0, { "kl_clip" } },
    { "ekfac", 0, { "kl_clip" } },
    { "singd", 0, { NULL } },
    { "psgd_kron", 0, { "momentum" } },
};

/* The (first) value of an option; 0 if there is no such option. */
static double value_of(const pitot_optim *optim, const char *name) {
    const pitot_option *o = name ? pitot_options_find(pitot_optim_method(optim)->options, name) : NULL;
    double real = 0;
    int64_t integer = 0;
    if (!o) return 0;
    const char *at = (const char *)pitot_optim_options(optim) + o->offset;
    if (o->kind == PITOT_REAL) memcpy(&real, at, sizeof real);
    else memcpy(&integer, at, sizeof integer);
    return o->kind == PITOT_REAL ? real : (double)integer;
}

/* That of the optimizer, unless wrappers change more than its learning rate. */
static const rule *find_rule(const pitot_optim *optim) {
    const pitot_optimizer *w;
    for (int32_t j = 0; (w = pitot_optim_wrapper(optim, j, NULL)); j++)
        if (w->step) return NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].name, pitot_optim_method(optim)->name)) continue;
        int holds = 1;
        for (int k = 0; k < 3; k++) holds &= value_of(optim, rules[i].absent[k]) == 0;
        return holds ? &rules[i] : NULL;
    }
    return NULL;
}

double precond_limit(const spectrum_precond *p, char *name, size_t size) {
    const rule *r = find_rule(p->optim);
    double lr = pitot_optim_next_lr(p->optim), beta = value_of(p->optim, r && r->average ? "betas" : "momentum");
    double decay = r && !r->average ? value_of(p->optim, "weight_decay") : 0;
    snprintf(name, size, "%s", "");
    if (!r || !(lr > 0)) return NAN;
    snprintf(name, size, "%s%s",
             beta == 0    ? "2/lr"
             : r->average ? "(2+2b)/((1-b) lr)"
                          : "2(1+b)/lr",
             decay != 0 ? " - weight_decay" : "");
    return 2 * (1 + beta) / ((r->average ? 1 - beta : 1) * lr) - decay;
}
