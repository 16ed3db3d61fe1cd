/* view.c: titles, hints and scales of the cockpit's panels. See page.h. */

#include "page.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int view_series(const view *v, const char *key, pitot_series *s) {
    return pitot_log_series(v->log, pitot_log_find(v->log, key), s) == PITOT_OK && s->n > 0;
}

const panel *view_panel(const view *v, const char *key, size_t length) {
    for (int64_t i = 0; i < v->list->n; i++) {
        const char *title = v->list->panel[i].title;
        if (strlen(title) == length && memcmp(title, key, length) == 0) return &v->list->panel[i];
    }
    return NULL;
}

double view_batch(const view *v) {
    char text[40], *end;
    pitot_log_fact(v->log, "batch", text, sizeof text);
    double batch = strtod(text, &end);
    return *text && !*end && batch > 0 && isfinite(batch) ? batch : NAN;
}

rect view_head(const view *v, const char *label, const char *note) {
    const ink title = { 1.15 * v->font, 1, INK_LEFT, ink_text }, grey = { v->font, 0, INK_LEFT, ink_grey };
    const ink right = { v->font, 0, INK_RIGHT, ink_text };
    double y = v->cell.y + 1.1 * v->font, x = v->cell.x, end = v->cell.x + v->cell.w, head = 1.88 * v->font;
    rect body = { v->cell.x, v->cell.y + head, v->cell.w, v->cell.h - head };
    if (v->cell.w < 5 * v->font || body.h < 2 * v->font) return v->cell;
    if (*note) end -= ink_draw(v->cr, &right, end, y, note) + v->font;
    x += ink_fit(v->cr, &title, x, y, end - x, v->what->name) + 0.6 * v->font;
    if (end - x > 3 * v->font) ink_fit(v->cr, &grey, x, y, end - x, label);
    return body;
}

/* ---- what would fill an empty panel ----------------------------------------------------------------------------------- */

/* 1 if the manifest lists the probe among those of the run. */
static int was_chosen(const pitot_log *log, const char *probe) {
    cJSON *manifest = cJSON_Parse(pitot_log_manifest(log));
    const cJSON *one;
    int found = 0;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(manifest, "probes")) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "name"));
        found = found || (name && strcmp(name, probe) == 0);
    }
    cJSON_Delete(manifest);
    return found;
}

static void remedy(const view *v, const char *key, char *out, size_t size) {
    char probe[64];
    snprintf(probe, sizeof probe, "%.*s", (int)strcspn(key, "./,|;"), key);
    const pitot_probe *p = pitot_probe_find(probe);
    uint32_t presets = p ? p->presets : 0;
    const char *set = presets & PITOT_ECONOMY    ? "economy"
                      : presets & PITOT_BUSINESS ? "business"
                      : presets & PITOT_FULL     ? "full"
                                                 : NULL;
    if (!set) set = p && !(presets & PITOT_ON_REQUEST) ? "all" : probe;
    if (was_chosen(v->log, probe)) snprintf(out, size, "no value of %s in this log yet", probe);
    else snprintf(out, size, "not in this log: --probes %s", set);
}

int32_t view_hint(const view *v, const char *key, const char *text) {
    char words[160];
    const ink note = { v->font, 0, INK_LEFT, ink_grey };
    rect body = view_head(v, v->what->label, "");
    if (body.h >= v->cell.h) return PITOT_OK; /* no room for words */
    remedy(v, key ? key : v->what->keys, words, sizeof words);
    ink_fit(v->cr, &note, body.x, body.y + 1.1 * v->font, body.w, text ? text : words);
    return PITOT_OK;
}

/* ---- words and colours ------------------------------------------------------------------------------------------------- */

void view_rotated(const view *v, const ink *i, double x, double y, const char *text) {
    cairo_save(v->cr);
    cairo_translate(v->cr, x, y);
    cairo_rotate(v->cr, -M_PI / 2);
    ink_draw(v->cr, i, 0, 0, text);
    cairo_restore(v->cr);
}

/* Right-aligned at x; 0 if the room does not do, else the width. */
static double draw_scale(const view *v, double x, double y, double room, double least, double most, rgb (*colour)(double)) {
    enum { STEPS = 24 };
    const ink number = { 0.9 * v->font, 0, INK_RIGHT, ink_grey };
    char low[32], high[32];
    double bar = 4.5 * v->font, gap = 0.4 * v->font;
    format_value(least, 2, low, sizeof low);
    format_value(most, 2, high, sizeof high);
    double w_low = ink_number_width(v->cr, &number, low), w_high = ink_number_width(v->cr, &number, high);
    if (w_low + w_high + bar + 2 * gap > room) return 0;
    ink_number(v->cr, &number, x, y, high);
    x -= w_high + gap + bar;
    for (int i = 0; i < STEPS; i++) {
        ink_set(v->cr, colour((i + 0.5) / STEPS));
        cairo_rectangle(v->cr, x + bar * i / STEPS, y - 0.62 * v->font, bar / STEPS + (i < STEPS - 1 ? 0.3 : 0), 0.55 * v->font);
        cairo_fill(v->cr);
    }
    ink_number(v->cr, &number, x - gap, y, low);
    return w_low + w_high + bar + 2 * gap;
}

rect view_head_scaled(const view *v, const char *label, const char *note, double least, double most, rgb (*colour)(double)) {
    const ink right = { v->font, 0, INK_RIGHT, ink_text };
    view narrow = *v;
    double y = v->cell.y + 1.1 * v->font, x = v->cell.x + v->cell.w;
    if (v->cell.w > 20 * v->font && v->cell.h > 4 * v->font) {
        if (*note) x -= ink_draw(v->cr, &right, x, y, note) + 1.2 * v->font;
        x -= draw_scale(v, x, y, 0.5 * v->cell.w, least, most, colour) + v->font;
        narrow.cell.w = x - v->cell.x;
        note = "";
    }
    rect body = view_head(&narrow, label, note);
    if (body.h < v->cell.h) body.w = v->cell.w;
    return body;
}
