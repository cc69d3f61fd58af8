/* cli/roff.h: text of ours as text of man pages. */
#ifndef DALHOST_CLI_ROFF_H
#define DALHOST_CLI_ROFF_H

#include <stdio.h>

/* Nothing in it is taken for a request or an escape. */
void roff(FILE *out, const char *s);
/* Paragraphs with an empty line between them. */
void roff_paragraphs(FILE *out, const char *s);
/* A sentence of a table, which has no full stop there; `end` comes before it. */
void roff_sentence(FILE *out, const char *s, const char *end);
/* .TH, NAME and what it is, up to the next .SH. */
void roff_head(FILE *out, const char *name, int section, const char *what);

#endif
