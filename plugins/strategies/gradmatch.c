/* gradmatch: samples whose gradients add up to the gradient of everything.
 *
 * Killamsetty, Sivasubramanian, Ramakrishnan, De, Iyer, "GRAD-MATCH: gradient matching based data subset
 * selection for efficient deep model training", ICML 2021, as an active strategy without weights. With the
 * predicted class as label (true labels of validation data), g_i = (p_i - e_y) (x) (h_i, 1) the gradient of the
 * last layer:
 *
 *     t = b / N sum_i g_i                                        over the candidates, or over the validation data
 *     r = t;  b times:  i* = argmin_i ||g_i - r||,  r = r - g_i*
 *
 * ||g_i - r||^2 = ||g_i||^2 - 2 <g_i, r> + ||r||^2, and when j is picked, <g_i, r> falls by <g_i, g_j>: after
 * the products with t a pick takes c + d a sample, of gradients that are never formed (dal/gradient.h). Ties go
 * to the lowest pool index; the score of a pick is what ||r|| is after it.
 *
 * DISTIL leaves out b / N, so that b samples are to match the sum of all. Its weighted mode (orthogonal
 * matching pursuit) is for training on a weighted subset, which this is not.
 *
 * Needs outputs and features. O(n c d + n b (c + d)); 4 n c + 16 n bytes, and 76 c d for the sum.
 */
#include <dal/gradient.h>
#include <dal/select.h>

#include <math.h>

#define TILE 256 /* rows in a task */

#define TARGET_POOL 0u

typedef struct options {
    uint32_t target;
    int32_t bias;
} options;

typedef struct matching {
    const dal_host *host;
    const dal_gradients *g;
    const float *target;   /* t [c, d + bias] */
    double *cost;          /* [n] ||g_i||^2 - 2 <g_i, r>; infinite: picked */
    float *a;              /* [n, c] factors */
    int64_t latest;        /* the row picked last; -1: none yet */
} matching;

static const float *features_of(const matching *m, int64_t row)
{
    return m->g->features.data + row * m->g->features.stride;
}

/* Factors, and cost against t; then what the latest pick adds to it. */
static dal_status cost_task(void *ctx, int64_t tile)
{
    const matching *m = ctx;
    const dal_gradients *g = m->g;
    const int64_t first = tile * TILE, c = dal_gradient_width(g);
    const int64_t n = g->features.rows - first < TILE ? g->features.rows - first : TILE;
    if (m->host->cancelled(m->host))
        return DAL_E_CANCELLED;
    if (m->latest < 0)
        dal_gradient_factor(g, first, n, m->a + first * c, NULL);
    for (int64_t i = first; i < first + n; i++) {
        const float *a = m->a + i * c, *h = features_of(m, i);
        m->cost[i] += m->latest < 0 ? -2 * dal_gradient_against(g, a, h, m->target)
                                    : 2 * dal_gradient_product(g, a, h, m->a + m->latest * c,
                                                               features_of(m, m->latest));
    }
    return DAL_OK;
}

static int64_t argmin(const double *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = x[i] < x[best] ? i : best;
    return best;
}

static dal_status pick_all(matching *m, int64_t want, double rest, int64_t *rows, double *scores)
{
    const int64_t n = m->g->features.rows;
    dal_status st = DAL_OK;
    m->latest = -1;
    for (int64_t k = 0; st == DAL_OK && k < want; k++) {
        st = m->host->parallel_for(m->host, (n + TILE - 1) / TILE, cost_task, m);
        if (st != DAL_OK)
            break;
        rows[k] = argmin(m->cost, n);
        rest += m->cost[rows[k]]; /* ||r - g||^2 */
        scores[k] = sqrt(fmax(0, rest));
        m->cost[rows[k]] = INFINITY;
        m->latest = rows[k];
        m->host->progress(m->host, k + 1, want, "picks");
    }
    return st;
}

/* The greedy loop for t [c, d + bias]. */
static dal_status match(const dal_host *host, const dal_gradients *g, const float *target, int64_t want,
                        int64_t *rows, double *scores, dal_error *err)
{
    const int64_t c = dal_gradient_width(g), cells = c * (g->features.cols + g->bias);
    int64_t factors;
    double rest = 0; /* ||t||^2 */
    matching m = {.host = host, .g = g, .target = target};
    m.cost = dal_array(host, g->features.rows, sizeof *m.cost);
    m.a = dal_size_mul(g->features.rows, c, &factors) ? dal_array(host, factors, sizeof *m.a) : NULL;
    dal_status st = m.cost && m.a ? dal_gradient_norms(host, g, m.cost, err)
                                  : dal_fail(err, DAL_E_NOMEM, "", "no memory for the candidates");
    for (int64_t k = 0; k < cells; k++)
        rest += (double)target[k] * (double)target[k];
    if (st == DAL_OK) {
        st = pick_all(&m, want, rest, rows, scores);
        if (st != DAL_OK)
            dal_fail(err, st, "", "interrupted");
    }
    host->free(host, m.cost);
    host->free(host, m.a);
    return st;
}

