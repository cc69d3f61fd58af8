/* batchbald through its table. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/batchbald.c"

#define LARGE 100000

/* strategies.md 3.3: a and b alike, c knows something else. */
static fx_round *example(void)
{
    static const float first[4][3] = {{.9f, .9f, .8f}, {.9f, .9f, .2f}, {.1f, .1f, .8f}, {.1f, .1f, .2f}};
    float mc[4 * 3 * 2];
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 3; i++) {
            mc[(k * 3 + i) * 2] = first[k][i];
            mc[(k * 3 + i) * 2 + 1] = 1 - first[k][i];
        }
    fx_round *r = fx_round_of(3, 2, NULL, 0, NULL);
    fx_round_mc(r, 4, mc);
    return r;
}

Test(batchbald, does_not_pick_the_twin_of_its_first_pick)
{
    static fx_picks p;
    const options opt = {4, 1000, 0};
    fx_round *r = example();
    fx_select(r, &batchbald_impl, &opt, 3, 1, &p);
    cr_assert(p.rows[0] == 0 && p.rows[1] == 2 && p.rows[2] == 1);
    cr_assert_float_eq(p.scores[0], .368064, 1e-6);
    cr_assert_float_eq(p.scores[0] + p.scores[1], .560809, 1e-6);
    fx_round_free(r);
}

Test(batchbald, is_plain_bald_within_a_pool_subset_of_the_batch)
{
    static fx_picks p;
    const options opt = {4, 1000, 1};
    fx_round *r = example();
    fx_select(r, &batchbald_impl, &opt, 2, 1, &p);
    cr_assert(p.n == 2 && p.rows[0] == 0 && p.rows[1] == 1);
    cr_assert_float_eq(p.scores[0] + p.scores[1], .514375, 1e-6);
    fx_round_free(r);
}

/* ---- I(y_S; w) by its first definition -------------------------------------------------------- */

static double entropy(const double *p, int64_t n)
{
    double h = 0;
    for (int64_t i = 0; i < n; i++)
        h -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    return h;
}

/* H(y_S) - mean_k sum_i H(P_k), over all configurations. */
static double joint_information(const fx_round *r, int64_t passes, const int64_t *rows, int64_t n)
{
    int64_t all = 1;
    double *P = malloc((size_t)r->c * sizeof *P), h = 0;
    for (int64_t i = 0; i < n; i++)
        all *= r->c;
    double *mean = calloc((size_t)all, sizeof *mean), *J = malloc((size_t)all * sizeof *J);
    for (int64_t k = 0; k < passes; k++) {
        int64_t m = 1;
        J[0] = 1;
        for (int64_t i = 0; i < n; i++, m *= r->c) {
            fx_mc_probs(r, k, rows[i], P);
            h -= entropy(P, r->c) / (double)passes;
            for (int64_t y = r->c - 1; y >= 0; y--)
                for (int64_t j = 0; j < m; j++)
                    J[y * m + j] = J[j] * P[y];
        }
        for (int64_t j = 0; j < all; j++)
            mean[j] += J[j] / (double)passes;
    }
    h += entropy(mean, all);
    free(P), free(mean), free(J);
    return h;
}

Test(batchbald, adds_up_to_what_the_batch_tells_about_the_weights)
{
    static fx_picks p;
    static const fx_spec specs[] = {{1, 40, 10, 0, 3, 5, 6, 0}, {2, 70, 5, 0, 10, 16, 10, FX_LOGITS}};
    for (int s = 0; s < 2; s++) {
        const options opt = {specs[s].passes, LARGE, 0};
        fx_round *r = fx_round_random(&specs[s]);
        double sum = 0;
        fx_select(r, &batchbald_impl, &opt, 5, 1, &p);
        for (int64_t b = 1; b <= 5; b++) {
            sum += p.scores[b - 1];
            cr_assert_float_eq(sum, joint_information(r, opt.passes, p.rows, b), 2e-6);
        }
        for (int64_t i = 0; i < r->set[0].n; i++) { /* no other fifth pick is better */
            const int64_t other[5] = {p.rows[0], p.rows[1], p.rows[2], p.rows[3], i};
            int picked = 0;
            for (int k = 0; k < 5; k++)
                picked |= p.rows[k] == i;
            cr_assert(picked || joint_information(r, opt.passes, other, 5) <= sum + 2e-6);
        }
        fx_round_free(r);
    }
}

/* ---- slow twin -------------------------------------------------------------------------------- */

typedef struct slow {
    const fx_round *r;
    int64_t n, c, passes, n_conf;
    double *P, *p; /* [n, passes, c], [n, c] */
    double *J;     /* [n_conf, passes] */
    double *weight;
} slow;

