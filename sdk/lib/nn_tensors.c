/* A network's numbers as named tensors. */
#include "nn_private.h"

static int64_t n_norms(const dal_nn *nn)
{
    int64_t n = 0;
    for (int32_t v = 0; v < nn->n; v++)
        n += nn->node[v].state >= 0;
    return n;
}

dal_status nn_name_state(dal_nn *nn)
{
    int64_t i = 0;
    nn->state_names = dal_array(nn->host, 2 * n_norms(nn), sizeof *nn->state_names);
    if (!nn->state_names)
        return DAL_E_NOMEM;
    for (int32_t v = 0; v < nn->n; v++)
        for (int what = 0; nn->node[v].state >= 0 && what < 2; what++)
            snprintf(nn->state_names[i++], sizeof *nn->state_names, "%s.running_%s", nn->node[v].name,
                     what ? "var" : "mean");
    return DAL_OK;
}

int64_t dal_nn_tensors(const dal_nn *nn)
{
    return nn->n_parameters + 2 * n_norms(nn);
}

/* The layer of parameter i, and which of its own it is. */
static const nn_node *layer_of(const dal_nn *nn, int64_t i, int *which)
{
    int32_t v = 0;
    for (*which = (int)i; *which >= nn->node[v].n_parameters; v++)
        *which -= nn->node[v].n_parameters;
    return &nn->node[v];
}

static void shape_parameter(const dal_nn *nn, int64_t i, dal_tensor *t)
{
    int which;
    const nn_node *k = layer_of(nn, i, &which);
    const int64_t count = nn->parameter[i].count;
    if (k->op == &nn_embedding_op) {
        t->shape[t->ndim++] = count / k->c;
        t->shape[t->ndim++] = k->c;
        return;
    }
    if (k->op == &nn_lstm_op) {
        const int64_t gates = 4 * k->c / k->groups;
        t->shape[t->ndim++] = gates;
        if (which % 4 < 2)
            t->shape[t->ndim++] = count / gates;
        return;
    }
    if (k->op == &nn_embedding_bag_op)
        t->shape[t->ndim++] = count / k->c;
    if (k->op == &nn_conv_transpose_op && which == 0)
        t->shape[t->ndim++] = nn->node[k->in[0]].c;
    t->shape[t->ndim++] = k->c;
    if (k->op == &nn_embedding_bag_op)
        return;
    if (which > 0 || k->op == &nn_norm_op || k->op == &nn_layer_norm_op)
        return;
    const nn_node *in = &nn->node[k->in[0]];
    if (k->op == &nn_conv_op) {
        t->shape[t->ndim++] = in->c / k->groups;
        t->shape[t->ndim++] = k->kernel;
        t->shape[t->ndim++] = k->kernel;
    } else if (k->op == &nn_conv_transpose_op) {
        t->shape[t->ndim++] = k->kernel;
        t->shape[t->ndim++] = k->kernel;
    } else if (k->op == &nn_token_conv_op) {
        t->shape[t->ndim++] = 1;
        t->shape[t->ndim++] = k->kernel;
        t->shape[t->ndim++] = in->c;
    } else {
        t->shape[t->ndim++] = count / k->c;
    }
}

void dal_nn_tensor(const dal_nn *nn, int64_t i, const float *weights, const float *state, dal_tensor *out)
{
    *out = (dal_tensor){.struct_size = sizeof *out, .dtype = DAL_ST_F32};
    if (i < nn->n_parameters) {
        out->name = nn->parameter[i].name;
        out->data = weights + nn->parameter[i].offset;
        shape_parameter(nn, i, out);
    } else {
        int64_t norm = (i - nn->n_parameters) / 2, which = (i - nn->n_parameters) % 2;
        int32_t v = 0;
        out->name = nn->state_names[i - nn->n_parameters];
        while (nn->node[v].state < 0 || norm-- > 0)
            v++;
        out->data = state + nn->node[v].state + which * nn->node[v].c;
        out->shape[out->ndim++] = nn->node[v].c;
    }
    out->count = 1;
    for (uint32_t d = 0; d < out->ndim; d++)
        out->count *= out->shape[d];
    out->bytes = out->count * (int64_t)sizeof(float);
}
