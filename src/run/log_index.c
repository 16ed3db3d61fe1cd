/* log_index.c: what was read from events.jsonl, kept beside it, so that the next reader begins where this one stopped. See
   pitot/log.h. Never needed: one that is damaged, of another version or of another file is as good as none.

   PATH.index, in this machine's byte order:
       log_image                      what the index is of, and the reader's state at the end of a line
       per rows:    int64 n           int64 step[n], double wall[n]
       per column:  int64 head[4]     kind, rows (-1: none), n, bytes of the name; the name, padded to 8; double value[n]
       uint64                         zlib's crc32 of all bytes before
   Nothing is believed: every size is held against what is left of the file, steps must ascend, names must differ. */

#include "run/log_read.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"

enum { VERSION = 1, ORDER = 0x01020304, SAMPLES = 64, SAMPLE = 4096, MOST_NAME = 1 << 20, PIECE = 1 << 20 };

typedef struct log_image {
    char magic[8];
    uint32_t order, version;
    int64_t bytes;   /* of events.jsonl that the index holds */
    uint64_t sample; /* sum over them: see sample_sum */
    int64_t rows, columns;
    int64_t records, damaged, damaged_at, segments, last_step, steps, ended, line, recent[2], doubtful;
    double first_wall, last_wall;
    int64_t head_length;
    unsigned char head[LOG_HEAD];
} log_image;

static const char magic[8] = "pitotidx";

/* The sum over up to SAMPLES pieces of the file's first `bytes`, evenly spread, the last one at their end: what was written anew is
   noticed without reading all of it. 0: the file cannot be read. */
static uint64_t sample_sum(int fd, int64_t bytes) {
    unsigned char piece[SAMPLE];
    uLong sum = crc32(0, NULL, 0);
    int64_t size = bytes < SAMPLE ? bytes : SAMPLE;
    for (int64_t k = 0; k < SAMPLES; k++) {
        int64_t at = (int64_t)((double)(bytes - size) * (double)k / (SAMPLES - 1));
        if (pread(fd, piece, (size_t)size, (off_t)(k == SAMPLES - 1 ? bytes - size : at)) != size) return 0;
        sum = crc32(sum, piece, (uInt)size);
    }
    return (uint64_t)sum | (uint64_t)1 << 32;
}

/* ---- a stream with a running sum ------------------------------------------------------------------------------------- */

typedef struct stream {
    FILE *file;
    uLong sum;
    int64_t left; /* reading: bytes before the sum */
    int good;
} stream;

static void put(stream *s, const void *bytes, int64_t n) {
    const unsigned char *p = bytes;
    while (n > 0 && s->good) {
        int64_t some = n < PIECE ? n : PIECE;
        s->good = fwrite(p, 1, (size_t)some, s->file) == (size_t)some;
        s->sum = crc32(s->sum, p, (uInt)some);
        p += some;
        n -= some;
    }
}

static int get(stream *s, void *bytes, int64_t n) {
    unsigned char *p = bytes;
    if (n < 0 || n > s->left) s->good = 0;
    while (n > 0 && s->good) {
        int64_t some = n < PIECE ? n : PIECE;
        s->good = fread(p, 1, (size_t)some, s->file) == (size_t)some;
        if (s->good) s->sum = crc32(s->sum, p, (uInt)some);
        s->left -= some;
        p += some;
        n -= some;
    }
    return s->good;
}

