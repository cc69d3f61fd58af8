/* report/grid.h: results in rows and columns, numbers to the right (util/table.h folds prose). */
#ifndef DALHOST_REPORT_GRID_H
#define DALHOST_REPORT_GRID_H

#include <dal/base.h>

#include "report/terminal.h"

typedef enum grid_align { GRID_LEFT, GRID_RIGHT } grid_align;

typedef struct grid grid;
grid *grid_new(void);
void grid_free(grid *t); /* accepts NULL */
/* Columns first, then cells from left to right, row after row. Cells are shown as text_shown makes
 * them. */
void grid_column(grid *t, const char *title, grid_align align);
void grid_cell(grid *t, const char *fmt, ...) DAL_PRINTF(2, 3);
/* digits after the point; "-" for NaN. */
void grid_real(grid *t, double x, int digits);
/* A line before the next row. */
void grid_rule(grid *t);
/* Where the table is wider than the terminal its widest left-aligned columns are cut, down to 8. */
void grid_print(const grid *t, FILE *out, terminal to);

#endif
