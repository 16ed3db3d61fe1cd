/* manifests.c: see manifests.h. */

#include "manifests.h"

#include "pitot.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 128, VALUE = 96, MOST = 400 /* values of a run */, DEEP = 6 };

typedef struct text_block { /* texts that stay where they are */
    struct text_block *before;
    size_t used;
    char text[1 << 16];
} text_block;

typedef struct collector {
    manifests *m;
    int64_t room;
    int run, count, failed;
} collector;

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static const char *keep(collector *c, const char *text) {
    text_block *b = c->m->memory;
    size_t n = strlen(text) + 1;
    if (!b || b->used + n > sizeof b->text) {
        text_block *more = malloc(sizeof *more);
        if (!more) return NULL;
        more->before = b;
        more->used = 0;
        c->m->memory = b = more;
    }
    memcpy(b->text + b->used, text, n);
    b->used += n;
    return b->text + b->used - n;
}

static void add(collector *c, const char *key, const char *value) {
    manifests *m = c->m;
    if (c->count++ >= MOST || c->failed) return;
    if (m->n == c->room) {
        int64_t room = c->room ? 2 * c->room : 256;
        manifest_fact *more = realloc(m->fact, (size_t)room * sizeof *more);
        c->failed = !more;
        if (!more) return;
        m->fact = more;
        c->room = room;
    }
    manifest_fact f = { keep(c, key), keep(c, value), c->run };
    c->failed = !f.key || !f.value;
    if (!c->failed) m->fact[m->n++] = f;
}

/* ---- flattening ------------------------------------------------------------------------------------------------------ */

static int is_left_out(const char *key) {
    static const char *const names[] = {
        "schema", "pitot", "registry", "started", "host", "pid", "train", "parameters", "resumed"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(key, names[i]) == 0) return 1;
    return 0;
}

static const char *name_of(const cJSON *item) {
    const cJSON *name = cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "name") : NULL;
    return cJSON_IsString(name) ? name->valuestring : NULL;
}

static void add_leaf(collector *c, const char *key, const cJSON *item) {
    char value[VALUE] = "";
    if (cJSON_IsString(item)) snprintf(value, sizeof value, "%s", item->valuestring);
    else if (cJSON_IsNumber(item)) snprintf(value, sizeof value, "%.10g", item->valuedouble);
    else if (cJSON_IsBool(item)) snprintf(value, sizeof value, cJSON_IsTrue(item) ? "yes" : "no");
    else return;
    add(c, key, value);
}

static void flatten(collector *c, const char *key, const cJSON *item, int depth) {
    char inner[KEY];
    int i = 0;
    if (!cJSON_IsObject(item) && !cJSON_IsArray(item)) {
        add_leaf(c, key, item);
        return;
    }
    if (depth >= DEEP) return;
    for (const cJSON *x = item->child; x && c->count < MOST; x = x->next, i++) {
        const char *name = cJSON_IsObject(item) ? x->string : name_of(x);
        if (!depth && (!name || is_left_out(name))) continue;
        if (name) snprintf(inner, sizeof inner, "%.70s%s%.50s", key, depth ? "." : "", name);
        else snprintf(inner, sizeof inner, "%.100s.%d", key, i);
        flatten(c, inner, x, depth + 1);
    }
}

/* ---- what differs ---------------------------------------------------------------------------------------------------- */

/* Places in the table: what people vary comes first. */
static int rank_of(const char *key) {
    static const char *const first[] = { "optimizer.", "batch", "seed", "data", "model." };
    for (int i = 0; i < 5; i++)
        if (strncmp(key, first[i], strlen(first[i])) == 0) return i;
    return strncmp(key, "probe", 5) == 0 ? 7 : strncmp(key, "blas", 4) == 0 ? 6 : 5;
}

static int compare(const void *a, const void *b) {
    const manifest_fact *p = a, *q = b;
    int rank = rank_of(p->key) - rank_of(q->key), by = rank ? rank : strcmp(p->key, q->key);
    return by ? by : p->run - q->run;
}

