/* variance-reduction: ask for the sample after which the predictions would vary the least.
 *
 * Schein & Ungar, "Active learning for logistic regression: an evaluation", Machine Learning 2007: A-optimality.
 * With the model's last layer as a logistic regression on h = (features, 1), theta its c (d + 1) parameters, pi
 * the class probabilities and S = diag(pi) - pi pi':
 *
 *     F   = sum over labelled  S (x) h h'  +  1/sigma I              Fisher information; sigma -> sigma
 *     A   = sum over candidates  S^2 (x) h h'                        = sum of g g', g the gradients of pi by theta
 *     phi = tr(F^-1 A)                                               the variance of all predictions
 *     score(x) = tr(F^-1 A) - tr((F + S_x (x) h_x h_x')^-1 A)        what x takes off it: largest first
 *
 * The information in x does not depend on its label while the parameters stay, so the expectation over labels is
 * one term. With S (x) h_x h_x' = U U' (dal/information.h) the score is
 *
 *     tr((I + U' F^-1 U)^-1  U' F^-1 A F^-1 U)           c x c matrices of a pass over F^-1 and F^-1 A F^-1
 *
 * and no candidate needs a factorisation of its own. libact trains anew for every candidate and label, looks at
 * the information of x alone, has the sign of the off-diagonal blocks wrong, and writes the ridge as (1/sigma)
 * sigma = 1; the retraining is left out here, the rest is as in the paper.
 *
 * Needs outputs and features (of a model whose last layer is a softmax of them). Time O(n m^2 + m^3), memory 32
 * m^2, m = c (d + 1): refused above `max_parameters`.
 */
#include <dal/information.h>
#include <dal/select.h>
#include <dal/topk.h>

#define TILE 64

typedef struct options {
    double sigma;
    int64_t max_parameters;
} options;

typedef struct design {
    const dal_host *host;
    int64_t m;
    dal_softmax_rows l, u; /* labelled, candidates */
    double *p, *q;         /* [m, m] F^-1, F^-1 A F^-1 */
    double *score;         /* [n] */
} design;

/* f, a [m, m] are scratch. */
static dal_status invert(design *g, double sigma, double *f, double *a, dal_error *err)
{
    const int64_t m = g->m;
    memset(g->p, 0, (size_t)(m * m) * sizeof *g->p);
    memset(a, 0, (size_t)(m * m) * sizeof *a);
    for (int64_t i = 0; i < m; i++)
        g->p[i * m + i] = 1 / sigma;
    dal_status st = dal_information_add(g->host, &g->l, 1, 0, g->p, err);
    if (st == DAL_OK)
        st = dal_information_invert(g->host, m, g->p, f, err);
    if (st == DAL_OK)
        st = dal_information_add(g->host, &g->u, 1, 1, a, err);
    return st == DAL_OK ? dal_information_sandwich(g->host, m, g->p, a, f, g->q) : st;
}

static dal_status score_tile(void *ctx, int64_t tile)
{
    const design *g = ctx;
    const dal_host *host = g->host;
    const int64_t first = tile * TILE, left = g->u.n - first, n = left < TILE ? left : TILE, c = g->u.c;
    double *gain = dal_array(host, TILE * c * c, sizeof *gain), *part = dal_array(host, TILE * c * c, sizeof *part);
    double *scratch = dal_array(host, TILE * g->m, sizeof *scratch);
    dal_status st = gain && part && scratch ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = dal_information_forms(&g->u, first, n, g->p, scratch, gain);
    if (st == DAL_OK)
        st = dal_information_forms(&g->u, first, n, g->q, scratch, part);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        st = dal_information_trace(c, 1, gain + i * c * c, part + i * c * c, g->score + first + i);
    host->free(host, gain);
    host->free(host, part);
    host->free(host, scratch);
    return st;
}

