/* vaal_nets.h: the three networks of vaal: encoder, decoder, discriminator.
 *
 * The encoder makes of a sample the mean and the log variance of its code. The decoder reads codes from a table, row i
 * that of row i of a batch (a network of texts of one token): so the gradient of the table is that of the codes, which
 * the encoder goes on with. A code has one number more, which is always 1: it stands for the biases of the decoder's
 * first layer. The discriminator tells from the mean whether a sample is labelled, as a logit.
 */
#ifndef VAAL_NETS_H
#define VAAL_NETS_H

#include <dal/data.h>
#include <dal/nn.h>

/* A network with its numbers. */
typedef struct vaal_net {
    const dal_host *host;
    dal_nn *nn;
    dal_nn_info info;
    float *weights, *state; /* [info.n_weights], [info.n_state] */
} vaal_net;

typedef struct vaal_nets {
    vaal_net encoder;       /* a sample to [2 latent]: mean, log variance */
    vaal_net decoder;       /* the number of a row to a sample; its first weights are the codes [rows, latent + 1] */
    vaal_net discriminator; /* [latent] to a logit */
} vaal_nets;

/* Can these samples be taken? Else DAL_E_UNSUPPORTED tells which can. */
dal_status vaal_nets_check(const dal_sample_spec *spec, dal_error *err);
/* [main] Networks for batches of up to `rows` such samples, with fresh weights of this round. Free them also after a
 * failure. */
dal_status vaal_nets_open(vaal_nets *n, const dal_host *host, const dal_sample_spec *spec, int64_t latent,
                          int64_t rows, int64_t round, dal_error *err);
void vaal_nets_free(vaal_nets *n); /* accepts a zeroed one */
/* Bounds, of samples of `inputs` values (0: of any number up to 3 x 64 x 64): bytes of training with batches of `rows`,
 * and multiply-adds of one sample on its way forward through encoder and decoder. */
void vaal_nets_cost(int64_t inputs, int64_t latent, int64_t rows, double *bytes, double *multiply_adds);

#endif
