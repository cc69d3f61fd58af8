/* The strategy kdpp through its table. */
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/kdpp.c"

static const options plain = {.gamma = 2, .representatives = 1};

/* ---- the twin --------------------------------------------------------------------------------- */

static double entropy(const fx_round *r, int64_t row)
{
    double *p = malloc((size_t)r->c * sizeof *p), h = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, row, p);
    for (int64_t c = 0; c < r->c; c++)
        h -= p[c] > 0 || isnan(p[c]) ? p[c] * log(p[c]) : 0;
    free(p);
    return isnan(h) ? 0 : fmax(0, h / log((double)r->c));
}

static double squared(const fx_round *r, int64_t i, int64_t j)
{
    return (double)dal_squared_distance(r->set[0].features + i * r->d, r->set[0].features + j * r->d, r->d);
}

/* Candidates of the header's first step, ascending. */
static int64_t candidates(const fx_round *r, const options *opt, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[0].n, wanted = opt->candidates ? opt->candidates : b > 100 ? 10 * b : 1000;
    const int64_t m = (wanted < b ? b : wanted) < n ? (wanted < b ? b : wanted) : n;
    char *in = calloc((size_t)n, 1);
    double *h = malloc((size_t)n * sizeof *h), *far = malloc((size_t)n * sizeof *far);
    int64_t n_rows = 0;
    for (int64_t i = 0; i < n; i++)
        h[i] = entropy(r, i);
    for (int64_t k = 0; k < m; k++) {
        int64_t best = 0;
        while (in[best])
            best++;
        for (int64_t i = best; i < n; i++)
            best = !in[i] && h[i] > h[best] + 1e-14 ? i : best;
        in[best] = 1;
    }
    for (int64_t i = 0; i < n; i++) {
        far[i] = INFINITY;
        for (int64_t j = 0; j < n; j++)
            far[i] = in[j] ? fmin(far[i], squared(r, i, j)) : far[i];
    }
    for (int64_t k = 0; opt->representatives && m < n && k < m / 2; k++) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++)
            best = far[i] > far[best] ? i : best;
        if (far[best] <= 0)
            break;
        in[best] = 1;
        for (int64_t i = 0; i < n; i++)
            far[i] = fmin(far[i], squared(r, i, best));
    }
    for (int64_t i = 0; i < n; i++)
        if (in[i])
            rows[n_rows++] = i;
    free(in);
    free(h);
    free(far);
    return n_rows;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const fx_round *r, const dal_host *host, const int64_t *rows, int64_t m)
{
    const int64_t some = m < 1000 ? m : 1000, pairs = some * (some - 1) / 2;
    int64_t *order = malloc((size_t)m * sizeof *order), at = 0;
    double *all = malloc((size_t)(pairs + 1) * sizeof *all);
    dal_rng rng = host->rng(host, "width", r->round);
    for (int64_t i = 0; i < m; i++)
        order[i] = i;
    dal_rng_shuffle(&rng, order, m, some);
    for (int64_t i = 0; i < some; i++)
        for (int64_t j = 0; j < i; j++)
            all[at++] = squared(r, rows[order[i]], rows[order[j]]);
    qsort(all, (size_t)pairs, sizeof *all, by_value);
    const double out = pairs > 0 && all[pairs / 2] > 0 ? sqrt(all[pairs / 2]) : 1;
    free(order);
    free(all);
    return out;
}

/* L, [m, m], and the qualities. */
static double *kernel(const fx_round *r, const dal_host *host, const options *opt, const int64_t *rows, int64_t m,
                      double *q)
{
    double *l = malloc((size_t)(m * m) * sizeof *l), *u = calloc((size_t)(m * r->d), sizeof *u);
    const double width = opt->width > 0 ? opt->width : median(r, host, rows, m);
    for (int64_t i = 0; i < m; i++) {
        const float *x = r->set[0].features + rows[i] * r->d;
        double length = 0;
        for (int64_t k = 0; k < r->d; k++)
            length += (double)x[k] * x[k];
        for (int64_t k = 0; k < r->d && length > 0; k++)
            u[i * r->d + k] = (double)(float)(x[k] / sqrt(length));
        q[i] = exp(0.5 * opt->gamma * entropy(r, rows[i]));
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            double s = 0;
            if (opt->kernel == KERNEL_COSINE)
                for (int64_t k = 0; k < r->d; k++)
                    s += u[i * r->d + k] * u[j * r->d + k];
            else
                for (int64_t k = 0; k < r->d; k++)
                    s += pow((double)r->set[0].features[rows[i] * r->d + k] -
                                 r->set[0].features[rows[j] * r->d + k],
                             2);
            l[i * m + j] = q[i] * q[j] * (opt->kernel == KERNEL_COSINE ? s : exp(-s / (2 * width * width)));
        }
    free(u);
    return l;
}

