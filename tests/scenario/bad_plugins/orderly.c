/* The good one among the bad: the candidates in order, and a score of each. */
#include "good.h"

typedef struct options {
    int64_t skip;
    double weight;
    const char *label;
} options;

#define PARAMS(P, T)                                                                   \
    P(T, skip, I64, "0", "0..10", "samples", "leave out this many of the first")       \
    P(T, weight, F64, "0.5", "(0..1]", "", "what the score is multiplied with")        \
    P(T, label, STR, "", "", "", "a word for the log")

static dal_status create(const dal_host *host, const void *given, void **self, dal_error *err)
{
    options *o = dal_array(host, 1, sizeof *o + sizeof host);
    if (!o)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    memcpy(o, given, sizeof *o);
    memcpy(o + 1, &host, sizeof host);
    *self = o;
    return DAL_OK;
}

static void destroy(void *self)
{
    const dal_host *host;
    if (!self)
        return;
    memcpy(&host, (options *)self + 1, sizeof host);
    host->free(host, self);
}

static dal_status score(void *self, const dal_block *block, double *out, dal_error *err)
{
    const options *o = self;
    (void)err;
    for (int64_t i = 0; i < block->n; i++)
        out[i] = block->ids[i] < o->skip ? 0 : o->weight / (1.0 + (double)block->ids[i]);
    return DAL_OK;
}

static const dal_strategy_impl by_score = {
    .struct_size = sizeof(dal_strategy_impl), .create = create, .destroy = destroy, .score = score};

static dal_status select_in_order(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl by_select = {
    .struct_size = sizeof(dal_strategy_impl), .select = select_in_order};

#define COMPONENTS(C)                                                                                  \
    C(STRATEGY, "orderly", by_score, "lower numbers first", "-", "", "", options, PARAMS)              \
    C(STRATEGY, "in-order", by_select, "the candidates in order", "-", "", "", dal_no_options,         \
      DAL_NO_PARAMS)
DAL_MODULE(orderly, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
