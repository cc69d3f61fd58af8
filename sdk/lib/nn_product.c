/* Which kernel, in which order. A stretch of panels of b stays in the nearest cache while all rows pass by. */
#include "nn_product.h"

#include <math.h>

/* One float after the other: fmaf rounds as the vectors' instruction does. */
void nn_product_plain(const nn_product_walk *w, int64_t rows, int64_t panels, const float *a, const float *b, float *c)
{
    for (int64_t p = 0; p < panels; p++)
        for (int64_t r = 0; r < rows; r++) {
            float *out = c + p * w->c_panel + r * NN_PANEL, sum[NN_PANEL];
            const float *row = b + p * w->b_panel;
            for (int l = 0; l < NN_PANEL; l++)
                sum[l] = w->add ? out[l] : 0;
            for (int64_t g = 0; g < w->groups; g++)
                for (int64_t i = 0; i < w->inner; i++, row += NN_PANEL)
                    for (int l = 0; l < NN_PANEL; l++)
                        sum[l] = fmaf(a[g * w->group + i * w->step + r * w->row], row[l], sum[l]);
            for (int l = 0; l < NN_PANEL; l++)
                out[l] = sum[l];
        }
}

static nn_product_kernel *best_kernel(void)
{
#ifdef NN_PRODUCT_X86
    if (__builtin_cpu_supports("avx512f"))
        return nn_product_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return nn_product_avx2;
#endif
    return nn_product_plain;
}

int nn_product_is_fast(void)
{
#if defined(__x86_64__) && !defined(__FMA__)
    return best_kernel() != nn_product_plain;
#else
    return 1;
#endif
}

#define STRETCH 2 /* panels */

static void product(const nn_product_walk *w, int64_t rows, int64_t cols, const float *a, const float *b, float *c)
{
    nn_product_kernel *kernel = best_kernel();
    const int64_t panels = cols / NN_PANEL;
    for (int64_t p = 0; p < panels; p += STRETCH)
        kernel(w, rows, panels - p < STRETCH ? panels - p : STRETCH, a, b + p * w->b_panel, c + p * w->c_panel);
}

void nn_product_nn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c)
{
    const nn_product_walk w = {k / NN_PANEL, NN_PANEL, rows * NN_PANEL, 1, NN_PANEL, k * NN_PANEL, rows * NN_PANEL, add};
    product(&w, rows, cols, a, b, c);
}

void nn_product_tn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c)
{
    const nn_product_walk w = {1, k, 0, NN_PANEL, 1, k * NN_PANEL, rows * NN_PANEL, add};
    for (int64_t r = 0; r < rows; r += NN_PANEL)
        product(&w, NN_PANEL, cols, a + r * k, b, c + r * NN_PANEL);
}
