/* emit.c: what probes and hosts say in a step: kept until the next begins, remembered as latest values, written as records. */

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/log.h"
#include "run/run.h"

#include <string.h>

/* ---- keeping ---- */

static void keep(pitot_run *run, emission e) {
    if (!run_reserve(&run->emission, run->n_emissions, 1, &run->room_emissions, sizeof e)) {
        run_fail(run, PITOT_ENOMEM, "no memory for the values of step %lld", (long long)run->step);
        return;
    }
    run->emission[run->n_emissions++] = e;
}

static void keep_of(const pitot_frame *f, emission e) {
    pitot_run *run = f->out->run;
    e.slot = f->out->slot;
    e.step = f->step;
    if (!e.field) e.field = "";
    if (e.tensor >= run->n_live || (e.tensor >= 0 && f->tensor[e.tensor].size == 0)) return; /* gone for now */
    run->slot[e.slot].condition = PITOT_STATE_OK;
    keep(run, e);
}

void pitot_emit(const pitot_frame *f, const char *field, double value) {
    keep_of(f, (emission){ .kind = PITOT_READ_SCALAR, .field = field, .tensor = -1, .value = value });
}

void pitot_emit_tensor(const pitot_frame *f, const char *field, int64_t tensor, double value) {
    keep_of(f, (emission){ .kind = PITOT_READ_TENSOR, .field = field, .tensor = tensor, .value = value });
}

static void keep_numbers(const pitot_frame *f, emission e, const double *values) {
    pitot_run *run = f->out->run;
    if (e.n < 0 || !run_reserve(&run->number, run->n_numbers, e.n, &run->room_numbers, sizeof *values)) return;
    if (e.n) memcpy(run->number + run->n_numbers, values, (size_t)e.n * sizeof *values);
    e.numbers = run->n_numbers;
    keep_of(f, e);
    run->n_numbers += e.n;
}

void pitot_emit_list(const pitot_frame *f, const char *field, const double *values, int64_t n) {
    keep_numbers(f, (emission){ .kind = PITOT_READ_LIST, .field = field, .tensor = -1, .n = n }, values);
}

void pitot_emit_table(const pitot_frame *f, const char *field, int64_t tensor, const double *values, int64_t rows, int64_t cols) {
    keep_numbers(f, (emission){ .kind = PITOT_READ_TABLE, .field = field, .tensor = tensor, .n = rows * cols, .rows = rows },
                 values);
}

void pitot_emit_sample_values(const pitot_frame *f, const char *field, int64_t tensor, const pitot_real *values, int64_t n,
                              int64_t stride) {
    keep_of(f, (emission){ .kind = PITOT_READ_SAMPLE_VALUES,
                           .field = field,
                           .tensor = tensor,
                           .n = n * f->tensor[tensor].size,
                           .rows = n,
                           .stride = stride,
                           .reals = values });
}

void pitot_emit_values(const pitot_frame *f, const char *field, int64_t tensor, const pitot_real *values) {
    keep_of(f, (emission){
                   .kind = PITOT_READ_VALUES, .field = field, .tensor = tensor, .n = f->tensor[tensor].size, .reals = values });
}

void pitot_emit_samples(const pitot_frame *f, const char *field, const pitot_real *values, int64_t n) {
    keep_of(f, (emission){ .kind = PITOT_READ_SAMPLES, .field = field, .tensor = -1, .n = n, .reals = values });
}

enum { REMARK = -1 }; /* emission.kind: what stands in slot.said, for the log alone */

void emit_remarks(pitot_run *run) {
    for (int32_t i = 0; i < run->n_slots; i++) {
        slot *s = &run->slot[i];
        s->lacking = s->condition == PITOT_STATE_LEVEL ? s->lacking + 1 : 0;
        int waits = s->condition == PITOT_STATE_WAITING || s->lacking == 1; /* in its first step the host may not have been asked */
        const char *text = s->condition == PITOT_STATE_OK ? s->remark : waits ? s->said : s->why;
        if (strcmp(text, s->said) == 0) continue;
        memcpy(s->said, text, sizeof s->said);
        keep(run, (emission){ .slot = i, .kind = REMARK, .field = "remark", .tensor = -1, .step = run->step });
    }
}

