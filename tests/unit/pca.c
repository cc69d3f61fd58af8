#include "tests/unit/fixture.h"

#include <dal/pca.h>
#include <dal/symmetric.h>
#include <math.h>

static void fill(dal_rng *r, float *x, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < d; k++)
            x[i * d + k] = (float)(5 + dal_rng_normal(r) * (double)(1 + (k * 7) % 5) +
                                   (k > 0 ? (double)x[i * d + k - 1] / 3 : 0));
}

/* Covariance of the rows of both in double, and its eigenvectors. */
static void twin(const float *x, int64_t n, const float *y, int64_t m, int64_t d, double *mean, double *a,
                 double *values)
{
    dal_runtime *rt = fx_runtime(1, 1);
    for (int64_t k = 0; k < d; k++) {
        mean[k] = 0;
        for (int64_t i = 0; i < n + m; i++)
            mean[k] += (double)(i < n ? x + i * d : y + (i - n) * d)[k] / (double)(n + m);
    }
    for (int64_t k = 0; k < d; k++)
        for (int64_t l = 0; l < d; l++) {
            a[k * d + l] = 0;
            for (int64_t i = 0; i < n + m; i++) {
                const float *row = i < n ? x + i * d : y + (i - n) * d;
                a[k * d + l] += ((double)row[k] - mean[k]) * ((double)row[l] - mean[l]) / (double)(n + m);
            }
        }
    cr_assert_eq(dal_eigen(dal_runtime_host(rt, "t"), d, a, values, NULL), DAL_OK);
    dal_runtime_free(rt);
}

Test(pca, finds_the_directions_of_largest_variance)
{
    static const struct {
        int64_t n, m, d, k;
    } shapes[] = {{40, 0, 1, 1}, {300, 0, 5, 5}, {200, 130, 70, 12}, {600, 7, 33, 3}};
    dal_rng r = dal_rng_from_key(4);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t n = shapes[s].n, m = shapes[s].m, d = shapes[s].d, k = shapes[s].k;
        float *x = malloc(n * d * sizeof *x), *y = malloc((m * d + 1) * sizeof *y), *v[2];
        float *out = malloc(n * k * sizeof *out);
        double *mean = malloc(d * sizeof *mean), *a = malloc(d * d * sizeof *a), variances[12];
        double *mine = malloc(d * sizeof *mine), *values = malloc(d * sizeof *values);
        fill(&r, x, n, d);
        fill(&r, y, m, d);
        const dal_matrix sets[2] = {{x, n, d, d}, {y, m, d, d}};
        twin(x, n, y, m, d, mean, a, values);
        for (int threads = 1; threads <= 2; threads++) {
            dal_runtime *rt = fx_runtime(threads, 1);
            v[threads - 1] = malloc(k * d * sizeof(float));
            const dal_host *h = dal_runtime_host(rt, "t");
            cr_assert_eq(dal_pca(h, sets, 2, k, mine, v[threads - 1], variances, NULL), DAL_OK);
            cr_assert_eq(dal_pca_project(h, &sets[0], k, mine, v[0], out, NULL), DAL_OK);
            cr_assert_eq(dal_runtime_allocated(rt), 0);
            dal_runtime_free(rt);
        }
        cr_assert_arr_eq(v[0], v[1], k * d * sizeof(float));
        for (int64_t c = 0; c < k; c++) {
            cr_assert_float_eq(variances[c], values[d - 1 - c], 1e-4 * values[d - 1]);
            for (int64_t i = 0; i < d; i++)
                cr_assert_float_eq((double)v[0][c * d + i], a[(d - 1 - c) * d + i], 1e-3,
                                   "shape %zu, component %d",
                                   s, (int)c);
            double sum = 0;
            for (int64_t i = 0; i < d; i++)
                sum += ((double)x[i] - mean[i]) * (double)v[0][c * d + i];
            cr_assert_float_eq((double)out[c], sum, 1e-4);
        }
        free(x), free(y), free(v[0]), free(v[1]), free(out), free(mean), free(a), free(values), free(mine);
    }
}

Test(pca, refuses_what_has_no_components)
{
    float x[4] = {1, 2, 3, NAN}, v[4];
    double mean[2];
    const dal_matrix spoilt = {x, 2, 2, 2}, fine = {x, 1, 2, 2}, none = {x, 0, 2, 2};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *h = dal_runtime_host(rt, "t");
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_pca(h, &spoilt, 1, 1, mean, v, NULL, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "row 1, column 1 is nan"), "%s", err.text);
    cr_assert_eq(dal_pca(h, &fine, 1, 3, mean, v, NULL, &err), DAL_E_INVALID);
    cr_assert_eq(dal_pca(h, &none, 1, 1, mean, v, NULL, &err), DAL_E_INVALID);
    cr_assert_eq(dal_pca(h, &fine, 1, 2, mean, v, NULL, &err), DAL_OK);
    dal_runtime_free(rt);
}
