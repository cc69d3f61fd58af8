/* glister: samples whose gradient step, one after the other, lowers the loss on other data most.
 *
 * Killamsetty, Sivasubramanian, Ramakrishnan, Iyer, "GLISTER: generalization based data subset selection for
 * efficient and robust learning", AAAI 2021, section 3.4 (GLISTER-ACTIVE). V is the validation data with its
 * labels or, without any, the labelled samples and the candidates with their predicted classes. With g = (p -
 * e_y) (x) (h, 1) the gradient of the last layer and logits Z_V,
 *
 *     Z_V  moves along one step of size eta on the labelled samples, theta = theta - eta sum_L g
 *     repeat:  r = mean over V of the gradient at Z_V;   i* = argmax_i <g_i, r>          (first-order gain)
 *              Z_V moves along the step on i*:  z_v = z_v - eta a_i* (<h_i*, h_v> + 1)
 *
 * Gradients are never formed: <g_i, r> is a matrix product of the features with r. r is made anew after every
 * `refresh` picks; those in between are the next best of the same r. Ties go to the lowest pool index; the
 * score is the gain. What DISTIL calls regularisers (in its published runs a name in the wrong case switches them
 * off) changes the gain, A being the picks so far:
 *
 *     random              a share lambda of b is drawn from the rest, last
 *     facility-location   + lambda sum_i max(0, D_i - ||g_i - g||^2) over the candidates, D_i = min_A ||g_i - g_j||^2;
 *                         before any pick D is no less than any distance: 4 max ||g||^2 (DISTIL: the largest)
 *     diversity           - lambda sum_{j in A} exp(-||g - g_j||^2 / 2)
 *
 * The second is a sum over the candidates beside a mean over V: a lambda of 1 / n weighs them alike. Its gains only
 * fall, so that few are looked at again (lazy greedy); the first look at all takes n^2 (c + d).
 *
 * Needs outputs and features. O(b / refresh (n + |V|) c d), diversity n b (c + d) more; 4 |V| c + 24 n bytes, and
 * 72 c d; 24 n for the regularisers.
 */
#include "glister.h"

#include <dal/linalg.h>
#include <dal/select.h>
#include <dal/topk.h>

#include <float.h>
#include <math.h>

typedef glister_options options;

/* ---- V ---------------------------------------------------------------------------------------- */

static dal_status read_set(const dal_view *view, uint32_t set, dal_gradients *g, dal_error *err)
{
    *g = (dal_gradients){.struct_size = sizeof *g, .bias = 1, .ids = view->ids(view, set)};
    const dal_status st = view->outputs(view, set, &g->outputs, err);
    return st == DAL_OK ? view->features(view, set, &g->features, err) : st;
}

/* A copy of a set's logits, and its labels: those given, where there are any, or the predicted. */
static dal_status add_part(glister *s, const dal_gradients *g, const int32_t *classes, dal_error *err)
{
    glister_part *p = &s->parts[s->n_parts++];
    const dal_matrix *v = &g->outputs.values;
    int64_t cells;
    p->z = dal_size_mul(v->rows, s->c, &cells) ? dal_array(s->host, cells, sizeof *p->z) : NULL;
    p->classes = dal_array(s->host, v->rows, sizeof *p->classes);
    float *a = dal_array(s->host, s->c, sizeof *a);
    const int have = p->z && p->classes && a;
    for (int64_t i = 0; have && i < v->rows; i++) {
        dal_gradient_factor(g, i, 1, a, p->classes + i);
        if (classes && classes[i] >= 0 && classes[i] < s->c)
            p->classes[i] = classes[i];
        for (int64_t k = 0; k < s->c; k++) {
            const float x = v->data[i * v->stride + k];
            p->z[i * s->c + k] = g->outputs.kind == DAL_LOGITS ? x : logf(fmaxf(x, FLT_MIN));
        }
    }
    s->host->free(s->host, a);
    p->g = *g;
    p->g.outputs = (dal_outputs){{p->z, v->rows, s->c, s->c}, DAL_LOGITS, 0};
    return have ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld logits", (long long)v->rows);
}

static dal_status read_parts(glister *s, const dal_view *view, const dal_gradients *labelled, dal_error *err)
{
    dal_gradients valid;
    if (view->count(view, DAL_ROWS_VALIDATION) > 0) {
        const dal_status st = read_set(view, DAL_ROWS_VALIDATION, &valid, err);
        return st == DAL_OK ? add_part(s, &valid, view->classes(view, DAL_ROWS_VALIDATION), err) : st;
    }
    dal_status st = add_part(s, &s->pool, NULL, err);
    if (st == DAL_OK && labelled->features.rows > 0)
        st = add_part(s, labelled, view->classes(view, DAL_ROWS_LABELLED), err);
    return st;
}

