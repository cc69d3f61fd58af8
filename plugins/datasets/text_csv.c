/* text-csv: texts from a table, one a record, with a column of labels: AG News, Yelp, DBpedia and their like.
 *
 * The file is gone through once, to find where the records lie, what they are labelled and how long their texts are;
 * texts are decoded when they are read. Plain files are mapped; packed ones and members of
 * archives are unpacked once, into temporary space. A text is one column, or several joined. Pairs of quotes inside a
 * quoted field are a quote; what a backslash means is a parameter, since the files differ: Yelp and DBpedia write a
 * line break as \n, AG News as a lone backslash.
 */
#include <dal/csv.h>
#include <dal/file.h>
#include <dal/texts.h>

typedef struct options {
    const char *path, *validation_path, *test_path, *delimiter, *label, *group, *join, *names;
    const char *member, *validation_member, *test_member;
    uint32_t header, backslash, labels, encoding;
    dal_str_list text, class_names;
} options;

enum { HEADER_AUTO, HEADER_YES, HEADER_NO };
enum { KEEP, NEWLINE, BREAK };

#define MAX_CONTENT ((int64_t)1 << 32) /* a gzip file that inflates to more is refused */
#define MAX_COLUMNS 256
#define LISTED 12 /* columns listed in a message */

typedef struct text_csv {
    dal_texts texts; /* first: the shared slots see only this */
    const options *opt;
    dal_file *files[DAL_SPLITS];
    dal_csv start[DAL_SPLITS]; /* before the first record of texts */
    dal_csv_field *first;      /* [MAX_COLUMNS] the first record of the first file */
    int header;
    int64_t width, label, group; /* columns; that of the labels, of the sources, or -1 */
    int64_t *columns;     /* [n_columns] of the text, in the order of joining */
    int64_t n_columns, join_size;
} text_csv;

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the texts");
}

/* ---- the shape of the files --------------------------------------------------------------------- */

static dal_status find_delimiter(const options *o, char *out, dal_error *err)
{
    static const struct {
        const char *word;
        char delimiter;
    } words[] = {{"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(o->delimiter, words[i].word) == 0) {
            *out = words[i].delimiter;
            return DAL_OK;
        }
    *out = o->delimiter[0];
    if (strlen(o->delimiter) == 1 && !strchr("\"\r\n ", *out))
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "delimiter", "found '%.20s', expected comma, semicolon, tab or one character",
                    o->delimiter);
}

static dal_status open_file(text_csv *self, uint32_t k, const char *path, const char *member, const char *key,
                            dal_error *err)
{
    char delimiter = ',';
    int64_t size;
    dal_status st = find_delimiter(self->opt, &delimiter, err);
    if (st == DAL_OK)
        st = dal_file_open_member(self->texts.host, path, member, MAX_CONTENT, key, &self->files[k], err);
    if (st == DAL_OK)
        st = dal_file_load(self->files[k], MAX_CONTENT, 0, err);
    if (st != DAL_OK)
        return st;
    const void *data = dal_file_data(self->files[k], &size);
    self->start[k] = dal_csv_open(path, key, data, size, delimiter);
    self->texts.path[k] = path;
    return DAL_OK;
}

static int is_text(const dal_csv_field *f, const char *word)
{
    char text[256];
    return dal_csv_text(f, text, sizeof text) < (int64_t)sizeof text && strcmp(text, word) == 0;
}

/* Parameters that name a column which is not a number: then the first record must be a header. */
static int wants_header(const options *o, const dal_csv_field *first, int64_t width)
{
    for (int64_t i = -2; i < o->text.n; i++) {
        const char *name = i == -2 ? o->group : i < 0 ? o->label : o->text.items[i];
        const dal_csv_field as_field = {.text = name, .size = (int64_t)strlen(name)};
        int64_t number;
        for (int64_t j = 0; j < width && name[0] && !dal_csv_integer(&as_field, &number); j++)
            if (is_text(&first[j], name))
                return 1;
    }
    return 0;
}

