/* Convolutions with stride 1 by Winograd's minimal filtering (Lavin & Gray, CVPR 2016): of 3x3 filters F(2x2, 3x3), 16
 * products in place of 36 for each 2x2 of the output, or F(4x4, 3x3), 36 in place of 144, or 9 in place of 16 for a
 * whole map of 2x2; of 5x5 filters F(2x2, 5x5), 36 in place of 100. Tiles, transformed, are the rows of as many matrix
 * products over channels as a tile has points. Forward; backward to the input: the same with filters turned round or,
 * of 5x5, the transposed way; and to the weights. A product gives a tile the same bits in every row, so that a sample
 * has the same ones in every place of a pass. */
#include "nn_winograd.h"

#include "nn_layout.h"
#include "nn_way.h"

#define L NN_PANEL
#define LEAST 32 /* channels in and out: with fewer the transforms take what the products save */
#define LEAST_OF_FIVE 4 /* places of the output across */
#define CHUNK ((int64_t)1 << 20) /* bytes: what is transformed stays in the cache between transform and product */
#define LEAST_CHUNK 64 /* tiles */
/* Smaller filters, transformed to 36 numbers, still are read at no great cost beside the products of some tiles. */
#define MOST_OF_LARGE_TILES (160 << 10)

static int64_t tiles_of(const nn_node *k, int64_t side)
{
    return (k->w + side - 1) / side * ((k->h + side - 1) / side);
}

/* Large tiles where they are no more points altogether, and weights not too many. */
static int kind_of(const nn_node *in, const nn_node *k)
{
    if (k->kernel == 5)
        return TILE_FIVE;
    if (k->h == 2 && k->w == 2)
        return TILE_PAIR;
    return tiles_of(k, 4) * 36 < tiles_of(k, 2) * 16 && in->c * k->c <= MOST_OF_LARGE_TILES ? TILE_LARGE : TILE_SMALL;
}

static nn_cut cut_of(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    const int kind = kind_of(in, k);
    const int64_t side = side_of(kind), points = points_of(kind) * points_of(kind);
    nn_cut s = {kind, in, k, points, kind == TILE_PAIR ? 0 : k->pad, (k->w + side - 1) / side, tiles_of(k, side), 0};
    s.chunk = CHUNK / (points * (int64_t)sizeof(float) * (in->c + k->c)) / 16 * 16;
    s.chunk = s.chunk < LEAST_CHUNK ? LEAST_CHUNK : s.chunk;
    return s;
}

/* The same tiles from the output to the input. */
static nn_cut turned(nn_cut s)
{
    const nn_node *in = s.in;
    s.in = s.out;
    s.out = in;
    return s;
}

static int fits(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    const nn_node *in = &nn->node[k->in[0]];
    const int three = k->kernel == 3 && k->pad == 1, five = k->kernel == 5 && k->h >= LEAST_OF_FIVE &&
        k->w >= LEAST_OF_FIVE;
    return !nn->is_half && (three || five) && k->stride == 1 && k->groups == 1 && k->block > 1 &&
        in->block == k->block &&
           k->c % L == 0 && in->c % L == 0 && k->c >= LEAST && in->c >= LEAST && nn_product_is_fast();
}

static int64_t weights(const dal_nn *nn, int32_t v)
{
    const nn_cut s = cut_of(nn, v);
    return s.points * nn_winograd_plane(s.out->c, s.in->c);
}

static int64_t scratch(const dal_nn *nn, int32_t v)
{
    const nn_cut s = cut_of(nn, v);
    return s.points * (nn_winograd_plane(s.chunk, s.in->c) + nn_winograd_plane(s.chunk, s.out->c) +
                       nn_winograd_plane(s.in->c, s.out->c));
}

static void pack(const dal_nn *nn, int32_t v, int backward, const float *from, float *to)
{
    const nn_cut s = cut_of(nn, v);
    nn_winograd_filters(s.kind, s.out->c, s.in->c, backward, from, to);
}

