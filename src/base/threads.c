/* threads.c: see threads.h. */

#include "base/threads.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static _Thread_local int alone;

void threads_alone(void) {
    alone = 1;
#ifdef _OPENMP
    omp_set_num_threads(1); /* of regions that this thread begins */
#endif
}

void threads_run(int threads, int64_t n, thread_task task, void *job) {
    if (n <= 0) return;
    if (threads > n) threads = (int)n;
#ifdef _OPENMP
    if (threads > 1 && !alone && !omp_in_parallel()) {
#pragma omp parallel num_threads(threads)
        {
            int k = omp_get_num_threads(), i = omp_get_thread_num();
            int64_t runs = threads; /* fewer threads than asked for: the same runs, several to a thread */
            for (int64_t r = i; r < runs; r += k) task(job, n * r / runs, n * (r + 1) / runs, (int)r);
        }
        return;
    }
#endif
    for (int r = 0; r < threads; r++) task(job, n * r / threads, n * (r + 1) / threads, r);
}

int threads_default(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}