/* Decide about the header by the first file, and let all readers stand after it. */
static dal_status settle_header(text_csv *self, dal_error *err)
{
    const options *o = self->opt;
    dal_csv ahead = self->start[0];
    self->first = dal_array(self->texts.host, MAX_COLUMNS, sizeof *self->first);
    if (!self->first)
        return no_memory(err);
    dal_status st = dal_csv_next(&ahead, self->first, MAX_COLUMNS, &self->width, err);
    if (st != DAL_OK)
        return st;
    if (self->width == 0)
        return dal_fail(err, DAL_E_FORMAT, "path", "%s: the file is empty", o->path);
    if (self->width > MAX_COLUMNS)
        return dal_fail(err, DAL_E_FORMAT, "path", "%s:%lld: found %lld columns, expected at most %d", o->path,
                        (long long)self->first[0].line, (long long)self->width, MAX_COLUMNS);
    self->header = o->header == HEADER_YES || (o->header == HEADER_AUTO && wants_header(o, self->first, self->width));
    for (uint32_t k = 0; k < DAL_SPLITS && self->header && st == DAL_OK; k++) {
        int64_t n;
        if (self->files[k])
            st = dal_csv_next(&self->start[k], NULL, 0, &n, err);
    }
    return st;
}

static dal_status no_column(const text_csv *self, const char *key, const char *name, dal_error *err)
{
    char list[700] = "", one[44];
    size_t at = 0;
    if (!self->header)
        return dal_fail(err, DAL_E_INVALID, key, "no column '%.60s': %s has no header, expected a number -%lld..%lld",
                        name, self->opt->path, (long long)self->width, (long long)self->width - 1);
    for (int64_t j = 0; j < self->width && j < LISTED; j++) {
        dal_csv_text(&self->first[j], one, sizeof one);
        for (char *p = one; *p; p++)
            *p = (unsigned char)*p < 0x20 ? '?' : *p;
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", j ? ", " : "", one);
    }
    return dal_fail(err, DAL_E_INVALID, key, "no column '%.60s' in %.200s; it has %s%s", name, self->opt->path, list,
                    self->width > LISTED ? " and more" : "");
}

/* A column by its name in the header, else by its number, from the end when negative. */
static dal_status find_column(const text_csv *self, const char *key, const char *name, int64_t *column, dal_error *err)
{
    const dal_csv_field as_field = {.text = name, .size = (int64_t)strlen(name)};
    int64_t found = -1;
    for (int64_t j = 0; self->header && j < self->width && found < 0; j++)
        found = is_text(&self->first[j], name) ? j : -1;
    if (found < 0 && dal_csv_integer(&as_field, &found))
        found += found < 0 ? self->width : 0;
    if (found < 0 || found >= self->width)
        return no_column(self, key, name, err);
    *column = found;
    return DAL_OK;
}

static dal_status settle_columns(text_csv *self, dal_error *err)
{
    const options *o = self->opt;
    dal_status st = DAL_OK;
    self->label = self->group = -1;
    self->columns = dal_array(self->texts.host, self->width + o->text.n, sizeof *self->columns);
    if (!self->columns)
        return no_memory(err);
    if (o->label[0])
        st = find_column(self, "label", o->label, &self->label, err);
    if (o->group[0] && st == DAL_OK)
        st = find_column(self, "group", o->group, &self->group, err);
    if (st == DAL_OK && self->group >= 0 && self->group == self->label)
        st = dal_fail(err, DAL_E_INVALID, "group",
                      "column '%.60s' is the label; a source is known before any label is", o->group);
    for (int64_t i = 0; i < o->text.n && st == DAL_OK; i++) {
        st = find_column(self, "text", o->text.items[i], &self->columns[self->n_columns++], err);
        if (st == DAL_OK && self->columns[i] == self->label)
            st = dal_fail(err, DAL_E_INVALID, "text", "column '%.60s' is the label", o->text.items[i]);
    }
    for (int64_t j = 0; j < self->width && o->text.n == 0; j++)
        if (j != self->label && j != self->group)
            self->columns[self->n_columns++] = j;
    if (st == DAL_OK && self->n_columns == 0)
        st = dal_fail(err, DAL_E_INVALID, "text", "%s has no column of text beside those of labels and sources",
                      o->path);
    self->join_size = (int64_t)strlen(o->join);
    return st;
}

/* ---- texts -------------------------------------------------------------------------------------- */

/* Where the next c is in text[n] from `at` on, or n; *known is that of the last call, so that looking is linear. */
static int64_t look_for(const dal_csv_field *f, char c, int64_t at, int64_t *known)
{
    if (*known < at) {
        const char *p = memchr(f->text + at, c, (size_t)(f->size - at));
        *known = p ? p - f->text : f->size;
    }
    return *known;
}

