#include "tests/unit/fixture.h"

#include <dal/symmetric.h>
#include <math.h>

/* a = B B' + n on the diagonal, of a fixed stream */
static void draw(int64_t n, double *a)
{
    dal_rng r = dal_rng_from_key((uint64_t)n);
    double b[30 * 30];
    for (int64_t i = 0; i < n * n; i++)
        b[i] = dal_rng_normal(&r);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            a[i * n + j] = i == j ? (double)n : 0;
            for (int64_t k = 0; k < n; k++)
                a[i * n + j] += b[i * n + k] * b[j * n + k];
        }
}

Test(eigen, gives_rows_that_the_matrix_only_stretches)
{
    dal_runtime *rt = fx_runtime(1, 1);
    for (int64_t n = 1; n <= 30; n += 7) {
        double a[900], v[900], w[30];
        draw(n, a);
        memcpy(v, a, sizeof v);
        cr_assert_eq(dal_eigen(dal_runtime_host(rt, "t"), n, v, w, NULL), DAL_OK);
        for (int64_t i = 0; i < n; i++) {
            double top = 0;
            cr_assert(i == 0 || w[i] >= w[i - 1]);
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < n; k++)
                    sum += a[j * n + k] * v[i * n + k];
                cr_assert_float_eq(sum, w[i] * v[i * n + j], 1e-9 * w[n - 1], "n %d row %d col %d: %g %g", (int)n,
                                   (int)i, (int)j, sum, w[i] * v[i * n + j]);
                top = fabs(v[i * n + j]) > fabs(top) ? v[i * n + j] : top;
            }
            cr_assert_gt(top, 0);
        }
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(cholesky, solves_what_it_factored)
{
    for (int64_t n = 1; n <= 30; n += 7) {
        double a[900], l[900], x[60];
        draw(n, a);
        memcpy(l, a, sizeof l);
        for (int64_t i = 0; i < 2 * n; i++)
            x[i] = (double)i - 3;
        cr_assert_eq(dal_cholesky(n, l, NULL), DAL_OK);
        cr_assert_eq(dal_cholesky_solve(n, l, 2, x, NULL), DAL_OK);
        for (int64_t i = 0; i < n; i++)
            for (int64_t c = 0; c < 2; c++) {
                double sum = 0, product = 0;
                for (int64_t k = 0; k < n; k++) {
                    sum += a[i * n + k] * x[k * 2 + c];
                    product += l[i * n + k] * l[c * n + k];
                }
                cr_assert_float_eq(sum, (double)(i * 2 + c) - 3, 1e-9);
                if (c < n)
                    cr_assert_float_eq(product, a[i * n + c], 1e-9);
            }
        cr_assert(n == 1 || l[1] == 0);
    }
}

Test(cholesky, says_where_a_matrix_is_not_positive_definite)
{
    double a[4] = {1, 2, 2, 1};
    dal_error err = DAL_ERROR_INIT;
    fx_expect(&err, dal_cholesky(2, a, &err), DAL_E_INVALID, "", "row 2 of 2");
}

Test(cholesky, inverts_its_factor)
{
    for (int64_t n = 1; n <= 30; n += 7) {
        double a[900], l[900];
        draw(n, a);
        cr_assert_eq(dal_cholesky(n, a, NULL), DAL_OK);
        memcpy(l, a, sizeof l);
        cr_assert_eq(dal_lower_inverse(n, l, NULL), DAL_OK);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < n; k++)
                    sum += a[i * n + k] * l[k * n + j];
                cr_assert_float_eq(sum, i == j, 1e-12);
            }
    }
}

Test(cholesky, solves_each_lane_alike_and_by_itself)
{
    enum { N = 29 };
    double a[900], packed[N * (N + 1) / 2], want[N], v[N * DAL_LANES];
    draw(N, a);
    cr_assert_eq(dal_cholesky(N, a, NULL), DAL_OK);
    for (int i = 0; i < N; i++)
        memcpy(packed + i * (i + 1) / 2, a + i * N, (size_t)(i + 1) * sizeof *a);
    for (int i = 0; i < N; i++) {
        want[i] = i % 5 - 2;
        for (int c = 0; c < DAL_LANES; c++)
            v[i * DAL_LANES + c] = c % 3 ? i % 5 - 2 : i * c;
    }
    cr_assert_eq(dal_lower_solve(N, a, 1, want, NULL), DAL_OK);
    dal_packed_solve(N, packed, v);
    for (int i = 0; i < N; i++)
        for (int c = 1; c < DAL_LANES; c += c % 3) {
            cr_assert_float_eq(v[i * DAL_LANES + c], want[i], 1e-12);
            cr_assert(v[i * DAL_LANES + c] == v[i * DAL_LANES + 1]);
        }
}
