/* coreset-cb: far from everything chosen, and of the classes that are short of labels.
 *
 * Bengar, van de Weijer, Lopez Fuentes, Raducanu, "Class-balanced active learning for image classification",
 * WACV 2022, section 3.3, algorithm 2 (greedy, without their mixed-integer step). Omega_c is how many labels
 * class c lacks to an even share (dal_class_need), m_i the distance of sample i from the nearest labelled or
 * chosen one, P the class probabilities. b times:
 *
 *     i* = argmin_i  -m_i + lambda / C sum_c |Omega_c - A_c - p_ic|        A_c: sum of p_c over the chosen
 *     A = A + p_i*
 *
 * Ties go to the lowest pool index. With nothing labelled the first pick goes by balance alone. m is a distance
 * in feature space, so lambda depends on the scale of the features; `scaled` divides m by its mean before the
 * first pick. The default of lambda is that of ALScope for CIFAR-10, CIFAR-100 and others. ALScope's Omega
 * assumes that 2 b labels were there at first, and breaks when a class has none. The score is the criterion,
 * smaller is better.
 *
 * Neither term is computed anew a pick. |R_c - p| with R = Omega - A is linear in p but for 0 < R_c < 1: the
 * linear classes are summed once, at each pick only those in between are looked at. And m only falls, so that
 * an old m gives a lower bound of the criterion; only samples that come out first are measured against the
 * latest picks.
 *
 * Needs outputs and features. O(n n_l d) in matrix products, then O(n (b + c)) and n b distances of d at most, in
 * practice a few per cent; 4 n c + 36 n bytes.
 */
#include <dal/kcenter.h>
#include <dal/linalg.h>
#include <dal/select.h>

#include <math.h>

#define TILE 256 /* rows whose best is remembered together */

typedef struct options {
    double lambda;
    int32_t scaled;
} options;

typedef struct greedy {
    const dal_host *host;
    dal_matrix x;      /* [n, d] */
    int64_t n, c;
    float *p;          /* [c, n] probabilities, a class after the other */
    double *need;      /* [c] R = Omega - A */
    int8_t *sign;      /* [c] of p_c in |R_c - p_c|: -1 for R_c >= 1, 1 for R_c <= 0, 0 in between */
    int8_t base;       /* the sign of most classes; p sums to 1, so that they need not be summed */
    double *balance;   /* [n] sum of (sign - base) p_c */
    double weight;     /* lambda / C */
    double scale;      /* of distances */
    float *m;          /* [n] squared distance from what was chosen up to pick seen[i]; -1: chosen */
    int64_t *seen;     /* [n] */
    double *penalty;   /* [n] the second term of the criterion for the next pick */
    double *value;     /* [n] the criterion, or a lower bound while seen[i] < n_picks */
    int64_t *best;     /* [tiles] the first of each tile by value; -1: all chosen */
    int64_t *picks, n_picks;
} greedy;

static int64_t tiles(const greedy *g)
{
    return (g->n + TILE - 1) / TILE;
}

/* ---- balance ---------------------------------------------------------------------------------- */

static int8_t sign_of(double need)
{
    return need >= 1 ? -1 : need <= 0 ? 1 : 0;
}

/* Begin where every class has the sign of the most. */
static void begin_signs(greedy *g)
{
    int64_t positive = 0;
    for (int64_t k = 0; k < g->c; k++)
        positive += sign_of(g->need[k]) > 0;
    g->base = 2 * positive > g->c ? 1 : -1;
    memset(g->sign, g->base, (size_t)g->c);
    memset(g->balance, 0, (size_t)g->n * sizeof *g->balance);
}

/* Keep balance true to the signs of all classes. */
static void follow_signs(greedy *g)
{
    for (int64_t k = 0; k < g->c; k++) {
        const double change = sign_of(g->need[k]) - g->sign[k];
        const float *p = g->p + k * g->n;
        for (int64_t i = 0; change < 0 || change > 0 ? i < g->n : 0; i++)
            g->balance[i] += change * (double)p[i];
        g->sign[k] = sign_of(g->need[k]);
    }
}

/* The part of sum_c |R_c - p_c| that is the same for all samples. */
static double common_need(const greedy *g)
{
    double sum = g->base;
    for (int64_t k = 0; k < g->c; k++)
        sum -= g->sign[k] * g->need[k];
    return sum;
}

/* ---- the greedy choice ------------------------------------------------------------------------ */

static double criterion(const greedy *g, int64_t i)
{
    return g->penalty[i] - g->scale * (isinf(g->m[i]) ? 0 : sqrt((double)g->m[i]));
}

