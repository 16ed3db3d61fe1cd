/* report.c: `pitot report`: what runs wrote, as a figure: the cockpit of one, or several over each other. */

#include "command.h"
#include "figure/figure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_ROOM = 4096 };

typedef struct report {
    figure_run run[FIGURE_RUNS];
    pitot_log *log[FIGURE_RUNS];
    char name[FIGURE_RUNS][128];
    int n;
} report;

/* "lo..hi" numbers only; the whole text. */
static int read_number(const char *text, double lo, double hi, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && *out >= lo && *out <= hi;
}

static int read_size(const char *text, figure_options *o) {
    char *end;
    o->width = strtod(text, &end);
    if (end == text || (*end != 'x' && *end != 'X')) return 0;
    return read_number(end + 1, 0.2, 400, &o->height) && o->width >= 0.2 && o->width <= 400;
}

static int read_screen(const char *name, int *screens) {
    if (!name || strcmp(name, "all") == 0) *screens = FIGURE_PRIMARY | FIGURE_SECONDARY;
    else if (strcmp(name, "primary") == 0) *screens = FIGURE_PRIMARY;
    else if (strcmp(name, "secondary") == 0) *screens = FIGURE_SECONDARY;
    else return 0;
    return 1;
}

static int read_options(const args *a, figure_options *o) {
    const char *size = args_get(a, "--size"), *weight = args_get(a, "--smooth");
    int bad = 0;
    *o = (figure_options){ 0, 0, 0, -1, args_get(a, "--panel"), 0 };
    if (!read_screen(args_get(a, "--screen"), &o->screens))
        return fail_usage("report", "--screen %s: should be primary, secondary or all", args_get(a, "--screen"));
    o->dpi = (double)args_int(a, "--dpi", 150, 10, 2400, &bad);
    if (bad) return EXIT_USAGE;
    if (size && !read_size(size, o))
        return fail_usage("report", "--size %s: should be width x height in inches, such as 12x7.5", size);
    if (weight && !read_number(weight, 0, 0.999999, &o->smooth))
        return fail_usage("report", "--smooth %s: should be a number from 0 (as it is) to below 1", weight);
    return EXIT_DONE;
}

/* ---- paths ----------------------------------------------------------------------------------------------------------- */

/* The run directory of RUN, which may be its events.jsonl; "." if it has no folder in front. */
static void folder_of(const char *run, char *out, size_t size) {
    const char *name = strrchr(run, '/');
    struct stat st;
    size_t n = strlen(run);
    if (stat(run, &st) == 0 && !S_ISDIR(st.st_mode)) n = name ? (size_t)(name - run) : 0;
    while (n > 1 && run[n - 1] == '/') n--;
    snprintf(out, size, "%.*s", n ? (int)n : 1, n ? run : name ? "/" : ".");
}

/* Last part of the folder's name; "." and ".." are looked up. */
static void name_of(const char *folder, char *out, size_t size) {
    char *real = realpath(folder, NULL);
    const char *path = real ? real : folder, *slash = strrchr(path, '/');
    snprintf(out, size, "%.*s", (int)size - 1, slash && slash[1] ? slash + 1 : path);
    free(real);
}

/* The folder, its parent being there. */
static int make_folder(const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return EXIT_DONE;
    return fail("%s: the folder cannot be made: %s", path, strerror(errno));
}

