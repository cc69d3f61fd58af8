/* gradmatch: samples whose gradients add up to the gradient of everything.
 *
 * Killamsetty, Sivasubramanian, Ramakrishnan, De, Iyer, "GRAD-MATCH: gradient matching based data subset
 * selection for efficient deep model training", ICML 2021, as an active strategy. With the predicted class as label
 * (true labels of validation data), g_i = (p_i - e_y) (x) (h_i, 1) the gradient of the last layer:
 *
 *     t = b / N sum_i g_i                                        over the candidates, or over the validation data
 *     r = t;  b times:  i* = argmin_i ||g_i - r||,  r = r - g_i*
 *
 * ||g_i - r||^2 = ||g_i||^2 - 2 <g_i, r> + ||r||^2, and when j is picked, <g_i, r> falls by <g_i, g_j>: after
 * the products with t a pick takes c + d a sample, of gradients that are never formed (dal/gradient.h). Ties go
 * to the lowest pool index; the score of a pick is what ||r|| is after it.
 *
 * classes  apart: the paper's per-class form. Every predicted class has its part of b (largest remainders) and its
 *          own t, of the samples of that class alone; classes in turn. A class without validation data: t of its
 *          candidates.
 * variant  distil: t is the whole sum, without b / N, as in DISTIL. Its first term then counts for nothing, and the
 *          b gradients that point most that way are picked. With b / N, t is short, once it is met what is left to
 *          add are gradients near 0: samples that the model is sure of, which teach it little.
 * weights  the paper's solution for training on a weighted subset, orthogonal matching pursuit, with t the whole sum:
 *              b times:  i* = argmax_i <g_i, r>,  w = argmin_{w >= 0} ||t - sum_j w_j g_j||^2 + ridge ||w||^2
 *          until ||r|| < 1e-4 ||t|| or nothing points along r; samples of weight 0 do not count, and what is missing
 *          is drawn, with weight 1. The score of a pick is its weight, which the run store keeps; training does not
 *          use it. In the paper the subset is chosen anew every few epochs from data that have labels, and the epochs
 *          until the next choice train on it alone: w makes up for what is left out at that model. In a round of
 *          active learning the labels come after the choice, and the next model trains from the start on all labels,
 *          those of earlier rounds beside these; a w that was solved for the predicted classes and the model of this
 *          round stands for nothing there. DISTIL drops it, too. (CORDS minimises ||K w - q||, of the normal
 *          equations.)
 *
 * Needs outputs and features. O(n c d + n b (c + d)); 4 n c + 16 n bytes, and 76 c d for the sum; classes apart and
 * as much again as outputs and features of the largest class. Weighted O(n b c d + b^3), 16 b^2 bytes more.
 */
#include "nnls.h"

#include <dal/gradient.h>
#include <dal/linalg.h>
#include <dal/select.h>

#include <math.h>

#define TILE 256 /* rows in a task */

#define TARGET_POOL 0u
#define CLASSES_TOGETHER 0u
#define VARIANT_PAPER 0u
#define ENOUGH 1e-4 /* of t may be left over: the authors' tolerance */

typedef struct options {
    uint32_t target;
    int32_t bias;
    uint32_t classes, variant;
    int32_t weights;
    double ridge;
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

/* ---- weighted: orthogonal matching pursuit ------------------------------------------------------ */

typedef struct pursuit {
    const dal_host *host;
    const dal_gradients *g;
    const float *target; /* t [c, d + bias] */
    nnls ls;
    float *r;            /* t less what is picked, [c, d + bias] */
    double *sum, *a, *h; /* [c, d + bias]; [want, c] and [want, d + bias] of the picks, a times w */
    double *norms, *gain; /* [n]; gain: -1 once picked */
    float *factor;       /* [2, c] */
    int64_t *picks;      /* [want] */
} pursuit;

static double length_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)x[k] * (double)x[k];
    return sqrt(sum);
}

