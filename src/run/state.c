/* state.c: probes' state in one file, so that what they measure from a reference point goes on after a resume. Entries are
   "PROBE/PARAMETER" (values) and "PROBE" (bytes). */

#include "base/alloc.h"
#include "data/safetensors.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATE_DTYPE = sizeof(pitot_real) == 8 ? TENSOR_F64 : TENSOR_F32 };

static int64_t count_entries(const pitot_run *run) {
    int64_t n = 0;
    for (int32_t i = 0; i < run->n_slots; i++) n += 1 + (run->slot[i].tensor_state ? run->n_params : 0);
    return n;
}

static int64_t list_slot(const pitot_run *run, const slot *s, tensor_out *out, char (*name)[KEY_ROOM]) {
    int64_t n = 0;
    if (!s->started || s->off) return 0;
    if (s->probe->state_size) {
        snprintf(name[n], KEY_ROOM, "%s", s->probe->name);
        out[n] = (tensor_out){ name[n], 1, { (int64_t)s->probe->state_size }, TENSOR_U8, s->state };
        n++;
    }
    for (int32_t i = 0; s->tensor_state && i < run->n_params; i++) {
        if (!s->tensor_state[i]) continue;
        snprintf(name[n], KEY_ROOM, "%s/%s", s->probe->name, run->param[i].name);
        out[n] = (tensor_out){ name[n], 1, { s->per_value * run->param[i].layout.size }, STATE_DTYPE, s->tensor_state[i] };
        n++;
    }
    return n;
}

int32_t pitot_checkpoint(pitot_run *run, const char *file) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    if (!file) return run_fail(run, PITOT_EINVAL, "pitot_checkpoint: no file is named");
    int64_t room = count_entries(run), n = 0;
    char first[32];
    tensor_out *out = mem_alloc(room, sizeof *out);
    char(*name)[KEY_ROOM] = mem_alloc(room, KEY_ROOM);
    pitot_error error = { 0 };
    const char *key = "first_step", *value = first;
    snprintf(first, sizeof first, "%lld", (long long)run->first_step);
    for (int32_t i = 0; out && name && i < run->n_slots; i++) n += list_slot(run, &run->slot[i], out + n, name + n);
    if (run->log.fd >= 0) fdatasync(run->log.fd); /* what leads to a checkpoint lasts as long as it */
    int32_t status = out && name ? tensor_file_write(file, out, n, &key, &value, 1, 1, &error) : PITOT_ENOMEM;
    mem_free(out);
    mem_free(name);
    return status ? run_fail(run, status, "%s", error.text[0] ? error.text : "no memory for a checkpoint of the probes") : PITOT_OK;
}

static int32_t restore_slot(pitot_run *run, slot *s, const tensor_file *file) {
    const tensor_entry *e = s->probe->state_size ? tensor_file_find(file, s->probe->name) : NULL;
    if (e && e->dtype == TENSOR_U8 && e->size == (int64_t)s->probe->state_size) {
        memcpy(s->state, e->bytes, (size_t)e->size);
        s->started = 1;
    }
    for (int32_t i = 0; s->per_value && i < run->n_params; i++) {
        char name[KEY_ROOM];
        int64_t values = s->per_value * run->param[i].layout.size;
        snprintf(name, sizeof name, "%s/%s", s->probe->name, run->param[i].name);
        e = tensor_file_find(file, name);
        if (!e || e->size != values || e->dtype == TENSOR_U8) continue;
        if (!s->tensor_state) s->tensor_state = mem_alloc(run->room_params, sizeof *s->tensor_state);
        if (s->tensor_state && !s->tensor_state[i]) s->tensor_state[i] = run_hold(run, values, sizeof(pitot_real));
        if (!s->tensor_state || !s->tensor_state[i]) return PITOT_ENOMEM;
        int32_t status = tensor_entry_read(e, s->tensor_state[i]);
        if (status) return status;
        s->started = 1;
    }
    return PITOT_OK;
}

int32_t pitot_restore(pitot_run *run, const char *file) {
    pitot_error error = { 0 };
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    if (!file) return run_fail(run, PITOT_EINVAL, "pitot_restore: no file is named");
    if (run->n_params == 0) return run_fail(run, PITOT_EORDER, "pitot_restore: there are no parameters yet; add them first");
    tensor_file *f = tensor_file_open(file, &error);
    if (!f) return run_fail(run, error.status, "%s", error.text);
    int32_t status = PITOT_OK;
    for (int32_t i = 0; i < run->n_slots && !status; i++) status = restore_slot(run, &run->slot[i], f);
    const char *first = tensor_file_meta(f, "first_step");
    if (first) run->first_step = strtoll(first, NULL, 10);
    tensor_file_close(f);
    return status ? run_fail(run, status, "%s: the probes' state could not be read", file) : PITOT_OK;
}
