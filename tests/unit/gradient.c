/* Gradient embeddings against the matrices they stand for, and seeding against its rules. */
#include "tests/unit/fixture.h"

#include <dal/gradient.h>
#include <float.h>
#include <math.h>

typedef struct pool {
    int64_t n, c, d;
    float *z, *h;
    dal_gradients g;
    char what[32];
} pool;

enum { PLAIN, LOGITS, PROBS, KINDS };
enum { NORMAL, CONFIDENT, SATURATED, COPIES, ZEROS, TINY_VALUES, HUGE_VALUES, ODDITIES };

static pool make(int64_t n, int64_t c, int64_t d, int kind, int odd, int32_t bias, uint64_t seed)
{
    pool p = {n,   c, d, malloc((size_t)(n * c + 1) * sizeof(float)), malloc((size_t)(n * d + 1) * sizeof(float)),
              {0}, ""};
    dal_rng r = dal_rng_from_key(seed);
    const double sharp = odd == CONFIDENT ? 12 : odd == SATURATED ? 300 : 1;
    const double scale = odd == TINY_VALUES ? 1e-22 : odd == HUGE_VALUES ? 1e16 : 1;
    for (int64_t i = 0; i < n * c; i++)
        p.z[i] = (float)(sharp * dal_rng_normal(&r));
    for (int64_t i = 0; i < n * d; i++)
        p.h[i] = (float)(scale * fmax(0, dal_rng_normal(&r)));
    for (int64_t i = 0; i < n; i++) {
        if (odd == ZEROS && i % 3)
            memset(p.h + i * d, 0, (size_t)d * sizeof(float));
        if (odd == COPIES && i % 4) {
            memcpy(p.h + i * d, p.h + (i - i % 4) * d, (size_t)d * sizeof(float));
            memcpy(p.z + i * c, p.z + (i - i % 4) * c, (size_t)c * sizeof(float));
        }
        double sum = 0, top = (double)p.z[i * c];
        for (int64_t k = 0; k < c; k++)
            top = fmax(top, (double)p.z[i * c + k]);
        for (int64_t k = 0; k < c; k++)
            sum += exp((double)p.z[i * c + k] - top);
        for (int64_t k = 0; kind == PROBS && k < c; k++)
            p.z[i * c + k] = (float)(exp((double)p.z[i * c + k] - top) / sum);
    }
    p.g = (dal_gradients){sizeof p.g, bias, {{p.z, n, c, c}, kind == LOGITS ? DAL_LOGITS : DAL_PROBS, 0},
                          {p.h, n, d, d}, NULL};
    snprintf(p.what, sizeof p.what, "kind %d, odd %d", kind, odd);
    if (kind == PLAIN)
        p.g.outputs.values.data = NULL;
    return p;
}

static void drop(pool *p)
{
    free(p->z);
    free(p->h);
}

/* a and (h, bias) of a row, in double. */
static void factors(const pool *p, int64_t i, double *a, double *h)
{
    const float *z = p->z + i * p->c;
    int64_t y = 0;
    double sum = 0;
    for (int64_t k = 0; k < p->d; k++)
        h[k] = (double)p->h[i * p->d + k];
    h[p->d] = p->g.bias;
    for (int64_t k = 1; k < p->c; k++)
        y = z[k] > z[y] ? k : y;
    for (int64_t k = 0; k < p->c; k++)
        sum += a[k] = p->g.outputs.kind == DAL_LOGITS ? exp((double)z[k] - (double)z[y]) : (double)z[k];
    a[y] = 0;
    for (int64_t k = 0; k < p->c; k++) {
        if (k == y)
            continue;
        a[k] /= p->g.outputs.kind == DAL_LOGITS ? sum : 1;
        a[k] = a[k] < (double)FLT_MIN ? 0 : a[k];
        a[y] -= a[k];
    }
    if (!p->g.outputs.values.data)
        a[0] = 1;
}

static int64_t width(const pool *p)
{
    return p->g.outputs.values.data ? p->c : 1;
}

/* ---- embeddings ------------------------------------------------------------------------------- */

/* <g_i, g_j> of the matrices themselves. */
static double formed_product(const pool *p, int64_t i, int64_t j)
{
    double ai[64], aj[64], hi[64], hj[64], sum = 0;
    factors(p, i, ai, hi);
    factors(p, j, aj, hj);
    for (int64_t k = 0; k < width(p); k++)
        for (int64_t l = 0; l <= p->d; l++)
            sum += (ai[k] * hi[l]) * (aj[k] * hj[l]);
    return sum;
}