/* t = b / N sum of the gradients of a set; classes: true labels, or NULL. */
static dal_status make_target(const dal_host *host, const dal_gradients *g, const int32_t *classes, int64_t b,
                              float **target, dal_error *err)
{
    int64_t cells;
    if (!dal_size_mul(dal_gradient_width(g), g->features.cols + g->bias, &cells))
        return dal_fail(err, DAL_E_OVERFLOW, "", "gradients too wide");
    double *sum = dal_array(host, cells, sizeof *sum), *norms = dal_array(host, g->features.rows, sizeof *norms);
    *target = dal_array(host, cells, sizeof **target);
    dal_status st = sum && norms && *target
                        ? dal_gradient_norms(host, g, norms, err) /* which names what is no number */
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for a gradient");
    if (st == DAL_OK)
        st = dal_gradient_sum(host, g, classes, sum, err);
    for (int64_t k = 0; st == DAL_OK && k < cells; k++)
        (*target)[k] = (float)(sum[k] * (double)b / (double)g->features.rows);
    host->free(host, sum);
    host->free(host, norms);
    return st;
}

static dal_status read_set(const dal_view *view, uint32_t set, dal_gradients *g, dal_error *err)
{
    g->ids = view->ids(view, set);
    const dal_status st = view->outputs(view, set, &g->outputs, err);
    return st == DAL_OK ? view->features(view, set, &g->features, err) : st;
}

/* The set t is made of, and its labels. */
static dal_status read_target_set(const dal_view *view, dal_gradients *g, const int32_t **classes, dal_error *err)
{
    const int64_t n = view->count(view, DAL_ROWS_VALIDATION);
    *classes = view->classes(view, DAL_ROWS_VALIDATION);
    if (n == 0)
        return dal_fail(err, DAL_E_INVALID, "target", "there is no validation data to match");
    const dal_status st = read_set(view, DAL_ROWS_VALIDATION, g, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (!*classes || (*classes)[i] < 0 || (*classes)[i] >= g->outputs.values.cols)
            return dal_fail(err, DAL_E_INVALID, "target", "the class of validation sample %lld is not known",
                            (long long)g->ids[i]);
    return st;
}

static dal_status gradmatch_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const int32_t *classes = NULL;
    float *target = NULL;
    dal_gradients g = {.struct_size = sizeof g, .bias = opt->bias}, other = g;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(host, picks->want, sizeof *rows);
    double *scores = dal_array(host, picks->want, sizeof *scores);
    dal_status st = rows && scores ? read_set(view, DAL_ROWS_CANDIDATES, &g, err)
                                   : dal_fail(err, DAL_E_NOMEM, "", "no memory for the picks");
    if (st == DAL_OK && opt->target != TARGET_POOL)
        st = read_target_set(view, &other, &classes, err);
    if (st == DAL_OK)
        st = make_target(host, opt->target == TARGET_POOL ? &g : &other, classes, picks->want, &target, err);
    if (st == DAL_OK)
        st = match(host, &g, target, picks->want, rows, scores, err);
    if (st == DAL_OK)
        dal_pick_rows(view, rows, scores, picks->want, picks);
    host->free(host, target);
    host->free(host, rows);
    host->free(host, scores);
    return st;
}

static void gradmatch_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, b = (double)problem->n_query, c = (double)problem->c,
                 d = (double)problem->d;
    (void)self, (void)options_;
    out->bytes = 4 * n * c + 16 * n + 16 * b + 88 * c * (d + 1) + 4096 * c + 1e6;
    out->flops = 4 * n * c * d + 2 * n * b * (c + d);
    snprintf(out->formula, sizeof out->formula, "O(n c d + n b (c + d)) time, O(n c + c d) memory");
}

static const dal_strategy_impl gradmatch_impl = {
    .struct_size = sizeof gradmatch_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = gradmatch_select,
    .cost = gradmatch_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, target, CHOICE, "pool", "pool|validation", "", "whose gradient is to be matched")                        \
    P(T, bias, BOOL, "true", "", "", "count the gradient of the bias, too")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "gradmatch", gradmatch_impl, "gradients that add up to the gradient of everything",               \
      "Killamsetty et al., ICML 2021 (GRAD-MATCH)", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
DAL_MODULE(gradmatch, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
