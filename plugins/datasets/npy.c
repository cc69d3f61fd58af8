/* npy and npz: vectors or images in NumPy's files: an array in each, read where it is mapped, or several under
 * their names in one, stored or deflated (then inflated once into temporary space).
 *
 * train_x is [n, d] (vectors), [n, h, w] or [n, c, h, w] (images; [n, h, w, c] with layout: hwc), of uint8
 * or of floats, which are given as f32. train_y is [n] or [n, 1]: whole numbers 0..C-1, -1 for a sample without
 * a label, -2 for one that belongs to none of the classes.
 *
 * Arrays of an .npz that are not named are those of MedMNIST (train_images, train_labels, val_images, ...) or of
 * Keras (x_train, y_train, ...), where the file has them.
 */
#include <dal/dataset.h>
#include <dal/npy.h>
#include <dal/zip.h>

#include <math.h>

typedef struct options {
    const char *train_x, *train_y, *test_x, *test_y;
    uint32_t layout;
    int64_t n_classes;
    dal_str_list class_names;
} options;

typedef struct npz_options {
    const char *path, *train_x, *train_y, *validation_x, *validation_y, *test_x, *test_y;
    uint32_t layout;
    int64_t n_classes;
    dal_str_list class_names;
} npz_options;

enum { LAYOUT_AUTO, LAYOUT_CHW, LAYOUT_HWC };

#define LABEL_BLOCK 4096

enum { X, Y };

/* Where an array is: a file, or a member of the zip. */
typedef struct place {
    const char *key;  /* the parameter that names it */
    const char *path; /* what messages call it, and where a file is; "" or NULL: there is none */
    char *own;        /* path, when it is not the user's */
    int64_t member;
} place;

typedef struct split {
    place at[2]; /* X, Y */
    dal_npy *x;
    int32_t *classes; /* [n] or NULL */
    int64_t n;
} split;

typedef struct npy {
    const dal_host *host;
    uint32_t layout;
    int64_t n_classes; /* as the user says */
    dal_str_list class_names;
    dal_zip *zip; /* NULL: arrays are files */
    dal_sample_spec spec;
    int channels_last;
    split splits[DAL_SPLITS];
} npy;

/* ---- features --------------------------------------------------------------------------------- */

static dal_status open_array(const npy *self, const place *p, dal_npy **out, dal_error *err)
{
    const unsigned char *bytes;
    int64_t n;
    dal_status st;
    if (!self->zip)
        st = dal_npy_open(p->path, out, err);
    else if ((st = dal_zip_load(self->zip, p->member, INT64_MAX, &bytes, &n, err)) == DAL_OK)
        st = dal_npy_view(p->path, bytes, n, out, err);
    if (st != DAL_OK && err)
        snprintf(err->key, sizeof err->key, "%s", p->key);
    return st;
}

/* A last axis of 1, 3 or 4 behind a larger one: most likely channels, and silently wrong as a width. */
static int looks_channels_last(const dal_npy *x)
{
    const int64_t first = dal_npy_size(x, 1), last = dal_npy_size(x, 3);
    return dal_npy_ndim(x) == 4 && (last == 1 || last == 3 || last == 4) && first > 4;
}

static dal_status settle_spec(const npy *self, const dal_npy *x, const place *p, dal_sample_spec *spec,
                              dal_error *err)
{
    const char *path = p->path, *key = p->key;
    const uint32_t ndim = dal_npy_ndim(x), type = dal_npy_type(x);
    const int is_float = type == DAL_NPY_F16 || type == DAL_NPY_F32 || type == DAL_NPY_F64;
    if (!is_float && type != DAL_NPY_U8)
        return dal_fail(err, DAL_E_INVALID, key, "%s is %s, expected uint8 or floats", path, dal_npy_describe(x));
    if (ndim < 2)
        return dal_fail(err, DAL_E_INVALID, key,
                        "%s is %s, expected [n, d] vectors, [n, h, w] or [n, c, h, w] images", path,
                        dal_npy_describe(x));
    if (dal_npy_size(x, 0) == 0 || dal_npy_width(x) == 0)
        return dal_fail(err, DAL_E_INVALID, key, "%s is %s: there is nothing in it", path, dal_npy_describe(x));
    if (self->layout == LAYOUT_AUTO && looks_channels_last(x))
        return dal_fail(err, DAL_E_INVALID, "layout",
                        "%s is %s, which looks like [n, h, w, c]; say layout: hwc if it is, layout: chw if not",
                        path, dal_npy_describe(x));
    *spec = (dal_sample_spec){sizeof *spec, ndim == 2 ? DAL_VECTOR : DAL_IMAGE, is_float ? DAL_F32 : DAL_U8,
                              ndim == 2 ? 1 : 3, {dal_npy_size(x, 1)}, 0};
    if (ndim == 2)
        return DAL_OK;
    const int last = ndim == 4 && self->layout == LAYOUT_HWC;
    spec->shape[0] = ndim == 3 ? 1 : dal_npy_size(x, last ? 3 : 1);
    spec->shape[1] = dal_npy_size(x, last || ndim == 3 ? 1 : 2);
    spec->shape[2] = dal_npy_size(x, last || ndim == 3 ? 2 : 3);
    return DAL_OK;
}

