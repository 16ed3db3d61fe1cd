/* Processes that are killed at random moments. A child trains in a run directory; what it has acknowledged, through memory that it
   shares with the parent, must be in the log when it is dead, with the same bits; the log may end in the middle of a line and nothing
   else; and the next child must be able to go on. First with hooks around a loop of its own, then with the built-in trainer, whose
   weights must in the end be those of a run that nobody killed.

   kill [SEED]: the moments depend on the seed, which is printed. PITOT_FUZZ_SCALE < 1: fewer rounds. */

#include "base/file.h"
#include "base/alloc.h"
#include "base/random.h"
#include "pitot/hooks.h"
#include "pitot/log.h"
#include "pitot/train.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 200, CONTINUED = 6, ROOM = 1 << 15, MOST_STEPS = 3000, TENSORS = 40, TRAINER_STEPS = 6000, TRAINER_KILLS = 60 };

typedef struct board {     /* shared with the child */
    _Atomic int64_t done;  /* last step that was acknowledged; -1: none */
    double value[ROOM][2]; /* by step: loss and gradient norm, as pitot_value gave them */
    char error[1100];
} board;

static board *shared;
static char folder[64];
static uint64_t seed = 1;

static _Noreturn void failed(const char *what, int64_t round, int64_t detail) {
    printf("kill: FAILED with seed %llu in round %lld: %s (%lld); %s is left\n", (unsigned long long)seed, (long long)round, what,
           (long long)detail, folder);
    exit(1);
}

static double chance(uint64_t round, uint64_t index) {
    return random_uniform(seed, 77, round, index);
}

static void wait_ms(double ms) {
    struct timespec t = { (time_t)(ms / 1000), (long)(1e6 * fmod(ms, 1000)) };
    while (nanosleep(&t, &t) && errno == EINTR) {}
}

/* Short delays are commoner: most of the work is near the beginning. */
static double moment_of(int64_t round) {
    double u = chance((uint64_t)round, 0);
    return 0.2 + 60 * u * u * u;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the log of the dead ---- */

static pitot_log *read_log(const char *dir, int64_t round, pitot_log_state *state) {
    pitot_error error = { 0 };
    pitot_log *log = pitot_log_open(dir, &error);
    if (!log) failed(error.text, round, 0);
    while (pitot_log_poll(log, 0, &error) > 0) {}
    if (error.status) failed(error.text, round, error.status);
    state->struct_size = sizeof *state;
    pitot_log_get_state(log, state);
    return log;
}

/* 1: the log ends in the middle of a line, so that there will be one damaged line more when the next child has closed it. */
static int torn_tail(const char *dir, const pitot_log_state *s) {
    char path[200];
    int64_t size;
    if (s->tail == 0) return 0;
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    char *text = (char *)file_read(path, 0, &size, NULL);
    int whole = text && pitot_log_check(text + size - s->tail, s->tail); /* only the newline is missing */
    mem_free(text);
    return !whole;
}

/* ---- a loop with hooks ---- */

static double loss_of(int64_t step, int64_t round) {
    return sin(1.7 * (double)step + 0.3 * (double)round) + 1e-3 * (double)step;
}

static _Noreturn void give_up(const char *why) {
    snprintf(shared->error, sizeof shared->error, "%s", why);
    _exit(3);
}

static void acknowledge(pitot_run *run, int64_t step) {
    pitot_health h = { .struct_size = sizeof h };
    double value[2];
    int64_t at[2] = { -1, -1 };
    pitot_value(run, "loss", &value[0], &at[0]);
    pitot_value(run, "grad_norm", &value[1], &at[1]);
    pitot_get_health(run, &h);
    if (h.errors || h.dropped || at[0] != step || at[1] != step) give_up(pitot_last_error(run));
    memcpy(shared->value[step], value, sizeof value);
    atomic_store(&shared->done, step);
}

/* Forty tensors: a record is larger than a page, since writes are torn between pages. */
static _Noreturn void loop_until_killed(const char *dir, int64_t start, int64_t round) {
    static pitot_real x[TENSORS][2], g[TENSORS][2];
    char state[200];
    pitot_config c = { .struct_size = sizeof c, .probes = "economy, update_ratio", .flags = PITOT_RESUME };
    pitot_run *run = pitot_open(dir, &c);
    snprintf(state, sizeof state, "%s/state", dir);
    for (int i = 0; i < TENSORS; i++) {
        char name[40];
        snprintf(name, sizeof name, "block%d.attention.weight", i);
        pitot_add_param(run, &(pitot_param){
                                 .struct_size = sizeof(pitot_param), .name = name, .data = x[i], .grad = g[i], .shape = { 2 } });
    }
    if (file_exists(state)) pitot_restore(run, state);
    if (pitot_last_error(run)[0]) give_up(pitot_last_error(run));
    for (int64_t step = start; step < start + MOST_STEPS && step < ROOM; step++) {
        pitot_begin(run, step);
        pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = loss_of(step, round) });
        for (int i = 0; i < TENSORS; i++) g[i][step % 2] = (pitot_real)cos((double)(step * TENSORS + i));
        pitot_after_backward(run);
        for (int i = 0; i < TENSORS; i++) x[i][0] -= (pitot_real)0.01 * g[i][0];
        pitot_after_update(run, 0.01);
        acknowledge(run, step);
        if (step % 40 == 39) pitot_checkpoint(run, state);
    }
    for (;;) pause();
}

