/* Pooling where channels lie together, eight at a time. The output may be planes: what a linear layer reads. */
#include "nn_layout.h"

#include "clones.h"
#include "nn_window.h"

#define L NN_LANES

/* A strip of one row: x and y (or dx and dy) at its first element. */
typedef struct strip_job {
    const nn_node *k, *in;
    nn_strip x, y;
} strip_job;

typedef float lanes __attribute__((vector_size(4 * L)));
typedef int32_t places __attribute__((vector_size(4 * L)));

/* Where row is larger, it and its place. */
INLINED void keep_larger(const float *x, places here, lanes *best, places *at)
{
    lanes row;
    memcpy(&row, x, sizeof row);
    const places more = row > *best;
    *best = (lanes)(((places)row & more) | ((places)*best & ~more));
    *at = (here & more) | (*at & ~more);
}

/* The largest of a window of rows x cols places, the first of which is number `start` of a map `wide` across and lies
 * at x, and where it is; ties go to the first. */
INLINED void max_window(const float *x, int64_t step, int64_t wide, int64_t start, int64_t rows, int64_t cols,
                        lanes *best, places *at)
{
    memcpy(best, x, sizeof *best);
    *at = (places){0} + (int32_t)start;
    for (int64_t iy = 0; iy < rows; iy++)
        for (int64_t ix = 0; ix < cols; ix++)
            keep_larger(x + (iy * wide + ix) * step, (places){0} + (int32_t)(start + iy * wide + ix), best, at);
}

INLINED void store_lanes(float *y, int64_t lane, lanes best)
{
    if (lane == 1)
        memcpy(y, &best, sizeof best);
    for (int l = 0; lane > 1 && l < L; l++)
        y[l * lane] = best[l];
}

/* Windows of 2x2 side by side: most pools. */
INLINED void max_fours(const strip_job *j, const float *x, float *y, int32_t *restrict from)
{
    const int64_t h = j->k->h, w = j->k->w, wide = j->in->w, step = j->x.place, place = j->y.place, lane = j->y.lane;
    const places none = {0}, right = none + 1, below = none + (int32_t)wide;
    for (int64_t oy = 0; oy < h; oy++) {
        const float *four = x + 2 * oy * wide * step;
        places start = none + (int32_t)(2 * oy * wide);
        for (int64_t ox = 0; ox < w; ox++, four += 2 * step, start += 2, y += place, from += L) {
            places at = none;
            lanes best;
            memcpy(&best, four, sizeof best);
            keep_larger(four + step, right, &best, &at);
            keep_larger(four + wide * step, below, &best, &at);
            keep_larger(four + (wide + 1) * step, below + right, &best, &at);
            store_lanes(y, lane, best);
            at += start;
            memcpy(from, &at, sizeof at);
        }
    }
}

/* from [places, L]: which place of the map. */
DAL_CLONES static void max_strip(const strip_job *j, const float *x, float *y, int32_t *restrict from)
{
    const nn_node *k = j->k, *in = j->in;
    if (k->kernel == 2 && k->stride == 2 && k->pad == 0) {
        max_fours(j, x, y, from);
        return;
    }
    for (int64_t oy = 0; oy < k->h; oy++)
        for (int64_t ox = 0; ox < k->w; ox++, from += L) {
            const window s = window_at(k, in, oy, ox);
            const int64_t start = s.y0 * in->w + s.x0;
            places at;
            lanes best;
            max_window(x + start * j->x.place, j->x.place, in->w, start, s.y1 - s.y0, s.x1 - s.x0, &best, &at);
            store_lanes(y + (oy * k->w + ox) * j->y.place, j->y.lane, best);
            memcpy(from, &at, sizeof at);
        }
}

/* Do windows of 2x2 cover all of the map, each place once? Then d is written, not cleared and added to. */
static int are_fours(const nn_node *k, const nn_node *in)
{
    return k->kernel == 2 && k->stride == 2 && k->pad == 0 && in->h == 2 * k->h && in->w == 2 * k->w;
}

DAL_CLONES static void write_back_fours(const strip_job *j, const float *dy, const int32_t *restrict from,
                                        float *restrict dx)
{
    const int64_t h = j->k->h, w = j->k->w, wide = j->in->w, step = j->x.place, place = j->y.place, lane = j->y.lane;
    for (int64_t oy = 0; oy < h; oy++)
        for (int64_t ox = 0; ox < w; ox++, dy += place, from += L) {
            float d[L];
            for (int l = 0; l < L; l++)
                d[l] = dy[l * lane];
            for (int64_t i = 0; i < 4; i++) {
                const int64_t at = (2 * oy + i / 2) * wide + 2 * ox + i % 2;
                for (int l = 0; l < L; l++)
                    dx[at * step + l] = from[l] == (int32_t)at ? d[l] : 0;
            }
        }
}

