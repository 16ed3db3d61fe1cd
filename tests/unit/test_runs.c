/* Runs of a folder: which are found, what is kept of them, what the page of runs shows and does; settings that outlive a viewer; files
   of the view. */

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>
#include <zlib.h>

#include "export_view.h"
#include "runs.h"
#include "settings.h"
#include "term/page.h"
#include "term/runs_table.h"
#include "term/term.h"
#include "term/theme.h"

enum { PATH = 600 };

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pitot-test-runs-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void add_line(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(0, (const unsigned char *)body, (unsigned)strlen(body)));
}

/* A run of `steps` steps that began at `start`; the loss falls to `loss`. */
static void make_run(const char *name, const char *manifest, int steps, double start, double loss, const char *end) {
    char path[PATH], body[256];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)(slash - name), name);
        mkdir(path, 0755);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/run.json", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(manifest, f);
    fclose(f);
    snprintf(path, sizeof path, "%s/%s/events.jsonl", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    snprintf(body, sizeof body, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"wall\":%.1f", start);
    add_line(f, body);
    for (int i = 0; i < steps; i++) {
        snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%.1f,\"loss\":%.9g,\"val/loss\":%.9g,\"val/accuracy\":0.9", i, start + i,
                 loss + (steps - 1 - i), loss + 0.5 + (i == steps / 2 ? -0.25 : 0));
        add_line(f, body);
    }
    if (end) {
        snprintf(body, sizeof body, "{\"end\":\"%s\",\"wall\":%.1f", end, start + steps);
        add_line(f, body);
    }
    fclose(f);
    struct utimbuf at = { (time_t)start, (time_t)start };
    utime(path, &at);
}

/* A folder that has not changed for long. */
static void grow_old(const char *name) {
    char path[PATH];
    struct utimbuf at = { 1500000000, 1500000000 };
    snprintf(path, sizeof path, "%s/%s", folder, name);
    utime(path, &at);
}

#define SGD "{\"optimizer\":{\"name\":\"sgd\",\"options\":{\"lr\":\"0.1\"}},\"batch\":64,\"seed\":1,\"started\":\"x\"}"
#define ADAM \
    "{\"optimizer\":{\"name\":\"adam\",\"options\":{\"lr\":\"0.02\",\"eps\":\"1e-8\"}},\"batch\":64,\"seed\":1,\"started\":\"y\"}"

static void open_all(runs *r) {
    int news = 0;
    *r = (runs){ 0 };
    assert_int_equal(runs_open(r, folder, 0), 0);
    while (runs_poll(r, 0, &news)) continue;
    r->all.now = 2e9;
}

static int find(const runs *r, const char *name) {
    for (int k = 0; k < r->all.runs; k++)
        if (strcmp(r->all.run[k].name, name) == 0) return k;
    return -1;
}

static void scan_again(runs *r) {
    int news = 0;
    r->scanned = -1e9;
    runs_poll(r, 0, &news);
}

/* ---- folders --------------------------------------------------------------------------------------------------------- */

static void runs_are_found_two_levels_deep(void **state) {
    runs r;
    char path[PATH];
    (void)state;
    make_run("old", SGD, 5, 1.5e9, 1, "done");
    make_run("new", SGD, 5, 1.7e9, 1, "done");
    make_run("deep/middle", ADAM, 5, 1.6e9, 1, "done");
    make_run("a/b/c", ADAM, 5, 1.6e9, 1, "done");
    make_run(".hidden", ADAM, 5, 1.6e9, 1, "done");
    make_run("old/checkpoints", ADAM, 5, 1.6e9, 1, "done");
    snprintf(path, sizeof path, "%s/loop", folder);
    assert_int_equal(symlink(folder, path), 0);
    open_all(&r);
    assert_int_equal(r.all.runs, 3);
    assert_string_equal(r.all.run[0].name, "new");
    assert_string_equal(r.all.run[1].name, "deep/middle");
    assert_string_equal(r.all.run[2].name, "old");
    assert_int_equal(r.all.run[0].pen, PEN_RUN);
    assert_int_equal(r.all.run[2].pen, PEN_RUN + 2);
    runs_free(&r);
}