static void slow_load(slow *s)
{
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t k = 0; k < s->passes; k++) {
            double *P = s->P + (i * s->passes + k) * s->c, sum = 0;
            fx_mc_probs(s->r, k, i, P);
            for (int64_t y = 0; y < s->c; y++)
                sum += P[y] = P[y] < (double)FLT_MIN ? 0 : P[y];
            for (int64_t y = 0; y < s->c; y++)
                s->p[i * s->c + y] += (P[y] /= sum) / (double)s->passes;
        }
}

static double divergence(const double *a, const double *b, int64_t c)
{
    double sum = 0;
    for (int64_t y = 0; y < c; y++)
        sum += a[y] > 0 ? a[y] * log(a[y] / b[y]) : 0;
    return sum;
}

static double slow_bald(const slow *s, int64_t i)
{
    double bald = 0;
    for (int64_t k = 0; k < s->passes; k++)
        bald += divergence(s->P + (i * s->passes + k) * s->c, s->p + i * s->c, s->c) / (double)s->passes;
    return bald;
}

static double slow_gain(const slow *s, int64_t i)
{
    double gain = slow_bald(s, i), *q = malloc((size_t)s->c * sizeof *q);
    for (int64_t m = 0; m < s->n_conf; m++) {
        double sum = 0;
        for (int64_t y = 0; y < s->c; y++)
            q[y] = 0;
        for (int64_t k = 0; k < s->passes; k++) {
            sum += s->J[m * s->passes + k];
            for (int64_t y = 0; y < s->c; y++)
                q[y] += s->J[m * s->passes + k] * s->P[(i * s->passes + k) * s->c + y];
        }
        for (int64_t y = 0; y < s->c; y++)
            q[y] /= sum;
        gain -= sum > 0 ? s->weight[m] * divergence(q, s->p + i * s->c, s->c) : 0;
    }
    free(q);
    return gain;
}

static void slow_all(slow *s, const int64_t *rows, int64_t n)
{
    s->n_conf = 1;
    for (int64_t i = 0; i < n; i++)
        s->n_conf *= s->c;
    for (int64_t m = 0; m < s->n_conf; m++) {
        s->weight[m] = 0;
        for (int64_t k = 0; k < s->passes; k++) {
            double J = 1;
            for (int64_t i = n - 1, at = m; i >= 0; i--, at /= s->c)
                J *= s->P[(rows[i] * s->passes + k) * s->c + at % s->c];
            s->J[m * s->passes + k] = J;
            s->weight[m] += J / (double)s->passes;
        }
    }
}

static void slow_draws(slow *s, const dal_host *host, const int64_t *rows, int64_t n, int64_t limit)
{
    const dal_rng stream = host->rng(host, "configurations", s->r->round);
    dal_rng rng = dal_rng_at(&stream, (uint64_t)n);
    s->n_conf = s->passes * (limit / s->passes > 0 ? limit / s->passes : 1);
    for (int64_t m = 0; m < s->n_conf; m++) {
        s->weight[m] = 1 / (double)s->n_conf;
        for (int64_t k = 0; k < s->passes; k++)
            s->J[m * s->passes + k] = 1;
        for (int64_t i = 0; i < n; i++) {
            const double *P = s->P + rows[i] * s->passes * s->c;
            double u = dal_rng_uniform(&rng);
            int64_t y = 0;
            while (y < s->c - 1 && (u -= P[m % s->passes * s->c + y]) >= 0)
                y++;
            for (int64_t k = 0; k < s->passes; k++)
                s->J[m * s->passes + k] *= P[k * s->c + y];
        }
    }
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt_, int64_t b, int64_t *rows)
{
    const options *opt = opt_;
    slow s = {.r = r, .n = r->set[0].n, .c = r->c, .passes = opt->passes, .n_conf = 0};
    s.P = malloc((size_t)(s.n * s.passes * s.c) * sizeof *s.P);
    s.p = calloc((size_t)(s.n * s.c), sizeof *s.p);
    s.J = malloc((size_t)((opt->configurations + s.passes) * s.passes) * sizeof *s.J);
    s.weight = malloc((size_t)(opt->configurations + s.passes) * sizeof *s.weight);
    char *out = calloc((size_t)s.n, 1);
    const int64_t subset = opt->pool_subset > b ? opt->pool_subset : b;
    int64_t all = 1, told = 0;
    slow_load(&s);
    for (int64_t k = 0; opt->pool_subset > 0 && k < s.n - subset; k++) { /* out: the least, of ties the last */
        int64_t least = 0;
        while (out[least])
            least++;
        for (int64_t i = least; i < s.n; i++)
            if (!out[i] && slow_gain(&s, i) <= slow_gain(&s, least))
                least = i;
        out[least] = 1;
    }
    for (int64_t k = 0; k < b; k++) {
        if (k > 0 && all <= opt->configurations)
            slow_all(&s, rows, k);
        else if (k > 0)
            slow_draws(&s, host, rows, k, opt->configurations);
        double best = -INFINITY;
        for (int64_t i = 0; i < s.n && !told; i++) {
            const double gain = out[i] ? -INFINITY : slow_gain(&s, i);
            if (gain > best) {
                best = gain;
                rows[k] = i;
            }
        }
        told |= best <= 1e-6;
        for (int64_t i = 0, first = 1; i < s.n && told; i++)
            if (!out[i] && (first || slow_bald(&s, i) > slow_bald(&s, rows[k]))) {
                rows[k] = i;
                first = 0;
            }
        out[rows[k]] = 1;
        all = all > opt->configurations ? all : all * s.c;
    }
    free(s.P), free(s.p), free(s.J), free(s.weight), free(out);
    return b;
}