/* ---- steps ------------------------------------------------------------------------------------ */

typedef struct step_job {
    const glister *s;
    const glister_part *p;
    int whole; /* along s->r, a sum of gradients; else along the latest picks */
} step_job;

static dal_status step_task(void *ctx, int64_t t)
{
    const step_job *j = ctx;
    const glister *s = j->s;
    const int64_t first = t * TILE,
                  n = j->p->g.features.rows - first < TILE ? j->p->g.features.rows - first : TILE;
    const float eta = (float)s->eta, *h = j->p->g.features.data + first * j->p->g.features.stride;
    const int64_t ldh = j->p->g.features.stride, c = s->c;
    float *z = j->p->z + first * c;
    if (j->whole) {
        for (int64_t i = 0; i < n * c; i++)
            z[i] -= eta * s->r[i % c * s->width + s->d];
        return dal_gemm_nt(n, c, s->d, -eta, h, ldh, s->r, s->width, 1, z, c);
    }
    float *near = dal_array(s->host, TILE * s->n_latest, sizeof *near); /* <h_i, h_v> + 1 */
    dal_status st =
        near ? dal_gemm_nt(n, s->n_latest, s->d, 1, h, ldh, s->h, s->d, 0, near, s->n_latest) : DAL_E_NOMEM;
    for (int64_t i = 0; st == DAL_OK && i < n * s->n_latest; i++)
        near[i] += 1;
    if (st == DAL_OK)
        st = dal_gemm_nn(n, c, s->n_latest, -eta, near, s->n_latest, s->a, c, 1, z, c);
    s->host->free(s->host, near);
    return st;
}

static dal_status step(const glister *s, int whole, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int i = 0; st == DAL_OK && i < s->n_parts; i++) {
        step_job j = {s, &s->parts[i], whole};
        st = s->host->parallel_for(s->host, (j.p->g.features.rows + TILE - 1) / TILE, step_task, &j);
    }
    return st == DAL_OK ? DAL_OK : dal_fail(err, st, "", "no memory for a step");
}

/* r: the sum, or the mean, over sets of their gradients. */
static void round_sum(glister *s, double scale, int add)
{
    for (int64_t k = 0; k < s->c * s->width; k++)
        s->r[k] = (float)((add ? (double)s->r[k] : 0) + scale * s->sum[k]);
}

static dal_status step_on_labelled(glister *s, const dal_gradients *labelled, const int32_t *classes,
                                   dal_error *err)
{
    if (labelled->features.rows == 0)
        return DAL_OK;
    const dal_status st = dal_gradient_sum(s->host, labelled, classes, s->sum, err);
    if (st != DAL_OK)
        return st;
    round_sum(s, 1, 0);
    return step(s, 1, err);
}

static dal_status mean_gradient(glister *s, dal_error *err)
{
    int64_t n = 0;
    dal_status st = DAL_OK;
    for (int i = 0; i < s->n_parts; i++)
        n += s->parts[i].g.features.rows;
    for (int i = 0; st == DAL_OK && i < s->n_parts; i++) {
        st = dal_gradient_sum(s->host, &s->parts[i].g, s->parts[i].classes, s->sum, err);
        if (st == DAL_OK)
            round_sum(s, 1 / (double)n, i > 0);
    }
    for (int64_t k = 0; st == DAL_OK && k < s->c * s->width; k++)
        if (!isfinite(s->r[k]))
            return dal_fail(err, DAL_E_DIVERGED, "eta",
                            "the gradient of the other data is not finite: an output is not, or "
                            "steps of this size diverge");
    return st;
}

/* ---- picks ------------------------------------------------------------------------------------ */

/* Gains of all that is not taken, near; exact for those that can be among the best k. */
static dal_status find_gains(glister *s, int64_t k, double *keys, int64_t *rows, dal_error *err)
{
    const int64_t n = s->pool.features.rows;
    double length = 0;
    dal_topk best;
    const dal_status st = dal_gradient_project(s->host, &s->pool, s->r, s->gains, err);
    float *a = st == DAL_OK ? dal_array(s->host, s->c, sizeof *a) : NULL;
    if (st != DAL_OK)
        return st;
    if (!a)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld classes", (long long)s->c);
    for (int64_t i = 0; i < s->c * s->width; i++)
        length += (double)s->r[i] * (double)s->r[i];
    dal_topk_init(&best, k, DAL_LARGEST_FIRST, keys, rows);
    for (int64_t i = 0; i < n; i++) {
        s->gains[i] = s->taken[i] ? (double)NAN : s->gains[i];
        dal_topk_push(&best, s->gains + i, i, 1);
    }
    const double worst = keys[0], unit = 8 * (double)(s->d + s->c + 16) * 0x1p-24 * sqrt(length);
    double slack = 0; /* what rounding can make of the worst kept */
    for (int64_t i = 0; i < k; i++)
        slack = fmax(slack, unit * sqrt(s->norms[rows[i]]));
    for (int64_t i = 0; i < n; i++)
        if (s->gains[i] + unit * sqrt(s->norms[i]) >= worst - slack) {
            dal_gradient_factor(&s->pool, i, 1, a, NULL);
            s->gains[i] =
                dal_gradient_against(&s->pool, a, s->pool.features.data + i * s->pool.features.stride, s->r);
        }
    s->host->free(s->host, a);
    return DAL_OK;
}

