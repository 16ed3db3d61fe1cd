/* train.c: the built-in training loop. It calls the hooks that any loop calls, and nothing else of the probing side. */

#include "train/train.h"

#include "base/random.h"

#include <math.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- batches ---- */

static pitot_net_batch load(trainer *t, const int64_t *ids, int64_t n, int training) {
    pitot_data_batch(t->data, ids, n, t->x, t->classes, t->targets);
    return (pitot_net_batch){ .struct_size = sizeof(pitot_net_batch),
                              .n = n,
                              .x = t->x,
                              .classes = t->data->classes ? t->classes : NULL,
                              .targets = t->targets,
                              .training = training,
                              .seed = t->config.seed,
                              .step = t->step,
                              .ids = ids };
}

static pitot_net_batch next_batch(trainer *t) {
    int64_t epoch = t->step / t->per_epoch, first = t->step % t->per_epoch * t->config.batch, n = t->data->n_train - first;
    if (epoch != t->shuffled) {
        t->shuffled = epoch;
        if (t->config.no_shuffle)
            for (int64_t i = 0; i < t->data->n_train; i++) t->order[i] = i;
        else random_permutation(t->config.seed, RANDOM_SHUFFLE, (uint64_t)epoch, t->data->n_train, t->order);
    }
    t->ids = t->order + first;
    t->n_ids = n < t->config.batch ? n : t->config.batch;
    return load(t, t->ids, t->n_ids, 1);
}

/* ---- the whole data set ---- */

static void add_gradients(trainer *t, double weight) {
    const pitot_net_param *p = pitot_net_params(t->net);
    double *to = t->sums;
    for (int64_t i = 0; i < pitot_net_param_count(t->net); i++)
        for (int64_t k = 0; k < p[i].size; k++) *to++ += weight * (double)p[i].grad[k];
}

static void give_gradients(trainer *t) {
    const pitot_net_param *p = pitot_net_params(t->net);
    const double *from = t->sums;
    for (int64_t i = 0; i < pitot_net_param_count(t->net); i++)
        for (int64_t k = 0; k < p[i].size; k++) p[i].grad[k] = (pitot_real)*from++;
}

/* Batches as in an epoch; then the batch at hand again, without a backward pass. */
int32_t train_data_gradient(void *trainer_, double *loss) {
    trainer *t = trainer_;
    pitot_net_facts f = { .struct_size = sizeof f };
    int32_t status = PITOT_OK;
    pitot_net_get_facts(t->net, &f);
    memset(t->sums, 0, (size_t)f.parameters * sizeof *t->sums);
    *loss = 0;
    for (int64_t at = 0, n; at < t->data->n_train && !status; at += n) {
        double one = NAN;
        n = t->data->n_train - at < t->config.batch ? t->data->n_train - at : t->config.batch;
        pitot_net_batch b = load(t, t->order + at, n, 1);
        status = pitot_net_forward(t->net, &b, &one);
        if (!status) status = pitot_net_backward(t->net);
        add_gradients(t, (double)n / (double)t->data->n_train);
        *loss += one * (double)n / (double)t->data->n_train;
    }
    pitot_net_batch b = load(t, t->ids, t->n_ids, 1);
    double one;
    if (!status) status = pitot_net_forward(t->net, &b, &one);
    give_gradients(t);
    return status;
}

/* ---- validation ---- */

static void validate(trainer *t) {
    int64_t total = t->data->n - t->data->n_train, good = 0;
    double sum = 0;
    if (total == 0) return;
    pitot_optim_evaluate(t->optim, 1);
    int64_t *ids = t->order; /* borrowed: the next batch makes it anew */
    t->shuffled = -1;
    for (int64_t at = t->data->n_train; at < t->data->n;) {
        int64_t n = t->data->n - at < t->config.batch ? t->data->n - at : t->config.batch;
        double loss = NAN;
        for (int64_t k = 0; k < n; k++) ids[k] = at + k;
        pitot_net_batch b = load(t, ids, n, 0);
        pitot_net_forward(t->net, &b, &loss);
        sum += loss * (double)n;
        good += pitot_net_correct(t->net);
        at += n;
    }
    pitot_optim_evaluate(t->optim, 0);
    t->val_loss = sum / (double)total;
    pitot_scalar(t->run, "val/loss", t->val_loss);
    if (!t->data->classes || good < 0) return;
    t->val_accuracy = (double)good / (double)total;
    pitot_scalar(t->run, "val/accuracy", t->val_accuracy);
}