void pitot_remark(const pitot_frame *f, const char *text) {
    slot *s = &f->out->run->slot[f->out->slot];
    snprintf(s->remark, sizeof s->remark, "%s", text);
}

void pitot_undefined(const pitot_frame *f, const char *why) {
    slot *s = &f->out->run->slot[f->out->slot];
    s->condition = PITOT_STATE_UNDEFINED;
    snprintf(s->why, sizeof s->why, "%s", why);
}

double setting_of(const pitot_run *run, int32_t group, const char *name, double otherwise) {
    for (int64_t i = 0; i < run->n_settings; i++) {
        const setting *s = &run->setting[i];
        if (strcmp(s->name, name)) continue;
        if (s->group == group) return s->value;
        if (s->group < 0) otherwise = s->value;
    }
    return otherwise;
}

double pitot_hyper_of(const pitot_frame *f, int32_t group, const char *name, double otherwise) {
    return setting_of(f->out->run, group, name, otherwise);
}

double pitot_random(const pitot_frame *f, uint64_t index) {
    const pitot_run *run = f->out->run;
    return random_uniform(run->seed, random_purpose(run->slot[f->out->slot].probe->name), (uint64_t)f->step, index);
}

/* Keys with which records say what they are. */
static int is_reserved(const char *name) {
    static const char *const keys[] = { "step", "wall", "crc", "pitot", "segment", "steps", "end", "errors", "dropped", "error" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(name, keys[i]) == 0) return 1;
    return 0;
}

/* Names of host scalars live until the step ends; as offsets first, since their store may move. */
int32_t emit_host(pitot_run *run, const char *name, double value) {
    size_t n = strlen(name) + 1;
    if (n == 1 || n > KEY_ROOM - 8 || strpbrk(name, "\"\\#\n") || is_reserved(name))
        return run_fail(run, PITOT_EINVAL, "pitot_scalar: \"%.60s\" cannot be a name in the log", name);
    if (!run_reserve(&run->host_names, run->host_used, (int64_t)n, &run->host_room, 1)) return PITOT_ENOMEM;
    memcpy(run->host_names + run->host_used, name, n);
    keep(run,
         (emission){
             .slot = -1, .kind = PITOT_READ_SCALAR, .tensor = -1, .step = run->step, .value = value, .numbers = run->host_used });
    run->host_used += (int64_t)n;
    return PITOT_OK;
}

void emit_begin(pitot_run *run) {
    run->n_emissions = run->n_numbers = run->flushed = run->host_used = 0;
}

/* ---- latest values ---- */

static latest *place(latest *table, int64_t room, const char *name) {
    uint64_t at = random_purpose(name) & (uint64_t)(room - 1);
    while (table[at].name && strcmp(table[at].name, name)) at = (at + 1) & (uint64_t)(room - 1);
    return &table[at];
}

static int grow_latest(pitot_run *run) {
    int64_t room = run->room_latest ? 2 * run->room_latest : 256;
    latest *larger = mem_alloc(room, sizeof *larger);
    if (!larger) return 0;
    for (int64_t i = 0; i < run->room_latest; i++)
        if (run->latest[i].name) *place(larger, room, run->latest[i].name) = run->latest[i];
    mem_free(run->latest);
    run->latest = larger;
    run->room_latest = room;
    return 1;
}

static void remember(pitot_run *run, const char *name, double value, int64_t step) {
    if (2 * (run->n_latest + 1) > run->room_latest && !grow_latest(run)) return;
    latest *l = place(run->latest, run->room_latest, name);
    if (!l->name) {
        l->name = mem_strdup(name);
        if (!l->name) return;
        run->n_latest++;
    }
    l->value = value;
    l->step = step;
}

int32_t pitot_value(const pitot_run *run, const char *name, double *value, int64_t *step) {
    if (!run) return PITOT_EOFF;
    if (!run->room_latest || !name) return PITOT_ENOTSUP;
    const latest *l = place(run->latest, run->room_latest, name);
    if (!l->name) return PITOT_ENOTSUP;
    if (value) *value = l->value;
    if (step) *step = l->step;
    return PITOT_OK;
}

/* ---- records ---- */

static const char *field_of(const pitot_run *run, const emission *e) {
    return e->slot < 0 ? run->host_names + e->numbers : e->field;
}

