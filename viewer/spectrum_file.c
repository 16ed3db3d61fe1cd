/* spectrum_file.c: see spectrum_file.h. */

#include "spectrum_file.h"

#include "answer.h"
#include "figure/figure.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILE = 1 << 28, MOST_NODES = 1 << 20, LEAST_STEPS = 12 };

int32_t spectrum_reserve(spectrum *s, int64_t draws, int64_t steps) {
    if (draws < 0 || steps < 0 || (steps && draws > MOST_NODES / steps)) return PITOT_ENOMEM;
    size_t all = (size_t)(draws * steps);
    s->node = calloc(all + 1, sizeof *s->node);
    s->weight = calloc(all + 1, sizeof *s->weight);
    s->used = calloc((size_t)draws + 1, sizeof *s->used);
    s->draws = (int32_t)draws, s->steps = (int32_t)steps;
    return s->node && s->weight && s->used ? PITOT_OK : PITOT_ENOMEM;
}

void spectrum_free(spectrum *s) {
    free(s->node);
    free(s->weight);
    free(s->used);
    memset(s, 0, sizeof *s);
}

int64_t spectrum_nodes_of(const spectrum *s, double *node, double *weight, int64_t room) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->draws; i++)
        for (int64_t k = 0; k < s->used[i] && n < room; k++, n++) {
            node[n] = s->node[i * s->steps + k];
            weight[n] = s->weight[i * s->steps + k] / s->draws;
        }
    return n;
}

int spectrum_is_density(const spectrum *s) {
    return s->draws && (s->steps >= LEAST_STEPS || s->steps >= s->parameters);
}

/* ---- writing ---- */

static void put_text(writer *w, const char *key, const char *text) {
    fprintf(w->out, "\"%s\": ", key);
    write_string(w->out, text);
    fputs(",\n ", w->out);
}

static void put_number(writer *w, const char *key, double v) {
    fprintf(w->out, "\"%s\": ", key);
    write_value(w, key, -1, v);
    fputs(",\n ", w->out);
}

static void put_field(writer *w, const char *key, int64_t index, const char *field, double v, const char *end) {
    char path[64];
    if (index >= 0) snprintf(path, sizeof path, "%s/%lld/%s", key, (long long)index, field);
    else snprintf(path, sizeof path, "%s/%s", key, field);
    fprintf(w->out, "\"%s\": ", field);
    write_value(w, path, -1, v);
    fputs(end, w->out);
}

static void put_estimate(writer *w, const char *key, const spectrum_estimate *e) {
    fprintf(w->out, "\"%s\": {", key);
    put_field(w, key, -1, "value", e->value, ", ");
    put_field(w, key, -1, "stderr", e->error, "},\n ");
}

static void put_pairs(writer *w, const char *key, const spectrum_pair *p, int32_t n) {
    fprintf(w->out, "\"%s\": [", key);
    for (int32_t i = 0; i < n; i++) {
        fputs(i ? ",\n  {" : "{", w->out);
        put_field(w, key, i, "value", p[i].value, ", ");
        put_field(w, key, i, "residual", p[i].residual, ", ");
        put_field(w, key, i, "error", p[i].error, ", ");
        fprintf(w->out, "\"converged\": %s}", p[i].converged ? "true" : "false");
    }
    fputs("],\n ", w->out);
}

static void put_lists(writer *w, const spectrum *s, const char *key, const double *v) {
    fprintf(w->out, "\"%s\": [", key);
    for (int64_t i = 0; i < s->draws; i++) {
        fputs(i ? ",\n  [" : "[", w->out);
        for (int64_t k = 0; k < s->used[i]; k++) {
            if (k) fputs(", ", w->out);
            write_value(w, key, i, v[i * s->steps + k]);
        }
        fputc(']', w->out);
    }
    fputc(']', w->out);
}

