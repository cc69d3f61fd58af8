/* nn_rate.h: the learning rate over the epochs. */
#ifndef NN_RATE_H
#define NN_RATE_H

#include "nn_model.h"

/* Of a step that begins `begun` epochs into the training and ends at `ended`. PyTorch's CosineAnnealingLR to 0 (step by
 * step), StepLR and MultiStepLR (by whole epochs); and a linear warm-up over the first of them. */
double nn_rate_at(const dal_nn_training *o, double begun, double ended);

#endif
