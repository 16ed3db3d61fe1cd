/* situation.h: steps of small nets of our own engine with every probe on, and what probes are compared with, made independently: the
   gradient of each sample from a batch of one, the Hessian column by column and its eigenvalues from LAPACK.

   Each family of probes has a test program of its own with a reference case for each of its probes; families.h says which is where, and
   a probe that stands nowhere fails the suite. */

#ifndef PITOT_TESTS_SITUATION_H
#define PITOT_TESTS_SITUATION_H

#include "families.h"
#include "host.h"

#include <lapacke.h>

enum { MOST_D = 256, MOST_N = 9, MOST_X = 64 };

static const double rounding = sizeof(pitot_real) == 8 ? 1e-12 : 1e-4; /* of two ways through a net */

typedef struct net_case {
    const char *what, *loss;
    int64_t shape[4], n, outputs;
    const char *layer[5][2]; /* op, attributes */
    const char *family;      /* of the probes that it is for; NULL: all */
} net_case;

static const net_case cases[] = {
    { "perceptron",
      "cross_entropy",
      { 5 },
      9,
      3,
      { { "linear", "out_features=6" }, { "tanh", NULL }, { "linear", "out_features=3" } },
      NULL },
    { "convolution",
      "mse",
      { 2, 5, 4 },
      7,
      3,
      { { "conv2d", "out_channels=4, kernel=3,2, stride=2,1, padding=1, groups=2" },
        { "tanh", NULL },
        { "flatten", NULL },
        { "linear", "out_features=3, bias=false" } },
      NULL },
    { "few samples", /* of fewer values than the first weight: its steps of descent are kept as outer products */
      "cross_entropy",
      { 16 },
      4,
      3,
      { { "linear", "out_features=12" }, { "tanh", NULL }, { "linear", "out_features=3" } },
      "cockpit" },
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct situation { /* one step of one net, as the probes have seen it */
    const net_case *c;
    pitot_net *net;
    pitot_run *run;
    pitot_attached attached;
    int64_t step, size, n_params; /* size: D */
    pitot_real x[MOST_N * MOST_X], targets[MOST_N * MOST_X];
    int32_t classes[MOST_N];
    truth t;
    void (*update)(struct situation *s); /* of the parameters; NULL: gradient descent with lr */
    double lr, loss, losses[MOST_N];     /* of this step's batch, and of its samples */
    int64_t checked;
    pitot_real before[MOST_D];          /* theta_t (D), in `check`; theta_{t+1} stands in the net */
    double *hessian, *vectors, *values; /* (D,D), (D,D), (D) ascending */
} situation;

/* ---- what is compared with ---- */

static inline pitot_net_batch batch_of(const situation *s, int64_t from, int64_t n) {
    const int64_t *d = s->c->shape;
    int64_t width = d[0] * (d[1] ? d[1] : 1) * (d[1] && d[2] ? d[2] : 1);
    return (pitot_net_batch){ .struct_size = sizeof(pitot_net_batch),
                              .n = n,
                              .x = s->x + from * width,
                              .classes = strcmp(s->c->loss, "mse") ? s->classes + from : NULL,
                              .targets = strcmp(s->c->loss, "mse") ? NULL : s->targets + from * s->c->outputs,
                              .training = 1 };
}

static inline void pass_samples(situation *s) {
    double loss;
    s->t = new_truth(s->c->n);
    s->t.by = rounding;
    for (int64_t k = 0; k < s->n_params; k++) truth_add(&s->t, pitot_net_params(s->net)[k].name, pitot_net_params(s->net)[k].size);
    for (int64_t i = 0; i < s->c->n; i++) {
        pitot_net_batch one = batch_of(s, i, 1);
        assert_int_equal(pitot_net_forward(s->net, &one, &loss), PITOT_OK);
        assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
        for (int64_t k = 0; k < s->n_params; k++) {
            const pitot_net_param *p = &pitot_net_params(s->net)[k];
            for (int64_t j = 0; j < p->size; j++) s->t.g[k][i * p->size + j] = (double)p->grad[j];
        }
    }
    truth_settle(&s->t);
}

static inline void make_hessian(situation *s) {
    static pitot_real e[MOST_D], column[MOST_D];
    for (int64_t j = 0; j < s->size; j++) {
        memset(e, 0, sizeof e);
        e[j] = 1;
        assert_int_equal(pitot_net_hvp(s->net, e, column), PITOT_OK);
        for (int64_t i = 0; i < s->size; i++) s->hessian[i * s->size + j] = (double)column[i];
    }
    memcpy(s->vectors, s->hessian, (size_t)(s->size * s->size) * sizeof(double));
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'U', (int)s->size, s->vectors, (int)s->size, s->values), 0);
}

typedef struct reference {
    const char *probe;
    void (*check)(const situation *s); /* after pitot_after_update of step s->step */
    int may_be_undefined;
} reference;

static inline const reference *reference_of(const reference *list, int n, const char *probe) {
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].probe, probe) == 0) return &list[i];
    return NULL;
}

