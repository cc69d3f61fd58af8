/* dal/similarity.h: (libdal) how alike two samples are, without ever a matrix of all pairs.
 *
 * A sample is a vector x, or the outer product of two vectors y and [x, 1] that is never formed: the gradient
 * embedding of a last layer with y = p - e_class and x the penultimate features. Inner products factor,
 *
 *     <i, j> = (x_i . x_j + extra) (y_i . y_j),
 *
 * and every similarity here is a function of inner products alone:
 *
 *     DAL_COSINE  (1 + cos) / 2, in [0, 1]; the cosine with a sample of length 0 counts as 0
 *     DAL_RBF     exp(-||i - j||^2 / (2 width^2)), in (0, 1]
 *     DAL_DOT     <i, j> itself, for embeddings that are similarities already
 */
#ifndef DAL_SIMILARITY_H
#define DAL_SIMILARITY_H

#include <dal/base.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_COSINE 0u
#define DAL_RBF 1u
#define DAL_DOT 2u

typedef struct dal_similarity {
    uint32_t kind;
    uint32_t reserved;
    double width; /* DAL_RBF: > 0 */
} dal_similarity;

/* Samples to compare. Matrices are borrowed; squares belongs to it, from dal_points_measure to dal_points_free. */
typedef struct dal_points {
    uint32_t struct_size;
    uint32_t reserved;
    dal_matrix x;    /* [n, d] */
    dal_matrix y;    /* [n, c]; data NULL: x alone */
    double extra;    /* 1: every x has a further 1, the input of a bias; else 0 */
    double *squares; /* [n] <i, i> */
} dal_points;

/* [main] Fill squares. DAL_E_INVALID, naming `what` and the sample (ids [n], or NULL: its row), where a value is
 * not finite or so large that inner products leave the range of float. Call dal_points_free in any case. */
DAL_PUBLIC dal_status dal_points_measure(const dal_host *host, dal_points *p, const char *what, const int64_t *ids,
                                         dal_error *err);
DAL_PUBLIC void dal_points_free(const dal_host *host, dal_points *p);

/* [any] Row i of a and row j of b, both measured, of the same widths: in double and in a fixed order of additions,
 * the same bits wherever it is called. */
DAL_PUBLIC double dal_inner(const dal_points *a, int64_t i, const dal_points *b, int64_t j);
DAL_PUBLIC double dal_alike(const dal_similarity *s, const dal_points *a, int64_t i, const dal_points *b,
                            int64_t j);

/* [main] out [a->rows] = for each row of a its largest similarity with a row of b (0 where b is empty or all are
 * negative), exactly. Matrix products tell which pairs can matter: O(n_a n_b (d + c)) at their speed. */
DAL_PUBLIC dal_status dal_most_alike(const dal_host *host, const dal_similarity *s, const dal_points *a,
                                     const dal_points *b, double *out, dal_error *err);
/* [main] out [a->rows] = for each row of a the sum of its similarities with all rows of b. Cosine and dot are
 * linear in b: O((n_a + n_b) d c), no pair is looked at; rbf looks at all. */
DAL_PUBLIC dal_status dal_sum_alike(const dal_host *host, const dal_similarity *s, const dal_points *a,
                                    const dal_points *b, double *out, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
