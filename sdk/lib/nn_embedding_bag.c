/* The mean or the sum of the rows of a text's tokens, without a row for each of them. */
#include "nn_private.h"

#include "clones.h"

#define MEAN 1u

static const int32_t *ids_of(const nn_job *j, int64_t i)
{
    return (const int32_t *)(const void *)nn_row(j->value, &j->nn->node[0], 0, j->first + i);
}

/* What each row counts for. */
static float share_of(const nn_job *j, const nn_node *k, int64_t i)
{
    const int64_t n = j->token_at[i + 1] - j->token_at[i];
    return k->flags & MEAN && n > 0 ? 1 / (float)n : 1;
}

DAL_CLONES static void scale(float by, int64_t n, float *x)
{
    for (int64_t l = 0; l < n; l++)
        x[l] *= by;
}

DAL_CLONES static void add_scaled(const float *restrict from, float by, int64_t n, float *restrict to)
{
    for (int64_t l = 0; l < n; l++)
        to[l] += by * from[l];
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    for (int64_t i = 0; i < j->n; i++) {
        const int32_t *ids = ids_of(j, i);
        float *y = nn_row(j->value, k, v, j->first + i);
        memset(y, 0, (size_t)k->c * sizeof *y);
        for (int64_t p = 0; p < j->token_at[i + 1] - j->token_at[i]; p++)
            nn_move(j->weights + k->weight + ids[p] * k->c, y, k->c, 1);
        scale(share_of(j, k, i), k->c, y);
    }
    return DAL_OK;
}

/* A text touches few rows of a large table, so they are added where the sum lies. */
static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    float *gradient;
    if (!nn_wants_gradient(j))
        return DAL_OK;
    const dal_status st = nn_gradient_wait(j, v, 1, &gradient);
    for (int64_t i = 0; i < j->n && st == DAL_OK; i++)
        for (int64_t p = 0; p < j->token_at[i + 1] - j->token_at[i]; p++)
            add_scaled(nn_row(j->d, k, v, j->first + i), share_of(j, k, i), k->c, gradient + ids_of(j, i)[p] * k->c);
    if (st == DAL_OK)
        nn_gradient_done(j, v);
    return st;
}

const nn_op nn_embedding_bag_op = {"embedding_bag", forward, backward};

dal_nn_value dal_nn_embedding_bag(dal_nn *nn, dal_nn_value x, const char *name, int64_t width, int mean)
{
    int64_t count;
    if (!nn_known(nn, x, name))
        return -1;
    if (x != 0 || nn->vocabulary == 0)
        return nn_fault(nn, name, "embeds the tokens of the input; its input is something else");
    nn_node *k = nn_add_node(nn, &nn_embedding_bag_op, name, x, -1, width, 1, 1);
    if (!k)
        return -1;
    if (!dal_size_mul(nn->vocabulary, width, &count) || count > INT32_MAX)
        return nn_fault(nn, name, "a table of %lld x %lld is too large", (long long)nn->vocabulary, (long long)width);
    k->flags = mean ? MEAN : 0;
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_WEIGHT, count);
    return nn_done(nn, 0);
}
