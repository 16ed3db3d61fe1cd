/* number.h: numbers as text, the same in every locale. */

#ifndef PITOT_SRC_NUMBER_H
#define PITOT_SRC_NUMBER_H

#include <stddef.h>

/* Room for any number written here. */
enum { NUMBER_ROOM = 32 };

/* A decimal that reads back as the same double, of 15 digits where they do, else 17; "nan", "inf", "-inf" for what is not finite.
   Returns its length. */
int number_write(double v, char out[NUMBER_ROOM]);

/* Reads all of text[0..n): a JSON number (also with a leading "+", "inf", "nan" if `special`). 1 if it is one and fills the text. */
int number_read(const char *text, size_t n, int special, double *out);

#endif
