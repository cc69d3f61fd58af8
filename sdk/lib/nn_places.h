/* nn_places.h: where a trainer's values and their gradients lie, as few floats as their lives allow. */
#ifndef DAL_NN_PLACES_H
#define DAL_NN_PLACES_H

#include "nn_private.h"

/* [main] Offsets of values and of d, [n values] each; d: -1: not wanted. Rows of a batch of `capacity` samples. Shards
 * of one segment (nn_train.c) are not at the same layer at the same time, so a life begins and ends with a segment.
 * Returns the floats needed for both; -1: no memory to find out. */
int64_t nn_places(const dal_nn *nn, const dal_host *host, int64_t capacity, int64_t *value, int64_t *d);

#endif
