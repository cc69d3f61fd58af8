/* dal/minimise.h: (libdal) minimum of a smooth function of many variables, by L-BFGS.
 *
 * Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989; the step length
 * is found by bisection on the weak Wolfe conditions (Lewis and Overton 2013). Deterministic.
 */
#ifndef DAL_MINIMISE_H
#define DAL_MINIMISE_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_lbfgs {
    uint32_t struct_size;
    uint32_t memory;       /* pairs kept; 0: 10 */
    int64_t max_iterations;
    double tolerance;      /* done when no component of the gradient is larger */
    double noise;          /* relative error of the values: smaller differences are taken for equal */
    /* [main] Value and gradient [n] at x [n]. */
    dal_status (*evaluate)(void *ctx, const double *x, double *value, double *gradient, dal_error *err);
    /* [main] Optional: after each iteration; anything but DAL_OK ends the search with that status. */
    dal_status (*visit)(void *ctx, int64_t iteration, double value, double largest_gradient,
                        dal_error *err);
    void *ctx;
} dal_lbfgs;

typedef struct dal_lbfgs_result {
    uint32_t struct_size;
    uint32_t converged; /* 1: tolerance reached; 0: iterations used up, or the values' noise */
    int64_t iterations, evaluations;
    double value, largest_gradient;
} dal_lbfgs_result;

/* [main] Move x [n] downhill from where it is. DAL_E_DIVERGED when the value at the start is not finite. x
 * is always the best point found. */
DAL_PUBLIC dal_status dal_minimise(const dal_host *host, const dal_lbfgs *how, int64_t n, double *x,
                                   dal_lbfgs_result *result, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
