/* What the hooks promise the host's process: probes that fail or lack something cost nobody else anything, logs that cannot be written
   neither; no allocation, the share of the time, and surroundings and training that are the same with probes and without. */

#include "smooth.h"

#include <fcntl.h>
#include <locale.h>
#include <omp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* ---- probes that span two steps, lack something, or fail ---- */

static void test_two_steps(void **state) {
    (void)state;
    toy t;
    double loss[8];
    pitot_run *run = open_toy(&t, path_of("two"), "t_two@2, t_lr");
    for (int64_t step = 0; step < 3; step++) {
        assert_true(toy_step(&t, run, step) & PITOT_DUE_LOSS); /* in the mask of both steps */
        loss[step] = t.loss;
        if (step == 0) assert_int_equal(state_of(run, "t_two"), PITOT_STATE_WAITING);
    }
    assert_int_equal(step_of(run, "t_two"), 0); /* step 0's, come at step 1; step 2's waits */
    assert_near(value_of(run, "t_two"), loss[1] - loss[0], "t_two");
    assert_near(value_of(run, "t_lr"), 0.5, "lr");
    toy_step(&t, run, 4); /* 3 never comes; 4 is due itself */
    assert_int_equal(health_of(run).unfinished, 1);
    assert_int_equal(step_of(run, "t_two"), 0);
    toy_step(&t, run, 5);
    assert_int_equal(step_of(run, "t_two"), 4);
    toy_step(&t, run, 6);
    toy_step(&t, run, 6); /* again: a new segment, the half-done value is dropped */
    assert_int_equal(health_of(run).unfinished, 2);
    pitot_begin(run, 7); /* the second step without a loss: no value */
    pitot_after_backward(run);
    pitot_after_update(run, 0.5);
    assert_int_equal(health_of(run).unfinished, 3);
    assert_int_equal(step_of(run, "t_two"), 4);
    toy_step(&t, run, 8);
    pitot_close(run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("two"), &s);
    pitot_series two = series_of(log, "t_two");
    assert_int_equal(two.n, 2);
    assert_int_equal(two.step[0], 0);
    assert_int_equal(two.step[1], 4);
    assert_near(two.value[0], loss[1] - loss[0], "logged");
    pitot_log_close(log);
}

static void test_levels(void **state) {
    (void)state;
    static const struct {
        const char *probe, *level;
    } cases[] = { { "t_samples", "level 1" }, { "t_hessian", "level 2" }, { "t_ggn", "level 3" }, { "t_precond", "level P" } };
    char report[2000];
    toy t;
    pitot_run *run = open_toy(&t, NULL, "t_samples@100, t_hessian, t_ggn, t_precond, loss");
    toy_step(&t, run, 1);
    int64_t n = pitot_report(run, report, sizeof report);
    assert_int_equal(n, strlen(report));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *line = strstr(report, cases[i].probe);
        assert_non_null(line);
        assert_true(strstr(line, "off") && strstr(line, "off") < strchr(line, '\n'));
        assert_true(strstr(line, cases[i].level) && strstr(line, cases[i].level) < strchr(line, '\n'));
        assert_int_equal(state_of(run, cases[i].probe), PITOT_STATE_LEVEL);
        assert_non_null(strstr(why_of(run, cases[i].probe), cases[i].level));
        assert_int_equal(step_of(run, cases[i].probe), -1);
    }
    assert_non_null(strstr(report, "on, every 1 step\n"));
    assert_int_equal(health_of(run).probes_off, 4);
    assert_int_equal(health_of(run).probes_on, 1);
    for (size_t size = 0; size < 60; size++) { /* cut anywhere, the length is the same and nothing behind is written */
        char cut[64];
        memset(cut, 'q', sizeof cut);
        assert_int_equal(pitot_report(run, cut, size), n);
        assert_int_equal(cut[size], 'q');
        if (size) assert_int_equal(strlen(cut), size - 1);
    }
    pitot_close(run, PITOT_DONE);
    run = open_toy(&t, NULL, "individual_losses"); /* the host gives no losses of samples */
    pitot_begin(run, 0);
    pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 3, .loss = 1, .losses = NULL });
    pitot_after_backward(run);
    pitot_after_update(run, 1);
    assert_int_equal(state_of(run, "individual_losses"), PITOT_STATE_LEVEL);
    assert_non_null(strstr(why_of(run, "individual_losses"), "batch.losses"));
    toy_step(&t, run, 1);
    assert_int_equal(state_of(run, "individual_losses"), PITOT_STATE_OK);
    pitot_close(run, PITOT_DONE);
}

