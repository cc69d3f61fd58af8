/* badge: samples whose gradients are large and point in different directions.
 *
 * Ash, Zhang, Krishnamurthy, Langford, Agarwal, "Deep batch active learning by diverse, uncertain gradient lower
 * bounds", ICLR 2020, algorithm 1. With the predicted class as label, the gradient of the loss with respect to the
 * last layer is g_i = (p_i - e_y) (x) h_i; a batch is a k-means++ seeding of all g_i:
 *
 *     S = { i_1 }                                                      i_1: the largest ||g||, as in their code
 *     repeat:  S = S and { i },  i drawn with probability ~ D_i = min_{j in S} ||g_i - g_j||^2
 *
 * g is never formed: it has rank one, so that distances follow from <a_i, a_j> <h_i, h_j> (dal/gradient.h). Draws
 * are the darts of dal_seed: exactly this distribution, with distances counted in blocks of picks. When all
 * that is left lies on a pick (every D_i is 0: a saturated model, or copies), the highest entropy goes next.
 *
 * first     uniform: textbook k-means++, the first pick drawn like any other before there is a distance
 * bias      the gradient of the bias, too: h becomes (h, 1); the authors leave it out
 * seeding   farthest: argmax D_i instead of a draw, without randomness; k-dpp: an exact draw of the batch from the
 *           determinantal point process P(S) ~ det (<g_i, g_j>)_S (the paper's section 3.1 compares the two), among
 *           `candidates` of the largest ||g||, because it looks at all pairs of those
 *
 * Needs outputs and features. O(n b (c + d)) in matrix products; 28 n bytes and some megabytes beside the
 * inputs. The authors' code and those derived from it store n c d numbers and pass over all of them once a
 * pick. k-dpp: O(n (c + d) + m^3), 24 m^2 bytes, m candidates.
 */
#include <dal/dpp.h>
#include <dal/gradient.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LARGEST 0u
#define SEEDING_FARTHEST DAL_SEED_FARTHEST /* the first words of `seeding` are in the order of DAL_SEED_* */
#define SEEDING_DPP 2u
#define DPP_LEAST 1000

typedef struct options {
    uint32_t first;
    int32_t bias;
    uint32_t seeding;
    int64_t candidates;
} options;

/* How many of n a k-DPP draws b from. */
static int64_t dpp_candidates(const options *opt, int64_t n, int64_t b)
{
    const int64_t usual = 2 * b > DPP_LEAST ? 2 * b : DPP_LEAST;
    const int64_t m = opt->candidates > 0 ? opt->candidates : usual;
    return m < b ? b : m < n ? m : n;
}

/* Rows rows[n..want-1] by entropy, those of rows[0..n-1] left out. */
static dal_status fill_up(const dal_host *host, const dal_outputs *outputs, int64_t want, int64_t n, int64_t *rows,
                          double *scores, dal_error *err)
{
    dal_topk best;
    double *entropy = dal_array(host, outputs->values.rows, sizeof *entropy);
    double *kept = dal_array(host, want - n, sizeof *kept);
    const dal_status st = entropy && kept ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for entropies");
    if (st == DAL_OK) {
        dal_entropy(outputs, entropy);
        for (int64_t i = 0; i < n; i++)
            entropy[rows[i]] = -INFINITY;
        dal_topk_init(&best, want - n, DAL_LARGEST_FIRST, kept, rows + n);
        dal_topk_push(&best, entropy, 0, outputs->values.rows);
        dal_topk_sort(&best);
        for (int64_t i = n; i < want; i++)
            scores[i] = 0;
    }
    host->free(host, entropy);
    host->free(host, kept);
    return st;
}

/* ---- k-DPP ------------------------------------------------------------------------------------ */

typedef struct process {
    const dal_host *host;
    int64_t m;
    int64_t *rows;    /* [m] ascending */
    double *norms;    /* [n] ||g||^2 */
    double *quality;  /* [m] ||g||, at first ||g||^2 */
    float *h, *a;     /* [m, d], [m, c] a / ||g|| */
} process;

