/* The built-in training loop from end to end: what it writes, that stopping and going on changes no bit, and that what cannot work
   leaves a message and a readable state. */

#include "pitot/train.h"
#include "pitot/log.h"
#include "pitot/net.h"
#include "pitot/probe.h"

#include "base/alloc.h"
#include "base/file.h"
#include "data/safetensors.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- files ---- */

static char folder[64];

static const char *path_of(const char *format, ...) PITOT_PRINTF(1, 2);
static const char *path_of(const char *format, ...) { /* each path is kept, so that plans may hold it */
    static char path[256][128];
    static int known;
    char text[128];
    va_list list;
    int n = snprintf(text, sizeof text, "%s/", folder), i = 0;
    va_start(list, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, list);
    va_end(list);
    while (i < known && strcmp(path[i], text)) i++;
    if (i == 256) abort();
    if (i == known) strcpy(path[known++], text);
    return path[i];
}

static void write_text(const char *path, const char *text) {
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void copy_file(const char *from, const char *to) {
    int64_t size;
    unsigned char *bytes = file_read(from, 0, &size, NULL);
    assert_non_null(bytes);
    assert_int_equal(file_replace(to, bytes, size, 0, NULL), PITOT_OK);
    mem_free(bytes);
}

/* 1 if both files can be read and hold the same bytes. */
static int same_files(const char *a, const char *b) {
    int64_t na = 0, nb = 0;
    unsigned char *x = file_read(a, 0, &na, NULL), *y = file_read(b, 0, &nb, NULL);
    int same = x && y && na == nb && memcmp(x, y, (size_t)na) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-train-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    write_text(path_of("tiny.json"), "{\"name\": \"tiny\", \"input\": [256], \"loss\": \"cross_entropy\", \"layers\": ["
                                     "{\"op\": \"linear\", \"name\": \"fc1\", \"out_features\": 12}, {\"op\": \"relu\"},"
                                     "{\"op\": \"dropout\", \"p\": 0.4},"
                                     "{\"op\": \"linear\", \"name\": \"fc2\", \"out_features\": 10}]}");
    write_text(path_of("bce.json"), "{\"input\": [1, 16, 16], \"loss\": \"bce_with_logits\", \"layers\": ["
                                    "{\"op\": \"flatten\"}, {\"op\": \"linear\", \"out_features\": 10}]}");
    write_text(path_of("narrow.json"),
               "{\"input\": [256], \"loss\": \"cross_entropy\", \"layers\": [{\"op\": \"linear\", \"out_features\": 4}]}");
    write_text(path_of("wide.json"),
               "{\"input\": [300], \"loss\": \"cross_entropy\", \"layers\": [{\"op\": \"linear\", \"out_features\": 10}]}");
    write_text(path_of("targets.json"),
               "{\"input\": [256], \"loss\": \"mse\", \"layers\": [{\"op\": \"linear\", \"out_features\": 3}]}");
    return 0;
}

static int clear_away(void **state) {
    (void)state;
    remove_tree(folder);
    return 0;
}

/* ---- training ---- */

typedef struct plan { /* what the tests vary */
    const char *optimizer, *set[4], *data, *model, *probes, *save, *init, *out;
    int64_t steps, epochs, batch, checkpoint_every;
    uint64_t seed;
    int resume, no_shuffle, stop_at; /* stop_at: `progress` stops there; it is called ten times a second and at the end */
} plan;

static pitot_train_progress last_progress;

static int32_t on_progress(void *user, const pitot_train_progress *p) {
    const plan *which = user;
    last_progress = *p;
    return which->stop_at > 0 && p->step >= which->stop_at;
}

static int32_t try_train(const plan *p, pitot_error *error) {
    pitot_train_config c = { .struct_size = sizeof c,
                             .model = p->model ? p->model : path_of("tiny.json"),
                             .data = p->data ? p->data : "glyphs:57",
                             .optimizer = p->optimizer,
                             .set = p->set,
                             .probes = p->probes,
                             .steps = p->steps,
                             .epochs = p->epochs,
                             .batch = p->batch ? p->batch : 10,
                             .no_shuffle = p->no_shuffle,
                             .threads = 1,
                             .seed = p->seed,
                             .init = p->init,
                             .save = p->save,
                             .checkpoint_every = p->checkpoint_every,
                             .out = p->out,
                             .resume = p->resume,
                             .progress = on_progress,
                             .user = (void *)(uintptr_t)p };
    while (c.n_set < 4 && p->set[c.n_set]) c.n_set++;
    return pitot_train(&c, error);
}

static void train(const plan *p) {
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    if (try_train(p, &error)) fail_msg("%s", error.text);
    assert_int_equal(mem_count().blocks, blocks);
}

static pitot_log_state state_of(const char *run) {
    pitot_log_state s = { .struct_size = sizeof s };
    pitot_log *log = pitot_log_open(run, NULL);
    assert_non_null(log);
    while (pitot_log_poll(log, 0, NULL) > 0) {}
    pitot_log_get_state(log, &s);
    pitot_log_close(log);
    assert_int_equal(s.damaged, 0);
    assert_int_equal(s.tail, 0);
    return s;
}

/* The value of `name` in the log at `step`, bit for bit; fails if it is not there. */
static double logged(const char *run, const char *name, int64_t step) {
    pitot_series s;
    double value = -1;
    int found = 0;
    pitot_log *log = pitot_log_open(run, NULL);
    assert_non_null(log);
    while (pitot_log_poll(log, 0, NULL) > 0) {}
    assert_int_equal(pitot_log_series(log, pitot_log_find(log, name), &s), PITOT_OK);
    for (int64_t i = 0; i < s.n; i++)
        if (s.step[i] == step) value = s.value[i], found = 1;
    pitot_log_close(log);
    if (!found) fail_msg("%s: there is no %s of step %lld", run, name, (long long)step);
    return value;
}

/* A value at each of the first `steps` steps in both logs, the same bits. */
static void check_same_trace(const char *a, const char *b, const char *name, int64_t steps) {
    pitot_series s[2];
    pitot_log *log[2] = { pitot_log_open(a, NULL), pitot_log_open(b, NULL) };
    for (int i = 0; i < 2; i++) {
        assert_non_null(log[i]);
        while (pitot_log_poll(log[i], 0, NULL) > 0) {}
        assert_int_equal(pitot_log_series(log[i], pitot_log_find(log[i], name), &s[i]), PITOT_OK);
        assert_int_equal(s[i].n, steps);
    }
    for (int64_t k = 0; k < steps; k++) {
        assert_int_equal(s[0].step[k], k);
        assert_int_equal(s[1].step[k], k);
        assert_memory_equal(&s[0].value[k], &s[1].value[k], sizeof(double));
    }
    pitot_log_close(log[0]);
    pitot_log_close(log[1]);
}

/* ---- stopping at every step and going on ---- */

/* 48 training samples in batches of 10: five steps an epoch, the last with 8; 13 steps reach into the third. */
static void check_resume(const char *optimizer, const char *a, const char *b) {
    enum { STEPS = 13 };
    plan p = { .optimizer = optimizer,
               .set = { a, b },
               .steps = STEPS,
               .seed = 5,
               .out = path_of("whole"),
               .save = path_of("whole.safetensors") };
    train(&p);
    for (int64_t stop = 1; stop < STEPS; stop++) {
        plan first = p, second = p;
        first.out = second.out = path_of("parts");
        first.steps = stop;
        first.save = NULL;
        second.resume = 1;
        second.save = path_of("parts.safetensors");
        train(&first);
        train(&second);
        assert_int_equal(last_progress.resumed, stop);
        if (!same_files(path_of("whole.safetensors"), path_of("parts.safetensors")))
            fail_msg("%s stopped at %d: other weights", optimizer, (int)stop);
        if (!same_files(path_of("whole/checkpoints/step-%08d.safetensors", STEPS),
                        path_of("parts/checkpoints/step-%08d.safetensors", STEPS)))
            fail_msg("%s stopped at %d: other optimizer state", optimizer, (int)stop);
        for (int64_t step = 0; step < STEPS; step++) {
            assert_true(logged(path_of("whole"), "loss", step) == logged(path_of("parts"), "loss", step));
            assert_true(logged(path_of("whole"), "distance", step) == logged(path_of("parts"), "distance", step));
        }
        assert_int_equal(state_of(path_of("parts")).segments, 2);
        remove_tree(path_of("parts"));
    }
    remove_tree(path_of("whole"));
}

static void test_resume_sgd(void **state) {
    (void)state;
    check_resume("sgd", "lr=0.1", "momentum=0.9");
}

static void test_resume_adam(void **state) {
    (void)state;
    check_resume("adam", "lr=0.01", NULL);
}

static void test_resume_amsgrad(void **state) {
    (void)state;
    check_resume("adamw", "lr=0.01", "amsgrad=true");
}

/* From checkpoints in the middle, with later steps already in the log: those are void. A damaged newest one is passed over. */
static void test_resume_from_the_middle(void **state) {
    (void)state;
    plan p = { .optimizer = "adam", .steps = 12, .checkpoint_every = 3, .out = path_of("middle"), .save = path_of("middle.1") };
    train(&p);
    assert_int_equal(remove(path_of("middle/checkpoints/step-00000012.safetensors")), 0);
    write_text(path_of("middle/checkpoints/step-00000009.safetensors"), "damaged");
    p.resume = 1;
    p.save = path_of("middle.2");
    train(&p);
    assert_int_equal(last_progress.resumed, 6);
    assert_true(same_files(path_of("middle.1"), path_of("middle.2")));
    assert_int_equal(state_of(path_of("middle")).ended, PITOT_LOG_DONE);
    p.steps = 12; /* nothing is left to do */
    p.save = path_of("middle.3");
    train(&p);
    assert_int_equal(last_progress.resumed, 12);
    assert_true(same_files(path_of("middle.1"), path_of("middle.3")));
    remove_tree(path_of("middle"));
}

/* Counters of an optimizer that are no numbers of steps: passed over as damaged, too. */
static void test_resume_from_damaged_counters(void **state) {
    (void)state;
    static const double odd[] = { -1, 0.5, 1e300, -HUGE_VAL }, made[2] = { 6, 6 };
    plan p = { .optimizer = "adam", .steps = 6, .checkpoint_every = 3, .out = path_of("counters") }, again = p;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        int64_t size;
        pitot_error error = { 0 };
        train(&p);
        unsigned char *bytes = file_read(path_of("counters/checkpoints/step-00000006.safetensors"), 0, &size, &error);
        assert_non_null(bytes);
        unsigned char *at = memmem(bytes, (size_t)size, made, sizeof made);
        assert_non_null(at);
        memcpy(at, &odd[i], sizeof odd[i]);
        assert_int_equal(file_replace(path_of("counters/checkpoints/step-00000006.safetensors"), bytes, size, 0, &error), PITOT_OK);
        mem_free(bytes);
        again.resume = 1;
        train(&again);
        assert_int_equal(last_progress.resumed, 3);
        remove_tree(path_of("counters"));
    }
    assert_true(pitot_checkpoint_read(path_of("not there"), NULL, NULL, NULL, NULL) != PITOT_OK);
}