static void test_failing_probe(void **state) {
    (void)state;
    toy t;
    pitot_run *run = open_toy(&t, path_of("failing"), "t_fails, loss, t_undefined");
    for (int64_t step = 0; step < 6; step++) toy_step(&t, run, step);
    assert_int_equal(health_of(run).errors, 1);
    assert_int_equal(health_of(run).probes_off, 1);
    assert_int_equal(state_of(run, "t_fails"), PITOT_STATE_ERROR);
    assert_non_null(strstr(why_of(run, "t_fails"), "step 2"));
    assert_non_null(strstr(pitot_last_error(run), "t_fails"));
    assert_int_equal(step_of(run, "t_fails"), 2);
    assert_int_equal(step_of(run, "loss"), 5);
    assert_int_equal(step_of(run, "t_undefined"), 5);
    assert_string_equal(why_of(run, "t_undefined"), "");
    toy_step(&t, run, 6);
    assert_int_equal(state_of(run, "t_undefined"), PITOT_STATE_UNDEFINED);
    assert_string_equal(why_of(run, "t_undefined"), "even steps have none");
    pitot_close(run, PITOT_DONE);
    char *log = read_text(path_of("failing/events.jsonl"));
    assert_non_null(strstr(log, "\"errors\":1"));
    assert_non_null(strstr(log, "probe t_fails"));
    free(log);
}

/* Bytes: update_size holds one copy of the parameters, distance one, t_state three. */
static void test_budget(void **state) {
    (void)state;
    const int64_t copy = (N_A + N_B) * (int64_t)sizeof(pitot_real);
    for (int64_t copies = 0; copies <= 5; copies++) {
        for (int64_t less = 0; less < 2; less++) {
            toy t;
            pitot_config c = { .struct_size = sizeof c,
                               .probes = "update_size, distance, t_state, loss",
                               .memory = copies * copy - less };
            if (c.memory <= 0) continue;
            pitot_run *run = must_open(NULL, &c);
            toy_start(&t);
            toy_add(&t, run);
            for (int64_t step = 0; step < 3; step++) toy_step(&t, run, step);
            pitot_health h = health_of(run);
            assert_true(h.bytes <= c.memory);
            assert_int_equal(step_of(run, "loss"), 2);
            assert_int_equal(h.errors, 0);
            if (c.memory >= 5 * copy) assert_int_equal(h.probes_off, 0);
            else assert_true(h.probes_off >= 1);
            int32_t size = state_of(run, "update_size");
            assert_int_equal(size, c.memory >= copy ? PITOT_STATE_OK : PITOT_STATE_BUDGET);
            if (size == PITOT_STATE_BUDGET) assert_non_null(strstr(why_of(run, "update_size"), "config.memory"));
            assert_int_equal(state_of(run, "t_state"), c.memory >= 5 * copy ? PITOT_STATE_OK : PITOT_STATE_BUDGET);
            if (c.memory >= 5 * copy) assert_near(value_of(run, "t_state"), 3, "state lives on");
            pitot_close(run, PITOT_DONE);
        }
    }
}

static void test_request(void **state) {
    (void)state;
    toy t;
    pitot_run *run = open_toy(&t, NULL, "loss@100, grad_norm");
    toy_step(&t, run, 1);
    assert_int_equal(step_of(run, "loss"), -1);
    assert_int_equal(pitot_request(run, "loss"), PITOT_OK);
    toy_step(&t, run, 2);
    toy_step(&t, run, 3);
    assert_int_equal(step_of(run, "loss"), 2);
    pitot_close(run, PITOT_DONE);
}

