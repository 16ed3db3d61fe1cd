/* Memory that runs out: the k-th request fails, for every k up to the last, once or for ever after. Training with the built-in loop,
   hooks in loops of one's own, at level 0 and at all of them, a net attached to a run, and reading a log. Nothing may crash, no block
   may be left behind, the loop's weights must not know, and what failed says so or is tried again. PITOT_FUZZ_SCALE < 1: not every k. */

#include "base/alloc.h"
#include "base/file.h"
#include "pitot/hooks.h"
#include "pitot/log.h"
#include "pitot/probe.h"
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

/* ---- hooks at all levels: f = (V0 + V1) x + b, half the squared error, V stacked ---- */

enum { IN = 3, OUT = 2, MOST = 6, V = IN * OUT, ALL = 2 * V + OUT };

typedef struct loop {
    float theta[ALL], grad[ALL], x[MOST][IN], y[MOST][OUT], f[MOST][OUT], g[MOST][OUT], losses[MOST];
    int from, to, samples;
    double loss;
    unsigned char statistics[40];
} loop;

static void outputs_of(loop *l, const float *theta) {
    for (int n = l->from; n < l->to; n++)
        for (int k = 0; k < OUT; k++) {
            l->f[n][k] = theta[2 * V + k];
            for (int i = 0; i < IN; i++) l->f[n][k] += (theta[k * IN + i] + theta[V + k * IN + i]) * l->x[n][i];
        }
}

/* grad = J'u, u: (to-from, OUT) */
static void back(const loop *l, const float *u, float *grad) {
    memset(grad, 0, ALL * sizeof *grad);
    for (int n = l->from; n < l->to; n++, u += OUT)
        for (int k = 0; k < OUT; k++) {
            grad[2 * V + k] += u[k];
            for (int i = 0; i < IN; i++) grad[k * IN + i] += u[k] * l->x[n][i], grad[V + k * IN + i] += u[k] * l->x[n][i];
        }
}

/* Of this micro-batch, as its part of the step's mean. */
static void gradient_of(loop *l, float *grad) {
    outputs_of(l, l->theta);
    l->loss = 0;
    for (int n = l->from; n < l->to; n++) {
        l->losses[n] = 0;
        for (int k = 0; k < OUT; k++) {
            float d = l->f[n][k] - l->y[n][k];
            l->losses[n] += d * d / 2;
            l->g[n][k] = d / (float)l->samples;
        }
        l->loss += (double)l->losses[n] / (l->to - l->from);
    }
    back(l, l->g[l->from], grad);
}

static void on_grad(void *user, pitot_call *call) {
    loop *l = user;
    gradient_of(l, l->grad);
    call->loss = l->loss;
    call->status = PITOT_OK;
}

static void on_forward(void *user, pitot_call *call) {
    loop *l = user;
    outputs_of(l, l->theta);
    call->output = l->f[l->from];
    call->status = PITOT_OK;
}

static void on_jvp(void *user, pitot_call *call) {
    loop *l = user;
    loop along = *l;
    if (call->n != ALL) return;
    outputs_of(&along, call->v);
    memcpy(call->out, along.f[l->from], (size_t)(l->to - l->from) * sizeof l->f[0]);
    call->status = PITOT_OK;
}

static void on_vjp(void *user, pitot_call *call) {
    if (call->n_out != ALL) return; /* a parameter could not be added */
    back(user, call->v, call->out);
    call->in_out = 1;
    call->status = PITOT_OK;
}

static void on_hvp(void *user, pitot_call *call) { /* the loss is quadratic: H v = J'(J v) over the samples */
    loop *l = user;
    loop along = *l;
    if (call->n != ALL) return;
    outputs_of(&along, call->v);
    for (int n = l->from; n < l->to; n++)
        for (int k = 0; k < OUT; k++) along.f[n][k] /= (float)(l->to - l->from);
    back(l, along.f[l->from], call->out);
    call->status = PITOT_OK;
}

