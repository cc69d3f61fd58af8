/* coremse, corelog: the samples whose label is expected to improve the predictions for others most.
 *
 * Tan, Du, Buntine, "Diversity enhanced active learning with strictly proper scoring rules", NeurIPS 2021 (BEMPS),
 * with K stochastic passes P_k for the ensemble, p = mean_k P_k and J(y, y') = mean_k P_k(x, y) P_k(x', y'):
 *
 *     X' = a random sample of the pool
 *     for each x:                                                     dal/joint.h
 *         coremse  v_x = ( sum_{y,y'} J^2 / p(x, y) - sum_y' p(x', y')^2 )_{x' in X'}       Brier score
 *         corelog  v_x = ( sum_{y,y'} J ln( J / (p(x, y) p(x', y')) ) )_{x' in X'}          log score
 *     V = the top_frac of the samples with the largest sum of v_x (at least b)              their "Top_T"
 *     k-means with b clusters on { v_x / ||v_x||, x in V }, the sample nearest each centre  algorithm 2
 *
 * `batch_mode: top` stops at the b largest sums. With coremse v_x = H g_x for a matrix H [|X'|, K (K + 1) / 2] of
 * X' alone, so that the sums take O(K^2) a sample whatever X' is, and for clusters v_x may be turned into the
 * K (K + 1) / 2 dimensions it spans, which changes no distance: where X' has more samples, that is done.
 *
 * Where we differ: the authors' corelog has p p/q for p ln(p/q); ALScope has the divergence the other way round,
 * an X' of its own for each part of the pool, and picks other samples than it scored. A centre takes a sample of
 * its own cluster, so that no two share one; of those equally near (the two of a pair always are) that of the
 * larger sum. One start of k-means, up to 300 iterations (dal/kmeans.h).
 *
 * Needs passes with the same mask for all samples. coremse O(n (K^2 c + K^2)), corelog O(K n |X'| c^2), then
 * k-means; 4 top_frac n min(|X'|, K^2/2) (corelog: 4 top_frac n |X'|) bytes beside the passes. The score of a pick
 * is the mean of v_x. NaN in any pass is an error.
 */
#include <dal/joint.h>
#include <dal/kmeans.h>
#include <dal/linalg.h>
#include <dal/select.h>
#include <dal/symmetric.h>
#include <dal/topk.h>

#include <math.h>

#define ROWS 16    /* scored by a task */
#define CHUNK 2048 /* scored before the worst are let go */
#define MAX_ITERATIONS 300
#define SAME 1e-5     /* distances of unit vectors that rounding may have told apart */
#define MAX_TURN 1024 /* dimensions worth the eigenvectors */

#define BATCH_CLUSTER 0u
#define BATCH_TOP 1u

typedef struct options {
    int64_t passes;
    double xprime_frac, top_frac;
    uint32_t batch_mode;
} options;

typedef struct bemps {
    const dal_host *host;
    const options *opt;
    const dal_view *view;
    dal_tensor3 t; /* [passes, n, c] */
    uint32_t kind;
    int64_t m, *xprime;  /* [m] rows: X' */
    int64_t width;       /* coremse: of a Gram matrix */
    double *sum_h;       /* [width] over X' */
    float *turn;         /* [d, width] v_x = turn g_x, H or what keeps its distances */
    dal_joint targets;   /* corelog: X' */
    int64_t d;           /* of v_x; 0: not wanted */
    int64_t room, keep;  /* rows below; how many of them stay */
    int64_t n;           /* so far */
    int64_t *rows;       /* [room] V, ascending */
    double *totals;      /* [room] sum of v_x */
    float *v;            /* [room, d] */
    int64_t first;       /* of this chunk */
} bemps;

static dal_status no_memory(const bemps *s, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the scores of %lld candidates", (long long)s->t.rows);
}

