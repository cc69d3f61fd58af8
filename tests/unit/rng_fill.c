#include <criterion/criterion.h>
#include <dal/rng.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/lib/rng_words.h"

#define N 262144
#define BEYOND 6 /* deviations */

void plain_fill_normal(const dal_rng *r, float deviation, int64_t n, float *out);
void plain_fill_uniform(const dal_rng *r, float width, int64_t n, float *out);

static float x[N], y[N];

static dal_rng stream(uint64_t i)
{
    const dal_rng r = dal_rng_from_key(0x9fa0b1c2d3e4f506u);
    return dal_rng_at(&r, i);
}

/* ---- the bits ----------------------------------------------------------------------------------- */

static void check_words(rng_words *draw, const dal_rng *r, uint64_t first)
{
    uint32_t words[4][RNG_BLOCKS];
    draw(r, first, words);
    for (int b = 0; b < RNG_BLOCKS; b++) {
        uint32_t block[4];
        dal_philox4x32(r->key, r->nonce, first + (uint64_t)b, block);
        for (int w = 0; w < 4; w++)
            cr_assert_eq(words[w][b], block[w], "word %d of block %d behind %llu", w, b, (unsigned long long)first);
    }
}

Test(rng_words, are_those_of_philox_on_every_processor)
{
    const dal_rng r = stream(UINT64_C(0x123456789abcdef));
    const uint64_t firsts[] = {0, 5, 0xfffffff8u, UINT64_C(0xfffffffffffffff8)}; /* carries too */
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        check_words(rng_words_plain, &r, firsts[i]);
#ifdef RNG_HAS_X86
        if (__builtin_cpu_supports("avx2"))
            check_words(rng_words_avx2, &r, firsts[i]);
        if (__builtin_cpu_supports("avx512f"))
            check_words(rng_words_avx512, &r, firsts[i]);
#endif
    }
}

Test(rng_fill, gives_the_same_bits_on_every_processor)
{
    const dal_rng r = stream(1);
    dal_rng_fill_normal(&r, 0.3f, N, x);
    plain_fill_normal(&r, 0.3f, N, y);
    cr_assert(memcmp(x, y, sizeof x) == 0);
    dal_rng_fill_uniform(&r, 0.3f, N, x);
    plain_fill_uniform(&r, 0.3f, N, y);
    cr_assert(memcmp(x, y, sizeof x) == 0);
}

Test(rng_fill, gives_value_i_whatever_n_is_and_nothing_behind_it)
{
    dal_rng r = stream(2), later = r;
    dal_rng_fill_normal(&r, 1, 200, x);
    for (int64_t n = 0; n < 200; n++) {
        memset(y, 0x55, sizeof *y * 201);
        dal_rng_fill_normal(&r, 1, n, y);
        cr_assert(memcmp(x, y, (size_t)n * sizeof *x) == 0, "n %d", (int)n);
        for (const unsigned char *p = (const unsigned char *)(y + n); p < (const unsigned char *)(y + 201); p++)
            cr_assert_eq(*p, 0x55, "n %d", (int)n);
    }
    later.counter += RNG_BLOCKS; /* 64 values on */
    dal_rng_fill_normal(&later, 1, 100, y);
    cr_assert(memcmp(x + 64, y, 100 * sizeof *x) == 0);
}

/* Box & Muller's formula in double, from the words. */
static void slow_pair(uint32_t a, uint32_t b, double out[2])
{
    const double u = (double)((float)(int32_t)(a >> 1) + 0.5f) * 0x1p-31; /* of 24 bits, as it is there */
    const double length = sqrt(-2 * log(u)), turn = (double)(b >> 30) / 4 + (double)(int32_t)(b << 2) * 0x1p-34;
    out[0] = length * cos(6.283185307179586477 * turn);
    out[1] = length * sin(6.283185307179586477 * turn);
}

