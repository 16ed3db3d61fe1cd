/* real.h: libm for pitot_real. */

#ifndef PITOT_SRC_REAL_H
#define PITOT_SRC_REAL_H

#include "pitot/base.h"

#include <math.h>

#ifdef PITOT_DOUBLE
#define REAL(name) name
#else
#define REAL(name) name##f
#endif

#endif
