/* term.c: curses and signals. Handlers set flags; whoever waits in term_key looks at them. SIGTSTP, SIGCONT and SIGWINCH are left
   to curses, which stops, comes back and resizes by itself. */

#include "term/term.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>

#undef columns /* macros of <term.h> that are also everyday words */
#undef lines

typedef struct look {     /* of a pen */
    short c256, c16, c8;  /* colours; -1: the terminal's own */
    attr_t with, without; /* attributes with colours, and without */
} look;

/* The 256 are exact entries of the colour cube or the grey ramp, so that no terminal maps them elsewhere. Tensors: eight hues
   that stay apart for colour-blind eyes too. */
static const look looks[PEN_END] = {
    [PEN_TEXT] = { -1, -1, -1, A_NORMAL, A_NORMAL },
    [PEN_DIM] = { 245, 8, -1, A_NORMAL, A_NORMAL },
    [PEN_TITLE] = { -1, -1, -1, A_BOLD, A_BOLD },
    [PEN_CHOSEN] = { -1, -1, -1, A_BOLD | A_REVERSE, A_BOLD | A_REVERSE },
    [PEN_AXIS] = { 242, 8, -1, A_NORMAL, A_NORMAL },
    [PEN_MAIN] = { 45, 14, COLOR_CYAN, A_NORMAL, A_BOLD },
    [PEN_RAW] = { 24, 8, COLOR_BLUE, A_NORMAL, A_NORMAL },
    [PEN_GOOD] = { 78, 10, COLOR_GREEN, A_NORMAL, A_NORMAL },
    [PEN_WARN] = { 214, 11, COLOR_YELLOW, A_NORMAL, A_BOLD },
    [PEN_ALARM] = { 203, 9, COLOR_RED, A_BOLD, A_REVERSE },
    [PEN_KEY] = { -1, -1, -1, A_BOLD, A_BOLD },
    [PEN_RUN + 0] = { 45, 14, COLOR_CYAN, A_NORMAL, A_BOLD },
    [PEN_RUN + 1] = { 208, 3, COLOR_YELLOW, A_NORMAL, A_NORMAL },
    [PEN_RUN + 2] = { 35, 2, COLOR_GREEN, A_NORMAL, A_NORMAL },
    [PEN_RUN + 3] = { 176, 13, COLOR_MAGENTA, A_NORMAL, A_NORMAL },
    [PEN_RUN + 4] = { 226, 11, COLOR_YELLOW, A_BOLD, A_NORMAL },
    [PEN_RUN + 5] = { 69, 12, COLOR_BLUE, A_NORMAL, A_NORMAL },
    [PEN_RUN + 6] = { 167, 9, COLOR_RED, A_NORMAL, A_NORMAL },
    [PEN_RUN + 7] = { 250, 7, COLOR_WHITE, A_NORMAL, A_NORMAL },
    [PEN_PALE + 0] = { 24, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_PALE + 1] = { 94, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_PALE + 2] = { 22, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_PALE + 3] = { 96, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_PALE + 4] = { 100, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_PALE + 5] = { 61, 8, COLOR_WHITE, A_NORMAL, A_DIM },
    [PEN_PALE + 6] = { 52, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_PALE + 7] = { 240, 8, COLOR_BLUE, A_NORMAL, A_DIM },
    [PEN_TENSOR + 0] = { 39, 12, COLOR_BLUE, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 1] = { 208, 3, COLOR_YELLOW, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 2] = { 35, 2, COLOR_GREEN, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 3] = { 176, 13, COLOR_MAGENTA, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 4] = { 226, 11, COLOR_YELLOW, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 5] = { 117, 14, COLOR_CYAN, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 6] = { 167, 9, COLOR_RED, A_NORMAL, A_NORMAL },
    [PEN_TENSOR + 7] = { 250, 7, COLOR_WHITE, A_NORMAL, A_NORMAL },
};

static const struct {
    int curses, key;
} keys[] = {
    { KEY_UP, TERM_UP },
    { KEY_DOWN, TERM_DOWN },
    { KEY_LEFT, TERM_LEFT },
    { KEY_RIGHT, TERM_RIGHT },
    { KEY_PPAGE, TERM_PAGE_UP },
    { KEY_NPAGE, TERM_PAGE_DOWN },
    { KEY_HOME, TERM_HOME },
    { KEY_END, TERM_END },
    { KEY_BTAB, TERM_BACK_TAB },
    { KEY_RESIZE, TERM_RESIZE },
    { KEY_ENTER, TERM_ENTER },
    { '\n', TERM_ENTER },
    { KEY_BACKSPACE, TERM_BACKSPACE },
    { 127, TERM_BACKSPACE },
    { 8, TERM_BACKSPACE },
};

