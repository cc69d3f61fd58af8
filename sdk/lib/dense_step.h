/* dense_step.h: optimiser steps on one run of weights. Not public. */
#ifndef DAL_DENSE_STEP_H
#define DAL_DENSE_STEP_H

#include <dal/dense.h>

/* The rule in floats for step number `step` (1, 2, ...). */
typedef struct dense_coefficients {
    float rate, beta1, beta1c, beta2, beta2c, epsilon; /* Adam; rate has the bias corrections in it */
    float momentum, learning_rate;                     /* SGD */
    float l2, keep; /* weights only: gradient += l2 * w; w *= keep (1 - learning_rate * weight_decay) */
    uint32_t optimizer, nesterov;
} dense_coefficients;

dense_coefficients dense_coefficients_at(const dal_dense_rule *rule, int64_t step, int64_t n_labelled);
/* Move w[n] by gradient g[n]; m and v [n] are the moments (SGD: m is the velocity, v unused). */
void dense_step(const dense_coefficients *c, int64_t n, const float *g, float *w, float *m, float *v);
/* Sum of squares, in 16 float lanes (n is at most a tile's row). */
double dense_squares(const float *w, int64_t n);

#endif
