/* fisher.c: see fisher.h. */

#include "optim/core/fisher.h"

#include "base/random.h"

uint32_t fisher_wants(int64_t fisher) {
    return PITOT_WANTS_LAYERS | (fisher == FISHER_EMPIRICAL ? 0 : PITOT_WANTS_ROOT);
}

static int32_t see_all(const pitot_stepping *s, const layer *list, int64_t n, int64_t k, fisher_see *see, void *user) {
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < n && !status; i++) {
        pitot_capture c;
        status = s->source->layer(s->source->user, list[i].index, 0, &c);
        for (int64_t group = 0; group < list[i].groups && !status; group++) see(user, &list[i], &c, group, k);
    }
    return status;
}

int32_t fisher_send(const pitot_stepping *s, int64_t fisher, const char *purpose, const layer *list, int64_t n, fisher_see *see,
                    void *user) {
    const pitot_optim_source *from = s->source;
    uint64_t seed = random_bits(s->seed, random_purpose(purpose), (uint64_t)s->t, 0);
    int64_t samples, columns;
    double loss;
    int32_t status = from->batch(from->user, &samples, &columns, &loss);
    if (!status && samples < 1) status = PITOT_EORDER;
    if (fisher != FISHER_EXACT) columns = 1;
    for (int64_t k = 0; k < columns && !status; k++) {
        if (fisher == FISHER_DRAWN) status = from->send(from->user, PITOT_ROOT_DRAWN, seed, 0);
        if (fisher == FISHER_EXACT) status = from->send(from->user, PITOT_ROOT_COLUMN, 0, k);
        if (!status) status = see_all(s, list, n, k, see, user);
    }
    int32_t back = from->batch(from->user, &samples, &columns, &loss);
    return status ? status : back;
}
