/* kmeans, weighted-kmeans: one sample from the middle of each of b clusters.
 *
 *   kmeans           b clusters of the candidates' features; the sample nearest each centre.
 *   weighted-kmeans  Zhdanov, "Diverse mini-batch active learning", 2019 (arXiv 1901.05954), algorithm 1:
 *
 *         s_i = 1 - (p_i(1) - p_i(2))                        informativeness
 *         keep the beta b samples of the largest s_i         k there -> b here (picks->want)
 *         min_mu sum_i s_i ||h_i - mu_a(i)||^2               k-means weighted by s, b clusters
 *         the kept sample nearest each mu                    distinct: one of each cluster
 *
 *     With `incremental` the labelled samples are centres, too, which attract and never move: clusters form where
 *     there is no label yet. Abraham & Dreyfus-Schmidt, "Sample noise impact on active learning", 2021 (IWKMeans).
 *
 * Both take the steps of dal/kmeans.h: k-means++, Lloyd to the end (a shift below `tolerance`), the best of
 * `starts`; Zhdanov and scikit-learn's users often take mini-batches instead. A centre no sample belongs to (only
 * when there are fewer distinct samples than b) gives the nearest sample that is left. Picks come in the order of
 * the centres' seeds; b >= n takes all in the order of the pool. The score says how many samples a pick stands
 * for.
 *
 * Need features (weighted-kmeans: and outputs). O(iterations n b d) at most, bounds leave a part of it. A NaN
 * output counts as least informative; features must be finite.
 */
#include <dal/kmeans.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <stdlib.h>

#define MANY_CLUSTERS 1000 /* from here on one start, unless told */

typedef struct options {
    int64_t starts;
    int64_t iterations;
    double tolerance;
    double beta; /* weighted-kmeans alone, as the next */
    int32_t incremental;
} options;

/* ---- common to both --------------------------------------------------------------------------- */

static dal_kmeans_problem problem_of(const options *opt, int64_t k)
{
    return (dal_kmeans_problem){.struct_size = sizeof(dal_kmeans_problem),
                                .k = k,
                                .starts = opt->starts > 0 ? opt->starts : k < MANY_CLUSTERS ? 10 : 1,
                                .max_iterations = opt->iterations,
                                .tolerance = opt->tolerance};
}

static void pick_everything(const dal_view *view, int64_t n, dal_picks *picks)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    for (int64_t i = 0; i < n; i++)
        picks->ids[i] = ids[i];
    picks->n = n;
}

/* The nearest to each centre, as rows of problem->x, and how many samples each stands for. */
static dal_status cluster(const dal_host *host, const dal_view *view, const dal_kmeans_problem *problem,
                          int64_t *rows, double *sizes, dal_error *err)
{
    const dal_rng stream = host->rng(host, "k-means", view->round);
    dal_kmeans_result out = {.struct_size = sizeof out, .nearest = rows};
    out.assignment = dal_array(host, problem->x.rows, sizeof *out.assignment);
    if (!out.assignment)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)problem->x.rows);
    const dal_status st = dal_kmeans(host, problem, &stream, &out, err);
    for (int64_t c = 0; st == DAL_OK && c < problem->k; c++)
        sizes[c] = 0;
    for (int64_t i = 0; st == DAL_OK && i < problem->x.rows; i++)
        if (out.assignment[i] < problem->k)
            sizes[out.assignment[i]]++;
    host->free(host, out.assignment);
    return st;
}

/* ---- kmeans ----------------------------------------------------------------------------------- */

