/* Pushing samples over the border. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/adversarial.c"

static const bim_options bim = {0.05, 100};
static const deepfool_options deepfool = {0.02, 50, 10};

/* A linear classifier of three classes; samples by features. */
static fx_round *linear(int64_t n, const float *x)
{
    static const float w[] = {1, 0, 0, 1, -1, -1}, b[] = {0, 0, .5f};
    fx_round *r = fx_round_of(n, 3, NULL, 2, x);
    r->weights = malloc(sizeof w);
    r->bias = malloc(sizeof b);
    memcpy(r->weights, w, sizeof w);
    memcpy(r->bias, b, sizeof b);
    fx_round_model(r, 0);
    return r;
}

Test(adv_bim, takes_eleven_steps_in_the_worked_example)
{
    static fx_picks p;
    const float x[] = {2, 1};
    fx_round *r = linear(1, x);
    fx_select(r, &bim_impl, &bim, 1, 1, &p);
    cr_assert_float_eq(p.scores[0], .605, 1e-6);
    fx_round_free(r);
}

Test(adv_deepfool, finds_the_nearest_border_in_the_worked_example)
{
    static fx_picks p;
    const float x[] = {2, 1, 4, 2.5f, 2, 1};
    const deepfool_options exact = {0, 50, 10};
    fx_round *r = linear(3, x);
    fx_select(r, &deepfool_impl, &exact, 3, 1, &p);
    cr_assert(p.rows[0] == 0 && p.rows[1] == 2 && p.rows[2] == 1, "ties go to the lower row");
    cr_assert_float_eq(p.scores[0], .5, 2e-4);
    cr_assert_float_eq(p.scores[2], 1.5 * 1.5 / 2, 3e-4);
    fx_round_free(r);
}

Test(adv_deepfool, of_a_linear_model_is_the_margin_over_the_norm_of_the_weights)
{
    static fx_picks p;
    const fx_spec spec = {21, 200, 10, 0, 5, 8, 0, FX_LOGITS | FX_MODEL};
    const deepfool_options exact = {0, 50, 10};
    fx_round *r = fx_round_random(&spec);
    fx_select(r, &deepfool_impl, &exact, 200, 1, &p);
    for (int64_t i = 0; i < p.n; i++) {
        const float *z = r->set[0].outputs + p.rows[i] * 5;
        double nearest = INFINITY;
        int y = 0;
        for (int k = 1; k < 5; k++)
            y = z[k] > z[y] ? k : y;
        for (int k = 0; k < 5; k++) {
            double norm = 0;
            for (int v = 0; v < 8; v++)
                norm += pow((double)r->weights[k * 8 + v] - (double)r->weights[y * 8 + v], 2);
            if (k != y)
                nearest = fmin(nearest, pow((double)z[y] - (double)z[k] + 1e-4, 2) / norm);
        }
        cr_assert_float_eq(p.scores[i], nearest, 1e-4 * nearest + 1e-8);
    }
    fx_round_free(r);
}

/* What does not flip comes last, by entropy. */
Test(adversarial, samples_that_do_not_flip_come_last_the_most_uncertain_first)
{
    static fx_picks p;
    const float x[] = {50, 1, 40, 1, 1.2f, 1, 45, 1};
    const bim_options short_way = {0.05, 5};
    fx_round *r = linear(4, x);
    fx_select(r, &bim_impl, &short_way, 4, 1, &p);
    const int64_t want[] = {2, 1, 3, 0};
    cr_assert_arr_eq(p.rows, want, sizeof want);
    cr_assert(isfinite(p.scores[0]) && isinf(p.scores[1]));
    fx_select(r, &bim_impl, &short_way, 2, 1, &p);
    cr_assert(p.n == 2 && p.rows[1] == 1);
    fx_round_free(r);
}

Test(adversarial, moves_where_the_model_is_certain)
{
    static fx_picks p;
    const float x[] = {400, 1}; /* p = 1 to the last bit */
    const bim_options far = {10, 100};
    const deepfool_options exact = {0, 50, 10};
    fx_round *r = linear(1, x);
    fx_select(r, &bim_impl, &far, 1, 1, &p);
    cr_assert_float_eq(p.scores[0], 2 * 200. * 200., 1);
    fx_select(r, &deepfool_impl, &exact, 1, 1, &p);
    cr_assert_float_eq(p.scores[0], 399. * 399. / 2, 1);
    fx_round_free(r);
}

Test(adversarial, says_what_is_missing)
{
    static fx_picks p;
    const float x[] = {2, 1};
    fx_round *r = fx_round_of(1, 3, NULL, 2, x);
    fx_try(r, &bim_impl, &bim, 1, 1, &p);
    cr_assert_eq(p.status, DAL_E_UNSUPPORTED);
    cr_assert_str_eq(p.err.text, "there is no live model here, only its matrices");
    fx_round_free(r);
    const float bad[] = {2, 1, 1, NAN};
    r = linear(2, bad);
    fx_try(r, &deepfool_impl, &deepfool, 1, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.text, "the outputs of sample 20 are not numbers");
    fx_round_free(r);
}

