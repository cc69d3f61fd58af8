/* Reading safetensors: the header through jansson, then every claim it makes against the bytes there are. */
#include "safetensors.h"

#include "half.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const st_type st_types[DAL_ST_TYPES] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},   {"F8_E5M2", 1}, {"F8_E4M3", 1},
                                        {"I16", 2},  {"U16", 2}, {"F16", 2},  {"BF16", 2},    {"I32", 4},
                                        {"U32", 4},  {"F32", 4}, {"F64", 8},  {"I64", 8},     {"U64", 8}};

struct dal_safetensors {
    const dal_host *host;
    const char *path, *key;
    void *map; /* [size], or NULL: a view */
    unsigned char *own; /* the bytes, where they came from a stream */
    const unsigned char *bytes;
    int64_t size;
    json_t *header;    /* names are its */
    const unsigned char *data; /* [n_data] behind the header */
    int64_t n_data, n;
    dal_tensor *tensors; /* [n] in the order of names */
};

const char *st_shown(const char *name, char out[96])
{
    const size_t n = strlen(name);
    size_t m = n < 88 ? n : 88;
    while (m < n && m > 0 && ((unsigned char)name[m] & 0xc0) == 0x80)
        m--;
    for (size_t i = 0; i < m; i++)
        out[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i];
    memcpy(out + m, m < n ? "..." : "", m < n ? 4 : 1);
    return out;
}

DAL_PRINTF(3, 4)
static dal_status bad(const dal_safetensors *f, dal_error *err, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return dal_fail(err, DAL_E_FORMAT, f->key, "%s: %s", f->path, text);
}

/* ---- the bytes ---------------------------------------------------------------------------------- */

static dal_status map_file(dal_safetensors *f, dal_error *err)
{
    dal_status st = DAL_OK;
    struct stat info;
    /* O_NONBLOCK: a FIFO must be refused, not waited for */
    const int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, f->key, "%s: cannot open: %s", f->path,
                        strerror(errno));
    if (fstat(fd, &info) != 0)
        st = dal_fail(err, DAL_E_IO, f->key, "%s: %s", f->path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = dal_fail(err, DAL_E_IO, f->key, "%s: found a %s, expected a regular file", f->path,
                      S_ISDIR(info.st_mode) ? "directory" : "device or pipe");
    else if (info.st_size > 0) {
        void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            st = dal_fail(err, DAL_E_IO, f->key, "%s: cannot map %lld bytes: %s", f->path, (long long)info.st_size,
                          strerror(errno));
        } else {
            f->map = p;
            f->bytes = p;
            f->size = info.st_size;
        }
    }
    close(fd);
    return st;
}

static dal_status read_header(dal_safetensors *f, dal_error *err)
{
    uint64_t length = 0;
    json_error_t e;
    if (f->size < 8)
        return bad(f, err, "%lld bytes are no safetensors file, which begins with 8 bytes of length",
                   (long long)f->size);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | f->bytes[i];
    if (length > (uint64_t)ST_MAX_HEADER || (int64_t)length > f->size - 8)
        return bad(f, err, "says that its header has %llu bytes; the file has %lld behind the length, and a header at "
                   "most %lld: this is no safetensors file, or only a part of one", (unsigned long long)length,
                   (long long)f->size - 8, (long long)ST_MAX_HEADER);
    f->data = f->bytes + 8 + length;
    f->n_data = f->size - 8 - (int64_t)length;
    f->header = json_loadb((const char *)f->bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &e);
    if (!f->header) {
        char what[96];
        return bad(f, err, "its header is no JSON at byte %d: %s", e.position + 8, st_shown(e.text, what));
    }
    return json_is_object(f->header) ? DAL_OK : bad(f, err, "its header is no JSON object of tensors");
}

/* ---- one tensor --------------------------------------------------------------------------------- */

