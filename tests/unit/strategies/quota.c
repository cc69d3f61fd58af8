/* At most so many of a predicted class, or of a source. */
#include "tests/unit/strategies/inner.h"

#include <math.h>

#include "plugins/strategies/quota.c"

/* Predicted 0 0 0 0 1 1, wanted in this order. */
static const float probs[] = {.9f, .1f, .8f, .2f, .7f, .3f, .6f, .4f, .2f, .8f, .1f, .9f};

Test(quota, goes_on_in_the_order_of_the_strategy_inside)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 2};
    fx_round *r = fx_round_of(6, 2, probs, 1, probs);
    fx_select(r, &quota_impl, &opt, 4, 1, &p);
    const int64_t want[] = {0, 1, 4, 5};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    cr_assert_float_eq(p.scores[2], 0.2, 1e-7);
    fx_round_free(r);
}

Test(quota, is_even_by_default)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 0};
    fx_round *r = fx_round_of(6, 2, probs, 1, probs);
    fx_select(r, &quota_impl, &opt, 3, 1, &p); /* ceil(3 / 2) = 2 */
    const int64_t want[] = {0, 1, 4};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    fx_round_free(r);
}

Test(quota, gives_fewer_rather_than_more_of_a_class)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 1};
    fx_round *r = fx_round_of(6, 2, probs, 1, probs);
    fx_select(r, &quota_impl, &opt, 4, 1, &p);
    cr_assert(p.n == 2 && p.rows[0] == 0 && p.rows[1] == 4);
    cr_assert_str_eq(p.reason, "2 of 4: with at most 1 of each predicted class there are no more");
    fx_round_free(r);
}

Test(quota, names_the_sample_whose_outputs_are_not_numbers)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 1};
    const float bad[] = {.5f, .5f, .5f, NAN};
    fx_round *r = fx_round_of(2, 2, bad, 1, bad);
    fx_try(r, &quota_impl, &opt, 1, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.text, "the outputs of sample 20 are not numbers");
    fx_round_free(r);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    int64_t *wanted = malloc((size_t)n * sizeof *wanted), *count = calloc((size_t)r->c, sizeof *count), got = 0;
    char *in = malloc((size_t)n);
    (void)host;
    b = b > n ? n : b;
    memset(in, 1, (size_t)n);
    inner_best(r, in, n, wanted);
    const int64_t q = opt->per_class ? opt->per_class : (b + r->c - 1) / r->c;
    for (int64_t i = 0; i < n && got < b; i++) {
        const float *row = r->set[DAL_ROWS_CANDIDATES].outputs + wanted[i] * r->c;
        int64_t cls = 0;
        for (int64_t k = 1; k < r->c; k++)
            cls = row[k] > row[cls] ? k : cls;
        if (count[cls]++ < q)
            rows[got++] = wanted[i];
    }
    free(wanted);
    free(count);
    free(in);
    return got;
}

Test(quota, picks_what_its_slow_twin_picks)
{
    const options three = {FIRST_OUTPUT, 3}, even = {FIRST_OUTPUT, 0};
    fx_twin_agrees(&quota_impl, &three, twin, fx_shapes, fx_n_shapes, 0);
    fx_twin_agrees(&quota_impl, &even, twin, fx_shapes, fx_n_shapes, 0);
}

Test(quota, survives_when_there_is_no_memory)
{
    const options opt = {FIRST_OUTPUT, 2};
    fx_survives_no_memory(&quota_impl, &opt, &fx_shapes[0], 10);
}

Test(quota, picks_follow_their_samples)
{
    const options opt = {FIRST_OUTPUT, 3};
    fx_picks_follow_samples(&quota_impl, &opt, &fx_shapes[1], 20);
}

/* ---- sources ---- */

Test(source_quota, goes_on_in_the_order_of_the_strategy_inside)
{
    static fx_picks p;
    static const int32_t groups[] = {2, 2, 2, 0, 1, 1};
    fx_round *r = fx_round_of(6, 2, probs, 1, probs);
    fx_round_groups(r, groups, 3);
    const source_options two = {FIRST_OUTPUT, 2}, even = {FIRST_OUTPUT, 0};
    fx_select(r, &source_impl, &two, 4, 1, &p);
    const int64_t want[] = {0, 1, 3, 4};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    cr_assert_float_eq(p.scores[2], 0.6, 1e-7);
    fx_select(r, &source_impl, &even, 3, 1, &p); /* one of each */
    const int64_t one[] = {0, 3, 4};
    cr_assert_arr_eq(p.rows, one, sizeof one);
    fx_round_free(r);
}