static int is_number(const char *text) {
    char *end;
    (void)strtod(text, &end);
    return end != text && !*end;
}

/* "optimizer.options.lr" is "lr", "optimizer.name" is "optimizer", "probes.loss.every" is "loss.every". */
static void make_title(manifest_column *c) {
    char key[KEY];
    snprintf(key, sizeof key, "%s", c->key);
    size_t n = strlen(key);
    if (n > 5 && strcmp(key + n - 5, ".name") == 0) key[n - 5] = 0;
    const char *last = strrchr(key, '.'), *from = strncmp(key, "probes.", 7) == 0 ? key + 7 : last ? last + 1 : key;
    snprintf(c->title, sizeof c->title, "%.23s", from);
}

static int differs(const manifest_fact *f, int64_t n, int runs) {
    for (int64_t i = 1; i < n; i++)
        if (strcmp(f[i].value, f[0].value) != 0) return 1;
    return n < runs;
}

/* By rank; then what more of the runs have, so that an optimizer's own options stand behind those that all have. */
static int compare_columns(const void *a, const void *b) {
    const manifest_column *p = a, *q = b;
    int rank = rank_of(p->key) - rank_of(q->key);
    if (rank) return rank;
    if (p->n != q->n) return p->n < q->n ? 1 : -1;
    int name = (strcmp(p->key, "optimizer.name") != 0) - (strcmp(q->key, "optimizer.name") != 0);
    return name ? name : strcmp(p->key, q->key);
}

static int32_t find_columns(manifests *m, int runs) {
    for (int64_t i = 0, n; i < m->n; i += n) {
        for (n = 1; i + n < m->n && strcmp(m->fact[i + n].key, m->fact[i].key) == 0; n++) continue;
        if (!differs(&m->fact[i], n, runs)) continue;
        manifest_column *more = realloc(m->column, ((size_t)m->columns + 1) * sizeof *more);
        if (!more) return PITOT_ENOMEM;
        m->column = more;
        manifest_column *c = &more[m->columns++];
        *c = (manifest_column){ .key = m->fact[i].key, .first = i, .n = n, .numeric = 1 };
        for (int64_t k = 0; k < n; k++) c->numeric &= is_number(m->fact[i + k].value);
        make_title(c);
    }
    if (m->columns > 1) qsort(m->column, (size_t)m->columns, sizeof *m->column, compare_columns);
    return PITOT_OK;
}

int32_t manifests_make(const char *const *text, int n, manifests *m) {
    collector c = { .m = m };
    int32_t status = PITOT_OK;
    *m = (manifests){ 0 };
    for (c.run = 0; c.run < n && !c.failed; c.run++) {
        cJSON *root = cJSON_Parse(text[c.run]);
        c.count = 0;
        if (cJSON_IsObject(root)) flatten(&c, "", root, 0);
        cJSON_Delete(root);
    }
    if (m->n > 1) qsort(m->fact, (size_t)m->n, sizeof *m->fact, compare);
    status = c.failed ? PITOT_ENOMEM : find_columns(m, n);
    if (status != PITOT_OK) manifests_free(m);
    return status;
}

void manifests_free(manifests *m) {
    for (text_block *b = m->memory, *before; b; b = before) {
        before = b->before;
        free(b);
    }
    free(m->fact);
    free(m->column);
    *m = (manifests){ 0 };
}

const char *manifests_value(const manifests *m, int run, int column) {
    const manifest_column *c = &m->column[column];
    int64_t low = c->first, high = c->first + c->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (m->fact[middle].run < run) low = middle + 1;
        else high = middle;
    }
    return low < c->first + c->n && m->fact[low].run == run ? m->fact[low].value : "";
}

void manifests_match(const manifests *m, const regex_t *pattern, unsigned char *hit) {
    char text[KEY + VALUE + 2];
    for (int64_t i = 0; i < m->n; i++) {
        const manifest_fact *f = &m->fact[i];
        if (hit[f->run]) continue;
        snprintf(text, sizeof text, "%s=%s", f->key, f->value);
        hit[f->run] = regexec(pattern, text, 0, NULL, 0) == 0;
    }
}
