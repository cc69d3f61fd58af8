/* Filters for Winograd's products, and their gradients, by the matrices for the points of nn_winograd_tile.h. */
#include "nn_winograd.h"

#include "clones.h"

/* G g: all points of all taps. */
INLINED void line_filter(int kind, const lanes *g, lanes *u)
{
    if (kind == TILE_PAIR) {
        u[0] = g[1];
        u[1] = g[2] - g[1];
        u[2] = g[0] - g[1];
    } else if (kind == TILE_SMALL) {
        u[0] = g[0];
        u[1] = 0.5f * (g[0] + g[1] + g[2]);
        u[2] = 0.5f * (g[0] - g[1] + g[2]);
        u[3] = g[2];
    } else {
        const int five = kind == TILE_FIVE;
        lanes even = g[0] + g[2], odd = g[1], even2 = g[0] + 4.0f * g[2], odd2 = 2.0f * g[1];
        if (five) {
            even += g[4];
            odd += g[3];
            even2 += 16.0f * g[4];
            odd2 += 8.0f * g[3];
        }
        u[0] = 0.25f * g[0];
        u[1] = (-1.0f / 6) * (even + odd);
        u[2] = (-1.0f / 6) * (even - odd);
        u[3] = (1.0f / 24) * (even2 + odd2);
        u[4] = (1.0f / 24) * (even2 - odd2);
        u[5] = g[taps_of(kind) - 1];
    }
}

/* G' u: all taps of all points. */
INLINED void line_filter_back(int kind, const lanes *u, lanes *g)
{
    if (kind == TILE_PAIR) {
        g[0] = u[2];
        g[1] = u[0] - u[1] - u[2];
        g[2] = u[1];
    } else if (kind == TILE_SMALL) {
        g[0] = u[0] + 0.5f * (u[1] + u[2]);
        g[1] = 0.5f * (u[1] - u[2]);
        g[2] = 0.5f * (u[1] + u[2]) + u[3];
    } else {
        const lanes sum = (-1.0f / 6) * (u[1] + u[2]), less = (-1.0f / 6) * (u[1] - u[2]);
        const lanes sum2 = (1.0f / 24) * (u[3] + u[4]), less2 = (1.0f / 24) * (u[3] - u[4]);
        g[0] = 0.25f * u[0] + sum + sum2;
        g[1] = less + 2.0f * less2;
        g[2] = sum + 4.0f * sum2;
        if (kind == TILE_FIVE) {
            g[3] = less + 8.0f * less2;
            g[4] = sum + 16.0f * sum2 + u[5];
        } else {
            g[2] += u[5];
        }
    }
}

/* Point p of a filter of sixteen goes to out + p * step. */
INLINED void transform_filter(int kind, const lanes *g, float *out, int64_t step)
{
    const int n = taps_of(kind), points = points_of(kind);
    lanes t[MOST_POINTS][MOST_TAPS], u[MOST_POINTS];
    EACH for (int x = 0; x < n; x++) {
        lanes column[MOST_TAPS];
        EACH for (int y = 0; y < n; y++)
            column[y] = g[y * n + x];
        line_filter(kind, column, u);
        EACH for (int y = 0; y < points; y++)
            t[y][x] = u[y];
    }
    EACH for (int y = 0; y < points; y++) {
        line_filter(kind, t[y], u);
        EACH for (int x = 0; x < points; x++)
            store_lanes(out + (y * points + x) * step, u[x]);
    }
}

INLINED void gather_filter(int kind, const float *u, int64_t step, lanes *out)
{
    const int n = taps_of(kind), points = points_of(kind);
    lanes t[MOST_TAPS][MOST_POINTS], g[MOST_TAPS];
    EACH for (int x = 0; x < points; x++) {
        lanes column[MOST_POINTS];
        EACH for (int y = 0; y < points; y++)
            column[y] = load_lanes(u + (y * points + x) * step);
        line_filter_back(kind, column, g);
        EACH for (int y = 0; y < n; y++)
            t[y][x] = g[y];
    }
    EACH for (int y = 0; y < n; y++)
        line_filter_back(kind, t[y], out + y * n);
}

INLINED void filters_of(int kind, int64_t out, int64_t in, int backward, const float *w, float *to)
{
    const int64_t taps = taps_of(kind) * taps_of(kind), step = nn_winograd_plane(out, in);
    lanes some[NN_PANEL * NN_MOST_TAPS], others[NN_PANEL * NN_MOST_TAPS];
    for (int64_t o = 0; o < out; o += NN_PANEL)
        for (int64_t i = 0; i < in; i += NN_PANEL) {
            const int64_t first = backward ? i * out + o * NN_PANEL : o * in + i * NN_PANEL;
            load_filters(w + (o * in + i) * taps, in * taps, taps, some);
            if (backward)
                other_way(some, taps, kind != TILE_FIVE, others);
            for (int64_t r = 0; r < NN_PANEL; r++)
                transform_filter(kind, (backward ? others : some) + r * taps, to + first + r * NN_PANEL, step);
        }
}

DAL_CLONES void nn_winograd_filters(int kind, int64_t out, int64_t in, int backward, const float *w, float *to)
{
    if (kind == TILE_PAIR)
        filters_of(TILE_PAIR, out, in, backward, w, to);
    else if (kind == TILE_SMALL)
        filters_of(TILE_SMALL, out, in, backward, w, to);
    else if (kind == TILE_LARGE)
        filters_of(TILE_LARGE, out, in, backward, w, to);
    else
        filters_of(TILE_FIVE, out, in, backward, w, to);
}

INLINED void gradient_of(int kind, int64_t in, const float *u, int64_t step, int add, float *gradient)
{
    const int64_t taps = taps_of(kind) * taps_of(kind);
    lanes some[NN_PANEL * NN_MOST_TAPS];
    for (int64_t i = 0; i < in; i += NN_PANEL) {
        for (int64_t r = 0; r < NN_PANEL; r++)
            gather_filter(kind, u + (i + r) * NN_PANEL, step, some + r * taps);
        store_filters(some, in * taps, taps, add, gradient + i * taps);
    }
}

DAL_CLONES void nn_winograd_gradient(int kind, int64_t in, const float *u, int64_t step, int add, float *gradient)
{
    if (kind == TILE_PAIR)
        gradient_of(TILE_PAIR, in, u, step, add, gradient);
    else if (kind == TILE_SMALL)
        gradient_of(TILE_SMALL, in, u, step, add, gradient);
    else if (kind == TILE_LARGE)
        gradient_of(TILE_LARGE, in, u, step, add, gradient);
    else
        gradient_of(TILE_FIVE, in, u, step, add, gradient);
}
