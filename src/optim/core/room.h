/* room.h: a step's work space cut into arrays: the same function that takes them, with base NULL, says how much there must be. */

#ifndef PITOT_SRC_ROOM_H
#define PITOT_SRC_ROOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct room {
    char *base; /* NULL: only counts */
    int64_t used;
} room;

/* `bytes` bytes aligned to 64; NULL while counting. */
static inline void *room_take(room *r, int64_t bytes) {
    void *p = r->base ? r->base + r->used : NULL;
    r->used += (bytes + 63) / 64 * 64;
    return p;
}

#endif
