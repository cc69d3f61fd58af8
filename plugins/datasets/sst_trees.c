/* sst-trees: the Stanford Sentiment Treebank in its trees, one a line: (3 (2 It) (4 (2 's) (4 lovely))).
 *
 * A text is the leaves of a tree with a blank between, its class the number at its root: 0 to 4, very negative to very
 * positive. `binary` makes two of them, and leaves out what is neutral. The pool may be whole sentences or all phrases,
 * each inner node and each word a text of its own, as networks are usually trained on it; validation and test are
 * sentences. Files are plain or packed, or the three members of the .zip that the treebank comes in.
 */
#include <dal/file.h>
#include <dal/texts.h>
#include <dal/zip.h>

typedef struct options {
    const char *path, *validation_path, *test_path;
    uint32_t classes, phrases, encoding;
} options;

enum { FINE, BINARY };
enum { SENTENCES, ALL };

#define MAX_CONTENT ((int64_t)1 << 30)
#define MAX_DEPTH 4096
#define N_LABELS 5

/* A node that is not closed yet: where it begins, and what lay before it in its sentence. */
typedef struct node {
    int64_t at, bytes, leaves;
    int label;
} node;

typedef struct sst {
    dal_texts texts; /* first: the shared slots see only this */
    const options *opt;
    dal_file *files[DAL_SPLITS];
    dal_zip *zip;
    const char *data[DAL_SPLITS];
    int64_t size[DAL_SPLITS];
    node *stack; /* [MAX_DEPTH] */
} sst;

static const char *const fine_names[] = {"very negative", "negative", "neutral", "positive", "very positive"};
static const char *const binary_names[] = {"negative", "positive"};

/* ---- trees -------------------------------------------------------------------------------------- */

static int is_leaf_end(char c)
{
    return c == '(' || c == ')' || c == ' ';
}

/* The leaves of the tree at p[n] into out, as UTF-8. */
static int64_t write_leaves(uint32_t encoding, const char *p, int64_t n, char *out)
{
    int64_t size = 0, depth = 0;
    for (int64_t i = 0; i < n;) {
        if (p[i] == '(') {
            depth++;
            i += 3; /* "(2 " was checked */
        } else if (p[i] == ')') {
            i++;
            if (--depth == 0)
                break;
        } else if (p[i] == ' ') {
            i++;
        } else {
            const int64_t from = i;
            while (i < n && !is_leaf_end(p[i]))
                i++;
            if (size > 0)
                out[size++] = ' ';
            size += dal_to_utf8(encoding, p + from, i - from, out + size);
        }
    }
    return size;
}

static dal_status decode(void *p, uint32_t k, const dal_text_row *row, char *out, dal_error *err)
{
    const sst *self = p;
    (void)err;
    write_leaves(self->opt->encoding, self->data[k] + row->at, self->size[k] - row->at, out);
    return DAL_OK;
}

static dal_status fault(const dal_lines *l, int64_t column, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld:%lld: %s", l->path, (long long)l->line - 1,
                    (long long)column + 1, what);
}

/* A tree that is complete becomes a text, if it is one that is asked for. */
static dal_status add_node(sst *self, uint32_t k, const dal_lines *l, const node *n, int depth, int64_t bytes,
                           int64_t leaves, dal_error *err)
{
    const options *o = self->opt;
    dal_text_row row = {.at = n->at, .line = l->line - 1, .size = bytes - n->bytes + leaves - n->leaves - 1};
    if (depth > 0 && (k != DAL_SPLIT_TRAIN || o->phrases == SENTENCES))
        return DAL_OK;
    if (o->classes == BINARY && n->label == 2)
        return DAL_OK;
    row.cls = o->classes == FINE ? n->label : n->label > 2;
    return dal_texts_add(&self->texts, k, &row, l->path, l->key, err);
}

/* One line: one tree, nothing else. */
static dal_status add_tree(sst *self, uint32_t k, const dal_lines *l, const char *line, int64_t n, dal_error *err)
{
    int64_t bytes = 0, leaves = 0, i = 0;
    int depth = 0, closed = 0, expect_leaf = 0;
    dal_status st = DAL_OK;
    while (i < n && st == DAL_OK) {
        if (closed && line[i] != ' ')
            return fault(l, i, "found text after the end of the tree", err);
        if (line[i] == '(') {
            if (i + 2 >= n || line[i + 1] < '0' || line[i + 1] >= '0' + N_LABELS || line[i + 2] != ' ')
                return fault(l, i, "expected a label 0..4 and a blank after this bracket", err);
            if (depth == MAX_DEPTH)
                return fault(l, i, "more than 4096 brackets in brackets", err);
            self->stack[depth++] = (node){line + i - l->data, bytes, leaves, line[i + 1] - '0'};
            expect_leaf = 1;
            i += 3;
        } else if (line[i] == ')') {
            if (depth == 0 || expect_leaf)
                return fault(l, i, depth ? "this tree has no word" : "a bracket too many", err);
            depth--;
            st = add_node(self, k, l, &self->stack[depth], depth, bytes, leaves, err);
            closed = depth == 0;
            i++;
        } else if (line[i] == ' ') {
            i++;
        } else {
            const int64_t from = i;
            if (!expect_leaf)
                return fault(l, i, "found a word, expected a bracket", err);
            while (i < n && !is_leaf_end(line[i]))
                i++;
            bytes += dal_to_utf8(self->opt->encoding, line + from, i - from, NULL);
            leaves++;
            expect_leaf = 0;
        }
    }
    if (st == DAL_OK && !closed)
        return fault(l, n, "the line ends inside the tree", err);
    return st;
}

