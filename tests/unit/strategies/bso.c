/* The bound that cheats. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/bso.c"

/* True classes as the largest output says, but for every fifth candidate. */
static fx_round *with_truth(const fx_spec *spec)
{
    fx_round *r = fx_round_random(spec);
    int32_t *classes = malloc((size_t)spec->n * sizeof *classes);
    double p[1000];
    for (int64_t i = 0; i < spec->n; i++) {
        classes[i] = 0;
        fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
        for (int32_t k = 1; k < spec->c; k++)
            classes[i] = p[k] > p[classes[i]] ? k : classes[i];
        if (i % 5 == 4)
            classes[i] = (int32_t)((classes[i] + 1) % spec->c);
    }
    fx_round_truth(r, classes);
    free(classes);
    return r;
}

/* ---- slow and obvious: every set of the beam is a row of flags ---- */

typedef struct slow_set {
    char in[64];
    int64_t order[64], n, right;
    double loss;
} slow_set;

static void slow_judge(const fx_round *r, slow_set *s)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    int64_t ids[128];
    int32_t classes[128];
    double p[64];
    for (int64_t i = 0; i < l->n; i++) {
        ids[i] = l->ids[i];
        classes[i] = l->classes[i];
    }
    for (int64_t i = 0; i < s->n; i++) {
        ids[l->n + i] = pool->ids[s->order[i]];
        classes[l->n + i] = r->truth[ids[l->n + i]];
    }
    void *m = fx_model_train(r, ids, classes, l->n + s->n);
    s->right = 0;
    s->loss = 0;
    for (int64_t i = 0; i < pool->n; i++) {
        const int32_t cls = r->truth[pool->ids[i]];
        int32_t best = 0;
        fx_model_probs(r, m, pool->ids[i], p);
        for (int32_t k = 1; k < r->c; k++)
            best = (float)p[k] > (float)p[best] ? k : best;
        if (cls < 0)
            continue;
        s->right += best == cls;
        s->loss -= log(fmax(p[cls], 1e-30));
    }
    fx_model_impl.destroy(m);
}

static int64_t slow_beam(const fx_round *r, const dal_host *host, const options *opt, int64_t b, int64_t *rows)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const dal_rng stream = host->rng(host, "tries", r->round);
    static slow_set beam[64], all[4096];
    int64_t n_beam = 1, usable[64], n = 0;
    for (int64_t i = 0; i < pool->n; i++)
        if (r->truth[pool->ids[i]] >= 0)
            usable[n++] = i;
    b = b < n ? b : n;
    memset(&beam[0], 0, sizeof beam[0]);
    for (int64_t step = 0; step < b; step++) {
        int64_t draw[64], tries = n, n_all = 0;
        memcpy(draw, usable, sizeof draw);
        if (opt->tries > 0 && opt->tries + step < n) {
            dal_rng own = dal_rng_at(&stream, (uint64_t)step);
            tries = opt->tries + step;
            dal_rng_shuffle(&own, draw, n, tries);
        }
        for (int64_t m = 0; m < n_beam; m++)
            for (int64_t t = 0; t < tries; t++) {
                slow_set s = beam[m];
                int again = s.in[draw[t]];
                s.in[draw[t]] = 1;
                s.order[s.n++] = draw[t];
                for (int64_t k = 0; k < n_all; k++)
                    again |= memcmp(all[k].in, s.in, sizeof s.in) == 0;
                if (again)
                    continue;
                slow_judge(r, &s);
                all[n_all++] = s;
            }
        for (n_beam = 0; n_beam < opt->width && n_beam < n_all; n_beam++) {
            int64_t best = -1;
            for (int64_t k = 0; k < n_all; k++)
                if (all[k].n > 0 && (best < 0 || all[k].right > all[best].right ||
                                     (all[k].right == all[best].right && all[k].loss < all[best].loss - 1e-9)))
                    best = k;
            beam[n_beam] = all[best];
            all[best].n = 0;
        }
    }
    memcpy(rows, beam[0].order, (size_t)b * sizeof *rows);
    return b;
}

