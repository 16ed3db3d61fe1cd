/* times.c: see times.h. Strides are those of clocks up to a day, then days in ones, twos, fives and tens. */

#include "term/times.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static const double day = 86400;
static const double latest = 1e11; /* seconds: later than the year 5000 there is nothing to say */

static double stride_for(double width, int wanted) {
    static const double strides[] = { 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,  0.5,  1,    2,     5,     10,
                                      15,    30,    60,    120,  300,  600,  900, 1800, 3600, 7200, 10800, 21600, 43200 };
    double least = width / (wanted > 1 ? wanted : 1);
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        if (strides[i] >= least) return strides[i];
    double days = day;
    for (int i = 0; days < least; i++) days *= i % 3 == 1 ? 2.5 : 2;
    return days;
}

static int can_show(double lo, double hi) {
    return lo < hi && fabs(lo) < latest && fabs(hi) < latest && hi - lo >= 1e-3;
}

/* ---- durations ------------------------------------------------------------------------------------------------------- */

static void label_duration(double v, double stride, char *text, size_t size) {
    const char *sign = v < 0 ? "-" : "";
    double s = fabs(v);
    long long whole = (long long)floor(s + 0.5);
    if (v == 0) snprintf(text, size, "0");
    else if (stride < 1) snprintf(text, size, "%s%.*f s", sign, stride < 0.01 ? 3 : stride < 0.1 ? 2 : 1, s);
    else if (whole < 60) snprintf(text, size, "%s%lld s", sign, whole);
    else if (stride < 60 && whole >= 3600)
        snprintf(text, size, "%s%lld:%02lld:%02lld", sign, whole / 3600, whole / 60 % 60, whole % 60);
    else if (stride < 60) snprintf(text, size, "%s%lld:%02lld", sign, whole / 60, whole % 60);
    else if (whole < 3600) snprintf(text, size, "%s%lld min", sign, whole / 60);
    else if (stride < 3600) snprintf(text, size, "%s%lld h %02lld", sign, whole / 3600, whole / 60 % 60);
    else if (whole < 86400 || stride < day) snprintf(text, size, "%s%lld h", sign, whole / 3600);
    else snprintf(text, size, "%s%lld d", sign, whole / 86400);
}

int times_ticks(double lo, double hi, int wanted, tick *ticks, int room) {
    if (!can_show(lo, hi)) return 0;
    double stride = stride_for(hi - lo, wanted);
    int n = 0;
    for (double k = ceil(lo / stride - 1e-9); k * stride <= hi && n < room; k++, n++) {
        ticks[n] = (tick){ .value = k * stride };
        label_duration(k * stride, stride, ticks[n].label, sizeof ticks[n].label);
    }
    return n;
}

/* ---- times of day ---------------------------------------------------------------------------------------------------- */

static int to_local(double wall, struct tm *tm) {
    time_t t = (time_t)floor(wall);
    return fabs(wall) < latest && localtime_r(&t, tm) != NULL;
}

static void label_wall(double v, double stride, char *text, size_t size) {
    struct tm tm;
    text[0] = 0;
    if (!to_local(v + (stride < 1 ? 1e-6 : 0.5), &tm)) return;
    int midnight = !tm.tm_hour && !tm.tm_min && !tm.tm_sec;
    if (stride < 1) {
        double rest = v - floor(v + 1e-6);
        snprintf(text, size, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(fmax(rest, 0) * 1000 + 0.5) % 1000);
    } else strftime(text, size, stride >= day || (midnight && stride >= 60) ? "%b %d" : stride >= 60 ? "%H:%M" : "%H:%M:%S", &tm);
}

/* Seconds that local clocks are ahead of UTC. */
static double zone_at(double wall) {
    struct tm tm;
    return to_local(wall, &tm) ? (double)tm.tm_gmtoff : 0;
}

int times_ticks_of_day(double lo, double hi, int wanted, tick *ticks, int room) {
    if (!can_show(lo, hi)) return 0;
    double stride = stride_for(hi - lo, wanted), zone = zone_at(lo);
    int n = 0;
    for (double k = ceil((lo + zone) / stride - 1e-9); k * stride - zone <= hi && n < room; k++, n++) {
        ticks[n] = (tick){ .value = k * stride - zone };
        label_wall(ticks[n].value, stride, ticks[n].label, sizeof ticks[n].label);
    }
    return n;
}

void times_format(double wall, char *text, size_t size) {
    struct tm tm;
    if (!to_local(wall, &tm) || !strftime(text, size, "%b %d %H:%M:%S", &tm)) snprintf(text, size, "-");
}
