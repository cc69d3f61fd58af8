/* alfa-mix through its table. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/alfa_mix.c"

static const options plain = {0.03125, 2, 50, ALPHA_CLOSED, 5, .1, .01}, drawn = {0.0625, 2, 50, 1, 5, .1, .01},
                     learned = {0.25, 2, 50, ALPHA_LEARNED, 5, .1, .01};

/* W = I, one labelled sample at (0, 1). */
static fx_round *example(int64_t n, const float *z)
{
    static const float probs[10] = {0}, there[2] = {0, 1}, eye[4] = {1, 0, 0, 1};
    static const int32_t one = 1;
    fx_round *r = fx_round_of(n, 2, probs, 2, z);
    fx_round_add(r, DAL_ROWS_LABELLED, 1, &one, probs, there);
    r->weights = malloc(sizeof eye);
    memcpy(r->weights, eye, sizeof eye);
    return r;
}

Test(alfa_mix, finds_the_smallest_cap_of_the_worked_example)
{
    static fx_picks p;
    const float z[2] = {1, .6f};
    fx_round *r = example(1, z);
    fx_select(r, &alfa_mix_impl, &plain, 1, 1, &p);
    cr_assert_float_eq(p.scores[0], .371391, 1e-6);
    fx_round_free(r);
}

Test(alfa_mix, takes_those_that_change_first_and_draws_what_is_missing)
{
    static fx_picks p;
    const float z[10] = {1,   .6f, 5,    -3, 1,
                         .9f, 1,   .95f, 9,  -5}; /* 2 and 3 lie near the boundary, 1 and 4 never change */
    fx_round *r = example(5, z);
    fx_select(r, &alfa_mix_impl, &plain, 1, 1, &p);
    cr_assert(p.rows[0] == 2 || p.rows[0] == 3);
    cr_assert_leq(p.scores[0], .2);
    fx_select(r, &alfa_mix_impl, &plain, 4, 1, &p);
    cr_assert(p.rows[0] == 0 && p.rows[1] == 2 && p.rows[2] == 3);
    cr_assert((p.rows[3] == 1 || p.rows[3] == 4) && isnan(p.scores[3]));
    fx_round_free(r);
}

/* ---- the twin: mixes at every cap, with every anchor ------------------------------------------- */

typedef struct slow {
    const fx_round *r;
    int64_t n, c, d, n_anchors;
    double *anchors; /* [c + 1, d] */
} slow;

static void slow_mean(const slow *s, const fx_rows *rows, int32_t cls, double *out, int64_t *n)
{
    *n = 0;
    memset(out, 0, (size_t)s->d * sizeof *out);
    for (int64_t i = 0; i < rows->n; i++)
        if (cls < 0 || rows->classes[i] == cls) {
            *n += 1;
            for (int64_t k = 0; k < s->d; k++)
                out[k] += rows->features[i * s->d + k];
        }
    for (int64_t k = 0; k < s->d && *n > 0; k++)
        out[k] /= *n;
}

static void slow_anchors(slow *s)
{
    const fx_rows *l = &s->r->set[DAL_ROWS_LABELLED];
    int64_t n;
    for (int32_t cls = 0; cls < s->c; cls++) {
        slow_mean(s, l, cls, s->anchors + s->n_anchors * s->d, &n);
        s->n_anchors += n > 0;
    }
    if (s->n_anchors < s->c)
        slow_mean(s, l->n > 0 ? l : &s->r->set[DAL_ROWS_CANDIDATES], -1, s->anchors + s->n_anchors++ * s->d, &n);
}

static int64_t slow_predict(const slow *s, const double *z, double *f)
{
    int64_t y = 0;
    for (int64_t k = 0; k < s->c; k++) {
        f[k] = s->r->bias ? s->r->bias[k] : 0;
        for (int64_t j = 0; j < s->d; j++)
            f[k] += (double)s->r->weights[k * s->d + j] * z[j];
        y = f[k] > f[y] ? k : y;
    }
    return y;
}

