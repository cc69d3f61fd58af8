/* tidal: samples whose training would be unsettled, by a head that learns what the model says while it is trained.
 *
 * Kye, Choi, Byun, Chang, "TiDAL: learning training dynamics for active learning", ICCV 2023. Of each labelled sample i
 * the training leaves the mean of what the model has said of it up to now, epoch by epoch,
 *
 *     q_i <- (e q_i + p_i) / (e + 1),   e = 0, 1, ...,  p_i = softmax of the model in the step    (their equation 2)
 *
 * and a head on the pooled maps of the network's stages (loss_head.h, C outputs) learns to tell it from the sample:
 *
 *     total = mean cross-entropy + lambda mean KL(q_i || q^(x_i)),   q^ = softmax of the head, q_i a constant
 *
 * A sample without a label has no training to look at, but it has a q^:
 *
 *     entropy   score = H(q^)
 *     aum       score = max over c != y of q^_c - q^_y, y the model's own class: minus the area under the margin
 *
 * the largest first. e counts how often a sample has come by; means begin anew with each fit. The authors score a
 * random 10 000 of the pool: here that is the wrapper `subsample`, or query.candidates of the manifest.
 *
 * By the authors' code the head's loss shapes the network to the end; detach stops it earlier, as in learning-loss.
 * ALScope builds the head with one output, whose softmax is 1: it picks anything.
 *
 * With lenet and 600 labels of MNIST it does no better than `random`: 0.942 against 0.947 (means of 2 seeds).
 *
 * Time one forward pass of the pool (aum: two); memory 4 n_l C in training, that of the head, and of a block a thread.
 */
#include "loss_head.h"

#include <dal/linalg.h>

#include <math.h>

#define ENTROPY 0u

typedef struct options {
    uint32_t measure;
    double weight, detach;
    int64_t width;
    double learning_rate;
    int32_t keep;
} options;

/* The means, by pool index: a table of open addresses, at most half full. */
typedef struct dynamics {
    int64_t c, most, n;  /* n of at most `most` samples have come by */
    int64_t size, *keys; /* [size], a power of two; -1: free */
    int64_t *rows;       /* [size] of the table's samples */
    int64_t *seen;       /* [most] how often */
    float *mean;         /* [most, c] q */
} dynamics;

typedef struct tidal {
    const dal_host *host;
    const options *opt;
    dal_companion companion;
    loss_head head;
    dynamics d;
} tidal;

/* ---- what the model has said ----------------------------------------------------------------------- */

static void dynamics_free(dynamics *d, const dal_host *host)
{
    host->free(host, d->keys);
    host->free(host, d->rows);
    host->free(host, d->seen);
    host->free(host, d->mean);
    *d = (dynamics){0};
}

static dal_status dynamics_init(dynamics *d, const dal_host *host, int64_t most, int64_t c, dal_error *err)
{
    int64_t cells;
    dynamics_free(d, host);
    *d = (dynamics){.c = c, .most = most, .size = 16};
    while (d->size < 2 * most)
        d->size *= 2;
    d->keys = dal_array(host, d->size, sizeof *d->keys);
    d->rows = dal_array(host, d->size, sizeof *d->rows);
    d->seen = dal_array(host, most, sizeof *d->seen);
    d->mean = dal_size_mul(most, c, &cells) ? dal_array(host, cells, sizeof *d->mean) : NULL;
    if (!d->keys || !d->rows || !d->seen || !d->mean) {
        dynamics_free(d, host);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the training dynamics of %lld samples of %lld classes",
                        (long long)most, (long long)c);
    }
    for (int64_t i = 0; i < d->size; i++)
        d->keys[i] = -1;
    return DAL_OK;
}

/* The row of a sample, new or not; -1: there are more than were told. */
static int64_t row_of(dynamics *d, int64_t id)
{
    int64_t at = (int64_t)(dal_hash64(0, &id, sizeof id) & (uint64_t)(d->size - 1));
    while (d->keys[at] != id && d->keys[at] >= 0)
        at = (at + 1) & (d->size - 1);
    if (d->keys[at] < 0) {
        if (d->n == d->most)
            return -1;
        d->keys[at] = id;
        d->rows[at] = d->n;
        d->seen[d->n++] = 0;
    }
    return d->rows[at];
}