static void test_resume_of_nothing(void **state) {
    (void)state;
    plan p = { .steps = 4, .out = path_of("fresh"), .save = path_of("fresh.1") }, again = p;
    train(&p);
    again.resume = 1;
    again.out = path_of("missing/below/missing");
    again.save = path_of("fresh.2");
    train(&again);
    assert_int_equal(last_progress.resumed, 0);
    assert_true(same_files(path_of("fresh.1"), path_of("fresh.2")));
    assert_int_equal(mkdir(path_of("empty"), 0755), 0);
    again.out = path_of("empty");
    again.save = path_of("fresh.3");
    train(&again);
    assert_true(same_files(path_of("fresh.1"), path_of("fresh.3")));
}

/* With settings that do not fit the checkpoint: refused, and the run is as it was. */
static void test_resume_of_another(void **state) {
    (void)state;
    pitot_error error = { 0 };
    plan p = { .steps = 4, .out = path_of("one") }, other = { .optimizer = "adam", .steps = 8, .out = path_of("one"), .resume = 1 };
    train(&p);
    copy_file(path_of("one/run.json"), path_of("run.before"));
    copy_file(path_of("one/events.jsonl"), path_of("events.before"));
    assert_int_equal(try_train(&other, &error), PITOT_EMISMATCH);
    assert_non_null(strstr(error.text, "adam"));
    other.optimizer = "sgd", other.model = path_of("bce.json"), error.status = 0;
    assert_int_equal(try_train(&other, &error), PITOT_EMISMATCH);
    assert_true(same_files(path_of("one/run.json"), path_of("run.before")));
    assert_true(same_files(path_of("one/events.jsonl"), path_of("events.before")));
    p.steps = 8, p.resume = 1;
    train(&p);
    assert_int_equal(last_progress.resumed, 4);
}

