/* bmdr and spal: a batch that looks like what is not yet covered, of samples whose worst label would cost much
 * little.
 *
 *   bmdr   Wang & Ye, "Querying discriminative and representative samples for batch mode active learning",
 *          KDD 2013
 *   spal   Tang & Huang, "Self-paced active learning: query the right thing at the right time", AAAI 2019
 *
 * K: a kernel on labelled samples L and candidates U, n = n_L + n_U; f = sum_j theta_j k(x_j, .) a kernel ridge
 * model. The worst label of sample i costs (|f_i| + 1)^2, a_i = f_i^2 + 2 |f_i| but for a constant. In turn, until
 * the batch repeats or 15 times:
 *
 *     alpha   min 1/2 alpha' (beta/2 K_UU) alpha + q' alpha    over 0 <= alpha <= 1, sum alpha = b
 *             q = beta ((n_U - b)/n 1' K_LU - (n_L + b)/n 1' K_UU) + a        dal/box_qp.h
 *             the first term with beta q is the maximum mean discrepancy of labelled and chosen from all samples
 *     Q       the b largest alpha; ties: the lowest pool index
 *     theta   min sum_L (y - f)^2 + gamma ||f||^2 + sum_Q (f^2 + 2 |f|)            by ADMM, z = f on Q
 *
 * starting from theta = (K_LL + gamma I)^-1 y. spal gives sample i the weight v_i = max(0, 1 - alpha_i a_i /
 * lambda) of self-paced learning (1 at first): v_i a_i stands for a_i, v' alpha = b is the constraint, alpha_i v_i
 * the order, v_i the weight of i in Q; mu (0.1) is its beta; lambda begins at 0.1 and grows by 0.01 a round. Where
 * the weights are so small that v' alpha = b has no solution, lambda is doubled for this round until there is one.
 *
 * Classes: one against the rest, a summed over the problems (dal/tabular.h). With nothing labelled a = 0: the
 * batch represents the pool. Differs: f may use the chosen samples' kernels too, as in the space of functions of
 * the paper; ALiPy keeps to K_L, whose square it has to pseudo-invert. rbf's gamma is 1/d unless given.
 *
 * Needs features and the labelled samples' classes. O(iterations n^2) time, O(n^2) memory, refused above max_n
 * rows.
 */
#include <dal/box_qp.h>
#include <dal/kernel.h>
#include <dal/select.h>
#include <dal/symmetric.h>
#include <dal/tabular.h>
#include <dal/topk.h>

#include <math.h>

#define MAX_TURNS 15
#define ADMM_STEPS 1000
#define ADMM_TOLERANCE 1e-12
#define NO_OUTPUT 1e-9 /* ADMM holds samples of Q at f = 0 but for its tolerance, which must not order them */

typedef struct options {
    double weight, ridge, gamma; /* weight: beta, or mu */
    double rho, tolerance;
    uint32_t kernel;
    int32_t standardise;
    int64_t qp_iterations, max_n;
    double lambda, pace; /* spal alone */
} options;

typedef struct batch {
    const dal_host *host;
    const options *opt;
    int self_paced;
    double lambda;
    dal_table t;
    int64_t n_l, n, b, all;
    double *k;         /* [all, all] */
    double *base;      /* [n] q without a */
    double *alpha, *a, *v, *q; /* [n] */
    double *score;     /* [n] alpha v */
    int64_t *chosen;   /* [b] Q in order */
    int64_t *last;     /* [n] 1: in Q a turn before */
    double *order;     /* [b] room of the sort */
    double *gram;      /* [n_l + b]^2 */
    double *theta;     /* [n_l + b] */
    double *reply;     /* [n_l + b, n_l + b] */
    double *z, *u, *fit; /* [b] */
} batch;

/* ---- alpha ------------------------------------------------------------------------------------ */

static void find_base(batch *s)
{
    const double n = (double)s->all, l = (double)s->n_l, u = (double)s->n, b = (double)s->b;
    for (int64_t i = 0; i < s->n; i++) {
        const double *row = s->k + (s->n_l + i) * s->all;
        double known = 0, pool = 0;
        for (int64_t j = 0; j < s->n_l; j++)
            known += row[j];
        for (int64_t j = s->n_l; j < s->all; j++)
            pool += row[j];
        s->base[i] = s->opt->weight * ((u - b) / n * known - (l + b) / n * pool);
        s->alpha[i] = b / u;
        s->v[i] = 1;
    }
}

