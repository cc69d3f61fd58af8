/* probcover through its table. */
#include "tests/unit/kmeans_twin.h"
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/probcover.c"

static const options estimated = {0, 0.95, 1}, given = {0.6, 0.95, 1}, raw = {2, 0.95, 0}, impure = {0, 0.5, 0};

static float *scaled(const fx_rows *rows, int64_t d, int unit)
{
    float *x = malloc((rows->n * d + 1) * sizeof *x);
    for (int64_t i = 0; i < rows->n; i++) {
        const float *from = rows->features + i * d;
        const double length = sqrt(dal_dot(from, from, d));
        for (int64_t k = 0; k < d; k++)
            x[i * d + k] = !unit ? from[k] : length > 0 ? (float)((double)from[k] / length) : 0;
    }
    return x;
}

static int by_float(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The squared radius by trying all that occur: the largest of which enough balls are pure. */
static float radius_slowly(const fx_round *r, const dal_host *host, const options *opt, const float *x, int64_t n)
{
    const int64_t d = r->d, k = r->c < n ? r->c : n;
    const dal_rng stream = host->rng(host, "k-means", r->round);
    const dal_kmeans_problem p = {.x = {x, n, d, d}, .k = k, .starts = 10, .max_iterations = 300,
                                  .tolerance = 1e-4};
    dal_kmeans_result out = {.assignment = malloc(n * sizeof(int32_t)), .nearest = malloc(k * sizeof(int64_t)),
                             .centres = malloc(k * d * sizeof(float)), .distance = malloc(n * sizeof(float))};
    float *near = malloc(n * sizeof *near), best = 0;
    kmeans_twin_run(&p, &stream, &out);
    for (int64_t i = 0; i < n; i++) {
        near[i] = INFINITY;
        for (int64_t j = 0; j < n; j++)
            if (out.assignment[i] != out.assignment[j])
                near[i] = fminf(near[i], dal_squared_distance(x + i * d, x + j * d, d));
    }
    qsort(near, n, sizeof *near, by_float);
    for (int64_t t = 0; t < n; t++) {
        int64_t spoilt = 0;
        for (int64_t i = 0; i < n; i++)
            spoilt += near[i] < near[t];
        if (spoilt <= (int64_t)((1 - opt->purity) * (double)n))
            best = near[t];
    }
    free(out.assignment);
    free(out.nearest);
    free(out.centres);
    free(out.distance);
    free(near);
    return best;
}

/* Who is in whose ball, [n, n]. */
static char *balls(const float *x, int64_t n, int64_t d, float radius)
{
    char *in = malloc(n * n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            in[i * n + j] = dal_squared_distance(x + i * d, x + j * d, d) < radius;
    return in;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    const int64_t n = pool->n, d = r->d;
    float *x = scaled(pool, d, opt->normalise), *y = scaled(l, d, opt->normalise);
    const float radius = opt->delta > 0 ? (float)(opt->delta * opt->delta) : radius_slowly(r, host, opt, x, n);
    char *covered = calloc(n, 1), *picked = calloc(n, 1), *in = balls(x, n, d, radius);
    int64_t k = 0, *rest = malloc(n * sizeof *rest), left = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < l->n; j++)
            covered[i] |= dal_squared_distance(x + i * d, y + j * d, d) < radius;
    for (; k < b; k++) {
        int64_t best = -1, most = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t degree = 0;
            for (int64_t j = 0; j < n; j++)
                degree += !covered[j] && in[i * n + j];
            if (!picked[i] && degree > most) {
                best = i;
                most = degree;
            }
        }
        if (best < 0)
            break;
        rows[k] = best;
        picked[best] = 1;
        for (int64_t j = 0; j < n; j++)
            covered[j] |= in[best * n + j];
    }
    for (int64_t i = 0; i < n; i++)
        if (!picked[i])
            rest[left++] = i;
    dal_rng stream = host->rng(host, "rest", r->round);
    dal_rng_shuffle(&stream, rest, left, b - k);
    for (int64_t i = 0; k < b; i++)
        rows[k++] = rest[i];
    free(x);
    free(y);
    free(covered);
    free(in);
    free(picked);
    free(rest);
    return b;
}

Test(probcover, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&probcover_impl, &given, twin, fx_shapes, fx_n_shapes, 12);
    fx_twin_agrees(&probcover_impl, &raw, twin, fx_shapes, fx_n_shapes, 12);
    fx_twin_agrees(&probcover_impl, &estimated, twin, fx_shapes + 2, 8,
                   12); /* the large ones take the twin long */
    fx_twin_agrees(&probcover_impl, &impure, twin, fx_shapes, 1, 12);
}

/* Balls of 1.5: 2 covers 1, 2, 3; then 10 covers 10 and 11; 5 itself; nothing is left. */
Test(probcover, covers_most_first)
{
    static const float x[6] = {1, 2, 3, 5, 10, 11};
    static fx_picks p;
    const options opt = {1.5, 0.95, 0};
    fx_round *r = fx_round_of(6, 0, NULL, 1, x);
    fx_select(r, &probcover_impl, &opt, 5, 1, &p);
    cr_assert(p.ids[0] == 20 && p.ids[1] == 50 && p.ids[2] == 40);
    cr_assert(p.scores[0] == 3 && p.scores[1] == 2 && p.scores[2] == 1 && p.scores[3] == 0);
    fx_round_free(r);
}

Test(probcover, leaves_alone_what_labelled_samples_cover)
{
    static const float x[6] = {1, 2, 3, 5, 10, 11}, at[1] = {2};
    static fx_picks p;
    const options opt = {1.5, 0.95, 0};
    fx_round *r = fx_round_of(6, 0, NULL, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, NULL, at);
    fx_select(r, &probcover_impl, &opt, 2, 1, &p);
    cr_assert(p.ids[0] == 50 && p.ids[1] == 40);
    fx_round_free(r);
}

/* Two groups 0..3 and 10..13: the nearest of the other is 7 (3 and 10), 8, 9, 10 away. A quarter may be impure. */
Test(probcover, takes_the_largest_radius_that_is_pure_enough)
{
    static const float x[8] = {0, 1, 2, 3, 10, 11, 12, 13}, probs[16] = {0};
    static fx_picks p;
    const options opt = {0, 0.75, 0};
    fx_round *r = fx_round_of(8, 2, probs, 1, x);
    fx_select(r, &probcover_impl, &opt, 1, 1, &p); /* 8: 3 reaches 0..10, 10 reaches 3..13 */
    cr_assert(p.ids[0] == 40 && p.scores[0] == 5);
    fx_round_free(r);
}

Test(probcover, asks_for_delta_where_there_are_no_classes)
{
    static const float x[2] = {1, 2};
    static fx_picks p;
    fx_round *r = fx_round_of(2, 0, NULL, 1, x);
    fx_try(r, &probcover_impl, &estimated, 1, 1, &p);
    cr_assert(p.status == DAL_E_INVALID && strcmp(p.err.key, "delta") == 0);
    fx_round_free(r);
}

Test(probcover, never_picks_two_that_are_alike)
{
    fx_duplicates_stay_apart(&probcover_impl, &given, &fx_shapes[3], 8);
}

Test(probcover, does_not_mind_the_length_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &probcover_impl, &estimated, 20, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &probcover_impl, &estimated, 20, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 20 * sizeof *a.rows);
    fx_round_free(r);
}

Test(probcover, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&probcover_impl, &estimated, &fx_shapes[0], 5);
}