/* Certain samples add nothing but rounding: not here. */
static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 6, 0},
    {2, 60, 50, 0, 10, 16, 10, FX_LOGITS},
    {3, 77, 0, 0, 2, 3, 4, 0},
    {4, 60, 20, 5, 4, 8, 8, FX_DUPLICATES},
    {5, 50, 9, 0, 5, 6, 5, FX_ZERO_ROWS},
    {8, 12, 8, 0, 200, 12, 3, FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 3, 0},
    {10, 1, 1, 0, 3, 4, 2, 0},
};

Test(batchbald, picks_what_its_slow_twin_picks)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const options exact = {shapes[s].passes, 1000, 0}, sampled = {shapes[s].passes, 20, 0},
                      one_each = {shapes[s].passes, 1, 0}, subset = {shapes[s].passes, 50, 9};
        fx_twin_agrees(&batchbald_impl, &exact, twin, &shapes[s], 1, 4);
        fx_twin_agrees(&batchbald_impl, &sampled, twin, &shapes[s], 1, 7);
        fx_twin_agrees(&batchbald_impl, &one_each, twin, &shapes[s], 1, 3);
        fx_twin_agrees(&batchbald_impl, &subset, twin, &shapes[s], 1, 5);
    }
}

Test(batchbald, follows_its_samples_when_the_pool_is_permuted)
{
    const options opt = {10, 200, 0};
    fx_picks_follow_samples(&batchbald_impl, &opt, &shapes[1], 8);
}

Test(batchbald, picks_all_even_of_samples_that_are_certain)
{
    static fx_picks p;
    const fx_spec certain = {6, 64, 12, 0, 6, 7, 5, FX_SATURATED};
    const options opt = {5, 30, 0};
    fx_round *r = fx_round_random(&certain);
    fx_select(r, &batchbald_impl, &opt, 64, 1, &p);
    cr_assert_eq(p.n, 64);
    for (int i = 0; i < 64; i++)
        cr_assert(p.scores[i] >= -1e-6 && p.scores[i] <= log(6), "pick %d adds %g", i, p.scores[i]);
    fx_round_free(r);
}

/* Passes that hardly differ, so that they are told apart late: after 250 answers, of 30^-250 together. */
Test(batchbald, goes_on_where_products_underflow_and_by_bald_when_all_is_told)
{
    enum { N = 900, C = 30, K = 3, B = 800 };
    static float z[K * N * C];
    static fx_picks p;
    static double bald[N];
    const options opt = {K, 12, 0};
    int told = 0;
    dal_runtime *rt = fx_runtime(1, 1);
    dal_rng rng = dal_rng_from_key(7);
    for (int i = 0; i < K * N * C; i++)
        z[i] = (float)(0.2 * dal_rng_normal(&rng));
    fx_round *r = fx_round_of(N, C, NULL, 0, NULL);
    fx_round_mc(r, K, z);
    r->mc_kind = DAL_LOGITS;
    fx_select(r, &batchbald_impl, &opt, B, 1, &p);
    const dal_tensor3 t = {z, K, N, C};
    cr_assert_eq(dal_mc_bald(dal_runtime_host(rt, "test"), &t, DAL_LOGITS, 0, N, bald, NULL), DAL_OK);
    for (int i = 0; i < B; i++) {
        cr_assert(told ? p.scores[i] == 0 : isfinite(p.scores[i]), "pick %d adds %g", i, p.scores[i]);
        cr_assert(told < 2 || bald[p.rows[i]] <= bald[p.rows[i - 1]]);
        told += p.scores[i] == 0;
    }
    cr_assert(told > 0 && told < B - 250, "%d picks are enough", B - told);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(batchbald, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const options opt = {5, 100, 0};
    const fx_spec nan = {21, 50, 5, 0, 4, 3, 5, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&nan);
    fx_try(r, &batchbald_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 40 "), "%s", p.err.text); /* row 3 */
    fx_round_free(r);
}

Test(batchbald, survives_when_there_is_no_memory)
{
    const options opt = {6, 50, 0};
    fx_survives_no_memory(&batchbald_impl, &opt, &shapes[0], 5);
}
