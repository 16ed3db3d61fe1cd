/* kronecker.c: see kronecker.h. */

#include "optim/core/kronecker.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/matrix.h"
#include "optim/core/momentum.h"
#include "optim/core/optimizer.h"
#include "optim/core/room.h"
#include "pitot/probe.h"

#include <math.h>

enum { DOT_BLOCK = 1 << 16 }; /* values that one thread adds up by itself */

/* Options as the rest takes them. */
static kronecker plan(const void *options) {
    kronecker k = *(const kronecker *)options;
    int ekfac = k.t_basis > 0;
    k.purpose = ekfac ? "ekfac" : "kfac";
    k.form = ekfac ? KRONECKER_BATCH + k.moments : k.form;
    k.t_inv = ekfac ? k.t_basis : k.t_inv;
    return k;
}

uint32_t kronecker_wants(const void *options) {
    const kronecker *k = options;
    return fisher_wants(k->fisher) | (k->model ? PITOT_WANTS_GGNVP : 0) | (k->adapt ? PITOT_WANTS_LOSS : 0);
}

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

int64_t kronecker_decompose_bytes(const kronecker *k, const layer *l) {
    int64_t most = larger(l->rows, l->columns), values = l->rows * (l->rows + 1) + l->columns * (l->columns + 1);
    return (values + (kronecker_inverts(k) ? 0 : blas_eigenvectors_work(most))) * (int64_t)sizeof(double);
}

static int64_t list_pieces(const kronecker *k, const layer *list, int64_t n, piece *out) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t group = 0; group < list[i].groups; group++, count++)
            if (out) out[count] = (piece){ kronecker_decompose_bytes(k, &list[i]), i, group };
    return count;
}

typedef struct extent { /* what there is to have room for */
    const kronecker *k;
    int64_t n, all, parameters; /* layers in use; that the list has room for */
    int threads;
} extent;

/* Whether threads have factors, or squares, of layer l of their own. */
static int is_shared(const kronecker *k, const layer *l) {
    return l->conv && (!k->reduce || !kronecker_inverts(k));
}

/* Places in `base`; or with NULL how many bytes, pieces then being listed in `pieces`. */
static void place(kronecker_room *r, char *base, const extent *e, layer *list, piece *pieces) {
    int64_t real = sizeof(pitot_real), n = e->n, sums = 0, more = 0, a = 0, g = 0, ta = 0, tg = 0, grad = 0, probe = 0;
    for (int64_t i = 0; i < n; i++) {
        layer *l = &list[i];
        int64_t rows = l->samples * l->positions;
        l->sums = sums;
        sums += l->groups * larger(l->rows * l->rows + l->columns * l->columns, l->rows * l->columns);
        more = larger(more, is_shared(e->k, l) ? l->rows * l->rows + l->columns * l->columns : 0);
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
    r->a_each = a;
    r->g_each = g;
    r->ta_each = ta;
    r->tg_each = tg;
    int64_t apart = more ? e->threads : 1, turned = kronecker_inverts(e->k) ? 1 : apart;
    r->a = room_take(&at, apart * a * real);
    r->g = room_take(&at, apart * g * real);
    r->more = room_take(&at, (e->threads - 1) * more * real);
    r->ta = room_take(&at, turned * ta * real);
    r->tg = room_take(&at, turned * tg * real);
    r->turned = room_take(&at, (kronecker_inverts(e->k) ? 0 : grad) * real);
    r->mid = room_take(&at, grad * real);
    r->probe = room_take(&at, probe * real);
    r->dot = room_take(&at, (e->parameters / DOT_BLOCK + 1) * (int64_t)sizeof *r->dot);
    r->pieces = list_pieces(e->k, list, n, NULL);
    r->piece = room_take(&at, r->pieces * (int64_t)sizeof *r->piece);
    piece *p = base ? r->piece : pieces;
    list_pieces(e->k, list, n, p);
    r->work = room_take(&at, pieces_sort(p, r->pieces, e->threads));
    r->model = room_take(&at, e->k->model ? kronecker_model_values(e->parameters) * real : 0);
    r->bytes = at.used;
}

/* ---- layout ---- */

/* Those of what is made of the factors once more. */
static void add_next_slots(pitot_layout *l, int in_use) {
    static const char *const name[] = { "next_S_used",   "next_A_used",  "next_S_values",
                                        "next_A_values", "next_moments", "next_numbers" };
    for (int k = 0; k < KRONECKER_MADE && in_use; k++) {
        const pitot_slot *of = &l->slot[KRONECKER_S_USED + k];
        int32_t dims = 0;
        while (dims < PITOT_DIMS && of->shape[dims]) dims++;
        pitot_slot_add(l, name[k], of->dtype, dims > 0 ? dims : -1, of->shape);
    }
}

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
    add_next_slots(l, k->overlap > 0);
}

