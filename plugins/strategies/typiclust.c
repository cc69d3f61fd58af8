/* typiclust: the most typical sample of each of many clusters; for small budgets and a cold start.
 *
 * Hacohen, Dekel, Weinshall, "Active learning on a budget: opposite strategies suit high and low budgets", ICML
 * 2022 (TP_RP, clustering by k-means):
 *
 *     K = min(n_l + b, max_clusters) clusters of labelled and unlabelled samples
 *     repeat: of the clusters with the fewest labelled samples the largest; of that the sample of highest
 *         typicality(x) = (1/k sum_{k nearest in its cluster} ||x - x_i||)^-1
 *
 * Features are scaled to unit length, as theirs are (`normalise`). As in their code: clusters are put in order
 * once (fewest labelled, then largest, then lowest number) and taken round and round; those of min_cluster samples
 * or fewer are left out; k is `neighbours`, but at most half of what is left of the cluster; labelled and picked
 * samples are no neighbours. Ours differs: distances are not squared before the mean (the paper's formula; their
 * search returns squares); k-means runs to its end at any size (theirs: mini-batches above 50 clusters); when the
 * clusters run dry the small ones follow in the same order, where theirs fails. Ties go to the lowest pool index.
 *
 * Needs features. O(iterations n K d) for the clusters, O(sum of squared cluster sizes d) for the picks; O(n d)
 * memory for the copy at unit length.
 */
#include <dal/kmeans.h>
#include <dal/neighbours.h>
#include <dal/select.h>

#include <math.h>
#include <stdlib.h>

#define ITERATIONS 300
#define TOLERANCE 1e-4

typedef struct options {
    int64_t max_clusters;
    int64_t neighbours;
    int64_t min_cluster;
    int64_t starts;
    int32_t normalise;
} options;

typedef struct cluster {
    int64_t number, size, labelled; /* size: of all its samples */
    int64_t begin, left;            /* its candidates not yet picked: members[begin .. begin + left - 1] */
} cluster;

typedef struct state {
    const dal_host *host;
    const options *opt;
    dal_matrix x;        /* [n + n_l, d] candidates, then labelled samples */
    int64_t n, n_clusters, n_picked;
    cluster *clusters;   /* [n_clusters] in the order they are visited */
    int64_t *members;    /* [n] candidate rows by cluster, ascending in each */
    int64_t *rows;       /* [want] */
    double *scores;      /* [want] */
} state;

/* ---- clusters --------------------------------------------------------------------------------- */

static int by_turn(const void *a, const void *b)
{
    const cluster *x = a, *y = b;
    if (x->labelled != y->labelled)
        return x->labelled < y->labelled ? -1 : 1;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Sizes and members by counting, then the order of visits. */
static void sort_clusters(state *s, const int32_t *assignment)
{
    for (int64_t c = 0; c < s->n_clusters; c++)
        s->clusters[c] = (cluster){.number = c};
    for (int64_t i = 0; i < s->x.rows; i++) {
        cluster *c = &s->clusters[assignment[i]];
        c->size++;
        c->labelled += i >= s->n;
    }
    for (int64_t c = 1; c < s->n_clusters; c++)
        s->clusters[c].begin = s->clusters[c - 1].begin + s->clusters[c - 1].size - s->clusters[c - 1].labelled;
    for (int64_t i = 0; i < s->n; i++) {
        cluster *c = &s->clusters[assignment[i]];
        s->members[c->begin + c->left++] = i;
    }
    qsort(s->clusters, (size_t)s->n_clusters, sizeof *s->clusters, by_turn);
}

static dal_status make_clusters(state *s, const dal_rng *stream, dal_error *err)
{
    const dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = s->x, .k = s->n_clusters,
                                        .starts = s->opt->starts, .max_iterations = ITERATIONS,
                                        .tolerance = TOLERANCE};
    dal_kmeans_result out = {.struct_size = sizeof out};
    out.assignment = dal_array(s->host, s->x.rows, sizeof *out.assignment);
    s->clusters = dal_array(s->host, s->n_clusters, sizeof *s->clusters);
    s->members = dal_array(s->host, s->n, sizeof *s->members);
    dal_status st = out.assignment && s->clusters && s->members
                        ? dal_kmeans(s->host, &problem, stream, &out, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld clusters", (long long)s->n_clusters);
    if (st == DAL_OK)
        sort_clusters(s, out.assignment);
    s->host->free(s->host, out.assignment);
    return st;
}

/* ---- picks ------------------------------------------------------------------------------------ */

/* Which of m rows of x is nearest to its k nearest, and how near on average. */
static dal_status most_typical(const state *s, const int64_t *rows, int64_t m, int64_t *best, double *mean,
                               dal_error *err)
{
    const int64_t half = m / 2 > 1 ? m / 2 : 1, k = s->opt->neighbours < half ? s->opt->neighbours : half;
    int64_t cells, places;
    *best = 0;
    *mean = 0;
    if (m == 1)
        return DAL_OK;
    const int fits = dal_size_mul(m, s->x.cols, &cells) && dal_size_mul(m, k, &places);
    float *x = fits ? dal_array(s->host, cells, sizeof *x) : NULL;
    float *distance = fits ? dal_array(s->host, places, sizeof *distance) : NULL;
    int64_t *index = fits ? dal_array(s->host, places, sizeof *index) : NULL;
    dal_status st = x && distance && index ? DAL_OK
                    : dal_fail(err, DAL_E_NOMEM, "", "no memory for a cluster of %lld samples", (long long)m);
    for (int64_t i = 0; st == DAL_OK && i < m; i++)
        memcpy(x + i * s->x.cols, s->x.data + rows[i] * s->x.stride, (size_t)s->x.cols * sizeof *x);
    const dal_matrix members = {x, m, s->x.cols, s->x.cols};
    const dal_neighbours_problem problem = {.struct_size = sizeof problem, .x = members, .y = members, .k = k,
                                            .self = 1};
    if (st == DAL_OK)
        st = dal_neighbours(s->host, &problem, index, distance, err);
    for (int64_t i = 0; st == DAL_OK && i < m; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++)
            sum += sqrt((double)distance[i * k + j]);
        if (i == 0 || sum / (double)k < *mean) {
            *best = i;
            *mean = sum / (double)k;
        }
    }
    s->host->free(s->host, x);
    s->host->free(s->host, distance);
    s->host->free(s->host, index);
    return st;
}

