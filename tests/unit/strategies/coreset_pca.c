/* coreset-pca through its table. */
#include "tests/unit/strategies/round.h"

#include <dal/symmetric.h>
#include <math.h>

#include "plugins/strategies/coreset_pca.c"

static const options two = {2}, five = {5}, many = {50};

/* Row i of candidates and labelled samples together. */
static const float *row_of(const fx_round *r, int64_t i)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    return i < n ? r->set[DAL_ROWS_CANDIDATES].features + i * r->d
                 : r->set[DAL_ROWS_LABELLED].features + (i - n) * r->d;
}

/* All rows on the k main directions of their covariance; as they are where d <= k. */
static double *projected(const fx_round *r, const dal_host *host, int64_t all, int64_t k)
{
    const int64_t d = r->d, width = d > k ? k : d;
    double *out = malloc(all * width * sizeof *out), *mean = calloc(d, sizeof *mean);
    double *cov = calloc(d * d, sizeof *cov), *values = malloc(d * sizeof *values);
    for (int64_t i = 0; i < all; i++)
        for (int64_t f = 0; f < d; f++)
            mean[f] += (double)row_of(r, i)[f] / (double)all;
    for (int64_t i = 0; i < all; i++)
        for (int64_t f = 0; f < d; f++)
            for (int64_t g = 0; g < d; g++)
                cov[f * d + g] += ((double)row_of(r, i)[f] - mean[f]) * ((double)row_of(r, i)[g] - mean[g]) /
                                  (double)all;
    cr_assert_eq(dal_eigen(host, d, cov, values, NULL), DAL_OK);
    for (int64_t i = 0; i < all; i++)
        for (int64_t c = 0; c < width; c++) {
            double sum = d > k ? 0 : (double)row_of(r, i)[c];
            for (int64_t f = 0; d > k && f < d; f++)
                sum += ((double)row_of(r, i)[f] - mean[f]) * cov[(d - 1 - c) * d + f];
            out[i * width + c] = sum;
        }
    free(mean);
    free(cov);
    free(values);
    return out;
}

static double apart(const double *x, const double *y, int64_t d)
{
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += (x[k] - y[k]) * (x[k] - y[k]);
    return sum;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n, all = n + r->set[DAL_ROWS_LABELLED].n;
    const int64_t k = ((const options *)opt)->components, d = r->d > k ? k : r->d;
    double *x = projected(r, host, all, k), *m = malloc(n * sizeof *m);
    for (int64_t i = 0; i < n; i++) {
        m[i] = INFINITY;
        for (int64_t j = n; j < all; j++)
            m[i] = fmin(m[i], apart(x + i * d, x + j * d, d));
    }
    for (int64_t p = 0; p < b; p++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (m[i] >= 0 && (best < 0 || m[i] > m[best]))
                best = i;
        rows[p] = best;
        for (int64_t i = 0; i < n; i++)
            m[i] = fmin(m[i], apart(x + i * d, x + best * d, d));
        m[best] = -1;
    }
    free(x);
    free(m);
    return b;
}

Test(coreset_pca, picks_what_its_slow_twin_picks)
{
    /* where two picks are left that differ by rounding alone there is nothing to agree on: at most 40 */
    const options *all[] = {&two, &five, &many};
    for (int i = 0; i < 3; i++)
        fx_twin_agrees(&coreset_pca_impl, all[i], twin, fx_shapes, fx_n_shapes, 20);
}

/* Spread along the first axis, a little along the second, and one component: the second does not count. */
Test(coreset_pca, does_not_see_what_varies_least)
{
    static const float x[8] = {0, 0, 100, 0, 50, 3, 49, -3};
    static fx_picks p;
    const options one = {1};
    fx_round *r = fx_round_of(4, 0, NULL, 2, x);
    fx_select(r, &coreset_pca_impl, &one, 3, 1, &p);
    cr_assert(p.ids[0] == 10 && p.ids[1] == 20 && p.ids[2] == 30);
    cr_assert_float_eq(p.scores[2], 50, 0.5);
    fx_round_free(r);
}

/* The example of coreset: features narrower than the components are left alone. */
Test(coreset_pca, is_coreset_where_there_is_nothing_to_project)
{
    static const float pool[8] = {1, 0, 4, 0, 4, 1, 0, 3}, origin[2] = {0, 0};
    static fx_picks p;
    fx_round *r = fx_round_of(4, 0, NULL, 2, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, NULL, origin);
    fx_select(r, &coreset_pca_impl, &many, 3, 1, &p);
    cr_assert(p.ids[0] == 30 && p.ids[1] == 40 && p.ids[2] == 10);
    fx_round_free(r);
}

Test(coreset_pca, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&coreset_pca_impl, &five, &fx_shapes[1], 40);
}

Test(coreset_pca, never_picks_two_that_are_alike)
{
    fx_duplicates_stay_apart(&coreset_pca_impl, &five, &fx_shapes[3], 30);
}

Test(coreset_pca, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&coreset_pca_impl, &two, &fx_shapes[0], 5);
}
