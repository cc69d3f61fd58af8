/* badge through its table. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/badge.c"

static const float probs[12] = {.7f, .2f, .1f, .34f, .33f, .33f, .5f, .48f, .02f, .9f, .05f, .05f};
static const float features[8] = {1, 0, 0, 2, 3, 0, 1, 1};
static const options plain = {.seeding = DAL_SEED_KMEANSPP};
static const options farthest = {.seeding = SEEDING_FARTHEST};
static const options textbook = {.first = 1, .bias = 1, .seeding = DAL_SEED_KMEANSPP};
static const options process_of_6 = {.seeding = SEEDING_DPP, .candidates = 6};
static const options process_of_all = {.bias = 1, .seeding = SEEDING_DPP, .candidates = 1000000};

Test(badge, picks_the_worked_example)
{
    static fx_picks p;
    fx_round *r = fx_round_of(4, 3, probs, 2, features);
    fx_select(r, &badge_impl, &farthest, 4, 1, &p);
    cr_assert(p.rows[0] == 2 && p.rows[1] == 1 && p.rows[2] == 0 && p.rows[3] == 3);
    cr_assert(isnan(p.scores[0]));
    cr_assert_float_eq(p.scores[1], 6.9408, 1e-5);
    fx_round_free(r);
}

Test(badge, draws_the_second_in_proportion_to_squared_distance)
{
    enum { TIMES = 3000 };
    static fx_picks p;
    const double want[4] = {.215459, .501967, 0, .282573};
    double times[4] = {0};
    fx_round *r = fx_round_of(4, 3, probs, 2, features);
    for (uint64_t seed = 0; seed < TIMES; seed++) {
        fx_try(r, &badge_impl, &plain, 2, seed, &p);
        cr_assert_eq(p.ids[0], 30);
        times[p.ids[1] / 10 - 1]++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(times[i] / TIMES, want[i], .035, "row %d: %g", i, times[i] / TIMES);
    fx_round_free(r);
}

Test(badge, starts_anywhere_when_told)
{
    static fx_picks p;
    int64_t times[4] = {0};
    fx_round *r = fx_round_of(4, 3, probs, 2, features);
    for (uint64_t seed = 0; seed < 80; seed++) {
        fx_try(r, &badge_impl, &textbook, 1, seed, &p);
        times[p.ids[0] / 10 - 1]++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert_geq(times[i], 5, "sample %d starts %lld of 80 times", i, (long long)times[i]);
    fx_round_free(r);
}

/* ---- the twin: gradients as the matrices they are, in double ----------------------------------- */

static double *gradient(const fx_round *r, int64_t i, int32_t bias)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    double *g = calloc((size_t)(r->c * (r->d + 1)), sizeof *g), *a = malloc((size_t)r->c * sizeof *a);
    int64_t y = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, i, a);
    for (int64_t k = 1; k < r->c; k++)
        y = pool->outputs[i * r->c + k] > pool->outputs[i * r->c + y] ? k : y;
    a[y] = 0;
    for (int64_t k = 0; k < r->c; k++) {
        a[k] = k != y && a[k] < FLT_MIN ? 0 : a[k];
        a[y] -= k == y ? 0 : a[k]; /* p_y - 1, for a model that is certain */
    }
    for (int64_t k = 0; k < r->c; k++)
        for (int64_t j = 0; j <= r->d; j++)
            g[k * (r->d + 1) + j] = a[k] * (j < r->d ? pool->features[i * r->d + j] : bias);
    free(a);
    return g;
}

static double squared_distance(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (x[k] - (y ? y[k] : 0)) * (x[k] - (y ? y[k] : 0));
    return sum;
}

typedef struct slow {
    int64_t n, width;
    double **g, *live, *line; /* [n] D now, and when it was counted */
} slow;

static int64_t argmax(const slow *s)
{
    int64_t best = 0;
    for (int64_t i = 1; i < s->n; i++)
        best = s->live[i] > s->live[best] ? i : best;
    return best;
}

/* A dart at the line (dal/gradient.h); -1: lost. */
static int64_t dart(const slow *s, dal_rng *stream)
{
    double length = 0, at = 0;
    for (int64_t i = 0; i < s->n; i++)
        length += s->line[i];
    const double place = dal_rng_uniform(stream) * length;
    for (int64_t i = 0; i < s->n; at += s->line[i++])
        if (place < at + s->line[i])
            return place - at < s->live[i] ? i : -1;
    return -1;
}

/* Returns how many are picked before every distance is 0. */
static int64_t seed(const slow *s, const options *opt, dal_rng *stream, int64_t b, int64_t *rows)
{
    int64_t n = 0, since = 0, room = 0, misses = 0;
    double sum = 1;
    for (int64_t i = 0; i < s->n; i++)
        s->live[i] = squared_distance(s->g[i], NULL, s->width);
    rows[n++] = opt->first == FIRST_LARGEST ? argmax(s) : dal_rng_below(stream, s->n);
    for (int64_t i = 0; i < s->n; i++)
        s->live[i] = INFINITY;
    while (n < b) {
        sum = 0;
        for (int64_t i = 0; i < s->n; i++)
            sum += s->live[i] = fmin(s->live[i], squared_distance(s->g[i], s->g[rows[n - 1]], s->width));
        if (!(sum > 0))
            break;
        for (int64_t row = -1; row < 0; misses++) {
            if (since == room || misses == DAL_SEED_MISSES) {
                memcpy(s->line, s->live, (size_t)s->n * sizeof *s->line);
                room = n < DAL_SEED_BLOCK ? n : DAL_SEED_BLOCK;
                since = misses = 0;
            }
            row = opt->seeding == SEEDING_FARTHEST ? argmax(s) : dart(s, stream);
            if (row >= 0) {
                rows[n++] = row;
                since++;
                misses--;
            }
        }
    }
    return n;
}