static void runs_come_and_go(void **state) {
    runs r;
    char path[PATH];
    (void)state;
    make_run("one", SGD, 5, 1.5e9, 1, "done");
    open_all(&r);
    make_run("two", ADAM, 7, 1.6e9, 1, NULL);
    make_run("later/three", ADAM, 7, 1.6e9, 1, NULL);
    scan_again(&r);
    assert_int_equal(r.all.runs, 3);
    snprintf(path, sizeof path, "%s/later/four", folder);
    mkdir(path, 0755);
    scan_again(&r);
    grow_old("later"); /* only the new folder itself tells that it became a run */
    grow_old("");
    scan_again(&r);
    scan_again(&r);
    assert_int_equal(r.all.runs, 3);
    make_run("later/four", ADAM, 3, 1.6e9, 1, NULL);
    scan_again(&r);
    scan_again(&r);
    assert_int_equal(r.all.runs, 4);
    assert_true(find(&r, "later/four") == 3);
    snprintf(path, sizeof path, "%s/one", folder);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    sleep(3); /* a run that has ended is looked at every two seconds */
    scan_again(&r);
    assert_int_equal(r.all.runs, 4);
    int one = find(&r, "one");
    assert_non_null(strstr(r.all.run[one].trouble, "deleted"));
    assert_int_equal(r.all.run[one].panels->n > 0, 1);
    assert_int_equal(r.all.run[one].summary->step, 4);
    runs_free(&r);
}

static void there_is_an_end_to_many(void **state) {
    char path[PATH];
    (void)state;
    for (int k = 0; k < FOLDER_RUNS + 7; k++) {
        snprintf(path, sizeof path, "%s/%d", folder, k);
        mkdir(path, 0755);
        snprintf(path, sizeof path, "%s/%d/run.json", folder, k);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fclose(f);
    }
    grow_old("");
    runs_folder *f = folder_open(folder);
    assert_non_null(f);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(folder_scan(f), FOLDER_RUNS);
        assert_int_equal(folder_left_out(f), 7);
    }
    folder_close(f);
}

static void a_folder_without_runs_is_refused(void **state) {
    runs r = { 0 };
    (void)state;
    assert_int_equal(runs_open(&r, folder, 0), 1);
    runs_free(&r);
}

/* Values are kept of those in sight; the others have their summaries. */
static void little_is_kept_of_many(void **state) {
    runs r;
    int kept = 0, news = 0;
    char name[32];
    (void)state;
    for (int k = 0; k < 30; k++) {
        snprintf(name, sizeof name, "run%02d", k);
        make_run(name, k % 2 ? SGD : ADAM, 20 + k, 1.5e9 + k, k, "done");
    }
    open_all(&r);
    for (int k = 0; k < 30; k++) {
        kept += pitot_log_series_count(r.all.run[k].log) > 0;
        assert_int_equal(r.all.run[k].hidden, k >= RUNS_PLOTTED);
        assert_int_equal(r.all.run[k].unread, 0);
        assert_int_equal(r.all.run[k].summary->step, 19 + 29 - k);
        assert_true(r.all.run[k].summary->best == 29 - k + 0.25);
        assert_true(r.all.run[k].summary->loss == 29 - k);
        assert_int_equal(r.all.run[k].summary->ended, PITOT_LOG_DONE);
    }
    assert_int_equal(kept, RUNS_PLOTTED);
    assert_int_equal(runs_wanting(&r), 0);
    r.all.at = 20;
    assert_int_equal(runs_wanting(&r), 1);
    runs_poll(&r, 0, &news);
    assert_int_equal(runs_wanting(&r), 0);
    assert_true(pitot_log_series_count(r.all.run[20].log) > 0);
    assert_true(r.all.run[20].panels->n > 0);
    r.all.run[25].hidden = 0;
    assert_int_equal(runs_wanting(&r), 1);
    runs_free(&r);
}

static void summaries_tell_states(void **state) {
    runs r;
    (void)state;
    make_run("a", SGD, 5, 1.5e9, 1, "failed");
    make_run("b", SGD, 5, 1.5e9, 1, NULL);
    make_run("c", SGD, 0, 1.5e9, 1, NULL);
    open_all(&r);
    const run_summary *a = r.all.run[find(&r, "a")].summary, *b = r.all.run[find(&r, "b")].summary;
    assert_int_equal(summary_state(a, 2e9), RUN_FAILED);
    assert_int_equal(summary_state(b, 2e9), RUN_SILENT);
    assert_int_equal(summary_state(b, 1.5e9 + 6), RUN_RUNNING);
    assert_true(a->pace == 1);
    assert_int_equal(b->validated, 1);
    run_summary none = { .ended = PITOT_LOG_OPEN };
    assert_int_equal(summary_state(&none, 2e9), RUN_WAITING);
    runs_free(&r);
}