/* ---- chunks: tiles first..first+rows-1 of all images together ------------------------------------ */

static const nn_transforms *transforms_of(const nn_cut *s)
{
#ifdef NN_PRODUCT_X86
    return s->in->block % nn_transforms_avx512.width == 0 && __builtin_cpu_supports("avx512f") ? &nn_transforms_avx512
                                                                                              : &nn_transforms_avx2;
#else
    (void)s;
    return &nn_transforms_plain;
#endif
}

/* Those of one image, of which the chunk's row `at` is the first. */
static int64_t image_of(const nn_cut *s, int64_t first, int64_t rows, int64_t at, nn_tiles *out)
{
    const int64_t from = (first + at) % s->tiles, rest = rows - at;
    *out = (nn_tiles){from, from + (s->tiles - from < rest ? s->tiles - from : rest)};
    return (first + at) / s->tiles;
}

/* Where tile `row` of channel c is, in panels of `rows` rows. */
static int64_t in_panel(int64_t rows, int64_t row, int64_t c)
{
    return c / L * L * rows + row * L + c % L;
}

/* Channels c..c+n-1, as panels [rows, n] a point. */
static void transform_chunk(const nn_cut *s, int back, int64_t first, int64_t rows, int64_t c, int64_t n,
                            const float *x, float *out)
{
    const nn_node *map = back ? s->out : s->in;
    const nn_transforms *by = transforms_of(s);
    nn_tiles t;
    for (int64_t at = 0; at < rows; at += t.to - t.from) {
        const float *row = x + image_of(s, first, rows, at, &t) * map->size;
        for (int64_t l = 0; l < n; l += by->width)
            by->in(s, back, t, row + nn_strip_at(map, c + l).first, nn_winograd_plane(rows, n),
                   out + in_panel(rows, at, l));
    }
}

static void finish_chunk(const nn_cut *s, int back, int64_t first, int64_t rows, const nn_finish *f, const float *in,
                         float *y)
{
    const nn_node *map = back ? s->in : s->out;
    const nn_transforms *by = transforms_of(s);
    nn_tiles t;
    for (int64_t at = 0; at < rows; at += t.to - t.from) {
        float *row = y + image_of(s, first, rows, at, &t) * map->size;
        for (int64_t l = 0; l < map->c; l += by->width) {
            const nn_finish mine = {f->bias ? f->bias + l : NULL, f->relu, f->add};
            by->out(s, back, t, &mine, in + in_panel(rows, at, l), nn_winograd_plane(rows, map->c),
                    row + nn_strip_at(map, l).first);
        }
    }
}

/* ---- the three ways ---------------------------------------------------------------------------- */

/* n images x to y, by transformed weights u, [c in, c out] a point; back: from the output to the input, the transposed
 * way. */
static void convolve(const nn_cut *s, int back, int64_t n, const float *x, const float *u, const nn_finish *f,
                     float *room, float *y)
{
    const int64_t c_in = (back ? s->out : s->in)->c, c_out = (back ? s->in : s->out)->c;
    float *in = room, *out = room + s->points * nn_winograd_plane(s->chunk, c_in);
    for (int64_t first = 0; first < n * s->tiles; first += s->chunk) {
        const int64_t rest = n * s->tiles - first, rows = rest < s->chunk ? rest : s->chunk;
        transform_chunk(s, back, first, rows, 0, c_in, x, in);
        for (int64_t p = 0; p < s->points; p++)
            nn_product_nn(rows, c_out, c_in, in + p * nn_winograd_plane(rows, c_in),
                          u + p * nn_winograd_plane(c_in, c_out), 0, out + p * nn_winograd_plane(rows, c_out));
        finish_chunk(s, back, first, rows, f, out, y);
    }
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_cut s = cut_of(j->nn, v);
    const nn_finish f = {nn_conv_bias(j, v), nn_conv_relu(j, v), 0};
    convolve(&s, 0, j->n, nn_row(j->value, s.in, s.out->in[0], j->first), j->packed[v], &f, j->scratch,
             nn_row(j->value, s.out, nn_conv_out(j, v), j->first));
    return DAL_OK;
}

