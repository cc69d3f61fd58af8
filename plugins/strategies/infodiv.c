/* infodiv: the smallest margins, shared out over the clusters of the data.
 *
 * "Informative and diverse" of Google's active-learning playground (Yang et al. 2017): k-means clusters of all
 * data (candidates and labelled samples), as many as there are classes, pi_k the share of cluster k; then
 *
 *     walk the candidates by increasing margin p(1) - p(2):
 *         take x if (how many of its cluster are taken) / b < pi_k
 *     fill up with the smallest margins that were passed over
 *
 * Theirs clusters by mini-batches. A NaN output comes last. Needs outputs and features; O(iterations n k d) time,
 * O(n d) memory for the copy of all features.
 */
#include <dal/kmeans.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>

#define ITERATIONS 300
#define TOLERANCE 1e-4

typedef struct options {
    int64_t clusters;
    int64_t starts;
} options;

/* The walk over n candidates in `order`; sizes [k] of the clusters of all samples. Picks as rows, in order. */
static void walk(const int64_t *order, int64_t n, const int32_t *assignment, const int64_t *sizes, int64_t all,
                 int64_t *taken, int64_t b, unsigned char *picked, int64_t *picks)
{
    int64_t n_picks = 0;
    for (int64_t i = 0; i < n && n_picks < b; i++) {
        const int64_t row = order[i], c = assignment[row];
        picked[row] = (double)taken[c] / (double)b < (double)sizes[c] / (double)all;
        if (picked[row]) {
            taken[c]++;
            picks[n_picks++] = row;
        }
    }
    for (int64_t i = 0; i < n && n_picks < b; i++)
        if (!picked[order[i]])
            picks[n_picks++] = order[i];
}

/* Clusters of all samples: assignment [all], sizes [k]. */
static dal_status cluster(const dal_host *host, const dal_view *view, const options *opt, dal_matrix x, int64_t k,
                          int32_t *assignment, int64_t *sizes, dal_error *err)
{
    const dal_rng stream = host->rng(host, "k-means", view->round);
    const dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = x, .k = k, .starts = opt->starts,
                                        .max_iterations = ITERATIONS, .tolerance = TOLERANCE};
    dal_kmeans_result out = {.struct_size = sizeof out, .assignment = assignment};
    const dal_status st = dal_kmeans(host, &problem, &stream, &out, err);
    memset(sizes, 0, (size_t)k * sizeof *sizes);
    for (int64_t i = 0; st == DAL_OK && i < x.rows; i++)
        sizes[assignment[i]]++;
    return st;
}

/* Candidates by increasing margin [n] into order and margins, NaN last. */
static dal_status sort_margins(const dal_host *host, const dal_view *view, int64_t n, int64_t *order,
                               double *margins,
                               dal_error *err)
{
    dal_outputs o;
    dal_topk best;
    double *all = dal_array(host, n, sizeof *all);
    const dal_status st = all ? view->outputs(view, DAL_ROWS_CANDIDATES, &o, err)
                              : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld margins", (long long)n);
    if (st == DAL_OK) {
        dal_margin(&o, all);
        dal_topk_init(&best, n, DAL_SMALLEST_FIRST, margins, order);
        dal_topk_push(&best, all, 0, n);
        dal_topk_sort(&best);
        for (int64_t i = 0; i < n; i++)
            margins[i] = all[i];
    }
    host->free(host, all);
    return st;
}

/* How many clusters; 0: not known. */
static int64_t clusters_of(const options *opt, const dal_view *view, int64_t all)
{
    const int64_t k = opt->clusters > 0 ? opt->clusters : view->n_classes;
    return k < all ? k : all;
}

static dal_status infodiv_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    static const uint32_t sets[2] = {DAL_ROWS_CANDIDATES, DAL_ROWS_LABELLED};
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), all = n + view->count(view, DAL_ROWS_LABELLED);
    const int64_t k = clusters_of(opt, view, all), b = picks->want;
    dal_matrix x;
    float *data = NULL;
    picks->n = 0;
    if (b <= 0 || n <= 0)
        return DAL_OK;
    if (k < 1)
        return dal_fail(err, DAL_E_INVALID, "clusters",
                        "the number of classes is not known; say how many clusters");
    int64_t *order = dal_array(host, n, sizeof *order), *sizes = dal_array(host, k, sizeof *sizes);
    int64_t *taken = dal_array(host, k, sizeof *taken), *rows = dal_array(host, b, sizeof *rows);
    double *margins = dal_array(host, n, sizeof *margins);
    int32_t *assignment = dal_array(host, all, sizeof *assignment);
    unsigned char *picked = dal_array(host, n, 1);
    dal_status st = order && sizes && taken && rows && margins && assignment && picked
                        ? dal_stack_features(host, view, sets, 2, &data, &x, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)all);
    if (st == DAL_OK)
        st = cluster(host, view, opt, x, k, assignment, sizes, err);
    if (st == DAL_OK)
        st = sort_margins(host, view, n, order, margins, err);
    if (st == DAL_OK) {
        memset(taken, 0, (size_t)k * sizeof *taken);
        memset(picked, 0, (size_t)n);
        walk(order, n, assignment, sizes, all, taken, b, picked, rows);
        for (int64_t i = 0; i < b; i++)
            picks->scores[i] = margins[rows[i]];
        dal_pick_rows(view, rows, NULL, b, picks);
    }
    host->free(host, data);
    host->free(host, order);
    host->free(host, sizes);
    host->free(host, taken);
    host->free(host, rows);
    host->free(host, margins);
    host->free(host, assignment);
    host->free(host, picked);
    return st;
}

static void infodiv_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n + (double)problem->n_labelled, d = (double)problem->d;
    const double k = opt->clusters > 0 ? (double)opt->clusters : (double)problem->c;
    out->bytes = 4 * n * d + (70 + k / 8) * n + 8 * k * d + 8e6;
    out->flops = (double)opt->starts * ITERATIONS * 2 * n * k * d;
    snprintf(out->formula, sizeof out->formula, "O(starts iterations n k d) time, O(n d) memory");
}

static const dal_strategy_impl infodiv_impl = {
    .struct_size = sizeof infodiv_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = infodiv_select,
    .cost = infodiv_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, clusters, I64, "0", "0..1000000", "", "clusters of all data; 0: as many as classes")              \
    P(T, starts, I64, "10", "1..1000", "", "independent starts of k-means, of which the best counts")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "infodiv", infodiv_impl, "smallest margins, shared out over clusters by their size",       \
      "Yang et al. 2017, google/active-learning", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                      \
    A(STRATEGY, "infodiv",                                                            \
      "by increasing margin, x if (picks of its cluster) / b < share of the cluster", \
      "full k-means, theirs mini-batches")
DAL_MODULE_ABOUT(infodiv, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
