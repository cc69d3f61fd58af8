#include "util/diag.h"

#include <stdlib.h>

#include "util/text.h"

typedef struct message {
    place at;
    bool error;
    int order;
    char *line; /* "file:1:2: text" */
} message;

struct diags {
    message *items;
    int n, room, errors;
    char **files; /* every file name met, once */
    int n_files;
};

diags *diags_new(void)
{
    return xcalloc(1, sizeof(diags));
}

void diags_free(diags *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->n; i++)
        free(d->items[i].line);
    for (int i = 0; i < d->n_files; i++)
        free(d->files[i]);
    free(d->files);
    free(d->items);
    free(d);
}

static char *format_line(place at, bool error, const char *what)
{
    const char *kind = error ? "" : "note: ";
    if (!at.file)
        return xasprintf("%s%s", kind, what);
    if (at.line <= 0)
        return xasprintf("%s: %s%s", at.file, kind, what);
    return xasprintf("%s:%d:%d: %s%s", at.file, at.line, at.col, kind, what);
}

static const char *own_name(diags *d, const char *file)
{
    for (int i = d->n_files - 1; file && i >= 0; i--)
        if (strcmp(d->files[i], file) == 0)
            return d->files[i];
    if (!file)
        return NULL;
    d->files = xrealloc(d->files, (size_t)(d->n_files + 1) * sizeof *d->files);
    return d->files[d->n_files++] = xstrdup(file);
}

DAL_PRINTF(4, 0)
static void add(diags *d, place at, bool error, const char *fmt, va_list ap)
{
    va_list copy;
    va_copy(copy, ap);
    const int n = vsnprintf(NULL, 0, fmt, copy);
    va_end(copy);
    char *what = xcalloc(1, (size_t)n + 1);
    vsnprintf(what, (size_t)n + 1, fmt, ap);
    char *line = format_line(at, error, what);
    free(what);
    for (int i = 0; i < d->n; i++)
        if (strcmp(d->items[i].line, line) == 0) {
            free(line);
            return;
        }
    if (d->n == d->room) {
        d->room = d->room ? 2 * d->room : 16;
        d->items = xrealloc(d->items, (size_t)d->room * sizeof *d->items);
    }
    at.file = own_name(d, at.file);
    d->items[d->n] = (message){at, error, d->n, line};
    d->n++;
    d->errors += error;
}

void diags_error(diags *d, place at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, at, true, fmt, ap);
    va_end(ap);
}

void diags_note(diags *d, place at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, at, false, fmt, ap);
    va_end(ap);
}

int diags_errors(const diags *d)
{
    return d->errors;
}

/* By file as first seen would need a table: file name, then line, column, then order of arrival. */
static int by_place(const void *a, const void *b)
{
    const message *x = *(message *const *)a, *y = *(message *const *)b;
    const int file = strcmp(x->at.file ? x->at.file : "", y->at.file ? y->at.file : "");
    if (file)
        return file;
    if (x->at.line != y->at.line)
        return x->at.line < y->at.line ? -1 : 1;
    if (x->at.col != y->at.col)
        return x->at.col < y->at.col ? -1 : 1;
    return x->order - y->order;
}

static message **sorted(const diags *d)
{
    message **order = xcalloc((size_t)d->n + 1, sizeof *order);
    for (int i = 0; i < d->n; i++)
        order[i] = &d->items[i];
    qsort(order, (size_t)d->n, sizeof *order, by_place);
    return order;
}

void diags_print(const diags *d, FILE *out)
{
    message **order = sorted(d);
    for (int i = 0; i < d->n; i++)
        fprintf(out, "%s\n", order[i]->line);
    free(order);
}

const char *diags_text(const diags *d, int i)
{
    if (i < 0 || i >= d->n)
        return NULL;
    message **order = sorted(d);
    const char *line = order[i]->line;
    free(order);
    return line;
}