static void on_root(void *user, pitot_call *call) {
    const loop *l = user;
    int64_t n = (int64_t)(l->to - l->from) * OUT;
    if (!call->out) call->n_out = OUT * n;
    for (int64_t i = 0; call->out && i < OUT * n; i++) call->out[i] = i / n == i % OUT ? sqrtf(1 / (float)(l->to - l->from)) : 0;
    call->status = PITOT_OK;
}

static int32_t use_ggn(const pitot_frame *f) {
    for (int64_t i = 0; i < f->size; i++) f->work[i] = 1;
    int32_t status = f->ggn->apply(f->ggn->self, f->work, f->work + f->size, 1);
    if (status == PITOT_EHOST) return pitot_undefined(f, "no product"), PITOT_OK;
    if (!status) pitot_emit(f, "", pitot_dot(f->work, f->work + f->size, f->size));
    return status;
}

static int32_t use_factors(const pitot_frame *f) {
    pitot_emit(f, "", (double)f->n_preconditioners);
    return PITOT_OK;
}

static int32_t say_list(const pitot_frame *f) {
    const double list[2] = { (double)f->step, 1 };
    return pitot_emit_list(f, "", list, 2), PITOT_OK;
}

static const pitot_output number[] = { { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "a number", NULL }, { 0 } };

#define MINE(NAME, NEEDS, ...)                                                                                         \
    {                                                                                                                  \
        .struct_size = sizeof(pitot_probe), .abi = PITOT_ABI, .needs = NEEDS, .presets = PITOT_ON_REQUEST, .spans = 1, \
        .name = NAME, .summary = "of the tests", .paper = "", .formula = "", .outputs = number, __VA_ARGS__            \
    }

static const pitot_probe mine[] = { MINE("t_ggn", PITOT_NEED_GGN, .work_vectors = 2, .backward = use_ggn),
                                    MINE("t_factors", PITOT_NEED_PRECONDITIONER, .update = use_factors),
                                    MINE("t_list", 0, .backward = say_list) };

static void loop_start(loop *l) {
    memset(l, 0, sizeof *l);
    for (int i = 0; i < ALL; i++) l->theta[i] = 0.3f * sinf((float)i);
    for (int n = 0; n < MOST; n++) {
        for (int i = 0; i < IN; i++) l->x[n][i] = cosf((float)(2 * n + i));
        for (int k = 0; k < OUT; k++) l->y[n][k] = sinf((float)(n + 3 * k));
    }
}

static void loop_add(loop *l, pitot_run *r, int exact) {
    pitot_param v = { .struct_size = sizeof v, .name = "v", .data = l->theta, .grad = l->grad, .shape = { OUT, IN }, .stack = 2 };
    pitot_param b = { .struct_size = sizeof b, .name = "b", .data = l->theta + 2 * V, .grad = l->grad + 2 * V, .shape = { OUT } };
    pitot_callbacks c = { .struct_size = sizeof c, .user = l, .vjp = on_vjp, .hessian_root = on_root };
    if (exact) c.hvp = on_hvp, c.jvp = on_jvp;
    else c.grad = on_grad, c.forward = on_forward;
    pitot_add_param(r, &v);
    pitot_add_param(r, &b);
    pitot_set_callbacks(r, &c);
    pitot_add_guard(r, "statistics", l->statistics, sizeof l->statistics);
}

static void loop_pass(loop *l, pitot_run *r, int more) {
    float part[ALL];
    gradient_of(l, part);
    pitot_batch b = { .struct_size = sizeof b,
                      .n = l->to - l->from,
                      .loss = l->loss,
                      .losses = l->losses + l->from,
                      .output = l->f[l->from],
                      .target = l->y[l->from],
                      .c = OUT,
                      .loss_kind = l->samples == MOST ? PITOT_LOSS_UNKNOWN : PITOT_HALF_SQUARED_ERROR,
                      .more = more };
    pitot_after_forward(r, &b);
    for (int32_t id = 1; id <= 2; id++)
        pitot_add_capture(r, &(pitot_capture){ .struct_size = sizeof(pitot_capture),
                                               .kind = PITOT_LINEAR,
                                               .flags = id == 1 ? PITOT_COPY : 0,
                                               .weight = id,
                                               .bias = id == 1 ? 3 : 0,
                                               .A = l->x[l->from],
                                               .G = l->g[l->from] });
    for (int i = 0; i < ALL; i++) l->grad[i] += part[i];
    pitot_after_backward(r);
}

