/* At most so many of a predicted class. */
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