static void test_interrupted(void **state) {
    (void)state;
    plan p = { .optimizer = "adam",
               .steps = 10000000,
               .out = path_of("stopped"),
               .save = path_of("stopped.1"),
               .stop_at = 1,
               .probes = "loss@10" };
    train(&p);
    int64_t reached = last_progress.step;
    assert_true(reached > 0 && reached < 10000000);
    assert_int_equal(state_of(path_of("stopped")).ended, PITOT_LOG_INTERRUPTED);
    p.stop_at = 0, p.resume = 1, p.steps = reached + 5;
    train(&p);
    assert_int_equal(last_progress.resumed, reached);
    plan whole = {
        .optimizer = "adam", .steps = reached + 5, .out = path_of("unstopped"), .save = path_of("stopped.2"), .probes = "loss@10"
    };
    train(&whole);
    assert_true(same_files(path_of("stopped.1"), path_of("stopped.2")));
}

/* ---- the same seed, another seed ---- */

static void test_seeds(void **state) {
    (void)state;
    static const uint64_t seeds[] = { 1, 1, 2 };
    for (int i = 0; i < 3; i++) {
        plan p = { .steps = 7, .seed = seeds[i], .out = path_of("seed%d", i), .save = path_of("seed%d.safetensors", i) };
        train(&p);
    }
    assert_true(same_files(path_of("seed0.safetensors"), path_of("seed1.safetensors")));
    assert_false(same_files(path_of("seed0.safetensors"), path_of("seed2.safetensors")));
    for (int64_t step = 0; step < 7; step++) {
        assert_true(logged(path_of("seed0"), "loss", step) == logged(path_of("seed1"), "loss", step));
        assert_true(logged(path_of("seed0"), "loss", step) != logged(path_of("seed2"), "loss", step));
    }
}

