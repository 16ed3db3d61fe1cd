/* alloc.c: see alloc.h. A header of one cache line in front of every block holds its size. */

#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE = 64, PAGE = 1 << 21, LARGE = 4 * PAGE }; /* bytes: a cache line, a large page, a large block */

static _Atomic int64_t blocks, bytes, peak, requests, countdown;
static _Atomic int fails_for_ever;

static int refused(void) {
    atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
    if (atomic_load_explicit(&countdown, memory_order_relaxed) <= 0) return 0;
    if (atomic_fetch_sub(&countdown, 1) != 1) return 0;
    if (fails_for_ever) atomic_store(&countdown, 1);
    return 1;
}

/* ---- under AddressSanitizer: it is to see every block, and to see it end where it was asked to ---- */

#if defined(__SANITIZE_ADDRESS__)
#define FENCED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FENCED 1
#endif
#endif

#ifdef FENCED
#include <sanitizer/asan_interface.h>
enum { LARGE_BLOCKS = 0 };
static void fence(const char *block, size_t asked, size_t total) {
    ASAN_POISON_MEMORY_REGION(block - LINE, LINE);
    ASAN_POISON_MEMORY_REGION(block + asked, total - asked);
}
static void open_fence(const char *block) {
    ASAN_UNPOISON_MEMORY_REGION(block - LINE, LINE);
}
#else
enum { LARGE_BLOCKS = 1 };
static void fence(const char *block, size_t asked, size_t total) {
    (void)block, (void)asked, (void)total;
}
static void open_fence(const char *block) {
    (void)block;
}
#endif

/* ---- large blocks: whole pages, which come as zeros when they are first touched, by whichever thread that is ---- */

static int is_large(size_t total) {
    return LARGE_BLOCKS && total >= LARGE;
}

static size_t to_pages(size_t total) {
    return (total + LINE + PAGE - 1) / PAGE * PAGE;
}

/* Aligned to large pages, which make a first touch cheaper. */
static void *map_pages(size_t size) {
    char *at = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    size_t head = (PAGE - (uintptr_t)at % PAGE) % PAGE;
    if (head) munmap(at, head);
    if (head < PAGE) munmap(at + head + size, PAGE - head);
    madvise(at + head, size, MADV_HUGEPAGE);
    return at + head;
}

/* ---- all ---- */

void *mem_alloc(int64_t count, size_t size) {
    size_t asked;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &asked) || asked > SIZE_MAX / 2 - 2 * PAGE || refused())
        return NULL;
    size_t total = (asked + LINE - 1) / LINE * LINE;
    char *block = is_large(total) ? map_pages(to_pages(total)) : aligned_alloc(LINE, total + LINE);
    if (!block) return NULL;
    memcpy(block, &total, sizeof total);
    if (!is_large(total)) memset(block + LINE, 0, total);
    atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    int64_t now = atomic_fetch_add_explicit(&bytes, (int64_t)total, memory_order_relaxed) + (int64_t)total;
    int64_t seen = atomic_load_explicit(&peak, memory_order_relaxed);
    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now)) {}
    fence(block + LINE, asked, total);
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
    open_fence(block);
    memcpy(&total, start, sizeof total);
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes, (int64_t)total, memory_order_relaxed);
    if (is_large(total)) munmap(start, to_pages(total));
    else free(start);
}

mem_counts mem_count(void) {
    return (mem_counts){ blocks, bytes, peak, requests };
}

void mem_fail_at(int64_t k, int forever) {
    fails_for_ever = forever;
    countdown = k;
}