static dal_status open_features(npy *self, split *s, dal_error *err)
{
    dal_sample_spec spec;
    const split *train = &self->splits[DAL_SPLIT_TRAIN];
    dal_status st = open_array(self, &s->at[X], &s->x, err);
    if (st == DAL_OK)
        st = settle_spec(self, s->x, &s->at[X], &spec, err);
    if (st != DAL_OK)
        return st;
    s->n = dal_npy_size(s->x, 0);
    if (self->spec.ndim == 0) {
        self->spec = spec;
        self->channels_last = dal_npy_ndim(s->x) == 4 && self->layout == LAYOUT_HWC;
    } else if (spec.ndim != self->spec.ndim || spec.dtype != self->spec.dtype ||
               memcmp(spec.shape, self->spec.shape, sizeof spec.shape) != 0) {
        return dal_fail(err, DAL_E_INVALID, s->at[X].key,
                        "%s is %s, expected samples like those of %s, which is %s", s->at[X].path,
                        dal_npy_describe(s->x), train->at[X].path, dal_npy_describe(train->x));
    }
    return DAL_OK;
}

/* ---- labels ----------------------------------------------------------------------------------- */

static dal_status copy_labels(const dal_npy *y, const char *path, const char *key, int64_t n, int32_t *out,
                              dal_error *err)
{
    int64_t block[LABEL_BLOCK];
    for (int64_t at = 0; at < n; at += LABEL_BLOCK) {
        const int64_t here = n - at < LABEL_BLOCK ? n - at : LABEL_BLOCK;
        const dal_status st = dal_npy_to_i64(y, at, here, block, err);
        if (st != DAL_OK) {
            if (err)
                snprintf(err->key, sizeof err->key, "%s", key);
            return st;
        }
        for (int64_t i = 0; i < here; i++) {
            if (block[i] < DAL_LABEL_OOD || block[i] >= INT32_MAX)
                return dal_fail(err, DAL_E_FORMAT, key,
                                "%s: label %lld in row %lld, expected 0 or more (or -1, -2)", path,
                                (long long)block[i], (long long)(at + i));
            out[at + i] = (int32_t)block[i];
        }
    }
    return DAL_OK;
}

static dal_status open_labels(npy *self, split *s, dal_error *err)
{
    dal_npy *y = NULL;
    const char *path = s->at[Y].path, *key = s->at[Y].key;
    dal_status st = open_array(self, &s->at[Y], &y, err);
    if (st != DAL_OK)
        return st;
    if (dal_npy_width(y) != 1)
        st = dal_fail(err, DAL_E_INVALID, key, "%s is %s, expected one class number a row", path,
                      dal_npy_describe(y));
    else if (dal_npy_size(y, 0) != s->n)
        st = dal_fail(err, DAL_E_INVALID, key, "%s has %lld labels, but %s has %lld samples", path,
                      (long long)dal_npy_size(y, 0), s->at[X].path, (long long)s->n);
    else if (!(s->classes = dal_array(self->host, s->n, sizeof *s->classes)))
        st = dal_fail(err, DAL_E_NOMEM, key, "no memory for %lld labels", (long long)s->n);
    else
        st = copy_labels(y, path, key, s->n, s->classes, err);
    dal_npy_close(y);
    return st;
}

