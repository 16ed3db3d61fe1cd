/* alloc.c: see alloc.h. A header of one cache line in front of every block holds its size. */

#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 64 };

static _Atomic int64_t blocks, bytes, peak, requests, countdown;
static _Atomic int fails_for_ever;

static int refused(void) {
    atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
    if (atomic_load_explicit(&countdown, memory_order_relaxed) <= 0) return 0;
    if (atomic_fetch_sub(&countdown, 1) != 1) return 0;
    if (fails_for_ever) atomic_store(&countdown, 1);
    return 1;
}

void *mem_alloc(int64_t count, size_t size) {
    size_t total;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &total) || total > SIZE_MAX - 2 * LINE || refused()) return NULL;
    total = (total + LINE - 1) / LINE * LINE;
    char *block = aligned_alloc(LINE, total + LINE);
    if (!block) return NULL;
    memcpy(block, &total, sizeof total);
    memset(block + LINE, 0, total);
    atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    int64_t now = atomic_fetch_add_explicit(&bytes, (int64_t)total, memory_order_relaxed) + (int64_t)total;
    int64_t seen = atomic_load_explicit(&peak, memory_order_relaxed);
    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now)) {}
    return block + LINE;
}

char *mem_strdup(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = mem_alloc((int64_t)n, 1);
    if (copy) memcpy(copy, text, n);
    return copy;
}

void *mem_grow(void *block, int64_t old, int64_t count, size_t size) {
    void *larger = mem_alloc(count, size);
    if (!larger) return NULL;
    if (block) memcpy(larger, block, (size_t)(old < count ? old : count) * size);
    mem_free(block);
    return larger;
}

void mem_free(void *block) {
    if (!block) return;
    char *start = (char *)block - LINE;
    size_t total;
    memcpy(&total, start, sizeof total);
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes, (int64_t)total, memory_order_relaxed);
    free(start);
}

mem_counts mem_count(void) {
    return (mem_counts){ blocks, bytes, peak, requests };
}

void mem_fail_at(int64_t k, int forever) {
    fails_for_ever = forever;
    countdown = k;
}
