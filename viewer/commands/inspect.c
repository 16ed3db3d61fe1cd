/* inspect.c: `pitot inspect`: every probe once, on given weights and the first samples of a data set, as JSON. */

#include "answer.h"
#include "approximations.h"
#include "command.h"
#include "vector.h"

#include <omp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one step without an update ---- */

typedef struct bench { /* everything that is under inspection */
    pitot_net *net;
    pitot_data *data;
    pitot_run *run;
    pitot_attached attached;
    pitot_real *x, *targets;
    int32_t *classes;
    int64_t n;
    const char *operator, * vector; /* of `product`; vector NULL: it was not asked for */
    pitot_real *product;
    approximations approximations;
} bench;

static void free_bench(bench *b) {
    pitot_close(b->run, PITOT_DONE);
    pitot_net_free(b->net);
    pitot_data_free(b->data);
    free(b->x);
    free(b->targets);
    free(b->classes);
    free(b->product);
    approximations_free(&b->approximations);
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
        if (strncmp(item, "product.", 8) == 0 || strncmp(item, "approximations.", 15) == 0) continue; /* not a probe's */
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

/* `product`: an operator's product with a given vector, in the order of the model's parameters; no probe, but asked for as one. */
static int32_t multiply(bench *b, pitot_error *error) {
    pitot_net_facts f;
    if (!b->vector) return PITOT_OK;
    pitot_net_get_facts(b->net, &f);
    pitot_real *v = vector_read(b->vector, f.parameters, error);
    if (!v) return error->status;
    b->product = calloc((size_t)f.parameters + 1, sizeof *b->product);
    int hessian = strcmp(b->operator, "hessian") == 0;
    int32_t status = !b->product ? PITOT_ENOMEM
                     : hessian   ? pitot_net_hvp(b->net, v, b->product)
                                 : pitot_net_ggnvp(b->net, v, b->product);
    free(v);
    return status ? pitot_fail(error, status, "%s: %s", b->vector, pitot_strerror(status)) : PITOT_OK;
}

static void write_product(writer *w, const bench *b) {
    pitot_net_facts f;
    pitot_net_get_facts(b->net, &f);
    w->odd_used = 0;
    fputs("\"product\": {\"status\": \"ok\", \"operator\": ", w->out);
    write_string(w->out, b->operator);
    fputs(", \"value\": [", w->out);
    for (int64_t i = 0; i < f.parameters; i++) {
        if (i) fputs(", ", w->out);
        write_value(w, "", i, (double)b->product[i]);
    }
    fputc(']', w->out);
    if (w->odd_used) fprintf(w->out, ", \"nonfinite\": [%s]", w->odd);
    fputc('}', w->out);
}

/* Takes `name` out of a list of probes; 1 if it was there. */
static int take(char *list, const char *name) {
    int found = 0;
    char *to = list;
    for (const char *s = list + strspn(list, ", "); *s; s += strspn(s, ", ")) {
        size_t n = strcspn(s, ", ");
        int is_it = n == strlen(name) && strncmp(s, name, n) == 0;
        found |= is_it;
        if (!is_it) {
            memmove(to, s, n);
            to += n;
        }
        s += n;
        if (!is_it) *to++ = ',';
    }
    *to = 0;
    return found;
}

static int in_run(const pitot_run *run, const char *name) {
    int32_t state;
    const char *why;
    return pitot_probe_state(run, name, &state, &why) == PITOT_OK;
}

/* The Hessian's diagonal of a smooth net is paid for in products: said before it is. */
static void announce(const bench *b, const char *options) {
    static const char *const asking[] = { "diag_hessian", "sample_diag_hessian", "hess_trace", "tic_diag", "tic_trace" };
    double cost = pitot_net_diagonal_cost(b->net, PITOT_DIAGONAL_HESSIAN, 1);
    int any = 0;
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++) {
        char other[64];
        snprintf(other, sizeof other, "%s.curvature=", asking[i]);
        const char *set = strstr(options, other);
        const char *kind = set ? set + strlen(other) : "hessian";
        any |= in_run(b->run, asking[i]) && (strncmp(kind, "hessian", 7) == 0 || strncmp(kind, "auto", 4) == 0);
    }
    if (!any || pitot_net_is_piecewise_linear(b->net)) return;
    fprintf(stderr,
            "pitot: the exact diagonal of this net's Hessian costs about %.0f gradients of the batch; "
            "curvature=ggn, ggn_mc or hesscale is cheaper\n",
            cost);
}

