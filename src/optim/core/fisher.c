/* fisher.c: see fisher.h. */

#include "optim/core/fisher.h"

#include "base/random.h"

uint32_t fisher_wants(int64_t fisher) {
    return PITOT_WANTS_LAYERS | (fisher == FISHER_EMPIRICAL ? 0 : PITOT_WANTS_ROOT);
}

int32_t fisher_send(const pitot_stepping *s, int64_t fisher, const char *purpose, int32_t (*see)(void *user, int64_t k),
                    void *user) {
    const pitot_optim_source *from = s->source;
    uint64_t seed = random_bits(s->seed, random_purpose(purpose), (uint64_t)s->t, 0);
    int64_t n, columns;
    double loss;
    int32_t status = from->batch(from->user, &n, &columns, &loss);
    if (!status && n < 1) status = PITOT_EORDER;
    if (fisher != FISHER_EXACT) columns = 1;
    for (int64_t k = 0; k < columns && !status; k++) {
        if (fisher == FISHER_DRAWN) status = from->send(from->user, PITOT_ROOT_DRAWN, seed, 0);
        if (fisher == FISHER_EXACT) status = from->send(from->user, PITOT_ROOT_COLUMN, 0, k);
        if (!status) status = see(user, k);
    }
    int32_t back = from->batch(from->user, &n, &columns, &loss);
    return status ? status : back;
}
