/* entropy-cb through its table, and its program against all sets there are. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/entropy_cb.c"

static const options plain = {-1, 200}, none = {0, 200};

static fx_round *example(void)
{
    static const float probs[8] = {.8f, .2f, .9f, .1f, .6f, .4f, .1f, .9f};
    static const int32_t classes[4] = {0, 0, 0, 1};
    fx_round *r = fx_round_of(4, 2, probs, 0, NULL);
    fx_round_add(r, DAL_ROWS_LABELLED, 4, classes, probs, NULL);
    return r;
}

Test(entropy_cb, picks_the_worked_example)
{
    static fx_picks p;
    const double lambda[3] = {0, .6, 2};
    fx_round *r = example();
    for (int k = 0; k < 3; k++) {
        const options opt = {lambda[k], 200};
        fx_select(r, &entropy_cb_impl, &opt, 2, 1, &p);
        cr_assert_eq(p.ids[0], 30);
        cr_assert_eq(p.ids[1], k == 0 ? 10 : 40);
        cr_assert_float_eq(p.scores[0], .673012, 1e-6);
    }
    fx_round_free(r);
}

/* ---- its own arithmetic ----------------------------------------------------------------------- */

typedef struct exact {
    int64_t n, c, b;
    double *p, *q, *need, lambda;
} exact;

static exact exact_of(const fx_round *r, int64_t b, double lambda)
{
    const fx_rows *l = &r->set[DAL_ROWS_LABELLED];
    exact e = {r->set[0].n, r->c, b, malloc((size_t)(r->set[0].n * r->c) * sizeof(double)),
               calloc((size_t)r->set[0].n, sizeof(double)), malloc((size_t)r->c * sizeof(double)), lambda};
    for (int64_t i = 0; i < e.n; i++) {
        fx_probs(r, DAL_ROWS_CANDIDATES, i, e.p + i * e.c);
        for (int64_t k = 0; k < e.c; k++)
            e.q[i] += e.p[i * e.c + k] > 0 ? e.p[i * e.c + k] * log(e.p[i * e.c + k]) : 0;
    }
    for (int64_t k = 0; k < e.c; k++) {
        int64_t have = 0;
        for (int64_t i = 0; i < l->n; i++)
            have += l->classes[i] == k;
        e.need[k] = fmax(0, (double)((l->n + b) / e.c - have));
    }
    return e;
}

static void exact_free(exact *e)
{
    free(e->p);
    free(e->q);
    free(e->need);
}

static double objective(const exact *e, const int64_t *rows)
{
    double sum = 0;
    for (int64_t i = 0; i < e->b; i++)
        sum += e->q[rows[i]];
    for (int64_t k = 0; k < e->c; k++) {
        double excess = -e->need[k];
        for (int64_t i = 0; i < e->b; i++)
            excess += e->p[rows[i] * e->c + k];
        sum += e->lambda * fabs(excess);
    }
    return sum;
}

/* Over all sets of b rows. */
static double optimum(const exact *e, int64_t *rows, int64_t at, int64_t from)
{
    double best = INFINITY;
    if (at == e->b)
        return objective(e, rows);
    for (int64_t i = from; i < e->n; i++) {
        rows[at] = i;
        best = fmin(best, optimum(e, rows, at + 1, i + 1));
    }
    return best;
}

/* The gap it would report. */
static double reported_gap(fx_round *r, const exact *e, const options *opt)
{
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    program g = {.host = dal_runtime_host(rt, "test"), .n = e->n, .c = e->c, .b = e->b};
    const dal_outputs o = {{r->set[0].outputs, e->n, e->c, e->c}, r->output_kind, 0};
    cr_assert(take_memory(&g));
    cr_assert_eq(read_outputs(&g, &o, r->set[0].ids, &err), DAL_OK);
    memcpy(g.need, e->need, (size_t)e->c * sizeof *g.need);
    cr_assert_eq(solve(&g, opt, &err), DAL_OK);
    cr_assert_float_eq(g.objective, objective(e, g.rows), 1e-5, "it believes in %g", g.objective);
    const double gap = g.objective - g.bound;
    give_memory(&g);
    dal_runtime_free(rt);
    return gap;
}