static dal_status back_data(const nn_job *j, int32_t v)
{
    const nn_cut s = cut_of(j->nn, v), back = turned(s);
    const int first_writer = s.out->first_writer[0], scatters = s.kind == TILE_FIVE;
    const nn_finish f = {NULL, 0, scatters || !first_writer};
    float *dx = nn_row(j->d, s.in, s.out->in[0], j->first);
    if (scatters && first_writer)
        memset(dx, 0, (size_t)(j->n * s.in->size) * sizeof *dx);
    convolve(scatters ? &s : &back, scatters, j->n, nn_row(j->d, s.out, v, j->first), j->packed[v], &f, j->scratch, dx);
    return DAL_OK;
}

/* Points of the gradient of filters of maps c..c+n-1, [c in, n] each, in the last part of room. */
static const float *gradient_points(const nn_cut *s, const nn_job *j, int32_t v, int64_t c, int64_t n, float *room)
{
    const int64_t c_in = s->in->c;
    const float *x = nn_row(j->value, s->in, s->out->in[0], j->first), *dy = nn_row(j->d, s->out, v, j->first);
    float *a = room, *b = a + s->points * nn_winograd_plane(s->chunk, c_in),
        *u = b + s->points * nn_winograd_plane(s->chunk, n);
    for (int64_t first = 0; first < j->n * s->tiles; first += s->chunk) {
        const int64_t rest = j->n * s->tiles - first, rows = rest < s->chunk ? rest : s->chunk;
        transform_chunk(s, 0, first, rows, 0, c_in, x, a);
        transform_chunk(s, 1, first, rows, c, n, dy, b);
        for (int64_t p = 0; p < s->points; p++)
            nn_product_tn(c_in, n, rows, a + p * nn_winograd_plane(rows, c_in), b + p * nn_winograd_plane(rows, n),
                          first > 0, u + p * nn_winograd_plane(c_in, n));
    }
    return u;
}

static dal_status back_weights(const nn_job *j, int32_t v)
{
    const nn_cut s = cut_of(j->nn, v);
    const nn_node *k = s.out;
    const int64_t filter = s.in->c * k->kernel * k->kernel;
    const float *u = gradient_points(&s, j, v, 0, k->c, j->scratch);
    float *gradient = nn_gradient_begin(j, k, 0);
    for (int64_t c = 0; c < k->c; c += L) {
        nn_winograd_gradient(s.kind, s.in->c, u + c * s.in->c, nn_winograd_plane(s.in->c, k->c), 1,
                             gradient + c * filter);
        if (k->bias >= 0)
            nn_way_bias(k, j->n, nn_row(j->d, k, v, j->first), c, gradient + k->bias - k->weight + c);
    }
    return nn_gradient_end(j, v, 0);
}

/* Small maps have many weights: shards do not each have a gradient of theirs. */
static int64_t slices(const dal_nn *nn, int32_t v)
{
    const nn_cut s = cut_of(nn, v);
    return s.kind == TILE_PAIR ? s.out->c / L : 0;
}

static void slice(const nn_job *j, int32_t v, int64_t at)
{
    const nn_cut s = cut_of(j->nn, v);
    const nn_node *k = s.out;
    float *gradient = j->turns->sum + k->weight, *bias = j->turns->sum + k->bias + at * L;
    const float *u = gradient_points(&s, j, v, at * L, L, j->scratch);
    nn_winograd_gradient(s.kind, s.in->c, u, nn_winograd_plane(s.in->c, L), 0,
                         gradient + at * L * s.in->c * k->kernel * k->kernel);
    if (k->bias < 0)
        return;
    memset(bias, 0, L * sizeof *bias);
    nn_way_bias(k, j->n, nn_row(j->d, k, v, j->first), at * L, bias);
}

const nn_way nn_winograd_way = {fits, weights, scratch, pack, forward, back_data, back_weights, slices, slice};
