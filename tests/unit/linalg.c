#include <criterion/criterion.h>
#include <dal/linalg.h>
#include <math.h>

Test(squared_distance, equals_the_plain_sum_for_every_length)
{
    float x[100], y[100];
    for (int i = 0; i < 100; i++) {
        x[i] = (float)i * 0.25f;
        y[i] = (float)(i % 7) - 1.5f;
    }
    for (int n = 0; n <= 100; n++) {
        double want = 0;
        for (int i = 0; i < n; i++)
            want += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        cr_assert_float_eq((double)dal_squared_distance(x, y, n), want, 1e-6 * (1 + want));
    }
}

Test(softmax, keeps_huge_and_equal_logits_finite)
{
    float z[6] = {1e4f, 1e4f, -1e4f, 0, 0, 0};
    dal_softmax(z, 2, 3, 3);
    cr_assert_float_eq((double)z[0], 0.5, 1e-6);
    cr_assert_float_eq((double)z[2], 0, 1e-6);
    cr_assert_float_eq((double)z[4], 1.0 / 3, 1e-6);
}

Test(gemm, refuses_dimensions_blas_cannot_count)
{
    cr_assert_eq(dal_gemm_nt((int64_t)1 << 40, 1, 1, 1, NULL, 1, NULL, 1, 0, NULL, 1), DAL_E_OVERFLOW);
}
