/* nn_onednn.h: convolutions by oneDNN, for networks whose back end it is. A network keeps which orders of its weights
 * oneDNN wants; a set of plans keeps the primitives of all its convolutions for a number of rows. Each call runs on the
 * calling thread alone. Without oneDNN in the build nothing of this is ever called but nn_onednn_version. */
#ifndef DAL_NN_ONEDNN_H
#define DAL_NN_ONEDNN_H

#include "nn_private.h"

typedef struct nn_plans nn_plans;
typedef struct nn_token_products nn_token_products;

/* NULL: not in this build. */
const char *nn_onednn_version(void);
/* What multiplies bf16; NULL: nothing here. */
const char *nn_onednn_bf16(void);
/* Is that faster than f32? AMX is. The AVX512-BF16 of AMD's processors is over tokens; over maps f32, with its fewer
 * products, is as fast. That of Intel's processors without AMX is slower. */
int nn_onednn_gains_by_bf16(int tokens);
/* [main] Of a network whose layers are all there: chooses where channels lie together, and the orders of weights. */
dal_status nn_onednn_open(dal_nn *nn, dal_error *err);
void nn_onednn_close(dal_nn *nn); /* accepts a network without */

/* [any] For calls of n rows, or for passes, a few rows at a time: by ready weights, forward alone, or by the weights as
 * they are. */
#define NN_READY_PASSES (-1)
#define NN_PASSES 0
nn_plans *nn_plans_new(const dal_nn *nn, int64_t n, dal_error *err);
void nn_plans_free(const dal_nn *nn, nn_plans *p); /* accepts NULL */
int64_t nn_plans_rows(const nn_plans *p);
int64_t nn_plans_scratch(const nn_plans *p); /* floats a thread needs */
/* [any] The network's own for passes, by ready weights or not, made when first asked for. */
const nn_plans *nn_tile_plans(const dal_nn *nn, int ready, dal_error *err);

/* [any] Floats of value v's weights in oneDNN's order; 0: it does not multiply them. */
int64_t nn_onednn_packed_size(const dal_nn *nn, int32_t v);
/* weights: of the layer. */
dal_status nn_onednn_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
/* [any] Gradients of weights and bias of v, [n_weights] each, from turns->packed to turns->sum. Nothing where they were
 * never packed. */
dal_status nn_unpack(const dal_nn *nn, int32_t v, const nn_turns *turns);

/* Linear layers over tokens, and the products of attention, in bf16: of a network whose layers are all there, and know
 * what is bf16 (nn_half_tokens.h). [main] */
dal_status nn_token_products_open(dal_nn *nn, dal_error *err);
void nn_token_products_close(dal_nn *nn); /* accepts a network without */
/* Floats of the weights of value v in oneDNN's order; 0: it is no such layer, or the network has no such products. */
int64_t nn_token_packed_size(const dal_nn *nn, int32_t v);
dal_status nn_token_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
/* Does the network multiply layer v so? A job has its weights packed then. */
static inline int nn_is_token_product(const dal_nn *nn, int32_t v)
{
    return nn_token_packed_size(nn, v) > 0;
}
dal_status nn_token_forward(const nn_job *j, int32_t v);
/* All but the gradient of weights and bias: that is made in slices over the whole batch (the job's parts), to
 * turns->sum: nothing is left to add up. 0 slices: it is no such layer. */
dal_status nn_token_backward(const nn_job *j, int32_t v);
int64_t nn_token_slices(const dal_nn *nn, int32_t v);
dal_status nn_token_slice(const nn_job *j, int32_t v, int64_t slice);

dal_status nn_onednn_forward(const nn_job *j, int32_t v);
dal_status nn_onednn_backward(const nn_job *j, int32_t v);

#endif
