/* text-folder: a file for each text, a folder for each class: aclImdb, 20news-bydate and their like, in a .tar.gz or
 * .zip or unpacked.
 *
 * A text's class is the folder it lies in. The folder above that tells the split where it is called train, test or the
 * like ("aclImdb/train/pos/0_9.txt", "20news-bydate-test/sci.med/59225"): then what does not lie so is no text. Where
 * no folder is called so, all are the pool. Texts are in the order of their names, whatever the archive's own.
 *
 * The whole is gone through once; texts are kept as UTF-8 in temporary space, stripped where that is asked for.
 */
#include <dal/archive.h>
#include <dal/file.h>
#include <dal/texts.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct options {
    const char *path, *train, *validation, *test, *suffix;
    dal_str_list unlabelled, class_names;
    int32_t strip_headers, strip_quotes, strip_footers;
    uint32_t encoding;
} options;

/* Of an archive: with a smaller packed file dal_archive sets a limit of its own. */
#define MAX_CONTENT ((int64_t)1 << 36)
#define CHUNK DAL_TEXT_MOST            /* bytes of temporary space taken at once */
#define MAX_CHUNKS 4096
#define MAX_DEPTH 8                    /* of folders in folders */
#define MAX_NAME 1024

/* A text before it has its place. */
typedef struct entry {
    char *name;       /* as in the archive, or below `path` */
    int64_t at, size; /* chunk * CHUNK + offset */
    uint32_t split;   /* DAL_SPLITS: no folder tells */
    int32_t cls;
} entry;

typedef struct text_folder {
    dal_texts texts; /* first: the shared slots see only this */
    const options *opt;
    entry *entries; /* [n], in the order of splits and names in the end */
    int64_t n, room;
    char *chunks[MAX_CHUNKS];
    int64_t n_chunks, used; /* of the last chunk */
    char *scratch;          /* one text as it is in its file */
    int64_t n_scratch;
    int64_t apart[DAL_SPLITS + 1]; /* entries of each split; those without one */
} text_folder;

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the texts");
}

/* ---- names -------------------------------------------------------------------------------------- */

/* Is word[n] `name`, or does it end in a dash, underscore or point and that? */
static int is_called(const char *word, int64_t n, const char *name)
{
    const int64_t m = (int64_t)strlen(name);
    return n >= m && strncasecmp(word + n - m, name, (size_t)m) == 0 && (n == m || strchr("-_.", word[n - m - 1]));
}

static uint32_t split_of(const options *o, const char *folder, int64_t n)
{
    static const char *const usual[][4] = {
        {"train", "training", NULL, NULL}, {"validation", "valid", "val", "dev"}, {"test", "testing", NULL, NULL}};
    const char *const own[DAL_SPLITS] = {o->train, o->validation, o->test};
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        if (own[k][0] && (int64_t)strlen(own[k]) == n && memcmp(own[k], folder, (size_t)n) == 0)
            return k;
        for (int i = 0; i < 4 && !own[k][0] && usual[k][i]; i++)
            if (is_called(folder, n, usual[k][i]))
                return k;
    }
    return DAL_SPLITS;
}

/* The folder a name's file lies in, and the split that the folder above it tells. 0: it lies in none. */
static int take_apart(const options *o, const char *name, const char **folder, int64_t *n, uint32_t *split)
{
    const char *end = strrchr(name, '/'), *start = end;
    if (!end)
        return 0;
    while (start > name && start[-1] != '/')
        start--;
    *folder = start;
    *n = end - start;
    const char *above_end = start > name ? start - 1 : start, *above = above_end;
    while (above > name && above[-1] != '/')
        above--;
    *split = split_of(o, above, above_end - above);
    return *n > 0;
}