static int32_t measure(bench *b, const char *probes, const char *options, double lr, pitot_error *error) {
    pitot_config c = { .struct_size = sizeof c,
                       .probes = probes,
                       .options = options,
                       .threads = omp_get_max_threads(),
                       .memory = INT64_C(1) << 40,
                       .flags = PITOT_EXACT };
    double loss;
    b->run = pitot_open(NULL, &c);
    if (!b->run || pitot_last_error(b->run)[0]) return pitot_fail(error, PITOT_EINVAL, "%s", pitot_last_error(b->run));
    int32_t status = pitot_attach(&b->attached, b->net, b->run);
    if (status) return pitot_fail(error, status, "%s", pitot_last_error(b->run));
    pitot_net_batch batch = {
        .struct_size = sizeof batch, .n = b->n, .x = b->x, .classes = b->data->classes ? b->classes : NULL, .targets = b->targets
    };
    if (isfinite(lr)) pitot_hyper(b->run, -1, "lr", lr);
    announce(b, options);
    pitot_begin(b->run, 0);
    status = pitot_net_forward(b->net, &batch, &loss);
    if (status) return pitot_fail(error, status, "%s: %s; do classes fit the last layer?", b->data->spec, pitot_strerror(status));
    pitot_attached_forward(&b->attached, &batch, loss);
    pitot_net_backward(b->net);
    pitot_attached_backward(&b->attached);
    status = multiply(b, error);
    return status ? status : approximations_measure(&b->approximations, b->net, &batch, error);
}

/* ---- the answer ---- */

static void write_answer(writer *w, const bench *b, const args *a) {
    store s = { 0 };
    int first = 1;
    pitot_readings(b->run, store_reading, &s);
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
    if (b->product) fputs(first ? "" : ", ", w->out), write_product(w, b), first = 0;
    if (b->approximations.asked) fputs(first ? "" : ", ", w->out), approximations_write(w, &b->approximations);
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

enum { LIST_ROOM = 8192 };

/* Values for each sample and each parameter: too many unless asked for. */
static int is_vast(const pitot_probe *p) {
    for (const pitot_output *o = p->outputs; o->label; o++)
        if (o->shape == PITOT_SAMPLE_TENSORS) return 1;
    return 0;
}

/* Which probes; if none are named, all but the vast ones. */
static int read_probes(const args *a, char *list, size_t size) {
    const char *given = args_get(a, "--probes");
    size_t used = 0;
    if (given) used = (size_t)snprintf(list, size, "%s,", given);
    for (const pitot_probe *const *p = pitot_probes(); !given && *p && used < size; p++)
        used += is_vast(*p) ? 0 : (size_t)snprintf(list + used, size - used, "%s,", (*p)->name);
    return used < size ? EXIT_DONE : fail_usage("inspect", "inspect: --probes: the list is too long");
}

static int read_product(const args *a, bench *b) {
    b->operator= "hessian";
    for (int k = 0; args_at(a, "--set", k); k++) {
        const char *item = args_at(a, "--set", k);
        if (strncmp(item, "product.operator=", 17) == 0) b->operator= item + 17;
        else if (strncmp(item, "product.vector=", 15) == 0) b->vector = item + 15;
        else if (strncmp(item, "product.", 8) == 0)
            return fail_usage("inspect", "inspect: --set %s: product has the options operator and vector", item);
    }
    if (strcmp(b->operator, "hessian") && strcmp(b->operator, "ggn"))
        return fail_usage("inspect", "inspect: --set product.operator=%s: hessian or ggn", b->operator);
    return b->vector ? EXIT_DONE : fail_usage("inspect", "inspect: product needs --set product.vector=FILE.npy");
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
    char list[LIST_ROOM];
    int code = read_probes(a, list, sizeof list);
    if (code) return code;
    bench b = { .n = args_int(a, "--batch", 64, 1, INT32_MAX, &bad) };
    if (bad || read_set(a, options, sizeof options, &lr)) return EXIT_USAGE;
    pitot_error error = { 0 };
    if (take(list, "product") && (code = read_product(a, &b)) != EXIT_DONE) return code;
    if (take(list, "approximations") && (code = approximations_read(&b.approximations, a)) != EXIT_DONE) return code;
    int32_t status = open_bench(&b, a, &error);
    if (!status) status = measure(&b, *list ? list : "none", options, lr, &error);
    code = status ? fail_error(&error) : answer(&b, a);
    free_bench(&b);
    return code;
}

static const flag flags[] = {
    { "--model", "FILE", "model file (JSON)", 0 },
    { "--weights", "FILE.safetensors", "parameters, named and shaped as the model's", 0 },
    { "--data", "SPEC", "mnist:DIR, cifar10:DIR, npz:FILE or glyphs[:N]", 0 },
    { "--batch", "N", "the first N samples in file order are the batch; default 64", 0 },
    { "--probes", "LIST",
      "names and configurations; default: all but those of (N,D) values; product: an operator times a vector; "
      "approximations: how far K-FAC and others are from the exact curvature",
      0 },
    { "--set", "KEY=VALUE",
      "PROBE.OPTION=VALUE, lr=VALUE, product.operator=hessian|ggn, product.vector=FILE.npy, "
      "approximations.truth=ggn|hessian, .damping=DELTA, .draws, .dense, .vectors, .iterations, .seed; repeats",
      1 },
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
