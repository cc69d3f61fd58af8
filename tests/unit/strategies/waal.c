/* A critic trained along with a model, and what it makes of candidates. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/critic.c"
#include "plugins/strategies/waal.c"

/* ---- the worked example ---- */

Test(waal, scores_the_worked_example)
{
    static const float p[4][3] = {{.7f, .2f, .1f}, {.34f, .33f, .33f}, {.5f, .48f, .02f}, {.9f, .05f, .05f}};
    static const double want[] = {3.550277, 2.599658, 4.689662, 5.167370}, g[] = {.2, .5, .4, .9},
                        total[] = {1.550277, -2.400342, .689662, -3.832630};
    for (int i = 0; i < 4; i++) {
        float z[3];
        for (int k = 0; k < 3; k++)
            z[k] = logf(p[i][k]) + 50;
        cr_assert_float_eq(certainty(p[i], 3, DAL_PROBS), want[i], 1e-6);
        cr_assert_float_eq(certainty(z, 3, DAL_LOGITS), want[i], 2e-5);
        cr_assert_float_eq(certainty(p[i], 3, DAL_PROBS) - 10 * g[i], total[i], 1e-6);
    }
}

Test(waal, takes_no_logarithm_below_1e_12)
{
    static const float sure[] = {1, 0}, logits[] = {900, 0}, none[] = {1, NAN}, lost[] = {NAN, 1};
    const double least = 12 * log(10);
    cr_assert_float_eq(certainty(sure, 2, DAL_PROBS), least, 1e-9);
    cr_assert_float_eq(certainty(logits, 2, DAL_LOGITS), least, 1e-9);
    cr_assert(isnan(certainty(none, 2, DAL_PROBS)) && isnan(certainty(none, 2, DAL_LOGITS)));
    cr_assert(isnan(certainty(lost, 2, DAL_PROBS)) && isnan(certainty(lost, 2, DAL_LOGITS)));
}

/* ---- the critic ---- */

#define D 5
#define H 7
#define N_U 6
#define N_L 4

static void fill(float *x, int64_t n, uint64_t seed, double shift)
{
    dal_rng r = dal_rng_from_key(seed);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(shift + dal_rng_normal(&r));
}

/* g of x [d] by weights in double, and its gradient where that is wanted: unit by unit, no matrix products. */
static double slow_value(const critic *c, const double *w, const double *x, double *gradient)
{
    double a[64], b[64], g = 0;
    for (int64_t i = 0; i < c->h; i++) {
        a[i] = w[c->b1 + i];
        for (int64_t j = 0; j < c->d; j++)
            a[i] += w[c->w1 + i * c->d + j] * x[j];
    }
    for (int64_t k = 0; k < c->h; k++) {
        b[k] = w[c->b2 + k];
        for (int64_t i = 0; i < c->h; i++)
            b[k] += w[c->w2 + k * c->h + i] * fmax(a[i], 0);
        g += w[c->w3 + k] * fmax(b[k], 0);
    }
    for (int64_t j = 0; gradient && j < c->d; j++) {
        gradient[j] = 0;
        for (int64_t k = 0; k < c->h; k++)
            for (int64_t i = 0; i < c->h; i++)
                gradient[j] += b[k] > 0 && a[i] > 0
                    ? w[c->w3 + k] * w[c->w2 + k * c->h + i] * w[c->w1 + i * c->d + j] : 0;
    }
    return g;
}

/* What a critic descends, on the rows that critic_look has laid out: n_u, n_l and max(n_u, n_l). */
static double slow_loss(const critic *c, const double *w, const critic_batch *b)
{
    const int64_t n_u = b->n_unlabelled, n_l = b->n_labelled, n = n_u + n_l + (n_u > n_l ? n_u : n_l);
    double loss = 0, x[64], gradient[64];
    for (int64_t i = 0; i < n; i++) {
        double square = 0;
        for (int64_t j = 0; j < c->d; j++)
            x[j] = c->x[i * c->d + j];
        const double g = slow_value(c, w, x, gradient);
        for (int64_t j = 0; j < c->d; j++)
            square += gradient[j] * gradient[j];
        loss += i < n_u ? -g / (double)n_u : i < n_u + n_l ? b->gamma * g / (double)n_l : 0;
        loss += b->eta / (double)n * (sqrt(square) - 1) * (sqrt(square) - 1);
    }
    return loss;
}