static dal_status pick_from(state *s, cluster *c, dal_error *err)
{
    int64_t best, *members = s->members + c->begin;
    double mean;
    const dal_status st = most_typical(s, members, c->left, &best, &mean, err);
    if (st != DAL_OK)
        return st;
    s->rows[s->n_picked] = members[best];
    s->scores[s->n_picked++] = 1 / (mean + 1e-5); /* finite, as theirs */
    memmove(members + best, members + best + 1, (size_t)(c->left - best - 1) * sizeof *members);
    c->left--;
    return DAL_OK;
}

/* Round and round the clusters that are large enough (or those that are not), until they or the wishes run dry. */
static dal_status visit(state *s, int large, int64_t want, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t before = -1; st == DAL_OK && before < s->n_picked && s->n_picked < want;) {
        before = s->n_picked;
        for (int64_t c = 0; st == DAL_OK && c < s->n_clusters && s->n_picked < want; c++)
            if (s->clusters[c].left > 0 && (s->clusters[c].size > s->opt->min_cluster) == large)
                st = pick_from(s, &s->clusters[c], err);
        s->host->progress(s->host, s->n_picked, want, "picks");
    }
    return st;
}

static dal_status typiclust_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    static const uint32_t sets[2] = {DAL_ROWS_CANDIDATES, DAL_ROWS_LABELLED};
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    state s = {.host = host, .opt = self->options, .n = view->count(view, DAL_ROWS_CANDIDATES)};
    float *x = NULL;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    s.rows = dal_array(host, picks->want, sizeof *s.rows);
    s.scores = dal_array(host, picks->want, sizeof *s.scores);
    dal_status st = s.rows && s.scores ? dal_stack_features(host, view, sets, 2, &x, &s.x, err)
                                       : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks",
                                                  (long long)picks->want);
    if (st == DAL_OK && s.opt->normalise)
        st = dal_unit_rows(host, &s.x, x, err);
    if (st == DAL_OK) {
        const dal_rng stream = host->rng(host, "k-means", view->round);
        const int64_t wish = s.x.rows - s.n + picks->want;
        s.n_clusters = wish < s.opt->max_clusters ? wish : s.opt->max_clusters;
        st = make_clusters(&s, &stream, err);
    }
    for (int large = 1; st == DAL_OK && large >= 0; large--)
        st = visit(&s, large, picks->want, err);
    if (st == DAL_OK)
        dal_pick_rows(view, s.rows, s.scores, s.n_picked, picks);
    host->free(host, x);
    host->free(host, s.clusters);
    host->free(host, s.members);
    host->free(host, s.rows);
    host->free(host, s.scores);
    return st;
}

static void typiclust_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n + (double)problem->n_labelled, d = (double)problem->d;
    const double wish = (double)problem->n_labelled + (double)problem->n_query, most = (double)opt->max_clusters;
    const double k = wish < most ? wish : most;
    out->bytes = 4 * n * d + (60 + k / 8) * n + 8 * k * d + n * (12 * (double)opt->neighbours + 4 * d) + 8e6;
    out->flops = (double)opt->starts * ITERATIONS * 2 * n * k * d + 2 * n * n * d;
    snprintf(out->formula, sizeof out->formula,
             "O(starts iterations n K d + sum of cluster sizes^2 d) time, O(n d) memory");
}

static const dal_strategy_impl typiclust_impl = {
    .struct_size = sizeof typiclust_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = typiclust_select,
    .cost = typiclust_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, max_clusters, I64, "500", "1..1000000", "", "no more clusters than this")                         \
    P(T, neighbours, I64, "20", "1..10000", "samples", "nearest neighbours that make a sample typical")    \
    P(T, min_cluster, I64, "5", "0..", "samples", "leave clusters of so few to the end")                   \
    P(T, starts, I64, "1", "1..1000", "", "independent starts of k-means, of which the best counts")       \
    P(T, normalise, BOOL, "true", "", "", "scale features to unit length")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "typiclust", typiclust_impl, "the most typical sample of each cluster without labels",     \
      "Hacohen et al., ICML 2022", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                   \
    A(STRATEGY, "typiclust",                                                                       \
      "of the clusters with fewest labels the largest: the sample of largest k / sum_{k nearest} " \
      "||x - x_i||",                                                                               \
      "distances are not squared (their search does); full k-means; small clusters follow when "   \
      "others run dry")
DAL_MODULE_ABOUT(typiclust, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