/* ---- a model that gives probabilities: the same one behind a softmax ---- */

static const dal_model_input_gradient *logits_of(void *self)
{
    return fx_model_impl.get_extension(self, DAL_CAP_INPUT_GRADIENT);
}

static int64_t probs_width(void *self)
{
    return logits_of(self)->width(self);
}

static dal_status probs_embed(void *self, const dal_batch *x, float *out, dal_error *err)
{
    return logits_of(self)->embed(self, x, out, err);
}

static dal_status probs_forward(void *self, const float *x, int64_t n, float *out, dal_error *err)
{
    const dal_status st = logits_of(self)->forward(self, x, n, out, err);
    dal_softmax(out, n, 3, 3);
    return st;
}

/* dz_k = p_k (g_k - sum_c p_c g_c) */
static dal_status probs_gradient(void *self, const float *x, int64_t n, const float *g, float *out, dal_error *err)
{
    float *p = malloc((size_t)(3 * n) * sizeof *p);
    probs_forward(self, x, n, p, err);
    for (int64_t i = 0; i < n; i++) {
        const float mean = p[3 * i] * g[3 * i] + p[3 * i + 1] * g[3 * i + 1] + p[3 * i + 2] * g[3 * i + 2];
        for (int k = 0; k < 3; k++)
            p[3 * i + k] *= g[3 * i + k] - mean;
    }
    const dal_status st = logits_of(self)->gradient(self, x, n, p, out, err);
    free(p);
    return st;
}

static const void *probs_extension(void *self, const char *id)
{
    static const dal_model_input_gradient t = {.struct_size = sizeof t, .width = probs_width, .embed = probs_embed,
                                               .forward = probs_forward, .gradient = probs_gradient};
    (void)self;
    return strcmp(id, DAL_CAP_INPUT_GRADIENT) == 0 ? &t : NULL;
}

Test(adversarial, pushes_probabilities_as_far_as_logits)
{
    static fx_picks a, b;
    const fx_spec spec = {1, 40, 10, 0, 3, 5, 0, FX_LOGITS | FX_CURVED};
    fx_round *r = fx_round_random(&spec);
    dal_model_impl probs_impl = fx_model_impl;
    probs_impl.output = DAL_PROBS;
    probs_impl.get_extension = probs_extension;
    for (int is_bim = 0; is_bim < 2; is_bim++) {
        const dal_strategy_impl *impl = is_bim ? &bim_impl : &deepfool_impl;
        const void *opt = is_bim ? (const void *)&bim : &deepfool;
        r->model.impl = &fx_model_impl;
        fx_select(r, impl, opt, 40, 1, &a);
        r->model.impl = &probs_impl;
        fx_select(r, impl, opt, 40, 1, &b);
        for (int i = 0; i < 40; i++) {
            cr_assert_eq(a.rows[i], b.rows[i], "pick %d", i);
            if (isfinite(a.scores[i]))
                cr_assert_float_eq(a.scores[i], b.scores[i], 1e-3 * a.scores[i] + 1e-6);
        }
    }
    fx_round_free(r);
}

/* ---- slow and obvious: one sample after the other ---- */

typedef struct measured {
    double distance, entropy;
} measured;

static int top(const float *z, int64_t c)
{
    int best = 0;
    for (int k = 1; k < c; k++)
        best = z[k] > z[best] ? k : best;
    return best;
}

static double squares(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t v = 0; v < n; v++)
        sum += (double)x[v] * (double)x[v];
    return sum;
}

static double entropy_of(const float *z, int64_t c)
{
    double sum = 0, h = 0;
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)z[k] - (double)z[top(z, c)]);
    for (int64_t k = 0; k < c; k++) {
        const double p = exp((double)z[k] - (double)z[top(z, c)]) / sum;
        h -= p > 0 ? p * log(p) : 0;
    }
    return h;
}

/* eta of one step of the plain cross-entropy's sign. */
static void slow_bim(const fx_round *r, const float *z, int y, const float *at, double *eta)
{
    const dal_model_input_gradient *t = r->model.impl->get_extension(r->model.self, DAL_CAP_INPUT_GRADIENT);
    float pull[64], g[64];
    double sum = 0;
    for (int k = 0; k < r->c; k++)
        sum += exp((double)z[k] - (double)z[y]);
    for (int k = 0; k < r->c; k++)
        pull[k] = (float)(exp((double)z[k] - (double)z[y]) / sum - (k == y));
    t->gradient(r->model.self, at, 1, pull, g, NULL);
    for (int64_t v = 0; v < r->d; v++)
        eta[v] += bim.epsilon * ((g[v] > 0) - (g[v] < 0));
}

