/* format.c: numbers and durations as people read them, the same in every locale. See view.h and format.h. */

#include "format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 40, PLAIN_BELOW = 6, PLAIN_FROM = -4 }; /* plain text for 1e-4 <= |v| < 1e6 */

/* The whole part with a comma before every third digit; four digits are easily read without. */
static size_t put_whole(char *out, const char *digits, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && n > 4 && (n - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    return k;
}

/* digits x 10^e, e.g. ("125", -2): "1.25". At most DIGITS digits and |e| small: the callers see to it. */
static void put_plain(char *out, const char *digits, int e) {
    char whole[2 * DIGITS];
    size_t n = strlen(digits), fraction = e < 0 ? (size_t)-e : 0, k = 0;
    if (fraction >= n) {
        out[k++] = '0';
        out[k++] = '.';
        for (size_t i = n; i < fraction; i++) out[k++] = '0';
        memcpy(out + k, digits, n + 1);
        return;
    }
    memcpy(whole, digits, n - fraction);
    for (size_t i = 0; e > 0 && i < (size_t)e; i++) whole[n + i] = '0';
    k = put_whole(out, whole, n - fraction + (e > 0 ? (size_t)e : 0));
    if (fraction) {
        out[k++] = '.';
        memcpy(out + k, digits + n - fraction, fraction);
        k += fraction;
    }
    out[k] = 0;
}

void format_decimal(int64_t m, int e, int shared, char *text, size_t size) {
    char digits[DIGITS], body[4 * DIGITS];
    const char *sign = m < 0 ? "-" : "";
    if (m == 0) {
        snprintf(text, size, "0");
        return;
    }
    snprintf(digits, sizeof digits, "%lld", llabs((long long)m));
    if (shared == FORMAT_PLAIN) {
        put_plain(body, digits, e);
        snprintf(text, size, "%s%s", sign, body);
        return;
    }
    int at = shared == FORMAT_OWN ? (int)strlen(digits) - 1 + e : shared;
    put_plain(body, digits, e - at);
    snprintf(text, size, "%s%se%+03d", sign, body, at);
}

double format_parse(int64_t m, int e) {
    char text[DIGITS];
    snprintf(text, sizeof text, "%llde%d", (long long)m, e); /* no decimal point: the same in every locale */
    return strtod(text, NULL);
}

void format_value(double v, int digits, char *text, size_t size) {
    if (!isfinite(v)) {
        snprintf(text, size, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    if (digits < 1) digits = 1;
    if (digits > 17) digits = 17;
    if (fabs(v) >= pow(10, digits - 1) && fabs(v) < 999999.5) { /* no digit after the point is asked for */
        format_decimal((int64_t)(v < 0 ? ceil(v - 0.5) : floor(v + 0.5)), 0, FORMAT_PLAIN, text, size);
        return;
    }
    char raw[DIGITS];
    snprintf(raw, sizeof raw, "%.*e", digits - 1, fabs(v));
    int64_t m = 0;
    const char *c = raw;
    for (; *c && *c != 'e'; c++) /* skips the point, whatever the locale writes */
        if (*c >= '0' && *c <= '9') m = 10 * m + (*c - '0');
    int e = (*c ? (int)strtol(c + 1, NULL, 10) : 0) - (digits - 1), leading = e + digits - 1;
    while (m && m % 10 == 0) m /= 10, e++;
    int plain = leading >= PLAIN_FROM && (leading < PLAIN_BELOW || leading < digits);
    format_decimal(v < 0 ? -m : m, e, plain ? FORMAT_PLAIN : FORMAT_OWN, text, size);
}

void format_seconds(double seconds, char *text, size_t size) {
    if (!isfinite(seconds) || fabs(seconds) >= 1e15) {
        snprintf(text, size, "-");
        return;
    }
    const char *sign = seconds < 0 ? "-" : "";
    double s = fabs(seconds);
    long long whole = (long long)floor(s + 0.5), minutes = (whole + 30) / 60, hours = (whole + 1800) / 3600;
    char value[DIGITS];
    format_value(s < 0.9995 ? 1000 * s : s, 3, value, sizeof value);
    if (s < 0.9995) snprintf(text, size, "%s%s %s", s > 0 ? sign : "", s > 0 ? value : "0", s > 0 ? "ms" : "s");
    else if (s < 59.95) snprintf(text, size, "%s%s s", sign, value);
    else if (whole < 3600) snprintf(text, size, "%s%lld min %02lld s", sign, whole / 60, whole % 60);
    else if (minutes < 24 * 60) snprintf(text, size, "%s%lld h %02lld min", sign, minutes / 60, minutes % 60);
    else snprintf(text, size, "%s%lld d %02lld h", sign, hours / 24, hours % 24);
}