static void test_scalars(void **state) {
    (void)state;
    toy t;
    char longest[600];
    memset(longest, 'x', sizeof longest - 1), longest[sizeof longest - 1] = 0;
    pitot_run *run = open_toy(&t, path_of("scalars"), "loss@2");
    toy_step(&t, run, 0);
    const char *const bad[] = { "",    "a\"b",  "a\\b",    "a#nf",  "a\nb", "step", "wall",
                                "crc", "pitot", "segment", "steps", "end",  longest };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pitot_scalar(run, bad[i], 1) != PITOT_EINVAL) fail_msg("\"%s\" was taken as a name", bad[i]);
    assert_int_equal(pitot_scalar(run, "val/loss", 0.25), PITOT_OK); /* between steps: written at once */
    char *log = read_text(path_of("scalars/events.jsonl"));
    assert_non_null(strstr(log, "\"val/loss\":0.25"));
    free(log);
    pitot_begin(run, 1); /* nothing due, and yet a record */
    pitot_scalar(run, "Genauigkeit in \xe2\x80\xb0", 3);
    pitot_scalar(run, "cut \xe2\x80", 4); /* half a character */
    pitot_after_update(run, 1);
    pitot_scalar(run, "val/loss", NAN);
    assert_int_equal(step_of(run, "val/loss"), 1);
    pitot_close(run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *opened = read_log(path_of("scalars"), &s);
    assert_int_equal(series_of(opened, "Genauigkeit in \xe2\x80\xb0").step[0], 1);
    assert_int_equal(series_of(opened, "cut ??").value[0], 4);
    assert_true(isnan(series_of(opened, "val/loss").value[1]));
    pitot_log_close(opened);
}

/* A probe's draws: the same for the same seed and step, whoever else draws; others for another. */
static void test_random(void **state) {
    (void)state;
    static const char *const probes[] = { "t_random", "all, t_random, t_odd", "t_random", "t_random@3" };
    static const uint64_t seeds[] = { 7, 7, 8, 7 };
    double got[4][2];
    for (int i = 0; i < 4; i++) {
        toy t;
        pitot_config c = { .struct_size = sizeof c, .probes = probes[i], .seed = seeds[i] };
        pitot_run *run = must_open(NULL, &c);
        toy_start(&t);
        toy_add(&t, run);
        for (int64_t step = 0; step < 4; step++) toy_step(&t, run, step);
        got[i][0] = value_of(run, "t_random"), got[i][1] = value_of(run, "t_random.second");
        assert_true(got[i][0] > 0 && got[i][0] < 1 && got[i][0] != got[i][1]);
        pitot_close(run, PITOT_DONE);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    assert_memory_equal(got[0], got[3], sizeof got[0]);
    assert_true(got[0][0] != got[2][0]);
}

/* ---- state that outlives a process ---- */

static void test_checkpoint(void **state) {
    (void)state;
    toy t, begun;
    pitot_run *run = open_toy(&t, path_of("before"), "distance, t_state");
    begun = t;
    for (int64_t step = 5; step < 9; step++) toy_step(&t, run, step);
    assert_int_equal(pitot_checkpoint(run, path_of("probes.state")), PITOT_OK);
    assert_int_equal(pitot_checkpoint(run, path_of("no/such/folder")), PITOT_EIO);
    pitot_close(run, PITOT_INTERRUPTED);
    pitot_config c = { .struct_size = sizeof c, .probes = "distance, t_state, loss", .flags = PITOT_RESUME };
    run = must_open(path_of("before"), &c);
    assert_int_equal(pitot_restore(run, path_of("probes.state")), PITOT_EORDER); /* there are no parameters yet */
    toy_add(&t, run);
    assert_int_equal(pitot_restore(run, path_of("probes.state")), PITOT_OK);
    int64_t bytes = health_of(run).bytes;
    assert_int_equal(bytes, 4 * (N_A + N_B) * (int64_t)sizeof(pitot_real));
    assert_int_equal(pitot_restore(run, path_of("probes.state")), PITOT_OK);
    assert_int_equal(health_of(run).bytes, bytes);
    double expected = length(&t, &begun, -1);
    toy_step(&t, run, 9);
    assert_near(value_of(run, "distance"), expected, "distance from the first start");
    assert_near(value_of(run, "t_state"), 5, "state");
    assert_int_equal(run->first_step, 5);
    pitot_close(run, PITOT_DONE);
    run = open_toy(&t, NULL, "distance");
    assert_int_equal(pitot_restore(run, path_of("before/run.json")), PITOT_EFORMAT);
    pitot_close(run, PITOT_DONE);
}

/* ---- a log that cannot be written: training goes on ---- */

/* Steps 0..n-1; the weights must come out as they do without a log. */
static void run_against(pitot_run *run, int64_t n) {
    toy t, alone;
    toy_start(&t);
    toy_start(&alone);
    toy_add(&t, run);
    for (int64_t step = 0; step < n; step++) {
        toy_step(&t, run, step);
        toy_step(&alone, NULL, step);
    }
    assert_memory_equal(t.a, alone.a, sizeof t.a);
    assert_memory_equal(t.b, alone.b, sizeof t.b);
    assert_int_equal(step_of(run, "grad_norm"), n - 1);
    assert_true(health_of(run).errors > 0);
    assert_true(health_of(run).dropped > 0);
    assert_non_null(strstr(pitot_last_error(run), "events.jsonl"));
}

static void test_full_device(void **state) {
    (void)state;
    pitot_config c = { .struct_size = sizeof c, .flags = PITOT_RESUME };
    assert_int_equal(mkdir(path_of("full"), 0755), 0);
    assert_int_equal(symlink("/dev/full", path_of("full/events.jsonl")), 0);
    pitot_run *run = must_open(path_of("full"), &c);
    run_against(run, 30);
    assert_int_equal(health_of(run).dropped, 31); /* and the header */
    pitot_close(run, PITOT_DONE);
}

static void test_full_disk(void **state) {
    (void)state;
    if (mkdir(path_of("small"), 0755) || mount("none", path_of("small"), "tmpfs", 0, "size=64k")) skip();
    pitot_run *run = must_open(path_of("small/run"), NULL);
    run_against(run, 1000);
    pitot_close(run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("small/run"), &s); /* what did fit is whole */
    assert_true(s.records > 10 && s.records < 1000);
    pitot_log_close(log);
    assert_int_equal(umount(path_of("small")), 0);
}

/* Runs in a child of its own; its exit status says how it went. */
static int in_child(void (*work)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        work();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void demand(int good, const char *what) {
    if (good) return;
    dprintf(2, "in the child: %s\n", what);
    _exit(3);
}

static void write_beyond_limit(void) { /* SIGXFSZ at its default action would end the process */
    pitot_run *run = pitot_open(path_of("limit"), NULL);
    toy t;
    signal(SIGXFSZ, SIG_DFL);
    toy_start(&t);
    toy_add(&t, run);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 5000, 5000 });
    for (int64_t step = 0; step < 100; step++) toy_step(&t, run, step);
    demand(health_of(run).dropped > 0 && step_of(run, "loss") == 99, "errors are counted and values go on");
    sigset_t pending;
    sigpending(&pending);
    demand(!sigismember(&pending, SIGXFSZ), "no signal is left pending");
    pitot_close(run, PITOT_DONE);
}

