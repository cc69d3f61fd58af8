/* nn_arena.h: where values lie that are not all needed at the same time. */
#ifndef DAL_NN_ARENA_H
#define DAL_NN_ARENA_H

#include <stdint.h>

typedef struct nn_hole {
    int64_t at, size;
} nn_hole;
typedef struct nn_arena {
    nn_hole *free; /* room for as many as are ever given back */
    int64_t n_free, top;
} nn_arena;

/* The smallest hole that is large enough, or the end. */
static inline int64_t nn_arena_take(nn_arena *a, int64_t size)
{
    int64_t best = -1;
    for (int64_t i = 0; i < a->n_free; i++)
        if (a->free[i].size >= size && (best < 0 || a->free[i].size < a->free[best].size))
            best = i;
    if (best < 0) {
        a->top += size;
        return a->top - size;
    }
    const int64_t at = a->free[best].at;
    a->free[best].at += size;
    a->free[best].size -= size;
    return at;
}

static inline void nn_arena_give(nn_arena *a, int64_t at, int64_t size)
{
    a->free[a->n_free++] = (nn_hole){at, size};
}

#endif
