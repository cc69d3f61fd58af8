/* hdf5: vectors or images in HDF5 files (PatchCamelyon, what h5py and Keras write), read where they lie.
 *
 * Features are a dataset [n, d] (vectors), [n, h, w] or [n, c, h, w] (images; [n, h, w, c] with layout: hwc) of any
 * kind of number: unsigned bytes stay so, all else becomes f32. Labels are a dataset of n whole numbers 0..C-1, -1 for
 * a sample without a label, -2 for one that belongs to none of the classes; or an enumeration, whose names the classes
 * get (h5py's booleans are FALSE and TRUE); in the same file, or another one. Samples are read as
 * they are asked for; chunks, which may be packed, are kept unpacked as far as `cache` allows.
 *
 * libhdf5 takes one caller at a time, so that readers wait for each other. It may end by a signal over a damaged file,
 * so each file is opened by a child first, whose end tells. Datasets whose values lie in other files
 * (external, virtual, or behind a link) are refused: a file must not make us read another.
 */
#include <dal/dataset.h>

#ifdef DAL_HAVE_HDF5
#include "hdf5_chunks.h"
#include "hdf5_file.h"

#include <math.h>
#endif

typedef struct options {
    const char *path, *x, *y, *y_path, *validation_path, *validation_x, *validation_y, *validation_y_path, *test_path,
        *test_x, *test_y, *test_y_path;
    uint32_t layout;
    int64_t n_classes, cache;
    dal_str_list class_names;
} options;

#ifdef DAL_HAVE_HDF5

enum { LAYOUT_AUTO, LAYOUT_CHW, LAYOUT_HWC };

#define MAX_CHUNK ((int64_t)1 << 28)  /* bytes of a chunk, unpacked: what one value may cost */
#define MAX_SAMPLE ((int64_t)1 << 30) /* bytes of a sample */
#ifndef HDF5_GROWTH
#define HDF5_GROWTH 65536 /* no filter packs more tightly; chunks that were never written take no room at all */
#endif
#define LABEL_BLOCK 65536

typedef struct split {
    const char *path, *name, *y_path, *y_name; /* files and datasets in them */
    const char *keys[4];                       /* of these */
    hid_t x;
    hdf5_chunks chunks; /* of x */
    hsize_t dims[HDF5_RANK];
    int rank;
    int32_t *classes; /* [n] or NULL */
    int64_t n;
} split;

typedef struct hdf5 {
    const dal_host *host;
    const options *opt;
    dal_sample_spec spec;
    int channels_last;
    char **names; /* [n_names] of an enumeration; NULL: none */
    int64_t n_names;
    split splits[DAL_SPLITS];
} hdf5;

/* Chunks of a dataset, where it has any. */
static dal_status open_chunks(const dal_host *host, hid_t set, const hsize_t *dims, int rank, hdf5_chunks *c,
                              const char *path, const char *key, const char *name, dal_error *err)
{
    const hid_t plist = H5Dget_create_plist(set);
    const char *what = "";
    dal_status st = DAL_OK;
    *c = (hdf5_chunks){0};
    if (plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED)
        st = hdf5_chunks_open(host, set, dims, rank, MAX_CHUNK, c, &what);
    if (plist >= 0)
        H5Pclose(plist);
    if (st == DAL_OK)
        return st;
    *c = (hdf5_chunks){0};
    return dal_fail(err, st, key, "%s: %s: %s", path, name, what);
}