Test(rng_fill, computes_box_and_mullers_formula_to_within_2e_6)
{
    const dal_rng r = stream(3);
    double want[2];
    uint32_t words[4][RNG_BLOCKS];
    dal_rng_fill_normal(&r, 1, N, x);
    for (int64_t at = 0; at < N; at += 4 * RNG_BLOCKS) {
        rng_words_plain(&r, (uint64_t)(at / 4), words);
        for (int i = 0; i < 2 * RNG_BLOCKS; i++) {
            const int64_t first = at + i % RNG_BLOCKS + i / RNG_BLOCKS * 2 * RNG_BLOCKS;
            slow_pair(words[i / RNG_BLOCKS * 2][i % RNG_BLOCKS], words[i / RNG_BLOCKS * 2 + 1][i % RNG_BLOCKS], want);
            for (int k = 0; k < 2; k++)
                cr_assert_float_eq((double)x[first + k * RNG_BLOCKS], want[k], 2e-6, "value %d: %g, not %g",
                                   (int)first + k * RNG_BLOCKS, (double)x[first + k * RNG_BLOCKS], want[k]);
        }
    }
}

/* ---- the distribution --------------------------------------------------------------------------- */

static double normal_below(double z)
{
    return 0.5 * erfc(-z * 0.70710678118654752);
}

static double uniform_below(double z)
{
    return (z + 1) / 2;
}

static int ascending(const void *a, const void *b)
{
    const float p = *(const float *)a, q = *(const float *)b;
    return (p > q) - (p < q);
}

/* Kolmogorov & Smirnov: sqrt(n) times the largest distance of the distributions. */
static double distance(double (*below)(double z))
{
    double most = 0;
    qsort(x, N, sizeof *x, ascending);
    for (int64_t i = 0; i < N; i++) {
        const double p = below((double)x[i]);
        most = fmax(most, fmax(p - (double)i / N, (double)(i + 1) / N - p));
    }
    return most * sqrt(N);
}

/* The mean of x^power is this, in its own standard error, that of x^(2 power). */
static void check_moment(int power, double mean, double mean_of_square)
{
    double sum = 0;
    for (int64_t i = 0; i < N; i++)
        sum += pow((double)x[i], power);
    const double error = sqrt((mean_of_square - mean * mean) / N);
    cr_assert_lt(fabs(sum / N - mean), 4 * error, "mean of the power %d: %g, expected %g", power, sum / N, mean);
}

/* Values `apart` do not know of each other, nor do their squares. */
static void check_apart(int64_t apart)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i + apart < N; i++) {
        const double a = (double)x[i], b = (double)x[i + apart];
        sum += a * b;
        squares += (a * a - 1) * (b * b - 1);
    }
    cr_assert_lt(fabs(sum) / sqrt(N), 4, "%d apart: %g", (int)apart, sum / sqrt(N));
    cr_assert_lt(fabs(squares) / sqrt(4.0 * N), 4, "squares %d apart: %g", (int)apart, squares / sqrt(4.0 * N));
}

Test(rng_fill, draws_a_standard_normal)
{
    const dal_rng r = stream(4);
    dal_rng_fill_normal(&r, 1, N, x);
    check_moment(1, 0, 1);
    check_moment(2, 1, 3);
    check_moment(3, 0, 15);
    check_moment(4, 3, 105);
    check_moment(6, 15, 10395);
    for (int64_t apart = 1; apart <= 64; apart *= 2)
        check_apart(apart);
    cr_assert_lt(distance(normal_below), 1.63); /* 1 of 100 is larger */
}

Test(rng_fill, draws_the_tails_of_a_normal)
{
    double beyond[BEYOND + 1] = {0};
    const double n = 64.0 * N; /* 17 million */
    for (uint64_t i = 0; i < 64; i++) {
        const dal_rng r = stream(100 + i);
        dal_rng_fill_normal(&r, 1, N, x);
        for (int64_t k = 0; k < N; k++)
            for (int d = 1; d <= BEYOND && (double)fabsf(x[k]) > d; d++)
                beyond[d]++;
    }
    for (int d = 1; d <= BEYOND; d++) {
        const double want = n * 2 * normal_below(-d);
        cr_assert_lt(fabs(beyond[d] - want), 4 * sqrt(want) + 1, "beyond %d deviations: %g, expected %g", d, beyond[d],
                     want);
    }
}

Test(rng_fill, draws_uniform_numbers)
{
    const dal_rng r = stream(5);
    dal_rng_fill_uniform(&r, 1, N, x);
    for (int64_t i = 0; i < N; i++)
        cr_assert(x[i] >= -1 && x[i] <= 1);
    check_moment(1, 0, 1.0 / 3);
    check_moment(2, 1.0 / 3, 1.0 / 5);
    check_moment(3, 0, 1.0 / 7);
    cr_assert_lt(distance(uniform_below), 1.63);
}
