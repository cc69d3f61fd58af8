/* Batch normalisation of bf16 maps. Statistics as in f32: sums of a row of places in float, of these in
 * double, place by place whatever the processor. */
#include "nn_half.h"

#include <math.h>

#include "clones.h"

#define LANES 64 /* channels at a time */

static inline const nn_bf16 *read_at(float *const *rows, const nn_node *k, int32_t v, int64_t i, int64_t c)
{
    return (const nn_bf16 *)(const void *)nn_row(rows, k, v, i) + c;
}

static inline nn_bf16 *write_at(float *const *rows, const nn_node *k, int32_t v, int64_t i, int64_t c)
{
    return (nn_bf16 *)(void *)nn_row(rows, k, v, i) + c;
}

/* Of the channels from c on: what nn_norm_statistics and nn_norm_back_statistics left, or in a pass what it
 * remembers. */
typedef struct numbers {
    float scale[LANES], shift[LANES], mean[LANES], inverse[LANES], mean_dy[LANES], mean_product[LANES];
} numbers;

static int64_t numbers_of(const nn_job *j, int32_t v, int64_t c, numbers *to)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t lanes = k->c - c < LANES ? k->c - c : LANES;
    float *const row[NN_NORM_ROWS] = {to->scale, to->shift, to->mean, to->inverse, to->mean_dy, to->mean_product};
    memset(to, 0, sizeof *to);
    for (int64_t l = 0; l < lanes && !j->training; l++) {
        float of[NN_NORM_FORWARD];
        nn_norm_remembered(j, k, c + l, of);
        for (int r = 0; r < NN_NORM_FORWARD; r++)
            row[r][l] = of[r];
    }
    for (int r = 0; r < NN_NORM_ROWS && j->training; r++)
        memcpy(row[r], j->norm[v] + r * k->c + c, (size_t)lanes * sizeof(float));
    return lanes;
}

static float least_of(const nn_node *k)
{
    return k->flags & DAL_NN_RELU ? 0 : -INFINITY;
}

/* Places: n of them, `step` channels apart. */
static inline void sum_lanes(const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes, float *sum, float *squares)
{
    for (int64_t p = 0; p < n; p++)
        for (int64_t l = 0; l < lanes; l++) {
            const float value = nn_wide(x[p * step + l]);
            sum[l] += value;
            squares[l] += value * value;
        }
}

DAL_CLONES static void sum_places(const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes, double *sum,
                                  double *squares)
{
    float s[LANES] = {0}, q[LANES] = {0};
    if (lanes == LANES)
        sum_lanes(x, step, n, LANES, s, q);
    else
        sum_lanes(x, step, n, lanes, s, q);
    for (int64_t l = 0; l < lanes; l++) {
        sum[l] += (double)s[l];
        squares[l] += (double)q[l];
    }
}

static inline void forward_lanes(const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes, const numbers *m,
                                 float least, nn_bf16 *restrict y)
{
    for (int64_t p = 0; p < n; p++)
        for (int64_t l = 0; l < lanes; l++) {
            const float value = m->scale[l] * nn_wide(x[p * step + l]) + m->shift[l];
            y[p * step + l] = nn_narrow(value < least ? least : value); /* NaN stays */
        }
}

DAL_CLONES static void forward_places(const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes, const numbers *m,
                                      float least, nn_bf16 *y)
{
    if (lanes == LANES)
        forward_lanes(x, step, n, LANES, m, least, y);
    else
        forward_lanes(x, step, n, lanes, m, least, y);
}

/* least: 0 behind a ReLU, else -infinity: dy where y is not above it does not count. */
static inline void back_sum_lanes(const nn_bf16 *dy, const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes,
                                  const numbers *m, float least, float *restrict sum, float *restrict products)
{
    for (int64_t p = 0; p < n; p++)
        for (int64_t l = 0; l < lanes; l++) {
            const float value = nn_wide(x[p * step + l]), all = nn_wide(dy[p * step + l]);
            const float d = m->scale[l] * value + m->shift[l] > least ? all : 0;
            sum[l] += d;
            products[l] += d * ((value - m->mean[l]) * m->inverse[l]);
        }
}

