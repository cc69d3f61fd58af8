/* Moments too small to matter become 0: they would fade into denormal numbers otherwise, which are slow. */
#include "nn_step.h"

#include <math.h>

#include "clones.h"

/* As PyTorch's SGD: v = mu v + g; w -= lr (g + mu v) with Nesterov, lr v without. */
DAL_CLONES static void sgd(float rate, float mu, float decay, int nesterov, int64_t n, const float *restrict g,
                           float *restrict w, float *restrict m)
{
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + decay * w[i];
        const float moved = mu * m[i] + d;
        m[i] = fabsf(moved) < 1e-30f ? 0 : moved;
        w[i] -= rate * (nesterov ? d + mu * m[i] : m[i]);
    }
}

/* The bias corrections go into the rate, epsilon is added to the corrected root (Kingma & Ba 2015, algorithm 1). */
typedef struct adam_numbers {
    float rate, beta1, beta1c, beta2, beta2c, epsilon, decay, keep;
} adam_numbers;

DAL_CLONES static void adam(const adam_numbers *numbers, int64_t n, const float *restrict g, float *restrict w,
                            float *restrict m, float *restrict v)
{
    const adam_numbers k = *numbers;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + k.decay * w[i];
        const float first = k.beta1 * m[i] + k.beta1c * d;
        const float second = k.beta2 * v[i] + k.beta2c * (d * d);
        m[i] = fabsf(first) < 1e-30f ? 0 : first;
        v[i] = second < 1e-36f ? 0 : second;
        w[i] = k.keep * w[i] - k.rate * m[i] / (sqrtf(v[i]) + k.epsilon);
    }
}

void nn_step(const dal_nn_rule *rule, int64_t step, int64_t n, const float *g, float *w, float *m, float *v)
{
    if (rule->optimizer == DAL_NN_SGD) {
        sgd((float)rule->learning_rate, (float)rule->momentum, (float)rule->weight_decay, rule->nesterov != 0, n, g, w, m);
        return;
    }
    const double c1 = 1 - pow(rule->beta1, (double)step), c2 = 1 - pow(rule->beta2, (double)step);
    const adam_numbers k = {
        .rate = (float)(rule->learning_rate * sqrt(c2) / c1),
        .beta1 = (float)rule->beta1,
        .beta1c = (float)(1 - rule->beta1),
        .beta2 = (float)rule->beta2,
        .beta2c = (float)(1 - rule->beta2),
        .epsilon = (float)(rule->epsilon * sqrt(c2)),
        .decay = rule->decoupled ? 0 : (float)rule->weight_decay,
        .keep = rule->decoupled ? (float)(1 - rule->learning_rate * rule->weight_decay) : 1,
    };
    adam(&k, n, g, w, m, v);
}
