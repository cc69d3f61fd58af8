/* Compilers find no good way to the upper half of a product of 32 bits, lane by lane: so by hand, in lanes of 64 bits,
 * of which the upper half is rubbish until the end. */
#include "rng_words.h"

#ifdef RNG_HAS_X86
#include <immintrin.h>
#endif

#define M0 0xD2511F53
#define M1 0xCD9E8D57
#define K0 0x9E3779B9u
#define K1 0xBB67AE85u
#define ROUNDS 10

void rng_words_plain(const dal_rng *r, uint64_t first, uint32_t words[4][RNG_BLOCKS])
{
    for (int b = 0; b < RNG_BLOCKS; b++) {
        uint32_t block[4];
        dal_philox4x32(r->key, r->nonce, first + (uint64_t)b, block);
        for (int w = 0; w < 4; w++)
            words[w][b] = block[w];
    }
}

#ifdef RNG_HAS_X86
#define PARTS_AVX512 (RNG_BLOCKS / 8)

__attribute__((target("avx512f")))
void rng_words_avx512(const dal_rng *r, uint64_t first, uint32_t words[4][RNG_BLOCKS])
{
    const __m512i m0 = _mm512_set1_epi64(M0), m1 = _mm512_set1_epi64(M1);
    const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    __m512i c[PARTS_AVX512][4];
    uint32_t k0 = (uint32_t)r->key, k1 = (uint32_t)(r->key >> 32);
    for (int p = 0; p < PARTS_AVX512; p++) {
        c[p][0] = _mm512_add_epi64(_mm512_set1_epi64((long long)(first + 8 * (uint64_t)p)), lanes);
        c[p][1] = _mm512_srli_epi64(c[p][0], 32);
        c[p][2] = _mm512_set1_epi64((long long)r->nonce);
        c[p][3] = _mm512_srli_epi64(c[p][2], 32);
    }
    for (int round = 0; round < ROUNDS; round++, k0 += K0, k1 += K1) {
        const __m512i a = _mm512_set1_epi32((int)k0), b = _mm512_set1_epi32((int)k1);
        for (int p = 0; p < PARTS_AVX512; p++) {
            const __m512i p0 = _mm512_mul_epu32(c[p][0], m0), p1 = _mm512_mul_epu32(c[p][2], m1);
            c[p][0] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c[p][1], a, 0x96); /* all three by xor */
            c[p][2] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c[p][3], b, 0x96);
            c[p][1] = p1;
            c[p][3] = p0;
        }
    }
    for (int p = 0; p < PARTS_AVX512; p++)
        for (int w = 0; w < 4; w++)
            _mm256_storeu_si256((__m256i *)(void *)(words[w] + 8 * p), _mm512_cvtepi64_epi32(c[p][w]));
}

/* The lower halves of eight lanes. */
__attribute__((target("avx2")))
static inline __m256i lower_halves(__m256i x, __m256i y)
{
    const __m256 mixed = _mm256_shuffle_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xd8);
}

__attribute__((target("avx2")))
static void words_of_8(const dal_rng *r, uint64_t first, uint32_t *words[4])
{
    const __m256i m0 = _mm256_set1_epi64x(M0), m1 = _mm256_set1_epi64x(M1);
    __m256i c[2][4];
    uint32_t k0 = (uint32_t)r->key, k1 = (uint32_t)(r->key >> 32);
    for (int p = 0; p < 2; p++) {
        c[p][0] = _mm256_add_epi64(_mm256_set1_epi64x((long long)(first + 4 * (uint64_t)p)),
                                   _mm256_setr_epi64x(0, 1, 2, 3));
        c[p][1] = _mm256_srli_epi64(c[p][0], 32);
        c[p][2] = _mm256_set1_epi64x((long long)r->nonce);
        c[p][3] = _mm256_srli_epi64(c[p][2], 32);
    }
    for (int round = 0; round < ROUNDS; round++, k0 += K0, k1 += K1) {
        const __m256i a = _mm256_set1_epi32((int)k0), b = _mm256_set1_epi32((int)k1);
        for (int p = 0; p < 2; p++) {
            const __m256i p0 = _mm256_mul_epu32(c[p][0], m0), p1 = _mm256_mul_epu32(c[p][2], m1);
            c[p][0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c[p][1]), a);
            c[p][2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c[p][3]), b);
            c[p][1] = p1;
            c[p][3] = p0;
        }
    }
    for (int w = 0; w < 4; w++)
        _mm256_storeu_si256((__m256i *)(void *)words[w], lower_halves(c[0][w], c[1][w]));
}

__attribute__((target("avx2")))
void rng_words_avx2(const dal_rng *r, uint64_t first, uint32_t words[4][RNG_BLOCKS])
{
    for (int b = 0; b < RNG_BLOCKS; b += 8) {
        uint32_t *to[4] = {words[0] + b, words[1] + b, words[2] + b, words[3] + b};
        words_of_8(r, first + (uint64_t)b, to);
    }
}
#endif

rng_words *rng_words_best(void)
{
#ifdef RNG_HAS_X86
    if (__builtin_cpu_supports("avx512f"))
        return rng_words_avx512;
    if (__builtin_cpu_supports("avx2"))
        return rng_words_avx2;
#endif
    return rng_words_plain;
}
