/* top.c: the largest eigenvalues, the smallest, or both, by Lanczos iteration (krylov.h). What it starts from, where it goes and when it stops:

   Cold, it starts from one random vector; warm, from the sum of the vectors given and a random part: the small ones have more weight in
   it, the large ones come out by themselves. A block of them, each with a product of its own, took 2 or 3 products less where
   hardly anything had moved, and a third to a half more along operators that drift faster. The next product is with the residual of the wanted pair
   that is worst, where there is a choice.

   A Krylov space shows one vector of a multiple eigenvalue, the one in its start. So when a search seems done, a cold one takes DEEP more
   steps from another random direction, and again as long as that changes the values; a warm one makes a product with each of the vectors
   given that have been left behind, more than LOST of their length outside of the space. What has come up from below where all of them
   have nothing is found by the random part of the start, as it takes as many steps as there are values. And a search is not done
   while the pair below those wanted might, by its residual, lie above the last of them: Lanczos values stand still for a while where
   eigenvalues are dense, before they move on to one that lies apart. */

#include "base/random.h"
#include "curve/krylov.h"
#include "curve/reduced.h"
#include "pitot/probe.h"
#include "pitot/solve.h"

#include <math.h>
#include <string.h>

enum { DEEP = 8, ROUNDS = 2, SPARE = 2 };

static const double CLOSE = 0.9, FAINT = 0.02, CHANGED = 0.5, NEAR = 0.1, LOST = 0.7;

typedef struct search {
    krylov k;
    pitot_real *basis;
    double tolerance, bar, size; /* bar: of the decomposition's own residuals; size: largest |theta| so far */
    int64_t limit;
    int top, bottom;         /* wanted at each end; those of the top come first, from the end inwards */
    int wanted, given, seen; /* vectors in the basis to start from, those of them that have been looked for */
    int looks, deep;         /* steps from another random direction, 0: none; steps with what joined last that are still to go */
    int looked;              /* 1: such steps were begun, with the wanted values at a sum of `before` */
    double before;
} search;

/* Puts into row 0 what to start from; returns how many of the vectors are in it. */
static int start(search *z, double share) {
    krylov *k = &z->k;
    pitot_real *v = k->row;
    int64_t n = k->n;
    int warm = 0;
    memset(v, 0, (size_t)n * sizeof *v);
    for (int j = 0; j < z->wanted; j++) {
        const pitot_real *u = z->basis + j * n;
        double square = pitot_sum_squares(u, n), weight = (1 + (j < z->top ? j : j - z->top)) / sqrt(square);
        if (!(square > 0) || !isfinite(square)) continue;
        for (int64_t i = 0; i < n; i++) v[i] = (pitot_real)((double)v[i] + weight * (double)u[i]);
        warm++;
    }
    if (warm < z->wanted) share = 1;
    if (warm) basis_add_random(v, n, share > 0 ? share : 0.1, k->seed, k->step, k->draws++);
    krylov_start(k);
    return warm;
}

static int may_step(const search *z) {
    return z->k.p > 0 && z->k.products + 2 <= z->limit;
}

static int count_top(const search *z) {
    return z->k.k < z->top ? z->k.k : z->top;
}

static int count_bottom(const search *z) {
    int left = z->k.k - count_top(z);
    return left < z->bottom ? left : z->bottom;
}

static int count(const search *z) {
    return count_top(z) + count_bottom(z);
}

/* Of wanted pair j. */
static int column_of(const search *z, int j) {
    return j < count_top(z) ? z->k.k - 1 - j : j - count_top(z);
}

/* The pair next to those wanted at one end; where both are wanted, the one with the larger residual. */
static int next_one(const search *z) {
    int below = z->k.k - z->top - 1, above = z->bottom;
    if (z->top == 0 || z->bottom == 0) return z->top ? below : above;
    return krylov_estimate(&z->k, above) > krylov_estimate(&z->k, below) ? above : below;
}

