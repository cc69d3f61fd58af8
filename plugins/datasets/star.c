#include "star.h"

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static dal_status fault(const star *s, int64_t column, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, s->lines.key, "%s:%lld:%lld: %s", s->lines.path, (long long)s->lines.line - 1,
                    (long long)column, what);
}

/* The next value of a line at *at; 0: there is none. */
static int next_value(const char *line, int64_t n, int64_t *at, dal_csv_field *f, int *open)
{
    while (*at < n && is_blank(line[*at]))
        (*at)++;
    *open = 0;
    if (*at >= n || line[*at] == '#')
        return 0;
    const char quote = line[*at] == '\'' || line[*at] == '"' ? line[*at] : '\0';
    const int64_t from = *at + (quote != '\0');
    *f = (dal_csv_field){.text = line + from, .column = *at + 1, .quoted = quote != '\0'};
    for (*at = from; *at < n; (*at)++) /* a quote ends where a blank follows */
        if (quote ? line[*at] == quote && (*at + 1 == n || is_blank(line[*at + 1])) : is_blank(line[*at]))
            break;
    f->size = *at - from;
    *open = quote && *at >= n;
    *at += quote != '\0';
    return 1;
}

static int is_word(const dal_csv_field *f, const char *word)
{
    return f->size == (int64_t)strlen(word) && memcmp(f->text, word, (size_t)f->size) == 0;
}

static int begins(const dal_csv_field *f, const char *word)
{
    return !f->quoted && f->size >= (int64_t)strlen(word) && memcmp(f->text, word, strlen(word)) == 0;
}

int64_t star_column(const star *s, const char *name)
{
    for (int64_t j = 0; j < s->width; j++)
        if (is_word(&s->names[j], name))
            return j;
    return -1;
}

/* The names after a loop_; s->lines then stands before what follows them. */
static dal_status take_names(star *s, dal_error *err)
{
    const char *line;
    int64_t n;
    s->width = 0;
    for (;;) {
        const dal_lines before = s->lines;
        dal_csv_field f;
        int64_t at = 0;
        int open;
        const dal_status st = dal_lines_next(&s->lines, &line, &n, err);
        if (st != DAL_OK || n < 0)
            return st;
        if (!next_value(line, n, &at, &f, &open))
            continue;
        if (!begins(&f, "_")) {
            s->lines = before;
            return DAL_OK;
        }
        if (s->width == STAR_MAX_COLUMNS)
            return fault(s, f.column, "more columns than can be", err);
        f.text++;
        f.size--;
        f.line = s->lines.line - 1;
        s->names[s->width++] = f;
    }
}

dal_status star_find(star *s, const char *path, const char *key, const void *data, int64_t size,
                     const char *const *wanted, dal_error *err)
{
    const char *line;
    int64_t n;
    char list[300] = "";
    s->lines = dal_lines_open(path, key, data, size);
    for (;;) {
        dal_csv_field f;
        int64_t at = 0;
        int open;
        dal_status st = dal_lines_next(&s->lines, &line, &n, err);
        if (st != DAL_OK)
            return st;
        if (n < 0)
            break;
        if (!next_value(line, n, &at, &f, &open) || !begins(&f, "loop_"))
            continue;
        st = take_names(s, err);
        if (st != DAL_OK)
            return st;
        for (int i = 0; wanted[i]; i++)
            if (star_column(s, wanted[i]) >= 0)
                return DAL_OK;
    }
    for (int i = 0; wanted[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s_%s", i ? " or " : "", wanted[i]);
    return dal_fail(err, DAL_E_FORMAT, key, "%s: found no table with a column %s", path, list);
}

dal_status star_next(star *s, dal_csv_field *fields, int *more, dal_error *err)
{
    const char *line;
    int64_t n, at = 0, width = 0;
    dal_csv_field f;
    int open = 0;
    *more = 0;
    while (width == 0) {
        const dal_status st = dal_lines_next(&s->lines, &line, &n, err);
        if (st != DAL_OK || n < 0)
            return st;
        for (at = 0; next_value(line, n, &at, &f, &open); width++) {
            f.line = s->lines.line - 1;
            if (open)
                return fault(s, f.column, "this quote is never closed", err);
            if (width == 0 && (begins(&f, "data_") || begins(&f, "loop_") || begins(&f, "_")))
                return DAL_OK;
            if (width == 0 && line[0] == ';')
                return fault(s, 1, "a text of several lines, expected a row of values", err);
            if (width < s->width)
                fields[width] = f;
        }
    }
    if (width != s->width)
        return dal_fail(err, DAL_E_FORMAT, s->lines.key, "%s:%lld:1: found %lld values, expected %lld", s->lines.path,
                        (long long)s->lines.line - 1, (long long)width, (long long)s->width);
    *more = 1;
    return DAL_OK;
}
