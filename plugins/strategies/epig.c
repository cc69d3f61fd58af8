/* epig: the samples whose class would tell most about the classes of others, not about the weights.
 *
 * Bickford Smith, Kirsch, Farquhar, Gal, Foster, Rainforth, "Prediction-oriented Bayesian active learning",
 * AISTATS 2023, equation 7, with K stochastic passes for the posterior over weights:
 *
 *     EPIG(x) = E_{x*} I(y; y* | x, x*)                            x* from the target distribution
 *             = mean_{x*} sum_{y,y*} J ln( J / (p(x, y) p(x*, y*)) ),  J = mean_k P_k(x, y) P_k(x*, y*)
 *
 * BALD asks about the weights, also where they matter to no input that will ever be seen. The targets are a
 * uniform sample of the candidates, drawn once a round and the same for all; x may be one of them.
 *
 * Largest first. O(K n m c^2) for m targets, 4 m c (K + 1) bytes; J is never formed (dal/joint.h). Needs the
 * passes' masks to be the same for all samples, as DAL_CAP_MC promises.
 */
#include <dal/joint.h>
#include <dal/strategy.h>

#include <stdlib.h>

typedef struct options {
    int64_t passes, targets;
} options;

typedef struct epig {
    const dal_host *host;
    const options *opt;
    uint32_t kind;     /* of the passes */
    dal_joint targets; /* x*, packed */
} epig;

static dal_status epig_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    epig *e = host->alloc(host, sizeof *e, 0);
    if (!e)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *e = (epig){.host = host, .opt = opt};
    *self = e;
    return DAL_OK;
}

static void epig_destroy(void *self)
{
    epig *e = self;
    if (!e)
        return;
    dal_joint_free(&e->targets);
    e->host->free(e->host, e);
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Ids of m of the n candidates, ascending; NULL without memory. */
static int64_t *draw_targets(const epig *e, const dal_view *view, int64_t n, int64_t m)
{
    int64_t *ids = dal_array(e->host, n, sizeof *ids);
    if (!ids)
        return NULL;
    dal_rng r = e->host->rng(e->host, "targets", view->round);
    memcpy(ids, view->ids(view, DAL_ROWS_CANDIDATES), (size_t)n * sizeof *ids);
    dal_rng_shuffle(&r, ids, n, m);
    qsort(ids, (size_t)m, sizeof *ids, ascending);
    return ids;
}

/* The passes over the targets alone. */
static dal_status pack_targets(epig *e, const dal_view *view, const int64_t *ids, int64_t m, dal_error *err)
{
    dal_view *sub = NULL;
    dal_tensor3 t;
    int64_t bad = -1;
    dal_status st = view->subview(view, ids, m, NULL, NULL, 0, &sub, err);
    if (st == DAL_OK)
        st = sub->mc(sub, DAL_ROWS_CANDIDATES, e->opt->passes, &t, err);
    if (st == DAL_OK)
        st = dal_joint_pack(e->host, &t, e->kind, NULL, m, &e->targets, &bad, err);
    if (bad >= 0)
        st = dal_fail(err, DAL_E_INVALID, "", "target: the passes over sample %lld hold a value that is not a "
                      "number; did the model diverge?", (long long)ids[bad]);
    view->close(view, sub);
    return st;
}

static dal_status epig_prepare(void *self, const dal_view *view, dal_error *err)
{
    epig *e = self;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), m = e->opt->targets < n ? e->opt->targets : n;
    dal_joint_free(&e->targets);
    e->kind = view->mc_kind;
    if (n == 0)
        return DAL_OK;
    int64_t *ids = draw_targets(e, view, n, m);
    const dal_status st = ids ? pack_targets(e, view, ids, m, err)
                              : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    e->host->free(e->host, ids);
    return st;
}

static dal_status epig_score(void *self, const dal_block *block, double *out, dal_error *err)
{
    const epig *e = self;
    dal_tensor3 t;
    dal_status st = block->mc(block, e->opt->passes, &t, err);
    if (st == DAL_OK)
        st = dal_joint_rows(e->host, &t, e->kind, 0, block->n, &e->targets, out, NULL, err);
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++)
        out[i] /= (double)e->targets.n;
    return st;
}

static void epig_cost(void *self, const void *opt_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const epig *)self)->opt : opt_;
    const double n = (double)problem->n, c = (double)problem->c, k = (double)opt->passes;
    const double m = (double)opt->targets < n ? (double)opt->targets : n;
    out->bytes = 8 * n + 4 * m * c * (2 * k + 17) + 64e3 * k + 16 * (double)problem->n_query;
    out->flops = n * m * c * c * (2 * k + 30);
    snprintf(out->formula, sizeof out->formula, "O(K n m c^2) time, O(n + K m c) memory, m targets");
}

static const dal_strategy_impl epig_impl = {
    .struct_size = sizeof epig_impl,
    .order = DAL_LARGEST_FIRST,
    .create = epig_create,
    .destroy = epig_destroy,
    .prepare = epig_prepare,
    .score = epig_score,
    .cost = epig_cost,
};

#define PARAMS(P, T)                                                                             \
    P(T, passes, I64, "10", "2..10000", "passes", "K, stochastic passes over each sample")       \
    P(T, targets, I64, "100", "1..1000000", "samples", "x*, drawn from the candidates each round")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "epig", epig_impl, "most information about the classes of a random sample of the pool",     \
      "Bickford Smith et al., AISTATS 2023", DAL_CAP_MC, "", options, PARAMS)
#define ABOUT(A)                                                           \
    A(STRATEGY, "epig",                                                    \
      "largest mean_{x*} I(y; y* | x, x*), x* a sample of the candidates", \
      "targets come from the pool unless it is what you ask about")
DAL_MODULE_ABOUT(epig, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
