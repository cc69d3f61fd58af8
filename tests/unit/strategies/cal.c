/* cal through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/cal.c"

static const options ten = {10}, one = {1};

static double distance_of(const float *x, const float *y, int64_t d)
{
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
    return sum;
}

static double score_of(const fx_round *r, int64_t i, int64_t k)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    double p[1000], q[1000], sum = 0;
    char *taken = calloc(l->n, 1);
    fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
    for (int64_t t = 0; t < k; t++) {
        int64_t best = -1;
        for (int64_t j = 0; j < l->n; j++)
            if (!taken[j] && (best < 0 || distance_of(pool->features + i * r->d, l->features + j * r->d, r->d) <
                                              distance_of(pool->features + i * r->d, l->features + best * r->d,
                                                          r->d)))
                best = j;
        taken[best] = 1;
        fx_probs(r, DAL_ROWS_LABELLED, best, q);
        for (int64_t c = 0; c < r->c; c++)
            sum += q[c] > 0 || isnan(q[c]) ? q[c] * (log(q[c]) - log(p[c])) : 0;
    }
    free(taken);
    return sum / (double)k;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n, n_l = r->set[DAL_ROWS_LABELLED].n;
    const int64_t k = ((const options *)opt)->neighbours < n_l ? ((const options *)opt)->neighbours : n_l;
    double *s = malloc(n * sizeof *s);
    (void)host;
    for (int64_t i = 0; i < n; i++)
        s[i] = score_of(r, i, k);
    for (int64_t p = 0; p < b; p++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++) {
            int taken = 0;
            for (int64_t q = 0; q < p; q++)
                taken |= rows[q] == i;
            if (!taken && (best < 0 || (isnan(s[best]) && !isnan(s[i])) || s[i] > s[best]))
                best = i;
        }
        rows[p] = best;
    }
    free(s);
    return b;
}

/* Shapes with something labelled; not certain to the last bit, where scores differ by rounding alone. */
static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0}, {2, 300, 50, 0, 10, 16, 0, FX_LOGITS}, {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES},
    {5, 50, 9, 0, 5, 6, 0, FX_ZERO_ROWS}, {8, 30, 8, 0, 1000, 12, 0, FX_LOGITS}, {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0}, {21, 140, 530, 0, 3, 9, 0, 0}, {22, 50, 5, 0, 4, 4, 0, FX_NAN_ROWS | FX_LOGITS},
};

Test(cal, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&cal_impl, &ten, twin, shapes, sizeof shapes / sizeof *shapes, 60);
    fx_twin_agrees(&cal_impl, &one, twin, shapes, sizeof shapes / sizeof *shapes, 60);
}

/* Labelled at 0 says (.5, .5), at 10 (.9, .1). Candidate 1: KL = .5 ln(.5/.25) + .5 ln(.5/.75) = .143841;
 * candidate at 9 agrees with its neighbour: 0; candidate at 11, (.1, .9): .8 ln 9 = 1.757780. */
Test(cal, agrees_with_an_example_by_hand)
{
    static const float x[3] = {1, 9, 11}, probs[6] = {.25f, .75f, .9f, .1f, .1f, .9f};
    static const float at[2] = {0, 10}, said[4] = {.5f, .5f, .9f, .1f};
    static fx_picks p;
    fx_round *r = fx_round_of(3, 2, probs, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 2, NULL, said, at);
    fx_select(r, &cal_impl, &one, 3, 1, &p);
    cr_assert(p.ids[0] == 30 && p.ids[1] == 10 && p.ids[2] == 20);
    cr_assert_float_eq(p.scores[0], 1.757780, 1e-5);
    cr_assert_float_eq(p.scores[1], 0.143841, 1e-5);
    cr_assert_float_eq(p.scores[2], 0, 1e-12);
    fx_round_free(r);
}

Test(cal, puts_first_what_is_impossible_to_the_sample_alone)
{
    static const float x[2] = {0, 0}, probs[4] = {.6f, .4f, 1, 0}, at[1] = {0}, said[2] = {.5f, .5f};
    static fx_picks p;
    fx_round *r = fx_round_of(2, 2, probs, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, said, at);
    fx_select(r, &cal_impl, &ten, 2, 1, &p);
    cr_assert(p.ids[0] == 20 && isinf(p.scores[0]));
    fx_round_free(r);
}

Test(cal, says_that_it_needs_a_label)
{
    static fx_picks p;
    const fx_spec unlabelled = {3, 20, 0, 0, 2, 3, 0, 0};
    fx_round *r = fx_round_random(&unlabelled);
    fx_try(r, &cal_impl, &ten, 2, 1, &p);
    cr_assert(p.status == DAL_E_INVALID && strstr(p.err.text, "nothing is labelled"));
    fx_round_free(r);
}

Test(cal, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&cal_impl, &ten, &shapes[1], 40);
}

Test(cal, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&shapes[1]);
    fx_select(r, &cal_impl, &ten, 40, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &cal_impl, &ten, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(cal, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&cal_impl, &ten, &shapes[0], 5);
}
