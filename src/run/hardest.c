/* hardest.c: the samples with the largest scores, as two lists. */

#include "run/run.h"

#include <string.h>

enum { MOST_HARDEST = 64 };

/* Puts sample i where it belongs among the n that are there, in falling order; the last one drops out if `most` are. */
static int64_t insert(int64_t *order, int64_t n, int64_t most, const double *scores, int64_t i) {
    int64_t at = n;
    while (at > 0 && scores[i] > scores[order[at - 1]]) at--;
    if (at == most) return n;
    int64_t last = n < most ? n : most - 1;
    memmove(order + at + 1, order + at, (size_t)(last - at) * sizeof *order);
    order[at] = i;
    return last + 1;
}

void pitot_emit_hardest(const pitot_frame *f, const double *scores, int64_t n, const int64_t *ids, int64_t most) {
    int64_t order[MOST_HARDEST], listed = 0;
    double id[MOST_HARDEST], score[MOST_HARDEST];
    if (most > MOST_HARDEST) most = MOST_HARDEST;
    for (int64_t i = 0; most > 0 && i < n; i++)
        if (scores[i] >= 0) listed = insert(order, listed, most, scores, i);
    for (int64_t k = 0; k < listed; k++) {
        id[k] = (double)(ids ? ids[order[k]] : order[k]);
        score[k] = scores[order[k]];
    }
    pitot_emit_list(f, "hardest.ids", id, listed);
    pitot_emit_list(f, "hardest.scores", score, listed);
}
