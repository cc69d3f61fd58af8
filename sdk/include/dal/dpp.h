/* dal/dpp.h: (libdal) determinantal point processes of a fixed size: samples that are good and unlike each other.
 *
 * P(Y) is proportional to det L_Y over sets Y of k rows, L_ij = w_i S_ij w_j with a quality w and a similarity S
 * (dal/similarity.h). Kulesza & Taskar, "k-DPPs: fixed-size determinantal point processes", ICML 2011; the most
 * probable set is approached greedily (Chen, Zhang, Zhou, NeurIPS 2018), which is DAL_LOGDET of dal/submodular.h
 * with weights.
 *
 * A kernel of rank below k gives every set of k rows probability 0. Then as many rows as the rank are taken so,
 * and the others are those of the largest quality left, ties: the lowest row.
 */
#ifndef DAL_DPP_H
#define DAL_DPP_H

#include <dal/similarity.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_dpp {
    uint32_t struct_size;
    uint32_t reserved;
    dal_similarity similarity;
    const dal_points *points; /* [n], measured */
    const double *quality;    /* [n] > 0, or NULL: 1 */
} dal_dpp;

/* [main] Greedy: the row that raises det L_Y most, k times (at most n), in the order picked; ties: the lowest row.
 * gain [k] = ln of what each multiplies the determinant by, NaN for rows that filled up. O(n k (d + k)) at most,
 * lazily; up to 8 n k bytes. */
DAL_PUBLIC dal_status dal_dpp_map(const dal_host *host, const dal_dpp *dpp, int64_t k, int64_t *picks,
                                  double *gain, int64_t *n, dal_error *err);

/* [main] An exact draw of k rows (at most n), in the order drawn, from stream rng: a uniform number for each
 * eigenvector looked at and each row drawn. r = min(n, d + 1 for cosine, d for dot): with plain vectors and these
 * two the eigenvectors are those of the r x r dual kernel, O(n r^2 + r^3 + n k^2) and 16 n k + 8 n r + 24 r^2
 * bytes; otherwise those of the n x n kernel. Only for what is small enough for that. */
DAL_PUBLIC dal_status dal_dpp_sample(const dal_host *host, const dal_dpp *dpp, int64_t k, const dal_rng *rng,
                                     int64_t *picks, int64_t *n, dal_error *err);

/* [any] ln of the elementary symmetric polynomials of exp(log_values [n]): out [k + 1, n + 1], out[l, m] = ln e_l
 * of the first m, -infinity where there is none. */
DAL_PUBLIC void dal_log_symmetric(const double *log_values, int64_t n, int64_t k, double *out);

#ifdef __cplusplus
}
#endif
#endif
