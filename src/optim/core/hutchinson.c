/* hutchinson.c: see hutchinson.h. */

#include "optim/core/hutchinson.h"

#include "base/random.h"
#include "optim/core/optimizer.h"

static int32_t product(const pitot_stepping *s, const pitot_real *v, pitot_real *hv) {
    int32_t status = s->source->hvp(s->source->user, v, hv);
    return status ? status : good_values(hv, s->parameters) ? PITOT_OK : PITOT_EHOST;
}

int32_t hutchinson_signs(const pitot_stepping *s, const char *name, pitot_real *v, pitot_real *hv) {
    uint64_t purpose = random_purpose(name), bits = 0;
    for (int64_t i = 0; i < s->parameters; i++) {
        if (i % 64 == 0) bits = random_bits(s->seed, purpose, (uint64_t)s->t, (uint64_t)(i / 64));
        v[i] = bits >> (i % 64) & 1 ? 1 : -1;
    }
    return product(s, v, hv);
}

int32_t hutchinson_normal(const pitot_stepping *s, const char *name, pitot_real *v, pitot_real *hv) {
    uint64_t purpose = random_purpose(name);
    double pair[2];
    for (int64_t i = 0; i < s->parameters; i++) {
        if (i % 2 == 0) random_normal(s->seed, purpose, (uint64_t)s->t, (uint64_t)(i / 2), pair);
        v[i] = (pitot_real)pair[i % 2];
    }
    return product(s, v, hv);
}
