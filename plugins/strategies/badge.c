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
 * seeding   farthest: argmax D_i instead of a draw, without randomness
 *
 * Needs outputs and features. O(n b (c + d)) in matrix products; 28 n bytes and some megabytes beside the
 * inputs. The authors' code and those derived from it store n c d numbers and pass over all of them once a
 * pick.
 */
#include <dal/gradient.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>

#define FIRST_LARGEST 0u
#define SEEDING_FARTHEST DAL_SEED_FARTHEST /* the words of `seeding` are in the order of DAL_SEED_* */

typedef struct options {
    uint32_t first;
    int32_t bias;
    uint32_t seeding;
} options;

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
        st = dal_seed(host, &problem, rows, scores, &n, err);
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

static void badge_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, b = (double)problem->n_query, c = (double)problem->c,
                 d = (double)problem->d;
    (void)self, (void)opt;
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
    P(T, seeding, CHOICE, "kmeans++", "kmeans++|farthest", "", "draw by squared distance, or take the farthest")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "badge", badge_impl, "k-means++ seeding of last-layer gradients", "Ash et al., ICLR 2020",        \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
DAL_MODULE(badge, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
