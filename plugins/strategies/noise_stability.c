/* noise-stability: shake the weights a little; ask about what moves most, in directions not asked about yet.
 *
 * Li, Yang, Li, Xu, Dou, "Deep active learning with noise stability", AAAI 2024 (arXiv 2205.13340). For r = 1..R
 *
 *     w_r  = w + xi ||w|| n / ||n||     n standard normal, for every tensor of weights or gains apart
 *     D_r(x) = (f_r(x) - f(x)) / ||f(x)||       f(x) = softmax output of the weights w, f_r of w_r
 *
 *     D(x) = (D_1(x), ..., D_R(x))
 *     picks = greedy k-center on D from the origin: the largest ||D||, then the farthest from {0} and all chosen
 *
 *     xi -> magnitude, R -> passes; all samples of a pass see the same noise; biases stay.
 *
 *   noise-stability       all layers (as in the paper): R forward passes of a copy of the live model
 *   noise-stability-last  the last layer's weights alone: f_r follows from outputs, features and a matrix product a
 *                         pass, no model needed; what the earlier layers would add is lost
 *
 * From logits the change is p_k (E_k - S) / (1 + S) with E_k = exp(z_rk - z_k) - 1 and S = sum_k p_k E_k: what
 * moves by 1e-3 of itself is not the difference of two rounded probabilities. `project` keeps m numbers a sample
 * in place of R c: random signs, D P / sqrt(m), under which distances between two samples keep to about 1 +- 1 /
 * sqrt(m).
 *
 * The authors score a random 25 000 of a larger pool: here that is the wrapper `subsample`, or query.candidates.
 * ALScope reads xi from an argument that is never passed, and shakes by 0.01 whatever the option says.
 *
 * Memory 4 n R c (project: 4 n m), and 8 n c; time R forward passes, or 2 n d R c for the last layer, and
 * k-center on R c.
 */
#include <dal/kcenter.h>
#include <dal/linalg.h>
#include <dal/live_model.h>
#include <dal/select.h>

#include <math.h>

#define TILE 256 /* rows; tiles are always full, so that equal rows go the same way through the matrix product */

typedef struct options {
    double magnitude;
    int64_t passes, project;
} options;

/* ---- D ------------------------------------------------------------------------------------------- */

typedef struct changes {
    const dal_host *host;
    const options *opt;
    const int64_t *ids;
    dal_outputs base; /* f: z or p, [n, c] */
    int64_t n, c, width;
    float *probs;  /* [n, c] */
    double *norm;  /* [n] ||f|| */
    float *all;    /* D [n, width], width = R c or m */
    float *signs;  /* [c, m] of the pass, or NULL */
} changes;

/* f of row i. */
static dal_status note_base(changes *x, int64_t i, dal_error *err)
{
    const float *z = x->base.values.data + i * x->base.values.stride;
    float *p = x->probs + i * x->c;
    double top = -INFINITY, sum = 0, square = 0;
    for (int64_t k = 0; k < x->c; k++)
        top = fmax(top, (double)z[k]);
    for (int64_t k = 0; k < x->c; k++)
        sum += x->base.kind == DAL_LOGITS ? exp((double)z[k] - top) : (double)z[k];
    for (int64_t k = 0; k < x->c; k++) {
        p[k] = x->base.kind == DAL_LOGITS ? (float)(exp((double)z[k] - top) / sum) : z[k];
        square += (double)p[k] * (double)p[k];
    }
    x->norm[i] = sqrt(square);
    if (!isfinite(sum) || !(square > 0))
        return dal_fail(err, DAL_E_INVALID, "", "the outputs of sample %lld are not numbers",
                        (long long)x->ids[i]);
    return DAL_OK;
}

