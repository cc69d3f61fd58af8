/* k-DPPs: the probabilities of the specification's example and of others, counted. */
#include "tests/unit/fixture.h"

#include <dal/dpp.h>
#include <dal/symmetric.h>
#include <math.h>

#define N 4

static const double quality[N] = {1, .9, .8, .5};
static const double similarity[N][N] = {{1, .8, .3, .1}, {.8, 1, .4, .2}, {.3, .4, 1, .6}, {.1, .2, .6, 1}};

/* Rows whose products are S, by elimination. */
static void vectors(float x[N][N])
{
    double l[N][N] = {{0}};
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double sum = similarity[i][j];
            for (int k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            x[i][j] = (float)l[i][j];
}

static dal_points measured(const dal_host *host, const float *x, int64_t n, int64_t d)
{
    dal_error err = DAL_ERROR_INIT;
    dal_points p = {.struct_size = sizeof p, .x = {x, n, d, d}};
    cr_assert_eq(dal_points_measure(host, &p, "x", NULL, &err), DAL_OK, "%s", err.text);
    return p;
}

Test(dpp, greedy_picks_the_worked_example)
{
    float x[N][N];
    int64_t picks[3], n;
    double gain[3];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    vectors(x);
    dal_points p = measured(host, x[0], N, N);
    const dal_dpp d = {.struct_size = sizeof d, .similarity = {DAL_DOT, 0, 0}, .points = &p, .quality = quality};
    cr_assert_eq(dal_dpp_map(host, &d, 3, picks, gain, &n, &err), DAL_OK, "%s", err.text);
    cr_assert(n == 3 && picks[0] == 0 && picks[1] == 2 && picks[2] == 1);
    cr_assert_float_eq(gain[0], 0, 1e-6);
    cr_assert_float_eq(gain[1], -.540598, 1e-5);
    cr_assert_float_eq(gain[2], -1.313739, 1e-5);
    dal_points_free(host, &p);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(dpp, symmetric_polynomials_are_those_of_the_worked_example)
{
    double l[N * N], values[N], logs[N], e[3 * (N + 1)];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            l[i * N + j] = quality[i] * similarity[i][j] * quality[j];
    cr_assert_eq(dal_eigen(dal_runtime_host(rt, "test"), N, l, values, &err), DAL_OK);
    for (int i = 0; i < N; i++)
        logs[i] = log(values[i]);
    dal_log_symmetric(logs, N, 2, e);
    cr_assert_float_eq(exp(e[2 * (N + 1) + N]), 1.853756, 1e-6);
    cr_assert(isinf(e[N + 1]) && e[0] == 0);
    dal_runtime_free(rt);
}

/* Pairs counted over many draws against the given probabilities: chi-squared, which stays below its mean plus six
 * standard deviations but once in a hundred million times. */
static void counts_agree(const dal_host *host, const dal_dpp *d, const double *want, const char *what)
{
    enum { DRAWS = 20000 };
    const int64_t m = d->points->x.rows;
    int64_t *count = calloc((size_t)(m * m), sizeof *count), cells = 0;
    const dal_rng base = dal_rng_from_key(7);
    double chi = 0;
    for (uint64_t t = 0; t < DRAWS; t++) {
        int64_t picks[2], n;
        dal_error err = DAL_ERROR_INIT;
        const dal_rng rng = dal_rng_at(&base, t);
        cr_assert_eq(dal_dpp_sample(host, d, 2, &rng, picks, &n, &err), DAL_OK, "%s", err.text);
        cr_assert(n == 2 && picks[0] != picks[1]);
        count[picks[0] < picks[1] ? picks[0] * m + picks[1] : picks[1] * m + picks[0]]++;
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = i + 1; j < m; j++, cells++) {
            const double mean = DRAWS * want[i * m + j], off = (double)count[i * m + j] - mean;
            chi += off * off / mean;
        }
    cr_assert_lt(chi, (double)(cells - 1) + 6 * sqrt(2 * (double)(cells - 1)),
                 "%s: chi-squared %.1f for %lld cells", what, chi, (long long)cells);
    free(count);
}

Test(dpp, draws_pairs_as_often_as_the_worked_example_says)
{
    float x[N][N];
    static const double want[N * N] = {0, .157302, .314173, .133513, 0, 0, .234905, .104868, 0, 0, 0, .055239};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    vectors(x);
    dal_points p = measured(host, x[0], N, N);
    const dal_dpp d = {.struct_size = sizeof d, .similarity = {DAL_DOT, 0, 0}, .points = &p, .quality = quality};
    counts_agree(host, &d, want, "example");
    dal_points_free(host, &p);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* More rows than dimensions: the dual kernel for cosine and dot, the kernel itself for rbf. */
Test(dpp, draws_pairs_in_proportion_to_their_determinants)
{
    enum { M = 7 };
    static const float x[M][2] = {{1, 0}, {1, .5f}, {0, 1}, {-1, 1}, {.3f, -1}, {2, 2}, {-1, -.2f}};
    static const double q[M] = {1, .5, 1.5, 1, 2, .7, 1};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_points p = measured(host, x[0], M, 2);
    for (uint32_t kind = 0; kind < 3; kind++) {
        const dal_dpp d = {.struct_size = sizeof d, .similarity = {kind, 0, 1.3}, .points = &p, .quality = q};
        double want[M * M] = {0}, sum = 0;
        for (int i = 0; i < M; i++)
            for (int j = i + 1; j < M; j++) {
                const double ii = dal_alike(&d.similarity, &p, i, &p, i),
                             jj = dal_alike(&d.similarity, &p, j, &p, j);
                const double ij = dal_alike(&d.similarity, &p, i, &p, j);
                sum += want[i * M + j] = q[i] * q[i] * q[j] * q[j] * (ii * jj - ij * ij);
            }
        for (int i = 0; i < M * M; i++)
            want[i] /= sum;
        counts_agree(host, &d, want, kind == DAL_COSINE ? "cosine" : kind == DAL_RBF ? "rbf" : "dot");
    }
    dal_points_free(host, &p);
    dal_runtime_free(rt);
}

Test(dpp, stays_finite_for_large_sets_of_extreme_quality)
{
    enum { M = 400, D = 300 };
    static float x[M * D];
    static double q[M];
    int64_t picks[250], n;
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_rng r = dal_rng_from_key(3);
    for (int i = 0; i < M * D; i++)
        x[i] = (float)dal_rng_normal(&r);
    for (int i = 0; i < M; i++)
        q[i] = i % 2 ? 1e3 : 1;
    dal_points p = measured(host, x, M, D);
    const dal_dpp d = {.struct_size = sizeof d, .similarity = {DAL_COSINE, 0, 0}, .points = &p, .quality = q};
    cr_assert_eq(dal_dpp_sample(host, &d, 250, &r, picks, &n, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(n, 250);
    int good = 0;
    for (int i = 0; i < 250; i++)
        good += picks[i] % 2;
    cr_assert_geq(good, 190, "only %d of 250 are of the better half", good);
    dal_points_free(host, &p);
    dal_runtime_free(rt);
}
