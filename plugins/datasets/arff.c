/* arff: vectors from a table in Weka's attribute-relation file format, with its nominal attributes one-hot.
 *
 * https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/: @relation, an @attribute line for each
 * column (numeric, real, integer, string, or {all, its, values}), @data, and a row a line: values between commas, or
 * the sparse form {number value, ...}, where what is not given is 0, or the first of an attribute's values. An unquoted
 * ? is a missing value, or of the class a sample without one. Names and values may stand in ' or "; a backslash takes
 * the next character as it is. Dates and relations are refused unless they are left out with drop; so are weights of
 * rows.
 *
 * A nominal attribute is 0 or 1 for each of its values, in the order of the file; a nominal class has its classes in
 * that order, seen or not. All else is as with csv.
 */
#include "table.h"

#include <dal/file.h>
#include <dal/text.h>
#include <strings.h>

typedef struct options {
    const char *path, *test_path;
    TABLE_OPTIONS;
} options;

#define MAX_CONTENT ((int64_t)1 << 32) /* a gzip file that inflates to more is refused */
#ifndef ARFF_MAX_COLUMNS
#define ARFF_MAX_COLUMNS (1 << 20)
#endif

#define OWN 2u

enum { NUMERIC, NOMINAL, STRING, DATE, RELATIONAL };

typedef struct attribute {
    int kind;
    dal_csv_field type; /* the rest of its line: of a nominal one the values in their braces */
} attribute;

/* One file: its columns, and a reader that stands before the first row. */
typedef struct source {
    dal_file *file;
    dal_lines rows;
    dal_csv_field *names;  /* [n] OWN in `quoted`: the text is ours */
    attribute *attributes; /* [n] */
    int64_t n, room;
} source;

typedef struct arff {
    table t; /* first: the shared slots see only this */
    source sources[2]; /* of t.files */
    dal_csv_field *fields, *zeros; /* [width] a row; what a sparse one does not say */
    char *scratch;                 /* values of a row without their backslashes */
    int64_t n_scratch, used;
} arff;

/* A place in a line. */
typedef struct cursor {
    const char *p;
    int64_t n, at, line;
    const table_file *in;
} cursor;

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the table");
}

static dal_status fault(const cursor *c, int64_t at, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, c->in->key, "%s:%lld:%lld: %s", c->in->path, (long long)c->line,
                    (long long)at + 1, what);
}

/* ---- words of a line -------------------------------------------------------------------------- */

static void skip_blanks(cursor *c)
{
    while (c->at < c->n && (c->p[c->at] == ' ' || c->p[c->at] == '\t'))
        c->at++;
}

static int at_end(const cursor *c)
{
    return c->at >= c->n || c->p[c->at] == '%';
}

static int take(cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at >= c->n || c->p[c->at] != wanted)
        return 0;
    c->at++;
    return 1;
}

static int64_t word_end(const cursor *c)
{
    int64_t i = c->at;
    while (i < c->n && !strchr(" \t,{}%", c->p[i]))
        i++;
    return i;
}

/* The next value or name: a slice of the line, or, where it has backslashes, of self->scratch. */
static dal_status take_value(arff *self, cursor *c, dal_csv_field *f, dal_error *err)
{
    skip_blanks(c);
    const int64_t from = c->at;
    const char quote = c->at < c->n && (c->p[c->at] == '\'' || c->p[c->at] == '"') ? c->p[c->at] : '\0';
    int slashes = 0;
    *f = (dal_csv_field){.line = c->line, .column = from + 1, .quoted = quote != '\0'};
    if (!quote) {
        c->at = word_end(c);
        if (c->at == from)
            return fault(c, from, "found no value; an unquoted ? is a missing one", err);
        f->text = c->p + from;
        f->size = c->at - from;
        slashes = memchr(f->text, '\\', (size_t)f->size) != NULL;
    } else {
        for (c->at++; c->at < c->n && c->p[c->at] != quote; c->at++)
            if (c->p[c->at] == '\\' && c->at + 1 < c->n) {
                slashes = 1;
                c->at++;
            }
        if (c->at >= c->n)
            return fault(c, from, "this quote is never closed", err);
        f->text = c->p + from + 1;
        f->size = c->at++ - from - 1;
        if (!at_end(c) && !strchr(" \t,}{", c->p[c->at]))
            return fault(c, c->at, "found text after the closing quote, expected a comma", err);
    }
    if (!slashes)
        return DAL_OK;
    char *to = self->scratch + self->used; /* which has room for a line */
    int64_t n = 0;
    for (int64_t i = 0; i < f->size; i++) {
        i += f->text[i] == '\\' && i + 1 < f->size;
        to[n++] = f->text[i];
    }
    f->text = to;
    f->size = n;
    self->used += n;
    return DAL_OK;
}

