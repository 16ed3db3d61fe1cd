/* list.c: `pitot list`: what the registries hold, as text, as JSON, or as the tables of the README. */

#include "command.h"
#include "wants.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

typedef struct entry { /* one thing of any registry */
    const char *name, *summary, *paper, *formula, *needs, *spec;
    const pitot_option *options;
    const pitot_output *outputs;
    const pitot_optimizer *method; /* an optimizer or a wrapper; or NULL */
    int wrapper;
} entry;

typedef int (*entry_at)(int64_t i, entry *e); /* 0: no more */

static const char *needs_of(uint32_t needs, uint32_t one) {
    if (needs & PITOT_NEED_PRECONDITIONER) return "level P";
    const uint32_t samples = PITOT_NEED_SAMPLES | PITOT_NEED_MOMENTS | PITOT_NEED_HISTOGRAM | PITOT_NEED_PROJECTION |
                             PITOT_NEED_GRAM | PITOT_NEED_LAYERS,
                   curvature = PITOT_NEED_HESSIAN | PITOT_NEED_DIAGONAL;
    const char *beside = needs & samples ? "levels 1 and 2" : "level 2";
    if (needs & (PITOT_NEED_GGN | PITOT_NEED_OUTPUT)) return "level 3";
    if (needs & PITOT_NEED_STEP) return "level 2, PITOT_LATE";
    if (needs & curvature || one & curvature) return beside;
    if (needs & samples) return "level 1";
    if (one & PITOT_NEED_SAMPLES) return one & PITOT_NEED_MICRO ? "level 1, or micro-batches" : "level 1";
    return "level 0";
}

static int probe_at(int64_t i, entry *e) {
    const pitot_probe *p = pitot_probes()[i];
    if (!p) return 0;
    *e = (entry){ .name = p->name,
                  .summary = p->summary,
                  .paper = p->paper,
                  .formula = p->formula,
                  .needs = needs_of(p->needs, p->needs_one),
                  .spec = "",
                  .options = p->options,
                  .outputs = p->outputs };
    return 1;
}

static int method_at(const pitot_optimizer *o, int wrapper, entry *e) {
    static char needs[WANTS_ROOM];
    if (!o) return 0;
    wants_text(o->name, wrapper, needs);
    *e = (entry){ .name = o->name,
                  .summary = o->summary,
                  .paper = o->paper,
                  .formula = o->formula,
                  .needs = needs,
                  .spec = "",
                  .options = o->options,
                  .method = o,
                  .wrapper = wrapper };
    return 1;
}

static int optimizer_at(int64_t i, entry *e) {
    return method_at(pitot_optimizers()[i], 0, e);
}

static int wrapper_at(int64_t i, entry *e) {
    return method_at(pitot_wrappers()[i], 1, e);
}

static int op_at(int64_t i, entry *e) {
    pitot_op_info info;
    if (!pitot_op_get(i, &info)) return 0;
    *e = (entry){ info.name, info.summary, "", "", "", "", .options = info.attributes };
    return 1;
}

static int data_at(int64_t i, entry *e) {
    const pitot_data_format *f = pitot_data_formats()[i];
    if (!f) return 0;
    *e = (entry){ f->name, f->summary, "", f->details, "", f->spec, .options = NULL };
    return 1;
}

static int operator_at(int64_t i, entry *e) {
    pitot_operator_info info;
    if (!pitot_operator_get(i, &info)) return 0;
    *e = (entry){ info.name, info.summary, info.paper, info.formula, "", "", .options = NULL };
    return 1;
}

static const struct registry {
    const char *name;
    entry_at at;
} registries[] = {
    { "probes", probe_at }, { "optimizers", optimizer_at }, { "wrappers", wrapper_at }, { "ops", op_at },
    { "data", data_at },    { "operators", operator_at },
};
enum { REGISTRIES = sizeof registries / sizeof *registries };

static const struct registry *find_registry(const char *name) {
    for (int i = 0; i < REGISTRIES; i++)
        if (strcmp(registries[i].name, name) == 0) return &registries[i];
    return NULL;
}

/* ---- text ---- */