static void agree(const fx_spec *spec, const options *opt, int64_t b)
{
    static fx_picks p;
    int64_t rows[64];
    fx_round *r = with_truth(spec);
    dal_runtime *rt = fx_runtime(1, 1);
    fx_select(r, &bso_impl, opt, b, 1, &p);
    cr_assert_eq(slow_beam(r, dal_runtime_host(rt, "strategy"), opt, b, rows), p.n);
    for (int64_t i = 0; i < p.n; i++)
        cr_assert_eq(p.rows[i], rows[i], "spec %llu: pick %lld is row %lld, the twin's %lld",
                     (unsigned long long)spec->seed, (long long)i, (long long)p.rows[i], (long long)rows[i]);
    dal_runtime_free(rt);
    fx_round_free(r);
}

Test(bso, picks_what_its_slow_twin_picks)
{
    const fx_spec a = {1, 30, 8, 0, 3, 5, 0, FX_MODEL}, b = {3, 25, 0, 0, 2, 3, 0, FX_MODEL};
    const fx_spec c = {2, 20, 5, 0, 4, 4, 0, FX_CURVED}, d = {10, 1, 1, 0, 3, 4, 0, FX_MODEL};
    const options beam = {3, 0, 100000}, drawn = {4, 6, 100000}, greedy = {1, 0, 100000};
    agree(&a, &beam, 4);
    agree(&a, &drawn, 5);
    agree(&b, &greedy, 3);
    agree(&c, &drawn, 20);
    agree(&d, &beam, 1);
}

Test(bso, is_told_by_the_validation_split_where_there_is_one)
{
    static fx_picks p;
    /* x = -1 is class 0, x = 1 class 1; the candidates' truth is right for the first two, swapped for the others
     * */
    const float x[] = {-1, 1, -1, 1};
    const int32_t truth[] = {0, 1, 1, 0}, straight[] = {0, 1, 0, 1};
    const options beam = {4, 0, 1000};
    fx_round *r = fx_round_of(4, 2, NULL, 1, x);
    fx_round_add(r, DAL_ROWS_VALIDATION, 4, straight, NULL, x);
    fx_round_model(r, 0);
    fx_round_truth(r, truth);
    fx_select(r, &bso_impl, &beam, 2, 1, &p);
    cr_assert(p.rows[0] + p.rows[1] == 1, "rows %lld and %lld", (long long)p.rows[0], (long long)p.rows[1]);
    fx_round_free(r);
}

Test(bso, tries_only_what_has_a_true_class)
{
    static fx_picks p;
    const float x[] = {-1, 1, -1};
    const int32_t truth[] = {0, DAL_LABEL_OOD, DAL_LABEL_NONE};
    const options beam = {4, 0, 1000};
    fx_round *r = fx_round_of(3, 2, NULL, 1, x);
    fx_round_model(r, 0);
    fx_round_truth(r, truth);
    fx_select(r, &bso_impl, &beam, 2, 1, &p);
    cr_assert(p.n == 1 && p.rows[0] == 0);
    cr_assert_str_eq(p.reason, "the true class of 1 candidates only is known");
    fx_round_free(r);
}

Test(bso, refuses_what_is_too_large_or_not_known)
{
    static fx_picks p;
    const fx_spec spec = {1, 30, 8, 0, 3, 5, 0, FX_MODEL};
    const options tight = {3, 0, 179}, enough = {3, 0, 180};
    fx_round *r = with_truth(&spec);
    fx_try(r, &bso_impl, &tight, 2, 1, &p);
    cr_assert_str_eq(p.err.key, "max_fits");
    cr_assert_str_eq(p.err.text,
                     "2 picks x 3 sets x 30 candidates are more trainings than max_fits, 179; raise it, or "
                     "lower width or tries");
    fx_try(r, &bso_impl, &enough, 2, 1, &p);
    cr_assert_eq(p.status, DAL_OK);
    fx_round_free(r);
    r = fx_round_random(&spec);
    fx_try(r, &bso_impl, &enough, 2, 1, &p);
    cr_assert_eq(p.status, DAL_E_UNSUPPORTED);
    cr_assert_str_eq(p.err.text, "the true classes are not known here");
    fx_round_free(r);
}

Test(bso, survives_when_there_is_no_memory)
{
    const fx_spec spec = {1, 12, 5, 0, 3, 4, 0, FX_MODEL};
    const options drawn = {2, 4, 1000};
    fx_round *r = with_truth(&spec);
    fx_round_survives_no_memory(r, &bso_impl, &drawn, 2);
    fx_round_free(r);
}
