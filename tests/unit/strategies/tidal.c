/* A head that learns what a model says of a sample while it is trained on it. */
#include "tests/unit/strategies/trained_along.h"

#include "plugins/strategies/tidal.c"

static const options plain = {ENTROPY, 1, 1, 8, .01, 0}, kept = {ENTROPY, 1, 1, 8, .01, 1},
                     heavy = {ENTROPY, 2.5, .5, 4, .01, 0}, by_margin = {1, 1, 1, 8, .01, 0};

static loss_head *head_of(void *self)
{
    return &((tidal *)self)->head;
}

Test(tidal, scores_are_those_of_the_worked_example)
{
    static const double q[3][3] = {{.5, .3, .2}, {.4, .35, .25}, {.8, .1, .1}};
    static const double entropies[] = {1.029653, 1.080528, .639032}, margins[] = {-.2, .05, -.7};
    static const int64_t y[] = {0, 1, 0};
    for (int i = 0; i < 3; i++) {
        float z[3];
        double p[3];
        for (int k = 0; k < 3; k++)
            z[k] = (float)(5 + log(q[i][k])); /* whatever is added */
        const double h = entropy_of(z, 3, p), m = minus_aum(z, 3, y[i], p);
        cr_assert_float_eq(h, entropies[i], 2e-6);
        cr_assert_float_eq(m, margins[i], 2e-6);
    }
    double p[2];
    const double sure = entropy_of((const float[]){200, -200}, 2, p), flat = entropy_of((const float[]){9, 9}, 2, p);
    cr_assert(sure >= 0 && sure < 1e-30);
    cr_assert_float_eq(flat, log(2), 1e-12);
}

Test(tidal, divergence_is_that_of_its_definition)
{
    static const float q[] = {.5f, .5f, 0}, z[] = {0, 0, 0};
    double p[3];
    float d[3] = {0};
    const double kl = divergence(q, z, 3, 2, p, d);
    cr_assert_float_eq(kl, log(1.5), 1e-7);
    cr_assert_float_eq(d[0], 2 * (1. / 3 - .5), 1e-6);
    cr_assert_float_eq(d[2], 2. / 3, 1e-6);
}

/* ---- what the model has said ---------------------------------------------------------------------------- */

Test(tidal, means_are_over_all_a_sample_was_said_to_be)
{
    enum { N = 12, C = 3, E = 5 };
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(10, N, C, 5);
    ta_run t = ta_open(r, &impl, &plain, 1);
    tidal *self = t.self;
    const dal_companion *c = impl.companion(self);
    for (int fit = 0; fit < 2; fit++) { /* the second must know nothing of the first */
        double want[N][C] = {{0}};
        cr_assert_eq(ta_begin(r, c, E, &err), DAL_OK);
        for (int e = 0; e < E; e++)
            for (int64_t first = 0; first < N; first += 4) {
                ta_batch b;
                ta_batch_init(&b, r, DAL_ROWS_LABELLED, e % 2 ? N - 4 - first : first, 4); /* in another order */
                for (int i = 0; i < 4; i++) {
                    double p[C];
                    const int64_t row = b.b.ids[i] - r->set[DAL_ROWS_LABELLED].ids[0];
                    for (int k = 0; k < C; k++)
                        b.logits[i * C + k] += (float)(.3 * e * k + fit);
                    softmax(b.logits + i * C, C, p);
                    for (int k = 0; k < C; k++)
                        want[row][k] += p[k] / E;
                }
                cr_assert_eq(c->step(c->self, e, first / 4, &b.b, NULL, &err), DAL_OK, "%s", err.text);
                ta_batch_free(&b);
            }
        for (int64_t i = 0; i < N; i++) {
            const int64_t row = row_of(&self->d, r->set[DAL_ROWS_LABELLED].ids[i]);
            for (int k = 0; k < C; k++)
                cr_assert_float_eq(self->d.mean[row * C + k], want[i][k], 1e-6);
        }
        cr_assert_eq(self->d.n, N);
    }
    ta_close(&t);
    fx_round_free(r);
}

Test(tidal, keeps_any_ids_apart_and_no_more_than_were_told)
{
    enum { MOST = 3000 };
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dynamics d = {0};
    char *seen = calloc(MOST, 1);
    cr_assert_eq(dynamics_init(&d, host, MOST, 2, NULL), DAL_OK);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < MOST; i++) {
            const int64_t row = row_of(&d, i * i * 4096 + i % 7);
            cr_assert(row >= 0 && row < MOST && seen[row] == pass, "sample %lld", (long long)i);
            seen[row]++;
        }
    cr_assert_eq(row_of(&d, 3), -1);
    cr_assert_eq(row_of(&d, 0), 0);
    dynamics_free(&d, host);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    free(seen);
}

Test(tidal, tells_of_a_model_that_trains_on_others)
{
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(20, 12, 3, 5);
    ta_run t = ta_open(r, &impl, &plain, 1);
    const dal_companion *c = impl.companion(t.self);
    cr_assert_eq(ta_fit(r, c, 2, 6, &err), DAL_OK);
    ta_batch b;
    ta_batch_init(&b, r, DAL_ROWS_CANDIDATES, 0, 4);
    fx_expect(&err, c->step(c->self, 2, 0, &b.b, NULL, &err), DAL_E_CONTRACT, "", "more samples than the 12");
    ta_batch_free(&b);
    ta_close(&t);
    fx_round_free(r);
}

/* ---- gradients ------------------------------------------------------------------------------------------ */

typedef struct seen_once {
    const float *logits;
    int64_t c;
    double weight;
} seen_once;

