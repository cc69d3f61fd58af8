/* The strategies submodular and fass through their tables. */
#include "tests/unit/strategies/round.h"
#include "tests/unit/submodular_twin.h"

#include "plugins/strategies/submodular.c"

static const options plain = {.function = DAL_FL, .greedy = DAL_LAZY, .lambda = 0.4, .ridge = 1, .epsilon = 0.1};

/* ---- golden: F3 of the specification ---------------------------------------------------------- */

/* Rows whose products are K of the fixture, by elimination. */
static fx_round *fixture(void)
{
    static const double k[4][4] = {{1, .8, .3, .1}, {.8, 1, .4, .2}, {.3, .4, 1, .6}, {.1, .2, .6, 1}};
    static const float probs[8] = {.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f};
    float x[16] = {0};
    double l[4][4] = {{0}};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j <= i; j++) {
            double sum = k[i][j];
            for (int m = 0; m < j; m++)
                sum -= l[i][m] * l[j][m];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
            x[i * 4 + j] = (float)l[i][j];
        }
    return fx_round_of(4, 2, probs, 4, x);
}

#define TIE (-1) /* of 2 and 3 in the specification; rounding K's vectors to float decides it */

Test(submodular, picks_the_worked_example)
{
    static const struct {
        uint32_t function;
        int64_t rows[3];
        double gain[3];
    } known[] = {
        {DAL_FL, {1, TIE, TIE}, {2.4, 1.0, .4}},
        {DAL_GC, {1, 2, 0}, {2.0, 1.58, .92}},
        {DAL_DISPARITY_SUM, {0, 3, 2}, {0, .9, 1.1}},
    };
    static fx_picks p;
    fx_round *r = fixture();
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        options opt = plain;
        opt.function = known[k].function;
        opt.similarity = DAL_DOT;
        fx_select(r, &submodular_impl, &opt, 3, 1, &p);
        for (int i = 0; i < 3; i++) {
            cr_assert(known[k].rows[i] == TIE || p.rows[i] == known[k].rows[i], "function %u, pick %d is %lld",
                      opt.function, i, (long long)p.rows[i]);
            cr_assert_float_eq(p.scores[i], known[k].gain[i], 1e-5);
        }
    }
    fx_round_free(r);
}

/* ---- twins ------------------------------------------------------------------------------------ */

/* Last-layer gradients under the predicted class, and [h, 1]. */
static dal_points embed(const fx_round *r, uint32_t embedding, float **y)
{
    const fx_rows *v = &r->set[DAL_ROWS_CANDIDATES];
    dal_points p = {.struct_size = sizeof p, .x = {v->features, v->n, r->d, r->d}};
    *y = NULL;
    if (embedding == DAL_EMBED_FEATURES)
        return p;
    double *probs = malloc((size_t)r->c * sizeof *probs);
    *y = malloc((size_t)(v->n * r->c) * sizeof **y);
    for (int64_t i = 0; i < v->n; i++) {
        int64_t top = 0;
        double rest = 0;
        fx_probs(r, DAL_ROWS_CANDIDATES, i, probs);
        for (int64_t c = 1; c < r->c; c++)
            top = v->outputs[i * r->c + c] > v->outputs[i * r->c + top] ? c : top;
        for (int64_t c = 0; c < r->c; c++) {
            (*y)[i * r->c + c] = fabs(probs[c]) < FLT_MIN ? 0 : (float)probs[c];
            rest += c == top ? 0 : probs[c];
        }
        (*y)[i * r->c + top] = (float)-rest;
    }
    free(probs);
    p.y = (dal_matrix){*y, v->n, r->c, r->c};
    p.extra = 1;
    return p;
}

