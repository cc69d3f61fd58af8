/* A head that learns which losses are larger. */
#include "tests/unit/strategies/trained_along.h"

#include "plugins/strategies/learning_loss.c"

static const options plain = {1, 1, .6, 8, .01, 0}, kept = {1, 1, .6, 8, .01, 1}, heavy = {.4, 2.5, 1, 4, .01, 0};

static loss_head *head_of(void *self)
{
    return &((learning_loss *)self)->head;
}

Test(learning_loss, pairs_are_those_of_the_worked_example)
{
    static const float predicted[] = {.2f, 1.5f, .7f, .1f}, losses[] = {1, .5f, 2, .3f};
    float d[4] = {0};
    const double mean = pair_loss(predicted, losses, 4, 1, 1, d);
    cr_assert_float_eq(mean, 1.35, 1e-6);
    /* pairs (0, 3): l_0 is larger, (1, 2): l_1 is smaller; each counts a half */
    static const float want[] = {-.5f, .5f, -.5f, .5f};
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(d[i], want[i], 1e-7, "%d: %g", i, (double)d[i]);
}

Test(learning_loss, pairs_that_differ_enough_cost_nothing_and_equal_losses_count_as_smaller)
{
    static const float apart[] = {2, 0, 0, .5f}, losses[] = {3, 1, 1, 1};
    float d[4] = {0};
    /* (0, 3): 2 - .5 > 1; (1, 2): equal, s = -1: 1 + (0 - 0) = 1 */
    const double mean = pair_loss(apart, losses, 4, 1, 1, d);
    cr_assert_float_eq(mean, .5, 1e-7);
    cr_assert(d[0] == 0 && d[3] == 0 && d[1] == .5f && d[2] == -.5f);
    cr_assert_eq(pair_loss(apart, losses, 0, 1, 1, d), 0);
}

/* ---- gradients ----------------------------------------------------------------------------------------- */

typedef struct pairs {
    const float *losses;
    const options *opt;
} pairs;

static double slow_pairs(void *ctx, const double *y, int64_t n)
{
    const pairs *p = ctx;
    double sum = 0;
    const int64_t half = n / 2;
    for (int64_t i = 0; i < half; i++) {
        const int64_t j = 2 * half - 1 - i;
        const double s = p->losses[i] > p->losses[j] ? 1 : -1;
        sum += fmax(0, p->opt->margin - s * (y[i] - y[j]));
    }
    return p->opt->weight * sum / (double)half;
}

static void gradients(const options *opt, int64_t n)
{
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(10, 12, 3, 5);
    ta_run t = ta_open(r, &impl, opt, 1);
    ta_batch b;
    ta_batch_init(&b, r, DAL_ROWS_LABELLED, 0, n);
    pairs p = {b.losses, opt};
    cr_assert_eq(ta_begin(r, impl.companion(t.self), 10, &err), DAL_OK, "%s", err.text);
    ta_gradients_agree(&t, head_of(t.self), &b, slow_pairs, &p);
    ta_batch_free(&b);
    ta_close(&t);
    fx_round_free(r);
}

Test(learning_loss, gradients_are_those_of_finite_differences)
{
    gradients(&plain, 12);
    gradients(&heavy, 12);
    gradients(&plain, 11); /* the last has no partner */
    gradients(&plain, 2);
}

Test(learning_loss, a_sample_alone_teaches_nothing)
{
    static fx_picks p;
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(10, 12, 3, 5);
    ta_run t = ta_open(r, &impl, &plain, 1);
    cr_assert_eq(ta_fit(r, impl.companion(t.self), 2, 1, &err), DAL_OK);
    fx_expect(&p.err, ta_try(&t, 2, &p), DAL_E_INVALID, "", "batch_size");
    ta_close(&t);
    fx_round_free(r);
}

Test(learning_loss, detaches_where_it_says)
{
    const options never = {1, 1, 0, 8, .01, 0}, always = {1, 1, 1, 8, .01, 0};
    ta_detaches(&impl, &plain, head_of, 10, 6);
    ta_detaches(&impl, &plain, head_of, 3, 2);
    ta_detaches(&impl, &never, head_of, 4, 0);
    ta_detaches(&impl, &always, head_of, 4, 4);
}

