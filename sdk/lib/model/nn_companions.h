/* nn_companions.h: a strategy's companions in the training of a network of layers. */
#ifndef NN_COMPANIONS_H
#define NN_COMPANIONS_H

#include "nn_model.h"

typedef struct nn_companions {
    const dal_nn_model *m;
    const dal_fit *fit;
    uint32_t wants; /* of all together */
    float *block, *d_logits, *d_features; /* [capacity, c], [capacity, d] */
    float **stages, **d_stages; /* [n_stages] of [capacity, width]: means over the maps, and what companions add */
    const float **half_stages; /* [2 n_stages]: of the labelled, of the unlabelled half */
    float **half_d_stages;
} nn_companions;

/* [main] Buffers for batches of `capacity` rows, and every companion's begin. With none in `fit` nothing is taken.
 * fini accepts a zeroed one. */
dal_status nn_companions_begin(nn_companions *c, const dal_nn_model *m, const dal_fit *fit, int64_t epochs,
                               int64_t capacity, dal_error *err);
void nn_companions_fini(nn_companions *c);
/* [main] Show a step to each; what it gives is added to the step's gradients. ids [n], classes [n_labelled]. */
dal_status nn_companions_run(nn_companions *c, int64_t epoch, int64_t step, const int64_t *ids, const int32_t *classes,
                             const dal_nn_step_view *view, dal_error *err);
dal_status nn_companions_epoch_end(nn_companions *c, int64_t epoch, dal_error *err);

#endif
