/* nn_filters.h: filters sixteen at a time. Weights lie as [out, in, taps]; products want numbers of sixteen channels
 * together. */
#ifndef DAL_NN_FILTERS_H
#define DAL_NN_FILTERS_H

#include <stdint.h>
#include <string.h>

#include "clones.h"
#include "nn_product.h"

#define EACH _Pragma("GCC unroll 36") /* what is indexed is to stay in registers */
/* Of filters that are read this way; any of one row of sixteen filters fits the nearest cache. */
#define NN_MOST_TAPS 25

typedef float lanes __attribute__((vector_size(4 * NN_PANEL)));
#pragma GCC diagnostic ignored "-Wpsabi" /* how these would be handed over: they are not, all is inlined */

#if defined(__clang__) || __GNUC__ >= 12
#define NN_SHUFFLE(A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)
#else
#define NN_SHUFFLE(A, B, ...) __builtin_shuffle(A, B, (int32_t __attribute__((vector_size(4 * NN_PANEL)))){__VA_ARGS__})
#endif

INLINED lanes load_lanes(const float *x)
{
    lanes v;
    memcpy(&v, x, sizeof v);
    return v;
}

INLINED void store_lanes(float *y, lanes v)
{
    memcpy(y, &v, sizeof v);
}

/* Rows for columns: four times the first half shuffled into the second. */
INLINED void turn(lanes v[NN_PANEL])
{
    EACH for (int round = 0; round < 4; round++) {
        lanes next[NN_PANEL];
        EACH for (int i = 0; i < NN_PANEL / 2; i++) {
            const lanes a = v[i], b = v[i + NN_PANEL / 2];
            next[2 * i] = NN_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            next[2 * i + 1] = NN_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(v, next, sizeof next);
    }
}

/* Of sixteen filters out `row` apart, sixteen channels in: tap t of channel i is out[i * taps + t], a lane a filter. */
INLINED void load_filters(const float *w, int64_t row, int64_t taps, lanes *out)
{
    for (int64_t first = 0; first < NN_PANEL * taps; first += NN_PANEL) {
        lanes v[NN_PANEL];
        EACH for (int f = 0; f < NN_PANEL; f++)
            v[f] = load_lanes(w + f * row + first);
        turn(v);
        memcpy(out + first, v, sizeof v);
    }
}

/* Lanes for channels: tap t of filter f is out[f * taps + t], a lane a channel in; turned: the last tap comes first. */
INLINED void other_way(const lanes *in, int64_t taps, int turned, lanes *out)
{
    for (int64_t t = 0; t < taps; t++) {
        lanes v[NN_PANEL];
        EACH for (int i = 0; i < NN_PANEL; i++)
            v[i] = in[i * taps + t];
        turn(v);
        EACH for (int f = 0; f < NN_PANEL; f++)
            out[f * taps + (turned ? taps - 1 - t : t)] = v[f];
    }
}

/* What load_filters reads: = or +=. */
INLINED void store_filters(const lanes *in, int64_t row, int64_t taps, int add, float *w)
{
    for (int64_t first = 0; first < NN_PANEL * taps; first += NN_PANEL) {
        lanes v[NN_PANEL];
        memcpy(v, in + first, sizeof v);
        turn(v);
        EACH for (int f = 0; f < NN_PANEL; f++) {
            float *to = w + f * row + first;
            store_lanes(to, add ? load_lanes(to) + v[f] : v[f]);
        }
    }
}

#endif
