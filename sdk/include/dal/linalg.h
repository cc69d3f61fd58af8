/* dal/linalg.h: (libdal) the one door to BLAS, and the few vector loops everybody needs.
 *
 * Row-major throughout. Each call runs on the calling thread alone and its result depends on its
 * arguments alone: cut work into tiles of fixed size and run the tiles with host->parallel_for.
 * Dimensions that do not fit the library's int give DAL_E_OVERFLOW (never seen with tiles).
 */
#ifndef DAL_LINALG_H
#define DAL_LINALG_H

#include <dal/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out [m,n] = alpha * x [m,k] * w [n,k]' + beta * out; ld*: row strides in elements. */
DAL_PUBLIC dal_status dal_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *x,
                                  int64_t ldx, const float *w, int64_t ldw, float beta, float *out,
                                  int64_t ldo);
/* out [m,n] = alpha * x [m,k] * w [k,n] + beta * out. */
DAL_PUBLIC dal_status dal_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *x,
                                  int64_t ldx, const float *w, int64_t ldw, float beta, float *out,
                                  int64_t ldo);
/* out [m,n] = alpha * x [k,m]' * w [k,n] + beta * out. */
DAL_PUBLIC dal_status dal_gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *x,
                                  int64_t ldx, const float *w, int64_t ldw, float beta, float *out,
                                  int64_t ldo);

/* The same in double. */
DAL_PUBLIC dal_status dal_dgemm_nt(int64_t m, int64_t n, int64_t k, double alpha, const double *x, int64_t ldx,
                                   const double *w, int64_t ldw, double beta, double *out, int64_t ldo);
DAL_PUBLIC dal_status dal_dgemm_nn(int64_t m, int64_t n, int64_t k, double alpha, const double *x, int64_t ldx,
                                   const double *w, int64_t ldw, double beta, double *out, int64_t ldo);
DAL_PUBLIC dal_status dal_dgemm_tn(int64_t m, int64_t n, int64_t k, double alpha, const double *x, int64_t ldx,
                                   const double *w, int64_t ldw, double beta, double *out, int64_t ldo);

/* x . y in a fixed order of additions, and in double. */
DAL_PUBLIC double dal_dot(const float *x, const float *y, int64_t n);
/* ||x - y||^2 in float lanes, fixed order: the exact same bits for (x, y) wherever it is called. */
DAL_PUBLIC float dal_squared_distance(const float *x, const float *y, int64_t n);

/* Rows of logits [n, c] (stride ld) to probabilities in place: max subtracted, no epsilon. */
DAL_PUBLIC void dal_softmax(float *z, int64_t n, int64_t c, int64_t ld);

#ifdef __cplusplus
}
#endif
#endif