static dal_status not_a_number(const bemps *s, int64_t row, dal_error *err)
{
    return dal_fail(err, DAL_E_INVALID, "", "the passes over sample %lld hold a value that is not a number; did "
                    "the model diverge?", (long long)s->view->ids(s->view, DAL_ROWS_CANDIDATES)[row]);
}

static void *take(const bemps *s, int64_t rows, int64_t cols, size_t size)
{
    int64_t n;
    return dal_size_mul(rows, cols, &n) ? dal_array(s->host, n, size) : NULL;
}

/* ---- X' --------------------------------------------------------------------------------------- */

static dal_status draw_xprime(bemps *s, dal_error *err)
{
    const int64_t n = s->t.rows, m = (int64_t)(s->opt->xprime_frac * (double)n + 0.5);
    dal_rng r = s->host->rng(s->host, "x-prime", s->view->round);
    s->m = m < 1 ? 1 : m > n ? n : m;
    s->xprime = dal_array(s->host, n, sizeof *s->xprime);
    if (!s->xprime)
        return no_memory(s, err);
    for (int64_t i = 0; i < n; i++)
        s->xprime[i] = i;
    dal_rng_shuffle(&r, s->xprime, n, s->m);
    return DAL_OK;
}

typedef struct square_job {
    const bemps *s;
    const float *h;
    double *a;
} square_job;

#define SQUARE_ROWS 64

/* Some rows of the lower triangle of a = H'H. */
static dal_status square_task(void *ctx, int64_t t)
{
    const square_job *j = ctx;
    const int64_t w = j->s->width, first = t * SQUARE_ROWS;
    const int64_t end = first + SQUARE_ROWS < w ? first + SQUARE_ROWS : w;
    memset(j->a + first * w, 0, (size_t)((end - first) * w) * sizeof *j->a);
    for (int64_t x = 0; x < j->s->m; x++) {
        const float *h = j->h + x * w;
        for (int64_t i = first; i < end; i++)
            for (int64_t k = 0; k <= i; k++)
                j->a[i * w + k] += (double)h[i] * (double)h[k];
    }
    return DAL_OK;
}

/* turn = D^(1/2) E of H'H = E' D E: (g - g')' H'H (g - g') is the squared distance of v_x and v_x'. */
static dal_status turn_of(bemps *s, const float *h, dal_error *err)
{
    const int64_t w = s->width;
    double *a = take(s, w, w, sizeof *a), *values = dal_array(s->host, w, sizeof *values);
    square_job j = {s, h, a};
    dal_status st = a && values ? DAL_OK : no_memory(s, err);
    if (st == DAL_OK)
        st = s->host->parallel_for(s->host, (w + SQUARE_ROWS - 1) / SQUARE_ROWS, square_task, &j);
    if (st == DAL_OK)
        st = dal_eigen(s->host, w, a, values, err);
    for (int64_t i = 0; st == DAL_OK && i < w; i++)
        for (int64_t k = 0; k < w; k++)
            s->turn[i * w + k] = (float)(values[i] > 0 ? sqrt(values[i]) * a[i * w + k] : 0);
    s->host->free(s->host, a);
    s->host->free(s->host, values);
    return st;
}

static dal_status coremse_prepare(bemps *s, dal_error *err)
{
    const int64_t w = s->width = s->t.passes * (s->t.passes + 1) / 2;
    const int turns = w < s->m && w <= MAX_TURN;
    s->d = s->opt->batch_mode == BATCH_TOP ? 0 : turns ? w : s->m;
    float *h = take(s, s->m, w, sizeof *h);
    s->sum_h = dal_array(s->host, w, sizeof *s->sum_h);
    s->turn = take(s, s->d, w, sizeof *s->turn);
    dal_status st = h && s->sum_h && s->turn ? DAL_OK : no_memory(s, err);
    if (st == DAL_OK)
        st = dal_joint_grams(s->host, &s->t, s->kind, s->xprime, 0, s->m, 0, h, err);
    for (int64_t i = 0; st == DAL_OK && i < w; i++)
        s->sum_h[i] = 0;
    for (int64_t x = 0; st == DAL_OK && x < s->m; x++) {
        if (isnan(h[x * w]))
            st = not_a_number(s, s->xprime[x], err);
        for (int64_t i = 0; st == DAL_OK && i < w; i++)
            s->sum_h[i] += (double)h[x * w + i];
    }
    if (st == DAL_OK && turns && s->d > 0)
        st = turn_of(s, h, err);
    else if (st == DAL_OK)
        memcpy(s->turn, h, (size_t)(s->d * w) * sizeof *h);
    s->host->free(s->host, h);
    return st;
}

