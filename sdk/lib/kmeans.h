/* kmeans.h: (libdal, private) the parts of k-means. */
#ifndef DAL_LIB_KMEANS_H
#define DAL_LIB_KMEANS_H

#include <dal/kmeans.h>

#define KMEANS_UNKNOWN INT32_MAX
#define KMEANS_BLOCK 512 /* rows whose numbers are summed together, and handed to a thread together */

/* Centres that are near each other, so that one number a sample bounds its distance from all of a group. */
typedef struct kmeans_groups {
    int64_t n, width;  /* G groups of at most W centres; slot g W + i holds the i-th of group g */
    int32_t *members;  /* [G W] centres by slot, those that moved most first; -1: nobody */
    int32_t *slots;    /* [all] where each is */
    float *drifts;     /* [G W] how far each moved at most; nobody: below 0 */
    float *packed;     /* [G W, d] centres by slot */
    float *offsets;    /* [G W] bound_offset; infinite for nobody */
} kmeans_groups;

typedef struct kmeans {
    const dal_host *host;
    const dal_kmeans_problem *p;
    int64_t n, d, k, all;  /* all = k + n_fixed */
    float *norms;          /* [n] ||x||^2 */
    double *sums;          /* [blocks of n] */
    float *centres;        /* [all, d] the free ones first */
    double *shifts;        /* [all] squared moves of the last iteration */
    int32_t *assignment;   /* [n] */
    float *distance;       /* [n] m: squared, to the nearest centre */
    kmeans_groups groups;
    float *lower;          /* [n, G] no centre of the group but the sample's own is nearer (not squared) */
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

/* Room for groups of the state's centres. 0 without memory. kmeans_group puts centres into them, kmeans_pack
 * brings positions and drifts (of shifts) up to date. */
int kmeans_take_groups(kmeans *s);
void kmeans_drop_groups(kmeans *s);
dal_status kmeans_group(kmeans *s);
dal_status kmeans_pack(kmeans *s);

/* Before the first assignment of a start: nothing is known but m. */
void kmeans_forget(kmeans *s, int64_t row);
/* assignment and distance from the centres, which moved by shifts since the last. */
dal_status kmeans_assign(kmeans *s);

#endif