/* q <- (e q + p) / (e + 1), all [c]. */
static void fold_in(float *q, int64_t e, const float *p, int64_t c)
{
    for (int64_t k = 0; k < c; k++)
        q[k] = e == 0 ? p[k] : (float)(((double)e * (double)q[k] + (double)p[k]) / (double)(e + 1));
}

/* ---- the loss --------------------------------------------------------------------------------------- */

/* softmax of z [c] into p, in double; returns ln sum exp z. */
static double softmax(const float *z, int64_t c, double *p)
{
    double top = (double)z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = fmax(top, (double)z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += p[k] = exp((double)z[k] - top);
    for (int64_t k = 0; k < c; k++)
        p[k] /= sum;
    return top + log(sum);
}

/* KL(q || softmax z), and what `scale` times it adds to d, all [c]; p [c] is scratch. */
static double divergence(const float *q, const float *z, int64_t c, double scale, double *p, float *d)
{
    const double lse = softmax(z, c, p);
    double sum = 0, mass = 0;
    for (int64_t k = 0; k < c; k++)
        mass += (double)q[k];
    for (int64_t k = 0; k < c; k++) {
        if (q[k] > 0)
            sum += (double)q[k] * (log((double)q[k]) - ((double)z[k] - lse));
        d[k] += (float)(scale * (mass * p[k] - (double)q[k]));
    }
    return sum;
}

/* The row of each sample's mean, with what the model says now. p [c] is scratch. */
static dal_status take_note(tidal *self, const dal_companion_batch *b, int64_t i, float *p, int64_t *row,
                            dal_error *err)
{
    dynamics *d = &self->d;
    *row = row_of(d, b->ids[i]);
    if (*row < 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "the model trains on more samples than the %lld it told of",
                        (long long)d->most);
    memcpy(p, b->logits + i * d->c, (size_t)d->c * sizeof *p);
    dal_softmax(p, 1, d->c, d->c);
    fold_in(d->mean + *row * d->c, d->seen[*row]++, p, d->c);
    return DAL_OK;
}

static dal_status begin(void *p, const dal_companion_setup *setup, dal_error *err)
{
    tidal *self = p;
    const dal_status st = dynamics_init(&self->d, self->host, setup->n_train, setup->c, err);
    return st == DAL_OK ? loss_head_begin(&self->head, setup, setup->c, err) : st;
}

static dal_status step(void *p, int64_t epoch, int64_t number, const dal_companion_batch *b,
                       const dal_companion_batch *unlabelled, dal_error *err)
{
    tidal *self = p;
    const dal_host *host = self->host;
    const int64_t c = self->d.c, n = b->n;
    (void)number, (void)unlabelled;
    if (n == 0)
        return DAL_OK;
    dal_status st = loss_head_forward(&self->head, b, n, epoch, err);
    if (st != DAL_OK)
        return st;
    float *now = dal_array(host, c, sizeof *now);
    double *probs = dal_array(host, c, sizeof *probs);
    if (!now || !probs)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld classes", (long long)c);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        int64_t row;
        st = take_note(self, b, i, now, &row, err);
        if (st == DAL_OK)
            divergence(self->d.mean + row * c, self->head.out + i * c, c, self->opt->weight / (double)n, probs,
                       self->head.d_out + i * c);
    }
    host->free(host, now);
    host->free(host, probs);
    return st == DAL_OK ? loss_head_backward(&self->head, b, n, epoch, err) : st;
}

/* ---- scores ----------------------------------------------------------------------------------------- */

/* H of softmax z [c]; p [c] is scratch. */
static double entropy_of(const float *z, int64_t c, double *p)
{
    const double lse = softmax(z, c, p);
    double h = 0;
    for (int64_t k = 0; k < c; k++)
        h += p[k] > 0 ? p[k] * (lse - (double)z[k]) : 0;
    return h;
}

/* What the best other class has more than class y. */
static double minus_aum(const float *z, int64_t c, int64_t y, double *p)
{
    double other = 0;
    softmax(z, c, p);
    for (int64_t k = 0; k < c; k++)
        other = k != y ? fmax(other, p[k]) : other;
    return other - p[y];
}

static int64_t largest(const float *x, int64_t c)
{
    int64_t best = 0;
    for (int64_t k = 1; k < c; k++)
        best = x[k] > x[best] ? k : best;
    return best;
}

