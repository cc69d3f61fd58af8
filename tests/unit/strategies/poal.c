/* Sets that no other beats in both objectives. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/class_gaussians.c"
#include "plugins/strategies/poal.c"

static const double worked_a[] = {.9, .8, .5, .6, .2, .1}, worked_b[] = {.1, .4, .7, .3, .9, .2};

Test(poal, peels_the_layers_of_the_worked_example)
{
    point p[6], spare[6];
    make_points(worked_a, worked_b, 6, p);
    cr_assert_eq(peel(p, 6, 1, spare), 4);
    cr_assert(p[0].row == 0 && p[1].row == 1 && p[2].row == 2 && p[3].row == 4);
    make_points(worked_a, worked_b, 6, p);
    cr_assert_eq(peel(p, 6, 5, spare), 5);
    cr_assert_eq(p[4].row, 3);
    make_points(worked_a, worked_b, 6, p);
    cr_assert_eq(peel(p, 6, 12, spare), 6);
    cr_assert_eq(p[5].row, 5);
}

Test(poal, finds_the_front_of_the_worked_example_and_chooses_from_it)
{
    dal_runtime *rt = fx_runtime(1, 1);
    for (int32_t swap = 0; swap < 2; swap++) {
        const options opt = {6, 2000, swap, 0, 0};
        point p[6];
        int64_t often[6], rows[2];
        double scores[2];
        make_points(worked_a, worked_b, 6, p);
        search s = {.host = dal_runtime_host(rt, "test"), .opt = &opt, .p = p, .n = 6, .size = 2,
                    .rng = dal_rng_from_key(3)};
        cr_assert_eq(explore(&s, NULL), DAL_OK);
        const double a[] = {1.7, 1.4, 1.3, 1.0, .7}, b[] = {.5, .8, 1.1, 1.3, 1.6};
        cr_assert_eq(s.found.n, 5);
        for (int i = 0; i < 5; i++) {
            cr_assert_float_eq((double)s.found.a[i] * .9 * 0x1p-40, a[i], 1e-9);
            cr_assert_float_eq((double)s.found.b[i] * .9 * 0x1p-40, b[i], 1e-9);
        }
        choose(&s, often, rows, scores);
        cr_assert(rows[0] == 1 && rows[1] == 2 && scores[0] == 3 && scores[1] == 3);
        search_free(&s);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(poal, stops_when_the_front_has_come_to_rest)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const options opt = {6, 100000, 0, 1, 0};
    point p[6];
    make_points(worked_a, worked_b, 6, p);
    search s = {.host = dal_runtime_host(rt, "test"), .opt = &opt, .p = p, .n = 6, .size = 2,
                .rng = dal_rng_from_key(3)};
    cr_assert_eq(explore(&s, NULL), DAL_OK);
    cr_assert(s.looks > LOOKS && s.looks < 20, "%lld looks", (long long)s.looks);
    search_free(&s);
    dal_runtime_free(rt);
}

Test(poal, measures_the_discrepancy_of_two_sets_of_points)
{
    /* one point each, 2 apart: bandwidth 4; 2 x 5 - 2 sum exp(-4 / (4 f)), f = 1/4 .. 4 */
    const double x[] = {0, 0}, y[] = {2, 0};
    const double want = 10 - 2 * (exp(-4) + exp(-2) + exp(-1) + exp(-.5) + exp(-.25));
    cr_assert_float_eq(discrepancy(x, 1, y, 1), want, 1e-12);
    const double same[] = {1, 2, 3, 5, 1, 2};
    cr_assert_float_eq(discrepancy(same, 3, same, 3), 0, 1e-12);
    cr_assert_eq(discrepancy(x, 1, x, 1), 0);
}

/* ---- slow and obvious ---- */

/* max_k -1/2 (h - mu_k)' Sigma^-1 (h - mu_k), and Sigma^-1 (mu_k - h) of that k: by elimination with pivots. */
static double slow_m(const double *mu, const int64_t *count, int64_t c, const double *sigma, int64_t d, const double *h,
                     double *towards)
{
    double *m = calloc((size_t)(d * (d + 1)), sizeof *m), most = -INFINITY;
    for (int64_t k = 0; k < c; k++) {
        if (!count[k])
            continue;
        for (int64_t j = 0; j < d; j++) {
            memcpy(m + j * (d + 1), sigma + j * d, (size_t)d * sizeof *m);
            m[j * (d + 1) + d] = h[j] - mu[k * d + j];
        }
        double form = 0;
        for (int64_t j = 0; j < d; j++) {
            int64_t pivot = j;
            for (int64_t q = j; q < d; q++)
                pivot = fabs(m[q * (d + 1) + j]) > fabs(m[pivot * (d + 1) + j]) ? q : pivot;
            for (int64_t t = 0; t <= d; t++) {
                const double swap = m[j * (d + 1) + t];
                m[j * (d + 1) + t] = m[pivot * (d + 1) + t];
                m[pivot * (d + 1) + t] = swap;
            }
            for (int64_t q = 0; q < d; q++) {
                const double f = q == j ? 0 : m[q * (d + 1) + j] / m[j * (d + 1) + j];
                for (int64_t t = 0; t <= d; t++)
                    m[q * (d + 1) + t] -= f * m[j * (d + 1) + t];
            }
        }
        for (int64_t j = 0; j < d; j++)
            form += (h[j] - mu[k * d + j]) * m[j * (d + 1) + d] / m[j * (d + 1) + j];
        if (-form / 2 > most) {
            most = -form / 2;
            for (int64_t j = 0; j < d; j++)
                towards[j] = -m[j * (d + 1) + d] / m[j * (d + 1) + j];
        }
    }
    free(m);
    return most;
}

