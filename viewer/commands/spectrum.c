/* spectrum.c: `pitot spectrum`: eigenvalues and spectral density of a net's curvature, as JSON and as a figure; of several checkpoints, how
   they change. */

#include "command.h"
#include "figure/spectrum.h"
#include "progress.h"
#include "spectrum_measure.h"
#include "spectrum_precond.h"
#include "spectrum_source.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    USUAL_SAMPLES = 1000,
    USUAL_MEMORY = 2048,
    USUAL_TOP = 10,
    USUAL_STEPS = 64,
    USUAL_DRAWS = 8,
    TRACE_STEPS = 4,
    TRACE_DRAWS = 16
};

/* ---- interrupts: what is done is written; another one, a second later, ends the program ---- */

static volatile sig_atomic_t stop;

static void on_signal(int number) {
    static time_t first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (stop && now.tv_sec > first + 1) _exit(128 + number);
    if (!stop) first = now.tv_sec;
    stop = 1;
}

static void catch_signals(void) {
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = on_signal }, before;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN) sigaction(numbers[i], &action, NULL);
}

/* ---- the job ---- */

typedef struct job {
    spectrum_source source;
    spectrum_task task;
    pitot_net *net;
    pitot_data *data;
    const char *kind, *group;
    int preconditioned;
    spectrum_precond precond;
    int64_t samples, memory, draws; /* memory: bytes for what passes keep; draws: labels a sample, of ggn_mc */
    spectrum *done;                 /* (source.n) */
    int n;
    const char *out, *format;
    progress_line line;
    double started;
} job;

static double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int32_t on_progress(void *user, int64_t products, int64_t of) {
    job *j = user;
    char text[96];
    double all = fmax((double)of, (double)products / 0.95) /* an end may take more than was expected */,
           rate = (double)products / fmax(clock_now() - j->started, 1e-9);
    snprintf(text, sizeof text, "%lld products", (long long)products);
    if (j->source.n > 1)
        snprintf(text, sizeof text, "checkpoint %d of %d, %lld products", j->n + 1, j->source.n, (long long)products);
    progress_show(&j->line, text, (double)products, all, rate, (all - (double)products) / rate);
    return stop;
}

/* Samples in a chunk: all, whose passes are then kept from product to product, if that keeps within the byte budget. */
static int64_t chunk_of(const job *j) {
    pitot_net_facts f;
    pitot_net_get_facts(j->net, &f);
    double fit = (double)j->memory / (f.sample_bytes + (double)(f.input + f.output) * (double)pitot_real_size());
    return fit >= (double)j->samples ? j->samples : fit < 1 ? 1 : (int64_t)fit;
}

static int32_t open_job(job *j, pitot_error *error) {
    j->data = pitot_data_open(j->source.data, error);
    if (!j->data) return error->status;
    if (!j->samples) j->samples = j->data->n_train < USUAL_SAMPLES ? j->data->n_train : USUAL_SAMPLES;
    if (j->samples > j->data->n || j->samples < 1)
        return pitot_fail(error, PITOT_EINVAL, "--samples %lld: %s has only %lld samples", (long long)j->samples, j->data->spec,
                          (long long)j->data->n);
    j->net = pitot_net_read(j->source.model, error);
    if (!j->net) return error->status;
    int32_t status = pitot_net_fits(j->net, j->data, j->source.model, error);
    if (!status) status = pitot_net_prepare(j->net, chunk_of(j), 0, error);
    return status || !j->preconditioned ? status : precond_open(&j->precond, j->source.run, j->net, error);
}

