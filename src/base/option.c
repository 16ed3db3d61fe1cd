/* option.c: option tables: defaults, text to value and back. See pitot/option.h. */

#include "pitot/option.h"

#include "base/nearest.h"
#include "base/number.h"

#include <stdio.h>
#include <string.h>

enum { MOST_VALUES = 8, ROOM = 128 };

static int32_t count_of(const pitot_option *o) {
    return o->count > 0 ? o->count : 1;
}

const pitot_option *pitot_options_find(const pitot_option *table, const char *name) {
    for (const pitot_option *o = table; o && o->name; o++)
        if (strcmp(o->name, name) == 0) return o;
    return NULL;
}

/* Index of text[0..n) in "none|tanh", or -1. */
static int64_t choice_index(const char *choices, const char *text, size_t n) {
    int64_t i = 0;
    for (const char *c = choices; *c; i++) {
        size_t length = strcspn(c, "|");
        if (length == n && memcmp(c, text, n) == 0) return i;
        c += length + (c[length] == '|');
    }
    return -1;
}

static int bool_value(const char *text, size_t n, double *v) {
    static const char *const yes[] = { "true", "1", "yes", "on" }, *const no[] = { "false", "0", "no", "off" };
    for (int i = 0; i < 4; i++) {
        if (strlen(yes[i]) == n && memcmp(text, yes[i], n) == 0) return *v = 1, 1;
        if (strlen(no[i]) == n && memcmp(text, no[i], n) == 0) return *v = 0, 1;
    }
    return 0;
}

/* One value of the option from text[0..n) as a double; NULL, or what is wrong. */
static const char *one_value(const pitot_option *o, const char *text, size_t n, double *v) {
    if (o->kind == PITOT_BOOL) return bool_value(text, n, v) ? NULL : "is neither true nor false";
    if (o->kind == PITOT_CHOICE) {
        *v = (double)choice_index(o->choices, text, n);
        return *v >= 0 ? NULL : "is not one of the choices";
    }
    if (!number_read(text, n, 1, v) || *v != *v) return "is not a number";
    if (o->kind == PITOT_INT && (!(*v >= -9e15 && *v <= 9e15) || *v != (double)(int64_t)*v)) return "is not a whole number";
    if (o->min != o->max && !(*v >= o->min && *v <= o->max)) return "is out of range";
    return NULL;
}

static void store(const pitot_option *o, void *options, int32_t i, double v) {
    char *at = (char *)options + o->offset + 8 * (size_t)i;
    int64_t whole = o->kind == PITOT_REAL ? 0 : (int64_t)v; /* a real one may be beyond all integers */
    if (o->kind == PITOT_REAL) memcpy(at, &v, sizeof v);
    else memcpy(at, &whole, sizeof whole);
}

static void describe_range(const pitot_option *o, char *text, size_t size) {
    char lo[NUMBER_ROOM], hi[NUMBER_ROOM], what[64];
    const char *whole = o->kind == PITOT_INT ? "whole " : "";
    if (count_of(o) > 1) snprintf(what, sizeof what, "give %d %snumbers", (int)count_of(o), whole);
    else snprintf(what, sizeof what, "give a %snumber", whole);
    if (o->kind == PITOT_CHOICE) snprintf(text, size, "choose from %s", o->choices);
    else if (o->kind == PITOT_BOOL) snprintf(text, size, "write true or false");
    else if (o->min != o->max) {
        number_write(o->min, lo);
        number_write(o->max, hi);
        int open_low = o->min == PITOT_ABOVE_ZERO, open_high = o->max == PITOT_BELOW_ONE;
        snprintf(text, size, "%s in %c%s, %s%c", what, open_low ? '(' : '[', open_low ? "0" : lo, open_high ? "1" : hi,
                 open_high ? ')' : ']');
    } else snprintf(text, size, "%s", what);
    size_t n = strlen(text);
    if (count_of(o) > 1 && o->initial) snprintf(text + n, size - n, ", as in %s", o->initial);
}

static int32_t complain(const pitot_option *o, const char *owner, const char *text, const char *what, pitot_error *error) {
    char range[4 * ROOM]; /* choices may be many */
    describe_range(o, range, sizeof range);
    return pitot_fail(error, PITOT_EINVAL, "%s: %s: \"%.60s\" %s; %s (%s)", owner, o->name, text, what, range, o->help);
}

static int32_t unknown(const pitot_option *table, const char *owner, const char *name, pitot_error *error) {
    const char *names[64] = { NULL };
    int n = 0;
    for (const pitot_option *o = table; o && o->name && n < 64; o++) names[n++] = o->name;
    char list[512];
    nearest_list(name, names, n, list, sizeof list);
    return pitot_fail(error, PITOT_EINVAL, "%s: unknown option \"%.60s\"; %s", owner, name, n ? list : "it has none");
}

int32_t pitot_options_set(const pitot_option *table, void *options, const char *owner, const char *name, const char *text,
                          pitot_error *error) {
    const pitot_option *o = pitot_options_find(table, name);
    if (!o) return unknown(table, owner, name, error);
    double v[MOST_VALUES];
    int32_t n = 0, count = count_of(o);
    const char *s = text + strspn(text, "[( ");
    for (;;) {
        s += strspn(s, " ");
        size_t length = strcspn(s, ", )]");
        const char *wrong = n < count ? one_value(o, s, length, &v[n]) : "has too many values";
        if (wrong) return complain(o, owner, text, wrong, error);
        n++;
        s += length + strspn(s + length, " ");
        if (*s != ',') break;
        s++;
    }
    if (s[strspn(s, "]) ")]) return complain(o, owner, text, "has something behind its value", error);
    if (n != count && (n != 1 || o->kind == PITOT_REAL)) return complain(o, owner, text, "has too few values", error);
    for (int32_t i = 0; i < count; i++) store(o, options, i, v[n == 1 ? 0 : i]);
    return PITOT_OK;
}

void pitot_options_default(const pitot_option *table, void *options) {
    for (const pitot_option *o = table; o && o->name; o++) {
        if (!o->initial) continue;
        if (o->initial[0] != '=') {
            pitot_options_set(o, options, "", o->name, o->initial, NULL);
            continue;
        }
        const pitot_option *from = pitot_options_find(table, o->initial + 1);
        if (from) memcpy((char *)options + o->offset, (char *)options + from->offset, 8 * (size_t)count_of(o));
    }
}

static void value_text(const pitot_option *o, const char *at, char out[ROOM]) {
    double real;
    int64_t whole;
    memcpy(&real, at, sizeof real);
    memcpy(&whole, at, sizeof whole);
    if (o->kind == PITOT_REAL) number_write(real, out);
    else if (o->kind == PITOT_INT) snprintf(out, ROOM, "%lld", (long long)whole);
    else if (o->kind == PITOT_BOOL) snprintf(out, ROOM, "%s", whole ? "true" : "false");
    else {
        const char *c = o->choices;
        for (; whole > 0 && *c; whole--) c += strcspn(c, "|") + 1;
        snprintf(out, ROOM, "%.*s", (int)strcspn(c, "|"), c);
    }
}

int32_t pitot_options_text(const pitot_option *o, const void *options, char *text, size_t size) {
    char all[MOST_VALUES * ROOM] = "", one[ROOM];
    for (int32_t i = 0; i < count_of(o); i++) {
        value_text(o, (const char *)options + o->offset + 8 * (size_t)i, one);
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", i ? "," : "", one);
    }
    return snprintf(text, size, "%s", all);
}
