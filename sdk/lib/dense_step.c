/* Adam as scikit-learn and most others run it: the bias corrections go into the rate, epsilon is added
 * to the uncorrected root. Moments too small to matter become 0: a feature that is no longer seen would
 * otherwise fade into denormal numbers, which are up to a hundred times slower. */
#include "dense_step.h"

#include <math.h>

#include "clones.h"

dense_coefficients dense_coefficients_at(const dal_dense_rule *r, int64_t step, int64_t n_labelled)
{
    const double c1 = 1 - pow(r->beta1, (double)step), c2 = 1 - pow(r->beta2, (double)step);
    return (dense_coefficients){
        .rate = (float)(r->learning_rate * sqrt(c2) / c1),
        .beta1 = (float)r->beta1,
        .beta1c = (float)(1 - r->beta1),
        .beta2 = (float)r->beta2,
        .beta2c = (float)(1 - r->beta2),
        .epsilon = (float)r->epsilon,
        .momentum = (float)r->momentum,
        .learning_rate = (float)r->learning_rate,
        .l2 = (float)(r->l2 / (double)n_labelled),
        .keep = (float)(1 - r->learning_rate * r->weight_decay),
        .optimizer = r->optimizer,
        .nesterov = r->nesterov,
    };
}

DAL_CLONES static void adam(const dense_coefficients *c, int64_t n, const float *restrict g,
                            float *restrict w, float *restrict m, float *restrict v)
{
    const dense_coefficients k = *c;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + k.l2 * w[i];
        const float first = k.beta1 * m[i] + k.beta1c * d;
        const float second = k.beta2 * v[i] + k.beta2c * (d * d);
        m[i] = fabsf(first) < 1e-30f ? 0 : first;
        v[i] = second < 1e-36f ? 0 : second;
        w[i] = k.keep * w[i] - k.rate * m[i] / (sqrtf(v[i]) + k.epsilon);
    }
}

DAL_CLONES static void sgd(const dense_coefficients *c, int64_t n, const float *restrict g,
                           float *restrict w, float *restrict velocity)
{
    const dense_coefficients k = *c;
    for (int64_t i = 0; i < n; i++) {
        const float d = k.learning_rate * (g[i] + k.l2 * w[i]);
        const float moved = k.momentum * velocity[i] - d;
        velocity[i] = fabsf(moved) < 1e-30f ? 0 : moved;
        w[i] = k.keep * w[i] + (k.nesterov ? k.momentum * velocity[i] - d : velocity[i]);
    }
}

void dense_step(const dense_coefficients *c, int64_t n, const float *g, float *w, float *m, float *v)
{
    if (c->optimizer == DAL_DENSE_ADAM)
        adam(c, n, g, w, m, v);
    else
        sgd(c, n, g, w, m);
}

DAL_CLONES double dense_squares(const float *w, int64_t n)
{
    float lane[16] = {0};
    double sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++)
            lane[l] += w[i + l] * w[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += w[i] * w[i];
    for (int l = 0; l < 16; l++)
        sum += (double)lane[l];
    return sum;
}
