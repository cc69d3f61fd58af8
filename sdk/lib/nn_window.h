/* nn_window.h: what a place of a map looks at in the one below. */
#ifndef DAL_NN_WINDOW_H
#define DAL_NN_WINDOW_H

#include "nn_private.h"

/* Rows y0..y1-1 and columns x0..x1-1 of the map below, those that there are. */
typedef struct window {
    int64_t y0, y1, x0, x1;
} window;

/* Of place (oy, ox); kernel 0 looks at all. */
static inline window window_at(const nn_node *k, const nn_node *in, int64_t oy, int64_t ox)
{
    if (k->kernel == 0)
        return (window){0, in->h, 0, in->w};
    const int64_t y = oy * k->stride - k->pad, x = ox * k->stride - k->pad;
    return (window){y > 0 ? y : 0, y + k->kernel < in->h ? y + k->kernel : in->h, x > 0 ? x : 0,
                    x + k->kernel < in->w ? x + k->kernel : in->w};
}

/* Place of the map below that a tap of a filter sees from a place; -1: beyond the edge. */
static inline int64_t nn_seen(const nn_node *k, const nn_node *in, int64_t place, int64_t tap)
{
    const int64_t y = place / k->w * k->stride + tap / k->kernel - k->pad;
    const int64_t x = place % k->w * k->stride + tap % k->kernel - k->pad;
    return y >= 0 && y < in->h && x >= 0 && x < in->w ? y * in->w + x : -1;
}

#endif