void glister_keep_factors(glister *s, int64_t i, int64_t row)
{
    s->taken[row] = 1;
    dal_gradient_factor(&s->pool, row, 1, s->a + i * s->c, NULL);
    memcpy(s->h + i * s->d, s->pool.features.data + row * s->pool.features.stride, (size_t)s->d * sizeof *s->h);
}

/* The best k of the current r, and the factors of their gradients. */
static dal_status take_best(glister *s, int64_t k, int64_t *rows, double *scores, dal_error *err)
{
    dal_topk best;
    const dal_status st = find_gains(s, k, scores, rows, err);
    if (st != DAL_OK)
        return st;
    dal_topk_init(&best, k, DAL_LARGEST_FIRST, scores, rows);
    dal_topk_push(&best, s->gains, 0, s->pool.features.rows);
    dal_topk_sort(&best);
    for (int64_t i = 0; i < k; i++)
        glister_keep_factors(s, i, rows[i]);
    s->n_latest = k;
    return DAL_OK;
}

static void draw_rest(const glister *s, dal_rng rng, int64_t n, int64_t want, int64_t *rows, double *scores)
{
    for (int64_t left = s->pool.features.rows - n; n < want; left--) {
        int64_t skip = dal_rng_below(&rng, left), row = 0;
        while (s->taken[row] || skip-- > 0)
            row++;
        s->taken[row] = 1;
        rows[n] = row;
        scores[n++] = (double)NAN;
    }
}

