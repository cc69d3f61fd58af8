/* Convolutions over tokens, and the largest of each map (Kim, "Convolutional neural networks for sentence
 * classification", EMNLP 2014). Texts lie in scratch with kernel - 1 rows of zeros before, between and behind them;
 * then a tap of the kernel is one product over all rows. In passes each text goes alone, so that its numbers do not
 * depend on others. */
#include "nn_private.h"

#include <dal/linalg.h>

#include "clones.h"
#include "nn_packed.h"
#include "nn_token_tiles.h"

/* Samples first..end-1 of the job, and what a kernel sees of them. */
typedef struct group {
    int64_t first, end, rows; /* rows: windows, some of them between texts */
    float *x, *y, *dx;        /* [rows + kernel - 1, in], [rows, out], as x */
} group;

static int64_t length(const nn_job *j, int64_t i)
{
    return j->token_at[i + 1] - j->token_at[i];
}

/* The group that begins with sample first. */
static group group_at(const nn_job *j, const nn_node *k, int64_t in, int64_t first)
{
    const int64_t room = nn_token_conv_rows(k);
    group g = {.first = first, .end = first, .x = j->scratch};
    while (g.end < j->n && g.rows + length(j, g.end) + k->kernel - 1 <= room && (g.end == first || !j->tile))
        g.rows += length(j, g.end++) + k->kernel - 1;
    g.y = g.x + (room + k->kernel - 1) * in;
    g.dx = g.y + room * k->c;
    return g;
}

/* Calls the loop body with the row of sample i in x and in y: tokens begin (kernel - 1) / 2 rows later in x. */
#define FOR_SAMPLES(j, k, g, i, at) \
    for (int64_t i = (g).first, at = 0; i < (g).end; at += length(j, i) + (k)->kernel - 1, i++)

static void lay_out(const nn_job *j, const nn_node *k, const nn_node *a, const group *g)
{
    const float *x = nn_row(j->value, a, k->in[0], j->first);
    const int64_t before = (k->kernel - 1) / 2;
    memset(g->x, 0, (size_t)((g->rows + k->kernel - 1) * a->c) * sizeof *x);
    FOR_SAMPLES(j, k, *g, i, at)
        nn_move(x + j->token_at[i] * a->c, g->x + (at + before) * a->c, length(j, i) * a->c, 0);
}

static dal_status by_products(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const int64_t in = a->c, out = k->c;
    float *y = nn_row(j->value, k, v, j->first);
    dal_status st = DAL_OK;
    for (group g = {0}; g.end < j->n && st == DAL_OK;) {
        g = group_at(j, k, in, g.end);
        lay_out(j, k, a, &g);
        for (int64_t t = 0; t < k->kernel && st == DAL_OK; t++)
            st = dal_gemm_nt(g.rows, out, in, 1, g.x + t * in, in, j->weights + k->weight + t * in, k->kernel * in,
                             t > 0 ? 1 : 0, g.y, out);
        FOR_SAMPLES(j, k, g, i, at)
            nn_move(g.y + at * out, y + j->token_at[i] * out, length(j, i) * out, 0);
    }
    return st;
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const float *packed = nn_packed_of(j, v);
    dal_status st = DAL_OK;
    if (packed)
        nn_token_tiles_forward(j, v, packed);
    else
        st = by_products(j, v);
    nn_add_bias(k->bias >= 0 ? j->weights + k->bias : NULL, nn_rows(j, k), k->c, (k->flags & DAL_NN_RELU) != 0,
                nn_row(j->value, k, v, j->first));
    return st;
}

static void spread(const nn_job *j, const nn_node *k, const float *dy, const group *g)
{
    memset(g->y, 0, (size_t)(g->rows * k->c) * sizeof *dy);
    FOR_SAMPLES(j, k, *g, i, at)
        nn_move(dy + j->token_at[i] * k->c, g->y + at * k->c, length(j, i) * k->c, 0);
}

static dal_status backward_weights(const nn_job *j, int32_t v, const float *dy, float *gradient)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const int64_t in = a->c, out = k->c;
    dal_status st = DAL_OK;
    for (group g = {0}; g.end < j->n && st == DAL_OK;) {
        g = group_at(j, k, in, g.end);
        lay_out(j, k, a, &g);
        spread(j, k, dy, &g);
        for (int64_t t = 0; t < k->kernel && st == DAL_OK && g.rows > 0; t++)
            st = dal_gemm_tn(out, in, g.rows, 1, g.y, out, g.x + t * in, in, 1, gradient + t * in, k->kernel * in);
    }
    return st;
}

