/* The reductions of stochastic passes against their definitions in double. */
#include "tests/unit/fixture.h"

#include <dal/mc.h>
#include <math.h>

enum { SCORES = 6 };
static dal_mc_score *const scores[SCORES] = {dal_mc_least_confidence,  dal_mc_margin,  dal_mc_entropy, dal_mc_bald,
                                             dal_mc_variation_ratios, dal_mc_mean_std};

static double plogp(double p)
{
    return p > 0 ? p * log(p) : 0;
}

/* All scores of the row whose passes P [k, c] are given, and its mean. */
static void definitions(const double *P, int64_t passes, int64_t c, double *p, double *out)
{
    double first = -1, second = 0, h = 0, hk = 0, std = 0;
    int64_t *votes = calloc((size_t)c, sizeof *votes), most = 0;
    for (int64_t k = 0; k < passes; k++) {
        int64_t vote = 0;
        for (int64_t j = 0; j < c; j++)
            vote = P[k * c + j] > P[k * c + vote] ? j : vote;
        most = ++votes[vote] > most ? votes[vote] : most;
    }
    for (int64_t j = 0; j < c; j++) {
        double squares = 0;
        p[j] = 0;
        for (int64_t k = 0; k < passes; k++) {
            p[j] += P[k * c + j] / (double)passes;
            hk -= plogp(P[k * c + j]) / (double)passes;
        }
        for (int64_t k = 0; k < passes; k++)
            squares += pow(P[k * c + j] - p[j], 2);
        std += sqrt(squares / (double)passes);
        h -= plogp(p[j]);
        second = p[j] > first ? (first < 0 ? 0 : first) : p[j] > second ? p[j] : second;
        first = p[j] > first ? p[j] : first;
    }
    free(votes);
    out[0] = first;
    out[1] = first - second;
    out[2] = h;
    out[3] = h - hk;
    out[4] = 1 - (double)most / (double)passes + (c > 1 ? 1e-6 / (double)passes * h / log((double)c) : 0);
    out[5] = std / (double)c;
}

/* Logits of `sharp` times normal numbers, and the same as probabilities in double. */
static void draw(dal_rng *r, double sharp, int64_t passes, int64_t n, int64_t c, float *z, double *P)
{
    for (int64_t i = 0; i < passes * n; i++) {
        double sum = 0, max = -INFINITY;
        for (int64_t j = 0; j < c; j++)
            max = fmax(max, (double)(z[i * c + j] = (float)(sharp * dal_rng_normal(r))));
        for (int64_t j = 0; j < c; j++)
            sum += P[i * c + j] = exp((double)z[i * c + j] - max);
        for (int64_t j = 0; j < c; j++)
            P[i * c + j] /= sum;
    }
}

static void holds_on(dal_runtime *rt, dal_rng *r, int64_t passes, int64_t n, int64_t c, double sharp)
{
    const int64_t all = passes * n * c;
    const dal_host *host = dal_runtime_host(rt, "test");
    float *z = malloc((size_t)all * sizeof *z), *p = malloc((size_t)all * sizeof *p);
    float *mean = malloc((size_t)(n * c) * sizeof *mean);
    double *P = malloc((size_t)all * sizeof *P), *row = malloc((size_t)(passes * c) * sizeof *row);
    double *got = malloc((size_t)n * sizeof *got), *m = malloc((size_t)c * sizeof *m), want[SCORES];
    draw(r, sharp, passes, n, c, z, P);
    for (int64_t i = 0; i < all; i++)
        p[i] = (float)P[i];
    for (uint32_t kind = DAL_LOGITS; kind <= DAL_PROBS; kind++) {
        const dal_tensor3 t = {kind == DAL_LOGITS ? z : p, passes, n, c};
        cr_assert_eq(dal_mc_mean(host, &t, kind, 0, n, mean, NULL), DAL_OK);
        for (int s = 0; s < SCORES; s++) {
            cr_assert_eq(scores[s](host, &t, kind, 0, n, got, NULL), DAL_OK);
            for (int64_t i = 0; i < n; i++) {
                for (int64_t k = 0; k < passes; k++)
                    memcpy(row + k * c, P + (k * n + i) * c, (size_t)c * sizeof *row);
                definitions(row, passes, c, m, want);
                cr_assert_float_eq(got[i], want[s], s == 4 ? 1e-11 : 2e-6,
                                   "score %d of kind %u, %lld passes, c %lld, row %lld: %.9g, expected %.9g", s,
                                   kind,
                                   (long long)passes, (long long)c, (long long)i, got[i], want[s]);
                for (int64_t j = 0; j < c; j++)
                    cr_assert_float_eq((double)mean[i * c + j], m[j], 1e-6);
            }
        }
    }
    free(z), free(p), free(mean), free(P), free(row), free(got), free(m);
}

