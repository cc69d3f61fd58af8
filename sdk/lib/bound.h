/* bound.h: (libdal, private) what a matrix product says about exact distances.
 *
 * ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y, and the product x.y comes in tiles from BLAS, with rounding errors
 * that are bounded whatever order it adds in: |fl(x.y) - x.y| <= d u |x||y| (Higham, "Accuracy and Stability
 * of Numerical Algorithms", 3.5), u = 2^-24. dal_squared_distance itself is within (d/32 + 8) u of the truth,
 * relatively. With 2|x||y| <= |x|^2 + |y|^2 all of it together is at most kappa (|x|^2 + |y|^2), so
 *
 *     (1 - kappa) (|x|^2 + |y|^2) - 2 fl(x.y)  <=  dal_squared_distance(x, y).
 *
 * Only where the left side does not exceed what would matter is the distance computed: a handful per row.
 */
#ifndef DAL_LIB_BOUND_H
#define DAL_LIB_BOUND_H

#include <dal/linalg.h>
#include <math.h>

#define BOUND_STRIP 64 /* products looked at together */
#define BOUND_UNIT (0x1p-24) /* rounding error of float */
/* What flushed or gradual underflow can take from a sum of d squares. */
#define BOUND_TINY(d) ((double)(d) * 0x1p-124)

static inline double bound_kappa(int64_t d)
{
    return 1.1 * (2 * (double)d + (double)d / 16 + 64) * BOUND_UNIT;
}

/* The part of the left side that is y's: shrink = 1 - kappa, rounded down. */
static inline float bound_offset(const float *y, int64_t d, double shrink)
{
    return nextafterf((float)(shrink * dal_dot(y, y, d)), -INFINITY);
}

/* product + offset below this: the distance may be m or less. */
static inline float bound_limit(double m, double norm, int64_t d, double shrink)
{
    return nextafterf((float)(m + BOUND_TINY(d) - shrink * norm), INFINITY);
}

/* Is any product + offset of a strip below the limit? */
int bound_any_below(const float *products, const float *offsets, float limit);

static inline int64_t bound_tiles(int64_t n, int64_t size)
{
    return n / size + (n % size != 0);
}

#endif
