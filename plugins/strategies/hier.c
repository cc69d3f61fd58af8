/* hier: hierarchical sampling, which lets a cluster tree of all samples say where labels are still needed.
 *
 * Dasgupta & Hsu, "Hierarchical sampling for active learning", ICML 2008. The tree is Ward's, over labelled
 * samples and candidates. For node v of w_v leaves, n_v of them labelled, and class l with frequency p among
 * these:
 *
 *     Delta = 1/n_v + sqrt(p (1 - p) / n_v)         lb, ub = p -+ Delta clipped to [0, 1]; n_v = 0: [0, 1]
 *     (v, l) is admissible      1 - lb_l < beta min_{c != l} (1 - ub_c)              beta = 2: l is twice as good
 *     error of (v, l)           1 - p_l when admissible, else 1
 *     score of v, bottom up     the least error of v, or, if less and v has an admissible label, the mean of its
 *                               children's scores weighted by their leaves: then v is split
 *
 * The pruning is where the splits from the root end. Its nodes bear their best admissible label, or their
 * parent's. To query: a node of the pruning with probability ~ w_v (1 - lb of its label) among those that have
 * candidates left, then one of its candidates, all alike. With nothing labelled the pruning is the root: a uniform
 * sample.
 *
 * The paper goes on from the last pruning and counts labels from there down; we build everything anew each round
 * from what is labelled then, so that a round is a function of its view (a resumed run gives the same picks), and
 * count the labels wherever they came from. Labels drawn while a node was inside another sample it unevenly, as
 * they do in the paper's ancestors. A batch is drawn from one pruning. libact narrows Delta for finite clusters;
 * we keep the paper's.
 *
 * Needs features and the labelled samples' classes. O(n^2 d) time, O(n d + n c) memory.
 */
#include <dal/select.h>
#include <dal/tabular.h>
#include <dal/ward.h>

#include <math.h>

#define ROUNDING 1e-12 /* equal scores in exact numbers may differ by this */

typedef struct options {
    double beta;
    int32_t standardise;
} options;

/* Nodes 0..n-1 are the rows of the table, n..2n-2 the merges in order. */
typedef struct tree {
    const dal_host *host;
    const options *opt;
    dal_table t;
    int64_t n, n_nodes, c; /* c: classes counted; one more, never seen, stands for all the others */
    int others;            /* is there such a one? */
    int64_t *left, *right; /* [n - 1] */
    double *cost;
    int32_t *count;  /* [n_nodes, c] labels by class */
    int64_t *size;   /* [n_nodes] leaves */
    double *score;   /* [n_nodes] */
    int32_t *best;   /* [n_nodes] best admissible label (an index of t.seen), or -1 */
    int32_t *label;  /* [n_nodes] the label of a pruning's node, or -1 */
    char *split;     /* [n_nodes] */
    int64_t *owner;  /* [n_nodes] its node of the pruning; -1 above it */
    int64_t *places; /* [n_nodes] candidates left, for nodes of the pruning */
    int64_t *pruning; /* [n] nodes with candidates, in the order of their first candidate */
    int64_t n_pruning;
} tree;

/* ---- labels in nodes -------------------------------------------------------------------------- */

static void bounds(double seen, double hits, double *lb, double *ub)
{
    const double p = seen > 0 ? hits / seen : 0, delta = seen > 0 ? 1 / seen + sqrt(p * (1 - p) / seen) : 1;
    *lb = seen > 0 ? fmax(p - delta, 0) : 0;
    *ub = seen > 0 ? fmin(p + delta, 1) : 1;
}

static double seen_in(const tree *t, int64_t v)
{
    double seen = 0;
    for (int64_t l = 0; l < t->c; l++)
        seen += t->count[v * t->c + l];
    return seen;
}

/* The best admissible label of v and its error; -1 and 1 when there is none. Only the largest ub of the other
 * classes matters, so the two largest of all are enough. */
