/* companions.h: a strategy's companions in the training of a dense network. */
#ifndef COMPANIONS_H
#define COMPANIONS_H

#include "dense_model.h"

typedef struct companions {
    const dense_model *model;
    const dal_fit *fit;
    uint32_t wants; /* of all together */
    int64_t capacity; /* rows */
    float *logits, *features, *d_logits, *d_features; /* [capacity, c], [capacity, d] */
    float *stages[DAL_DENSE_MAX_LAYERS], *d_stages[DAL_DENSE_MAX_LAYERS];
    float *block;
} companions;

/* Where a step stands: ids [n] of its rows, classes of the labelled ones, which come first. */
typedef struct companions_step {
    int64_t epoch, step;
    const int64_t *ids;
    const int32_t *classes;
} companions_step;

/* [main] Buffers for batches of `capacity` rows, and every companion's begin. With no companions in `fit`
 * nothing is taken and nothing will be called. fini accepts a zeroed one. */
dal_status companions_begin(companions *c, const dense_model *m, const dal_fit *fit, int64_t epochs,
                            int64_t capacity, dal_error *err);
void companions_fini(companions *c);
/* [main] Show a forward pass to each and add what it gives to the pass's gradients. */
dal_status companions_run(companions *c, const companions_step *at, const dal_dense_pass *pass,
                          dal_error *err);
dal_status companions_epoch_end(companions *c, int64_t epoch, dal_error *err);

#endif
