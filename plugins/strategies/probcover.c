/* probcover: balls of one radius round the picks cover as much of the pool as can be; for small budgets.
 *
 * Yehuda, Dekel, Hacohen, Weinshall, "Active learning through a covering lens", NeurIPS 2022, algorithm 1 and
 * section 3.3:
 *
 *     edges x -> x' where ||x - x'|| < delta; what labelled samples cover is covered
 *     b times: pick the candidate that covers most that is not covered yet (ties: the lowest), cover that
 *     delta = the largest radius at which the balls of at least `purity` (0.95) of the samples hold only samples
 *     of
 *         their own pseudo-label, a k-means cluster of as many as there are classes
 *
 * Features are scaled to unit length, as theirs are (`normalise`). Here delta is that largest radius exactly (the
 * distance to the nearest of another pseudo-label, at the 1 - purity quantile), where theirs tries a grid. Once
 * all is covered theirs picks sample 0 again and again; ours draws the rest at random. The score is how many
 * samples a pick newly covers; only candidates are to be covered.
 *
 * Needs features. No graph is kept: degrees are counted by products in blocks and what was covered is taken off
 * them as it is covered; O(n^2 d + b n d) time, half of it less when little gets covered, O(n d) memory for the
 * copy at unit length.
 */
#include <dal/kmeans.h>
#include <dal/neighbours.h>
#include <dal/select.h>

#include <math.h>
#include <stdlib.h>

#define CHUNK 2048 /* samples taken off the degrees at once */

typedef struct options {
    double delta;
    double purity;
    int32_t normalise;
} options;

typedef struct cover {
    const dal_host *host;
    dal_matrix x;            /* [n, d] candidates */
    float *norms;            /* [n] */
    float radius;            /* delta squared */
    unsigned char *covered;  /* [n] */
    unsigned char *picked;   /* [n] */
    int64_t *degrees;        /* [n] samples not covered in the ball of each */
    int64_t *counts;         /* [n] scratch */
    int64_t *rows;           /* [n] scratch */
    float *chunk;            /* [CHUNK, d] */
    float *chunk_norms;      /* [CHUNK] */
} cover;

/* ---- features --------------------------------------------------------------------------------- */

/* A copy of a set's features, at unit length where that is wanted. */
static dal_status copy_features(const dal_host *host, const dal_view *view, uint32_t set, int normalise,
                                dal_matrix *out, float **data, dal_error *err)
{
    const dal_status st = dal_stack_features(host, view, &set, 1, data, out, err);
    return st == DAL_OK && normalise ? dal_unit_rows(host, out, *data, err) : st;
}

/* 0 without memory. */
static int take_cover(cover *c)
{
    const int64_t n = c->x.rows;
    int64_t cells;
    c->norms = dal_array(c->host, n, sizeof *c->norms);
    c->covered = dal_array(c->host, n, 1);
    c->picked = dal_array(c->host, n, 1);
    c->degrees = dal_array(c->host, n, sizeof *c->degrees);
    c->counts = dal_array(c->host, n, sizeof *c->counts);
    c->rows = dal_array(c->host, n, sizeof *c->rows);
    c->chunk = dal_size_mul(CHUNK, c->x.cols, &cells) ? dal_array(c->host, cells, sizeof *c->chunk) : NULL;
    c->chunk_norms = dal_array(c->host, CHUNK, sizeof *c->chunk_norms);
    if (!c->norms || !c->covered || !c->picked || !c->degrees || !c->counts || !c->rows || !c->chunk ||
        !c->chunk_norms)
        return 0;
    memset(c->covered, 0, (size_t)n);
    memset(c->picked, 0, (size_t)n);
    memset(c->degrees, 0, (size_t)n * sizeof *c->degrees);
    return 1;
}

static void drop_cover(cover *c)
{
    c->host->free(c->host, c->norms);
    c->host->free(c->host, c->covered);
    c->host->free(c->host, c->picked);
    c->host->free(c->host, c->degrees);
    c->host->free(c->host, c->counts);
    c->host->free(c->host, c->rows);
    c->host->free(c->host, c->chunk);
    c->host->free(c->host, c->chunk_norms);
}

