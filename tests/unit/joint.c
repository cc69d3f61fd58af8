/* dal/joint.h against J itself, in double. */
#include "tests/unit/fixture.h"

#include <dal/joint.h>
#include <dal/linalg.h>
#include <math.h>

#include "sdk/lib/joint.h" /* all forms of the loop are linked in beside libdal */

/* n samples: passes around a common opinion, `spread` apart, `sharp` sure. */
static float *draw(dal_rng *r, int64_t passes, int64_t n, int64_t c, double sharp, double spread)
{
    float *z = malloc((size_t)(passes * n * c) * sizeof *z);
    for (int64_t i = 0; i < n * c; i++) {
        const double base = sharp * dal_rng_normal(r);
        for (int64_t k = 0; k < passes; k++)
            z[k * n * c + i] = (float)(base + spread * dal_rng_normal(r));
    }
    return z;
}

/* I and Q of rows a and b of t by their first definitions. */
static void definitions(const dal_tensor3 *t, int64_t a, int64_t b, double *information, double *gain)
{
    const int64_t c = t->cols, K = t->passes;
    double *p = calloc((size_t)(2 * c), sizeof *p), *q = p + c;
    double *P = malloc((size_t)(2 * K * c) * sizeof *P), *Q = P + K * c;
    for (int64_t k = 0; k < K; k++)
        for (int side = 0; side < 2; side++) {
            const float *z = t->data + (k * t->rows + (side ? b : a)) * c;
            double sum = 0, *out = (side ? Q : P) + k * c;
            for (int64_t y = 0; y < c; y++)
                sum += out[y] = exp((double)z[y] - (double)z[0]);
            for (int64_t y = 0; y < c; y++)
                (side ? q : p)[y] += (out[y] /= sum) / (double)K;
        }
    *information = *gain = 0;
    for (int64_t y = 0; y < c; y++)
        for (int64_t x = 0; x < c; x++) {
            double J = 0;
            for (int64_t k = 0; k < K; k++)
                J += P[k * c + y] * Q[k * c + x] / (double)K;
            *information += J > 0 ? J * log(J / (p[y] * q[x])) : 0;
            *gain += J * J / p[y] - (y ? 0 : q[x] * q[x]);
        }
    free(p);
    free(P);
}

static void holds_on(dal_runtime *rt, dal_rng *r, int64_t passes, int64_t n, int64_t c, double sharp,
                     double spread)
{
    const dal_host *host = dal_runtime_host(rt, "test");
    const int64_t width = passes * (passes + 1) / 2;
    float *z = draw(r, passes, n, c, sharp, spread), *each = malloc((size_t)(n * n) * sizeof *each);
    float *g = malloc((size_t)(n * width) * sizeof *g), *h = malloc((size_t)(n * width) * sizeof *h);
    double *total = malloc((size_t)n * sizeof *total);
    const dal_tensor3 t = {z, passes, n, c};
    dal_joint samples;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_joint_pack(host, &t, DAL_LOGITS, NULL, n, &samples, NULL, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_joint_rows(host, &t, DAL_LOGITS, 0, n, &samples, total, each, &err), DAL_OK);
    cr_assert_eq(dal_joint_grams(host, &t, DAL_LOGITS, NULL, 0, n, 1, g, &err), DAL_OK);
    cr_assert_eq(dal_joint_grams(host, &t, DAL_LOGITS, NULL, 0, n, 0, h, &err), DAL_OK);
    for (int64_t a = 0; a < n; a++) {
        double sum = 0;
        for (int64_t b = 0; b < n; b++) {
            double information, gain, got = 0;
            definitions(&t, a, b, &information, &gain);
            for (int64_t i = 0; i < width; i++)
                got += (double)g[a * width + i] * (double)h[b * width + i];
            cr_assert_float_eq((double)each[a * n + b], information, 1e-6 * (1 + 10 * information),
                               "passes %lld, c %lld: %lld tells %.9g of %lld, expected %.9g", (long long)passes,
                               (long long)c, (long long)a, (double)each[a * n + b], (long long)b, information);
            cr_assert_float_eq(got, gain, 1e-6 * (1 + gain), "passes %lld, c %lld: %.9g, expected %.9g",
                               (long long)passes, (long long)c, got, gain);
            sum += information;
        }
        cr_assert_float_eq(total[a], sum, 2e-6 * (1 + 10 * sum));
    }
    dal_joint_free(&samples);
    free(z), free(each), free(g), free(h), free(total);
}

Test(joint, equals_its_definitions_for_any_shape)
{
    static const int64_t widths[] = {1, 2, 3, 9, 10, 100}, passes[] = {1, 2, 5, 10, 33};
    dal_runtime *rt = fx_runtime(2, 1);
    dal_rng r = dal_rng_from_key(1);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t k = 0; k < sizeof passes / sizeof *passes; k++)
            holds_on(rt, &r, passes[k], widths[w] > 10 ? 5 : 1 + (int64_t)(w * 5 + k * 7) % 19, widths[w],
                     k == 1 ? 4 : 1, k == 2 ? 0.01 : k == 3 ? 3 : 1);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* Two passes, half +- d for both samples: the answers agree with probability 1/2 + 2 d^2. */
Test(joint, is_relatively_exact_where_samples_are_almost_independent)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    for (int e = 2; e <= 10; e += 2) {
        const double d = pow(2, -e), x = 4 * d * d;
        const float p[4] = {0.5f + (float)d, 0.5f - (float)d, 0.5f - (float)d, 0.5f + (float)d};
        const dal_tensor3 t = {p, 2, 1, 2};
        const double want = x * x / 2 + pow(x, 4) / 12 + pow(x, 6) / 30;
        double got;
        dal_joint one;
        cr_assert_eq(dal_joint_pack(host, &t, DAL_PROBS, NULL, 1, &one, NULL, NULL), DAL_OK);
        cr_assert_eq(dal_joint_rows(host, &t, DAL_PROBS, 0, 1, &one, &got, NULL, NULL), DAL_OK);
        cr_assert_float_eq(got, want, 1e-5 * want, "d = 2^-%d: %g, expected %g", e, got, want);
        dal_joint_free(&one);
    }
    dal_runtime_free(rt);
}