static void describe(const job *j, spectrum *s, int k, const pitot_linop *op) {
    snprintf(s->kind, sizeof s->kind, "%s", op->name);
    snprintf(s->model, sizeof s->model, "%.*s", (int)sizeof s->model - 1, j->source.model);
    snprintf(s->weights, sizeof s->weights, "%.*s", (int)sizeof s->weights - 1, j->source.weights[k]);
    snprintf(s->data, sizeof s->data, "%s", j->data->spec);
    snprintf(s->group, sizeof s->group, "%.*s", (int)sizeof s->group - 1, j->group ? j->group : "");
    snprintf(s->precision, sizeof s->precision, "%s", pitot_real_size() == 8 ? "double" : "float");
    s->parameters = op->n, s->samples = j->samples, s->seed = (int64_t)j->task.seed, s->step = j->source.step[k];
    if (j->preconditioned) {
        snprintf(s->preconditioned, sizeof s->preconditioned, "%s", precond_name(&j->precond));
        s->limit = precond_limit(&j->precond, s->limit_name, sizeof s->limit_name);
    } else s->limit = source_limit(&j->source, s->limit_name, sizeof s->limit_name);
}

/* The operator, once it is seen to be one. */
static int32_t check(const job *j, pitot_linop *op, pitot_error *error) {
    pitot_real *work = calloc((size_t)op->n, 4 * sizeof *work);
    if (!work) return pitot_fail(error, PITOT_ENOMEM, "no memory for four vectors of %lld values", (long long)op->n);
    int32_t status = pitot_linop_check(op, work, j->task.seed, NULL, error);
    free(work);
    return status;
}

static int32_t measure_at(job *j, int k, pitot_point *p, pitot_error *error) {
    spectrum *s = &j->done[k];
    pitot_linop inner, op;
    int32_t status = pitot_point_gradient(p, &s->loss, NULL);
    if (!status) status = pitot_point_operator(p, pitot_operator_find(j->kind), &inner);
    if (status) {
        *error = *pitot_point_error(p);
        return status;
    }
    op = inner;
    if (j->preconditioned) status = pitot_precond_operator(j->precond.at, &inner, &op);
    if (status) return pitot_fail(error, status, "no memory for a vector of %lld values", (long long)inner.n);
    describe(j, s, k, &op);
    j->started = clock_now();
    status = check(j, &op, error);
    return status ? status : spectrum_measure(&op, &j->task, s, error);
}

/* What went wrong with a checkpoint, by its name; a group that is not there is the user's. */
static int32_t say(const job *j, int k, const pitot_error *inner, pitot_error *error) {
    if (strncmp(inner->text, "group:", 6) == 0) return pitot_fail(error, PITOT_EINVAL, "--%s", inner->text);
    int32_t status = inner->status == PITOT_EINVAL ? PITOT_EFORMAT : inner->status;
    return pitot_fail(error, status, "%.300s: %s", j->source.weights[k], inner->text);
}

static int32_t measure(job *j, int k, pitot_error *error) {
    pitot_error inner = { 0 };
    const char *weights = j->source.weights[k];
    int32_t status = j->preconditioned ? precond_read(&j->precond, weights, j->net, error) : pitot_net_load(j->net, weights, error);
    if (status) return status;
    pitot_point_config config = { .struct_size = sizeof config,
                                  .net = j->net,
                                  .data = j->data,
                                  .samples = j->samples,
                                  .group = j->group,
                                  .seed = j->task.seed,
                                  .draws = j->draws };
    pitot_point *p = pitot_point_new(&config, &inner);
    status = p ? measure_at(j, k, p, &inner) : inner.status;
    pitot_point_free(p);
    return status ? say(j, k, &inner, error) : PITOT_OK;
}

/* ---- files ---- */

/* "runs/a/step-12.safetensors": "step-12" */
static void base_of(const char *path, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    if (dot && dot != out) *dot = 0;
}

/* The name of a checkpoint's files: DIR/spectrum, of several DIR/spectrum-WEIGHTS, with a number where two have the same name. */
static int stem_of(const job *j, int k, char *out, size_t size) {
    char name[256], other[256];
    int same = 0, n;
    base_of(j->source.weights[k], name, sizeof name);
    for (int i = 0; i < j->source.n; i++) {
        base_of(j->source.weights[i], other, sizeof other);
        same += strcmp(name, other) == 0;
    }
    if (j->source.n == 1) n = snprintf(out, size, "%s/spectrum", j->out);
    else if (same == 1) n = snprintf(out, size, "%s/spectrum-%s", j->out, name);
    else n = snprintf(out, size, "%s/spectrum-%s-%03d", j->out, name, k);
    return n > 0 && (size_t)n < size;
}

