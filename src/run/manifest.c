/* manifest.c: run.json: what a run is. Replaced whole: when the run opens, and when its parameters are known. */

#include "base/alloc.h"
#include "base/file.h"
#include "run/run.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* Of the probes' names, outputs and options: logs of another registry may mean other things by the same names. */
static unsigned long fingerprint(void) {
    unsigned long sum = crc32(0, NULL, 0);
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        sum = crc32(sum, (const unsigned char *)(*p)->name, (unsigned)strlen((*p)->name));
        for (const pitot_output *o = (*p)->outputs; o->label; o++)
            sum = crc32(sum, (const unsigned char *)o->field, (unsigned)strlen(o->field) + 1);
        for (const pitot_option *o = (*p)->options; o && o->name; o++)
            sum = crc32(sum, (const unsigned char *)o->name, (unsigned)strlen(o->name) + 1);
    }
    return sum;
}

static void add_machine(cJSON *root, const pitot_run *run) {
    char host[256] = "", started[32];
    time_t now = time(NULL);
    struct tm utc;
    pitot_blas facts;
    pitot_blas_describe(&facts);
    gethostname(host, sizeof host - 1);
    gmtime_r(&now, &utc);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    cJSON_AddStringToObject(root, "started", started);
    cJSON_AddStringToObject(root, "host", host);
    cJSON_AddNumberToObject(root, "pid", (double)run->pid);
    cJSON_AddStringToObject(root, "precision", sizeof(pitot_real) == 8 ? "double" : "float");
    cJSON *blas = cJSON_AddObjectToObject(root, "blas");
    cJSON_AddStringToObject(blas, "version", facts.version);
    cJSON_AddStringToObject(blas, "core", facts.core);
    cJSON_AddStringToObject(blas, "threading", facts.threading);
    cJSON_AddNumberToObject(blas, "threads", (double)facts.threads);
}

static void add_probes(cJSON *root, const pitot_run *run) {
    cJSON *list = cJSON_AddArrayToObject(root, "probes");
    for (int32_t i = 0; i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        char text[256];
        cJSON *p = cJSON_CreateObject();
        cJSON_AddItemToArray(list, p);
        cJSON_AddStringToObject(p, "name", s->probe->name);
        schedule_text(&s->when, text);
        cJSON_AddStringToObject(p, "every", text);
        for (const pitot_option *o = s->probe->options; o && o->name; o++) {
            pitot_options_text(o, s->options, text, sizeof text);
            cJSON_AddStringToObject(p, o->name, text);
        }
    }
}

static void add_params(cJSON *root, const pitot_run *run) {
    cJSON *list = cJSON_AddArrayToObject(root, "parameters");
    for (int32_t i = 0; i < run->n_params; i++) {
        cJSON *p = cJSON_CreateObject(), *dims = NULL;
        cJSON_AddItemToArray(list, p);
        cJSON_AddStringToObject(p, "name", run->param[i].name);
        dims = cJSON_AddArrayToObject(p, "shape");
        for (int32_t d = 0; d < run->param[i].layout.n_dim; d++)
            cJSON_AddItemToArray(dims, cJSON_CreateNumber((double)run->param[i].layout.shape[d]));
    }
}

/* The host's part: every key of its object that is not one of ours. */
static void add_facts(cJSON *root, const pitot_run *run) {
    cJSON *facts = run->facts ? cJSON_Parse(run->facts) : NULL, *next;
    for (cJSON *f = facts ? facts->child : NULL; f; f = next) {
        next = f->next;
        if (!f->string || cJSON_HasObjectItem(root, f->string)) continue;
        cJSON_AddItemToObject(root, f->string, cJSON_DetachItemViaPointer(facts, f));
    }
    cJSON_Delete(facts);
}

int32_t manifest_write(pitot_run *run, pitot_error *error) {
    char path[PATH_ROOM], registry[16];
    if (!file_join(path, sizeof path, run->dir, "run.json"))
        return pitot_fail(error, PITOT_EINVAL, "%.200s: the path is too long", run->dir);
    cJSON *root = cJSON_CreateObject();
    snprintf(registry, sizeof registry, "%08lx", fingerprint());
    cJSON_AddNumberToObject(root, "schema", 1);
    cJSON_AddStringToObject(root, "pitot", PITOT_VERSION);
    cJSON_AddStringToObject(root, "registry", registry);
    add_machine(root, run);
    cJSON_AddNumberToObject(root, "probe_seed", (double)run->seed);
    cJSON_AddNumberToObject(root, "steps", (double)run->steps);
    if (run->flags & PITOT_COUPLED) cJSON_AddBoolToObject(root, "coupled", 1);
    add_facts(root, run);
    add_probes(root, run);
    add_params(root, run);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory", path);
    int32_t status = file_replace(path, text, (int64_t)strlen(text), 0, error);
    cJSON_free(text);
    return status;
}
