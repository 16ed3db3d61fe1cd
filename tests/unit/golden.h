/* golden.h: files of numbers that references really produced (tests/golden). */

#ifndef PITOT_TESTS_GOLDEN_H
#define PITOT_TESTS_GOLDEN_H

#include "base/alloc.h"
#include "base/file.h"

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static inline cJSON *golden_read(const char *path) {
    pitot_error error = { 0 };
    int64_t size;
    char *text = (char *)file_read(path, 0, &size, &error);
    cJSON *read = text ? cJSON_Parse(text) : NULL;
    if (!read) print_error("%s: %s\n", path, text ? "not JSON" : error.text);
    mem_free(text);
    return read;
}

/* The one file that a test program is about: `golden`, and what reads it before the first test and frees it after the last. */
#define GOLDEN_FILE(path)                             \
    static cJSON *golden;                             \
    static int read_golden(void **state) {            \
        (void)state;                                  \
        return (golden = golden_read(path)) ? 0 : -1; \
    }                                                 \
    static int free_golden(void **state) {            \
        (void)state;                                  \
        cJSON_Delete(golden);                         \
        return 0;                                     \
    }                                                 \
    struct golden_file /* takes the semicolon */

#endif
