/* csv: vectors from a table in text, of numbers or of numbers and words, with a column of classes.
 *
 * The table is read into f32 rows in temp_map memory; gzip files too. Classes are the distinct texts of the label
 * column over both files, in numeric order when all are integers, else in byte order; an empty label or "?" is a sample
 * without a class. A missing value is an empty field, ?, NA, N/A, nan or null (`markers`); the mean or median that
 * fills it in is taken over the pool alone. Columns of words are refused, or left out, or one-hot: a value of 0 or 1
 * for each text over both files, in the same order as classes; which is which the log tells. The texts of the column
 * `group` tell which source (site, patient, person) a sample is of; a missing one that it is not known.
 *
 * Without a test file, `test_fraction` of each class is set aside, chosen at random: with split_seed 0
 * by the seed of the run, with any other number always alike.
 */
#include "table.h"

#include <dal/file.h>
#include <strings.h>

typedef struct options {
    const char *path, *test_path, *delimiter;
    uint32_t header, decimal;
    TABLE_OPTIONS;
} options;

enum { HEADER_AUTO, HEADER_YES, HEADER_NO };
enum { DECIMAL_POINT, DECIMAL_COMMA };

#define MAX_CONTENT ((int64_t)1 << 32) /* a gzip file that inflates to more is refused */

/* One file: its first record, and a reader that stands before the first row of values. */
typedef struct source {
    dal_file *file;
    dal_csv rows;
    dal_csv_field *first; /* [width] */
    int64_t width;
    int header;
} source;

typedef struct csv {
    table t; /* first: the shared slots see only this */
    source sources[2]; /* of t.files */
    dal_csv_field *fields; /* [width] scratch */
} csv;

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the table");
}

/* ---- the shape of a file ---------------------------------------------------------------------- */

