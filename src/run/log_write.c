/* log_write.c: events.jsonl. A record is built in memory and handed to the system in one write, so that a killed process leaves whole
   records and at most one torn tail. See pitot/log.h for the format. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/number.h"
#include "run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* 1 if the file is not empty and does not end with a newline: a record was torn. */
static int ends_torn(int fd) {
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) || st.st_size == 0) return 0;
    return pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

int32_t log_open(log_writer *w, const char *path, int append, pitot_error *error) {
    *w = (log_writer){ .fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_EXCL), 0644) };
    if (w->fd < 0)
        return pitot_fail(error, PITOT_EIO, "%s: cannot be %s: %s", path, append ? "continued" : "created", strerror(errno));
    if (w->fd < 3) { /* a host without standard files: what it prints must not land in the log */
        int up = fcntl(w->fd, F_DUPFD_CLOEXEC, 3);
        close(w->fd);
        w->fd = up;
    }
    if (w->fd < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(w->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        close(w->fd);
        w->fd = -1;
        return pitot_fail(error, PITOT_EIO, "%s: another process is writing this run; wait for it, or choose another folder", path);
    }
    w->torn = ends_torn(w->fd);
    return PITOT_OK;
}

void log_close(log_writer *w) {
    if (w->fd >= 0) close(w->fd);
    mem_free(w->line);
    *w = (log_writer){ .fd = -1 };
}

static void append(log_writer *w, const char *text, size_t n) {
    if (w->used + (int64_t)n + 1 > w->room) {
        int64_t room = 2 * w->room + (int64_t)n + 4096;
        char *larger = mem_grow(w->line, w->used, room, 1);
        if (!larger) w->failed = 1;
        if (!larger) return;
        w->line = larger;
        w->room = room;
    }
    memcpy(w->line + w->used, text, n);
    w->used += (int64_t)n;
}

/* Bytes of the well-formed UTF-8 character that starts at s; 0: there is none, as where a message was cut inside one. */
static size_t character(const char *s) {
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 }; /* of each length: smaller ones have a shorter form */
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
    uint32_t code = n > 1 ? *p & (0x7fu >> n) : *p;
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2) return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    return n && (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) ? 0 : n;
}

static void append_string(log_writer *w, const char *text) {
    append(w, "\"", 1);
    while (*text) {
        unsigned char c = (unsigned char)*text;
        size_t n = character(text);
        char escaped[8];
        if (c == '"' || c == '\\') append(w, (char[]){ '\\', (char)c }, 2);
        else if (c < 0x20) append(w, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
        else append(w, n ? text : "?", n ? n : 1);
        text += n ? n : 1;
    }
    append(w, "\"", 1);
}

static void append_key(log_writer *w, const char *key) {
    if (w->used > w->torn + 1) append(w, ",", 1); /* behind the brace, and a newline if the last record was torn */
    append_string(w, key);
    append(w, ":", 1);
}

void log_begin(log_writer *w) {
    w->used = 0;
    w->failed = 0;
    if (w->torn) append(w, "\n", 1);
    append(w, "{", 1);
}

void log_number(log_writer *w, const char *key, double v) {
    char text[NUMBER_ROOM], sibling[KEY_ROOM + 4];
    int n = number_write(v, text);
    append_key(w, key);
    if (isfinite(v)) {
        append(w, text, (size_t)n);
        return;
    }
    append(w, "null", 4);
    snprintf(sibling, sizeof sibling, "%s#nf", key);
    log_text(w, sibling, text);
}

void log_integer(log_writer *w, const char *key, int64_t v) {
    char text[32];
    append_key(w, key);
    append(w, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

void log_text(log_writer *w, const char *key, const char *v) {
    append_key(w, key);
    append_string(w, v);
}

void log_list(log_writer *w, const char *key, const double *v, int64_t n) {
    char text[NUMBER_ROOM];
    append_key(w, key);
    append(w, "[", 1);
    for (int64_t i = 0; i < n; i++) {
        int length = number_write(v[i], text);
        if (i) append(w, ",", 1);
        if (isfinite(v[i])) append(w, text, (size_t)length);
        else append(w, "null", 4);
    }
    append(w, "]", 1);
}

void log_wall(log_writer *w, double seconds) {
    char text[48];
    int64_t micro = (int64_t)(seconds * 1e6);
    append_key(w, "wall");
    append(w, text, (size_t)snprintf(text, sizeof text, "%lld.%06lld", (long long)(micro / 1000000), (long long)(micro % 1000000)));
}

int32_t log_end(log_writer *w, int sync) {
    char crc[24];
    if (w->fd < 0) return PITOT_OK;
    if (!w->failed) {
        const char *start = w->line + w->torn;
        unsigned long sum = crc32(0, (const unsigned char *)start, (unsigned)(w->used - w->torn));
        append(w, crc, (size_t)snprintf(crc, sizeof crc, ",\"crc\":\"%08lx\"}\n", sum));
    }
    ssize_t n = -1;
    if (!w->failed) n = file_write_quietly(w->fd, w->line, (size_t)w->used);
    if (n == (ssize_t)w->used) {
        w->torn = 0;
        if (sync) fdatasync(w->fd);
        return PITOT_OK;
    }
    if (n > w->torn) w->torn = 1; /* part of the record is in the file: the next one starts on a line of its own */
    w->dropped++;
    return w->failed ? PITOT_ENOMEM : PITOT_EIO;
}
