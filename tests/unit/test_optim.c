/* Optimizers: every method in the registry against what its reference really produced (tests/golden), and what the core around them
   promises: options, skipped tensors, threads, memory. */

#include "golden.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/number.h"
#include "base/random.h"
#include "pitot/optim.h"

#include <cjson/cJSON.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12, tolerance_d = 1e-12;
#else
static const double tolerance = 1e-6, /* ten steps' round-off, up to 4e-7 */
    tolerance_d = 0.05;               /* d of distances of 1e-6 between values of 1: float has 6e-8 of these */
#endif

/* ---- golden traces ---- */

GOLDEN_FILE("tests/golden/optimizers_first_order.json");

static const cJSON *traces(void) {
    return cJSON_GetObjectItem(golden, "traces")->child;
}

static const char *text_of(const cJSON *trace, const char *field) {
    return cJSON_GetObjectItem(trace, field)->valuestring;
}

/* The test problems of the traces: start and gradient. A: (3x0+x1, x0+x1); B: C*W + 0.1 sum(W). */
static int64_t start(char problem, pitot_real *x) {
    static const double a[] = { 1, -2 }, b[] = { 1, -2, 0.5, 0.3, 0.7, -1.1 };
    int64_t n = problem == 'A' ? 2 : 6;
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)(problem == 'A' ? a : b)[i];
    return n;
}

static void gradient(char problem, const pitot_real *x, pitot_real *g) {
    static const double c[] = { 3, 1, 2, 0.5, 1.5, 1 };
    double sum = 0;
    if (problem == 'A') {
        g[0] = 3 * x[0] + x[1];
        g[1] = x[0] + x[1];
        return;
    }
    for (int i = 0; i < 6; i++) sum += (double)x[i];
    for (int i = 0; i < 6; i++) g[i] = (pitot_real)(c[i] * (double)x[i] + 0.1 * sum);
}

static void option_text(const cJSON *value, char *out, size_t size) {
    char number[NUMBER_ROOM];
    size_t used = 0;
    if (cJSON_IsBool(value)) snprintf(out, size, "%s", cJSON_IsTrue(value) ? "true" : "false");
    for (const cJSON *v = cJSON_IsArray(value)    ? value->child
                          : cJSON_IsNumber(value) ? value
                                                  : NULL;
         v; v = cJSON_IsArray(value) ? v->next : NULL) {
        number_write(v->valuedouble, number);
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", number);
    }
}

static pitot_optim *optim_of(const cJSON *trace) {
    char text[128];
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(text_of(trace, "optimizer"), &error);
    if (!o) fail_msg("%s: %s", text_of(trace, "name"), error.text);
    for (const cJSON *h = cJSON_GetObjectItem(trace, "hyperparams")->child; h; h = h->next) {
        option_text(h, text, sizeof text);
        if (pitot_optim_set(o, h->string, text, &error)) fail_msg("%s: %s", text_of(trace, "name"), error.text);
    }
    return o;
}

/* Where the method estimates d, steps are as far off as that. */
static void check_point(const cJSON *trace, int step, const cJSON *want, const pitot_real *x, int64_t n) {
    pitot_real from[6];
    start(text_of(trace, "problem")[0], from);
    for (int64_t i = 0; i < n; i++) {
        double expected = cJSON_GetArrayItem(want, (int)i)->valuedouble;
        double share = cJSON_GetObjectItem(trace, "d") ? tolerance_d : 0;
        if (!(fabs((double)x[i] - expected) <= tolerance + share * fabs(expected - (double)from[i])))
            fail_msg("%s, step %d, value %d: %.17g, the reference has %.17g", text_of(trace, "name"), step, (int)i, (double)x[i],
                     expected);
    }
}

/* Where the reference evaluates, if that is elsewhere; what the run's array "d" holds, if it has one. */
static void check_more(const cJSON *trace, int step, pitot_optim *o, const pitot_real *x, int64_t n) {
    const cJSON *evaluated = cJSON_GetObjectItem(trace, "evaluated"), *d = cJSON_GetObjectItem(trace, "d");
    pitot_optim_array a;
    if (evaluated) {
        assert_int_equal(pitot_optim_evaluate(o, 1), PITOT_OK);
        check_point(trace, step, cJSON_GetArrayItem(evaluated, step - 1), x, n);
        assert_int_equal(pitot_optim_evaluate(o, 0), PITOT_OK);
    }
    for (int64_t j = 0; d; j++) {
        assert_int_equal(pitot_optim_state(o, j, &a), PITOT_OK);
        if (strcmp(a.name, ":d")) continue;
        double want = cJSON_GetArrayItem(d, step - 1)->valuedouble, got = *(const double *)a.data;
        if (!(fabs(got - want) <= tolerance_d * want))
            fail_msg("%s, step %d: d is %.17g, not %.17g", text_of(trace, "name"), step, got, want);
        return;
    }
}