static dal_status find_alpha(batch *s, dal_error *err)
{
    double residual;
    for (int64_t i = 0; i < s->n; i++)
        s->q[i] = s->base[i] + s->v[i] * s->a[i];
    const dal_box_qp_problem p = {.struct_size = sizeof p,
                                  .n = s->n,
                                  .k = s->k + s->n_l * s->all + s->n_l,
                                  .ld = s->all,
                                  .scale = s->opt->weight / 2,
                                  .q = s->q,
                                  .w = s->self_paced ? s->v : NULL,
                                  .total = (double)s->b,
                                  .max_iterations = s->opt->qp_iterations,
                                  .tolerance = s->opt->tolerance};
    const dal_status st = dal_box_qp(s->host, &p, s->alpha, &residual, err);
    if (st == DAL_OK && residual > s->opt->tolerance)
        dal_logf(s->host, DAL_LOG_WARNING,
                 "the program still moves by %.1e after %lld iterations: raise qp_iterations for exact picks",
                 residual, (long long)s->opt->qp_iterations);
    return st;
}

/* Q from alpha; *same: is it the set of the turn before? */
static void choose(batch *s, int *same)
{
    dal_topk top;
    for (int64_t i = 0; i < s->n; i++)
        s->score[i] = s->alpha[i] * s->v[i];
    dal_topk_init(&top, s->b, DAL_LARGEST_FIRST, s->order, s->chosen);
    dal_topk_push(&top, s->score, 0, s->n);
    dal_topk_sort(&top);
    *same = 1;
    for (int64_t k = 0; k < s->b; k++)
        *same &= s->last[s->chosen[k]] == 1;
    memset(s->last, 0, (size_t)s->n * sizeof *s->last);
    for (int64_t k = 0; k < s->b; k++)
        s->last[s->chosen[k]] = 1;
}

/* ---- theta ------------------------------------------------------------------------------------ */

/* Row in K of member i of o = L, then the first n_q of Q. */
static int64_t member(const batch *s, int64_t i)
{
    return i < s->n_l ? i : s->n_l + s->chosen[i - s->n_l];
}

/* gram: the factor of K_oo + gamma D^-1, D the weights of the squares: 1 on L, rho/2 on Q. */
static dal_status factor(batch *s, int64_t n_q, dal_error *err)
{
    const int64_t m = s->n_l + n_q;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++)
            s->gram[i * m + j] = s->k[member(s, i) * s->all + member(s, j)];
    for (int64_t i = 0; i < m; i++)
        s->gram[i * m + i] += s->opt->ridge / (i < s->n_l ? 1 : s->opt->rho / 2);
    return dal_cholesky(m, s->gram, err);
}

/* f on Q is linear in the targets t of o: reply [m, n_q], f_Q = reply' t. Column j solves for K_o,Qj. */
static dal_status find_reply(batch *s, int64_t n_q, dal_error *err)
{
    const int64_t m = s->n_l + n_q;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n_q; j++)
            s->reply[i * n_q + j] = s->k[member(s, i) * s->all + s->n_l + s->chosen[j]];
    return dal_cholesky_solve(m, s->gram, n_q, s->reply, err);
}

/* z = argmin v (z^2 + 2 |z|) + rho/2 (s - z)^2 */
static double shrink(double s, double v, double rho)
{
    const double size = (rho * fabs(s) - 2 * v) / (rho + 2 * v);
    return size <= 0 ? 0 : s > 0 ? size : -size;
}

/* ADMM for one problem: the targets z - u of Q that the model ends with, in z. */
static void worst_labels(batch *s, int64_t problem, int64_t n_q)
{
    for (int64_t j = 0; j < n_q; j++) { /* what the labelled samples say */
        s->fit[j] = 0;
        for (int64_t i = 0; i < s->n_l; i++)
            s->fit[j] += s->reply[i * n_q + j] * dal_table_sign(&s->t, problem, i);
        s->z[j] = s->u[j] = 0;
    }
    for (int64_t step = 0; step < ADMM_STEPS; step++) {
        double moved = 0;
        double *f = s->theta; /* room */
        memcpy(f, s->fit, (size_t)n_q * sizeof *f);
        for (int64_t i = 0; i < n_q; i++)
            for (int64_t j = 0; j < n_q; j++)
                f[j] += s->reply[(s->n_l + i) * n_q + j] * (s->z[i] - s->u[i]);
        for (int64_t j = 0; j < n_q; j++) {
            const double z = shrink(f[j] + s->u[j], s->v[s->chosen[j]], s->opt->rho);
            moved = fmax(moved, fmax(fabs(z - s->z[j]), fabs(f[j] - z)));
            s->z[j] = z;
            s->u[j] += f[j] - z;
        }
        if (moved <= ADMM_TOLERANCE)
            break;
    }
    for (int64_t j = 0; j < n_q; j++)
        s->z[j] -= s->u[j];
}

