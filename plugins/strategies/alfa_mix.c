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
 * candidates stands for all. In ALScope the candidates are a single batch and all anchors are one.
 *
 * The authors' code has two other alphas (equation 4), which are searched for cap by cap, anchor by anchor, until
 * there are candidates enough:
 *
 *     alpha: random   each of the d numbers of alpha is drawn, normal of mean and deviation cap / 2, in [1e-8, cap]
 *     alpha: learned  from there `learning_steps` steps of Adam on -CE(W z~ + b, y) + penalty ||alpha||, each ending
 *                     in [1e-8, cap]; a change of the prediction anywhere on the way counts
 *
 * Theirs begins Adam anew at every step and ends at a tenth of the rate. A sample once found is not tried again.
 *
 * The score of a pick is its cap* (of other alphas the cap it was found at; NaN: drawn from the rest).
 * Needs features and the last layer (f = W z + bias, whatever kind the outputs are). O(n c (d + c)) in matrix
 * products and a k-means (dal/kmeans.h); its features, 4 n d bytes at most, beside the inputs. The other alphas
 * take O(c d) for each sample, anchor, cap and step.
 */
#include <dal/gradient.h>
#include <dal/kmeans.h>
#include <dal/linalg.h>
#include <dal/select.h>

#include <math.h>

#define TILE 256 /* rows in a task */
#define MANY_CLUSTERS 1000 /* from here on one start, unless told */

#define ALPHA_CLOSED 0u
#define ALPHA_LEARNED 2u

typedef struct options {
    double step;
    int64_t starts;
    int64_t iterations;
    uint32_t alpha;
    int64_t learning_steps;
    double learning_rate, penalty;
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

/* ---- alpha drawn, or learned ------------------------------------------------------------------ */

#define LEAST_ALPHA 1e-8f

/* All samples not found yet, at one cap. */
typedef struct trial {
    const mixing *m;
    const options *opt;
    dal_rng stream; /* of this cap */
    double cap;
} trial;

/* Some samples of a tile and what is tried with them. */
typedef struct tile {
    int64_t n;
    int64_t rows[TILE];
    int32_t y[TILE];    /* predictions */
    dal_rng rng[TILE];
    float *z, *mix, *alpha, *by_mix; /* [n, d]; by_mix: dCE/dz~ */
    float *first, *second;           /* [n, d] Adam's moments */
    float *f;                        /* [n, c] logits, then p - e_y */
} tile;

static int32_t top_class(const float *f, int64_t c)
{
    int64_t y = 0;
    for (int64_t k = 1; k < c; k++)
        y = f[k] > f[y] ? k : y;
    return (int32_t)y;
}

/* Logits of x [n, d] into t->f. */
static dal_status classify(const mixing *m, tile *t, const float *x)
{
    const int64_t c = m->weights.rows, d = m->x.cols;
    const dal_status st = dal_gemm_nt(t->n, c, d, 1, x, d, m->weights.data, m->weights.stride, 0, t->f, c);
    for (int64_t i = 0; m->bias && i < t->n * c; i++)
        t->f[i] += m->bias[i % c];
    return st;
}

/* Logits to p - e_y, y being what was predicted without a mix. */
static void to_factor(float *f, int64_t c, int32_t y)
{
    double rest = 0;
    dal_softmax(f, 1, c, c);
    for (int64_t k = 0; k < c; k++)
        rest += k == y ? 0 : (double)f[k];
    f[y] = (float)-rest;
}

/* The samples of a tile that are not found yet, and their predictions. */
static dal_status gather(const trial *r, int64_t first, tile *t)
{
    const mixing *m = r->m;
    const int64_t d = m->x.cols, c = m->weights.rows, end = first + TILE < m->x.rows ? first + TILE : m->x.rows;
    t->n = 0;
    for (int64_t i = first; i < end; i++)
        if (!(m->caps[i] <= 1)) {
            memcpy(t->z + t->n * d, m->x.data + i * m->x.stride, (size_t)d * sizeof *t->z);
            t->rng[t->n] = dal_rng_at(&r->stream, (uint64_t)i);
            t->rows[t->n++] = i;
        }
    const dal_status st = classify(m, t, t->z);
    for (int64_t i = 0; st == DAL_OK && i < t->n; i++)
        t->y[i] = top_class(t->f + i * c, c);
    return st;
}

static void draw_alpha(const trial *r, tile *t)
{
    const int64_t d = r->m->x.cols;
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t j = 0; j < d; j++) {
            const double drawn = r->cap / 2 + r->cap / 2 * dal_rng_normal(&t->rng[i]);
            t->alpha[i * d + j] = (float)fmin(fmax(drawn, (double)LEAST_ALPHA), r->cap);
        }
}

