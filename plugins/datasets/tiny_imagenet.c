/* tiny-imagenet: TinyImageNet in its own layout, as a folder or inside its .zip (or a .tar.gz).
 *
 *     wnids.txt                  the classes, one WordNet id a line: their order is that of the class numbers
 *     words.txt                  "n01443537<TAB>goldfish, Carassius auratus": what ids are called
 *     train/n01443537/images/    the pool; boxes beside it are not read
 *     val/images/                the test split, with "val_0.JPEG<TAB>n03444034<TAB>0<TAB>32<TAB>44<TAB>62" in
 *     val/val_annotations.txt    (the four numbers are a box, and not read); or val/n01443537/..., as train
 *     test/images/               pictures without labels: left out, or, if wanted, more of the pool
 *
 * The official test split has no labels: what papers call the test set of TinyImageNet is val. Some pictures are grey
 * and become colour, as everybody reads them. Pictures come in the order of their names.
 */
#include <dal/text.h>

#include "image_codec.h"
#include "image_set.h"

typedef struct options {
    const char *path;
    uint32_t val, names;
    int32_t unlabelled;
    dal_i64_list size;
    uint32_t channels;
    int64_t cache;
} options;

enum { VAL_TEST, VAL_VALIDATION };
enum { NAMES_WORDS, NAMES_WNIDS };

#define MAX_TEXT ((int64_t)64 << 20)
#define MAX_CLASSES 100000
#define NAME_ROOM 96
#define ID_CHARACTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-"

typedef struct tiny {
    const dal_host *host;
    const options *opt;
    image_set set;
    dal_files *files;
    int64_t wnids_file;
    size_t root;           /* bytes before "wnids.txt" in its name */
    char *wnids, *names;   /* text: wnids.txt, cut into lines; [n_classes, NAME_ROOM] */
    const char **class_id; /* [n_classes] */
    const char **class_names;
    int64_t n_classes;
    int32_t last; /* the class that was found last */
} tiny;

/* ---- lines of text ---------------------------------------------------------------------------- */

static int is_wanted(void *ctx, const char *name)
{
    static const char *const texts[] = {"wnids.txt", "words.txt", "val_annotations.txt"};
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    (void)ctx;
    for (int i = 0; i < 3; i++)
        if (strcmp(base, texts[i]) == 0)
            return 1;
    return image_has_name(name);
}

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
}

/* The file `name` below the root, or -1. */
static int64_t find_file(const tiny *self, const char *folder, const char *name, size_t length)
{
    char full[1024];
    const char *wnids = dal_files_name(self->files, self->wnids_file);
    const int n = snprintf(full, sizeof full, "%.*s%s%.*s", (int)self->root, wnids, folder, (int)length, name);
    return n > 0 && n < (int)sizeof full ? dal_files_find(self->files, full) : -1;
}

/* A whole text file, NUL-ended; it has no other NUL. To be freed. */
static dal_status read_text(const tiny *self, int64_t file, char **text, dal_error *err)
{
    const int64_t size = dal_files_size(self->files, file);
    char place[512];
    dal_files_place(self->files, file, place, sizeof place);
    if (size > MAX_TEXT)
        return dal_fail(err, DAL_E_OVERFLOW, "path", "%s: %lld bytes, expected at most 64 MiB", place, (long long)size);
    *text = dal_array(self->host, size + 1, 1);
    if (!*text)
        return no_memory(err);
    const dal_status st = dal_files_read(self->files, file, *text, size, err);
    if (st != DAL_OK)
        return st;
    (*text)[size] = '\0';
    const int64_t fault = dal_utf8_fault(*text, size);
    return fault < 0 ? DAL_OK
                     : dal_fail(err, DAL_E_FORMAT, "path", "%s: no UTF-8 text at offset %lld", place, (long long)fault);
}

/* The next line of *at, NUL-ended and without blanks at its end; NULL at the end of the text. */
static char *next_line(char **at)
{
    char *line = *at, *end = line + strcspn(line, "\n");
    if (!*line)
        return NULL;
    *at = *end ? end + 1 : end;
    while (end > line && strchr(" \t\r", end[-1]))
        end--;
    *end = '\0';
    return line;
}

