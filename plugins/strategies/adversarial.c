/* How far is a sample from the border of its class? Push it there and measure.
 *
 *   adv-bim       the basic iterative method of Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical
 *                 world", 2017, as a measure of margin like that of Ducoffe & Precioso:
 *                     eta += epsilon sign(grad_x CE(x + eta, y))     until the prediction is not y any more
 *   adv-deepfool  Ducoffe & Precioso, "Adversarial active learning for deep networks: a margin based approach",
 *                 2018, by DeepFool (Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016): to the nearest of the linearised
 *                 borders
 *                     w_k = grad z_k - grad z_y,  f_k = |z_k - z_y|,  k* = argmin_k f_k / ||w_k||
 *                     eta += (f_k* + 1e-4) / ||w_k*||^2 w_k*          at x + (1 + overshoot) eta
 *
 * y is what the model predicts for x, z its logits. The smallest ||eta||^2 (of what is added to x) comes first.
 * Samples that do not flip within max_steps come after all others, by entropy, and score infinity.
 *
 * A block of samples moves together, and those that have flipped leave it. The gradient of the cross-entropy is
 * taken divided by 1 - p_y, which changes no sign and does not vanish where the model is certain (a peer's
 * sign(0) = 0 never moves there). DeepFool looks at the `classes` largest logits of x, as its authors do;
 * DeepAL+ goes to the last class, not the nearest, and its BIM loop need not end. Nothing is clipped to the
 * range of an image.
 *
 * Needs input gradients of a live model: per sample and step one backward pass and one or two forward passes
 * (adv-deepfool: a backward pass for each class but one). 20 n bytes and blocks of 256 rows on each thread.
 */
#include <dal/linalg.h>
#include <dal/live_model.h>
#include <dal/select.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <math.h>

typedef struct bim_options {
    double epsilon;
    int64_t max_steps;
} bim_options;

typedef struct deepfool_options {
    double overshoot;
    int64_t max_steps, classes;
} deepfool_options;

/* ---- samples on their way ----------------------------------------------------------------------- */

struct walk;

typedef struct job {
    const dal_host *host;
    dal_live_model model;
    const dal_model_input_gradient *table;
    uint32_t kind; /* of the model's outputs */
    int64_t width, c;
    double unit; /* x + unit * eta is where a sample is */
    int64_t max_steps, rivals;
    dal_status (*step)(struct walk *w, dal_error *err); /* adds to eta */
    double *distance; /* [candidates] ||unit * eta||^2, infinite when it did not flip */
    double *entropy;  /* [candidates] */
} job;

/* The samples of a block that have not flipped, rows closed up. */
typedef struct walk {
    job *j;
    int64_t n;
    int64_t *row;                           /* [n] of the candidates */
    int32_t *home, *rival;                  /* [n] y; [n, rivals] the other classes it may go to */
    float *x, *eta, *at, *gradient, *towards; /* [n, width] */
    float *outputs, *pull;                  /* [n, c] */
    double *nearest, *scale;                /* [n] */
} walk;

static int walk_init(walk *w, job *j, int64_t n)
{
    const dal_host *h = j->host;
    float **wide[] = {&w->x, &w->eta, &w->at, &w->gradient, &w->towards};
    *w = (walk){.j = j, .n = n};
    w->row = dal_array(h, n, sizeof *w->row);
    w->home = dal_array(h, n, sizeof *w->home);
    w->rival = dal_array(h, n * j->rivals, sizeof *w->rival);
    w->outputs = dal_array(h, n * j->c, sizeof *w->outputs);
    w->pull = dal_array(h, n * j->c, sizeof *w->pull);
    w->nearest = dal_array(h, n, sizeof *w->nearest);
    w->scale = dal_array(h, n, sizeof *w->scale);
    int good = w->row && w->home && w->rival && w->outputs && w->pull && w->nearest && w->scale;
    for (int i = 0; i < 5; i++)
        good &= (*wide[i] = dal_array(h, n * j->width, sizeof(float))) != NULL;
    return good;
}

static void walk_free(walk *w)
{
    const dal_host *h = w->j->host;
    void *all[] = {w->row, w->home, w->rival, w->outputs, w->pull, w->nearest, w->scale, w->x, w->eta, w->at,
                   w->gradient, w->towards};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
}

static dal_status forward(walk *w, dal_error *err)
{
    job *j = w->j;
    dal_live_model_enter(&j->model);
    const dal_status st = j->table->forward(j->model.model->self, w->at, w->n, w->outputs, err);
    dal_live_model_leave(&j->model);
    return st;
}

