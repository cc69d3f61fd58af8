/* variance-reduction: ask for the sample after which the predictions would vary the least.
 *
 * Schein & Ungar, "Active learning for logistic regression: an evaluation", Machine Learning 2007: A-optimality.
 * With the model's last layer as a logistic regression on h = (features, 1), theta its c (d + 1) parameters, pi
 * the class probabilities and S = diag(pi) - pi pi':
 *
 *     F   = sum over labelled  S (x) h h'  +  1/sigma I              Fisher information; sigma -> sigma
 *     A   = sum over candidates  S^2 (x) h h'                        = sum of g g', g the gradients of pi by theta
 *     phi = tr(F^-1 A)                                               the variance of all predictions
 *     score(x) = tr(F^-1 A) - tr((F + S_x (x) h_x h_x')^-1 A)        what x takes off it: largest first
 *
 * The information in x does not depend on its label while the parameters stay, so the expectation over labels is
 * one term. S = D (I - q q') D with D = diag(sqrt pi), q = sqrt pi; so with B = D (I - q q') and U = B (x) h_x
 * the score is
 *
 *     tr((I + U' F^-1 U)^-1  U' F^-1 A F^-1 U)           c x c matrices of a pass over F^-1 and F^-1 A F^-1
 *
 * and no candidate needs a factorisation of its own. libact trains anew for every candidate and label, looks at
 * the information of x alone, has the sign of the off-diagonal blocks wrong, and writes the ridge as (1/sigma)
 * sigma = 1; the retraining is left out here, the rest is as in the paper.
 *
 * Needs outputs and features (of a model whose last layer is a softmax of them). Time O(n m^2 + m^3), memory 24
 * m^2, m = c (d + 1): refused above `max_parameters`.
 */
#include <dal/select.h>
#include <dal/symmetric.h>
#include <dal/topk.h>

#include <math.h>

#define TILE 16

typedef struct options {
    double sigma;
    int64_t max_parameters;
} options;

/* Rows of a set as the strategy needs them, in double. */
typedef struct rows {
    int64_t n;
    double *pi; /* [n, c] */
    double *h;  /* [n, w], w = d + 1 */
} rows;

typedef struct design {
    const dal_host *host;
    int64_t c, w, m;
    rows l, u;       /* labelled, candidates */
    const rows *sum; /* of the accumulation going on */
    int squared;     /* it is of S^2 */
    double *into;    /* [m, m] */
    double *p, *q;   /* [m, m] F^-1, F^-1 A F^-1 */
    double *score;   /* [n] */
} design;

static void rows_free(const dal_host *h, rows *x)
{
    h->free(h, x->pi);
    h->free(h, x->h);
}

static dal_status read_rows(const dal_host *host, const dal_view *view, uint32_t set, rows *x, int64_t *width,
                            dal_error *err)
{
    dal_outputs o;
    dal_matrix f;
    int64_t cells;
    *x = (rows){.n = view->count(view, set)};
    if (x->n == 0)
        return DAL_OK;
    dal_status st = view->outputs(view, set, &o, err);
    if (st == DAL_OK)
        st = view->features(view, set, &f, err);
    if (st != DAL_OK)
        return st;
    const int64_t c = o.values.cols, w = *width = f.cols + 1;
    x->pi = dal_size_mul(x->n, c, &cells) ? dal_array(host, cells, sizeof *x->pi) : NULL;
    x->h = dal_size_mul(x->n, w, &cells) ? dal_array(host, cells, sizeof *x->h) : NULL;
    if (!x->pi || !x->h)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)x->n);
    for (int64_t i = 0; i < x->n; i++) {
        const float *z = o.values.data + i * o.values.stride, *g = f.data + i * f.stride;
        double *pi = x->pi + i * c, top = -INFINITY, sum = 0, all = 0;
        for (int64_t k = 0; k < c; k++)
            top = fmax(top, (double)z[k]);
        for (int64_t k = 0; k < c; k++)
            sum += pi[k] = o.kind == DAL_LOGITS ? exp((double)z[k] - top) : (double)z[k];
        for (int64_t k = 0; k < c; k++)
            pi[k] /= sum;
        for (int64_t j = 0; j < w; j++)
            all += x->h[i * w + j] = j < w - 1 ? (double)g[j] : 1;
        if (!isfinite(sum) || !isfinite(all))
            return dal_fail(err, DAL_E_INVALID, "", "the outputs or features of sample %lld are not numbers",
                            (long long)view->ids(view, set)[i]);
    }
    return DAL_OK;
}