static void loop_step(loop *l, pitot_run *r, int64_t step) {
    static const float factor[IN * IN] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 };
    int parts = step % 3 == 2 ? 2 : 1;
    pitot_begin(r, step);
    pitot_hyper(r, (int32_t)step % 4 - 1, "lr", 0.1);
    memset(l->grad, 0, sizeof l->grad);
    l->samples = step < 4 ? 4 : MOST;
    for (int k = 0; k < parts; k++) {
        l->from = l->samples * k / parts, l->to = l->samples * (k + 1) / parts;
        loop_pass(l, r, k < parts - 1);
    }
    pitot_preconditioner f = { .struct_size = sizeof f, .param = 2, .axis = 1, .n = IN, .factor = factor };
    pitot_add_preconditioner(r, &f);
    for (int i = 0; i < ALL; i++) l->theta[i] -= 0.1f * l->grad[i];
    for (size_t i = 0; i < sizeof l->statistics; i++) l->statistics[i]++;
    pitot_after_update(r, 0.1);
}

/* What is off says why; and when there is memory again, what needs none goes on. Returns how many steps were made: one, or none. */
static int check_after(pitot_run *r, loop *l, int64_t step) {
    const char *why;
    int32_t state;
    int64_t at = -1;
    for (const pitot_probe *const *p = pitot_probes(); *p; p++)
        if (pitot_probe_state(r, (*p)->name, &state, &why) == PITOT_OK && state >= PITOT_STATE_UNDEFINED && !why[0])
            failed((*p)->name, "is off and does not say why");
    if (pitot_begin(r, step) == 0) {
        if (r && !pitot_last_error(r)[0]) failed("levels", "a run is off and does not say why");
        return 0;
    }
    loop_step(l, r, step);
    if (pitot_value(r, "loss", NULL, &at) || at != step) failed("levels", "the loss does not go on when there is memory again");
    return 1;
}

static void must_have_worked(const pitot_run *r) {
    static const char *const names[] = { "t_ggn", "t_factors", "hess_max_ev", "mean_gsnr", "noise_scale" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *why = "is not there";
        int32_t state = PITOT_STATE_ERROR;
        pitot_probe_state(r, names[i], &state, &why);
        if (state != PITOT_STATE_OK) failed(names[i], why);
    }
}

static int work_levels(int exact) {
    enum { STEPS = 6 };
    static loop l, alone;
    pitot_config c = { .struct_size = sizeof c, .probes = "all, grad, individual_losses, t_ggn, t_factors", .threads = 1 };
    pitot_run *r = pitot_open(run, &c);
    loop_start(&l), loop_start(&alone);
    loop_add(&l, r, exact);
    for (int64_t step = 0; step < STEPS; step++) loop_step(&l, r, step);
    pitot_readings(r, count_reading, NULL);
    int clean = r && !pitot_last_error(r)[0];
    mem_fail_at(0, 0);
    if (failing == 0) must_have_worked(r);
    for (int64_t step = 0, steps = STEPS + check_after(r, &l, STEPS); step < steps; step++) loop_step(&alone, NULL, step);
    if (memcmp(l.theta, alone.theta, sizeof l.theta) || memcmp(l.statistics, alone.statistics, sizeof l.statistics))
        failed("levels", "the loop's weights are others");
    pitot_close(r, PITOT_DONE);
    remove_tree(run);
    return clean;
}

static int work_exact(void) {
    return work_levels(1);
}

static int work_differences(void) {
    return work_levels(0);
}

/* ---- a net on a run ---- */

static pitot_net *make_net(pitot_error *error) {
    pitot_net *net = pitot_net_new("small", (const int64_t[]){ 4, 0 }, "cross_entropy", error);
    if (!net) return NULL;
    if (!pitot_net_add(net, "linear", NULL, NULL, "out_features=5", error) &&
        !pitot_net_add(net, "tanh", NULL, NULL, NULL, error) &&
        !pitot_net_add(net, "linear", NULL, NULL, "out_features=3", error) && !pitot_net_prepare(net, 6, 1, error) &&
        !pitot_net_init(net, 5))
        return net;
    if (!error->status) failed("net", "no message");
    pitot_net_free(net);
    return NULL;
}

