/* The hier strategy through its table; its twin builds the tree by looking at all pairs and recurses over sets. */
#include "tests/unit/strategies/tabular.h"

#include "plugins/strategies/hier.c"

static const options plain = {2, 0};

Test(hier, bounds_shares_as_in_the_worked_example)
{
    double lb, ub;
    bounds(4, 3, &lb, &ub);
    cr_assert_float_eq(lb, .283494, 1e-6);
    cr_assert_float_eq(ub, 1, 1e-12);
    bounds(4, 1, &lb, &ub);
    cr_assert_float_eq(lb, 0, 1e-12);
    cr_assert_float_eq(ub, .716506, 1e-6);
    bounds(0, 0, &lb, &ub);
    cr_assert(lb == 0 && ub == 1);
}

/* ---- twin ------------------------------------------------------------------------------------- */

typedef struct tw_tree {
    tw_table t;
    int64_t n, c;
    int64_t child[1200][2];
    double size[1200], centre[1200][40], count[1200][64], score[1200];
    int best[1200], split[1200];
    int64_t owner[600];
    int label[1200];
} tw_tree;

static void build(tw_tree *w)
{
    static char gone[1200];
    memset(gone, 0, sizeof gone);
    for (int64_t v = 0; v < 2 * w->n - 1; v++) {
        if (v < w->n) {
            w->size[v] = 1;
            memcpy(w->centre[v], w->t.x + v * w->t.d, (size_t)w->t.d * sizeof(double));
            continue;
        }
        double least = INFINITY;
        for (int64_t i = 0; i < v; i++)
            for (int64_t j = i + 1; !gone[i] && j < v; j++) {
                double sum = 0;
                for (int64_t k = 0; !gone[j] && k < w->t.d; k++)
                    sum += (w->centre[i][k] - w->centre[j][k]) * (w->centre[i][k] - w->centre[j][k]);
                sum *= w->size[i] * w->size[j] / (w->size[i] + w->size[j]);
                if (!gone[j] && sum < least) {
                    least = sum;
                    w->child[v][0] = i;
                    w->child[v][1] = j;
                }
            }
        const int64_t a = w->child[v][0], b = w->child[v][1];
        gone[a] = gone[b] = 1;
        w->size[v] = w->size[a] + w->size[b];
        for (int64_t k = 0; k < w->t.d; k++)
            w->centre[v][k] = (w->size[a] * w->centre[a][k] + w->size[b] * w->centre[b][k]) / w->size[v];
    }
}

static void tw_bound(const tw_tree *w, int64_t v, int64_t l, double *p, double *lb, double *ub)
{
    double n = 0;
    for (int64_t c = 0; c < w->c; c++)
        n += w->count[v][c];
    *p = n > 0 ? w->count[v][l] / n : 0;
    const double delta = 1 / n + sqrt(*p * (1 - *p) / n);
    *lb = n > 0 && *p > delta ? *p - delta : 0;
    *ub = n > 0 && *p + delta < 1 ? *p + delta : 1;
}

/* Scores, best labels and splits of everything under v. */
static void weigh(tw_tree *w, int64_t v)
{
    double error = 1, n = 0;
    w->best[v] = -1;
    w->split[v] = 0;
    if (v >= w->n)
        for (int k = 0; k < 2; k++) {
            weigh(w, w->child[v][k]);
            for (int64_t c = 0; c < w->c; c++)
                w->count[v][c] += w->count[w->child[v][k]][c];
        }
    for (int64_t c = 0; c < w->c; c++)
        n += w->count[v][c];
    for (int64_t l = 0; n > 0 && l < w->c; l++) {
        double p, lb, ub, q, lb_q, least = INFINITY;
        tw_bound(w, v, l, &p, &lb, &ub);
        for (int64_t c = 0; c < w->c; c++) {
            if (c == l)
                continue;
            tw_bound(w, v, c, &q, &lb_q, &ub);
            least = fmin(least, 1 - ub);
        }
        if (w->count[v][l] > 0 && 1 - lb < 2 * least && (w->best[v] < 0 || 1 - p < error)) {
            error = 1 - p;
            w->best[v] = (int)l;
        }
    }
    w->score[v] = error;
    if (v >= w->n && w->best[v] >= 0) {
        const int64_t a = w->child[v][0], b = w->child[v][1];
        const double below = (w->size[a] * w->score[a] + w->size[b] * w->score[b]) / w->size[v];
        w->split[v] = below < error - 1e-12;
        w->score[v] = w->split[v] ? below : error;
    }
}

static void own(tw_tree *w, int64_t v, int64_t by, int label)
{
    w->label[v] = w->best[v] >= 0 ? w->best[v] : label;
    if (by < 0 && !w->split[v])
        by = v;
    if (v < w->n) {
        w->owner[v] = by;
        return;
    }
    own(w, w->child[v][0], by, w->label[v]);
    own(w, w->child[v][1], by, w->label[v]);
}

static double tw_weight(const tw_tree *w, int64_t v)
{
    double p, lb = 0, ub;
    if (w->label[v] >= 0)
        tw_bound(w, v, w->label[v], &p, &lb, &ub);
    return w->size[v] * (1 - lb);
}