static dal_status bad_line(const tiny *self, int64_t file, int64_t line, const char *what, const char *word,
                           dal_error *err)
{
    char place[512], shown[81];
    dal_files_place(self->files, file, place, sizeof place);
    snprintf(shown, sizeof shown, "%s", word);
    for (char *p = shown; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return dal_fail(err, DAL_E_FORMAT, "path", "%s:%lld: %s '%s'", place, (long long)line, what, shown);
}

/* ---- classes ---------------------------------------------------------------------------------- */

static int32_t find_class(tiny *self, const char *id, size_t length)
{
    for (int64_t i = 0; i < self->n_classes; i++) {
        const int64_t c = (self->last + i) % self->n_classes;
        if (strncmp(self->class_id[c], id, length) == 0 && !self->class_id[c][length])
            return self->last = (int32_t)c;
    }
    return -1;
}

static dal_status read_wnids(tiny *self, dal_error *err)
{
    const int64_t file = self->wnids_file;
    dal_status st = read_text(self, file, &self->wnids, err);
    int64_t room = 0, number = 0;
    if (st != DAL_OK)
        return st;
    for (const char *p = self->wnids; *p; p++)
        room += *p == '\n';
    if (room >= MAX_CLASSES)
        return dal_fail(err, DAL_E_OVERFLOW, "path", "wnids.txt has %lld lines, expected at most %d", (long long)room,
                        MAX_CLASSES);
    self->class_id = dal_array(self->host, room + 1, sizeof *self->class_id);
    self->class_names = dal_array(self->host, room + 1, sizeof *self->class_names);
    self->names = dal_array(self->host, room + 1, NAME_ROOM);
    if (!self->class_id || !self->class_names || !self->names)
        return no_memory(err);
    char *at = self->wnids, *line;
    while ((line = next_line(&at)) && ++number > 0) {
        if (!*line)
            continue;
        if (strlen(line) > 40 || strspn(line, ID_CHARACTERS) != strlen(line))
            return bad_line(self, file, number, "expected a WordNet id such as n01443537, found", line, err);
        if (self->n_classes > 0 && find_class(self, line, strlen(line)) >= 0)
            return bad_line(self, file, number, "a second time", line, err);
        self->class_id[self->n_classes] = line;
        self->class_names[self->n_classes++] = line;
    }
    return self->n_classes > 0 ? DAL_OK : bad_line(self, file, 1, "expected WordNet ids, found", "", err);
}

/* "goldfish", or "goldfish (n01443537)" when another class has that name already. */
static void name_class(tiny *self, int32_t c, const char *words)
{
    char *to = self->names + (int64_t)c * NAME_ROOM;
    size_t length = strcspn(words, ",");
    const size_t most = NAME_ROOM - 48; /* with room for the id; never in the middle of a character */
    if (length > most)
        for (length = most; length > 0 && (words[length] & 0xc0) == 0x80;)
            length--;
    snprintf(to, NAME_ROOM, "%.*s", (int)length, words);
    for (char *p = to; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    for (int64_t i = 0; i < self->n_classes; i++)
        if (i != c && strcmp(self->class_names[i], to) == 0) {
            snprintf(to + length, NAME_ROOM - length, " (%s)", self->class_id[c]);
            break;
        }
    self->class_names[c] = to;
}

static dal_status read_words(tiny *self, dal_error *err)
{
    const int64_t file = find_file(self, "", "words.txt", 9);
    char *text = NULL, *line;
    int64_t number = 0;
    if (file < 0 || self->opt->names == NAMES_WNIDS)
        return DAL_OK;
    dal_status st = read_text(self, file, &text, err);
    char *at = text;
    while (st == DAL_OK && (line = next_line(&at)) && ++number > 0) {
        const size_t length = strcspn(line, "\t");
        if (*line && (length == 0 || !line[length]))
            st = bad_line(self, file, number, "expected an id, a tab and words, found", line, err);
        const int32_t c = st == DAL_OK && *line ? find_class(self, line, length) : -1;
        if (c >= 0)
            name_class(self, c, line + length + 1);
    }
    self->host->free(self->host, text);
    return st;
}

/* ---- pictures --------------------------------------------------------------------------------- */

/* What comes behind root and folder in a name, or NULL. */
static const char *below(const tiny *self, int64_t file, const char *folder)
{
    const char *name = dal_files_name(self->files, file);
    const size_t n = strlen(folder);
    if (strncmp(name, dal_files_name(self->files, self->wnids_file), self->root) != 0 ||
        strncmp(name + self->root, folder, n) != 0)
        return NULL;
    return image_has_name(name) ? name + self->root + n : NULL;
}

/* Pictures in FOLDER/WNID/. */
static dal_status add_by_folder(tiny *self, uint32_t k, const char *folder, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < dal_files_count(self->files) && st == DAL_OK; i++) {
        const char *name = below(self, i, folder);
        if (!name)
            continue;
        const size_t length = strcspn(name, "/");
        const int32_t cls = name[length] ? find_class(self, name, length) : -1;
        if (cls >= 0) {
            st = image_set_add(&self->set, k, i, cls, err);
        } else {
            char place[512];
            dal_files_place(self->files, i, place, sizeof place);
            st = dal_fail(err, DAL_E_FORMAT, "path", "%s: its folder is no class of wnids.txt", place);
        }
    }
    return st;
}

/* One line: picture, class, and a box that is not read. seen[file]: its class + 1. */
static dal_status annotate(tiny *self, int64_t file, int64_t number, const char *line, int32_t *seen, dal_error *err)
{
    const size_t length = strcspn(line, "\t");
    if (!line[length])
        return bad_line(self, file, number, "expected a picture, a tab and its class, found", line, err);
    const char *id = line + length + 1;
    const size_t id_length = strcspn(id, "\t");
    const int64_t picture = find_file(self, "val/images/", line, length);
    const int32_t cls = find_class(self, id, id_length);
    if (picture < 0)
        return bad_line(self, file, number, "there is no such picture in val/images:", line, err);
    if (cls < 0)
        return bad_line(self, file, number, "no class of wnids.txt:", id, err);
    if (seen[picture])
        return bad_line(self, file, number, "a second time", line, err);
    seen[picture] = cls + 1;
    return DAL_OK;
}

static dal_status add_annotated(tiny *self, uint32_t k, int64_t file, dal_error *err)
{
    const int64_t n = dal_files_count(self->files);
    int32_t *seen = dal_array(self->host, n, sizeof *seen);
    char *text = NULL, *line;
    int64_t number = 0;
    dal_status st = seen ? read_text(self, file, &text, err) : no_memory(err);
    char *at = text;
    if (seen)
        memset(seen, 0, (size_t)n * sizeof *seen);
    while (st == DAL_OK && (line = next_line(&at)) && ++number > 0)
        if (*line)
            st = annotate(self, file, number, line, seen, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        if (!below(self, i, "val/images/"))
            continue;
        char place[512];
        dal_files_place(self->files, i, place, sizeof place);
        st = seen[i] ? image_set_add(&self->set, k, i, seen[i] - 1, err)
                     : dal_fail(err, DAL_E_FORMAT, "path", "%s: it has no line in val_annotations.txt", place);
    }
    self->host->free(self->host, text);
    self->host->free(self->host, seen);
    return st;
}

static dal_status add_unlabelled(tiny *self, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < dal_files_count(self->files) && st == DAL_OK; i++)
        if (below(self, i, "test/"))
            st = image_set_add(&self->set, DAL_SPLIT_TRAIN, i, DAL_LABEL_NONE, err);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void tiny_destroy(void *p)
{
    tiny *self = p;
    if (!self)
        return;
    image_set_free(&self->set);
    dal_files_close(self->files);
    self->host->free(self->host, self->wnids);
    self->host->free(self->host, self->names);
    self->host->free(self->host, self->class_id);
    self->host->free(self->host, self->class_names);
    self->host->free(self->host, self);
}

/* wnids.txt, wherever in the archive the set is. */
static dal_status find_root(tiny *self, dal_error *err)
{
    self->wnids_file = -1;
    for (int64_t i = 0; i < dal_files_count(self->files); i++) {
        const char *name = dal_files_name(self->files, i);
        const size_t n = strlen(name);
        if (n >= 9 && strcmp(name + n - 9, "wnids.txt") == 0 && (n == 9 || name[n - 10] == '/') &&
            (self->wnids_file < 0 || n - 9 < self->root)) {
            self->wnids_file = i;
            self->root = n - 9;
        }
    }
    if (self->wnids_file < 0)
        return dal_fail(err, DAL_E_FORMAT, "path", "%s: there is no wnids.txt in it, as TinyImageNet has",
                        self->opt->path);
    return DAL_OK;
}

static dal_status open_all(tiny *self, dal_error *err)
{
    const options *o = self->opt;
    const uint32_t k = o->val == VAL_TEST ? DAL_SPLIT_TEST : DAL_SPLIT_VALIDATION;
    dal_status st = dal_files_open(self->host, o->path, "path", is_wanted, NULL, &self->files, err);
    if (st == DAL_OK)
        st = find_root(self, err);
    if (st == DAL_OK)
        st = read_wnids(self, err);
    if (st == DAL_OK)
        st = read_words(self, err);
    if (st != DAL_OK)
        return st;
    for (uint32_t i = 0; i < DAL_SPLITS; i++) {
        self->set.splits[i].files = self->files;
        self->set.splits[i].key = "path";
    }
    st = add_by_folder(self, DAL_SPLIT_TRAIN, "train/", err);
    if (st == DAL_OK && self->set.splits[DAL_SPLIT_TRAIN].n == 0)
        st = dal_fail(err, DAL_E_INVALID, "path", "%s: there are no pictures in train/WNID/images", o->path);
    const int64_t annotations = find_file(self, "val/", "val_annotations.txt", 19);
    if (st == DAL_OK)
        st = annotations >= 0 ? add_annotated(self, k, annotations, err) : add_by_folder(self, k, "val/", err);
    if (st == DAL_OK && o->unlabelled)
        st = add_unlabelled(self, err);
    return st == DAL_OK ? image_set_settle(&self->set, &(image_options){o->size, o->channels, o->cache}, err) : st;
}

static dal_status tiny_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    (void)input;
    tiny *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return no_memory(err);
    *self = (tiny){.host = host, .opt = opt, .set = {.host = host}};
    const dal_status st = open_all(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        tiny_destroy(self);
    return st;
}

static dal_status tiny_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const tiny *self = p;
    (void)err;
    info->spec = self->set.spec;
    info->spec.n_classes = self->n_classes;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->set.splits[k].n;
    info->class_names = self->class_names;
    return DAL_OK;
}

