/* wants.c: see wants.h. Asked of the method itself, by setting its options to each of their choices in turn. */

#include "wants.h"

#include <stdio.h>
#include <string.h>

static void write_wants(uint32_t wants, char out[WANTS_ROOM]) {
    static const char *const what[] = { "gradients again at other parameters",
                                        "the loss at other parameters",
                                        "products with the Hessian",
                                        "products with the GGN",
                                        "gradients of drawn labels",
                                        "squares of the samples' gradients",
                                        "lengths and weighted means of the samples' gradients",
                                        "layers' inputs and output gradients",
                                        "layers' output gradients for labels drawn or for all of the model's",
                                        "passes over the data",
                                        "the batch's samples and loss",
                                        "diagonals of the curvature" };
    size_t used = (size_t)snprintf(out, WANTS_ROOM, "gradients");
    for (size_t i = 0; i < sizeof what / sizeof *what && used < WANTS_ROOM; i++)
        if (wants >> i & 1) used += (size_t)snprintf(out + used, WANTS_ROOM - used, ", %s", what[i]);
}

/* With `option` at `value`, or at the defaults where it is NULL. */
static uint32_t wants_of(const char *name, int wrapper, const char *option, const char *value) {
    char full[96], key[96];
    snprintf(full, sizeof full, wrapper ? "sgd+%s" : "%s", name);
    snprintf(key, sizeof key, "%s%s%s", wrapper ? name : "", wrapper ? "." : "", option ? option : "");
    pitot_optim *o = pitot_optim_new(full, NULL);
    if (o && option) pitot_optim_set(o, key, value, NULL);
    uint32_t wants = o ? pitot_optim_wants(o) : 0;
    pitot_optim_free(o);
    return wants;
}

void wants_text(const char *name, int wrapper, char out[WANTS_ROOM]) {
    write_wants(wants_of(name, wrapper, NULL, NULL), out);
}

/* The j-th of an option's choices; 0: it has no more. */
static int choice_at(const pitot_option *o, int j, char *out, size_t size) {
    const char *c = o->kind == PITOT_BOOL ? "false|true" : o->kind == PITOT_CHOICE ? o->choices : "";
    for (; j > 0 && *c; j--) c += strcspn(c, "|") + (c[strcspn(c, "|")] == '|');
    if (*c) snprintf(out, size, "%.*s", (int)strcspn(c, "|"), c);
    return *c != 0;
}

int wants_with(const pitot_optimizer *method, int wrapper, int k, char setting[96], char out[WANTS_ROOM]) {
    uint32_t plain = wants_of(method->name, wrapper, NULL, NULL);
    char value[48];
    for (const pitot_option *o = method->options; o && o->name; o++)
        for (int j = 0; choice_at(o, j, value, sizeof value); j++) {
            uint32_t wants = wants_of(method->name, wrapper, o->name, value);
            if (wants == plain || k-- > 0) continue;
            snprintf(setting, 96, "%.46s=%s", o->name, value);
            write_wants(wants, out);
            return 1;
        }
    return 0;
}
