/* cli/events.h: what a person sees while components work: log lines, one line of progress, ^C. */
#ifndef DALHOST_CLI_EVENTS_H
#define DALHOST_CLI_EVENTS_H

#include "pipeline/compose.h"

/* ^C asks once politely; a second time ends the program. */
void events_catch_interrupts(void);
bool events_interrupted(void);

/* Log lines go to standard error; progress too, as one line that is rewritten, when it is a terminal. */
composer_events events_for_terminal(void);
/* What is going on, in front of the components' own progress: "round 3/10 train"; "" for nothing. */
void events_stage(const char *stage);
/* Wipe the line of progress, before something else is printed. */
void events_clear(void);

#endif
