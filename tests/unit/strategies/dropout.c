/* The strategies on stochastic passes through their tables. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/dropout.c"

enum { LC, MARGIN, ENTROPY, BALD, VARIATION, STD, KINDS };
static const dal_strategy_impl *const impls[KINDS] = {&least_confidence_impl, &margin_impl, &entropy_impl,
                                                      &bald_impl, &variation_ratios_impl, &mean_std_impl};

/* ---- golden: fixture F2, worked by hand ------------------------------------------------------- */

Test(dropout, picks_the_worked_example_in_its_order)
{
    static const float first[2][4] = {{.5f, .9f, .9f, .6f}, {.5f, .1f, .9f, .8f}}; /* twice */
    static const struct {
        int64_t order[4];
        double scores[4];
    } want[KINDS] = {
        {{0, 1, 3, 2}, {.5, .5, .7, .9}},
        {{0, 1, 3, 2}, {0, 0, .4, .8}},
        {{0, 1, 3, 2}, {.693147, .693147, .610864, .325083}},
        {{1, 3, 0, 2}, {.368064, .024157, 0, 0}},
        {{1, 0, 3, 2}, {.5, 0, 0, 0}}, /* equal votes by entropy */
        {{1, 3, 0, 2}, {.4, .1, 0, 0}},
    };
    static fx_picks p;
    const options opt = {4};
    float mc[4 * 4 * 2];
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 4; i++) {
            mc[(k * 4 + i) * 2] = first[k % 2][i];
            mc[(k * 4 + i) * 2 + 1] = 1 - first[k % 2][i];
        }
    fx_round *r = fx_round_of(4, 2, NULL, 0, NULL);
    fx_round_mc(r, 4, mc);
    for (int s = 0; s < KINDS; s++) {
        fx_select(r, impls[s], &opt, 4, 1, &p);
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(p.rows[i], want[s].order[i], "strategy %d, pick %d is %lld", s, i, (long long)p.rows[i]);
            cr_assert_float_eq(p.scores[i], want[s].scores[i], 1e-6, "strategy %d, pick %d: %g", s, i,
                               p.scores[i]);
        }
        cr_assert(s != BALD || (p.scores[2] == 0 && p.scores[3] == 0), "passes that agree know nothing more");
    }
    fx_round_free(r);
}

/* ---- slow twins ------------------------------------------------------------------------------- */

static int under_test;

/* P [passes, c] of a row and their mean p [c]; denormal floats are zeros. */
static void passes_of(const fx_round *r, int64_t passes, int64_t row, double *P, double *p)
{
    for (int64_t j = 0; j < r->c; j++)
        p[j] = 0;
    for (int64_t k = 0; k < passes; k++) {
        fx_mc_probs(r, k, row, P + k * r->c);
        for (int64_t j = 0; j < r->c; j++) {
            P[k * r->c + j] = P[k * r->c + j] < (double)FLT_MIN ? 0 : P[k * r->c + j];
            p[j] += P[k * r->c + j] / (double)passes;
        }
    }
}

static double x_ln_x_over(double x, double y)
{
    return x > 0 ? x * log(x / y) : 0;
}

static double slow_score(const fx_round *r, int64_t passes, const double *P, const double *p)
{
    const int64_t c = r->c;
    int64_t top = 0, votes[1000] = {0}, most = 0;
    double rest = 0, second = 0, h = 0, bald = 0, std = 0;
    for (int64_t j = 0; j < c; j++)
        top = p[j] > p[top] ? j : top;
    for (int64_t j = 0; j < c; j++) {
        double squares = 0;
        for (int64_t k = 0; k < passes; k++) {
            squares += (P[k * c + j] - p[j]) * (P[k * c + j] - p[j]);
            bald += (x_ln_x_over(P[k * c + j], p[j]) - P[k * c + j] + p[j]) / (double)passes;
        }
        std += sqrt(squares / (double)passes) / (double)c;
        if (j != top) {
            rest += p[j];
            second = p[j] > second ? p[j] : second;
            h -= x_ln_x_over(p[j], 1);
        }
    }
    h -= (1 - rest) * log1p(-rest);
    for (int64_t k = 0; k < passes; k++) {
        int64_t vote = 0;
        for (int64_t j = 0; j < c; j++)
            vote = P[k * c + j] > P[k * c + vote] ? j : vote;
        most = ++votes[vote] > most ? votes[vote] : most;
    }
    const double all[KINDS] = {1 - rest, 1 - rest - second, h, bald,
                               ((double)(passes - most) + 1e-6 * h / log((double)c)) / (double)passes,
                               std};
    return all[under_test];
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt_, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[0].n, passes = ((const options *)opt_)->passes;
    double *P = malloc((size_t)(passes * r->c) * sizeof *P), *p = malloc((size_t)r->c * sizeof *p);
    double *scores = malloc((size_t)n * sizeof *scores);
    const double sign = impls[under_test]->order == DAL_SMALLEST_FIRST ? -1 : 1;
    (void)host;
    for (int64_t i = 0; i < n; i++) {
        passes_of(r, passes, i, P, p);
        scores[i] = sign * slow_score(r, passes, P, p);
        for (int64_t j = 0; j < r->c; j++)
            scores[i] = isnan(p[j]) ? -DBL_MAX : scores[i];
    }
    for (int64_t k = 0; k < b; k++) {
        rows[k] = 0;
        for (int64_t i = 1; i < n; i++)
            if (scores[i] > scores[rows[k]])
                rows[k] = i;
        scores[rows[k]] = -INFINITY;
    }
    free(P);
    free(p);
    free(scores);
    return b;
}

static const fx_spec broken[] = {
    {21, 50, 5, 0, 4, 3, 5, FX_NAN_ROWS},
    {22, 50, 5, 0, 12, 3, 5, FX_NAN_ROWS | FX_LOGITS},
    {23, 40, 5, 0, 4, 3, 5, FX_SATURATED | FX_LOGITS},
};

Test(dropout, picks_what_its_slow_twins_pick)
{
    for (under_test = 0; under_test < KINDS; under_test++) {
        for (int64_t s = 0; s < fx_n_shapes; s++) {
            const options opt = {fx_shapes[s].passes};
            fx_twin_agrees(impls[under_test], &opt, twin, &fx_shapes[s], 1, 0);
        }
        const options opt = {4}; /* of the 5 there are */
        fx_twin_agrees(impls[under_test], &opt, twin, broken, sizeof broken / sizeof *broken, 0);
    }
}

Test(dropout, follows_its_samples_when_the_pool_is_permuted)
{
    const options opt = {10};
    for (int s = 0; s < KINDS; s++)
        fx_picks_follow_samples(impls[s], &opt, &fx_shapes[1], 100);
}

Test(dropout, hands_on_why_there_are_no_passes)
{
    static fx_picks p;
    const options opt = {7};
    fx_round *r = fx_round_random(&fx_shapes[0]);
    fx_try(r, &bald_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.text, "there are 6 passes, 7 were asked for");
    fx_round_free(r);
}

Test(dropout, survives_when_there_is_no_memory)
{
    const options opt = {5};
    const fx_spec logits = {2, 30, 5, 0, 3, 4, 5, FX_LOGITS};
    fx_survives_no_memory(&bald_impl, &opt, &logits, 5);
}
