/* grand.c: GraNd scores, the lengths of the samples' gradients (Paul, Ganguli, Dziugaite 2021, "Deep learning on a data diet"): what each
   sample can change at most. The hardest samples are those to look at: mislabelled, ambiguous or rare. Scores early in training rank
   samples by how much they are needed; at initialisation they say little (Kirsch 2023, arXiv 2303.14753). */

#include "pitot/probe.h"

#include <math.h>

typedef struct options {
    int64_t top;
} options;

static const pitot_option table[] = {
    { "top", PITOT_INT, 1, offsetof(options, top), "10", 1, 64, NULL, "samples", "how many of the hardest samples are listed" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "", "mean length of a sample's gradient", NULL },
    { "hardest.ids", PITOT_LIST, PITOT_NOT_DRAWN, "", "the hardest samples: in the data set, or in the batch", NULL },
    { "hardest.scores", PITOT_LIST, PITOT_LOG_AXIS, "", "their scores", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double sum = 0, *scores = pitot_scratch(f, m->listed);
    if (!scores) return PITOT_EBUDGET;
    for (int64_t i = 0; i < m->listed; i++) {
        scores[i] = m->counts[i] ? sqrt(m->square[i]) : -1;
        sum += m->counts[i] ? scores[i] : 0;
    }
    if (!isfinite(sum)) return pitot_undefined(f, "a gradient is not finite"), PITOT_OK;
    pitot_emit(f, "", sum / (double)m->n);
    pitot_emit_hardest(f, scores, m->listed, m->ids, ((const options *)f->options)->top);
    return PITOT_OK;
}

const pitot_probe pitot_probe_grand = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = 0,
    .spans = 1,
    .name = "grand",
    .summary = "GraNd scores: mean length of the samples' gradients, and the hardest samples",
    .paper = "Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075",
    .formula = "|g_n|",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
