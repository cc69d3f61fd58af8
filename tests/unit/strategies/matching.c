/* bmdr and spal through their tables; the twin solves both halves in other ways: pairs of variables, and signs. */
#include "tests/unit/strategies/tabular.h"

#include "plugins/strategies/matching.c"

static const options plain_bmdr = {1000, 0.1, 0, 1, 1e-10, DAL_KERNEL_RBF, 1, 20000, 10000, 0, 0};
static const options plain_spal = {0.1, 0.1, 0, 1, 1e-10, DAL_KERNEL_RBF, 1, 20000, 10000, 0.1, 0.01};

/* ---- the two halves --------------------------------------------------------------------------- */

/* min 1/2 s x' K x + q' x, 0 <= x <= 1, w' x = its present value: the pair that violates the conditions most,
 * exactly. */
static void by_pairs(const double *k, int64_t ld, int64_t n, double s, const double *q, const double *w, double *x)
{
    double *g = tw_array(n);
    for (int64_t i = 0; i < n; i++) {
        g[i] = q[i];
        for (int64_t j = 0; j < n; j++)
            g[i] += s * k[i * ld + j] * x[j];
    }
    for (int64_t step = 0; step < 3000000; step++) {
        int64_t up = -1, down = -1;
        for (int64_t i = 0; i < n; i++) {
            if (w[i] <= 0)
                continue;
            if (x[i] < 1 && (up < 0 || g[i] / w[i] < g[up] / w[up]))
                up = i;
            if (x[i] > 0 && (down < 0 || g[i] / w[i] > g[down] / w[down]))
                down = i;
        }
        int64_t single = -1; /* without weight a variable moves alone */
        double most = 1e-10;
        for (int64_t i = 0; i < n; i++)
            if (w[i] <= 0 && ((x[i] < 1 && -g[i] > most) || (x[i] > 0 && g[i] > most))) {
                most = fabs(g[i]);
                single = i;
            }
        if (single >= 0) {
            const double to = fmax(0, fmin(1, x[single] - g[single] / (s * k[single * ld + single]))),
                t = to - x[single];
            x[single] = to;
            for (int64_t i = 0; i < n; i++)
                g[i] += s * t * k[i * ld + single];
            continue;
        }
        if (up < 0 || down < 0 || g[down] / w[down] - g[up] / w[up] < 1e-10)
            break;
        const double a = 1 / w[up], b = 1 / w[down];
        const double curve = s * (a * a * k[up * ld + up] + b * b * k[down * ld + down] - 2 * a * b *
                                  k[up * ld + down]);
        double t = (g[down] * b - g[up] * a) / fmax(curve, 1e-300);
        t = fmin(t, fmin((1 - x[up]) / a, x[down] / b));
        x[up] = (1 - x[up]) / a <= t ? 1 : x[up] + t * a;
        x[down] = x[down] / b <= t ? 0 : x[down] - t * b;
        for (int64_t i = 0; i < n; i++)
            g[i] += s * t * (a * k[i * ld + up] - b * k[i * ld + down]);
    }
    free(g);
}

/* f on all rows of the ridge model with targets y on L, and the worst labels of Q: signs s in [-1, 1] with
 * v (f^2 + 2 |f|) = max_s v (f + s)^2 - v s^2, one after another until they rest. */
static void by_signs(const double *k, int64_t all, int64_t n_l, const double *y, const int64_t *in_q, const double *v,
                     int64_t n_q, double ridge, double *f)
{
    const int64_t m = n_l + n_q;
    int64_t *o = malloc((size_t)(m + 1) * sizeof *o);
    double *a = tw_array(m * m), *t = tw_array(m), *reply = tw_array(m * m);
    for (int64_t i = 0; i < m; i++)
        o[i] = i < n_l ? i : in_q[i - n_l];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            a[i * m + j] = k[o[i] * all + o[j]] + (i == j ? ridge / (i < n_l ? 1 : v[i - n_l]) : 0);
            reply[i * m + j] = k[o[i] * all + o[j]];
        }
    double *inverse = tw_inverse(m, a);
    for (int64_t i = 0; i < n_l; i++)
        t[i] = y[i];
    tw_solve(m, a, m, reply); /* column j: weights of the targets in f(o_j) */
    for (int sweep = 0; sweep < 20000; sweep++) {
        double moved = 0;
        for (int64_t j = n_l; j < m; j++) {
            double fj = 0;
            for (int64_t i = 0; i < m; i++)
                fj += reply[i * m + j] * t[i];
            const double s = fmax(-1, fmin(1, -t[j] + fj / reply[j * m + j]));
            moved = fmax(moved, fabs(s + t[j]));
            t[j] = -s;
        }
        if (moved < 1e-14)
            break;
    }
    for (int64_t r = 0; r < all; r++) {
        f[r] = 0;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < m; j++)
                f[r] += k[r * all + o[i]] * inverse[i * m + j] * t[j];
    }
    free(o);
    free(a);
    free(t);
    free(reply);
    free(inverse);
}

/* ---- twin ------------------------------------------------------------------------------------- */

