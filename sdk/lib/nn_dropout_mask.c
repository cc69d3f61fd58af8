/* Which values dropout keeps: each half of the stream's words (dal/rng.h) decides on one. */
#include "nn_private.h"

#include "clones.h"
#include "rng_words.h"

#define VALUES (RNG_BLOCKS * 8)

DAL_CLONES static void decide(uint32_t words[4][RNG_BLOCKS], uint32_t limit, unsigned char *restrict keep)
{
    uint32_t bits[4 * RNG_BLOCKS];
    for (int b = 0; b < RNG_BLOCKS; b++)
        for (int w = 0; w < 4; w++)
            bits[4 * b + w] = words[w][b];
    for (int i = 0; i < 4 * RNG_BLOCKS; i++) {
        keep[2 * i] = (bits[i] & 0xffffu) >= limit;
        keep[2 * i + 1] = bits[i] >> 16 >= limit;
    }
}

void nn_dropout_mask(dal_rng r, double rate, int64_t n, unsigned char *keep)
{
    const uint32_t limit = (uint32_t)(rate * 65536);
    rng_words *draw = rng_words_best();
    uint32_t words[4][RNG_BLOCKS];
    unsigned char last[VALUES];
    for (int64_t at = 0; at < n; at += VALUES) {
        const int whole = at + VALUES <= n;
        draw(&r, r.counter + (uint64_t)(at / 8), words);
        decide(words, limit, whole ? keep + at : last);
        if (!whole)
            memcpy(keep + at, last, (size_t)(n - at));
    }
}
