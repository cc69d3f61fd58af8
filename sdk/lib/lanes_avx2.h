/* Eight floats in one AVX2 register; the same values as lanes_plain.h, bit by bit. */
#include <immintrin.h>

typedef __m256 vec;
#define WIDE 1

#define DEFINE_OP(name, ...)                                       \
    static inline __attribute__((always_inline)) vec name          \
    {                                                              \
        return __VA_ARGS__;                                        \
    }

DEFINE_OP(v_load(const float *const *p, int64_t k), _mm256_loadu_ps(p[0] + k))
DEFINE_OP(v_rows(float first, float second), ((void)second, _mm256_set1_ps(first))) /* one number for each row */
DEFINE_OP(v_set(float x), _mm256_set1_ps(x))
DEFINE_OP(v_add(vec a, vec b), _mm256_add_ps(a, b))
DEFINE_OP(v_sub(vec a, vec b), _mm256_sub_ps(a, b))
DEFINE_OP(v_mul(vec a, vec b), _mm256_mul_ps(a, b))
DEFINE_OP(v_div(vec a, vec b), _mm256_div_ps(a, b))
DEFINE_OP(v_fma(vec a, vec b, vec c), _mm256_fmadd_ps(a, b, c))
DEFINE_OP(v_max(vec a, vec b), _mm256_max_ps(a, b)) /* b when either is NaN */
DEFINE_OP(v_min(vec a, vec b), _mm256_min_ps(a, b))
DEFINE_OP(v_is_zero(vec x), _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_EQ_OQ))
DEFINE_OP(v_choose_zero(vec x, vec a, vec b), _mm256_blendv_ps(b, a, v_is_zero(x)))

/* The larger of x and low, and *count less one; where x is 0, low and *count as it is. NaN stays NaN. */
static inline __attribute__((always_inline)) vec v_below(vec x, vec low, vec *count)
{
    const vec same = v_is_zero(x);
    *count = _mm256_sub_ps(*count, _mm256_andnot_ps(same, _mm256_set1_ps(1)));
    return v_max(low, _mm256_or_ps(x, _mm256_and_ps(same, low))); /* 0 has no bits but its sign, which low has too */
}

/* All of it, the rows one after the other. */
static inline void v_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a);
}

static inline __m256i v_first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* n columns from k on, then fill; nothing beyond them is read. */
static inline vec v_load_part(const float *const *p, int64_t k, int64_t n, float fill)
{
    const __m256i first = v_first(n);
    return _mm256_blendv_ps(v_set(fill), _mm256_maskload_ps(p[0] + k, first), _mm256_castsi256_ps(first));
}

/* The first n columns of the first row. */
static inline void v_store_first(float *p, int64_t n, vec a)
{
    _mm256_maskstore_ps(p, v_first(n), a);
}

/* p times the float whose exponent field is the low bits of t. */
DEFINE_OP(v_scale(vec p, vec t),
          _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), 23))))

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)): e, m, and 2^-e in *power. */
static inline vec v_split(vec x, vec *m, vec *power)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i e = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f3504f3)), 23);
    *m = _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(e, 23)));
    *power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(127), e), 23));
    return _mm256_cvtepi32_ps(e);
}

/* Lanes to one value a row: l and l + 4, then l and l + 2, then the last two. The halves of one step of two
 * rows a and b, so that what is folded lies beside each other; after three steps row r is lane r. */
DEFINE_OP(v_low4(vec a, vec b), _mm256_permute2f128_ps(a, b, 0x20))
DEFINE_OP(v_high4(vec a, vec b), _mm256_permute2f128_ps(a, b, 0x31))
DEFINE_OP(v_low2(vec a, vec b), _mm256_shuffle_ps(a, b, 0x44))
DEFINE_OP(v_high2(vec a, vec b), _mm256_shuffle_ps(a, b, 0xee))
DEFINE_OP(v_low1(vec a, vec b), _mm256_shuffle_ps(a, b, 0x88))
DEFINE_OP(v_high1(vec a, vec b), _mm256_shuffle_ps(a, b, 0xdd))

#define DEFINE_FOLD(name, op)                                                               \
    static inline void name(const vec *rows, float *out)                                    \
    {                                                                                       \
        vec v[4];                                                                           \
        for (int r = 0; r < 4; r++)                                                         \
            v[r] = op(v_low4(rows[r], rows[r + 4]), v_high4(rows[r], rows[r + 4]));         \
        for (int r = 0; r < 2; r++)                                                         \
            v[r] = op(v_low2(v[2 * r], v[2 * r + 1]), v_high2(v[2 * r], v[2 * r + 1]));     \
        _mm256_storeu_ps(out, op(v_low1(v[0], v[1]), v_high1(v[0], v[1])));                 \
    }
DEFINE_FOLD(v_fold_add, v_add)
DEFINE_FOLD(v_fold_max, v_max)

/* The two largest of (a, b) and (next a, next b). */
static inline void v_top2(vec a, vec b, vec next_a, vec next_b, vec *max, vec *second)
{
    *max = v_max(a, b);
    *second = v_max(v_min(a, b), v_max(next_a, next_b));
}

static inline void v_fold_top(const vec *max, const vec *second, float *out_max, float *out_second)
{
    vec m[4], s[4];
    for (int r = 0; r < 4; r++)
        v_top2(v_low4(max[r], max[r + 4]), v_high4(max[r], max[r + 4]), v_low4(second[r], second[r + 4]),
               v_high4(second[r], second[r + 4]), &m[r], &s[r]);
    for (int r = 0; r < 2; r++) {
        const int i = 2 * r, j = i + 1;
        v_top2(v_low2(m[i], m[j]), v_high2(m[i], m[j]), v_low2(s[i], s[j]), v_high2(s[i], s[j]), &m[r], &s[r]);
    }
    v_top2(v_low1(m[0], m[1]), v_high1(m[0], m[1]), v_low1(s[0], s[1]), v_high1(s[0], s[1]), &m[0], &s[0]);
    _mm256_storeu_ps(out_max, m[0]);
    _mm256_storeu_ps(out_second, s[0]);
}