/* Features of an input of the kit's models. */
static double slow_feature(int curved, double x)
{
    return curved ? tanh(x) : x;
}

static void slow_objectives(const fx_round *r, double step, int curved, double *a, double *b)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    const int64_t d = r->d, c = r->c;
    double *mu = calloc((size_t)(c * d), sizeof *mu), *h = calloc((size_t)(2 * d), sizeof *h), *towards = h + d,
        trace = 0,
           p[1000];
    double *sigma = calloc((size_t)(d * d), sizeof *sigma), least = INFINITY;
    int64_t count[1000] = {0};
    for (int64_t i = 0; i < l->n; i++) {
        count[l->classes[i]]++;
        for (int64_t j = 0; j < d; j++)
            mu[l->classes[i] * d + j] += (double)l->features[i * d + j];
    }
    for (int64_t k = 0; k < c * d; k++)
        mu[k] /= count[k / d] ? (double)count[k / d] : 1;
    for (int64_t i = 0; i < l->n; i++)
        for (int64_t j = 0; j < d * d; j++)
            sigma[j] += ((double)l->features[i * d + j / d] - mu[l->classes[i] * d + j / d]) *
                        ((double)l->features[i * d + j % d] - mu[l->classes[i] * d + j % d]) / (double)l->n;
    for (int64_t j = 0; j < d; j++)
        trace += sigma[j * d + j];
    for (int64_t j = 0; j < d; j++)
        sigma[j * d + j] += trace > 0 ? 1e-6 * trace / (double)d : 1;
    for (int64_t i = 0; i < pool->n; i++) {
        a[i] = 0;
        fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
        for (int64_t k = 0; k < c; k++)
            a[i] -= p[k] > 0 ? p[k] * log(p[k]) : 0;
        for (int64_t j = 0; j < d; j++)
            h[j] = (double)(float)slow_feature(curved, (double)pool->features[i * d + j]);
        b[i] = slow_m(mu, count, c, sigma, d, h, towards);
        for (int64_t j = 0; step > 0 && j < d; j++) { /* tanh rises, so the step has the sign of the slope */
            const float x = pool->features[i * d + j],
                up = (float)step * ((float)(towards[j] > 0) - (float)(towards[j] < 0));
            h[j] = (double)(float)slow_feature(curved, (double)(x + up));
        }
        if (step > 0)
            b[i] = slow_m(mu, count, c, sigma, d, h, towards);
        least = fmin(least, b[i]);
    }
    for (int64_t i = 0; i < pool->n; i++)
        b[i] -= least;
    free(mu);
    free(h);
    free(sigma);
}

typedef struct slow_set {
    int64_t a, b;
    char *in; /* [n] */
} slow_set;

static int dominates(int64_t a, int64_t b, int64_t x, int64_t y)
{
    return a >= x && b >= y && (a > x || b > y);
}