/* gradient [n, width] of sum_c pull_c output_c. */
static dal_status backward(walk *w, dal_error *err)
{
    job *j = w->j;
    dal_live_model_enter(&j->model);
    const dal_status st = j->table->gradient(j->model.model->self, w->at, w->n, w->pull, w->gradient, err);
    dal_live_model_leave(&j->model);
    return st;
}

static int32_t predicted(const float *z, int64_t c)
{
    int32_t best = 0;
    for (int32_t k = 1; k < c; k++)
        best = z[k] > z[best] ? k : best;
    return best;
}

/* The rivals of y: the other classes by output, the largest first. */
static void find_rivals(const float *z, int64_t c, int32_t y, int64_t n, int32_t *rival)
{
    for (int64_t r = 0; r < n; r++) {
        int32_t best = -1;
        for (int32_t k = 0; k < c; k++) {
            int taken = k == y;
            for (int64_t s = 0; s < r; s++)
                taken |= rival[s] == k;
            if (!taken && (best < 0 || z[k] > z[best]))
                best = k;
        }
        rival[r] = best;
    }
}

static dal_status set_out(walk *w, const dal_block *block, dal_error *err)
{
    job *j = w->j;
    dal_batch samples;
    dal_status st = block->inputs(block, &samples, err);
    if (st == DAL_OK) {
        dal_live_model_enter(&j->model);
        st = j->table->embed(j->model.model->self, &samples, w->x, err);
        dal_live_model_leave(&j->model);
    }
    if (st != DAL_OK)
        return st;
    memcpy(w->at, w->x, (size_t)(w->n * j->width) * sizeof *w->at);
    memset(w->eta, 0, (size_t)(w->n * j->width) * sizeof *w->eta);
    st = forward(w, err);
    if (st != DAL_OK)
        return st;
    const dal_outputs o = {{w->outputs, w->n, j->c, j->c}, j->kind, 0};
    dal_entropy(&o, j->entropy + block->first);
    for (int64_t i = 0; i < w->n; i++) {
        const float *z = w->outputs + i * j->c;
        if (isnan(j->entropy[block->first + i]))
            return dal_fail(err, DAL_E_INVALID, "", "the outputs of sample %lld are not numbers",
                            (long long)block->ids[i]);
        w->row[i] = block->first + i;
        w->home[i] = predicted(z, j->c);
        find_rivals(z, j->c, w->home[i], j->rivals, w->rival + i * j->rivals);
        j->distance[w->row[i]] = INFINITY;
    }
    return DAL_OK;
}

/* Where everybody is now; who has flipped is measured and leaves. */
static dal_status look_round(walk *w, dal_error *err)
{
    const job *j = w->j;
    const size_t wide = (size_t)j->width * sizeof(float);
    int64_t left = 0;
    for (int64_t i = 0; i < w->n * j->width; i++)
        w->at[i] = w->x[i] + (float)(j->unit * (double)w->eta[i]);
    const dal_status st = forward(w, err);
    for (int64_t i = 0; st == DAL_OK && i < w->n; i++) {
        const float *eta = w->eta + i * j->width, *z = w->outputs + i * j->c;
        if (predicted(z, j->c) != w->home[i]) {
            j->distance[w->row[i]] = j->unit * j->unit * dal_dot(eta, eta, j->width);
            continue;
        }
        if (left < i) {
            w->row[left] = w->row[i];
            w->home[left] = w->home[i];
            memcpy(w->rival + left * j->rivals, w->rival + i * j->rivals, (size_t)j->rivals * sizeof *w->rival);
            memcpy(w->x + left * j->width, w->x + i * j->width, wide);
            memcpy(w->eta + left * j->width, eta, wide);
            memcpy(w->at + left * j->width, w->at + i * j->width, wide);
            memcpy(w->outputs + left * j->c, z, (size_t)j->c * sizeof *z);
        }
        left++;
    }
    w->n = st == DAL_OK ? left : w->n;
    return st;
}

static dal_status push_block(void *ctx, const dal_block *block, dal_error *err)
{
    job *j = ctx;
    const dal_host *h = j->host;
    walk w;
    dal_status st = walk_init(&w, j, block->n)
                        ? set_out(&w, block, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)block->n);
    for (int64_t step = 0; st == DAL_OK && w.n > 0 && step < j->max_steps; step++) {
        st = h->cancelled(h) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted") : j->step(&w, err);
        if (st == DAL_OK)
            st = look_round(&w, err);
    }
    walk_free(&w);
    return st;
}

/* ---- the two steps ------------------------------------------------------------------------------- */

/* pull = the gradient of the cross-entropy of y by the outputs, up to a positive factor: of logits
 * softmax over the other classes, minus 1 for y; of probabilities -1 for y. */
