/* list.c: `pitot list`: what the registries hold, as text, as JSON, or as the tables of the README. */

#include "command.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

typedef struct entry { /* one thing of any registry */
    const char *name, *summary, *paper, *formula, *needs, *spec;
    const pitot_option *options;
    const pitot_output *outputs;
    const char *memory, *cost, *use; /* of optimizers and wrappers; or NULL */
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

/* With the options at their defaults. */
static const char *wants_of(const char *name, int wrapper) {
    static char text[400];
    static const char *const what[] = { "gradients again at other parameters",
                                        "the loss at other parameters",
                                        "products with the Hessian",
                                        "products with the GGN",
                                        "gradients of drawn labels",
                                        "squares of the samples' gradients",
                                        "the samples' norms",
                                        "what layers saw",
                                        "drawn or exact output gradients",
                                        "passes over the data" };
    char full[96];
    snprintf(full, sizeof full, wrapper ? "sgd+%s" : "%s", name);
    pitot_optim *o = pitot_optim_new(full, NULL);
    uint32_t wants = o ? pitot_optim_wants(o) : 0;
    size_t used = (size_t)snprintf(text, sizeof text, "gradients");
    for (size_t i = 0; i < sizeof what / sizeof *what && used < sizeof text; i++)
        if (wants >> i & 1) used += (size_t)snprintf(text + used, sizeof text - used, ", %s", what[i]);
    pitot_optim_free(o);
    return text;
}

static entry method_entry(const pitot_optimizer *o, int wrapper) {
    return (entry){ .name = o->name,
                    .summary = o->summary,
                    .paper = o->paper,
                    .formula = o->formula,
                    .needs = wants_of(o->name, wrapper),
                    .spec = "",
                    .options = o->options,
                    .memory = o->memory,
                    .cost = o->cost };
}

static int optimizer_at(int64_t i, entry *e) {
    const pitot_optimizer *o = pitot_optimizers()[i];
    if (!o) return 0;
    *e = method_entry(o, 0);
    return 1;
}

static int wrapper_at(int64_t i, entry *e) {
    static char use[160];
    const pitot_optimizer *o = pitot_wrappers()[i];
    if (!o) return 0;
    *e = method_entry(o, 1);
    snprintf(use, sizeof use, "--optimizer sgd+%s, or --set %s.%s=...", o->name, o->name, o->options ? o->options[0].name : "");
    e->use = use;
    return 1;
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

static void range_text(const pitot_option *o, char *out, size_t size) {
    out[0] = 0;
    if (o->kind == PITOT_CHOICE) snprintf(out, size, "%s", o->choices);
    else if (o->kind == PITOT_BOOL) snprintf(out, size, "true|false");
    else if (o->min != o->max)
        snprintf(out, size, "%c%g, %g%c", o->min == PITOT_ABOVE_ZERO ? '(' : '[', o->min == PITOT_ABOVE_ZERO ? 0 : o->min, o->max,
                 o->max == PITOT_BELOW_ONE ? ')' : ']');
}

static void print_options(const pitot_option *table) {
    char range[512];
    int width = 18;
    for (const pitot_option *o = table; o && o->name; o++)
        if ((int)strlen(o->name) > width) width = (int)strlen(o->name);
    for (const pitot_option *o = table; o && o->name; o++) {
        range_text(o, range, sizeof range);
        printf("    %-*s %-14s %-22s %s\n", width, o->name, o->initial ? o->initial : "(required)", range, o->help);
    }
}

static void print_entry(const entry *e) {
    printf("%s: %s\n", e->name, e->summary);
    if (*e->spec) printf("  spec     %s\n", e->spec);
    if (*e->formula) printf("  %s %s\n", *e->spec ? "details " : "formula ", e->formula);
    if (*e->paper) printf("  paper    %s\n", e->paper);
    if (*e->needs) printf("  needs    %s\n", e->needs);
    if (e->memory) printf("  state    %s\n", e->memory);
    if (e->cost) printf("  cost     %s\n", e->cost);
    if (e->use) printf("  use      %s\n", e->use);
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
            printf("%s`%s%s%s`", o == e.options ? "" : " ", o->name, o->initial ? "=" : "",
                   o->initial ? o->initial + (*o->initial == '=') : "");
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
    if (o->initial) cJSON_AddStringToObject(j, "default", o->initial);
    if (o->choices) cJSON_AddStringToObject(j, "choices", o->choices);
    if (o->min != o->max) {
        cJSON_AddNumberToObject(j, "min", o->min);
        cJSON_AddNumberToObject(j, "max", o->max);
    }
    cJSON_AddStringToObject(j, "help", o->help);
    return j;
}

static cJSON *entry_json(const entry *e) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "name", e->name);
    cJSON_AddStringToObject(j, "summary", e->summary);
    if (*e->spec) cJSON_AddStringToObject(j, "spec", e->spec);
    if (*e->paper) cJSON_AddStringToObject(j, "paper", e->paper);
    if (*e->formula) cJSON_AddStringToObject(j, *e->spec ? "details" : "formula", e->formula);
    if (*e->needs) cJSON_AddStringToObject(j, "needs", e->needs);
    if (e->memory) cJSON_AddStringToObject(j, "state", e->memory);
    if (e->cost) cJSON_AddStringToObject(j, "cost", e->cost);
    if (e->use) cJSON_AddStringToObject(j, "use", e->use);
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

static int list_one(const struct registry *r, const char *name, int json) {
    entry e;
    for (int64_t i = 0; r->at(i, &e); i++) {
        if (strcmp(e.name, name)) continue;
        if (json) return print_json(entry_json(&e));
        print_entry(&e);
        return EXIT_DONE;
    }
    return fail_usage("list", "list %s: there is no \"%s\"; `pitot list %s` shows them", r->name, name, r->name);
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
    if (!r) return fail_usage("list", "list: \"%s\" is none of probes, optimizers, wrappers, ops, data, operators", what);
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
