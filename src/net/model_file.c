/* model_file.c: a net from JSON. Messages read "FILE:layers[2] (fc1): linear: out_features: ..."; unknown keys are errors. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/number.h"
#include "net/net.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_ROOM = 2048, SIZE_LIMIT = 64 << 20 };

typedef struct reader {
    const char *file;
    pitot_error *error;
} reader;

/* Puts "FILE:WHERE: " in front of what went wrong inside. */
static int32_t at(const reader *r, const char *where, const pitot_error *inner) {
    int32_t status = inner->status == PITOT_EINVAL ? PITOT_EFORMAT : inner->status; /* the file is what makes no sense */
    return pitot_fail(r->error, status, "%s:%s: %s", r->file, where, inner->text);
}

/* A JSON value as option text: numbers, true and false, strings, lists of those. 0: something else, or too long. */
static int value_text(const cJSON *v, char *out, size_t size) {
    char number[NUMBER_ROOM];
    size_t used = 0;
    if (cJSON_IsArray(v)) {
        for (const cJSON *e = v->child; e; e = e->next) {
            if (cJSON_IsArray(e) || used + 2 > size) return 0;
            if (used) out[used++] = ',';
            if (!value_text(e, out + used, size - used)) return 0;
            used += strlen(out + used);
        }
        return used > 0;
    }
    const char *text = number;
    if (cJSON_IsBool(v)) text = cJSON_IsTrue(v) ? "true" : "false";
    else if (cJSON_IsString(v)) text = v->valuestring;
    else if (cJSON_IsNumber(v)) number_write(v->valuedouble, number);
    else return 0;
    if (strpbrk(text, ",= ")) return 0;
    return (size_t)snprintf(out, size, "%s", text) < size;
}

static int32_t read_input_names(const reader *r, const char *where, const cJSON *v, char *out, size_t size) {
    size_t used = 0;
    const cJSON *e = cJSON_IsArray(v) ? v->child : v;
    out[0] = 0;
    for (; e; e = cJSON_IsArray(v) ? e->next : NULL) {
        if (!cJSON_IsString(e) || strpbrk(e->valuestring, " ,") || used + strlen(e->valuestring) + 2 > size)
            return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s.inputs: must be a list of names of earlier layers, or \"input\"",
                              r->file, where);
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", e->valuestring);
    }
    if (!used)
        return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s.inputs: is empty; leave it out for the layer before", r->file, where);
    return PITOT_OK;
}

/* Attributes of the layer as "key=value, key=value". */
static int32_t read_attributes(const reader *r, const char *where, const cJSON *layer, char *out, size_t size) {
    char value[512];
    size_t used = 0;
    out[0] = 0;
    for (const cJSON *f = layer->child; f; f = f->next) {
        if (!strcmp(f->string, "op") || !strcmp(f->string, "name") || !strcmp(f->string, "inputs")) continue;
        if (!*f->string || strpbrk(f->string, ",= "))
            return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s: the key \"%.60s\" cannot be read", r->file, where, f->string);
        if (!value_text(f, value, sizeof value))
            return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s.%.60s: must be a number, true or false, a word, or a list of numbers",
                              r->file, where, f->string);
        used += (size_t)snprintf(out + used, used < size ? size - used : 0, "%s%s=%s", used ? ", " : "", f->string, value);
        if (used >= size) return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s: has too many attributes", r->file, where);
    }
    return PITOT_OK;
}

static int32_t check_repeats(const reader *r, const char *where, const cJSON *object) {
    for (const cJSON *f = object->child; f; f = f->next)
        for (const cJSON *g = f->next; g; g = g->next)
            if (strcmp(f->string, g->string) == 0)
                return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s: \"%.60s\" stands there twice", r->file, where, f->string);
    return PITOT_OK;
}

static int32_t read_layer(const reader *r, pitot_net *net, const cJSON *layer) {
    char where[128], inputs[TEXT_ROOM], attributes[TEXT_ROOM];
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(layer, "name"), *op_name = cJSON_GetObjectItemCaseSensitive(layer, "op"),
                *input = cJSON_GetObjectItemCaseSensitive(layer, "inputs");
    int named = cJSON_IsString(name);
    snprintf(where, sizeof where, "layers[%d]%s%.60s%s", net->n_nodes, named ? " (" : "", named ? name->valuestring : "",
             named ? ")" : "");
    if (!cJSON_IsObject(layer))
        return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s: must be an object with an \"op\"", r->file, where);
    if (!cJSON_IsString(op_name))
        return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s.op: is missing; `pitot list ops` shows what there is", r->file, where);
    if (name && !named) return pitot_fail(r->error, PITOT_EFORMAT, "%s:%s.name: must be a string", r->file, where);
    int32_t status = check_repeats(r, where, layer);
    if (!status && input) status = read_input_names(r, where, input, inputs, sizeof inputs);
    if (!status) status = read_attributes(r, where, layer, attributes, sizeof attributes);
    if (status) return status;
    pitot_error inner = { 0 };
    status = pitot_net_add(net, op_name->valuestring, named ? name->valuestring : NULL, input ? inputs : NULL, attributes, &inner);
    return status ? at(r, where, &inner) : PITOT_OK;
}

