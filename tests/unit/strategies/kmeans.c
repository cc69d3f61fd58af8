/* kmeans and weighted-kmeans through their tables. */
#include "tests/unit/kmeans_twin.h"
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/kmeans.c"

static const options plain = {.starts = 3, .iterations = 30, .tolerance = 1e-4, .beta = 10};
static const options narrow = {.starts = 2, .iterations = 30, .tolerance = 1e-4, .beta = 2};
static const options incremental = {.starts = 1, .iterations = 30, .tolerance = 1e-4, .beta = 3, .incremental = 1};

/* The picks of the twin of dal/kmeans.h among m rows. */
static void cluster_slowly(const fx_round *r, const dal_host *host, const options *opt, const float *x, int64_t m,
                           const double *weights, const fx_rows *fixed, int64_t b, int64_t *rows)
{
    const dal_rng stream = host->rng(host, "k-means", r->round);
    dal_kmeans_problem p = {.x = {x, m, r->d, r->d}, .weights = weights, .k = b, .starts = opt->starts,
                            .max_iterations = opt->iterations, .tolerance = opt->tolerance};
    if (fixed)
        p.fixed = (dal_matrix){fixed->features, fixed->n, r->d, r->d};
    dal_kmeans_result out = {.nearest = rows};
    out.centres = malloc(b * r->d * sizeof *out.centres);
    out.assignment = malloc(m * sizeof *out.assignment);
    out.distance = malloc(m * sizeof *out.distance);
    kmeans_twin_run(&p, &stream, &out);
    free(out.centres);
    free(out.assignment);
    free(out.distance);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    for (int64_t i = 0; i < b; i++)
        rows[i] = i;
    if (b < pool->n)
        cluster_slowly(r, host, opt, pool->features, pool->n, NULL, NULL, b, rows);
    return b;
}

static double informativeness(const fx_round *r, int64_t row)
{
    double p[1000], first = 0, second = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, row, p);
    for (int64_t c = 0; c < r->c; c++) {
        if (isnan(p[c]))
            return -1;
        second = p[c] > first ? first : p[c] > second ? p[c] : second;
        first = p[c] > first ? p[c] : first;
    }
    return 1 - (first - second);
}

static int64_t weighted_twin(const fx_round *r, const dal_host *host, const void *opt_, int64_t b, int64_t *rows)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const options *opt = opt_;
    const int64_t m = opt->beta * b < pool->n ? (int64_t)(opt->beta * b) : pool->n;
    int64_t *kept = malloc(m * sizeof *kept), n = 0;
    double *s = malloc(pool->n * sizeof *s), *weights = malloc(m * sizeof *weights), most = 0;
    float *x = malloc(m * r->d * sizeof *x);
    for (int64_t i = 0; i < b; i++)
        rows[i] = i;
    for (int64_t i = 0; i < pool->n; i++)
        s[i] = informativeness(r, i);
    for (int64_t i = 0; i < pool->n; i++) {
        int64_t better = 0;
        for (int64_t j = 0; j < pool->n; j++)
            better += s[j] > s[i] || (s[j] == s[i] && j < i);
        if (better >= m)
            continue;
        memcpy(x + n * r->d, pool->features + i * r->d, r->d * sizeof *x);
        weights[n] = s[i] > 0 ? s[i] : 0;
        most = fmax(most, weights[n]);
        kept[n++] = i;
    }
    if (b < pool->n) {
        cluster_slowly(r, host, opt, x, m, most > 0 ? weights : NULL,
                       opt->incremental ? &r->set[DAL_ROWS_LABELLED] : NULL, b, rows);
        for (int64_t i = 0; i < b; i++)
            rows[i] = kept[rows[i]];
    }
    free(kept);
    free(s);
    free(weights);
    free(x);
    return b;
}

Test(kmeans, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&kmeans_impl, &plain, twin, fx_shapes, fx_n_shapes, 20);
}

