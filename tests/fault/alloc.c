/* Memory that runs out: the k-th request fails, for every k up to the last, once or for ever after. Training with the built-in loop,
   hooks in a loop of one's own, and reading a log. Nothing may crash, no block may be left behind, the loop's weights must not know, and
   what failed says so or is tried again. PITOT_FUZZ_SCALE < 1: not every k. */

#include "base/alloc.h"
#include "base/file.h"
#include "pitot/hooks.h"
#include "pitot/log.h"
#include "pitot/train.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], model[128], run[128], save[128];
static int64_t failing; /* the request that fails now, for messages */
static int for_ever;

static _Noreturn void failed(const char *what, const char *detail) {
    printf("alloc: FAILED with request %lld failing %s: %s: %s\n", (long long)failing, for_ever ? "and all later ones" : "once",
           what, detail);
    exit(1);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the built-in loop ---- */

static unsigned char *reference;
static int64_t reference_size;

static void check_weights(void) {
    int64_t size = 0;
    unsigned char *bytes = file_read(save, 0, &size, NULL);
    if (!bytes || size != reference_size || memcmp(bytes, reference, (size_t)size)) failed("training", "the weights are others");
    mem_free(bytes);
}

static int work_train(void) {
    static const char *const set[] = { "lr=0.01" };
    pitot_error error = { 0 };
    pitot_train_config c = { .struct_size = sizeof c,
                             .model = model,
                             .data = "glyphs:20",
                             .optimizer = "adam",
                             .set = set,
                             .n_set = 1,
                             .probes = "all",
                             .steps = 3,
                             .batch = 8,
                             .threads = 1,
                             .save = save,
                             .out = run };
    unlink(save);
    int32_t status = pitot_train(&c, &error);
    mem_fail_at(0, 0);
    if (status != error.status || (status && !error.text[0])) failed("training", "no message");
    if (!status && reference) check_weights();
    remove_tree(run);
    return status == PITOT_OK;
}

/* ---- hooks ---- */

static int64_t values_seen;

static void count_reading(void *user, const pitot_reading *r) {
    (void)user;
    values_seen += r->field[0] != '?';
}

static int work_hooks(void) {
    pitot_real x[3] = { 1, 2, 3 }, g[3], y[3] = { 1, 2, 3 };
    char state[160], text[64];
    double value;
    pitot_config c = {
        .struct_size = sizeof c, .probes = "all, grad, individual_losses", .facts = "{\"model\": \"x\"}", .grad_scale = 0.5
    };
    snprintf(state, sizeof state, "%s/state", folder);
    pitot_run *r = pitot_open(run, &c);
    for (int64_t step = 0; step < 4; step++) {
        if (step < 3) {
            char name[2] = { (char)('a' + step), 0 };
            pitot_param p = { .struct_size = sizeof p, .name = name, .data = &x[step], .grad = &g[step], .shape = { 1 } };
            pitot_add_param(r, &p);
        }
        pitot_begin(r, step);
        pitot_after_forward(r, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 3, .loss = 0.5, .losses = x });
        for (int i = 0; i < 3; i++) g[i] = (pitot_real)0.1 * x[i];
        pitot_after_backward(r);
        for (int i = 0; i < 3; i++) x[i] -= g[i], y[i] -= (pitot_real)0.1 * y[i];
        pitot_after_update(r, 1);
        pitot_scalar(r, "mine", 1);
        pitot_readings(r, count_reading, NULL);
        pitot_value(r, "loss", &value, NULL);
        if (step == 1) pitot_checkpoint(r, state);
        if (step == 2) pitot_restore(r, state);
    }
    pitot_report(r, text, sizeof text);
    int clean = r && !pitot_last_error(r)[0];
    pitot_close(r, PITOT_DONE);
    mem_fail_at(0, 0);
    if (memcmp(x, y, sizeof x)) failed("hooks", "the loop's weights are others");
    remove_tree(run);
    unlink(state);
    return clean;
}

/* ---- hooks of all levels: micro-batches, captures (some copied), a gradient callback, guards, a stack, factors, settings ---- */

enum { N = 4, DIN = 3, DOUT = 2, WEIGHTS = DOUT * DIN, SIZE = WEIGHTS + DOUT };

typedef struct layer { /* z = W x + b, loss |z|^2 / 2N; theta: W, then b as a stack of two */
    pitot_real theta[SIZE], grad[SIZE], x[N * DIN], g[N * DOUT];
    double loss;
} layer;