static int32_t check_keys(const reader *r, const cJSON *root) {
    static const char *const known[] = { "name", "input", "loss", "layers" };
    char list[256];
    for (const cJSON *f = root->child; f; f = f->next) {
        int found = 0;
        for (int i = 0; i < 4; i++) found |= strcmp(f->string, known[i]) == 0;
        if (found) continue;
        nearest_list(f->string, known, 4, list, sizeof list);
        return pitot_fail(r->error, PITOT_EFORMAT, "%s: unknown key \"%.60s\"; %s", r->file, f->string, list);
    }
    return check_repeats(r, "top level", root);
}

static int32_t read_shape(const reader *r, const cJSON *v, int64_t dims[PITOT_DIMS + 1]) {
    int32_t n = 0;
    for (const cJSON *e = cJSON_IsArray(v) ? v->child : NULL; e; e = e->next) {
        if (n == PITOT_DIMS - 1 || !cJSON_IsNumber(e) || e->valuedouble != floor(e->valuedouble) || !(e->valuedouble >= 1) ||
            !(e->valuedouble <= INT32_MAX))
            return pitot_fail(r->error, PITOT_EFORMAT, "%s:input[%d]: must be a whole number from 1 on (at most %d of them)",
                              r->file, n, PITOT_DIMS - 1);
        dims[n++] = (int64_t)e->valuedouble;
    }
    if (n == 0)
        return pitot_fail(r->error, PITOT_EFORMAT, "%s:input: must be the shape of one sample, such as [1, 28, 28]", r->file);
    return PITOT_OK;
}

static pitot_net *read_net(const reader *r, const cJSON *root) {
    int64_t dims[PITOT_DIMS + 1] = { 0 };
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(root, "name"), *loss_name = cJSON_GetObjectItemCaseSensitive(root, "loss"),
                *layers = cJSON_GetObjectItemCaseSensitive(root, "layers");
    pitot_error inner = { 0 };
    if (!cJSON_IsObject(root))
        return pitot_fail(r->error, PITOT_EFORMAT, "%s: must be a JSON object with input, loss and layers", r->file), NULL;
    if (check_keys(r, root) || read_shape(r, cJSON_GetObjectItemCaseSensitive(root, "input"), dims)) return NULL;
    if (name && !cJSON_IsString(name)) return pitot_fail(r->error, PITOT_EFORMAT, "%s:name: must be a string", r->file), NULL;
    if (!cJSON_IsString(loss_name))
        return pitot_fail(r->error, PITOT_EFORMAT, "%s:loss: is missing; take cross_entropy, mse or bce_with_logits", r->file),
               NULL;
    if (!cJSON_IsArray(layers) || !layers->child)
        return pitot_fail(r->error, PITOT_EFORMAT, "%s:layers: must be a list of at least one layer", r->file), NULL;
    pitot_net *net = pitot_net_new(name ? name->valuestring : "net", dims, loss_name->valuestring, &inner);
    if (!net)
        return pitot_fail(r->error, inner.status == PITOT_EINVAL ? PITOT_EFORMAT : inner.status, "%s:%s", r->file, inner.text),
               NULL;
    for (const cJSON *layer = layers->child; layer; layer = layer->next)
        if (read_layer(r, net, layer)) return pitot_net_free(net), NULL;
    if (!loss_check(net, &inner)) return net;
    pitot_fail(r->error, inner.status, "%s:%s", r->file, inner.text);
    return pitot_net_free(net), NULL;
}

/* Line and column (from 1) of a place in the text. */
static void place_of(const char *text, const char *place, int *line, int *column) {
    *line = *column = 1;
    for (; text < place; text++) {
        *column = *text == '\n' ? 1 : *column + 1;
        *line += *text == '\n';
    }
}

pitot_net *pitot_net_read(const char *file, pitot_error *error) {
    int64_t size;
    pitot_error own = { 0 };
    reader r = { file, error ? error : &own };
    char *text = (char *)file_read(file, SIZE_LIMIT, &size, r.error);
    if (!text) return NULL;
    const char *end = text;
    cJSON *root = cJSON_ParseWithLengthOpts(text, (size_t)size + 1, &end, 1);
    pitot_net *net = NULL;
    if (root) net = read_net(&r, root);
    else {
        int line, column;
        place_of(text, end < text + size ? end : text + size, &line, &column);
        pitot_fail(r.error, PITOT_EFORMAT, "%s:%d:%d: this is not JSON from here on; look for a missing comma, quote or bracket",
                   file, line, column);
    }
    cJSON_Delete(root);
    mem_free(text);
    return net;
}
