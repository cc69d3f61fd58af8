/* Writing safetensors. */
#include "safetensors.h"

#include "whole_file.h"

#include <dal/text.h>
#include <jansson.h>
#include <stdlib.h>

static json_t *metadata_of(const char *const *metadata, int64_t n)
{
    json_t *o = json_object();
    for (int64_t i = 0; o && i < n; i++)
        if (json_object_set_new(o, metadata[2 * i], json_string(metadata[2 * i + 1])) != 0) {
            json_decref(o);
            return NULL;
        }
    return o;
}

static json_t *entry_of(const dal_tensor *t, int64_t begin, int64_t end)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; shape && i < t->ndim; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", st_types[t->dtype].name, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

static int64_t bytes_of(const dal_tensor *t)
{
    int64_t n = t->dtype < DAL_ST_TYPES && t->ndim <= DAL_ST_MAX_DIMS ? st_types[t->dtype].bytes : -1;
    for (uint32_t i = 0; n >= 0 && i < t->ndim; i++)
        if (!dal_size_mul(n, t->shape[i], &n))
            n = -1;
    return n;
}

/* The header as text in memory of malloc; its length is what makes the data begin at a multiple of 8. */
static char *make_header(const char *path, const dal_tensor *tensors, int64_t n, json_t *root, dal_error *err)
{
    int64_t at = 0;
    char name[96];
    for (int64_t i = 0; i < n; i++) {
        const dal_tensor *t = &tensors[i];
        const int64_t bytes = bytes_of(t);
        if (bytes < 0 || at > INT64_MAX - bytes || dal_utf8_fault(t->name, (int64_t)strlen(t->name)) >= 0 ||
            strcmp(t->name, "__metadata__") == 0 || json_object_get(root, t->name)) {
            dal_fail(err, DAL_E_INVALID, "",
                     "%s: tensor '%s' cannot be written: its name, type or shape is none, or its name was there "
                     "before", path, st_shown(t->name, name));
            return NULL;
        }
        if (json_object_set_new(root, t->name, entry_of(t, at, at + bytes)) != 0)
            break;
        at += bytes;
    }
    char *text = (int64_t)(json_object_size(root)) >= n ? json_dumps(root, JSON_COMPACT) : NULL;
    const size_t length = text ? strlen(text) : 0, padded = (length + 7) / 8 * 8;
    char *header = text ? realloc(text, padded + 1) : NULL;
    if (!header) {
        free(text);
        dal_fail(err, DAL_E_NOMEM, "", "%s: no memory for its header", path);
        return NULL;
    }
    memset(header + length, ' ', padded - length);
    header[padded] = '\0';
    return header;
}

/* Where bytes go: a file or a stream. */
typedef struct sink {
    whole_file *file;
    const dal_writer *stream;
} sink;

static dal_status put(const sink *to, const void *data, int64_t n, dal_error *err)
{
    if (to->file || n == 0)
        return n == 0 ? DAL_OK : whole_file_append(to->file, data, n, err);
    return to->stream->write(to->stream, data, (size_t)n, err);
}

static dal_status put_all(const sink *to, const char *header, const dal_tensor *tensors, int64_t n, dal_error *err)
{
    const uint64_t bytes = strlen(header);
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bytes >> 8 * i);
    dal_status st = put(to, length, sizeof length, err);
    if (st == DAL_OK)
        st = put(to, header, (int64_t)bytes, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        st = put(to, tensors[i].data, bytes_of(&tensors[i]), err);
    return st;
}

/* The header of all, or NULL. */
static char *begin(const char *path, const dal_tensor *tensors, int64_t n, const char *const *metadata,
                   int64_t n_metadata, dal_error *err)
{
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) {
        dal_fail(err, DAL_E_UNSUPPORTED, "", "%s: safetensors are written on little-endian machines only", path);
        return NULL;
    }
    json_t *root = json_object(), *pairs = n_metadata > 0 ? metadata_of(metadata, n_metadata) : NULL;
    char *header = NULL;
    if (!root || (n_metadata > 0 && json_object_set(root, "__metadata__", pairs) != 0))
        dal_fail(err, DAL_E_INVALID, "", "%s: metadata that are no UTF-8, or no memory", path);
    else
        header = make_header(path, tensors, n, root, err);
    json_decref(pairs);
    json_decref(root);
    return header;
}

dal_status dal_safetensors_write(const char *path, const dal_tensor *tensors, int64_t n, const char *const *metadata,
                                 int64_t n_metadata, dal_error *err)
{
    dal_error own = DAL_ERROR_INIT;
    sink to = {NULL, NULL};
    char *header = begin(path, tensors, n, metadata, n_metadata, &own);
    if (!header) {
        if (err)
            *err = own;
        return own.status;
    }
    dal_status st = whole_file_open(path, "a .safetensors file", &to.file, err);
    if (st == DAL_OK)
        st = put_all(&to, header, tensors, n, err);
    free(header);
    if (st == DAL_OK)
        return whole_file_close(to.file, 1, err);
    whole_file_abandon(to.file);
    return st;
}

dal_status dal_safetensors_save(const dal_writer *w, const char *name, const dal_tensor *tensors, int64_t n,
                                const char *const *metadata, int64_t n_metadata, dal_error *err)
{
    dal_error own = DAL_ERROR_INIT;
    const sink to = {NULL, w};
    char *header = begin(name, tensors, n, metadata, n_metadata, &own);
    if (!header && err)
        *err = own;
    const dal_status st = header ? put_all(&to, header, tensors, n, err) : own.status;
    free(header);
    return st;
}