Test(gradient, has_the_products_of_the_matrices_it_stands_for)
{
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    for (int kind = 0; kind < KINDS; kind++)
        for (int32_t bias = 0; bias < 2; bias++) {
            dal_error err = DAL_ERROR_INIT;
            pool p = make(150, 5, 9, kind, NORMAL, bias, 3);
            double norms[150], largest = 0;
            float products[40 * 31], a[2 * 5];
            cr_assert_eq(dal_gradient_norms(host, &p.g, norms, &err), DAL_OK, "%s", err.text);
            cr_assert_eq(dal_gradient_products(host, &p.g, 100, 40, &p.g, 7, 30, products, 31, &err), DAL_OK);
            for (int64_t i = 0; i < 150; i++)
                largest = fmax(largest, norms[i]);
            for (int64_t i = 0; i < 150; i++)
                cr_assert_float_eq(norms[i], formed_product(&p, i, i), 1e-6 * largest);
            for (int64_t i = 0; i < 40; i++)
                for (int64_t j = 0; j < 30; j++)
                    cr_assert_float_eq(products[i * 31 + j], formed_product(&p, 100 + i, 7 + j), 2e-6 * largest);
            dal_gradient_factor(&p.g, 20, 1, a, NULL);
            dal_gradient_factor(&p.g, 120, 1, a + width(&p), NULL);
            const double one = dal_gradient_product(&p.g, a, p.h + 20 * 9, a + width(&p), p.h + 120 * 9);
            cr_assert_float_eq(one, formed_product(&p, 20, 120), 1e-6 * largest);
            cr_assert_eq(dal_gradient_product(&p.g, a, p.h + 20 * 9, a, p.h + 20 * 9), norms[20]);
            drop(&p);
        }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(gradient, of_a_sample_that_is_almost_certain_is_not_lost)
{
    float z[3] = {0, -40, -50}, h = 2, a[3];
    int32_t y;
    const dal_gradients g = {sizeof g, 0, {{z, 1, 3, 3}, DAL_LOGITS, 0}, {&h, 1, 1, 1}, NULL};
    dal_gradient_factor(&g, 0, 1, a, &y);
    cr_assert_eq(y, 0);
    cr_assert_float_eq(a[1], exp(-40), 1e-6 * exp(-40));
    cr_assert_float_eq(a[0], -exp(-40) - exp(-50), 1e-6 * exp(-40));
}

Test(gradient, names_the_sample_that_is_not_a_number)
{
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    const int64_t ids[4] = {11, 22, 33, 44};
    double norms[4];
    for (int where = 0; where < 4; where++) {
        dal_error err = DAL_ERROR_INIT;
        pool p = make(4, 3, 5, LOGITS, NORMAL, 0, 1);
        p.g.ids = ids;
        if (where == 0)
            p.z[2 * 3 + 1] = NAN;
        else if (where == 3)
            p.z[2 * 3] = NAN; /* which nothing is larger than */
        else if (where == 1)
            p.h[2 * 5 + 4] = INFINITY;
        else
            p.h[2 * 5] = 1e25f;
        fx_expect(&err, dal_gradient_norms(host, &p.g, norms, &err), DAL_E_INVALID, "",
                  where == 0 ? "output 1 of sample 33 is nan" : where == 1 ? "feature 4 of sample 33 is inf"
                  : where == 2 ? "of sample 33 are so large" : "output 0 of sample 33 is nan");
        drop(&p);
    }
    dal_runtime_free(rt);
}

/* ---- sums ------------------------------------------------------------------------------------- */

Test(gradient, sums_and_products_with_them_are_those_of_the_matrices)
{
    enum { N = 700, C = 5, D = 9 };
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    int32_t labels[N];
    for (int64_t i = 0; i < N; i++)
        labels[i] = (int32_t)(i % C);
    for (int32_t bias = 0; bias < 2; bias++)
        for (int given = 0; given < 2; given++) {
            pool p = make(N, C, D, given ? LOGITS : PROBS, NORMAL, bias, 4);
            double sum[C * (D + 1)], want[C * (D + 1)] = {0}, out[N], a[C], h[D + 1];
            float m[C * (D + 1)], factor[C];
            dal_error err = DAL_ERROR_INIT;
            cr_assert_eq(dal_gradient_sum(host, &p.g, given ? labels : NULL, sum, &err), DAL_OK, "%s", err.text);
            for (int64_t i = 0; i < N; i++) {
                int64_t y = 0;
                factors(&p, i, a, h);
                for (int64_t k = 1; k < C; k++)
                    y = p.z[i * C + k] > p.z[i * C + y] ? k : y;
                a[y] += given;
                a[labels[i]] -= given;
                for (int64_t k = 0; k < C; k++)
                    for (int64_t l = 0; l < D + bias; l++)
                        want[k * (D + bias) + l] += a[k] * h[l];
            }
            for (int64_t k = 0; k < C * (D + bias); k++) {
                cr_assert_float_eq(sum[k], want[k], 1e-4 * N / 100);
                m[k] = (float)sum[k];
            }
            cr_assert_eq(dal_gradient_project(host, &p.g, m, out, &err), DAL_OK);
            for (int64_t i = 0; i < N; i += 13) {
                double exact = 0;
                factors(&p, i, a, h);
                for (int64_t k = 0; k < C; k++)
                    for (int64_t l = 0; l < D + bias; l++)
                        exact += a[k] * h[l] * (double)m[k * (D + bias) + l];
                cr_assert_float_eq(out[i], exact, 1e-5 * (1 + fabs(exact)));
                dal_gradient_factor(&p.g, i, 1, factor, NULL);
                cr_assert_float_eq(dal_gradient_against(&p.g, factor, p.h + i * D, m), exact,
                                   1e-5 * (1 + fabs(exact)));
            }
            drop(&p);
        }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* ---- seeding ---------------------------------------------------------------------------------- */

/* The factored formula for squared distances, from double factors. */
static double squared_distance(const pool *p, int64_t i, int64_t j)
{
    double ai[1024], aj[1024], hi[512], hj[512], x = 0, y = 0, xy = 0, a = 0, b = 0, ab = 0;
    factors(p, i, ai, hi);
    factors(p, j, aj, hj);
    for (int64_t k = 0; k < width(p); k++) {
        a += ai[k] * ai[k];
        b += aj[k] * aj[k];
        ab += ai[k] * aj[k];
    }
    for (int64_t k = 0; k <= p->d; k++) {
        x += hi[k] * hi[k];
        y += hj[k] * hj[k];
        xy += hi[k] * hj[k];
    }
    return i == j ? 0 : fmax(0, (a * x + b * y) - 2 * (ab * xy));
}

static double norm_of(const pool *p, int64_t i)
{
    double a[1024], h[512], aa = 0, hh = 0;
    factors(p, i, a, h);
    for (int64_t k = 0; k < width(p); k++)
        aa += a[k] * a[k];
    for (int64_t k = 0; k <= p->d; k++)
        hh += h[k] * h[k];
    return aa * hh;
}

static int64_t largest(const pool *p, const double *live)
{
    int64_t best = 0;
    for (int64_t i = 1; i < p->n; i++)
        if (live ? live[i] > live[best] : norm_of(p, i) > norm_of(p, best))
            best = i;
    return best;
}

/* The darts of the header: `line` is D when it was counted, `live` D now. Returns -1 when nothing is left. */
static int64_t dart(const pool *p, const double *line, const double *live, dal_rng *stream)
{
    double length = 0, at = 0;
    for (int64_t i = 0; i < p->n; i++)
        length += line[i];
    const double place = dal_rng_uniform(stream) * length;
    for (int64_t i = 0; i < p->n; at += line[i++])
        if (place < at + line[i])
            return place - at < live[i] ? i : -1;
    return -1;
}

static int64_t twin(const pool *p, const dal_seed_problem *q, int64_t *picks)
{
    dal_rng stream = q->stream;
    double *live = malloc((size_t)p->n * sizeof *live), *line = malloc((size_t)p->n * sizeof *line), sum = 1;
    int64_t n = 0, since = 0, room = 0, misses = 0;
    picks[n++] = q->first >= 0                ? q->first
                 : q->first == DAL_SEED_DRAWN ? dal_rng_below(&stream, p->n)
                                              : largest(p, NULL);
    for (int64_t i = 0; i < p->n; i++)
        live[i] = INFINITY;
    while (n < q->n_picks && sum > 0) {
        sum = 0;
        for (int64_t i = 0; i < p->n; i++)
            sum += live[i] = fmin(live[i], squared_distance(p, i, picks[n - 1]));
        while (sum > 0) { /* until a dart hits */
            if (since == room || misses == DAL_SEED_MISSES) {
                memcpy(line, live, (size_t)p->n * sizeof *line);
                room = n < DAL_SEED_BLOCK ? n : DAL_SEED_BLOCK;
                since = misses = 0;
            }
            const int64_t row = q->rule == DAL_SEED_FARTHEST ? largest(p, live) : dart(p, line, live, &stream);
            misses += row < 0;
            if (row >= 0) {
                picks[n++] = row;
                since++;
                break;
            }
        }
    }
    free(live);
    free(line);
    return n;
}

static void agrees_with_twin(const pool *p, uint32_t rule, int64_t first, int64_t b)
{
    static int64_t want[5000], got[5000];
    static double distance[5000];
    dal_seed_problem q = {sizeof q, rule, p->g, first, b, dal_rng_from_key(9)};
    const int64_t n_want = twin(p, &q, want);
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        int64_t n;
        dal_error err = DAL_ERROR_INIT;
        dal_runtime *rt = fx_runtime(threads, 1);
        cr_assert_eq(dal_seed(dal_runtime_host(rt, "test"), &q, got, distance, &n, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(n, n_want, "n %lld, c %lld, rule %u, %s: %lld picks, expected %lld", (long long)p->n,
                     (long long)p->c, rule, p->what, (long long)n, (long long)n_want);
        for (int64_t k = 0; k < n; k++)
            cr_assert_eq(got[k], want[k], "rule %u, n %lld, c %lld, d %lld: pick %lld is %lld, expected %lld",
                         rule, (long long)p->n, (long long)p->c, (long long)p->d, (long long)k, (long long)got[k],
                         (long long)want[k]);
        for (int64_t k = 1; k < n; k++)
            cr_assert_gt(distance[k], 0);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
}

Test(seeding, draws_what_its_slow_twin_draws)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int odd = 0; odd < ODDITIES; odd++)
            for (uint32_t rule = 0; rule < 2; rule++) {
                pool p = make(61, 4, 7, kind, odd, odd == NORMAL, 5);
                agrees_with_twin(&p, rule, DAL_SEED_LARGEST, 61);
                agrees_with_twin(&p, rule, DAL_SEED_DRAWN, 20);
                agrees_with_twin(&p, rule, 3, 1);
                drop(&p);
            }
}

Test(seeding, draws_the_same_over_many_tiles_and_blocks)
{
    for (int odd = 0; odd <= CONFIDENT; odd++)
        for (uint32_t rule = 0; rule < 2; rule++) {
            pool p = make(1100, 11, 40, LOGITS, odd, 0, 8), wide = make(400, 1000, 33, PROBS, odd, 1, 8);
            agrees_with_twin(&p, rule, DAL_SEED_LARGEST, 500);
            agrees_with_twin(&wide, rule, DAL_SEED_LARGEST, 60);
            drop(&p);
            drop(&wide);
        }
}

/* Each of the other rows comes second, and third, as often as it must. */
Test(seeding, draws_in_proportion_to_squared_distances)
{
    enum { TIMES = 20000 };
    const double want[4] = {.215459, .501967, 0, .282573};
    float probs[12] = {.7f, .2f, .1f, .34f, .33f, .33f, .5f, .48f, .02f, .9f, .05f, .05f};
    float h[8] = {1, 0, 0, 2, 3, 0, 1, 1};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    pool p = {4, 3, 2, probs, h, {sizeof p.g, 0, {{probs, 4, 3, 3}, DAL_PROBS, 0}, {h, 4, 2, 2}, NULL}, ""};
    double second[4] = {0}, third[4][4] = {{0}}, expected;
    for (uint64_t t = 0; t < TIMES; t++) {
        int64_t picks[4], n;
        double distance[4];
        dal_error err = DAL_ERROR_INIT;
        const dal_seed_problem q = {sizeof q, DAL_SEED_KMEANSPP, p.g, DAL_SEED_LARGEST, 4, dal_rng_from_key(t)};
        cr_assert_eq(dal_seed(host, &q, picks, distance, &n, &err), DAL_OK);
        cr_assert(n == 4 && picks[0] == 2);
        second[picks[1]]++;
        third[picks[1]][picks[2]]++;
    }
    for (int64_t i = 0; i < 4; i++)
        cr_assert_float_eq(second[i] / TIMES, want[i], 0.015, "row %lld: %g", (long long)i, second[i] / TIMES);
    for (int64_t i = 0; i < 4; i++)
        for (int64_t j = 0; i != 2 && j < 4; j++) { /* with i second, j is third in proportion to its D */
            double live[4], sum = 0;
            for (int64_t k = 0; k < 4; k++)
                sum += live[k] = fmin(squared_distance(&p, k, 2), squared_distance(&p, k, i));
            expected = live[j] / sum;
            cr_assert_float_eq(third[i][j] / second[i], expected, 0.03, "%lld after %lld: %g, expected %g",
                               (long long)j, (long long)i, third[i][j] / second[i], expected);
        }
    dal_runtime_free(rt);
}

Test(seeding, stops_when_nothing_is_left_but_copies)
{
    int64_t picks[40], n;
    double distance[40];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    pool p = make(40, 3, 6, LOGITS, COPIES, 0, 2);
    for (uint32_t rule = 0; rule < 2; rule++) {
        const dal_seed_problem q = {sizeof q, rule, p.g, DAL_SEED_LARGEST, 40, dal_rng_from_key(1)};
        cr_assert_eq(dal_seed(dal_runtime_host(rt, "test"), &q, picks, distance, &n, &err), DAL_OK);
        cr_assert_eq(n, 10, "%lld picks of 10 distinct samples", (long long)n);
    }
    drop(&p);
    dal_runtime_free(rt);
}
