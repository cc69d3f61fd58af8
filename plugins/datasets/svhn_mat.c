/* svhn-mat: Street View House Numbers, cropped digits (format 2), in the original MATLAB files.
 *
 * train_32x32.mat and its sisters hold X, uint8 [32, 32, 3, n] as MATLAB lays it out (the first index runs fastest),
 * and y, [n, 1] of 1..10, where 10 is the digit 0: class d is the digit d here. Files of format 5, as the original
 * ones, are read by libmatio, and of format 7.3 where libmatio has HDF5. Their data are compressed: they are unpacked
 * once, into temporary space.
 *
 * libmatio takes as much memory as a tag asks for, so that those of format 5 are looked at first.
 */
#include <dal/dataset.h>
#include <dal/file.h>

#include <limits.h>
#ifdef DAL_HAVE_MATIO
#include <dlfcn.h>
#include <matio.h>
#include <zlib.h>
#endif

typedef struct options {
    const char *train, *extra, *test;
} options;

#define GROWTH 1032 /* no deflate stream grows by more */
#define MAX_SIDE 4096
#define MAT_HEADER 128
#define MAX_RANK 32
#define MAX_NAME 63 /* MATLAB has no longer ones */

/* One file. */
typedef struct part {
    const char *path, *key;
    unsigned char *x; /* temp_map [n, c, w, h] */
    size_t bytes;
    unsigned char *classes; /* [n] */
    int64_t n;
} part;

typedef struct svhn {
    const dal_host *host;
    dal_sample_spec spec;
    part parts[3]; /* train, extra, test */
    int64_t n[DAL_SPLITS];
} svhn;

enum { TRAIN, EXTRA, TEST };

static const char *const digit_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

/* ---- files ------------------------------------------------------------------------------------ */

#ifdef DAL_HAVE_MATIO

/* Numbers of a file of format 5, in its own order of bytes. */
static uint32_t number_at(const unsigned char *p, int big)
{
    return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
               : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* What a variable begins with, `body` bytes long: its flags, its dimensions, its name; head[n] is as much of it as
 * there is, or as can matter. What is wrong with it, or NULL. */
static const char *fault_of_variable(const unsigned char *head, int64_t n, int64_t body, int big)
{
    if (n < 24 || number_at(head, big) != 6 || number_at(head + 4, big) != 8)
        return "a variable without flags";
    const unsigned cls = number_at(head + 8, big) & 0xff;
    if (cls < MAT_C_DOUBLE || cls > MAT_C_UINT64)
        return "a variable that is no array of numbers";
    const int64_t dims = number_at(head + 20, big), name = 24 + (dims + 7) / 8 * 8;
    if (number_at(head + 16, big) != 5 || dims < 8 || dims > 4 * MAX_RANK || dims % 4 != 0 || name + 8 > n)
        return "a variable without dimensions";
    const uint32_t tag = number_at(head + name, big);
    const int64_t length = tag >> 16 ? tag >> 16 : number_at(head + name + 4, big); /* a short one is in its tag */
    return (tag & 0xffff) != 1 || length > MAX_NAME || name + 8 > body ? "a variable without a name" : NULL;
}

/* The variable at data[n], `type` being that of its element. */
static const char *fault_of_element(uint32_t type, const unsigned char *data, int64_t n, int big)
{
    unsigned char head[8 + 24 + 4 * MAX_RANK + 8] = {0};
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)data, .avail_in = (uInt)n, .next_out = head,
                  .avail_out = sizeof head};
    if (type == 14)
        return fault_of_variable(data, n, n, big);
    if (type != 15)
        return "an element that is no variable";
    const int rc = inflateInit(&z) == Z_OK ? inflate(&z, Z_SYNC_FLUSH) : Z_MEM_ERROR;
    const int64_t got = (int64_t)sizeof head - z.avail_out;
    inflateEnd(&z);
    if ((rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) || got < 8 || number_at(head, big) != 14)
        return "a variable that cannot be unpacked";
    const int64_t body = number_at(head + 4, big);
    return body / GROWTH > n ? "a variable larger than can be" : fault_of_variable(head + 8, got - 8, body, big);
}