static dal_status tiny_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    return image_set_classes(&((const tiny *)p)->set, k, ids, n, out, err);
}

static dal_status tiny_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    return image_set_read(&((const tiny *)p)->set, k, ids, n, out, err);
}

static void tiny_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    image_set_describe(&((const tiny *)p)->set, k, id, out, size);
}

static dal_status tiny_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    return image_set_fingerprint(&((const tiny *)p)->set, out, err);
}

static const dal_dataset_impl tiny_impl = {
    .struct_size = sizeof tiny_impl,
    .create = tiny_create,
    .destroy = tiny_destroy,
    .info = tiny_info,
    .classes = tiny_classes,
    .read = tiny_read,
    .describe = tiny_describe,
    .fingerprint = tiny_fingerprint,
};

#define PARAMS(P, T)                                                                                    \
    P(T, path, PATH, DAL_REQUIRED, "file or directory", "",                                             \
      "tiny-imagenet-200.zip, a .tar.gz of the same, or the folder tiny-imagenet-200")                  \
    P(T, val, CHOICE, "test", "test|validation", "", "the split that the pictures of val become")       \
    P(T, names, CHOICE, "words", "words|wnids", "", "what classes are called")                          \
    P(T, unlabelled, BOOL, "false", "", "", "add the pictures of test, which have no labels, to the pool") \
    IMAGE_PARAMS(P, T)
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "tiny-imagenet", tiny_impl, "TinyImageNet in its own layout, as a folder or inside its .zip", \
      "Le & Yang: Tiny ImageNet visual recognition challenge, 2015", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(tiny_imagenet, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