static dal_status score(void *p, const dal_block *block, double *out, dal_error *err)
{
    tidal *self = p;
    const dal_host *host = self->host;
    const int64_t c = self->head.n_outputs;
    const int by_entropy = self->opt->measure == ENTROPY;
    float *z = NULL;
    dal_outputs model = {0};
    dal_status st = by_entropy ? DAL_OK : block->outputs(block, &model, err);
    double *probs = dal_array(host, c, sizeof *probs);
    if (st == DAL_OK && !probs)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld classes", (long long)c);
    if (st == DAL_OK)
        st = loss_head_predict(&self->head, block, &z, err);
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++)
        out[i] = by_entropy ? entropy_of(z + i * c, c, probs)
                            : minus_aum(z + i * c, c, largest(model.values.data + i * model.values.stride, c), probs);
    host->free(host, probs);
    host->free(host, z);
    return st;
}

/* ---- what the module offers -------------------------------------------------------------------------- */

static dal_status create(const dal_host *host, const void *options_, void **out, dal_error *err)
{
    const options *opt = options_;
    const loss_head_rule rule = {opt->width, opt->detach, opt->learning_rate, opt->keep};
    tidal *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a strategy");
    *self = (tidal){.host = host, .opt = opt};
    loss_head_init(&self->head, host, &rule);
    self->companion = (dal_companion){
        .struct_size = sizeof self->companion, .wants = DAL_WANT_STAGES, .self = self, .begin = begin, .step = step};
    *out = self;
    return DAL_OK;
}

static void destroy(void *p)
{
    tidal *self = p;
    if (!self)
        return;
    dynamics_free(&self->d, self->host);
    loss_head_fini(&self->head);
    self->host->free(self->host, self);
}

static const dal_companion *companion(void *p)
{
    return &((tidal *)p)->companion;
}

static dal_status prepare(void *p, const dal_view *view, dal_error *err)
{
    return loss_head_prepare(&((tidal *)p)->head, view, view->n_classes, err);
}

static dal_status save(void *p, const dal_writer *w, dal_error *err)
{
    return loss_head_save(&((tidal *)p)->head, w, err);
}

static dal_status load(void *p, const dal_reader *r, dal_error *err)
{
    return loss_head_load(&((tidal *)p)->head, r, err);
}

/* The model's stages are not told here: four as wide as those of resnet18 stand for them. */
static void cost(void *p, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = p ? ((const tidal *)p)->opt : options_;
    const double c = (double)problem->c, weights = (960 + 4 * c) * (double)opt->width;
    out->bytes = 16 * weights + 4 * c * (double)problem->n_labelled + 48 * (double)problem->n_labelled +
                 16 * (double)problem->n_query + 1e6;
    out->flops = 2 * (double)problem->n * weights;
    snprintf(out->formula, sizeof out->formula,
             "a forward pass of the pool; O(width (sum of stage widths + c)) time a sample, that and O(n_l c) memory");
}

static const dal_strategy_impl impl = {
    .struct_size = sizeof impl,
    .order = DAL_LARGEST_FIRST,
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .score = score,
    .save = save,
    .load = load,
    .companion = companion,
    .cost = cost,
};

#define PARAMS(P, T)                                                                                      \
    P(T, measure, CHOICE, "entropy", "entropy|aum", "", "of what the head says, or minus its margin")     \
    LOSS_HEAD_PARAMS(P, T, "1")
#define COMPONENTS(C)                                                                                     \
    C(STRATEGY, "tidal", impl, "least settled while being trained on, as a head trained along predicts it", \
      "Kye et al., ICCV 2023", DAL_CAP_OUTPUTS " " DAL_CAP_STAGES " " DAL_CAP_COMPANION, "", options, PARAMS)
#define ABOUT(A)                                                                                          \
    A(STRATEGY, "tidal",                                                                                  \
      "largest H(q^(x)), or least margin of q^ at the model's class; q^ learns KL(q_i || q^(x_i)), q_i the mean of " \
      "the model's softmax over the epochs",                                                              \
      "the head learns by Adam, theirs by SGD; their random 10 000 of the pool are subsample or query.candidates; " \
      "ALScope's head has one output and picks anything")
#define WHEN(W) W(STRATEGY, "tidal", DAL_CAP_OUTPUTS, "measure", "aum")
DAL_MODULE_WHEN(tidal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, WHEN, NULL, NULL)
