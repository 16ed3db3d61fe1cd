/* point_diagonal.c: the loss, its gradient and the operators' diagonals at a point. The empirical Fisher's diagonal is the mean square of
   samples' gradients: the squares of one column, the loss's own gradient (columns.c). */

#include "curve/point.h"

#include <math.h>
#include <string.h>

/* ---- loss and gradient ---- */

/* The gradient over the last chunk, into p.sum or, of a single one, out. */
static void take_gradient(pitot_point *p, pitot_real *out) {
    const pitot_net *net = p->net;
    double *sum = p->sum;
    for (int32_t i = 0; i < net->n_params; i++) {
        const pitot_net_param *q = &net->param[i];
        if (!p->in[i]) continue;
        if (sum) group_add_values(p, (double)p->n / (double)p->samples, q->grad, q->size, sum), sum += q->size;
        else memcpy(out, q->grad, (size_t)q->size * sizeof *out), out += q->size;
    }
}

/* Parameters that the output does not depend on have none. */
static void clear_gradient(const pitot_net *net) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++)
            if (of[i] >= 0 && !net->buffer[k].dy)
                memset(net->param[of[i]].grad, 0, (size_t)net->param[of[i]].size * sizeof(pitot_real));
    }
}

static int32_t check_loss(pitot_point *p, double loss) {
    char value[32];
    if (isfinite(loss) || group_check_weights(p, &p->error)) return p->error.status;
    pitot_number_text(loss, value, sizeof value);
    return pitot_fail(&p->error, PITOT_EINVAL, "the mean loss is %s; a sample is not finite, or the outputs are too large", value);
}

int32_t pitot_point_gradient(pitot_point *p, double *loss, pitot_real *out) {
    int32_t status = chunk_begin(p);
    double sum = 0;
    if (out && p->sum) memset(p->sum, 0, (size_t)p->size * sizeof *p->sum);
    for (int64_t at = 0; at < p->samples && !status; at += p->chunk) {
        p->backward = 0; /* whatever others have done with the net's gradients */
        status = chunk_pass(p, at, out != NULL);
        if (status) break;
        sum += p->loss * ((double)p->n / (double)p->samples);
        if (out) clear_gradient(p->net), take_gradient(p, out);
        status = chunk_progress(p, at + p->n);
    }
    if (status) return status;
    if (out && p->sum) group_round(p, p->sum, out);
    if (loss) *loss = sum;
    status = check_loss(p, sum);
    return status || !out ? status : group_check(p, "gradient", out);
}

/* ---- diagonals ---- */

/* Of the last chunk's mean loss, into all (D). */
static int32_t chunk_diagonal(pitot_point *p, int32_t kind, pitot_real *all) {
    pitot_net *net = p->net;
    if (kind == PITOT_OP_HESSIAN) return pitot_net_diagonal(net, PITOT_DIAGONAL_HESSIAN, 1, 0, 0, all, &p->error);
    if (kind == PITOT_OP_GGN) return pitot_net_diagonal(net, PITOT_DIAGONAL_GGN, 1, 0, 0, all, &p->error);
    if (!net->buffer[net->n_nodes - 1].dy) {
        memset(all, 0, (size_t)net->size * sizeof *all);
        return PITOT_OK;
    }
    int32_t status = columns_prepare(net);
    if (status) return pitot_fail(&p->error, status, "no memory for the diagonal");
    roots r = chunk_roots(p, kind);
    columns_squares(net, &r, 0, p->n, 1 / ((double)p->n * (double)r.n), all);
    return PITOT_OK;
}

static int32_t all_chunks(pitot_point *p, int32_t kind, pitot_real *out) {
    pitot_real *all = p->out ? p->out : out;
    int backward = kind == PITOT_OP_HESSIAN || kind == PITOT_OP_GGN;
    if (p->sum) memset(p->sum, 0, (size_t)p->size * sizeof *p->sum);
    for (int64_t at = 0; at < p->samples; at += p->chunk) {
        int32_t status = chunk_pass(p, at, backward);
        if (!status) status = chunk_diagonal(p, kind, all);
        if (!status) status = chunk_progress(p, at + p->n);
        if (status) return status;
        if (p->sum) group_add(p, (double)p->n / (double)p->samples, all, p->sum);
        else if (all != out) group_gather(p, all, out);
    }
    if (p->sum) group_round(p, p->sum, out);
    return group_check(p, pitot_operator_name(kind), out);
}

int32_t pitot_point_diagonal(pitot_point *p, int32_t kind, pitot_real *out, pitot_error *error) {
    int32_t status = chunk_begin(p);
    if (!status && (!out || !pitot_operator_name(kind)))
        status = pitot_fail(&p->error, PITOT_EINVAL, "there is no diagonal of kind %ld, or no room for it", (long)kind);
    if (!status) status = chunk_prepare(p, kind);
    if (!status) status = all_chunks(p, kind, out);
    return status ? pitot_fail(error, status, "%s", p->error.status ? p->error.text : pitot_strerror(status)) : PITOT_OK;
}