/* A: (2), A2: (1,2), B: (2,3) */
static void check_trace(const cJSON *trace) {
    pitot_real x[6], g[6];
    const pitot_real *at = g;
    const char *name = text_of(trace, "problem");
    char problem = name[0];
    pitot_optim *o = optim_of(trace);
    pitot_optim_tensor tensor = { "w", start(problem, x), x, &at, { 2, problem == 'A' ? 0 : 3 } };
    if (name[1]) tensor.shape[0] = 1, tensor.shape[1] = 2;
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    int step = 0;
    for (const cJSON *want = cJSON_GetObjectItem(trace, "iterates")->child; want; want = want->next) {
        gradient(problem, x, g);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        check_point(trace, ++step, want, x, tensor.size);
        check_more(trace, step, o, x, tensor.size);
    }
    assert_true(step == 10 && strlen(text_of(trace, "reference")) > 0);
    pitot_optim_free(o);
}

static void test_traces(void **state) {
    (void)state;
    for (const cJSON *t = traces(); t; t = t->next) check_trace(t);
}

/* Whether a test has `name` in its line "reference cases: name, name". */
static int has_case_elsewhere(const char *name) {
    static const char mark[] = "reference cases:";
    glob_t files;
    int found = 0;
    size_t length = strlen(name);
    assert_int_equal(glob("tests/unit/test_*.c", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc && !found; i++) {
        int64_t size;
        char *text = (char *)file_read(files.gl_pathv[i], 0, &size, NULL), *line = text ? strstr(text, mark) : NULL;
        char *end = line ? strchr(line, '\n') : NULL;
        for (char *p = line; p && p < end && !found; p += strcspn(p, " ,*") + 1)
            found = strncmp(p, name, length) == 0 && strchr(" ,.\n*", p[length]);
        mem_free(text);
    }
    globfree(&files);
    return found;
}

/* Or a file of its own in tests/golden/optimizers (test_optim_golden.c). */
static int has_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "tests/golden/optimizers/%s.json", name);
    return file_exists(path);
}

/* A method that nothing is compared with is a failure; with traces, it is on two problems: on the first, one step cannot tell methods apart. */
static void test_every_method_has_a_trace(void **state) {
    (void)state;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        int on_a = 0, on_b = 0;
        for (const cJSON *t = traces(); t; t = t->next) {
            if (strcmp(text_of(t, "optimizer"), (*m)->name)) continue;
            on_a += text_of(t, "problem")[0] == 'A';
            on_b += text_of(t, "problem")[0] == 'B';
        }
        if ((!on_a || !on_b) && (on_a || on_b || (!has_file((*m)->name) && !has_case_elsewhere((*m)->name))))
            fail_msg("optimizer %s has no traces in tests/golden/optimizers, and no test names it", (*m)->name);
    }
}

/* ---- descriptors and options ---- */

static void test_descriptors(void **state) {
    (void)state;
    const char *before = "";
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        const pitot_optimizer *o = *m;
        assert_true(o->struct_size == sizeof *o && o->abi == PITOT_ABI);
        assert_true(strcmp(before, o->name) < 0); /* in order of name */
        assert_true(o->summary[0] && o->paper[0] && o->formula[0] && (o->update || o->step));
        assert_true(o->memory && o->memory[0] && o->cost && o->cost[0]);
        assert_string_equal(o->options[0].name, "lr");
        assert_ptr_equal(pitot_optimizer_find(o->name), o);
        for (const pitot_option *p = o->options; p->name; p++)
            assert_true(p->help && p->help[0] && p->offset + 8 <= o->options_size);
        before = o->name;
    }
    assert_null(pitot_optimizer_find("no such method"));
}