/* What is left of row j's variance given picks, by elimination on a copy; m is [n, n]. */
static void condition(double *l, int64_t n, int64_t p)
{
    double *row = malloc((size_t)n * sizeof *row);
    memcpy(row, l + p * n, (size_t)n * sizeof *row);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            l[i * n + j] -= row[i] * row[j] / row[p];
    free(row);
}

static void fill(const double *q, int64_t m, int64_t b, int64_t *picks, int64_t n)
{
    for (; n < b; n++) {
        int64_t best = -1;
        for (int64_t i = 0; i < m; i++) {
            int taken = 0;
            for (int64_t k = 0; k < n; k++)
                taken |= picks[k] == i;
            best = !taken && (best < 0 || q[i] > q[best] + 1e-13) ? i : best;
        }
        picks[n] = best;
    }
}

static int64_t map_picks(double *l, const double *q, int64_t m, int64_t b, int64_t *picks)
{
    int64_t n = 0;
    for (; n < b; n++) {
        double top = -1;
        int64_t best = -1;
        for (int64_t i = 0; i < m; i++)
            if (l[i * m + i] / (q[i] * q[i]) >= 1e-10)
                top = fmax(top, l[i * m + i]);
        for (int64_t i = 0; i < m; i++)
            if (best < 0 && l[i * m + i] / (q[i] * q[i]) >= 1e-10 && l[i * m + i] >= top * (1 - 1e-11))
                best = i;
        if (best < 0)
            break;
        picks[n] = best;
        condition(l, m, best);
    }
    return n;
}

/* Eigenvectors in the columns of v, by Jacobi's rotations. */
static void jacobi(double *a, double *v, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++)
        v[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < 60; sweep++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                if (fabs(a[p * n + q]) < 1e-300)
                    continue;
                const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
                const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                const double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int64_t k = 0; k < n; k++) {
                    const double x = a[k * n + p], y = a[k * n + q], vx = v[k * n + p], vy = v[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                    v[k * n + p] = c * vx - s * vy;
                    v[k * n + q] = s * vx + c * vy;
                }
                for (int64_t k = 0; k < n; k++) {
                    const double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
            }
}

static int64_t sample_picks(double *l, int64_t m, int64_t b, dal_rng rng, int64_t *picks)
{
    double *v = malloc((size_t)(m * m) * sizeof *v), *k = calloc((size_t)(m * m), sizeof *k);
    int64_t *order = malloc((size_t)m * sizeof *order), rank = 0, n = 0, left, total;
    jacobi(l, v, m);
    for (int64_t i = 0; i < m; i++)
        order[i] = i;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = i + 1; j < m; j++)
            if (l[order[j] * m + order[j]] > l[order[i] * m + order[i]]) {
                const int64_t t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    while (rank < m && l[order[rank] * m + order[rank]] > 1e-11 * l[order[0] * m + order[0]])
        rank++;
    total = left = b < rank ? b : rank;
    long double *e = calloc((size_t)((left + 1) * (rank + 1)), sizeof *e);
    /* e[j][i]: of the i smallest values, the largest being order[rank - i] */
    for (int64_t i = 0; i <= rank; i++)
        e[i] = 1;
    for (int64_t j = 1; j <= left; j++)
        for (int64_t i = 1; i <= rank; i++)
            e[j * (rank + 1) + i] = e[j * (rank + 1) + i - 1] + l[order[rank - i] * m + order[rank - i]] *
                                                                     e[(j - 1) * (rank + 1) + i - 1];
    for (int64_t i = rank; i > 0 && left > 0; i--) {
        const int64_t at = order[rank - i];
        const long double p = l[at * m + at] * e[(left - 1) * (rank + 1) + i - 1] / e[left * (rank + 1) + i];
        if (left != i && !(dal_rng_uniform(&rng) < (double)p))
            continue;
        left--;
        for (int64_t x = 0; x < m; x++)
            for (int64_t y = 0; y < m; y++)
                k[x * m + y] += v[x * m + at] * v[y * m + at];
    }
    for (; n < total; n++) {
        double sum = 0, so_far = 0;
        for (int64_t i = 0; i < m; i++)
            sum += fmax(0, k[i * m + i]);
        const double u = dal_rng_uniform(&rng) * sum;
        for (int64_t i = 0; i < m; i++) {
            so_far += fmax(0, k[i * m + i]);
            picks[n] = i;
            if (so_far > u)
                break;
        }
        condition(k, m, picks[n]);
        for (int64_t j = 0; j <= n; j++)
            k[picks[j] * m + picks[j]] = 0;
    }
    free(v);
    free(k);
    free(order);
    free(e);
    return n;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    int64_t *kept_rows = malloc((size_t)r->set[0].n * sizeof *kept_rows);
    double *q = malloc((size_t)r->set[0].n * sizeof *q);
    const int64_t m = candidates(r, opt, b, kept_rows);
    double *l = kernel(r, host, opt, kept_rows, m, q);
    const int64_t n = opt->mode == MODE_MAP ? map_picks(l, q, m, b, rows)
                                            : sample_picks(l, m, b, host->rng(host, "sample", r->round), rows);
    fill(q, m, b, rows, n);
    for (int64_t i = 0; i < b; i++)
        rows[i] = kept_rows[rows[i]];
    free(kept_rows);
    free(q);
    free(l);
    return b;
}