/* argmax <g_i, r> among those not picked, as if all were computed in double; *best: the product. */
static dal_status most_along(pursuit *p, int64_t *row, double *best, dal_error *err)
{
    const dal_matrix *h = &p->g->features;
    const int64_t c = dal_gradient_width(p->g), cells = c * (h->cols + p->g->bias);
    const double unit = 8 * (double)(h->cols + c + 16) * 0x1p-24 * length_of(p->r, cells);
    double least = -INFINITY;
    const dal_status st = dal_gradient_project(p->host, p->g, p->r, p->gain, err);
    for (int64_t k = 0; k < p->ls.n; k++)
        p->gain[p->picks[k]] = -INFINITY;
    for (int64_t i = 0; st == DAL_OK && i < h->rows; i++)
        least = fmax(least, p->gain[i] - unit * sqrt(p->norms[i]));
    *row = -1;
    for (int64_t i = 0; st == DAL_OK && i < h->rows; i++) {
        if (!(p->gain[i] + unit * sqrt(p->norms[i]) >= least) || isinf(p->gain[i]))
            continue;
        dal_gradient_factor(p->g, i, 1, p->factor, NULL);
        const double gain = dal_gradient_against(p->g, p->factor, h->data + i * h->stride, p->r);
        if (*row < 0 || gain > *best) {
            *row = i;
            *best = gain;
        }
    }
    return st;
}

/* A row joins the picks: its products with them and with t. */
static void join_picks(pursuit *p, int64_t row, double ridge)
{
    const dal_matrix *x = &p->g->features;
    const int64_t c = dal_gradient_width(p->g), d = x->cols, k = p->ls.n++;
    const float *h = x->data + row * x->stride;
    p->picks[k] = row;
    dal_gradient_factor(p->g, row, 1, p->factor, NULL);
    for (int64_t j = 0; j <= k; j++) {
        dal_gradient_factor(p->g, p->picks[j], 1, p->factor + c, NULL);
        const double product = dal_gradient_product(p->g, p->factor, h, p->factor + c,
                                                    x->data + p->picks[j] * x->stride);
        p->ls.k[k * p->ls.room + j] = p->ls.k[j * p->ls.room + k] = product + (j == k ? ridge : 0);
    }
    p->ls.q[k] = dal_gradient_against(p->g, p->factor, h, p->target);
    p->ls.w[k] = 0;
    for (int64_t j = 0; j < d + p->g->bias; j++)
        p->h[k * (d + p->g->bias) + j] = j < d ? (double)h[j] : 1;
}

/* r = t - sum w g */
static dal_status leave_rest(pursuit *p)
{
    const int64_t c = dal_gradient_width(p->g), width = p->g->features.cols + p->g->bias, n = p->ls.n;
    for (int64_t k = 0; k < n; k++) {
        dal_gradient_factor(p->g, p->picks[k], 1, p->factor, NULL);
        for (int64_t j = 0; j < c; j++)
            p->a[k * c + j] = p->ls.w[k] * (double)p->factor[j];
    }
    const dal_status st = dal_dgemm_tn(c, width, n, 1, p->a, c, p->h, width, 0, p->sum, width);
    for (int64_t k = 0; k < c * width; k++)
        p->r[k] = (float)((double)p->target[k] - p->sum[k]);
    return st;
}

static int take_pursuit(pursuit *p, int64_t want)
{
    const dal_host *host = p->host;
    const int64_t n = p->g->features.rows, c = dal_gradient_width(p->g), width = p->g->features.cols + p->g->bias;
    int64_t cells, a, h;
    if (!dal_size_mul(c, width, &cells) || !dal_size_mul(want, c, &a) || !dal_size_mul(want, width, &h) ||
        !nnls_take(&p->ls, host, want))
        return 0;
    p->r = dal_array(host, cells, sizeof *p->r);
    p->sum = dal_array(host, cells, sizeof *p->sum);
    p->a = dal_array(host, a, sizeof *p->a);
    p->h = dal_array(host, h, sizeof *p->h);
    p->norms = dal_array(host, n, sizeof *p->norms);
    p->gain = dal_array(host, n, sizeof *p->gain);
    p->factor = dal_array(host, 2 * c, sizeof *p->factor);
    p->picks = dal_array(host, want, sizeof *p->picks);
    return p->r && p->sum && p->a && p->h && p->norms && p->gain && p->factor && p->picks;
}

static void drop_pursuit(pursuit *p)
{
    void *const all[] = {p->r, p->sum, p->a, p->h, p->norms, p->gain, p->factor, p->picks};
    nnls_drop(&p->ls, p->host);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        p->host->free(p->host, all[i]);
}

