/* progress.c: see progress.h. */

#include "progress.h"

#include "view.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_start(progress_line *p) {
    *p = (progress_line){ .terminal = isatty(STDERR_FILENO), .started = seconds() };
}

/* Columns of the terminal, less one so that the cursor stays in the line. */
static int room(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

void progress_show(progress_line *p, const char *text, double done, double all, double rate, double left) {
    double now = seconds(), wait = p->terminal ? 0.1 : 5;
    char time_left[40] = "", line[400];
    if (now - p->started < 0.5 || now - p->last < wait) return;
    p->last = now;
    p->shown = 1;
    if (left == left) format_seconds(left, time_left, sizeof time_left);
    snprintf(line, sizeof line, "%3.0f%%  %s%s%.3g/s  %s", all > 0 ? 100 * done / all : 0, time_left, *time_left ? " left  " : "",
             rate, text);
    if (p->terminal) fprintf(stderr, "\r\033[K%.*s", room(), line);
    else fprintf(stderr, "%s\n", line);
    fflush(stderr);
}

void progress_end(progress_line *p) {
    if (p->terminal && p->shown) fputs("\r\033[K", stderr);
    p->shown = 0;
}
