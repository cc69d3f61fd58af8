/* image-folder: pictures (JPEG, PNG, PGM, PPM) in a folder a class, on disk or in an archive (.zip, .tar, .tar.gz, ...).
 *
 * The classes are the folders, in the order of their names as bytes; what lies deeper belongs to the folder at the top.
 * Pictures in no folder bear no label. Files of other kinds do not count. When everything lies in one folder more, as
 * archives are often made ("train/cat/1.png"), that one is no class. The other splits are folders or archives of their
 * own, with classes that the pool has.
 *
 * The header of every picture is looked at when the dataset is opened, so that wrong files and sizes come to light
 * before any work. Archives are never unpacked to files; see dal/files.h for what is kept of them.
 */
#include <dal/text.h>

#include "image_codec.h"
#include "image_set.h"

typedef struct options {
    const char *train, *validation, *test;
    dal_i64_list size;
    uint32_t channels;
    int64_t cache;
} options;

#define MAX_CLASSES 1000000

static const char *const keys[DAL_SPLITS] = {"train", "validation", "test"};

typedef struct folder {
    const dal_host *host;
    image_set set;
    dal_files *files[DAL_SPLITS];
    char *text; /* all class names, NUL-ended */
    const char **names;
    int64_t n_classes;
} folder;

static int is_picture(void *ctx, const char *name)
{
    (void)ctx;
    return image_has_name(name);
}

/* How long the folders at the beginning of all names are that hold nothing but one folder more. */
static size_t shared_root(const dal_files *f)
{
    const char *first = dal_files_name(f, 0);
    size_t root = 0;
    for (;;) {
        const char *slash = strchr(first + root, '/');
        if (!slash)
            return root;
        const size_t next = (size_t)(slash - first) + 1;
        for (int64_t i = 0; i < dal_files_count(f); i++) {
            const char *name = dal_files_name(f, i);
            if (strncmp(name, first, next) != 0 || !strchr(name + next, '/'))
                return root;
        }
        root = next;
    }
}

/* The class folder of a name without its root: its length, 0 when there is none. */
static size_t folder_length(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash ? (size_t)(slash - name) : 0;
}

/* UTF-8 without control characters. */
static int is_text(const char *name)
{
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return 0;
    return dal_utf8_fault(name, (int64_t)strlen(name)) < 0;
}

/* The classes of the pool. Names come in order, so that the files of a class lie side by side. */
static dal_status list_classes(folder *self, const dal_files *f, size_t root, dal_error *err)
{
    const int64_t n = dal_files_count(f);
    int64_t bytes = 0, count = 0;
    const char *last = NULL;
    for (int turn = 0; turn < 2; turn++) {
        char *to = self->text;
        for (int64_t i = 0; i < n; i++) {
            const char *name = dal_files_name(f, i) + root;
            const size_t length = folder_length(name);
            if (length == 0 || (last && strncmp(last, name, length + 1) == 0))
                continue;
            last = name;
            if (turn == 0) {
                bytes += (int64_t)length + 1;
                count++;
                continue;
            }
            memcpy(to, name, length);
            to[length] = '\0';
            self->names[self->n_classes++] = to;
            to += length + 1;
        }
        if (turn == 0) {
            self->text = dal_array(self->host, bytes, 1);
            self->names = dal_array(self->host, count, sizeof *self->names);
            if (!self->text || !self->names)
                return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
            last = NULL;
        }
        if (count > MAX_CLASSES)
            return dal_fail(err, DAL_E_OVERFLOW, keys[0], "%lld folders, expected at most %d classes",
                            (long long)count, MAX_CLASSES);
    }
    for (int64_t c = 0; c < self->n_classes; c++)
        if (!is_text(self->names[c]))
            return dal_fail(err, DAL_E_FORMAT, keys[0], "the name of folder %lld, a class, is not UTF-8 text",
                            (long long)c + 1);
    return DAL_OK;
}