static void slow_deepfool(const fx_round *r, const float *first, const float *z, int y, const float *at,
                          double *eta)
{
    const dal_model_input_gradient *t = r->model.impl->get_extension(r->model.self, DAL_CAP_INPUT_GRADIENT);
    float pull[64], g[64], best[64];
    double nearest = INFINITY, scale = 0;
    for (int k = 0; k < r->c; k++) {
        int larger = 0;
        for (int m = 0; m < r->c; m++)
            larger += first[m] > first[k];
        if (k == y || larger >= deepfool.classes)
            continue;
        memset(pull, 0, sizeof pull);
        pull[k] = 1;
        pull[y] = -1;
        t->gradient(r->model.self, at, 1, pull, g, NULL);
        const double f = fabs((double)z[k] - (double)z[y]), norm = squares(g, r->d);
        if (f / sqrt(norm) < nearest) {
            nearest = f / sqrt(norm);
            scale = (f + 1e-4) / norm;
            memcpy(best, g, sizeof best);
        }
    }
    for (int64_t v = 0; scale > 0 && v < r->d; v++)
        eta[v] += scale * (double)best[v];
}

static measured push(const fx_round *r, int64_t row, int is_bim)
{
    const dal_model_input_gradient *t = r->model.impl->get_extension(r->model.self, DAL_CAP_INPUT_GRADIENT);
    const float *x = r->set[DAL_ROWS_CANDIDATES].features + row * r->d;
    const double unit = is_bim ? 1 : 1 + deepfool.overshoot;
    double eta[64] = {0};
    float at[64], z[64], first[64];
    t->forward(r->model.self, x, 1, first, NULL);
    memcpy(z, first, sizeof z);
    memcpy(at, x, (size_t)r->d * sizeof *at);
    const int y = top(first, r->c);
    measured m = {INFINITY, entropy_of(first, r->c)};
    for (int64_t s = 0; s < (is_bim ? bim.max_steps : deepfool.max_steps); s++) {
        if (is_bim)
            slow_bim(r, z, y, at, eta);
        else
            slow_deepfool(r, first, z, y, at, eta);
        for (int64_t v = 0; v < r->d; v++)
            at[v] = (float)((double)x[v] + unit * eta[v]);
        t->forward(r->model.self, at, 1, z, NULL);
        if (top(z, r->c) != y) {
            m.distance = 0;
            for (int64_t v = 0; v < r->d; v++)
                m.distance += unit * unit * eta[v] * eta[v];
            break;
        }
    }
    return m;
}

/* Equal numbers of steps are equal: compare in units of what a step adds. */
static int before(const measured *a, const measured *b, int is_bim)
{
    const double e2 = bim.epsilon * bim.epsilon;
    const double x = is_bim && isfinite(a->distance) ? round(a->distance / e2) : a->distance;
    const double y = is_bim && isfinite(b->distance) ? round(b->distance / e2) : b->distance;
    return isinf(x) && isinf(y) ? a->entropy > b->entropy : x < y;
}

static int64_t slow(const fx_round *r, int is_bim, int64_t b, int64_t *rows)
{
    const int64_t n = r->set[DAL_ROWS_CANDIDATES].n;
    measured *m = malloc((size_t)n * sizeof *m);
    char *taken = calloc((size_t)n, 1);
    b = b < n ? b : n;
    for (int64_t i = 0; i < n; i++)
        m[i] = push(r, i, is_bim);
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!taken[i] && (best < 0 || before(&m[i], &m[best], is_bim)))
                best = i;
        taken[best] = 1;
        rows[k] = best;
    }
    free(m);
    free(taken);
    return b;
}

static int64_t bim_twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    (void)host, (void)opt;
    return slow(r, 1, b, rows);
}

static int64_t deepfool_twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    (void)host, (void)opt;
    return slow(r, 0, b, rows);
}

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, FX_LOGITS | FX_MODEL},
    {2, 300, 5, 0, 10, 16, 0, FX_LOGITS | FX_CURVED},
    {3, 77, 0, 0, 2, 3, 0, FX_LOGITS | FX_MODEL},
    {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES | FX_CURVED},
    {5, 50, 9, 0, 5, 6, 0, FX_ZERO_ROWS | FX_MODEL},
    {8, 40, 8, 0, 30, 12, 0, FX_LOGITS | FX_CURVED}, /* more classes than it looks at */
    {9, 3, 2, 0, 2, 2, 0, FX_MODEL},
    {10, 1, 1, 0, 3, 4, 0, FX_CURVED},
};
static const int64_t n_shapes = sizeof shapes / sizeof *shapes;

Test(adv_bim, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&bim_impl, &bim, bim_twin, shapes, n_shapes, 0);
}

Test(adv_deepfool, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&deepfool_impl, &deepfool, deepfool_twin, shapes, n_shapes, 0);
}

Test(adv_deepfool, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&deepfool_impl, &deepfool, &shapes[1], 40);
}

Test(adversarial, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&bim_impl, &bim, &shapes[0], 5);
    fx_survives_no_memory(&deepfool_impl, &deepfool, &shapes[0], 5);
}
