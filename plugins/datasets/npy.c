/* npy: vectors or images in NumPy's .npy files, read where they are mapped.
 *
 * train_x is [n, d] (vectors), [n, h, w] or [n, c, h, w] (images; [n, h, w, c] with layout: hwc), of uint8
 * or of floats, which are given as f32. train_y is [n]: whole numbers 0..C-1, -1 for a sample without a
 * label, -2 for one that belongs to none of the classes.
 */
#include <dal/dataset.h>
#include <dal/npy.h>

#include <math.h>

typedef struct options {
    const char *train_x, *train_y, *test_x, *test_y;
    uint32_t layout;
    int64_t n_classes;
    dal_str_list class_names;
} options;

enum { LAYOUT_AUTO, LAYOUT_CHW, LAYOUT_HWC };

#define LABEL_BLOCK 4096

typedef struct split {
    dal_npy *x;
    int32_t *classes; /* [n] or NULL */
    int64_t n;
} split;

typedef struct npy {
    const dal_host *host;
    const options *opt;
    dal_sample_spec spec;
    int channels_last;
    split splits[DAL_SPLITS];
} npy;

/* ---- features --------------------------------------------------------------------------------- */

static dal_status open_file(const char *path, const char *key, dal_npy **out, dal_error *err)
{
    const dal_status st = dal_npy_open(path, out, err);
    if (st != DAL_OK && err)
        snprintf(err->key, sizeof err->key, "%s", key);
    return st;
}

/* A last axis of 1, 3 or 4 behind a larger one: most likely channels, and silently wrong as a width. */
static int looks_channels_last(const dal_npy *x)
{
    const int64_t first = dal_npy_size(x, 1), last = dal_npy_size(x, 3);
    return dal_npy_ndim(x) == 4 && (last == 1 || last == 3 || last == 4) && first > 4;
}

static dal_status settle_spec(const npy *self, const dal_npy *x, const char *path, const char *key,
                              dal_sample_spec *spec, dal_error *err)
{
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
    if (self->opt->layout == LAYOUT_AUTO && looks_channels_last(x))
        return dal_fail(err, DAL_E_INVALID, "layout",
                        "%s is %s, which looks like [n, h, w, c]; say layout: hwc if it is, layout: chw if not", path,
                        dal_npy_describe(x));
    *spec = (dal_sample_spec){sizeof *spec, ndim == 2 ? DAL_VECTOR : DAL_IMAGE, is_float ? DAL_F32 : DAL_U8,
                              ndim == 2 ? 1 : 3, {dal_npy_size(x, 1)}, 0};
    if (ndim == 2)
        return DAL_OK;
    const int last = ndim == 4 && self->opt->layout == LAYOUT_HWC;
    spec->shape[0] = ndim == 3 ? 1 : dal_npy_size(x, last ? 3 : 1);
    spec->shape[1] = dal_npy_size(x, last || ndim == 3 ? 1 : 2);
    spec->shape[2] = dal_npy_size(x, last || ndim == 3 ? 2 : 3);
    return DAL_OK;
}

static dal_status open_features(npy *self, split *s, const char *path, const char *key, dal_error *err)
{
    dal_sample_spec spec;
    dal_status st = open_file(path, key, &s->x, err);
    if (st == DAL_OK)
        st = settle_spec(self, s->x, path, key, &spec, err);
    if (st != DAL_OK)
        return st;
    s->n = dal_npy_size(s->x, 0);
    if (self->spec.ndim == 0) {
        self->spec = spec;
        self->channels_last = dal_npy_ndim(s->x) == 4 && self->opt->layout == LAYOUT_HWC;
    } else if (spec.ndim != self->spec.ndim || spec.dtype != self->spec.dtype ||
               memcmp(spec.shape, self->spec.shape, sizeof spec.shape) != 0) {
        return dal_fail(err, DAL_E_INVALID, key, "%s is %s, expected samples like those of %s, which is %s", path,
                        dal_npy_describe(s->x), self->opt->train_x,
                        dal_npy_describe(self->splits[DAL_SPLIT_TRAIN].x));
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
                return dal_fail(err, DAL_E_FORMAT, key, "%s: label %lld in row %lld, expected 0 or more (or -1, -2)",
                                path, (long long)block[i], (long long)(at + i));
            out[at + i] = (int32_t)block[i];
        }
    }
    return DAL_OK;
}

