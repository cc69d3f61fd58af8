/* graph-density: the densest sample of a neighbour graph, then the densest away from it.
 *
 * Ebert, Fritz, Schiele, "RALF: a reinforced active learning formulation for object class recognition", CVPR 2012,
 * section 4.1, on candidates and labelled samples together:
 *
 *     i and j are joined when either is among the k nearest (Manhattan) of the other; P_ij = exp(-gamma d_ij)
 *     Gra(i) = sum_j P_ij / (how many are joined to i)
 *     b times: pick the candidate i of largest Gra; Gra(j) -= Gra(i) for all j joined to i
 *
 * gamma is 1 / d, as in the peers. Labelled samples count as neighbours and are never picked; what was taken off
 * in earlier rounds is not remembered. Ties go to the lowest pool index. The score is Gra when picked.
 *
 * Needs features. O(n^2 d) time, O(n k) memory (dal/neighbours.h).
 */
#include <dal/neighbours.h>
#include <dal/select.h>

#include <math.h>

typedef struct options {
    int64_t neighbours;
    double gamma;
} options;

/* Who is joined to whom, by rows: others [begin[i] .. begin[i + 1]) of i, ascending. */
typedef struct graph {
    const dal_host *host;
    dal_matrix x;       /* [n, d] candidates, then labelled samples */
    int64_t k;
    int64_t *near;      /* [n, k] */
    float *distance;    /* [n, k] */
    int64_t *begin;     /* [n + 1] */
    int64_t *others;    /* [2 n k] */
    float *far;         /* [2 n k] their distances */
    double *density;    /* [n] */
} graph;

/* ---- the graph -------------------------------------------------------------------------------- */

/* 0 without memory. */
static int take_graph(graph *g)
{
    const int64_t n = g->x.rows;
    int64_t places, twice;
    if (!dal_size_mul(n, g->k, &places) || !dal_size_mul(places, 2, &twice))
        return 0;
    g->near = dal_array(g->host, places, sizeof *g->near);
    g->distance = dal_array(g->host, places, sizeof *g->distance);
    g->begin = dal_array(g->host, n + 1, sizeof *g->begin);
    g->others = dal_array(g->host, twice, sizeof *g->others);
    g->far = dal_array(g->host, twice, sizeof *g->far);
    g->density = dal_array(g->host, n, sizeof *g->density);
    return g->near && g->distance && g->begin && g->others && g->far && g->density;
}

static void drop_graph(graph *g)
{
    g->host->free(g->host, g->near);
    g->host->free(g->host, g->distance);
    g->host->free(g->host, g->begin);
    g->host->free(g->host, g->others);
    g->host->free(g->host, g->far);
    g->host->free(g->host, g->density);
}

static int is_near(const graph *g, int64_t of, int64_t whom)
{
    for (int64_t e = 0; e < g->k; e++)
        if (g->near[of * g->k + e] == whom)
            return 1;
    return 0;
}

static void join(graph *g, int64_t i, int64_t other, float distance)
{
    g->others[g->begin[i]] = other;
    g->far[g->begin[i]++] = distance;
}

/* Each list in ascending order: short ones, so by insertion. */
static void sort_list(graph *g, int64_t i)
{
    for (int64_t e = g->begin[i] + 1; e < g->begin[i + 1]; e++) {
        const int64_t other = g->others[e];
        const float far = g->far[e];
        int64_t at = e;
        for (; at > g->begin[i] && g->others[at - 1] > other; at--) {
            g->others[at] = g->others[at - 1];
            g->far[at] = g->far[at - 1];
        }
        g->others[at] = other;
        g->far[at] = far;
    }
}

/* An edge from whoever names the other; twice named counts once, from the lower. */
static void join_all(graph *g)
{
    const int64_t n = g->x.rows;
    memset(g->begin, 0, (size_t)(n + 1) * sizeof *g->begin);
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t e = 0; e < g->k; e++) {
                const int64_t j = g->near[i * g->k + e];
                if (j < 0 || (j < i && is_near(g, j, i)))
                    continue;
                if (pass == 0) {
                    g->begin[i]++;
                    g->begin[j]++;
                } else {
                    join(g, i, j, g->distance[i * g->k + e]);
                    join(g, j, i, g->distance[i * g->k + e]);
                }
            }
        /* counts become beginnings; what was written moved them on, so back again */
        for (int64_t i = 0, sum = 0; i <= n && pass == 0; i++) {
            const int64_t count = g->begin[i];
            g->begin[i] = sum;
            sum += count;
        }
    }
    for (int64_t i = n; i > 0; i--)
        g->begin[i] = g->begin[i - 1];
    g->begin[0] = 0;
    for (int64_t i = 0; i < n; i++)
        sort_list(g, i);
}

