/* dal/information.h: (libdal) the Fisher information of a softmax last layer, in double.
 *
 * With the last layer as a logistic regression on the penultimate features h [w] (with a 1 behind them where its bias
 * counts), theta its m = c w parameters and pi the class probabilities of a sample, the information in its label is
 *
 *     I(x) = S (x) h h',   S = diag(pi) - pi pi' = B B',   B = D (I - q q'),  D = diag(sqrt pi),  q = sqrt pi:
 *
 * of rank c - 1, I(x) = V V' with V = B (x) h. So what a sample does to the inverse of a sum of informations follows
 * from c x c matrices V' X V, and none of its own is ever formed. Parameter (k, a), class k and feature a, is row
 * k w + a of an [m, m] matrix.
 */
#ifndef DAL_INFORMATION_H
#define DAL_INFORMATION_H

#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A set of rows as it counts here. */
typedef struct dal_softmax_rows {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, c, w;
    double *pi; /* [n, c] */
    double *h;  /* [n, w] */
} dal_softmax_rows;

/* [main] Outputs and features of a set; bias: 1 puts a 1 behind the features. DAL_E_INVALID names the pool index of a
 * sample whose numbers are not finite. An empty set leaves w as it is in out, and on failure there is nothing to
 * free. */
DAL_PUBLIC dal_status dal_softmax_rows_read(const dal_host *host, const dal_view *view, uint32_t set, int bias,
                                            dal_softmax_rows *out, dal_error *err);
DAL_PUBLIC void dal_softmax_rows_free(const dal_host *host, dal_softmax_rows *rows);

/* [main] DAL_E_INVALID about "max_parameters" where c w is more. */
DAL_PUBLIC dal_status dal_information_bound(int64_t c, int64_t w, int64_t max_parameters, dal_error *err);

/* [main] into [m, m] += scale * sum over rows of S (x) h h', or of S^2 (x) h h', both triangles. */
DAL_PUBLIC dal_status dal_information_add(const dal_host *host, const dal_softmax_rows *rows, double scale,
                                          int squared, double *into, dal_error *err);

/* [main] a [m, m], symmetric and positive definite, becomes its inverse; scratch [m, m]. */
DAL_PUBLIC dal_status dal_information_invert(const dal_host *host, int64_t m, double *a, double *scratch,
                                             dal_error *err);
/* [main] out = p f p of symmetric [m, m]; scratch [m, m]. */
DAL_PUBLIC dal_status dal_information_sandwich(const dal_host *host, int64_t m, const double *p, const double *f,
                                               double *scratch, double *out);

/* [any] out [n, c, c] = V' x V of rows first..first+n-1 for a symmetric x [m, m]; scratch [n, m]. */
DAL_PUBLIC dal_status dal_information_forms(const dal_softmax_rows *rows, int64_t first, int64_t n, const double *x,
                                            double *scratch, double *out);
/* [any] x [c, n] becomes B' x, for B of a sample's pi [c]. */
DAL_PUBLIC void dal_information_project(const double *pi, int64_t c, int64_t n, double *x);

/* [any] tr((I + sign gain)^-1 part) of symmetric [c, c]; gain is destroyed: what a sample with gain = V' P V and part =
 * V' P F P V takes off tr(P F) when it is added (sign 1), or adds to it when it is taken away (-1). DAL_E_INVALID
 * when the matrix is not positive definite. */
DAL_PUBLIC dal_status dal_information_trace(int64_t c, double sign, double *gain, const double *part,
                                            double *out);

#ifdef __cplusplus
}
#endif
#endif
