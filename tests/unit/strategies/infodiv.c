/* infodiv through its table. */
#include "tests/unit/kmeans_twin.h"
#include "tests/unit/strategies/round.h"

#include "plugins/strategies/infodiv.c"

static const options by_class = {0, 2}, five = {5, 2};

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

static void cluster_slowly(const fx_round *r, const dal_host *host, const options *opt, int64_t k,
                           int32_t *assignment)
{
    const int64_t n = r->set[0].n, all = n + r->set[DAL_ROWS_LABELLED].n, d = r->d;
    float *x = malloc(all * d * sizeof *x);
    memcpy(x, r->set[0].features, n * d * sizeof *x);
    memcpy(x + n * d, r->set[DAL_ROWS_LABELLED].features, (all - n) * d * sizeof *x);
    const dal_rng stream = host->rng(host, "k-means", r->round);
    const dal_kmeans_problem p = {.x = {x, all, d, d}, .k = k, .starts = opt->starts, .max_iterations = 300,
                                  .tolerance = 1e-4};
    dal_kmeans_result out = {.assignment = assignment, .centres = malloc(k * d * sizeof(float)),
                             .distance = malloc(all * sizeof(float)), .nearest = malloc(k * sizeof(int64_t))};
    kmeans_twin_run(&p, &stream, &out);
    free(out.centres);
    free(out.distance);
    free(out.nearest);
    free(x);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[0].n, all = n + r->set[DAL_ROWS_LABELLED].n;
    const int64_t wish = opt->clusters ? opt->clusters : r->c, k = wish < all ? wish : all;
    int32_t *a = malloc(all * sizeof *a);
    char *seen = calloc(n, 1), *picked = calloc(n, 1);
    double *margin = malloc(n * sizeof *margin);
    int64_t many = 0;
    for (int64_t i = 0; i < n; i++)
        margin[i] = margin_of(r, i);
    cluster_slowly(r, host, opt, k, a);
    for (int pass = 0; pass < 2; pass++, memcpy(seen, picked, n))
        for (int64_t step = 0; step < n && many < b; step++) {
            int64_t next = -1, size = 0, taken = 0;
            for (int64_t i = 0; i < n; i++)
                if (!seen[i] && (next < 0 || margin[i] < margin[next]))
                    next = i;
            if (next < 0)
                break;
            seen[next] = 1;
            for (int64_t i = 0; i < all; i++)
                size += a[i] == a[next];
            for (int64_t q = 0; q < many; q++)
                taken += a[rows[q]] == a[next];
            if (pass || (double)taken / (double)b < (double)size / (double)all) {
                rows[many++] = next;
                picked[next] = 1;
            }
        }
    free(a);
    free(seen);
    free(margin);
    free(picked);
    return b;
}

Test(infodiv, picks_what_its_slow_twin_picks)
{
    static const fx_spec spoilt = {21, 60, 10, 0, 3, 4, 2, FX_NAN_ROWS};
    fx_twin_agrees(&infodiv_impl, &by_class, twin, fx_shapes, fx_n_shapes, 25);
    fx_twin_agrees(&infodiv_impl, &five, twin, fx_shapes, 7, 25);
    fx_twin_agrees(&infodiv_impl, &five, twin, &spoilt, 1, 0);
}

/* Clusters 0 0 0 1 1 in the order of their margins. */
Test(infodiv, walks_the_worked_example)
{
    const int64_t order[5] = {0, 1, 2, 3, 4}, sizes[2] = {3, 2};
    const int32_t assignment[5] = {0, 0, 0, 1, 1};
    int64_t taken[2] = {0, 0}, picks[3];
    unsigned char picked[5] = {0};
    walk(order, 5, assignment, sizes, 5, taken, 3, picked, picks);
    cr_assert(picks[0] == 0 && picks[1] == 1 && picks[2] == 3);
}

/* The same from the table: two groups of features, margins .1 to .5. */
Test(infodiv, picks_the_worked_example)
{
    static const float x[5] = {0, 1, 2, 100, 101};
    static const float probs[10] = {.55f, .45f, .6f, .4f, .65f, .35f, .7f, .3f, .75f, .25f};
    static fx_picks p;
    fx_round *r = fx_round_of(5, 2, probs, 1, x);
    fx_select(r, &infodiv_impl, &by_class, 3, 1, &p);
    cr_assert(p.ids[0] == 10 && p.ids[1] == 20 && p.ids[2] == 40);
    cr_assert_float_eq(p.scores[2], .4, 1e-6);
    fx_round_free(r);
}

Test(infodiv, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&infodiv_impl, &by_class, &fx_shapes[0], 5);
}
