/* dal/kernel.h: (libdal) positive definite kernels between rows of features.
 *
 * Each value is computed from its two rows alone in a fixed order (dal_squared_distance or dal_dot, then double):
 * equal rows have equal kernels, whatever block they are in, and k(x, y) is k(y, x) to the bit.
 */
#ifndef DAL_KERNEL_H
#define DAL_KERNEL_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_KERNEL_RBF 0u    /* exp(-gamma ||x - y||^2) */
#define DAL_KERNEL_LINEAR 1u /* x . y */
typedef struct dal_kernel {
    uint32_t kind, reserved;
    double gamma; /* of RBF; > 0 */
} dal_kernel;

/* [any] k(x, y) for rows of d features. */
DAL_PUBLIC double dal_kernel_value(const dal_kernel *k, const float *x, const float *y, int64_t d);
/* [main] out [a->rows, b->rows], rows ld apart. DAL_E_CANCELLED when the user wants to stop. */
DAL_PUBLIC dal_status dal_kernel_matrix(const dal_host *host, const dal_kernel *k, const dal_matrix *a,
                                        const dal_matrix *b, double *out, int64_t ld, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
