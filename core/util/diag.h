/* util/diag.h: all that is wrong with the user's input, collected before anything is said.
 *
 * One line each: `file:line:col: what; expected what; try what`.
 */
#ifndef DALHOST_UTIL_DIAG_H
#define DALHOST_UTIL_DIAG_H

#include <dal/base.h>
#include <stdbool.h>
#include <stdio.h>

/* A place in a file. line 0: the file as a whole. */
typedef struct place {
    const char *file; /* borrowed; the diags keep a copy */
    int line, col;    /* from 1 */
} place;

typedef struct diags diags;

diags *diags_new(void);
void diags_free(diags *d);
/* Errors with the same place and text are kept once. */
void diags_error(diags *d, place at, const char *fmt, ...) DAL_PRINTF(3, 4);
void diags_note(diags *d, place at, const char *fmt, ...) DAL_PRINTF(3, 4);
int diags_errors(const diags *d); /* how many errors */
/* In file order, errors and notes ("file:1:2: note: ..."). */
void diags_print(const diags *d, FILE *out);
/* i-th message (file order), for --json and tests; NULL past the end. */
const char *diags_text(const diags *d, int i);

#endif
