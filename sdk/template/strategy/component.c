/* @ID@: the gap between the two likeliest classes, after softening the outputs; smallest gap first.
 *
 *     score(x) = p1(x) - p2(x)   with p = softmax(z / T)
 *
 * T = 1 is margin sampling. z is the model's output; where the model gives probabilities, z = log p.
 * Costs O(n c) time and no memory. A score strategy: the host streams the pool through `score` on all
 * threads and keeps the best.
 */
#include <dal/strategy.h>

#include <math.h>
#include <stdio.h>

typedef struct options {
    double temperature;
} options;

#define PARAMS(P, T) P(T, temperature, F64, "1", "(0..1000]", "", "divide the logits by this first")

typedef struct strategy {
    const dal_host *host;
    const options *options; /* the host keeps them until destroy */
} strategy;

static dal_status create(const dal_host *host, const void *given, void **self, dal_error *err)
{
    strategy *s = host->alloc(host, sizeof *s, 0);
    if (!s)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *s = (strategy){host, given};
    *self = s;
    return DAL_OK;
}

static void destroy(void *self)
{
    strategy *s = self;
    if (s)
        s->host->free(s->host, s);
}

/* z [c] -> p1 - p2 at temperature t. Shifted by the largest logit, so that nothing overflows. */
static double gap(const float *z, int64_t c, int probs, double t)
{
    double first = -INFINITY, second = -INFINITY, sum = 0;
    for (int64_t k = 0; k < c; k++) {
        const double x = probs ? log((double)z[k]) : (double)z[k];
        if (x > first) {
            second = first;
            first = x;
        } else if (x > second) {
            second = x;
        }
    }
    for (int64_t k = 0; k < c; k++)
        sum += exp(((probs ? log((double)z[k]) : (double)z[k]) - first) / t);
    return (1 - exp((second - first) / t)) / sum;
}

static dal_status score(void *self, const dal_block *block, double *out, dal_error *err)
{
    const options *o = ((const strategy *)self)->options;
    dal_outputs p;
    const dal_status st = block->outputs(block, &p, err);
    if (st)
        return st;
    for (int64_t i = 0; i < block->n; i++)
        out[i] = gap(p.values.data + i * p.values.stride, p.values.cols, p.kind == DAL_PROBS, o->temperature);
    return DAL_OK;
}

/* What one selection takes, told before it runs; `dalhost run --memory` refuses what is above. */
static void cost(void *self, const void *given, const dal_problem *problem, dal_cost *out)
{
    (void)self, (void)given;
    out->bytes = 0;
    out->flops = 40 * (double)problem->n * (double)problem->c; /* an exponential and a logarithm, mostly */
    snprintf(out->formula, sizeof out->formula, "O(n c) time");
}

static const dal_strategy_impl impl = {
    .struct_size = sizeof(dal_strategy_impl),
    .order = DAL_SMALLEST_FIRST,
    .create = create,
    .destroy = destroy,
    .score = score,
    .cost = cost,
};

#define COMPONENTS(C)                                                             \
    C(STRATEGY, "@ID@", impl, "gap of the two likeliest classes, softened", "", \
      DAL_CAP_OUTPUTS, "", options, PARAMS)
DAL_MODULE(@MODULE@, "0.1", "MIT", COMPONENTS, NULL, NULL)
