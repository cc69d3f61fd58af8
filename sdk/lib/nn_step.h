/* nn_step.h: how n weights move by their gradient g; m and v are their moments; step counts from 1. */
#ifndef DAL_NN_STEP_H
#define DAL_NN_STEP_H

#include <dal/nn.h>

void nn_step(const dal_nn_rule *rule, int64_t step, int64_t n, const float *g, float *w, float *m, float *v);

#endif
