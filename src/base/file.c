/* file.c: see file.h. */

#include "base/file.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { PATH_ROOM = 4096 };

static const int64_t default_limit = INT64_C(8) << 30;

static int32_t no_memory(const char *path, int64_t bytes, pitot_error *error) {
    return pitot_fail(error, PITOT_ENOMEM, "%s: no memory for %lld bytes", path, (long long)bytes);
}

/* Everything that gzread gives: plain bytes, or what a gzip stream holds. */
static unsigned char *read_all(gzFile in, const char *path, int64_t hint, int64_t limit, int64_t *size, pitot_error *error) {
    int64_t room = hint + 1, n = 0;
    unsigned char *bytes = mem_alloc(room + 1, 1);
    for (;;) {
        if (!bytes) return no_memory(path, room, error), NULL;
        int64_t want = room - n < (1 << 30) ? room - n : 1 << 30;
        int got = gzread(in, bytes + n, (unsigned)want);
        if (got < 0) {
            int code;
            pitot_fail(error, PITOT_EFORMAT, "%s: cannot be read: %s; is the file complete?", path, gzerror(in, &code));
            break;
        }
        n += got;
        if (n > limit) {
            pitot_fail(error, PITOT_EFORMAT, "%s: more than %lld bytes, which is more than expected here", path, (long long)limit);
            break;
        }
        if (got < want) {
            bytes[n] = 0;
            *size = n;
            return bytes;
        }
        if (n == room) {
            unsigned char *larger = mem_grow(bytes, n, 2 * room + 1, 1);
            if (!larger) mem_free(bytes);
            bytes = larger;
            room *= 2;
        }
    }
    mem_free(bytes);
    return NULL;
}

unsigned char *file_read(const char *path, int64_t limit, int64_t *size, pitot_error *error) {
    if (limit <= 0) limit = default_limit;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        pitot_fail(error, PITOT_EIO, "%s: cannot be opened: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        pitot_fail(error, PITOT_EIO, "%s: is a folder, not a file", path);
        close(fd);
        return NULL;
    }
    gzFile in = gzdopen(fd, "rb");
    if (!in) {
        no_memory(path, 0, error);
        close(fd);
        return NULL;
    }
    gzbuffer(in, 1 << 17);
    int64_t hint = st.st_size < limit ? (int64_t)st.st_size : limit;
    unsigned char *bytes = read_all(in, path, hint, limit, size, error);
    if (gzclose(in) != Z_OK && bytes) { /* a cut gzip stream shows only here */
        pitot_fail(error, PITOT_EFORMAT, "%s: the compressed stream ends too early; is the file complete?", path);
        mem_free(bytes);
        bytes = NULL;
    }
    return bytes;
}

int64_t file_write_quietly(int fd, const void *bytes, size_t n) {
    sigset_t ours, before, pending;
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    ssize_t written;
    do written = write(fd, bytes, n);
    while (written < 0 && errno == EINTR);
    int why = errno;
    if (written != (ssize_t)n && !sigismember(&pending, SIGPIPE) && !sigismember(&pending, SIGXFSZ))
        sigtimedwait(&ours, NULL, &(struct timespec){ 0, 0 });
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    return written;
}

static int write_all(int fd, const char *bytes, int64_t size) {
    while (size > 0) {
        int64_t n = file_write_quietly(fd, bytes, size < (1 << 30) ? (size_t)size : (size_t)1 << 30);
        if (n <= 0) return 0;
        bytes += n;
        size -= n;
    }
    return 1;
}

static void sync_folder_of(const char *path) {
    char folder[PATH_ROOM];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* Opens PATH.tmp-PID-K for a K that is free; the mode follows the umask. */
static int open_temporary(const char *path, char temporary[PATH_ROOM]) {
    for (int k = 0; k < 1000; k++) {
        int n = snprintf(temporary, PATH_ROOM, "%s.tmp-%ld-%d", path, (long)getpid(), k);
        if (n < 0 || n >= PATH_ROOM) return errno = ENAMETOOLONG, -1;
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

int32_t file_replace(const char *path, const void *bytes, int64_t size, int sync, pitot_error *error) {
    char temporary[PATH_ROOM];
    int fd = open_temporary(path, temporary);
    if (fd < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be written: %s", path, strerror(errno));
    int good = write_all(fd, bytes, size) && (!sync || fsync(fd) == 0);
    int why = errno;
    if (close(fd) != 0 && good) good = 0, why = errno;
    if (good && rename(temporary, path) != 0) good = 0, why = errno;
    if (good) {
        if (sync) sync_folder_of(path);
        return PITOT_OK;
    }
    unlink(temporary);
    return pitot_fail(error, PITOT_EIO, "%s: cannot be written: %s", path, strerror(why));
}

int32_t file_make_folder(const char *path, pitot_error *error) {
    char part[PATH_ROOM];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) return pitot_fail(error, PITOT_EINVAL, "%.200s: not a usable folder name", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return pitot_fail(error, PITOT_EIO, "%s: the folder cannot be made: %s", part, strerror(errno));
    }
    if (!file_is_folder(path)) return pitot_fail(error, PITOT_EIO, "%s: there is a file of that name, not a folder", path);
    return PITOT_OK;
}

int file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

int file_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_join(char *out, size_t size, const char *folder, const char *name) {
    size_t n = strlen(folder);
    int written = snprintf(out, size, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
    return written >= 0 && (size_t)written < size;
}