/* The next line, or *more 0; scratch has room for all of it. */
static dal_status next_line(arff *self, dal_lines *rows, const table_file *in, cursor *c, int *more, dal_error *err)
{
    const char *text = NULL;
    int64_t n = -1;
    const dal_status st = dal_lines_next(rows, &text, &n, err);
    *more = st == DAL_OK && n >= 0;
    *c = (cursor){text, n, 0, *more ? rows->line - 1 : rows->line, in};
    self->used = 0;
    if (st == DAL_OK && n > self->n_scratch) {
        self->t.host->free(self->t.host, self->scratch);
        self->n_scratch = 2 * n;
        self->scratch = dal_array(self->t.host, self->n_scratch, 1);
        if (!self->scratch)
            return no_memory(err);
    }
    skip_blanks(c);
    return st;
}

/* ---- the header ------------------------------------------------------------------------------- */

/* Is the next word this one, in any case? Then go on behind it. */
static int take_word(cursor *c, const char *word)
{
    skip_blanks(c);
    const int64_t n = word_end(c) - c->at;
    if (n != (int64_t)strlen(word) || strncasecmp(c->p + c->at, word, (size_t)n) != 0)
        return 0;
    c->at += n;
    return 1;
}

static dal_status add_column(arff *self, source *s, const cursor *c, const dal_csv_field *name, const attribute *a,
                             dal_error *err)
{
    const dal_host *host = self->t.host;
    if (s->n == ARFF_MAX_COLUMNS)
        return fault(c, 0, "more attributes than can be", err);
    if (s->n == s->room) {
        const int64_t room = s->room ? 2 * s->room : 64;
        dal_csv_field *names = dal_array(host, room, sizeof *names);
        attribute *attributes = dal_array(host, room, sizeof *attributes);
        if (!names || !attributes) {
            host->free(host, names);
            host->free(host, attributes);
            return no_memory(err);
        }
        if (s->n > 0) {
            memcpy(names, s->names, (size_t)s->n * sizeof *names);
            memcpy(attributes, s->attributes, (size_t)s->n * sizeof *attributes);
        }
        host->free(host, s->names);
        host->free(host, s->attributes);
        s->names = names;
        s->attributes = attributes;
        s->room = room;
    }
    s->names[s->n] = *name;
    s->attributes[s->n] = *a;
    if (self->used > 0) { /* without its backslashes: it must outlive the line */
        char *copy = dal_array(host, name->size, 1);
        if (!copy)
            return no_memory(err);
        s->names[s->n].text = memcpy(copy, name->text, (size_t)name->size);
        s->names[s->n].quoted = OWN;
    }
    s->n++;
    return DAL_OK;
}

/* What follows "@attribute". */
static dal_status take_attribute(arff *self, source *s, cursor *c, dal_error *err)
{
    static const struct {
        const char *word;
        int kind;
    } types[] = {{"numeric", NUMERIC}, {"real", NUMERIC}, {"integer", NUMERIC},
                 {"string", STRING},   {"date", DATE},    {"relational", RELATIONAL}};
    dal_csv_field name;
    attribute a = {.kind = -1};
    const dal_status st = take_value(self, c, &name, err);
    if (st != DAL_OK)
        return st;
    skip_blanks(c);
    a.type = (dal_csv_field){.text = c->p + c->at, .size = c->n - c->at, .line = c->line, .column = c->at + 1};
    if (c->at < c->n && c->p[c->at] == '{') {
        a.kind = NOMINAL;
        return add_column(self, s, c, &name, &a, err);
    }
    for (size_t i = 0; i < sizeof types / sizeof *types && a.kind < 0; i++)
        if (take_word(c, types[i].word))
            a.kind = types[i].kind;
    skip_blanks(c);
    if (a.kind < 0)
        return fault(c, c->at, "expected numeric, real, integer, string, date or {the values} of this attribute", err);
    if (a.kind == RELATIONAL)
        return fault(c, a.type.column - 1, "relations in a relation cannot be read", err);
    if (a.kind != DATE && !at_end(c))
        return fault(c, c->at, "found more behind the type of this attribute", err);
    return add_column(self, s, c, &name, &a, err);
}

