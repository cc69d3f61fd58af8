/* kmeans.h: (libdal, private) the parts of k-means. */
#ifndef DAL_LIB_KMEANS_H
#define DAL_LIB_KMEANS_H

#include <dal/kmeans.h>

#define KMEANS_UNKNOWN INT32_MAX
#define KMEANS_BLOCK 512 /* rows whose numbers are summed together, and handed to a thread together */

typedef struct kmeans {
    const dal_host *host;
    const dal_kmeans_problem *p;
    int64_t n, d, k, all;   /* all = k + n_fixed */
    float *norms;           /* [n] ||x||^2 */
    double *sums;           /* [blocks of n] */
    float *centres;         /* [all rounded up to whole strips, d] the free ones first; what is beyond is zero */
    float *offsets;         /* as many: bound_offset; infinite beyond */
    int32_t *assignment;    /* [n] */
    float *distance;        /* [n] m: squared, to the nearest centre */
} kmeans;

static inline double kmeans_weight(const kmeans *s, int64_t i)
{
    return s->p->weights ? s->p->weights[i] : 1;
}

static inline const float *kmeans_row(const kmeans *s, int64_t i)
{
    return s->p->x.data + i * s->p->x.stride;
}

/* Sum of w m (w: with `plain`) by block into sums, and of these in order: the same wherever it is computed. */
dal_status kmeans_potential(kmeans *s, int plain, double *total);

/* Seeds into the first k centres; m becomes the squared distance to the nearest centre. */
dal_status kmeans_seed(kmeans *s, dal_rng *r, dal_error *err);

/* assignment and distance from the centres, beginning with the last assignment or, where that is UNKNOWN, with
 * the known distance to the nearest. */
dal_status kmeans_assign(kmeans *s);

#endif
