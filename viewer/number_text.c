/* number_text.c: see number_text.h. */

#include "number_text.h"

#include <stdio.h>
#include <stdlib.h>

void number_text(double v, char out[40]) {
    static const int digits[] = { 9, 15, 16, 17 };
    for (int i = 0; i < 4; i++) {
        snprintf(out, 40, "%.*g", digits[i], v);
        if (strtod(out, NULL) == v) return;
    }
}
