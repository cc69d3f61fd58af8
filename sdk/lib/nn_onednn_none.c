/* In place of nn_onednn.c and nn_onednn_run.c where there is no oneDNN. Networks never get further than
 * nn_onednn_open. */
#include "nn_half_tokens.h"
#include "nn_onednn.h"

const char *nn_onednn_version(void)
{
    return NULL;
}

const char *nn_onednn_bf16(void)
{
    return NULL;
}

int nn_onednn_gains_by_bf16(int tokens)
{
    (void)tokens;
    return 0;
}

dal_status nn_onednn_open(dal_nn *nn, dal_error *err)
{
    (void)nn;
    return dal_fail(err, DAL_E_UNSUPPORTED, "backend",
                    "this build has no oneDNN: take back end openblas, or configure again with libdnnl-dev installed");
}

void nn_onednn_close(dal_nn *nn)
{
    (void)nn;
}

nn_plans *nn_plans_new(const dal_nn *nn, int64_t n, dal_error *err)
{
    (void)nn, (void)n, (void)err;
    return NULL;
}

void nn_plans_free(const dal_nn *nn, nn_plans *p)
{
    (void)nn, (void)p;
}

int64_t nn_plans_rows(const nn_plans *p)
{
    (void)p;
    return 0;
}

int64_t nn_plans_scratch(const nn_plans *p)
{
    (void)p;
    return 0;
}

const nn_plans *nn_tile_plans(const dal_nn *nn, int ready, dal_error *err)
{
    (void)nn, (void)ready, (void)err;
    return NULL;
}

int64_t nn_onednn_packed_size(const dal_nn *nn, int32_t v)
{
    (void)nn, (void)v;
    return 0;
}

dal_status nn_onednn_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    (void)nn, (void)v, (void)backward, (void)weights, (void)to;
    return DAL_E_UNSUPPORTED;
}

dal_status nn_unpack(const dal_nn *nn, int32_t v, const nn_turns *turns)
{
    (void)nn, (void)v, (void)turns;
    return DAL_E_UNSUPPORTED;
}

dal_status nn_token_products_open(dal_nn *nn, dal_error *err)
{
    return nn_onednn_open(nn, err);
}

void nn_token_products_close(dal_nn *nn)
{
    (void)nn;
}

int64_t nn_token_packed_size(const dal_nn *nn, int32_t v)
{
    (void)nn, (void)v;
    return 0;
}

dal_status nn_token_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    return nn_onednn_pack(nn, v, backward, weights, to);
}

dal_status nn_token_forward(const nn_job *j, int32_t v)
{
    (void)j, (void)v;
    return DAL_E_UNSUPPORTED;
}

dal_status nn_token_backward(const nn_job *j, int32_t v)
{
    return nn_token_forward(j, v);
}

int64_t nn_token_slices(const dal_nn *nn, int32_t v)
{
    (void)nn, (void)v;
    return 0;
}

dal_status nn_token_slice(const nn_job *j, int32_t v, int64_t slice)
{
    (void)slice;
    return nn_token_forward(j, v);
}

dal_status nn_half_attention_forward(const nn_job *j, int32_t v)
{
    return nn_token_forward(j, v);
}

dal_status nn_half_attention_backward(const nn_job *j, int32_t v)
{
    return nn_token_forward(j, v);
}

dal_status nn_onednn_forward(const nn_job *j, int32_t v)
{
    (void)j, (void)v;
    return DAL_E_UNSUPPORTED;
}

dal_status nn_onednn_backward(const nn_job *j, int32_t v)
{
    (void)j, (void)v;
    return DAL_E_UNSUPPORTED;
}
