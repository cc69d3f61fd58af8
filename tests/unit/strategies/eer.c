/* Expected error reduction. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/eer.c"

static const options plain = {RISK_LOG, 0, 2000}, some = {RISK_ERROR, 12, 2000};

/* Every x, every y, every u, as the header says. */
static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    const dal_rng stream = host->rng(host, "evaluation", r->round);
    const int64_t n_e = opt->evaluate > 0 && opt->evaluate < pool->n ? opt->evaluate : pool->n;
    double *score = calloc((size_t)pool->n, sizeof *score), now[1000], after[1000];
    char *in_e = calloc((size_t)pool->n, 1);
    int64_t ids[1000];
    int32_t classes[1000];
    b = b < pool->n ? b : pool->n;
    for (int64_t k = 0; k < n_e; k++) {
        int64_t best = 0;
        double number = -1;
        for (int64_t i = 0; i < pool->n; i++) {
            dal_rng own = dal_rng_at(&stream, (uint64_t)pool->ids[i]);
            const double u = dal_rng_uniform(&own);
            if (!in_e[i] && u > number) {
                best = i;
                number = u;
            }
        }
        in_e[best] = 1;
    }
    for (int64_t i = 0; i < l->n; i++) {
        ids[i] = l->ids[i];
        classes[i] = l->classes[i];
    }
    for (int64_t x = 0; x < pool->n; x++) {
        fx_probs(r, DAL_ROWS_CANDIDATES, x, now);
        ids[l->n] = pool->ids[x];
        for (int32_t y = 0; y < r->c; y++) {
            classes[l->n] = y;
            void *m = fx_model_train(r, ids, classes, l->n + 1);
            for (int64_t u = 0; u < pool->n; u++) {
                double h = 0, top = 0;
                if (u == x || !in_e[u])
                    continue;
                fx_model_probs(r, m, pool->ids[u], after);
                for (int k = 0; k < r->c; k++) {
                    h -= after[k] > 0 ? after[k] * log(after[k]) : 0;
                    top = fmax(top, after[k]);
                }
                score[x] += now[y] * (opt->risk == RISK_LOG ? h : 1 - top);
            }
            fx_model_impl.destroy(m);
        }
    }
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < pool->n; i++)
            if (!isnan(score[i]) && (best < 0 || score[i] < score[best] - 1e-9))
                best = i;
        rows[k] = best;
        score[best] = NAN;
    }
    free(score);
    free(in_e);
    return b;
}

static const fx_spec shapes[] = {
    {1, 25, 8, 0, 3, 4, 0, FX_MODEL},
    {3, 20, 0, 0, 2, 3, 0, FX_MODEL}, /* nothing labelled: one sample to train on */
    {2, 25, 5, 0, 4, 5, 0, FX_CURVED | FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 0, FX_MODEL},
    {10, 1, 1, 0, 3, 4, 0, FX_MODEL},
};

Test(eer, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&eer_impl, &plain, twin, shapes, sizeof shapes / sizeof *shapes, 0);
    fx_twin_agrees(&eer_impl, &some, twin, shapes, 2, 0);
}

Test(eer, follows_its_samples_when_the_pool_is_permuted)
{
    const fx_spec spec = {1, 30, 10, 0, 3, 5, 0, FX_MODEL};
    fx_picks_follow_samples(&eer_impl, &plain, &spec, 10);
}

Test(eer, refuses_more_trainings_than_allowed)
{
    static fx_picks p;
    const options tight = {RISK_LOG, 0, 74};
    fx_round *r = fx_round_random(&shapes[0]);
    fx_try(r, &eer_impl, &tight, 2, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.key, "max_fits");
    cr_assert_str_eq(p.err.text,
                     "25 candidates x 3 classes are more trainings than max_fits, 74; raise it, or put eer "
                     "into subsample with fewer candidates");
    fx_round_free(r);
}

Test(eer, survives_when_there_is_no_memory)
{
    const fx_spec tiny = {1, 6, 3, 0, 3, 4, 0, FX_MODEL};
    fx_survives_no_memory(&eer_impl, &plain, &tiny, 2);
}