static dal_status open_labels(npy *self, split *s, const char *path, const char *key, const char *x_path,
                              dal_error *err)
{
    dal_npy *y = NULL;
    dal_status st = open_file(path, key, &y, err);
    if (st != DAL_OK)
        return st;
    if (dal_npy_width(y) != 1)
        st = dal_fail(err, DAL_E_INVALID, key, "%s is %s, expected one class number a row", path, dal_npy_describe(y));
    else if (dal_npy_size(y, 0) != s->n)
        st = dal_fail(err, DAL_E_INVALID, key, "%s has %lld labels, but %s has %lld samples", path,
                      (long long)dal_npy_size(y, 0), x_path, (long long)s->n);
    else if (!(s->classes = dal_array(self->host, s->n, sizeof *s->classes)))
        st = dal_fail(err, DAL_E_NOMEM, key, "no memory for %lld labels", (long long)s->n);
    else
        st = copy_labels(y, path, key, s->n, s->classes, err);
    dal_npy_close(y);
    return st;
}

static dal_status check_labels(const split *s, int64_t n_classes, const char *path, const char *key, dal_error *err)
{
    for (int64_t i = 0; s->classes && i < s->n; i++)
        if (s->classes[i] >= n_classes)
            return dal_fail(err, DAL_E_FORMAT, key, "%s: label %d in row %lld, expected 0..%lld", path, s->classes[i],
                            (long long)i, (long long)n_classes - 1);
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
    const options *o = self->opt;
    int64_t largest = -1, n = o->n_classes ? o->n_classes : o->class_names.n;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; self->splits[k].classes && i < self->splits[k].n; i++)
            if (self->splits[k].classes[i] > largest)
                largest = self->splits[k].classes[i];
    self->spec.n_classes = n = n ? n : largest + 1;
    dal_status st = check_names(&o->class_names, n, err);
    if (st == DAL_OK)
        st = check_labels(&self->splits[DAL_SPLIT_TRAIN], n, o->train_y, "train_y", err);
    if (st == DAL_OK)
        st = check_labels(&self->splits[DAL_SPLIT_TEST], n, o->test_y, "test_y", err);
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
    }
    self->host->free(self->host, self);
}

static dal_status open_splits(npy *self, dal_error *err)
{
    const options *o = self->opt;
    split *train = &self->splits[DAL_SPLIT_TRAIN], *test = &self->splits[DAL_SPLIT_TEST];
    if (o->test_y[0] && !o->test_x[0])
        return dal_fail(err, DAL_E_INVALID, "test_y", "there is a test_y but no test_x");
    dal_status st = open_features(self, train, o->train_x, "train_x", err);
    if (st == DAL_OK && o->train_y[0])
        st = open_labels(self, train, o->train_y, "train_y", o->train_x, err);
    if (st == DAL_OK && o->test_x[0])
        st = open_features(self, test, o->test_x, "test_x", err);
    if (st == DAL_OK && o->test_y[0])
        st = open_labels(self, test, o->test_y, "test_y", o->test_x, err);
    return st;
}

static dal_status npy_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    (void)input;
    npy *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (npy){.host = host, .opt = opt};
    dal_status st = open_splits(self, err);
    if (st == DAL_OK)
        st = settle_classes(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        npy_destroy(self);
    return st;
}

static dal_status npy_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const npy *self = p;
    (void)err;
    info->spec = self->spec;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->splits[k].n;
    info->class_names = self->opt->class_names.n > 0 ? self->opt->class_names.items : NULL;
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

static const dal_dataset_impl npy_impl = {
    .struct_size = sizeof npy_impl,
    .create = npy_create,
    .destroy = npy_destroy,
    .info = npy_info,
    .classes = npy_classes,
    .read = npy_read,
};

#define PARAMS(P, T)                                                                                    \
    P(T, train_x, PATH, DAL_REQUIRED, "file", "", "the pool: [n,d], [n,h,w] or [n,c,h,w] of uint8 or floats") \
    P(T, train_y, PATH, "", "file", "", "its classes: [n] whole numbers; none: an unlabelled pool")     \
    P(T, test_x, PATH, "", "file", "", "the test split")                                                \
    P(T, test_y, PATH, "", "file", "", "its classes")                                                   \
    P(T, layout, CHOICE, "auto", "auto|chw|hwc", "",                                                    \
      "order of the axes of 4-dimensional files; auto: chw, but what looks like hwc is refused")        \
    P(T, n_classes, I64, "0", "0..2147483646", "", "classes; 0: as many as names, or the largest label + 1") \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "npy", npy_impl, "vectors or images in NumPy .npy files", "", "", DAL_CAP_CONCURRENT,    \
      options, PARAMS)
DAL_MODULE(npy, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
