/* The quire strategy through its table; its twin eliminates the unlabelled samples one candidate at a time. */
#include "tests/unit/strategies/tabular.h"

#include "plugins/strategies/quire.c"

static const options plain = {EXACT, DAL_KERNEL_RBF, 0, 1, 1, 10000};

static fx_round *example(void)
{
    static const float pool[3] = {0.5f, 1, 1.4f}, known[2] = {0, 3};
    static const int32_t classes[2] = {1, 0};
    fx_round *r = fx_round_of(3, 2, NULL, 1, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 2, classes, NULL, known);
    return r;
}

Test(quire, scores_the_worked_example)
{
    static fx_picks p;
    const double want[2][3] = {{2.136256, 1.714358, 1.535803}, {.817304, .559596, .299495}};
    for (uint32_t variant = EXACT; variant <= SHORTCUT; variant++) {
        const options opt = {variant, DAL_KERNEL_RBF, 1, 1, 0, 100};
        fx_round *r = example();
        fx_select(r, &quire_impl, &opt, 1, 1, &p);
        cr_assert_eq(p.ids[0], 30);
        cr_assert_float_eq(p.scores[0], want[variant][2], 1e-6, "%.7f", p.scores[0]);
        /* the others, as the only candidate beside samples that stay unlabelled: every first pick's score is
         * absolute */
        for (int64_t i = 0; i < 3 && variant == EXACT; i++) {
            fx_round *one = fx_round_of(1, 2, NULL, 1, (const float[]){(const float[]){0.5f, 1, 1.4f}[i]});
            fx_round_add(one, DAL_ROWS_LABELLED, 2, (const int32_t[]){1, 0}, NULL, (const float[]){0, 3});
            fx_select(one, &quire_impl, &opt, 1, 1, &p);
            cr_assert_float_eq(p.scores[0], want[EXACT][i], 1e-6, "%.7f", p.scores[0]);
            fx_round_free(one);
        }
        fx_round_free(r);
    }
}

/* ---- twin ------------------------------------------------------------------------------------- */

/* Minimum over the free rows of y' M y, o [m] with labels y. */
static double least(const double *big, int64_t n, const int64_t *o, const double *y, int64_t m)
{
    char *fixed = calloc((size_t)n, 1);
    int64_t *u = malloc((size_t)n * sizeof *u), n_u = 0;
    for (int64_t i = 0; i < m; i++)
        fixed[o[i]] = 1;
    for (int64_t i = 0; i < n; i++)
        if (!fixed[i])
            u[n_u++] = i;
    double *a = tw_array(n_u * n_u), *b = tw_array(n_u), sum = 0;
    double *rhs = tw_array(n_u);
    for (int64_t i = 0; i < n_u; i++) {
        for (int64_t j = 0; j < n_u; j++)
            a[i * n_u + j] = big[u[i] * n + u[j]];
        for (int64_t k = 0; k < m; k++)
            rhs[i] += big[u[i] * n + o[k]] * y[k];
        b[i] = rhs[i];
    }
    tw_solve(n_u, a, 1, b);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++)
            sum += y[i] * big[o[i] * n + o[j]] * y[j];
    for (int64_t i = 0; i < n_u; i++)
        sum -= rhs[i] * b[i];
    free(fixed);
    free(u);
    free(a);
    free(b);
    free(rhs);
    return sum;
}

/* y' M y with s at -1, 0, 1, which is a parabola. */
static void parabola(const double *big, int64_t n, int64_t *o, double *y, int64_t m, int64_t s, double at[3])
{
    o[m] = s;
    for (int v = -1; v <= 1; v++) {
        y[m] = v;
        at[v + 1] = least(big, n, o, y, m + 1);
    }
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    tw_table t = tw_make(r, opt->standardise);
    const int64_t n = t.n_l + t.n, problems = t.problems ? t.problems : 1;
    double *k = tw_rbf(&t, opt->gamma, opt->lambda), *big = tw_inverse(n, k), *y = tw_array(problems * (n + 1));
    double *score = tw_array(t.n);
    int64_t *o = malloc((size_t)(n + 1) * sizeof *o), m = t.n_l;
    char *taken = calloc((size_t)t.n, 1);
    (void)host;
    for (int64_t i = 0; i < m; i++) {
        o[i] = i;
        for (int64_t p = 0; p < t.problems; p++)
            y[p * (n + 1) + i] = t.y[p * t.n_l + i];
    }
    for (int64_t pick = 0; pick < b; pick++, m++) {
        for (int64_t s = 0; s < t.n; s++) {
            score[s] = 0;
            for (int64_t p = 0; p < problems && !taken[s]; p++) {
                double at[3];
                parabola(big, n, o, y + p * (n + 1), m, t.n_l + s, at);
                score[s] += fmax(at[0], at[2]);
            }
        }
        rows[pick] = tw_best(score, taken, t.n, 1);
        taken[rows[pick]] = 1;
        for (int64_t p = 0; p < problems; p++) {
            double at[3];
            parabola(big, n, o, y + p * (n + 1), m, t.n_l + rows[pick], at);
            y[p * (n + 1) + m] = (at[0] - at[2]) / 2 / (at[0] + at[2] - 2 * at[1]); /* its lowest point */
        }
    }
    free(k);
    free(big);
    free(y);
    free(score);
    free(o);
    free(taken);
    tw_free(&t);
    return b;
}