DAL_CLONES static void max_back_strip(const strip_job *j, const float *dy, const int32_t *restrict from, float *dx)
{
    const nn_node *k = j->k, *in = j->in;
    for (int64_t oy = 0; oy < k->h; oy++)
        for (int64_t ox = 0; ox < k->w; ox++, from += L) {
            const window s = window_at(k, in, oy, ox);
            const int64_t out = oy * k->w + ox;
            float d[L];
            for (int l = 0; l < L; l++)
                d[l] = dy[out * j->y.place + l * j->y.lane];
            for (int64_t iy = s.y0; iy < s.y1; iy++)
                for (int64_t ix = s.x0; ix < s.x1; ix++) {
                    const int32_t place = (int32_t)(iy * in->w + ix);
                    float *row = dx + place * j->x.place;
                    for (int l = 0; l < L; l++)
                        row[l] += from[l] == place ? d[l] : 0;
                }
        }
}

DAL_CLONES static void avg_strip(const strip_job *j, const float *x, float share, float *y)
{
    const nn_node *k = j->k, *in = j->in;
    for (int64_t oy = 0; oy < k->h; oy++)
        for (int64_t ox = 0; ox < k->w; ox++) {
            const window s = window_at(k, in, oy, ox);
            const int64_t out = oy * k->w + ox;
            float sum[L] = {0};
            for (int64_t iy = s.y0; iy < s.y1; iy++)
                for (int64_t ix = s.x0; ix < s.x1; ix++)
                    for (int l = 0; l < L; l++)
                        sum[l] += x[(iy * in->w + ix) * j->x.place + l];
            for (int l = 0; l < L; l++)
                y[out * j->y.place + l * j->y.lane] = share * sum[l];
        }
}

DAL_CLONES static void avg_back_strip(const strip_job *j, const float *dy, float share, float *dx)
{
    const nn_node *k = j->k, *in = j->in;
    for (int64_t oy = 0; oy < k->h; oy++)
        for (int64_t ox = 0; ox < k->w; ox++) {
            const window s = window_at(k, in, oy, ox);
            const int64_t out = oy * k->w + ox;
            float d[L];
            for (int l = 0; l < L; l++)
                d[l] = share * dy[out * j->y.place + l * j->y.lane];
            for (int64_t iy = s.y0; iy < s.y1; iy++)
                for (int64_t ix = s.x0; ix < s.x1; ix++)
                    for (int l = 0; l < L; l++)
                        dx[(iy * in->w + ix) * j->x.place + l] += d[l];
        }
}

static strip_job job_at(const nn_job *j, int32_t v, int64_t c)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    return (strip_job){k, in, nn_strip_at(in, c), nn_strip_at(k, c)};
}

static int32_t *from_of(const nn_job *j, int32_t v, int64_t i, int64_t c)
{
    const nn_node *k = &j->nn->node[v];
    return (int32_t *)j->aux[v] + i * k->size + c * k->h * k->w;
}

static float share_of(const nn_node *k, const nn_node *in)
{
    return (float)(1 / (k->kernel ? (double)(k->kernel * k->kernel) : (double)(in->h * in->w)));
}

dal_status nn_strips_max_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c += L) {
            const strip_job s = job_at(j, v, c);
            max_strip(&s, nn_row(j->value, in, k->in[0], i) + s.x.first, nn_row(j->value, k, v, i) + s.y.first,
                      from_of(j, v, i, c));
        }
    return DAL_OK;
}

static void clear(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    if (k->first_writer[0])
        memset(nn_row(j->d, in, k->in[0], j->first), 0, (size_t)(j->n * in->size) * sizeof(float));
}

dal_status nn_strips_max_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const int write = k->first_writer[0] && are_fours(k, in);
    if (!j->d[k->in[0]])
        return DAL_OK;
    if (!write)
        clear(j, v);
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c += L) {
            const strip_job s = job_at(j, v, c);
            (write ? write_back_fours : max_back_strip)(&s, nn_row(j->d, k, v, i) + s.y.first, from_of(j, v, i, c),
                                                        nn_row(j->d, in, k->in[0], i) + s.x.first);
        }
    return DAL_OK;
}

dal_status nn_strips_avg_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c += L) {
            const strip_job s = job_at(j, v, c);
            avg_strip(&s, nn_row(j->value, in, k->in[0], i) + s.x.first, share_of(k, in),
                      nn_row(j->value, k, v, i) + s.y.first);
        }
    return DAL_OK;
}

dal_status nn_strips_avg_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    if (!j->d[k->in[0]])
        return DAL_OK;
    clear(j, v);
    for (int64_t i = j->first; i < j->first + j->n; i++)
        for (int64_t c = 0; c < k->c; c += L) {
            const strip_job s = job_at(j, v, c);
            avg_back_strip(&s, nn_row(j->d, k, v, i) + s.y.first, share_of(k, in), nn_row(j->d, in, k->in[0], i) +
                           s.x.first);
        }
    return DAL_OK;
}