/* Lets `child` live until it has acknowledged something and a random while longer; kills it. */
static void kill_child(pid_t child, int64_t round, int64_t before) {
    int status = 0;
    for (int waited = 0; atomic_load(&shared->done) == before; waited++) {
        if (waitpid(child, &status, WNOHANG) == child) failed(shared->error, round, status);
        if (waited == 200000) failed("the child does nothing", round, 0);
        wait_ms(0.05);
    }
    wait_ms(moment_of(round));
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child) failed("waitpid", round, errno);
    if (!WIFSIGNALED(status)) failed(shared->error, round, status);
}

typedef struct truth { /* what the log of a run directory must hold: steps 0..n-1 */
    int64_t n, torn, segments;
    double value[ROOM][2];
} truth;

static void compare(const pitot_log *log, const truth *t, const char *name, int which, int64_t round) {
    pitot_series s;
    if (pitot_log_series(log, pitot_log_find(log, name), &s)) failed("a series is missing", round, which);
    if (s.n < t->n || s.n > t->n + 1) failed("acknowledged steps are missing, or there are others", round, s.n - t->n);
    for (int64_t i = 0; i < t->n; i++) {
        if (s.step[i] != i) failed("a step is missing", round, i);
        if (memcmp(&s.value[i], &t->value[i][which], sizeof(double))) failed("a value is not what was acknowledged", round, i);
    }
    if (s.n > t->n && which == 0 && s.value[t->n] != loss_of(t->n, round))
        failed("a value that was not acknowledged is wrong", round, t->n);
}

/* Writes are torn rarely: in every third round another torn one is put behind what the dead left. */
static void tear(const char *dir, truth *t, int64_t round) {
    static const char line[] = "{\"step\":123,\"wall\":1.5,\"loss\":0.125,\"grad_norm\":3,\"crc\":\"0123";
    char path[200];
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    FILE *log = round % 3 == 0 ? fopen(path, "ab") : NULL;
    if (!log) return;
    fwrite(line, 1, 1 + (size_t)((sizeof line - 2) * chance((uint64_t)round, 3)), log);
    fclose(log);
    t->torn++;
}

/* Line by line, as programs read it that know nothing of torn ones: each header stands on a good line of its own. */
static void check_lines(const char *dir, const truth *t, int64_t round) {
    char path[200];
    int64_t size = 0, headers = 0;
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    char *text = (char *)file_read(path, 0, &size, NULL);
    if (!text) failed("the log cannot be read", round, errno);
    for (char *line = text, *end; (end = memchr(line, '\n', (size_t)(text + size - line))); line = end + 1)
        headers += strncmp(line, "{\"pitot\"", 8) == 0 && pitot_log_check(line, end - line);
    if (headers != t->segments) failed("a header does not stand on a line of its own", round, headers - t->segments);
    mem_free(text);
}

