/* coremse and corelog through their tables. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/bemps.c"

/* strategies.md 3.7: two passes, the probability of class 0. */
static fx_round *example(void)
{
    static const float first[2][3] = {{.9f, .8f, .6f}, {.1f, .3f, .5f}};
    float mc[2 * 3 * 2];
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            mc[(k * 3 + i) * 2] = first[k][i];
            mc[(k * 3 + i) * 2 + 1] = 1 - first[k][i];
        }
    fx_round *r = fx_round_of(3, 2, NULL, 0, NULL);
    fx_round_mc(r, 2, mc);
    return r;
}

Test(bemps, picks_the_worked_example)
{
    static fx_picks p;
    static const double totals[2][3] = {{.288, .113636, .004545}, {.308238, .116668, .004562}};
    const dal_strategy_impl *const impls[2] = {&coremse_impl, &corelog_impl};
    const options opt = {2, 1, 0.5, BATCH_TOP};
    fx_round *r = example();
    for (int s = 0; s < 2; s++) {
        fx_select(r, impls[s], &opt, 3, 1, &p);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(p.rows[i], i);
            cr_assert_float_eq(3 * p.scores[i], totals[s][i], 1e-6, "%d: %g", i, 3 * p.scores[i]);
        }
    }
    fx_round_free(r);
}

/* ---- slow twins ------------------------------------------------------------------------------- */

static int is_log;

typedef struct slow {
    int64_t n, c, passes, m;
    double *P, *p; /* [n, passes, c], [n, c] */
    double *v;     /* [n, m] */
    double *total; /* [n] */
} slow;

static void slow_load(slow *s, const fx_round *r)
{
    s->P = malloc((size_t)(s->n * s->passes * s->c) * sizeof *s->P);
    s->p = calloc((size_t)(s->n * s->c), sizeof *s->p);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t k = 0; k < s->passes; k++) {
            double *P = s->P + (i * s->passes + k) * s->c;
            fx_mc_probs(r, k, i, P);
            for (int64_t y = 0; y < s->c; y++) {
                P[y] = P[y] < (double)FLT_MIN ? 0 : P[y];
                s->p[i * s->c + y] += P[y] / (double)s->passes;
            }
        }
}

/* J - p p' is formed without J, whose differences would cancel; J / (p p') is 1 + d. */
static double slow_score(const slow *s, int64_t a, int64_t b)
{
    const double *p = s->p + a * s->c, *q = s->p + b * s->c;
    double sum = 0;
    for (int64_t y = 0; y < s->c; y++)
        for (int64_t z = 0; z < s->c; z++) {
            double e = 0;
            for (int64_t k = 0; k < s->passes; k++)
                e += (s->P[(a * s->passes + k) * s->c + y] - p[y]) * (s->P[(b * s->passes + k) * s->c + z] - q[z]);
            e /= (double)s->passes;
            if (!is_log) {
                sum += p[y] > 0 ? e * e / p[y] : 0;
            } else if (p[y] > 0 && q[z] > 0) {
                const double d = e / (p[y] * q[z]);
                sum += p[y] * q[z] * (d > -1 ? (1 + d) * log1p(d) - d : 1);
            }
        }
    return sum;
}

static void slow_vectors(slow *s, const dal_host *host, const fx_round *r, double part)
{
    int64_t *x = malloc((size_t)s->n * sizeof *x);
    dal_rng rng = host->rng(host, "x-prime", r->round);
    s->m = (int64_t)floor(part * (double)s->n + 0.5);
    s->m = s->m < 1 ? 1 : s->m;
    cr_assert_geq(s->n, 1);
    for (int64_t i = 0; i < s->n; i++)
        x[i] = i;
    dal_rng_shuffle(&rng, x, s->n, s->m);
    s->v = malloc((size_t)(s->n * s->m) * sizeof *s->v);
    s->total = calloc((size_t)s->n, sizeof *s->total);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t j = 0; j < s->m; j++)
            s->total[i] += s->v[i * s->m + j] = slow_score(s, i, x[j]);
    free(x);
}

