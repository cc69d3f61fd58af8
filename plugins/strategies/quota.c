/* quota and source-quota: another strategy, but at most so many picks of each predicted class, or of each source.
 *
 * With q picks a class (0: ceil(b / c), so that all classes can come equally often) or a source (0: ceil(b / s), s the
 * sources that candidates are of):
 *
 *     order = what the strategy inside picks when asked for m, m = b, 2b, 4b, ... n
 *     picks = the order without those whose predicted class, or source, has q picks before them
 *
 * until b are found or all candidates were asked for; then there are fewer picks, and the reason says so. A
 * strategy that picks one after the other (a score, k-center, D^2 seeding) goes on where the shorter order
 * ended; one that makes b clusters makes 2b instead.
 *
 * The true class is shown to nobody before a sample is labelled: quota takes the one that the model predicts, argmax_c
 * p (ties: the lowest class). The source is what the dataset tells (DAL_CAP_GROUPS): of which of several datasets,
 * sites, patients, people a sample is; those of which it does not know count as one source more. The strategy inside
 * may run several times in a round: one that keeps state from call to call sees every call. `ceal` belongs around a
 * quota, not inside.
 *
 * quota needs outputs, source-quota the sources. O(n c), or O(n), and log2(n / b) runs of the strategy inside; 4 n + 16
 * m bytes.
 */
#include <dal/wrapper.h>

#include <math.h>

typedef struct options {
    const dal_component_ref *inner;
    int64_t per_class;
} options;

typedef struct source_options {
    const dal_component_ref *inner;
    int64_t per_source;
} source_options;

static dal_status quota_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    return dal_wrapper_create(host, opt, &((const options *)opt)->inner, 1, self, err);
}

static dal_status source_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    return dal_wrapper_create(host, opt, &((const source_options *)opt)->inner, 1, self, err);
}

/* What there are quotas of. */
typedef struct kinds {
    int32_t *of;     /* [n candidates] 0..n-1 */
    int64_t *counts; /* [n] room */
    int64_t n, quota;
    const char *what; /* for people */
} kinds;

/* To be freed whether it succeeds or not. */
static dal_status make_kinds(const dal_host *host, const dal_view *view, int64_t n, kinds *k, dal_error *err)
{
    *k = (kinds){dal_array(host, view->count(view, DAL_ROWS_CANDIDATES), sizeof *k->of),
                 dal_array(host, n, sizeof *k->counts), n, 0, ""};
    return k->of && k->counts ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for a quota of %lld kinds",
                                                  (long long)n);
}

static void free_kinds(const dal_host *host, kinds *k)
{
    host->free(host, k->of);
    host->free(host, k->counts);
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

static void keep_what_fits(const dal_view *view, const order *o, const kinds *k, dal_picks *picks)
{
    memset(k->counts, 0, (size_t)k->n * sizeof *k->counts);
    picks->n = 0;
    for (int64_t i = 0; i < o->n && picks->n < picks->want; i++) {
        int64_t *count = &k->counts[k->of[row_of(view, o->ids[i])]];
        if (*count >= k->quota)
            continue;
        ++*count;
        picks->ids[picks->n] = o->ids[i];
        picks->scores[picks->n++] = o->scores[i];
    }
}

static dal_status fill(const dal_wrapper *self, const dal_view *view, const kinds *k, dal_picks *picks, dal_error *err)
{
    const dal_host *host = self->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    order o = {0};
    dal_status st = DAL_OK;
    for (int64_t m = b; st == DAL_OK; m = m < n / 2 ? 2 * m : n) {
        st = host->cancelled(host) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted")
                                   : ask(self, view, m, &o, err);
        if (st != DAL_OK)
            break;
        keep_what_fits(view, &o, k, picks);
        if (picks->n == b || m == n || o.n < m)
            break;
    }
    if (st == DAL_OK && picks->n < b)
        snprintf(picks->reason, sizeof picks->reason,
                 "%lld of %lld: with at most %lld of each %s there are no more", (long long)picks->n, (long long)b,
                 (long long)k->quota, k->what);
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
    const options *opt = self->options;
    const int64_t c = view->n_classes;
    kinds k;
    dal_status st = make_kinds(host, view, c, &k, err);
    k.quota = opt->per_class > 0 ? opt->per_class : (picks->want + c - 1) / c;
    k.what = "predicted class";
    if (st == DAL_OK)
        st = view->stream(view, DAL_ROWS_CANDIDATES, predict_block, k.of, err);
    if (st == DAL_OK)
        st = fill(self, view, &k, picks, err);
    free_kinds(host, &k);
    return st;
}

/* ---- sources ---------------------------------------------------------------------------------- */

/* The source of every candidate, and how many sources they are of. */
static int64_t look_up_sources(const dal_view *view, const dal_view_groups *g, const kinds *k)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES), n = view->count(view, DAL_ROWS_CANDIDATES);
    int64_t present = 0;
    memset(k->counts, 0, (size_t)k->n * sizeof *k->counts);
    for (int64_t i = 0; i < n; i++) {
        const int32_t group = g->groups[ids[i]];
        k->of[i] = group >= 0 ? group : (int32_t)g->n_groups;
        present += k->counts[k->of[i]]++ == 0;
    }
    return present;
}

