/* settings.c: see settings.h. */

#include "settings.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "term/page.h"
#include "term/theme.h"

#define FILE_NAME ".pitot-watch.json"

/* ---- values ---------------------------------------------------------------------------------------------------------- */

int settings_int(const cJSON *from, const char *name, int otherwise, int lo, int hi) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, name);
    if (cJSON_IsBool(v)) return cJSON_IsTrue(v) && hi >= 1 ? 1 : lo > 0 ? lo : 0;
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= lo && v->valuedouble <= hi)) return otherwise;
    return (int)v->valuedouble;
}

void settings_text(const cJSON *from, const char *name, char *out, size_t size) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, name);
    if (cJSON_IsString(v) && strlen(v->valuestring) < size) snprintf(out, size, "%s", v->valuestring);
}

/* ---- places ---------------------------------------------------------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash_of(const char *text) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

static void choose_state(settings *s, const char *folder) {
    const char *home = getenv("XDG_STATE_HOME");
    char dir[SETTINGS_ROOM];
    if (!home || *home != '/' || snprintf(dir, sizeof dir, "%s/pitot", home) >= (int)sizeof dir) return;
    int n = snprintf(s->path[1], SETTINGS_ROOM, "%s/watch-%016llx.json", dir, (unsigned long long)hash_of(folder));
    if (n >= SETTINGS_ROOM) *s->path[1] = 0;
}

void settings_choose(settings *s, const char *watched, int is_folder) {
    char *real = realpath(watched, NULL);
    if (!real) return;
    char *slash = strrchr(real, '/');
    if (!is_folder && slash && strcmp(slash, "/events.jsonl") == 0) {
        *slash = 0;
        slash = strrchr(real, '/');
    }
    if (!is_folder && slash) slash[slash == real] = 0;
    if (snprintf(s->path[0], SETTINGS_ROOM, "%s/" FILE_NAME, real) >= SETTINGS_ROOM) *s->path[0] = 0;
    choose_state(s, real);
    free(real);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

/* The text of a regular file that is not too large; NULL: there is none. */
static char *read_text(const char *path) {
    struct stat st;
    int fd = *path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    char *text = NULL;
    size_t n = 0;
    if (fd < 0) return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= SETTINGS_LARGEST) text = calloc(1, (size_t)st.st_size + 1);
    while (text && n < (size_t)st.st_size) {
        ssize_t got = read(fd, text + n, (size_t)st.st_size - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    close(fd);
    return text;
}

static int is_listed(const cJSON *list, const char *name) {
    const cJSON *x;
    cJSON_ArrayForEach(x, list) {
        if (cJSON_IsString(x) && strcmp(x->valuestring, name) == 0) return 1;
    }
    return 0;
}

void settings_apply(const settings *s, shown *all, int from) {
    const cJSON *hidden = cJSON_GetObjectItemCaseSensitive(s->found, "hidden"),
                *plotted = cJSON_GetObjectItemCaseSensitive(s->found, "plotted"),
                *pinned = cJSON_GetObjectItemCaseSensitive(s->found, "pinned");
    for (int k = from; s->found && k < all->runs; k++) {
        shown_run *run = &all->run[k];
        if (is_listed(hidden, run->name)) run->hidden = 1;
        if (is_listed(plotted, run->name)) run->hidden = 0;
        if (is_listed(pinned, run->name)) run->pinned = 1;
    }
}

static void apply_pages(const settings *s, screen *on) {
    const cJSON *pages = cJSON_GetObjectItemCaseSensitive(s->found, "pages");
    for (int k = 0; page_by_rank(k); k++) {
        const page *p = page_by_rank(k);
        const cJSON *from = cJSON_GetObjectItemCaseSensitive(pages, p->name);
        void *own = p->load && cJSON_IsObject(from) ? screen_own(on, p->name) : NULL;
        if (own) p->load(own, from);
    }
}

/* What pages share: the kind of x, the lines, which runs are drawn. */
static void apply_window(const settings *s, screen *on) {
    char text[FILTER_ROOM] = "", why[8];
    on->window.by = settings_int(s->found, "x", BY_STEPS, 0, BY_END - 1);
    on->window.log_x = settings_int(s->found, "log_x", 0, 0, 1);
    on->canvas.lines = settings_int(s->found, "lines", on->canvas.lines, 0, LINES_END - 1);
    settings_text(s->found, "runs", text, sizeof text);
    filter_set(&on->drawn, text, why, sizeof why);
}

/* The first file that is there counts, damaged or not. */
void settings_read(settings *s, screen *on, shown *all, int page_given, int theme_given) {
    char name[64] = "";
    char *text = NULL;
    int k = 0;
    for (; k < SETTINGS_PATHS && !text; k++) text = read_text(s->path[k]);
    s->found = text ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    if (text && !cJSON_IsObject(s->found)) {
        cJSON_Delete(s->found);
        s->found = NULL;
        screen_say(on, "%.120s is damaged: not used", s->path[k - 1]);
    }
    free(text);
    if (s->found) {
        settings_text(s->found, "theme", name, sizeof name);
        if (!theme_given && theme_find(name) >= 0) on->theme = theme_find(name);
        *name = 0;
        settings_text(s->found, "page", name, sizeof name);
        if (!page_given) screen_open(on, name);
        apply_window(s, on);
        apply_pages(s, on);
        settings_apply(s, all, 0);
    }
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

static void list_run(cJSON *to, const char *list, const char *name) {
    cJSON *at = cJSON_GetObjectItemCaseSensitive(to, list);
    if (!at) at = cJSON_AddArrayToObject(to, list);
    if (at) cJSON_AddItemToArray(at, cJSON_CreateString(name));
}

/* What was found about runs that are not there now is kept. */
static void keep_absent(cJSON *to, const cJSON *found, const char *list, const shown *all) {
    const cJSON *x;
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(found, list)) {
        int there = !cJSON_IsString(x);
        for (int k = 0; k < all->runs && !there; k++) there = strcmp(all->run[k].name, x->valuestring) == 0;
        if (!there) list_run(to, list, x->valuestring);
    }
}

static void save_runs(const settings *s, cJSON *to, const shown *all) {
    static const char *const lists[] = { "hidden", "plotted", "pinned" };
    for (int k = 0; k < all->runs; k++) {
        const shown_run *run = &all->run[k];
        if (run->hidden != run->hidden_at_first) list_run(to, lists[!run->hidden], run->name);
        if (run->pinned) list_run(to, "pinned", run->name);
    }
    for (int i = 0; i < 3; i++) keep_absent(to, s->found, lists[i], all);
}

/* Free with free(). */
static char *make_text(const settings *s, const screen *on, const shown *all) {
    cJSON *root = cJSON_CreateObject(), *pages = NULL;
    cJSON_AddStringToObject(root, "theme", theme_name(on->theme));
    cJSON_AddStringToObject(root, "page", page_by_rank(on->page)->name);
    cJSON_AddNumberToObject(root, "x", on->window.by);
    cJSON_AddBoolToObject(root, "log_x", on->window.log_x);
    cJSON_AddNumberToObject(root, "lines", on->canvas.lines);
    cJSON_AddStringToObject(root, "runs", on->drawn.text);
    pages = cJSON_AddObjectToObject(root, "pages");
    for (int k = 0; k < on->pages && pages; k++) {
        const page *p = page_by_rank(k);
        cJSON *to = p->save ? cJSON_AddObjectToObject(pages, p->name) : NULL;
        if (to) p->save(on->own[k], to);
    }
    save_runs(s, root, all);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}

static int write_all(int fd, const char *text) {
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done <= 0) return 0;
        text += done;
        n -= (size_t)done;
    }
    return 1;
}

