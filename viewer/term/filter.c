/* filter.c: see filter.h. */

#include "term/filter.h"

#include <stdio.h>
#include <string.h>

int filter_set(filter *f, const char *text, char *why, size_t size) {
    filter made = { 0 };
    int bad = strlen(text) >= sizeof made.text ? REG_ESPACE : *text ? regcomp(&made.compiled, text, REG_EXTENDED | REG_NOSUB) : 0;
    if (bad) {
        char what[96] = "it is too long";
        if (bad != REG_ESPACE) regerror(bad, &made.compiled, what, sizeof what);
        snprintf(why, size, "%.40s: no regular expression: %s", text, what);
        return 0;
    }
    snprintf(made.text, sizeof made.text, "%s", text);
    filter_free(f);
    *f = made;
    return 1;
}

int filter_matches(const filter *f, const char *name) {
    return !*f->text || regexec(&f->compiled, name, 0, NULL, 0) == 0;
}

void filter_free(filter *f) {
    if (*f->text) regfree(&f->compiled);
    *f = (filter){ 0 };
}