/* a of all candidates, from the model that knows L and n_q of Q. */
static dal_status find_a(batch *s, int64_t n_q, dal_error *err)
{
    const int64_t m = s->n_l + n_q;
    memset(s->a, 0, (size_t)s->n * sizeof *s->a);
    if (s->n_l == 0)
        return DAL_OK;
    dal_status st = factor(s, n_q, err);
    if (st == DAL_OK && n_q > 0)
        st = find_reply(s, n_q, err);
    for (int64_t p = 0; st == DAL_OK && p < s->t.n_problems; p++) {
        worst_labels(s, p, n_q);
        for (int64_t i = 0; i < m; i++)
            s->theta[i] = i < s->n_l ? dal_table_sign(&s->t, p, i) : s->z[i - s->n_l];
        st = dal_cholesky_solve(m, s->gram, 1, s->theta, err);
        for (int64_t i = 0; st == DAL_OK && i < s->n; i++) {
            const double *row = s->k + (s->n_l + i) * s->all;
            double f = 0;
            for (int64_t j = 0; j < m; j++)
                f += row[member(s, j)] * s->theta[j];
            s->a[i] += fabs(f) > NO_OUTPUT ? f * f + 2 * fabs(f) : 0;
        }
    }
    return st;
}

/* v, with lambda doubled until sum v >= b. */
static void pace(batch *s)
{
    for (int doublings = 0;; doublings++) {
        double sum = 0;
        for (int64_t i = 0; i < s->n; i++)
            sum += s->v[i] = doublings == 60 ? 1 : fmax(0, 1 - s->alpha[i] * s->a[i] / s->lambda);
        if (sum >= (double)s->b)
            return;
        s->lambda *= 2;
    }
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status alternate(batch *s, dal_error *err)
{
    int same = 0;
    dal_status st = find_a(s, 0, err);
    for (int turn = 0; st == DAL_OK; turn++) {
        st = find_alpha(s, err);
        if (st != DAL_OK)
            break;
        choose(s, &same);
        if (same || turn + 1 == MAX_TURNS)
            break;
        s->host->progress(s->host, turn + 1, 0, "turns");
        st = find_a(s, s->b, err);
        if (st == DAL_OK && s->self_paced)
            pace(s);
    }
    return st;
}

static dal_status take_arrays(batch *s, dal_error *err)
{
    const int64_t m = s->n_l + s->b;
    int64_t cells, small;
    if (!dal_size_mul(s->all, s->all, &cells) || !dal_size_mul(m, m, &small))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many samples");
    struct {
        double **to;
        int64_t n;
    } all[] = {{&s->k, cells},    {&s->base, s->n}, {&s->alpha, s->n}, {&s->a, s->n},     {&s->v, s->n},
               {&s->q, s->n},     {&s->score, s->n}, {&s->order, s->b}, {&s->gram, small}, {&s->theta, m},
               {&s->reply, small}, {&s->z, s->b},    {&s->u, s->b},     {&s->fit, s->b}};
    int ok = 1;
    for (size_t i = 0; ok && i < sizeof all / sizeof *all; i++)
        ok = (*all[i].to = dal_array(s->host, all[i].n, sizeof(double))) != NULL;
    s->chosen = ok ? dal_array(s->host, s->b, sizeof *s->chosen) : NULL;
    s->last = s->chosen ? dal_array(s->host, s->n, sizeof *s->last) : NULL;
    if (!s->last)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the kernel of %lld samples", (long long)s->all);
    memset(s->last, 0, (size_t)s->n * sizeof *s->last);
    return DAL_OK;
}

static void free_arrays(batch *s)
{
    void *all[] = {s->k, s->base, s->alpha, s->a, s->v, s->q, s->score, s->chosen, s->last, s->order, s->gram,
                   s->theta, s->reply, s->z, s->u, s->fit};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->host->free(s->host, all[i]);
    dal_table_free(&s->t);
}

static dal_status select_batch(const dal_stateless *self, int self_paced, const dal_view *view, dal_picks *picks,
                               dal_error *err)
{
    batch s = {.host = self->host, .opt = self->options, .self_paced = self_paced, .b = picks->want};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_table_make(self->host, view, s.opt->standardise, s.opt->max_n, &s.t, err);
    if (st != DAL_OK)
        return st;
    s.lambda = self_paced ? s.opt->lambda + s.opt->pace * (double)view->round : 0;
    s.n_l = s.t.labelled.rows;
    s.n = s.t.candidates.rows;
    s.all = s.t.all.rows;
    const dal_kernel kernel = {s.opt->kernel, 0, s.opt->gamma > 0 ? s.opt->gamma : 1 / (double)s.t.all.cols};
    st = take_arrays(&s, err);
    if (st == DAL_OK)
        st = dal_kernel_matrix(self->host, &kernel, &s.t.all, &s.t.all, s.k, s.all, err);
    if (st == DAL_OK) {
        find_base(&s);
        st = alternate(&s, err);
    }
    if (st == DAL_OK)
        dal_pick_rows(view, s.chosen, s.order, s.b, picks);
    free_arrays(&s);
    return st;
}

static dal_status bmdr_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return select_batch(self, 0, view, picks, err);
}

