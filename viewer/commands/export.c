/* export.c: `pitot export`: a run's values for other programs: a table as CSV, or TensorBoard's event file. */

#include "command.h"
#include "export.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, BUDGET = 8 << 20 /* bytes of the log between looks at the clock */ };

typedef struct export_job {
    const char *run;
    char folder[PATH_ROOM];
    char path[PATH_ROOM]; /* "-": standard output */
    char part[PATH_ROOM]; /* what is written until it is whole; as `path` if that is no regular file */
    pitot_log *log;
    export_table table;
    int events; /* a TensorBoard file, not CSV */
} export_job;

/* ---- paths ----------------------------------------------------------------------------------------------------------- */

static int is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* "folder/name" in `out`. */
static int join(char *out, const char *folder, const char *name) {
    size_t n = strlen(folder);
    const char *between = n && folder[n - 1] == '/' ? "" : "/";
    if (snprintf(out, PATH_ROOM, "%s%s%s", folder, between, name) >= PATH_ROOM)
        return fail("%.200s...: the name is too long", folder);
    return EXIT_DONE;
}

/* The run directory of RUN, which may be its events.jsonl. */
static int find_folder(export_job *j) {
    const char *slash = strrchr(j->run, '/');
    int n = is_folder(j->run) ? (int)strlen(j->run) : slash ? (int)(slash - j->run) + 1 : 0;
    if (snprintf(j->folder, sizeof j->folder, "%.*s", n ? n : 1, n ? j->run : ".") >= PATH_ROOM)
        return fail("%.200s...: the name is too long", j->run);
    return EXIT_DONE;
}

static int make_folder(const char *path) {
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && is_folder(path))) return EXIT_DONE;
    return fail("%s: the folder cannot be made: %s", path, strerror(errno));
}

/* events.out.tfevents.TIME.HOST of the run's beginning, so that exporting again replaces the file and does not add a second one. */
static int events_path(export_job *j, const char *out, double start) {
    char folder[PATH_ROOM], host[128] = "", name[256];
    int status = out ? EXIT_DONE : join(folder, j->folder, "tfevents");
    if (status != EXIT_DONE || make_folder(out ? out : folder) != EXIT_DONE) return EXIT_FAILED;
    if (gethostname(host, sizeof host - 1) != 0 || !*host) snprintf(host, sizeof host, "localhost");
    snprintf(name, sizeof name, "events.out.tfevents.%010.0f.%s", start >= 0 && start < 1e10 ? floor(start) : 0, host);
    return join(j->path, out ? out : folder, name);
}

static int csv_path(export_job *j, const char *out) {
    if (!out) return join(j->path, j->folder, "export.csv");
    if (snprintf(j->path, sizeof j->path, "%s", out) >= PATH_ROOM) return fail("-o: the name is too long");
    return is_folder(out) ? fail("-o %s: is a folder; give a file", out) : EXIT_DONE;
}

