/* Convolutions of 3x3 with stride 1 and pad 1 by Winograd's minimal filtering (Lavin & Gray, CVPR 2016): F(2x2, 3x3), 16 products
 * in place of 36 for each 2x2 of the output, or F(4x4, 3x3), 36 in place of 144. Tiles of 4x4 or 6x6 places, transformed, are the
 * rows of 16 or 36 matrix products over channels. Forward, backward to the input (the same with filters turned round) and to the
 * weights. A product gives a tile the same bits in every row, so that a sample has the same ones in every place of a pass. */
#include "nn_winograd.h"

#include "clones.h"
#include "nn_layout.h"
#include "nn_product.h"
#include "nn_winograd_tile.h"

#define L NN_PANEL
#define LEAST_CHUNK 64 /* tiles */
/* Smaller filters, transformed to 36 numbers, still are read at no great cost beside the products of some tiles. */
#define MOST_OF_LARGE_TILES (160 << 10)

/* Floats between the matrices of two points: a cache line more than they need, lest all fall into the same few lines. */
static int64_t plane(int64_t rows, int64_t cols)
{
    return rows * cols + 16;
}

/* Who convolves what: c_in channels of maps h x w, to c_out of the same. */
typedef struct shape {
    int64_t c_in, c_out, h, w, across, tiles; /* tiles: of a map; across: in a row of it */
    int64_t block;
    int64_t side, points; /* of a tile of the output; of a transformed one */
    int64_t chunk;        /* tiles at a time */
} shape;

/* Places of the output a tile has across: large tiles where they are no more points altogether, and weights not too many. */
static int64_t side_of(int64_t c_in, int64_t c_out, const nn_node *k)
{
    const int64_t small = (k->w + 1) / 2 * ((k->h + 1) / 2) * 16, large = (k->w + 3) / 4 * ((k->h + 3) / 4) * 36;
    return large < small && c_in * c_out <= MOST_OF_LARGE_TILES ? 4 : 2;
}

static shape shape_of(int64_t c_in, int64_t c_out, const nn_node *k)
{
    const int64_t side = side_of(c_in, c_out, k), points = (side + 2) * (side + 2);
    const int64_t across = (k->w + side - 1) / side, down = (k->h + side - 1) / side;
    shape s = {c_in, c_out, k->h, k->w, across, across * down, k->block, side, points, 0};
    /* what is transformed stays in the cache between transform and product */
    s.chunk = ((int64_t)1 << 20) / (points * (int64_t)sizeof(float) * (c_in + c_out)) / 16 * 16;
    s.chunk = s.chunk < LEAST_CHUNK ? LEAST_CHUNK : s.chunk;
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
    const int64_t in = nn->node[k->in[0]].c;
    return shape_of(in, k->c, k).points * plane(k->c, in);
}

int64_t nn_winograd_scratch(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    const shape s = shape_of(nn->node[k->in[0]].c, k->c, k);
    return s.points * (plane(s.chunk, s.c_in) + plane(s.chunk, s.c_out) + plane(s.c_in, s.c_out));
}

/* ---- weights ----------------------------------------------------------------------------------- */

void nn_winograd_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    const nn_node *k = &nn->node[v];
    const int64_t in = nn->node[k->in[0]].c, out = k->c, step = plane(in, out), side = side_of(in, out, k);
    const int64_t rows = backward ? out : in, cols = backward ? in : out;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const float *g = weights + (backward ? r * in + c : c * in + r) * 9;
            float turned[9];
            for (int p = 0; p < 9; p++)
                turned[p] = g[backward ? 8 - p : p];
            if (side == 4)
                transform_filter(4, turned, step, to + (c / L * rows + r) * L + c % L);
            else
                transform_filter(2, turned, step, to + (c / L * rows + r) * L + c % L);
        }
}

/* Of sixteen channels in and all out: u [c_out, 16]; gradient += at the filter of the first of them. */
DAL_CLONES static void gather_panel(const shape *s, const float *u, float *gradient)
{
    for (int64_t o = 0; o < s->c_out; o++) {
        lanes g[9];
        float *to = gradient + o * s->c_in * 9;
        if (s->side == 4)
            gather_filters(4, u + o * L, plane(s->c_in, s->c_out), g);
        else
            gather_filters(2, u + o * L, plane(s->c_in, s->c_out), g);
        for (int l = 0; l < L; l++)
            for (int p = 0; p < 9; p++)
                to[9 * l + p] += g[p][l];
    }
}