Test(source_quota, counts_what_is_of_no_known_source_as_a_source_more)
{
    static fx_picks p;
    static const int32_t groups[] = {DAL_GROUP_NONE, DAL_GROUP_NONE, 3, DAL_GROUP_NONE, 3, 3};
    fx_round *r = fx_round_of(6, 2, probs, 1, probs);
    fx_round_groups(r, groups, 9);
    const source_options even = {FIRST_OUTPUT, 0}, one = {FIRST_OUTPUT, 1};
    fx_select(r, &source_impl, &even, 4, 1, &p); /* of two sources that have candidates: two each */
    const int64_t want[] = {0, 1, 2, 4};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    fx_select(r, &source_impl, &one, 4, 1, &p);
    cr_assert(p.n == 2 && p.rows[0] == 0 && p.rows[1] == 2);
    cr_assert_str_eq(p.reason, "2 of 4: with at most 1 of each source there are no more");
    fx_round_free(r);
}

static int64_t source_twin(const fx_round *r, const source_options *opt, const int32_t *groups, int64_t n_groups,
                           int64_t b, int64_t *rows)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    int64_t *wanted = malloc((size_t)n * sizeof *wanted), count[8] = {0}, present = 0, got = 0;
    char *in = malloc((size_t)n);
    memset(in, 1, (size_t)n);
    inner_best(r, in, n, wanted);
    b = b > n ? n : b;
    for (int64_t g = -1; g < n_groups; g++)
        for (int64_t i = 0; i < n; i++)
            if (groups[i] == g) {
                present++;
                break;
            }
    const int64_t q = opt->per_source ? opt->per_source : (b + present - 1) / present;
    for (int64_t i = 0; i < n && got < b; i++)
        if (count[groups[wanted[i]] + 1]++ < q)
            rows[got++] = wanted[i];
    free(wanted);
    free(in);
    return got;
}

Test(source_quota, picks_what_its_slow_twin_picks)
{
    static fx_picks p;
    static int64_t want[FX_MAX_PICKS];
    static int32_t groups[FX_MAX_PICKS];
    const source_options all[] = {{FIRST_OUTPUT, 3}, {FIRST_OUTPUT, 0}};
    dal_rng rng = dal_rng_from_key(8);
    for (int64_t s = 0; s < fx_n_shapes; s++)
        for (int64_t n_groups = 1; n_groups <= 7; n_groups += 3)
            for (int k = 0; k < 2; k++) {
                fx_round *r = fx_round_random(&fx_shapes[s]);
                const int64_t n = fx_shapes[s].n, sizes[] = {1, n / 7 + 1, n};
                for (int64_t i = 0; i < n; i++)
                    groups[i] = (int32_t)dal_rng_below(&rng, n_groups + 1) - 1;
                fx_round_groups(r, groups, n_groups);
                for (int b = 0; b < 3; b++) {
                    fx_select(r, &source_impl, &all[k], sizes[b], 1, &p);
                    const int64_t m = source_twin(r, &all[k], groups, n_groups, sizes[b], want);
                    cr_assert_eq(m, p.n, "shape %d, %d sources: %d picks, the twin makes %d", (int)s, (int)n_groups,
                                 (int)p.n, (int)m);
                    cr_assert_arr_eq(p.rows, want, (size_t)m * sizeof *want);
                }
                fx_round_free(r);
            }
}

Test(source_quota, picks_follow_their_samples)
{
    enum { N = 60, SOURCES = 4, B = 20 };
    static fx_picks there, here;
    const fx_spec spec = {5, N, 0, 0, 3, 4, 0, FX_LOGITS};
    const source_options opt = {FIRST_OUTPUT, 6};
    dal_rng rng = dal_rng_from_key(9);
    int64_t from[N];
    int32_t groups[N], moved_groups[N];
    for (int i = 0; i < N; i++) {
        from[i] = i;
        groups[i] = (int32_t)dal_rng_below(&rng, SOURCES + 1) - 1;
    }
    dal_rng_shuffle(&rng, from, N, N);
    for (int i = 0; i < N; i++)
        moved_groups[i] = groups[from[i]];
    fx_round *r = fx_round_random(&spec), *moved = fx_round_permuted(r, from);
    fx_round_groups(r, groups, SOURCES);
    fx_round_groups(moved, moved_groups, SOURCES);
    fx_select(r, &source_impl, &opt, B, 1, &there);
    fx_select(moved, &source_impl, &opt, B, 1, &here);
    cr_assert_eq(here.n, there.n);
    for (int64_t i = 0; i < here.n; i++)
        cr_assert_eq(from[here.rows[i]], there.rows[i], "pick %d does not follow its sample", (int)i);
    free(moved->groups); /* a permuted round takes all that is not its own for borrowed */
    fx_round_free(moved);
    fx_round_free(r);
}

Test(source_quota, says_when_no_sources_are_told)
{
    static fx_picks p;
    const source_options opt = {FIRST_OUTPUT, 1};
    fx_round *r = fx_round_of(6, 2, probs, 1, probs);
    fx_try(r, &source_impl, &opt, 2, 1, &p);
    cr_assert_eq(p.status, DAL_E_UNSUPPORTED);
    cr_assert_str_eq(p.err.text, "the dataset does not tell which source its samples are of");
    fx_round_free(r);
}