static dal_status check_elements(const part *p, const unsigned char *data, int64_t size, dal_error *err)
{
    const int big = size >= MAT_HEADER && data[126] == 'M';
    const unsigned version = size < MAT_HEADER ? 0 : big ? data[124] : data[125];
    if (version != 1 && version != 2)
        return dal_fail(err, DAL_E_FORMAT, p->key,
                        "%s: version %u of its header, expected 1 (format 5) or 2 (format 7.3)", p->path, version);
    for (int64_t at = MAT_HEADER, n; version == 1 && at + 8 <= size; at += 8 + n) {
        n = number_at(data + at + 4, big);
        const char *fault = n > size - at - 8 ? "cut short"
                                              : fault_of_element(number_at(data + at, big), data + at + 8, n, big);
        if (fault)
            return dal_fail(err, DAL_E_FORMAT, p->key, "%s: at offset %lld: %s; damaged? copy or download it again",
                            p->path, (long long)at, fault);
    }
    return DAL_OK;
}

/* Its size, when it begins as MATLAB's files do. */
static dal_status look_at_file(const svhn *self, const part *p, int64_t *size, dal_error *err)
{
    dal_file *f = NULL;
    int64_t n;
    dal_status st = dal_file_open(self->host, p->path, p->key, &f, err);
    if (st != DAL_OK)
        return st;
    const char *head = (const char *)dal_file_head(f, &n);
    if (dal_file_is_gzip(f) || n < 10 || (memcmp(head, "MATLAB 5.0", 10) != 0 && memcmp(head, "MATLAB 7.3", 10) != 0))
        st = dal_fail(err, DAL_E_FORMAT, p->key,
                      "%s: does not begin as MATLAB's files do (MATLAB 5.0 MAT-file, MATLAB 7.3 MAT-file)", p->path);
    else
        st = dal_file_load(f, 0, 0, err);
    if (st == DAL_OK) {
        const unsigned char *data = dal_file_data(f, size);
        st = check_elements(p, data, *size, err);
    }
    dal_file_close(f);
    return st;
}

/* A variable without its values. */
static dal_status find_variable(mat_t *mat, const part *p, const char *name, int rank, matvar_t **var, dal_error *err)
{
    *var = Mat_VarReadInfo(mat, name);
    if (!*var)
        return dal_fail(err, DAL_E_FORMAT, p->key, "%s: there is no variable %s in it, or the file is damaged", p->path,
                        name);
    if ((*var)->rank != rank || !(*var)->dims || (*var)->isComplex)
        return dal_fail(err, DAL_E_FORMAT, p->key, "%s: %s has %d dimensions%s, expected %d", p->path, name,
                        (*var)->rank, (*var)->isComplex ? " of complex numbers" : "", rank);
    return DAL_OK;
}

