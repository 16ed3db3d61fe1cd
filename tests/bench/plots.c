/* A frame of 12 plots of RUNS runs of STEPS steps each (4 and 1,000,000 unless said): the first, one with only the cursor moved, one after
   a zoom, one with another smoothing. Milliseconds, medians; 200 by 60 cells. */

#include "bench.h"

#include <math.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "term/page.h"

enum { PANELS = 12, TRIES = 9, MOST = 16 };

static void put_line(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body)));
}

static void write_log(const char *path, long steps) {
    FILE *f = fopen(path, "w");
    if (!f) exit(1);
    put_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"wall\":1000");
    for (long i = 0; i < steps; i++) {
        char body[1024];
        int n = snprintf(body, sizeof body, "{\"step\":%ld,\"wall\":%.2f", i, 1000 + 0.01 * (double)i);
        for (int k = 0; k < PANELS; k++)
            n += snprintf(body + n, sizeof body - (size_t)n, ",\"metric_%02d\":%.4f", k,
                          (double)((i * (7919 + k)) % 10007) * exp(-1e-6 * (double)i));
        put_line(f, body);
    }
    fclose(f);
}

static double frame(screen *s, shown *all, int keys, const int *codes) {
    double v[TRIES];
    for (int i = 0; i < TRIES; i++) {
        if (keys) screen_key(s, all, codes[i % keys]);
        double from = now();
        if (screen_draw(s, all, 60, 200)) exit(1);
        v[i] = 1e3 * (now() - from);
    }
    return keys ? median(v, TRIES) : v[0];
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    int runs = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 4;
    char path[] = "/tmp/pitot-plots-XXXXXX";
    shown_run run[MOST] = { { 0 } };
    panel_list panels[MOST];
    screen s = { 0 };
    if (runs < 1 || runs > MOST || close(mkstemp(path))) return 1;
    write_log(path, steps);
    for (int k = 0; k < runs; k++) {
        pitot_log *log = pitot_log_open(path, NULL);
        if (!log || pitot_log_poll(log, 0, NULL) < 0 || panel_list_make(log, &panels[k])) return 1;
        run[k] = (shown_run){ .name = "run", .log = log, .panels = &panels[k], .trouble = "", .pen = PEN_RUN + k % PEN_RUNS };
    }
    unlink(path);
    shown all = { .run = run, .runs = runs, .now = 1000 };
    double first = frame(&s, &all, 0, NULL);
    screen_key(&s, &all, 'i');
    double cursor = frame(&s, &all, 2, (int[]){ 'h', 'l' }), zoom = frame(&s, &all, 2, (int[]){ '+', '-' });
    double smoothing = frame(&s, &all, 1, (int[]){ 's' });
    printf("%d plots of %d runs of %ld steps: first %.1f ms, cursor %.2f, zoom %.1f, smoothing %.1f\n", PANELS, runs, steps, first,
           cursor, zoom, smoothing);
    screen_free(&s);
    return 0;
}