/* ---- manifests ------------------------------------------------------------------------------------------------------- */

static int column_of(const manifests *m, const char *title) {
    for (int k = 0; k < m->columns; k++)
        if (strcmp(m->column[k].title, title) == 0) return k;
    return -1;
}

static void only_what_differs_is_a_column(void **state) {
    static const char *const text[] = {
        SGD, ADAM, "{\"optimizer\":{\"name\":\"sgd\"", "",
        "{\"probes\":[{\"name\":\"loss\",\"every\":\"2\"}],\"batch\":32,\"deep\":[[[[[[[[1]]]]]]]]}"
    };
    manifests m;
    regex_t pattern;
    unsigned char hit[5] = { 0 };
    (void)state;
    assert_int_equal(manifests_make(text, 2, &m), PITOT_OK);
    assert_int_equal(m.columns, 3);
    assert_string_equal(m.column[0].title, "optimizer");
    assert_string_equal(m.column[1].title, "lr");
    assert_string_equal(m.column[2].title, "eps");
    assert_string_equal(manifests_value(&m, 1, 1), "0.02");
    assert_string_equal(manifests_value(&m, 0, 2), "");
    assert_int_equal(m.column[0].numeric, 0);
    assert_int_equal(m.column[1].numeric, 1);
    manifests_free(&m);
    assert_int_equal(manifests_make(text, 5, &m), PITOT_OK);
    assert_true(column_of(&m, "batch") >= 0);
    assert_true(column_of(&m, "loss.every") >= 0);
    assert_int_equal(column_of(&m, "started"), -1);
    assert_string_equal(manifests_value(&m, 2, column_of(&m, "batch")), "");
    assert_int_equal(regcomp(&pattern, "lr=0\\.1$", REG_EXTENDED | REG_NOSUB), 0);
    manifests_match(&m, &pattern, hit);
    regfree(&pattern);
    assert_true(hit[0] && !hit[1] && !hit[2] && !hit[4]);
    manifests_free(&m);
}

/* ---- the page -------------------------------------------------------------------------------------------------------- */

static void row_text(const screen *s, int row, char *out) {
    canvas_row(&s->canvas, row, out);
}

static int line_with(const screen *s, const char *text) {
    char line[4096];
    for (int row = 0; row < s->canvas.rows; row++) {
        row_text(s, row, line);
        if (strstr(line, text)) return row;
    }
    return -1;
}

static void open_page(runs *r, screen *s) {
    make_run("sgd", SGD, 5, 1.5e9, 3, "done");
    make_run("adam", ADAM, 50, 1.6e9, 1, "failed");
    make_run("third", SGD, 9, 1.4e9, 2, NULL);
    open_all(r);
    *s = (screen){ .canvas.ascii = 1 };
    assert_int_equal(screen_open(s, "runs"), 1);
    assert_int_equal(screen_draw(s, &r->all, 24, 100), PITOT_OK);
}

static void press(screen *s, shown *all, const char *keys) {
    for (; *keys; keys++) screen_key(s, all, *keys == '\n' ? TERM_ENTER : *keys);
    assert_int_equal(screen_draw(s, all, 24, 100), PITOT_OK);
}

static void the_table_says_what_runs_are(void **state) {
    runs r;
    screen s;
    char line[4096];
    (void)state;
    open_page(&r, &s);
    row_text(&s, 1, line);
    assert_string_equal(line, "  run    state          step  loss  best  val acc  time  optimizer    lr   eps");
    row_text(&s, 2, line);
    assert_string_equal(line, "* adam   failed           49     1  1.25      0.9  50 s  adam       0.02  1e-8");
    assert_int_equal(line_with(&s, "* sgd    done              4     3  3.25      0.9   5 s  sgd         0.1"), 3);
    assert_int_equal(line_with(&s, "* third  silent"), 4);
    screen_free(&s);
    runs_free(&r);
}

