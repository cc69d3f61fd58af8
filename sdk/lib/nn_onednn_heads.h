/* nn_onednn_heads.h: the products of a head of attention, of bf16 into f32, of texts of any length. */
#ifndef DAL_NN_ONEDNN_HEADS_H
#define DAL_NN_ONEDNN_HEADS_H

#include <dnnl.h>

#include "nn_half.h"

/* Of heads of width d, n one of the lengths: a [n, d] b' [n, n] of b [n, d]; a [n, n] b [n, d]; a' b of the same. */
enum { NN_BY_ROWS, NN_PLAIN, NN_TURNED, NN_HEAD_PRODUCTS };

typedef struct nn_heads nn_heads;
struct nn_onednn;

/* [main] For heads of `width` of texts of up to `longest` tokens. *out is to be closed, also after a failure. */
dnnl_status_t nn_heads_open(const struct nn_onednn *engine, const dal_host *host, int64_t width, int64_t longest,
                            nn_heads **out);
void nn_heads_close(nn_heads *h); /* accepts NULL */
int nn_heads_fit(const nn_heads *h, int64_t width, int64_t longest);
/* Floats of scratch of a product. */
int64_t nn_heads_pad(const nn_heads *h);
/* The length to which n tokens are filled up. */
int64_t nn_heads_length(int64_t n);
/* [any] n: a length. scratch: nn_heads_pad floats. */
dnnl_status_t nn_heads_multiply(nn_heads *h, int what, int64_t n, const nn_bf16 *a, const nn_bf16 *b, float *c,
                                float *scratch);
/* Of the attention layer v. */
nn_heads *nn_heads_of(const dal_nn *nn, int32_t v);

#endif
