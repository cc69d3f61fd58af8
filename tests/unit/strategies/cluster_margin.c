/* cluster-margin through its table. */
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/cluster_margin.c"

#define WITHIN_MARGIN 1u

static const options by_size = {3, 0, 4, WITHIN_MARGIN, 1000}, by_threshold = {5, 2, 10, WITHIN_MARGIN, 1000},
                     at_random = {10, 0, 10, WITHIN_RANDOM, 1000};

static double margin_of(const fx_round *r, int64_t row)
{
    double p[1000], first = 0, second = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, row, p);
    for (int64_t c = 0; c < r->c; c++) {
        if (isnan(p[c]))
            return 2;
        second = p[c] > first ? first : p[c] > second ? p[c] : second;
        first = p[c] > first ? p[c] : first;
    }
    return first - second;
}

/* [m, m] */
static double *distances(const fx_round *r, const int64_t *rows, int64_t m)
{
    double *apart = calloc(m * m, sizeof *apart);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            for (int64_t k = 0; k < r->d; k++) {
                const double t = (double)r->set[0].features[rows[i] * r->d + k] -
                                 (double)r->set[0].features[rows[j] * r->d + k];
                apart[i * m + j] += t * t;
            }
            apart[i * m + j] = sqrt(apart[i * m + j]);
        }
    return apart;
}

/* The mean distance of the members of two clusters. */
static double between(const double *apart, const int64_t *cluster, int64_t m, int64_t a, int64_t b)
{
    double sum = 0, many = 0;
    for (int64_t i = a; i < m; i++)
        for (int64_t j = b; cluster[i] == a && j < m; j++)
            if (cluster[j] == b) {
                sum += apart[i * m + j];
                many++;
            }
    return sum / many;
}

/* The two nearest merge, again and again. */
static void link_slowly(const fx_round *r, const options *opt, const int64_t *rows, int64_t m, int64_t *cluster)
{
    const int64_t wish = (m + opt->cluster_size - 1) / opt->cluster_size;
    double *apart = distances(r, rows, m);
    for (int64_t i = 0; i < m; i++)
        cluster[i] = i;
    for (int64_t left = m; left > 1; left--) {
        int64_t x = -1, y = -1;
        double least = INFINITY;
        if (opt->threshold <= 0 && left <= wish)
            break;
        for (int64_t a = 0; a < m; a++)
            for (int64_t b = 0; cluster[a] == a && b < a; b++) {
                const double mean = cluster[b] == b ? between(apart, cluster, m, a, b) : INFINITY;
                if (mean < least) {
                    least = mean;
                    x = b;
                    y = a;
                }
            }
        if (opt->threshold > 0 && least > opt->threshold)
            break;
        for (int64_t i = 0; i < m; i++)
            cluster[i] = cluster[i] == y ? x : cluster[i];
    }
    free(apart);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *picks)
{
    const options *opt = options_;
    const double wish = opt->factor * (double)b;
    const int64_t n = r->set[0].n, m = wish < (double)n ? (int64_t)wish : n;
    const dal_rng stream = host->rng(host, "within", r->round);
    int64_t *rows = malloc(m * sizeof *rows), *cluster = malloc(m * sizeof *cluster), k = 0, many = 0;
    double *order = malloc(m * sizeof *order);
    char *taken = calloc(m, 1), *served = calloc(m, 1);
    for (int64_t i = 0; i < n; i++) {
        int64_t better = 0;
        for (int64_t j = 0; j < n; j++)
            better += margin_of(r, j) < margin_of(r, i) || (margin_of(r, j) == margin_of(r, i) && j < i);
        if (better < m)
            rows[k++] = i;
    }
    for (int64_t i = 0; i < m; i++) {
        dal_rng mine = dal_rng_at(&stream, (uint64_t)r->set[0].ids[rows[i]]);
        order[i] = opt->within == WITHIN_RANDOM ? dal_rng_uniform(&mine) : margin_of(r, rows[i]);
    }
    link_slowly(r, opt, rows, m, cluster);
    while (many < b) {
        int64_t best = -1, least = 0;
        double surest = 0;
        for (int64_t c = 0; c < m; c++) {
            int64_t size = 0, left = 0;
            double margin = INFINITY;
            for (int64_t i = 0; i < m; i++) {
                size += cluster[i] == c;
                left += cluster[i] == c && !taken[i];
                margin = cluster[i] == c ? fmin(margin, margin_of(r, rows[i])) : margin;
            }
            if (left > 0 && !served[c] && (best < 0 || size < least || (size == least && margin < surest))) {
                best = c;
                least = size;
                surest = margin;
            }
        }
        if (best < 0) {
            memset(served, 0, m);
            continue;
        }
        int64_t first = -1;
        for (int64_t i = 0; i < m; i++)
            if (cluster[i] == best && !taken[i] && (first < 0 || order[i] < order[first]))
                first = i;
        taken[first] = served[best] = 1;
        picks[many++] = rows[first];
    }
    free(rows);
    free(cluster);
    free(order);
    free(taken);
    free(served);
    return b;
}

