/* dwus: uncertain and in a dense place: a classifier on cluster centres, weighted by the density of the sample.
 *
 * Nguyen & Smeulders, "Active learning using pre-clustering", ICML 2004; Donmez, Carbonell, Bennett, "Dual
 * strategy active learning", ECML 2007. Centres c_k of k-means over labelled samples and candidates, sigma the
 * variance of a cluster:
 *
 *     P(k|x) ~ P(k) exp(-||x - c_k||^2 / (2 sigma))   P(k): mean of P(k|x) over all x, `em_steps` times from 1/K
 *     p(x)   = sum_k P(k) N(x; c_k, sigma I)
 *     w      = argmax sum_L ln sum_k P(k|x_i) s(y_i (w' c_k + w0)) - C/2 ||w||^2,      s(t) = 1 / (1 + e^-t)
 *     P(y|x) = sum_k P(k|x) s(y (w' c_k + w0))
 *     score  = ln min(P, 1 - P) + ln p(x), largest first
 *
 * Everything in logarithms: densities underflow in more than a few dimensions, where the density alone decides
 * unless sigma is raised with them. w is found by L-BFGS from 0; the sum in the logarithm makes it a local
 * optimum. Classes: one against the rest, P normalised over them, 1 - max_c P_c for min(P, 1 - P), which are the
 * same for two. With one class or none labelled all are as uncertain: the density decides. Ties go to the lowest
 * pool index. libact takes sigma for the variance in P(k|x) but its root in p(x); here it is the variance in both.
 *
 * Needs features and the labelled samples' classes. O(k n d) time beside k-means, O(n (k + d)) memory.
 */
#include <dal/kmeans.h>
#include <dal/minimise.h>
#include <dal/select.h>
#include <dal/tabular.h>
#include <dal/topk.h>

#include <math.h>

#define TASK 256
#define TWO_PI 6.283185307179586477

typedef struct options {
    int64_t clusters, em_steps, starts;
    double sigma, c;
    int32_t standardise;
} options;

typedef struct mixture {
    const dal_host *host;
    const options *opt;
    dal_table t;
    int64_t k, n_l, d;
    float *centres;  /* [k, d] */
    double *near;    /* [rows, k] -||x - c||^2 / (2 sigma), later P(k|x) */
    double *density; /* [rows] ln p(x) */
    double *prior;   /* [k] P(k) */
    double *w;       /* [d + 1] */
    double *positive; /* [problems, k] s(w' c_k + w0) */
    double *score;   /* [n] */
    int64_t problem;
} mixture;

/* ---- the mixture ------------------------------------------------------------------------------ */

static dal_status measure_task(void *ctx, int64_t task)
{
    const mixture *m = ctx;
    const int64_t rows = m->t.all.rows, end = (task + 1) * TASK < rows ? (task + 1) * TASK : rows;
    for (int64_t i = task * TASK; i < end; i++)
        for (int64_t k = 0; k < m->k; k++) {
            double sum = 0;
            for (int64_t j = 0; j < m->d; j++) {
                const double u = (double)m->t.all.data[i * m->d + j] - (double)m->centres[k * m->d + j];
                sum += u * u;
            }
            m->near[i * m->k + k] = -sum / (2 * m->opt->sigma);
        }
    return DAL_OK;
}

/* p [k] = P(k|x) of row i under the priors; returns ln sum_k P(k) e^near. */
static double responsibilities(const mixture *m, int64_t i, double *p)
{
    double top = (double)-INFINITY, sum = 0;
    for (int64_t k = 0; k < m->k; k++) {
        p[k] = log(m->prior[k]) + m->near[i * m->k + k];
        top = fmax(top, p[k]);
    }
    for (int64_t k = 0; k < m->k; k++)
        sum += p[k] = exp(p[k] - top);
    for (int64_t k = 0; k < m->k; k++)
        p[k] /= sum;
    return top + log(sum);
}