/* Values of `count` rows from `first` on into out, as `type`. */
static dal_status read_rows(hid_t set, hdf5_chunks *chunks, const hsize_t *dims, int rank, int64_t first, int64_t count,
                            hid_t type, void *out, const char *path, const char *key, const char *name, dal_error *err)
{
    const char *why = "";
    const dal_status known = hdf5_chunks_check(chunks, first, count, &why);
    if (known != DAL_OK)
        return dal_fail(err, known, key, "%s: %s: rows %lld..%lld cannot be read: %s", path, name, (long long)first,
                        (long long)(first + count - 1), why);
    hsize_t start[HDF5_RANK] = {(hsize_t)first}, size[HDF5_RANK];
    memcpy(size, dims, sizeof size);
    size[0] = (hsize_t)count;
    const hid_t space = H5Dget_space(set), memory = H5Screate_simple(rank, size, NULL);
    herr_t rc = -1;
    if (space >= 0 && memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL) >= 0)
        rc = H5Dread(set, type, memory, space, H5P_DEFAULT, out);
    char what[100];
    snprintf(what, sizeof what, "rows %lld..%lld cannot be read",
             (long long)first, (long long)(first + count - 1));
    const dal_status st = rc >= 0 ? DAL_OK : hdf5_fault(key, path, name, what, err);
    if (space >= 0)
        H5Sclose(space);
    if (memory >= 0)
        H5Sclose(memory);
    return st;
}

/* ---- features ----------------------------------------------------------------------------------- */

static dal_status settle_spec(hdf5 *self, split *s, int u8, dal_error *err)
{
    const hsize_t *d = s->dims;
    dal_sample_spec spec = {.struct_size = sizeof spec, .dtype = u8 ? DAL_U8 : DAL_F32};
    int64_t bytes = u8 ? 1 : 4;
    /* a last axis of 1, 3 or 4 behind a larger one: most likely channels, and silently wrong as a width */
    const int looks_last = s->rank == 4 && (d[3] == 1 || d[3] == 3 || d[3] == 4) && d[1] > 4;
    int last = 0;
    for (int i = 1; i < s->rank; i++)
        if (!dal_size_mul(bytes, (int64_t)d[i], &bytes) || bytes > MAX_SAMPLE)
            return dal_fail(err, DAL_E_OVERFLOW, s->keys[1], "%s: %s: samples of more than %lld bytes", s->path,
                            s->name, (long long)MAX_SAMPLE);
    if (s->rank == 4 && self->opt->layout == LAYOUT_AUTO && looks_last)
        return dal_fail(err, DAL_E_INVALID, "layout",
                        "%s: %s is [%llu, %llu, %llu, %llu], which looks like [n, h, w, c]; say layout: hwc if it is, "
                        "layout: chw if not", s->path, s->name, (unsigned long long)d[0], (unsigned long long)d[1],
                        (unsigned long long)d[2], (unsigned long long)d[3]);
    if (s->rank <= 2) {
        spec.modality = DAL_VECTOR;
        spec.ndim = 1;
        spec.shape[0] = s->rank == 2 ? (int64_t)d[1] : 1;
    } else {
        last = s->rank == 4 && self->opt->layout == LAYOUT_HWC;
        const int64_t image[3] = {s->rank == 3 ? 1 : (int64_t)d[last ? 3 : 1], (int64_t)d[s->rank == 3 || last ? 1 : 2],
                                  (int64_t)d[s->rank == 3 || last ? 2 : 3]};
        spec.modality = DAL_IMAGE;
        spec.ndim = 3;
        memcpy(spec.shape, image, sizeof image);
    }
    if (self->spec.ndim == 0) {
        self->spec = spec;
        self->channels_last = last;
    }
    if (memcmp(self->spec.shape, spec.shape, sizeof spec.shape) != 0 || self->spec.ndim != spec.ndim ||
        self->spec.dtype != spec.dtype)
        return dal_fail(err, DAL_E_INVALID, s->keys[1],
                        "%s: %s: samples of another shape or type than those of the pool, %s: %s", s->path, s->name,
                        self->splits[DAL_SPLIT_TRAIN].path, self->splits[DAL_SPLIT_TRAIN].name);
    return DAL_OK;
}