/* ---- the radius ------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The squared distance of each sample to the nearest of another cluster; the quantile of them. */
static dal_status purity_radius(cover *c, const options *opt, int64_t k, const dal_rng *stream, dal_error *err)
{
    const int64_t n = c->x.rows;
    const dal_kmeans_problem problem = {.struct_size = sizeof problem, .x = c->x, .k = k < n ? k : n, .starts = 10,
                                        .max_iterations = 300, .tolerance = 1e-4};
    dal_kmeans_result labels = {.struct_size = sizeof labels};
    dal_neighbours_problem others = {.struct_size = sizeof others, .x = c->x, .y = c->x, .k = 1};
    float *distance = dal_array(c->host, n, sizeof *distance);
    labels.assignment = dal_array(c->host, n, sizeof *labels.assignment);
    dal_status st = distance && labels.assignment
                        ? dal_kmeans(c->host, &problem, stream, &labels, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the radius of %lld samples", (long long)n);
    others.x_groups = others.y_groups = labels.assignment;
    if (st == DAL_OK)
        st = dal_neighbours(c->host, &others, c->rows, distance, err);
    if (st == DAL_OK) {
        const int64_t impure = (int64_t)((1 - opt->purity) * (double)n);
        qsort(distance, (size_t)n, sizeof *distance, by_value);
        c->radius = distance[impure < n ? impure : n - 1];
        dal_logf(c->host, DAL_LOG_INFO, "delta %.6g: %g of the balls are pure", sqrt((double)c->radius),
                 opt->purity);
    }
    c->host->free(c->host, distance);
    c->host->free(c->host, labels.assignment);
    return st;
}

static dal_status find_radius(cover *c, const dal_view *view, const options *opt, dal_error *err)
{
    const dal_rng stream = c->host->rng(c->host, "k-means", view->round);
    if (opt->delta > 0) {
        c->radius = (float)(opt->delta * opt->delta);
        return DAL_OK;
    }
    if (view->n_classes < 2)
        return dal_fail(err, DAL_E_INVALID, "delta", "without classes the radius cannot be estimated; give delta");
    return purity_radius(c, opt, view->n_classes, &stream, err);
}

/* ---- degrees ---------------------------------------------------------------------------------- */

/* Rows [m] of x count (sign 1) or no longer count (-1) in the degrees of all whose balls hold them. */
static dal_status change_degrees(cover *c, const int64_t *rows, int64_t m, int64_t sign, dal_error *err)
{
    const int64_t d = c->x.cols;
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < m; first += CHUNK) {
        const int64_t n = m - first < CHUNK ? m - first : CHUNK;
        for (int64_t i = 0; i < n; i++) {
            memcpy(c->chunk + i * d, c->x.data + rows[first + i] * c->x.stride, (size_t)d * sizeof *c->chunk);
            c->chunk_norms[i] = c->norms[rows[first + i]];
        }
        const dal_matrix y = {c->chunk, n, d, d};
        memset(c->counts, 0, (size_t)c->x.rows * sizeof *c->counts);
        st = dal_count_within(c->host, &c->x, c->norms, &y, c->chunk_norms, c->radius, c->counts, err);
        for (int64_t i = 0; st == DAL_OK && i < c->x.rows; i++)
            c->degrees[i] += sign * c->counts[i];
    }
    return st;
}

/* What y covers is covered; those that were not before are named in rows [*m]. */
static dal_status cover_by(cover *c, const dal_matrix *y, const float *norms, int64_t *m, dal_error *err)
{
    memset(c->counts, 0, (size_t)c->x.rows * sizeof *c->counts);
    *m = 0;
    const dal_status st = dal_count_within(c->host, &c->x, c->norms, y, norms, c->radius, c->counts, err);
    for (int64_t i = 0; st == DAL_OK && i < c->x.rows; i++)
        if (c->counts[i] > 0 && !c->covered[i]) {
            c->covered[i] = 1;
            c->rows[(*m)++] = i;
        }
    return st;
}

/* What is labelled covers; everything else counts. */
static dal_status begin(cover *c, const dal_matrix *labelled, dal_error *err)
{
    int64_t m = 0;
    float *norms = dal_array(c->host, labelled->rows, sizeof *norms);
    dal_status st = norms ? dal_row_norms(c->host, &c->x, "candidate", c->norms, err)
                          : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples",
                                     (long long)labelled->rows);
    if (st == DAL_OK && labelled->rows > 0)
        st = dal_row_norms(c->host, labelled, "labelled", norms, err);
    if (st == DAL_OK && labelled->rows > 0)
        st = cover_by(c, labelled, norms, &m, err);
    m = 0;
    for (int64_t i = 0; i < c->x.rows; i++)
        if (!c->covered[i])
            c->rows[m++] = i;
    if (st == DAL_OK)
        st = change_degrees(c, c->rows, m, 1, err);
    c->host->free(c->host, norms);
    return st;
}

/* ---- picks ------------------------------------------------------------------------------------ */

static int64_t widest(const cover *c)
{
    int64_t best = -1;
    for (int64_t i = 0; i < c->x.rows; i++)
        if (!c->picked[i] && (best < 0 || c->degrees[i] > c->degrees[best]))
            best = i;
    return best;
}

