/* alarm.h: which of a run's numbers are where they should not be, since when, how surely, and what to try. Pure functions on the log's
   series and the bands of the registry's outputs (pitot/probe.h); the terminal and `pitot train` share them.

   Evidence, for each side of a band by itself. At each tracked step a window holds the latest 6 values, or those of the latest 24 steps if
   they are more. A level (warn, alarm) is raised when two thirds of a full window, 4 values at least, are beyond its bound, and falls
   again when a third or less are: so one spike raises nothing, and values on the bound itself do not flicker. Before the window is full,
   missing values count as good. Infinities are beyond like any other value. NaN, and in numbers that everything hangs on (the loss, the
   gradient's norm) infinities, raise an alarm at once. */

#ifndef PITOT_VIEWER_ALARM_H
#define PITOT_VIEWER_ALARM_H

#include "view.h"

enum { ALARM_NONE, ALARM_WARN, ALARM_RAISED }; /* levels */

enum alarm_side { /* of a band */
                  ALARM_BELOW,
                  ALARM_ABOVE,
                  ALARM_ODD, /* NaN; under ALARM_STRICT infinities too */
                  ALARM_STRICT
};

typedef struct alarm_episode { /* from evidence to its end */
    int level, highest;        /* now, of one that has ended the highest; that it came to */
    int64_t began;             /* step of the first value that the evidence rests on */
    int64_t since, until;      /* the same of `level`; the latest step at it */
    int64_t raised;            /* step at which there was enough of it */
    int64_t ended;             /* step at which it cleared; -1: it has not */
    int64_t last;              /* latest tracked step that belongs to it */
    int64_t beyond, of;        /* values of the window beyond `level`'s bound, and all of them; of one that has ended: lastly */
    double value, worst;       /* latest, and farthest beyond */
    double excess; /* how far beyond the bound the window's values are on average: octaves; infinite where they are odd */
} alarm_episode;

/* The episodes of one series, ascending: the latest `room` of them. Returns how many were written. O(n), no allocation. */
int64_t alarm_scan(const pitot_series *s, const pitot_band *band, enum alarm_side side, alarm_episode *out, int64_t room);

/* The bound of a level (ALARM_WARN, ALARM_RAISED) on that side; an infinity if there is none. */
double alarm_bound(const pitot_band *band, enum alarm_side side, int level);

/* ---- alarm_try.c ---- */

enum { LOSS_UNKNOWN, LOSS_FALLS, LOSS_LEVEL, LOSS_RISES, LOSS_ODD /* not finite */ };

/* What the loss did lately, in its latest 48 values of steps `from` to `to`: the slope of a line through them, where it exceeds three
   times its standard error. */
int alarm_loss(const pitot_log *log, int64_t from, int64_t to);

/* The most that this output may be while the loss does that: what foretells that the loss rises is an alarm when it does, before that a
   warning; that nothing is left to learn is not even that (ALARM_NONE) while the loss falls. */
int alarm_most(const char *output, enum alarm_side side, int loss);

/* "a learning rate below 0.012": the number to try that follows from output's `value` and other series at `step`; "" if none does. */
void alarm_try(const pitot_log *log, const char *output, double value, int64_t step, char *text, size_t size);

/* ---- alarm_list.c ---- */

typedef struct alarm_entry {
    char output[64];     /* title of its panel: "update_ratio" */
    char tensor[64];     /* which of the tensors is worst; "": it is the whole */
    int64_t panel;       /* index into the panels */
    int64_t tensors, of; /* how many tensors are beyond now, of how many */
    enum alarm_side side;
    const pitot_band *band;
    alarm_episode e;     /* the worst one's */
    int64_t began, last; /* first and last step of all together */
    int loss;            /* LOSS_...: meanwhile */
    int silenced;
} alarm_entry;

typedef struct alarm_list {
    int64_t n, active; /* active ones stand first */
    alarm_entry *alarm;
    char (*silent)[64]; /* outputs that the user has silenced */
    int64_t silences;
} alarm_list;

/* All alarms of a run: active ones before past ones; of those alarms before warnings, the farthest beyond first; past ones latest first.
   Silences stay as they are. Clear the list at first. 0 or PITOT_ENOMEM, then it is empty. Cost: O(values of outputs with a band). */
int32_t alarm_list_make(const pitot_log *log, const panel_list *panels, alarm_list *list);
void alarm_list_free(alarm_list *list);

/* Silences an output, or lets it be heard again. 0 or PITOT_ENOMEM. */
int32_t alarm_silence(alarm_list *list, const char *output);

/* The most urgent alarm that is active and not silenced, or NULL. */
const alarm_entry *alarm_first(const alarm_list *list);

/* "sharpness 1.7, above 1.5, for 40 steps while the loss rises", and the whole sentence, with the band's words and what to try. */
void alarm_headline(const alarm_entry *a, char *text, size_t size);
void alarm_sentence(const pitot_log *log, const alarm_entry *a, char *text, size_t size);

#endif
