/* information-density through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/information_density.c"

static const options by_entropy = {1, ENTROPY}, by_margin = {0.5, MARGIN}, by_confidence = {2, 2};

static double unsure(const double *p, int64_t c, uint32_t how)
{
    double h = 0, first = 0, second = 0;
    for (int64_t k = 0; k < c; k++) {
        if (isnan(p[k]))
            return NAN;
        h -= p[k] > 0 ? p[k] * log(p[k]) : 0;
        second = p[k] > first ? first : p[k] > second ? p[k] : second;
        first = p[k] > first ? p[k] : first;
    }
    return how == ENTROPY ? h : how == MARGIN ? 1 - (first - second) : 1 - first;
}

static double dot(const float *x, const float *y, int64_t d)
{
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += (double)x[k] * (double)y[k];
    return sum;
}

/* All pairs. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const options *opt = options_;
    const int64_t d = r->d;
    double *s = malloc(pool->n * sizeof *s), *length = malloc(pool->n * sizeof *length), p[1000];
    (void)host;
    for (int64_t i = 0; i < pool->n; i++)
        length[i] = sqrt(dot(pool->features + i * d, pool->features + i * d, d));
    for (int64_t i = 0; i < pool->n; i++) {
        const float *x = pool->features + i * d;
        double mean = 0;
        for (int64_t j = 0; j < pool->n; j++) {
            const float *y = pool->features + j * d;
            if (length[i] > 0 && length[j] > 0)
                mean += dot(x, y, d) / (length[i] * length[j]) / (double)pool->n;
        }
        fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
        s[i] = unsure(p, r->c, opt->uncertainty) * pow(fmax(mean, 0), opt->beta);
    }
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < pool->n; i++) {
            int taken = 0;
            for (int64_t q = 0; q < k; q++)
                taken |= rows[q] == i;
            if (!taken && (best < 0 || (isnan(s[best]) && !isnan(s[i])) || s[i] > s[best]))
                best = i;
        }
        rows[k] = best;
    }
    free(s);
    free(length);
    return b;
}

/* Equal samples tie here and there alike only if both sum in one order: shapes without copies. */
static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0},  {2, 300, 50, 0, 10, 16, 0, FX_LOGITS}, {3, 77, 0, 0, 2, 3, 0, 0},
    {8, 30, 8, 0, 1000, 12, 0, FX_LOGITS}, {9, 3, 2, 0, 2, 2, 0, 0}, {10, 1, 1, 0, 3, 4, 0, 0},
    {21, 520, 10, 0, 3, 9, 0, 0}, {22, 50, 0, 0, 4, 4, 0, FX_NAN_ROWS | FX_LOGITS},
};

Test(information_density, picks_what_its_slow_twin_picks)
{
    const options *all[] = {&by_entropy, &by_margin, &by_confidence};
    for (int i = 0; i < 3; i++)
        fx_twin_agrees(&information_density_impl, all[i], twin, shapes, sizeof shapes / sizeof *shapes, 60);
}

/* Margins 1 - f of .5, 1 and 1; directions (1, 0) twice and (0, 1): mean cosines 2/3, 2/3 and 1/3. */
Test(information_density, agrees_with_an_example_by_hand)
{
    static const float x[6] = {2, 0, 5, 0, 0, 1}, probs[6] = {.75f, .25f, .5f, .5f, .5f, .5f};
    static fx_picks p;
    const options opt = {1, MARGIN};
    fx_round *r = fx_round_of(3, 2, probs, 2, x);
    fx_select(r, &information_density_impl, &opt, 3, 1, &p);
    cr_assert(p.ids[0] == 20);
    cr_assert_float_eq(p.scores[0], 2. / 3, 1e-12);
    cr_assert_float_eq(p.scores[1], 1. / 3, 1e-12);
    cr_assert_float_eq(p.scores[2], 1. / 3, 1e-12);
    fx_round_free(r);
}

Test(information_density, gives_nothing_for_features_of_zeros)
{
    static const float x[4] = {0, 0, 1, 1}, probs[4] = {.5f, .5f, .9f, .1f};
    static fx_picks p;
    fx_round *r = fx_round_of(2, 2, probs, 2, x);
    fx_select(r, &information_density_impl, &by_entropy, 2, 1, &p);
    cr_assert(p.ids[0] == 20 && p.scores[1] == 0);
    fx_round_free(r);
}

Test(information_density, names_features_that_are_not_finite)
{
    static const float x[4] = {0, 1, 1, NAN}, probs[4] = {.5f, .5f, .9f, .1f};
    static fx_picks p;
    fx_round *r = fx_round_of(2, 2, probs, 2, x);
    fx_try(r, &information_density_impl, &by_entropy, 2, 1, &p);
    cr_assert(p.status == DAL_E_INVALID && strstr(p.err.text, "candidate 1 are not finite"), "%s", p.err.text);
    fx_round_free(r);
}

Test(information_density, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&information_density_impl, &by_entropy, &shapes[1], 40);
}

Test(information_density, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&shapes[1]);
    fx_select(r, &information_density_impl, &by_entropy, 40, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &information_density_impl, &by_entropy, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(information_density, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&information_density_impl, &by_entropy, &shapes[0], 5);
}