static dal_status pursue(pursuit *p, const options *opt, int64_t want, dal_error *err)
{
    const int64_t cells = dal_gradient_width(p->g) * (p->g->features.cols + p->g->bias);
    const double whole = length_of(p->target, cells);
    double best = 0;
    int64_t row;
    memcpy(p->r, p->target, (size_t)cells * sizeof *p->r);
    dal_status st = dal_gradient_norms(p->host, p->g, p->norms, err);
    while (st == DAL_OK && p->ls.n < want && length_of(p->r, cells) > ENOUGH * whole) {
        st = most_along(p, &row, &best, err);
        if (st != DAL_OK || row < 0 || best <= 0)
            break;
        join_picks(p, row, opt->ridge);
        nnls_minimise(&p->ls);
        if ((st = leave_rest(p)) != DAL_OK)
            dal_fail(err, st, "", "gradients too wide");
        p->host->progress(p->host, p->ls.n, want, "picks");
    }
    return st;
}

/* Those of positive weight, then rows drawn at random with weight 1. */
static void deal_weights(const pursuit *p, dal_rng rng, int64_t want, int64_t *rows, double *scores)
{
    const int64_t n = p->g->features.rows;
    int64_t made = 0;
    memset(p->gain, 0, (size_t)n * sizeof *p->gain);
    for (int64_t k = 0; k < p->ls.n; k++)
        if (p->ls.w[k] > 0) {
            rows[made] = p->picks[k];
            scores[made++] = p->ls.w[k];
            p->gain[p->picks[k]] = 1;
        }
    for (int64_t left = n - made; made < want; left--) {
        int64_t skip = dal_rng_below(&rng, left), row = 0;
        while (p->gain[row] > 0 || skip-- > 0)
            row++;
        p->gain[row] = 1;
        rows[made] = row;
        scores[made++] = 1;
    }
}

static dal_status match_weighted(const dal_host *host, const options *opt, const dal_gradients *g,
                                 const float *target, int64_t want, dal_rng rng, int64_t *rows, double *scores,
                                 dal_error *err)
{
    pursuit p = {.host = host, .g = g, .target = target};
    const dal_status st = take_pursuit(&p, want)
                              ? pursue(&p, opt, want, err)
                              : dal_fail(err, DAL_E_NOMEM, "", "no memory for weights of %lld picks",
                                         (long long)want);
    if (st == DAL_OK)
        deal_weights(&p, rng, want, rows, scores);
    drop_pursuit(&p);
    return st;
}

/* ---- what is to be matched ---------------------------------------------------------------------- */

