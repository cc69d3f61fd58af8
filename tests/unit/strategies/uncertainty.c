/* random, least-confidence, margin and entropy through their tables. */
#include "tests/unit/strategies/round.h"

#include <dal/topk.h>
#include <math.h>

#include "plugins/strategies/uncertainty.c"

static dal_status give_outputs(const dal_block *b, dal_outputs *out, dal_error *err)
{
    (void)err;
    *out = *(const dal_outputs *)b->impl;
    return DAL_OK;
}

static dal_status refuse_outputs(const dal_block *b, dal_outputs *out, dal_error *err)
{
    (void)b, (void)out;
    return dal_fail(err, DAL_E_IO, "", "the disk is gone");
}

/* The best `want` of n samples by a strategy, in order. */
static void pick(const dal_strategy_impl *impl, void *self, dal_block *b, int64_t want, int64_t *picks)
{
    double scores[64], best[64];
    dal_topk top;
    cr_assert_eq(impl->score(self, b, scores, NULL), DAL_OK);
    dal_topk_init(&top, want, impl->order, best, picks);
    dal_topk_push(&top, scores, 0, b->n);
    dal_topk_sort(&top);
}

Test(score_strategies, pick_the_worked_example_in_its_order)
{
    static const float f1[12] = {.70f, .20f, .10f, .34f, .33f, .33f, .50f, .48f, .02f, .90f, .05f, .05f};
    static const struct {
        const dal_strategy_impl *impl;
        int64_t order[4];
    } cases[] = {{&least_confidence_impl, {1, 2, 0, 3}}, {&margin_impl, {1, 2, 0, 3}}, {&entropy_impl, {1, 0, 2, 3}}};
    const int64_t ids[4] = {5, 6, 7, 8};
    dal_outputs o = {{f1, 4, 3, 3}, DAL_PROBS, 0};
    dal_block b = {.struct_size = sizeof b, .impl = &o, .n = 4, .ids = ids, .outputs = give_outputs};
    for (int i = 0; i < 3; i++) {
        int64_t picks[4];
        pick(cases[i].impl, NULL, &b, 4, picks);
        cr_assert_arr_eq(picks, cases[i].order, sizeof picks);
    }
}

/* ---- twin and laws ------------------------------------------------------------------------------ */

typedef double slow_score(const double *p, int64_t c); /* the largest first */

static double slow_confidence(const double *p, int64_t c)
{
    double most = 0;
    for (int64_t k = 0; k < c; k++)
        most = fmax(most, p[k]);
    return -most;
}

static double slow_margin(const double *p, int64_t c)
{
    double first = 0, second = 0;
    for (int64_t k = 0; k < c; k++) {
        second = fmax(second, fmin(first, p[k]));
        first = fmax(first, p[k]);
    }
    return second - first;
}

static double slow_entropy(const double *p, int64_t c)
{
    double sum = 0;
    for (int64_t k = 0; k < c; k++)
        sum -= p[k] > 0 ? p[k] * log(p[k]) : 0;
    return sum;
}

/* options: which score it is. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *which, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    double *score = malloc((size_t)n * sizeof *score), *p = malloc((size_t)r->c * sizeof *p);
    (void)host;
    for (int64_t i = 0; i < n; i++) {
        fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
        score[i] = (*(slow_score *const *)which)(p, r->c);
    }
    for (int64_t k = 0; k < b; k++) {
        rows[k] = 0;
        for (int64_t i = 1; i < n; i++)
            rows[k] = score[i] > score[rows[k]] ? i : rows[k];
        score[rows[k]] = -INFINITY;
    }
    free(score);
    free(p);
    return b;
}

static const struct {
    const dal_strategy_impl *impl;
    slow_score *slow;
} ranks[] = {{&least_confidence_impl, slow_confidence}, {&margin_impl, slow_margin}, {&entropy_impl, slow_entropy}};

/* Not on saturated outputs (the sixth shape), which double cannot tell apart; tests/unit/uncertainty.c has them. */
Test(score_strategies, pick_what_their_slow_twins_pick)
{
    for (int k = 0; k < 3; k++) {
        fx_twin_agrees(ranks[k].impl, &ranks[k].slow, twin, fx_shapes, 5, 0);
        fx_twin_agrees(ranks[k].impl, &ranks[k].slow, twin, fx_shapes + 6, fx_n_shapes - 6, 0);
    }
}