static int ascending(const void *x, const void *y)
{
    const int64_t i = *(const int64_t *)x, j = *(const int64_t *)y;
    return (i > j) - (i < j);
}

/* The m largest gradients that are any. */
static dal_status choose_candidates(process *p, const dal_gradients *g, int64_t m, dal_error *err)
{
    const int64_t n = g->features.rows;
    dal_topk top;
    p->norms = dal_array(p->host, n, sizeof *p->norms);
    p->rows = dal_array(p->host, m, sizeof *p->rows);
    p->quality = dal_array(p->host, m, sizeof *p->quality);
    if (!p->norms || !p->rows || !p->quality)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)m);
    const dal_status st = dal_gradient_norms(p->host, g, p->norms, err);
    if (st != DAL_OK)
        return st;
    dal_topk_init(&top, m, DAL_LARGEST_FIRST, p->quality, p->rows);
    dal_topk_push(&top, p->norms, 0, n);
    dal_topk_sort(&top);
    for (p->m = top.n; p->m > 0 && !(p->quality[p->m - 1] > 0); p->m--)
        ;
    qsort(p->rows, (size_t)p->m, sizeof *p->rows, ascending);
    return DAL_OK;
}

/* With a / ||g|| for a and the quality ||g|| the kernel is <g_i, g_j>, and what fills up goes by ||g||. */
static dal_status copy_candidates(process *p, const dal_gradients *g, dal_error *err)
{
    const int64_t c = dal_gradient_width(g), d = g->features.cols;
    p->h = dal_array(p->host, p->m * d, sizeof *p->h);
    p->a = dal_array(p->host, p->m * c, sizeof *p->a);
    if (!p->h || !p->a)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the gradients of %lld candidates", (long long)p->m);
    for (int64_t i = 0; i < p->m; i++) {
        const int64_t row = p->rows[i];
        p->quality[i] = sqrt(p->norms[row]);
        memcpy(p->h + i * d, g->features.data + row * g->features.stride, (size_t)d * sizeof *p->h);
        dal_gradient_factor(g, row, 1, p->a + i * c, NULL);
        for (int64_t k = 0; k < c; k++)
            p->a[i * c + k] = (float)((double)p->a[i * c + k] / p->quality[i]);
    }
    return DAL_OK;
}

static dal_status draw_dpp(const dal_host *host, const options *opt, const dal_seed_problem *problem, int64_t *rows,
                           double *scores, int64_t *n, dal_error *err)
{
    const dal_gradients *g = &problem->points;
    process p = {.host = host};
    dal_points points = {.struct_size = sizeof points, .extra = opt->bias};
    dal_dpp dpp = {.struct_size = sizeof dpp, .similarity = {DAL_DOT, 0, 0}, .points = &points};
    dal_status st = choose_candidates(&p, g, dpp_candidates(opt, g->features.rows, problem->n_picks), err);
    if (st == DAL_OK)
        st = copy_candidates(&p, g, err);
    if (st == DAL_OK && p.m > 0) {
        points.x = (dal_matrix){p.h, p.m, g->features.cols, g->features.cols};
        points.y = (dal_matrix){p.a, p.m, dal_gradient_width(g), dal_gradient_width(g)};
        dpp.quality = p.quality;
        st = dal_points_measure(host, &points, "gradient", NULL, err);
        if (st == DAL_OK)
            st = dal_dpp_sample(host, &dpp, problem->n_picks, &problem->stream, rows, n, err);
        for (int64_t i = 0; st == DAL_OK && i < *n; i++) {
            scores[i] = (double)NAN; /* a set is drawn; its members have no score of their own */
            rows[i] = p.rows[rows[i]];
        }
        dal_points_free(host, &points);
    }
    host->free(host, p.rows);
    host->free(host, p.norms);
    host->free(host, p.quality);
    host->free(host, p.h);
    host->free(host, p.a);
    return st;
}

