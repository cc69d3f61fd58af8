/* partition: choose part by part, so that a strategy whose cost grows faster than the pool can take a large one.
 *
 * The wrapper of DISTIL ("PartitionStrategy"). With n candidates, b picks and m parts:
 *
 *     end_k = ceil(n (k + 1) / m)                      part k: candidates end_{k-1} .. end_k - 1
 *     b_k   = ceil(b end_k / n) - ceil(b end_{k-1} / n)
 *     picks = concatenation of inner(part k, b_k)
 *
 * m is at most b and n: smaller parts could not be given a pick. Every part is a round of its own: the same
 * labelled samples, the same model, other candidates; it knows nothing of the picks of the parts before it, so
 * that two that are alike can be picked where they lie in different parts. A sorted pool gives parts of one kind
 * each: `shuffle` deals the candidates out at random first. Either way parts are made of places in the pool: in another
 * order the samples are in other parts, and other ones are picked.
 *
 * Costs m times the inner strategy on n / m candidates: 1 / m of the time where that is quadratic; memory of one
 * part.
 */
#include <dal/wrapper.h>

#include <math.h>

typedef struct options {
    const dal_component_ref *inner;
    int64_t parts;
    int32_t shuffle;
} options;

static dal_status partition_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    return dal_wrapper_create(host, opt, &((const options *)opt)->inner, 1, self, err);
}

/* ceil(total * part / whole) for part <= whole; -1 when the product does not fit. */
static int64_t share(int64_t total, int64_t part, int64_t whole)
{
    int64_t product;
    if (!dal_size_mul(total, part, &product))
        return -1;
    return product / whole + (product % whole != 0);
}

static int64_t n_parts(const options *opt, int64_t n, int64_t b)
{
    const int64_t most = b < n ? b : n;
    return opt->parts < most ? opt->parts : most;
}

/* Let the inner strategy pick b of ids [n], ascending, behind what is picked. */
static dal_status pick_from_part(const dal_wrapper *self, const dal_view *view, const int64_t *ids, int64_t n,
                                 int64_t b, dal_picks *picks, dal_error *err)
{
    int64_t got = 0;
    dal_view *part = NULL;
    dal_status st =
        view->subview(view, ids, n, view->ids(view, DAL_ROWS_LABELLED), view->classes(view, DAL_ROWS_LABELLED),
                      view->count(view, DAL_ROWS_LABELLED), &part, err);
    if (st == DAL_OK)
        st = part->run(part, self->inner[0], b, picks->ids + picks->n, picks->scores + picks->n, &got, err);
    view->close(view, part);
    picks->n += got;
    if (st == DAL_OK && got < b)
        snprintf(picks->reason, sizeof picks->reason,
                 "in a part of %lld candidates the strategy inside picks %lld of %lld", (long long)n,
                 (long long)got, (long long)b);
    return st;
}

static dal_status partition_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_wrapper *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want, m = n_parts(opt, n, b);
    dal_status st = DAL_OK;
    picks->n = 0;
    int64_t *ids = dal_array(host, n, sizeof *ids);
    if (!ids)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the parts of %lld candidates", (long long)n);
    for (int64_t i = 0; i < n; i++)
        ids[i] = view->ids(view, DAL_ROWS_CANDIDATES)[i];
    if (opt->shuffle) {
        dal_rng stream = host->rng(host, "shuffle", view->round);
        dal_rng_shuffle(&stream, ids, n, n);
    }
    for (int64_t k = 0, first = 0, given = 0; st == DAL_OK && k < m; k++) {
        const int64_t end = share(n, k + 1, m), due = share(b, end, n);
        if (end < 0 || due < 0)
            st = dal_fail(err, DAL_E_OVERFLOW, "", "%lld parts of %lld candidates", (long long)m, (long long)n);
        else if (host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        else if (due > given) {
            dal_sort_ids(ids + first, end - first);
            st = pick_from_part(self, view, ids + first, end - first, due - given, picks, err);
        }
        host->progress(host, k + 1, m, "parts");
        first = end;
        given = due;
    }
    host->free(host, ids);
    return st;
}

static void partition_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const dal_wrapper *w = self;
    const int64_t parts = w ? n_parts(w->options, problem->n, problem->n_query) : ((const options *)opt)->parts;
    const int64_t m = parts > 0 ? parts : 1;
    dal_problem part = *problem;
    part.n = (problem->n + m - 1) / m;
    part.n_query = (problem->n_query + m - 1) / m;
    const dal_cost inner = dal_wrapper_cost(w, 0, &part);
    out->bytes = 8 * (double)problem->n + inner.bytes;
    out->flops = (double)m * inner.flops + 20 * (double)problem->n;
    snprintf(out->formula, sizeof out->formula, "%lld times the strategy inside, on %lld candidates each",
             (long long)m, (long long)part.n);
}

static const dal_strategy_impl partition_impl = {
    .struct_size = sizeof partition_impl,
    .create = partition_create,
    .destroy = dal_wrapper_destroy,
    .select = partition_select,
    .observe = dal_wrapper_observe,
    .save = dal_wrapper_save,
    .load = dal_wrapper_load,
    .companion = dal_wrapper_companion,
    .cost = partition_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, inner, COMPONENT, DAL_REQUIRED, "strategy", "", "the strategy that picks in every part")          \
    P(T, parts, I64, "10", "1..1000000", "", "how many parts (m)")                                         \
    P(T, shuffle, BOOL, "false", "", "", "deal the candidates out at random, in case the pool is sorted")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "partition", partition_impl, "another strategy, part by part of the pool",                 \
      "DISTIL's partition strategy", "", "", options, PARAMS)
#define ABOUT(A)                                                                  \
    A(STRATEGY, "partition",                                                      \
      "inner(part k, b_k), b_k = differences of ceil(b end_k / n), concatenated", \
      "shuffle first by option")
DAL_MODULE_ABOUT(partition, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