/* The largest totals, in that order. */
static void slow_top(const slow *s, int64_t b, int64_t *rows)
{
    double *left = malloc((size_t)s->n * sizeof *left);
    memcpy(left, s->total, (size_t)s->n * sizeof *left);
    for (int64_t k = 0; k < b; k++) {
        rows[k] = 0;
        for (int64_t i = 1; i < s->n; i++)
            if (left[i] > left[rows[k]])
                rows[k] = i;
        left[rows[k]] = -1;
    }
    free(left);
}

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void slow_clusters(const slow *s, const dal_host *host, int64_t round, int64_t keep, int64_t b,
                          int64_t *rows)
{
    int64_t *kept = malloc((size_t)keep * sizeof *kept);
    float *unit = malloc((size_t)(keep * s->m) * sizeof *unit);
    const dal_rng stream = host->rng(host, "k-means", round);
    dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = {unit, keep, s->m, s->m}, .k = b,
                                  .starts = 1, .max_iterations = 300, .tolerance = 1e-4};
    int32_t *cluster = malloc((size_t)keep * sizeof *cluster);
    float *distance = malloc((size_t)keep * sizeof *distance);
    dal_kmeans_result out = {.struct_size = sizeof out, .assignment = cluster, .distance = distance};
    slow_top(s, keep, kept);
    qsort(kept, (size_t)keep, sizeof *kept, by_row);
    for (int64_t i = 0; i < keep; i++) {
        double length = 0;
        for (int64_t j = 0; j < s->m; j++)
            length += s->v[kept[i] * s->m + j] * s->v[kept[i] * s->m + j];
        for (int64_t j = 0; j < s->m; j++)
            unit[i * s->m + j] = (float)(s->v[kept[i] * s->m + j] / sqrt(length));
    }
    cr_assert_eq(dal_kmeans(host, &problem, &stream, &out, NULL), DAL_OK);
    for (int64_t k = 0; k < b; k++) {
        double nearest = INFINITY;
        rows[k] = -1;
        for (int64_t i = 0; i < keep; i++)
            nearest = cluster[i] == k ? fmin(nearest, sqrt(distance[i])) : nearest;
        for (int64_t i = 0; i < keep; i++)
            if (cluster[i] == k && sqrt(distance[i]) < nearest + 1e-5 &&
                (rows[k] < 0 || s->total[kept[i]] > s->total[rows[k]]))
                rows[k] = kept[i];
    }
    for (int64_t k = 0; k < b; k++) /* clusters without samples, when all have one direction */
        for (int64_t i = 0, empty = rows[k] < 0; empty && i < keep; i++) {
            int named = 0;
            for (int64_t j = 0; j < b; j++)
                named |= j != k && rows[j] == kept[i];
            if (!named && (rows[k] < 0 || s->total[kept[i]] > s->total[rows[k]]))
                rows[k] = kept[i];
        }
    free(kept), free(unit), free(cluster), free(distance);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt_, int64_t b, int64_t *rows)
{
    const options *opt = opt_;
    slow s = {.n = r->set[0].n, .c = r->c, .passes = opt->passes};
    const int64_t top = (int64_t)floor(opt->top_frac * (double)s.n + 0.5), keep = top > b ? top : b;
    slow_load(&s, r);
    slow_vectors(&s, host, r, opt->xprime_frac);
    if (opt->batch_mode == BATCH_TOP || b == keep)
        slow_top(&s, b, rows);
    else
        slow_clusters(&s, host, r->round, keep, b, rows);
    free(s.P), free(s.p), free(s.v), free(s.total);
    return b;
}

/* Certain samples tell nothing but rounding, and with two passes all vectors have one direction: not here. */
static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 6, 0},
    {2, 100, 50, 0, 10, 16, 10, FX_LOGITS},
    {3, 77, 0, 0, 2, 3, 4, 0},
    {4, 60, 20, 5, 4, 8, 8, FX_DUPLICATES},
    {5, 50, 9, 0, 5, 6, 5, FX_ZERO_ROWS},
    {8, 14, 8, 0, 90, 12, 3, FX_LOGITS},
    {10, 1, 1, 0, 3, 4, 2, 0},
};
static const int64_t n_shapes = sizeof shapes / sizeof *shapes;