static dal_status check_labels(const split *s, int64_t n_classes, dal_error *err)
{
    for (int64_t i = 0; s->classes && i < s->n; i++)
        if (s->classes[i] >= n_classes)
            return dal_fail(err, DAL_E_FORMAT, s->at[Y].key, "%s: label %d in row %lld, expected 0..%lld",
                            s->at[Y].path, s->classes[i], (long long)i, (long long)n_classes - 1);
    return DAL_OK;
}

static dal_status check_names(const dal_str_list *names, int64_t n_classes, dal_error *err)
{
    if (names->n > 0 && names->n != n_classes)
        return dal_fail(err, DAL_E_INVALID, "class_names", "%lld names for %lld classes", (long long)names->n,
                        (long long)n_classes);
    for (int64_t i = 0; i < names->n; i++)
        for (int64_t j = 0; j < i; j++)
            if (strcmp(names->items[i], names->items[j]) == 0)
                return dal_fail(err, DAL_E_INVALID, "class_names", "'%s' names class %lld and class %lld",
                                names->items[i], (long long)j, (long long)i);
    return DAL_OK;
}

/* C is what the user says, else as many as there are names, else the largest label + 1. */
static dal_status settle_classes(npy *self, dal_error *err)
{
    int64_t largest = -1, n = self->n_classes ? self->n_classes : self->class_names.n;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; self->splits[k].classes && i < self->splits[k].n; i++)
            if (self->splits[k].classes[i] > largest)
                largest = self->splits[k].classes[i];
    self->spec.n_classes = n = n ? n : largest + 1;
    dal_status st = check_names(&self->class_names, n, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = check_labels(&self->splits[k], n, err);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void npy_destroy(void *p)
{
    npy *self = p;
    if (!self)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        dal_npy_close(self->splits[k].x);
        self->host->free(self->host, self->splits[k].classes);
        self->host->free(self->host, self->splits[k].at[X].own);
        self->host->free(self->host, self->splits[k].at[Y].own);
    }
    dal_zip_close(self->zip);
    self->host->free(self->host, self);
}

static dal_status open_splits(npy *self, dal_error *err)
{
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        split *s = &self->splits[k];
        const int has_x = s->at[X].path && s->at[X].path[0], has_y = s->at[Y].path && s->at[Y].path[0];
        if (has_y && !has_x)
            return dal_fail(err, DAL_E_INVALID, s->at[Y].key, "there is a %s but no %s", s->at[Y].key,
                            s->at[X].key);
        if (has_x)
            st = open_features(self, s, err);
        if (st == DAL_OK && has_y)
            st = open_labels(self, s, err);
    }
    return st == DAL_OK ? settle_classes(self, err) : st;
}

static dal_status npy_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    const options *o = opt;
    (void)input;
    npy *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (npy){.host = host, .layout = o->layout, .n_classes = o->n_classes, .class_names = o->class_names};
    self->splits[DAL_SPLIT_TRAIN] =
        (split){.at = {{.key = "train_x", .path = o->train_x}, {"train_y", o->train_y, 0, 0}}};
    self->splits[DAL_SPLIT_TEST] =
        (split){.at = {{.key = "test_x", .path = o->test_x}, {"test_y", o->test_y, 0, 0}}};
    const dal_status st = open_splits(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        npy_destroy(self);
    return st;
}

/* ---- npz -------------------------------------------------------------------------------------- */

/* "train_images, train_labels, ...": what is in the file, for messages. */
static void list_members(const dal_zip *zip, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int64_t i = 0; i < dal_zip_count(zip); i++) {
        const char *name = dal_zip_name(zip, i);
        const size_t n = strlen(name), shown = n > 4 && strcmp(name + n - 4, ".npy") == 0 ? n - 4 : n;
        if (at + shown + 8 > size) {
            snprintf(out + at, size - at, ", ...");
            return;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%.*s", i ? ", " : "", (int)shown, name);
    }
}

/* The member that holds the array of this name, or -1. */
static int64_t find_array(const dal_zip *zip, const char *name)
{
    char member[256];
    const int n = snprintf(member, sizeof member, "%s.npy", name);
    const int64_t i = n < (int)sizeof member ? dal_zip_find(zip, member) : -1;
    return i >= 0 ? i : dal_zip_find(zip, name);
}

