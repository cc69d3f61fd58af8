/* Eight floats of two rows in one AVX-512 register, the rows in its halves; the same values as lanes_plain.h,
 * bit by bit.
 */
#include <immintrin.h>

typedef __m512 vec;
#define WIDE 2

#define DEFINE_OP(name, ...)                              \
    static inline __attribute__((always_inline)) name     \
    {                                                     \
        return __VA_ARGS__;                               \
    }

DEFINE_OP(vec v_join(__m256 a, __m256 b), _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1))
DEFINE_OP(vec v_load(const float *const *p, int64_t k), v_join(_mm256_loadu_ps(p[0] + k), _mm256_loadu_ps(p[1] + k)))
DEFINE_OP(vec v_set(float x), _mm512_set1_ps(x))
DEFINE_OP(vec v_rows(float a, float b), v_join(_mm256_set1_ps(a), _mm256_set1_ps(b))) /* one number for each row */
DEFINE_OP(vec v_add(vec a, vec b), _mm512_add_ps(a, b))
DEFINE_OP(vec v_sub(vec a, vec b), _mm512_sub_ps(a, b))
DEFINE_OP(vec v_mul(vec a, vec b), _mm512_mul_ps(a, b))
DEFINE_OP(vec v_div(vec a, vec b), _mm512_div_ps(a, b))
DEFINE_OP(vec v_fma(vec a, vec b, vec c), _mm512_fmadd_ps(a, b, c))
DEFINE_OP(vec v_max(vec a, vec b), _mm512_max_ps(a, b)) /* b when either is NaN */
DEFINE_OP(vec v_min(vec a, vec b), _mm512_min_ps(a, b))
DEFINE_OP(__mmask16 v_is_zero(vec x), _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_EQ_OQ))
DEFINE_OP(vec v_choose_zero(vec x, vec a, vec b), _mm512_mask_mov_ps(b, v_is_zero(x), a))

/* The larger of x and low, and *count less one; where x is 0, low and *count as it is. NaN stays NaN. */
static inline __attribute__((always_inline)) vec v_below(vec x, vec low, vec *count)
{
    const __mmask16 other = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    *count = _mm512_mask_sub_ps(*count, other, *count, _mm512_set1_ps(1));
    return _mm512_mask_max_ps(low, other, low, x);
}

/* All of it, the rows one after the other. */
static inline void v_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}

/* n columns from k on, then fill; nothing beyond them is read. */
static inline vec v_load_part(const float *const *p, int64_t k, int64_t n, float fill)
{
    const __mmask8 first = (__mmask8)((n < 8 ? 1u << n : 256) - 1);
    const __m256 rest = _mm256_set1_ps(fill);
    return v_join(_mm256_mask_loadu_ps(rest, first, p[0] + k), _mm256_mask_loadu_ps(rest, first, p[1] + k));
}

/* The first n columns of the first row. */
static inline void v_store_first(float *p, int64_t n, vec a)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}

/* p times the float whose exponent field is the low bits of t. */
DEFINE_OP(vec v_scale(vec p, vec t),
          _mm512_mul_ps(p, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(t), 23))))

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)): e, m, and 2^-e in *power. */
static inline vec v_split(vec x, vec *m, vec *power)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i e = _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f3504f3)), 23);
    *m = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23)));
    *power = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_sub_epi32(_mm512_set1_epi32(127), e), 23));
    return _mm512_cvtepi32_ps(e);
}

/* Lanes to one value a row: l and l + 4, then l and l + 2, then the last two. The halves of one step of the
 * rows of a group, of groups a and b, and of pairs of those, so that what is folded lies beside each other;
 * after three steps row r is lane r. */
DEFINE_OP(__m256 v_low4(vec a), _mm512_castps512_ps256(_mm512_shuffle_f32x4(a, a, 0x88)))
DEFINE_OP(__m256 v_high4(vec a), _mm512_castps512_ps256(_mm512_shuffle_f32x4(a, a, 0xdd)))
DEFINE_OP(__m256 v_low2(__m256 a, __m256 b), _mm256_shuffle_ps(a, b, 0x44))
DEFINE_OP(__m256 v_high2(__m256 a, __m256 b), _mm256_shuffle_ps(a, b, 0xee))
DEFINE_OP(__m256 v_low1(__m256 a, __m256 b), _mm256_shuffle_ps(a, b, 0x88))
DEFINE_OP(__m256 v_high1(__m256 a, __m256 b), _mm256_shuffle_ps(a, b, 0xdd))

#define DEFINE_FOLD(name, op)                                                                 \
    static inline void name(const vec *groups, float *out)                                    \
    {                                                                                         \
        __m256 v[4];                                                                          \
        for (int g = 0; g < 4; g++)                                                           \
            v[g] = op(v_low4(groups[g]), v_high4(groups[g]));                                 \
        for (int g = 0; g < 2; g++)                                                           \
            v[g] = op(v_low2(v[2 * g], v[2 * g + 1]), v_high2(v[2 * g], v[2 * g + 1]));       \
        _mm256_storeu_ps(out, op(v_low1(v[0], v[1]), v_high1(v[0], v[1])));                   \
    }
DEFINE_FOLD(v_fold_add, _mm256_add_ps)
DEFINE_FOLD(v_fold_max, _mm256_max_ps)

/* The two largest of (a, b) and (next a, next b). */
static inline void v_top2(__m256 a, __m256 b, __m256 next_a, __m256 next_b, __m256 *max, __m256 *second)
{
    *max = _mm256_max_ps(a, b);
    *second = _mm256_max_ps(_mm256_min_ps(a, b), _mm256_max_ps(next_a, next_b));
}

static inline void v_fold_top(const vec *max, const vec *second, float *out_max, float *out_second)
{
    __m256 m[4], s[4];
    for (int g = 0; g < 4; g++)
        v_top2(v_low4(max[g]), v_high4(max[g]), v_low4(second[g]), v_high4(second[g]), &m[g], &s[g]);
    for (int g = 0; g < 2; g++) {
        const int i = 2 * g, j = i + 1;
        v_top2(v_low2(m[i], m[j]), v_high2(m[i], m[j]), v_low2(s[i], s[j]), v_high2(s[i], s[j]), &m[g], &s[g]);
    }
    v_top2(v_low1(m[0], m[1]), v_high1(m[0], m[1]), v_low1(s[0], s[1]), v_high1(s[0], s[1]), &m[0], &s[0]);
    _mm256_storeu_ps(out_max, m[0]);
    _mm256_storeu_ps(out_second, s[0]);
}
