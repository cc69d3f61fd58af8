/* Convolutions of 3x3 with stride 1 and pad 1 by Winograd's minimal filtering (Lavin & Gray, CVPR 2016, F(2x2, 3x3)): 16
 * products in place of 36 for each 2x2 of the output. Tiles of 4x4 places, transformed, are the rows of 16 matrix products over
 * channels. Forward, backward to the input (the same with filters turned round) and to the weights. A product gives a tile the
 * same bits in every row, so that a sample has the same ones in every place of a pass. */
#include "nn_winograd.h"

#include "clones.h"
#include "nn_layout.h"
#include "nn_product.h"

#define L NN_PANEL
#define INLINED static inline __attribute__((always_inline)) /* into each of the clones */
#define POINTS 16 /* of a transformed tile */

/* Floats between the matrices of two points: a cache line more than they need, lest all 16 fall into the same few lines. */
static int64_t plane(int64_t rows, int64_t cols)
{
    return rows * cols + 16;
}

/* 16 channels of a place. In a map they lie together, or as two eights `apart` from each other. */
typedef float lanes __attribute__((vector_size(4 * L)));
typedef int32_t bits __attribute__((vector_size(4 * L)));

INLINED void load(const float *x, int64_t apart, lanes *out)
{
    if (apart == L / 2) {
        memcpy(out, x, sizeof *out);
        return;
    }
    memcpy(out, x, sizeof *out / 2);
    memcpy((char *)out + sizeof *out / 2, x + apart, sizeof *out / 2);
}

INLINED void store(float *y, int64_t apart, const lanes *x)
{
    if (apart == L / 2) {
        memcpy(y, x, sizeof *x);
        return;
    }
    memcpy(y, x, sizeof *x / 2);
    memcpy(y + apart, (const char *)x + sizeof *x / 2, sizeof *x / 2);
}

/* Who convolves what: c_in channels of maps h x w, to c_out of the same. */
typedef struct shape {
    int64_t c_in, c_out, h, w, across, tiles; /* tiles: of a map; across: in a row of it */
    int64_t block;
    int64_t chunk; /* tiles at a time */
} shape;

static shape shape_of(int64_t c_in, int64_t c_out, const nn_node *k)
{
    shape s = {c_in, c_out, k->h, k->w, (k->w + 1) / 2, (k->w + 1) / 2 * ((k->h + 1) / 2), k->block, 0};
    /* what is transformed stays in the cache between transform and product */
    s.chunk = ((int64_t)1 << 20) / (POINTS * (int64_t)sizeof(float) * (c_in + c_out)) / 16 * 16;
    s.chunk = s.chunk < 64 ? 64 : s.chunk;
    return s;
}

int nn_winograd_fits(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    if (k->op != &nn_conv_op)
        return 0;
    const nn_node *in = &nn->node[k->in[0]];
    return !nn->is_half && k->kernel == 3 && k->stride == 1 && k->pad == 1 && k->groups == 1 && k->block > 1 &&
           in->block == k->block && k->c % L == 0 && in->c % L == 0 && k->c >= NN_WINOGRAD_LEAST && in->c >= NN_WINOGRAD_LEAST && nn_product_is_fast();
}

int64_t nn_winograd_weights(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    return POINTS * plane(k->c, nn->node[k->in[0]].c);
}

int64_t nn_winograd_scratch(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    const shape s = shape_of(nn->node[k->in[0]].c, k->c, k);
    return POINTS * (plane(s.chunk, s.c_in) + plane(s.chunk, s.c_out) + plane(s.c_in, s.c_out));
}

/* ---- weights ----------------------------------------------------------------------------------- */

/* G g G' of one filter; point p goes to out[p * step]. */
static void transform_filter(const float g[9], int64_t step, float *out)
{
    float t[4][3];
    for (int x = 0; x < 3; x++) {
        const float a = g[x], b = g[3 + x], c = g[6 + x];
        t[0][x] = a;
        t[1][x] = 0.5f * (a + b + c);
        t[2][x] = 0.5f * (a - b + c);
        t[3][x] = c;
    }
    for (int y = 0; y < 4; y++) {
        float *to = out + 4 * y * step;
        to[0] = t[y][0];
        to[step] = 0.5f * (t[y][0] + t[y][1] + t[y][2]);
        to[2 * step] = 0.5f * (t[y][0] - t[y][1] + t[y][2]);
        to[3 * step] = t[y][2];
    }
}

