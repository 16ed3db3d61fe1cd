/* step.c: time of one training step (forward, backward, SGD update) of a model file on made-up samples, 10,000 of them in memory, another
   batch each time; and the best sgemm rate seen in the same process:

       step MODEL BATCH THREADS SECONDS [PROBES [OPTIONS]]

   prints: milliseconds (median, least), flops of the step's products, GFLOP/s of sgemm; of PROBES tracked every step, with a log: the
   median of the ratios of a step with them and the one without before it, times the first number; and the most memory that this
   process ever had, in MB, the measuring of sgemm left out. OPTIONS: their PROBE.OPTION=VALUE, separated by blanks.

   Steps with and without probes take turns. The run knows its optimizer and that nobody else changes parameters, as pitot train's does.

   Public API only. */

#include "bench.h"

#include <sys/resource.h>

enum { MOST = 100000, SAMPLES = 10000 };

static double peak_memory(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

/* A run with these probes in a folder that is gone afterwards, the net on it; NULL: none asked for. */
static pitot_run *open_run(pitot_attached *a, pitot_net *net, const char *probes, char *options, int threads) {
    static char folder[] = "/tmp/pitot-bench-XXXXXX";
    if (!probes || !mkdtemp(folder)) return NULL;
    for (char *c = options; c && *c; c++)
        if (*c == ' ') *c = '\n';
    pitot_run *run = pitot_open(folder, &(pitot_config){ .struct_size = sizeof(pitot_config),
                                                         .probes = probes,
                                                         .options = options,
                                                         .optimizer = "sgd",
                                                         .flags = PITOT_LATE,
                                                         .threads = threads });
    if (pitot_attach(a, net, run) || pitot_last_error(run)[0]) fprintf(stderr, "%s\n", pitot_last_error(run));
    return run;
}

static double hooked_step(const pitot_attached *a, pitot_net *net, pitot_optim *optim, int64_t k, const pitot_net_batch *b) {
    double t = now(), loss;
    pitot_begin(a->run, k);
    pitot_net_forward(net, b, &loss);
    pitot_attached_forward(a, b, loss);
    pitot_net_backward(net);
    pitot_attached_backward(a);
    pitot_optim_step(optim);
    pitot_after_update(a->run, 1e-3);
    return now() - t;
}

int main(int argc, char **argv) {
    setup s = set_up(argc, argv, 4, 6, "step MODEL BATCH THREADS SECONDS [PROBES [OPTIONS]]", SAMPLES);
    pitot_optim *optim = make_optim("sgd", s.net, s.threads);
    pitot_net_batch b = s.batch;
    pitot_attached plain = { .struct_size = sizeof plain, .net = s.net }, probed = plain;
    pitot_run *run = open_run(&probed, s.net, argc > 5 ? argv[5] : NULL, argc > 6 ? argv[6] : NULL, s.threads);
    probed.optim = optim;
    probed.untouched = 1;
    int64_t at = 0;
    int n = 0;
    double end = now() + s.seconds, *times = calloc(MOST, sizeof *times), *ratio = calloc(MOST, sizeof *ratio);
    for (int warm = 3; (now() < end || n == 0) && n < MOST; warm--) {
        b.x = s.batch.x + at * s.facts.input;
        b.classes = s.batch.classes + at;
        at = at + 2 * b.n <= s.samples ? at + b.n : 0;
        double without = hooked_step(&plain, s.net, optim, n, &b),
               with = run ? hooked_step(&probed, s.net, optim, 4 - warm, &b) : 0;
        if (warm > 0) continue;
        times[n] = without;
        ratio[n++] = with / without;
    }
    double middle = 1e3 * median(times, n), memory = peak_memory();
    printf("%.4f %.4f %.6g %.2f %.4f %.1f\n", middle, 1e3 * times[0], s.facts.step_flops * (double)b.n, best_rate(),
           middle * median(ratio, n), memory);
    pitot_close(run, PITOT_DONE);
    pitot_optim_free(optim);
    clear_up(&s);
    free(ratio);
    free(times);
    return 0;
}
