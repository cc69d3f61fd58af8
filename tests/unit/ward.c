/* Ward's tree against its definition: all pairs looked at for every merge. */
#include "tests/unit/fixture.h"

#include <dal/ward.h>
#include <math.h>

enum { MOST = 200 };

static void mean_of(const float *x, int64_t d, const char *in, int64_t n, double *c)
{
    int64_t size = 0;
    memset(c, 0, (size_t)d * sizeof *c);
    for (int64_t i = 0; i < n; i++)
        if (in[i]) {
            size++;
            for (int64_t j = 0; j < d; j++)
                c[j] += (double)x[i * d + j];
        }
    for (int64_t j = 0; j < d; j++)
        c[j] /= (double)size;
}

/* Members of each node as a row of flags. */
static void twin(const float *x, int64_t n, int64_t d, char (*in)[MOST], double *cost)
{
    static char gone[2 * MOST];
    static double c[2 * MOST][140], size[2 * MOST];
    memset(gone, 0, sizeof gone);
    for (int64_t i = 0; i < n; i++) {
        memset(in[i], 0, MOST);
        in[i][i] = 1;
        size[i] = 1;
        mean_of(x, d, in[i], n, c[i]);
    }
    for (int64_t v = n; v < 2 * n - 1; v++) {
        int64_t a = -1, b = -1;
        cost[v - n] = INFINITY;
        for (int64_t i = 0; i < v; i++)
            for (int64_t j = i + 1; !gone[i] && j < v; j++) {
                double sum = 0;
                for (int64_t k = 0; !gone[j] && k < d; k++)
                    sum += (c[i][k] - c[j][k]) * (c[i][k] - c[j][k]);
                sum *= size[i] * size[j] / (size[i] + size[j]);
                if (!gone[j] && sum < cost[v - n]) {
                    cost[v - n] = sum;
                    a = i;
                    b = j;
                }
            }
        gone[a] = gone[b] = 1;
        for (int64_t i = 0; i < n; i++)
            in[v][i] = in[a][i] || in[b][i];
        size[v] = size[a] + size[b];
        mean_of(x, d, in[v], n, c[v]);
    }
}

Test(ward, merges_what_the_definition_merges)
{
    static const int64_t shapes[][2] = {{1, 3}, {2, 1}, {3, 2}, {40, 1}, {100, 5}, {200, 17}, {150, 33},
                                        {120, 128}, {90, 131}};
    static char want[2 * MOST][MOST], got[2 * MOST][MOST];
    static double want_cost[MOST], cost[MOST];
    static int64_t left[MOST], right[MOST];
    static float x[MOST * 140];
    for (int s = 0; s < 9; s++) {
        const int64_t n = shapes[s][0], d = shapes[s][1];
        dal_rng r = dal_rng_from_key((uint64_t)s);
        for (int64_t i = 0; i < n * d; i++)
            x[i] = (float)(dal_rng_normal(&r) + 3 * (double)dal_rng_below(&r, 3));
        twin(x, n, d, want, want_cost);
        for (int32_t threads = 1; threads <= 4; threads += 3) {
            dal_runtime *rt = fx_runtime(threads, 1);
            const dal_matrix m = {x, n, d, d};
            cr_assert_eq(dal_ward(dal_runtime_host(rt, "t"), &m, left, right, cost, NULL), DAL_OK);
            cr_assert_eq(dal_runtime_allocated(rt), 0);
            dal_runtime_free(rt);
            memset(got, 0, sizeof got);
            for (int64_t v = 0; v < 2 * n - 1; v++)
                for (int64_t i = 0; i < n; i++)
                    got[v][i] = v < n ? v == i : got[left[v - n]][i] || got[right[v - n]][i];
            for (int64_t k = 0; k < n - 1; k++) {
                cr_assert_float_eq(cost[k], want_cost[k], 1e-9 * (1 + want_cost[k]));
                cr_assert(left[k] < right[k] && right[k] < n + k);
                cr_assert_eq(memcmp(got[n + k], want[n + k], (size_t)n), 0, "shape %d: merge %d differs", s, (int)k);
            }
        }
    }
}

Test(ward, is_a_tree_of_every_sample_when_all_are_alike)
{
    enum { N = 50 };
    static float x[N * 2];
    int64_t left[N], right[N], seen[2 * N] = {0};
    double cost[N];
    const dal_matrix m = {x, N, 2, 2};
    dal_runtime *rt = fx_runtime(2, 1);
    cr_assert_eq(dal_ward(dal_runtime_host(rt, "t"), &m, left, right, cost, NULL), DAL_OK);
    for (int k = 0; k < N - 1; k++) {
        cr_assert(cost[k] == 0 && left[k] < right[k] && right[k] < N + k);
        seen[left[k]]++;
        seen[right[k]]++;
    }
    for (int v = 0; v < 2 * N - 2; v++)
        cr_assert_eq(seen[v], 1);
    dal_runtime_free(rt);
}

Test(ward, says_when_features_are_not_finite)
{
    const float x[4] = {1, NAN, 2, 3};
    int64_t left[3], right[3];
    double cost[3];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_matrix m = {x, 2, 2, 2};
    fx_expect(&err, dal_ward(dal_runtime_host(rt, "t"), &m, left, right, cost, &err), DAL_E_INVALID, "", "not finite");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* A column of zeros makes enough features for shadows; without it every distance is computed. */
Test(ward, is_the_same_with_shadows_and_without)
{
    enum { N = 707, D = 128 };
    static float x[N * D];
    static int64_t left[2][N], right[2][N];
    static double cost[2][N];
    dal_rng r = dal_rng_from_key(5);
    for (int64_t i = 0; i < N; i++) {
        const int64_t centre = dal_rng_below(&r, 9);
        for (int64_t k = 0; k < D - 1; k++)
            x[i * D + k] = (float)((k < 40 ? 3 : 0.1) * dal_rng_normal(&r) + (double)(centre * k % 7));
    }
    for (int64_t i = 100; i < 130; i++) /* some are there twice */
        memcpy(x + i * D, x + (i + 300) * D, D * sizeof *x);
    for (int k = 0; k < 2; k++) {
        dal_runtime *rt = fx_runtime(2, 1);
        const dal_matrix m = {x, N, D - k, D};
        cr_assert_eq(dal_ward(dal_runtime_host(rt, "t"), &m, left[k], right[k], cost[k], NULL), DAL_OK);
        dal_runtime_free(rt);
    }
    cr_assert_arr_eq(left[0], left[1], (N - 1) * sizeof **left);
    cr_assert_arr_eq(right[0], right[1], (N - 1) * sizeof **right);
    cr_assert_arr_eq(cost[0], cost[1], (N - 1) * sizeof **cost);
}

