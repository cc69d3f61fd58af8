#include <dal/linalg.h>

#include "clones.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>

static int fits(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)
{
    const int64_t all[] = {a, b, c, d, e, f};
    for (int i = 0; i < 6; i++)
        if (all[i] < 0 || all[i] > INT_MAX)
            return 0;
    return 1;
}

/* Only there when OpenBLAS (or anybody else) brought OpenMP along. */
extern int omp_get_max_threads(void) __attribute__((weak));
extern void omp_set_num_threads(int n) __attribute__((weak));

/* The OpenMP build of OpenBLAS asks OpenMP in each call how wide to run; the other builds were put on one
 * thread by dal_runtime_new. The setting is the calling thread's own and is put back. */
static int narrow_blas(void)
{
    if (!omp_get_max_threads || openblas_get_parallel() != OPENBLAS_OPENMP)
        return 0;
    const int width = omp_get_max_threads();
    omp_set_num_threads(1);
    return width;
}

static void widen_blas(int width)
{
    if (width)
        omp_set_num_threads(width);
}

static dal_status gemm(enum CBLAS_TRANSPOSE tx, enum CBLAS_TRANSPOSE tw, int64_t m, int64_t n,
                       int64_t k, float alpha, const float *x, int64_t ldx, const float *w,
                       int64_t ldw, float beta, float *out, int64_t ldo)
{
    if (!fits(m, n, k, ldx, ldw, ldo))
        return DAL_E_OVERFLOW;
    if (m == 0 || n == 0)
        return DAL_OK;
    const int width = narrow_blas();
    cblas_sgemm(CblasRowMajor, tx, tw, (int)m, (int)n, (int)k, alpha, x, (int)ldx, w, (int)ldw, beta,
                out, (int)ldo);
    widen_blas(width);
    return DAL_OK;
}

dal_status dal_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *x, int64_t ldx,
                       const float *w, int64_t ldw, float beta, float *out, int64_t ldo)
{
    return gemm(CblasNoTrans, CblasTrans, m, n, k, alpha, x, ldx, w, ldw, beta, out, ldo);
}

dal_status dal_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *x, int64_t ldx,
                       const float *w, int64_t ldw, float beta, float *out, int64_t ldo)
{
    return gemm(CblasNoTrans, CblasNoTrans, m, n, k, alpha, x, ldx, w, ldw, beta, out, ldo);
}

dal_status dal_gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *x, int64_t ldx,
                       const float *w, int64_t ldw, float beta, float *out, int64_t ldo)
{
    return gemm(CblasTrans, CblasNoTrans, m, n, k, alpha, x, ldx, w, ldw, beta, out, ldo);
}

static dal_status dgemm(enum CBLAS_TRANSPOSE tx, enum CBLAS_TRANSPOSE tw, int64_t m, int64_t n, int64_t k,
                        double alpha, const double *x, int64_t ldx, const double *w, int64_t ldw, double beta,
                        double *out, int64_t ldo)
{
    if (!fits(m, n, k, ldx, ldw, ldo))
        return DAL_E_OVERFLOW;
    if (m == 0 || n == 0)
        return DAL_OK;
    const int width = narrow_blas();
    cblas_dgemm(CblasRowMajor, tx, tw, (int)m, (int)n, (int)k, alpha, x, (int)ldx, w, (int)ldw, beta, out,
                (int)ldo);
    widen_blas(width);
    return DAL_OK;
}

dal_status dal_dgemm_nt(int64_t m, int64_t n, int64_t k, double alpha, const double *x, int64_t ldx,
                        const double *w, int64_t ldw, double beta, double *out, int64_t ldo)
{
    return dgemm(CblasNoTrans, CblasTrans, m, n, k, alpha, x, ldx, w, ldw, beta, out, ldo);
}

dal_status dal_dgemm_nn(int64_t m, int64_t n, int64_t k, double alpha, const double *x, int64_t ldx,
                        const double *w, int64_t ldw, double beta, double *out, int64_t ldo)
{
    return dgemm(CblasNoTrans, CblasNoTrans, m, n, k, alpha, x, ldx, w, ldw, beta, out, ldo);
}

dal_status dal_dgemm_tn(int64_t m, int64_t n, int64_t k, double alpha, const double *x, int64_t ldx,
                        const double *w, int64_t ldw, double beta, double *out, int64_t ldo)
{
    return dgemm(CblasTrans, CblasNoTrans, m, n, k, alpha, x, ldx, w, ldw, beta, out, ldo);
}

DAL_CLONES double dal_dot(const float *x, const float *y, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += (double)x[i + l] * (double)y[i + l];
    for (; i < n; i++)
        lane[0] += (double)x[i] * (double)y[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

DAL_CLONES float dal_squared_distance(const float *x, const float *y, int64_t n)
{
    float lane[32] = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (int l = 0; l < 32; l++) {
            const float t = x[i + l] - y[i + l];
            lane[l] += t * t;
        }
    for (int l = 0; i < n; i++, l++) {
        const float t = x[i] - y[i];
        lane[l] += t * t;
    }
    for (int width = 16; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}
