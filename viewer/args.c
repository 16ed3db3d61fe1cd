/* args.c: flags from the command line, as the command's table says; `--help` from the same table. */

#include "args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 512 };

struct args {
    const command *of;
    const char *program;
    int n, n_rest;
    const char *name[MOST], *value[MOST], *rest[MOST];
};

/* ---- messages ---- */

int fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("pitot: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    return EXIT_FAILED;
}

int fail_usage(const char *name, const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("pitot: ", stderr);
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n       `pitot %s%s--help` shows what there is\n", name ? name : "", name ? " " : "");
    va_end(list);
    return EXIT_USAGE;
}

int fail_error(const pitot_error *error) {
    fail("%s", error->text[0] ? error->text : pitot_strerror(error->status));
    return error->status == PITOT_EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

/* ---- help ---- */

static void flag_head(const flag *f, char *out, size_t size) {
    snprintf(out, size, "%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");
}

void args_help(const command *c) {
    char head[96];
    int width = 0;
    printf("usage: pitot %s%s%s%s%s\n\n%s\n", c->name, c->flags && c->flags->name ? " [flags]" : "", *c->synopsis ? " " : "",
           c->synopsis, "", c->summary);
    for (const flag *f = c->flags; f && f->name; f++) {
        flag_head(f, head, sizeof head);
        int n = (int)strlen(head);
        if (n > width && n <= 34) width = n;
    }
    if (c->flags && c->flags->name) puts("\nflags");
    for (const flag *f = c->flags; f && f->name; f++) {
        flag_head(f, head, sizeof head);
        if ((int)strlen(head) > width) printf("  %s\n  %*s  %s\n", head, width, "", f->help);
        else printf("  %-*s  %s\n", width, head, f->help);
    }
    if (c->details) printf("\n%s%s", c->details, c->details[strlen(c->details) - 1] == '\n' ? "" : "\n");
}

/* ---- parsing ---- */

static const flag *find_flag(const command *c, const char *text, size_t n) {
    for (const flag *f = c->flags; f && f->name; f++)
        if (strlen(f->name) == n && memcmp(f->name, text, n) == 0) return f;
    return NULL;
}

/* An option of an optimizer, typed as a flag. */
static int is_option(const char *name) {
    for (const pitot_optimizer *const *o = pitot_optimizers(); *o; o++)
        if (pitot_options_find((*o)->options, name)) return 1;
    return 0;
}

static int unknown_flag(const command *c, const char *text) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text + strspn(text, "-"));
    name[strcspn(name, "=")] = 0;
    if (find_flag(c, "--set", 5) && is_option(name))
        return fail_usage(c->name, "%s: unknown flag %s; options of the optimizer are given as --set %s=VALUE", c->name, text,
                          name);
    const flag *best = NULL;
    for (const flag *f = c->flags; f && f->name && !best; f++)
        if (strncmp(f->name, text, strlen(text) < 5 ? strlen(text) : 5) == 0) best = f;
    if (best) return fail_usage(c->name, "%s: unknown flag %s; did you mean %s?", c->name, text, best->name);
    return fail_usage(c->name, "%s: unknown flag %s", c->name, text);
}

/* One argument and perhaps its value; returns how many words it took, or 0 after a message. */
static int take(args *a, int left, char **word) {
    size_t n = strcspn(*word, "=");
    const flag *f = find_flag(a->of, *word, n);
    if (!f) return unknown_flag(a->of, *word), 0;
    if (a->n == MOST) return fail_usage(a->of->name, "%s: too many flags", a->of->name), 0;
    if (!f->repeat && args_get(a, f->name)) return fail_usage(a->of->name, "%s: %s stands there twice", a->of->name, f->name), 0;
    a->name[a->n] = f->name;
    if (!f->value && (*word)[n]) return fail_usage(a->of->name, "%s: %s takes no value", a->of->name, f->name), 0;
    if (!f->value) return a->value[a->n++] = "", 1;
    if ((*word)[n]) return a->value[a->n++] = *word + n + 1, 1;
    if (left < 2) return fail_usage(a->of->name, "%s: %s needs a value: %s", a->of->name, f->name, f->value), 0;
    return a->value[a->n++] = word[1], 2;
}

args *args_parse(const command *c, const char *program, int n, char **words, int *status) {
    args *a = calloc(1, sizeof *a);
    if (!a) return *status = fail("out of memory"), NULL;
    a->of = c;
    a->program = program;
    int plain = 0;
    for (int i = 0; i < n;) {
        if (!plain && (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)) {
            args_help(c);
            *status = EXIT_DONE;
            return free(a), NULL;
        }
        if (!plain && strcmp(words[i], "--") == 0) plain = 1, i++;
        else if (!plain && words[i][0] == '-' && words[i][1]) {
            int taken = take(a, n - i, words + i);
            if (!taken) return *status = EXIT_USAGE, free(a), NULL;
            i += taken;
        } else if (a->n_rest < MOST) a->rest[a->n_rest++] = words[i++];
        else return *status = fail_usage(c->name, "%s: too many arguments", c->name), free(a), NULL;
    }
    if (a->n_rest && !*c->synopsis)
        return *status = fail_usage(c->name, "%s: %s is one argument too many", c->name, a->rest[0]), free(a), NULL;
    return a;
}

/* ---- reading ---- */

const char *args_get(const args *a, const char *name) {
    for (int i = a->n - 1; i >= 0; i--)
        if (strcmp(a->name[i], name) == 0) return a->value[i];
    return NULL;
}

const char *args_at(const args *a, const char *name, int k) {
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->name[i], name) == 0 && k-- == 0) return a->value[i];
    return NULL;
}

int64_t args_int(const args *a, const char *name, int64_t otherwise, int64_t lo, int64_t hi, int *bad) {
    const char *text = args_get(a, name);
    char *end;
    if (!text) return otherwise;
    long long v = strtoll(text, &end, 10);
    if (*text && !*end && v >= lo && v <= hi) return v;
    fail_usage(a->of->name, "%s: %s %s: give a whole number from %lld to %lld", a->of->name, name, text, (long long)lo,
               (long long)hi);
    *bad = 1;
    return otherwise;
}

int args_rest(const args *a) {
    return a->n_rest;
}

const char *args_rest_at(const args *a, int i) {
    return i >= 0 && i < a->n_rest ? a->rest[i] : NULL;
}

const char *args_program(const args *a) {
    return a->program;
}
