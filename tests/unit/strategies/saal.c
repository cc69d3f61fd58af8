/* saal through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/saal.c"

static const options plain = {.05, 1, MODE_MAX, 1, 0}, top = {.05, 1, MODE_MAX, 0, 0};
static const options rest[3] = {{.05, 0, MODE_MAX, 0, 0}, {2, 1, 1, 0, 0}, {.05, 0, MODE_MAX, 1, 30}};

/* Logits (x, x / 2). */
static fx_round *example(int64_t n, const float *x)
{
    static const float probs[16] = {0}, w[2] = {1, .5f};
    fx_round *r = fx_round_of(n, 2, probs, 1, x);
    r->weights = malloc(sizeof w);
    memcpy(r->weights, w, sizeof w);
    return r;
}

Test(saal, scores_the_worked_example)
{
    static fx_picks p;
    const float x[3] = {.2f, 1, -1};
    const double want[2][3] = {{.649723, .495551, .495551}, {.651139, .501364, .501364}};
    for (int k = 0; k < 2; k++) {
        const options opt = {.05, k == 0, MODE_MAX, 0, 0};
        fx_round *r = example(3, x);
        fx_select(r, &saal_impl, &opt, 3, 1, &p);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(p.rows[i], i);
            cr_assert_float_eq(p.scores[i], want[k][i], 1e-6, "%g", p.scores[i]);
        }
        fx_round_free(r);
    }
}

Test(saal, can_score_by_the_rise_of_the_loss)
{
    static fx_picks p;
    const float x[1] = {1};
    const options opt = {.05, 1, 1, 0, 0};
    fx_round *r = example(1, x);
    fx_select(r, &saal_impl, &opt, 1, 1, &p);
    cr_assert_float_eq(p.scores[0], .495551 - .474077, 1e-6);
    fx_round_free(r);
}

/* ---- the twin: the weights themselves are moved ------------------------------------------------ */

static void slow_logits(const fx_round *r, const double *w, const double *b, int64_t i, double *f)
{
    for (int64_t k = 0; k < r->c; k++) {
        f[k] = b[k];
        for (int64_t j = 0; j < r->d; j++)
            f[k] += w[k * r->d + j] * r->set[0].features[i * r->d + j];
    }
}

static double slow_loss(const double *f, int64_t c, int64_t y)
{
    double sum = 0;
    for (int64_t k = 0; k < c; k++)
        sum += exp(f[k] - f[y]);
    return log(sum);
}

/* Length of the gradient, |w| times it when adaptive, and the step it tells. */
static double move(double *w, double g, int adaptive, double rho, double length)
{
    const double scaled = adaptive ? *w * g : g;
    if (length > 0)
        *w += rho * (adaptive ? *w * *w * g : g) / length;
    return scaled * scaled;
}

static float slow_score(const fx_round *r, const options *opt, int64_t i)
{
    const float *h = r->set[0].features + i * r->d;
    double *w = malloc((size_t)(r->c * r->d) * sizeof *w), *b = malloc((size_t)r->c * sizeof *b);
    double *f = malloc((size_t)r->c * sizeof *f), *a = malloc((size_t)r->c * sizeof *a), sum = 0, rest_ = 0,
           square = 0;
    for (int64_t k = 0; k < r->c * r->d; k++)
        w[k] = r->weights[k];
    for (int64_t k = 0; k < r->c; k++)
        b[k] = r->bias[k];
    slow_logits(r, w, b, i, f);
    int64_t y = 0;
    for (int64_t k = 1; k < r->c; k++)
        y = f[k] > f[y] ? k : y;
    for (int64_t k = 0; k < r->c; k++)
        sum += exp(f[k] - f[y]);
    for (int64_t k = 0; k < r->c; k++) {
        a[k] = exp(f[k] - f[y]) / sum;
        rest_ += k == y ? 0 : a[k];
    }
    a[y] = -rest_;
    const double before = slow_loss(f, r->c, y);
    for (int pass = 0; pass < 2; pass++) {
        const double length = sqrt(square);
        square = 0;
        for (int64_t k = 0; k < r->c; k++) {
            for (int64_t j = 0; j < r->d; j++)
                square += move(w + k * r->d + j, a[k] * h[j], opt->adaptive, opt->rho, length);
            square += move(b + k, a[k], opt->adaptive, opt->rho, length);
        }
    }
    slow_logits(r, w, b, i, f);
    const double after = slow_loss(f, r->c, y);
    free(w);
    free(b);
    free(f);
    free(a);
    return (float)(opt->mode == MODE_MAX ? after : after - before);
}