static dal_status corelog_prepare(bemps *s, dal_error *err)
{
    int64_t bad;
    s->d = s->opt->batch_mode == BATCH_TOP ? 0 : s->m;
    const dal_status st = dal_joint_pack(s->host, &s->t, s->kind, s->xprime, s->m, &s->targets, &bad, err);
    return bad >= 0 ? not_a_number(s, bad, err) : st;
}

/* ---- v_x and its sum -------------------------------------------------------------------------- */

/* Some rows: totals [n], v [n, d]. */
typedef dal_status score_rows(const bemps *s, int64_t first, int64_t n, double *totals, float *v);

static dal_status coremse_rows(const bemps *s, int64_t first, int64_t n, double *totals, float *v)
{
    float *g = take(s, n, s->width, sizeof *g);
    dal_status st = g ? dal_joint_grams(s->host, &s->t, s->kind, NULL, first, n, 1, g, NULL) : DAL_E_NOMEM;
    for (int64_t x = 0; st == DAL_OK && x < n; x++) {
        const float *gx = g + x * s->width;
        totals[x] = 0;
        for (int64_t i = 0; i < s->width; i++)
            totals[x] += s->sum_h[i] * (double)gx[i];
        for (int64_t i = 0; i < s->d; i++)
            v[x * s->d + i] = (float)dal_dot(s->turn + i * s->width, gx, s->width);
    }
    s->host->free(s->host, g);
    return st;
}

static dal_status corelog_rows(const bemps *s, int64_t first, int64_t n, double *totals, float *v)
{
    return dal_joint_rows(s->host, &s->t, s->kind, first, n, &s->targets, totals, s->d > 0 ? v : NULL, NULL);
}

typedef struct score_job {
    bemps *s;
    score_rows *score;
    int64_t n; /* rows of this chunk */
} score_job;

static dal_status score_task(void *ctx, int64_t i)
{
    const score_job *j = ctx;
    bemps *s = j->s;
    const int64_t at = i * ROWS, n = j->n - at < ROWS ? j->n - at : ROWS;
    if (s->host->cancelled(s->host))
        return DAL_E_CANCELLED;
    return j->score(s, s->first + at, n, s->totals + s->n + at, s->v + (s->n + at) * s->d);
}

/* Keep the best, in the order of the pool. */
static dal_status let_go(bemps *s, dal_error *err)
{
    dal_topk best;
    int64_t kept = 0;
    if (s->n <= s->keep)
        return DAL_OK;
    double *scores = dal_array(s->host, s->keep, sizeof *scores);
    int64_t *index = dal_array(s->host, s->keep, sizeof *index);
    char *stays = dal_array(s->host, s->n, 1);
    const dal_status st = scores && index && stays ? DAL_OK : no_memory(s, err);
    if (st == DAL_OK) {
        memset(stays, 0, (size_t)s->n);
        dal_topk_init(&best, s->keep, DAL_LARGEST_FIRST, scores, index);
        dal_topk_push(&best, s->totals, 0, s->n);
        for (int64_t i = 0; i < s->keep; i++)
            stays[index[i]] = 1;
    }
    for (int64_t i = 0; st == DAL_OK && i < s->n; i++)
        if (stays[i]) {
            s->rows[kept] = s->rows[i];
            s->totals[kept] = s->totals[i];
            memmove(s->v + kept++ * s->d, s->v + i * s->d, (size_t)s->d * sizeof *s->v);
        }
    s->n = st == DAL_OK ? kept : 0;
    s->host->free(s->host, scores);
    s->host->free(s->host, index);
    s->host->free(s->host, stays);
    return st;
}

