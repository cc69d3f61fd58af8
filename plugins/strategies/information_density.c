/* information-density: uncertain, and like much of the pool.
 *
 * Settles & Craven, "An analysis of active learning strategies for sequence labeling tasks", EMNLP 2008, section
 * 3.4:
 *
 *     phi(x) = u(x) (1/U sum_{x' in pool} sim(x, x'))^beta       sim: the cosine of features h
 *
 * The mean cosine of a sample with everybody (itself included) is its product with one vector,
 * h_i . s / (|h_i| U) with s = sum_j h_j / |h_j|: exact, O(n d), where the peers make all pairs. U is the
 * candidates. A negative mean counts as 0; features of zeros are like nobody. u is what `uncertainty` says: the
 * entropy, 1 - margin, or 1 - top probability. A NaN output gives a NaN score, the least wanted.
 *
 * Needs outputs and features; the sums are in double, in the order of the pool.
 */
#include <dal/linalg.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>

#define BLOCK 512 /* rows summed together */

#define ENTROPY 0u
#define MARGIN 1u

typedef struct options {
    double beta;
    uint32_t uncertainty;
} options;

typedef struct density {
    const dal_host *host;
    dal_matrix x;
    double *sums;    /* [blocks, d] of the rows at unit length, by block; the first becomes the sum of all */
    double *similar; /* [n] mean cosine */
} density;

static double length(const dal_matrix *x, int64_t i)
{
    return sqrt(dal_dot(x->data + i * x->stride, x->data + i * x->stride, x->cols));
}

static dal_status sum_task(void *ctx, int64_t b)
{
    const density *j = ctx;
    const dal_matrix *x = &j->x;
    const int64_t end = (b + 1) * BLOCK < x->rows ? (b + 1) * BLOCK : x->rows;
    double *sum = j->sums + b * x->cols;
    memset(sum, 0, (size_t)x->cols * sizeof *sum);
    for (int64_t i = b * BLOCK; i < end; i++) {
        const double l = length(x, i);
        for (int64_t k = 0; !(l <= 0) && k < x->cols; k++) /* NaN goes through, and is found */
            sum[k] += (double)x->data[i * x->stride + k] / l;
    }
    return DAL_OK;
}

static dal_status cosine_task(void *ctx, int64_t b)
{
    const density *j = ctx;
    const dal_matrix *x = &j->x;
    const int64_t end = (b + 1) * BLOCK < x->rows ? (b + 1) * BLOCK : x->rows;
    for (int64_t i = b * BLOCK; i < end; i++) {
        const double l = length(x, i);
        double dot = 0;
        for (int64_t k = 0; k < x->cols; k++)
            dot += (double)x->data[i * x->stride + k] * j->sums[k];
        j->similar[i] = l <= 0 ? 0 : dot / l / (double)x->rows;
    }
    return DAL_OK;
}

/* One that is not finite spoils the similarity of all. */
static int64_t first_odd(const dal_matrix *x)
{
    int64_t i = 0;
    while (i < x->rows - 1 && isfinite(length(x, i)))
        i++;
    return i;
}

/* similar from x. */
static dal_status measure(density *j, dal_error *err)
{
    const int64_t n = j->x.rows, blocks = (n + BLOCK - 1) / BLOCK;
    dal_status st = j->host->parallel_for(j->host, blocks, sum_task, j);
    for (int64_t b = 1; st == DAL_OK && b < blocks; b++)
        for (int64_t k = 0; k < j->x.cols; k++)
            j->sums[k] += j->sums[b * j->x.cols + k];
    if (st == DAL_OK)
        st = j->host->parallel_for(j->host, blocks, cosine_task, j);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "similarities could not be computed");
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(j->similar[i]))
            return dal_fail(err, DAL_E_INVALID, "",
                            "the features of candidate %lld are not finite, or so large that "
                            "they overflow; did the model diverge?", (long long)first_odd(&j->x));
    return DAL_OK;
}

static void uncertain(const dal_outputs *o, uint32_t how, double *u)
{
    if (how == ENTROPY) {
        dal_entropy(o, u);
        return;
    }
    (how == MARGIN ? dal_margin : dal_least_confidence)(o, u);
    for (int64_t i = 0; i < o->values.rows; i++)
        u[i] = 1 - u[i];
}

static dal_status density_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    density j = {.host = host};
    dal_outputs o;
    dal_topk best;
    int64_t cells;
    picks->n = 0;
    if (b <= 0)
        return DAL_OK;
    dal_status st = view->features(view, DAL_ROWS_CANDIDATES, &j.x, err);
    if (st == DAL_OK)
        st = view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
    if (st != DAL_OK)
        return st;
    double *u = dal_array(host, n, sizeof *u), *scores = dal_array(host, b, sizeof *scores);
    int64_t *rows = dal_array(host, b, sizeof *rows);
    j.similar = dal_array(host, n, sizeof *j.similar);
    j.sums = dal_size_mul((n + BLOCK - 1) / BLOCK, j.x.cols, &cells) ? dal_array(host, cells,
                                                                                 sizeof *j.sums) : NULL;
    st = u && scores && rows && j.similar && j.sums
             ? measure(&j, err)
             : dal_fail(err, DAL_E_NOMEM, "", "no memory for the scores of %lld samples", (long long)n);
    if (st == DAL_OK) {
        uncertain(&o, opt->uncertainty, u);
        for (int64_t i = 0; i < n; i++)
            u[i] *= pow(j.similar[i] > 0 ? j.similar[i] : 0, opt->beta);
        dal_topk_init(&best, b, DAL_LARGEST_FIRST, scores, rows);
        dal_topk_push(&best, u, 0, n);
        dal_topk_sort(&best);
        dal_pick_rows(view, rows, scores, b, picks);
    }
    host->free(host, u);
    host->free(host, scores);
    host->free(host, rows);
    host->free(host, j.similar);
    host->free(host, j.sums);
    return st;
}

static void density_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, d = (double)problem->d;
    (void)self, (void)options_;
    out->bytes = 16 * n + 8 * d * (n / BLOCK + 1) + 16 * (double)problem->n_query;
    out->flops = 8 * n * d + 20 * n * (double)problem->c;
    snprintf(out->formula, sizeof out->formula, "O(n (c + d)) time, O(n) memory");
}

static const dal_strategy_impl information_density_impl = {
    .struct_size = sizeof information_density_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = density_select,
    .cost = density_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, beta, F64, "1", "0..", "", "how much likeness to the pool counts")                                \
    P(T, uncertainty, CHOICE, "entropy", "entropy|margin|least-confidence", "", "what is uncertain")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "information-density", information_density_impl,                                           \
      "uncertainty times the mean cosine similarity with the pool", "Settles & Craven, EMNLP 2008",        \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                \
    A(STRATEGY, "information-density",                          \
      "largest u(x) (mean cosine with the pool)^beta",          \
      "by one product with the sum of unit features, no pairs")
DAL_MODULE_ABOUT(information_density, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
