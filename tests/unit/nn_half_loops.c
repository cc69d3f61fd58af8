/* The loops of nn_half_tokens.h beside plain ones. */
#include "tests/unit/fixture.h"

#include <math.h>

#include "sdk/lib/nn_half_tokens.h"

#define U (1.0 / 256) /* of a rounding */

static void want_bf16(void)
{
#if defined(__GNUC__) && defined(__x86_64__)
    if (!__builtin_cpu_supports("avx512bf16"))
        cr_skip_test("no bf16 here");
#endif
}

static nn_bf16 *draw(int64_t n, float scale)
{
    dal_rng r = dal_rng_from_key(3);
    nn_bf16 *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = nn_narrow(scale * (float)dal_rng_normal(&r));
    return x;
}

static int is_near(float got, double want, double most, double least)
{
    return fabs((double)got - want) <= most * fabs(want) + least;
}

/* Every number of bf16 that is no denormal. */
Test(nn_half_loops, gelu_of_every_number)
{
    want_bf16();
    enum { N = 65536 - 1 };
    static nn_bf16 x[N], y[N], alone[N];
    for (int64_t i = 0; i < N; i++)
        x[i] = (nn_bf16)i;
    nn_half_gelu(x, N, alone, NULL);
    nn_half_gelu(x, N, y, x);
    cr_assert_eq(memcmp(y, alone, sizeof y), 0);
    for (int64_t i = 0; i < N; i++) {
        const double in = (double)nn_wide((nn_bf16)i), phi = 0.5 * erfc(-in / sqrt(2));
        if (!isfinite(in) || (in != 0 && fabs(in) < 1e-30))
            continue;
        const double slope = phi + in * exp(-0.5 * in * in) / sqrt(6.283185307179586);
        cr_assert(is_near(nn_wide(y[i]), in * phi, U, 3e-7), "gelu(%g) is %g, not %g", in, (double)nn_wide(y[i]),
                  in * phi);
        cr_assert(is_near(nn_wide(x[i]), slope, U, 3e-7), "its slope at %g is %g, not %g", in, (double)nn_wide(x[i]),
                  slope);
    }
}

Test(nn_half_loops, gelu_hands_back_by_slopes_or_by_what_they_come_from)
{
    want_bf16();
    enum { N = 77 };
    nn_bf16 *x = draw(2 * N, 1), *dy = x + N, y[N], slope[N], by_slope[N], by_x[N], added[N];
    nn_half_gelu(x, N, y, slope);
    nn_half_gelu_back(slope, 1, dy, N, 0, by_slope);
    nn_half_gelu_back(x, 0, dy, N, 0, by_x);
    memcpy(added, x, sizeof added);
    nn_half_gelu_back(slope, 1, dy, N, 1, added);
    for (int64_t i = 0; i < N; i++) {
        const double want = (double)nn_wide(slope[i]) * (double)nn_wide(dy[i]);
        cr_assert(is_near(nn_wide(by_slope[i]), want, U, 0));
        cr_assert(is_near(nn_wide(by_x[i]), want, 2 * U, 1e-7));
        cr_assert(is_near(nn_wide(added[i]), want + (double)nn_wide(x[i]), U, 1e-6));
    }
    free(x);
}

Test(nn_half_loops, transposes_and_fills_up_with_zeros)
{
    want_bf16();
    static const int64_t rows[] = {1, 15, 16, 31, 32, 64, 100, 128}, cols[] = {1, 16, 48, 73};
    for (size_t a = 0; a < sizeof rows / sizeof *rows; a++)
        for (size_t b = 0; b < sizeof cols / sizeof *cols; b++) {
            const int64_t n = rows[a], c = cols[b], ld = (n + 15) / 16 * 16, from_ld = c + 5;
            nn_bf16 *x = draw(n * from_ld, 1), *y = malloc((size_t)(c * ld) * sizeof *y);
            float *sums = calloc((size_t)c, sizeof *sums);
            nn_half_transpose(x, n, c, from_ld, ld, y);
            for (int64_t i = 0; i < c * ld; i++)
                cr_assert_eq(y[i], i % ld < n ? x[i % ld * from_ld + i / ld] : 0, "%d x %d, %d", (int)n, (int)c,
                             (int)i);
            nn_half_add_rows(y, c, ld, sums);
            for (int64_t k = 0; k < c; k++) {
                double want = 0;
                for (int64_t i = 0; i < n; i++)
                    want += (double)nn_wide(x[i * from_ld + k]);
                cr_assert(is_near(sums[k], want, 0, 1e-4));
            }
            free(sums);
            free(y);
            free(x);
        }
}

