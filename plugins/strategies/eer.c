/* eer: expected error reduction: ask for the label after which the model would be the surest of everything else.
 *
 * Roy & McCallum, "Toward optimal active learning through sampling estimation of error reduction", ICML 2001.
 * For every candidate x and every class y a model like the task's is trained on L and (x, y), and
 *
 *     R_y      = sum over u in E, u != x, of  H(p_y(u))             `log`: expected log loss
 *                                        or  1 - max_c p_y(c | u)   `error`: expected 0/1 loss
 *     score(x) = sum_y p(y | x) R_y                                 smallest first, p of the task's model
 *
 * E stands for the rest of the pool: `evaluate` of the candidates (0: all), drawn from the round's stream at
 * their pool index. All trainings start from the same fresh weights, so that R tells of (x, y) alone. The b
 * picks are the b best of one pass; the paper asks for one at a time.
 *
 * n c trainings: refused above `max_fits`. Put it in `subsample` to consider fewer candidates. 4 |E| c bytes and
 * 8 n.
 */
#include <dal/refit.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/wrapper.h>

#include <math.h>

#define RISK_LOG 0u
#define RISK_ERROR 1u

typedef struct options {
    uint32_t risk;
    int64_t evaluate, max_fits;
} options;

typedef struct question {
    const dal_host *host;
    const options *opt;
    const dal_view *view;
    dal_view *rest; /* its candidates are E */
    dal_refit model;
    int64_t n_l, n_e, c;
    int64_t *ids, *e; /* [n_l + 1] L, then x; [n_e] */
    int32_t *classes; /* [n_l + 1] */
    float *p;         /* [n_e, c] */
} question;

static int64_t evaluation_size(const options *opt, int64_t n)
{
    return opt->evaluate > 0 && opt->evaluate < n ? opt->evaluate : n;
}

/* E, ascending. */
static dal_status draw_rest(question *q, dal_error *err)
{
    const dal_view *v = q->view;
    const dal_rng stream = q->host->rng(q->host, "evaluation", v->round);
    const int64_t n = v->count(v, DAL_ROWS_CANDIDATES), *ids = v->ids(v, DAL_ROWS_CANDIDATES);
    double *numbers = dal_array(q->host, q->n_e, sizeof *numbers);
    if (!numbers)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples to evaluate on", (long long)q->n_e);
    dal_topk best;
    dal_topk_init(&best, q->n_e, DAL_LARGEST_FIRST, numbers, q->e);
    for (int64_t i = 0; i < n; i++) {
        dal_rng own = dal_rng_at(&stream, (uint64_t)ids[i]);
        const double number = dal_rng_uniform(&own);
        dal_topk_push(&best, &number, i, 1);
    }
    for (int64_t i = 0; i < q->n_e; i++)
        q->e[i] = ids[q->e[i]];
    dal_sort_ids(q->e, q->n_e);
    q->host->free(q->host, numbers);
    return v->subview(v, q->e, q->n_e, v->ids(v, DAL_ROWS_LABELLED), v->classes(v, DAL_ROWS_LABELLED), q->n_l,
                      &q->rest, err);
}

static double uncertainty(const float *p, int64_t c, uint32_t risk)
{
    double h = 0, top = 0;
    for (int64_t k = 0; k < c; k++) {
        h -= p[k] > 0 ? (double)p[k] * log((double)p[k]) : 0;
        top = fmax(top, (double)p[k]);
    }
    return risk == RISK_LOG ? h : 1 - top;
}

/* R_y of the x and y at the end of the lists. */
static dal_status risk_after(question *q, double *risk, dal_error *err)
{
    dal_status st = dal_refit_fit(&q->model, q->ids, q->classes, q->n_l + 1, q->view->round, err);
    if (st == DAL_OK)
        st = dal_refit_probs(&q->model, q->rest, DAL_ROWS_CANDIDATES, q->p, err);
    *risk = 0;
    for (int64_t i = 0; st == DAL_OK && i < q->n_e; i++)
        if (q->e[i] != q->ids[q->n_l])
            *risk += uncertainty(q->p + i * q->c, q->c, q->opt->risk);
    return st;
}

/* p(y | x) of the row of a model's outputs. */
static double probability(const dal_outputs *o, int64_t row, int64_t y)
{
    const float *z = o->values.data + row * o->values.stride;
    double sum = 0;
    if (o->kind == DAL_PROBS)
        return (double)z[y];
    for (int64_t k = 0; k < o->values.cols; k++)
        sum += exp((double)z[k] - (double)z[y]);
    return 1 / sum;
}