Test(mc, equals_its_definitions_for_any_shape)
{
    static const int64_t widths[] = {1, 2, 3, 8, 10, 31, 127, 129, 300}, passes[] = {1, 2, 10, 33};
    dal_runtime *rt = fx_runtime(1, 1);
    dal_rng r = dal_rng_from_key(1);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t k = 0; k < sizeof passes / sizeof *passes; k++)
            holds_on(rt, &r, passes[k], 1 + (int64_t)(w * 5 + k) % 19, widths[w], k == 1 ? 0.01 : k == 2 ? 5 : 1);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(mc, is_relatively_exact_where_the_passes_almost_agree)
{
    dal_runtime *rt = fx_runtime(1, 1);
    for (int e = 4; e <= 20; e += 4) {
        const double d = pow(2, -e);
        const float p[4] = {0.5f, 0.5f, 0.5f + (float)d, 0.5f - (float)d};
        const double want = d * d / 2 + 7 * pow(d, 4) / 12; /* and so on */
        const dal_tensor3 t = {p, 2, 1, 2};
        double got;
        cr_assert_eq(dal_mc_bald(dal_runtime_host(rt, "test"), &t, DAL_PROBS, 0, 1, &got, NULL), DAL_OK);
        cr_assert_float_eq(got, want, 1e-4 * want, "d = 2^-%d: %g, expected %g", e, got, want);
    }
    dal_runtime_free(rt);
}

Test(mc, ranks_samples_that_are_almost_certain)
{
    enum { N = 20, C = 10, K = 3 };
    float z[K * N * C] = {0};
    double s[N];
    dal_runtime *rt = fx_runtime(1, 1);
    for (int k = 0; k < K; k++)
        for (int i = 0; i < N; i++)
            z[(k * N + i) * C + i % C] = 12 + (float)i + (float)k / 4; /* 1 - p from 6e-5 down to 3e-13 */
    const dal_tensor3 t = {z, K, N, C};
    for (int f = 0; f < 4; f++) {
        cr_assert_eq(scores[f](dal_runtime_host(rt, "test"), &t, DAL_LOGITS, 0, N, s, NULL), DAL_OK);
        for (int i = 1; i < N; i++)
            cr_assert(f >= 2 ? s[i] < s[i - 1] && s[i] > 0 : s[i] > s[i - 1] && s[i] < 1, "score %d, sample %d", f,
                      i);
    }
    dal_runtime_free(rt);
}

Test(mc, scores_a_row_nan_when_anything_in_it_is)
{
    enum { N = 11, C = 21, K = 4 };
    dal_runtime *rt = fx_runtime(1, 1);
    for (uint32_t kind = DAL_LOGITS; kind <= DAL_PROBS; kind++)
        for (int at = 0; at < C; at++) {
            float x[K * N * C];
            double got[N];
            for (int i = 0; i < K * N * C; i++)
                x[i] = 1.0f / C;
            x[(at % K * N + 3) * C + at] = NAN;
            x[((at + 1) % K * N + 7) * C + at] = INFINITY;
            const dal_tensor3 t = {x, K, N, C};
            for (int s = 0; s < SCORES; s++) {
                cr_assert_eq(scores[s](dal_runtime_host(rt, "test"), &t, kind, 0, N, got, NULL), DAL_OK);
                for (int i = 0; i < N; i++)
                    cr_assert_eq(isnan(got[i]) != 0, i == 3 || i == 7, "kind %u score %d row %d column %d: %g",
                                 kind, s, i, at, got[i]);
            }
        }
    dal_runtime_free(rt);
}

Test(mc, does_not_depend_on_a_rows_place_in_the_block)
{
    enum { N = 29, C = 13, K = 5 };
    dal_runtime *rt = fx_runtime(1, 1);
    dal_rng r = dal_rng_from_key(3);
    float z[K * N * C], one[K * C];
    double whole[N], alone;
    for (int i = 0; i < K * N * C; i++)
        z[i] = (float)dal_rng_normal(&r);
    const dal_tensor3 t = {z, K, N, C}, single = {one, K, 1, C};
    for (int s = 0; s < SCORES; s++) {
        scores[s](dal_runtime_host(rt, "test"), &t, DAL_LOGITS, 0, N, whole, NULL);
        for (int i = 0; i < N; i++) {
            for (int k = 0; k < K; k++)
                memcpy(one + k * C, z + (k * N + i) * C, C * sizeof *z);
            scores[s](dal_runtime_host(rt, "test"), &single, DAL_LOGITS, 0, 1, &alone, NULL);
            cr_assert_eq(memcmp(&alone, &whole[i], sizeof alone), 0, "score %d, row %d", s, i);
            scores[s](dal_runtime_host(rt, "test"), &t, DAL_LOGITS, i, 1, &alone, NULL);
            cr_assert_eq(memcmp(&alone, &whole[i], sizeof alone), 0, "score %d of row %d alone", s, i);
        }
    }
    dal_runtime_free(rt);
}

Test(mc, has_a_majority_of_the_lower_classes_in_a_tie)
{
    /* two passes, two classes: the first pass is undecided and votes for class 0 */
    const float p[4] = {0.5f, 0.5f, 0.4f, 0.6f};
    const dal_tensor3 t = {p, 2, 1, 2};
    dal_runtime *rt = fx_runtime(1, 1);
    double s;
    dal_mc_variation_ratios(dal_runtime_host(rt, "test"), &t, DAL_PROBS, 0, 1, &s, NULL);
    cr_assert(s > 0.5 && s < 0.500001, "one vote each: %.9g", s);
    dal_runtime_free(rt);
}
