/* Programs over the box: the conditions of a minimum, and small ones by trying every combination of bounds. */
#include "tests/unit/fixture.h"

#include <dal/box_qp.h>
#include <math.h>

Test(box_project, moves_to_the_nearest_point)
{
    dal_rng r = dal_rng_from_key(5);
    for (int turn = 0; turn < 300; turn++) {
        enum { N = 12 };
        double z[N], w[N], x[N], y[N], most = 0, sum = 0, near = 0;
        const int plain = turn % 2;
        for (int i = 0; i < N; i++) {
            z[i] = (turn % 3 ? 2 : 200) * dal_rng_normal(&r);
            w[i] = plain ? 1 : dal_rng_below(&r, 4) == 0 ? 0 : dal_rng_uniform(&r);
            most += w[i];
        }
        const double total = turn % 5 == 0 ? 0 : turn % 5 == 1 ? most : most * dal_rng_uniform(&r);
        dal_box_project(N, z, plain ? NULL : w, total, x);
        for (int i = 0; i < N; i++) {
            cr_assert(x[i] >= 0 && x[i] <= 1);
            sum += w[i] * x[i];
            near += (z[i] - x[i]) * (z[i] - x[i]);
        }
        cr_assert_float_eq(sum, total, 1e-9, "turn %d: %.12g for %.12g", turn, sum, total);
        /* no other point of the set is nearer: moves of mass between two components */
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double far = 0;
                memcpy(y, x, sizeof y);
                if (w[i] <= 0 || w[j] <= 0 || i == j)
                    continue;
                const double step = fmin(1e-3, fmin((1 - x[i]) * w[i], x[j] * w[j]));
                y[i] += step / w[i];
                y[j] -= step / w[j];
                for (int k = 0; k < N; k++)
                    far += (z[k] - y[k]) * (z[k] - y[k]);
                cr_assert_geq(far, near * (1 - 1e-12) - 1e-9);
            }
    }
}

/* Minimum by brute force: every component at 0, at 1, or free; the free ones from the equations; keep the best
 * inside. */
static double brute(const double *k, int n, double s, const double *q, double total, double *best)
{
    double least = INFINITY;
    int states = 1;
    for (int i = 0; i < n; i++)
        states *= 3;
    for (int code = 0; code < states; code++) {
        int at[8], f[8], n_f = 0;
        double x[8], a[9][10], rest = total;
        for (int i = 0, c = code; i < n; i++, c /= 3) {
            at[i] = c % 3;
            x[i] = at[i] == 1;
            rest -= x[i];
            if (at[i] == 2)
                f[n_f++] = i;
        }
        if (n_f == 0 && fabs(rest) > 1e-12)
            continue;
        for (int r = 0; r <= n_f; r++) /* [s K_ff 1; 1' 0] [x; nu] = [-q - s K_fb x; rest] */
            for (int c = 0; c <= n_f; c++)
                a[r][c] = r < n_f && c < n_f ? s * k[f[r] * n + f[c]] : r != c;
        for (int r = 0; r < n_f; r++) {
            a[r][n_f + 1] = -q[f[r]];
            for (int i = 0; i < n; i++)
                a[r][n_f + 1] -= at[i] == 1 ? s * k[f[r] * n + i] : 0;
        }
        a[n_f][n_f + 1] = rest;
        int ok = 1;
        for (int c = 0; n_f > 0 && c <= n_f; c++) {
            int p = c;
            for (int r = c; r <= n_f; r++)
                p = fabs(a[r][c]) > fabs(a[p][c]) ? r : p;
            ok &= fabs(a[p][c]) > 1e-13;
            for (int j = 0; ok && j <= n_f + 1; j++) {
                const double t = a[p][j];
                a[p][j] = a[c][j];
                a[c][j] = t;
            }
            for (int r = 0; ok && r <= n_f; r++)
                for (int j = n_f + 1; r != c && j >= c; j--)
                    a[r][j] -= a[r][c] / a[c][c] * a[c][j];
        }
        for (int r = 0; ok && r < n_f; r++) {
            x[f[r]] = a[r][n_f + 1] / a[r][r];
            ok &= x[f[r]] >= -1e-12 && x[f[r]] <= 1 + 1e-12;
        }
        double value = 0;
        for (int i = 0; i < n; i++) {
            value += q[i] * x[i];
            for (int j = 0; j < n; j++)
                value += s / 2 * x[i] * k[i * n + j] * x[j];
        }
        if (ok && value < least) {
            least = value;
            memcpy(best, x, (size_t)n * sizeof *x);
        }
    }
    return least;
}