/* V, chunk by chunk. */
static dal_status score_pool(bemps *s, score_rows *score, dal_error *err)
{
    const int64_t all = s->t.rows;
    dal_status st = DAL_OK;
    for (s->first = 0; st == DAL_OK && s->first < all; s->first += CHUNK) {
        score_job j = {s, score, all - s->first < CHUNK ? all - s->first : CHUNK};
        s->host->progress(s->host, s->first, all, "scores");
        st = s->host->parallel_for(s->host, (j.n + ROWS - 1) / ROWS, score_task, &j);
        if (st != DAL_OK)
            return st == DAL_E_CANCELLED ? dal_fail(err, st, "", "interrupted") : no_memory(s, err);
        for (int64_t i = 0; i < j.n; i++) {
            s->rows[s->n + i] = s->first + i;
            if (isnan(s->totals[s->n + i]))
                return not_a_number(s, s->first + i, err);
        }
        s->n += j.n;
        st = let_go(s, err);
    }
    return st;
}

/* ---- the batch -------------------------------------------------------------------------------- */

static void pick_top(const bemps *s, int64_t b, int64_t *picks, double *totals)
{
    dal_topk best;
    dal_topk_init(&best, b, DAL_LARGEST_FIRST, totals, picks);
    dal_topk_push(&best, s->totals, 0, s->n);
    dal_topk_sort(&best);
}

static void to_unit_length(bemps *s)
{
    for (int64_t i = 0; i < s->n; i++) { /* a sample that tells nothing stays 0 */
        float *v = s->v + i * s->d;
        const double length = sqrt(dal_dot(v, v, s->d));
        for (int64_t x = 0; length > 0 && x < s->d; x++)
            v[x] = (float)((double)v[x] / length);
    }
}

#define NAMED (-1)

static int64_t largest_left(const bemps *s, const int32_t *cluster)
{
    int64_t best = -1;
    for (int64_t i = 0; i < s->n; i++)
        if (cluster[i] != NAMED && (best < 0 || s->totals[i] > s->totals[best]))
            best = i;
    return best;
}

/* Of the samples of a cluster that are as near as the nearest, the one of the largest sum; a cluster without
 * samples (when there are fewer directions than b) takes the largest sum left. */
static void name_samples(const bemps *s, int64_t b, int32_t *cluster, const float *distance, double *nearest,
                         int64_t *picks)
{
    for (int64_t k = 0; k < b; k++) {
        nearest[k] = (double)INFINITY;
        picks[k] = -1;
    }
    for (int64_t i = 0; i < s->n; i++)
        nearest[cluster[i]] = fmin(nearest[cluster[i]], sqrt((double)distance[i]));
    for (int64_t i = 0; i < s->n; i++) {
        int64_t *pick = &picks[cluster[i]];
        const int near = sqrt((double)distance[i]) <= nearest[cluster[i]] + SAME;
        if (near && (*pick < 0 || s->totals[i] > s->totals[*pick]))
            *pick = i;
    }
    for (int64_t k = 0; k < b; k++)
        if (picks[k] >= 0)
            cluster[picks[k]] = NAMED;
    for (int64_t k = 0; k < b; k++)
        if (picks[k] < 0) {
            picks[k] = largest_left(s, cluster);
            cluster[picks[k]] = NAMED;
        }
}