static dal_status changes_init(changes *x, const dal_view *view, dal_error *err)
{
    const dal_host *h = x->host;
    int64_t width;
    x->n = view->count(view, DAL_ROWS_CANDIDATES);
    x->ids = view->ids(view, DAL_ROWS_CANDIDATES);
    dal_status st = view->outputs(view, DAL_ROWS_CANDIDATES, &x->base, err);
    if (st != DAL_OK)
        return st;
    x->c = x->base.values.cols;
    if (!dal_size_mul(x->opt->passes, x->c, &width) || !dal_size_mul(x->n, x->c, &width))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld passes of %lld classes", (long long)x->opt->passes,
                        (long long)x->c);
    x->width = x->opt->project > 0 ? x->opt->project : x->opt->passes * x->c;
    x->probs = dal_array(h, x->n * x->c, sizeof *x->probs);
    x->norm = dal_array(h, x->n, sizeof *x->norm);
    x->all = dal_size_mul(x->n, x->width, &width) ? dal_array(h, width, sizeof *x->all) : NULL;
    x->signs = x->opt->project > 0 && dal_size_mul(x->c, x->width, &width) ? dal_array(h, width, sizeof *x->signs)
                                                                          : NULL;
    if (!x->probs || !x->norm || !x->all || (x->opt->project > 0 && !x->signs))
        return dal_fail(err, DAL_E_NOMEM, "",
                        "no memory for %lld x %lld changes of outputs; `project` keeps fewer", (long long)x->n,
                        (long long)x->width);
    memset(x->all, 0, (size_t)(x->n * x->width) * sizeof *x->all);
    for (int64_t i = 0; st == DAL_OK && i < x->n; i++)
        st = note_base(x, i, err);
    return st;
}

static void changes_free(changes *x)
{
    x->host->free(x->host, x->probs);
    x->host->free(x->host, x->norm);
    x->host->free(x->host, x->all);
    x->host->free(x->host, x->signs);
}

/* D_r of row i from delta = z_r - z [c]; expm [c] is scratch. */
static void change_by_logits(const changes *x, int64_t i, const float *delta, double *expm, float *out)
{
    const float *p = x->probs + i * x->c;
    double s = 0;
    for (int64_t k = 0; k < x->c; k++) {
        expm[k] = p[k] > 0 ? expm1((double)delta[k]) : 0;
        s += (double)p[k] * expm[k];
    }
    for (int64_t k = 0; k < x->c; k++)
        out[k] = p[k] > 0 ? (float)((double)p[k] * (expm[k] - s) / ((1 + s) * x->norm[i])) : 0;
}

/* D_r of row i from p_r [c]. */
static void change_by_probs(const changes *x, int64_t i, const float *p_r, float *out)
{
    for (int64_t k = 0; k < x->c; k++)
        out[k] = (float)(((double)p_r[k] - (double)x->probs[i * x->c + k]) / x->norm[i]);
}

/* Put D_r [TILE, c] of the n rows from `first` on where it belongs: columns of pass r, or added up projected. */
static dal_status put(const changes *x, int64_t first, int64_t n, int64_t r, const float *d)
{
    float *out = x->all + first * x->width;
    if (x->signs)
        return dal_gemm_nn(n, x->width, x->c, 1, d, x->c, x->signs, x->width, 1, out, x->width);
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * x->width + r * x->c, d + i * x->c, (size_t)x->c * sizeof *d);
    return DAL_OK;
}

static void draw_signs(changes *x, int64_t round, int64_t r)
{
    const dal_rng stream = x->host->rng(x->host, "projection", round);
    dal_rng of_pass = dal_rng_at(&stream, (uint64_t)r);
    const float one = (float)(1 / sqrt((double)x->width));
    uint32_t bits = 0;
    for (int64_t v = 0; x->signs && v < x->c * x->width; v++) {
        bits = v % 32 ? bits >> 1 : dal_rng_u32(&of_pass);
        x->signs[v] = bits & 1 ? one : -one;
    }
}

/* noise [n] = magnitude ||w|| n / ||n||, drawn from the sub-stream of tensor t in pass r. */
static void draw_noise(const changes *x, int64_t round, int64_t r, int64_t t, const float *w, int64_t n,
                       float *noise)
{
    const dal_rng stream = x->host->rng(x->host, "noise", round), of_pass = dal_rng_at(&stream, (uint64_t)r);
    dal_rng of_tensor = dal_rng_at(&of_pass, (uint64_t)t);
    for (int64_t v = 0; v < n; v++)
        noise[v] = (float)dal_rng_normal(&of_tensor);
    const double size = sqrt(dal_dot(noise, noise, n)), weight = sqrt(dal_dot(w, w, n));
    const double scale = size > 0 ? x->opt->magnitude * weight / size : 0;
    for (int64_t v = 0; v < n; v++)
        noise[v] = (float)(scale * (double)noise[v]);
}

