/* nn_lstm.h: weights of an LSTM in panels, where processors have vectors. */
#ifndef DAL_NN_LSTM_H
#define DAL_NN_LSTM_H

#include "nn_private.h"

/* Floats of them; 0: it is no such layer, or takes them as they are. */
int64_t nn_lstm_packed(const dal_nn *nn, int32_t v);
/* For the way forward, or back. weights: of the layer. */
void nn_lstm_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to);

#endif
