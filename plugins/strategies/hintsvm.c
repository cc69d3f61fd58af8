/* hintsvm: a support vector machine drawn towards where nobody has looked, asked where it is least sure.
 *
 * Li, Ferng, Lin, "Active learning with hinted support vector machine", ACML 2012. With labelled samples L and a
 * hint pool H, a random part of the candidates, f(x) = w' (x, 1):
 *
 *     min 1/2 ||w||^2 + C_l sum_L max(0, 1 - y f(x)) + c_h sum_H |f(x)|
 *
 * the hints pull the boundary through the crowd of the unlabelled; queried is the smallest |f|. Its dual has a
 * variable a sample, w = sum_L a_i y_i x_i + sum_H g_j x_j with 0 <= a_i <= C_l and -c_h <= g_j <= c_h, maximising
 * sum a_i - 1/2 ||w||^2; solved by cyclic coordinate ascent (Hsieh et al., ICML 2008), each step exact, O(d).
 *
 * Differs. `hint_weight: share` (default) divides C_h n_L among the hints, c_h = C_h n_L / |H|; `each` gives every
 * hint C_h as libact does, which pins f to 0 as soon as hints outnumber labels well: then all candidates are
 * alike, a warning says so and the lowest pool indices are picked. The bias is a constant feature and is
 * regularised. libact queries the largest |f| (`rule: largest`) and draws hints with replacement, we draw without.
 * Classes: one against the rest, |f| of the nearest boundary; with nothing labelled: a uniform sample. Ties go to
 * the lowest pool index; up to d + 1 hints lie on the boundary itself (|f| <= 1e-6) and are tied.
 *
 * Needs features and the labelled samples' classes. O(sweeps (n_L + |H|) d) time, O(n d) memory.
 */
#include <dal/select.h>
#include <dal/tabular.h>
#include <dal/topk.h>

#include <math.h>

#define SHARE 0u
#define SMALLEST 0u
/* The loss of hints has a kink at 0: some lie there but for the tolerance, and are alike. */
#define ON_BOUNDARY 1e-6

typedef struct options {
    double c_labelled, c_hints, hints;
    uint32_t hint_weight, rule;
    double tolerance;
    int64_t max_sweeps;
    int32_t standardise;
} options;

typedef struct machine {
    const dal_host *host;
    const options *opt;
    dal_table t;
    int64_t n_l, n, n_h, d;
    int64_t *order; /* [n] candidates; the first n_h are the hints */
    double c_h;
    double *norm;   /* [n_l + n_h] ||(x, 1)||^2 */
    double *dual;   /* [problems, n_l + n_h] */
    double *w;      /* [problems, d + 1] */
    double *score;  /* [n] */
} machine;

static const float *sample(const machine *m, int64_t i)
{
    return i < m->n_l ? m->t.labelled.data + i * m->d : m->t.candidates.data + m->order[i - m->n_l] * m->d;
}

static double output(const machine *m, const double *w, const float *x)
{
    double f = w[m->d];
    for (int64_t j = 0; j < m->d; j++)
        f += w[j] * (double)x[j];
    return f;
}

/* ---- one binary problem ----------------------------------------------------------------------- */

/* Move w along sample i by t. */
static void move(const machine *m, double *w, int64_t i, double t)
{
    const float *x = sample(m, i);
    for (int64_t j = 0; j < m->d; j++)
        w[j] += t * (double)x[j];
    w[m->d] += t;
}

/* The best value of variable i, all others as they are; returns how far f of the sample moves. */
static double ascend(const machine *m, int64_t problem, double *w, double *dual, int64_t i)
{
    const double f = output(m, w, sample(m, i));
    const double y = i < m->n_l ? dal_table_sign(&m->t, problem, i) : 1;
    const double gradient = i < m->n_l ? 1 - y * f : -f;
    const double low = i < m->n_l ? 0 : -m->c_h, high = i < m->n_l ? m->opt->c_labelled : m->c_h;
    const double to = fmin(high, fmax(low, dual[i] + gradient / m->norm[i])), step = to - dual[i];
    if (step > 0 || step < 0) {
        move(m, w, i, step * y);
        dual[i] = to;
    }
    return fabs(step) * m->norm[i];
}