static dal_status check_finite(const changes *x, dal_error *err)
{
    for (int64_t v = 0; v < x->n * x->width; v++)
        if (!isfinite(x->all[v]))
            return dal_fail(err, DAL_E_INVALID, "", "the outputs of sample %lld move by what is no number",
                            (long long)x->ids[v / x->width]);
    return DAL_OK;
}

/* Greedy k-center from the origin. */
static dal_status spread(const changes *x, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_host *h = x->host;
    if (check_finite(x, err) != DAL_OK)
        return DAL_E_INVALID;
    int64_t *rows = dal_array(h, picks->want, sizeof *rows), n = 0;
    float *distance = dal_array(h, picks->want, sizeof *distance),
          *origin = dal_array(h, x->width, sizeof *origin);
    dal_status st = DAL_OK;
    if (!rows || !distance || !origin) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)picks->want);
    } else {
        memset(origin, 0, (size_t)x->width * sizeof *origin);
        const dal_matrix centre = {origin, 1, x->width, x->width};
        const dal_kcenter_problem problem = {.struct_size = sizeof problem,
                                             .candidates = {x->all, x->n, x->width, x->width},
                                             .centres = &centre, .n_centres = 1, .n_picks = picks->want};
        st = dal_kcenter(h, &problem, rows, distance, &n, err);
    }
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        picks->scores[i] = sqrt((double)distance[i]);
    if (st == DAL_OK)
        dal_pick_rows(view, rows, NULL, n, picks);
    h->free(h, rows);
    h->free(h, distance);
    h->free(h, origin);
    return st;
}

/* ---- all layers ------------------------------------------------------------------------------------ */

typedef struct shaken {
    changes x;
    dal_live_model live;
    const dal_model_perturb *table;
    void *copy;
    int64_t round, pass;
} shaken;

/* Tensor t of the copy: as in the model, and in this pass the noise. */
static dal_status shake_tensor(void *ctx, int64_t t)
{
    const shaken *s = ctx;
    const dal_parameter *p = s->table->parameter(s->live.model->self, t);
    const float *from = s->table->weights(s->live.model->self) + p->offset;
    float *to = s->table->weights(s->copy) + p->offset;
    if (p->role != DAL_ROLE_WEIGHT && p->role != DAL_ROLE_SCALE)
        return DAL_OK;
    draw_noise(&s->x, s->round, s->pass, t, from, p->count, to);
    for (int64_t v = 0; v < p->count; v++)
        to[v] += from[v];
    return DAL_OK;
}

static dal_status look_at_block(void *ctx, const dal_block *block, dal_error *err)
{
    shaken *s = ctx;
    const changes *x = &s->x;
    const dal_host *h = x->host;
    const int64_t c = x->c;
    dal_batch samples;
    float *z = dal_array(h, block->n * c, sizeof *z), *d = dal_array(h, block->n * c, sizeof *d);
    double *expm = dal_array(h, c, sizeof *expm);
    dal_status st = z && d && expm ? block->inputs(block, &samples, err)
                                   : dal_fail(err, DAL_E_NOMEM, "", "no memory for a block");
    if (st == DAL_OK) {
        dal_live_model_enter(&s->live);
        st = s->live.model->impl->predict(s->copy, &samples, z, err);
        dal_live_model_leave(&s->live);
    }
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++) {
        const int64_t row = block->first + i;
        const float *base = x->base.values.data + row * x->base.values.stride;
        if (x->base.kind == DAL_PROBS) {
            change_by_probs(x, row, z + i * c, d + i * c);
            continue;
        }
        for (int64_t k = 0; k < c; k++)
            z[i * c + k] -= base[k];
        change_by_logits(x, row, z + i * c, expm, d + i * c);
    }
    if (st == DAL_OK)
        st = put(x, block->first, block->n, s->pass, d);
    h->free(h, z);
    h->free(h, d);
    h->free(h, expm);
    return st;
}