static void find_best(greedy *g, int64_t t)
{
    const int64_t end = (t + 1) * TILE < g->n ? (t + 1) * TILE : g->n;
    g->best[t] = -1;
    for (int64_t i = t * TILE; i < end; i++)
        if (g->m[i] >= 0 && (g->best[t] < 0 || g->value[i] < g->value[g->best[t]]))
            g->best[t] = i;
}

/* The values of a tile for R as it is, from distances as they are. */
static dal_status value_task(void *ctx, int64_t t)
{
    greedy *g = ctx;
    const int64_t first = t * TILE, n = g->n - first < TILE ? g->n - first : TILE;
    const double common = common_need(g);
    double *penalty = g->penalty + first;
    for (int64_t i = 0; i < n; i++)
        penalty[i] = common + g->balance[first + i];
    for (int64_t k = 0; k < g->c; k++)
        for (int64_t i = 0; g->sign[k] == 0 && i < n; i++)
            penalty[i] += fabs(g->need[k] - (double)g->p[k * g->n + first + i]);
    for (int64_t i = 0; i < n; i++) {
        penalty[i] *= g->weight;
        g->value[first + i] = g->m[first + i] >= 0 ? criterion(g, first + i) : (double)INFINITY;
    }
    find_best(g, t);
    return DAL_OK;
}

/* Measure sample i against the picks it has not seen. */
static void refresh(greedy *g, int64_t i)
{
    const float *x = g->x.data + i * g->x.stride;
    for (int64_t k = g->seen[i]; k < g->n_picks; k++) {
        const float distance = dal_squared_distance(x, g->x.data + g->picks[k] * g->x.stride, g->x.cols);
        g->m[i] = distance < g->m[i] ? distance : g->m[i];
    }
    g->seen[i] = g->n_picks;
    g->value[i] = criterion(g, i);
}

/* The sample of the least true criterion. */
static int64_t settle(greedy *g)
{
    for (;;) {
        int64_t first = -1;
        for (int64_t t = 0; t < tiles(g); t++)
            if (g->best[t] >= 0 && (first < 0 || g->value[g->best[t]] < g->value[first]))
                first = g->best[t];
        if (g->seen[first] == g->n_picks)
            return first;
        refresh(g, first);
        find_best(g, first / TILE);
    }
}

