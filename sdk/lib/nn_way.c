#include "nn_way.h"

#include "clones.h"
#include "nn_layout.h"
#include "nn_product.h"

const nn_way *nn_way_of(const dal_nn *nn, int32_t v)
{
    static const nn_way *const ways[] = {&nn_winograd_way, &nn_taps_way};
    for (size_t i = 0; i < sizeof ways / sizeof *ways && nn->node[v].op == &nn_conv_op; i++)
        if (ways[i]->fits(nn, v))
            return ways[i];
    return NULL;
}

DAL_CLONES void nn_way_bias(const nn_node *k, int64_t n, const float *dy, int64_t c, float *bias)
{
    for (int64_t first = 0; first < NN_PANEL; first += NN_LANES) {
        const nn_strip s = nn_strip_at(k, c + first);
        float sum[NN_LANES] = {0};
        for (int64_t i = 0; i < n; i++)
            for (int64_t p = 0; p < k->h * k->w; p++)
                for (int l = 0; l < NN_LANES; l++)
                    sum[l] += dy[i * k->size + s.first + p * s.place + l];
        for (int l = 0; l < NN_LANES; l++)
            bias[first + l] += sum[l];
    }
}
