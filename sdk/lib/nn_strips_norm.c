/* Batch normalisation where channels lie together, eight at a time. What ReLU let through is known from the input. */
#include "nn_layout.h"

#include <math.h>

#include "clones.h"

#define L NN_LANES

/* Of eight channels: y = scale x + shift; mean, 1 / deviation; the means of dy and dy xhat (0: statistics are
 * constants). */
typedef struct numbers {
    float scale[L], shift[L], mean[L], inverse[L], mean_dy[L], mean_product[L];
} numbers;

static numbers numbers_of(const nn_job *j, int32_t v, int64_t c)
{
    const nn_node *k = &j->nn->node[v];
    numbers n;
    memset(&n, 0, sizeof n);
    for (int64_t l = 0; l < L && j->training; l++) {
        const float *of = j->norm[v] + c + l;
        n.scale[l] = of[NN_NORM_SCALE * k->c];
        n.shift[l] = of[NN_NORM_SHIFT * k->c];
        n.mean[l] = of[NN_NORM_MEAN * k->c];
        n.inverse[l] = of[NN_NORM_INVERSE * k->c];
        n.mean_dy[l] = of[NN_NORM_MEAN_DY * k->c];
        n.mean_product[l] = of[NN_NORM_MEAN_PRODUCT * k->c];
    }
    for (int64_t l = 0; l < L && !j->training; l++) {
        const double mean = (double)j->state[k->state + c + l], variance = (double)j->state[k->state + k->c + c + l];
        const double inverse = 1 / sqrt(variance + NN_NORM_EPS), gain = (double)j->weights[k->weight + c + l];
        n.scale[l] = (float)(gain * inverse);
        n.shift[l] = (float)((double)j->weights[k->bias + c + l] - gain * inverse * mean);
        n.mean[l] = (float)mean;
        n.inverse[l] = (float)inverse;
    }
    return n;
}

DAL_CLONES static void sum_strip(const float *x, int64_t step, int64_t n, double *restrict sum,
                                 double *restrict squares)
{
    double s[L], q[L];
    for (int l = 0; l < L; l++) {
        s[l] = sum[l];
        q[l] = squares[l];
    }
    for (int64_t p = 0; p < n; p++)
        for (int l = 0; l < L; l++) {
            const double value = (double)x[p * step + l];
            s[l] += value;
            q[l] += value * value;
        }
    for (int l = 0; l < L; l++) {
        sum[l] = s[l];
        squares[l] = q[l];
    }
}

DAL_CLONES static void forward_strip(const float *x, int64_t step, int64_t n, const numbers *k, float least, float *y)
{
    const numbers m = *k;
    for (int64_t p = 0; p < n; p++)
        for (int l = 0; l < L; l++) {
            const float value = m.scale[l] * x[p * step + l] + m.shift[l];
            y[p * step + l] = value < least ? least : value; /* NaN stays */
        }
}

/* least: 0 behind a ReLU, else -infinity: dy where y is not above it does not count. */
DAL_CLONES static void back_sum_strip(const float *dy, const float *x, int64_t step, int64_t n, const numbers *k,
                                      float least, double *restrict sum, double *restrict products)
{
    const numbers m = *k;
    double s[L], q[L];
    for (int l = 0; l < L; l++) {
        s[l] = sum[l];
        q[l] = products[l];
    }
    for (int64_t p = 0; p < n; p++)
        for (int l = 0; l < L; l++) {
            const float value = x[p * step + l];
            const float d = m.scale[l] * value + m.shift[l] > least ? dy[p * step + l] : 0;
            s[l] += (double)d;
            q[l] += (double)(d * ((value - m.mean[l]) * m.inverse[l]));
        }
    for (int l = 0; l < L; l++) {
        sum[l] = s[l];
        products[l] = q[l];
    }
}

DAL_CLONES static void back_strip(const float *dy, const float *x, int64_t step, int64_t n, const numbers *k,
                                  float least, int add, float *dx)
{
    const numbers m = *k;
    for (int64_t p = 0; p < n; p++)
#pragma GCC ivdep /* dx may be dy */
        for (int l = 0; l < L; l++) {
            const float value = x[p * step + l];
            const float d = m.scale[l] * value + m.shift[l] > least ? dy[p * step + l] : 0;
            const float way = m.scale[l] * (d - m.mean_dy[l] - (value - m.mean[l]) * m.inverse[l] * m.mean_product[l]);
            dx[p * step + l] = add ? dx[p * step + l] + way : way;
        }
}

static float least_of(const nn_node *k)
{
    return k->flags & DAL_NN_RELU ? 0 : -INFINITY;
}

/* A strip of all samples of a job. Of maps of one place the samples are the places. */
typedef struct walk {
    int64_t samples, places, step;
} walk;

static walk walk_of(const nn_job *j, const nn_node *k)
{
    return k->h * k->w == 1 ? (walk){1, j->n, k->size} : (walk){j->n, k->h * k->w, k->block};
}

