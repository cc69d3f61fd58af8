/* entropy-cb: uncertain samples whose predicted classes even out the labelled set.
 *
 * Bengar, van de Weijer, Lopez Fuentes, Raducanu, "Class-balanced active learning for image classification",
 * WACV 2022, equation 4. With P the class probabilities, q_i = sum_c p_ic ln p_ic and Omega_c how many labels
 * class c lacks to an even share (dal_class_need),
 *
 *     min over z in {0,1}^n, sum z = b of   sum_i z_i q_i + lambda || P'z - Omega ||_1
 *
 * The authors hand this to a commercial solver, ALScope with a limit of 1000 s. Here: the norm is the maximum
 * of u (P'z - Omega) over -lambda <= u <= lambda, so that every u gives a lower bound, reached by the b samples
 * of the smallest q + P u. Subgradient steps
 *
 *     u <- clip(u + eta_t (P'z - Omega)),   eta_t = eta / sqrt(t)
 *
 * look for the best bound and keep the best z they meet; swaps of a chosen sample for one of the 1000 best
 * others follow while they help. The objective is logged with how far from the optimum it can be at most.
 * ALScope's Omega assumes that 2 b labels were there at first, and its program has a row too few when a class
 * has none.
 *
 * lambda = 0 is `entropy`. Its default is that of ALScope for CIFAR-10, CIFAR-100, Tiny-ImageNet and others.
 * Picks come by falling entropy, which is their score; ties go to the lowest pool index.
 *
 * Needs outputs. O(iterations n c + swaps), 4 n c + 24 n bytes.
 */
#include <dal/linalg.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>
#include <stdlib.h>

#define TILE 512
#define OTHERS 1000  /* samples that may come in by a swap */
#define MAX_ROUNDS 50 /* of swaps; it ends by itself long before */

typedef struct options {
    double lambda;
    int64_t iterations;
} options;

typedef struct program {
    const dal_host *host;
    int64_t n, c, b;
    double lambda;
    float *p;        /* [n, c] */
    double *q;       /* [n] */
    double *need;    /* [c] Omega */
    float *u;        /* [c] */
    double *reduced; /* [n] q + P u */
    /* the best so far */
    int64_t *rows;   /* [b] the chosen */
    double *excess;  /* [c] P'z - Omega */
    double objective, bound;
    float *best_u;   /* [c] */
    /* scratch */
    int64_t *trial;  /* [b + OTHERS] */
    double *keys;    /* [b + OTHERS] */
    double *trial_excess; /* [c] */
} program;

static double l1(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += fabs(x[k]);
    return sum;
}

/* ---- dual ascent ------------------------------------------------------------------------------ */

static dal_status reduce_task(void *ctx, int64_t t)
{
    const program *g = ctx;
    for (int64_t i = t * TILE; i < g->n && i < (t + 1) * TILE; i++)
        g->reduced[i] = g->q[i] + dal_dot(g->p + i * g->c, g->u, g->c);
    return DAL_OK;
}

/* The rows of the smallest q + P u into trial; returns how many. */
static int64_t cheapest(program *g, int64_t want)
{
    dal_topk best;
    g->host->parallel_for(g->host, (g->n + TILE - 1) / TILE, reduce_task, g);
    dal_topk_init(&best, want, DAL_SMALLEST_FIRST, g->keys, g->trial);
    dal_topk_push(&best, g->reduced, 0, g->n);
    dal_topk_sort(&best);
    return best.n;
}

/* z of the current u: its bound, and itself if it is the best yet. */
static void try_dual(program *g)
{
    double dual = 0, q = 0;
    cheapest(g, g->b);
    for (int64_t k = 0; k < g->c; k++) {
        g->trial_excess[k] = -g->need[k];
        dual -= (double)g->u[k] * g->need[k];
    }
    for (int64_t i = 0; i < g->b; i++) {
        const float *p = g->p + g->trial[i] * g->c;
        q += g->q[g->trial[i]];
        dual += g->reduced[g->trial[i]];
        for (int64_t k = 0; k < g->c; k++)
            g->trial_excess[k] += (double)p[k];
    }
    g->bound = fmax(g->bound, dual);
    const double objective = q + g->lambda * l1(g->trial_excess, g->c);
    if (objective < g->objective) {
        g->objective = objective;
        memcpy(g->rows, g->trial, (size_t)g->b * sizeof *g->rows);
        memcpy(g->excess, g->trial_excess, (size_t)g->c * sizeof *g->excess);
        memcpy(g->best_u, g->u, (size_t)g->c * sizeof *g->u);
    }
}

