/* subsample: let another strategy see a part of the candidates only.
 *
 * Most toolkits choose from a random part of a large pool (ALScope: `subset`), and some papers from those that
 * another question finds interesting (cluster-margin: the least certain, then clusters among them):
 *
 *     S = `size` candidates, or ceil(fraction n), never fewer than b
 *         without `by`: uniform without replacement, by one number a sample drawn from the round's stream at its
 *                       pool index
 *         by another strategy: that many of its picks, for instance {use: margin}
 *     picks = inner(S, b)
 *
 * By another strategy the picks follow the samples in whatever order these come; drawn they do not: numbers belong to
 * places in the pool, so that a draw is the same whatever the model says.
 *
 * What it loses: whatever the strategy inside would have picked outside S. Where all of a run shall be drawn
 * like this the manifest's query.candidates does the same without a wrapper.
 *
 * O(n log |S|) time and O(|S|) memory beside the strategies inside.
 */
#include <dal/topk.h>
#include <dal/wrapper.h>

#include <math.h>

#define INNER 0
#define BY 1

typedef struct options {
    const dal_component_ref *inner, *by;
    int64_t size;
    double fraction;
} options;

static dal_status subsample_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    const options *o = opt;
    const dal_component_ref *const refs[] = {[INNER] = o->inner, [BY] = o->by};
    return dal_wrapper_create(host, opt, refs, 2, self, err);
}

/* |S|. */
static int64_t sample_size(const options *opt, int64_t n, int64_t b)
{
    int64_t size = opt->size > 0 ? opt->size : (int64_t)ceil(opt->fraction * (double)n);
    size = size > b ? size : b;
    return size < n ? size : n;
}

/* ids [size]: the candidates with the largest numbers. */
static void draw(const dal_host *host, const dal_view *view, int64_t size, double *numbers, int64_t *ids)
{
    const dal_rng stream = host->rng(host, "draw", view->round);
    const int64_t *candidates = view->ids(view, DAL_ROWS_CANDIDATES), n = view->count(view, DAL_ROWS_CANDIDATES);
    dal_topk best;
    dal_topk_init(&best, size, DAL_LARGEST_FIRST, numbers, ids);
    for (int64_t i = 0; i < n; i++) {
        dal_rng at = dal_rng_at(&stream, (uint64_t)candidates[i]);
        const double number = dal_rng_uniform(&at);
        dal_topk_push(&best, &number, i, 1);
    }
    for (int64_t i = 0; i < size; i++)
        ids[i] = candidates[ids[i]];
}

static dal_status run_inside(const dal_wrapper *self, const dal_view *view, const int64_t *ids, int64_t size,
                             dal_picks *picks, dal_error *err)
{
    dal_view *part = NULL;
    dal_status st =
        view->subview(view, ids, size, view->ids(view, DAL_ROWS_LABELLED),
                      view->classes(view, DAL_ROWS_LABELLED), view->count(view, DAL_ROWS_LABELLED), &part, err);
    if (st == DAL_OK)
        st = part->run(part, self->inner[INNER], picks->want, picks->ids, picks->scores, &picks->n, err);
    view->close(view, part);
    if (st == DAL_OK && picks->n < picks->want)
        snprintf(picks->reason, sizeof picks->reason, "of %lld candidates the strategy inside picks %lld of %lld",
                 (long long)size, (long long)picks->n, (long long)picks->want);
    return st;
}

static dal_status subsample_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_wrapper *self = p;
    const dal_host *host = self->host;
    int64_t size = sample_size(self->options, view->count(view, DAL_ROWS_CANDIDATES), picks->want);
    dal_status st = DAL_OK;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    int64_t *ids = dal_array(host, size, sizeof *ids);
    double *numbers = dal_array(host, size, sizeof *numbers);
    if (!ids || !numbers)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for a sample of %lld", (long long)size);
    else if (self->inner[BY])
        st = view->run(view, self->inner[BY], size, ids, numbers, &size, err);
    else
        draw(host, view, size, numbers, ids);
    if (st == DAL_OK) {
        dal_sort_ids(ids, size);
        st = run_inside(self, view, ids, size, picks, err);
    }
    host->free(host, ids);
    host->free(host, numbers);
    return st;
}

static void subsample_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const dal_wrapper *w = self;
    dal_problem part = *problem, whole = *problem;
    part.n = whole.n_query = sample_size(w ? w->options : opt, problem->n, problem->n_query);
    const dal_cost inner = dal_wrapper_cost(w, INNER, &part), by = dal_wrapper_cost(w, BY, &whole);
    out->bytes = 16 * (double)part.n + (inner.bytes > by.bytes || isnan(inner.bytes) ? inner.bytes : by.bytes);
    out->flops = inner.flops + by.flops + 100 * (double)problem->n;
    snprintf(out->formula, sizeof out->formula,
             "O(n log s) time, O(s) memory, and the strategy inside on s = %lld", (long long)part.n);
}

static const dal_strategy_impl subsample_impl = {
    .struct_size = sizeof subsample_impl,
    .create = subsample_create,
    .destroy = dal_wrapper_destroy,
    .select = subsample_select,
    .observe = dal_wrapper_observe,
    .save = dal_wrapper_save,
    .load = dal_wrapper_load,
    .companion = dal_wrapper_companion,
    .cost = subsample_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, inner, COMPONENT, DAL_REQUIRED, "strategy", "", "the strategy that picks from the sample")        \
    P(T, by, COMPONENT, "", "strategy", "", "take what this strategy picks, not a random sample")          \
    P(T, size, I64, "0", "0..", "samples", "how many it may choose from; 0: a fraction")                   \
    P(T, fraction, F64, "0.1", "(0..1]", "", "of the candidates, while size is 0")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "subsample", subsample_impl, "another strategy on a random or chosen part of the pool",    \
      "", "", "", options, PARAMS)
#define ABOUT(A)                                                      \
    A(STRATEGY, "subsample",                                          \
      "inner(S, b), S drawn at random or picked by another strategy", \
      "what would have been picked outside S is lost")
DAL_MODULE_ABOUT(subsample, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
