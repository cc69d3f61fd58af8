/* gradmatch through its table, and its loop on the worked example. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/gradmatch.c"
#include "plugins/strategies/nnls.c"

static const options plain = {TARGET_POOL, 1, 0, 0, 0, 1}, unbiased = {TARGET_POOL, 0, 0, 0, 0, 1},
                     validated = {1, 1, 0, 0, 0, 1}, apart = {TARGET_POOL, 1, 1, 0, 0, 1},
                     distil = {TARGET_POOL, 1, 0, 1, 0, 1}, weighted = {TARGET_POOL, 1, 0, 0, 1, 1},
                     weighted_apart = {TARGET_POOL, 0, 1, 0, 1, .1};

Test(gradmatch, picks_the_worked_example)
{
    const float x[8] = {1, 0, 0, 1, -.5f, .5f, .6f, .6f};
    const dal_gradients g = {.struct_size = sizeof g, .features = {x, 4, 2, 2}}; /* plain vectors */
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_error err = DAL_ERROR_INIT;
    float *t;
    int64_t rows[2];
    double scores[2];
    cr_assert_eq(make_target(host, &g, NULL, 2 / 4.0, &t, &err), DAL_OK);
    cr_assert_float_eq(t[0], .55, 1e-6);
    cr_assert_float_eq(t[1], 1.05, 1e-6);
    cr_assert_eq(match(host, &g, t, 2, rows, scores, &err), DAL_OK);
    cr_assert(rows[0] == 3 && rows[1] == 2);
    cr_assert_float_eq(scores[0], .452769, 1e-6);
    cr_assert_float_eq(scores[1], .452769, 1e-6);
    host->free(host, t);
    dal_runtime_free(rt);
}

/* g of a row as the matrix it is; label -1: the predicted class. */
static double *slow_gradient(const fx_round *r, uint32_t set, int64_t i, int32_t label, int bias)
{
    double *g = malloc((size_t)(r->c * (r->d + 1)) * sizeof *g), *a = malloc((size_t)r->c * sizeof *a), rest = 0;
    const float *z = r->set[set].outputs + i * r->c;
    int64_t y = 0;
    fx_probs(r, set, i, a);
    for (int64_t k = 1; k < r->c; k++)
        y = z[k] > z[y] ? k : y;
    for (int64_t k = 0; k < r->c; k++)
        rest += k == y ? 0 : a[k];
    a[y] = -rest;
    a[y] += label >= 0;
    if (label >= 0)
        a[label] -= 1;
    for (int64_t k = 0; k < r->c; k++)
        for (int64_t j = 0; j <= r->d; j++)
            g[k * (r->d + 1) + j] = a[k] * (j < r->d ? r->set[set].features[i * r->d + j] : bias);
    free(a);
    return g;
}

static int64_t slow_class(const fx_round *r, uint32_t set, int64_t i)
{
    const float *z = r->set[set].outputs + i * r->c;
    int64_t y = 0;
    for (int64_t k = 1; k < r->c; k++)
        y = z[k] > z[y] ? k : y;
    return y;
}

static double slow_product(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += x[k] * y[k];
    return sum;
}

/* min_{w >= 0} ||t - sum w g||^2 + ridge ||w||^2, one coordinate after the other until nothing moves. */
static void slow_weights(double **g, const double *t, int64_t n, int64_t width, double ridge, double *w)
{
    double *k = malloc((size_t)(n * n + 1) * sizeof *k), *q = malloc((size_t)(n + 1) * sizeof *q);
    for (int64_t i = 0; i < n; i++) {
        q[i] = slow_product(g[i], t, width);
        w[i] = 0;
        for (int64_t j = 0; j < n; j++)
            k[i * n + j] = slow_product(g[i], g[j], width) + (i == j ? ridge : 0);
    }
    for (int64_t turn = 0, moved = 1; moved && turn < 200000; turn++) {
        moved = 0;
        for (int64_t i = 0; i < n; i++) {
            double rest = q[i];
            for (int64_t j = 0; j < n; j++)
                rest -= i == j ? 0 : k[i * n + j] * w[j];
            const double to = fmax(0, rest / k[i * n + i]);
            moved |= fabs(to - w[i]) > 1e-14 * (1 + fabs(to));
            w[i] = to;
        }
    }
    free(k);
    free(q);
}

