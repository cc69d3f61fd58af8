#include <dal/symmetric.h>

#include "clones.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>

/* LAPACK as OpenBLAS has it; column-major, so that its "U" is our lower triangle and its columns are our rows. */
extern void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w,
                    double *work, const int *n_work, int *iwork, const int *n_iwork, int *info);
extern void dpotrf_(const char *triangle, const int *n, double *a, const int *lda, int *info);
extern void dtrtri_(const char *triangle, const char *diagonal, const int *n, double *a, const int *lda, int *info);

static dal_status check_size(int64_t n, int64_t m, dal_error *err)
{
    if (n < 0 || m < 0 || n > 32768 || m > INT_MAX)
        return dal_fail(err, DAL_E_OVERFLOW, "",
                        "a matrix of %lld rows and %lld columns is too large for a dense factorisation", (long long)n,
                        (long long)m);
    return DAL_OK;
}

/* Eigenvectors have no sign of their own. */
static void fix_signs(int64_t n, double *a)
{
    for (int64_t i = 0; i < n; i++) {
        double *row = a + i * n;
        int64_t top = 0;
        for (int64_t j = 1; j < n; j++)
            if (fabs(row[j]) > fabs(row[top]))
                top = j;
        const double sign = row[top] < 0 ? -1 : 1;
        for (int64_t j = 0; j < n; j++)
            row[j] *= sign;
    }
}

dal_status dal_eigen(const dal_host *host, int64_t n, double *a, double *values, dal_error *err)
{
    double size;
    int info = 0, many, many_ints, size_ints;
    const int order = (int)n, ask = -1;
    dal_status st = check_size(n, n, err);
    if (st != DAL_OK || n == 0)
        return st;
    dsyevd_("V", "U", &order, a, &order, values, &size, &ask, &size_ints, &ask, &info);
    many = (int)size;
    many_ints = size_ints;
    double *work = dal_array(host, many, sizeof *work);
    int *ints = dal_array(host, many_ints, sizeof *ints);
    if (!work || !ints)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the eigenvectors of %lld rows", (long long)n);
    else
        dsyevd_("V", "U", &order, a, &order, values, work, &many, ints, &many_ints, &info);
    if (st == DAL_OK && info != 0)
        st = dal_fail(err, DAL_E_DIVERGED, "",
                      "no eigenvectors: the iteration does not converge (are all numbers finite?)");
    if (st == DAL_OK)
        fix_signs(n, a);
    host->free(host, work);
    host->free(host, ints);
    return st;
}

dal_status dal_cholesky(int64_t n, double *a, dal_error *err)
{
    const int order = (int)n;
    int info = 0;
    const dal_status st = check_size(n, n, err);
    if (st != DAL_OK || n == 0)
        return st;
    dpotrf_("U", &order, a, &order, &info);
    if (info != 0)
        return dal_fail(err, DAL_E_INVALID, "", "the matrix is not positive definite (row %d of %lld)", info,
                        (long long)n);
    for (int64_t i = 0; i < n; i++)
        memset(a + i * n + i + 1, 0, (size_t)(n - i - 1) * sizeof *a);
    return DAL_OK;
}

dal_status dal_lower_solve(int64_t n, const double *l, int64_t m, double *x, dal_error *err)
{
    const dal_status st = check_size(n, m, err);
    if (st == DAL_OK && n > 0 && m > 0)
        cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, (int)n, (int)m, 1, l, (int)n, x,
                    (int)m);
    return st;
}

dal_status dal_cholesky_solve(int64_t n, const double *l, int64_t m, double *x, dal_error *err)
{
    const dal_status st = dal_lower_solve(n, l, m, x, err);
    if (st == DAL_OK && n > 0 && m > 0)
        cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, (int)n, (int)m, 1, l, (int)n, x,
                    (int)m);
    return st;
}

dal_status dal_lower_inverse(int64_t n, double *l, dal_error *err)
{
    const int order = (int)n;
    int info = 0;
    const dal_status st = check_size(n, n, err);
    if (st != DAL_OK || n == 0)
        return st;
    dtrtri_("U", "N", &order, l, &order, &info);
    if (info != 0)
        return dal_fail(err, DAL_E_INVALID, "", "the factor is singular (row %d of %lld)", info, (long long)n);
    return DAL_OK;
}

DAL_CLONES void dal_packed_solve(int64_t n, const double *l, double *v)
{
    for (int64_t i = 0; i < n; i++, l += i) {
        double sum[DAL_LANES];
        memcpy(sum, v + i * DAL_LANES, sizeof sum);
        for (int64_t j = 0; j < i; j++)
            for (int c = 0; c < DAL_LANES; c++)
                sum[c] -= l[j] * v[j * DAL_LANES + c];
        for (int c = 0; c < DAL_LANES; c++)
            v[i * DAL_LANES + c] = sum[c] / l[i];
    }
}
