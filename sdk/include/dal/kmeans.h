/* dal/kmeans.h: (libdal) k-means: k-means++ seeding and Lloyd's iteration, exact.
 *
 * Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; Lloyd, "Least squares
 * quantization in PCM", 1982. In each start:
 *
 *   seeds       one after another, sample i with a probability proportional to w_i m_i, m_i the squared distance
 *               to the nearest centre so far (w_i alone while there is none); when all is zero, the lowest row
 *               that is no seed yet.
 *   assign      every sample to its nearest centre by dal_squared_distance; ties: the lowest centre.
 *   fill        a free cluster without weight takes the sample of the largest w_i m_i > 0 from a cluster that has
 *               more samples (of positive weight) than that one; the lowest empty cluster first, ties: lowest row.
 *   move        a centre to the weighted mean of its samples (sums in double, in row order); if there is weight.
 *   stop        after max_iterations, or when the root of the sum of squares of all moves is below tolerance.
 *
 * The start of the least inertia wins, the first of equals. The result is exactly that of these lines, for any
 * number of threads; matrix products and bounds only tell which distances need not be computed.
 * Memory beside x: 8 (k + n_fixed) d + 32 n bytes, 4 n for each 32 centres (at most 1024 n) and some megabytes.
 */
#ifndef DAL_KMEANS_H
#define DAL_KMEANS_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_kmeans_problem {
    uint32_t struct_size;
    uint32_t reserved;
    dal_matrix x;          /* [n, d] */
    const double *weights; /* [n] finite, >= 0; NULL: all 1 */
    dal_matrix fixed;      /* [n_fixed, d]: centres that attract and never move; rows 0: none */
    int64_t k;             /* free clusters, 1..n */
    int64_t starts;        /* >= 1 */
    int64_t max_iterations; /* >= 0; 0: the seeds are the centres */
    double tolerance;
} dal_kmeans_problem;

/* What is wanted and not NULL is filled; the arrays are the caller's. */
typedef struct dal_kmeans_result {
    uint32_t struct_size;
    uint32_t reserved;
    float *centres;      /* [k, d] */
    int32_t *assignment; /* [n] 0..k-1, or k + j for fixed centre j */
    float *distance;     /* [n] squared, to that centre */
    int64_t *nearest;    /* [k] of each cluster the sample nearest its centre, ties: the lowest row; then, for
                            clusters without samples, in their order, the nearest sample not named before */
    double inertia;      /* sum of w_i m_i */
    int64_t iterations;  /* moves made in the start that won */
} dal_kmeans_result;

/* [main] DAL_E_INVALID for k outside 1..n, weights below 0 or not finite, features that are not finite or whose
 * distances leave the range of float. Start s draws from sub-stream s of `stream`. */
DAL_PUBLIC dal_status dal_kmeans(const dal_host *host, const dal_kmeans_problem *problem, const dal_rng *stream,
                                 dal_kmeans_result *out, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