static void away_from_home(const float *z, int64_t c, int32_t y, uint32_t kind, float *pull)
{
    double top = -INFINITY, sum = 0;
    memset(pull, 0, (size_t)c * sizeof *pull);
    pull[y] = -1;
    if (kind == DAL_PROBS)
        return;
    for (int32_t k = 0; k < c; k++)
        top = k != y ? fmax(top, (double)z[k]) : top;
    for (int32_t k = 0; k < c; k++)
        sum += k != y ? exp((double)z[k] - top) : 0;
    for (int32_t k = 0; k < c; k++)
        if (k != y)
            pull[k] = (float)(exp((double)z[k] - top) / sum);
}

static dal_status bim_step(walk *w, dal_error *err)
{
    const job *j = w->j;
    for (int64_t i = 0; i < w->n; i++)
        away_from_home(w->outputs + i * j->c, j->c, w->home[i], j->kind, w->pull + i * j->c);
    const dal_status st = backward(w, err);
    for (int64_t i = 0; st == DAL_OK && i < w->n * j->width; i++)
        w->eta[i] += (float)(w->gradient[i] > 0) - (float)(w->gradient[i] < 0);
    return st;
}

/* |z_k - z_y| and its gradient by the outputs; of probabilities z = ln p. */
static double border(const float *z, int64_t c, int32_t y, int32_t k, uint32_t kind, float *pull)
{
    const double p_k = (double)z[k], p_y = (double)z[y];
    memset(pull, 0, (size_t)c * sizeof *pull);
    if (kind == DAL_LOGITS) {
        pull[k] = 1;
        pull[y] = -1;
        return fabs(p_k - p_y);
    }
    if (!(p_k > 0)) /* endlessly far */
        return INFINITY;
    pull[k] = (float)(1 / p_k);
    pull[y] = (float)(-1 / p_y);
    return fabs(log(p_k) - log(p_y));
}

static dal_status deepfool_step(walk *w, dal_error *err)
{
    const job *j = w->j;
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < w->n; i++) {
        w->nearest[i] = INFINITY;
        w->scale[i] = 0;
    }
    for (int64_t r = 0; st == DAL_OK && r < j->rivals; r++) {
        for (int64_t i = 0; i < w->n; i++)
            border(w->outputs + i * j->c, j->c, w->home[i], w->rival[i * j->rivals + r], j->kind,
                   w->pull + i * j->c);
        st = backward(w, err);
        for (int64_t i = 0; st == DAL_OK && i < w->n; i++) {
            const float *g = w->gradient + i * j->width;
            const double norm = dal_dot(g, g, j->width);
            const double f = border(w->outputs + i * j->c, j->c, w->home[i], w->rival[i * j->rivals + r], j->kind,
                                    w->pull + i * j->c);
            if (!(f / sqrt(norm) < w->nearest[i]))
                continue;
            w->nearest[i] = f / sqrt(norm);
            w->scale[i] = (f + 1e-4) / norm;
            memcpy(w->towards + i * j->width, g, (size_t)j->width * sizeof *g);
        }
    }
    for (int64_t i = 0; st == DAL_OK && i < w->n; i++)
        for (int64_t v = 0; w->scale[i] > 0 && v < j->width; v++)
            w->eta[i * j->width + v] += (float)(w->scale[i] * (double)w->towards[i * j->width + v]);
    return st;
}

/* ---- selection ------------------------------------------------------------------------------------- */

/* The nearest first; then, where these are too few, the most uncertain of those that did not flip. */
static void choose(const dal_view *view, const job *j, dal_picks *picks)
{
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    dal_topk near, rest;
    dal_topk_init(&near, picks->want, DAL_SMALLEST_FIRST, picks->scores, picks->ids);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(j->distance[i]))
            dal_topk_push(&near, &j->distance[i], i, 1);
    dal_topk_sort(&near);
    dal_topk_init(&rest, picks->want - near.n, DAL_LARGEST_FIRST, picks->scores + near.n, picks->ids + near.n);
    for (int64_t i = 0; i < n && near.n < picks->want; i++)
        if (!isfinite(j->distance[i]))
            dal_topk_push(&rest, &j->entropy[i], i, 1);
    dal_topk_sort(&rest);
    for (int64_t i = near.n; i < picks->want; i++)
        picks->scores[i] = INFINITY;
    for (picks->n = 0; picks->n < picks->want; picks->n++)
        picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[picks->ids[picks->n]];
}

