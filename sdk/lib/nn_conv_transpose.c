/* Transposed convolution of one sample at a time: what a convolution does on its way back, with its patches in scratch.
 * Both back ends use it. */
#include "nn_private.h"

#include <dal/linalg.h>

#include "clones.h"

/* A convolution from the layer's output, large, to its input, small. */
typedef struct geometry {
    const nn_node *k, *in;
    nn_node small;
    int64_t places, map, patch; /* h * w of the input and of the output; rows of the patches: out kernel^2 */
} geometry;

static geometry measure(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    geometry g = {.k = k, .in = in, .small = *k, .places = in->h * in->w, .map = k->h * k->w,
                  .patch = k->c * k->kernel * k->kernel};
    g.small.h = in->h;
    g.small.w = in->w;
    return g;
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const geometry g = measure(j, v);
    const int64_t rows = g.k->kernel * g.k->kernel * g.places; /* of a channel */
    dal_status st = DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n && st == DAL_OK; i++) {
        float *y = nn_row(j->value, g.k, v, i);
        st = dal_gemm_tn(g.patch, g.places, g.in->c, 1, j->weights + g.k->weight, g.patch,
                         nn_row(j->value, g.in, g.k->in[0], i), g.places, 0, j->scratch, g.places);
        for (int64_t c = 0; c < g.k->c; c++) {
            const float bias = g.k->bias >= 0 ? j->weights[g.k->bias + c] : 0;
            for (int64_t p = 0; p < g.map; p++)
                y[c * g.map + p] = bias;
            nn_fold(&g.small, g.k, j->scratch + c * rows, y + c * g.map);
        }
        if (g.k->flags & DAL_NN_RELU)
            nn_relu(y, g.k->size);
    }
    return st;
}

static void add_bias_gradient(const geometry *g, const float *dy, float *gradient)
{
    for (int64_t c = 0; g->k->bias >= 0 && c < g->k->c; c++) {
        float sum = 0;
        for (int64_t p = 0; p < g->map; p++)
            sum += dy[c * g->map + p];
        gradient[g->k->bias - g->k->weight + c] += sum;
    }
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const geometry g = measure(j, v);
    const int64_t rows = g.k->kernel * g.k->kernel * g.places;
    const int32_t a = g.k->in[0];
    float *gradient = nn_wants_gradient(j) ? nn_gradient_begin(j, g.k, 0) : NULL, *patches = j->scratch;
    dal_status st = DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n && st == DAL_OK; i++) {
        float *dy = nn_row(j->d, g.k, v, i);
        if (g.k->flags & DAL_NN_RELU)
            nn_relu_back(nn_row(j->value, g.k, v, i), dy, g.k->size);
        for (int64_t c = 0; c < g.k->c; c++)
            nn_unfold(&g.small, g.k, dy + c * g.map, patches + c * rows);
        if (gradient) {
            st = dal_gemm_nt(g.in->c, g.patch, g.places, 1, nn_row(j->value, g.in, a, i), g.places, patches, g.places,
                             1, gradient, g.patch);
            add_bias_gradient(&g, dy, gradient);
        }
        if (st == DAL_OK && j->d[a])
            st = dal_gemm_nn(g.in->c, g.places, g.patch, 1, j->weights + g.k->weight, g.patch, patches, g.places,
                             g.k->first_writer[0] ? 0 : 1, nn_row(j->d, g.in, a, i), g.places);
    }
    return gradient && st == DAL_OK ? nn_gradient_end(j, v, 0) : st;
}

const nn_op nn_conv_transpose_op = {"conv_transpose", forward, backward};

/* ---- declaring ---------------------------------------------------------------------------------- */

static int64_t side(int64_t n, const dal_nn_conv_transpose_shape *s, int64_t stride)
{
    return (n - 1) * stride - 2 * s->pad + s->kernel + s->output_pad;
}

dal_nn_value dal_nn_conv_transpose(dal_nn *nn, dal_nn_value x, const char *name,
                                   const dal_nn_conv_transpose_shape *shape)
{
    const int64_t stride = shape->stride ? shape->stride : 1, most = 1 << 20;
    if (!nn_takes_map(nn, x, name))
        return -1;
    const nn_node *a = &nn->node[x];
    int64_t patch, count;
    if (shape->kernel < 1 || shape->kernel > most || stride < 1 || stride > most || shape->pad < 0 ||
        shape->pad >= shape->kernel || shape->output_pad < 0 || shape->output_pad >= stride ||
        side(a->h, shape, stride) < 1 || side(a->w, shape, stride) < 1)
        return nn_fault(nn, name, "a kernel of %lld with stride %lld, pad %lld and output pad %lld makes no map of "
                                  "%lld x %lld places",
                        (long long)shape->kernel, (long long)stride, (long long)shape->pad,
                        (long long)shape->output_pad, (long long)a->h, (long long)a->w);
    nn_node *k = nn_add_node(nn, &nn_conv_transpose_op, name, x, -1, shape->out, side(a->h, shape, stride),
                             side(a->w, shape, stride));
    if (!k)
        return -1;
    if (!dal_size_mul(shape->out, shape->kernel * shape->kernel, &patch) || !dal_size_mul(patch, a->c, &count) ||
        count > INT32_MAX)
        return nn_fault(nn, name, "%lld x %lld x %lld x %lld weights are too many", (long long)a->c,
                        (long long)shape->out, (long long)shape->kernel, (long long)shape->kernel);
    k->kernel = shape->kernel;
    k->stride = stride;
    k->pad = shape->pad;
    k->flags = shape->flags;
    k->scratch = patch * a->h * a->w;
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_WEIGHT, count);
    if (shape->flags & DAL_NN_BIAS)
        k->bias = nn_take_weights(nn, k, "bias", DAL_ROLE_BIAS, shape->out);
    return nn_done(nn, count * a->h * a->w);
}