static void test_file_size_limit(void **state) {
    (void)state;
    pitot_log_state s;
    assert_int_equal(in_child(write_beyond_limit), 0);
    pitot_log *log = read_log(path_of("limit"), &s);
    assert_true(s.records > 5);
    assert_true(s.bytes <= 5000);
    pitot_log_close(log);
}

/* ---- memory ---- */

static void test_no_allocation(void **state) {
    (void)state;
    toy t;
    char probes[4200];
    snprintf(probes, sizeof probes, "%s t_two, t_state, t_random, t_odd, t_undefined, t_lr", names_of_all());
    int64_t blocks = mem_count().blocks;
    pitot_run *run = open_toy(&t, path_of("steady"), probes);
    for (int64_t step = 0; step < 3; step++) toy_step(&t, run, step), pitot_scalar(run, "val/loss", 0.1);
    int64_t requests = mem_count().requests;
    for (int64_t step = 3; step < 300; step++) toy_step(&t, run, step), pitot_scalar(run, "val/loss", 0.1 * (double)step);
    assert_int_equal(mem_count().requests, requests);
    pitot_close(run, PITOT_DONE);
    assert_int_equal(mem_count().blocks, blocks);
}

/* ---- time ---- */

/* The clock that the hooks read, pretended: what else runs on this machine must not decide about a test. Each look takes 0.1 us. */
static double pretended; /* seconds; 0: the real clock */

int clock_gettime(clockid_t id, struct timespec *t) {
    if (pretended <= 0 || id != CLOCK_MONOTONIC) return (int)syscall(SYS_clock_gettime, id, t);
    pretended += 1e-7;
    t->tv_sec = (time_t)pretended;
    t->tv_nsec = (long)(1e9 * (pretended - (double)t->tv_sec));
    return 0;
}

/* Steps of 1 ms with probes of 2 ms: the share of the time, as pitot measures it, stays below the limit once the first, which is always
   tracked, is paid for, and it comes close to the limit. */
