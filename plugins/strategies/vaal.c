/* vaal: ask about what a discriminator takes for unlabelled, by the code that an autoencoder gives it.
 *
 * Sinha, Ebrahimi, Darrell, "Variational adversarial active learning", ICCV 2019. Each round, from fresh weights, a
 * variational autoencoder (mean mu, log variance v, a code mu + exp(v / 2) eps, what is decoded x^) and a
 * discriminator D of means are trained against each other. A step takes a batch of L and one of U; the autoencoder
 * moves twice, then D once, by Adam:
 *
 *     autoencoder  sum over the halves L, U of  MSE(x, x^) + beta KL + lambda BCE(D(mu), 1)
 *                  KL = -1/2 sum (1 + v - mu^2 - e^v) over the half and its latent numbers
 *     D            BCE(D(mu_L), 1) + BCE(D(mu_U), 0)
 *
 *     picks = the b smallest D(mu), which is their score
 *
 * MSE is a mean over the values of a half, KL a sum: so it is in the authors' code, and KL rules. With `scale: elbo`
 * KL is divided by the number of values as the squares are, which makes both parts of one likelihood of unit
 * variance. The model of the task is never asked: this is about where the samples lie alone.
 *
 * epochs counts passes over the longer of L and U (the other one goes round), steps bounds them. Batch-norm sees both
 * halves as one batch (the authors: each apart). D learns from means in evaluation mode, as the query sees them.
 * Samples in no class are neither. DeepAL+ trains D towards 1 for both halves, and picks the largest.
 *
 * It is slow, and no better than `random` where training is short: on Fashion-MNIST with 200 to 800 labels, after one
 * to three epochs a round, it is on a par with it or a little behind. Its paper trains for 100 epochs.
 *
 * Takes images of 28x28, 32x32 and 64x64 (any number of channels; see vaal_nets.c), and vectors, for which we added
 * two layers each way. A row costs a step six times the multiply-adds of encoder and decoder: 10 million for 1x28x28,
 * 500 million for 3x32x32, 3 billion for 3x64x64. Memory: all weights eight times, a batch's values thrice, and the
 * samples themselves while they fit 256 MiB each.
 */
#include "vaal.h"

#include <dal/select.h>
#include <dal/topk.h>

#include <math.h>

/* ---- the query ---------------------------------------------------------------------------------- */

typedef struct query {
    const vaal *s;
    dal_nn_ready *encoder, *discriminator;
    double *logits; /* [candidates] */
} query;

static dal_status ask_tile(const query *q, const dal_batch *samples, int64_t first, int64_t n, dal_nn_pass *coder,
                           dal_nn_pass *judge, double *out)
{
    const vaal_net *e = &q->s->nets.encoder, *d = &q->s->nets.discriminator;
    const int64_t z = q->s->z;
    dal_dense_read(samples, first, n, coder->value[e->info.input]);
    dal_status st = dal_nn_run(e->nn, e->weights, e->state, coder, n, e->info.input, e->info.output, NULL);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy(judge->value[d->info.input] + i * z, coder->value[e->info.output] + i * 2 * z,
               (size_t)z * sizeof(float));
    if (st == DAL_OK)
        st = dal_nn_run(d->nn, d->weights, d->state, judge, n, d->info.input, d->info.output, NULL);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = (double)judge->value[d->info.output][i];
    return st;
}

static dal_status ask_block(void *ctx, const dal_block *block, dal_error *err)
{
    const query *q = ctx;
    const dal_host *h = q->s->host;
    double *out = q->logits + block->first;
    dal_batch samples;
    dal_status st = block->inputs(block, &samples, err);
    if (st != DAL_OK)
        return st;
    dal_nn_pass *coder = dal_nn_ready_pass(q->encoder, h, err);
    dal_nn_pass *judge = coder ? dal_nn_ready_pass(q->discriminator, h, err) : NULL;
    st = judge ? DAL_OK : DAL_E_NOMEM;
    for (int64_t i = 0; i < block->n && st == DAL_OK; i += TILE)
        st = ask_tile(q, &samples, i, block->n - i < TILE ? block->n - i : TILE, coder, judge, out + i);
    for (int64_t i = 0; i < block->n && st == DAL_OK; i++)
        if (!isfinite(out[i]))
            st = dal_fail(err, DAL_E_INVALID, "", "the discriminator's word on sample %lld is no number",
                          (long long)block->ids[i]);
    dal_nn_pass_free(judge);
    dal_nn_pass_free(coder);
    return st;
}

/* The smallest logits first: D itself is 0 or 1 where it is sure. */
static void pick(const dal_view *view, const double *logits, int64_t n, double *best, int64_t *rows, dal_picks *picks)
{
    dal_topk top;
    dal_topk_init(&top, picks->want, DAL_SMALLEST_FIRST, best, rows);
    dal_topk_push(&top, logits, 0, n);
    dal_topk_sort(&top);
    for (int64_t i = 0; i < top.n; i++)
        best[i] = 1 / (1 + exp(-best[i]));
    dal_pick_rows(view, rows, best, top.n, picks);
}