static const fx_spec some[] = {
    {1, 40, 10, 0, 3, 5, 0, 0},    {2, 80, 20, 0, 10, 16, 0, FX_LOGITS}, {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES},
    {6, 64, 12, 0, 6, 7, 0, FX_SATURATED}, {8, 30, 8, 0, 1000, 12, 0, FX_LOGITS}, {9, 3, 2, 0, 2, 4, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0},     {5, 50, 0, 0, 5, 6, 0, FX_NAN_ROWS},
};
#define N_SOME ((int64_t)(sizeof some / sizeof *some))

Test(kdpp, picks_what_its_slow_twin_picks)
{
    options opt = plain;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
    opt.candidates = 14;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
    opt.kernel = 1;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
    opt.representatives = 0;
    opt.width = 2;
    opt.gamma = 5;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
}

Test(kdpp, draws_what_its_slow_twin_draws)
{
    options opt = plain;
    opt.mode = 1;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
    opt.candidates = 14;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
    opt.kernel = 1;
    fx_twin_agrees(&kdpp_impl, &opt, twin, some, N_SOME, 12);
}

/* ---- laws ------------------------------------------------------------------------------------- */

Test(kdpp, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&kdpp_impl, &plain, &some[1], 12);
}

Test(kdpp, never_picks_two_that_are_alike)
{
    options opt = plain;
    fx_duplicates_stay_apart(&kdpp_impl, &opt, &some[2], 8);
    opt.mode = 1;
    fx_duplicates_stay_apart(&kdpp_impl, &opt, &some[2], 8);
}

Test(kdpp, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    options opt = plain;
    for (opt.kernel = 0; opt.kernel < 2; opt.kernel++) {
        fx_round *r = fx_round_random(&some[1]);
        fx_select(r, &kdpp_impl, &opt, 12, 1, &a);
        fx_round_scale(r, 4);
        fx_select(r, &kdpp_impl, &opt, 12, 1, &b);
        cr_assert_arr_eq(a.rows, b.rows, 12 * sizeof *a.rows);
        fx_round_free(r);
    }
}

Test(kdpp, fills_up_with_the_least_sure_when_the_kernel_has_no_more_dimensions)
{
    static fx_picks p;
    const float x[8] = {1, 0, 2, 0, 0, 1, 0, 3}, probs[8] = {.9f, .1f, .6f, .4f, .8f, .2f, .7f, .3f};
    fx_round *r = fx_round_of(4, 2, probs, 2, x);
    options opt = plain;
    for (opt.mode = 0; opt.mode < 2; opt.mode++) {
        fx_select(r, &kdpp_impl, &opt, 4, 1, &p);
        cr_assert((p.rows[0] < 2) != (p.rows[1] < 2), "the first two are parallel");
    }
    opt.mode = MODE_MAP;
    fx_select(r, &kdpp_impl, &opt, 4, 1, &p);
    cr_assert(p.rows[0] == 1 && p.rows[1] == 3 && p.rows[2] == 2 && p.rows[3] == 0);
    fx_round_free(r);
}

/* ---- committees ------------------------------------------------------------------------------- */

