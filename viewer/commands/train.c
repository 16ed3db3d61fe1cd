/* train.c: `pitot train`: the built-in loop with probes on, progress, and the viewer beside it. */

#include "alarm_command.h"
#include "command.h"
#include "progress.h"
#include "self.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <omp.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SET = 256, PATH_SIZE = 4096 };

extern char **environ;

/* ---- interrupts: the loop ends within a tenth of a second, with a checkpoint; another one, a second later, ends the program ---- */

static volatile sig_atomic_t stop;

/* The same signal often comes twice at once (to the process and to its group), so "again" begins a second later. */
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
        if (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN) /* nohup, and jobs in the background */
            sigaction(numbers[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- what a resumed run was told the first time ---- */

typedef struct settings {
    pitot_train_config c;
    char model[PATH_SIZE], out[PATH_SIZE], *manifest;
    const char *set[MOST_SET];
    cJSON *facts;
} settings;

static const char *fact_text(const settings *s, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(s->facts, "train"), key));
}

static double fact_number(const settings *s, const char *key, double otherwise) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(s->facts, "train"), key);
    return cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsBool(v) ? cJSON_IsTrue(v) : otherwise;
}

/* 1 if there is nothing in the folder, or none. */
static int is_empty(const char *path) {
    DIR *folder = opendir(path);
    int n = 0;
    for (struct dirent *e; folder && (e = readdir(folder));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    if (folder) closedir(folder);
    return n == 0;
}

static int recall(settings *s) {
    pitot_log *log = pitot_log_open(s->c.out, NULL);
    int there = log && *pitot_log_manifest(log);
    s->facts = there ? cJSON_Parse(pitot_log_manifest(log)) : NULL;
    pitot_log_close(log);
    if (there && !s->facts) return fail("%s/run.json: is damaged, so the run's settings are not known; start a new run", s->c.out);
    if (!log && !is_empty(s->c.out)) return fail_usage("train", "train: --resume %s: there is no run in that folder", s->c.out);
    if (!s->facts) return EXIT_DONE;
    snprintf(s->model, sizeof s->model, "%s/model.json", s->c.out);
    s->c.model = access(s->model, R_OK) == 0 ? s->model : fact_text(s, "model");
    s->c.data = fact_text(s, "data");
    s->c.optimizer = fact_text(s, "optimizer");
    s->c.probes = fact_text(s, "probes");
    s->c.init = fact_text(s, "init");
    s->c.save = fact_text(s, "save");
    s->c.every = (int64_t)fact_number(s, "every", 0);
    s->c.budget = fact_number(s, "budget", 0);
    s->c.steps = (int64_t)fact_number(s, "steps", 0);
    s->c.batch = (int64_t)fact_number(s, "batch", 0);
    s->c.no_shuffle = (int32_t)fact_number(s, "no_shuffle", 0);
    s->c.threads = (int32_t)fact_number(s, "threads", 0);
    s->c.seed = (uint64_t)fact_number(s, "seed", 0);
    s->c.checkpoint_every = (int64_t)fact_number(s, "checkpoint_every", 0);
    const cJSON *set = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(s->facts, "train"), "set");
    for (const cJSON *e = set ? set->child : NULL; e && s->c.n_set < MOST_SET / 2; e = e->next)
        if (cJSON_IsString(e)) s->set[s->c.n_set++] = e->valuestring;
    return EXIT_DONE;
}

/* ---- flags ---- */

static int read_budget(const args *a, settings *s) {
    const char *text = args_get(a, "--budget");
    char *end;
    if (!text) return 0;
    double v = strtod(text, &end);
    if (end == text || (strcmp(end, "%") && *end) || !(v > 0 && v <= 10000))
        return fail_usage("train", "train: --budget %s: give a percentage such as 5%%", text);
    s->c.budget = v / 100;
    return 0;
}

/* A folder that is not there yet: runs/NAME, runs/NAME-2, ... */
static void choose_folder(settings *s) {
    char name[128];
    const char *base = strrchr(s->c.model, '/');
    snprintf(name, sizeof name, "%s", base ? base + 1 : s->c.model);
    char *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = 0;
    snprintf(s->out, sizeof s->out, "runs/%s", name);
    for (int i = 2; access(s->out, F_OK) == 0 && i < 100000; i++) snprintf(s->out, sizeof s->out, "runs/%s-%d", name, i);
    s->c.out = s->out;
}

static void take_text(const args *a, const char *flag_name, const char **to) {
    if (args_get(a, flag_name)) *to = args_get(a, flag_name);
}

