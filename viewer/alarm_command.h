/* alarm_command.h: a run's own alarms while it trains: told to a command, and counted for the exit status. */

#ifndef PITOT_VIEWER_ALARM_COMMAND_H
#define PITOT_VIEWER_ALARM_COMMAND_H

#include <sys/types.h>

#include "alarm.h"

enum { ALARM_COMMANDS = 16 }; /* that run at one time; an alarm beyond that waits for the next look */

typedef struct alarm_told { /* the latest alarm of one output and side that the command has been started for */
    char output[64];
    enum alarm_side side;
    int64_t last; /* step up to which it is the same one */
} alarm_told;

typedef struct alarm_watch {   /* clear it, set the first three */
    const char *run, *command; /* command NULL: none is run */
    int64_t from;              /* alarms that ended before this step are of an earlier process */
    pitot_log *log;
    panel_list panels;
    alarm_list alarms;
    alarm_told *told;
    int64_t n_told;
    pid_t child[ALARM_COMMANDS]; /* 0: free */
    double next;                 /* second on the monotonic clock before which nothing is looked at */
    int failed;                  /* that the command failed has been told */
} alarm_watch;

/* Reads what the log has gained and starts the command for each alarm that is new: `sh -c COMMAND pitot-alarm SENTENCE`, with PITOT_RUN,
   PITOT_ALARM_NAME, PITOT_ALARM_STEP, PITOT_ALARM_VALUE and PITOT_ALARM_SAYS in its environment. Waits for nothing; looks at most once a
   second, and takes at most a fiftieth of the time. */
void alarm_watch_turn(alarm_watch *w);
/* After the run is closed: reads all that is left, starts what is due, gives commands up to two seconds to end. Returns how many alarms,
   warnings apart, are active. Frees everything. */
int64_t alarm_watch_end(alarm_watch *w);

#endif
