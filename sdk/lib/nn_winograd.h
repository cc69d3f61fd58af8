/* nn_winograd.h: convolutions of 3x3 by fewer products, while training and in passes by ready weights. */
#ifndef DAL_NN_WINOGRAD_H
#define DAL_NN_WINOGRAD_H

#include "nn_private.h"

/* Channels in and out from which on it is worth it: with fewer the transforms take what the products save. */
#define NN_WINOGRAD_LEAST 32

int nn_winograd_fits(const dal_nn *nn, int32_t v);
/* Floats of transformed weights, and of scratch. */
int64_t nn_winograd_weights(const dal_nn *nn, int32_t v);
int64_t nn_winograd_scratch(const dal_nn *nn, int32_t v);
void nn_winograd_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
dal_status nn_winograd_forward(const nn_job *j, int32_t v);
/* Behind the way back of a ReLU. */
dal_status nn_winograd_back_data(const nn_job *j, int32_t v);
dal_status nn_winograd_back_weights(const nn_job *j, int32_t v);

#endif
