/* epig through its table. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/epig.c"

/* strategies.md 3.7, all three samples as targets: two passes, the probability of class 0. */
static fx_round *example(void)
{
    static const float first[2][3] = {{.9f, .8f, .6f}, {.1f, .3f, .5f}};
    float mc[2 * 3 * 2];
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            mc[(k * 3 + i) * 2] = first[k][i];
            mc[(k * 3 + i) * 2 + 1] = 1 - first[k][i];
        }
    fx_round *r = fx_round_of(3, 2, NULL, 0, NULL);
    fx_round_mc(r, 2, mc);
    return r;
}

Test(epig, picks_the_worked_example)
{
    static fx_picks p;
    static const double want[3] = {.102746, .038889, .001521};
    const options opt = {2, 100};
    fx_round *r = example();
    fx_select(r, &epig_impl, &opt, 3, 1, &p);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(p.rows[i], i);
        cr_assert_float_eq(p.scores[i], want[i], 1e-6);
    }
    fx_round_free(r);
}

/* J itself, in double. */
static double information(const fx_round *r, int64_t passes, int64_t a, int64_t b)
{
    static double P[32][1000], Q[32][1000], p[1000], q[1000];
    double sum = 0;
    memset(p, 0, sizeof p);
    memset(q, 0, sizeof q);
    for (int64_t k = 0; k < passes; k++) {
        fx_mc_probs(r, k, a, P[k]);
        fx_mc_probs(r, k, b, Q[k]);
        for (int64_t y = 0; y < r->c; y++) {
            P[k][y] = P[k][y] < (double)FLT_MIN ? 0 : P[k][y];
            Q[k][y] = Q[k][y] < (double)FLT_MIN ? 0 : Q[k][y];
            p[y] += P[k][y] / (double)passes;
            q[y] += Q[k][y] / (double)passes;
        }
    }
    for (int64_t y = 0; y < r->c; y++)
        for (int64_t z = 0; z < r->c; z++) {
            double d = 0;
            for (int64_t k = 0; k < passes && p[y] > 0 && q[z] > 0; k++)
                d += (P[k][y] / p[y] - 1) * (Q[k][z] / q[z] - 1) / (double)passes;
            sum += p[y] * q[z] * (d > -1 ? (1 + d) * log1p(d) - d : 1);
        }
    return sum;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt_, int64_t b, int64_t *rows)
{
    const options *opt = opt_;
    const int64_t n = r->set[0].n, m = opt->targets < n ? opt->targets : n;
    dal_rng rng = host->rng(host, "targets", r->round);
    int64_t *t = malloc((size_t)n * sizeof *t);
    double *scores = malloc((size_t)n * sizeof *scores);
    for (int64_t i = 0; i < n; i++)
        t[i] = i;
    dal_rng_shuffle(&rng, t, n, m);
    for (int64_t i = 0; i < n; i++) {
        scores[i] = 0;
        for (int64_t j = 0; j < m; j++)
            scores[i] += information(r, opt->passes, i, t[j]);
    }
    for (int64_t k = 0; k < b; k++) {
        rows[k] = 0;
        for (int64_t i = 1; i < n; i++)
            if (scores[i] > scores[rows[k]])
                rows[k] = i;
        scores[rows[k]] = -INFINITY;
    }
    free(t);
    free(scores);
    return b;
}

/* Certain samples know nothing of each other to the last bit, in an order that rounding decides: not here. */
static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 6, 0},
    {2, 40, 50, 0, 10, 16, 10, FX_LOGITS},
    {3, 77, 0, 0, 2, 3, 4, 0},
    {4, 60, 20, 5, 4, 8, 8, FX_DUPLICATES},
    {5, 50, 9, 0, 5, 6, 5, FX_ZERO_ROWS},
    {8, 5, 8, 0, 200, 12, 3, FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 3, 0},
    {10, 1, 1, 0, 3, 4, 2, 0},
    {12, 33, 5, 0, 9, 4, 21, FX_LOGITS},
};

Test(epig, picks_what_its_slow_twin_picks)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const options few = {shapes[s].passes, 7}, many = {shapes[s].passes, 1000};
        fx_twin_agrees(&epig_impl, &few, twin, &shapes[s], 1, 0);
        fx_twin_agrees(&epig_impl, &many, twin, &shapes[s], 1, 0);
    }
}

Test(epig, follows_its_samples_when_all_are_targets)
{
    const options opt = {10, 1000};
    fx_picks_follow_samples(&epig_impl, &opt, &shapes[1], 30);
}

Test(epig, names_the_target_that_is_not_a_number)
{
    static fx_picks p;
    const options opt = {5, 1000};
    const fx_spec nan = {21, 50, 5, 0, 4, 3, 5, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&nan);
    fx_try(r, &epig_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 40 "), "%s", p.err.text); /* row 3 */
    fx_round_free(r);
}

Test(epig, likes_a_candidate_that_is_not_a_number_least)
{
    static fx_picks p;
    const options opt = {5, 1};
    const fx_spec nan = {21, 50, 5, 0, 4, 3, 5, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&nan);
    for (uint64_t seed = 1;; seed++) {
        fx_try(r, &epig_impl, &opt, 50, seed, &p);
        if (p.status == DAL_OK)
            break;
    }
    for (int i = 0; i < 50; i++)
        cr_assert_eq(isnan(p.scores[i]) != 0, i >= 43, "pick %d scores %g", i, p.scores[i]);
    fx_round_free(r);
}

Test(epig, survives_when_there_is_no_memory)
{
    const options opt = {5, 20};
    const fx_spec logits = {2, 30, 5, 0, 3, 4, 5, FX_LOGITS};
    fx_survives_no_memory(&epig_impl, &opt, &logits, 5);
}
