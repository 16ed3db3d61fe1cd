/* weights.c: initial values, and weights from and to safetensors. */

#include "base/alloc.h"
#include "base/random.h"
#include "data/safetensors.h"
#include "net/net.h"

#include <math.h>
#include <string.h>

/* PyTorch's default for Linear and Conv2d: weight by kaiming_uniform with a = sqrt(5), that is uniform within 1/sqrt(fan_in); bias
   likewise. */
int32_t pitot_net_init(pitot_net *net, uint64_t seed) {
    if (!net->theta) return PITOT_EORDER;
    for (int32_t i = 0; i < net->n_params; i++) {
        double bound = 1 / sqrt((double)net->declared[i].fan_in);
        for (int64_t j = 0; j < net->param[i].size; j++)
            net->param[i].data[j] = (pitot_real)(bound * (2 * random_uniform(seed, RANDOM_INIT, (uint64_t)i, (uint64_t)j) - 1));
    }
    return PITOT_OK;
}

static const pitot_net_param *find_param(const pitot_net *net, const char *name) {
    for (int32_t i = 0; i < net->n_params; i++)
        if (strcmp(net->param[i].name, name) == 0) return &net->param[i];
    return NULL;
}

static shape shape_of(int32_t n, const int64_t *dims) {
    shape s = { .n = n < PITOT_DIMS ? n : PITOT_DIMS };
    memcpy(s.dim, dims, (size_t)s.n * sizeof *dims);
    return s;
}

static int32_t check_entry(const tensor_file *file, const pitot_net_param *p, const tensor_entry *e, pitot_error *error) {
    char want[128], have[128];
    shape a = shape_of(p->n_dim, p->shape), b = shape_of(e->n_dim, e->shape);
    if (e->n_dim == p->n_dim && shape_equal(&a, &b)) return PITOT_OK;
    return pitot_fail(error, PITOT_EMISMATCH, "%s:%s: has the shape %s, the model needs %s; are these weights of another model?",
                      file->path, p->name, shape_text(&b, have), shape_text(&a, want));
}

static int32_t check_file(const pitot_net *net, const tensor_file *file, pitot_error *error) {
    for (int32_t i = 0; i < net->n_params; i++) {
        const tensor_entry *e = tensor_file_find(file, net->param[i].name);
        if (!e)
            return pitot_fail(error, PITOT_EMISMATCH, "%s:%s: is missing; are these weights of another model?", file->path,
                              net->param[i].name);
        int32_t status = check_entry(file, &net->param[i], e, error);
        if (status) return status;
        if (e->dtype == TENSOR_U8)
            return pitot_fail(error, PITOT_ENOTSUP, "%s:%s: holds bytes (U8), not numbers; save it as F32", file->path,
                              net->param[i].name);
    }
    int checkpoint = tensor_file_meta(file, "optimizer") != NULL; /* whose state is "PARAMETER:SLOT" */
    for (int64_t i = 0; i < file->n; i++)
        if (!find_param(net, file->entry[i].name) && !(checkpoint && strchr(file->entry[i].name, ':')))
            return pitot_fail(error, PITOT_EMISMATCH,
                              "%s:%.100s: the model has no such parameter; are these weights of another model?", file->path,
                              file->entry[i].name);
    return PITOT_OK;
}

int32_t pitot_net_load(pitot_net *net, const char *path, pitot_error *error) {
    if (!net->theta) return pitot_fail(error, PITOT_EORDER, "%s: the net is not prepared", path);
    tensor_file *file = tensor_file_open(path, error);
    if (!file) return error ? error->status : PITOT_EIO;
    int32_t status = check_file(net, file, error);
    for (int32_t i = 0; i < net->n_params && !status; i++)
        status = tensor_entry_read(tensor_file_find(file, net->param[i].name), net->param[i].data);
    tensor_file_close(file);
    return status;
}

int32_t pitot_net_save(const pitot_net *net, const char *path, pitot_error *error) {
    tensor_out *out = mem_alloc(net->n_params, sizeof *out);
    if (!out) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory", path);
    for (int32_t i = 0; i < net->n_params; i++) {
        const pitot_net_param *p = &net->param[i];
        out[i] = (tensor_out){ .name = p->name, .n_dim = p->n_dim, .dtype = TENSOR_F32, .values = p->data };
        memcpy(out[i].shape, p->shape, sizeof p->shape);
    }
    int32_t status = tensor_file_write(path, out, net->n_params, NULL, NULL, 0, 0, error);
    mem_free(out);
    return status;
}
