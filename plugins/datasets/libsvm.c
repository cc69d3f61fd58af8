/* libsvm: sparse vectors in the format of LIBSVM and SVMlight: "label index:value index:value ... # comment" a line.
 *
 * Indices begin at 1 (or 0) and ascend. A line whose first word has a colon, or is "?", has no label. Several labels,
 * with commas between (RCV1), are read whole; which one of them a sample is of is a parameter, since a sample here has
 * one class: the first, the one that fewest samples of the pool have, or only samples that have a single label.
 * Values are parsed once, into temporary space: 8 bytes each. Small tables may be had as dense vectors.
 */
#include <dal/csv.h>
#include <dal/file.h>
#include <dal/texts.h>

#include <float.h>
#include <math.h>

typedef struct options {
    dal_str_list path, validation_path, test_path;
    const char *names;
    uint32_t several, labels, form;
    int64_t n_features, first_index;
    dal_str_list class_names;
} options;

enum { REFUSE, FIRST, RAREST, SINGLE };
enum { SPARSE, DENSE };

#define MAX_CONTENT ((int64_t)1 << 36) /* a gzip file that inflates to more is refused */
#define MAX_FEATURES ((int64_t)1 << 30)
#define MAX_DENSE 65536
#define MAX_LABELS 1024 /* of one sample */
#define MAX_FILES 32767
#define LINE_BITS 48 /* of a row's line; above them is the number of its file */

/* One of the files of a split. */
typedef struct rows_file {
    const char *path, *key;
    uint32_t split;
    dal_file *file; /* until all is parsed */
} rows_file;

typedef struct libsvm {
    dal_texts t; /* the rows and their classes; at: place of the first value, size: values, extra: first of many */
    const options *opt;
    rows_file *files; /* [n_files], split by split */
    int64_t n_files;
    int64_t n_values, d;
    int32_t *columns; /* [n_values], mapped; the values follow */
    float *values;
    size_t bytes;
    int32_t *many; /* labels of samples that have several: count, then the labels, one sample after the other */
    int64_t n_many, room_many;
} libsvm;

/* ---- numbers ------------------------------------------------------------------------------------ */

/* Decimal numbers of up to 15 digits and small exponents come out right without the slow way. */
static int parse_value(const char *p, int64_t n, float *out)
{
    static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    int64_t i = n > 0 && (p[0] == '-' || p[0] == '+'), digits = 0, behind = 0, mantissa = 0;
    int point = 0;
    double x;
    for (; i < n && digits < 16; i++) {
        if (p[i] == '.' && !point) {
            point = 1;
        } else if (p[i] >= '0' && p[i] <= '9') {
            mantissa = 10 * mantissa + (p[i] - '0');
            digits++;
            behind += point;
        } else {
            break;
        }
    }
    if (i == n && digits > 0 && digits <= 15) {
        x = (double)mantissa / tens[behind];
        *out = (float)(p[0] == '-' ? -x : x);
        return 1;
    }
    const dal_csv_field f = {.text = p, .size = n};
    if (!dal_csv_number(&f, &x) || fabs(x) > (double)FLT_MAX)
        return 0;
    *out = (float)x;
    return 1;
}

static int parse_index(const char *p, int64_t n, int64_t *out)
{
    *out = 0;
    for (int64_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || *out > MAX_FEATURES)
            return 0;
        *out = 10 * *out + (p[i] - '0');
    }
    return n > 0;
}

/* ---- lines -------------------------------------------------------------------------------------- */

/* A word of a line. */
typedef struct word {
    const char *p;
    int64_t n;
} word;

static int next_word(const char *line, int64_t n, int64_t *at, word *w)
{
    while (*at < n && (line[*at] == ' ' || line[*at] == '\t'))
        ++*at;
    w->p = line + *at;
    while (*at < n && line[*at] != ' ' && line[*at] != '\t')
        ++*at;
    w->n = line + *at - w->p;
    return w->n > 0 && *w->p != '#';
}

static dal_status fault(const dal_lines *l, const char *at, const char *line, const char *what, dal_error *err)
{
    char shown[24] = "";
    for (int i = 0; i < 20 && at + i < l->data + l->size && (unsigned char)at[i] > 0x20 && (unsigned char)at[i] < 0x7f;
         i++)
        shown[i] = at[i];
    return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld:%lld: found '%s', %s", l->path, (long long)l->line - 1,
                    (long long)(at - line) + 1, shown, what);
}

