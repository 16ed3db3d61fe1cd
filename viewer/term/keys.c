/* keys.c: see keys.h. The bottom line shows as many as fit, in this order. */

#include "term/keys.h"

#include <stddef.h>

#include "term/term.h"

const key key_table[] = {
    { DO_QUIT, { 'q', 'Q' }, "q", "quit", "quit" },
    { DO_HELP, { '?' }, "?", "help", "this help, and back" },
    { DO_GO_BACK, { TERM_ESCAPE }, "Esc", "back", "back to where one came from" },
    { DO_UP, { TERM_UP, 'k' }, "Up", NULL, "up; k too" },
    { DO_DOWN, { TERM_DOWN, 'j' }, "Down", NULL, "down; j too" },
    { DO_LEFT, { TERM_LEFT, 'h' }, "Left", NULL, "left; h too" },
    { DO_RIGHT, { TERM_RIGHT, 'l' }, "Right", NULL, "right; l too" },
    { DO_ENTER, { TERM_ENTER }, "Enter", NULL, "what is selected, alone or in full, and back" },
    { DO_PAGE_DOWN, { TERM_PAGE_DOWN, ' ' }, "PgDn", NULL, "a page on; Space too" },
    { DO_PAGE_UP, { TERM_PAGE_UP }, "PgUp", NULL, "a page back" },
    { DO_FIRST, { TERM_HOME, 'g' }, "Home", NULL, "to the first; g too" },
    { DO_LAST, { TERM_END, 'G' }, "End", NULL, "to the last; G too" },
    { DO_NEXT_RUN, { TERM_TAB }, "Tab", "next run", "the next run, if several are watched" },
    { DO_LAST_RUN, { TERM_BACK_TAB }, "Shift-Tab", NULL, "the run before" },
    { DO_EXPORT, { 'e' }, "e", NULL, "write the view to a file: .png, .svg, .pdf, .csv (its values) or .txt (the frame)" },
    { DO_THEME, { 'T' }, "T", NULL, "next theme: dark, light, high-contrast, colour-blind, mono" },
    { DO_REDRAW, { 12 }, "Ctrl-L", NULL, "draw the screen again" },
    { DO_CLICK, { 0 }, "Mouse", NULL, "a click selects or opens, the wheel scrolls; with Shift the terminal selects text" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

int key_find(const key *table, int code) {
    if (code <= 0) return DO_NOTHING;
    for (const key *k = table; k && k->action != DO_NOTHING; k++)
        for (int i = 0; i < 5; i++)
            if (k->codes[i] == code) return k->action;
    return DO_NOTHING;
}
