/* The twin of a network of texts. */
#include "nn_half_tokens.h"

#include "nn_onednn.h"

/* ---- the twin ---------------------------------------------------------------------------------- */

static int makes_half(const nn_node *k)
{
    return k->op == &nn_token_linear_op || k->op == &nn_attention_op || k->op == &nn_gelu_op;
}

static int reads_half(const nn_node *k)
{
    return makes_half(k) || (k->op == &nn_dropout_op && k->tokens);
}

/* The number of layers that read v, or -1 where one of them takes no bf16. */
static int half_readers(const dal_nn *nn, int32_t v)
{
    int n = 0;
    for (int32_t r = v + 1; r < nn->n; r++)
        if (nn->node[r].in[0] == v || nn->node[r].in[1] == v) {
            if (!reads_half(&nn->node[r]))
                return -1;
            n++;
        }
    return n;
}

/* GELU reads what it makes; attention makes bf16 of bf16 alone. Returns whether that changed anything. */
static int agree(dal_nn *nn, int32_t v)
{
    nn_node *k = &nn->node[v], *a = v > 0 ? &nn->node[k->in[0]] : k;
    const int gelu = k->op == &nn_gelu_op && a->half != k->half, alone = k->op == &nn_attention_op && k->half &&
        !a->half;
    if (gelu)
        a->half = k->half = 0;
    if (alone)
        k->half = 0;
    return gelu || alone;
}

/* Is v a dropout that the sum right behind it can do, too? */
static int folds(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v], *sum = &nn->node[v + 1 < nn->n ? v + 1 : v];
    int n = 0;
    for (int32_t r = v + 1; r < nn->n; r++)
        n += (nn->node[r].in[0] == v) + (nn->node[r].in[1] == v);
    return k->op == &nn_dropout_op && k->tokens && !k->shown && nn->node[k->in[0]].half && n == 1 &&
        sum->op == &nn_add_op &&
           sum->in[1] == v && sum->flags == 0 && k->first_writer[0];
}

static void choose(dal_nn *nn)
{
    int changed = 1;
    for (int32_t v = 1; v < nn->n; v++) {
        nn_node *k = &nn->node[v];
        /* rows of a float's size begin at whole floats */
        k->half = makes_half(k) && k->tokens && !k->shown && k->size % 2 == 0 && half_readers(nn, v) > 0;
    }
    while (changed) {
        changed = 0;
        for (int32_t v = 1; v < nn->n; v++)
            changed |= agree(nn, v);
    }
    for (int32_t v = 1; v < nn->n; v++) {
        nn_node *k = &nn->node[v];
        const nn_node *a = &nn->node[k->in[0]];
        if (k->op == &nn_token_linear_op && !a->half)
            k->aux = a->size * (int64_t)sizeof(nn_bf16); /* its input, rounded */
        k->folded = folds(nn, v);
        k->spends = k->op == &nn_gelu_op && a->half && half_readers(nn, k->in[0]) == 1 && !(a->flags & DAL_NN_RELU);
    }
}

dal_status nn_half_tokens_open(dal_nn *nn, dal_error *err)
{
    const dal_status st = nn_half_twin(nn, err);
    if (st != DAL_OK)
        return st;
    choose(nn->half);
    return nn_token_products_open(nn->half, err);
}

/* ---- GELU -------------------------------------------------------------------------------------- */

/* While training what nobody else reads gives way to its slope, which the way back then need not find. */
dal_status nn_half_gelu_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    nn_bf16 *x = nn_half_to(nn_row(j->value, a, k->in[0], j->first));
    nn_half_gelu(x, nn_count(j, k), nn_half_to(nn_row(j->value, k, v, j->first)), j->training && k->spends ? x : NULL);
    return DAL_OK;
}

dal_status nn_half_gelu_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    if (j->d[k->in[0]])
        nn_half_gelu_back(nn_half_at(nn_row(j->value, a, k->in[0], j->first)), j->training && k->spends,
                          nn_half_at(nn_row(j->d, k, v, j->first)), nn_count(j, k), !k->first_writer[0],
                          nn_half_to(nn_row(j->d, a, k->in[0], j->first)));
    return DAL_OK;
}
