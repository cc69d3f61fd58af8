/* dal/symmetric.h: (libdal) small symmetric matrices in double: eigenvectors, Cholesky factors.
 *
 * Row-major, [n, n], on LAPACK. Each call is [any], runs on the calling thread alone, and its result depends on its
 * arguments alone. Only finite matrices; n to some thousands (O(n^3)).
 */
#ifndef DAL_SYMMETRIC_H
#define DAL_SYMMETRIC_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* a (its lower triangle is read) = V' diag(values) V: values [n] ascending, row i of a becomes the unit
 * eigenvector of values[i], its entry of largest magnitude positive. DAL_E_DIVERGED when LAPACK does not converge. */
DAL_PUBLIC dal_status dal_eigen(const dal_host *host, int64_t n, double *a, double *values, dal_error *err);

/* a (its lower triangle is read) becomes the lower L of a = L L', zero above. DAL_E_INVALID: not positive definite. */
DAL_PUBLIC dal_status dal_cholesky(int64_t n, double *a, dal_error *err);
/* x [n, m] becomes a^-1 x, l of dal_cholesky. */
DAL_PUBLIC dal_status dal_cholesky_solve(int64_t n, const double *l, int64_t m, double *x, dal_error *err);
/* x [n, m] becomes L^-1 x. */
DAL_PUBLIC dal_status dal_lower_solve(int64_t n, const double *l, int64_t m, double *x, dal_error *err);
/* l of dal_cholesky becomes its own inverse, lower too. */
DAL_PUBLIC dal_status dal_lower_inverse(int64_t n, double *l, dal_error *err);

/* v [n, DAL_LANES] becomes L^-1 v, for L packed row after row: element (i, j <= i) at i (i + 1) / 2 + j. Each column's
 * result has the same bits whatever the other columns hold and whichever column it is. */
#define DAL_LANES 16
DAL_PUBLIC void dal_packed_solve(int64_t n, const double *l, double *v);

#ifdef __cplusplus
}
#endif
#endif
