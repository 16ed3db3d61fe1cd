/* fit.c: whether a net and a data set belong together. */

#include "net/net.h"

int32_t pitot_net_fits(const pitot_net *net, const pitot_data *data, const char *model, pitot_error *error) {
    if (net->n_nodes == 0) return pitot_fail(error, PITOT_EINVAL, "%s:layers: there are none; add at least one", model);
    int64_t gives = net->node[net->n_nodes - 1].out.size, wants = data->classes ? data->n_classes : data->target_size;
    if (net->input.size != data->size)
        return pitot_fail(error, PITOT_EMISMATCH, "%s:input: the model takes %lld values a sample, %s has %lld; change \"input\"",
                          model, (long long)net->input.size, data->spec, (long long)data->size);
    shape sample = { 0 };
    while (sample.n < PITOT_DIMS && data->shape[sample.n]) sample.dim[sample.n] = data->shape[sample.n], sample.n++;
    if (sample.n > 1 && net->input.n > 1 && !shape_equal(&sample, &net->input)) {
        char takes[128], has[128];
        return pitot_fail(error, PITOT_EMISMATCH, "%s:input: the model takes samples of shape %s, %s has %s; change \"input\"",
                          model, shape_text(&net->input, takes), data->spec, shape_text(&sample, has));
    }
    if (net->loss->classes && !data->classes)
        return pitot_fail(error, PITOT_EMISMATCH, "%s:loss: %s needs classes, %s has targets; take mse", model, net->loss->name,
                          data->spec);
    if (net->loss->classes ? gives < wants : gives != wants)
        return pitot_fail(error, PITOT_EMISMATCH, "%s: the last layer gives %lld values, %s has %lld %s; change the last layer",
                          model, (long long)gives, data->spec, (long long)wants, data->classes ? "classes" : "targets");
    return PITOT_OK;
}
