#include <dal/csv.h>

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

dal_csv dal_csv_open(const char *path, const char *key, const void *data, int64_t size, char delimiter)
{
    dal_csv r = {path, key, data, size, 0, 1, 0, delimiter};
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        r.at = r.line_start = 3;
    return r;
}

char dal_csv_guess(const void *data, int64_t size)
{
    const char *p = data, candidates[] = {',', ';', '\t'};
    int64_t counts[3] = {0}, i = 0;
    int quoted = 0, best = 0;
    while (i < size && (p[i] == '\n' || p[i] == '\r' || is_blank(p[i])))
        i++;
    for (; i < size && (quoted || p[i] != '\n'); i++) {
        quoted ^= p[i] == '"';
        for (int k = 0; k < 3 && !quoted; k++)
            counts[k] += p[i] == candidates[k];
    }
    for (int k = 1; k < 3; k++)
        if (counts[k] > counts[best])
            best = k;
    return counts[best] > 0 ? candidates[best] : DAL_CSV_BLANKS;
}

/* ---- records ---------------------------------------------------------------------------------- */

static int at_end_of_line(const dal_csv *r)
{
    return r->at >= r->size || r->data[r->at] == '\n' ||
           (r->data[r->at] == '\r' && (r->at + 1 == r->size || r->data[r->at + 1] == '\n'));
}

static void next_line(dal_csv *r)
{
    while (r->at < r->size && r->data[r->at] != '\n')
        r->at++;
    if (r->at < r->size)
        r->at++;
    r->line++;
    r->line_start = r->at;
}

/* A tab that is the delimiter is no blank. */
static void skip_blanks(dal_csv *r)
{
    while (r->at < r->size && is_blank(r->data[r->at]) && r->data[r->at] != r->delimiter)
        r->at++;
}

static int at_delimiter(const dal_csv *r)
{
    const char c = r->data[r->at];
    return r->delimiter == DAL_CSV_BLANKS ? is_blank(c) : c == r->delimiter;
}

static int64_t column(const dal_csv *r)
{
    return r->at - r->line_start + 1;
}

static dal_status fault(const dal_csv *r, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, r->key, "%s:%lld:%lld: %s", r->path, (long long)r->line,
                    (long long)column(r), what);
}

#define STEP ((int64_t)1 << 14) /* looked through at once, so that the second look finds it in the cache */

/* The next quote, or the end of the data; the lines on the way are counted. */
static dal_status find_quote(dal_csv *r, dal_error *err)
{
    for (;;) {
        const char *from = r->data + r->at;
        const int64_t left = r->size - r->at, look = left < STEP ? left : STEP;
        const char *quote = look > 0 ? memchr(from, '"', (size_t)look) : NULL;
        const char *end = quote ? quote : from + look;
        const char *nul = end > from ? memchr(from, '\0', (size_t)(end - from)) : NULL;
        for (const char *p = from; p < (nul ? nul : end) && (p = memchr(p, '\n', (size_t)((nul ? nul : end) - p)));
             p++) {
            r->line++;
            r->line_start = p + 1 - r->data;
        }
        r->at = (nul ? nul : end) - r->data;
        if (nul)
            return fault(r, "found a NUL byte, expected text", err);
        if (quote || look < STEP)
            return DAL_OK;
    }
}

static dal_status quoted_field(dal_csv *r, dal_csv_field *f, dal_error *err)
{
    const dal_csv start = *r;
    f->quoted = 1;
    f->text = r->data + ++r->at;
    for (;; r->at++) {
        const dal_status st = find_quote(r, err);
        if (st != DAL_OK)
            return st;
        if (r->at >= r->size)
            return fault(&start, "this quote is never closed", err);
        if (r->at + 1 >= r->size || r->data[r->at + 1] != '"')
            break;
        f->escaped = 1;
        r->at++;
    }
    f->size = r->data + r->at - f->text;
    r->at++;
    skip_blanks(r);
    if (!at_end_of_line(r) && !at_delimiter(r) && r->delimiter != DAL_CSV_BLANKS)
        return fault(r, "found text after the closing quote, expected a delimiter", err);
    return DAL_OK;
}

static dal_status plain_field(dal_csv *r, dal_csv_field *f, dal_error *err)
{
    const char *p = r->data + r->at, *const end = r->data + r->size;
    const char first = r->delimiter ? r->delimiter : ' ', second = r->delimiter ? r->delimiter : '\t';
    f->text = p;
    while (p < end && *p != first && *p != second && *p != '\n' && *p != '\0' &&
           !(*p == '\r' && (p + 1 == end || p[1] == '\n')))
        p++;
    r->at = p - r->data;
    if (p < end && *p == '\0')
        return fault(r, "found a NUL byte, expected text", err);
    f->size = p - f->text;
    while (f->size > 0 && is_blank(f->text[f->size - 1]))
        f->size--;
    return DAL_OK;
}

dal_status dal_csv_next(dal_csv *r, dal_csv_field *fields, int64_t room, int64_t *n, dal_error *err)
{
    *n = 0;
    for (skip_blanks(r); r->at < r->size && at_end_of_line(r); skip_blanks(r))
        next_line(r);
    for (int more = r->at < r->size; more;) {
        skip_blanks(r);
        dal_csv_field f = {.line = r->line, .column = column(r)};
        const int quote = r->at < r->size && r->data[r->at] == '"';
        const dal_status st = quote ? quoted_field(r, &f, err) : plain_field(r, &f, err);
        if (st != DAL_OK)
            return st;
        if (*n < room)
            fields[*n] = f;
        (*n)++;
        if (r->delimiter == DAL_CSV_BLANKS)
            skip_blanks(r);
        more = !at_end_of_line(r);
        if (more && r->delimiter != DAL_CSV_BLANKS)
            r->at++;
    }
    if (*n > 0)
        next_line(r);
    return DAL_OK;
}

/* ---- fields ----------------------------------------------------------------------------------- */

int64_t dal_csv_text(const dal_csv_field *f, char *out, size_t size)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->size; i++, n++) {
        if (f->escaped && f->text[i] == '"')
            i++;
        if ((size_t)n + 1 < size)
            out[n] = f->text[i];
    }
    if (size > 0)
        out[(size_t)n < size ? (size_t)n : size - 1] = '\0';
    return n;
}

/* strtod would take "nan", "0x10" and what the user's locale says. */
int dal_csv_decimal(const dal_csv_field *f, char sign, double *out)
{
    char text[64], *end;
    if (f->size < 1 || f->size >= (int64_t)sizeof text)
        return 0;
    memcpy(text, f->text, (size_t)f->size);
    text[f->size] = '\0';
    if (strspn(text, sign == ',' ? "0123456789+-,eE" : "0123456789+-.eE") != (size_t)f->size)
        return 0;
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.'; /* a second one ends the number */
    const locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    const double x = c ? strtod_l(text, &end, c) : (end = text, 0);
    if (c)
        freelocale(c);
    *out = x;
    return *end == '\0' && isfinite(x);
}

int dal_csv_number(const dal_csv_field *f, double *out)
{
    return dal_csv_decimal(f, '.', out);
}

int dal_csv_integer(const dal_csv_field *f, int64_t *out)
{
    char text[32], *end;
    if (f->size < 1 || f->size >= (int64_t)sizeof text)
        return 0;
    memcpy(text, f->text, (size_t)f->size);
    text[f->size] = '\0';
    if (strspn(text, "0123456789+-") != (size_t)f->size)
        return 0;
    errno = 0;
    const long long x = strtoll(text, &end, 10);
    *out = x;
    return *end == '\0' && errno == 0;
}
