/* Trees against plain recursion over every split, forests against their trees. */
#include "tests/unit/fixture.h"

#include <dal/forest.h>
#include <math.h>

enum { N = 60, D = 4 };

static void draw(uint64_t seed, float *x, double *y, int64_t n, int classes)
{
    dal_rng r = dal_rng_from_key(seed);
    for (int64_t i = 0; i < n * D; i++)
        /* some are equal */
        x[i] = (float)(dal_rng_below(&r, 3) ? dal_rng_normal(&r) : (double)dal_rng_below(&r, 4));
    for (int64_t i = 0; i < n; i++) {
        y[i] = (double)x[i * D] * (double)x[i * D + 1] + 0.3 * dal_rng_normal(&r);
        if (classes)
            y[i] = y[i] > 0;
    }
}

static double deviation(const double *y, const int *in, const float *x, int f, double at, int side, int *n)
{
    double sum = 0, squares = 0;
    *n = 0;
    for (int i = 0; i < N; i++)
        if (in[i] && (f < 0 || ((double)x[i * D + f] <= at) == (side == 0))) {
            sum += y[i];
            (*n)++;
        }
    for (int i = 0; i < N; i++)
        if (in[i] && (f < 0 || ((double)x[i * D + f] <= at) == (side == 0)))
            squares += (y[i] - sum / *n) * (y[i] - sum / *n);
    return squares;
}

/* What a tree on the rows `in` says of row q. Every feature, every value of a row as a threshold. */
static double slow(const float *x, const double *y, const int *in, const float *q, int d, int depth, int max_depth,
                   int min_leaf)
{
    int n, a, b, best_f = -1;
    double sum = 0, best = 0, best_at = 0;
    const double all = deviation(y, in, x, -1, 0, 0, &n);
    for (int i = 0; i < N; i++)
        sum += in[i] ? y[i] : 0;
    for (int f = 0; depth < max_depth && all > 1e-9 && f < d; f++)
        for (int i = 0; i < N; i++) {
            const double at = (double)x[i * D + f];
            if (!in[i])
                continue;
            const double left = deviation(y, in, x, f, at, 0, &a), right = deviation(y, in, x, f, at, 1, &b);
            if (a >= min_leaf && b >= min_leaf && all - left - right > best + 1e-9) {
                best = all - left - right;
                best_f = f;
                best_at = at;
            }
        }
    if (best_f < 0)
        return sum / n;
    double next = INFINITY; /* the threshold is halfway to the next value */
    for (int i = 0; i < N; i++)
        if (in[i] && (double)x[i * D + best_f] > best_at)
            next = fmin(next, (double)x[i * D + best_f]);
    const int side = (double)q[best_f] > (best_at + next) / 2;
    int part[N];
    for (int i = 0; i < N; i++)
        part[i] = in[i] && ((double)x[i * D + best_f] > best_at) == side;
    return slow(x, y, part, q, d, depth + 1, max_depth, min_leaf);
}

