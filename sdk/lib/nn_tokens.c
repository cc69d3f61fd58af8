/* Texts: which tokens a sample has, their embedding, linear layers over them, and the vectors made of them. */
#include "nn_private.h"

#include <dal/linalg.h>

#include "clones.h"
#include "nn_onednn.h"
#include "nn_product.h"

/* ---- which tokens -------------------------------------------------------------------------------- */

/* The number of tokens of a row of ids; -1 with err filled where one is none. */
static int64_t measure(const dal_nn *nn, const int32_t *ids, dal_error *err)
{
    const int64_t longest = nn->node[0].size;
    int64_t n = 0;
    while (n < longest && ids[n] >= 0 && ids[n] < nn->vocabulary)
        n++;
    for (int64_t i = n; i < longest; i++)
        if (ids[i] != DAL_NN_NO_TOKEN) {
            if (i > n)
                dal_fail(err, DAL_E_INVALID, "", "token %lld of a text is %d behind its end at %lld", (long long)i,
                         (int)ids[i], (long long)n);
            else
                dal_fail(err, DAL_E_INVALID, "",
                         "token %lld of a text has id %d; the vocabulary of this network has 0..%lld", (long long)i,
                         (int)ids[i], (long long)nn->vocabulary - 1);
            return -1;
        }
    return n;
}

dal_status dal_nn_check_tokens(const dal_nn *nn, const int32_t *ids, dal_error *err)
{
    if (nn->vocabulary == 0)
        return dal_fail(err, DAL_E_INVALID, "", "this network does not take tokens");
    return measure(nn, ids, err) < 0 ? DAL_E_INVALID : DAL_OK;
}

/* A row of input, whose memory holds ids. */
static const int32_t *ids_of(const float *input)
{
    return (const int32_t *)(const void *)input;
}

dal_status nn_find_tokens(const dal_nn *nn, const float *input, int64_t n, int64_t *token_at, dal_error *err)
{
    token_at[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t here = measure(nn, ids_of(input + i * nn->node[0].size), err);
        if (here < 0)
            return DAL_E_INVALID;
        token_at[i + 1] = token_at[i] + here;
    }
    return DAL_OK;
}

/* ---- embedding ----------------------------------------------------------------------------------- */

typedef struct tables {
    int64_t words, positions, segments; /* where each begins; -1: none */
} tables;

static tables tables_of(const dal_nn *nn, const nn_node *k)
{
    const int64_t positions = nn->vocabulary * k->c, segments = positions + k->positions * k->c;
    return (tables){0, k->positions > 0 ? positions + k->first_position * k->c : -1, k->segments > 0 ? segments : -1};
}

static dal_status embedding_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const tables t = tables_of(j->nn, k);
    const float *table = j->weights + k->weight;
    float *y = nn_row(j->value, k, v, j->first);
    for (int64_t i = 0; i < j->n; i++) {
        const int32_t *ids = ids_of(nn_row(j->value, &j->nn->node[0], 0, j->first + i));
        const int64_t n = j->token_at[i + 1] - j->token_at[i];
        for (int64_t p = 0; p < n; p++, y += k->c) {
            nn_move(table + ids[p] * k->c, y, k->c, 0);
            if (t.positions >= 0)
                nn_move(table + t.positions + p * k->c, y, k->c, 1);
            if (t.segments >= 0)
                nn_move(table + t.segments, y, k->c, 1);
        }
    }
    return DAL_OK;
}