static dal_status push(libsvm *self, int32_t x, dal_error *err)
{
    const dal_host *host = self->t.host;
    if (self->n_many == self->room_many) {
        const int64_t room = self->room_many ? 2 * self->room_many : 4096;
        int32_t *larger = room < INT32_MAX ? dal_array(host, room, sizeof *larger) : NULL;
        if (!larger)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for the labels");
        if (self->n_many > 0)
            memcpy(larger, self->many, (size_t)self->n_many * sizeof *larger);
        host->free(host, self->many);
        self->many = larger;
        self->room_many = room;
    }
    self->many[self->n_many++] = x;
    return DAL_OK;
}

/* "4" or "4,17,2": row->cls is the first; of several, row->extra is 1 + where they begin in many. */
static dal_status add_labels(libsvm *self, const dal_lines *l, const char *line, word w, dal_text_row *row,
                             dal_error *err)
{
    int64_t from = 0, count = 0;
    const int64_t place = self->n_many;
    int several = memchr(w.p, ',', (size_t)w.n) != NULL;
    dal_status st = DAL_OK;
    if (several && self->opt->several == REFUSE)
        return fault(l, w.p, line, "several labels; say several: first, rarest or single", err);
    if (several)
        st = push(self, 0, err);
    while (from <= w.n && st == DAL_OK) {
        const char *comma = memchr(w.p + from, ',', (size_t)(w.n - from));
        const int64_t end = comma ? comma - w.p : w.n;
        int32_t cls;
        from += from < end && w.p[from] == '+'; /* +1 is 1 */
        st = dal_texts_label(&self->t, w.p + from, end - from, l->path, l->key, l->line - 1, &cls, err);
        if (st == DAL_OK && several && cls < 0)
            return fault(l, w.p, line, "an empty label among several", err);
        if (st == DAL_OK && several)
            st = push(self, cls, err);
        if (count == 0)
            row->cls = cls;
        if (++count > MAX_LABELS)
            return fault(l, w.p, line, "more than 1024 labels", err);
        from = end + 1;
    }
    if (st == DAL_OK && several) {
        self->many[place] = (int32_t)count;
        row->extra = (uint32_t)place + 1;
    }
    return st;
}

/* One pair of a line, into the values when they have their place already. */
static dal_status add_pair(libsvm *self, const dal_lines *l, const char *line, word w, int64_t *last, int64_t *n,
                           dal_error *err)
{
    const char *colon = memchr(w.p, ':', (size_t)w.n);
    int64_t index;
    float v;
    if (w.n > 4 && memcmp(w.p, "qid:", 4) == 0)
        return DAL_OK;
    if (!colon || !parse_index(w.p, colon - w.p, &index) || index > MAX_FEATURES)
        return fault(l, w.p, line, "expected index:value", err);
    if (index < self->opt->first_index)
        return fault(l, w.p, line, "expected indices from 1 (first_index: 0 says that they begin at 0)", err);
    if (*last >= 0 && index <= *last)
        return fault(l, w.p, line, "expected ascending indices", err);
    if (!parse_value(colon + 1, w.n - (colon + 1 - w.p), &v))
        return fault(l, colon + 1, line, "expected a number that fits f32", err);
    *last = index;
    index -= self->opt->first_index;
    if (self->opt->n_features > 0 && index >= self->opt->n_features)
        return fault(l, w.p, line, "an index above n_features", err);
    if (v == 0)
        return DAL_OK;
    if (self->columns) {
        self->columns[*n] = (int32_t)index;
        self->values[*n] = v;
    }
    self->d = index >= self->d ? index + 1 : self->d;
    ++*n;
    return DAL_OK;
}