/* X is [h, w, c, n] of uint8: is it, and can the file hold so much? */
static dal_status check_x(const svhn *self, const part *p, const matvar_t *x, int64_t file_size, int64_t *bytes,
                          dal_error *err)
{
    const size_t *d = x->dims;
    if (x->class_type != MAT_C_UINT8)
        return dal_fail(err, DAL_E_FORMAT, p->key, "%s: X is not of class uint8", p->path);
    if (d[0] < 1 || d[0] > MAX_SIDE || d[1] < 1 || d[1] > MAX_SIDE || (d[2] != 1 && d[2] != 3))
        return dal_fail(err, DAL_E_FORMAT, p->key, "%s: X is [%zu, %zu, %zu, %zu], expected [32, 32, 3, n]", p->path,
                        d[0], d[1], d[2], d[3]);
    if (d[3] < 1)
        return dal_fail(err, DAL_E_FORMAT, p->key, "%s: there are no pictures in it", p->path);
    if (d[3] > INT64_MAX || !dal_size_mul((int64_t)(d[0] * d[1] * d[2]), (int64_t)d[3], bytes) || *bytes > INT_MAX)
        return dal_fail(err, DAL_E_OVERFLOW, p->key, "%s: X has %zu pictures, expected at most 2 GiB of them", p->path,
                        d[3]);
    if (*bytes / GROWTH > file_size)
        return dal_fail(err, DAL_E_FORMAT, p->key, "%s: X is said to have %lld bytes, in a file of %lld", p->path,
                        (long long)*bytes, (long long)file_size);
    const int64_t *shape = self->spec.shape;
    if (self->spec.ndim != 0 && ((int64_t)d[0] != shape[1] || (int64_t)d[1] != shape[2] || (int64_t)d[2] != shape[0]))
        return dal_fail(err, DAL_E_INVALID, p->key, "%s: X is [%zu, %zu, %zu, n], that of %s [%lld, %lld, %lld, n]",
                        p->path, d[0], d[1], d[2], self->parts[TRAIN].path, (long long)shape[1], (long long)shape[2],
                        (long long)shape[0]);
    return DAL_OK;
}

static dal_status read_x(svhn *self, part *p, mat_t *mat, int64_t file_size, dal_error *err)
{
    matvar_t *x = NULL;
    void *room = NULL;
    int64_t bytes = 0;
    dal_status st = find_variable(mat, p, "X", 4, &x, err);
    if (st == DAL_OK)
        st = check_x(self, p, x, file_size, &bytes, err);
    if (st == DAL_OK)
        st = self->host->temp_map(self->host, (size_t)bytes, &room, err);
    if (st == DAL_OK) {
        const size_t *d = x->dims;
        p->x = room;
        p->bytes = (size_t)bytes;
        p->n = (int64_t)d[3];
        self->spec = (dal_sample_spec){
            sizeof self->spec, DAL_IMAGE, DAL_U8, 3, {(int64_t)d[2], (int64_t)d[0], (int64_t)d[1]}, 10};
        if (Mat_VarReadDataLinear(mat, x, room, 0, 1, (int)bytes) != 0)
            st = dal_fail(err, DAL_E_FORMAT, p->key,
                          "%s: the %lld bytes of X cannot be read: cut short or damaged; copy or download it again",
                          p->path, (long long)bytes);
    }
    Mat_VarFree(x);
    return st;
}

/* Value i of y as a class 0..9, or -1. */
static int class_at(const matvar_t *y, int64_t i)
{
    double v;
    switch (y->class_type) {
    case MAT_C_DOUBLE: v = ((const double *)y->data)[i]; break;
    case MAT_C_SINGLE: v = (double)((const float *)y->data)[i]; break;
    case MAT_C_UINT8: v = ((const uint8_t *)y->data)[i]; break;
    case MAT_C_INT8: v = ((const int8_t *)y->data)[i]; break;
    case MAT_C_UINT16: v = ((const uint16_t *)y->data)[i]; break;
    case MAT_C_INT16: v = ((const int16_t *)y->data)[i]; break;
    case MAT_C_UINT32: v = ((const uint32_t *)y->data)[i]; break;
    case MAT_C_INT32: v = ((const int32_t *)y->data)[i]; break;
    default: return -1;
    }
    return v >= 0 && v <= 10 && v == (double)(int)v ? (int)v % 10 : -1;
}

/* Bytes of a number of this class, 0 for what is no number of ours. */
static size_t class_bytes(enum matio_classes c)
{
    switch (c) {
    case MAT_C_DOUBLE: return 8;
    case MAT_C_SINGLE:
    case MAT_C_UINT32:
    case MAT_C_INT32: return 4;
    case MAT_C_UINT16:
    case MAT_C_INT16: return 2;
    case MAT_C_UINT8:
    case MAT_C_INT8: return 1;
    default: return 0;
    }
}

