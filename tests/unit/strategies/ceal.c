/* Pseudo labels for what the model is sure of. */
#include "tests/unit/strategies/inner.h"

#include <math.h>

#include "plugins/strategies/ceal.c"

/* Entropies .0560 .6931 .0982 .0102 .5004 nats; classes 0 0 1 1 0 */
static const float probs[] = {.99f, .01f, .5f, .5f, .02f, .98f, .001f, .999f, .8f, .2f};
static const options usual = {NULL, 0.06, 0.02, 1};

Test(ceal, asks_about_the_uncertain_and_believes_the_certain)
{
    static fx_picks p;
    fx_round *r = fx_round_of(5, 2, probs, 1, probs);
    fx_select(r, &ceal_impl, &usual, 2, 1, &p);
    cr_assert(p.rows[0] == 1 && p.rows[1] == 4);
    cr_assert_float_eq(p.scores[0], log(2), 1e-6);
    cr_assert(r->n_pseudo == 2 && r->pseudo_ids[0] == 10 && r->pseudo_classes[0] == 0 && r->pseudo_ids[1] == 40 &&
              r->pseudo_classes[1] == 1);
    r->round = 1; /* threshold .04 */
    fx_select(r, &ceal_impl, &usual, 2, 1, &p);
    cr_assert(r->n_pseudo == 1 && r->pseudo_ids[0] == 40);
    r->round = 100; /* never below 0 */
    fx_select(r, &ceal_impl, &usual, 2, 1, &p);
    cr_assert_eq(r->n_pseudo, 0);
    fx_round_free(r);
}

Test(ceal, does_not_believe_what_it_asks_about)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 0.06, 0, 1};
    fx_round *r = fx_round_of(5, 2, probs, 1, probs);
    fx_select(r, &ceal_impl, &opt, 1, 1, &p);
    cr_assert(p.rows[0] == 0 && r->n_pseudo == 1 && r->pseudo_ids[0] == 40);
    fx_round_free(r);
}

Test(ceal, does_not_believe_rows_that_are_not_numbers)
{
    static fx_picks p;
    const float bad[] = {NAN, .5f, .999f, .001f, .5f, .5f};
    fx_round *r = fx_round_of(3, 2, bad, 1, bad);
    fx_select(r, &ceal_impl, &usual, 1, 1, &p);
    cr_assert(p.rows[0] == 2 && r->n_pseudo == 1 && r->pseudo_ids[0] == 20);
    fx_round_free(r);
}

static double entropy(const fx_round *r, int64_t row, int32_t *cls)
{
    double p[1000], h = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, row, p);
    *cls = 0;
    for (int64_t k = 0; k < r->c; k++) {
        h -= p[k] > 0 ? p[k] * log(p[k]) : 0;
        *cls = p[k] > p[*cls] ? (int32_t)k : *cls;
    }
    return h;
}

Test(ceal, believes_what_its_slow_twin_believes)
{
    static fx_picks p;
    const options opt = {FIRST_OUTPUT, 0.3, 0, 1};
    int64_t believed = 0;
    for (int64_t s = 0; s < fx_n_shapes; s++) {
        fx_round *r = fx_round_random(&fx_shapes[s]);
        const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
        char *in = malloc((size_t)pool->n);
        int64_t rows[100], at = 0;
        const int64_t b = 1 + pool->n / 10;
        memset(in, 1, (size_t)pool->n);
        fx_select(r, &ceal_impl, &opt, b, 1, &p);
        cr_assert_eq(inner_best(r, in, b, rows), p.n);
        for (int64_t i = 0; i < p.n; i++) {
            cr_assert_eq(p.rows[i], rows[i]);
            in[rows[i]] = 0;
        }
        for (int64_t i = 0; i < pool->n; i++) {
            int32_t cls;
            if (!in[i] || !(entropy(r, i, &cls) < 0.3))
                continue;
            cr_assert(at < r->n_pseudo && r->pseudo_ids[at] == pool->ids[i] && r->pseudo_classes[at] == cls);
            at++;
        }
        cr_assert_eq(at, r->n_pseudo);
        believed += at;
        free(in);
        fx_round_free(r);
    }
    cr_assert_gt(believed, 30, "%lld", (long long)believed);
}

Test(ceal, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&ceal_impl, &usual, &fx_shapes[0], 5);
}

Test(ceal, picks_follow_their_samples)
{
    fx_picks_follow_samples(&ceal_impl, &usual, &fx_shapes[1], 10);
}