static dal_status score_all(design *g, double sigma, dal_error *err)
{
    const dal_host *h = g->host;
    int64_t cells;
    const int fits = dal_size_mul(g->m, g->m, &cells);
    double *f = fits ? dal_array(h, cells, sizeof *f) : NULL, *a = fits ? dal_array(h, cells, sizeof *a) : NULL;
    g->p = fits ? dal_array(h, cells, sizeof *g->p) : NULL;
    g->q = fits ? dal_array(h, cells, sizeof *g->q) : NULL;
    g->score = dal_array(h, g->u.n, sizeof *g->score);
    dal_status st = f && a && g->p && g->q && g->score
                        ? invert(g, sigma, f, a, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the information of %lld parameters",
                                   (long long)g->m);
    h->free(h, f);
    h->free(h, a);
    if (st == DAL_OK && h->cancelled(h))
        st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
    if (st == DAL_OK && (st = h->parallel_for(h, (g->u.n + TILE - 1) / TILE, score_tile, g)) != DAL_OK)
        dal_fail(err, st, "",
                 st == DAL_E_NOMEM ? "no memory for a tile" : "the information of a sample is degenerate");
    return st;
}

static dal_status vr_select(void *self_, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = self_;
    const dal_host *h = self->host;
    const options *opt = self->options;
    design g = {.host = h};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_softmax_rows_read(h, view, DAL_ROWS_CANDIDATES, 1, &g.u, err);
    if (st == DAL_OK)
        st = dal_information_bound(g.u.c, g.u.w, opt->max_parameters, err);
    g.m = st == DAL_OK ? g.u.c * g.u.w : 0;
    g.l.w = g.u.w;
    if (st == DAL_OK)
        st = dal_softmax_rows_read(h, view, DAL_ROWS_LABELLED, 1, &g.l, err);
    if (st == DAL_OK)
        st = score_all(&g, opt->sigma, err);
    if (st == DAL_OK) {
        dal_topk best;
        dal_topk_init(&best, picks->want, DAL_LARGEST_FIRST, picks->scores, picks->ids);
        dal_topk_push(&best, g.score, 0, g.u.n);
        dal_topk_sort(&best);
        for (picks->n = 0; picks->n < best.n; picks->n++)
            picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[picks->ids[picks->n]];
    }
    dal_softmax_rows_free(h, &g.l);
    dal_softmax_rows_free(h, &g.u);
    h->free(h, g.p);
    h->free(h, g.q);
    h->free(h, g.score);
    return st;
}

static void vr_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, l = (double)problem->n_labelled, c = (double)problem->c;
    const double w = (double)problem->d + 1, m = c * w;
    (void)self, (void)opt;
    out->bytes = 32 * m * m + 8 * (n + l) * (c + w) + 8 * n + 2 * 8 * TILE * (2 * c * c + m) + 4096 * w;
    out->flops = 3 * n * m * m + l * m * m + 7 * m * m * m;
    snprintf(out->formula, sizeof out->formula, "O(n m^2 + m^3) time, O(m^2 + n (c + d)) memory, m = c (d + 1)");
}

static const dal_strategy_impl vr_impl = {
    .struct_size = sizeof vr_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = vr_select,
    .cost = vr_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, sigma, F64, "1", "(0..)", "", "variance of the prior of the parameters; the ridge is 1 / sigma")  \
    P(T, max_parameters, I64, "2000", "1..30000", "", "refuse where c (d + 1) is more than this")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "variance-reduction", vr_impl, "the sample that takes most off the variance of all predictions", \
      "Schein & Ungar, Machine Learning 2007", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                    \
    A(STRATEGY, "variance-reduction",                                                               \
      "largest tr(F^-1 A) - tr((F + S_x (x) h h')^-1 A), F Fisher information of the labels, A of " \
      "the candidates' predictions",                                                                \
      "no retraining for each label; libact has a sign and the ridge wrong")
DAL_MODULE_ABOUT(variance_reduction, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
