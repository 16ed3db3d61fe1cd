/* alarm_command.c: see alarm_command.h. */

#include "alarm_command.h"

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SENTENCE = 1024, BUDGET = 4 << 20 /* bytes of the log at one look */, OWN = 5 /* variables */ };

static const double pause_least = 1, pause_share = 50, patience = 2; /* seconds; times what a look took; seconds */

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void complain(alarm_watch *w, const char *why, int number) {
    if (!w->failed) fprintf(stderr, "pitot: --alarm-cmd: the command %s %d; this is told once\n", why, number);
    w->failed = 1;
}

/* ---- children ---- */

/* Takes note of commands that have ended. Returns how many have not. */
static int reap(alarm_watch *w) {
    int status, left = 0;
    for (int i = 0; i < ALARM_COMMANDS; i++) {
        if (w->child[i] <= 0) continue;
        pid_t done = waitpid(w->child[i], &status, WNOHANG);
        if (done == 0 || (done < 0 && errno == EINTR)) {
            left++;
            continue;
        }
        w->child[i] = 0;
        if (done > 0 && WIFEXITED(status) && WEXITSTATUS(status)) complain(w, "ended with status", WEXITSTATUS(status));
        if (done > 0 && WIFSIGNALED(status)) complain(w, "was ended by signal", WTERMSIG(status));
    }
    return left;
}

static int free_place(const alarm_watch *w) {
    for (int i = 0; i < ALARM_COMMANDS; i++)
        if (w->child[i] <= 0) return i;
    return -1;
}

/* The environment with `own` before it; the strings are not copied. NULL: no memory. */
static char **environment(char *own[OWN]) {
    size_t n = 0, kept = OWN;
    while (environ[n]) n++;
    char **all = malloc((n + OWN + 1) * sizeof *all);
    if (!all) return NULL;
    memcpy(all, own, OWN * sizeof *all);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "PITOT_ALARM_", 12) != 0 && strncmp(environ[i], "PITOT_RUN=", 10) != 0) all[kept++] = environ[i];
    all[kept] = NULL;
    return all;
}

/* In a process group of its own, so that Ctrl-C is not for it, with nothing to read, and signals as a program expects them. */
static int spawn(const char *line, const char *sentence, char **variables, pid_t *child) {
    char *const words[] = { "sh", "-c", (char *)(uintptr_t)line, "pitot-alarm", (char *)(uintptr_t)sentence, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t usual;
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGHUP);
    if (posix_spawn_file_actions_init(&files)) return ENOMEM;
    if (posix_spawnattr_init(&how)) return posix_spawn_file_actions_destroy(&files), ENOMEM;
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_setsigdefault(&how, &usual);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    int status = posix_spawn(child, "/bin/sh", &files, &how, words, variables);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return status;
}

/* 1: it has been started, or cannot be. */
static int start(alarm_watch *w, const alarm_entry *a) {
    char sentence[SENTENCE], name[160], step[64], value[64], says[SENTENCE + 32], run[4200];
    int place = free_place(w);
    if (place < 0) return 0;
    alarm_sentence(w->log, a, sentence, sizeof sentence);
    snprintf(name, sizeof name, "PITOT_ALARM_NAME=%s%s%s", a->output, *a->tensor ? "/" : "", a->tensor);
    snprintf(step, sizeof step, "PITOT_ALARM_STEP=%lld", (long long)a->e.raised);
    snprintf(value, sizeof value, "PITOT_ALARM_VALUE=%.9g", a->e.ended < 0 ? a->e.value : a->e.worst);
    snprintf(says, sizeof says, "PITOT_ALARM_SAYS=%s", sentence);
    snprintf(run, sizeof run, "PITOT_RUN=%s", w->run);
    char *own[OWN] = { name, step, value, says, run }, **variables = environment(own);
    int status = variables ? spawn(w->command, sentence, variables, &w->child[place]) : ENOMEM;
    if (status) {
        w->child[place] = 0;
        complain(w, "cannot be started: error", status);
    }
    free(variables);
    return 1;
}

/* ---- which are new ---- */

static alarm_told *told_of(alarm_watch *w, const alarm_entry *a) {
    for (int64_t i = 0; i < w->n_told; i++)
        if (w->told[i].side == a->side && strcmp(w->told[i].output, a->output) == 0) return &w->told[i];
    alarm_told *more = realloc(w->told, (size_t)(w->n_told + 1) * sizeof *more);
    if (!more) return NULL;
    w->told = more;
    alarm_told *t = &more[w->n_told++];
    *t = (alarm_told){ .side = a->side, .last = -1 };
    memcpy(t->output, a->output, sizeof t->output);
    return t;
}

/* Oldest first, as far as order matters: of one output, what ended stands after what is active, the latest first. */
static void tell(alarm_watch *w) {
    for (int64_t i = w->alarms.n - 1; i >= 0 && w->command; i--) {
        const alarm_entry *a = &w->alarms.alarm[i];
        if (a->e.highest != ALARM_RAISED || a->last < w->from) continue;
        alarm_told *t = told_of(w, a);
        if (!t) return;
        if (a->began > t->last && !start(w, a)) continue;
        if (a->last > t->last) t->last = a->last;
    }
}

static void look(alarm_watch *w, int64_t budget) {
    int32_t news;
    if (!w->log) w->log = pitot_log_open(w->run, NULL);
    if (!w->log) return;
    news = pitot_log_poll(w->log, budget, NULL);
    if (news <= 0 && budget) return;
    panel_list_free(&w->panels);
    if (panel_list_make(w->log, &w->panels) == PITOT_OK && alarm_list_make(w->log, &w->panels, &w->alarms) == PITOT_OK) tell(w);
}

void alarm_watch_turn(alarm_watch *w) {
    double at = now();
    if (at < w->next) return;
    reap(w);
    look(w, BUDGET);
    double after = now();
    w->next = after + fmax(pause_least, pause_share * (after - at));
}

int64_t alarm_watch_end(alarm_watch *w) {
    double until = now() + patience;
    int64_t active = 0;
    reap(w);
    look(w, 0);
    while (reap(w) > 0 && now() < until) nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    for (int64_t i = 0; i < w->alarms.active; i++) active += w->alarms.alarm[i].e.level == ALARM_RAISED;
    alarm_list_free(&w->alarms);
    panel_list_free(&w->panels);
    pitot_log_close(w->log);
    free(w->told);
    return active;
}
