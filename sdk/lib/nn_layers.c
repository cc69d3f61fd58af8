/* Linear layers, ReLU, sums, pooling, dropout. */
#include "nn_private.h"
#include "nn_window.h"

#include <dal/linalg.h>
#include <math.h>

#include "clones.h"
#include "nn_half.h"
#include "nn_layout.h"
#include "nn_product.h"

DAL_CLONES void nn_relu(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] > 0 ? x[i] : 0;
}

DAL_CLONES void nn_relu_back(const float *y, float *d, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        d[i] = y[i] > 0 ? d[i] : 0;
}

DAL_CLONES void nn_move(const float *from, float *to, int64_t n, int add)
{
    if (!add) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

static const nn_node *node_of(const nn_job *j, int32_t v)
{
    return &j->nn->node[v];
}

/* ---- linear ------------------------------------------------------------------------------------ */

static void transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < cols; c++)
            to[c * rows + i] = from[i * cols + c];
}

/* Samples as the columns of a product of fixed width: a sample gives the same bits in every column. */
static dal_status tile_forward(const nn_job *j, const nn_node *k, const float *x, float *y)
{
    const int64_t in = node_of(j, k->in[0])->size, out = k->size;
    float *sums = j->scratch;
    const dal_status st = dal_gemm_nt(out, DAL_NN_TILE, in, 1, j->weights + k->weight, in, x, in, 0, sums, DAL_NN_TILE);
    transpose(sums, out, DAL_NN_TILE, y);
    return st;
}

/* By weights in panels, where a sample gives the same bits in every row. */
static void ready_forward(const nn_job *j, int32_t v, const float *x, float *y)
{
    const int64_t in = node_of(j, node_of(j, v)->in[0])->size, out = node_of(j, v)->size;
    const nn_product_walk w = {1, in, 0, 1, in, NN_PANEL, in * NN_PANEL, NN_PANEL, j->n * NN_PANEL, 0};
    float *sums = j->scratch;
    nn_product(&w, j->n, nn_product_packed(out, 1), x, j->ready->weights[v], sums);
    for (int64_t c = 0; c < out; c += NN_PANEL)
        for (int64_t i = 0; i < j->n; i++)
            memcpy(y + i * out + c, sums + (c * j->n + i * NN_PANEL),
                   (size_t)(out - c < NN_PANEL ? out - c : NN_PANEL) * sizeof *y);
}

static dal_status linear_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    const float *x = nn_row(j->value, in, k->in[0], j->first);
    float *y = nn_row(j->value, k, v, j->first);
    dal_status st = DAL_OK;
    if (j->ready && j->ready->weights[v])
        ready_forward(j, v, x, y);
    else
        st = j->tile ? tile_forward(j, k, x, y)
                     : dal_gemm_nt(j->n, k->size, in->size, 1, x, in->size, j->weights + k->weight, in->size, 0, y,
                                   k->size);
    for (int64_t i = 0; k->bias >= 0 && i < j->n; i++)
        nn_move(j->weights + k->bias, y + i * k->size, k->size, 1);
    if (k->flags & DAL_NN_RELU)
        nn_relu(y, j->n * k->size);
    return st;
}

static dal_status tile_backward(const nn_job *j, const nn_node *k, const float *dy, float *dx, int add)
{
    const int64_t in = node_of(j, k->in[0])->size, out = k->size;
    float *columns = j->scratch, *sums = columns + DAL_NN_TILE * out;
    transpose(dy, DAL_NN_TILE, out, columns);
    const dal_status st = dal_gemm_tn(in, DAL_NN_TILE, out, 1, j->weights + k->weight, in, columns, DAL_NN_TILE, 0,
                                      sums, DAL_NN_TILE);
    for (int64_t i = 0; i < j->n; i++)
        for (int64_t c = 0; c < in; c++)
            dx[i * in + c] = sums[c * DAL_NN_TILE + i] + (add ? dx[i * in + c] : 0);
    return st;
}