int32_t kronecker_layout(pitot_layout *l, pitot_error *error) {
    const kronecker made = plan(l->options), *k = &made;
    layer *list = mem_alloc(l->source->layers, sizeof *list);
    if (!list) return pitot_fail(error, PITOT_ENOMEM, "no memory for a list of layers");
    int64_t n = read_layers(k, l->source, l->tensor, l->n, list);
    piece *pieces = mem_alloc(list_pieces(k, list, n, NULL) + 1, sizeof *pieces);
    if (!pieces) return mem_free(list), pitot_fail(error, PITOT_ENOMEM, "no memory for a list of factors");
    kronecker_room r;
    place(&r, NULL, &(extent){ k, n, l->source->layers, l->parameters, l->threads }, list, pieces);
    l->scratch = r.bytes;
    mem_free(pieces);
    if (l->i < 0) {
        overlap_slot(l, k->overlap);
        pitot_slot_add(l, "damping", PITOT_F64, k->model ? 1 : -1, (const int64_t[]){ KRONECKER_PER_RUN });
    } else {
        const layer *y = layer_of(list, n, l->i);
        pitot_slot_like(l, "momentum_buffer", l->i, k->momentum != 0);
        if (y) add_slots(k, l, y);
    }
    mem_free(list);
    return PITOT_OK;
}

/* ---- a step ---- */

typedef struct dot_job {
    const pitot_real *d, *g;
    int64_t size;
    double *sum; /* of each block */
    int bad;     /* d is not finite */
} dot_job;

static void dot_blocks(void *job, int64_t begin, int64_t end, int thread) {
    dot_job *q = job;
    (void)thread;
    for (int64_t b = begin; b < end; b++) {
        int64_t at = b * DOT_BLOCK, n = q->size - at < DOT_BLOCK ? q->size - at : DOT_BLOCK;
        q->sum[b] = pitot_dot(q->d + at, q->g + at, n);
        if (!finite_values(q->d + at, n)) __atomic_store_n(&q->bad, 1, __ATOMIC_RELAXED);
    }
}

/* Adds <D,G> of a tensor to sum. PITOT_EHOST: D is not finite. */
static int32_t add_dot(const kronecker_job *j, int64_t tensor, double *sum) {
    const pitot_tensor_state *t = &j->s->tensor[tensor];
    int64_t blocks = (t->size + DOT_BLOCK - 1) / DOT_BLOCK;
    dot_job q = { j->room.direction + t->at, t->g, t->size, j->room.dot, 0 };
    if (!t->g) return PITOT_OK;
    threads_run(j->s->threads, blocks, dot_blocks, &q);
    for (int64_t b = 0; b < blocks; b++) *sum += q.sum[b];
    return q.bad ? PITOT_EHOST : PITOT_OK;
}

/* nu: what the directions are to be multiplied by, so that lr^2 <D,G> is at most kl_clip. */
static double shortening(const kronecker *k, double dot) {
    double by = sqrt(k->kl_clip / (k->lr * k->lr * dot));
    return k->kl_clip > 0 && dot > 0 && k->lr > 0 && by < 1 ? by : 1;
}

