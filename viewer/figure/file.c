/* file.c: bytes in memory, and how they become a file that is complete or not there. See figure.h. */

#include "figure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int bytes_add(bytes *b, const void *data, size_t n) {
    if (n > b->room - b->n) {
        size_t room = b->room ? b->room : 65536;
        while (room - b->n < n)
            if (room > SIZE_MAX / 2) return 0;
            else room *= 2;
        unsigned char *larger = realloc(b->data, room);
        if (!larger) return 0;
        b->data = larger;
        b->room = room;
    }
    if (n) memcpy(b->data + b->n, data, n);
    b->n += n;
    return 1;
}

static int write_all(int fd, const bytes *b) {
    for (size_t done = 0; done < b->n;) {
        ssize_t n = write(fd, b->data + done, b->n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) return 0;
        done += (size_t)n;
    }
    return 1;
}

/* A new file beside `path`; its name in `name`. */
static int open_beside(const char *path, char *name, size_t size) {
    for (int k = 0; k < 100; k++) {
        int n = snprintf(name, size, "%s.%ld-%d.tmp", path, (long)getpid(), k);
        if (n < 0 || (size_t)n >= size) return errno = ENAMETOOLONG, -1;
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); /* less the umask, as any file */
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

int32_t bytes_write(const bytes *b, const char *path, pitot_error *error) {
    char name[4096];
    int fd = open_beside(path, name, sizeof name);
    if (fd < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be written: %s", path, strerror(errno));
    int why = write_all(fd, b) ? 0 : errno;
    if (close(fd) != 0 && !why) why = errno;
    if (!why && rename(name, path) != 0) why = errno;
    if (!why) return PITOT_OK;
    unlink(name);
    return pitot_fail(error, PITOT_EIO, "%s: cannot be written: %s", path, strerror(why));
}