static dal_status kmeans_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    picks->n = 0;
    if (b >= n) {
        pick_everything(view, n, picks);
        return DAL_OK;
    }
    if (b <= 0)
        return DAL_OK;
    dal_kmeans_problem problem = problem_of(self->options, b);
    int64_t *rows = dal_array(host, b, sizeof *rows);
    double *sizes = dal_array(host, b, sizeof *sizes);
    dal_status st = rows && sizes ? view->features(view, DAL_ROWS_CANDIDATES, &problem.x, err)
                                  : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)b);
    if (st == DAL_OK)
        st = cluster(host, view, &problem, rows, sizes, err);
    if (st == DAL_OK)
        dal_pick_rows(view, rows, sizes, b, picks);
    host->free(host, rows);
    host->free(host, sizes);
    return st;
}

/* ---- weighted-kmeans -------------------------------------------------------------------------- */

/* The candidates that are informative enough, in pool order. */
typedef struct shortlist {
    int64_t n, d;
    int64_t *rows;   /* [n] rows of the candidates */
    double *weights; /* [n] s_i */
    float *features; /* [n, d] */
} shortlist;

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static dal_status shortlist_take(const dal_host *host, const dal_outputs *o, const dal_matrix *x, int64_t room,
                                 shortlist *list, dal_error *err)
{
    const int64_t n = x->rows;
    int64_t cells;
    dal_topk best;
    *list = (shortlist){.n = room, .d = x->cols};
    double *margin = dal_array(host, n, sizeof *margin);
    list->rows = dal_array(host, room, sizeof *list->rows);
    list->weights = dal_array(host, room, sizeof *list->weights);
    list->features = dal_size_mul(room, x->cols, &cells) ? dal_array(host, cells, sizeof *list->features) : NULL;
    const int have = margin && list->rows && list->weights && list->features;
    if (have) {
        dal_margin(o, margin);
        dal_topk_init(&best, room, DAL_SMALLEST_FIRST, list->weights, list->rows);
        dal_topk_push(&best, margin, 0, n);
        qsort(list->rows, (size_t)room, sizeof *list->rows, by_row);
    }
    for (int64_t i = 0; have && i < room; i++) {
        const double m = margin[list->rows[i]];
        list->weights[i] = m >= 0 ? 1 - m : 0; /* NaN: 0 */
        memcpy(list->features + i * x->cols, x->data + list->rows[i] * x->stride,
               (size_t)x->cols * sizeof *list->features);
    }
    host->free(host, margin);
    return have ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for the %lld most uncertain",
                                    (long long)room);
}

static void shortlist_drop(const dal_host *host, shortlist *list)
{
    host->free(host, list->rows);
    host->free(host, list->weights);
    host->free(host, list->features);
}

/* Weights, unless nothing is uncertain at all: then all count alike. */
static const double *weights_of(const shortlist *list)
{
    for (int64_t i = 0; i < list->n; i++)
        if (list->weights[i] > 0)
            return list->weights;
    return NULL;
}

static int64_t room_for(const options *opt, int64_t b, int64_t n)
{
    const double room = opt->beta * (double)b;
    return room < (double)n ? (int64_t)room : n;
}

static dal_status weighted_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    dal_matrix x;
    dal_outputs o;
    shortlist list = {0};
    picks->n = 0;
    if (b >= n) {
        pick_everything(view, n, picks);
        return DAL_OK;
    }
    if (b <= 0)
        return DAL_OK;
    dal_kmeans_problem problem = problem_of(opt, b);
    int64_t *rows = dal_array(host, b, sizeof *rows);
    double *sizes = dal_array(host, b, sizeof *sizes);
    dal_status st = rows && sizes ? view->features(view, DAL_ROWS_CANDIDATES, &x, err)
                                  : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)b);
    if (st == DAL_OK)
        st = view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
    if (st == DAL_OK && opt->incremental && view->count(view, DAL_ROWS_LABELLED) > 0)
        st = view->features(view, DAL_ROWS_LABELLED, &problem.fixed, err);
    if (st == DAL_OK)
        st = shortlist_take(host, &o, &x, room_for(opt, b, n), &list, err);
    if (st == DAL_OK) {
        problem.x = (dal_matrix){list.features, list.n, list.d, list.d};
        problem.weights = weights_of(&list);
        st = cluster(host, view, &problem, rows, sizes, err);
    }
    for (int64_t i = 0; st == DAL_OK && i < b; i++)
        rows[i] = list.rows[rows[i]];
    if (st == DAL_OK)
        dal_pick_rows(view, rows, sizes, b, picks);
    shortlist_drop(host, &list);
    host->free(host, rows);
    host->free(host, sizes);
    return st;
}

