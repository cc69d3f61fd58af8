/* mcm through its table. */
#include "tests/unit/kmeans_twin.h"
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/mcm.c"

static const options one = {1}, three = {3};

static double margin_of(const fx_round *r, uint32_t set, int64_t row)
{
    double p[1000], first = 0, second = 0;
    fx_probs(r, set, row, p);
    for (int64_t c = 0; c < r->c; c++) {
        if (isnan(p[c]))
            return NAN;
        second = p[c] > first ? first : p[c] > second ? p[c] : second;
        first = p[c] > first ? p[c] : first;
    }
    return first - second;
}

static void cluster_slowly(const fx_round *r, const dal_host *host, const options *opt, const int64_t *inside,
                           int64_t m, int64_t b, int64_t *rows)
{
    const int64_t d = r->d;
    float *x = malloc(m * d * sizeof *x);
    for (int64_t i = 0; i < m; i++)
        memcpy(x + i * d, r->set[0].features + inside[i] * d, d * sizeof *x);
    const dal_rng stream = host->rng(host, "k-means", r->round);
    const dal_kmeans_problem p = {.x = {x, m, d, d}, .k = b, .starts = opt->starts, .max_iterations = 300,
                                  .tolerance = 1e-4};
    dal_kmeans_result out = {.assignment = malloc(m * sizeof(int32_t)), .centres = malloc(b * d * sizeof(float)),
                             .distance = malloc(m * sizeof(float)), .nearest = rows};
    kmeans_twin_run(&p, &stream, &out);
    for (int64_t i = 0; i < b; i++)
        rows[i] = inside[rows[i]];
    free(out.assignment);
    free(out.centres);
    free(out.distance);
    free(x);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[0].n;
    double *f = malloc(n * sizeof *f), edge = INFINITY;
    int64_t *inside = malloc(n * sizeof *inside), m = 0;
    for (int64_t i = 0; i < r->set[DAL_ROWS_LABELLED].n; i++)
        edge = fmin(edge, margin_of(r, DAL_ROWS_LABELLED, i));
    for (int64_t i = 0; i < n; i++) {
        f[i] = margin_of(r, DAL_ROWS_CANDIDATES, i);
        if (f[i] < edge)
            inside[m++] = i;
        f[i] = isnan(f[i]) ? 2 : f[i];
    }
    if (m > b)
        cluster_slowly(r, host, opt, inside, m, b, rows);
    for (int64_t k = 0; m <= b && k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (f[i] < 3 && (best < 0 || f[i] < f[best]))
                best = i;
        rows[k] = best;
        f[best] = 4;
    }
    free(f);
    free(inside);
    return b;
}

Test(mcm, picks_what_its_slow_twin_picks)
{
    static const fx_spec more[] = {{21, 60, 1, 0, 3, 4, 2, FX_NAN_ROWS}, {22, 300, 1, 0, 4, 6, 2, FX_LOGITS},
                                   {23, 90, 0, 0, 2, 3, 2, FX_NAN_ROWS | FX_LOGITS}};
    fx_twin_agrees(&mcm_impl, &one, twin, fx_shapes, fx_n_shapes, 20);
    fx_twin_agrees(&mcm_impl, &one, twin, more, 3, 20);
    fx_twin_agrees(&mcm_impl, &three, twin, more, 3, 10);
}

/* Labelled at margin .5: the last, of margin .8, is outside. Two groups inside, 0 1 2 and 10 11 12. */
Test(mcm, clusters_what_is_inside_the_margin)
{
    static const float x[7] = {0, 1, 2, 10, 11, 12, 500}, at[1] = {0}, said[2] = {.75f, .25f};
    static const float probs[14] = {.6f, .4f, .6f, .4f, .6f, .4f, .6f, .4f, .6f, .4f, .6f, .4f, .9f, .1f};
    static fx_picks p;
    fx_round *r = fx_round_of(7, 2, probs, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, said, at);
    const options many = {20};
    fx_select(r, &mcm_impl, &many, 2, 1, &p);
    cr_assert_eq(p.ids[0] + p.ids[1], 20 + 50);
    fx_select(r, &mcm_impl, &many, 7, 1, &p); /* fewer inside than wanted: by margin */
    cr_assert(p.ids[0] == 10 && p.ids[6] == 70);
    fx_round_free(r);
}

Test(mcm, survives_when_there_is_no_memory)
{
    static const fx_spec spec = {3, 40, 0, 0, 2, 3, 0, 0};
    fx_survives_no_memory(&mcm_impl, &one, &spec, 5);
    fx_survives_no_memory(&mcm_impl, &one, &fx_shapes[0], 5);
}

Test(mcm, picks_follow_their_samples)
{
    fx_picks_follow_samples(&mcm_impl, &three, &fx_shapes[1], 10);
}
