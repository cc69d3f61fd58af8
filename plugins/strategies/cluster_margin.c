/* cluster-margin: the smallest margins, taken in turn from the smallest clusters.
 *
 * Citovsky, DeSalvo, Gentile, Karydas, Rajagopalan, Rostamizadeh, Kumar, "Batch active learning at scale", NeurIPS
 * 2021, algorithms 1 and 2:
 *
 *     M = the k_m candidates of smallest margin p(1) - p(2)          k_m = factor b, k_t -> b
 *     C = clusters of features by average linkage (HAC), restricted to M
 *     round and round C from the smallest to the largest: one sample of the cluster, until there are b
 *
 * They cluster the whole pool once, before the first round, and cut where clusters have 10 samples on average or
 * more. Ours clusters M itself, each round, on what the model says now: nothing has to be kept, and the distances
 * take 2 k_m^2 bytes rather than 2 n^2. More than `limit` samples are refused. The cut is at `threshold` or, if
 * that is 0, where clusters have `cluster_size` samples on average. A cluster gives its samples in random order
 * (as in the paper) or by margin. Clusters of one size, whose order the paper leaves open, go by their smallest margin,
 * so that the picks follow the samples in whatever order these come; last by their first sample. A NaN output counts as
 * the largest margin.
 *
 * Needs outputs and features. O(n c + k_m^2 d) time.
 */
#include <dal/linalg.h>
#include <dal/neighbours.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>
#include <stdlib.h>

#define WITHIN_RANDOM 0u

typedef struct options {
    double factor;
    double threshold;
    int64_t cluster_size;
    uint32_t within;
    int64_t limit;
} options;

/* ---- average linkage -------------------------------------------------------------------------- */

typedef struct merge {
    float height;
    int64_t a, b, number;
} merge;

typedef struct linkage {
    const dal_host *host;
    dal_matrix x;        /* [n, d] candidates */
    const int64_t *rows; /* [m] of them: M, ascending */
    int64_t m;
    float *between;      /* [m (m - 1) / 2] mean distances of clusters; a cluster lives where its lowest is */
    int64_t *sizes;      /* [m] 0: merged into another */
    int64_t *chain;      /* [m] */
    merge *merges;       /* [m - 1] */
} linkage;

static float *at(const linkage *l, int64_t i, int64_t j)
{
    return i > j ? l->between + i * (i - 1) / 2 + j : l->between + j * (j - 1) / 2 + i;
}

static dal_status measure_task(void *ctx, int64_t i)
{
    const linkage *l = ctx;
    const float *x = l->x.data + l->rows[i] * l->x.stride;
    if (l->host->cancelled(l->host))
        return DAL_E_CANCELLED;
    for (int64_t j = 0; j < i; j++)
        *at(l, i, j) = sqrtf(dal_squared_distance(x, l->x.data + l->rows[j] * l->x.stride, l->x.cols));
    return DAL_OK;
}

/* The nearest cluster to a; `before` wins a tie, then the lowest. */
static int64_t nearest(const linkage *l, int64_t a, int64_t before)
{
    int64_t best = before;
    for (int64_t i = 0; i < l->m; i++)
        if (i != a && l->sizes[i] > 0 && (best < 0 || *at(l, a, i) < *at(l, a, best)))
            best = i;
    return best;
}

/* b goes into a < b: the mean distance of any third is the mean of theirs by size. */
static void unite(linkage *l, int64_t a, int64_t b)
{
    const double na = (double)l->sizes[a], nb = (double)l->sizes[b];
    for (int64_t i = 0; i < l->m; i++)
        if (i != a && i != b && l->sizes[i] > 0)
            *at(l, a, i) = (float)((na * (double)*at(l, a, i) + nb * (double)*at(l, b, i)) / (na + nb));
    l->sizes[a] += l->sizes[b];
    l->sizes[b] = 0;
}

/* Chains of nearest neighbours (Murtagh, "A survey of recent advances in hierarchical clustering algorithms",
 * 1983): where two are each other's nearest they merge, whatever else remains; O(m^2). */
static dal_status link_all(linkage *l)
{
    int64_t n = 0, lowest = 0;
    for (int64_t done = 0; done < l->m - 1;) {
        if (l->host->cancelled(l->host))
            return DAL_E_CANCELLED;
        while (l->sizes[lowest] == 0)
            lowest++;
        if (n == 0)
            l->chain[n++] = lowest;
        const int64_t a = l->chain[n - 1], before = n > 1 ? l->chain[n - 2] : -1, b = nearest(l, a, before);
        if (b != before) {
            l->chain[n++] = b;
            continue;
        }
        l->merges[done] = (merge){*at(l, a, b), a < b ? a : b, a < b ? b : a, done};
        unite(l, l->merges[done].a, l->merges[done].b);
        done++;
        n -= 2;
    }
    return DAL_OK;
}