/* Into a file beside it, which then takes its place. */
static int replace(const char *path, const char *text) {
    char part[SETTINGS_ROOM + 8];
    if (!*path) return 0;
    snprintf(part, sizeof part, "%s.XXXXXX", path);
    int fd = mkstemp(part);
    if (fd < 0) return 0;
    int good = write_all(fd, text) && write_all(fd, "\n") && fchmod(fd, 0644) == 0;
    good = close(fd) == 0 && good && rename(part, path) == 0;
    if (!good) unlink(part);
    return good;
}

static void make_folder_of(const char *path) {
    char folder[SETTINGS_ROOM];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash && slash > folder) {
        *slash = 0;
        mkdir(folder, 0700);
    }
}

void settings_write(settings *s, screen *on, const shown *all) {
    char *text =
        s->fixed || !screen_own(on, page_by_rank(0)->name) || (!*s->path[0] && !*s->path[1]) ? NULL : make_text(s, on, all);
    if (!text) return;
    int same = s->kept && strcmp(s->kept, text) == 0, first = !s->kept;
    free(s->kept);
    s->kept = text;
    if (same || first || replace(s->path[0], text)) return;
    make_folder_of(s->path[1]);
    replace(s->path[1], text);
}

void settings_free(settings *s) {
    cJSON_Delete(s->found);
    free(s->kept);
    *s = (settings){ 0 };
}