static dal_status shake_all(shaken *s, const dal_view *view, dal_error *err)
{
    const dal_host *h = s->x.host;
    dal_status st = dal_live_model_open(&s->live, view, DAL_CAP_PERTURB, err);
    if (st != DAL_OK)
        return st;
    s->table = s->live.table;
    st = s->table->copy(s->live.model->self, &s->copy, err);
    for (s->pass = 0; st == DAL_OK && s->pass < s->x.opt->passes; s->pass++) {
        h->progress(h, s->pass, s->x.opt->passes, "passes");
        draw_signs(&s->x, s->round, s->pass);
        st = h->parallel_for(h, s->table->n_parameters(s->live.model->self), shake_tensor, s);
        if (st == DAL_OK)
            st = view->stream(view, DAL_ROWS_CANDIDATES, look_at_block, s, err);
    }
    return st;
}

static dal_status all_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    shaken s = {.x = {.host = self->host, .opt = self->options}, .round = view->round};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = changes_init(&s.x, view, err);
    if (st == DAL_OK) {
        st = shake_all(&s, view, err);
        if (s.copy)
            view->model->impl->destroy(s.copy);
        dal_live_model_close(&s.live);
    }
    if (st == DAL_OK)
        st = spread(&s.x, view, picks, err);
    changes_free(&s.x);
    return st;
}

/* ---- the last layer -------------------------------------------------------------------------------- */

typedef struct last {
    changes x;
    dal_matrix features, weights;
    float *noise; /* [c, d] */
    int64_t pass;
} last;

static dal_status move_tile(void *ctx, int64_t tile)
{
    const last *l = ctx;
    const changes *x = &l->x;
    const dal_host *h = x->host;
    const int64_t first = tile * TILE, left = x->n - first, n = left < TILE ? left : TILE, c = x->c;
    const int64_t d = l->features.cols;
    const float *rows = l->features.data + first * l->features.stride;
    float *delta = dal_array(h, TILE * c, sizeof *delta), *out = dal_array(h, TILE * c, sizeof *out);
    float *padded = n < TILE ? dal_array(h, TILE * d, sizeof *padded) : NULL;
    double *expm = dal_array(h, c, sizeof *expm);
    dal_status st = delta && out && expm && (padded || n == TILE) ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK && padded) {
        memset(padded, 0, (size_t)(TILE * d) * sizeof *padded);
        for (int64_t i = 0; i < n; i++)
            memcpy(padded + i * d, rows + i * l->features.stride, (size_t)d * sizeof *padded);
        st = dal_gemm_nt(TILE, c, d, 1, padded, d, l->noise, d, 0, delta, c);
    } else if (st == DAL_OK) {
        st = dal_gemm_nt(TILE, c, d, 1, rows, l->features.stride, l->noise, d, 0, delta, c);
    }
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        change_by_logits(x, first + i, delta + i * c, expm, out + i * c);
    if (st == DAL_OK)
        st = put(x, first, n, l->pass, out);
    h->free(h, delta);
    h->free(h, out);
    h->free(h, padded);
    h->free(h, expm);
    return st;
}

static dal_status shake_last(last *l, const dal_view *view, dal_error *err)
{
    changes *x = &l->x;
    const dal_host *h = x->host;
    const float *bias;
    dal_status st = view->features(view, DAL_ROWS_CANDIDATES, &l->features, err);
    if (st == DAL_OK)
        st = view->last_layer(view, &l->weights, &bias, err);
    const int64_t c = x->c, d = l->features.cols;
    if (st != DAL_OK)
        return st;
    if (l->weights.rows != c || l->weights.cols != d)
        return dal_fail(err, DAL_E_INVALID, "",
                        "the last layer is [%lld, %lld], the samples have %lld classes and %lld "
                        "features",
                        (long long)l->weights.rows, (long long)l->weights.cols, (long long)c, (long long)d);
    float *weights = dal_array(h, c * d, sizeof *weights);
    l->noise = dal_array(h, c * d, sizeof *l->noise);
    if (!weights || !l->noise)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the noise of a layer");
    for (int64_t k = 0; st == DAL_OK && k < c; k++)
        memcpy(weights + k * d, l->weights.data + k * l->weights.stride, (size_t)d * sizeof *weights);
    for (l->pass = 0; st == DAL_OK && l->pass < x->opt->passes; l->pass++) {
        h->progress(h, l->pass, x->opt->passes, "passes");
        draw_signs(x, view->round, l->pass);
        draw_noise(x, view->round, l->pass, 0, weights, c * d, l->noise);
        st = h->cancelled(h) ? DAL_E_CANCELLED : h->parallel_for(h, (x->n + TILE - 1) / TILE, move_tile, l);
        if (st == DAL_E_CANCELLED)
            dal_fail(err, st, "", "interrupted");
        else if (st != DAL_OK)
            dal_fail(err, st, "", st == DAL_E_NOMEM ? "no memory for a tile" : "a matrix product failed");
    }
    h->free(h, weights);
    h->free(h, l->noise);
    return st;
}