static void pass(layer *l, int add) {
    if (!add) memset(l->grad, 0, sizeof l->grad);
    l->loss = 0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < DOUT; i++) {
            pitot_real z = l->theta[WEIGHTS + i];
            for (int j = 0; j < DIN; j++) z += l->theta[i * DIN + j] * l->x[n * DIN + j];
            l->loss += (double)z * (double)z / (2 * N);
            l->g[n * DOUT + i] = z / (2 * N); /* half of the mean: two micro-batches are added */
            for (int j = 0; j < DIN; j++) l->grad[i * DIN + j] += l->g[n * DOUT + i] * l->x[n * DIN + j];
            l->grad[WEIGHTS + i] += l->g[n * DOUT + i];
        }
}

static void draw_batch(layer *l, int64_t k) {
    for (int i = 0; i < N * DIN; i++) l->x[i] = (pitot_real)sin((double)(k * 31 + i));
}

static void give_gradient(void *user, pitot_call *call) {
    layer *l = user;
    pass(l, 0);
    call->loss = l->loss;
    call->status = PITOT_OK;
}

static void add_layer(pitot_run *r, layer *l, int32_t id[2]) {
    pitot_param w = { .struct_size = sizeof w, .name = "w", .data = l->theta, .grad = l->grad, .shape = { DOUT, DIN } };
    pitot_param b = {
        .struct_size = sizeof b, .name = "b", .data = l->theta + WEIGHTS, .grad = l->grad + WEIGHTS, .shape = { 1 }, .stack = DOUT
    };
    id[0] = pitot_add_param(r, &w);
    id[1] = pitot_add_param(r, &b);
    pitot_set_callbacks(r, &(pitot_callbacks){ .struct_size = sizeof(pitot_callbacks), .user = l, .grad = give_gradient });
    pitot_add_guard(r, "x", l->x, sizeof l->x);
    pitot_hyper(r, 0, "lr", 0.1);
}

static void step_of(layer *l, pitot_run *r, const int32_t id[2], int64_t step) {
    pitot_begin(r, step);
    for (int64_t k = 0; k < 2; k++) {
        draw_batch(l, 2 * step + k);
        pass(l, k > 0);
        pitot_after_forward(r, &(pitot_batch){
                                   .struct_size = sizeof(pitot_batch), .n = N, .loss = l->loss, .losses = l->g, .more = k == 0 });
        pitot_add_capture(r, &(pitot_capture){ .struct_size = sizeof(pitot_capture),
                                               .kind = PITOT_LINEAR,
                                               .flags = step % 2 ? PITOT_COPY : 0,
                                               .weight = id[0],
                                               .A = l->x,
                                               .G = l->g });
        pitot_after_backward(r);
    }
    for (int i = 0; i < SIZE; i++) l->theta[i] -= (pitot_real)0.1 * l->grad[i];
    pitot_add_preconditioner(r, &(pitot_preconditioner){
                                    .struct_size = sizeof(pitot_preconditioner), .n = SIZE, .factor = l->theta, .axis = -1 });
    pitot_after_update(r, 0.1);
}

static int work_levels(void) {
    layer with = { .loss = 0 }, without = { .loss = 0 };
    int32_t id[2], none[2] = { 0 };
    double value = NAN;
    pitot_config c = { .struct_size = sizeof c,
                       .probes = "all, sample_grad_l2, sum_grad_squared, grad_variance, individual_losses" };
    for (int i = 0; i < SIZE; i++) with.theta[i] = without.theta[i] = (pitot_real)cos((double)i);
    pitot_run *r = pitot_open(run, &c);
    add_layer(r, &with, id);
    for (int64_t step = 0; step < 3; step++) {
        step_of(&with, r, id, step);
        step_of(&without, NULL, none, step);
    }
    int clean =
        r && !pitot_last_error(r)[0] && !pitot_value(r, "hess_max_ev", &value, NULL) && !pitot_value(r, "noise_scale", NULL, NULL);
    pitot_close(r, PITOT_DONE);
    mem_fail_at(0, 0);
    if (memcmp(&with, &without, sizeof with)) failed("all levels", "weights, gradients or batch are others");
    remove_tree(run);
    return clean;
}

/* ---- reading ---- */

static char log_dir[128];

