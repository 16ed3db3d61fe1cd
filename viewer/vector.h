/* vector.h: a vector of numbers from an .npy file. */

#ifndef PITOT_VIEWER_VECTOR_H
#define PITOT_VIEWER_VECTOR_H

#include "pitot/base.h"

/* The n values of a one-dimensional .npy array of '<f4' or '<f8', as pitot_real; to be freed with free. NULL with a message that names
   the file if it is another array or has another length. */
pitot_real *vector_read(const char *file, int64_t n, pitot_error *error);

#endif
