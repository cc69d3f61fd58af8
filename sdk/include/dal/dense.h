/* dal/dense.h: (libdal) small fully connected classifiers: layers, loss, gradients, training steps.
 *
 * A network is a shape (dal_dense, a plain value) and one flat array of weights, so that copying,
 * saving, perturbing and averaging networks are operations on arrays. ReLU follows every layer but the
 * last, whose outputs are logits. With one layer it is multinomial logistic regression.
 *
 * Activations are kept feature-major: [width, n], one column a sample. The columns are then the lanes
 * of every loop and of every BLAS kernel, so a sample's result does not depend on its place in a tile.
 *
 * Two ways through a network:
 *   tiles    dal_dense_tile: DAL_DENSE_TILE samples at a time on the calling thread, for everything that
 *            reads a fitted model. What a row gives depends on that row alone.
 *   batches  dal_dense_trainer: one optimiser step over a mini-batch on all threads. The batch is cut into
 *            columns for the passes (columns do not meet) and the weights into tiles for gradient and
 *            update (tiles do not meet), so nothing is ever summed across threads: 1 or N, same bits.
 */
#ifndef DAL_DENSE_H
#define DAL_DENSE_H

#include <dal/data.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_DENSE_MAX_LAYERS 64
#define DAL_DENSE_TILE 16 /* samples; the widest that gives equal bits at every place in OpenBLAS's kernels */

/* One layer: z = W a + b with W [out, in] at weights + weight and b [out] at weights + bias. */
typedef struct dal_dense_layer {
    int64_t in, out, weight, bias;
} dal_dense_layer;

typedef struct dal_dense {
    uint32_t struct_size;
    int32_t n_layers;   /* 1..DAL_DENSE_MAX_LAYERS */
    int64_t n_weights;  /* of all layers together, without gaps */
    dal_dense_layer layer[DAL_DENSE_MAX_LAYERS];
} dal_dense;

/* [any] The shape with widths[0] inputs and layer l of widths[l + 1] outputs, l < n_layers. */
DAL_PUBLIC dal_status dal_dense_shape(dal_dense *net, const int64_t *widths, int64_t n_layers,
                                      dal_error *err);
/* [any] Fresh weights [n_weights]: weights and biases uniform in +-sqrt(6 / (in + out)) (Glorot and
 * Bengio 2010, with biases drawn alike as scikit-learn does). Layer l reads dal_rng_at(stream, l). */
DAL_PUBLIC void dal_dense_draw(const dal_dense *net, const dal_rng *stream, float *weights);

/* ---- samples as real vectors ------------------------------------------------------------------ */

/* [any] Values of one sample as a dense vector, or DAL_E_UNSUPPORTED for text and sparse samples and
 * DAL_E_INVALID for a shape that cannot be; `who` begins the message. */
DAL_PUBLIC dal_status dal_dense_inputs(const dal_sample_spec *spec, const char *who, int64_t *width,
                                       dal_error *err);
/* [any] Rows first..first+n-1 of x, flattened, into out [n, width]: u8 becomes v / 255, f32 stays. */
DAL_PUBLIC void dal_dense_read(const dal_batch *x, int64_t first, int64_t n, float *out);

/* ---- tiles ------------------------------------------------------------------------------------ */

/* Scratch for DAL_DENSE_TILE samples. x [TILE, in] row-major (unused rows zero); a[l] [out_l, TILE] after
 * layer l (after ReLU; logits for the last); d[l] alike: gradient of the loss by layer l's sum z. */
typedef struct dal_dense_tile {
    uint32_t struct_size;
    uint32_t reserved;
    float *x;
    float *a[DAL_DENSE_MAX_LAYERS], *d[DAL_DENSE_MAX_LAYERS];
    float *dx; /* [in, TILE] gradient by the inputs */
    float *block;
} dal_dense_tile;

/* [any] Memory comes from host->alloc; fini accepts a zeroed tile. d and dx are NULL unless `gradients`. */
DAL_PUBLIC dal_status dal_dense_tile_init(dal_dense_tile *t, const dal_host *host, const dal_dense *net,
                                          int gradients, dal_error *err);
DAL_PUBLIC void dal_dense_tile_fini(dal_dense_tile *t, const dal_host *host);

/* [any] Layers from..to-1; layer `from` reads x when from is 0, a[from - 1] otherwise. */
DAL_PUBLIC dal_status dal_dense_tile_forward(const dal_dense *net, const float *weights,
                                             dal_dense_tile *t, int32_t from, int32_t to);
/* [any] From d[n_layers - 1] (set by the caller) to all other d, and to dx when `want_dx`. */
DAL_PUBLIC dal_status dal_dense_tile_backward(const dal_dense *net, const float *weights,
                                              dal_dense_tile *t, int want_dx);
