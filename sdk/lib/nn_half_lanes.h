/* nn_half_lanes.h: sixteen numbers at a time for loops over bf16 of texts. Whoever multiplies bf16 has the instructions
 * (nn_onednn_bf16); elsewhere these loops compile, one number after the other, and nobody calls them. */
#ifndef DAL_NN_HALF_LANES_H
#define DAL_NN_HALF_LANES_H

#include "nn_half.h"

#define WIDE 16

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#define HALF_CODE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define LANE_OP static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

typedef __m512 lanes;

LANE_OP lanes l_set(float x) { return _mm512_set1_ps(x); }
LANE_OP lanes l_load(const float *p) { return _mm512_loadu_ps(p); }
LANE_OP void l_store(float *p, lanes x) { _mm512_storeu_ps(p, x); }
LANE_OP lanes l_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
LANE_OP lanes l_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
LANE_OP lanes l_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
LANE_OP lanes l_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); } /* a b + c */
LANE_OP lanes l_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }                 /* b when either is NaN */
LANE_OP float l_sum(lanes x) { return _mm512_reduce_add_ps(x); }
LANE_OP float l_most(lanes x) { return _mm512_reduce_max_ps(x); }
LANE_OP lanes l_abs(lanes x) { return _mm512_abs_ps(x); }
/* Where x is negative a, else b. */
LANE_OP lanes l_negative(lanes x, lanes a, lanes b)
{
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), a);
}
/* 1 / x, within some units in the last place; x is no power of two at the edge of floats. */
LANE_OP lanes l_inverse(lanes x)
{
    const __m512 r = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(2)));
}
/* 2^n p, of whole n. */
LANE_OP lanes l_scale(lanes p, lanes n) { return _mm512_scalef_ps(p, n); }
LANE_OP lanes l_round(lanes x) { return _mm512_roundscale_ps(x, 8); }
LANE_OP lanes l_wide(const nn_bf16 *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
LANE_OP void l_narrow(nn_bf16 *p, lanes x) { _mm256_storeu_si256((void *)p, (__m256i)_mm512_cvtneps_pbh(x)); }
/* x where the byte is not 0, else 0. */
LANE_OP lanes l_keep(const unsigned char *keep, lanes x)
{
    const __m128i bytes = _mm_loadu_si128((const void *)keep);
    return _mm512_maskz_mov_ps(_mm_test_epi8_mask(bytes, bytes), x);
}

/* The first n of sixteen; the others are `fill`, and not written. */
LANE_OP __mmask16 l_first(int64_t n) { return (__mmask16)((1u << n) - 1); }
LANE_OP lanes l_load_part(const float *p, int64_t n, float fill)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), l_first(n), p);
}
LANE_OP lanes l_wide_part(const nn_bf16 *p, int64_t n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(l_first(n), p)), 16));
}
LANE_OP void l_store_part(float *p, int64_t n, lanes x) { _mm512_mask_storeu_ps(p, l_first(n), x); }
LANE_OP void l_narrow_part(nn_bf16 *p, int64_t n, lanes x)
{
    _mm256_mask_storeu_epi16(p, l_first(n), (__m256i)_mm512_cvtneps_pbh(x));
}
LANE_OP lanes l_keep_part(const unsigned char *keep, int64_t n, lanes x)
{
    const __m128i bytes = _mm_maskz_loadu_epi8(l_first(n), keep);
    return _mm512_maskz_mov_ps(_mm_test_epi8_mask(bytes, bytes), x);
}

#else
#include <math.h>

#define HALF_CODE
#define LANE_OP static inline

typedef struct lanes {
    float at[WIDE];
} lanes;

#define EACH(expression)                     \
    {                                        \
        lanes r;                             \
        for (int l = 0; l < WIDE; l++)       \
            r.at[l] = (expression);          \
        return r;                            \
    }
LANE_OP lanes l_set(float x) EACH(x)
LANE_OP lanes l_load_part(const float *p, int64_t n, float fill) EACH(l < n ? p[l] : fill)
LANE_OP lanes l_wide_part(const nn_bf16 *p, int64_t n) EACH(l < n ? nn_wide(p[l]) : 0)
LANE_OP lanes l_keep_part(const unsigned char *keep, int64_t n, lanes x) EACH(l < n && keep[l] ? x.at[l] : 0)
LANE_OP lanes l_load(const float *p) { return l_load_part(p, WIDE, 0); }
LANE_OP lanes l_wide(const nn_bf16 *p) { return l_wide_part(p, WIDE); }
LANE_OP lanes l_keep(const unsigned char *keep, lanes x) { return l_keep_part(keep, WIDE, x); }
LANE_OP lanes l_add(lanes a, lanes b) EACH(a.at[l] + b.at[l])
LANE_OP lanes l_sub(lanes a, lanes b) EACH(a.at[l] - b.at[l])
LANE_OP lanes l_mul(lanes a, lanes b) EACH(a.at[l] * b.at[l])
LANE_OP lanes l_fma(lanes a, lanes b, lanes c) EACH(fmaf(a.at[l], b.at[l], c.at[l]))
LANE_OP lanes l_max(lanes a, lanes b) EACH(a.at[l] > b.at[l] ? a.at[l] : b.at[l])
LANE_OP lanes l_abs(lanes x) EACH(fabsf(x.at[l]))
LANE_OP lanes l_negative(lanes x, lanes a, lanes b) EACH(x.at[l] < 0 ? a.at[l] : b.at[l])
LANE_OP lanes l_inverse(lanes x) EACH(1 / x.at[l])
LANE_OP lanes l_scale(lanes p, lanes n) EACH(p.at[l] * exp2f(n.at[l]))
LANE_OP lanes l_round(lanes x) EACH(rintf(x.at[l]))
LANE_OP void l_store_part(float *p, int64_t n, lanes x)
{
    for (int64_t l = 0; l < n; l++)
        p[l] = x.at[l];
}
LANE_OP void l_narrow_part(nn_bf16 *p, int64_t n, lanes x)
{
    for (int64_t l = 0; l < n; l++)
        p[l] = nn_narrow(x.at[l]);
}
LANE_OP void l_store(float *p, lanes x) { l_store_part(p, WIDE, x); }
LANE_OP void l_narrow(nn_bf16 *p, lanes x) { l_narrow_part(p, WIDE, x); }
LANE_OP float l_sum(lanes x)
{
    float sum = 0;
    for (int l = 0; l < WIDE; l++)
        sum += x.at[l];
    return sum;
}
LANE_OP float l_most(lanes x)
{
    float most = x.at[0];
    for (int l = 1; l < WIDE; l++)
        most = x.at[l] > most ? x.at[l] : most;
    return most;
}
#endif

/* e^x of x <= 88, within 2e-7 of itself; 0 below floats, NaN stays. */
LANE_OP lanes l_exp(lanes any)
{
    const lanes x = l_max(l_set(-104), any), n = l_round(l_mul(x, l_set(1.44269504f)));
    const lanes r = l_fma(n, l_set(2.12194440e-4f), l_fma(n, l_set(-0.693359375f), x));
    lanes p = l_fma(r, l_set(0.00139336566f), l_set(0.00836317558f));
    p = l_fma(r, p, l_set(0.0416664648f));
    p = l_fma(r, p, l_set(0.166665770f));
    p = l_fma(r, p, l_set(0.5f));
    p = l_fma(l_mul(r, r), p, r);
    return l_scale(l_add(p, l_set(1)), n);
}

#endif