static dal_status open_features(hdf5 *self, split *s, dal_error *err)
{
    int u8 = 0;
    dal_status st = hdf5_open_set(self->host, s->path, s->name, s->keys[0], s->keys[1], self->opt->cache, &s->x, err);
    if (st == DAL_OK)
        st = hdf5_check_type(s->x, s->path, s->keys[1], s->name, &u8, err);
    if (st == DAL_OK)
        st = hdf5_take_shape(s->x, s->path, s->keys[1], s->name, s->dims, &s->rank, err);
    if (st != DAL_OK)
        return st;
    s->n = (int64_t)s->dims[0];
    st = settle_spec(self, s, u8, err);
    if (st != DAL_OK)
        return st;
    const int64_t stored = (int64_t)H5Dget_storage_size(s->x), sample = dal_sample_bytes(&self->spec);
    if (stored < 0 || s->n / HDF5_GROWTH > stored / sample)
        return dal_fail(err, DAL_E_FORMAT, s->keys[1], "%s: %s: is said to have %lld samples, in %lld bytes", s->path,
                        s->name, (long long)s->n, (long long)stored);
    return open_chunks(self->host, s->x, s->dims, s->rank, &s->chunks, s->path, s->keys[1], s->name, err);
}

/* ---- labels ------------------------------------------------------------------------------------- */

static dal_status take_labels(const split *s, const double *values, int64_t first, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        const double v = values[i];
        if (!(v >= DAL_LABEL_OOD && v < INT32_MAX && v == floor(v)))
            return dal_fail(err, DAL_E_FORMAT, s->keys[3],
                            "%s: %s: label %g in row %lld, expected a class from 0, -1 (none) or -2 (none of the "
                            "classes)", s->y_path, s->y_name, v, (long long)(first + i));
        s->classes[first + i] = (int32_t)v;
    }
    return DAL_OK;
}

static dal_status open_labels(hdf5 *self, split *s, dal_error *err)
{
    hid_t y = -1;
    hsize_t dims[HDF5_RANK];
    int rank, u8;
    double *block = NULL;
    hdf5_chunks chunks = {0};
    dal_status st = hdf5_open_set(self->host, s->y_path, s->y_name, s->keys[2], s->keys[3], 0, &y, err);
    if (st == DAL_OK)
        st = hdf5_check_type(y, s->y_path, s->keys[3], s->y_name, &u8, err);
    if (st == DAL_OK)
        st = hdf5_take_shape(y, s->y_path, s->keys[3], s->y_name, dims, &rank, err);
    for (int i = 1; st == DAL_OK && i < rank; i++)
        if (dims[i] != 1)
            st = dal_fail(err, DAL_E_FORMAT, s->keys[3],
                          "%s: %s: dimension %d is %llu, expected 1: a label for each sample", s->y_path, s->y_name, i,
                          (unsigned long long)dims[i]);
    if (st == DAL_OK && dims[0] != (hsize_t)s->n)
        st = dal_fail(err, DAL_E_FORMAT, s->keys[3], "%s: %s: %llu labels, but there are %lld samples", s->y_path,
                      s->y_name, (unsigned long long)dims[0], (long long)s->n);
    if (st == DAL_OK)
        st = open_chunks(self->host, y, dims, rank, &chunks, s->y_path, s->keys[3], s->y_name, err);
    if (st == DAL_OK) {
        s->classes = dal_array(self->host, s->n, sizeof *s->classes);
        block = dal_array(self->host, LABEL_BLOCK, sizeof *block);
        if (!s->classes || !block)
            st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld labels", (long long)s->n);
    }
    for (int64_t i = 0; st == DAL_OK && i < s->n; i += LABEL_BLOCK) {
        const int64_t n = s->n - i < LABEL_BLOCK ? s->n - i : LABEL_BLOCK;
        st = read_rows(y, &chunks, dims, rank, i, n, H5T_NATIVE_DOUBLE, block, s->y_path, s->keys[3], s->y_name, err);
        if (st == DAL_OK)
            st = take_labels(s, block, i, n, err);
    }
    if (st == DAL_OK && s == &self->splits[DAL_SPLIT_TRAIN] && self->opt->class_names.n == 0)
        self->n_names = hdf5_enum_names(self->host, y, &self->names);
    hdf5_chunks_free(&chunks);
    if (y >= 0)
        H5Dclose(y);
    self->host->free(self->host, block);
    return st;
}

