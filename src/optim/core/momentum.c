/* momentum.c: see momentum.h. */

#include "optim/core/momentum.h"

#include "pitot/hot.h"

PITOT_HOT static void update(const pitot_update *u) {
    const momentum_step *m = u->step;
    pitot_real lr = (pitot_real)m->lr, wd = (pitot_real)m->weight_decay, mu = (pitot_real)m->momentum, by = (pitot_real)m->by;
    pitot_real *restrict x = u->x, *restrict buffer = u->state[0];
    const pitot_real *restrict g = u->g;
    for (int64_t i = u->begin; !buffer && i < u->end; i++) x[i] -= lr * (by * g[i] + wd * x[i]);
    for (int64_t i = u->begin; buffer && i < u->end; i++) {
        buffer[i] = mu * buffer[i] + (by * g[i] + wd * x[i]);
        x[i] -= lr * buffer[i];
    }
}

void momentum_update(const pitot_update *u) {
    update(u);
}