static dal_status add_line(libsvm *self, int64_t file, const dal_lines *l, const char *line, int64_t n, dal_error *err)
{
    const uint32_t k = self->files[file].split;
    int64_t at = 0, last = -1, from = self->n_values;
    dal_text_row row = {.at = from, .line = l->line - 1, .cls = DAL_LABEL_NONE};
    word w;
    dal_status st = DAL_OK;
    if (!next_word(line, n, &at, &w))
        return DAL_OK;
    if (memchr(w.p, ':', (size_t)w.n))
        at = w.p - line; /* no label */
    else if (!self->columns)
        st = add_labels(self, l, line, w, &row, err);
    while (st == DAL_OK && next_word(line, n, &at, &w))
        st = add_pair(self, l, line, w, &last, &self->n_values, err);
    if (st != DAL_OK || self->columns)
        return st;
    row.size = self->n_values - from;
    st = dal_texts_add(&self->t, k, &row, l->path, l->key, err);
    if (st == DAL_OK)
        self->t.rows[k][self->t.n[k] - 1].line |= file << LINE_BITS;
    return st;
}

/* Once to measure and to check, once to fill. */
static dal_status go_through(libsvm *self, int64_t file, dal_error *err)
{
    const rows_file *f = &self->files[file];
    int64_t size, n;
    const char *line;
    const void *data = dal_file_data(f->file, &size);
    dal_lines l = dal_lines_open(f->path, f->key, data, size);
    dal_status st = DAL_OK;
    while (st == DAL_OK) {
        st = dal_lines_next(&l, &line, &n, err);
        if (st != DAL_OK || n < 0)
            break;
        st = add_line(self, file, &l, line, n, err);
        if (l.line % 4096 == 0 && self->t.host->cancelled(self->t.host))
            st = dal_fail(err, DAL_E_CANCELLED, f->key, "stopped while reading %s", f->path);
    }
    return st;
}

/* ---- one class of several ----------------------------------------------------------------------- */

/* How many samples of the pool have each label. */
static dal_status count_labels(const libsvm *self, int64_t **out, dal_error *err)
{
    const dal_host *host = self->t.host;
    int32_t largest = 0;
    for (int64_t i = 0; i < self->n_many; i++)
        largest = self->many[i] > largest ? self->many[i] : largest;
    for (int64_t i = 0; i < self->t.n[DAL_SPLIT_TRAIN]; i++)
        largest = self->t.rows[DAL_SPLIT_TRAIN][i].cls > largest ? self->t.rows[DAL_SPLIT_TRAIN][i].cls : largest;
    int64_t *counts = *out = dal_array(host, (int64_t)largest + MAX_LABELS + 1, sizeof *counts);
    if (!counts)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the labels");
    memset(counts, 0, (size_t)(largest + MAX_LABELS + 1) * sizeof *counts);
    for (int64_t i = 0; i < self->t.n[DAL_SPLIT_TRAIN]; i++) {
        const dal_text_row *r = &self->t.rows[DAL_SPLIT_TRAIN][i];
        const int32_t *many = r->extra ? self->many + r->extra - 1 : NULL;
        for (int32_t j = 1; many && j <= many[0]; j++)
            counts[many[j]]++;
        if (!many && r->cls >= 0)
            counts[r->cls]++;
    }
    return DAL_OK;
}

static dal_status choose_labels(libsvm *self, dal_error *err)
{
    const dal_host *host = self->t.host;
    int64_t *counts = NULL;
    dal_status st = count_labels(self, &counts, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        int64_t kept = 0;
        for (int64_t i = 0; i < self->t.n[k]; i++) {
            dal_text_row *r = &self->t.rows[k][i];
            const int32_t *many = r->extra ? self->many + r->extra - 1 : NULL;
            for (int32_t j = 1; many && self->opt->several == RAREST && j <= many[0]; j++)
                if (counts[many[j]] < counts[r->cls])
                    r->cls = many[j];
            if (!many || self->opt->several != SINGLE)
                self->t.rows[k][kept++] = *r;
        }
        if (kept < self->t.n[k])
            dal_logf(host, DAL_LOG_INFO, "%lld of %lld samples with several labels are left out",
                     (long long)(self->t.n[k] - kept), (long long)self->t.n[k]);
        self->t.n[k] = kept;
    }
    host->free(host, counts);
    host->free(host, self->many);
    self->many = NULL;
    return st;
}

/* ---- create ------------------------------------------------------------------------------------- */

