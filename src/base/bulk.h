/* bulk.h: copies and comparisons of large blocks, on as many threads as the sums of probe.h use. */

#ifndef PITOT_SRC_BULK_H
#define PITOT_SRC_BULK_H

#include <stdint.h>

void bulk_copy(void *to, const void *from, int64_t bytes);
/* 1 if they hold the same bytes. */
int bulk_same(const void *a, const void *b, int64_t bytes);

#endif