/* ---- the nets ---- */

static inline void open_case(situation *s, const net_case *c) {
    pitot_error error = { 0 };
    *s = (situation){ .c = c };
    s->net = pitot_net_new(c->what, c->shape, c->loss, &error);
    for (int l = 0; c->layer[l][0]; l++)
        if (pitot_net_add(s->net, c->layer[l][0], NULL, NULL, c->layer[l][1], &error)) fail_msg("%s", error.text);
    if (pitot_net_prepare(s->net, c->n, 1, &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_net_init(s->net, 3), PITOT_OK);
    s->n_params = pitot_net_param_count(s->net);
    for (int64_t k = 0; k < s->n_params; k++) s->size += pitot_net_params(s->net)[k].size;
    assert_true(s->size <= MOST_D && c->n <= MOST_N);
    s->hessian = new_doubles(s->size * s->size), s->vectors = new_doubles(s->size * s->size), s->values = new_doubles(s->size);
    s->run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = names_of_all(), .optimizer = "sgd",
                                              .options = "hess_max_ev.warm=100", .flags = PITOT_LATE | PITOT_EXACT });
    pitot_hyper(s->run, -1, "lr", s->lr = 0.3);
    /* a parameter of somebody else's first, without a gradient: ids and places are not the net's own */
    static pitot_real other[3];
    pitot_param p = { .struct_size = sizeof p, .name = "other", .shape = { 3 }, .data = other };
    assert_int_equal(pitot_add_param(s->run, &p), 1);
    assert_int_equal(pitot_attach(&s->attached, s->net, s->run), PITOT_OK);
}

static inline void close_case(situation *s) {
    pitot_close(s->run, PITOT_DONE);
    pitot_net_free(s->net);
    free(s->hessian), free(s->vectors), free(s->values);
}

static inline void draw_batch(situation *s, uint64_t *seed) {
    for (int64_t i = 0; i < MOST_N * MOST_X; i++) {
        s->x[i] = (pitot_real)draw_normal(seed);
        s->targets[i] = (pitot_real)draw_normal(seed);
    }
    for (int64_t i = 0; i < s->c->n; i++) s->classes[i] = (int32_t)((double)s->c->outputs * (0.5 + 0.5 * draw_uniform(seed)));
}

static inline void descend(situation *s) {
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        for (int64_t j = 0; j < p->size; j++) p->data[j] -= (pitot_real)s->lr * p->grad[j];
    }
}

static inline void keep_before(situation *s) {
    int64_t at = 0;
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        memcpy(s->before + at, p->data, (size_t)p->size * sizeof *s->before);
        at += p->size;
    }
}

static inline void take_step(situation *s) {
    double loss;
    pass_samples(s);
    pitot_net_batch b = batch_of(s, 0, s->c->n);
    assert_true(pitot_begin(s->run, s->step) & PITOT_DUE_CAPTURES);
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    for (int64_t i = 0; i < s->c->n; i++) s->losses[i] = (double)pitot_net_losses(s->net)[i];
    assert_int_equal(pitot_attached_forward(&s->attached, &b, loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    assert_int_equal(pitot_attached_backward(&s->attached), PITOT_OK);
    make_hessian(s);
    keep_before(s);
    s->loss = loss;
    s->update ? s->update(s) : descend(s);
    assert_int_equal(pitot_after_update(s->run, s->lr), PITOT_OK);
}

static inline void check_family(situation *s, const char *family, const reference *list, int n) {
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        if (is_mine(*p) || !is_beyond(*p) || !family_of((*p)->name) || strcmp(family_of((*p)->name), family)) continue;
        const reference *r = reference_of(list, n, (*p)->name);
        if (!r) fail_msg("probe %s has no reference case in family %s", (*p)->name, family);
        int32_t state = state_of(s->run, (*p)->name);
        if ((*p)->spans != 2 && state != PITOT_STATE_OK && !(r->may_be_undefined && state == PITOT_STATE_UNDEFINED))
            fail_msg("%s: %s", (*p)->name, why_of(s->run, (*p)->name));
        r->check(s);
        s->checked++;
    }
}

/* Six steps of each net, with every probe on; each of the family's probes is checked at each. */
static inline void run_family(const char *family, const reference *list, int n, void (*update)(situation *s)) {
    static situation s;
    int64_t checked = 0, nets = 0;
    for (int i = 0; i < CASES; i++) {
        uint64_t seed = 40;
        if (cases[i].family && strcmp(cases[i].family, family)) continue;
        nets++;
        open_case(&s, &cases[i]);
        s.update = update;
        for (s.step = 0; s.step < 6; s.step++) {
            draw_batch(&s, &seed);
            take_step(&s);
            assert_string_equal(pitot_last_error(s.run), "");
            check_family(&s, family, list, n);
            truth_free(&s.t);
        }
        assert_true(health_of(s.run).covered == 1);
        checked += s.checked;
        close_case(&s);
    }
    assert_int_equal(checked, nets * 6 * n); /* nor a case without a probe */
}

#endif