/* In the first step q is what the model says now. */
static double slow_divergence(void *ctx, const double *y, int64_t n)
{
    const seen_once *s = ctx;
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        double q_sum = 0, p_sum = 0;
        for (int64_t k = 0; k < s->c; k++) {
            q_sum += exp((double)s->logits[i * s->c + k]);
            p_sum += exp(y[i * s->c + k]);
        }
        for (int64_t k = 0; k < s->c; k++) {
            const double q = exp((double)s->logits[i * s->c + k]) / q_sum;
            total += q * (log(q) - (y[i * s->c + k] - log(p_sum)));
        }
    }
    return s->weight * total / (double)n;
}

static void gradients(const options *opt, int64_t n)
{
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(10, 12, 3, 5);
    ta_run t = ta_open(r, &impl, opt, 1);
    ta_batch b;
    ta_batch_init(&b, r, DAL_ROWS_LABELLED, 0, n);
    seen_once s = {b.logits, r->c, opt->weight};
    cr_assert_eq(ta_begin(r, impl.companion(t.self), 10, &err), DAL_OK, "%s", err.text);
    ta_gradients_agree(&t, head_of(t.self), &b, slow_divergence, &s);
    ta_batch_free(&b);
    ta_close(&t);
    fx_round_free(r);
}

Test(tidal, gradients_are_those_of_finite_differences)
{
    gradients(&plain, 12);
    gradients(&heavy, 12);
    gradients(&plain, 1);
}

Test(tidal, detaches_where_it_says)
{
    ta_detaches(&impl, &plain, head_of, 4, 4);
    ta_detaches(&impl, &heavy, head_of, 6, 3);
}

/* ---- picks ---------------------------------------------------------------------------------------------- */

static double slow_score(const options *opt, const double *z, int64_t c, int64_t y)
{
    double sum = 0, h = 0, other = 0;
    for (int64_t k = 0; k < c; k++)
        sum += exp(z[k]);
    for (int64_t k = 0; k < c; k++) {
        h -= exp(z[k]) / sum * log(exp(z[k]) / sum);
        other = k == y ? other : fmax(other, exp(z[k]) / sum);
    }
    return opt->measure == ENTROPY ? h : other - exp(z[y]) / sum;
}

static void picks_agree(const options *opt, int64_t c)
{
    static fx_picks p;
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(700, 50, c, 7);
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    char *taken = calloc((size_t)pool->n, 1);
    ta_run t = ta_open(r, &impl, opt, 2);
    cr_assert_eq(ta_fit(r, impl.companion(t.self), 6, 16, &err), DAL_OK, "%s", err.text);
    ta_pick(&t, 60, &p);
    double *z = ta_twin_of_candidates(r, head_of(t.self)), *want = malloc((size_t)pool->n * sizeof *want);
    for (int64_t i = 0; i < pool->n; i++)
        want[i] = slow_score(opt, z + i * c, c, largest(pool->outputs + i * c, c));
    for (int64_t i = 0; i < p.n; i++) {
        cr_assert_float_eq(p.scores[i], want[p.rows[i]], 1e-5);
        cr_assert(i == 0 || p.scores[i] <= p.scores[i - 1]);
        taken[p.rows[i]] = 1;
    }
    for (int64_t i = 0; i < pool->n; i++)
        cr_assert(taken[i] || want[i] <= p.scores[p.n - 1] + 1e-5);
    free(z);
    free(want);
    free(taken);
    ta_close(&t);
    fx_round_free(r);
}

Test(tidal, picks_what_its_slow_twin_scores_highest)
{
    for (int64_t c = 2; c < 6; c++) { /* models of even c take one call at a time */
        picks_agree(&plain, c);
        picks_agree(&by_margin, c);
    }
}

Test(tidal, picks_the_same_with_one_and_two_threads)
{
    static fx_picks one, two;
    fx_round *r = ta_round(900, 50, 3, 7);
    ta_trained_picks(r, &impl, &by_margin, 1, 200, &one);
    ta_trained_picks(r, &impl, &by_margin, 2, 200, &two);
    ta_same_picks(&one, &two, "with 2 threads");
    fx_round_free(r);
}

/* What the model says follows from the inputs, and the head comes to say so of samples it has never seen. */
Test(tidal, learns_what_the_model_says)
{
    const options opt = {ENTROPY, 1, 1, 32, .01, 0};
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(200, 400, 3, 4);
    ta_run t = ta_open(r, &impl, &opt, 1);
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    double before = 0, after = 0;
    for (int trained = 0; trained < 2; trained++) {
        cr_assert_eq(ta_fit(r, impl.companion(t.self), trained ? 60 : 0, 32, &err), DAL_OK, "%s", err.text);
        double *z = ta_twin_of_candidates(r, head_of(t.self)), p[3], sum = 0;
        for (int64_t i = 0; i < 200; i++) {
            float said[3], q[3], d[3] = {0};
            for (int k = 0; k < 3; k++) {
                said[k] = (float)z[i * 3 + k];
                q[k] = pool->outputs[i * 3 + k];
            }
            dal_softmax(q, 1, 3, 3);
            sum += divergence(q, said, 3, 1, p, d) / 200;
        }
        *(trained ? &after : &before) = sum;
        free(z);
    }
    cr_assert_lt(after, .2 * before, "%g, untrained %g", after, before);
    ta_close(&t);
    fx_round_free(r);
}

/* ---- state ---------------------------------------------------------------------------------------------- */

Test(tidal, state_comes_back)
{
    ta_state_comes_back(&impl, &plain);
}

Test(tidal, refuses_models_it_has_not_learned_from)
{
    ta_refuses_other_models(&impl, &plain);
}

Test(tidal, goes_on_with_its_head_when_told)
{
    ta_goes_on(&impl, &plain, &kept, head_of);
}

Test(tidal, survives_when_there_is_no_memory)
{
    ta_survives_no_memory(&impl, &by_margin);
}
