/* vessal through its table, and the worked example coin by coin. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/vessal.c"

static const options plain = {.01, EMBED_GRADIENT, 512}, features = {.01, 1, 512},
                     sketch = {.01, EMBED_GRADIENT, 12};

Test(vessal, takes_the_worked_example_coin_by_coin)
{
    const float h[6] = {1, 0, 0, 2, 1, 1};
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    volume s = {.host = dal_runtime_host(rt, "test"), .lambda = .01, .n = 3, .b = 1};
    s.g = (dal_gradients){.struct_size = sizeof s.g, .features = {h, 3, 2, 2}};
    s.plain = 1;
    cr_assert_eq(choose_width(&s, &features, &err), DAL_OK);
    cr_assert(take_memory(&s));
    cr_assert_eq(embed(&s, 3), DAL_OK);
    s.embedded = 3;
    start_task(&s, 0);
    cr_assert_float_eq(s.q[0], 100, 1e-9);
    cr_assert(!visit(&s, .9)); /* p 1/3 */
    cr_assert_float_eq(s.q[1], 400, 1e-9);
    cr_assert(visit(&s, .3));
    cr_assert_float_eq(s.chances[0], .8, 1e-12);
    cr_assert_eq(s.taken[0], 1);
    cr_assert(!visit(&s, 0)); /* nothing more is wanted */
    give_memory(&s);
    dal_runtime_free(rt);
}

/* ---- the twin: the matrices of the algorithm, in double ---------------------------------------- */

static void slow_embedding(const fx_round *r, const options *opt, const dal_host *host, int64_t i, int64_t width,
                           double *x)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    double *a = malloc((size_t)r->c * sizeof *a), rest = 0;
    int64_t y = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, i, a);
    for (int64_t k = 1; k < r->c; k++)
        y = pool->outputs[i * r->c + k] > pool->outputs[i * r->c + y] ? k : y;
    for (int64_t k = 0; k < r->c; k++) {
        a[k] = a[k] < FLT_MIN ? 0 : a[k];
        rest += k == y ? 0 : a[k];
    }
    a[y] = -rest;
    dal_rng ra = host->rng(host, "classes", r->round), rh = host->rng(host, "features", r->round);
    for (int64_t k = 0; k < width; k++) {
        double sa = 0, sh = 0;
        if (opt->embedding != EMBED_GRADIENT) {
            x[k] = pool->features[i * r->d + k];
        } else if (r->c * r->d <= opt->width) {
            x[k] = a[k / r->d] * pool->features[i * r->d + k % r->d];
        } else {
            for (int64_t j = 0; j < r->c; j++)
                sa += dal_rng_u32(&ra) & 1 ? a[j] : -a[j];
            for (int64_t j = 0; j < r->d; j++)
                sh += dal_rng_u32(&rh) & 1 ? pool->features[i * r->d + j] : -pool->features[i * r->d + j];
            x[k] = sa * sh / sqrt((double)width);
        }
    }
    free(a);
}

/* x' m y */
static double form(const double *m, const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            sum += x[i] * m[i * n + j] * y[j];
    return sum;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t n = r->set[0].n, whole = r->c * r->d;
    const int64_t d = opt->embedding != EMBED_GRADIENT ? r->d : whole <= opt->width ? whole : opt->width;
    double *inverse = calloc((size_t)(d * d), sizeof *inverse), *sigma = calloc((size_t)(d * d), sizeof *sigma);
    double *x = malloc((size_t)d * sizeof *x), *v = malloc((size_t)d * sizeof *v);
    int64_t *order = malloc((size_t)n * sizeof *order), k = 0, left = 0;
    char *taken = calloc((size_t)n, 1);
    dal_rng shuffle = host->rng(host, "order", r->round), coins = host->rng(host, "coins", r->round);
    dal_rng rest = host->rng(host, "rest", r->round);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    dal_rng_shuffle(&shuffle, order, n, n);
    for (int64_t i = 0; i < d; i++)
        inverse[i * d + i] = 1 / opt->lambda;
    for (int64_t t = 1; t <= n && k < b; t++) {
        double trace = 0;
        slow_embedding(r, opt, host, order[t - 1], d, x);
        for (int64_t i = 0; i < d * d; i++) {
            sigma[i] = (t - 1.0) / t * sigma[i] + x[i / d] * x[i % d] / t;
            trace += sigma[i] * inverse[i];
        }
        const double q = form(inverse, x, x, d), z = (double)(b - k) / (n - t + 1);
        if (!(dal_rng_uniform(&coins) < (trace > 0 ? fmin(1, z * q / trace) : z)))
            continue;
        for (int64_t i = 0; i < d; i++) {
            v[i] = 0;
            for (int64_t j = 0; j < d; j++)
                v[i] += inverse[i * d + j] * x[j];
        }
        for (int64_t i = 0; i < d * d; i++)
            inverse[i] -= v[i / d] * v[i % d] / (1 + q);
        rows[k++] = order[t - 1];
        taken[order[t - 1]] = 1;
    }
    for (int64_t i = 0; i < n; i++)
        if (!taken[i])
            order[left++] = i;
    dal_rng_shuffle(&rest, order, left, b - k);
    for (int64_t i = 0; k < b; i++)
        rows[k++] = order[i];
    free(inverse);
    free(sigma);
    free(x);
    free(v);
    free(order);
    free(taken);
    return b;
}