static int64_t twin_of(uint32_t embedding, const fx_round *r, const dal_host *host, const options *opt, int64_t b,
                       int64_t *rows)
{
    float *y;
    const dal_points v = embed(r, embedding, &y);
    const dal_rng stream = host->rng(host, "stochastic", r->round);
    const dal_submodular s = {.struct_size = sizeof s, .function = opt->function, .candidates = &v,
                              .similarity = {opt->similarity, 0, opt->width > 0 ? opt->width : sqrt(r->d / 2.0)},
                              .lambda = opt->lambda, .ridge = opt->ridge, .concave = opt->concave};
    const dal_greedy_options g = {.struct_size = sizeof g,
                                  .engine = opt->greedy,
                                  .n_picks = b,
                                  .epsilon = opt->epsilon,
                                  .rng = &stream,
                                  .stop = opt->stop == STOP_ZERO ? 0
                                          : opt->stop            ? -DBL_MIN
                                                                 : -INF};
    double *gain = malloc((size_t)b * sizeof *gain);
    table t = make_table(&s);
    const int64_t n = twin_greedy(&t, &g, rows, gain);
    free_table(&t);
    free(gain);
    free(y);
    return n;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    return twin_of(DAL_EMBED_FEATURES, r, host, opt, b, rows);
}

static int64_t gradient_twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    return twin_of(DAL_EMBED_GRADIENT, r, host, opt, b, rows);
}

static void agrees(const options *opt, int64_t n_specs, int64_t max_b)
{
    fx_twin_agrees(&submodular_impl, opt, twin, fx_shapes, n_specs, max_b);
}

Test(submodular, of_every_function_picks_what_its_slow_twin_picks)
{
    for (uint32_t function = DAL_FL; function <= DAL_FEATURE_BASED; function++) {
        options opt = plain;
        opt.function = function;
        agrees(&opt, fx_n_shapes, function == DAL_LOGDET ? 6 : 12);
        if (function != DAL_LOGDET)
            agrees(&opt, 1, 0);
    }
}

Test(submodular, with_other_similarities_picks_what_its_slow_twin_picks)
{
    options opt = plain;
    opt.similarity = DAL_RBF;
    agrees(&opt, fx_n_shapes, 10);
    opt.width = 0.7;
    opt.function = DAL_GC;
    agrees(&opt, fx_n_shapes, 10);
    opt.similarity = DAL_DOT;
    agrees(&opt, fx_n_shapes, 10);
    opt.function = DAL_LOGDET;
    opt.ridge = 0.01;
    agrees(&opt, fx_n_shapes, 5);
}

Test(submodular, on_gradients_picks_what_its_slow_twin_picks)
{
    options opt = plain;
    fx_twin_agrees(&gradient_impl, &opt, gradient_twin, fx_shapes, 4, 10);
    opt.function = DAL_LOGDET;
    fx_twin_agrees(&gradient_impl, &opt, gradient_twin, fx_shapes, 4, 5);
}

Test(submodular, of_random_few_picks_what_its_slow_twin_picks)
{
    options opt = plain;
    opt.greedy = DAL_STOCHASTIC;
    agrees(&opt, fx_n_shapes, 12);
}

/* ---- laws ------------------------------------------------------------------------------------- */

Test(submodular, follows_its_samples_when_the_pool_is_permuted)
{
    for (uint32_t function = DAL_FL; function <= DAL_FEATURE_BASED; function++) {
        options opt = plain;
        opt.function = function;
        if (function != DAL_LOGDET && function != DAL_DISPARITY_SUM &&
            function != DAL_DISPARITY_MIN) /* first pick: a tie */
            fx_picks_follow_samples(&submodular_impl, &opt, &fx_shapes[1], 20);
    }
}

Test(submodular, never_picks_two_that_are_alike)
{
    for (uint32_t function = DAL_FL; function <= DAL_DISPARITY_MIN; function++) {
        options opt = plain;
        opt.function = function;
        opt.ridge = 0; /* which would be noise that a copy does not share */
        if (function != DAL_GC && function != DAL_DISPARITY_SUM) /* where a copy may still be worth its place */
            fx_duplicates_stay_apart(&submodular_impl, &opt, &fx_shapes[3],
                                     function == DAL_LOGDET ? 8 : 20); /* rank 9 */
    }
}