static double judge(const tree *t, int64_t v, int32_t *label)
{
    const double seen = seen_in(t, v);
    double first = -INFINITY, second = -INFINITY, error = 1, lb, ub;
    int64_t top = -1;
    *label = -1;
    if (seen <= 0)
        return 1;
    for (int64_t l = 0; l < t->c + t->others; l++) {
        bounds(seen, l < t->c ? t->count[v * t->c + l] : 0, &lb, &ub);
        if (ub > first) {
            second = first;
            first = ub;
            top = l;
        } else {
            second = fmax(second, ub);
        }
    }
    for (int64_t l = 0; l < t->c; l++) {
        const double p = t->count[v * t->c + l] / seen, rival = l == top ? second : first;
        bounds(seen, t->count[v * t->c + l], &lb, &ub);
        if (1 - lb < t->opt->beta * (1 - rival) && (*label < 0 || 1 - p < error)) {
            error = 1 - p;
            *label = (int32_t)l;
        }
    }
    return error;
}

static void count_labels(tree *t)
{
    memset(t->count, 0, (size_t)(t->n_nodes * t->c) * sizeof *t->count);
    for (int64_t i = 0; i < t->n; i++)
        t->size[i] = 1;
    for (int64_t i = 0; i < t->t.labelled.rows; i++)
        for (int64_t l = 0; l < t->c; l++)
            t->count[i * t->c + l] = t->t.classes[i] == t->t.seen[l];
    for (int64_t v = t->n; v < t->n_nodes; v++) {
        const int64_t a = t->left[v - t->n], b = t->right[v - t->n];
        t->size[v] = t->size[a] + t->size[b];
        for (int64_t l = 0; l < t->c; l++)
            t->count[v * t->c + l] = t->count[a * t->c + l] + t->count[b * t->c + l];
    }
}

/* ---- the pruning ------------------------------------------------------------------------------ */

static void find_splits(tree *t)
{
    for (int64_t v = 0; v < t->n_nodes; v++) {
        t->score[v] = judge(t, v, &t->best[v]);
        t->split[v] = 0;
        if (v < t->n || t->best[v] < 0)
            continue;
        const int64_t a = t->left[v - t->n], b = t->right[v - t->n];
        const double of_a = (double)t->size[a] / (double)t->size[v], of_b = (double)t->size[b] / (double)t->size[v];
        const double below = of_a * t->score[a] + of_b * t->score[b];
        if (below < t->score[v] - ROUNDING) {
            t->score[v] = below;
            t->split[v] = 1;
        }
    }
}

/* From the root down: who belongs to which node of the pruning, and what label that one bears. */
static void find_pruning(tree *t)
{
    const int64_t root = t->n_nodes - 1, n_l = t->t.labelled.rows;
    t->label[root] = t->best[root];
    t->owner[root] = t->split[root] ? -1 : root;
    for (int64_t v = root; v >= t->n; v--) {
        const int64_t child[2] = {t->left[v - t->n], t->right[v - t->n]};
        for (int k = 0; k < 2; k++) {
            const int64_t u = child[k];
            t->owner[u] = t->owner[v] >= 0 ? t->owner[v] : t->split[u] ? -1 : u;
            t->label[u] = t->best[u] >= 0 ? t->best[u] : t->label[v];
        }
    }
    memset(t->places, 0, (size_t)t->n_nodes * sizeof *t->places);
    for (int64_t i = n_l; i < t->n; i++)
        if (t->places[t->owner[i]]++ == 0)
            t->pruning[t->n_pruning++] = t->owner[i];
}

/* A bound of the share of errors when all of v gets its label. */
static double doubt(const tree *t, int64_t v)
{
    double lb = 0, ub;
    if (t->label[v] >= 0)
        bounds(seen_in(t, v), t->count[v * t->c + t->label[v]], &lb, &ub);
    return 1 - lb;
}

/* ---- queries ---------------------------------------------------------------------------------- */

static int64_t draw_node(const tree *t, dal_rng *r)
{
    double total = 0;
    int64_t last = -1;
    for (int64_t k = 0; k < t->n_pruning; k++)
        if (t->places[t->pruning[k]] > 0)
            total += (double)t->size[t->pruning[k]] * doubt(t, t->pruning[k]);
    double left = dal_rng_uniform(r) * total;
    for (int64_t k = 0; k < t->n_pruning; k++) {
        if (t->places[t->pruning[k]] == 0)
            continue;
        last = t->pruning[k];
        left -= (double)t->size[last] * doubt(t, last);
        if (left < 0)
            break;
    }
    return last;
}