static dal_status train_task(void *ctx, int64_t problem)
{
    const machine *m = ctx;
    const int64_t rows = m->n_l + m->n_h;
    double *w = m->w + problem * (m->d + 1), *dual = m->dual + problem * rows;
    memset(w, 0, (size_t)(m->d + 1) * sizeof *w);
    memset(dual, 0, (size_t)rows * sizeof *dual);
    for (int64_t sweep = 0; sweep < m->opt->max_sweeps; sweep++) {
        double moved = 0;
        if (m->host->cancelled(m->host))
            return DAL_E_CANCELLED;
        for (int64_t i = 0; i < rows; i++)
            moved = fmax(moved, ascend(m, problem, w, dual, i));
        if (moved <= m->opt->tolerance)
            return DAL_OK;
    }
    dal_logf(m->host, DAL_LOG_WARNING, "the machine still moves after %lld sweeps: raise max_sweeps or tolerance",
             (long long)m->opt->max_sweeps);
    return DAL_OK;
}

/* ---- the strategy ----------------------------------------------------------------------------- */

static dal_status take_arrays(machine *m, dal_error *err)
{
    int64_t duals, weights;
    if (!dal_size_mul(m->t.n_problems, m->n_l + m->n_h, &duals) ||
        !dal_size_mul(m->t.n_problems, m->d + 1, &weights))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many classes");
    m->order = dal_array(m->host, m->n, sizeof *m->order);
    m->norm = dal_array(m->host, m->n_l + m->n_h, sizeof *m->norm);
    m->dual = dal_array(m->host, duals, sizeof *m->dual);
    m->w = dal_array(m->host, weights, sizeof *m->w);
    m->score = dal_array(m->host, m->n, sizeof *m->score);
    if (!m->order || !m->norm || !m->dual || !m->w || !m->score)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a machine of %lld samples",
                        (long long)(m->n_l + m->n_h));
    return DAL_OK;
}

/* The hint pool, without replacement, and the norms of all who take part. */
static void draw_hints(machine *m, const dal_view *view)
{
    dal_rng r = m->host->rng(m->host, "hints", view->round);
    for (int64_t i = 0; i < m->n; i++)
        m->order[i] = i;
    dal_rng_shuffle(&r, m->order, m->n, m->n_h);
    for (int64_t i = 0; i < m->n_l + m->n_h; i++) {
        const float *x = sample(m, i);
        m->norm[i] = 1;
        for (int64_t j = 0; j < m->d; j++)
            m->norm[i] += (double)x[j] * (double)x[j];
    }
    m->c_h = m->opt->c_hints;
    if (m->opt->hint_weight == SHARE)
        m->c_h *= (double)m->n_l / (double)(m->n_h > 0 ? m->n_h : 1);
}

static void score_all(machine *m)
{
    double largest = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const float *x = m->t.candidates.data + i * m->d;
        m->score[i] = (double)INFINITY;
        for (int64_t p = 0; p < m->t.n_problems; p++)
            m->score[i] = fmin(m->score[i], fabs(output(m, m->w + p * (m->d + 1), x)));
        m->score[i] = m->score[i] > ON_BOUNDARY ? m->score[i] : 0;
        largest = fmax(largest, m->score[i]);
    }
    if (largest <= 0)
        dal_logf(m->host, DAL_LOG_WARNING, "the hints pin f to 0: lower c_hints, or use hint_weight: share");
}

/* Nothing labelled: nothing to be unsure of. */
static void draw_uniformly(machine *m, const dal_view *view, dal_picks *picks)
{
    dal_rng r = m->host->rng(m->host, "draw", view->round);
    for (int64_t i = 0; i < m->n; i++)
        m->order[i] = i;
    dal_rng_shuffle(&r, m->order, m->n, picks->want);
    dal_pick_rows(view, m->order, NULL, picks->want, picks);
}

