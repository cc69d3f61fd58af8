/* Moments too small to matter become 0: they would fade into denormal numbers otherwise, which are slow. */
#include "nn_step.h"

#include <math.h>

#include "clones.h"

#define BLOCK 8192 /* weights to a task */

/* ---- kernels ----------------------------------------------------------------------------------- */

/* As PyTorch's SGD: v = mu v + g; w -= lr (g + mu v) with Nesterov, lr v without. */
DAL_CLONES static void sgd(const nn_coefficients *c, int nesterov, int64_t n, const float *restrict g,
                           float *restrict w, float *restrict m)
{
    const nn_coefficients k = *c;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + k.decay * w[i];
        const float moved = k.momentum * m[i] + d;
        m[i] = fabsf(moved) < 1e-30f ? 0 : moved;
        w[i] = k.keep * w[i] - k.rate * (nesterov ? d + k.momentum * m[i] : m[i]);
    }
}

DAL_CLONES static void adam(const nn_coefficients *c, int64_t n, const float *restrict g, float *restrict w,
                            float *restrict m, float *restrict v)
{
    const nn_coefficients k = *c;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + k.decay * w[i];
        const float first = k.beta1 * m[i] + k.beta1c * d;
        const float second = k.beta2 * v[i] + k.beta2c * (d * d);
        m[i] = fabsf(first) < 1e-30f ? 0 : first;
        v[i] = second < 1e-36f ? 0 : second;
        w[i] = k.keep * w[i] - (k.now * d + k.rate * m[i]) / (sqrtf(v[i]) + k.epsilon);
    }
}

/* m: the mean square of past moves, v: that of past gradients. */
DAL_CLONES static void adadelta(const nn_coefficients *c, int64_t n, const float *restrict g, float *restrict w,
                                float *restrict m, float *restrict v)
{
    const nn_coefficients k = *c;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + k.decay * w[i];
        const float second = k.beta2 * v[i] + k.beta2c * (d * d);
        const float move = sqrtf((m[i] + k.epsilon) / (second + k.epsilon)) * d;
        const float first = k.beta2 * m[i] + k.beta2c * (move * move);
        m[i] = first < 1e-36f ? 0 : first;
        v[i] = second < 1e-36f ? 0 : second;
        w[i] = k.keep * w[i] - k.rate * move;
    }
}

DAL_CLONES double nn_squares(const float *w, int64_t n)
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

/* ---- the numbers of a step --------------------------------------------------------------------- */

/* Dozat's momentum at step t. */
static double momentum_at(const dal_nn_rule *r, int64_t t)
{
    return r->beta1 * (1 - 0.5 * pow(0.96, 0.004 * (double)t));
}

/* The corrections of Kingma & Ba 2015, algorithm 1, go into the rate, that of the second moment into epsilon. */
static void set_adam(nn_mover *m, nn_coefficients *k)
{
    const dal_nn_rule *r = &m->rule;
    const double c1 = 1 - pow(r->beta1, (double)m->steps), c2 = 1 - pow(r->beta2, (double)m->steps);
    k->rate = (float)(r->learning_rate * sqrt(c2) / c1);
    if (r->optimizer == DAL_NN_NADAM) {
        const double mu = momentum_at(r, m->steps), next = momentum_at(r, m->steps + 1);
        m->momenta *= mu;
        k->now = (float)(r->learning_rate * sqrt(c2) * (1 - mu) / (1 - m->momenta));
        k->rate = (float)(r->learning_rate * sqrt(c2) * next / (1 - m->momenta * next));
    }
    k->beta1 = (float)r->beta1;
    k->beta1c = (float)(1 - r->beta1);
    k->beta2 = (float)r->beta2;
    k->beta2c = (float)(1 - r->beta2);
    k->epsilon = (float)(r->raw_epsilon ? r->epsilon : r->epsilon * sqrt(c2));
}

static void set_adadelta(const nn_mover *m, nn_coefficients *k)
{
    k->beta2 = (float)m->rule.beta2;
    k->beta2c = (float)(1 - m->rule.beta2);
    k->epsilon = (float)m->rule.epsilon;
}

dal_status nn_mover_begin(nn_mover *m, const dal_nn_rule *rule, int64_t n_labelled)
{
    const double decay = rule->weight_decay, rate = rule->learning_rate;
    nn_coefficients k = {.rate = (float)rate, .momentum = (float)rule->momentum, .keep = 1};
    m->rule = (dal_nn_rule){.struct_size = sizeof m->rule};
    memcpy(&m->rule, rule, rule->struct_size < sizeof m->rule ? rule->struct_size : sizeof m->rule);
    m->steps++;
    if (m->rule.optimizer != DAL_NN_SGD) {
        if (m->rule.optimizer == DAL_NN_ADADELTA)
            set_adadelta(m, &k);
        else
            set_adam(m, &k);
        if (!m->second) {
            m->second = dal_array(m->host, m->nn->n_weights, sizeof *m->second);
            m->fresh_second = 1;
        }
        if (!m->second)
            return DAL_E_NOMEM;
    }
    m->weight = m->other = k;
    m->weight.decay = (float)((rule->decoupled ? 0 : decay) + m->rule.l2 / (double)(n_labelled > 0 ? n_labelled : 1));
    m->other.decay = rule->decoupled || m->rule.spare ? 0 : (float)decay;
    m->weight.keep = rule->decoupled ? (float)(1 - rate * decay) : 1;
    m->other.keep = rule->decoupled && !m->rule.spare ? m->weight.keep : 1;
    return DAL_OK;
}