static char *index_path(const pitot_log *log, const char *end) {
    size_t n = strlen(log->events_path);
    char *path = mem_alloc((int64_t)(n + strlen(end)) + 1, 1);
    if (path) memcpy(path, log->events_path, n), memcpy(path + n, end, strlen(end) + 1);
    return path;
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

static log_image image_of(const pitot_log *log) {
    const pitot_log_state *st = &log->state;
    log_image m = { .order = ORDER, .version = VERSION };
    memcpy(m.magic, magic, sizeof m.magic);
    m.bytes = st->bytes - log->length;
    m.records = st->records, m.damaged = st->damaged, m.damaged_at = st->damaged_at, m.segments = st->segments;
    m.last_step = st->last_step, m.steps = st->steps, m.ended = st->ended, m.line = log->line;
    m.recent[0] = log->recent[0], m.recent[1] = log->recent[1], m.doubtful = log->doubtful;
    m.first_wall = st->first_wall, m.last_wall = st->last_wall;
    m.head_length = log->head_length < m.bytes ? log->head_length : m.bytes;
    memcpy(m.head, log->head, (size_t)m.head_length);
    m.columns = log->columns.n;
    for (const log_rows *r = log->columns.pool.newest; r; r = r->older) m.rows++;
    return m;
}

static int64_t number_of(const log_columns *all, const log_rows *rows) {
    int64_t k = 0;
    for (const log_rows *r = all->pool.newest; r; r = r->older, k++)
        if (r == rows) return k;
    return -1;
}

static void put_column(stream *s, const log_columns *all, const log_column *c) {
    static const char pad[8];
    int64_t head[4] = { c->kind, number_of(all, c->rows), c->rows ? c->n : 0, c->name_length };
    put(s, head, sizeof head);
    put(s, c->name, c->name_length);
    put(s, pad, -c->name_length & 7);
    put(s, c->value, head[2] * (int64_t)sizeof *c->value);
}

static void put_all(stream *s, const pitot_log *log, const log_image *m) {
    put(s, m, sizeof *m);
    for (const log_rows *r = log->columns.pool.newest; r; r = r->older) {
        put(s, &r->n, sizeof r->n);
        put(s, r->step, r->n * (int64_t)sizeof *r->step);
        put(s, r->wall, r->n * (int64_t)sizeof *r->wall);
    }
    for (int64_t i = 0; i < log->columns.n; i++) put_column(s, &log->columns, &log->columns.column[i]);
    uint64_t sum = s->sum;
    put(s, &sum, sizeof sum);
}

/* A new file of that name alone; what lies there is never written into. */
static FILE *create(const char *path) {
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (fd >= 0 && !file) close(fd);
    return file;
}

int32_t pitot_log_index(const pitot_log *log, pitot_error *error) {
    if (!log || log->fd < 0) return pitot_fail(error, PITOT_EINVAL, "pitot_log_index: nothing has been read");
    if (log->columns.unsettled || log->skipped || log->voided)
        return pitot_fail(error, PITOT_EINVAL, "pitot_log_index: the log is being read; poll it once more");
    log_image m = image_of(log);
    m.sample = sample_sum(log->fd, m.bytes);
    char *path = index_path(log, ".index"), *fresh = index_path(log, ".index.new");
    stream s = { .file = path && fresh && m.sample ? create(fresh) : NULL, .sum = crc32(0, NULL, 0), .good = 1 };
    int done = 0;
    if (s.file) {
        put_all(&s, log, &m);
        done = fclose(s.file) == 0 && s.good && rename(fresh, path) == 0;
        if (!done) unlink(fresh);
    }
    mem_free(path);
    mem_free(fresh);
    return done ? PITOT_OK : pitot_fail(error, PITOT_EIO, "%s: no index could be written beside it", log->events_path);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static int is_ascending(const int64_t *step, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (step[i - 1] >= step[i]) return 0;
    return n == 0 || step[0] >= 0;
}

static void drop_unused(log_rows_pool *pool, log_rows *r) {
    if (r->users) return;
    r->users = 1;
    log_rows_leave(pool, r);
}

/* Rows as they were, with no user yet; NULL: not as they should be, or no memory. */
static log_rows *get_rows(stream *s, log_rows_pool *pool) {
    int64_t n;
    if (!get(s, &n, sizeof n) || n < 0 || n > s->left / 16) return NULL;
    log_rows *r = log_rows_new(pool, n);
    if (!r) return NULL;
    r->n = n;
    if (get(s, r->step, n * 8) && get(s, r->wall, n * 8) && is_ascending(r->step, n)) return r;
    drop_unused(pool, r);
    return NULL;
}

static int places_are_good(const double *at, int64_t n, int64_t bytes) {
    for (int64_t i = 0; i < n; i++)
        if (!(at[i] >= 0 && at[i] < (double)bytes)) return 0;
    return 1;
}

static int get_column(stream *s, log_columns *all, log_rows *const *rows, const log_image *m) {
    int64_t head[4], n, length, before = all->n;
    if (!get(s, head, sizeof head)) return 0;
    n = head[2], length = head[3];
    if (head[0] < 0 || head[0] >= LOG_KINDS || head[1] < -1 || head[1] >= m->rows || length < 0 || length > MOST_NAME) return 0;
    log_rows *r = head[1] < 0 ? NULL : rows[head[1]];
    if (n < 0 || n > (r ? r->n : 0) || n > s->left / 8) return 0;
    char *name = mem_alloc(length + 8, 1);
    int64_t at = name && get(s, name, (length + 7) & ~(int64_t)7) && !memchr(name, 0, (size_t)length)
                     ? log_columns_called(all, (int)head[0], name, length)
                     : -1;
    mem_free(name);
    if (at != before) return 0; /* no memory, or the name was there before */
    log_column *c = &all->column[at];
    c->value = mem_alloc(n ? n : 1, sizeof *c->value);
    if (!c->value) return 0;
    c->room = n ? n : 1;
    c->rows = r;
    if (r) r->users++;
    c->n = n;
    return get(s, c->value, n * 8) && (c->kind == LOG_NUMBERS || places_are_good(c->value, n, m->bytes));
}

/* Everything behind the image; the sum at the end says whether it may be believed. */
static int get_all(stream *s, pitot_log *log, const log_image *m) {
    log_columns *all = &log->columns;
    uint64_t sum, mine;
    int64_t got = 0;
    log_rows **rows = mem_alloc(m->rows, sizeof *rows);
    int good = rows != NULL;
    for (; good && got < m->rows; got += good) good = (rows[got] = get_rows(s, &all->pool)) != NULL;
    for (int64_t i = 0; good && i < m->columns; i++) good = get_column(s, all, rows, m);
    for (int64_t k = 0; k < got; k++) drop_unused(&all->pool, rows[k]);
    mem_free(rows);
    mine = s->sum;
    return good && s->left == 0 && fread(&sum, 1, sizeof sum, s->file) == sizeof sum && sum == mine;
}

static int is_plausible(const log_image *m, int64_t left) {
    return m->bytes > 0 && m->rows >= 0 && m->rows <= left / 8 && m->columns >= 0 && m->columns <= left / 32 &&
           m->head_length >= 0 && m->head_length <= LOG_HEAD && m->ended >= PITOT_LOG_OPEN && m->ended <= PITOT_LOG_INTERRUPTED &&
           m->records >= 0 && m->line >= 0 && m->damaged >= 0;
}

/* Is it of this version, and of the file that is open? */
static int is_of_this_log(const pitot_log *log, const log_image *m) {
    unsigned char head[LOG_HEAD];
    if (memcmp(m->magic, magic, sizeof magic) != 0 || m->order != ORDER || m->version != VERSION) return 0;
    if (m->bytes > (int64_t)log->id.size) return 0;
    if (pread(log->fd, head, (size_t)m->head_length, 0) != (ssize_t)m->head_length) return 0;
    return memcmp(head, m->head, (size_t)m->head_length) == 0 && sample_sum(log->fd, m->bytes) == m->sample;
}

static void take_image(pitot_log *log, const log_image *m) {
    pitot_log_state *st = &log->state;
    st->bytes = st->indexed = m->bytes;
    st->records = m->records, st->damaged = m->damaged, st->damaged_at = m->damaged_at, st->segments = m->segments;
    st->last_step = m->last_step, st->steps = m->steps, st->ended = (int32_t)m->ended;
    st->first_wall = m->first_wall, st->last_wall = m->last_wall;
    log->line = m->line;
    log->recent[0] = m->recent[0], log->recent[1] = m->recent[1];
    log->doubtful = m->doubtful != 0;
    log->head_length = m->head_length;
    memcpy(log->head, m->head, (size_t)m->head_length);
}

static FILE *open_index(const pitot_log *log, int64_t *size) {
    char *path = index_path(log, ".index");
    struct stat st;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    mem_free(path);
    FILE *file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "rb") : NULL;
    if (fd >= 0 && !file) close(fd);
    if (file) *size = (int64_t)st.st_size;
    return file;
}

int log_read_index(pitot_log *log) {
    int64_t size = 0, fixed = (int64_t)sizeof(log_image) + 8;
    log_image m;
    FILE *file = open_index(log, &size);
    if (!file) return 0;
    stream s = { .file = file, .sum = crc32(0, NULL, 0), .left = size - 8, .good = size >= fixed };
    int good = s.good && get(&s, &m, sizeof m) && is_plausible(&m, s.left) && is_of_this_log(log, &m);
    if (good) {
        good = get_all(&s, log, &m);
        if (good) take_image(log, &m);
        else log_start_over(log);
    }
    fclose(file);
    return good;
}