static int slow_changes(const slow *s, int64_t i, double cap)
{
    double z[64] = {0}, mix[64] = {0}, g[64] = {0}, f[1000], p[1000], sum = 0, rest = 0, norm = 0;
    for (int64_t j = 0; j < s->d; j++)
        z[j] = s->r->set[DAL_ROWS_CANDIDATES].features[i * s->d + j];
    const int64_t y = slow_predict(s, z, f);
    for (int64_t k = 0; k < s->c; k++)
        sum += p[k] = exp(f[k] - f[y]);
    for (int64_t k = 0; k < s->c; k++)
        rest += k == y ? 0 : p[k] / sum;
    for (int64_t j = 0; j < s->d; j++) {
        for (int64_t k = 0; k < s->c; k++)
            g[j] += (k == y ? -rest : p[k] / sum) * s->r->weights[k * s->d + j];
        norm += g[j] * g[j];
    }
    for (int64_t a = 0; a < s->n_anchors && norm > 0; a++) {
        double reach = 0;
        for (int64_t j = 0; j < s->d; j++)
            reach += pow(s->anchors[a * s->d + j] - z[j], 2);
        for (int64_t j = 0; j < s->d; j++)
            mix[j] = z[j] + cap / sqrt((double)s->d) * sqrt(reach) * g[j] / sqrt(norm);
        if (slow_predict(s, mix, f) != y)
            return 1;
    }
    return 0;
}

/* dCE/dz~ at mix, y being the label. */
static void slow_gradient(const slow *s, const double *mix, int64_t y, double *g)
{
    double f[1000], sum = 0;
    const int64_t top = slow_predict(s, mix, f);
    const double most = f[top];
    for (int64_t k = 0; k < s->c; k++)
        sum += f[k] = exp(f[k] - most);
    memset(g, 0, (size_t)s->d * sizeof *g);
    for (int64_t k = 0; k < s->c; k++)
        for (int64_t j = 0; j < s->d; j++)
            g[j] += (f[k] / sum - (k == y)) * s->r->weights[k * s->d + j];
}

/* An alpha drawn from rng for this anchor, then Adam; does the prediction change anywhere on the way? */
static int slow_trial(const slow *s, const options *opt, const double *z, const double *anchor, double cap,
                      dal_rng *rng)
{
    double alpha[64], mix[64], g[64], first[64] = {0}, second[64] = {0}, f[1000];
    const int64_t y = slow_predict(s, z, f), steps = opt->alpha == ALPHA_LEARNED ? opt->learning_steps : 0;
    int changes = 0;
    for (int64_t j = 0; j < s->d; j++)
        alpha[j] = fmin(fmax(cap / 2 + cap / 2 * dal_rng_normal(rng), 1e-8), cap);
    for (int64_t t = 0;; t++) {
        double norm = 0;
        for (int64_t j = 0; j < s->d; j++) {
            mix[j] = alpha[j] * anchor[j] + (1 - alpha[j]) * z[j];
            norm += alpha[j] * alpha[j];
        }
        changes |= slow_predict(s, mix, f) != y;
        if (t == steps)
            return changes;
        slow_gradient(s, mix, y, g);
        for (int64_t j = 0; j < s->d; j++) {
            const double by_alpha = -g[j] * (anchor[j] - z[j]) + opt->penalty * alpha[j] / sqrt(norm);
            first[j] = .9 * first[j] + .1 * by_alpha;
            second[j] = .999 * second[j] + .001 * by_alpha * by_alpha;
            alpha[j] -= opt->learning_rate * first[j] / (1 - pow(.9, t + 1)) /
                        (sqrt(second[j] / (1 - pow(.999, t + 1))) + 1e-8);
            alpha[j] = fmin(fmax(alpha[j], 1e-8), cap);
        }
    }
}