/* P(k), ln p(x), and near becomes P(k|x) under the last priors. room: [2 k]. */
static dal_status fit_priors(mixture *m, double *room, dal_error *err)
{
    const int64_t rows = m->t.all.rows;
    double *p = room, *sum = room + m->k;
    for (int64_t k = 0; k < m->k; k++)
        m->prior[k] = 1 / (double)m->k;
    for (int64_t step = 0; step < m->opt->em_steps; step++) {
        if (m->host->cancelled(m->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        memset(sum, 0, (size_t)m->k * sizeof *sum);
        for (int64_t i = 0; i < rows; i++) {
            responsibilities(m, i, p);
            for (int64_t k = 0; k < m->k; k++)
                sum[k] += p[k];
        }
        for (int64_t k = 0; k < m->k; k++)
            m->prior[k] = sum[k] / (double)rows;
    }
    for (int64_t i = 0; i < rows; i++) {
        m->density[i] = responsibilities(m, i, p) - (double)m->d / 2 * log(TWO_PI * m->opt->sigma);
        memcpy(m->near + i * m->k, p, (size_t)m->k * sizeof *p);
    }
    return DAL_OK;
}

/* ---- the classifier on the centres ------------------------------------------------------------ */

static double at_centre(const mixture *m, const double *w, int64_t k)
{
    double u = w[m->d];
    for (int64_t j = 0; j < m->d; j++)
        u += w[j] * (double)m->centres[k * m->d + j];
    return u;
}

static double sigmoid(double t)
{
    return 1 / (1 + exp(-t));
}

/* C/2 ||w||^2 - sum_L ln sum_k P(k|x) s(y u_k), u_k = w' c_k + w0, and its gradient by way of the u_k. */
static dal_status evaluate(void *ctx, const double *w, double *value, double *gradient, dal_error *err)
{
    const mixture *m = ctx;
    double *u = m->positive + m->problem * m->k, *slope = m->prior; /* the priors are done with */
    (void)err;
    *value = 0;
    for (int64_t k = 0; k < m->k; k++) {
        u[k] = at_centre(m, w, k);
        slope[k] = 0;
    }
    for (int64_t i = 0; i < m->n_l; i++) {
        const double y = dal_table_sign(&m->t, m->problem, i), *p = m->near + i * m->k;
        double likelihood = 0;
        for (int64_t k = 0; k < m->k; k++)
            likelihood += p[k] * sigmoid(y * u[k]);
        *value -= log(likelihood);
        for (int64_t k = 0; k < m->k; k++)
            slope[k] -= p[k] * y * sigmoid(u[k]) * sigmoid(-u[k]) / likelihood;
    }
    gradient[m->d] = 0;
    for (int64_t j = 0; j < m->d; j++) {
        *value += m->opt->c / 2 * w[j] * w[j];
        gradient[j] = m->opt->c * w[j];
    }
    for (int64_t k = 0; k < m->k; k++) {
        for (int64_t j = 0; j < m->d; j++)
            gradient[j] += slope[k] * (double)m->centres[k * m->d + j];
        gradient[m->d] += slope[k];
    }
    return DAL_OK;
}

static dal_status train(mixture *m, dal_error *err)
{
    dal_status st = DAL_OK;
    for (m->problem = 0; st == DAL_OK && m->problem < m->t.n_problems; m->problem++) {
        const dal_lbfgs how = {.struct_size = sizeof how, .max_iterations = 1000, .tolerance = 1e-9,
                               .noise = 1e-15, .evaluate = evaluate, .ctx = m};
        dal_lbfgs_result result = {.struct_size = sizeof result};
        memset(m->w, 0, (size_t)(m->d + 1) * sizeof *m->w);
        st = dal_minimise(m->host, &how, m->d + 1, m->w, &result, err);
        for (int64_t k = 0; st == DAL_OK && k < m->k; k++)
            m->positive[m->problem * m->k + k] = sigmoid(at_centre(m, m->w, k));
    }
    return st;
}

/* ---- scores ----------------------------------------------------------------------------------- */

/* 1 - max_c P(c|x). */
static double doubt(const mixture *m, const double *p)
{
    double largest = 0, all = 0;
    for (int64_t c = 0; c < m->t.n_problems; c++) {
        double of_class = 0;
        for (int64_t k = 0; k < m->k; k++)
            of_class += p[k] * m->positive[c * m->k + k];
        if (m->t.n_problems == 1)
            return fmin(of_class, 1 - of_class);
        largest = fmax(largest, of_class);
        all += of_class;
    }
    return 1 - largest / all;
}

static void score_all(mixture *m)
{
    for (int64_t i = 0; i < m->t.candidates.rows; i++) {
        const int64_t row = m->n_l + i;
        m->score[i] = m->density[row] + log(m->t.n_seen > 1 ? doubt(m, m->near + row * m->k) : 0.5);
    }
}

static dal_status take_arrays(mixture *m, dal_error *err)
{
    const int64_t rows = m->t.all.rows;
    int64_t cells, centres, targets;
    if (!dal_size_mul(rows, m->k, &cells) || !dal_size_mul(m->k, m->d, &centres) ||
        !dal_size_mul(m->t.n_problems, m->k, &targets))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many clusters");
    m->centres = dal_array(m->host, centres, sizeof *m->centres);
    m->near = dal_array(m->host, cells, sizeof *m->near);
    m->density = dal_array(m->host, rows, sizeof *m->density);
    m->prior = dal_array(m->host, m->k, sizeof *m->prior);
    m->w = dal_array(m->host, m->d + 1 > 2 * m->k ? m->d + 1 : 2 * m->k, sizeof *m->w);
    m->positive = dal_array(m->host, targets, sizeof *m->positive);
    m->score = dal_array(m->host, m->t.candidates.rows, sizeof *m->score);
    if (!m->centres || !m->near || !m->density || !m->prior || !m->w || !m->positive || !m->score)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples in %lld clusters", (long long)rows,
                        (long long)m->k);
    return DAL_OK;
}

static dal_status cluster(mixture *m, const dal_view *view, dal_error *err)
{
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = m->t.all, .k = m->k, .starts = m->opt->starts,
                                  .max_iterations = 300, .tolerance = 1e-4};
    dal_kmeans_result result = {.struct_size = sizeof result, .centres = m->centres};
    const dal_rng r = m->host->rng(m->host, "kmeans", view->round);
    return dal_kmeans(m->host, &p, &r, &result, err);
}