/* A text touches few rows of a large table, so they are added where the sum lies. */
static dal_status embedding_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const tables t = tables_of(j->nn, k);
    const float *dy = nn_row(j->d, k, v, j->first);
    float *gradient;
    if (!nn_wants_gradient(j))
        return DAL_OK;
    const dal_status st = nn_gradient_wait(j, v, 1, &gradient);
    for (int64_t i = 0; i < j->n && st == DAL_OK; i++) {
        const int32_t *ids = ids_of(nn_row(j->value, &j->nn->node[0], 0, j->first + i));
        const int64_t n = j->token_at[i + 1] - j->token_at[i];
        for (int64_t p = 0; p < n; p++, dy += k->c) {
            nn_move(dy, gradient + ids[p] * k->c, k->c, 1);
            if (t.positions >= 0)
                nn_move(dy, gradient + t.positions + p * k->c, k->c, 1);
            if (t.segments >= 0)
                nn_move(dy, gradient + t.segments, k->c, 1);
        }
    }
    if (st == DAL_OK)
        nn_gradient_done(j, v);
    return st;
}

const nn_op nn_embedding_op = {"embedding", embedding_forward, embedding_backward};

/* ---- linear, token by token ---------------------------------------------------------------------- */

/* In passes a sample's numbers must not depend on what is beside it: a product a sample, unless weights are ready.
 * While training there is one for all samples of a shard. */
typedef struct span {
    int64_t first, n; /* rows */
} span;

static span span_of(const nn_job *j, int64_t i)
{
    return j->tile ? (span){j->token_at[i], j->token_at[i + 1] - j->token_at[i]} : (span){0, j->token_at[j->n]};
}

static int64_t n_spans(const nn_job *j)
{
    return j->tile ? j->n : 1;
}

static dal_status linear_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const int64_t in = a->c, out = k->c;
    if (nn_is_token_product(j->nn, v))
        return nn_token_forward(j, v);
    const float *x = nn_row(j->value, a, k->in[0], j->first), *w = j->weights + k->weight;
    const float *ready = j->ready ? j->ready->weights[v] : NULL;
    const nn_product_walk walk = {1, in, 0, 1, in, NN_PANEL, in * NN_PANEL, out, NN_PANEL, 0};
    float *y = nn_row(j->value, k, v, j->first);
    dal_status st = DAL_OK;
    if (ready) /* a token gives the same bits in every row */
        nn_product(&walk, nn_rows(j, k), out, x, ready, y);
    for (int64_t i = 0; i < n_spans(j) && !ready && st == DAL_OK; i++) {
        const span s = span_of(j, i);
        st = dal_gemm_nt(s.n, out, in, 1, x + s.first * in, in, w, in, 0, y + s.first * out, out);
    }
    nn_add_bias(k->bias >= 0 ? j->weights + k->bias : NULL, nn_rows(j, k), out, (k->flags & DAL_NN_RELU) != 0, y);
    return st;
}

DAL_CLONES void nn_add_bias(const float *bias, int64_t n, int64_t width, int relu, float *y)
{
    for (int64_t i = 0; i < n && (bias || relu); i++, y += width) {
        for (int64_t l = 0; bias && l < width; l++)
            y[l] += bias[l];
        for (int64_t l = 0; relu && l < width; l++)
            y[l] = y[l] > 0 ? y[l] : 0;
    }
}

/* The sum over shards is made by the products themselves: with large layers, memory of their own would cost more than
 * waiting for the shard before, which is a layer ahead. */
dal_status nn_weights_gradient(const nn_job *j, int32_t v, int64_t n, const float *dy, const float *x, int64_t in,
                               int64_t ld)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t out = k->c;
    float *gradient;
    dal_status st = nn_gradient_wait(j, v, 0, &gradient);
    const int fresh = j->turns && j->turn == 0;
    float *bias = gradient + out * in;
    if (st != DAL_OK)
        return st;
    if (fresh && n == 0)
        memset(gradient, 0, (size_t)k->n_weights * sizeof *gradient);
    if (n > 0)
        st = dal_gemm_tn(out, in, n, 1, dy, out, x, ld, fresh ? 0 : 1, gradient, in);
    if (k->bias >= 0 && fresh)
        memset(bias, 0, (size_t)out * sizeof *bias);
    for (int64_t i = 0; k->bias >= 0 && i < n; i++)
        nn_move(dy + i * out, bias, out, 1);
    if (st == DAL_OK)
        nn_gradient_done(j, v);
    return st;
}