static void check_share(const char *probes, double limit) {
    toy t;
    pitot_config c = { .struct_size = sizeof c, .probes = probes, .overhead = limit };
    pretended = 1000;
    pitot_run *run = must_open(NULL, &c);
    toy_start(&t);
    toy_add(&t, run);
    busy_seconds = 0.002;
    for (int64_t step = 0; (double)step < 60 / limit; step++) {
        pitot_begin(run, step);
        busy(0.001);
        toy_tell_forward(&t, run);
        toy_backward(&t, step);
        pitot_after_backward(run);
        toy_update(&t, 0.01);
        pitot_after_update(run, 0.01);
        if ((double)step > 6 / limit && health_of(run).overhead > limit)
            fail_msg("%s: %g at step %d", probes, health_of(run).overhead, (int)step);
    }
    pitot_health h = health_of(run);
    assert_true(h.tracked > 10);
    if (!(h.overhead > 0.85 * limit)) fail_msg("%s: %g only, of %g", probes, h.overhead, limit);
    pitot_close(run, PITOT_DONE);
    pretended = 0;
}

static void test_share_of_time(void **state) {
    (void)state;
    check_share("t_busy", 0.1);
    check_share("t_busy", 0.02);
    check_share("t_busy_two", 0.1);
    check_share("t_busy, t_busy_two", 0.3);
    check_share("t_busy, distance, loss", 0.25);
}

static void no_product(void *user, pitot_call *call) {
    (void)user;
    call->status = PITOT_OK;
}

static int64_t count_of(const pitot_log *log, const char *name) {
    return series_of(log, name).n;
}

/* A probe that costs whole gradients leaves half of the time to the others, and gets its own: in time, whatever the machine's load, it comes
   again, and the others come far more often. */
static void test_heavy_probes_starve_nobody(void **state) {
    (void)state;
    enum { TIMES = 4, MOST_STEPS = 15000 };
    toy t;
    pitot_config c = { .struct_size = sizeof c, .probes = "loss, t_heavy", .overhead = 0.2 };
    pitot_run *run = must_open(path_of("heavy"), &c);
    toy_start(&t);
    toy_add(&t, run);
    pitot_set_callbacks(run, &(pitot_callbacks){ .struct_size = sizeof(pitot_callbacks), .hvp = no_product });
    busy_seconds = 0.01;
    int64_t seen = 0;
    for (int64_t step = 0; step < MOST_STEPS && seen < TIMES; step++) {
        busy(0.001);
        toy_step(&t, run, step);
        seen += step_of(run, "t_heavy") == step;
    }
    pitot_close(run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("heavy"), &s);
    assert_int_equal(count_of(log, "t_heavy"), TIMES);
    assert_true(count_of(log, "loss") > 5 * TIMES);
    pitot_log_close(log);
}

/* ---- the host's surroundings ---- */

static pitot_run *parents_run;
static toy parents_toy;

static void use_everything_in_child(void) {
    pitot_run *run = parents_run;
    toy t = parents_toy;
    pitot_param p = param_a;
    p.name = "new", p.data = t.a;
    demand(pitot_after_backward(run) == PITOT_EOFF, "after_backward in the step that was open");
    demand(pitot_after_update(run, 1) == PITOT_EOFF, "after_update in the step that was open");
    demand(pitot_begin(run, 50) == 0, "begin");
    demand(pitot_scalar(run, "x", 1) == PITOT_EOFF, "scalar");
    demand(pitot_add_param(run, &p) == PITOT_EOFF && pitot_bind_param(run, 1, NULL, NULL) == PITOT_EOFF, "parameters");
    demand(pitot_request(run, "loss") == PITOT_EOFF, "request");
    demand(pitot_checkpoint(run, path_of("child")) == PITOT_EOFF && access(path_of("child"), F_OK), "checkpoint");
    for (int64_t step = 51; step < 55; step++) toy_step(&t, run, step);
    demand(pitot_close(run, PITOT_FAILED) == PITOT_OK, "close");
}

