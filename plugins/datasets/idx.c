/* idx: images and labels in the IDX format of MNIST and its descendants, plain or packed.
 *
 * An IDX file is big-endian: two zero bytes, the element type (8 = u8), the number of dimensions, each
 * dimension as u32, then the elements. Plain files are read where they are mapped; gzip files are
 * inflated once, into no more memory than their header promises.
 */
#include <dal/dataset.h>
#include <dal/file.h>

typedef struct options {
    const char *train_images, *train_labels, *test_images, *test_labels;
    int64_t n_classes;
    dal_str_list class_names;
} options;

#define MAX_HEADER (4 + 4 * DAL_MAX_DIMS)

/* One split: its images, and its labels if there are any. */
typedef struct split {
    dal_file *image_file, *label_file;
    const unsigned char *images; /* [n, sample_bytes] */
    const unsigned char *labels; /* [n] or NULL */
    int64_t n;
} split;

typedef struct idx {
    const dal_host *host;
    const options *opt;
    dal_sample_spec spec;
    split splits[DAL_SPLITS];
} idx;

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- headers ---------------------------------------------------------------------------------- */

static const char *type_name(uint32_t type)
{
    switch (type) {
    case 0x08: return "u8";
    case 0x09: return "i8";
    case 0x0b: return "i16";
    case 0x0c: return "i32";
    case 0x0d: return "f32";
    case 0x0e: return "f64";
    default: return NULL;
    }
}

/* The magic number of an image file (3 or 4 dimensions) or of a label file (1). */
static dal_status check_magic(const char *path, const char *key, uint32_t magic, int labels, dal_error *err)
{
    const uint32_t type = magic >> 8, ndim = magic & 0xff;
    if (type == 0x08 && (labels ? ndim == 1 : ndim == 3 || ndim == 4))
        return DAL_OK;
    const char *expected = labels ? "0x00000801 (u8 labels, 1 dimension)"
                                  : "0x00000803 (u8 images, 3 dimensions) or 0x00000804 (with channels)";
    if (magic >> 16 == 0 && type_name(type))
        return dal_fail(err, DAL_E_FORMAT, key, "%s: found IDX magic 0x%08x (%s, %u dimension%s), expected %s",
                        path, magic, type_name(type), ndim, ndim == 1 ? "" : "s", expected);
    return dal_fail(err, DAL_E_FORMAT, key, "%s: wrong magic number: found 0x%08x, expected %s", path, magic,
                    expected);
}

/* Read the dimensions that follow the magic; *size is what the whole file must have. */
static dal_status read_header(const dal_file *f, const char *key, int labels, int64_t shape[DAL_MAX_DIMS],
                              uint32_t *ndim, int64_t *size, dal_error *err)
{
    int64_t have;
    const char *path = dal_file_path(f);
    const unsigned char *head = dal_file_head(f, &have);
    if (have < 4)
        return dal_fail(err, DAL_E_FORMAT, key, "%s: %lld bytes are too few for an IDX header", path,
                        (long long)have);
    const dal_status st = check_magic(path, key, big_endian(head), labels, err);
    if (st != DAL_OK)
        return st;
    *ndim = head[3];
    const int64_t header = 4 + 4 * (int64_t)*ndim;
    if (have < header)
        return dal_fail(err, DAL_E_FORMAT, key,
                        "%s: truncated at offset %lld inside the header of %lld bytes", path, (long long)have,
                        (long long)header);
    int64_t bytes = 1;
    for (uint32_t i = 0; i < *ndim; i++) {
        shape[i] = big_endian(head + 4 + 4 * i);
        if (shape[i] == 0)
            return dal_fail(err, DAL_E_FORMAT, key, "%s: dimension %u at offset %u is 0, expected 1 or more",
                            path, i, 4 + 4 * i);
        if (!dal_size_mul(bytes, shape[i], &bytes) || bytes > INT64_MAX - MAX_HEADER)
            return dal_fail(err, DAL_E_OVERFLOW, key, "%s: the dimensions in the header are too large", path);
    }
    *size = header + bytes;
    return DAL_OK;
}