void nn_strips_norm_sums(const nn_job *j, int32_t v, double *sums)
{
    const nn_node *k = &j->nn->node[v];
    const walk w = walk_of(j, k);
    memset(sums, 0, (size_t)(2 * k->c) * sizeof *sums);
    for (int64_t i = 0; i < w.samples; i++)
        for (int64_t c = 0; c < k->c; c += L)
            sum_strip(nn_row(j->value, k, k->in[0], j->first + i) + nn_strip_at(k, c).first, w.step, w.places, sums + c,
                      sums + k->c + c);
}

/* Strips that share cache lines follow each other, of sample after sample: channels from..to. */
#define MOST_STRIPS 2
typedef struct strips {
    int64_t from, to;
    numbers of[MOST_STRIPS];
} strips;

static strips strips_at(const nn_job *j, int32_t v, int64_t c)
{
    strips s = {.from = c, .to = c + (j->nn->node[v].block == MOST_STRIPS * L ? MOST_STRIPS * L : L)};
    for (int64_t at = s.from; at < s.to; at += L)
        s.of[(at - s.from) / L] = numbers_of(j, v, at);
    return s;
}

typedef void each_strip(const nn_job *j, int32_t v, int64_t sample, int64_t c, const walk *w, const numbers *m,
                        void *ctx);

static void for_strips(const nn_job *j, int32_t v, each_strip *run, void *ctx)
{
    const walk w = walk_of(j, &j->nn->node[v]);
    for (int64_t c = 0; c < j->nn->node[v].c;) {
        const strips all = strips_at(j, v, c);
        for (int64_t i = 0; i < w.samples; i++)
            for (c = all.from; c < all.to; c += L)
                run(j, v, j->first + i, c, &w, &all.of[(c - all.from) / L], ctx);
        c = all.to;
    }
}

static void forward_of(const nn_job *j, int32_t v, int64_t sample, int64_t c, const walk *w, const numbers *m,
                       void *ctx)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t at = nn_strip_at(k, c).first;
    (void)ctx;
    forward_strip(nn_row(j->value, k, k->in[0], sample) + at, w->step, w->places, m, least_of(k),
                  nn_row(j->value, k, v, sample) + at);
}

dal_status nn_strips_norm_forward(const nn_job *j, int32_t v)
{
    for_strips(j, v, forward_of, NULL);
    return DAL_OK;
}

/* ctx: sums [2 c] */
static void back_sums_of(const nn_job *j, int32_t v, int64_t sample, int64_t c, const walk *w, const numbers *m,
                         void *ctx)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t at = nn_strip_at(k, c).first;
    double *sums = ctx;
    back_sum_strip(nn_row(j->d, k, v, sample) + at, nn_row(j->value, k, k->in[0], sample) + at, w->step, w->places, m,
                   least_of(k), sums + c, sums + k->c + c);
}

void nn_strips_norm_back_sums(const nn_job *j, int32_t v, double *sums)
{
    memset(sums, 0, (size_t)(2 * j->nn->node[v].c) * sizeof *sums);
    for_strips(j, v, back_sums_of, sums);
}

/* In passes gain and bias get their gradient of one sample here. */
static void gradient_of(const nn_job *j, int32_t v, int64_t sample, int64_t c, const walk *w, const numbers *m,
                        void *ctx)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t at = nn_strip_at(k, c).first;
    double sums[L] = {0}, products[L] = {0};
    (void)ctx;
    back_sum_strip(nn_row(j->d, k, v, sample) + at, nn_row(j->value, k, k->in[0], sample) + at, w->step, w->places, m,
                   least_of(k), sums, products);
    for (int64_t l = 0; l < L; l++) {
        j->gradient[k->bias + c + l] += (float)sums[l];
        j->gradient[k->weight + c + l] += (float)products[l];
    }
}

static void back_of(const nn_job *j, int32_t v, int64_t sample, int64_t c, const walk *w, const numbers *m, void *ctx)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t at = nn_strip_at(k, c).first;
    (void)ctx;
    back_strip(nn_row(j->d, k, v, sample) + at, nn_row(j->value, k, k->in[0], sample) + at, w->step, w->places, m,
               least_of(k), !k->first_writer[0], nn_row(j->d, k, k->in[0], sample) + at);
}

dal_status nn_strips_norm_backward(const nn_job *j, int32_t v)
{
    if (!j->training && j->gradient)
        for_strips(j, v, gradient_of, NULL);
    if (j->d[j->nn->node[v].in[0]])
        for_strips(j, v, back_of, NULL);
    return DAL_OK;
}

DAL_CLONES static void shift_strip(const float *bias, int64_t step, int64_t n, float *y)
{
    float b[L];
    memcpy(b, bias, sizeof b);
    for (int64_t p = 0; p < n; p++)
        for (int l = 0; l < L; l++)
            y[p * step + l] += b[l];
}

void nn_strips_add_bias(const nn_node *k, int64_t n, const float *bias, float *y)
{
    const int64_t map = k->h * k->w;
    for (int64_t i = 0; i < n; i++, y += k->size) {
        for (int64_t c = 0; k->block > 1 && c < k->c; c += L)
            shift_strip(bias + c, k->block, map, y + nn_strip_at(k, c).first);
        for (int64_t at = 0; k->block == 1 && at < k->size; at++)
            y[at] += bias[at / map];
    }
}
