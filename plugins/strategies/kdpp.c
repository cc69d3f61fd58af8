/* kdpp: samples that the model is unsure of and that are unlike each other, by a determinantal point process.
 *
 * Zhan, Li, Chan, "Multiple-criteria based active learning with fixed-size determinantal point processes", 2021
 * (arXiv 2107.01622): over candidate sets Y of b samples
 *
 *     P(Y) ~ det L_Y,   L_ij = q_i S_ij q_j,   q informativeness, S similarity, candidates that represent the
 * pool.
 *
 *   1. candidates: the m = max(10 b, 1000) samples of highest entropy, and m / 2 representatives of the rest,
 * farthest first from those and from each other (k-center)
 *   2. q_i = exp(gamma s_i / 2), s_i = entropy / ln C, in [0, 1]
 *   3. S_ij = cos(h_i, h_j), or exp(-||h_i - h_j||^2 / (2 width^2)) with the median distance of 1,000 candidates'
 * pairs
 *   4. Y: the greedy approach to the most probable set (map; Chen et al. 2018), or an exact draw (sample; Kulesza
 * & Taskar 2011). Where the kernel has fewer than b dimensions the rest is filled up by q.
 *
 * In the paper q is how hard a sample is, by the votes of several classifiers. `committee` members like the task's
 * model, trained on bootstrap samples of what is labelled, vote on every sample; GLAD (Whitehill et al., NeurIPS 2009)
 * finds the ability of each and the hardness 1 / beta of each sample, which, scaled to [0, 1], is s. The default asks
 * none and takes the entropy of the model that there is.
 *
 * Needs outputs and features. O(n c) for entropies, n m d for representatives as matrix products; map m b (d + b)
 * at most, sample m d^2 + d^3 + m b^2 for cosine and m^3 for rbf. O(n + m (d + b)) memory.
 */
#include <dal/committee.h>
#include <dal/dpp.h>
#include <dal/embedding.h>
#include <dal/kcenter.h>
#include <dal/linalg.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>
#include <stdlib.h>

#define KERNEL_COSINE 0u
#define MODE_MAP 0u
#define MEDIAN_OF 1000
#define GLAD_ROUNDS 50

typedef struct options {
    uint32_t mode, kernel;
    int64_t candidates;
    int32_t representatives;
    double gamma, width;
    int64_t committee;
} options;

/* ---- candidates ------------------------------------------------------------------------------- */

typedef struct kept {
    const dal_host *host;
    double *unsure; /* [all] s; NaN counts as 0 */
    int64_t *rows;  /* [room] then ascending, n of them */
    int64_t n, all;
} kept;

static void score_all(kept *k, const dal_outputs *o)
{
    const double most = log((double)o->values.cols);
    dal_entropy(o, k->unsure);
    for (int64_t i = 0; i < k->all; i++)
        k->unsure[i] = k->unsure[i] > 0 && most > 0 ? k->unsure[i] / most : 0;
}

typedef struct ballot {
    int64_t n, c;
    int32_t *votes; /* [members, n] */
} ballot;

static dal_status vote(void *ctx, int64_t member, const float *probs)
{
    const ballot *b = ctx;
    for (int64_t i = 0; i < b->n; i++) {
        int64_t top = 0;
        for (int64_t k = 1; k < b->c; k++)
            top = probs[i * b->c + k] > probs[i * b->c + top] ? k : top;
        b->votes[member * b->n + i] = (int32_t)top;
    }
    return DAL_OK;
}

/* Hardness by the votes of a committee for s. */
static dal_status ask_committee(kept *k, const dal_view *view, int64_t members, dal_error *err)
{
    const dal_rng stream = k->host->rng(k->host, "committee", view->round);
    ballot b = {.n = k->all, .c = view->n_classes};
    double least = INFINITY, most = 0;
    int64_t cells;
    b.votes = dal_size_mul(members, k->all, &cells) ? dal_array(k->host, cells, sizeof *b.votes) : NULL;
    dal_status st = b.votes ? dal_committee(k->host, view, members, &stream, vote, &b, err)
                            : dal_fail(err, DAL_E_NOMEM, "", "no memory for votes on %lld candidates",
                                       (long long)k->all);
    if (st == DAL_OK)
        st = dal_glad(k->host, b.votes, members, k->all, b.c, GLAD_ROUNDS, k->unsure, NULL, err);
    for (int64_t i = 0; st == DAL_OK && i < k->all; i++) {
        least = fmin(least, k->unsure[i]);
        most = fmax(most, k->unsure[i]);
    }
    for (int64_t i = 0; st == DAL_OK && i < k->all; i++)
        k->unsure[i] = most > least ? (k->unsure[i] - least) / (most - least) : 0;
    k->host->free(k->host, b.votes);
    return st;
}

static dal_status keep_unsure(kept *k, int64_t m, dal_error *err)
{
    double *best = dal_array(k->host, m, sizeof *best);
    dal_topk top;
    if (!best)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)m);
    dal_topk_init(&top, m, DAL_LARGEST_FIRST, best, k->rows);
    dal_topk_push(&top, k->unsure, 0, k->all);
    k->n = top.n;
    k->host->free(k->host, best);
    return DAL_OK;
}