static void shape_text(const int64_t *shape, uint32_t ndim, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < ndim && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, i ? " x %lld" : "%lld", (long long)shape[i]);
}

/* Open a file and make its elements available, exactly as many as its header says. */
static dal_status open_idx(const dal_host *host, const char *path, const char *key, int labels,
                           dal_file **file, int64_t shape[DAL_MAX_DIMS], uint32_t *ndim,
                           const unsigned char **data, dal_error *err)
{
    int64_t want = 0, have;
    char dims[128];
    dal_status st = dal_file_open(host, path, key, file, err);
    if (st == DAL_OK)
        st = read_header(*file, key, labels, shape, ndim, &want, err);
    if (st != DAL_OK)
        return st;
    shape_text(shape, *ndim, dims, sizeof dims);
    st = dal_file_load(*file, want, 1, err);
    const unsigned char *bytes = dal_file_data(*file, &have);
    if (st == DAL_E_OVERFLOW || (st == DAL_OK && have > want))
        return dal_fail(err, DAL_E_FORMAT, key,
                        "%s: trailing bytes at offset %lld%s: the header says %s, which is %lld bytes in all",
                        path, (long long)want, dal_file_is_gzip(*file) ? " of the inflated data" : "", dims,
                        (long long)want);
    if (st == DAL_OK && have < want)
        return dal_fail(err, DAL_E_FORMAT, key,
                        "%s: truncated at offset %lld%s: the header says %s, which is %lld bytes in all", path,
                        (long long)have, dal_file_is_gzip(*file) ? " of the inflated data" : "", dims,
                        (long long)want);
    *data = bytes + 4 + 4 * *ndim;
    return st;
}

/* ---- splits ----------------------------------------------------------------------------------- */

static dal_status open_images(idx *self, split *s, const char *path, const char *key, dal_error *err)
{
    int64_t shape[DAL_MAX_DIMS] = {0};
    uint32_t ndim = 0;
    const dal_status st = open_idx(self->host, path, key, 0, &s->image_file, shape, &ndim, &s->images, err);
    if (st != DAL_OK)
        return st;
    s->n = shape[0];
    dal_sample_spec spec = {sizeof spec, DAL_IMAGE, DAL_U8, 3, {1, 0, 0}, 0};
    for (uint32_t i = 1; i < ndim; i++) /* the last dimensions are [h, w] or [c, h, w] */
        spec.shape[3 - ndim + i] = shape[i];
    if (self->spec.ndim == 0) {
        self->spec = spec;
    } else if (memcmp(self->spec.shape, spec.shape, sizeof spec.shape) != 0) {
        char found[96], expected[96];
        shape_text(spec.shape, 3, found, sizeof found);
        shape_text(self->spec.shape, 3, expected, sizeof expected);
        return dal_fail(err, DAL_E_INVALID, key, "%s: images of %s, expected %s as in %s", path, found, expected,
                        self->opt->train_images);
    }
    return DAL_OK;
}

static dal_status open_labels(idx *self, split *s, const char *path, const char *key, const char *images,
                              dal_error *err)
{
    int64_t shape[DAL_MAX_DIMS] = {0};
    uint32_t ndim = 0;
    const dal_status st = open_idx(self->host, path, key, 1, &s->label_file, shape, &ndim, &s->labels, err);
    if (st == DAL_OK && shape[0] != s->n)
        return dal_fail(err, DAL_E_INVALID, key, "%s has %lld labels, but %s has %lld images", path,
                        (long long)shape[0], images, (long long)s->n);
    return st;
}

static dal_status open_splits(idx *self, dal_error *err)
{
    const options *o = self->opt;
    split *train = &self->splits[DAL_SPLIT_TRAIN], *test = &self->splits[DAL_SPLIT_TEST];
    if (o->test_labels[0] && !o->test_images[0])
        return dal_fail(err, DAL_E_INVALID, "test_labels", "there are test_labels but no test_images");
    dal_status st = open_images(self, train, o->train_images, "train_images", err);
    if (st == DAL_OK && o->train_labels[0])
        st = open_labels(self, train, o->train_labels, "train_labels", o->train_images, err);
    if (st == DAL_OK && o->test_images[0])
        st = open_images(self, test, o->test_images, "test_images", err);
    if (st == DAL_OK && o->test_labels[0])
        st = open_labels(self, test, o->test_labels, "test_labels", o->test_images, err);
    return st;
}