static double sum_of_log(const pitot_log *log) {
    double sum = 0;
    pitot_series s;
    for (int64_t i = 0; pitot_log_series(log, i, &s) == PITOT_OK; i++)
        for (int64_t k = 0; k < s.n; k++) sum += s.value[k] * (double)(s.step[k] + 1) * (double)strlen(s.name);
    return sum;
}

static double expected;

/* What a poll could not read for want of memory, the next one reads. */
static int work_read(void) {
    pitot_error error = { 0 };
    int clean = 1;
    pitot_log *log = pitot_log_open(log_dir, &error);
    if (!log && !error.status) failed("reading", "no message");
    for (int tries = 0; log && tries < 4; tries++) {
        error.status = 0;
        if (pitot_log_poll(log, 0, &error) < 0) clean = 0;
        if (tries == 1) mem_fail_at(0, 0);
    }
    mem_fail_at(0, 0);
    if (log && expected != 0 && sum_of_log(log) != expected) failed("reading", "values are missing or wrong");
    if (log && expected == 0) expected = sum_of_log(log);
    pitot_log_close(log);
    return log && clean;
}

static void write_log(void) {
    pitot_config c = { .struct_size = sizeof c, .probes = "loss" };
    snprintf(log_dir, sizeof log_dir, "%s/log", folder);
    pitot_run *r = pitot_open(log_dir, &c);
    for (int64_t step = 0; step < 200; step++) {
        char name[32];
        pitot_begin(r, step);
        pitot_after_forward(r, &(pitot_batch){
                                   .struct_size = sizeof(pitot_batch), .n = 1, .loss = sin((double)step), .losses = NULL });
        pitot_after_backward(r);
        snprintf(name, sizeof name, "mine/%d", (int)(step % 40));
        pitot_scalar(r, name, (double)step);
        pitot_after_update(r, 1);
    }
    pitot_close(r, PITOT_DONE);
}

/* ---- the sweep ---- */

static void sweep(const char *name, int (*work)(void), double scale) {
    int64_t blocks = mem_count().blocks, before = mem_count().requests, tried = 0, unharmed = 0;
    failing = 0;
    if (!work()) failed(name, "does not work with all the memory there is");
    int64_t requests = mem_count().requests - before, stride = (int64_t)ceil(1 / scale);
    for (failing = 1; failing <= requests; failing += stride) {
        for (for_ever = 0; for_ever < 2; for_ever++, tried++) {
            mem_fail_at(failing, for_ever);
            unharmed += work();
            if (mem_count().blocks != blocks) failed(name, "memory is left behind");
        }
    }
    if (unharmed == tried) failed(name, "nothing ever failed: the sweep tests nothing");
    failing = 0;
    if (!work() || mem_count().blocks != blocks) failed(name, "does not work afterwards");
    printf("%s %lld requests, %lld failures; ", name, (long long)requests, (long long)tried);
}

int main(void) {
    const char *text = getenv("PITOT_FUZZ_SCALE");
    double scale = text ? fmin(1, atof(text)) : 1;
    strcpy(folder, access("/dev/shm", W_OK) ? "/tmp/pitot-alloc-XXXXXX" : "/dev/shm/pitot-alloc-XXXXXX");
    if (!mkdtemp(folder)) failed("a folder", strerror(errno));
    snprintf(model, sizeof model, "%s/model.json", folder);
    snprintf(run, sizeof run, "%s/run", folder);
    snprintf(save, sizeof save, "%s/w.safetensors", folder);
    FILE *out = fopen(model, "w");
    if (!out) failed("the model", strerror(errno));
    fputs("{\"input\": [1, 16, 16], \"loss\": \"cross_entropy\", \"layers\": ["
          "{\"op\": \"conv2d\", \"out_channels\": 2, \"kernel\": 5, \"stride\": 2}, {\"op\": \"relu\"}, {\"op\": \"dropout\"},"
          "{\"op\": \"flatten\"}, {\"op\": \"linear\", \"out_features\": 10}]}",
          out);
    fclose(out);
    if (!work_train()) failed("training", "does not work with all the memory there is");
    reference = file_read(save, 0, &reference_size, NULL);
    printf("alloc: ");
    sweep("training", work_train, scale);
    sweep("hooks", work_hooks, scale);
    sweep("all levels", work_levels, scale);
    write_log();
    sweep("reading", work_read, scale);
    printf("0 crashes, 0 blocks lost\n");
    mem_free(reference);
    remove_tree(folder);
    return values_seen > 0 ? 0 : 1;
}