static int is_open_below(const pitot_option *o) {
    return o->min != o->max && o->min == PITOT_ABOVE_ZERO;
}

static int is_open_above(const pitot_option *o) {
    return o->min != o->max && o->max == PITOT_BELOW_ONE;
}

static void range_text(const pitot_option *o, char *out, size_t size) {
    out[0] = 0;
    if (o->kind == PITOT_CHOICE) snprintf(out, size, "%s", o->choices);
    else if (o->kind == PITOT_BOOL) snprintf(out, size, "true|false");
    else if (o->min != o->max)
        snprintf(out, size, "%c%g, %g%c", is_open_below(o) ? '(' : '[', is_open_below(o) ? 0 : o->min, o->max,
                 is_open_above(o) ? ')' : ']');
}

/* What is typed to get the default: "=other" is that option's value. */
static const char *initial_text(const pitot_option *o) {
    return !o->initial ? "(required)" : o->initial + (o->initial[0] == '=');
}

static void widen(int *width, const char *text, int most) {
    int n = (int)strlen(text);
    if (n > *width && n <= most) *width = n;
}

/* Choices that are too many for their column have a line of their own. */
static void print_options(const pitot_option *table) {
    enum { LONG = 36 };
    char range[512];
    int name = 18, initial = 9, ranges = 9;
    for (const pitot_option *o = table; o && o->name; o++) {
        range_text(o, range, sizeof range);
        widen(&name, o->name, 48);
        widen(&initial, initial_text(o), 30);
        widen(&ranges, range, LONG);
    }
    for (const pitot_option *o = table; o && o->name; o++) {
        const char *unit = o->unit && *o->unit ? o->unit : NULL;
        range_text(o, range, sizeof range);
        int apart = strlen(range) > LONG;
        printf("    %-*s  %-*s  %-*s  %s%s%s%s\n", name, o->name, initial, initial_text(o), ranges, apart ? "" : range, o->help,
               unit ? " [" : "", unit ? unit : "", unit ? "]" : "");
        if (apart) printf("    %*s  %s\n", name, "", range);
    }
}

static void print_method(const entry *e) {
    const pitot_optimizer *m = e->method;
    char setting[96], needs[WANTS_ROOM];
    for (int k = 0; wants_with(m, e->wrapper, k, setting, needs); k++) printf("           with %s: %s\n", setting, needs);
    if (!e->wrapper) printf("  tensors  %s\n", m->tensors ? m->tensors : "all alike");
    printf("  state    %s\n", m->memory);
    printf("  cost     %s\n", m->cost);
    if (m->view) puts("  shows    its preconditioner: probe precond_staleness, spectrum --preconditioned");
    if (m->changes)
        printf("  around   what takes no gradients or losses by itself, as lbfgs, hessian_free, svrg and sam do%s\n",
               m->needs & PITOT_WANTS_GRADIENT ? "" : ", nor goes by the batch's loss, as sania does");
    if (e->wrapper)
        printf("  use      --optimizer sgd+%s, or --set %s.%s=...\n", m->name, m->name, m->options ? m->options[0].name : "");
}

static void print_entry(const entry *e) {
    printf("%s: %s\n", e->name, e->summary);
    if (*e->spec) printf("  spec     %s\n", e->spec);
    if (*e->formula) printf("  %s %s\n", *e->spec ? "details " : "formula ", e->formula);
    if (*e->paper) printf("  paper    %s\n", e->paper);
    if (*e->needs) printf("  needs    %s\n", e->needs);
    if (e->method) print_method(e);
    if (e->options) puts("  options");
    print_options(e->options);
    if (e->outputs) puts("  outputs");
    for (const pitot_output *o = e->outputs; o && o->label; o++)
        printf("    %-18s %s%s%s%s\n", *o->field ? o->field : e->name, o->label, *o->unit ? " [" : "", o->unit,
               *o->unit ? "]" : "");
}

static void print_registry(const struct registry *r) {
    entry e;
    int64_t n = 0;
    for (; r->at(n, &e); n++) printf("  %-20s %s\n", *e.spec ? e.spec : e.name, e.summary);
    if (!n) puts("  (none yet)");
}

