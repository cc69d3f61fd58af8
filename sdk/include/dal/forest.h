/* dal/forest.h: (libdal) random forests for tables: regression, binary classification as regression on 0 and 1, and
 * classification with several classes.
 *
 * Breiman, "Random forests", 2001. Each tree is grown on a bootstrap sample (n draws with replacement): a node
 * takes features_per_split features at random and the split x_j <= threshold that lowers the sum of squared
 * deviations most (for targets 0 and 1 that is Gini's impurity), thresholds halfway between neighbouring values;
 * until a node is pure, at max_depth, or has no split that leaves min_leaf draws on both sides. A leaf predicts
 * the mean of its draws. Ties: the feature drawn first, then the lowest threshold. Tree t draws from sub-stream t:
 * the forest depends on x, y, spec and stream alone.
 *
 * Of several classes, a node lowers Gini's impurity by weight; while no feature it took has a split it takes another; a
 * split need not lower the impurity (of "exclusive or" the first does not). A leaf has the share of each class.
 */
#ifndef DAL_FOREST_H
#define DAL_FOREST_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_forest_spec {
    uint32_t struct_size;
    int32_t bootstrap; /* 0: every tree sees the rows as they are */
    int64_t n_trees, max_depth, features_per_split, min_leaf; /* all >= 1; features_per_split at most d */
} dal_forest_spec;

typedef struct dal_forest dal_forest;

/* [main], or in a task, where everything runs in the caller. x [n, d] with n >= 1, y [n], all finite. About 24 n
 * bytes a tree. */
DAL_PUBLIC dal_status dal_forest_grow(const dal_host *host, const dal_forest_spec *spec, const dal_matrix *x,
                                      const double *y, const dal_rng *stream, dal_forest **out, dal_error *err);
DAL_PUBLIC void dal_forest_free(dal_forest *f);

/* [any] Mean of the trees' predictions at row x [d], and (not NULL) their standard deviation. */
DAL_PUBLIC double dal_forest_predict(const dal_forest *f, const float *x, double *deviation);
/* [any] Of the training rows [n]: the mean over the trees that did not draw the row; NaN where all did. */
DAL_PUBLIC void dal_forest_out_of_bag(const dal_forest *f, const dal_matrix *x, double *out);
/* [any] How much each feature [d] lowered the deviation, summed over splits, as shares of all of it (0 without
 * splits). */
DAL_PUBLIC void dal_forest_importance(const dal_forest *f, double *out);
/* [any] Mean depth of the trees: splits on the longest way down. */
DAL_PUBLIC double dal_forest_depth(const dal_forest *f);

/* ---- several classes ---------------------------------------------------------------------------- */

/* As dal_forest_grow, of classes [n] in 0..c-1; weights [n] >= 0, of which some are above 0, or NULL: all 1. */
DAL_PUBLIC dal_status dal_forest_grow_classes(const dal_host *host, const dal_forest_spec *spec, const dal_matrix *x,
                                              const int32_t *classes, const double *weights, int64_t c,
                                              const dal_rng *stream, dal_forest **out, dal_error *err);
/* [any] Mean over the trees of the shares of the classes in the leaf of row x [d], into out [c]. */
DAL_PUBLIC void dal_forest_shares(const dal_forest *f, const float *x, double *out);
/* [any] The same of the training rows, out [n, c], over the trees that did not draw the row; NaN where all did. */
DAL_PUBLIC void dal_forest_out_of_bag_shares(const dal_forest *f, const dal_matrix *x, double *out);
/* [any] d, and c (0: it was grown for regression). */
DAL_PUBLIC int64_t dal_forest_features(const dal_forest *f);
DAL_PUBLIC int64_t dal_forest_classes(const dal_forest *f);

/* ---- as bytes ----------------------------------------------------------------------------------- */

/* [any] How many bytes it takes, written to out unless that is NULL. All but which rows a tree drew: a forest that
 * comes back has no rows out of bag. */
DAL_PUBLIC int64_t dal_forest_pack(const dal_forest *f, void *out);
/* [main] A forest from n bytes that nobody vouches for: DAL_E_FORMAT unless each tree is one. */
DAL_PUBLIC dal_status dal_forest_unpack(const dal_host *host, const void *data, int64_t n, dal_forest **out,
                                        dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
