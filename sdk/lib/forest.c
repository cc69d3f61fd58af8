#include "forest_private.h"

#include <math.h>

/* ---- growing one tree ------------------------------------------------------------------------- */

/* A float's bits as an unsigned number in the same order. */
static uint32_t ordered(float value)
{
    uint32_t bits;
    value += 0.0f; /* -0 is 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Ascending; all keys differ, so any way of sorting gives the same. */
static void sort_keys(uint64_t *k, int64_t n)
{
    while (n > 16) {
        const uint64_t a = k[0], b = k[n / 2], c = k[n - 1];
        const uint64_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int64_t i = 0, j = n - 1;
        while (i <= j) {
            while (k[i] < pivot)
                i++;
            while (k[j] > pivot)
                j--;
            if (i <= j) {
                const uint64_t t = k[i];
                k[i++] = k[j];
                k[j--] = t;
            }
        }
        if (j + 1 < n - i) { /* the shorter part by a call, the longer one in the loop */
            sort_keys(k, j + 1);
            k += i;
            n -= i;
        } else {
            sort_keys(k + i, n - i);
            n = j + 1;
        }
    }
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = k[i];
        int64_t j = i;
        for (; j > 0 && k[j - 1] > key; j--)
            k[j] = k[j - 1];
        k[j] = key;
    }
}

#define RADIX_LEAST 256 /* keys; fewer are sorted faster by comparing */

/* The same for keys whose lower halves ascend already: a digit of 8 bits of the upper half after the other, the lowest
 * first; digits that all keys share cost nothing. spare [n] */
static void sort_upper_halves(uint64_t *keys, uint64_t *spare, int64_t n)
{
    int32_t counts[4][256] = {{0}};
    uint64_t *from = keys, *to = spare;
    for (int64_t i = 0; i < n; i++)
        for (int p = 0; p < 4; p++)
            counts[p][keys[i] >> (32 + 8 * p) & 255]++;
    for (int p = 0; p < 4; p++) {
        const int shift = 32 + 8 * p;
        int32_t *at = counts[p], first = 0;
        if (at[keys[0] >> shift & 255] == n)
            continue;
        for (int k = 0; k < 256; k++) {
            const int32_t here = at[k];
            at[k] = first;
            first += here;
        }
        for (int64_t i = 0; i < n; i++)
            to[at[from[i] >> shift & 255]++] = from[i];
        uint64_t *other = from;
        from = to;
        to = other;
    }
    if (from != keys)
        memcpy(keys, from, (size_t)n * sizeof *keys);
}

void forest_sort(const forest_grower *g, int64_t first, int64_t n, int32_t feature)
{
    for (int64_t i = 0; i < n; i++)
        g->keys[i] = (uint64_t)ordered(forest_value(g, first + i, feature)) << 32 | (uint64_t)i;
    if (n < RADIX_LEAST)
        sort_keys(g->keys, n);
    else
        sort_upper_halves(g->keys, g->spare, n);
}

float forest_threshold(float low, float high)
{
    const float middle = low + (high - low) / 2;
    return middle < high ? middle : low;
}

/* The best split of draws first..first+n-1 along one feature, if it beats *best. mean: of the node. */
static void try_feature(const forest_grower *g, int64_t first, int64_t n, int32_t feature, double mean,
                        forest_split *best)
{
    double left = 0, total = 0;
    forest_sort(g, first, n, feature);
    for (int64_t i = 0; i < n; i++)
        total += g->y[g->draws[first + i]] - mean;
    for (int64_t i = 0; i + 1 < n; i++) {
        const int64_t at = (int64_t)(g->keys[i] & 0xffffffffu), next = (int64_t)(g->keys[i + 1] & 0xffffffffu);
        left += g->y[g->draws[first + at]] - mean;
        if (g->keys[i] >> 32 == g->keys[i + 1] >> 32 || i + 1 < g->spec->min_leaf || n - i - 1 < g->spec->min_leaf)
            continue;
        const double a = (double)(i + 1), b = (double)(n - i - 1), right = total - left;
        const double gain = left * left / a + right * right / b - total * total / (double)n;
        if (gain > best->gain)
            *best = (forest_split){gain, forest_threshold(forest_value(g, first + at, feature),
                                                          forest_value(g, first + next, feature)),
                                   feature, i + 1};
    }
}

void forest_part(const forest_grower *g, int64_t first, int64_t n, const forest_split *s)
{
    int64_t left = 0, right = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t draw = g->draws[first + i];
        if (forest_value(g, first + i, s->feature) <= s->threshold)
            g->draws[first + left++] = draw;
        else
            g->room[right++] = draw;
    }
    memcpy(g->draws + first + left, g->room, (size_t)right * sizeof *g->room);
}

