/* The coreset strategy through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/coreset.c"

static const float pool[8] = {1, 0, 4, 0, 4, 1, 0, 3}, origin[2] = {0, 0}, corner[2] = {4, 1};

static fx_round *example(int labelled)
{
    fx_round *r = fx_round_of(4, 0, NULL, 2, pool);
    if (labelled)
        fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, NULL, origin);
    fx_round_add(r, DAL_ROWS_OOD, 1, NULL, NULL, corner);
    return r;
}

Test(coreset, picks_the_worked_example_by_pool_index)
{
    static fx_picks p;
    const options opt = {FIRST_LOWEST, 0};
    fx_round *r = example(1);
    fx_select(r, &coreset_impl, &opt, 3, 1, &p);
    cr_assert(p.n == 3 && p.ids[0] == 30 && p.ids[1] == 40 && p.ids[2] == 10);
    cr_assert_float_eq(p.scores[0], 4.123106, 1e-6);
    cr_assert(p.scores[1] == 3 && p.scores[2] == 1);
    fx_round_free(r);
}

Test(coreset, keeps_away_from_samples_without_a_class_when_told)
{
    static fx_picks p;
    const options opt = {FIRST_LOWEST, 1};
    fx_round *r = example(1);
    fx_select(r, &coreset_impl, &opt, 3, 1, &p);
    cr_assert(p.ids[0] == 40 && p.ids[1] == 10 && p.ids[2] == 20);
    fx_round_free(r);
}

Test(coreset, starts_anywhere_when_nothing_is_labelled)
{
    static fx_picks p;
    int64_t starts[4] = {0};
    const options lowest = {FIRST_LOWEST, 0}, anywhere = {FIRST_RANDOM, 0};
    fx_round *r = example(0);
    for (uint64_t seed = 0; seed < 60; seed++) {
        fx_select(r, &coreset_impl, &lowest, 3, seed, &p);
        cr_assert(p.ids[0] == 10 && isnan(p.scores[0]) && p.ids[1] == 30);
        fx_select(r, &coreset_impl, &anywhere, 3, seed, &p);
        starts[p.rows[0]]++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert_geq(starts[i], 3, "sample %d starts %lld of 60 times", i, (long long)starts[i]);
    fx_round_free(r);
}

Test(coreset, hands_on_why_there_are_no_features)
{
    static fx_picks p;
    const options opt = {FIRST_LOWEST, 0};
    fx_round *r = fx_round_of(4, 0, NULL, 2, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, NULL, NULL);
    fx_try(r, &coreset_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_IO);
    cr_assert_str_eq(p.err.text, "no features on disk");
    cr_assert_eq(p.n, 0);
    fx_round_free(r);
}

/* The two lines of the header, with every distance computed. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const fx_rows *pool_ = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    float *m = malloc((size_t)pool_->n * sizeof *m);
    (void)host, (void)options_;
    for (int64_t i = 0; i < pool_->n; i++) {
        m[i] = INFINITY;
        for (int64_t j = 0; j < l->n; j++)
            m[i] = fminf(m[i], dal_squared_distance(pool_->features + i * r->d, l->features + j * r->d, r->d));
    }
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < pool_->n; i++)
            if (m[i] >= 0 && (best < 0 || m[i] > m[best]))
                best = i;
        rows[k] = best;
        for (int64_t i = 0; i < pool_->n; i++)
            m[i] = fminf(m[i], dal_squared_distance(pool_->features + i * r->d, pool_->features + best * r->d, r->d));
        m[best] = -1;
    }
    free(m);
    return b;
}

static const options plain = {FIRST_LOWEST, 0};

Test(coreset, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&coreset_impl, &plain, twin, fx_shapes, fx_n_shapes, 0);
}

Test(coreset, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&coreset_impl, &plain, &fx_shapes[1], 40);
}

Test(coreset, never_picks_two_that_are_alike)
{
    fx_duplicates_stay_apart(&coreset_impl, &plain, &fx_shapes[3], 30);
}

Test(coreset, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &coreset_impl, &plain, 40, 1, &a);
    fx_round_scale(r, 4); /* a power of two: the same bits */
    fx_select(r, &coreset_impl, &plain, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(coreset, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&coreset_impl, &plain, &fx_shapes[0], 5);
}
