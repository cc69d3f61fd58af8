/* dal/pca.h: (libdal) principal components of the rows of some matrices taken together.
 *
 * The covariance of centred features (products in float over blocks of fixed size, their sums in double) and its
 * eigenvectors (dal/symmetric.h): O(n d^2 + d^3) time, 8 d^2 bytes. Each component's entry of largest magnitude is
 * positive. The result is the same for any number of threads.
 */
#ifndef DAL_PCA_H
#define DAL_PCA_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [main] sets [n_sets] matrices [any, d] with at least one row in all; 1 <= k <= d. mean [d]; components [k, d] of
 * unit length, largest variance first; variances [k] (divided by the number of rows) or NULL. DAL_E_INVALID for
 * features that are not finite. */
DAL_PUBLIC dal_status dal_pca(const dal_host *host, const dal_matrix *sets, int64_t n_sets, int64_t k,
                              double *mean, float *components, double *variances, dal_error *err);

/* [main] out [n, k] = (x - mean) components'. Equal rows give equal rows. */
DAL_PUBLIC dal_status dal_pca_project(const dal_host *host, const dal_matrix *x, int64_t k, const double *mean,
                                      const float *components, float *out, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
