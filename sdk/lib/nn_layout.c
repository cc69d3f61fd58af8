#include "nn_layout.h"

#include "clones.h"
#include "nn_half.h"
#ifdef DAL_HAVE_ONEDNN
#include <dnnl.h>
#endif

int64_t nn_layout_lanes(void)
{
#ifdef DAL_HAVE_ONEDNN
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core ? 16 : 8;
#else
    return NN_LANES;
#endif
}

static int is_pool(const nn_node *k)
{
    return k->op == &nn_max_pool_op || k->op == &nn_avg_pool_op;
}

/* Layers whose output lies as their input. */
static int keeps(const dal_nn *nn, const nn_node *k)
{
    if (nn->is_half)
        return nn_half_keeps(k);
    return k->op == &nn_norm_op || k->op == &nn_relu_op || k->op == &nn_add_op || k->op == &nn_gelu_op ||
           k->op == &nn_tanh_op || k->op == &nn_sigmoid_op || k->op == &nn_leaky_op || k->op == &nn_relu6_op;
}

static int reads_blocks(const dal_nn *nn, const nn_node *k)
{
    return k->op == &nn_conv_op || keeps(nn, k) || is_pool(k);
}

/* Makes value v planar if a neighbour is; returns whether that changed anything. */
static int follow(dal_nn *nn, int32_t v)
{
    nn_node *k = &nn->node[v];
    int changed = 0;
    for (int i = 0; i < 2 && keeps(nn, k); i++) {
        nn_node *in = k->in[i] < 0 ? k : &nn->node[k->in[i]];
        if ((in->block == 1) != (k->block == 1)) {
            in->block = k->block = 1;
            changed = 1;
        }
    }
    if (is_pool(k) && k->block > 1 && nn->node[k->in[0]].block == 1) {
        k->block = 1;
        changed = 1;
    }
    return changed;
}

void nn_layout_choose(dal_nn *nn)
{
    const int64_t lanes = nn->is_half ? NN_HALF_LANES : nn_layout_lanes();
    int changed = 1;
    for (int32_t v = 1; v < nn->n; v++) {
        nn_node *k = &nn->node[v];
        if (reads_blocks(nn, k) && !k->tokens && k->c % lanes == 0 && k->h * k->w > 1)
            k->block = nn->is_half ? k->c : lanes;
    }
    for (int32_t v = 1; v < nn->n; v++)
        for (int i = 0; i < 2; i++)
            if (nn->node[v].in[i] >= 0 && !reads_blocks(nn, &nn->node[v]))
                nn->node[nn->node[v].in[i]].block = 1;
    nn->node[nn->features].block = nn->node[nn->output].block = 1;
    while (changed) {
        changed = 0;
        for (int32_t v = 1; v < nn->n; v++)
            changed |= follow(nn, v);
    }
    for (int32_t v = 1; v < nn->n; v++)
        nn->node[v].half = nn->is_half && nn->node[v].block > 1;
}

DAL_CLONES static void row_to_planes(int64_t c, int64_t map, int64_t block, const float *restrict from,
                                     float *restrict to)
{
    for (int64_t first = 0; first < c; first += block)
        for (int64_t l = 0; l < block; l++)
            for (int64_t p = 0; p < map; p++)
                to[(first + l) * map + p] = from[first * map + p * block + l];
}

DAL_CLONES static void row_from_planes(int64_t c, int64_t map, int64_t block, const float *restrict from,
                                       float *restrict to)
{
    for (int64_t first = 0; first < c; first += block)
        for (int64_t p = 0; p < map; p++)
            for (int64_t l = 0; l < block; l++)
                to[first * map + p * block + l] = from[(first + l) * map + p];
}

void nn_to_planes(const nn_node *k, int64_t n, const float *from, float *to)
{
    if (k->half) {
        nn_half_to_planes(k, n, from, to);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        row_to_planes(k->c, k->h * k->w, k->block, from + i * k->size, to + i * k->size);
}

void nn_from_planes(const nn_node *k, int64_t n, const float *from, float *to)
{
    if (k->half) {
        nn_half_from_planes(k, n, from, to);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        row_from_planes(k->c, k->h * k->w, k->block, from + i * k->size, to + i * k->size);
}
