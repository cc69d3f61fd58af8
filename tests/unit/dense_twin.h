/* The slow twin of dal/dense.h: one sample, one weight at a time, in double. */
#ifndef TESTS_DENSE_TWIN_H
#define TESTS_DENSE_TWIN_H

#include <dal/dense.h>
#include <math.h>
#include <stdlib.h>

/* All layers' outputs of x [in], after ReLU: values[l] points into out, logits last. */
static inline void twin_forward(const dal_dense *net, const double *w, const float *x, double *out,
                                const double **values)
{
    for (int32_t l = 0; l < net->n_layers; l++) {
        const dal_dense_layer *layer = &net->layer[l];
        for (int64_t j = 0; j < layer->out; j++) {
            double z = w[layer->bias + j];
            for (int64_t i = 0; i < layer->in; i++)
                z += w[layer->weight + j * layer->in + i] * (l ? values[l - 1][i] : (double)x[i]);
            out[j] = l + 1 < net->n_layers && z < 0 ? 0 : z;
        }
        values[l] = out;
        out += layer->out;
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
typedef double twin_function(const void *ctx, const dal_dense *net, const double *w);

static inline void twin_gradient(twin_function *f, const void *ctx, const dal_dense *net, const float *at,
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
