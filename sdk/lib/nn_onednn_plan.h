/* nn_onednn_plan.h: what nn_onednn.c makes and nn_onednn_run.c runs. */
#ifndef DAL_NN_ONEDNN_PLAN_H
#define DAL_NN_ONEDNN_PLAN_H

#include <dnnl.h>
#include <pthread.h>

#include "nn_onednn.h"

/* oneDNN asks OpenMP how many threads there are, when a primitive is made and when it runs. The setting is the calling
 * thread's own: no team of threads is ever made. */
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int n);

static inline int narrow(void)
{
    const int width = omp_get_max_threads();
    if (width != 1)
        omp_set_num_threads(1);
    return width;
}

static inline void widen(int width)
{
    if (width != 1)
        omp_set_num_threads(width);
}

/* ---- a primitive and its orders ---------------------------------------------------------------- */

enum { FORWARD, BACK_DATA, BACK_WEIGHTS, WAYS };

/* A convolution in one of its ways. x, w, y: input, weights and output or their gradients, as the primitive has
 * them. */
typedef struct way {
    dnnl_primitive_t run, move_x, move_y; /* move: between the network's order and this; NULL: the same */
    dnnl_memory_desc_t x, w, y, scratchpad;
    int64_t scratch_x, scratch_y, scratch_w, scratch; /* offsets into the scratch of the call, floats; its end */
} way;

/* c = or += a b + bias. */
typedef struct matmul {
    dnnl_primitive_t run;
    dnnl_memory_desc_t a, b, c, bias, scratchpad;
} matmul;

/* A bf16 convolution in one of its ways as a product, see nn_onednn_patches.c. */
typedef struct product {
    matmul by; /* run is NULL: way does it */
    int64_t scratch_patches, scratch_sums, scratch; /* offsets into the scratch of the call, floats; its end */
} product;

typedef struct conv_plan {
    int64_t n; /* rows of a call: the shard's, or a few of a tile's */
    int biased, fused; /* forward: the primitive adds nn_conv_bias; and nothing is left to be done behind it */
    way way[WAYS];
    product product[WAYS];
    dnnl_memory_desc_t x, y; /* as the network has them */
    dnnl_status_t made;
} conv_plan;

struct nn_plans {
    int64_t n, scratch;
    conv_plan *conv; /* [n values] */
};

/* Of a convolution, for any number of rows. */
typedef struct conv_orders {
    dnnl_memory_desc_t plain, w[WAYS], bias;
    dnnl_primitive_t pack[2], unpack;
    int64_t packed; /* floats */
    int sum_packed; /* shards add their gradients in oneDNN's order */
} conv_orders;

struct nn_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream; /* one for all: a stream of the CPU keeps nothing between calls */
    dnnl_primitive_attr_t attr, attr_relu, attr_relu6; /* with nothing behind, or one of these */
    conv_orders *conv; /* [n values] */
    pthread_mutex_t lock;
    nn_plans *tile, *ready_tile; /* of passes; of those by ready weights */
};


static inline dal_status status_of(dnnl_status_t st)
{
    return st == dnnl_success ? DAL_OK : st == dnnl_out_of_memory ? DAL_E_NOMEM : DAL_E_FAILED;
}

/* The orders of a product in one of the ways of a layer of `in` to `out` numbers, for so many rows: x times weights; dy
 * times weights; dy times x. y: of the forward way's result. */
dnnl_status_t nn_matmul_describe(int w, int64_t rows, int64_t in, int64_t out, dnnl_data_type_t y, matmul *m);
/* biased: d.bias is there. Of d.a, d.b, d.c and the attributes; run and scratchpad are made. */
dnnl_status_t nn_matmul_make(dnnl_engine_t engine, dnnl_primitive_attr_t attr, int biased, matmul *d);
/* On the calling thread. bias: NULL: none. */
dnnl_status_t nn_matmul(const struct nn_onednn *o, const matmul *m, const float *a, const float *b, const float *bias,
                        float *c, float *scratch);
/* p: of these orders. */
dnnl_status_t nn_reorder(const struct nn_onednn *o, dnnl_primitive_t p, const dnnl_memory_desc_t *from, const float *x,
                         const dnnl_memory_desc_t *to, float *y);
/* Engine, stream and plain attributes; closing takes what is half open. */
dnnl_status_t nn_engine_open(struct nn_onednn *o);
void nn_engine_close(struct nn_onednn *o);
/* Tells the log. */
dal_status nn_onednn_failed(const nn_job *j, int32_t v, const char *what, dnnl_status_t st);

/* Of the primitive of way w. */
dnnl_primitive_attr_t nn_attr_of(const dal_nn *nn, int32_t v, int w, const conv_plan *p);

int nn_patches_fit(const dal_nn *nn, int32_t v, int way);
dnnl_status_t nn_patches_make(const dal_nn *nn, int32_t v, int way, conv_plan *p);
dal_status nn_patches_forward(const nn_job *j, int32_t v);
/* Behind the way back of a ReLU. */
dal_status nn_patches_back_data(const nn_job *j, int32_t v);
dal_status nn_patches_back_weights(const nn_job *j, int32_t v);

static inline int64_t floats_of(const dnnl_memory_desc_t *d)
{
    return ((int64_t)dnnl_memory_desc_get_size(d) + 63) / 64 * 16; /* whole cache lines */
}

#endif
