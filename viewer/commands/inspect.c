/* inspect.c: `pitot inspect`: every probe once, on given weights and the first samples of a data set, as JSON. */

#include "command.h"

#include <omp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON, written as it goes: tensors are too large for a tree ---- */

typedef struct writer {
    FILE *out;
    char *odd; /* "nonfinite" entries of the object under way */
    size_t odd_used, odd_room;
} writer;

static void write_string(FILE *out, const char *text) {
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

static void write_value(writer *w, const char *path, int64_t index, double v) {
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

typedef struct store {
    pitot_reading *list;
    int64_t n, room;
} store;

static void keep(void *user, const pitot_reading *r) {
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

static void write_reading(writer *w, const pitot_reading *r, const char *path) {
    int64_t at = 0;
    if (r->kind == PITOT_READ_VALUES) write_nested(w, path, r->reals, r->shape, r->n_dim, &at);
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

/* The values of one field: a number or list; an object by parameter with a "total" beside it; or a number with "per_tensor" beside it. */
static void write_field(writer *w, const store *s, const char *probe, const pitot_output *o, const char *key) {
    int tensors;
    const pitot_reading *whole = whole_of(s, probe, o->field, &tensors);
    fprintf(w->out, "\"%s\": ", key);
    if (whole && (!tensors || o->shape == PITOT_SCALAR_PER_TENSOR)) {
        write_reading(w, whole, *o->field ? o->field : whole->kind == PITOT_READ_SCALAR ? "value" : "");
        if (tensors) fputs(", \"per_tensor\": ", w->out), write_tensors(w, s, probe, o->field);
        return;
    }
    write_tensors(w, s, probe, o->field);
    if (whole) fputs(", \"total\": ", w->out), write_reading(w, whole, "total");
}

/* All fields that have values. "group.name" ones next to each other make one object, "group". */
static void write_fields(writer *w, const store *s, const pitot_probe *p) {
    char group[64] = "";
    for (const pitot_output *o = p->outputs; o->label; o++) {
        const char *dot = strchr(o->field, '.');
        int length = dot ? (int)(dot - o->field) : 0, opens = 0;
        if (!has_field(s, p->name, o->field)) continue;
        if (*group && (!dot || strncmp(group, o->field, (size_t)length + 1))) fputc('}', w->out), *group = 0;
        if (dot && !*group) opens = 1;
        if (opens) {
            snprintf(group, sizeof group, "%.*s.", length, o->field);
            fprintf(w->out, ", \"%.*s\": {", length, o->field);
        } else fputs(", ", w->out);
        write_field(w, s, p->name, o, dot ? dot + 1 : *o->field ? o->field : "value");
    }
    if (*group) fputc('}', w->out);
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
    return p->spans == 2 || p->needs & PITOT_NEED_BEFORE || p->start_always;
}

static void write_probe(writer *w, const pitot_run *run, const store *s, const pitot_probe *p) {
    int32_t state = PITOT_STATE_ERROR;
    const char *why = "";
    pitot_probe_state(run, p->name, &state, &why);
    if (is_two_step(p)) state = PITOT_STATE_WAITING, why = "compares two points of a training run; see the log of a run";
    write_string(w->out, p->name);
    fprintf(w->out, ": {\"status\": \"%s\"", status_name(state, is_two_step(p)));
    w->odd_used = 0;
    if (state == PITOT_STATE_OK) write_fields(w, s, p);
    else fputs(", \"why\": ", w->out), write_string(w->out, *why ? why : "gave no value");
    if (w->odd_used) fprintf(w->out, ", \"nonfinite\": [%s]", w->odd);
    fputc('}', w->out);
}

/* ---- one step without an update ---- */

typedef struct bench { /* everything that is under inspection */
    pitot_net *net;
    pitot_data *data;
    pitot_run *run;
    pitot_attached attached;
    pitot_real *x, *targets;
    int32_t *classes;
    int64_t n;
} bench;

static void free_bench(bench *b) {
    pitot_close(b->run, PITOT_DONE);
    pitot_net_free(b->net);
    pitot_data_free(b->data);
    free(b->x);
    free(b->targets);
    free(b->classes);
}

static int32_t load_batch(bench *b, pitot_error *error) {
    int64_t width = b->data->target_size > b->data->n_classes ? b->data->target_size : b->data->n_classes;
    b->x = calloc((size_t)b->n, (size_t)b->data->size * sizeof *b->x);
    b->classes = calloc((size_t)b->n, sizeof *b->classes);
    b->targets = calloc((size_t)b->n, (size_t)width * sizeof *b->targets);
    if (!b->x || !b->classes || !b->targets) return pitot_fail(error, PITOT_ENOMEM, "no memory for %lld samples", (long long)b->n);
    pitot_data_batch(b->data, NULL, b->n, b->x, b->classes, b->targets);
    return PITOT_OK;
}

static int32_t open_bench(bench *b, const args *a, pitot_error *error) {
    b->data = pitot_data_open(args_get(a, "--data"), error);
    if (!b->data) return error->status;
    if (!args_get(a, "--batch") && b->n > b->data->n) b->n = b->data->n;
    if (b->n > b->data->n)
        return pitot_fail(error, PITOT_EINVAL, "--batch %lld: %s has only %lld samples", (long long)b->n, b->data->spec,
                          (long long)b->data->n);
    b->net = pitot_net_read(args_get(a, "--model"), error);
    if (!b->net) return error->status;
    int32_t status = pitot_net_fits(b->net, b->data, args_get(a, "--model"), error);
    if (!status) status = pitot_net_prepare(b->net, b->n, 0, error);
    if (!status) status = pitot_net_load(b->net, args_get(a, "--weights"), error);
    return status ? status : load_batch(b, error);
}

/* --set: PROBE.OPTION=VALUE lines for the run; a bare lr=VALUE is the learning rate that some probes use. */
static int read_set(const args *a, char *options, size_t size, double *lr) {
    size_t used = 0;
    for (int k = 0; args_at(a, "--set", k); k++) {
        const char *item = args_at(a, "--set", k), *equals = strchr(item, '='), *dot = strchr(item, '.');
        char *end;
        if (!equals) return fail_usage("inspect", "inspect: --set %s: is not KEY=VALUE", item);
        if (dot && dot < equals) used += (size_t)snprintf(options + used, used < size ? size - used : 0, "%s\n", item);
        else if (strncmp(item, "lr=", 3))
            return fail_usage("inspect", "inspect: --set %s: only lr and PROBE.OPTION mean something here", item);
        else {
            *lr = strtod(item + 3, &end);
            if (end == item + 3 || *end) return fail_usage("inspect", "inspect: --set %s: is not a number", item);
        }
    }
    return used < size ? EXIT_DONE : fail_usage("inspect", "inspect: too many options");
}

static int32_t measure(bench *b, const char *probes, const char *options, double lr, pitot_error *error) {
    pitot_config c = {
        .struct_size = sizeof c, .probes = probes, .options = options, .threads = omp_get_max_threads(), .memory = INT64_C(1) << 40
    };
    double loss;
    b->run = pitot_open(NULL, &c);
    if (!b->run || pitot_last_error(b->run)[0]) return pitot_fail(error, PITOT_EINVAL, "%s", pitot_last_error(b->run));
    int32_t status = pitot_attach(&b->attached, b->net, b->run);
    if (status) return pitot_fail(error, status, "%s", pitot_last_error(b->run));
    pitot_net_batch batch = {
        .struct_size = sizeof batch, .n = b->n, .x = b->x, .classes = b->data->classes ? b->classes : NULL, .targets = b->targets
    };
    pitot_begin(b->run, 0);
    status = pitot_net_forward(b->net, &batch, &loss);
    if (status) return pitot_fail(error, status, "%s: %s; do classes fit the last layer?", b->data->spec, pitot_strerror(status));
    pitot_attached_forward(&b->attached, &batch, loss);
    pitot_net_backward(b->net);
    pitot_attached_backward(&b->attached);
    (void)lr;
    return PITOT_OK;
}

/* ---- the answer ---- */

static int in_run(const pitot_run *run, const char *name) {
    int32_t state;
    const char *why;
    return pitot_probe_state(run, name, &state, &why) == PITOT_OK;
}

static void write_answer(writer *w, const bench *b, const args *a) {
    store s = { 0 };
    int first = 1;
    pitot_readings(b->run, keep, &s);
    fprintf(w->out, "{\"pitot\": \"%s\", \"model\": ", pitot_version());
    write_string(w->out, args_get(a, "--model"));
    fputs(", \"data\": ", w->out);
    write_string(w->out, b->data->spec);
    fprintf(w->out, ", \"samples\": %lld, \"precision\": \"%s\", \"probes\": {", (long long)b->n,
            pitot_real_size() == 8 ? "double" : "float");
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        if (!in_run(b->run, (*p)->name)) continue;
        if (!first) fputs(", ", w->out);
        first = 0;
        write_probe(w, b->run, &s, *p);
    }
    fputs("}}\n", w->out);
    free(s.list);
}

static int answer(const bench *b, const args *a) {
    const char *path = args_get(a, "--json");
    int to_file = path && strcmp(path, "-");
    writer w = { .out = to_file ? fopen(path, "w") : stdout };
    if (!w.out) return fail("%s: cannot be written", path);
    write_answer(&w, b, a);
    free(w.odd);
    if ((to_file ? fclose(w.out) : fflush(w.out)) != 0)
        return fail("%s: cannot be written; is the disk full?", to_file ? path : "standard output");
    return EXIT_DONE;
}

static int run(const args *a) {
    static const char *const needed[] = { "--model", "--weights", "--data" };
    char options[4096] = "";
    double lr = NAN;
    int bad = 0;
    for (int i = 0; i < 3; i++)
        if (!args_get(a, needed[i])) return fail_usage("inspect", "inspect: %s is missing", needed[i]);
    const char *precision = args_get(a, "--precision");
    if (precision && strcmp(precision, "float") && strcmp(precision, "double"))
        return fail_usage("inspect", "inspect: --precision %s: float or double", precision);
    bench b = { .n = args_int(a, "--batch", 64, 1, INT32_MAX, &bad) };
    if (bad || read_set(a, options, sizeof options, &lr)) return EXIT_USAGE;
    pitot_error error = { 0 };
    const char *probes = args_get(a, "--probes");
    int32_t status = open_bench(&b, a, &error);
    if (!status) status = measure(&b, probes ? probes : "all,grad,individual_losses", options, lr, &error);
    int code = status ? fail_error(&error) : answer(&b, a);
    free_bench(&b);
    return code;
}

static const flag flags[] = {
    { "--model", "FILE", "model file (JSON)", 0 },
    { "--weights", "FILE.safetensors", "parameters, named and shaped as the model's", 0 },
    { "--data", "SPEC", "mnist:DIR, cifar10:DIR, npz:FILE or glyphs[:N]", 0 },
    { "--batch", "N", "the first N samples in file order are the batch; default 64", 0 },
    { "--probes", "LIST", "names and configurations; default: all, with gradient and losses", 0 },
    { "--set", "KEY=VALUE", "PROBE.OPTION=VALUE, or lr=VALUE for probes that use the learning rate; repeats", 1 },
    { "--precision", "float|double", "arithmetic; default float", 0 },
    { "--json", "FILE", "where the answer goes; default -, standard output", 0 },
    { 0 },
};

const command command_inspect = {
    .name = "inspect",
    .synopsis = "",
    .summary = "every probe once, on given weights and samples, as JSON",
    .details = "example\n  pitot inspect --model m.json --weights m.safetensors --data mnist:data --batch 128 --precision double | "
               "jq .probes.loss\n",
    .flags = flags,
    .run = run,
};