/* The twin is of the fourth power: small ones. */
static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0}, {2, 60, 5, 0, 10, 16, 0, FX_LOGITS}, {3, 33, 0, 0, 2, 3, 0, 0},
    {4, 45, 2, 0, 4, 8, 0, FX_DUPLICATES}, {8, 30, 8, 0, 1000, 12, 0, FX_LOGITS}, {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0}, {22, 50, 5, 0, 4, 4, 0, FX_NAN_ROWS | FX_LOGITS},
};

Test(cluster_margin, picks_what_its_slow_twin_picks)
{
    const options *all[] = {&by_size, &by_threshold, &at_random};
    for (int i = 0; i < 3; i++)
        fx_twin_agrees(&cluster_margin_impl, all[i], twin, shapes, sizeof shapes / sizeof *shapes, 12);
}

/* 0 1 2 together, 10 11, 50: the smallest cluster first, then round. The last, at 51, is certain and out. */
Test(cluster_margin, goes_round_from_the_smallest_cluster)
{
    static const float x[7] = {0, 1, 2, 10, 11, 50, 51};
    static const float probs[14] = {.6f, .4f, .55f, .45f, .65f, .35f, .7f, .3f, .6f, .4f, .6f, .4f, 1, 0};
    static fx_picks p;
    const options opt = {1.2, 5, 1, WITHIN_MARGIN, 100};
    fx_round *r = fx_round_of(7, 2, probs, 1, x);
    fx_select(r, &cluster_margin_impl, &opt, 5, 1, &p);
    cr_assert(p.ids[0] == 60 && p.ids[1] == 50 && p.ids[2] == 20 && p.ids[3] == 40 && p.ids[4] == 10);
    cr_assert_float_eq(p.scores[2], .1, 1e-6);
    fx_round_free(r);
}

/* Two clusters of two: the one with the smaller margin is first, wherever it stands. */
Test(cluster_margin, takes_equal_clusters_by_their_smallest_margin)
{
    static const float x[4] = {0, 1, 10, 11}, probs[8] = {.6f, .4f, .7f, .3f, .8f, .2f, .55f, .45f};
    static fx_picks p;
    const options opt = {2, 5, 1, WITHIN_MARGIN, 100};
    fx_round *r = fx_round_of(4, 2, probs, 1, x);
    fx_select(r, &cluster_margin_impl, &opt, 3, 1, &p);
    cr_assert(p.rows[0] == 3 && p.rows[1] == 0 && p.rows[2] == 2);
    fx_round_free(r);
}

Test(cluster_margin, follows_its_samples_when_the_pool_is_permuted)
{
    const fx_spec spec = {7, 300, 10, 0, 4, 6, 0, FX_LOGITS};
    fx_picks_follow_samples(&cluster_margin_impl, &by_size, &spec, 40);
    fx_picks_follow_samples(&cluster_margin_impl, &by_threshold, &spec, 40);
}

Test(cluster_margin, refuses_more_than_its_limit)
{
    static fx_picks p;
    const options opt = {10, 0, 10, WITHIN_RANDOM, 39};
    fx_round *r = fx_round_random(&shapes[0]);
    fx_try(r, &cluster_margin_impl, &opt, 10, 1, &p);
    cr_assert(p.status == DAL_E_INVALID && strcmp(p.err.key, "limit") == 0);
    fx_round_free(r);
}

Test(cluster_margin, names_features_that_are_not_finite)
{
    static const float x[2] = {0, NAN}, probs[4] = {.6f, .4f, .55f, .45f};
    static fx_picks p;
    fx_round *r = fx_round_of(2, 2, probs, 1, x);
    fx_try(r, &cluster_margin_impl, &by_size, 1, 1, &p);
    cr_assert(p.status == DAL_E_INVALID && strstr(p.err.text, "row 1, column 0 is nan"), "%s", p.err.text);
    fx_round_free(r);
}

Test(cluster_margin, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&cluster_margin_impl, &by_size, &shapes[0], 5);
}
