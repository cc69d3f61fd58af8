/* The scores against their definitions in double, and against each other. */
#include <criterion/criterion.h>
#include <dal/linalg.h>
#include <dal/rng.h>
#include <dal/uncertainty.h>
#include <math.h>
#include <stdlib.h>

#include "sdk/lib/softmax.h" /* all forms of the loops are linked in beside libdal */

typedef void score_fn(const dal_outputs *o, double *out);
static score_fn *const scores[] = {dal_least_confidence, dal_margin, dal_entropy};

static dal_outputs outputs(const float *values, int64_t n, int64_t c, int64_t stride, uint32_t kind)
{
    return (dal_outputs){{values, n, c, stride}, kind, 0};
}

static double uniform(dal_rng *r, double low, double high)
{
    return low + (high - low) * dal_rng_uniform(r);
}

/* ---- slow twins ------------------------------------------------------------------------------- */

static void twin_probs(const float *p, int64_t c, double *out)
{
    double first = -1, second = 0, entropy = 0;
    for (int64_t k = 0; k < c; k++) {
        const double x = (double)p[k];
        if (x > first) {
            second = first < 0 ? 0 : first;
            first = x;
        } else if (x > second) {
            second = x;
        }
        entropy -= x > 0 ? x * log(x) : 0;
    }
    out[0] = first;
    out[1] = first - second;
    out[2] = entropy;
}

static void twin_logits(const float *z, int64_t c, double *out)
{
    double max = -INFINITY, sum = 0, second = -INFINITY;
    int64_t at = 0;
    for (int64_t k = 0; k < c; k++)
        if ((double)z[k] > max)
            max = (double)z[at = k];
    for (int64_t k = 0; k < c; k++) {
        sum += exp((double)z[k] - max);
        if (k != at && (double)z[k] > second)
            second = (double)z[k];
    }
    out[0] = 1 / sum;
    out[1] = -expm1(second - max) / sum;
    out[2] = 0;
    for (int64_t k = 0; k < c; k++) {
        const double ln_p = (double)z[k] - max - log(sum);
        out[2] -= exp(ln_p) > 0 ? exp(ln_p) * ln_p : 0;
    }
}

static const int64_t widths[] = {1, 2, 3, 7, 8, 9, 10, 16, 31, 100, 127, 128, 129, 257, 1000};

Test(uncertainty, equals_its_definition_from_logits_of_any_width)
{
    enum { N = 37 };
    dal_rng r = dal_rng_from_key(1);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (double scale = 0.01; scale < 100; scale *= 10) {
            const int64_t c = widths[w], ld = c + (int64_t)(w % 3);
            float *z = calloc((size_t)(N * ld), sizeof *z);
            double got[3][N], want[3];
            for (int64_t i = 0; i < N * ld; i++)
                z[i] = (float)(scale * dal_rng_normal(&r));
            const dal_outputs o = outputs(z, N, c, ld, DAL_LOGITS);
            for (int s = 0; s < 3; s++)
                scores[s](&o, got[s]);
            for (int64_t i = 0; i < N; i++) {
                twin_logits(z + i * ld, c, want);
                for (int s = 0; s < 3; s++)
                    cr_assert_float_eq(got[s][i], want[s], 1e-6 * (1 + want[s]),
                                       "score %d, c %lld, scale %g: %.9g, expected %.9g", s, (long long)c,
                                       scale, got[s][i], want[s]);
            }
            free(z);
        }
}

Test(uncertainty, equals_its_definition_from_probabilities_of_any_width)
{
    enum { N = 37 };
    dal_rng r = dal_rng_from_key(2);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int64_t c = widths[w], ld = c + (int64_t)(w % 3);
        float *p = calloc((size_t)(N * ld), sizeof *p);
        double got[3][N], want[3];
        for (int64_t i = 0; i < N; i++) {
            double sum = 0;
            for (int64_t k = 0; k < c; k++)
                sum += (double)(p[i * ld + k] = dal_rng_below(&r, 4) ? (float)exp(uniform(&r, -30, 0)) : 0);
            for (int64_t k = 0; k < c; k++)
                p[i * ld + k] = sum > 0 ? (float)((double)p[i * ld + k] / sum) : 1 / (float)c;
        }
        const dal_outputs o = outputs(p, N, c, ld, DAL_PROBS);
        for (int s = 0; s < 3; s++)
            scores[s](&o, got[s]);
        for (int64_t i = 0; i < N; i++) {
            twin_probs(p + i * ld, c, want);
            for (int s = 0; s < 3; s++)
                cr_assert_float_eq(got[s][i], want[s], 1e-6 * (1 + want[s]), "score %d, c %lld: %.9g, expected %.9g",
                                   s, (long long)c, got[s][i], want[s]);
        }
        free(p);
    }
}

/* ---- golden: fixture F1, worked by hand ------------------------------------------------------- */

