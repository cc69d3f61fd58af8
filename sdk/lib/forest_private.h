/* forest_private.h: what the files of dal/forest.h share. */
#ifndef FOREST_PRIVATE_H
#define FOREST_PRIVATE_H

#include <dal/forest.h>

#define FOREST_LEAF (-1)

typedef struct forest_node {
    double value;    /* regression: mean of the draws */
    float threshold; /* x[feature] <= threshold: child, else child + 1 */
    int32_t feature; /* FOREST_LEAF */
    int32_t child;   /* a leaf of classes: a row of shares, or -1 - the only class */
    int32_t reserved;
} forest_node;

typedef struct forest_tree {
    forest_node *nodes; /* [n_nodes] the root first, children behind their parents */
    int64_t n_nodes, depth;
    uint8_t *drawn;     /* [n] was the row drawn? NULL: not known */
    double *importance; /* [d] */
    float *shares;      /* [n_shares, c] of leaves with several classes */
    int64_t n_shares;
} forest_tree;

struct dal_forest {
    const dal_host *host;
    int64_t n_trees, n, d, c; /* c 0: regression */
    forest_tree *trees;
};

typedef struct forest_split {
    double gain;
    float threshold;
    int32_t feature;
    int64_t n_left;
} forest_split;

typedef struct forest_grower {
    const dal_host *host;
    const dal_forest_spec *spec;
    const dal_matrix *x;
    const double *y;        /* regression */
    const int32_t *classes; /* classification */
    const double *weights;  /* [n] or NULL */
    int64_t c;
    forest_tree *t;
    int64_t *draws;    /* [n] rows; a node's are consecutive */
    int64_t *room;     /* [n] */
    uint64_t *keys, *spare; /* [n] for sorting */
    int64_t *features; /* [d] */
    double *counts;    /* [3, c] weights of the classes: of a node, of both sides of a split */
    int64_t room_shares;
    dal_status status; /* a tree that found no memory stops growing */
    dal_rng rng;
} forest_grower;

static inline float forest_value(const forest_grower *g, int64_t draw, int64_t feature)
{
    return g->x->data[g->draws[draw] * g->x->stride + feature];
}

/* Draws first..first+n-1 in the order of a feature: keys [n], the draw's number (from first) in the lower half, values
 * that are the same have the same upper half. */
void forest_sort(const forest_grower *g, int64_t first, int64_t n, int32_t feature);
/* A threshold between two neighbours in that order. */
float forest_threshold(float low, float high);
/* The draws that go left come first, both parts in their order. */
void forest_part(const forest_grower *g, int64_t first, int64_t n, const forest_split *s);
/* Fill node `at` from its draws; splits make its two children. */
void forest_grow_class_node(forest_grower *g, int64_t at, int64_t first, int64_t n, int64_t depth);
const forest_node *forest_leaf(const forest_tree *t, const float *x);

#endif