/* Mixes with an anchor; samples whose prediction changes are found. */
static dal_status try_alpha(const trial *r, const float *anchor, tile *t)
{
    const int64_t d = r->m->x.cols, c = r->m->weights.rows;
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t j = 0; j < d; j++)
            t->mix[i * d + j] = t->z[i * d + j] + t->alpha[i * d + j] * (anchor[j] - t->z[i * d + j]);
    const dal_status st = classify(r->m, t, t->mix);
    for (int64_t i = 0; st == DAL_OK && i < t->n; i++)
        if (top_class(t->f + i * c, c) != t->y[i])
            r->m->caps[t->rows[i]] = r->cap;
    return st;
}

/* One step of Adam from the logits of the latest try. */
static dal_status improve_alpha(const trial *r, const float *anchor, int64_t step, tile *t)
{
    const int64_t d = r->m->x.cols, c = r->m->weights.rows;
    const dal_matrix *w = &r->m->weights;
    const float first = (float)(1 - pow(0.9, (double)step)), second = (float)(1 - pow(0.999, (double)step));
    const float rate = (float)r->opt->learning_rate, cap = (float)r->cap;
    for (int64_t i = 0; i < t->n; i++)
        to_factor(t->f + i * c, c, t->y[i]);
    const dal_status st = dal_gemm_nn(t->n, d, c, 1, t->f, c, w->data, w->stride, 0, t->by_mix, d);
    for (int64_t i = 0; st == DAL_OK && i < t->n; i++) {
        float *alpha = t->alpha + i * d, *m = t->first + i * d, *v = t->second + i * d;
        const float *z = t->z + i * d, shrink = (float)(r->opt->penalty / sqrt(dal_dot(alpha, alpha, d)));
        for (int64_t j = 0; j < d; j++) {
            const float g = -t->by_mix[i * d + j] * (anchor[j] - z[j]) + shrink * alpha[j];
            m[j] = 0.9f * m[j] + 0.1f * g;
            v[j] = 0.999f * v[j] + 0.001f * g * g;
            alpha[j] -= rate * (m[j] / first) / (sqrtf(v[j] / second) + 1e-8f);
            alpha[j] = fminf(fmaxf(alpha[j], LEAST_ALPHA), cap);
        }
    }
    return st;
}

static dal_status try_tile(const trial *r, int64_t first, tile *t)
{
    const int64_t d = r->m->x.cols;
    const int64_t steps = r->opt->alpha == ALPHA_LEARNED ? r->opt->learning_steps : 0;
    dal_status st = gather(r, first, t);
    for (int64_t k = 0; st == DAL_OK && k < r->m->n_anchors && t->n > 0; k++) {
        const float *anchor = r->m->anchors + k * d;
        draw_alpha(r, t);
        memset(t->first, 0, (size_t)(t->n * d) * sizeof *t->first);
        memset(t->second, 0, (size_t)(t->n * d) * sizeof *t->second);
        st = try_alpha(r, anchor, t);
        for (int64_t s = 1; st == DAL_OK && s <= steps; s++) {
            st = improve_alpha(r, anchor, s, t);
            if (st == DAL_OK)
                st = try_alpha(r, anchor, t);
        }
    }
    return st;
}

static dal_status trial_task(void *ctx, int64_t task)
{
    const trial *r = ctx;
    const dal_host *host = r->m->host;
    const int64_t cells = TILE * r->m->x.cols;
    if (host->cancelled(host))
        return DAL_E_CANCELLED;
    tile *t = dal_array(host, 1, sizeof *t);
    float *room = dal_array(host, 6 * cells + TILE * r->m->weights.rows, sizeof *room);
    dal_status st = DAL_E_NOMEM;
    if (t && room) {
        float **parts[] = {&t->z, &t->mix, &t->alpha, &t->by_mix, &t->first, &t->second, &t->f};
        for (int i = 0; i < 7; i++)
            *parts[i] = room + i * cells;
        st = try_tile(r, task * TILE, t);
    }
    host->free(host, t);
    host->free(host, room);
    return st;
}

/* Cap by cap until more than b samples are found. */
static dal_status try_caps(const mixing *m, const options *opt, const dal_rng *stream, int64_t b)
{
    int64_t found = 0;
    double cap = 0;
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < m->x.rows; i++)
        m->caps[i] = INFINITY;
    for (int64_t k = 1; st == DAL_OK && found <= b && cap < 1; k++) {
        trial r = {m, opt, dal_rng_at(stream, (uint64_t)k), fmin(1, opt->step * (double)k)};
        cap = r.cap;
        st = m->host->parallel_for(m->host, (m->x.rows + TILE - 1) / TILE, trial_task, &r);
        found = 0;
        for (int64_t i = 0; i < m->x.rows; i++)
            found += m->caps[i] <= 1;
        m->host->progress(m->host, found < b ? found : b, b, "candidates");
    }
    return st;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static dal_status take_anchors(mixing *m, const dal_view *view, const dal_matrix *labelled, dal_error *err)
{
    int64_t cells;
    const int fits = dal_size_mul(m->weights.rows, m->x.cols, &cells);
    double *sums = dal_array(m->host, m->x.cols, sizeof *sums);
    m->anchors = fits ? dal_array(m->host, cells, sizeof *m->anchors) : NULL;
    m->anchor_norms = dal_array(m->host, m->weights.rows, sizeof *m->anchor_norms);
    const int have = sums && m->anchors && m->anchor_norms;
    if (have)
        make_anchors(m, labelled, view->classes(view, DAL_ROWS_LABELLED), sums);
    m->host->free(m->host, sums);
    return have ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for anchors");
}

