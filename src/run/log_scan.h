/* log_scan.h: one line of events.jsonl: its checksum, and the members of its flat object one after the other. Takes no memory and
   depends on neither locale nor rounding mode. */

#ifndef PITOT_SRC_LOG_SCAN_H
#define PITOT_SRC_LOG_SCAN_H

#include <stdint.h>

enum { SCAN_NULL, SCAN_FALSE, SCAN_TRUE, SCAN_NUMBER, SCAN_STRING, SCAN_LIST /* of numbers and words */, SCAN_OTHER /* deeper */ };

enum { SCAN_LONGEST = 16 << 20 }; /* bytes; longer lines are damage */

typedef struct scan_item {
    const char *key,
        *text; /* between the quotes, escapes as they stand; text: of a SCAN_STRING, or of a SCAN_LIST with its brackets */
    int64_t key_length, text_length;
    double number;   /* SCAN_NUMBER, correctly rounded */
    int64_t integer; /* the same number if it is written as an integer below 10^18 in magnitude, else INT64_MIN */
    int kind;        /* SCAN_NULL ... */
    int escaped;     /* the key has escapes */
} scan_item;

typedef struct scan {
    const char *at, *end;
    int items;
} scan;

/* 1 if the line ends in ,"crc":"xxxxxxxx"} with the right sum in lower case over the bytes before. */
int scan_sum(const char *line, int64_t length);

/* 1: *item is the next member; 0: the object has ended and so has the line; -1: not JSON. A list or an object inside is stepped
   over: its strings and brackets are checked, its commas are not, and more than 64 levels count as not JSON. */
scan scan_begin(const char *line, int64_t length);
int scan_next(scan *s, scan_item *item);
/* The same, faster if the key is the one expected. */
int scan_expect(scan *s, const char *key, int64_t key_length, scan_item *item);

/* The numbers of a SCAN_LIST, null as NaN: the first `room` into `out`. Returns how many there are, -1: not JSON. */
int64_t scan_list(const scan_item *item, double *out, int64_t room);

/* Resolves the escapes of a checked string into `out`, which needs `length` bytes at most; returns how many. Half a surrogate
   pair and the character 0 become U+FFFD, so that names stay C strings. */
int64_t scan_unescape(const char *text, int64_t length, char *out);

#endif
