/* dal/ward.h: (libdal) Ward's hierarchical clustering, exact, in memory linear in n.
 *
 * Ward, "Hierarchical grouping to optimize an objective function", 1963: from n clusters of one sample each, again
 * and again the two whose union costs least become one, with
 *
 *     cost(A, B) = |A| |B| / (|A| + |B|) ||c_A - c_B||^2,     c: the centroid,
 *
 * the growth of the sum of squared distances to the centroids. Found by the nearest-neighbour chain (Murtagh
 * 1983): O(n^2 d) time, distances recomputed from centroids in double. From 128 features on, the distance of the
 * first 32 principal components tells for most pairs that theirs need not be computed: O(n^2) where a few directions
 * hold most of the variance. Where costs are equal several trees are right; the one made depends on x alone.
 */
#ifndef DAL_WARD_H
#define DAL_WARD_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [main] Node k < n is row k of x [n, d]; merge m makes node n + m of the nodes left[m] < right[m]. left, right
 * and cost [n - 1] are the caller's; costs ascend, and a node comes after the nodes it is made of; the root is 2 n
 * - 2. Extra memory: 8 n d + 290 n bytes, and 10 d^2. The rows must be finite. */
DAL_PUBLIC dal_status dal_ward(const dal_host *host, const dal_matrix *x, int64_t *left, int64_t *right,
                               double *cost, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