/* `probe`, `probe.field`, `probe/tensor`, `probe.field/tensor`; a host's scalar has its own name. 0: too long. */
static int key_of(const pitot_run *run, const emission *e, char out[KEY_ROOM]) {
    const char *field = field_of(run, e);
    if (e->slot < 0) return snprintf(out, KEY_ROOM, "%s", field) < KEY_ROOM - 4;
    int n = snprintf(out, KEY_ROOM, "%s%s%s%s%s", run->slot[e->slot].probe->name, *field ? "." : "", field,
                     e->tensor >= 0 ? "/" : "", e->tensor >= 0 ? run->param[e->tensor].name : "");
    return n < KEY_ROOM - 4;
}

/* Bytes after which a record ends and one of the same step begins: with a longest list behind them, far below the longest line that
   readers take. */
enum { LONG_RECORD = 4 << 20 };

static void write_emission(pitot_run *run, const emission *e) {
    char key[KEY_ROOM];
    if (!key_of(run, e, key)) return;
    if ((e->kind == PITOT_READ_LIST || e->kind == PITOT_READ_TABLE) && e->n <= PITOT_LOG_LIST)
        log_list(&run->log, key, run->number + e->numbers, e->n);
    if (e->kind == REMARK) log_text(&run->log, key, run->slot[e->slot].said);
    if (e->kind != PITOT_READ_SCALAR && e->kind != PITOT_READ_TENSOR) return;
    log_number(&run->log, key, e->value);
    remember(run, key, e->value, e->step);
}

static void open_record(pitot_run *run, int64_t step) {
    log_begin(&run->log);
    log_integer(&run->log, "step", step);
    log_wall(&run->log, run_wall());
}

static void close_record(pitot_run *run, int64_t step) {
    int32_t status = log_end(&run->log, 0);
    if (status)
        run_fail(run, status, "%s/events.jsonl: the record of step %lld could not be written; is the disk full?", run->dir,
                 (long long)step);
}

/* The host's scalars, or the probes' values. */
static void write_emissions(pitot_run *run, int64_t step, int hosts) {
    for (int64_t i = run->flushed; i < run->n_emissions; i++) {
        if (run->emission[i].step != step || (run->emission[i].slot < 0) != hosts) continue;
        if (run->log.used >= LONG_RECORD) {
            close_record(run, step);
            open_record(run, step);
        }
        write_emission(run, &run->emission[i]);
    }
}

/* One record for all emissions since the last flush that belong to this step; more, if they are too many for one. Probes come first. */
static void flush_step(pitot_run *run, int64_t step) {
    open_record(run, step);
    write_emissions(run, step, 0);
    write_emissions(run, step, 1);
    close_record(run, step);
}

/* Second halves of the step before come first. */
void emit_flush(pitot_run *run) {
    int64_t step = INT64_MIN, next = INT64_MAX;
    for (; run->flushed < run->n_emissions; step = next) {
        next = INT64_MAX;
        for (int64_t i = run->flushed; i < run->n_emissions; i++)
            if (run->emission[i].step > step && run->emission[i].step < next) next = run->emission[i].step;
        if (next == INT64_MAX) break;
        flush_step(run, next);
    }
    run->flushed = run->n_emissions;
}

void emit_free(pitot_run *run) {
    for (int64_t i = 0; i < run->room_latest; i++) mem_free(run->latest[i].name);
    mem_free(run->latest);
    mem_free(run->emission);
    mem_free(run->number);
    mem_free(run->host_names);
}

void pitot_readings(const pitot_run *run, void (*each)(void *user, const pitot_reading *reading), void *user) {
    for (int64_t i = 0; run && i < run->n_emissions; i++) {
        const emission *e = &run->emission[i];
        const param *p = e->tensor >= 0 ? &run->param[e->tensor] : NULL;
        if (e->kind == REMARK) continue;
        pitot_reading r = { e->slot >= 0 ? run->slot[e->slot].probe->name : NULL,
                            field_of(run, e),
                            p ? p->name : NULL,
                            e->kind,
                            p ? p->layout.n_dim : 0,
                            e->step,
                            e->n,
                            e->value,
                            run->number + (e->slot >= 0 ? e->numbers : 0),
                            e->reals,
                            p ? p->layout.shape : NULL,
                            e->rows,
                            e->stride };
        each(user, &r);
    }
}
