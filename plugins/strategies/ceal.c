/* ceal: ask about what is hard, and train on what the model is sure of as if it had been told.
 *
 * Wang, Zhang, Li, Zhang, Lin, "Cost-effective active learning for deep image classification", TCSVT 2016. In
 * round t:
 *
 *     picks         = inner(b), by default those of largest entropy H
 *     D_H           = {x not picked: H(x) < delta_t}         joins the next training set with class argmax_c p
 *     delta_t       = max(0, delta_0 - dr t)                 delta_0 -> threshold, dr -> decay, t -> view->round
 *
 * Pseudo labels last for one fit: the host adds them to the next training set only, counts none of them as a
 * label and leaves the samples in the pool. Only candidates get one, so that parts of a pool (partition) each
 * speak for themselves.
 *
 * The defaults are those usually cited for the paper (0.05 and 0.0033 nats); DeepAL+ uses 5e-5 and 0.033e-5, and
 * its table of inner strategies is misaligned (asked for BADGE, it runs MeanSTD). Where no training follows
 * (`dalhost select`) the picks are the same and a line in the log says that there are no pseudo labels.
 *
 * Needs outputs. O(n c) and the strategy inside; 12 n bytes. Rows that are not numbers are least wanted and get
 * no pseudo label.
 */
#include <dal/topk.h>
#include <dal/uncertainty.h>
#include <dal/wrapper.h>

#include <math.h>

typedef struct options {
    const dal_component_ref *inner;
    double threshold, decay, weight;
} options;

static dal_status ceal_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    return dal_wrapper_create(host, opt, &((const options *)opt)->inner, 1, self, err);
}

typedef struct beliefs {
    double *entropy; /* [n] nats */
    int32_t *cls;    /* [n] argmax_c p; -1 once picked */
} beliefs;

static dal_status believe(void *ctx, const dal_block *block, dal_error *err)
{
    const beliefs *x = ctx;
    dal_outputs o;
    const dal_status st = block->outputs(block, &o, err);
    if (st != DAL_OK)
        return st;
    dal_entropy(&o, x->entropy + block->first);
    for (int64_t i = 0; i < block->n; i++) {
        const float *row = o.values.data + i * o.values.stride;
        int64_t best = 0;
        for (int64_t k = 1; k < o.values.cols; k++)
            best = row[k] > row[best] ? k : best;
        x->cls[block->first + i] = (int32_t)best;
    }
    return DAL_OK;
}

static void pick_largest(const dal_view *view, const beliefs *x, dal_picks *picks)
{
    dal_topk best;
    dal_topk_init(&best, picks->want, DAL_LARGEST_FIRST, picks->scores, picks->ids);
    dal_topk_push(&best, x->entropy, 0, view->count(view, DAL_ROWS_CANDIDATES));
    dal_topk_sort(&best);
    for (picks->n = 0; picks->n < best.n; picks->n++)
        picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[picks->ids[picks->n]];
}

static dal_status pick(const dal_wrapper *self, const dal_view *view, const beliefs *x, dal_picks *picks,
                       dal_error *err)
{
    if (!self->inner[0]) {
        pick_largest(view, x, picks);
        return DAL_OK;
    }
    const dal_status st = view->run(view, self->inner[0], picks->want, picks->ids, picks->scores, &picks->n, err);
    if (st == DAL_OK && picks->n < picks->want)
        snprintf(picks->reason, sizeof picks->reason, "the strategy inside picks %lld of %lld",
                 (long long)picks->n, (long long)picks->want);
    return st;
}

/* order [n]: the picks, sorted. */
static void mark_picked(const dal_view *view, const dal_picks *picks, int64_t *order, const beliefs *x)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    for (int64_t i = 0; i < picks->n; i++)
        order[i] = picks->ids[i];
    dal_sort_ids(order, picks->n);
    for (int64_t i = 0, row = 0; i < picks->n; i++) {
        while (ids[row] < order[i])
            row++;
        x->cls[row] = -1;
    }
}

static dal_status teach(const dal_wrapper *self, const dal_view *view, const beliefs *x, dal_error *err)
{
    const options *opt = self->options;
    const double delta = fmax(0, opt->threshold - opt->decay * (double)view->round);
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    int64_t given = 0;
    for (int64_t i = 0; i < n; i++) {
        if (x->cls[i] < 0 || !(x->entropy[i] < delta))
            continue;
        const dal_status st = view->pseudo_label(view, ids[i], x->cls[i], (float)opt->weight, err);
        if (st == DAL_E_UNSUPPORTED) {
            dal_logf(self->host, DAL_LOG_WARNING, "no training follows here: nothing is pseudo-labelled");
            return DAL_OK;
        }
        if (st != DAL_OK)
            return st;
        given++;
    }
    dal_logf(self->host, DAL_LOG_INFO, "%lld samples of entropy below %g are pseudo-labelled", (long long)given,
             delta);
    return DAL_OK;
}

static dal_status ceal_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_wrapper *self = p;
    const dal_host *host = self->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    picks->n = 0;
    beliefs x = {dal_array(host, n, sizeof *x.entropy), dal_array(host, n, sizeof *x.cls)};
    int64_t *order = dal_array(host, picks->want, sizeof *order);
    dal_status st = x.entropy && x.cls && order
                        ? view->stream(view, DAL_ROWS_CANDIDATES, believe, &x, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for what the model believes");
    if (st == DAL_OK)
        st = pick(self, view, &x, picks, err);
    if (st == DAL_OK) {
        mark_picked(view, picks, order, &x);
        st = teach(self, view, &x, err);
    }
    host->free(host, x.entropy);
    host->free(host, x.cls);
    host->free(host, order);
    return st;
}

static void ceal_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const dal_cost inner = dal_wrapper_cost(self, 0, problem);
    (void)opt;
    out->bytes = 12 * (double)problem->n + 8 * (double)problem->n_query + inner.bytes;
    out->flops = 20 * (double)problem->n * (double)problem->c + inner.flops;
    snprintf(out->formula, sizeof out->formula, "O(n c) time, O(n) memory%s",
             *inner.formula ? ", and the strategy inside" : "");
}

static const dal_strategy_impl ceal_impl = {
    .struct_size = sizeof ceal_impl,
    .create = ceal_create,
    .destroy = dal_wrapper_destroy,
    .select = ceal_select,
    .observe = dal_wrapper_observe,
    .save = dal_wrapper_save,
    .load = dal_wrapper_load,
    .companion = dal_wrapper_companion,
    .cost = ceal_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, inner, COMPONENT, "", "strategy", "", "the strategy that picks; none: largest entropy")           \
    P(T, threshold, F64, "0.05", "0..", "nats", "entropy below which a sample is pseudo-labelled at first") \
    P(T, decay, F64, "0.0033", "0..", "nats", "taken off the threshold in every round")                    \
    P(T, weight, F64, "1", "(0..1000]", "", "of a pseudo-labelled sample in training; a labelled one has 1")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "ceal", ceal_impl, "another strategy, and training on what the model is sure of",          \
      "Wang et al., TCSVT 2016", DAL_CAP_OUTPUTS, "", options, PARAMS)
#define ABOUT(A)                                                                                     \
    A(STRATEGY, "ceal",                                                                              \
      "picks of the strategy inside; x with H(x) < max(0, delta_0 - dr t) is trained on as argmax "  \
      "p, once",                                                                                     \
      "defaults 0.05 and 0.0033 as usually cited for the paper; DeepAL+ has 5e-5 and 0.033e-5, and " \
      "a table of inner strategies out of step")
DAL_MODULE_ABOUT(ceal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