/* k-means++ on the line, as dal_seed throws its darts (tested there): its picks on the twin's own scores. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int64_t all = r->set[0].n;
    int64_t *subset = malloc((size_t)all * sizeof *subset), n = all, made = 0;
    float *s = malloc((size_t)all * sizeof *s);
    double *distance = malloc((size_t)b * sizeof *distance);
    for (int64_t i = 0; i < all; i++)
        subset[i] = i;
    if (opt->subset > 0 && opt->subset < all) {
        dal_rng stream = host->rng(host, "subset", r->round);
        n = opt->subset > b ? opt->subset : b;
        dal_rng_shuffle(&stream, subset, all, n);
        for (int64_t i = 1; i < n; i++)
            for (int64_t j = i; j > 0 && subset[j] < subset[j - 1]; j--) {
                const int64_t t = subset[j];
                subset[j] = subset[j - 1];
                subset[j - 1] = t;
            }
    }
    for (int64_t i = 0; i < n; i++)
        s[i] = slow_score(r, opt, subset[i]);
    const dal_seed_problem line = {sizeof line,
                                   DAL_SEED_KMEANSPP,
                                   {.struct_size = sizeof line.points, .features = {s, n, 1, 1}},
                                   DAL_SEED_LARGEST,
                                   b,
                                   host->rng(host, "draw", r->round)};
    if (opt->diversity)
        cr_assert_eq(dal_seed(host, &line, rows, distance, &made, NULL), DAL_OK);
    for (int64_t k = 0; k < made; k++)
        s[rows[k]] = -INFINITY;
    for (int64_t k = made; k < b; k++) {
        rows[k] = 0;
        for (int64_t i = 1; i < n; i++)
            rows[k] = s[i] > s[rows[k]] ? i : rows[k];
        s[rows[k]] = -INFINITY;
    }
    for (int64_t k = 0; k < b; k++)
        rows[k] = subset[rows[k]];
    free(subset);
    free(s);
    free(distance);
    return b;
}

Test(saal, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&saal_impl, &plain, twin, fx_shapes, fx_n_shapes, 20);
    fx_twin_agrees(&saal_impl, &top, twin, fx_shapes, fx_n_shapes, 20);
    for (int k = 0; k < 3; k++)
        fx_twin_agrees(&saal_impl, &rest[k], twin, fx_shapes, 6, 20);
}

Test(saal, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&saal_impl, &top, &fx_shapes[1], 40);
}

Test(saal, takes_the_largest_when_all_scores_left_are_taken)
{
    static fx_picks p;
    const float x[6] = {1, 1, .2f, 1, -1, .2f};
    fx_round *r = example(6, x);
    fx_select(r, &saal_impl, &plain, 6, 1, &p);
    cr_assert(p.rows[0] == 2 && p.rows[2] == 5); /* 2 first, some of score .4956, then the largest left */
    fx_round_free(r);
}

Test(saal, says_that_a_model_diverged)
{
    static fx_picks p;
    const float x[2] = {1, NAN};
    fx_round *r = example(2, x);
    fx_try(r, &saal_impl, &plain, 1, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 20"), "%s", p.err.text);
    fx_round_free(r);
}

Test(saal, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&saal_impl, &plain, &fx_shapes[0], 5);
}

/* ---- all layers: a live model, moved weight by weight --------------------------------------------- */