void nn_winograd_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    const nn_node *k = &nn->node[v];
    const int64_t in = nn->node[k->in[0]].c, out = k->c, step = plane(in, out);
    const int64_t rows = backward ? out : in, cols = backward ? in : out;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const float *g = weights + (backward ? r * in + c : c * in + r) * 9;
            float turned[9];
            for (int p = 0; p < 9; p++)
                turned[p] = g[backward ? 8 - p : p];
            transform_filter(turned, step, to + (c / L * rows + r) * L + c % L);
        }
}

/* G' u G of sixteen filters: nine of sixteen numbers each. */
INLINED void gather_filters(const float *u, int64_t step, lanes out[9])
{
    lanes t[3][4];
    for (int x = 0; x < 4; x++) {
        lanes m[4];
        for (int y = 0; y < 4; y++)
            load(u + (4 * y + x) * step, L / 2, &m[y]);
        t[0][x] = m[0] + 0.5f * (m[1] + m[2]);
        t[1][x] = 0.5f * (m[1] - m[2]);
        t[2][x] = 0.5f * (m[1] + m[2]) + m[3];
    }
    for (int y = 0; y < 3; y++) {
        out[3 * y] = t[y][0] + 0.5f * (t[y][1] + t[y][2]);
        out[3 * y + 1] = 0.5f * (t[y][1] - t[y][2]);
        out[3 * y + 2] = 0.5f * (t[y][1] + t[y][2]) + t[y][3];
    }
}

/* Of sixteen channels in and all out: u [c_out, 16]; gradient += at the filter of the first of them. */
DAL_CLONES static void gather_panel(const shape *s, const float *u, float *gradient)
{
    for (int64_t o = 0; o < s->c_out; o++) {
        lanes g[9];
        float *to = gradient + o * s->c_in * 9;
        gather_filters(u + o * L, plane(s->c_in, s->c_out), g);
        for (int l = 0; l < L; l++)
            for (int p = 0; p < 9; p++)
                to[9 * l + p] += g[p][l];
    }
}

/* ---- tiles ------------------------------------------------------------------------------------- */

/* Sixteen channels of a map: place p at p * place. */
typedef struct strip {
    int64_t h, w, place, apart;
} strip;

/* B' d B of the 4x4 places around (y, x); zeros outside. Point p goes to out + p * step. */
INLINED void transform_in(const strip *s, const float *map, int64_t y, int64_t x, float *out, int64_t step)
{
    lanes d[4][4], t[4][4];
    const int inside = y > 0 && y + 2 < s->h && x > 0 && x + 2 < s->w;
    const float *corner = inside ? map + ((y - 1) * s->w + x - 1) * s->place : map;
    for (int i = 0; inside && i < 4; i++)
        for (int j = 0; j < 4; j++)
            load(corner + (i * s->w + j) * s->place, s->apart, &d[i][j]);
    for (int i = 0; !inside && i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int64_t py = y - 1 + i, px = x - 1 + j;
            if (py >= 0 && py < s->h && px >= 0 && px < s->w)
                load(map + (py * s->w + px) * s->place, s->apart, &d[i][j]);
            else
                memset(&d[i][j], 0, sizeof d[i][j]);
        }
    for (int j = 0; j < 4; j++) {
        t[0][j] = d[0][j] - d[2][j];
        t[1][j] = d[1][j] + d[2][j];
        t[2][j] = d[2][j] - d[1][j];
        t[3][j] = d[1][j] - d[3][j];
    }
    for (int i = 0; i < 4; i++) {
        const lanes p[4] = {t[i][0] - t[i][2], t[i][1] + t[i][2], t[i][2] - t[i][1], t[i][1] - t[i][3]};
        for (int j = 0; j < 4; j++)
            store(out + (4 * i + j) * step, L / 2, &p[j]);
    }
}

/* A y A' of the 2x2 places from (y, x) on. */
INLINED void transform_out_back(const strip *s, const float *map, int64_t y, int64_t x, float *out, int64_t step)
{
    lanes d[2][2], t[4][2];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            if (y + i < s->h && x + j < s->w)
                load(map + ((y + i) * s->w + x + j) * s->place, s->apart, &d[i][j]);
            else
                memset(&d[i][j], 0, sizeof d[i][j]);
    for (int j = 0; j < 2; j++) {
        t[0][j] = d[0][j];
        t[1][j] = d[0][j] + d[1][j];
        t[2][j] = d[0][j] - d[1][j];
        t[3][j] = -d[1][j];
    }
    for (int i = 0; i < 4; i++) {
        const lanes p[4] = {t[i][0], t[i][0] + t[i][1], t[i][0] - t[i][1], -t[i][1]};
        for (int j = 0; j < 4; j++)
            store(out + (4 * i + j) * step, L / 2, &p[j]);
    }
}