static dal_status read_shape(const dal_safetensors *f, dal_tensor *t, const json_t *shape, dal_error *err)
{
    char name[96];
    const size_t n = json_array_size(shape);
    if (!json_is_array(shape) || n > DAL_ST_MAX_DIMS)
        return bad(f, err, "tensor '%s' has no shape of at most %d sizes", st_shown(t->name, name), DAL_ST_MAX_DIMS);
    t->ndim = (uint32_t)n;
    t->count = 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *size = json_array_get(shape, i);
        t->shape[i] = json_is_integer(size) ? (int64_t)json_integer_value(size) : -1;
        if (!dal_size_mul(t->count, t->shape[i], &t->count))
            return bad(f, err, "tensor '%s': size %d of its shape is no number of elements that fits",
                       st_shown(t->name, name), (int)i);
    }
    if (!dal_size_mul(t->count, st_types[t->dtype].bytes, &t->bytes))
        return bad(f, err, "tensor '%s': its shape does not fit 64 bits", st_shown(t->name, name));
    return DAL_OK;
}

static dal_status read_offsets(const dal_safetensors *f, dal_tensor *t, const json_t *offsets, dal_error *err)
{
    char name[96], what[160];
    const json_t *a = json_array_get(offsets, 0), *b = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(a) || !json_is_integer(b))
        return bad(f, err, "tensor '%s' has no data_offsets [begin, end]", st_shown(t->name, name));
    const int64_t begin = (int64_t)json_integer_value(a), end = (int64_t)json_integer_value(b);
    if (begin < 0 || begin > end || end > f->n_data)
        return bad(f, err, "tensor '%s' lies at bytes %lld to %lld of the data, which has %lld",
                   st_shown(t->name, name), (long long)begin, (long long)end, (long long)f->n_data);
    if (end - begin != t->bytes)
        return bad(f, err, "tensor '%s' is %s, which takes %lld bytes; its data_offsets give it %lld",
                   st_shown(t->name, name), dal_tensor_describe(t, what), (long long)t->bytes,
                   (long long)(end - begin));
    t->data = f->data + begin;
    return DAL_OK;
}

static dal_status read_tensor(const dal_safetensors *f, dal_tensor *t, const char *key, const json_t *entry,
                              dal_error *err)
{
    char name[96], type[96];
    *t = (dal_tensor){.struct_size = sizeof *t, .name = key};
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype)
        return bad(f, err, "tensor '%s' has no dtype", st_shown(key, name));
    while (t->dtype < DAL_ST_TYPES && strcmp(st_types[t->dtype].name, dtype) != 0)
        t->dtype++;
    if (t->dtype == DAL_ST_TYPES)
        return bad(f, err, "tensor '%s' is of type '%s', which is not known; expected F32, F16, BF16, F64, I64...",
                   st_shown(key, name), st_shown(dtype, type));
    const dal_status st = read_shape(f, t, json_object_get(entry, "shape"), err);
    return st == DAL_OK ? read_offsets(f, t, json_object_get(entry, "data_offsets"), err) : st;
}

/* ---- all tensors -------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const dal_tensor *x = a, *y = b;
    if (x->data != y->data)
        return (x->data > y->data) - (x->data < y->data);
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const dal_tensor *)a)->name, ((const dal_tensor *)b)->name);
}

/* One behind the other, from the first byte to the last. */
static dal_status check_places(dal_safetensors *f, dal_error *err)
{
    char name[96], before[96];
    int64_t at = 0;
    if (f->n > 0)
        qsort(f->tensors, (size_t)f->n, sizeof *f->tensors, by_place);
    for (int64_t i = 0; i < f->n; i++) {
        const dal_tensor *t = &f->tensors[i];
        const int64_t begin = (const unsigned char *)t->data - f->data;
        if (begin < at)
            return bad(f, err,
                       "tensors '%s' and '%s' overlap: one ends at byte %lld of the data, the other begins at %lld",
                       st_shown(t[-1].name, before), st_shown(t->name, name), (long long)at, (long long)begin);
        if (begin > at)
            return bad(f, err, "bytes %lld to %lld of the data, before tensor '%s', belong to no tensor", (long long)at,
                       (long long)begin, st_shown(t->name, name));
        at = begin + t->bytes;
    }
    if (at < f->n_data)
        return bad(f, err, "its tensors end at byte %lld of the data, which has %lld", (long long)at,
                   (long long)f->n_data);
    return DAL_OK;
}

