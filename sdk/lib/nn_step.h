/* nn_step.h: how weights move by their gradient: the rule of a step in numbers, the moments behind it. */
#ifndef DAL_NN_STEP_H
#define DAL_NN_STEP_H

#include "nn_private.h"

/* SGD: rate, momentum. Adam and NAdam: rate of the first moment and `now` of the gradient itself, corrections
 * included. */
typedef struct nn_coefficients {
    float rate, now, momentum;
    float beta1, beta1c, beta2, beta2c, epsilon;
    float decay; /* gradient += decay * w */
    float keep;  /* w *= keep */
} nn_coefficients;

typedef struct nn_mover {
    const dal_nn *nn;
    const dal_host *host;
    float *weights;        /* the caller's */
    float *first, *second; /* [n_weights] moments; second: NULL until a rule asks for it */
    int fresh_first, fresh_second; /* not yet zeros, which they are before the first step that moves by them */
    double *sums;          /* a block */
    int64_t steps;
    double momenta; /* NAdam: the product of all mu_t so far */
    dal_nn_rule rule;
    nn_coefficients weight, other; /* of this step: weights; biases and gains */
} nn_mover;

dal_status nn_mover_init(nn_mover *m, const dal_nn *nn, const dal_host *host, float *weights);
void nn_mover_fini(nn_mover *m);
/* [main] The numbers of the next step. */
dal_status nn_mover_begin(nn_mover *m, const dal_nn_rule *rule, int64_t n_labelled);
/* [main] Shorten the gradient [n_weights] as the rule wants. */
dal_status nn_mover_clip(nn_mover *m, float *gradient);
/* [main] Move all weights; *squares: see dal_nn_result. */
dal_status nn_mover_run(nn_mover *m, float *gradient, double *squares);
/* [main] After a step that moved them all: rows of the output layer's weights no longer than the rule wants. */
void nn_mover_end(nn_mover *m);
/* [any] Move n weights from `at` on, all of one parameter, by g [n]. */
void nn_mover_move(nn_mover *m, int is_weight, int64_t at, int64_t n, const float *g);
/* Sum of squares, in 16 float lanes: for short runs. */
double nn_squares(const float *w, int64_t n);

#endif
