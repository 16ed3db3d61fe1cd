/* file.h: files from outside and files that must not be torn. */

#ifndef PITOT_SRC_FILE_H
#define PITOT_SRC_FILE_H

#include "pitot/base.h"

/* The whole file in memory with a 0 byte behind it (free with mem_free); *size without that byte. A name ending in .gz, or a file
   that starts with gzip's magic, is inflated. More than `limit` bytes is an error (0: 8 GiB). NULL with a message otherwise. */
unsigned char *file_read(const char *path, int64_t limit, int64_t *size, pitot_error *error);

/* Writes `size` bytes to a temporary file beside `path` and renames it; `sync`: to the disk first, folder included. */
int32_t file_replace(const char *path, const void *bytes, int64_t size, int sync, pitot_error *error);

/* One write(2), repeated while interrupted, that cannot raise a signal: a closed pipe or a file-size limit is an error like any other.
   Returns what write returns. */
int64_t file_write_quietly(int fd, const void *bytes, size_t n);

/* Creates a folder and those above it. Existing: fine. */
int32_t file_make_folder(const char *path, pitot_error *error);

int file_exists(const char *path);
int file_is_folder(const char *path);

/* "folder/name" in `out`; 0 if it does not fit. */
int file_join(char *out, size_t size, const char *folder, const char *name);

#endif
