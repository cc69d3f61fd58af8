/* nn_winograd.h: what nn_winograd.c has of the transforms of tiles, by width of vector, and of filters. */
#ifndef DAL_NN_WINOGRAD_H
#define DAL_NN_WINOGRAD_H

#include "nn_filters.h"
#include "nn_private.h"

enum {
    TILE_PAIR,  /* F(2x2, 3x3) of whole maps of 2x2 */
    TILE_SMALL, /* F(2x2, 3x3) */
    TILE_LARGE, /* F(4x4, 3x3) */
    TILE_FIVE   /* F(2x2, 5x5) */
};
#define MOST_POINTS 6 /* across */
#define MOST_TAPS 5

/* Across: taps of the filter, points of a transformed tile, places it is made of and of the output. */
INLINED int taps_of(int kind)
{
    return kind == TILE_FIVE ? 5 : 3;
}

INLINED int points_of(int kind)
{
    return kind == TILE_PAIR ? 3 : kind == TILE_SMALL ? 4 : 6;
}

INLINED int reach_of(int kind)
{
    return kind == TILE_PAIR ? 2 : points_of(kind);
}

INLINED int side_of(int kind)
{
    return kind == TILE_LARGE ? 4 : 2;
}

/* Maps in, maps out, and how they are cut. */
typedef struct nn_cut {
    int kind;
    const nn_node *in, *out;
    int64_t points, pad;
    int64_t across, tiles; /* of a map; across: in a row of it */
    int64_t chunk;         /* tiles at a time */
} nn_cut;

/* Tiles from..to of one image. */
typedef struct nn_tiles {
    int64_t from, to;
} nn_tiles;

/* What follows the last transform; add and the others exclude each other. */
typedef struct nn_finish {
    const float *bias; /* NULL: none */
    int relu, add;
} nn_finish;

/* Of `width` channels of one image's maps x or y to or from points, tile after tile 16 apart, point after point `step`.
 * back: from the output's gradient, or to the input's, += (5x5 only). */
typedef struct nn_transforms {
    int64_t width;
    void (*in)(const nn_cut *s, int back, nn_tiles t, const float *x, int64_t step, float *points);
    void (*out)(const nn_cut *s, int back, nn_tiles t, const nn_finish *f, const float *points, int64_t step, float *y);
} nn_transforms;

extern const nn_transforms nn_transforms_avx512, nn_transforms_avx2, nn_transforms_plain;

/* Floats between the matrices of two points: a cache line more than they need, lest all fall into the same few
 * lines. */
static inline int64_t nn_winograd_plane(int64_t rows, int64_t cols)
{
    return rows * cols + 16;
}

/* G g G' of all filters w [out, in, taps, taps], as panels [in, out] of each point; backward: [out, in], turned round
 * where taps are three. */
void nn_winograd_filters(int kind, int64_t out, int64_t in, int backward, const float *w, float *to);
/* G' u G of sixteen filters: a panel of points u, [in, 16] each, `step` apart. gradient [16, in, taps, taps]: = or
 * +=. */
void nn_winograd_gradient(int kind, int64_t in, const float *u, int64_t step, int add, float *gradient);

#endif
