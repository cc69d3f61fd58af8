/* dal/rng.h: counter-based random numbers, the same everywhere and in any order.
 *
 * Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * A stream is a value: copy it, keep it, start it at any place with dal_rng_at. Block i of a stream is
 * a pure function of (key, nonce, i), so "draw for sample i" never depends on who drew before.
 */
#ifndef DAL_RNG_H
#define DAL_RNG_H

#include <dal/base.h>
#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_rng {
    uint64_t key;     /* which stream: hash of (seed, component, purpose, round) */
    uint64_t counter; /* next block */
    uint64_t nonce;   /* sub-stream, see dal_rng_at */
    uint32_t out[4];
    uint32_t left; /* unused words of out */
    uint32_t reserved;
} dal_rng;

static inline void dal_philox4x32(uint64_t key, uint64_t nonce, uint64_t counter, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)nonce, c3 = (uint32_t)(nonce >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* FNV-1a over bytes, then a 64-bit finaliser: how names become keys. */
static inline uint64_t dal_hash64(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = (const unsigned char *)data;
    h ^= 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3ull;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

static inline dal_rng dal_rng_from_key(uint64_t key)
{
    dal_rng r = {key, 0, 0, {0, 0, 0, 0}, 0, 0};
    return r;
}

/* The sub-stream of r that belongs to item i (a sample, an epoch, a pass); r itself is not moved. */
static inline dal_rng dal_rng_at(const dal_rng *r, uint64_t i)
{
    dal_rng s = {r->key, 0, i + 1, {0, 0, 0, 0}, 0, 0};
    if (r->nonce) /* sub-stream of a sub-stream: fold the outer nonce into the key */
        s.key = dal_hash64(r->key, &r->nonce, sizeof r->nonce);
    return s;
}

static inline uint32_t dal_rng_u32(dal_rng *r)
{
    if (r->left == 0) {
        dal_philox4x32(r->key, r->nonce, r->counter++, r->out);
        r->left = 4;
    }
    return r->out[4 - r->left--];
}

static inline uint64_t dal_rng_u64(dal_rng *r)
{
    const uint64_t low = dal_rng_u32(r);
    return low | (uint64_t)dal_rng_u32(r) << 32;
}

/* Uniform in [0, 1), 53 bits. */
static inline double dal_rng_uniform(dal_rng *r)
{
    return (double)(dal_rng_u64(r) >> 11) * 0x1p-53;
}

/* Uniform in 0..n-1 without bias (Lemire 2019); n > 0. */
static inline int64_t dal_rng_below(dal_rng *r, int64_t n)
{
    const uint64_t range = (uint64_t)n, floor = (0 - range) % range;
    for (;;) {
        const uint64_t x = dal_rng_u64(r);
        /* high and low half of x * range */
        const uint64_t a = (x & 0xffffffffu) * (range & 0xffffffffu), b = (x >> 32) * (range & 0xffffffffu);
        const uint64_t c = (x & 0xffffffffu) * (range >> 32), d = (x >> 32) * (range >> 32);
        const uint64_t mid = (a >> 32) + (b & 0xffffffffu) + (c & 0xffffffffu);
        const uint64_t low = (mid << 32) | (a & 0xffffffffu);
        if (low >= floor)
            return (int64_t)(d + (b >> 32) + (c >> 32) + (mid >> 32));
    }
}

/* Standard normal (Box-Muller; two uniforms a call, no state kept). */
static inline double dal_rng_normal(dal_rng *r)
{
    const double u = 1.0 - dal_rng_uniform(r), v = dal_rng_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * v);
}

/* The first k of a Fisher-Yates shuffle of x[n]: a uniform sample without replacement, in order. */
static inline void dal_rng_shuffle(dal_rng *r, int64_t *x, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < k && i < n - 1; i++) {
        const int64_t j = i + dal_rng_below(r, n - i), t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}

/* ---- many at once (libdal) --------------------------------------------------------------------- */

/* [any] The first n numbers of a copy of r, one from each 32-bit word of its blocks from r->counter on: out [n]. Value
 * i depends on r and i alone; they are other numbers than those that the calls above draw, and about 30 times as fast.
 * The same bits on every processor. Uniform in [-width, width], steps of width 2^-31 and, above width 2^-7, of a
 * float. */
DAL_PUBLIC void dal_rng_fill_uniform(const dal_rng *r, float width, int64_t n, float *out);
/* [any] The same, normal with mean 0 and this deviation (Box-Muller, 31 and 32 bits a pair, in f32 to within 2e-6
 * deviations; none lies beyond 6.7 deviations, where one of 3 10^10 would). */
DAL_PUBLIC void dal_rng_fill_normal(const dal_rng *r, float deviation, int64_t n, float *out);

#ifdef __cplusplus
}
#endif
#endif
