/* Kernel matrices against their definition. */
#include "tests/unit/fixture.h"

#include <dal/kernel.h>
#include <math.h>

static void draw(uint64_t seed, float *x, int64_t n)
{
    dal_rng r = dal_rng_from_key(seed);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)dal_rng_normal(&r);
}

static double slow(const dal_kernel *k, const float *x, const float *y, int64_t d)
{
    double dot = 0, distance = 0;
    for (int64_t i = 0; i < d; i++) {
        dot += (double)x[i] * (double)y[i];
        distance += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    }
    return k->kind == DAL_KERNEL_RBF ? exp(-k->gamma * distance) : dot;
}

Test(kernel, gives_the_defined_value_of_every_pair)
{
    const int64_t shapes[][3] = {{1, 1, 1}, {63, 65, 3}, {64, 128, 33}, {130, 5, 8}};
    dal_runtime *rt = fx_runtime(2, 1);
    for (int s = 0; s < 4; s++)
        for (uint32_t kind = 0; kind < 2; kind++) {
            const int64_t n = shapes[s][0], m = shapes[s][1], d = shapes[s][2], ld = m + 3;
            const dal_kernel k = {kind, 0, 0.3};
            float *x = malloc((size_t)(n * d) * sizeof *x), *y = malloc((size_t)(m * d) * sizeof *y);
            double *out = malloc((size_t)(n * ld) * sizeof *out);
            draw(1, x, n * d);
            draw(2, y, m * d);
            const dal_matrix a = {x, n, d, d}, b = {y, m, d, d};
            cr_assert_eq(dal_kernel_matrix(dal_runtime_host(rt, "t"), &k, &a, &b, out, ld, NULL), DAL_OK);
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < m; j++)
                    cr_assert_float_eq(out[i * ld + j], slow(&k, x + i * d, y + j * d, d), 1e-5);
            free(x);
            free(y);
            free(out);
        }
    dal_runtime_free(rt);
}

Test(kernel, of_a_set_with_itself_is_symmetric_to_the_bit)
{
    enum { N = 150, D = 7 };
    static float x[N * D];
    static double out[N * N];
    const dal_kernel k = {DAL_KERNEL_RBF, 0, 0.2};
    const dal_matrix a = {x, N, D, D};
    dal_runtime *rt = fx_runtime(2, 1);
    draw(3, x, N * D);
    memset(out, 0xff, sizeof out);
    cr_assert_eq(dal_kernel_matrix(dal_runtime_host(rt, "t"), &k, &a, &a, out, N, NULL), DAL_OK);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++) {
            cr_assert(out[i * N + j] == out[j * N + i]);
            cr_assert(out[i * N + j] == dal_kernel_value(&k, x + i * D, x + j * D, D));
        }
    dal_runtime_free(rt);
}

Test(kernel, refuses_rows_of_different_widths)
{
    const float x[6] = {0};
    const dal_matrix a = {x, 2, 3, 3}, b = {x, 3, 2, 2};
    const dal_kernel k = {DAL_KERNEL_RBF, 0, 1};
    double out[6];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    fx_expect(&err, dal_kernel_matrix(dal_runtime_host(rt, "t"), &k, &a, &b, out, 3, &err), DAL_E_INVALID, "",
              "3 and of 2");
    dal_runtime_free(rt);
}
