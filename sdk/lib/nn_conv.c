/* Convolution of one sample at a time: its patches as a matrix, one product a group. So no number of a sample depends
 * on where in a batch it stands, and the patches stay in cache. */
#include "nn_private.h"

#include <dal/linalg.h>

#include "clones.h"
#include "nn_onednn.h"

DAL_CLONES void nn_unfold(const nn_node *k, const nn_node *in, const float *x, float *restrict out)
{
    for (int64_t ky = 0; ky < k->kernel; ky++)
        for (int64_t kx = 0; kx < k->kernel; kx++) {
            for (int64_t oy = 0; oy < k->h; oy++, out += k->w) {
                const int64_t y = oy * k->stride + ky - k->pad;
                if (y < 0 || y >= in->h) {
                    memset(out, 0, (size_t)k->w * sizeof *out);
                    continue;
                }
                const float *row = x + y * in->w;
                if (k->stride == 1) {
                    /* places before and behind the row are zero */
                    const int64_t shift = kx - k->pad;
                    int64_t from = shift < 0 ? -shift : 0, to = in->w - shift < k->w ? in->w - shift : k->w;
                    to = to < from ? from : to;
                    memset(out, 0, (size_t)from * sizeof *out);
                    memcpy(out + from, row + from + shift, (size_t)(to - from) * sizeof *out);
                    memset(out + to, 0, (size_t)(k->w - to) * sizeof *out);
                    continue;
                }
                for (int64_t ox = 0; ox < k->w; ox++) {
                    const int64_t at = ox * k->stride + kx - k->pad;
                    out[ox] = at >= 0 && at < in->w ? row[at] : 0;
                }
            }
        }
}

DAL_CLONES void nn_fold(const nn_node *k, const nn_node *in, const float *restrict patches, float *restrict d)
{
    for (int64_t ky = 0; ky < k->kernel; ky++)
        for (int64_t kx = 0; kx < k->kernel; kx++)
            for (int64_t oy = 0; oy < k->h; oy++, patches += k->w) {
                const int64_t y = oy * k->stride + ky - k->pad;
                if (y < 0 || y >= in->h)
                    continue;
                float *row = d + y * in->w;
                const int64_t shift = kx - k->pad;
                if (k->stride == 1) {
                    const int64_t from = shift < 0 ? -shift : 0, to = in->w - shift < k->w ? in->w - shift : k->w;
                    for (int64_t ox = from; ox < to; ox++)
                        row[ox + shift] += patches[ox];
                    continue;
                }
                for (int64_t ox = 0; ox < k->w; ox++) {
                    const int64_t at = ox * k->stride + shift;
                    if (at >= 0 && at < in->w)
                        row[at] += patches[ox];
                }
            }
}

/* The map itself is the matrix of its patches. */
static int is_pointwise(const nn_node *k)
{
    return k->kernel == 1 && k->stride == 1;
}

typedef struct geometry {
    const nn_node *k, *in;
    int64_t places;          /* oh * ow */
    int64_t c_in, c_out;     /* of a group */
    int64_t patch, map;      /* rows of the patch matrix; h * w of the input */
} geometry;

static geometry measure(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const int64_t c_in = in->c / k->groups;
    return (geometry){k, in, k->h * k->w, c_in, k->c / k->groups, c_in * k->kernel * k->kernel, in->h * in->w};
}

/* Patches of group g of x, where they lie or in scratch. */
static const float *patches_of(const geometry *g, const float *x, int64_t group, float *scratch)
{
    const float *maps = x + group * g->c_in * g->map;
    if (is_pointwise(g->k))
        return maps;
    for (int64_t c = 0; c < g->c_in; c++)
        nn_unfold(g->k, g->in, maps + c * g->map, scratch + c * g->k->kernel * g->k->kernel * g->places);
    return scratch;
}