static dal_status pick_best(mixture *m, const dal_view *view, dal_picks *picks, dal_error *err)
{
    dal_topk top;
    int64_t *rows = dal_array(m->host, picks->want, sizeof *rows);
    if (!rows)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)picks->want);
    dal_topk_init(&top, picks->want, DAL_LARGEST_FIRST, picks->scores, rows);
    dal_topk_push(&top, m->score, 0, m->t.candidates.rows);
    dal_topk_sort(&top);
    dal_pick_rows(view, rows, NULL, top.n, picks);
    m->host->free(m->host, rows);
    return DAL_OK;
}

static dal_status dwus_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    mixture m = {.host = self->host, .opt = self->options};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_table_make(self->host, view, m.opt->standardise, 0, &m.t, err);
    if (st != DAL_OK)
        return st;
    m.n_l = m.t.labelled.rows;
    m.d = m.t.all.cols;
    m.k = m.opt->clusters < m.t.all.rows ? m.opt->clusters : m.t.all.rows;
    st = take_arrays(&m, err);
    if (st == DAL_OK)
        st = cluster(&m, view, err);
    if (st == DAL_OK)
        st = self->host->parallel_for(self->host, (m.t.all.rows + TASK - 1) / TASK, measure_task, &m);
    if (st == DAL_OK)
        st = fit_priors(&m, m.w, err);
    if (st == DAL_OK && m.t.n_seen > 1)
        st = train(&m, err);
    if (st == DAL_OK) {
        score_all(&m);
        st = pick_best(&m, view, picks, err);
    }
    void *all[] = {m.centres, m.near, m.density, m.prior, m.w, m.positive, m.score};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        self->host->free(self->host, all[i]);
    dal_table_free(&m.t);
    return st;
}

static void dwus_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n + (double)problem->n_labelled, d = (double)problem->d;
    const double k = (double)opt->clusters, em = (double)opt->em_steps;
    out->bytes = 4 * (n + k) * d + 8 * n * (k + 2) + 40 * n + 8 * k * (double)problem->c + 16e6;
    out->flops = n * k * (200 * d + 25 * em);
    snprintf(out->formula, sizeof out->formula, "O(n k (iterations d + em steps)) time, O(n (k + d)) memory");
}

static const dal_strategy_impl dwus_impl = {
    .struct_size = sizeof dwus_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = dwus_select,
    .cost = dwus_cost,
};

#define PARAMS(P, T)                                                                                        \
    P(T, clusters, I64, "5", "1..10000", "", "of k-means")                                                  \
    P(T, em_steps, I64, "100", "0..100000", "", "updates of the clusters' shares P(k)")                     \
    P(T, starts, I64, "10", "1..1000", "", "of k-means; the best is kept")                                  \
    P(T, sigma, F64, "0.1", "(0..)", "", "variance of a cluster, in each direction")                        \
    P(T, c, F64, "1", "(0..)", "", "weight of ||w||^2 / 2 in the classifier")                               \
    P(T, standardise, BOOL, "true", "", "", "bring features to mean 0 and variance 1 first")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "dwus", dwus_impl, "uncertainty of a classifier on clusters times density",                 \
      "Nguyen & Smeulders, ICML 2004", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                  \
    A(STRATEGY, "dwus",                                                                           \
      "largest min(P, 1 - P) p(x); P(y|x) = sum_k P(k|x) s(y (w c_k + w0)), p a mixture of "      \
      "Gaussians round k-means centres",                                                          \
      "sigma is the variance in both; libact takes its root in p(x); more than two classes: one " \
      "against the rest")
DAL_MODULE_ABOUT(dwus, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
