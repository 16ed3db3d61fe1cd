/* pitot/hot.h: loops that are worth several versions. PITOT_HOT before a static function makes the compiler build it for AVX-512, AVX2
   and the baseline, chosen when the library loads; elsewhere, and under sanitizers (their runtimes start too late for it), it does
   nothing. Probes may use it for their `moments`. */

#ifndef PITOT_HOT_H
#define PITOT_HOT_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(PITOT_NO_CLONES)
#define PITOT_HOT __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PITOT_HOT
#endif

#endif
