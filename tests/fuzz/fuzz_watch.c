/* 10,000 random keys, mouse events and resizes on every page of the viewer, while runs in a folder grow, are cut, damaged, ended and
   deleted, and new ones come: no crash, no cell that is none, no pen that is none. No terminal. The seed is fixed; PITOT_FUZZ_SEED gives
   another, PITOT_FUZZ_SCALE other rounds. */

#include <ftw.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "runs.h"
#include "settings.h"
#include "term/page.h"
#include "term/term.h"
#include "term/theme.h"

enum { ROUNDS = 10000, MOST_RUNS = 14, PATH = 512 };

static uint64_t seed = 0x243f6a8885a308d3u;
static char folder[] = "/tmp/pitot-fuzz-watch-XXXXXX";
static int64_t step_of[MOST_RUNS];
static int made, failures;

static uint64_t draw(uint64_t below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % below;
}

/* ---- runs that change ------------------------------------------------------------------------------------------------ */

static void path_of(char *out, int run, const char *file) {
    snprintf(out, PATH, "%s/%srun%d%s", folder, run % 3 == 1 ? "deep/" : "", run, file);
}

static FILE *open_events(int run, const char *how) {
    char path[PATH];
    path_of(path, run, "/events.jsonl");
    return fopen(path, how);
}

static void add_line(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(0, (const unsigned char *)body, (unsigned)strlen(body)));
}

static int add_value(char *out, size_t room, const char *name) {
    static const double odd[] = { 0, -1, 1e300, -1e300, 5e-324, 1e-9 };
    uint64_t kind = draw(12);
    double v = kind < 6 ? (double)draw(2000) / 1000 - 0.5 : kind < 9 ? odd[draw(6)] : NAN;
    if (isfinite(v)) return snprintf(out, room, ",\"%s\":%.17g", name, v);
    return snprintf(out, room, ",\"%s\":null,\"%s#nf\":\"%s\"", name, name, kind == 9 ? "nan" : kind == 10 ? "inf" : "-inf");
}

static void add_record(FILE *f, int run) {
    static const char *const keys[] = { "loss",
                                        "val/loss",
                                        "val/accuracy",
                                        "grad_norm",
                                        "sharpness",
                                        "alpha",
                                        "update_ratio/a",
                                        "update_ratio/b",
                                        "update_ratio",
                                        "dormant_units",
                                        "noise \\u1234 \\\"x\\\"",
                                        "hess_max_ev",
                                        "inner_test",
                                        "early_stopping" };
    char body[4096];
    int n = snprintf(body, sizeof body, "{\"step\":%lld,\"wall\":%.1f", (long long)step_of[run], 1.7e9 + (double)step_of[run]);
    for (int k = 0; k < 14; k++)
        if (draw(4)) n += add_value(body + n, sizeof body - (size_t)n, keys[k]);
    n += snprintf(body + n, sizeof body - (size_t)n, ",\"grad_hist_1d.counts\":[1,2,%d,null],\"grad_hist_1d.edges\":[-1,0,1,2,3]",
                  run);
    n += snprintf(body + n, sizeof body - (size_t)n,
                  ",\"hess_spectrum.nodes\":[-1,0,%d,9],\"hess_spectrum.weights\":[0.1,0.5,0.2,null],\"hess_spectrum\":3",
                  (int)draw(50));
    add_line(f, body);
    step_of[run] += (int64_t)draw(3) + (draw(500) == 0 ? (int64_t)1 << 40 : 0);
}

static void write_manifest(int run) {
    char path[PATH];
    path_of(path, run, "/run.json");
    FILE *f = fopen(path, "w");
    if (!f) return;
    if (draw(5) == 0) fputs("{\"optimizer\":{\"na", f);
    else
        fprintf(f, "{\"optimizer\":{\"name\":\"%s\",\"options\":{\"lr\":\"0.0%d\",\"%s\":[1,{\"name\":\"x\"}]}},\"batch\":%d}",
                run % 2 ? "sgd" : "ad\\u00e4m", run, run % 4 ? "beta" : "\\n", 1 << run);
    fclose(f);
}

static void make_run(void) {
    char path[PATH];
    if (made == MOST_RUNS) return;
    path_of(path, made, "");
    mkdir(path, 0755);
    write_manifest(made);
    FILE *f = open_events(made, "w");
    if (f) {
        add_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":400,\"wall\":1.7e9");
        fclose(f);
    }
    made++;
}

static void remove_run(int run) {
    char path[PATH];
    path_of(path, run, "/events.jsonl");
    unlink(path);
    path_of(path, run, "/run.json");
    unlink(path);
    path_of(path, run, "");
    rmdir(path);
}

static void change(int run) {
    uint64_t kind = draw(40);
    char path[PATH];
    path_of(path, run, "/events.jsonl");
    FILE *f = kind < 36 ? open_events(run, "a") : NULL;
    if (f && kind < 30)
        for (uint64_t k = 0; k < 1 + draw(20); k++) add_record(f, run);
    else if (f && kind < 33) fputs("{\"step\":7,\"wall\":1,\"loss\":1,\"crc\":\"00000000\"}\n\1\2{]\n", f);
    else if (f && kind < 35) fputs("{\"step\":", f);
    else if (f)
        add_line(f, draw(2) ? "{\"end\":\"done\",\"wall\":1.7e9" : "{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":3,\"wall\":1.7e9");
    if (f) fclose(f);
    if (kind == 36 && truncate(path, (off_t)draw(3000)) == 0) step_of[run] = 0;
    if (kind == 37) write_manifest(run);
    if (kind == 38 && draw(8) == 0) remove_run(run);
    if (kind == 39) make_run();
}