/* What is done to a finished place of sixteen channels. */
typedef struct ending {
    const float *bias; /* NULL: none */
    int relu, add;
} ending;

/* A' m A to the 2x2 places from (y, x) on. */
INLINED void transform_out(const strip *s, const float *in, int64_t step, int64_t y, int64_t x, const ending *e, float *map)
{
    lanes m[4][4], t[2][4], bias = {0};
    const lanes zero = {0};
    if (e->bias)
        load(e->bias, L / 2, &bias);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            load(in + (4 * i + j) * step, L / 2, &m[i][j]);
    for (int j = 0; j < 4; j++) {
        t[0][j] = m[0][j] + m[1][j] + m[2][j];
        t[1][j] = m[1][j] - m[2][j] - m[3][j];
    }
    for (int i = 0; i < 2 && y + i < s->h; i++) {
        lanes r[2] = {t[i][0] + t[i][1] + t[i][2] + bias, t[i][1] - t[i][2] - t[i][3] + bias};
        for (int j = 0; j < 2 && x + j < s->w; j++) {
            float *to = map + ((y + i) * s->w + x + j) * s->place;
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

/* Tiles from..to of one image; the first of them is row `at` of matrices of `rows` rows. */
typedef struct span {
    int64_t from, to, at, rows;
} span;

/* apart: a constant in one of two calls. */
INLINED void transform_strip(const shape *s, int64_t apart, int back, const span *tiles, const float *map, int64_t step,
                             float *out)
{
    const strip as = {s->h, s->w, s->block, apart};
    for (int64_t t = tiles->from; t < tiles->to; t++) {
        const int64_t y = t / s->across * 2, x = t % s->across * 2;
        float *to = out + (tiles->at + t - tiles->from) * L;
        if (back)
            transform_out_back(&as, map, y, x, to, step);
        else
            transform_in(&as, map, y, x, to, step);
    }
}

DAL_CLONES static void transform_rows(const shape *s, int back, const span *tiles, const float *map, int64_t step, float *out)
{
    if (s->block == L)
        transform_strip(s, L / 2, back, tiles, map, step, out);
    else
        transform_strip(s, s->h * s->w * s->block, back, tiles, map, step, out);
}

INLINED void finish_strip(const shape *s, int64_t apart, const span *tiles, const float *in, int64_t step, const ending *e,
                          float *map)
{
    const strip as = {s->h, s->w, s->block, apart};
    for (int64_t t = tiles->from; t < tiles->to; t++)
        transform_out(&as, in + (tiles->at + t - tiles->from) * L, step, t / s->across * 2, t % s->across * 2, e, map);
}

DAL_CLONES static void finish_rows(const shape *s, const span *tiles, const float *in, int64_t step, const ending *e, float *map)
{
    if (s->block == L)
        finish_strip(s, L / 2, tiles, in, step, e, map);
    else
        finish_strip(s, s->h * s->w * s->block, tiles, in, step, e, map);
}

/* Calls for each image of a chunk (tiles first..first+rows-1 of all images together). */
static int64_t image_span(const shape *s, int64_t first, int64_t rows, int64_t at, span *out)
{
    const int64_t image = (first + at) / s->tiles, from = (first + at) % s->tiles, rest = rows - at;
    const int64_t n = s->tiles - from < rest ? s->tiles - from : rest;
    *out = (span){from, from + n, at, rows};
    return image;
}

static void transform_chunk(const shape *s, int64_t c, int back, int64_t first, int64_t rows, const float *x, float *out)
{
    const nn_node as = {.c = c, .h = s->h, .w = s->w, .block = s->block};
    span tiles;
    for (int64_t at = 0; at < rows; at += tiles.to - tiles.from) {
        const float *row = x + image_span(s, first, rows, at, &tiles) * c * s->h * s->w;
        for (int64_t l = 0; l < c; l += L)
            transform_rows(s, back, &tiles, row + nn_strip_at(&as, l).first, plane(rows, c), out + l * rows);
    }
}

static void finish_chunk(const shape *s, int64_t first, int64_t rows, const float *in, const ending *e, float *y)
{
    const nn_node as = {.c = s->c_out, .h = s->h, .w = s->w, .block = s->block};
    span tiles;
    for (int64_t at = 0; at < rows; at += tiles.to - tiles.from) {
        float *row = y + image_span(s, first, rows, at, &tiles) * s->c_out * s->h * s->w;
        for (int64_t l = 0; l < s->c_out; l += L) {
            const ending mine = {e->bias ? e->bias + l : NULL, e->relu, e->add};
            finish_rows(s, &tiles, in + l * rows, plane(rows, s->c_out), &mine, row + nn_strip_at(&as, l).first);
        }
    }
}

/* ---- the three ways ---------------------------------------------------------------------------- */

/* n images x to y, by transformed weights u [POINTS, c_in, c_out]. */
static void convolve(const shape *s, int64_t n, const float *x, const float *u, const ending *e, float *scratch,
                     float *y)
{
    float *in = scratch, *out = scratch + POINTS * plane(s->chunk, s->c_in);
    for (int64_t first = 0; first < n * s->tiles; first += s->chunk) {
        const int64_t rest = n * s->tiles - first, rows = rest < s->chunk ? rest : s->chunk;
        transform_chunk(s, s->c_in, 0, first, rows, x, in);
        for (int64_t p = 0; p < POINTS; p++)
            nn_product_nn(rows, s->c_out, s->c_in, in + p * plane(rows, s->c_in), u + p * plane(s->c_in, s->c_out), 0,
                          out + p * plane(rows, s->c_out));
        finish_chunk(s, first, rows, out, e, y);
    }
}

dal_status nn_winograd_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const shape s = shape_of(in->c, k->c, k);
    const ending e = {nn_conv_bias(j, v), nn_conv_relu(j, v), 0};
    convolve(&s, j->n, nn_row(j->value, in, k->in[0], j->first), j->packed[v], &e, j->scratch,
             nn_row(j->value, k, nn_conv_out(j, v), j->first));
    return DAL_OK;
}

dal_status nn_winograd_back_data(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const shape s = shape_of(k->c, in->c, k);
    const ending e = {NULL, 0, !k->first_writer[0]};
    convolve(&s, j->n, nn_row(j->d, k, v, j->first), j->packed[v], &e, j->scratch, nn_row(j->d, in, k->in[0], j->first));
    return DAL_OK;
}

static void add_bias(const nn_node *k, int64_t n, const float *dy, float *gradient)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < k->c; c += NN_LANES) {
            const nn_strip s = nn_strip_at(k, c);
            float sum[NN_LANES] = {0};
            for (int64_t p = 0; p < k->h * k->w; p++)
                for (int l = 0; l < NN_LANES; l++)
                    sum[l] += dy[i * k->size + s.first + p * s.place + l];
            for (int l = 0; l < NN_LANES; l++)
                gradient[c + l] += sum[l];
        }
}