static dal_status read_y(svhn *self, part *p, mat_t *mat, dal_error *err)
{
    matvar_t *y = NULL;
    dal_status st = find_variable(mat, p, "y", 2, &y, err);
    if (st == DAL_OK && ((y->dims[0] != 1 && y->dims[1] != 1) || y->dims[0] * y->dims[1] != (size_t)p->n))
        st = dal_fail(err, DAL_E_FORMAT, p->key, "%s: y is [%zu, %zu], but there are %lld pictures", p->path,
                      y->dims[0], y->dims[1], (long long)p->n);
    if (st == DAL_OK && class_bytes(y->class_type) == 0)
        st = dal_fail(err, DAL_E_FORMAT, p->key, "%s: y is not of numbers", p->path);
    if (st == DAL_OK && (Mat_VarReadDataAll(mat, y) != 0 || !y->data ||
                         y->nbytes < (size_t)p->n * class_bytes(y->class_type)))
        st = dal_fail(err, DAL_E_FORMAT, p->key, "%s: y cannot be read: cut short or damaged", p->path);
    if (st == DAL_OK && !(p->classes = dal_array(self->host, p->n, 1)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    for (int64_t i = 0; st == DAL_OK && i < p->n; i++) {
        const int c = class_at(y, i);
        if (c < 0)
            st = dal_fail(err, DAL_E_FORMAT, p->key, "%s: label %lld of y is none, expected 1..10 (10 is the digit 0)",
                          p->path, (long long)i);
        else
            p->classes[i] = (unsigned char)c;
    }
    Mat_VarFree(y);
    return st;
}

/* HDF5, beneath libmatio, prints pages on every fault. How it is told not to, when it is there: we do not link it
 * ourselves. */
typedef void printer(void);
typedef struct hdf5 {
    int (*get)(int64_t stack, printer **func, void **data);
    int (*set)(int64_t stack, printer *func, void *data);
    printer *func; /* as it was */
    void *data;
} hdf5;

static void hush(hdf5 *h)
{
    Dl_info where;
    mat_t *(*open)(const char *, int) = Mat_Open;
    void *address, *matio = NULL;
    *h = (hdf5){0};
    memcpy(&address, &open, sizeof address);
    if (dladdr(address, &where) != 0)
        matio = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (!matio)
        return;
    void *get = dlsym(matio, "H5Eget_auto2"), *set = dlsym(matio, "H5Eset_auto2");
    memcpy(&h->get, &get, sizeof get);
    memcpy(&h->set, &set, sizeof set);
    if (h->get && h->set && h->get(0, &h->func, &h->data) >= 0)
        h->set(0, NULL, NULL);
    else
        h->set = NULL;
    dlclose(matio);
}

static void speak_again(const hdf5 *h)
{
    if (h->set)
        h->set(0, h->func, h->data);
}

static dal_status read_part(svhn *self, int which, const char *path, const char *key, dal_error *err)
{
    part *p = &self->parts[which];
    int64_t size;
    *p = (part){.path = path, .key = key};
    dal_status st = look_at_file(self, p, &size, err);
    if (st != DAL_OK)
        return st;
    mat_t *mat = Mat_Open(path, MAT_ACC_RDONLY);
    if (!mat)
        return dal_fail(err, DAL_E_FORMAT, key,
                        "%s: libmatio cannot read it: damaged, or of a format it was built without", path);
    st = read_x(self, p, mat, size, err);
    if (st == DAL_OK)
        st = read_y(self, p, mat, err);
    Mat_Close(mat);
    self->n[which == TEST ? DAL_SPLIT_TEST : DAL_SPLIT_TRAIN] += p->n;
    return st;
}

static dal_status open_part(svhn *self, int which, const char *path, const char *key, dal_error *err)
{
    hdf5 h;
    hush(&h);
    const dal_status st = read_part(self, which, path, key, err);
    speak_again(&h);
    return st;
}

#else

static dal_status open_part(svhn *self, int which, const char *path, const char *key, dal_error *err)
{
    (void)self, (void)which;
    return dal_fail(err, DAL_E_UNSUPPORTED, key,
                    "%s: this build reads no MATLAB files: it was configured without matio (Debian: libmatio-dev)",
                    path);
}

#endif

/* ---- the table -------------------------------------------------------------------------------- */

static void svhn_destroy(void *p)
{
    svhn *self = p;
    if (!self)
        return;
    for (int i = TRAIN; i <= TEST; i++) {
        if (self->parts[i].x)
            self->host->temp_unmap(self->host, self->parts[i].x, self->parts[i].bytes);
        self->host->free(self->host, self->parts[i].classes);
    }
    self->host->free(self->host, self);
}

static dal_status svhn_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    const options *o = opt;
    (void)input;
    svhn *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (svhn){.host = host};
    dal_status st = open_part(self, TRAIN, o->train, "train", err);
    if (st == DAL_OK && o->extra[0])
        st = open_part(self, EXTRA, o->extra, "extra", err);
    if (st == DAL_OK && o->test[0])
        st = open_part(self, TEST, o->test, "test", err);
    if (st == DAL_OK)
        *out = self;
    else
        svhn_destroy(self);
    return st;
}

static dal_status svhn_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const svhn *self = p;
    (void)err;
    info->spec = self->spec;
    memcpy(info->n, self->n, sizeof info->n);
    info->class_names = digit_names;
    return DAL_OK;
}

