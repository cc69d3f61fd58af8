/* nn_few.h: convolutions of images of few channels, on the way back to them. */
#ifndef DAL_NN_FEW_H
#define DAL_NN_FEW_H

#include "nn_private.h"

int nn_few_fits(const dal_nn *nn, int32_t v);
/* Floats of scratch. */
int64_t nn_few_scratch(const dal_nn *nn, int32_t v);
/* Behind the way back of a ReLU; by the weights as they are. */
dal_status nn_few_back_data(const nn_job *j, int32_t v);

#endif
