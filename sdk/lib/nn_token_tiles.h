/* nn_token_tiles.h: convolutions of three to five tokens by fewer products (Winograd 1980), where processors have
 * vectors. */
#ifndef DAL_NN_TOKEN_TILES_H
#define DAL_NN_TOKEN_TILES_H

#include "nn_private.h"

/* Floats of the layer's weights made ready; 0: it is no such layer. */
int64_t nn_token_tiles_packed(const dal_nn *nn, int32_t v);
/* For the way forward, or back. weights: of the layer. */
void nn_token_tiles_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
/* Floats that a job needs while it runs. */
int64_t nn_token_tiles_scratch(int64_t in, int64_t out);
/* Without bias and ReLU. A token gives the same bits beside any others. */
void nn_token_tiles_forward(const nn_job *j, int32_t v, const float *packed);
/* dy: behind ReLU. gradient: of the weights, +=; NULL: not wanted. d of the layer's input, if that is wanted. */
void nn_token_tiles_backward(const nn_job *j, int32_t v, const float *packed, const float *dy, float *gradient);

#endif
