/* Which kernel, in which order. */
#include "nn_product.h"

#include <math.h>
#include <string.h>

#include "clones.h"

/* One float after the other: fmaf rounds as the vectors' instruction does. */
void nn_product_plain(const nn_product_walk *w, int64_t rows, int64_t panels, const float *a, const float *b, float *c)
{
    for (int64_t p = 0; p < panels; p++)
        for (int64_t r = 0; r < rows; r++) {
            float *out = c + p * w->c_panel + r * w->c_row, sum[NN_PANEL];
            const float *row = b + p * w->b_panel;
            for (int l = 0; l < NN_PANEL; l++)
                sum[l] = w->add ? out[l] : 0;
            for (int64_t g = 0; g < w->groups; g++)
                for (int64_t i = 0; i < w->inner; i++, row += w->b_step)
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

int nn_product_has_kernel(void)
{
    return best_kernel() != nn_product_plain;
}

int nn_product_is_fast(void)
{
#if defined(__x86_64__) && !defined(__FMA__)
    return nn_product_has_kernel();
#else
    return 1;
#endif
}

#define STRETCH 2 /* panels */
#define DEEP 512  /* of k at a time: a stretch of them stays in the nearest cache while all rows pass by */
#define NEAR (128 << 10) /* floats of a at a time: they stay in the next cache while all stretches pass by */

/* The n of k from `from` on; several groups are cut between groups. */
static nn_product_walk part_of(const nn_product_walk *w, int64_t from, int64_t n, const float **a)
{
    nn_product_walk part = *w;
    if (w->groups > 1) {
        *a += from / w->inner * w->group;
        part.groups = n / w->inner;
    } else {
        *a += from * w->step;
        part.inner = n;
    }
    part.add = w->add || from > 0;
    return part;
}

/* The last columns, fewer than a panel, by way of panels of b and c that are whole. */
static void product_of_edge(const nn_product_walk *w, int64_t rows, int64_t cols, const float *a, const float *b,
                            float *c)
{
    enum { K = 64, ROWS = 16 };
    float panel[K * NN_PANEL] = {0}, sums[ROWS * NN_PANEL] = {0};
    const int64_t k = w->groups * w->inner;
    const size_t width = (size_t)cols * sizeof *c;
    for (int64_t from = 0; from < k; from += K) {
        const float *at = a;
        const int64_t n = k - from < K ? k - from : K;
        nn_product_walk part = part_of(w, from, n, &at);
        part.b_step = part.c_row = NN_PANEL;
        for (int64_t i = 0; i < n; i++)
            memcpy(panel + i * NN_PANEL, b + (from + i) * w->b_step, width);
        for (int64_t r = 0; r < rows; r += ROWS) {
            const int64_t some = rows - r < ROWS ? rows - r : ROWS;
            for (int64_t i = 0; part.add && i < some; i++)
                memcpy(sums + i * NN_PANEL, c + (r + i) * w->c_row, width);
            best_kernel()(&part, some, 1, at + r * w->row, panel, sums);
            for (int64_t i = 0; i < some; i++)
                memcpy(c + (r + i) * w->c_row, sums + i * NN_PANEL, width);
        }
    }
}

static void product_of_rows(const nn_product_walk *w, int64_t rows, int64_t cols, const float *a, const float *b,
                            float *c)
{
    nn_product_kernel *kernel = best_kernel();
    const int64_t panels = cols / NN_PANEL, k = w->groups * w->inner;
    for (int64_t p = 0; p < panels; p += STRETCH)
        for (int64_t from = 0; from < k; from += DEEP) {
            const float *at = a;
            const nn_product_walk part = part_of(w, from, k - from < DEEP ? k - from : DEEP, &at);
            kernel(&part, rows, panels - p < STRETCH ? panels - p : STRETCH, at, b + p * w->b_panel + from * w->b_step,
                   c + p * w->c_panel);
        }
    if (cols % NN_PANEL)
        product_of_edge(w, rows, cols % NN_PANEL, a, b + panels * w->b_panel, c + panels * w->c_panel);
}

void nn_product(const nn_product_walk *w, int64_t rows, int64_t cols, const float *a, const float *b, float *c)
{
    const int64_t fit = NEAR / (w->groups * w->inner) / 8 * 8, some = fit < 16 ? 16 : fit;
    for (int64_t r = 0; r < rows; r += some)
        product_of_rows(w, rows - r < some ? rows - r : some, cols, a + r * w->row, b, c + r * w->c_row);
}

void nn_product_nn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c)
{
    const nn_product_walk w = {k / NN_PANEL, NN_PANEL, rows * NN_PANEL, 1, NN_PANEL, NN_PANEL, k * NN_PANEL, NN_PANEL,
                               rows * NN_PANEL, add};
    nn_product(&w, rows, cols, a, b, c);
}

void nn_product_tn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c)
{
    const nn_product_walk w = {1, k, 0, NN_PANEL, 1, NN_PANEL, k * NN_PANEL, NN_PANEL, rows * NN_PANEL, add};
    for (int64_t r = 0; r < rows; r += NN_PANEL)
        nn_product(&w, NN_PANEL, cols, a + r * k, b, c + r * NN_PANEL);
}

/* ---- weights in panels ------------------------------------------------------------------------- */

int64_t nn_product_packed(int64_t cols, int64_t k)
{
    return (cols + NN_PANEL - 1) / NN_PANEL * NN_PANEL * k;
}

/* Sixteen rows of w, or fewer. */
DAL_CLONES static void pack_panel(const float *restrict w, int64_t cols, int64_t k, float *restrict to)
{
    for (int64_t i = 0; i < k; i++) {
        for (int64_t c = 0; c < cols; c++)
            to[i * NN_PANEL + c] = w[c * k + i];
        for (int64_t c = cols; c < NN_PANEL; c++)
            to[i * NN_PANEL + c] = 0;
    }
}

void nn_product_pack(int64_t cols, int64_t k, const float *w, float *to)
{
    for (int64_t c = 0; c < cols; c += NN_PANEL)
        pack_panel(w + c * k, cols - c < NN_PANEL ? cols - c : NN_PANEL, k, to + c * k);
}

void nn_product_pack_rows(int64_t cols, int64_t k, const float *w, float *to)
{
    for (int64_t c = 0; c < cols; c += NN_PANEL, to += k * NN_PANEL) {
        const int64_t n = cols - c < NN_PANEL ? cols - c : NN_PANEL;
        for (int64_t i = 0; i < k; i++) {
            memcpy(to + i * NN_PANEL, w + i * cols + c, (size_t)n * sizeof *to);
            memset(to + i * NN_PANEL + n, 0, (size_t)(NN_PANEL - n) * sizeof *to);
        }
    }
}