static int ends_in(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* ---- stripping, as scikit-learn does it --------------------------------------------------------- */

static int64_t line_end(const char *text, int64_t n, int64_t at)
{
    const char *p = at < n ? memchr(text + at, '\n', (size_t)(n - at)) : NULL;
    return p ? p - text : n;
}

/* What follows the first blank line. */
static int64_t strip_headers(char *text, int64_t n)
{
    for (int64_t i = 0; i + 1 < n; i++)
        if (text[i] == '\n' && text[i + 1] == '\n') {
            memmove(text, text + i + 2, (size_t)(n - i - 2));
            return n - i - 2;
        }
    return n;
}

static int has(const char *line, int64_t n, const char *word)
{
    const int64_t m = (int64_t)strlen(word);
    for (int64_t i = 0; i + m <= n; i++)
        if (memcmp(line + i, word, (size_t)m) == 0)
            return 1;
    return 0;
}

static int begins(const char *line, int64_t n, const char *word)
{
    const size_t m = strlen(word);
    return n >= (int64_t)m && memcmp(line, word, m) == 0;
}

/* Without the lines that quote, and those that say whom. */
static int64_t strip_quotes(char *text, int64_t n)
{
    int64_t to = 0, kept = 0;
    for (int64_t at = 0, end; at <= n; at = end + 1) { /* what follows the last line break is a line, too */
        end = line_end(text, n, at);
        const char *line = text + at;
        const int64_t m = end - at;
        if (begins(line, m, ">") || begins(line, m, "|") || begins(line, m, "In article") ||
            begins(line, m, "Quoted from") || has(line, m, "writes in") || has(line, m, "writes:") ||
            has(line, m, "wrote:") || has(line, m, "says:") || has(line, m, "said:"))
            continue;
        if (kept++ > 0)
            text[to++] = '\n';
        memmove(text + to, line, (size_t)m);
        to += m;
    }
    return to;
}

/* Nothing but blanks round dashes? */
static int is_rule(const char *line, int64_t n)
{
    while (n > 0 && strchr(" \t\r", line[n - 1]))
        n--;
    while (n > 0 && strchr(" \t\r", *line))
        line++, n--;
    while (n > 0 && line[n - 1] == '-')
        n--;
    return n == 0;
}

/* Without the last block, when a line of nothing or of dashes is above it. */
static int64_t strip_footers(char *text, int64_t n)
{
    int64_t first = 0;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    while (first < n && text[first] == '\n')
        first++;
    memmove(text, text + first, (size_t)(n - first));
    n -= first;
    for (int64_t start = n; start > 0;) {
        const int64_t end = start;
        while (start > 0 && text[start - 1] != '\n')
            start--;
        if (is_rule(text + start, end - start))
            return start > 0 ? start - 1 : n;
        if (start > 0)
            start--;
    }
    return n;
}

static int64_t strip(const options *o, char *text, int64_t n)
{
    if (o->strip_headers)
        n = strip_headers(text, n);
    if (o->strip_footers)
        n = strip_footers(text, n);
    if (o->strip_quotes)
        n = strip_quotes(text, n);
    return n;
}

/* ---- one text more ------------------------------------------------------------------------------ */

/* Room for `size` bytes in temporary space. */
static dal_status take_room(text_folder *self, int64_t size, int64_t *at, char **to, dal_error *err)
{
    if (self->n_chunks == 0 || self->used + size > CHUNK) {
        void *p = NULL;
        if (self->n_chunks == MAX_CHUNKS)
            return dal_fail(err, DAL_E_OVERFLOW, "path", "%s: more than %lld bytes of text", self->opt->path,
                            (long long)(MAX_CHUNKS * CHUNK));
        const dal_status st = self->texts.host->temp_map(self->texts.host, (size_t)CHUNK, &p, err);
        if (st != DAL_OK)
            return st;
        self->chunks[self->n_chunks++] = p;
        self->used = 0;
    }
    *at = (self->n_chunks - 1) * CHUNK + self->used;
    *to = self->chunks[self->n_chunks - 1] + self->used;
    self->used += size;
    return DAL_OK;
}

static dal_status add_entry(text_folder *self, const char *name, const entry *e, dal_error *err)
{
    const dal_host *host = self->texts.host;
    const size_t n = strlen(name) + 1;
    if (self->n == self->room) {
        const int64_t room = self->room ? 2 * self->room : 1024;
        entry *larger = room <= INT32_MAX ? dal_array(host, room, sizeof *larger) : NULL;
        if (!larger)
            return no_memory(err);
        if (self->n > 0)
            memcpy(larger, self->entries, (size_t)self->n * sizeof *larger);
        host->free(host, self->entries);
        self->entries = larger;
        self->room = room;
    }
    char *copy = host->alloc(host, n, 0);
    if (!copy)
        return no_memory(err);
    memcpy(copy, name, n);
    self->entries[self->n] = *e;
    self->entries[self->n++].name = copy;
    self->apart[e->split]++;
    return DAL_OK;
}

/* Is a file of this name a text? Then its split; once a folder has told a split, only such are. */
static int wanted(const text_folder *self, const char *name, uint32_t *split)
{
    const char *folder;
    int64_t n;
    return take_apart(self->opt, name, &folder, &n, split) && ends_in(name, self->opt->suffix) &&
           (*split < DAL_SPLITS || self->apart[DAL_SPLITS] == self->n);
}

static dal_status need_scratch(text_folder *self, const char *name, int64_t size, dal_error *err)
{
    const dal_host *host = self->texts.host;
    if (size > DAL_TEXT_MOST / 2)
        return dal_fail(err, DAL_E_FORMAT, "path", "%s: %.200s: a text of %lld bytes, expected at most %lld",
                        self->opt->path, name, (long long)size, (long long)(DAL_TEXT_MOST / 2));
    if (self->scratch && size <= self->n_scratch) /* an empty text has a place, too */
        return DAL_OK;
    host->free(host, self->scratch);
    self->n_scratch = 0;
    self->scratch = dal_array(host, 2 * size, 1);
    if (!self->scratch)
        return no_memory(err);
    self->n_scratch = 2 * size;
    return DAL_OK;
}

/* The text in scratch[size] becomes an entry. */
static dal_status take_text(text_folder *self, const char *name, uint32_t split, int64_t size, dal_error *err)
{
    const options *o = self->opt;
    entry e = {.split = split, .cls = DAL_LABEL_NONE};
    char *to = NULL;
    dal_status st = dal_text_check(o->encoding, self->scratch, size, name, "path", 1, err);
    if (st != DAL_OK)
        return st;
    size = strip(o, self->scratch, size);
    e.size = dal_to_utf8(o->encoding, self->scratch, size, NULL);
    st = take_room(self, e.size, &e.at, &to, err);
    if (st != DAL_OK)
        return st;
    dal_to_utf8(o->encoding, self->scratch, size, to);
    return add_entry(self, name, &e, err);
}

/* ---- archives and folders ----------------------------------------------------------------------- */

static dal_status read_archive(text_folder *self, dal_error *err)
{
    const dal_host *host = self->texts.host;
    dal_archive *a = NULL;
    dal_archive_member m;
    int more = 1;
    uint32_t split;
    dal_status st = dal_archive_open(host, self->opt->path, "path", MAX_CONTENT, &a, err);
    while (st == DAL_OK && (st = dal_archive_next(a, &m, &more, err)) == DAL_OK && more) {
        if (!wanted(self, m.name, &split))
            continue;
        st = need_scratch(self, m.name, m.size, err);
        if (st == DAL_OK && m.size > 0)
            st = dal_archive_read(a, self->scratch, m.size, err);
        if (st == DAL_OK)
            st = take_text(self, m.name, split, m.size, err);
        if (st == DAL_OK && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, "path", "%s: stopped while reading", self->opt->path);
    }
    dal_archive_close(a);
    return st;
}

static dal_status read_file(text_folder *self, int dir, const char *file, const char *name, int64_t size,
                            dal_error *err)
{
    uint32_t split;
    if (!wanted(self, name, &split))
        return DAL_OK;
    dal_status st = need_scratch(self, name, size, err);
    if (st != DAL_OK)
        return st;
    const int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int64_t have = 0;
    ssize_t n = 1;
    while (fd >= 0 && have < size && (n = read(fd, self->scratch + have, (size_t)(size - have))) > 0)
        have += n;
    if (fd >= 0)
        close(fd);
    if (fd < 0 || n < 0)
        return dal_fail(err, DAL_E_IO, "path", "%s/%s: cannot read", self->opt->path, name);
    return take_text(self, name, split, have, err);
}

/* All files below; `name` is the path of the folder, with its slash, in MAX_NAME bytes. */
static dal_status walk(text_folder *self, int dir, char *name, int depth, dal_error *err)
{
    const size_t stem = strlen(name);
    DIR *d = fdopendir(dir);
    dal_status st = DAL_OK;
    if (!d) {
        close(dir);
        return dal_fail(err, DAL_E_IO, "path", "%s/%s: cannot read this folder", self->opt->path, name);
    }
    for (struct dirent *f; st == DAL_OK && (f = readdir(d));) {
        struct stat s;
        if (f->d_name[0] == '.' || fstatat(dir, f->d_name, &s, 0) != 0)
            continue;
        if (snprintf(name + stem, MAX_NAME - stem, "%s", f->d_name) >= (int)(MAX_NAME - stem - 1))
            st = dal_fail(err, DAL_E_INVALID, "path", "%s/%.200s...: a name of more than %d bytes", self->opt->path,
                          name, MAX_NAME);
        else if (S_ISREG(s.st_mode))
            st = read_file(self, dir, f->d_name, name, s.st_size, err);
        else if (S_ISDIR(s.st_mode) && depth < MAX_DEPTH) {
            const int below = openat(dir, f->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            strcat(name, "/");
            st = below >= 0 ? walk(self, below, name, depth + 1, err)
                            : dal_fail(err, DAL_E_IO, "path", "%s/%s: cannot open this folder", self->opt->path, name);
        }
        if (st == DAL_OK && self->texts.host->cancelled(self->texts.host))
            st = dal_fail(err, DAL_E_CANCELLED, "path", "%s: stopped while reading", self->opt->path);
        name[stem] = '\0';
    }
    closedir(d);
    return st;
}

static dal_status read_all(text_folder *self, dal_error *err)
{
    char name[MAX_NAME] = "";
    struct stat s;
    const char *path = self->opt->path;
    if (stat(path, &s) != 0)
        return dal_fail(err, DAL_E_NOT_FOUND, "path", "%s: there is no such file or folder", path);
    if (!S_ISDIR(s.st_mode))
        return read_archive(self, err);
    const int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return dal_fail(err, DAL_E_IO, "path", "%s: cannot open this folder", path);
    /* the folder's own name may tell the split: files are named from it on */
    return walk(self, dir, name, 0, err);
}

/* ---- splits and classes ------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->split != y->split ? (x->split > y->split) - (x->split < y->split) : strcmp(x->name, y->name);
}

static int is_unlabelled(const options *o, const char *folder, int64_t n)
{
    for (int64_t i = 0; i < o->unlabelled.n; i++)
        if ((int64_t)strlen(o->unlabelled.items[i]) == n && memcmp(o->unlabelled.items[i], folder, (size_t)n) == 0)
            return 1;
    return 0;
}

/* A folder that is asked for by name has to be there. */
static dal_status check_splits(const text_folder *self, dal_error *err)
{
    static const char *const keys[DAL_SPLITS] = {"train", "validation", "test"};
    const options *o = self->opt;
    const char *const own[DAL_SPLITS] = {o->train, o->validation, o->test};
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        if (own[k][0] && self->apart[k] == 0)
            return dal_fail(err, DAL_E_INVALID, keys[k],
                            "%s: no text lies in a folder of a folder called '%s'; give the name alone, without what "
                            "is above it", o->path, own[k]);
    return DAL_OK;
}

static dal_status settle(text_folder *self, dal_error *err)
{
    const options *o = self->opt;
    const dal_label_rule rule = {o->class_names.n > 0 ? DAL_LABELS_NAMES : DAL_LABELS_AUTO, o->class_names, ""};
    const int by_split = self->apart[DAL_SPLITS] < self->n;
    int64_t passed = 0;
    dal_status st = check_splits(self, err);
    if (self->n > 0)
        qsort(self->entries, (size_t)self->n, sizeof *self->entries, by_name);
    for (int64_t i = 0; i < self->n && st == DAL_OK; i++) {
        const entry *e = &self->entries[i];
        const char *folder = "";
        uint32_t split;
        int64_t n = 0;
        dal_text_row row = {.at = e->at, .line = 1, .size = e->size, .cls = DAL_LABEL_NONE, .extra = (uint32_t)i};
        if (by_split && e->split == DAL_SPLITS) { /* came before the first that told its split */
            passed++;
            continue;
        }
        take_apart(o, e->name, &folder, &n, &split);
        if (!is_unlabelled(o, folder, n))
            st = dal_texts_label(&self->texts, folder, n, e->name, "path", 1, &row.cls, err);
        if (st == DAL_OK)
            st = dal_texts_add(&self->texts, by_split ? e->split : DAL_SPLIT_TRAIN, &row, e->name, "path", err);
    }
    if (st == DAL_OK && self->texts.n[DAL_SPLIT_TRAIN] == 0)
        st = dal_fail(err, DAL_E_FORMAT, "path",
                      "%s: found no texts for the pool: expected files in a folder for each class, and those in a "
                      "folder called train where there are splits", o->path);
    if (passed > 0)
        dal_logf(self->texts.host, DAL_LOG_INFO, "%s: %lld files that lie in no folder of a split are left out",
                 o->path, (long long)passed);
    return st == DAL_OK ? dal_texts_settle(&self->texts, &rule, err) : st;
}

/* ---- the table ---------------------------------------------------------------------------------- */

static dal_status decode(void *p, uint32_t k, const dal_text_row *row, char *out, dal_error *err)
{
    const text_folder *self = p;
    (void)k;
    (void)err;
    if (row->size > 0)
        memcpy(out, self->chunks[row->at / CHUNK] + row->at % CHUNK, (size_t)row->size);
    return DAL_OK;
}

static void text_folder_destroy(void *p)
{
    text_folder *self = p;
    if (!self)
        return;
    const dal_host *host = self->texts.host;
    for (int64_t i = 0; i < self->n; i++)
        host->free(host, self->entries[i].name);
    host->free(host, self->entries);
    for (int64_t i = 0; i < self->n_chunks; i++)
        host->temp_unmap(host, self->chunks[i], (size_t)CHUNK);
    host->free(host, self->scratch);
    dal_texts_destroy(self);
}

static dal_status build(void *p, const void *opt, dal_error *err)
{
    text_folder *self = p;
    self->opt = opt;
    self->texts.decode = decode;
    dal_status st = read_all(self, err);
    if (st == DAL_OK)
        st = settle(self, err);
    self->texts.host->free(self->texts.host, self->scratch);
    self->scratch = NULL;
    return st;
}

static dal_status text_folder_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                     dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(text_folder), opt, build, text_folder_destroy, out, err);
}