static dal_status backward_input(const nn_job *j, int32_t v, const float *dy)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const int64_t in = a->c, out = k->c, before = (k->kernel - 1) / 2;
    float *dx = nn_row(j->d, a, k->in[0], j->first);
    dal_status st = DAL_OK;
    for (group g = {0}; g.end < j->n && st == DAL_OK;) {
        g = group_at(j, k, in, g.end);
        spread(j, k, dy, &g);
        memset(g.dx, 0, (size_t)((g.rows + k->kernel - 1) * in) * sizeof *dx);
        for (int64_t t = 0; t < k->kernel && st == DAL_OK; t++)
            st = dal_gemm_nn(g.rows, in, out, 1, g.y, out, j->weights + k->weight + t * in, k->kernel * in, 1,
                             g.dx + t * in, in);
        FOR_SAMPLES(j, k, g, i, at)
            nn_move(g.dx + (at + before) * in, dx + j->token_at[i] * in, length(j, i) * in, !k->first_writer[0]);
    }
    return st;
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    float *dy = nn_row(j->d, k, v, j->first), *gradient = nn_wants_gradient(j) ? nn_gradient_begin(j, k, 0) : NULL;
    const float *packed = nn_packed_of(j, v);
    dal_status st = DAL_OK;
    if (k->flags & DAL_NN_RELU)
        nn_relu_back(nn_row(j->value, k, v, j->first), dy, nn_count(j, k));
    if (packed)
        nn_token_tiles_backward(j, v, packed, dy, gradient);
    else if (gradient)
        st = backward_weights(j, v, dy, gradient);
    for (int64_t i = 0; gradient && k->bias >= 0 && i < nn_rows(j, k); i++)
        nn_move(dy + i * k->c, gradient + k->bias - k->weight, k->c, 1);
    if (st == DAL_OK && gradient)
        st = nn_gradient_end(j, v, 0);
    return st == DAL_OK && !packed && j->d[k->in[0]] ? backward_input(j, v, dy) : st;
}

const nn_op nn_token_conv_op = {"token_conv", forward, backward};

/* ---- the largest --------------------------------------------------------------------------------- */

/* y [n] = max(x, y), from = p where x is larger: ties keep the first. */
DAL_CLONES static void larger(const float *x, int32_t p, int64_t n, float *restrict y, int32_t *restrict from)
{
    for (int64_t l = 0; l < n; l++) {
        from[l] = x[l] > y[l] ? p : from[l];
        y[l] = x[l] > y[l] ? x[l] : y[l];
    }
}

static dal_status max_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    for (int64_t i = 0; i < j->n; i++) {
        const float *x = nn_row(j->value, a, k->in[0], j->first) + j->token_at[i] * k->c;
        float *y = nn_row(j->value, k, v, j->first + i);
        int32_t *from = (int32_t *)j->aux[v] + (j->first + i) * k->c;
        memset(y, 0, (size_t)k->c * sizeof *y);
        memset(from, 0, (size_t)k->c * sizeof *from);
        if (length(j, i) > 0)
            nn_move(x, y, k->c, 0);
        for (int64_t p = 1; p < length(j, i); p++)
            larger(x + p * k->c, (int32_t)p, k->c, y, from);
    }
    return DAL_OK;
}

static dal_status max_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    if (!j->d[k->in[0]])
        return DAL_OK;
    float *all = nn_row(j->d, a, k->in[0], j->first);
    if (k->first_writer[0])
        memset(all, 0, (size_t)nn_count(j, a) * sizeof *all);
    for (int64_t i = 0; i < j->n; i++) {
        const int32_t *from = (const int32_t *)j->aux[v] + (j->first + i) * k->c;
        const float *dy = nn_row(j->d, k, v, j->first + i);
        float *dx = all + j->token_at[i] * k->c;
        for (int64_t l = 0; l < k->c && length(j, i) > 0; l++)
            dx[from[l] * k->c + l] += dy[l];
    }
    return DAL_OK;
}

const nn_op nn_token_max_op = {"token_max", max_forward, max_backward};

/* ---- vectors side by side ------------------------------------------------------------------------ */

static dal_status join_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        float *y = nn_row(j->value, k, v, i);
        for (int s = 0; s < 2; s++) {
            const nn_node *a = &j->nn->node[k->in[s]];
            nn_move(nn_row(j->value, a, k->in[s], i), y, a->size, 0);
            y += a->size;
        }
    }
    return DAL_OK;
}

static dal_status join_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        const float *dy = nn_row(j->d, k, v, i);
        for (int s = 0; s < 2; s++) {
            const nn_node *a = &j->nn->node[k->in[s]];
            if (j->d[k->in[s]])
                nn_move(dy, nn_row(j->d, a, k->in[s], i), a->size, !k->first_writer[s]);
            dy += a->size;
        }
    }
    return DAL_OK;
}

const nn_op nn_join_op = {"join", join_forward, join_backward};
