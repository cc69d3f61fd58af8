/* Layer normalisation (Ba, Kiros & Hinton 2016), row by row; sums in a fixed number of lanes. Keeps mean and 1 /
 * deviation of each row for the way back. */
#include "nn_private.h"

#include <math.h>

#include "clones.h"

#define LANES 16

static float sum_lanes(const float *lane)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += (double)lane[l];
    return (float)sum;
}

DAL_CLONES static void normalise(const float *x, const float *gain, const float *bias, int64_t width, float eps,
                                 float *y, float *kept)
{
    float lane[LANES] = {0}, spread[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l];
    for (int l = 0; i + l < width; l++)
        lane[l] += x[i + l];
    const float mean = sum_lanes(lane) / (float)width;
    for (i = 0; i + LANES <= width; i += LANES)
        for (int l = 0; l < LANES; l++)
            spread[l] += (x[i + l] - mean) * (x[i + l] - mean);
    for (int l = 0; i + l < width; l++)
        spread[l] += (x[i + l] - mean) * (x[i + l] - mean);
    const float inverse = 1.0f / sqrtf(sum_lanes(spread) / (float)width + eps);
    for (i = 0; i < width; i++)
        y[i] = (x[i] - mean) * inverse * gain[i] + bias[i];
    kept[0] = mean;
    kept[1] = inverse;
}

static float *kept_by(const nn_job *j, const nn_node *k, int32_t v)
{
    return (float *)j->aux[v] + j->first * (k->aux / (int64_t)sizeof(float));
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t n = nn_rows(j, k), width = nn_width(k);
    const float *x = nn_row(j->value, k, k->in[0], j->first);
    float *y = nn_row(j->value, k, v, j->first), *kept = kept_by(j, k, v);
    for (int64_t i = 0; i < n; i++)
        normalise(x + i * width, j->weights + k->weight, j->weights + k->bias, width, (float)k->rate, y + i * width,
                  kept + 2 * i);
    return DAL_OK;
}

/* gradient: of gain, then of bias. */
DAL_CLONES static void add_gradient(const float *x, const float *dy, const float *kept, int64_t width,
                                    float *restrict gradient)
{
    for (int64_t i = 0; i < width; i++) {
        gradient[i] += dy[i] * ((x[i] - kept[0]) * kept[1]);
        gradient[width + i] += dy[i];
    }
}

DAL_CLONES static void back_row(const float *x, const float *dy, const float *gain, const float *kept, int64_t width,
                                int add, float *dx)
{
    const float mean = kept[0], inverse = kept[1];
    float lane[LANES] = {0}, product[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int l = 0; l < LANES; l++) {
            const float d = dy[i + l] * gain[i + l];
            lane[l] += d;
            product[l] += d * ((x[i + l] - mean) * inverse);
        }
    for (int l = 0; i + l < width; l++) {
        const float d = dy[i + l] * gain[i + l];
        lane[l] += d;
        product[l] += d * ((x[i + l] - mean) * inverse);
    }
    const float mean_d = sum_lanes(lane) / (float)width, mean_product = sum_lanes(product) / (float)width;
    for (i = 0; i < width; i++) {
        const float d = inverse * (dy[i] * gain[i] - mean_d - (x[i] - mean) * inverse * mean_product);
        dx[i] = add ? dx[i] + d : d;
    }
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t n = nn_rows(j, k), width = nn_width(k);
    const float *x = nn_row(j->value, k, k->in[0], j->first), *dy = nn_row(j->d, k, v, j->first),
        *kept = kept_by(j, k, v);
    float *gradient = nn_wants_gradient(j) ? nn_gradient_begin(j, k, 0) : NULL;
    for (int64_t i = 0; gradient && i < n; i++)
        add_gradient(x + i * width, dy + i * width, kept + 2 * i, width, gradient);
    const dal_status st = gradient ? nn_gradient_end(j, v, 0) : DAL_OK;
    if (st != DAL_OK || !j->d[k->in[0]])
        return st;
    float *dx = nn_row(j->d, k, k->in[0], j->first);
    for (int64_t i = 0; i < n; i++)
        back_row(x + i * width, dy + i * width, j->weights + k->weight, kept + 2 * i, width, !k->first_writer[0],
                 dx + i * width);
    return DAL_OK;
}

const nn_op nn_layer_norm_op = {"layer_norm", forward, backward};