/* ---- tiles ------------------------------------------------------------------------------------- */

/* Tiles from..to of one image; the first of them is row `at` of matrices of `rows` rows. */
typedef struct span {
    int64_t from, to, at, rows;
} span;

/* side and apart: constants wherever they are called. */
INLINED void transform_strip(const shape *s, int side, int64_t apart, int back, const span *tiles, const float *map, int64_t step,
                             float *out)
{
    const strip as = {s->h, s->w, s->block, apart};
    for (int64_t t = tiles->from; t < tiles->to; t++) {
        const int64_t y = t / s->across * side, x = t % s->across * side;
        float *to = out + (tiles->at + t - tiles->from) * L;
        if (back)
            transform_out_back(side, &as, map, y, x, to, step);
        else
            transform_in(side, &as, map, y, x, to, step);
    }
}

DAL_CLONES static void transform_rows(const shape *s, int back, const span *tiles, const float *map, int64_t step, float *out)
{
    const int64_t far = s->h * s->w * s->block;
    if (s->side == 4 && s->block == L)
        transform_strip(s, 4, L / 2, back, tiles, map, step, out);
    else if (s->side == 4)
        transform_strip(s, 4, far, back, tiles, map, step, out);
    else if (s->block == L)
        transform_strip(s, 2, L / 2, back, tiles, map, step, out);
    else
        transform_strip(s, 2, far, back, tiles, map, step, out);
}

INLINED void finish_strip(const shape *s, int side, int64_t apart, const span *tiles, const float *in, int64_t step,
                          const ending *e, float *map)
{
    const strip as = {s->h, s->w, s->block, apart};
    for (int64_t t = tiles->from; t < tiles->to; t++)
        transform_out(side, &as, in + (tiles->at + t - tiles->from) * L, step, t / s->across * side, t % s->across * side, e, map);
}

DAL_CLONES static void finish_rows(const shape *s, const span *tiles, const float *in, int64_t step, const ending *e, float *map)
{
    const int64_t far = s->h * s->w * s->block;
    if (s->side == 4 && s->block == L)
        finish_strip(s, 4, L / 2, tiles, in, step, e, map);
    else if (s->side == 4)
        finish_strip(s, 4, far, tiles, in, step, e, map);
    else if (s->block == L)
        finish_strip(s, 2, L / 2, tiles, in, step, e, map);
    else
        finish_strip(s, 2, far, tiles, in, step, e, map);
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

/* n images x to y, by transformed weights u [points, c_in, c_out]. */
static void convolve(const shape *s, int64_t n, const float *x, const float *u, const ending *e, float *scratch,
                     float *y)
{
    float *in = scratch, *out = scratch + s->points * plane(s->chunk, s->c_in);
    for (int64_t first = 0; first < n * s->tiles; first += s->chunk) {
        const int64_t rest = n * s->tiles - first, rows = rest < s->chunk ? rest : s->chunk;
        transform_chunk(s, s->c_in, 0, first, rows, x, in);
        for (int64_t p = 0; p < s->points; p++)
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
    float *a = j->scratch, *b = a + s.points * plane(s.chunk, s.c_in), *u = b + s.points * plane(s.chunk, s.c_out);
    float *gradient = nn_gradient_begin(j, k, 0);
    for (int64_t first = 0; first < j->n * s.tiles; first += s.chunk) {
        const int64_t rest = j->n * s.tiles - first, rows = rest < s.chunk ? rest : s.chunk;
        transform_chunk(&s, s.c_in, 0, first, rows, x, a);
        transform_chunk(&s, s.c_out, 1, first, rows, dy, b);
        for (int64_t p = 0; p < s.points; p++)
            nn_product_tn(s.c_out, s.c_in, rows, b + p * plane(rows, s.c_out), a + p * plane(rows, s.c_in), first > 0,
                          u + p * plane(s.c_in, s.c_out));
    }
    for (int64_t l = 0; l < s.c_in; l += L)
        gather_panel(&s, u + l * s.c_out, gradient + l * 9);
    if (k->bias >= 0)
        add_bias(k, j->n, dy, gradient + k->bias - k->weight);
    return nn_gradient_end(j, v, 0);
}
