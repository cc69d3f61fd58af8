/* What multiplies a network, and in what: as asked for, or by what the machine and the network are. */
#include "nn_half.h"
#include "nn_onednn.h"

void dal_nn_use(dal_nn *nn, uint32_t backend)
{
    if (backend > DAL_NN_ONEDNN)
        nn_fault(nn, "input", "%u is no back end", (unsigned)backend);
    else
        nn->backend = backend;
}

void dal_nn_train_in(dal_nn *nn, uint32_t precision)
{
    if (precision > DAL_NN_PRECISION_AUTO)
        nn_fault(nn, "input", "%u is no precision", (unsigned)precision);
    else
        nn->precision = precision;
}

static int has(const dal_nn *nn, const nn_op *op)
{
    for (int32_t v = 1; v < nn->n; v++)
        if (nn->node[v].op == op)
            return 1;
    return 0;
}

/* A convolution is a product with a row for each place of the map that it makes. What is gained by multiplying bf16 is
 * lost again by rounding where such products have few rows. */
#define MANY_PLACES 64

/* Are half of the multiply-adds, or more, over maps of many places? */
static int has_large_maps(const dal_nn *nn)
{
    double large = 0;
    for (int32_t v = 1; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        const int64_t places = k->h * k->w, weights = k->n_weights - (k->bias < 0 ? 0 : k->c);
        if (k->op == &nn_conv_op && k->groups == 1 && places >= MANY_PLACES)
            large += (double)weights * (double)places;
    }
    return large > 0 && 2 * large >= (double)nn->multiply_adds;
}

static uint32_t choose_precision(const dal_nn *nn)
{
    if (has(nn, &nn_token_linear_op))
        return nn_onednn_gains_by_bf16(1) ? DAL_NN_BF16 : DAL_NN_F32;
    return nn->backend != DAL_NN_OPENBLAS && has_large_maps(nn) && nn_onednn_gains_by_bf16(0) ? DAL_NN_BF16
        : DAL_NN_F32;
}

static uint32_t choose_backend(const dal_nn *nn)
{
    const int gains = has(nn, &nn_conv_op) || (nn->precision == DAL_NN_BF16 && has(nn, &nn_token_linear_op));
    return nn_onednn_version() && gains ? DAL_NN_ONEDNN : DAL_NN_OPENBLAS;
}

dal_status nn_choose(dal_nn *nn, dal_error *err)
{
    if (nn->precision == DAL_NN_PRECISION_AUTO)
        nn->precision = choose_precision(nn);
    if (nn->backend == DAL_NN_AUTO)
        nn->backend = choose_backend(nn);
    const dal_status st = nn->backend == DAL_NN_ONEDNN ? nn_onednn_open(nn, err) : DAL_OK;
    for (int32_t v = 1; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        const int64_t scratch = nn->onednn && k->op == &nn_conv_op ? 0 : k->scratch;
        nn->scratch = scratch > nn->scratch ? scratch : nn->scratch;
    }
    if (st != DAL_OK || nn->precision != DAL_NN_BF16)
        return st;
    return nn_half_open(nn, has(nn, &nn_conv_op), has(nn, &nn_token_linear_op), err);
}

const char *dal_nn_backend(const dal_nn *nn)
{
    return nn->half ? nn_half_backend() : nn->onednn ? nn_onednn_version() : "OpenBLAS";
}

uint32_t dal_nn_backend_used(const dal_nn *nn)
{
    return nn->backend;
}

uint32_t dal_nn_precision_used(const dal_nn *nn)
{
    return nn->precision;
}
