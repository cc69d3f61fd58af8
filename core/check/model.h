/* check/model.h: fitting and predicting with the model under test. */
#ifndef DAL_CHECK_MODEL_H
#define DAL_CHECK_MODEL_H

#include "check/stage.h"

/* Train on the labelled samples of the stage's world; fails the test when fit does. */
void model_fit(stage *st, int64_t round, bool warm);
dal_status model_try_fit(stage *st, int64_t round, bool warm, dal_error *err);
/* Outputs [n, c] of pool samples, read and predicted `step` at a time; checked to be finite (and to be
 * probabilities where the model says so). guard_free it. */
float *model_predict_ids(stage *st, const int64_t *ids, int64_t n, int64_t step);
/* Its table of a capability, or NULL. */
const void *model_extension(const stage *st, const char *id);
/* All candidates. */
float *model_predict_all(stage *st, int64_t step);
/* Fails the test when some of n floats are NaN or infinite. */
void check_finite(const float *x, int64_t n, const char *what);
bool same_floats(const float *a, const float *b, int64_t n);
/* Largest difference, over 1 + the largest magnitude. */
double relative_gap(const float *a, const float *b, int64_t n);

#endif