static dal_status pick_all(glister *s, int64_t want, int64_t *rows, double *scores, dal_error *err)
{
    const glister_options *opt = s->opt;
    const int plain = opt->regulariser == PLAIN || opt->regulariser == RANDOM;
    dal_status st = glister_begin_regulariser(s, err);
    for (int64_t n = 0; st == DAL_OK && n < want;) {
        const int64_t k = opt->refresh < want - n ? opt->refresh : want - n;
        if (n > 0)
            st = step(s, 0, err);
        if (st == DAL_OK)
            st = mean_gradient(s, err);
        if (st == DAL_OK)
            st = plain ? take_best(s, k, rows + n, scores + n, err)
                       : glister_take_regularised(s, k, rows + n, scores + n, err);
        n += k;
        s->host->progress(s->host, n, want, "picks");
    }
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status take_memory(glister *s, int64_t latest, dal_error *err)
{
    const int64_t n = s->pool.features.rows;
    int64_t cells = 0, a = 0, h = 0;
    const int fits = dal_size_mul(s->c, s->width, &cells) && dal_size_mul(latest, s->c, &a) &&
                     dal_size_mul(latest, s->d, &h);
    s->sum = fits ? dal_array(s->host, cells, sizeof *s->sum) : NULL;
    s->r = fits ? dal_array(s->host, cells, sizeof *s->r) : NULL;
    s->norms = dal_array(s->host, n, sizeof *s->norms);
    s->gains = dal_array(s->host, n, sizeof *s->gains);
    s->taken = dal_array(s->host, n, 1);
    s->a = fits ? dal_array(s->host, a, sizeof *s->a) : NULL;
    s->h = fits ? dal_array(s->host, h, sizeof *s->h) : NULL;
    if (!s->sum || !s->r || !s->norms || !s->gains || !s->taken || !s->a || !s->h)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    memset(s->taken, 0, (size_t)n);
    return DAL_OK;
}

static void give_memory(glister *s)
{
    void *const all[] = {s->sum, s->r, s->norms, s->gains, s->taken, s->a, s->h,
                         s->parts[0].z, s->parts[0].classes, s->parts[1].z, s->parts[1].classes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->host->free(s->host, all[i]);
    glister_end_regulariser(s);
}

static dal_status glister_create(const dal_host *host, const void *options_, void **self, dal_error *err)
{
    const glister_options *opt = options_;
    if (opt->regulariser == RANDOM && opt->lambda > 1)
        return dal_fail(err, DAL_E_INVALID, "lambda", "%g is no share of the picks; expected 0 to 1", opt->lambda);
    return dal_stateless_create(host, options_, self, err);
}

static dal_status glister_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const glister_options *opt = self->options;
    const int64_t want = picks->want, latest = opt->refresh < want ? opt->refresh : want;
    const int64_t greedy = opt->regulariser == RANDOM ? (int64_t)ceil((1 - opt->lambda) * (double)want) : want;
    glister s = {.host = self->host, .eta = opt->eta, .opt = opt};
    dal_gradients labelled = {.struct_size = sizeof labelled};
    picks->n = 0;
    if (want <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(s.host, want, sizeof *rows);
    double *scores = dal_array(s.host, want, sizeof *scores);
    dal_status st = rows && scores ? read_set(view, DAL_ROWS_CANDIDATES, &s.pool, err)
                                   : dal_fail(err, DAL_E_NOMEM, "", "no memory for the picks");
    s.c = s.pool.outputs.values.cols;
    s.d = s.pool.features.cols;
    s.width = s.d + 1;
    if (st == DAL_OK && view->count(view, DAL_ROWS_LABELLED) > 0)
        st = read_set(view, DAL_ROWS_LABELLED, &labelled, err);
    if (st == DAL_OK)
        st = take_memory(&s, latest, err);
    if (st == DAL_OK)
        st = dal_gradient_norms(s.host, &s.pool, s.norms, err);
    if (st == DAL_OK)
        st = read_parts(&s, view, &labelled, err);
    if (st == DAL_OK)
        st = step_on_labelled(&s, &labelled, view->classes(view, DAL_ROWS_LABELLED), err);
    if (st == DAL_OK)
        st = pick_all(&s, greedy, rows, scores, err);
    if (st == DAL_OK) {
        draw_rest(&s, s.host->rng(s.host, "rest", view->round), greedy, want, rows, scores);
        dal_pick_rows(view, rows, scores, want, picks);
    }
    s.host->free(s.host, rows);
    s.host->free(s.host, scores);
    give_memory(&s);
    return st;
}

static void glister_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const glister_options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double n = (double)problem->n, b = (double)problem->n_query, c = (double)problem->c,
                 d = (double)problem->d;
    const double v = n + (double)problem->n_labelled, k = fmin(b, (double)opt->refresh);
    out->bytes = 17 * n + v * (4 * c + 4) + 88 * c * (d + 1) + 4 * k * (c + d) + 4096 * (c + k) + 1e6;
    out->flops = ceil(b / (double)opt->refresh) * 2 * (n + v) * c * d + 2 * b * v * (c + d);
    snprintf(out->formula, sizeof out->formula, "O(b / refresh (n + n_l) c d) time, O((n + n_l) c + c d) memory");
    if (opt->regulariser == FACILITY_LOCATION || opt->regulariser == DIVERSITY) {
        out->bytes += 25 * n + 4 * 4096 * (c + d + 256) + n / 32;
        out->flops += 2 * n * (c + d) * (opt->regulariser == DIVERSITY ? b : n + 20 * b);
        snprintf(out->formula, sizeof out->formula,
                 "O(b / refresh (n + n_l) c d + n %s (c + d)) time, O((n + n_l) c + c d) memory",
                 opt->regulariser == DIVERSITY ? "b" : "(n + b looks)");
    }
}

static const dal_strategy_impl glister_impl = {
    .struct_size = sizeof glister_impl,
    .create = glister_create,
    .destroy = dal_stateless_destroy,
    .select = glister_select,
    .cost = glister_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, eta, F64, "0.05", "(0..]", "", "learning rate of the steps on the last layer")                           \
    P(T, refresh, I64, "1", "1..1000000", "picks", "how many picks from one gradient of the other data")          \
    P(T, regulariser, CHOICE, "none", "none|random|facility-location|diversity", "", "what else counts")          \
    P(T, lambda, F64, "0.1", "0..", "", "how much it counts; random: the share of the picks")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "glister", glister_impl, "gradient steps that lower the loss on other data most",                 \
      "Killamsetty et al., AAAI 2021 (GLISTER)", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                     \
    A(STRATEGY, "glister",                                                                           \
      "b times argmax_i <g_i, r>, r the mean gradient of validation data (or all) after steps of "   \
      "size eta on L and the picks",                                                                 \
      "gradients are never formed; regularisers as in DISTIL, whose published runs switch them off " \
      "by a wrong case")
DAL_MODULE_ABOUT(glister, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