Test(submodular, by_cosine_does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &submodular_impl, &plain, 40, 1, &a);
    fx_round_scale(r, 4);
    fx_select(r, &submodular_impl, &plain, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(submodular, asks_for_features_alone)
{
    static fx_picks with, without;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &submodular_impl, &plain, 20, 1, &with);
    free(r->set[DAL_ROWS_CANDIDATES].outputs);
    r->set[DAL_ROWS_CANDIDATES].outputs = NULL;
    fx_select(r, &submodular_impl, &plain, 20, 1, &without);
    cr_assert_arr_eq(with.rows, without.rows, 20 * sizeof *with.rows);
    fx_round_free(r);
}

Test(submodular, ends_when_told_that_nothing_more_is_gained)
{
    static fx_picks p;
    const float same[8] = {1, 2, 1, 2, 1, 2, 3, 1};
    const float probs[8] = {.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f};
    options opt = plain;
    opt.stop = STOP_ZERO;
    fx_round *r = fx_round_of(4, 2, probs, 2, same);
    fx_select(r, &submodular_impl, &opt, 4, 1, &p);
    cr_assert(p.n == 2 && p.rows[0] == 0 && p.rows[1] == 3 && p.reason[0]);
    opt.stop = STOP_NEVER;
    fx_select(r, &submodular_impl, &opt, 4, 1, &p);
    cr_assert(p.n == 4 && p.rows[2] == 1 && p.rows[3] == 2 && p.scores[3] == 0);
    fx_round_free(r);
}

/* A table where all but the nearest are 0 has fewer similarities, so that far samples are as good as none. */
Test(submodular, with_few_neighbours_picks_in_dense_places_first)
{
    static fx_picks p;
    const float x[12] = {1, 0, 1, .01f, 1, .02f, 0, 1, .1f, 1, -1, 0};
    const float probs[12] = {.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f};
    options opt = plain;
    opt.neighbours = 2;
    fx_round *r = fx_round_of(6, 2, probs, 2, x);
    fx_select(r, &submodular_impl, &opt, 3, 1, &p);
    cr_assert(p.rows[0] == 1, "first is %lld", (long long)p.rows[0]); /* nearest of 0 and 2, and its own */
    opt.similarity = DAL_DOT;
    fx_try(r, &submodular_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.key, "neighbours");
    fx_round_free(r);
}

Test(submodular, names_the_sample_that_is_not_finite)
{
    static fx_picks p;
    fx_round *r = fx_round_random(&fx_shapes[0]);
    r->set[DAL_ROWS_CANDIDATES].features[7 * r->d + 2] = NAN;
    fx_try(r, &submodular_impl, &plain, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "sample 80, column 2 is nan"), "%s", p.err.text);
    fx_round_free(r);
}

Test(submodular, refuses_negative_features_where_the_function_cannot_take_them)
{
    static fx_picks p;
    options opt = plain;
    opt.function = DAL_FEATURE_BASED;
    fx_round *r = fx_round_random(&fx_shapes[0]);
    r->set[DAL_ROWS_CANDIDATES].features[7 * r->d + 2] = -1;
    fx_try(r, &submodular_impl, &opt, 3, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "not negative"), "%s", p.err.text);
    fx_round_free(r);
}

Test(submodular, survives_when_there_is_no_memory)
{
    for (uint32_t function = DAL_FL; function <= DAL_FEATURE_BASED; function++) {
        options opt = plain;
        opt.function = function;
        fx_survives_no_memory(function % 2 ? &gradient_impl : &submodular_impl, &opt, &fx_shapes[0], 5);
    }
    options sparse = plain;
    sparse.neighbours = 4;
    fx_survives_no_memory(&submodular_impl, &sparse, &fx_shapes[0], 5);
}

/* ---- fass ------------------------------------------------------------------------------------- */

static const fass_options fass_plain = {.top_n = 5}, fass_apart = {.top_n = 3, .uncertainty = 1, .classes = 1};

