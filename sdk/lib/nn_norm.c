/* Batch normalisation (Ioffe & Szegedy 2015). In passes y = gain (x - mean) / sqrt(var + eps) + bias with what it
 * remembers; in training with the batch's own mean and variance, which take a look at all shards: see dal_nn_train.
 * Here of values whose rows are planar, [c, h, w]; nn_strips_norm.c has those whose channels lie side by side,
 * nn_half_norm.c those in bf16. */
#include "nn_private.h"

#include <math.h>

#include "clones.h"
#include "nn_half.h"
#include "nn_layout.h"

#define MOMENTUM 0.1

static int64_t map_of(const nn_node *k)
{
    return k->h * k->w;
}

/* Sums over a map in 8 lanes, then in double: the same bits in every clone. */
DAL_CLONES static void sum_squares(const float *x, int64_t n, double *sum, double *squares)
{
    double s[8] = {0}, q[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) {
            const double v = (double)x[i + l];
            s[l] += v;
            q[l] += v * v;
        }
    for (int l = 0; i < n; i++, l++) {
        s[l] += (double)x[i];
        q[l] += (double)x[i] * (double)x[i];
    }
    for (int l = 0; l < 8; l++) {
        *sum += s[l];
        *squares += q[l];
    }
}

DAL_CLONES static void sum_products(const float *dy, const float *x, float mean, float inverse, int64_t n, double *sum,
                                    double *products)
{
    double s[8] = {0}, q[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) {
            s[l] += (double)dy[i + l];
            q[l] += (double)(dy[i + l] * ((x[i + l] - mean) * inverse));
        }
    for (int l = 0; i < n; i++, l++) {
        s[l] += (double)dy[i];
        q[l] += (double)(dy[i] * ((x[i] - mean) * inverse));
    }
    for (int l = 0; l < 8; l++) {
        *sum += s[l];
        *products += q[l];
    }
}

DAL_CLONES static void scale_shift(const float *x, float scale, float shift, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = scale * x[i] + shift;
}

void nn_norm_sums(const nn_job *j, int32_t v, double *sums)
{
    const nn_node *k = &j->nn->node[v];
    if (k->half) {
        nn_half_norm_sums(j, v, sums);
        return;
    }
    if (nn_has_strips(k)) {
        nn_strips_norm_sums(j, v, sums);
        return;
    }
    memset(sums, 0, (size_t)(2 * k->c) * sizeof *sums);
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c++)
            sum_squares(nn_row(j->value, k, k->in[0], i) + c * map_of(k), map_of(k), &sums[c], &sums[k->c + c]);
}

void nn_norm_statistics(const nn_node *k, const float *weights, float *state, const double *sums, int64_t n,
                        float *norm)
{
    const double count = (double)(n * map_of(k));
    for (int64_t c = 0; c < k->c; c++) {
        const double mean = sums[c] / count, spread = sums[k->c + c] / count - mean * mean;
        const double variance = spread > 0 ? spread : 0, inverse = 1 / sqrt(variance + NN_NORM_EPS);
        const double gain = (double)weights[k->weight + c], bias = (double)weights[k->bias + c];
        norm[NN_NORM_SCALE * k->c + c] = (float)(gain * inverse);
        norm[NN_NORM_SHIFT * k->c + c] = (float)(bias - gain * inverse * mean);
        norm[NN_NORM_MEAN * k->c + c] = (float)mean;
        norm[NN_NORM_INVERSE * k->c + c] = (float)inverse;
        float *running = state + k->state + c;
        const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
        running[0] = (float)((1 - MOMENTUM) * (double)running[0] + MOMENTUM * mean);
        running[k->c] = (float)((1 - MOMENTUM) * (double)running[k->c] + MOMENTUM * unbiased);
    }
}

void nn_norm_remembered(const nn_job *j, const nn_node *k, int64_t c, float out[NN_NORM_FORWARD])
{
    const double mean = (double)j->state[k->state + c], variance = (double)j->state[k->state + k->c + c];
    const double inverse = 1 / sqrt(variance + NN_NORM_EPS), gain = (double)j->weights[k->weight + c];
    out[NN_NORM_SCALE] = (float)(gain * inverse);
    out[NN_NORM_SHIFT] = (float)((double)j->weights[k->bias + c] - gain * inverse * mean);
    out[NN_NORM_MEAN] = (float)mean;
    out[NN_NORM_INVERSE] = (float)inverse;
}

