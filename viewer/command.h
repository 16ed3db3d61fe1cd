/* command.h: one subcommand of `pitot` is one file in viewer/commands, ending with its descriptor `command_NAME`; the table of them
   is generated from the file names. Flags are data: parsing, checking, `--help` and messages walk them. */

#ifndef PITOT_VIEWER_COMMAND_H
#define PITOT_VIEWER_COMMAND_H

#include "pitot.h"

typedef struct flag {
    const char *name;  /* "--out"; NULL ends a table */
    const char *value; /* "RUNDIR": takes a value; NULL: a switch */
    const char *help;  /* one line, default included */
    int repeat;        /* may be given several times */
} flag;

typedef struct args args;

typedef struct command {
    const char *name;          /* "watch" */
    const char *synopsis;      /* "RUN..." : what stands behind the flags; "" if nothing may */
    const char *summary;       /* one line for `pitot --help` */
    const char *details;       /* paragraphs for `pitot NAME --help`, examples included; may be NULL */
    const flag *flags;         /* `--help` is everyone's and need not be listed */
    int (*run)(const args *a); /* exit status: EXIT_DONE ... */
} command;

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_ALARM = 3 };

extern const command *const command_table[]; /* by name, ended by NULL; generated */

/* ---- args.c ---- */

/* Value of a flag (the last one given), or NULL. A switch that was given: "". */
const char *args_get(const args *a, const char *flag);
/* The k-th value of a flag that repeats, or NULL. */
const char *args_at(const args *a, const char *flag, int k);
/* Number within [lo, hi], or `otherwise` if the flag was not given. A bad value: message printed, *bad set to 1. */
int64_t args_int(const args *a, const char *flag, int64_t otherwise, int64_t lo, int64_t hi, int *bad);
/* What stands behind the flags. */
int args_rest(const args *a);
const char *args_rest_at(const args *a, int i);
const char *args_program(const args *a); /* argv[0] */

/* ---- messages: "pitot: ..." on standard error ---- */

int fail_usage(const char *command, const char *format, ...) PITOT_PRINTF(2, 3); /* adds where the help is; returns EXIT_USAGE */
int fail(const char *format, ...) PITOT_PRINTF(1, 2);                            /* returns EXIT_FAILED */
int fail_error(const pitot_error *error);                                        /* EXIT_FAILED, or EXIT_USAGE for PITOT_EINVAL */

#endif