static double unsure(const fx_round *r, int64_t row, uint32_t by)
{
    double *p = malloc((size_t)r->c * sizeof *p), first = 0, second = 0, h = 0;
    fx_probs(r, DAL_ROWS_CANDIDATES, row, p);
    for (int64_t c = 0; c < r->c; c++) {
        h -= p[c] > 0 ? p[c] * log(p[c]) : 0;
        second = p[c] > first ? first : fmax(second, p[c]);
        first = fmax(first, p[c]);
    }
    free(p);
    return by == 0 ? h : by == 1 ? second - first : -first;
}

/* Facility location where samples of different predicted classes are not alike at all (apart), over the least
 * sure. */
static int64_t fass_twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const fass_options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const int64_t m = b * opt->top_n < pool->n ? b * opt->top_n : pool->n;
    char *kept = calloc((size_t)pool->n, 1);
    int64_t *cls = malloc((size_t)pool->n * sizeof *cls);
    double *cover = calloc((size_t)pool->n, sizeof *cover), *all = malloc((size_t)pool->n * sizeof *all);
    const dal_points v = {.struct_size = sizeof v, .x = {pool->features, pool->n, r->d, r->d}};
    const dal_similarity s = {DAL_COSINE, 0, 0};
    (void)host;
    for (int64_t k = 0; k < m; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < pool->n; i++)
            if (!kept[i] &&
                (best < 0 || unsure(r, i, opt->uncertainty) > unsure(r, best, opt->uncertainty) + 1e-13))
                best = i;
        kept[best] = 1;
    }
    for (int64_t i = 0; i < pool->n; i++) {
        cls[i] = 0;
        for (int64_t c = 1; opt->classes && c < r->c; c++)
            cls[i] = pool->outputs[i * r->c + c] > pool->outputs[i * r->c + cls[i]] ? c : cls[i];
    }
    for (int64_t k = 0; k < b; k++) {
        double top = -1;
        for (int64_t j = 0; j < pool->n; j++) {
            all[j] = 0;
            for (int64_t i = 0; kept[j] == 1 && i < pool->n; i++)
                all[j] += kept[i] && cls[i] == cls[j] ? fmax(0, alike(&s, &v, j, &v, i) - cover[i]) : 0;
            top = kept[j] == 1 ? fmax(top, all[j]) : top;
        }
        for (rows[k] = 0; kept[rows[k]] != 1 || top - all[rows[k]] > 1e-10 * (1 + top);)
            rows[k]++;
        for (int64_t i = 0; i < pool->n; i++)
            if (kept[i] && cls[i] == cls[rows[k]])
                cover[i] = fmax(cover[i], alike(&s, &v, rows[k], &v, i));
        kept[rows[k]] = 2;
    }
    free(kept);
    free(cls);
    free(cover);
    free(all);
    return b;
}

Test(fass, picks_what_its_slow_twin_picks)
{
    const fx_spec some[] = {fx_shapes[0], fx_shapes[1], fx_shapes[2], fx_shapes[3], fx_shapes[4], fx_shapes[6],
                            fx_shapes[7], fx_shapes[8], fx_shapes[9]};
    fx_twin_agrees(&fass_impl, &fass_plain, fass_twin, some, 9, 15);
    fx_twin_agrees(&fass_impl, &fass_apart, fass_twin, some, 9, 15);
}

Test(fass, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&fass_impl, &fass_plain, &fx_shapes[1], 20);
}

Test(fass, looks_at_the_least_sure_alone)
{
    static fx_picks p;
    const float probs[10] = {.9f, .1f, .6f, .4f, .99f, .01f, .5f, .5f, .55f, .45f};
    const float x[10] = {1, 0, 0, 1, 1, 1, 2, 1, 1, 3};
    const fass_options opt = {.top_n = 1};
    fx_round *r = fx_round_of(5, 2, probs, 2, x);
    fx_select(r, &fass_impl, &opt, 2, 1, &p);
    cr_assert((p.rows[0] == 3 && p.rows[1] == 4) || (p.rows[0] == 4 && p.rows[1] == 3));
    fx_round_free(r);
}

Test(fass, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&fass_impl, &fass_apart, &fx_shapes[0], 5);
}