static void test_fork(void **state) {
    (void)state;
    pitot_run *run = parents_run = open_toy(&parents_toy, path_of("fork"), "economy");
    toy *t = &parents_toy;
    for (int64_t step = 0; step < 3; step++) toy_step(t, run, step);
    pitot_begin(run, 3);
    toy_tell_forward(t, run);
    char *before = read_text(path_of("fork/events.jsonl")), *manifest = read_text(path_of("fork/run.json"));
    assert_int_equal(in_child(use_everything_in_child), 0);
    char *after = read_text(path_of("fork/events.jsonl")), *manifest_after = read_text(path_of("fork/run.json"));
    assert_string_equal(before, after);
    assert_string_equal(manifest, manifest_after);
    free(before), free(after), free(manifest), free(manifest_after);
    pitot_after_backward(run); /* the parent goes on */
    pitot_after_update(run, 1);
    toy_step(t, run, 4);
    pitot_close(run, PITOT_DONE);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("fork"), &s);
    assert_int_equal(series_of(log, "loss").n, 5);
    assert_int_equal(s.ended, PITOT_LOG_DONE);
    pitot_log_close(log);
}

static void test_not_finite(void **state) {
    (void)state;
    toy t;
    pitot_run *run = open_toy(&t, path_of("odd"), "economy, update_ratio, t_odd");
    for (int64_t step = 0; step < 4; step++) {
        pitot_begin(run, step);
        toy_forward(&t, step);
        toy_backward(&t, step);
        if (step == 1) t.loss = NAN, t.grad_a[2] = (pitot_real)-INFINITY;
        if (step == 2) t.loss = -INFINITY, t.grad_b[0] = (pitot_real)NAN, t.a[0] = (pitot_real)NAN;
        toy_tell_forward(&t, run);
        pitot_after_backward(run);
        if (step == 0 || step == 3) toy_update(&t, 0.1);
        pitot_after_update(run, 0.1);
        if (step == 2) t.a[0] = 1;
    }
    assert_int_equal(health_of(run).errors, 0);
    pitot_close(run, PITOT_DONE);
    char *text = read_text(path_of("odd/events.jsonl"));
    assert_non_null(strstr(text, "\"loss\":null,\"loss#nf\":\"nan\""));
    assert_non_null(strstr(text, "\"loss\":null,\"loss#nf\":\"-inf\""));
    assert_non_null(strstr(text, "\"grad_norm/net.a\":null,\"grad_norm/net.a#nf\":\"inf\""));
    assert_non_null(strstr(text, "\"t_odd.list\":[1,null,3]"));
    assert_non_null(strstr(text, "\"t_odd.up/net.b\":null,\"t_odd.up/net.b#nf\":\"inf\""));
    assert_null(strstr(text, ":nan") ? text : strstr(text, ":inf"));
    free(text);
    pitot_log_state s;
    pitot_log *log = read_log(path_of("odd"), &s);
    pitot_series loss = series_of(log, "loss"), norm = series_of(log, "grad_norm"), ratio = series_of(log, "update_ratio");
    assert_true(isfinite(loss.value[0]) && isnan(loss.value[1]) && loss.value[2] == -INFINITY && isfinite(loss.value[3]));
    assert_true(isfinite(norm.value[0]) && norm.value[1] == INFINITY && isnan(norm.value[2]) && isfinite(norm.value[3]));
    assert_true(ratio.n == 4 && isnan(ratio.value[2]) && isfinite(ratio.value[3])); /* clean again on the next clean step */
    pitot_log_close(log);
}