static void write_all(writer *w, const spectrum *s) {
    fprintf(w->out, "{\"pitot\": \"%s\",\n ", pitot_version());
    put_text(w, "operator", s->kind);
    if (s->preconditioned[0]) put_text(w, "preconditioned", s->preconditioned);
    put_text(w, "model", s->model);
    put_text(w, "weights", s->weights);
    put_text(w, "data", s->data);
    put_text(w, "group", s->group);
    put_text(w, "precision", s->precision);
    fprintf(w->out, "\"parameters\": %lld,\n \"samples\": %lld,\n \"seed\": %lld,\n \"products\": %lld,\n ",
            (long long)s->parameters, (long long)s->samples, (long long)s->seed, (long long)s->products);
    if (s->step >= 0) fprintf(w->out, "\"step\": %lld,\n ", (long long)s->step);
    put_number(w, "loss", s->loss);
    put_pairs(w, "top", s->top, s->n_top);
    put_pairs(w, "bottom", s->bottom, s->n_bottom);
    if (s->draws) {
        put_estimate(w, "trace", &s->trace);
        put_estimate(w, "frobenius_squared", &s->frobenius);
    }
    if (spectrum_is_density(s)) {
        put_estimate(w, "negative_mass", &s->negative_mass);
        put_estimate(w, "negative_energy", &s->negative_energy);
        put_estimate(w, "effective_dimension", &s->dimension);
        put_number(w, "damping", s->damping);
        put_number(w, "condition", s->condition);
    }
    if (s->limit_name[0]) {
        fputs("\"limit\": {", w->out);
        put_field(w, "limit", -1, "value", s->limit, ", \"name\": ");
        write_string(w->out, s->limit_name);
        fputs("},\n ", w->out);
    }
    fputs("\"density\": {", w->out);
    put_lists(w, s, "nodes", s->node);
    fputs(",\n ", w->out);
    put_lists(w, s, "weights", s->weight);
    fprintf(w->out, "},\n \"converged\": %s,\n \"complete\": %s", s->converged ? "true" : "false", s->complete ? "true" : "false");
    if (w->odd_used) fprintf(w->out, ",\n \"nonfinite\": [%s]", w->odd);
    fputs("}\n", w->out);
}

int32_t spectrum_write(const spectrum *s, const char *path, pitot_error *error) {
    char *text = NULL;
    size_t size = 0;
    writer w = { .out = open_memstream(&text, &size) };
    if (!w.out) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory", path);
    write_all(&w, s);
    int bad = ferror(w.out);
    free(w.odd);
    if (fclose(w.out) || bad) return free(text), pitot_fail(error, PITOT_ENOMEM, "%s: no memory", path);
    bytes b = { (unsigned char *)text, size, size };
    int32_t status = bytes_write(&b, path, error);
    free(text);
    return status;
}

/* ---- reading ---- */

static const cJSON *field(const cJSON *of, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(of, key);
}

static double number(const cJSON *of, const char *key) {
    const cJSON *v = field(of, key);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static int64_t whole(const cJSON *of, const char *key, int64_t otherwise) {
    double v = number(of, key);
    return v >= 0 && v < 9e15 ? (int64_t)v : otherwise;
}

static void text(const cJSON *of, const char *key, char *out, size_t size) {
    const char *t = cJSON_GetStringValue(field(of, key));
    snprintf(out, size, "%s", t ? t : "");
}

static spectrum_estimate estimate(const cJSON *of, const char *key) {
    const cJSON *e = field(of, key);
    return (spectrum_estimate){ number(e, "value"), number(e, "stderr") };
}

static int32_t pairs(const cJSON *of, const char *key, spectrum_pair *p) {
    int32_t n = 0;
    const cJSON *list = field(of, key);
    for (const cJSON *e = cJSON_IsArray(list) ? list->child : NULL; e && n < SPECTRUM_PAIRS; e = e->next)
        p[n++] =
            (spectrum_pair){ number(e, "value"), number(e, "residual"), number(e, "error"), cJSON_IsTrue(field(e, "converged")) };
    return n;
}

/* Lists of numbers, as many in both. */
static int32_t density(spectrum *s, const cJSON *of) {
    const cJSON *nodes = field(of, "nodes"), *weights = field(of, "weights");
    int64_t draws = cJSON_GetArraySize(nodes), steps = 0, i = 0;
    if (!cJSON_IsArray(nodes) || !cJSON_IsArray(weights) || cJSON_GetArraySize(weights) != draws) return PITOT_EFORMAT;
    for (const cJSON *e = nodes->child; e; e = e->next) steps = cJSON_GetArraySize(e) > steps ? cJSON_GetArraySize(e) : steps;
    if (spectrum_reserve(s, draws, steps)) return PITOT_ENOMEM;
    for (const cJSON *a = nodes->child, *b = weights->child; a; a = a->next, b = b->next, i++) {
        if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b)) return PITOT_EFORMAT;
        for (const cJSON *x = a->child, *y = b->child; x; x = x->next, y = y->next, s->used[i]++) {
            if (!cJSON_IsNumber(x) || !cJSON_IsNumber(y)) return PITOT_EFORMAT;
            s->node[i * steps + s->used[i]] = x->valuedouble;
            s->weight[i * steps + s->used[i]] = y->valuedouble;
        }
    }
    return PITOT_OK;
}