static float slow_whole_score(const fx_round *r, const options *opt, int64_t row)
{
    const dal_model_perturb *t = r->model.impl->get_extension(r->model.self, DAL_CAP_PERTURB);
    const int64_t n = t->n_weights(r->model.self);
    const float *w = t->weights(r->model.self);
    const dal_sample_spec spec = {sizeof spec, DAL_VECTOR, DAL_F32, 1, {r->d}, r->c};
    const dal_batch x = {.struct_size = sizeof x, .spec = &spec, .n = 1, .data = r->set[0].features + row * r->d};
    float *g = malloc((size_t)n * sizeof *g), z[64], target[64] = {0};
    double before[64], after[64], length = 0;
    void *copy;
    int64_t y = 0;
    r->model.impl->predict(r->model.self, &x, z, NULL);
    for (int64_t k = 0; k < r->c; k++) {
        y = z[k] > z[y] ? k : y;
        before[k] = z[k];
    }
    target[y] = 1;
    t->loss_gradient(r->model.self, &x, target, g, NULL, NULL);
    t->copy(r->model.self, &copy, NULL);
    for (int64_t v = 0; v < n; v++)
        length += (double)g[v] * g[v] * (opt->adaptive ? (double)w[v] * w[v] : 1);
    for (int64_t v = 0; length > 0 && v < n; v++)
        t->weights(copy)[v] =
            (float)(w[v] + opt->rho * (opt->adaptive ? (double)w[v] * w[v] : 1) * g[v] / sqrt(length));
    r->model.impl->predict(copy, &x, z, NULL);
    for (int64_t k = 0; k < r->c; k++)
        after[k] = z[k];
    r->model.impl->destroy(copy);
    free(g);
    return (float)(slow_loss(after, r->c, y) - (opt->mode == MODE_MAX ? 0 : slow_loss(before, r->c, y)));
}

static const fx_spec modelled[] = {
    {1, 40, 10, 0, 3, 5, 0, FX_LOGITS | FX_MODEL},
    {2, 300, 5, 0, 10, 16, 0, FX_LOGITS | FX_CURVED},
    {3, 77, 0, 0, 2, 3, 0, FX_CURVED},
    {9, 3, 2, 0, 2, 2, 0, FX_MODEL},
    {10, 1, 1, 0, 3, 4, 0, FX_CURVED},
};

Test(saal_all, scores_what_its_slow_twin_scores_the_largest_first)
{
    static fx_picks p;
    for (size_t s = 0; s < sizeof modelled / sizeof *modelled; s++)
        for (int k = 0; k < 3; k++) {
            const options opt = {.05, k != 1, k == 2, 0, 0};
            fx_round *r = fx_round_random(&modelled[s]);
            fx_select(r, &all_impl, &opt, r->set[0].n, 1, &p);
            for (int64_t i = 0; i < p.n; i++) {
                const double want = slow_whole_score(r, &opt, p.rows[i]);
                cr_assert_float_eq(p.scores[i], want, 1e-5 * fabs(want) + 1e-6, "%g, the twin's %g", p.scores[i],
                                   want);
                cr_assert(i == 0 || p.scores[i] <= p.scores[i - 1]);
            }
            fx_round_free(r);
        }
}

/* By weights (1, .5) and a bias of 0, which the adaptive step leaves alone. */
Test(saal_all, scores_the_worked_example)
{
    static fx_picks p;
    const float x[3] = {.2f, 1, -1};
    const double want[3] = {.649723, .495551, .495551};
    fx_round *r = example(3, x);
    fx_round_model(r, 0);
    fx_select(r, &all_impl, &top, 3, 1, &p);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(p.rows[i], i);
        cr_assert_float_eq(p.scores[i], want[i], 1e-6, "%g", p.scores[i]);
    }
    fx_round_free(r);
}

Test(saal_all, of_a_linear_model_is_saal)
{
    static fx_picks a, b;
    for (int k = 0; k < 2; k++) {
        const options opt = {.05, k == 0, MODE_MAX, 0, 20};
        fx_round *r = fx_round_random(&modelled[0]);
        fx_select(r, &saal_impl, &opt, 10, 1, &a);
        fx_select(r, &all_impl, &opt, 10, 1, &b);
        for (int i = 0; i < 10; i++) {
            cr_assert_eq(a.rows[i], b.rows[i]);
            cr_assert_float_eq(a.scores[i], b.scores[i], 1e-5);
        }
        fx_round_free(r);
    }
}

Test(saal_all, spreads_its_picks_over_the_scores)
{
    static fx_picks p, largest;
    fx_round *r = fx_round_random(&modelled[1]);
    fx_select(r, &all_impl, &plain, 60, 1, &p);
    fx_select(r, &all_impl, &top, 60, 1, &largest);
    cr_assert_eq(p.rows[0], largest.rows[0]);
    double low = p.scores[0];
    for (int i = 0; i < 60; i++)
        low = fmin(low, p.scores[i]);
    cr_assert_lt(low, largest.scores[59]);
    fx_round_free(r);
}

Test(saal_all, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&all_impl, &plain, &modelled[0], 5);
}
