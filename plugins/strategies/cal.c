/* cal: contrastive active learning: like labelled samples in features, unlike them in what the model says.
 *
 * Margatina, Vernikos, Barrault, Aletras, "Active learning by acquiring contrastive examples", EMNLP 2021,
 * algorithm 1: of each candidate x the k nearest labelled samples N(x) in feature space (Euclidean), and
 *
 *     s(x) = 1/|N| sum_{l in N(x)} KL(p_l || p_x),   the largest first.
 *
 * From logits ln p = z - lse(z); from probabilities ln p, where p_x = 0 < p_l makes the score infinite: such
 * samples come first, by pool index. A NaN output (of the sample or of a neighbour) gives a NaN score, the least
 * wanted. Fewer labelled than k: all of them. With nothing labelled there is nothing to compare with: an error.
 *
 * Needs outputs and features. O(n n_l d + n k c) time, O(n k) memory (dal/neighbours.h).
 */
#include <dal/neighbours.h>
#include <dal/select.h>
#include <dal/topk.h>

#include <math.h>

#define BLOCK 256 /* candidates in a task */

typedef struct options {
    int64_t neighbours;
} options;

typedef struct contrast {
    dal_outputs mine, theirs; /* of candidates and labelled samples */
    const int64_t *near;      /* [n, k] labelled rows */
    int64_t k;
    double *mine_lse, *theirs_lse; /* ln sum e^z of each row; 0 for probabilities */
    double *scores;
} contrast;

static double log_sum(const dal_outputs *o, int64_t row)
{
    const float *z = o->values.data + row * o->values.stride;
    double top = -INFINITY, sum = 0;
    if (o->kind == DAL_PROBS)
        return 0;
    for (int64_t c = 0; c < o->values.cols; c++)
        top = !((double)z[c] <= top) ? (double)z[c] : top;
    for (int64_t c = 0; c < o->values.cols; c++)
        sum += exp((double)z[c] - top);
    return top + log(sum);
}

static double log_prob(const dal_outputs *o, double lse, int64_t row, int64_t c)
{
    const double v = (double)o->values.data[row * o->values.stride + c];
    return o->kind == DAL_PROBS ? log(v) : v - lse;
}

/* KL(p_l || p_x) */
static double divergence(const contrast *j, int64_t l, int64_t x)
{
    double sum = 0;
    for (int64_t c = 0; c < j->mine.values.cols; c++) {
        const double log_l = log_prob(&j->theirs, j->theirs_lse[l], l, c), p = exp(log_l);
        if (!(p <= 0)) /* 0 ln 0 = 0, and NaN goes through */
            sum += p * (log_l - log_prob(&j->mine, j->mine_lse[x], x, c));
    }
    return sum;
}

static dal_status score_task(void *ctx, int64_t b)
{
    const contrast *j = ctx;
    const int64_t n = j->mine.values.rows, end = (b + 1) * BLOCK < n ? (b + 1) * BLOCK : n;
    for (int64_t i = b * BLOCK; i < end; i++) {
        int64_t found = 0;
        double sum = 0;
        j->mine_lse[i] = log_sum(&j->mine, i);
        for (; found < j->k && j->near[i * j->k + found] >= 0; found++)
            sum += divergence(j, j->near[i * j->k + found], i);
        j->scores[i] = sum / (double)found;
    }
    return DAL_OK;
}

/* Scores [n] of the candidates. */
static dal_status contrast_all(const dal_host *host, const dal_view *view, int64_t k, double *scores,
                               dal_error *err)
{
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), n_l = view->count(view, DAL_ROWS_LABELLED);
    contrast j = {.k = k < n_l ? k : n_l, .scores = scores};
    dal_neighbours_problem problem = {.struct_size = sizeof problem, .k = j.k};
    int64_t cells;
    const int fits = dal_size_mul(n, j.k, &cells);
    int64_t *near = fits ? dal_array(host, cells, sizeof *near) : NULL;
    float *distance = fits ? dal_array(host, cells, sizeof *distance) : NULL;
    j.mine_lse = dal_array(host, n, sizeof *j.mine_lse);
    j.theirs_lse = dal_array(host, n_l, sizeof *j.theirs_lse);
    dal_status st = near && distance && j.mine_lse && j.theirs_lse
                        ? view->features(view, DAL_ROWS_CANDIDATES, &problem.x, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the neighbours of %lld samples",
                                   (long long)n);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_LABELLED, &problem.y, err);
    if (st == DAL_OK)
        st = dal_neighbours(host, &problem, near, distance, err);
    if (st == DAL_OK)
        st = view->outputs(view, DAL_ROWS_CANDIDATES, &j.mine, err);
    if (st == DAL_OK)
        st = view->outputs(view, DAL_ROWS_LABELLED, &j.theirs, err);
    if (st == DAL_OK) {
        j.near = near;
        for (int64_t l = 0; l < n_l; l++)
            j.theirs_lse[l] = log_sum(&j.theirs, l);
        st = host->parallel_for(host, (n + BLOCK - 1) / BLOCK, score_task, &j);
    }
    host->free(host, near);
    host->free(host, distance);
    host->free(host, j.mine_lse);
    host->free(host, j.theirs_lse);
    return st;
}

static dal_status cal_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    dal_topk best;
    picks->n = 0;
    if (b <= 0)
        return DAL_OK;
    if (view->count(view, DAL_ROWS_LABELLED) == 0)
        return dal_fail(err, DAL_E_INVALID, "", "nothing is labelled to compare the pool with; begin with another "
                        "strategy, such as random");
    double *all = dal_array(host, n, sizeof *all), *scores = dal_array(host, b, sizeof *scores);
    int64_t *rows = dal_array(host, b, sizeof *rows);
    dal_status st = all && scores && rows
                        ? contrast_all(host, view, opt->neighbours, all, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the scores of %lld samples", (long long)n);
    if (st == DAL_OK) {
        dal_topk_init(&best, b, DAL_LARGEST_FIRST, scores, rows);
        dal_topk_push(&best, all, 0, n);
        dal_topk_sort(&best);
        dal_pick_rows(view, rows, scores, b, picks);
    }
    host->free(host, all);
    host->free(host, scores);
    host->free(host, rows);
    return st;
}

static void cal_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, l = (double)problem->n_labelled, k = (double)opt->neighbours;
    out->bytes = n * (12 * k + 20) + 12 * l + 1e6;
    out->flops = 2 * n * l * (double)problem->d + 40 * n * k * (double)problem->c;
    snprintf(out->formula, sizeof out->formula, "O(n n_l d + n k c) time, O(n k) memory");
}

static const dal_strategy_impl cal_impl = {
    .struct_size = sizeof cal_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = cal_select,
    .cost = cal_cost,
};

#define PARAMS(P, T) P(T, neighbours, I64, "10", "1..10000", "samples", "nearest labelled samples to compare with")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "cal", cal_impl, "unlike its nearest labelled samples in what the model says",             \
      "Margatina et al., EMNLP 2021", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                          \
    A(STRATEGY, "cal",                                                                    \
      "largest 1/k sum_{l in k nearest labelled} KL(p_l || p_x)",                         \
      "p = 0 where a neighbour has more scores infinity; with nothing labelled: refused")
DAL_MODULE_ABOUT(cal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