static dal_status linear_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    const float *x = nn_row(j->value, in, k->in[0], j->first);
    float *dy = nn_row(j->d, k, v, j->first);
    dal_status st = DAL_OK;
    if (k->flags & DAL_NN_RELU)
        nn_relu_back(nn_row(j->value, k, v, j->first), dy, j->n * k->size);
    const int sliced = j->turns && nn_linear_slices(j->nn, v) > 0;
    float *gradient = nn_wants_gradient(j) && !sliced ? nn_gradient_begin(j, k, 0) : NULL;
    if (gradient)
        st = dal_gemm_tn(k->size, in->size, j->n, 1, dy, k->size, x, in->size, 1, gradient, in->size);
    for (int64_t i = 0; gradient && k->bias >= 0 && i < j->n; i++)
        nn_move(dy + i * k->size, gradient + k->bias - k->weight, k->size, 1);
    if (gradient && st == DAL_OK)
        st = nn_gradient_end(j, v, 0);
    if (st != DAL_OK || !j->d[k->in[0]])
        return st;
    float *dx = nn_row(j->d, in, k->in[0], j->first);
    return j->tile ? tile_backward(j, k, dy, dx, !k->first_writer[0])
                   : dal_gemm_nn(j->n, in->size, k->size, 1, dy, k->size, j->weights + k->weight, in->size,
                                 k->first_writer[0] ? 0 : 1, dx, in->size);
}

int64_t nn_linear_slices(const dal_nn *nn, int32_t v)
{
    return nn->node[v].op == &nn_linear_op && nn_product_has_kernel() ? (nn->node[v].size + NN_PANEL - 1) / NN_PANEL
        : 0;
}

void nn_linear_slice(const nn_job *j, int32_t v, int64_t slice)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    const int64_t first = slice * NN_PANEL, rows = k->size - first < NN_PANEL ? k->size - first : NN_PANEL;
    const nn_product_walk w = {1, j->n, 0, k->size, 1, in->size, NN_PANEL, in->size, NN_PANEL, 0};
    const float *dy = nn_row(j->d, k, v, j->first) + first;
    float *bias = k->bias >= 0 ? j->turns->sum + k->bias + first : NULL;
    nn_product(&w, rows, in->size, dy, nn_row(j->value, in, k->in[0], j->first), j->turns->sum + k->weight + first *
               in->size);
    if (bias)
        memset(bias, 0, (size_t)rows * sizeof *bias);
    for (int64_t i = 0; bias && i < j->n; i++)
        nn_move(dy + i * k->size, bias, rows, 1);
}

const nn_op nn_linear_op = {"linear", linear_forward, linear_backward};

/* ---- ReLU and sums ------------------------------------------------------------------------------ */

static dal_status relu_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v);
    const int64_t n = nn_count(j, k);
    if (k->half)
        return nn_half_relu_forward(j, v);
    float *y = nn_row(j->value, k, v, j->first);
    nn_move(nn_row(j->value, k, k->in[0], j->first), y, n, 0);
    nn_relu(y, n);
    return DAL_OK;
}

static dal_status relu_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v);
    const int64_t n = nn_count(j, k);
    if (k->half)
        return nn_half_relu_backward(j, v);
    float *dy = nn_row(j->d, k, v, j->first);
    nn_relu_back(nn_row(j->value, k, v, j->first), dy, n);
    if (j->d[k->in[0]])
        nn_move(dy, nn_row(j->d, k, k->in[0], j->first), n, !k->first_writer[0]);
    return DAL_OK;
}

const nn_op nn_relu_op = {"relu", relu_forward, relu_backward};

/* least: 0 for ReLU, else -infinity. y may be a or b. */
DAL_CLONES static void sum_of(const float *a, const float *b, float least, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        const float sum = a[i] + b[i];
        y[i] = sum < least ? least : sum; /* NaN stays */
    }
}

static dal_status add_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v);
    if (k->half)
        return nn_half_add_forward(j, v);
    if (node_of(j, k->in[1])->folded) {
        nn_dropout_add(j, v);
        return DAL_OK;
    }
    sum_of(nn_row(j->value, k, k->in[0], j->first), nn_row(j->value, k, k->in[1], j->first),
           k->flags & DAL_NN_RELU ? 0 : -INFINITY, nn_count(j, k), nn_row(j->value, k, v, j->first));
    return DAL_OK;
}

/* A piece after the other, so that both inputs get it from the cache. */
static dal_status add_backward(const nn_job *j, int32_t v)
{
    enum { PIECE = 2048 };
    const nn_node *k = node_of(j, v);
    if (k->half)
        return nn_half_add_backward(j, v);
    const int64_t count = nn_count(j, k);
    const float *y = nn_row(j->value, k, v, j->first);
    float *dy = nn_row(j->d, k, v, j->first);
    for (int64_t at = 0; at < count; at += PIECE) {
        const int64_t n = count - at < PIECE ? count - at : PIECE;
        if (k->flags & DAL_NN_RELU)
            nn_relu_back(y + at, dy + at, n);
        for (int i = 0; i < 2; i++)
            if (j->d[k->in[i]] && j->d[k->in[i]] != j->d[v]) /* see plan_sum */
                nn_move(dy + at, nn_row(j->d, k, k->in[i], j->first) + at, n, !k->first_writer[i]);
    }
    return DAL_OK;
}

