/* image-folder: pictures (JPEG, PNG, PGM, PPM) in a folder a class, on disk or in an archive (.zip, .tar, .tar.gz,
 * ...), or in any folders and listed in a table.
 *
 * The classes are the folders, in the order of their names as bytes; what lies deeper belongs to the folder at the top.
 * Pictures in no folder bear no label. Files of other kinds do not count. When everything lies in one folder more, as
 * archives are often made ("train/cat/1.png"), that one is no class. The other splits are folders or archives of their
 * own, with classes that the pool has. `level: 3` takes the third folder from there for the class
 * ("cats/small/ANT/1.png"), `group_level` one for the source of a sample: a patient, a camera, a site. `only` leaves
 * out pictures whose name, with all its folders, does not have this in it.
 *
 * With `listing`, a table in text (.csv, .tsv) among the files of `train` tells which pictures there are and the class,
 * split and source of each, in columns that can be named; see image_listing.h. Pictures that it does not list are left
 * out. The classes are then the distinct labels, by number when all are whole numbers, else by bytes.
 *
 * The header of every picture is looked at when the dataset is opened, so that wrong files and sizes come to light
 * before any work. Archives are never unpacked to files; see dal/files.h for what is kept of them.
 */
#include "image_codec.h"
#include "image_listing.h"
#include "image_set.h"
#include "name_set.h"

typedef struct options {
    const char *train, *validation, *test;
    int64_t level, group_level;
    const char *only, *listing, *listing_path, *listing_label, *listing_split, *listing_group;
    dal_str_list class_names;
    dal_i64_list size;
    uint32_t channels;
    int64_t cache;
} options;

#define MAX_CLASSES 1000000

static const char *const keys[DAL_SPLITS] = {"train", "validation", "test"};

typedef struct folder {
    const dal_host *host;
    const options *opt;
    image_set set;
    dal_files *files[DAL_SPLITS];
    size_t root[DAL_SPLITS]; /* length of the folders that all names of a split begin with */
    name_set classes, groups;
    int has_groups;
} folder;