static dal_status score_all(question *q, double *score, dal_error *err)
{
    const dal_view *v = q->view;
    const int64_t n = v->count(v, DAL_ROWS_CANDIDATES);
    dal_outputs now;
    dal_status st = v->outputs(v, DAL_ROWS_CANDIDATES, &now, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        q->host->progress(q->host, i, n, "candidates");
        q->ids[q->n_l] = v->ids(v, DAL_ROWS_CANDIDATES)[i];
        score[i] = 0;
        for (int32_t y = 0; st == DAL_OK && y < q->c; y++) {
            double risk = 0;
            q->classes[q->n_l] = y;
            st = q->host->cancelled(q->host) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted")
                                             : risk_after(q, &risk, err);
            score[i] += probability(&now, i, y) * risk;
        }
    }
    return st;
}

static dal_status check_bound(const options *opt, int64_t n, int64_t c, dal_error *err)
{
    int64_t fits;
    if (dal_size_mul(n, c, &fits) && fits <= opt->max_fits)
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "max_fits",
                    "%lld candidates x %lld classes are more trainings than max_fits, "
                    "%lld; raise it, or put eer into subsample with fewer candidates",
                    (long long)n, (long long)c, (long long)opt->max_fits);
}

static dal_status prepare(question *q, dal_error *err)
{
    const dal_view *v = q->view;
    const dal_host *h = q->host;
    q->ids = dal_array(h, q->n_l + 1, sizeof *q->ids);
    q->classes = dal_array(h, q->n_l + 1, sizeof *q->classes);
    q->e = dal_array(h, q->n_e, sizeof *q->e);
    q->p = dal_array(h, q->n_e * q->c, sizeof *q->p);
    if (!q->ids || !q->classes || !q->e || !q->p)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples to evaluate on", (long long)q->n_e);
    for (int64_t i = 0; i < q->n_l; i++) {
        q->ids[i] = v->ids(v, DAL_ROWS_LABELLED)[i];
        q->classes[i] = v->classes(v, DAL_ROWS_LABELLED)[i];
    }
    return draw_rest(q, err);
}

static dal_status eer_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *h = self->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    question q = {.host = h, .opt = self->options, .view = view, .n_l = view->count(view, DAL_ROWS_LABELLED),
                  .n_e = evaluation_size(self->options, n), .c = view->n_classes};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_refit_open(&q.model, h, view, err);
    double *score = dal_array(h, n, sizeof *score);
    if (st == DAL_OK)
        st = check_bound(self->options, n, q.c, err);
    if (st == DAL_OK && !score)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld scores", (long long)n);
    if (st == DAL_OK)
        st = prepare(&q, err);
    if (st == DAL_OK)
        st = score_all(&q, score, err);
    if (st == DAL_OK) {
        dal_topk best;
        dal_topk_init(&best, picks->want, DAL_SMALLEST_FIRST, picks->scores, picks->ids);
        dal_topk_push(&best, score, 0, n);
        dal_topk_sort(&best);
        for (picks->n = 0; picks->n < best.n; picks->n++)
            picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[picks->ids[picks->n]];
    }
    view->close(view, q.rest);
    dal_refit_close(&q.model);
    void *all[] = {score, q.ids, q.classes, q.e, q.p};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    return st;
}

/* A training is told as 50 passes over L by the last layer alone: nobody knows the model here. */
static void eer_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const dal_stateless *)self)->options : opt;
    const double e = (double)evaluation_size(o, problem->n), c = (double)problem->c;
    const double d = problem->d > 0 ? (double)problem->d : 1, n = (double)problem->n;
    out->bytes = e * (4 * c + 24) + 8 * n + 12 * (double)problem->n_labelled;
    out->flops = n * c * c * d * (2 * e + 300 * (double)problem->n_labelled);
    snprintf(out->formula, sizeof out->formula,
             "n c trainings on L + 1, each with %lld predictions; O(n + e c) memory",
             (long long)evaluation_size(o, problem->n));
}

static const dal_strategy_impl eer_impl = {
    .struct_size = sizeof eer_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = eer_select,
    .cost = eer_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, risk, CHOICE, "log", "log|error", "", "expected log loss, or expected 0/1 loss")                  \
    P(T, evaluate, I64, "300", "0..", "samples", "on how many candidates the risk is measured; 0: all")    \
    P(T, max_fits, I64, "2000", "1..", "trainings", "refuse where candidates x classes are more than this")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "eer", eer_impl, "the label after which the model would be surest of all else",            \
      "Roy & McCallum, ICML 2001", DAL_CAP_OUTPUTS, "", options, PARAMS)
#define ABOUT(A)                                                                                    \
    A(STRATEGY, "eer",                                                                              \
      "smallest sum_y p(y|x) R_y, R_y the loss expected of a model trained on L and (x, y) over "   \
      "other candidates",                                                                           \
      "the b best of one pass, where the paper asks for one at a time; risk over `evaluate` drawn " \
      "candidates")
DAL_MODULE_ABOUT(eer, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
