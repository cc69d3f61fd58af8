/* nn_taps.h: convolutions over maps of few places, while training and in passes by ready weights. */
#ifndef DAL_NN_TAPS_H
#define DAL_NN_TAPS_H

#include "nn_private.h"

int nn_taps_fits(const dal_nn *nn, int32_t v);
/* Floats of packed weights, and of scratch for a slice. */
int64_t nn_taps_weights(const dal_nn *nn, int32_t v);
int64_t nn_taps_scratch(const dal_nn *nn, int32_t v);
void nn_taps_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
dal_status nn_taps_forward(const nn_job *j, int32_t v);
/* Behind the way back of a ReLU. */
dal_status nn_taps_back_data(const nn_job *j, int32_t v);
/* The gradient of a slice of the weights, some maps out and their bias, over the whole batch (the job's samples), to turns->sum:
 * nothing is left to add up. Slices do not meet. */
int64_t nn_taps_slices(const dal_nn *nn, int32_t v);
void nn_taps_slice(const nn_job *j, int32_t v, int64_t slice);

#endif