static void channel(const nn_job *j, const nn_node *k, int32_t v, int64_t c, float out[NN_NORM_FORWARD])
{
    if (!j->training) {
        nn_norm_remembered(j, k, c, out);
        return;
    }
    for (int r = 0; r < NN_NORM_FORWARD; r++)
        out[r] = j->norm[v][r * k->c + c];
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t map = map_of(k);
    if (k->half)
        return nn_half_norm_forward(j, v);
    if (nn_has_strips(k))
        return nn_strips_norm_forward(j, v);
    for (int64_t c = 0; c < k->c; c++) {
        float s[NN_NORM_FORWARD];
        channel(j, k, v, c, s);
        for (int64_t i = j->first; i < j->first + j->n; i++) {
            float *y = nn_row(j->value, k, v, i) + c * map;
            scale_shift(nn_row(j->value, k, k->in[0], i) + c * map, s[NN_NORM_SCALE], s[NN_NORM_SHIFT], map, y);
            if (k->flags & DAL_NN_RELU)
                nn_relu(y, map);
        }
    }
    return DAL_OK;
}

void nn_norm_back_sums(const nn_job *j, int32_t v, double *sums)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t map = map_of(k);
    if (k->half) {
        nn_half_norm_back_sums(j, v, sums);
        return;
    }
    if (nn_has_strips(k)) {
        nn_strips_norm_back_sums(j, v, sums);
        return;
    }
    memset(sums, 0, (size_t)(2 * k->c) * sizeof *sums);
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        float *dy = nn_row(j->d, k, v, i);
        if (k->flags & DAL_NN_RELU)
            nn_relu_back(nn_row(j->value, k, v, i), dy, k->size);
        for (int64_t c = 0; c < k->c; c++) {
            float s[NN_NORM_FORWARD];
            channel(j, k, v, c, s);
            sum_products(dy + c * map, nn_row(j->value, k, k->in[0], i) + c * map, s[NN_NORM_MEAN], s[NN_NORM_INVERSE],
                         map, &sums[c], &sums[k->c + c]);
        }
    }
}

void nn_norm_back_statistics(const nn_node *k, const double *sums, int64_t n, float *norm, float *gradient)
{
    const double count = (double)(n * map_of(k));
    for (int64_t c = 0; c < k->c; c++) {
        norm[NN_NORM_MEAN_DY * k->c + c] = (float)(sums[c] / count);
        norm[NN_NORM_MEAN_PRODUCT * k->c + c] = (float)(sums[k->c + c] / count);
        gradient[k->bias + c] = (float)sums[c];
        gradient[k->weight + c] = (float)sums[k->c + c];
    }
}

/* d loss / d x through the batch's own mean and variance. */
DAL_CLONES static void back_map(const float *dy, const float *x, const float s[NN_NORM_FORWARD], float mean_dy,
                                float mean_product, int64_t n, int add, float *dx)
{
    const float scale = s[NN_NORM_SCALE], mean = s[NN_NORM_MEAN], inverse = s[NN_NORM_INVERSE];
#pragma GCC ivdep /* dx may be dy */
    for (int64_t i = 0; i < n; i++) {
        const float d = scale * (dy[i] - mean_dy - (x[i] - mean) * inverse * mean_product);
        dx[i] = add ? dx[i] + d : d;
    }
}

/* With what it remembers: constants, so only the scale. Gain and bias have their gradient here. */
static void back_remembered(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t map = map_of(k);
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        float *dy = nn_row(j->d, k, v, i);
        if (k->flags & DAL_NN_RELU)
            nn_relu_back(nn_row(j->value, k, v, i), dy, k->size);
        for (int64_t c = 0; c < k->c; c++) {
            float s[NN_NORM_FORWARD];
            double sums[2] = {0};
            const float *x = nn_row(j->value, k, k->in[0], i) + c * map;
            nn_norm_remembered(j, k, c, s);
            if (j->gradient) {
                sum_products(dy + c * map, x, s[NN_NORM_MEAN], s[NN_NORM_INVERSE], map, &sums[0], &sums[1]);
                j->gradient[k->bias + c] += (float)sums[0];
                j->gradient[k->weight + c] += (float)sums[1];
            }
            if (j->d[k->in[0]])
                back_map(dy + c * map, x, s, 0, 0, map, !k->first_writer[0], nn_row(j->d, k, k->in[0], i) + c * map);
        }
    }
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t map = map_of(k);
    if (k->half)
        return nn_half_norm_backward(j, v);
    if (nn_has_strips(k))
        return nn_strips_norm_backward(j, v);
    if (!j->training) {
        back_remembered(j, v);
        return DAL_OK;
    }
    if (!j->d[k->in[0]])
        return DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c++) {
            float s[NN_NORM_FORWARD];
            channel(j, k, v, c, s);
            back_map(nn_row(j->d, k, v, i) + c * map, nn_row(j->value, k, k->in[0], i) + c * map, s,
                     j->norm[v][NN_NORM_MEAN_DY * k->c + c], j->norm[v][NN_NORM_MEAN_PRODUCT * k->c + c], map,
                     !k->first_writer[0], nn_row(j->d, k, k->in[0], i) + c * map);
        }
    return DAL_OK;
}

const nn_op nn_norm_op = {"batch_norm", forward, backward};
