/* nn_half.h: bf16. The network that trainers, and passes by ready weights, run is a twin whose maps are bf16 and lie as
 * oneDNN's bf16 convolutions want them, [height, width, channels]; what has fewer than 8 channels together, and
 * vectors, stays planar f32. Layers read bf16, compute in f32 and round once, to the nearest, ties to even. Weights,
 * their gradients, statistics and the loss are f32; a convolution's weights are rounded for each step. */
#ifndef DAL_NN_HALF_H
#define DAL_NN_HALF_H

#include "nn_private.h"

typedef uint16_t nn_bf16;

/* Channels of a bf16 map are a multiple of it. */
#define NN_HALF_LANES 8

static inline float nn_wide(nn_bf16 x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline nn_bf16 nn_narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (nn_bf16)(x != x ? 0x7fc0 : rounded);
}

/* [main] nn->half, of a network that has its back end. */
dal_status nn_half_open(dal_nn *nn, int convolves, int has_tokens, dal_error *err);
void nn_half_close(dal_nn *nn); /* accepts a network without */
/* Its name and version, and who multiplies. */
const char *nn_half_backend(void);
/* Does the layer work on bf16? */
int nn_half_keeps(const nn_node *k);

/* Rows of a bf16 value, [n, size], as planes, and back. */
void nn_half_to_planes(const nn_node *k, int64_t n, const float *from, float *to);
void nn_half_from_planes(const nn_node *k, int64_t n, const float *from, float *to);

/* Of n values: to += from; ReLU, and its way back. */
void nn_half_sum(const float *from, float *to, int64_t n);
/* to = or += from, of f32. */
void nn_half_round(const float *from, float *to, int64_t n, int add);
void nn_half_relu(float *x, int64_t n);
void nn_half_relu_back(const float *y, float *d, int64_t n);

/* Layers that read bf16. Pools may make planes. */
dal_status nn_half_relu_forward(const nn_job *j, int32_t v);
dal_status nn_half_relu_backward(const nn_job *j, int32_t v);
dal_status nn_half_relu6_forward(const nn_job *j, int32_t v);
dal_status nn_half_relu6_backward(const nn_job *j, int32_t v);
dal_status nn_half_add_forward(const nn_job *j, int32_t v);
dal_status nn_half_add_backward(const nn_job *j, int32_t v);
dal_status nn_half_max_forward(const nn_job *j, int32_t v);
dal_status nn_half_max_backward(const nn_job *j, int32_t v);
dal_status nn_half_avg_forward(const nn_job *j, int32_t v);
dal_status nn_half_avg_backward(const nn_job *j, int32_t v);
dal_status nn_half_norm_forward(const nn_job *j, int32_t v);
dal_status nn_half_norm_backward(const nn_job *j, int32_t v);
void nn_half_norm_sums(const nn_job *j, int32_t v, double *sums);
void nn_half_norm_back_sums(const nn_job *j, int32_t v, double *sums);

#endif