static double *in_double(const critic *c)
{
    double *w = malloc((size_t)c->info.n_weights * sizeof *w);
    for (int64_t i = 0; i < c->info.n_weights; i++)
        w[i] = c->weights[i];
    return w;
}

/* A critic of weights large enough for gradients round 1, and a batch. */
static critic *example(const dal_host *host, int64_t n_l, critic_batch *b)
{
    static float u[N_U * D], l[64 * D];
    critic *c;
    const dal_rng stream = dal_rng_from_key(3);
    cr_assert_eq(critic_new(host, D, H, &c, NULL), DAL_OK);
    critic_draw(c, &stream);
    for (int64_t i = 0; i < c->info.n_weights; i++)
        c->weights[i] *= 2;
    fill(u, N_U * D, 1, 0.3);
    fill(l, n_l * D, 2, -0.2);
    *b = (critic_batch){u, l, N_U, n_l, 0.7, 10};
    return c;
}

Test(waal, gradient_of_the_critic_is_that_of_finite_differences)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_rng stream = dal_rng_from_key(9);
    for (int64_t n_l = N_L; n_l <= 9; n_l += 5) { /* fewer labelled rows than others, and more */
        for (int part = 0; part < 3; part++) {    /* both terms; the means alone; the penalty alone, nearly */
            critic_batch b;
            double loss, most = 0;
            critic *c = example(dal_runtime_host(rt, "test"), n_l, &b);
            b.eta = part == 1 ? 0 : part == 2 ? 1e4 : 10;
            cr_assert_eq(critic_look(c, &b, &stream, &loss, NULL), DAL_OK);
            double *w = in_double(c);
            cr_assert_float_eq(loss, slow_loss(c, w, &b), 1e-4 * fabs(loss));
            for (int64_t i = 0; i < c->info.n_weights; i++)
                most = fmax(most, fabs((double)c->gradient[i]));
            for (int64_t i = 0; i < c->info.n_weights; i++) {
                const double kept = w[i];
                w[i] = kept + 1e-7;
                const double above = slow_loss(c, w, &b);
                w[i] = kept - 1e-7;
                const double slope = (above - slow_loss(c, w, &b)) / 2e-7;
                w[i] = kept;
                cr_assert_float_eq(c->gradient[i], slope, 1e-4 * most, "part %d, weight %d: %g, by differences %g",
                                   part, (int)i, c->gradient[i], slope);
            }
            cr_assert_gt(most, 0.1);
            free(w);
            critic_free(c);
        }
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(waal, slope_of_the_critic_is_that_of_its_values)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_rng stream = dal_rng_from_key(9);
    critic_batch b;
    double loss, value[N_U], x[D], gradient[D];
    critic *c = example(dal_runtime_host(rt, "test"), N_L, &b);
    cr_assert_eq(critic_look(c, &b, &stream, &loss, NULL), DAL_OK);
    cr_assert_eq(critic_ready(c, NULL), DAL_OK);
    cr_assert_eq(critic_values(c, b.unlabelled, D, N_U, value, NULL), DAL_OK);
    double *w = in_double(c);
    for (int i = 0; i < N_U; i++) {
        for (int j = 0; j < D; j++)
            x[j] = b.unlabelled[i * D + j];
        cr_assert_float_eq(value[i], slow_value(c, w, x, gradient), 1e-5);
        cr_assert_float_eq(value[i], c->value[i], 1e-5);
        for (int j = 0; j < D; j++)
            cr_assert_float_eq(c->v0[i * D + j], gradient[j], 1e-5);
    }
    /* points between lie on their lines */
    for (int64_t i = 0; i < N_U; i++) {
        const float *u = b.unlabelled + i * D, *l = b.labelled + i % N_L * D, *m = c->x + (N_U + N_L + i) * D;
        const float share = (m[0] - u[0]) / (l[0] - u[0]);
        cr_assert(share >= 0 && share <= 1);
        for (int j = 1; j < D; j++)
            cr_assert_float_eq(m[j], u[j] + share * (l[j] - u[j]), 1e-4);
    }
    free(w);
    critic_free(c);
    dal_runtime_free(rt);
}

/* Two clouds a distance of 2 apart. Of a slope s, 2 s - 10 (s - 1)^2 is largest where s = 1.1: close to 1, where
 * a penalty of the other sign would drive it from 1 without end. */