static dal_status pick_clusters(bemps *s, int64_t b, int64_t *picks, double *totals, dal_error *err)
{
    const dal_rng stream = s->host->rng(s->host, "k-means", s->view->round);
    const dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = {s->v, s->n, s->d, s->d}, .k = b,
                                        .starts = 1, .max_iterations = MAX_ITERATIONS, .tolerance = 1e-4};
    dal_kmeans_result out = {.struct_size = sizeof out};
    out.assignment = dal_array(s->host, s->n, sizeof *out.assignment);
    out.distance = dal_array(s->host, s->n, sizeof *out.distance);
    dal_status st = out.assignment && out.distance ? DAL_OK : no_memory(s, err);
    if (st == DAL_OK) {
        to_unit_length(s);
        st = dal_kmeans(s->host, &problem, &stream, &out, err);
    }
    if (st == DAL_OK)
        name_samples(s, b, out.assignment, out.distance, totals, picks);
    for (int64_t i = 0; st == DAL_OK && i < b; i++)
        totals[i] = s->totals[picks[i]];
    s->host->free(s->host, out.assignment);
    s->host->free(s->host, out.distance);
    return st;
}

static dal_status pick_batch(bemps *s, int64_t b, dal_picks *picks, dal_error *err)
{
    int64_t *rows = dal_array(s->host, b, sizeof *rows);
    dal_status st = rows ? DAL_OK : no_memory(s, err);
    if (st == DAL_OK && s->d > 0 && b < s->n)
        st = pick_clusters(s, b, rows, picks->scores, err);
    else if (st == DAL_OK)
        pick_top(s, b, rows, picks->scores);
    for (int64_t i = 0; st == DAL_OK && i < b; i++) {
        rows[i] = s->rows[rows[i]];
        picks->scores[i] /= (double)s->m;
    }
    if (st == DAL_OK)
        dal_pick_rows(s->view, rows, NULL, b, picks);
    s->host->free(s->host, rows);
    return st;
}

static dal_status take_rows(bemps *s, int64_t b, dal_error *err)
{
    const int64_t n = s->t.rows, top = (int64_t)(s->opt->top_frac * (double)n + 0.5);
    s->keep = top > b ? top : b;
    s->room = s->keep + CHUNK < n ? s->keep + CHUNK : n;
    s->rows = dal_array(s->host, s->room, sizeof *s->rows);
    s->totals = dal_array(s->host, s->room, sizeof *s->totals);
    s->v = take(s, s->room, s->d, sizeof *s->v);
    return s->rows && s->totals && s->v ? DAL_OK : no_memory(s, err);
}

static dal_status bemps_select(const dal_stateless *self, const dal_view *view, dal_picks *picks,
                               dal_status (*prepare)(bemps *s, dal_error *err), score_rows *score, dal_error *err)
{
    const dal_host *host = self->host;
    bemps s = {.host = host, .opt = self->options, .view = view, .kind = view->mc_kind};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = view->mc(view, DAL_ROWS_CANDIDATES, s.opt->passes, &s.t, err);
    if (st == DAL_OK)
        st = draw_xprime(&s, err);
    if (st == DAL_OK)
        st = prepare(&s, err);
    if (st == DAL_OK)
        st = take_rows(&s, picks->want, err);
    if (st == DAL_OK)
        st = score_pool(&s, score, err);
    if (st == DAL_OK)
        st = pick_batch(&s, picks->want, picks, err);
    host->free(host, s.xprime);
    host->free(host, s.sum_h);
    host->free(host, s.turn);
    host->free(host, s.rows);
    host->free(host, s.totals);
    host->free(host, s.v);
    dal_joint_free(&s.targets);
    return st;
}

static dal_status coremse_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return bemps_select(self, view, picks, coremse_prepare, coremse_rows, err);
}

static dal_status corelog_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return bemps_select(self, view, picks, corelog_prepare, corelog_rows, err);
}

/* ---- cost ------------------------------------------------------------------------------------- */

