/* GELU, tanh, sigmoid, ReLU6, leaky ReLU: element by element. Slopes come from what each layer read or made. */
#include "nn_private.h"

#include "clones.h"
#include "nn_half_tokens.h"
#include "nn_math.h"

DAL_CLONES static void gelu(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = 0.5f * x[i] * (1.0f + nn_erf(0.707106781f * x[i]));
}

DAL_CLONES static void gelu_slope(const float *x, const float *dy, int64_t n, int add, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        const float phi = 0.398942280f * nn_exp(-0.5f * x[i] * x[i]);
        const float d = dy[i] * (0.5f * (1.0f + nn_erf(0.707106781f * x[i])) + x[i] * phi);
        dx[i] = add ? dx[i] + d : d;
    }
}

DAL_CLONES static void tanh_of(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = nn_tanh(x[i]);
}

DAL_CLONES static void tanh_slope(const float *y, const float *dy, int64_t n, int add, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        const float d = dy[i] * (1.0f - y[i] * y[i]);
        dx[i] = add ? dx[i] + d : d;
    }
}

DAL_CLONES static void sigmoid(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = 1.0f / (1.0f + nn_exp(-x[i]));
}

DAL_CLONES static void sigmoid_slope(const float *y, const float *dy, int64_t n, int add, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        const float d = dy[i] * y[i] * (1.0f - y[i]);
        dx[i] = add ? dx[i] + d : d;
    }
}

DAL_CLONES static void relu6(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        const float low = x[i] > 0 ? x[i] : 0;
        y[i] = low < 6 ? low : 6;
    }
}

DAL_CLONES static void relu6_slope(const float *y, const float *dy, int64_t n, int add, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        const float d = y[i] > 0 && y[i] < 6 ? dy[i] : 0;
        dx[i] = add ? dx[i] + d : d;
    }
}

DAL_CLONES static void leaky(const float *x, float slope, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? slope * x[i] : x[i];
}

DAL_CLONES static void leaky_slope(const float *x, float slope, const float *dy, int64_t n, int add, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        const float d = x[i] < 0 ? slope * dy[i] : dy[i];
        dx[i] = add ? dx[i] + d : d;
    }
}

typedef void element_forward(const float *x, int64_t n, float *y);
typedef void element_backward(const float *x_or_y, const float *dy, int64_t n, int add, float *dx);

static dal_status forward(const nn_job *j, int32_t v, element_forward *f)
{
    const nn_node *k = &j->nn->node[v];
    f(nn_row(j->value, k, k->in[0], j->first), nn_count(j, k), nn_row(j->value, k, v, j->first));
    return DAL_OK;
}

/* of: the value the slope comes from */
static dal_status backward(const nn_job *j, int32_t v, int32_t of, element_backward *f)
{
    const nn_node *k = &j->nn->node[v];
    if (j->d[k->in[0]])
        f(nn_row(j->value, k, of, j->first), nn_row(j->d, k, v, j->first), nn_count(j, k), !k->first_writer[0],
          nn_row(j->d, k, k->in[0], j->first));
    return DAL_OK;
}

static dal_status gelu_forward(const nn_job *j, int32_t v)
{
    return j->nn->node[v].half ? nn_half_gelu_forward(j, v) : forward(j, v, gelu);
}

static dal_status gelu_backward(const nn_job *j, int32_t v)
{
    return j->nn->node[v].half ? nn_half_gelu_backward(j, v) : backward(j, v, j->nn->node[v].in[0], gelu_slope);
}

static dal_status tanh_forward(const nn_job *j, int32_t v)
{
    return forward(j, v, tanh_of);
}

static dal_status tanh_backward(const nn_job *j, int32_t v)
{
    return backward(j, v, v, tanh_slope);
}

static dal_status sigmoid_forward(const nn_job *j, int32_t v)
{
    return forward(j, v, sigmoid);
}

static dal_status sigmoid_backward(const nn_job *j, int32_t v)
{
    return backward(j, v, v, sigmoid_slope);
}

static dal_status relu6_forward(const nn_job *j, int32_t v)
{
    return j->nn->node[v].half ? nn_half_relu6_forward(j, v) : forward(j, v, relu6);
}

static dal_status relu6_backward(const nn_job *j, int32_t v)
{
    return j->nn->node[v].half ? nn_half_relu6_backward(j, v) : backward(j, v, v, relu6_slope);
}

static dal_status leaky_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    leaky(nn_row(j->value, k, k->in[0], j->first), (float)k->rate, nn_count(j, k), nn_row(j->value, k, v, j->first));
    return DAL_OK;
}

static dal_status leaky_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    if (j->d[k->in[0]])
        leaky_slope(nn_row(j->value, k, k->in[0], j->first), (float)k->rate, nn_row(j->d, k, v, j->first),
                    nn_count(j, k), !k->first_writer[0], nn_row(j->d, k, k->in[0], j->first));
    return DAL_OK;
}

const nn_op nn_gelu_op = {"gelu", gelu_forward, gelu_backward};
const nn_op nn_tanh_op = {"tanh", tanh_forward, tanh_backward};
const nn_op nn_sigmoid_op = {"sigmoid", sigmoid_forward, sigmoid_backward};
const nn_op nn_relu6_op = {"relu6", relu6_forward, relu6_backward};
const nn_op nn_leaky_op = {"leaky_relu", leaky_forward, leaky_backward};
