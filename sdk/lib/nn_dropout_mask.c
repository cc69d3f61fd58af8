/* Which values dropout keeps: Philox 4x32-10 (Salmon et al. 2011, as in dal/rng.h), sixteen blocks side by side. */
#include "nn_private.h"

#include "clones.h"

#define BLOCKS 16           /* of a stream */
#define VALUES (BLOCKS * 8) /* a block is four numbers, of which each half decides on one value */

/* dal_philox4x32 of the blocks counter..counter+BLOCKS-1, lane by lane. */
DAL_CLONES static void keep_blocks(uint64_t key, uint64_t nonce, uint64_t counter, uint32_t limit, unsigned char *keep)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32), c[4][BLOCKS], bits[4 * BLOCKS];
    for (int b = 0; b < BLOCKS; b++) {
        c[0][b] = (uint32_t)(counter + (uint64_t)b);
        c[1][b] = (uint32_t)((counter + (uint64_t)b) >> 32);
        c[2][b] = (uint32_t)nonce;
        c[3][b] = (uint32_t)(nonce >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int b = 0; b < BLOCKS; b++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c[0][b], p1 = (uint64_t)0xCD9E8D57u * c[2][b];
            const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1][b] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3][b] ^ k1;
            c[1][b] = (uint32_t)p1;
            c[3][b] = (uint32_t)p0;
            c[0][b] = n0;
            c[2][b] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int b = 0; b < BLOCKS; b++)
        for (int w = 0; w < 4; w++)
            bits[4 * b + w] = c[w][b];
    for (int i = 0; i < 4 * BLOCKS; i++) {
        keep[2 * i] = (bits[i] & 0xffffu) >= limit;
        keep[2 * i + 1] = bits[i] >> 16 >= limit;
    }
}

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#define WIDE_CODE __attribute__((target("avx512f,avx512bw,avx512vl")))
#define WIDE_OP static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl")))

/* Lower and upper halves of 64-bit products, sixteen at a time: the instruction makes every other one. */
WIDE_OP void multiply(__m512i x, uint32_t by, __m512i *low, __m512i *high)
{
    const __m512i factor = _mm512_set1_epi32((int)by);
    const __m512i even = _mm512_mul_epu32(x, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), factor);
    *low = _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
    *high = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
}

/* Bytes 1 and 0 of four blocks, from their 16 numbers. */
WIDE_OP __m256i decide(__m512i numbers, __m512i limit)
{
    return _mm256_maskz_set1_epi8(_mm512_cmpge_epu16_mask(numbers, limit), 1);
}

/* The same as keep_blocks, where the lower half of the counter does not run over. */
WIDE_CODE static void keep_wide(uint64_t key, uint64_t nonce, uint64_t counter, uint32_t limit, unsigned char *keep)
{
    const __m512i places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i least = _mm512_set1_epi16((short)limit);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32((int)(uint32_t)counter), places), low0, high0, low1, high1;
    __m512i c1 = _mm512_set1_epi32((int)(uint32_t)(counter >> 32)), c2 = _mm512_set1_epi32((int)(uint32_t)nonce);
    __m512i c3 = _mm512_set1_epi32((int)(uint32_t)(nonce >> 32));
    for (int round = 0; round < 10; round++) {
        multiply(c0, 0xD2511F53u, &low0, &high0);
        multiply(c2, 0xCD9E8D57u, &low1, &high1);
        c0 = _mm512_ternarylogic_epi32(high1, c1, _mm512_set1_epi32((int)k0), 0x96); /* exclusive or of three */
        c2 = _mm512_ternarylogic_epi32(high0, c3, _mm512_set1_epi32((int)k1), 0x96);
        c1 = low1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const __m512i a = _mm512_unpacklo_epi32(c0, c1), b = _mm512_unpacklo_epi32(c2, c3);
    const __m512i c = _mm512_unpackhi_epi32(c0, c1), d = _mm512_unpackhi_epi32(c2, c3);
    /* blocks 0, 4, 8, 12; 1, 5, 9, 13; ... */
    const __m256i r0 = decide(_mm512_unpacklo_epi64(a, b), least), r1 = decide(_mm512_unpackhi_epi64(a, b), least);
    const __m256i r2 = decide(_mm512_unpacklo_epi64(c, d), least), r3 = decide(_mm512_unpackhi_epi64(c, d), least);
    const __m256i e01 = _mm256_unpacklo_epi64(r0, r1), e23 = _mm256_unpacklo_epi64(r2, r3); /* 0 1 8 9; 2 3 10 11 */
    const __m256i o01 = _mm256_unpackhi_epi64(r0, r1), o23 = _mm256_unpackhi_epi64(r2, r3); /* 4 5 12 13; 6 7 14 15 */
    _mm256_storeu_si256((void *)keep, _mm256_permute2x128_si256(e01, e23, 0x20));
    _mm256_storeu_si256((void *)(keep + 32), _mm256_permute2x128_si256(o01, o23, 0x20));
    _mm256_storeu_si256((void *)(keep + 64), _mm256_permute2x128_si256(e01, e23, 0x31));
    _mm256_storeu_si256((void *)(keep + 96), _mm256_permute2x128_si256(o01, o23, 0x31));
}

static int is_wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#else
#define keep_wide keep_blocks

static int is_wide(void)
{
    return 0;
}
#endif

static void keep_some(const dal_rng *r, int64_t at, uint32_t limit, int wide, unsigned char *keep)
{
    const uint64_t counter = r->counter + (uint64_t)(at / 8);
    (wide && (uint32_t)counter <= UINT32_MAX - BLOCKS ? keep_wide : keep_blocks)(r->key, r->nonce, counter, limit, keep);
}

void nn_dropout_mask(dal_rng r, double rate, int64_t n, unsigned char *keep)
{
    const uint32_t limit = (uint32_t)(rate * 65536);
    const int wide = is_wide();
    int64_t at = 0;
    for (; at + VALUES <= n; at += VALUES)
        keep_some(&r, at, limit, wide, keep + at);
    if (at < n) {
        unsigned char last[VALUES];
        keep_some(&r, at, limit, wide, last);
        memcpy(keep + at, last, (size_t)(n - at));
    }
}
