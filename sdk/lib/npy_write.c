#include <dal/npy.h>

#include "whole_file.h"

#include <stdlib.h>

#define ALIGNMENT 64 /* where the data begins; NumPy does the same */

static const char *descr_of(uint32_t type)
{
    const int little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    switch (type) {
    case DAL_NPY_U8: return "|u1";
    case DAL_NPY_I32: return little ? "<i4" : ">i4";
    case DAL_NPY_F32: return little ? "<f4" : ">f4";
    case DAL_NPY_F64: return little ? "<f8" : ">f8";
    case DAL_NPY_I64: return little ? "<i8" : ">i8";
    default: return NULL;
    }
}

static int64_t bytes_of(uint32_t type)
{
    return type == DAL_NPY_U8 ? 1 : type == DAL_NPY_F32 || type == DAL_NPY_I32 ? 4 : 8;
}

/* Version 1.0, padded so that the data is aligned. Returns its length. */
static size_t make_header(char *out, size_t size, const char *descr, uint32_t ndim, const int64_t *shape)
{
    size_t at = 10 + (size_t)snprintf(out + 10, size - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                                      descr);
    for (uint32_t i = 0; i < ndim; i++)
        at += (size_t)snprintf(out + at, size - at, i ? " %lld," : "%lld,", (long long)shape[i]);
    if (ndim > 1)
        at--; /* only (3,) keeps its comma */
    at += (size_t)snprintf(out + at, size - at, "), }");
    while ((at + 1) % ALIGNMENT != 0)
        out[at++] = ' ';
    out[at++] = '\n';
    memcpy(out, "\x93NUMPY\x01", 8);
    out[8] = (char)((at - 10) & 0xff);
    out[9] = (char)((at - 10) >> 8);
    return at;
}

struct dal_npy_writer {
    whole_file *file;
    int64_t left; /* bytes still to come */
};

dal_status dal_npy_writer_open(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                               dal_npy_writer **out, dal_error *err)
{
    char head[256];
    const char *descr = descr_of(type);
    int64_t bytes = bytes_of(type);
    if (!descr || ndim < 1 || ndim > DAL_NPY_MAX_DIMS)
        return dal_fail(err, DAL_E_INVALID, "", "%s: type %u with %u dimensions cannot be written, expected "
                        "f32, f64, i32, i64 or u8 with 1 to %d", path, type, ndim, DAL_NPY_MAX_DIMS);
    for (uint32_t i = 0; i < ndim; i++)
        if (!dal_size_mul(bytes, shape[i], &bytes))
            return dal_fail(err, DAL_E_OVERFLOW, "", "%s: its shape does not fit 64 bits", path);
    dal_npy_writer *w = malloc(sizeof *w);
    if (!w)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to write %s", path);
    w->left = bytes;
    dal_status st = whole_file_open(path, "a .npy file", &w->file, err);
    if (st != DAL_OK) {
        free(w);
        return st;
    }
    st = whole_file_append(w->file, head, (int64_t)make_header(head, sizeof head, descr, ndim, shape), err);
    if (st == DAL_OK)
        *out = w;
    else
        dal_npy_writer_abandon(w);
    return st;
}

dal_status dal_npy_writer_append(dal_npy_writer *w, const void *data, int64_t bytes, dal_error *err)
{
    if (bytes < 0 || bytes > w->left)
        return dal_fail(err, DAL_E_INVALID, "", "%s: %lld bytes are more than its shape has left, %lld",
                        whole_file_path(w->file), (long long)bytes, (long long)w->left);
    w->left -= bytes;
    return whole_file_append(w->file, data, bytes, err);
}

dal_status dal_npy_writer_close(dal_npy_writer *w, int durable, dal_error *err)
{
    if (w->left > 0) {
        const dal_status st = dal_fail(err, DAL_E_INVALID, "", "%s: %lld bytes of its shape were not written",
                                       whole_file_path(w->file), (long long)w->left);
        dal_npy_writer_abandon(w);
        return st;
    }
    const dal_status st = whole_file_close(w->file, durable, err);
    free(w);
    return st;
}

void dal_npy_writer_abandon(dal_npy_writer *w)
{
    if (!w)
        return;
    whole_file_abandon(w->file);
    free(w);
}

dal_status dal_npy_write(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                         const void *data, dal_error *err)
{
    dal_npy_writer *w;
    dal_status st = dal_npy_writer_open(path, type, ndim, shape, &w, err);
    if (st != DAL_OK)
        return st;
    st = dal_npy_writer_append(w, data, w->left, err);
    if (st == DAL_OK)
        return dal_npy_writer_close(w, 1, err);
    dal_npy_writer_abandon(w);
    return st;
}