Test(forest, grows_the_tree_that_looking_at_every_split_grows)
{
    static float x[N * D], q[N * D];
    static double y[N], unused[N];
    dal_runtime *rt = fx_runtime(2, 1);
    for (int turn = 0; turn < 12; turn++) {
        /* features that part a node's rows alike tie, and only their order decides where a new row goes: new rows are
         * compared where there is one feature, the rows themselves always */
        const int d = turn % 3 == 0 ? 1 : D;
        const dal_forest_spec spec = {sizeof spec, 0, 1, turn % 2 ? 50 : 3, d, turn < 6 ? 1 : 6};
        const dal_matrix m = {x, N, d, D};
        const dal_rng stream = dal_rng_from_key(9);
        int in[N];
        dal_forest *f;
        draw((uint64_t)turn, x, y, N, 0);
        draw((uint64_t)turn + 100, q, unused, N, 0);
        cr_assert_eq(dal_forest_grow(dal_runtime_host(rt, "t"), &spec, &m, y, &stream, &f, NULL), DAL_OK);
        for (int i = 0; i < N; i++)
            in[i] = 1;
        for (int i = 0; i < N; i++) {
            const float *row = d == 1 ? q + i * D : x + i * D;
            cr_assert_float_eq(dal_forest_predict(f, row, NULL),
                               slow(x, y, in, row, d, 0, (int)spec.max_depth, (int)spec.min_leaf), 1e-9,
                               "turn %d, row %d", turn, i);
            if (turn % 2 && spec.min_leaf == 1 && d == D)
                cr_assert_float_eq(dal_forest_predict(f, x + i * D, NULL), y[i], 1e-9);
        }
        cr_assert_leq(dal_forest_depth(f), (double)spec.max_depth);
        dal_forest_free(f);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(forest, is_the_same_with_any_number_of_threads_and_the_mean_of_its_trees)
{
    static float x[N * D];
    static double y[N], oob[2][N], share[2][D];
    double mean[2][N], dev[2][N], depth[2];
    const dal_matrix m = {x, N, D, D};
    const dal_rng stream = dal_rng_from_key(4);
    draw(7, x, y, N, 1);
    for (int k = 0; k < 2; k++) {
        dal_runtime *rt = fx_runtime(k ? 4 : 1, 1);
        const dal_forest_spec spec = {sizeof spec, 1, 40, 20, 2, 1};
        dal_forest *f;
        cr_assert_eq(dal_forest_grow(dal_runtime_host(rt, "t"), &spec, &m, y, &stream, &f, NULL), DAL_OK);
        for (int i = 0; i < N; i++) {
            mean[k][i] = dal_forest_predict(f, x + i * D, &dev[k][i]);
            cr_assert(mean[k][i] >= 0 && mean[k][i] <= 1);
            /* trees to the end on rows that all differ: each says 0 or 1 */
            cr_assert_float_eq(dev[k][i] * dev[k][i], mean[k][i] * (1 - mean[k][i]), 1e-9);
        }
        dal_forest_out_of_bag(f, &m, oob[k]);
        dal_forest_importance(f, share[k]);
        depth[k] = dal_forest_depth(f);
        dal_forest_free(f);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    cr_assert_eq(memcmp(mean[0], mean[1], sizeof mean[0]), 0);
    cr_assert_eq(memcmp(dev[0], dev[1], sizeof dev[0]), 0);
    cr_assert_eq(memcmp(oob[0], oob[1], sizeof oob[0]), 0);
    cr_assert_eq(memcmp(share[0], share[1], sizeof share[0]), 0);
    cr_assert(depth[0] == depth[1] && depth[0] > 2);
    /* x0 x1 makes the class: these two matter; and rows not drawn are mostly classed right */
    cr_assert_gt(share[0][0] + share[0][1], 0.6);
    int right = 0;
    for (int i = 0; i < N; i++)
        right += (oob[0][i] > 0.5) == (y[i] > 0.5);
    cr_assert_geq(right, 40, "%d of %d", right, N);
}

Test(forest, of_equal_rows_is_their_mean)
{
    static float x[N * D];
    static double y[N];
    double dev;
    const dal_matrix m = {x, N, D, D};
    const dal_rng stream = dal_rng_from_key(4);
    const dal_forest_spec spec = {sizeof spec, 0, 3, 20, D, 1};
    dal_runtime *rt = fx_runtime(2, 1);
    dal_forest *f;
    for (int i = 0; i < N; i++)
        y[i] = i;
    cr_assert_eq(dal_forest_grow(dal_runtime_host(rt, "t"), &spec, &m, y, &stream, &f, NULL), DAL_OK);
    cr_assert_float_eq(dal_forest_predict(f, x, &dev), (N - 1) / 2., 1e-9);
    cr_assert(dev < 1e-9 && dal_forest_depth(f) == 0);
    dal_forest_free(f);
    dal_runtime_free(rt);
}

Test(forest, refuses_what_it_cannot_grow)
{
    const float x[D] = {0};
    const double y[1] = {0};
    const dal_matrix m = {x, 1, D, D};
    const dal_rng stream = dal_rng_from_key(4);
    const dal_forest_spec spec = {sizeof spec, 1, 3, 20, D + 1, 1};
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_forest *f;
    fx_expect(&err, dal_forest_grow(dal_runtime_host(rt, "t"), &spec, &m, y, &stream, &f, &err), DAL_E_INVALID, "",
              "5 of 4 features");
    dal_runtime_free(rt);
}
