#include "bound.h"

#include "clones.h"

/* The sum of truths is an integer, so it vectorises. */
DAL_CLONES int bound_any_below(const float *products, const float *offsets, float limit)
{
    int any = 0;
    for (int j = 0; j < BOUND_STRIP; j++)
        any |= products[j] + offsets[j] < limit;
    return any;
}
