/* The hintsvm strategy through its table; its twin goes for the largest violation each time and proves its optimum. */
#include "tests/unit/strategies/tabular.h"

#include "plugins/strategies/hintsvm.c"

static const options plain = {0.1, 0.1, 0.5, SHARE, SMALLEST, 1e-11, 100000, 1};

/* w [d + 1] of one problem. Samples z [m, d + 1]; y 0: a hint. The gap between primal and dual is asserted. */
static void best_machine(const double *z, const double *y, int64_t m, int64_t d, double c_l, double c_h, double *w)
{
    double *v = tw_array(m), primal = 0, dual = 0;
    memset(w, 0, (size_t)(d + 1) * sizeof *w);
    for (int64_t step = 0; step < 4000000; step++) {
        double most = 0, best = 0;
        int64_t at = -1;
        for (int64_t i = 0; i < m; i++) {
            double f = 0, norm = 0;
            for (int64_t j = 0; j <= d; j++) {
                f += w[j] * z[i * (d + 1) + j];
                norm += z[i * (d + 1) + j] * z[i * (d + 1) + j];
            }
            const double low = y[i] != 0 ? 0 : -c_h, high = y[i] != 0 ? c_l : c_h;
            const double to = fmax(low, fmin(high, v[i] + (y[i] != 0 ? 1 - y[i] * f : -f) / norm));
            if (fabs(to - v[i]) * sqrt(norm) > most) {
                most = fabs(to - v[i]) * sqrt(norm);
                best = to;
                at = i;
            }
        }
        if (most < 1e-13)
            break;
        for (int64_t j = 0; j <= d; j++)
            w[j] += (best - v[at]) * (y[at] != 0 ? y[at] : 1) * z[at * (d + 1) + j];
        v[at] = best;
    }
    for (int64_t j = 0; j <= d; j++) {
        primal += w[j] * w[j] / 2;
        dual -= w[j] * w[j] / 2;
    }
    for (int64_t i = 0; i < m; i++) {
        double f = 0;
        for (int64_t j = 0; j <= d; j++)
            f += w[j] * z[i * (d + 1) + j];
        primal += y[i] != 0 ? c_l * fmax(0, 1 - y[i] * f) : c_h * fabs(f);
        dual += y[i] != 0 ? v[i] : 0;
    }
    cr_assert(primal - dual < 1e-9 * (1 + primal), "gap %g of %g", primal - dual, primal);
    free(v);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    tw_table t = tw_make(r, opt->standardise);
    const int64_t n_h = (int64_t)(opt->hints * t.n), m = t.n_l + n_h, d = t.d;
    int64_t *order = malloc((size_t)t.n * sizeof *order);
    double *z = tw_array(m * (d + 1)), *y = tw_array(m), *w = tw_array(d + 1), *score = tw_array(t.n);
    char *taken = calloc((size_t)t.n, 1);
    dal_rng rng = host->rng(host, t.n_l ? "hints" : "draw", r->round);
    for (int64_t i = 0; i < t.n; i++) {
        order[i] = i;
        score[i] = INFINITY;
    }
    dal_rng_shuffle(&rng, order, t.n, t.n_l ? n_h : b);
    for (int64_t i = 0; i < m; i++) {
        const int64_t row = i < t.n_l ? i : t.n_l + order[i - t.n_l];
        memcpy(z + i * (d + 1), t.x + row * d, (size_t)d * sizeof *z);
        z[i * (d + 1) + d] = 1;
    }
    for (int64_t p = 0; p < t.problems; p++) {
        memcpy(y, t.y + p * t.n_l, (size_t)t.n_l * sizeof *y);
        best_machine(z, y, m, d, opt->c_labelled,
                     opt->c_hints * (opt->hint_weight == SHARE ? t.n_l / fmax(1, (double)n_h) : 1), w);
        for (int64_t i = 0; i < t.n; i++) {
            double f = w[d];
            for (int64_t j = 0; j < d; j++)
                f += w[j] * t.x[(t.n_l + i) * d + j];
            score[i] = fmin(score[i], fabs(f));
        }
    }
    for (int64_t i = 0; i < t.n; i++)
        score[i] = score[i] < 1e-6 ? 0 : score[i];
    for (int64_t k = 0; k < b; k++) {
        rows[k] = t.n_l ? tw_best(score, taken, t.n, opt->rule == SMALLEST ? 1 : -1) : order[k];
        taken[rows[k]] = 1;
    }
    free(order);
    free(z);
    free(y);
    free(w);
    free(score);
    free(taken);
    tw_free(&t);
    return b;
}

static const fx_spec rounds[] = {{51, 40, 12, 0, 2, 8, 0, 0}, {52, 50, 20, 0, 2, 12, 0, FX_DUPLICATES},
                                 {53, 30, 16, 0, 3, 10, 0, 0}, {54, 25, 0, 0, 2, 3, 0, 0}};

Test(hintsvm, picks_what_its_slow_twin_picks)
{
    options largest = plain;
    largest.rule = 1;
    fx_twin_agrees(&hintsvm_impl, &plain, twin, rounds, 4, 10);
    fx_twin_agrees(&hintsvm_impl, &largest, twin, rounds, 2, 5);
}

Test(hintsvm, draws_the_boundary_through_the_crowd)
{
    /* labels at -1 and 1, a crowd at 0.5: without hints the boundary is at 0, with hints it moves towards the crowd */
    float pool[41];
    const float known[2] = {-1, 1};
    const int32_t classes[2] = {0, 1};
    static fx_picks p;
    options opt = {100, 0, 1, SHARE, SMALLEST, 1e-10, 100000, 0};
    for (int i = 0; i < 41; i++)
        pool[i] = i < 11 ? -0.5f + 0.1f * (float)i : 0.4f + 0.005f * (float)(i - 11);
    fx_round *r = fx_round_of(41, 2, NULL, 1, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 2, classes, NULL, known);
    fx_select(r, &hintsvm_impl, &opt, 1, 1, &p);
    cr_assert_float_eq(pool[p.rows[0]], 0, 1e-6);
    opt.c_hints = 5;
    fx_select(r, &hintsvm_impl, &opt, 1, 1, &p);
    cr_assert_gt(pool[p.rows[0]], 0.15, "at %g", (double)pool[p.rows[0]]);
    fx_round_free(r);
}

Test(hintsvm, picks_in_pool_order_when_hints_leave_nothing_to_see)
{
    static fx_picks p;
    options opt = plain;
    opt.hint_weight = 1;
    const fx_spec spec = {55, 300, 4, 0, 2, 3, 0, 0};
    fx_round *r = fx_round_random(&spec);
    fx_select(r, &hintsvm_impl, &opt, 3, 1, &p);
    cr_assert(p.rows[0] == 0 && p.rows[1] == 1 && p.rows[2] == 2 && p.scores[2] == 0);
    fx_round_free(r);
}

Test(hintsvm, takes_all_shapes_of_rounds)
{
    static fx_picks p;
    options opt = plain;
    opt.tolerance = 1e-5;
    for (int64_t s = 0; s < fx_n_shapes; s++) {
        fx_round *r = fx_round_random(&fx_shapes[s]);
        fx_select(r, &hintsvm_impl, &opt, 7, 1, &p);
        fx_round_free(r);
    }
}

Test(hintsvm, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&hintsvm_impl, &plain, &rounds[0], 5);
}