/* Farthest first from what is kept: m / 2 more. */
static dal_status keep_representatives(kept *k, const dal_view *view, int64_t m, dal_error *err)
{
    const dal_embed_spec some = {
        .struct_size = sizeof some, .set = DAL_ROWS_CANDIDATES, .rows = k->rows, .n = k->n};
    dal_embedding centres;
    dal_kcenter_problem problem = {.struct_size = sizeof problem, .centres = &centres.points.x, .n_centres = 1,
                                   .n_picks = m};
    int64_t n = 0, *rows = dal_array(k->host, m, sizeof *rows);
    float *distance = dal_array(k->host, m, sizeof *distance);
    dal_status st = dal_embed(k->host, view, &some, &centres, err);
    if (st == DAL_OK && (!rows || !distance))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld representatives", (long long)m);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &problem.candidates, err);
    if (st == DAL_OK)
        st = dal_kcenter(k->host, &problem, rows, distance, &n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (distance[i] > 0) /* others are copies of what is kept */
            k->rows[k->n++] = rows[i];
    dal_embedding_free(k->host, &centres);
    k->host->free(k->host, rows);
    k->host->free(k->host, distance);
    return st;
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static dal_status keep(kept *k, const dal_view *view, const options *opt, int64_t b, dal_error *err)
{
    dal_outputs o;
    dal_status st = view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
    if (st != DAL_OK)
        return st;
    k->all = o.values.rows;
    const int64_t wanted = opt->candidates > 0 ? opt->candidates : b > 100 ? 10 * b : 1000;
    const int64_t least = wanted < b ? b : wanted, m = least < k->all ? least : k->all;
    k->unsure = dal_array(k->host, k->all, sizeof *k->unsure);
    k->rows = dal_array(k->host, m + m / 2, sizeof *k->rows);
    if (!k->unsure || !k->rows)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)k->all);
    score_all(k, &o);
    if (opt->committee > 0)
        st = ask_committee(k, view, opt->committee, err);
    if (st == DAL_OK)
        st = keep_unsure(k, m, err);
    if (st == DAL_OK && opt->representatives && m < k->all)
        st = keep_representatives(k, view, m / 2, err);
    qsort(k->rows, (size_t)k->n, sizeof *k->rows, ascending);
    return st;
}

/* ---- the kernel ------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median distance of the pairs of some; 1 where that is 0. */
static dal_status median_distance(const dal_host *host, const dal_matrix *x, dal_rng rng, double *out,
                                  dal_error *err)
{
    const int64_t some = x->rows < MEDIAN_OF ? x->rows : MEDIAN_OF, pairs = some * (some - 1) / 2;
    int64_t *rows = dal_array(host, x->rows, sizeof *rows), at = 0;
    float *squares = dal_array(host, pairs, sizeof *squares);
    dal_status st = rows && squares ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld distances",
                                                       (long long)pairs);
    for (int64_t i = 0; st == DAL_OK && i < x->rows; i++)
        rows[i] = i;
    if (st == DAL_OK)
        dal_rng_shuffle(&rng, rows, x->rows, some);
    for (int64_t i = 0; st == DAL_OK && i < some; i++)
        for (int64_t j = 0; j < i; j++)
            squares[at++] =
                dal_squared_distance(x->data + rows[i] * x->stride, x->data + rows[j] * x->stride, x->cols);
    if (st == DAL_OK)
        qsort(squares, (size_t)pairs, sizeof *squares, by_size);
    *out = st == DAL_OK && pairs > 0 && squares[pairs / 2] > 0 ? sqrt((double)squares[pairs / 2]) : 1;
    host->free(host, rows);
    host->free(host, squares);
    return st;
}

/* Unit vectors, in place: their products are cosines. The embedding owns its rows. */
static void scale_rows(dal_embedding *e)
{
    float *x = e->owned[0];
    for (int64_t i = 0; i < e->points.x.rows; i++) {
        const double inverse = e->points.squares[i] > 0 ? 1 / sqrt(e->points.squares[i]) : 0;
        float *row = x + i * e->points.x.cols;
        for (int64_t j = 0; j < e->points.x.cols; j++)
            row[j] = (float)(inverse * (double)row[j]);
        e->points.squares[i] = dal_inner(&e->points, i, &e->points, i);
    }
}

