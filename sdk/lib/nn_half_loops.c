/* Loops over bf16 of texts. */
#include "nn_half_lanes.h"
#include "nn_half_tokens.h"

HALF_CODE void nn_half_narrow(const float *from, int64_t n, nn_bf16 *to)
{
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
        l_narrow(to + i, l_load(from + i));
    if (i < n)
        l_narrow_part(to + i, n - i, l_load_part(from + i, n - i, 0));
}

HALF_CODE void nn_half_widen(const nn_bf16 *from, int64_t n, float *to)
{
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
        l_store(to + i, l_wide(from + i));
    if (i < n)
        l_store_part(to + i, n - i, l_wide_part(from + i, n - i));
}

HALF_CODE void nn_half_add_rows(const nn_bf16 *x, int64_t rows, int64_t n, float *to)
{
    for (int64_t r = 0; r < rows; r++, x += n) {
        lanes sum = l_set(0);
        for (int64_t i = 0; i < n; i += WIDE)
            sum = l_add(sum, l_wide(x + i));
        to[r] += l_sum(sum);
    }
}

HALF_CODE void nn_half_dropout(const nn_bf16 *x, const unsigned char *keep, float scale, const float *and, int64_t n,
                               float *y)
{
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        const lanes all = l_mul(l_wide(x + i), l_set(scale)), left = keep ? l_keep(keep + i, all) : all;
        l_store(y + i, and ? l_add(left, l_load(and + i)) : left);
    }
    if (i < n) {
        const lanes all = l_mul(l_wide_part(x + i, n - i), l_set(scale)), left = keep
            ? l_keep_part(keep + i, n - i, all) : all;
        l_store_part(y + i, n - i, and ? l_add(left, l_load_part(and + i, n - i, 0)) : left);
    }
}

void nn_half_masked(const nn_bf16 *x, const float *mask, const float *and, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = mask[i] * nn_wide(x[i]) + (and ? and[i] : 0);
}

HALF_CODE void nn_half_dropout_back(const float *dy, const unsigned char *keep, float scale, int64_t n, int add,
                                    nn_bf16 *dx)
{
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        const lanes d = l_keep(keep + i, l_mul(l_load(dy + i), l_set(scale)));
        l_narrow(dx + i, add ? l_add(d, l_wide(dx + i)) : d);
    }
    if (i < n) {
        const lanes d = l_keep_part(keep + i, n - i, l_mul(l_load_part(dy + i, n - i, 0), l_set(scale)));
        l_narrow_part(dx + i, n - i, add ? l_add(d, l_wide_part(dx + i, n - i)) : d);
    }
}

/* ---- GELU -------------------------------------------------------------------------------------- */

/* Phi(x), and x phi(x) with it. Phi(-a) = e^(-a^2/2) times a polynomial of 1 / (1 + p a): formula 7.1.26 of Abramowitz
 * & Stegun, Handbook of Mathematical Functions, for erf, off by no more than 1.5e-7. */
LANE_OP lanes phi(lanes x, lanes *slope)
{
    const lanes a = l_abs(x), e = l_exp(l_mul(l_mul(x, x), l_set(-0.5f)));
    const lanes t = l_inverse(l_fma(a, l_set(0.231641888f), l_set(1)));
    lanes p = l_fma(t, l_set(0.5307027145f), l_set(-0.7265760135f));
    p = l_fma(t, p, l_set(0.7107068705f));
    p = l_fma(t, p, l_set(-0.142248368f));
    p = l_fma(t, p, l_set(0.127414796f));
    const lanes tail = l_mul(l_mul(t, p), e), all = l_negative(x, tail, l_sub(l_set(1), tail));
    *slope = l_fma(l_mul(x, l_set(0.398942280f)), e, all);
    return all;
}

HALF_CODE void nn_half_gelu(const nn_bf16 *x, int64_t n, nn_bf16 *y, nn_bf16 *slope)
{
    lanes d;
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        const lanes in = l_wide(x + i);
        l_narrow(y + i, l_mul(in, phi(in, &d)));
        if (slope)
            l_narrow(slope + i, d);
    }
    if (i < n) {
        const lanes in = l_wide_part(x + i, n - i);
        l_narrow_part(y + i, n - i, l_mul(in, phi(in, &d)));
        if (slope)
            l_narrow_part(slope + i, n - i, d);
    }
}

LANE_OP lanes gelu_back_lanes(lanes from, int spent, lanes dy)
{
    lanes d = from;
    if (!spent)
        phi(from, &d);
    return l_mul(d, dy);
}

HALF_CODE void nn_half_gelu_back(const nn_bf16 *from, int spent, const nn_bf16 *dy, int64_t n, int add, nn_bf16 *dx)
{
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        const lanes d = gelu_back_lanes(l_wide(from + i), spent, l_wide(dy + i));
        l_narrow(dx + i, add ? l_add(d, l_wide(dx + i)) : d);
    }
    if (i < n) {
        const lanes d = gelu_back_lanes(l_wide_part(from + i, n - i), spent, l_wide_part(dy + i, n - i));
        l_narrow_part(dx + i, n - i, add ? l_add(d, l_wide_part(dx + i, n - i)) : d);
    }
}
