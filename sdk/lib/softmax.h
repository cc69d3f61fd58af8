/* softmax.h: (libdal, private) the loops over rows of logits or probabilities, eight rows at a time.
 *
 * Written once (softmax_tile.h) over vectors of eight floats of a row, or of two rows, and compiled for
 * AVX-512, for AVX2 and for any machine (lanes_*.h). All do the same roundings in the same order, fused
 * multiply-adds included, so the bits are the same.
 */
#ifndef DAL_LIB_SOFTMAX_H
#define DAL_LIB_SOFTMAX_H

#include <dal/base.h>

#define TILE 8  /* rows */
#define TILES 8 /* whose last steps are taken together: these are long chains with little to do */

/* Rows 0..n-1 (n in 1..TILE) of c >= 1 floats, ld apart. What is said of rows beyond n is of no use.
 * ahead: where TILE * c floats lie that will be wanted soon; only a hint, there may be nothing. */
typedef struct tile {
    const float *z;
    int64_t n, c, ld;
    const float *ahead;
} tile;

/* The largest of each row, and the second (equal to it when two are); NaN is passed over. */
typedef struct tile_top {
    float max[TILE], second[TILE];
} tile_top;

typedef struct tile_sums {
    double rest[TILE]; /* sum of e^x over all but those equal to the maximum; NaN for a bad row */
    double ties[TILE]; /* how many equal the maximum */
    double dot[TILE];  /* sum of e^x x */
} tile_sums;

typedef struct softmax_kernels {
    void (*max)(const tile *t, tile_top *out); /* max alone */
    void (*top)(const tile *t, tile_top *out);
    void (*nan)(const tile *t, float *out); /* 0, or NaN when the row holds NaN or an infinity */
    /* x = z - max[row] */
    void (*sum_exp)(const tile *t, const float *max, tile_sums *out);     /* rest alone, maximum included */
    void (*sum_rest)(const tile *t, const float *max, tile_sums *out);    /* rest, ties */
    void (*sum_entropy)(const tile *t, const float *max, tile_sums *out); /* rest, ties, dot */
    /* of TILES tiles [TILES * TILE] */
    void (*gaps)(const tile_top *top, double *out);       /* 1 - e^(second - max) */
    void (*log_sums)(const tile_sums *sums, double *out); /* ln(ties + rest) */
    void (*sum_p_ln_p)(const tile *t, double *out);      /* of probabilities */
    /* sum of p ln(p/q) - p + q, no term of which is negative; q = 0 only where p is. Relatively exact. */
    void (*sum_divergence)(const tile *p, const tile *q, double *out);
    void (*softmax)(const tile *t, float *out); /* out: as t, and may be t->z */
} softmax_kernels;

/* Chosen when the program runs, so that one library serves all machines. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAVE_X86_KERNELS
#endif

extern const softmax_kernels softmax_plain;
extern const softmax_kernels softmax_avx2;
extern const softmax_kernels softmax_avx512;

/* The best this machine can run. */
const softmax_kernels *softmax_best(void);

#endif
