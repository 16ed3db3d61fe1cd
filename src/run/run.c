/* run.c: opening and closing a run, its parameters, its health. */

#include "run/run.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/sums.h"
#include "pitot/log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double run_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double run_wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int32_t run_fail(pitot_run *run, int32_t status, const char *format, ...) {
    va_list list;
    run->errors++;
    run->error.status = status;
    va_start(list, format);
    vsnprintf(run->error.text, sizeof run->error.text, format, list);
    va_end(list);
    return status;
}

int run_idle(const pitot_run *run) {
    return !run || run->off || run->pid != getpid();
}

int run_calling(const pitot_run *run) {
    return run->curving.calling && !callback_lost(run);
}

void *run_hold(pitot_run *run, int64_t count, size_t size) {
    int64_t bytes;
    if (__builtin_mul_overflow(count, (int64_t)size, &bytes) || bytes > run->memory - run->bytes) return NULL;
    void *block = mem_alloc(count, size);
    if (!block) return NULL;
    run->bytes += bytes;
    if (run->bytes > run->peak) run->peak = run->bytes;
    return block;
}

void run_release(pitot_run *run, void *block, int64_t count, size_t size) {
    if (block) run->bytes -= count * (int64_t)size;
    mem_free(block);
}

int run_room(pitot_run *run, void *block, int64_t *room, int64_t count, size_t size) {
    void *old;
    if (count <= *room) return 1;
    memcpy(&old, block, sizeof old);
    run_release(run, old, *room, size);
    void *larger = run_hold(run, count, size);
    memcpy(block, &larger, sizeof larger);
    *room = larger ? count : 0;
    return larger != NULL;
}

int run_reserve(void *list, int64_t used, int64_t more, int64_t *room, size_t size) {
    void *old;
    if (used + more <= *room) return 1;
    memcpy(&old, list, sizeof old);
    void *larger = mem_grow(old, used, 2 * *room + more + 16, size);
    if (!larger) return 0;
    memcpy(list, &larger, sizeof larger);
    *room = 2 * *room + more + 16;
    return 1;
}

const char *pitot_last_error(const pitot_run *run) {
    return run ? run->error.text : "out of memory";
}

/* A struct of the caller's, which may be of an older or newer header, in ours; half a pointer is none. */
void run_copy_struct(void *to, size_t size, const void *from) {
    size_t theirs = 0;
    memset(to, 0, size);
    if (from) memcpy(&theirs, from, sizeof theirs);
    theirs -= theirs % sizeof(void *);
    if (theirs) memcpy(to, from, theirs < size ? theirs : size);
}

/* ---- open ---- */

static char *copy_text(const char *text) {
    return text ? mem_strdup(text) : NULL;
}

/* The number of segments in a log to be continued: the next one's. */
static int32_t count_segments(const char *dir) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log *log = pitot_log_open(dir, NULL);
    if (!log) return 0;
    while (pitot_log_poll(log, 0, NULL) > 0) {}
    pitot_log_get_state(log, &state);
    pitot_log_close(log);
    return (int32_t)state.segments;
}

static int32_t open_log(pitot_run *run, int resume) {
    char path[PATH_ROOM];
    pitot_error error = { 0 };
    int32_t status = file_make_folder(run->dir, &error);
    if (!status && !file_join(path, sizeof path, run->dir, "events.jsonl"))
        status = pitot_fail(&error, PITOT_EINVAL, "%.200s: the path is too long", run->dir);
    if (!status && !resume && file_exists(path))
        status =
            pitot_fail(&error, PITOT_EINVAL, "%s: there is a run in it already; resume it, or choose another folder", run->dir);
    if (!status && !resume) status = manifest_write(run, &error); /* a resumed run's is renewed when it goes on */
    if (!status) run->segment = resume && file_exists(path) ? count_segments(run->dir) : 0;
    if (!status) status = log_open(&run->log, path, resume, &error);
    return status ? run_fail(run, status, "%s", error.text) : PITOT_OK;
}

static void read_config(pitot_run *run, const pitot_config *c) {
    run->overhead = c->overhead;
    run->memory = c->memory ? c->memory : INT64_C(1) << 30;
    run->seed = c->seed;
    run->grad_scale = c->grad_scale != 0 ? c->grad_scale : 1;
    run->threads = c->threads > 0 ? c->threads : 1;
    run->steps = c->steps;
    run->flags = c->flags;
    run->reduction = c->reduction;
    run->facts = copy_text(c->facts);
    run->optimizer = copy_text(c->optimizer);
}

pitot_run *pitot_open(const char *dir, const pitot_config *config) {
    pitot_config c;
    run_copy_struct(&c, sizeof c, config);
    pitot_run *run = mem_alloc(1, sizeof *run);
    if (!run) return NULL;
    run->log.fd = -1;
    run->pid = getpid();
    run->step = run->first_step = -1;
    read_config(run, &c);
    run->dir = copy_text(dir);
    if ((dir && !run->dir) || (c.facts && !run->facts) || (c.optimizer && !run->optimizer)) {
        run_fail(run, PITOT_ENOMEM, "no memory for a run");
        run->off = 1;
    }
    if (plan_probes(run, c.probes) || plan_options(run, c.options)) run->off = 1;
    if (!run->off && budget_groups(run)) {
        run_fail(run, PITOT_ENOMEM, "no memory for a run");
        run->off = 1;
    }
    if (!run->off && dir && open_log(run, c.flags & PITOT_RESUME)) run->off = 1;
    return run;
}

