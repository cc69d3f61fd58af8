/* coreset: cover the pool, so that no sample is far from a labelled one.
 *
 * Sener & Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018,
 * algorithm 1 (k-center greedy), in the space of the model's penultimate features h:
 *
 *     s = s0                                     s0 -> DAL_ROWS_LABELLED
 *     repeat                                     b -> picks->want
 *         u = argmax_{i not in s} min_{j in s} ||h_i - h_j||
 *         s = s and {u}
 *
 * The greedy cover is at most twice as wide as the best one. Their second, mixed-integer step is left out,
 * as everybody leaves it out. Ties go to the lowest pool index. With nothing labelled the first pick is
 * free: the lowest pool index, or one drawn from the round's stream.
 *
 * Needs features. O(n n_l d) for the labelled samples as matrix products, and at most n b distances of
 * d after that, in practice a few per cent; O(n) memory (dal/kcenter.h).
 */
#include <dal/kcenter.h>
#include <dal/select.h>

#include <math.h>

#define FIRST_LOWEST 0u
#define FIRST_RANDOM 1u

typedef struct options {
    uint32_t first;
    int32_t ood_centres;
} options;

/* Features of a row set, if it has any rows. */
static dal_status add_centres(const dal_view *view, uint32_t set, dal_matrix *centres, int64_t *n, dal_error *err)
{
    if (view->count(view, set) == 0)
        return DAL_OK;
    return view->features(view, set, &centres[(*n)++], err);
}

static int64_t first_pick(const dal_stateless *self, const dal_view *view, int64_t n)
{
    const options *opt = self->options;
    if (opt->first == FIRST_LOWEST)
        return 0;
    dal_rng r = self->host->rng(self->host, "first", view->round);
    return dal_rng_below(&r, n);
}

/* The score of a pick is its distance from everything chosen before. */
static void write_picks(const dal_view *view, const int64_t *rows, const float *distance, int64_t n, dal_picks *picks)
{
    for (int64_t i = 0; i < n; i++)
        picks->scores[i] = isinf(distance[i]) ? (double)NAN : sqrt((double)distance[i]);
    dal_pick_rows(view, rows, NULL, n, picks);
}

static dal_status coreset_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    int64_t n = 0;
    dal_matrix centres[2]; /* s0 */
    dal_kcenter_problem problem = {.struct_size = sizeof problem, .centres = centres, .n_picks = picks->want};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(host, picks->want, sizeof *rows);
    float *distance = dal_array(host, picks->want, sizeof *distance);
    dal_status st = DAL_OK;
    if (!rows || !distance)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)picks->want);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &problem.candidates, err);
    if (st == DAL_OK)
        st = add_centres(view, DAL_ROWS_LABELLED, centres, &problem.n_centres, err);
    if (st == DAL_OK && opt->ood_centres)
        st = add_centres(view, DAL_ROWS_OOD, centres, &problem.n_centres, err);
    if (st == DAL_OK) {
        problem.first = first_pick(self, view, problem.candidates.rows);
        st = dal_kcenter(host, &problem, rows, distance, &n, err);
    }
    if (st == DAL_OK)
        write_picks(view, rows, distance, n, picks);
    host->free(host, rows);
    host->free(host, distance);
    return st;
}

static void coreset_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, d = (double)problem->d;
    (void)self, (void)opt;
    out->bytes = 32 * n + 4 * 512 * d + 8e6;
    out->flops = 2 * n * (double)problem->n_labelled * d + 3 * n * (double)problem->n_query * d;
    snprintf(out->formula, sizeof out->formula, "O(n n_l d + n b d) time, O(n) memory");
}

static const dal_strategy_impl coreset_impl = {
    .struct_size = sizeof coreset_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = coreset_select,
    .cost = coreset_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, first, CHOICE, "lowest", "lowest|random", "", "the first pick while nothing is labelled")         \
    P(T, ood_centres, BOOL, "false", "", "", "keep away from samples found to belong to no class, too")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "coreset", coreset_impl, "farthest first: k-center greedy on features",                    \
      "Sener & Savarese, ICLR 2018", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                               \
    A(STRATEGY, "coreset",                                                     \
      "b times argmax_i min_{j labelled or picked} ||h_i - h_j||",             \
      "the greedy cover; their mixed-integer step is left out, as everywhere")
DAL_MODULE_ABOUT(coreset, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