/* Is `path` one of the run's own files? Writing there would end the run. */
static int is_of_run(const export_job *j, const char *path) {
    static const char *const names[] = { "events.jsonl", "run.json", "model.json" };
    char own[PATH_ROOM];
    struct stat a, b;
    if (stat(path, &a) != 0) return 0;
    if (stat(j->run, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) return 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (join(own, j->folder, names[i]) == EXIT_DONE && stat(own, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return 1;
    return 0;
}

static int choose_path(export_job *j, const char *out, double start) {
    struct stat st;
    int status = j->events ? events_path(j, out, start) : csv_path(j, out);
    if (status != EXIT_DONE) return status;
    if (is_of_run(j, j->path)) return fail("-o %s: is a file of the run itself; give another one", j->path);
    int special = strcmp(j->path, "-") == 0 || (stat(j->path, &st) == 0 && !S_ISREG(st.st_mode));
    if (snprintf(j->part, sizeof j->part, "%s%s", j->path, special ? "" : ".part") >= PATH_ROOM)
        return fail("-o: the name is too long");
    return EXIT_DONE;
}

/* ---- reading and writing --------------------------------------------------------------------------------------------- */

static double size_of_events(const export_job *j) {
    char path[PATH_ROOM];
    struct stat st;
    if (is_folder(j->run) ? join(path, j->folder, "events.jsonl") != EXIT_DONE || stat(path, &st) != 0 : stat(j->run, &st) != 0)
        return 0;
    return (double)st.st_size;
}

static int read_run(export_job *j, pitot_log_state *state) {
    pitot_error error = { 0 };
    progress_line line;
    double start = export_clock(), all = size_of_events(j);
    int32_t got;
    j->log = pitot_log_open(j->run, &error);
    if (!j->log) return fail_error(&error);
    progress_start(&line);
    while ((got = pitot_log_poll(j->log, BUDGET, &error)) > 0) {
        pitot_log_get_state(j->log, state);
        double done = (double)state->bytes, rate = done / (export_clock() - start + 1e-9);
        progress_show(&line, "bytes read", done, fmax(done, all), rate, fmax(0, all - done) / rate);
    }
    progress_end(&line);
    pitot_log_get_state(j->log, state);
    if (state->damaged > 0)
        fprintf(stderr, "pitot: %s: %lld damaged lines were left out, the first is line %lld of events.jsonl\n", j->run,
                (long long)state->damaged, (long long)state->damaged_at);
    return got < 0 ? fail_error(&error) : EXIT_DONE;
}

/* Only a whole file gets its name. */
static int write_file(export_job *j, double start) {
    int standard = strcmp(j->path, "-") == 0, moved = strcmp(j->part, j->path) != 0, good;
    FILE *out = standard ? stdout : fopen(j->part, "wb");
    if (!out) return fail("%s: cannot be written: %s", j->part, strerror(errno));
    errno = 0;
    good = j->events ? export_tfevents(&j->table, out, start) : export_csv(&j->table, out);
    good = fflush(out) == 0 && good;
    int why = errno;
    if (!standard && fclose(out) != 0 && good) good = 0, why = errno;
    if (good && moved && rename(j->part, j->path) != 0) good = 0, why = errno;
    if (good)
        return standard || (puts(j->path) >= 0 && fflush(stdout) == 0) ? EXIT_DONE : fail("standard output cannot be written");
    if (moved) unlink(j->part);
    return fail("%s: cannot be written: %s", standard ? "standard output" : j->path, why ? strerror(why) : "is the disk full?");
}

static int run_job(export_job *j, const char *out) {
    pitot_log_state state = { .struct_size = sizeof state };
    int status = find_folder(j);
    if (status == EXIT_DONE) status = read_run(j, &state);
    if (status != EXIT_DONE) return status;
    if (export_table_make(j->log, &j->table) != PITOT_OK) return fail("export: out of memory");
    if (j->table.all == 0 && !(j->events && pitot_log_list_count(j->log))) return fail("%s: has no values to export yet", j->run);
    status = choose_path(j, out, state.first_wall);
    return status == EXIT_DONE ? write_file(j, state.first_wall) : status;
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static int run_export(const args *a) {
    int csv = args_get(a, "--csv") != NULL, events = args_get(a, "--tfevents") != NULL, status;
    const char *out = args_get(a, "-o");
    if (csv && events) return fail_usage("export", "--csv and --tfevents exclude each other");
    if (!csv && !events) return fail_usage("export", "as what? give --csv or --tfevents");
    if (args_rest(a) < 1) return fail_usage("export", "which run?");
    if (args_rest(a) > 1) return fail_usage("export", "one run at a time");
    if (out && !*out) return fail_usage("export", "-o: the name is empty");
    if (events && out && strcmp(out, "-") == 0)
        return fail_usage("export", "--tfevents writes a file of its own name: give -o a folder");
    export_job *j = calloc(1, sizeof *j);
    if (!j) return fail("export: out of memory");
    j->run = args_rest_at(a, 0);
    j->events = events;
    status = run_job(j, out);
    export_table_free(&j->table);
    pitot_log_close(j->log);
    free(j);
    return status;
}

static const flag flags[] = {
    { "--csv", NULL, "one table: step, wall, and a column for every scalar", 0 },
    { "--tfevents", NULL, "an event file that TensorBoard opens: scalars and one-dimensional histograms", 0 },
    { "-o", "PATH", "of CSV the file, - for standard output (default RUN/export.csv); of events the folder (default RUN/tfevents)",
      0 },
    { NULL, NULL, NULL, 0 },
};

const command command_export = {
    .name = "export",
    .synopsis = "RUN",
    .summary = "a run's values as CSV, or for TensorBoard",
    .details =
        "Writes what a run has logged so far and prints the name of the file. RUN is a run directory, or an events.jsonl.\n\n"
        "CSV: a row for every step, in order; an empty field where a scalar has no value at a step; nan, inf and -inf where it\n"
        "has one that is not finite; wall is the time of the step's last record, in seconds since 1970. Numbers read back as\n"
        "the same doubles. Names are quoted as RFC 4180 says. Lists (histograms) are not in the table.\n"
        "TensorBoard keeps scalars in single precision; moments of histograms are those of the bins' middles.\n\n"
        "examples\n"
        "  pitot export runs/a --csv                     runs/a/export.csv, for pandas.read_csv\n"
        "  pitot export runs/a --csv -o - | head\n"
        "  pitot export runs/a --tfevents                runs/a/tfevents/, for tensorboard --logdir runs/a\n",
    .flags = flags,
    .run = run_export,
};
