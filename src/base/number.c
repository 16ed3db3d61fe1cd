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

/* Digits of a whole number, which ends before `end`; returns where it begins. */
static char *digits_before(uint64_t v, char *end) {
    do *--end = (char)('0' + v % 10);
    while (v /= 10);
    return end;
}

enum { DIGITS = 15, NO_DECIMAL = -1, UNKNOWN = -2 };

/* k if size >= 0 is the double nearest to a number m/10^k of 15 digits: m and 10^k are doubles then, and their quotient is rounded as
   strtod rounds. NO_DECIMAL: it is not; UNKNOWN: it cannot be told in this way. */
static int decimal_of(double size, uint64_t *m) {
    static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    int k = 22;
    while (k > 0 && size * power[k] >= 1e15) k--;
    double digits = nearbyint(size * power[k]);
    if (!(digits >= 1e14 && digits < 1e15)) return UNKNOWN;
    *m = (uint64_t)digits;
    return digits / power[k] == size ? k : NO_DECIMAL;
}

static int is_decimal(double v, int places) {
    char text[NUMBER_ROOM];
    if (places != UNKNOWN) return places >= 0;
    snprintf(text, sizeof text, "%.15g", v);
    return strtod(text, NULL) == v;
}

/* m/10^places, m of 15 digits, as "%.15g" writes it where it needs no exponent: 0 where it does. */
static int write_decimal(int negative, uint64_t m, int places, char out[NUMBER_ROOM]) {
    char text[DIGITS], *at = out;
    int before = DIGITS - places, used = DIGITS; /* digits in front of the point; below 1: zeros behind it */
    if (before < -3) return 0;
    digits_before(m, text + DIGITS);
    while (used > 1 && text[used - 1] == '0') used--;
    if (negative) *at++ = '-';
    if (before <= 0) *at++ = '0';
    for (int i = 0; i < before; i++) *at++ = text[i];
    if (used > before) *at++ = '.';
    for (int i = before; i < 0; i++) *at++ = '0';
    for (int i = before > 0 ? before : 0; i < used; i++) *at++ = text[i];
    *at = 0;
    return (int)(at - out);
}

/* Whole numbers up to 10^15, the commonest case, without the locale. */
static int write_integer(double v, char out[NUMBER_ROOM]) {
    char text[NUMBER_ROOM], *end = text + NUMBER_ROOM;
    if (!(fabs(v) < 1e15) || v != (double)(int64_t)v || (v == 0 && signbit(v))) return 0;
    char *begin = digits_before((uint64_t)fabs(v), end);
    if (v < 0) *--begin = '-';
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = 0;
    return (int)(end - begin);
}

int number_write(double v, char out[NUMBER_ROOM]) {
    if (isnan(v)) return snprintf(out, NUMBER_ROOM, "nan");
    if (isinf(v)) return snprintf(out, NUMBER_ROOM, v < 0 ? "-inf" : "inf");
    int n = write_integer(v, out);
    if (n > 0) return n;
    uint64_t m;
    int places = decimal_of(fabs(v), &m);
    if (places >= 0) n = write_decimal(v < 0, m, places, out);
    if (n > 0) return n;
    pthread_once(&once, make_plain);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;
    snprintf(out, NUMBER_ROOM, "%.*g", is_decimal(v, places) ? DIGITS : 17, v);
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
