/* status.c: status codes and error messages. */

#include "pitot/base.h"

#include <stdarg.h>
#include <stdio.h>

const char *pitot_strerror(int32_t status) {
    switch (status) {
    case PITOT_OK: return "no error";
    case PITOT_EINVAL: return "an argument makes no sense";
    case PITOT_ENOMEM: return "out of memory";
    case PITOT_EBUDGET: return "would exceed the byte budget";
    case PITOT_EORDER: return "calls out of order";
    case PITOT_EHOST: return "a callback of the host failed";
    case PITOT_EIO: return "a file could not be read or written";
    case PITOT_EMISMATCH: return "things that should agree do not";
    case PITOT_ENOTSUP: return "not possible with this type, layout or kind";
    case PITOT_EOFF: return "the run is off";
    case PITOT_EFORMAT: return "a file is damaged or not what its name says";
    default: return "unknown status";
    }
}

const char *pitot_version(void) {
    return PITOT_VERSION;
}

int32_t pitot_real_size(void) {
    return (int32_t)sizeof(pitot_real);
}

int32_t pitot_fail(pitot_error *error, int32_t status, const char *format, ...) {
    if (!error || error->status != PITOT_OK) return status;
    va_list list;
    va_start(list, format);
    vsnprintf(error->text, sizeof error->text, format, list);
    va_end(list);
    error->status = status;
    return status;
}