static void draw_picks(tree *t, const dal_view *view, dal_picks *picks)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES), n_l = t->t.labelled.rows;
    dal_rng r = t->host->rng(t->host, "draw", view->round);
    for (picks->n = 0; picks->n < picks->want; picks->n++) {
        const int64_t v = draw_node(t, &r);
        int64_t skip = dal_rng_below(&r, t->places[v]), i = n_l;
        for (;; i++)
            if (t->owner[i] == v && skip-- == 0)
                break;
        t->owner[i] = -1; /* taken */
        t->places[v]--;
        picks->ids[picks->n] = ids[i - n_l];
        picks->scores[picks->n] = doubt(t, v);
    }
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status take_arrays(tree *t, dal_error *err)
{
    int64_t cells;
    if (!dal_size_mul(t->n_nodes, t->c, &cells))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many classes");
    t->left = dal_array(t->host, t->n, sizeof *t->left);
    t->right = dal_array(t->host, t->n, sizeof *t->right);
    t->cost = dal_array(t->host, t->n, sizeof *t->cost);
    t->count = dal_array(t->host, cells, sizeof *t->count);
    t->size = dal_array(t->host, t->n_nodes, sizeof *t->size);
    t->score = dal_array(t->host, t->n_nodes, sizeof *t->score);
    t->best = dal_array(t->host, t->n_nodes, sizeof *t->best);
    t->label = dal_array(t->host, t->n_nodes, sizeof *t->label);
    t->split = dal_array(t->host, t->n_nodes, sizeof *t->split);
    t->owner = dal_array(t->host, t->n_nodes, sizeof *t->owner);
    t->places = dal_array(t->host, t->n_nodes, sizeof *t->places);
    t->pruning = dal_array(t->host, t->n, sizeof *t->pruning);
    if (!t->left || !t->right || !t->cost || !t->count || !t->size || !t->score || !t->best || !t->label ||
        !t->split || !t->owner || !t->places || !t->pruning)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a tree of %lld samples", (long long)t->n);
    return DAL_OK;
}

static void free_arrays(tree *t)
{
    void *all[] = {t->left, t->right, t->cost, t->count, t->size, t->score, t->best, t->label, t->split, t->owner,
                   t->places, t->pruning};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        t->host->free(t->host, all[i]);
    dal_table_free(&t->t);
}

static dal_status hier_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    tree t = {.host = self->host, .opt = self->options};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_table_make(self->host, view, t.opt->standardise, 0, &t.t, err);
    if (st != DAL_OK)
        return st;
    t.n = t.t.all.rows;
    t.n_nodes = 2 * t.n - 1;
    t.c = t.t.n_seen;
    t.others = view->n_classes == 0 || view->n_classes > t.c;
    st = take_arrays(&t, err);
    if (st == DAL_OK)
        st = dal_ward(self->host, &t.t.all, t.left, t.right, t.cost, err);
    if (st == DAL_OK) {
        count_labels(&t);
        find_splits(&t);
        find_pruning(&t);
        draw_picks(&t, view, picks);
    }
    free_arrays(&t);
    return st;
}

static void hier_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n + (double)problem->n_labelled, d = (double)problem->d;
    (void)self, (void)opt;
    out->bytes = 12 * n * d + 390 * n + 8 * n * (double)problem->c + 12 * d * d + 8e6;
    out->flops = 5 * n * n * d;
    snprintf(out->formula, sizeof out->formula, "O(n^2 d) time, O(n d + n c) memory");
}

static const dal_strategy_impl hier_impl = {
    .struct_size = sizeof hier_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = hier_select,
    .cost = hier_cost,
};

#define PARAMS(P, T)                                                                                        \
    P(T, beta, F64, "2", "1..", "", "how many times fewer errors than any other label an admissible one makes") \
    P(T, standardise, BOOL, "false", "", "", "bring features to mean 0 and variance 1 first")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "hier", hier_impl, "draws where a cluster tree is not yet pure",                            \
      "Dasgupta & Hsu, ICML 2008", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                    \
    A(STRATEGY, "hier",                                                                             \
      "draw a node of the pruned Ward tree ~ size (1 - lower bound of its label), then one of its " \
      "candidates",                                                                                 \
      "the pruning is made anew each round; bounds as in the paper, where libact narrows them for " \
      "finite clusters")
DAL_MODULE_ABOUT(hier, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
