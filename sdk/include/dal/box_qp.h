/* dal/box_qp.h: (libdal) convex quadratic programs over the box with one equality.
 *
 *     min 1/2 s x' K x + q' x     over     X = { 0 <= x_i <= 1,  sum_i w_i x_i = total }
 *
 * by accelerated projected gradients with restarts (Beck & Teboulle 2009; O'Donoghue & Candes 2015), one product K
 * x an iteration. Curvature is measured along the steps, which stay in X, so what K does to the direction of w
 * costs nothing. Sums in double in a fixed order: equal rows of K with equal q and w keep equal x.
 */
#ifndef DAL_BOX_QP_H
#define DAL_BOX_QP_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [any] The point of X nearest to z [n], into x [n] (may be z). w [n] >= 0, NULL: all 1; 0 <= total <= sum of w.
 * The shift of z - shift w is bisected, then solved for. */
DAL_PUBLIC void dal_box_project(int64_t n, const double *z, const double *w, double total, double *x);

typedef struct dal_box_qp_problem {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n;
    const double *k; /* [n, n] symmetric, positive semidefinite, rows ld apart */
    int64_t ld;
    double scale;    /* s >= 0 */
    const double *q; /* [n] */
    const double *w; /* [n] or NULL */
    double total;
    int64_t max_iterations;
    double tolerance; /* done when no component of a whole gradient step, projected, is larger */
} dal_box_qp_problem;

/* [main] From x [n], which is projected first, to the minimum. *residual: the largest component of the last
 * projected step (> tolerance when the iterations were used up). DAL_E_INVALID when X is empty. Extra memory: 72 n
 * bytes. */
DAL_PUBLIC dal_status dal_box_qp(const dal_host *host, const dal_box_qp_problem *problem, double *x,
                                 double *residual, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
