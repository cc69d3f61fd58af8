#include <dal/uncertainty.h>

#include "softmax.h"

#include <math.h>

#define AHEAD (8 * TILE) /* rows; longer than memory takes to answer */

/* One tile's scores. */
typedef void score_tile(const softmax_kernels *k, const tile *t, double *out);

static void for_each_tile(const dal_outputs *o, score_tile *logits, score_tile *probs, double *out)
{
    const dal_matrix *m = &o->values;
    const softmax_kernels *kernels = softmax_best();
    const uintptr_t row_bytes = (uintptr_t)m->stride * sizeof(float);
    double scores[TILE];
    for (int64_t first = 0; first < m->rows; first += TILE) {
        const float *z = m->data + first * m->stride;
        const int64_t rest = m->rows - first;
        const float *ahead = (const float *)((uintptr_t)z + AHEAD * row_bytes); /* perhaps beyond the last */
        const tile t = {z, rest < TILE ? rest : TILE, m->cols, m->stride, ahead};
        for (int r = 0; r < TILE; r++)
            scores[r] = (double)NAN; /* of no classes nothing can be said */
        if (t.c > 0)
            (o->kind == DAL_LOGITS ? logits : probs)(kernels, &t, scores);
        memcpy(out + first, scores, (size_t)t.n * sizeof *out);
    }
}

/* p_max = e^0 / S */
static void confidence_of_logits(const softmax_kernels *k, const tile *t, double *out)
{
    tile_top top;
    tile_sums sums;
    k->max(t, &top);
    k->sum_rest(t, top.max, &sums);
    for (int r = 0; r < TILE; r++)
        out[r] = 1 / (sums.ties[r] + sums.rest[r]);
}

static void confidence_of_probs(const softmax_kernels *k, const tile *t, double *out)
{
    tile_top top;
    float nan[TILE];
    k->max(t, &top);
    k->nan(t, nan);
    for (int r = 0; r < TILE; r++)
        out[r] = (double)top.max[r] + (double)nan[r];
}

void dal_least_confidence(const dal_outputs *o, double *out)
{
    for_each_tile(o, confidence_of_logits, confidence_of_probs, out);
}

/* (e^0 - e^(z2 - z1)) / S */
static void margin_of_logits(const softmax_kernels *k, const tile *t, double *out)
{
    tile_top top;
    tile_sums sums;
    k->top(t, &top);
    k->sum_exp(t, top.max, &sums);
    k->gap(&top, out);
    for (int r = 0; r < TILE; r++)
        out[r] /= sums.rest[r];
}

static void margin_of_probs(const softmax_kernels *k, const tile *t, double *out)
{
    tile_top top;
    float nan[TILE];
    k->top(t, &top);
    k->nan(t, nan);
    for (int r = 0; r < TILE; r++) {
        const float second = t->c > 1 ? top.second[r] : 0;
        out[r] = (double)top.max[r] - (double)second + (double)nan[r];
    }
}

void dal_margin(const dal_outputs *o, double *out)
{
    for_each_tile(o, margin_of_logits, margin_of_probs, out);
}

/* ln S - (sum e^x x) / S */
static void entropy_of_logits(const softmax_kernels *k, const tile *t, double *out)
{
    tile_top top;
    tile_sums sums;
    k->max(t, &top);
    k->sum_entropy(t, top.max, &sums);
    k->log_sum(&sums, out);
    for (int r = 0; r < TILE; r++)
        out[r] -= sums.dot[r] / (sums.ties[r] + sums.rest[r]);
}

static void entropy_of_probs(const softmax_kernels *k, const tile *t, double *out)
{
    k->sum_p_ln_p(t, out);
    for (int r = 0; r < TILE; r++)
        out[r] = 0 - out[r]; /* never -0 */
}

void dal_entropy(const dal_outputs *o, double *out)
{
    for_each_tile(o, entropy_of_logits, entropy_of_probs, out);
}
