/* clock.c: how long a run had trained when a value was logged: wall-clock time since the run's first record, less what its probes had cost by
   then ("NAME.seconds" in its log). Training with probes is the same as without them but for the time. Where a run was resumed, the pause counts.
   See figure.h. */

#include "figure.h"

#include <stdlib.h>
#include <string.h>

static int is_cost(const char *name) {
    static const char end[] = ".seconds";
    size_t n = name ? strlen(name) : 0;
    return n > sizeof end - 1 && strcmp(name + n - (sizeof end - 1), end) == 0;
}

/* Takes what one probe cost up to each step off. Steps ascend in both. */
static void take_off(const pitot_series *cost, const pitot_series *s, double *out) {
    double sum = 0;
    int64_t k = 0;
    for (int64_t i = 0; i < s->n; i++) {
        for (; k < cost->n && cost->step[k] <= s->step[i]; k++) sum += cost->value[k] > 0 ? cost->value[k] : 0;
        out[i] -= sum;
    }
}

double *clock_make(const pitot_log *log, const pitot_series *s) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_series cost;
    double *out = malloc((size_t)(s->n + 1) * sizeof *out);
    if (!out) return NULL;
    pitot_log_get_state(log, &state);
    for (int64_t i = 0; i < s->n; i++) out[i] = s->wall[i] - state.first_wall;
    for (int64_t j = 0; pitot_log_series(log, j, &cost) == PITOT_OK; j++)
        if (is_cost(cost.name)) take_off(&cost, s, out);
    for (int64_t i = 0; i < s->n; i++)
        if (out[i] < 0) out[i] = 0;
    return out;
}

axis clock_axis(const line *l, int64_t n) {
    double shortest = 0, longest = 0;
    for (int64_t i = 0; i < n; i++) {
        double last = l[i].n > 0 && l[i].clock ? l[i].clock[l[i].n - 1] : 0;
        if (last > longest) longest = last;
        if (last > 0 && (shortest == 0 || last < shortest)) shortest = last;
    }
    if (!(longest > 0)) return (axis){ AXIS_LINEAR, 0, 1, 0 };
    if (longest > 5 * shortest) return (axis){ AXIS_LOG, shortest / 30, 1.06 * longest, 0 };
    return (axis){ AXIS_LINEAR, -0.012 * longest, 1.012 * longest, 0 };
}
