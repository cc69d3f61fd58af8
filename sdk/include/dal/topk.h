/* dal/topk.h: (libdal) the best k of a stream of scores, in one total order.
 *
 * Better is the larger (or smaller) score, then the lower index; NaN is worse than any number. What is kept
 * does not depend on the order in which scores arrive, so blocks may be pushed from any thread into heaps of
 * their own and merged. Memory: 16 k bytes, the caller's.
 */
#ifndef DAL_TOPK_H
#define DAL_TOPK_H

#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_topk {
    int64_t k, n;    /* room, kept */
    int64_t n_nan;   /* NaN scores seen */
    uint32_t order;  /* DAL_LARGEST_FIRST or DAL_SMALLEST_FIRST */
    uint32_t reserved;
    double *scores;  /* [k] a heap, its worst first; sorted after dal_topk_sort */
    int64_t *index;  /* [k] */
} dal_topk;

/* scores and index: the caller's, [k]. */
DAL_PUBLIC void dal_topk_init(dal_topk *t, int64_t k, uint32_t order, double *scores, int64_t *index);
/* scores[n] of the indices first..first+n-1. */
DAL_PUBLIC void dal_topk_push(dal_topk *t, const double *scores, int64_t first, int64_t n);
/* Take over what another heap of the same order kept and counted. */
DAL_PUBLIC void dal_topk_merge(dal_topk *into, const dal_topk *from);
/* Best first. Nothing may be pushed afterwards. */
DAL_PUBLIC void dal_topk_sort(dal_topk *t);

#ifdef __cplusplus
}
#endif
#endif