/* Fill node `at` from its draws; splits make its two children. Depth is bounded by max_depth, so recursion is. */
static void grow_node(forest_grower *g, int64_t at, int64_t first, int64_t n, int64_t depth)
{
    double sum = 0, spread = 0;
    for (int64_t i = 0; i < n; i++)
        sum += g->y[g->draws[first + i]];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        spread += (g->y[g->draws[first + i]] - mean) * (g->y[g->draws[first + i]] - mean);
    g->t->nodes[at] = (forest_node){mean, 0, FOREST_LEAF, 0, 0};
    g->t->depth = depth > g->t->depth ? depth : g->t->depth;
    if (depth >= g->spec->max_depth || spread <= 1e-12 * (1 + mean * mean) * (double)n)
        return;
    forest_split best = {1e-12 * spread, 0, FOREST_LEAF, 0};
    dal_rng_shuffle(&g->rng, g->features, g->x->cols, g->spec->features_per_split);
    for (int64_t k = 0; k < g->spec->features_per_split; k++)
        try_feature(g, first, n, (int32_t)g->features[k], mean, &best);
    if (best.feature == FOREST_LEAF)
        return;
    const int64_t child = g->t->n_nodes;
    g->t->n_nodes += 2;
    g->t->importance[best.feature] += best.gain;
    g->t->nodes[at] = (forest_node){mean, best.threshold, best.feature, (int32_t)child, 0};
    forest_part(g, first, n, &best);
    grow_node(g, child, first, best.n_left, depth + 1);
    grow_node(g, child + 1, first + best.n_left, n - best.n_left, depth + 1);
}

typedef struct forest_job {
    dal_forest *f;
    const dal_forest_spec *spec;
    const dal_matrix *x;
    const double *y;
    const int32_t *classes;
    const double *weights;
    const dal_rng *stream;
} forest_job;

static dal_status grow_task(void *ctx, int64_t index)
{
    const forest_job *j = ctx;
    const dal_host *host = j->f->host;
    const int64_t n = j->f->n, d = j->f->d;
    forest_tree *t = &j->f->trees[index];
    forest_grower g = {.host = host, .spec = j->spec, .x = j->x, .y = j->y, .classes = j->classes,
                       .weights = j->weights, .c = j->f->c, .t = t, .rng = dal_rng_at(j->stream, (uint64_t)index)};
    dal_status st = host->cancelled(host) ? DAL_E_CANCELLED : DAL_OK;
    g.draws = dal_array(host, n, sizeof *g.draws);
    g.room = dal_array(host, n, sizeof *g.room);
    g.keys = dal_array(host, n, sizeof *g.keys);
    g.spare = dal_array(host, n, sizeof *g.spare);
    g.features = dal_array(host, d, sizeof *g.features);
    g.counts = j->f->c <= INT64_MAX / 3 ? dal_array(host, 3 * j->f->c, sizeof *g.counts) : NULL;
    t->drawn = dal_array(host, n, sizeof *t->drawn);
    t->importance = dal_array(host, d, sizeof *t->importance);
    forest_node *nodes = dal_array(host, 2 * n, sizeof *nodes);
    t->nodes = nodes;
    if (st == DAL_OK && (!g.draws || !g.room || !g.keys || !g.spare || !g.features || !g.counts || !t->drawn ||
                         !t->importance || !nodes))
        st = DAL_E_NOMEM;
    if (st == DAL_OK) {
        memset(t->drawn, !j->spec->bootstrap, (size_t)n);
        memset(t->importance, 0, (size_t)d * sizeof *t->importance);
        for (int64_t i = 0; i < n; i++) {
            g.draws[i] = j->spec->bootstrap ? dal_rng_below(&g.rng, n) : i;
            t->drawn[g.draws[i]] = 1;
        }
        for (int64_t k = 0; k < d; k++)
            g.features[k] = k;
        t->n_nodes = 1;
        if (g.classes)
            forest_grow_class_node(&g, 0, 0, n, 0);
        else
            grow_node(&g, 0, 0, n, 0);
        t->nodes = dal_array(host, t->n_nodes, sizeof *nodes); /* no larger than it is */
        if (t->nodes)
            memcpy(t->nodes, nodes, (size_t)t->n_nodes * sizeof *nodes);
        else
            st = DAL_E_NOMEM;
        st = g.status != DAL_OK ? g.status : st;
        host->free(host, nodes);
    }
    host->free(host, g.draws);
    host->free(host, g.room);
    host->free(host, g.keys);
    host->free(host, g.spare);
    host->free(host, g.features);
    host->free(host, g.counts);
    return st;
}

/* ---- forests ---------------------------------------------------------------------------------- */

void dal_forest_free(dal_forest *f)
{
    if (!f)
        return;
    for (int64_t t = 0; f->trees && t < f->n_trees; t++) {
        f->host->free(f->host, f->trees[t].nodes);
        f->host->free(f->host, f->trees[t].drawn);
        f->host->free(f->host, f->trees[t].importance);
        f->host->free(f->host, f->trees[t].shares);
    }
    f->host->free(f->host, f->trees);
    f->host->free(f->host, f);
}