static dal_status check_metadata(const dal_safetensors *f, json_t *metadata, dal_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return bad(f, err, "__metadata__ is no object of strings");
    json_object_foreach(metadata, key, value) {
        char name[96];
        if (!json_is_string(value))
            return bad(f, err, "__metadata__: '%s' is no string", st_shown(key, name));
    }
    return DAL_OK;
}

static dal_status read_tensors(dal_safetensors *f, dal_error *err)
{
    const char *key;
    json_t *entry;
    dal_status st = DAL_OK;
    f->tensors = dal_array(f->host, (int64_t)json_object_size(f->header), sizeof *f->tensors);
    if (!f->tensors)
        return dal_fail(err, DAL_E_NOMEM, f->key, "%s: no memory for its list of tensors", f->path);
    json_object_foreach(f->header, key, entry) {
        if (strcmp(key, "__metadata__") == 0)
            st = check_metadata(f, entry, err);
        else
            st = read_tensor(f, &f->tensors[f->n++], key, entry, err);
        if (st != DAL_OK)
            return st;
    }
    st = check_places(f, err);
    if (st == DAL_OK && f->n > 0)
        qsort(f->tensors, (size_t)f->n, sizeof *f->tensors, by_name);
    return st;
}

static dal_status finish(dal_safetensors *f, dal_status st, dal_safetensors **out, dal_error *err)
{
    if (st == DAL_OK)
        st = read_header(f, err);
    if (st == DAL_OK)
        st = read_tensors(f, err);
    if (st == DAL_OK)
        *out = f;
    else
        dal_safetensors_close(f);
    return st;
}

static dal_status make(const dal_host *host, const char *path, const char *key, dal_safetensors **f, dal_error *err)
{
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        return dal_fail(err, DAL_E_UNSUPPORTED, key, "%s: safetensors are read on little-endian machines only", path);
    *f = host->alloc(host, sizeof **f, 0);
    if (!*f)
        return dal_fail(err, DAL_E_NOMEM, key, "%s: no memory", path);
    **f = (dal_safetensors){.host = host, .path = path, .key = key};
    return DAL_OK;
}

dal_status dal_safetensors_open(const dal_host *host, const char *path, const char *key, dal_safetensors **out,
                                dal_error *err)
{
    dal_safetensors *f = NULL;
    const dal_status st = make(host, path, key, &f, err);
    return st == DAL_OK ? finish(f, map_file(f, err), out, err) : st;
}

dal_status dal_safetensors_view(const dal_host *host, const char *name, const char *key, const void *bytes, int64_t n,
                                dal_safetensors **out, dal_error *err)
{
    dal_safetensors *f = NULL;
    const dal_status st = make(host, name, key, &f, err);
    if (st != DAL_OK)
        return st;
    f->bytes = bytes;
    f->size = n;
    return finish(f, DAL_OK, out, err);
}

/* ---- from a stream ------------------------------------------------------------------------------ */

/* Up to n more bytes behind those there are; fewer where the stream ends. Claims of a file cost no more memory than
 * there are bytes, or this many: */
#define FIRST_BYTES ((int64_t)64 << 20)
static dal_status read_more(dal_safetensors *f, int64_t *room, const dal_reader *r, int64_t n, dal_error *err)
{
    const int64_t end = n > INT64_MAX - f->size ? INT64_MAX : f->size + n;
    while (f->size < end) {
        if (f->size == *room) {
            const int64_t most = *room < FIRST_BYTES ? FIRST_BYTES : *room > INT64_MAX / 2 ? INT64_MAX : 2 * *room;
            const int64_t more = most < end ? most : end;
            unsigned char *bytes = dal_array(f->host, more, 1);
            if (!bytes)
                return dal_fail(err, DAL_E_NOMEM, f->key, "%s: no memory for %lld bytes", f->path, (long long)more);
            if (f->size > 0)
                memcpy(bytes, f->own, (size_t)f->size);
            f->host->free(f->host, f->own);
            f->bytes = f->own = bytes;
            *room = more;
        }
        const int64_t most = *room < end ? *room : end;
        size_t got = 0;
        const dal_status st = r->read(r, f->own + f->size, (size_t)(most - f->size), &got, err);
        if (st != DAL_OK)
            return st;
        if (got == 0 || got > (size_t)(most - f->size))
            break;
        f->size += (int64_t)got;
    }
    return DAL_OK;
}

