/* Weights made ready for passes: convolutions in the order their back end wants, and with the scale and shift of a
 * batch-norm that follows drawn into them, so that the norm itself, and its ReLU or ReLU6, cost nothing; those of
 * linear layers in panels. */
#include "nn_private.h"

#include <math.h>

#include "nn_packed.h"
#include "nn_product.h"
#include "nn_way.h"

/* Is value v there for the next one alone? It is not shown, and no ReLU ends it. */
static int is_for_next(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    if (k->shown || (k->flags & DAL_NN_RELU) || v + 1 >= nn->n || nn->node[v + 1].in[0] != v)
        return 0;
    for (int32_t r = v + 2; r < nn->n; r++)
        if (nn->node[r].in[0] == v || nn->node[r].in[1] == v)
            return 0;
    return 1;
}

/* Right behind it: passes lay values where others are done with, and go on behind stages. */
int32_t nn_norm_of(const dal_nn *nn, int32_t v)
{
    return is_for_next(nn, v) && nn->node[v + 1].op == &nn_norm_op ? v + 1 : 0;
}

int32_t nn_clip_of(const dal_nn *nn, int32_t v)
{
    const int32_t norm = nn_norm_of(nn, v);
    const int ends_so = nn->onednn && !nn->is_half && !nn_way_of(nn, v);
    return ends_so && norm && is_for_next(nn, norm) && nn->node[norm + 1].op == &nn_relu6_op ? norm + 1 : 0;
}

/* The layer's weights scaled, and the bias that is left. */
static void draw_in(const nn_node *conv, const nn_node *norm, const float *weights, const float *state, float *own,
                    float *bias)
{
    const int64_t filter = (conv->n_weights - (conv->bias >= 0 ? conv->c : 0)) / conv->c;
    for (int64_t c = 0; c < conv->c; c++) {
        const double mean = (double)state[norm->state + c], variance = (double)state[norm->state + norm->c + c];
        const double scale = (double)weights[norm->weight + c] / sqrt(variance + NN_NORM_EPS);
        const double before = conv->bias >= 0 ? (double)weights[conv->bias + c] : 0;
        bias[c] = (float)((double)weights[norm->bias + c] + scale * (before - mean));
        for (int64_t i = 0; i < filter; i++)
            own[c * filter + i] = (float)(scale * (double)weights[conv->weight + c * filter + i]);
    }
}

/* One convolution, or a linear layer over tokens. */
static dal_status make_ready(dal_nn_ready *r, int32_t v, const float *weights, const float *state)
{
    const dal_nn *nn = r->nn;
    const nn_node *k = &nn->node[v];
    const int32_t norm = nn_norm_of(nn, v), clip = nn_clip_of(nn, v);
    const float *from = weights + k->weight;
    float *own = NULL;
    dal_status st = DAL_OK;
    if (norm) {
        own = dal_array(r->host, k->n_weights, sizeof *own);
        r->bias[v] = dal_array(r->host, k->c, sizeof **r->bias);
        if (own && r->bias[v])
            draw_in(k, &nn->node[norm], weights, state, own, r->bias[v]);
        else
            st = DAL_E_NOMEM;
        r->made[v] = clip ? clip : norm;
        for (int32_t d = norm; d <= r->made[v]; d++)
            r->drawn[d] = 1;
        from = own;
    }
    if (nn_packed_size(nn, v) > 0 && st == DAL_OK) {
        r->weights[v] = dal_array(r->host, nn_packed_size(nn, v), sizeof **r->weights);
        st = r->weights[v] ? nn_pack(nn, v, 0, from, r->weights[v]) : DAL_E_NOMEM;
    } else if (st == DAL_OK) {
        r->weights[v] = own;
        own = NULL;
    }
    r->host->free(r->host, own);
    return st;
}

static int is_linear(const nn_node *k)
{
    return k->op == &nn_linear_op || k->op == &nn_token_linear_op;
}

static dal_status pack_linear(dal_nn_ready *r, int32_t v, const float *weights)
{
    const nn_node *k = &r->nn->node[v];
    const int64_t in = nn_width(&r->nn->node[k->in[0]]);
    r->weights[v] = dal_array(r->host, nn_product_packed(k->c, in), sizeof **r->weights);
    if (!r->weights[v])
        return DAL_E_NOMEM;
    nn_product_pack(k->c, in, weights + k->weight, r->weights[v]);
    return DAL_OK;
}

dal_nn_ready *dal_nn_ready_new(const dal_nn *nn, const dal_host *host, const float *weights, const float *state,
                               dal_error *err)
{
    dal_nn_ready *r = host->alloc(host, sizeof *r, 0);
    dal_status st = r ? DAL_OK : DAL_E_NOMEM;
    if (r) {
        *r = (dal_nn_ready){.nn = nn->half ? nn->half : nn, .host = host,
                            .made = dal_array(host, nn->n, sizeof *r->made), .drawn = dal_array(host, nn->n, 1),
                            .weights = dal_array(host, nn->n, sizeof *r->weights),
                            .bias = dal_array(host, nn->n, sizeof *r->bias)};
        if (r->weights)
            memset(r->weights, 0, (size_t)nn->n * sizeof *r->weights);
        if (r->bias)
            memset(r->bias, 0, (size_t)nn->n * sizeof *r->bias);
        st = r->made && r->drawn && r->weights && r->bias ? DAL_OK : DAL_E_NOMEM;
    }
    if (st == DAL_OK) {
        memset(r->made, 0, (size_t)nn->n * sizeof *r->made);
        memset(r->drawn, 0, (size_t)nn->n);
    }
    for (int32_t v = 1; v < nn->n && st == DAL_OK; v++)
        if (nn->node[v].op == &nn_conv_op || nn_packed_size(r->nn, v) > 0)
            st = make_ready(r, v, weights, state);
        else if (is_linear(&nn->node[v]) && nn_product_has_kernel())
            st = pack_linear(r, v, weights);
    if (st == DAL_OK)
        return r;
    dal_nn_ready_free(r);
    dal_fail(err, st, "", "no memory for the weights of a network of %d layers once more", (int)nn->n - 1);
    return NULL;
}

void dal_nn_ready_free(dal_nn_ready *r)
{
    if (!r)
        return;
    const dal_host *host = r->host;
    for (int32_t v = 0; v < r->nn->n; v++) {
        if (r->weights)
            host->free(host, r->weights[v]);
        if (r->bias)
            host->free(host, r->bias[v]);
    }
    host->free(host, r->bias);
    host->free(host, r->weights);
    host->free(host, r->drawn);
    host->free(host, r->made);
    host->free(host, r);
}
