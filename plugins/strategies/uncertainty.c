/* The plain questions: a random sample, or what the model is least sure of.
 *
 *   least-confidence  Lewis & Gale, "A sequential algorithm for training text classifiers", SIGIR 1994:
 *                     max_c p_c, smallest first
 *   margin            Scheffer, Decomain, Wrobel, "Active hidden Markov models for information extraction",
 *                     IDA 2001: p(1) - p(2), the largest minus the second, smallest first
 *   entropy           Shannon 1948; Settles, "Active learning literature survey", 2009, section 3.1:
 *                     H = -sum_c p_c ln p_c, largest first
 *   random            the baseline: a uniform sample without replacement
 *
 * One pass over the outputs, O(nc); a row is scored from its logits where the model gives logits, so that
 * samples the model is almost certain of still have an order. Nothing is added inside a logarithm.
 */
#include <dal/strategy.h>
#include <dal/uncertainty.h>

/* ---- from the model's outputs ----------------------------------------------------------------- */

static dal_status score_outputs(const dal_block *block, void (*score)(const dal_outputs *o, double *out),
                                double *out, dal_error *err)
{
    dal_outputs o;
    const dal_status st = block->outputs(block, &o, err);
    if (st == DAL_OK)
        score(&o, out);
    return st;
}

static dal_status score_least_confidence(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    return score_outputs(block, dal_least_confidence, out, err);
}

static dal_status score_margin(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    return score_outputs(block, dal_margin, out, err);
}

static dal_status score_entropy(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    return score_outputs(block, dal_entropy, out, err);
}

static void cost_outputs(void *self, const void *options, const dal_problem *problem, dal_cost *out)
{
    (void)self, (void)options;
    out->bytes = 16 * (double)problem->n_query;
    out->flops = 20 * (double)problem->n * (double)problem->c; /* an exponential, mostly */
    snprintf(out->formula, sizeof out->formula, "O(n c) time, O(b) memory");
}

/* ---- random ----------------------------------------------------------------------------------- */

/* Every sample draws its own number from the round's stream, by its pool index; the largest b numbers are
 * a uniform sample, whichever blocks and threads the pool comes in. */
typedef struct random_state {
    const dal_host *host;
    dal_rng stream;
} random_state;

static dal_status random_create(const dal_host *host, const void *options, void **self, dal_error *err)
{
    (void)options;
    random_state *state = host->alloc(host, sizeof *state, 0);
    if (!state)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *state = (random_state){host, host->rng(host, "draw", 0)};
    *self = state;
    return DAL_OK;
}

static void random_destroy(void *self)
{
    random_state *state = self;
    if (state)
        state->host->free(state->host, state);
}

static dal_status random_prepare(void *self, const dal_view *view, dal_error *err)
{
    random_state *state = self;
    (void)err;
    state->stream = state->host->rng(state->host, "draw", view->round);
    return DAL_OK;
}

static dal_status random_score(void *self, const dal_block *block, double *out, dal_error *err)
{
    const random_state *state = self;
    (void)err;
    for (int64_t i = 0; i < block->n; i++) {
        dal_rng draw = dal_rng_at(&state->stream, (uint64_t)block->ids[i]);
        out[i] = dal_rng_uniform(&draw);
    }
    return DAL_OK;
}

static void random_cost(void *self, const void *options, const dal_problem *problem, dal_cost *out)
{
    (void)self, (void)options;
    out->bytes = 16 * (double)problem->n_query;
    out->flops = 100 * (double)problem->n;
    snprintf(out->formula, sizeof out->formula, "O(n) time, O(b) memory");
}

/* ---- what the module offers ------------------------------------------------------------------- */

static const dal_strategy_impl random_impl = {
    .struct_size = sizeof random_impl,
    .order = DAL_LARGEST_FIRST,
    .create = random_create,
    .destroy = random_destroy,
    .prepare = random_prepare,
    .score = random_score,
    .cost = random_cost,
};

static const dal_strategy_impl least_confidence_impl = {
    .struct_size = sizeof least_confidence_impl,
    .order = DAL_SMALLEST_FIRST,
    .score = score_least_confidence,
    .cost = cost_outputs,
};

static const dal_strategy_impl margin_impl = {
    .struct_size = sizeof margin_impl,
    .order = DAL_SMALLEST_FIRST,
    .score = score_margin,
    .cost = cost_outputs,
};

static const dal_strategy_impl entropy_impl = {
    .struct_size = sizeof entropy_impl,
    .order = DAL_LARGEST_FIRST,
    .score = score_entropy,
    .cost = cost_outputs,
};

#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "random", random_impl, "a uniform sample: the baseline", "", "", "", dal_no_options,       \
      DAL_NO_PARAMS)                                                                                       \
    C(STRATEGY, "least-confidence", least_confidence_impl, "smallest top probability",                     \
      "Lewis & Gale, SIGIR 1994", DAL_CAP_OUTPUTS, "", dal_no_options, DAL_NO_PARAMS)                      \
    C(STRATEGY, "margin", margin_impl, "smallest gap between the two top probabilities",                   \
      "Scheffer et al., IDA 2001", DAL_CAP_OUTPUTS, "", dal_no_options, DAL_NO_PARAMS)                     \
    C(STRATEGY, "entropy", entropy_impl, "largest entropy of the class probabilities", "Settles 2009",     \
      DAL_CAP_OUTPUTS, "", dal_no_options, DAL_NO_PARAMS)
#define ABOUT(A)                                                                    \
    A(STRATEGY, "random",                                                           \
      "a uniform sample without replacement",                                       \
      "")                                                                           \
    A(STRATEGY, "least-confidence",                                                 \
      "smallest max_c p_c",                                                         \
      "from logits, so that certain samples still have an order")                   \
    A(STRATEGY, "margin",                                                           \
      "smallest p(1) - p(2)",                                                       \
      "from logits likewise")                                                       \
    A(STRATEGY, "entropy",                                                          \
      "largest -sum_c p_c ln p_c",                                                  \
      "nothing is added inside the logarithm (peers: 1e-6; DeepAL+: NaN at p = 0)")
DAL_MODULE_ABOUT(uncertainty, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
