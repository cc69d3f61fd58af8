/* Forests of several classes. */
#include "forest_private.h"

#include <math.h>

static double weight_of(const forest_grower *g, int64_t draw)
{
    return g->weights ? g->weights[g->draws[draw]] : 1;
}

/* w of one class goes over from `from` to `to`; the sums of squares follow. */
static void move(double *from, double *to, double *from_squares, double *to_squares, double w)
{
    *from_squares += w * (w - 2 * *from);
    *to_squares += w * (w + 2 * *to);
    *from -= w;
    *to += w;
}

/* The best split of draws first..first+n-1 along one feature, if it beats *best. Gini's impurity of a part that weighs
 * W, times W, is W - sum W_k^2 / W: what falls is the sum of the squares over both parts less that of the node. */
static void try_feature(const forest_grower *g, int64_t first, int64_t n, int32_t feature, double all, double squares,
                        forest_split *best)
{
    const int64_t c = g->c;
    double *left = g->counts + c, *right = left + c, left_squares = 0, right_squares = squares, left_all = 0,
        right_all = all;
    forest_sort(g, first, n, feature);
    for (int64_t k = 0; k < c; k++) {
        left[k] = 0;
        right[k] = g->counts[k];
    }
    for (int64_t i = 0; i + 1 < n; i++) {
        const int64_t at = (int64_t)(g->keys[i] & 0xffffffffu), next = (int64_t)(g->keys[i + 1] & 0xffffffffu);
        const int32_t class = g->classes[g->draws[first + at]];
        const double w = weight_of(g, first + at);
        move(&right[class], &left[class], &right_squares, &left_squares, w);
        left_all += w;
        right_all -= w;
        if (g->keys[i] >> 32 == g->keys[i + 1] >> 32 || i + 1 < g->spec->min_leaf || n - i - 1 < g->spec->min_leaf ||
            !(left_all > 0) || !(right_all > 1e-12 * all))
            continue;
        const double gain = left_squares / left_all + right_squares / right_all - squares / all;
        if (gain > best->gain)
            *best = (forest_split){gain, forest_threshold(forest_value(g, first + at, feature),
                                                          forest_value(g, first + next, feature)),
                                   feature, i + 1};
    }
}

/* A leaf of several classes. */
static void keep_shares(forest_grower *g, forest_node *node, double all)
{
    forest_tree *t = g->t;
    if (t->n_shares == g->room_shares) {
        const int64_t room = g->room_shares > 0 ? 2 * g->room_shares : 16;
        float *more = g->c <= INT64_MAX / room ? dal_array(g->host, room * g->c, sizeof *more) : NULL;
        if (!more) {
            g->status = DAL_E_NOMEM;
            return;
        }
        if (t->n_shares > 0)
            memcpy(more, t->shares, (size_t)(t->n_shares * g->c) * sizeof *more);
        g->host->free(g->host, t->shares);
        t->shares = more;
        g->room_shares = room;
    }
    for (int64_t k = 0; k < g->c; k++)
        t->shares[t->n_shares * g->c + k] = (float)(g->counts[k] / all);
    node->child = (int32_t)t->n_shares++;
}

/* Features are drawn one after the other, features_per_split of them and then on until one has a split. */
static forest_split best_split(forest_grower *g, int64_t first, int64_t n, double all, double squares)
{
    const int64_t d = g->x->cols;
    forest_split best = {-1e-9 * all, 0, FOREST_LEAF, 0};
    for (int64_t k = 0; k < d && (k < g->spec->features_per_split || best.feature == FOREST_LEAF); k++) {
        const int64_t j = k + dal_rng_below(&g->rng, d - k), feature = g->features[j];
        g->features[j] = g->features[k];
        g->features[k] = feature;
        try_feature(g, first, n, (int32_t)feature, all, squares, &best);
    }
    return best;
}

void forest_grow_class_node(forest_grower *g, int64_t at, int64_t first, int64_t n, int64_t depth)
{
    double all = 0, squares = 0;
    int64_t kinds = 0, one = 0;
    memset(g->counts, 0, (size_t)g->c * sizeof *g->counts);
    for (int64_t i = 0; i < n; i++)
        g->counts[g->classes[g->draws[first + i]]] += weight_of(g, first + i);
    for (int64_t k = 0; k < g->c; k++) {
        all += g->counts[k];
        squares += g->counts[k] * g->counts[k];
        kinds += g->counts[k] > 0;
        one = g->counts[k] > 0 ? k : one;
    }
    forest_node *node = &g->t->nodes[at];
    *node = (forest_node){0, 0, FOREST_LEAF, (int32_t)(-1 - one), 0};
    g->t->depth = depth > g->t->depth ? depth : g->t->depth;
    if (kinds < 2 || g->status != DAL_OK)
        return;
    const forest_split best = depth < g->spec->max_depth ? best_split(g, first, n, all, squares)
        : (forest_split){.feature = FOREST_LEAF};
    if (best.feature == FOREST_LEAF) {
        keep_shares(g, node, all);
        return;
    }
    const int64_t child = g->t->n_nodes;
    g->t->n_nodes += 2;
    g->t->importance[best.feature] += fmax(0, best.gain);
    *node = (forest_node){0, best.threshold, best.feature, (int32_t)child, 0};
    forest_part(g, first, n, &best);
    forest_grow_class_node(g, child, first, best.n_left, depth + 1);
    forest_grow_class_node(g, child + 1, first + best.n_left, n - best.n_left, depth + 1);
}

/* ---- what it says ------------------------------------------------------------------------------ */

static void add_shares(const dal_forest *f, const forest_tree *t, const float *x, double *out)
{
    const int32_t leaf = forest_leaf(t, x)->child;
    if (leaf < 0)
        out[-1 - leaf] += 1;
    for (int64_t k = 0; leaf >= 0 && k < f->c; k++)
        out[k] += (double)t->shares[leaf * f->c + k];
}

void dal_forest_shares(const dal_forest *f, const float *x, double *out)
{
    for (int64_t k = 0; k < f->c; k++)
        out[k] = 0;
    for (int64_t t = 0; t < f->n_trees; t++)
        add_shares(f, &f->trees[t], x, out);
    for (int64_t k = 0; k < f->c; k++)
        out[k] /= (double)f->n_trees;
}

void dal_forest_out_of_bag_shares(const dal_forest *f, const dal_matrix *x, double *out)
{
    for (int64_t i = 0; i < f->n; i++) {
        double *own = out + i * f->c, trees = 0;
        for (int64_t k = 0; k < f->c; k++)
            own[k] = 0;
        for (int64_t t = 0; t < f->n_trees; t++)
            if (f->trees[t].drawn && !f->trees[t].drawn[i]) {
                add_shares(f, &f->trees[t], x->data + i * x->stride, own);
                trees++;
            }
        for (int64_t k = 0; k < f->c; k++)
            own[k] = trees > 0 ? own[k] / trees : (double)NAN;
    }
}
