/* text-labels: "label sentence" a line: TREC, MR, Subj, CR, MPQA, SST in one line each.
 *
 * The label is the first word of a line, the text what follows it. TREC's labels are COARSE:fine: `coarse` takes what
 * is before the colon. A line that begins with a blank, or with "?", has a text and no label. Plain files are mapped;
 * gzip files are inflated once, into temporary space; texts become UTF-8 when they are read.
 */
#include <dal/file.h>
#include <dal/texts.h>

typedef struct options {
    const char *path, *validation_path, *test_path, *names;
    uint32_t label, labels, encoding;
    dal_str_list class_names;
} options;

enum { FINE, COARSE, NONE };

#define MAX_CONTENT ((int64_t)1 << 32) /* a gzip file that inflates to more is refused */

typedef struct text_labels {
    dal_texts texts; /* first: the shared slots see only this */
    const options *opt;
    dal_file *files[DAL_SPLITS];
    const char *data[DAL_SPLITS];
} text_labels;

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line: its label (empty: none) and its text without the blanks round it. */
static void take_apart(uint32_t how, const char *line, int64_t n, const char **label, int64_t *n_label,
                       const char **text, int64_t *n_text)
{
    int64_t at = 0;
    *label = line;
    while (how != NONE && at < n && !is_blank(line[at]))
        at++;
    *n_label = at;
    for (int64_t i = 0; how == COARSE && i < *n_label; i++)
        if (line[i] == ':')
            *n_label = i;
    while (at < n && is_blank(line[at]))
        at++;
    while (n > at && is_blank(line[n - 1]))
        n--;
    *text = line + at;
    *n_text = n - at;
}

static dal_status decode(void *p, uint32_t k, const dal_text_row *row, char *out, dal_error *err)
{
    const text_labels *self = p;
    (void)err;
    dal_to_utf8(self->opt->encoding, self->data[k] + row->at, row->extra, out);
    return DAL_OK;
}

static dal_status add_line(text_labels *self, uint32_t k, const dal_lines *l, const char *line, int64_t n,
                           dal_error *err)
{
    const options *o = self->opt;
    const char *label, *text;
    int64_t n_label, n_text;
    dal_text_row row = {.line = l->line - 1};
    take_apart(o->label, line, n, &label, &n_label, &text, &n_text);
    dal_status st = dal_text_check(o->encoding, text, n_text, l->path, l->key, row.line, err);
    if (st == DAL_OK)
        st = dal_texts_label(&self->texts, label, n_label, l->path, l->key, row.line, &row.cls, err);
    if (st != DAL_OK)
        return st;
    row.at = text - l->data;
    row.extra = (uint32_t)n_text; /* a line is shorter than 2^31 */
    row.size = dal_to_utf8(o->encoding, text, n_text, NULL);
    return dal_texts_add(&self->texts, k, &row, l->path, l->key, err);
}

static dal_status index_file(text_labels *self, uint32_t k, const char *path, const char *key, dal_error *err)
{
    const dal_host *host = self->texts.host;
    const char *line;
    int64_t size, n;
    dal_status st = dal_file_open(host, path, key, &self->files[k], err);
    if (st == DAL_OK)
        st = dal_file_load(self->files[k], MAX_CONTENT, 0, err);
    if (st != DAL_OK)
        return st;
    self->data[k] = (const char *)dal_file_data(self->files[k], &size);
    self->texts.path[k] = path;
    dal_lines l = dal_lines_open(path, key, self->data[k], size);
    while (st == DAL_OK) {
        st = dal_lines_next(&l, &line, &n, err);
        if (st != DAL_OK || n < 0)
            break;
        int64_t blank = 0;
        while (blank < n && is_blank(line[blank]))
            blank++;
        if (blank < n)
            st = add_line(self, k, &l, line, n, err);
        if (l.line % 4096 == 0 && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, key, "stopped while reading %s", path);
    }
    if (st == DAL_OK && self->texts.n[k] == 0)
        st = dal_fail(err, DAL_E_FORMAT, key, "%s: found no texts", path);
    return st;
}

static dal_status build(void *p, const void *opt, dal_error *err)
{
    text_labels *self = p;
    const options *o = self->opt = opt;
    const char *paths[DAL_SPLITS] = {o->path, o->validation_path, o->test_path};
    static const char *const keys[DAL_SPLITS] = {"path", "validation_path", "test_path"};
    const dal_label_rule rule = {o->labels, o->class_names, o->names};
    dal_status st = DAL_OK;
    self->texts.decode = decode;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (paths[k][0])
            st = index_file(self, k, paths[k], keys[k], err);
    return st == DAL_OK ? dal_texts_settle(&self->texts, &rule, err) : st;
}

static void text_labels_destroy(void *p)
{
    text_labels *self = p;
    for (uint32_t k = 0; self && k < DAL_SPLITS; k++)
        dal_file_close(self->files[k]);
    dal_texts_destroy(self);
}

static dal_status text_labels_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                     dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(text_labels), opt, build, text_labels_destroy, out, err);
}

static const dal_dataset_impl text_labels_impl = {
    .struct_size = sizeof text_labels_impl,
    .create = text_labels_create,
    .destroy = text_labels_destroy,
    DAL_TEXTS_SLOTS,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the lines of the pool; plain or packed")                   \
    P(T, validation_path, PATH, "", "file", "", "those of the validation split")                         \
    P(T, test_path, PATH, "", "file", "", "those of the test split")                                     \
    P(T, label, CHOICE, "fine", "fine|coarse|none", "",                                                                \
      "fine: the whole first word; coarse: as far as its colon; none: lines are texts alone")                          \
    P(T, labels, CHOICE, "auto", DAL_LABELS, "",                                                                       \
      "auto: distinct labels in order; or counted from 0 or 1, or names of classes")                                   \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")                       \
    P(T, names, PATH, "", "file", "", "a file with them, one a line")                                    \
    P(T, encoding, CHOICE, "utf-8", DAL_ENCODINGS, "", "of the files; mixed: a text that is no UTF-8 is Latin-1")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "text-labels", text_labels_impl, "a label and a text a line (TREC, MR, Subj, SST), plain or packed", \
      "Li & Roth, COLING 2002", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(text_labels, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
