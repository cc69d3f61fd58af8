/* The twin that trains in bf16, and its layers that work element by element. */
#include "nn_half_tokens.h"

#include <math.h>

#include "clones.h"
#include "nn_onednn.h"

/* ---- the twin ---------------------------------------------------------------------------------- */

dal_status nn_half_twin(dal_nn *nn, dal_error *err)
{
    dal_nn *half = nn->host->alloc(nn->host, sizeof *half, 0);
    nn_node *node = dal_array(nn->host, nn->n, sizeof *node);
    if (!half || !node) {
        nn->host->free(nn->host, node);
        nn->host->free(nn->host, half);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    }
    memcpy(half, nn, sizeof *half);
    memcpy(node, nn->node, (size_t)nn->n * sizeof *node);
    half->node = node;
    half->onednn = NULL;
    nn->half = half;
    return DAL_OK;
}

static dal_status open_maps(dal_nn *nn, dal_error *err)
{
    const dal_status st = nn_half_twin(nn, err);
    dal_nn *half = nn->half;
    for (int32_t v = 0; v < nn->n && st == DAL_OK; v++) {
        half->node[v].block = 1;
        half->scratch = half->node[v].c > half->scratch ? half->node[v].c : half->scratch; /* of pools */
    }
    if (st != DAL_OK)
        return st;
    half->is_half = 1;
    return nn_onednn_open(half, err);
}

dal_status nn_half_open(dal_nn *nn, int convolves, int has_tokens, dal_error *err)
{
    if (!nn_onednn_version())
        return dal_fail(err, DAL_E_UNSUPPORTED, "precision",
                        "bf16 needs oneDNN, which this build has not: take precision f32, or configure again with "
                        "libdnnl-dev installed");
    if (!has_tokens && (!convolves || !nn->onednn))
        return dal_fail(err, DAL_E_UNSUPPORTED, "precision",
                        "bf16 needs back end onednn and a network with convolutions, or one with linear layers over "
                        "tokens: take these, or precision f32");
    if (!nn_onednn_bf16())
        return dal_fail(err, DAL_E_UNSUPPORTED, "precision",
                        "bf16 needs a processor with AMX-BF16 or AVX512-BF16; this one has neither, or "
                        "ONEDNN_MAX_CPU_ISA hides them: take precision f32");
    return has_tokens ? nn_half_tokens_open(nn, err) : open_maps(nn, err);
}

void nn_half_close(dal_nn *nn)
{
    if (!nn->half)
        return;
    nn_token_products_close(nn->half);
    nn_onednn_close(nn->half);
    nn->host->free(nn->host, nn->half->node);
    nn->host->free(nn->host, nn->half);
    nn->half = NULL;
}

const char *nn_half_backend(void)
{
    static char text[64];
    snprintf(text, sizeof text, "%s, in bf16 by %s", nn_onednn_version(), nn_onednn_bf16());
    return text;
}

int nn_half_keeps(const nn_node *k)
{
    return k->op == &nn_norm_op || k->op == &nn_relu_op || k->op == &nn_add_op || k->op == &nn_relu6_op;
}

/* ---- planes ------------------------------------------------------------------------------------ */

static const nn_bf16 *read_half(const float *x)
{
    return (const nn_bf16 *)(const void *)x;
}

static nn_bf16 *write_half(float *x)
{
    return (nn_bf16 *)(void *)x;
}

void nn_half_to_planes(const nn_node *k, int64_t n, const float *from, float *to)
{
    const int64_t map = k->h * k->w;
    const nn_bf16 *x = read_half(from);
    for (int64_t i = 0; i < n; i++, x += k->size, to += k->size)
        for (int64_t c = 0; c < k->c; c++)
            for (int64_t p = 0; p < map; p++)
                to[c * map + p] = nn_wide(x[p * k->c + c]);
}

void nn_half_from_planes(const nn_node *k, int64_t n, const float *from, float *to)
{
    const int64_t map = k->h * k->w;
    nn_bf16 *y = write_half(to);
    for (int64_t i = 0; i < n; i++, y += k->size, from += k->size)
        for (int64_t p = 0; p < map; p++)
            for (int64_t c = 0; c < k->c; c++)
                y[p * k->c + c] = nn_narrow(from[c * map + p]);
}

/* ---- element by element ------------------------------------------------------------------------ */

DAL_CLONES static void sum(const nn_bf16 *restrict from, nn_bf16 *restrict to, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = nn_narrow(nn_wide(to[i]) + nn_wide(from[i]));
}

