/* registry.c: methods and wrappers by name. */

#include "optim/core/optimizer.h"

#include <string.h>

static const pitot_optimizer *find(const pitot_optimizer *const *table, const char *name) {
    for (; *table; table++)
        if (strcmp((*table)->name, name) == 0) return *table;
    return NULL;
}

const pitot_optimizer *const *pitot_optimizers(void) {
    return optimizer_table;
}

const pitot_optimizer *pitot_optimizer_find(const char *name) {
    return find(optimizer_table, name);
}

const pitot_optimizer *const *pitot_wrappers(void) {
    return wrapper_table;
}

const pitot_optimizer *pitot_wrapper_find(const char *name) {
    return find(wrapper_table, name);
}
