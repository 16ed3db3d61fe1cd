/* point_group.c: which parameters belong to a point, vectors of them within those of all, and which of their values is not finite. */

#include "curve/point.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/threads.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

enum { LIST_ROOM = 800, WORTH_THREADS = 1 << 16 };

static int threads_for(const pitot_point *p, int64_t n) {
    return n < WORTH_THREADS ? 1 : p->net->threads;
}

/* ---- names ---- */

static int is_called(const char *name, const char *text, size_t length) {
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

/* Marks the layer's parameters, or the parameter; 0: there is nothing of that name. */
static int take(pitot_point *p, const char *text, size_t length) {
    const pitot_net *net = p->net;
    int found = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++) {
            if (of[i] < 0 || !(is_called(net->node[k].name, text, length) || is_called(net->param[of[i]].name, text, length)))
                continue;
            p->in[of[i]] = 1;
            found = 1;
        }
    }
    return found;
}

static int32_t unknown(const pitot_net *net, const char *text, size_t length, pitot_error *error) {
    char name[64] = "", list[LIST_ROOM] = "";
    int n = 0;
    const char **names = mem_alloc((int64_t)net->n_nodes + net->n_params, sizeof *names);
    memcpy(name, text, length < sizeof name ? length : sizeof name - 1);
    for (int32_t k = 0; names && k < net->n_nodes; k++)
        if (net->buffer[k].weight >= 0 || net->buffer[k].bias >= 0) names[n++] = net->node[k].name;
    for (int32_t k = 0; names && k < net->n_params; k++) names[n++] = net->param[k].name;
    if (names) nearest_list(name, names, n, list, sizeof list);
    mem_free(names);
    return pitot_fail(error, PITOT_EINVAL, "group: no layer or parameter is called \"%s\"; %s", name, list);
}

static int32_t take_names(pitot_point *p, const char *names, pitot_error *error) {
    static const char blanks[] = " \t\n";
    for (const char *s = names;; s++) {
        s += strspn(s, blanks);
        size_t room = strcspn(s, ","), length = room;
        while (length && strchr(blanks, s[length - 1])) length--;
        if (!length || !take(p, s, length)) return unknown(p->net, s, length, error);
        s += room;
        if (!*s) return PITOT_OK;
    }
}

int32_t group_find(pitot_point *p, const char *names, pitot_error *error) {
    const pitot_net *net = p->net;
    int32_t status = PITOT_OK;
    if (names) status = take_names(p, names, error);
    else memset(p->in, 1, (size_t)net->n_params);
    for (int32_t i = 0; i < net->n_params; i++) p->size += p->in[i] ? net->param[i].size : 0;
    p->whole = p->size == net->size;
    if (!status && p->size == 0) status = pitot_fail(error, PITOT_EINVAL, "the net has no parameters to be curved in");
    return status;
}

/* ---- what is not finite ---- */

typedef struct finite_job {
    const pitot_real *x;
    int bad[SUMS_MOST_THREADS];
} finite_job;

PITOT_HOT static int count_bad(const pitot_real *x, int64_t n) {
    int bad = 0;
    for (int64_t i = 0; i < n; i++) bad |= !(x[i] - x[i] == 0);
    return bad;
}

static void finite_range(void *job, int64_t begin, int64_t end, int thread) {
    finite_job *j = job;
    j->bad[thread] = count_bad(j->x + begin, end - begin);
}

/* Index of the first value that is not finite; -1: none. */
static int64_t first_bad(const pitot_point *p, const pitot_real *x, int64_t n) {
    finite_job j = { .x = x };
    int threads = threads_for(p, n), bad = 0;
    threads_run(threads < SUMS_MOST_THREADS ? threads : SUMS_MOST_THREADS, n, finite_range, &j);
    for (int t = 0; t < SUMS_MOST_THREADS; t++) bad |= j.bad[t];
    for (int64_t i = 0; bad && i < n; i++)
        if (!isfinite(x[i])) return i;
    return -1;
}

int32_t group_check_weights(const pitot_point *p, pitot_error *error) {
    for (int32_t i = 0; i < p->net->n_params; i++) {
        const pitot_net_param *q = &p->net->param[i];
        char value[32];
        int64_t at = first_bad(p, q->data, q->size);
        if (at < 0) continue;
        pitot_number_text((double)q->data[at], value, sizeof value);
        return pitot_fail(error, PITOT_EINVAL, "weights: %s[%lld] is %s; curvature needs finite weights", q->name, (long long)at,
                          value);
    }
    return PITOT_OK;
}

int32_t group_check(pitot_point *p, const char *what, const pitot_real *out) {
    char value[32];
    int64_t at = first_bad(p, out, p->size);
    if (at < 0) return PITOT_OK;
    if (group_check_weights(p, &p->error)) return PITOT_EINVAL;
    pitot_number_text((double)out[at], value, sizeof value);
    for (int32_t i = 0; i < p->net->n_params; i++) {
        const pitot_net_param *q = &p->net->param[i];
        if (p->in[i] && at < q->size)
            return pitot_fail(&p->error, PITOT_EINVAL,
                              "%s: %s[%lld] comes out as %s; a sample or the vector is not finite, or too large", what, q->name,
                              (long long)at, value);
        at -= p->in[i] ? q->size : 0;
    }
    return PITOT_EINVAL;
}

/* ---- vectors ---- */

const pitot_real *group_scatter(pitot_point *p, const pitot_real *x) {
    const pitot_net *net = p->net;
    if (p->whole) return x;
    for (int32_t i = 0; i < net->n_params; i++) {
        if (!p->in[i]) continue;
        memcpy(p->v + net->flat[i], x, (size_t)net->param[i].size * sizeof *x);
        x += net->param[i].size;
    }
    return p->v;
}

void group_gather(const pitot_point *p, const pitot_real *all, pitot_real *out) {
    const pitot_net *net = p->net;
    for (int32_t i = 0; i < net->n_params; i++) {
        if (!p->in[i]) continue;
        memcpy(out, all + net->flat[i], (size_t)net->param[i].size * sizeof *out);
        out += net->param[i].size;
    }
}

typedef struct add_job {
    double share;
    const pitot_real *from;
    double *sum;
    pitot_real *out;
} add_job;

PITOT_HOT static void add_share(double share, const pitot_real *from, int64_t n, double *sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += share * (double)from[i];
}

static void add_range(void *job, int64_t begin, int64_t end, int thread) {
    const add_job *j = job;
    (void)thread;
    add_share(j->share, j->from + begin, end - begin, j->sum + begin);
}

void group_add_values(const pitot_point *p, double share, const pitot_real *from, int64_t n, double *sum) {
    add_job j = { .share = share, .from = from, .sum = sum };
    threads_run(threads_for(p, n), n, add_range, &j);
}

void group_add(const pitot_point *p, double share, const pitot_real *all, double *sum) {
    const pitot_net *net = p->net;
    for (int32_t i = 0; i < net->n_params; i++) {
        if (!p->in[i]) continue;
        group_add_values(p, share, all + net->flat[i], net->param[i].size, sum);
        sum += net->param[i].size;
    }
}

PITOT_HOT static void round_off(const double *sum, int64_t n, pitot_real *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (pitot_real)sum[i];
}

static void round_range(void *job, int64_t begin, int64_t end, int thread) {
    const add_job *j = job;
    (void)thread;
    round_off(j->sum + begin, end - begin, j->out + begin);
}

void group_round(const pitot_point *p, double *sum, pitot_real *out) {
    add_job j = { .sum = sum, .out = out };
    threads_run(threads_for(p, p->size), p->size, round_range, &j);
}
