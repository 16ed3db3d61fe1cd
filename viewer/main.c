/* main.c: `pitot`: finds the subcommand, and the right OpenBLAS kernel and precision before it. */

#include "args.h"
#include "self.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void help(void) {
    puts("pitot: probes on neural-network training runs\n\nusage: pitot COMMAND [flags]\n");
    for (const command *const *c = command_table; *c; c++) printf("  %-10s %s\n", (*c)->name, (*c)->summary);
    puts("\n`pitot COMMAND --help` says more. A first run:\n\n"
         "  pitot train --model examples/glyphs_cnn.json --data glyphs --optimizer adam --out runs/first --watch\n"
         "  pitot report runs/first");
}

static const command *find(const char *name) {
    for (const command *const *c = command_table; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static int unknown(const char *name) {
    fprintf(stderr, "pitot: there is no command \"%s\"; there are", name);
    for (const command *const *c = command_table; *c; c++) fprintf(stderr, " %s", (*c)->name);
    fputs("\n       `pitot --help` shows what they do\n", stderr);
    return EXIT_USAGE;
}

/* A standard file that is closed becomes one that cannot be written, so that no other file takes its number. */
static void close_gaps(void) {
    int fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd < 3) fd = open("/dev/null", O_RDONLY);
    if (fd >= 3) close(fd);
}

static int finish(int status) {
    if (fflush(stdout) || ferror(stdout)) return fail("standard output: cannot be written");
    return status;
}

int main(int argc, char **argv) {
    close_gaps();
    setlocale(LC_CTYPE, "");
    self_choose_environment(argv);
    if (argc < 2) return help(), EXIT_USAGE;
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(), finish(EXIT_DONE);
    if (!strcmp(argv[1], "--version"))
        return printf("pitot %s (%s)\n", pitot_version(), pitot_real_size() == 8 ? "double" : "float"), EXIT_DONE;
    const command *c = find(argv[1]);
    if (!c) return unknown(argv[1]);
    int status = EXIT_FAILED;
    args *a = args_parse(c, argv[0], argc - 2, argv + 2, &status);
    if (!a) return status == EXIT_DONE ? finish(status) : status;
    self_choose_precision(a, argv);
    status = c->run(a);
    free(a);
    return status == EXIT_DONE ? finish(status) : status;
}
