/* doctor.c: `pitot doctor`: what this machine gives, what is missing, and the line that mends it. */

#include "command.h"
#include "self.h"

#include <cairo.h>
#include <cjson/cJSON.h>
#include <curses.h>
#include <langinfo.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>
#include <zlib.h>

typedef struct finding {
    const char *what;
    char value[200];
    const char *mend; /* NULL: all is well */
} finding;

enum { MOST = 24 };

typedef struct findings {
    int n;
    finding of[MOST];
} findings;

static finding *note(findings *f, const char *what, const char *value) {
    finding *n = &f->of[f->n++];
    n->what = what;
    snprintf(n->value, sizeof n->value, "%s", value);
    return n;
}

static void look_at_blas(findings *f) {
    pitot_blas blas = { .struct_size = sizeof blas };
    char text[128];
    pitot_blas_describe(&blas);
    note(f, "blas", blas.version)->mend =
        strcmp(blas.version, "unknown") ? NULL : "apt-get install libopenblas-openmp-dev, then make clean all";
    note(f, "blas core", blas.core)->mend =
        pitot_blas_better_core() ? "export OPENBLAS_CORETYPE=SkylakeX: this processor has AVX-512" : NULL;
    note(f, "blas threading", blas.threading)->mend =
        strcmp(blas.threading, "pthread")
            ? NULL
            : "apt-get install libopenblas-openmp-dev: samples side by side run at half speed with this build";
    snprintf(text, sizeof text, "%lld", (long long)blas.threads);
    note(f, "threads", text);
    snprintf(text, sizeof text, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    note(f, "processors", text);
    snprintf(text, sizeof text, "%.0f GFLOP/s (%s, 1536 x 1536)", pitot_blas_speed(1536, 5),
             pitot_real_size() == 8 ? "double" : "float");
    note(f, "matrix product", text);
    snprintf(text, sizeof text, "%.1f GB", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE) / 1e9);
    note(f, "memory", text);
}

static void look_at_terminal(findings *f) {
    const char *name = getenv("TERM");
    char text[160];
    int error = 0, good = name && isatty(STDOUT_FILENO) && setupterm(name, STDOUT_FILENO, &error) == OK;
    struct winsize w = { 0 };
    if (!isatty(STDOUT_FILENO)) snprintf(text, sizeof text, "none (standard output is not one)");
    else if (!good) snprintf(text, sizeof text, "%s (unknown here)", name ? name : "TERM is not set");
    else {
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
        snprintf(text, sizeof text, "%s, %d colours, %d x %d", name, tigetnum("colors"), w.ws_col, w.ws_row);
    }
    note(f, "terminal", text)->mend =
        isatty(STDOUT_FILENO) && !good ? "export TERM=xterm-256color, or apt-get install ncurses-term" : NULL;
    int utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    note(f, "characters", nl_langinfo(CODESET))->mend =
        utf8 ? NULL : "export LC_ALL=C.UTF-8 for braille plots; ASCII is drawn until then";
}

static void look_at_figures(findings *f) {
    char text[160];
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 64, 32);
    cairo_t *c = cairo_create(s);
    cairo_text_extents_t e;
    cairo_select_font_face(c, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_text_extents(c, "pitot", &e);
    note(f, "fonts", e.width > 0 ? "there are some" : "none")->mend = e.width > 0 ? NULL : "apt-get install fonts-dejavu-core";
    cairo_destroy(c);
    cairo_surface_destroy(s);
    snprintf(text, sizeof text, "cairo %s, libpng %s, zlib %s, cJSON %s, ncurses %s", cairo_version_string(),
             png_get_libpng_ver(NULL), zlibVersion(), cJSON_Version(), curses_version());
    note(f, "libraries", text);
}

static void look_at_self(findings *f) {
    char text[200];
    snprintf(text, sizeof text, "%s (%s), %s", pitot_version(), pitot_real_size() == 8 ? "double" : "float", self_path());
    note(f, "pitot", text);
    char other[4200];
    snprintf(other, sizeof other, "%s_d", self_path());
    if (pitot_real_size() == 4)
        note(f, "double build", access(other, X_OK) == 0 ? "beside it" : "missing")->mend =
            access(other, X_OK) == 0 ? NULL : "make all: --precision double needs it";
}

static int print_json(const findings *f) {
    cJSON *root = cJSON_CreateObject();
    for (int i = 0; i < f->n; i++) {
        cJSON *j = cJSON_AddObjectToObject(root, f->of[i].what);
        cJSON_AddStringToObject(j, "value", f->of[i].value);
        if (f->of[i].mend) cJSON_AddStringToObject(j, "mend", f->of[i].mend);
    }
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text) return fail("out of memory");
    puts(text);
    cJSON_free(text);
    return EXIT_DONE;
}

static int run(const args *a) {
    findings f = { 0 };
    look_at_self(&f);
    look_at_blas(&f);
    look_at_terminal(&f);
    look_at_figures(&f);
    if (args_get(a, "--json")) return print_json(&f);
    for (int i = 0; i < f.n; i++) {
        printf("%s %-16s %s\n", f.of[i].mend ? "!" : " ", f.of[i].what, f.of[i].value);
        if (f.of[i].mend) printf("  %-16s %s\n", "", f.of[i].mend);
    }
    return EXIT_DONE;
}

static const flag flags[] = {
    { "--json", NULL, "for programs", 0 },
    { 0 },
};

const command command_doctor = {
    .name = "doctor",
    .synopsis = "",
    .summary = "what this machine gives, what is missing, and the line that mends it",
    .flags = flags,
    .run = run,
};