/* ---- steps, epochs, batches ---- */

static void test_lengths(void **state) {
    (void)state;
    plan epochs = { .epochs = 2, .out = path_of("epochs"), .save = path_of("length.1") };
    train(&epochs);
    assert_int_equal(last_progress.steps, 10);
    assert_int_equal(last_progress.step, 10);
    assert_int_equal(last_progress.epoch, 2);
    assert_int_equal(state_of(path_of("epochs")).steps, 10);
    assert_int_equal(state_of(path_of("epochs")).last_step, 9);
    plan steps = { .steps = 10, .out = path_of("steps"), .save = path_of("length.2") };
    train(&steps);
    assert_true(same_files(path_of("length.1"), path_of("length.2")));
    plan neither = { .out = path_of("neither") };
    train(&neither);
    assert_int_equal(last_progress.steps, 5);
    plan large = { .out = path_of("large"), .batch = 1000 };
    train(&large);
    assert_int_equal(last_progress.steps, 1);
    assert_true(last_progress.val_accuracy >= 0 && last_progress.val_accuracy <= 1);
    assert_true(logged(path_of("large"), "val/loss", 0) == last_progress.val_loss);
}

/* The last batch of an epoch has 8 of the 48 samples: its loss is their own mean. Checked against the net run by hand. */
static void test_smaller_batch(void **state) {
    (void)state;
    pitot_error error = { 0 };
    plan p = { .model = path_of("bce.json"), .steps = 5, .no_shuffle = 1, .set = { "lr=0" }, .seed = 6, .out = path_of("smaller") };
    train(&p);
    pitot_data *data = pitot_data_open("glyphs:57", &error);
    pitot_net *net = pitot_net_read(path_of("bce.json"), &error);
    assert_true(data && net);
    assert_int_equal(data->n_train, 48);
    assert_int_equal(pitot_net_prepare(net, 10, 1, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(net, 6), PITOT_OK);
    for (int64_t step = 0; step < 5; step++) {
        int64_t n = step == 4 ? 8 : 10, ids[10];
        pitot_real x[10 * 256], targets[100] = { 0 };
        int32_t classes[10];
        double loss = -1;
        for (int64_t k = 0; k < n; k++) ids[k] = 10 * step + k;
        assert_int_equal(pitot_data_batch(data, ids, n, x, classes, NULL), PITOT_OK);
        for (int64_t k = 0; k < n; k++) targets[10 * k + classes[k]] = 1;
        pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = x, .targets = targets, .training = 1 };
        assert_int_equal(pitot_net_forward(net, &b, &loss), PITOT_OK);
        if (loss != logged(path_of("smaller"), "loss", step))
            fail_msg("step %d: %.17g by hand, %.17g logged", (int)step, loss, logged(path_of("smaller"), "loss", step));
    }
    pitot_net_free(net);
    pitot_data_free(data);
}

