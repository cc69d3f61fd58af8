/* graph-density through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/graph_density.c"

static const options usual = {10, 0}, sharp = {3, 2};

static const float *row_of(const fx_round *r, int64_t i)
{
    const int64_t n = r->set[0].n;
    return i < n ? r->set[0].features + i * r->d : r->set[DAL_ROWS_LABELLED].features + (i - n) * r->d;
}

/* [all, all] */
static double *distances(const fx_round *r, int64_t all)
{
    double *apart = calloc(all * all, sizeof *apart);
    for (int64_t i = 0; i < all; i++)
        for (int64_t j = 0; j < all; j++)
            for (int64_t k = 0; k < r->d; k++)
                apart[i * all + j] += fabs((double)row_of(r, i)[k] - (double)row_of(r, j)[k]);
    return apart;
}

/* Is j among the k nearest of i? Equal distances: the lower first. */
static int is_one_of(const double *apart, int64_t all, int64_t i, int64_t j, int64_t k)
{
    const double *from = apart + i * all;
    int64_t nearer = 0;
    for (int64_t o = 0; o < all; o++)
        nearer += o != i && o != j && (from[o] < from[j] || (from[o] == from[j] && o < j));
    return i != j && nearer < k;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[0].n, all = n + r->set[DAL_ROWS_LABELLED].n;
    const double gamma = opt->gamma > 0 ? opt->gamma : 1 / (double)r->d;
    double *density = calloc(all, sizeof *density), *apart = distances(r, all);
    char *joined = calloc(all * all, 1), *picked = calloc(n, 1);
    (void)host;
    for (int64_t i = 0; i < all; i++)
        for (int64_t j = 0; j < all; j++)
            if (is_one_of(apart, all, i, j, opt->neighbours))
                joined[i * all + j] = joined[j * all + i] = 1;
    for (int64_t i = 0; i < all; i++) {
        int64_t many = 0;
        for (int64_t j = 0; j < all; j++)
            if (joined[i * all + j]) {
                density[i] += exp(-gamma * (double)(float)apart[i * all + j]);
                many++;
            }
        density[i] /= many > 0 ? (double)many : 1;
    }
    for (int64_t p = 0; p < b; p++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!picked[i] && (best < 0 || density[i] > density[best]))
                best = i;
        const double most = density[best];
        for (int64_t j = 0; j < all; j++)
            density[j] -= joined[best * all + j] ? most : 0;
        picked[best] = 1;
        rows[p] = best;
    }
    free(density);
    free(apart);
    free(joined);
    free(picked);
    return b;
}

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0}, {2, 100, 30, 0, 10, 16, 0, FX_LOGITS}, {3, 77, 0, 0, 2, 3, 0, 0},
    {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES}, {9, 3, 2, 0, 2, 2, 0, 0}, {10, 1, 1, 0, 3, 4, 0, 0},
    {11, 1, 0, 0, 3, 4, 0, 0}, {12, 130, 9, 0, 3, 33, 0, 0},
};

Test(graph_density, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&graph_density_impl, &usual, twin, shapes, sizeof shapes / sizeof *shapes, 0);
    fx_twin_agrees(&graph_density_impl, &sharp, twin, shapes, sizeof shapes / sizeof *shapes, 0);
}

Test(graph_density, agrees_with_the_worked_example)
{
    static const float x[6] = {0, .1f, .2f, 1, 1.1f, 5};
    static fx_picks p;
    const options opt = {2, 1};
    fx_round *r = fx_round_of(6, 0, NULL, 1, x);
    fx_select(r, &graph_density_impl, &opt, 3, 1, &p);
    cr_assert(p.ids[0] == 20 && p.ids[1] == 40 && p.ids[2] == 50);
    cr_assert_float_eq(p.scores[0], .904837, 1e-6);
    cr_assert_float_eq(p.scores[1], .457494, 1e-6);
    cr_assert_float_eq(p.scores[2], .443883 - .457494, 1e-6);
    fx_round_free(r);
}

Test(graph_density, counts_labelled_samples_as_neighbours_and_never_picks_them)
{
    static const float x[3] = {0, 10, 10.5f}, at[2] = {.1f, .2f};
    static fx_picks p;
    const options opt = {2, 1};
    fx_round *r = fx_round_of(3, 0, NULL, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 2, NULL, NULL, at);
    fx_select(r, &graph_density_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.ids[0], 10);
    fx_round_free(r);
}

Test(graph_density, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&graph_density_impl, &usual, &shapes[1], 30);
}

Test(graph_density, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&graph_density_impl, &usual, &shapes[0], 5);
}
