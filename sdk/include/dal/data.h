/* dal/data.h: what one sample is, what a block of samples looks like, and a list of samples to read.
 */
#ifndef DAL_DATA_H
#define DAL_DATA_H

#include <dal/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Modalities. */
#define DAL_VECTOR 1u /* shape [d]; f32, or u8 counts */
#define DAL_IMAGE 2u  /* shape [channels, height, width], planar; u8, or f32 after a value transform */
#define DAL_TEXT 3u   /* UTF-8, variable length */
#define DAL_SPARSE 4u /* rows of a CSR matrix, shape [d] */

#define DAL_F32 1u
#define DAL_U8 2u

#define DAL_MAX_DIMS 4

/* What every sample of a dataset is. `n_values` of a dense sample is the product of its shape. */
typedef struct dal_sample_spec {
    uint32_t struct_size;
    uint32_t modality, dtype, ndim;
    int64_t shape[DAL_MAX_DIMS];
    int64_t n_classes; /* C; 0 when nothing is labelled */
} dal_sample_spec;

static inline int64_t dal_sample_values(const dal_sample_spec *s)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < s->ndim && i < DAL_MAX_DIMS; i++)
        n *= s->shape[i];
    return n;
}

/* Bytes of one dense sample, 0 for text and sparse. */
static inline int64_t dal_sample_bytes(const dal_sample_spec *s)
{
    if (s->modality == DAL_TEXT || s->modality == DAL_SPARSE)
        return 0;
    return dal_sample_values(s) * (s->dtype == DAL_F32 ? 4 : 1);
}

/* n samples. Who asks owns all memory: dense, `data` has room for n * dal_sample_bytes; text and
 * sparse, `offsets` [n+1] was filled from `sizes` first and `data` (UTF-8 bytes, or f32 values) and
 * `indices` (sparse: the column of each value, ascending) have offsets[n] elements. */
typedef struct dal_batch {
    uint32_t struct_size;
    uint32_t reserved;
    const dal_sample_spec *spec;
    int64_t n;
    void *data;
    int64_t *offsets;
    int32_t *indices;
} dal_batch;

/* An ordered list of samples somebody else keeps: a training set, a pool, a test split. Borrowed for
 * the call it is passed to. Row r has pool index ids[r], and a class and a weight where known. */
typedef struct dal_samples {
    uint32_t struct_size;
    uint32_t reserved;
    void *impl;
    dal_sample_spec spec;
    int64_t n;
    const int64_t *ids;     /* [n] index in the pool (or in the split it comes from) */
    const int32_t *classes; /* [n] 0..C-1 or DAL_LABEL_*; NULL: none known */
    const float *weights;   /* [n]; NULL: all 1 */
    /* [any] Elements of each of the n rows (text: bytes, sparse: values). Dense samples: never needed. */
    dal_status (*sizes)(const struct dal_samples *s, const int64_t *rows, int64_t n, int64_t *out,
                        dal_error *err);
    /* [any] Fill out (out->n = n, buffers by the caller) with these rows of this list. */
    dal_status (*read)(const struct dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out,
                       dal_error *err);
} dal_samples;

#ifdef __cplusplus
}
#endif
#endif