/* Find the array `wanted`, or one of the usual names; *p stays empty where there is none of these. */
static dal_status find_place(const npy *self, const char *file, const char *wanted, const char *const usual[2],
                             place *p, dal_error *err)
{
    const char *name = wanted;
    char all[512];
    p->member = wanted[0] ? find_array(self->zip, wanted) : -1;
    for (int i = 0; i < 2 && !wanted[0] && p->member < 0; i++) {
        name = usual[i];
        p->member = find_array(self->zip, name);
    }
    list_members(self->zip, all, sizeof all);
    if (p->member < 0 && wanted[0])
        return dal_fail(err, DAL_E_INVALID, p->key, "%s: there is no array '%s' in it; it has %s", file, wanted,
                        all);
    if (p->member < 0 && p == &self->splits[DAL_SPLIT_TRAIN].at[X])
        return dal_fail(err, DAL_E_INVALID, p->key, "%s: there is neither '%s' nor '%s' in it; it has %s", file,
                        usual[0], usual[1], all);
    if (p->member < 0)
        return DAL_OK;
    const size_t bytes = strlen(file) + strlen(name) + 2;
    p->path = p->own = dal_array(self->host, (int64_t)bytes, 1);
    if (!p->own)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    snprintf(p->own, bytes, "%s:%s", file, name);
    return DAL_OK;
}

static dal_status find_arrays(npy *self, const npz_options *o, dal_error *err)
{
    static const char *const keys[][2] = {
        {"train_x", "train_y"}, {"validation_x", "validation_y"}, {"test_x", "test_y"}};
    static const char *const usual[][2][2] = {{{"train_images", "x_train"}, {"train_labels", "y_train"}},
                                              {{"val_images", "x_val"}, {"val_labels", "y_val"}},
                                              {{"test_images", "x_test"}, {"test_labels", "y_test"}}};
    const char *const wanted[][2] = {
        {o->train_x, o->train_y}, {o->validation_x, o->validation_y}, {o->test_x, o->test_y}};
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int i = X; i <= Y && st == DAL_OK; i++) {
            self->splits[k].at[i].key = keys[k][i];
            st = find_place(self, o->path, wanted[k][i], usual[k][i], &self->splits[k].at[i], err);
        }
    return st;
}

static dal_status npz_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    const npz_options *o = opt;
    (void)input;
    npy *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (npy){.host = host, .layout = o->layout, .n_classes = o->n_classes, .class_names = o->class_names};
    dal_status st = dal_zip_open(host, o->path, "path", &self->zip, err);
    if (st == DAL_OK)
        st = find_arrays(self, o, err);
    if (st == DAL_OK)
        st = open_splits(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        npy_destroy(self);
    return st;
}

/* ---- the slots -------------------------------------------------------------------------------- */

static dal_status npy_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const npy *self = p;
    (void)err;
    info->spec = self->spec;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->splits[k].n;
    info->class_names = self->class_names.n > 0 ? self->class_names.items : NULL;
    return DAL_OK;
}

static dal_status npy_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const split *s = &((const npy *)p)->splits[k];
    const dal_status st = dal_check_ids(s->n, ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = s->classes ? s->classes[ids[i]] : DAL_LABEL_NONE;
    return st;
}

/* One sample from [h, w, c] to [c, h, w]; `size` bytes an element. */
static void to_planes(const dal_sample_spec *spec, const unsigned char *from, size_t size, unsigned char *to)
{
    const int64_t channels = spec->shape[0], pixels = spec->shape[1] * spec->shape[2];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < pixels; i++, to += size)
            memcpy(to, from + (size_t)(i * channels + c) * size, size);
}

/* A sample as f32, whatever the file holds, in the order of the file. */
static dal_status take_floats(const split *s, int64_t id, float *out, dal_error *err)
{
    return dal_npy_take_f32(s->x, &id, 1, out, err);
}

/* u8 samples that do not lie side by side in the file (Fortran order) pass through floats, exactly. */
static dal_status read_u8(const npy *self, const split *s, int64_t id, float *scratch, unsigned char *out,
                          dal_error *err)
{
    const int64_t width = dal_npy_width(s->x);
    const unsigned char *data = dal_npy_data(s->x);
    if (data) {
        data += id * width;
        if (self->channels_last)
            to_planes(&self->spec, data, 1, out);
        else
            memcpy(out, data, (size_t)width);
        return DAL_OK;
    }
    const dal_status st = take_floats(s, id, scratch, err);
    if (st != DAL_OK)
        return st;
    unsigned char *bytes = (unsigned char *)(scratch + width);
    for (int64_t j = 0; j < width; j++)
        bytes[j] = (unsigned char)scratch[j];
    if (self->channels_last)
        to_planes(&self->spec, bytes, 1, out);
    else
        memcpy(out, bytes, (size_t)width);
    return DAL_OK;
}