Test(waal, critic_learns_the_distance_of_two_clouds)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    const dal_rng stream = host->rng(host, "critic", 0);
    float u[64 * 2], l[64 * 2];
    double loss, norm = 0, apart = 0;
    critic *c;
    cr_assert_eq(critic_new(host, 2, 32, &c, NULL), DAL_OK);
    critic_draw(c, &stream);
    for (int k = 0; k < 600; k++) {
        const dal_rng draw = dal_rng_at(&stream, (uint64_t)k);
        fill(u, 128, (uint64_t)k + 1000, 0);
        fill(l, 128, (uint64_t)k + 5000, 0);
        for (int i = 0; i < 64; i++)
            u[2 * i] += 2;
        const critic_batch b = {u, l, 64, 64, 1, 10};
        cr_assert_eq(critic_look(c, &b, &draw, &loss, NULL), DAL_OK);
        cr_assert_eq(critic_move(c, 5e-3, NULL), DAL_OK);
    }
    for (int i = 0; i < 192; i++)
        norm += c->norm[i] / 192;
    for (int i = 0; i < 64; i++)
        apart += (c->value[i] - c->value[64 + i]) / 64;
    cr_assert_float_eq(norm, 1.1, 0.05, "the mean slope is %g", norm);
    cr_assert_float_eq(apart, 2.2, 0.4, "the mean values are %g apart", apart);
    critic_free(c);
    dal_runtime_free(rt);
}

/* ---- the companion ---- */

static const options usual = {.alpha = 0.1, .gamma = 0, .eta = 10, .weight = 10, .critic_rate = 1e-2, .critic_steps = 2,
                              .hidden = 24};
/* The strategy whose create trains along with a model of the round under test. */
static fx_round *round_now;

static void half_of(const fx_rows *rows, int64_t d, dal_companion_batch *b)
{
    *b = (dal_companion_batch){.struct_size = sizeof *b, .n = rows->n, .ids = rows->ids, .features = rows->features,
                               .d_features = calloc((size_t)(rows->n * d), sizeof(float))};
}

static dal_status train_along(void *self, const fx_round *r, int steps, dal_error *err)
{
    const dal_companion *along = waal_impl.companion(self);
    const fx_rows *l = &r->set[DAL_ROWS_LABELLED], *u = &r->set[DAL_ROWS_CANDIDATES];
    const dal_companion_setup setup = {.struct_size = sizeof setup, .round = r->round, .n_train = l->n, .epochs = steps,
                                       .c = r->c, .d = r->d, .n_unlabelled = u->n};
    dal_companion_batch labelled, unlabelled;
    half_of(l, r->d, &labelled);
    half_of(u, r->d, &unlabelled);
    dal_status st = along->begin(along->self, &setup, err);
    for (int k = 0; st == DAL_OK && k < steps; k++)
        st = along->step(along->self, k, 0, &labelled, &unlabelled, err);
    free(labelled.d_features);
    free(unlabelled.d_features);
    return st;
}

static dal_status trained_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    dal_status st = waal_create(host, opt, self, err);
    if (st != DAL_OK)
        return st;
    st = train_along(*self, round_now, 5, err);
    if (st != DAL_OK) {
        waal_destroy(*self);
        *self = NULL;
    }
    return st;
}

static dal_strategy_impl trained(fx_round *r)
{
    dal_strategy_impl impl = waal_impl;
    impl.create = trained_create;
    round_now = r;
    return impl;
}