/* A locale with a decimal comma: one that is installed, or made in the tests' folder. */
static int set_comma_locale(void) {
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE" };
    char line[300];
    for (int again = 0; again < 2; again++) {
        for (int i = 0; i < 3; i++)
            if (setlocale(LC_ALL, names[i]) && localeconv()->decimal_point[0] == ',') return 1;
        snprintf(line, sizeof line, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
        if (again || system(line) || setenv("LOCPATH", folder, 1)) return 0;
    }
    return 0;
}

/* With a decimal comma in the host's locale the log is still JSON. */
static void test_locale(void **state) {
    (void)state;
    toy t;
    if (!set_comma_locale()) skip();
    pitot_run *run = open_toy(&t, path_of("locale"), "all, loss@1");
    for (int64_t step = 0; step < 3; step++) toy_step(&t, run, step);
    double loss = value_of(run, "loss");
    pitot_close(run, PITOT_DONE);
    assert_int_equal(localeconv()->decimal_point[0], ',');
    pitot_log_state s;
    pitot_log *log = read_log(path_of("locale"), &s);
    assert_memory_equal(&series_of(log, "loss").value[2], &loss, sizeof loss);
    pitot_log_close(log);
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
}

typedef struct surroundings {
    int rounding, flags;
    unsigned mode;
    sigset_t mask, pending;
    void (*handler[65])(int);
    int handler_flags[65];
    char locale[256], cwd[4096];
    mode_t umask;
    int traps, blas_threads, omp_threads, files;
} surroundings;

int openblas_get_num_threads(void);

static int count_files(void) {
    int n = 0;
    for (int fd = 0; fd < 1000; fd++) n += fcntl(fd, F_GETFD) != -1;
    return n;
}

static void look_around(surroundings *s) {
    memset(s, 0, sizeof *s);
    s->rounding = fegetround();
    s->flags = fetestexcept(FE_ALL_EXCEPT & ~FE_INEXACT);
#if defined(__x86_64__)
    s->mode = __builtin_ia32_stmxcsr() & ~0x3fu; /* traps, rounding, flush to zero */
#endif
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    sigpending(&s->pending);
    for (int i = 1; i < 65; i++) {
        struct sigaction action = { .sa_handler = NULL };
        sigaction(i, NULL, &action);
        s->handler[i] = action.sa_handler;
        s->handler_flags[i] = action.sa_flags;
    }
    snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
    demand(getcwd(s->cwd, sizeof s->cwd) != NULL, "getcwd");
    s->umask = umask(077);
    umask(s->umask);
    s->traps = fegetexcept();
    s->blas_threads = openblas_get_num_threads();
    s->omp_threads = omp_get_max_threads();
    s->files = count_files();
}

static void on_nothing(int number) {
    (void)number;
}

/* In surroundings as odd as a host's may be: traps on, rounding upwards, subnormals flushed, signals blocked, strange umask. */
static void work_in_odd_surroundings(void) {
    static surroundings before, after;
    toy t;
    sigset_t some;
    sigemptyset(&some), sigaddset(&some, SIGXFSZ), sigaddset(&some, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    signal(SIGPIPE, on_nothing);
    umask(0137);
    demand(chdir(folder) == 0, "chdir");
    feclearexcept(FE_ALL_EXCEPT);
    fesetround(FE_UPWARD);
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040u);
    feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
#endif
    look_around(&before);
    pitot_config c = { .struct_size = sizeof c, .probes = "all, update_ratio, t_wrongs, t_two, t_odd" };
    pitot_run *run = pitot_open("around", &c);
    toy_start(&t);
    toy_add(&t, run);
    for (int64_t step = 0; step < 5; step++) {
        toy_step(&t, run, step);
        pitot_scalar(run, "val/loss", 0.1);
    }
    double third = value_of(run, "t_wrongs.third");
    demand(pitot_checkpoint(run, "around.state") == PITOT_OK, "checkpoint");
    demand(pitot_close(run, PITOT_DONE) == PITOT_OK, "close");
    look_around(&after);
    feclearexcept(FE_ALL_EXCEPT);
    fesetenv(FE_DFL_ENV);
    demand(memcmp(&before, &after, sizeof before) == 0, "the surroundings have changed");
    demand(third == 1.0 / 3, "probes round to nearest whatever the host does");
}

static void test_surroundings(void **state) {
    (void)state;
    assert_int_equal(in_child(work_in_odd_surroundings), 0);
}

/* 200 steps of a host with everything on offer, all levels and every probe; and alone: weights, gradients, guards, losses, surroundings. */
static void test_host_is_untouched(void **state) {
    (void)state;
    enum { STEPS = 200 };
    static const uint32_t offers[] = { 1 << CALL_GRAD | 1 << CALL_FORWARD | 1 << CALL_VJP,
                                       1 << CALL_HVP | 1 << CALL_FORWARD | 1 << CALL_JVP | 1 << CALL_VJP };
    static surroundings before, after;
    static host h, alone;
    char probes[4200];
    snprintf(probes, sizeof probes, "%s t_dense_hessian@5, t_dense_ggn@7, t_two, t_state", names_of_all());
    for (int i = 0; i < 4; i++) {
        host_start(&h);
        h.captures = 1, h.offers = offers[i % 2], h.micro = 1 + i / 2, h.late = i % 2;
        h.n = 6;
        h.in_out = i % 2, h.carried = i == 3, h.loss_scale = 1 + i;
        alone = h;
        look_around(&before);
        host_open(&h, path_of(name_of[0][i]), probes, NULL);
        pitot_add_guard(h.run, "guard", h.guarded, sizeof h.guarded);
        host_fill(&alone);
        for (int64_t step = 0; step < STEPS; step++) {
            host_step(&h, step);
            host_step(&alone, step);
            assert_memory_equal(&h.loss, &alone.loss, sizeof h.loss);
            assert_memory_equal(h.data, alone.data, sizeof h.data);
            assert_memory_equal(h.grad[0], alone.grad[0], sizeof h.grad[0]);
            assert_memory_equal(h.guarded, alone.guarded, sizeof h.guarded);
        }
        assert_string_equal(pitot_last_error(h.run), "");
        for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
            if (is_mine(*p) || is_looking(*p) || (*p)->needs & PITOT_NEED_PRECONDITIONER) continue;
            if ((*p)->needs & PITOT_NEED_MICRO && h.micro == 1) continue;
            int32_t is = state_of(h.run, (*p)->name);
            int more = ((*p)->needs & ~(uint32_t)(2 * PITOT_NEED_MICRO - 1)) != 0; /* than this host offers in each of its guises */
            if (more && is == PITOT_STATE_LEVEL && strncmp(why_of(h.run, (*p)->name), "needs ", 6) == 0) continue;
            if (is == PITOT_STATE_UNDEFINED && *why_of(h.run, (*p)->name)) continue;
            if (is != PITOT_STATE_OK && is != PITOT_STATE_WAITING)
                fail_msg("%s has nothing to say: %s", (*p)->name, why_of(h.run, (*p)->name));
        }
        assert_int_equal(pitot_close(h.run, PITOT_DONE), PITOT_OK);
        look_around(&after);
        assert_memory_equal(&before, &after, sizeof before);
    }
}