static dal_status ask(const vaal *s, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_host *h = s->host;
    const vaal_net *e = &s->nets.encoder, *d = &s->nets.discriminator;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    query q = {.s = s, .encoder = dal_nn_ready_new(e->nn, h, e->weights, e->state, err),
               .discriminator = dal_nn_ready_new(d->nn, h, d->weights, d->state, err),
               .logits = dal_array(h, n, sizeof *q.logits)};
    double *best = dal_array(h, picks->want, sizeof *best);
    int64_t *rows = dal_array(h, picks->want, sizeof *rows);
    dal_status st = q.encoder && q.discriminator && q.logits && best && rows
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory to ask about %lld samples", (long long)n);
    if (st == DAL_OK)
        st = view->stream(view, DAL_ROWS_CANDIDATES, ask_block, &q, err);
    if (st == DAL_OK)
        pick(view, q.logits, n, best, rows, picks);
    h->free(h, rows);
    h->free(h, best);
    h->free(h, q.logits);
    dal_nn_ready_free(q.discriminator);
    dal_nn_ready_free(q.encoder);
    return st;
}

static dal_status vaal_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const vaal_options *opt = self->options;
    const dal_nn_rule adam = {.struct_size = sizeof adam, .optimizer = DAL_NN_ADAM, .beta1 = 0.9, .beta2 = 0.999,
                              .epsilon = 1e-8, .learning_rate = opt->learning_rate};
    vaal s = {.host = self->host, .opt = opt, .rule = &adam, .err = err};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = vaal_open(&s, view, err);
    if (st == DAL_OK)
        st = vaal_train(&s);
    if (st == DAL_OK)
        st = ask(&s, view, picks, err);
    vaal_close(&s, view);
    return st;
}

static void vaal_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const vaal_options *opt = dal_stateless_options(self, options_);
    const int64_t inputs = DAL_HAS(dal_problem, problem, inputs) ? problem->inputs : 0;
    const double n = (double)problem->n, l = (double)problem->n_labelled, kept = 256 * 1048576.0;
    const double width = inputs > 0 ? (double)inputs : 3 * 64 * 64, rows = 2 * (double)opt->batch;
    double steps = ceil(fmax(n, l) / (double)opt->batch) * (double)opt->epochs, work;
    steps = opt->steps > 0 ? fmin(steps, (double)opt->steps) : steps;
    vaal_nets_cost(inputs, opt->latent, 2 * opt->batch, &out->bytes, &work);
    out->bytes += fmin(4 * n * width, kept) + fmin(4 * l * width, kept) + 8 * (2 * n + l) + 4 * rows * width + 1e6;
    out->flops = 2 * work * (3 * VAE_STEPS * rows * steps + n);
    snprintf(out->formula, sizeof out->formula, "O(steps batch E) time, O(E + batch V) memory, E weights and V values "
             "of the networks");
}

static const dal_strategy_impl vaal_impl = {
    .struct_size = sizeof vaal_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = vaal_select,
    .cost = vaal_cost,
};

#define PARAMS(P, T)                                                                                                \
    P(T, beta, F64, "1", "0..", "", "what KL counts for")                                                           \
    P(T, lambda, F64, "1", "0..", "", "what it counts for to take in the discriminator")                            \
    P(T, latent, I64, "32", "1..4096", "", "numbers of a code")                                                     \
    P(T, epochs, I64, "30", "1..1000000", "epochs", "passes over the longer of the labelled and the unlabelled")    \
    P(T, steps, I64, "0", "0..", "steps", "steps at most; 0: all that the epochs have")                              \
    P(T, batch, I64, "64", "1..65536", "samples", "of the labelled, and as many of the unlabelled, in a step")      \
    P(T, learning_rate, F64, "0.0005", "(0..", "", "of Adam, for all three networks")                               \
    P(T, scale, CHOICE, "sum", "sum|elbo", "", "KL: summed, as in the paper's code; elbo: a mean, as the squares are")
#define COMPONENTS(C)                                                                                               \
    C(STRATEGY, "vaal", vaal_impl, "what a discriminator of codes takes for unlabelled", "Sinha et al., ICCV 2019", \
      "", "", vaal_options, PARAMS)
#define ABOUT(A)                                                                                                    \
    A(STRATEGY, "vaal",                                                                                             \
      "smallest D(mu(x)), D trained to tell L from U by the codes of a VAE, which is trained to take it in",        \
      "batch-norm sees both halves as one batch; D learns in evaluation mode; vectors get two layers each way; "    \
      "DeepAL+ trains D towards 1 for both and picks the largest")
DAL_MODULE_ABOUT(vaal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