static dal_status make_graph(graph *g, double gamma, dal_error *err)
{
    const dal_neighbours_problem problem = {.struct_size = sizeof problem, .metric = DAL_MANHATTAN, .x = g->x,
                                            .y = g->x, .k = g->k, .self = 1};
    const dal_status st = dal_neighbours(g->host, &problem, g->near, g->distance, err);
    if (st != DAL_OK)
        return st;
    join_all(g);
    for (int64_t i = 0; i < g->x.rows; i++) {
        double sum = 0;
        for (int64_t e = g->begin[i]; e < g->begin[i + 1]; e++)
            sum += exp(-gamma * (double)g->far[e]);
        g->density[i] = g->begin[i + 1] > g->begin[i] ? sum / (double)(g->begin[i + 1] - g->begin[i]) : 0;
    }
    return DAL_OK;
}

/* ---- picks ------------------------------------------------------------------------------------ */

/* b of the first n rows. */
static void pick_densest(graph *g, unsigned char *picked, int64_t n, int64_t b, int64_t *rows, double *scores)
{
    memset(picked, 0, (size_t)n);
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!picked[i] && (best < 0 || g->density[i] > g->density[best]))
                best = i;
        picked[best] = 1;
        rows[k] = best;
        scores[k] = g->density[best];
        for (int64_t e = g->begin[best]; e < g->begin[best + 1]; e++)
            g->density[g->others[e]] -= scores[k];
    }
}

static dal_status graph_density_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    static const uint32_t sets[2] = {DAL_ROWS_CANDIDATES, DAL_ROWS_LABELLED};
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    graph g = {.host = host, .k = opt->neighbours};
    float *data = NULL;
    picks->n = 0;
    if (b <= 0 || n <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(host, b, sizeof *rows);
    double *scores = dal_array(host, b, sizeof *scores);
    unsigned char *picked = dal_array(host, n, 1);
    dal_status st = rows && scores && picked
                        ? dal_stack_features(host, view, sets, 2, &data, &g.x, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)n);
    if (st == DAL_OK)
        st = take_graph(&g) ? make_graph(&g, opt->gamma > 0 ? opt->gamma : 1 / (double)g.x.cols, err)
                            : dal_fail(err, DAL_E_NOMEM, "", "no memory for a graph of %lld samples",
                                       (long long)g.x.rows);
    if (st == DAL_OK) {
        pick_densest(&g, picked, n, b, rows, scores);
        dal_pick_rows(view, rows, scores, b, picks);
    }
    drop_graph(&g);
    host->free(host, data);
    host->free(host, rows);
    host->free(host, scores);
    host->free(host, picked);
    return st;
}

static void graph_density_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n + (double)problem->n_labelled, d = (double)problem->d;
    out->bytes = n * (4 * d + 36 * (double)opt->neighbours + 32) + 16 * (double)problem->n_query;
    out->flops = 3 * n * n * d + n * (double)problem->n_query;
    snprintf(out->formula, sizeof out->formula, "O(n^2 d + n b) time, O(n (d + k)) memory");
}

static const dal_strategy_impl graph_density_impl = {
    .struct_size = sizeof graph_density_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = graph_density_select,
    .cost = graph_density_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, neighbours, I64, "10", "1..1000", "samples", "nearest samples each is joined to")                 \
    P(T, gamma, F64, "0", "0..", "", "weights are exp(-gamma distance); 0: 1 / width of the features")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "graph-density", graph_density_impl, "densest first in a graph of nearest neighbours",     \
      "Ebert et al., CVPR 2012", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                   \
    A(STRATEGY, "graph-density",                                                                   \
      "b times argmax Gra(i) = mean weight exp(-gamma d) of its edges; then Gra(j) -= Gra(i) for " \
      "its neighbours",                                                                            \
      "what earlier rounds took off is not remembered; gamma 1/d")
DAL_MODULE_ABOUT(graph_density, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