/* GLAD over all classes, as it is written: the posterior of every class, and gradients by differences. */
static double slow_objective(const int32_t *votes, int64_t e, int64_t n, int64_t c, const double *alpha,
                             const double *b, double (*posterior)[8])
{
    double sum = 0;
    for (int64_t j = 0; j < e; j++)
        sum -= (alpha[j] - 1) * (alpha[j] - 1) / 2;
    for (int64_t i = 0; i < n; i++) {
        sum -= (b[i] - 1) * (b[i] - 1) / 2;
        for (int64_t j = 0; j < e; j++) {
            const double right = 1 / (1 + exp(-alpha[j] * exp(b[i]))), p = posterior[i][votes[j * n + i]];
            sum += p * log(right) + (1 - p) * log((1 - right) / (double)(c - 1));
        }
    }
    return sum;
}

static void slow_posterior(const int32_t *votes, int64_t e, int64_t n, int64_t c, const double *alpha, const double *b,
                           double (*posterior)[8])
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < c; k++) {
            posterior[i][k] = 1;
            for (int64_t j = 0; j < e; j++) {
                const double right = 1 / (1 + exp(-alpha[j] * exp(b[i])));
                posterior[i][k] *= votes[j * n + i] == k ? right : (1 - right) / (double)(c - 1);
            }
            sum += posterior[i][k];
        }
        for (int64_t k = 0; k < c; k++)
            posterior[i][k] /= sum;
    }
}

/* Where EM has come to rest no parameter can be moved for a better expected likelihood. */
Test(kdpp, finds_hardness_where_the_likelihood_is_largest)
{
    enum { N = 60, E = 5, C = 4 };
    int32_t votes[E * N];
    double hardness[N], alpha[E], b[N], posterior[N][8];
    dal_rng rng = dal_rng_from_key(5);
    dal_runtime *rt = fx_runtime(1, 1);
    for (int i = 0; i < N; i++) /* the last member guesses, the others are right on easy samples */
        for (int j = 0; j < E; j++)
            votes[j * N + i] = (int32_t)(j == E - 1 || (i % 3 == 0 && dal_rng_uniform(&rng) < .6)
                                             ? dal_rng_below(&rng, C)
                                             : i % C);
    cr_assert_eq(dal_glad(dal_runtime_host(rt, "t"), votes, E, N, C, 3000, hardness, alpha, NULL), DAL_OK);
    dal_runtime_free(rt);
    for (int i = 0; i < N; i++)
        b[i] = -log(hardness[i]);
    slow_posterior(votes, E, N, C, alpha, b, posterior);
    for (int k = 0; k < E + N; k++) {
        double *x = k < E ? &alpha[k] : &b[k - E], at = *x;
        *x = at + 1e-5;
        const double above = slow_objective(votes, E, N, C, alpha, b, posterior);
        *x = at - 1e-5;
        const double below = slow_objective(votes, E, N, C, alpha, b, posterior);
        *x = at;
        cr_assert_float_eq((above - below) / 2e-5, 0, 1e-4, "parameter %d: slope %g", k, (above - below) / 2e-5);
    }
    for (int j = 0; j < E - 1; j++)
        cr_assert_gt(alpha[j], alpha[E - 1]);
    double easy = 0, hard = 0;
    for (int i = 0; i < N; i++)
        *(i % 3 ? &easy : &hard) += hardness[i] / (i % 3 ? 40 : 20);
    cr_assert_gt(hard, easy);
}

Test(kdpp, asks_a_committee_where_it_is_told_to)
{
    static fx_picks with, without;
    const fx_spec spec = {2, 90, 30, 0, 4, 6, 0, FX_CURVED}, matrices = {2, 90, 30, 0, 4, 6, 0, 0};
    options opt = plain;
    opt.candidates = 30;
    fx_round *r = fx_round_random(&spec);
    fx_select(r, &kdpp_impl, &opt, 10, 1, &without);
    opt.committee = 5;
    fx_select(r, &kdpp_impl, &opt, 10, 1, &with);
    cr_assert_neq(memcmp(with.rows, without.rows, 10 * sizeof *with.rows), 0);
    fx_round_free(r);
    r = fx_round_random(&matrices);
    fx_try(r, &kdpp_impl, &opt, 10, 1, &with);
    cr_assert_str_eq(with.err.text, "there is no model to train here, only its matrices");
    fx_round_free(r);
}

Test(kdpp, survives_when_there_is_no_memory)
{
    options opt = plain;
    opt.candidates = 12;
    fx_survives_no_memory(&kdpp_impl, &opt, &some[0], 5);
    opt.mode = opt.kernel = 1;
    fx_survives_no_memory(&kdpp_impl, &opt, &some[0], 5);
    opt.kernel = 0;
    fx_survives_no_memory(&kdpp_impl, &opt, &some[0], 5);
}
