/* mcm: clusters of what lies inside the margin.
 *
 * Xu, Yu, Tresp, Xu, Wang, "Representative sampling for text classification using support vector machines", ECIR
 * 2003: of the candidates inside the margin one for each of b clusters, the sample nearest the centre. With
 * probabilities for distances from a hyperplane, f = p(1) - p(2), a candidate is inside when its f is smaller than
 * that of every labelled sample. Fewer than b inside: the b smallest margins. With nothing labelled everything is
 * inside. A NaN output is outside, and last by margin.
 *
 * Google's active-learning playground, "margin_cluster_mean", compares `a.all() < b.all()`, two truths, and so
 * puts nothing or everything inside. The clusters are those of dal/kmeans.h; the paper's are k-means, too.
 *
 * Needs outputs and features. O(n c + iterations m b d) time, O(m d) memory with m inside.
 */
#include <dal/kmeans.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>

#define ITERATIONS 300
#define TOLERANCE 1e-4

typedef struct options {
    int64_t starts;
} options;

/* Margins of a set [count] into out. */
static dal_status margins_of(const dal_view *view, uint32_t set, double *out, dal_error *err)
{
    dal_outputs o;
    const dal_status st = view->outputs(view, set, &o, err);
    if (st == DAL_OK)
        dal_margin(&o, out);
    return st;
}

/* The smallest margin of a labelled sample; infinite when there is none. */
static dal_status edge_of(const dal_host *host, const dal_view *view, double *edge, dal_error *err)
{
    const int64_t n = view->count(view, DAL_ROWS_LABELLED);
    *edge = INFINITY;
    if (n == 0)
        return DAL_OK;
    double *margins = dal_array(host, n, sizeof *margins);
    const dal_status st = margins ? margins_of(view, DAL_ROWS_LABELLED, margins, err)
                                  : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld margins", (long long)n);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        *edge = margins[i] < *edge ? margins[i] : *edge;
    host->free(host, margins);
    return st;
}

static dal_status pick_smallest(const dal_host *host, const double *margins, int64_t n, int64_t b, int64_t *rows,
                                dal_error *err)
{
    dal_topk best;
    double *scores = dal_array(host, b, sizeof *scores);
    if (!scores)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)b);
    dal_topk_init(&best, b, DAL_SMALLEST_FIRST, scores, rows);
    dal_topk_push(&best, margins, 0, n);
    dal_topk_sort(&best);
    host->free(host, scores);
    return DAL_OK;
}

/* One of each of b clusters of the rows inside [m] into rows [b]. */
static dal_status pick_middles(const dal_host *host, const dal_view *view, const options *opt,
                               const int64_t *inside,
                               int64_t m, int64_t b, int64_t *rows, dal_error *err)
{
    const dal_rng stream = host->rng(host, "k-means", view->round);
    dal_kmeans_result out = {.struct_size = sizeof out, .nearest = rows};
    dal_matrix x;
    int64_t cells;
    dal_status st = view->features(view, DAL_ROWS_CANDIDATES, &x, err);
    if (st != DAL_OK)
        return st;
    float *data = dal_size_mul(m, x.cols, &cells) ? dal_array(host, cells, sizeof *data) : NULL;
    if (!data)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)m);
    for (int64_t i = 0; i < m; i++)
        memcpy(data + i * x.cols, x.data + inside[i] * x.stride, (size_t)x.cols * sizeof *data);
    const dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = {data, m, x.cols, x.cols}, .k = b,
                                        .starts = opt->starts, .max_iterations = ITERATIONS,
                                        .tolerance = TOLERANCE};
    st = dal_kmeans(host, &problem, &stream, &out, err);
    for (int64_t i = 0; st == DAL_OK && i < b; i++)
        rows[i] = inside[rows[i]];
    host->free(host, data);
    return st;
}

static dal_status mcm_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    int64_t m = 0;
    double edge;
    picks->n = 0;
    if (b <= 0)
        return DAL_OK;
    int64_t *inside = dal_array(host, n, sizeof *inside), *rows = dal_array(host, b, sizeof *rows);
    double *margins = dal_array(host, n, sizeof *margins);
    dal_status st = inside && rows && margins ? margins_of(view, DAL_ROWS_CANDIDATES, margins, err)
                                              : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples",
                                                         (long long)n);
    if (st == DAL_OK)
        st = edge_of(host, view, &edge, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (margins[i] < edge)
            inside[m++] = i;
    if (st == DAL_OK)
        st = m > b ? pick_middles(host, view, self->options, inside, m, b, rows, err)
                   : pick_smallest(host, margins, n, b, rows, err);
    for (int64_t i = 0; st == DAL_OK && i < b; i++)
        picks->scores[i] = margins[rows[i]];
    if (st == DAL_OK)
        dal_pick_rows(view, rows, NULL, b, picks);
    host->free(host, inside);
    host->free(host, rows);
    host->free(host, margins);
    return st;
}

static void mcm_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, b = (double)problem->n_query, d = (double)problem->d;
    out->bytes = n * (4 * d + 16 + 32 + (b < 8192 ? b / 8 + 4 : 1024)) + 8 * b * d + 8e6;
    out->flops = (double)opt->starts * ITERATIONS * 2 * n * b * d;
    snprintf(out->formula, sizeof out->formula, "O(n c + starts iterations n b d) time, O(n d) memory");
}

static const dal_strategy_impl mcm_impl = {
    .struct_size = sizeof mcm_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = mcm_select,
    .cost = mcm_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, starts, I64, "1", "1..1000", "", "independent starts of k-means, of which the best counts")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "mcm", mcm_impl, "one of each cluster of what lies inside the margin",                     \
      "Xu et al., ECIR 2003", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                  \
    A(STRATEGY, "mcm",                                                                            \
      "of candidates with a smaller margin than all labelled samples, the one nearest each of b " \
      "k-means centres",                                                                          \
      "probability margins for distances to a hyperplane; google/active-learning compares two "   \
      "truths")
DAL_MODULE_ABOUT(mcm, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