static int64_t slow_picks(const fx_round *r, const dal_host *host, const void *options_, int curved, int64_t b,
                          int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    double *fa = malloc((size_t)n * sizeof *fa), *fb = malloc((size_t)n * sizeof *fb), most_a = 0, most_b = 0;
    int64_t *a = malloc((size_t)n * sizeof *a), *bb = malloc((size_t)n * sizeof *bb), kept = 0;
    int64_t *left = malloc((size_t)n * sizeof *left);
    char *gone = calloc((size_t)n, 1);
    b = b < n ? b : n;
    slow_objectives(r, opt->step, curved, fa, fb);
    for (int64_t i = 0; i < n; i++) {
        most_a = fmax(most_a, fa[i]);
        most_b = fmax(most_b, fb[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        a[i] = most_a > 0 ? llround(fa[i] / most_a * 0x1p40) : 0;
        bb[i] = most_b > 0 ? llround(fb[i] / most_b * 0x1p40) : 0;
    }
    while (kept < n && kept < opt->factor * b) {
        int64_t layer = 0;
        for (int64_t i = 0; i < n; i++) {
            int beaten = gone[i];
            for (int64_t j = 0; j < n; j++)
                beaten |= !gone[j] && dominates(a[j], bb[j], a[i], bb[i]);
            if (!beaten)
                left[kept + layer++] = i;
        }
        /* by A, then B, then row */
        for (int64_t i = 0; i < layer; i++)
            for (int64_t j = i; j > 0; j--) {
                const int64_t x = left[kept + j], y = left[kept + j - 1];
                if (a[x] < a[y] || (a[x] == a[y] && (bb[x] < bb[y] || (bb[x] == bb[y] && x > y))))
                    break;
                left[kept + j] = y;
                left[kept + j - 1] = x;
            }
        for (int64_t i = 0; i < layer; i++)
            gone[left[kept + i]] = 1;
        kept += layer;
    }
    if (kept > b) {
        for (int64_t i = 0; i < kept; i++)
            for (int64_t j = i; j > 0; j--) {
                const int64_t x = left[j], y = left[j - 1];
                if (a[x] < a[y] || (a[x] == a[y] && (bb[x] < bb[y] || (bb[x] == bb[y] && x > y))))
                    break;
                left[j] = y;
                left[j - 1] = x;
            }
        static slow_set found[20000];
        int64_t n_found = 0, draws = opt->draws ? opt->draws : b * kept;
        int32_t *order = malloc((size_t)kept * sizeof *order);
        dal_rng rng = host->rng(host, "sets", r->round);
        for (int32_t i = 0; i < kept; i++)
            order[i] = i;
        for (int64_t t = 0; t < draws; t++) {
            slow_set s = {0, 0, calloc((size_t)kept, 1)};
            int worse = 0;
            for (int64_t i = 0; i < b; i++) {
                const int64_t j = i + dal_rng_below(&rng, kept - i);
                const int32_t x = order[i];
                order[i] = order[j];
                order[j] = x;
                s.in[order[i]] = 1;
                s.a += a[left[order[i]]];
                s.b += bb[left[order[i]]];
            }
            for (int64_t m = 0; m < n_found; m++)
                worse |= found[m].a >= s.a && found[m].b >= s.b;
            if (worse) {
                free(s.in);
                continue;
            }
            int64_t stay = 0;
            for (int64_t m = 0; m < n_found; m++)
                if (dominates(s.a, s.b, found[m].a, found[m].b))
                    free(found[m].in);
                else
                    found[stay++] = found[m];
            n_found = stay;
            found[n_found++] = s;
        }
        int64_t *often = calloc((size_t)kept, sizeof *often), most = -1, best = 0;
        for (int64_t m = 0; m < n_found; m++)
            for (int64_t i = 0; i < kept; i++)
                often[i] += found[m].in[i];
        for (int64_t m = 0; m < n_found; m++) { /* in the order found */
            int64_t sum = 0;
            for (int64_t i = 0; i < kept; i++)
                sum += found[m].in[i] ? often[i] : 0;
            if (sum > most) {
                most = sum;
                best = m;
            }
        }
        for (int64_t k = 0; k < b; k++) {
            int64_t top = -1;
            for (int64_t i = 0; i < kept; i++)
                if (found[best].in[i] && (top < 0 || often[i] > often[top]))
                    top = i;
            found[best].in[top] = 0;
            rows[k] = left[top];
        }
        for (int64_t m = 0; m < n_found; m++)
            free(found[m].in);
        free(often);
        free(order);
    } else {
        memcpy(rows, left, (size_t)b * sizeof *rows);
    }
    free(fa);
    free(fb);
    free(a);
    free(bb);
    free(left);
    free(gone);
    return b;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    return slow_picks(r, host, opt, 0, b, rows);
}

static int64_t curved_twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    return slow_picks(r, host, opt, 1, b, rows);
}

static const options in_full = {6, 0, 0, 0, 0}, usual = {6, 0, 0, 1, 0}, stepping = {6, 0, 0, 0, .05};

static const fx_spec shapes[] = {
    {1, 40, 30, 0, 3, 5, 0, 0},
    {2, 150, 60, 0, 10, 16, 0, FX_LOGITS},
    {5, 50, 20, 0, 5, 6, 0, FX_ZERO_ROWS | FX_LOGITS},
    {7, 45, 11, 0, 4, 4, 0, FX_ONE_CLASS | FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0},
    {12, 60, 30, 8, 4, 8, 0, 0},
};

Test(poal, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&poal_impl, &in_full, twin, shapes, sizeof shapes / sizeof *shapes, 25);
}

Test(poal, takes_a_layer_as_it_is_when_that_is_all_it_wants)
{
    static fx_picks p;
    fx_round *r = fx_round_random(&shapes[0]);
    fx_select(r, &poal_impl, &usual, 40, 1, &p);
    cr_assert_eq(p.n, 40);
    fx_round_free(r);
}

