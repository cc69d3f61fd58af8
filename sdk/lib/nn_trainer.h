/* nn_trainer.h: a trainer. nn_trainer.c takes its memory, nn_train.c runs its steps. */
#ifndef DAL_NN_TRAINER_H
#define DAL_NN_TRAINER_H

#include "nn_chain.h"
#include "nn_layout.h"
#include "nn_onednn.h"

#define MAX_PLANS 8 /* sizes of shards whose primitives are kept */

/* What a shard needs while it runs. */
typedef struct slot {
    atomic_int taken;
    float *scratch, *gradient; /* gradient: of one layer */
} slot;

struct dal_nn_trainer {
    const dal_nn *nn;
    const dal_host *host;
    float *weights, *state;
    nn_mover mover;
    nn_chain *chain; /* a fully connected network: nothing below is there */
    int64_t capacity, shards, bytes;
    float **value, **d, **norm; /* [n values] */
    void **aux;
    float *values, *norms; /* values: d too */
    char *aux_block;
    slot *slots; /* [n_slots] */
    int64_t n_slots, scratch;
    nn_turns turns;
    float *packed_weights, **packed; /* with oneDNN: [n values] */
    nn_plans *plans[MAX_PLANS];      /* the latest first; NULL: none */
    float **shown_value, **shown_d;  /* [n values] for whoever looks between the passes; NULL: nobody has */
    float *mirrors;
    int64_t *token_at; /* of texts: [capacity + shards], one number more a shard than it has samples */
    dal_error token_error; /* what was wrong with a text of this step */
    atomic_flag token_told;
    double *sums; /* [shards, 2 c] */
    float *losses;
    int32_t *hits;

    /* the step */
    const dal_nn_batch *batch;
    const dal_nn_rule *rule;
    int32_t from, to, norm_node; /* of the segment, both counted; the batch-norm that waits behind it, or -1 */
    int32_t sliced;              /* whose gradient is made in slices */
    int backward;
    atomic_int_least64_t begun; /* shards of the segment */
};

/* [main] The primitives for shards of n rows, and the scratch they need; made when first asked for. */
dal_status nn_trainer_plans(dal_nn_trainer *t, int64_t n, dal_error *err);
/* In how many slices the gradient of a layer's weights is made behind its segment; 0: shard by shard. */
int64_t nn_trainer_slices(const dal_nn *nn, int32_t v);
/* [main] shown_value and shown_d: stages are shown as planes, whatever they are to the layers. */
dal_status nn_trainer_mirrors(dal_nn_trainer *t);

#endif