static dal_status linear_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const int64_t n = nn_rows(j, k), in = a->c, out = k->c;
    if (nn_is_token_product(j->nn, v))
        return nn_token_backward(j, v);
    float *dy = nn_row(j->d, k, v, j->first);
    dal_status st = DAL_OK;
    if (k->flags & DAL_NN_RELU)
        nn_relu_back(nn_row(j->value, k, v, j->first), dy, n * out);
    if (nn_wants_gradient(j))
        st = nn_weights_gradient(j, v, n, dy, nn_row(j->value, a, k->in[0], j->first), in, in);
    if (st != DAL_OK || !j->d[k->in[0]])
        return st;
    float *dx = nn_row(j->d, a, k->in[0], j->first);
    for (int64_t i = 0; i < n_spans(j) && st == DAL_OK; i++) {
        const span s = span_of(j, i);
        st = dal_gemm_nn(s.n, in, out, 1, dy + s.first * out, out, j->weights + k->weight, in,
                         k->first_writer[0] ? 0 : 1, dx + s.first * in, in);
    }
    return st;
}

const nn_op nn_token_linear_op = {"linear", linear_forward, linear_backward};

/* ---- a vector of all tokens ---------------------------------------------------------------------- */

static dal_status mean_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const float *x = nn_row(j->value, a, k->in[0], j->first);
    for (int64_t i = 0; i < j->n; i++) {
        const int64_t n = j->token_at[i + 1] - j->token_at[i];
        float *y = nn_row(j->value, k, v, j->first + i);
        memset(y, 0, (size_t)k->size * sizeof *y);
        for (int64_t p = 0; p < n; p++, x += k->size)
            nn_move(x, y, k->size, 1);
        for (int64_t l = 0; n > 0 && l < k->size; l++)
            y[l] /= (float)n;
    }
    return DAL_OK;
}

DAL_CLONES static void share_out(const float *dy, float share, int64_t n, int add, float *dx)
{
    for (int64_t l = 0; l < n; l++)
        dx[l] = add ? dx[l] + share * dy[l] : share * dy[l];
}

static dal_status mean_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    if (!j->d[k->in[0]])
        return DAL_OK;
    float *dx = nn_row(j->d, a, k->in[0], j->first);
    for (int64_t i = 0; i < j->n; i++) {
        const int64_t n = j->token_at[i + 1] - j->token_at[i];
        for (int64_t p = 0; p < n; p++, dx += k->size)
            share_out(nn_row(j->d, k, v, j->first + i), 1 / (float)n, k->size, !k->first_writer[0], dx);
    }
    return DAL_OK;
}

const nn_op nn_token_mean_op = {"token_mean", mean_forward, mean_backward};

static dal_status first_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    for (int64_t i = 0; i < j->n; i++) {
        float *y = nn_row(j->value, k, v, j->first + i);
        if (j->token_at[i + 1] > j->token_at[i])
            nn_move(nn_row(j->value, a, k->in[0], j->first) + j->token_at[i] * k->size, y, k->size, 0);
        else
            memset(y, 0, (size_t)k->size * sizeof *y);
    }
    return DAL_OK;
}

static dal_status first_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    if (!j->d[k->in[0]])
        return DAL_OK;
    float *dx = nn_row(j->d, a, k->in[0], j->first);
    if (k->first_writer[0])
        memset(dx, 0, (size_t)nn_count(j, a) * sizeof *dx);
    for (int64_t i = 0; i < j->n; i++)
        if (j->token_at[i + 1] > j->token_at[i])
            nn_move(nn_row(j->d, k, v, j->first + i), dx + j->token_at[i] * k->size, k->size, 1);
    return DAL_OK;
}

const nn_op nn_first_token_op = {"first_token", first_forward, first_backward};
