/* nn_layout.h: where channels lie together, and values read and written eight channels at a time. */
#ifndef DAL_NN_LAYOUT_H
#define DAL_NN_LAYOUT_H

#include "nn_private.h"

#define NN_LANES 8

/* How many channels oneDNN likes together on this processor: 8 or 16. */
int64_t nn_layout_lanes(void);
/* Sets block of all nodes: channels lie together wherever no layer that wants planes reads or makes the value. */
void nn_layout_choose(dal_nn *nn);
/* Rows of a blocked value, [n, size], as planes, and back. */
void nn_to_planes(const nn_node *k, int64_t n, const float *from, float *to);
void nn_from_planes(const nn_node *k, int64_t n, const float *from, float *to);

/* Channels c..c+NN_LANES-1 of a row: lane l of place p is at first + p * place + l * lane. */
typedef struct nn_strip {
    int64_t first, place, lane;
} nn_strip;

static inline nn_strip nn_strip_at(const nn_node *k, int64_t c)
{
    const int64_t map = k->h * k->w;
    if (k->block == 1)
        return (nn_strip){c * map, 1, map};
    return (nn_strip){c / k->block * k->block * map + c % k->block, k->block, 1};
}

/* Do values of eight channels lie together? Those of one place always do. */
static inline int nn_has_strips(const nn_node *k)
{
    return k->block > 1 || (k->h * k->w == 1 && k->c % NN_LANES == 0);
}

/* y [n rows] += a bias for each channel, wherever they lie. */
void nn_strips_add_bias(const nn_node *k, int64_t n, const float *bias, float *y);

/* Layers whose input is blocked. Pools: their output may be planes. */
dal_status nn_strips_norm_forward(const nn_job *j, int32_t v);
dal_status nn_strips_norm_backward(const nn_job *j, int32_t v);
void nn_strips_norm_sums(const nn_job *j, int32_t v, double *sums);
void nn_strips_norm_back_sums(const nn_job *j, int32_t v, double *sums);
dal_status nn_strips_max_forward(const nn_job *j, int32_t v);
dal_status nn_strips_max_backward(const nn_job *j, int32_t v);
dal_status nn_strips_avg_forward(const nn_job *j, int32_t v);
dal_status nn_strips_avg_backward(const nn_job *j, int32_t v);

/* A stage is shown as planes, whatever it is to the layers. */
static inline int nn_has_mirror(const nn_node *k)
{
    return k->shown && k->block > 1;
}

#endif
