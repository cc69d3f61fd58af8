/* dal_rng_fill_* once more, for any processor: what the library's own must equal, whichever of its loops runs here. */
#define DAL_NO_CLONES
#define dal_rng_fill_normal plain_fill_normal
#define dal_rng_fill_uniform plain_fill_uniform
#include "sdk/lib/rng_fill.c"
