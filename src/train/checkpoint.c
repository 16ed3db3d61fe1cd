/* checkpoint.c: see train.h. The file appears whole or not at all; a damaged one is passed over for the one before. */

#include "base/alloc.h"
#include "base/file.h"
#include "data/safetensors.h"
#include "optim/core/optimizer.h"
#include "train/train.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 320, REAL = sizeof(pitot_real) == 8 ? TENSOR_F64 : TENSOR_F32 };

static int path_of(const trainer *t, int64_t step, const char *ending, char out[PATH_SIZE]) {
    return snprintf(out, PATH_SIZE, "%s/checkpoints/step-%08lld.%s", t->config.out, (long long)step, ending) < PATH_SIZE;
}

/* ---- save ---- */

static int64_t list_tensors(const trainer *t, tensor_out *out, char (*name)[NAME_SIZE]) {
    const pitot_net_param *p = pitot_net_params(t->net);
    int64_t n = 0;
    for (int64_t i = 0; i < pitot_net_param_count(t->net); i++) {
        out[n] = (tensor_out){ .name = p[i].name, .n_dim = p[i].n_dim, .dtype = REAL, .values = p[i].data };
        memcpy(out[n++].shape, p[i].shape, sizeof p[i].shape);
        for (int32_t j = 0; j < t->optim->n_slots; j++) {
            const optim_tensor *o = &t->optim->tensor[i];
            if (!o->state[j]) continue;
            snprintf(name[n], NAME_SIZE, "%s:%s", p[i].name, t->optim->method->slots[j]);
            out[n] = (tensor_out){ .name = name[n], .n_dim = p[i].n_dim, .dtype = REAL, .values = o->state[j] };
            memcpy(out[n++].shape, p[i].shape, sizeof p[i].shape);
        }
    }
    return n;
}

static char *steps_text(const trainer *t) {
    char *text = mem_alloc(t->optim->n + 1, 24);
    int64_t used = 0;
    for (int64_t i = 0; text && i < t->optim->n; i++)
        used += snprintf(text + used, 24, "%s%lld", i ? "," : "", (long long)t->optim->tensor[i].t);
    return text;
}

static int32_t write_checkpoint(trainer *t, const char *path, pitot_error *error) {
    int64_t room = pitot_net_param_count(t->net) * (1 + OPTIM_SLOTS);
    tensor_out *out = mem_alloc(room, sizeof *out);
    char(*name)[NAME_SIZE] = mem_alloc(room, NAME_SIZE);
    char step[24], *steps = steps_text(t);
    snprintf(step, sizeof step, "%lld", (long long)t->step);
    const char *const keys[] = { "step", "optimizer", "optimizer_steps" }, *const values[] = { step, t->optim->method->name,
                                                                                               steps };
    int32_t status = out && name && steps ? tensor_file_write(path, out, list_tensors(t, out, name), keys, values, 3, 1, error)
                                          : pitot_fail(error, PITOT_ENOMEM, "%s: no memory", path);
    mem_free(out);
    mem_free(name);
    mem_free(steps);
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

/* The values called `name`, which have the shape of parameter p. */
static int32_t read_tensor(const tensor_file *file, const char *name, const pitot_net_param *p, pitot_real *to,
                           pitot_error *error) {
    const tensor_entry *e = tensor_file_find(file, name);
    if (e && e->n_dim == p->n_dim && memcmp(e->shape, p->shape, (size_t)p->n_dim * sizeof *p->shape) == 0 && e->dtype != TENSOR_U8)
        return tensor_entry_read(e, to);
    return pitot_fail(error, PITOT_EMISMATCH,
                      "%s:%.200s: is missing or has another shape; is this checkpoint of another model or optimizer?", file->path,
                      name);
}

static int32_t read_state(trainer *t, const tensor_file *file, pitot_error *error) {
    const pitot_net_param *p = pitot_net_params(t->net);
    const char *steps = tensor_file_meta(file, "optimizer_steps"), *method = tensor_file_meta(file, "optimizer");
    if (!steps || !method || strcmp(method, t->optim->method->name))
        return pitot_fail(error, PITOT_EMISMATCH, "%s: is of optimizer %.60s, not %s; resume with the same one", file->path,
                          method ? method : "(none)", t->optim->method->name);
    for (int64_t i = 0; i < t->optim->n; i++) {
        optim_tensor *o = &t->optim->tensor[i];
        int32_t status = read_tensor(file, p[i].name, &p[i], p[i].data, error);
        for (int32_t j = 0; j < t->optim->n_slots && !status; j++) {
            char name[NAME_SIZE];
            if (!o->state[j]) continue;
            snprintf(name, sizeof name, "%s:%s", p[i].name, t->optim->method->slots[j]);
            status = read_tensor(file, name, &p[i], o->state[j], error);
        }
        if (status) return status;
        char *end;
        o->t = strtoll(steps, &end, 10);
        steps = *end == ',' ? end + 1 : end;
    }
    return PITOT_OK;
}

static int32_t read_checkpoint(trainer *t, int64_t step, pitot_error *error) {
    char path[PATH_SIZE];
    path_of(t, step, "safetensors", path);
    tensor_file *file = tensor_file_open(path, error);
    if (!file) return error->status;
    int32_t status = read_state(t, file, error);
    tensor_file_close(file);
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
