/* Choosing part by part. */
#include "tests/unit/strategies/inner.h"

#include "plugins/strategies/partition.c"

/* 10 candidates of which every later one is wanted more. */
static fx_round *rising(void)
{
    float probs[20];
    for (int i = 0; i < 10; i++) {
        probs[2 * i] = 0.05f * (float)i;
        probs[2 * i + 1] = 1 - probs[2 * i];
    }
    return fx_round_of(10, 2, probs, 1, probs);
}

Test(partition, shares_picks_among_parts_as_their_sizes_say)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 3, 0};
    fx_round *r = rising();
    /* parts 0..3, 4..6, 7..9; ceil(5 x 4/10, 7/10, 10/10) = 2, 4, 5: budgets 2, 2, 1 */
    fx_select(r, &partition_impl, &opt, 5, 1, &p);
    const int64_t want[] = {3, 2, 6, 5, 9};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    cr_assert_float_eq(p.scores[4], 0.45, 1e-7);
    fx_round_free(r);
}

Test(partition, has_no_more_parts_than_picks)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 1000, 0};
    fx_round *r = rising();
    fx_select(r, &partition_impl, &opt, 2, 1, &p);
    cr_assert(p.n == 2 && p.rows[0] == 4 && p.rows[1] == 9);
    fx_round_free(r);
}

Test(partition, says_so_when_the_strategy_inside_is_lazy)
{
    static fx_picks p;
    const options opt = {LAZY, 2, 0};
    fx_round *r = rising();
    fx_select(r, &partition_impl, &opt, 4, 1, &p);
    cr_assert_eq(p.n, 2);
    cr_assert_str_eq(p.reason, "in a part of 5 candidates the strategy inside picks 1 of 2");
    fx_round_free(r);
}

Test(partition, composes_with_itself)
{
    static fx_picks p;
    const options inner = {FIRST_OUTPUT, 2, 0};
    const fx_ref ref = {&partition_impl, &inner};
    const options opt = {inner_ref(&ref), 2, 0};
    fx_round *r = rising(); /* 0..4 as 0..2 and 3..4; ceil(2 x 3/5) = 2: both of the first */
    fx_select(r, &partition_impl, &opt, 4, 1, &p);
    const int64_t want[] = {2, 1, 7, 6};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    fx_round_free(r);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    int64_t *order = malloc((size_t)n * sizeof *order), m = opt->parts, got = 0;
    char *in = malloc((size_t)n);
    m = m > b ? b : m;
    m = m > n ? n : m;
    b = b > n ? n : b;
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    if (opt->shuffle) {
        dal_rng stream = host->rng(host, "shuffle", r->round);
        dal_rng_shuffle(&stream, order, n, n);
    }
    for (int64_t k = 0; k < m; k++) {
        const int64_t from = (n * k + m - 1) / m, to = (n * (k + 1) + m - 1) / m;
        memset(in, 0, (size_t)n);
        for (int64_t i = from; i < to; i++)
            in[order[i]] = 1;
        got += inner_best(r, in, (b * to + n - 1) / n - (b * from + n - 1) / n, rows + got);
    }
    free(in);
    free(order);
    return got;
}

Test(partition, picks_what_its_slow_twin_picks)
{
    const options in_order = {FIRST_OUTPUT, 7, 0}, dealt = {FIRST_OUTPUT, 7, 1};
    fx_twin_agrees(&partition_impl, &in_order, twin, fx_shapes, fx_n_shapes, 0);
    fx_twin_agrees(&partition_impl, &dealt, twin, fx_shapes, fx_n_shapes, 0);
}

Test(partition, survives_when_there_is_no_memory)
{
    const options opt = {FIRST_OUTPUT, 3, 1};
    fx_survives_no_memory(&partition_impl, &opt, &fx_shapes[0], 5);
}

Test(partition, tells_the_cost_of_a_part)
{
    const options opt = {FIRST_OUTPUT, 4, 0};
    const dal_problem problem = {sizeof problem, 0, 1000, 50, 100, 3, 8, 0};
    dal_cost cost = {.struct_size = sizeof cost};
    partition_cost(NULL, &opt, &problem, &cost);
    cr_assert(cost.bytes >= 8000 && strstr(cost.formula, "4 times the strategy inside, on 250 candidates each"));
}