/* Picks while anything is left to cover. */
static dal_status pick_widest(cover *c, int64_t want, int64_t *picks, double *scores, int64_t *n, dal_error *err)
{
    dal_status st = DAL_OK;
    while (st == DAL_OK && *n < want) {
        const int64_t row = widest(c);
        const dal_matrix ball = {c->x.data + row * c->x.stride, 1, c->x.cols, c->x.stride};
        int64_t m;
        if (c->degrees[row] <= 0)
            break;
        if (c->host->cancelled(c->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "cancelled after %lld of %lld picks", (long long)*n,
                            (long long)want);
        c->picked[row] = 1;
        scores[*n] = (double)c->degrees[row];
        picks[(*n)++] = row;
        st = cover_by(c, &ball, &c->norms[row], &m, err);
        if (st == DAL_OK)
            st = change_degrees(c, c->rows, m, -1, err);
        c->host->progress(c->host, *n, want, "picks");
    }
    return st;
}

static void pick_rest(cover *c, dal_rng *r, int64_t want, int64_t *picks, double *scores, int64_t *n)
{
    int64_t left = 0;
    for (int64_t i = 0; i < c->x.rows; i++)
        if (!c->picked[i])
            c->rows[left++] = i;
    dal_rng_shuffle(r, c->rows, left, want - *n);
    for (int64_t i = 0; *n < want; i++) {
        scores[*n] = 0;
        picks[(*n)++] = c->rows[i];
    }
}

static dal_status run(cover *c, const dal_view *view, const options *opt, const dal_matrix *labelled, int64_t want,
                      int64_t *picks, double *scores, dal_error *err)
{
    dal_rng rest = c->host->rng(c->host, "rest", view->round);
    int64_t n = 0;
    dal_status st = find_radius(c, view, opt, err);
    if (st == DAL_OK)
        st = begin(c, labelled, err);
    if (st == DAL_OK)
        st = pick_widest(c, want, picks, scores, &n, err);
    if (st == DAL_OK)
        pick_rest(c, &rest, want, picks, scores, &n);
    return st;
}

static dal_status probcover_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    cover c = {.host = host};
    dal_matrix labelled = {0};
    float *x = NULL, *y = NULL;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(host, picks->want, sizeof *rows);
    double *scores = dal_array(host, picks->want, sizeof *scores);
    dal_status st = rows && scores ? copy_features(host, view, DAL_ROWS_CANDIDATES, opt->normalise, &c.x, &x, err)
                                   : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks",
                                              (long long)picks->want);
    if (st == DAL_OK && view->count(view, DAL_ROWS_LABELLED) > 0)
        st = copy_features(host, view, DAL_ROWS_LABELLED, opt->normalise, &labelled, &y, err);
    if (st == DAL_OK)
        st = take_cover(&c) ? run(&c, view, opt, &labelled, picks->want, rows, scores, err)
                            : dal_fail(err, DAL_E_NOMEM, "", "no memory to cover %lld samples",
                                       (long long)c.x.rows);
    if (st == DAL_OK)
        dal_pick_rows(view, rows, scores, picks->want, picks);
    drop_cover(&c);
    host->free(host, x);
    host->free(host, y);
    host->free(host, rows);
    host->free(host, scores);
    return st;
}

static void probcover_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, l = (double)problem->n_labelled, d = (double)problem->d;
    const double b = (double)problem->n_query;
    out->bytes = 4 * (n + l) * d + 80 * n + 4 * CHUNK * d + 8e6;
    out->flops = (opt->delta > 0 ? 4 : 6) * n * n * d + 2 * n * (l + b) * d;
    snprintf(out->formula, sizeof out->formula, "O(n^2 d + n (n_l + b) d) time, O(n d) memory");
}

static const dal_strategy_impl probcover_impl = {
    .struct_size = sizeof probcover_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = probcover_select,
    .cost = probcover_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, delta, F64, "0", "0..", "", "radius of the balls; 0: from the purity of k-means clusters")        \
    P(T, purity, F64, "0.95", "(0..1]", "", "share of balls that hold one pseudo-label only")              \
    P(T, normalise, BOOL, "true", "", "", "scale features to unit length")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "probcover", probcover_impl, "balls round the picks cover most of the pool",               \
      "Yehuda et al., NeurIPS 2022", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                            \
    A(STRATEGY, "probcover",                                                                \
      "b times the ball of radius delta that covers most not yet covered",                  \
      "delta exactly at the purity quantile, theirs on a grid; random once all is covered")
DAL_MODULE_ABOUT(probcover, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
