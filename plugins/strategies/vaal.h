/* vaal.h: a selection of vaal: what it trains on, with, and how far it is.
 */
#ifndef VAAL_H
#define VAAL_H

#include "vaal_nets.h"

#include <dal/dense.h>
#include <dal/strategy.h>

#define TILE DAL_NN_TILE
#define VAE_STEPS 2 /* of the autoencoder in a step */
#define SCALE_SUM 0u

typedef struct vaal_options {
    double beta, lambda;
    int64_t latent, epochs, steps, batch;
    double learning_rate;
    uint32_t scale;
} vaal_options;

/* One of the two lists, walked in a new order each time round. */
typedef struct vaal_walk {
    dal_samples *list;
    dal_dense_rows rows;
    dal_rng stream;
    int64_t n, *order; /* n: of a batch */
    int64_t at, turn;
} vaal_walk;

typedef struct vaal_losses {
    double mse, kl, fooled, told; /* of the last step; fooled: lambda's part, told: the discriminator's own */
} vaal_losses;

typedef struct vaal {
    const dal_host *host;
    const vaal_options *opt;
    vaal_nets nets;
    dal_nn_trainer *encoder, *decoder, *discriminator;
    const dal_nn_rule *rule;  /* NULL: gradients alone */
    vaal_walk labelled, unlabelled;
    int64_t n, z, inputs;     /* rows of a batch, those of L first; latent; values of a sample */
    int64_t n_tiles, coded;   /* of a batch; where the decoder's codes begin among its weights */
    float *x;                 /* [n, inputs] */
    int64_t *picked;          /* [n] places in the lists */
    int32_t *numbers;         /* [n] 0, 1, ... */
    dal_rng eps;
    float *noise, *mu, *d_mu; /* [n, z]; noise: eps of a step */
    float *logit, *d_logit;   /* [n] of the discriminator */
    float *ones, *zeros;      /* [n] targets */
    dal_nn_pass **judges, **coders; /* [n_tiles] of the discriminator with gradients, of the encoder */
    vaal_losses loss;
    dal_error *err;
} vaal;

/* [main] Everything a training needs, from fresh weights of the round; opt and host are set, rule may be. Close it also
 * after a failure. */
dal_status vaal_open(vaal *s, const dal_view *view, dal_error *err);
void vaal_close(vaal *s, const dal_view *view);
/* [main] All steps. */
dal_status vaal_train(vaal *s);

#endif