static dal_status push_and_choose(job *j, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_host *h = j->host;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    picks->n = 0;
    dal_status st = dal_live_model_open(&j->model, view, DAL_CAP_INPUT_GRADIENT, err);
    if (st == DAL_OK) {
        j->table = j->model.table;
        j->kind = view->model->impl->output;
        j->width = j->table->width(view->model->self);
        j->c = view->n_classes;
        j->rivals = j->rivals < j->c - 1 ? j->rivals : j->c - 1;
        j->distance = dal_array(h, n, sizeof *j->distance);
        j->entropy = dal_array(h, n, sizeof *j->entropy);
        st = j->distance && j->entropy
                 ? view->stream(view, DAL_ROWS_CANDIDATES, push_block, j, err)
                 : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld distances", (long long)n);
    }
    if (st == DAL_OK)
        choose(view, j, picks);
    h->free(h, j->distance);
    h->free(h, j->entropy);
    dal_live_model_close(&j->model);
    return st;
}

static dal_status bim_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const bim_options *opt = self->options;
    job j = {.host = self->host, .unit = opt->epsilon, .max_steps = opt->max_steps, .step = bim_step};
    return push_and_choose(&j, view, picks, err);
}

static dal_status deepfool_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const deepfool_options *opt = self->options;
    job j = {.host = self->host, .unit = 1 + opt->overshoot, .max_steps = opt->max_steps, .step = deepfool_step,
             .rivals = opt->classes - 1};
    return push_and_choose(&j, view, picks, err);
}

/* Neither the model nor the width of its inputs is told here: the last layer stands for the one, an image of
 * 3 x 32 x 32 for the other. */
static void tell_cost(const dal_problem *problem, double steps, double passes, dal_cost *out)
{
    const double n = (double)problem->n, c = (double)problem->c;
    out->bytes = 20 * n + 2 * 256 * (5 * 4 * 3072 + 8 * c);
    out->flops = 2 * n * steps * passes * c * (double)(problem->d > 0 ? problem->d : 1);
}

static void bim_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const bim_options *o = self ? ((const dal_stateless *)self)->options : opt;
    tell_cost(problem, (double)o->max_steps, 3, out);
    snprintf(out->formula, sizeof out->formula, "O(n) memory; n x at most %lld x (1 backward, 2 forward passes)",
             (long long)o->max_steps);
}

static void deepfool_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const deepfool_options *o = self ? ((const dal_stateless *)self)->options : opt;
    const int64_t c = problem->c < o->classes ? problem->c : o->classes;
    tell_cost(problem, (double)o->max_steps, 2 * (double)c, out);
    snprintf(out->formula, sizeof out->formula,
             "O(n) memory; n x at most %lld x (%lld backward, %lld forward passes)", (long long)o->max_steps,
             (long long)(c > 1 ? c - 1 : 1), (long long)c);
}

static const dal_strategy_impl bim_impl = {
    .struct_size = sizeof bim_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = bim_select,
    .cost = bim_cost,
};

static const dal_strategy_impl deepfool_impl = {
    .struct_size = sizeof deepfool_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = deepfool_select,
    .cost = deepfool_cost,
};

#define BIM_PARAMS(P, T)                                                                                   \
    P(T, epsilon, F64, "0.05", "(0..)", "input units", "how far each value moves in a step")               \
    P(T, max_steps, I64, "100", "1..100000", "", "then a sample counts as one that does not flip")
#define DEEPFOOL_PARAMS(P, T)                                                                                   \
    P(T, overshoot, F64, "0.02", "0..10", "", "how far beyond the border to go, relative to the way there")     \
    P(T, max_steps, I64, "50", "1..100000", "", "then a sample counts as one that does not flip")               \
    P(T, classes, I64, "10", "2..100000", "",                                                                   \
      "the classes of the largest logits, between which it looks for a border")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "adv-bim", bim_impl, "smallest push in fixed steps that changes the prediction",           \
      "Kurakin et al., ICLR Workshop 2017", DAL_CAP_INPUT_GRADIENT, "", bim_options, BIM_PARAMS)           \
    C(STRATEGY, "adv-deepfool", deepfool_impl, "smallest push over the nearest linearised border",         \
      "Ducoffe & Precioso 2018", DAL_CAP_INPUT_GRADIENT, "", deepfool_options, DEEPFOOL_PARAMS)
#define ABOUT(A)                                                                                     \
    A(STRATEGY, "adv-bim",                                                                           \
      "least ||eta||^2; eta += epsilon sign(grad_x CE(x + eta, y)) until the prediction is no "      \
      "longer y",                                                                                    \
      "at most max_steps (DeepAL+ has no end); what never flips comes last, by entropy; nothing is " \
      "clipped to the range of an image")                                                            \
    A(STRATEGY, "adv-deepfool",                                                                      \
      "least ||eta||^2; eta += (|z_k - z_y| + 1e-4) / ||w_k||^2 w_k, w_k = grad z_k - grad z_y, k "  \
      "the nearest border",                                                                          \
      "the nearest of the `classes` largest logits, where DeepAL+ goes to the last class")
DAL_MODULE_ABOUT(adversarial, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
