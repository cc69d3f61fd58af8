/* typiclust through its table. */
#include "tests/unit/kmeans_twin.h"
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/typiclust.c"

static const options usual = {500, 20, 5, 1, 1}, few = {4, 3, 5, 2, 1}, raw = {12, 5, 0, 1, 0};

/* Candidates, then labelled samples, at unit length where that is wanted. */
static float *all_rows(const fx_round *r, int64_t all, int unit)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n, d = r->d;
    float *x = malloc(all * d * sizeof *x);
    for (int64_t i = 0; i < all; i++) {
        const float *from = i < n ? r->set[DAL_ROWS_CANDIDATES].features + i * d
                                  : r->set[DAL_ROWS_LABELLED].features + (i - n) * d;
        const double length = sqrt(dal_dot(from, from, d));
        for (int64_t k = 0; k < d; k++)
            x[i * d + k] = !unit ? from[k] : length > 0 ? (float)((double)from[k] / length) : 0;
    }
    return x;
}

static void cluster_slowly(const dal_host *host, const options *opt, const float *x, int64_t all, int64_t d,
                           int64_t k, int32_t *assignment)
{
    const dal_rng stream = host->rng(host, "k-means", 0);
    const dal_kmeans_problem p = {.x = {x, all, d, d}, .k = k, .starts = opt->starts, .max_iterations = 300,
                                  .tolerance = 1e-4};
    dal_kmeans_result out = {.assignment = assignment};
    out.centres = malloc(k * d * sizeof *out.centres);
    out.distance = malloc(all * sizeof *out.distance);
    out.nearest = malloc(k * sizeof *out.nearest);
    kmeans_twin_run(&p, &stream, &out);
    free(out.centres);
    free(out.distance);
    free(out.nearest);
}

static int by_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The mean distance to the nearest of the others that are open and of the same cluster. */
static double spread(const float *x, int64_t n, int64_t d, const int32_t *a, const char *open, int64_t i,
                     int64_t most)
{
    double *all = malloc(n * sizeof *all), sum = 0;
    int64_t m = 0;
    for (int64_t j = 0; j < n; j++)
        if (j != i && open[j] && a[j] == a[i])
            all[m++] = sqrt((double)dal_squared_distance(x + i * d, x + j * d, d));
    qsort(all, m, sizeof *all, by_double);
    int64_t k = (m + 1) / 2 < 1 ? 1 : (m + 1) / 2;
    k = k > most ? most : k;
    for (int64_t j = 0; j < k && j < m; j++)
        sum += all[j];
    free(all);
    return m ? sum / (double)k : 0;
}

/* Of the clusters in turn: fewest labelled, largest, lowest; each as often as any other before it comes again. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n, n_l = r->set[DAL_ROWS_LABELLED].n, all = n + n_l, d = r->d;
    const int64_t k = n_l + b < opt->max_clusters ? n_l + b : opt->max_clusters;
    float *x = all_rows(r, all, opt->normalise);
    int32_t *a = malloc(all * sizeof *a);
    char *open = malloc(n), *done = malloc(k);
    cluster_slowly(host, opt, x, all, d, k, a);
    memset(open, 1, n);
    memset(done, 0, k);
    for (int64_t p = 0; p < b;) {
        int64_t best = -1, key[4] = {0}, row = -1;
        for (int64_t c = 0; c < k; c++) {
            int64_t size = 0, labelled = 0, left = 0;
            for (int64_t i = 0; i < all; i++) {
                size += a[i] == c;
                labelled += a[i] == c && i >= n;
                left += a[i] == c && i < n && open[i];
            }
            const int64_t mine[4] = {size <= opt->min_cluster, labelled, -size, c};
            /* small ones only when nothing is left of the large */
            if (left == 0 || done[c])
                continue;
            int64_t at = 0;
            while (best >= 0 && at < 3 && mine[at] == key[at])
                at++;
            if (best < 0 || mine[at] < key[at]) {
                best = c;
                memcpy(key, mine, sizeof key);
            }
        }
        /* a new turn of the same kind comes before the small ones */
        int64_t large_left = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t size = 0;
            for (int64_t j = 0; j < all; j++)
                size += a[j] == a[i];
            large_left += open[i] && size > opt->min_cluster;
        }
        if (best < 0 || (key[0] && large_left > 0)) {
            memset(done, 0, k);
            continue;
        }
        for (int64_t i = 0; i < n; i++)
            if (open[i] && a[i] == best &&
                (row < 0 || spread(x, n, d, a, open, i, opt->neighbours) < spread(x, n, d, a, open, row,
                                                                                  opt->neighbours)))
                row = i;
        rows[p++] = row;
        open[row] = 0;
        done[best] = 1;
    }
    free(x);
    free(a);
    free(open);
    free(done);
    return b;
}

Test(typiclust, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&typiclust_impl, &usual, twin, fx_shapes, fx_n_shapes, 9);
    fx_twin_agrees(&typiclust_impl, &few, twin, fx_shapes, fx_n_shapes, 9);
    fx_twin_agrees(&typiclust_impl, &raw, twin, fx_shapes + 2, 8, 9);
}

/* Seven on a line round 0, six round 100, and a stray at 1000: the middles, and the stray last. */
Test(typiclust, picks_the_middle_of_the_largest_cluster_first)
{
    static const float x[14] = {-3, -2, -1, 0.5f, 1, 2, 3, 97, 98, 99, 101, 102, 103, 1000};
    static fx_picks p;
    const options opt = {3, 2, 1, 20, 0};
    fx_round *r = fx_round_of(14, 0, NULL, 1, x);
    fx_select(r, &typiclust_impl, &opt, 14, 1, &p);
    cr_assert(p.ids[0] == 50); /* 0.5 .5 and 1: nearer to its two than any other */
    cr_assert(p.ids[1] >= 80 && p.ids[1] <= 130);
    cr_assert_eq(p.ids[13], 140);
    fx_round_free(r);
}

Test(typiclust, looks_first_where_nothing_is_labelled)
{
    static const float x[9] = {0, 1, 2, 3, 4, 100, 101, 102, 103}, at[1] = {2};
    static fx_picks p;
    const options opt = {2, 2, 1, 20, 0};
    fx_round *r = fx_round_of(9, 0, NULL, 1, x);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, NULL, NULL, at);
    fx_select(r, &typiclust_impl, &opt, 1, 1, &p);
    cr_assert_geq(p.ids[0], 60);
    fx_round_free(r);
}

Test(typiclust, does_not_mind_the_length_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &typiclust_impl, &usual, 40, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &typiclust_impl, &usual, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(typiclust, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&typiclust_impl, &few, &fx_shapes[0], 5);
}