static int32_t write_figure(const char *stem, const char *format, const spectrum *s, int n, pitot_error *error) {
    char path[SOURCE_PATH];
    int32_t status = PITOT_OK;
    for (const char *f = format; *f && !status; f += strspn(f, ",")) {
        size_t length = strcspn(f, ",");
        snprintf(path, sizeof path, "%s.%.*s", stem, (int)length, f);
        status = n == 1 ? spectrum_figure(path, s, NULL, error) : spectrum_evolution_figure(path, s, n, NULL, error);
        if (!status) puts(path);
        f += length;
    }
    return status;
}

static int32_t write_one(job *j, int k, pitot_error *error) {
    char stem[SOURCE_PATH - 16], path[SOURCE_PATH];
    if (!stem_of(j, k, stem, sizeof stem)) return pitot_fail(error, PITOT_EINVAL, "--out %.200s: the name is too long", j->out);
    snprintf(path, sizeof path, "%s.json", stem);
    int32_t status = spectrum_write(&j->done[k], path, error);
    if (status) return status;
    puts(path);
    return write_figure(stem, j->format, &j->done[k], 1, error);
}

static int32_t work(job *j, pitot_error *error) {
    int32_t status = PITOT_OK;
    while (j->n < j->source.n && !status && !stop) {
        status = measure(j, j->n, error);
        if (!status) status = write_one(j, j->n, error);
        if (!status) j->n++;
    }
    if (j->n > 1 && j->source.n > 1) {
        char stem[SOURCE_PATH - 16];
        int n = snprintf(stem, sizeof stem, "%s/evolution", j->out);
        if (n > 0 && n < (int)sizeof stem && !status) status = write_figure(stem, j->format, j->done, j->n, error);
    }
    return status;
}

/* The folder, and those above it. */
static int make_folder(const char *path) {
    char part[SOURCE_PATH];
    struct stat st;
    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part) return fail("--out %.200s: the name is too long", path);
    for (char *c = part + 1; *part && *c; c++)
        if (*c == '/') *c = 0, mkdir(part, 0777), *c = '/';
    if (mkdir(part, 0777) != 0 && errno != EEXIST) return fail("%s: the folder cannot be made: %s", path, strerror(errno));
    if (stat(part, &st) != 0 || !S_ISDIR(st.st_mode)) return fail("%s: is no folder; --out names one", path);
    return EXIT_DONE;
}

/* ---- the command ---- */

static int read_format(const char *text) {
    for (const char *f = text; *f; f += strspn(f, ",")) {
        size_t n = strcspn(f, ",");
        if (n != 3 || (strncmp(f, "png", 3) && strncmp(f, "svg", 3) && strncmp(f, "pdf", 3)))
            return fail_usage("spectrum", "spectrum: --format %s: png, svg or pdf, or several with commas", text);
        f += n;
    }
    return *text ? EXIT_DONE : fail_usage("spectrum", "spectrum: --format: is empty");
}

static int is_file(const char *path) {
    size_t n = path ? strlen(path) : 0;
    return n > 5 && strcmp(path + n - 5, ".json") == 0;
}

/* The optimizer and its state are a run's, and of all parameters. */
static int check_preconditioned(const args *a) {
    static const char *const others[] = { "--group", "--optimizer", "--set" };
    if (!args_get(a, "--preconditioned")) return EXIT_DONE;
    if (!args_rest(a) || is_file(args_rest_at(a, 0)))
        return fail_usage("spectrum",
                          "spectrum: --preconditioned needs a run directory, whose checkpoints have the optimizer's state");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (args_get(a, others[i]))
            return fail_usage("spectrum",
                              "spectrum: --preconditioned goes without %s: it is of all parameters, with the run's optimizer",
                              others[i]);
    return EXIT_DONE;
}

