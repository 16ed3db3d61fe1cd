/* stiffness.c: whether a step on one sample helps another (Fort et al. 2019, "Stiffness: a new perspective on generalization in neural
   networks"), over pairs n != m of the batch:

       S_cos = mean g_n'g_m / (|g_n| |g_m|)      S_sign = mean sign g_n'g_m

   within a class, between classes, and class by class. A net that learns features keeps its samples stiff within classes; near 0 it
   memorises them one by one. Samples whose gradient is zero have no direction and are left out. Class by class: (C,C), NaN where the
   batch has no pair; only where each sample has one class, of 256 at most. */

#include "pitot/probe.h"

#include <math.h>
#include <string.h>

enum { MOST_CLASSES = 256 };

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean cosine between two samples' gradients", NULL },
    { "sign", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean sign of two samples' product", NULL },
    { "within.cosine", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean cosine within a class", NULL },
    { "within.sign", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean sign within a class", NULL },
    { "between.cosine", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean cosine between classes", NULL },
    { "between.sign", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean sign between classes", NULL },
    { "classes", PITOT_TABLE, PITOT_LINEAR_AXIS, "", "mean cosine, class by class", NULL },
    { 0 },
};

typedef struct means { /* of pairs, each counted once */
    double cosine, sign, pairs;
} means;

static void add_pair(means *m, double cosine) {
    m->cosine += cosine;
    m->sign += (cosine > 0) - (cosine < 0);
    m->pairs += 1;
}

static void say(const pitot_frame *f, const means *m, const char *cosine, const char *sign) {
    if (m->pairs == 0) return;
    pitot_emit(f, cosine, m->cosine / m->pairs);
    pitot_emit(f, sign, m->sign / m->pairs);
}

/* 1/|g_n|, 0 for what has no direction. Returns how many have one; -1: a gradient is not finite. */
static int64_t invert_lengths(const pitot_frame *f, double *inverse) {
    int64_t n = f->samples->listed, directed = 0;
    for (int64_t i = 0; i < n; i++) {
        double square = f->gram[i * n + i];
        if (!isfinite(square)) return -1;
        inverse[i] = f->samples->counts[i] && square > 0 ? 1 / sqrt(square) : 0;
        directed += inverse[i] > 0;
    }
    return directed;
}

/* The sample's class; -1: it has none. */
static int64_t class_of(const pitot_prediction *p, int64_t i) {
    int64_t k = p && p->classes && p->t == 1 ? p->classes[i] : -1;
    return k >= 0 && k < p->c ? k : -1;
}

static void emit_classes(const pitot_frame *f, int64_t c, double *cosine, const double *pairs) {
    for (int64_t i = 0; i < c * c; i++) cosine[i] = pairs[i] > 0 ? cosine[i] / pairs[i] : NAN;
    pitot_emit_table(f, "classes", -1, cosine, c, c);
}

/* table (2,c,c): sums of cosines, pairs; c 0: none */
static void add_pairs(const pitot_frame *f, const double *inverse, means of[3], double *table, int64_t c) {
    int64_t n = f->samples->listed;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            if (inverse[i] == 0 || inverse[j] == 0) continue;
            double cosine = f->gram[i * n + j] * inverse[i] * inverse[j];
            int64_t a = class_of(f->prediction, i), b = class_of(f->prediction, j);
            add_pair(&of[0], cosine);
            if (a < 0 || b < 0) continue;
            add_pair(&of[a == b ? 1 : 2], cosine);
            for (int k = 0; c && k <= (a != b); k++) {
                int64_t at = k ? b * c + a : a * c + b;
                table[at] += cosine;
                table[c * c + at] += 1;
            }
        }
}

static int32_t backward(const pitot_frame *f) {
    const pitot_prediction *p = f->prediction;
    int64_t n = f->samples->listed, c = p && p->classes && p->t == 1 && p->c <= MOST_CLASSES ? p->c : 0;
    means of[3] = { { 0 } };
    double *inverse = pitot_scratch(f, n + 2 * c * c);
    if (!inverse) return PITOT_EBUDGET;
    double *table = inverse + n;
    int64_t directed = invert_lengths(f, inverse);
    if (directed < 0) return pitot_undefined(f, "a gradient is not finite"), PITOT_OK;
    if (directed < 2) return pitot_undefined(f, "fewer than two samples have a gradient other than zero"), PITOT_OK;
    memset(table, 0, (size_t)(2 * c * c) * sizeof *table);
    add_pairs(f, inverse, of, table, c);
    if (!isfinite(of[0].cosine)) return pitot_undefined(f, "a product of gradients is not finite"), PITOT_OK;
    say(f, &of[0], "", "sign");
    say(f, &of[1], "within.cosine", "within.sign");
    say(f, &of[2], "between.cosine", "between.sign");
    if (c) emit_classes(f, c, table, table + c * c);
    return PITOT_OK;
}

const pitot_probe pitot_probe_stiffness = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRAM,
    .wants = PITOT_NEED_OUTPUT,
    .presets = 0,
    .spans = 1,
    .name = "stiffness",
    .summary = "mean cosine and sign between samples' gradients, within and between classes, and class by class",
    .paper = "Fort, Nowak, Jastrzebski, Narayanan 2019, arXiv 1901.09491",
    .formula = "mean over n != m of g_n'g_m / (|g_n| |g_m|), and of sign g_n'g_m",
    .outputs = outputs,
    .backward = backward,
};