/* ---- what is checked ------------------------------------------------------------------------------------------------- */

static void complain(const char *what, int round) {
    if (failures++ < 10) printf("fuzz_watch: round %d: %s\n", round, what);
}

static void check_canvas(const canvas *c, int rows, int cols, int round) {
    if (c->rows != rows || c->cols != cols) complain("the canvas has another size", round);
    for (int64_t i = 0; i < (int64_t)c->rows * c->cols; i++) {
        if (c->cell[i].pen >= PEN_END) complain("a pen that is none", round);
        if (c->cell[i].code > 0x10ffff || (c->cell[i].code && c->cell[i].code < ' ')) complain("a character that is none", round);
        if (c->cell[i].code == 0 && i % c->cols == 0) complain("the right half of nothing", round);
    }
}

/* ---- what is done ---------------------------------------------------------------------------------------------------- */

static int random_code(void) {
    static const char often[] = "pcLdrahjklgGysvxXi0+-<>,.nmPSFfeT/:?123456789  ";
    uint64_t kind = draw(10);
    if (kind < 5) return often[draw(sizeof often - 1)];
    if (kind < 8) return TERM_UP + (int)draw(TERM_MOUSE - TERM_UP + 1);
    if (kind == 8) return TERM_ENTER;
    return draw(4) ? (int)draw(128) : (int)draw(0x110000);
}

static int act(screen *s, shown *all) {
    int rows = s->canvas.rows, cols = s->canvas.cols;
    if (draw(3)) return screen_key(s, all, random_code());
    event e = { .action = DO_CLICK + (int)draw(5),
                .row = (int)draw((uint64_t)rows + 2) - 1,
                .col = (int)draw((uint64_t)cols + 2) - 1 };
    e.from_row = (int)draw((uint64_t)rows + 1);
    e.from_col = (int)draw((uint64_t)cols + 1);
    return screen_act(s, all, &e);
}

static void choose_size(int *rows, int *cols) {
    uint64_t kind = draw(20);
    if (kind < 12) *rows = 24, *cols = 80;
    else if (kind < 16) *rows = 1 + (int)draw(12), *cols = 1 + (int)draw(40);
    else if (kind < 19) *rows = 1 + (int)draw(70), *cols = 1 + (int)draw(220);
    else *rows = 1 + (int)draw(200), *cols = 1 + (int)draw(500);
}

/* What was kept is read by a screen that knows nothing. */
static void keep(settings *kept, screen *s, runs *r) {
    screen other = { 0 };
    settings found = { 0 };
    settings_write(kept, s, &r->all);
    memcpy(found.path, kept->path, sizeof found.path);
    settings_read(&found, &other, &r->all, 0, 0);
    settings_free(&found);
    screen_free(&other);
}

static void play(runs *r, screen *s, int rounds) {
    settings kept = { 0 };
    int rows = 24, cols = 80, news = 0;
    settings_choose(&kept, folder, 1);
    for (int round = 0; round < rounds; round++) {
        if (draw(4) == 0) change((int)draw((uint64_t)made));
        if (draw(3) == 0) {
            if (draw(50) == 0) r->scanned = -1e9;
            runs_poll(r, draw(2) ? 0 : 1 + (int64_t)draw(4000), &news);
            for (int k = 0; k < r->all.runs; k++) runs_refresh(r, k);
        }
        if (draw(20) == 0) choose_size(&rows, &cols);
        if (draw(300) == 0) s->canvas.ascii = !s->canvas.ascii;
        if (draw(400) == 0) keep(&kept, s, r);
        r->all.now = 1.7e9 + round;
        int again = act(s, &r->all);
        s->file_due = 0;
        if (!again && draw(3)) continue;
        if (screen_draw(s, &r->all, rows, cols) != PITOT_OK) complain("no memory", round);
        else check_canvas(&s->canvas, rows, cols, round);
    }
    settings_free(&kept);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

int main(void) {
    const char *scale = getenv("PITOT_FUZZ_SCALE"), *other = getenv("PITOT_FUZZ_SEED");
    runs r = { 0 };
    screen s = { 0 };
    char deep[PATH];
    if (other) seed ^= strtoull(other, NULL, 10) * 0x9e3779b97f4a7c15u;
    setlocale(LC_CTYPE, "C.UTF-8");
    if (!mkdtemp(folder)) return 1;
    snprintf(deep, sizeof deep, "%s/deep", folder);
    mkdir(deep, 0755);
    for (int k = 0; k < 5; k++) make_run();
    for (int k = 0; k < 200; k++) change((int)draw((uint64_t)made));
    if (runs_open(&r, folder, 0) != 0) return 1;
    if (screen_draw(&s, &r.all, 24, 80) != PITOT_OK) return 1;
    play(&r, &s, (int)(ROUNDS * (scale ? strtod(scale, NULL) : 1)));
    runs_free(&r);
    screen_free(&s);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("fuzz_watch: %d failures\n", failures);
    return failures != 0;
}