static dal_status spal_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return select_batch(self, 1, view, picks, err);
}

static void batch_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n + (double)problem->n_labelled, d = (double)problem->d;
    const double m = (double)problem->n_labelled + (double)problem->n_query;
    out->bytes = 8 * n * n + 16 * m * m + 4 * n * d + 140 * n + 4096;
    out->flops = MAX_TURNS * (2 * n * n * (double)opt->qp_iterations + m * m * m) + 3 * n * n * d;
    snprintf(out->formula, sizeof out->formula, "O(turns (iterations n^2 + (n_l + b)^3)) time, O(n^2) memory");
}

static const dal_strategy_impl bmdr_impl = {
    .struct_size = sizeof bmdr_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = bmdr_select,
    .cost = batch_cost,
};

static const dal_strategy_impl spal_impl = {
    .struct_size = sizeof spal_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = spal_select,
    .cost = batch_cost,
};

#define COMMON(P, T)                                                                                        \
    P(T, ridge, F64, "0.1", "(0..)", "", "gamma of the papers: weight of ||f||^2")                          \
    P(T, rho, F64, "1", "(0..)", "", "of ADMM")                                                             \
    P(T, kernel, CHOICE, "rbf", "rbf|linear", "", "similarity of two samples")                              \
    P(T, gamma, F64, "0", "0..", "", "of rbf: exp(-gamma distance^2); 0: 1 / features")                     \
    P(T, standardise, BOOL, "true", "", "", "bring features to mean 0 and variance 1 first")                \
    P(T, tolerance, F64, "1e-6", "0..", "", "quadratic programs are solved when no variable moves by more")  \
    P(T, qp_iterations, I64, "1000", "1..", "", "at most, of each quadratic program")                       \
    P(T, max_n, I64, "10000", "1..32768", "rows", "refuse more labelled samples and candidates than this")
#define BMDR_PARAMS(P, T)                                                                                   \
    P(T, weight, F64, "1000", "0..", "", "beta: how much being representative counts")                      \
    COMMON(P, T)
#define SPAL_PARAMS(P, T)                                                                                   \
    P(T, weight, F64, "0.1", "0..", "", "mu: how much being representative counts")                         \
    P(T, lambda, F64, "0.1", "(0..)", "", "pace in round 0: a larger loss than this has no weight")         \
    P(T, pace, F64, "0.01", "0..", "", "what lambda grows by each round")                                   \
    COMMON(P, T)
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "bmdr", bmdr_impl, "a batch that represents the pool and whose worst labels cost least",    \
      "Wang & Ye, KDD 2013", DAL_CAP_FEATURES, "", options, BMDR_PARAMS)                                    \
    C(STRATEGY, "spal", spal_impl, "bmdr with self-paced weights: easy samples first",                  \
      "Tang & Huang, AAAI 2019", DAL_CAP_FEATURES, "", options, SPAL_PARAMS)
#define ABOUT(A)                                                                                        \
    A(STRATEGY, "bmdr",                                                                                 \
      "min_alpha beta/4 alpha' K alpha + (MMD term + worst squared loss)' alpha, 0 <= alpha <= 1, sum " \
      "b; the b largest",                                                                               \
      "f may use the kernels of the chosen, as in the paper; ALiPy keeps to those of L; rbf gamma "     \
      "1/d")                                                                                            \
    A(STRATEGY, "spal",                                                                                 \
      "bmdr with the loss and the constraint weighed by v_i = max(0, 1 - alpha_i a_i / lambda)",        \
      "lambda is doubled for a round in which the weights leave no solution")
DAL_MODULE_ABOUT(matching, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