/* Of the wanted pairs the one with the largest residual; the next one if that is small. */
static int worst(const search *z) {
    const krylov *k = &z->k;
    int at = column_of(z, 0);
    double most = 0;
    for (int j = count(z) - 1; j >= 0; j--) {
        double estimate = krylov_estimate(k, column_of(z, j));
        if (estimate > most) most = estimate, at = column_of(z, j);
    }
    return most <= z->bar * z->tolerance * z->size && k->k > z->wanted ? next_one(z) : at;
}

/* Turns what is pending for the next step, where there is a choice. */
static int32_t aim(search *z) {
    krylov *k = &z->k;
    double g[KRYLOV_MOST] = { 0 };
    int deep = z->deep > 0;
    z->deep -= deep;
    if (k->p < 2) return PITOT_OK;
    int32_t status = deep ? PITOT_OK : krylov_solve(k);
    if (status) return status;
    if (deep) g[k->p - 1] = 1;
    else if (k->k > 0) krylov_residual(k, worst(z), g);
    krylov_aim(k, g);
    return PITOT_OK;
}

/* Steps from another direction go on whatever the eigenpairs are: if large, these wait until then. */
static int32_t step(search *z) {
    krylov *k = &z->k;
    int32_t status = aim(z);
    if (!status) status = krylov_step(k);
    if (!status && !(k->large && z->deep > 0)) {
        status = krylov_glance(k);
        z->size = fmax(z->size, fmax(fabs(k->value[0]), fabs(k->value[k->k - 1])));
    }
    k->negligible = FAINT * z->tolerance * z->size;
    return status ? status : krylov_make_room(k, SPARE);
}

/* Whether the pair next to those wanted, in column `next`, has no claim to be one of them; `last`: the last of them. */
static int stays_out(const search *z, int next, int last) {
    double estimate = krylov_estimate(&z->k, next), apart = fabs(z->k.value[last] - z->k.value[next]);
    return estimate <= NEAR * z->tolerance * z->size || estimate <= apart;
}

static int others_stay_out(const search *z) {
    int k = z->k.k;
    if (k <= z->wanted) return 1;
    return (z->top == 0 || stays_out(z, k - z->top - 1, k - z->top)) && (z->bottom == 0 || stays_out(z, z->bottom, z->bottom - 1));
}

static int seems_done(const search *z) {
    const krylov *k = &z->k;
    if (z->deep > 0 || k->k < z->wanted) return 0;
    for (int j = 0; j < z->wanted; j++)
        if (krylov_estimate(k, column_of(z, j)) > z->bar * z->tolerance * z->size) return 0;
    return others_stay_out(z);
}

/* Grows as the search finds more. */
static double sum_of_wanted(const search *z) {
    double sum = 0;
    for (int j = 0; j < count(z); j++) sum += (j < count_top(z) ? 1 : -1) * z->k.value[column_of(z, j)];
    return sum;
}

/* Whether there is room for one more direction to go on with; makes it. */
static int has_room(search *z) {
    if (z->wanted + z->k.p + SPARE + 1 > z->k.room || z->k.k + z->k.p >= z->k.n) return 0;
    return krylov_make_room(&z->k, SPARE + 1) == PITOT_OK;
}

/* Goes on with a vector given that was left behind; 0: there is none. */
static int look_back(search *z) {
    krylov *k = &z->k;
    while (z->seen < z->given && has_room(z)) {
        const pitot_real *u = z->basis + z->seen++ * k->n;
        double square = pitot_sum_squares(u, k->n);
        if (!(square > 0) || !isfinite(square)) continue;
        memcpy(krylov_row(k, k->k + k->p), u, (size_t)k->n * sizeof *u);
        basis_scale(krylov_row(k, k->k + k->p), k->n, 1 / sqrt(square));
        z->deep = krylov_add(k, LOST);
        if (z->deep) return 1;
    }
    return 0;
}

/* Goes on from a random direction; 0: there is no reason to. */
static int look_deeper(search *z) {
    krylov *k = &z->k;
    double sum = sum_of_wanted(z);
    if (z->looked && sum - z->before <= CHANGED * z->tolerance * z->size) z->looks = 0;
    if (z->looks == 0 || !has_room(z)) return 0;
    krylov_add_random(k);
    z->before = sum;
    z->looked = 1;
    z->deep = z->looks;
    return 1;
}