static void keys_sort_filter_hide_and_pin(void **state) {
    runs r;
    screen s;
    (void)state;
    open_page(&r, &s);
    press(&s, &r.all, "s");
    assert_int_equal(line_with(&s, "* adam"), 2);
    assert_int_equal(line_with(&s, "runv"), 1);
    press(&s, &r.all, "sss");
    assert_int_equal(line_with(&s, "* third"), 3);
    press(&s, &r.all, "S");
    assert_int_equal(line_with(&s, "* sgd"), 2);
    assert_int_equal(line_with(&s, "loss^"), 1);
    press(&s, &r.all, "Flr=0.1$\n");
    assert_int_equal(line_with(&s, "adam "), 0);
    assert_int_equal(line_with(&s, "* third"), 3);
    press(&s, &r.all, "F(\n");
    assert_true(line_with(&s, "(: ") >= 0);
    press(&s, &r.all, "F\x15nothing\n");
    assert_true(line_with(&s, "no run matches") >= 0);
    press(&s, &r.all, "F\n");
    r.all.at = find(&r, "sgd");
    press(&s, &r.all, " P");
    assert_int_equal(shown_at(&r.all)->hidden, 1);
    assert_int_equal(shown_at(&r.all)->pinned, 1);
    assert_true(line_with(&s, "# sgd") > 0);
    press(&s, &r.all, "P");
    assert_int_equal(line_with(&s, "* sgd"), -1);
    press(&s, &r.all, "\n");
    assert_string_equal(page_by_rank(s.page)->name, "plots");
    screen_free(&s);
    runs_free(&r);
}

static void what_has_no_value_stands_last(void **state) {
    runs r;
    screen s;
    (void)state;
    open_page(&r, &s);
    press(&s, &r.all, "ssssssssss");
    assert_int_equal(line_with(&s, "epsv"), 1);
    assert_int_equal(line_with(&s, "* adam"), 2);
    press(&s, &r.all, "S");
    assert_int_equal(line_with(&s, "* adam"), 2);
    press(&s, &r.all, "s");
    assert_int_equal(line_with(&s, "eps^"), -1);
    screen_free(&s);
    runs_free(&r);
}

/* It is longer than the screen. */
static void help_can_be_scrolled(void **state) {
    runs r;
    screen s;
    (void)state;
    open_page(&r, &s);
    press(&s, &r.all, "?");
    assert_int_equal(line_with(&s, "runs  "), 1);
    assert_int_equal(line_with(&s, "Mouse"), -1);
    press(&s, &r.all, "j");
    assert_int_equal(line_with(&s, "Enter"), 1);
    for (int k = 0; k < 9; k++) screen_key(&s, &r.all, TERM_PAGE_DOWN);
    press(&s, &r.all, "");
    assert_int_equal(line_with(&s, "Mouse"), 21);
    press(&s, &r.all, "k");
    assert_int_equal(line_with(&s, "Mouse"), -1);
    press(&s, &r.all, "x");
    assert_true(line_with(&s, "* adam") > 0);
    screen_free(&s);
    runs_free(&r);
}

static event mouse_at(int action, int row, int col) {
    return (event){ .action = action, .row = row, .col = col };
}

static void the_mouse_selects_and_sorts(void **state) {
    runs r;
    screen s;
    (void)state;
    open_page(&r, &s);
    event e = mouse_at(DO_CLICK, 4, 5);
    assert_int_equal(screen_act(&s, &r.all, &e), 1);
    assert_int_equal(r.all.at, find(&r, "third"));
    e = mouse_at(DO_WHEEL_UP, 4, 5);
    screen_act(&s, &r.all, &e);
    assert_int_equal(r.all.at, find(&r, "adam"));
    e = mouse_at(DO_CLICK, 3, 0);
    screen_act(&s, &r.all, &e);
    assert_int_equal(r.all.at, find(&r, "sgd"));
    assert_int_equal(r.all.run[r.all.at].hidden, 1);
    e = mouse_at(DO_CLICK, 1, 31);
    screen_act(&s, &r.all, &e);
    press(&s, &r.all, "");
    assert_int_equal(line_with(&s, "lossv"), 1);
    e = mouse_at(DO_CLICK, 20, 5);
    screen_act(&s, &r.all, &e);
    assert_int_equal(r.all.at, find(&r, "sgd"));
    e = mouse_at(DO_CLICK, line_with(&s, "  sgd    done"), 5);
    screen_act(&s, &r.all, &e);
    assert_string_equal(page_by_rank(s.page)->name, "plots");
    screen_free(&s);
    runs_free(&r);
}