/* least: -infinity or 0; most: infinity or 6; NaN stays. */
DAL_CLONES static void clamp(nn_bf16 *x, float least, float most, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float low = nn_wide(x[i]) < least ? least : nn_wide(x[i]);
        x[i] = nn_narrow(low > most ? most : low);
    }
}

/* d = 0 where y is not above 0, and below `most`. */
DAL_CLONES static void clamp_back(const nn_bf16 *y, float most, nn_bf16 *d, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        d[i] = nn_wide(y[i]) > 0 && nn_wide(y[i]) < most ? d[i] : (nn_bf16)0;
}

DAL_CLONES static void add(const nn_bf16 *a, const nn_bf16 *b, float least, nn_bf16 *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float value = nn_wide(a[i]) + nn_wide(b[i]);
        y[i] = nn_narrow(value < least ? least : value);
    }
}

DAL_CLONES static void round_to(const float *restrict from, nn_bf16 *restrict to, int add, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = nn_narrow((add ? nn_wide(to[i]) : 0) + from[i]);
}

void nn_half_round(const float *from, float *to, int64_t n, int add)
{
    round_to(from, write_half(to), add, n);
}

void nn_half_sum(const float *from, float *to, int64_t n)
{
    sum(read_half(from), write_half(to), n);
}

void nn_half_relu(float *x, int64_t n)
{
    clamp(write_half(x), 0, INFINITY, n);
}

void nn_half_relu_back(const float *y, float *d, int64_t n)
{
    clamp_back(read_half(y), INFINITY, write_half(d), n);
}

static dal_status clamp_forward(const nn_job *j, int32_t v, float most)
{
    const nn_node *k = &j->nn->node[v];
    nn_bf16 *y = write_half(nn_row(j->value, k, v, j->first));
    memcpy(y, nn_row(j->value, k, k->in[0], j->first), (size_t)(j->n * k->size) * sizeof *y);
    clamp(y, 0, most, j->n * k->size);
    return DAL_OK;
}

/* d = 0 where y is not above 0, and below `most` (0: whatever y is); then to d of the inputs, which are as large. A
 * piece after the other, so that all of this is done in the cache. */
static void hand_back(const nn_job *j, int32_t v, float most)
{
    enum { PIECE = 4096 };
    const nn_node *k = &j->nn->node[v];
    const int64_t count = j->n * k->size;
    for (int64_t at = 0; at < count; at += PIECE) {
        const int64_t n = count - at < PIECE ? count - at : PIECE;
        nn_bf16 *dy = write_half(nn_row(j->d, k, v, j->first)) + at;
        if (most > 0)
            clamp_back(read_half(nn_row(j->value, k, v, j->first)) + at, most, dy, n);
        for (int i = 0; i < 2; i++) {
            if (k->in[i] < 0 || !j->d[k->in[i]] || j->d[k->in[i]] == j->d[v]) /* the latter: see plan_sum */
                continue;
            nn_bf16 *dx = write_half(nn_row(j->d, k, k->in[i], j->first)) + at;
            if (k->first_writer[i])
                memcpy(dx, dy, (size_t)n * sizeof *dx);
            else
                sum(dy, dx, n);
        }
    }
}

dal_status nn_half_relu_forward(const nn_job *j, int32_t v)
{
    return clamp_forward(j, v, INFINITY);
}

dal_status nn_half_relu_backward(const nn_job *j, int32_t v)
{
    hand_back(j, v, INFINITY);
    return DAL_OK;
}

dal_status nn_half_relu6_forward(const nn_job *j, int32_t v)
{
    return clamp_forward(j, v, 6);
}

dal_status nn_half_relu6_backward(const nn_job *j, int32_t v)
{
    hand_back(j, v, 6);
    return DAL_OK;
}

dal_status nn_half_add_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    add(read_half(nn_row(j->value, k, k->in[0], j->first)), read_half(nn_row(j->value, k, k->in[1], j->first)),
        k->flags & DAL_NN_RELU ? 0 : -INFINITY, write_half(nn_row(j->value, k, v, j->first)), j->n * k->size);
    return DAL_OK;
}

dal_status nn_half_add_backward(const nn_job *j, int32_t v)
{
    hand_back(j, v, j->nn->node[v].flags & DAL_NN_RELU ? INFINITY : 0);
    return DAL_OK;
}
