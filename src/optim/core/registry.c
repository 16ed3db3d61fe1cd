/* registry.c: methods and wrappers by name. */

#include "optim/core/optimizer.h"

#include <string.h>

enum { MOST_METHODS = 512 };

static const pitot_optimizer *find(const pitot_optimizer *const *table, const char *name) {
    for (; *table; table++)
        if (strcmp((*table)->name, name) == 0) return *table;
    return NULL;
}

/* Ours until a host adds one: then this. */
static const pitot_optimizer *all[MOST_METHODS + 1];

const pitot_optimizer *const *pitot_optimizers(void) {
    return all[0] ? all : optimizer_table;
}

const pitot_optimizer *pitot_optimizer_find(const char *name) {
    return find(pitot_optimizers(), name);
}

static int is_name(const char *name) {
    return name && *name && strlen(name) < OPTIM_NAME && !strpbrk(name, "+.= ");
}

static int is_complete(const pitot_optimizer *m) {
    return m && m->struct_size >= sizeof *m && m->abi == PITOT_ABI && is_name(m->name) && m->summary && m->paper && m->formula &&
           m->memory && m->cost && m->options && m->options->name && strcmp(m->options->name, "lr") == 0 &&
           m->options->kind == PITOT_REAL && m->options->offset + sizeof(double) <= m->options_size && (m->update || m->step);
}

int32_t pitot_optimizer_register(const pitot_optimizer *m) {
    int32_t n = 0;
    if (!is_complete(m) || pitot_optimizer_find(m->name) || pitot_wrapper_find(m->name)) return PITOT_EINVAL;
    for (; pitot_optimizers()[n]; n++)
        if (n == MOST_METHODS) return PITOT_ENOMEM;
    if (n >= MOST_METHODS) return PITOT_ENOMEM;
    for (int32_t k = 0; !all[0] && k < n; k++) all[n - 1 - k] = optimizer_table[n - 1 - k];
    all[n] = m;
    return PITOT_OK;
}

const pitot_optimizer *const *pitot_wrappers(void) {
    return wrapper_table;
}

const pitot_optimizer *pitot_wrapper_find(const char *name) {
    return find(wrapper_table, name);
}
