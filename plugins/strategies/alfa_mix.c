/* alfa-mix: samples whose prediction changes when a little of another class's features is mixed in.
 *
 * Parvaneh, Abbasnejad, Teney, Haffari, van den Hengel, Shi, "Active learning by feature mixing", CVPR 2022. The
 * anchor of class c is the mean feature z*_c of its labelled samples. For a sample z with prediction y the mix is
 *
 *     z~ = alpha z*_c + (1 - alpha) z,   alpha = eps ||z*_c - z|| / ||g|| . g / (z*_c - z),   g = W'(p - e_y)
 *
 * (equation 5) with eps = cap / sqrt(d). The cap grows by `step` from `step` on, until for more than b samples the
 * prediction at the mix with some anchor is not y, or cap is 1. These candidates go through k-means with b
 * clusters, on features of unit length, and the nearest to each centre is asked for; what is missing is drawn
 * from the rest.
 *
 * Where we differ. In alpha (z*_c - z) the quotient cancels: z~ = z + eps ||z*_c - z|| g / ||g||, the anchor
 * only sets how far. So a sample has one smallest cap, and the loop is a count: with u = W g / ||g|| and logits
 * f,
 *
 *     t = min over k with u_k > u_y of (f_y - f_k) / (u_k - u_y),    cap* = t sqrt(d) / max_c ||z*_c - z||.
 *
 * And u = W W' a / ||g||, ||g||^2 = a' W W' a with a = p - e_y, so that no gradient is formed either. A class
 * without labelled samples has the mean of all labelled ones for anchor; with nothing labelled, the mean of the
 * candidates stands for all. The authors' random and learned alpha are left out. In ALScope the candidates are
 * a single batch and all anchors are one.
 *
 * The score of a pick is its cap* (NaN: drawn from the rest).
 * Needs features and the last layer (f = W z + bias, whatever kind the outputs are). O(n c (d + c)) in matrix
 * products and a k-means (dal/kmeans.h); its features, 4 n d bytes at most, beside the inputs.
 */
#include <dal/gradient.h>
#include <dal/kmeans.h>
#include <dal/linalg.h>
#include <dal/select.h>

#include <math.h>

#define TILE 256 /* rows in a task */
#define MANY_CLUSTERS 1000 /* from here on one start, unless told */

typedef struct options {
    double step;
    int64_t starts;
    int64_t iterations;
} options;

typedef struct mixing {
    const dal_host *host;
    dal_matrix x;           /* [n, d] z */
    dal_matrix weights;     /* [c, d] W */
    const float *bias;      /* [c] or NULL */
    int64_t n_anchors;      /* at most c */
    float *anchors;         /* [c, d] z* */
    double *anchor_norms;   /* [c] ||z*||^2 */
    float *gram;            /* [c, c] W W', of rows less their mean: a sums to 0 */
    double *caps;           /* [n] cap* */
} mixing;

/* ---- anchors ---------------------------------------------------------------------------------- */

/* Mean of the rows of class cls (-1: of all) into out [d]; sums [d] is scratch. Returns how many there are. */
static int64_t mean_of(const dal_matrix *x, const int32_t *classes, int32_t cls, double *sums, float *out)
{
    int64_t n = 0;
    memset(sums, 0, (size_t)x->cols * sizeof *sums);
    for (int64_t i = 0; i < x->rows; i++) {
        if (cls >= 0 && classes[i] != cls)
            continue;
        n++;
        for (int64_t k = 0; k < x->cols; k++)
            sums[k] += (double)x->data[i * x->stride + k];
    }
    for (int64_t k = 0; k < x->cols && n > 0; k++)
        out[k] = (float)(sums[k] / (double)n);
    return n;
}

/* One for each class that has labelled samples, and the mean of all when one has none. */
static void make_anchors(mixing *m, const dal_matrix *labelled, const int32_t *classes, double *sums)
{
    const int64_t d = m->x.cols, c = m->weights.rows;
    int64_t n = 0;
    for (int32_t cls = 0; labelled->rows > 0 && cls < c; cls++)
        n += mean_of(labelled, classes, cls, sums, m->anchors + n * d) > 0;
    if (n < c)
        mean_of(labelled->rows > 0 ? labelled : &m->x, NULL, -1, sums, m->anchors + n++ * d);
    m->n_anchors = n;
    for (int64_t k = 0; k < n; k++)
        m->anchor_norms[k] = dal_dot(m->anchors + k * d, m->anchors + k * d, d);
}

