/* Pooling of bf16 maps, all channels of a place at a time. What is made is bf16 alike, or planes of f32, which linear
 * layers read. */
#include "nn_half.h"

#include "clones.h"
#include "nn_window.h"

/* One row of a value. */
typedef struct pool_job {
    const nn_node *k, *in;
    nn_bf16 *x;   /* or dx */
    float *y;     /* or dy, as the value lies */
    int32_t *from; /* [places, c]: which place of the map */
    float *line;  /* [c] */
} pool_job;

/* Place `out` of y, [c] floats, as it lies, and back. */
DAL_CLONES static void put(const nn_node *k, const float *line, int64_t out, float *y)
{
    nn_bf16 *half = (nn_bf16 *)(void *)y + out * k->c;
    for (int64_t c = 0; k->half && c < k->c; c++)
        half[c] = nn_narrow(line[c]);
    for (int64_t c = 0; !k->half && c < k->c; c++)
        y[c * k->h * k->w + out] = line[c];
}

DAL_CLONES static void get(const nn_node *k, const float *y, int64_t out, float *line)
{
    const nn_bf16 *half = (const nn_bf16 *)(const void *)y + out * k->c;
    for (int64_t c = 0; k->half && c < k->c; c++)
        line[c] = nn_wide(half[c]);
    for (int64_t c = 0; !k->half && c < k->c; c++)
        line[c] = y[c * k->h * k->w + out];
}

DAL_CLONES static void take_larger(const nn_bf16 *x, int64_t c, int32_t place, float *restrict line,
                                   int32_t *restrict from)
{
    for (int64_t l = 0; l < c; l++) {
        const float value = nn_wide(x[l]);
        from[l] = value > line[l] ? place : from[l]; /* ties: the first */
        line[l] = value > line[l] ? value : line[l];
    }
}

DAL_CLONES static void add_from(const float *line, const int32_t *from, int64_t c, int32_t place, nn_bf16 *restrict dx)
{
    for (int64_t l = 0; l < c; l++)
        dx[l] = nn_narrow(nn_wide(dx[l]) + (from[l] == place ? line[l] : 0));
}

DAL_CLONES static void add_line(const nn_bf16 *x, int64_t c, float *restrict line)
{
    for (int64_t l = 0; l < c; l++)
        line[l] += nn_wide(x[l]);
}

DAL_CLONES static void spread_line(const float *line, int64_t c, nn_bf16 *restrict dx)
{
    for (int64_t l = 0; l < c; l++)
        dx[l] = nn_narrow(nn_wide(dx[l]) + line[l]);
}

DAL_CLONES static void scale_line(float share, int64_t c, float *line)
{
    for (int64_t l = 0; l < c; l++)
        line[l] *= share;
}

/* ---- the largest ------------------------------------------------------------------------------- */

static void max_row(const pool_job *j)
{
    const int64_t c = j->k->c, w = j->in->w;
    for (int64_t out = 0; out < j->k->h * j->k->w; out++) {
        const window s = window_at(j->k, j->in, out / j->k->w, out % j->k->w);
        int32_t *from = j->from + out * c, start = (int32_t)(s.y0 * w + s.x0);
        for (int64_t l = 0; l < c; l++) {
            from[l] = start;
            j->line[l] = nn_wide(j->x[start * c + l]);
        }
        for (int64_t iy = s.y0; iy < s.y1; iy++)
            for (int64_t ix = s.x0; ix < s.x1; ix++)
                take_larger(j->x + (iy * w + ix) * c, c, (int32_t)(iy * w + ix), j->line, from);
        put(j->k, j->line, out, j->y);
    }
}

static void max_back_row(const pool_job *j)
{
    const int64_t c = j->k->c, w = j->in->w;
    for (int64_t out = 0; out < j->k->h * j->k->w; out++) {
        const window s = window_at(j->k, j->in, out / j->k->w, out % j->k->w);
        get(j->k, j->y, out, j->line);
        for (int64_t iy = s.y0; iy < s.y1; iy++)
            for (int64_t ix = s.x0; ix < s.x1; ix++)
                add_from(j->line, j->from + out * c, c, (int32_t)(iy * w + ix), j->x + (iy * w + ix) * c);
    }
}

/* ---- the mean ---------------------------------------------------------------------------------- */

static float share_of(const nn_node *k, const nn_node *in)
{
    return (float)(1 / (k->kernel ? (double)(k->kernel * k->kernel) : (double)(in->h * in->w)));
}

static void avg_row(const pool_job *j)
{
    const int64_t c = j->k->c, w = j->in->w;
    for (int64_t out = 0; out < j->k->h * j->k->w; out++) {
        const window s = window_at(j->k, j->in, out / j->k->w, out % j->k->w);
        memset(j->line, 0, (size_t)c * sizeof *j->line);
        for (int64_t iy = s.y0; iy < s.y1; iy++)
            for (int64_t ix = s.x0; ix < s.x1; ix++)
                add_line(j->x + (iy * w + ix) * c, c, j->line);
        scale_line(share_of(j->k, j->in), c, j->line);
        put(j->k, j->line, out, j->y);
    }
}

static void avg_back_row(const pool_job *j)
{
    const int64_t c = j->k->c, w = j->in->w;
    for (int64_t out = 0; out < j->k->h * j->k->w; out++) {
        const window s = window_at(j->k, j->in, out / j->k->w, out % j->k->w);
        get(j->k, j->y, out, j->line);
        scale_line(share_of(j->k, j->in), c, j->line);
        for (int64_t iy = s.y0; iy < s.y1; iy++)
            for (int64_t ix = s.x0; ix < s.x1; ix++)
                spread_line(j->line, c, j->x + (iy * w + ix) * c);
    }
}

/* ---- rows -------------------------------------------------------------------------------------- */

static dal_status run(const nn_job *j, int32_t v, int backward, void (*row)(const pool_job *))
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    float *const *rows = backward ? j->d : j->value;
    if (!rows[k->in[0]])
        return DAL_OK;
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        pool_job p = {.k = k, .in = in, .x = (nn_bf16 *)(void *)nn_row(rows, in, k->in[0], i),
                      .y = nn_row(rows, k, v, i), .line = j->scratch};
        if (k->op == &nn_max_pool_op)
            p.from = (int32_t *)j->aux[v] + i * k->size;
        if (backward && k->first_writer[0])
            memset(p.x, 0, (size_t)in->size * sizeof *p.x);
        row(&p);
    }
    return DAL_OK;
}

dal_status nn_half_max_forward(const nn_job *j, int32_t v)
{
    return run(j, v, 0, max_row);
}

dal_status nn_half_max_backward(const nn_job *j, int32_t v)
{
    return run(j, v, 1, max_back_row);
}

dal_status nn_half_avg_forward(const nn_job *j, int32_t v)
{
    return run(j, v, 0, avg_row);
}

dal_status nn_half_avg_backward(const nn_job *j, int32_t v)
{
    return run(j, v, 1, avg_back_row);
}