static void print_markdown(const struct registry *r) {
    entry e;
    puts("| name | what | options |\n|---|---|---|");
    for (int64_t i = 0; r->at(i, &e); i++) {
        printf("| `%s` | %s | ", *e.spec ? e.spec : e.name, e.summary);
        for (const pitot_option *o = e.options; o && o->name; o++)
            printf("%s`%s%s%s`", o == e.options ? "" : " ", o->name, o->initial ? "=" : "", o->initial ? initial_text(o) : "");
        puts(" |");
    }
}

/* ---- JSON ---- */

static cJSON *option_json(const pitot_option *o) {
    static const char *const kinds[] = { "int", "real", "bool", "choice" };
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "name", o->name);
    cJSON_AddStringToObject(j, "kind", kinds[o->kind]);
    cJSON_AddNumberToObject(j, "count", o->count > 0 ? o->count : 1);
    if (o->initial) cJSON_AddStringToObject(j, o->initial[0] == '=' ? "default_of" : "default", initial_text(o));
    if (o->choices) cJSON_AddStringToObject(j, "choices", o->choices);
    if (o->min != o->max) {
        cJSON_AddNumberToObject(j, is_open_below(o) ? "above" : "min", is_open_below(o) ? 0 : o->min);
        cJSON_AddNumberToObject(j, is_open_above(o) ? "below" : "max", is_open_above(o) ? 1 : o->max);
    }
    if (o->unit && *o->unit) cJSON_AddStringToObject(j, "unit", o->unit);
    cJSON_AddStringToObject(j, "help", o->help);
    return j;
}

static void add_method(cJSON *j, const entry *e) {
    const pitot_optimizer *m = e->method;
    char setting[96], needs[WANTS_ROOM], use[160];
    cJSON *with = cJSON_AddObjectToObject(j, "needs_with");
    for (int k = 0; wants_with(m, e->wrapper, k, setting, needs); k++) cJSON_AddStringToObject(with, setting, needs);
    if (!e->wrapper) cJSON_AddStringToObject(j, "tensors", m->tensors ? m->tensors : "all alike");
    cJSON_AddStringToObject(j, "state", m->memory);
    cJSON_AddStringToObject(j, "cost", m->cost);
    if (!e->wrapper) cJSON_AddBoolToObject(j, "preconditioner", m->view != NULL);
    snprintf(use, sizeof use, "--optimizer sgd+%s, or --set %s.%s=...", m->name, m->name, m->options ? m->options[0].name : "");
    if (e->wrapper) cJSON_AddStringToObject(j, "use", use);
}

static cJSON *entry_json(const entry *e) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "name", e->name);
    cJSON_AddStringToObject(j, "summary", e->summary);
    if (*e->spec) cJSON_AddStringToObject(j, "spec", e->spec);
    if (*e->paper) cJSON_AddStringToObject(j, "paper", e->paper);
    if (*e->formula) cJSON_AddStringToObject(j, *e->spec ? "details" : "formula", e->formula);
    if (*e->needs) cJSON_AddStringToObject(j, "needs", e->needs);
    if (e->method) add_method(j, e);
    cJSON *options = cJSON_AddArrayToObject(j, "options");
    for (const pitot_option *o = e->options; o && o->name; o++) cJSON_AddItemToArray(options, option_json(o));
    cJSON *outputs = e->outputs ? cJSON_AddArrayToObject(j, "outputs") : NULL;
    for (const pitot_output *o = e->outputs; o && o->label; o++) {
        cJSON *k = cJSON_CreateObject();
        cJSON_AddItemToArray(outputs, k);
        cJSON_AddStringToObject(k, "field", o->field);
        cJSON_AddStringToObject(k, "unit", o->unit);
        cJSON_AddStringToObject(k, "label", o->label);
    }
    return j;
}

static int print_json(cJSON *j) {
    char *text = cJSON_Print(j);
    cJSON_Delete(j);
    if (!text) return fail("out of memory");
    puts(text);
    cJSON_free(text);
    return EXIT_DONE;
}

/* ---- the command ---- */