static void must_set(const char *method, const pitot_option *p, double v, int good) {
    char text[64], owner[128], number[NUMBER_ROOM];
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(method, NULL);
    number_write(v, number);
    snprintf(text, sizeof text, "%s%s%s", number, p->count > 1 ? "," : "", p->count > 1 ? number : "");
    snprintf(owner, sizeof owner, "optimizer %s: %s: ", method, p->name);
    int32_t status = pitot_optim_set(o, p->name, text, &error);
    if (status != (good ? PITOT_OK : PITOT_EINVAL)) fail_msg("%s%s: status %d", owner, text, status);
    if (!good && (strncmp(error.text, owner, strlen(owner)) || !strstr(error.text, "out of range")))
        fail_msg("%s%s: %s", owner, text, error.text);
    pitot_optim_free(o);
}

static void must_refuse(const char *method, const char *option, const char *text, const char *says) {
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(method, NULL);
    int32_t status = pitot_optim_set(o, option, text, &error);
    if (status != PITOT_EINVAL || !strstr(error.text, says))
        fail_msg("%s %s=%s: %d, \"%s\"", method, option, text, status, error.text);
    pitot_optim_free(o);
}

/* Each option at its bounds, just beyond them, and given nonsense. */
static void check_option(const char *method, const pitot_option *p) {
    static const char *const garbage[] = { "", "x", "1x", "0.1 0.2", "1,2,3,4,5", "nan", "--1", "1e", "\xff\xfe", "true1" };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) must_refuse(method, p->name, garbage[i], p->name);
    if (p->kind == PITOT_BOOL || p->kind == PITOT_CHOICE || p->min == p->max) return;
    must_set(method, p, p->min, 1);
    must_set(method, p, p->max, 1);
    must_set(method, p, p->kind == PITOT_INT ? p->min - 1 : nextafter(p->min, -INFINITY), 0);
    must_set(method, p, p->kind == PITOT_INT ? p->max + 1 : nextafter(p->max, INFINITY), 0);
    if (p->kind != PITOT_INT) must_set(method, p, INFINITY, 0);
}

static void test_options(void **state) {
    (void)state;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        for (const pitot_option *p = (*m)->options; p->name; p++) check_option((*m)->name, p);
        must_refuse((*m)->name, "lrr", "1", "did you mean \"lr\"");
        must_refuse((*m)->name, "qqqqqqqq", "1", "known: lr");
    }
    must_refuse("sgd", "momentun", "0.9", "did you mean \"momentum\"");
    must_refuse("adam", "betas", "0.9,1", "[0, 1)");
    must_refuse("adam", "amsgrad", "2", "true or false");
}

static void test_unknown_method(void **state) {
    (void)state;
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    assert_null(pitot_optim_new("adm", &error));
    assert_int_equal(error.status, PITOT_EINVAL);
    assert_non_null(strstr(error.text, "did you mean \"adam\""));
    assert_null(pitot_optim_new("", NULL));
    pitot_optim_free(NULL);
    assert_int_equal(mem_count().blocks, blocks);
}

/* ---- an optimizer at work ---- */

static pitot_optim *make(const char *method, const char *const *set) {
    pitot_optim *o = pitot_optim_new(method, NULL);
    assert_non_null(o);
    for (; set && *set; set += 2) assert_int_equal(pitot_optim_set(o, set[0], set[1], NULL), PITOT_OK);
    return o;
}

static void test_nesterov_check(void **state) {
    (void)state;
    pitot_real x = 1, g = 1;
    const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    static const char *const bad[][7] = { { "nesterov", "true" }, { "nesterov", "true", "momentum", "0.9", "dampening", "0.1" } };
    for (int i = 0; i < 2; i++) {
        pitot_error error = { 0 };
        pitot_optim *o = make("sgd", bad[i]);
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, &error), PITOT_EINVAL);
        assert_non_null(strstr(error.text, "optimizer sgd: nesterov needs momentum > 0 and dampening 0"));
        assert_int_equal(pitot_optim_step(o), PITOT_EORDER);
        assert_true(x == 1);
        pitot_optim_free(o);
    }
}