/* The class whose folder is name[length], or -1. */
static int32_t find_class(const folder *self, const char *name, size_t length)
{
    int64_t low = 0, high = self->n_classes;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const char *c = self->names[middle];
        const int order = strncmp(name, c, length);
        if (order == 0 && !c[length])
            return (int32_t)middle;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static dal_status open_split(folder *self, uint32_t k, const char *path, dal_error *err)
{
    dal_files **f = &self->files[k];
    dal_status st = dal_files_open(self->host, path, keys[k], is_picture, NULL, f, err);
    if (st != DAL_OK)
        return st;
    if (dal_files_count(*f) == 0)
        return dal_fail(err, DAL_E_INVALID, keys[k],
                        "%s: there are no pictures in it: expected names with .jpg, .jpeg, .png, .ppm, .pgm or .pnm",
                        path);
    const size_t root = shared_root(*f);
    if (k == DAL_SPLIT_TRAIN)
        st = list_classes(self, *f, root, err);
    self->set.splits[k].files = *f;
    self->set.splits[k].key = keys[k];
    for (int64_t i = 0; i < dal_files_count(*f) && st == DAL_OK; i++) {
        const char *name = dal_files_name(*f, i) + root;
        const size_t length = folder_length(name);
        const int32_t cls = length > 0 ? find_class(self, name, length) : DAL_LABEL_NONE;
        if (length > 0 && cls < 0) {
            char place[512];
            dal_files_place(*f, i, place, sizeof place);
            st = dal_fail(err, DAL_E_INVALID, keys[k], "%s: it is in a folder that the pool has not", place);
        } else {
            st = image_set_add(&self->set, k, i, cls, err);
        }
    }
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void folder_destroy(void *p)
{
    folder *self = p;
    if (!self)
        return;
    image_set_free(&self->set);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        dal_files_close(self->files[k]);
    self->host->free(self->host, self->names);
    self->host->free(self->host, self->text);
    self->host->free(self->host, self);
}

static dal_status folder_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    const options *o = opt;
    const char *const paths[DAL_SPLITS] = {o->train, o->validation, o->test};
    (void)input;
    folder *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (folder){.host = host, .set = {.host = host}};
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (paths[k][0])
            st = open_split(self, k, paths[k], err);
    if (st == DAL_OK)
        st = image_set_settle(&self->set, &(image_options){o->size, o->channels, o->cache}, err);
    if (st == DAL_OK)
        *out = self;
    else
        folder_destroy(self);
    return st;
}

static dal_status folder_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const folder *self = p;
    (void)err;
    info->spec = self->set.spec;
    info->spec.n_classes = self->n_classes;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->set.splits[k].n;
    info->class_names = self->n_classes > 0 ? self->names : NULL;
    return DAL_OK;
}

static dal_status folder_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    return image_set_classes(&((const folder *)p)->set, k, ids, n, out, err);
}

static dal_status folder_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    return image_set_read(&((const folder *)p)->set, k, ids, n, out, err);
}

static void folder_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    image_set_describe(&((const folder *)p)->set, k, id, out, size);
}

static dal_status folder_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    return image_set_fingerprint(&((const folder *)p)->set, out, err);
}

static const dal_dataset_impl folder_impl = {
    .struct_size = sizeof folder_impl,
    .create = folder_create,
    .destroy = folder_destroy,
    .info = folder_info,
    .classes = folder_classes,
    .read = folder_read,
    .describe = folder_describe,
    .fingerprint = folder_fingerprint,
};

#define PARAMS(P, T)                                                                                    \
    P(T, train, PATH, DAL_REQUIRED, "file or directory", "",                                            \
      "the pool: a folder with a folder of pictures a class, or an archive of one")                     \
    P(T, validation, PATH, "", "file or directory", "", "the validation split, likewise")               \
    P(T, test, PATH, "", "file or directory", "", "the test split, likewise")                           \
    IMAGE_PARAMS(P, T)
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "image-folder", folder_impl,                                                             \
      "JPEG, PNG and PNM pictures in a folder a class, also inside a .zip or .tar archive", "", "",     \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(image_folder, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