static int32_t take(spectrum *s, const cJSON *all) {
    text(all, "operator", s->kind, sizeof s->kind);
    text(all, "preconditioned", s->preconditioned, sizeof s->preconditioned);
    text(all, "model", s->model, sizeof s->model);
    text(all, "weights", s->weights, sizeof s->weights);
    text(all, "data", s->data, sizeof s->data);
    text(all, "group", s->group, sizeof s->group);
    text(all, "precision", s->precision, sizeof s->precision);
    s->parameters = whole(all, "parameters", 0), s->samples = whole(all, "samples", 0);
    s->seed = whole(all, "seed", 0), s->products = whole(all, "products", 0), s->step = whole(all, "step", -1);
    s->loss = number(all, "loss");
    s->n_top = pairs(all, "top", s->top), s->n_bottom = pairs(all, "bottom", s->bottom);
    s->trace = estimate(all, "trace"), s->frobenius = estimate(all, "frobenius_squared");
    s->negative_mass = estimate(all, "negative_mass"), s->negative_energy = estimate(all, "negative_energy");
    s->dimension = estimate(all, "effective_dimension");
    s->damping = number(all, "damping"), s->condition = number(all, "condition");
    s->limit = number(field(all, "limit"), "value");
    text(field(all, "limit"), "name", s->limit_name, sizeof s->limit_name);
    s->converged = cJSON_IsTrue(field(all, "converged")), s->complete = cJSON_IsTrue(field(all, "complete"));
    return s->kind[0] && s->parameters > 0 ? density(s, field(all, "density")) : PITOT_EFORMAT;
}

static char *read_text(const char *path, pitot_error *error) {
    FILE *in = fopen(path, "rb");
    if (!in) return pitot_fail(error, PITOT_EIO, "%s: cannot be opened", path), NULL;
    bytes b = { NULL, 0, 0 };
    char part[65536];
    size_t n;
    int good = 1;
    while (good && (n = fread(part, 1, sizeof part, in)) > 0) good = b.n + n <= MOST_FILE && bytes_add(&b, part, n);
    good = good && !ferror(in) && bytes_add(&b, "", 1);
    fclose(in);
    if (good) return (char *)b.data;
    free(b.data);
    return pitot_fail(error, PITOT_EIO, "%s: cannot be read, or is too large", path), NULL;
}

int32_t spectrum_read(spectrum *s, const char *path, pitot_error *error) {
    memset(s, 0, sizeof *s);
    char *raw = read_text(path, error);
    if (!raw) return PITOT_EIO;
    cJSON *all = cJSON_Parse(raw);
    free(raw);
    int32_t status = all ? take(s, all) : PITOT_EFORMAT;
    cJSON_Delete(all);
    if (!status) return PITOT_OK;
    spectrum_free(s);
    return pitot_fail(error, status, "%s: is not a spectrum, or is damaged; `pitot spectrum` writes one", path);
}
