/* manifests.h: what the manifests of several runs say, value by value, and in which of them the runs differ. Pure.

   A manifest's values are flattened: optimizer.options.lr, probes.loss.every (of a list of objects the one named "loss"). What names
   the occasion and not the run is left out: when, where and by which command line it was started, and the list of tensors. */

#ifndef PITOT_VIEWER_MANIFESTS_H
#define PITOT_VIEWER_MANIFESTS_H

#include <regex.h>
#include <stdint.h>

typedef struct manifest_fact {
    const char *key, *value;
    int run;
} manifest_fact;

typedef struct manifest_column { /* a key whose values differ, or that some run has not */
    const char *key;
    char title[24]; /* what of the key is needed to tell it from the others: "lr" */
    int64_t first, n;
    int numeric; /* all its values are numbers */
} manifest_column;

typedef struct manifests {
    manifest_fact *fact; /* [n], by key and run */
    int64_t n;
    manifest_column *column; /* the optimizer's first, the probes' last */
    int columns;
    void *memory;
} manifests;

/* From the texts of n manifests; what is no JSON has no values. 0 or PITOT_ENOMEM, then it is empty. */
int32_t manifests_make(const char *const *text, int n, manifests *m);
void manifests_free(manifests *m);
/* A run's value, or "". */
const char *manifests_value(const manifests *m, int run, int column);
/* Sets hit[run] for each run with a "key=value" that matches. */
void manifests_match(const manifests *m, const regex_t *pattern, unsigned char *hit);

#endif
