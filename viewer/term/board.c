/* board.c: see board.h. Each run's list is in the same order, so that the board is their merge. */

#include "term/board.h"

#include <stdlib.h>
#include <string.h>

static int compare(const panel *a, const panel *b) {
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    return strcmp(a->title, b->title);
}

static int reserve(board *b, int64_t rows) {
    if (rows * b->runs <= b->room) return 1;
    int64_t room = 2 * rows * b->runs;
    int64_t *larger = realloc(b->panel, (size_t)room * sizeof *larger);
    if (!larger) return 0;
    b->panel = larger;
    b->room = room;
    return 1;
}

/* The least of the runs' next panels; NULL: all are through. */
static const panel *least(const board *b, const shown *all, const int64_t *next) {
    const panel *found = NULL;
    for (int k = 0; k < b->runs; k++) {
        const panel_list *list = all->run[k].panels;
        if (next[k] >= 0 && next[k] < list->n && (!found || compare(&list->panel[next[k]], found) < 0))
            found = &list->panel[next[k]];
    }
    return found;
}

static int32_t merge(board *b, const shown *all, const filter *titles, int64_t *next) {
    for (const panel *p; (p = least(b, all, next));) {
        if (!reserve(b, b->n + 1)) return PITOT_ENOMEM;
        int64_t *row = &b->panel[b->n * b->runs];
        for (int k = 0; k < b->runs; k++) {
            const panel_list *list = all->run[k].panels;
            int has = next[k] >= 0 && next[k] < list->n && compare(&list->panel[next[k]], p) == 0;
            row[k] = has ? next[k]++ : -1;
        }
        b->n += filter_matches(titles, p->title);
    }
    return PITOT_OK;
}

int32_t board_make(board *b, const screen *s, const shown *all, const filter *titles) {
    b->n = 0;
    b->runs = all->runs;
    int64_t *next = calloc((size_t)all->runs + 1, sizeof *next);
    if (!next) return PITOT_ENOMEM;
    for (int k = 0; k < all->runs; k++) next[k] = screen_shows(s, &all->run[k]) ? 0 : -1;
    int32_t status = merge(b, all, titles, next);
    if (status != PITOT_OK) b->n = 0;
    free(next);
    return status;
}

const panel *board_panel(const board *b, const shown *all, int64_t k, int run) {
    if (k < 0 || k >= b->n || run < 0 || run >= b->runs || run >= all->runs) return NULL;
    int64_t i = b->panel[k * b->runs + run];
    return i >= 0 && i < all->run[run].panels->n ? &all->run[run].panels->panel[i] : NULL;
}

int board_run(const board *b, const shown *all, int64_t k) {
    if (board_panel(b, all, k, all->at)) return all->at;
    for (int run = 0; run < b->runs; run++)
        if (board_panel(b, all, k, run)) return run;
    return -1;
}

const panel *board_any(const board *b, const shown *all, int64_t k) {
    return board_panel(b, all, k, board_run(b, all, k));
}

void board_free(board *b) {
    free(b->panel);
    *b = (board){ 0 };
}
