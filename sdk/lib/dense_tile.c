/* A tile of samples through a network, on the calling thread. */
#include <dal/dense.h>

#include <dal/linalg.h>

#include "dense_layer.h"

#define TILE DAL_DENSE_TILE

/* Lines of 64 bytes: every array of a tile starts on one. */
static int64_t padded(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

dal_status dal_dense_tile_init(dal_dense_tile *t, const dal_host *host, const dal_dense *net, int gradients,
                               dal_error *err)
{
    const int64_t in = net->layer[0].in;
    int64_t outs = 0;
    *t = (dal_dense_tile){.struct_size = sizeof *t};
    for (int32_t l = 0; l < net->n_layers; l++)
        outs += net->layer[l].out;
    /* n_weights < 2^57 bounds every sum here */
    const int64_t count = (gradients ? 2 : 1) * (in + outs) * TILE;
    t->block = dal_array(host, padded(count), sizeof(float));
    if (!t->block)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld bytes of activations",
                        (long long)count * (long long)sizeof(float));
    float *next = t->block;
    t->x = next;
    next += in * TILE;
    for (int32_t l = 0; l < net->n_layers; l++, next += net->layer[l - 1].out * TILE)
        t->a[l] = next;
    if (gradients) {
        t->dx = next;
        next += in * TILE;
        for (int32_t l = 0; l < net->n_layers; l++, next += net->layer[l - 1].out * TILE)
            t->d[l] = next;
    }
    return DAL_OK;
}

void dal_dense_tile_fini(dal_dense_tile *t, const dal_host *host)
{
    host->free(host, t->block);
    *t = (dal_dense_tile){.struct_size = sizeof *t};
}

dal_status dal_dense_tile_forward(const dal_dense *net, const float *weights, dal_dense_tile *t,
                                  int32_t from, int32_t to)
{
    dal_status st = DAL_OK;
    for (int32_t l = from; l < to && st == DAL_OK; l++)
        st = dense_layer_forward(&net->layer[l], weights, l ? t->a[l - 1] : t->x, l == 0, TILE, TILE,
                                 l + 1 < net->n_layers, t->a[l]);
    return st;
}

dal_status dal_dense_tile_backward(const dal_dense *net, const float *weights, dal_dense_tile *t,
                                   int want_dx)
{
    dal_status st = DAL_OK;
    for (int32_t l = net->n_layers - 1; l > 0 && st == DAL_OK; l--) {
        st = dense_layer_backward(&net->layer[l], weights, t->d[l], TILE, TILE, 0, t->d[l - 1]);
        dense_relu_backward(t->a[l - 1], net->layer[l].in, TILE, TILE, 1, t->d[l - 1]);
    }
    if (want_dx && st == DAL_OK)
        st = dense_layer_backward(&net->layer[0], weights, t->d[0], TILE, TILE, 0, t->dx);
    return st;
}

dal_status dal_dense_tile_gradient(const dal_dense *net, const dal_dense_tile *t, float *gradient)
{
    dal_status st = DAL_OK;
    for (int32_t l = 0; l < net->n_layers && st == DAL_OK; l++) {
        const dal_dense_layer *layer = &net->layer[l];
        float *g = gradient + layer->weight;
        st = l ? dal_gemm_nt(layer->out, layer->in, TILE, 1, t->d[l], TILE, t->a[l - 1], TILE, 1, g,
                             layer->in)
               : dal_gemm_nn(layer->out, layer->in, TILE, 1, t->d[l], TILE, t->x, layer->in, 1, g,
                             layer->in);
        for (int64_t j = 0; j < layer->out; j++)
            for (int64_t i = 0; i < TILE; i++)
                gradient[layer->bias + j] += t->d[l][j * TILE + i];
    }
    return st;
}

void dal_dense_to_rows(const float *a, int64_t width, int64_t ld, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++)
            out[i * width + j] = a[j * ld + i];
}

void dal_dense_to_columns(const float *rows, int64_t n, int64_t width, float *a, int64_t ld)
{
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = 0; i < n; i++)
            a[j * ld + i] = rows[i * width + j];
}
