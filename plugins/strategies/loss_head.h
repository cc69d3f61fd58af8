/* loss_head.h: the head that learning-loss and tidal train along with the model.
 *
 * Yoo & Kweon, CVPR 2019, section 3.2 (LossNet). Of stage s of the network, S in all, x_s is the mean over its map:
 *
 *     h_s = max(0, W_s x_s + b_s)        [width]
 *     y   = V (h_1, ..., h_S) + a        [outputs]
 *
 * It learns by Adam (Kingma & Ba, ICLR 2015) in the steps of the model's training, a tenth as fast from 0.8 of the
 * epochs on. Up to `detach` of the epochs the gradient by x_s goes on into the model. A unit of the head is always
 * summed up in one order, so that a sample's y depends on nothing but the sample.
 */
#ifndef LOSS_HEAD_H
#define LOSS_HEAD_H

#include <dal/live_model.h>
#include <dal/strategy.h>

typedef struct loss_head_rule {
    int64_t width;
    double detach;        /* share of the epochs in which the model feels the head's loss */
    double learning_rate;
    int32_t keep;         /* go on with the last fit's head where it has the shape that is wanted */
} loss_head_rule;

typedef struct loss_head {
    const dal_host *host;
    loss_head_rule rule;
    int64_t n_stages, n_outputs, n_weights, n_units; /* units: n_stages * width */
    int64_t *widths;  /* [n_stages] */
    float *weights;   /* [n_weights]: W_1, b_1, W_2, b_2, ..., V, a */
    int32_t learned;  /* a step was taken */
    /* while the model is trained */
    int64_t epochs, steps, room; /* room: rows of the four below */
    float *units, *d_units;      /* [room, n_units] */
    float *out, *d_out;          /* [room, n_outputs] y, and the gradient by it */
    float *gradient, *first, *second; /* [n_weights]; Adam's moments */
    /* while samples are scored */
    dal_live_model live;
    int32_t is_live;
} loss_head;

void loss_head_init(loss_head *h, const dal_host *host, const loss_head_rule *rule);
void loss_head_fini(loss_head *h);

/* [main] The head of a fit that begins: drawn from the stream "head" of the round, uniform in +-1 / sqrt(inputs) of a
 * unit, or kept. DAL_E_UNSUPPORTED of a model that shows no stages. */
dal_status loss_head_begin(loss_head *h, const dal_companion_setup *setup, int64_t n_outputs, dal_error *err);

/* [main] One step: forward fills h->out for the first n rows of the batch and clears h->d_out; the caller puts the
 * gradient of its loss there; backward adds the gradient by the stages to b->d_stages, unless detached, and moves the
 * head's weights. */
dal_status loss_head_forward(loss_head *h, const dal_companion_batch *b, int64_t n, int64_t epoch, dal_error *err);
dal_status loss_head_backward(loss_head *h, const dal_companion_batch *b, int64_t n, int64_t epoch, dal_error *err);

/* [main] Before scores: the round's model, which must have the stages that the head has learned from. */
dal_status loss_head_prepare(loss_head *h, const dal_view *view, int64_t n_outputs, dal_error *err);
/* [any] y of a block's samples, [block->n, n_outputs]; the caller gives *out back to host->free. */
dal_status loss_head_predict(loss_head *h, const dal_block *block, float **out, dal_error *err);

/* [main] Weights and shape. */
dal_status loss_head_save(const loss_head *h, const dal_writer *w, dal_error *err);
dal_status loss_head_load(loss_head *h, const dal_reader *r, dal_error *err);

/* What both strategies have as parameters; T has the members. */
#define LOSS_HEAD_PARAMS(P, T, DETACH)                                                                               \
    P(T, weight, F64, "1", "(0..]", "", "of the head's loss beside the model's (lambda)")                            \
    P(T, detach, F64, DETACH, "0..1", "of the epochs", "until when the head's loss shapes the model, too")           \
    P(T, width, I64, "128", "1..4096", "units", "of the head, for each stage of the model")                          \
    P(T, learning_rate, F64, "0.001", "(0..1]", "", "of the head, by Adam")                                          \
    P(T, keep, BOOL, "false", "", "", "go on with the last round's head, as train.warm_start does with the model")

#endif