/* [any] gradient [n_weights] += what this tile's d says. */
DAL_PUBLIC dal_status dal_dense_tile_gradient(const dal_dense *net, const dal_dense_tile *t,
                                              float *gradient);
/* [any] The first n columns of a [width, ld] as rows of out [n, width], and back. */
DAL_PUBLIC void dal_dense_to_rows(const float *a, int64_t width, int64_t ld, int64_t n, float *out);
DAL_PUBLIC void dal_dense_to_columns(const float *rows, int64_t n, int64_t width, float *a, int64_t ld);

/* ---- loss ------------------------------------------------------------------------------------- */

/* [any] Softmax cross-entropy of n columns of logits z [c, ld] against classes [n]: losses [n], and the
 * gradient d [c, ld] = scale[i] * (softmax(z_i) - e_class) by z (values below 1e-30 are set to 0: they
 * change nothing and denormal numbers are slow). hits [n]: 1 where the largest logit, lowest class
 * first, is the class. */
DAL_PUBLIC void dal_dense_cross_entropy(const float *z, int64_t c, int64_t ld, int64_t n,
                                        const int32_t *classes, const float *scale, float *losses,
                                        float *hits, float *d);

/* ---- training steps --------------------------------------------------------------------------- */

#define DAL_DENSE_ADAM 0u /* Kingma and Ba 2015 */
#define DAL_DENSE_SGD 1u  /* momentum, Nesterov or not */

typedef struct dal_dense_rule {
    uint32_t struct_size;
    uint32_t optimizer; /* DAL_DENSE_* */
    double learning_rate;
    double beta1, beta2, epsilon; /* Adam */
    double momentum;              /* SGD */
    uint32_t nesterov, reserved;
    double l2;           /* adds l2 / n_labelled * W to the gradient of weights, not biases */
    double weight_decay; /* decoupled: weights lose learning_rate * weight_decay of themselves a step */
    double dropout;      /* rate on every hidden layer, inverted scaling */
} dal_dense_rule;

struct dal_dense_pass;

/* One mini-batch. Rows n_labelled..n-1 have no class: only `between` gives them a gradient. */
typedef struct dal_dense_batch {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, n_labelled;
    const int32_t *classes; /* [n_labelled] */
    const float *weights;   /* [n_labelled] factor of each loss; NULL: 1 */
    const float *rows; /* [n, in] the inputs where they lie, or NULL: ask fill */
    /* [any] Put inputs of rows first..first+count-1 into x [count, in]. */
    dal_status (*fill)(void *ctx, int64_t first, int64_t count, float *x);
    /* [main] Optional: between the forward and the backward pass. Add to the d of dal_dense_pass. */
    dal_status (*between)(void *ctx, const struct dal_dense_pass *pass);
    void *ctx;
    dal_rng dropout; /* stream of this step's masks */
} dal_dense_batch;

/* The forward pass of a batch as `between` sees it: inputs x [n, in]; a[l], d[l] [out_l, ld], columns
 * 0..n-1; losses [n_labelled]. Add gradients by a[l] (after dropout) to d[l], by the logits for the last l. */
typedef struct dal_dense_pass {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, n_labelled, ld;
    const float *x;
    const float *const *a;
    float *const *d;
    const float *losses;
} dal_dense_pass;

typedef struct dal_dense_result {
    uint32_t struct_size;
    uint32_t reserved;
    double loss;    /* sum over the labelled rows of weight * cross-entropy */
    double squares; /* sum of squares of all weights without biases, before the step */
    int64_t hits;   /* labelled rows whose largest logit is their class */
} dal_dense_result;

typedef struct dal_dense_trainer dal_dense_trainer;

/* [main] A trainer for batches of at most max_batch rows that moves `weights` (borrowed). Moments start
 * at zero. NULL with err filled when there is no memory. */
DAL_PUBLIC dal_dense_trainer *dal_dense_trainer_new(const dal_host *host, const dal_dense *net,
                                                    float *weights, const dal_dense_rule *rule,
                                                    int64_t max_batch, dal_error *err);
DAL_PUBLIC void dal_dense_trainer_free(dal_dense_trainer *t); /* [main] accepts NULL */

/* [main] One step of the mean loss (1 / n_labelled) sum weight * cross-entropy + l2 / (2 n_labelled) |W|^2.
 * A NaN or infinite loss leaves the weights unfit for use: stop then. */
DAL_PUBLIC dal_status dal_dense_train(dal_dense_trainer *t, const dal_dense_batch *batch,
                                      dal_dense_result *result, dal_error *err);
/* [main] The same passes without the update: gradient [n_weights] += the gradient of
 * sum weight * cross-entropy (a plain sum, without dropout, l2 and `between`). */
DAL_PUBLIC dal_status dal_dense_gradient(dal_dense_trainer *t, const dal_dense_batch *batch,
                                         double *gradient, dal_dense_result *result, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