/* ---- one step ---- */

static int32_t step(trainer *t, pitot_error *error) {
    if (pitot_begin(t->run, t->step)) pitot_hyper(t->run, -1, "lr", pitot_optim_next_lr(t->optim));
    pitot_net_batch b = next_batch(t);
    int32_t status = pitot_net_forward(t->net, &b, &t->loss);
    if (status)
        return pitot_fail(error, status, "%s: step %lld: %s; do classes fit the last layer?", t->config.data, (long long)t->step,
                          pitot_strerror(status));
    pitot_attached_forward(&t->attached, &b, t->loss);
    pitot_net_backward(t->net);
    pitot_attached_backward(&t->attached);
    status = pitot_optim_step(t->optim);
    if (status == PITOT_EHOST)
        pitot_fail(&t->trouble, status, "step %lld: gradients, or the step made of them, are not finite: the optimizer left it out",
                   (long long)t->step);
    else if (status)
        return pitot_fail(error, status, "step %lld: optimizer %.100s: %s", (long long)t->step, t->config.optimizer,
                          pitot_strerror(status));
    t->step++;
    pitot_after_update(t->run, pitot_optim_lr(t->optim));
    if (t->step % t->per_epoch == 0 || t->step == t->steps) validate(t);
    return PITOT_OK;
}

/* ---- telling ---- */

/* 1: stop. */
static int report(trainer *t, int last) {
    double at = now(), passed = at - t->last_report;
    if (!t->config.progress || (!last && passed < 0.1)) return 0; /* the clock is cheaper than what is told */
    double rate = passed > 0 ? (double)(t->step - t->last_step) / passed : 0;
    t->rate = t->rate > 0 ? 0.9 * t->rate + 0.1 * rate : rate;
    t->last_report = at;
    t->last_step = t->step;
    pitot_health h = { .struct_size = sizeof h };
    pitot_get_health(t->run, &h);
    pitot_train_progress p = { .struct_size = sizeof p,
                               .step = t->step,
                               .steps = t->steps,
                               .epoch = (t->step + t->per_epoch - 1) / t->per_epoch,
                               .loss = t->loss,
                               .val_loss = t->val_loss,
                               .val_accuracy = t->val_accuracy,
                               .seconds = at - t->start,
                               .rate = t->rate,
                               .overhead = h.overhead,
                               .resumed = t->resumed,
                               .trouble = t->trouble.status ? t->trouble.text
                                          : t->run          ? pitot_last_error(t->run)
                                                            : "" };
    return t->config.progress(t->config.user, &p);
}

static int32_t loop(trainer *t, int32_t *how, pitot_error *error) {
    while (t->step < t->steps) {
        int32_t status = step(t, error);
        if (status) return status;
        if (report(t, 0) && t->step < t->steps) return *how = PITOT_INTERRUPTED, PITOT_OK;
        if (t->config.checkpoint_every > 0 && t->step % t->config.checkpoint_every == 0 && t->step < t->steps)
            checkpoint_save(t, &t->trouble);
    }
    return PITOT_OK;
}

/* Checkpoint and, if the run came to its end, weights; if one cannot be written, the other is all the more wanted. */
static int32_t keep(trainer *t, int32_t how, pitot_error *error) {
    int32_t status = t->run ? checkpoint_save(t, error) : PITOT_OK, saved = PITOT_OK;
    pitot_optim_evaluate(t->optim, 1);
    if (t->config.save && how == PITOT_DONE) saved = pitot_net_save(t->net, t->config.save, error);
    pitot_optim_evaluate(t->optim, 0);
    return status ? status : saved;
}

int32_t pitot_train(const pitot_train_config *config, pitot_error *error) {
    pitot_error own = { 0 };
    pitot_error *e = error ? error : &own;
    trainer t = { .loss = NAN, .val_loss = NAN, .val_accuracy = NAN };
    int32_t how = PITOT_DONE, status = train_setup(&t, config, e);
    if (!status) {
        t.start = t.last_report = now();
        t.last_step = t.step;
        status = loop(&t, &how, e);
        if (!status) status = keep(&t, how, e);
        report(&t, 1);
    }
    pitot_close(t.run, status ? PITOT_FAILED : how);
    train_free(&t);
    return status;
}
