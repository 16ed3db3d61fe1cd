/* rescue.c: see rescue.h. The handler calls nothing that is not safe in one: write, tcsetattr, sigaction, raise. */

#include "term/rescue.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { SIGNALS = 5, ROOM = 512, STACK = 1 << 16 };

static const int signals[SIGNALS] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct sigaction before[SIGNALS];
static struct termios given;
static char last_words[ROOM];
static size_t words;
static char stack[STACK];
static volatile sig_atomic_t armed;

static void give_back(int number) {
    if (armed) {
        armed = 0;
        for (size_t done = 0; done < words;) {
            ssize_t n = write(STDOUT_FILENO, last_words + done, words - done);
            if (n <= 0) break;
            done += (size_t)n;
        }
        tcsetattr(STDIN_FILENO, TCSANOW, &given);
    }
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == number) sigaction(number, &before[i], NULL);
    raise(number); /* delivered when the handler returns */
}

void rescue_arm(const char *bytes, size_t n, const struct termios *settings) {
    struct sigaction action = { .sa_handler = give_back, .sa_flags = SA_ONSTACK };
    stack_t own = { .ss_sp = stack, .ss_size = sizeof stack }, other;
    words = n < ROOM ? n : ROOM;
    memcpy(last_words, bytes, words);
    given = *settings;
    sigemptyset(&action.sa_mask);
    if (sigaltstack(NULL, &other) == 0 && other.ss_flags & SS_DISABLE) sigaltstack(&own, NULL);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &before[i]);
    armed = 1;
}

void rescue_disarm(void) {
    if (!armed) return;
    armed = 0;
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &before[i], NULL);
}
