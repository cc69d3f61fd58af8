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
    double *f = malloc((size_t)r->c * sizeof *f), *a = malloc((size_t)r->c * sizeof *a), sum = 0, rest_ = 0, square = 0;
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
    const dal_seed_problem line = {sizeof line, DAL_SEED_KMEANSPP, {.struct_size = sizeof line.points, .features = {s, n, 1, 1}},
                                   DAL_SEED_LARGEST, b, host->rng(host, "draw", r->round)};
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