DAL_CLONES static void add_bias(const float *bias, int64_t c, int64_t places, float *restrict y)
{
    for (int64_t i = 0; i < c; i++)
        for (int64_t p = 0; p < places; p++)
            y[i * places + p] += bias[i];
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const geometry g = measure(j, v);
    dal_status st = DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n && st == DAL_OK; i++) {
        const float *x = nn_row(j->value, g.in, g.k->in[0], i);
        float *y = nn_row(j->value, g.k, nn_conv_out(j, v), i);
        for (int64_t group = 0; group < g.k->groups && st == DAL_OK; group++)
            st = dal_gemm_nn(g.c_out, g.places, g.patch, 1, nn_conv_weights(j, v) + group * g.c_out * g.patch, g.patch,
                             patches_of(&g, x, group, j->scratch), g.places, 0, y + group * g.c_out * g.places,
                             g.places);
        if (nn_conv_bias(j, v))
            add_bias(nn_conv_bias(j, v), g.k->c, g.places, y);
        if (nn_conv_relu(j, v))
            nn_relu(y, g.k->size);
    }
    return st;
}

/* gradient: of the weights, then of the bias */
static dal_status backward_weights(const nn_job *j, const geometry *g, const float *x, const float *dy, float *gradient)
{
    dal_status st = DAL_OK;
    for (int64_t group = 0; group < g->k->groups && st == DAL_OK; group++)
        st = dal_gemm_nt(g->c_out, g->patch, g->places, 1, dy + group * g->c_out * g->places, g->places,
                         patches_of(g, x, group, j->scratch), g->places, 1, gradient + group * g->c_out * g->patch,
                         g->patch);
    for (int64_t c = 0; g->k->bias >= 0 && c < g->k->c; c++) {
        float sum = 0;
        for (int64_t p = 0; p < g->places; p++)
            sum += dy[c * g->places + p];
        gradient[g->k->bias - g->k->weight + c] += sum;
    }
    return st;
}

static dal_status backward_input(const nn_job *j, const geometry *g, const float *dy, float *dx, int add)
{
    float *patches = j->scratch + g->patch * g->places;
    dal_status st = DAL_OK;
    if (!add && !is_pointwise(g->k))
        memset(dx, 0, (size_t)g->in->size * sizeof *dx);
    for (int64_t group = 0; group < g->k->groups && st == DAL_OK; group++) {
        float *maps = dx + group * g->c_in * g->map;
        const int direct = is_pointwise(g->k);
        st = dal_gemm_tn(g->patch, g->places, g->c_out, 1, j->weights + g->k->weight + group * g->c_out * g->patch,
                         g->patch, dy + group * g->c_out * g->places, g->places, direct &&
                         add ? 1 : 0, direct ? maps : patches, g->places);
        for (int64_t c = 0; !direct && c < g->c_in && st == DAL_OK; c++)
            nn_fold(g->k, g->in, patches + c * g->k->kernel * g->k->kernel * g->places, maps + c * g->map);
    }
    return st;
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const geometry g = measure(j, v);
    const int32_t a = g.k->in[0];
    float *gradient = nn_wants_gradient(j) ? nn_gradient_begin(j, g.k, 0) : NULL;
    dal_status st = DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n && st == DAL_OK; i++) {
        const float *x = nn_row(j->value, g.in, a, i);
        float *dy = nn_row(j->d, g.k, v, i);
        if (g.k->flags & DAL_NN_RELU)
            nn_relu_back(nn_row(j->value, g.k, v, i), dy, g.k->size);
        if (gradient)
            st = backward_weights(j, &g, x, dy, gradient);
        if (st == DAL_OK && j->d[a])
            st = backward_input(j, &g, dy, nn_row(j->d, g.in, a, i), !g.k->first_writer[0]);
    }
    return gradient && st == DAL_OK ? nn_gradient_end(j, v, 0) : st;
}

static dal_status forward_any(const nn_job *j, int32_t v)
{
    return j->nn->onednn ? nn_onednn_forward(j, v) : forward(j, v);
}

static dal_status backward_any(const nn_job *j, int32_t v)
{
    return j->nn->onednn ? nn_onednn_backward(j, v) : backward(j, v);
}

const nn_op nn_conv_op = {"conv", forward_any, backward_any};
