/* dal/dense.h: (libdal) samples as real vectors. */
#ifndef DAL_DENSE_H
#define DAL_DENSE_H

#include <dal/data.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [any] Values of one sample as a dense vector, or DAL_E_UNSUPPORTED for text and sparse samples and
 * DAL_E_INVALID for a shape that cannot be; `who` begins the message. */
DAL_PUBLIC dal_status dal_dense_inputs(const dal_sample_spec *spec, const char *who, int64_t *width,
                                       dal_error *err);
/* [any] Rows first..first+n-1 of x, flattened, into out [n, width]: u8 becomes v / 255, f32 stays. */
DAL_PUBLIC void dal_dense_read(const dal_batch *x, int64_t first, int64_t n, float *out);
/* [any] The place of the first of the values x [n] that is infinite or, unless `missing`, NaN; -1: none. About as fast
 * as reading them. */
DAL_PUBLIC int64_t dal_first_not_finite(const float *x, int64_t n, int missing);

/* The samples of one fit as rows of f32, in memory when they fit, else read as asked for. */
typedef struct dal_dense_rows {
    const dal_host *host;
    const dal_samples *samples;
    int64_t width;
    float *all;      /* [n, width], or NULL: too many to keep */
    int missing;     /* NaN is let through */
    int taken;       /* error belongs to whoever came first */
    dal_error error; /* of a gather that failed */
} dal_dense_rows;
/* [main] samples is borrowed until fini. Those that are not finite are refused here, or where they are first read. */
DAL_PUBLIC dal_status dal_dense_rows_init(dal_dense_rows *r, const dal_host *host, const dal_samples *samples,
                                          int64_t width, dal_error *err);
DAL_PUBLIC void dal_dense_rows_fini(dal_dense_rows *r); /* [main] accepts a zeroed one */
/* [any] Rows rows[n] into out [n, width]. */
DAL_PUBLIC dal_status dal_dense_rows_gather(dal_dense_rows *r, const int64_t *rows, int64_t n, float *out);
/* [main] All samples at once into out [n, width]; missing: NaN is a missing value (DAL_CAP_MISSING), not refused. */
DAL_PUBLIC dal_status dal_dense_rows_all(const dal_host *host, const dal_samples *samples, int64_t width, int missing,
                                         float *out, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
