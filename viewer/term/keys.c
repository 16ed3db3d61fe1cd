/* keys.c: see keys.h. The bottom line shows as many as fit, in this order. */

#include "term/keys.h"

#include "term/term.h"

const key key_table[] = {
    { DO_QUIT, { 'q', 'Q' }, "q", "quit", "quit" },
    { DO_HELP, { '?' }, "?", "help", "this help, and back" },
    { DO_ENLARGE, { TERM_ENTER }, "Enter", "enlarge", "the selected panel alone, and back" },
    { DO_GO_BACK, { TERM_ESCAPE }, "Esc", "back", "back to all panels" },
    { DO_LOG, { 'l' }, "l", "log", "logarithmic y axes, and back" },
    { DO_SMOOTH,
      { 's' },
      "s",
      "smooth",
      "smoothed lines over the values, and back; among alarms: silence the selected one's kind" },
    { DO_SPECTRUM, { 'd' }, "d", "density", "spectral density, and back; Left and Right: earlier and later" },
    { DO_ALARMS, { 'a' }, "a", "alarms", "alarms, and back; there Enter shows the panel" },
    { DO_PAGE_ON, { TERM_PAGE_DOWN, TERM_RIGHT, ' ' }, "Right", "page", "next page; PgDn and Space too; enlarged: next panel" },
    { DO_PAGE_BACK, { TERM_PAGE_UP, TERM_LEFT, 'h' }, "Left", NULL, "page before; PgUp and h too; enlarged: panel before" },
    { DO_SELECT_ON, { TERM_DOWN, 'j' }, "Down", "select", "select the next panel; j too" },
    { DO_SELECT_BACK, { TERM_UP, 'k' }, "Up", NULL, "select the panel before; k too" },
    { DO_NEXT_RUN, { TERM_TAB }, "Tab", "next run", "the next run, if several are watched" },
    { DO_LAST_RUN, { TERM_BACK_TAB }, "Shift-Tab", NULL, "the run before" },
    { DO_PANEL, { 0 }, "1-9", NULL, "that panel of the page alone" },
    { DO_FIRST, { TERM_HOME, 'g' }, "Home", NULL, "first page; g too" },
    { DO_LAST, { TERM_END, 'G' }, "End", NULL, "last page; G too" },
    { DO_REDRAW, { 'r', 12 }, "r", NULL, "draw the screen again; Ctrl-L too" },
    { DO_NOTHING, { 0 }, 0, 0, 0 },
};

int key_action(int code) {
    if (code >= '1' && code <= '9') return DO_PANEL;
    if (code <= 0) return DO_NOTHING;
    for (const key *k = key_table; k->action != DO_NOTHING; k++)
        for (int i = 0; i < 5; i++)
            if (k->codes[i] == code) return k->action;
    return DO_NOTHING;
}