static double entropy(const fx_round *r, int64_t i)
{
    double *p = malloc((size_t)r->c * sizeof *p), sum = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
    for (int64_t k = 0; k < r->c; k++)
        sum -= p[k] > 0 ? p[k] * log(p[k]) : 0;
    free(p);
    return sum;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    slow s = {n, r->c * (r->d + 1), malloc((size_t)n * sizeof *s.g), malloc((size_t)n * sizeof *s.live),
              malloc((size_t)n * sizeof *s.line)};
    dal_rng stream = host->rng(host, "draw", r->round);
    for (int64_t i = 0; i < n; i++)
        s.g[i] = gradient(r, i, opt->bias);
    for (int64_t k = seed(&s, opt, &stream, b, rows); k < b; k++) {
        rows[k] = -1;
        for (int64_t i = 0; i < n; i++) {
            int taken = 0;
            for (int64_t j = 0; j < k; j++)
                taken |= rows[j] == i;
            if (!taken && (rows[k] < 0 || entropy(r, i) > entropy(r, rows[k]) + 1e-12))
                rows[k] = i;
        }
    }
    for (int64_t i = 0; i < n; i++)
        free(s.g[i]);
    free(s.g);
    free(s.live);
    free(s.line);
    return b;
}

/* ---- k-DPP: how often each pair of a round is drawn, beside det of the gradients' inner products -- */

static double determinant(const fx_round *r, int64_t i, int64_t j, int32_t bias)
{
    double *x = gradient(r, i, bias), *y = gradient(r, j, bias), xx = 0, yy = 0, xy = 0;
    for (int64_t k = 0; k < r->c * (r->d + 1); k++) {
        xx += x[k] * x[k];
        yy += y[k] * y[k];
        xy += x[k] * y[k];
    }
    free(x);
    free(y);
    return xx * yy - xy * xy;
}

Test(badge, draws_pairs_in_proportion_to_their_determinant)
{
    enum { TIMES = 3000 };
    static fx_picks p;
    double want[4][4] = {{0}}, times[4][4] = {{0}}, sum = 0;
    fx_round *r = fx_round_of(4, 3, probs, 2, features);
    for (int64_t i = 0; i < 4; i++)
        for (int64_t j = 0; j < i; j++)
            sum += want[i][j] = determinant(r, i, j, 1);
    for (uint64_t seed = 0; seed < TIMES; seed++) {
        fx_try(r, &badge_impl, &process_of_all, 2, seed, &p);
        const int64_t a = p.ids[0] / 10 - 1, b = p.ids[1] / 10 - 1;
        times[a > b ? a : b][a > b ? b : a]++;
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            cr_assert_float_eq(times[i][j] / TIMES, want[i][j] / sum, .035, "rows %d and %d: %g, not %g", i, j,
                               times[i][j] / TIMES, want[i][j] / sum);
    fx_round_free(r);
}

Test(badge, draws_a_process_from_the_largest_gradients_alone)
{
    static fx_picks p;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    double *norm = malloc((size_t)n * sizeof *norm);
    for (int64_t i = 0; i < n; i++) {
        double *g = gradient(r, i, 0);
        norm[i] = squared_distance(g, NULL, r->c * (r->d + 1));
        free(g);
    }
    fx_select(r, &badge_impl, &process_of_6, 4, 1, &p);
    for (int i = 0; i < 4; i++) {
        int64_t larger = 0;
        for (int64_t j = 0; j < n; j++)
            larger += norm[j] > norm[p.rows[i]];
        cr_assert_lt(larger, 6, "pick %d is number %lld by size", i, (long long)larger);
    }
    free(norm);
    fx_round_free(r);
}

Test(badge, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&badge_impl, &plain, twin, fx_shapes, fx_n_shapes, 100);
    fx_twin_agrees(&badge_impl, &farthest, twin, fx_shapes, fx_n_shapes, 100);
    fx_twin_agrees(&badge_impl, &textbook, twin, fx_shapes, fx_n_shapes, 100);
}

Test(badge, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&badge_impl, &farthest, &fx_shapes[1], 40);
}

Test(badge, never_picks_two_that_are_alike)
{
    fx_duplicates_stay_apart(&badge_impl, &plain, &fx_shapes[3], 30);
    fx_duplicates_stay_apart(&badge_impl, &farthest, &fx_shapes[3], 30);
    fx_duplicates_stay_apart(&badge_impl, &process_of_all, &fx_shapes[3], 10);
}

Test(badge, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &badge_impl, &plain, 40, 1, &a);
    fx_round_scale(r, 8); /* a power of two: the same bits */
    fx_select(r, &badge_impl, &plain, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(badge, goes_by_entropy_when_no_gradient_is_left)
{
    static fx_picks p;
    const float x[8] = {0}; /* no features: no gradient anywhere */
    fx_round *r = fx_round_of(4, 3, probs, 2, x);
    fx_select(r, &badge_impl, &plain, 4, 1, &p);
    cr_assert(p.rows[0] == 0 && p.rows[1] == 1 && p.rows[2] == 2 && p.rows[3] == 3);
    cr_assert(p.scores[1] == 0);
    fx_select(r, &badge_impl, &process_of_6, 4, 1, &p);
    cr_assert(p.rows[0] == 1 && p.rows[1] == 0 && p.rows[2] == 2 && p.rows[3] == 3);
    fx_round_free(r);
}

Test(badge, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &badge_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "output 0 of sample 40 is"), "%s", p.err.text);
    fx_round_free(r);
}

Test(badge, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&badge_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&badge_impl, &farthest, &fx_shapes[5], 64);
    fx_survives_no_memory(&badge_impl, &process_of_6, &fx_shapes[0], 5);
}
