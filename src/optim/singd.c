/* singd.c: Lin, Dangel, Eschenhagen, Neklyudov, Kristiadi, Turner, Makhzani 2023 (arXiv 2312.05705), figure 4 and table 1; the names of
   options are the authors'. kfac_like: their IKFAC. */

#include "optim/core/singd.h"

#include "base/alloc.h"
#include "optim/core/momentum.h"
#include "optim/core/room.h"

#define AT(field) offsetof(singd_options, field)

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, AT(lr), "0.001", 0, 1e6, NULL, "",
      "learning rate; 0.001 is the authors': steps are as long as SGD's at first, and so 0.01 to 0.1 is quicker" },
    { "momentum", PITOT_REAL, 1, AT(momentum), "0.9", 0, 1e6, NULL, "", "share of the buffer that stays" },
    { "damping", PITOT_REAL, 1, AT(damping), "0.001", 0, 1e12, NULL, "", "l: added to the curvature" },
    { "alpha1", PITOT_REAL, 1, AT(alpha1), "0.5", 0, PITOT_BELOW_ONE, NULL, "", "share of m that stays" },
    { "weight_decay", PITOT_REAL, 1, AT(weight_decay), "0", 0, 1e6, NULL, "", "times x is added to the direction" },
    { "T", PITOT_INT, 1, AT(t), "10", 1, 1e9, NULL, "steps", "between updates of K and C" },
    { "lr_cov", PITOT_REAL, 1, AT(lr_cov), "0.01", 0, 1e6, NULL, "", "learning rate of K and C" },
    { "structure", PITOT_CHOICE, 1, AT(structure), "dense", 0, 0, STRUCTURE_NAMES, "", "of K, on the inputs' side" },
    { "structure_c", PITOT_CHOICE, 1, AT(structure_c), "same", 0, 0, "same|" STRUCTURE_NAMES, "", "of C, on the outputs' side" },
    { "block", PITOT_INT, 1, AT(block), "30", 1, 32000, NULL, "", "structure=block: rows of a block" },
    { "top", PITOT_INT, 1, AT(top), "15", 0, 32000, NULL, "", "structure=hierarchical: rows of the first block" },
    { "bottom", PITOT_INT, 1, AT(bottom), "15", 0, 32000, NULL, "", "structure=hierarchical: rows of the last block" },
    { "rank", PITOT_INT, 1, AT(rank), "1", 0, 32000, NULL, "", "structures with a triangle: its rows" },
    { "fisher", PITOT_CHOICE, 1, AT(fisher), "empirical", 0, 0, FISHER_NAMES, "", FISHER_HELP },
    { "approx", PITOT_CHOICE, 1, AT(approx), "expand", 0, 0, "expand|reduce", "",
      "positions are rows of their own, or are averaged first" },
    { "loss_average", PITOT_CHOICE, 1, AT(loss_average), "batch", 0, 0, "batch|none", "",
      "batch: the loss is a mean, samples' own gradients are N times what they add to it; none: it is taken for a sum" },
    { "kfac_like", PITOT_BOOL, 1, AT(kfac_like), "false", 0, 0, NULL, "", "IKFAC: traces are 1, alpha1 is 0" },
    { "normalize_lr_cov", PITOT_BOOL, 1, AT(normalize), "false", 0, 0, NULL, "",
      "m is an average, and lr_cov is divided by its largest value where that is above 1" },
    { "precision", PITOT_CHOICE, 1, AT(precision), "real", 0, 0, "real|bf16", "", "bf16: K, C and their momenta are kept in it" },
    { "max_dim", PITOT_INT, 1, AT(max_dim), "8192", 0, 32000, NULL, "",
      "with dense sides: layers with a larger one take plain steps" },
    { 0 },
};

static uint32_t wants(const void *options) {
    return fisher_wants(((const singd_options *)options)->fisher);
}

/* ---- work space ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

typedef struct sizes {
    int64_t sums, views, a, g, rows, most, structure, grad, work;
} sizes;

static void add_layer(sizes *z, const singd_options *o, layer *l) {
    structure k = singd_structure(o, l, 0), c = singd_structure(o, l, 1);
    int64_t rows = l->samples * l->positions, size = larger(structure_size(&k), structure_size(&c));
    int64_t side = larger(l->rows, l->columns), viewed = singd_is_viewed(o, l);
    l->sums = z->sums;
    l->views = z->views;
    z->sums += l->groups * singd_size(o, l);
    z->views += viewed ? 2 * l->groups * (l->rows * l->rows + l->columns * l->columns) : 0;
    z->a = larger(z->a, layer_room(l));
    z->g = larger(z->g, l->rows * rows);
    z->rows = larger(z->rows, side * rows);
    z->most = larger(z->most, size);
    z->structure = larger(z->structure, larger(structure_room(&k), structure_room(&c)));
    z->grad = larger(z->grad, singd_is(o, STRUCTURE_DIAGONAL) ? size : larger(size, l->rows * l->columns));
    z->work = larger(z->work, viewed ? side * side : l->columns);
}

/* Places in `base`, or with NULL how many bytes. `all`: how many layers the list has room for. */
static void place(singd_room *r, const singd_options *o, char *base, layer *list, int64_t n, int64_t all, int64_t parameters) {
    enum { REAL = sizeof(pitot_real) };
    sizes z = { 0 };
    for (int64_t i = 0; i < n; i++) add_layer(&z, o, &list[i]);
    room at = { base, 0 };
    *r = (singd_room){ 0 };
    r->layer = room_take(&at, all * (int64_t)sizeof *list);
    r->direction = room_take(&at, parameters * REAL);
    r->sums = room_take(&at, z.sums * REAL);
    r->a = room_take(&at, z.a * REAL);
    r->g = room_take(&at, z.g * REAL);
    r->rotated = room_take(&at, z.rows * REAL);
    r->k = room_take(&at, z.most * REAL);
    r->c = room_take(&at, z.most * REAL);
    r->m = room_take(&at, z.most * REAL);
    r->product = room_take(&at, z.most * REAL);
    r->structure = room_take(&at, z.structure * REAL);
    r->grad = room_take(&at, z.grad * REAL);
    r->mid = room_take(&at, z.grad * REAL);
    r->views = room_take(&at, z.views * REAL);
    r->work = room_take(&at, z.work * (int64_t)sizeof *r->work);
    r->bytes = at.used;
}

