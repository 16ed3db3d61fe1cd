/* setup.c: from a configuration to everything that the loop needs. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/nearest.h"
#include "pitot/probe.h"
#include "train/train.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_SIZE = 4096 };

/* ---- the model, copied into the run so that it can be resumed and inspected alone ---- */

static int32_t copy_model(const trainer *t, pitot_error *error) {
    char path[PATH_SIZE];
    int64_t size;
    if (!file_join(path, sizeof path, t->config.out, "model.json"))
        return pitot_fail(error, PITOT_EINVAL, "%.200s: the path is too long", t->config.out);
    if (strcmp(path, t->config.model) == 0) return PITOT_OK;
    unsigned char *text = file_read(t->config.model, 0, &size, error);
    if (!text) return error->status;
    int32_t status = file_replace(path, text, size, 0, error);
    mem_free(text);
    return status;
}

static int32_t make_net(trainer *t, pitot_error *error) {
    t->net = pitot_net_read(t->config.model, error);
    if (!t->net) return error->status;
    int32_t status = pitot_net_fits(t->net, t->data, t->config.model, error);
    if (!status) status = pitot_net_prepare(t->net, t->config.batch, t->config.threads, error);
    if (!status) status = pitot_net_init(t->net, t->config.seed);
    return status;
}

/* ---- KEY=VALUE: bare keys and WRAPPER.OPTION go to the optimizer, PROBE.OPTION to the probes ---- */

typedef struct owner { /* of WRAPPER.OPTION or PROBE.OPTION */
    char name[64];
} owner;

static owner owner_of(const char *item, const char *dot) {
    owner o;
    size_t n = (size_t)(dot - item);
    snprintf(o.name, sizeof o.name, "%.*s", n < sizeof o.name ? (int)n : (int)sizeof o.name - 1, item);
    return o;
}

static int32_t unknown_owner(const owner *o, pitot_error *error) {
    const char *names[256];
    char list[512];
    int n = 0;
    if (pitot_optimizer_find(o->name))
        return pitot_fail(error, PITOT_EINVAL, "--set: options of the optimizer go without its name: leave \"%.60s.\" away",
                          o->name);
    for (const pitot_optimizer *const *w = pitot_wrappers(); *w && n < 128; w++) names[n++] = (*w)->name;
    for (const pitot_probe *const *p = pitot_probes(); *p && n < 256; p++) names[n++] = (*p)->name;
    nearest_list(o->name, names, n, list, sizeof list);
    return pitot_fail(error, PITOT_EINVAL, "--set: unknown wrapper or probe \"%.60s\"; %s", o->name, list);
}

static int32_t set_options(trainer *t, char *probes, size_t size, pitot_error *error) {
    size_t used = 0;
    for (int64_t i = 0; i < t->config.n_set; i++) {
        const char *item = t->config.set[i], *equals = strchr(item, '='), *dot = strchr(item, '.');
        if (!equals || equals == item) return pitot_fail(error, PITOT_EINVAL, "--set: \"%.80s\" is not KEY=VALUE", item);
        owner o = dot && dot < equals ? owner_of(item, dot) : (owner){ "" };
        if (*o.name && !pitot_wrapper_find(o.name)) {
            if (!pitot_probe_find(o.name)) return unknown_owner(&o, error);
            used += (size_t)snprintf(probes + used, size - used, "%s\n", item);
            if (used >= size) return pitot_fail(error, PITOT_EINVAL, "--set: too many options for probes");
            continue;
        }
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)(equals - item), item);
        int32_t status = pitot_optim_set(t->optim, key, equals + 1, error);
        if (status) return status;
    }
    return PITOT_OK;
}