static dal_status take_space(libsvm *self, dal_error *err)
{
    int64_t bytes;
    void *p = NULL;
    if (!dal_size_mul(self->n_values > 0 ? self->n_values : 1, sizeof(int32_t) + sizeof(float), &bytes))
        return dal_fail(err, DAL_E_OVERFLOW, "path", "%lld values are too many", (long long)self->n_values);
    const dal_status st = self->t.host->temp_map(self->t.host, (size_t)bytes, &p, err);
    if (st != DAL_OK)
        return st;
    self->columns = p;
    self->values = (float *)p + self->n_values;
    self->bytes = (size_t)bytes;
    self->n_values = 0;
    return DAL_OK;
}

static dal_status settle_width(libsvm *self, dal_error *err)
{
    const options *o = self->opt;
    if (o->n_features > 0)
        self->d = o->n_features;
    if (self->d == 0)
        return dal_fail(err, DAL_E_FORMAT, "path", "%s: found no values", self->files[0].path);
    if (o->form == DENSE && self->d > MAX_DENSE)
        return dal_fail(err, DAL_E_INVALID, "form", "%lld columns are too many for dense vectors, expected at most %d",
                        (long long)self->d, MAX_DENSE);
    return DAL_OK;
}

static dal_status list_files(libsvm *self, dal_error *err)
{
    const options *o = self->opt;
    const dal_str_list *lists[DAL_SPLITS] = {&o->path, &o->validation_path, &o->test_path};
    static const char *const keys[DAL_SPLITS] = {"path", "validation_path", "test_path"};
    int64_t n = 0;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        n += lists[k]->n;
    if (o->path.n == 0)
        return dal_fail(err, DAL_E_INVALID, "path", "found an empty list, expected a file for the pool");
    if (n > MAX_FILES)
        return dal_fail(err, DAL_E_INVALID, "path", "%lld files, expected at most %d", (long long)n, MAX_FILES);
    if (!(self->files = dal_array(self->t.host, n, sizeof *self->files)))
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; i < lists[k]->n; i++)
            self->files[self->n_files++] = (rows_file){.path = lists[k]->items[i], .key = keys[k], .split = k};
    return DAL_OK;
}

static dal_status read_file(libsvm *self, int64_t file, dal_error *err)
{
    rows_file *f = &self->files[file];
    const int64_t before = self->t.n[f->split];
    dal_status st = dal_file_open(self->t.host, f->path, f->key, &f->file, err);
    if (st == DAL_OK)
        st = dal_file_load(f->file, MAX_CONTENT, 0, err);
    if (st == DAL_OK)
        st = go_through(self, file, err);
    if (st == DAL_OK && self->t.n[f->split] == before)
        st = dal_fail(err, DAL_E_FORMAT, f->key, "%s: found no samples", f->path);
    return st;
}

static void close_files(libsvm *self)
{
    for (int64_t i = 0; i < self->n_files; i++) {
        dal_file_close(self->files[i].file);
        self->files[i].file = NULL;
    }
}

static dal_status build(void *p, const void *opt, dal_error *err)
{
    libsvm *self = p;
    const options *o = self->opt = opt;
    const dal_label_rule rule = {o->labels, o->class_names, o->names};
    dal_status st = list_files(self, err);
    for (int64_t i = 0; i < self->n_files && st == DAL_OK; i++)
        st = read_file(self, i, err);
    if (st == DAL_OK)
        st = settle_width(self, err);
    if (st == DAL_OK)
        st = take_space(self, err);
    for (int64_t i = 0; i < self->n_files && st == DAL_OK; i++)
        st = go_through(self, i, err);
    if (st == DAL_OK && self->n_many > 0)
        st = choose_labels(self, err);
    if (st == DAL_OK && self->t.n[DAL_SPLIT_TRAIN] == 0)
        st = dal_fail(err, DAL_E_INVALID, "several", "%s: no sample has a single label", self->files[0].path);
    close_files(self); /* all is parsed */
    return st == DAL_OK ? dal_texts_settle(&self->t, &rule, err) : st;
}

static void libsvm_destroy(void *p)
{
    libsvm *self = p;
    if (!self)
        return;
    const dal_host *host = self->t.host;
    close_files(self);
    if (self->columns)
        host->temp_unmap(host, self->columns, self->bytes);
    host->free(host, self->files);
    host->free(host, self->many);
    dal_texts_destroy(self);
}

