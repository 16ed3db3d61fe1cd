/* Hosts that break every custom: compiled with -Ofast (tests/hostile/host.c; linking so turns on flush-to-zero in the whole process), with a
   decimal comma, tensors at odd addresses that move every step, gradients that are no numbers, callbacks that fail; runs side by side, in
   threads, in forked children; structs of other sizes; folders that cannot be written; and every hook in every order with any argument.
   The training must not know, logs must be readable, and nothing may crash. PITOT_FUZZ_SCALE: so many times the random calls. */

#include "../hostile/host.h"

#include "base/alloc.h"
#include "pitot/log.h"
#include "pitot/probe.h"

#include <errno.h>
#include <fenv.h>
#include <ftw.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

#define DEMAND(GOOD) ((GOOD) ? (void)0 : (printf("hostile: FAILED, line %d: %s\n", __LINE__, #GOOD), fflush(stdout), _exit(1)))

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static const char *path_of(const char *name) {
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static char *read_text(const char *path) {
    char *text = calloc(1, 1 << 20);
    FILE *in = fopen(path, "rb");
    DEMAND(text && in);
    DEMAND(fread(text, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    return text;
}

/* A locale with a decimal comma: one that is installed, or made in the tests' folder; NULL: there is none. */
static const char *find_comma(void) {
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE" };
    char line[300];
    const char *found = NULL;
    for (int again = 0; again < 2 && !found; again++) {
        for (int i = 0; i < 3 && !found; i++)
            if (setlocale(LC_ALL, names[i]) && localeconv()->decimal_point[0] == ',') found = names[i];
        snprintf(line, sizeof line, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
        if (!found && !again && (system(line) || setenv("LOCPATH", folder, 1))) break;
    }
    setlocale(LC_ALL, "C");
    return found;
}

static pitot_run *open_run(const char *dir, const char *probes, int64_t memory) {
    pitot_config c = { .struct_size = sizeof c, .probes = probes, .memory = memory };
    pitot_run *run = pitot_open(dir, &c);
    DEMAND(run && !pitot_last_error(run)[0]);
    return run;
}

static pitot_series series_of(const pitot_log *log, const char *name) {
    pitot_series s = { 0 };
    DEMAND(pitot_log_series(log, pitot_log_find(log, name), &s) == PITOT_OK);
    return s;
}

static pitot_log *read_log(const char *dir) {
    pitot_log_state s = { .struct_size = sizeof s };
    pitot_log *log = pitot_log_open(dir, NULL);
    DEMAND(log);
    while (pitot_log_poll(log, 0, NULL) > 0) {}
    pitot_log_get_state(log, &s);
    DEMAND(s.damaged == 0 && s.tail == 0);
    return log;
}

/* ---- -Ofast, a decimal comma, no numbers, failures ---- */

enum { STEPS = 30, NAN_STEP = 6, INFINITE_STEP = 9, FAIL_STEP = 20 };

static int how_at(int64_t step) {
    if (step == NAN_STEP) return HOST_NAN;
    if (step == INFINITE_STEP) return HOST_INFINITE | HOST_ROUNDS;
    if (step == FAIL_STEP) return HOST_FAILS;
    return step % 3 == 1 ? HOST_COMMA : step % 3 == 2 ? HOST_ROUNDS : 0;
}

static unsigned mode_now(void) {
#if defined(__x86_64__)
    return __builtin_ia32_stmxcsr() & ~0x3fu;
#else
    return (unsigned)fegetround();
#endif
}

static void compare(const host *a, const host *b) {
    float w[2][HOST_VALUES], g[2][HOST_VALUES];
    double loss[2];
    host_look(a, w[0], g[0], &loss[0]);
    host_look(b, w[1], g[1], &loss[1]);
    DEMAND(memcmp(w[0], w[1], sizeof w[0]) == 0);
    DEMAND(memcmp(g[0], g[1], sizeof g[0]) == 0); /* subnormal numbers and the NaN's own bits, too */
    DEMAND(memcmp(&loss[0], &loss[1], sizeof loss[0]) == 0);
}

static double length_of(const float *x) {
    double sum = 0;
    for (int i = 0; i < HOST_VALUES; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* The log, read by code that was compiled with care: what the host had, step by step. */
static void check_log(const char *name, const double *loss, const double *length) {
    char file[160];
    pitot_log *log = read_log(path_of(name));
    pitot_series l = series_of(log, "loss"), g = series_of(log, "grad_norm"), top = series_of(log, "hess_max_ev");
    DEMAND(l.n == STEPS && g.n == STEPS);
    for (int i = 0; i < STEPS; i++) {
        DEMAND(l.value[i] == loss[i]);
        if (i == NAN_STEP) DEMAND(isnan(g.value[i]));
        else if (i == INFINITE_STEP) DEMAND(g.value[i] == INFINITY);
        else DEMAND(fabs(g.value[i] - length[i]) <= 1e-12 * length[i]);
    }
    DEMAND(top.n == FAIL_STEP);
    for (int64_t i = 0; i < top.n; i++) DEMAND(top.value[i] > 0.01 && top.value[i] < 2 && top.step[i] < FAIL_STEP);
    pitot_log_close(log);
    snprintf(file, sizeof file, "%s/events.jsonl", path_of(name));
    char *text = read_text(file);
    DEMAND(strstr(text, "\"loss\":1.") || strstr(text, "\"loss\":0."));
    DEMAND(!strstr(text, "\"loss\":1,0") && !strstr(text, "\"loss\":0,"));
    DEMAND(strstr(text, "\"grad_norm\":null,\"grad_norm#nf\":\"nan\""));
    free(text);
}

static void check_hostile(const char *name, int exact, const char *comma) {
    double loss[STEPS], length[STEPS];
    float w[HOST_VALUES], g[HOST_VALUES];
    if (comma) setlocale(LC_ALL, comma);
    pitot_run *run = open_run(path_of(name), "all, grad, individual_losses", 0);
    host *h = host_new(run, exact), *alone = host_new(NULL, exact);
    DEMAND(h && alone);
    for (int64_t step = 0; step < STEPS; step++) {
        unsigned before = mode_now();
        int64_t called = host_called(h);
        DEMAND(host_step(h, step, how_at(step), comma) & PITOT_DUE_LOSS);
        DEMAND(mode_now() == before);
        if ((host_called(h) > called) != (step <= FAIL_STEP))
            printf("exact %d step %d: %s\n", exact, (int)step, pitot_last_error(run));
        DEMAND((host_called(h) > called) == (step <= FAIL_STEP));
        host_step(alone, step, how_at(step), comma);
        compare(h, alone);
        host_look(h, w, g, &loss[step]);
        length[step] = length_of(g);
    }
    int32_t state;
    const char *why;
    DEMAND(pitot_probe_state(run, "hess_max_ev", &state, &why) == PITOT_OK && state == PITOT_STATE_ERROR);
    DEMAND(strstr(why, exact ? "callback `hvp`" : "callback `grad`") && strstr(why, "status"));
    DEMAND(pitot_close(run, PITOT_DONE) == PITOT_OK);
    host_free(h), host_free(alone);
    setlocale(LC_ALL, "C");
    check_log(name, loss, length);
}

/* ---- several runs, threads, children ---- */

static void check_two_runs(void) {
    pitot_run *run[2] = { open_run(path_of("left"), "all", 0), open_run(path_of("right"), "all@2", 0) };
    host *h[2] = { host_new(run[0], 1), host_new(run[1], 0) }, *alone = host_new(NULL, 0);
    for (int64_t step = 0; step < STEPS; step++) {
        for (int i = 0; i < 2; i++) host_step(h[i], step, 0, NULL);
        host_step(alone, step, 0, NULL);
        compare(h[0], alone);
        compare(h[1], alone);
    }
    double top[2], value;
    for (int i = 0; i < 2; i++) DEMAND(pitot_value(run[i], "hess_max_ev", &top[i], NULL) == PITOT_OK);
    DEMAND(pitot_value(run[0], "hess_max_ev.product_error", &value, NULL) != PITOT_OK);
    DEMAND(pitot_value(run[1], "hess_max_ev.product_error", &value, NULL) == PITOT_OK);
    DEMAND(fabs(top[0] - top[1]) <= 0.05 * top[0]); /* two tolerances, and a step apart */
    for (int i = 0; i < 2; i++) DEMAND(pitot_close(run[i], PITOT_DONE) == PITOT_OK), host_free(h[i]);
    host_free(alone);
    pitot_log *left = read_log(path_of("left")), *right = read_log(path_of("right"));
    DEMAND(series_of(left, "loss").n == STEPS && series_of(right, "loss").n == STEPS / 2);
    pitot_log_close(left), pitot_log_close(right);
}

typedef struct errand {
    host *h;
    int64_t from, to;
} errand;

static void *run_errand(void *given) {
    errand *e = given;
    for (int64_t step = e->from; step < e->to; step++) host_step(e->h, step, 0, NULL);
    return NULL;
}

/* Every ten steps in a thread of their own; and two runs at once in two threads. */
static void check_threads(void) {
    pthread_t thread[2];
    pitot_run *run[2] = { open_run(path_of("threads"), "all", 0), open_run(path_of("beside"), "all", 0) };
    errand e[2] = { { host_new(run[0], 1), 0, 10 }, { host_new(run[1], 0), 0, 10 } };
    host *alone = host_new(NULL, 0);
    for (; e[0].from < STEPS; e[0].from = e[1].from += 10, e[0].to = e[1].to += 10) {
        for (int i = 0; i < 2; i++) DEMAND(pthread_create(&thread[i], NULL, run_errand, &e[i]) == 0);
        for (int i = 0; i < 2; i++) DEMAND(pthread_join(thread[i], NULL) == 0);
    }
    for (int64_t step = 0; step < STEPS; step++) host_step(alone, step, 0, NULL);
    for (int i = 0; i < 2; i++) {
        int64_t at = -1;
        compare(e[i].h, alone);
        DEMAND(pitot_value(run[i], "hess_max_ev", NULL, &at) == PITOT_OK && at == STEPS - 1);
        DEMAND(pitot_close(run[i], PITOT_DONE) == PITOT_OK);
        host_free(e[i].h);
    }
    host_free(alone);
    pitot_log_close(read_log(path_of("threads")));
}

static void check_fork(void) {
    pitot_run *run = open_run(path_of("fork"), "all", 0);
    host *h = host_new(run, 0);
    int status;
    for (int64_t step = 0; step < 5; step++) host_step(h, step, 0, NULL);
    int64_t called = host_called(h);
    char *before = read_text(path_of("fork/events.jsonl"));
    pid_t child = fork();
    if (child == 0) {
        for (int64_t step = 5; step < 20; step++) DEMAND(host_step(h, step, 0, NULL) == 0);
        DEMAND(host_called(h) == called);
        DEMAND(pitot_add_guard(run, "x", &status, 4) == PITOT_EOFF && pitot_set_callbacks(run, NULL) == PITOT_EOFF);
        DEMAND(pitot_hyper(run, 0, "lr", 1) == PITOT_EOFF);
        pitot_close(run, PITOT_FAILED);
        free(before);
        _exit(0);
    }
    DEMAND(waitpid(child, &status, 0) == child && status == 0);
    char *after = read_text(path_of("fork/events.jsonl"));
    DEMAND(strcmp(before, after) == 0);
    free(before), free(after);
    for (int64_t step = 5; step < 10; step++) host_step(h, step, 0, NULL);
    pitot_close(run, PITOT_DONE);
    host_free(h);
    pitot_log *log = read_log(path_of("fork"));
    DEMAND(series_of(log, "loss").n == 10 && series_of(log, "hess_max_ev").n == 10);
    pitot_log_close(log);
}

/* ---- structs of other sizes, folders that cannot be ---- */

static void no_callback(void *user, pitot_call *call) {
    (void)user;
    call->status = PITOT_ENOTSUP;
}

/* Each struct as a larger one with rubbish behind, and cut at every byte. */
static void check_sizes(void) {
    static float place[64];
    _Alignas(16) unsigned char room[512];
    pitot_config config = { .probes = "all" };
    pitot_param param = { .name = "w", .data = place, .grad = place, .shape = { 2, 3 } };
    pitot_param other = { .struct_size = sizeof other, .name = "v", .data = place, .shape = { 2 } };
    pitot_batch batch = { .n = 2, .loss = 1 };
    pitot_capture capture = { .kind = PITOT_LINEAR, .weight = 1, .A = place, .G = place };
    pitot_preconditioner factor = { .param = 1, .n = 2, .factor = place };
    pitot_callbacks callbacks = { .grad = no_callback };
    const struct {
        const void *what;
        size_t size;
    } structs[] = { { &config, sizeof config },   { &param, sizeof param },   { &batch, sizeof batch },
                    { &capture, sizeof capture }, { &factor, sizeof factor }, { &callbacks, sizeof callbacks } };
    for (int i = 0; i < 6; i++)
        for (size_t size = 0; size <= structs[i].size + 200; size++) {
            size_t given = size > structs[i].size ? structs[i].size + 64 * (size - structs[i].size) * size : size;
            memset(room, 0xa5, sizeof room);
            memcpy(room, structs[i].what, size < structs[i].size ? size : structs[i].size);
            memcpy(room, &given, sizeof given);
            pitot_run *run = pitot_open(NULL, i == 0 ? (const pitot_config *)(const void *)room : NULL);
            DEMAND(run);
            int32_t id = pitot_add_param(run, i == 1 ? (const pitot_param *)(const void *)room : &other);
            if (i == 1 && size >= structs[i].size) DEMAND(id == 1);
            if (i == 5) DEMAND(pitot_set_callbacks(run, (const pitot_callbacks *)(const void *)room) == PITOT_OK);
            pitot_begin(run, 0);
            batch.struct_size = sizeof batch;
            pitot_after_forward(run, i == 2 ? (const pitot_batch *)(const void *)room : &batch);
            if (i == 3) pitot_add_capture(run, (const pitot_capture *)(const void *)room);
            if (i == 4) pitot_add_preconditioner(run, (const pitot_preconditioner *)(const void *)room);
            pitot_after_backward(run);
            pitot_after_update(run, 1);
            DEMAND(pitot_close(run, PITOT_DONE) == PITOT_OK);
        }
}

static void check_failing_open(void) {
    static const char *const folders[] = { "/proc/nowhere/run", "/dev/null/run", "/dev/full", "" };
    static const char *const options[] = { "nonsense", "loss.x=1", "hess_max_ev.tolerance=0,5", "hess_max_ev.products=-1" };
    for (int i = 0; i < 8; i++) {
        pitot_config c = { .struct_size = sizeof c, .probes = "all", .options = i < 4 ? NULL : options[i - 4] };
        pitot_run *run = pitot_open(i < 4 ? folders[i] : path_of("never"), &c);
        DEMAND(run && pitot_last_error(run)[0]);
        host *h = host_new(run, 1), *alone = host_new(NULL, 1);
        for (int64_t step = 0; step < 5; step++) {
            DEMAND(host_step(h, step, 0, NULL) == 0);
            host_step(alone, step, 0, NULL);
            compare(h, alone);
        }
        DEMAND(host_called(h) == 0);
        pitot_close(run, PITOT_DONE);
        host_free(h), host_free(alone);
    }
    DEMAND(access(path_of("never"), F_OK) != 0);
}

/* ---- every hook in any order ---- */

enum { ARENA = 1 << 19, NAMES = 12, MOST_IDS = 1000 };

static uint64_t seed = 88172645463325252u;
static _Alignas(64) unsigned char arena[ARENA + 4096];
static jmp_buf landing;
static pitot_run *fuzzed;
static char huge[MOST_IDS];
static int64_t outputs_now; /* n t c of the last batch */
static int inside, jumps, called, calls_in_callbacks, products;

static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static int64_t pick(int64_t n) { /* 0 .. n-1 */
    return (int64_t)((next() >> 11) % (uint64_t)n);
}

static int64_t any(void) { /* mostly small; the ends of what there is */
    static const int64_t odd[] = { -1, 0, 1, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, INT64_C(1) << 40, INT64_C(1) << 33, -7 };
    return pick(6) ? pick(9) : odd[pick(10)];
}

static double any_number(void) {
    static const double odd[] = { 0, -1, NAN, INFINITY, -INFINITY, 1e308, 1e-320 };
    return pick(3) ? (double)pick(1000) / 997 : odd[pick(7)];
}

static void *place(void) { /* room for 2^18 bytes behind it, at any address */
    return pick(12) ? arena + 4 * pick(ARENA / 16) + (pick(8) ? 0 : pick(4)) : NULL;
}

static void *aligned_place(void) {
    return pick(6) ? arena + 64 * pick(ARENA / 256) : NULL;
}

static const char *any_name(void) {
    static const char *const names[] = { "w", "b", "x.1", "loss", "hess_max_ev", "a/b", "", NULL, "val/loss", "\"", "t_all", "k" };
    return names[pick(NAMES)];
}

static void random_call(void);

static void any_callback(void *user, pitot_call *call) {
    (void)user;
    called++;
    if (pick(12) == 0) {
        inside++;
        for (int64_t i = pick(5); i >= 0; i--) random_call(), calls_in_callbacks++;
        inside--;
    }
    if (inside == 0 && pick(60) == 0) {
        jumps++;
        longjmp(landing, 1);
    }
    for (int64_t i = 0; call->out && i < call->n_out; i++) call->out[i] = (pitot_real)any_number();
    if (!call->out && pick(9)) call->n_out = pick(9) ? outputs_now * pick(4) : any();
    call->output = pick(5) ? (const pitot_real *)(const void *)arena : NULL;
    call->loss = any_number();
    call->in_out = pick(2) ? 1 : 0;
    if (pick(9)) call->status = PITOT_OK;
    if (pick(40) == 0) call->status = (int32_t)any();
    if (pick(10) == 0) ((float *)(void *)arena)[pick(ARENA / 8)] += 1;
}

static void call_add_param(void) {
    static const char *const names[] = { "v", "w", "b", "k" };
    int absurd = pick(100) == 0, odd = pick(100) == 0; /* one that is refused keeps `grad` and `vjp` from being called */
    pitot_param p = { .struct_size = sizeof p, .name = odd ? any_name() : names[pick(4)], .group = (int32_t)any() };
    for (int64_t i = 0, n = 1 + (p.name ? p.name[0] % 3 : 0); odd || i < n; i++) {
        if (i == PITOT_DIMS) break;
        p.shape[i] = absurd ? any() : odd ? pick(4) : 1 + (p.name ? p.name[0] + i : i) % 4;
    }
    if (pick(5) == 0)
        for (int i = 0; i < 3; i++) p.stride[i] = pick(20);
    p.dtype = p.name && p.name[0] == 'b' ? PITOT_F64 : 0;
    if (odd) p.dtype = (int32_t)any(), p.grad_dtype = (int32_t)any();
    if (pick(9) == 0) p.stack = (int32_t)pick(4), p.stack_stride = pick(100);
    if (!absurd) p.data = place(), p.grad = place();
    int32_t id = pitot_add_param(fuzzed, &p);
    for (int32_t i = id; absurd && id > 0 && i < id + 4 && i < MOST_IDS; i++) huge[i] = 1; /* must not get an address */
}

static void call_bind(void) {
    int32_t id = (int32_t)(pick(5) ? 1 + pick(8) : any());
    if (id < 1 || id >= MOST_IDS || !huge[id]) pitot_bind_param(fuzzed, id, place(), place());
}

static void call_forward(void) {
    static const int64_t odd[] = { -1, INT64_MIN, INT64_MAX, -(INT64_C(1) << 40) };
    pitot_batch b = { .struct_size = pick(9) ? sizeof b : (size_t)pick(sizeof b),
                      .n = 1 + pick(6),
                      .loss = any_number(),
                      .t = pick(4),
                      .loss_scale = pick(3) ? 0 : any_number(),
                      .c = pick(5),
                      .c_stride = pick(3) ? 0 : pick(9),
                      .loss_kind = (int32_t)(pick(5) ? 1 + pick(5) : any()),
                      .more = pick(4) == 0 };
    if (pick(10) == 0) { /* sizes that nobody has, and no arrays with them: those would be a lie */
        b.n = any(), b.c = any();
        if (pick(2)) b.t = odd[pick(4)];
        if (pick(2)) b.c_stride = odd[pick(4)];
    } else b.losses = aligned_place(), b.weight = aligned_place(), b.output = aligned_place(), b.target = arena;
    outputs_now = b.output ? b.n * (b.t ? b.t : 1) * b.c : 0;
    pitot_after_forward(fuzzed, pick(50) ? &b : NULL);
}

static void call_capture(void) {
    pitot_capture c = { .struct_size = sizeof c,
                        .kind = (int32_t)(pick(9) ? 1 + pick(4) : any()),
                        .flags = (int32_t)(pick(2) ? 0 : pick(16)),
                        .weight = (int32_t)(pick(5) ? 1 + pick(6) : any()),
                        .bias = (int32_t)(pick(2) ? 0 : pick(6)),
                        .A = place(),
                        .G = place(),
                        .a_dtype = (int32_t)(pick(4) ? 0 : any()),
                        .g_dtype = (int32_t)(pick(4) ? 0 : any()),
                        .n = pick(2) ? 0 : pick(7),
                        .t = pick(2) ? 0 : pick(4),
                        .h = pick(9),
                        .w = pick(9),
                        .groups = (int32_t)(pick(3) ? 0 : any()),
                        .scale = any_number() };
    for (int i = 0; i < 2 && pick(3) == 0; i++)
        c.stride[i] = (int32_t)any(), c.padding[i] = (int32_t)pick(3), c.dilation[i] = (int32_t)any();
    pitot_add_capture(fuzzed, &c);
}

static void call_callbacks(void) {
    pitot_callbacks c = { .struct_size = sizeof c };
    pitot_fn *all[] = { &c.grad, &c.hvp, &c.forward, &c.jvp, &c.vjp, &c.hessian_root };
    for (int i = 0; i < 6; i++)
        if (pick(2)) *all[i] = any_callback;
    pitot_set_callbacks(fuzzed, pick(9) ? &c : NULL);
}

static void call_preconditioner(void) {
    pitot_preconditioner f = { .struct_size = sizeof f,
                               .param = (int32_t)any(),
                               .axis = (int32_t)any(),
                               .bias_column = (int32_t)pick(2),
                               .n = any(),
                               .factor = aligned_place() };
    pitot_add_preconditioner(fuzzed, &f);
}

static void open_any(void) {
    static const char *const probes[] = { "all, t_all", "all@2, grad, t_all", "economy", "loss, hess_max_ev, t_all",
                                          "full@3, loss, t_all@2" };
    pitot_config c = { .struct_size = sizeof c,
                       .probes = probes[pick(5)],
                       .memory = pick(2) ? 1 << 22 : 1 + pick(100000),
                       .grad_scale = pick(3) ? 0 : any_number(),
                       .flags = (int32_t)(pick(2) ? 0 : pick(16)),
                       .threads = (int32_t)(pick(3) ? 1 : pick(70)),
                       .overhead = pick(9) ? 0 : any_number(),
                       .reduction = (int32_t)(pick(2) ? 0 : pick(4)) };
    memset(huge, 0, sizeof huge);
    fuzzed = pitot_open(NULL, &c);
    DEMAND(fuzzed);
}

static void ignore(void *user, const pitot_reading *r) {
    *(int64_t *)user += r->n;
}

static void call_others(void) {
    char text[300];
    int64_t sum = 0;
    double value;
    switch (pick(9)) {
    case 0: pitot_scalar(fuzzed, any_name(), any_number()); break;
    case 1: pitot_hyper(fuzzed, (int32_t)any(), any_name(), any_number()); break;
    case 2: pitot_request(fuzzed, any_name()); break;
    case 3: pitot_report(fuzzed, text, (size_t)pick(sizeof text)); break;
    case 4: pitot_readings(fuzzed, ignore, &sum); break;
    case 5: pitot_value(fuzzed, any_name(), &value, &sum); break;
    case 6: pitot_checkpoint(fuzzed, path_of("state")); break;
    case 7: pitot_restore(fuzzed, path_of("state")); break;
    default: pitot_get_health(fuzzed, &(pitot_health){ .struct_size = sizeof(pitot_health) }); break;
    }
}

static int64_t step_at;

/* In the right order at least. */
static void random_step(void) {
    pitot_begin(fuzzed, ++step_at);
    call_forward();
    for (int64_t i = pick(4); i > 0; i--) call_capture();
    pitot_after_backward(fuzzed);
    call_preconditioner();
    pitot_after_update(fuzzed, any_number());
}

static void random_call(void) {
    switch (pick(30)) {
    case 26:
    case 27:
    case 28:
    case 29: random_step(); break;
    case 0: call_add_param(); break;
    case 1: call_bind(); break;
    case 2: call_callbacks(); break;
    case 3: pitot_add_guard(fuzzed, any_name(), place(), pick(9) ? pick(3000) : any()); break;
    case 4: call_preconditioner(); break;
    case 5: call_others(); break;
    case 6:
        if (pick(20) == 0 && pitot_close(fuzzed, (int32_t)any()) == PITOT_OK) open_any();
        break;
    case 7: pitot_due(fuzzed); break;
    case 8:
    case 9: call_capture(); break;
    case 10:
    case 11:
    case 12:
    case 13: pitot_begin(fuzzed, pick(4) ? ++step_at : pick(8) ? step_at : any()); break;
    case 14:
    case 15:
    case 16:
    case 17: call_forward(); break;
    case 18:
    case 19:
    case 20:
    case 21: pitot_after_backward(fuzzed); break;
    default: pitot_after_update(fuzzed, any_number()); break;
    }
}

/* A step as it should be: its loss is there, whatever went before. */
static void proper_step(double loss) {
    double value = 0;
    int64_t at = -1;
    step_at += 10;
    pitot_set_callbacks(fuzzed, NULL);
    DEMAND(pitot_request(fuzzed, "loss") == PITOT_OK);
    DEMAND(pitot_begin(fuzzed, step_at) & PITOT_DUE_LOSS);
    DEMAND(pitot_after_forward(fuzzed, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 2, .loss = loss }) == PITOT_OK);
    DEMAND(pitot_after_backward(fuzzed) == PITOT_OK);
    DEMAND(pitot_after_update(fuzzed, 0.1) == PITOT_OK);
    DEMAND(pitot_value(fuzzed, "loss", &value, &at) == PITOT_OK && value == loss && at == step_at);
    DEMAND(pitot_due(fuzzed) == 0);
}

/* Products with both operators, and everything that can be looked at. */
static int32_t use_all(const pitot_frame *f) {
    const pitot_linop *both[] = { f->hessian, f->ggn };
    double sum = 0;
    for (int i = 0; i < 2; i++) {
        if (!both[i]) continue;
        for (int64_t k = 0; k < 2 * f->size; k++) f->work[k] = (pitot_real)sin((double)k);
        int32_t status = both[i]->apply(both[i]->self, f->work, f->work + 2 * f->size, 2);
        if (status == PITOT_EHOST) pitot_undefined(f, "a product failed");
        else if (status) return status;
        else products++;
    }
    for (int64_t i = 0; i < f->n_tensors; i++)
        for (int64_t k = 0; f->tensor[i].grad && k < f->tensor[i].size; k++)
            sum += (double)f->tensor[i].grad[k] + (double)f->tensor[i].data[k];
    pitot_emit(f, "", sum);
    return PITOT_OK;
}

static const pitot_output outputs[] = { { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "a number", NULL }, { 0 } };

static const pitot_probe probe_all = { .struct_size = sizeof(pitot_probe),
                                       .abi = PITOT_ABI,
                                       .needs_one = PITOT_NEED_HESSIAN | PITOT_NEED_GGN,
                                       .presets = PITOT_ON_REQUEST,
                                       .spans = 1,
                                       .name = "t_all",
                                       .summary = "of the tests",
                                       .paper = "",
                                       .formula = "",
                                       .outputs = outputs,
                                       .work_vectors = 4,
                                       .backward = use_all };

static void check_any_order(int64_t calls) {
    static int64_t i, errors;
    float *floats = (float *)(void *)arena;
    for (int64_t k = 0; k < ARENA / 4; k++) floats[k] = (float)sin((double)k);
    open_any();
    for (i = 0; i < calls; i++) {
        if (i % 500 == 499) {
            pitot_health h = { .struct_size = sizeof h };
            proper_step((double)i);
            proper_step((double)i + 0.5);
            DEMAND(pitot_get_health(fuzzed, &h) == PITOT_OK && h.bytes <= h.peak && h.bytes >= 0);
            errors += h.errors;
        }
        inside = 0;
        if (setjmp(landing) == 0) random_call();
    }
    while (pitot_close(fuzzed, PITOT_DONE) != PITOT_OK) {}
    printf("%lld calls in any order, %d of callbacks, %d from inside, %d jumps, %d products; ", (long long)calls, called,
           calls_in_callbacks, jumps, products);
    DEMAND(calls < 10000 || (errors > 100 && calls_in_callbacks > 50 && jumps > 5));
}

int main(void) {
    const char *text = getenv("PITOT_FUZZ_SCALE");
    volatile double tiny = 1e-300;
    strcpy(folder, access("/dev/shm", W_OK) ? "/tmp/pitot-hostile-XXXXXX" : "/dev/shm/pitot-hostile-XXXXXX");
    if (!mkdtemp(folder)) return printf("hostile: a folder: %s\n", strerror(errno)), 1;
    DEMAND(pitot_probe_register(&probe_all) == PITOT_OK);
    const char *comma = find_comma();
    printf("hostile: subnormals are %s, decimal comma: %s; ", tiny * 1e-20 == 0 ? "flushed" : "kept",
           comma ? comma : "none found, skipped");
    int64_t blocks = mem_count().blocks;
    check_hostile("exact", 1, comma);
    check_hostile("differences", 0, comma);
    check_two_runs();
    check_threads();
    check_fork();
    check_sizes();
    check_failing_open();
    check_any_order((int64_t)(20000 * (text ? atof(text) : 1)));
    DEMAND(mem_count().blocks == blocks);
    printf("0 crashes, 0 blocks lost\n");
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