static dal_status pick_all(greedy *g, int64_t want, double *scores, dal_error *err)
{
    while (g->n_picks < want) {
        if (g->host->cancelled(g->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        follow_signs(g);
        g->host->parallel_for(g->host, tiles(g), value_task, g);
        const int64_t row = settle(g);
        scores[g->n_picks] = g->value[row];
        g->m[row] = -1;
        g->picks[g->n_picks++] = row;
        for (int64_t k = 0; k < g->c; k++)
            g->need[k] -= (double)g->p[k * g->n + row];
        g->host->progress(g->host, g->n_picks, want, "picks");
    }
    return DAL_OK;
}

/* ---- the state before any pick ---------------------------------------------------------------- */

/* p, class after class. */
static dal_status take_probs(greedy *g, const dal_outputs *o, const int64_t *ids, dal_error *err)
{
    float *row = dal_array(g->host, g->c, sizeof *row);
    dal_status st = row ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld classes", (long long)g->c);
    for (int64_t i = 0; st == DAL_OK && i < g->n; i++) {
        double sum = 0;
        memcpy(row, o->values.data + i * o->values.stride, (size_t)g->c * sizeof *row);
        if (o->kind == DAL_LOGITS)
            dal_softmax(row, 1, g->c, g->c);
        for (int64_t k = 0; k < g->c; k++)
            sum += (double)(g->p[k * g->n + i] = row[k]);
        if (!isfinite(sum))
            st = dal_fail(err, DAL_E_INVALID, "", "outputs of sample %lld are not finite; did the model diverge?",
                          (long long)ids[i]);
    }
    g->host->free(g->host, row);
    return st;
}

static int take_memory(greedy *g, int64_t want)
{
    const dal_host *host = g->host;
    int64_t cells;
    g->p = dal_size_mul(g->n, g->c, &cells) ? dal_array(host, cells, sizeof *g->p) : NULL;
    g->need = dal_array(host, g->c, sizeof *g->need);
    g->sign = dal_array(host, g->c, sizeof *g->sign);
    g->balance = dal_array(host, g->n, sizeof *g->balance);
    g->m = dal_array(host, g->n, sizeof *g->m);
    g->seen = dal_array(host, g->n, sizeof *g->seen);
    g->penalty = dal_array(host, g->n, sizeof *g->penalty);
    g->value = dal_array(host, g->n, sizeof *g->value);
    g->best = dal_array(host, tiles(g), sizeof *g->best);
    g->picks = dal_array(host, want, sizeof *g->picks);
    if (!g->p || !g->need || !g->sign || !g->balance || !g->m || !g->seen || !g->penalty || !g->value ||
        !g->best || !g->picks)
        return 0;
    memset(g->seen, 0, (size_t)g->n * sizeof *g->seen);
    return 1;
}

static void give_memory(greedy *g)
{
    void *const all[] = {g->p, g->need, g->sign, g->balance, g->m, g->seen, g->penalty, g->value, g->best,
                         g->picks};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        g->host->free(g->host, all[i]);
}

/* Distances from what is labelled; infinite, which counts as 0, when nothing is. */
static dal_status measure_labelled(greedy *g, const dal_view *view, int scaled, dal_error *err)
{
    dal_matrix labelled;
    double sum = 0;
    const int any = view->count(view, DAL_ROWS_LABELLED) > 0;
    dal_status st = any ? view->features(view, DAL_ROWS_LABELLED, &labelled, err) : DAL_OK;
    if (st == DAL_OK)
        st = dal_nearest_distances(g->host, &g->x, &labelled, any, g->m, err);
    for (int64_t i = 0; st == DAL_OK && any && i < g->n; i++)
        sum += sqrt((double)g->m[i]);
    g->scale = scaled && sum > 0 ? (double)g->n / sum : 1;
    return st;
}

/* With nothing labelled, distances begin with the first pick, which is the one of the best balance. */
static dal_status begin(greedy *g, const dal_view *view, const options *opt, int64_t want, double *scores,
                        dal_error *err)
{
    dal_status st = measure_labelled(g, view, opt->scaled, err);
    if (st != DAL_OK || view->count(view, DAL_ROWS_LABELLED) > 0 || want < 1)
        return st;
    st = pick_all(g, 1, scores, err);
    for (int64_t i = 0; i < g->n; i++)
        if (i != g->picks[0] && st == DAL_OK)
            refresh(g, i);
    return st;
}

static double default_lambda(int64_t c)
{
    return c == 10 ? 5 : c == 100 ? 50 : 20;
}

static dal_status coreset_cb_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const options *opt = self->options;
    dal_outputs o;
    greedy g = {.host = self->host};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &g.x, err);
    if (st != DAL_OK)
        return st;
    g.n = g.x.rows;
    g.c = o.values.cols;
    g.weight = (opt->lambda >= 0 ? opt->lambda : default_lambda(g.c)) / (double)g.c;
    double *scores = dal_array(g.host, picks->want, sizeof *scores);
    st = scores && take_memory(&g, picks->want)
             ? take_probs(&g, &o, view->ids(view, DAL_ROWS_CANDIDATES), err)
             : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)g.n);
    if (st == DAL_OK) {
        dal_class_need(view, g.c, picks->want, g.need);
        begin_signs(&g);
        st = begin(&g, view, opt, picks->want, scores, err);
    }
    if (st == DAL_OK)
        st = pick_all(&g, picks->want, scores, err);
    if (st == DAL_OK)
        dal_pick_rows(view, g.picks, scores, g.n_picks, picks);
    g.host->free(g.host, scores);
    give_memory(&g);
    return st;
}

static void coreset_cb_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, c = (double)problem->c, d = (double)problem->d,
                 b = (double)problem->n_query;
    (void)self, (void)opt;
    out->bytes = n * (4 * c + 40) + 4 * 512 * d + 24 * b + 8e6;
    out->flops = 2 * n * (double)problem->n_labelled * d + 3 * n * b * d + 4 * n * (b + c);
    snprintf(out->formula, sizeof out->formula, "O(n n_l d + n b d + n (b + c)) time, O(n c) memory");
}

static const dal_strategy_impl coreset_cb_impl = {
    .struct_size = sizeof coreset_cb_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = coreset_cb_select,
    .cost = coreset_cb_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, lambda, F64, "-1", "-1..", "", "weight of the balance; -1: 5 for 10 classes, 50 for 100, else 20") \
    P(T, scaled, BOOL, "false", "", "", "divide distances by their mean, so that lambda means the same everywhere")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "coreset-cb", coreset_cb_impl, "k-center greedy that evens out the classes",                      \
      "Bengar et al., WACV 2022", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                   \
    A(STRATEGY, "coreset-cb",                                                                      \
      "b times argmin_i -m_i + lambda/C sum_c |Omega_c - A_c - p_ic|, m distance to labelled and " \
      "picked",                                                                                    \
      "greedy, without the mixed-integer step; Omega from n_L + b, where ALScope assumes 2 b at "  \
      "first and breaks when a class is missing")
DAL_MODULE_ABOUT(coreset_cb, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
