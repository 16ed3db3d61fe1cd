/* sample_dots.c: products of all pairs of samples' gradients, over the whole net: from A and G alone, layer by layer. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_TABLE, PITOT_NOT_DRAWN, "", "products of the samples' gradients", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_emit_table(f, "", -1, f->gram, f->samples->listed, f->samples->listed);
    return PITOT_OK;
}

const pitot_probe pitot_probe_sample_dots = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRAM,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "sample_dots",
    .summary = "products of the samples' gradients with each other",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "g_n'g_m",
    .outputs = outputs,
    .backward = backward,
};
