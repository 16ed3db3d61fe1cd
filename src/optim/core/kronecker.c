/* kronecker.c: see kronecker.h. */

#include "optim/core/kronecker.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "optim/core/flat.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/momentum.h"
#include "optim/core/room.h"

#include <math.h>

/* ---- layers ---- */

static int64_t read_layers(const kronecker *k, const pitot_optim_source *source, const pitot_tensor_state *tensor, int64_t n,
                           layer *out) {
    int64_t count = layers_read(source, tensor, n, k->max_dim, out);
    for (int64_t i = 0; i < count && k->apart; i++) {
        out[i].apart = out[i].bias;
        out[i].bias = -1;
        out[i].columns = out[i].values;
    }
    return count;
}

/* ---- work space ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Of room to decompose both factors of a group. */
static int64_t bytes_of(const kronecker *k, const layer *l) {
    int64_t most = larger(l->rows, l->columns), values = l->rows * (l->rows + 1) + l->columns * (l->columns + 1);
    return (values + (kronecker_inverts(k) ? 0 : blas_eigenvectors_work(most))) * (int64_t)sizeof(double);
}

static int64_t list_pieces(const kronecker *k, const layer *list, int64_t n, piece *out) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t group = 0; group < list[i].groups; group++, count++)
            if (out) out[count] = (piece){ bytes_of(k, &list[i]), i, group };
    return count;
}

typedef struct extent { /* what there is to have room for */
    const kronecker *k;
    int64_t n, all, parameters; /* layers in use; that the list has room for */
    int threads;
} extent;

/* Places in `base`; or with NULL how many bytes, pieces then being listed in `pieces`. */
static void place(kronecker_room *r, char *base, const extent *e, layer *list, piece *pieces) {
    int64_t real = sizeof(pitot_real), n = e->n, sums = 0, a = 0, g = 0, ta = 0, tg = 0, grad = 0, probe = 0;
    for (int64_t i = 0; i < n; i++) {
        layer *l = &list[i];
        int64_t rows = l->samples * l->positions;
        l->sums = sums;
        sums += l->groups * larger(l->rows * l->rows + l->columns * l->columns, l->rows * l->columns);
        a = larger(a, layer_room(l));
        g = larger(g, l->rows * rows);
        ta = larger(ta, l->columns * rows);
        tg = larger(tg, l->rows * rows);
        grad = larger(grad, l->rows * l->columns);
        probe = larger(probe, l->columns + l->rows + rows);
    }
    room at = { base, 0 };
    *r = (kronecker_room){ 0 };
    r->layer = room_take(&at, e->all * (int64_t)sizeof *list);
    r->direction = room_take(&at, e->parameters * real);
    r->sums = room_take(&at, sums * real);
    r->a = room_take(&at, a * real);
    r->g = room_take(&at, g * real);
    r->ta = room_take(&at, ta * real);
    r->tg = room_take(&at, tg * real);
    r->grad = room_take(&at, 2 * grad * real);
    r->mid = room_take(&at, grad * real);
    r->probe = room_take(&at, probe * real);
    r->pieces = list_pieces(e->k, list, n, NULL);
    r->piece = room_take(&at, r->pieces * (int64_t)sizeof *r->piece);
    piece *p = base ? r->piece : pieces;
    list_pieces(e->k, list, n, p);
    r->work = room_take(&at, pieces_sort(p, r->pieces, e->threads));
    r->model = room_take(&at, e->k->model ? kronecker_model_values(e->parameters) * real : 0);
    r->bytes = at.used;
}

/* ---- layout ---- */

static void add_slots(const kronecker *k, pitot_layout *l, const layer *y) {
    int eigen = !kronecker_inverts(k);
    int64_t s[] = { y->groups, y->rows, y->rows }, a[] = { y->groups, y->columns, y->columns },
            both[] = { y->groups, y->rows, y->columns };
    pitot_slot_add(l, "S", 0, 3, s);
    pitot_slot_add(l, "A", 0, 3, a);
    pitot_slot_add(l, eigen ? "S_basis" : "S_inverse", 0, 3, s);
    pitot_slot_add(l, eigen ? "A_basis" : "A_inverse", 0, 3, a);
    pitot_slot_add(l, "S_values", 0, eigen ? 2 : -1, s);
    pitot_slot_add(l, "A_values", 0, eigen ? 2 : -1, a);
    pitot_slot_add(l, "moments", 0, eigen ? 3 : -1, both);
    pitot_slot_add(l, "numbers", PITOT_F64, 2, (const int64_t[]){ y->groups, KRONECKER_PER_GROUP });
}

int32_t kronecker_layout(const kronecker *k, pitot_layout *l, pitot_error *error) {
    layer *list = mem_alloc(l->source->layers, sizeof *list);
    if (!list) return pitot_fail(error, PITOT_ENOMEM, "no memory for a list of layers");
    int64_t n = read_layers(k, l->source, l->tensor, l->n, list);
    piece *pieces = mem_alloc(list_pieces(k, list, n, NULL) + 1, sizeof *pieces);
    if (!pieces) return mem_free(list), pitot_fail(error, PITOT_ENOMEM, "no memory for a list of factors");
    kronecker_room r;
    place(&r, NULL, &(extent){ k, n, l->source->layers, l->parameters, l->threads }, list, pieces);
    l->scratch = r.bytes;
    mem_free(pieces);
    if (l->i < 0) pitot_slot_add(l, "damping", PITOT_F64, k->model ? 1 : -1, (const int64_t[]){ KRONECKER_PER_RUN });
    if (l->i >= 0) {
        const layer *y = layer_of(list, n, l->i);
        pitot_slot_like(l, "momentum_buffer", l->i, k->momentum != 0);
        if (y) add_slots(k, l, y);
    }
    mem_free(list);
    return PITOT_OK;
}

