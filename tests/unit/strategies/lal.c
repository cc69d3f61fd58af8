/* The lal strategy through its table: what it learns, and its scores from nothing but forests. */
#include "tests/unit/strategies/tabular.h"

#include "plugins/strategies/lal.c"

static const options small = {12, 10, 40, 6, 8};

static dal_runtime *lal_runtime(const dal_host **host)
{
    dal_runtime *rt = fx_runtime(2, 3);
    *host = dal_runtime_host(rt, "strategy");
    return rt;
}

static double expected(const lal *s, double mean, double deviation, double n)
{
    /* of a balanced, well classed pool, as far as it is labelled */
    const float row[NUMBERS] = {(float)mean, (float)deviation, 0.5f, 0.8f, 0.1f, 0.3f, 4, (float)n};
    return dal_forest_predict(s->regressor, row, NULL);
}

Test(lal, learns_that_unsure_samples_and_early_labels_help_most)
{
    const dal_host *host;
    dal_runtime *rt = lal_runtime(&host);
    dal_error err = DAL_ERROR_INIT;
    const options opt = {20, 60, 40, 6, 150};
    lal s = {.host = host, .opt = &opt};
    double unsure = 0, sure = 0, early = 0, late = 0;
    cr_assert_eq(learn(&s, &err), DAL_OK, "%s", err.text);
    for (double n = 5; n <= 50; n += 5) {
        unsure += expected(&s, 0.5, 0.5, n);
        sure += expected(&s, 0, 0, n);
    }
    for (double p = 0; p <= 1; p += 0.1) {
        early += expected(&s, p, sqrt(p * (1 - p)), 3);
        late += expected(&s, p, sqrt(p * (1 - p)), 50);
    }
    cr_assert_gt(unsure, sure);
    cr_assert_gt(early, late);
    dal_forest_free(s.regressor);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(lal, describes_simulated_samples_by_numbers_in_their_ranges)
{
    static task t;
    float x[TRIALS][NUMBERS];
    double y[TRIALS];
    const dal_host *host;
    dal_runtime *rt = lal_runtime(&host);
    dal_error err = DAL_ERROR_INIT;
    lal s = {.host = host, .opt = &small};
    dal_rng r = dal_rng_from_key(5);
    int changes = 0;
    for (int turn = 0; turn < 20; turn++) {
        draw_points(&t, &r);
        cr_assert_eq(simulate(&s, &t, &r, x, y, &err), DAL_OK, "%s", err.text);
        cr_assert_neq(t.classes[0], t.classes[1]);
        for (int k = 0; k < TRIALS; k++) {
            cr_assert(x[k][0] >= 0 && x[k][0] <= 1 && x[k][1] >= 0 && x[k][1] <= 0.5f);
            cr_assert(x[k][2] > 0 && x[k][2] < 1 && x[k][3] >= 0 && x[k][3] <= 1);
            cr_assert(x[k][4] >= 0 && x[k][4] <= 0.25f && x[k][5] >= 0 && x[k][5] <= 0.5f);
            cr_assert(x[k][6] >= 0 && x[k][6] <= MOST_LABELS && x[k][7] >= 2 && x[k][7] <= MOST_LABELS);
            cr_assert(fabs(y[k]) <= 1);
            changes += y[k] != 0;
        }
    }
    cr_assert_gt(changes, 10);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* The eight numbers from their definitions, the two forests from the library. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    lal s = {.host = host, .opt = options_};
    tw_table t = tw_make(r, 0);
    const int64_t all = t.n_l + t.n, d = t.d;
    double *score = tw_array(t.n), *y = tw_array(t.n_l), *p = tw_array(t.n), *dev = tw_array(t.n),
        *oob = tw_array(t.n_l);
    double *share = tw_array(d);
    float *x = malloc((size_t)(all * d) * sizeof *x);
    char *taken = calloc((size_t)t.n, 1);
    int two = 0;
    for (int64_t i = 0; i < all * d; i++)
        x[i] = (float)t.x[i];
    for (int64_t i = 1; i < t.n_l; i++)
        two |= r->set[DAL_ROWS_LABELLED].classes[i] != r->set[DAL_ROWS_LABELLED].classes[0];
    if (!two) {
        dal_rng draw = host->rng(host, "draw", r->round);
        int64_t *order = malloc((size_t)t.n * sizeof *order);
        for (int64_t i = 0; i < t.n; i++)
            order[i] = i;
        dal_rng_shuffle(&draw, order, t.n, b);
        memcpy(rows, order, (size_t)b * sizeof *rows);
        free(order);
    } else {
        cr_assert_eq(learn(&s, NULL), DAL_OK);
    }
    for (int64_t q = 0; two && q < t.problems; q++) {
        const dal_rng trees = host->rng(host, "trees", r->round), mine = dal_rng_at(&trees, (uint64_t)q);
        const dal_forest_spec spec = {sizeof spec, 1, s.opt->trees, 64, (int64_t)sqrt((double)d), 1};
        const dal_matrix m = {x, t.n_l, d, d};
        dal_forest *f;
        double positive = 0, right = 0, counted = 0, mean = 0, var = 0, spread = 0;
        for (int64_t i = 0; i < t.n_l; i++)
            positive += y[i] = t.y[q * t.n_l + i] > 0;
        cr_assert_eq(dal_forest_grow(host, &spec, &m, y, &mine, &f, NULL), DAL_OK);
        for (int64_t i = 0; i < t.n; i++) {
            p[i] = dal_forest_predict(f, x + (t.n_l + i) * d, &dev[i]);
            spread += dev[i];
        }
        dal_forest_out_of_bag(f, &m, oob);
        for (int64_t i = 0; i < t.n_l; i++)
            if (!isnan(oob[i])) {
                counted++;
                right += (oob[i] > 0.5) == (y[i] == 1);
            }
        dal_forest_importance(f, share);
        for (int64_t j = 0; j < d; j++)
            mean += share[j] / d;
        for (int64_t j = 0; j < d; j++)
            var += (share[j] - mean) * (share[j] - mean) / d;
        for (int64_t i = 0; i < t.n; i++) {
            const float row[NUMBERS] = {(float)p[i], (float)dev[i], (float)(positive / t.n_l),
                                        (float)(counted ? right / counted : 0), (float)(sqrt(var) / d),
                                        (float)(spread / t.n), (float)dal_forest_depth(f), (float)t.n_l};
            score[i] += dal_forest_predict(s.regressor, row, NULL);
        }
        dal_forest_free(f);
    }
    for (int64_t k = 0; two && k < b; k++) {
        rows[k] = -1; /* to the bit: the drops are multiples of 1/200, sums of them differ by rounding alone */
        for (int64_t i = 0; i < t.n; i++)
            if (!taken[i] && (rows[k] < 0 || score[i] > score[rows[k]]))
                rows[k] = i;
        cr_assert_geq(rows[k], 0);
        taken[rows[k]] = 1;
    }
    dal_forest_free(s.regressor);
    free(score);
    free(y);
    free(p);
    free(dev);
    free(oob);
    free(share);
    free(x);
    free(taken);
    tw_free(&t);
    return b;
}

Test(lal, picks_what_its_slow_twin_picks)
{
    static const fx_spec rounds[] = {{71, 60, 20, 0, 2, 4, 0, 0},
                                     {72, 50, 24, 0, 3, 9, 0, FX_DUPLICATES},
                                     {73, 40, 0, 0, 2, 3, 0, 0},
                                     {74, 40, 6, 0, 2, 3, 0, FX_ONE_CLASS}};
    fx_twin_agrees(&lal_impl, &small, twin, rounds, 4, 8);
}

Test(lal, learns_once_for_all_rounds)
{
    const dal_host *host;
    dal_runtime *rt = lal_runtime(&host);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(lal_create(host, &small, &self, &err), DAL_OK);
    lal *s = self;
    cr_assert_eq(learn(s, &err), DAL_OK);
    lal other = {.host = host, .opt = &small};
    cr_assert_eq(learn(&other, &err), DAL_OK);
    for (double p = 0; p <= 1; p += 0.05) /* another instance of the same run, say after a resume, learns the same */
        cr_assert(expected(s, p, sqrt(p * (1 - p)), 20) == expected(&other, p, sqrt(p * (1 - p)), 20));
    dal_forest_free(other.regressor);
    lal_destroy(s);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(lal, survives_when_there_is_no_memory)
{
    const options tiny = {2, 2, 40, 6, 1};
    const fx_spec spec = {75, 10, 6, 0, 2, 2, 0, 0};
    fx_survives_no_memory(&lal_impl, &tiny, &spec, 3);
}

Test(lal, picks_follow_their_samples)
{
    fx_picks_follow_samples(&lal_impl, &small, &fx_shapes[1], 10);
}
