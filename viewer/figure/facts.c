/* facts.c: what the manifest says about a run, a few words each. See figure.h. Whatever is missing is left out. */

#include "figure.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VALUE = sizeof((fact_list *)0)->fact[0].value };

/* A string or number of the manifest; "" if absent or something else. */
static void scalar(const pitot_log *log, const char *path, char *out, size_t size) {
    pitot_log_fact(log, path, out, size);
    if (out[0] == '{' || out[0] == '[') out[0] = 0;
}

static int is_number(const char *text, double *v) {
    char *end;
    *v = strtod(text, &end);
    return *text && !*end && isfinite(*v);
}

/* Numbers as people read them: "101,770", "0.1". */
static void readable(const pitot_log *log, const char *path, char *out, size_t size) {
    double v;
    scalar(log, path, out, size);
    if (is_number(out, &v)) format_value(v, 12, out, size);
}

static void add(fact_list *facts, const char *key, const char *value) {
    if (!value[0] || facts->n >= FACTS) return;
    snprintf(facts->fact[facts->n].key, sizeof facts->fact[0].key, "%s", key);
    snprintf(facts->fact[facts->n].value, VALUE, "%s", value);
    facts->n++;
}

static void add_readable(const pitot_log *log, fact_list *facts, const char *key, const char *path) {
    char value[VALUE];
    readable(log, path, value, sizeof value);
    add(facts, key, value);
}

/* Values in all, from the manifest's parameter table; 0 if there is none. */
static double count_parameters(const cJSON *manifest) {
    const cJSON *table = cJSON_GetObjectItemCaseSensitive(manifest, "parameters"), *one, *dim;
    double sum = 0;
    cJSON_ArrayForEach(one, table) {
        const cJSON *shape = cJSON_GetObjectItemCaseSensitive(one, "shape");
        double size = 1;
        cJSON_ArrayForEach(dim, shape) size *= cJSON_IsNumber(dim) ? dim->valuedouble : 0;
        sum += size;
    }
    return cJSON_IsArray(table) && isfinite(sum) ? sum : 0;
}

static void add_model(const pitot_log *log, const cJSON *manifest, fact_list *facts) {
    char name[VALUE / 2], size[64], value[VALUE];
    scalar(log, "model.name", name, sizeof name);
    if (!name[0]) scalar(log, "model", name, sizeof name);
    readable(log, "model.parameters", size, sizeof size);
    double count = count_parameters(manifest);
    if (!size[0] && count > 0) format_value(count, 12, size, sizeof size);
    snprintf(value, sizeof value, "%s%s%s%s", name, size[0] && name[0] ? ", " : "", size, size[0] ? " parameters" : "");
    add(facts, "model", value);
}

/* ---- the optimizer and its options ----------------------------------------------------------------------------------- */

static void option_text(const cJSON *value, char *out, size_t size) {
    out[0] = 0;
    if (cJSON_IsString(value)) snprintf(out, size, "%s", value->valuestring);
    if (cJSON_IsBool(value)) snprintf(out, size, "%s", cJSON_IsTrue(value) ? "true" : "false");
    if (cJSON_IsNumber(value)) format_value(value->valuedouble, 6, out, size);
    const cJSON *one;
    cJSON_ArrayForEach(one, value) {
        size_t n = strlen(out);
        char part[40];
        if (cJSON_IsArray(one) || cJSON_IsObject(one)) continue;
        option_text(one, part, sizeof part);
        snprintf(out + n, size - n, "%s%s", n ? "," : "", part);
    }
}

/* Whether both are the same numbers, or the same words. */
static int same_value(const char *a, const char *b) {
    for (;;) {
        char *end_a, *end_b;
        double x = strtod(a, &end_a), y = strtod(b, &end_b);
        if (end_a == a || end_b == b) return strcmp(a, b) == 0;
        if (x != y || *end_a != *end_b) return 0;
        if (*end_a != ',') return *end_a == 0;
        a = end_a + 1;
        b = end_b + 1;
    }
}

static int is_default(const char *optimizer, const char *option, const char *text) {
    const pitot_optimizer *method = pitot_optimizer_find(optimizer);
    const pitot_option *o = method && method->options ? pitot_options_find(method->options, option) : NULL;
    return o && o->initial && same_value(o->initial, text);
}

