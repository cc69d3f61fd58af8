/* nn_winograd_tile.h: the transforms of one tile, of Lavin & Gray's matrices. M: 2 or 4, places of the output a tile has across: a
 * constant wherever these are called, as they are inlined. */
#ifndef DAL_NN_WINOGRAD_TILE_H
#define DAL_NN_WINOGRAD_TILE_H

#include "nn_product.h"

#define INLINED static inline __attribute__((always_inline)) /* into each of the clones */
#define NN_TILE_MOST 6 /* M + 2 */
#define EACH _Pragma("GCC unroll 36") /* a tile's numbers are to stay in registers */

/* 16 channels of a place. In a map they lie together, or as two eights `apart` from each other. */
typedef float lanes __attribute__((vector_size(4 * NN_PANEL)));
typedef int32_t bits __attribute__((vector_size(4 * NN_PANEL)));

INLINED void load(const float *x, int64_t apart, lanes *out)
{
    if (apart == NN_PANEL / 2) {
        memcpy(out, x, sizeof *out);
        return;
    }
    memcpy(out, x, sizeof *out / 2);
    memcpy((char *)out + sizeof *out / 2, x + apart, sizeof *out / 2);
}

INLINED void store(float *y, int64_t apart, const lanes *x)
{
    if (apart == NN_PANEL / 2) {
        memcpy(y, x, sizeof *x);
        return;
    }
    memcpy(y, x, sizeof *x / 2);
    memcpy(y + apart, (const char *)x + sizeof *x / 2, sizeof *x / 2);
}

/* ---- in one direction: numbers `step` apart ------------------------------------------------------ */

/* B' d: M + 2 numbers of M + 2. */
INLINED void line_in(int M, const lanes *d, int step, lanes *t)
{
    if (M == 2) {
        t[0] = d[0] - d[2 * step];
        t[step] = d[step] + d[2 * step];
        t[2 * step] = d[2 * step] - d[step];
        t[3 * step] = d[step] - d[3 * step];
        return;
    }
    const lanes a = d[4 * step] - 4.0f * d[2 * step], b = d[3 * step] - 4.0f * d[step];
    const lanes c = d[4 * step] - d[2 * step], e = 2.0f * (d[3 * step] - d[step]);
    t[0] = 4.0f * d[0] - 5.0f * d[2 * step] + d[4 * step];
    t[5 * step] = 4.0f * d[step] - 5.0f * d[3 * step] + d[5 * step];
    t[step] = a + b;
    t[2 * step] = a - b;
    t[3 * step] = c + e;
    t[4 * step] = c - e;
}

/* A' m: M numbers of M + 2. */
INLINED void line_out(int M, const lanes *m, int step, lanes *r)
{
    const lanes sum = m[step] + m[2 * step], less = m[step] - m[2 * step];
    if (M == 2) {
        r[0] = m[0] + sum;
        r[step] = less - m[3 * step];
        return;
    }
    const lanes sum2 = m[3 * step] + m[4 * step], less2 = m[3 * step] - m[4 * step];
    r[0] = m[0] + sum + sum2;
    r[step] = less + 2.0f * less2;
    r[2 * step] = sum + 4.0f * sum2;
    r[3 * step] = less + 8.0f * less2 + m[5 * step];
}

/* A y: M + 2 numbers, side by side, of M. */
INLINED void line_out_back(int M, const lanes *y, int step, lanes *t)
{
    t[0] = y[0];
    if (M == 2) {
        t[1] = y[0] + y[step];
        t[2] = y[0] - y[step];
        t[3] = -y[step];
        return;
    }
    const lanes even = y[0] + y[2 * step], odd = y[step] + y[3 * step];
    const lanes even2 = y[0] + 4.0f * y[2 * step], odd2 = 2.0f * y[step] + 8.0f * y[3 * step];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = y[3 * step];
}

/* G' u: 3 numbers of M + 2. */
INLINED void line_filter_back(int M, const lanes *u, int step, lanes *g)
{
    if (M == 2) {
        g[0] = u[0] + 0.5f * (u[step] + u[2 * step]);
        g[1] = 0.5f * (u[step] - u[2 * step]);
        g[2] = 0.5f * (u[step] + u[2 * step]) + u[3 * step];
        return;
    }
    const lanes sum = u[step] + u[2 * step], sum2 = u[3 * step] + u[4 * step];
    g[0] = 0.25f * u[0] - (1.0f / 6) * sum + (1.0f / 24) * sum2;
    g[1] = (1.0f / 6) * (u[2 * step] - u[step]) + (1.0f / 12) * (u[3 * step] - u[4 * step]);
    g[2] = (1.0f / 6) * (sum2 - sum) + u[5 * step];
}

/* G g: M + 2 numbers of 3. */
INLINED void line_filter(int M, const float g[3], float *u)
{
    if (M == 2) {
        u[0] = g[0];
        u[1] = 0.5f * (g[0] + g[1] + g[2]);
        u[2] = 0.5f * (g[0] - g[1] + g[2]);
        u[3] = g[2];
        return;
    }
    u[0] = 0.25f * g[0];
    u[1] = (-1.0f / 6) * (g[0] + g[1] + g[2]);
    u[2] = (-1.0f / 6) * (g[0] - g[1] + g[2]);
    u[3] = (1.0f / 24) * g[0] + (1.0f / 12) * g[1] + (1.0f / 6) * g[2];
    u[4] = (1.0f / 24) * g[0] - (1.0f / 12) * g[1] + (1.0f / 6) * g[2];
    u[5] = g[2];
}

/* ---- filters ----------------------------------------------------------------------------------- */