static const float f1[12] = {0.70f, 0.20f, 0.10f, 0.34f, 0.33f, 0.33f, 0.50f, 0.48f, 0.02f, 0.90f, 0.05f, 0.05f};
static const double f1_scores[3][4] = {{.70, .34, .50, .90}, {.50, .01, .02, .85},
                                       {.801819, 1.098513, .777119, .394398}};

Test(uncertainty, agrees_with_the_worked_example)
{
    float z[12];
    for (int i = 0; i < 12; i++)
        z[i] = logf(f1[i]) + 3;
    const dal_outputs probs = outputs(f1, 4, 3, 3, DAL_PROBS), logits = outputs(z, 4, 3, 3, DAL_LOGITS);
    for (int s = 0; s < 3; s++) {
        double got[4];
        scores[s](&probs, got);
        for (int i = 0; i < 4; i++)
            cr_assert_float_eq(got[i], f1_scores[s][i], 1e-6);
        scores[s](&logits, got);
        for (int i = 0; i < 4; i++)
            cr_assert_float_eq(got[i], f1_scores[s][i], 1e-6);
    }
}

/* ---- laws ------------------------------------------------------------------------------------- */

Test(uncertainty, ranks_samples_that_are_almost_certain)
{
    float z[20 * 10] = {0};
    double s[20];
    for (int i = 0; i < 20; i++) {
        z[i * 10 + i % 10] = 12 + (float)i; /* 1 - p from 6e-5 down to 3e-13 */
        z[i * 10 + (i + 8) % 10] = 1;       /* in the same lane sometimes */
    }
    const dal_outputs o = outputs(z, 20, 10, 10, DAL_LOGITS);
    for (int f = 0; f < 3; f++) {
        scores[f](&o, s);
        for (int i = 1; i < 20; i++)
            cr_assert(f == 2 ? s[i] < s[i - 1] && s[i] > 0 : s[i] > s[i - 1] && s[i] < 1, "score %d, sample %d", f,
                      i);
    }
}

Test(uncertainty, is_exact_at_its_ends)
{
    const float inf = INFINITY;
    const float z[4][4] = {{1, 1, 1, 1}, {-inf, 5, -inf, -inf}, {2e38f, -2e38f, 0, 0}, {3, 3, -inf, -inf}};
    double s[4];
    const dal_outputs o = outputs(z[0], 4, 4, 4, DAL_LOGITS);
    dal_least_confidence(&o, s);
    cr_assert(s[0] == 0.25 && s[1] == 1 && s[2] == 1 && s[3] == 0.5);
    dal_margin(&o, s);
    cr_assert(s[0] == 0 && s[1] == 1 && s[2] == 1 && s[3] == 0);
    dal_entropy(&o, s);
    cr_assert(s[1] == 0 && s[2] == 0);
    cr_assert_float_eq(s[0], log(4), 2e-7);
    cr_assert_float_eq(s[3], log(2), 1e-7);
    const float p[2][3] = {{1, 0, 0}, {0.5f, 0.5f, 0}};
    const dal_outputs q = outputs(p[0], 2, 3, 3, DAL_PROBS);
    dal_entropy(&q, s);
    cr_assert(s[0] == 0 && !signbit(s[0]));
    cr_assert_float_eq(s[1], log(2), 1e-7);
}

Test(uncertainty, scores_a_row_nan_when_anything_in_it_is)
{
    enum { N = 11, C = 21 };
    for (uint32_t kind = DAL_LOGITS; kind <= DAL_PROBS; kind++)
        for (int at = 0; at < C; at++) {
            float x[N * C];
            double got[N];
            for (int i = 0; i < N * C; i++)
                x[i] = 1.0f / C;
            const uint32_t payload = 0x7fc001ffu;
            memcpy(&x[3 * C + at], &payload, sizeof payload);
            x[7 * C + at] = INFINITY;
            const dal_outputs o = outputs(x, N, C, C, kind);
            for (int s = 0; s < 3; s++) {
                scores[s](&o, got);
                for (int i = 0; i < N; i++)
                    cr_assert_eq(isnan(got[i]) != 0, i == 3 || (i == 7 && !(kind == DAL_PROBS && s == 2)),
                                 "kind %u score %d row %d column %d: %g", kind, s, i, at, got[i]);
            }
        }
    float none[3] = {-INFINITY, -INFINITY, -INFINITY};
    double got;
    for (int s = 0; s < 3; s++) {
        const dal_outputs o = outputs(none, 1, 3, 3, DAL_LOGITS), empty = outputs(none, 1, 0, 3, DAL_LOGITS);
        scores[s](&o, &got);
        cr_assert(isnan(got));
        scores[s](&empty, &got);
        cr_assert(isnan(got));
    }
}