/* All up to @data. */
static dal_status read_header(arff *self, source *s, const table_file *in, dal_error *err)
{
    cursor c;
    int more;
    for (;;) {
        dal_status st = next_line(self, &s->rows, in, &c, &more, err);
        if (st != DAL_OK)
            return st;
        if (!more)
            return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld: found no line @data%s", in->path, (long long)c.line,
                            s->n ? "" : " and no @attribute: is this an ARFF file?");
        if (at_end(&c) || take_word(&c, "@relation"))
            continue;
        if (take_word(&c, "@data"))
            return s->n > 0 ? DAL_OK : fault(&c, 0, "found no attributes before this line", err);
        if (!take_word(&c, "@attribute"))
            return fault(&c, c.at, "expected @relation, @attribute, @data or a comment after %", err);
        st = take_attribute(self, s, &c, err);
        if (st != DAL_OK)
            return st;
    }
}

static dal_status open_source(void *p, int i, dal_error *err)
{
    arff *self = p;
    source *s = &self->sources[i];
    const table_file *in = &self->t.files[i];
    int64_t size;
    dal_status st = dal_file_open(self->t.host, in->path, in->key, &s->file, err);
    if (st == DAL_OK)
        st = dal_file_load(s->file, MAX_CONTENT, 0, err);
    if (st != DAL_OK)
        return st;
    const void *data = dal_file_data(s->file, &size);
    s->rows = dal_lines_open(in->path, in->key, data, size);
    return read_header(self, s, in, err);
}

/* The values of a nominal attribute, in order. */
static dal_status take_values(arff *self, int64_t j, word_list *values, dal_error *err)
{
    const table_file *in = &self->t.files[0];
    const dal_csv_field *type = &self->sources[0].attributes[j].type;
    cursor c = {type->text - type->column + 1, type->size + type->column - 1, type->column, type->line, in};
    dal_csv_field f;
    char text[WORDS_LONGEST];
    int32_t number;
    for (int more = !take(&c, '}'); more; more = !take(&c, '}')) {
        self->used = 0;
        const int64_t from = c.at;
        dal_status st = take_value(self, &c, &f, err);
        if (st != DAL_OK)
            return st;
        if (dal_csv_text(&f, text, sizeof text) >= (int64_t)sizeof text || dal_utf8_fault(text, f.size) >= 0 ||
            f.size == 0)
            return fault(&c, from, "expected values of UTF-8, not empty and of fewer than 256 bytes", err);
        for (const char *p = text; *p; p++)
            if ((unsigned char)*p < 0x20)
                return fault(&c, from, "a value with a control character", err);
        if (words_find(values, text) >= 0)
            return fault(&c, from, "this value is there twice", err);
        st = words_add(self->t.host, values, text, &number, err);
        if (st != DAL_OK)
            return st;
        if (values->n > TABLE_MAX_CLASSES)
            return fault(&c, from, "more values than can be", err);
        skip_blanks(&c);
        if (!take(&c, ',') && (c.at >= c.n || c.p[c.at] != '}'))
            return fault(&c, c.at, "expected a comma or } after a value", err);
    }
    skip_blanks(&c);
    if (!at_end(&c))
        return fault(&c, c.at, "found more behind the values of this attribute", err);
    return values->n > 0 ? DAL_OK : fault(&c, type->column - 1, "an attribute without values", err);
}