static int64_t twin_of(const fx_round *r, const options *opt, int paced, int64_t b, int64_t *rows)
{
    tw_table t = tw_make(r, opt->standardise);
    const int64_t l = t.n_l, u = t.n, all = l + u;
    double *k = tw_rbf(&t, opt->gamma, 0), *f = tw_array(all), *a = tw_array(u), *q = tw_array(u), *x = tw_array(u);
    double *v = tw_array(u), *score = tw_array(u), lambda = opt->lambda + opt->pace * r->round;
    char *taken = calloc((size_t)u, 1), *before = calloc((size_t)u, 1);
    for (int64_t i = 0; i < u; i++)
        v[i] = 1;
    for (int turn = 0; turn < 15; turn++) {
        int64_t in_q[600], n_q = 0;
        double weights[600];
        for (int64_t j = 0; turn > 0 && j < b; j++)
            if (v[rows[j]] > 0) {
                weights[n_q] = paced ? v[rows[j]] : 1;
                in_q[n_q++] = l + rows[j];
            }
        memset(a, 0, (size_t)u * sizeof *a);
        for (int64_t p = 0; p < t.problems; p++) {
            by_signs(k, all, l, t.y + p * l, in_q, weights, n_q, opt->ridge, f);
            for (int64_t i = 0; i < u; i++)
                a[i] += f[l + i] * f[l + i] + 2 * fabs(f[l + i]);
        }
        for (int doublings = 0; paced && turn > 0; doublings++) {
            double sum = 0;
            for (int64_t i = 0; i < u; i++)
                sum += v[i] = doublings == 60 ? 1 : fmax(0, 1 - x[i] * a[i] / lambda);
            if (sum >= b)
                break;
            lambda *= 2;
        }
        for (int64_t i = 0; i < u; i++) {
            q[i] = v[i] * a[i];
            for (int64_t j = 0; j < all; j++)
                q[i] += opt->weight * k[(l + i) * all + j] * (j < l ? (u - b) / (double)all : -(l + b) / (double)all);
        }
        /* any start with the right total */
        double sum = 0;
        for (int64_t i = 0; i < u; i++)
            sum += v[i];
        for (int64_t i = 0; i < u; i++)
            x[i] = b / sum;
        by_pairs(k + l * all + l, all, u, opt->weight / 2, q, v, x);
        for (int64_t i = 0; i < u; i++)
            score[i] = x[i] * v[i];
        memset(taken, 0, (size_t)u);
        int same = turn > 0;
        for (int64_t j = 0; j < b; j++) {
            rows[j] = tw_best(score, taken, u, -1);
            taken[rows[j]] = 1;
            same &= before[rows[j]];
        }
        memcpy(before, taken, (size_t)u);
        if (same)
            break;
    }
    free(k);
    free(f);
    free(a);
    free(q);
    free(x);
    free(v);
    free(score);
    free(taken);
    free(before);
    tw_free(&t);
    return b;
}

static int64_t twin_of_bmdr(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    (void)host;
    return twin_of(r, opt, 0, b, rows);
}

static int64_t twin_of_spal(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    (void)host;
    return twin_of(r, opt, 1, b, rows);
}

static const fx_spec plain_rounds[] = {
    {41, 60, 10, 0, 2, 5, 0, 0}, {42, 90, 24, 0, 3, 8, 0, 0}, {43, 40, 12, 0, 2, 12, 0, 0},
        {44, 50, 0, 0, 2, 10, 0, 0}};

Test(matching, of_bmdr_picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&bmdr_impl, &plain_bmdr, twin_of_bmdr, plain_rounds, 4, 9);
}

Test(matching, of_spal_picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&spal_impl, &plain_spal, twin_of_spal, plain_rounds, 4, 9);
}

Test(matching, makes_up_for_what_the_labels_leave_out)
{
    /* two far groups of ten; all five labels are in the first one */
    float pool[20], known[5];
    const int32_t classes[5] = {0, 1, 0, 1, 0};
    static fx_picks p;
    for (int i = 0; i < 20; i++)
        pool[i] = (i < 10 ? 0.0f : 100.0f) + 0.37f * (float)(i * 7 % 10);
    for (int i = 0; i < 5; i++)
        known[i] = 0.7f * (float)i;
    fx_round *r = fx_round_of(20, 2, NULL, 1, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 5, classes, NULL, known);
    fx_select(r, &bmdr_impl, &plain_bmdr, 5, 1, &p);
    for (int i = 0; i < 5; i++)
        cr_assert_geq(p.rows[i], 10);
    fx_round_free(r);
}

Test(matching, takes_all_shapes_of_rounds)
{
    static fx_picks p;
    options fast = plain_bmdr;
    fast.qp_iterations = 300;
    for (int64_t s = 0; s < fx_n_shapes; s++) {
        fx_round *r = fx_round_random(&fx_shapes[s]);
        fx_select(r, &bmdr_impl, &fast, 7, 1, &p);
        fx_select(r, &spal_impl, &plain_spal, 7, 1, &p);
        fx_round_free(r);
    }
}

Test(matching, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&bmdr_impl, &plain_bmdr, &plain_rounds[2], 5);
}

Test(matching, refuses_what_is_too_large)
{
    static fx_picks p;
    options opt = plain_bmdr;
    opt.max_n = 69;
    fx_round *r = fx_round_random(&plain_rounds[0]);
    fx_try(r, &bmdr_impl, &opt, 5, 1, &p);
    fx_expect(&p.err, p.status, DAL_E_INVALID, "max_n", "70 rows");
    fx_round_free(r);
}

Test(matching, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&bmdr_impl, &plain_bmdr, &plain_rounds[2], 5);
    fx_survives_no_memory(&spal_impl, &plain_spal, &plain_rounds[2], 5);
}
