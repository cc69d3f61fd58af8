/* nn_winograd_rows.h: tiles of an image, one after the other, by vectors of V floats: TRANSFORMS. */
#include <math.h>

#include "nn_winograd_tile.h"

/* A tile that reaches beyond its map, in a buffer. */
typedef struct edge {
    float at[MOST_POINTS * MOST_POINTS * V];
    places as;
} edge;

static int is_inside(const nn_node *map, int64_t y, int64_t x, int64_t n)
{
    return y >= 0 && x >= 0 && y + n <= map->h && x + n <= map->w;
}

/* n x n places from (y, x) on; zeros outside. */
static void fetch_edge(edge *e, const nn_node *map, const places *as, int64_t y, int64_t x, int64_t n,
                       const float *from)
{
    const vec zero = {0};
    e->as = (places){n * V, V};
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            store(e->at + (i * n + j) * V,
                  is_inside(map, y + i, x + j, 1) ? load(from + i * as->row + j * as->place) : zero);
}

static void store_edge(const edge *e, const nn_node *map, const places *as, int64_t y, int64_t x, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (is_inside(map, y + i, x + j, 1))
                store(to + i * as->row + j * as->place, load(e->at + (i * n + j) * V));
}

/* kind, back: constants wherever these are called. */
INLINED void transform_tiles(int kind, int back, const nn_cut *s, nn_tiles tiles, const float *x, int64_t step,
                             float *to)
{
    const nn_node *map = back ? s->out : s->in;
    const int64_t n = back ? side_of(kind) : reach_of(kind), pad = back ? 0 : s->pad;
    const places as = {map->w * map->block, map->block};
    for (int64_t t = tiles.from; t < tiles.to; t++, to += NN_PANEL) {
        const int64_t y = t / s->across * side_of(kind) - pad, left = t % s->across * side_of(kind) - pad;
        const float *from = x + y * as.row + left * as.place;
        const places *how = &as;
        edge e;
        if (!is_inside(map, y, left, n)) {
            fetch_edge(&e, map, &as, y, left, n, from);
            from = e.at;
            how = &e.as;
        }
        transform_in(kind, back, from, how, to, step);
    }
}

static void transform_in_tiles(const nn_cut *s, int back, nn_tiles t, const float *x, int64_t step, float *points)
{
#define CALL(KIND) \
    (back ? transform_tiles(KIND, 1, s, t, x, step, points) : transform_tiles(KIND, 0, s, t, x, step, points))
    if (s->kind == TILE_PAIR)
        CALL(TILE_PAIR);
    else if (s->kind == TILE_SMALL)
        CALL(TILE_SMALL);
    else if (s->kind == TILE_LARGE)
        CALL(TILE_LARGE);
    else
        CALL(TILE_FIVE);
#undef CALL
}

INLINED void finish_tiles(int kind, int back, const ending *e, const nn_cut *s, nn_tiles tiles, const float *from,
                          int64_t step, float *y)
{
    const nn_node *map = back ? s->in : s->out;
    const int64_t n = back ? reach_of(kind) : side_of(kind), pad = back ? s->pad : 0;
    const places as = {map->w * map->block, map->block};
    for (int64_t t = tiles.from; t < tiles.to; t++, from += NN_PANEL) {
        const int64_t top = t / s->across * side_of(kind) - pad, left = t % s->across * side_of(kind) - pad;
        float *all = y + top * as.row + left * as.place, *to = all;
        const places *how = &as;
        const int whole = is_inside(map, top, left, n);
        edge part;
        if (!whole) {
            fetch_edge(&part, map, &as, top, left, n, all);
            to = part.at;
            how = &part.as;
        }
        transform_out(kind, back, e, from, step, how, to);
        if (!whole)
            store_edge(&part, map, &as, top, left, n, all);
    }
}

static void transform_out_tiles(const nn_cut *s, int back, nn_tiles t, const nn_finish *f, const float *points,
                                int64_t step, float *y)
{
    const vec zero = {0};
    const ending plain = {0, 0, zero, zero}, added = {1, 0, zero, zero};
    const ending biased = {0, 1, f->bias ? load(f->bias) : zero, f->relu ? zero : zero - INFINITY};
#define CALL(KIND)                                                                        \
    (f->add                ? finish_tiles(KIND, 0, &added, s, t, points, step, y)         \
     : f->bias || f->relu ? finish_tiles(KIND, 0, &biased, s, t, points, step, y)         \
                          : finish_tiles(KIND, 0, &plain, s, t, points, step, y))
    if (back)
        finish_tiles(TILE_FIVE, 1, &added, s, t, points, step, y);
    else if (s->kind == TILE_PAIR)
        CALL(TILE_PAIR);
    else if (s->kind == TILE_SMALL)
        CALL(TILE_SMALL);
    else if (s->kind == TILE_LARGE)
        CALL(TILE_LARGE);
    else
        CALL(TILE_FIVE);
#undef CALL
}

const nn_transforms TRANSFORMS = {V, transform_in_tiles, transform_out_tiles};
