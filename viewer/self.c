/* self.c: see self.h. */

#include "self.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *self_path(void) {
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return "pitot";
    path[n] = 0;
    return path;
}

static int under_valgrind(void) {
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload") != NULL;
}

/* How long libgomp's threads spin before they sleep: its default of milliseconds makes two trainings that share the processors some
   ten times slower than they need be; alone, this is as fast. */
static const char spin[] = "2000";

void self_choose_environment(char **argv) {
    const char *better = pitot_blas_better_core();
    int core = better && !getenv("OPENBLAS_CORETYPE"), wait = !getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY");
    if ((!core && !wait) || under_valgrind()) return;
    if (core && setenv("OPENBLAS_CORETYPE", better, 1)) return;
    if (wait && setenv("GOMP_SPINCOUNT", spin, 1)) return;
    execv("/proc/self/exe", argv);
}

void self_choose_precision(const args *a, char **argv) {
    const char *wanted = args_get(a, "--precision");
    char path[4200];
    if (!wanted || strcmp(wanted, "double") || pitot_real_size() == 8) return;
    snprintf(path, sizeof path, "%s_d", self_path());
    execv(path, argv);
    exit(fail("%s: cannot be started; --precision double needs it beside pitot: make all, or make install", path));
}