Test(quire, picks_what_its_slow_twin_picks)
{
    for (int64_t s = 0; s < fx_n_shapes; s++)
        if (fx_shapes[s].n + fx_shapes[s].n_labelled < 90 && fx_shapes[s].n_labelled <= 20)
            fx_twin_agrees(&quire_impl, &plain, twin, &fx_shapes[s], 1, 4);
}

/* The shortcut as it is written, from the inverse of the whole; one pick. */
static int64_t twin_of_shortcut(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    tw_table t = tw_make(r, opt->standardise);
    const int64_t n = t.n_l + t.n, l = t.n_l;
    double *k = tw_rbf(&t, opt->gamma, opt->lambda), *m = tw_inverse(n, k), *score = tw_array(t.n);
    double *aa = tw_array(t.n * t.n);
    char *taken = calloc((size_t)t.n, 1);
    (void)host;
    cr_assert_eq(b, 1);
    for (int64_t i = 0; i < t.n * t.n; i++)
        aa[i] = m[(l + i / t.n) * n + l + i % t.n];
    const double det = tw_solve(t.n, aa, 0, NULL);
    for (int64_t s = l; s < n; s++) {
        const int64_t n_u = t.n - 1;
        double *uu = tw_array(n_u * n_u), *ul = tw_array(n_u * l);
        for (int64_t i = 0; i < n_u; i++) {
            const int64_t row = l + i + (l + i >= s);
            for (int64_t j = 0; j < n_u; j++)
                uu[i * n_u + j] = m[row * n + l + j + (l + j >= s)];
            for (int64_t j = 0; j < l; j++)
                ul[i * l + j] = m[row * n + j];
        }
        tw_solve(n_u, uu, l, ul);
        for (int64_t p = 0; p < (t.problems ? t.problems : 1); p++) {
            double f = 0;
            for (int64_t j = 0; j < l; j++) {
                double e = m[s * n + j];
                for (int64_t i = 0; i < n_u; i++)
                    e -= m[s * n + l + i + (l + i >= s)] * ul[i * l + j];
                f += e * t.y[p * l + j];
            }
            score[s - l] += m[s * n + s] - det / m[s * n + s] + 2 * fabs(f);
        }
        free(uu);
        free(ul);
    }
    rows[0] = tw_best(score, taken, t.n, 1);
    free(k);
    free(m);
    free(score);
    free(aa);
    free(taken);
    tw_free(&t);
    return 1;
}

Test(quire, picks_by_the_shortcut_what_the_formula_says)
{
    const options opt = {SHORTCUT, DAL_KERNEL_RBF, 0, 1, 1, 10000};
    for (int64_t s = 0; s < fx_n_shapes; s++)
        if (fx_shapes[s].n < 90 && !(fx_shapes[s].odd & (FX_DUPLICATES | FX_ZERO_ROWS)))
            fx_twin_agrees(&quire_impl, &opt, twin_of_shortcut, &fx_shapes[s], 1, 1);
}

/* The formula of the header with nothing lazy: one column of a pivoted Cholesky factor a sample of o, over all rows. */
static void eliminate(double *k, int64_t n, int64_t s)
{
    const double pivot = k[s * n + s];
    double *row = malloc((size_t)n * sizeof *row);
    memcpy(row, k + s * n, (size_t)n * sizeof *row);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            k[i * n + j] -= row[i] * row[j] / pivot;
    free(row);
}

