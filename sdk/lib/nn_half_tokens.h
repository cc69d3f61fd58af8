/* nn_half_tokens.h: texts in bf16. The network that trainers, and passes by ready weights, run is a twin: what linear
 * layers over tokens multiply is bf16, and so are the values between them, attention, GELU and dropout, and their
 * gradients. They lie as in f32, [tokens, width], and are rounded once, to the nearest. All others - what is added up
 * from layer to layer, and what layer-norm reads and makes - stay f32, as do sums, weights, their gradients, and the
 * loss. */
#ifndef DAL_NN_HALF_TOKENS_H
#define DAL_NN_HALF_TOKENS_H

#include "nn_half.h"

/* [main] nn->half: a copy, with nodes of its own and nothing of oneDNN yet. */
dal_status nn_half_twin(dal_nn *nn, dal_error *err);
/* [main] nn->half, of a network of texts. */
dal_status nn_half_tokens_open(dal_nn *nn, dal_error *err);

/* Floats that n numbers of bf16 take, by whole cache lines. */
static inline int64_t nn_half_floats(int64_t n)
{
    return (n + 31) / 32 * 16;
}

static inline const nn_bf16 *nn_half_at(const float *x)
{
    return (const nn_bf16 *)(const void *)x;
}

static inline nn_bf16 *nn_half_to(float *x)
{
    return (nn_bf16 *)(void *)x;
}

/* n numbers. to may be from. */
void nn_half_narrow(const float *from, int64_t n, nn_bf16 *to);
void nn_half_widen(const nn_bf16 *from, int64_t n, float *to);
/* to [cols, ld] = the transpose of from [rows, from_ld], zeros from column `rows` to ld - 1. */
void nn_half_transpose(const nn_bf16 *from, int64_t rows, int64_t cols, int64_t from_ld, int64_t ld, nn_bf16 *to);

/* The matrix w [rows, cols], or its transpose, as the right one of a product, in blocks of 32 rows and 64 columns, one
 * below the other; in a block a pair of rows lies together, column by column. Blocks divide the matrix. */
#define NN_PACK_ROWS 32
#define NN_PACK_COLS 64
void nn_half_pack(const float *w, int64_t rows, int64_t cols, int turned, nn_bf16 *to);
/* to [rows] += the sums of the rows of x [rows, n]; 16 divides n. */
void nn_half_add_rows(const nn_bf16 *x, int64_t rows, int64_t n, float *to);

/* y = x Phi(x). slope: NULL, or where that of each number goes, which may be x. */
void nn_half_gelu(const nn_bf16 *x, int64_t n, nn_bf16 *y, nn_bf16 *slope);
/* dx = or += slope dy. from: slopes where they are `spent`, else what they come from. */
void nn_half_gelu_back(const nn_bf16 *from, int spent, const nn_bf16 *dy, int64_t n, int add, nn_bf16 *dx);
/* y = scale x where keep is not 0 (NULL: everywhere), and `and` added to it; y = mask x + and. and: NULL: nothing. And
 * the way back, dx = or += scale dy where keep is not 0. */
void nn_half_dropout(const nn_bf16 *x, const unsigned char *keep, float scale, const float *and, int64_t n, float *y);
void nn_half_masked(const nn_bf16 *x, const float *mask, const float *and, int64_t n, float *y);
void nn_half_dropout_back(const float *dy, const unsigned char *keep, float scale, int64_t n, int add, nn_bf16 *dx);

/* Layers that read bf16. */
dal_status nn_half_gelu_forward(const nn_job *j, int32_t v);
dal_status nn_half_gelu_backward(const nn_job *j, int32_t v);
/* By oneDNN. Scratch: floats, of which a product needs `pad`. */
int64_t nn_half_attention_scratch(const nn_node *k, int64_t pad);
dal_status nn_half_attention_forward(const nn_job *j, int32_t v);
dal_status nn_half_attention_backward(const nn_job *j, int32_t v);

#endif