static int read_flags(job *j, const args *a) {
    int bad = 0, both = !args_get(a, "--top") && !args_get(a, "--density");
    const char *precision = args_get(a, "--precision");
    spectrum_task *t = &j->task;
    int density = both || args_get(a, "--density") || args_get(a, "--steps") || args_get(a, "--draws");
    t->pairs = (int32_t)args_int(a, "--top", both ? USUAL_TOP : 0, 0, SPECTRUM_PAIRS, &bad);
    t->steps = (int32_t)args_int(a, "--steps", density ? USUAL_STEPS : TRACE_STEPS, 2, PITOT_QUADRATURE_STEPS, &bad);
    t->draws = (int32_t)args_int(a, "--draws", density ? USUAL_DRAWS : TRACE_DRAWS, 1, 1000, &bad);
    t->seed = (uint64_t)args_int(a, "--seed", 0, 0, INT64_C(1) << 53, &bad);
    j->samples = args_int(a, "--samples", 0, 1, INT32_MAX, &bad);
    j->memory = args_int(a, "--memory", USUAL_MEMORY, 1, 1 << 24, &bad) << 20;
    j->draws = args_int(a, "--labels", 1, 1, 1 << 20, &bad);
    j->group = args_get(a, "--group");
    t->tolerance = 1e-3;
    t->progress = on_progress;
    t->user = j;
    j->out = args_get(a, "--out") ? args_get(a, "--out") : ".";
    j->format = args_get(a, "--format") ? args_get(a, "--format") : "png";
    j->kind = args_get(a, "--operator") ? args_get(a, "--operator") : "hessian";
    j->preconditioned = args_get(a, "--preconditioned") != NULL;
    if (bad || read_format(j->format) || check_preconditioned(a)) return EXIT_USAGE;
    if (precision && strcmp(precision, "float") && strcmp(precision, "double"))
        return fail_usage("spectrum", "spectrum: --precision %s: float or double", precision);
    if (!pitot_operator_find(j->kind))
        return fail_usage("spectrum", "spectrum: --operator %s: there is none; `pitot list operators` shows them", j->kind);
    return EXIT_DONE;
}

/* ---- spectra that are there already ---- */

static int draw_files(job *j, const args *a) {
    pitot_error error = { 0 };
    char stem[SOURCE_PATH - 16];
    int n = args_rest(a), used = snprintf(stem, sizeof stem, "%s/%s", j->out, n > 1 ? "evolution" : "spectrum");
    int32_t status = PITOT_OK;
    if (used < 0 || used >= (int)sizeof stem) return fail("--out %.200s: the name is too long", j->out);
    j->done = calloc((size_t)n, sizeof *j->done);
    if (!j->done) return fail("out of memory");
    for (; j->n < n && !status; j->n += !status) status = spectrum_read(&j->done[j->n], args_rest_at(a, j->n), &error);
    if (!status && make_folder(j->out) != EXIT_DONE) status = PITOT_EIO, error.status = PITOT_OK;
    else if (!status) status = write_figure(stem, j->format, j->done, n, &error);
    for (int i = 0; i < j->n; i++) spectrum_free(&j->done[i]);
    free(j->done);
    j->done = NULL;
    return !status ? EXIT_DONE : error.status ? fail_error(&error) : EXIT_FAILED;
}

static int run_job(job *j) {
    pitot_error error = { 0 };
    catch_signals();
    progress_start(&j->line);
    int32_t status = open_job(j, &error);
    if (!status && make_folder(j->out) != EXIT_DONE) return EXIT_FAILED;
    if (!status) status = work(j, &error);
    progress_end(&j->line);
    if (status) return fail_error(&error);
    if (!stop) return EXIT_DONE;
    return fail("interrupted: what was measured until then is in %s, with \"complete\": false where it is partial", j->out);
}

