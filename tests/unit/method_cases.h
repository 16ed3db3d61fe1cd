/* method_cases.h: what a method brings to be tested with: tests/golden/optimizers/NAME.json, one file a method or wrapper,

       {"traces": [{"name": .., "reference": .., "problem": "A|A2|B|mlp", "hyperparams": {..}, "iterates": [[..], ..], "tolerance": ..}, ..],
        "settings": [{OPTION: VALUE, ..}, ..]}

   traces: what a reference really produced; test_optim_golden.c says what the problems are. settings: options that test_optim_all.c goes through
   beside the defaults. "optimizer": the name to make, where that is not the file's ("sgd+NAME" for wrappers). Either list may be missing. */

#ifndef PITOT_TESTS_METHOD_CASES_H
#define PITOT_TESTS_METHOD_CASES_H

#include "quadratics.h"

#include <glob.h>

typedef void method_case(const char *optimizer, const cJSON *one, void *user);

/* Calls `each` for all items of that list in all files. */
static inline void method_cases(const char *list, method_case *each, void *user) {
    static const char folder[] = "tests/golden/optimizers/";
    char name[64];
    glob_t files;
    assert_int_equal(glob("tests/golden/optimizers/*.json", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *file = files.gl_pathv[i] + strlen(folder);
        cJSON *golden = golden_read(files.gl_pathv[i]);
        assert_non_null(golden);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(file, "."), file);
        const cJSON *made = cJSON_GetObjectItem(golden, "optimizer"), *items = cJSON_GetObjectItem(golden, list);
        for (const cJSON *one = items ? items->child : NULL; one; one = one->next) each(made ? made->valuestring : name, one, user);
        cJSON_Delete(golden);
    }
    globfree(&files);
}

#endif