Test(uncertainty, does_not_depend_on_a_rows_place_in_the_block)
{
    enum { N = 29, C = 13 };
    dal_rng r = dal_rng_from_key(3);
    float z[N * C];
    double whole[N], alone;
    for (int i = 0; i < N * C; i++)
        z[i] = (float)dal_rng_normal(&r);
    for (int s = 0; s < 3; s++) {
        const dal_outputs o = outputs(z, N, C, C, DAL_LOGITS);
        scores[s](&o, whole);
        for (int i = 0; i < N; i++) {
            const dal_outputs one = outputs(z + i * C, 1, C, C, DAL_LOGITS);
            scores[s](&one, &alone);
            cr_assert_eq(memcmp(&alone, &whole[i], sizeof alone), 0);
        }
    }
}

#ifdef HAVE_X86_KERNELS
/* Everything a table computes of a tile. */
typedef struct results {
    tile_top max, top;
    tile_sums exp, rest, entropy;
    double gaps[TILES * TILE], log_sums[TILES * TILE], p_ln_p[TILE], divergence[TILE];
    float nan[TILE], softmax[TILE * 300];
} results;

static void run_kernels(const softmax_kernels *k, const tile *t, const tile *about, results *all)
{
    memset(all, 0, sizeof *all);
    k->max(t, &all->max);
    k->top(t, &all->top);
    k->nan(t, all->nan);
    k->sum_exp(t, all->top.max, &all->exp);
    k->sum_rest(t, all->top.max, &all->rest);
    k->sum_entropy(t, all->top.max, &all->entropy);
    tile_top tops[TILES];
    tile_sums rests[TILES];
    for (int i = 0; i < TILES; i++) { /* of differing tiles */
        tops[i] = i % 2 ? all->top : all->max;
        rests[i] = i % 2 ? all->rest : all->entropy;
    }
    k->gaps(tops, all->gaps);
    k->log_sums(rests, all->log_sums);
    k->sum_p_ln_p(t, all->p_ln_p);
    k->sum_divergence(t, about, all->divergence);
    k->softmax(t, all->softmax);
}

static void same_as_plain(const softmax_kernels *k)
{
    dal_rng r = dal_rng_from_key(4);
    static results got, want;
    static float z[TILE * 300], q[TILE * 300];
    for (int64_t c = 1; c <= 300; c += c < 20 ? 1 : 37)
        for (int kind = 0; kind < 4; kind++) {
            for (int64_t i = 0; i < TILE * c; i++)
                z[i] = kind == 1 ? (float)dal_rng_uniform(&r) : (float)((kind ? 20 : 0.01) * dal_rng_normal(&r));
            if (kind == 3)
                z[dal_rng_below(&r, c)] = -INFINITY;
            const tile t = {z, 1 + dal_rng_below(&r, TILE), c, c, z};
            for (int64_t i = 0; i < TILE * c; i++)
                q[i] = (float)(dal_rng_uniform(&r) * (i % 5 ? 1 : (double)z[i]));
            const tile about = {q, t.n, c, c, q};
            run_kernels(k, &t, &about, &got);
            run_kernels(&softmax_plain, &t, &about, &want);
            cr_assert_eq(memcmp(&got, &want, sizeof got), 0, "c %lld, kind %d", (long long)c, kind);
        }
}

Test(uncertainty, has_the_same_bits_with_avx2)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        cr_skip_test("no AVX2 here");
    same_as_plain(&softmax_avx2);
}

Test(uncertainty, has_the_same_bits_with_avx512)
{
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq"))
        cr_skip_test("no AVX-512 here");
    same_as_plain(&softmax_avx512);
}
#endif

Test(softmax, sums_to_one_and_keeps_huge_gaps)
{
    dal_rng r = dal_rng_from_key(5);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int64_t c = widths[w], ld = c + 2;
        float *z = calloc((size_t)(11 * ld), sizeof *z);
        double *want = calloc((size_t)(11 * ld), sizeof *want);
        for (int64_t i = 0; i < 11; i++) {
            double sum = 0, max = -INFINITY;
            for (int64_t k = 0; k < ld; k++)
                max = fmax(max, (double)(z[i * ld + k] = k < c ? (float)(10 * dal_rng_normal(&r)) : 77));
            max = -INFINITY;
            for (int64_t k = 0; k < c; k++)
                max = fmax(max, (double)z[i * ld + k]);
            for (int64_t k = 0; k < c; k++)
                sum += want[i * ld + k] = exp((double)z[i * ld + k] - max);
            for (int64_t k = 0; k < c; k++)
                want[i * ld + k] /= sum;
        }
        dal_softmax(z, 11, c, ld);
        for (int64_t i = 0; i < 11; i++) {
            for (int64_t k = 0; k < c; k++) /* z - max is a float: off by 4e-6 at 60 */
                cr_assert_float_eq((double)z[i * ld + k], want[i * ld + k], 5e-6 * want[i * ld + k] + 1e-37);
            cr_assert(z[i * ld + c] == 77, "nothing beyond the row is touched");
        }
        free(z);
        free(want);
    }
    float z[3] = {-INFINITY, 0, -1e30f};
    dal_softmax(z, 1, 3, 3);
    cr_assert(z[0] == 0 && z[1] == 1 && z[2] == 0);
}
