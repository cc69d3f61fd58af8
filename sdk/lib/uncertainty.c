#include <dal/uncertainty.h>

#include "softmax.h"

#include <math.h>

#define AHEAD (8 * TILE) /* rows; longer than memory takes to answer */

/* What is found of some tiles. */
typedef struct tiles {
    tile_top top[TILES];
    tile_sums sums[TILES];
} tiles;

/* Scores in two steps: what takes reading the rows of tile i, and what follows for all tiles [TILES * TILE]. */
typedef struct scorer {
    void (*look)(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums);
    void (*finish)(const softmax_kernels *k, const tiles *all, double *out);
} scorer;

static void score_tiles(const dal_matrix *m, const scorer *by, double *out)
{
    const softmax_kernels *kernels = softmax_best();
    const uintptr_t row_bytes = (uintptr_t)m->stride * sizeof(float);
    tiles all = {0};
    double scores[TILES * TILE];
    for (int64_t first = 0; first < m->rows; first += TILES * TILE) {
        const int64_t n = m->rows - first < TILES * TILE ? m->rows - first : TILES * TILE;
        for (int64_t i = 0; i * TILE < n; i++) {
            const float *z = m->data + (first + i * TILE) * m->stride;
            const float *ahead = (const float *)((uintptr_t)z + AHEAD * row_bytes); /* perhaps beyond the last */
            const int64_t rest = n - i * TILE;
            const tile t = {z, rest < TILE ? rest : TILE, m->cols, m->stride, ahead};
            by->look(kernels, &t, &all.top[i], &all.sums[i]);
        }
        by->finish(kernels, &all, n == TILES * TILE ? out + first : scores);
        if (n < TILES * TILE)
            memcpy(out + first, scores, (size_t)n * sizeof *out);
    }
}

static void score(const dal_outputs *o, const scorer *logits, const scorer *probs, double *out)
{
    if (o->values.cols > 0) {
        score_tiles(&o->values, o->kind == DAL_LOGITS ? logits : probs, out);
        return;
    }
    for (int64_t i = 0; i < o->values.rows; i++)
        out[i] = (double)NAN; /* of no classes nothing can be said */
}

#define EACH_ROW                          \
    for (int i = 0; i < TILES; i++)       \
        for (int r = 0; r < TILE; r++)

/* p_max = e^0 / S */
static void rest_of_logits(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums)
{
    k->max(t, top);
    k->sum_rest(t, top->max, sums);
}

static void confidence_of_logits(const softmax_kernels *k, const tiles *all, double *out)
{
    (void)k;
    EACH_ROW out[i * TILE + r] = 1 / (all->sums[i].ties[r] + all->sums[i].rest[r]);
}

/* A bad row is bad: NaN is added to what was found of it. */
static void add_nan(const softmax_kernels *k, const tile *t, float *max)
{
    float nan[TILE];
    k->nan(t, nan);
    for (int r = 0; r < TILE; r++)
        max[r] += nan[r];
}

static void max_of_probs(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums)
{
    (void)sums;
    k->max(t, top);
    add_nan(k, t, top->max);
}

static void confidence_of_probs(const softmax_kernels *k, const tiles *all, double *out)
{
    (void)k;
    EACH_ROW out[i * TILE + r] = (double)all->top[i].max[r];
}

void dal_least_confidence(const dal_outputs *o, double *out)
{
    static const scorer logits = {rest_of_logits, confidence_of_logits}, probs = {max_of_probs, confidence_of_probs};
    score(o, &logits, &probs, out);
}

/* (e^0 - e^(z2 - z1)) / S */
static void two_of_logits(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums)
{
    k->top(t, top);
    k->sum_exp(t, top->max, sums);
}

static void margin_of_logits(const softmax_kernels *k, const tiles *all, double *out)
{
    k->gaps(all->top, out);
    EACH_ROW out[i * TILE + r] /= all->sums[i].rest[r];
}

static void two_of_probs(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums)
{
    (void)sums;
    k->top(t, top);
    for (int r = 0; r < TILE && t->c < 2; r++)
        top->second[r] = 0;
    add_nan(k, t, top->max);
}

static void margin_of_probs(const softmax_kernels *k, const tiles *all, double *out)
{
    (void)k;
    EACH_ROW out[i * TILE + r] = (double)all->top[i].max[r] - (double)all->top[i].second[r];
}

void dal_margin(const dal_outputs *o, double *out)
{
    static const scorer logits = {two_of_logits, margin_of_logits}, probs = {two_of_probs, margin_of_probs};
    score(o, &logits, &probs, out);
}

/* ln S - (sum e^x x) / S */
static void sums_of_logits(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums)
{
    k->max(t, top);
    k->sum_entropy(t, top->max, sums);
}

static void entropy_of_logits(const softmax_kernels *k, const tiles *all, double *out)
{
    k->log_sums(all->sums, out);
    EACH_ROW out[i * TILE + r] -= all->sums[i].dot[r] / (all->sums[i].ties[r] + all->sums[i].rest[r]);
}

static void sums_of_probs(const softmax_kernels *k, const tile *t, tile_top *top, tile_sums *sums)
{
    (void)top;
    k->sum_p_ln_p(t, sums->dot);
}

static void entropy_of_probs(const softmax_kernels *k, const tiles *all, double *out)
{
    (void)k;
    EACH_ROW out[i * TILE + r] = 0 - all->sums[i].dot[r]; /* never -0 */
}

void dal_entropy(const dal_outputs *o, double *out)
{
    static const scorer logits = {sums_of_logits, entropy_of_logits}, probs = {sums_of_probs, entropy_of_probs};
    score(o, &logits, &probs, out);
}