static dal_status index_trees(sst *self, uint32_t k, const char *path, const char *key, dal_error *err)
{
    const char *line;
    int64_t n;
    dal_status st = DAL_OK;
    dal_lines l = dal_lines_open(path, key, self->data[k], self->size[k]);
    self->texts.path[k] = path;
    while (st == DAL_OK) {
        st = dal_lines_next(&l, &line, &n, err);
        if (st != DAL_OK || n < 0)
            break;
        while (n > 0 && line[n - 1] == ' ')
            n--;
        if (n == 0)
            continue;
        st = dal_text_check(self->opt->encoding, line, n, path, key, l.line - 1, err);
        if (st == DAL_OK)
            st = add_tree(self, k, &l, line, n, err);
        if (l.line % 1024 == 0 && self->texts.host->cancelled(self->texts.host))
            st = dal_fail(err, DAL_E_CANCELLED, key, "stopped while reading %s", path);
    }
    if (st == DAL_OK && self->texts.n[k] == 0)
        st = dal_fail(err, DAL_E_FORMAT, key, "%s: found no trees%s", path,
                      self->opt->classes == BINARY ? " that are not neutral" : "");
    return st;
}

/* ---- files -------------------------------------------------------------------------------------- */

static int is_member(const char *name, const char *file)
{
    const size_t n = strlen(name), m = strlen(file);
    return n >= m && strcmp(name + n - m, file) == 0 && (n == m || name[n - m - 1] == '/');
}

static dal_status open_member(sst *self, uint32_t k, dal_error *err)
{
    static const char *const files[DAL_SPLITS] = {"train.txt", "dev.txt", "test.txt"};
    int64_t found = -1;
    for (int64_t i = 0; i < dal_zip_count(self->zip) && found < 0; i++)
        if (is_member(dal_zip_name(self->zip, i), files[k]))
            found = i;
    if (found < 0)
        return k == DAL_SPLIT_TRAIN ? dal_fail(err, DAL_E_FORMAT, "path", "%s: there is no train.txt in it",
                                               self->opt->path)
                                    : DAL_OK;
    const unsigned char *data;
    const dal_status st = dal_zip_load(self->zip, found, MAX_CONTENT, &data, &self->size[k], err);
    self->data[k] = st == DAL_OK ? (const char *)data : NULL;
    return st == DAL_OK ? index_trees(self, k, dal_zip_name(self->zip, found), "path", err) : st;
}

static dal_status open_zip(sst *self, dal_error *err)
{
    const options *o = self->opt;
    if (o->validation_path[0] || o->test_path[0])
        return dal_fail(err, DAL_E_INVALID, o->test_path[0] ? "test_path" : "validation_path",
                        "the splits are in %s already", o->path);
    dal_status st = dal_zip_open(self->texts.host, o->path, "path", &self->zip, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = open_member(self, k, err);
    return st;
}

static dal_status open_files(sst *self, dal_error *err)
{
    const options *o = self->opt;
    const char *paths[DAL_SPLITS] = {o->path, o->validation_path, o->test_path};
    static const char *const keys[DAL_SPLITS] = {"path", "validation_path", "test_path"};
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        int64_t head;
        if (!paths[k][0])
            continue;
        st = dal_file_open(self->texts.host, paths[k], keys[k], &self->files[k], err);
        if (st != DAL_OK)
            break;
        const unsigned char *p = dal_file_head(self->files[k], &head);
        if (k == DAL_SPLIT_TRAIN && head >= 4 && memcmp(p, "PK\3\4", 4) == 0)
            return open_zip(self, err);
        st = dal_file_load(self->files[k], MAX_CONTENT, 0, err);
        if (st == DAL_OK) {
            self->data[k] = (const char *)dal_file_data(self->files[k], &self->size[k]);
            st = index_trees(self, k, paths[k], keys[k], err);
        }
    }
    return st;
}

/* ---- the table ---------------------------------------------------------------------------------- */

static void sst_destroy(void *p)
{
    sst *self = p;
    if (!self)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        dal_file_close(self->files[k]);
    dal_zip_close(self->zip);
    self->texts.host->free(self->texts.host, self->stack);
    dal_texts_destroy(self);
}

static dal_status build(void *p, const void *opt, dal_error *err)
{
    sst *self = p;
    self->opt = opt;
    self->texts.decode = decode;
    self->texts.n_classes = self->opt->classes == FINE ? N_LABELS : 2;
    self->texts.class_names = self->opt->classes == FINE ? fine_names : binary_names;
    self->stack = dal_array(self->texts.host, MAX_DEPTH, sizeof *self->stack);
    return self->stack ? open_files(self, err) : dal_fail(err, DAL_E_NOMEM, "", "no memory for the trees");
}

static dal_status sst_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(sst), opt, build, sst_destroy, out, err);
}

static const dal_dataset_impl sst_impl = {
    .struct_size = sizeof sst_impl,
    .create = sst_create,
    .destroy = sst_destroy,
    DAL_TEXTS_SLOTS,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the .zip of the treebank, or the trees of the pool, plain or packed") \
    P(T, validation_path, PATH, "", "file", "", "the trees of the validation split, where path is no .zip") \
    P(T, test_path, PATH, "", "file", "", "those of the test split, likewise")                           \
    P(T, classes, CHOICE, "fine", "fine|binary", "", "five, or negative and positive without what is neutral") \
    P(T, phrases, CHOICE, "sentences", "sentences|all", "",                                                            \
      "texts of the pool: whole sentences, or every phrase in them")                                                   \
    P(T, encoding, CHOICE, "utf-8", DAL_ENCODINGS, "", "of the files; mixed: a word that is no UTF-8 is Latin-1")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "sst-trees", sst_impl,                                                                                  \
      "the Stanford Sentiment Treebank (SST-5, SST-2) in its trees, in the .zip or out of it",                         \
      "Socher et al., EMNLP 2013", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(sst_trees, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
