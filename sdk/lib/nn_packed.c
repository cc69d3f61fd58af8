#include "nn_packed.h"

#include "nn_lstm.h"
#include "nn_onednn.h"
#include "nn_token_tiles.h"

int64_t nn_packed_size(const dal_nn *nn, int32_t v)
{
    if (nn->node[v].op == &nn_lstm_op)
        return nn_lstm_packed(nn, v);
    return nn->node[v].op == &nn_token_conv_op ? nn_token_tiles_packed(nn, v) : nn_onednn_packed_size(nn, v);
}

dal_status nn_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    if (nn->node[v].op == &nn_lstm_op)
        nn_lstm_pack(nn, v, backward, weights, to);
    else if (nn->node[v].op == &nn_token_conv_op)
        nn_token_tiles_pack(nn, v, backward, weights, to);
    else
        return nn_onednn_pack(nn, v, backward, weights, to);
    return DAL_OK;
}

const float *nn_packed_of(const nn_job *j, int32_t v)
{
    if (nn_packed_size(j->nn, v) == 0)
        return NULL;
    return j->ready ? j->ready->weights[v] : j->packed ? j->packed[v] : NULL;
}