enum { SIGNALS = 3 };
static const int signals[SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

static SCREEN *screen;
static int coloured;
static volatile sig_atomic_t stopped;
static struct sigaction before[SIGNALS];

/* ---- signals --------------------------------------------------------------------------------------------------------- */

static void note_signal(int number) {
    stopped = number;
}

/* Before curses looks at them: it leaves alone what is not at its default. */
static void catch_signals(void) {
    struct sigaction action = { .sa_handler = note_signal };
    stopped = 0;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &before[i]);
}

static void release_signals(void) {
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &before[i], NULL);
}

int term_stopped(void) {
    return stopped;
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

static int refuse(char *why, size_t size, const char *text) {
    const char *term = getenv("TERM");
    snprintf(why, size, text, term ? term : "");
    return -1;
}

/* What would make curses give up, or draw nonsense, is found out without it. */
static int check_terminal(char *why, size_t size) {
    const char *term = getenv("TERM");
    int found = 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return refuse(why, size, "standard input and output are not a terminal; use --once to print one frame");
    if (!term || !*term)
        return refuse(why, size, "TERM is not set; set it (TERM=xterm-256color), or use --once to print one frame");
    if (setupterm(term, STDOUT_FILENO, &found) != OK || found != 1)
        return refuse(why, size, "terminal type %.60s is not known here; set TERM to another, or use --once to print one frame");
    char *move = tigetstr("cup");
    int able = move && move != (char *)-1;
    del_curterm(cur_term);
    if (!able) return refuse(why, size, "terminal type %.60s cannot move its cursor; use --once to print one frame");
    return 0;
}

static short colour_of(const look *l) {
    return COLORS >= 256 ? l->c256 : COLORS >= 16 ? l->c16 : l->c8;
}

static void start_colours(void) {
    const char *refused = getenv("NO_COLOR");
    coloured = !(refused && *refused) && has_colors() && start_color() == OK && COLORS >= 8 && COLOR_PAIRS > PEN_END;
    if (!coloured) return;
    int own = use_default_colors() == OK;
    for (short pen = 0; pen < PEN_END; pen++) {
        short colour = colour_of(&looks[pen]);
        init_pair((short)(pen + 1), !own && colour < 0 ? COLOR_WHITE : colour, own ? -1 : COLOR_BLACK);
    }
}

int term_open(char *why, size_t size) {
    if (check_terminal(why, size) < 0) return -1;
    catch_signals();
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        release_signals();
        return refuse(why, size, "terminal type %.60s cannot be used; use --once to print one frame");
    }
    set_term(screen);
    set_escdelay(50);
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    leaveok(stdscr, TRUE);
    start_colours();
    return 0;
}

void term_close(void) {
    if (!screen) return;
    endwin();
    delscreen(screen);
    screen = NULL;
    release_signals();
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

void term_size(int *rows, int *cols) {
    getmaxyx(stdscr, *rows, *cols);
}

static cchar_t curses_cell(uint32_t code, uint32_t pen) {
    const look *l = &looks[pen < PEN_END ? pen : PEN_TEXT];
    wchar_t text[2] = { (wchar_t)code, 0 };
    cchar_t out;
    memset(&out, 0, sizeof out);
    setcchar(&out, text, coloured ? l->with : l->without, (short)(coloured ? pen + 1 : 0), NULL);
    return out;
}

void term_show(const canvas *c) {
    int rows, cols;
    term_size(&rows, &cols);
    erase();
    for (int row = 0; row < c->rows && row < rows; row++) {
        for (int col = 0; col < c->cols && col < cols; col++) {
            const cell *at = &c->cell[(int64_t)row * c->cols + col];
            uint32_t code = canvas_glyph(c, row, col);
            if (!code || (code == ' ' && at->pen != PEN_CHOSEN)) continue;
            cchar_t out = curses_cell(code, at->pen);
            mvadd_wch(row, col, &out);
        }
    }
    refresh();
}

void term_redraw(void) {
    clearok(stdscr, TRUE);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static int translate(int status, wint_t key) {
    if (status == ERR) return TERM_NONE;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].curses == (int)key && (status == KEY_CODE_YES || key < 256)) return keys[i].key;
    return status == KEY_CODE_YES ? TERM_NONE : (int)key;
}

/* The wait is poll()'s, not curses': a terminal that hung up would make getch return at once for ever. */
int term_key(int milliseconds) {
    struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
    wint_t key = 0;
    int status = get_wch(&key);
    if (status == ERR && milliseconds > 0 && !stopped) {
        int ready = poll(&in, 1, milliseconds);
        status = ready == 0 ? ERR : get_wch(&key);
        if (status == ERR && ready > 0 && in.revents & (POLLHUP | POLLERR | POLLNVAL)) stopped = SIGHUP;
    }
    return translate(status, key);
}

/* ---- without curses -------------------------------------------------------------------------------------------------- */

int term_is_unicode(void) {
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0 && wcwidth((wchar_t)0x28ff) == 1;
}

int term_window(int descriptor, int *rows, int *cols) {
    struct winsize size;
    if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || !size.ws_row || !size.ws_col) return 0;
    *rows = size.ws_row;
    *cols = size.ws_col;
    return 1;
}
