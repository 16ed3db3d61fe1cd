/* spectrum_source.c: see spectrum_source.h. */

#include "spectrum_source.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t step_of(const char *path) {
    const char *name = strrchr(path, '/');
    long long step;
    int n = 0;
    name = name ? name + 1 : path;
    return sscanf(name, "step-%lld.safetensors%n", &step, &n) == 1 && n && !name[n] && step >= 0 ? step : -1;
}

static int add_weights(spectrum_source *s, const char *path) {
    if (s->n == SOURCE_WEIGHTS) return fail_usage("spectrum", "spectrum: at most %d checkpoints", SOURCE_WEIGHTS);
    s->weights[s->n] = strdup(path);
    if (!s->weights[s->n]) return fail("out of memory");
    s->step[s->n++] = step_of(path);
    return EXIT_DONE;
}

/* By step; there are few. */
static void sort_weights(spectrum_source *s) {
    for (int i = 1; i < s->n; i++)
        for (int k = i; k > 0 && s->step[k - 1] > s->step[k]; k--) {
            char *path = s->weights[k];
            int64_t step = s->step[k];
            s->weights[k] = s->weights[k - 1], s->step[k] = s->step[k - 1];
            s->weights[k - 1] = path, s->step[k - 1] = step;
        }
}

/* ---- a run directory ---- */

static int add_checkpoints(spectrum_source *s, const char *run) {
    char path[SOURCE_PATH];
    snprintf(path, sizeof path, "%s/checkpoints", run);
    DIR *folder = opendir(path);
    if (!folder) return fail("%s: has no checkpoints; is it a run directory?", run);
    int code = EXIT_DONE;
    for (struct dirent *e; code == EXIT_DONE && (e = readdir(folder));)
        if (step_of(e->d_name) >= 0) {
            int n = snprintf(path, sizeof path, "%s/checkpoints/%s", run, e->d_name);
            code = n < (int)sizeof path ? add_weights(s, path) : fail("%s: the name is too long", run);
        }
    closedir(folder);
    if (code == EXIT_DONE && !s->n) return fail("%s/checkpoints: there is none yet; train with --checkpoint-every N", run);
    sort_weights(s);
    return code;
}

static double fact_number(const pitot_log *log, const char *path, double otherwise) {
    char text[64], *end;
    if (pitot_log_fact(log, path, text, sizeof text) <= 0) return otherwise;
    if (strcmp(text, "true") == 0) return 1;
    double v = strtod(text, &end);
    return end != text && !*end ? v : otherwise;
}

static int read_run(spectrum_source *s, const args *a, const char *run) {
    pitot_error error = { 0 };
    pitot_log *log = pitot_log_open(run, &error);
    if (!log) return fail_error(&error);
    snprintf(s->run, sizeof s->run, "%s", run);
    snprintf(s->model, sizeof s->model, "%s/model.json", run);
    pitot_log_fact(log, "train.data", s->data, sizeof s->data);
    if (!s->data[0]) pitot_log_fact(log, "data", s->data, sizeof s->data);
    pitot_log_fact(log, "optimizer.name", s->optimizer, sizeof s->optimizer);
    s->lr = fact_number(log, "optimizer.options.lr", NAN);
    s->momentum = fact_number(log, "optimizer.options.momentum", 0);
    s->dampening = fact_number(log, "optimizer.options.dampening", 0);
    s->weight_decay = fact_number(log, "optimizer.options.weight_decay", 0);
    s->nesterov = fact_number(log, "optimizer.options.nesterov", 0) != 0;
    pitot_log_close(log);
    return args_get(a, "--weights") ? EXIT_DONE : add_checkpoints(s, run);
}

/* ---- flags ---- */

static int read_set(spectrum_source *s, const args *a) {
    for (int k = 0; args_at(a, "--set", k); k++) {
        const char *item = args_at(a, "--set", k), *equals = strchr(item, '=');
        char *end;
        if (!equals) return fail_usage("spectrum", "spectrum: --set %s: is not KEY=VALUE", item);
        size_t n = (size_t)(equals - item);
        double v = strtod(equals + 1, &end);
        if (strcmp(equals + 1, "true") == 0 || strcmp(equals + 1, "false") == 0) v = equals[1] == 't', end = (char *)(uintptr_t) "";
        else if (end == equals + 1) end = (char *)(uintptr_t) "?";
        if (*end || !isfinite(v)) return fail_usage("spectrum", "spectrum: --set %s: is not a number", item);
        if (n == 2 && strncmp(item, "lr", n) == 0) s->lr = v;
        else if (n == 8 && strncmp(item, "momentum", n) == 0) s->momentum = v;
        else if (n == 9 && strncmp(item, "dampening", n) == 0) s->dampening = v;
        else if (n == 12 && strncmp(item, "weight_decay", n) == 0) s->weight_decay = v;
        else if (n == 8 && strncmp(item, "nesterov", n) == 0) s->nesterov = v != 0;
        else
            return fail_usage("spectrum",
                              "spectrum: --set %s: for the stability limit, lr, momentum, dampening, nesterov, weight_decay", item);
    }
    return EXIT_DONE;
}

int source_read(spectrum_source *s, const args *a) {
    int code = EXIT_DONE;
    memset(s, 0, sizeof *s);
    s->lr = NAN;
    if (args_rest(a) > 1) return fail_usage("spectrum", "spectrum: one run directory at a time");
    if (args_rest(a) == 1) code = read_run(s, a, args_rest_at(a, 0));
    if (code != EXIT_DONE) return code;
    if (args_get(a, "--model")) snprintf(s->model, sizeof s->model, "%s", args_get(a, "--model"));
    if (args_get(a, "--data")) snprintf(s->data, sizeof s->data, "%s", args_get(a, "--data"));
    if (args_get(a, "--optimizer")) snprintf(s->optimizer, sizeof s->optimizer, "%s", args_get(a, "--optimizer"));
    for (int k = 0; code == EXIT_DONE && args_at(a, "--weights", k); k++) code = add_weights(s, args_at(a, "--weights", k));
    if (code == EXIT_DONE) code = read_set(s, a);
    if (code != EXIT_DONE) return code;
    if (!s->model[0]) return fail_usage("spectrum", "spectrum: --model is missing");
    if (!s->n) return fail_usage("spectrum", "spectrum: --weights is missing");
    return s->data[0] ? EXIT_DONE : fail_usage("spectrum", "spectrum: --data is missing");
}

void source_free(spectrum_source *s) {
    for (int i = 0; i < s->n; i++) free(s->weights[i]);
    s->n = 0;
}

double source_limit(const spectrum_source *s, char *name, size_t size) {
    double b = s->momentum, limit = 2 * (1 + b) / s->lr;
    snprintf(name, size, "%s", "");
    if (!(s->lr > 0) || (s->optimizer[0] && strcmp(s->optimizer, "sgd"))) return NAN;
    if (s->nesterov) limit /= 1 + 2 * b;
    else if (b != 0) limit /= 1 - s->dampening;
    limit -= s->weight_decay; /* the decay is part of the gradient, and not of the Hessian */
    const char *formula = b == 0              ? "2/lr"
                          : s->nesterov       ? "2(1+b)/((1+2b) lr)"
                          : s->dampening != 0 ? "2(1+b)/((1-d) lr)"
                                              : "2(1+b)/lr";
    snprintf(name, size, "%s%s", formula, s->weight_decay != 0 ? " - weight_decay" : "");
    return limit;
}