const nn_op nn_add_op = {"add", add_forward, add_backward};

/* ---- pooling ------------------------------------------------------------------------------------ */

static void max_map(const nn_node *k, const nn_node *in, const float *x, float *y, int32_t *from)
{
    for (int64_t oy = 0; oy < k->h; oy++)
        for (int64_t ox = 0; ox < k->w; ox++, y++, from++) {
            const window s = window_at(k, in, oy, ox);
            int64_t best = s.y0 * in->w + s.x0;
            for (int64_t iy = s.y0; iy < s.y1; iy++)
                for (int64_t ix = s.x0; ix < s.x1; ix++)
                    best = x[iy * in->w + ix] > x[best] ? iy * in->w + ix : best; /* ties: the first */
            *y = x[best];
            *from = (int32_t)best;
        }
}

static dal_status max_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    if (in->half)
        return nn_half_max_forward(j, v);
    if (in->block > 1)
        return nn_strips_max_forward(j, v);
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c++)
            max_map(k, in, nn_row(j->value, in, k->in[0], i) + c * in->h * in->w,
                    nn_row(j->value, k, v, i) + c * k->h * k->w, (int32_t *)j->aux[v] + i * k->size + c * k->h * k->w);
    return DAL_OK;
}

static dal_status max_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    if (in->half)
        return nn_half_max_backward(j, v);
    if (in->block > 1)
        return nn_strips_max_backward(j, v);
    if (!j->d[k->in[0]])
        return DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        float *dx = nn_row(j->d, in, k->in[0], i);
        const float *dy = nn_row(j->d, k, v, i);
        const int32_t *from = (const int32_t *)j->aux[v] + i * k->size;
        if (k->first_writer[0])
            memset(dx, 0, (size_t)in->size * sizeof *dx);
        for (int64_t c = 0; c < k->c; c++)
            for (int64_t p = 0; p < k->h * k->w; p++)
                dx[c * in->h * in->w + from[c * k->h * k->w + p]] += dy[c * k->h * k->w + p];
    }
    return DAL_OK;
}

const nn_op nn_max_pool_op = {"max_pool", max_forward, max_backward};

static double places_of(const nn_node *k, const nn_node *in)
{
    return k->kernel ? (double)(k->kernel * k->kernel) : (double)(in->h * in->w);
}

static dal_status avg_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    const float share = (float)(1 / places_of(k, in));
    if (in->half)
        return nn_half_avg_forward(j, v);
    if (in->block > 1)
        return nn_strips_avg_forward(j, v);
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t at = 0; at < k->size; at++) {
            const int64_t c = at / (k->h * k->w), place = at % (k->h * k->w);
            const float *x = nn_row(j->value, in, k->in[0], i) + c * in->h * in->w;
            const window s = window_at(k, in, place / k->w, place % k->w);
            float sum = 0;
            for (int64_t iy = s.y0; iy < s.y1; iy++)
                for (int64_t ix = s.x0; ix < s.x1; ix++)
                    sum += x[iy * in->w + ix];
            nn_row(j->value, k, v, i)[at] = share * sum;
        }
    return DAL_OK;
}

static dal_status avg_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = node_of(j, v), *in = node_of(j, k->in[0]);
    const float share = (float)(1 / places_of(k, in));
    if (in->half)
        return nn_half_avg_backward(j, v);
    if (in->block > 1)
        return nn_strips_avg_backward(j, v);
    if (!j->d[k->in[0]])
        return DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        float *dx = nn_row(j->d, in, k->in[0], i);
        const float *dy = nn_row(j->d, k, v, i);
        if (k->first_writer[0])
            memset(dx, 0, (size_t)in->size * sizeof *dx);
        for (int64_t at = 0; at < k->size; at++) {
            const int64_t c = at / (k->h * k->w), place = at % (k->h * k->w);
            const window s = window_at(k, in, place / k->w, place % k->w);
            for (int64_t iy = s.y0; iy < s.y1; iy++)
                for (int64_t ix = s.x0; ix < s.x1; ix++)
                    dx[c * in->h * in->w + iy * in->w + ix] += share * dy[at];
        }
    }
    return DAL_OK;
}

const nn_op nn_avg_pool_op = {"avg_pool", avg_forward, avg_backward};
