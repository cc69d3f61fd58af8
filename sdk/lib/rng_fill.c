/* Many numbers of a stream at once, lane by lane: the same operations, one rounding each, whatever the width of the
 * vectors. */
#include <dal/rng.h>

#include <string.h>

#include "clones.h"
#include "rng_words.h"

#define VALUES (4 * RNG_BLOCKS) /* a number from each of their words */

INLINED float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINED uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* -2 ln u of u = (x / 2 + 1/2) / 2^31, which is in (0, 1]; to within 2e-7 of it, never negative. */
INLINED float minus_2_log(uint32_t x)
{
    const uint32_t bits = bits_of((float)(int32_t)(x >> 1) + 0.5f);
    const int32_t e = (int32_t)(bits - 0x3f3504f3u) >> 23; /* u 2^31 = m 2^e with m in [sqrt(1/2), sqrt(2)) */
    const float f = float_of(bits - ((uint32_t)e << 23)) - 1;
    float p = -7.6345131e-2f; /* as lanes_log.h has it */
    p = p * f + 1.27615809e-1f;
    p = p * f - 1.31601781e-1f;
    p = p * f + 1.42017573e-1f;
    p = p * f - 1.66233584e-1f;
    p = p * f + 2.00012267e-1f;
    p = p * f - 2.50008196e-1f;
    p = p * f + 3.33333313e-1f;
    return -2 * ((float)(e - 31) * 0.693147181f + (f + (p * f - 0.5f) * (f * f)));
}

/* Cosine and sine of a point on the circle, to within 2e-7: the upper two bits are the quarter, the others, with a
 * sign, the way from its beginning, in [-pi/4, pi/4). */
INLINED void circle(uint32_t x, float *cosine, float *sine)
{
    const float a = (float)(int32_t)(x << 2) * (0.785398163f * 0x1p-31f);
    const float q = a * a;
    const float s = a + a * q * (-0.16666657f + q * (8.3328240e-3f + q * -1.9515296e-4f));
    const float c = 1 - 0.5f * q + q * q * (4.1666638e-2f + q * (-1.3887316e-3f + q * 2.4433157e-5f));
    const int turned = (x & 0x40000000u) != 0; /* by a quarter: (c, s) becomes (-s, c) */
    const uint32_t half = x & 0x80000000u;     /* by a half: both change their sign */
    *cosine = float_of(bits_of(turned ? -s : c) ^ half);
    *sine = float_of(bits_of(turned ? c : s) ^ half);
}

/* [VALUES]; of Box & Muller's pairs one lies 16 numbers behind the other. */
DAL_CLONES static void to_normal(uint32_t words[4][RNG_BLOCKS], float deviation, float *out)
{
    for (int pair = 0; pair < 4; pair += 2)
        for (int b = 0; b < RNG_BLOCKS; b++) {
            float c, s;
            const float length = deviation * sqrtf(minus_2_log(words[pair][b]));
            circle(words[pair + 1][b], &c, &s);
            out[pair * RNG_BLOCKS + b] = length * c;
            out[(pair + 1) * RNG_BLOCKS + b] = length * s;
        }
}

DAL_CLONES static void to_uniform(uint32_t words[4][RNG_BLOCKS], float width, float *out)
{
    for (int w = 0; w < 4; w++)
        for (int b = 0; b < RNG_BLOCKS; b++)
            out[w * RNG_BLOCKS + b] = width * ((float)(int32_t)words[w][b] * 0x1p-31f);
}

static void fill(const dal_rng *r, void (*to_values)(uint32_t words[4][RNG_BLOCKS], float by, float *out), float by,
                 int64_t n, float *out)
{
    rng_words *draw = rng_words_best();
    uint32_t words[4][RNG_BLOCKS];
    float last[VALUES];
    for (int64_t at = 0; at < n; at += VALUES) {
        draw(r, r->counter + (uint64_t)(at / 4), words);
        to_values(words, by, at + VALUES <= n ? out + at : last);
        if (at + VALUES > n)
            memcpy(out + at, last, (size_t)(n - at) * sizeof *out);
    }
}

void dal_rng_fill_normal(const dal_rng *r, float deviation, int64_t n, float *out)
{
    fill(r, to_normal, deviation, n, out);
}

void dal_rng_fill_uniform(const dal_rng *r, float width, int64_t n, float *out)
{
    fill(r, to_uniform, width, n, out);
}
