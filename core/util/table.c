#include "util/table.h"

#include <stdbool.h>
#include <stdlib.h>

#include "util/text.h"

struct table {
    char **cells; /* row-major, headings first */
    int n_columns, n_cells;
};

table *table_new(const char *const *headings, int n)
{
    table *t = xcalloc(1, sizeof *t);
    t->n_columns = n;
    for (int i = 0; i < n; i++)
        table_cell(t, headings[i]);
    return t;
}

void table_free(table *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}

static void take_cell(table *t, char *s)
{
    t->cells = xrealloc(t->cells, (size_t)(t->n_cells + 1) * sizeof *t->cells);
    t->cells[t->n_cells++] = s;
}

void table_cell(table *t, const char *s)
{
    take_cell(t, xstrdup(s));
}

void table_cellf(table *t, const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    const int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    take_cell(t, n < 0 ? xstrdup("") : s);
}

int table_rows(const table *t)
{
    return t->n_cells / t->n_columns - 1;
}

/* Characters, not bytes. */
static int columns_of(const char *s, size_t n)
{
    int count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

void fold_text(FILE *out, const char *s, int column, int indent, int width)
{
    bool first = true;
    while (*s) {
        const size_t n = strcspn(s, " \n");
        const int w = columns_of(s, n);
        if (!first && column + 1 + w > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        if (n > 0) {
            fprintf(out, "%s%.*s", first ? "" : " ", (int)n, s);
            column += w + !first;
            first = false;
        }
        s += n + (s[n] != '\0');
    }
    fputc('\n', out);
}

void table_print(const table *t, FILE *out, int indent, int width)
{
    const int n = t->n_columns;
    int *widths = xcalloc((size_t)n, sizeof *widths);
    for (int i = 0; i < t->n_cells; i++) {
        const int w = columns_of(t->cells[i], strlen(t->cells[i]));
        widths[i % n] = w > widths[i % n] ? w : widths[i % n];
    }
    for (int i = 0; i + n <= t->n_cells; i += n) {
        int column = indent;
        fprintf(out, "%*s", indent, "");
        for (int c = 0; c < n - 1; c++) {
            const char *s = t->cells[i + c];
            bool rest = false; /* does anything follow in this row? */
            for (int k = c + 1; k < n; k++)
                rest |= *t->cells[i + k] != '\0';
            const int pad = rest ? widths[c] - columns_of(s, strlen(s)) + 2 : 0;
            fprintf(out, "%s%*s", s, pad, "");
            column += widths[c] + 2;
        }
        fold_text(out, t->cells[i + n - 1], column, column, width);
    }
    free(widths);
}