static int read_flags(const args *a, settings *s) {
    int bad = 0;
    if (args_get(a, "--resume") && args_get(a, "--out"))
        return fail_usage("train", "train: --resume RUNDIR goes on in that folder; leave --out away");
    s->c.out = args_get(a, "--resume");
    s->c.resume = s->c.out != NULL;
    int status = s->c.resume ? recall(s) : EXIT_DONE;
    if (status) return status;
    take_text(a, "--out", &s->c.out);
    take_text(a, "--model", &s->c.model);
    take_text(a, "--data", &s->c.data);
    take_text(a, "--optimizer", &s->c.optimizer);
    take_text(a, "--probes", &s->c.probes);
    take_text(a, "--init", &s->c.init);
    take_text(a, "--save", &s->c.save);
    for (int k = 0; args_at(a, "--set", k) && s->c.n_set < MOST_SET; k++) s->set[s->c.n_set++] = args_at(a, "--set", k);
    s->c.set = s->set;
    if (args_get(a, "--every") && args_get(a, "--budget"))
        return fail_usage("train", "train: --every and --budget exclude each other");
    if (args_get(a, "--epochs") && args_get(a, "--steps"))
        return fail_usage("train", "train: --epochs and --steps exclude each other");
    if (args_get(a, "--every")) s->c.budget = 0;
    if (args_get(a, "--budget")) s->c.every = 0;
    s->c.every = args_int(a, "--every", s->c.every, 1, INT32_MAX, &bad);
    s->c.steps = args_int(a, "--steps", args_get(a, "--epochs") ? 0 : s->c.steps, 1, INT64_C(1) << 50, &bad);
    s->c.epochs = args_int(a, "--epochs", 0, 1, INT32_MAX, &bad);
    s->c.batch = args_int(a, "--batch", s->c.batch, 1, INT32_MAX, &bad);
    s->c.threads = (int32_t)args_int(a, "--threads", s->c.threads, 1, 256, &bad);
    s->c.seed = (uint64_t)args_int(a, "--seed", (int64_t)s->c.seed, 0, INT64_C(1) << 53, &bad);
    s->c.checkpoint_every = args_int(a, "--checkpoint-every", s->c.checkpoint_every, 1, INT64_C(1) << 50, &bad);
    if (args_get(a, "--no-shuffle")) s->c.no_shuffle = 1;
    if (bad || read_budget(a, s)) return EXIT_USAGE;
    if (!s->c.model && s->c.resume)
        return fail_usage("train", "train: %s: there is no run to resume; start one with --model, --data and --out", s->c.out);
    if (!s->c.model) return fail_usage("train", "train: --model FILE is missing; examples/glyphs_cnn.json is one to start with");
    if (!s->c.data) s->c.data = "glyphs";
    if (!s->c.out) choose_folder(s);
    return EXIT_DONE;
}

/* ---- the viewer beside it ---- */

typedef struct show {
    pid_t viewer; /* 0: none */
    progress_line line;
    int quiet;
    pitot_train_progress last;
    const char *out;
    char trouble[256];
    int alarms; /* its own alarms are looked for */
    alarm_watch alarm;
} show;

static pid_t open_viewer(const char *out) {
    pid_t child;
    char *const words[] = { "pitot", "watch", "--linger", "10", (char *)(uintptr_t)out, NULL };
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) return 0;
    return posix_spawn(&child, self_path(), NULL, NULL, words, environ) == 0 ? child : 0;
}

static int viewer_is_there(show *s) {
    int status;
    if (s->viewer > 0 && waitpid(s->viewer, &status, WNOHANG) != 0) s->viewer = 0;
    return s->viewer > 0;
}

static void tell(show *s, const pitot_train_progress *p) {
    char text[256];
    double left = p->rate > 0 ? (double)(p->steps - p->step) / p->rate : NAN;
    int n = snprintf(text, sizeof text, "step %lld/%lld  loss %.4g", (long long)p->step, (long long)p->steps, p->loss);
    if (p->val_loss == p->val_loss) n += snprintf(text + n, sizeof text - (size_t)n, "  val loss %.4g", p->val_loss);
    if (p->val_accuracy == p->val_accuracy)
        n += snprintf(text + n, sizeof text - (size_t)n, "  val accuracy %.1f%%", 100 * p->val_accuracy);
    snprintf(text + n, sizeof text - (size_t)n, "  probes %.1f%%", 100 * p->overhead);
    progress_show(&s->line, text, (double)(p->step - p->resumed), (double)(p->steps - p->resumed), p->rate, left);
}

static int32_t on_progress(void *user, const pitot_train_progress *p) {
    show *s = user;
    s->last = *p;
    snprintf(s->trouble, sizeof s->trouble, "%s", p->trouble);
    if (p->resumed > s->alarm.from) s->alarm.from = p->resumed;
    if (s->alarms) alarm_watch_turn(&s->alarm);
    if (!viewer_is_there(s) && !s->quiet) tell(s, p);
    return stop;
}

static int interrupted(const show *s) {
    return s->last.step < s->last.steps;
}

static void report_end(const show *s, const settings *set) {
    const pitot_train_progress *p = &s->last;
    int nothing = p->resumed >= p->steps;
    if (s->trouble[0]) fprintf(stderr, "pitot: while training: %s\n", s->trouble);
    if (s->quiet) return;
    if (nothing)
        printf("nothing left to do: %lld of %lld steps are done; give a larger --steps", (long long)p->step, (long long)p->steps);
    else
        printf("%s after %lld steps, %.1f s%s; loss %.6g", interrupted(s) ? "interrupted" : "done", (long long)p->step, p->seconds,
               p->resumed ? " since resumed" : "", p->loss);
    if (p->val_accuracy == p->val_accuracy) printf(", validation accuracy %.2f%%", 100 * p->val_accuracy);
    printf("\nrun   %s\n", set->c.out);
    if (set->c.save && !interrupted(s)) printf("saved %s\n", set->c.save);
}