/* The part that sample *id of split k is in; *id becomes its number there. */
static const part *find_part(const svhn *self, uint32_t k, int64_t *id)
{
    const part *p = &self->parts[k == DAL_SPLIT_TEST ? TEST : TRAIN];
    if (*id < p->n)
        return p;
    *id -= p->n;
    return &self->parts[EXTRA];
}

static dal_status svhn_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const svhn *self = p;
    const dal_status st = dal_check_ids(self->n[k], ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        int64_t at = ids[i];
        const part *of = find_part(self, k, &at);
        out[i] = of->classes[at];
    }
    return st;
}

/* Columns to rows, plane by plane. */
static dal_status svhn_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const svhn *self = p;
    const int64_t *shape = self->spec.shape, sample = dal_sample_bytes(&self->spec);
    unsigned char *to = out->data;
    const dal_status st = dal_check_ids(self->n[k], ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        int64_t at = ids[i];
        const part *of = find_part(self, k, &at);
        const unsigned char *from = of->x + at * sample;
        for (int64_t c = 0; c < shape[0]; c++, from += shape[1] * shape[2])
            for (int64_t y = 0; y < shape[1]; y++)
                for (int64_t x = 0; x < shape[2]; x++)
                    *to++ = from[x * shape[1] + y];
    }
    return st;
}

/* "train_32x32.mat 17" */
static void svhn_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    const svhn *self = p;
    if (id < 0 || id >= self->n[k]) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const part *of = find_part(self, k, &id);
    const char *name = strrchr(of->path, '/');
    snprintf(out, size, "%s %lld", name ? name + 1 : of->path, (long long)id);
}

static const dal_dataset_impl svhn_impl = {
    .struct_size = sizeof svhn_impl,
    .create = svhn_create,
    .destroy = svhn_destroy,
    .info = svhn_info,
    .classes = svhn_classes,
    .read = svhn_read,
    .describe = svhn_describe,
};

#define PARAMS(P, T)                                                                                    \
    P(T, train, PATH, DAL_REQUIRED, "file", "", "the pool: train_32x32.mat")                            \
    P(T, extra, PATH, "", "file", "", "more of the pool, behind it: extra_32x32.mat")                   \
    P(T, test, PATH, "", "file", "", "the test split: test_32x32.mat")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "svhn-mat", svhn_impl, "SVHN, cropped digits in MATLAB files",                           \
      "Netzer et al., NIPS Workshop on Deep Learning 2011", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(svhn_mat, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