static void add_options(const cJSON *options, const char *optimizer, int all, char *out, size_t size) {
    const cJSON *o;
    int count = 0;
    cJSON_ArrayForEach(o, options) {
        char text[80];
        size_t n = strlen(out);
        if (!o->string) continue;
        option_text(o, text, sizeof text);
        if (!text[0] || (!all && strcmp(o->string, "lr") != 0 && is_default(optimizer, o->string, text))) continue;
        snprintf(out + n, size - n, "%s%s=%s", count++ ? ", " : *optimizer ? ": " : "", o->string, text);
    }
}

static void add_optimizer(const pitot_log *log, const cJSON *manifest, int all, fact_list *facts) {
    char name[64], value[VALUE];
    scalar(log, "optimizer.name", name, sizeof name);
    if (!name[0]) scalar(log, "optimizer", name, sizeof name);
    snprintf(value, sizeof value, "%s", name);
    const cJSON *optimizer = cJSON_GetObjectItemCaseSensitive(manifest, "optimizer");
    add_options(cJSON_GetObjectItemCaseSensitive(optimizer, "options"), name, all, value, sizeof value);
    add(facts, "optimizer", value);
}

/* ---- time ------------------------------------------------------------------------------------------------------------ */

static void add_steps(const pitot_log_state *state, fact_list *facts) {
    static const char *const how[] = { ", not ended", "", ", failed", ", interrupted" };
    char last[32], planned[32], value[VALUE];
    if (state->last_step < 0) return;
    format_value((double)(state->steps > 0 ? state->last_step + 1 : state->last_step), 12, last, sizeof last);
    format_value((double)state->steps, 12, planned, sizeof planned);
    int32_t ended = state->ended < 0 || state->ended > PITOT_LOG_INTERRUPTED ? PITOT_LOG_OPEN : state->ended;
    if (ended == PITOT_LOG_DONE && state->steps > 0) snprintf(value, sizeof value, "%s", planned);
    else if (state->steps > 0) snprintf(value, sizeof value, "%s of %s%s", last, planned, how[ended]);
    else snprintf(value, sizeof value, "%s%s", last, how[ended]);
    add(facts, "steps", value);
}

static void add_date(const pitot_log *log, const pitot_log_state *state, fact_list *facts) {
    char text[VALUE];
    double seconds = state->first_wall;
    scalar(log, "started", text, sizeof text);
    if (text[0] && !is_number(text, &seconds)) {
        int iso = strlen(text) == 20 && text[4] == '-' && text[10] == 'T' && text[13] == ':' && text[19] == 'Z';
        if (iso) text[10] = ' ', memcpy(text + 16, " UTC", 5);
        add(facts, "started", text);
        return;
    }
    if (!(seconds > 1e8 && seconds < 1e11)) return;
    time_t at = (time_t)seconds;
    struct tm utc;
    if (gmtime_r(&at, &utc) && strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc)) add(facts, "started", text);
}

void facts_of(const pitot_log *log, int all, fact_list *facts) {
    char value[VALUE];
    pitot_log_state state = { .struct_size = sizeof state, .last_step = -1 };
    pitot_log_get_state(log, &state);
    cJSON *manifest = cJSON_Parse(pitot_log_manifest(log));
    facts->n = 0;
    add_model(log, manifest, facts);
    scalar(log, "data", value, sizeof value);
    if (!value[0]) scalar(log, "data.name", value, sizeof value);
    add(facts, "data", value);
    add_optimizer(log, manifest, all, facts);
    add_readable(log, facts, "batch", "batch");
    scalar(log, "seed", value, sizeof value);
    add(facts, "seed", value);
    add_steps(&state, facts);
    add_date(log, &state, facts);
    scalar(log, "host", value, sizeof value);
    if (!value[0]) scalar(log, "host.name", value, sizeof value);
    add(facts, "host", value);
    add_readable(log, facts, "threads", "threads");
    scalar(log, "blas.core", value, sizeof value);
    add(facts, "blas", value);
    cJSON_Delete(manifest);
}
