/* Declaring the layers of dal/nn.h that networks of texts are made of. */
#include "nn_token_tiles.h"

#include <math.h>

static dal_nn_value like(dal_nn *nn, const nn_op *op, dal_nn_value x, double rate)
{
    if (!nn_known(nn, x, op->name))
        return -1;
    const nn_node *a = &nn->node[x];
    nn_node *k = nn_add_node(nn, op, op->name, x, -1, a->c, a->h, a->w);
    if (!k)
        return -1;
    k->tokens = a->tokens;
    k->rate = rate;
    return nn_done(nn, 0);
}

dal_nn_value dal_nn_gelu(dal_nn *nn, dal_nn_value x)
{
    return like(nn, &nn_gelu_op, x, 0);
}

dal_nn_value dal_nn_tanh(dal_nn *nn, dal_nn_value x)
{
    return like(nn, &nn_tanh_op, x, 0);
}

dal_nn_value dal_nn_sigmoid(dal_nn *nn, dal_nn_value x)
{
    return like(nn, &nn_sigmoid_op, x, 0);
}

dal_nn_value dal_nn_relu6(dal_nn *nn, dal_nn_value x)
{
    return like(nn, &nn_relu6_op, x, 0);
}

dal_nn_value dal_nn_leaky_relu(dal_nn *nn, dal_nn_value x, double slope)
{
    if (!isfinite(slope))
        return nn_fault(nn, "leaky_relu", "its slope is %g", slope);
    return like(nn, &nn_leaky_op, x, slope);
}

dal_nn_value dal_nn_layer_norm(dal_nn *nn, dal_nn_value x, const char *name, double eps)
{
    if (!nn_known(nn, x, name))
        return -1;
    const nn_node *a = &nn->node[x];
    if (!a->tokens && a->h * a->w > 1)
        return nn_fault(nn, name, "takes vectors or tokens, not maps of %lld x %lld places", (long long)a->h,
                        (long long)a->w);
    if (!(eps >= 0 && eps < 1))
        return nn_fault(nn, name, "its eps is %g; expected [0..1)", eps);
    nn_node *k = nn_add_node(nn, &nn_layer_norm_op, name, x, -1, a->c, a->h, 1);
    if (!k)
        return -1;
    k->tokens = a->tokens;
    k->rate = eps;
    k->aux = 2 * (int64_t)sizeof(float) * k->h;
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_SCALE, k->c);
    k->bias = nn_take_weights(nn, k, "bias", DAL_ROLE_BIAS, k->c);
    return nn_done(nn, k->size);
}

dal_nn_value dal_nn_tokens(dal_nn *nn, int64_t longest, int64_t vocabulary)
{
    if (nn->n != 0)
        return nn_fault(nn, "tokens", "a second input");
    if (vocabulary < 1 || vocabulary > INT32_MAX)
        return nn_fault(nn, "tokens", "a vocabulary of %lld", (long long)vocabulary);
    nn_node *k = nn_add_node(nn, NULL, "tokens", -1, -1, 1, longest, 1);
    nn->vocabulary = vocabulary;
    return k ? nn_done(nn, 0) : -1;
}

static int64_t take_table(dal_nn *nn, nn_node *k, const char *what, int64_t rows)
{
    int64_t count;
    if (rows > INT32_MAX || !dal_size_mul(rows, k->c, &count) || count > INT32_MAX) {
        nn_fault(nn, k->name, "a table of %lld x %lld %s is too large", (long long)rows, (long long)k->c, what);
        return 0;
    }
    return nn_take_weights(nn, k, what, DAL_ROLE_WEIGHT, count);
}

dal_nn_value dal_nn_embedding(dal_nn *nn, dal_nn_value x, const char *name, const dal_nn_embedding_shape *shape)
{
    if (!nn_known(nn, x, name))
        return -1;
    if (x != 0 || nn->vocabulary == 0)
        return nn_fault(nn, name, "embeds the tokens of the input; its input is something else");
    const int64_t longest = nn->node[0].h, last = shape->first_position + longest;
    if (shape->positions < 0 || shape->segments < 0 || shape->first_position < 0 ||
        (shape->positions > 0 && (last < longest || shape->positions < last)))
        return nn_fault(nn, name, "%lld positions, the first %lld, for texts of up to %lld tokens",
                        (long long)shape->positions, (long long)shape->first_position, (long long)longest);
    nn_node *k = nn_add_node(nn, &nn_embedding_op, name, x, -1, shape->width, longest, 1);
    if (!k)
        return -1;
    k->tokens = 1;
    k->positions = shape->positions;
    k->first_position = shape->first_position;
    k->segments = shape->segments;
    k->weight = take_table(nn, k, "words", nn->vocabulary);
    if (shape->positions > 0)
        take_table(nn, k, "positions", shape->positions);
    if (shape->segments > 0)
        take_table(nn, k, "segments", shape->segments);
    return nn_done(nn, 0);
}