/* C is what the user says, else as many as there are names or members of the enumeration, else the largest label +
 * 1. */
static dal_status settle_classes(hdf5 *self, dal_error *err)
{
    const dal_str_list *names = &self->opt->class_names;
    int64_t largest = -1, n = self->opt->n_classes ? self->opt->n_classes : names->n;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; self->splits[k].classes && i < self->splits[k].n; i++)
            largest = self->splits[k].classes[i] > largest ? self->splits[k].classes[i] : largest;
    self->spec.n_classes = n = n ? n : self->n_names > largest ? self->n_names : largest + 1;
    if (names->n > 0 && names->n != n)
        return dal_fail(err, DAL_E_INVALID, "class_names", "%lld names for %lld classes", (long long)names->n,
                        (long long)n);
    for (int64_t i = 0; i < names->n; i++)
        for (int64_t j = 0; j < i; j++)
            if (strcmp(names->items[i], names->items[j]) == 0)
                return dal_fail(err, DAL_E_INVALID, "class_names", "'%s' names class %lld and class %lld",
                                names->items[i], (long long)j, (long long)i);
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        const split *s = &self->splits[k];
        for (int64_t i = 0; s->classes && i < s->n; i++)
            if (s->classes[i] >= n)
                return dal_fail(err, DAL_E_FORMAT, s->keys[3], "%s: %s: label %d in row %lld, expected 0..%lld",
                                s->y_path, s->y_name, s->classes[i], (long long)i, (long long)n - 1);
    }
    return DAL_OK;
}

/* ---- create ------------------------------------------------------------------------------------- */

static void hdf5_destroy(void *p)
{
    hdf5 *self = p;
    if (!self)
        return;
    const hdf5_quiet q = hdf5_enter();
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        hdf5_chunks_free(&self->splits[k].chunks);
        if (self->splits[k].x >= 0)
            H5Dclose(self->splits[k].x);
        self->host->free(self->host, self->splits[k].classes);
    }
    hdf5_leave(&q);
    hdf5_free_names(self->host, self->names, self->n_names);
    self->host->free(self->host, self);
}

/* What is not said of a split beside the pool is as in the pool. */
static dal_status open_other(hdf5 *self, uint32_t k, const char *path, const char *x, const char *y, const char *y_path,
                             const char *const keys[4], dal_error *err)
{
    const options *o = self->opt;
    split *s = &self->splits[k];
    if (!path[0] && !x[0] && (y[0] || y_path[0]))
        return dal_fail(err, DAL_E_INVALID, y[0] ? keys[3] : keys[2],
                        "there are no features of this split: give %s or %s", keys[0], keys[1]);
    if (x[0] && !path[0] && o->y[0] && !y[0])
        return dal_fail(err, DAL_E_INVALID, keys[1], "the pool's labels are not those of this split: give %s", keys[3]);
    if (!path[0] && !x[0])
        return DAL_OK;
    *s = (split){.path = path[0] ? path : o->path,
                 .name = x[0] ? x : o->x,
                 .y_path = y_path[0] ? y_path : path[0] ? path : o->path,
                 .y_name = y[0] ? y : o->y,
                 .keys = {keys[0], keys[1], keys[2], keys[3]},
                 .x = -1};
    const dal_status st = open_features(self, s, err);
    return st == DAL_OK && s->y_name[0] ? open_labels(self, s, err) : st;
}

