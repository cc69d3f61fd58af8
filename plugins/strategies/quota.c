/* quota: another strategy, but at most so many picks of each predicted class.
 *
 * With q picks a class (0: ceil(b / c), so that all classes can come equally often):
 *
 *     order = what the strategy inside picks when asked for m, m = b, 2b, 4b, ... n
 *     picks = the order without those whose predicted class has q picks before them
 *
 * until b are found or all candidates were asked for; then there are fewer picks, and the reason says so. A
 * strategy that picks one after the other (a score, k-center, D^2 seeding) goes on where the shorter order
 * ended; one that makes b clusters makes 2b instead.
 *
 * What it can know: the class that the model predicts, argmax_c p (ties: the lowest class). Neither the true
 * class nor where a sample comes from is shown to a strategy before it is labelled, so a quota of sources is not
 * possible here. The strategy inside may run several times in a round: one that keeps state from call to call
 * sees every call. `ceal` belongs around a quota, not inside.
 *
 * Needs outputs. O(n c) and log2(n / b) runs of the strategy inside; 4 n + 16 m bytes.
 */
#include <dal/wrapper.h>

#include <math.h>

typedef struct options {
    const dal_component_ref *inner;
    int64_t per_class;
} options;

static dal_status quota_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    return dal_wrapper_create(host, opt, &((const options *)opt)->inner, 1, self, err);
}

/* ---- predicted classes ------------------------------------------------------------------------ */

static dal_status predict_block(void *ctx, const dal_block *block, dal_error *err)
{
    int32_t *predicted = ctx; /* [n candidates] */
    dal_outputs o;
    const dal_status st = block->outputs(block, &o, err);
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++) {
        const float *row = o.values.data + i * o.values.stride;
        int64_t best = 0;
        for (int64_t k = 0; k < o.values.cols; k++) {
            if (isnan(row[k]))
                return dal_fail(err, DAL_E_INVALID, "", "the outputs of sample %lld are not numbers",
                                (long long)block->ids[i]);
            if (row[k] > row[best])
                best = k;
        }
        predicted[block->first + i] = (int32_t)best;
    }
    return st;
}

/* The row of a candidate; ids ascend. */
static int64_t row_of(const dal_view *view, int64_t id)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    int64_t low = 0, high = view->count(view, DAL_ROWS_CANDIDATES) - 1;
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        if (ids[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- the order, and what fits under the quota --------------------------------------------------- */

typedef struct order {
    int64_t *ids; /* [room] */
    double *scores;
    int64_t n, room;
} order;

static dal_status ask(const dal_wrapper *self, const dal_view *view, int64_t m, order *o, dal_error *err)
{
    const dal_host *host = self->host;
    host->free(host, o->ids);
    host->free(host, o->scores);
    *o = (order){dal_array(host, m, sizeof *o->ids), dal_array(host, m, sizeof *o->scores), 0, m};
    if (!o->ids || !o->scores)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)m);
    return view->run(view, self->inner[0], m, o->ids, o->scores, &o->n, err);
}

/* counts [c]. */
static void keep_what_fits(const dal_view *view, const order *o, const int32_t *predicted, int64_t q,
                           int64_t *counts, dal_picks *picks)
{
    memset(counts, 0, (size_t)view->n_classes * sizeof *counts);
    picks->n = 0;
    for (int64_t i = 0; i < o->n && picks->n < picks->want; i++) {
        int64_t *count = &counts[predicted[row_of(view, o->ids[i])]];
        if (*count >= q)
            continue;
        ++*count;
        picks->ids[picks->n] = o->ids[i];
        picks->scores[picks->n++] = o->scores[i];
    }
}

static dal_status fill(const dal_wrapper *self, const dal_view *view, const int32_t *predicted, int64_t *counts,
                       dal_picks *picks, dal_error *err)
{
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want, c = view->n_classes;
    const int64_t q = opt->per_class > 0 ? opt->per_class : (b + c - 1) / c;
    order o = {0};
    dal_status st = DAL_OK;
    for (int64_t m = b; st == DAL_OK; m = m < n / 2 ? 2 * m : n) {
        st = host->cancelled(host) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted")
                                   : ask(self, view, m, &o, err);
        if (st != DAL_OK)
            break;
        keep_what_fits(view, &o, predicted, q, counts, picks);
        if (picks->n == b || m == n || o.n < m)
            break;
    }
    if (st == DAL_OK && picks->n < b)
        snprintf(picks->reason, sizeof picks->reason,
                 "%lld of %lld: with at most %lld of each predicted class there are "
                 "no more",
                 (long long)picks->n, (long long)b, (long long)q);
    host->free(host, o.ids);
    host->free(host, o.scores);
    return st;
}

static dal_status quota_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_wrapper *self = p;
    const dal_host *host = self->host;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    int32_t *predicted = dal_array(host, view->count(view, DAL_ROWS_CANDIDATES), sizeof *predicted);
    int64_t *counts = dal_array(host, view->n_classes, sizeof *counts);
    dal_status st = predicted && counts ? view->stream(view, DAL_ROWS_CANDIDATES, predict_block, predicted, err)
                                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the predicted classes");
    if (st == DAL_OK)
        st = fill(self, view, predicted, counts, picks, err);
    host->free(host, predicted);
    host->free(host, counts);
    return st;
}

static void quota_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    dal_problem all = *problem;
    (void)opt;
    all.n_query = problem->n; /* the last and longest order */
    const dal_cost inner = dal_wrapper_cost(self, 0, &all);
    out->bytes = 20 * (double)problem->n + inner.bytes;
    out->flops = (double)problem->n * (double)problem->c + 2 * inner.flops;
    snprintf(out->formula, sizeof out->formula,
             "O(n c) time, O(n) memory, and the strategy inside, at worst asked for all");
}

static const dal_strategy_impl quota_impl = {
    .struct_size = sizeof quota_impl,
    .create = quota_create,
    .destroy = dal_wrapper_destroy,
    .select = quota_select,
    .observe = dal_wrapper_observe,
    .save = dal_wrapper_save,
    .load = dal_wrapper_load,
    .companion = dal_wrapper_companion,
    .cost = quota_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, inner, COMPONENT, DAL_REQUIRED, "strategy", "", "the strategy whose picks are kept to the quota") \
    P(T, per_class, I64, "0", "0..", "picks", "at most so many of a predicted class; 0: ceil(b / c)")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "quota", quota_impl, "another strategy, at most so many picks of each predicted class",    \
      "", DAL_CAP_OUTPUTS, "", options, PARAMS)
#define ABOUT(A)                                                                   \
    A(STRATEGY, "quota",                                                           \
      "inner(m), m = b, 2b, ...: without those whose predicted class has q picks", \
      "by predicted class: true classes and sources are not shown to strategies")
DAL_MODULE_ABOUT(quota, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
