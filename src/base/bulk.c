/* bulk.c: see bulk.h. */

#include "base/bulk.h"

#include "base/sums.h"
#include "base/threads.h"

#include <string.h>

typedef struct bulk_job {
    unsigned char *to;
    const unsigned char *from, *other;
    int differs[SUMS_MOST_THREADS];
} bulk_job;

static void copy_task(void *job, int64_t begin, int64_t end, int thread) {
    const bulk_job *j = job;
    (void)thread;
    memcpy(j->to + begin, j->from + begin, (size_t)(end - begin));
}

static void compare_task(void *job, int64_t begin, int64_t end, int thread) {
    bulk_job *j = job;
    j->differs[thread] = memcmp(j->other + begin, j->from + begin, (size_t)(end - begin)) != 0;
}

void bulk_copy(void *to, const void *from, int64_t bytes) {
    bulk_job job = { .to = to, .from = from };
    threads_run(sums_threads(bytes / 2), bytes, copy_task, &job);
}

int bulk_same(const void *a, const void *b, int64_t bytes) {
    bulk_job job = { .from = a, .other = b };
    int threads = sums_threads(bytes / 4), differs = 0;
    threads_run(threads, bytes, compare_task, &job);
    for (int i = 0; i < threads; i++) differs |= job.differs[i];
    return !differs;
}
