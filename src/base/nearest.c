/* nearest.c: see nearest.h. Distance: insertions, deletions and substitutions (Levenshtein 1966), capitals like small letters. */

#include "base/nearest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 40 };

static int smallest(int a, int b, int c) {
    return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

static int differ(char a, char b) {
    return tolower((unsigned char)a) != tolower((unsigned char)b);
}

static int distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) return LONGEST;
    int row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int above = row[j];
            row[j] = smallest(row[j] + 1, row[j - 1] + 1, diagonal + differ(a[i - 1], b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

void nearest_list(const char *name, const char *const *names, int n, char *out, size_t size) {
    int best = -1, least = LONGEST;
    for (int i = 0; i < n; i++) {
        int d = distance(name, names[i]);
        if (d < least) least = d, best = i;
    }
    out[0] = 0;
    if (best >= 0 && least <= 1 + (int)strlen(name) / 3) snprintf(out, size, "did you mean \"%s\"? ", names[best]);
    size_t used = strlen(out);
    used += (size_t)snprintf(out + used, size - used, "known: ");
    for (int i = 0; i < n; i++) {
        const char *comma = i ? ", " : "";
        size_t rest = i + 1 < n ? sizeof ", ..." : 1;
        if (used + strlen(comma) + strlen(names[i]) + rest > size) {
            snprintf(out + used, size - used, "%s...", comma);
            return;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s", comma, names[i]);
    }
}