static dal_status grow(const dal_host *host, forest_job *j, int64_t c, dal_forest **out, dal_error *err)
{
    const dal_forest_spec *spec = j->spec;
    const dal_matrix *x = j->x;
    if (x->rows < 1 || x->rows > INT32_MAX / 2 || spec->n_trees < 1 || spec->max_depth < 1 || spec->min_leaf < 1 ||
        spec->features_per_split < 1 || spec->features_per_split > x->cols || x->cols > INT32_MAX)
        return dal_fail(err, DAL_E_INVALID, "",
                        "no forest of %lld trees on %lld rows with %lld of %lld features a split",
                        (long long)spec->n_trees, (long long)x->rows, (long long)spec->features_per_split,
                        (long long)x->cols);
    dal_forest *f = host->alloc(host, sizeof *f, 0);
    if (!f)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a forest");
    *f = (dal_forest){host, spec->n_trees, x->rows, x->cols, c, dal_array(host, spec->n_trees, sizeof *f->trees)};
    dal_status st = f->trees ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        j->f = f;
        memset(f->trees, 0, (size_t)spec->n_trees * sizeof *f->trees);
        st = host->parallel_for(host, spec->n_trees, grow_task, j);
    }
    if (st == DAL_OK) {
        *out = f;
        return st;
    }
    dal_forest_free(f);
    return dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for %lld trees of %lld rows",
                    (long long)spec->n_trees, (long long)x->rows);
}

dal_status dal_forest_grow(const dal_host *host, const dal_forest_spec *spec, const dal_matrix *x, const double *y,
                           const dal_rng *stream, dal_forest **out, dal_error *err)
{
    forest_job j = {.spec = spec, .x = x, .y = y, .stream = stream};
    return grow(host, &j, 0, out, err);
}

dal_status dal_forest_grow_classes(const dal_host *host, const dal_forest_spec *spec, const dal_matrix *x,
                                   const int32_t *classes, const double *weights, int64_t c, const dal_rng *stream,
                                   dal_forest **out, dal_error *err)
{
    forest_job j = {.spec = spec, .x = x, .classes = classes, .weights = weights, .stream = stream};
    for (int64_t i = 0; i < x->rows; i++)
        if (classes[i] < 0 || classes[i] >= c)
            return dal_fail(err, DAL_E_INVALID, "", "row %lld has class %d of %lld", (long long)i, (int)classes[i],
                            (long long)c);
    return grow(host, &j, c, out, err);
}

int64_t dal_forest_features(const dal_forest *f)
{
    return f->d;
}

int64_t dal_forest_classes(const dal_forest *f)
{
    return f->c;
}

const forest_node *forest_leaf(const forest_tree *t, const float *x)
{
    const forest_node *n = t->nodes;
    while (n->feature != FOREST_LEAF)
        n = t->nodes + n->child + (x[n->feature] > n->threshold);
    return n;
}

static double predict_tree(const forest_tree *t, const float *x)
{
    return forest_leaf(t, x)->value;
}

double dal_forest_predict(const dal_forest *f, const float *x, double *deviation)
{
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < f->n_trees; t++)
        sum += predict_tree(&f->trees[t], x);
    const double mean = sum / (double)f->n_trees;
    for (int64_t t = 0; deviation && t < f->n_trees; t++) {
        const double u = predict_tree(&f->trees[t], x) - mean;
        squares += u * u;
    }
    if (deviation)
        *deviation = sqrt(squares / (double)f->n_trees);
    return mean;
}

void dal_forest_out_of_bag(const dal_forest *f, const dal_matrix *x, double *out)
{
    for (int64_t i = 0; i < f->n; i++) {
        double sum = 0, trees = 0;
        for (int64_t t = 0; t < f->n_trees; t++)
            if (f->trees[t].drawn && !f->trees[t].drawn[i]) {
                sum += predict_tree(&f->trees[t], x->data + i * x->stride);
                trees++;
            }
        out[i] = trees > 0 ? sum / trees : (double)NAN;
    }
}

void dal_forest_importance(const dal_forest *f, double *out)
{
    double all = 0;
    for (int64_t j = 0; j < f->d; j++) {
        out[j] = 0;
        for (int64_t t = 0; t < f->n_trees; t++)
            out[j] += f->trees[t].importance[j];
        all += out[j];
    }
    for (int64_t j = 0; all > 0 && j < f->d; j++)
        out[j] /= all;
}

double dal_forest_depth(const dal_forest *f)
{
    double sum = 0;
    for (int64_t t = 0; t < f->n_trees; t++)
        sum += (double)f->trees[t].depth;
    return sum / (double)f->n_trees;
}