/* W W' of the rows of W less their mean, a row at a time in centred [c, d]. */
static dal_status make_gram(mixing *m, float *centred)
{
    const dal_matrix *w = &m->weights;
    const int64_t c = w->rows, d = w->cols;
    for (int64_t j = 0; j < d; j++) {
        double mean = 0;
        for (int64_t k = 0; k < c; k++)
            mean += (double)w->data[k * w->stride + j];
        mean /= (double)c;
        for (int64_t k = 0; k < c; k++)
            centred[k * d + j] = (float)((double)w->data[k * w->stride + j] - mean);
    }
    return dal_gemm_nt(c, c, d, 1, centred, d, centred, d, 0, m->gram, c);
}

/* ---- cap* ------------------------------------------------------------------------------------- */

/* max over the anchors of ||z* - z||; products [n_anchors] with them. */
static double farthest_anchor(const mixing *m, int64_t row, const float *products)
{
    const float *z = m->x.data + row * m->x.stride;
    const double norm = dal_dot(z, z, m->x.cols);
    double most = 0;
    for (int64_t k = 0; k < m->n_anchors; k++)
        most = fmax(most, norm + m->anchor_norms[k] - 2 * (double)products[k]);
    return sqrt(most);
}

/* The smallest cap that changes the prediction y; f [c] logits, a [c], wg [c] = W g. */
static double smallest_cap(const mixing *m, const float *f, const float *a, const float *wg, int32_t y,
                           double reach)
{
    const int64_t c = m->weights.rows;
    double norm = 0, t = INFINITY; /* norm: ||g||^2 */
    for (int64_t k = 0; k < c; k++)
        norm += (double)a[k] * (double)wg[k];
    for (int64_t k = 0; k < c && norm > 0; k++)
        if (wg[k] > wg[y])
            t = fmin(t, ((double)f[y] - (double)f[k]) / ((double)wg[k] - (double)wg[y]));
    return norm > 0 && reach > 0 ? t * sqrt(norm) * sqrt((double)m->x.cols) / reach : (double)INFINITY;
}

static dal_status cap_tile(const mixing *m, int64_t first, int64_t n, float *f, float *a, float *wg,
                           float *products)
{
    const int64_t c = m->weights.rows, d = m->x.cols;
    const float *z = m->x.data + first * m->x.stride;
    int32_t y[TILE];
    dal_status st = dal_gemm_nt(n, c, d, 1, z, m->x.stride, m->weights.data, m->weights.stride, 0, f, c);
    for (int64_t i = 0; m->bias && i < n * c; i++)
        f[i] += m->bias[i % c];
    const dal_gradients g = {.struct_size = sizeof g, .outputs = {{f, n, c, c}, DAL_LOGITS, 0}};
    dal_gradient_factor(&g, 0, n, a, y);
    if (st == DAL_OK)
        st = dal_gemm_nt(n, c, c, 1, a, c, m->gram, c, 0, wg, c);
    if (st == DAL_OK)
        st = dal_gemm_nt(n, m->n_anchors, d, 1, z, m->x.stride, m->anchors, d, 0, products, c);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        m->caps[first + i] = smallest_cap(m, f + i * c, a + i * c, wg + i * c, y[i],
                                          farthest_anchor(m, first + i, products + i * c));
    return st;
}

static dal_status cap_task(void *ctx, int64_t t)
{
    const mixing *m = ctx;
    const int64_t first = t * TILE, n = m->x.rows - first < TILE ? m->x.rows - first : TILE;
    const int64_t cells = TILE * m->weights.rows;
    if (m->host->cancelled(m->host))
        return DAL_E_CANCELLED;
    float *room = dal_array(m->host, 4 * cells, sizeof *room);
    if (!room)
        return DAL_E_NOMEM;
    const dal_status st = cap_tile(m, first, n, room, room + cells, room + 2 * cells, room + 3 * cells);
    m->host->free(m->host, room);
    return st;
}

