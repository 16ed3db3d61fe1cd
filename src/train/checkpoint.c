/* checkpoint.c: see train.h. The file appears whole or not at all; a damaged one is passed over for the one before. */

#include "base/alloc.h"
#include "base/file.h"
#include "data/safetensors.h"
#include "train/train.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 320, REAL = sizeof(pitot_real) == 8 ? TENSOR_F64 : TENSOR_F32 };

static const double MOST_STEPS = 9007199254740992.0;

static int path_of(const trainer *t, int64_t step, const char *ending, char out[PATH_SIZE]) {
    return snprintf(out, PATH_SIZE, "%s/checkpoints/step-%08lld.%s", t->config.out, (long long)step, ending) < PATH_SIZE;
}

/* ---- save ---- */

static int is_real(const pitot_optim_array *a) {
    return a->dtype == (sizeof(pitot_real) == 8 ? PITOT_F64 : PITOT_F32);
}

/* State of other types is kept as bytes. */
static tensor_out out_of(const pitot_optim_array *a, char *name) {
    tensor_out out = { .name = name, .dtype = is_real(a) ? REAL : TENSOR_U8, .values = a->data };
    snprintf(name, NAME_SIZE, "%s", a->name);
    while (is_real(a) && out.n_dim < PITOT_DIMS && a->shape[out.n_dim]) {
        out.shape[out.n_dim] = a->shape[out.n_dim];
        out.n_dim++;
    }
    if (!is_real(a)) out.shape[out.n_dim++] = a->bytes;
    return out;
}

static int64_t count_arrays(const trainer *t) {
    pitot_optim_array a;
    int64_t n = 0;
    while (pitot_optim_state(t->optim, n, &a) == PITOT_OK) n++;
    return n;
}

static int64_t list_tensors(const trainer *t, tensor_out *out, char (*name)[NAME_SIZE]) {
    const pitot_net_param *p = pitot_net_params(t->net);
    pitot_optim_array a;
    int64_t n = 0;
    for (int64_t i = 0; i < pitot_net_param_count(t->net); i++) {
        out[n] = (tensor_out){ .name = p[i].name, .n_dim = p[i].n_dim, .dtype = REAL, .values = p[i].data };
        memcpy(out[n++].shape, p[i].shape, sizeof p[i].shape);
    }
    for (int64_t j = 0; pitot_optim_state(t->optim, j, &a) == PITOT_OK; j++, n++) out[n] = out_of(&a, name[j]);
    return n;
}

/* "sgd+sam" */
static void optimizer_name(const pitot_optim *o, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "%s", pitot_optim_method(o)->name);
    const pitot_optimizer *w;
    for (int32_t j = 0; used < size && (w = pitot_optim_wrapper(o, j, NULL)); j++)
        used += (size_t)snprintf(out + used, size - used, "+%s", w->name);
}

static int32_t write_checkpoint(trainer *t, const char *path, pitot_error *error) {
    int64_t arrays = count_arrays(t);
    tensor_out *out = mem_alloc(pitot_net_param_count(t->net) + arrays, sizeof *out);
    char(*name)[NAME_SIZE] = mem_alloc(arrays, NAME_SIZE);
    char step[24], method[NAME_SIZE];
    snprintf(step, sizeof step, "%lld", (long long)t->step);
    optimizer_name(t->optim, method, sizeof method);
    const char *const keys[] = { "step", "optimizer" }, *const values[] = { step, method };
    int32_t status = out && name ? tensor_file_write(path, out, list_tensors(t, out, name), keys, values, 2, 1, error)
                                 : pitot_fail(error, PITOT_ENOMEM, "%s: no memory", path);
    mem_free(out);
    mem_free(name);
    return status;
}

int32_t checkpoint_save(trainer *t, pitot_error *error) {
    char path[PATH_SIZE];
    if (!path_of(t, t->step, "probes", path)) return pitot_fail(error, PITOT_EINVAL, "%.200s: the path is too long", t->config.out);
    pitot_checkpoint(t->run, path);
    path_of(t, t->step, "safetensors", path);
    return write_checkpoint(t, path, error);
}

/* ---- load ---- */

static int32_t misfit(const tensor_file *file, const char *name, pitot_error *error) {
    return pitot_fail(error, PITOT_EMISMATCH,
                      "%s:%.200s: is missing or has another shape or precision; is this checkpoint of another model, or an "
                      "optimizer with other options?",
                      file->path, name);
}

/* Doubles among an optimizer's state are bytes to a file of floats, values to one of doubles. */
static int are_doubles(const tensor_entry *e, const tensor_out *like) {
    int64_t n = 1;
    for (int32_t k = 0; k < like->n_dim; k++) n *= like->shape[k];
    if (e->dtype == TENSOR_F64) return like->dtype == TENSOR_U8 && n == e->size * (int64_t)sizeof(double);
    return e->dtype == TENSOR_U8 && like->dtype == TENSOR_F64 && e->size == n * (int64_t)sizeof(double);
}

