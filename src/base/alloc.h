/* alloc.h: memory. Sizes are checked for overflow, blocks are aligned to a cache line and counted, so that tests can see that
   every block comes back and can make the k-th request fail. */

#ifndef PITOT_SRC_ALLOC_H
#define PITOT_SRC_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* count * size bytes, cleared, aligned to 64; NULL if that overflows or there is no memory. count or size 0: a valid block. */
void *mem_alloc(int64_t count, size_t size);
/* Copy of a string; NULL if out of memory. */
char *mem_strdup(const char *text);
/* Enlarges `block` of `old` elements to `count` elements, the new ones cleared. NULL: `block` is as it was. */
void *mem_grow(void *block, int64_t old, int64_t count, size_t size);
void mem_free(void *block);

typedef struct mem_counts {
    int64_t blocks, bytes, peak, requests;
} mem_counts;
mem_counts mem_count(void);
/* The k-th request from now on fails (1: the next); 0: none. `forever`: all later ones too. For tests. */
void mem_fail_at(int64_t k, int forever);

#endif
