/* term.c: curses and signals. Handlers set flags; whoever waits in term_key looks at them. SIGWINCH is left to curses, which resizes by
   itself. The mouse is read here: curses would not tell of movements. */

#include "term/term.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>

#undef columns /* macros of <term.h> that are also everyday words */
#undef lines

#include "term/rescue.h"
#include "term/theme.h"

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

enum { SIGNALS = 6 };
static const int signals[SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT };
enum { MOUSE_CODE = KEY_F(63), PATIENCE = 50 /* ms between the bytes of one report */ };
static const char mouse_on[] = "\033[?1002h\033[?1006h", mouse_off[] = "\033[?1006l\033[?1002l", mouse_head[] = "\033[<";

static SCREEN *screen;
static int colours; /* that can be shown; 0: none */
static int theme, mouse_used;
static event mouse; /* the latest */
static int pressed; /* the first button is down */
static volatile sig_atomic_t stopped, suspended, continued;
static struct sigaction before[SIGNALS];

/* ---- signals --------------------------------------------------------------------------------------------------------- */

static void note_signal(int number) {
    if (number == SIGTSTP) suspended = 1;
    else if (number == SIGCONT) continued = 1;
    else stopped = number;
}

static void catch_signal(int i) {
    struct sigaction action = { .sa_handler = note_signal };
    sigemptyset(&action.sa_mask);
    sigaction(signals[i], &action, &before[i]);
    if (signals[i] == SIGTSTP && before[i].sa_handler == SIG_IGN) sigaction(SIGTSTP, &before[i], NULL); /* a shell without jobs */
}

/* Before curses looks at them: it leaves alone what is not at its default. */
static void catch_signals(void) {
    stopped = suspended = continued = 0;
    for (int i = 0; i < SIGNALS; i++) catch_signal(i);
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

/* A pair of colours for each pen, as the theme says. */
static void set_pairs(void) {
    int own = use_default_colors() == OK;
    for (short pen = 0; pen < PEN_END; pen++) {
        look l = theme_look(theme, pen, colours);
        short fore = (short)(!own && l.fore < 0 ? COLOR_WHITE : l.fore), back = (short)(!own && l.back < 0 ? COLOR_BLACK : l.back);
        init_pair((short)(pen + 1), fore, back);
    }
}

static void start_colours(void) {
    const char *refused = getenv("NO_COLOR");
    int coloured = !(refused && *refused) && has_colors() && start_color() == OK && COLORS >= 8 && COLOR_PAIRS > PEN_END;
    colours = coloured ? COLORS : 0;
    if (coloured) set_pairs();
}

void term_theme(int wanted) {
    if (wanted == theme) return;
    theme = wanted;
    if (!screen) return;
    if (colours) set_pairs();
    term_redraw();
}

static void tell(const char *text, size_t n) {
    ssize_t done = write(STDOUT_FILENO, text, n);
    (void)done; /* a terminal that does not listen has nothing to be told */
}

static void start_mouse(int wanted) {
    const char *own = tigetstr("kmous");
    mouse_used = wanted && own && own != (char *)-1 && define_key(mouse_head, MOUSE_CODE) == OK;
    pressed = 0;
    if (mouse_used) tell(mouse_on, sizeof mouse_on - 1);
}

/* A capability without its delays. */
static void add_capability(char *out, size_t room, const char *name) {
    const char *text = tigetstr(name);
    size_t n = strlen(out);
    while (text && text != (char *)-1 && *text && n + 1 < room) {
        const char *end = text[0] == '$' && text[1] == '<' ? strchr(text, '>') : NULL;
        if (end) text = end + 1;
        else out[n++] = *text++;
    }
    out[n] = 0;
}

static void prepare_rescue(const struct termios *settings) {
    static const char *const names[] = { "sgr0", "cnorm", "rmkx", "rmcup" };
    char words[512] = "";
    if (mouse_used) snprintf(words, sizeof words, "%s", mouse_off);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) add_capability(words, sizeof words, names[i]);
    rescue_arm(words, strlen(words), settings);
}

static void set_modes(void) {
    set_escdelay(50);
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    leaveok(stdscr, TRUE);
}

int term_open(int use_mouse, char *why, size_t size) {
    struct termios settings;
    if (check_terminal(why, size) < 0) return -1;
    if (tcgetattr(STDIN_FILENO, &settings) != 0) return refuse(why, size, "the terminal does not answer");
    catch_signals();
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        release_signals();
        return refuse(why, size, "terminal type %.60s cannot be used; use --once to print one frame");
    }
    set_term(screen);
    set_modes();
    start_colours();
    start_mouse(use_mouse);
    prepare_rescue(&settings);
    return 0;
}

