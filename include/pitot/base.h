/* pitot/base.h: what every other header of pitot stands on: linkage, the tensor type, status codes, error messages.

   Letters used in all headers. N or B samples, T positions that share a weight, C outputs, D parameter values in all, A layer
   inputs, G gradients of the loss with respect to layer outputs, H Hessian, lr learning rate. Arrays are row-major; (N,C) means
   that C is fastest. Structs that a caller fills in start with struct_size = sizeof the struct; a cleared field is its default. */

#ifndef PITOT_BASE_H
#define PITOT_BASE_H

#include <stddef.h>
#include <stdint.h>

#define PITOT_VERSION "0.1.0"
#define PITOT_ABI 4 /* changes with the meaning or place of an existing field; the shared object's soname changes with it */

#if defined(__GNUC__)
#define PITOT_API __attribute__((visibility("default")))
#define PITOT_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define PITOT_API
#define PITOT_PRINTF(text, first)
#endif

/* libpitot holds tensors in float, libpitot_d (compile with -DPITOT_DOUBLE) in double; scalars are double in both. The ways in
   carry different names in the two, so that a program built for one and linked with the other does not link. */
#ifdef PITOT_DOUBLE
typedef double pitot_real;
#define pitot_open pitot_open_double
#define pitot_net_new pitot_net_new_double
#define pitot_net_read pitot_net_read_double
#define pitot_data_open pitot_data_open_double
#define pitot_optim_new pitot_optim_new_double
#define pitot_train pitot_train_double
#else
typedef float pitot_real;
#endif

#define PITOT_DIMS 5 /* most axes of a tensor */

#ifdef __cplusplus
extern "C" {
#endif

/* Negative: what went wrong. Functions that return int32_t return one of these unless they say otherwise. */
enum {
    PITOT_OK = 0,
    PITOT_EINVAL = -1,    /* an argument makes no sense; nothing was done */
    PITOT_ENOMEM = -2,    /* the allocator returned NULL */
    PITOT_EBUDGET = -3,   /* would exceed the byte budget */
    PITOT_EORDER = -4,    /* calls out of order */
    PITOT_EHOST = -5,     /* a host's callback failed */
    PITOT_EIO = -6,       /* a file could not be read or written */
    PITOT_EMISMATCH = -7, /* things that should agree do not (shapes, names, sums) */
    PITOT_ENOTSUP = -8,   /* not possible with this type, layout or kind */
    PITOT_EOFF = -9,      /* the run is NULL or switched off */
    PITOT_EFORMAT = -10   /* a file is damaged or not what its name says */
};

enum { /* what a loss is, per loss term, of outputs f and target y */
       PITOT_LOSS_UNKNOWN = 0,
       PITOT_CROSS_ENTROPY,       /* y an int32 class; f before softmax */
       PITOT_SQUARED_ERROR,       /* sum_c (f-y)^2 */
       PITOT_MEAN_SQUARED_ERROR,  /* the same over c */
       PITOT_HALF_SQUARED_ERROR,  /* the first over 2 */
       PITOT_BINARY_CROSS_ENTROPY /* mean over c; f before sigmoid */
};

/* One sentence for a status. Static storage; any thread. */
PITOT_API const char *pitot_strerror(int32_t status);

/* "0.1.0" of the library in use (PITOT_VERSION is the header's), and sizeof(pitot_real) it was built for. Any thread. */
PITOT_API const char *pitot_version(void);
PITOT_API int32_t pitot_real_size(void);

/* Where a function leaves what went wrong, for people: "FILE:WHERE: what is wrong; what to do". The first error stays until the
   caller clears status to PITOT_OK. Every function that takes one accepts NULL. */
typedef struct pitot_error {
    int32_t status;
    char text[1020];
} pitot_error;

/* Sets status and text unless an error is there already; returns status. */
PITOT_API int32_t pitot_fail(pitot_error *error, int32_t status, const char *format, ...) PITOT_PRINTF(3, 4);

/* A number as text that reads back as the same double, the same in every locale; "nan", "inf", "-inf" for what is not finite. Returns
   the length as snprintf does. 32 bytes hold any. */
PITOT_API int32_t pitot_number_text(double v, char *out, size_t size);

/* ---- the BLAS that was found in this process ---- */

typedef struct pitot_blas {
    size_t struct_size;
    char version[104];  /* "OpenBLAS 0.3.21", "unknown" */
    char core[64];      /* kernel in use: "SkylakeX" */
    char threading[32]; /* "openmp", "pthread", "serial", "unknown" */
    int64_t threads;    /* that it would use now */
} pitot_blas;
PITOT_API void pitot_blas_describe(pitot_blas *blas);

/* The kernel that OpenBLAS should use on this processor but does not choose by itself (set OPENBLAS_CORETYPE to it before the library
   loads), or NULL. */
PITOT_API const char *pitot_blas_better_core(void);

/* GFLOP/s of one n x n product of pitot_real, the best of `repeats`, on BLAS's own threads. Cost: 2 n^3 flops each; allocates 3 n^2. */
PITOT_API double pitot_blas_speed(int64_t n, int32_t repeats);

#ifdef __cplusplus
}
#endif

#endif