/* ---- layout ---- */

static void add_slots(const singd_options *o, pitot_layout *l, const layer *y) {
    structure k = singd_structure(o, y, 0), c = singd_structure(o, y, 1);
    int64_t nk[] = { y->groups, structure_size(&k) }, nc[] = { y->groups, structure_size(&c) };
    int32_t dtype = o->precision ? PITOT_BF16 : 0;
    pitot_slot_add(l, "K", dtype, 2, nk);
    pitot_slot_add(l, "C", dtype, 2, nc);
    pitot_slot_add(l, "m_K", dtype, 2, nk);
    pitot_slot_add(l, "m_C", dtype, 2, nc);
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const singd_options *o = l->options;
    layer *list = mem_alloc(l->source->layers, sizeof *list);
    if (!list) return pitot_fail(error, PITOT_ENOMEM, "no memory for a list of layers");
    int64_t n = layers_read(l->source, l->tensor, l->n, singd_most(o), list);
    singd_room r;
    place(&r, o, NULL, list, n, l->source->layers, l->parameters);
    l->scratch = r.bytes;
    if (l->i >= 0) {
        const layer *y = layer_of(list, n, l->i);
        pitot_slot_like(l, "momentum_buffer", l->i, o->momentum != 0);
        if (y) add_slots(o, l, y);
    }
    mem_free(list);
    return PITOT_OK;
}

/* Layers whose weight has no gradient are left out, if `moving`. */
static singd_job job_of(const pitot_stepping *s, int moving) {
    singd_job j = { .o = s->options, .s = s };
    layer *list = s->scratch;
    j.n = layers_read(s->source, s->tensor, s->n, singd_most(j.o), list);
    if (moving) j.n = layers_moving(s->tensor, list, j.n);
    place(&j.room, j.o, s->scratch, list, j.n, s->source->layers, s->parameters);
    return j;
}

static void begin(pitot_stepping *s) {
    singd_job j = job_of(s, 0);
    for (int64_t i = 0; i < j.n; i++) {
        const layer *l = &j.room.layer[i];
        for (int64_t at = 0; at < 2 * l->groups; at++) {
            int side = (int)(at % 2);
            structure t = singd_structure(j.o, l, side);
            structure_identity(&t, j.room.k);
            singd_store(&j, l, SINGD_K + side, at / 2, structure_size(&t), j.room.k);
        }
    }
}

/* ---- a step ---- */

static int32_t step(pitot_stepping *s) {
    const singd_options *o = s->options;
    singd_job j = job_of(s, 1);
    momentum_step m = { o->lr, o->momentum, o->weight_decay, 1 };
    int32_t status = (s->t - 1) % o->t == 0 ? singd_renew(&j) : PITOT_OK;
    for (int64_t i = 0; i < j.n && !status; i++) status = singd_direction(&j, &j.room.layer[i]);
    if (status) return status;
    for (int64_t i = 0; i < j.n; i++) layer_point(&j.room.layer[i], s->tensor, j.room.direction);
    for (int64_t i = 0; i < s->n; i++) pitot_elementwise(s, i, momentum_update, &m);
    return PITOT_OK;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t f, pitot_preconditioner *v) {
    singd_job j = job_of(s, 0);
    return singd_look(&j, i, f, v);
}

const pitot_optimizer pitot_optimizer_singd = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_LAYERS,
    .name = "singd",
    .summary = "K-FAC without inverses: structured factors of the preconditioner, moved by products alone",
    .paper = "Lin, Dangel, Eschenhagen, Neklyudov, Kristiadi, Turner, Makhzani 2023, arXiv 2312.05705",
    .formula = "m = a1 m + (tr(C'SC)/rows P(K'AK) + l tr(C'C)/rows P(K'K) - I) / 2; K -= lr_cov K m; C likewise; "
               "b = momentum b + C C' G K K' + wd x; x -= lr b",
    .memory = "2 values for each of K and C, of a diagonal as few as rows + columns; and D values with momentum",
    .tensors = "linear layers, and convolutions group by group, weight with bias; all else, what is used twice, and with dense "
               "sides what is larger than max_dim: SGD with the same lr, momentum and decay",
    .cost = "dense: N (rows^2 + columns^2) + rows^3 + columns^3 in T steps, 2 rows columns (rows + columns); diagonal: N (rows + "
            "columns) in "
            "T steps, a pass over D",
    .options_size = sizeof(singd_options),
    .options = table,
    .wants = wants,
    .layout = layout,
    .begin = begin,
    .step = step,
    .view = view,
};