int nn_takes_tokens(dal_nn *nn, dal_nn_value x, const char *name)
{
    if (!nn_known(nn, x, name))
        return 0;
    if (!nn->node[x].tokens)
        nn_fault(nn, name, "takes tokens; its input is %lld x %lld x %lld", (long long)nn->node[x].c,
                 (long long)nn->node[x].h, (long long)nn->node[x].w);
    return nn->node[x].tokens;
}

dal_nn_value dal_nn_attention(dal_nn *nn, dal_nn_value x, int64_t heads, double dropout)
{
    if (!nn_takes_tokens(nn, x, "attention"))
        return -1;
    const nn_node *a = &nn->node[x];
    if (heads < 1 || a->c % 3 || a->c / 3 % heads)
        return nn_fault(nn, "attention", "its input is %lld wide; expected three times a multiple of %lld heads",
                        (long long)a->c, (long long)heads);
    if (!(dropout >= 0 && dropout < 1))
        return nn_fault(nn, "attention", "its dropout is %g; expected [0..1)", dropout);
    if (a->h > 32768)
        return nn_fault(nn, "attention", "texts of up to %lld tokens", (long long)a->h);
    nn_node *k = nn_add_node(nn, &nn_attention_op, "attention", x, -1, a->c / 3, a->h, 1);
    if (!k)
        return -1;
    k->tokens = 1;
    k->groups = heads;
    k->rate = dropout;
    k->scratch = 2 * k->h * k->h + (k->h * k->h + 3) / 4;
    return nn_done(nn, 2 * k->h * k->h * k->c);
}

static dal_nn_value vector(dal_nn *nn, const nn_op *op, dal_nn_value x)
{
    if (!nn_takes_tokens(nn, x, op->name))
        return -1;
    return nn_add_node(nn, op, op->name, x, -1, nn->node[x].c, 1, 1) ? nn_done(nn, 0) : -1;
}

dal_nn_value dal_nn_token_mean(dal_nn *nn, dal_nn_value x)
{
    return vector(nn, &nn_token_mean_op, x);
}

dal_nn_value dal_nn_first_token(dal_nn *nn, dal_nn_value x)
{
    return vector(nn, &nn_first_token_op, x);
}

dal_nn_value dal_nn_token_max(dal_nn *nn, dal_nn_value x)
{
    const dal_nn_value y = vector(nn, &nn_token_max_op, x);
    if (y >= 0)
        nn->node[y].aux = nn->node[y].c * (int64_t)sizeof(int32_t);
    return y;
}

dal_nn_value dal_nn_token_conv(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, int64_t kernel,
                               uint32_t flags)
{
    if (!nn_takes_tokens(nn, x, name))
        return -1;
    const nn_node *a = &nn->node[x];
    const int64_t in = a->c;
    int64_t count;
    if (kernel < 1 || kernel > 256)
        return nn_fault(nn, name, "a kernel of %lld tokens; expected 1..256", (long long)kernel);
    nn_node *k = nn_add_node(nn, &nn_token_conv_op, name, x, -1, out, a->h, 1);
    if (!k)
        return -1;
    if (!dal_size_mul(out, kernel * in, &count) || count > INT32_MAX)
        return nn_fault(nn, name, "%lld x %lld x %lld weights are too many", (long long)out, (long long)kernel,
                        (long long)in);
    k->tokens = 1;
    k->kernel = kernel;
    k->flags = flags;
    k->scratch = 2 * (nn_token_conv_rows(k) + kernel - 1) * in + nn_token_conv_rows(k) * out;
    if (nn_token_tiles_scratch(in, out) > k->scratch)
        k->scratch = nn_token_tiles_scratch(in, out);
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_WEIGHT, count);
    if (flags & DAL_NN_BIAS)
        k->bias = nn_take_weights(nn, k, "bias", DAL_ROLE_BIAS, out);
    return nn_done(nn, count * k->h);
}

dal_nn_value dal_nn_join(dal_nn *nn, dal_nn_value a, dal_nn_value b)
{
    if (!nn_known(nn, a, "join") || !nn_known(nn, b, "join"))
        return -1;
    const nn_node *x = &nn->node[a], *y = &nn->node[b];
    if (x->tokens || y->tokens || x->c != x->size || y->c != y->size)
        return nn_fault(nn, "join", "takes vectors, not %lld x %lld x %lld and %lld x %lld x %lld", (long long)x->c,
                        (long long)x->h, (long long)x->w, (long long)y->c, (long long)y->h, (long long)y->w);
    return nn_add_node(nn, &nn_join_op, "join", a, b, x->c + y->c, 1, 1) ? nn_done(nn, 0) : -1;
}
