/* learning-loss: samples of which the model is expected to be most wrong, by a head that learns to tell.
 *
 * Yoo & Kweon, "Learning loss for active learning", CVPR 2019. A head on the pooled maps of the network's stages
 * (loss_head.h) says l^ of each sample, and learns along with the network which of two samples has the larger loss l
 * (cross-entropy, taken as a constant): in a batch of 2B sample i goes with 2B - 1 - i,
 *
 *     L_pair = max(0, xi - s (l^_i - l^_j)),   s = 1 if l_i > l_j, else -1           (their equation 2)
 *     total  = mean cross-entropy + lambda mean L_pair
 *     score  = l^, the largest first
 *
 *     xi -> margin, lambda -> weight. The last sample of an odd batch has no partner.
 *
 * Up to epoch 120 of 200 (detach) the head's loss shapes the network, too; then the head learns alone. The authors
 * score a random 10 000 of the pool: here that is the wrapper `subsample`, or query.candidates of the manifest.
 *
 * Theirs learns the head by the network's SGD at rate 0.1, DeepAL+ by Adam at 0.01; this one by Adam. DeepAL+ runs the
 * network twice a step, which updates its batch norms twice, and pools maps by sizes that are not theirs.
 *
 * The paper asks for 1,000 labels at a time with ResNet-18. With lenet and few labels it does worse than `random`:
 * 0.933 against 0.947 of MNIST at 600 labels, 0.819 against 0.837 of Fashion-MNIST at 1,800 (means of 2 and 3 seeds).
 *
 * A network that stops early and goes back to its best epoch keeps the head of the last. Time one forward pass of the
 * pool; memory that of the head and of a block a thread.
 */
#include "loss_head.h"

#include <math.h>

typedef struct options {
    double margin, weight, detach;
    int64_t width;
    double learning_rate;
    int32_t keep;
} options;

typedef struct learning_loss {
    const dal_host *host;
    const options *opt;
    dal_companion companion;
    loss_head head;
} learning_loss;

/* Mean L_pair of the n / 2 pairs of n samples, n even, and what `scale` times it adds to d [n]. */
static double pair_loss(const float *predicted, const float *losses, int64_t n, double margin, double scale, float *d)
{
    double sum = 0;
    for (int64_t i = 0; i < n / 2; i++) {
        const int64_t j = n - 1 - i;
        const double s = losses[i] > losses[j] ? 1 : -1;
        const double loss = margin - s * ((double)predicted[i] - (double)predicted[j]);
        if (!(loss > 0))
            continue;
        sum += loss;
        d[i] -= (float)(scale * s / (double)(n / 2));
        d[j] += (float)(scale * s / (double)(n / 2));
    }
    return n > 0 ? sum / (double)(n / 2) : 0;
}

static dal_status begin(void *p, const dal_companion_setup *setup, dal_error *err)
{
    learning_loss *self = p;
    return loss_head_begin(&self->head, setup, 1, err);
}

static dal_status step(void *p, int64_t epoch, int64_t number, const dal_companion_batch *b,
                       const dal_companion_batch *unlabelled, dal_error *err)
{
    learning_loss *self = p;
    const int64_t n = b->n - b->n % 2;
    (void)number, (void)unlabelled;
    if (n == 0)
        return DAL_OK;
    const dal_status st = loss_head_forward(&self->head, b, n, epoch, err);
    if (st != DAL_OK)
        return st;
    pair_loss(self->head.out, b->losses, n, self->opt->margin, self->opt->weight, self->head.d_out);
    return loss_head_backward(&self->head, b, n, epoch, err);
}

static dal_status create(const dal_host *host, const void *options_, void **out, dal_error *err)
{
    const options *opt = options_;
    const loss_head_rule rule = {opt->width, opt->detach, opt->learning_rate, opt->keep};
    learning_loss *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a strategy");
    *self = (learning_loss){.host = host, .opt = opt};
    loss_head_init(&self->head, host, &rule);
    self->companion = (dal_companion){
        .struct_size = sizeof self->companion, .wants = DAL_WANT_STAGES, .self = self, .begin = begin, .step = step};
    *out = self;
    return DAL_OK;
}

static void destroy(void *p)
{
    learning_loss *self = p;
    if (!self)
        return;
    loss_head_fini(&self->head);
    self->host->free(self->host, self);
}

static const dal_companion *companion(void *p)
{
    return &((learning_loss *)p)->companion;
}

static dal_status prepare(void *p, const dal_view *view, dal_error *err)
{
    return loss_head_prepare(&((learning_loss *)p)->head, view, 1, err);
}

static dal_status score(void *p, const dal_block *block, double *out, dal_error *err)
{
    learning_loss *self = p;
    float *predicted;
    const dal_status st = loss_head_predict(&self->head, block, &predicted, err);
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++)
        out[i] = (double)predicted[i];
    self->host->free(self->host, predicted);
    return st;
}

static dal_status save(void *p, const dal_writer *w, dal_error *err)
{
    return loss_head_save(&((learning_loss *)p)->head, w, err);
}

static dal_status load(void *p, const dal_reader *r, dal_error *err)
{
    return loss_head_load(&((learning_loss *)p)->head, r, err);
}

/* The model's stages are not told here: four as wide as those of resnet18 stand for them. */
static void cost(void *p, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = p ? ((const learning_loss *)p)->opt : options_;
    const double weights = 960 * (double)opt->width;
    out->bytes = 16 * weights + 16 * (double)problem->n_query + 1e6;
    out->flops = 2 * (double)problem->n * weights;
    snprintf(out->formula, sizeof out->formula,
             "a forward pass of the pool; O(width sum of stage widths) time a sample and memory");
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
    P(T, margin, F64, "1", "(0..]", "", "by which the predicted losses of a pair should differ (xi)")     \
    LOSS_HEAD_PARAMS(P, T, "0.6")
#define COMPONENTS(C)                                                                                     \
    C(STRATEGY, "learning-loss", impl, "largest loss, as a head trained along with the model predicts it", \
      "Yoo & Kweon, CVPR 2019", DAL_CAP_STAGES " " DAL_CAP_COMPANION, "", options, PARAMS)
#define ABOUT(A)                                                                                          \
    A(STRATEGY, "learning-loss",                                                                          \
      "largest l^(x); l^ learns max(0, xi - s (l^_i - l^_j)), s = 1 if l_i > l_j else -1, beside the cross-entropy", \
      "the head learns by Adam, theirs by SGD; their random 10 000 of the pool are subsample or query.candidates; " \
      "DeepAL+ runs the network twice a step")
DAL_MODULE_ABOUT(learning_loss, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