/* ---- training with probes on, off, each alone: the same bits ---- */

static char *train_with(const char *probes, const char *name) {
    static const char *const set[] = { "lr=0.01" };
    pitot_error error = { 0 };
    char model[256], weights[256], out[256];
    snprintf(model, sizeof model, "%s/tiny.json", folder);
    snprintf(weights, sizeof weights, "%s/%s.safetensors", folder, name);
    snprintf(out, sizeof out, "%s/train_%s", folder, name);
    pitot_train_config c = { .struct_size = sizeof c,
                             .model = model,
                             .data = "glyphs:100",
                             .optimizer = "adam",
                             .set = set,
                             .n_set = 1,
                             .probes = probes,
                             .steps = 12,
                             .batch = 16,
                             .threads = 2,
                             .seed = 3,
                             .save = weights,
                             .out = out };
    if (pitot_train(&c, &error)) fail_msg("%s", error.text);
    return read_text(weights);
}

static void test_training_is_untouched(void **state) {
    (void)state;
    FILE *model = fopen(path_of("tiny.json"), "w");
    assert_non_null(model);
    fputs("{\"input\": [1, 16, 16], \"loss\": \"cross_entropy\", \"layers\": [{\"op\": \"conv2d\", \"out_channels\": 3, "
          "\"kernel\": 3}, {\"op\": "
          "\"relu\"}, {\"op\": \"dropout\", \"p\": 0.3}, {\"op\": \"flatten\"}, {\"op\": \"linear\", \"out_features\": 10}]}",
          model);
    fclose(model);
    char *off = train_with("none", "off");
    struct stat st;
    stat(path_of("off.safetensors"), &st);
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        if (is_looking(*p)) continue; /* for small matrices only */
        char *with = train_with((*p)->name, (*p)->name);
        if (memcmp(off, with, (size_t)st.st_size)) fail_msg("probe %s changes the training", (*p)->name);
        free(with);
    }
    char *all = train_with("all", "all"), *sparse = train_with("all@7, grad@3", "sparse");
    assert_memory_equal(off, all, (size_t)st.st_size);
    assert_memory_equal(off, sparse, (size_t)st.st_size);
    free(off), free(all), free(sparse);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_steps),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_failing_probe),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_file_size_limit),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_share_of_time),
        cmocka_unit_test(test_heavy_probes_starve_nobody),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_surroundings),
        cmocka_unit_test(test_training_is_untouched),
        cmocka_unit_test(test_host_is_untouched),
    };
    return cmocka_run_group_tests(tests, set_up_smooth, remove_folder);
}