Test(bemps, picks_what_its_slow_twins_pick)
{
    for (is_log = 0; is_log < 2; is_log++)
        for (int64_t s = 0; s < n_shapes; s++) {
            const options top = {shapes[s].passes, 0.3, 0.5, BATCH_TOP},
                          few = {shapes[s].passes, 0.1, 0.6, BATCH_CLUSTER},
                          all = {shapes[s].passes, 1, 0.8, BATCH_CLUSTER}; /* more of X' than dimensions */
            const dal_strategy_impl *impl = is_log ? &corelog_impl : &coremse_impl;
            fx_twin_agrees(impl, &top, twin, &shapes[s], 1, 0);
            fx_twin_agrees(impl, &few, twin, &shapes[s], 1, 0);
            fx_twin_agrees(impl, &all, twin, &shapes[s], 1, 0);
        }
}

Test(bemps, lets_go_of_the_same_samples_in_chunks)
{
    static fx_picks p;
    static int64_t want[FX_MAX_PICKS];
    const fx_spec spec = {41, 2 * CHUNK + 100, 0, 0, 2, 3, 3, FX_LOGITS};
    const options opt = {3, 0.002, 0.1, BATCH_CLUSTER};
    fx_round *r = fx_round_random(&spec);
    dal_runtime *rt = fx_runtime(1, 5);
    is_log = 1;
    fx_select(r, &corelog_impl, &opt, 40, 5, &p);
    twin(r, dal_runtime_host(rt, "strategy"), &opt, 40, want);
    cr_assert_arr_eq(p.rows, want, 40 * sizeof *want);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(bemps, follows_its_samples_when_all_are_improved)
{
    const options opt = {10, 1, 0.5, BATCH_TOP};
    fx_picks_follow_samples(&coremse_impl, &opt, &shapes[1], 30);
    fx_picks_follow_samples(&corelog_impl, &opt, &shapes[1], 30);
}

Test(bemps, picks_as_many_as_asked_of_samples_that_are_certain)
{
    static fx_picks p;
    const fx_spec certain = {6, 64, 12, 0, 6, 7, 5, FX_SATURATED};
    const options opt = {5, 0.5, 0.5, BATCH_CLUSTER};
    fx_round *r = fx_round_random(&certain);
    fx_select(r, &coremse_impl, &opt, 20, 1, &p);
    cr_assert_eq(p.n, 20);
    fx_select(r, &corelog_impl, &opt, 20, 1, &p);
    cr_assert_eq(p.n, 20);
    fx_round_free(r);
}

Test(bemps, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const dal_strategy_impl *const impls[2] = {&coremse_impl, &corelog_impl};
    const options all = {5, 1, 0.5, BATCH_TOP}, few = {5, 0.02, 0.5, BATCH_TOP};
    const fx_spec nan = {21, 50, 5, 0, 4, 3, 5, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&nan);
    for (int s = 0; s < 2; s++) {
        fx_try(r, impls[s], &all, 3, 1, &p);
        cr_assert_eq(p.status, DAL_E_INVALID);
        cr_assert(strstr(p.err.text, "over sample "), "%s", p.err.text);
        fx_try(r, impls[s], &few, 3, 1, &p); /* X' is fine, or is what is wrong */
        cr_assert_eq(p.status, DAL_E_INVALID);
        cr_assert(strstr(p.err.text, "0 hold a value"), "%s", p.err.text);
    }
    fx_round_free(r);
}

Test(bemps, survives_when_there_is_no_memory)
{
    const options opt = {6, 1, 0.8, BATCH_CLUSTER};
    fx_survives_no_memory(&coremse_impl, &opt, &shapes[0], 5);
    fx_survives_no_memory(&corelog_impl, &opt, &shapes[0], 5);
}
