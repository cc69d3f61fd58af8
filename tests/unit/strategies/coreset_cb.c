/* coreset-cb through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/coreset_cb.c"

static const float pool[8] = {1, 0, 4, 0, 4, 1, 0, 3}, origin[8] = {0};
static const float probs[8] = {.8f, .2f, .9f, .1f, .6f, .4f, .1f, .9f};
static const options plain = {-1, 0}, strong = {5, 0}, scaled = {5, 1};

static fx_round *example(void)
{
    static const int32_t classes[4] = {0, 0, 0, 1};
    fx_round *r = fx_round_of(4, 2, probs, 2, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 4, classes, probs, origin);
    return r;
}

Test(coreset_cb, picks_the_worked_example)
{
    static fx_picks p;
    fx_round *r = example();
    fx_select(r, &coreset_cb_impl, &strong, 2, 1, &p);
    cr_assert(p.ids[0] == 40 && p.ids[1] == 30);
    cr_assert_float_eq(p.scores[0], 0, 1e-6);
    cr_assert_float_eq(p.scores[1], -.623106, 1e-6);
    fx_round_free(r);
}

Test(coreset_cb, without_weight_is_k_center)
{
    static fx_picks p;
    const options none = {0, 0};
    fx_round *r = example();
    fx_select(r, &coreset_cb_impl, &none, 3, 1, &p);
    cr_assert(p.ids[0] == 30 && p.ids[1] == 40 && p.ids[2] == 10);
    fx_round_free(r);
}

Test(coreset_cb, does_not_mind_the_scale_of_the_features_when_told)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &coreset_cb_impl, &scaled, 40, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &coreset_cb_impl, &scaled, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

static void probs_of(const fx_round *r, int64_t i, double *p)
{
    double sum = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
    for (int64_t c = 0; c < r->c; c++)
        sum += p[c];
    for (int64_t c = 0; c < r->c; c++)
        p[c] /= sum; /* what is equal but for rounding is to be equal */
}

/* The two lines of the header, everything computed at every pick. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *x = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    const double lambda = opt->lambda >= 0 ? opt->lambda : r->c == 10 ? 5 : r->c == 100 ? 50 : 20;
    double *m = malloc((size_t)x->n * sizeof *m), *need = malloc((size_t)r->c * sizeof *need), scale = 1, sum = 0;
    double *p = malloc((size_t)r->c * sizeof *p);
    (void)host;
    for (int64_t k = 0; k < r->c; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < l->n; i++)
            n += l->classes[i] == k;
        need[k] = fmax(0, (double)((l->n + b) / r->c - n));
    }
    for (int64_t i = 0; i < x->n; i++) {
        m[i] = INFINITY;
        for (int64_t j = 0; j < l->n; j++)
            m[i] = fmin(m[i], sqrt(dal_squared_distance(x->features + i * r->d, l->features + j * r->d, r->d)));
        sum += m[i];
    }
    if (opt->scaled && l->n > 0 && sum > 0)
        scale = x->n / sum;
    for (int64_t k = 0; k < b; k++) {
        double least = 0;
        rows[k] = -1;
        for (int64_t i = 0; i < x->n; i++) {
            double value = isinf(m[i]) ? 0 : -m[i] * scale;
            probs_of(r, i, p);
            for (int64_t c = 0; c < r->c; c++)
                value += lambda / r->c * fabs(need[c] - p[c]);
            if (m[i] >= 0 && (rows[k] < 0 || value < least - 1e-9 * fabs(least))) {
                rows[k] = i;
                least = value;
            }
        }
        probs_of(r, rows[k], p);
        for (int64_t c = 0; c < r->c; c++)
            need[c] -= p[c];
        for (int64_t i = 0; i < x->n; i++)
            m[i] =
                fmin(m[i], sqrt(dal_squared_distance(x->features + i * r->d, x->features + rows[k] * r->d, r->d)));
        m[rows[k]] = -1;
    }
    free(m);
    free(need);
    free(p);
    return b;
}

Test(coreset_cb, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&coreset_cb_impl, &plain, twin, fx_shapes, fx_n_shapes, 100);
    fx_twin_agrees(&coreset_cb_impl, &scaled, twin, fx_shapes, fx_n_shapes, 100);
}

Test(coreset_cb, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&coreset_cb_impl, &plain, &fx_shapes[1], 40);
}

Test(coreset_cb, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &coreset_cb_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 40 are not finite"), "%s", p.err.text);
    fx_round_free(r);
}

Test(coreset_cb, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&coreset_cb_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&coreset_cb_impl, &plain, &fx_shapes[2], 5);
}