static dal_status libsvm_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(libsvm), opt, build, libsvm_destroy, out, err);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static dal_status libsvm_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const libsvm *self = p;
    const dal_status st = dal_texts_info(p, info, err);
    info->spec = (dal_sample_spec){sizeof info->spec, self->opt->form == DENSE ? DAL_VECTOR : DAL_SPARSE, DAL_F32, 1,
                                   {self->d}, self->t.n_classes};
    return st;
}

static dal_status libsvm_sizes(void *p, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const libsvm *self = p;
    const dal_status st = dal_texts_sizes(p, k, ids, n, out, err);
    for (int64_t i = 0; i < n && st == DAL_OK && self->opt->form == DENSE; i++)
        out[i] = self->d;
    return st;
}

static dal_status libsvm_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const libsvm *self = p;
    float *to = out->data;
    const dal_status st = dal_check_ids(self->t.n[k], ids, n, err);
    if (st == DAL_OK && self->opt->form == DENSE)
        memset(to, 0, (size_t)(n * self->d) * sizeof *to);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const dal_text_row *r = &self->t.rows[k][ids[i]];
        const float *values = self->values + r->at;
        const int32_t *columns = self->columns + r->at;
        for (int64_t j = 0; j < r->size && self->opt->form == DENSE; j++)
            to[i * self->d + columns[j]] = values[j];
        if (self->opt->form == DENSE || r->size == 0)
            continue;
        if (out->offsets[i + 1] - out->offsets[i] != r->size)
            return dal_fail(err, DAL_E_CONTRACT, "", "room for %lld values of sample %lld, which has %lld",
                            (long long)(out->offsets[i + 1] - out->offsets[i]), (long long)ids[i], (long long)r->size);
        memcpy(to + out->offsets[i], values, (size_t)r->size * sizeof *to);
        memcpy(out->indices + out->offsets[i], columns, (size_t)r->size * sizeof *columns);
    }
    return st;
}

/* The file and the line. */
static void libsvm_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    const libsvm *self = p;
    if (dal_check_ids(self->t.n[k], &id, 1, NULL) != DAL_OK) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const int64_t line = self->t.rows[k][id].line;
    const char *path = self->files[line >> LINE_BITS].path, *slash = strrchr(path, '/');
    snprintf(out, size, "%s:%lld", slash ? slash + 1 : path, (long long)(line & (((int64_t)1 << LINE_BITS) - 1)));
}

static const dal_dataset_impl libsvm_impl = {
    .struct_size = sizeof libsvm_impl,
    .create = libsvm_create,
    .destroy = libsvm_destroy,
    .info = libsvm_info,
    .classes = dal_texts_classes,
    .sizes = libsvm_sizes,
    .read = libsvm_read,
    .describe = libsvm_describe,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATHS, DAL_REQUIRED, "file", "", "the lines of the pool, in one file or several; plain or packed") \
    P(T, validation_path, PATHS, "", "file", "", "those of the validation split, likewise")                 \
    P(T, test_path, PATHS, "", "file", "", "those of the test split, likewise")                             \
    P(T, n_features, I64, "0", "0..1073741824", "columns", "0: as many as the largest index tells")      \
    P(T, first_index, I64, "1", "0..1", "", "where indices begin")                                       \
    P(T, several, CHOICE, "refuse", "refuse|first|rarest|single", "",                                                  \
      "of a sample with several labels: the first, the rarest of the pool, or only samples with a single one")         \
    P(T, form, CHOICE, "sparse", "sparse|dense", "", "of the samples")                                   \
    P(T, labels, CHOICE, "auto", DAL_LABELS, "",                                                                       \
      "auto: distinct labels in order; or counted from 0 or 1, or names of classes")                                   \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")                       \
    P(T, names, PATH, "", "file", "", "a file with them, one a line")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "libsvm", libsvm_impl, "sparse vectors in LIBSVM's format (RCV1 and many tables), plain or packed", \
      "Chang & Lin, ACM TIST 2011", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(libsvm, "1.1", "Apache-2.0", COMPONENTS, NULL, NULL)
