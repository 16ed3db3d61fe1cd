/* number.c: see number.h. snprintf and strtod follow LC_NUMERIC, which belongs to the host: both run in a "C" locale of our own,
   made once and installed for this thread alone while they run. */

#include "base/number.h"

#include "pitot/base.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t plain;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_plain(void) {
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Whether v is the double nearest to a number m/10^k of 15 digits: m and 10^k are doubles then, and their quotient is rounded as strtod
   rounds. Where it cannot be told without, by strtod. */
static int is_decimal(double v) {
    static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    double size = fabs(v);
    char text[NUMBER_ROOM];
    int k = 22;
    while (k > 0 && size * power[k] >= 1e15) k--;
    double m = nearbyint(size * power[k]);
    if (size < 1e15 && m >= 1e14) return m / power[k] == size;
    snprintf(text, sizeof text, "%.15g", v);
    return strtod(text, NULL) == v;
}

/* Whole numbers up to 2^53, the commonest case, without the locale. */
static int write_integer(double v, char out[NUMBER_ROOM]) {
    if (!(fabs(v) < 9007199254740992.0) || v != (double)(int64_t)v || (v == 0 && signbit(v))) return 0;
    if (fabs(v) >= 1e15) return 0;
    return snprintf(out, NUMBER_ROOM, "%lld", (long long)v);
}

int number_write(double v, char out[NUMBER_ROOM]) {
    if (isnan(v)) return snprintf(out, NUMBER_ROOM, "nan");
    if (isinf(v)) return snprintf(out, NUMBER_ROOM, v < 0 ? "-inf" : "inf");
    int n = write_integer(v, out);
    if (n > 0) return n;
    pthread_once(&once, make_plain);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;
    snprintf(out, NUMBER_ROOM, "%.*g", is_decimal(v) ? 15 : 17, v);
    if (before) uselocale(before);
    return (int)strlen(out);
}

/* The grammar of a JSON number; a leading zero before digits is not one. */
static int is_json_number(const char *s, size_t n) {
    size_t i = 0;
    if (i < n && s[i] == '-') i++;
    size_t digits = i;
    while (i < n && s[i] >= '0' && s[i] <= '9') i++;
    if (i == digits || (s[digits] == '0' && i - digits > 1)) return 0;
    if (i < n && s[i] == '.') {
        size_t fraction = ++i;
        while (i < n && s[i] >= '0' && s[i] <= '9') i++;
        if (i == fraction) return 0;
    }
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < n && (s[i] == '+' || s[i] == '-')) i++;
        size_t power = i;
        while (i < n && s[i] >= '0' && s[i] <= '9') i++;
        if (i == power) return 0;
    }
    return i == n;
}

static int read_special(const char *s, size_t n, double *out) {
    static const struct {
        const char *text;
        double value;
    } words[] = { { "inf", INFINITY }, { "-inf", -INFINITY }, { "nan", NAN } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n == strlen(words[i].text) && memcmp(s, words[i].text, n) == 0) return *out = words[i].value, 1;
    return 0;
}

int number_read(const char *text, size_t n, int special, double *out) {
    if (special && read_special(text, n, out)) return 1;
    if (special && n && text[0] == '+') text++, n--;
    /* ".5", "5." and "05" are what people type on a command line */
    char copy[512];
    if (n == 0 || n >= sizeof copy || (!special && !is_json_number(text, n))) return 0;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (special && strspn(copy, "0123456789.eE+-") != n) return 0;
    pthread_once(&once, make_plain);
    char *end;
    *out = plain ? strtod_l(copy, &end, plain) : strtod(copy, &end);
    return end == copy + n;
}

int32_t pitot_number_text(double v, char *out, size_t size) {
    char text[NUMBER_ROOM];
    number_write(v, text);
    return snprintf(out, size, "%s", text);
}
