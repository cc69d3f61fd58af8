/* The variance of all predictions. */
#include "tests/unit/strategies/fisher_twin.h"

#include <math.h>

#include "plugins/strategies/variance_reduction.c"

static const options usual = {1, 2000}, wide = {100, 2000};

static void slow_scores(const fx_round *r, const options *opt, double *score)
{
    const int64_t m = r->c * (r->d + 1), n = r->set[DAL_ROWS_CANDIDATES].n;
    double *f = calloc((size_t)(m * m), sizeof *f), *a = calloc((size_t)(m * m), sizeof *a);
    double *with = malloc((size_t)(m * m) * sizeof *with);
    for (int64_t i = 0; i < m; i++)
        f[i * m + i] = 1 / opt->sigma;
    for (int64_t i = 0; i < r->set[DAL_ROWS_LABELLED].n; i++)
        fisher_add(r, DAL_ROWS_LABELLED, i, 1, 0, 1, f);
    for (int64_t i = 0; i < n; i++)
        fisher_add(r, DAL_ROWS_CANDIDATES, i, 1, 1, 1, a);
    for (int64_t i = 0; i < n; i++) {
        memcpy(with, f, (size_t)(m * m) * sizeof *with);
        fisher_add(r, DAL_ROWS_CANDIDATES, i, 1, 0, 1, with);
        score[i] = fisher_trace(f, a, m) - fisher_trace(with, a, m);
    }
    free(f);
    free(a);
    free(with);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *out)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    double *score = malloc((size_t)n * sizeof *score), most = 0;
    (void)host;
    b = b < n ? b : n;
    slow_scores(r, opt, score);
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, score[i]);
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++) /* equal samples are equal up to rounding */
            if (!isnan(score[i]) && (best < 0 || score[i] > score[best] + 1e-12 * most))
                best = i;
        out[k] = best;
        score[best] = NAN;
    }
    free(score);
    return b;
}

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0},
    {2, 60, 20, 0, 5, 6, 0, FX_LOGITS},
    {3, 45, 0, 0, 2, 3, 0, 0},
    {4, 30, 20, 5, 4, 4, 0, FX_DUPLICATES},
    {7, 45, 11, 0, 4, 4, 0, FX_ONE_CLASS | FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0},
};

Test(variance_reduction, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&vr_impl, &usual, twin, shapes, sizeof shapes / sizeof *shapes, 0);
    fx_twin_agrees(&vr_impl, &wide, twin, shapes, 2, 0);
}

Test(variance_reduction, scores_what_a_sample_takes_off_the_variance)
{
    static fx_picks p;
    double score[60];
    fx_round *r = fx_round_random(&shapes[1]);
    slow_scores(r, &usual, score);
    fx_select(r, &vr_impl, &usual, 60, 1, &p);
    for (int i = 0; i < 60; i++)
        cr_assert_float_eq(p.scores[i], score[p.rows[i]], 1e-9 * score[p.rows[0]]);
    fx_round_free(r);
}

/* By hand: two classes, no features but the constant, nothing labelled, sigma 1: theta has 2 parameters, of a
 * sample with pi = (p, 1 - p) S = v (1 -1; -1 1), v = p (1 - p). F = I; A = sum 2 v^2 (1 -1; -1 1); F + S has 1
 * + 2 v along (1, -1): phi = 4 sum v^2, score = 4 sum v^2 (1 - 1 / (1 + 2 v_x)). */
Test(variance_reduction, agrees_with_a_sum_by_hand)
{
    static fx_picks p;
    const float probs[] = {.9f, .1f, .5f, .5f, .2f, .8f}, none[] = {0, 0, 0};
    fx_round *r = fx_round_of(3, 2, probs, 1, none);
    fx_select(r, &vr_impl, &usual, 3, 1, &p);
    cr_assert(p.rows[0] == 1 && p.rows[1] == 2 && p.rows[2] == 0);
    const double v[] = {.25, .16, .09}, all = 4 * (.0625 + .0256 + .0081);
    for (int i = 0; i < 3; i++)
        cr_assert_float_eq(p.scores[i], all * (1 - 1 / (1 + 2 * v[i])), 1e-7);
    fx_round_free(r);
}

Test(variance_reduction, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&vr_impl, &usual, &shapes[1], 20);
}

Test(variance_reduction, says_what_it_cannot_work_with)
{
    static fx_picks p;
    const options tight = {1, 17};
    const fx_spec bad = {1, 40, 10, 0, 3, 5, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&shapes[0]);
    fx_try(r, &vr_impl, &tight, 2, 1, &p);
    cr_assert_str_eq(p.err.key, "max_parameters");
    cr_assert_str_eq(p.err.text,
                     "3 classes x 6 numbers a sample are more than max_parameters, 17; raise it, or use a model "
                     "with fewer features");
    fx_round_free(r);
    r = fx_round_random(&bad);
    fx_try(r, &vr_impl, &usual, 2, 1, &p);
    cr_assert_str_eq(p.err.text, "the outputs or features of sample 40 are not numbers");
    fx_round_free(r);
}

Test(variance_reduction, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&vr_impl, &usual, &shapes[0], 5);
}