/* m->caps from features, labelled samples and the last layer. */
static dal_status find_caps(mixing *m, const dal_view *view, dal_error *err)
{
    const int64_t c = m->weights.rows, d = m->x.cols;
    const int32_t *classes = view->classes(view, DAL_ROWS_LABELLED);
    int64_t cells;
    dal_matrix labelled = {0};
    dal_status st = DAL_OK;
    if (m->weights.cols != d)
        return dal_fail(err, DAL_E_INVALID, "", "features are %lld wide and the last layer takes %lld",
                        (long long)d, (long long)m->weights.cols);
    if (view->count(view, DAL_ROWS_LABELLED) > 0)
        st = view->features(view, DAL_ROWS_LABELLED, &labelled, err);
    if (st != DAL_OK)
        return st;
    float *centred = dal_size_mul(c, d, &cells) ? dal_array(m->host, cells, sizeof *centred) : NULL;
    double *sums = dal_array(m->host, d, sizeof *sums);
    m->anchors = centred ? dal_array(m->host, cells, sizeof *m->anchors) : NULL;
    m->anchor_norms = dal_array(m->host, c, sizeof *m->anchor_norms);
    m->gram = dal_size_mul(c, c, &cells) ? dal_array(m->host, cells, sizeof *m->gram) : NULL;
    st = centred && sums && m->anchors && m->anchor_norms && m->gram ? make_gram(m, centred) : DAL_E_NOMEM;
    if (st == DAL_OK) {
        make_anchors(m, &labelled, classes, sums);
        st = m->host->parallel_for(m->host, (m->x.rows + TILE - 1) / TILE, cap_task, m);
    }
    m->host->free(m->host, centred);
    m->host->free(m->host, sums);
    m->host->free(m->host, m->anchors);
    m->host->free(m->host, m->anchor_norms);
    m->host->free(m->host, m->gram);
    return st == DAL_OK
               ? DAL_OK
               : dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for anchors and caps");
}

/* ---- candidates and picks --------------------------------------------------------------------- */

/* The rows within the smallest cap that more than b are within, or within cap 1; into rows, in order. */
static int64_t find_candidates(const mixing *m, double step, int64_t b, int64_t *rows)
{
    int64_t n = 0;
    for (int64_t k = 1; n <= b; k++) {
        const double cap = fmin(1, step * (double)k);
        n = 0;
        for (int64_t i = 0; i < m->x.rows; i++)
            if (m->caps[i] <= cap)
                rows[n++] = i;
        if (cap >= 1)
            break;
    }
    return n;
}

/* k-means over the candidates rows[n], n > b; the nearest to each centre into picks [b]. */
static dal_status cluster(const mixing *m, const options *opt, const dal_rng *stream, const int64_t *rows,
                          int64_t n, int64_t b, int64_t *picks, dal_error *err)
{
    const int64_t d = m->x.cols;
    int64_t cells;
    dal_kmeans_problem problem = {.struct_size = sizeof problem, .k = b, .max_iterations = opt->iterations,
                                  .tolerance = 1e-4};
    dal_kmeans_result out = {.struct_size = sizeof out, .nearest = picks};
    float *unit = dal_size_mul(n, d, &cells) ? dal_array(m->host, cells, sizeof *unit) : NULL;
    if (!unit)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the features of %lld candidates", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        const float *z = m->x.data + rows[i] * m->x.stride;
        const double norm = sqrt(dal_dot(z, z, d));
        for (int64_t k = 0; k < d; k++)
            unit[i * d + k] = norm > 0 ? (float)((double)z[k] / norm) : 0;
    }
    problem.x = (dal_matrix){unit, n, d, d};
    problem.starts = opt->starts > 0 ? opt->starts : b < MANY_CLUSTERS ? 10 : 1;
    const dal_status st = dal_kmeans(m->host, &problem, stream, &out, err);
    for (int64_t k = 0; st == DAL_OK && k < b; k++)
        picks[k] = rows[picks[k]];
    m->host->free(m->host, unit);
    return st;
}