/* ---- probes change nothing ---- */

static const char *every_probe(void) {
    static char list[4096];
    list[0] = 0;
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        strcat(list, (*p)->name);
        strcat(list, ",");
    }
    return list;
}

/* 200 steps with dropout, an optimizer with state and a smaller batch at the end of each epoch: with every probe there is, those on request
   named too, with the loss alone and with none, the same bits throughout; and the probes have all been at work. */
static void test_probes_change_nothing(void **state) {
    (void)state;
    enum { STEPS = 200 };
    static const char *const names[] = { "bare", "loss", "every" }, *const optimizers[] = { "sgd", "adam" };
    const char *const probes[] = { "none", "loss", every_probe() };
    for (int o = 0; o < 2; o++) {
        for (int i = 0; i < 3; i++) {
            plan p = { .optimizer = optimizers[o],
                       .set = { o ? "lr=0.003" : "lr=0.05", o ? NULL : "momentum=0.9" },
                       .steps = STEPS,
                       .seed = 12,
                       .checkpoint_every = 100,
                       .probes = probes[i],
                       .out = path_of("%s%d", names[i], o),
                       .save = path_of("%s%d.safetensors", names[i], o) };
            train(&p);
            if (!same_files(path_of("bare%d.safetensors", o), p.save))
                fail_msg("%s, probes %s: other weights", optimizers[o], names[i]);
            for (int at = STEPS / 2; at <= STEPS; at += STEPS / 2)
                if (!same_files(path_of("bare%d/checkpoints/step-%08d.safetensors", o, at),
                                path_of("%s%d/checkpoints/step-%08d.safetensors", names[i], o, at)))
                    fail_msg("%s, probes %s: other state at step %d", optimizers[o], names[i], at);
        }
        for (int64_t epoch = 0; epoch < STEPS / 5; epoch++)
            assert_true(logged(path_of("bare%d", o), "val/loss", 5 * epoch + 4) ==
                        logged(path_of("every%d", o), "val/loss", 5 * epoch + 4));
        check_same_trace(path_of("loss%d", o), path_of("every%d", o), "loss", STEPS);
        static const char *const told[] = { "mean_gsnr", "noise_scale", "hess_max_ev", "distance", "update_ratio" };
        for (int i = 0; i < 5; i++) check_same_trace(path_of("every%d", o), path_of("every%d", o), told[i], STEPS);
    }
}

/* ---- weights in and out ---- */

static void test_init(void **state) {
    (void)state;
    plan first = { .steps = 3, .out = path_of("init1"), .save = path_of("init.1"), .seed = 4 };
    train(&first);
    plan still = {
        .steps = 1, .set = { "lr=0" }, .init = path_of("init.1"), .out = path_of("init2"), .save = path_of("init.2"), .seed = 9
    };
    train(&still);
    assert_true(same_files(path_of("init.1"), path_of("init.2")));
    tensor_file *f = tensor_file_open(path_of("init.1"), NULL);
    assert_non_null(f);
    assert_int_equal(f->n, 4); /* PyTorch's names, sorted; nothing else */
    static const char *const names[] = { "fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight" };
    for (int i = 0; i < 4; i++) assert_string_equal(f->entry[i].name, names[i]);
    assert_int_equal(f->entry[1].shape[0], 12);
    assert_int_equal(f->entry[1].shape[1], 256);
    assert_int_equal(f->entry[1].dtype, TENSOR_F32);
    tensor_file_close(f);
}

/* ---- what cannot work ---- */

static void must_fail(const plan *p, int32_t status, const char *fragment) {
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    int32_t got = try_train(p, &error);
    if (got != status || error.status != status || !strstr(error.text, fragment))
        fail_msg("%d \"%s\", not %d \"%s\"", got, error.text, status, fragment);
    assert_int_equal(try_train(p, NULL), status);
    assert_int_equal(mem_count().blocks, blocks);
}