static int32_t make_optim(trainer *t, char *probe_options, size_t size, pitot_error *error) {
    pitot_net_facts f = { .struct_size = sizeof f };
    t->optim = pitot_optim_new(t->config.optimizer, error);
    int32_t status = t->optim ? set_options(t, probe_options, size, error) : error->status;
    if (status) return status;
    pitot_net_get_facts(t->net, &f);
    pitot_optim_plan(t->optim, t->steps, t->config.seed);
    pitot_optim_plan_data(t->optim, t->data->n_train);
    t->provided = (pitot_provided){ .struct_size = sizeof t->provided, .data = train_data_gradient, .user = t };
    status = pitot_provide_prepare(&t->provided, t->net, t->optim, t->config.threads, error);
    if (status || !(pitot_optim_wants(t->optim) & PITOT_WANTS_DATA)) return status;
    t->sums = mem_alloc(f.parameters, sizeof *t->sums);
    return t->sums ? PITOT_OK : pitot_fail(error, PITOT_ENOMEM, "no memory for gradients of the whole data set");
}

/* ---- the manifest's part ---- */

static void add_train_facts(cJSON *root, const trainer *t) {
    const pitot_train_config *c = &t->config;
    cJSON *train = cJSON_AddObjectToObject(root, "train"), *set = cJSON_AddArrayToObject(train, "set");
    cJSON_AddStringToObject(train, "model", c->model);
    cJSON_AddStringToObject(train, "data", c->data);
    cJSON_AddStringToObject(train, "optimizer", c->optimizer);
    for (int64_t i = 0; i < c->n_set; i++) cJSON_AddItemToArray(set, cJSON_CreateString(c->set[i]));
    cJSON_AddStringToObject(train, "probes", c->probes);
    cJSON_AddNumberToObject(train, "every", (double)c->every);
    cJSON_AddNumberToObject(train, "budget", c->budget);
    cJSON_AddNumberToObject(train, "steps", (double)t->steps);
    cJSON_AddNumberToObject(train, "batch", (double)c->batch);
    cJSON_AddBoolToObject(train, "no_shuffle", c->no_shuffle);
    cJSON_AddNumberToObject(train, "threads", c->threads);
    cJSON_AddNumberToObject(train, "seed", (double)c->seed);
    cJSON_AddNumberToObject(train, "checkpoint_every", (double)c->checkpoint_every);
    if (c->init) cJSON_AddStringToObject(train, "init", c->init);
    if (c->save) cJSON_AddStringToObject(train, "save", c->save);
}

/* "lr" of the method; "sam.rho" of a wrapper. */
static void add_options(cJSON *to, const char *dot, const pitot_optimizer *m, const void *options) {
    for (const pitot_option *o = m->options; o && o->name; o++) {
        char name[128], value[256];
        snprintf(name, sizeof name, "%s%s%s", *dot ? m->name : "", dot, o->name);
        pitot_options_text(o, options, value, sizeof value);
        cJSON_AddStringToObject(to, name, value);
    }
}