static int run(const args *a) {
    job *j = calloc(1, sizeof *j);
    if (!j) return fail("out of memory");
    int code = read_flags(j, a);
    if (code == EXIT_DONE && is_file(args_rest_at(a, 0))) {
        code = draw_files(j, a);
        free(j);
        return code;
    }
    if (code == EXIT_DONE) code = source_read(&j->source, a);
    if (code == EXIT_DONE) j->done = calloc((size_t)j->source.n, sizeof *j->done);
    if (code == EXIT_DONE) code = j->done ? run_job(j) : fail("out of memory");
    for (int i = 0; j->done && i < j->source.n; i++) spectrum_free(&j->done[i]);
    free(j->done);
    precond_close(&j->precond);
    pitot_net_free(j->net);
    pitot_data_free(j->data);
    source_free(&j->source);
    free(j);
    return code;
}

static const flag flags[] = {
    { "--model", "FILE", "model file (JSON)", 0 },
    { "--weights", "FILE.safetensors", "parameters, or a checkpoint; repeats: how the spectrum changes", 1 },
    { "--data", "SPEC", "mnist:DIR, cifar10:DIR, npz:FILE or glyphs[:N]", 0 },
    { "--operator", "NAME", "hessian (default), ggn, ggn_mc or empirical_fisher, of the mean loss over the samples", 0 },
    { "--labels", "N", "drawn for each sample, of ggn_mc; default 1", 0 },
    { "--group", "LAYER", "its block for these layers or parameters alone, separated by commas", 0 },
    { "--preconditioned", NULL, "P^(1/2) of it P^(1/2), P the preconditioner of RUNDIR's optimizer at each checkpoint", 0 },
    { "--samples", "N", "the first N in file order; default 1000, or all training samples if there are fewer", 0 },
    { "--memory", "MB", "for what passes keep of samples; more samples go in chunks; default 2048", 0 },
    { "--top", "K", "that many eigenvalues at each end; default 10", 0 },
    { "--density", NULL, "the spectral density; with neither --top nor --density, both", 0 },
    { "--steps", "N", "Lanczos steps of each draw of the density; default 64", 0 },
    { "--draws", "N", "random vectors of the density; default 8", 0 },
    { "--seed", "N", "of those vectors; default 0", 0 },
    { "--set", "KEY=VALUE", "lr, momentum, dampening, nesterov, weight_decay: for the stability limit; repeats", 1 },
    { "--optimizer", "NAME", "that lr and the others are of; the limit is drawn for sgd (default)", 0 },
    { "--precision", "float|double", "arithmetic; default float", 0 },
    { "--format", "png|svg|pdf", "of the figure, or several with commas; default png", 0 },
    { "--out", "DIR", "where spectrum.json and the figure go; default: here", 0 },
    { 0 },
};

const command command_spectrum = {
    .name = "spectrum",
    .synopsis = "[RUNDIR | SPECTRUM.json...]",
    .summary = "eigenvalues and spectral density of the curvature at given weights",
    .details =
        "RUNDIR is a run directory: model, data, optimizer and checkpoints are its own; flags win. Of one checkpoint it writes\n"
        "spectrum.json and spectrum.png; of several one of each, spectrum-NAME, and evolution.png. Prints the names. Files that "
        "it\n"
        "wrote are drawn again, several of them as an evolution.\n\n"
        "Eigenvalues come with the length of their residual: an eigenvalue lies within it. The trace and the shares have\n"
        "standard errors over the draws. Interrupted, it writes what it has, with \"complete\": false.\n\n"
        "examples\n"
        "  pitot spectrum --model m.json --weights m.safetensors --data mnist:data --top 20 --density --out spectrum\n"
        "  pitot spectrum --model m.json --weights m.safetensors --data glyphs --operator ggn --group fc2 --set lr=0.1\n"
        "  pitot spectrum runs/first --samples 500 --out runs/first/figures\n"
        "  pitot spectrum runs/adam --preconditioned --out runs/adam/preconditioned\n"
        "  pitot spectrum runs/first/figures/spectrum-*.json --format pdf --out runs/first/figures\n",
    .flags = flags,
    .run = run,
};