/* Entry (k, l) of S = diag(pi) - pi pi', or of S^2. */
static double spread(const double *pi, int64_t c, int64_t k, int64_t l, int squared)
{
    const double s = (k == l ? pi[k] : 0) - pi[k] * pi[l];
    if (!squared)
        return s;
    double square = 0; /* S^2 = D^2 - pi^2 pi' - pi pi^2' + ||pi||^2 pi pi', D = diag(pi) */
    for (int64_t j = 0; j < c; j++)
        square += pi[j] * pi[j];
    return (k == l ? pi[k] * pi[k] : 0) + pi[k] * pi[l] * (square - pi[k] - pi[l]);
}

/* Blocks (k, 0..k) of the sum over rows of S (x) h h'. */
static dal_status sum_blocks(void *ctx, int64_t k)
{
    const design *g = ctx;
    const int64_t w = g->w, m = g->m;
    for (int64_t l = 0; l <= k; l++)
        for (int64_t i = 0; i < g->sum->n; i++) {
            const double s = spread(g->sum->pi + i * g->c, g->c, k, l, g->squared), *h = g->sum->h + i * w;
            for (int64_t a = 0; s != 0 && a < w; a++) {
                double *out = g->into + (k * w + a) * m + l * w;
                const double factor = s * h[a];
                for (int64_t b = 0; b < w; b++)
                    out[b] += factor * h[b];
            }
        }
    return DAL_OK;
}

/* into = sum of S (S^2) (x) h h' over rows, both triangles. */
static dal_status sum_over(design *g, const rows *x, int squared, double *into)
{
    memset(into, 0, (size_t)(g->m * g->m) * sizeof *into);
    g->sum = x;
    g->squared = squared;
    g->into = into;
    const dal_status st = g->host->parallel_for(g->host, g->c, sum_blocks, g);
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < i; j++)
            into[j * g->m + i] = into[i * g->m + j];
    return st;
}

static void transpose(double *x, int64_t m)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < i; j++) {
            const double t = x[i * m + j];
            x[i * m + j] = x[j * m + i];
            x[j * m + i] = t;
        }
}

/* p = F^-1, q = F^-1 A F^-1; f [m, m] is scratch. */
static dal_status invert(design *g, double sigma, double *f, dal_error *err)
{
    const int64_t m = g->m;
    dal_status st = sum_over(g, &g->l, 0, f);
    for (int64_t i = 0; i < m; i++)
        f[i * m + i] += 1 / sigma;
    if (st == DAL_OK)
        st = dal_cholesky(m, f, err);
    memset(g->p, 0, (size_t)(m * m) * sizeof *g->p);
    for (int64_t i = 0; i < m; i++)
        g->p[i * m + i] = 1;
    if (st == DAL_OK)
        st = dal_cholesky_solve(m, f, m, g->p, err);
    if (st == DAL_OK)
        st = sum_over(g, &g->u, 1, g->q);
    if (st == DAL_OK)
        st = dal_cholesky_solve(m, f, m, g->q, err);
    transpose(g->q, m);
    return st == DAL_OK ? dal_cholesky_solve(m, f, m, g->q, err) : st;
}

static double dot(const double *x, const double *y, int64_t n)
{
    double s[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int v = 0; v < 4; v++)
            s[v] += x[i + v] * y[i + v];
    for (; i < n; i++)
        s[0] += x[i] * y[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* out [TILE, c, c]: h' X_kl h of n samples for every block (k, l) of a symmetric x [m, m]. */
static void forms(const design *g, const double *x, const double *h, int64_t n, double *out)
{
    const int64_t c = g->c, w = g->w, m = g->m;
    memset(out, 0, (size_t)(TILE * c * c) * sizeof *out);
    for (int64_t k = 0; k < c; k++)
        for (int64_t a = 0; a < w; a++)
            for (int64_t l = 0; l <= k; l++)
                for (int64_t i = 0; i < n; i++)
                    out[(i * c + k) * c + l] += h[i * w + a] * dot(x + (k * w + a) * m + l * w, h + i * w, w);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t l = 0; l < k; l++)
                out[(i * c + l) * c + k] = out[(i * c + k) * c + l];
}

/* x [c, c] becomes B' x B, B = D (I - q q'). */
static void project(const double *pi, int64_t c, double *x)
{
    for (int turn = 0; turn < 2; turn++) { /* rows, then columns */
        const int64_t along = turn ? 1 : c, across = turn ? c : 1;
        for (int64_t l = 0; l < c; l++) {
            double sum = 0; /* q' D x = pi' x */
            for (int64_t k = 0; k < c; k++)
                sum += pi[k] * x[k * along + l * across];
            for (int64_t k = 0; k < c; k++)
                x[k * along + l * across] = sqrt(pi[k]) * (x[k * along + l * across] - sum);
        }
    }
}

static dal_status score_tile(void *ctx, int64_t tile)
{
    const design *g = ctx;
    const dal_host *host = g->host;
    const int64_t first = tile * TILE, left = g->u.n - first, n = left < TILE ? left : TILE, c = g->c;
    double *r = dal_array(host, TILE * c * c, sizeof *r), *t = dal_array(host, TILE * c * c, sizeof *t);
    dal_status st = r && t ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        forms(g, g->p, g->u.h + first * g->w, n, r);
        forms(g, g->q, g->u.h + first * g->w, n, t);
    }
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        const double *pi = g->u.pi + (first + i) * c;
        double *gain = r + i * c * c, *part = t + i * c * c, trace = 0;
        project(pi, c, gain);
        project(pi, c, part);
        for (int64_t k = 0; k < c; k++)
            gain[k * c + k] += 1;
        st = dal_cholesky(c, gain, NULL);
        if (st == DAL_OK)
            st = dal_cholesky_solve(c, gain, c, part, NULL);
        for (int64_t k = 0; k < c; k++)
            trace += part[k * c + k];
        g->score[first + i] = trace;
    }
    host->free(host, r);
    host->free(host, t);
    return st;
}

