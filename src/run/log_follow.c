/* log_follow.c: following the files of a run directory: what was appended, and whether they were cut, replaced or written anew. */

#include "run/log_read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum {
    CHUNK = 128 << 10, /* bytes per read: fits into a cache */
    LARGEST_MANIFEST = 64 << 20
};

/* ---- lines ----------------------------------------------------------------------------------------------------------- */

/* Takes every complete line of the buffer and moves the rest to its start. 0: no memory. */
static int take_lines(pitot_log *log) {
    int64_t start = 0;
    int good = 1;
    log->origin = log->state.bytes - log->length;
    while (log->looked < log->length) {
        const char *from = log->buffer + log->looked, *newline = memchr(from, '\n', (size_t)(log->length - log->looked));
        if (!newline) {
            log->looked = log->length;
            break;
        }
        if (log->skipped) {
            log_count_damage(log);
            log->doubtful = 1;
        } else good = log_take_line(log, log->buffer + start, newline - log->buffer - start);
        if (!good) {
            log->looked = start;
            break;
        }
        log->skipped = 0;
        log->line++;
        start = log->looked = newline - log->buffer + 1;
    }
    log->length -= start;
    log->looked -= start;
    if (start) memmove(log->buffer, log->buffer + start, (size_t)log->length);
    if (good && (log->skipped || log->length > SCAN_LONGEST)) {
        log->skipped += log->length;
        log->length = log->looked = 0;
    }
    return good;
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */

void log_start_over(pitot_log *log) {
    int32_t restarts = log->state.restarts;
    log_columns_clear(&log->columns);
    log->state = (pitot_log_state){ .struct_size = sizeof log->state, .last_step = -1, .restarts = restarts };
    log->head_length = log->length = log->looked = log->skipped = log->line = 0;
    log->recent[0] = log->recent[1] = -1;
    log->doubtful = log->voided = 0;
}

static log_file_id id_of(const struct stat *st) {
    return (log_file_id){ st->st_dev, st->st_ino, st->st_size, st->st_mtim };
}

static int same_file(const log_file_id *a, const log_file_id *b) {
    return a->device == b->device && a->inode == b->inode;
}

static int same_manifest(const log_file_id *a, const log_file_id *b) {
    return same_file(a, b) && a->size == b->size && a->time.tv_sec == b->time.tv_sec && a->time.tv_nsec == b->time.tv_nsec;
}

void log_follow_manifest(pitot_log *log) {
    struct stat st;
    log_file_id id;
    char *text;
    int64_t size;
    if (stat(log->manifest_path, &st) != 0 || !S_ISREG(st.st_mode)) return;
    id = id_of(&st);
    if (log->manifest && same_manifest(&id, &log->manifest_id)) return;
    text = (char *)file_read(log->manifest_path, LARGEST_MANIFEST, &size, NULL);
    if (!text) return;
    mem_free(log->manifest);
    cJSON_Delete(log->facts);
    log->manifest = text;
    log->facts = cJSON_ParseWithLengthOpts(text, (size_t)size + 1, NULL, 1);
    log->manifest_id = id;
}

static int head_changed(const pitot_log *log) {
    unsigned char now[LOG_HEAD];
    ssize_t got = pread(log->fd, now, (size_t)log->head_length, 0);
    return got != log->head_length || memcmp(now, log->head, (size_t)log->head_length) != 0;
}

/* 1: the file was replaced, cut, or written anew since the last poll, and reading begins again; 0: it was not. */
static int check_replaced(pitot_log *log, const log_file_id *now) {
    int other = !same_file(now, &log->id);
    if (!other && now->size >= log->state.bytes && !head_changed(log)) return 0;
    if (other) {
        close(log->fd);
        log->fd = -1;
    }
    if (log->state.bytes) log->state.restarts++;
    log_start_over(log);
    return 1;
}

static int32_t open_events(pitot_log *log, pitot_error *error) {
    struct stat st;
    log->fd = open(log->events_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (log->fd < 0 && errno == ENOENT) return 0;
    if (log->fd < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be opened: %s", log->events_path, strerror(errno));
    if (fstat(log->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        log->id = id_of(&st);
        return 0;
    }
    close(log->fd);
    log->fd = -1;
    return pitot_fail(error, PITOT_EIO, "%s: is not a regular file; give a run directory or its events.jsonl", log->events_path);
}

int32_t log_follow(pitot_log *log, pitot_error *error) {
    struct stat st;
    log_file_id now;
    int again = 0;
    log_follow_manifest(log);
    if (log->fd >= 0 && stat(log->events_path, &st) == 0) {
        now = id_of(&st);
        again = check_replaced(log, &now);
        log->id.size = now.size;
    }
    if (log->fd < 0) {
        int32_t status = open_events(log, error);
        if (status < 0) return status;
        if (log->fd >= 0 && log_read_index(log)) again = 1;
    }
    return again;
}

static void keep_head(pitot_log *log, const char *bytes, int64_t got) {
    int64_t n = LOG_HEAD - log->head_length;
    if (n > got) n = got;
    if (n > 0) memcpy(log->head + log->head_length, bytes, (size_t)n);
    if (n > 0) log->head_length += n;
}

/* One chunk. The number of bytes read, 0 at the end of the file, or a negative status. */
static int64_t read_chunk(pitot_log *log, int64_t most, pitot_error *error) {
    void *block = log->buffer;
    ssize_t got;
    if (most > CHUNK) most = CHUNK;
    if (!log_make_room(&block, log->length, &log->buffer_room, log->length + CHUNK, 1)) return PITOT_ENOMEM;
    log->buffer = block;
    do got = pread(log->fd, log->buffer + log->length, (size_t)most, (off_t)log->state.bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be read: %s", log->events_path, strerror(errno));
    keep_head(log, log->buffer + log->length, got);
    log->length += got;
    log->state.bytes += got;
    log->columns.pool.growth = (double)log->id.size / (double)(log->state.bytes + 1);
    return got;
}

int32_t log_read_events(pitot_log *log, int64_t budget, pitot_error *error) {
    int64_t lines = log->line, left = budget > 0 ? budget : INT64_MAX, got = 1;
    if (!take_lines(log)) return PITOT_ENOMEM;
    int32_t news = log->line > lines;
    while (left > 0 && got > 0) {
        got = read_chunk(log, left, error);
        if (got < 0) return (int32_t)got;
        if (got) news = 1;
        left -= got;
        if (!take_lines(log)) return PITOT_ENOMEM;
    }
    return news;
}
