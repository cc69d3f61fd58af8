/* util/table.h: text in aligned columns, for people. */
#ifndef DALHOST_UTIL_TABLE_H
#define DALHOST_UTIL_TABLE_H

#include <dal/base.h>
#include <stdio.h>

typedef struct table table;

/* n columns with these headings. The last column takes what is left of the width and is folded. */
table *table_new(const char *const *headings, int n);
void table_free(table *t);
/* The next cell, row by row; the text is copied. */
void table_cell(table *t, const char *s);
void table_cellf(table *t, const char *fmt, ...) DAL_PRINTF(2, 3);
int table_rows(const table *t);
/* Every line begins with `indent` spaces and is at most `width` wide where words permit. */
void table_print(const table *t, FILE *out, int indent, int width);

/* One paragraph folded to `width`, each line after the first indented; ends with a newline. `column` is
 * where the first line already stands. */
void fold_text(FILE *out, const char *s, int column, int indent, int width);

#endif