Test(nn_half_loops, packs_weights_and_their_transpose_in_blocks_of_pairs)
{
    want_bf16();
    enum { ROWS = 128, COLS = 192 };
    dal_rng r = dal_rng_from_key(4);
    static float w[ROWS * COLS];
    static nn_bf16 to[ROWS * COLS];
    for (int64_t i = 0; i < ROWS * COLS; i++)
        w[i] = (float)dal_rng_normal(&r);
    for (int turned = 0; turned < 2; turned++) {
        const int64_t k = turned ? COLS : ROWS, n = turned ? ROWS : COLS;
        nn_half_pack(w, ROWS, COLS, turned, to);
        for (int64_t i = 0; i < k; i++)
            for (int64_t c = 0; c < n; c++) {
                const int64_t block = c / 64 * (k / 32) + i / 32, in_block = (i % 32 / 2 * 64 + c % 64) * 2 + i % 2;
                cr_assert_eq(to[block * 32 * 64 + in_block], nn_narrow(turned ? w[c * COLS + i] : w[i * COLS + c]),
                             "%d, %d", (int)i, (int)c);
            }
    }
}

Test(nn_half_loops, dropout_keeps_what_it_should)
{
    want_bf16();
    enum { N = 53 };
    nn_bf16 *x = draw(N, 1), back[N], twice[N];
    unsigned char keep[N];
    float y[N], all[N], masked[N], mask[N], wide[N], sum[N], masked_sum[N];
    for (int64_t i = 0; i < N; i++) {
        keep[i] = i % 3 > 0;
        mask[i] = (float)(i % 5);
    }
    nn_half_widen(x, N, wide);
    nn_half_dropout(x, keep, 1.25f, NULL, N, y);
    nn_half_dropout(x, keep, 1.25f, mask, N, sum);
    nn_half_dropout(x, NULL, 1, NULL, N, all);
    nn_half_masked(x, mask, NULL, N, masked);
    nn_half_masked(x, mask, wide, N, masked_sum);
    nn_half_dropout_back(wide, keep, 1.25f, N, 0, back);
    memcpy(twice, back, sizeof twice);
    nn_half_dropout_back(wide, keep, 1.25f, N, 1, twice);
    for (int64_t i = 0; i < N; i++) {
        cr_assert_eq(wide[i], nn_wide(x[i]));
        cr_assert_eq(y[i], keep[i] ? 1.25f * wide[i] : 0);
        cr_assert_eq(sum[i], y[i] + mask[i]);
        cr_assert_eq(masked_sum[i], masked[i] + wide[i]);
        cr_assert_eq(all[i], wide[i]);
        cr_assert_eq(masked[i], mask[i] * wide[i]);
        cr_assert_eq(back[i], nn_narrow(y[i]));
        cr_assert_eq(twice[i], nn_narrow(nn_wide(back[i]) + y[i]));
    }
    free(x);
}

Test(nn_half_loops, narrows_in_place_as_beside_it)
{
    want_bf16();
    enum { N = 301 };
    dal_rng r = dal_rng_from_key(4);
    float x[N];
    nn_bf16 y[N];
    for (int64_t i = 0; i < N; i++)
        x[i] = (float)dal_rng_normal(&r);
    nn_half_narrow(x, N, y);
    for (int64_t i = 0; i < N; i++)
        cr_assert_eq(y[i], nn_narrow(x[i]));
    nn_half_narrow(x, N, nn_half_to(x));
    cr_assert_eq(memcmp(x, y, sizeof y), 0);
}