static dal_status build(hdf5 *self, dal_error *err)
{
    static const char *const validation[] = {"validation_path", "validation_x", "validation_y_path", "validation_y"};
    static const char *const test[] = {"test_path", "test_x", "test_y_path", "test_y"};
    const options *o = self->opt;
    self->splits[DAL_SPLIT_TRAIN] = (split){.path = o->path, .name = o->x, .y_path = o->y_path[0] ? o->y_path : o->path,
                                            .y_name = o->y, .keys = {"path", "x", o->y_path[0] ? "y_path" : "path",
                                                                     "y"}, .x = -1};
    dal_status st = open_features(self, &self->splits[DAL_SPLIT_TRAIN], err);
    if (st == DAL_OK && o->y[0])
        st = open_labels(self, &self->splits[DAL_SPLIT_TRAIN], err);
    if (st == DAL_OK)
        st = open_other(self, DAL_SPLIT_VALIDATION, o->validation_path, o->validation_x, o->validation_y,
                        o->validation_y_path, validation, err);
    if (st == DAL_OK)
        st = open_other(self, DAL_SPLIT_TEST, o->test_path, o->test_x, o->test_y, o->test_y_path, test, err);
    return st == DAL_OK ? settle_classes(self, err) : st;
}

static dal_status hdf5_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    (void)input;
    hdf5 *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (hdf5){.host = host, .opt = opt};
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        self->splits[k].x = -1;
    const hdf5_quiet q = hdf5_enter();
    const dal_status st = build(self, err);
    hdf5_leave(&q);
    if (st == DAL_OK)
        *out = self;
    else
        hdf5_destroy(self);
    return st;
}

/* ---- the slots ---------------------------------------------------------------------------------- */

static dal_status hdf5_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const hdf5 *self = p;
    (void)err;
    info->spec = self->spec;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->splits[k].n;
    info->class_names = self->opt->class_names.n > 0                              ? self->opt->class_names.items
                        : self->names && self->n_names == self->spec.n_classes ? (const char *const *)self->names
                                                                                  : NULL;
    return DAL_OK;
}

static dal_status hdf5_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const split *s = &((const hdf5 *)p)->splits[k];
    const dal_status st = dal_check_ids(s->n, ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = s->classes ? s->classes[ids[i]] : DAL_LABEL_NONE;
    return st;
}

/* Sample `id` was read: are its values numbers? */
static dal_status check_values(const split *s, const float *x, int64_t n, int64_t id, dal_error *err)
{
    for (int64_t j = 0; j < n; j++)
        if (!isfinite(x[j]))
            return dal_fail(err, DAL_E_FORMAT, s->keys[1], "%s: %s: value %lld of row %lld is not finite", s->path,
                            s->name, (long long)j, (long long)id);
    return DAL_OK;
}

/* One sample from [h, w, c] to [c, h, w], `size` bytes a value. */
static void to_planes(const dal_sample_spec *spec, const unsigned char *from, size_t size, unsigned char *to)
{
    const int64_t channels = spec->shape[0], pixels = spec->shape[1] * spec->shape[2];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < pixels; i++, to += size)
            memcpy(to, from + (size_t)(i * channels + c) * size, size);
}

/* How many ids from here on follow each other. */
static int64_t run_of(const int64_t *ids, int64_t n)
{
    int64_t m = 1;
    while (m < n && ids[m] == ids[m - 1] + 1)
        m++;
    return m;
}

static dal_status hdf5_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    hdf5 *self = p;
    split *s = &self->splits[k];
    const int u8 = self->spec.dtype == DAL_U8;
    const int64_t values = dal_sample_values(&self->spec);
    const size_t size = u8 ? 1 : sizeof(float), bytes = (size_t)values * size;
    unsigned char *scratch = NULL;
    dal_status st = dal_check_ids(s->n, ids, n, err);
    if (st == DAL_OK && self->channels_last && !(scratch = dal_array(self->host, 1, bytes)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to read a sample");
    if (st != DAL_OK)
        return st;
    const hdf5_quiet q = hdf5_enter();
    for (int64_t i = 0, m; i < n && st == DAL_OK; i += m) {
        unsigned char *to = (unsigned char *)out->data + (size_t)i * bytes;
        m = run_of(ids + i, n - i);
        st = read_rows(s->x, &s->chunks, s->dims, s->rank, ids[i], m, u8 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT, to,
                       s->path, s->keys[1], s->name, err);
        for (int64_t j = 0; j < m && st == DAL_OK; j++, to += bytes) {
            if (!u8)
                st = check_values(s, (const float *)(const void *)to, values, ids[i + j], err);
            if (st == DAL_OK && scratch) {
                memcpy(scratch, to, bytes);
                to_planes(&self->spec, scratch, size, to);
            }
        }
    }
    hdf5_leave(&q);
    self->host->free(self->host, scratch);
    return st;
}

/* "train.h5 17" */
static void hdf5_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    const split *s = &((const hdf5 *)p)->splits[k];
    const char *slash = s->path ? strrchr(s->path, '/') : NULL;
    if (id < 0 || id >= s->n)
        snprintf(out, size, "%lld", (long long)id);
    else
        snprintf(out, size, "%s %lld", slash ? slash + 1 : s->path, (long long)id);
}