/* Does the k-th cap change the prediction of sample i? */
static int slow_changes_by_trial(const slow *s, const options *opt, const dal_host *host, int64_t i, int64_t k)
{
    const dal_rng stream = host->rng(host, "alpha", s->r->round), of_cap = dal_rng_at(&stream, (uint64_t)k);
    dal_rng rng = dal_rng_at(&of_cap, (uint64_t)i);
    double z[64];
    int changes = 0;
    for (int64_t j = 0; j < s->d; j++)
        z[j] = s->r->set[DAL_ROWS_CANDIDATES].features[i * s->d + j];
    for (int64_t a = 0; a < s->n_anchors; a++)
        changes |= slow_trial(s, opt, z, s->anchors + a * s->d, fmin(1, opt->step * k), &rng);
    return changes;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    slow s = {
        r, r->set[DAL_ROWS_CANDIDATES].n, r->c, r->d, 0, malloc((size_t)((r->c + 1) * r->d) * sizeof(double))};
    int64_t *candidates = malloc((size_t)s.n * sizeof *candidates), n = 0;
    slow_anchors(&s);
    char *found = calloc((size_t)s.n, 1);
    for (int64_t k = 1; n <= b; k++) {
        const double cap = opt->step * k;
        n = 0;
        for (int64_t i = 0; i < s.n; i++) {
            found[i] |= opt->alpha == ALPHA_CLOSED ? slow_changes(&s, i, cap)
                                                   : slow_changes_by_trial(&s, opt, host, i, k);
            if (found[i])
                candidates[n++] = i;
        }
        if (cap >= 1)
            break;
    }
    free(found);
    if (n > b) { /* k-means has a twin of its own */
        float *unit = malloc((size_t)(n * r->d) * sizeof *unit);
        for (int64_t i = 0; i < n; i++) {
            const float *z = r->set[DAL_ROWS_CANDIDATES].features + candidates[i] * r->d;
            const double norm = sqrt(dal_dot(z, z, r->d)); /* the same bits */
            for (int64_t k = 0; k < r->d; k++)
                unit[i * r->d + k] = norm > 0 ? (float)(z[k] / norm) : 0;
        }
        const dal_rng stream = host->rng(host, "k-means", r->round);
        dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = {unit, n, r->d, r->d}, .k = b,
                                      .starts = opt->starts, .max_iterations = opt->iterations, .tolerance = 1e-4};
        dal_kmeans_result out = {.struct_size = sizeof out, .nearest = rows};
        cr_assert_eq(dal_kmeans(host, &problem, &stream, &out, NULL), DAL_OK);
        for (int64_t k = 0; k < b; k++)
            rows[k] = candidates[rows[k]];
        free(unit);
    } else {
        int64_t *rest = malloc((size_t)s.n * sizeof *rest), left = 0;
        dal_rng stream = host->rng(host, "rest", r->round);
        for (int64_t i = 0; i < s.n; i++) {
            int is = 0;
            for (int64_t k = 0; k < n; k++)
                is |= candidates[k] == i;
            if (!is)
                rest[left++] = i;
        }
        dal_rng_shuffle(&stream, rest, left, b - n);
        for (int64_t k = 0; k < b; k++)
            rows[k] = k < n ? candidates[k] : rest[k - n];
        free(rest);
    }
    free(candidates);
    free(s.anchors);
    return b;
}

Test(alfa_mix, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&alfa_mix_impl, &plain, twin, fx_shapes, fx_n_shapes, 20);
}

Test(alfa_mix, with_alphas_drawn_or_learned_picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&alfa_mix_impl, &drawn, twin, fx_shapes, fx_n_shapes, 20);
    fx_twin_agrees(&alfa_mix_impl, &learned, twin, fx_shapes, fx_n_shapes, 20);
}

/* What learning is for: it begins with what is drawn, and comes upon more. */
Test(alfa_mix, learns_alphas_that_change_what_drawn_ones_do_not)
{
    static fx_picks of[2];
    options opt[2] = {drawn, learned};
    double caps[2][300];
    int more = 0;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    opt[1].step = opt[0].step;
    for (int k = 0; k < 2; k++) {
        fx_select(r, &alfa_mix_impl, &opt[k], 300, 1, &of[k]);
        for (int64_t i = 0; i < 300; i++)
            caps[k][of[k].rows[i]] = isnan(of[k].scores[i]) ? 2 : of[k].scores[i];
    }
    for (int i = 0; i < 300; i++) {
        cr_assert_leq(caps[1][i], caps[0][i]);
        more += caps[1][i] < caps[0][i];
    }
    cr_assert_gt(more, 0);
    fx_round_free(r);
}

Test(alfa_mix, asks_at_random_where_no_gradient_is_left)
{
    static fx_picks p;
    const float z[6] = {300, 0, 0, 400, 500, 0}; /* certain to the last bit */
    fx_round *r = example(3, z);
    fx_select(r, &alfa_mix_impl, &plain, 2, 1, &p);
    cr_assert(p.n == 2 && isnan(p.scores[0]) && isnan(p.scores[1]));
    fx_round_free(r);
}

Test(alfa_mix, says_when_the_last_layer_does_not_fit)
{
    static fx_picks p;
    const float z[3] = {1, 2, 3}, probs[2] = {.5f, .5f};
    fx_round *r = fx_round_of(1, 2, probs, 3, z);
    fx_try(r, &alfa_mix_impl, &plain, 1, 1, &p);
    cr_assert_eq(p.status, DAL_E_IO);
    fx_round_free(r);
}

Test(alfa_mix, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const float z[4] = {1, 2, NAN, 1};
    fx_round *r = example(2, z);
    fx_try(r, &alfa_mix_impl, &plain, 1, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 20"), "%s", p.err.text);
    fx_round_free(r);
}

Test(alfa_mix, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&alfa_mix_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&alfa_mix_impl, &learned, &fx_shapes[0], 5);
}
