/* answer.c: see answer.h. JSON, written as it goes: tensors are too large for a tree. */

#include "answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void write_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20) fprintf(out, "\\u%04x", *text);
        else fputc(*text, out);
    }
    fputc('"', out);
}

/* Remembers a value that is not finite under its path: "name" or "name/3" or "3". */
static void write_odd(writer *w, const char *path, int64_t index, double v) {
    char entry[512], place[400];
    if (index >= 0) snprintf(place, sizeof place, "%s%s%lld", path, *path ? "/" : "", (long long)index);
    else snprintf(place, sizeof place, "%s", path);
    int bare = index >= 0 && !*path;
    int n = snprintf(entry, sizeof entry, "%s[%s%s%s, \"%s\"]", w->odd_used ? ", " : "", bare ? "" : "\"", place, bare ? "" : "\"",
                     isnan(v) ? "nan"
                     : v < 0  ? "-inf"
                              : "inf");
    if (w->odd_used + (size_t)n + 1 > w->odd_room) {
        size_t room = 2 * w->odd_room + 4096;
        char *larger = realloc(w->odd, room);
        if (!larger) return;
        w->odd = larger;
        w->odd_room = room;
    }
    memcpy(w->odd + w->odd_used, entry, (size_t)n + 1);
    w->odd_used += (size_t)n;
}

void write_value(writer *w, const char *path, int64_t index, double v) {
    char text[40];
    if (!isfinite(v)) write_odd(w, path, index, v);
    pitot_number_text(v, text, sizeof text);
    fputs(isfinite(v) ? text : "null", w->out);
}

/* Nested lists in the shape's order. */
static void write_nested(writer *w, const char *path, const pitot_real *v, const int64_t *shape, int32_t n_dim, int64_t *at) {
    fputc('[', w->out);
    for (int64_t i = 0; i < shape[0]; i++) {
        if (i) fputs(", ", w->out);
        if (n_dim > 1) write_nested(w, path, v, shape + 1, n_dim - 1, at);
        else write_value(w, path, *at, (double)v[*at]), ++*at;
    }
    fputc(']', w->out);
}

/* ---- readings of one probe, put together ---- */

void store_reading(void *user, const pitot_reading *r) {
    store *s = user;
    if (s->n == s->room) {
        pitot_reading *larger = realloc(s->list, (size_t)(2 * s->room + 256) * sizeof *larger);
        if (!larger) return;
        s->list = larger;
        s->room = 2 * s->room + 256;
    }
    s->list[s->n++] = *r;
}

static int is_of(const pitot_reading *r, const char *probe, const char *field) {
    return r->probe && strcmp(r->probe, probe) == 0 && (!field || strcmp(r->field, field) == 0);
}

static void write_rows(writer *w, const pitot_reading *r, const char *path) {
    int64_t cols = r->rows ? r->n / r->rows : 0;
    fputc('[', w->out);
    for (int64_t i = 0; i < r->rows * cols; i++) {
        fputs(i % cols ? ", " : i ? ", [" : "[", w->out);
        write_value(w, path, i, r->numbers[i]);
        if (i % cols == cols - 1) fputc(']', w->out);
    }
    fputc(']', w->out);
}

/* (rows, *shape) */
static void write_samples(writer *w, const pitot_reading *r, const char *path) {
    fputc('[', w->out);
    for (int64_t i = 0; i < r->rows; i++) {
        int64_t at = 0;
        if (i) fputs(", ", w->out);
        write_nested(w, path, r->reals + i * r->stride, r->shape, r->n_dim, &at);
    }
    fputc(']', w->out);
}

static void write_reading(writer *w, const pitot_reading *r, const char *path) {
    int64_t at = 0;
    if (r->kind == PITOT_READ_VALUES) write_nested(w, path, r->reals, r->shape, r->n_dim, &at);
    else if (r->kind == PITOT_READ_TABLE) write_rows(w, r, path);
    else if (r->kind == PITOT_READ_SAMPLE_VALUES) write_samples(w, r, path);
    else if (r->kind == PITOT_READ_SAMPLES || r->kind == PITOT_READ_LIST) {
        fputc('[', w->out);
        for (int64_t i = 0; i < r->n; i++) {
            if (i) fputs(", ", w->out);
            write_value(w, path, i, r->kind == PITOT_READ_LIST ? r->numbers[i] : (double)r->reals[i]);
        }
        fputc(']', w->out);
    } else write_value(w, path, -1, r->value);
}

static int has_field(const store *s, const char *probe, const char *field) {
    for (int64_t i = 0; i < s->n; i++)
        if (is_of(&s->list[i], probe, field)) return 1;
    return 0;
}

static const pitot_reading *whole_of(const store *s, const char *probe, const char *field, int *tensors) {
    const pitot_reading *whole = NULL;
    *tensors = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (!is_of(&s->list[i], probe, field)) continue;
        if (!s->list[i].tensor) whole = &s->list[i];
        *tensors += s->list[i].tensor != NULL;
    }
    return whole;
}

