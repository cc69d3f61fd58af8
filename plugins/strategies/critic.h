/* critic.h: a function of features that is large where unlabelled samples lie and small where labelled ones do.
 *
 * g: R^d -> R, two hidden layers of h units with ReLU, nothing at its end. It climbs, by Adam,
 *
 *     mean g(x_U) - gamma mean g(x_L) - eta mean (||grad g(x~)|| - 1)^2
 *
 * over unlabelled rows x_U, labelled rows x_L and all rows x~ there are: these two, and points drawn on the lines from
 * one to the other (Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017; Adam with their beta of
 * 0.5 and 0.9).
 *
 * The gradient of the penalty, by hand. Hidden values are a1 and a2; v1 and v2 are 1 where a unit is open, else 0. Then
 *
 *     V2 = v2 w3,   V1 = v1 (V2 W2),   V0 = V1 W1 = grad g(x)
 *
 * is linear in each matrix, and v1, v2 do not move. With S0 = 2 eta / R (||V0|| - 1) V0 / ||V0|| for R rows, T1 = v1
 * (S0 W1') and T2 = v2 (T1 W2'), the penalty's gradient is V1' S0 by W1, V2' T1 by W2, the sum of T2 by w3, and 0 by
 * the biases. That of the means, u being the factor of a row, has the same left sides: V1' (u x), V2' (u a1) and the
 * sum of u a2. So both take one product a layer:
 *
 *     dW1 = V1' (u x + S0),   dW2 = V2' (u a1 + T1),   dw3 = sum (u a2 + T2),   db1 = sum u V1,   db2 = sum u V2
 *
 * There is no bias at the end: with a gamma other than 1 it would grow for ever, and it moves all values alike.
 *
 * Rows are cut into tiles and weights into slices of fixed sizes: the same bits on any number of threads.
 */
#ifndef CRITIC_H
#define CRITIC_H

#include <dal/linalg.h>
#include <dal/nn.h>

typedef struct critic {
    const dal_host *host;
    int64_t d, h;
    dal_nn *nn;
    dal_nn_info info;
    int64_t w1, b1, w2, b2, w3;                 /* where these begin in the weights */
    float *weights, *gradient, *first, *second; /* [info.n_weights]; Adam's moments */
    int64_t steps, adam_steps;                  /* since the draw; since Adam began */
    dal_nn_ready *ready;                        /* to be asked, or NULL */
    int64_t room;                               /* rows that the following have memory for */
    float *x, *v0, *y0;                         /* [rows, d]; y0 = u x + S0 */
    float *a1, *v1, *y1, *a2, *v2, *y2;         /* [rows, h] */
    double *u, *value, *norm;                   /* [rows]; g(x), ||grad g(x)|| */
} critic;

/* Unlabelled rows [n_unlabelled, d] and labelled ones [n_labelled, d], at least one of each. */
typedef struct critic_batch {
    const float *unlabelled, *labelled;
    int64_t n_unlabelled, n_labelled;
    double gamma, eta;
} critic_batch;

/* [main] *out is NULL on failure. */
dal_status critic_new(const dal_host *host, int64_t d, int64_t h, critic **out, dal_error *err);
void critic_free(critic *c); /* accepts NULL */
/* [main] Fresh weights, uniform in +-1 / sqrt(fan in); no steps. */
void critic_draw(critic *c, const dal_rng *stream);
/* [main] The weights stay, Adam begins anew. */
void critic_rest(critic *c);
/* [main] What is climbed, with its sign turned, into *loss, and its gradient into c->gradient. Rows of c->v0 are then
 * grad g of the unlabelled rows, the labelled ones, and the points between them, which `stream` draws: as many as the
 * larger half has rows, the smaller one coming round again. */
dal_status critic_look(critic *c, const critic_batch *b, const dal_rng *stream, double *loss, dal_error *err);
/* [main] A step of Adam by c->gradient. */
dal_status critic_move(critic *c, double rate, dal_error *err);
/* [main] The weights stay as they are for now: critic_values may be called until they are drawn or moved. */
dal_status critic_ready(critic *c, dal_error *err);
/* [any] g of x [n, d] with row stride ld into out [n]; of each row the same in every place. */
dal_status critic_values(const critic *c, const float *x, int64_t ld, int64_t n, double *out, dal_error *err);

#endif