static void draw_kernel(dal_rng *r, int n, double *k, double width)
{
    double at[64];
    for (int i = 0; i < n; i++)
        at[i] = dal_rng_normal(r);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            k[i * n + j] = exp(-width * (at[i] - at[j]) * (at[i] - at[j]));
}

Test(box_qp, finds_what_brute_force_finds)
{
    dal_rng r = dal_rng_from_key(6);
    dal_runtime *rt = fx_runtime(2, 1);
    for (int turn = 0; turn < 40; turn++) {
        const int n = 1 + turn % 6;
        double k[36], q[6], x[6] = {0}, want[6], residual;
        draw_kernel(&r, n, k, 20);
        for (int i = 0; i < n; i++)
            q[i] = dal_rng_normal(&r);
        const dal_box_qp_problem p = {.struct_size = sizeof p, .n = n, .k = k, .ld = n, .scale = 1 + turn % 3, .q = q,
                                      .total = (double)dal_rng_below(&r, n + 1), .max_iterations = 20000,
                                      .tolerance = 1e-12};
        brute(k, n, p.scale, q, p.total, want);
        cr_assert_eq(dal_box_qp(dal_runtime_host(rt, "t"), &p, x, &residual, NULL), DAL_OK);
        cr_assert_leq(residual, 1e-12);
        for (int i = 0; i < n; i++)
            cr_assert_float_eq(x[i], want[i], 1e-7, "turn %d: x[%d] = %g, brute force %g", turn, i, x[i], want[i]);
    }
    dal_runtime_free(rt);
}

/* With weights: at the minimum there is a nu with gradient + nu w >= 0 where x = 0, <= 0 where 1, = 0 between. */
Test(box_qp, meets_the_conditions_of_a_minimum_with_weights)
{
    enum { N = 60 };
    static double k[N * N], q[N], w[N], x[N];
    double residual, low = -INFINITY, high = INFINITY;
    dal_rng r = dal_rng_from_key(7);
    dal_runtime *rt = fx_runtime(2, 1);
    draw_kernel(&r, N, k, 5000);
    for (int i = 0; i < N; i++) {
        q[i] = dal_rng_normal(&r);
        w[i] = 0.1 + dal_rng_uniform(&r);
    }
    const dal_box_qp_problem p = {.struct_size = sizeof p, .n = N, .k = k, .ld = N, .scale = 3, .q = q, .w = w,
                                  .total = 9.5, .max_iterations = 100000, .tolerance = 1e-12};
    cr_assert_eq(dal_box_qp(dal_runtime_host(rt, "t"), &p, x, &residual, NULL), DAL_OK);
    cr_assert_leq(residual, 1e-12);
    double total = 0;
    for (int i = 0; i < N; i++) {
        double g = q[i];
        for (int j = 0; j < N; j++)
            g += 3 * k[i * N + j] * x[j];
        total += w[i] * x[i];
        if (x[i] < 1 - 1e-9) /* may grow: nu >= -g / w */
            low = fmax(low, -g / w[i]);
        if (x[i] > 1e-9)
            high = fmin(high, -g / w[i]);
    }
    cr_assert_float_eq(total, 9.5, 1e-9);
    cr_assert_leq(low, high + 1e-8, "no multiplier fits: %g %g", low, high);
    dal_runtime_free(rt);
}

Test(box_qp, says_when_there_is_no_such_point)
{
    const double k[1] = {1}, q[1] = {0};
    double x[1] = {0}, residual;
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_box_qp_problem p = {.struct_size = sizeof p, .n = 1, .k = k, .ld = 1, .scale = 1, .q = q, .total = 2,
                                  .max_iterations = 10, .tolerance = 1e-9};
    fx_expect(&err, dal_box_qp(dal_runtime_host(rt, "t"), &p, x, &residual, &err), DAL_E_INVALID, "", "total of 2");
    dal_runtime_free(rt);
}