static void write_tensors(writer *w, const store *s, const char *probe, const char *field) {
    int first = 1;
    fputc('{', w->out);
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_reading *r = &s->list[i];
        if (!is_of(r, probe, field) || !r->tensor) continue;
        if (!first) fputs(", ", w->out);
        first = 0;
        write_string(w->out, r->tensor);
        fputs(": ", w->out);
        write_reading(w, r, r->tensor);
    }
    fputc('}', w->out);
}

/* The values of one field: a number or list; an object by parameter with a "total" beside it; or a number with "per_tensor" beside it. Of
   a number with a field's name, what would stand beside it stands within: the keys belong to the probe's own value. */
static void write_field(writer *w, const store *s, const char *probe, const pitot_output *o, const char *key) {
    int tensors;
    const pitot_reading *whole = whole_of(s, probe, o->field, &tensors);
    int number = whole && (!tensors || o->shape == PITOT_SCALAR_PER_TENSOR || o->shape == PITOT_TABLE);
    int within = whole && tensors && *o->field && o->shape != PITOT_TABLE;
    fprintf(w->out, "\"%s\": ", key);
    if (within) fprintf(w->out, "{\"%s\": ", number ? "value" : "per_tensor");
    if (number) {
        write_reading(w, whole, *o->field ? o->field : whole->kind == PITOT_READ_SCALAR ? "value" : "");
        if (tensors) fputs(", \"per_tensor\": ", w->out), write_tensors(w, s, probe, o->field);
    } else {
        write_tensors(w, s, probe, o->field);
        if (whole) fputs(", \"total\": ", w->out), write_reading(w, whole, "total");
    }
    if (within) fputc('}', w->out);
}

static int has_own_value(const pitot_probe *p) {
    for (const pitot_output *o = p->outputs; o->label; o++)
        if (!*o->field) return 1;
    return 0;
}

/* All fields that have values. "group.name" ones next to each other make one object, "group". The fields of a probe without a value of its
   own are its value. */
static void write_fields(writer *w, const store *s, const pitot_probe *p) {
    char group[64] = "";
    const char *comma = has_own_value(p) ? ", " : ", \"value\": {";
    for (const pitot_output *o = p->outputs; o->label; o++) {
        const char *dot = strchr(o->field, '.');
        int length = dot ? (int)(dot - o->field) : 0, opens = 0;
        if (!has_field(s, p->name, o->field)) continue;
        if (*group && (!dot || strncmp(group, o->field, (size_t)length + 1))) fputc('}', w->out), *group = 0;
        if (dot && !*group) opens = 1;
        if (opens) {
            snprintf(group, sizeof group, "%.*s.", length, o->field);
            fprintf(w->out, "%s\"%.*s\": {", comma, length, o->field);
        } else fputs(comma, w->out);
        write_field(w, s, p->name, o, dot ? dot + 1 : *o->field ? o->field : "value");
        comma = ", ";
    }
    if (*group) fputc('}', w->out);
    if (!has_own_value(p)) fputs(*comma == ',' && comma[2] == 0 ? "}" : ", \"value\": {}", w->out);
}

static const char *status_name(int32_t state, int two_step) {
    switch (state) {
    case PITOT_STATE_OK: return "ok";
    case PITOT_STATE_UNDEFINED: return "undefined";
    case PITOT_STATE_LEVEL: return "needs_level";
    case PITOT_STATE_BUDGET: return "over_budget";
    case PITOT_STATE_WAITING: return two_step ? "needs_two_steps" : "error";
    default: return "error";
    }
}

/* Probes that compare two points of the training have no value at one. */
static int is_two_step(const pitot_probe *p) {
    return p->spans == 2 || p->needs & (PITOT_NEED_BEFORE | PITOT_NEED_LENGTH | PITOT_NEED_PROJECTION | PITOT_NEED_STEP) ||
           p->start_always;
}

void write_probe(writer *w, const pitot_run *run, const store *s, const pitot_probe *p) {
    int32_t state = PITOT_STATE_ERROR;
    const char *why = "";
    pitot_probe_state(run, p->name, &state, &why);
    if (is_two_step(p)) state = PITOT_STATE_WAITING, why = "compares two points of a training run; see the log of a run";
    write_string(w->out, p->name);
    fprintf(w->out, ": {\"status\": \"%s\"", status_name(state, is_two_step(p)));
    w->odd_used = 0;
    if (state == PITOT_STATE_OK) write_fields(w, s, p);
    if (state == PITOT_STATE_OK && *why) fputs(", \"remark\": ", w->out), write_string(w->out, why);
    if (state != PITOT_STATE_OK) fputs(", \"why\": ", w->out), write_string(w->out, *why ? why : "gave no value");
    if (w->odd_used) fprintf(w->out, ", \"nonfinite\": [%s]", w->odd);
    fputc('}', w->out);
}