static int64_t n_prunings; /* with candidates, of the last tree: to know that the tests have seen some */

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    static tw_tree w;
    const options *opt = options_;
    memset(&w, 0, sizeof w);
    w.t = tw_make(r, opt->standardise);
    w.n = w.t.n_l + w.t.n;
    w.c = r->c < 60 ? r->c : 60;
    build(&w);
    for (int64_t i = 0; i < w.t.n_l; i++)
        w.count[i][r->set[DAL_ROWS_LABELLED].classes[i] % 60]++;
    weigh(&w, 2 * w.n - 2);
    own(&w, 2 * w.n - 2, -1, -1);
    dal_rng rng = host->rng(host, "draw", r->round);
    char *taken = calloc((size_t)w.t.n, 1);
    n_prunings = 0;
    for (int64_t pick = 0; pick < b; pick++) {
        int64_t order[600], n_order = 0, places = 0;
        double total = 0;
        /* nodes by their first candidate, picked or not */
        for (int64_t i = w.t.n_l; i < w.n; i++) {
            int known = 0;
            for (int64_t k = 0; k < n_order; k++)
                known |= order[k] == w.owner[i];
            if (!known)
                order[n_order++] = w.owner[i];
        }
        n_prunings = n_order > n_prunings ? n_order : n_prunings;
        int has[600] = {0};
        for (int64_t k = 0; k < n_order; k++) {
            for (int64_t i = w.t.n_l; i < w.n; i++)
                has[k] += w.owner[i] == order[k] && !taken[i - w.t.n_l];
            total += has[k] ? tw_weight(&w, order[k]) : 0;
        }
        double u = dal_rng_uniform(&rng) * total;
        int64_t node = -1;
        for (int64_t k = 0; k < n_order && (node < 0 || u >= 0); k++)
            if (has[k]) {
                node = order[k];
                places = has[k];
                u -= tw_weight(&w, node);
            }
        int64_t skip = dal_rng_below(&rng, places);
        for (int64_t i = 0; i < w.t.n; i++)
            if (w.owner[w.t.n_l + i] == node && !taken[i] && skip-- == 0) {
                rows[pick] = i;
                taken[i] = 1;
                break;
            }
    }
    free(taken);
    tw_free(&w.t);
    return b;
}

Test(hier, draws_what_its_slow_twin_draws)
{
    /* well labelled, so that there are splits; and the common shapes in which no two distances are equal */
    static const fx_spec rich[] = {{31, 60, 120, 0, 2, 6, 0, 0}, {32, 150, 150, 0, 3, 4, 0, 0},
                                   {33, 100, 200, 0, 4, 3, 0, 0}};
    int64_t most = 0;
    for (int k = 0; k < 3; k++) {
        fx_twin_agrees(&hier_impl, &plain, twin, &rich[k], 1, 30);
        most = n_prunings > most ? n_prunings : most;
    }
    cr_assert_gt(most, 2, "no tree was split");
    for (int64_t s = 0; s < fx_n_shapes; s++)
        if (!(fx_shapes[s].odd & (FX_DUPLICATES | FX_ZERO_ROWS)) && fx_shapes[s].n < 200)
            fx_twin_agrees(&hier_impl, &plain, twin, &fx_shapes[s], 1, 0);
}

Test(hier, draws_where_less_is_known)
{
    /* two far clusters of 50 candidates, each of one class: 40 labels in the left one, 6 in the right one */
    enum { N = 100, L = 46 };
    float pool[N], known[L];
    int32_t classes[L];
    int64_t right = 0;
    static fx_picks p;
    for (int i = 0; i < N; i++)
        pool[i] = (float)(i % 2 ? 1000 + i : i);
    for (int i = 0; i < L; i++) {
        known[i] = (float)(i < 40 ? 2 * i + 0.4 : 1000.4 + 10 * i - 400);
        classes[i] = i >= 40;
    }
    fx_round *r = fx_round_of(N, 2, NULL, 1, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, L, classes, NULL, known);
    for (uint64_t seed = 0; seed < 40; seed++) {
        fx_select(r, &hier_impl, &plain, 5, seed, &p);
        for (int i = 0; i < 5; i++) {
            right += p.rows[i] % 2;
            cr_assert_float_eq(p.scores[i], p.rows[i] % 2 ? 1. / 6 : 1. / 40, 1e-12);
        }
    }
    /* 56 / 6 against 90 / 40: 0.81 of them */
    cr_assert(right >= 140 && right <= 180, "%lld of 200 picks are where less is known", (long long)right);
    fx_round_free(r);
}

Test(hier, is_a_uniform_sample_while_nothing_is_labelled)
{
    static const float pool[4] = {0, 1, 10, 100};
    static fx_picks p;
    int64_t firsts[4] = {0};
    fx_round *r = fx_round_of(4, 2, NULL, 1, pool);
    for (uint64_t seed = 0; seed < 200; seed++) {
        fx_select(r, &hier_impl, &plain, 2, seed, &p);
        firsts[p.rows[0]]++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert(firsts[i] >= 30 && firsts[i] <= 70, "%d comes first %d times", i, (int)firsts[i]);
    fx_round_free(r);
}

Test(hier, takes_rounds_of_copies_and_zeros)
{
    static fx_picks p;
    for (int64_t s = 0; s < fx_n_shapes; s++) {
        fx_round *r = fx_round_random(&fx_shapes[s]);
        fx_select(r, &hier_impl, &plain, 20, 1, &p);
        fx_round_free(r);
    }
}

Test(hier, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&hier_impl, &plain, &fx_shapes[0], 5);
}