dal_status nn_winograd_back_weights(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const shape s = shape_of(in->c, k->c, k);
    const float *x = nn_row(j->value, in, k->in[0], j->first), *dy = nn_row(j->d, k, v, j->first);
    float *a = j->scratch, *b = a + POINTS * plane(s.chunk, s.c_in), *u = b + POINTS * plane(s.chunk, s.c_out);
    float *gradient = nn_gradient_begin(j, k, 0);
    for (int64_t first = 0; first < j->n * s.tiles; first += s.chunk) {
        const int64_t rest = j->n * s.tiles - first, rows = rest < s.chunk ? rest : s.chunk;
        transform_chunk(&s, s.c_in, 0, first, rows, x, a);
        transform_chunk(&s, s.c_out, 1, first, rows, dy, b);
        for (int64_t p = 0; p < POINTS; p++)
            nn_product_tn(s.c_out, s.c_in, rows, b + p * plane(rows, s.c_out), a + p * plane(rows, s.c_in), first > 0,
                          u + p * plane(s.c_in, s.c_out));
    }
    for (int64_t l = 0; l < s.c_in; l += L)
        gather_panel(&s, u + l * s.c_out, gradient + l * 9);
    if (k->bias >= 0)
        add_bias(k, j->n, dy, gradient + k->bias - k->weight);
    return nn_gradient_end(j, v, 0);
}