static int train(const args *a, settings *set) {
    show s = { .quiet = args_get(a, "--quiet") != NULL, .out = set->c.out };
    pitot_error error = { 0 };
    if (set->c.threads > 0) omp_set_num_threads(set->c.threads);
    else set->c.threads = omp_get_max_threads();
    set->c.struct_size = sizeof set->c;
    set->c.progress = on_progress;
    set->c.user = &s;
    s.alarms = args_get(a, "--alarm-cmd") || args_get(a, "--fail-on-alarm");
    s.alarm.run = set->c.out;
    s.alarm.command = args_get(a, "--alarm-cmd");
    catch_signals();
    progress_start(&s.line);
    if (args_get(a, "--watch")) s.viewer = open_viewer(set->c.out);
    if (args_get(a, "--watch") && !s.viewer) fputs("pitot: --watch needs a terminal; going on without\n", stderr);
    int32_t status = pitot_train(&set->c, &error);
    int code;
    if (s.viewer > 0 && status) kill(s.viewer, SIGTERM);
    while (s.viewer > 0 && waitpid(s.viewer, &code, 0) < 0 && errno == EINTR) {}
    progress_end(&s.line);
    int64_t alarms = s.alarms && s.last.struct_size ? alarm_watch_end(&s.alarm) : 0; /* 0: it never began */
    if (status) return fail_error(&error);
    report_end(&s, set);
    if (interrupted(&s)) return EXIT_FAILED;
    return alarms && args_get(a, "--fail-on-alarm") ? EXIT_ALARM : EXIT_DONE;
}

static int run(const args *a) {
    settings *set = calloc(1, sizeof *set);
    if (!set) return fail("out of memory");
    int status = read_flags(a, set);
    if (status == EXIT_DONE) status = train(a, set);
    cJSON_Delete(set->facts);
    free(set);
    return status;
}

static const flag flags[] = {
    { "--model", "FILE", "model file (JSON)", 0 },
    { "--data", "SPEC", "mnist:DIR, cifar10:DIR, npz:FILE or glyphs[:N]; default glyphs", 0 },
    { "--optimizer", "NAME", "see `pitot list optimizers`; default sgd", 0 },
    { "--set", "KEY=VALUE", "option of the optimizer (lr=0.1), or WRAPPER.OPTION=VALUE, PROBE.OPTION=VALUE; repeats", 1 },
    { "--probes", "LIST", "economy, business, full, all, none, or names; NAME@N: every N steps, NAME@log; default economy", 0 },
    { "--every", "N", "track every N steps; default 1", 0 },
    { "--budget", "P%", "track as often as keeps the probes' share of the time below P percent", 0 },
    { "--epochs", "N", "passes over the training samples; default 1", 0 },
    { "--steps", "N", "steps instead, counted from the start of training", 0 },
    { "--batch", "N", "samples a step; default 64", 0 },
    { "--no-shuffle", NULL, "samples in file order", 0 },
    { "--seed", "N", "of initial values, shuffling, dropout and probes; default 0", 0 },
    { "--threads", "N", "default: all processors, or OMP_NUM_THREADS", 0 },
    { "--init", "FILE.safetensors", "initial values instead of drawn ones", 0 },
    { "--save", "FILE.safetensors", "where the trained parameters go", 0 },
    { "--checkpoint-every", "N", "steps; a checkpoint is always written at the end", 0 },
    { "--resume", "RUNDIR", "go on from the newest checkpoint, with the settings of then; flags given now win", 0 },
    { "--out", "RUNDIR", "new folder for log, checkpoints and figures; default runs/MODEL", 0 },
    { "--watch", NULL, "open the viewer beside it (needs a terminal)", 0 },
    { "--alarm-cmd", "CMD", "shell command to run once for each alarm: $1 and $PITOT_ALARM_SAYS say what and what to try", 0 },
    { "--fail-on-alarm", NULL, "exit status 3 if an alarm, not a mere warning, is active at the end", 0 },
    { "--quiet", NULL, "no progress", 0 },
    { 0 },
};

const command command_train = {
    .name = "train",
    .synopsis = "",
    .summary = "train a model with any optimizer, probes on",
    .details = "examples\n"
               "  pitot train --model examples/glyphs_cnn.json --data glyphs --optimizer adam --epochs 5 --watch\n"
               "  pitot train --model m.json --data mnist:data --optimizer sgd --set lr=0.05 --set momentum=0.9 --budget 5%\n"
               "  pitot train --resume runs/m --steps 20000\n\n"
               "exit status: 0 done, 1 failed or interrupted, 2 usage, 3 see --fail-on-alarm. Ctrl-C ends it soon, "
               "with a checkpoint; once more, a second later, at once.\n",
    .flags = flags,
    .run = run,
};