static void check_log(const char *dir, truth *t, int64_t round) {
    pitot_log_state s;
    pitot_log *log = read_log(dir, round, &s);
    if (s.damaged != t->torn) failed("damaged lines beyond those that were torn", round, s.damaged - t->torn);
    if (s.ended != PITOT_LOG_OPEN) failed("the run has not ended", round, s.ended);
    if (s.segments != ++t->segments) failed("a segment has no header", round, s.segments - t->segments);
    check_lines(dir, t, round);
    compare(log, t, "loss", 0, round);
    compare(log, t, "grad_norm", 1, round);
    t->torn += torn_tail(dir, &s);
    if (s.tail == 0) tear(dir, t, round);
    pitot_log_close(log);
}

/* Kills `rounds` loops; returns the torn tails and adds up what was acknowledged. */
static int64_t kill_loops(int64_t rounds, int64_t *acknowledged) {
    static truth t;
    char dir[128];
    int64_t torn = 0;
    for (int64_t round = 0; round < rounds; round++) {
        if (round % CONTINUED == 0 || t.n + MOST_STEPS > ROOM) {
            torn += t.torn;
            t.n = t.torn = t.segments = 0;
            snprintf(dir, sizeof dir, "%s/loop%lld", folder, (long long)round);
        }
        int64_t back = chance((uint64_t)round, 1) < 0.5 ? 0 : (int64_t)(40 * chance((uint64_t)round, 2)),
                start = t.n > back ? t.n - back : 0;
        atomic_store(&shared->done, -1);
        pid_t child = fork();
        if (child < 0) failed("fork", round, errno);
        if (child == 0) loop_until_killed(dir, start, round);
        kill_child(child, round, -1);
        t.n = atomic_load(&shared->done) + 1;
        memcpy(t.value[start], shared->value[start], (size_t)(t.n - start) * sizeof *t.value);
        *acknowledged += t.n - start;
        check_log(dir, &t, round);
        if (round % CONTINUED == CONTINUED - 1) remove_tree(dir);
    }
    return torn + t.torn;
}

/* ---- the trainer ---- */

static void write_model(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/model.json", folder);
    FILE *out = fopen(path, "w");
    if (!out) failed("the model cannot be written", 0, errno);
    fputs("{\"input\": [256], \"loss\": \"cross_entropy\", \"layers\": [{\"op\": \"linear\", \"out_features\": 8}, {\"op\": "
          "\"relu\"},"
          "{\"op\": \"dropout\", \"p\": 0.2}, {\"op\": \"linear\", \"out_features\": 10}]}",
          out);
    fclose(out);
}

static _Noreturn void train(const char *name) {
    static const char *const set[] = { "lr=0.003" };
    char model[128], out[128], save[160];
    pitot_error error = { 0 };
    snprintf(model, sizeof model, "%s/model.json", folder);
    snprintf(out, sizeof out, "%s/%s", folder, name);
    snprintf(save, sizeof save, "%s.safetensors", out);
    pitot_train_config c = { .struct_size = sizeof c,
                             .model = model,
                             .data = "glyphs:57",
                             .optimizer = "adam",
                             .set = set,
                             .n_set = 1,
                             .probes = "economy@3",
                             .steps = TRAINER_STEPS,
                             .batch = 10,
                             .threads = 1,
                             .save = save,
                             .checkpoint_every = 25,
                             .out = out,
                             .resume = 1 };
    if (pitot_train(&c, &error)) give_up(error.text);
    _exit(0);
}

static pid_t start_trainer(const char *name, int64_t round) {
    pid_t child = fork();
    if (child < 0) failed("fork", round, errno);
    if (child == 0) train(name);
    return child;
}

static int64_t size_of(const char *path) {
    struct stat st;
    return stat(path, &st) ? 0 : (int64_t)st.st_size;
}

