/* csv: vectors of numbers from a table in text, with a column of classes.
 *
 * The table is read once, into f32 rows in temp_map memory; gzip files too. Classes are the distinct
 * texts of the label column over both files, in numeric order when all are integers, else in byte order;
 * an empty label or "?" is a sample without a class. A missing value is an empty field, ?, NA, N/A, nan or
 * null; its column's mean is taken over the pool alone.
 *
 * Without a test file, `test_fraction` of each class is set aside, chosen at random: with split_seed 0
 * by the seed of the run, with any other number always alike.
 */
#include <dal/csv.h>
#include <dal/dataset.h>
#include <dal/file.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

typedef struct options {
    const char *path, *test_path, *delimiter, *label;
    uint32_t header, missing;
    dal_str_list drop;
    double test_fraction;
    int64_t split_seed;
} options;

enum { HEADER_AUTO, HEADER_YES, HEADER_NO };
enum { MISSING_ERROR, MISSING_MEAN, MISSING_ZERO };
enum { FEATURE, LABEL, DROPPED }; /* roles of columns */

#define MAX_CONTENT ((int64_t)1 << 32) /* a gzip file that inflates to more is refused */
#define LISTED 12                      /* columns listed in a message */

/* One file: its first record, and a reader that stands before the first row of values. */
typedef struct table {
    const char *path, *key;
    dal_file *file;
    dal_csv rows;
    dal_csv_field *first; /* [width] */
    int64_t width, n;
    int header;
} table;

/* Label texts and their provisional numbers, in a hash table with open addressing. */
typedef struct intern {
    char **texts; /* [n] */
    int32_t *slots; /* [room] index of a text, -1: free */
    int64_t n, room;
} intern;

typedef struct csv {
    const dal_host *host;
    const options *opt;
    table tables[2]; /* train, test */
    unsigned char *roles; /* [width] */
    dal_csv_field *fields; /* [width] scratch */
    intern names;
    int64_t n_rows, d;
    float *x; /* [n_rows, d], the rows of both files one after the other */
    size_t x_bytes;
    int32_t *classes;            /* [n_rows] */
    int64_t *lines;              /* [n_rows] in their file */
    int64_t *split[DAL_SPLITS];  /* [n] rows of x */
    int64_t n[DAL_SPLITS];
} csv;

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the table");
}

/* For messages: a field's text, short and without control characters. */
static const char *shown(const dal_csv_field *f, char out[48])
{
    const int64_t n = dal_csv_text(f, out, 40);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return n >= 40 ? strcat(out, "...") : out;
}

static int is_missing(const dal_csv_field *f)
{
    static const char *const words[] = {"", "?", "na", "n/a", "nan", "null"};
    char text[8];
    if (dal_csv_text(f, text, sizeof text) >= (int64_t)sizeof text)
        return 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0)
            return 1;
    return 0;
}

/* ---- the shape of a file ---------------------------------------------------------------------- */

