/* What the model is least sure of when its dropout is left on: K stochastic passes P_k over each sample, drawn
 * like weights from their posterior, p = mean_k P_k.
 *
 * Gal, Islam, Ghahramani, "Deep Bayesian active learning with image data", ICML 2017 (section 3):
 *
 *   least-confidence-mcd  max_c p, smallest first
 *   margin-mcd            p(1) - p(2), smallest first
 *   entropy-mcd           H(p), largest first
 *   bald                  H(p) - mean_k H(P_k), largest first; Houlsby et al., "Bayesian active learning for
 *                         classification and preference learning", 2011
 *   variation-ratios      1 - f/K, f votes for the mode among the passes' top classes, largest first; Freeman,
 *                         "Elementary applied statistics", 1965
 *   mean-std              (1/c) sum_c std_k P_k[c], largest first; Kampffmeyer, Salberg, Jenssen, CVPRW 2016
 *
 * One pass over the passes, O(K n c); nothing is kept of them (dal/mc.h). A sample's variation ratio takes K
 * values only; equal ones rank by H(p). Other toolkits compute 1 - max p of a single pass under that name, which
 * is `least-confidence`; ALScope also picks the least of BALD instead of the most.
 */
#include <dal/mc.h>
#include <dal/strategy.h>

typedef struct options {
    int64_t passes;
} options;

typedef struct dropout {
    const dal_host *host;
    const options *opt;
    uint32_t kind; /* of the passes */
} dropout;

static dal_status dropout_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    dropout *d = host->alloc(host, sizeof *d, 0);
    if (!d)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *d = (dropout){host, opt, DAL_LOGITS};
    *self = d;
    return DAL_OK;
}

static void dropout_destroy(void *self)
{
    dropout *d = self;
    if (d)
        d->host->free(d->host, d);
}

static dal_status dropout_prepare(void *self, const dal_view *view, dal_error *err)
{
    (void)err;
    ((dropout *)self)->kind = view->mc_kind;
    return DAL_OK;
}

static dal_status score_passes(const dropout *d, const dal_block *block, dal_mc_score *score, double *out,
                               dal_error *err)
{
    dal_tensor3 t;
    const dal_status st = block->mc(block, d->opt->passes, &t, err);
    return st == DAL_OK ? score(d->host, &t, d->kind, 0, t.rows, out, err) : st;
}

static dal_status score_least_confidence(void *self, const dal_block *block, double *out, dal_error *err)
{
    return score_passes(self, block, dal_mc_least_confidence, out, err);
}

static dal_status score_margin(void *self, const dal_block *block, double *out, dal_error *err)
{
    return score_passes(self, block, dal_mc_margin, out, err);
}

static dal_status score_entropy(void *self, const dal_block *block, double *out, dal_error *err)
{
    return score_passes(self, block, dal_mc_entropy, out, err);
}

static dal_status score_bald(void *self, const dal_block *block, double *out, dal_error *err)
{
    return score_passes(self, block, dal_mc_bald, out, err);
}

static dal_status score_variation_ratios(void *self, const dal_block *block, double *out, dal_error *err)
{
    return score_passes(self, block, dal_mc_variation_ratios, out, err);
}

static dal_status score_mean_std(void *self, const dal_block *block, double *out, dal_error *err)
{
    return score_passes(self, block, dal_mc_mean_std, out, err);
}

static void dropout_cost(void *self, const void *opt_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dropout *)self)->opt : opt_;
    out->bytes = 16 * (double)problem->n_query + 16e6; /* a few rows of all passes a thread */
    out->flops = 60 * (double)opt->passes * (double)problem->n * (double)problem->c;
    snprintf(out->formula, sizeof out->formula, "O(K n c) time, O(K c + b) memory");
}

#define IMPL(name, ORDER)                          \
    static const dal_strategy_impl name##_impl = { \
        .struct_size = sizeof name##_impl,         \
        .order = ORDER,                            \
        .create = dropout_create,                  \
        .destroy = dropout_destroy,                \
        .prepare = dropout_prepare,                \
        .score = score_##name,                     \
        .cost = dropout_cost,                      \
    }
IMPL(least_confidence, DAL_SMALLEST_FIRST);
IMPL(margin, DAL_SMALLEST_FIRST);
IMPL(entropy, DAL_LARGEST_FIRST);
IMPL(bald, DAL_LARGEST_FIRST);
IMPL(variation_ratios, DAL_LARGEST_FIRST);
IMPL(mean_std, DAL_LARGEST_FIRST);

#define PARAMS(P, T) P(T, passes, I64, "10", "1..10000", "passes", "K, stochastic passes over each sample")
#define COMPONENTS(C)                                                                                            \
    C(STRATEGY, "least-confidence-mcd", least_confidence_impl, "smallest top probability of the mean of passes", \
      "Gal et al., ICML 2017", DAL_CAP_MC, "", options, PARAMS)                                                  \
    C(STRATEGY, "margin-mcd", margin_impl, "smallest gap between the two top probabilities of the mean",         \
      "Gal et al., ICML 2017", DAL_CAP_MC, "", options, PARAMS)                                                  \
    C(STRATEGY, "entropy-mcd", entropy_impl, "largest entropy of the mean of passes", "Gal et al., ICML 2017",   \
      DAL_CAP_MC, "", options, PARAMS)                                                                           \
    C(STRATEGY, "bald", bald_impl, "most information between class and weights: H(mean) - mean H",               \
      "Houlsby et al. 2011; Gal et al., ICML 2017", DAL_CAP_MC, "", options, PARAMS)                             \
    C(STRATEGY, "variation-ratios", variation_ratios_impl, "fewest passes agree with the majority",              \
      "Freeman 1965; Gal et al., ICML 2017", DAL_CAP_MC, "", options, PARAMS)                                    \
    C(STRATEGY, "mean-std", mean_std_impl, "largest standard deviation over passes, mean over classes",          \
      "Kampffmeyer et al., CVPRW 2016", DAL_CAP_MC, "", options, PARAMS)
#define ABOUT(A)                                                                                    \
    A(STRATEGY, "least-confidence-mcd",                                                             \
      "smallest max_c p, p the mean of K passes",                                                   \
      "real dropout with one mask for all samples, batch-norm frozen; ALScope and DeepAL+ have no " \
      "dropout layer")                                                                              \
    A(STRATEGY, "margin-mcd",                                                                       \
      "smallest p(1) - p(2), p the mean of K passes",                                               \
      "as least-confidence-mcd")                                                                    \
    A(STRATEGY, "entropy-mcd",                                                                      \
      "largest H(p), p the mean of K passes",                                                       \
      "as least-confidence-mcd")                                                                    \
    A(STRATEGY, "bald",                                                                             \
      "largest H(p) - 1/K sum_k H(P_k), p = 1/K sum_k P_k",                                         \
      "ALScope picks the least")                                                                    \
    A(STRATEGY, "variation-ratios",                                                                 \
      "largest 1 - f/K, f passes with the most frequent top class; equal ones by H(p)",             \
      "ALScope, DeepAL+ and AutoAL compute 1 - max p of one pass, which is least-confidence")       \
    A(STRATEGY, "mean-std",                                                                         \
      "largest 1/C sum_c std_k P_k[c]",                                                             \
      "divides by K, not K - 1: the same order")
DAL_MODULE_ABOUT(dropout, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