/* Kills the trainer a random while after its log has grown. 0: it had finished before. */
static int kill_trainer(pid_t child, const char *events, int64_t round) {
    int status = 0;
    for (int64_t before = size_of(events), waited = 0; size_of(events) == before && waited < 20000; waited++) {
        if (waitpid(child, &status, WNOHANG) == child) return status ? failed(shared->error, round, status), 0 : 0;
        wait_ms(0.05);
    }
    wait_ms(moment_of(round));
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child) failed("waitpid", round, errno);
    if (!WIFSIGNALED(status) && status) failed(shared->error, round, status);
    return WIFSIGNALED(status);
}

static void compare_logs(const char *one, const char *other, int64_t torn) {
    static const char *const names[] = { "loss", "distance", "grad_norm/0.weight" };
    pitot_log_state s, t;
    pitot_log *a = read_log(one, -1, &s), *b = read_log(other, -1, &t);
    if (s.damaged || t.damaged != torn || t.ended != PITOT_LOG_DONE) failed("the trainer's log is damaged", -1, t.damaged - torn);
    for (int i = 0; i < 3; i++) {
        pitot_series x, y;
        if (pitot_log_series(a, pitot_log_find(a, names[i]), &x) || pitot_log_series(b, pitot_log_find(b, names[i]), &y) ||
            x.n != y.n)
            failed("the trainer's logs differ in their steps", -1, i);
        if (memcmp(x.value, y.value, (size_t)x.n * sizeof *x.value) || memcmp(x.step, y.step, (size_t)x.n * sizeof *x.step))
            failed("the trainer's logs differ in their values", -1, i);
    }
    pitot_log_close(a);
    pitot_log_close(b);
}

static int same_files(const char *a, const char *b) {
    int64_t na = 0, nb = 0;
    unsigned char *x = file_read(a, 0, &na, NULL), *y = file_read(b, 0, &nb, NULL);
    int same = x && y && na == nb && memcmp(x, y, (size_t)na) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

/* Returns how often it could be killed before it was done. */
static int64_t kill_trainers(int64_t most) {
    char whole[128], parts[128], events[160], a[160], b[160];
    pitot_log_state s;
    int64_t kills = 0, torn = 0;
    int status = -1;
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(parts, sizeof parts, "%s/parts", folder);
    snprintf(events, sizeof events, "%s/events.jsonl", parts);
    snprintf(a, sizeof a, "%s.safetensors", whole);
    snprintf(b, sizeof b, "%s.safetensors", parts);
    pid_t child = start_trainer("whole", -1);
    if (waitpid(child, &status, 0) != child || status) failed(shared->error, -1, status);
    while (kills < most && kill_trainer(start_trainer("parts", kills), events, 1000 + kills)) {
        pitot_log_close(read_log(parts, 1000 + kills, &s));
        if (s.damaged != torn) failed("damaged lines beyond those that were torn", 1000 + kills, s.damaged - torn);
        torn += torn_tail(parts, &s);
        kills++;
    }
    child = start_trainer("parts", kills);
    if (waitpid(child, &status, 0) != child || status) failed(shared->error, 1000 + kills, status);
    if (!same_files(a, b)) failed("the weights are not those of a run that was left alone", kills, 0);
    compare_logs(whole, parts, torn);
    return kills;
}

int main(int argc, char **argv) {
    const char *scale = getenv("PITOT_FUZZ_SCALE");
    double share = scale ? fmin(1, atof(scale)) : 1;
    int64_t acknowledged = 0, rounds = (int64_t)ceil(share * ROUNDS);
    if (argc > 1) seed = strtoull(argv[1], NULL, 10);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(folder, "/tmp/pitot-kill-XXXXXX");
    if (shared == MAP_FAILED || !mkdtemp(folder)) failed("no memory or folder to share", 0, errno);
    int64_t torn = kill_loops(rounds, &acknowledged);
    write_model();
    int64_t kills = kill_trainers((int64_t)ceil(share * TRAINER_KILLS));
    remove_tree(folder);
    printf("kill: seed %llu: %lld loops killed, %lld records acknowledged, 0 lost, %lld torn tails; trainer killed %lld times, "
           "weights the same\n",
           (unsigned long long)seed, (long long)rounds, (long long)acknowledged, (long long)torn, (long long)kills);
    return 0;
}