#else

static dal_status hdf5_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    (void)host, (void)input, (void)out;
    return dal_fail(err, DAL_E_UNSUPPORTED, "path",
                    "%s: this build reads no HDF5 files: it was configured without hdf5 (Debian: libhdf5-dev)",
                    ((const options *)opt)->path);
}

static void hdf5_destroy(void *p)
{
    (void)p;
}

static dal_status hdf5_info(void *p, dal_dataset_info *info, dal_error *err)
{
    (void)p, (void)info;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "no HDF5");
}

static dal_status hdf5_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    (void)p, (void)k, (void)ids, (void)n, (void)out;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "no HDF5");
}

static dal_status hdf5_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    (void)p, (void)k, (void)ids, (void)n, (void)out;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "no HDF5");
}

static void hdf5_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    (void)p, (void)k;
    snprintf(out, size, "%lld", (long long)id);
}

#endif

static const dal_dataset_impl hdf5_impl = {
    .struct_size = sizeof hdf5_impl,
    .create = hdf5_create,
    .destroy = hdf5_destroy,
    .info = hdf5_info,
    .classes = hdf5_classes,
    .read = hdf5_read,
    .describe = hdf5_describe,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the file of the pool")                                   \
    P(T, x, STR, "/x", "nonempty", "",                                                                                 \
      "its features: the path of a dataset [n,d], [n,h,w] or [n,c,h,w] of any numbers")                                \
    P(T, y, STR, "/y", "", "",                                                                                         \
      "its classes: a dataset of n whole numbers or of an enumeration; empty: an unlabelled pool")                     \
    P(T, y_path, PATH, "", "file", "", "the file that has them; none: the same")                         \
    P(T, validation_path, PATH, "", "file", "",                                                                        \
      "the file of the validation split; none: the same, where there is a validation_x")                               \
    P(T, validation_x, STR, "", "", "", "the validation split; none: as x, where there is a validation_path") \
    P(T, validation_y, STR, "", "", "", "its classes; none: as y")                                       \
    P(T, validation_y_path, PATH, "", "file", "", "the file that has them; none: that of the validation split") \
    P(T, test_path, PATH, "", "file", "", "the file of the test split; none: the same, where there is a test_x") \
    P(T, test_x, STR, "", "", "", "the test split; none: as x, where there is a test_path")              \
    P(T, test_y, STR, "", "", "", "its classes; none: as y")                                             \
    P(T, test_y_path, PATH, "", "file", "", "the file that has them; none: that of the test split")      \
    P(T, layout, CHOICE, "auto", "auto|chw|hwc", "",                                                     \
      "order of the axes of 4-dimensional datasets; auto: chw, but what looks like hwc is refused")      \
    P(T, cache, I64, "64M", "0..68719476736", "bytes", "of chunks that are kept unpacked")                       \
    P(T, n_classes, I64, "0", "0..2147483646", "", "classes; 0: as many as names, or the largest label + 1") \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "hdf5", hdf5_impl, "vectors or images in HDF5 files, chunked and packed ones, too",       \
      "The HDF Group: HDF5", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(hdf5, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
