/* nn_model.h: what the files behind dal/nn_model.h share. */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <dal/nn_model.h>

extern const dal_model_features nn_model_features;
extern const dal_model_stages nn_model_stages;
extern const dal_model_mc nn_model_mc;
extern const dal_model_last_layer nn_model_last_layer;
extern const dal_model_input_gradient nn_model_input_gradient;
extern const dal_model_feature_gradient nn_model_feature_gradient;
extern const dal_model_perturb nn_model_perturb;
extern const dal_model_companion nn_model_companion;
extern const dal_model_choices nn_model_choices;

/* The mean over the map of value v of row i, [channels]. */
void nn_model_pool(const dal_nn_model *m, dal_nn_value v, const float *row, float *out);

#endif
