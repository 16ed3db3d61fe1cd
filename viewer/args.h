/* args.h: parsing, for main. What commands need of it stands in command.h. */

#ifndef PITOT_VIEWER_ARGS_H
#define PITOT_VIEWER_ARGS_H

#include "command.h"

/* Flags and the rest of words[0..n). NULL with *status set after --help or a message. Free with free(). */
args *args_parse(const command *c, const char *program, int n, char **words, int *status);
void args_help(const command *c);

#endif