/* Where the figure goes: -o, or figures/report.png in the first run. */
static int output_path(const args *a, char *out, size_t size) {
    char folder[PATH_ROOM];
    if (args_get(a, "-o")) {
        if ((size_t)snprintf(out, size, "%s", args_get(a, "-o")) >= size) return fail("-o: the name is too long");
        return EXIT_DONE;
    }
    folder_of(args_rest_at(a, 0), folder, sizeof folder);
    if ((size_t)snprintf(out, size, "%s/figures", folder) >= size) return fail("%s: the name is too long", folder);
    if (make_folder(out) != EXIT_DONE) return EXIT_FAILED;
    if ((size_t)snprintf(out + strlen(out), size - strlen(out), "/report.png") >= size - strlen(out))
        return fail("%s: the name is too long", folder);
    return EXIT_DONE;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

static int read_run(report *r, const char *run) {
    pitot_error error = { 0 };
    char folder[PATH_ROOM];
    pitot_log *log = pitot_log_open(run, &error);
    if (!log) return fail_error(&error);
    int k = r->n++;
    r->log[k] = log;
    folder_of(run, folder, sizeof folder);
    name_of(folder, r->name[k], sizeof r->name[k]);
    r->run[k] = (figure_run){ r->name[k], log };
    int32_t got;
    while ((got = pitot_log_poll(log, 0, &error)) > 0) continue;
    return got < 0 ? fail_error(&error) : EXIT_DONE;
}

static void warn_damage(const report *r) {
    for (int k = 0; k < r->n; k++) {
        pitot_log_state state = { .struct_size = sizeof state };
        pitot_log_get_state(r->log[k], &state);
        if (state.damaged > 0)
            fprintf(stderr, "pitot: %s/events.jsonl:%lld: %lld damaged lines were left out\n", r->name[k],
                    (long long)state.damaged_at, (long long)state.damaged);
    }
}

static int write_report(const args *a, report *r, const figure_options *o) {
    char path[PATH_ROOM];
    pitot_error error = { 0 };
    int status = EXIT_DONE;
    for (int i = 0; i < args_rest(a) && status == EXIT_DONE; i++) status = read_run(r, args_rest_at(a, i));
    if (status == EXIT_DONE) status = output_path(a, path, sizeof path);
    if (status != EXIT_DONE) return status;
    warn_damage(r);
    if (figure_write(path, r->run, r->n, o, &error) != PITOT_OK) return fail_error(&error);
    return puts(path) < 0 || fflush(stdout) != 0 ? fail("standard output cannot be written") : EXIT_DONE;
}

static int run_report(const args *a) {
    figure_options options;
    int status = read_options(a, &options);
    if (status != EXIT_DONE) return status;
    if (args_rest(a) < 1) return fail_usage("report", "which run?");
    if (args_rest(a) > FIGURE_RUNS) return fail_usage("report", "at most %d runs fit on a page", FIGURE_RUNS);
    report *r = calloc(1, sizeof *r);
    if (!r) return fail("out of memory");
    status = write_report(a, r, &options);
    for (int i = 0; i < r->n; i++) pitot_log_close(r->log[i]);
    free(r);
    return status;
}

static const flag flags[] = {
    { "-o", "FILE", "where to: a name ending in .png, .svg or .pdf (default RUN/figures/report.png)", 0 },
    { "--screen", "NAME", "primary, secondary or all of the cockpit (default all; in a PDF a page each)", 0 },
    { "--panel", "A,B",
      "only these panels, in this order: names as below, or of anything else in the log; NAME@seconds: over the time without "
      "what probes took; NAME@log, NAME@linear: on that scale; NAME@top: runs that diverge leave it at the top",
      0 },
    { "--size", "WxH", "of a page in inches (default 14 wide, of several runs 12, and as high as the panels need)", 0 },
    { "--dpi", "N", "pixels per inch of a PNG (default 150)", 0 },
    { "--smooth", "W", "weight of the past, 0 to 1; 0: no smoothing (default: by the noise of each line)", 0 },
    { NULL, NULL, NULL, 0 },
};

const command command_report = {
    .name = "report",
    .synopsis = "RUN...",
    .summary = "draw runs as a figure: PNG, SVG or PDF",
    .details = "Draws the cockpit of a run: steps, gradients, curvature, settings and performance on the primary screen, noise,\n"
               "batch size and layers on the secondary one, and whatever else was logged. Of several runs it draws everything\n"
               "that they recorded over their steps, over each other. Prints the name of the file.\n\n"
               "Pale lines are the values as they are, dark ones smoothed; values that are not finite are marked at the top and\n"
               "counted. What a run did not log, its panel says with the probes that would fill it.\n\n"
               "panels\n"
               "  alpha, distance, grad_norm, gradient_tests, grad_hist_1d, grad_hist_2d, hess_max_ev, hess_trace, tic, hyper,\n"
               "  performance, mean_gsnr, noise_scale, cabs, early_stopping, grad_norm_layers, update_ratio_layers,\n"
               "  grad_hist_2d_layers\n\n"
               "examples\n"
               "  pitot report runs/a\n"
               "  pitot report runs/a -o cockpit.pdf\n"
               "  pitot report runs/a -o tests.svg --panel gradient_tests --size 6x3\n"
               "  pitot report runs/sgd runs/adam -o compare.pdf --panel loss,val/accuracy --size 6.5x2.5\n"
               "  pitot report runs/sgd runs/adam --panel loss@log@top,loss@seconds@log\n",
    .flags = flags,
    .run = run_report,
};