static dal_status ascend(program *g, int64_t iterations, dal_error *err)
{
    double eta = 0;
    g->objective = INFINITY;
    g->bound = -INFINITY;
    memset(g->u, 0, (size_t)g->c * sizeof *g->u);
    for (int64_t t = 1; t <= iterations; t++) {
        double largest = 0;
        if (g->host->cancelled(g->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        try_dual(g);
        for (int64_t k = 0; k < g->c; k++)
            largest = fmax(largest, fabs(g->trial_excess[k]));
        if (t == 1)
            eta = largest > 0 ? g->lambda / largest : 0; /* the first step reaches the edge of the box */
        for (int64_t k = 0; k < g->c; k++) {
            const double u = (double)g->u[k] + eta / sqrt((double)t) * g->trial_excess[k];
            g->u[k] = (float)fmax(-g->lambda, fmin(g->lambda, u));
        }
        g->host->progress(g->host, t, iterations, "bounds");
    }
    return DAL_OK;
}

/* ---- swaps ------------------------------------------------------------------------------------ */

/* What the objective gains when sample `out` goes and `in` comes. */
static double change(const program *g, int64_t out, int64_t in)
{
    const float *p = g->p + out * g->c, *r = g->p + in * g->c;
    double lane[4] = {0};
    int64_t k = 0;
    for (; k + 4 <= g->c; k += 4)
        for (int l = 0; l < 4; l++)
            lane[l] += fabs(g->excess[k + l] + ((double)r[k + l] - (double)p[k + l]));
    for (; k < g->c; k++)
        lane[0] += fabs(g->excess[k] + ((double)r[k] - (double)p[k]));
    return g->q[in] - g->q[out] + g->lambda * ((lane[0] + lane[1]) + (lane[2] + lane[3]) - l1(g->excess, g->c));
}

static void swap(program *g, int64_t at, int64_t other, double by)
{
    const int64_t out = g->rows[at], in = g->trial[other];
    for (int64_t k = 0; k < g->c; k++)
        g->excess[k] += (double)g->p[in * g->c + k] - (double)g->p[out * g->c + k];
    g->rows[at] = in;
    g->trial[other] = out;
    g->objective += by;
}

/* For each chosen sample in turn the best of trial[n_others] comes in when that helps. Returns the number of
 * swaps. */
static int64_t swap_round(program *g, int64_t n_others)
{
    int64_t swaps = 0;
    for (int64_t i = 0; i < g->b; i++) {
        double least = -1e-9 * (1 + fabs(g->objective)); /* beyond rounding */
        int64_t best = -1;
        for (int64_t j = 0; j < n_others; j++) {
            const double by = change(g, g->rows[i], g->trial[j]);
            if (by < least) {
                least = by;
                best = j;
            }
        }
        if (best >= 0)
            swap(g, i, best, least);
        swaps += best >= 0;
    }
    return swaps;
}

/* The OTHERS best of those not chosen into trial; returns how many. */
static int64_t find_others(program *g)
{
    int64_t n = 0;
    memcpy(g->u, g->best_u, (size_t)g->c * sizeof *g->u); /* its cheapest b are the chosen */
    const int64_t all = cheapest(g, g->b + OTHERS < g->n ? g->b + OTHERS : g->n);
    for (int64_t i = g->b; i < all; i++)
        g->trial[n++] = g->trial[i];
    return n;
}

static dal_status improve(program *g, dal_error *err)
{
    const int64_t n_others = find_others(g);
    int64_t rounds = 0;
    while (g->lambda > 0 && rounds++ < MAX_ROUNDS && swap_round(g, n_others) > 0)
        if (g->host->cancelled(g->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
    return DAL_OK;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static int take_memory(program *g)
{
    const dal_host *host = g->host;
    int64_t cells;
    g->p = dal_size_mul(g->n, g->c, &cells) ? dal_array(host, cells, sizeof *g->p) : NULL;
    g->q = dal_array(host, g->n, sizeof *g->q);
    g->need = dal_array(host, 3 * g->c, sizeof *g->need);
    g->u = dal_array(host, 2 * g->c, sizeof *g->u);
    g->reduced = dal_array(host, g->n, sizeof *g->reduced);
    g->rows = dal_array(host, 2 * g->b + OTHERS, sizeof *g->rows);
    g->keys = dal_array(host, g->b + OTHERS, sizeof *g->keys);
    if (!g->p || !g->q || !g->need || !g->u || !g->reduced || !g->rows || !g->keys)
        return 0;
    g->excess = g->need + g->c;
    g->trial_excess = g->excess + g->c;
    g->best_u = g->u + g->c;
    g->trial = g->rows + g->b;
    return 1;
}

static void give_memory(program *g)
{
    void *const all[] = {g->p, g->q, g->need, g->u, g->reduced, g->rows, g->keys};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        g->host->free(g->host, all[i]);
}

/* P and q. */
static dal_status read_outputs(program *g, const dal_outputs *o, const int64_t *ids, dal_error *err)
{
    dal_entropy(o, g->q);
    for (int64_t i = 0; i < g->n; i++) {
        if (!isfinite(g->q[i]))
            return dal_fail(err, DAL_E_INVALID, "",
                            "outputs of sample %lld are not finite; did the model diverge?", (long long)ids[i]);
        g->q[i] = -g->q[i];
        memcpy(g->p + i * g->c, o->values.data + i * o->values.stride, (size_t)g->c * sizeof *g->p);
    }
    if (o->kind == DAL_LOGITS)
        dal_softmax(g->p, g->n, g->c, g->c);
    return DAL_OK;
}

/* g->rows by falling entropy. */
static void sort_rows(program *g)
{
    dal_topk best;
    dal_topk_init(&best, g->b, DAL_SMALLEST_FIRST, g->keys, g->trial);
    for (int64_t i = 0; i < g->b; i++)
        dal_topk_push(&best, g->q + g->rows[i], g->rows[i], 1);
    dal_topk_sort(&best);
    memcpy(g->rows, g->trial, (size_t)g->b * sizeof *g->rows);
    for (int64_t i = 0; i < g->b; i++)
        g->keys[i] = -g->keys[i];
}

static double default_lambda(int64_t c)
{
    return c == 10 ? 0.6 : c == 100 ? 2 : c == 200 ? 3 : 1;
}

static dal_status solve(program *g, const options *opt, dal_error *err)
{
    g->lambda = opt->lambda >= 0 ? opt->lambda : default_lambda(g->c);
    dal_status st = ascend(g, opt->iterations, err);
    if (st == DAL_OK)
        st = improve(g, err);
    if (st != DAL_OK)
        return st;
    sort_rows(g);
    dal_logf(g->host, DAL_LOG_INFO, "entropy-cb: objective %.6g, at most %.3g above the optimum", g->objective,
             fmax(0, g->objective - g->bound));
    return DAL_OK;
}

static dal_status entropy_cb_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    dal_outputs o;
    program g = {.host = self->host, .b = picks->want};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
    if (st != DAL_OK)
        return st;
    g.n = o.values.rows;
    g.c = o.values.cols;
    st = take_memory(&g) ? read_outputs(&g, &o, view->ids(view, DAL_ROWS_CANDIDATES), err)
                         : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)g.n);
    if (st == DAL_OK) {
        dal_class_need(view, g.c, g.b, g.need);
        st = solve(&g, self->options, err);
    }
    if (st == DAL_OK)
        dal_pick_rows(view, g.rows, g.keys, g.b, picks);
    give_memory(&g);
    return st;
}

static void entropy_cb_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, c = (double)problem->c, b = (double)problem->n_query;
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    out->bytes = n * (4 * c + 16) + 24 * (b + OTHERS) + 32 * c;
    out->flops = 2 * (double)opt->iterations * n * c + 20 * b * OTHERS * c;
    snprintf(out->formula, sizeof out->formula,
             "O(iterations n c) time and swaps of O(1000 b c) a round, O(n c) memory");
}

static const dal_strategy_impl entropy_cb_impl = {
    .struct_size = sizeof entropy_cb_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = entropy_cb_select,
    .cost = entropy_cb_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, lambda, F64, "-1", "-1..", "", "weight of the balance; -1: 0.6, 2, 3 for 10, 100, 200 classes, else 1") \
    P(T, iterations, I64, "200", "1..100000", "", "subgradient steps")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "entropy-cb", entropy_cb_impl, "largest entropy in a batch that evens out the classes",           \
      "Bengar et al., WACV 2022", DAL_CAP_OUTPUTS, "", options, PARAMS)
#define ABOUT(A)                                                                                 \
    A(STRATEGY, "entropy-cb",                                                                    \
      "min_z sum_i z_i sum_c p_ic ln p_ic + lambda ||P'z - Omega||_1, z of b ones",              \
      "dual ascent and swaps with a bound on the gap, no commercial solver; Omega from n_L + b")
DAL_MODULE_ABOUT(entropy_cb, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