Test(score_strategies, follow_their_samples_when_the_pool_is_permuted)
{
    for (int k = 0; k < 3; k++)
        fx_picks_follow_samples(ranks[k].impl, NULL, &fx_shapes[1], 60);
}

Test(score_strategies, do_not_see_the_features)
{
    static fx_picks a, b;
    for (int k = 0; k < 3; k++) {
        fx_round *r = fx_round_random(&fx_shapes[1]);
        fx_select(r, ranks[k].impl, NULL, 60, 1, &a);
        fx_round_scale(r, 3);
        fx_select(r, ranks[k].impl, NULL, 60, 1, &b);
        cr_assert_arr_eq(a.rows, b.rows, 60 * sizeof *a.rows);
        fx_round_free(r);
    }
}

Test(score_strategies, hand_on_why_there_are_no_outputs)
{
    const dal_strategy_impl *impls[] = {&least_confidence_impl, &margin_impl, &entropy_impl};
    dal_block b = {.struct_size = sizeof b, .n = 1, .outputs = refuse_outputs};
    for (int i = 0; i < 3; i++) {
        double score;
        dal_error err = DAL_ERROR_INIT;
        cr_assert_eq(impls[i]->score(NULL, &b, &score, &err), DAL_E_IO);
        cr_assert_str_eq(err.text, "the disk is gone");
    }
}

#define POOL 40

static void draw(dal_runtime *rt, int64_t round, const int64_t *ids, int64_t n, double *out)
{
    void *self = NULL;
    dal_view view = {.struct_size = sizeof view, .round = round};
    const dal_block b = {.struct_size = sizeof b, .n = n, .ids = ids};
    cr_assert_eq(random_impl.create(dal_runtime_host(rt, "random"), NULL, &self, NULL), DAL_OK);
    cr_assert_eq(random_impl.prepare(self, &view, NULL), DAL_OK);
    cr_assert_eq(random_impl.score(self, &b, out, NULL), DAL_OK);
    random_impl.destroy(self);
}

Test(random_strategy, gives_a_sample_the_same_number_in_any_block)
{
    dal_runtime *rt = fx_runtime(1, 9);
    int64_t ids[POOL], backwards[POOL];
    double a[POOL], b[POOL], other[POOL];
    for (int i = 0; i < POOL; i++) {
        ids[i] = 1000 + 3 * i;
        backwards[POOL - 1 - i] = ids[i];
    }
    draw(rt, 2, ids, POOL, a);
    draw(rt, 2, backwards, POOL, b);
    draw(rt, 3, ids, POOL, other);
    for (int i = 0; i < POOL; i++) {
        cr_assert(a[i] == b[POOL - 1 - i] && a[i] >= 0 && a[i] < 1);
        cr_assert_neq(a[i], other[i]);
    }
    dal_runtime_free(rt);
    rt = fx_runtime(1, 10);
    draw(rt, 2, ids, POOL, other);
    cr_assert_neq(memcmp(a, other, sizeof a), 0);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* chi-squared over 4000 draws of 4 of 40: each sample is expected 400 times */
Test(random_strategy, picks_every_sample_equally_often)
{
    dal_runtime *rt = fx_runtime(1, 1);
    int64_t ids[POOL], picks[4], count[POOL] = {0};
    double scores[POOL], best[4], chi = 0;
    for (int i = 0; i < POOL; i++)
        ids[i] = i;
    for (int64_t round = 0; round < 4000; round++) {
        dal_topk top;
        draw(rt, round, ids, POOL, scores);
        dal_topk_init(&top, 4, random_impl.order, best, picks);
        dal_topk_push(&top, scores, 0, POOL);
        for (int i = 0; i < 4; i++)
            count[picks[i]]++;
    }
    for (int i = 0; i < POOL; i++)
        chi += ((double)count[i] - 400) * ((double)count[i] - 400) / 400;
    cr_assert_lt(chi, 80, "chi-squared of 39 degrees is %g", chi); /* 1 in 10,000 for a fair one */
    dal_runtime_free(rt);
}

Test(random_strategy, says_so_when_there_is_no_memory)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = 1};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(random_impl.create(dal_runtime_host(rt, "random"), NULL, &self, &err), DAL_E_NOMEM);
    cr_assert_null(self);
    dal_runtime_free(rt);
}