/* Orthogonal matching pursuit on the gradients g[n] (of the rows index) with the target t. */
static void slow_pursuit(double **g, const int64_t *index, int64_t n, const double *t, int64_t width, double ridge,
                         int64_t b, dal_rng rng, int64_t *rows, double *weights)
{
    double **of = malloc((size_t)(b + 1) * sizeof *of), *w = calloc((size_t)b + 1, sizeof *w);
    double *rest = malloc((size_t)width * sizeof *rest);
    int64_t *picks = malloc((size_t)(b + 1) * sizeof *picks), m = 0, made = 0;
    char *used = calloc((size_t)n + 1, 1);
    memcpy(rest, t, (size_t)width * sizeof *rest);
    while (m < b && slow_product(rest, rest, width) > 1e-8 * slow_product(t, t, width)) {
        double most = 0;
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++) {
            const double along = slow_product(g[i], rest, width);
            if (!used[i] && along > most * (1 + 1e-12)) {
                most = along;
                best = i;
            }
        }
        if (best < 0)
            break;
        used[best] = 1;
        picks[m] = best;
        of[m++] = g[best];
        slow_weights(of, t, m, width, ridge, w);
        for (int64_t k = 0; k < width; k++) {
            rest[k] = t[k];
            for (int64_t j = 0; j < m; j++)
                rest[k] -= w[j] * of[j][k];
        }
    }
    memset(used, 0, (size_t)n);
    for (int64_t j = 0; j < m; j++)
        if (w[j] > 0) {
            used[picks[j]] = 1;
            weights[made] = w[j];
            rows[made++] = index[picks[j]];
        }
    for (; made < b; made++) {
        int64_t skip = dal_rng_below(&rng, n - made), i = 0;
        for (;; i++)
            if (!used[i] && skip-- == 0)
                break;
        used[i] = 1;
        weights[made] = 1;
        rows[made] = index[i];
    }
    free(of);
    free(w);
    free(rest);
    free(picks);
    free(used);
}

/* The greedy loop of the plain form. */
static void slow_greedy(double **g, const int64_t *index, int64_t n, double *rest, int64_t width, int64_t b,
                        int64_t *rows)
{
    char *used = calloc((size_t)n + 1, 1);
    for (int64_t j = 0; j < b; j++) {
        double least = 0;
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++) {
            double square = 0; /* ||g - r||^2 - ||r||^2, so that the smallest of gradients still count */
            for (int64_t k = 0; !used[i] && k < width; k++)
                square += g[i][k] * g[i][k] - 2 * g[i][k] * rest[k];
            if (!used[i] && (best < 0 || square < least)) {
                least = square;
                best = i;
            }
        }
        for (int64_t k = 0; k < width; k++)
            rest[k] -= g[best][k];
        used[best] = 1;
        rows[j] = index[best];
    }
    free(used);
}

static double slow_scores[FX_MAX_PICKS]; /* weights of the twin's latest picks */

/* b picks from the rows index[n], for the sum over rows other[m] of a set. */
static void slow_group(const fx_round *r, const dal_host *host, const options *opt, const int64_t *index, int64_t n,
                       uint32_t set, const int64_t *other, int64_t m, uint64_t group, int64_t b, int64_t *rows,
                       double *weights)
{
    const int64_t width = r->c * (r->d + 1);
    double **g = malloc((size_t)(n + 1) * sizeof *g), *t = calloc((size_t)width, sizeof *t);
    for (int64_t i = 0; i < n; i++)
        g[i] = slow_gradient(r, DAL_ROWS_CANDIDATES, index[i], -1, opt->bias);
    for (int64_t i = 0; i < m; i++) {
        double *one = slow_gradient(r, set, other[i], set == DAL_ROWS_CANDIDATES ? -1 : r->set[set].classes[other[i]],
                                    opt->bias);
        for (int64_t k = 0; k < width; k++)
            t[k] += one[k] * (opt->weights || opt->variant ? 1 : (double)b / m);
        free(one);
    }
    if (opt->weights) {
        const dal_rng rng = host->rng(host, "rest", r->round);
        slow_pursuit(g, index, n, t, width, opt->ridge, b, dal_rng_at(&rng, group), rows, weights);
    } else {
        slow_greedy(g, index, n, t, width, b, rows);
    }
    for (int64_t i = 0; i < n; i++)
        free(g[i]);
    free(g);
    free(t);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const uint32_t set = opt->target == TARGET_POOL ? DAL_ROWS_CANDIDATES : DAL_ROWS_VALIDATION;
    const int64_t n = r->set[0].n, m = r->set[set].n, most = n > m ? n : m;
    int64_t *index = malloc((size_t)(most + 1) * sizeof *index), *other = malloc((size_t)(most + 1) * sizeof *other);
    int64_t made = 0, left = b, *quota = calloc((size_t)r->c + 1, sizeof *quota);
    double *remainder = calloc((size_t)r->c + 1, sizeof *remainder);
    if (!opt->classes) {
        for (int64_t i = 0; i < most; i++)
            index[i] = other[i] = i;
        slow_group(r, host, opt, index, n, set, other, m, 0, b, rows, slow_scores);
    }
    for (int64_t i = 0; opt->classes && i < n; i++)
        remainder[slow_class(r, 0, i)] += (double)b / n;
    for (int64_t k = 0; opt->classes && k < r->c; k++) {
        quota[k] = (int64_t)floor(remainder[k] + 1e-9);
        left -= quota[k];
        remainder[k] -= quota[k];
    }
    for (; opt->classes && left > 0; left--) {
        int64_t best = 0;
        for (int64_t k = 1; k < r->c; k++)
            best = remainder[k] > remainder[best] + 1e-9 ? k : best;
        quota[best]++;
        remainder[best] = -1;
    }
    for (int64_t k = 0; opt->classes && k < r->c; k++) {
        int64_t mine = 0, theirs = 0;
        for (int64_t i = 0; i < n; i++)
            if (slow_class(r, 0, i) == k)
                index[mine++] = i;
        for (int64_t i = 0; set == DAL_ROWS_VALIDATION && i < m; i++)
            if (r->set[set].classes[i] == k)
                other[theirs++] = i;
        if (quota[k] > 0)
            slow_group(r, host, opt, index, mine, theirs ? set : DAL_ROWS_CANDIDATES, theirs ? other : index,
                       theirs ? theirs : mine, (uint64_t)k, quota[k], rows + made, slow_scores + made);
        made += quota[k];
    }
    free(index);
    free(other);
    free(quota);
    free(remainder);
    return b;
}

