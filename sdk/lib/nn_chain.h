/* nn_chain.h: training of fully connected networks.
 *
 * Activations are kept feature-major, one column a sample, in panels of `wide` columns: column i of feature j of
 * [width] is at i / wide * wide * width + j * wide + i % wide. The columns are then the lanes of every loop and of
 * every product. A batch is cut into columns for the passes (columns do not meet) and the weights into tiles for
 * gradient and update (tiles do not meet), so nothing is ever summed across threads.
 */
#ifndef DAL_NN_CHAIN_H
#define DAL_NN_CHAIN_H

#include "nn_step.h"

#define NN_CHAIN_MAX 64 /* layers */

/* One layer: z = W a + b with W [out, in] at weights + weight and b [out] at weights + bias. */
typedef struct nn_chain_layer {
    int64_t in, out, weight, bias;
    dal_nn_value value; /* that is a, behind dropout if there is any */
} nn_chain_layer;

typedef struct nn_chain nn_chain;

/* Is it a network for this? */
int nn_chain_fits(const dal_nn *nn);
/* [main] mover moves the weights; both are borrowed. NULL without memory. */
nn_chain *nn_chain_new(const dal_nn *nn, nn_mover *mover, int64_t max_batch);
void nn_chain_free(nn_chain *t);
/* [main] As dal_nn_train. */
dal_status nn_chain_train(nn_chain *t, const dal_nn_rule *rule, const dal_nn_batch *batch, dal_nn_result *result,
                          dal_error *err);
const float *nn_chain_gradient(const nn_chain *t);
int64_t nn_chain_bytes(const nn_chain *t);

/* ---- one layer over columns --------------------------------------------------------------------- */

/* Columns a task of the passes takes; columns of a panel, which divide these. */
#define NN_CHAIN_COLUMNS 32
int64_t nn_chain_wide(void);

/* Panels of n columns, the last one whole. a = W x + b, ReLU when `relu`; x [in], a [out]. */
dal_status nn_chain_forward(const nn_chain_layer *layer, const float *weights, const float *x, int64_t wide, int64_t n,
                            int relu, float *a);
/* below [in] = or += W' d; d [out]. */
dal_status nn_chain_backward(const nn_chain_layer *layer, const float *weights, const float *d, int64_t wide,
                             int64_t n, int add, float *below);
/* g [rows, cols] = d x, over n columns of d (rows of it: those from d on, its panels `panel` floats apart) and as many
 * rows of x; rows of x and g are ld floats apart. */
dal_status nn_chain_product(int64_t rows, int64_t cols, int64_t n, const float *d, int64_t panel, int64_t wide,
                            const float *x, int64_t ld, float *g);
/* Of n numbers: d[i] = a[i] > 0 ? scale * d[i] : 0: through ReLU, and dropout of that scale (0 where it dropped). */
void nn_chain_relu_back(const float *a, int64_t n, float scale, float *d);
/* Softmax cross-entropy of n columns of logits z [c, ld] against classes [n]: losses [n], d [c, ld] = scale[i] *
 * (softmax(z_i) - e_class), values below 1e-30 set to 0: they change nothing and denormal numbers are slow. hits [n]: 1
 * where the largest logit, lowest class first, is the class. */
void nn_chain_loss(const float *z, int64_t c, int64_t ld, int64_t n, const int32_t *classes, const float *scale,
                   float *losses, float *hits, float *d);
/* Panels as n rows, and back: then what is left of the last panel is 0. */
void nn_chain_to_rows(const float *a, int64_t width, int64_t wide, int64_t n, float *rows);
void nn_chain_to_columns(const float *rows, int64_t n, int64_t width, int64_t wide, float *a);

#endif
