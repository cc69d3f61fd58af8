/* nn_holdout.h: labels held out of the training of a network of layers, and the best weights by them. */
#ifndef NN_HOLDOUT_H
#define NN_HOLDOUT_H

#include <dal/dense.h>
#include "nn_model.h"

typedef struct nn_holdout {
    const dal_nn_model *m;
    const dal_samples *samples;
    int64_t n_train, n;            /* rows to train on; held out, 0: none */
    int64_t *rows;                 /* [n_train, then n] places in the list; each part in ascending order */
    double *losses;                /* [n] */
    float *best_weights, *best_state;
    double best;                   /* mean loss; INFINITY: no epoch yet */
    int64_t idle;                  /* epochs since */
} nn_holdout;

/* [main] Of each class, `share` of its labels, rounded, but never the last one, drawn from `stream`. With a share of 0
 * all rows are to train on. fini accepts a zeroed one. */
dal_status nn_holdout_init(nn_holdout *h, const dal_nn_model *m, const dal_samples *samples, double share,
                           const dal_rng *stream, dal_error *err);
void nn_holdout_fini(nn_holdout *h);
/* [main] At the end of an epoch: the mean loss of those held out, of the weights as they stand, which are kept when it
 * is the least so far. */
dal_status nn_holdout_look(nn_holdout *h, dal_dense_rows *rows, dal_error *err);
/* [main] The best weights into the model; nothing where none were kept. */
void nn_holdout_restore(const nn_holdout *h, dal_nn_model *m);

#endif