Test(vessal, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&vessal_impl, &plain, twin, fx_shapes, fx_n_shapes - 1, 0); /* the last is slow here */
}

Test(vessal, picks_what_its_slow_twin_picks_from_sketches_and_features)
{
    fx_twin_agrees(&vessal_impl, &sketch, twin, fx_shapes, fx_n_shapes, 40);
    fx_twin_agrees(&vessal_impl, &features, twin, fx_shapes, fx_n_shapes, 40);
}

/* Means over many sketches of one pair of samples. */
Test(vessal, sketches_keep_inner_products_on_average)
{
    enum { TIMES = 2000, WIDTH = 64 };
    const float h[4] = {1, 2, 2, 1.5f};
    double mean = 0, a[3] = {-.3, .2, .1}, b[3] = {-.4, .1, .3}, want = 0;
    for (int k = 0; k < 3; k++)
        want += a[k] * b[k] * (h[0] * h[2] + h[1] * h[3]);
    for (uint64_t seed = 0; seed < TIMES; seed++) {
        float fa[6] = {-.3f, .2f, .1f, -.4f, .1f, .3f}, ra[WIDTH * 3], rh[WIDTH * 2];
        draw_signs(ra, WIDTH * 3, dal_rng_from_key(2 * seed), 1 / sqrt((double)WIDTH));
        draw_signs(rh, WIDTH * 2, dal_rng_from_key(2 * seed + 1), 1);
        for (int k = 0; k < WIDTH; k++) {
            const double x = dal_dot(ra + 3 * k, fa, 3) * dal_dot(rh + 2 * k, h, 2);
            const double y = dal_dot(ra + 3 * k, fa + 3, 3) * dal_dot(rh + 2 * k, h + 2, 2);
            mean += x * y / TIMES;
        }
    }
    cr_assert_float_eq(mean, want, .05, "%g, expected %g", mean, want);
    cr_assert_gt(want, .8);
}

Test(vessal, fills_up_from_the_rest_where_there_is_no_gradient)
{
    static fx_picks p;
    const float probs[6] = {1, 0, 0, 1, 1, 0}, h[3] = {1, 2, 3};
    fx_round *r = fx_round_of(3, 2, probs, 1, h);
    fx_select(r, &vessal_impl, &plain, 2, 1, &p);
    cr_assert_eq(p.n, 2);
    fx_round_free(r);
}

Test(vessal, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &vessal_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "output 0 of sample 40 is"), "%s", p.err.text);
    fx_round_free(r);
}

Test(vessal, of_features_reads_no_outputs)
{
    static fx_picks p;
    float h[6] = {1, 2, 0, 1, 1, 1};
    fx_round *r = fx_round_of(3, 2, NULL, 2, h);
    fx_select(r, &vessal_impl, &features, 2, 1, &p);
    fx_round_free(r);
    h[3] = NAN;
    r = fx_round_of(3, 2, NULL, 2, h);
    fx_try(r, &vessal_impl, &features, 2, 1, &p);
    cr_assert(p.status == DAL_E_INVALID && strstr(p.err.text, "row 1, column 1 is nan"), "%s", p.err.text);
    fx_round_free(r);
}

Test(vessal, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&vessal_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&vessal_impl, &sketch, &fx_shapes[0], 5);
    fx_survives_no_memory(&vessal_impl, &features, &fx_shapes[0], 5);
}