static dal_status last_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    last l = {.x = {.host = self->host, .opt = self->options}};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = changes_init(&l.x, view, err);
    if (st == DAL_OK)
        st = shake_last(&l, view, err);
    if (st == DAL_OK)
        st = spread(&l.x, view, picks, err);
    changes_free(&l.x);
    return st;
}

/* ---- what the module offers -------------------------------------------------------------------------- */

static void tell_cost(const options *o, const dal_problem *problem, dal_cost *out)
{
    const double n = (double)problem->n, c = (double)problem->c, passes = (double)o->passes;
    const double width = o->project > 0 ? (double)o->project : passes * c;
    const double d = problem->d > 0 ? (double)problem->d : 1;
    out->bytes = 4 * n * width + 4 * n * c + 40 * n + 4 * c * d + 8e6;
    out->flops = passes * n * c * (2 * d + 20) + 3 * n * (double)problem->n_query * width +
                 (o->project > 0 ? 2 * n * passes * c * width : 0);
}

static void all_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const dal_stateless *)self)->options : opt;
    tell_cost(o, problem, out);
    snprintf(out->formula, sizeof out->formula,
             "%lld forward passes, O(n b R c) time, %s memory and a copy of the model", (long long)o->passes,
             o->project > 0 ? "O(n m)" : "O(n R c)");
}

static void last_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const dal_stateless *)self)->options : opt;
    tell_cost(o, problem, out);
    snprintf(out->formula, sizeof out->formula, "O(n R c (d + b)) time, %s memory",
             o->project > 0 ? "O(n m)" : "O(n R c)");
}

static const dal_strategy_impl all_impl = {
    .struct_size = sizeof all_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = all_select,
    .cost = all_cost,
};

static const dal_strategy_impl last_impl = {
    .struct_size = sizeof last_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = last_select,
    .cost = last_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, magnitude, F64, "0.001", "(0..1]", "", "size of the noise relative to the weights (xi)")          \
    P(T, passes, I64, "50", "1..10000", "", "how often the weights are shaken (R)")                        \
    P(T, project, I64, "0", "0..100000", "numbers a sample", "keep so many by random signs; 0: all R c, exact")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "noise-stability", all_impl, "farthest first on how outputs move when all weights shake",  \
      "Li et al., AAAI 2024", DAL_CAP_OUTPUTS " " DAL_CAP_PERTURB, "", options, PARAMS)                    \
    C(STRATEGY, "noise-stability-last", last_impl, "noise-stability of the last layer alone, from matrices", \
      "Li et al., AAAI 2024", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES " " DAL_CAP_LAST_LAYER, "", options, PARAMS)
#define ABOUT(A)                                                                              \
    A(STRATEGY, "noise-stability",                                                            \
      "k-center from the origin on D(x) = ((f_r(x) - f(x)) / ||f(x)||)_r, f_r with noise of " \
      "relative size xi on all weights",                                                      \
      "all of the pool (theirs: 25000); ALScope always shakes by 0.01")                       \
    A(STRATEGY, "noise-stability-last",                                                       \
      "noise-stability with noise on the last layer alone",                                   \
      "what earlier layers would add is lost")
DAL_MODULE_ABOUT(noise_stability, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