/* "train/pos/0_9.txt": the last three parts of the name. */
static void text_folder_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    const text_folder *self = p;
    if (dal_check_ids(self->texts.n[k], &id, 1, NULL) != DAL_OK) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const char *name = self->entries[self->texts.rows[k][id].extra].name, *from = name + strlen(name);
    for (int parts = 0; from > name && (from[-1] != '/' || ++parts < 3); from--)
        ;
    snprintf(out, size, "%s", from);
}

static const dal_dataset_impl text_folder_impl = {
    .struct_size = sizeof text_folder_impl,
    .create = text_folder_create,
    .destroy = text_folder_destroy,
    .info = dal_texts_info,
    .classes = dal_texts_classes,
    .sizes = dal_texts_sizes,
    .read = dal_texts_read,
    .describe = text_folder_describe,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file or directory", "", "a folder, or an archive of one: .tar, .tar.gz, .zip") \
    P(T, train, STR, "", "", "", "the folder of the pool; empty: called train, or ending so")            \
    P(T, validation, STR, "", "", "", "that of the validation split; empty: validation, valid, val, dev") \
    P(T, test, STR, "", "", "", "that of the test split; empty: test")                                   \
    P(T, suffix, STR, "", "", "", "only files whose names end so, as .txt")                              \
    P(T, unlabelled, STRS, "[unsup]", "nonempty", "", "folders whose texts have no class")               \
    P(T, class_names, STRS, "", "nonempty", "",                                                                        \
      "the folders of the classes, in order; none: all there are, in byte order")                                      \
    P(T, strip_headers, BOOL, "false", "", "", "leave out all before the first blank line (mail, 20 Newsgroups)") \
    P(T, strip_quotes, BOOL, "false", "", "", "leave out lines that quote, and those that say whom")     \
    P(T, strip_footers, BOOL, "false", "", "", "leave out a last block below a blank line: signatures")  \
    P(T, encoding, CHOICE, "utf-8", DAL_ENCODINGS, "", "of the files; mixed: a text that is no UTF-8 is Latin-1")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "text-folder", text_folder_impl,                                                                        \
      "a file for each text in a folder for each class (IMDB, 20 Newsgroups)",                                         \
      "Maas et al., ACL 2011", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(text_folder, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
