/* log_list.c: one list of a run, read from the file where the reader saw it. See pitot/log.h.

   The line is checked again before it is believed: the file may have been cut or written anew since the last poll. */

#include "run/log_read.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

enum { FIRST = 1 << 15 }; /* bytes of the first read; each further one doubles what is there */

typedef struct text { /* from a line's first byte on */
    char *data;       /* [room] */
    int64_t n, room;
} text;

/* Reads on. 1; 0: the file ends here or cannot be read; -1: no memory. */
static int read_more(text *t, const log_place *p) {
    int64_t room = t->room ? 2 * t->room : FIRST;
    ssize_t got;
    char *larger = mem_grow(t->data, t->n, room, 1);
    if (!larger) return -1;
    t->data = larger;
    t->room = room;
    do got = pread(p->fd, t->data + t->n, (size_t)(t->room - t->n), (off_t)(p->at + t->n));
    while (got < 0 && errno == EINTR);
    if (got > 0) t->n += got;
    return got > 0;
}

/* Length of the line without its newline; 0: there is none; -1: no memory. */
static int64_t read_line(text *t, const log_place *p) {
    const char *newline = NULL;
    while (!newline && t->n <= SCAN_LONGEST) {
        int64_t before = t->n;
        int more = read_more(t, p);
        if (more <= 0) return more;
        newline = memchr(t->data + before, '\n', (size_t)(t->n - before));
    }
    return newline ? newline - t->data : 0;
}

static int is_item_of(const scan_item *item, const log_place *p, char *name) {
    const char *key = item->key;
    int64_t length = item->key_length;
    if (item->kind != SCAN_LIST || length < p->name_length) return 0;
    if (item->escaped) length = scan_unescape(key, length, name), key = name;
    return length == p->name_length && memcmp(key, p->name, (size_t)length) == 0;
}

/* The last list of that name in the line, as the reader takes it. The scratch `name` is as long as the line. */
static int64_t list_in(const char *line, int64_t length, const log_place *p, char *name, double *out, int64_t room) {
    scan_item item, found = { .key = NULL };
    int more, same_step = 0;
    if (!scan_sum(line, length)) return PITOT_EIO;
    scan s = scan_begin(line, length);
    while ((more = scan_next(&s, &item)) > 0) {
        if (item.key_length == 4 && memcmp(item.key, "step", 4) == 0 && item.kind == SCAN_NUMBER)
            same_step = item.number == (double)p->step;
        if (is_item_of(&item, p, name)) found = item;
    }
    if (more < 0 || !same_step || !found.key) return PITOT_EIO;
    int64_t n = scan_list(&found, out, room);
    return n < 0 ? PITOT_EIO : n;
}

int64_t pitot_log_read_list(const pitot_log *log, int64_t i, int64_t step, double *out, int64_t room, int64_t *at) {
    log_place p;
    text t = { NULL, 0, 0 };
    if (!log || room < 0 || (room && !out)) return PITOT_EINVAL;
    if (!log_list_place(log, i, step, &p)) return PITOT_EINVAL;
    int64_t length = read_line(&t, &p), n = length < 0 ? PITOT_ENOMEM : PITOT_EIO;
    char *name = length > 0 ? mem_alloc(length, 1) : NULL;
    if (length > 0) n = name ? list_in(t.data, length, &p, name, out, room) : PITOT_ENOMEM;
    if (n >= 0 && at) *at = p.step;
    mem_free(name);
    mem_free(t.data);
    return n;
}