static int by_height(const void *a, const void *b)
{
    const merge *x = a, *y = b;
    if (x->height < y->height || x->height > y->height)
        return x->height < y->height ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int64_t root_of(const int64_t *parent, int64_t i)
{
    while (parent[i] != i)
        i = parent[i];
    return i;
}

/* The merges below the cut: cluster [m] of each, named by its lowest. */
static void cut(linkage *l, const options *opt, int64_t *cluster)
{
    const int64_t clusters = (l->m + opt->cluster_size - 1) / opt->cluster_size;
    qsort(l->merges, (size_t)(l->m - 1), sizeof *l->merges, by_height);
    for (int64_t i = 0; i < l->m; i++)
        cluster[i] = i;
    for (int64_t k = 0; k < l->m - 1; k++) {
        const int64_t a = root_of(cluster, l->merges[k].a), b = root_of(cluster, l->merges[k].b);
        if (opt->threshold > 0 ? (double)l->merges[k].height > opt->threshold : k >= l->m - clusters)
            break;
        cluster[a > b ? a : b] = a > b ? b : a;
    }
    for (int64_t i = 0; i < l->m; i++)
        cluster[i] = root_of(cluster, i);
}

static dal_status make_clusters(linkage *l, const options *opt, int64_t *cluster, dal_error *err)
{
    int64_t pairs;
    const int fits = dal_size_mul(l->m, l->m - 1, &pairs);
    l->between = fits ? dal_array(l->host, pairs / 2, sizeof *l->between) : NULL;
    l->sizes = dal_array(l->host, l->m, sizeof *l->sizes);
    l->chain = dal_array(l->host, l->m, sizeof *l->chain);
    l->merges = dal_array(l->host, l->m, sizeof *l->merges);
    dal_status st = l->between && l->sizes && l->chain && l->merges
                        ? l->host->parallel_for(l->host, l->m, measure_task, l) : DAL_E_NOMEM;
    for (int64_t i = 0; st == DAL_OK && i < l->m; i++)
        l->sizes[i] = 1;
    if (st == DAL_OK)
        st = link_all(l);
    if (st == DAL_OK)
        cut(l, opt, cluster);
    else
        dal_fail(err, st, "", st == DAL_E_CANCELLED ? "cancelled while clustering %lld samples"
                                                    : "no memory to cluster %lld samples", (long long)l->m);
    l->host->free(l->host, l->between);
    l->host->free(l->host, l->sizes);
    l->host->free(l->host, l->chain);
    l->host->free(l->host, l->merges);
    return st;
}

/* ---- turns ------------------------------------------------------------------------------------ */

/* Of sample i of M: how large its cluster is, which, and its place in it. */
typedef struct place {
    int64_t size, cluster, turn, row;
    double order;
    double margin, least; /* its own, and the smallest of its cluster */
} place;

static int by_cluster(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->cluster != y->cluster)
        return x->cluster < y->cluster ? -1 : 1;
    if (x->order < y->order || x->order > y->order)
        return x->order < y->order ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* The first of every cluster, the smallest first, then the second of every... */
static int by_turn(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->turn != y->turn)
        return x->turn < y->turn ? -1 : 1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->least < y->least || x->least > y->least)
        return x->least < y->least ? -1 : 1;
    return x->cluster < y->cluster ? -1 : x->cluster > y->cluster;
}

static void take_turns(place *places, int64_t m)
{
    qsort(places, (size_t)m, sizeof *places, by_cluster);
    for (int64_t i = 0, end; i < m; i = end) {
        double least = places[i].margin;
        for (end = i; end < m && places[end].cluster == places[i].cluster; end++) {
            places[end].turn = end - i;
            least = fmin(least, places[end].margin);
        }
        for (int64_t k = i; k < end; k++) {
            places[k].size = end - i;
            places[k].least = least;
        }
    }
    qsort(places, (size_t)m, sizeof *places, by_turn);
}

/* ---- the strategy ----------------------------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The m rows of smallest margin, ascending; margins [n] of all. */
static dal_status smallest(const dal_host *host, const dal_view *view, int64_t m, double *margins, int64_t *rows,
                           dal_error *err)
{
    dal_outputs o;
    dal_topk best;
    double *scores = dal_array(host, m, sizeof *scores);
    const dal_status st = scores ? view->outputs(view, DAL_ROWS_CANDIDATES, &o, err)
                                 : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld margins", (long long)m);
    if (st == DAL_OK) {
        dal_margin(&o, margins);
        dal_topk_init(&best, m, DAL_SMALLEST_FIRST, scores, rows);
        dal_topk_push(&best, margins, 0, o.values.rows);
        qsort(rows, (size_t)m, sizeof *rows, by_row);
    }
    host->free(host, scores);
    return st;
}

