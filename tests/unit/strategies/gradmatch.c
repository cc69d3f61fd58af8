/* gradmatch through its table, and its loop on the worked example. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/gradmatch.c"

static const options plain = {TARGET_POOL, 1}, unbiased = {TARGET_POOL, 0}, validated = {1, 1};

Test(gradmatch, picks_the_worked_example)
{
    const float x[8] = {1, 0, 0, 1, -.5f, .5f, .6f, .6f};
    const dal_gradients g = {.struct_size = sizeof g, .features = {x, 4, 2, 2}}; /* plain vectors */
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_error err = DAL_ERROR_INIT;
    float *t;
    int64_t rows[2];
    double scores[2];
    cr_assert_eq(make_target(host, &g, NULL, 2, &t, &err), DAL_OK);
    cr_assert_float_eq(t[0], .55, 1e-6);
    cr_assert_float_eq(t[1], 1.05, 1e-6);
    cr_assert_eq(match(host, &g, t, 2, rows, scores, &err), DAL_OK);
    cr_assert(rows[0] == 3 && rows[1] == 2);
    cr_assert_float_eq(scores[0], .452769, 1e-6);
    cr_assert_float_eq(scores[1], .452769, 1e-6);
    host->free(host, t);
    dal_runtime_free(rt);
}

/* g of a row as the matrix it is; label -1: the predicted class. */
static double *slow_gradient(const fx_round *r, uint32_t set, int64_t i, int32_t label, int bias)
{
    double *g = malloc((size_t)(r->c * (r->d + 1)) * sizeof *g), *a = malloc((size_t)r->c * sizeof *a), rest = 0;
    const float *z = r->set[set].outputs + i * r->c;
    int64_t y = 0;
    fx_probs(r, set, i, a);
    for (int64_t k = 1; k < r->c; k++)
        y = z[k] > z[y] ? k : y;
    for (int64_t k = 0; k < r->c; k++)
        rest += k == y ? 0 : a[k];
    a[y] = -rest;
    a[y] += label >= 0;
    if (label >= 0)
        a[label] -= 1;
    for (int64_t k = 0; k < r->c; k++)
        for (int64_t j = 0; j <= r->d; j++)
            g[k * (r->d + 1) + j] = a[k] * (j < r->d ? r->set[set].features[i * r->d + j] : bias);
    free(a);
    return g;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const uint32_t set = opt->target == TARGET_POOL ? DAL_ROWS_CANDIDATES : DAL_ROWS_VALIDATION;
    const int64_t n = r->set[0].n, width = r->c * (r->d + 1), m = r->set[set].n;
    double **g = malloc((size_t)n * sizeof *g), *rest = calloc((size_t)width, sizeof *rest);
    (void)host;
    for (int64_t i = 0; i < n; i++)
        g[i] = slow_gradient(r, DAL_ROWS_CANDIDATES, i, -1, opt->bias);
    for (int64_t i = 0; i < m; i++) {
        double *t = slow_gradient(r, set, i, opt->target == TARGET_POOL ? -1 : r->set[set].classes[i], opt->bias);
        for (int64_t k = 0; k < width; k++)
            rest[k] += t[k] * b / m;
        free(t);
    }
    for (int64_t j = 0; j < b; j++) {
        double least = 0;
        rows[j] = -1;
        for (int64_t i = 0; i < n; i++) {
            double square = 0; /* ||g - r||^2 - ||r||^2, so that the smallest of gradients still count */
            for (int64_t k = 0; g[i] && k < width; k++)
                square += g[i][k] * g[i][k] - 2 * g[i][k] * rest[k];
            if (g[i] && (rows[j] < 0 || square < least)) {
                least = square;
                rows[j] = i;
            }
        }
        for (int64_t k = 0; k < width; k++)
            rest[k] -= g[rows[j]][k];
        free(g[rows[j]]);
        g[rows[j]] = NULL;
    }
    for (int64_t i = 0; i < n; i++)
        free(g[i]);
    free(g);
    free(rest);
    return b;
}

Test(gradmatch, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&gradmatch_impl, &plain, twin, fx_shapes, fx_n_shapes, 30);
    fx_twin_agrees(&gradmatch_impl, &unbiased, twin, fx_shapes, 4, 30);
}

Test(gradmatch, matches_validation_data_with_its_true_labels)
{
    static fx_picks p;
    int64_t want[20];
    fx_round *r = fx_round_random(&fx_shapes[1]), *other = fx_round_random(&fx_shapes[1]);
    const fx_rows *l = &other->set[DAL_ROWS_LABELLED];
    fx_try(r, &gradmatch_impl, &validated, 20, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.key, "target");
    fx_round_add(r, DAL_ROWS_VALIDATION, l->n, l->classes, l->outputs, l->features);
    fx_select(r, &gradmatch_impl, &validated, 20, 1, &p);
    twin(r, NULL, &validated, 20, want);
    cr_assert_arr_eq(p.rows, want, sizeof want);
    fx_round_free(r);
    fx_round_free(other);
}

Test(gradmatch, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&gradmatch_impl, &plain, &fx_shapes[1], 40);
}

Test(gradmatch, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &gradmatch_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "output 0 of sample 40 is"), "%s", p.err.text);
    fx_round_free(r);
}

Test(gradmatch, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&gradmatch_impl, &plain, &fx_shapes[0], 5);
}