/* Directions in room.direction, and nu. */
static int32_t make_directions(kronecker_job *j, double *nu) {
    int32_t status = PITOT_OK;
    double dot = 0;
    for (int64_t i = 0; i < j->n && !status; i++) status = kronecker_direction(j, &j->room.layer[i]);
    for (int64_t i = 0; i < j->n && !status; i++) {
        const layer *l = &j->room.layer[i];
        status = add_dot(j, l->weight, &dot);
        if (!status && kronecker_bias(l) >= 0) status = add_dot(j, kronecker_bias(l), &dot);
    }
    *nu = shortening(j->k, dot);
    return status;
}

/* Directions take the gradients' place. */
static void point(const kronecker_job *j, const layer *l) {
    pitot_tensor_state *apart = l->apart >= 0 ? &j->s->tensor[l->apart] : NULL;
    layer_point(l, j->s->tensor, j->room.direction);
    if (apart && apart->g) apart->g = j->room.direction + apart->at;
}

static void move(const kronecker_job *j, double nu) {
    pitot_stepping *s = j->s;
    for (int64_t i = 0; i < j->n; i++) point(j, &j->room.layer[i]);
    for (int64_t i = 0; i < s->n; i++) {
        int of_layer = s->tensor[i].g == j->room.direction + s->tensor[i].at;
        momentum_step m = { j->k->lr, j->k->momentum, j->k->weight_decay, of_layer ? nu : 1 };
        pitot_elementwise(s, i, momentum_update, &m);
    }
}

/* Layers whose weight has no gradient are left out. */
static void find_layers(kronecker_job *j) {
    layer *list = j->s->scratch;
    j->n = layers_moving(j->s->tensor, list, read_layers(j->k, j->s->source, j->s->tensor, j->s->n, list));
    place(&j->room, j->s->scratch, &(extent){ j->k, j->n, j->s->source->layers, j->s->parameters, j->s->threads }, list, NULL);
}

int32_t kronecker_step(pitot_stepping *s) {
    const kronecker made = plan(s->options), *k = &made;
    kronecker_job j = { .k = k, .s = s };
    int renew = s->t <= k->t_first || (s->t - 1) % k->t_inv == 0, cov = (s->t - 1) % k->t_cov == 0 || s->t <= k->t_first;
    int32_t status = PITOT_OK;
    double nu;
    find_layers(&j);
    if (k->model) return kronecker_model_step(&j, cov, renew);
    if (k->stat_decay > 0 ? cov : renew) status = kronecker_average(&j);
    int anew = status ? 0 : kronecker_renew(&j, renew);
    int moments = k->form == KRONECKER_BATCH && (cov || anew);
    j.moments = moments && k->fisher == FISHER_EMPIRICAL;
    if (!status && moments && !j.moments) status = kronecker_moments(&j);
    if (!status) status = make_directions(&j, &nu);
    if (!status) move(&j, nu);
    return status;
}

/* ---- the beginning ---- */

void kronecker_begin(pitot_stepping *s) {
    const kronecker k = plan(s->options);
    if (k.model) kronecker_model_begin(&k, s);
    if (k.overlap == 0) return;
    layer *list = s->scratch;
    int64_t n = read_layers(&k, s->source, s->tensor, s->n, list), pieces = 0, values = 0, work = 0;
    for (int64_t i = 0; i < n; i++) {
        pieces += list[i].groups;
        values += list[i].groups * (list[i].rows * list[i].rows + list[i].columns * list[i].columns);
        work = larger(work, kronecker_decompose_bytes(&k, &list[i]));
    }
    overlap_prepare(s, pieces, work, kronecker_beside_bytes(n), values * (int64_t)sizeof(pitot_real));
}

/* ---- what it shows ---- */

int32_t kronecker_view(const pitot_stepping *s, int64_t i, int32_t f, pitot_preconditioner *view) {
    const kronecker made = plan(s->options), *k = &made;
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
    pitot_real *factor = kronecker_slot(&j, l, KRONECKER_S + right, group);
    matrix_mirror(view->n, factor);
    view->factor = factor;
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