/* ---- close ---- */

static void free_slot(slot *s, int32_t n_params) {
    for (int32_t i = 0; s->tensor_state && i < n_params; i++) mem_free(s->tensor_state[i]);
    mem_free(s->tensor_state);
    void *const blocks[] = { s->sums, s->options, s->state, s->edges, s->counts, s->by_target };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}

static void write_end(pitot_run *run, int32_t how) {
    static const char *const names[] = { "done", "failed", "interrupted" };
    log_begin(&run->log);
    log_text(&run->log, "end", names[how >= PITOT_DONE && how <= PITOT_INTERRUPTED ? how : PITOT_FAILED]);
    log_wall(&run->log, run_wall());
    log_integer(&run->log, "errors", run->errors);
    log_integer(&run->log, "dropped", run->log.dropped);
    if (run->error.text[0]) log_text(&run->log, "error", run->error.text);
    log_end(&run->log, 1);
}

int32_t pitot_close(pitot_run *run, int32_t how) {
    if (!run) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    if (run->pid == getpid() && !run->off) {
        callback_finish(run);
        emit_flush(run);
        if (run->log.fd >= 0 && run->has_header) write_end(run, how);
    }
    log_close(&run->log);
    emit_free(run);
    sampling_free(run);
    callback_free(run);
    share_free(run);
    for (int32_t i = 0; i < run->n_slots; i++) free_slot(&run->slot[i], run->n_params);
    for (int32_t i = 0; i < run->n_params; i++) param_free(&run->param[i]);
    void *const blocks[] = { run->slot,   run->param,   run->tensor,  run->dir,   run->facts, run->optimizer,
                             run->factor, run->setting, run->emitter, run->group, run };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    return PITOT_OK;
}

/* ---- how it stands ---- */

/* Off for good, or for want of something that the host may still offer, or has offered in a way that cannot be right. */
static int is_off(const slot *s) {
    return s->off || s->condition == PITOT_STATE_LEVEL || s->condition == PITOT_STATE_ERROR;
}

int32_t pitot_get_health(const pitot_run *run, pitot_health *health) {
    if (!run || !health) return PITOT_EOFF;
    double elapsed = run->first_begin > 0 ? run_now() - run->first_begin : 0;
    size_t theirs = health->struct_size && health->struct_size < sizeof(pitot_health) ? health->struct_size : sizeof(pitot_health);
    pitot_health h = { .struct_size = theirs,
                       .errors = run->errors,
                       .dropped = run->log.dropped,
                       .tracked = run->tracked,
                       .unfinished = run->unfinished,
                       .bytes = run->bytes,
                       .seconds = run->inside,
                       .overhead = elapsed > 0 ? run->inside / elapsed : 0,
                       .covered = run->sampling.out.covered,
                       .peak = run->peak };
    for (int32_t i = 0; i < run->n_slots; i++) is_off(&run->slot[i]) ? h.probes_off++ : h.probes_on++;
    memcpy(health, &h, theirs);
    return PITOT_OK;
}

int32_t pitot_probe_state(const pitot_run *run, const char *probe, int32_t *state, const char **why) {
    if (!run) return PITOT_EOFF;
    for (int32_t i = 0; probe && i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        if (strcmp(s->probe->name, probe)) continue;
        if (state) *state = s->condition;
        if (why) *why = s->condition == PITOT_STATE_OK ? s->remark : s->why;
        return PITOT_OK;
    }
    return PITOT_EINVAL;
}

int64_t pitot_report(const pitot_run *run, char *text, size_t size) {
    int64_t used = 0;
    if (size) text[0] = 0;
    for (int32_t i = 0; run && i < run->n_slots; i++) {
        const slot *s = &run->slot[i];
        int off = is_off(s), sampled = (s->probe->needs & FROM_CAPTURES) != 0;
        char when[32];
        schedule_text(&s->when, when);
        size_t left = (size_t)used < size ? size - (size_t)used : 0;
        used += snprintf(left ? text + used : NULL, left, "%-16s %s%s%s%s%s%s\n", s->probe->name, off ? "off: " : "on, every ",
                         off ? s->why : when,
                         off || s->when.kind == LOGARITHMIC ? ""
                         : s->when.every == 1               ? " step"
                                                            : " steps",
                         !off && sampled && run->flags & PITOT_COUPLED ? "; samples act on each other" : "",
                         !off && s->remark[0] ? "; " : "", off ? "" : s->remark);
    }
    return used;
}

int32_t pitot_request(pitot_run *run, const char *probe) {
    if (run_idle(run)) return PITOT_EOFF;
    if (run_calling(run)) return PITOT_EORDER;
    for (int32_t i = 0; probe && i < run->n_slots; i++)
        if (strcmp(run->slot[i].probe->name, probe) == 0) return run->slot[i].requested = 1, PITOT_OK;
    return run_fail(run, PITOT_EINVAL, "pitot_request: this run has no probe \"%.60s\"", probe ? probe : "(null)");
}
