/* Committees. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/qbc.c"

static const options vote = {5, MEASURE_VOTE}, kl = {5, MEASURE_KL};

/* F2: four members, samples A B C D, probability of class 0. */
static void hear_f2(opinions *o)
{
    float p[8];
    static const float f2[4][4] = {
        {.5f, .9f, .9f, .6f}, {.5f, .1f, .9f, .8f}, {.5f, .9f, .9f, .6f}, {.5f, .1f, .9f, .8f}};
    for (int e = 0; e < 4; e++) {
        for (int i = 0; i < 4; i++) {
            p[2 * i] = f2[e][i];
            p[2 * i + 1] = 1 - f2[e][i];
        }
        hear(o, e, p);
    }
}

Test(qbc, measures_the_worked_example)
{
    for (uint32_t measure = MEASURE_VOTE; measure <= MEASURE_KL; measure++) {
        const double want[2][4] = {{0, .693147, 0, 0}, {0, .368064, 0, .024157}};
        const options four = {4, measure};
        double mean[8] = {0}, inner[4] = {0};
        opinions o = {&four, 4, 2, mean, inner};
        hear_f2(&o);
        for (int i = 0; i < 4; i++)
            cr_assert_float_eq(entropy_term(mean[2 * i]) + entropy_term(mean[2 * i + 1]) - inner[i],
                               want[measure][i], 1e-6);
    }
}

/* ---- slow and obvious ---- */

/* Row numbers of one bootstrap sample of the labelled set. */
static void slow_bootstrap(const fx_rows *l, int64_t c, dal_rng *rng, int64_t *row)
{
    for (int tries = 0;; tries++) {
        int complete = 1;
        for (int64_t i = 0; i < l->n; i++)
            row[i] = dal_rng_below(rng, l->n);
        for (int64_t i = 0; i < l->n; i++) {
            int there = 0;
            for (int64_t k = 0; k < l->n; k++)
                there |= l->classes[row[k]] == l->classes[i];
            complete &= there;
        }
        if (complete)
            return;
        if (tries == 1000 - 1)
            break;
    }
    int64_t n = 0;
    for (int32_t k = 0; k < c; k++) {
        int64_t member[1000], count = 0;
        for (int64_t i = 0; i < l->n; i++)
            if (l->classes[i] == k)
                member[count++] = i;
        if (count > 0)
            row[n++] = member[dal_rng_below(rng, count)];
    }
    while (n < l->n)
        row[n++] = dal_rng_below(rng, l->n);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    const int64_t c = r->c;
    const dal_rng stream = host->rng(host, "bootstrap", r->round), ties = host->rng(host, "ties", r->round);
    double *mean = calloc((size_t)(pool->n * c), sizeof *mean), *score = calloc((size_t)pool->n, sizeof *score);
    double p[1000];
    int64_t row[1000], ids[1000];
    int32_t classes[1000];
    b = b < pool->n ? b : pool->n;
    for (int64_t e = 0; e < opt->members; e++) {
        dal_rng own = dal_rng_at(&stream, (uint64_t)e);
        slow_bootstrap(l, c, &own, row);
        for (int64_t i = 0; i < l->n; i++) {
            ids[i] = l->ids[row[i]];
            classes[i] = l->classes[row[i]];
        }
        void *m = fx_model_train(r, ids, classes, l->n);
        for (int64_t i = 0; i < pool->n; i++) {
            int best = 0;
            fx_model_probs(r, m, pool->ids[i], p);
            for (int k = 1; k < c; k++)
                best = (float)p[k] > (float)p[best] ? k : best;
            for (int k = 0; k < c; k++) {
                const double q = opt->measure == MEASURE_VOTE ? k == best : p[k];
                mean[i * c + k] += q / (double)opt->members;
                score[i] += q > 0 ? q * log(q) / (double)opt->members : 0;
            }
        }
        fx_model_impl.destroy(m);
    }
    for (int64_t i = 0; i < pool->n; i++)
        for (int k = 0; k < c; k++)
            score[i] -= mean[i * c + k] > 0 ? mean[i * c + k] * log(mean[i * c + k]) : 0;
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        double number = 0;
        for (int64_t i = 0; i < pool->n; i++) {
            dal_rng own = dal_rng_at(&ties, (uint64_t)pool->ids[i]);
            const double u = dal_rng_uniform(&own);
            const double ahead = best < 0 ? 1 : score[i] - score[best];
            if (!isnan(score[i]) && (ahead > 1e-9 || (ahead > -1e-9 && u > number))) {
                best = i;
                number = u;
            }
        }
        rows[k] = best;
        score[best] = NAN;
    }
    free(mean);
    free(score);
    return b;
}

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, FX_MODEL},
    {2, 90, 30, 0, 4, 6, 0, FX_CURVED},
    {7, 45, 11, 0, 4, 4, 0, FX_ONE_CLASS | FX_MODEL},
    {8, 30, 12, 0, 12, 6, 0, FX_LOGITS | FX_MODEL}, /* nearly every sample is the only one of its class */
    {9, 3, 2, 0, 2, 2, 0, FX_MODEL},
    {10, 1, 1, 0, 3, 4, 0, FX_MODEL},
};

Test(qbc, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&qbc_impl, &vote, twin, shapes, sizeof shapes / sizeof *shapes, 0);
    fx_twin_agrees(&qbc_impl, &kl, twin, shapes, 2, 0);
}

Test(qbc, has_every_class_in_every_bootstrap_sample)
{
    int64_t row[40];
    int32_t classes[40], count[20];
    for (int i = 0; i < 40; i++)
        classes[i] = i < 20 ? i : 0; /* 19 classes of one sample each */
    for (uint64_t seed = 0; seed < 20; seed++) {
        dal_rng rng = dal_rng_from_key(seed);
        int seen[20] = {0}, kinds = 0;
        dal_bootstrap(&rng, classes, 40, 20, row, count);
        for (int i = 0; i < 40; i++)
            kinds += seen[classes[row[i]]]++ == 0;
        cr_assert_eq(kinds, 20);
    }
}

Test(qbc, has_no_committee_where_nothing_is_labelled)
{
    static fx_picks p;
    const fx_spec spec = {3, 20, 0, 0, 2, 3, 0, FX_MODEL};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &qbc_impl, &vote, 2, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    fx_round_free(r);
    const fx_spec matrices = {3, 20, 4, 0, 2, 3, 0, 0};
    r = fx_round_random(&matrices);
    fx_try(r, &qbc_impl, &vote, 2, 1, &p);
    cr_assert_str_eq(p.err.text, "there is no model to train here, only its matrices");
    fx_round_free(r);
}

Test(qbc, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&qbc_impl, &vote, &shapes[0], 5);
}