/* The UTF-8 of a field into out, or only its length when out is NULL. */
static int64_t decode_field(const options *o, const dal_csv_field *f, char *out)
{
    const int latin1 = o->encoding == DAL_LATIN1 || (o->encoding == DAL_MIXED && dal_utf8_fault(f->text, f->size) >= 0);
    int64_t n = 0, quote = f->escaped ? -1 : f->size, slash = o->backslash != KEEP ? -1 : f->size;
    for (int64_t at = 0; at < f->size;) {
        const int64_t q = look_for(f, '"', at, &quote), b = look_for(f, '\\', at, &slash), end = q < b ? q : b;
        n += dal_to_utf8(latin1 ? DAL_LATIN1 : DAL_UTF8, f->text + at, end - at, out ? out + n : NULL);
        at = end;
        if (at == f->size)
            break;
        char c = f->text[at++];
        const char next = at < f->size ? f->text[at] : '\0';
        if (c == '\\' && o->backslash == BREAK) {
            c = ' ';
        } else if (c == '\\' && (next == 'n' || next == '"')) {
            c = next == 'n' ? '\n' : '"';
            at += 1 + (c == '"' && f->escaped); /* a quote was doubled as well */
        } else if (c == '"') {
            at++;
        }
        if (out)
            out[n] = c;
        n++;
    }
    return n;
}

static int64_t decode_record(const text_csv *self, const dal_csv_field *fields, char *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < self->n_columns; i++) {
        const dal_csv_field *f = &fields[self->columns[i]];
        if (f->size == 0)
            continue;
        if (n > 0) {
            if (out)
                memcpy(out + n, self->opt->join, (size_t)self->join_size);
            n += self->join_size;
        }
        n += decode_field(self->opt, f, out ? out + n : NULL);
    }
    return n;
}

static dal_status decode(void *p, uint32_t k, const dal_text_row *row, char *out, dal_error *err)
{
    const text_csv *self = p;
    dal_csv r = self->start[k];
    dal_csv_field fields[MAX_COLUMNS];
    int64_t n;
    r.at = r.line_start = row->at;
    r.line = row->line;
    const dal_status st = dal_csv_next(&r, fields, self->width, &n, err);
    if (st != DAL_OK)
        return st;
    if (n != self->width || decode_record(self, fields, NULL) != row->size)
        return dal_fail(err, DAL_E_IO, r.key, "%s:%lld: the file has changed since it was opened", r.path,
                        (long long)row->line);
    decode_record(self, fields, out);
    return DAL_OK;
}

/* ---- the index ---------------------------------------------------------------------------------- */

static dal_status add_record(text_csv *self, uint32_t k, const dal_csv *r, const dal_csv_field *fields, int64_t at,
                             dal_error *err)
{
    const dal_csv_field *l = self->label >= 0 ? &fields[self->label] : NULL;
    const dal_csv_field *g = self->group >= 0 ? &fields[self->group] : NULL;
    dal_text_row row = {.at = at, .line = fields[0].line, .cls = DAL_LABEL_NONE};
    dal_status st = DAL_OK;
    if (l)
        st = dal_texts_label(&self->texts, l->text, l->size, r->path, r->key, l->line, &row.cls, err);
    for (int64_t i = 0; i < self->n_columns && st == DAL_OK; i++) {
        const dal_csv_field *f = &fields[self->columns[i]];
        st = dal_text_check(self->opt->encoding, f->text, f->size, r->path, r->key, f->line, err);
    }
    if (st != DAL_OK)
        return st;
    row.size = decode_record(self, fields, NULL);
    st = dal_texts_add(&self->texts, k, &row, r->path, r->key, err);
    return st == DAL_OK && g ? dal_texts_group(&self->texts, k, g->text, g->size, r->path, r->key, g->line, err) : st;
}

