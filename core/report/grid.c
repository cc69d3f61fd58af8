#include "report/grid.h"

#include <math.h>
#include <stdlib.h>

#include "util/text.h"

enum { GAP = 2, NARROWEST = 8 };

typedef struct column {
    char *title;
    grid_align align;
} column;

struct grid {
    column *columns;
    int n_columns;
    char **cells; /* row after row */
    int64_t n_cells, room;
    bool *rule_before; /* [rows begun + 1] */
    int64_t rule_room;
};

grid *grid_new(void)
{
    return xcalloc(1, sizeof(grid));
}

void grid_free(grid *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n_columns; i++)
        free(t->columns[i].title);
    for (int64_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->columns);
    free(t->cells);
    free(t->rule_before);
    free(t);
}

void grid_column(grid *t, const char *title, grid_align align)
{
    t->columns = xrealloc(t->columns, (size_t)(t->n_columns + 1) * sizeof *t->columns);
    t->columns[t->n_columns++] = (column){xstrdup(title), align};
}

static void add(grid *t, char *cell)
{
    if (t->n_cells == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->cells = xrealloc(t->cells, (size_t)t->room * sizeof *t->cells);
    }
    t->cells[t->n_cells++] = cell;
}

void grid_cell(grid *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *cell = NULL;
    if (vasprintf(&cell, fmt, ap) < 0)
        cell = xstrdup("?");
    va_end(ap);
    add(t, cell);
}

void grid_real(grid *t, double x, int digits)
{
    add(t, isnan(x) ? xstrdup("-") : xasprintf("%.*f", digits, x));
}

void grid_rule(grid *t)
{
    const int64_t row = t->n_columns > 0 ? t->n_cells / t->n_columns : 0;
    if (row >= t->rule_room) {
        t->rule_before = xrealloc(t->rule_before, (size_t)(row + 16) * sizeof *t->rule_before);
        memset(t->rule_before + t->rule_room, 0,
               (size_t)(row + 16 - t->rule_room) * sizeof *t->rule_before);
        t->rule_room = row + 16;
    }
    t->rule_before[row] = true;
}

static void measure(const grid *t, int *width)
{
    for (int c = 0; c < t->n_columns; c++)
        width[c] = text_columns(t->columns[c].title);
    for (int64_t i = 0; i < t->n_cells; i++) {
        const int w = text_columns(t->cells[i]);
        if (w > width[i % t->n_columns])
            width[i % t->n_columns] = w;
    }
}

/* The widest text columns give, one column of the terminal at a time. */
static void squeeze(const grid *t, int *width, int limit)
{
    int total = GAP * (t->n_columns - 1);
    for (int c = 0; c < t->n_columns; c++)
        total += width[c];
    for (; limit > 0 && total > limit; total--) {
        int widest = -1;
        for (int c = 0; c < t->n_columns; c++)
            if (t->columns[c].align == GRID_LEFT && width[c] > NARROWEST &&
                (widest < 0 || width[c] > width[widest]))
                widest = c;
        if (widest < 0)
            return;
        width[widest]--;
    }
}

static void print_cell(const grid *t, FILE *out, const char *cell, int c, int width, bool utf8)
{
    char *shown = text_shown(cell, width, utf8);
    const int pad = width - text_columns(shown);
    if (c > 0 && (c < t->n_columns - 1 || pad < width)) /* no blanks at the end of a line */
        fprintf(out, "%*s", GAP, "");
    if (t->columns[c].align == GRID_RIGHT)
        fprintf(out, "%*s%s", pad, "", shown);
    else if (c == t->n_columns - 1)
        fputs(shown, out);
    else
        fprintf(out, "%s%*s", shown, pad, "");
    free(shown);
}

static void print_rule(const grid *t, FILE *out, const int *width, bool utf8)
{
    for (int c = 0; c < t->n_columns; c++) {
        if (c > 0)
            fprintf(out, "%*s", GAP, "");
        for (int i = 0; i < width[c]; i++)
            fputs(utf8 ? "─" : "-", out);
    }
    fputc('\n', out);
}

void grid_print(const grid *t, FILE *out, terminal to)
{
    if (t->n_columns == 0)
        return;
    int *width = xcalloc((size_t)t->n_columns, sizeof *width);
    measure(t, width);
    squeeze(t, width, to.columns);
    for (int c = 0; c < t->n_columns; c++)
        print_cell(t, out, t->columns[c].title, c, width[c], to.utf8);
    fputc('\n', out);
    print_rule(t, out, width, to.utf8);
    for (int64_t i = 0; i < t->n_cells; i++) {
        const int c = (int)(i % t->n_columns);
        const int64_t row = i / t->n_columns;
        if (c == 0 && row < t->rule_room && t->rule_before[row])
            print_rule(t, out, width, to.utf8);
        print_cell(t, out, t->cells[i], c, width[c], to.utf8);
        if (c == t->n_columns - 1 || i == t->n_cells - 1)
            fputc('\n', out);
    }
    free(width);
}
