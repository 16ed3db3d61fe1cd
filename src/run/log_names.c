/* log_names.c: columns by name: a hash table. See log_column.h. */

#include "run/log_column.h"

#include <string.h>

#include "base/alloc.h"

/* Mixes eight bytes at a time; the table's own address keeps chosen names from meeting in one slot. */
static uint64_t hash_name(const log_columns *all, int kind, const char *name, int64_t length) {
    uint64_t h = (uint64_t)(uintptr_t)all ^ (uint64_t)length ^ (uint64_t)kind << 40, word;
    for (; length > 0; name += 8, length -= 8) {
        word = 0;
        memcpy(&word, name, (size_t)(length < 8 ? length : 8));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h ^ h >> 32;
}

int log_column_is_called(const log_column *c, int kind, const char *name, int64_t length) {
    return c->kind == kind && c->name_length == length && memcmp(c->name, name, (size_t)length) == 0;
}

/* The column's index, or -1 with the free slot in *slot. There is always one: at most half are taken. */
static int64_t look_up(const log_columns *all, uint64_t hash, int kind, const char *name, int64_t length, int64_t *slot) {
    int64_t at = (int64_t)(hash & (uint64_t)(all->slots - 1));
    for (; all->slot[at]; at = (at + 1) & (all->slots - 1)) {
        const log_column *c = &all->column[all->slot[at] - 1];
        if (c->hash == hash && log_column_is_called(c, kind, name, length)) return all->slot[at] - 1;
    }
    *slot = at;
    return -1;
}

static int grow_slots(log_columns *all) {
    int64_t slots = all->slots ? 2 * all->slots : 64, *slot;
    if (2 * (all->n + 1) <= all->slots) return 1;
    slot = mem_alloc(slots, sizeof *slot);
    if (!slot) return 0;
    for (int64_t i = 0; i < all->n; i++) {
        int64_t at = (int64_t)(all->column[i].hash & (uint64_t)(slots - 1));
        while (slot[at]) at = (at + 1) & (slots - 1);
        slot[at] = i + 1;
    }
    mem_free(all->slot);
    all->slot = slot;
    all->slots = slots;
    return 1;
}

static int is_plain(const char *name, int64_t length) {
    for (int64_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == '"' || name[i] == '\\') return 0;
    return 1;
}

/* Room for one more column in the table and in the order of its kind. */
static int columns_room(log_columns *all, int kind) {
    void *block = all->column, *ranked = all->ranked[kind];
    int64_t count = all->count[kind];
    int good = log_make_room(&block, all->n, &all->room, all->n + 1, sizeof *all->column);
    all->column = block;
    good = good && log_make_room(&ranked, count, &all->ranked_room[kind], count + 1, sizeof *all->ranked[kind]);
    all->ranked[kind] = ranked;
    return good;
}

int64_t log_columns_find(const log_columns *all, int kind, const char *name, int64_t length) {
    int64_t slot;
    return all->slots ? look_up(all, hash_name(all, kind, name, length), kind, name, length, &slot) : -1;
}

int64_t log_columns_called(log_columns *all, int kind, const char *name, int64_t length) {
    uint64_t hash = hash_name(all, kind, name, length);
    int64_t at, slot = 0;
    log_column *c;
    if (!grow_slots(all)) return -1;
    at = look_up(all, hash, kind, name, length, &slot);
    if (at >= 0) return at;
    if (!columns_room(all, kind)) return -1;
    c = &all->column[all->n];
    memset(c, 0, sizeof *c);
    c->name = mem_alloc(length + 1, 1);
    if (!c->name) return -1;
    memcpy(c->name, name, (size_t)length);
    c->name_length = length;
    c->plain = is_plain(name, length);
    c->kind = kind;
    c->rank = all->count[kind];
    c->hash = hash;
    c->heard = all->pool.headers;
    all->ranked[kind][all->count[kind]++] = all->n;
    all->slot[slot] = ++all->n;
    return all->n - 1;
}