/* t = scale sum of the gradients of a set; classes: true labels, or NULL. */
static dal_status make_target(const dal_host *host, const dal_gradients *g, const int32_t *classes, double scale,
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
        (*target)[k] = (float)(sum[k] * scale);
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

/* Validation data, and its labels. */
static dal_status read_validation(const dal_view *view, dal_gradients *g, const int32_t **classes, dal_error *err)
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

/* ---- groups --------------------------------------------------------------------------------------- */

typedef struct job {
    const dal_host *host;
    const options *opt;
    dal_gradients pool, valid; /* valid: no rows when the pool is to be matched */
    const int32_t *truth;      /* of valid */
    int32_t *predicted;        /* [n] of the pool */
    dal_rng rng;
} job;

/* want picks of g into rows and scores: what matches the gradient of `other`, with labels. */
static dal_status pick_from(const job *j, const dal_gradients *g, const dal_gradients *other, const int32_t *labels,
                            int64_t want, uint64_t group, int64_t *rows, double *scores, dal_error *err)
{
    const int whole = j->opt->weights || j->opt->variant != VARIANT_PAPER;
    float *target = NULL;
    dal_status st = make_target(j->host, other, labels, whole ? 1 : (double)want / (double)other->features.rows,
                                &target, err);
    if (st == DAL_OK)
        st = j->opt->weights
                 ? match_weighted(j->host, j->opt, g, target, want, dal_rng_at(&j->rng, group), rows, scores, err)
                 : match(j->host, g, target, want, rows, scores, err);
    j->host->free(j->host, target);
    return st;
}

/* The rows of g whose class is k, copied; rows [n] of g. A failure leaves room to free. */
static dal_status gather(const dal_host *host, const dal_gradients *g, const int32_t *classes, int32_t k,
                         dal_gradients *out, int64_t *rows, float **room, dal_error *err)
{
    const dal_matrix *z = &g->outputs.values, *h = &g->features;
    int64_t n = 0, cells;
    for (int64_t i = 0; i < h->rows; i++)
        if (classes[i] == k)
            rows[n++] = i;
    *room = dal_size_mul(n, z->cols + h->cols, &cells) ? dal_array(host, cells, sizeof **room) : NULL;
    if (!*room)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples of class %d", (long long)n, (int)k);
    for (int64_t i = 0; i < n; i++) {
        memcpy(*room + i * z->cols, z->data + rows[i] * z->stride, (size_t)z->cols * sizeof **room);
        memcpy(*room + n * z->cols + i * h->cols, h->data + rows[i] * h->stride, (size_t)h->cols * sizeof **room);
    }
    *out = *g;
    out->ids = NULL; /* what is no number has been named */
    out->outputs.values = (dal_matrix){*room, n, z->cols, z->cols};
    out->features = (dal_matrix){*room + n * z->cols, n, h->cols, h->cols};
    return DAL_OK;
}

/* b by the shares of the classes of count [c], n in all: rounded down, the largest remainders up (ties: the lower
 * class). */
static void share_out(const int64_t *count, int64_t c, int64_t n, int64_t b, int64_t *quota)
{
    int64_t left = b;
    for (int64_t k = 0; k < c; k++) {
        quota[k] = count[k] * b / n;
        left -= quota[k];
    }
    for (; left > 0; left--) {
        int64_t best = 0, most = 0;
        for (int64_t k = 0; k < c; k++)
            if (quota[k] == count[k] * b / n && count[k] * b % n > most) {
                most = count[k] * b % n;
                best = k;
            }
        quota[best]++;
    }
}

/* The picks of class k from the candidates of that class. index: room for the rows of either set. */
static dal_status pick_class(const job *j, int32_t k, int64_t want, int64_t *index, int64_t *rows, double *scores,
                             dal_error *err)
{
    dal_gradients g, other = {0};
    float *room[2] = {NULL, NULL};
    dal_status st = DAL_OK;
    if (j->valid.features.rows > 0)
        st = gather(j->host, &j->valid, j->truth, k, &other, index, &room[1], err);
    if (st == DAL_OK)
        st = gather(j->host, &j->pool, j->predicted, k, &g, index, &room[0], err);
    const int own = other.features.rows == 0;
    int32_t *labels = st == DAL_OK && !own ? dal_array(j->host, other.features.rows, sizeof *labels) : NULL;
    if (st == DAL_OK && !own && !labels)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the labels of class %d", (int)k);
    for (int64_t i = 0; st == DAL_OK && !own && i < other.features.rows; i++)
        labels[i] = k;
    if (st == DAL_OK)
        st = pick_from(j, &g, own ? &g : &other, labels, want, (uint64_t)k, rows, scores, err);
    for (int64_t i = 0; st == DAL_OK && i < want; i++)
        rows[i] = index[rows[i]];
    j->host->free(j->host, room[0]);
    j->host->free(j->host, room[1]);
    j->host->free(j->host, labels);
    return st;
}

/* Class by class, each its share of b. */
static dal_status pick_apart(job *j, int64_t b, int64_t *rows, double *scores, dal_error *err)
{
    const dal_host *host = j->host;
    const int64_t n = j->pool.features.rows, c = dal_gradient_width(&j->pool), m = j->valid.features.rows;
    int64_t *count = dal_array(host, c, sizeof *count), *quota = dal_array(host, c, sizeof *quota),
            *index = dal_array(host, n > m ? n : m, sizeof *index), made = 0;
    float *a = dal_array(host, c, sizeof *a);
    double *norms = dal_array(host, n > m ? n : m, sizeof *norms);
    j->predicted = dal_array(host, n, sizeof *j->predicted);
    dal_status st = count && quota && index && a && norms && j->predicted
                        ? dal_gradient_norms(host, &j->pool, norms, err) /* which names what is no number */
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the classes of %lld candidates",
                                   (long long)n);
    if (st == DAL_OK && m > 0)
        st = dal_gradient_norms(host, &j->valid, norms, err);
    if (st == DAL_OK) {
        memset(count, 0, (size_t)c * sizeof *count);
        for (int64_t i = 0; i < n; i++) {
            dal_gradient_factor(&j->pool, i, 1, a, &j->predicted[i]);
            count[j->predicted[i]]++;
        }
        share_out(count, c, n, b, quota);
    }
    for (int64_t k = 0; st == DAL_OK && k < c; made += quota[k++])
        if (quota[k] > 0)
            st = pick_class(j, (int32_t)k, quota[k], index, rows + made, scores + made, err);
    void *const all[] = {count, quota, index, a, norms, j->predicted};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        host->free(host, all[i]);
    return st;
}