/* ---- classes ---------------------------------------------------------------------------------- */

static dal_status check_labels(const split *s, int64_t n_classes, const char *path, const char *key,
                               dal_error *err)
{
    for (int64_t i = 0; s->labels && i < s->n; i++)
        if (s->labels[i] >= n_classes)
            return dal_fail(err, DAL_E_FORMAT, key,
                            "%s: label %u at offset %lld (sample %lld), expected 0..%lld", path, s->labels[i],
                            (long long)i + 8, (long long)i, (long long)n_classes - 1);
    return DAL_OK;
}

static int64_t largest_label(const idx *self)
{
    int64_t largest = -1;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; self->splits[k].labels && i < self->splits[k].n; i++)
            if (self->splits[k].labels[i] > largest)
                largest = self->splits[k].labels[i];
    return largest;
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
static dal_status settle_classes(idx *self, dal_error *err)
{
    const options *o = self->opt;
    int64_t n = o->n_classes ? o->n_classes : o->class_names.n;
    if (n == 0)
        n = largest_label(self) + 1;
    self->spec.n_classes = n;
    dal_status st = check_names(&o->class_names, n, err);
    if (st == DAL_OK)
        st = check_labels(&self->splits[DAL_SPLIT_TRAIN], n, o->train_labels, "train_labels", err);
    if (st == DAL_OK)
        st = check_labels(&self->splits[DAL_SPLIT_TEST], n, o->test_labels, "test_labels", err);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void idx_destroy(void *p)
{
    idx *self = p;
    if (!self)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        dal_file_close(self->splits[k].image_file);
        dal_file_close(self->splits[k].label_file);
    }
    self->host->free(self->host, self);
}

static dal_status idx_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    (void)input;
    idx *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (idx){.host = host, .opt = opt};
    dal_status st = open_splits(self, err);
    if (st == DAL_OK)
        st = settle_classes(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        idx_destroy(self);
    return st;
}

static dal_status idx_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const idx *self = p;
    (void)err;
    info->spec = self->spec;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->splits[k].n;
    info->class_names = self->opt->class_names.n > 0 ? self->opt->class_names.items : NULL;
    return DAL_OK;
}

static dal_status idx_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                              dal_error *err)
{
    const split *s = &((const idx *)p)->splits[k];
    const dal_status st = dal_check_ids(s->n, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        out[i] = s->labels ? s->labels[ids[i]] : DAL_LABEL_NONE;
    return st;
}

static dal_status idx_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const idx *self = p;
    const split *s = &self->splits[k];
    const size_t bytes = (size_t)dal_sample_bytes(&self->spec);
    const dal_status st = dal_check_ids(s->n, ids, n, err);
    unsigned char *to = out->data;
    for (int64_t i = 0; st == DAL_OK && i < n; i++, to += bytes)
        memcpy(to, s->images + (size_t)ids[i] * bytes, bytes);
    return st;
}

static const dal_dataset_impl idx_impl = {
    .struct_size = sizeof idx_impl,
    .create = idx_create,
    .destroy = idx_destroy,
    .info = idx_info,
    .classes = idx_classes,
    .read = idx_read,
};

#define PARAMS(P, T)                                                                                    \
    P(T, train_images, PATH, DAL_REQUIRED, "file", "", "images of the pool: IDX of u8, [n,h,w] or [n,c,h,w]") \
    P(T, train_labels, PATH, "", "file", "", "their labels: IDX of u8, [n]; none: an unlabelled pool")  \
    P(T, test_images, PATH, "", "file", "", "images of the test split")                                 \
    P(T, test_labels, PATH, "", "file", "", "their labels")                                             \
    P(T, n_classes, I64, "0", "0..256", "", "classes; 0: as many as names, or the largest label + 1")   \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "idx", idx_impl, "images and labels in IDX files (MNIST, Fashion-MNIST), plain or packed", \
      "LeCun, Cortes, Burges: the MNIST database", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(idx, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