DAL_CLONES static void back_sum_places(const nn_bf16 *dy, const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes,
                                       const numbers *m, float least, double *sum, double *products)
{
    float s[LANES] = {0}, q[LANES] = {0};
    if (lanes == LANES)
        back_sum_lanes(dy, x, step, n, LANES, m, least, s, q);
    else
        back_sum_lanes(dy, x, step, n, lanes, m, least, s, q);
    for (int64_t l = 0; l < lanes; l++) {
        sum[l] += (double)s[l];
        products[l] += (double)q[l];
    }
}

static inline void back_lanes(const nn_bf16 *dy, const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes,
                              const numbers *m, float least, int add, nn_bf16 *restrict dx)
{
    for (int64_t p = 0; p < n; p++)
        for (int64_t l = 0; l < lanes; l++) {
            const float value = nn_wide(x[p * step + l]), all = nn_wide(dy[p * step + l]);
            const float d = m->scale[l] * value + m->shift[l] > least ? all : 0;
            const float way = m->scale[l] * (d - m->mean_dy[l] - (value - m->mean[l]) * m->inverse[l] *
                                             m->mean_product[l]);
            dx[p * step + l] = nn_narrow(add ? nn_wide(dx[p * step + l]) + way : way);
        }
}

DAL_CLONES static void back_places(const nn_bf16 *dy, const nn_bf16 *x, int64_t step, int64_t n, int64_t lanes,
                                   const numbers *m, float least, int add, nn_bf16 *dx)
{
    if (lanes == LANES && add)
        back_lanes(dy, x, step, n, LANES, m, least, 1, dx);
    else if (lanes == LANES)
        back_lanes(dy, x, step, n, LANES, m, least, 0, dx);
    else
        back_lanes(dy, x, step, n, lanes, m, least, add, dx);
}

void nn_half_norm_sums(const nn_job *j, int32_t v, double *sums)
{
    const nn_node *k = &j->nn->node[v];
    memset(sums, 0, (size_t)(2 * k->c) * sizeof *sums);
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c += LANES)
            for (int64_t y = 0; y < k->h; y++)
                sum_places(read_at(j->value, k, k->in[0], i, y * k->w * k->c + c), k->c, k->w,
                           k->c - c < LANES ? k->c - c : LANES, sums + c, sums + k->c + c);
}

dal_status nn_half_norm_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    for (int64_t c = 0; c < k->c; c += LANES) {
        numbers m;
        const int64_t lanes = numbers_of(j, v, c, &m);
        for (int64_t i = j->first; i < j->first + j->n; i++)
            forward_places(read_at(j->value, k, k->in[0], i, c), k->c, k->h * k->w, lanes, &m, least_of(k),
                           write_at(j->value, k, v, i, c));
    }
    return DAL_OK;
}

void nn_half_norm_back_sums(const nn_job *j, int32_t v, double *sums)
{
    const nn_node *k = &j->nn->node[v];
    memset(sums, 0, (size_t)(2 * k->c) * sizeof *sums);
    for (int64_t c = 0; c < k->c; c += LANES) {
        numbers m;
        const int64_t lanes = numbers_of(j, v, c, &m);
        for (int64_t i = j->first; i < j->first + j->n; i++)
            for (int64_t y = 0; y < k->h; y++)
                back_sum_places(read_at(j->d, k, v, i, y * k->w * k->c + c),
                                read_at(j->value, k, k->in[0], i, y * k->w * k->c + c), k->c, k->w, lanes, &m,
                                least_of(k), sums + c, sums + k->c + c);
    }
}

dal_status nn_half_norm_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    for (int64_t c = 0; c < k->c && j->d[k->in[0]]; c += LANES) {
        numbers m;
        const int64_t lanes = numbers_of(j, v, c, &m);
        for (int64_t i = j->first; i < j->first + j->n; i++)
            back_places(read_at(j->d, k, v, i, c), read_at(j->value, k, k->in[0], i, c), k->c, k->h * k->w, lanes, &m,
                        least_of(k), !k->first_writer[0], write_at(j->d, k, k->in[0], i, c));
    }
    return DAL_OK;
}
