/* dal/npy.h: (libdal) NumPy's .npy files: read through a memory map, written whole or not at all.
 *
 * Read: versions 1 to 3; float16/32/64, int8..64, uint8..64 and bool; either byte order; C and Fortran
 * order; 1 to 4 dimensions. A file is hostile input: its header is parsed with bounds, its size is checked
 * against its shape, and what does not fit is one error that names the file, what was found and what was
 * expected. The file must not be cut short by somebody else while it is open.
 *
 * Row r is everything at index r of axis 0; its `width` values are the other axes in C order, whatever
 * the order in the file.
 */
#ifndef DAL_NPY_H
#define DAL_NPY_H

#include <dal/base.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_NPY_MAX_DIMS 4

/* Element types. */
#define DAL_NPY_F16 1u
#define DAL_NPY_F32 2u
#define DAL_NPY_F64 3u
#define DAL_NPY_I8 4u
#define DAL_NPY_I16 5u
#define DAL_NPY_I32 6u
#define DAL_NPY_I64 7u
#define DAL_NPY_U8 8u
#define DAL_NPY_U16 9u
#define DAL_NPY_U32 10u
#define DAL_NPY_U64 11u
#define DAL_NPY_BOOL 12u

/* An open file. Reading functions are [any]: several threads may read one. */
typedef struct dal_npy dal_npy;

DAL_PUBLIC dal_status dal_npy_open(const char *path, dal_npy **out, dal_error *err);
/* The same of a file that is in memory already, bytes[n], which must stay there until close; `name` is what messages
 * call it. */
DAL_PUBLIC dal_status dal_npy_view(const char *name, const void *bytes, int64_t n, dal_npy **out, dal_error *err);
DAL_PUBLIC void dal_npy_close(dal_npy *npy); /* accepts NULL */

DAL_PUBLIC uint32_t dal_npy_type(const dal_npy *npy);                 /* DAL_NPY_* */
DAL_PUBLIC uint32_t dal_npy_ndim(const dal_npy *npy);                 /* 1..4 */
DAL_PUBLIC int64_t dal_npy_size(const dal_npy *npy, uint32_t axis);   /* 1 beyond the last axis */
DAL_PUBLIC int64_t dal_npy_width(const dal_npy *npy);                 /* values of one row */
/* "float32 [60000, 784]", for messages; until close. */
DAL_PUBLIC const char *dal_npy_describe(const dal_npy *npy);

/* The elements themselves where they lie as this machine would store them in C order, aligned; else
 * NULL. Until close. */
DAL_PUBLIC const void *dal_npy_data(const dal_npy *npy);

/* Rows first..first+n-1 into out [n, width]. Values are rounded to float; beyond its range they become
 * infinite. DAL_E_INVALID when the rows are not there. */
DAL_PUBLIC dal_status dal_npy_to_f32(const dal_npy *npy, int64_t first, int64_t n, float *out,
                                     dal_error *err);
/* The same of any rows [n], in that order. */
DAL_PUBLIC dal_status dal_npy_take_f32(const dal_npy *npy, const int64_t *rows, int64_t n, float *out,
                                       dal_error *err);
/* Rows first..first+n-1 into out [n, width], exactly: a number that is not whole or does not fit is an
 * error that names its row. */
DAL_PUBLIC dal_status dal_npy_to_i64(const dal_npy *npy, int64_t first, int64_t n, int64_t *out,
                                     dal_error *err);

/* The whole file as a matrix [size(0), width]: the map itself where it already is one (*owned is NULL;
 * valid until close), else converted on all threads into *owned, which the caller gives back with
 * host->free. [main] */
DAL_PUBLIC dal_status dal_npy_matrix(const dal_npy *npy, const dal_host *host, dal_matrix *out,
                                     float **owned, dal_error *err);

/* Write data (C order; type F32, F64, I32, I64 or U8; 1 to 4 dimensions) to path: first under another name in the
 * same directory, then onto the disk, then renamed. On failure whatever was at path is untouched. */
DAL_PUBLIC dal_status dal_npy_write(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                                    const void *data, dal_error *err);

/* The same piece by piece: open, append all bytes of the shape, close. close renames (durable: when it is on the disk)
 * and ends w whatever it returns; abandon ends it without a trace, and accepts NULL. */
typedef struct dal_npy_writer dal_npy_writer;
DAL_PUBLIC dal_status dal_npy_writer_open(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                                          dal_npy_writer **out, dal_error *err);
DAL_PUBLIC dal_status dal_npy_writer_append(dal_npy_writer *w, const void *data, int64_t bytes, dal_error *err);
DAL_PUBLIC dal_status dal_npy_writer_close(dal_npy_writer *w, int durable, dal_error *err);
DAL_PUBLIC void dal_npy_writer_abandon(dal_npy_writer *w);

#ifdef __cplusplus
}
#endif
#endif