static dal_status source_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_wrapper *self = p;
    const dal_host *host = self->host;
    const source_options *opt = self->options;
    const dal_view_groups *g = view->get_extension(view, DAL_CAP_GROUPS);
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    if (!g)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "the dataset does not tell which source its samples are of");
    kinds k;
    dal_status st = make_kinds(host, view, g->n_groups + 1, &k, err);
    if (st == DAL_OK) {
        const int64_t present = look_up_sources(view, g, &k);
        k.quota = opt->per_source > 0 ? opt->per_source : (picks->want + present - 1) / present;
        k.what = "source";
        st = fill(self, view, &k, picks, err);
    }
    free_kinds(host, &k);
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

#define TABLE(create_, select_)                     \
    {                                               \
        .struct_size = sizeof(dal_strategy_impl),   \
        .create = create_,                          \
        .destroy = dal_wrapper_destroy,             \
        .select = select_,                          \
        .observe = dal_wrapper_observe,             \
        .save = dal_wrapper_save,                   \
        .load = dal_wrapper_load,                   \
        .companion = dal_wrapper_companion,         \
        .cost = quota_cost,                         \
    }
static const dal_strategy_impl quota_impl = TABLE(quota_create, quota_select);
static const dal_strategy_impl source_impl = TABLE(source_create, source_select);

#define PARAMS(P, T)                                                                                       \
    P(T, inner, COMPONENT, DAL_REQUIRED, "strategy", "", "the strategy whose picks are kept to the quota") \
    P(T, per_class, I64, "0", "0..", "picks", "at most so many of a predicted class; 0: ceil(b / c)")
#define SOURCE_PARAMS(P, T)                                                                                \
    P(T, inner, COMPONENT, DAL_REQUIRED, "strategy", "", "the strategy whose picks are kept to the quota") \
    P(T, per_source, I64, "0", "0..", "picks", "at most so many of a source; 0: ceil(b / sources that have candidates)")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "quota", quota_impl, "another strategy, at most so many picks of each predicted class",    \
      "", DAL_CAP_OUTPUTS, "", options, PARAMS)                                                            \
    C(STRATEGY, "source-quota", source_impl, "another strategy, at most so many picks of each source",     \
      "", DAL_CAP_GROUPS, "", source_options, SOURCE_PARAMS)
#define ABOUT(A)                                                                                 \
    A(STRATEGY, "quota",                                                                         \
      "inner(m), m = b, 2b, ...: without those whose predicted class has q picks",               \
      "by predicted class: true classes are not shown to strategies")                            \
    A(STRATEGY, "source-quota", "inner(m), m = b, 2b, ...: without those whose source has q picks", \
      "samples of no known source count as one source more")
DAL_MODULE_ABOUT(quota, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
