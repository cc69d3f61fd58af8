/* rng_words.h: (libdal, private) blocks of dal_philox4x32 side by side. */
#ifndef DAL_LIB_RNG_WORDS_H
#define DAL_LIB_RNG_WORDS_H

#include <dal/rng.h>

#define RNG_BLOCKS 16

/* Word w of block first + b of stream r: words[w][b]. */
typedef void rng_words(const dal_rng *r, uint64_t first, uint32_t words[4][RNG_BLOCKS]);

rng_words rng_words_plain;
#if defined(__x86_64__) && defined(__GNUC__)
#define RNG_HAS_X86
rng_words rng_words_avx2, rng_words_avx512; /* only where the processor has these */
#endif

/* The best this machine can run; all give the same words. */
rng_words *rng_words_best(void);

#endif
