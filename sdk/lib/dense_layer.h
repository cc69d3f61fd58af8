/* dense_layer.h: one layer over columns, shared by tiles and batches. Not public. */
#ifndef DAL_DENSE_LAYER_H
#define DAL_DENSE_LAYER_H

#include <dal/dense.h>

/* a [out, ld], columns 0..n-1 = W x + b, ReLU when `relu`. x: row-major samples [n, in] when `rows`,
 * else columns [in, ld]. */
dal_status dense_layer_forward(const dal_dense_layer *layer, const float *weights, const float *x, int rows,
                               int64_t ld, int64_t n, int relu, float *a);
/* below [in, ld] = beta * below + W' d, columns 0..n-1. */
dal_status dense_layer_backward(const dal_dense_layer *layer, const float *weights, const float *d,
                                int64_t ld, int64_t n, float beta, float *below);
/* d[i] = a[i] > 0 ? scale * d[i] : 0: through ReLU, and dropout of that scale (0 where it dropped). */
void dense_relu_backward(const float *a, int64_t width, int64_t ld, int64_t n, float scale, float *d);

#endif