static dal_status score_all(design *g, double sigma, dal_error *err)
{
    const dal_host *h = g->host;
    int64_t cells;
    const int fits = dal_size_mul(g->m, g->m, &cells);
    double *f = fits ? dal_array(h, cells, sizeof *f) : NULL;
    g->p = fits ? dal_array(h, cells, sizeof *g->p) : NULL;
    g->q = fits ? dal_array(h, cells, sizeof *g->q) : NULL;
    g->score = dal_array(h, g->u.n, sizeof *g->score);
    dal_status st = f && g->p && g->q && g->score
                        ? invert(g, sigma, f, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the information of %lld parameters",
                                   (long long)g->m);
    h->free(h, f);
    if (st == DAL_OK && h->cancelled(h))
        st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
    if (st == DAL_OK && (st = h->parallel_for(h, (g->u.n + TILE - 1) / TILE, score_tile, g)) != DAL_OK)
        dal_fail(err, st, "",
                 st == DAL_E_NOMEM ? "no memory for a tile" : "the information of a sample is degenerate");
    return st;
}

static dal_status vr_select(void *self_, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = self_;
    const dal_host *h = self->host;
    const options *opt = self->options;
    design g = {.host = h, .c = view->n_classes};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = read_rows(h, view, DAL_ROWS_CANDIDATES, &g.u, &g.w, err);
    if (st == DAL_OK && (!dal_size_mul(g.c, g.w, &g.m) || g.m > opt->max_parameters))
        st = dal_fail(err, DAL_E_INVALID, "max_parameters", "%lld classes x (%lld features + 1) are more than "
                      "max_parameters, %lld; raise it, or use a model with fewer features", (long long)g.c,
                      (long long)(g.w - 1), (long long)opt->max_parameters);
    if (st == DAL_OK)
        st = read_rows(h, view, DAL_ROWS_LABELLED, &g.l, &g.w, err);
    if (st == DAL_OK)
        st = score_all(&g, opt->sigma, err);
    if (st == DAL_OK) {
        dal_topk best;
        dal_topk_init(&best, picks->want, DAL_LARGEST_FIRST, picks->scores, picks->ids);
        dal_topk_push(&best, g.score, 0, g.u.n);
        dal_topk_sort(&best);
        for (picks->n = 0; picks->n < best.n; picks->n++)
            picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[picks->ids[picks->n]];
    }
    rows_free(h, &g.l);
    rows_free(h, &g.u);
    h->free(h, g.p);
    h->free(h, g.q);
    h->free(h, g.score);
    return st;
}

static void vr_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, l = (double)problem->n_labelled, c = (double)problem->c;
    const double w = (double)problem->d + 1, m = c * w;
    (void)self, (void)opt;
    out->bytes = 24 * m * m + 8 * (n + l) * (c + w) + 8 * n + 2 * 2 * 8 * TILE * c * c;
    out->flops = 3 * n * m * m + l * m * m + 7 * m * m * m;
    snprintf(out->formula, sizeof out->formula, "O(n m^2 + m^3) time, O(m^2 + n (c + d)) memory, m = c (d + 1)");
}

static const dal_strategy_impl vr_impl = {
    .struct_size = sizeof vr_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = vr_select,
    .cost = vr_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, sigma, F64, "1", "(0..)", "", "variance of the prior of the parameters; the ridge is 1 / sigma")  \
    P(T, max_parameters, I64, "2000", "1..30000", "", "refuse where c (d + 1) is more than this")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "variance-reduction", vr_impl, "the sample that takes most off the variance of all predictions", \
      "Schein & Ungar, Machine Learning 2007", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
DAL_MODULE(variance_reduction, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