/* What the file says of its columns becomes what the table knows of them. */
static dal_status settle_columns(arff *self, dal_error *err)
{
    table *t = &self->t;
    const source *s = &self->sources[0];
    dal_status st = table_columns(t, s->names, s->n, err);
    for (int64_t j = 0; j < s->n && st == DAL_OK; j++) {
        table_column *c = &t->columns[j];
        const attribute *a = &s->attributes[j];
        cursor at = {NULL, 0, 0, a->type.line, &t->files[0]};
        if (a->kind == DATE && c->kind != TABLE_DROPPED)
            return fault(&at, a->type.column - 1,
                         "this attribute is a date, which is no number; leave it out with drop", err);
        self->zeros[j] = (dal_csv_field){.text = "0", .size = a->kind != STRING};
        if (a->kind != NOMINAL)
            continue;
        word_list dropped = {0}, *values = c->kind == TABLE_CLASSES ? &t->class_names : &c->values;
        st = take_values(self, j, c->kind == TABLE_DROPPED ? &dropped : values, err);
        words_free(t->host, &dropped);
        if (st != DAL_OK || c->kind == TABLE_DROPPED)
            continue;
        if (c->kind == TABLE_NUMBERS)
            c->kind = TABLE_WORDS;
        c->declared = c->asked = 1;
        self->zeros[j] = (dal_csv_field){.text = values->texts[0], .size = (int64_t)strlen(values->texts[0]),
                                         .quoted = 1};
    }
    return st;
}

/* Two files must mean the same columns. */
static dal_status compare_headers(const arff *self, dal_error *err)
{
    const source *a = &self->sources[0], *b = &self->sources[1];
    const table_file *in = self->t.files;
    char x[48], y[48];
    if (a->n != b->n)
        return dal_fail(err, DAL_E_FORMAT, in[1].key, "%s: found %lld attributes, expected %lld as in %s", in[1].path,
                        (long long)b->n, (long long)a->n, in[0].path);
    for (int64_t j = 0; j < a->n; j++)
        if (a->names[j].size != b->names[j].size || a->attributes[j].kind != b->attributes[j].kind ||
            memcmp(a->names[j].text, b->names[j].text, (size_t)a->names[j].size) != 0)
            return dal_fail(err, DAL_E_FORMAT, in[1].key,
                            "%s:%lld:%lld: found attribute '%s', expected '%s' and its type as in %s", in[1].path,
                            (long long)b->names[j].line, (long long)b->names[j].column, table_shown(&b->names[j], x),
                            table_shown(&a->names[j], y), in[0].path);
    return DAL_OK;
}

/* ---- rows ------------------------------------------------------------------------------------- */

/* An unquoted ? is missing, whatever else the file has as text. */
static void mark_missing(dal_csv_field *f)
{
    if (!f->quoted && f->size == 1 && f->text[0] == '?')
        f->size = 0;
}

/* "{1 value, 7 value}" after its first brace. */
static dal_status take_sparse(arff *self, cursor *c, dal_error *err)
{
    const int64_t width = self->sources[0].n;
    int64_t last = -1, j;
    dal_csv_field number;
    for (int64_t k = 0; k < width; k++) {
        self->fields[k] = self->zeros[k];
        self->fields[k].line = c->line;
        self->fields[k].column = 1;
    }
    for (int more = !take(c, '}'); more;) {
        skip_blanks(c);
        const int64_t from = c->at;
        dal_status st = take_value(self, c, &number, err);
        if (st != DAL_OK)
            return st;
        if (number.quoted || !dal_csv_integer(&number, &j) || j <= last || j >= width)
            return dal_fail(err, DAL_E_FORMAT, c->in->key,
                            "%s:%lld:%lld: expected the number of an attribute, %lld..%lld", c->in->path,
                            (long long)c->line, (long long)from + 1, (long long)last + 1, (long long)width - 1);
        last = j;
        st = take_value(self, c, &self->fields[j], err);
        if (st != DAL_OK)
            return st;
        mark_missing(&self->fields[j]);
        more = !take(c, '}');
        if (more && !take(c, ','))
            return fault(c, c->at, "expected a comma or } after a value", err);
    }
    return DAL_OK;
}

