/* log_facts.c: values of the manifest by path. See pitot/log.h. */

#include "run/log_read.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <string.h>

#include "base/number.h"

/* The member called path[0..length), or the element of that number. */
static const cJSON *member(const cJSON *node, const char *path, size_t length) {
    int64_t index = 0;
    if (cJSON_IsArray(node)) {
        if (!length || length > 9 || strspn(path, "0123456789") < length) return NULL;
        for (size_t i = 0; i < length; i++) index = index * 10 + (path[i] - '0');
        return cJSON_GetArrayItem(node, (int)index);
    }
    if (!cJSON_IsObject(node)) return NULL;
    for (node = node->child; node; node = node->next)
        if (strlen(node->string) == length && memcmp(node->string, path, length) == 0) break;
    return node;
}

/* Keys may contain dots ("layers.0.weight"): the longest key that leads to an answer is taken. */
static const cJSON *walk(const cJSON *node, const char *path) {
    for (size_t length = strlen(path); length > 0; length--) {
        const cJSON *next;
        if (path[length] && path[length] != '.') continue;
        next = member(node, path, length);
        if (next && path[length]) next = walk(next, path + length + 1);
        if (next) return next;
    }
    return NULL;
}

static int32_t put_text(const char *text, char *out, size_t size) {
    size_t length = strlen(text);
    if (size) {
        size_t n = length < size - 1 ? length : size - 1;
        memcpy(out, text, n);
        out[n] = 0;
    }
    return length > INT32_MAX ? INT32_MAX : (int32_t)length;
}

static int32_t put_printed(const cJSON *node, char *out, size_t size) {
    char *text = cJSON_PrintUnformatted(node);
    int32_t length = put_text(text ? text : "", out, size);
    cJSON_free(text);
    return length;
}

int32_t pitot_log_fact(const pitot_log *log, const char *path, char *out, size_t size) {
    const cJSON *node = log && log->facts && path ? walk(log->facts, path) : NULL;
    char number[NUMBER_ROOM];
    if (!node || cJSON_IsNull(node)) return put_text("", out, size);
    if (cJSON_IsString(node)) return put_text(node->valuestring, out, size);
    if (cJSON_IsNumber(node)) return number_write(node->valuedouble, number), put_text(number, out, size);
    return put_printed(node, out, size);
}
