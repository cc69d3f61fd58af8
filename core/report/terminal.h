/* report/terminal.h: what can be shown where output goes. */
#ifndef DALHOST_REPORT_TERMINAL_H
#define DALHOST_REPORT_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct terminal {
    int columns; /* 0: no limit (a file, a pipe) */
    bool utf8;   /* else plain ASCII */
} terminal;

/* Of a stream: the window's width (or $COLUMNS), the character set by LC_ALL, LC_CTYPE, LANG. */
terminal terminal_of(FILE *out);

/* Columns that UTF-8 text takes: wide East Asian characters two, combining ones none. */
int text_columns(const char *s);
/* A copy that is safe to show: control and direction characters and broken UTF-8 become '?', and what
 * is wider than max (>= 1; 0: no limit) is cut and ends in an ellipsis. ASCII when not utf8. The caller
 * frees it. */
char *text_shown(const char *s, int max, bool utf8);

#endif