/* G g G' of one filter; point p goes to out[p * step]. */
INLINED void transform_filter(int M, const float g[9], int64_t step, float *out)
{
    float t[3][NN_TILE_MOST], u[NN_TILE_MOST];
    EACH for (int x = 0; x < 3; x++)
        line_filter(M, (const float[3]){g[x], g[3 + x], g[6 + x]}, t[x]);
    EACH for (int y = 0; y < M + 2; y++) {
        line_filter(M, (const float[3]){t[0][y], t[1][y], t[2][y]}, u);
        EACH for (int x = 0; x < M + 2; x++)
            out[(y * (M + 2) + x) * step] = u[x];
    }
}

/* G' u G of sixteen filters: nine of sixteen numbers each. */
INLINED void gather_filters(int M, const float *u, int64_t step, lanes out[9])
{
    lanes all[NN_TILE_MOST * NN_TILE_MOST], t[NN_TILE_MOST][3];
    EACH for (int p = 0; p < (M + 2) * (M + 2); p++)
        load(u + p * step, NN_PANEL / 2, &all[p]);
    EACH for (int x = 0; x < M + 2; x++)
        line_filter_back(M, all + x, M + 2, t[x]);
    EACH for (int y = 0; y < 3; y++) {
        lanes row[NN_TILE_MOST];
        EACH for (int x = 0; x < M + 2; x++)
            row[x] = t[x][y];
        line_filter_back(M, row, 1, out + 3 * y);
    }
}

/* ---- places ------------------------------------------------------------------------------------ */

/* Sixteen channels of a map: place p at p * place. */
typedef struct strip {
    int64_t h, w, place, apart;
} strip;

/* n x n places from (y, x) on; zeros outside, which are read like the others. */
INLINED void load_places(const strip *s, const float *map, int64_t y, int64_t x, int n, lanes *d)
{
    static const float zeros[NN_PANEL] = {0};
    EACH for (int i = 0; i < n; i++) {
        const int row = y + i >= 0 && y + i < s->h;
        const float *first = map + (y + i) * s->w * s->place;
        EACH for (int j = 0; j < n; j++) {
            const int there = row && x + j >= 0 && x + j < s->w;
            const float *from = there ? first + (x + j) * s->place : zeros;
            load(from, there ? s->apart : NN_PANEL / 2, &d[i * n + j]);
        }
    }
}

/* B' d B of the places around the tile at (y, x). Point p goes to out + p * step. */
INLINED void transform_in(int M, const strip *s, const float *map, int64_t y, int64_t x, float *out, int64_t step)
{
    lanes d[NN_TILE_MOST * NN_TILE_MOST], t[NN_TILE_MOST * NN_TILE_MOST];
    load_places(s, map, y - 1, x - 1, M + 2, d);
    EACH for (int j = 0; j < M + 2; j++)
        line_in(M, d + j, M + 2, t + j);
    EACH for (int i = 0; i < M + 2; i++) {
        lanes row[NN_TILE_MOST];
        line_in(M, t + i * (M + 2), 1, row);
        EACH for (int j = 0; j < M + 2; j++)
            store(out + (i * (M + 2) + j) * step, NN_PANEL / 2, &row[j]);
    }
}

/* A y A' of the tile at (y, x). */
INLINED void transform_out_back(int M, const strip *s, const float *map, int64_t y, int64_t x, float *out, int64_t step)
{
    lanes d[NN_TILE_MOST * NN_TILE_MOST], t[NN_TILE_MOST * NN_TILE_MOST];
    load_places(s, map, y, x, M, d);
    EACH for (int j = 0; j < M; j++) {
        lanes column[NN_TILE_MOST];
        line_out_back(M, d + j, M, column);
        EACH for (int i = 0; i < M + 2; i++)
            t[i * M + j] = column[i];
    }
    EACH for (int i = 0; i < M + 2; i++) {
        lanes row[NN_TILE_MOST];
        line_out_back(M, t + i * M, 1, row);
        EACH for (int j = 0; j < M + 2; j++)
            store(out + (i * (M + 2) + j) * step, NN_PANEL / 2, &row[j]);
    }
}

/* What is done to a finished place of sixteen channels. */
typedef struct ending {
    const float *bias; /* NULL: none */
    int relu, add;
} ending;

/* A' m A to the tile at (y, x). */
INLINED void transform_out(int M, const strip *s, const float *in, int64_t step, int64_t y, int64_t x, const ending *e, float *map)
{
    lanes m[NN_TILE_MOST * NN_TILE_MOST], t[NN_TILE_MOST * NN_TILE_MOST], bias = {0};
    const lanes zero = {0};
    if (e->bias)
        load(e->bias, NN_PANEL / 2, &bias);
    EACH for (int p = 0; p < (M + 2) * (M + 2); p++)
        load(in + p * step, NN_PANEL / 2, &m[p]);
    EACH for (int j = 0; j < M + 2; j++)
        line_out(M, m + j, M + 2, t + j);
    for (int i = 0; i < M && y + i < s->h; i++) {
        lanes r[NN_TILE_MOST];
        line_out(M, t + i * (M + 2), 1, r);
        for (int j = 0; j < M && x + j < s->w; j++) {
            float *to = map + ((y + i) * s->w + x + j) * s->place;
            r[j] += bias;
            if (e->add) {
                lanes old;
                load(to, s->apart, &old);
                r[j] += old;
            }
            if (e->relu)
                r[j] = (lanes)((bits)r[j] & ~(r[j] < zero));
            store(to, s->apart, &r[j]);
        }
    }
}

#endif
