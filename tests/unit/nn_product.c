/* The products of nn_product.h beside three loops, and each kernel beside the plain one. */
#include "tests/unit/fixture.h"

#include <math.h>

#include "sdk/lib/nn_product.h"

static float *draw(int64_t n, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)dal_rng_normal(&r);
    return x;
}

static int64_t at(int64_t rows, int64_t r, int64_t c)
{
    return (c / NN_PANEL * rows + r) * NN_PANEL + c % NN_PANEL;
}

/* The chain of the header, an element at a time. */
static float element(int turned, int64_t rows, int64_t k, const float *a, const float *b, float start, int64_t r,
                     int64_t c)
{
    float sum = start;
    for (int64_t i = 0; i < k; i++)
        sum = fmaf(a[turned ? at(k, i, r) : at(rows, r, i)], b[at(k, i, c)], sum);
    return sum;
}

static void multiply(int turned, int64_t rows, int64_t cols, int64_t k, int add)
{
    float *a = draw(rows * k, 1), *b = draw(k * cols, 2), *c = draw(rows * cols, 3), *before = draw(rows * cols, 3);
    (turned ? nn_product_tn : nn_product_nn)(rows, cols, k, a, b, add, c);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++)
            cr_assert(c[at(rows, r, i)] == element(turned, rows, k, a, b, add ? before[at(rows, r, i)] : 0, r, i),
                      "%d: %lld x %lld x %lld at %lld, %lld", turned, (long long)rows, (long long)cols, (long long)k,
                      (long long)r, (long long)i);
    free(a);
    free(b);
    free(c);
    free(before);
}

Test(nn_product, is_one_chain_an_element)
{
    for (int add = 0; add < 2; add++)
        for (int64_t cols = 16; cols <= 80; cols += 16) {
            for (int64_t rows = 1; rows <= 19; rows++)
                multiply(0, rows, cols, 16 + rows % 3 * 16, add);
            for (int64_t k = 1; k <= 19; k++)
                multiply(1, 16 + k % 3 * 16, cols, k, add);
        }
}

/* c = or += a b of matrices in rows, ld floats apart, cols any; a lies turned or not. */
static void multiply_rows(int turned, int64_t rows, int64_t cols, int64_t k, int add)
{
    enum { MORE = 3 };
    const int64_t ld = cols + MORE, step = turned ? rows : 1, row = turned ? 1 : k;
    const nn_product_walk w = {1, k, 0, step, row, ld, NN_PANEL, ld, NN_PANEL, add};
    float *a = draw(rows * k, 1), *b = draw(k * ld, 2), *c = draw(rows * ld, 3), *before = draw(rows * ld, 3);
    nn_product(&w, rows, cols, a, b, c);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < ld; i++) {
            float want = add || i >= cols ? before[r * ld + i] : 0;
            for (int64_t l = 0; i < cols && l < k; l++)
                want = fmaf(a[l * step + r * row], b[l * ld + i], want);
            cr_assert(c[r * ld + i] == want, "%lld x %lld x %lld at %lld, %lld", (long long)rows, (long long)cols,
                      (long long)k, (long long)r, (long long)i);
        }
    free(a);
    free(b);
    free(c);
    free(before);
}

Test(nn_product, takes_matrices_in_rows_of_any_width)
{
    for (int turned = 0; turned < 2; turned++)
        for (int64_t cols = 1; cols <= 53; cols += 4)
            for (int64_t k = 1; k <= 600; k = 2 * k + 9)
                multiply_rows(turned, 1 + (cols + k) % 21, cols, k, (int)(k % 2));
}

Test(nn_product, is_the_same_chain_whatever_is_in_groups)
{
    const int64_t rows = 9, cols = 21, groups = 40, k = 16 * groups;
    const nn_product_walk grouped = {groups, 16, rows * NN_PANEL, 1, NN_PANEL, cols, NN_PANEL, cols, NN_PANEL, 0};
    const nn_product_walk plain = {1, k, 0, 1, k, cols, NN_PANEL, cols, NN_PANEL, 0};
    float *a = draw(rows * k, 1), *turned = malloc((size_t)(rows * k) * sizeof *turned), *b = draw(k * cols, 2);
    float *c = draw(rows * cols, 3), *want = draw(rows * cols, 4);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < k; i++)
            turned[r * k + i] = a[at(rows, r, i)];
    nn_product(&grouped, rows, cols, a, b, c);
    nn_product(&plain, rows, cols, turned, b, want);
    cr_assert_arr_eq(c, want, (size_t)(rows * cols) * sizeof *c);
    free(a);
    free(turned);
    free(b);
    free(c);
    free(want);
}

Test(nn_product, packs_weights_with_zeros_behind_the_last)
{
    for (int64_t cols = 1; cols <= 35; cols += 2) {
        const int64_t k = 2 * cols + 1, n = nn_product_packed(cols, k);
        float *w = draw(cols * k, 1), *packed = draw(n, 2);
        nn_product_pack(cols, k, w, packed);
        for (int64_t c = 0; c < n / k; c++)
            for (int64_t i = 0; i < k; i++)
                cr_assert(packed[at(k, i, c)] == (c < cols ? w[c * k + i] : 0));
        free(w);
        free(packed);
    }
}

#ifdef NN_PRODUCT_X86
Test(nn_product, has_the_same_bits_from_every_kernel)
{
    const struct {
        nn_product_kernel *kernel;
        int there;
    } all[] = {{nn_product_avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
               {nn_product_avx512, __builtin_cpu_supports("avx512f")}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int64_t rows = 1; all[i].there && rows <= 21; rows += 4)
            for (int64_t panels = 1; panels <= 3; panels++) {
                const int64_t k = 32, n = rows * panels * NN_PANEL;
                const nn_product_walk w = {2, 16, rows * NN_PANEL, 1, NN_PANEL, NN_PANEL, k * NN_PANEL, NN_PANEL,
                                           rows * NN_PANEL, rows > 8};
                float *a = draw(rows * k, 1), *b = draw(k * panels * NN_PANEL, 2), *c = draw(n, 3), *want = draw(n, 3);
                all[i].kernel(&w, rows, panels, a, b, c);
                nn_product_plain(&w, rows, panels, a, b, want);
                cr_assert_eq(memcmp(c, want, (size_t)n * sizeof *c), 0, "kernel %zu, %lld rows, %lld panels", i,
                             (long long)rows, (long long)panels);
                free(a);
                free(b);
                free(c);
                free(want);
            }
}
#endif