void term_close(void) {
    if (!screen) return;
    rescue_disarm();
    if (mouse_used) tell(mouse_off, sizeof mouse_off - 1);
    endwin();
    delscreen(screen);
    screen = NULL;
    release_signals();
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

void term_size(int *rows, int *cols) {
    getmaxyx(stdscr, *rows, *cols);
}

static attr_t attributes_of(const look *l) {
    attr_t a = A_NORMAL;
    if (l->attributes & LOOK_BOLD) a |= A_BOLD;
    if (l->attributes & LOOK_REVERSE) a |= A_REVERSE;
    if (l->attributes & LOOK_UNDERLINE) a |= A_UNDERLINE;
    return a;
}

static cchar_t curses_cell(uint32_t code, int pen, const look *l) {
    wchar_t text[2] = { (wchar_t)code, 0 };
    cchar_t out;
    memset(&out, 0, sizeof out);
    setcchar(&out, text, attributes_of(l), (short)(colours ? pen + 1 : 0), NULL);
    return out;
}

/* One cell; a blank that looks like nothing is left out. The background of heat says more than its shade. */
static void show_cell(int row, int col, uint32_t code, int pen, const look *looks) {
    if (pen >= PEN_HEAT && looks[pen].back >= 0) code = ' ';
    if (!code || (code == ' ' && looks[pen].back < 0 && !(looks[pen].attributes & LOOK_REVERSE))) return;
    cchar_t out = curses_cell(code, pen, &looks[pen]);
    mvadd_wch(row, col, &out);
}

void term_show(const canvas *c) {
    look looks[PEN_END];
    int rows, cols;
    for (int pen = 0; pen < PEN_END; pen++) looks[pen] = theme_look(theme, pen, colours);
    term_size(&rows, &cols);
    erase();
    for (int row = 0; row < c->rows && row < rows; row++)
        for (int col = 0; col < c->cols && col < cols; col++) {
            uint32_t pen = c->cell[(int64_t)row * c->cols + col].pen;
            show_cell(row, col, canvas_glyph(c, row, col), pen < PEN_END ? (int)pen : PEN_TEXT, looks);
        }
    refresh();
}

void term_redraw(void) {
    clearok(stdscr, TRUE);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static int translate(int status, wint_t got) {
    if (status == ERR) return TERM_NONE;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].curses == (int)got && (status == KEY_CODE_YES || got < 256)) return keys[i].key;
    return status == KEY_CODE_YES ? TERM_NONE : (int)got;
}

/* The wait is poll()'s, not curses': a terminal that hung up would make getch return at once for ever. */
static int next_code(int milliseconds, wint_t *got) {
    struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
    int status = get_wch(got);
    if (status != ERR || stopped) return status;
    int ready = poll(&in, 1, milliseconds > 0 ? milliseconds : 0);
    status = ready > 0 ? get_wch(got) : ERR;
    if (status == ERR && ready > 0 && in.revents & (POLLHUP | POLLERR | POLLNVAL)) stopped = SIGHUP;
    return status;
}

/* Goes on where it was, on a screen that may have another size. */
static int come_back(void) {
    int rows, cols, old_rows, old_cols;
    continued = 0;
    reset_prog_mode();
    term_size(&old_rows, &old_cols);
    if (term_window(STDOUT_FILENO, &rows, &cols) && (rows != old_rows || cols != old_cols)) resizeterm(rows, cols);
    if (mouse_used) tell(mouse_on, sizeof mouse_on - 1);
    term_redraw();
    return TERM_RESIZE;
}

/* Gives the terminal back, and stops until it is told to go on. */
static int suspend(void) {
    struct sigaction usual = { .sa_handler = SIG_DFL }, own;
    suspended = 0;
    if (mouse_used) tell(mouse_off, sizeof mouse_off - 1);
    endwin();
    sigemptyset(&usual.sa_mask);
    sigaction(SIGTSTP, &usual, &own);
    raise(SIGTSTP);
    sigaction(SIGTSTP, &own, NULL);
    refresh();
    return come_back();
}

/* A report that came with modifiers or of another button is none. */
static int take_report(int code, int col, int row, int down) {
    int button = code & 3;
    if (code & ~(64 | 32 | 3) || col < 1 || row < 1) return TERM_NONE;
    mouse.row = row - 1;
    mouse.col = col - 1;
    if (code & 64) {
        mouse.action = button == 0 ? DO_WHEEL_UP : DO_WHEEL_DOWN;
        return down && button < 2 ? TERM_MOUSE : TERM_NONE;
    }
    if (button != 0 || (code & 32 && !pressed)) return TERM_NONE;
    mouse.action = code & 32 ? DO_DRAG : down ? DO_CLICK : DO_RELEASE;
    pressed = code & 32 || down;
    if (mouse.action == DO_CLICK) {
        mouse.from_row = mouse.row;
        mouse.from_col = mouse.col;
    }
    return TERM_MOUSE;
}

/* What follows "ESC [ <": "button;column;rowM", or m when it was let go. */
static int read_report(void) {
    char text[24] = "";
    int n = 0, code, col, row;
    wint_t got = 0;
    while (n < (int)sizeof text - 1 && next_code(PATIENCE, &got) == OK && got > ' ' && got < 127) {
        text[n++] = (char)got;
        if (got == 'M' || got == 'm') break;
    }
    if (n < 6 || sscanf(text, "%5d;%5d;%5d", &code, &col, &row) != 3 || (got != 'M' && got != 'm')) return TERM_NONE;
    return take_report(code, col, row, got == 'M');
}

int term_key(int milliseconds) {
    wint_t got = 0;
    if (suspended) return suspend();
    if (continued) return come_back();
    int status = next_code(milliseconds, &got);
    if (suspended) return suspend();
    if (status == KEY_CODE_YES && got == MOUSE_CODE) return read_report();
    return translate(status, got);
}

void term_mouse(event *out) {
    *out = mouse;
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