static int64_t size_of_m(const options *opt, int64_t b, int64_t n)
{
    const double m = opt->factor * (double)b;
    return m < (double)n ? (int64_t)m : n;
}

static dal_status check_features(const dal_host *host, const dal_matrix *x, dal_error *err)
{
    float *norms = dal_array(host, x->rows, sizeof *norms);
    const dal_status st = norms ? dal_row_norms(host, x, "candidate", norms, err)
                                : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)x->rows);
    host->free(host, norms);
    return st;
}

static void write_picks(const dal_host *host, const dal_view *view, const options *opt, const linkage *l,
                        const int64_t *cluster, const double *margins, place *places, dal_picks *picks)
{
    const dal_rng stream = host->rng(host, "within", view->round);
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    for (int64_t i = 0; i < l->m; i++) {
        dal_rng mine = dal_rng_at(&stream, (uint64_t)ids[l->rows[i]]);
        const double margin = margins[l->rows[i]], known = margin >= 0 ? margin : 2;
        places[i] = (place){.cluster = cluster[i], .row = l->rows[i], .margin = known,
                            .order = opt->within == WITHIN_RANDOM ? dal_rng_uniform(&mine) : known};
    }
    take_turns(places, l->m);
    for (int64_t i = 0; i < picks->want; i++) {
        picks->ids[i] = ids[places[i].row];
        picks->scores[i] = margins[places[i].row];
    }
    picks->n = picks->want;
}

static dal_status cluster_margin_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    linkage l = {.host = host, .m = size_of_m(opt, picks->want, n)};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    if (l.m > opt->limit)
        return dal_fail(err, DAL_E_INVALID, "limit",
                        "%lld samples to cluster take %.0f MiB, expected at most %lld "
                        "samples; lower factor or raise limit", (long long)l.m,
                        2 * (double)l.m * (double)l.m / 0x1p20,
                        (long long)opt->limit);
    double *margins = dal_array(host, n, sizeof *margins);
    int64_t *rows = dal_array(host, l.m, sizeof *rows), *cluster = dal_array(host, l.m, sizeof *cluster);
    place *places = dal_array(host, l.m, sizeof *places);
    dal_status st = margins && rows && cluster && places
                        ? smallest(host, view, l.m, margins, rows, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)n);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &l.x, err);
    if (st == DAL_OK)
        st = check_features(host, &l.x, err);
    l.rows = rows;
    if (st == DAL_OK)
        st = make_clusters(&l, opt, cluster, err);
    if (st == DAL_OK)
        write_picks(host, view, opt, &l, cluster, margins, places, picks);
    host->free(host, margins);
    host->free(host, rows);
    host->free(host, cluster);
    host->free(host, places);
    return st;
}

static void cluster_margin_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, m = (double)size_of_m(opt, problem->n_query, problem->n);
    out->bytes = 2 * m * m + 8 * n + 144 * m;
    out->flops = 20 * n * (double)problem->c + 1.5 * m * m * (double)problem->d + 6 * m * m;
    snprintf(out->formula, sizeof out->formula, "O(n c + (factor b)^2 d) time, O((factor b)^2) memory");
}

static const dal_strategy_impl cluster_margin_impl = {
    .struct_size = sizeof cluster_margin_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = cluster_margin_select,
    .cost = cluster_margin_cost,
};

#define PARAMS(P, T)                                                                                        \
    P(T, factor, F64, "10", "1..", "picks", "the factor b samples of smallest margin are clustered")        \
    P(T, threshold, F64, "0", "0..", "", "clusters merge up to this mean distance; 0: go by cluster_size")  \
    P(T, cluster_size, I64, "10", "1..", "samples", "clusters merge until they have so many on average")    \
    P(T, within, CHOICE, "random", "random|margin", "", "the order in which a cluster gives its samples")   \
    P(T, limit, I64, "20000", "1..1000000", "samples", "refuse to cluster more than so many")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "cluster-margin", cluster_margin_impl, "smallest margins in turn from the smallest clusters",\
      "Citovsky et al., NeurIPS 2021", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                \
    A(STRATEGY, "cluster-margin",                                                               \
      "of the factor b smallest margins, average-linkage clusters; a sample of each, from the " \
      "smallest cluster up, round and round",                                                   \
      "clusters are made of those samples in each round, not once of the whole pool")
DAL_MODULE_ABOUT(cluster_margin, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