/* ---- the strategy ----------------------------------------------------------------------------- */

static dal_status badge_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    int64_t n = 0;
    dal_seed_problem problem = {.struct_size = sizeof problem, .rule = opt->seeding, .n_picks = picks->want,
                                .stream = host->rng(host, "draw", view->round)};
    dal_gradients *g = &problem.points;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    *g = (dal_gradients){.struct_size = sizeof *g, .bias = opt->bias, .ids = view->ids(view, DAL_ROWS_CANDIDATES)};
    problem.first = opt->first == FIRST_LARGEST ? DAL_SEED_LARGEST : DAL_SEED_DRAWN;
    int64_t *rows = dal_array(host, picks->want, sizeof *rows);
    double *scores = dal_array(host, picks->want, sizeof *scores);
    dal_status st = rows && scores ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for the picks");
    if (st == DAL_OK)
        st = view->outputs(view, DAL_ROWS_CANDIDATES, &g->outputs, err);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &g->features, err);
    if (st == DAL_OK)
        st = opt->seeding == SEEDING_DPP ? draw_dpp(host, opt, &problem, rows, scores, &n, err)
                                         : dal_seed(host, &problem, rows, scores, &n, err);
    if (st == DAL_OK && n < picks->want)
        st = fill_up(host, &g->outputs, picks->want, n, rows, scores, err);
    if (st == DAL_OK) {
        scores[0] = (double)NAN; /* nothing to be far from */
        dal_pick_rows(view, rows, scores, picks->want, picks);
    }
    host->free(host, rows);
    host->free(host, scores);
    return st;
}

static void badge_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double n = (double)problem->n, b = (double)problem->n_query, c = (double)problem->c,
                 d = (double)problem->d;
    if (opt->seeding == SEEDING_DPP) {
        const double m = (double)dpp_candidates(opt, problem->n, problem->n_query);
        out->bytes = 9 * n + m * (4 * (c + d) + 48) + 24 * m * m + 16 * m * b + 4096;
        out->flops = 2 * n * (c + d) + m * m * (c + d) + 10 * m * m * m + 4 * m * b * b;
        snprintf(out->formula, sizeof out->formula, "O(n (c + d) + m^3) time, O(n + m (m + b)) memory, m = %.0f", m);
        return;
    }
    out->bytes = 37 * n + 4 * 128 * (c + d) + 1e6 + 2048 * c;
    out->flops = 2 * n * b * (c + d);
    snprintf(out->formula, sizeof out->formula, "O(n b (c + d)) time in matrix products, O(n) memory");
}

static const dal_strategy_impl badge_impl = {
    .struct_size = sizeof badge_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = badge_select,
    .cost = badge_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, first, CHOICE, "largest", "largest|uniform", "", "the first pick: the largest gradient, or any")         \
    P(T, bias, BOOL, "false", "", "", "count the gradient of the bias, too")                                      \
    P(T, seeding, CHOICE, "kmeans++", "kmeans++|farthest|k-dpp", "",                                              \
      "draw by squared distance, take the farthest, or draw the batch at once")                                   \
    P(T, candidates, I64, "0", "0..", "", "of k-dpp: the largest gradients; 0: max(2 b, 1000)")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "badge", badge_impl, "k-means++ seeding of last-layer gradients", "Ash et al., ICLR 2020",        \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "badge",                                                                              \
      "k-means++ on g_i = (p_i - e_y) (x) h_i: draw i with probability ~ min_j ||g_i - g_j||^2 over " \
      "the picks",                                                                                    \
      "g is never formed; first: largest ||g|| as in the authors' code, uniform by option; never a "  \
      "sample twice (DISTIL may); a k-DPP by option")
DAL_MODULE_ABOUT(badge, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