static void net_steps(pitot_net *net, const pitot_attached *a) {
    static float x[6][4];
    static const int32_t classes[6] = { 0, 1, 2, 2, 1, 0 };
    pitot_run *r = a ? a->run : NULL;
    for (int n = 0; n < 6; n++)
        for (int i = 0; i < 4; i++) x[n][i] = sinf((float)(5 * n + i));
    for (int64_t step = 0; step < 4; step++) {
        pitot_net_batch b = { .struct_size = sizeof b, .n = 6, .x = x[0], .classes = classes, .training = 1 };
        double loss;
        pitot_begin(r, step);
        pitot_net_forward(net, &b, &loss);
        if (a) pitot_attached_forward(a, &b, loss);
        pitot_net_backward(net);
        if (a) pitot_attached_backward(a);
        for (int64_t i = 0; i < pitot_net_param_count(net); i++) {
            const pitot_net_param *p = &pitot_net_params(net)[i];
            for (int64_t k = 0; k < p->size; k++) p->data[k] -= 0.1f * p->grad[k];
        }
        pitot_after_update(r, 0.1);
    }
}

static pitot_net *reference_net;

static int work_attach(void) {
    pitot_error error = { 0 };
    pitot_attached a;
    pitot_config c = { .struct_size = sizeof c, .probes = "all, t_ggn" };
    pitot_run *r = pitot_open(run, &c);
    pitot_net *net = make_net(&error);
    int clean = net && r;
    if (net) {
        if (pitot_attach(&a, net, r)) clean = 0;
        if (pitot_net_prepare_products(net, &error)) clean = 0;
        if (error.status && !error.text[0]) failed("products", "no message");
        net_steps(net, &a);
        if (r && pitot_last_error(r)[0]) clean = 0;
    }
    mem_fail_at(0, 0);
    pitot_close(r, PITOT_DONE);
    for (int64_t i = 0; net && i < pitot_net_param_count(net); i++) {
        const pitot_net_param *p = &pitot_net_params(net)[i], *q = &pitot_net_params(reference_net)[i];
        if (memcmp(p->data, q->data, (size_t)p->size * sizeof *p->data)) failed("attach", "the net's weights are others");
    }
    pitot_net_free(net);
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

/* The newest list is there, or memory is said to be missing. */
static int list_is_read(const pitot_log *log) {
    double v[3] = { 0 };
    int64_t at = -1, n = pitot_log_read_list(log, pitot_log_find_list(log, "t_list"), INT64_MAX, v, 3, &at);
    if (n == PITOT_ENOMEM) return 0;
    if (n != 2 || at != 199 || v[0] != 199 || v[1] != 1) failed("reading", "a list is missing or wrong");
    return 1;
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
        if (tries == 2 && failing && !for_ever) mem_fail_at(1 + failing % 3, 0);
    }
    if (log && !list_is_read(log)) clean = 0;
    mem_fail_at(0, 0);
    if (log && expected != 0 && sum_of_log(log) != expected) failed("reading", "values are missing or wrong");
    if (log && expected == 0) expected = sum_of_log(log);
    pitot_log_close(log);
    return log && clean;
}

static void write_log(void) {
    pitot_config c = { .struct_size = sizeof c, .probes = "loss,t_list" };
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
    for (int i = 0; i < 3; i++)
        if (pitot_probe_register(&mine[i])) failed("registering", mine[i].name);
    sweep("exact products", work_exact, scale);
    sweep("differences", work_differences, scale);
    pitot_error error = { 0 };
    reference_net = make_net(&error);
    net_steps(reference_net, NULL);
    sweep("attach", work_attach, scale);
    write_log();
    sweep("reading", work_read, scale);
    printf("0 crashes, 0 blocks lost\n");
    mem_free(reference);
    pitot_net_free(reference_net);
    remove_tree(folder);
    return values_seen > 0 ? 0 : 1;
}