/* The pairs as they are, in order; 1: all of them have converged. No residual is below what the products' own error makes of it. */
static int judge(const search *z, double error, pitot_eigenpair *pairs) {
    int all = count(z) == z->wanted;
    for (int j = 0; j < count(z); j++) {
        int column = column_of(z, j);
        double residual = fmax(krylov_estimate(&z->k, column) + error, z->k.op->error * z->size);
        pairs[j] = (pitot_eigenpair){ z->k.value[column], residual, residual <= z->tolerance * z->size, 0 };
        all = all && pairs[j].converged;
    }
    return all;
}

/* What rows that are orthogonal up to sqrt(u) have left to do. */
static void make_orthonormal(pitot_real *v, int m, int64_t n) {
    double along[EIGEN_MOST];
    for (int i = 0; i < m; i++) {
        double rest = basis_orthogonalise(v, i, n, v + i * n, along, 0);
        if (rest > 0) basis_scale(v + i * n, n, 1 / rest);
    }
}

/* Puts the vectors found into the basis; what was given there is gone. */
static void deliver(search *z) {
    krylov *k = &z->k;
    int found = count(z);
    z->given = 0;
    for (int i = 0; i < k->k; i++)
        for (int j = 0; j < found; j++) k->scratch[i * k->apart + j] = k->s[i * k->apart + column_of(z, j)];
    basis_mix(k->row, k->k, k->n, k->scratch, k->apart, found, z->basis);
    memset(z->basis + found * k->n, 0, (size_t)((z->wanted - found) * k->n) * sizeof *z->basis);
    if (k->semi) make_orthonormal(z->basis, found, k->n);
}

static int32_t check(search *z, double *error) {
    int column[EIGEN_MOST];
    if (!z->k.large) return krylov_check(&z->k, count_bottom(z), count_top(z), error);
    deliver(z);
    for (int j = 0; j < count(z); j++) column[j] = column_of(z, j);
    return krylov_check_vectors(&z->k, column, count(z), z->basis, error);
}

static int32_t iterate(search *z, pitot_eigenpair *pairs) {
    krylov *k = &z->k;
    for (int rounds = 0; rounds < ROUNDS;) {
        int32_t status = step(z);
        if (status) return status;
        if (may_step(z) && (!seems_done(z) || look_back(z) || look_deeper(z))) continue;
        double error = 0;
        status = krylov_solve(k);
        if (!status) status = check(z, &error);
        if (status || judge(z, error, pairs) || !may_step(z)) return status;
        z->bar *= 0.5;
        rounds++;
    }
    return PITOT_OK;
}

/* With one product to spend: the start, measured. */
static int32_t measure_start(search *z, pitot_eigenpair *pairs) {
    memset(z->basis, 0, (size_t)(z->wanted * z->k.n) * sizeof *z->basis);
    memcpy(z->basis, z->k.row, (size_t)z->k.n * sizeof *z->basis);
    int32_t status = krylov_measure(&z->k, z->basis, &pairs->value, &pairs->residual);
    pairs->converged = z->wanted == 1 && pairs->residual <= z->tolerance * fabs(pairs->value);
    return status;
}

static int32_t find(search *z, double share, pitot_eigenpair *pairs) {
    krylov *k = &z->k;
    int warm = start(z, share);
    if (z->limit < 2) return measure_start(z, pairs);
    z->given = warm ? z->wanted : 0;
    z->looks = warm == z->wanted ? 0 : DEEP;
    int32_t status = iterate(z, pairs);
    if (status) return status;
    if (!k->large) deliver(z);
    return PITOT_OK;
}

