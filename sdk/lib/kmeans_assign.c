/* Every sample to its nearest centre: matrix products say which distances are worth computing (bound.h). */
#include "kmeans.h"

#include "bound.h"

#define TILE_X 128 /* samples in a task */
#define TILE_C 512 /* centres at a time */

typedef struct assign_job {
    kmeans *s;
    double shrink;
} assign_job;

/* One sample against n centres from `first` on, of which the products are known. */
static void look(const assign_job *j, int64_t row, const float *products, int64_t first, int64_t n)
{
    const kmeans *s = j->s;
    const float *offsets = s->offsets + first, *x = kmeans_row(s, row);
    float m = s->distance[row], limit = bound_limit((double)m, (double)s->norms[row], s->d, j->shrink);
    for (int64_t strip = 0; strip < n; strip += BOUND_STRIP) {
        if (!bound_any_below(products + strip, offsets + strip, limit))
            continue;
        for (int64_t c = strip; c < strip + BOUND_STRIP; c++) {
            if (!(products[c] + offsets[c] < limit) || first + c == s->assignment[row])
                continue;
            const float distance = dal_squared_distance(x, s->centres + (first + c) * s->d, s->d);
            if (distance < m || (distance <= m && first + c < s->assignment[row])) {
                m = distance;
                s->assignment[row] = (int32_t)(first + c);
                limit = bound_limit((double)m, (double)s->norms[row], s->d, j->shrink);
            }
        }
    }
    s->distance[row] = m;
}

/* A good guess first: the centre it had. */
static void start_from_last(const assign_job *j, int64_t row)
{
    kmeans *s = j->s;
    if (s->assignment[row] != KMEANS_UNKNOWN)
        s->distance[row] = dal_squared_distance(kmeans_row(s, row), s->centres + s->assignment[row] * s->d,
                                                s->d);
}

static dal_status assign_task(void *ctx, int64_t t)
{
    const assign_job *j = ctx;
    kmeans *s = j->s;
    const int64_t row = t * TILE_X, rows = s->n - row < TILE_X ? s->n - row : TILE_X;
    const int64_t all = bound_tiles(s->all, BOUND_STRIP) * BOUND_STRIP;
    dal_status st = s->host->cancelled(s->host) ? DAL_E_CANCELLED : DAL_OK;
    float *products = dal_array(s->host, TILE_X * TILE_C, sizeof *products);
    if (!products)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < rows; i++)
        start_from_last(j, row + i);
    for (int64_t first = 0; st == DAL_OK && first < all; first += TILE_C) {
        const int64_t n = all - first < TILE_C ? all - first : TILE_C;
        st = dal_gemm_nt(rows, n, s->d, -2, kmeans_row(s, row), s->p->x.stride, s->centres + first * s->d, s->d, 0,
                         products, TILE_C);
        for (int64_t i = 0; st == DAL_OK && i < rows; i++)
            look(j, row + i, products + i * TILE_C, first, n);
    }
    s->host->free(s->host, products);
    return st;
}

dal_status kmeans_assign(kmeans *s)
{
    assign_job j = {s, 1 - bound_kappa(s->d)};
    for (int64_t c = 0; c < bound_tiles(s->all, BOUND_STRIP) * BOUND_STRIP; c++)
        s->offsets[c] = c < s->all ? bound_offset(s->centres + c * s->d, s->d, j.shrink) : INFINITY;
    return s->host->parallel_for(s->host, bound_tiles(s->n, TILE_X), assign_task, &j);
}
