/* pitot/option.h: options as data. Probes, optimizers, ops and data formats each carry one table of these; parsing, checking,
   help, listings, manifests and the tests' random settings all walk the tables. */

#ifndef PITOT_OPTION_H
#define PITOT_OPTION_H

#include "pitot/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {              /* pitot_option.kind, and what stands at its offset */
       PITOT_INT,   /* int64_t[count] */
       PITOT_REAL,  /* double[count] */
       PITOT_BOOL,  /* int64_t[count]: 0 or 1; written true or false */
       PITOT_CHOICE /* int64_t: index into `choices` */
};

#define PITOT_BELOW_ONE 0.99999999999999989 /* the largest double below 1, for ranges like [0,1) */
#define PITOT_ABOVE_ZERO 4.9e-324           /* the smallest above 0 */

typedef struct pitot_option {
    const char *name;    /* NULL ends a table */
    int32_t kind;        /* PITOT_INT ... */
    int32_t count;       /* values; 0: 1. One whole number given for several is used for all ("kernel=3" is 3,3) */
    size_t offset;       /* in the plugin's options struct */
    const char *initial; /* default, as one would type it; NULL: must be given. "=other": that earlier option's value */
    double min, max;     /* both ends allowed; equal: no limit */
    const char *choices; /* "none|tanh" */
    const char *unit;    /* "" or NULL: none */
    const char *help;    /* one line */
} pitot_option;

/* Writes every default into `options` (cleared by the caller); required options are left 0. O(table). */
PITOT_API void pitot_options_default(const pitot_option *table, void *options);

/* Sets one option from text ("0.9,0.999"). `owner` ("optimizer adam") begins the message. PITOT_EINVAL: unknown name (the message
   proposes the nearest), not a number, or out of range; `options` unchanged. */
PITOT_API int32_t pitot_options_set(const pitot_option *table, void *options, const char *owner, const char *name, const char *text,
                                    pitot_error *error);

/* The value as one would type it, shortest form that reads back the same. Returns the length as snprintf does. */
PITOT_API int32_t pitot_options_text(const pitot_option *option, const void *options, char *text, size_t size);

/* The entry called `name`, or NULL. */
PITOT_API const pitot_option *pitot_options_find(const pitot_option *table, const char *name);

#ifdef __cplusplus
}
#endif

#endif
