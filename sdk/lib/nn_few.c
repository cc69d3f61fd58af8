/* The gradient of an input of few channels, planes: images, to which oneDNN is slow. One product makes what each place
 * of the output sends to the places its filter saw, [places, channels in, kernel, kernel], which are added up where
 * they come from. */
#include "nn_few.h"

#include "clones.h"
#include "nn_product.h"

#define MOST_TAPS 512 /* of all channels */
#define BAND (16 << 10) /* floats of patches at a time: they stay in the cache */

static int64_t taps_of(const nn_node *k, const nn_node *in)
{
    return in->c * k->kernel * k->kernel;
}

/* Rows of the output at a time. */
static int64_t rows_of_band(const nn_node *k, const nn_node *in)
{
    const int64_t fit = BAND / (k->w * taps_of(k, in));
    return fit < 1 ? 1 : fit < k->h ? fit : k->h;
}

int nn_few_fits(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    if (k->op != &nn_conv_op)
        return 0;
    const nn_node *in = &nn->node[k->in[0]];
    return !nn->is_half && k->groups == 1 && k->block > 1 && in->block == 1 && in->c < NN_PANEL &&
        taps_of(k, in) <= MOST_TAPS &&
           nn_product_has_kernel();
}

int64_t nn_few_scratch(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    return rows_of_band(k, in) * k->w * taps_of(k, in);
}

/* Adds what places of rows y..y+rows-1 send to where they looked. */
DAL_CLONES static void fold(const nn_node *k, const nn_node *in, int64_t y, int64_t rows, const float *restrict patch,
                            float *restrict dx)
{
    for (int64_t oy = y; oy < y + rows; oy++)
        for (int64_t ox = 0; ox < k->w; ox++) {
            const int64_t left = ox * k->stride - k->pad, rest = in->w - left;
            const int64_t from = left < 0 ? -left : 0, to = rest < k->kernel ? rest : k->kernel;
            for (int64_t c = 0; c < in->c; c++)
                for (int64_t ky = 0; ky < k->kernel; ky++, patch += k->kernel) {
                    const int64_t iy = oy * k->stride + ky - k->pad;
                    float *row = dx + (c * in->h + iy) * in->w + left;
                    for (int64_t kx = from; iy >= 0 && iy < in->h && kx < to; kx++)
                        row[kx] += patch[kx];
                }
        }
}

dal_status nn_few_back_data(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const int64_t taps = taps_of(k, in), rows = rows_of_band(k, in);
    const nn_product_walk walk = {k->c / k->block, k->block, k->h * k->w * k->block, 1,        k->block, taps,
                                  NN_PANEL,        taps,     NN_PANEL,               0};
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        const float *dy = nn_row(j->d, k, v, i);
        float *dx = nn_row(j->d, in, k->in[0], i);
        if (k->first_writer[0])
            memset(dx, 0, (size_t)in->size * sizeof *dx);
        for (int64_t y = 0; y < k->h; y += rows) {
            const int64_t some = k->h - y < rows ? k->h - y : rows;
            nn_product(&walk, some * k->w, taps, dy + y * k->w * k->block, j->weights + k->weight, j->scratch);
            fold(k, in, y, some, j->scratch, dx);
        }
    }
    return DAL_OK;
}