/* Of k-means on `kept` vectors of d, and what leads there. */
static void cost_of(const options *opt, const dal_problem *problem, double d, double scoring, dal_cost *out)
{
    const double n = (double)problem->n, b = (double)problem->n_query;
    const double kept = opt->top_frac * n > b ? opt->top_frac * n : b;
    const int clusters = opt->batch_mode == BATCH_CLUSTER;
    out->bytes += 24 * n + (kept + CHUNK) * (33 + (clusters ? 4 * d + 40 : 0)) + (clusters ? 4 * b * d : 0) + 16e6;
    out->flops = scoring + (clusters ? 2 * 30 * kept * b * d : 0); /* some thirty iterations, in practice fewer */
}

static void coremse_cost(void *self, const void *opt_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : opt_;
    const double n = (double)problem->n, k = (double)opt->passes, w = k * (k + 1) / 2;
    const double m = opt->xprime_frac * n + 1, d = w < m && w <= MAX_TURN ? w : m;
    out->bytes = 4 * m * w + 4 * d * w + (d < m ? 24 * w * w : 0);
    const double turning = d < m ? m * w * w + 10 * w * w * w : 0;
    cost_of(opt, problem, d, n * 2 * w * ((double)problem->c + d + 1) + turning, out);
    snprintf(out->formula, sizeof out->formula, "O(n K^2 c) time + k-means, O(n min(|X'|, K^2)) memory");
}

static void corelog_cost(void *self, const void *opt_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : opt_;
    const double n = (double)problem->n, k = (double)opt->passes, c = (double)problem->c;
    const double m = opt->xprime_frac * n + 1;
    out->bytes = 4 * (m + 16) * c * (k + 1);
    cost_of(opt, problem, m, n * m * c * c * (2 * k + 30), out);
    snprintf(out->formula, sizeof out->formula, "O(K n |X'| c^2) time + k-means, O(n |X'|) memory");
}

static const dal_strategy_impl coremse_impl = {
    .struct_size = sizeof coremse_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = coremse_select,
    .cost = coremse_cost,
};

static const dal_strategy_impl corelog_impl = {
    .struct_size = sizeof corelog_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = corelog_select,
    .cost = corelog_cost,
};

#define COMMON(P, T, part)                                                                                    \
    P(T, passes, I64, "10", "2..1000", "passes", "K, stochastic passes over each sample")                     \
    P(T, xprime_frac, F64, part, "(0..1]", "", "of the candidates are X', the samples to be improved")        \
    P(T, top_frac, F64, "0.5", "(0..1]", "", "of the candidates, the largest sums, are clustered")            \
    P(T, batch_mode, CHOICE, "cluster", "cluster|top", "", "one of each of b clusters, or the b largest sums")
#define COREMSE_PARAMS(P, T) COMMON(P, T, "0.1")
#define CORELOG_PARAMS(P, T) COMMON(P, T, "0.01")
#define COMPONENTS(C)                                                                                          \
    C(STRATEGY, "coremse", coremse_impl, "largest expected gain in Brier score over a sample of the pool",     \
      "Tan, Du, Buntine, NeurIPS 2021", DAL_CAP_MC, "", options, COREMSE_PARAMS)                               \
    C(STRATEGY, "corelog", corelog_impl, "largest expected gain in log score over a sample of the pool",       \
      "Tan, Du, Buntine, NeurIPS 2021", DAL_CAP_MC, "", options, CORELOG_PARAMS)
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "coremse",                                                                            \
      "k-means on v_x / ||v_x||, v_x = (sum_{y,y'} J^2 / p(x,y) - sum_y' p(x',y')^2) over x' of a "   \
      "sample X' of the pool, of the x of largest sums",                                              \
      "a centre takes a sample of its own cluster; ALScope has an X' for each part of the pool and "  \
      "returns other samples than it scored")                                                         \
    A(STRATEGY, "corelog",                                                                            \
      "k-means on v_x / ||v_x||, v_x = (sum_{y,y'} J ln(J / (p(x,y) p(x',y')))) over x' of a sample " \
      "X' of the pool, of the x of largest sums",                                                     \
      "p ln(p/q), where the authors' code has p p/q and ALScope the divergence the other way round")
DAL_MODULE_ABOUT(bemps, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