static int is_wanted(void *ctx, const char *name)
{
    const options *o = ctx;
    if (o->listing[0] && listing_is(name, o->listing))
        return 1;
    return image_has_name(name) && (!o->only[0] || strstr(name, o->only));
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

/* The folder of a name at this level, from 1; none: size 0. */
static name_slice folder_at(const char *name, int64_t level)
{
    for (;; level--) {
        const char *slash = strchr(name, '/');
        if (!slash || level < 1)
            return (name_slice){name, 0};
        if (level == 1)
            return (name_slice){name, slash - name};
        name = slash + 1;
    }
}

/* ---- folders that are classes ------------------------------------------------------------------- */

static dal_status open_files(folder *self, uint32_t k, const char *path, dal_error *err)
{
    const options *o = self->opt;
    void *const ctx = (void *)(uintptr_t)o;
    const dal_status st = dal_files_open(self->host, path, keys[k], is_wanted, ctx, &self->files[k], err);
    if (st != DAL_OK || dal_files_count(self->files[k]) > 0)
        return st;
    return dal_fail(err, DAL_E_INVALID, keys[k],
                    "%s: there are no pictures in it%s%s%s: expected names with .jpg, .jpeg, .png, .ppm, .pgm or .pnm",
                    path, o->only[0] ? " that have '" : "", o->only, o->only[0] ? "' in their names" : "");
}

/* The distinct folders at a level, of the pool or of all splits. */
static dal_status list_folders(folder *self, int64_t level, uint32_t splits, const char *what, name_set *out,
                               dal_error *err)
{
    int64_t n = 0, at = 0;
    for (uint32_t k = 0; k < splits; k++)
        n += self->files[k] ? dal_files_count(self->files[k]) : 0;
    name_slice *all = dal_array(self->host, n, sizeof *all);
    if (!all)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    for (uint32_t k = 0; k < splits; k++)
        for (int64_t i = 0; self->files[k] && i < dal_files_count(self->files[k]); i++)
            all[at++] = folder_at(dal_files_name(self->files[k], i) + self->root[k], level);
    const dal_status st = name_set_make(self->host, all, n, 0, MAX_CLASSES, what, keys[0], out, err);
    self->host->free(self->host, all);
    return st;
}

static dal_status add_pictures(folder *self, uint32_t k, dal_error *err)
{
    const dal_files *f = self->files[k];
    const options *o = self->opt;
    dal_status st = DAL_OK;
    self->set.splits[k].files = f;
    self->set.splits[k].key = keys[k];
    for (int64_t i = 0; i < dal_files_count(f) && st == DAL_OK; i++) {
        const char *name = dal_files_name(f, i) + self->root[k];
        const name_slice class = folder_at(name, o->level), group = folder_at(name, o->group_level);
        const int32_t cls = class.size > 0 ? name_set_find(&self->classes, class.text, class.size) : DAL_LABEL_NONE;
        if (class.size > 0 && cls < 0) {
            char place[512];
            dal_files_place(f, i, place, sizeof place);
            return dal_fail(err, DAL_E_INVALID, keys[k], "%s: it is in a folder that the pool has not", place);
        }
        st = image_set_add(&self->set, k, i, cls, err);
        if (st == DAL_OK && group.size > 0)
            self->set.splits[k].refs[i].group = name_set_find(&self->groups, group.text, group.size);
    }
    return st;
}

static dal_status open_folders(folder *self, dal_error *err)
{
    const options *o = self->opt;
    const char *const paths[DAL_SPLITS] = {o->train, o->validation, o->test};
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (paths[k][0]) {
            st = open_files(self, k, paths[k], err);
            self->root[k] = st == DAL_OK ? shared_root(self->files[k]) : 0;
        }
    if (st == DAL_OK)
        st = list_folders(self, o->level, 1, "classes", &self->classes, err);
    if (st == DAL_OK && o->group_level > 0)
        st = list_folders(self, o->group_level, DAL_SPLITS, "sources", &self->groups, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (self->files[k])
            st = add_pictures(self, k, err);
    self->has_groups = self->groups.n > 0;
    return st;
}

/* ---- pictures in a table ------------------------------------------------------------------------ */

/* The distinct labels, or sources, of all rows. */
static dal_status list_words(folder *self, const listing *l, int groups, name_set *out, dal_error *err)
{
    name_slice *all = dal_array(self->host, l->n, sizeof *all);
    if (!all)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    for (int64_t i = 0; i < l->n; i++) {
        const char *text = groups ? l->rows[i].group : l->rows[i].label;
        all[i] = (name_slice){text, (int64_t)strlen(text)};
    }
    const dal_status st = name_set_make(self->host, all, l->n, 1, MAX_CLASSES, groups ? "sources" : "classes",
                                        "listing", out, err);
    self->host->free(self->host, all);
    return st;
}

static dal_status add_rows(folder *self, const listing *l, dal_error *err)
{
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        self->set.splits[k].files = self->files[DAL_SPLIT_TRAIN];
        self->set.splits[k].key = "listing";
    }
    for (int64_t i = 0; i < l->n && st == DAL_OK; i++) {
        const listing_row *row = &l->rows[i];
        image_split *split = &self->set.splits[row->split];
        const int32_t cls =
            *row->label ? name_set_find(&self->classes, row->label, (int64_t)strlen(row->label)) : DAL_LABEL_NONE;
        st = image_set_add(&self->set, row->split, row->file, cls, err);
        if (st == DAL_OK && *row->group)
            split->refs[split->n - 1].group = name_set_find(&self->groups, row->group, (int64_t)strlen(row->group));
    }
    return st;
}

static dal_status open_listing(folder *self, dal_error *err)
{
    const options *o = self->opt;
    const listing_columns columns = {o->listing_path, o->listing_label, o->listing_split, o->listing_group};
    listing l = {0};
    if (o->validation[0] || o->test[0])
        return dal_fail(err, DAL_E_INVALID, keys[o->validation[0] ? 1 : 2],
                        "with a listing all pictures are in train, and it tells their splits");
    if (o->level != 1 || o->group_level != 0)
        return dal_fail(err, DAL_E_INVALID, o->level != 1 ? "level" : "group_level",
                        "with a listing folders tell nothing; expected listing_label or listing_group");
    dal_status st = open_files(self, DAL_SPLIT_TRAIN, o->train, err);
    if (st == DAL_OK)
        st = listing_read(self->host, self->files[DAL_SPLIT_TRAIN], o->listing, &columns, &l, err);
    if (st == DAL_OK)
        st = list_words(self, &l, 0, &self->classes, err);
    if (st == DAL_OK)
        st = list_words(self, &l, 1, &self->groups, err);
    if (st == DAL_OK)
        st = add_rows(self, &l, err);
    if (st == DAL_OK && self->set.splits[DAL_SPLIT_TRAIN].n == 0)
        st = dal_fail(err, DAL_E_INVALID, "listing", "%s lists no picture to train on", o->listing);
    self->has_groups = self->groups.n > 0;
    listing_free(self->host, &l);
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
    name_set_free(self->host, &self->classes);
    name_set_free(self->host, &self->groups);
    self->host->free(self->host, self);
}

static dal_status folder_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    const options *o = opt;
    (void)input;
    folder *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (folder){.host = host, .opt = o, .set = {.host = host}};
    dal_status st = o->listing[0] ? open_listing(self, err) : open_folders(self, err);
    if (st == DAL_OK && o->class_names.n > 0 && o->class_names.n != self->classes.n)
        st = dal_fail(err, DAL_E_INVALID, "class_names", "%lld names for %lld classes", (long long)o->class_names.n,
                      (long long)self->classes.n);
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
    info->spec.n_classes = self->classes.n;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->set.splits[k].n;
    info->class_names = self->opt->class_names.n > 0 ? self->opt->class_names.items
                        : self->classes.n > 0        ? self->classes.names
                                                     : NULL;
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

static int64_t count_groups(void *p)
{
    return ((const folder *)p)->groups.n;
}

static const char *name_group(void *p, int64_t g)
{
    return ((const folder *)p)->groups.names[g];
}

static dal_status folder_groups(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    return image_set_groups(&((const folder *)p)->set, k, ids, n, out, err);
}

static const void *folder_get_extension(void *p, const char *id)
{
    static const dal_dataset_groups table = {
        .struct_size = sizeof table, .count = count_groups, .name = name_group, .groups = folder_groups};
    return ((const folder *)p)->has_groups && strcmp(id, DAL_CAP_GROUPS) == 0 ? &table : NULL;
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
    .get_extension = folder_get_extension,
};

#define PARAMS(P, T)                                                                                    \
    P(T, train, PATH, DAL_REQUIRED, "file or directory", "",                                            \
      "the pool: a folder with a folder of pictures a class, or an archive of one")                     \
    P(T, validation, PATH, "", "file or directory", "", "the validation split, likewise")               \
    P(T, test, PATH, "", "file or directory", "", "the test split, likewise")                           \
    P(T, level, I64, "1", "1..64", "folders", "which folder is the class, from the first that has others beside it") \
    P(T, group_level, I64, "0", "0..64", "folders", "which folder is the source (patient, site) of a sample; 0: none") \
    P(T, only, STR, "", "", "", "leave out pictures whose name, with its folders, does not have this in it") \
    P(T, listing, STR, "", "", "", "a table among the files of train that tells which pictures there are") \
    P(T, listing_path, STR, "path", "", "", "its column of pictures: a name or a number from 0")        \
    P(T, listing_label, STR, "label", "", "", "its column of classes, likewise; empty: none")           \
    P(T, listing_split, STR, "", "", "", "its column of train, validation, test (or 0, 1, 2); empty: all train") \
    P(T, listing_group, STR, "", "", "", "its column of sources; empty: none")                          \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")                      \
    IMAGE_PARAMS(P, T)
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "image-folder", folder_impl,                                                             \
      "JPEG, PNG and PNM pictures in a folder a class, or in a table, also inside a .zip or .tar archive", "", "", \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(image_folder, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