/* ---- picks --------------------------------------------------------------------------------------------- */

/* The largest predictions, lowest row first, and nothing larger is left. */
static void check_picks(const fx_round *r, const double *y, const fx_picks *p)
{
    char *taken = calloc((size_t)r->set[0].n, 1);
    for (int64_t i = 0; i < p->n; i++) {
        cr_assert_float_eq(p->scores[i], y[p->rows[i]], 1e-5 * (1 + fabs(y[p->rows[i]])));
        cr_assert(i == 0 || p->scores[i] <= p->scores[i - 1]);
        taken[p->rows[i]] = 1;
    }
    for (int64_t i = 0; i < r->set[0].n; i++)
        cr_assert(taken[i] || y[i] <= p->scores[p->n - 1] + 1e-5);
    free(taken);
}

Test(learning_loss, picks_the_largest_losses_its_slow_twin_predicts)
{
    static fx_picks p;
    dal_error err = DAL_ERROR_INIT;
    for (int64_t c = 2; c < 6; c++) { /* models of even c take one call at a time */
        fx_round *r = ta_round(700, 50, c, 7);
        ta_run t = ta_open(r, &impl, &plain, 2);
        cr_assert_eq(ta_fit(r, impl.companion(t.self), 6, 16, &err), DAL_OK, "%s", err.text);
        ta_pick(&t, 60, &p);
        double *y = ta_twin_of_candidates(r, head_of(t.self));
        check_picks(r, y, &p);
        free(y);
        ta_close(&t);
        fx_round_free(r);
    }
}

Test(learning_loss, picks_the_same_with_one_and_two_threads)
{
    static fx_picks one, two;
    fx_round *r = ta_round(900, 50, 3, 7);
    ta_trained_picks(r, &impl, &plain, 1, 200, &one);
    ta_trained_picks(r, &impl, &plain, 2, 200, &two);
    ta_same_picks(&one, &two, "with 2 threads");
    fx_round_free(r);
}

/* Losses that follow from the inputs are told apart, also those of samples it has never seen. */
Test(learning_loss, learns_to_rank_losses)
{
    const options opt = {1, 1, .6, 32, .01, 0};
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(200, 400, 3, 4);
    /* the label is always the class 0: the loss is a function of the logits, those of the features */
    for (int64_t i = 0; i < 400; i++)
        r->set[DAL_ROWS_LABELLED].classes[i] = 0;
    ta_run t = ta_open(r, &impl, &opt, 1);
    cr_assert_eq(ta_fit(r, impl.companion(t.self), 60, 32, &err), DAL_OK, "%s", err.text);
    double *y = ta_twin_of_candidates(r, head_of(t.self));
    int64_t right = 0, pairs_seen = 0;
    ta_batch b;
    ta_batch_init(&b, r, DAL_ROWS_CANDIDATES, 0, 200);
    for (int64_t i = 0; i < 200; i++)
        for (int64_t j = 0; j < i; j++) {
            if (fabsf(b.losses[i] - b.losses[j]) < .1f)
                continue;
            pairs_seen++;
            right += (b.losses[i] > b.losses[j]) == (y[i] > y[j]);
        }
    cr_assert_gt(pairs_seen, 5000);
    cr_assert_gt((double)right, .9 * (double)pairs_seen, "%lld of %lld pairs", (long long)right,
                 (long long)pairs_seen);
    ta_batch_free(&b);
    free(y);
    ta_close(&t);
    fx_round_free(r);
}

/* ---- state --------------------------------------------------------------------------------------------- */

Test(learning_loss, state_comes_back)
{
    ta_state_comes_back(&impl, &plain);
}

Test(learning_loss, refuses_models_it_has_not_learned_from)
{
    ta_refuses_other_models(&impl, &plain);
}

Test(learning_loss, goes_on_with_its_head_when_told)
{
    ta_goes_on(&impl, &plain, &kept, head_of);
}

Test(learning_loss, survives_when_there_is_no_memory)
{
    ta_survives_no_memory(&impl, &plain);
}