/* Sizes and shapes that do not agree would be read beyond their ends. */
static void test_bad_tensors(void **state) {
    (void)state;
    pitot_real x[6] = { 0 }, g[6] = { 0 };
    const pitot_real *at = g;
    const int64_t much = INT64_C(1) << 40;
    const pitot_optim_tensor good = { "w", 6, x, &at, { 2, 3 } }, bad[] = {
        { "w", 6, x, &at, { 2, 4 } },      { "w", 6, x, &at, { 3 } },        { "w", 6, x, &at, { -2, -3 } },
        { "w", 0, x, &at, { 0 } },         { "w", -6, x, &at, { 0 } },       { "w", 6, x, &at, { much, much, much } },
        { NULL, 6, x, &at, { 0 } },        { "w", 6, NULL, &at, { 0 } },     { "w", 6, x, NULL, { 0 } },
        { "w", INT64_MAX, x, &at, { 0 } }, { "w", much << 9, x, &at, { 0 } }
    };
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        pitot_optim *o = pitot_optim_new((*m)->name, NULL);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            pitot_optim_tensor two[2] = { good, bad[i] };
            pitot_error error = { 0 };
            if (pitot_optim_prepare(o, two, 2, 1, &error) != PITOT_EINVAL) fail_msg("%s: takes bad tensor %zu", (*m)->name, i);
            assert_true(error.text[0]);
            assert_int_equal(pitot_optim_step(o), PITOT_EORDER);
        }
        assert_int_equal(pitot_optim_prepare(o, &good, 0, 1, NULL), PITOT_EINVAL);
        pitot_optim_free(o);
    }
}

static void test_order_of_calls(void **state) {
    (void)state;
    pitot_real x = 1, g = 2;
    const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    pitot_error error = { 0 };
    pitot_optim *o = make("sgd", (const char *const[]){ "lr", "0.5", NULL });
    assert_string_equal(pitot_optim_method(o)->name, "sgd");
    assert_true(pitot_optim_lr(o) == 0.5);
    assert_int_equal(pitot_optim_step(o), PITOT_EORDER);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 0, NULL), PITOT_OK);
    pitot_optim_step(o);
    assert_true(x == 0);
    assert_int_equal(pitot_optim_set(o, "momentum", "0.9", &error), PITOT_EORDER);
    assert_non_null(strstr(error.text, "only lr may change"));
    assert_int_equal(pitot_optim_set(o, "lr", "0.25", NULL), PITOT_OK);
    pitot_optim_step(o);
    assert_true(x == -0.5);
    assert_int_equal(pitot_optim_set(o, "lr", "-1", NULL), PITOT_EINVAL);
    assert_true(pitot_optim_lr(o) == 0.25);
    pitot_optim_free(o);
}

/* State is made for the slots that the options use, and no others. */
static void test_slots(void **state) {
    (void)state;
    static const struct {
        const char *method, *option, *text;
        int slots;
    } cases[] = { { "sgd", "lr", "1", 0 },
                  { "sgd", "momentum", "0.9", 1 },
                  { "adam", "lr", "1", 2 },
                  { "adam", "amsgrad", "true", 3 },
                  { "adamw", "lr", "1", 2 },
                  { "adamw", "amsgrad", "true", 3 },
                  { "rmsprop", "lr", "1", 1 },
                  { "rmsprop", "centered", "true", 2 },
                  { "rmsprop", "momentum", "0.9", 2 },
                  { "adafactor", "lr", "1", 1 },
                  { "adafactor", "beta1", "0.9", 2 } };
    pitot_real x = 1, g = 1;
    const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pitot_optim *o = make(cases[i].method, (const char *const[]){ cases[i].option, cases[i].text, NULL });
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
        int made = 0;
        pitot_optim_array a;
        for (int64_t j = 0; pitot_optim_state(o, j, &a) == PITOT_OK; j++) made += strncmp(a.name, "w:", 2) == 0;
        assert_int_equal(made, cases[i].slots);
        pitot_optim_free(o);
    }
}

/* Methods with traces here want nothing but gradients and move in their first step; what the others owe is in test_optim_all.c. */
static int is_traced(const pitot_optimizer *m) {
    pitot_optim *o = make(m->name, NULL);
    uint32_t wants = pitot_optim_wants(o);
    int found = 0;
    pitot_optim_free(o);
    for (const cJSON *t = traces(); t && !found; t = t->next) found = strcmp(text_of(t, "optimizer"), m->name) == 0;
    return found && !wants;
}

static void check_counts(pitot_optim *o, double a, double b) {
    pitot_optim_array steps;
    assert_int_equal(pitot_optim_state(o, 0, &steps), PITOT_OK);
    assert_string_equal(steps.name, ":steps");
    const double *count = steps.data;
    assert_true(count[1] == a && count[2] == b);
}

