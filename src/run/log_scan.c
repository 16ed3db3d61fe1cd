/* log_scan.c: the scanner of log lines. See log_scan.h. */

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "run/log_scan.h"

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 wide;

enum { DIGITS = 19, POWERS = 27 }; /* 10^19 - 1 and 5^27 fit into 64 bits */

static const uint64_t five[POWERS + 1] = {
    1u,
    5u,
    25u,
    125u,
    625u,
    3125u,
    15625u,
    78125u,
    390625u,
    1953125u,
    9765625u,
    48828125u,
    244140625u,
    1220703125u,
    6103515625u,
    30517578125u,
    152587890625u,
    762939453125u,
    3814697265625u,
    19073486328125u,
    95367431640625u,
    476837158203125u,
    2384185791015625u,
    11920928955078125u,
    59604644775390625u,
    298023223876953125u,
    1490116119384765625u,
    7450580596923828125u,
};

typedef struct decimal { /* +-mantissa * 10^exponent */
    uint64_t mantissa;
    int64_t exponent;
    int digits; /* significant ones in mantissa */
    int more;   /* digits were left out: mantissa is not all of it */
    int negative, fraction;
} decimal;

static locale_t plain_locale;

static void make_plain_locale(void) {
    plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Any number, in its own time: more than 19 digits, or an exponent beyond the table. `text` is checked and ends in no digit. */
static double convert_slowly(const char *text) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_plain_locale);
    return plain_locale ? strtod_l(text, NULL, plain_locale) : strtod(text, NULL);
}

/* mantissa * 2^exponent, a little more if `sticky`, rounded to nearest even. The top bit of mantissa is set; the result is a
   normal number. Integers only: rounding mode and flush-to-zero of the process do not matter. */
