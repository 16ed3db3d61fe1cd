/* threads.h: the one place where work is split over threads. OpenMP underneath, so that OpenBLAS's OpenMP build, called from inside,
   runs on one thread by itself; without OpenMP everything runs on the calling thread. */

#ifndef PITOT_SRC_THREADS_H
#define PITOT_SRC_THREADS_H

#include <stdint.h>

/* Work on items begin..end, as thread `thread` of those that share the job. */
typedef void (*thread_task)(void *job, int64_t begin, int64_t end, int thread);

/* Cuts 0..n into `threads` equal runs, the first on the calling thread; which items go to which thread depends on n and `threads`
   alone. Returns when all are done. Called from inside a task, it runs everything on one thread. */
void threads_run(int threads, int64_t n, thread_task task, void *job);

/* From now on the calling thread does all by itself, BLAS included: for a thread beside those that OpenMP has. */
void threads_alone(void);

/* What OpenMP would use; 1 without it. */
int threads_default(void);

#endif