/* The values called as `like` is, which have its shape. */
static int32_t read_tensor(const tensor_file *file, const tensor_out *like, void *to, pitot_error *error) {
    const tensor_entry *e = tensor_file_find(file, like->name);
    if (e && are_doubles(e, like)) {
        memcpy(to, e->bytes, (size_t)e->size * (e->dtype == TENSOR_F64 ? sizeof(double) : 1));
        return PITOT_OK;
    }
    if (!e || e->n_dim != like->n_dim || memcmp(e->shape, like->shape, (size_t)e->n_dim * sizeof *e->shape) ||
        (e->dtype == TENSOR_U8) != (like->dtype == TENSOR_U8))
        return misfit(file, like->name, error);
    if (e->dtype != TENSOR_U8) return tensor_entry_read(e, to);
    memcpy(to, e->bytes, (size_t)e->size);
    return PITOT_OK;
}

static int32_t read_parameters(const tensor_file *file, pitot_net *net, pitot_error *error) {
    const pitot_net_param *p = pitot_net_params(net);
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < pitot_net_param_count(net) && !status; i++) {
        tensor_out like = { .name = p[i].name, .n_dim = p[i].n_dim, .dtype = REAL };
        memcpy(like.shape, p[i].shape, sizeof p[i].shape);
        status = read_tensor(file, &like, p[i].data, error);
    }
    return status;
}

/* Numbers of steps: whole, not negative, exact as doubles. */
static int counts_are_good(const pitot_optim_array *a) {
    const double *count = a->data;
    const char *dot = strrchr(a->name, '.'); /* ":steps" of the method, ":sam.steps" of a wrapper */
    if (a->name[0] != ':' || strcmp(dot ? dot + 1 : a->name + 1, "steps")) return 1;
    for (int64_t i = 0; i < a->bytes / (int64_t)sizeof *count; i++)
        if (!(count[i] >= 0 && count[i] < MOST_STEPS && count[i] == floor(count[i]))) return 0;
    return 1;
}

static int32_t read_array(const tensor_file *file, const pitot_optim_array *a, pitot_error *error) {
    char name[NAME_SIZE];
    tensor_out like = out_of(a, name);
    int32_t status = read_tensor(file, &like, a->data, error);
    if (status || counts_are_good(a)) return status;
    return pitot_fail(error, PITOT_EFORMAT, "%s:%.200s: is damaged: no numbers of steps", file->path, name);
}

static int32_t read_optimizer(const tensor_file *file, pitot_optim *optim, pitot_error *error) {
    const char *method = tensor_file_meta(file, "optimizer");
    char own[NAME_SIZE];
    pitot_optim_array a;
    int32_t status = PITOT_OK;
    optimizer_name(optim, own, sizeof own);
    if (!method || strcmp(method, own))
        return pitot_fail(error, PITOT_EMISMATCH, "%s: is of optimizer %.60s, not %s; the optimizer has to be the same one",
                          file->path, method ? method : "(none)", own);
    for (int64_t j = 0; !status && pitot_optim_state(optim, j, &a) == PITOT_OK; j++) status = read_array(file, &a, error);
    return status;
}

int32_t pitot_checkpoint_read(const char *path, pitot_net *net, pitot_optim *optim, int64_t *step, pitot_error *error) {
    pitot_error own = { 0 }, *e = error ? error : &own;
    tensor_file *file = tensor_file_open(path, e);
    if (!file) return e->status;
    const char *steps = tensor_file_meta(file, "step");
    int32_t status = read_parameters(file, net, e);
    if (!status && optim) status = read_optimizer(file, optim, e);
    if (step) *step = steps ? strtoll(steps, NULL, 10) : -1;
    tensor_file_close(file);
    return status;
}

static int32_t read_checkpoint(trainer *t, int64_t step, pitot_error *error) {
    char path[PATH_SIZE];
    path_of(t, step, "safetensors", path);
    int32_t status = pitot_checkpoint_read(path, t->net, t->optim, NULL, error);
    if (!status) t->step = step;
    return status;
}

void checkpoint_load_probes(trainer *t) {
    char path[PATH_SIZE];
    if (path_of(t, t->step, "probes", path) && file_exists(path)) pitot_restore(t->run, path);
}

/* The largest step below `below` that has a checkpoint; -1: none. */
static int64_t newest(const trainer *t, int64_t below) {
    char path[PATH_SIZE];
    int64_t best = -1;
    if (!file_join(path, sizeof path, t->config.out, "checkpoints")) return -1;
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        long long step;
        int n = 0;
        if (sscanf(e->d_name, "step-%lld.safetensors%n", &step, &n) == 1 && n && !e->d_name[n] && step < below && step > best)
            best = step;
    }
    if (folder) closedir(folder);
    return best;
}

int32_t checkpoint_load(trainer *t, pitot_error *error) {
    pitot_error first = { 0 };
    for (int64_t step = newest(t, INT64_MAX); step >= 0; step = newest(t, step)) {
        pitot_error inner = { 0 };
        if (read_checkpoint(t, step, &inner) == PITOT_OK) {
            if (first.status) pitot_fail(&t->trouble, first.status, "%s; went on from step %lld", first.text, (long long)step);
            return PITOT_OK;
        }
        if (inner.status == PITOT_EMISMATCH) return pitot_fail(error, inner.status, "%s", inner.text);
        pitot_fail(&first, inner.status, "%s", inner.text);
    }
    t->step = 0;
    if (!first.status) pitot_fail(&t->trouble, PITOT_EIO, "%s: there is no checkpoint yet; began again at step 0", t->config.out);
    return first.status ? pitot_fail(error, first.status, "%s; no other checkpoint can be read", first.text) : PITOT_OK;
}