/* Where the tensors of a header end; what is wrong with it is told later. */
static int64_t data_end(const unsigned char *header, int64_t n)
{
    const char *key;
    json_t *entry, *root = json_loadb((const char *)header, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    int64_t end = 0;
    json_object_foreach(root, key, entry) {
        const json_t *last = json_array_get(json_object_get(entry, "data_offsets"), 1);
        const int64_t at = json_is_integer(last) ? (int64_t)json_integer_value(last) : 0;
        end = at > end ? at : end;
    }
    json_decref(root);
    return end;
}

static dal_status read_stream(dal_safetensors *f, const dal_reader *r, dal_error *err)
{
    int64_t room = 0;
    uint64_t length = 0;
    dal_status st = read_more(f, &room, r, 8, err);
    for (int i = 0; i < 8 && f->size == 8; i++)
        length |= (uint64_t)f->own[i] << 8 * i;
    if (st != DAL_OK || length > (uint64_t)ST_MAX_HEADER)
        return st;
    const int64_t header = (int64_t)length;
    st = read_more(f, &room, r, header, err);
    if (st == DAL_OK && f->size == 8 + header)
        st = read_more(f, &room, r, data_end(f->own + 8, header), err);
    return st;
}

dal_status dal_safetensors_read(const dal_host *host, const dal_reader *r, const char *name, const char *key,
                                dal_safetensors **out, dal_error *err)
{
    dal_safetensors *f = NULL;
    const dal_status st = make(host, name, key, &f, err);
    return st == DAL_OK ? finish(f, read_stream(f, r, err), out, err) : st;
}

void dal_safetensors_close(dal_safetensors *f)
{
    if (!f)
        return;
    const dal_host *host = f->host;
    json_decref(f->header);
    if (f->map)
        munmap(f->map, (size_t)f->size);
    host->free(host, f->own);
    host->free(host, f->tensors);
    host->free(host, f);
}

/* ---- what is in it ------------------------------------------------------------------------------ */

int64_t dal_safetensors_count(const dal_safetensors *f)
{
    return f->n;
}

const dal_tensor *dal_safetensors_tensor(const dal_safetensors *f, int64_t i)
{
    return &f->tensors[i];
}

const dal_tensor *dal_safetensors_find(const dal_safetensors *f, const char *name)
{
    const dal_tensor key = {.name = name};
    return f->n > 0 ? bsearch(&key, f->tensors, (size_t)f->n, sizeof key, by_name) : NULL;
}

const char *dal_safetensors_metadata(const dal_safetensors *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

const char *dal_tensor_describe(const dal_tensor *t, char out[160])
{
    int at = snprintf(out, 160, "%s [", t->dtype < DAL_ST_TYPES ? st_types[t->dtype].name : "?");
    for (uint32_t i = 0; i < t->ndim && i < DAL_ST_MAX_DIMS && at < 140; i++)
        at += snprintf(out + at, (size_t)(160 - at), "%s%.14g", i ? ", " : "", (double)t->shape[i]);
    snprintf(out + at, (size_t)(160 - at), "]");
    return out;
}

dal_status dal_tensor_to_f32(const dal_tensor *t, float *out, dal_error *err)
{
    const unsigned char *p = t->data;
    char name[96];
    if (t->dtype == DAL_ST_F32) {
        if (t->bytes > 0)
            memcpy(out, p, (size_t)t->bytes);
        return DAL_OK;
    }
    if (t->dtype != DAL_ST_F16 && t->dtype != DAL_ST_BF16 && t->dtype != DAL_ST_F64)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "tensor '%s' is of type %s; expected F32, F16, BF16 or F64",
                        st_shown(t->name, name), st_types[t->dtype].name);
    for (int64_t i = 0; i < t->count; i++) {
        if (t->dtype == DAL_ST_F64) {
            double x;
            memcpy(&x, p + 8 * i, sizeof x);
            out[i] = (float)x;
        } else if (t->dtype == DAL_ST_F16) {
            out[i] = half_value((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
        } else {
            const uint32_t w = (uint32_t)p[2 * i] << 16 | (uint32_t)p[2 * i + 1] << 24;
            memcpy(&out[i], &w, sizeof w);
        }
    }
    return DAL_OK;
}
