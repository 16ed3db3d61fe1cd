#include "sweep/sweep.h"
void sweep_weighted_sum(const sweep_job *job, int32_t target, const double *weight, pitot_real *out) {
    (void)job;
    (void)target;
    (void)weight;
    (void)out;
}
void sweep_samples(const sweep_job *job, int32_t target, int64_t begin, int64_t end, pitot_real *out, int64_t stride) {
    (void)job;
    (void)target;
    (void)begin;
    (void)end;
    (void)out;
    (void)stride;
}
#include "pitot/net.h"
int32_t pitot_net_diagonal(pitot_net *net, int32_t kind, int64_t draws, uint64_t seed, int per_sample, pitot_real *out,
                           pitot_error *error) {
    (void)net;
    (void)kind;
    (void)draws;
    (void)seed;
    (void)per_sample;
    (void)out;
    (void)error;
    return PITOT_ENOTSUP;
}
double pitot_net_diagonal_cost(const pitot_net *net, int32_t kind, int64_t draws) {
    (void)net;
    (void)kind;
    (void)draws;
    return 0;
}