static dal_status pick(const dal_stateless *self, const dal_view *view, const kept *k, dal_embedding *e,
                       double *quality, dal_picks *picks, dal_error *err)
{
    const options *opt = self->options;
    const dal_host *host = self->host;
    const dal_rng stream = host->rng(host, "sample", view->round);
    dal_dpp dpp = {.struct_size = sizeof dpp, .points = &e->points, .quality = quality,
                   .similarity = {opt->kernel == KERNEL_COSINE ? DAL_DOT : DAL_RBF, 0, opt->width}};
    int64_t n = 0, *rows = dal_array(host, picks->want, sizeof *rows);
    double *gain = dal_array(host, picks->want, sizeof *gain);
    dal_status st = rows && gain ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks",
                                                     (long long)picks->want);
    if (st == DAL_OK && opt->kernel == KERNEL_COSINE)
        scale_rows(e);
    else if (st == DAL_OK && !(opt->width > 0))
        st =
            median_distance(host, &e->points.x, host->rng(host, "width", view->round), &dpp.similarity.width, err);
    if (st == DAL_OK)
        st = opt->mode == MODE_MAP ? dal_dpp_map(host, &dpp, picks->want, rows, gain, &n, err)
                                   : dal_dpp_sample(host, &dpp, picks->want, &stream, rows, &n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        rows[i] = k->rows[rows[i]];
    if (st == DAL_OK)
        dal_pick_rows(view, rows, opt->mode == MODE_MAP ? gain : NULL, n, picks);
    host->free(host, rows);
    host->free(host, gain);
    return st;
}

static dal_status kdpp_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    kept k = {.host = host};
    dal_embedding e = {0};
    double *quality = NULL;
    dal_status st = keep(&k, view, opt, picks->want, err);
    if (st == DAL_OK) {
        const dal_embed_spec some = {
            .struct_size = sizeof some, .set = DAL_ROWS_CANDIDATES, .rows = k.rows, .n = k.n};
        st = dal_embed(host, view, &some, &e, err);
    }
    if (st == DAL_OK && !(quality = dal_array(host, k.n, sizeof *quality)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)k.n);
    for (int64_t i = 0; st == DAL_OK && i < k.n; i++)
        quality[i] = exp(0.5 * opt->gamma * k.unsure[k.rows[i]]);
    if (st == DAL_OK)
        st = pick(self, view, &k, &e, quality, picks, err);
    dal_embedding_free(host, &e);
    host->free(host, quality);
    host->free(host, k.unsure);
    host->free(host, k.rows);
    return st;
}

static void kdpp_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double n = (double)problem->n, b = (double)problem->n_query, d = (double)problem->d;
    const double wanted = opt->candidates > 0 ? (double)opt->candidates : fmax(10 * b, 1000);
    const double m = fmin(n, 1.5 * fmax(wanted, b));
    const double r = opt->kernel == KERNEL_COSINE ? fmin(m, d) : m;
    out->bytes = 60 * n + m * (8 * d + 40) + 8e6;
    out->flops = 20 * n * (double)problem->c + 2 * n * m * d;
    if (opt->committee > 0) { /* a training told as in qbc */
        const double e = (double)opt->committee, c = (double)problem->c;
        out->bytes += n * (4 * c + 20 * e) + 40 * (double)problem->n_labelled;
        out->flops += e * c * d * (2 * n + 300 * (double)problem->n_labelled) + GLAD_ROUNDS * n * e * (e + 60);
    }
    if (opt->mode == MODE_MAP) {
        out->bytes += 16 * m * b;
        out->flops += 2 * m * b * (d + b / 2);
        snprintf(out->formula, sizeof out->formula, "O(n (c + m d) + m b (d + b)) time, O(n + m (d + b)) memory");
    } else {
        out->bytes += 16 * m * b + 8 * m * r + 32 * r * r + 8 * b * r;
        out->flops += m * r * r + 9 * r * r * r + 4 * m * b * b;
        snprintf(out->formula, sizeof out->formula,
                 "O(n (c + m d) + m r^2 + r^3 + m b^2) time, O(n + m (r + b)) memory, "
                 "r = %s",
                 opt->kernel == KERNEL_COSINE ? "d" : "m");
    }
}

static const dal_strategy_impl kdpp_impl = {
    .struct_size = sizeof kdpp_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = kdpp_select,
    .cost = kdpp_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, mode, CHOICE, "map", "map|sample", "", "the greedy approach to the most probable set, or an exact draw") \
    P(T, kernel, CHOICE, "cosine", "cosine|rbf", "", "similarity of features")                                    \
    P(T, width, F64, "0", "0..", "", "of rbf; 0: the median distance")                                            \
    P(T, gamma, F64, "2", "0..", "", "weight of informativeness: q = exp(gamma s / 2)")                           \
    P(T, candidates, I64, "0", "0..", "", "the least sure that are considered; 0: max(10 b, 1000)")               \
    P(T, representatives, BOOL, "true", "", "", "and half as many, farthest from those")                          \
    P(T, committee, I64, "0", "0..1000", "", "models whose votes tell how hard a sample is (paper); 0: entropy")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "kdpp", kdpp_impl, "unsure and unlike each other: a determinantal point process",                 \
      "Zhan, Li, Chan, 2021", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", options, PARAMS)
#define ABOUT(A)                                                                                 \
    A(STRATEGY, "kdpp",                                                                          \
      "P(Y) ~ det (q_i S_ij q_j)_Y, q = exp(gamma s / 2); greedy mode or an exact draw",         \
      "s is the entropy unless a committee is asked (GLAD); the terms of the paper are known from its " \
      "abstract only")
DAL_MODULE_ABOUT(kdpp, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