static dal_status find_delimiter(const options *o, const void *data, int64_t size, char *out, dal_error *err)
{
    static const struct {
        const char *word;
        char delimiter;
    } known[] = {{"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}, {"blanks", DAL_CSV_BLANKS}};
    *out = dal_csv_guess(data, size);
    if (strcmp(o->delimiter, "auto") == 0)
        return DAL_OK;
    for (int i = 0; i < 4; i++) {
        *out = known[i].delimiter;
        if (strcmp(o->delimiter, known[i].word) == 0)
            return DAL_OK;
    }
    *out = o->delimiter[0];
    if (strlen(o->delimiter) == 1 && !strchr("\"\r\n", *out))
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "delimiter",
                    "found '%.20s', expected auto, comma, semicolon, tab, blanks or one character", o->delimiter);
}

/* Is there no text in this field that could be a name? */
static int is_empty(const options *o, const dal_csv_field *f)
{
    char text[32];
    if (f->size == 0 || dal_csv_text(f, text, sizeof text) >= (int64_t)sizeof text)
        return f->size == 0;
    for (int64_t i = 0; i < o->markers.n; i++)
        if (strcasecmp(text, o->markers.items[i]) == 0)
            return 1;
    return 0;
}

/* A number, with any sign for decimals: which one it is may be what the options get wrong. */
static int any_number(const dal_csv_field *f)
{
    double x;
    return dal_csv_number(f, &x) || dal_csv_decimal(f, ',', &x);
}

/* A first record is a header when it has a word above a column that begins with a number. */
static int looks_like_header(const options *o, const dal_csv_field *first, const dal_csv_field *second, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        if (!any_number(&first[j]) && !is_empty(o, &first[j]) && any_number(&second[j]))
            return 1;
    return 0;
}

/* Decide about the header and let s->rows stand after it. */
static dal_status settle_header(csv *self, source *s, dal_error *err)
{
    dal_csv next = s->rows;
    int64_t n;
    dal_status st = dal_csv_next(&s->rows, s->first, s->width, &n, err);
    const dal_csv after = s->rows;
    const options *o = self->t.options;
    s->header = o->header == HEADER_YES;
    if (st == DAL_OK && o->header == HEADER_AUTO) {
        st = dal_csv_next(&s->rows, self->fields, s->width, &n, err);
        s->header = st == DAL_OK && n == s->width && looks_like_header(o, s->first, self->fields, n);
    }
    s->rows = s->header ? after : next;
    return st;
}

static dal_status open_source(void *p, int i, dal_error *err)
{
    csv *self = p;
    source *s = &self->sources[i];
    const table_file *in = &self->t.files[i];
    const dal_host *host = self->t.host;
    int64_t size = 0;
    char delimiter = ',';
    self->t.decimal = ((const options *)self->t.options)->decimal == DECIMAL_COMMA ? ',' : '.';
    dal_status st = dal_file_open(host, in->path, in->key, &s->file, err);
    if (st == DAL_OK)
        st = dal_file_load(s->file, MAX_CONTENT, 0, err);
    if (st != DAL_OK)
        return st;
    const void *data = dal_file_data(s->file, &size);
    st = find_delimiter(self->t.options, data, size, &delimiter, err);
    s->rows = dal_csv_open(in->path, in->key, data, size, delimiter);
    dal_csv ahead = s->rows;
    if (st == DAL_OK)
        st = dal_csv_next(&ahead, NULL, 0, &s->width, err);
    if (st == DAL_OK && s->width == 0)
        return dal_fail(err, DAL_E_FORMAT, in->key, "%s: the file is empty", in->path);
    if (st == DAL_OK && self->sources[0].width != s->width)
        return dal_fail(err, DAL_E_FORMAT, in->key, "%s:1:1: found %lld columns, expected %lld as in %s", in->path,
                        (long long)s->width, (long long)self->sources[0].width, self->t.files[0].path);
    if (st != DAL_OK)
        return st;
    if (!self->fields)
        self->fields = dal_array(host, s->width, sizeof *self->fields);
    s->first = dal_array(host, s->width, sizeof *s->first);
    return s->first && self->fields ? settle_header(self, s, err) : no_memory(err);
}

/* Two files with headers must mean the same columns. */
static dal_status compare_headers(const csv *self, dal_error *err)
{
    const source *a = &self->sources[0], *b = &self->sources[1];
    const table_file *in = self->t.files;
    char x[48], y[48];
    for (int64_t j = 0; a->header && b->header && j < a->width; j++)
        if (a->first[j].size != b->first[j].size ||
            memcmp(a->first[j].text, b->first[j].text, (size_t)a->first[j].size) != 0)
            return dal_fail(err, DAL_E_FORMAT, in[1].key, "%s:%lld:%lld: found column '%s', expected '%s' as in %s",
                            in[1].path, (long long)b->first[j].line, (long long)b->first[j].column,
                            table_shown(&b->first[j], x), table_shown(&a->first[j], y), in[0].path);
    return DAL_OK;
}

static dal_status take_columns(void *p, dal_error *err)
{
    csv *self = p;
    const source *s = &self->sources[0];
    const dal_status st = compare_headers(self, err);
    return st == DAL_OK ? table_columns(&self->t, s->header ? s->first : NULL, s->width, err) : st;
}

/* ---- rows ------------------------------------------------------------------------------------- */

static dal_status each_row(void *p, int i, table_taker *take, dal_error *err)
{
    csv *self = p;
    const dal_host *host = self->t.host;
    const source *s = &self->sources[i];
    const table_file *in = &self->t.files[i];
    dal_csv r = s->rows;
    int64_t n;
    for (int64_t row = 0;; row++) {
        dal_status st = dal_csv_next(&r, self->fields, s->width, &n, err);
        if (st != DAL_OK || n == 0)
            return st;
        if (n != s->width)
            return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:1: found %lld columns, expected %lld as in line %lld",
                            in->path, (long long)self->fields[0].line, (long long)n, (long long)s->width,
                            (long long)s->first[0].line);
        st = take(&self->t, i, self->fields, err);
        if (st != DAL_OK)
            return st;
        if (row % 4096 == 0 && host->cancelled(host))
            return dal_fail(err, DAL_E_CANCELLED, in->key, "stopped while reading %s", in->path);
    }
}

static void close_sources(void *p)
{
    csv *self = p;
    const dal_host *host = self->t.host;
    for (int i = 0; i < 2; i++) {
        dal_file_close(self->sources[i].file);
        host->free(host, self->sources[i].first);
    }
    host->free(host, self->fields);
}

/* ---- the table of functions ------------------------------------------------------------------- */

static const table_reader reader = {sizeof(csv), open_source, take_columns, each_row, close_sources,
                                    "found no rows of values"};

static dal_status csv_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    const options *o = opt;
    (void)input;
    return table_create(host, &reader, o, &TABLE_RULE(o), o->path, o->test_path, out, err);
}

static const dal_dataset_impl csv_impl = {
    .struct_size = sizeof csv_impl,
    .create = csv_create,
    TABLE_SLOTS,
};

#define PARAMS(P, T)                                                                                    \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the table; plain or packed")                              \
    P(T, test_path, PATH, "", "file", "", "a table with the same columns, for the test split")          \
    P(T, header, CHOICE, "auto", "auto|yes|no", "", "is the first line names of columns")               \
    P(T, delimiter, STR, "auto", "nonempty", "", "auto, comma, semicolon, tab, blanks or one character") \
    P(T, decimal, CHOICE, "point", "point|comma", "", "what stands before the decimals of a number")    \
    TABLE_PARAMS(P, T, "['?', NA, N/A, nan, 'null']", "['?']")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "csv", csv_impl, "vectors from a table in text, of numbers or with words, plain or packed", "", "", \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(csv, "1.2", "Apache-2.0", COMPONENTS, NULL, NULL)
