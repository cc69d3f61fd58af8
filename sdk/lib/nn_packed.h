/* nn_packed.h: weights in the orders in which layers multiply by them: made once a step, or once for many passes. */
#ifndef DAL_NN_PACKED_H
#define DAL_NN_PACKED_H

#include "nn_private.h"

/* [any] Floats of value v's weights so; 0: the layer takes them as they are. */
int64_t nn_packed_size(const dal_nn *nn, int32_t v);
/* For the way forward, or back. weights: of the layer. */
dal_status nn_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
/* Those of layer v that its job has; NULL: it takes them as they are. */
const float *nn_packed_of(const nn_job *j, int32_t v);

#endif