static void every_size_is_drawn(void **state) {
    runs r;
    screen s;
    (void)state;
    open_page(&r, &s);
    for (int rows = 1; rows <= 40; rows++)
        for (int cols = 1; cols <= 120; cols += cols < 30 ? 1 : 7) {
            assert_int_equal(screen_draw(&s, &r.all, rows, cols), PITOT_OK);
            event e = mouse_at(DO_CLICK, rows - 1, cols - 1);
            screen_act(&s, &r.all, &e);
            screen_open(&s, "runs");
        }
    screen_free(&s);
    runs_free(&r);
}

/* ---- settings -------------------------------------------------------------------------------------------------------- */

static void settings_outlive_a_viewer(void **state) {
    runs r;
    screen s;
    settings kept = { 0 }, found = { 0 };
    char path[PATH];
    (void)state;
    open_page(&r, &s);
    settings_choose(&kept, folder, 1);
    snprintf(path, sizeof path, "%s/.pitot-watch.json", folder);
    assert_string_equal(kept.path[0], path);
    settings_write(&kept, &s, &r.all);
    assert_int_equal(access(path, F_OK), -1);
    press(&s, &r.all, "sSFsgd|third\nTT");
    r.all.at = find(&r, "sgd");
    press(&s, &r.all, " P");
    settings_write(&kept, &s, &r.all);
    assert_int_equal(access(path, F_OK), 0);
    screen_free(&s);
    runs_free(&r);
    open_all(&r);
    s = (screen){ .canvas.ascii = 1 };
    memcpy(found.path, kept.path, sizeof found.path);
    settings_read(&found, &s, &r.all, 0, 0);
    assert_int_equal(s.theme, THEME_CONTRAST);
    assert_string_equal(page_by_rank(s.page)->name, "runs");
    assert_int_equal(r.all.run[find(&r, "sgd")].hidden, 1);
    assert_int_equal(r.all.run[find(&r, "sgd")].pinned, 1);
    assert_int_equal(r.all.run[find(&r, "third")].hidden, 0);
    press(&s, &r.all, "");
    assert_int_equal(line_with(&s, "run^"), 1);
    assert_int_equal(line_with(&s, "adam  failed"), 0);
    settings_free(&kept);
    settings_free(&found);
    screen_free(&s);
    runs_free(&r);
}

static void write_settings(const char *text) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/.pitot-watch.json", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void damaged_settings_are_left_out(void **state) {
    static const char *const bad[] = { "",
                                       "{",
                                       "[]",
                                       "7",
                                       "{}x",
                                       "{\"theme\":3,\"page\":[],\"pages\":7,\"hidden\":{\"a\":1},\"pinned\":[1,null]}",
                                       "{\"pages\":{\"runs\":{\"sort\":1e300,\"filter\":4,\"reverse\":\"x\"}},\"page\":\"../x\"}" };
    runs r;
    (void)state;
    make_run("sgd", SGD, 5, 1.5e9, 3, "done");
    open_all(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        screen s = { 0 };
        settings found = { 0 };
        write_settings(bad[i]);
        settings_choose(&found, folder, 1);
        settings_read(&found, &s, &r.all, 0, 0);
        assert_int_equal(strstr(s.note, "damaged") != NULL, i < 5);
        assert_int_equal(s.theme, THEME_DARK);
        assert_int_equal(s.page, 0);
        assert_int_equal(r.all.run[0].hidden, 0);
        assert_int_equal(screen_draw(&s, &r.all, 24, 80), PITOT_OK);
        settings_free(&found);
        screen_free(&s);
    }
    runs_free(&r);
}

