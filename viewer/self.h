/* self.h: the command starts itself again where its environment or its build does not suit. */

#ifndef PITOT_VIEWER_SELF_H
#define PITOT_VIEWER_SELF_H

#include "command.h"

/* OpenBLAS reads OPENBLAS_CORETYPE, and libgomp GOMP_SPINCOUNT, when they are loaded. Where OpenBLAS's choice is known to be poor, or
   libgomp would spin for milliseconds, and the user has not said otherwise, sets them and starts this program again. Returns if there
   is nothing to do, or under valgrind. */
void self_choose_environment(char **argv);

/* For `--precision double`: replaces this process by pitot_d, which stands beside this program. Returns if that is what we are, or if
   nothing was asked; a missing pitot_d ends the program with a message. */
void self_choose_precision(const args *a, char **argv);

/* Path of this program. */
const char *self_path(void);

#endif