dal_status nn_mover_init(nn_mover *m, const dal_nn *nn, const dal_host *host, float *weights)
{
    *m = (nn_mover){.nn = nn, .host = host, .weights = weights, .momenta = 1};
    m->first = dal_array(host, nn->n_weights, sizeof *m->first);
    m->sums = dal_array(host, (nn->n_weights + BLOCK - 1) / BLOCK, sizeof *m->sums);
    if (!m->first || !m->sums)
        return DAL_E_NOMEM;
    m->fresh_first = 1;
    return DAL_OK;
}

void nn_mover_fini(nn_mover *m)
{
    if (!m->host)
        return;
    m->host->free(m->host, m->sums);
    m->host->free(m->host, m->second);
    m->host->free(m->host, m->first);
}

void nn_mover_move(nn_mover *m, int is_weight, int64_t at, int64_t n, const float *g)
{
    const nn_coefficients *k = is_weight ? &m->weight : &m->other;
    if (m->fresh_first) /* by the thread that is about to use them: memory comes with the first look at it */
        memset(m->first + at, 0, (size_t)n * sizeof *m->first);
    if (m->fresh_second)
        memset(m->second + at, 0, (size_t)n * sizeof *m->second);
    if (m->rule.optimizer == DAL_NN_SGD)
        sgd(k, m->rule.nesterov != 0, n, g, m->weights + at, m->first + at);
    else if (m->rule.optimizer == DAL_NN_ADADELTA)
        adadelta(k, n, g, m->weights + at, m->first + at, m->second + at);
    else
        adam(k, n, g, m->weights + at, m->first + at, m->second + at);
}

/* ---- over all weights -------------------------------------------------------------------------- */

typedef struct block_job {
    nn_mover *m;
    float *gradient;
    float scale;
} block_job;

static int64_t block_size(const nn_mover *m, int64_t i)
{
    const int64_t rest = m->nn->n_weights - i * BLOCK;
    return rest < BLOCK ? rest : BLOCK;
}

static dal_status run_blocks(nn_mover *m, dal_status (*task)(void *, int64_t), block_job *j)
{
    return m->host->parallel_for(m->host, (m->nn->n_weights + BLOCK - 1) / BLOCK, task, j);
}

static dal_status square_block(void *ctx, int64_t i)
{
    const block_job *j = ctx;
    double sum = 0;
    for (int64_t k = i * BLOCK; k < i * BLOCK + block_size(j->m, i); k++)
        sum += (double)j->gradient[k] * (double)j->gradient[k];
    j->m->sums[i] = sum;
    return DAL_OK;
}

static dal_status scale_block(void *ctx, int64_t i)
{
    const block_job *j = ctx;
    for (int64_t k = i * BLOCK; k < i * BLOCK + block_size(j->m, i); k++)
        j->gradient[k] *= j->scale;
    return DAL_OK;
}

static double sum_of_blocks(const nn_mover *m)
{
    double sum = 0;
    for (int64_t i = 0; i * BLOCK < m->nn->n_weights; i++)
        sum += m->sums[i];
    return sum;
}

dal_status nn_mover_clip(nn_mover *m, float *gradient)
{
    block_job j = {m, gradient, 1};
    if (!(m->rule.clip > 0))
        return DAL_OK;
    const dal_status st = run_blocks(m, square_block, &j);
    const double norm = st == DAL_OK ? sqrt(sum_of_blocks(m)) : 0;
    if (!(norm > m->rule.clip) || !isfinite(norm)) /* one that is not finite has to be seen */
        return st;
    j.scale = (float)(m->rule.clip / norm);
    return run_blocks(m, scale_block, &j);
}

/* The number of the parameter that holds weight `at`. */
static int64_t parameter_of(const dal_nn *nn, int64_t at)
{
    int64_t low = 0, high = nn->n_parameters;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (nn->parameter[middle].offset <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Runs of weights and of others one after the other. */
static dal_status move_block(void *ctx, int64_t i)
{
    const block_job *j = ctx;
    nn_mover *m = j->m;
    const int64_t end = i * BLOCK + block_size(m, i);
    double squares = 0;
    for (int64_t at = i * BLOCK, p = parameter_of(m->nn, at), n; at < end; at += n, p++) {
        const dal_parameter *k = &m->nn->parameter[p];
        const int is_weight = k->role == DAL_ROLE_WEIGHT;
        n = k->offset + k->count < end ? k->offset + k->count - at : end - at;
        for (int64_t w = at; is_weight && m->rule.l2 > 0 && w < at + n; w++)
            squares += (double)m->weights[w] * (double)m->weights[w];
        nn_mover_move(m, is_weight, at, n, j->gradient + at);
    }
    m->sums[i] = squares;
    return DAL_OK;
}

dal_status nn_mover_run(nn_mover *m, float *gradient, double *squares)
{
    block_job j = {m, gradient, 1};
    const dal_status st = run_blocks(m, move_block, &j);
    *squares = st == DAL_OK ? sum_of_blocks(m) : 0;
    return st;
}

static void cap(nn_mover *m)
{
    const nn_node *k = &m->nn->node[m->nn->output];
    const int64_t in = k->n_weights > 0 ? (k->n_weights - (k->bias < 0 ? 0 : k->c)) / k->c : 0;
    for (int64_t o = 0; m->rule.max_norm > 0 && o < k->c && in > 0; o++) {
        float *row = m->weights + k->weight + o * in;
        double sum = 0;
        for (int64_t i = 0; i < in; i++)
            sum += (double)row[i] * (double)row[i];
        const double norm = sqrt(sum);
        for (int64_t i = 0; i < in && norm > m->rule.max_norm; i++)
            row[i] = (float)((double)row[i] * m->rule.max_norm / norm);
    }
}

void nn_mover_end(nn_mover *m)
{
    m->fresh_first = m->fresh_second = 0;
    cap(m);
}
