/* The slow twin of fully connected networks of dal/nn.h: one sample, one weight at a time, in double. */
#ifndef TESTS_DENSE_TWIN_H
#define TESTS_DENSE_TWIN_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* Layer l: weights [out, in] and bias [out] after those of the layer before. */
typedef struct twin_net {
    int32_t n_layers;
    int64_t n_weights;
    struct {
        int64_t in, out, weight, bias;
    } layer[8];
} twin_net;

static inline twin_net twin_net_of(const int64_t *widths, int32_t n_layers)
{
    twin_net net = {.n_layers = n_layers};
    for (int32_t l = 0; l < n_layers; l++) {
        net.layer[l].in = widths[l];
        net.layer[l].out = widths[l + 1];
        net.layer[l].weight = net.n_weights;
        net.layer[l].bias = net.n_weights + widths[l] * widths[l + 1];
        net.n_weights = net.layer[l].bias + widths[l + 1];
    }
    return net;
}

/* All layers' outputs of x [in], after ReLU: values[l] points into out, logits last. */
static inline void twin_forward(const twin_net *net, const double *w, const float *x, double *out,
                                const double **values)
{
    for (int32_t l = 0; l < net->n_layers; l++) {
        for (int64_t j = 0; j < net->layer[l].out; j++) {
            double z = w[net->layer[l].bias + j];
            for (int64_t i = 0; i < net->layer[l].in; i++)
                z += w[net->layer[l].weight + j * net->layer[l].in + i] * (l ? values[l - 1][i] : (double)x[i]);
            out[j] = l + 1 < net->n_layers && z < 0 ? 0 : z;
        }
        values[l] = out;
        out += net->layer[l].out;
    }
}

static inline double twin_cross_entropy(const double *z, int64_t c, int64_t y)
{
    double max = z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        max = fmax(max, z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += exp(z[k] - max);
    return max + log(sum) - z[y];
}

/* A function of the weights, and its gradient [n_weights] by central differences. */
typedef double twin_function(const void *ctx, const twin_net *net, const double *w);

static inline void twin_gradient(twin_function *f, const void *ctx, const twin_net *net, const float *at,
                                 double *gradient)
{
    double *w = malloc((size_t)net->n_weights * sizeof *w);
    for (int64_t i = 0; i < net->n_weights; i++)
        w[i] = (double)at[i];
    for (int64_t i = 0; i < net->n_weights; i++) {
        const double here = w[i], step = 1e-6;
        w[i] = here + step;
        const double up = f(ctx, net, w);
        w[i] = here - step;
        gradient[i] = (up - f(ctx, net, w)) / (2 * step);
        w[i] = here;
    }
    free(w);
}

#endif