static const struct registry *owner_of(const char *name) {
    entry e;
    for (int k = 0; k < REGISTRIES; k++)
        for (int64_t i = 0; registries[k].at(i, &e); i++)
            if (strcmp(e.name, name) == 0) return &registries[k];
    return NULL;
}

/* The library knows which optimizer or wrapper was meant. */
static void meant(const struct registry *r, const char *name, char *out, size_t size) {
    pitot_error error = { 0 };
    char full[160];
    int optimizer = r->at == optimizer_at;
    snprintf(out, size, "`pitot list %s` shows them", r->name);
    if ((!optimizer && r->at != wrapper_at) || strchr(name, '+')) return;
    snprintf(full, sizeof full, optimizer ? "%s" : "sgd+%s", name);
    pitot_optim_free(pitot_optim_new(full, &error));
    const char *guess = strstr(error.text, "did you mean"), *end = guess ? strchr(guess, '?') : NULL;
    if (end) snprintf(out, size, "%.*s", (int)(end - guess) + 1, guess);
}

static int not_there(const struct registry *r, const char *name) {
    char hint[128];
    const struct registry *other = owner_of(name);
    if (other)
        return fail_usage("list", "list %s: \"%s\" is not one of them; see `pitot list %s %s`", r->name, name, other->name, name);
    meant(r, name, hint, sizeof hint);
    return fail_usage("list", "list %s: there is no \"%s\"; %s", r->name, name, hint);
}

/* "optimizer", "probe" and "wrap" begin as what they mean; a name of something says where it stands. */
static int no_registry(const char *what) {
    const struct registry *r = owner_of(what);
    if (r) return fail_usage("list", "list: \"%s\" is one of the %s; see `pitot list %s %s`", what, r->name, r->name, what);
    for (int i = 0; i < REGISTRIES && strlen(what) >= 4; i++)
        if (strncmp(registries[i].name, what, 4) == 0)
            return fail_usage("list", "list: there are no \"%s\"; did you mean %s?", what, registries[i].name);
    return fail_usage("list", "list: \"%s\" is none of probes, optimizers, wrappers, ops, data, operators", what);
}

static int list_one(const struct registry *r, const char *name, int json) {
    entry e;
    for (int64_t i = 0; r->at(i, &e); i++) {
        if (strcmp(e.name, name)) continue;
        if (json) return print_json(entry_json(&e));
        print_entry(&e);
        return EXIT_DONE;
    }
    return not_there(r, name);
}

static int list_all(const struct registry *r, int json) {
    entry e;
    if (!json) return print_registry(r), EXIT_DONE;
    cJSON *all = cJSON_CreateArray();
    for (int64_t i = 0; r->at(i, &e); i++) cJSON_AddItemToArray(all, entry_json(&e));
    return print_json(all);
}

static int run(const args *a) {
    const char *what = args_rest_at(a, 0), *name = args_rest_at(a, 1);
    int json = args_get(a, "--json") != NULL;
    if (!what) {
        for (int i = 0; i < REGISTRIES && !json; i++) {
            printf("%s\n", registries[i].name);
            print_registry(&registries[i]);
        }
        return json ? fail_usage("list", "list --json: say of what: probes, optimizers, wrappers, ops, data or operators")
                    : EXIT_DONE;
    }
    const struct registry *r = find_registry(what);
    if (!r) return no_registry(what);
    if (args_rest(a) > 2) return fail_usage("list", "list: one name at a time");
    if (args_get(a, "--markdown")) return print_markdown(r), EXIT_DONE;
    return name ? list_one(r, name, json) : list_all(r, json);
}

static const flag flags[] = {
    { "--json", NULL, "for programs", 0 },
    { "--markdown", NULL, "as a table of a document", 0 },
    { 0 },
};

const command command_list = {
    .name = "list",
    .synopsis = "[probes|optimizers|wrappers|ops|data|operators [NAME]]",
    .summary = "what there is, with options, needs and papers",
    .details = "examples\n  pitot list probes\n  pitot list optimizers adam\n  pitot list ops --json\n",
    .flags = flags,
    .run = run,
};