static dal_status read_f32(const npy *self, const split *s, int64_t id, float *scratch, float *out, dal_error *err)
{
    const dal_status st = take_floats(s, id, self->channels_last ? scratch : out, err);
    if (st == DAL_OK && self->channels_last)
        to_planes(&self->spec, (const unsigned char *)scratch, sizeof *scratch, (unsigned char *)out);
    return st;
}

static dal_status npy_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const npy *self = p;
    const split *s = &self->splits[k];
    const int64_t width = dal_sample_values(&self->spec);
    dal_status st = dal_check_ids(s->n, ids, n, err);
    if (st != DAL_OK)
        return st;
    if (self->spec.dtype == DAL_F32 && !self->channels_last)
        return dal_npy_take_f32(s->x, ids, n, out->data, err);
    float *scratch = dal_array(self->host, 2, (size_t)width * sizeof *scratch);
    if (!scratch)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to read a sample");
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        if (self->spec.dtype == DAL_U8)
            st = read_u8(self, s, ids[i], scratch, (unsigned char *)out->data + i * width, err);
        else
            st = read_f32(self, s, ids[i], scratch, (float *)out->data + i * width, err);
    }
    self->host->free(self->host, scratch);
    return st;
}

#define TABLE(create_)                           \
    {                                            \
        .struct_size = sizeof(dal_dataset_impl), \
        .create = create_,                       \
        .destroy = npy_destroy,                  \
        .info = npy_info,                        \
        .classes = npy_classes,                  \
        .read = npy_read,                        \
    }
static const dal_dataset_impl npy_impl = TABLE(npy_create);
static const dal_dataset_impl npz_impl = TABLE(npz_create);

#define SHARED_PARAMS(P, T)                                                                             \
    P(T, layout, CHOICE, "auto", "auto|chw|hwc", "",                                                    \
      "order of the axes of 4-dimensional files; auto: chw, but what looks like hwc is refused")        \
    P(T, n_classes, I64, "0", "0..2147483646", "", "classes; 0: as many as names, or the largest label + 1") \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")
#define PARAMS(P, T)                                                                                    \
    P(T, train_x, PATH, DAL_REQUIRED, "file", "", "the pool: [n,d], [n,h,w] or [n,c,h,w] of uint8 or floats") \
    P(T, train_y, PATH, "", "file", "", "its classes: [n] whole numbers; none: an unlabelled pool")     \
    P(T, test_x, PATH, "", "file", "", "the test split")                                                \
    P(T, test_y, PATH, "", "file", "", "its classes")                                                   \
    SHARED_PARAMS(P, T)
#define NPZ_PARAMS(P, T)                                                                                \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the .npz file")                                         \
    P(T, train_x, STR, "", "", "", "array of the pool, as npy's; none: train_images or x_train")        \
    P(T, train_y, STR, "", "", "", "of its classes; none: train_labels or y_train, where there is one") \
    P(T, validation_x, STR, "", "", "", "of the validation split; none: val_images or x_val, likewise") \
    P(T, validation_y, STR, "", "", "", "of its classes; none: val_labels or y_val, likewise")          \
    P(T, test_x, STR, "", "", "", "of the test split; none: test_images or x_test, likewise")           \
    P(T, test_y, STR, "", "", "", "of its classes; none: test_labels or y_test, likewise")              \
    SHARED_PARAMS(P, T)
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "npy", npy_impl, "vectors or images in NumPy .npy files", "", "", DAL_CAP_CONCURRENT,    \
      options, PARAMS)                                                                                  \
    C(DATASET, "npz", npz_impl, "vectors or images under their names in a NumPy .npz file (MedMNIST)", "", "", \
      DAL_CAP_CONCURRENT, npz_options, NPZ_PARAMS)
DAL_MODULE(npy, "1.1", "Apache-2.0", COMPONENTS, NULL, NULL)