static int32_t find_ends(const pitot_linop *op, const reduced *within, const pitot_lanczos *settings, int32_t top, int32_t bottom,
                         pitot_real *basis, pitot_eigenpair *pairs, int64_t *products) {
    search z = { .bar = CLOSE, .basis = basis };
    int64_t k = (int64_t)top + bottom;
    if (!krylov_open(&z.k, op, settings) || top < 0 || bottom < 0 || k < 1 || k > z.k.room - SPARE - 1 ||
        k > EIGEN_MOST - SPARE - 1 || !basis || !pairs || !products)
        return PITOT_EINVAL;
    z.k.within = within;
    z.tolerance = krylov_tolerance(settings);
    z.limit = krylov_limit(settings);
    z.top = z.k.top = top < z.k.n ? top : (int)z.k.n;
    z.bottom = z.k.bottom = bottom < z.k.n - z.top ? bottom : (int)z.k.n - z.top;
    z.wanted = z.top + z.bottom;
    for (int64_t j = 0; j < k; j++) pairs[j] = (pitot_eigenpair){ NAN, NAN, 0, 0 };
    memset(basis + z.wanted * z.k.n, 0, (size_t)((k - z.wanted) * z.k.n) * sizeof *basis);
    int32_t status = find(&z, settings->random, pairs);
    *products = z.k.products + z.k.repeated;
    return status;
}

/* Rows of basis (k,n) become those of (k,m), in place; room (m). */
static void restrict_rows(const reduced *r, int32_t k, int64_t n, pitot_real *basis, pitot_real *room) {
    for (int32_t j = 0; j < k; j++) {
        reduced_restrict(r, basis + j * n, room);
        memcpy(basis + j * r->m, room, (size_t)r->m * sizeof *room);
    }
}

/* And back, the last one first. */
static void lift_rows(const reduced *r, int32_t k, int64_t n, pitot_real *basis, pitot_real *room) {
    for (int32_t j = k - 1; j >= 0; j--) {
        memcpy(room, basis + j * r->m, (size_t)r->m * sizeof *room);
        reduced_lift(r, room, basis + j * n);
    }
}

/* The largest, where the operator has something to show for them. *found 0: not all of them are above the zeros that lie outside. */
static int32_t find_within(const reduced *r, const pitot_lanczos *settings, int32_t k, int64_t n, pitot_real *basis,
                           pitot_eigenpair *pairs, int64_t *products, int *found) {
    restrict_rows(r, k, n, basis, settings->work);
    int32_t status = find_ends(&r->op, r, settings, k, 0, basis, pairs, products);
    lift_rows(r, k, n, basis, settings->work);
    *found = !status && pairs[k - 1].value > pairs[k - 1].residual;
    return status;
}

static int may_reduce(const pitot_lanczos *settings, int32_t top, int32_t bottom, const pitot_real *basis,
                      const pitot_eigenpair *pairs, const int64_t *products) {
    return settings && settings->work && settings->vectors >= top && top > 0 && bottom == 0 && basis && pairs && products;
}

int32_t pitot_lanczos_ends(const pitot_linop *op, const pitot_lanczos *settings, int32_t top, int32_t bottom, pitot_real *basis,
                           pitot_eigenpair *pairs, int64_t *products) {
    const reduced *r = may_reduce(settings, top, bottom, basis, pairs, products) ? reduced_of(op) : NULL;
    int found = 0;
    if (!r) return find_ends(op, NULL, settings, top, bottom, basis, pairs, products);
    int32_t status = find_within(r, settings, top, op->n, basis, pairs, products, &found);
    int64_t before = *products;
    pitot_lanczos left = *settings;
    left.products = krylov_limit(settings) - before;
    if (status || found || left.products < 1) return status;
    status = find_ends(op, NULL, &left, top, bottom, basis, pairs, products);
    *products += before;
    return status;
}

int32_t pitot_lanczos_top(const pitot_linop *op, const pitot_lanczos *settings, int32_t k, pitot_real *basis,
                          pitot_eigenpair *pairs, int64_t *products) {
    return pitot_lanczos_ends(op, settings, k, 0, basis, pairs, products);
}

int32_t pitot_lanczos_bottom(const pitot_linop *op, const pitot_lanczos *settings, int32_t k, pitot_real *basis,
                             pitot_eigenpair *pairs, int64_t *products) {
    return pitot_lanczos_ends(op, settings, 0, k, basis, pairs, products);
}