static dal_status solve_caps(mixing *m)
{
    const int64_t c = m->weights.rows;
    int64_t cells, square;
    const int fits = dal_size_mul(c, m->x.cols, &cells) && dal_size_mul(c, c, &square);
    float *centred = fits ? dal_array(m->host, cells, sizeof *centred) : NULL;
    m->gram = fits ? dal_array(m->host, square, sizeof *m->gram) : NULL;
    dal_status st = centred && m->gram ? make_gram(m, centred) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = m->host->parallel_for(m->host, (m->x.rows + TILE - 1) / TILE, cap_task, m);
    m->host->free(m->host, centred);
    m->host->free(m->host, m->gram);
    return st;
}

/* m->caps from features, labelled samples and the last layer. */
static dal_status find_caps(mixing *m, const options *opt, const dal_view *view, int64_t b, dal_error *err)
{
    const dal_rng stream = m->host->rng(m->host, "alpha", view->round);
    dal_matrix labelled = {0};
    dal_status st = DAL_OK;
    if (m->weights.cols != m->x.cols)
        return dal_fail(err, DAL_E_INVALID, "", "features are %lld wide and the last layer takes %lld",
                        (long long)m->x.cols, (long long)m->weights.cols);
    if (view->count(view, DAL_ROWS_LABELLED) > 0)
        st = view->features(view, DAL_ROWS_LABELLED, &labelled, err);
    if (st == DAL_OK)
        st = take_anchors(m, view, &labelled, err);
    if (st == DAL_OK) {
        st = opt->alpha == ALPHA_CLOSED ? solve_caps(m) : try_caps(m, opt, &stream, b);
        if (st != DAL_OK)
            dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for caps");
    }
    m->host->free(m->host, m->anchors);
    m->host->free(m->host, m->anchor_norms);
    return st;
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
    dal_status st = find_caps(m, opt, view, b, err);
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
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, c = (double)problem->c, d = (double)problem->d,
                 b = (double)problem->n_query;
    out->bytes = n * (4 * d + 56) + 4 * c * (2 * d + c) + 4 * b * d + 16 * 256 * c + 4e6;
    out->flops = 2 * n * c * (2 * d + c) + 20 * n * b * d;
    snprintf(out->formula, sizeof out->formula,
             "O(n c (d + c)) time and a k-means of O(iterations n b d), O(n d) memory");
    if (opt->alpha == ALPHA_CLOSED)
        return;
    const double steps = opt->alpha == ALPHA_LEARNED ? 2 * (double)opt->learning_steps + 1 : 1;
    out->bytes += 128 * 256 * d;
    out->flops += ceil(1 / opt->step) * n * c * d * (2 * c * steps + 40 + 10 * steps);
    snprintf(out->formula, sizeof out->formula,
             "O(n c^2 d%s) time for each of %.0f caps at most and a k-means, O(n d) memory",
             opt->alpha == ALPHA_LEARNED ? " steps" : "", ceil(1 / opt->step));
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
    P(T, iterations, I64, "300", "0..", "", "of each run of k-means at most")                                     \
    P(T, alpha, CHOICE, "closed", "closed|random|learned", "", "how anchors are mixed in: eq. 5, or by trial") \
    P(T, learning_steps, I64, "5", "1..1000", "", "learned: steps of Adam at each cap")                           \
    P(T, learning_rate, F64, "0.1", "(0..]", "", "learned: of each step")                                         \
    P(T, penalty, F64, "0.01", "0..", "", "learned: weight of the length of alpha beside the loss")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "alfa-mix", alfa_mix_impl, "features that a little mixing moves to another class, spread out",    \
      "Parvaneh et al., CVPR 2022", DAL_CAP_FEATURES " " DAL_CAP_LAST_LAYER, "", options, PARAMS)
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "alfa-mix",                                                                           \
      "candidates: argmax f(z + alpha (z*_c - z)) != y for an anchor c at the smallest cap; k-means " \
      "of these",                                                                                     \
      "closed form without a loop, cap* = t sqrt(d) / max_c ||z*_c - z||; alpha: random and learned " \
      "are the other two of the authors' code; ALScope has one batch of candidates and one anchor")
DAL_MODULE_ABOUT(alfa_mix, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