static double compose(uint64_t mantissa, int sticky, int exponent) {
    uint64_t kept = mantissa >> 11, cut = mantissa & 0x7ff, bits;
    double value;
    kept += cut > 0x400 || (cut == 0x400 && (sticky || (kept & 1)));
    bits = ((uint64_t)(exponent + 11 + 52 + 1023) << 52) + (kept - ((uint64_t)1 << 52));
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exact for mantissa != 0 and |power| <= POWERS: 10^p = 5^p 2^p, and 5^p fits into a word. */
static double convert(uint64_t mantissa, int power) {
    int shift = __builtin_clzll(mantissa);
    wide x;
    mantissa <<= shift;
    if (power >= 0) {
        x = (wide)mantissa * five[power];
        int top = (uint64_t)(x >> 64) ? __builtin_clzll((uint64_t)(x >> 64)) : 64;
        x <<= top;
        return compose((uint64_t)(x >> 64), (uint64_t)x != 0, power - shift + 64 - top);
    }
    int lift = __builtin_clzll(five[-power]);
    uint64_t divisor = five[-power] << lift, quotient, rest;
    x = (wide)mantissa << 63; /* mantissa < 2^64 <= 2 divisor: the quotient fits into a word and has at least 63 bits */
    quotient = (uint64_t)(x / divisor);
    rest = (uint64_t)x - quotient * divisor;
    int top = __builtin_clzll(quotient); /* 0 or 1; the bit shifted in is below the ones that decide, up to sticky */
    return compose(quotient << top, rest != 0, power - shift + lift - 63 - top);
}

/* The value of the eight digits at p, or -1 if they are not all digits: three steps on a word, each joining neighbours. */
static int64_t eight_digits(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) w = __builtin_bswap64(w);
    if (((w & 0xf0f0f0f0f0f0f0f0u) | ((w + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) >> 4) != 0x3333333333333333u) return -1;
    w = (w & 0x0f0f0f0f0f0f0f0fu) * (10 * 0x100 + 1) >> 8;
    w = (w & 0x00ff00ff00ff00ffu) * (100 * 0x10000 + 1) >> 16;
    w = (w & 0x0000ffff0000ffffu) * (10000 * 0x100000000u + 1) >> 32;
    return (int64_t)w;
}

static inline const char *take_digits(const char *p, const char *end, decimal *d) {
    uint64_t mantissa = d->mantissa;
    const char *first = p;
    int digits = d->digits, left_out = 0;
    while (digits <= DIGITS - 8 && end - p >= 8) {
        int64_t eight = eight_digits(p);
        if (eight < 0) break;
        mantissa = mantissa * 100000000 + (uint64_t)eight;
        digits += mantissa ? 8 : 0;
        p += 8;
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (digits == DIGITS) {
            left_out = 1;
            continue;
        }
        mantissa = mantissa * 10 + (uint64_t)(*p - '0');
        digits += mantissa != 0;
    }
    if (d->fraction) d->exponent -= p - first;
    d->mantissa = mantissa;
    d->digits = digits;
    d->more |= left_out;
    return p;
}

static const char *take_exponent(const char *p, const char *end, decimal *d) {
    int64_t value = 0, sign = 1;
    const char *first;
    if (p < end && (*p == '+' || *p == '-')) sign = *p++ == '-' ? -1 : 1;
    for (first = p; p < end && *p >= '0' && *p <= '9'; p++)
        if (value < 100000) value = value * 10 + (*p - '0');
    d->exponent += sign * value;
    return p > first ? p : NULL;
}

/* JSON's grammar and nothing else: no "+1", "01", ".5", "1.", "nan". NULL: not a number. */
static const char *take_number(const char *p, const char *end, decimal *d) {
    const char *first;
    if (p < end && *p == '-') d->negative = 1, p++;
    first = p;
    p = take_digits(p, end, d);
    if (p == first || (*first == '0' && p > first + 1)) return NULL;
    if (p < end && *p == '.') {
        d->fraction = 1;
        first = ++p;
        p = take_digits(p, end, d);
        if (p == first) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        d->fraction = 1;
        p = take_exponent(p + 1, end, d);
    }
    return p;
}

/* What may stand behind a number. Asking for it keeps strtod_l from reading on into other text. */
static int ends_number(const char *p, const char *end) {
    return p && p < end && (*p == ',' || *p == '}' || *p == ']' || *p == ' ' || *p == '\t' || *p == '\r');
}

static int scan_number(scan *s, scan_item *item) {
    decimal d = { 0 };
    const char *p = take_number(s->at, s->end, &d);
    if (!ends_number(p, s->end)) return -1;
    if (d.more || (d.mantissa && (d.exponent > POWERS || d.exponent < -POWERS))) item->number = convert_slowly(s->at);
    else {
        double magnitude = d.mantissa ? convert(d.mantissa, (int)d.exponent) : 0.0;
        item->number = d.negative ? -magnitude : magnitude;
    }
    if (!d.fraction && d.digits < DIGITS) item->integer = d.negative ? -(int64_t)d.mantissa : (int64_t)d.mantissa;
    item->kind = SCAN_NUMBER;
    s->at = p;
    return 1;
}

/* ---- strings --------------------------------------------------------------------------------------------------------- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t hex4(const char *p) {
    return (uint32_t)(hex_value(p[0]) << 12 | hex_value(p[1]) << 8 | hex_value(p[2]) << 4 | hex_value(p[3]));
}

/* Length of the escape at p, a backslash; 0: there is no such escape. */
static int escape_length(const char *p, const char *end) {
    if (end - p < 2) return 0;
    if (p[1] != 'u') return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
    if (end - p < 6) return 0;
    for (int i = 2; i < 6; i++)
        if (hex_value(p[i]) < 0) return 0;
    return 6;
}

/* Stands on a quote; leaves what is between the quotes in *text. -1: not a JSON string. */
static int scan_string(scan *s, const char **text, int64_t *length, int *escaped) {
    const char *p = s->at, *end = s->end;
    if (p >= end || *p != '"') return -1;
    *text = ++p;
    *escaped = 0;
    for (;;) {
        int step;
        while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
        if (p >= end || *p != '\\') break;
        step = escape_length(p, end);
        if (!step) return -1;
        *escaped = 1;
        p += step;
    }
    if (p >= end || *p != '"') return -1;
    *length = p - *text;
    s->at = p + 1;
    return 1;
}

static int64_t put_utf8(char *out, uint32_t c) {
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* The character of the \u escape at p; *used: 6, or 12 for a surrogate pair. */
static uint32_t unicode_escape(const char *p, const char *end, int *used) {
    uint32_t c = hex4(p + 2);
    *used = 6;
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        uint32_t low = hex4(p + 8);
        if (low >= 0xdc00 && low < 0xe000) {
            *used = 12;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return c == 0 || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c;
}

int64_t scan_unescape(const char *text, int64_t length, char *out) {
    static const char names[] = "bfnrt", codes[] = "\b\f\n\r\t";
    const char *end = text + length;
    int64_t n = 0;
    while (text < end) {
        int used = 1;
        if (*text != '\\') out[n++] = *text;
        else if (text[1] == 'u') n += put_utf8(out + n, unicode_escape(text, end, &used));
        else {
            const char *known = strchr(names, text[1]);
            out[n++] = known ? codes[known - names] : text[1];
            used = 2;
        }
        text += used;
    }
    return n;
}

/* ---- members --------------------------------------------------------------------------------------------------------- */

static inline void skip_space(scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r')) s->at++;
}

/* Opens or closes a level; `kinds` has one bit per level, 1 for an object. Returns the new depth or -1. */
static int bracket(char c, int depth, uint64_t *kinds) {
    if (c == '[' || c == '{') {
        if (depth == 64) return -1;
        *kinds = *kinds << 1 | (c == '{');
        return depth + 1;
    }
    if ((int)(*kinds & 1) != (c == '}')) return -1;
    *kinds >>= 1;
    return depth - 1;
}

/* Behind what stands in long lists: digits, signs, points and commas. */
static const char *skip_numbers(const char *p, const char *end) {
    while (p < end && ((*p >= '0' && *p <= '9') || (*p >= '+' && *p <= '.') || *p == 'e')) p++;
    return p;
}

static int scan_nested(scan *s, scan_item *item) {
    const char *text, *start = s->at;
    uint64_t kinds = 0;
    int64_t length;
    int depth = 0, escaped, deep = *start != '[';
    do {
        char c;
        if (depth == 1) s->at = skip_numbers(s->at, s->end);
        if (s->at >= s->end) return -1;
        c = *s->at;
        deep |= c == '"' || (depth && (c == '[' || c == '{'));
        if (c == '"') {
            if (scan_string(s, &text, &length, &escaped) < 0) return -1;
            continue;
        }
        if ((unsigned char)c < 0x20 && c != '\t' && c != '\r') return -1;
        if (c == '[' || c == '{' || c == ']' || c == '}') depth = bracket(c, depth, &kinds);
        s->at++;
    } while (depth > 0);
    item->kind = deep ? SCAN_OTHER : SCAN_LIST;
    item->text = start;
    item->text_length = s->at - start;
    return depth < 0 ? -1 : 1;
}

static int scan_word(scan *s, scan_item *item, const char *word, int kind) {
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0) return -1;
    s->at += length;
    item->kind = kind;
    return 1;
}

static int scan_value(scan *s, scan_item *item) {
    int escaped;
    item->integer = INT64_MIN;
    if (s->at >= s->end) return -1;
    switch (*s->at) {
    case '"': item->kind = SCAN_STRING; return scan_string(s, &item->text, &item->text_length, &escaped);
    case 'n': return scan_word(s, item, "null", SCAN_NULL);
    case 't': return scan_word(s, item, "true", SCAN_TRUE);
    case 'f': return scan_word(s, item, "false", SCAN_FALSE);
    case '[':
    case '{': return scan_nested(s, item);
    default: return scan_number(s, item);
    }
}

static inline int take(scan *s, char c) {
    skip_space(s);
    if (s->at >= s->end || *s->at != c) return 0;
    s->at++;
    skip_space(s);
    return 1;
}

scan scan_begin(const char *line, int64_t length) {
    scan s = { line, line + length, 0 };
    if (!take(&s, '{')) s.at = NULL;
    return s;
}

int scan_expect(scan *s, const char *key, int64_t key_length, scan_item *item) {
    if (!s->at) return -1;
    if (take(s, '}')) return s->at == s->end ? 0 : -1;
    if (s->items++ && !take(s, ',')) return -1;
    if (key && s->end - s->at > key_length + 1 && *s->at == '"' && s->at[key_length + 1] == '"' &&
        memcmp(s->at + 1, key, (size_t)key_length) == 0) {
        item->key = s->at + 1;
        item->key_length = key_length;
        item->escaped = 0;
        s->at += key_length + 2;
    } else if (scan_string(s, &item->key, &item->key_length, &item->escaped) < 0) return -1;
    if (!take(s, ':')) return -1;
    return scan_value(s, item);
}

int scan_next(scan *s, scan_item *item) {
    return scan_expect(s, NULL, 0, item);
}

int64_t scan_list(const scan_item *list, double *out, int64_t room) {
    scan s = { list->text + 1, list->text + list->text_length, 0 };
    scan_item item;
    int64_t n = 0;
    skip_space(&s);
    if (s.at < s.end && *s.at == ']') return 0;
    for (;;) {
        skip_space(&s);
        if (scan_value(&s, &item) < 0 || (item.kind != SCAN_NUMBER && item.kind != SCAN_NULL)) return -1;
        if (n < room) out[n] = item.kind == SCAN_NUMBER ? item.number : NAN;
        n++;
        if (take(&s, ']')) return s.at == s.end ? n : -1;
        if (!take(&s, ',')) return -1;
    }
}

/* ---- the checksum ---------------------------------------------------------------------------------------------------- */

int scan_sum(const char *line, int64_t length) {
    static const char before[] = ",\"crc\":\"", after[] = "\"}";
    enum { BEFORE = sizeof before - 1, SUM = 8, AFTER = sizeof after - 1 };
    int64_t body = length - BEFORE - SUM - AFTER;
    uint32_t sum = 0;
    if (body < 1 || body > INT_MAX || memcmp(line + body, before, BEFORE) != 0 || memcmp(line + length - AFTER, after, AFTER) != 0)
        return 0;
    for (const char *p = line + body + BEFORE; p < line + length - AFTER; p++) {
        if (*p >= 'A' && *p <= 'F') return 0; /* one spelling only, so that no flipped bit goes unseen */
        if (hex_value(*p) < 0) return 0;
        sum = sum << 4 | (uint32_t)hex_value(*p);
    }
    return sum == (uint32_t)crc32(crc32(0, NULL, 0), (const unsigned char *)line, (unsigned)body);
}
