/* shelf.c: see shelf.h. */

#include "term/shelf.h"

enum { LEAST_COLS = 35, GAP = 3 };

static int column_of(int group, int columns) {
    static const int columns_of[SHELF_COLUMNS][DIAL_GROUPS] = { { 0 }, { 0, 0, 1, 0, 1 }, { 0, 0, 1, 2, 2 } };
    return columns_of[columns - 1][group];
}

static void add(shelf *s, const dial *d, int group, int rows) {
    if (s->slots == SHELF_SLOTS) return;
    int column = column_of(group, s->columns);
    s->slot[s->slots++] = (slot){ d, group, column, 0, rows };
    s->high[column] += rows;
}

static void fill(shelf *s, const shown *all) {
    int group = -1;
    for (int k = 0; dial_at(k); k++) {
        const dial *d = dial_at(k);
        if (d->optional && !dial_has(all, d)) continue;
        if (d->group != group) add(s, NULL, d->group, 1);
        group = d->group;
        add(s, d, group, d->spare ? 0 : 1);
    }
}

/* A title gets an empty row before it, except the first of its column. */
static void part_groups(shelf *s, int column, int *spare) {
    int seen = 0;
    for (int k = 0; k < s->slots; k++) {
        if (s->slot[k].column != column || s->slot[k].dial) continue;
        if (seen++ && *spare > 0) s->slot[k].rows = 2, (*spare)--;
    }
}

/* Pictures that can be read, the important ones first. */
static void give_first(shelf *s, const shown *all, int column, int *spare) {
    for (int k = 0; k < s->slots; k++) {
        slot *t = &s->slot[k];
        int more = t->dial ? t->dial->first - t->rows : 0;
        if (t->column != column || more <= 0 || more > *spare || !dial_has(all, t->dial)) continue;
        t->rows += more;
        *spare -= more;
    }
}

static void give_rest(shelf *s, int column, int *spare) {
    for (int given = 1; given && *spare > 0;) {
        given = 0;
        for (int k = 0; k<s->slots && * spare> 0; k++) {
            slot *t = &s->slot[k];
            if (t->column != column || !t->dial || t->rows < t->dial->first || t->rows >= t->dial->most) continue;
            t->rows++;
            (*spare)--;
            given = 1;
        }
    }
}

static void stack(shelf *s, int column) {
    int row = 0;
    for (int k = 0; k < s->slots; k++) {
        if (s->slot[k].column != column) continue;
        s->slot[k].row = row;
        row += s->slot[k].rows;
    }
    s->high[column] = row;
    if (row - s->area.rows > s->over) s->over = row - s->area.rows;
}

void shelf_plan(shelf *s, place area, const shown *all) {
    int columns = (area.cols + GAP) / (LEAST_COLS + GAP);
    *s = (shelf){ .area = area, .columns = columns < 1 ? 1 : columns > SHELF_COLUMNS ? SHELF_COLUMNS : columns };
    fill(s, all);
    for (int c = 0; c < s->columns; c++) {
        int left = (area.cols + GAP) * c / s->columns, right = (area.cols + GAP) * (c + 1) / s->columns - GAP;
        if (s->columns == 1) right = area.cols;
        s->column[c] = (place){ area.row, area.col + left, area.rows, right - left };
        int spare = area.rows - s->high[c];
        part_groups(s, c, &spare);
        give_first(s, all, c, &spare);
        give_rest(s, c, &spare);
        stack(s, c);
    }
}

place shelf_place(const shelf *s, int k, int top) {
    const slot *t = &s->slot[k];
    place at = s->column[t->column];
    int over = s->high[t->column] - at.rows, by = over <= 0 ? 0 : top < over ? top : over;
    int row = t->row - by, lead = !t->dial && t->rows == 2;
    if (row + lead < 0 || row + t->rows > at.rows) return (place){ at.row, at.col, 0, 0 };
    return (place){ at.row + row + lead, at.col, t->rows - lead, at.cols };
}