/* Prodigy's distances are from where a tensor was when its first gradient came. */
static void check_begun(pitot_optim *o) {
    static const pitot_real from[3] = { 1, -2, 3 };
    pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(o, j, &a) == PITOT_OK; j++)
        if (strcmp(a.name, "b:p0") == 0) assert_memory_equal(a.data, from, sizeof from);
}

/* A tensor without a gradient: neither it nor its state nor its count of steps moves; the others go on. When its gradient comes,
   it does what a fresh tensor does in its first step. */
static void check_skipping(const char *method, const char *const *set) {
    pitot_real x[2][3] = { { 1, -2, 3 }, { 1, -2, 3 } }, g[2][3] = { { 0.5, 0.25, -1 }, { 0.5, 0.25, -1 } };
    const pitot_real *at[2] = { g[0], NULL };
    pitot_optim_tensor tensors[2] = { { "a", 3, x[0], &at[0], { 0 } }, { "b", 3, x[1], &at[1], { 0 } } };
    pitot_optim *o = make(method, set);
    assert_int_equal(pitot_optim_prepare(o, tensors, 2, 1, NULL), PITOT_OK);
    pitot_optim_step(o);
    pitot_real first[3];
    memcpy(first, x[0], sizeof first);
    assert_true(first[0] != 1);
    pitot_optim_step(o);
    check_counts(o, 2, 0);
    assert_true(x[1][0] == 1 && x[1][1] == -2 && x[1][2] == 3);
    assert_int_equal(pitot_optim_evaluate(o, 1), PITOT_OK);
    assert_true(x[1][0] == 1 && x[1][1] == -2 && x[1][2] == 3);
    assert_int_equal(pitot_optim_evaluate(o, 0), PITOT_OK);
    at[0] = NULL;
    at[1] = g[1];
    pitot_optim_step(o);
    check_counts(o, 2, 1);
    check_begun(o);
    if (!strstr(pitot_optim_method(o)->name, "prodigy"))
        assert_memory_equal(x[1], first, sizeof first); /* it learns of all tensors */
    pitot_optim_free(o);
}

static void test_skipping(void **state) {
    (void)state;
    check_skipping("sgd", NULL);
    check_skipping("sgd", (const char *const[]){ "momentum", "0.9", "weight_decay", "0.1", NULL });
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++)
        if (is_traced(*m)) check_skipping((*m)->name, (const char *const[]){ "lr", "0.1", NULL });
}

/* ---- threads: ranges of one tensor, the same bits however it is cut ---- */

static const int64_t large[] = { (1 << 15) - 1, 1 << 15, (1 << 15) + 77, 3 };
enum { TENSORS = sizeof large / sizeof *large };

static void run_large(const cJSON *trace, int threads, pitot_real *x[TENSORS]) {
    pitot_real *g[TENSORS];
    pitot_optim_tensor tensors[TENSORS];
    pitot_optim *o = optim_of(trace);
    for (int k = 0; k < TENSORS; k++) {
        x[k] = mem_alloc(large[k], sizeof **x);
        g[k] = mem_alloc(large[k], sizeof **g);
        for (int64_t i = 0; i < large[k]; i++) x[k][i] = (pitot_real)random_uniform(1, 2, (uint64_t)k, (uint64_t)i);
        tensors[k] = (pitot_optim_tensor){ "w", large[k], x[k], (const pitot_real *const *)&g[k], { 0 } };
    }
    assert_int_equal(pitot_optim_prepare(o, tensors, TENSORS, threads, NULL), PITOT_OK);
    int64_t requests = mem_count().requests;
    for (uint64_t step = 0; step < 3; step++) {
        for (int k = 0; k < TENSORS; k++)
            for (int64_t i = 0; i < large[k]; i++) g[k][i] = (pitot_real)(random_uniform(3, step, (uint64_t)k, (uint64_t)i) - 0.5);
        pitot_optim_step(o);
    }
    assert_int_equal(mem_count().requests, requests); /* steps allocate nothing */
    for (int k = 0; k < TENSORS; k++) mem_free(g[k]);
    pitot_optim_free(o);
}

static void check_threads(const cJSON *trace) {
    pitot_real *one[TENSORS], *more[TENSORS];
    run_large(trace, 1, one);
    for (int threads = 2; threads <= 3; threads++) {
        run_large(trace, threads, more);
        for (int k = 0; k < TENSORS; k++) {
            if (memcmp(one[k], more[k], (size_t)large[k] * sizeof **one))
                fail_msg("%s: %d threads give other bits", text_of(trace, "name"), threads);
            mem_free(more[k]);
        }
    }
    for (int k = 0; k < TENSORS; k++) mem_free(one[k]);
}

