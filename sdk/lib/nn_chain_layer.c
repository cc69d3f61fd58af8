/* One layer of a fully connected network, over columns; the loss. Products without a packed copy of weights where there
 * is a kernel for them, else OpenBLAS's, of wider panels. */
#include "nn_chain.h"

#include <dal/linalg.h>
#include <math.h>

#include "clones.h"
#include "nn_product.h"

DAL_CLONES static void add_bias(const float *bias, int64_t width, int64_t n, int relu, float *a)
{
    for (int64_t j = 0; j < width; j++) {
        float *row = a + j * n;
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

int64_t nn_chain_wide(void)
{
    return nn_product_has_kernel() ? NN_PANEL : NN_CHAIN_COLUMNS;
}

static int64_t n_panels(int64_t n, int64_t wide)
{
    return (n + wide - 1) / wide;
}

dal_status nn_chain_forward(const nn_chain_layer *layer, const float *weights, const float *x, int64_t wide, int64_t n,
                            int relu, float *a)
{
    const float *w = weights + layer->weight;
    const int64_t in = layer->in, out = layer->out;
    const nn_product_walk walk = {1, in, 0, 1, in, wide, in * wide, wide, out * wide, 0};
    dal_status st = DAL_OK;
    if (nn_product_has_kernel())
        nn_product(&walk, out, n_panels(n, wide) * wide, w, x, a);
    for (int64_t p = 0; p < n_panels(n, wide) && st == DAL_OK; p++) {
        if (!nn_product_has_kernel())
            st = dal_gemm_nn(out, wide, in, 1, w, in, x + p * in * wide, wide, 0, a + p * out * wide, wide);
        add_bias(weights + layer->bias, out, wide, relu, a + p * out * wide);
    }
    return st;
}

dal_status nn_chain_backward(const nn_chain_layer *layer, const float *weights, const float *d, int64_t wide,
                             int64_t n, int add, float *below)
{
    const float *w = weights + layer->weight;
    const int64_t in = layer->in, out = layer->out;
    const nn_product_walk walk = {1, out, 0, in, 1, wide, out * wide, wide, in * wide, add};
    dal_status st = DAL_OK;
    if (nn_product_has_kernel())
        nn_product(&walk, in, n_panels(n, wide) * wide, w, d, below);
    for (int64_t p = 0; !nn_product_has_kernel() && p < n_panels(n, wide) && st == DAL_OK; p++)
        st = dal_gemm_tn(in, wide, out, 1, w, in, d + p * out * wide, wide, add ? 1 : 0, below + p * in * wide, wide);
    return st;
}

dal_status nn_chain_product(int64_t rows, int64_t cols, int64_t n, const float *d, int64_t panel, int64_t wide,
                            const float *x, int64_t ld, float *g)
{
    const int64_t whole = n / wide, rest = n % wide;
    const nn_product_walk most = {whole, wide, panel, 1, wide, ld, NN_PANEL, ld, NN_PANEL, 0};
    const nn_product_walk last = {1, rest, 0, 1, wide, ld, NN_PANEL, ld, NN_PANEL, whole > 0};
    dal_status st = DAL_OK;
    if (nn_product_has_kernel() && whole > 0)
        nn_product(&most, rows, cols, d, x, g);
    if (nn_product_has_kernel() && rest > 0)
        nn_product(&last, rows, cols, d + whole * panel, x + whole * wide * ld, g);
    for (int64_t p = 0; !nn_product_has_kernel() && p < n_panels(n, wide) && st == DAL_OK; p++)
        st = dal_gemm_nn(rows, cols, p < whole ? wide : rest, 1, d + p * panel, wide, x + p * wide * ld, ld,
                         p > 0 ? 1 : 0, g, ld);
    return st;
}

DAL_CLONES void nn_chain_relu_back(const float *a, int64_t n, float scale, float *d)
{
    for (int64_t i = 0; i < n; i++)
        d[i] = a[i] > 0 ? scale * d[i] : 0;
}

/* The sum is in double and the loss from logits: a confident, wrong answer costs what it should. */
void nn_chain_loss(const float *z, int64_t c, int64_t ld, int64_t n, const int32_t *classes, const float *scale,
                   float *losses, float *hits, float *d)
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

DAL_CLONES static void rows_of_panel(const float *restrict a, int64_t width, int64_t wide, int64_t n,
                                     float *restrict rows)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++)
            rows[i * width + j] = a[j * wide + i];
}

DAL_CLONES static void panel_of_rows(const float *restrict rows, int64_t width, int64_t wide, int64_t n,
                                     float *restrict a)
{
    for (int64_t j = 0; j < width; j++) {
        for (int64_t i = 0; i < n; i++)
            a[j * wide + i] = rows[i * width + j];
        for (int64_t i = n; i < wide; i++)
            a[j * wide + i] = 0;
    }
}

void nn_chain_to_rows(const float *a, int64_t width, int64_t wide, int64_t n, float *rows)
{
    for (int64_t i = 0; i < n; i += wide)
        rows_of_panel(a + i * width, width, wide, n - i < wide ? n - i : wide, rows + i * width);
}

void nn_chain_to_columns(const float *rows, int64_t n, int64_t width, int64_t wide, float *a)
{
    for (int64_t i = 0; i < n; i += wide)
        panel_of_rows(rows + i * width, width, wide, n - i < wide ? n - i : wide, a + i * width);
}