Test(weighted_kmeans, picks_what_its_slow_twin_picks)
{
    static const fx_spec spoilt[] = {{21, 60, 10, 0, 3, 4, 2, FX_NAN_ROWS}, {22, 50, 0, 0, 4, 4, 2,
                                                                             FX_NAN_ROWS | FX_LOGITS}};
    const options *all[] = {&plain, &narrow, &incremental};
    for (int i = 0; i < 3; i++) {
        fx_twin_agrees(&weighted_kmeans_impl, all[i], weighted_twin, fx_shapes, fx_n_shapes, 20);
        fx_twin_agrees(&weighted_kmeans_impl, all[i], weighted_twin, spoilt, 2, 10);
    }
}

/* Two groups on a line, 0 1 2 and 10 11 12: their middles. */
Test(kmeans, picks_the_middle_of_each_group)
{
    static const float x[6] = {0, 12, 1, 11, 2, 10};
    static fx_picks p;
    fx_round *r = fx_round_of(6, 0, NULL, 1, x);
    fx_select(r, &kmeans_impl, &plain, 2, 1, &p);
    cr_assert(p.n == 2 && p.ids[0] + p.ids[1] == 30 + 40 && p.scores[0] == 3 && p.scores[1] == 3);
    fx_round_free(r);
}

/* Uncertain: 0, 1, 2 (all alike) and 10 alone; 20 and 21 are certain and out. */
Test(weighted_kmeans, looks_at_uncertain_samples_alone)
{
    static const float x[6] = {0, 1, 2, 10, 20, 21};
    static const float probs[12] = {.5f, .5f, .5f, .5f, .5f, .5f, .4f, .6f, .9f, .1f, 1, 0};
    static fx_picks p;
    const options opt = {.starts = 10, .iterations = 300, .tolerance = 1e-4, .beta = 2};
    fx_round *r = fx_round_of(6, 2, probs, 1, x);
    fx_select(r, &weighted_kmeans_impl, &opt, 2, 1, &p);
    cr_assert(p.n == 2 && p.ids[0] + p.ids[1] == 20 + 40);
    fx_round_free(r);
}

/* The weight pulls the centre: 0 with 1 and 1, 2 with 1/10 each give 0.25, nearest to 0. */
Test(weighted_kmeans, is_drawn_to_what_is_most_uncertain)
{
    static const float x[4] = {0, 1, 2, 1};
    static const float probs[8] = {.5f, .5f, .95f, .05f, .95f, .05f, 1, 0};
    static fx_picks p;
    fx_round *r = fx_round_of(4, 2, probs, 1, x);
    fx_select(r, &weighted_kmeans_impl, &plain, 1, 1, &p);
    cr_assert_eq(p.ids[0], 10);
    fx_select(r, &kmeans_impl, &plain, 1, 1, &p);
    cr_assert_eq(p.ids[0], 20);
    fx_round_free(r);
}

Test(weighted_kmeans, leaves_alone_what_is_near_a_label_when_incremental)
{
    static const float x[6] = {0, 1, 2, 10, 11, 12}, at[1] = {1}, certain[2] = {1, 0};
    static const float probs[12] = {.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f};
    static fx_picks p;
    options wide = incremental;
    wide.beta = 10;
    fx_round *r = fx_round_of(6, 2, probs, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, certain, at);
    for (uint64_t seed = 0; seed < 10; seed++) {
        fx_select(r, &weighted_kmeans_impl, &wide, 1, seed, &p);
        cr_assert_geq(p.ids[0], 40);
    }
    fx_round_free(r);
}

Test(kmeans, never_picks_two_that_are_alike)
{
    fx_duplicates_stay_apart(&kmeans_impl, &plain, &fx_shapes[3], 30);
}

Test(kmeans, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    options end = plain;
    end.tolerance = 0;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &kmeans_impl, &end, 40, 1, &a);
    fx_round_scale(r, 4); /* a power of two: the same bits */
    fx_select(r, &kmeans_impl, &end, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(kmeans, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&kmeans_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&weighted_kmeans_impl, &incremental, &fx_shapes[0], 5);
}
