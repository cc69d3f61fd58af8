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

#ifdef __cplusplus
}
#endif
#endif
