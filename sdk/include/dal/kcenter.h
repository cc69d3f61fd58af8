/* dal/kcenter.h: (libdal) k-center greedy: again and again the sample farthest from everything chosen.
 *
 * m_i = min over the centres of ||x_i - y||^2; b times: i* = argmax m (ties: the lowest row), then
 * m_i = min(m_i, ||x_i - x_i*||^2) and i* is out. The picks are exactly those of these two lines with every
 * distance computed by dal_squared_distance, but few distances are: matrix products tell which of the given
 * centres can matter to a sample, and a heap of stale upper bounds tells which samples need to look at the
 * latest picks. Memory beside the features: 28 n bytes and some megabytes; never an n x n matrix.
 */
#ifndef DAL_KCENTER_H
#define DAL_KCENTER_H

#include <dal/base.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_kcenter_problem {
    uint32_t struct_size;
    uint32_t reserved;
    dal_matrix candidates;     /* [n, d] */
    const dal_matrix *centres; /* [n_centres] matrices [any, d]; may be empty */
    int64_t n_centres;
    int64_t first;  /* the row picked first when there are no centres */
    int64_t n_picks; /* b; at most n are made */
} dal_kcenter_problem;

/* [main] Rows of the candidates in the order picked, and the squared distance of each from all that was
 * chosen before it (infinite for the very first); both arrays have room for n_picks. *n: how many.
 * DAL_E_INVALID for features that are not finite or whose distances leave the range of float. */
DAL_PUBLIC dal_status dal_kcenter(const dal_host *host, const dal_kcenter_problem *problem, int64_t *picks,
                                  float *distance, int64_t *n, dal_error *err);

/* [main] m[i] = min over all rows y of the centres of ||x_i - y||^2 (infinite when there are none), every one by
 * dal_squared_distance: [n]. Centres are matrices of x->cols columns. Errors as above. */
DAL_PUBLIC dal_status dal_nearest_distances(const dal_host *host, const dal_matrix *x, const dal_matrix *centres,
                                            int64_t n_centres, float *m, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
