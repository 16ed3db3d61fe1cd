/* format.h: exact decimal numbers as text, for tick labels. format_value and format_seconds are declared in view.h. */

#ifndef PITOT_VIEWER_FORMAT_H
#define PITOT_VIEWER_FORMAT_H

#include "view.h"

enum { FORMAT_PLAIN = 1000, FORMAT_OWN = 1001 }; /* beyond every exponent of a double */

/* m x 10^e as text. shared FORMAT_PLAIN: "0.0025", "12,500" (for exponents of everyday size only); FORMAT_OWN: "2.5e-03", its own
   exponent; otherwise the power of ten to write it with: (25, -4, -2) gives "0.25e-02". Zero is always "0". */
void format_decimal(int64_t m, int e, int shared, char *text, size_t size);

/* The double next to m x 10^e. */
double format_parse(int64_t m, int e);

#endif