Test(entropy_cb, comes_within_the_gap_it_reports_of_the_best_set)
{
    enum { TIMES = 60 };
    static fx_picks p;
    int best = 0;
    for (uint64_t seed = 1; seed <= TIMES; seed++) {
        const options opt = {seed % 3 == 0 ? .3 : seed % 3 == 1 ? 1 : 4, 200};
        const fx_spec spec = {seed, 11, 7, 0, 3 + (int64_t)(seed % 2), 4, 0, seed % 4 ? 0 : FX_LOGITS};
        int64_t rows[4];
        fx_round *r = fx_round_random(&spec);
        exact e = exact_of(r, 4, opt.lambda);
        const double least = optimum(&e, rows, 0, 0), gap = reported_gap(r, &e, &opt);
        fx_select(r, &entropy_cb_impl, &opt, 4, 1, &p);
        const double found = objective(&e, p.rows);
        cr_assert_geq(found, least - 1e-6);
        cr_assert_leq(found, least + gap + 1e-5, "seed %llu: %g, the best is %g, the gap %g",
                      (unsigned long long)seed, found, least, gap);
        best += found < least + 1e-6;
        exact_free(&e);
        fx_round_free(r);
    }
    cr_assert_geq(best, TIMES - 3, "the best set was found only %d of %d times", best, TIMES);
}

static void by_cost(const double *cost, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i;
        for (; at > 0 && cost[i] < cost[order[at - 1]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    (void)host, (void)options_;
    exact e = exact_of(r, b, 0);
    int64_t *order = malloc((size_t)e.n * sizeof *order);
    by_cost(e.q, e.n, order);
    memcpy(rows, order, (size_t)b * sizeof *rows);
    free(order);
    exact_free(&e);
    return b;
}

Test(entropy_cb, without_weight_is_entropy)
{
    fx_twin_agrees(&entropy_cb_impl, &none, twin, fx_shapes, fx_n_shapes, 50);
}

Test(entropy_cb, cannot_be_bettered_by_a_swap)
{
    static fx_picks p;
    for (int64_t s = 0; s < fx_n_shapes; s++) {
        fx_round *r = fx_round_random(&fx_shapes[s]);
        const int64_t b = fx_shapes[s].n < 12 ? fx_shapes[s].n : 12;
        fx_select(r, &entropy_cb_impl, &plain, b, 1, &p);
        exact e = exact_of(r, b, default_lambda(r->c));
        const double found = objective(&e, p.rows);
        for (int64_t i = 0; i < b; i++)
            for (int64_t j = 0; j < e.n; j++) {
                int taken = 0;
                for (int64_t k = 0; k < b; k++)
                    taken |= p.rows[k] == j;
                const int64_t out = p.rows[i];
                p.rows[i] = taken ? out : j;
                cr_assert_geq(objective(&e, p.rows), found - 1e-5 * (1 + fabs(found)));
                p.rows[i] = out;
            }
        exact_free(&e);
        fx_round_free(r);
    }
}

Test(entropy_cb, evens_out_the_classes)
{
    static fx_picks a, p;
    const options strong = {20, 200};
    fx_round *r = fx_round_random(&fx_shapes[1]);
    exact e = exact_of(r, 40, 20);
    const double gap = reported_gap(r, &e, &strong);
    fx_select(r, &entropy_cb_impl, &none, 40, 1, &a);
    fx_select(r, &entropy_cb_impl, &strong, 40, 1, &p);
    memset(e.q, 0, (size_t)e.n * sizeof *e.q); /* the imbalance alone */
    cr_assert_lt(gap, .03 * objective(&e, p.rows));
    cr_assert_lt(objective(&e, p.rows), .6 * objective(&e, a.rows), "%g, entropy alone %g", objective(&e, p.rows),
                 objective(&e, a.rows));
    exact_free(&e);
    fx_round_free(r);
}

Test(entropy_cb, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&entropy_cb_impl, &plain, &fx_shapes[1], 20);
}

Test(entropy_cb, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &entropy_cb_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 40 are not finite"), "%s", p.err.text);
    fx_round_free(r);
}

Test(entropy_cb, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&entropy_cb_impl, &plain, &fx_shapes[0], 5);
}