Test(gradmatch, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&gradmatch_impl, &plain, twin, fx_shapes, fx_n_shapes, 30);
    fx_twin_agrees(&gradmatch_impl, &unbiased, twin, fx_shapes, 4, 30);
    fx_twin_agrees(&gradmatch_impl, &distil, twin, fx_shapes, 5, 30); /* the next is saturated: gradients near 0 */
    fx_twin_agrees(&gradmatch_impl, &distil, twin, fx_shapes + 6, fx_n_shapes - 6, 30);
}

Test(gradmatch, class_by_class_picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&gradmatch_impl, &apart, twin, fx_shapes, 5, 0); /* later ones have classes of two: ties */
    fx_twin_agrees(&gradmatch_impl, &apart, twin, fx_shapes + 10, 1, 0);
}

Test(gradmatch, with_weights_picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&gradmatch_impl, &weighted, twin, fx_shapes, fx_n_shapes, 8);
    fx_twin_agrees(&gradmatch_impl, &weighted_apart, twin, fx_shapes, fx_n_shapes, 8);
}

/* ||t - sum w g||^2 + ridge ||w||^2 of the picks' scores: no single weight can be changed for the better. */
Test(gradmatch, tells_the_best_weights_for_its_picks)
{
    static fx_picks p;
    int64_t rows[12];
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &gradmatch_impl, &weighted, 12, 1, &p);
    dal_runtime *rt = fx_runtime(1, 1);
    twin(r, dal_runtime_host(rt, "strategy"), &weighted, 12, rows);
    for (int k = 0; k < 12; k++) {
        cr_assert_eq(p.rows[k], rows[k]);
        cr_assert_gt(p.scores[k], 0);
        cr_assert_float_eq(p.scores[k], slow_scores[k], 1e-4 * slow_scores[k], "%g %g", p.scores[k], slow_scores[k]);
    }
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(gradmatch, shares_out_by_largest_remainders)
{
    const int64_t count[4] = {5, 3, 0, 2};
    int64_t quota[4];
    share_out(count, 4, 10, 4, quota); /* 2, 1.2, 0, .8 */
    cr_assert(quota[0] == 2 && quota[1] == 1 && quota[2] == 0 && quota[3] == 1);
    share_out(count, 4, 10, 5, quota); /* 2.5, 1.5, 0, 1 */
    cr_assert(quota[0] == 3 && quota[1] == 1 && quota[2] == 0 && quota[3] == 1);
    share_out(count, 4, 10, 10, quota);
    cr_assert_arr_eq(quota, count, sizeof quota);
}

Test(gradmatch, matches_validation_data_with_its_true_labels)
{
    static fx_picks p;
    int64_t want[20];
    fx_round *r = fx_round_random(&fx_shapes[1]), *other = fx_round_random(&fx_shapes[1]);
    const fx_rows *l = &other->set[DAL_ROWS_LABELLED];
    fx_try(r, &gradmatch_impl, &validated, 20, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.key, "target");
    fx_round_add(r, DAL_ROWS_VALIDATION, l->n, l->classes, l->outputs, l->features);
    fx_select(r, &gradmatch_impl, &validated, 20, 1, &p);
    twin(r, NULL, &validated, 20, want);
    cr_assert_arr_eq(p.rows, want, sizeof want);
    options by_class = validated;
    by_class.classes = 1;
    fx_select(r, &gradmatch_impl, &by_class, 20, 1, &p);
    twin(r, NULL, &by_class, 20, want);
    cr_assert_arr_eq(p.rows, want, sizeof want);
    fx_round_free(r);
    fx_round_free(other);
}

Test(gradmatch, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&gradmatch_impl, &plain, &fx_shapes[1], 40);
}

Test(gradmatch, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &gradmatch_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "output 0 of sample 40 is"), "%s", p.err.text);
    fx_round_free(r);
}

Test(gradmatch, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&gradmatch_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&gradmatch_impl, &weighted_apart, &fx_shapes[0], 5);
}