static char *facts_text(const trainer *t) {
    pitot_net_facts f;
    pitot_net_get_facts(t->net, &f);
    cJSON *root = cJSON_CreateObject(), *model = cJSON_AddObjectToObject(root, "model");
    cJSON_AddStringToObject(model, "name", f.name);
    cJSON_AddStringToObject(model, "loss", f.loss);
    cJSON_AddNumberToObject(model, "parameters", (double)f.parameters);
    cJSON_AddNumberToObject(model, "layers", (double)f.layers);
    cJSON_AddStringToObject(root, "data", t->data->spec);
    cJSON_AddNumberToObject(root, "samples", (double)t->data->n_train);
    cJSON *optimizer = cJSON_AddObjectToObject(root, "optimizer"), *options = NULL;
    cJSON_AddStringToObject(optimizer, "name", pitot_optim_method(t->optim)->name);
    options = cJSON_AddObjectToObject(optimizer, "options");
    add_options(options, "", pitot_optim_method(t->optim), pitot_optim_options(t->optim));
    const void *set;
    for (int32_t j = 0; pitot_optim_wrapper(t->optim, j, &set); j++)
        add_options(options, ".", pitot_optim_wrapper(t->optim, j, NULL), set);
    cJSON_AddNumberToObject(root, "batch", (double)t->config.batch);
    cJSON_AddNumberToObject(root, "seed", (double)t->config.seed);
    cJSON_AddNumberToObject(root, "threads", t->config.threads);
    add_train_facts(root, t);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

/* ---- the run ---- */

/* "economy, grad_norm" every 10 steps: "economy@10, grad_norm@10"; items with a schedule of their own keep it. */
static void schedule_all(const char *probes, int64_t every, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (const char *s = probes + strspn(probes, ", "); *s && used < size; s += strspn(s, ", ")) {
        size_t n = strcspn(s, ", ");
        int own = memchr(s, '@', n) != NULL || every <= 1;
        used += (size_t)snprintf(out + used, size - used, own ? "%.*s," : "%.*s@%lld,", (int)n, s, (long long)every);
        s += n;
    }
}

/* The optimizer's options under the names that probes know; of a tuple such as betas, beta1 and beta2. */
static void tell_options(const trainer *t) {
    for (const pitot_option *o = pitot_optim_method(t->optim)->options; o->name; o++) {
        const char *at = (const char *)pitot_optim_options(t->optim) + o->offset;
        for (int32_t i = 0; i < (o->count ? o->count : 1); i++) {
            char name[48];
            double real = 0;
            int64_t integer = 0;
            if (o->kind == PITOT_REAL) memcpy(&real, at + (size_t)i * sizeof real, sizeof real);
            else memcpy(&integer, at + (size_t)i * sizeof integer, sizeof integer);
            if (o->count > 1) snprintf(name, sizeof name, "%.*s%d", (int)strlen(o->name) - 1, o->name, i + 1);
            else snprintf(name, sizeof name, "%.47s", o->name);
            pitot_hyper(t->run, -1, name, o->kind == PITOT_REAL ? real : (double)integer);
        }
    }
}

static int32_t attach(trainer *t, pitot_error *error) {
    int32_t status = pitot_attach(&t->attached, t->net, t->run);
    if (status) return pitot_fail(error, status, "%s: %s", t->config.model, pitot_last_error(t->run));
    t->attached.optim = t->optim;
    t->attached.untouched = 1;
    tell_options(t);
    return PITOT_OK;
}

/* Probes that cannot be are the caller's mistake and leave no folder behind; so is a folder that is taken; the rest is the disk's. */
static int32_t open_run(trainer *t, const pitot_config *c, pitot_error *error) {
    char events[PATH_SIZE];
    pitot_run *trial = pitot_open(NULL, c);
    int32_t status = !trial ? PITOT_ENOMEM : pitot_last_error(trial)[0] ? PITOT_EINVAL : PITOT_OK;
    if (status) pitot_fail(error, status, "%s", pitot_last_error(trial));
    pitot_close(trial, PITOT_DONE);
    if (!status) status = file_make_folder(t->config.out, error);
    if (status) return status;
    int taken = !t->config.resume && file_join(events, sizeof events, t->config.out, "events.jsonl") && file_exists(events);
    t->run = pitot_open(t->config.out, c);
    if (t->run && !pitot_last_error(t->run)[0]) return PITOT_OK;
    return pitot_fail(error, !t->run ? PITOT_ENOMEM : taken ? PITOT_EINVAL : PITOT_EIO, "%s", pitot_last_error(t->run));
}

static int32_t make_run(trainer *t, const char *probe_options, pitot_error *error) {
    char spec[TEXT_SIZE], folder[PATH_SIZE];
    char *facts = facts_text(t);
    schedule_all(t->config.probes, t->config.every, spec, sizeof spec);
    pitot_config c = { .struct_size = sizeof c,
                       .probes = spec,
                       .options = probe_options,
                       .optimizer = t->config.optimizer,
                       .overhead = t->config.budget,
                       .seed = t->config.seed,
                       .flags = PITOT_LATE | (t->config.resume ? PITOT_RESUME : 0),
                       .threads = t->config.threads,
                       .steps = t->steps,
                       .facts = facts };
    int32_t status = facts ? open_run(t, &c, error) : pitot_fail(error, PITOT_ENOMEM, "no memory for a run");
    cJSON_free(facts);
    if (status) return status;
    status = attach(t, error);
    if (!status) status = copy_model(t, error);
    if (!status && !file_join(folder, sizeof folder, t->config.out, "checkpoints")) status = PITOT_EINVAL;
    return status ? status : file_make_folder(folder, error);
}

/* ---- the whole ---- */

static int32_t make_batch(trainer *t, pitot_error *error) {
    t->order = mem_alloc(t->data->n_train, sizeof *t->order);
    t->x = mem_alloc(t->config.batch, (size_t)t->data->size * sizeof *t->x);
    t->classes = mem_alloc(t->config.batch, sizeof *t->classes);
    t->targets = mem_alloc(t->config.batch, (size_t)(t->data->target_size + t->data->n_classes) * sizeof *t->targets);
    if (t->order && t->x && t->classes && t->targets) return PITOT_OK;
    return pitot_fail(error, PITOT_ENOMEM, "no memory for batches of %lld", (long long)t->config.batch);
}

static void count_steps(trainer *t) {
    const pitot_train_config *c = &t->config;
    t->per_epoch = (t->data->n_train + c->batch - 1) / c->batch;
    t->steps = c->steps > 0 ? c->steps : (c->epochs > 0 ? c->epochs : 1) * t->per_epoch;
}

/* A file that cannot be written is better known before the training than after it. */
static int32_t check_save(const trainer *t, pitot_error *error) {
    char folder[PATH_SIZE];
    const char *path = t->config.save, *slash = path ? strrchr(path, '/') : NULL;
    if (!path) return PITOT_OK;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int beside_log = t->config.out && strncmp(path, t->config.out, strlen(t->config.out)) == 0; /* will be made */
    if (beside_log || access(*folder ? folder : "/", W_OK) == 0) return PITOT_OK;
    return pitot_fail(error, PITOT_EIO, "%s: cannot be written: %s: %s", path, folder, strerror(errno));
}

static void fill_in(trainer *t, const pitot_train_config *config) {
    size_t n = !config ? 0 : config->struct_size < sizeof t->config ? config->struct_size : sizeof t->config;
    if (n) memcpy(&t->config, config, n);
    pitot_train_config *c = &t->config;
    if (!c->optimizer) c->optimizer = "sgd";
    if (!c->probes) c->probes = "economy";
    if (c->batch <= 0) c->batch = 64;
    if (c->every <= 0) c->every = 1;
    t->shuffled = -1;
}

int32_t train_setup(trainer *t, const pitot_train_config *config, pitot_error *error) {
    char probe_options[TEXT_SIZE] = "";
    fill_in(t, config);
    if (!t->config.model || !t->config.data || !t->config.out)
        return pitot_fail(error, PITOT_EINVAL, "train: model, data and out must be given");
    t->data = pitot_data_open(t->config.data, error);
    if (!t->data) return error->status;
    if (t->config.batch > t->data->n_train) t->config.batch = t->data->n_train;
    if (t->config.batch < 1) return pitot_fail(error, PITOT_EINVAL, "%s: there are no samples to train on", t->config.data);
    count_steps(t);
    int32_t status = make_net(t, error);
    if (!status) status = make_optim(t, probe_options, sizeof probe_options, error);
    if (!status) status = make_batch(t, error);
    if (!status) status = check_save(t, error);
    if (!status && t->config.resume) status = checkpoint_load(t, error);
    if (!status && t->step == 0 && t->config.init) status = pitot_net_load(t->net, t->config.init, error);
    t->resumed = t->step;
    if (status || (t->config.resume && t->step >= t->steps)) return status; /* nothing left to do: the run stays as it is */
    status = make_run(t, probe_options, error);
    if (!status && t->step) checkpoint_load_probes(t);
    return status;
}

void train_free(trainer *t) {
    pitot_optim_free(t->optim);
    pitot_provide_end(&t->provided);
    mem_free(t->sums);
    pitot_net_free(t->net);
    pitot_data_free(t->data);
    mem_free(t->order);
    mem_free(t->x);
    mem_free(t->targets);
    mem_free(t->classes);
}