static dal_status gradmatch_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    const dal_gradients empty = {.struct_size = sizeof empty, .bias = opt->bias};
    job j = {.host = host, .opt = opt, .pool = empty, .valid = empty,
             .rng = host->rng(host, "rest", view->round)};
    const int64_t want = picks->want;
    picks->n = 0;
    if (want <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(host, want, sizeof *rows);
    double *scores = dal_array(host, want, sizeof *scores);
    dal_status st = rows && scores ? read_set(view, DAL_ROWS_CANDIDATES, &j.pool, err)
                                   : dal_fail(err, DAL_E_NOMEM, "", "no memory for the picks");
    if (st == DAL_OK && opt->target != TARGET_POOL)
        st = read_validation(view, &j.valid, &j.truth, err);
    if (st == DAL_OK && opt->classes != CLASSES_TOGETHER)
        st = pick_apart(&j, want, rows, scores, err);
    else if (st == DAL_OK)
        st = pick_from(&j, &j.pool, opt->target == TARGET_POOL ? &j.pool : &j.valid, j.truth, want, 0, rows, scores,
                       err);
    if (st == DAL_OK)
        dal_pick_rows(view, rows, scores, want, picks);
    host->free(host, rows);
    host->free(host, scores);
    return st;
}

static void gradmatch_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, b = (double)problem->n_query, c = (double)problem->c,
                 d = (double)problem->d;
    out->bytes = 4 * n * c + 16 * n + 16 * b + 88 * c * (d + 1) + 4096 * c + 1e6;
    out->flops = 4 * n * c * d + 2 * n * b * (c + d);
    snprintf(out->formula, sizeof out->formula, "O(n c d + n b (c + d)) time, O(n c + c d) memory");
    if (opt->weights) {
        out->bytes += 16 * b * b + 8 * b * (c + d + 8) + 8 * n + 16 * c * (d + 1);
        out->flops = 4 * n * c * d + b * (4 * n * c * d + 2 * b * c * d + 2 * b * b);
        snprintf(out->formula, sizeof out->formula,
                 "O(n b c d + b^2 (c d + b)) time, O(n c + b^2 + c d) memory");
    }
    if (opt->classes != CLASSES_TOGETHER)
        out->bytes += 4 * n * (c + d) + 24 * n + 16 * c;
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
    P(T, bias, BOOL, "true", "", "", "count the gradient of the bias, too")                                       \
    P(T, classes, CHOICE, "together", "together|apart", "", "match all at once, or class by predicted class")     \
    P(T, variant, CHOICE, "paper", "paper|distil", "", "distil: the sum of all, not b / N of it")                 \
    P(T, weights, BOOL, "false", "", "", "match the sum with weighted gradients; a pick's score is its weight")   \
    P(T, ridge, F64, "1", "0..", "", "weights: the price of their squares")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "gradmatch", gradmatch_impl, "gradients that add up to the gradient of everything",               \
      "Killamsetty et al., ICML 2021 (GRAD-MATCH)", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                   \
    A(STRATEGY, "gradmatch",                                                                       \
      "b times argmin_i ||g_i - r||, r = b/N sum g - sum of picked g",                             \
      "variant: distil matches the whole sum; weights: the OMP of the paper, told as scores and "  \
      "not used in training (they are of this round's model and predicted classes, the next one "  \
      "trains on all labels); classes: apart is its per-class form")
DAL_MODULE_ABOUT(gradmatch, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