static void test_errors(void **state) {
    (void)state;
    const char *out = path_of("never");
    must_fail(&(plan){ .out = out, .model = "/no/such/model.json" }, PITOT_EIO, "/no/such/model.json");
    must_fail(&(plan){ .out = out, .data = "mnist:/no/such/folder" }, PITOT_EIO, "/no/such/folder");
    must_fail(&(plan){ .out = out, .data = "nothing" }, PITOT_EINVAL, "nothing");
    must_fail(&(plan){ .out = out, .optimizer = "adm" }, PITOT_EINVAL, "did you mean \"adam\"?");
    must_fail(&(plan){ .out = out, .set = { "lr" } }, PITOT_EINVAL, "is not KEY=VALUE");
    must_fail(&(plan){ .out = out, .set = { "=1" } }, PITOT_EINVAL, "is not KEY=VALUE");
    must_fail(&(plan){ .out = out, .set = { "rate=1" } }, PITOT_EINVAL, "unknown option \"rate\"");
    must_fail(&(plan){ .out = out, .set = { "lr=fast" } }, PITOT_EINVAL, "is not a number");
    must_fail(&(plan){ .out = out, .probes = "los" }, PITOT_EINVAL, "did you mean \"loss\"?");
    must_fail(&(plan){ .out = out, .model = path_of("narrow.json") }, PITOT_EMISMATCH, "gives 4 values");
    must_fail(&(plan){ .out = out, .model = path_of("wide.json") }, PITOT_EMISMATCH, "takes 300 values");
    must_fail(&(plan){ .out = out, .model = path_of("targets.json") }, PITOT_EMISMATCH, "has 10 classes");
    must_fail(&(plan){ .out = out, .init = path_of("tiny.json") }, PITOT_EFORMAT, "tiny.json");
    must_fail(&(plan){ .out = out, .init = path_of("nothing") }, PITOT_EIO, "nothing");
    must_fail(&(plan){ .out = path_of("tiny.json/run") }, PITOT_EIO, "folder");
    must_fail(&(plan){ .out = path_of("tiny.json") }, PITOT_EIO, "folder");
    must_fail(&(plan){ .out = NULL }, PITOT_EINVAL, "must be given");
    assert_int_equal(pitot_train(NULL, NULL), PITOT_EINVAL);
    assert_int_not_equal(access(out, F_OK), 0); /* nothing was begun */
}

/* A folder that holds a run is left alone. */
static void test_existing(void **state) {
    (void)state;
    pitot_error error = { 0 };
    plan p = { .steps = 2, .out = path_of("taken") };
    train(&p);
    copy_file(path_of("taken/events.jsonl"), path_of("taken.before"));
    assert_true(try_train(&p, &error) < 0);
    assert_non_null(strstr(error.text, "there is a run in it already"));
    assert_true(same_files(path_of("taken/events.jsonl"), path_of("taken.before")));
}

/* Weights that cannot be saved at the end: said, the run ends as failed, and its checkpoint is there. */
static void test_unwritable_save(void **state) {
    (void)state;
    pitot_error error = { 0 };
    plan p = { .steps = 2, .out = path_of("unsaved"), .save = path_of("no/such/folder/w.safetensors") };
    assert_int_equal(try_train(&p, &error), PITOT_EIO); /* known before the first step */
    assert_int_not_equal(access(path_of("unsaved"), F_OK), 0);
    p.save = path_of("saved");
    train(&p);
    p.resume = 1;
    unlink(path_of("saved")); /* a run that has all its steps: its weights can still be had */
    train(&p);
    assert_int_equal(last_progress.resumed, 2);
    assert_int_equal(state_of(path_of("unsaved")).segments, 1);
    assert_int_equal(access(path_of("saved"), R_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_sgd),
        cmocka_unit_test(test_resume_adam),
        cmocka_unit_test(test_resume_amsgrad),
        cmocka_unit_test(test_resume_from_the_middle),
        cmocka_unit_test(test_resume_from_damaged_counters),
        cmocka_unit_test(test_resume_of_nothing),
        cmocka_unit_test(test_resume_of_another),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_smaller_batch),
        cmocka_unit_test(test_probes_change_nothing),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_existing),
        cmocka_unit_test(test_unwritable_save),
    };
    return cmocka_run_group_tests(tests, set_up, clear_away);
}