static dal_status index_file(text_csv *self, uint32_t k, dal_error *err)
{
    const dal_host *host = self->texts.host;
    dal_csv r = self->start[k];
    dal_csv_field fields[MAX_COLUMNS];
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK; i++) {
        int64_t n, at = r.at;
        st = dal_csv_next(&r, fields, self->width, &n, err);
        if (st != DAL_OK || n == 0)
            break;
        if (n != self->width)
            return dal_fail(err, DAL_E_FORMAT, r.key,
                            "%s:%lld:1: found %lld columns, expected %lld as in line %lld of %s", r.path,
                            (long long)fields[0].line, (long long)n, (long long)self->width,
                            (long long)self->first[0].line, self->opt->path);
        /* blank lines before the record are not its own */
        at = fields[0].text - r.data - (fields[0].quoted != 0);
        st = add_record(self, k, &r, fields, at, err);
        if (i % 4096 == 0 && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, r.key, "stopped while reading %s", r.path);
    }
    if (st == DAL_OK && self->texts.n[k] == 0)
        st = dal_fail(err, DAL_E_FORMAT, r.key, "%s: found no texts", r.path);
    return st;
}

static dal_status build(void *p, const void *opt, dal_error *err)
{
    text_csv *self = p;
    const options *o = self->opt = opt;
    const char *paths[DAL_SPLITS] = {o->path, o->validation_path, o->test_path};
    static const char *const keys[DAL_SPLITS] = {"path", "validation_path", "test_path"};
    const char *members[DAL_SPLITS] = {o->member, o->validation_member, o->test_member};
    const dal_label_rule rule = {o->labels, o->class_names, o->names};
    dal_status st = DAL_OK;
    self->texts.decode = decode;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (paths[k][0])
            st = open_file(self, k, paths[k], members[k], keys[k], err);
        else if (members[k][0]) /* of the same archive */
            st = open_file(self, k, o->path, members[k], "path", err);
    if (st == DAL_OK)
        st = settle_header(self, err);
    if (st == DAL_OK)
        st = settle_columns(self, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (self->files[k])
            st = index_file(self, k, err);
    return st == DAL_OK ? dal_texts_settle(&self->texts, &rule, err) : st;
}

static void text_csv_destroy(void *p)
{
    text_csv *self = p;
    if (!self)
        return;
    const dal_host *host = self->texts.host;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        dal_file_close(self->files[k]);
    host->free(host, self->first);
    host->free(host, self->columns);
    dal_texts_destroy(self);
}

static dal_status text_csv_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                  dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(text_csv), opt, build, text_csv_destroy, out, err);
}

static const dal_dataset_impl text_csv_impl = {
    .struct_size = sizeof text_csv_impl,
    .create = text_csv_create,
    .destroy = text_csv_destroy,
    DAL_TEXTS_SLOTS,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the table of the pool; plain or packed")                   \
    P(T, validation_path, PATH, "", "file", "", "a table with the same columns, for the validation split") \
    P(T, test_path, PATH, "", "file", "", "likewise, for the test split")                                \
    P(T, member, STR, "", "", "", "the table in path, when that is an archive (.tar.gz, .zip)")          \
    P(T, validation_member, STR, "", "", "", "that in validation_path; without one, in path")            \
    P(T, test_member, STR, "", "", "", "that in test_path; without one, in path")                        \
    P(T, header, CHOICE, "auto", "auto|yes|no", "",                                                                    \
      "is the first record names of columns; auto: if label, group or text name one")                                  \
    P(T, delimiter, STR, "comma", "nonempty", "", "comma, semicolon, tab or one character")              \
    P(T, label, STR, "0", "", "",                                                                                      \
      "column of the labels: a name or a number from 0, from the end if negative; empty: none")                        \
    P(T, group, STR, "", "", "", "column that tells which source a text is of: a name or a number; empty: none") \
    P(T, text, STRS, "", "nonempty", "", "columns of the text, likewise; none: all others, in order")    \
    P(T, join, STR, "' '", "", "", "what is put between columns; empty ones are left out")                 \
    P(T, backslash, CHOICE, "keep", "keep|newline|break", "",                                                          \
      "newline: \\n is a line break, \\\" a quote; break: a blank for every backslash (AG News)")                      \
    P(T, labels, CHOICE, "auto", DAL_LABELS, "",                                                                       \
      "auto: distinct labels in order; or counted from 0 or 1, or names of classes")                                   \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")                       \
    P(T, names, PATH, "", "file", "", "a file with them, one a line")                                    \
    P(T, encoding, CHOICE, "utf-8", DAL_ENCODINGS, "", "of the files; mixed: a text that is no UTF-8 is Latin-1")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "text-csv", text_csv_impl,                                                                              \
      "texts from a table (AG News, Yelp, DBpedia), plain, packed or in an archive",                                   \
      "Zhang, Zhao & LeCun, NIPS 2015", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(text_csv, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
