/* nn_way.h: ways to convolve in f32 that need fewer products than oneDNN's, or read less: while training and in passes
 * by ready weights. */
#ifndef DAL_NN_WAY_H
#define DAL_NN_WAY_H

#include "nn_private.h"

typedef struct nn_way {
    int (*fits)(const dal_nn *nn, int32_t v);
    /* Floats of weights as pack makes them, and of scratch for a shard or a slice. */
    int64_t (*weights)(const dal_nn *nn, int32_t v);
    int64_t (*scratch)(const dal_nn *nn, int32_t v);
    void (*pack)(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);
    dal_status (*forward)(const nn_job *j, int32_t v);
    /* Behind the way back of a ReLU. */
    dal_status (*back_data)(const nn_job *j, int32_t v);
    dal_status (*back_weights)(const nn_job *j, int32_t v);
    /* The gradient of a slice of the weights, some maps out and their bias, over the whole batch (the job's samples),
     * to turns->sum: nothing is left to add up. Slices do not meet; where there are none, back_weights is called shard
     * by shard. */
    int64_t (*slices)(const dal_nn *nn, int32_t v);
    void (*slice)(const nn_job *j, int32_t v, int64_t slice);
} nn_way;

extern const nn_way nn_winograd_way, nn_taps_way;

/* NULL: there is none but oneDNN's. */
const nn_way *nn_way_of(const dal_nn *nn, int32_t v);
/* Adds sixteen maps' gradients of their bias, of maps c.. of dy [n, size]. */
void nn_way_bias(const nn_node *k, int64_t n, const float *dy, int64_t c, float *bias);

#endif