static dal_status take_dense(arff *self, cursor *c, dal_error *err)
{
    const int64_t width = self->sources[0].n;
    int64_t n = 0;
    for (int more = 1; more;) {
        dal_csv_field f;
        const dal_status st = take_value(self, c, &f, err);
        if (st != DAL_OK)
            return st;
        mark_missing(&f);
        if (n < width)
            self->fields[n] = f;
        n++;
        more = take(c, ',');
        skip_blanks(c);
        if (!more && !at_end(c) && c->p[c->at] != '{' && c->p[c->at] != '}')
            more = 1; /* blanks part values, too */
        if (more && c->at < c->n && c->p[c->at] == '{')
            break;
    }
    if (n != width)
        return dal_fail(err, DAL_E_FORMAT, c->in->key,
                        "%s:%lld:1: found %lld values, expected %lld, one for each attribute", c->in->path,
                        (long long)c->line, (long long)n, (long long)width);
    return DAL_OK;
}

static dal_status each_row(void *p, int i, table_taker *take_row, dal_error *err)
{
    arff *self = p;
    const dal_host *host = self->t.host;
    const table_file *in = &self->t.files[i];
    dal_lines rows = self->sources[i].rows;
    cursor c;
    int more;
    for (;;) {
        dal_status st = next_line(self, &rows, in, &c, &more, err);
        if (st != DAL_OK || !more)
            return st;
        if (at_end(&c))
            continue;
        st = take(&c, '{') ? take_sparse(self, &c, err) : take_dense(self, &c, err);
        skip_blanks(&c);
        if (st == DAL_OK && c.at < c.n && c.p[c.at] == '{')
            st = fault(&c, c.at, "the weight of a row cannot be used; take it out", err);
        if (st == DAL_OK && !at_end(&c))
            st = fault(&c, c.at, "found more behind the row", err);
        if (st == DAL_OK)
            st = take_row(&self->t, i, self->fields, err);
        if (st != DAL_OK)
            return st;
        if (rows.line % 4096 == 0 && host->cancelled(host))
            return dal_fail(err, DAL_E_CANCELLED, in->key, "stopped while reading %s", in->path);
    }
}

static dal_status take_columns(void *p, dal_error *err)
{
    arff *self = p;
    const int64_t n = self->sources[0].n;
    const dal_status st = self->t.n_files == 2 ? compare_headers(self, err) : DAL_OK;
    if (st != DAL_OK)
        return st;
    self->fields = dal_array(self->t.host, n, sizeof *self->fields);
    self->zeros = dal_array(self->t.host, n, sizeof *self->zeros);
    return self->fields && self->zeros ? settle_columns(self, err) : no_memory(err);
}

static void close_sources(void *p)
{
    arff *self = p;
    const dal_host *host = self->t.host;
    for (int i = 0; i < 2; i++) {
        source *s = &self->sources[i];
        for (int64_t j = 0; j < s->n; j++)
            if (s->names[j].quoted == OWN)
                host->free(host, (void *)(uintptr_t)s->names[j].text);
        host->free(host, s->names);
        host->free(host, s->attributes);
        dal_file_close(s->file);
    }
    host->free(host, self->fields);
    host->free(host, self->zeros);
    host->free(host, self->scratch);
}

/* ---- the table of functions ------------------------------------------------------------------- */

static const table_reader reader = {sizeof(arff), open_source, take_columns, each_row, close_sources,
                                    "found no rows after @data"};

static dal_status arff_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    const options *o = opt;
    (void)input;
    return table_create(host, &reader, o, &TABLE_RULE(o), o->path, o->test_path, out, err);
}

static const dal_dataset_impl arff_impl = {
    .struct_size = sizeof arff_impl,
    .create = arff_create,
    TABLE_SLOTS,
};

#define PARAMS(P, T)                                                                                    \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the table; plain or packed")                              \
    P(T, test_path, PATH, "", "file", "", "a table with the same attributes, for the test split")       \
    TABLE_PARAMS(P, T, "", "")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "arff", arff_impl, "vectors from a table in Weka's ARFF, dense or sparse, plain or packed", \
      "Witten, Frank & Hall: Data Mining, 2011", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(arff, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
