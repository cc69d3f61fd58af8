/* One layer of a fully connected network, over columns; the loss. */
#include "nn_chain.h"

#include <dal/linalg.h>
#include <math.h>

#include "clones.h"

DAL_CLONES static void add_bias(const float *bias, int64_t width, int64_t ld, int64_t n, int relu, float *a)
{
    for (int64_t j = 0; j < width; j++) {
        float *row = a + j * ld;
        const float b = bias[j];
        if (relu)
            for (int64_t i = 0; i < n; i++) {
                const float z = row[i] + b;
                row[i] = z < 0 ? 0 : z; /* a NaN stays one, so that divergence is seen */
            }
        else
            for (int64_t i = 0; i < n; i++)
                row[i] += b;
    }
}

dal_status nn_chain_forward(const nn_chain_layer *layer, const float *weights, const float *x, int rows, int64_t ld, int64_t n,
                            int relu, float *a)
{
    const float *w = weights + layer->weight;
    const dal_status st =
        rows ? dal_gemm_nt(layer->out, n, layer->in, 1, w, layer->in, x, layer->in, 0, a, ld)
             : dal_gemm_nn(layer->out, n, layer->in, 1, w, layer->in, x, ld, 0, a, ld);
    if (st == DAL_OK)
        add_bias(weights + layer->bias, layer->out, ld, n, relu, a);
    return st;
}

dal_status nn_chain_backward(const nn_chain_layer *layer, const float *weights, const float *d, int64_t ld, int64_t n,
                             float beta, float *below)
{
    return dal_gemm_tn(layer->in, n, layer->out, 1, weights + layer->weight, layer->in, d, ld, beta, below,
                       ld);
}

DAL_CLONES void nn_chain_relu_back(const float *a, int64_t width, int64_t ld, int64_t n, float scale, float *d)
{
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = 0; i < n; i++)
            d[j * ld + i] = a[j * ld + i] > 0 ? scale * d[j * ld + i] : 0;
}

/* The sum is in double and the loss from logits: a confident, wrong answer costs what it should. */
void nn_chain_loss(const float *z, int64_t c, int64_t ld, int64_t n, const int32_t *classes, const float *scale, float *losses,
                   float *hits, float *d)
{
    for (int64_t i = 0; i < n; i++) {
        const float *z_i = z + i;
        float *d_i = d + i;
        int64_t best = 0;
        double sum = 0;
        for (int64_t k = 1; k < c; k++)
            if (z_i[k * ld] > z_i[best * ld])
                best = k;
        const float max = z_i[best * ld];
        for (int64_t k = 0; k < c; k++) {
            const float e = expf(z_i[k * ld] - max);
            d_i[k * ld] = e;
            sum += (double)e;
        }
        const int64_t y = classes[i];
        const float s = scale[i], norm = (float)(1 / sum);
        losses[i] = (float)(log(sum) - ((double)z_i[y * ld] - (double)max));
        hits[i] = best == y;
        for (int64_t k = 0; k < c; k++) {
            const float g = s * (d_i[k * ld] * norm - (k == y ? 1.0f : 0.0f));
            d_i[k * ld] = fabsf(g) < 1e-30f ? 0 : g;
        }
    }
}

void nn_chain_to_rows(const float *a, int64_t width, int64_t ld, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++)
            out[i * width + j] = a[j * ld + i];
}

void nn_chain_to_columns(const float *rows, int64_t n, int64_t width, float *a, int64_t ld)
{
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = 0; i < n; i++)
            a[j * ld + i] = rows[i * width + j];
}