/* ---- a step ---- */

static double product_with(const kronecker_job *j, int64_t tensor) {
    const pitot_tensor_state *t = &j->s->tensor[tensor];
    return t->g ? flat_dot(j->room.direction + t->at, t->g, t->size) : 0;
}

/* What the directions are multiplied by, so that lr^2 <D,G> is at most kl_clip. */
static double shortening(const kronecker_job *j) {
    double sum = 0, lr = j->k->lr;
    for (int64_t i = 0; i < j->n && j->k->kl_clip > 0; i++) {
        const layer *l = &j->room.layer[i];
        sum += product_with(j, l->weight) + (kronecker_bias(l) >= 0 ? product_with(j, kronecker_bias(l)) : 0);
    }
    double by = sqrt(j->k->kl_clip / (lr * lr * sum));
    return sum > 0 && lr > 0 && by < 1 ? by : 1;
}

static void shorten(kronecker_job *j, int64_t tensor, double by) {
    const pitot_tensor_state *t = &j->s->tensor[tensor];
    pitot_real *d = j->room.direction + t->at;
    for (int64_t i = 0; by < 1 && i < t->size; i++) d[i] *= (pitot_real)by;
}

static int32_t make_directions(kronecker_job *j) {
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < j->n && !status; i++) status = kronecker_direction(j, &j->room.layer[i]);
    if (status) return status;
    double by = shortening(j);
    for (int64_t i = 0; i < j->n; i++) {
        const layer *l = &j->room.layer[i];
        shorten(j, l->weight, by);
        if (kronecker_bias(l) >= 0) shorten(j, kronecker_bias(l), by);
        layer_point(l, j->s->tensor, j->room.direction);
        pitot_tensor_state *apart = l->apart >= 0 ? &j->s->tensor[l->apart] : NULL;
        if (apart && apart->g) apart->g = j->room.direction + apart->at;
    }
    return PITOT_OK;
}

/* Layers whose weight has no gradient are left out. */
static void find_layers(kronecker_job *j) {
    layer *list = j->s->scratch;
    j->n = layers_moving(j->s->tensor, list, read_layers(j->k, j->s->source, j->s->tensor, j->s->n, list));
    place(&j->room, j->s->scratch, &(extent){ j->k, j->n, j->s->source->layers, j->s->parameters, j->s->threads }, list, NULL);
}

int32_t kronecker_step(const kronecker *k, pitot_stepping *s) {
    kronecker_job j = { .k = k, .s = s };
    int renew = s->t <= k->t_first || (s->t - 1) % k->t_inv == 0, cov = (s->t - 1) % k->t_cov == 0 || s->t <= k->t_first;
    int32_t status = PITOT_OK;
    find_layers(&j);
    if (k->model) return kronecker_model_step(&j, cov, renew);
    if (k->stat_decay > 0 ? cov : renew) status = kronecker_average(&j);
    if (!status && renew) kronecker_decompose(&j);
    if (!status && k->form == KRONECKER_BATCH && (cov || renew)) status = kronecker_moments(&j);
    if (!status) status = make_directions(&j);
    momentum_step m = { k->lr, k->momentum, k->weight_decay };
    for (int64_t i = 0; i < s->n && !status; i++) pitot_elementwise(s, i, momentum_update, &m);
    return status;
}

/* ---- what it shows ---- */

int32_t kronecker_view(const kronecker *k, const pitot_stepping *s, int64_t i, int32_t f, pitot_preconditioner *view) {
    kronecker_job j = { .k = k, .s = (pitot_stepping *)s };
    int64_t n = read_layers(k, s->source, s->tensor, s->n, s->scratch), group = f / 2;
    const layer *l = layer_of(s->scratch, n, i);
    int eigen = !kronecker_inverts(k), right = f % 2;
    if (!l || group >= l->groups) return PITOT_EINVAL;
    const double *number = kronecker_numbers(&j, l, group);
    if (number[KRONECKER_COUNT] == 0) return PITOT_EORDER;
    const pitot_real *used = number[KRONECKER_COMPUTED] > 0 ? kronecker_slot(&j, l, KRONECKER_S_USED + right, group) : NULL;
    view->axis = right;
    view->bias_column = right && l->bias >= 0;
    view->bias = view->bias_column ? (int32_t)l->bias + 1 : 0;
    view->n = right ? l->columns : l->rows;
    view->factor = kronecker_slot(&j, l, KRONECKER_S + right, group);
    view->power = -1;
    view->computed = (int64_t)number[KRONECKER_COMPUTED];
    view->rows = l->groups * l->rows;
    view->columns = view->n_columns = l->columns;
    view->first_row = group * l->rows;
    view->n_rows = l->rows;
    if (!eigen) {
        view->inverse = used;
        view->damping = number[KRONECKER_S_DAMPING + right];
    } else if (used) {
        view->basis = used;
        view->eigenvalues = kronecker_slot(&j, l, KRONECKER_S_VALUE + right, group);
        view->corrected = kronecker_slot(&j, l, KRONECKER_MOMENTS, group);
        view->corrected_power = -1;
        view->eps = k->model ? kronecker_model_damping(s) : k->damping;
    }
    return PITOT_OK;
}