Test(joint, is_zero_when_the_passes_agree)
{
    const float p[2 * 2 * 3] = {.2f, .3f, .5f, .9f, .1f, 0, .2f, .3f, .5f, .9f, .1f, 0};
    const dal_tensor3 t = {p, 2, 2, 3};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_joint all;
    double total[2];
    cr_assert_eq(dal_joint_pack(host, &t, DAL_PROBS, NULL, 2, &all, NULL, NULL), DAL_OK);
    cr_assert_eq(dal_joint_rows(host, &t, DAL_PROBS, 0, 2, &all, total, NULL, NULL), DAL_OK);
    cr_assert(total[0] == 0 && total[1] == 0);
    dal_joint_free(&all);
    dal_runtime_free(rt);
}

Test(joint, does_not_depend_on_what_lies_beside_a_sample)
{
    enum { N = 37, C = 7, K = 6 };
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_rng r = dal_rng_from_key(3);
    float *z = draw(&r, K, N, C, 1, 1), whole[N * N], alone[N];
    double total[N];
    const dal_tensor3 t = {z, K, N, C};
    dal_joint all, one;
    cr_assert_eq(dal_joint_pack(host, &t, DAL_LOGITS, NULL, N, &all, NULL, NULL), DAL_OK);
    cr_assert_eq(dal_joint_rows(host, &t, DAL_LOGITS, 0, N, &all, total, whole, NULL), DAL_OK);
    for (int64_t b = 0; b < N; b++) {
        cr_assert_eq(dal_joint_pack(host, &t, DAL_LOGITS, &b, 1, &one, NULL, NULL), DAL_OK);
        cr_assert_eq(dal_joint_rows(host, &t, DAL_LOGITS, 0, N, &one, total, alone, NULL), DAL_OK);
        for (int64_t a = 0; a < N; a++)
            cr_assert_eq(memcmp(&alone[a], &whole[a * N + b], sizeof *alone), 0, "%d of %d", (int)a, (int)b);
        dal_joint_free(&one);
    }
    dal_joint_free(&all);
    free(z);
    dal_runtime_free(rt);
}

Test(joint, names_the_row_that_is_not_a_number)
{
    enum { N = 20, C = 3, K = 2 };
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    float p[K * N * C];
    double total[N];
    int64_t bad, rows[2] = {18, 3};
    for (int i = 0; i < K * N * C; i++)
        p[i] = 1.0f / C;
    p[(N + 18) * C + 2] = NAN;
    const dal_tensor3 t = {p, K, N, C};
    dal_joint all;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_joint_pack(host, &t, DAL_PROBS, NULL, N, &all, &bad, &err), DAL_E_INVALID);
    cr_assert_eq(bad, 18);
    dal_joint_free(&all);
    cr_assert_eq(dal_joint_pack(host, &t, DAL_PROBS, rows, 2, &all, &bad, &err), DAL_E_INVALID);
    cr_assert_eq(bad, 18);
    dal_joint_free(&all);
    cr_assert_eq(dal_joint_pack(host, &t, DAL_PROBS, rows + 1, 1, &all, &bad, &err), DAL_OK);
    cr_assert_eq(bad, -1);
    cr_assert_eq(dal_joint_rows(host, &t, DAL_PROBS, 0, N, &all, total, NULL, &err), DAL_OK);
    for (int i = 0; i < N; i++)
        cr_assert_eq(isnan(total[i]) != 0, i == 18);
    dal_joint_free(&all);
    dal_runtime_free(rt);
}

#ifdef HAVE_X86_KERNELS
static void same_as_plain(joint_kernel *kernel)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_rng r = dal_rng_from_key(4);
    for (int64_t c = 1; c <= 12; c += 3)
        for (int64_t n = 1; n <= 150; n += n < 20 ? 3 : 41) {
            const int64_t passes = 1 + dal_rng_below(&r, 12);
            float *z = draw(&r, passes, 16, c, 2, 2);
            const dal_tensor3 t = {z, passes, 16, c};
            dal_joint block;
            dal_joint_events e;
            double given[12], got[16] = {0}, want[16] = {0};
            cr_assert_eq(dal_joint_pack(host, &t, DAL_LOGITS, NULL, 16, &block, NULL, NULL), DAL_OK);
            cr_assert_eq(dal_joint_events_new(host, n, passes, &e, NULL), DAL_OK);
            for (int64_t i = 0; i < n; i++) {
                for (int64_t k = 0; k < passes; k++)
                    given[k] = dal_rng_uniform(&r) * dal_rng_uniform(&r);
                dal_joint_events_add(&e, dal_rng_uniform(&r), given);
            }
            kernel(&e, block.relative, block.mean, c, got);
            joint_plain(&e, block.relative, block.mean, c, want);
            cr_assert_eq(memcmp(got, want, sizeof got), 0, "%lld events, c %lld", (long long)n, (long long)c);
            dal_joint_events_free(&e);
            dal_joint_free(&block);
            free(z);
        }
    dal_runtime_free(rt);
}

Test(joint, has_the_same_bits_with_avx2)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        cr_skip_test("no AVX2 here");
    same_as_plain(joint_avx2);
}

Test(joint, has_the_same_bits_with_avx512)
{
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq"))
        cr_skip_test("no AVX-512 here");
    same_as_plain(joint_avx512);
}
#endif