static void pick_best(machine *m, const dal_view *view, dal_picks *picks)
{
    const uint32_t order = m->opt->rule == SMALLEST ? DAL_SMALLEST_FIRST : DAL_LARGEST_FIRST;
    dal_topk top;
    dal_topk_init(&top, picks->want, order, picks->scores, m->order); /* hints are done with */
    dal_topk_push(&top, m->score, 0, m->n);
    dal_topk_sort(&top);
    dal_pick_rows(view, m->order, NULL, top.n, picks);
}

static dal_status hintsvm_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    machine m = {.host = self->host, .opt = self->options};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_table_make(self->host, view, m.opt->standardise, 0, &m.t, err);
    if (st != DAL_OK)
        return st;
    m.n_l = m.t.labelled.rows;
    m.n = m.t.candidates.rows;
    m.d = m.t.all.cols;
    m.n_h = (int64_t)(m.opt->hints * (double)m.n);
    st = take_arrays(&m, err);
    if (st == DAL_OK && m.n_l == 0) {
        draw_uniformly(&m, view, picks);
    } else if (st == DAL_OK) {
        draw_hints(&m, view);
        st = self->host->parallel_for(self->host, m.t.n_problems, train_task, &m);
        if (st == DAL_E_CANCELLED)
            dal_fail(err, st, "", "interrupted");
    }
    if (st == DAL_OK && m.n_l > 0) {
        score_all(&m);
        pick_best(&m, view, picks);
    }
    void *all[] = {m.order, m.norm, m.dual, m.w, m.score};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        self->host->free(self->host, all[i]);
    dal_table_free(&m.t);
    return st;
}

static void hintsvm_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, n_l = (double)problem->n_labelled, d = (double)problem->d;
    const double rows = n_l + n * opt->hints, c = (double)problem->c;
    out->bytes = 4 * (n + n_l) * d + 16 * n + 4 * n_l + 8 * rows * (1 + c) + 8 * c * (d + 1) + 64;
    out->flops = 4 * rows * d * c * 1000;
    snprintf(out->formula, sizeof out->formula, "O(sweeps c n d) time, O(n (c + d)) memory");
}

static const dal_strategy_impl hintsvm_impl = {
    .struct_size = sizeof hintsvm_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = hintsvm_select,
    .cost = hintsvm_cost,
};

#define PARAMS(P, T)                                                                                        \
    P(T, c_labelled, F64, "0.1", "(0..)", "", "C_l: weight of a labelled sample's hinge loss")              \
    P(T, c_hints, F64, "0.1", "0..", "", "C_h: weight of the hints")                                        \
    P(T, hints, F64, "0.5", "0..1", "", "the part of the candidates that are hints")                        \
    P(T, hint_weight, CHOICE, "share", "share|each", "", "C_h n_l is shared by all hints, or C_h is each one's") \
    P(T, rule, CHOICE, "smallest", "smallest|largest", "", "which distance from the boundary is queried")   \
    P(T, tolerance, F64, "1e-8", "0..", "", "solved when no output moves by more")                          \
    P(T, max_sweeps, I64, "10000", "1..", "", "over all samples, at most")                                  \
    P(T, standardise, BOOL, "true", "", "", "bring features to mean 0 and variance 1 first")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "hintsvm", hintsvm_impl, "nearest to a boundary that is drawn through the unlabelled crowd", \
      "Li, Ferng & Lin, ACML 2012", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                 \
    A(STRATEGY, "hintsvm",                                                                       \
      "smallest |f|; min 1/2 ||w||^2 + C_l sum_L hinge + C_h sum_H |f|",                         \
      "rule: largest is what libact queries; hint_weight: each gives every hint C_h as it does")
DAL_MODULE_ABOUT(hintsvm, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