/* ---- what the module offers ------------------------------------------------------------------- */

static double clustering(double n, double k, double d, const options *opt, dal_cost *out)
{
    const double starts = opt->starts > 0 ? (double)opt->starts : k < MANY_CLUSTERS ? 10 : 1;
    out->flops = starts * (double)opt->iterations * 2 * n * k * d;
    return 8 * k * d + 32 * n + (k < 8192 ? k / 8 + 4 : 1024) * n + 8e6;
}

static void kmeans_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, b = (double)problem->n_query;
    const options *opt = dal_stateless_options(self, options_);
    out->bytes = 4 * n + 16 * b + clustering(n, b, (double)problem->d, opt, out);
    snprintf(out->formula, sizeof out->formula, "O(starts iterations n b d) time, O(n b / 8 + b d) memory");
}

static void weighted_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double b = (double)problem->n_query, d = (double)problem->d;
    const double m = (double)room_for(opt, problem->n_query, problem->n);
    const double k = b + (opt->incremental ? (double)problem->n_labelled : 0);
    out->bytes = 8 * (double)problem->n + (4 * d + 20) * m + 16 * b + clustering(m, k, d, opt, out);
    snprintf(out->formula, sizeof out->formula,
             "O(n c + starts iterations beta b^2 d) time, O(n + beta b (d + b / 8)) memory");
}

static const dal_strategy_impl kmeans_impl = {
    .struct_size = sizeof kmeans_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = kmeans_select,
    .cost = kmeans_cost,
};

static const dal_strategy_impl weighted_kmeans_impl = {
    .struct_size = sizeof weighted_kmeans_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = weighted_select,
    .cost = weighted_cost,
};

#define COMMON(P, T)                                                                                            \
    P(T, starts, I64, "0", "0..1000", "", "starts, of which the best counts; 0: 10, from 1000 picks on 1")      \
    P(T, iterations, I64, "300", "1..100000", "", "Lloyd's iterations at most")                                 \
    P(T, tolerance, F64, "1e-4", "0..", "", "a shift of all centres below this ends a start")
#define WEIGHTED(P, T)                                                                                          \
    COMMON(P, T)                                                                                                \
    P(T, beta, F64, "10", "1..", "picks", "cluster the beta b most uncertain samples")                          \
    P(T, incremental, BOOL, "false", "", "", "labelled samples are centres that do not move")
#define COMPONENTS(C)                                                                                           \
    C(STRATEGY, "kmeans", kmeans_impl, "the sample nearest each of b k-means centres", "Lloyd 1982",            \
      DAL_CAP_FEATURES, "", options, COMMON)                                                                    \
    C(STRATEGY, "weighted-kmeans", weighted_kmeans_impl, "k-means of the most uncertain, weighted by margin",   \
      "Zhdanov 2019, arXiv 1901.05954", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", options, WEIGHTED)
#define ABOUT(A)                                                                                  \
    A(STRATEGY, "kmeans",                                                                         \
      "the sample nearest each of b k-means centres",                                             \
      "Lloyd to the end; DeepAL+ on GPUs returns cluster numbers for positions")                  \
    A(STRATEGY, "weighted-kmeans",                                                                \
      "of the beta b smallest margins, k-means weighted by 1 - margin; the sample nearest each "  \
      "centre",                                                                                   \
      "full k-means, theirs often mini-batches; incremental: labelled samples are fixed centres")
DAL_MODULE_ABOUT(kmeans, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