/* picks[n..b-1] from the samples that are no candidates: those of rows[] from n on are drawn. */
static void draw_rest(const mixing *m, dal_rng stream, int64_t n, int64_t b, int64_t *rows, int64_t *picks)
{
    int64_t left = 0, at = 0;
    for (int64_t i = 0; i < m->x.rows; i++) {
        if (at < n && picks[at] == i)
            at++;
        else
            rows[left++] = i;
    }
    dal_rng_shuffle(&stream, rows, left, b - n);
    memcpy(picks + n, rows, (size_t)(b - n) * sizeof *picks);
}

static dal_status pick(mixing *m, const options *opt, const dal_view *view, int64_t b, int64_t *rows,
                       int64_t *picks, dal_error *err)
{
    const dal_host *host = m->host;
    const dal_rng stream = host->rng(host, "k-means", view->round);
    dal_status st = find_caps(m, view, err);
    if (st != DAL_OK)
        return st;
    const int64_t n = find_candidates(m, opt->step, b, rows);
    if (n > b)
        return cluster(m, opt, &stream, rows, n, b, picks, err);
    memcpy(picks, rows, (size_t)n * sizeof *picks);
    draw_rest(m, host->rng(host, "rest", view->round), n, b, rows, picks);
    return DAL_OK;
}

static dal_status check_numbers(const mixing *m, const dal_view *view, dal_error *err)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    for (int64_t i = 0; i < m->x.rows; i++) {
        const float *z = m->x.data + i * m->x.stride;
        if (!isfinite(dal_dot(z, z, m->x.cols)))
            return dal_fail(err, DAL_E_INVALID, "",
                            "a feature of sample %lld is not finite; did the model diverge?", (long long)ids[i]);
    }
    return DAL_OK;
}

static dal_status alfa_mix_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), b = picks->want;
    mixing m = {.host = host};
    picks->n = 0;
    if (b <= 0)
        return DAL_OK;
    m.caps = dal_array(host, n, sizeof *m.caps);
    int64_t *rows = dal_array(host, n, sizeof *rows);
    int64_t *chosen = dal_array(host, b, sizeof *chosen);
    double *scores = dal_array(host, b, sizeof *scores);
    dal_status st = m.caps && rows && chosen && scores
                        ? view->features(view, DAL_ROWS_CANDIDATES, &m.x, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    if (st == DAL_OK)
        st = view->last_layer(view, &m.weights, &m.bias, err);
    if (st == DAL_OK)
        st = check_numbers(&m, view, err);
    if (st == DAL_OK)
        st = pick(&m, self->options, view, b, rows, chosen, err);
    for (int64_t i = 0; st == DAL_OK && i < b; i++)
        scores[i] = m.caps[chosen[i]] <= 1 ? m.caps[chosen[i]] : (double)NAN;
    if (st == DAL_OK)
        dal_pick_rows(view, chosen, scores, b, picks);
    host->free(host, m.caps);
    host->free(host, rows);
    host->free(host, chosen);
    host->free(host, scores);
    return st;
}

static void alfa_mix_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, c = (double)problem->c, d = (double)problem->d,
                 b = (double)problem->n_query;
    (void)self, (void)options_;
    out->bytes = n * (4 * d + 56) + 4 * c * (2 * d + c) + 4 * b * d + 16 * 256 * c + 4e6;
    out->flops = 2 * n * c * (2 * d + c) + 20 * n * b * d;
    snprintf(out->formula, sizeof out->formula,
             "O(n c (d + c)) time and a k-means of O(iterations n b d), O(n d) memory");
}

static const dal_strategy_impl alfa_mix_impl = {
    .struct_size = sizeof alfa_mix_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = alfa_mix_select,
    .cost = alfa_mix_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, step, F64, "0.03125", "(0..1]", "", "the cap grows by this until there are more candidates than asked")  \
    P(T, starts, I64, "0", "0..1000", "", "runs of k-means, the best counts; 0: 10, or 1 from 1000 clusters on")  \
    P(T, iterations, I64, "300", "0..", "", "of each run of k-means at most")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "alfa-mix", alfa_mix_impl, "features that a little mixing moves to another class, spread out",    \
      "Parvaneh et al., CVPR 2022", DAL_CAP_FEATURES " " DAL_CAP_LAST_LAYER, "", options, PARAMS)
DAL_MODULE(alfa_mix, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
