/* dal/gradient.h: (libdal) gradient embeddings of the last layer, never formed, and k-means++ seeding over them.
 *
 * With the predicted class y = argmax p (the lowest of equals) as its label, the gradient of a sample's
 * cross-entropy with respect to the last layer's weights is a matrix of rank one,
 *
 *     g = a (x) h,    a = p - e_y [c],    h the penultimate features [d],
 *
 * and with respect to weights and bias the same with (h, 1) for h. So cd numbers follow from c + d of them:
 *
 *     <g_i, g_j> = <a_i, a_j> (<h_i, h_j> + bias),    ||g_i - g_j||^2 = ||g_i||^2 + ||g_j||^2 - 2 <g_i, g_j>.
 *
 * a_y is computed as -(sum of the other probabilities), which is p_y - 1 without the cancellation: a sample that
 * is certain to 1e-12 still has a gradient. Probabilities below FLT_MIN count as 0.
 */
#ifndef DAL_GRADIENT_H
#define DAL_GRADIENT_H

#include <dal/base.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The embeddings of n samples. Borrowed matrices. */
typedef struct dal_gradients {
    uint32_t struct_size;
    int32_t bias;         /* 1: the bias is a part of the layer; 0: weights alone */
    dal_outputs outputs;  /* [n, c]; values.data NULL: a = 1 and c = 1, so that g = h, plain features */
    dal_matrix features;  /* [n, d] */
    const int64_t *ids;   /* [n] what messages call the samples; NULL: their row */
} dal_gradients;

/* c, or 1 for plain features: the length of a. */
static inline int64_t dal_gradient_width(const dal_gradients *g)
{
    return g->outputs.values.data ? g->outputs.values.cols : 1;
}

/* [any] a of the rows first..first+n-1 into out [n, width], and their predicted classes (NULL: not wanted). */
DAL_PUBLIC void dal_gradient_factor(const dal_gradients *g, int64_t first, int64_t n, float *out,
                                    int32_t *classes);

/* [main] ||g_i||^2 = ||a_i||^2 (||h_i||^2 + bias) into out [n]. DAL_E_INVALID naming the sample when an output
 * or a feature is not finite, or so large that a product could leave the range of float. */
DAL_PUBLIC dal_status dal_gradient_norms(const dal_host *host, const dal_gradients *g, double *out,
                                         dal_error *err);

/* [any] <g_i, g_j> for rows i = x_first..+nx-1 of x and j = y_first..+ny-1 of y into out [nx, ny], ldo apart: two
 * matrix products in float on the calling thread. x and y agree in c, d and bias. */
DAL_PUBLIC dal_status dal_gradient_products(const dal_host *host, const dal_gradients *x, int64_t x_first,
                                            int64_t nx, const dal_gradients *y, int64_t y_first, int64_t ny,
                                            float *out, int64_t ldo, dal_error *err);

/* [any] The same number for one pair of rows given by their factors, in double and in a fixed order: equal pairs
 * give equal bits, and <g, g> is what dal_gradient_norms says. */
DAL_PUBLIC double dal_gradient_product(const dal_gradients *g, const float *ai, const float *hi, const float *aj,
                                       const float *hj);

/* ---- sums ------------------------------------------------------------------------------------- */

/* A sum of gradients is a full matrix [c, d + bias], packed: the bias's column is the last.
 *
 * [main] The sum over all rows into out. classes [n]: labels to take instead of the predicted ones (outside
 * 0..c-1: that one). Tiles in float, added in double in a fixed order. */
DAL_PUBLIC dal_status dal_gradient_sum(const dal_host *host, const dal_gradients *g, const int32_t *classes,
                                       double *out, dal_error *err);
/* [any] <g, m> of one row given by its factors with a matrix m [c, d + bias], in double and in a fixed order. */
DAL_PUBLIC double dal_gradient_against(const dal_gradients *g, const float *a, const float *h, const float *m);
/* [main] The same for all rows into out [n], by a matrix product in float: near, and of equal rows not always
 * equal. */
DAL_PUBLIC dal_status dal_gradient_project(const dal_host *host, const dal_gradients *g, const float *m,
                                           double *out, dal_error *err);

/* ---- seeding ---------------------------------------------------------------------------------- */

/* D_i = min over the picks of ||g_i - g_j||^2; the next pick is
 *   DAL_SEED_KMEANSPP   drawn with probability D_i / sum D (Arthur & Vassilvitskii 2007), or
 *   DAL_SEED_FARTHEST   argmax D, ties to the lowest row.
 *
 * The draw is a dart. Every row owns a piece of the line as long as its D_i was at the last count, in the order
 * of rows; u, uniform, hits the place u * (length of the line); a dart that lands within the first D_i of a
 * piece, as D_i is now, picks its row, and any other is thrown again. That is exactly the distribution above,
 * for any times of counting, and one uniform a pick as long as no dart is lost. D is counted anew once as many
 * picks as there were at the last count, at most DAL_SEED_BLOCK, are made since, or DAL_SEED_MISSES darts are
 * lost. In between, only rows that were hit need their D_i; and a count is a matrix product with all the latest
 * picks. */
#define DAL_SEED_KMEANSPP 0u
#define DAL_SEED_FARTHEST 1u
#define DAL_SEED_BLOCK 128
#define DAL_SEED_MISSES 256

#define DAL_SEED_LARGEST (-1) /* first pick: the largest ||g||, ties to the lowest row */
#define DAL_SEED_DRAWN (-2)   /* first pick: uniform, dal_rng_below */

typedef struct dal_seed_problem {
    uint32_t struct_size;
    uint32_t rule;
    dal_gradients points;
    int64_t first;   /* the row picked first, or DAL_SEED_LARGEST, DAL_SEED_DRAWN */
    int64_t n_picks; /* at most n are made */
    dal_rng stream;
} dal_seed_problem;

/* [main] Rows in the order picked, and the D of each when it was picked (the first: infinite); both arrays have
 * room for n_picks. *n: how many; fewer than asked when everything left lies on a pick (all D are 0). The picks
 * are those of the rules above with all distances computed in double by dal_gradient_product, and few are:
 * products in float with a bound on their error tell which can matter. Time: n n_picks (c + d) in matrix
 * products. Memory beside the inputs: 28 n bytes and some megabytes. */
DAL_PUBLIC dal_status dal_seed(const dal_host *host, const dal_seed_problem *problem, int64_t *picks,
                               double *distance, int64_t *n, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