static dal_status find_delimiter(const options *o, const void *data, int64_t size, char *out, dal_error *err)
{
    static const struct {
        const char *word;
        char delimiter;
    } words[] = {{"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}, {"blanks", DAL_CSV_BLANKS}};
    *out = dal_csv_guess(data, size);
    if (strcmp(o->delimiter, "auto") == 0)
        return DAL_OK;
    for (int i = 0; i < 4; i++) {
        *out = words[i].delimiter;
        if (strcmp(o->delimiter, words[i].word) == 0)
            return DAL_OK;
    }
    *out = o->delimiter[0];
    if (strlen(o->delimiter) == 1 && !strchr("\"\r\n", *out))
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "delimiter",
                    "found '%.20s', expected auto, comma, semicolon, tab, blanks or one character", o->delimiter);
}

/* A first record is a header when it has a word above a column that begins with a number. */
static int looks_like_header(const dal_csv_field *first, const dal_csv_field *second, int64_t n)
{
    double x;
    for (int64_t j = 0; j < n; j++)
        if (!dal_csv_number(&first[j], &x) && !is_missing(&first[j]) && dal_csv_number(&second[j], &x))
            return 1;
    return 0;
}

/* Decide about the header and let t->rows stand after it. */
static dal_status settle_header(csv *self, table *t, dal_error *err)
{
    dal_csv next = t->rows;
    int64_t n;
    dal_status st = dal_csv_next(&t->rows, t->first, t->width, &n, err);
    const dal_csv after = t->rows;
    t->header = self->opt->header == HEADER_YES;
    if (st == DAL_OK && self->opt->header == HEADER_AUTO) {
        st = dal_csv_next(&t->rows, self->fields, t->width, &n, err);
        t->header = st == DAL_OK && n == t->width && looks_like_header(t->first, self->fields, n);
    }
    t->rows = t->header ? after : next;
    return st;
}

static dal_status count_rows(csv *self, table *t, dal_error *err)
{
    dal_csv r = t->rows;
    dal_status st = DAL_OK;
    for (int64_t n = 1; n > 0 && st == DAL_OK;) {
        st = dal_csv_next(&r, self->fields, t->width, &n, err);
        if (st == DAL_OK && n > 0 && n != t->width)
            return dal_fail(err, DAL_E_FORMAT, t->key, "%s:%lld:1: found %lld columns, expected %lld as in line %lld",
                            t->path, (long long)self->fields[0].line, (long long)n, (long long)t->width,
                            (long long)t->first[0].line);
        t->n += n > 0;
    }
    if (st == DAL_OK && t->n == 0)
        return dal_fail(err, DAL_E_FORMAT, t->key, "%s: found no rows of values", t->path);
    return st;
}

static dal_status open_table(csv *self, table *t, const char *path, const char *key, dal_error *err)
{
    int64_t size = 0;
    char delimiter = ',';
    *t = (table){.path = path, .key = key};
    dal_status st = dal_file_open(self->host, path, key, &t->file, err);
    if (st == DAL_OK)
        st = dal_file_load(t->file, MAX_CONTENT, 0, err);
    if (st != DAL_OK)
        return st;
    const void *data = dal_file_data(t->file, &size);
    st = find_delimiter(self->opt, data, size, &delimiter, err);
    t->rows = dal_csv_open(path, key, data, size, delimiter);
    dal_csv ahead = t->rows;
    if (st == DAL_OK)
        st = dal_csv_next(&ahead, NULL, 0, &t->width, err);
    if (st == DAL_OK && t->width == 0)
        return dal_fail(err, DAL_E_FORMAT, key, "%s: the file is empty", path);
    if (st == DAL_OK && self->tables[0].width != t->width)
        return dal_fail(err, DAL_E_FORMAT, key, "%s:1:1: found %lld columns, expected %lld as in %s", path,
                        (long long)t->width, (long long)self->tables[0].width, self->tables[0].path);
    if (st != DAL_OK)
        return st;
    if (!self->fields)
        self->fields = dal_array(self->host, t->width, sizeof *self->fields);
    t->first = dal_array(self->host, t->width, sizeof *t->first);
    if (!t->first || !self->fields)
        return no_memory(err);
    st = settle_header(self, t, err);
    return st == DAL_OK ? count_rows(self, t, err) : st;
}

/* Two files with headers must mean the same columns. */
static dal_status compare_headers(const csv *self, dal_error *err)
{
    const table *a = &self->tables[0], *b = &self->tables[1];
    char x[48], y[48];
    for (int64_t j = 0; a->header && b->header && j < a->width; j++)
        if (a->first[j].size != b->first[j].size ||
            memcmp(a->first[j].text, b->first[j].text, (size_t)a->first[j].size) != 0)
            return dal_fail(err, DAL_E_FORMAT, b->key, "%s:%lld:%lld: found column '%s', expected '%s' as in %s",
                            b->path, (long long)b->first[j].line, (long long)b->first[j].column,
                            shown(&b->first[j], x), shown(&a->first[j], y), a->path);
    return DAL_OK;
}

/* ---- the roles of columns --------------------------------------------------------------------- */

static dal_status no_column(const table *t, const char *key, const char *name, dal_error *err)
{
    char list[700] = "", one[48];
    size_t at = 0;
    if (!t->header)
        return dal_fail(err, DAL_E_INVALID, key, "no column '%.60s': %s has no header, expected a number -%lld..%lld", name,
                        t->path, (long long)t->width, (long long)t->width - 1);
    for (int64_t j = 0; j < t->width && j < LISTED; j++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", j ? ", " : "", shown(&t->first[j], one));
    if (t->width > LISTED)
        snprintf(list + at, sizeof list - at, " and %lld more", (long long)t->width - LISTED);
    return dal_fail(err, DAL_E_INVALID, key, "no column '%.60s' in %.200s; it has %s", name, t->path, list);
}

/* A column by its name in the header, else by its number, from the end when negative. */
static dal_status find_column(const table *t, const char *key, const char *name, int64_t *column, dal_error *err)
{
    const dal_csv_field as_field = {.text = name, .size = (int64_t)strlen(name)};
    char text[256];
    int64_t found = -1;
    for (int64_t j = 0; t->header && j < t->width; j++) {
        if (dal_csv_text(&t->first[j], text, sizeof text) >= (int64_t)sizeof text || strcmp(text, name) != 0)
            continue;
        if (found >= 0)
            return dal_fail(err, DAL_E_INVALID, key, "columns %lld and %lld are both named '%.60s'; give a number",
                            (long long)found, (long long)j, name);
        found = j;
    }
    if (found < 0 && dal_csv_integer(&as_field, &found))
        found += found < 0 ? t->width : 0;
    if (found < 0 || found >= t->width)
        return no_column(t, key, name, err);
    *column = found;
    return DAL_OK;
}

static dal_status settle_roles(csv *self, dal_error *err)
{
    const options *o = self->opt;
    const table *t = &self->tables[0];
    int64_t column;
    dal_status st = DAL_OK;
    self->roles = dal_array(self->host, t->width, 1);
    if (!self->roles)
        return no_memory(err);
    memset(self->roles, FEATURE, (size_t)t->width);
    if (o->label[0]) {
        st = find_column(t, "label", o->label, &column, err);
        if (st == DAL_OK)
            self->roles[column] = LABEL;
    }
    for (int64_t i = 0; i < o->drop.n && st == DAL_OK; i++) {
        st = find_column(t, "drop", o->drop.items[i], &column, err);
        if (st == DAL_OK && self->roles[column] == LABEL)
            st = dal_fail(err, DAL_E_INVALID, "drop", "column '%.60s' is the label", o->drop.items[i]);
        else if (st == DAL_OK)
            self->roles[column] = DROPPED;
    }
    for (int64_t j = 0; j < t->width; j++)
        self->d += self->roles[j] == FEATURE;
    if (st == DAL_OK && self->d == 0)
        st = dal_fail(err, DAL_E_INVALID, "path", "%s: no columns of values are left of %lld", t->path,
                      (long long)t->width);
    return st;
}

/* ---- labels ----------------------------------------------------------------------------------- */

static int32_t *slot_of(const intern *t, const char *text)
{
    uint64_t i = dal_hash64(0, text, strlen(text)) & (uint64_t)(t->room - 1);
    while (t->slots[i] >= 0 && strcmp(t->texts[t->slots[i]], text) != 0)
        i = (i + 1) & (uint64_t)(t->room - 1);
    return &t->slots[i];
}

static dal_status grow(const dal_host *host, intern *t, dal_error *err)
{
    const int64_t room = t->room ? 2 * t->room : 64;
    intern larger = {dal_array(host, room / 2, sizeof(char *)), dal_array(host, room, sizeof(int32_t)), t->n, room};
    if (!larger.texts || !larger.slots) {
        host->free(host, larger.texts);
        host->free(host, larger.slots);
        return no_memory(err);
    }
    memset(larger.slots, 0xff, (size_t)room * sizeof *larger.slots);
    for (int64_t i = 0; i < t->n; i++) {
        larger.texts[i] = t->texts[i];
        *slot_of(&larger, t->texts[i]) = (int32_t)i;
    }
    host->free(host, t->texts);
    host->free(host, t->slots);
    *t = larger;
    return DAL_OK;
}

static dal_status number_label(csv *self, const table *t, const dal_csv_field *f, int32_t *cls, dal_error *err)
{
    intern *names = &self->names;
    char text[256];
    *cls = DAL_LABEL_NONE;
    if (f->size == 0 || (f->size == 1 && f->text[0] == '?'))
        return DAL_OK;
    const int64_t length = dal_csv_text(f, text, sizeof text);
    if (length >= (int64_t)sizeof text || names->n == INT32_MAX / 4)
        return dal_fail(err, DAL_E_FORMAT, t->key, "%s:%lld:%lld: a class name of %lld bytes, expected fewer than %d",
                        t->path, (long long)f->line, (long long)f->column, (long long)length, (int)sizeof text);
    if (2 * names->n >= names->room) {
        const dal_status st = grow(self->host, names, err);
        if (st != DAL_OK)
            return st;
    }
    int32_t *slot = slot_of(names, text);
    if (*slot < 0) {
        char *copy = dal_array(self->host, length + 1, 1);
        if (!copy)
            return no_memory(err);
        names->texts[names->n] = memcpy(copy, text, (size_t)length + 1);
        *slot = (int32_t)names->n++;
    }
    *cls = *slot;
    return DAL_OK;
}

static int integer_text(const char *s, int64_t *x)
{
    const dal_csv_field f = {.text = s, .size = (int64_t)strlen(s)};
    return dal_csv_integer(&f, x);
}

static int by_number(const void *a, const void *b)
{
    const char *s = *(char *const *)a, *t = *(char *const *)b;
    int64_t x, y;
    integer_text(s, &x);
    integer_text(t, &y);
    return x != y ? (x > y) - (x < y) : strcmp(s, t);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Put the names in order and give the rows their final classes. */
static dal_status sort_classes(csv *self, dal_error *err)
{
    intern *names = &self->names;
    int integers = 1;
    int64_t x;
    if (names->n == 0)
        return DAL_OK;
    char **old = dal_array(self->host, names->n, sizeof *old);
    if (!old)
        return no_memory(err);
    memcpy(old, names->texts, (size_t)names->n * sizeof *old);
    for (int64_t i = 0; i < names->n; i++)
        integers &= integer_text(old[i], &x);
    qsort(names->texts, (size_t)names->n, sizeof *names->texts, integers ? by_number : by_text);
    memset(names->slots, 0xff, (size_t)names->room * sizeof *names->slots);
    for (int64_t i = 0; i < names->n; i++)
        *slot_of(names, names->texts[i]) = (int32_t)i;
    for (int64_t i = 0; i < self->n_rows; i++)
        if (self->classes[i] >= 0)
            self->classes[i] = *slot_of(names, old[self->classes[i]]);
    self->host->free(self->host, old);
    return DAL_OK;
}

/* ---- values ----------------------------------------------------------------------------------- */

/* NaN stands for a missing value until the splits are known. */
static dal_status parse_value(const csv *self, const table *t, const dal_csv_field *f, int64_t column, float *out,
                              dal_error *err)
{
    double x;
    char text[48], name[64] = "";
    if (dal_csv_number(f, &x) && fabs(x) <= (double)FLT_MAX) {
        *out = (float)x;
        return DAL_OK;
    }
    *out = NAN;
    if (is_missing(f)) {
        if (self->opt->missing != MISSING_ERROR)
            return DAL_OK;
        return dal_fail(err, DAL_E_FORMAT, t->key,
                        "%s:%lld:%lld: a missing value ('%s'), expected a number; missing: mean or missing: zero "
                        "would fill it in",
                        t->path, (long long)f->line, (long long)f->column, shown(f, text));
    }
    if (t->header)
        snprintf(name, sizeof name, " ('%s')", shown(&t->first[column], text));
    return dal_fail(err, DAL_E_FORMAT, t->key,
                    "%s:%lld:%lld: found '%s' in column %lld%s, expected a number that fits f32; columns may be left "
                    "out with drop",
                    t->path, (long long)f->line, (long long)f->column, shown(f, text), (long long)column, name);
}

static dal_status parse_rows(csv *self, const table *t, int64_t row, dal_error *err)
{
    dal_csv r = t->rows;
    dal_status st = DAL_OK;
    for (int64_t n; st == DAL_OK; row++) {
        st = dal_csv_next(&r, self->fields, t->width, &n, err);
        if (st != DAL_OK || n == 0)
            break;
        float *to = self->x + row * self->d;
        self->lines[row] = self->fields[0].line;
        self->classes[row] = DAL_LABEL_NONE;
        for (int64_t j = 0; j < t->width && st == DAL_OK; j++) {
            if (self->roles[j] == FEATURE)
                st = parse_value(self, t, &self->fields[j], j, to++, err);
            else if (self->roles[j] == LABEL)
                st = number_label(self, t, &self->fields[j], &self->classes[row], err);
        }
        if (row % 4096 == 0 && self->host->cancelled(self->host))
            st = dal_fail(err, DAL_E_CANCELLED, t->key, "stopped while reading %s", t->path);
    }
    return st;
}

static dal_status parse_tables(csv *self, dal_error *err)
{
    int64_t bytes;
    void *x = NULL;
    self->n_rows = self->tables[0].n + self->tables[1].n;
    self->classes = dal_array(self->host, self->n_rows, sizeof *self->classes);
    self->lines = dal_array(self->host, self->n_rows, sizeof *self->lines);
    if (!self->classes || !self->lines)
        return no_memory(err);
    if (!dal_size_mul(self->n_rows, self->d, &bytes) || !dal_size_mul(bytes, sizeof(float), &bytes))
        return dal_fail(err, DAL_E_OVERFLOW, "path", "the table is too large");
    dal_status st = self->host->temp_map(self->host, (size_t)bytes, &x, err);
    if (st != DAL_OK)
        return st;
    self->x = x;
    self->x_bytes = (size_t)bytes;
    st = parse_rows(self, &self->tables[0], 0, err);
    if (st == DAL_OK && self->tables[1].n > 0)
        st = parse_rows(self, &self->tables[1], self->tables[0].n, err);
    return st == DAL_OK ? sort_classes(self, err) : st;
}

/* ---- splits ----------------------------------------------------------------------------------- */

/* Mark round(fraction * m) of the m rows of one class as test rows, but never all of them. */
static void set_aside(const csv *self, int32_t cls, dal_rng r, int64_t *rows, unsigned char *test)
{
    int64_t m = 0;
    for (int64_t i = 0; i < self->n_rows; i++)
        if (self->classes[i] == cls)
            rows[m++] = i;
    int64_t k = (int64_t)(self->opt->test_fraction * (double)m + 0.5);
    k = k >= m ? m - 1 : k;
    dal_rng_shuffle(&r, rows, m, k);
    for (int64_t i = 0; i < k; i++)
        test[rows[i]] = 1;
}

static dal_status split_rows(csv *self, dal_error *err)
{
    const options *o = self->opt;
    const dal_host *host = self->host;
    const dal_rng root = o->split_seed ? dal_rng_from_key(dal_hash64((uint64_t)o->split_seed, "split", 5))
                                       : host->rng(host, "split", 0);
    int64_t *train = self->split[DAL_SPLIT_TRAIN] = dal_array(host, self->n_rows, sizeof *train);
    int64_t *test = self->split[DAL_SPLIT_TEST] = dal_array(host, self->n_rows, sizeof *test);
    unsigned char *is_test = dal_array(host, self->n_rows, 1);
    if (!train || !test || !is_test) {
        host->free(host, is_test);
        return no_memory(err);
    }
    for (int64_t i = 0; i < self->n_rows; i++)
        is_test[i] = i >= self->tables[0].n;
    for (int32_t c = DAL_LABEL_NONE; o->test_fraction > 0 && c < self->names.n; c++)
        set_aside(self, c, dal_rng_at(&root, (uint64_t)(c + 1)), train, is_test);
    for (int64_t i = 0; i < self->n_rows; i++) {
        if (is_test[i])
            test[self->n[DAL_SPLIT_TEST]++] = i;
        else
            train[self->n[DAL_SPLIT_TRAIN]++] = i;
    }
    host->free(host, is_test);
    if (o->test_fraction > 0 && self->n[DAL_SPLIT_TEST] == 0)
        return dal_fail(err, DAL_E_INVALID, "test_fraction", "%g of each class of %lld rows is no test row",
                        o->test_fraction, (long long)self->n_rows);
    return DAL_OK;
}

/* Fill column j: with 0, or with the mean of its values in the pool. */
static dal_status fill_missing(csv *self, int64_t j, dal_error *err)
{
    const int64_t *train = self->split[DAL_SPLIT_TRAIN];
    double sum = 0;
    int64_t n = 0, holes = 0;
    for (int64_t i = 0; i < self->n[DAL_SPLIT_TRAIN]; i++) {
        const float v = self->x[train[i] * self->d + j];
        if (!isnan(v)) {
            sum += (double)v;
            n++;
        }
    }
    for (int64_t i = 0; i < self->n_rows; i++)
        holes += isnan(self->x[i * self->d + j]) != 0;
    if (holes > 0 && n == 0 && self->opt->missing == MISSING_MEAN)
        return dal_fail(err, DAL_E_INVALID, "missing", "column of values %lld has no value in the pool to take the mean of",
                        (long long)j);
    const float fill = self->opt->missing == MISSING_MEAN && n > 0 ? (float)(sum / (double)n) : 0;
    for (int64_t i = 0; i < self->n_rows && holes > 0; i++)
        if (isnan(self->x[i * self->d + j]))
            self->x[i * self->d + j] = fill;
    return DAL_OK;
}

/* ---- the table of functions ------------------------------------------------------------------- */

static void csv_destroy(void *p)
{
    csv *self = p;
    if (!self)
        return;
    const dal_host *host = self->host;
    for (int k = 0; k < 2; k++) {
        dal_file_close(self->tables[k].file);
        host->free(host, self->tables[k].first);
    }
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        host->free(host, self->split[k]);
    for (int64_t i = 0; i < self->names.n; i++)
        host->free(host, self->names.texts[i]);
    host->free(host, self->names.texts);
    host->free(host, self->names.slots);
    host->free(host, self->lines);
    host->free(host, self->classes);
    if (self->x)
        host->temp_unmap(host, self->x, self->x_bytes);
    host->free(host, self->fields);
    host->free(host, self->roles);
    host->free(host, self);
}

static dal_status build(csv *self, dal_error *err)
{
    const options *o = self->opt;
    dal_status st = DAL_OK;
    if (o->test_path[0] && o->test_fraction > 0)
        return dal_fail(err, DAL_E_INVALID, "test_fraction", "there is a test_path already; give one of the two");
    st = open_table(self, &self->tables[0], o->path, "path", err);
    if (st == DAL_OK && o->test_path[0])
        st = open_table(self, &self->tables[1], o->test_path, "test_path", err);
    if (st == DAL_OK)
        st = compare_headers(self, err);
    if (st == DAL_OK)
        st = settle_roles(self, err);
    if (st == DAL_OK)
        st = parse_tables(self, err);
    if (st == DAL_OK)
        st = split_rows(self, err);
    for (int64_t j = 0; j < self->d && st == DAL_OK && o->missing != MISSING_ERROR; j++)
        st = fill_missing(self, j, err);
    return st;
}

/* The texts are parsed: only the numbers stay. */
static void close_files(csv *self)
{
    for (int k = 0; k < 2; k++) {
        dal_file_close(self->tables[k].file);
        self->tables[k].file = NULL;
    }
}

static dal_status csv_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    (void)input;
    csv *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return no_memory(err);
    *self = (csv){.host = host, .opt = opt};
    const dal_status st = build(self, err);
    close_files(self);
    if (st == DAL_OK)
        *out = self;
    else
        csv_destroy(self);
    return st;
}

static dal_status csv_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const csv *self = p;
    (void)err;
    info->spec = (dal_sample_spec){sizeof info->spec, DAL_VECTOR, DAL_F32, 1, {self->d}, self->names.n};
    memcpy(info->n, self->n, sizeof info->n);
    info->class_names = self->names.n > 0 ? (const char *const *)self->names.texts : NULL;
    return DAL_OK;
}

static dal_status csv_classes(void *p, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const csv *self = p;
    const dal_status st = dal_check_ids(self->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = self->classes[self->split[split][ids[i]]];
    return st;
}

static dal_status csv_read(void *p, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const csv *self = p;
    float *to = out->data;
    const dal_status st = dal_check_ids(self->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy(to + i * self->d, self->x + self->split[split][ids[i]] * self->d, (size_t)self->d * sizeof *to);
    return st;
}

/* "letters.csv:17": the file and the line. */
static void csv_describe(void *p, uint32_t split, int64_t id, char *out, size_t size)
{
    const csv *self = p;
    if (dal_check_ids(self->n[split], &id, 1, NULL) != DAL_OK) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const int64_t row = self->split[split][id];
    const char *path = row < self->tables[0].n ? self->opt->path : self->opt->test_path;
    const char *slash = strrchr(path, '/');
    snprintf(out, size, "%s:%lld", slash ? slash + 1 : path, (long long)self->lines[row]);
}

static const dal_dataset_impl csv_impl = {
    .struct_size = sizeof csv_impl,
    .create = csv_create,
    .destroy = csv_destroy,
    .info = csv_info,
    .classes = csv_classes,
    .read = csv_read,
    .describe = csv_describe,
};

#define PARAMS(P, T)                                                                                    \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the table; plain or gzip")                              \
    P(T, test_path, PATH, "", "file", "", "a table with the same columns, for the test split")          \
    P(T, header, CHOICE, "auto", "auto|yes|no", "", "is the first line names of columns")               \
    P(T, delimiter, STR, "auto", "nonempty", "", "auto, comma, semicolon, tab, blanks or one character") \
    P(T, label, STR, "-1", "", "", "column of the classes: a name or a number from 0, from the end if negative; empty: none") \
    P(T, drop, STRS, "", "nonempty", "", "columns to leave out, likewise")                              \
    P(T, missing, CHOICE, "error", "error|mean|zero", "", "what a missing value becomes; the mean is that of the pool") \
    P(T, test_fraction, F64, "0", "0..1)", "", "part of each class to set aside as the test split")     \
    P(T, split_seed, I64, "0", "", "", "of the choice of that part; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "csv", csv_impl, "vectors of numbers from a table in text, plain or gzip", "", "",       \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(csv, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