Test(waal, features_are_pulled_by_the_slope_of_the_critic)
{
    const fx_spec spec = {1, 40, 10, 0, 3, D, 0, 0};
    fx_round *r = fx_round_random(&spec);
    const fx_rows *l = &r->set[DAL_ROWS_LABELLED], *u = &r->set[DAL_ROWS_CANDIDATES];
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_companion_setup setup = {.struct_size = sizeof setup, .n_train = 10, .c = 3, .d = D, .n_unlabelled = 40};
    dal_companion_batch labelled, unlabelled;
    void *self;
    double x[D], gradient[D];
    half_of(l, D, &labelled);
    half_of(u, D, &unlabelled);
    cr_assert_eq(waal_create(dal_runtime_host(rt, "strategy"), &usual, &self, NULL), DAL_OK);
    cr_assert_eq(begin(self, &setup, NULL), DAL_OK);
    const critic *g = ((waal *)self)->g;
    double *w = in_double(g); /* before it moves */
    cr_assert_eq(step(self, 0, 0, &labelled, &unlabelled, NULL), DAL_OK);
    cr_assert_eq(g->steps, 2);
    cr_assert(memcmp(w, g->weights, sizeof *w) != 0);
    for (int i = 0; i < 10 + 40; i++) {
        const fx_rows *rows = i < 10 ? l : u;
        const int k = i < 10 ? i : i - 10;
        const float *d = i < 10 ? labelled.d_features : unlabelled.d_features;
        for (int j = 0; j < D; j++)
            x[j] = rows->features[k * D + j];
        slow_value(g, w, x, gradient);
        for (int j = 0; j < D; j++) /* gamma = 10 / 40 */
            cr_assert_float_eq(d[k * D + j], (i < 10 ? -0.1 * 0.25 / 10 : 0.1 / 40) * gradient[j], 1e-8);
    }
    free(w);
    free(labelled.d_features);
    free(unlabelled.d_features);
    waal_destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(waal, companion_refuses_models_that_show_too_little)
{
    const fx_spec spec = {1, 40, 10, 0, 3, D, 0, 0};
    fx_round *r = fx_round_random(&spec);
    dal_runtime *rt = fx_runtime(1, 1);
    dal_companion_setup setup = {.struct_size = sizeof setup, .n_train = 10, .c = 3, .d = 0, .n_unlabelled = 40};
    dal_companion_batch l, u, blind;
    dal_error err = DAL_ERROR_INIT;
    void *self;
    half_of(&r->set[DAL_ROWS_LABELLED], D, &l);
    half_of(&r->set[DAL_ROWS_CANDIDATES], D, &u);
    blind = u;
    blind.features = NULL;
    waal_create(dal_runtime_host(rt, "strategy"), &usual, &self, NULL);
    fx_expect(&err, waal_prepare(self, NULL, &err), DAL_E_UNSUPPORTED, "", "has learned nothing");
    fx_expect(&err, begin(self, &setup, &err), DAL_E_UNSUPPORTED, "", "the model has none");
    setup.d = D;
    cr_assert_eq(begin(self, &setup, NULL), DAL_OK);
    fx_expect(&err, waal_prepare(self, NULL, &err), DAL_E_UNSUPPORTED, "", "has learned nothing");
    fx_expect(&err, step(self, 0, 0, &l, NULL, &err), DAL_E_UNSUPPORTED, "", "trains on labelled ones alone");
    fx_expect(&err, step(self, 0, 0, &l, &blind, &err), DAL_E_UNSUPPORTED, "", "does not show them");
    setup.struct_size = offsetof(dal_companion_setup, n_unlabelled); /* an older model */
    cr_assert_eq(begin(self, &setup, NULL), DAL_OK);
    fx_expect(&err, step(self, 0, 0, &l, &u, &err), DAL_E_INVALID, "gamma", "does not tell how many");
    setup = (dal_companion_setup){.struct_size = sizeof setup, .n_train = 50, .c = 3, .d = D}; /* an empty pool */
    cr_assert_eq(begin(self, &setup, NULL), DAL_OK);
    cr_assert_eq(step(self, 0, 0, &l, NULL, NULL), DAL_OK);
    for (int64_t i = 0; i < 10 * D; i++)
        cr_assert_eq(l.d_features[i], 0);
    free(l.d_features);
    free(u.d_features);
    waal_destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(waal, critic_goes_on_only_where_it_is_told_to)
{
    const fx_spec spec = {1, 40, 10, 0, 3, D, 0, 0};
    fx_round *r = fx_round_random(&spec);
    options go_on = usual;
    go_on.keep = 1;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "strategy");
    void *anew, *kept_on;
    waal_create(host, &usual, &anew, NULL);
    waal_create(host, &go_on, &kept_on, NULL);
    cr_assert_eq(train_along(anew, r, 3, NULL), DAL_OK);
    cr_assert_eq(train_along(kept_on, r, 3, NULL), DAL_OK);
    const critic *a = ((waal *)anew)->g, *b = ((waal *)kept_on)->g;
    const size_t bytes = (size_t)a->info.n_weights * sizeof *a->weights;
    float *first = malloc(bytes);
    memcpy(first, a->weights, bytes);
    cr_assert(memcmp(first, b->weights, bytes) == 0, "the first fit is the same");
    cr_assert_eq(train_along(anew, r, 3, NULL), DAL_OK);
    cr_assert_eq(train_along(kept_on, r, 0, NULL), DAL_OK);
    cr_assert(memcmp(first, a->weights, bytes) == 0, "the same round again gives the same critic");
    cr_assert(memcmp(first, b->weights, bytes) == 0, "it begins where it was");
    cr_assert_eq(train_along(kept_on, r, 3, NULL), DAL_OK);
    cr_assert(memcmp(first, b->weights, bytes) != 0);
    free(first);
    waal_destroy(anew);
    waal_destroy(kept_on);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(waal, tells_of_a_critic_that_diverges)
{
    const fx_spec spec = {1, 40, 10, 0, 3, D, 0, 0};
    fx_round *r = fx_round_random(&spec);
    r->set[DAL_ROWS_LABELLED].features[3] = INFINITY;
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self;
    waal_create(dal_runtime_host(rt, "strategy"), &usual, &self, NULL);
    fx_expect(&err, train_along(self, r, 2, &err), DAL_E_DIVERGED, "critic_rate", "became no number in epoch");
    waal_destroy(self);
    dal_runtime_free(rt);
    fx_round_free(r);
}

/* ---- picks ---- */

/* The critic is trained as it is; its values and the scores are made slowly. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    const options *o = opt;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const int64_t n = pool->n;
    double *score = malloc((size_t)n * sizeof *score), *p = malloc((size_t)r->c * sizeof *p), x[64];
    void *self;
    cr_assert_eq(trained_create(host, opt, &self, NULL), DAL_OK);
    const critic *g = ((waal *)self)->g;
    double *w = in_double(g);
    for (int64_t i = 0; i < n; i++) {
        double one = 0, two = 0;
        fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
        for (int64_t k = 0; k < r->c; k++) {
            const double l = log(fmax(p[k], 1e-12));
            one -= l;
            two += l * l;
        }
        for (int64_t j = 0; j < r->d; j++)
            x[j] = pool->features[i * r->d + j];
        score[i] = (sqrt(two) + one) / 2 - o->weight * slow_value(g, w, x, NULL);
    }
    b = b < n ? b : n;
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (isfinite(score[i]) && (best < 0 || score[i] < score[best] - 1e-4))
                best = i;
        rows[k] = best;
        score[best] = INFINITY;
    }
    free(w);
    free(score);
    free(p);
    waal_destroy(self);
    return b;
}

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0},
    {2, 70, 90, 0, 10, 16, 0, FX_LOGITS},
    {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES},
    {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, FX_LOGITS},
};

Test(waal, picks_what_its_slow_twin_picks)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        fx_round *r = fx_round_random(&shapes[s]);
        const dal_strategy_impl impl = trained(r);
        fx_twin_agrees(&impl, &usual, twin, &shapes[s], 1, 0);
        fx_round_free(r);
    }
}

/* The same bits at 1 and 2 threads of a critic of several tiles and slices: fx_select compares. */
Test(waal, trains_and_picks_alike_on_any_number_of_threads)
{
    static fx_picks p;
    const fx_spec spec = {12, 530, 133, 0, 7, 33, 0, FX_LOGITS};
    options wide = usual;
    wide.hidden = 150;
    fx_round *r = fx_round_random(&spec);
    const dal_strategy_impl impl = trained(r);
    fx_select(r, &impl, &wide, 100, 1, &p);
    cr_assert_eq(p.n, 100);
    fx_round_free(r);
}

Test(waal, leaves_samples_whose_outputs_are_no_numbers_for_last)
{
    static fx_picks p;
    const fx_spec spec = {1, 40, 10, 0, 3, 5, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    const dal_strategy_impl impl = trained(r);
    fx_select(r, &impl, &usual, 40, 1, &p);
    cr_assert(isfinite(p.scores[0]) && !isfinite(p.scores[39]));
    fx_round_free(r);
}

Test(waal, tells_when_features_are_as_wide_as_no_critic)
{
    static fx_picks p;
    const fx_spec other = {1, 40, 10, 0, 3, 6, 0, 0};
    fx_round *r = fx_round_random(&shapes[0]), *wider = fx_round_random(&other);
    const dal_strategy_impl impl = trained(r);
    fx_try(wider, &impl, &usual, 4, 1, &p);
    fx_expect(&p.err, p.status, DAL_E_INVALID, "", "features are 6 wide, and waal's critic was trained on 5");
    fx_round_free(wider);
    fx_round_free(r);
}

/* ---- state ---- */

typedef struct memory {
    unsigned char data[1 << 16];
    size_t n, at;
} memory;

static dal_status write_memory(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    memory *m = w->impl;
    (void)err;
    cr_assert_leq(m->n + n, sizeof m->data);
    memcpy(m->data + m->n, data, n);
    m->n += n;
    return DAL_OK;
}

static dal_status read_memory(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    memory *m = r->impl;
    (void)err;
    *got = n < m->n - m->at ? n : m->n - m->at;
    memcpy(data, m->data + m->at, *got);
    m->at += *got;
    return DAL_OK;
}

static memory kept;

static dal_status restored_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    const dal_reader in = {.struct_size = sizeof in, .impl = &kept, .read = read_memory};
    dal_status st = waal_create(host, opt, self, err);
    kept.at = 0;
    if (st == DAL_OK)
        st = waal_load(*self, &in, err);
    if (st != DAL_OK && *self) {
        waal_destroy(*self);
        *self = NULL;
    }
    return st;
}

Test(waal, picks_the_same_from_its_saved_critic)
{
    static fx_picks before, after;
    const dal_writer out = {.struct_size = sizeof out, .impl = &kept, .write = write_memory};
    fx_round *r = fx_round_random(&shapes[1]);
    const dal_strategy_impl impl = trained(r);
    dal_strategy_impl restored = waal_impl;
    restored.create = restored_create;
    fx_select(r, &impl, &usual, 30, 1, &before);
    dal_runtime *rt = fx_runtime(1, 1);
    void *self;
    cr_assert_eq(trained_create(dal_runtime_host(rt, "strategy"), &usual, &self, NULL), DAL_OK);
    cr_assert_eq(waal_save(self, &out, NULL), DAL_OK);
    waal_destroy(self);
    fx_select(r, &restored, &usual, 30, 7, &after);
    cr_assert(memcmp(before.ids, after.ids, 30 * sizeof *before.ids) == 0);
    cr_assert(memcmp(before.scores, after.scores, 30 * sizeof *before.scores) == 0);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(waal, distrusts_what_it_loads)
{
    const dal_writer out = {.struct_size = sizeof out, .impl = &kept, .write = write_memory};
    fx_round *r = fx_round_random(&shapes[0]);
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "strategy");
    dal_error err = DAL_ERROR_INIT;
    options narrow = usual;
    void *self;
    waal_create(host, &usual, &self, NULL);
    cr_assert_eq(waal_save(self, &out, NULL), DAL_OK); /* before any fit */
    waal_destroy(self);
    cr_assert_eq(restored_create(host, &usual, &self, NULL), DAL_OK);
    fx_expect(&err, waal_prepare(self, NULL, &err), DAL_E_UNSUPPORTED, "", "has learned nothing");
    kept.n = 0;
    cr_assert_eq(train_along(self, r, 2, NULL), DAL_OK);
    cr_assert_eq(waal_save(self, &out, NULL), DAL_OK);
    waal_destroy(self);
    narrow.hidden = 8;
    fx_expect(&err, restored_create(host, &narrow, &self, &err), DAL_E_FORMAT, "", "no critic of waal with 8 hidden");
    kept.n -= 3;
    fx_expect(&err, restored_create(host, &usual, &self, &err), DAL_E_FORMAT, "", "breaks off");
    kept.n += 3;
    memset(kept.data + kept.n - 4, 0xff, 4);
    fx_expect(&err, restored_create(host, &usual, &self, &err), DAL_E_FORMAT, "", "is no number");
    kept.data[0] ^= 1;
    fx_expect(&err, restored_create(host, &usual, &self, &err), DAL_E_FORMAT, "", "no critic of waal");
    kept.n = 5;
    fx_expect(&err, restored_create(host, &usual, &self, &err), DAL_E_FORMAT, "", "breaks off");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(waal, survives_when_there_is_no_memory)
{
    fx_round *r = fx_round_random(&shapes[0]);
    const dal_strategy_impl impl = trained(r);
    fx_round_survives_no_memory(r, &impl, &usual, 5);
    fx_round_free(r);
}