static int64_t eager_twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    tw_table t = tw_make(r, opt->standardise);
    const int64_t n = t.n_l + t.n;
    double *k = tw_rbf(&t, opt->gamma, opt->lambda), *kept = tw_rbf(&t, opt->gamma, opt->lambda);
    double *ll = tw_array(t.n_l * t.n_l), *y = tw_array(t.n_l * t.problems), *weight = tw_array(t.n),
        *score = tw_array(t.n);
    char *taken = calloc((size_t)t.n, 1);
    (void)host;
    for (int64_t i = 0; i < t.n_l; i++) {
        for (int64_t j = 0; j < t.n_l; j++)
            ll[i * t.n_l + j] = k[i * n + j];
        for (int64_t p = 0; p < t.problems; p++)
            y[i * t.problems + p] = t.y[p * t.n_l + i];
    }
    tw_solve(t.n_l, ll, t.problems, y);
    for (int64_t s = 0; s < t.n; s++) {
        weight[s] = t.problems == 0;
        for (int64_t p = 0; p < t.problems; p++) {
            double f = 0;
            for (int64_t i = 0; i < t.n_l; i++)
                f += kept[(t.n_l + s) * n + i] * y[i * t.problems + p];
            weight[s] += (1 + fabs(f)) * (1 + fabs(f));
        }
    }
    for (int64_t i = 0; i < t.n_l; i++)
        eliminate(k, n, i);
    for (int64_t pick = 0; pick < b; pick++) {
        for (int64_t s = 0; s < t.n; s++)
            score[s] = weight[s] / k[(t.n_l + s) * n + t.n_l + s];
        rows[pick] = tw_best(score, taken, t.n, 1);
        taken[rows[pick]] = 1;
        eliminate(k, n, t.n_l + rows[pick]);
    }
    free(k);
    free(kept);
    free(ll);
    free(y);
    free(weight);
    free(score);
    free(taken);
    tw_free(&t);
    return b;
}

Test(quire, loses_nothing_by_being_lazy)
{
    static const fx_spec many[] = {{21, 400, 30, 0, 3, 2, 0, 0}, {23, 250, 40, 0, 2, 9, 0, FX_DUPLICATES}};
    fx_twin_agrees(&quire_impl, &plain, eager_twin, many, 2, 60);
    fx_twin_agrees(&quire_impl, &plain, eager_twin, &fx_shapes[1], 2, 40);
}

Test(quire, follows_its_samples_when_the_pool_is_permuted)
{
    const fx_spec spec = {22, 200, 20, 0, 4, 6, 0, 0};
    fx_picks_follow_samples(&quire_impl, &plain, &spec, 30);
}

Test(quire, spreads_out_while_nothing_is_labelled)
{
    const fx_spec spec = {24, 90, 0, 0, 4, 5, 0, FX_DUPLICATES};
    options opt = plain;
    opt.lambda = 1e-6; /* a ridge of 1 lets a second look at a sample tell as much as a crowded new one */
    fx_duplicates_stay_apart(&quire_impl, &opt, &spec, 40);
}

Test(quire, does_not_mind_the_scale_of_the_features)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_select(r, &quire_impl, &plain, 40, 1, &a);
    fx_round_scale(r, 4); /* a power of two: the same bits */
    fx_select(r, &quire_impl, &plain, 40, 1, &b);
    cr_assert_arr_eq(a.rows, b.rows, 40 * sizeof *a.rows);
    fx_round_free(r);
}

Test(quire, refuses_what_is_too_large_and_says_what_to_do)
{
    static fx_picks p;
    options opt = plain;
    fx_round *r = fx_round_random(&fx_shapes[1]);
    opt.max_n = 54; /* 50 labelled */
    fx_select(r, &quire_impl, &opt, 4, 1, &p);
    fx_try(r, &quire_impl, &opt, 5, 1, &p);
    fx_expect(&p.err, p.status, DAL_E_INVALID, "max_n", "query.candidates");
    opt.variant = SHORTCUT;
    opt.max_n = 349;
    fx_try(r, &quire_impl, &opt, 1, 1, &p);
    fx_expect(&p.err, p.status, DAL_E_INVALID, "max_n", "350 rows");
    fx_round_free(r);
}

Test(quire, names_the_sample_whose_features_are_not_finite)
{
    static fx_picks p;
    fx_round *r = fx_round_random(&fx_shapes[0]);
    r->set[DAL_ROWS_CANDIDATES].features[3 * r->d + 2] = NAN;
    fx_try(r, &quire_impl, &plain, 5, 1, &p);
    fx_expect(&p.err, p.status, DAL_E_INVALID, "", "feature 2 of sample 40 ");
    fx_round_free(r);
}

Test(quire, survives_when_there_is_no_memory)
{
    options opt = plain;
    fx_survives_no_memory(&quire_impl, &opt, &fx_shapes[0], 5);
    opt.variant = SHORTCUT;
    fx_survives_no_memory(&quire_impl, &opt, &fx_shapes[0], 5);
}