static void test_threads(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    for (const cJSON *t = traces(); t; t = t->next)
        if (text_of(t, "problem")[0] == 'A') check_threads(t);
    assert_int_equal(mem_count().blocks, blocks);
}

/* ---- hostile values and memory ---- */

/* What is not finite moves nothing, is told, and is forgotten with the next step: that does what it does in a run without. A gradient too
   small to square is an ordinary one; a value whose gradient is zero stands still. */
static void check_odd(const char *method, double odd) {
    pitot_real x[2][3] = { { 1, 1, 1 }, { 1, 1, 1 } }, g[3] = { 1, (pitot_real)odd, 0 };
    const pitot_real *at = g;
    pitot_optim *o[2];
    for (int k = 0; k < 2; k++) {
        pitot_optim_tensor tensor = { "w", 3, x[k], &at, { 0 } };
        o[k] = make(method, (const char *const[]){ "lr", "0.1", NULL });
        pitot_optim_set(o[k], "weight_decay", "0", NULL); /* where there is one */
        assert_int_equal(pitot_optim_prepare(o[k], &tensor, 1, 1, NULL), PITOT_OK);
    }
    int finite = isfinite(odd) != 0;
    assert_int_equal(pitot_optim_step(o[0]), finite ? PITOT_OK : PITOT_EHOST);
    if (finite) pitot_optim_step(o[1]);
    else assert_true(x[0][0] == 1 && x[0][1] == 1 && x[0][2] == 1);
    g[1] = 0;
    for (int k = 0; k < 2; k++) assert_int_equal(pitot_optim_step(o[k]), PITOT_OK);
    if (memcmp(x[0], x[1], sizeof x[0])) fail_msg("%s: not the same after a gradient of %g", method, odd);
    if (!(x[0][0] < 1 && isfinite((double)x[0][1]) && x[0][2] == 1))
        fail_msg("%s: %g %g %g after a gradient of %g", method, (double)x[0][0], (double)x[0][1], (double)x[0][2], odd);
    for (int k = 0; k < 2; k++) pitot_optim_free(o[k]);
}

static void test_odd_gradients(void **state) {
    (void)state;
    static const double odd[] = { NAN, INFINITY, -INFINITY, 1e-45 };
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++)
        for (size_t i = 0; i < sizeof odd / sizeof *odd && is_traced(*m); i++) check_odd((*m)->name, odd[i]);
}

static int32_t build(pitot_optim **out) {
    static pitot_real x[2] = { 1, 1 }, g[2] = { 1, 1 };
    static const pitot_real *at = g;
    pitot_optim_tensor tensors[2] = { { "a", 2, x, &at, { 0 } }, { "b", 2, x, &at, { 0 } } };
    pitot_error error = { 0 };
    *out = pitot_optim_new("adam", &error);
    if (!*out) return error.status;
    int32_t status = pitot_optim_prepare(*out, tensors, 2, 1, &error);
    if (status) {
        assert_int_equal(error.status, status);
        assert_int_equal(pitot_optim_step(*out), PITOT_EORDER);
        mem_fail_at(0, 0); /* and with memory it goes on from there */
        assert_int_equal(pitot_optim_prepare(*out, tensors, 2, 1, NULL), PITOT_OK);
        assert_int_equal(pitot_optim_step(*out), PITOT_OK);
    }
    return status;
}

/* The k-th request for memory fails, until none does: a status each time, nothing kept. */
static void test_no_memory(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    for (int forever = 0; forever < 2; forever++)
        for (int k = 1;; k++) {
            pitot_optim *o;
            mem_fail_at(k, forever);
            int32_t status = build(&o);
            mem_fail_at(0, 0);
            pitot_optim_free(o);
            assert_int_equal(mem_count().blocks, blocks);
            if (status == PITOT_OK) {
                assert_true(k > 8); /* new: 2; per tensor: its name and two slots */
                break;
            }
            assert_int_equal(status, PITOT_ENOMEM);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),         cmocka_unit_test(test_every_method_has_a_trace),
        cmocka_unit_test(test_descriptors),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_unknown_method), cmocka_unit_test(test_nesterov_check),
        cmocka_unit_test(test_order_of_calls), cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_slots),          cmocka_unit_test(test_skipping),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_odd_gradients),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