/* Where the folder cannot be written, the state folder takes them; where there is none, nothing happens. */
static void settings_that_cannot_be_kept_there(void **state) {
    settings kept = { 0 }, found = { 0 };
    runs r;
    screen s;
    char home[PATH];
    (void)state;
    open_page(&r, &s);
    snprintf(home, sizeof home, "%s/state", folder);
    mkdir(home, 0755);
    setenv("XDG_STATE_HOME", home, 1);
    settings_choose(&kept, folder, 1);
    unsetenv("XDG_STATE_HOME");
    snprintf(kept.path[0], sizeof kept.path[0], "%s/missing/x.json", folder);
    settings_write(&kept, &s, &r.all);
    press(&s, &r.all, "T");
    settings_write(&kept, &s, &r.all);
    assert_int_equal(access(kept.path[1], F_OK), 0);
    memcpy(found.path, kept.path, sizeof found.path);
    s.theme = THEME_DARK;
    settings_read(&found, &s, &r.all, 0, 0);
    assert_int_equal(s.theme, THEME_LIGHT);
    settings_free(&found);
    *kept.path[1] = 0;
    press(&s, &r.all, "T");
    settings_write(&kept, &s, &r.all);
    settings_free(&kept);
    screen_free(&s);
    runs_free(&r);
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

static int64_t size_of(const char *name) {
    char path[PATH];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static int32_t export_to(screen *s, runs *r, const char *name, pitot_error *error) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *error = (pitot_error){ 0 };
    return export_view(path, s, &r->all, error);
}

static void the_view_is_written(void **state) {
    static const char *const ends[] = { "a.png", "a.svg", "a.pdf", "a.txt" };
    runs r;
    screen s;
    pitot_error error;
    char path[PATH], line[256];
    int lines = 0, first = 0;
    (void)state;
    open_page(&r, &s);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(export_to(&s, &r, ends[i], &error), PITOT_OK);
        assert_true(size_of(ends[i]) > 100);
    }
    assert_int_equal(export_to(&s, &r, "a.csv", &error), PITOT_OK);
    snprintf(path, sizeof path, "%s/a.csv", folder);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, "run,state,step,loss,best,val acc,time,optimizer.name,optimizer.options.lr,optimizer.options.eps\n");
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, "adam,failed,49,1,1.25,0.9,50 s,adam,0.02,1e-8\n");
    fclose(f);
    assert_int_equal(export_to(&s, &r, "a", &error), PITOT_EINVAL);
    assert_true(export_to(&s, &r, "no/a.txt", &error) < 0);
    assert_true(error.text[0] != 0);
    press(&s, &r.all, "a");
    assert_int_equal(export_to(&s, &r, "b.csv", &error), PITOT_EINVAL);
    press(&s, &r.all, "p");
    assert_int_equal(export_to(&s, &r, "b.png", &error), PITOT_OK);
    r.all.run[find(&r, "third")].hidden = 1;
    assert_int_equal(export_to(&s, &r, "b.csv", &error), PITOT_OK);
    snprintf(path, sizeof path, "%s/b.csv", folder);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        lines++;
        first |= strcmp(line, "adam,loss,0,1600000000,50\n") == 0;
        assert_null(strstr(line, "third"));
    }
    fclose(f);
    assert_int_equal(lines, 1 + 3 * (50 + 5));
    assert_int_equal(first, 1);
    assert_int_equal(size_of("b.csv.part"), -1);
    screen_free(&s);
    runs_free(&r);
}

static void e_asks_for_a_name(void **state) {
    runs r;
    screen s;
    (void)state;
    open_page(&r, &s);
    press(&s, &r.all, "e");
    assert_true(line_with(&s, "write to: adam-runs.png") > 0);
    press(&s, &r.all, "\x15x.txt\n");
    assert_int_equal(s.file_due, 1);
    assert_int_equal(s.file_sure, 0);
    assert_string_equal(s.file, "x.txt");
    s.file_due = 0;
    screen_propose(&s, DO_OVERWRITE, "?", "n");
    press(&s, &r.all, "\n");
    assert_int_equal(s.file_due, 0);
    screen_propose(&s, DO_OVERWRITE, "?", "n");
    press(&s, &r.all, "\x15y\n");
    assert_int_equal(s.file_due && s.file_sure, 1);
    screen_free(&s);
    runs_free(&r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(runs_are_found_two_levels_deep),
        CASE(runs_come_and_go),
        CASE(there_is_an_end_to_many),
        CASE(a_folder_without_runs_is_refused),
        CASE(little_is_kept_of_many),
        CASE(summaries_tell_states),
        CASE(only_what_differs_is_a_column),
        CASE(the_table_says_what_runs_are),
        CASE(keys_sort_filter_hide_and_pin),
        CASE(what_has_no_value_stands_last),
        CASE(help_can_be_scrolled),
        CASE(the_mouse_selects_and_sorts),
        CASE(every_size_is_drawn),
        CASE(settings_outlive_a_viewer),
        CASE(damaged_settings_are_left_out),
        CASE(settings_that_cannot_be_kept_there),
        CASE(the_view_is_written),
        CASE(e_asks_for_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