Test(poal, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&shapes[1]);
    fx_select(r, &poal_impl, &usual, 10, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &poal_impl, &usual, 10, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 10 * sizeof *a.rows);
    fx_round_free(r);
}

Test(poal, says_what_it_cannot_work_with)
{
    static fx_picks p;
    const fx_spec none = {3, 20, 0, 0, 2, 3, 0, 0}, bad = {1, 40, 10, 0, 3, 5, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&none);
    fx_try(r, &poal_impl, &usual, 2, 1, &p);
    cr_assert_str_eq(p.err.text, "nothing is labelled, so nothing tells what is in distribution");
    fx_round_free(r);
    r = fx_round_random(&bad);
    fx_try(r, &poal_impl, &usual, 2, 1, &p);
    cr_assert_str_eq(p.err.text, "the outputs of sample 40 are not numbers");
    r->set[0].features[5] = NAN;
    fx_try(r, &poal_impl, &usual, 2, 1, &p);
    cr_assert_str_eq(p.err.text, "the features of sample 20 are not numbers");
    fx_round_free(r);
}

Test(poal, survives_when_there_is_no_memory)
{
    const fx_spec tiny = {1, 20, 10, 0, 3, 4, 0, 0};
    fx_survives_no_memory(&poal_impl, &usual, &tiny, 3);
}

/* ---- after a step of the inputs ---- */

Test(poal_step, picks_what_its_slow_twin_picks)
{
    const fx_spec straight[] = {
        {1, 40, 30, 0, 3, 5, 0, FX_MODEL},
        {2, 150, 60, 0, 10, 16, 0, FX_LOGITS | FX_MODEL},
        {7, 45, 11, 0, 4, 4, 0, FX_ONE_CLASS | FX_LOGITS | FX_MODEL},
        {9, 3, 2, 0, 2, 2, 0, FX_MODEL},
        {12, 60, 30, 8, 4, 8, 0, FX_MODEL},
    };
    const fx_spec curved[] = {{3, 80, 40, 0, 3, 6, 0, FX_LOGITS | FX_CURVED}, {4, 300, 20, 0, 4, 5, 0, FX_CURVED}};
    fx_twin_agrees(&step_impl, &stepping, twin, straight, sizeof straight / sizeof *straight, 25);
    fx_twin_agrees(&step_impl, &stepping, curved_twin, curved, sizeof curved / sizeof *curved, 25);
}

Test(poal_step, knows_where_its_confidence_rises)
{
    dal_runtime *rt = fx_runtime(1, 1);
    double mean[] = {1, 0, -3, 2}, white[4], factor[] = {2, 0, 1, .5}; /* Sigma = L L' = (4 2, 2 1.25) */
    const class_gaussians g = {.host = dal_runtime_host(rt, "test"), .c = 3, .d = 2, .n_means = 2, .mean = mean,
                               .white = white, .factor = factor};
    const float x[] = {2, -1, -2.5f, 2.25f};
    const double inverse[] = {1.25, -2, -2, 4}; /* its determinant is 1 */
    double m[2];
    float slope[4];
    for (int k = 0; k < 4; k += 2) {
        memcpy(white + k, mean + k, 2 * sizeof *white);
        cr_assert_eq(dal_lower_solve(2, factor, 1, white + k, NULL), DAL_OK);
    }
    cr_assert_eq(class_gaussians_score(&g, x, 2, 2, m, slope), DAL_OK);
    for (int i = 0; i < 2; i++) {
        const double u = (double)x[2 * i] - mean[2 * i], v = (double)x[2 * i + 1] - mean[2 * i + 1];
        const double by_u = inverse[0] * u + inverse[1] * v, by_v = inverse[2] * u + inverse[3] * v;
        cr_assert_float_eq(m[i], -.5 * (u * by_u + v * by_v), 1e-12);
        cr_assert_float_eq((double)slope[2 * i], -by_u, 1e-6);
        cr_assert_float_eq((double)slope[2 * i + 1], -by_v, 1e-6);
    }
    dal_runtime_free(rt);
}

Test(poal_step, says_what_is_missing)
{
    static fx_picks p;
    fx_round *r = fx_round_random(&shapes[0]);
    fx_try(r, &step_impl, &stepping, 2, 1, &p);
    cr_assert_eq(p.status, DAL_E_UNSUPPORTED);
    cr_assert_str_eq(p.err.text, "there is no live model here, only its matrices");
    fx_round_free(r);
}

Test(poal_step, survives_when_there_is_no_memory)
{
    const fx_spec tiny = {1, 20, 10, 0, 3, 4, 0, FX_MODEL};
    fx_survives_no_memory(&step_impl, &stepping, &tiny, 3);
}
